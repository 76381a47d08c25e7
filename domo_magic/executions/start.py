"""Starting runs: the intent on the disk, one POST, the response on the disk; never twice."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from domo_magic.errors import AlreadyRunning, DomoError, TriggerOutcomeUnknown
from domo_magic.executions import listing
from domo_magic.executions.reconcile import look, settle
from domo_magic.http.client import Uncertain
from domo_magic.model.concurrency import each
from domo_magic.model.execution import Execution, state_of
from domo_magic.model.formatting import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from domo_magic.executions.session import Session
    from domo_magic.history.records import Intent

IfRunning = Literal["start", "adopt", "error"]


@dataclass(frozen=True, slots=True)
class Unless:
    """When a stream is not started after all; by default it always is, and nothing is requested before.

    Attributes
    ----------
    if_running : {"start", "adopt", "error"}
        What to do where a run is unfinished.
    fresh : float or None
        A run that succeeded within so many seconds is returned in place of a new one.
    """

    if_running: IfRunning = "start"
    fresh: float | None = None

    @property
    def looks(self) -> bool:
        """Whether the stream's runs have to be requested first."""
        return self.if_running != "start" or self.fresh is not None


_RECENT = 100
_LOOK_FIRST = "do not start it again before looking: %domo_runs shows the stream's runs"
_HOUR_US = 3_600_000_000
# A start that waited for its turn longer than this part of its window is dated anew.
_TURN = 20
# Seconds that a clock may move between a start and its response without being put right.
_STEP = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one start.

    Attributes
    ----------
    execution : Execution
        The run; without an ``execution_id`` where nothing started, or it is not known.
    error : DomoError or None
        Why it is not as it should be.
    adopted : bool
        Whether a run that was there already takes the place of a new one.
    warning : str
        What the user must know although a run has started; mostly empty.
    """

    execution: Execution
    error: DomoError | None = None
    adopted: bool = False
    warning: str = ""


def start_streams(
    session: Session,
    streams: Sequence[int],
    *,
    label: str | None = None,
    unless: Unless = Unless(),
    max_parallel: int = 16,
    arrived: Callable[[Outcome], None] = lambda _outcome: None,
    uncertain: Callable[[int, str], None] = lambda _stream, _why: None,
) -> list[Outcome]:
    """Start one run of every stream, at the same time.

    Parameters
    ----------
    session : Session
        The instance.
    streams : sequence of int
        Stream ids, none twice.
    label : str, optional
        Kept in the history.
    unless : Unless
        When a run that is there already takes the place of a new one.
    max_parallel : int
        Starts under way at the same time.
    arrived : callable, optional
        Called on the calling thread with each outcome, as it comes, after it is in the history.
    uncertain : callable, optional
        Called on a thread when a start has to be looked into, with the stream and the reason.

    Returns
    -------
    list of Outcome
        In the order of `streams`.
    """
    stop = threading.Event()
    present: dict[int, Outcome] = {}
    if unless.looks:
        found = each(lambda stream_id: _present(session, stream_id, unless), streams, parallel=max_parallel)
        present = {stream_id: outcome for stream_id, outcome in zip(streams, found, strict=True) if outcome}
        for outcome in present.values():
            arrived(outcome)
    wanted = [stream_id for stream_id in streams if stream_id not in present]
    intents = session.history.intend(session.instance, wanted, label) if wanted else []
    begun: set[int] = set()

    def one(intent: Intent) -> Outcome:
        begun.add(intent.id)  # before it looks at `stop`: either it stops, or it counts as begun
        mine = _given_way(session, intent, unless, stop) if unless.looks else intent
        return mine if isinstance(mine, Outcome) else _start_one(session, mine, stop, uncertain)

    try:
        started = each(one, intents, parallel=max_parallel, arrived=lambda _index, outcome: arrived(outcome))
    except BaseException:
        stop.set()  # what has not left yet does not leave any more
        session.history.refused(*[intent for intent in intents if intent.id not in begun])
        raise
    outcomes = present | dict(zip(wanted, started, strict=True))
    return [outcomes[stream_id] for stream_id in streams]


def _start_one(  # noqa: PLR0911  each way a start can end
    session: Session, intent: Intent, stop: threading.Event, uncertain: Callable[[int, str], None]
) -> Outcome:
    if session.clock.time() - intent.requested_at / 1000 > session.timeouts.start_window / _TURN:
        intent = session.history.leaves(intent)  # a run is looked for around the time of its request
    nothing = session.known(Execution(intent.stream_id), intent.label, intent.requested_at)
    try:
        if stop.is_set():
            session.history.refused(intent)
            return Outcome(nothing, TriggerOutcomeUnknown(f"stream {intent.stream_id} was not started"))
        shift = session.clock.time() - session.clock.monotonic()
        execution = session.client.create_execution(intent.stream_id, stop)
    except Uncertain as error:
        uncertain(intent.stream_id, error.summary)
        moved = session.clock.time() - session.clock.monotonic() - shift
        if abs(moved) > _STEP:  # the clock was put right meanwhile, and the request's time was wrong
            intent = session.history.leaves(intent, intent.requested_at + int(moved * 1000))
        return _looked(session, intent, stop, nothing, error)
    except DomoError as error:
        session.history.refused(intent)
        return Outcome(nothing, error)
    except Exception as error:  # noqa: BLE001  a bug of ours on a thread must reach the user
        return Outcome(
            nothing, TriggerOutcomeUnknown(f"stream {intent.stream_id} may have started: {error!r}")
        )
    if not session.history.started(session.instance, intent, execution):
        why = f"Domo returned with run {execution.run}, which an earlier start already has"
        replay = Uncertain(f"stream {intent.stream_id} may have started: {why}", _LOOK_FIRST)
        uncertain(intent.stream_id, replay.summary)
        return _looked(session, intent, stop, nothing, replay)
    if execution.execution_id is None:
        return _nameless(session, intent, stop, execution)
    return _started(session, intent, execution)


def _started(session: Session, intent: Intent, execution: Execution) -> Outcome:
    if (user := execution.fields.get("startedBy")) is not None:
        session.user = str(user)
    return Outcome(session.known(execution, intent.label, intent.requested_at))


def _looked(
    session: Session, intent: Intent, stop: threading.Event, nothing: Execution, error: Uncertain
) -> Outcome:
    """Return the run of an uncertain start, found, or the error that says how to find out."""
    found, several = look(session, intent, stop)
    if found is not None:
        return Outcome(found)
    unknown = TriggerOutcomeUnknown(error.summary, error.hint)
    if several:
        runs = ", ".join(run.run for run in several)
        unknown = TriggerOutcomeUnknown(f"{error.summary}; it is one of {runs}", error.hint)
    unknown.__cause__ = error.__cause__
    return Outcome(nothing, unknown)


def _nameless(session: Session, intent: Intent, stop: threading.Event, execution: Execution) -> Outcome:
    """Find the run that Domo started without saying which."""
    found, _ = look(session, intent, stop)
    if found is not None:
        return Outcome(found)
    warning = (
        f"Domo started stream {intent.stream_id} without saying which run it is, and it was not found;"
        f" to look again: %domo_runs {intent.stream_id}"
    )
    return Outcome(session.known(execution, intent.label, intent.requested_at), warning=warning)


def _given_way(session: Session, intent: Intent, unless: Unless, stop: threading.Event) -> Intent | Outcome:
    """Return the intent to be sent, or, where another kernel is starting the stream just now, its run."""
    since = _oldest_under_way(session)
    passed: set[int] = set()
    while True:
        ahead = session.history.ahead(session.instance, intent, since)
        if ahead.keys() <= passed:
            return intent
        session.history.refused(intent)
        # By this machine's clock: one that was put back had recorded starts in what is now the future.
        deadline = session.clock.monotonic() + _longest_start(session)
        while _under_way(session, ahead) and session.clock.monotonic() < deadline:
            if session.clock.wait(stop, session.timeouts.look_pause):
                break
            settle(session, intent.stream_id)  # of a kernel that was killed, nobody else does
            ahead = session.history.ahead(session.instance, intent, since)
        if present := _present(session, intent.stream_id, unless):
            return present
        # Whoever waited beside us begins anew, too: of these, one goes first.
        passed |= ahead.keys()
        intent = session.history.intend(session.instance, [intent.stream_id], intent.label)[0]


def _under_way(session: Session, ahead: Mapping[int, int | None]) -> bool:
    """Whether one of these starts may still get its response; a killed kernel's not for ever."""
    oldest = _oldest_under_way(session)
    return any(requested_at is not None and requested_at > oldest for requested_at in ahead.values())


def _oldest_under_way(session: Session) -> int:
    """Return when (epoch ms) the oldest start was recorded that may still be sent or looked into."""
    return int((session.clock.time() - _longest_start(session)) * 1000)


def _longest_start(session: Session) -> float:
    """Return the seconds that a start takes at most until it has its response, or was looked into."""
    return session.timeouts.start_budget + session.timeouts.response + session.timeouts.look


def _present(session: Session, stream_id: int, unless: Unless) -> Outcome | None:
    """Return the run that takes the place of a new one: fresh, adopted, or refused."""
    try:
        settle(session, stream_id)
        runs = listing.newest(session, stream_id, _RECENT)
    except DomoError as error:
        return Outcome(session.known(Execution(stream_id)), error)
    now = session.clock.time() + session.client.skew
    unfinished = next((run for run in runs if not run.finished), None)
    if unfinished is not None and unless.if_running != "start":
        return _unfinished(session, unfinished, runs, unless.if_running, int(now * 1e6))
    succeeded = [run for run in runs if run.succeeded and run.ended_us is not None]
    newest = max(succeeded, key=lambda run: run.ended_us or 0, default=None)
    if unless.fresh is None or newest is None or (newest.ended_us or 0) / 1e6 < now - unless.fresh:
        return None
    session.history.saw(session.instance, [newest])
    return Outcome(session.joined(newest), adopted=True)


def _unfinished(
    session: Session, newest: Execution, runs: Sequence[Execution], if_running: IfRunning, now_us: int
) -> Outcome:
    """Adopt the unfinished run of a stream, or refuse to start another."""
    run = session.joined(newest)
    cancel, state = f"to cancel it: %domo_cancel {run.run}", state_of(run)
    if if_running == "error":
        summary = f"stream {run.stream_id} already has an unfinished run, {run.run} {state}; none was started"
        return Outcome(run, AlreadyRunning(summary, f"to wait for it: %domo_wait {run.run}; {cancel}"))
    if stuck(run, runs, now_us):
        age = duration_text((now_us - (run.started_us or now_us)) / 1e6)
        others = [other.run for other in runs if other.key != run.key and stuck(other, runs, now_us)]
        too = f", as well as {', '.join(others)}" if others else ""
        summary = f"run {run.run} looks stuck: {state} for {age}{too}; none was started"
        if others:
            cancel = f"to cancel them: %domo_cancel {run.stream_id} --all"
        return Outcome(run, AlreadyRunning(summary, cancel))
    session.history.saw(session.instance, [run])
    return Outcome(run, adopted=True)


def stuck(run: Execution, runs: Sequence[Execution], now_us: int) -> bool:
    """Return True if an unfinished run looks stuck.

    It has lasted over 24 hours, or over one hour and three times the longest of the last 20.

    Parameters
    ----------
    run : Execution
        The run.
    runs : sequence of Execution
        Those of its stream, newest first.
    now_us : int
        Epoch microseconds by Domo's clock.
    """
    if run.finished or run.started_us is None:
        return False
    age = now_us - run.started_us
    durations = [known.duration for known in runs if known.duration is not None][:20]
    far_longer = bool(durations) and age > 3e6 * max(durations)
    return age > 24 * _HOUR_US or (age > _HOUR_US and far_longer)

"""Starting runs: the intent on the disk, one POST, the answer on the disk; never twice."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from domo_magic.errors import AlreadyRunning, DomoError, TriggerOutcomeUnknown
from domo_magic.executions import recent
from domo_magic.executions.reconcile import look, settle
from domo_magic.http.client import Uncertain
from domo_magic.model.concurrency import each
from domo_magic.model.execution import Execution, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from domo_magic.executions.session import Connection
    from domo_magic.history.records import Intent

IfRunning = Literal["start", "adopt", "error"]
_RECENT = 100
_LOOK_FIRST = "do not start it again before looking: %domo_runs shows the stream's runs"
_HOUR_US = 3_600_000_000
# A start that waited for its turn longer than this part of its window is dated anew.
_TURN = 20
# Seconds that a clock may move between a start and its answer without being put right.
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
        Whether a run that was there already was taken up.
    warning : str
        What the person must know although a run has started; mostly empty.
    """

    execution: Execution
    error: DomoError | None = None
    adopted: bool = False
    warning: str = ""


def start_streams(
    domo: Connection,
    streams: Sequence[int],
    *,
    label: str | None = None,
    if_running: IfRunning = "start",
    max_parallel: int = 16,
    arrived: Callable[[Outcome], None] = lambda _outcome: None,
    uncertain: Callable[[int, str], None] = lambda _stream, _why: None,
) -> list[Outcome]:
    """Start one run of every stream, at the same time.

    Parameters
    ----------
    domo : Connection
        The instance.
    streams : sequence of int
        Stream ids, none twice.
    label : str, optional
        Kept in the history.
    if_running : {"start", "adopt", "error"}
        What to do where a stream has an unfinished run; ``"start"`` does not even look.
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
    if if_running != "start":
        found = each(lambda stream_id: _present(domo, stream_id, if_running), streams, parallel=max_parallel)
        present = {stream_id: outcome for stream_id, outcome in zip(streams, found, strict=True) if outcome}
        for outcome in present.values():
            arrived(outcome)
    wanted = [stream_id for stream_id in streams if stream_id not in present]
    intents = domo.history.intend(domo.instance, wanted, label) if wanted else []
    begun: set[int] = set()

    def one(intent: Intent) -> Outcome:
        begun.add(intent.id)  # before it looks at `stop`: either it stops, or it counts as begun
        mine = intent if if_running == "start" else _given_way(domo, intent, if_running, stop)
        return mine if isinstance(mine, Outcome) else _start_one(domo, mine, stop, uncertain)

    try:
        started = each(one, intents, parallel=max_parallel, arrived=lambda _index, outcome: arrived(outcome))
    except BaseException:
        stop.set()  # what has not left yet does not leave any more
        domo.history.refused(*[intent for intent in intents if intent.id not in begun])
        raise
    outcomes = present | dict(zip(wanted, started, strict=True))
    return [outcomes[stream_id] for stream_id in streams]


def _start_one(  # noqa: PLR0911  each way a start can end
    domo: Connection, intent: Intent, stop: threading.Event, uncertain: Callable[[int, str], None]
) -> Outcome:
    if domo.clock.time() - intent.requested_at / 1000 > domo.timing.start_window / _TURN:
        intent = domo.history.leaves(intent)  # a run is looked for around the time of its request
    nothing = domo.known(Execution(intent.stream_id), intent.label, intent.requested_at)
    try:
        if stop.is_set():
            domo.history.refused(intent)
            return Outcome(nothing, TriggerOutcomeUnknown(f"stream {intent.stream_id} was not started"))
        shift = domo.clock.time() - domo.clock.monotonic()
        execution = domo.client.start(intent.stream_id, stop)
    except Uncertain as error:
        uncertain(intent.stream_id, error.what)
        moved = domo.clock.time() - domo.clock.monotonic() - shift
        if abs(moved) > _STEP:  # the clock was put right meanwhile, and the request's time was wrong
            intent = domo.history.leaves(intent, intent.requested_at + int(moved * 1000))
        return _looked(domo, intent, stop, nothing, error)
    except DomoError as error:
        domo.history.refused(intent)
        return Outcome(nothing, error)
    except Exception as error:  # noqa: BLE001  a bug of ours on a thread must reach the person
        return Outcome(
            nothing, TriggerOutcomeUnknown(f"stream {intent.stream_id} may have started: {error!r}")
        )
    if not domo.history.answered(domo.instance, intent, execution):
        why = f"Domo answered with run {execution.run}, which an earlier start already has"
        replay = Uncertain(f"stream {intent.stream_id} may have started: {why}", _LOOK_FIRST)
        uncertain(intent.stream_id, replay.what)
        return _looked(domo, intent, stop, nothing, replay)
    if execution.execution_id is None:
        return _nameless(domo, intent, stop, execution)
    return _started(domo, intent, execution)


def _started(domo: Connection, intent: Intent, execution: Execution) -> Outcome:
    if (user := execution.fields.get("startedBy")) is not None:
        domo.user = str(user)
    return Outcome(domo.known(execution, intent.label, intent.requested_at))


def _looked(
    domo: Connection, intent: Intent, stop: threading.Event, nothing: Execution, error: Uncertain
) -> Outcome:
    """Return the run of an uncertain start, found, or the error that says how to find out."""
    found, several = look(domo, intent, stop)
    if found is not None:
        return Outcome(found)
    unknown = TriggerOutcomeUnknown(error.what, error.todo)
    if several:
        runs = ", ".join(run.run for run in several)
        unknown = TriggerOutcomeUnknown(f"{error.what}; it is one of {runs}", error.todo)
    unknown.__cause__ = error.__cause__
    return Outcome(nothing, unknown)


def _nameless(domo: Connection, intent: Intent, stop: threading.Event, execution: Execution) -> Outcome:
    """Find the run that Domo started without saying which."""
    found, _ = look(domo, intent, stop)
    if found is not None:
        return Outcome(found)
    warning = (
        f"Domo started stream {intent.stream_id} without saying which run it is, and it was not found;"
        f" to look again: %domo_runs {intent.stream_id}"
    )
    return Outcome(domo.known(execution, intent.label, intent.requested_at), warning=warning)


def _given_way(
    domo: Connection, intent: Intent, if_running: IfRunning, stop: threading.Event
) -> Intent | Outcome:
    """Return the intent to be sent, or, where another kernel is starting the stream just now, its run."""
    since = _oldest_under_way(domo)
    passed: set[int] = set()
    while True:
        ahead = domo.history.ahead(domo.instance, intent, since)
        if ahead.keys() <= passed:
            return intent
        domo.history.refused(intent)
        while _under_way(domo, ahead) and not domo.clock.wait(stop, domo.timing.look_pause):
            settle(domo, intent.stream_id)  # of a kernel that was killed, nobody else does
            ahead = domo.history.ahead(domo.instance, intent, since)
        if present := _present(domo, intent.stream_id, if_running):
            return present
        # Whoever waited beside us begins anew, too: of these, one goes first.
        passed |= ahead.keys()
        intent = domo.history.intend(domo.instance, [intent.stream_id], intent.label)[0]


def _under_way(domo: Connection, ahead: Mapping[int, int | None]) -> bool:
    """Whether one of these starts may still be answered or looked into; a killed kernel's not for ever."""
    oldest = _oldest_under_way(domo)
    return any(requested_at is not None and requested_at > oldest for requested_at in ahead.values())


def _oldest_under_way(domo: Connection) -> int:
    """Return when (epoch ms) the oldest start was recorded that may still be sent or looked into."""
    timing = domo.timing
    return int((domo.clock.time() - timing.start_budget - timing.answer - timing.look) * 1000)


def _present(domo: Connection, stream_id: int, if_running: IfRunning) -> Outcome | None:
    """Return the unfinished run that a stream already has, taken up or refused."""
    try:
        settle(domo, stream_id)
        runs = recent.newest(domo, stream_id, _RECENT)
    except DomoError as error:
        return Outcome(domo.known(Execution(stream_id)), error)
    newest = next((run for run in runs if not run.finished), None)
    if newest is None:
        return None
    run = domo.joined(newest)
    cancel, state = f"to cancel it: %domo_cancel {run.run}", state_of(run)
    if if_running == "error":
        what = f"stream {stream_id} already has an unfinished run, {run.run} {state}; none was started"
        return Outcome(run, AlreadyRunning(what, f"to wait for it: %domo_wait {run.run}; {cancel}"))
    if _stuck(run, runs, int(domo.clock.time() * 1e6 + domo.client.skew * 1e6)):
        what = f"run {run.run} looks stuck: {state} for far longer than usual; none was started"
        return Outcome(run, AlreadyRunning(what, cancel))
    domo.history.saw(domo.instance, [run])
    return Outcome(run, adopted=True)


def _stuck(run: Execution, runs: Sequence[Execution], now_us: int) -> bool:
    if run.started_us is None:
        return False
    age = now_us - run.started_us
    durations = [known.duration for known in runs if known.duration is not None][:20]
    far_longer = bool(durations) and age > 3e6 * max(durations)
    return age > 24 * _HOUR_US or (age > _HOUR_US and far_longer)

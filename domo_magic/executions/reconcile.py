"""Which run is ours, when the response to a start was lost: look before anything is sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domo_magic.errors import ApiError, DomoError
from domo_magic.http import pagination
from domo_magic.model.concurrency import THREADS, each
from domo_magic.model.execution import Execution, microseconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from threading import Event

    from domo_magic.executions.session import Session
    from domo_magic.history.records import Intent

_WINDOW = 50
# A server's clock is known from its Date header, to the second; times of runs may be cut to seconds.
_CUT = 1.0
# Seconds: no clock is wrong for so long that a start is looked into for ever.
_WEEK = 604_800


def look(session: Session, intent: Intent, stop: Event) -> tuple[Execution | None, list[Execution]]:
    """Look for the run of an uncertain start until it is found, or the time for it is over.

    Parameters
    ----------
    session : Session
        The instance.
    intent : Intent
        The start.
    stop : Event
        Set to give up.

    Returns
    -------
    found : Execution or None
        The one run that it must be, now claimed for the intent.
    candidates : list of Execution
        Where there are several, all of them, and none is chosen.
    """
    deadline = session.clock.monotonic() + session.timeouts.look
    while True:
        try:
            found, several = look_once(session, intent, deadline)
            if found or several:
                return found, several
        except ApiError as error:
            if error.status in {401, 403, 404}:
                return None, []
        except DomoError:
            pass  # what lost the response may lose this one too; looking goes on
        pause = max(session.timeouts.look_pause, session.client.retry_after)
        if session.clock.monotonic() + pause >= deadline or session.clock.wait(stop, pause):
            return None, []


def look_once(
    session: Session, intent: Intent, deadline: float | None = None
) -> tuple[Execution | None, list[Execution]]:
    """Look once, as `look` does; with a `deadline` (monotonic seconds) not beyond it.

    Raises
    ------
    ConnectionFailed, ApiError, InvalidResponse
        Domo does not say.
    """
    runs = pagination.newest(session.client, intent.stream_id, _WINDOW, deadline=deadline)
    fitting = _fitting(session, intent, runs)
    if len(fitting) == 1 and (found := _adopted(session, intent, fitting)):
        return found[0], []
    return None, [session.known(run) for run in fitting] if len(fitting) > 1 else []


def _fitting(session: Session, intent: Intent, runs: Sequence[Execution]) -> list[Execution]:
    """Return the runs that may be an intent's, newest first."""
    if session.user is None:
        session.user = session.history.user(session.instance)  # of an earlier kernel
    found = [run for run in _unclaimed(session, intent, runs) if _fits(session, intent, run)]
    return sorted(found, key=lambda run: run.execution_id or 0, reverse=True)


def _unclaimed(session: Session, intent: Intent, runs: Sequence[Execution]) -> list[Execution]:
    """Return the runs that a user started, no other start's, and not known before the intent."""
    claimed = session.history.claimed(session.instance, intent)
    least = intent.known_before or 0
    return [
        run
        for run in runs
        if run.manual and (run.execution_id or 0) > least and run.execution_id not in claimed
    ]


def _adopted(session: Session, intent: Intent, runs: Sequence[Execution]) -> list[Execution]:
    """Claim the runs for an intent; return those that nobody else has."""
    return [
        session.known(run, intent.label, intent.requested_at)
        for run in runs
        if session.history.adopt(session.instance, intent, run)
    ]


def _fits(session: Session, intent: Intent, run: Execution) -> bool:
    """Whether an unclaimed run may be the intent's."""
    user = run.fields.get("startedBy")
    if session.user is not None and user is not None and str(user) != session.user:
        return False
    began = _began(run)
    if began is None:
        return intent.known_before is not None
    return _earliest(session, intent) <= began <= _asked(session, intent) + session.timeouts.start_window


def _began(run: Execution) -> float | None:
    """Return when Domo made the run (epoch seconds); one that waits in a queue may start much later."""
    created = microseconds(run.fields.get("createdAt"))
    began = run.started_us if created is None else created
    return None if began is None else began / 1e6


def _asked(session: Session, intent: Intent) -> float:
    return intent.requested_at / 1000 + session.client.skew


def _earliest(session: Session, intent: Intent) -> float:
    return _asked(session, intent) - session.timeouts.skew - _CUT


def _over(session: Session, intent: Intent, runs: Sequence[Execution]) -> bool:
    """Whether nothing was started: its time is over, and no run is there that may be its after all.

    A clock may have been put right, or Domo's is not known: a run outside the window proves nothing.
    """
    age = session.clock.time() - intent.requested_at / 1000
    if age <= session.timeouts.start_window + session.timeouts.skew + _CUT:
        return False
    doubtful = [
        run
        for run in _unclaimed(session, intent, runs)
        if intent.known_before is not None
        or (began := _began(run)) is None
        or began >= _earliest(session, intent)
    ]
    return not doubtful or age > _WEEK


def settle(session: Session, stream_id: int | None = None) -> list[Execution]:
    """Look once into every start whose fate is still open; return the runs that were found.

    A start for which no run can have begun any more is closed: nothing was started. What cannot
    be requested now stays open, and so does, for a week, what a doubtful run may belong to.
    """
    of_stream: dict[int, list[Intent]] = {}
    for intent in session.history.open_intents(session.instance, stream_id):
        of_stream.setdefault(intent.stream_id, []).append(intent)
    found = each(lambda intents: _settle(session, intents), list(of_stream.values()), parallel=THREADS)
    return [run for runs in found for run in runs]


def _settle(session: Session, intents: Sequence[Intent]) -> list[Execution]:
    """Look into the open starts of one stream, which come oldest first."""
    oldest = intents[0].requested_at / 1000

    def enough(found: Sequence[Mapping[str, object]]) -> bool:
        times = (microseconds(record.get("startedAt")) for record in found)
        began = min((time for time in times if time is not None), default=None)
        return began is not None and began / 1e6 < oldest + session.client.skew - session.timeouts.skew - _CUT

    try:
        stream_id = intents[0].stream_id
        found_there = pagination.back_to(session.client, stream_id, enough, _WINDOW)
        runs = [Execution.from_json(record, stream_id) for record in found_there]
    except DomoError:
        return []
    found: list[Execution] = []
    # The newest first: what began before it cannot be its, and what it takes is not the older ones'.
    for place, intent in enumerate(newest_first := list(reversed(intents))):
        fitting = _fitting(session, intent, runs)
        alike = sum(all(_fits(session, other, run) for run in fitting) for other in newest_first[place:])
        if fitting and len(fitting) <= alike:
            # Not more runs than starts that each could be the one of: all of them are ours.
            found += _adopted(session, intent, fitting[:1])
        elif not fitting and _over(session, intent, runs):
            session.history.refused(intent)
    if found:
        found = [_whole(session, run) for run in found]
        session.history.saw(session.instance, found)
    return found


def _whole(session: Session, run: Execution) -> Execution:
    """Return a run with its JSON text, which the history keeps and a list read back does not have."""
    try:
        return session.refreshed(run)
    except DomoError:
        return run

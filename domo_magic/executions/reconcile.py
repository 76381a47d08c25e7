"""Which run is ours, when the answer to a start was lost: look before anything is sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domo_magic.errors import ApiError, DomoError
from domo_magic.http import pagination
from domo_magic.model.concurrency import THREADS, each
from domo_magic.model.execution import Execution, microseconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from threading import Event

    from domo_magic.executions.session import Connection
    from domo_magic.history.records import Intent

_WINDOW = 50
# A server's clock is known from its Date header, to the second; times of runs may be cut to seconds.
_CUT = 1.0
# Seconds: no clock is wrong for so long that a start is looked into for ever.
_WEEK = 604_800


def look(domo: Connection, intent: Intent, stop: Event) -> tuple[Execution | None, list[Execution]]:
    """Look for the run of an uncertain start until it is found, or patience ends.

    Parameters
    ----------
    domo : Connection
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
    deadline = domo.clock.monotonic() + domo.timing.look
    while True:
        try:
            found, several = look_once(domo, intent, deadline)
            if found or several:
                return found, several
        except ApiError as error:
            if error.status in {401, 403, 404}:
                return None, []
        except DomoError:
            pass  # the weather that lost the answer; looking goes on
        pause = max(domo.timing.look_pause, domo.client.quiet)
        if domo.clock.monotonic() + pause >= deadline or domo.clock.wait(stop, pause):
            return None, []


def look_once(
    domo: Connection, intent: Intent, deadline: float | None = None
) -> tuple[Execution | None, list[Execution]]:
    """Look once, as `look` does; with a `deadline` (monotonic seconds) not beyond it.

    Raises
    ------
    ConnectionFailed, ApiError, InvalidResponse
        Domo does not say.
    """
    runs = pagination.newest(domo.client, intent.stream_id, _WINDOW, deadline=deadline)
    fitting = _fitting(domo, intent, runs)
    if len(fitting) == 1 and (found := _adopted(domo, intent, fitting)):
        return found[0], []
    return None, [domo.known(run) for run in fitting] if len(fitting) > 1 else []


def _fitting(domo: Connection, intent: Intent, runs: Sequence[Execution]) -> list[Execution]:
    """Return the runs that may be an intent's, newest first."""
    if domo.user is None:
        domo.user = domo.history.user(domo.instance)  # of an earlier kernel
    found = [run for run in _unclaimed(domo, intent, runs) if _fits(domo, intent, run)]
    return sorted(found, key=lambda run: run.execution_id or 0, reverse=True)


def _unclaimed(domo: Connection, intent: Intent, runs: Sequence[Execution]) -> list[Execution]:
    """Return the runs that a person started, no other start's, and not known before the intent."""
    claimed = domo.history.claimed(domo.instance, intent)
    least = intent.known_before or 0
    return [
        run
        for run in runs
        if run.manual and (run.execution_id or 0) > least and run.execution_id not in claimed
    ]


def _adopted(domo: Connection, intent: Intent, runs: Sequence[Execution]) -> list[Execution]:
    """Claim the runs for an intent; return those that nobody else has."""
    return [
        domo.known(run, intent.label, intent.requested_at)
        for run in runs
        if domo.history.adopt(domo.instance, intent, run)
    ]


def _fits(domo: Connection, intent: Intent, run: Execution) -> bool:
    """Whether an unclaimed run may be the intent's."""
    user = run.fields.get("startedBy")
    if domo.user is not None and user is not None and str(user) != domo.user:
        return False
    began = _began(run)
    if began is None:
        return intent.known_before is not None
    return _earliest(domo, intent) <= began <= _asked(domo, intent) + domo.timing.start_window


def _began(run: Execution) -> float | None:
    """Return when Domo made the run (epoch seconds); one that waits in a queue may start much later."""
    created = microseconds(run.fields.get("createdAt"))
    began = run.started_us if created is None else created
    return None if began is None else began / 1e6


def _asked(domo: Connection, intent: Intent) -> float:
    return intent.requested_at / 1000 + domo.client.skew


def _earliest(domo: Connection, intent: Intent) -> float:
    return _asked(domo, intent) - domo.timing.skew - _CUT


def _over(domo: Connection, intent: Intent, runs: Sequence[Execution]) -> bool:
    """Whether nothing was started: its time is over, and no run is there that may be its after all.

    A clock may have been put right, or Domo's is not known: a run outside the window proves nothing.
    """
    age = domo.clock.time() - intent.requested_at / 1000
    if age <= _latest(domo):
        return False
    doubtful = [
        run
        for run in _unclaimed(domo, intent, runs)
        if intent.known_before is not None
        or (began := _began(run)) is None
        or began >= _earliest(domo, intent)
    ]
    return not doubtful or age > _WEEK


def _latest(domo: Connection) -> float:
    """Return the seconds after a start in which a run may begin and be listed as its own."""
    return domo.timing.start_window + domo.timing.skew + _CUT


def settle(domo: Connection, stream_id: int | None = None) -> list[Execution]:
    """Look once into every start whose fate is still open; return the runs that were found.

    A start for which no run can have begun any more is closed: nothing was started. What cannot
    be asked now stays open, and so does, for a week, what a doubtful run may belong to.
    """
    of_stream: dict[int, list[Intent]] = {}
    for intent in domo.history.open_intents(domo.instance, stream_id):
        of_stream.setdefault(intent.stream_id, []).append(intent)
    found = each(lambda intents: _settle(domo, intents), list(of_stream.values()), parallel=THREADS)
    return [run for runs in found for run in runs]


def _settle(domo: Connection, intents: Sequence[Intent]) -> list[Execution]:
    """Look into the open starts of one stream, which come oldest first."""
    oldest = intents[0].requested_at / 1000

    def enough(found: Sequence[Mapping[str, object]]) -> bool:
        times = (microseconds(record.get("startedAt")) for record in found)
        began = min((time for time in times if time is not None), default=None)
        return began is not None and began / 1e6 < oldest + domo.client.skew - domo.timing.skew - _CUT

    try:
        stream_id = intents[0].stream_id
        found_there = pagination.back_to(domo.client, stream_id, enough, _WINDOW)
        runs = [Execution.from_json(record, stream_id) for record in found_there]
    except DomoError:
        return []
    found: list[Execution] = []
    # The newest first: what began before it cannot be its, and what it takes is not the older ones'.
    for place, intent in enumerate(newest_first := list(reversed(intents))):
        fitting = _fitting(domo, intent, runs)
        alike = sum(all(_fits(domo, other, run) for run in fitting) for other in newest_first[place:])
        if fitting and len(fitting) <= alike:
            # Not more runs than starts that each could be the one of: all of them are ours.
            found += _adopted(domo, intent, fitting[:1])
        elif not fitting and _over(domo, intent, runs):
            domo.history.refused(intent)
    return found

"""Which run is ours, when the answer to a start was lost: look before anything is sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domo_magic import pages
from domo_magic.errors import ApiError, DomoError
from domo_magic.execution import microseconds

if TYPE_CHECKING:
    from threading import Event

    from domo_magic.connection import Connection
    from domo_magic.execution import Execution
    from domo_magic.history import Intent

_WINDOW = 50
# A server's clock is known from its Date header, to the second; times of runs may be cut to seconds.
_CUT = 1.0


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
    runs = pages.newest(domo.client, intent.stream_id, _WINDOW, deadline=deadline)
    claimed = domo.history.claimed(domo.instance, intent)
    fitting = [run for run in runs if run.execution_id not in claimed and _fits(domo, intent, run)]
    if len(fitting) == 1 and domo.history.adopt(domo.instance, intent, fitting[0]):
        return domo.known(fitting[0], intent.label, intent.requested_at), []
    return None, [domo.known(run) for run in fitting] if len(fitting) > 1 else []


def _fits(domo: Connection, intent: Intent, run: Execution) -> bool:
    if not run.manual or run.execution_id is None:
        return False
    if intent.known_before is not None and run.execution_id <= intent.known_before:
        return False
    user = run.fields.get("startedBy")
    if domo.user is not None and user is not None and str(user) != domo.user:
        return False
    began = run.started_us
    if began is None:
        began = microseconds(run.fields.get("createdAt"))
    if began is None:
        return intent.known_before is not None
    asked = intent.requested_at / 1000 + domo.client.skew
    early = domo.timing.skew + _CUT
    return asked - early <= began / 1e6 <= asked + domo.timing.start_window


def settle(domo: Connection, stream_id: int | None = None) -> list[Execution]:
    """Look once into every start whose fate is still open; return the runs that were found.

    A start for which no run can have begun any more is closed: nothing was started. What cannot
    be asked now stays open.
    """
    found = []
    for intent in domo.history.open_intents(domo.instance, stream_id):
        try:
            run, several = look_once(domo, intent)
        except DomoError:
            continue
        age = domo.clock.time() - intent.requested_at / 1000
        if run is not None:
            found.append(run)
        elif not several and age > domo.timing.start_window + domo.timing.skew + _CUT:
            domo.history.refused(intent)
    return found

"""A stream's newest runs: as Domo lists them, and what was started here that its list does not show yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domo_magic.errors import DomoError, NotFound
from domo_magic.http import pagination
from domo_magic.model.concurrency import THREADS, each

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Execution

# Of the runs recorded here the newest, among which those are that a list may lack.
_RECORDED = 50


def newest(session: Session, stream_id: int, count: int) -> list[Execution]:
    """Return a stream's newest runs, newest first, at least `count` where there are as many.

    Raises
    ------
    ConnectionFailed, ApiError, InvalidResponse
        Domo does not list them.
    """
    runs = pagination.newest(session.client, stream_id, count)
    listed = {run.execution_id or 0 for run in runs}
    return sorted(
        [*late(session, stream_id, listed), *runs], key=lambda run: run.execution_id or 0, reverse=True
    )


def late(session: Session, stream_id: int, listed: Collection[int]) -> list[Execution]:
    """Return the runs recorded here that a list, from its oldest on, should have and has not.

    They are asked about, and recorded as they are seen; of those that have ended only the latest.
    """
    recorded = [
        run
        for run in session.history.runs(session.instance, [stream_id], limit=_RECORDED)
        if (run.execution_id or 0) > min(listed, default=0)
        and run.execution_id not in listed
        and (not run.finished or _new(session, run))
    ]
    return looked_at(session, recorded)


def looked_at(session: Session, runs: Sequence[Execution]) -> list[Execution]:
    """Ask about runs, record what is seen, and return those that are there; as known where Domo is silent."""
    found = each(lambda run: _as_seen(session, run), runs, parallel=THREADS)
    there = [run for run in found if run is not None]
    session.history.saw(session.instance, there)
    return there


def _new(session: Session, run: Execution) -> bool:
    """Whether a run was started here so lately that a list may lack it."""
    return session.clock.time() - (run.requested_at or 0) / 1000 < session.timeouts.start_window


def _as_seen(session: Session, run: Execution) -> Execution | None:
    """Return the run as Domo has it now; None where Domo has it no more."""
    try:
        return run.seen(session.client.get_execution(run.stream_id, run.execution_id or 0, repeat=False))
    except NotFound:
        # One just started may not be there yet; a Domo that was made anew, as a sandbox, never has it.
        return run if not run.finished and _new(session, run) else None
    except DomoError:
        return run

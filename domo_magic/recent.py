"""A stream's newest runs: as Domo lists them, and what was started here that its list does not show yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domo_magic import pages
from domo_magic.errors import DomoError, NotFound
from domo_magic.worker import THREADS, each

if TYPE_CHECKING:
    from domo_magic.connection import Connection
    from domo_magic.execution import Execution


def newest(domo: Connection, stream_id: int, count: int) -> list[Execution]:
    """Return a stream's newest runs, newest first, at least `count` where there are as many.

    Raises
    ------
    ConnectionFailed, ApiError, InvalidResponse
        Domo does not list them.
    """
    runs = pages.newest(domo.client, stream_id, count)
    return [*late(domo, stream_id, max((run.execution_id or 0 for run in runs), default=0)), *runs]


def late(domo: Connection, stream_id: int, listed: int) -> list[Execution]:
    """Return the unfinished runs recorded here that are newer than the newest `listed`, newest first.

    Each is asked about; where Domo does not say, it is returned as it is known.
    """
    recorded = domo.history.runs(domo.instance, [stream_id], finished=False)
    newer = [run for run in recorded if (run.execution_id or 0) > listed]
    found = each(lambda run: _as_seen(domo, run), newer, parallel=THREADS)
    return sorted(filter(None, found), key=lambda run: run.execution_id or 0, reverse=True)


def _as_seen(domo: Connection, run: Execution) -> Execution | None:
    """Return the run as Domo has it now; None where Domo has it no more."""
    try:
        return run.seen(domo.client.execution(run.stream_id, run.execution_id or 0, repeat=False))
    except NotFound:
        # One that was just started may not be there yet; a sandbox that was made anew never has it.
        age = domo.clock.time() - (run.requested_at or 0) / 1000
        return run if age < domo.timing.start_window else None
    except DomoError:
        return run

"""Lists of a stream's executions, whole whatever their order, overlaps and gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domo_magic.client import PAGE

if TYPE_CHECKING:
    from domo_magic.client import Client
    from domo_magic.execution import Execution


def newest(client: Client, stream_id: int, count: int) -> list[Execution]:
    """Return a stream's newest executions, newest first, at least `count` where there are as many.

    Lists come oldest first as far as is known, so the newest stand at ``offset = newest - count``.
    Where that page does not hold the newest, the order is another, or ids have gaps: then every
    page is read.

    Raises
    ------
    ConnectionFailed, ApiError, InvalidResponse
        As for every question to Domo.
    """
    last = client.newest_id(stream_id)
    offset = max(0, last - count)
    found = _by_id(client.executions(stream_id, count, offset))
    if not (last and max(found, default=0) >= last and (offset == 0 or len(found) >= min(count, last))):
        found |= everything(client, stream_id)
    return [found[execution_id] for execution_id in sorted(found, reverse=True)]


def everything(client: Client, stream_id: int) -> dict[int, Execution]:
    """Return all executions of a stream by their id."""
    found: dict[int, Execution] = {}
    offset = 0
    while True:
        page = client.executions(stream_id, PAGE, offset)
        found |= _by_id(page)
        # Runs that appear while paging shift what is newest first: pages overlap a little.
        offset += PAGE - 10
        if len(page) < PAGE:
            return found


def _by_id(page: list[Execution]) -> dict[int, Execution]:
    return {run.execution_id: run for run in page if run.execution_id is not None}

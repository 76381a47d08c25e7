"""Lists of a stream's executions, whole whatever their order, overlaps and gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from domo_magic.errors import NotFound
from domo_magic.http.client import MOST_FIELDS, PAGE, count_fields
from domo_magic.http.response import oversized
from domo_magic.model.concurrency import THREADS, each
from domo_magic.model.execution import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from domo_magic.http.client import Client
    from domo_magic.model.execution import Execution

    Record = Mapping[str, Any]
    #: Gives the executions from an offset on, as many as a limit, by their ids in the list's order.
    Page = Callable[[int, int], dict[int, "_Item"]]

_Item = TypeVar("_Item")
# Runs that appear between two requests, or that the newest id does not count yet.
_OVERLAP = 10
# Lists of up to so many runs, in up to so many pages, are read whole where their order is not known.
_WHOLE, _PAGES = 10_000, 100
# More than one every 15 minutes for five years: a server that passes over `offset` lists for ever.
_MOST = 200_000


def newest(client: Client, stream_id: int, count: int, *, deadline: float | None = None) -> list[Execution]:
    """Return a stream's newest executions, newest first, at least `count` where there are as many.

    Lists come oldest first as far as is known, so the newest stand at ``offset = newest - count``.
    Where that page does not hold the newest, or is not the last, the order is another, ids have gaps,
    or the newest id was not: then every page is read. With a `deadline` (monotonic seconds) every
    request is sent once, and ends there.

    Raises
    ------
    ConnectionFailed, ApiError, InvalidResponse
        As for every request.
    """

    def page(offset: int, limit: int) -> dict[int, Execution]:
        runs = client.list_executions(stream_id, limit, offset, deadline=deadline)
        return {run.execution_id: run for run in runs if run.execution_id is not None}

    last = client.latest_execution_id(stream_id, deadline=deadline)
    offset = max(0, last - count)
    found = page(offset, count + _OVERLAP)
    if not (_holds_newest(found, last) and (offset == 0 or len(found) >= min(count, last))):
        found |= _whole_list(page, stream_id, lambda some: len(some) >= count)
    return [found[execution_id] for execution_id in sorted(found, reverse=True)]


def _holds_newest(found: Mapping[int, object], last: int) -> bool:
    """Return True if what was read to the newest known id and a little beyond has the newest runs."""
    return 0 < last <= max(found, default=0) < last + _OVERLAP


def _ends_with(found: Mapping[int, object], last: int) -> bool:
    """Return True if what was read to a run and a little beyond has it, and is no other part of the list."""
    return last in found and max(found) <= last + _OVERLAP


def back_to(
    client: Client,
    stream_id: int,
    enough: Callable[[Sequence[Record]], bool],
    count: int,
    *,
    up_to: int | None = None,
) -> list[Record]:
    """Return a stream's newest executions, read back until there are `enough`; pages come side by side.

    Parameters
    ----------
    client : Client
        Sends the requests.
    stream_id : int
        The stream.
    enough : callable
        Tells whether what was found will do.
    count : int
        How many are probably enough.
    up_to : int, optional
        The execution to begin with, in place of the newest; some newer ones may be there, too.

    Returns
    -------
    list of dict
        Parsed JSON, by falling execution id.

    Raises
    ------
    ConnectionFailed, ApiError, InvalidResponse
        As for every request.
    """
    last = client.latest_execution_id(stream_id) if up_to is None else up_to
    found: dict[int, Record] = {}
    end, size = last, min(PAGE, count)
    pages = -(-count // size)
    while end > 0:
        offsets = [max(0, end - size * (page + 1)) for page in range(pages) if end - size * page > 0]
        more = _side_by_side(client, stream_id, offsets, end)
        if len(found) > _MOST:
            raise oversized(f"stream {stream_id}")
        nothing_new = more.keys() <= found.keys()  # ids go on from much earlier, or offsets are passed over
        found |= more
        end, size, pages = offsets[-1], PAGE, THREADS
        if nothing_new or not (_holds_newest(found, last) if up_to is None else _ends_with(found, up_to)):
            break  # another order than known, ids with gaps, or not the newest id
        if enough(list(found.values())) or (end <= 0 and (up_to is None or min(found) <= 1)):
            return _newest_first(found, stream_id)
    found = _whole_list(
        lambda offset, limit: _keyed(client.list_records(stream_id, limit, offset)),
        stream_id,
        lambda some: (up_to is None or up_to in some) and enough(list(some.values())),
    )
    return _newest_first(found, stream_id)


def _keyed(records: Iterable[Record]) -> dict[int, Record]:
    return {key: record for record in records if (key := whole(record.get("executionId")) or 0) > 0}


def _newest_first(found: dict[int, Record], stream_id: int) -> list[Record]:
    records = [found[execution_id] for execution_id in sorted(found, reverse=True)]
    if count_fields(records) > MOST_FIELDS:
        raise oversized(f"stream {stream_id}")
    return records


def _side_by_side(client: Client, stream_id: int, offsets: Sequence[int], end: int) -> dict[int, Record]:
    """Return the executions from each offset to the next."""
    windows = list(zip(offsets, [end, *offsets], strict=False))
    found: dict[int, Record] = {}
    for page in each(lambda window: _window(client, stream_id, *window, end), windows, parallel=THREADS):
        found |= _keyed(page)
    return found


def _window(client: Client, stream_id: int, offset: int, until: int, end: int) -> list[dict[str, Any]]:
    """Return the executions of one window, read on where Domo gives fewer at a time than were requested."""
    overlap = _OVERLAP if until == end else 0
    found: list[dict[str, Any]] = []
    seen: set[str] = set()
    while offset + len(found) < until:
        size = min(PAGE, until + overlap - offset - len(found))
        page = client.list_records(stream_id, size, offset + len(found))
        ids = {str(record.get("executionId")) for record in page}
        if ids <= seen:  # nothing more, or the same again
            break
        found += page
        seen |= ids
    return found


def _whole_list(
    page: Page[_Item], stream_id: int, enough: Callable[[dict[int, _Item]], bool]
) -> dict[int, _Item]:
    """Return all executions of a list of unknown order; of a long one those at its end that are `enough`."""
    found: dict[int, _Item] = {}
    offset = pages = step = 0
    while pages < _PAGES and len(found) < _WHOLE:
        pages += 1
        more = page(offset, PAGE)
        # A short page is not the last where Domo gives fewer at a time than were requested.
        if more.keys() <= found.keys():
            return found
        found |= more
        if len(found) > 1 and list(found) == sorted(found, reverse=True) and enough(found):
            return found
        # Runs that appear while paging shift what is newest first: pages overlap a little.
        step = len(more) - min(_OVERLAP, len(more) // 2)
        offset += step
    if list(found) != sorted(found):
        raise oversized(f"stream {stream_id}")
    end = _length(page, offset, stream_id)
    found = {}
    for _ in range(_PAGES):
        if end == 0 or enough(found):
            return found
        end = max(0, end - step)
        found |= page(end, PAGE)
    raise oversized(f"stream {stream_id}")  # pages without anything new, to the beginning of whatever that is


def _length(page: Page[_Item], low: int, stream_id: int) -> int:
    """Return how long a list is that has more than `low` items, by looking at single ones."""
    high = 2 * low
    while page(high, 1):
        low, high = high, 2 * high
        if low > _MOST:
            raise oversized(f"stream {stream_id}")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if page(middle, 1) else (low, middle)
    return high


def these(
    client: Client, stream_id: int, wanted: Sequence[int]
) -> tuple[list[Execution], dict[int, NotFound]]:
    """Return these executions, requested once: a page that holds several, else one by one.

    Returns
    -------
    found : list of Execution
        In the order of `wanted`.
    missing : dict
        ``{execution_id: NotFound}`` of what Domo does not have.

    Raises
    ------
    ConnectionFailed, ApiError, InvalidResponse
        As for every request.
    """
    found: dict[int | None, Execution] = {}
    low, high = min(wanted), max(wanted)
    if len(wanted) > 1 and high - low < PAGE:
        page = client.list_executions(stream_id, high - low + 1, low - 1, repeat=False)
        # A list may leave out what went wrong.
        found = {run.execution_id: run for run in page if not run.finished or run.succeeded}
    missing: dict[int, NotFound] = {}
    for execution_id in wanted:
        if execution_id not in found:
            try:
                found[execution_id] = client.get_execution(stream_id, execution_id, repeat=False)
            except NotFound as error:
                missing[execution_id] = error
    return [found[execution_id] for execution_id in wanted if execution_id in found], missing

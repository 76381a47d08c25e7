"""Lists as a Domo may have them: in any order, with gaps, longer than asked for, without an end."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import faults
import pytest

from domo_magic.errors import InvalidResponse
from domo_magic.http import pagination
from domo_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from faults import Fault, Request

    from domo_magic.executions.session import Session

    Ids = Callable[[int, int], Sequence[int]]


def lists(sandbox: Sandbox, ids: Ids, *, newest: int | None = None) -> None:
    """Let every list be what `ids` gives for a limit and an offset, and the newest id unknown."""

    def decide(request: Request) -> Fault | None:
        if "/state/" in request.path:
            return faults.status(403) if newest is None else answer([{"executionId": newest}])
        found = re.search(r"/executions\?limit=(\d+)&offset=(\d+)", request.path)
        if found is None:
            return None
        return answer([{"executionId": number} for number in ids(int(found[1]), int(found[2]))])

    sandbox.decide = decide


def answer(value: object) -> Fault:
    """Give a response of JSON."""
    return faults.response(json.dumps(value).encode())


def newest(session: Session, count: int) -> list[int | None]:
    """Return the ids of a stream's newest runs, cut to as many as are wanted."""
    return [run.execution_id for run in pagination.newest(session.client, 7, count)][:count]


def back(session: Session, count: int) -> list[int]:
    """Return the ids of a stream's runs read back until there are as many as are wanted, cut to these."""
    found = pagination.back_to(session.client, 7, lambda some: len(some) >= count, count)
    return [int(record["executionId"]) for record in found][:count]


LENGTHS = [1, 14, 15, 499, 500, 501, 990, 9_999, 10_400, 35_000]


def test_a_long_list_of_the_same_is_left(still_sandbox: Sandbox, still_session: Session) -> None:
    """A list that seems long, and holds one run again and again, is not read back to its beginning."""

    def ids(_limit: int, offset: int) -> list[int]:
        return [offset + 1, offset + 2] if offset < 200 else [7] if offset < 150_000 else []

    lists(still_sandbox, ids)
    with pytest.raises(InvalidResponse):
        newest(still_session, 5)
    assert len(still_sandbox.requests) < 400


@pytest.mark.parametrize("read", [newest, back])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("step", [1, -1], ids=["oldest first", "newest first"])
@pytest.mark.parametrize("cap", [500, 50])
def test_the_newest_are_found_without_their_id(
    still_sandbox: Sandbox, still_session: Session, read: Any, length: int, step: int, cap: int
) -> None:
    """A long list in either order costs some 130 requests at most, where Domo gives fewer at a time too."""
    all_ids = list(range(1, length + 1))[::step]
    lists(still_sandbox, lambda limit, offset: all_ids[offset : offset + min(limit, cap)])
    assert read(still_session, 5) == list(range(length, max(0, length - 5), -1))
    assert len(still_sandbox.requests) <= 130


@pytest.mark.parametrize("read", [newest, back])
def test_a_list_in_no_order_is_read_whole(still_sandbox: Sandbox, still_session: Session, read: Any) -> None:
    """Where ids come in no order the newest may stand anywhere."""
    all_ids = [number * 37 % 2003 for number in range(1, 2003)]
    lists(still_sandbox, lambda limit, offset: all_ids[offset : offset + limit])
    assert read(still_session, 5) == [2002, 2001, 2000, 1999, 1998]


@pytest.mark.parametrize("read", [newest, back])
@pytest.mark.parametrize("size", [1, 50, 500])
@pytest.mark.parametrize("last", [None, 10**7])
def test_a_list_without_an_end_is_no_list(
    still_sandbox: Sandbox, still_session: Session, read: Any, size: int, last: int | None
) -> None:
    """Ids that are always new, whatever the offset, end with an error, and not when the memory is full."""
    given = iter(range(1, 10**9))
    lists(still_sandbox, lambda limit, _offset: [next(given) for _ in range(min(limit, size))], newest=last)
    with pytest.raises(InvalidResponse, match="far longer than requested"):
        read(still_session, 5)
    assert len(still_sandbox.requests) <= 130


@pytest.mark.parametrize("fault", ["items", "fields"])
def test_a_page_far_longer_than_asked_for_is_refused(
    still_sandbox: Sandbox, still_session: Session, fault: str
) -> None:
    """Neither a hundred thousand runs nor as many fields are made into rows."""
    items: list[dict[str, int]] = [{"executionId": number} for number in range(1, 101)]
    if fault == "items":
        items = items * 1000
    else:
        items[0] |= {f"field{number}": 1 for number in range(100_000)}
    still_sandbox.order(answer(items), method="GET", times=9)
    with pytest.raises(InvalidResponse, match="far longer than requested"):
        still_session.client.list_records(7, 100, 0)


def test_fields_that_differ_from_page_to_page_are_counted_together(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """Each page within bounds does not make a frame without any."""

    def decide(request: Request) -> Fault | None:
        if "/state/" in request.path:
            return answer([{"executionId": 2000}])
        offset = int(request.path.partition("offset=")[2])
        fields = {f"{offset}-{number}": 1 for number in range(600)}
        return answer([{"executionId": offset + number, **fields} for number in range(1, 501)])

    still_sandbox.decide = decide
    with pytest.raises(InvalidResponse, match="far longer than requested"):
        back(still_session, 2000)


BOMB = """
import json, resource, sys
from domo_magic.sandbox import Sandbox
import domo_magic as domo
sandbox_url, token = sys.argv[1:]
domo.connect(sandbox_url, token)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    domo.runs(7, limit=8000)
except domo.DomoError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_sixteen_pages_of_eight_megabytes_are_bounded_in_memory(tmp_path: Any) -> None:
    """Pages that are far too long, asked for side by side, are parsed one after the other, and dropped."""
    body = json.dumps([{"executionId": number} for number in range(280_000)]).encode()
    assert len(body) < 8 << 20 < 2 * len(body)

    def decide(request: Request) -> Fault | None:
        return answer([{"executionId": 10**7}]) if "/state/" in request.path else faults.response(body)

    with Sandbox() as sandbox:
        sandbox.decide = decide
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", BOMB, sandbox.url, sandbox.token],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    grown = int(done.stdout.split()[-1]) * (1 if sys.platform == "darwin" else 1024)
    assert grown < 600 << 20


@pytest.mark.parametrize("broken", [("state",), ("history",), ("state", "history")])
@pytest.mark.parametrize("code", [403, 500])
def test_calls_that_nobody_documented_are_not_needed(
    still_sandbox: Sandbox, still_session: Session, broken: tuple[str, ...], code: int
) -> None:
    """Where the newest id or the past is not to be had, the list does: reading, adopting and waiting work."""
    from domo_magic import api

    pattern = "|".join({"state": "/state/", "history": "/history/"}[each] for each in broken)
    still_sandbox.decide = lambda request: faults.status(code) if re.search(pattern, request.path) else None
    assert api.runs(25775, limit=5)["executionId"].tolist() == [200, 199, 198, 197, 196]
    assert api.wait(25775)["executionId"].tolist() == [200]
    started = api.run(25775)["executionId"].item()
    assert api.run(25775, if_running="adopt")["executionId"].item() == started
    assert len(api.compare(25775, limit=5)) == 5

"""Lists of runs: whole whatever the pages, repeated streams once, and what a filter left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import domo_magic
from domo_magic.sandbox import faults

if TYPE_CHECKING:
    from domo_magic.connection import Connection
    from domo_magic.sandbox import Sandbox
    from domo_magic.sandbox.faults import Fault, Request


@pytest.mark.parametrize("most", [7, 100])
def test_pages_smaller_than_asked_for_hide_no_run(
    still_sandbox: Sandbox, still_domo: Connection, most: int
) -> None:
    """A Domo that gives fewer runs at a time than it is asked for is read on."""
    stream = still_sandbox.world.add_stream(500, past=300)
    past = [
        run | {"currentState": "SUCCESS" if run["executionId"] % 10 else "ERROR"}
        for run in still_sandbox.world.executions(stream, 10_000)
    ]

    def pages(request: Request) -> Fault | None:
        if "/executions?" not in request.path:
            return None
        query = dict(part.split("=") for part in request.path.partition("?")[2].split("&"))
        offset, limit = int(query["offset"]), min(int(query["limit"]), most)
        return faults.answer(json.dumps(past[offset : offset + limit]).encode())

    still_sandbox.decide = pages
    found = domo_magic.runs(stream, limit=25, state="ERROR")
    assert found["executionId"].tolist() == list(range(300, 50, -10))
    assert len(domo_magic.runs(stream, limit=1000)) == 300

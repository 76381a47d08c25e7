"""20,000 past executions of one stream: `domo.runs` beside a plain loop, and beside the network's floor.

Server in its own process, 50 ms per response, 40 pages of 500. Targets: at least 5 times faster than
`requests.get`, `json_normalize` and `to_datetime` in a loop; at most 2.5 of the floor with 8 connections.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import pandas as pd
import requests

import domo_magic as domo
from domo_magic.executions.session import open_session, use_session
from domo_magic.http.address import address
from domo_magic.http.credentials import Login, Token
from domo_magic.model.concurrency import THREADS
from domo_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from multiprocessing.connection import Connection as Pipe

RUNS, PAGE, LATENCY, CONNECTIONS, ROUNDS = 20_000, 500, 0.05, 8, 7
FASTER, OF_FLOOR = 5.0, 2.5


def serve(pipe: Pipe) -> None:
    """Be the Domo, until the other end of the pipe is gone."""
    with Sandbox() as sandbox:
        stream = sandbox.world.add_stream(60.0, past=RUNS)
        sandbox.world.executions_json(stream, PAGE, 0)  # the past is drawn once
        sandbox.latency = LATENCY
        pipe.send((sandbox.url, sandbox.token, stream))
        pipe.recv()


def plain(url: str, token: str, stream: int) -> pd.DataFrame:
    """Read every page, as one would by hand."""
    pages = []
    for offset in range(0, RUNS, PAGE):
        response = requests.get(
            f"{url}/api/data/v1/streams/{stream}/executions?limit={PAGE}&offset={offset}",
            headers={"X-DOMO-Developer-Token": token},
            timeout=30,
        )
        pages.append(pd.json_normalize(response.json()))
    table = pd.concat(pages)
    for column in ("startedAt", "endedAt", "createdAt", "modifiedAt"):
        table[column] = pd.to_datetime(table[column], unit="s", utc=True)
    return table


def main() -> int:
    """Measure both, alternating; return 1 when a figure is missed."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(there,), daemon=True)
    server.start()
    url, token, stream = here.recv()
    login = Login(address(url), Token(token), "the benchmark")
    use_session(open_session(login, sandbox=True))
    ours, theirs = [], []
    with tempfile.TemporaryDirectory():
        for _ in range(ROUNDS):
            start = time.perf_counter()
            table = domo.runs(stream, limit=RUNS)
            ours.append(time.perf_counter() - start)
            start = time.perf_counter()
            by_hand = plain(url, token, stream)
            theirs.append(time.perf_counter() - start)
            same = sorted(table["executionId"]) == sorted(by_hand["executionId"])
            if len(table) != RUNS or not same or table["rowsInserted"].sum() != by_hand["rowsInserted"].sum():
                sys.exit("the two do not have the same rows")
    here.send("done")
    floor = RUNS / PAGE * LATENCY / CONNECTIONS
    fast, slow = statistics.median(ours), statistics.median(theirs)
    print(f"domo.runs {fast:.3f} s, by hand {slow:.3f} s: {slow / fast:.1f} times faster (target {FASTER:g})")
    print(
        f"floor with {CONNECTIONS} connections {floor:.3f} s: {fast / floor:.2f} of it (target {OF_FLOOR:g});"
        f" {fast / (floor * CONNECTIONS / THREADS):.2f} of that with our {THREADS}"
    )
    return int(slow / fast < FASTER or fast / floor > OF_FLOOR)


if __name__ == "__main__":
    sys.exit(main())

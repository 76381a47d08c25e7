"""Collecting many streams: threads beside a Dask cluster of two processes, and beside the network's floor.

``python tests/benchmarks/collect.py [STREAMS]``; 1,000 streams of 200 runs by default, the full scale is
5,000. The server responds after 50 ms, in a process of its own; ``requests * 0.05 / 16`` seconds is the least
that the requests made can take with 16 at a time. Each side runs in a process of its own, whose start is not
counted, and prints its processor time and peak memory. Then again with nothing new, and with one run a
stream, 16 requests at a time beside 4. Lists of 200 runs are one page: again takes as many requests as the
first time, which a fifth of the time is too little for; what it takes of its floor is printed beside it, and
both once more with a server that gives at most 50 runs at once.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import requests
from overview import LATENCY, PARALLEL, Server, datasets

if TYPE_CHECKING:
    from multiprocessing.connection import Connection as Pipe

PAST, FEWER, STREAM = 200, 50, 1_000_000_000
FLOOR, CLUSTER, AGAIN, FOUR, MEMORY, CPU = 1.6, 0.8, 0.2, 2.5, 400, 3.0


def run(number: int) -> dict[str, Any]:
    """Return a run with the fields of Domo's own sample."""
    began = 1_734_458_216 + 3600 * number
    return {
        "streamId": STREAM,
        "executionId": number,
        "toe": "HJP31Q11Q3-MO40M-EIVQC",
        "startedAt": began,
        "endedAt": began + 100 + number % 7,
        "updateMethod": "REPLACE",
        "index": True,
        "retryCount": 0,
        "retryExecution": None,
        "containerManagerId": "62f38e6c-b6ad-4c2b",
        "uploadId": 7_000 + number,
        "indexRequestKey": f"@{20_220_513_224_325 + number}.628@",
        "currentState": "SUCCESS",
        "runType": "AUTOMATED",
        "createdAt": began,
        "modifiedAt": began + 100,
        "latestPhase": None,
        "currentPhase": None,
        "removed": False,
        "rowsInserted": 10_000 + number % 9,
        "bytesInserted": 500_000 + number % 9,
        "startedBy": None,
        "cancelledBy": None,
        "dataTag": None,
        "peakMemoryUsedBytes": 200_819_808,
        "peakMemoryCommittedBytes": 300_819_808,
        "exportable": False,
        "manualIndex": False,
        "errors": [],
    }


class Fleet(Server):
    """Lists of runs, which differ in their stream alone; at most so many at once."""

    def __init__(self, streams: int, past: int, most: int) -> None:
        super().__init__(0)
        self.past, self.most = past, most
        self.datasets = datasets(streams)
        self.pages: dict[int, bytes] = {}

    def body(self, path: str) -> bytes:
        """Return the response to one request."""
        where, _, query = path.partition("?")
        parts = where.split("/")[4:]
        if parts[-1] != "executions":
            return super().body(path)
        self.paths["executions"] += 1
        offset = int(parse_qs(query)["offset"][0])
        if offset not in self.pages:
            end = min(self.past, offset + self.most)
            text = json.dumps([run(number) for number in range(offset + 1, end + 1)])
            self.pages[offset] = text.replace('"@', "").replace('@"', "").encode()
        return self.pages[offset].replace(str(STREAM).encode(), parts[1].encode())


def serve(pipe: Pipe, streams: int, past: int, most: int) -> None:
    """Serve until told otherwise."""

    async def main() -> None:
        server = Fleet(streams, past, most)
        listening = await asyncio.start_server(server.connection, "127.0.0.1", 0, backlog=64)
        pipe.send(listening.sockets[0].getsockname()[1])
        while True:
            await asyncio.to_thread(pipe.recv)
            pipe.send((server.paths["executions"], server.paths.total()))
            server.paths.clear()

    asyncio.run(main())


def side(url: str, folder: str, workers: int, parallel: int) -> None:
    """Collect once in this process, on threads, on a cluster, or not at all; print what it took."""
    import domo_magic as domo

    if workers < 0:
        print(json.dumps(bare(url, -workers)))
        return
    loaded()
    os.environ["DOMO_DEVELOPER_TOKEN"] = "benchmark"
    domo.connect(url)
    domo.streams(limit=1)
    if not workers:
        print(json.dumps(timed(domo, folder, parallel, None)))
        return
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=workers, threads_per_worker=8, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.run(loaded)
        before = sum(client.run(time.process_time).values())
        found = timed(domo, folder, parallel, client.get_executor())
        found["cpu"] += sum(client.run(time.process_time).values()) - before
        found["peak"] = max(found["peak"], *client.run(peak).values())
    print(json.dumps(found))


def bare(url: str, streams: int) -> dict[str, float]:
    """Request every list with `requests` alone, 16 at a time, and parse the JSON; nothing else."""
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=PARALLEL))

    def page(stream: int) -> int:
        return len(session.get(f"{url}/api/data/v1/streams/{stream}/executions?limit=500&offset=0").json())

    began, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(PARALLEL) as pool:
        runs = sum(pool.map(page, range(1, streams + 1)))
    took, used = time.perf_counter() - began, time.process_time() - used
    return {"took": took, "cpu": used, "runs": runs, "peak": peak()}


def loaded() -> None:
    """Load what a first collect loads: imports are not counted."""
    for name in ("pandas", "pyarrow.compute", "pyarrow.parquet", "domo_magic.fleet.reading"):
        importlib.import_module(name)


def timed(domo: Any, folder: str, parallel: int, executor: Any) -> dict[str, float]:
    """Collect, and return seconds, processor seconds, runs and peak memory."""
    began, used = time.perf_counter(), time.process_time()
    rows = domo.collect(folder, executor=executor, max_parallel=parallel)
    took, used = time.perf_counter() - began, time.process_time() - used
    assert rows["error"].isna().all(), rows["error"].dropna().iloc[0]
    return {"took": took, "cpu": used, "runs": int(rows["fetched"].sum()), "peak": peak()}


def peak() -> float:
    """Return the peak memory of this process in MiB; what `resource` says, a child has from its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0]) / 1024


class Bench:
    """A server, and sides that collect from it."""

    def __init__(self, streams: int, past: int, most: int = PAST) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self.server = multiprocessing.get_context("spawn").Process(
            target=serve, args=(theirs, streams, past, most), daemon=True
        )
        self.server.start()
        self.url = f"http://127.0.0.1:{self.pipe.recv()}"

    def collect(
        self, name: str, folder: Path, workers: int = 0, parallel: int = PARALLEL
    ) -> dict[str, float]:
        """Collect in a process of its own; return what it took."""
        command = [sys.executable, __file__, "--side", self.url, str(folder), str(workers), str(parallel)]
        self.pipe.send("count")
        self.pipe.recv()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        self.pipe.send("count")
        found["requests"], requests = self.pipe.recv()  # pages of runs, and all
        found["floor"] = found["took"] / (requests * LATENCY / parallel)
        print(
            f"{name:>23}: {found['took']:6.2f} s, {found['floor']:.2f} of the floor, {requests:,} requests,"
            f" {found['runs']:,} runs, {1000 * found['cpu'] / requests:.1f} ms of processor time a request,"
            f" peak {found['peak']:.0f} MiB"
        )
        return found


def contents(folder: Path) -> Any:
    """Return what a dataset holds, in one order."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder, columns=["streamId", "executionId", "rowsInserted", "toe", "duration"])
    return table.sort_by([("streamId", "ascending"), ("executionId", "ascending")])


def main() -> int:
    """Measure and print; 1 when a figure is missed."""
    if sys.argv[1:2] == ["--side"]:
        url, folder, workers, parallel = sys.argv[2:]
        side(url, folder, int(workers), int(parallel))
        return 0
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as home:
        os.environ["DOMO_MAGIC_HOME"] = home
        bench = Bench(streams, PAST)
        beside = bench.collect("requests and JSON alone", Path(home), -streams)
        threads = bench.collect("threads", Path(home, "threads"))
        cluster = bench.collect("two processes of Dask", Path(home, "dask"), 2)
        again = bench.collect("again, nothing new", Path(home, "threads"))
        equal = contents(Path(home, "threads")).equals(contents(Path(home, "dask")))
        parts = [file.stat().st_size / 2**20 for file in Path(home, "threads").iterdir()]
        print(f"{len(parts)} parts of {min(parts):.1f} to {max(parts):.1f} MiB")
        bench.server.terminate()
        bench = Bench(streams, 1)
        many = bench.collect("one run, 16 at a time", Path(home, "16"))
        few = bench.collect("one run, 4 at a time", Path(home, "4"), parallel=4)
        bench.server.terminate()
        bench = Bench(streams, PAST, FEWER)
        short = bench.collect("pages of 50", Path(home, "50"))
        short_again = bench.collect("again, nothing new", Path(home, "50"))
        bench.server.terminate()
    figures = [
        ("both sides equal", equal, equal),
        ("threads, of the floor", threads["floor"], threads["floor"] <= FLOOR),
        ("that by requests and JSON's", threads["floor"] / beside["floor"], True),
        ("ms of processor time a page", ms := 1000 * threads["cpu"] / threads["requests"], ms <= CPU),
        ("cluster by threads", by := cluster["took"] / threads["took"], by <= CLUSTER),
        ("requests by streams", by := threads["requests"] / streams, by <= 2),
        ("again, requests by streams", by := again["requests"] / streams, by <= 1),
        ("again, of the floor", again["floor"], again["floor"] <= FLOOR),
        ("again by first", by := again["took"] / threads["took"], by <= AGAIN),
        ("that in processor time", again["cpu"] / threads["cpu"], True),
        ("pages of 50, of the floor", short["floor"], short["floor"] <= FLOOR),
        ("ms of processor time a page", ms := 1000 * short["cpu"] / short["requests"], ms <= CPU),
        ("again by first", by := short_again["took"] / short["took"], by <= AGAIN),
        ("4 at a time by 16", by := few["took"] / many["took"], by >= FOUR),
        ("peak MiB", most := max(threads["peak"], cluster["peak"]), most <= MEMORY),
    ]
    for name, figure, met in figures:
        print(
            f"{name:>30}: {figure:.2f}" if figure is not equal else f"{name:>30}: {figure}", met or "MISSED"
        )
    return int(not all(met for *_, met in figures))


if __name__ == "__main__":
    sys.exit(main())

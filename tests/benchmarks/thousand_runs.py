"""1,000 streams started and followed to their end, against the floor that the network sets.

The server responses after 50 ms, in a process of its own, on 16 connections; so that ``requests * 0.05 / 16``
seconds is the least that the requests made can take, or the longest run where that is more. The whole of
`domo.run(ids, wait=True)` counts, with the history in a file. Memory is what this process grows by from
before the call to the most that it held during it. As many bare requests of the standard library, made
after each round, tell how much of the rest is the machine's.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import threading
import time
from email.utils import formatdate
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self

import domo_magic as domo
from domo_magic.executions.session import close_sessions

if TYPE_CHECKING:
    from multiprocessing.connection import Connection as Pipe

STREAMS, CONNECTIONS, LATENCY = 1000, 16, 0.05
SHORTEST, LONGEST = 2.0, 6.0
ROUNDS = 7
_PAST = 20
TARGET, MEMORY_TARGET, THREADS_TARGET = 1.20, 50.0, 20


class Server:
    """The few endpoints that a start and its following need; a stream's runs last as its id says."""

    def __init__(self) -> None:
        self.requests = 0
        self.connections: set[asyncio.StreamWriter] = set()
        self.most = 0
        self.runs: dict[int, list[float]] = {}

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Respond to one connection's requests."""
        self.connections.add(writer)
        self.most = max(self.most, len(self.connections))
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                until = asyncio.get_running_loop().time() + LATENCY
                length = head.lower().partition(b"content-length:")[2].partition(b"\r")[0]
                if length:
                    await reader.readexactly(int(length))
                method, path, _ = head.decode("latin-1").split(" ", 2)
                body = self.response(method, path.split("?")[0].strip("/").split("/"))
                await asyncio.sleep(until - asyncio.get_running_loop().time())
                date = formatdate(usegmt=True)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"Date: %b\r\nContent-Length: %d\r\n\r\n%b" % (date.encode(), len(body), body)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.connections.discard(writer)
            writer.close()

    def response(self, method: str, parts: list[str]) -> bytes:
        """Return the body of a response to ``/api/data/v1/streams/...``."""
        self.requests += 1
        if parts[4] == "state":
            stream = int(parts[5])
            return json.dumps([{"executionId": _PAST + len(self.runs.get(stream, []))}]).encode()
        stream = int(parts[4])
        if len(parts) == 5:
            dataset = {"id": f"{stream:08d}-0000-4000-8000-000000000000", "name": f"DataSet {stream}"}
            return json.dumps(
                {"id": stream, "dataSource": dataset, "transport": {"type": "CONNECTOR"}}
            ).encode()
        runs = self.runs.setdefault(stream, [])
        if parts[5] == "history":
            return json.dumps([self.past(stream, number) for number in range(_PAST, 0, -1)]).encode()
        if method == "POST":
            runs.append(time.time())
            return json.dumps(self.run(stream, _PAST + len(runs))).encode()
        return json.dumps(self.run(stream, int(parts[6]))).encode()

    def run(self, stream: int, number: int) -> dict[str, Any]:
        """Return a run as Domo shows it."""
        began = self.runs[stream][number - _PAST - 1]
        ends = began + duration(stream)
        over = time.time() >= ends
        return {
            "streamId": stream,
            "executionId": number,
            "startedAt": began,
            "endedAt": ends if over else None,
            "currentState": "SUCCESS" if over else "ACTIVE",
            "runType": "MANUAL",
            "rowsInserted": 1000 * stream,
            "bytesInserted": 50_000 * stream,
            "indexRequestKey": None,
            "errors": [],
            "startedBy": "1",
        }

    def past(self, stream: int, number: int) -> dict[str, Any]:
        """Return a run of the past in a history's few fields."""
        began = 1_700_000_000.0 + 3600 * number
        lasted = duration(stream) * (0.9 + 0.01 * number)
        return {
            "streamId": stream,
            "executionId": number,
            "currentState": "SUCCESS",
            "rowsInserted": 1000 * stream,
            "startedAt": began,
            "endedAt": began + lasted,
        }


def duration(stream: int) -> float:
    """Return how long a stream's runs last, in seconds."""
    return SHORTEST + (LONGEST - SHORTEST) * (stream * 7919 % 1000) / 1000


def serve(pipe: Pipe, kind: type[Server] = Server) -> None:
    """Serve until told otherwise."""

    async def main() -> None:
        server = kind()
        listening = await asyncio.start_server(server.connection, "127.0.0.1", 0, backlog=64)
        pipe.send(listening.sockets[0].getsockname()[1])
        while True:
            await asyncio.to_thread(pipe.recv)
            pipe.send((server.requests, server.most))
            server.most = 0

    asyncio.run(main())


class Watch:
    """Looks at this process's memory and threads while something runs."""

    def __init__(self) -> None:
        self.before = resident()
        self.memory, self.threads = 0.0, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch")

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.memory = max(self.memory, resident() - self.before)
            names = [thread.name for thread in threading.enumerate()]
            self.threads = max(self.threads, sum(name.startswith("domo_magic") for name in names))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def resident() -> float:
    """Return the kilobytes of memory that this process holds."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # no /proc: the most so far
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return pages * resource.getpagesize() / 1024


def one_round(pipe: Pipe, streams: list[int]) -> tuple[float, float, int, float, int]:
    """Return seconds, floor, requests, kilobytes per run, and threads of one call."""
    pipe.send("count")
    before, _ = pipe.recv()
    with Watch() as watch:
        began = time.perf_counter()
        rows = domo.run(streams, wait=True)
        took = time.perf_counter() - began
    pipe.send("count")
    after, most = pipe.recv()
    assert (rows.currentState == "SUCCESS").all(), "not every run was followed to its end"
    assert most <= CONNECTIONS, f"{most} connections"
    requests = after - before
    floor = max(requests * LATENCY / CONNECTIONS, *map(duration, streams))
    return took, floor, requests, watch.memory / len(streams), watch.threads


def bare(port: int, requests: int) -> float:
    """Return the seconds that as many requests take with the standard library, 16 at a time."""

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for _ in range(requests // CONNECTIONS):
            connection.request("GET", "/api/data/v1/streams/state/1")
            connection.getresponse().read()
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def main() -> int:
    """Measure; give the exit status."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory() as home:
        os.environ["DOMO_MAGIC_HOME"] = home
        port = here.recv()
        domo.connect(f"http://127.0.0.1:{port}", "a-token-of-the-benchmark")
        one_round(here, list(range(90_001, 90_041)))  # pandas and all that is loaded once
        rounds, bares = [], []
        for number in range(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS):
            first = 1 + number * STREAMS
            rounds.append(one_round(here, list(range(first, first + STREAMS))))
            took, floor, requests, memory, threads = rounds[-1]
            bares.append(bare(port, requests) / (requests * LATENCY / CONNECTIONS))
            print(
                f"{took:.2f} s, floor {floor:.2f} s: {took / floor:.2f}, bare requests {bares[-1]:.2f};"
                f" {requests:,} requests, {memory:.1f} kB a run, {threads} threads",
                flush=True,
            )
        close_sessions()
    server.kill()
    ratio = median(took / floor for took, floor, *_ in rounds)
    memory = max(each[3] for each in rounds)
    threads = max(each[4] for each in rounds)
    print(f"median {ratio:.2f} of the floor (at most {TARGET}); bare requests {median(bares):.2f}")
    print(f"memory {memory:.1f} kB a run (less than {MEMORY_TARGET:g})")
    print(f"{threads} threads (at most {THREADS_TARGET})")
    return 0 if ratio <= TARGET and memory < MEMORY_TARGET and threads <= THREADS_TARGET else 1


if __name__ == "__main__":
    sys.exit(main())

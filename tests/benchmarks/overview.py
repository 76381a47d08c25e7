"""An overview of 1,000 connectors, and of 40, against the floor that the network sets.

The server responds after 50 ms, in a process of its own, with connections kept alive;
``requests * 0.05 / 16`` seconds is the least that the requests made can take with 16 at a
time. The whole of `domo.overview()` counts.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import domo_magic as domo

if TYPE_CHECKING:
    from multiprocessing.connection import Connection as Pipe

LATENCY, PARALLEL, ROUNDS, PAST = 0.05, 16, 5, 100
TARGET, FEW_TARGET, REQUESTS_TARGET = 1.2, 1.0, 1.1
NOW = round(time.time())  # whole seconds, as in the captured history


def history(stream: int) -> bytes:
    """Return the newest 100 runs of a stream with the few fields of ``history/aggregate``; 2 % failed."""
    runs = [
        {
            "streamId": stream,
            "executionId": number,
            "currentState": "ERROR" if stream % 50 == 7 and number == PAST else "SUCCESS",
            "rowsInserted": 10_000 + number % 9,
            "bytesInserted": 500_000 + number % 9,
            "startedAt": NOW - 600 - (PAST - number) * 3600,
            "endedAt": NOW - 600 - (PAST - number) * 3600 + 100 + number % 7,
            "updateMethod": "REPLACE",
            "peakMemoryUsedBytes": 200_819_808,
        }
        for number in range(PAST, 0, -1)
    ]
    return json.dumps(runs).encode()


class Server:
    """Lists of DataSets, streams and histories, all made before the first request."""

    def __init__(self, connectors: int) -> None:
        self.paths: Counter[str] = Counter()
        self.datasets = datasets(connectors)
        self.histories = {stream: history(stream) for stream in range(1, connectors + 1)}

    def body(self, path: str) -> bytes:
        """Return the response to one request."""
        path, _, query = path.partition("?")
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        parts = path.split("/")[4:]
        self.paths[parts[-1]] += 1
        if parts == ["datasources"]:
            offset = int(asked["offset"])
            page = self.datasets[offset : offset + int(asked["limit"])]
            return json.dumps({"dataSources": page, "_metaData": {"totalCount": len(self.datasets)}}).encode()
        if parts[-1] == "bulk":
            return json.dumps([stream_of(int(each)) for each in asked["streamId"].split(",")]).encode()
        if parts[-1] == "aggregate":
            return self.histories[int(parts[1])]
        error = {"errors": [{"message": "login refused"}]}
        return json.dumps(json.loads(self.histories[int(parts[1])])[PAST - int(parts[3])] | error).encode()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Respond to one connection's requests."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                until = asyncio.get_running_loop().time() + LATENCY
                body = self.body(head.decode("latin-1").split(" ", 2)[1])
                await asyncio.sleep(until - asyncio.get_running_loop().time())
                head_of = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                writer.write(f"{head_of}{len(body)}\r\n\r\n".encode() + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def datasets(connectors: int) -> list[dict[str, Any]]:
    """Return the DataSets of the streams from 1 on."""
    return [
        {"id": f"d{stream}", "name": f"DataSet {stream}", "streamId": stream, "transportType": "CONNECTOR"}
        for stream in range(1, connectors + 1)
    ]


def stream_of(stream: int) -> dict[str, Any]:
    """Return a stream without its executions."""
    return {
        "id": stream,
        "transport": {"type": "CONNECTOR"},
        "dataProvider": {"key": "mysql", "name": "MySQL"},
        "scheduleExpression": "0 0 * * * ?",
        "scheduleState": "ACTIVE",
    }


def serve(pipe: Pipe, connectors: int) -> None:
    """Serve until told otherwise."""

    async def main() -> None:
        server = Server(connectors)
        listening = await asyncio.start_server(server.connection, "127.0.0.1", 0, backlog=64)
        pipe.send(listening.sockets[0].getsockname()[1])
        while True:
            await asyncio.to_thread(pipe.recv)
            pipe.send(server.paths)
            server.paths = Counter()

    asyncio.run(main())


def measured(connectors: int) -> tuple[float, float, int]:
    """Return seconds, ratio to the floor and requests, the medians of some rounds."""
    pipe, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs, connectors), daemon=True
    )
    server.start()
    domo.connect(f"http://127.0.0.1:{pipe.recv()}", "benchmark")
    domo.overview(limit=1)  # imports, connections
    pipe.send("count")
    pipe.recv()
    rounds = []
    for _ in range(ROUNDS):
        began, used = time.perf_counter(), time.process_time()
        rows = domo.overview()
        took, used = time.perf_counter() - began, time.process_time() - used
        pipe.send("count")
        requests = pipe.recv().total()
        assert len(rows) == connectors
        assert set(rows["verdict"]) <= {"failed", "usual"}, set(rows["verdict"])
        rounds.append((took, took / (requests * LATENCY / PARALLEL), requests, used))
    server.terminate()
    took, ratio, requests, used = map(median, zip(*rounds, strict=True))
    print(f"{connectors:,} connectors: {took:.2f} s, {requests:,.0f} requests, {ratio:.2f} of the floor")
    print(f"  {1000 * used / requests:.1f} ms of processor time a request")
    return took, ratio, int(requests)


def main() -> int:
    """Measure and print; 1 when a figure is missed."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["DOMO_MAGIC_HOME"] = home
        took, _, _ = measured(40)
        _, ratio, requests = measured(1000)
    most = REQUESTS_TARGET * 1000 + 2 * 1000 / 50
    print(f"ratio {ratio:.2f} (target at most {TARGET:.2f}); {took:.2f} s (target under {FEW_TARGET:.2f} s)")
    print(f"{requests:,} requests (target at most {most:,.0f})")
    return int(ratio > TARGET or took >= FEW_TARGET or requests > most)


if __name__ == "__main__":
    sys.exit(main())

"""Starts with domo_magic beside other clients: how fast, and what happens when something goes wrong.

The sandbox runs in a process of its own and responds after 50 ms. Each client starts 1, 100 and 1,000
streams, 16 at a time, its connections not yet open; the rounds of the clients alternate, and seconds are
those of the quickest, which other work on the machine delayed least. Then each starts a stream of its own
whose response is lost, or hangs for a minute; or is redirected to another host, or finds a server with a
self-signed certificate in place of Domo's. Exit status 1 where domo_magic is not within 1.1 of the fastest.

domolibrary (group ``peer``) needs an environment of its own, as `tests/sandbox/domolibrary_client.py` says;
where it is not installed it is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import io
import logging
import multiprocessing
import os
import platform
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import requests

import domo_magic as domo
from domo_magic.executions.session import close_sessions
from domo_magic.sandbox import Sandbox, faults, server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection as Pipe

LATENCY, PARALLEL = 0.05, 16
SIZES = {1: 21, 100: 9, 1000: 5}
"""Streams started at once, and how many rounds."""
TARGET = 1.10
HANGS = 60.0
MANY = range(100_001, 101_001)
TOKEN_HEADER = "X-DOMO-Developer-Token"
SPEED, RIGHT = "started at once", "what goes wrong"
LOST, HANGING = "response lost", f"response hangs {HANGS:.0f} s"
REDIRECT, CERTIFICATE = "redirect to another host", "self-signed certificate"


def serve(pipe: Pipe) -> None:
    """Run a sandbox, and do what the pipe says."""
    opened: list[object] = []
    process = server.Server.process_request

    def counted(self: server.Server, request: object, address: object) -> None:
        opened.append(address)
        process(self, request, address)

    server.Server.process_request = counted  # type: ignore[method-assign]
    with Sandbox(latency=LATENCY) as sandbox:
        for stream in MANY:
            sandbox.world.add_stream(3600.0, stream_id=stream)
        for client in CLIENTS:
            sandbox.world.add_stream(3600.0, stream_id=client.own)
        pipe.send((sandbox.url, sandbox.token))
        while (order := pipe.recv()) is not None:
            if isinstance(order, faults.Fault):
                sandbox.order(order)
            started = {client.own: sandbox.world.count(client.own) for client in CLIENTS}
            pipe.send((len(sandbox.requests), len(opened), started))


class Stranger:
    """A server that is not Domo, and notes which requests bring a token."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.tokens = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805  `self` is the stranger
                self.tokens += TOKEN_HEADER in handler.headers
                body = b'{"executionId": 1, "currentState": "ACTIVE"}'
                handler.send_response(200)
                handler.send_header("Content-Type", "application/json")
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_name("key.pem"))
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme, host = ("http", "localhost") if certificate is None else ("https", "127.0.0.1")
        self.url = f"{scheme}://{host}:{self._server.server_port}"
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()


def self_signed(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1 that nobody vouches for, its key beside it."""
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    named = "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*made.split(), *named.split(), *files], check=True, capture_output=True)
    return folder / "cert.pem"


def named(body: Any) -> str:
    """Return in words which run a response names."""
    return (
        f"run {body['executionId']}"
        if isinstance(body, dict) and "executionId" in body
        else "a result, no run"
    )


class Client:
    """What starts streams of one Domo; made anew for each measurement, without a connection.

    Attributes
    ----------
    name : str
        How the table calls it.
    own : int
        The stream that it alone starts.
    """

    name: ClassVar[str]
    own: ClassVar[int]

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def start(self, streams: Sequence[int]) -> str:
        """Start streams; return in words what is known of the first run."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what is open."""


class Magic(Client):
    """domo_magic, with its history in a file."""

    name = "domo_magic"
    own = 200001

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url, token)
        domo.connect(url, token)

    def start(self, streams: Sequence[int]) -> str:
        """Start them with one call."""
        return named(domo.run(streams).iloc[0].to_dict())

    def close(self) -> None:
        """Close its connections."""
        close_sessions()


class Bare(Client):
    """requests, with a session for each of 16 threads."""

    name = "requests"
    own = 200002

    def start(self, streams: Sequence[int]) -> str:
        """Start them on a pool of threads."""
        own = threading.local()

        def one(stream: int) -> Any:
            if not hasattr(own, "session"):
                own.session = requests.Session()
                own.session.headers[TOKEN_HEADER] = self.token
            address = f"{self.url}/api/data/v1/streams/{stream}/executions"
            response = own.session.post(address, json={"runType": "MANUAL"})
            response.raise_for_status()
            return response.json()

        with ThreadPoolExecutor(PARALLEL) as pool:
            first, *_ = pool.map(one, streams)
            return named(first)


class Httpx(Client):
    """httpx, asynchronous, 16 tasks at a time."""

    name = "httpx"
    own = 200003

    def start(self, streams: Sequence[int]) -> str:
        """Start them as tasks of one loop."""
        return asyncio.run(self._start(streams))

    async def _start(self, streams: Sequence[int]) -> str:
        room = asyncio.Semaphore(PARALLEL)
        async with httpx.AsyncClient(headers={TOKEN_HEADER: self.token}) as client:

            async def one(stream: int) -> Any:
                address = f"{self.url}/api/data/v1/streams/{stream}/executions"
                async with room:
                    response = await client.post(address, json={"runType": "MANUAL"})
                response.raise_for_status()
                return response.json()

            return named((await asyncio.gather(*map(one, streams)))[0])


class Library(Client):
    """domolibrary, whose own sessions check no certificates either."""

    name = "domolibrary"
    own = 200004

    def start(self, streams: Sequence[int]) -> str:
        """Start them with its function, 16 at a time."""
        with contextlib.redirect_stdout(io.StringIO()):
            return asyncio.run(self._start(streams))

    async def _start(self, streams: Sequence[int]) -> str:
        from domolibrary.client.DomoAuth import DomoTokenAuth
        from domolibrary.routes.stream import execute_stream
        from domolibrary.utils.chunk_execution import gather_with_concurrency

        place = httpx.URL(self.url)

        class There(httpx.AsyncHTTPTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                if request.url.host == "sandbox.domo.com":
                    where = {"scheme": place.scheme, "host": place.host, "port": place.port}
                    request.url = request.url.copy_with(**where)
                return await super().handle_async_request(request)

        auth = DomoTokenAuth(domo_instance="sandbox", domo_access_token=self.token)
        async with httpx.AsyncClient(transport=There(verify=False)) as session:
            starts = (execute_stream(auth, str(stream), session=session) for stream in streams)
            results = await gather_with_concurrency(*starts, n=PARALLEL)
        return named(results[0].response)


CLIENTS: tuple[type[Client], ...] = (Magic, Bare, Httpx, Library)


@dataclass
class Place:
    """The sandbox's process."""

    pipe: Pipe
    url: str
    token: str

    def seen(self, order: faults.Fault | str = "count") -> tuple[int, int, dict[int, int]]:
        """Return how many requests, connections and runs of each client's own stream there were so far."""
        self.pipe.send(order)
        return self.pipe.recv()  # type: ignore[no-any-return]


def measured(client: type[Client], place: Place, streams: Sequence[int]) -> tuple[float, int, int]:
    """Return seconds, requests and connections of one start of these streams."""
    one = client(place.url, place.token)
    requests_before, opened_before, _ = place.seen()
    began = time.perf_counter()
    one.start(streams)
    took = time.perf_counter() - began
    requests_after, opened_after, _ = place.seen()
    one.close()
    return took, requests_after - requests_before, opened_after - opened_before


def outcome(client: type[Client], url: str, token: str) -> tuple[str, float]:
    """Start one stream; return in words what the user is told, and after how many seconds."""
    one = client(url, token)
    began = time.perf_counter()
    try:
        said = one.start([client.own])
    except Exception as error:  # noqa: BLE001  whatever it is, the user sees it
        said = type(error).__name__
    took = time.perf_counter() - began
    one.close()
    return said, took


def at_domo(client: type[Client], place: Place, fault: faults.Fault) -> str:
    """Return what becomes of a start at Domo whose response meets a fault."""
    *_, before = place.seen(fault)
    said, took = outcome(client, place.url, place.token)
    *_, after = place.seen()
    return f"{after[client.own] - before[client.own]} started, {took:.1f} s: {said}"


def at_stranger(client: type[Client], stranger: Stranger, place: Place | None = None) -> str:
    """Return what becomes of a start at another server, to which `place`, if it is given, redirects."""
    stranger.tokens = 0
    if place is not None:
        there = f"{stranger.url}/api/data/v1/streams/{client.own}/executions"
        place.seen(faults.Fault(status=307, headers={"Location": there}))
    said, took = outcome(client, place.url if place else stranger.url, place.token if place else "a-token")
    return f"token {'SENT' if stranger.tokens else 'kept'}, {took:.1f} s: {said}"


def speed_rows(clients: Sequence[type[Client]], place: Place) -> list[list[str]]:
    """Measure; return rows of the table of speed."""
    rows = []
    for size, rounds in SIZES.items():
        streams = list(MANY[:size])
        taken = [[measured(client, place, streams) for client in clients] for _ in range(rounds)]
        least = [min(each[column][0] for each in taken) for column in range(len(clients))]
        cells = [
            f"{seconds:#.3g} s, {taken[0][column][1]} req, {taken[0][column][2]} conn"
            for column, seconds in enumerate(least)
        ]
        rows.append([f"{size:,}", *cells, f"{least[0] / min(least):.2f}"])
    return rows


def right_rows(clients: Sequence[type[Client]], place: Place, folder: Path) -> list[list[str]]:
    """Let things go wrong; return rows of the table of what happens."""
    other, tls = Stranger(), Stranger(self_signed(folder))
    every: dict[str, Callable[[type[Client]], str]] = {
        LOST: lambda client: at_domo(client, place, faults.reset(after=True)),
        HANGING: lambda client: at_domo(client, place, faults.delay(HANGS, after=True)),
        REDIRECT: lambda client: at_stranger(client, other, place),
        CERTIFICATE: lambda client: at_stranger(client, tls),
    }
    rows = [[name, *map(happens, clients)] for name, happens in every.items()]
    other.close()
    tls.close()
    return rows


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return rows under a head, in columns."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, each, widths)).rstrip() for each in (head, *rows))


def main() -> int:
    """Measure, print, and return 1 where domo_magic is not within the target."""
    if shutil.which("openssl") is None:
        sys.exit("openssl, which makes the certificate, is not installed")
    logging.getLogger("domo_magic").setLevel(logging.ERROR)
    clients = [client for client in CLIENTS if find_spec(client.name)]
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    with tempfile.TemporaryDirectory() as home:
        os.environ["DOMO_MAGIC_HOME"] = home
        place = Place(here, *here.recv())
        for client in clients:
            measured(client, place, MANY[:2])  # what is imported once
        speed = speed_rows(clients, place)
        right = right_rows(clients, place, Path(home))
        close_sessions()
    here.send(None)
    process.join()
    names = [f"{client.name} {version(client.name.replace('_', '-'))}" for client in clients]
    print(f"Python {platform.python_version()}; {PARALLEL} at a time, {LATENCY * 1000:.0f} ms a response\n")
    print(table([SPEED, *names, "of the fastest"], speed), "\n")
    print(table([RIGHT, *names], right))
    return int(any(float(row[-1]) > TARGET for row in speed))


if __name__ == "__main__":
    sys.exit(main())

"""The world over HTTP/1.1: one thread per connection, responses in one piece, faults where ordered."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import struct
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING

from domo_magic.sandbox import routes
from domo_magic.sandbox.faults import Fault, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from domo_magic.sandbox import Sandbox

TOKEN_HEADER = "x-domo-developer-token"  # noqa: S105 - the name of a header
_RESET = struct.pack("ii", 1, 0)
_LENGTH_DIGITS = 6


class Server(ThreadingHTTPServer):
    """A server on 127.0.0.1 that can be closed at once, whatever its connections are doing."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, sandbox: Sandbox, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.sandbox = sandbox
        self.closing = threading.Event()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._thread = threading.Thread(target=self._serve, name="domo-sandbox", daemon=True)

    def server_bind(self) -> None:
        """Bind without a look-up of our own name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def open(self) -> None:
        """Begin to serve, on a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """End every connection and thread."""
        self.closing.set()
        with contextlib.suppress(OSError):
            # The accepting thread sits in accept(); a connection wakes it.
            socket.create_connection(("127.0.0.1", self.server_port), timeout=1).close()
        self._thread.join()
        self.server_close()
        for connection in self._open.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._open:
            thread.join()

    def _serve(self) -> None:
        while not self.closing.is_set():
            self.handle_request()

    def verify_request(self, request: object, client_address: object) -> bool:  # noqa: ARG002
        """Take no connection while closing."""
        return not self.closing.is_set()

    def process_request(self, request: object, client_address: object) -> None:
        """Serve a connection on a thread that :meth:`close` knows."""
        assert isinstance(request, socket.socket)  # noqa: S101 - a TCP server's requests are sockets
        thread = threading.Thread(
            target=self._connection,
            args=(request, client_address),
            name="domo-sandbox-connection",
            daemon=True,
        )
        thread.start()
        living = {each: its for each, its in self._open.items() if each.is_alive()}
        self._open = {**living, thread: request}

    def _connection(self, request: socket.socket, client_address: object) -> None:
        try:
            with contextlib.suppress(OSError):
                self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is inherited
        """Log nothing; :attr:`Sandbox.requests` remembers."""

    def _serve(self) -> None:
        body = self._body()
        if body is None:
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        token = headers.pop(TOKEN_HEADER, "")
        # A client behind a proxy names the whole address, not only the path (RFC 9112).
        path = re.sub(r"^https?://[^/?]*", "", self.path) or "/"
        request = Request(self.command, path, headers, body, time.monotonic())
        sandbox = self.server.sandbox
        sandbox.requests.append(request)
        fault = sandbox.orders.take(request)
        if fault is None and sandbox.decide is not None:
            fault = sandbox.decide(request)
        self._meet(request, token, fault or Fault())

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Serve every method alike; what is not there is refused by the routes."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _body(self) -> bytes | None:
        """Read the request's body; None where its length is not known or unbelievable, which is refused."""
        length = self.headers.get("Content-Length", "0")
        known = length.isdecimal() and "Transfer-Encoding" not in self.headers
        if known and len(length) <= _LENGTH_DIGITS:
            return self.rfile.read(int(length))
        status, message = (413, "The body is too large") if known else (411, "Content-Length is required")
        self.close_connection = True
        self.send(routes.refusal(self.server.sandbox.world, status, message))
        return None

    def _meet(self, request: Request, token: str, fault: Fault) -> None:
        """Do the work, or not, and spoil the response as the fault says."""
        response = None
        if not fault.after:
            self.wait(fault.delay)
        if fault.after or not (fault.reset or fault.status):
            response = self._respond(request, token)
        self.wait(self.server.sandbox.latency)
        if fault.after:
            self.wait(fault.delay)
        if fault.status:
            response = routes.Response(fault.status, fault.body, dict(fault.headers))
        if response is None or fault.reset:
            self._reset()
        else:
            (fault.send or Handler.send)(self, response)

    def _respond(self, request: Request, token: str) -> routes.Response:
        sandbox = self.server.sandbox
        if request.method == "GET" and (page := routes.page(sandbox.world, request.path)):
            return page
        if token != sandbox.token:
            return routes.refusal(sandbox.world, 401, "The token is missing or not valid")
        return routes.response(sandbox.world, request)

    def wait(self, seconds: float) -> None:
        """Wait, unless the sandbox closes in the meantime, which ends the connection."""
        if seconds > 0 and self.server.closing.wait(seconds):
            raise ConnectionAbortedError("the sandbox closes")

    def _reset(self) -> None:
        """End the connection with a reset in place of the usual end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.connection.close()

    def send(self, response: routes.Response) -> None:
        """Send a response in one piece."""
        head = self.head(response, {"Content-Length": str(len(response.body))})
        self.wfile.write(head if self.command == "HEAD" else head + response.body)

    def head(self, response: routes.Response, framing: dict[str, str]) -> bytes:
        """Make the status line and the headers; those of the response win over the usual ones."""
        date = formatdate(self.server.sandbox.world.clock(), usegmt=True)
        headers = {"Date": date, "Content-Type": "application/json", **framing, **response.headers}
        if self.close_connection:
            headers["Connection"] = "close"
        phrase = http.client.responses.get(response.status, "")
        lines = [
            f"HTTP/1.1 {response.status} {phrase}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

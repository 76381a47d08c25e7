"""The connection under `requests`: total deadlines, and whether a request left this machine.

Nothing below us is replaced, but mixed with: pools and connections are the ones that urllib3, PySocks or a
tool for tests (vcrpy, pytest-socket) made, so that whatever people plug into requests works.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from contextlib import suppress
from functools import cache
from http.client import HTTPConnection, HTTPResponse, RemoteDisconnected
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.exceptions import NameResolutionError
from urllib3.util.connection import allowed_gai_family

if TYPE_CHECKING:
    from urllib3 import PoolManager

_this_thread = threading.local()
_LONGEST_HEADER = 65_536


def begin() -> None:
    """Forget what this thread sent before."""
    _this_thread.sent = None


def sent() -> bool | None:
    """Return whether this thread began to write a request since `begin`; None: not through here."""
    return getattr(_this_thread, "sent", None)


class _TimedReader(io.RawIOBase):
    """Reads a socket until a deadline: the socket's own timeout starts anew with every byte."""

    def __init__(self, sock: socket.socket) -> None:
        self.ended = False
        self._closing = False
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        limit = sock.gettimeout()
        self._deadline = None if limit is None else time.monotonic() + limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._closing:
            return 0
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
        count = self._raw.readinto(buffer)
        self.ended = self.ended or count == 0
        return count

    def leave(self, buffered: io.BufferedReader) -> None:
        """Give the connection up where more than the response arrived: the rest would be read as the next."""
        self._closing = True
        if buffered.peek() or getattr(self._sock, "pending", int)():
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Buffer(io.BufferedReader):
    raw: _TimedReader

    def close(self) -> None:
        if not self.closed:
            self.raw.leave(self)
        super().close()


class _TimedSocket:
    """What `HTTPResponse` needs of a socket."""

    def __init__(self, reader: _TimedReader) -> None:
        self._reader = reader

    def makefile(self, _mode: str) -> io.BufferedReader:
        return _Buffer(self._reader)


class _TimedResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        self._reader = _TimedReader(sock)
        super().__init__(_TimedSocket(self._reader), *args, **options)  # type: ignore[arg-type]

    def _read_status(self) -> tuple[str, int, str]:
        # `http.client` reads on after a 100 alone; 102 and 103 are no responses either.
        version, status, reason = super()._read_status()  # type: ignore[misc]
        while 101 < status < 200:
            while self.fp.readline(_LONGEST_HEADER).strip():
                pass
            version, status, reason = super()._read_status()  # type: ignore[misc]
        return version, status, reason

    def begin(self) -> None:
        super().begin()
        if self._reader.ended:
            # `http.client` takes an end among the headers for the end of the headers.
            raise RemoteDisconnected("the response's headers were cut off")
        # `urllib3` would log what is not a header, and an echoed token with it.
        self.msg.defects.clear()
        self.msg.set_payload("")


class _Watched:
    """Mixed into a connection: notes the first byte of a request; a proxy's CONNECT is none."""

    response_class: Any = _TimedResponse
    #: The usual switch to debug requests prints headers, and the token with them.
    debuglevel = 0
    sock: Any
    timeout: Any

    def _new_conn(self) -> Any:
        if hasattr(self, "_socks_options"):  # PySocks resolves the name, or its proxy does
            return super()._new_conn()  # type: ignore[misc]
        whole = self.timeout
        self.timeout = whole / self._addresses()  # urllib3 gives each address of a name the whole time
        try:
            sock = super()._new_conn()  # type: ignore[misc]
        finally:
            self.timeout = whole
        sock.settimeout(whole)
        return sock

    def _addresses(self) -> int:
        host, port = self._dns_host, self.port  # type: ignore[attr-defined]
        try:
            return len(socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM)) or 1
        except OSError as error:
            raise NameResolutionError(host, self, error) from error  # type: ignore[arg-type]

    def connect(self) -> None:
        try:
            super().connect()  # type: ignore[misc]
        finally:
            _this_thread.sent = False

    def endheaders(self, *args: Any, **options: Any) -> None:
        # urllib3's connection for HTTP/2 writes them without `send`.
        _this_thread.sent = self.sock is not None
        super().endheaders(*args, **options)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _this_thread.sent = True
        super().send(data)  # type: ignore[misc]


class _Watching:
    """Mixed into a pool: watches the connections it gives out."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        real = getattr(connection, "real_connection", connection)  # within vcrpy's, which sends nothing
        if not isinstance(real, HTTPConnection):
            _this_thread.sent = True  # nobody knows what it does
        elif not isinstance(real, _Watched):
            real.__class__ = _mixed(_Watched, type(real))  # type: ignore[arg-type]
        return connection


@cache
def _mixed(ours: Any, theirs: Any) -> Any:
    return type(theirs.__name__, (ours, theirs), {})


def _watch(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {
        scheme: kind if issubclass(kind, _Watching) else _mixed(_Watching, kind)  # type: ignore[arg-type]
        for scheme, kind in manager.pool_classes_by_scheme.items()
    }


class Adapter(HTTPAdapter):
    """The adapter of `requests`, its pools and connections watched."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: D102
        super().init_poolmanager(*args, **options)
        _watch(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:  # noqa: D102
        manager = super().proxy_manager_for(*args, **options)
        _watch(manager)
        return manager

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:  # noqa: D102
        _this_thread.sent = False  # whatever breaks from here on, until a connection writes
        return super().get_connection_with_tls_context(*args, **options)

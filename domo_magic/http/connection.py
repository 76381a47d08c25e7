"""The connection under `requests`: total deadlines, and whether a request left this machine."""

from __future__ import annotations

import io
import threading
import time
from http.client import HTTPResponse, RemoteDisconnected
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    from socket import socket

_this_thread = threading.local()
_LONGEST_HEADER = 65_536


def begin() -> None:
    """Forget what this thread sent before."""
    _this_thread.sent = None


def sent() -> bool | None:
    """Whether this thread began to write a request since `begin`; None: not through here."""
    return getattr(_this_thread, "sent", None)


class _TimedReader(io.RawIOBase):
    """Reads a socket until a deadline: the socket's own timeout starts anew with every byte."""

    def __init__(self, sock: socket) -> None:
        self.ended = False
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        limit = sock.gettimeout()
        self._deadline = None if limit is None else time.monotonic() + limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
        count = self._raw.readinto(buffer)
        self.ended = self.ended or count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedSocket:
    """What `http.client.HTTPResponse` needs of a socket."""

    def __init__(self, reader: _TimedReader) -> None:
        self._reader = reader

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader)


class _TimedResponse(HTTPResponse):
    def __init__(self, sock: socket, *args: Any, **options: Any) -> None:
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
        # `urllib3` would log what is no header, and an echoed token with it.
        self.msg.defects.clear()
        self.msg.set_payload("")


class _Watched:
    """Notes the first byte of a request; a proxy's CONNECT is none."""

    response_class: Any = _TimedResponse
    sock: Any

    def connect(self) -> None:
        try:
            super().connect()  # type: ignore[misc]
        finally:
            _this_thread.sent = False

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _this_thread.sent = True
        super().send(data)  # type: ignore[misc]


class _Connection(_Watched, HTTPConnection):
    pass


class _SecureConnection(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class Adapter(HTTPAdapter):
    """The adapter of `requests`, with our connections in its pools."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: D102
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:  # noqa: D102
        manager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager

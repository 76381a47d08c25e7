"""What can go wrong on the way, one fault for one request.

A fault that comes before the work keeps the request from having any effect; one that comes after it (`after`)
lets the run exist and spoils the response.
"""

from __future__ import annotations

import http
import json
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from domo_magic.sandbox.routes import Response
    from domo_magic.sandbox.server import Handler


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived.

    Attributes
    ----------
    method, path : str
        The path has its query.
    headers : dict
        By lower-case name, without the token.
    body : bytes
        As sent.
    at : float
        When, on the monotonic clock, seconds.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with one request; the functions of this module make the usual ones.

    Attributes
    ----------
    after : bool
        The work is done first; otherwise a reset or another response keeps it from being done.
    delay : float
        Seconds to wait, before the work or after it.
    reset : bool
        The connection is reset.
    status : int or None
        Another response is sent: its status.
    headers : mapping
        Headers of that response, in place of the usual ones of the same name.
    body : bytes
        Body of that response.
    send : callable, optional
        Sends the response in place of `Handler.send`.
    """

    after: bool = False
    delay: float = 0.0
    reset: bool = False
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    send: Callable[[Handler, Response], None] | None = None


def reset(*, after: bool = False) -> Fault:
    """Reset the connection, before the run exists or after."""
    return Fault(reset=True, after=after)


def delay(seconds: float, *, after: bool = False) -> Fault:
    """Respond late; the work is done after the delay, or before it."""
    return Fault(delay=seconds, after=after)


def status(code: int, *, retry_after: float | str | None = None, after: bool = False) -> Fault:
    """Respond with an error status, such as 429, 500 or 503, and the documented shape of an error."""
    shape = {"status": code, "statusReason": http.HTTPStatus(code).phrase, "message": "", "toe": ""}
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Fault(status=code, headers=headers, body=json.dumps(shape).encode(), after=after)


@dataclass(slots=True)
class _Order:
    fault: Fault
    method: str | None
    path: re.Pattern[str]
    times: int


class Orders:
    """The faults ordered and not yet met, first come first served."""

    def __init__(self) -> None:
        self._orders: list[_Order] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault, method: str | None, path: str | None, times: int) -> None:
        """Order a fault for the next `times` requests with this method whose path the pattern is found in."""
        with self._lock:
            self._orders.append(_Order(fault, method, re.compile(path or ""), times))

    def take(self, request: Request) -> Fault | None:
        """Take the fault that is next for a request."""
        with self._lock:
            for order in self._orders:
                if order.method in {None, request.method} and order.path.search(request.path):
                    order.times -= 1
                    if order.times <= 0:
                        self._orders.remove(order)
                    return order.fault
        return None

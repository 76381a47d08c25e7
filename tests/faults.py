"""What else can go wrong on the way to the sandbox, beside the faults that it has itself."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from domo_magic.sandbox.faults import Fault, Request, delay, reset, status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from domo_magic.sandbox.routes import Response
    from domo_magic.sandbox.server import Handler

__all__ = [
    "Fault",
    "Request",
    "cut",
    "delay",
    "drip",
    "empty",
    "html",
    "redirect",
    "reset",
    "response",
    "send_half",
    "status",
]
_HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>"


def html(*, code: int = 200, after: bool = False) -> Fault:
    """Respond with a page to sign in, as a proxy does."""
    return Fault(status=code, headers={"Content-Type": "text/html; charset=utf-8"}, body=_HTML, after=after)


def empty(code: int = 200, *, after: bool = True) -> Fault:
    """Do the work and respond with a status and nothing else."""
    return Fault(status=code, after=after)


def redirect(location: str, *, code: int = 302, after: bool = False) -> Fault:
    """Send the client elsewhere."""
    return Fault(status=code, headers={"Location": location}, after=after)


def response(
    body: bytes | Iterable[bytes],
    *,
    code: int = 200,
    headers: Mapping[str, str] | None = None,
    after: bool = False,
) -> Fault:
    """Respond with anything at all; an iterable of chunks for what is too large to hold."""
    whole, send = (body, None) if isinstance(body, bytes) else (b"", partial(_send_chunks, chunks=body))
    return Fault(status=code, headers=headers or {}, body=whole, send=send, after=after)


def cut(*, broken: bool = False) -> Fault:
    """Do the work and send half of the response; `broken`: with the length of the whole, then hang up."""
    return Fault(after=True, send=partial(send_half, broken=broken))


def drip(seconds: float, *, headers: bool = False) -> Fault:
    """Do the work and send the response byte by byte, `seconds` apart; also its headers."""
    return Fault(after=True, send=partial(_send_slowly, seconds=seconds, headers=headers))


def send_half(handler: Handler, response: Response, *, broken: bool = False) -> None:
    """Send half of a response."""
    half = response.body[: len(response.body) // 2]
    handler.close_connection = handler.close_connection or broken
    length = len(response.body) if broken else len(half)
    handler.wfile.write(handler.head(response, {"Content-Length": str(length)}) + half)


def _send_slowly(handler: Handler, response: Response, *, seconds: float, headers: bool) -> None:
    head = handler.head(response, {"Content-Length": str(len(response.body))})
    at_once, slow = (b"", head + response.body) if headers else (head, response.body)
    handler.wfile.write(at_once)
    for byte in slow:
        handler.wait(seconds)
        handler.wfile.write(bytes([byte]))


def _send_chunks(handler: Handler, response: Response, *, chunks: Iterable[bytes]) -> None:
    """Send a body of unknown length, to the end of the connection."""
    handler.close_connection = True
    handler.wfile.write(handler.head(response, {}))
    for chunk in chunks:
        handler.wfile.write(chunk)

"""What a response of Domo's means. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from domo_magic.errors import ApiError, AuthenticationError, InvalidResponse, NotFound, RateLimited
from domo_magic.model.execution import parse_json
from domo_magic.model.formatting import cut

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Letters of a server's text in a message.
MESSAGE_LETTERS = 300
_TEXT = "a body that is not JSON"


@dataclass(frozen=True, slots=True)
class Response:
    """What came back.

    Attributes
    ----------
    status : int
        The HTTP status.
    headers : mapping
        As sent, the token blanked.
    body : bytes
        Decompressed, the token blanked; as far as it arrived.
    flaw : str
        Why the body is not whole ("was cut off"), else empty.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    flaw: str = ""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(json.detect_encoding(self.body), errors="replace")

    def header(self, name: str) -> str:
        """Return a header's value whatever the case of its name, or nothing."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")

    @property
    def server_time(self) -> float | None:
        """Epoch seconds of the ``Date`` header, or None."""
        return http_time(self.header("Date"))


def http_time(text: str) -> float | None:
    """Return epoch seconds of an HTTP date, or None; one without a zone is UTC whatever the machine's is.

    Examples
    --------
    >>> http_time("Tue, 17 Dec 2024 17:56:56 GMT")
    1734458216.0
    """
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def refusal(response: Response, subject: str, host: str, source: str) -> ApiError:
    """Return the error for a response that is not a success.

    Parameters
    ----------
    response : Response
        Of any status but 2xx.
    subject : str
        What the request was about ("stream 25775").
    host, source : str
        Domo's host, and where the token came from.
    """
    message, toe = said(response)
    kind, happened, hint = _words(response, subject, host, source, message)
    trace = f" (toe {toe})" if toe else ""
    return kind(
        f"{happened}{because(message)}{trace}", hint, status=response.status, message=message, toe=toe
    )


def _words(
    response: Response, subject: str, host: str, source: str, message: str
) -> tuple[type[ApiError], str, str]:
    status = response.status
    if status in {401, 403}:
        how = "is wrong or expired" if status == 401 else "may not do this"
        hint = (
            f"the token from {source} {how}; make one in Domo (Admin > Authentication > Access Tokens),"
            " then %domo_connect again"
        )
        return AuthenticationError, f"{host} refused {subject}: {title(response)}", hint
    if status == 404:
        look = "look for it: %domo_streams PART_OF_ITS_NAME"
        if run := re.fullmatch(r"run ([0-9]+)/[0-9]+", subject):
            look = f"look for it: %domo_runs {run[1]}; for its stream: %domo_streams PART_OF_ITS_NAME"
        return NotFound, f"{subject} was not found at {host}", look
    if status == 429:
        return RateLimited, f"{host} is rate limiting: {title(response)}", "try again later"
    if 300 <= status < 400:
        place = cut(response.header("Location") or "nowhere", MESSAGE_LETTERS)
        happened = f"{host} redirected {subject} ({status}) to {place}; the redirect was not followed"
        hint = "check the instance's name; a company's proxy or login page may be in between"
        return ApiError, happened, hint
    hint = "the message above is Domo's own" if message else "Domo gives no reason"
    return ApiError, f"{host} returned {title(response)} for {subject}", hint


def unexpected(response: Response, subject: str) -> InvalidResponse:
    """Return the error for a success whose body is not what the request was for."""
    found = f"it {response.flaw}" if response.flaw else f"{title(response)} with {kind_of_body(response)}"
    return _invalid(
        subject, f"{found}{because(said(response)[0])}", "a proxy or login page may be in between"
    )


def misdirected(subject: str) -> InvalidResponse:
    """Return the error for a response that belongs to another request."""
    why = "a proxy or balancer may have mixed up responses"
    return _invalid(subject, "it belongs to another request", why)


def oversized(subject: str) -> InvalidResponse:
    """Return the error for a list that holds far more than was requested, or does not end."""
    return _invalid(subject, "a list far longer than requested", "a proxy may be in between")


def _invalid(subject: str, found: str, why: str) -> InvalidResponse:
    return InvalidResponse(f"unexpected response from Domo for {subject}: {found}", f"{why}; try again later")


def said(response: Response) -> tuple[str, str]:
    """Return Domo's own message (a bare text, or the title of an HTML page, too) and ``toe``."""
    try:
        value = parse_json(response.body)
    except InvalidResponse:
        found = re.search(r"<title[^>]*>([^<]{1,200})", response.text, re.IGNORECASE)
        if found is None and kind_of_body(response) == _TEXT and not re.search("[<\ufffd]", response.text):
            return cut(response.text.strip(), MESSAGE_LETTERS), ""
        return (cut(found[1], MESSAGE_LETTERS) if found else ""), ""
    if not isinstance(value, dict):
        return (cut(value.strip(), MESSAGE_LETTERS) if isinstance(value, str) else ""), ""
    texts = [value.get(name) for name in ("message", "toe")]
    message, toe = (cut(text, MESSAGE_LETTERS) if isinstance(text, str) else "" for text in texts)
    return message, toe


def title(response: Response) -> str:
    """Return ``503 Service Unavailable``."""
    try:
        return f"{response.status} {HTTPStatus(response.status).phrase}"
    except ValueError:
        return str(response.status)


def because(message: str) -> str:
    """Return ``: message``, or nothing."""
    return f": {message}" if message else ""


def kind_of_body(response: Response) -> str:
    """Return what an unexpected body is, in words."""
    head = response.body[:200].lstrip().lower()
    if head.startswith((b"<!doctype", b"<html")) or "html" in response.header("Content-Type"):
        return "an HTML page"
    if not head:
        return "an empty body"
    try:
        parse_json(response.body)
    except InvalidResponse:
        return "invalid JSON" if head.startswith((b"{", b"[")) else _TEXT
    return "JSON of another shape"

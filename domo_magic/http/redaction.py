"""The token kept out of what a server said: blanked where it is as it is, else the text is withheld. Pure."""

from __future__ import annotations

import codecs
import html
import json
import re
from itertools import takewhile
from urllib.parse import unquote

_BLANK = "<token>"
_WITHHELD = "(withheld: it repeats the token)"
# A word shorter than this is no token; so much of one is a token that was cut.
_LEAST = 6
# How often one escape may stand in another, and the letters of one that was cut.
_ROUNDS, _ESCAPES = 4, "\\&%"
_CUT = 6


class Redactor:
    """Keeps one token out of texts.

    Parameters
    ----------
    token : str
        The token; one too short to be one is left alone.

    Examples
    --------
    >>> redactor = Redactor("abc/def")
    >>> redactor.body(b'is abc/def')
    b'is <token>'
    >>> redactor.body(b'is ABC%2fdef') is None
    True
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._known = len(token) >= _LEAST

    def text(self, text: str) -> str:
        """Return a header or a message without the token."""
        if not self._known:
            return text
        text = text.replace(self._token, _BLANK)
        return _WITHHELD if self._token.lower() in _decoded(text) else text

    def body(self, body: bytes) -> bytes | None:
        """Return a body without the token, of UTF-16 and UTF-32 as UTF-8; None where it is withheld."""
        if body.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)) or b"\0" in body[:4] != bytes(4):
            body = body.decode(json.detect_encoding(body), "replace").encode()
        if not self._known:
            return body
        text, token = body.decode("latin-1"), self._token.lower()
        escapes = any(map(text.__contains__, _ESCAPES)) or not token.isascii()
        if not escapes and token not in (lower := text.lower()):  # nearly always, and in half the time
            return None if _ends_within(lower, token) else body
        body = body.replace(self._token.encode(), _BLANK.encode())
        decoded = _decoded(body.decode("latin-1"))
        return None if token in decoded or _ends_within(decoded, token) else body


def _decoded(text: str) -> str:
    """Return what a text may be read as, in lower case, its escapes of JSON, HTML and URLs resolved."""
    for _ in range(_ROUNDS):
        before = text
        if "\\" in text:
            text = re.sub(r"\\u00([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), text).replace(
                "\\", ""
            )
        if "&" in text:
            text = html.unescape(text)
        if "%" in text:
            text = unquote(text)
        if text == before:
            break
    return text.lower()


def _ends_within(text: str, token: str) -> bool:
    """Return True if a text was cut within the token, or within an escape behind a part of it."""
    place = text.rfind(token[:_LEAST], max(0, len(text) - len(token) - _CUT))
    if place < 0:
        return False
    rest = text[place:]
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(rest, token, strict=False)))
    return len(rest) - alike <= _CUT and not rest.endswith(("}", "]", ">", "\n"))

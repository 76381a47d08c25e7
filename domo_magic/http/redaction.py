"""The token kept out of responses that repeat it, however it is spelled there. Pure."""

from __future__ import annotations

import codecs
import html.entities
import json
import re
from functools import cached_property

_BLANK = b"<token>"
# A word shorter than this is no token; so much of one is a token that was cut.
_LEAST = 6
_LONGEST_SPELLING = 16
# So a whole body ends; one that is cut within the token does not.
_ENDS = (b"}", b"]", b">", b"\n")
# What every spelling but the plain one has somewhere.
_ESCAPES = (b"\\u", b"%", b"&")
_ESCAPED = (b"\\", *_ESCAPES)
_NAMED = {ord("'"): ["apos"]}
for _name, _code in html.entities.name2codepoint.items():
    _NAMED.setdefault(_code, []).append(_name)


class Redactor:
    """Blanks one token.

    Plain and in any case, with JSON's, HTML's and the URL's escapes, for some of its characters or all.

    Parameters
    ----------
    token : str
        The token; one too short to be one is left alone.

    Examples
    --------
    >>> Redactor("abc/def").body(b"is abc%2fdef, abc&#x2F;def")
    b'is <token>, <token>'
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._plain = token.encode()
        self._folded = self._plain.lower()
        self._known = len(token) >= _LEAST
        self._escapes = _ESCAPES if token.isalnum() else _ESCAPED

    def text(self, text: str) -> str:
        """Return a header or a message without the token."""
        plain = text.encode("utf-8", "surrogateescape")
        if self._known and (
            self._folded in plain.lower() or any(escape in plain for escape in self._escapes)
        ):
            plain = self._whole.sub(_BLANK, plain)
        return plain.decode("utf-8", "replace")

    def body(self, text: bytes) -> bytes:
        """Return a body without the token; of UTF-16 and UTF-32 as UTF-8."""
        if text.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)) or b"\0" in text[:4] != bytes(4):
            text = text.decode(json.detect_encoding(text), "replace").encode()
        if not self._known:
            return text
        # Most bodies are told by this alone, at the speed of the memory.
        if self._plain in text or any(escape in text for escape in self._escapes):
            text = self._whole.sub(_BLANK, text)
        return text if text.endswith(_ENDS) else self._without_cut(text)

    @cached_property
    def _letters(self) -> list[str]:
        return [_spellings(letter) for letter in self._token]

    @cached_property
    def _whole(self) -> re.Pattern[bytes]:
        return re.compile("".join(self._letters).encode())  # 20 ms: most never need it

    def _without_cut(self, text: bytes) -> bytes:
        """Return the text without a beginning of the token at its end."""
        head = re.compile("".join(self._letters[:_LEAST]).encode())
        for found in head.finditer(text, max(0, len(text) - len(self._token) * _LONGEST_SPELLING)):
            place = found.end()
            for letter in self._letters[_LEAST:]:
                if (match := re.compile(letter.encode()).match(text, place)) is None:
                    break
                place = match.end()
            left = text[place:]
            if not left or (left.startswith(_ESCAPED) and len(left) < _LONGEST_SPELLING):
                return text[: found.start()] + _BLANK
        return text


def _spellings(letter: str) -> str:
    """Return the pattern of what a letter may be written as; each begins with a literal, which is fast.

    Backslashes are counted up to a bound: without one, a long row of them takes time by its square.
    """
    code = ord(letter)
    ways = []
    for each in sorted({letter, letter.lower(), letter.upper()}):
        number = ord(each)
        ways += [
            re.escape(each),
            rf"\\{{1,16}}u00{_hex(number)}",
            rf"%(?:25)*{_hex(number)}",
            rf"&#0*{number};?",
            rf"&#[xX]0*{_hex(number)};?",
        ]
    ways += [f"&{name};" for name in _NAMED.get(code, [])]
    if not letter.isalnum():
        ways.append(rf"\\{{1,16}}{re.escape(letter)}")
    return f"(?:{'|'.join(ways)})"


def _hex(number: int) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{number:02x}")

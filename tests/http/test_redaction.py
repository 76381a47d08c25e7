"""Redactor: the token is found in every spelling, and nothing else is changed."""

from __future__ import annotations

import html
import json
from urllib.parse import quote

import pytest

from domo_magic.http.redaction import Redactor

TOKEN = "SeCrEt+/=ToKeN\"&'<>-DEADBEEF"
BLANK = b"<token>"


def escaped(letters: str) -> str:
    """Write every letter as JSON may."""
    return "".join(f"\\u{ord(letter):04x}" for letter in letters)


SPELLINGS = {
    "plain": TOKEN,
    "upper": TOKEN.upper(),
    "json": json.dumps(TOKEN)[1:-1],
    "slashes": TOKEN.replace("/", "\\/").replace('"', '\\"'),
    "gson": TOKEN.replace("=", "\\u003d").replace("'", "\\u0027").replace('"', '\\"'),
    "all escaped": escaped(TOKEN),
    "some escaped": escaped(TOKEN[:5]) + TOKEN[5:],
    "url": quote(TOKEN, safe=""),
    "lower url": quote(TOKEN, safe="").lower(),
    "url twice": quote(quote(TOKEN, safe=""), safe=""),
    "html": html.escape(TOKEN),
    "html numbers": "".join(f"&#{ord(letter)};" for letter in TOKEN),
    "mustache": html.escape(TOKEN).replace("/", "&#x2F;").replace("=", "&#x3D;"),
    "json in json": json.dumps(json.dumps(TOKEN)[1:-1])[1:-1],
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_every_spelling_is_blanked(spelling: str) -> None:
    """In a body and in a header, what stands around it stays."""
    upper = spelling == TOKEN.upper()  # a host's name in a redirect, say; a body keeps its case
    assert upper or Redactor(TOKEN).body(b'{"a": "%b"}' % spelling.encode()) == b'{"a": "%b"}' % BLANK
    assert Redactor(TOKEN).text(f"https://login/?{spelling}&b") == "https://login/?<token>&b"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_bodies_are_blanked(encoding: str) -> None:
    """They come out as UTF-8."""
    assert Redactor(TOKEN).body(f'["{TOKEN[:6]}x", 1]'.encode(encoding)).endswith(b'x", 1]')
    assert BLANK in Redactor(TOKEN).body(f'["{escaped(TOKEN)}", 1]'.encode(encoding))


@pytest.mark.parametrize("kept, blanked", [(5, False), (6, True), (20, True)])
@pytest.mark.parametrize("spell", [str, escaped], ids=["plain", "escaped"])
def test_a_token_that_was_cut_is_blanked(spell: type[str], kept: int, *, blanked: bool) -> None:
    """Six letters of it at the end of a body are too many; so is half an escape behind them."""
    for more in ("", "\\u00"):
        cut = f'{{"message": "{spell(TOKEN[:kept])}{more}'.encode()
        assert Redactor(TOKEN).body(cut) == (b'{"message": "<token>' if blanked else cut)


def test_what_is_no_token_stays() -> None:
    """Not a byte of another response changes; a token too short to be one is not looked for."""
    body = b'{"a": "50% &amp; \\u0041\\n", "b": "SeCrEt", "c": "\xff"}'
    assert Redactor(TOKEN).body(body) == body
    assert Redactor("ab").body(b"abab") == b"abab"
    assert Redactor("ab").text("abab") == "abab"


def test_a_long_row_of_backslashes_costs_no_time() -> None:
    """A body may be made of nothing else: what stands behind them is looked for once, not from each."""
    text = b"100% " + b"\\" * 1_000_000
    assert Redactor(TOKEN).body(text) == text

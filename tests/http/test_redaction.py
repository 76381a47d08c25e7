"""Redactor: the token is blanked, a spelling of it withheld, and nothing else changed."""

from __future__ import annotations

import html
import json
import pickle
from urllib.parse import quote

import pytest

from domo_magic.http.credentials import Token
from domo_magic.http.redaction import Redactor

TOKEN = "SeCrEt+/=ToKeN\"&'<>-DEADBEEF"


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
    "html5": TOKEN.replace("+", "&plus;").replace("/", "&sol;").replace("=", "&equals;"),
    "html without semicolons": TOKEN.replace("<", "&lt").replace("&'", "&amp'"),
    "html numbers": "".join(f"&#{ord(letter)};" for letter in TOKEN),
    "mustache": html.escape(TOKEN).replace("/", "&#x2F;").replace("=", "&#x3D;"),
    "json in json": json.dumps(json.dumps(TOKEN)[1:-1])[1:-1],
}


def test_the_token_as_it_is_is_blanked() -> None:
    """What stands around it stays, byte for byte."""
    assert Redactor(TOKEN).body(b'{"a":  "%b"}' % TOKEN.encode()) == b'{"a":  "<token>"}'
    assert Redactor(TOKEN).text(f"https://login/?{TOKEN}&b") == "https://login/?<token>&b"


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_what_may_be_read_as_the_token_is_withheld(spelling: str) -> None:
    """However it is escaped, and in whatever case: the whole text is not shown."""
    if spelling == TOKEN:
        return
    assert Redactor(TOKEN).body(b'{"a": "%b"}' % spelling.encode()) is None
    assert Redactor(TOKEN).text(f"https://login/?{spelling}&b") == "(withheld: it repeats the token)"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_bodies_are_read(encoding: str) -> None:
    """They come out as UTF-8."""
    assert Redactor(TOKEN).body(f'["{TOKEN[:6]}x", 1]'.encode(encoding)) == f'["{TOKEN[:6]}x", 1]'.encode()
    assert Redactor("abc/defg").body('["abc/defg"]'.encode(encoding)) == b'["<token>"]'
    assert Redactor(TOKEN).body(f'["{escaped(TOKEN)}", 1]'.encode(encoding)) is None


@pytest.mark.parametrize("kept, withheld", [(5, False), (6, True), (20, True)])
@pytest.mark.parametrize("spell", [str, escaped], ids=["plain", "escaped"])
def test_a_token_that_was_cut_is_withheld(spell: type[str], kept: int, *, withheld: bool) -> None:
    """Six letters of it at the end of a body are too many; so is half an escape behind them."""
    for more in ("", "\\u00"):
        cut = f'{{"message": "{spell(TOKEN[:kept])}{more}'.encode()
        assert Redactor(TOKEN).body(cut) == (None if withheld else cut)


def test_what_is_no_token_stays() -> None:
    """Not a byte of another response changes; a token too short to be one is not looked for."""
    body = b'{"a": "50% &amp; \\u0041\\n", "b": "SeCrEt", "c": "\xff"}'
    assert Redactor(TOKEN).body(body) == body
    assert Redactor("ab").body(b"abab") == b"abab"
    assert Redactor("ab").text("abab") == "abab"
    assert Redactor(TOKEN).text("50% &amp; \\u0041") == "50% &amp; \\u0041"


def test_what_keeps_the_token_is_not_pickled() -> None:
    """Nor does it print."""
    redactor = Redactor(Token(TOKEN))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(redactor)
    assert TOKEN not in repr(vars(redactor))


def test_a_long_row_of_backslashes_costs_no_time() -> None:
    """A body may be made of nothing else: what stands behind them is looked for once, not from each."""
    text = b"100% " + b"\\" * 1_000_000
    assert Redactor(TOKEN).body(text) == text

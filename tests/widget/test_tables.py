"""The panel's tables: escaped, cut, small enough, and the same facts in HTML and text."""

from __future__ import annotations

import json
import re
from datetime import timedelta, timezone
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from domo_magic.model.formatting import local_time, set_timezone, width
from domo_magic.widget import tables
from domo_magic.widget.tables import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_734_458_300.0
STARTED = 1_734_458_216_000_000
HOSTILE = "<img src=x onerror=alert(1)>\"'</table><script>\x00\u202e`&amp;"


@pytest.fixture(autouse=True)
def _utc() -> Iterator[None]:
    set_timezone("UTC")
    yield
    set_timezone(None)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def _parsed(text: str) -> _Tags:
    found = _Tags()
    found.feed(text)
    return found


def _pieces(text: str) -> list[tuple[str, dict[str, str | None], str]]:
    """Return the tags one after the other, each with its attributes and the text up to the next."""
    found: list[tuple[str, dict[str, str | None], str]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append((tag, dict(attrs), ""))  # type: ignore[method-assign]
    parser.handle_data = lambda data: found.append(("", {}, data))  # type: ignore[method-assign]
    parser.feed(text)
    return found


def _full(**changes: object) -> Row:
    facts: dict[str, object] = {
        "run": "25775/201",
        "name": "Sales Orders",
        "state": "SUCCESS",
        "mark": "good",
        "started_us": STARTED,
        "lasted": 192.0,
        "usual": 96.0,
        "rows": 283_429,
        "verdict": "slow",
        "says": "3 min 12 s, 2.0 times the usual 1 min 36 s",
        "label": "nightly",
    }
    return Row(**(facts | changes))  # type: ignore[arg-type]


def test_a_row_has_every_fact_as_text() -> None:
    """Name, run, state, local time, UTC on hover, duration, rows, verdict and label are all there."""
    set_timezone("Europe/Berlin")
    row = _parsed(tables.row_html(_full(), NOW))
    for fact in ("Sales Orders", "25775/201", "✓\u00a0SUCCESS", "18:56:56 CET", "3 min 12 s", "283,429",
                 "slow", "nightly"):  # fmt: skip
        assert fact in row.text
    assert ("span", {"title": "2024-12-17 17:56:56 UTC"}) in row.tags
    assert row.tags[1] == ("th", {"scope": "row"})


@pytest.mark.parametrize("field", ["name", "state", "verdict", "says", "label"])
def test_what_comes_from_domo_is_only_text(field: str) -> None:
    """Markup in any text makes no element and no attribute."""
    hostile, plain = (_parsed(tables.row_html(_full(**{field: text}), NOW)) for text in (HOSTILE, "x"))
    assert [tag for tag in hostile.tags if tag != ("wbr", {})] == plain.tags
    assert "\u202e" not in hostile.text
    assert "\x00" not in hostile.text


def test_long_words_break_at_their_joints() -> None:
    """A word of a program may break after `_`, `.` and `/`, a number may not, and the text stays the same."""
    text = "REQUEST_LIMIT_EXCEEDED: see help.salesforce.com/limits, 3.3 times 1/2 & _x"
    marked = tables.safe(text, 160)
    assert marked == (
        "REQUEST_<wbr>LIMIT_<wbr>EXCEEDED: see help.<wbr>salesforce.<wbr>com/<wbr>limits,"
        " 3.3 times 1/2 &amp; _<wbr>x"
    )
    assert _parsed(marked).text == text


def test_the_bar_says_how_long_against_the_usual() -> None:
    """Half of the bar is the usual; beyond twice the usual it is full; without a usual there is none."""
    shares = [
        re.findall(r"--w:(\d+)%", tables.row_html(_full(lasted=lasted), NOW))
        for lasted in (96.0, 48.0, 9000.0)
    ]
    assert shares == [["50"], ["25"], ["100"]]
    assert "--w" not in tables.row_html(_full(usual=None), NOW)


def test_a_live_table_of_the_longest_rows_is_one_small_message() -> None:
    """However long the texts are, and in whatever letters, a live table stays below 20 kB."""
    long = _full(name="漢" * 500, says="\\" * 900, label="é" * 500, state="W" * 99)
    html, shown = tables.live_html([long] * 200, NOW)
    assert len(json.dumps({"value": html}, ensure_ascii=False).encode()) < 19_500
    assert 10 <= shown < 50


def test_a_live_table_of_usual_rows_holds_50() -> None:
    """Fifty rows of the usual length fit into one message."""
    assert tables.live_html([_full(says="usually 3 min 12 s")] * 200, NOW)[1] == 50


def test_tables_have_captions_and_heads() -> None:
    """Both tables name themselves and their columns to a screen reader."""
    for html in (tables.live_html([_full()], NOW)[0], tables.ended_html([_full()], NOW)):
        tags = [tag for tag, _ in _parsed(html).tags]
        assert tags.count("caption") == 1
        assert [tag for tag in _parsed(html).tags if tag == ("th", {"scope": "col"})] == [
            ("th", {"scope": "col"})
        ] * len(tables.HEADS)


@pytest.mark.parametrize(
    "us, text",
    [
        (STARTED, "18:56:56 CET"),
        (STARTED - 86_400_000_000, "16 Dec 18:56 CET"),
        (STARTED - 400 * 86_400_000_000, "2023-11-13 18:56 CET"),
    ],
)
def test_times_are_local_with_their_zone(us: int, text: str) -> None:
    """Today's times have seconds, this year's the day, older ones the date; all have the zone."""
    assert local_time(us, NOW, timezone(timedelta(hours=1), "CET")) == text


def test_zones_with_long_names_are_written_as_their_distance() -> None:
    """Windows' names of zones are sentences; then the distance to UTC stands there."""
    zone = timezone(timedelta(hours=1), "W. Europe Standard Time")
    assert local_time(STARTED, NOW, zone) == "18:56:56 UTC+0100"


def test_the_first_and_last_moments_are_times_too() -> None:
    """No time that a run can have breaks a row."""
    for us in (-62_135_596_800_000_000, 253_402_300_799_999_999):
        assert local_time(us, NOW, timezone(timedelta(hours=-12 if us < 0 else 12)))


def test_the_text_table_is_plain_and_aligned() -> None:
    """The text has the columns below their heads, and says how many runs it leaves out."""
    rows = [_full(), _full(run="1/1", name="", state="ERROR", mark="bad")] * 30
    lines = tables.text_table(rows, NOW)
    assert len(lines) == 1 + 50 + 1
    assert lines[-1] == "10 more"
    assert {line.index("3 min 12 s") for line in lines[1:-1]} == {lines[0].index("Duration")}
    assert "slow: 3 min 12 s, 2.0 times" in lines[1]


def test_a_narrow_terminal_has_the_numbers_rather_than_half_a_sentence() -> None:
    """Eighty columns hold name, state, time, duration, rows and verdict; the sentence needs more."""
    rows = [_full(verdict="slow", says="30 s, 3.3 times the usual 8.9 s; rows as usual", label="")]
    for room, verdict in ((80, "slow"), (120, "slow: 30 s, 3.3 times the usual")):
        line = tables.text_table(rows, NOW, room=room)[1]
        for fact in ("25775/201", "Sales", "SUCCESS", "17:56:56 UTC", "3 min 12 s", "283,429", verdict):
            assert fact in line
        assert (": " in line.partition("283,429")[2]) == (room > 80)


@pytest.mark.parametrize("room", [40, 60, 80, 110])
@pytest.mark.parametrize("name", ["Sales Orders of all countries", "売上データ" * 6])
def test_a_terminal_is_never_too_narrow(room: int, name: str) -> None:
    """However narrow a terminal is, and in whatever letters, lines fit, and state and verdict are there."""
    rows = [_full(name=name), _full(name=name, state="ERROR", mark="bad", verdict="failed", says=name * 3)]
    lines = tables.text_table(rows, NOW, most=10, room=room)
    assert max(map(width, lines)) <= room
    assert "State" in lines[0]
    assert "SUCCESS" in lines[1]
    assert "slow" in lines[1]
    assert "25775/201" in lines[1]


def test_wrapped_text_keeps_its_words() -> None:
    """Words go to the next line, wide ones too; one that is too long is cut."""
    assert tables.wrapped("one two 売上 three", 8) == "one two\n売上\nthree"
    assert tables.wrapped("x" * 20, 8) == "x" * 7 + "…"


def test_the_snapshot_is_one_whole_table() -> None:
    """What a saved notebook keeps has one visible head and all of its rows, and no more than 50."""
    snapshot = _parsed(tables.snapshot_html([_full()] * 51, "here", NOW))
    tags = [tag for tag, _ in snapshot.tags]
    assert (tags.count("table"), tags.count("tr")) == (1, 51)
    assert "1 more" in snapshot.text


def test_the_snapshot_needs_no_style() -> None:
    """With every attribute but `align` taken away, nothing runs into another, and rows stand to the right."""
    lines, sides = [""], []
    for tag, attributes, text in _pieces(tables.snapshot_html([_full()], "here", NOW)):
        if tag in {"br", "div"}:
            lines.append("")
            sides += [side] if (side := attributes.get("align")) else []
        lines[-1] += text
    assert lines[2 + len(tables.HEADS) :] == [
        *("Sales Orders", "25775/201", "✓\u00a0SUCCESS", "17:56:56 UTC", "3 min 12 s", "283,429"),
        *("slow", "3 min 12 s, 2.0 times the usual 1 min 36 s", "nightly"),
    ]
    assert sides == ["left", "left", "left", "left", "right", "left", "left"] * 2

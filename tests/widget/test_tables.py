"""The panel's tables: escaped, cut and small enough."""

from __future__ import annotations

import json
import re
from datetime import timedelta, timezone
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from domo_magic.model.formatting import local_time, set_timezone
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

"""The frame as one sees it: short, aligned, escaped; its values and all derived from it are pandas'."""

from __future__ import annotations

import copy
import pickle
import re
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from support import displayed

from domo_magic.model import formatting
from domo_magic.model.execution import Execution
from domo_magic.model.formatting import local_time, set_timezone
from domo_magic.model.frame import frame, newest_first, typed
from domo_magic.model.shown import ShownFrame, shown, width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\u202e\ud83d"
ENDED = {
    "currentState": "SUCCESS",
    "startedAt": 1_734_458_216,
    "endedAt": 1_734_458_408,
    "rowsInserted": 283_429,
}
FAILED = {**ENDED, "currentState": "ERROR", "rowsInserted": 7, "errors": [{"message": "login refused"}]}
FIRST = """\
Run      Name          State      Started                Duration       Rows  Error
25775/2  Sales Orders  ✓ SUCCESS  2024-12-17 17:56 UTC  3 min 12 s  283,429  —
25775/1  —             ✗ ERROR    2024-12-17 17:56 UTC  3 min 12 s        7  login refused
2 runs · 35 columns; all of them: run.T"""


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("COLUMNS", "110")
    set_timezone("UTC")
    yield
    set_timezone(None)


@pytest.fixture(name="runs")
def made_runs() -> pd.DataFrame:
    """Return a run that succeeded and one that failed."""
    return frame([Execution(25775, 2, ENDED, name="Sales Orders"), Execution(25775, 1, FAILED)])


def compared(size: int = 2) -> pd.DataFrame:
    """Return a comparison as `compare` gives it, as far as it is displayed."""
    columns: dict[str, Any] = {
        "streamId": pd.array([25775] * size, "Int64"),
        "executionId": pd.array(range(size), "Int64"),
        "name": pd.array(["a rather long name of some DataSet"] * size, "string"),
        "currentState": pd.array(["SUCCESS"] * size, "string"),
        "startedAt": pd.to_datetime([1_734_458_216] * size, unit="s", utc=True),
        "verdict": pd.array(["slow, few rows"] * size, "string"),
        "error": pd.array([None] * size, "string"),
        "duration": pd.to_timedelta([192.0] * size, unit="s"),
        "durationRatio": pd.array([3.1] * size, "Float64"),
        "rowsInserted": pd.array([100] * size, "Int64"),
        "rowsInsertedRatio": pd.array([0.25] * size, "Float64"),
    }
    return shown(pd.DataFrame(columns), "comparison")


def squeezed(text: str) -> str:
    """Return a text in which only the places of words count."""
    return re.sub(" +", " ", text)


def test_text_is_what_one_looks_at(runs: pd.DataFrame) -> None:
    """A terminal shows run, name, state, start, duration, rows and error, and how to see the rest."""
    assert squeezed(repr(runs)) == squeezed(FIRST)
    lines = repr(runs).splitlines()[:3]
    words = ("Rows", "283,429", "  7")
    ends = [line.index(word) + len(word) for line, word in zip(lines, words, strict=True)]
    assert len(set(ends)) == 1


@pytest.mark.parametrize("columns", [110, 80, 60, 40])
def test_state_and_verdict_are_never_dropped(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However narrow the terminal, the lines fit, at most 100 wide, with state and verdict."""
    monkeypatch.setenv("COLUMNS", str(columns))
    text = repr(compared())
    table = text.splitlines()[:-1]
    assert max(map(width, table)) <= min(columns, 100)
    assert "✓ SUCCESS" in text
    assert "! slow, few rows" in text


@pytest.mark.parametrize("kind", ["runs", "comparison"])
@pytest.mark.parametrize(
    "state, ended, sign",
    [
        ("ACTIVE", 0, "▸"),
        ("Success", 0, "✓"),
        ("ABORTED", 5, "○"),
        ("PARTYING", 0, "▸"),
        ("PARTYING", 5, "✗"),
    ],
)
def test_a_state_has_the_mark_of_its_runs_line(kind: str, state: str, ended: int, sign: str) -> None:
    """What has ended in a state that nobody knows is no running one."""
    runs = frame([Execution(25775, 2, {"currentState": state, "startedAt": 2, "endedAt": ended})])
    if kind == "comparison":
        runs = shown(runs.drop(columns="endedAt"), kind)
    assert f"{sign} {state}" in repr(runs)


@pytest.mark.parametrize("columns, most", [(110, 100), (80, 80), (40, 40)])
def test_a_cause_is_never_cut(columns: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors too long for a column stand below the table in full, each once with its runs."""
    monkeypatch.setenv("COLUMNS", str(columns))
    cause = "Communications link failure: erp-db-02.example.com:3306 refused the connection"
    failed = {**ENDED, "currentState": "ERROR", "errors": [{"message": cause}]}
    runs = frame(
        [Execution(25775, at, failed, name="Sales Orders") for at in (3, 2)] + [Execution(7, 1, ENDED)]
    )
    lines = repr(runs).splitlines()
    assert max(map(width, lines[:-1])) <= most
    assert "Error" not in lines[0]
    below = " ".join(line.strip() for line in lines[4:-1]).replace("- ", "-")
    assert below == f"25775/3, 25775/2: {cause}"


def test_an_overview_says_how_unusual() -> None:
    """What is unusual has its ratio beside it; what has none stands alone."""
    words = ["slow, few rows", "few rows, few bytes", "failed", "running, slow"]
    columns: dict[str, Any] = {
        "streamId": pd.array([1, 2, 3, 4], "Int64"),
        "verdict": pd.array(words, "string"),
        "duration": pd.to_timedelta([31.0, 10, 10, None], unit="s"),
        "durationBaseline": pd.to_timedelta([10.0, 10, 10, 10], unit="s"),
        "rowsInserted": pd.array([25, 25, 25, None], "Int64"),
        "rowsInsertedBaseline": pd.array([100, 100, None, None], "Float64"),
    }
    text = repr(shown(pd.DataFrame(columns), "overview"))
    said = [re.split(" {2,}", line)[1] for line in text.splitlines()[1:-1]]
    assert said == [
        "! slow 3.1x, few rows 0.25x",
        "! few rows 0.25x, few bytes",
        "✗ failed",
        "! running, slow",
    ]


def test_twenty_rows_and_a_count_of_the_rest() -> None:
    """A long frame shows its first 20 rows, and says how many more there are."""
    runs = frame([Execution(7, number) for number in range(1, 101)])
    text, markup = repr(runs), displayed(runs)["text/html"]
    assert "7/20" in text
    assert "7/21" not in text
    assert "80 more, 100 runs" in text
    assert "80 more, 100 runs" in markup
    assert markup.count("<tr>") == 21


def test_foreign_text_is_harmless() -> None:
    """Names, states and errors from Domo are text in HTML and letters in a terminal."""
    fields = {"currentState": HOSTILE, "errors": [{"message": HOSTILE}]}
    runs = frame([Execution(7, 1, fields, name="<b>R&D</b>\x07")])
    markup, text = displayed(runs)["text/html"], repr(runs)
    assert "<img" not in markup
    assert "<b>R&D" not in markup
    assert "&lt;b&gt;R&amp;D&lt;/b&gt;" in markup
    assert all(line.isprintable() for line in text.splitlines())
    assert (text + markup).encode()


def test_wide_letters_are_aligned() -> None:
    """An East Asian letter takes two columns."""
    runs = frame([Execution(7, 1, ENDED, name="売上データ"), Execution(7, 2, ENDED, name="Sales")])
    first, second = repr(runs).splitlines()[1:3]
    assert width(first.split("✓")[0]) == width(second.split("✓")[0])


def test_an_empty_frame_says_so() -> None:
    """No runs, no streams: a line in words, in a terminal and in a notebook."""
    assert repr(frame([])) == "0 runs · 35 columns; all of them: run.T"
    assert "0 runs" in displayed(frame([]))["text/html"]
    assert repr(typed({"streamId": []}, {"streamId": "whole"})).startswith("0 streams")


def test_changed_columns_are_shown_by_pandas(runs: pd.DataFrame) -> None:
    """A column more, another name or another dtype: pandas' own display."""
    for change in (
        lambda table: table.insert(0, "new", 1),
        lambda table: setattr(table, "columns", table.columns.str.upper()),
        lambda table: table.__setitem__("duration", "long"),
    ):
        mine = frame([Execution(25775, 2, ENDED)])
        change(mine)
        assert isinstance(mine, ShownFrame)
        assert repr(mine) == repr(pd.DataFrame(mine))
        assert "all of them" not in displayed(mine)["text/html"]
    assert "all of them" in repr(runs)


DERIVED: dict[str, Callable[[pd.DataFrame], Any]] = {
    "selection": lambda runs: runs[["streamId", "name"]],
    "rows": lambda runs: runs[runs["rowsInserted"] > 10],
    "head": lambda runs: runs.head(1),
    "copy": lambda runs: runs.copy(),
    "deepcopy": copy.deepcopy,
    "concat": lambda runs: pd.concat([runs, runs]),
    "pickle 2": lambda runs: pickle.loads(pickle.dumps(runs, 2)),  # noqa: S301
    "pickle 5": lambda runs: pickle.loads(pickle.dumps(runs, 5)),  # noqa: S301
}


@pytest.mark.parametrize("derive", DERIVED.values(), ids=DERIVED)
def test_what_is_derived_is_plain_pandas(runs: pd.DataFrame, derive: Callable[[pd.DataFrame], Any]) -> None:
    """A selection, a copy, a pickle are DataFrames as pandas makes them."""
    assert type(derive(runs)) is pd.DataFrame


def test_values_are_equal_both_ways(runs: pd.DataFrame) -> None:
    """The frame and a plain one with its values are equal, attributes and all."""
    runs.attrs["note"] = "mine"
    plain = pickle.loads(pickle.dumps(runs))  # noqa: S301
    assert runs.equals(plain)
    assert plain.equals(runs)
    assert plain.attrs == {"note": "mine"}
    pd.testing.assert_frame_equal(runs, plain)
    pd.testing.assert_frame_equal(plain, runs, check_frame_type=False)
    assert type(newest_first(runs, 1)) is ShownFrame


def test_times_are_in_the_zone_that_is_set(runs: pd.DataFrame) -> None:
    """One setting moves every time that a user reads; the values stay in UTC."""
    set_timezone("Asia/Tokyo")
    assert "2024-12-18 02:56 JST" in repr(runs)
    assert local_time(1_734_458_216_000_000, 1_734_458_300) == "02:56:56 JST"
    assert str(runs["startedAt"].dtype) == "datetime64[us, UTC]"


@pytest.mark.parametrize("name", ["Nowhere", "", "../etc/passwd", "Europe", 7, "a\x00b"])
def test_a_zone_that_there_is_not(name: Any) -> None:
    """A bad name is a ValueError that shows good ones, and changes nothing."""
    set_timezone("Asia/Tokyo")
    with pytest.raises(ValueError, match="invalid time zone"):
        set_timezone(name)
    assert str(formatting.timezone()) == "Asia/Tokyo"

"""Frames go through Parquet, CSV, concat, merge and groupby with nothing changed that should not."""

from __future__ import annotations

import csv
import os
import stat
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import domo_magic
from domo_magic.analysis import accessor
from domo_magic.analysis.arrow import arrow
from domo_magic.errors import ConfigurationError, TargetError
from domo_magic.model.execution import Execution, parse_json
from domo_magic.model.frame import frame

if TYPE_CHECKING:
    from domo_magic.executions.session import Session

accessor.register()
needs_parquet = pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")
CAPTURES = Path(__file__).parents[1] / "captures"


@pytest.fixture
def runs() -> pd.DataFrame:
    """Give the two documented runs, with awkward values in undocumented fields."""
    texts = [
        (CAPTURES / name).read_text() for name in ("run-25775-created.json", "execution-371-success.json")
    ]
    odd = {
        "odd": {"empty": {}, "list": [1, None, {}]},
        "exact": parse_json("[1.10]")[0],
        "toe": '=HYPERLINK("x")',
    }
    values = [parse_json(text) for text in texts]
    return frame([Execution.from_json({**value, **odd}) for value in values])


@needs_parquet
def test_parquet_changes_nothing(runs: pd.DataFrame, tmp_path: Path) -> None:
    """A frame of runs comes back from Parquet with its columns, dtypes and values, exact numbers too."""
    runs.domo.to_parquet(tmp_path / "runs.parquet")
    back = domo_magic.read_parquet(tmp_path / "runs.parquet")
    assert_frame_equal(runs, back)
    assert back["exact"][0].text == "1.10"
    assert back["odd"][1] == {"empty": {}, "list": [1, None, {}]}


@needs_parquet
@pytest.mark.parametrize("rows", [0, 1])
def test_parquet_of_compared_and_empty_frames(session: Session, tmp_path: Path, rows: int) -> None:
    """A compared frame and an empty one come back unchanged too."""
    compared = domo_magic.compare(25775).head(rows)
    for table in (compared, frame([])):
        table.domo.to_parquet(tmp_path / "table.parquet")
        back = domo_magic.read_parquet(tmp_path / "table.parquet")
        assert_frame_equal(back, table, check_frame_type=False)


def test_csv_has_no_formulas(runs: pd.DataFrame, tmp_path: Path) -> None:
    """A text that a spreadsheet would run begins with an apostrophe; objects are JSON text."""
    runs.domo.to_csv(tmp_path / "runs.csv")
    back = pd.read_csv(tmp_path / "runs.csv")
    assert list(back.columns) == list(runs.columns)
    assert back["toe"].tolist() == ['\'=HYPERLINK("x")'] * 2
    assert back["odd"][0] == '{"empty": {}, "list": [1, null, {}]}'
    assert back["rowsInserted"].tolist() == [0, 283429]


def test_no_text_begins_like_a_formula(tmp_path: Path) -> None:
    """Behind blanks, in full width, in a category and in the head of a column a formula is none either."""
    signs = [sign + "1+1" for sign in "=+-@\uff1d\uff0b\uff0d\uff20"]
    formulas = [before + text for before in ("", " ", "\n", "\t \u00a0", "\ufeff") for text in signs]
    table = pd.DataFrame({'=HYPERLINK("http://x")': pd.array(formulas, dtype="string")})
    table["kind"] = pd.Categorical(formulas)
    table["arrow"] = pd.array(formulas, dtype=pd.ArrowDtype(pytest.importorskip("pyarrow").string()))
    table["number"] = pd.Categorical([-1] * len(table))
    table["usual"] = pd.array(["a=1 - b"] * len(table), dtype="string")
    table.domo.to_csv(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head == ['\'=HYPERLINK("http://x")', "kind", "arrow", "number", "usual"]
    assert rows == [[f"'{text}"] * 3 + ["-1", "a=1 - b"] for text in formulas]


@pytest.mark.parametrize(
    "text", ["a;=cmd|' /C calc'!A0;b", "Sales;=HYPERLINK(A1);", "x\t=1+1", "a; @SUM(1)", ";-1"]
)
def test_split_at_semicolons_or_tabs_no_text_is_a_formula(text: str, tmp_path: Path) -> None:
    """Where ; separates the columns, as in most of Europe, a text is split there, and stays text."""
    pd.DataFrame({"toe": pd.array([text], dtype="string")}).domo.to_csv(tmp_path / "table.csv")
    written = (tmp_path / "table.csv").read_text()
    for delimiter in ";\t,":
        for row in csv.reader(written.splitlines(), delimiter=delimiter):
            assert not [cell for cell in row if cell.lstrip()[:1] in set("=+-@")]


@needs_parquet
def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A file that is not there, that is no Parquet, and one that is damaged are told apart."""
    path = tmp_path / "runs.parquet"
    with pytest.raises(FileNotFoundError, match=r"no such file: .*runs\.parquet"):
        domo_magic.read_parquet(path)
    frame([]).domo.to_parquet(path)
    whole = path.read_bytes()
    for damaged in (b"", b"streamId,executionId", whole[:-100] + b"\xff" * 60 + whole[-40:]):
        path.write_bytes(damaged)
        with pytest.raises(TargetError, match=r"cannot be read as Parquet: .*\nname a file"):
            domo_magic.read_parquet(path)


def test_concat_merge_and_groupby_keep_dtypes(runs: pd.DataFrame) -> None:
    """Joining frames, an empty one among them, changes no dtype; runs can be grouped by their stream."""
    base = runs.drop(columns=["odd", "exact"])
    assert pd.concat([frame([]), base, base.head(0)]).dtypes.equals(base.dtypes)
    merged = base.merge(base[["streamId", "executionId", "rowsInserted"]], on=["streamId", "executionId"])
    assert merged["rowsInserted_y"].dtype == "Int64"
    assert merged["startedAt"].dtype == base["startedAt"].dtype
    assert base.groupby("streamId")["rowsInserted"].sum().to_dict() == {371: 283429, 25775: 0}


def test_accessor_compares_and_draws(session: Session) -> None:
    """The accessor says what the functions say, and asks Domo nothing."""
    runs = domo_magic.runs(25778, limit=60)
    assert "few rows" in runs.domo.compare().iloc[0]["verdict"]
    assert runs.domo.plot("rowsInserted").get_title(loc="left") or runs.domo.plot("rowsInserted").get_title()


def test_plain_values_can_be_hashed_and_have_no_zone(runs: pd.DataFrame) -> None:
    """Times are naive UTC, durations seconds, objects JSON text; the frame itself stays as it was."""
    before = runs.copy()
    made = runs.domo.plain()
    assert str(made["startedAt"].dtype) == "datetime64[us]"
    assert made["startedAt"][1] == runs["startedAt"][1].tz_localize(None)
    assert made["duration"][1] == runs["duration"][1].total_seconds()
    assert made["odd"][0] == '{"empty": {}, "list": [1, null, {}]}'
    assert made["exact"][0] == "1.10"
    assert len(made.drop_duplicates()) == 2
    assert_frame_equal(runs, before)


def test_a_selection_with_a_column_twice_is_plain_too(runs: pd.DataFrame) -> None:
    """What the user selected is what comes out, in its order."""
    made = runs[["errors", "duration", "errors"]].domo.plain()
    assert list(made) == ["errors", "duration", "errors"]
    assert made["duration"].dtype == float


def test_excel_has_no_formulas(runs: pd.DataFrame, tmp_path: Path) -> None:
    """A sheet has the plain values; no text is a formula, and control characters do not break it."""
    path = tmp_path / "runs.xlsx"
    runs.assign(name="bell\x07").domo.to_excel(path)
    back = pd.read_excel(path)
    assert back["toe"][0] == """'=HYPERLINK("x")"""
    assert back["name"][0].strip() == "bell"
    assert back["duration"][1] == runs["duration"][1].total_seconds()
    assert list(back) == list(runs)


def test_excel_without_openpyxl(runs: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the error says what to install, and no file is left."""
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ConfigurationError, match="openpyxl"):
        runs.domo.to_excel(tmp_path / "runs.xlsx")
    assert not list(tmp_path.iterdir())


@needs_parquet
def test_nesting_of_400_is_written(tmp_path: Path) -> None:
    """JSON nested 400 deep is displayed and written like any other."""
    deep = parse_json('{"errors": ' + "[" * 400 + "]" * 400 + "}")
    table = frame([Execution.from_json(deep, 7)])
    assert "7" in repr(table)
    table.domo.to_csv(tmp_path / "deep.csv")
    table.domo.to_parquet(tmp_path / "deep.parquet")
    assert table.domo.plain()["errors"][0] == "[" * 400 + "]" * 400


def test_an_excel_file_is_named_so(tmp_path: Path) -> None:
    """Any other name would be refused by pandas in words about engines."""
    pytest.importorskip("openpyxl")
    with pytest.raises(
        TargetError, match=r"r.txt is not the name of an Excel file\nwrite one that ends in .xlsx"
    ):
        frame([]).domo.to_excel(tmp_path / "r.txt")
    assert not (tmp_path / "r.txt").exists()


@pytest.mark.parametrize("name", ["runs.csv", "runs.parquet", "runs.xlsx"])
def test_what_is_interrupted_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A file takes the place of another one only when it is whole; nothing is left beside it."""
    pytest.importorskip({"csv": "pandas", "parquet": "pyarrow", "xlsx": "openpyxl"}[name.split(".")[1]])
    runs = frame([Execution(7, number) for number in range(1, 4)])
    kind = {"csv": "csv", "parquet": "parquet", "xlsx": "excel"}[name.split(".")[1]]
    write = getattr(runs.domo, f"to_{kind}")
    write(tmp_path / name)
    before = (tmp_path / name).read_bytes()

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    owner = arrow()[1] if kind == "parquet" else pd.DataFrame
    monkeypatch.setattr(owner, "write_table" if kind == "parquet" else f"to_{kind}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == before


def test_what_is_replaced_stays_what_it_is(tmp_path: Path) -> None:
    """A link leads to the new file, which has the mode of the old one; a device is written to."""
    runs = frame([Execution(7, 1)])
    (tmp_path / "runs.csv").touch(0o640)
    (tmp_path / "link.csv").symlink_to(tmp_path / "runs.csv")
    (tmp_path / "null.csv").symlink_to(os.devnull)
    runs.domo.to_csv(tmp_path / "link.csv")
    runs.domo.to_csv(tmp_path / "null.csv")
    assert [(tmp_path / name).is_symlink() for name in ("link.csv", "null.csv")] == [True, True]
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 1
    assert stat.S_IMODE((tmp_path / "runs.csv").stat().st_mode) == 0o640
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)  # noqa: PTH116
    assert len(list(tmp_path.iterdir())) == 3

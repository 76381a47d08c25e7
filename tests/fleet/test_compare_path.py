"""A whole dataset compared stream by stream: the same verdicts as of one frame."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

import domo_magic as domo
from domo_magic.errors import TargetError
from domo_magic.fleet import compare as comparing

if TYPE_CHECKING:
    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox

parquet = pytest.importorskip("pyarrow.parquet")
ORDER = ["startedAt", "executionId", "streamId"]


@pytest.fixture
def folder(session: Session, sandbox: Sandbox, tmp_path: Path) -> Path:
    """Give the collected runs of two instances, some of them newer than a first part."""
    with domo.Sandbox(streams=5, seed=3) as other:
        domo.connect(other.url, other.token)
        domo.collect(tmp_path / "runs", instance=[session.instance, other.url])
    sandbox.world.start(25775)
    domo.collect(tmp_path / "runs", instance=session.instance)
    return tmp_path / "runs"


def expected(folder: Path, baseline: str = "median") -> pd.DataFrame:
    """Return what comparing the frame of all says, but for what is usual."""
    compared = domo.read_parquet(folder).domo.compare(baseline)
    return in_order(compared[compared["verdict"] != "usual"])


def in_order(compared: pd.DataFrame) -> pd.DataFrame:
    """Return plain rows in one order; what still runs becomes slow between two calls."""
    rows = pd.DataFrame(compared).replace({"verdict": {"running, slow": "running"}})
    return rows.sort_values([*ORDER, "name"], ignore_index=True)


@pytest.mark.filterwarnings("ignore:.*have no baseline in this frame")
@pytest.mark.parametrize("together", [1, 100, 10**6])
@pytest.mark.parametrize("baseline", ["median", "previous"])
def test_the_same_verdicts_as_of_one_frame(
    folder: Path, monkeypatch: pytest.MonkeyPatch, together: int, baseline: str
) -> None:
    """However few streams are compared together, the rows are those of the whole frame, newest first."""
    monkeypatch.setattr(comparing, "_TOGETHER", together)
    found = domo.compare(folder, baseline=baseline)
    pd.testing.assert_frame_equal(in_order(found), expected(folder, baseline))
    assert found["startedAt"].dropna().is_monotonic_decreasing
    assert len(found.columns) == 19


@pytest.mark.parametrize("rows", [7, 1000, 10**6])
def test_files_of_others(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Files that another program wrote, in another order and with other row groups, are compared alike."""
    monkeypatch.setattr(comparing, "_TOGETHER", 200)
    (tmp_path / "other").mkdir()
    table = parquet.read_table(folder)
    for number, ordered in enumerate((table.slice(0, 500).sort_by("startedAt"), table.slice(500))):
        plain = ordered.replace_schema_metadata(None)
        parquet.write_table(plain, tmp_path / f"other/{number}.parquet", row_group_size=rows)
    found = in_order(domo.compare(tmp_path / "other"))
    pd.testing.assert_frame_equal(found, in_order(domo.compare(folder)))
    without = table.set_column(table.schema.get_field_index("instance"), "instance", [[None] * len(table)])
    for file in (tmp_path / "other").iterdir():
        file.unlink()
    parquet.write_table(without, tmp_path / "other/all.parquet", row_group_size=rows)
    assert len(domo.compare(tmp_path / "other")) > 0


def test_only_what_began_since(folder: Path) -> None:
    """Older runs are compared with, and not returned."""
    every = domo.compare(folder)
    middle = every["startedAt"].iloc[len(every) // 2]
    found = domo.compare(folder, since=datetime.fromtimestamp(middle.timestamp(), UTC))
    began = every["startedAt"]
    pd.testing.assert_frame_equal(
        in_order(found), in_order(every[began.isna() | (began >= middle.floor("us"))])
    )
    assert 0 < len(found) < len(every)


@pytest.mark.filterwarnings("ignore:(?s).*Port 8787:UserWarning")  # another cluster on this machine
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_dask_client_does_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is an active client its workers compare; where there is none, threads."""
    distributed = pytest.importorskip("distributed")
    here = domo.compare(folder)
    monkeypatch.setattr(comparing, "_TOGETHER", 100)
    monkeypatch.setattr(comparing, "ThreadPoolExecutor", None)
    with distributed.Client(n_workers=1, processes=False, dashboard_address=":0"):
        there = domo.compare(folder)
    pd.testing.assert_frame_equal(in_order(there), in_order(here))


@pytest.mark.parametrize("text", [str, Path])
def test_what_is_no_dataset(tmp_path: Path, text: type) -> None:
    """Text is a stream; a folder without Parquet files of runs is refused, and so is a run as baseline."""
    with pytest.raises(TargetError):
        domo.compare(text(tmp_path / "nothing"))
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "one.parquet")
    with pytest.raises(TargetError, match="has no instance, streamId" if text is Path else None):
        domo.compare(text(tmp_path))
    (tmp_path / "one.parquet").write_text("not Parquet")
    with pytest.raises(TargetError, match="cannot be read as Parquet" if text is Path else None):
        domo.compare(text(tmp_path))
    with pytest.raises(TargetError, match="its own stream" if text is Path else None):
        domo.compare(text(tmp_path), baseline="25775/1")
    assert "dask" not in sys.modules or text


@pytest.mark.filterwarnings("ignore:.*have no baseline in this frame")
def test_how_many_of_what_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The line before the rows counts them by verdict, the most frequent first."""
    with caplog.at_level("INFO", logger="domo_magic"):
        found = domo.compare(folder)
    counts = found["verdict"].value_counts()
    said = " · ".join(f"{count:,} {verdict}" for verdict, count in counts.items())
    assert f"runs that are not usual · {said}" in caplog.text

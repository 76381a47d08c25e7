"""The runs of many streams in a folder of Parquet: complete, each once, whatever goes wrong."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import random
import re
import signal
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import faults
import pandas as pd
import pytest
from support import NOW, most_at_once

import domo_magic as domo
from domo_magic.analysis.arrow import schema, to_arrow
from domo_magic.errors import ConfigurationError, DomoWarning, NotFound, RunInterrupted, TargetError
from domo_magic.executions.session import current_session
from domo_magic.fleet import collect as coordinator
from domo_magic.fleet import dataset, executors
from domo_magic.model.frame import COLUMNS, KINDS
from domo_magic.sandbox import ManualClock, Sandbox, routes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from faults import Fault, Request
    from support import JumpClock

    from domo_magic.executions.session import Session

parquet = pytest.importorskip("pyarrow.parquet")
KEY = ["instance", "streamId", "executionId"]
LIST = re.compile(r"/api/data/v1/streams/(\d+)/executions\?")
ONE = re.compile(r"/api/data/v1/streams/(\d+)/executions/(\d+)$")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the dataset's folder."""
    return tmp_path / "runs"


@pytest.fixture
def runs_clock() -> ManualClock:
    """Give the time of the sandbox's runs."""
    return ManualClock(NOW)


@pytest.fixture
def sandbox(runs_clock: ManualClock) -> Iterator[Sandbox]:
    """Give a Domo whose runs take the clock's time."""
    with Sandbox(clock=runs_clock, streams=6) as one:
        yield one


def listed(sandbox: Sandbox, stream_id: int) -> dict[int, dict[str, Any]]:
    """Return a stream's runs as the server has them."""
    runs = json.loads(sandbox.world.executions_json(stream_id, 10**6, 0))
    return {run["executionId"]: run for run in runs}


def streams(sandbox: Sandbox) -> list[int]:
    """Return the connectors of the sandbox."""
    every = sandbox.world.streams(10**6, 0)
    return [
        each["id"] for each in every if each["transport"]["type"] == "CONNECTOR" and not each.get("deleted")
    ]


def check(folder: Path, *sandboxes: Sandbox) -> pd.DataFrame:
    """See that the dataset equals what the servers have, and return it."""
    found = domo.read_parquet(folder)
    assert not found.duplicated(KEY).any()
    states = set(zip(found["streamId"], found["executionId"], found["currentState"], strict=True))
    assert states == {
        (stream_id, run, fields["currentState"])
        for sandbox in sandboxes
        for stream_id in streams(sandbox)
        for run, fields in listed(sandbox, stream_id).items()
    }
    for file in folder.iterdir():
        part = parquet.read_table(file, columns=KEY).to_pylist()
        assert part == sorted(part, key=lambda row: tuple(row.values()))
    assert {file.name for file in folder.parent.glob("*.state/*")} - {"lock"} == set()
    return found


def requests(sandbox: Sandbox, kind: re.Pattern[str] = LIST) -> list[Request]:
    """Return the requests of one kind so far, and forget all."""
    found = [request for request in sandbox.requests if kind.match(request.path)]
    sandbox.requests.clear()
    return found


def test_all_connectors_are_collected(session: Session, sandbox: Sandbox, folder: Path) -> None:
    """Every run of every connector is there once, in the columns and values of a frame of runs."""
    rows = domo.collect(folder)
    found = check(folder, sandbox)
    assert list(rows.columns) == ["instance", "streamId", "name", "fetched", "newest", "error"]
    assert rows["streamId"].tolist() == sorted(streams(sandbox))
    assert rows["fetched"].sum() == len(found)
    assert rows["error"].isna().all()
    assert list(found.columns) == [*COLUMNS, "undocumented"]
    assert found["undocumented"].isna().all()
    expected = domo.runs(25775, limit=1000).sort_values("executionId", ignore_index=True)
    collected = found[found["streamId"] == 25775].sort_values("executionId", ignore_index=True)
    pd.testing.assert_frame_equal(collected[list(COLUMNS)], pd.DataFrame(expected))


def test_again_only_what_is_new_is_requested(
    session: Session, sandbox: Sandbox, runs_clock: ManualClock, folder: Path
) -> None:
    """One request per stream and one per unfinished run; parts of finished runs stay as they are."""
    domo.collect(folder)
    before = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}
    unfinished = len(parquet.read_table(folder / "part-open.parquet"))
    sandbox.requests.clear()
    rows = domo.collect(folder)
    sent = list(sandbox.requests)
    assert len([request for request in sent if ONE.match(request.path)]) == unfinished > 0
    assert len(requests(sandbox)) == len(streams(sandbox))
    assert rows["fetched"].sum() == 0
    assert rows["newest"].tolist() == [max(listed(sandbox, each), default=pd.NA) for each in rows["streamId"]]
    assert {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()} == before
    sandbox.world.start(25775)
    runs_clock.advance(3600)
    assert domo.collect(folder, 25775)["fetched"].tolist() == [1]
    assert len(requests(sandbox)) == 1
    assert (folder / "part-000001.parquet").read_bytes() == before["part-000001.parquet"][1]


def test_an_unfinished_run_moves_to_the_finished(
    session: Session, sandbox: Sandbox, runs_clock: ManualClock, folder: Path
) -> None:
    """It stands in the part that is replaced until it has ended, and is in one part at any time."""
    sandbox.world.start(25775)
    domo.collect(folder)
    found = check(folder, sandbox)
    assert (found["currentState"] == "ACTIVE").sum() == len(parquet.read_table(folder / "part-open.parquet"))
    runs_clock.advance(3600)
    rows = domo.collect(folder)
    check(folder, sandbox)
    assert rows.set_index("streamId")["fetched"][25775] == 1


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of pandas, in Dask
def test_every_reader_reads_the_folder(session: Session, folder: Path) -> None:
    """DuckDB, polars, Dask and pandas read the parts as they are, and find the same."""
    duckdb, polars, dask = map(pytest.importorskip, ("duckdb", "polars", "dask.dataframe"))
    domo.collect(folder)
    expected = domo.read_parquet(folder)
    files = f"{folder}/*.parquet"
    count, seconds = duckdb.sql(f"select count(*), sum(duration) from '{files}'").fetchall()[0]  # noqa: S608
    read = polars.read_parquet(files)
    lazy = dask.read_parquet(folder)
    plain = pd.read_parquet(folder)
    assert count == len(read) == len(lazy) == len(plain) == len(expected)
    total = expected["duration"].dt.total_seconds().sum()
    assert seconds == pytest.approx(total)
    assert read["duration"].sum() == pytest.approx(total)
    assert lazy["duration"].sum().compute() == pytest.approx(total)
    assert plain["duration"].sum() == pytest.approx(total)


def starts(sandbox: Sandbox, past: int) -> list[float]:
    """Add stream 7 with so many runs, and return when they began, the earliest first."""
    sandbox.world.add_stream(past=past, stream_id=7)
    return sorted(run["startedAt"] for run in listed(sandbox, 7).values())


def at(seconds: float | None) -> datetime | None:
    """Return epoch seconds as a time, None as it is."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def changed(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], sandbox: Sandbox) -> None:
    """Let the sandbox give lists of runs that were changed."""

    def decide(request: Request) -> Fault | None:
        if (match := LIST.match(request.path)) is None:
            return None
        limit, offset = map(int, re.findall(r"=(\d+)", request.path))
        runs = change(list(listed(sandbox, int(match[1])).values()))
        return faults.response(json.dumps(runs[offset : offset + limit]).encode())

    sandbox.decide = decide


def test_what_nobody_documented_is_kept(session: Session, sandbox: Sandbox, folder: Path) -> None:
    """Unknown fields are in one column, what does not fit is empty, and numbers keep their digits."""
    odd = b"""[{"streamId": 25775, "executionId": 1, "currentState": "SUCCESS", "rowsInserted": "many",
        "indexRequestKey": 20220513224325.6280, "bytesInserted": "12", "startedAt": "2024-12-17T17:56:56Z",
        "endedAt": 1734458217.5, "toe": 7, "cost": 1.10, "why": {"a": [null, "\\u0000"]}, "name": "theirs",
        "errors": [{"message": "a\\u0000b", "parameters": {"x": "y"}}], "duration": 7, "index": "yes"}]"""
    sandbox.order(faults.response(odd), method="GET", path="25775/executions")
    domo.collect(folder, 25775)
    row = domo.read_parquet(folder).iloc[0]
    assert json.loads(row["undocumented"]) == {"cost": 1.1, "why": {"a": [None, "\0"]}}
    assert '"cost": 1.10' in row["undocumented"]
    assert pd.isna(row["rowsInserted"])
    assert pd.isna(row["index"])
    assert row["bytesInserted"] == 12
    assert row["indexRequestKey"] == "20220513224325.6280"
    assert row["duration"] == pd.Timedelta(seconds=1.5)
    assert row["errors"] == [{"message": "a\0b", "parameters": {"x": "y"}}]


@pytest.mark.parametrize("most", [1, 7, 60, 100, 200])
def test_pages_of_any_length(
    session: Session, sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """However few runs Domo gives at most at once, none is left out, now and later."""
    monkeypatch.setattr(routes, "_PAGE_MOST", most)
    sandbox.world.add_stream(past=2 * most)
    sandbox.world.add_stream(past=2 * most + 1)
    wanted = [25775, *streams(sandbox)[-2:]]
    domo.collect(folder, wanted)
    sandbox.world.start(25775)
    domo.collect(folder, wanted)
    found = domo.read_parquet(folder)
    assert found[found.duplicated(KEY)][KEY].to_numpy().tolist() == []
    assert found.groupby("streamId").size().to_dict() == {each: len(listed(sandbox, each)) for each in wanted}


ORDERS: dict[str, Callable[[list[dict[str, Any]]], list[dict[str, Any]]]] = {
    "newest first": lambda runs: runs[::-1],
    "no order": lambda runs: sorted(runs, key=lambda run: (run["executionId"] * 7919) % 101),
    "with gaps": lambda runs: [run for run in runs if run["executionId"] % 3],
    "old ones removed": lambda runs: runs[-20:],
}


@pytest.mark.parametrize("order", ORDERS)
def test_lists_in_any_order(session: Session, sandbox: Sandbox, folder: Path, order: str) -> None:
    """Nobody promised an order, nor that ids have no gaps."""
    sandbox.world.add_stream(past=1200, stream_id=7)
    changed(ORDERS[order], sandbox)
    domo.collect(folder, [7, 25775])
    sandbox.world.start(25775)
    sandbox.world.start(7)
    domo.collect(folder, [7, 25775])
    found = domo.read_parquet(folder)
    assert not found.duplicated(KEY).any()
    for stream_id in (7, 25775):
        runs = ORDERS[order](list(listed(sandbox, stream_id).values()))
        there = set(found.loc[found["streamId"] == stream_id, "executionId"])
        assert there >= {run["executionId"] for run in runs}


def test_a_run_that_appears_late_is_not_missed(session: Session, sandbox: Sandbox, folder: Path) -> None:
    """One that the list did not have, although later ones were there, comes with the next collect."""
    changed(lambda runs: [run for run in runs if run["executionId"] != 197], sandbox)
    domo.collect(folder, 25775)
    assert len(domo.read_parquet(folder)) == 199
    sandbox.decide = None
    assert domo.collect(folder, 25775)["fetched"].tolist() == [1]
    assert sorted(domo.read_parquet(folder)["executionId"]) == list(range(1, 201))


def test_since_and_further_back(session: Session, sandbox: Sandbox, folder: Path) -> None:
    """Only what began since then, in a few requests; an earlier time later on brings the rest."""
    began = starts(sandbox, 1700)

    def collected(since: float | None) -> int:
        domo.collect(folder, 7, since=at(since))
        found = domo.read_parquet(folder)
        assert not found.duplicated(KEY).any()
        return len(found)

    sandbox.requests.clear()
    assert collected(began[-100]) == 100
    assert len(requests(sandbox)) <= 3
    assert collected(began[-100]) == 100
    assert len(requests(sandbox)) == 1
    assert collected(began[-1100]) == 1100
    assert collected(None) == 1700
    assert collected(None) == 1700


@pytest.mark.parametrize("then", ["new run", "nothing new"])
@pytest.mark.parametrize("steps", [(None,), (20, None), (20, 20, None), (60, None)])
def test_further_back_where_nothing_was_late_enough(
    session: Session,
    sandbox: Sandbox,
    runs_clock: ManualClock,
    folder: Path,
    steps: tuple[int | None, ...],
    then: str,
) -> None:
    """A stream that had no run since then brings its past when an earlier time is given, or none."""
    began = starts(sandbox, 60)
    later = at(began[-1] + 1)
    sandbox.world.add_stream(stream_id=8)
    sandbox.world.start(8)
    runs_clock.advance(3600)  # it ends: a part is written, and what is known of both with it
    assert domo.collect(folder, [7, 8], since=later)["fetched"].tolist() == [0, 1]
    if then == "new run":
        sandbox.world.start(7)
        runs_clock.advance(3600)
        domo.collect(folder, 7, since=later)
    for newest in steps:
        domo.collect(folder, 7, since=None if newest is None else at(began[-newest]))
    found = domo.read_parquet(folder)
    assert sorted(found.loc[found["streamId"] == 7, "executionId"]) == sorted(listed(sandbox, 7))


@pytest.mark.parametrize("change", ["no start", "not rising"])
def test_further_back_where_ids_tell_little(
    session: Session, sandbox: Sandbox, folder: Path, change: str
) -> None:
    """An old run without a start, or ids that do not rise with it, leave no hole when one goes back."""
    began = starts(sandbox, 60)

    def other(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for run in runs:
            if change == "no start" and run["executionId"] == 5:
                run["startedAt"] = None
            elif change == "not rising":
                run["startedAt"] = began[(run["executionId"] * 7) % 60]
        return runs

    changed(other, sandbox)
    for since in (began[-20], began[-40], None):
        domo.collect(folder, 7, since=at(since))
    found = domo.read_parquet(folder)
    assert sorted(found["executionId"]) == sorted(listed(sandbox, 7))


def test_further_back_where_the_list_fails_first(
    session: Session, sandbox: Sandbox, runs_clock: ManualClock, folder: Path
) -> None:
    """A run that has ended meanwhile does not make the stream known in part: nothing is there twice."""
    began = starts(sandbox, 60)
    sandbox.world.start(7)
    domo.collect(folder, 7, since=at(began[-20]))
    runs_clock.advance(3600)
    sandbox.order(faults.status(403), method="GET", path=r"7/executions\?")
    assert domo.collect(folder, 7)["error"].notna().all()
    assert domo.collect(folder, 7)["fetched"].tolist() == [41]
    assert sorted(domo.read_parquet(folder)["executionId"]) == sorted(listed(sandbox, 7))


@pytest.mark.parametrize("order", ["newest first", "as it comes"])
def test_since_in_long_lists_of_any_order(
    session: Session, sandbox: Sandbox, folder: Path, order: str
) -> None:
    """A list that is not oldest first is read from its beginning, however late `since` is."""
    began = starts(sandbox, 1100)
    mixed = random.Random(7)

    def other(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        mixed.seed(7)
        return list(reversed(runs)) if order == "newest first" else mixed.sample(runs, len(runs))

    changed(other, sandbox)
    for newest in (100, 700):
        domo.collect(folder, 7, since=at(began[-newest]))
        assert sorted(domo.read_parquet(folder)["executionId"]) == list(range(1101 - newest, 1101))


def test_an_interrupt_leaves_the_folder_free(
    session: Session, sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes as soon as the lock is held frees it, while its error is still kept."""
    real = dataset.Dataset._load

    def interrupted(self: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset.Dataset, "_load", interrupted)
    with pytest.raises(RunInterrupted) as caught:
        domo.collect(folder, 25775)
    monkeypatch.setattr(dataset.Dataset, "_load", real)
    assert domo.collect(folder, 25775)["fetched"].tolist() == [200]
    assert caught.value.summary


@pytest.mark.parametrize("lost", [0, 50])
def test_a_folder_of_an_earlier_version(session: Session, sandbox: Sandbox, folder: Path, lost: int) -> None:
    """What its footers say counts for nothing: what is not there is fetched, runs that it had lost, too."""
    domo.collect(folder, [25775, 25776])
    (part,) = folder.glob("part-*.parquet")
    table = parquet.read_table(part)
    about = json.loads(table.schema.metadata[b"domo_magic.collect"])
    about["streams"] = {
        instance: {stream: [last, 1, *rest] for stream, (last, *rest) in streams.items()}
        for instance, streams in about["streams"].items()
    }
    metadata = {b"domo_magic.collect": json.dumps(about).encode()}
    parquet.write_table(table.slice(lost).replace_schema_metadata(metadata), part)
    for expected in (lost, 0):
        assert domo.collect(folder, [25775, 25776])["fetched"].sum() == expected
    found = domo.read_parquet(folder)
    assert len(found) == 400
    assert not found.duplicated(KEY).any()


def test_several_instances(session: Session, sandbox: Sandbox, runs_clock: ManualClock, folder: Path) -> None:
    """One folder holds them all; one without a login, or with a wrong one, is a row."""
    with Sandbox(streams=3, seed=7, clock=runs_clock) as other, Sandbox(streams=3) as third:
        for each, token in ((other, other.token), (third, "wrong")):
            domo.connect(each.url, token)
        names = [session.instance, *(each.url.removeprefix("http://") for each in (other, third)), "nobody"]
        rows = domo.collect(folder, instance=names)
        check(folder, sandbox, other)
    assert rows.groupby("instance").size().to_dict() == {
        names[0]: len(streams(sandbox)),
        names[1]: len(streams(other)),
        names[2]: 1,
        names[3]: 1,
    }
    errors = rows.loc[rows["streamId"].isna(), "error"].tolist()
    assert "401" in errors[0]
    assert "no token" in errors[1]


def test_rows_name_their_instance(session: Session, sandbox: Sandbox, folder: Path) -> None:
    """Of the rows of several instances each is collected from its own; ids alone from all of them."""
    with Sandbox(streams=3, seed=7) as other:
        domo.connect(other.url, other.token)
        names = [session.instance, other.url.removeprefix("http://")]
        found = pd.DataFrame({"streamId": [25775, 25776], "instance": names})
        rows = domo.collect(folder, found, instance=names)
        assert list(zip(rows["instance"], rows["streamId"], strict=True)) == [
            (names[0], 25775),
            (names[1], 25776),
        ]
        assert len(domo.collect(folder, [25775, 25776], instance=names)) == 4


def test_one_stream_that_is_refused(session: Session, sandbox: Sandbox, folder: Path) -> None:
    """A 403 or 404 of a single stream, or an outage that lasts, is its row; the others are collected."""
    sandbox.order(faults.status(403), method="GET", path="25776/executions")
    sandbox.order(faults.html(), method="GET", path="25777/executions", times=100)
    found = domo.collect(folder, [25775, 25776, 25777, 999_999])
    assert found["streamId"].tolist() == [25776, 25777, 999_999, 25775]  # errors first
    rows = found.set_index("streamId")
    assert rows["fetched"].to_dict() == {25775: 200, 25776: 0, 25777: 0, 999_999: 0}
    assert "403" in rows["error"][25776]
    assert "HTML" in rows["error"][25777]
    assert "999999" in rows["error"][999_999]
    sandbox.orders = type(sandbox.orders)()
    assert domo.collect(folder, [25776, 25777])["fetched"].tolist() == [200, 200]


def test_streams_cut_in_the_middle(
    still_session: Session,
    still_sandbox: Sandbox,
    clock: JumpClock,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Streams that several tasks read, some pages each, stand in one part, in order."""
    monkeypatch.setattr(routes, "_PAGE_MOST", 40)

    def slow(_request: Request) -> None:
        clock.now += 2

    still_sandbox.decide = slow
    tasks = Odd()
    domo.collect(folder, streams(still_sandbox)[:5], executor=tasks, max_parallel=4)
    still_sandbox.decide = None
    given = [pickle.loads(task)[1] for task in tasks.pickled]  # noqa: S301
    assert any(work.known.last for _, _, works, _ in given[1:] for work in works)
    assert len(list(folder.glob("part-0*.parquet"))) == 1
    domo.collect(folder)
    check(folder, still_sandbox)


def test_what_passes_is_tried_again(session: Session, sandbox: Sandbox, folder: Path) -> None:
    """Resets, 500s, HTML and cut responses in between leave no trace."""
    for fault in (faults.reset(), faults.status(500), faults.html(), faults.cut()):
        sandbox.order(fault, method="GET", path=r"executions\?", times=2)
    assert domo.collect(folder)["error"].isna().all()
    check(folder, sandbox)


@pytest.mark.parametrize("parallel", [1, 16])
def test_rate_limits_are_kept(session: Session, sandbox: Sandbox, folder: Path, parallel: int) -> None:
    """After a 429 nothing is sent but what was under way until Retry-After is over; then all is read."""
    for _ in range(100):
        sandbox.world.add_stream(past=3)
    sandbox.order(faults.status(429, retry_after=1), method="GET", path="25776/executions")
    rows = domo.collect(folder, streams(sandbox), max_parallel=parallel)
    assert rows["error"].isna().all()
    check(folder, sandbox)
    sent = requests(sandbox)
    refused = next(request.at for request in sent if "25776/" in request.path)
    assert sum(refused < request.at < refused + 1 for request in sent) < parallel


@pytest.mark.parametrize("retry_after", [None, 7])
def test_a_minute_of_rate_limits(
    still_session: Session, still_sandbox: Sandbox, clock: JumpClock, folder: Path, retry_after: int | None
) -> None:
    """An instance that refuses for a minute is given time, whether it says how much or not."""
    begun = clock.now

    def decide(request: Request) -> Fault | None:
        over = clock.now - begun > 60 or "/executions?" not in request.path
        return None if over else faults.status(429, retry_after=retry_after)

    still_sandbox.decide = decide
    assert domo.collect(folder, [25775, 25776])["fetched"].tolist() == [200, 200]
    refused = len(requests(still_sandbox)) - 2
    assert 0 < refused <= 40


def test_rate_limits_without_an_end(session: Session, sandbox: Sandbox, folder: Path) -> None:
    """An instance that wants a day of rest is given up, with a row for each stream that was not read."""
    sandbox.order(faults.status(429, retry_after=86_400), method="GET", path="25776/executions")
    rows = domo.collect(folder, [25775, 25776, 25777], max_parallel=1).set_index("streamId")
    assert rows["fetched"].to_dict() == {25775: 200, 25776: 0, 25777: 0}
    assert rows["error"].str.contains("rate limiting; retry after 86400 s").sum() == 2


@pytest.mark.parametrize("parallel", [1, 3, 16])
def test_no_more_requests_than_wanted(
    session: Session, sandbox: Sandbox, folder: Path, parallel: int
) -> None:
    """An instance sees at most `max_parallel` requests at the same time, and as many where there is work."""
    most = most_at_once(sandbox, parallel)
    for _ in range(60):
        sandbox.world.add_stream(past=1)
    domo.collect(folder, streams(sandbox), max_parallel=parallel)
    assert most() == parallel


def test_folders_that_are_refused(session: Session, sandbox: Sandbox, folder: Path, tmp_path: Path) -> None:
    """Nothing is sent for a folder with other files, one that another collect writes, or none."""
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    sandbox.requests.clear()
    with pytest.raises(TargetError, match=r"holds other files than a dataset's: notes\.txt"):
        domo.collect(folder)
    assert list(folder.parent.iterdir()) == [folder], "nothing was made beside it"
    (folder / "notes.txt").unlink()
    with dataset.Dataset(folder).opened(), pytest.raises(TargetError, match="another collect is writing"):
        domo.collect(folder)
    (tmp_path / "file").write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot be written to"):
        domo.collect(tmp_path / "file")
    with pytest.raises(TargetError, match="name a folder of its own"):
        domo.collect("/")
    with pytest.raises(TargetError, match=r"client\.get_executor"):
        domo.collect(folder, executor=object())  # type: ignore[arg-type]
    assert sandbox.requests == []


class Closing(ThreadPoolExecutor):
    """Does so many tasks, forgets the next, and takes no others, as a cluster that is closed meanwhile."""

    def __init__(self, does: int) -> None:
        super().__init__()
        self._left = does

    def submit(self, work: Any, /, *arguments: Any, **named: Any) -> Future[Any]:
        """Take a task."""
        self._left -= 1
        if self._left < -1:
            raise RuntimeError("closed")
        return super().submit(work, *arguments, **named) if self._left >= 0 else Future()


def test_an_executor_that_forgets_its_tasks(
    session: Session, sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster closed under way says nothing about its tasks, and takes no others: each stream says so."""
    monkeypatch.setattr(executors, "SILENT", 0.1)
    with Closing(1) as executor:
        rows = domo.collect(folder, streams(sandbox)[:3], executor=executor, max_parallel=1)
    assert rows["error"].str.contains("takes no more tasks: RuntimeError: closed").all()


@pytest.mark.parametrize("does", [0, -1], ids=["forgets", "refuses"])
def test_an_executor_that_takes_nothing(
    session: Session, sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch, does: int
) -> None:
    """One that forgets or refuses the trial of the folder is an error, before any request."""
    monkeypatch.setattr(executors, "SILENT", 0.1)
    with Closing(does) as executor, pytest.raises(ConfigurationError, match="takes no tasks: RuntimeError"):
        domo.collect(folder, streams(sandbox)[:3], executor=executor)
    assert sandbox.requests == []


@pytest.mark.parametrize("does", [0, 1])
def test_a_cluster_closed_while_comparing(
    session: Session, sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch, does: int
) -> None:
    """Comparing a dataset does not wait for ever for what a closed cluster has forgotten."""
    domo.collect(folder, streams(sandbox)[:3])
    monkeypatch.setattr(executors, "SILENT", 0.1)
    monkeypatch.setattr("domo_magic.fleet.compare._TOGETHER", 20)
    with Closing(does) as executor:
        client = SimpleNamespace(get_executor=lambda: executor)
        monkeypatch.setattr("domo_magic.fleet.compare._client", lambda: client)
        with pytest.raises(ConfigurationError, match="takes no tasks: RuntimeError: closed"):
            domo.compare(folder)


def test_frames_of_others_are_refused(session: Session, folder: Path) -> None:
    """A part that somebody else wrote is left alone."""
    folder.mkdir()
    pd.DataFrame({"a": [1]}).to_parquet(folder / "part-000001.parquet")
    with pytest.raises(TargetError, match=r"part-000001\.parquet"):
        domo.collect(folder)
    assert pd.read_parquet(folder)["a"].tolist() == [1]


@pytest.mark.parametrize("which", [1, 2, 3, "open"])
def test_a_damaged_part(
    session: Session, sandbox: Sandbox, runs_clock: ManualClock, folder: Path, which: int | str
) -> None:
    """A half-written file is put aside with a warning, and its runs are fetched again."""
    for _ in range(3):
        domo.collect(folder)
        sandbox.world.start(25775)
        runs_clock.advance(3600)
    name = f"part-{which:06d}.parquet" if isinstance(which, int) else "part-open.parquet"
    (folder / name).write_bytes((folder / name).read_bytes()[:-100])
    with pytest.warns(DomoWarning, match=f"{name} cannot be read"):
        domo.collect(folder)
    aside = folder.with_name("runs.state") / f"unreadable-{name}"
    assert aside.exists()
    aside.unlink()
    check(folder, sandbox)
    assert domo.collect(folder)["fetched"].sum() == 0


class _EndedError(BaseException):
    """Stands for a process that is no more."""


@pytest.mark.parametrize("step", range(1, 6))
def test_killed_between_any_two_steps(
    session: Session,
    sandbox: Sandbox,
    runs_clock: ManualClock,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    """Whenever a process ends while parts are renamed, no run is there twice, and the next has them all."""
    sandbox.world.start(25776)
    domo.collect(folder)
    before = domo.read_parquet(folder)
    sandbox.world.start(25775)
    runs_clock.advance(30)
    sandbox.world.start(25777)
    real, done = Path.replace, 0

    def replace(self: Path, target: Path) -> Path:
        nonlocal done
        done += 1
        if done == step:
            raise _EndedError
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(_EndedError) if step < 4 else _nothing():
        domo.collect(folder)
    monkeypatch.undo()
    found = domo.read_parquet(folder)
    assert not found.duplicated(KEY).any()
    ended = before[before["endedAt"].notna()]
    assert set(found["executionId"] + 10**6 * found["streamId"]) >= set(
        ended["executionId"] + 10**6 * ended["streamId"]
    )
    domo.collect(folder)
    check(folder, sandbox)


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def test_a_full_disk(
    session: Session, sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said in one sentence; what was there before is whole, and the next collect goes on."""
    domo.collect(folder, 25775)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("domo_magic.fleet.reading._Task._write", full)
        with pytest.raises(ConfigurationError, match="No space left on device"):
            domo.collect(folder)
        patched.setattr("domo_magic.fleet.dataset.os.fsync", full)
        patched.undo()
        patched.setattr("domo_magic.fleet.dataset.os.fsync", full)
        with pytest.raises(ConfigurationError, match="No space left on device"):
            domo.collect(folder)
    assert len(domo.read_parquet(folder)) == 200
    domo.collect(folder)
    check(folder, sandbox)


class Odd(Executor):
    """Threads that do every task twice, the result of the first being lost now and then."""

    def __init__(self, lost: int = 0, *, broken_after: int = 10**9) -> None:
        self.lost = lost
        self.left = broken_after
        self.pickled: list[bytes] = []

    def submit(self, fn: Any, /, *args: Any, **_: Any) -> Future[Any]:
        """Do it at once."""
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self.pickled.append(pickle.dumps((fn, args)))
        future: Future[Any] = Future()
        fn(*args)
        if self.lost > 0 and fn.__name__ == "read":
            self.lost -= 1
            future.set_exception(OSError("the worker has died"))
        else:
            future.set_result(pickle.loads(pickle.dumps(fn(*args))))  # noqa: S301
        return future


@pytest.mark.parametrize("lost", [0, 2])
def test_tasks_that_run_twice_or_are_lost(
    session: Session, sandbox: Sandbox, folder: Path, lost: int
) -> None:
    """What an executor does twice changes nothing, what it loses is done again, and no token travels."""
    odd = Odd(lost)
    rows = domo.collect(folder, executor=odd)
    assert rows["error"].isna().all()
    found = domo.read_parquet(folder)
    assert not found.duplicated(KEY).any()
    assert len(found) == sum(len(listed(sandbox, each)) for each in streams(sandbox))
    assert not any(sandbox.token.encode() in each for each in odd.pickled)
    domo.collect(folder)  # removes what tasks left that nobody waited for
    check(folder, sandbox)


def test_an_executor_that_breaks_down(session: Session, sandbox: Sandbox, folder: Path) -> None:
    """One that takes no more tasks, or loses every one, leaves rows that say so, and what was read."""
    rows = domo.collect(folder, executor=Odd(broken_after=3))
    assert rows["error"].str.contains("takes no more tasks: RuntimeError: cannot schedule").any()
    assert 0 < rows["fetched"].sum() == len(domo.read_parquet(folder))
    rows = domo.collect(folder, executor=Odd(lost=10**9))
    assert rows["error"].str.contains("the worker was lost: OSError: the worker has died").all()
    domo.collect(folder)
    check(folder, sandbox)


def test_a_stream_that_ends_workers(session: Session, sandbox: Sandbox, folder: Path) -> None:
    """It alone is given up; those that were lost with it are read."""

    class Deadly(Odd):
        def submit(self, fn: Any, /, *args: Any, **_: Any) -> Future[Any]:
            self.lost = fn.__name__ == "read" and 25776 in [work.stream_id for work in args[2]]
            return super().submit(fn, *args)

    rows = domo.collect(folder, executor=Deadly()).set_index("streamId")
    assert rows["error"].notna().sum() == 1
    assert "the worker was lost" in rows["error"][25776]


def test_a_folder_that_a_worker_does_not_see(session: Session, folder: Path) -> None:
    """It is noticed before the first request."""

    class Elsewhere(Odd):
        def submit(self, fn: Any, /, *args: Any, **_: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_result("nothing.try")
            return future

    with pytest.raises(ConfigurationError, match="a worker does not see"):
        domo.collect(folder, executor=Elsewhere())


def test_other_processes_take_their_own_login(
    session: Session, sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login refuses to travel; workers have theirs from the environment, or say that there is none."""
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(session.login)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        rows = domo.collect(folder, 25775, executor=pool)
        assert "no token" in rows["error"][0]
    monkeypatch.setenv("DOMO_DEVELOPER_TOKEN", sandbox.token)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        assert domo.collect(folder, executor=pool)["error"].isna().all()
    check(folder, sandbox)


def test_an_interrupt_keeps_what_was_read(
    session: Session, sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends at once; the next collect goes on from there."""
    real = coordinator._Collecting._take

    def take(self: Any, task: Any) -> None:
        real(self, task)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(coordinator._Collecting, "_take", take)
        with pytest.raises(RunInterrupted, match="what had been read is in "):
            domo.collect(folder)
    assert len(domo.read_parquet(folder)) > 0
    domo.collect(folder)
    domo.collect(folder)
    check(folder, sandbox)


def test_labels_are_joined(session: Session, sandbox: Sandbox, folder: Path) -> None:
    """A run that was started here has its label and the time of the request."""
    domo.run(25775, label="nightly")
    domo.collect(folder, 25775)
    row = domo.read_parquet(folder).set_index("executionId").loc[201]
    assert row["label"] == "nightly"
    assert row["requestedAt"] is not pd.NaT


def test_only_one_instance_that_does_not_list(folder: Path, sandbox: Sandbox) -> None:
    """Alone, its error is raised."""
    domo.connect(sandbox.url, "wrong")
    with pytest.raises(domo.AuthenticationError):
        domo.collect(folder)
    assert list(folder.iterdir()) == []


def test_dtypes_of_an_empty_result(session: Session, sandbox: Sandbox, folder: Path) -> None:
    """Of streams that never ran there is a row each, and a part without rows."""
    stream_id = sandbox.world.add_stream(past=0)
    rows = domo.collect(folder, stream_id)
    assert rows["fetched"].tolist() == [0]
    assert rows["newest"].isna().all()
    assert {name: str(dtype) for name, dtype in rows.dtypes.items()} == {
        **dict.fromkeys(("instance", "name", "error"), "string"),
        **dict.fromkeys(("streamId", "fetched", "newest"), "Int64"),
    }
    assert [file.name for file in folder.iterdir()] == ["part-000001.parquet"]
    assert domo.read_parquet(folder).empty
    assert set(KINDS) == set(COLUMNS)
    assert current_session().instance == rows["instance"][0]
    with pytest.raises(NotFound):
        domo.runs(999_999)


def test_an_unfinished_run_that_ends_before_the_list_is_read(
    session: Session, sandbox: Sandbox, runs_clock: ManualClock, folder: Path
) -> None:
    """Where nothing but it was ever kept of a stream, it is there once, also if the list fails at first."""
    stream_id = sandbox.world.add_stream(past=0)
    sandbox.world.start(stream_id)
    domo.collect(folder, stream_id)
    assert [file.name for file in folder.iterdir()] == ["part-open.parquet"]
    runs_clock.advance(3600)
    sandbox.order(faults.html(), method="GET", path=r"executions\?")
    domo.collect(folder, stream_id)
    sandbox.world.start(stream_id)
    runs_clock.advance(3600)
    domo.collect(folder, stream_id)
    assert sorted(domo.read_parquet(folder)["executionId"]) == [1, 2]


def test_an_unfinished_run_that_ends_between_two_tries(
    session: Session, sandbox: Sandbox, runs_clock: ManualClock, folder: Path
) -> None:
    """Seen unfinished, then seen again after its list failed, it is there once, and has ended."""
    sandbox.world.start(25775)
    domo.collect(folder, 25775)

    def decide(request: Request) -> Fault | None:
        if not LIST.match(request.path):
            return None
        sandbox.decide = None
        runs_clock.advance(3600)
        return faults.html()

    sandbox.decide = decide
    assert domo.collect(folder, 25775)["fetched"].tolist() == [1]
    found = domo.read_parquet(folder)
    assert found["executionId"].tolist() == list(range(1, 202))
    assert found["endedAt"].notna().all()


def test_a_folder_without_runs_can_be_read(
    session: Session, sandbox: Sandbox, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing has ended yet, the folder is an empty frame with all columns, and compares as one."""
    assert domo.collect(folder, 25775, since="1s")["fetched"].tolist() == [0]
    found = domo.read_parquet(folder)
    assert list(found.columns) == [*COLUMNS, "undocumented"]
    assert found.empty
    with caplog.at_level("INFO", logger="domo_magic"):
        assert domo.compare(folder).empty
        assert domo.collect(folder, 25775)["fetched"].tolist() == [200]
    assert "runs that are not usual · none" in caplog.text
    assert "1 stream · 200 runs fetched" in caplog.text
    assert len(domo.read_parquet(folder)) == 200


def test_a_path_comes_first() -> None:
    """A stream in the place of the folder is told as that."""
    with pytest.raises(TargetError, match=r"the path of a folder comes first, got '25775'"):
        domo.collect(25775)  # type: ignore[arg-type]


def test_an_interrupt_keeps_what_tasks_had_read(
    session: Session, sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks under way end with the page they are at, and what they have is written."""
    seen = itertools.count(1)

    def decide(request: Request) -> None:
        if LIST.match(request.path) and next(seen) == 4:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(0.2)

    sandbox.decide = decide
    with pytest.raises(RunInterrupted, match="what had been read is in "):
        domo.collect(folder, max_parallel=2)
    sandbox.decide = None
    assert domo.read_parquet(folder)["streamId"].nunique() >= 3
    domo.collect(folder)
    check(folder, sandbox)


def test_a_part_is_made_with_a_row_group_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What tasks wrote comes in one order; their keys and one row group of it are in memory, no more."""
    pa = pytest.importorskip("pyarrow")
    monkeypatch.setattr(dataset, "_GROUP", 1_000)
    monkeypatch.setattr(dataset, "BATCH", 500)
    files, size = [tmp_path / f"{at}.arrow" for at in range(3)], 0
    for at, path in enumerate(files):
        ids = range(at + 1, 15_001, 3)
        made = to_arrow(
            [{"toe": f"{each:0400d}"} for each in ids],
            [(1, each, "Sales", "here", None, None) for each in ids],
        )
        with pa.ipc.new_file(path, schema()) as writer:
            writer.write_table(made, max_chunksize=500)
        size += made.nbytes
        del made
    before, held, found = pa.total_allocated_bytes(), [], []
    for group in dataset._in_order(files):
        held.append(pa.total_allocated_bytes() - before)
        found += group["executionId"].to_pylist()
        assert [int(toe) for toe in group["toe"].to_pylist()] == group["executionId"].to_pylist()
    assert found == list(range(1, 15_001))
    assert max(held) < size / 2

"""Collecting on a cluster of Dask, in processes that have their own login, and that die."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import most_at_once

import domo_magic as domo
from domo_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

distributed = pytest.importorskip("distributed")
pytest.importorskip("pyarrow")
pytestmark = [
    # What Dask, its event loop and its processes leave behind is not ours.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    # Another cluster on this machine has the usual port of its dashboard.
    pytest.mark.filterwarnings("ignore:(?s).*Port 8787:UserWarning"),
]

KEY = ["instance", "streamId", "executionId"]
REFERENCE = Path(__file__).parents[2] / "notebooks/reference.ipynb"


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Give a Domo that responds after 50 ms, whose token is in the environment alone."""
    monkeypatch.setenv("DOMO_DEVELOPER_TOKEN", "shared")
    with Sandbox(latency=0.05, token="shared") as one:
        domo.connect(one.url)
        yield one


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Any]:
    """Give a client of two processes, whose environment has the token."""
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster,
        distributed.Client(cluster) as one,
    ):
        yield one


def check(folder: Path, *sandboxes: Sandbox) -> None:
    """See that the dataset has every run of every connector once."""
    found = domo.read_parquet(folder)
    assert not found.duplicated(KEY).any()
    there = set(zip(found["streamId"], found["executionId"], strict=True))
    assert there == {
        (stream["id"], run["executionId"])
        for one in sandboxes
        for stream in one.world.streams(10**6, 0)
        if stream["transport"]["type"] == "CONNECTOR" and not stream.get("deleted")
        for run in json.loads(one.world.executions_json(stream["id"], 10**6, 0))
    }


def in_the_middle(sandbox: Sandbox, after: int, act: Callable[[], object]) -> None:
    """Do something when so many lists of runs were requested."""
    left = after

    def decide(request: Any) -> None:
        nonlocal left
        left -= "/executions?" in request.path
        if left == 0:
            threading.Thread(target=act).start()

    sandbox.decide = decide


def test_the_lines_of_the_reference(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They start a cluster and collect from two instances."""
    cells = json.loads(REFERENCE.read_text(encoding="utf-8"))["cells"]
    text = "".join(next(cell["source"] for cell in cells if cell["source"][0].startswith("## Fleets")))
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    with Sandbox(streams=3, token="shared", seed=7) as other:
        code = code.replace("mycompany", sandbox.url).replace("other", other.url)
        exec(code, {"domo": domo})  # noqa: S102  it is what users are told to type
        found = domo.read_parquet("runs")
        assert found["instance"].nunique() == 2
        assert not found.duplicated(KEY).any()


@pytest.mark.parametrize("after", [1, 15])
def test_a_worker_that_is_killed(sandbox: Sandbox, client: Any, tmp_path: Path, after: int) -> None:
    """Another does its tasks; nothing is lost, nothing twice."""
    workers = [info["pid"] for info in client.run(lambda dask_worker: {"pid": os.getpid()}).values()]
    in_the_middle(sandbox, after, lambda: os.kill(workers[0], signal.SIGKILL))
    rows = domo.collect(tmp_path / "runs", executor=client.get_executor())
    assert rows["error"].isna().all()
    check(tmp_path / "runs", sandbox)


def test_a_restart_of_the_cluster(sandbox: Sandbox, client: Any, tmp_path: Path) -> None:
    """Tasks that the scheduler forgot are given out again."""
    in_the_middle(sandbox, 10, client.restart)
    rows = domo.collect(tmp_path / "runs", executor=client.get_executor())
    assert rows["error"].isna().all()
    check(tmp_path / "runs", sandbox)


def test_a_cluster_that_ends(sandbox: Sandbox, client: Any, tmp_path: Path) -> None:
    """Each stream that was not read says so; the next collect has them all."""
    in_the_middle(sandbox, 10, client.close)
    rows = domo.collect(tmp_path / "runs", executor=client.get_executor())
    assert rows["error"].notna().any()
    sandbox.decide = None
    domo.collect(tmp_path / "runs")
    check(tmp_path / "runs", sandbox)


def test_no_more_requests_than_wanted(sandbox: Sandbox, client: Any, tmp_path: Path) -> None:
    """However many workers there are, an instance sees at most `max_parallel` requests at a time."""
    most = most_at_once(sandbox, 6)
    domo.collect(tmp_path / "runs", executor=client.get_executor(), max_parallel=6)
    assert most() == 6

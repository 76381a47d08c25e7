"""Lists of runs: whole whatever the pages, repeated streams once, and what a filter left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import domo_magic
from domo_magic.sandbox import faults
from domo_magic.warned import DomoWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from domo_magic.connection import Connection
    from domo_magic.sandbox import Sandbox
    from domo_magic.sandbox.faults import Fault, Request


@pytest.mark.parametrize("most", [7, 100])
def test_pages_smaller_than_asked_for_hide_no_run(
    still_sandbox: Sandbox, still_domo: Connection, most: int
) -> None:
    """A Domo that gives fewer runs at a time than it is asked for is read on."""
    stream = still_sandbox.world.add_stream(500, past=300)
    past = [
        run | {"currentState": "SUCCESS" if run["executionId"] % 10 else "ERROR"}
        for run in still_sandbox.world.executions(stream, 10_000)
    ]

    def pages(request: Request) -> Fault | None:
        if "/executions?" not in request.path:
            return None
        query = dict(part.split("=") for part in request.path.partition("?")[2].split("&"))
        offset, limit = int(query["offset"]), min(int(query["limit"]), most)
        return faults.answer(json.dumps(past[offset : offset + limit]).encode())

    still_sandbox.decide = pages
    found = domo_magic.runs(stream, limit=25, state="ERROR")
    assert found["executionId"].tolist() == list(range(300, 50, -10))
    assert len(domo_magic.runs(stream, limit=1000)) == 300


def served(past: list[dict[str, Any]], newest: int) -> Callable[[Request], Fault | None]:
    """Return a Domo that lists these runs, and says that this is the newest id."""

    def decide(request: Request) -> Fault | None:
        if "/streams/state/" in request.path:
            return faults.answer(json.dumps([{"executionId": newest}]).encode())
        if "/executions?" in request.path:
            query = dict(part.split("=") for part in request.path.partition("?")[2].split("&"))
            offset, limit = int(query["offset"]), int(query["limit"])
            return faults.answer(json.dumps(past[offset : offset + limit]).encode())
        return None

    return decide


@pytest.mark.parametrize("newest", [1, 50, 290, 291, 300])
def test_a_newest_id_that_is_not_hides_no_run(
    still_sandbox: Sandbox, still_domo: Connection, newest: int
) -> None:
    """Where runs go on behind the newest id that Domo says, they are found all the same."""
    stream = still_sandbox.world.add_stream(500, past=300)
    still_sandbox.decide = served(still_sandbox.world.executions(stream, 10_000), newest)
    assert domo_magic.runs(stream, limit=40)["executionId"].tolist() == list(range(300, 260, -1))
    assert domo_magic.compare(stream, limit=3)["executionId"].tolist() == [300, 299, 298]


@pytest.mark.parametrize("wanted", [None, 300, 290])
def test_a_baseline_is_whole_where_most_runs_failed(
    still_sandbox: Sandbox, still_domo: Connection, wanted: int | None
) -> None:
    """Runs are read back until there are 20 successful ones to compare with, however far that is."""
    stream = still_sandbox.world.add_stream(500, past=300)
    past = [
        run | {"currentState": "SUCCESS" if run["executionId"] % 10 == 0 else "ERROR"}
        for run in still_sandbox.world.executions(stream, 10_000)
    ]
    still_sandbox.decide = served(past, 300)
    target = stream if wanted is None else f"{stream}/{wanted}"
    still_sandbox.requests.clear()
    found = domo_magic.compare(target, limit=1)
    run = wanted or 300
    expected = [past[number - 1]["rowsInserted"] for number in range(run - 10, run - 210, -10)]
    assert found["rowsInsertedBaseline"].tolist() == [float(np.median(expected))]
    assert len([1 for request in still_sandbox.requests if "/executions?" in request.path]) <= 3


def test_a_stream_that_is_named_twice_is_listed_and_compared_once(still_domo: Connection) -> None:
    """For listing and comparing, a stream's id, its DataSet and a frame with both are one stream."""
    dataset = "5f3c2a9e-8d41-4b7e-9c36-1e2f7a4d6b90"
    for name in (25775, dataset):
        frame = pd.DataFrame({"streamId": [25775, 25775]})
        for twice in ([25775, name], frame):
            assert domo_magic.runs(twice, limit=3)["executionId"].tolist() == [200, 199, 198]
            assert domo_magic.compare(twice, limit=3)["executionId"].tolist() == [200, 199, 198]
    with pytest.raises(domo_magic.TargetError, match="twice"):
        domo_magic.run([25775, dataset])


@pytest.mark.parametrize(
    "order", [lambda: domo_magic.runs(instance=["x"]), lambda: domo_magic.runs(instance=np.array([1, 2]))]
)
def test_an_instance_that_is_no_text_is_refused(order: Callable[[], object], domo: Connection) -> None:
    """What cannot be the name of an instance is a setting's error."""
    with pytest.raises(domo_magic.ConfigurationError, match="it is not text"):
        order()


def test_options_that_are_no_words_are_refused(sandbox: Sandbox, domo: Connection) -> None:
    """An array in the place of a word is a refusal, and nothing is sent."""
    array: Any = np.array([1, 2])
    for call in (
        lambda: domo_magic.run(25775, if_running=array),
        lambda: domo_magic.run(25775, on_failure=array),
        lambda: domo_magic.compare(25775, baseline=array),
    ):
        with pytest.raises(domo_magic.TargetError, match="not known"):
            call()
    assert sandbox.requests == []


@pytest.mark.parametrize("streams", [None, 25775, [25775, 25776]])
def test_a_misspelt_state_or_label_names_those_that_there_are(streams: Any, still_domo: Connection) -> None:
    """A filter that leaves nothing although there are runs says what there would be."""
    domo_magic.run([25775, 25776], label="nightly")
    with pytest.warns(DomoWarning, match=r"no run with the state 'EROR'; the newest \d+ have: .*ACTIVE"):
        assert domo_magic.runs(streams, state="EROR").empty
    with pytest.warns(DomoWarning, match=r"no run with the label 'night'; the newest \d+ have: nightly"):
        assert domo_magic.runs(streams, label="night").empty
    assert len(domo_magic.runs(streams, label="nightly"))


def test_a_name_that_finds_nothing_is_said(still_domo: Connection) -> None:
    """An empty answer to a search says so, and where a stream's id belongs."""
    with pytest.warns(DomoWarning, match="no connector's DataSet has 'nothinglikethis' in its name$"):
        assert domo_magic.streams("nothinglikethis").empty
    with pytest.warns(DomoWarning, match="the runs of stream 25775: %domo_runs 25775"):
        assert domo_magic.streams("25775").empty


def test_a_frame_that_holds_no_runs_is_refused(still_domo: Connection, still_sandbox: Sandbox) -> None:
    """Comparing on a frame never asks for what the frame lacks."""
    runs = domo_magic.runs(25775)
    still_sandbox.requests.clear()
    with pytest.raises(domo_magic.TargetError, match="executionId"):
        runs[["streamId"]].domo.compare()
    assert still_sandbox.requests == []


@pytest.mark.parametrize("words", [{"state": "\ud800"}, {"label": "\ud800"}, {"state": " "}])
def test_a_filter_that_is_no_text_is_refused(words: dict[str, Any], still_domo: Connection) -> None:
    """Half a character is no state and no label."""
    with pytest.raises(domo_magic.TargetError, match="is no text"):
        domo_magic.runs(**words)


def test_a_usual_state_that_no_run_has_is_no_surprise(still_sandbox: Sandbox, still_domo: Connection) -> None:
    """No warning where nothing has failed, and none where there are no runs at all."""
    steady = still_sandbox.world.add_stream(10.0, past=5)
    assert domo_magic.runs(steady, state="error").empty
    assert domo_magic.runs(state="EROR", label="x").empty

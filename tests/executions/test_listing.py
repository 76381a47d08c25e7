"""Lists of runs: whole whatever the pages, repeated streams once, and what a filter left out."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import faults
import numpy as np
import pandas as pd
import pytest
from support import posts

import domo_magic
from domo_magic.errors import DomoWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults import Fault, Request

    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox


@pytest.mark.parametrize("most", [7, 100])
def test_pages_smaller_than_asked_for_hide_no_run(
    still_sandbox: Sandbox, still_session: Session, most: int
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
        return faults.response(json.dumps(past[offset : offset + limit]).encode())

    still_sandbox.decide = pages
    found = domo_magic.runs(stream, limit=25, state="ERROR")
    assert found["executionId"].tolist() == list(range(300, 50, -10))
    assert len(domo_magic.runs(stream, limit=1000)) == 300


def served(past: list[dict[str, Any]], newest: int) -> Callable[[Request], Fault | None]:
    """Return a Domo that lists these runs, and says that this is the newest id."""

    def decide(request: Request) -> Fault | None:
        if "/streams/state/" in request.path:
            return faults.response(json.dumps([{"executionId": newest}]).encode())
        if "/executions?" in request.path:
            query = dict(part.split("=") for part in request.path.partition("?")[2].split("&"))
            offset, limit = int(query["offset"]), int(query["limit"])
            return faults.response(json.dumps(past[offset : offset + limit]).encode())
        return None

    return decide


@pytest.mark.parametrize("newest", [1, 50, 290, 291, 300])
def test_a_newest_id_that_is_not_hides_no_run(
    still_sandbox: Sandbox, still_session: Session, newest: int
) -> None:
    """Where runs go on behind the newest id that Domo says, they are found all the same."""
    stream = still_sandbox.world.add_stream(500, past=300)
    still_sandbox.decide = served(still_sandbox.world.executions(stream, 10_000), newest)
    assert domo_magic.runs(stream, limit=40)["executionId"].tolist() == list(range(300, 260, -1))
    assert domo_magic.compare(stream, limit=3)["executionId"].tolist() == [300, 299, 298]


@pytest.mark.parametrize("wanted", [None, 300, 290])
def test_a_baseline_is_whole_where_most_runs_failed(
    still_sandbox: Sandbox, still_session: Session, wanted: int | None
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


def test_a_stream_that_is_named_twice_is_listed_and_compared_once(still_session: Session) -> None:
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
def test_an_instance_that_is_no_text_is_refused(order: Callable[[], object], session: Session) -> None:
    """What cannot be the name of an instance is a setting's error."""
    with pytest.raises(domo_magic.ConfigurationError, match="it is not text"):
        order()


def test_options_that_are_no_words_are_refused(sandbox: Sandbox, session: Session) -> None:
    """An array in the place of a word is a refusal, and nothing is sent."""
    array: Any = np.array([1, 2])
    for call in (
        lambda: domo_magic.run(25775, if_running=array),
        lambda: domo_magic.run(25775, on_failure=array),
        lambda: domo_magic.compare(25775, baseline=array),
    ):
        with pytest.raises(domo_magic.TargetError, match=r"invalid|not known"):
            call()
    assert sandbox.requests == []


@pytest.mark.parametrize("streams", [None, 25775, [25775, 25776]])
def test_a_misspelt_state_or_label_names_those_that_there_are(streams: Any, still_session: Session) -> None:
    """A filter that leaves nothing although there are runs says what there would be."""
    domo_magic.run([25775, 25776], label="nightly")
    with pytest.warns(
        DomoWarning, match=r"no run with the state 'EROR'; the newest \d+ runs have the states? .*ACTIVE"
    ):
        assert domo_magic.runs(streams, state="EROR").empty
    labels = r"no run with the label 'night'; the newest \d+ runs have the label nightly"
    with pytest.warns(DomoWarning, match=labels):
        assert domo_magic.runs(streams, label="night").empty
    assert len(domo_magic.runs(streams, label="nightly"))


def test_a_misspelt_label_beside_one_run_names_that_runs(still_session: Session) -> None:
    """The only run is called so, and one without a label is said to have none."""
    stream = domo_magic.run(25775)["streamId"].iloc[0]
    with pytest.warns(DomoWarning, match="no run with the label 'night'; the only run has no label"):
        assert domo_magic.runs(label="night").empty
    domo_magic.run(stream, label="nightly")
    with pytest.warns(DomoWarning, match="the newest 2 runs have the label nightly"):
        assert domo_magic.runs(label="night").empty


@pytest.mark.parametrize("limit, more", [(3, True), (100, False)])
def test_a_limit_that_cuts_a_search_is_said(
    still_session: Session, recwarn: pytest.WarningsRecorder, limit: int, *, more: bool
) -> None:
    """Streams that a limit leaves out are not passed over in silence."""
    assert len(domo_magic.streams(limit=limit)) == (limit if more else 40)
    said = [str(each.message) for each in recwarn]
    assert said == (["3 streams are shown, and there are more; to see them: --limit N"] if more else [])


def test_a_name_that_finds_nothing_is_said(still_session: Session, caplog: pytest.LogCaptureFixture) -> None:
    """An empty result of a search is a sentence, no warning, and says where a stream's id belongs."""
    caplog.set_level("INFO", "domo_magic")
    assert domo_magic.streams("nothinglikethis").empty
    assert domo_magic.streams("25775").empty
    said = "no connector's DataSet has '{}' in its name"
    assert caplog.messages == [
        said.format("nothinglikethis"),
        f"{said.format('25775')}; the runs of stream 25775: %domo_runs 25775",
    ]


def test_a_frame_that_holds_no_runs_is_refused(still_session: Session, still_sandbox: Sandbox) -> None:
    """Comparing on a frame never asks for what the frame lacks."""
    runs = domo_magic.runs(25775)
    still_sandbox.requests.clear()
    with pytest.raises(domo_magic.TargetError, match="executionId"):
        runs[["streamId"]].domo.compare()
    assert still_sandbox.requests == []


@pytest.mark.parametrize("words", [{"state": "\ud800"}, {"label": "\ud800"}, {"state": " "}])
def test_a_filter_that_is_no_text_is_refused(words: dict[str, Any], still_session: Session) -> None:
    """Half a character is no state and no label."""
    with pytest.raises(domo_magic.TargetError, match="must be text"):
        domo_magic.runs(**words)


@pytest.mark.parametrize("verdict, state", [("failed", "ERROR"), ("Running", "ACTIVE")])
def test_the_state_of_a_verdict_is_named(still_session: Session, verdict: str, state: str) -> None:
    """Of two verdicts there is a state."""
    with pytest.warns(
        DomoWarning, match=f"{verdict} is a verdict, not a state; the state is {state}; to find"
    ):
        assert domo_magic.runs(state=verdict).empty


@pytest.mark.parametrize("value", ["no", "yes", 1, None])
def test_what_is_neither_true_nor_false_is_refused(still_session: Session, value: Any) -> None:
    """A text such as "no" would count as true."""
    for call, name in (
        (lambda: domo_magic.run(25775, wait=value), "wait"),
        (lambda: domo_magic.cancel(25775, all=value), "all"),
        (lambda: domo_magic.runs(25775, refresh=value), "refresh"),
        (lambda: domo_magic.connect(sandbox=value), "sandbox"),
    ):
        with pytest.raises(domo_magic.TargetError, match=f"{name} must be True or False, got '{value}'"):
            call()


def test_a_verdict_is_not_a_state(still_session: Session) -> None:
    """Whoever lists by a verdict is told where such runs are found."""
    with pytest.warns(
        DomoWarning, match="stuck is a verdict, not a state; to find such runs: %domo_overview"
    ):
        assert domo_magic.runs(state="stuck").empty


def test_the_failed_runs_of_every_connector(still_session: Session) -> None:
    """The rows of an overview, one of which never ran, list what failed in all of them."""
    found = domo_magic.runs(domo_magic.overview(), state="ERROR", since="7d", limit=1_000)
    assert len(set(found["streamId"])) > 1
    assert set(found["currentState"]) == {"ERROR"}


def test_what_no_connector_feeds_is_not_found(still_session: Session, still_sandbox: Sandbox) -> None:
    """DataSets fed by uploads are left out; their streams are known then, and a start is refused."""
    assert domo_magic.streams(limit=1_000)["streamId"].min() == 25_775
    for stream in (25_701, 25_702, 25_703):
        with pytest.raises(domo_magic.TargetError, match="not by a connector; nothing was started"):
            domo_magic.run(stream)
    assert posts(still_sandbox) == 0


def test_an_upload_is_refused_by_its_dataset(still_session: Session, still_sandbox: Sandbox) -> None:
    """Looking up a DataSet tells what feeds it."""
    dataset = still_sandbox.world.stream(25_701, full=True)["dataSource"]["id"]
    with pytest.raises(domo_magic.TargetError, match="fed by UPLOAD, not by a connector"):
        domo_magic.run(dataset)
    assert posts(still_sandbox) == 0


def test_nothing_found_is_said(still_session: Session, caplog: pytest.LogCaptureFixture) -> None:
    """No match for a name, and nothing recorded to compare, are sentences with what to do."""
    caplog.set_level("INFO", "domo_magic")
    assert domo_magic.overview("ordres").empty
    assert caplog.messages[-1] == "no connector's DataSet has 'ordres' in its name"
    assert domo_magic.compare().empty
    assert "no run was recorded here" in caplog.messages[-1]


def test_a_label_is_found_whatever_blanks_are_around_it(still_session: Session) -> None:
    """What starting and listing make of a label is the same."""
    domo_magic.run(25775, label=" nightly ")
    for label in ("nightly", " nightly "):
        assert domo_magic.runs(label=label, refresh=False)["label"].tolist() == ["nightly"]


def test_a_usual_state_that_no_run_has_is_no_surprise(still_sandbox: Sandbox, still_session: Session) -> None:
    """No warning where nothing has failed, and none where there are no runs at all."""
    steady = still_sandbox.world.add_stream(10.0, past=5)
    assert domo_magic.runs(steady, state="error").empty
    assert domo_magic.runs(state="EROR", label="x").empty


def test_a_domo_that_passes_over_offsets_is_asked_a_few_times_only(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """Five runs with ids in the millions, the same page whatever is asked: listing ends, and has them all."""
    runs = [{"streamId": 1, "executionId": 5_000_000 + number, "startedAt": number} for number in range(5)]
    body = json.dumps(runs).encode()
    still_sandbox.order(faults.response(b'[{"executionId": 5000004}]'), method="GET", path="/streams/state/")
    still_sandbox.order(faults.response(body), method="GET", path=r"/executions\?", times=999)
    assert len(domo_magic.runs(1)) == 5
    assert len(still_sandbox.requests) < 50


def test_a_search_that_never_turns_the_page_ends(still_sandbox: Sandbox, still_session: Session) -> None:
    """Fifty DataSets without a connector, over and over, are no reason to ask for ever."""
    found = [{"id": f"{number:08d}-0000-0000-0000-000000000000", "streamId": None} for number in range(50)]
    body = json.dumps({"dataSources": found}).encode()
    still_sandbox.order(faults.response(body), path="/datasources/search", times=999)
    assert domo_magic.streams("n").empty
    assert len(still_sandbox.requests) == 2


@pytest.mark.parametrize("listed", [b'{"dataSources": 5}', b'{"dataSources": [7]}', b'{"dataSources": true}'])
def test_a_search_that_makes_no_sense_is_said(
    still_sandbox: Sandbox, still_session: Session, listed: bytes
) -> None:
    """A list of DataSets that is none is a response without sense."""
    still_sandbox.order(faults.response(listed), path="/datasources/search")
    with pytest.raises(domo_magic.InvalidResponse, match="unexpected response"):
        domo_magic.streams("n")


@pytest.mark.parametrize("since", ["999999999d", "1970-01-02"])
def test_a_beginning_before_all_runs_leaves_nothing_out(still_session: Session, since: str) -> None:
    """However long ago, all runs began after it."""
    assert len(domo_magic.runs(25775, since=since, limit=500)) == 200


@pytest.mark.parametrize("since", [pd.NaT, "2026-13-01"])
def test_a_beginning_that_no_clock_has_is_refused(still_session: Session, since: Any) -> None:
    """What is no moment is no time."""
    with pytest.raises(domo_magic.TargetError, match="invalid since"):
        domo_magic.runs(25775, since=since)


def test_what_since_leaves_out_is_said(still_session: Session) -> None:
    """A limit that cuts what began after a time says so; one that cuts nothing does not."""
    with pytest.warns(DomoWarning, match="the newest 100 runs are shown, and there are more"):
        assert len(domo_magic.runs(25775, since="3650d")) == 100
    assert len(domo_magic.runs(25775, since="3650d", limit=200)) == 200


def test_a_limit_of_many_digits_is_the_number_it_is(still_session: Session) -> None:
    """Zeros before it change nothing, and more than there are runs is all of them."""
    assert len(domo_magic.runs(25775, limit="0000000000007")) == 7  # type: ignore[arg-type]
    assert len(domo_magic.runs(25775, limit=10**18)) == 200


def test_a_comparison_of_nothing_has_its_columns(still_sandbox: Sandbox, still_session: Session) -> None:
    """A stream that never ran, or no stream at all, is a frame of 19 columns without rows."""
    for compared in (domo_magic.compare(still_sandbox.world.add_stream(5)), domo_magic.compare()):
        assert compared.shape == (0, 19)


def test_a_past_without_ids_costs_no_verdict(
    still_sandbox: Sandbox, still_session: Session, inline: None
) -> None:
    """What Domo's history lists without an execution id is no run to compare with."""
    body = b'[{"currentState": "SUCCESS", "startedAt": 1734458216, "endedAt": 1734458220}]'
    still_sandbox.order(faults.response(body), method="GET", path="/history/aggregate", times=9)
    assert domo_magic.run(still_sandbox.world.add_stream(5), wait=True)["currentState"].tolist() == [
        "SUCCESS"
    ]


def test_a_dataset_with_no_stream_of_a_possible_id_is_not_started(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """A streamId below 1 is none."""
    dataset = "5f3c2a9e-8d41-4b7e-9c36-1e2f7a4d6b90"
    still_sandbox.order(
        faults.response(b'{"name": "x", "streamId": -5}'), method="GET", path=f"/datasources/{dataset}"
    )
    with pytest.raises(domo_magic.TargetError, match="not fed by a connector"):
        domo_magic.run(dataset)
    assert not any(request.method == "POST" for request in still_sandbox.requests)


def test_a_search_asks_no_more_than_the_streams_wanted_are_worth(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """A search that gives fifty thousand DataSets, or always new ones, and no stream ends, and says so."""
    given = itertools.count()

    def decide(request: Request) -> Fault | None:
        if "/search?q=" in request.path:
            return faults.response(b"[]")
        found = [{"id": f"x{next(given)}", "name": "n"} for _ in range(50)]
        return faults.response(json.dumps({"dataSources": found}).encode())

    still_sandbox.decide = decide
    with pytest.warns(DomoWarning, match="the search ended after 3,500 DataSets"):
        assert domo_magic.streams("x").shape == (0, 7)
    assert len(still_sandbox.requests) < 1200

    everything = [{"id": f"x{number}", "name": "n"} for number in range(50_000)]
    still_sandbox.decide = lambda request: faults.response(
        b"[]" if "/search?q=" in request.path else json.dumps({"dataSources": everything}).encode()
    )
    before = len(still_sandbox.requests)
    assert domo_magic.streams("x").shape == (0, 7)
    assert len(still_sandbox.requests) - before <= 2 + 50


def test_without_a_network_what_is_recorded_is_listed(still_sandbox: Sandbox, still_session: Session) -> None:
    """With a warning, also where a filter leaves none of it; where nothing is recorded it is an error."""
    started = domo_magic.run(25775)
    still_sandbox.order(faults.reset(), method="GET", times=999)
    with pytest.warns(DomoWarning, match="what is recorded here is shown"):
        assert domo_magic.runs(25775)["executionId"].tolist() == started["executionId"].tolist()
    with pytest.warns(DomoWarning, match="what is recorded here is shown"):
        assert domo_magic.runs(25775, state="ERROR").empty
    with (
        pytest.warns(DomoWarning, match="what is recorded here is shown"),
        pytest.raises(domo_magic.ConnectionFailed, match="1 of 2 failed") as caught,
    ):
        domo_magic.runs([25775, 25776])
    assert caught.value.rows["streamId"].tolist() == [25775, 25776]
    assert caught.value.rows["executionId"].tolist() == [201, pd.NA]


@pytest.mark.parametrize("streams", [25775, None])
def test_a_listing_that_makes_no_sense_is_an_error(
    still_sandbox: Sandbox, still_session: Session, streams: int | None
) -> None:
    """Its rows are the runs recorded here, also of those that were to be refreshed."""
    started = domo_magic.run(25775)
    still_sandbox.order(faults.response(b"<html>"), method="GET", times=999)
    with pytest.raises(domo_magic.InvalidResponse) as caught:
        domo_magic.runs(streams)
    assert caught.value.rows["executionId"].tolist() == started["executionId"].tolist()
    assert "failed" not in str(caught.value)

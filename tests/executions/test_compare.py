"""Comparing means the same everywhere: streams, runs and frames against the full history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import faults
import numpy as np
import pandas as pd
import pytest
from support import NOW

import domo_magic
from domo_magic.errors import DomoWarning, NotFound, TargetError

if TYPE_CHECKING:
    from faults import Fault, Request

    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox

COUNT = 60


@pytest.fixture
def stream(still_sandbox: Sandbox) -> int:
    """Give a stream with 60 runs, one an hour: 58 failed, 59 brought little, 60 was slow."""
    stream = still_sandbox.world.add_stream(500, past=COUNT)
    past = still_sandbox.world.executions(stream, COUNT)
    for run in past:
        number = run["executionId"]
        start = NOW - (COUNT + 1 - number) * 3600
        run |= {"startedAt": start, "endedAt": start + 100 + number % 3, "rowsInserted": 1_000 + number}
        run |= {
            "currentState": "SUCCESS",
            "errors": [],
            "bytesInserted": 40_000,
            "peakMemoryUsedBytes": 10**8,
        }
    past[57] |= {"currentState": "ERROR"}
    past[58] |= {"rowsInserted": 300}
    past[59] |= {"endedAt": past[59]["startedAt"] + 400}

    def decide(request: Request) -> Fault | None:
        path, _, query = request.path.partition("?")
        if path.endswith("/executions"):
            asked = dict(part.split("=") for part in query.split("&"))
            offset, limit = int(asked["offset"]), int(asked["limit"])
            return faults.response(json.dumps(past[offset : offset + limit]).encode())
        number = path.rpartition("/executions/")[2]
        if number.isdigit():
            whole = past[int(number) - 1 : int(number)]
            error = {"errors": [{"message": "login refused"}]} if number == "58" else {}
            return faults.response(json.dumps(whole[0] | error).encode()) if whole else faults.status(404)
        return None

    still_sandbox.decide = decide
    return stream


def verdicts(compared: pd.DataFrame) -> dict[int, str]:
    """Return the verdict of each run."""
    return dict(zip(compared["executionId"].tolist(), compared["verdict"].tolist(), strict=True))


@pytest.mark.parametrize("count", [1, 3, 30])
def test_a_frame_is_judged_against_the_full_history(still_session: Session, stream: int, count: int) -> None:
    """A night's runs are what they are for the stream, whatever else the frame holds."""
    night = domo_magic.runs(stream, limit=count)
    compared = domo_magic.compare(night)
    pd.testing.assert_frame_equal(compared, domo_magic.compare(stream, limit=count))
    said = {60: "slow", 59: "few rows", 58: "failed"}
    assert {run: verdict for run, verdict in verdicts(compared).items() if verdict != "usual"} == {
        run: said[run] for run in list(said)[:count]
    }


def test_a_frame_alone_fetches_nothing_and_says_so(
    still_sandbox: Sandbox, still_session: Session, stream: int
) -> None:
    """The accessor judges from the frame, with a warning where that is too little."""
    night = domo_magic.runs(stream, limit=3)
    still_sandbox.requests.clear()
    with pytest.warns(DomoWarning, match="3 of 3 runs have no baseline in this frame"):
        alone = night.domo.compare()
    assert alone["verdict"].tolist() == ["no baseline", "no baseline", "failed"]
    assert still_sandbox.requests == []


@pytest.mark.parametrize(
    "shape",
    [
        lambda runs: runs.astype(object),
        lambda runs: runs[["streamId", "executionId", "currentState"]],
        lambda runs: runs.set_index("label").sample(frac=1, random_state=1),
        lambda runs: pd.concat([runs, runs]),
        lambda runs: runs.astype({"streamId": "float64", "executionId": "string"}),
    ],
)
def test_a_frame_of_any_shape_names_its_runs(still_session: Session, stream: int, shape: Any) -> None:
    """Only streamId and executionId are read; a run that is there twice is one."""
    runs = domo_magic.runs(stream, limit=3)
    pd.testing.assert_frame_equal(domo_magic.compare(shape(runs)), domo_magic.compare(runs))


def test_runs_that_only_the_frame_knows_are_compared_too(still_session: Session, stream: int) -> None:
    """A run that Domo has no more, and a start whose fate is open, stay in the comparison."""
    known = domo_magic.runs(stream, limit=2)
    gone = known.head(1).assign(executionId=999)
    gone = gone.assign(executionId=gone["executionId"].astype("Int64"), rowsInserted=5, instance="sandbox")
    never = known.head(1).assign(executionId=pd.array([None], dtype="Int64"))
    never["startedAt"] = never["startedAt"].shift()
    compared = domo_magic.compare(pd.concat([gone, known, never]))
    assert compared["executionId"].fillna(0).tolist() == [999, 60, 59, 0]
    assert compared["verdict"].tolist()[:3] == ["slow, few rows", "slow", "few rows"]
    assert domo_magic.compare(gone)["verdict"].tolist() == ["slow, few rows"]
    assert len(domo_magic.compare(never)) == 1


def test_a_run_of_another_stream_or_instance_is_refused(still_session: Session, stream: int) -> None:
    """Frames of elsewhere, and a baseline of elsewhere, are errors that name both."""
    runs = domo_magic.runs(stream, limit=1)
    with pytest.raises(TargetError, match="a row of other, but connected is sandbox"):
        domo_magic.compare(runs.assign(instance="other"))
    with pytest.raises(TargetError, match=rf"the baseline 7/1 is of another stream than {stream}"):
        domo_magic.compare(runs, baseline="7/1")
    with pytest.raises(TargetError, match="not a frame of runs: executionId missing"):
        domo_magic.compare(runs.drop(columns="executionId"))


def test_a_run_that_is_not_there_is_an_error(still_session: Session, stream: int) -> None:
    """Named as text, it is Domo's to know."""
    for missing in (f"{stream}/61", [f"{stream}/61", f"{stream}/60"], [f"{stream}/60", f"{stream}/61"]):
        with pytest.raises(NotFound):
            domo_magic.compare(missing)
    with pytest.raises(NotFound):
        domo_magic.compare(f"{stream}/60", baseline=f"{stream}/61")


def test_since_takes_all_runs_since_then(still_session: Session, stream: int) -> None:
    """However many; of a frame and of named runs those that began since; else of every stream known here."""
    since = domo_magic.compare(stream, limit=2, since="45h")
    assert since["executionId"].tolist() == list(range(60, 15, -1))
    assert since["durationBaseline"].notna().all()
    runs = domo_magic.runs(stream, limit=60)
    assert domo_magic.compare(runs, since="3h")["executionId"].tolist() == [60, 59, 58]
    named = [f"{stream}/{number}" for number in (60, 30, 59)]
    assert domo_magic.compare(named, since=3 * 3600)["executionId"].tolist() == [60, 59]
    assert domo_magic.compare(stream, since=60).empty
    assert domo_magic.compare(since="3h").empty
    still_session.history.saw(still_session.instance, [still_session.client.get_execution(stream, 3)])
    assert domo_magic.compare(since="3h")["executionId"].tolist() == [60, 59, 58]
    with pytest.raises(TargetError, match="since"):
        domo_magic.compare(stream, since="soon")


def test_a_run_with_a_baseline_run_is_these_two(
    still_sandbox: Sandbox, still_session: Session, stream: int
) -> None:
    """Both are rows, by two requests; several runs or a stream are shown alone."""
    frame = domo_magic.runs(stream, limit=1)
    still_sandbox.requests.clear()
    both = domo_magic.compare(f"{stream}/60", baseline=f"{stream}/2")
    assert len(still_sandbox.requests) == 2
    assert verdicts(both) == {60: "slow", 2: "usual"}
    pd.testing.assert_frame_equal(domo_magic.compare(frame, baseline=(stream, 2)), both)
    several = domo_magic.compare([f"{stream}/60", f"{stream}/59"], baseline=f"{stream}/2")
    assert verdicts(several) == {60: "slow", 59: "few rows"}
    assert verdicts(domo_magic.compare(stream, limit=1, baseline=f"{stream}/2")) == {60: "slow"}


def test_no_more_history_is_fetched_than_needed(
    still_sandbox: Sandbox, still_session: Session, stream: int
) -> None:
    """One run costs itself and a page, a night as much; the previous run as baseline as well."""
    night = domo_magic.runs(stream, limit=2)
    for wanted, baseline in ((f"{stream}/60", "median"), (night, "median"), (night, "previous")):
        still_sandbox.requests.clear()
        domo_magic.compare(wanted, baseline=baseline)
        assert len(still_sandbox.requests) == 2


def test_a_list_without_errors_is_made_good(still_session: Session, stream: int) -> None:
    """What a list leaves out of a failed run is requested; every other run has no error."""
    for wanted in (stream, f"{stream}/58", domo_magic.runs(stream, limit=5)):
        compared = domo_magic.compare(wanted)
        assert compared.set_index("executionId")["error"].dropna().to_dict() == {58: "login refused"}


def test_a_stream_beside_its_runs_is_both(still_session: Session, stream: int) -> None:
    """The newest runs, and an older one that is named too."""
    compared = domo_magic.compare([stream, f"{stream}/30"], limit=2)
    assert compared["executionId"].tolist() == [60, 59, 30]
    assert compared["durationBaseline"].notna().all()


def test_a_run_without_history_has_no_baseline(still_session: Session, stream: int) -> None:
    """The fifth run has four before it, and is what it is."""
    compared = domo_magic.compare([f"{stream}/5", f"{stream}/6"])
    assert verdicts(compared) == {6: "usual", 5: "no baseline"}
    assert np.isnan(compared["durationRatio"].astype("float64").iloc[1])


def test_what_was_aborted_here_is_cancelled(
    still_sandbox: Sandbox, still_session: Session, inline: None
) -> None:
    """Whether Domo names who aborted it or not; what its data safeguards aborted has failed."""
    stream = still_sandbox.world.add_stream(500)
    view = still_sandbox.world.executions
    for _ in range(2):
        still_sandbox.world.start(stream)
    domo_magic.cancel(f"{stream}/2")
    nobody = [
        run | {"currentState": "ABORTED", "endedAt": NOW + 900, "cancelledBy": None}
        for run in view(stream, 9)
    ]

    def decide(request: Request) -> Fault | None:
        path = request.path.partition("?")[0]
        if path.endswith("/executions"):
            return faults.response(json.dumps(nobody).encode())
        number = path.rpartition("/executions/")[2]
        return faults.response(json.dumps(nobody[int(number) - 1]).encode()) if number.isdigit() else None

    still_sandbox.decide = decide
    assert verdicts(domo_magic.compare(stream)) == {2: "cancelled", 1: "failed"}
    assert verdicts(domo_magic.compare(f"{stream}/2")) == {2: "cancelled"}


@pytest.mark.parametrize("options", [{}, {"baseline": "previous"}, {"since": "1h"}])
def test_no_runs_compare_to_none(still_session: Session, stream: int, options: dict[str, str]) -> None:
    """A frame that a filter has left empty is an empty comparison, with all its columns."""
    runs = domo_magic.runs(stream)
    expected = runs.domo.compare()
    for nothing in (runs[runs["currentState"] == "NONE"], domo_magic.runs(refresh=False)):
        compared = domo_magic.compare(nothing, **options)
        assert compared.empty
        assert (compared.dtypes == expected.dtypes).all()


def test_an_error_of_comparing_counts_streams(still_session: Session) -> None:
    """One of two streams is not there: so the error says, with the runs of the other in its rows."""
    with pytest.raises(NotFound, match="1 of 2 failed") as caught:
        domo_magic.compare([25775, 999_999])
    assert caught.value.rows["streamId"].tolist() == [25775] * 20 + [999_999]

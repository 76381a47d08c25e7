"""Every connector at one look: one honest row each, worst first, in few requests."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import faults
import pandas as pd
import pytest
from support import NOW, posts

import domo_magic as domo
from domo_magic.analysis import baseline, rhythm
from domo_magic.errors import ApiError, TargetError
from domo_magic.model.execution import Execution
from domo_magic.model.frame import frame

if TYPE_CHECKING:
    from faults import Fault, Request

    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox

COLUMNS = (
    "streamId name verdict error currentState executionId startedAt duration durationBaseline rowsInserted"
    " rowsInsertedBaseline runs failures lastSuccessAt expectedAt scheduleState provider dataSetId instance"
)
HOUR, DAY = 3600, 86_400
STREAM = 25_775


def _row(stream: int = STREAM) -> Any:
    found = domo.overview()
    return found[found["streamId"] == stream].iloc[0]


def _history(
    sandbox: Sandbox,
    runs: list[dict[str, Any]],
    stream: int = STREAM,
    listed: list[dict[str, Any]] | None = None,
    **head: Any,
) -> None:
    """Let one stream have this history, newest first, this head, and if need be this list of runs."""

    def decide(request: Request) -> Fault | None:
        path = request.path.partition("?")[0]
        if path == f"/api/data/v1/streams/{stream}/history/aggregate":
            return faults.response(json.dumps(runs if listed is None else runs[:30]).encode())
        if listed is not None and path == f"/api/data/v1/streams/{stream}/executions":
            query = parse_qs(urlsplit(request.path).query)
            offset, limit = (int(query[name][0]) for name in ("offset", "limit"))
            return faults.response(json.dumps(listed[offset : offset + limit]).encode())
        if path == "/api/data/v1/streams/bulk":
            unreadable = {"scheduleExpression": "0 0 0 ? * 6#3"}  # so that the rhythm counts
            whole = sandbox.world.stream(stream, full=False) | unreadable | head
            return faults.response(json.dumps([whole]).encode())
        of_stream, _, number = path.partition(f"/streams/{stream}/executions/")
        if of_stream and number.isdigit():
            found = [run for run in runs if run["executionId"] == int(number)]
            return faults.response(json.dumps(found[0]).encode())
        return None

    sandbox.decide = decide


def _past(hours: float, state: str = "SUCCESS", **also: Any) -> list[dict[str, Any]]:
    """Return 40 runs, one an hour, the newest of which began so many hours ago."""
    runs = [
        {
            "streamId": STREAM,
            "executionId": number,
            "currentState": "SUCCESS",
            "startedAt": NOW - hours * HOUR - (40 - number) * HOUR,
            "endedAt": NOW - hours * HOUR - (40 - number) * HOUR + 100 + number % 3,
            "rowsInserted": 1_000 + number,
            "runType": "AUTOMATED",
        }
        for number in range(40, 0, -1)
    ]
    runs[0] |= {"currentState": state, **also}
    return runs


def test_each_connector_is_a_row_worst_first(
    still_session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    """The sandbox's stories have their verdicts, in the order of their weight, under a line in words."""
    with caplog.at_level(logging.INFO):
        found = domo.overview()
    assert " ".join(found.columns) == COLUMNS
    assert len(found) == 40
    assert found["streamId"].is_unique
    said = found.set_index("name")["verdict"]
    expected = {
        "Ledger Entries": "failed",
        "Marketing Spend": "stuck",
        "Product Returns": "no rows",
        "Ad Impressions": "overdue",
        "Web Sessions": "slow",
        "Payroll Hours": "cancelled",
        "Supplier Scorecards": "never ran",
        "Store Footfall": "paused",
        "Sales Orders": "usual",
    }
    assert said[list(expected)].to_dict() == expected
    order = list(dict.fromkeys(found["verdict"]))
    assert [word for word in order if word in expected.values()] == list(dict.fromkeys(expected.values()))
    line = caplog.messages[-1]
    assert line.startswith(f"40 connectors · {(said == 'usual').sum()} usual · ")
    assert f"{(said == 'failed').sum()} failed" in line


def test_dtypes_stay_without_connectors(still_session: Session) -> None:
    """A text that no DataSet has in its name gives the same columns and dtypes, without rows."""
    whole, nothing = domo.overview(), domo.overview("no such name")
    assert nothing.empty
    assert (nothing.dtypes == whole.dtypes).all()
    assert {str(whole[name].dtype) for name in ("runs", "failures", "executionId")} == {"Int64"}
    assert str(whole["startedAt"].dtype) == "datetime64[us, UTC]"
    assert str(whole["durationBaseline"].dtype) == "timedelta64[us]"


def test_few_requests_at_most_16_at_a_time(still_session: Session, still_sandbox: Sandbox) -> None:
    """There is one request per connector, two per 50, and one more where something is to be looked into."""
    found = domo.overview()
    paths = [request.path.partition("?")[0] for request in still_sandbox.requests]
    connectors = sum(path.endswith("/history/aggregate") for path in paths)
    assert connectors == 40
    assert len(paths) <= connectors + 2 * 1 + (found["verdict"] != "usual").sum()
    assert paths.count("/api/data/v1/streams/bulk") == 1


@pytest.mark.parametrize("path", ["/streams/bulk", "/streams/25775/history"])
def test_what_domo_refuses_is_a_row(still_session: Session, still_sandbox: Sandbox, path: str) -> None:
    """A stream that is refused is a row that says so, and a refused batch is requested one by one."""
    still_sandbox.order(faults.status(403), method="GET", path=path, times=50)
    found = domo.overview()
    assert len(found) == 40
    refused = found[found["verdict"] == "unknown"]
    if "bulk" in path:
        assert refused.empty
        assert found["scheduleState"].notna().all()
    else:
        assert refused["streamId"].tolist() == [STREAM]
        assert "403" in refused["error"].iloc[0]
        assert refused[["runs", "failures", "executionId"]].isna().all(axis=None)


def test_without_the_list_of_datasets_there_is_no_overview(
    still_session: Session, still_sandbox: Sandbox
) -> None:
    """Where Domo does not list its DataSets the error is raised, not an empty frame returned."""
    still_sandbox.order(faults.status(403), method="GET", path="/v3/datasources")
    with pytest.raises(ApiError):
        domo.overview()


def test_text_and_limit(still_session: Session, caplog: pytest.LogCaptureFixture) -> None:
    """TEXT chooses by name, in any case; the limit cuts after all were judged, and that is said."""
    assert domo.overview("ORDERS")["name"].tolist() == ["Sales Orders"]
    with caplog.at_level(logging.INFO):
        cut = domo.overview(limit=2)
    assert cut["verdict"].tolist() == ["failed", "failed"]
    assert "40 connectors" in caplog.messages[-1]
    assert "the worst 2 are shown" in caplog.messages[-1]
    with pytest.raises(TargetError):
        domo.overview(limit=0)
    with pytest.raises(TargetError):
        domo.overview(5)  # type: ignore[arg-type]


def test_verdicts_are_those_of_compare(still_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict that comparing knows is what `compare` says of the same run, its baselines too."""
    monkeypatch.setattr(rhythm, "SHOWS", 1_000)  # the short history that is read here shows no rhythm
    found = domo.overview().set_index("streamId")
    own = {"stuck", "overdue", "never ran", "paused", "recovered", "unknown"}
    plain = found[~found["verdict"].isin(own)]
    runs = [f"{stream}/{row.executionId}" for stream, row in plain.iterrows()]
    compared = domo.compare(runs).set_index("streamId").loc[plain.index]
    for name in ("verdict", "executionId", "duration", "durationBaseline", "rowsInsertedBaseline"):
        pd.testing.assert_series_equal(plain[name], compared[name])


@pytest.mark.parametrize(
    "hours, head, verdict",
    [
        (0.5, {}, "usual"),
        (3.0, {"scheduleExpression": "0 0 * * * ?"}, "overdue"),
        (3.0, {}, "overdue"),
        (1.2, {}, "usual"),
        (3.0, {"scheduleState": "MANUAL"}, "usual"),
        (3.0, {"scheduleState": "INACTIVE"}, "paused"),
        (3.0, {"scheduleState": None}, "overdue"),
    ],
)
def test_overdue(
    still_session: Session, still_sandbox: Sandbox, hours: float, head: dict[str, Any], verdict: str
) -> None:
    """A connector is overdue past its schedule or its rhythm, and never where nothing starts it."""
    _history(still_sandbox, _past(hours), **head)
    row = _row()
    assert row["verdict"] == verdict
    assert str(row["error"]).startswith("expected at") == (verdict == "overdue")
    assert pd.isna(row["expectedAt"]) == (head.get("scheduleState", "") in {"MANUAL", "INACTIVE"})


def test_recovered_after_failures_since_then(still_session: Session, still_sandbox: Sandbox) -> None:
    """Usual now with failures since T is `recovered`; before T they do not count."""
    runs = _past(0.5)
    runs[3] |= {"currentState": "ERROR"}
    _history(still_sandbox, runs)
    row = _row()
    assert (row["verdict"], row["failures"]) == ("recovered", 1)
    found = domo.overview(since="2h").set_index("streamId").loc[STREAM]
    assert (found["verdict"], found["failures"], found["runs"]) == ("usual", 0, 2)


def test_the_oldest_of_several_stuck_runs(still_session: Session, still_sandbox: Sandbox) -> None:
    """Unfinished runs of days ago make the connector stuck, whatever its newest run did."""
    runs = _past(0.5)
    for place in (30, 35):
        runs[place] |= {"currentState": "ACTIVE", "endedAt": None}
    _history(still_sandbox, runs)
    row = _row()
    assert tuple(row[["verdict", "executionId", "currentState"]]) == ("stuck", 5, "ACTIVE")
    stream = row["streamId"]
    assert row["error"].endswith(f"also stuck: {stream}/10; to cancel all: %domo_cancel {stream} --all")


def test_a_rhythm_shows_in_the_overview(still_session: Session, still_sandbox: Sandbox) -> None:
    """What seems many beside the newest runs, but comes up once a week, is usual, as `compare` says."""
    runs = [
        {
            **run,
            "executionId": 120 - at,
            "startedAt": began,
            "endedAt": began + 100 + at % 5,
            "rowsInserted": rows,
        }
        for at, run in enumerate(_past(0) * 3)
        for began, rows in [(NOW - HOUR - at * DAY, 500 + at % 7 if at % 7 else 5_000 + at)]
    ]
    _history(still_sandbox, runs, listed=runs, scheduleState="MANUAL")
    short = baseline.compare(frame([Execution.from_json(run, STREAM) for run in runs[:21]]))
    assert short["verdict"].iloc[0] == "many rows"
    assert domo.compare(STREAM, limit=1)["verdict"].item() == "usual"
    assert _row()["verdict"] == "usual"


def test_the_newest_that_has_ended_is_judged(still_session: Session, still_sandbox: Sandbox) -> None:
    """A run that goes on changes nothing about the verdict of the one that failed before it."""
    runs = _past(0.01, "ACTIVE", endedAt=None)
    runs[1] |= {"currentState": "ERROR"}
    _history(still_sandbox, runs)
    assert tuple(_row()[["verdict", "executionId"]]) == ("failed", 39)
    _history(still_sandbox, [runs[0] | {"executionId": 1}])
    assert tuple(_row()[["verdict", "executionId"]]) == ("running", 1)


def test_a_long_since_reads_on(still_session: Session) -> None:
    """Where the history of one request does not reach back to T, the list is read on."""
    found = domo.overview("Sales Orders", since="30d").iloc[0]
    assert found["runs"] == 200


def test_local_history_is_joined(session: Session, sandbox: Sandbox) -> None:
    """A run that was aborted from here is cancelled, whether Domo names who did it or not."""
    started = domo.run(STREAM)
    domo.cancel(started)

    def decide(request: Request) -> Fault | None:
        run = f"/streams/{STREAM}/executions/{started['executionId'].iloc[0]}"
        if request.path.endswith(run):
            execution = sandbox.world.execution(STREAM, int(started["executionId"].iloc[0]))
            return faults.response(json.dumps(execution | {"cancelledBy": None}).encode())
        return None

    sandbox.decide = decide
    assert tuple(_row()[["verdict", "executionId"]]) == ("cancelled", started["executionId"].iloc[0])


def test_uploads_are_left_out(still_session: Session) -> None:
    """What no connector feeds is in no row."""
    assert not domo.overview()["name"].isin(["Annual Budget", "Territory Mapping", "Sales Targets"]).any()


def test_progress_is_told_on_the_calling_thread(
    still_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it collects, the connectors done are counted up to all of them."""
    from domo_magic.fleet import overview

    told: list[tuple[int, int, str]] = []
    overview.overview(
        still_session,
        "",
        0,
        10,
        lambda done, total: told.append((done, total, threading.current_thread().name)),
    )
    assert told[-1][:2] == (40, 40)
    assert {name for *_, name in told} == {"MainThread"}


def test_the_failed_run_again_and_are_waited_for(session: Session) -> None:
    """`failed` of an overview starts each of its connectors once, and is waited for."""
    found = domo.overview()
    failed = found[found["verdict"] == "failed"]
    again = domo.run(failed, on_failure="return", wait=False)
    assert sorted(again["streamId"]) == sorted(failed["streamId"])
    waited = domo.wait(failed, on_failure="return")
    assert waited["executionId"].tolist() == failed["executionId"].tolist()
    domo.cancel(again)


def test_the_stuck_are_cancelled(session: Session, sandbox: Sandbox) -> None:
    """`stuck` of an overview cancels the run that the verdict is about."""
    found = domo.overview()
    stuck = found[found["verdict"] == "stuck"]
    ended = domo.cancel(stuck)
    assert ended["executionId"].tolist() == stuck["executionId"].tolist()
    assert set(ended["currentState"]) == {"ABORTED"}


def test_all_that_is_stuck_is_cancelled(session: Session, sandbox: Sandbox) -> None:
    """With `all` the rows of an overview mean every unfinished run of their streams."""
    found = domo.overview()
    stuck = found[found["verdict"] == "stuck"]
    assert len(domo.cancel(stuck, all=True)) == 2
    assert "stuck" not in set(domo.overview()["verdict"])


def test_a_whole_overview_is_not_started(session: Session, sandbox: Sandbox) -> None:
    """Rows that are usual are refused, nothing is started; those that were chosen are, and bare ids."""
    found = domo.overview()
    usual = found[found["verdict"] == "usual"].head(1)
    for rows in (found, usual):
        with pytest.raises(TargetError, match="connectors are usual; nothing was started"):
            domo.run(rows)
    assert posts(sandbox) == 0
    assert len(domo.run(usual["streamId"])) == 1


def test_rows_are_compared_and_plotted(still_session: Session) -> None:
    """Rows of an overview are compared as runs, and drawn as their streams."""
    pytest.importorskip("matplotlib").use("agg")
    found = domo.overview()
    failed = found[found["verdict"] == "failed"]
    compared = domo.compare(failed)
    assert set(compared["executionId"]) == set(failed["executionId"])
    assert set(compared["verdict"]) == {"failed"}
    assert len(domo.plot(failed)) == len(failed)
    assert len(domo.plot(compared)) == len(failed)


def test_rows_open_in_the_panel(session: Session) -> None:
    """The panel takes rows of an overview."""
    found = domo.overview()
    panel = domo.panel(found[found["verdict"] == "failed"])
    panel.join()
    assert panel.error is None
    assert set(panel.runs["streamId"]) == set(found[found["verdict"] == "failed"]["streamId"])


_HISTORIES = {
    "an object": b"{}",
    "no JSON": b"<html>login</html>",
    "nothing": b"[]",
    "items that are none": b"[1, null, {}]",
    "ids that are none": b'[{"executionId": null}, {"executionId": -1}, {"executionId": "x"}]',
    "times that are none": b'[{"executionId": 1, "startedAt": "x", "endedAt": {}, "currentState": 7}]',
    "no times": b'[{"executionId": 1, "currentState": "SUCCESS"}]',
    "far ids": b'[{"executionId": 9000000000, "startedAt": 1e300, "currentState": "SUCCESS"}]',
    "the same twice": b'[{"executionId": 1, "currentState": "ERROR"}, {"executionId": 1}]',
    "of another stream": b'[{"streamId": 1, "executionId": 1}]',
}


@pytest.mark.parametrize("body", _HISTORIES.values(), ids=_HISTORIES)
def test_an_odd_history_is_one_row_and_spoils_no_other(
    still_session: Session, still_sandbox: Sandbox, body: bytes
) -> None:
    """Whatever Domo sends for one stream, it is one row, and the others are as they were."""
    before = domo.overview().set_index("streamId")

    def decide(request: Request) -> Fault | None:
        path = request.path.partition("?")[0]
        return faults.response(body) if path.startswith(f"/api/data/v1/streams/{STREAM}/") else None

    still_sandbox.decide = decide
    after = domo.overview().set_index("streamId")
    assert sorted(after.index) == sorted(before.index)
    others = sorted(set(before.index) - {STREAM})
    pd.testing.assert_frame_equal(pd.DataFrame(after.loc[others]), pd.DataFrame(before.loc[others]))
    assert pd.notna(after.loc[STREAM, "verdict"])


def test_a_rate_limit_is_waited_out(still_session: Session, still_sandbox: Sandbox) -> None:
    """A 429 with its Retry-After in the middle delays the overview and loses no row."""
    still_sandbox.order(faults.status(429, retry_after=2), method="GET", path="/history/aggregate", times=3)
    found = domo.overview()
    assert len(found) == 40
    assert not (found["verdict"] == "unknown").any()


@pytest.mark.parametrize("total", [None, 10, 1_000, "x"])
def test_a_wrong_count_of_datasets(still_session: Session, still_sandbox: Sandbox, total: object) -> None:
    """Whatever Domo says how many DataSets there are, each connector is one row."""
    whole = still_sandbox.world.datasets("*", 500, 0)[0]

    def decide(request: Request) -> Fault | None:
        path, _, query = request.path.partition("?")
        if path != "/api/data/v3/datasources":
            return None
        asked = dict(part.split("=") for part in query.split("&"))
        page = whole[int(asked["offset"]) :][:15]  # fewer at a time than requested
        return faults.response(json.dumps({"dataSources": page, "_metaData": {"totalCount": total}}).encode())

    still_sandbox.decide = decide
    found = domo.overview()
    assert len(found) == 40
    assert found["streamId"].is_unique

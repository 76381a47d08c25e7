"""What is known of Domo beyond its captures, fact by fact, each with how sure it is.

A: Domo's own documentation. B: working public clients. C: one source, or inferred.
"""

from __future__ import annotations

import http.client
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from domo_magic.sandbox import ManualClock, Sandbox
from domo_magic.sandbox.simulation import Habit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = 1_734_458_216.49
ORDERS, NEVER_RAN, PAUSED, GUARDED, EMPTY, GONE = 25_775, 25_787, 25_786, 25_790, 25_783, 25_704
SESSIONS = {"UPLOAD": 25_701, "WEBFORM": 25_702, "API": 25_703}
SEARCH_FIELDS = {
    "id",
    "name",
    "type",
    "displayType",
    "dataProviderType",
    "state",
    "status",
    "rowCount",
    "columnCount",
    "created",
    "lastUpdated",
    "nextUpdate",
    "dataLastUpdated",
    "owner",
    "validAccount",
    "validConfiguration",
    "transportType",
    "scheduleActive",
}
TOE = re.compile(r"[0-9A-Z]{10}-[0-9A-Z]{5}-[0-9A-Z]{5}")


class Domo:
    """A sandbox on a clock that stands still, and a client of a few lines."""

    def __init__(self, sandbox: Sandbox, clock: ManualClock) -> None:
        self.sandbox, self.clock = sandbox, clock
        self._connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)

    def send(self, method: str, target: str, body: bytes | None = None) -> tuple[int, Any]:
        """Send a request; return the status and the JSON."""
        self._connection.request(method, target, body, {"X-DOMO-Developer-Token": self.sandbox.token})
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def get(self, path: str) -> Any:
        """Return what a path holds."""
        return self.send("GET", f"/api/data/{path}")[1]

    def put(self, path: str, value: object = None) -> Any:
        """Put a value, without a body where there is none."""
        body = None if value is None else json.dumps(value).encode()
        return self.send("PUT", f"/api/data/{path}", body)[1]

    def post(self, path: str, value: object) -> tuple[int, Any]:
        """Post a value."""
        return self.send("POST", f"/api/data/{path}", json.dumps(value).encode())

    def run(self, stream: int) -> Any:
        """Start a stream."""
        return self.post(f"v1/streams/{stream}/executions", {"runType": "MANUAL"})[1]

    def later(self, run: Any, seconds: float) -> Any:
        """Let time pass; return what has become of a run."""
        self.clock.advance(seconds)
        return self.get(f"v1/streams/{run['streamId']}/executions/{run['executionId']}")


@pytest.fixture
def domo() -> Iterator[Domo]:
    """Return a Domo of its own to each fact."""
    clock = ManualClock(NOW)
    with Sandbox(clock=clock) as sandbox:
        client = Domo(sandbox, clock)
        yield client
        client.close()


FACTS: dict[str, Callable[[Domo], None]] = {}


def fact(sure: str, text: str) -> Callable[[Callable[[Domo], None]], None]:
    """Enter a fact in the table."""

    def enter(check: Callable[[Domo], None]) -> None:
        FACTS[f"{sure}: {text}"] = check

    return enter


for _body in (b"", b"{}", b'{"action":"MANUAL"}', b'{"runType": "MANUAL"}'):

    @fact("A" if b"MANUAL" in _body else "B", f"a start with the body {_body.decode() or 'of no bytes'} runs")
    def _start(domo: Domo, body: bytes = _body) -> None:
        status, run = domo.send("POST", f"/api/data/v1/streams/{ORDERS}/executions", body or None)
        assert (status, run["currentState"], run["runType"]) == (201, "ACTIVE", "MANUAL")


for _kind in SESSIONS:

    @fact("B", f"a start of a stream whose transport is {_kind} opens a session, ACTIVE until aborted")
    def _session(domo: Domo, kind: str = _kind) -> None:
        stream = domo.get(f"v1/streams/{SESSIONS[kind]}")
        assert (stream["transport"]["type"], stream["dataSource"]["streamId"]) == (kind, stream["id"])
        run = domo.run(stream["id"])
        late = domo.later(run, 30 * 86_400)
        assert (late["currentState"], late["endedAt"], late["rowsInserted"]) == ("ACTIVE", None, 0)
        domo.put(f"v1/streams/{stream['id']}/executions/{run['executionId']}/abort")
        assert domo.later(run, 0)["currentState"] == "ABORTED"


@fact("B", "items of errors have nine fields")
def _errors(domo: Domo) -> None:
    (error,) = domo.get("v1/streams/25777/executions/200")["errors"]
    assert {name: type(value) for name, value in error.items()} == {
        "id": int,
        "streamId": int,
        "executionId": int,
        "code": int,
        "category": str,
        "message": str,
        "parameters": dict,
        "invalidatesExecution": bool,
        "keepUpload": bool,
    }
    assert (error["streamId"], error["executionId"], error["category"]) == (25777, 200, "CONNECTOR")
    assert error["parameters"] == {"limit": "TotalRequests"}


@fact("B", "a run that is ACTIVE has its phase as a text and as an object")
def _phases(domo: Domo) -> None:
    run = domo.run(ORDERS)
    early, late, over = (domo.later(run, seconds) for seconds in (0.1, 3, 20))
    assert (early["currentPhase"], early["latestPhase"]["phaseType"]) == ("INIT", "INIT")
    assert list(early["latestPhase"]) == ["streamId", "executionId", "phaseType", "startedAt", "endedAt"]
    assert late["currentPhase"] != "INIT"
    assert (over["currentPhase"], over["latestPhase"]) == (None, None)


@fact("C", "rowsInserted grows while a run is ACTIVE")
def _rows(domo: Domo) -> None:
    run = domo.run(ORDERS)
    rows = [domo.later(run, seconds)["rowsInserted"] for seconds in (0, 2, 2, 20)]
    assert rows == sorted(set(rows))


@fact("A", "times are seconds with fractions")
def _fractions(domo: Domo) -> None:
    run = domo.run(ORDERS)
    assert run["startedAt"] == NOW
    assert domo.later(run, 20)["endedAt"] % 1


@fact("B", "a stream that never ran has no execution, is IDLE and MANUAL")
def _never_ran(domo: Domo) -> None:
    stream = domo.get(f"v1/streams/{NEVER_RAN}?fields=all")
    executions = ("currentExecution", "lastExecution", "lastSuccessfulExecution")
    assert [stream[name] for name in executions] == [None, None, None]
    assert (stream["currentExecutionState"], stream["scheduleState"]) == ("IDLE", "MANUAL")


@fact("C", "a paused stream has an inactive schedule, and why")
def _paused(domo: Domo) -> None:
    stream = domo.get(f"v1/streams/{PAUSED}?fields=all")
    assert (stream["scheduleState"], stream["dataSource"]["scheduleActive"]) == ("INACTIVE", False)
    assert stream["inactiveScheduleCode"]


@fact("B", "a stream has more fields than the capture")
def _more_fields(domo: Domo) -> None:
    stream = domo.get(f"v1/streams/{ORDERS}?fields=all")
    assert (stream["invalidExecutionId"], stream["connectorOutputs"], stream["accounts"]) == (None, [], [])
    assert "retry.retryNumber" in [each["name"] for each in stream["configuration"]]


@fact("A", "a stream whose DataSet is gone is deleted: true")
def _deleted(domo: Domo) -> None:
    stream = domo.get(f"v1/streams/{GONE}")
    assert stream["deleted"] is True
    assert domo.send("GET", f"/api/data/v3/datasources/{stream['dataSource']['id']}")[0] == 404
    assert "deleted" not in domo.get(f"v1/streams/{ORDERS}")


@fact("B", "abort responds with the execution object, and works without a body")
def _abort(domo: Domo) -> None:
    run = domo.run(ORDERS)
    aborted = domo.put(f"v1/streams/{ORDERS}/executions/{run['executionId']}/abort")
    assert (aborted["executionId"], aborted["currentState"]) == (run["executionId"], "ABORTED")


@fact("A", "a manual run that fails is not tried again")
def _no_retry(domo: Domo) -> None:
    stream = domo.sandbox.world.add_stream(habit=Habit(endings=(("ERROR", 1.0),)))
    over = domo.later(domo.run(stream), 3600)
    assert (over["currentState"], over["retryCount"], over["retryExecution"]) == ("ERROR", 0, None)
    assert len(domo.get(f"v1/streams/{stream}/executions")) == 1


@fact("A", "update methods are REPLACE, APPEND, UPSERT and PARTITION")
def _methods(domo: Domo) -> None:
    methods = {stream["updateMethod"] for stream in domo.get("v1/streams?limit=500")}
    assert methods == {"REPLACE", "APPEND", "UPSERT", "PARTITION"}


@fact("A", "schedules are Quartz in UTC, 15 minutes apart at least")
def _schedules(domo: Domo) -> None:
    for stream in domo.get("v1/streams?limit=500"):
        schedule = json.loads(stream["advancedScheduleJson"])
        assert schedule["timezone"] == "UTC"
        assert schedule.get("interval", 15) >= 15
        assert (stream["scheduleExpression"] is None) is (stream["scheduleState"] == "MANUAL")


@fact("A", "data safeguards abort a run with no person behind it")
def _safeguard_aborts(domo: Domo) -> None:
    run = domo.get(f"v1/streams/{GUARDED}/executions/56")
    assert (run["currentState"], run["cancelledBy"]) == ("ABORTED", None)
    assert run["errors"][0]["message"].startswith("The schema of the source has changed")


@fact("C", "a SUCCESS may carry errors that do not invalidate it")
def _safeguard_warns(domo: Domo) -> None:
    run = domo.get(f"v1/streams/{GUARDED}/executions/60")
    assert (run["currentState"], run["errors"][0]["invalidatesExecution"]) == ("SUCCESS", False)


@fact("A", "a REPLACE run may succeed with 0 rows")
def _no_rows(domo: Domo) -> None:
    run = domo.get(f"v1/streams/{EMPTY}/executions/60")
    assert (run["updateMethod"], run["currentState"], run["rowsInserted"]) == ("REPLACE", "SUCCESS", 0)


@fact("A", "a toe is 10 characters, 5, 5")
def _toe(domo: Domo) -> None:
    assert TOE.fullmatch(domo.run(ORDERS)["toe"])
    assert TOE.fullmatch(domo.get("v1/streams/1")["toe"])


@fact("A", "an error has a status, its reason, a text and a toe")
def _refusal(domo: Domo) -> None:
    status, refusal = domo.post("ui/v3/datasources/search", {"count": "many"})
    assert list(refusal) == ["status", "statusReason", "message", "toe"]
    assert (status, refusal["status"], refusal["statusReason"]) == (400, 400, "Bad Request")
    assert refusal["message"]


@fact("B", "GET /streams is a bare array in pages")
def _streams(domo: Domo) -> None:
    ids = [[each["id"] for each in domo.get(f"v1/streams?limit=30&offset={at}")] for at in (0, 30)]
    assert ids[0] + ids[1] == [25_701, 25_702, 25_703, 25_704, *range(25_775, 25_815)]
    assert len(domo.get("v1/streams/?limit=500")) == 44


@fact("B", "GET /streams/{id}/history is newest first")
def _history(domo: Domo) -> None:
    history = domo.get(f"v1/streams/{ORDERS}/history?limit=3")
    assert [run["executionId"] for run in history] == [200, 199, 198]
    assert history[0] == domo.get(f"v1/streams/{ORDERS}/executions/200")


@fact("B", "PUT /streams/{id} changes the stream")
def _update(domo: Domo) -> None:
    changed = domo.put(f"v1/streams/{PAUSED}", {"scheduleState": "ACTIVE"})
    assert (changed["scheduleState"], changed["inactiveScheduleCode"]) == ("ACTIVE", None)
    assert domo.get(f"v1/streams/{PAUSED}?fields=all") == changed


@fact("B", "POST v3/datasources/bulk takes at most 100 ids")
def _bulk(domo: Domo) -> None:
    known = domo.get(f"v1/streams/{ORDERS}")["dataSource"]["id"]
    found = domo.post("v3/datasources/bulk", [known, "unknown"])[1]["dataSources"]
    assert [source["name"] for source in found] == ["Sales Orders"]
    assert domo.post("v3/datasources/bulk", [known] * 101)[0] == 400


@fact("C", "GET .../executions/{executionId}/data is there")
def _data(domo: Domo) -> None:
    assert domo.send("GET", f"/api/data/v1/streams/{ORDERS}/executions/200/data")[0] == 200


@fact("C", "PUT .../executions/{executionId} without /abort is there")
def _put_execution(domo: Domo) -> None:
    run = domo.put(f"v1/streams/{ORDERS}/executions/200", {"currentState": "ABORTED"})
    assert (run["executionId"], run["currentState"]) == (200, "SUCCESS")


@fact("B", "items of the search have 18 fields, streamId where there is one")
def _search(domo: Domo) -> None:
    found = domo.post("ui/v3/datasources/search", {"count": 100})[1]["dataSources"]
    assert all(set(item) >= SEARCH_FIELDS for item in found)
    assert [item["name"] for item in found if "streamId" not in item] == ["Sales Targets"]
    assert {item["transportType"] for item in found} == {"CONNECTOR", "UPLOAD", "WEBFORM", "API"}
    assert found[0]["created"] > 1e11


@fact("A", "a request target may be in absolute form")
def _absolute(domo: Domo) -> None:
    status, stream = domo.send("GET", f"{domo.sandbox.url}/api/data/v1/streams/{ORDERS}")
    assert (status, stream["id"]) == (200, ORDERS)
    assert domo.sandbox.requests[-1].path == f"/api/data/v1/streams/{ORDERS}"


@pytest.mark.parametrize("name", FACTS)
def test_facts(domo: Domo, name: str) -> None:
    """The sandbox is Domo as far as anybody knows."""
    FACTS[name](domo)

"""The sandbox over real HTTP: every documented call, its shape, its refusals, its threads."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

from domo_magic.sandbox import ManualClock, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

CAPTURES = Path(__file__).parents[1] / "captures"
MANUAL = {"runType": "MANUAL"}
NOW = 1_734_458_216.0
ORDERS = "5f3c2a9e-8d41-4b7e-9c36-1e2f7a4d6b90"
TARGETS = "b7a1d7c2-5e0f-4a52-9a7f-0c1c9b6f3e61"


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    """Return the clock of the module's sandbox."""
    return ManualClock(NOW)


@pytest.fixture(scope="module")
def sandbox(clock: ManualClock) -> Iterator[Sandbox]:
    """Return one sandbox to the whole module; each test starts what it looks at."""
    with Sandbox(clock=clock) as one:
        yield one


def send(
    sandbox: Sandbox, path: str, method: str = "GET", body: object = None, **headers: str
) -> requests.Response:
    """Send one request with the sandbox's token."""
    token = {"X-DOMO-Developer-Token": sandbox.token}
    url = f"{sandbox.url}/api/data/{path}"
    return requests.request(
        method, url, json=body, headers=token | headers, timeout=10, allow_redirects=False
    )


def start(sandbox: Sandbox, stream: int = 25775) -> dict[str, object]:
    """Start a stream."""
    return send(sandbox, f"v1/streams/{stream}/executions", "POST", MANUAL).json()


def capture(name: str) -> object:
    """Return one of Domo's documented samples."""
    return json.loads((CAPTURES / name).read_text())


def test_a_start_gives_the_documented_response(sandbox: Sandbox) -> None:
    """The POST gets 201 with the fields and the order of Domo's sample, as JSON."""
    response = send(sandbox, "v1/streams/25775/executions", "POST", MANUAL)
    assert (response.status_code, response.reason) == (201, "Created")
    assert response.headers["Content-Type"] == "application/json"
    assert list(response.json()) == list(capture("run-25775-created.json"))
    assert response.json()["currentState"] == "ACTIVE"


def test_the_server_tells_its_time(sandbox: Sandbox) -> None:
    """The Date header is the time by which executions start, so that a skewed clock can be seen."""
    response = send(sandbox, "v1/streams/25775/executions", "POST", MANUAL)
    assert parsedate_to_datetime(response.headers["Date"]).timestamp() == response.json()["startedAt"]


def test_a_run_is_followed_to_its_end(sandbox: Sandbox, clock: ManualClock) -> None:
    """A run that is followed is active with growing rows, then has ended."""
    path = f"v1/streams/25775/executions/{start(sandbox)['executionId']}"
    seen = []
    for _ in range(4):
        seen.append(send(sandbox, path).json())
        clock.advance(3)
    rows = [execution["rowsInserted"] for execution in seen]
    assert [execution["currentState"] for execution in seen][::3] == ["ACTIVE", "SUCCESS"]
    assert rows == sorted(rows)
    assert 0 == rows[0] < rows[1] < rows[3]
    assert list(seen[3]) == list(capture("execution-371-success.json"))


def test_lists_come_in_pages_oldest_first(sandbox: Sandbox) -> None:
    """A list is a bare array, oldest first: 50 by default, 500 at most, from an offset."""
    number = sandbox.world.add_stream(past=620)
    path = f"v1/streams/{number}/executions"

    def ids(query: str) -> list[int]:
        return [execution["executionId"] for execution in send(sandbox, path + query).json()]

    assert ids("") == list(range(1, 51))
    assert ids("?limit=9999") == list(range(1, 501))
    assert ids("?limit=500&offset=500") == list(range(501, 621))
    assert ids("?limit=3&offset=617") == [618, 619, 620]
    assert ids("?offset=620") == []


def test_history_is_newest_first_with_few_fields(sandbox: Sandbox) -> None:
    """The aggregated history has the fields of Domo's sample, newest first."""
    history = send(sandbox, "v1/streams/25777/history/aggregate").json()
    sample = capture("history-aggregate-371.json")
    assert isinstance(sample, list)
    assert list(history[0]) == list(sample[0])
    assert [row["executionId"] for row in history] == list(range(200, 100, -1))


def test_the_state_is_the_newest_execution(sandbox: Sandbox) -> None:
    """A stream's state is an array with its newest execution, empty where it never ran."""
    newest = start(sandbox)["executionId"]
    fresh = sandbox.world.add_stream()
    assert send(sandbox, "v1/streams/state/25775").json()[0]["executionId"] == newest
    assert send(sandbox, f"v1/streams/state/{fresh}").json() == []


def test_a_stream_in_full_has_the_documented_fields(sandbox: Sandbox) -> None:
    """All fields of a stream come in the order of Domo's sample, those of its DataSet too."""
    stream = send(sandbox, "v1/streams/25778?fields=all").json()
    sample = capture("stream-371.json")
    assert isinstance(sample, dict)
    assert list(stream) == [*sample, "accounts", "connectorOutputs"]
    assert list(stream["dataSource"]) == list(sample["dataSource"])
    assert list(stream["lastExecution"]) == list(sample["lastExecution"])
    assert list(stream["configuration"][0]) == list(sample["configuration"][0])
    assert stream["dataSource"]["lastUpdated"] == 1000 * stream["lastSuccessfulExecution"]["endedAt"]
    assert "configuration" not in send(sandbox, "v1/streams/25778").json()


def test_a_stream_shows_what_runs_now(sandbox: Sandbox) -> None:
    """The current execution is the one that runs; a stuck one counts."""
    stuck = send(sandbox, "v1/streams/25779?fields=all").json()
    assert stuck["currentExecution"]["executionId"] == 186
    assert stuck["currentExecutionState"] == "SUCCESS"
    running = start(sandbox, 25779)
    assert send(sandbox, "v1/streams/25779?fields=all").json()["currentExecution"] == {
        **sandbox.world.execution(25779, int(str(running["executionId"])))
    }


def test_bulk_gives_the_streams_that_exist(sandbox: Sandbox) -> None:
    """Up to 50 streams are given at once, unknown ones left out; 51 are refused."""
    response = send(sandbox, "v1/streams/bulk?streamId=25776,1,25775").json()
    too_many = send(sandbox, "v1/streams/bulk?streamId=" + ",".join(map(str, range(51))))
    assert [stream["id"] for stream in response] == [25776, 25775]
    assert too_many.status_code == 400
    assert send(sandbox, "v1/streams/bulk?streamId=1,x").status_code == 400


@pytest.mark.parametrize("dataset, ids", [(ORDERS, [25775]), (TARGETS, []), ("nothing", [])])
def test_streams_are_found_by_their_dataset(sandbox: Sandbox, dataset: str, ids: list[int]) -> None:
    """The search by DataSet gives its stream, or an empty array."""
    response = send(sandbox, f"v1/streams/search?q=dataSource.id:{dataset}")
    assert [stream["id"] for stream in response.json()] == ids


def test_a_dataset_names_its_stream(sandbox: Sandbox) -> None:
    """A DataSet has its stream's id, null where no connector fills it, 404 where there is none."""
    assert send(sandbox, f"v3/datasources/{ORDERS}").json()["streamId"] == 25775
    assert send(sandbox, f"v3/datasources/{TARGETS}").json()["streamId"] is None
    assert send(sandbox, "v3/datasources/nothing").status_code == 404


@pytest.mark.parametrize(
    "text, names",
    [
        ("*SALES*", ["Sales Orders", "Sales Targets", "Salesforce Opportunities"]),
        ("*s?les*", []),
        ("Sales", []),
        ("*[orders]*", []),
    ],
)
def test_names_are_found_by_wildcard(sandbox: Sandbox, text: str, names: list[str]) -> None:
    """A star stands for any text, cases are the same, nothing else is special."""
    body = {
        "entities": ["DATASET"],
        "filters": [{"field": "name_sort", "filterType": "wildcard", "query": text}],
        "combineResults": True,
        "query": "*",
        "count": 50,
        "offset": 0,
    }
    response = send(sandbox, "ui/v3/datasources/search", "POST", body).json()
    assert [source["name"] for source in response["dataSources"]] == names
    assert response["_metaData"]["totalCount"] == len(names)


def test_a_search_without_a_filter_floods(sandbox: Sandbox) -> None:
    """Text in the top-level query filters nothing, as at Domo."""
    response = send(sandbox, "ui/v3/datasources/search", "POST", {"query": "sales", "count": 2}).json()
    assert len(response["dataSources"]) == 2
    assert response["_metaData"]["totalCount"] >= 7


def test_datasets_come_in_pages(sandbox: Sandbox) -> None:
    """All DataSets come page by page, with how many there are."""
    first, second = (send(sandbox, f"v3/datasources?limit=3&offset={offset}").json() for offset in (0, 3))
    ids = [source["id"] for page in (first, second) for source in page["dataSources"]]
    assert len(set(ids)) == 6
    assert first["_metaData"]["totalCount"] == second["_metaData"]["totalCount"] >= 7


def test_an_abort_ends_the_run(sandbox: Sandbox) -> None:
    """An abort gives the aborted execution; a second one is refused with 409."""
    path = f"v1/streams/25775/executions/{start(sandbox)['executionId']}"
    why = {"category": "CONNECTOR", "message": "not needed"}
    first, second = (send(sandbox, f"{path}/abort", "PUT", why) for _ in range(2))
    assert (first.status_code, first.json()["currentState"]) == (200, "ABORTED")
    assert first.json()["cancelledBy"] == first.json()["startedBy"]
    assert second.status_code == 409
    assert send(sandbox, path).json() == first.json()


@pytest.mark.parametrize(
    "method, path, body, status",
    [
        ("GET", "v1/streams/1", None, 404),
        ("POST", "v1/streams/1/executions", MANUAL, 404),
        ("GET", "v1/streams/25775/executions/9999", None, 404),
        ("PUT", "v1/streams/25775/executions/9999/abort", {}, 404),
        ("GET", "v1/streams/99999999999999999999/executions", None, 404),
        ("GET", "v1/nothing", None, 404),
        ("DELETE", "v1/streams/25775/executions", None, 405),
        ("POST", "v1/streams/25775/executions", [], 400),
        ("POST", "v1/streams/25775/executions", {"runType": "AUTOMATED"}, 400),
        ("POST", "v1/streams/25775/executions", {"runType": "MANUAL", "action": {}}, 400),
        ("GET", "v1/streams/25775/executions?limit=-1", None, 400),
        ("GET", "v1/streams/25775/executions?limit=", None, 400),
        ("PUT", "v1/streams/25775", {"scheduleState": 5}, 400),
        ("PUT", "v1/streams/25775", None, 400),
        ("POST", "v3/datasources/bulk", [5], 400),
        ("GET", "v3/datasources/bulk", None, 405),
        ("QUERY", "v1/streams", None, 405),
        ("GET", "v1/streams/search?q=name:x", None, 400),
        ("POST", "ui/v3/datasources/search", {"count": "many"}, 400),
    ],
)
def test_refusals_have_the_documented_shape(
    sandbox: Sandbox, method: str, path: str, body: object, status: int
) -> None:
    """What cannot be done is refused with its status and the documented shape, and starts nothing."""
    before = sandbox.world.count(25775)
    response = send(sandbox, path, method, body)
    assert response.status_code == status
    assert list(response.json()) == ["status", "statusReason", "message", "toe"]
    assert (response.json()["status"], response.json()["statusReason"]) == (status, response.reason)
    assert sandbox.world.count(25775) == before


@pytest.mark.parametrize("token", ["", "wrong", "ä"])
def test_a_wrong_token_is_refused(sandbox: Sandbox, token: str) -> None:
    """Without the right token nothing is told, not even that a stream exists."""
    for stream in (25775, 1):
        path = f"{sandbox.url}/api/data/v1/streams/{stream}/executions"
        headers = {"X-DOMO-Developer-Token": token.encode("latin-1")}
        response = requests.post(path, json=MANUAL, headers=headers, timeout=10)
        assert (response.status_code, response.json()["statusReason"]) == (401, "Unauthorized")
        assert sandbox.token not in response.text


@pytest.mark.parametrize(
    "headers, status", [({"Transfer-Encoding": "chunked"}, 411), ({"Content-Length": "99999999"}, 413)]
)
def test_a_body_of_unbelievable_length_is_refused(
    sandbox: Sandbox, headers: dict[str, str], status: int
) -> None:
    """A body of unknown or enormous length is refused without being read."""
    connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)
    connection.putrequest("POST", "/api/data/v1/streams/25775/executions")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()


def test_requests_are_remembered_without_the_token(sandbox: Sandbox) -> None:
    """Each request is remembered with method, path, body and time, and without the token."""
    before = time.monotonic()
    send(sandbox, "v1/streams/25775/executions?limit=1", "GET", **{"X-Other": "yes"})
    start(sandbox)
    got, posted = sandbox.requests[-2:]
    assert (got.method, got.path) == ("GET", "/api/data/v1/streams/25775/executions?limit=1")
    assert got.headers["x-other"] == "yes"
    assert (posted.method, json.loads(posted.body)) == ("POST", MANUAL)
    assert before <= got.at <= posted.at <= time.monotonic()
    assert sandbox.token not in repr(sandbox.requests)


def test_one_connection_serves_many_requests(sandbox: Sandbox) -> None:
    """A connection is kept open from response to response."""
    connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)
    connection.connect()
    address = connection.sock.getsockname()
    for _ in range(5):
        connection.request("GET", "/", headers={"X-DOMO-Developer-Token": sandbox.token})
        connection.getresponse().read()
        assert connection.sock.getsockname() == address
    connection.close()


def test_sixteen_threads_start_at_once(sandbox: Sandbox) -> None:
    """Starts from many threads get every id exactly once."""
    number = sandbox.world.add_stream()
    with ThreadPoolExecutor(16) as pool:
        started = list(pool.map(lambda _: start(sandbox, number)["executionId"], range(160)))
    assert sorted(started) == list(range(1, 161))


def test_latency_is_added_to_every_response() -> None:
    """Every response takes at least the latency, a refusal too."""
    with Sandbox(latency=0.05) as slow:
        before = time.monotonic()
        start(slow)
        send(slow, "v1/streams/1")
        assert time.monotonic() - before >= 0.1


def test_close_leaves_nothing_behind() -> None:
    """Closing ends kept connections, waiting responses and all threads at once, and can be done again."""
    before = set(threading.enumerate())
    sandbox = Sandbox(latency=60).start()
    assert sandbox.start() is sandbox
    netloc = urlsplit(sandbox.url).netloc
    idle, waiting = (http.client.HTTPConnection(netloc, timeout=10) for _ in range(2))
    idle.connect()
    waiting.request("GET", "/")
    while not sandbox.requests:
        threading.Event().wait(0.001)
    began = time.monotonic()
    sandbox.close()
    sandbox.close()
    assert time.monotonic() - began < 5
    assert set(threading.enumerate()) <= before
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        waiting.getresponse()
    with pytest.raises(RuntimeError, match="does not serve"):
        sandbox.url  # noqa: B018
    idle.close()
    waiting.close()


def test_two_sandboxes_live_side_by_side() -> None:
    """Each sandbox has its own port, token and world; a taken port is an error."""
    with Sandbox() as one, Sandbox() as two:
        start(one)
        assert one.url != two.url
        assert one.token != two.token
        assert (one.world.count(25775), two.world.count(25775)) == (201, 200)
        with pytest.raises(OSError, match="in use"):
            Sandbox(port=urlsplit(one.url).port or 0).start()


def test_the_module_prints_lines_that_work() -> None:
    """The printed address and token start a run; Ctrl-C ends the module cleanly."""
    command = [sys.executable, "-m", "domo_magic.sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        while not lines or "curl" not in lines[-1]:
            lines.append(process.stdout.readline())
        text = "".join(lines)
        url = re.findall(r"'(?:[^']*)' (http://127\.0\.0\.1:\d+/\S+)$", text)[0]
        token = re.findall(r"export DOMO_DEVELOPER_TOKEN=(\S+)", text)[0]
        response = requests.post(url, json=MANUAL, headers={"X-DOMO-Developer-Token": token}, timeout=10)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert f"%domo_connect {url.partition('/api')[0]}\n" in text
    assert response.status_code == 201
    assert (process.returncode, errors) == (0, "")


def test_loading_it_brings_in_nothing_heavy() -> None:
    """The sandbox, its server included, needs the standard library alone."""
    code = (
        "import sys, domo_magic.sandbox.server as s; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    )
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert set(loaded).isdisjoint(
        {"pandas", "numpy", "requests", "urllib3", "IPython", "ipywidgets", "tornado"}
    )


def test_the_module_says_when_its_port_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that is taken is one clear line and a status."""
    from domo_magic.sandbox.__main__ import main

    with Sandbox() as sandbox:
        assert main(["--port", str(urlsplit(sandbox.url).port)]) == 1
    assert "--port 0" in capsys.readouterr().err


def test_the_page_of_a_dataset_is_there_for_a_browser(sandbox: Sandbox) -> None:
    """The link of an error about a run leads somewhere, without a token; markup in a name is text."""
    stream = sandbox.world.add_stream(5.0, name="<b>Sales</b>")
    dataset = sandbox.world.stream(stream, full=True)["dataSource"]["id"]
    response = requests.get(f"{sandbox.url}/datasources/{dataset}/details/history", timeout=10)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<h1>&lt;b&gt;Sales&lt;/b&gt;</h1>" in response.text
    assert requests.get(f"{sandbox.url}/datasources/nothing/details", timeout=10).status_code == 404

"""The sandbox's faults: what a client meets, and whether the run exists afterwards."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import faults
import pytest

from domo_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults import Fault, Request

PATH = "/api/data/v1/streams/25775/executions"
LOST = (ConnectionError, http.client.HTTPException)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Return a fresh sandbox."""
    with Sandbox() as one:
        yield one


def send(
    sandbox: Sandbox, method: str = "POST", path: str = PATH
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send one request on a connection of its own; give status, headers and body."""
    connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)
    body = b'{"runType": "MANUAL"}' if method == "POST" else None
    try:
        connection.request(method, path, body, {"X-DOMO-Developer-Token": sandbox.token})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def started(sandbox: Sandbox) -> int:
    """Count the runs that were started."""
    return sandbox.world.count(25775) - 200


@pytest.mark.parametrize("after", [False, True])
def test_a_reset_loses_the_response(sandbox: Sandbox, after: bool) -> None:  # noqa: FBT001
    """The connection is reset, before the run exists or after it."""
    sandbox.order(faults.reset(after=after))
    with pytest.raises(ConnectionResetError):
        send(sandbox)
    assert started(sandbox) == after


@pytest.mark.parametrize("after", [False, True])
def test_a_delay_makes_the_response_late(after: bool) -> None:  # noqa: FBT001
    """The whole response comes, late; the delay is before the start of the run, or after it."""
    with Sandbox(clock=time.monotonic) as sandbox:
        sandbox.order(faults.delay(0.1, after=after))
        status, _, body = send(sandbox)
        responded = time.monotonic()
        run = sandbox.world._room(25775).record(201).plan.start.at
    assert (status, json.loads(body)["executionId"], started(sandbox)) == (201, 201, 1)
    assert (responded - run if after else run - sandbox.requests[0].at) >= 0.1


@pytest.mark.parametrize(
    "fault, status, runs",
    [
        (faults.status(429, retry_after=3), 429, 0),
        (faults.status(500), 500, 0),
        (faults.status(503, after=True), 503, 1),
    ],
)
def test_a_status_comes_in_the_documented_shape(
    sandbox: Sandbox, fault: Fault, status: int, runs: int
) -> None:
    """An error status has Domo's shape, and its Retry-After where it is given."""
    sandbox.order(fault)
    code, headers, body = send(sandbox)
    assert (code, json.loads(body)["status"], started(sandbox)) == (status, status, runs)
    assert headers["Retry-After"] == ("3" if status == 429 else None)


@pytest.mark.parametrize("after", [False, True])
def test_html_looks_like_success(sandbox: Sandbox, after: bool) -> None:  # noqa: FBT001
    """A page to sign in comes with status 200, whether or not the run exists."""
    sandbox.order(faults.html(after=after))
    status, headers, body = send(sandbox)
    assert (status, headers.get_content_type(), started(sandbox)) == (200, "text/html", after)
    assert body.startswith(b"<!DOCTYPE html>")


def test_a_cut_response_is_broken_json(sandbox: Sandbox) -> None:
    """Half of the response comes as if it were whole; the run exists."""
    sandbox.order(faults.cut())
    status, _, body = send(sandbox)
    assert (status, body[:13], started(sandbox)) == (201, b'{"streamId":2', 1)
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


def test_a_broken_response_ends_too_soon(sandbox: Sandbox) -> None:
    """The connection ends before the promised length; the run exists."""
    sandbox.order(faults.cut(broken=True))
    with pytest.raises(http.client.IncompleteRead):
        send(sandbox)
    assert started(sandbox) == 1


@pytest.mark.parametrize("code", [200, 201, 204])
def test_an_empty_response_has_started_a_run(sandbox: Sandbox, code: int) -> None:
    """A 2xx with nothing in it, and the run exists."""
    sandbox.order(faults.empty(code))
    status, _, body = send(sandbox)
    assert (status, body, started(sandbox)) == (code, b"", 1)


@pytest.mark.parametrize("code", [301, 307])
def test_a_redirect_points_elsewhere(sandbox: Sandbox, code: int) -> None:
    """The response names another place, and nothing was started."""
    sandbox.order(faults.redirect("http://elsewhere.example/", code=code))
    status, headers, _ = send(sandbox)
    assert (status, headers["Location"], started(sandbox)) == (code, "http://elsewhere.example/", 0)


@pytest.mark.parametrize("headers", [False, True])
def test_a_drip_comes_byte_by_byte(sandbox: Sandbox, headers: bool) -> None:  # noqa: FBT001
    """The response is whole, and takes a pause for each of its bytes, with or without the headers."""
    sandbox.order(faults.drip(0.0001, headers=headers), method="GET")
    began = time.monotonic()
    status, _, body = send(sandbox, "GET", "/api/data/v1/streams/25775/executions?limit=1")
    assert time.monotonic() - began >= 0.0001 * len(body)
    assert (status, json.loads(body)[0]["executionId"]) == (200, 1)


def test_any_response_can_be_given(sandbox: Sandbox) -> None:
    """A literal status, headers and body are sent as they are."""
    sandbox.order(faults.response(b"\xff{}", code=202, headers={"Content-Type": "x/y", "X-A": "b"}))
    status, headers, body = send(sandbox)
    assert (status, headers["Content-Type"], headers["X-A"], body) == (202, "x/y", "b", b"\xff{}")


def test_a_large_response_is_never_held(sandbox: Sandbox) -> None:
    """A body may be made chunk by chunk while it is sent."""
    sandbox.order(faults.response(itertools.repeat(b"[" * 1000, 2000)))
    status, headers, body = send(sandbox)
    assert (status, headers["Content-Length"], len(body)) == (200, None, 2_000_000)


def test_orders_wait_for_their_request(sandbox: Sandbox) -> None:
    """A fault is met by the next requests with its method and path, as often as ordered, in that order."""
    sandbox.order(faults.status(500), method="GET", path="/25776/", times=2)
    sandbox.order(faults.status(503), method=None, path="/25776/")
    paths = ["25775", "25776", "25776", "25776", "25776"]
    codes = [send(sandbox, "GET", f"/api/data/v1/streams/{path}/executions")[0] for path in paths]
    assert codes == [200, 500, 500, 503, 200]


def test_a_campaign_decides_each_request(sandbox: Sandbox) -> None:
    """A function draws the fault of every request for which none was ordered."""
    rng = random.Random(7)
    sandbox.decide = lambda request: faults.status(503) if rng.random() < 0.3 else None
    sandbox.order(faults.status(500))
    codes = [send(sandbox)[0] for _ in range(40)]
    assert codes[0] == 500
    assert 5 <= codes.count(503) <= 20
    assert started(sandbox) == codes.count(201) == 39 - codes.count(503)


def test_a_decision_sees_the_request(sandbox: Sandbox) -> None:
    """The function gets the request as it arrived."""
    seen: list[Request] = []
    sandbox.decide = seen.append
    send(sandbox)
    assert seen == sandbox.requests
    assert (seen[0].method, seen[0].path, seen[0].body) == ("POST", PATH, b'{"runType": "MANUAL"}')


def test_a_refused_token_is_not_spared(sandbox: Sandbox) -> None:
    """A fault that does the work first does not do what the token does not allow."""
    sandbox.order(faults.empty())
    request = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)
    request.request("POST", PATH, b'{"runType": "MANUAL"}')
    assert request.getresponse().status == 200
    request.close()
    assert started(sandbox) == 0


@pytest.mark.parametrize("fault", [faults.delay(60), faults.drip(60), faults.drip(60, headers=True)])
def test_close_wakes_what_sleeps(fault: Fault) -> None:
    """Closing ends a delay or a drip at once, and the client sees the connection end."""
    ends: list[Exception] = []

    def client() -> None:
        try:
            send(sandbox)
        except LOST as error:
            ends.append(error)

    with Sandbox() as sandbox:
        sandbox.order(fault)
        thread = threading.Thread(target=client)
        thread.start()
        while not sandbox.requests:
            threading.Event().wait(0.001)
        began = time.monotonic()
    thread.join(10)
    assert time.monotonic() - began < 5
    assert len(ends) == 1

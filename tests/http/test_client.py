"""Domo's endpoints against the sandbox: what each gives, what responses mean, what is asked again."""

from __future__ import annotations

import json
import threading
import time
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faults
import numpy as np
import pandas as pd
import pytest

from domo_magic.errors import (
    ApiError,
    AuthenticationError,
    ConnectionFailed,
    DomoError,
    InvalidResponse,
    NotFound,
    RateLimited,
    TriggerOutcomeUnknown,
)
from domo_magic.http.client import Uncertain
from domo_magic.http.response import http_time
from domo_magic.model.execution import microseconds, parse_json
from domo_magic.model.frame import frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from faults import Fault
    from support import JumpClock

    from domo_magic.executions.session import Session
    from domo_magic.http.client import Client
    from domo_magic.model.execution import Execution
    from domo_magic.sandbox import Sandbox

CAPTURES = Path(__file__).parents[1] / "captures"
ORDERS = "5f3c2a9e-8d41-4b7e-9c36-1e2f7a4d6b90"
TARGETS = "b7a1d7c2-5e0f-4a52-9a7f-0c1c9b6f3e61"
TIMES = {"startedAt", "endedAt", "createdAt", "modifiedAt"}


@pytest.fixture
def client(still_session: Session) -> Client:
    """Give the client of a connection to the sandbox, on a clock that jumps."""
    return still_session.client


def capture(name: str) -> bytes:
    """Give one of Domo's documented samples, byte for byte."""
    return (CAPTURES / name).read_bytes()


# What the endpoints give


def test_a_run_is_started_and_asked_for(still_sandbox: Sandbox, client: Client, clock: JumpClock) -> None:
    """A started run is the one that is then asked for, with its JSON byte for byte."""
    started = client.create_execution(25775)
    assert (started.run, started.state, started.finished) == ("25775/201", "ACTIVE", False)
    clock.now += 60
    ended = client.get_execution(25775, 201)
    assert (ended.run, ended.state, ended.finished) == ("25775/201", "SUCCESS", True)
    assert ended.text is not None
    assert json.loads(ended.text) == still_sandbox.world.execution(25775, 201) | {
        "indexRequestKey": json.loads(ended.text)["indexRequestKey"]
    }


def test_lists_come_by_the_page(client: Client) -> None:
    """A page has the runs from its offset on, and the newest id is that of the last."""
    assert [run.execution_id for run in client.list_executions(25775, 3, 10)] == [11, 12, 13]
    assert client.latest_execution_id(25775) == 200


def test_the_history_is_newest_first(client: Client) -> None:
    """A stream's past comes in one request, the newest run first."""
    ids = [run.execution_id for run in client.execution_history(25775)]
    assert ids == list(range(200, 100, -1))


def test_streams_and_datasets_lead_to_each_other(client: Client) -> None:
    """A stream names its DataSet, a DataSet its stream, and one that no connector feeds none."""
    assert client.get_stream(25775)["dataSource"]["id"] == ORDERS
    assert client.get_dataset(ORDERS)["streamId"] == 25775
    assert client.find_stream(ORDERS) == 25775
    assert client.get_dataset(TARGETS)["streamId"] is None
    assert client.find_stream(TARGETS) is None


@pytest.mark.parametrize("text, names", [("orders", ["Sales Orders"]), ("no such", [])])
def test_datasets_are_found_by_name(client: Client, text: str, names: list[str]) -> None:
    """The search looks for a part of the name."""
    found, _ = client.datasets_page(text, 50, 0)
    assert [source["name"] for source in found] == names


def test_an_empty_search_lists_all(client: Client) -> None:
    """Without a text everything is listed, by the page."""
    assert len(client.datasets_page("", 3, 0)[0]) == 3


def test_a_run_is_aborted(client: Client, still_sandbox: Sandbox) -> None:
    """An abort says who asks, and the run ends as ABORTED; a second one is refused by Domo."""
    client.create_execution(25775)
    client.abort_execution(25775, 201)
    assert json.loads(still_sandbox.requests[-1].body)["category"] == "CONNECTOR"
    assert client.get_execution(25775, 201).state == "ABORTED"
    with pytest.raises(ApiError, match="not active") as caught:
        client.abort_execution(25775, 201)
    assert caught.value.status == 409


CALLS: dict[str, Callable[[Client], object]] = {
    "execution": lambda client: client.get_execution(25775, 2),
    "executions": lambda client: client.list_executions(25775, 50, 0),
    "newest_id": lambda client: client.latest_execution_id(25775),
    "history": lambda client: client.execution_history(25775),
    "stream": lambda client: client.get_stream(25775),
    "dataset": lambda client: client.get_dataset(ORDERS),
    "stream_of": lambda client: client.find_stream(ORDERS),
    "search": lambda client: client.datasets_page("a", 50, 0),
    "list of datasets": lambda client: client.datasets_page("", 50, 0),
    "abort": lambda client: client.abort_execution(25775, 2),
}
QUESTIONS = {name: call for name, call in CALLS.items() if name not in {"newest_id", "abort"}}


def crossed(things: Iterable[Any], calls: Iterable[str]) -> list[tuple[Any, str]]:
    """Pair everything with the first call, and the first thing with every call."""
    first, *others = things
    one, *rest = calls
    return [(first, one), *((other, one) for other in others), *((first, call) for call in rest)]


# What a response means


@pytest.mark.parametrize(
    "status, call",
    [*crossed([404, 400, 401, 403, 409, 418, 499], ["start", *QUESTIONS, "abort"]), (403, "stream")],
)
def test_a_refusal_is_the_promised_error_at_once(
    still_sandbox: Sandbox, client: Client, status: int, call: str
) -> None:
    """Status, message and toe are Domo's, the class is the contract's, and nothing is asked twice."""
    body = {"status": status, "statusReason": "", "message": "That\x1b[31m is <b>wrong</b>", "toe": "A-B-C"}
    still_sandbox.order(faults.response(json.dumps(body).encode(), code=status), method=None, times=9)
    with pytest.raises(ApiError) as caught:
        client.create_execution(25775) if call == "start" else CALLS[call](client)
    error = caught.value
    kind = {401: AuthenticationError, 403: AuthenticationError, 404: NotFound}.get(status, ApiError)
    assert (type(error), error.status, error.toe) == (kind, status, "A-B-C")
    assert error.message == "That [31m is <b>wrong</b>"
    assert "toe A-B-C" in error.summary
    assert error.hint
    assert len(still_sandbox.requests) == 1


def test_domo_s_own_refusals_come_through(still_sandbox: Sandbox, client: Client) -> None:
    """An unknown stream is named with where it was looked for and Domo's words."""
    with pytest.raises(
        NotFound, match=r"stream 4711 was not found at 127\.0\.0\.1:\d+: Stream 4711 not found"
    ):
        client.create_execution(4711)
    still_sandbox.token = "another"
    with pytest.raises(AuthenticationError, match="not valid") as caught:
        client.create_execution(25775)
    assert "the token from the test is wrong or expired" in caught.value.hint
    assert caught.value.toe


@pytest.mark.parametrize(
    "fault, words",
    [
        (faults.html(code=403), "Sign in"),
        (faults.empty(403, after=False), "403 Forbidden"),
        (faults.response(b"\xff\xfe{", code=403), "403 Forbidden"),
        (faults.response(b'{"message": {"a": 1}, "toe": 7}', code=403), "403 Forbidden"),
        (faults.response(b"[" * 100_000, code=403), "403 Forbidden"),
        (faults.response(b'"Not for you"', code=403), "403 Forbidden: Not for you"),
        (faults.response(b"Not for you\n", code=403), "403 Forbidden: Not for you"),
    ],
    ids=["html", "empty", "no text", "other types", "deep", "bare string", "bare text"],
)
def test_a_refusal_of_any_body_is_a_refusal(
    still_sandbox: Sandbox, client: Client, fault: Fault, words: str
) -> None:
    """Whatever the body is, the status decides; a bare text is the message, an HTML page its title."""
    still_sandbox.order(fault, method="GET")
    with pytest.raises(AuthenticationError, match=words) as caught:
        client.get_stream(25775)
    assert caught.value.status == 403
    assert caught.value.message == words.partition("Forbidden")[2][2:] or "Sign in" in words


SENSELESS = {
    "html": faults.html(),
    "empty": faults.empty(),
    "cut": faults.cut(),
    "cut short of its length": faults.cut(broken=True),
    "null": faults.response(b"null"),
    "text": faults.response(b'"ok"'),
    "number": faults.response(b"7"),
    "no UTF-8": faults.response(b'{"a": "\xff"}'),
    "deep": faults.response(b"[" * 100_000),
    "deep objects": faults.response(b'{"a":' * 100_000),
}


@pytest.mark.parametrize("fault, call", crossed(SENSELESS, QUESTIONS))
def test_an_answer_that_makes_no_sense_is_said_so(
    still_sandbox: Sandbox, client: Client, fault: str, call: str
) -> None:
    """Asked four times in all, then `InvalidResponse` with what came in words, and no markup."""
    still_sandbox.order(SENSELESS[fault], method=None, times=9)
    with pytest.raises(InvalidResponse) as caught:
        QUESTIONS[call](client)
    assert len(still_sandbox.requests) == 4
    assert "<" not in str(caught.value)


@pytest.mark.parametrize("call", ["execution", "stream", "dataset", "search"])
@pytest.mark.parametrize("body", [b"[]", b"[{}]"])
def test_a_list_is_no_object(still_sandbox: Sandbox, client: Client, call: str, body: bytes) -> None:
    """Where one thing was asked for, a list makes no sense."""
    still_sandbox.order(faults.response(body), method=None, times=9)
    with pytest.raises(InvalidResponse, match="JSON of another shape"):
        CALLS[call](client)


@pytest.mark.parametrize("call", ["executions", "history", "stream_of"])
def test_an_object_is_no_list(still_sandbox: Sandbox, client: Client, call: str) -> None:
    """Where a list was asked for, an object makes no sense."""
    still_sandbox.order(faults.response(b"{}"), method=None, times=9)
    with pytest.raises(InvalidResponse, match="JSON of another shape"):
        CALLS[call](client)


@pytest.mark.parametrize("item", [b"[1]", b"[null]", b'["a"]', b"[[]]"])
def test_a_list_of_anything_else_is_no_list_of_runs(
    still_sandbox: Sandbox, client: Client, item: bytes
) -> None:
    """An entry that is no object makes no sense, and is no other error."""
    still_sandbox.order(faults.response(item), method=None, times=9)
    with pytest.raises(InvalidResponse):
        client.list_executions(25775, 50, 0)


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"[1]", b"[{}]", b'[{"executionId": null}]', b'[{"executionId": "x"}]', b"<html>"]
)
def test_a_newest_id_that_is_not_said_is_none(still_sandbox: Sandbox, client: Client, body: bytes) -> None:
    """The call is documented nowhere; whatever it gives, the list has the last word."""
    still_sandbox.order(faults.response(body), method="GET", times=9)
    assert client.latest_execution_id(25775) == 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 500, 503])
def test_a_newest_id_that_is_not_to_be_had_is_none(
    still_sandbox: Sandbox, client: Client, status: int
) -> None:
    """A Domo without the call, or that refuses it, is no error: the list itself will tell."""
    still_sandbox.order(faults.status(status), method="GET", times=9)
    assert client.latest_execution_id(25775) == 0
    assert len(still_sandbox.requests) <= 2


def test_a_newest_id_is_not_passed_over_while_domo_limits_its_rate(
    still_sandbox: Sandbox, client: Client
) -> None:
    """Told to retry later, the list is not asked for right behind."""
    still_sandbox.order(faults.status(429, retry_after=99), method="GET")
    with pytest.raises(RateLimited):
        client.latest_execution_id(25775)


WRONG_TYPES: list[object] = [None, True, 0, -1, 2**80, 1.5, 1e400, "", "x", "²", [], [[1]], {}, {"a": {}}]


@pytest.mark.parametrize("value", WRONG_TYPES, ids=repr)
def test_any_type_in_any_field_is_a_row(still_sandbox: Sandbox, client: Client, value: object) -> None:
    """No field's type is relied on: the run is there, with what converts."""
    sample = json.loads(capture("run-25775-created.json"))
    still_sandbox.order(faults.response(json.dumps(dict.fromkeys(sample, value)).encode()))
    run = client.create_execution(25775)
    assert run.stream_id == 25775
    row = frame([run])
    assert row.shape == (1, 35)
    assert row.dtypes.equals(frame([]).dtypes)


# A start


UNCERTAIN = {
    "reset": faults.reset(),
    "500": faults.status(500),
    "503": faults.status(503, retry_after=1),
    "599": faults.response(b"", code=599),
    "html": faults.html(),
    "cut": faults.cut(),
    "cut short of its length": faults.cut(broken=True),
    "list": faults.response(b"[]"),
    "null": faults.response(b"null"),
    "short of its length though whole": faults.response(
        [b'{"executionId": 7}'], headers={"Content-Length": "99"}
    ),
    "deep": faults.response(b"[" * 100_000),
    "no UTF-8": faults.response(b'{"a": "\xff"}'),
}


@pytest.mark.parametrize("fault", UNCERTAIN.values(), ids=UNCERTAIN.keys())
def test_an_uncertain_start_is_sent_once(still_sandbox: Sandbox, client: Client, fault: Fault) -> None:
    """What may have started a run is told as such, and not sent again."""
    still_sandbox.order(fault, times=9)
    with pytest.raises(Uncertain, match="stream 25775 may have started") as caught:
        client.create_execution(25775)
    assert isinstance(caught.value, TriggerOutcomeUnknown)
    assert "%domo_runs 25775" in caught.value.hint
    assert len(still_sandbox.requests) == 1


@pytest.mark.parametrize("body", [b"", b"  \r\n", b"{}", b'{"executionId": null}', b'{"executionId": "x"}'])
@pytest.mark.parametrize("code", [200, 204])
def test_a_success_without_an_id_is_a_start(
    still_sandbox: Sandbox, client: Client, code: int, body: bytes
) -> None:
    """Any 2xx that is empty or an object has started a run, whose id is not known."""
    still_sandbox.order(faults.response(body if code != 204 else b"", code=code))
    run = client.create_execution(25775)
    assert (run.stream_id, run.execution_id) == (25775, None)
    assert len(still_sandbox.requests) == 1


def test_an_interrupt_ends_the_rest_before_a_start(
    still_sandbox: Sandbox, client: Client, clock: JumpClock
) -> None:
    """A start that rests after a 429 is given up when told to stop."""
    stop = threading.Event()
    stop.set()
    still_sandbox.order(faults.status(429, retry_after=7), times=9)
    with pytest.raises(RateLimited):
        client.create_execution(25775, stop)
    assert (len(still_sandbox.requests), clock.waits) == (1, [])


def test_a_start_that_was_refused_is_sent_again(
    still_sandbox: Sandbox, client: Client, clock: JumpClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no connection was made, the same start goes out when there is one: one POST, one run."""
    from urllib3.util import connection as below

    connect, refusals = below.create_connection, [1, 2]

    def flaky(*args: Any, **options: Any) -> Any:
        if refusals:
            refusals.pop()
            raise ConnectionRefusedError
        return connect(*args, **options)

    monkeypatch.setattr(below, "create_connection", flaky)
    assert client.create_execution(25775).run == "25775/201"
    assert (len(still_sandbox.requests), len(clock.waits)) == (1, 2)


# Whose response it is


MIXED_UP: dict[str, tuple[Callable[[Client], object], object]] = {
    "another stream's execution": (CALLS["execution"], {"streamId": 1, "executionId": 2}),
    "another execution": (CALLS["execution"], {"streamId": 25775, "executionId": 99}),
    "no execution": (CALLS["execution"], {}),
    "another stream's list": (CALLS["executions"], [{"executionId": 1}, {"streamId": 1, "executionId": 2}]),
    "another stream's history": (CALLS["history"], [{"streamId": 1, "executionId": 2}]),
    "another stream": (CALLS["stream"], {"id": 1, "dataSource": {"id": ORDERS, "name": "other"}}),
    "another DataSet": (CALLS["dataset"], {"id": TARGETS, "streamId": 1}),
    "another DataSet's stream": (CALLS["stream_of"], [{"id": 1, "dataSource": {"id": TARGETS}}]),
}


@pytest.mark.parametrize("call, body", MIXED_UP.values(), ids=MIXED_UP.keys())
def test_a_response_to_another_request_is_none(
    still_sandbox: Sandbox,
    client: Client,
    clock: JumpClock,
    call: Callable[[Client], object],
    body: object,
) -> None:
    """It is asked for again like what else may pass, with pauses; at last it is an error, never believed."""
    mixed_up = faults.response(json.dumps(body).encode())
    still_sandbox.order(mixed_up, method="GET", times=2)
    right = call(client)
    assert (len(still_sandbox.requests), len(clock.waits)) == (3, 2)
    assert right == call(client)
    still_sandbox.order(mixed_up, method="GET", times=9)
    with pytest.raises(InvalidResponse, match="belongs to another request"):
        call(client)
    assert len(still_sandbox.requests) == 8


def test_another_stream_s_newest_id_is_none(still_sandbox: Sandbox, client: Client) -> None:
    """An id that is another stream's says nothing of this one's list."""
    still_sandbox.order(faults.response(b'[{"streamId": 1, "executionId": 9}]'), method="GET")
    assert client.latest_execution_id(25775) == 0


def test_what_names_itself_otherwise_is_still_the_same(still_sandbox: Sandbox, client: Client) -> None:
    """Identity is told by the ids, however they are written; what says none is believed."""
    body = b'{"streamId": "25775", "executionId": "2"}'
    still_sandbox.order(faults.response(body), method="GET")
    assert client.get_execution(25775, 2).run == "25775/2"
    still_sandbox.order(
        faults.response(json.dumps({"id": ORDERS.upper(), "streamId": 7}).encode()), method="GET"
    )
    assert client.get_dataset(ORDERS)["streamId"] == 7
    still_sandbox.order(faults.response(b'{"streamId": 7}'), method="GET")
    assert client.get_dataset(ORDERS)["streamId"] == 7


# Asking again


PASSING = {
    "500": faults.status(500),
    "502": faults.status(502),
    "503": faults.status(503),
    "504": faults.status(504),
    "429": faults.status(429),
    "reset": faults.reset(),
    "html": faults.html(),
    "cut": faults.cut(broken=True),
}


@pytest.mark.parametrize("fault, call", crossed(PASSING, QUESTIONS))
def test_a_question_is_repeated(
    still_sandbox: Sandbox, client: Client, clock: JumpClock, fault: str, call: str
) -> None:
    """Three bad responses are survived, with pauses that double, jitter included."""
    still_sandbox.order(PASSING[fault], method=None, times=3)
    QUESTIONS[call](client)
    assert len(still_sandbox.requests) == 4
    assert [0.25, 0.5, 1.0] <= clock.waits <= [0.5, 1.0, 2.0]
    assert all(least <= wait <= 2 * least for least, wait in zip((0.25, 0.5, 1.0), clock.waits, strict=True))


def test_pauses_are_never_the_same(still_sandbox: Sandbox, client: Client, clock: JumpClock) -> None:
    """Jitter keeps a thousand clients from coming back at the same moment."""
    still_sandbox.order(faults.status(500), method="GET", times=3)
    client.get_stream(25775)
    still_sandbox.order(faults.status(500), method="GET", times=3)
    client.get_stream(25775)
    assert len(set(clock.waits)) == 6


@pytest.mark.parametrize(
    "fault, kind, status",
    [
        (faults.status(500), ApiError, 500),
        (faults.status(429), RateLimited, 429),
        (faults.reset(), ConnectionFailed, None),
    ],
)
def test_a_question_is_given_up(
    still_sandbox: Sandbox, client: Client, fault: Fault, kind: type[DomoError], status: int | None
) -> None:
    """After four bad responses the last one is the error."""
    still_sandbox.order(fault, method="GET", times=9)
    with pytest.raises(kind) as caught:
        client.get_stream(25775)
    assert getattr(caught.value, "status", None) == status
    assert len(still_sandbox.requests) == 4


def test_an_abort_is_repeated(still_sandbox: Sandbox, client: Client) -> None:
    """Aborting twice aborts once, so a lost response is asked for again."""
    client.create_execution(25775)
    still_sandbox.order(faults.reset(), method="PUT", times=2)
    client.abort_execution(25775, 201)
    assert client.get_execution(25775, 201).state == "ABORTED"


def test_a_question_may_be_asked_once(still_sandbox: Sandbox, client: Client) -> None:
    """Whoever asks again anyway says so, and gets the first error."""
    still_sandbox.order(faults.status(500), method="GET", times=9)
    for ask in (
        lambda: client.get_execution(25775, 1, repeat=False),
        lambda: client.list_executions(25775, 1, 0, repeat=False),
    ):
        before = len(still_sandbox.requests)
        with pytest.raises(ApiError):
            ask()
        assert len(still_sandbox.requests) == before + 1


def test_a_question_ends_with_its_repeats_within_a_minute(
    still_sandbox: Sandbox, client: Client, clock: JumpClock
) -> None:
    """What is left of the minute is all that the last repeat may take."""
    given: list[float | None] = []
    send = client.transport.send

    def slow(*args: Any, within: float | None = None, **options: Any) -> Any:
        given.append(within)
        clock.now += 14
        return send(*args, within=5, **options)

    client.transport.send = slow  # type: ignore[method-assign]
    still_sandbox.order(faults.status(500), method="GET", times=9)
    began = clock.now
    with pytest.raises(ApiError):
        client.get_stream(25775)
    assert clock.now - began < 60
    assert given[0] == 60
    assert given[-1] is not None
    assert given[-1] < 60 - 14


# Retry-After


@pytest.mark.parametrize(
    "after, seconds",
    [
        ("7", 7),
        (" 7 ", 7),
        ("date", 7),
        ("date without a zone", 7),
        ("0", 0),
        ("-7", 0),
        ("soon", 0),
        ("7.5", 0),
        ("²", 0),
        ("Tue, 17 Dec 1996 17:56:56 GMT", 0),
    ],
)
def test_retry_after_is_obeyed(
    still_sandbox: Sandbox,
    client: Client,
    clock: JumpClock,
    monkeypatch: pytest.MonkeyPatch,
    after: str,
    seconds: float,
) -> None:
    """In seconds or as a date, whatever the machine's zone; what is neither counts as nothing."""
    monkeypatch.setenv("TZ", "America/Denver")
    time.tzset()
    try:
        if after.startswith("date"):
            written = formatdate(clock.now + 7, usegmt=True)
            after = written.removesuffix(" GMT") if "zone" in after else written
        headers = {"Retry-After": after.encode().decode("latin-1")}
        still_sandbox.order(
            faults.response(b"{}", code=503 if seconds else 429, headers=headers), method="GET"
        )
        client.get_stream(25775)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert len(clock.waits) == 1
    assert clock.waits[0] == seconds if seconds else 0.25 <= clock.waits[0] <= 0.5


def test_a_date_is_told_by_domo_s_clock(still_sandbox: Sandbox, client: Client, clock: JumpClock) -> None:
    """A Retry-After as a date is seven seconds after Domo's own Date, whatever ours says."""
    headers = {"Date": formatdate(clock.now + 5000, usegmt=True)}
    headers["Retry-After"] = formatdate(clock.now + 5007, usegmt=True)
    still_sandbox.order(faults.response(b"{}", code=429, headers=headers), method="GET")
    client.get_stream(25775)
    assert clock.waits == [7]


def test_retry_after_holds_for_the_whole_instance(
    still_sandbox: Sandbox, client: Client, clock: JumpClock
) -> None:
    """What one question was told, the next one keeps to."""
    still_sandbox.order(faults.status(429, retry_after=7), method="GET")
    with pytest.raises(RateLimited):
        client.get_execution(25775, 1, repeat=False)
    assert client.retry_after == 7
    client.get_stream(25776)
    assert (clock.waits, client.retry_after) == ([7], 0)


def test_a_rest_that_is_too_long_is_an_error_and_no_question(
    still_sandbox: Sandbox, client: Client, clock: JumpClock
) -> None:
    """Told to rest for an hour, nothing is waited for, and nothing is asked before the hour is over."""
    still_sandbox.order(faults.status(503, retry_after=3600), method="GET")
    with pytest.raises(ApiError):
        client.get_stream(25775)
    with pytest.raises(RateLimited, match="retry after 3600 s"):
        client.get_stream(25776)
    assert (len(still_sandbox.requests), clock.waits) == (1, [])
    clock.now += 3600
    client.get_stream(25776)


def test_rests_are_bounded_in_all(still_sandbox: Sandbox, client: Client, clock: JumpClock) -> None:
    """One question rests for 30 s at most."""
    still_sandbox.order(faults.status(429, retry_after=20), method="GET", times=9)
    with pytest.raises(RateLimited):
        client.get_stream(25775)
    assert clock.waits == [20]


def test_a_date_is_read_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """An HTTP date means the same in every zone, and nonsense means nothing."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        for zone in (" GMT", " UTC", " -0000", ""):
            assert http_time(f"Tue, 17 Dec 2024 17:56:56{zone}") == 1_734_458_216
        for nonsense in ("", "soon", "Tue, 99 Dec 2024 17:56:56 GMT", "7"):
            assert http_time(nonsense) is None
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


# The captures, over HTTP


def same(row: pd.Series[Any], field: str, value: object) -> bool:
    """Say whether a row holds what the JSON holds."""
    got = row[field]
    if value is None:
        return got is None or got is pd.NaT or got is pd.NA
    if field in TIMES:
        moment = microseconds(value)
        return moment is not None and bool(got == pd.Timestamp(moment, unit="us", tz="UTC"))
    if field == "indexRequestKey":
        return bool(got == repr(value))
    return type(got) in {type(value), np.int64, np.bool_} and bool(got == value)


def equal(run: Execution, body: bytes) -> None:
    """Hold that a run and its row are the JSON, field by field."""
    value = parse_json(body)
    assert isinstance(value, dict)
    assert run.fields == value
    row = frame([run]).iloc[0]
    assert [field for field in value if not same(row, field, value[field])] == []


def test_the_answer_to_a_start_comes_out_as_it_is(still_sandbox: Sandbox, client: Client) -> None:
    """Domo's 201, served over HTTP, is a run and a row equal to it field by field."""
    body = capture("run-25775-created.json")
    still_sandbox.order(faults.response(body, code=201))
    run = client.create_execution(25775)
    equal(run, body)
    assert run.text == body.decode()
    assert run.run == "25775/2"


def test_a_finished_run_comes_out_as_it_is(still_sandbox: Sandbox, client: Client) -> None:
    """A run that ended comes out field by field, its indexRequestKey digit for digit."""
    body = capture("execution-371-success.json")
    still_sandbox.order(faults.response(body), method="GET")
    run = client.get_execution(371, 32360)
    equal(run, body)
    assert frame([run])["indexRequestKey"].item() == "20220513224325.628"
    assert (run.duration, run.finished, run.succeeded) == (25.0, True, True)


def test_a_stream_s_history_comes_out_as_it_is(still_sandbox: Sandbox, client: Client) -> None:
    """The few fields of a stream's history come out as they are."""
    body = capture("history-aggregate-371.json")
    still_sandbox.order(faults.response(body), method="GET")
    for run, value in zip(client.execution_history(371), json.loads(body), strict=True):
        equal(run, json.dumps(value).encode())


def test_a_stream_comes_out_as_it_is(still_sandbox: Sandbox, client: Client) -> None:
    """A stream is given as it came, unknown keys and all."""
    body = capture("stream-371.json")
    still_sandbox.order(faults.response(body), method="GET")
    assert client.get_stream(371) == parse_json(body)

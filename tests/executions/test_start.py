"""Starting: one POST that may have arrived, a look before anything else, and nothing lost."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import faults
import pytest
from support import posts

from domo_magic.errors import (
    AlreadyRunning,
    ApiError,
    AuthenticationError,
    ConnectionFailed,
    NotFound,
    RateLimited,
    TriggerOutcomeUnknown,
)
from domo_magic.executions import reconcile
from domo_magic.executions.session import open_session
from domo_magic.executions.start import Unless, start_streams
from domo_magic.http.address import address
from domo_magic.http.credentials import Login, Token
from domo_magic.model.timeouts import Timeouts
from domo_magic.sandbox import Sandbox
from domo_magic.sandbox.simulation import COLLEAGUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults import Fault, Request
    from support import JumpClock

    from domo_magic.errors import DomoError
    from domo_magic.executions.session import Session
    from domo_magic.executions.start import IfRunning, Outcome
    from domo_magic.history.records import Intent

HOUR = 3600.0


@pytest.fixture
def timeouts(timeouts: Timeouts) -> Timeouts:
    """Give a deadline that a late response is meant to miss."""
    return replace(timeouts, connect=1.0, response=1.0)


def lists(sandbox: Sandbox) -> int:
    """Count how often a stream's list was asked for."""
    return sum("/executions?" in request.path for request in sandbox.requests)


def start(session: Session, stream_id: int, *, if_running: IfRunning = "start") -> Outcome:
    """Start one run."""
    return start_streams(session, [stream_id], unless=Unless(if_running))[0]


def open_intents(session: Session) -> int:
    """Count the starts whose fate is not known."""
    return len(session.history.open_intents(session.instance))


def meanwhile(sandbox: Sandbox, happens: Callable[[], object], fault: Fault | None) -> None:
    """Let something happen while the first POST is on its way, which then meets a fault."""
    left = [happens]

    def decide(request: Request) -> Fault | None:
        if request.method != "POST" or not left:
            return None
        left.pop()()
        return fault

    sandbox.decide = decide


def executions(*runs: dict[str, object]) -> Fault:
    """Response a list of executions."""
    return faults.response(json.dumps([{"runType": "MANUAL"} | run for run in runs]).encode())


def test_a_start_is_one_post_and_nothing_before_it(still_sandbox: Sandbox, still_session: Session) -> None:
    """With the default, the POST is the only request; its response is the run."""
    stream = still_sandbox.world.add_stream(5)
    outcome = start(still_session, stream)
    assert [(request.method, request.body) for request in still_sandbox.requests] == [
        ("POST", b'{"runType": "MANUAL"}')
    ]
    assert (outcome.execution.run, outcome.execution.state, outcome.error) == (f"{stream}/1", "ACTIVE", None)
    assert open_intents(still_session) == 0


LOST = {
    "reset": faults.reset(after=True),
    "500": faults.status(500, after=True),
    "502": faults.status(502, after=True),
    "503": faults.status(503, after=True, retry_after=1),
    "html": faults.html(after=True),
    "cut": faults.cut(),
    "cut short of its length": faults.cut(broken=True),
    "a list": faults.response(b"[1, 2]", after=True),
    "null": faults.response(b"null", after=True),
    "text": faults.response(b"started", after=True),
    "empty": faults.empty(),
    "empty 204": faults.empty(204),
    "an empty object": faults.response(b"{}", after=True),
    "an id of another kind": faults.response(b'{"executionId": [1]}', after=True),
}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST.keys())
def test_a_run_whose_answer_was_lost_is_taken_up(
    still_sandbox: Sandbox, still_session: Session, fault: Fault
) -> None:
    """Whatever spoils the response to a start that took effect: one POST, one run, and it is ours."""
    stream = still_sandbox.world.add_stream(5)
    still_sandbox.order(fault)
    outcome = start(still_session, stream)
    assert (posts(still_sandbox), still_sandbox.world.count(stream)) == (1, 1)
    assert (outcome.execution.run, outcome.error, outcome.warning) == (f"{stream}/1", None, "")
    assert outcome.execution.requested_at is not None
    assert open_intents(still_session) == 0


@pytest.mark.parametrize(
    "fault",
    [
        faults.delay(3, after=True),
        faults.drip(0.1),
        faults.drip(0.1, headers=True),
    ],
    ids=["late", "drip", "drip in the headers"],
)
def test_a_run_whose_answer_came_too_late_is_taken_up(
    sandbox: Sandbox, session: Session, fault: Fault
) -> None:
    """A response beyond its deadline is as good as lost, byte by byte or not at all."""
    stream = sandbox.world.add_stream(5)
    session.timeouts = replace(session.timeouts, look=5.0)
    sandbox.order(fault)
    outcome = start(session, stream)
    assert (posts(sandbox), sandbox.world.count(stream)) == (1, 1)
    assert (outcome.execution.run, outcome.error) == (f"{stream}/1", None)


NOTHING = {
    "reset": faults.reset(),
    "500": faults.status(500),
    "503": faults.status(503, retry_after=1),
    "html": faults.html(),
    "a list": faults.response(b"[]"),
}


@pytest.mark.parametrize("fault", NOTHING.values(), ids=NOTHING.keys())
def test_a_start_of_which_nothing_is_found_stays_open(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, fault: Fault
) -> None:
    """Where no run appears, it is looked for up to 20 s, never started again, and kept in mind."""
    stream = still_sandbox.world.add_stream(5)
    still_sandbox.order(fault)
    before, told = clock.now, list[tuple[int, str]]()
    (outcome,) = start_streams(still_session, [stream], uncertain=lambda *what: told.append(what))
    assert (posts(still_sandbox), still_sandbox.world.count(stream)) == (1, 0)
    assert isinstance(outcome.error, TriggerOutcomeUnknown)
    assert f"%domo_runs {stream}" in str(outcome.error)
    assert told == [(stream, outcome.error.summary)]
    assert outcome.execution.execution_id is None
    assert 15 <= clock.now - before <= 20
    assert lists(still_sandbox) >= 15
    assert open_intents(still_session) == 1


def test_the_status_and_words_of_an_uncertain_answer_are_told(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """What Domo said with a 5xx is in the message."""
    body = json.dumps({"status": 503, "message": "Maintenance until ten", "toe": "A-B-C"}).encode()
    still_sandbox.order(faults.response(body, code=503))
    error = start(still_session, still_sandbox.world.add_stream(5)).error
    assert error is not None
    assert "503 Service Unavailable: Maintenance until ten" in str(error)


@pytest.mark.parametrize(
    "fault, kind",
    [
        (faults.status(400), ApiError),
        (faults.status(401), AuthenticationError),
        (faults.status(403), AuthenticationError),
        (faults.status(404), NotFound),
        (faults.status(409), ApiError),
        (faults.html(code=403), AuthenticationError),
        (faults.redirect("https://login.example/"), ApiError),
    ],
    ids=["400", "401", "403", "404", "409", "html 403", "302"],
)
def test_a_refused_start_is_closed(
    still_sandbox: Sandbox, still_session: Session, fault: Fault, kind: type[DomoError]
) -> None:
    """A refusal is not looked into and leaves nothing open: nothing was started."""
    stream = still_sandbox.world.add_stream(5)
    still_sandbox.order(fault)
    outcome = start(still_session, stream)
    assert type(outcome.error) is kind
    assert len(still_sandbox.requests) == 1
    assert (still_sandbox.world.count(stream), open_intents(still_session)) == (0, 0)


def test_a_start_told_to_wait_is_sent_again_after_that(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """A 429 started nothing: the POST goes again after its Retry-After, and only one run comes of it."""
    stream = still_sandbox.world.add_stream(5)
    still_sandbox.order(faults.status(429, retry_after=7), times=2)
    outcome = start(still_session, stream)
    assert (outcome.error, clock.waits) == (None, [7, 7])
    assert (posts(still_sandbox), still_sandbox.world.count(stream)) == (3, 1)


@pytest.mark.parametrize("rest, sent", [(5, 4), (25, 3), (61, 1)])
def test_a_start_told_to_wait_gives_up(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, rest: float, sent: int
) -> None:
    """A start is repeated at most three times, and for 60 s in all."""
    stream = still_sandbox.world.add_stream(5)
    still_sandbox.order(faults.status(429, retry_after=rest), times=9)
    outcome = start(still_session, stream)
    assert isinstance(outcome.error, RateLimited)
    assert (posts(still_sandbox), still_sandbox.world.count(stream), open_intents(still_session)) == (
        sent,
        0,
        0,
    )
    assert sum(clock.waits) <= 60


def test_a_domo_that_cannot_be_reached_leaves_nothing_open(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """Where no connection was made nothing can have started, and the start is no mystery."""
    still_sandbox.close()
    outcome = start(still_session, 25775)
    assert type(outcome.error) is not TriggerOutcomeUnknown
    assert isinstance(outcome.error, ConnectionFailed)
    assert open_intents(still_session) == 0


def test_a_run_that_appears_later_is_settled(still_sandbox: Sandbox, still_session: Session) -> None:
    """An open start takes up its run when it is seen at last, once, with all that Domo tells of it."""
    stream = still_sandbox.world.add_stream(5)
    still_sandbox.order(faults.reset())
    start(still_session, stream)
    still_sandbox.world.start(stream)
    assert [run.run for run in reconcile.settle(still_session)] == [f"{stream}/1"]
    (kept,) = still_session.history.runs(still_session.instance)
    assert kept.fields == still_session.client.get_execution(stream, 1).fields
    assert (open_intents(still_session), reconcile.settle(still_session)) == (0, [])


def test_an_open_start_is_closed_when_its_time_is_over(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """Ten minutes on no run can be that start's any more; before that, it stays open."""
    stream = still_sandbox.world.add_stream(5)
    still_sandbox.order(faults.reset())
    start(still_session, stream)
    clock.now += 500
    assert (reconcile.settle(still_session), open_intents(still_session)) == ([], 1)
    clock.now += 200
    assert (reconcile.settle(still_session), open_intents(still_session)) == ([], 0)


def test_an_open_start_is_not_closed_while_a_run_may_be_its(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """A run outside the window may be its after all, if a clock was wrong; after a week it is closed."""
    stream = still_sandbox.world.add_stream(5)
    still_sandbox.order(faults.reset())
    start(still_session, stream)
    clock.now += 700
    still_sandbox.world.start(stream)
    assert (reconcile.settle(still_session), open_intents(still_session)) == ([], 1)
    clock.now += 7 * 24 * HOUR
    assert (reconcile.settle(still_session), open_intents(still_session)) == ([], 0)


def test_a_run_that_waited_in_a_queue_is_settled(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """A run made in the window is the start's, however much later it began."""
    stream = still_sandbox.world.add_stream(5)
    still_sandbox.order(faults.reset())
    start(still_session, stream)
    made = clock.now
    clock.now += 1500
    still_sandbox.order(
        executions({"executionId": 1, "createdAt": made, "startedAt": made + 700}),
        method="GET",
        path=r"/executions\?",
        times=99,
    )
    assert [run.run for run in reconcile.settle(still_session)] == [f"{stream}/1"]


def test_another_kernel_knows_whose_token_it_is(still_sandbox: Sandbox, still_session: Session) -> None:
    """The history tells, before the first response: another person's run is not taken up."""
    start(still_session, 25775)
    still_session.user = None  # as in a new kernel
    stream = still_sandbox.world.add_stream(500)
    meanwhile(still_sandbox, lambda: still_sandbox.world.start(stream, started_by=COLLEAGUE), faults.reset())
    assert isinstance(start(still_session, stream).error, TriggerOutcomeUnknown)
    assert open_intents(still_session) == 1


def test_a_clock_that_is_put_right_meanwhile_loses_no_run(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour off at the intent, right when the response is lost: the run is found, its time corrected."""
    wrong = [HOUR]
    monkeypatch.setattr(clock, "time", lambda: clock.now + wrong[0])
    monkeypatch.setattr(clock, "monotonic", lambda: clock.now)
    stream = still_sandbox.world.add_stream(500)
    meanwhile(still_sandbox, lambda: wrong.__setitem__(0, 0.0), faults.reset(after=True))
    outcome = start(still_session, stream)
    assert outcome.execution.run == f"{stream}/1"
    assert outcome.execution.requested_at == pytest.approx(clock.now * 1000, abs=30_000)


@pytest.mark.parametrize("answered", [True, False], ids=["its run", "nothing"])
def test_adopt_gives_way_to_a_start_recorded_just_before(
    still_sandbox: Sandbox, still_session: Session, monkeypatch: pytest.MonkeyPatch, *, answered: bool
) -> None:
    """Of two kernels that saw a stream at rest one starts it; the other has its run, or starts after all."""
    stream, history = still_sandbox.world.add_stream(500), still_session.history
    intend, wait = history.intend, still_session.clock.wait
    others: list[Intent] = []

    def elsewhere_first(*asked: Any) -> list[Intent]:
        if not others:
            others.extend(intend(*asked))
        return intend(*asked)

    def meanwhile_answered(event: threading.Event, seconds: float) -> bool:
        if others and answered and not still_sandbox.world.count(stream):
            history.started(still_session.instance, others[0], still_session.client.create_execution(stream))
        return wait(event, seconds)

    monkeypatch.setattr(history, "intend", elsewhere_first)
    monkeypatch.setattr(still_session.clock, "wait", meanwhile_answered)
    outcome = start(still_session, stream, if_running="adopt")
    assert (outcome.execution.run, outcome.adopted) == (f"{stream}/1", answered)
    assert (posts(still_sandbox), still_sandbox.world.count(stream)) == (1, 1)


@pytest.mark.parametrize("rest, starts", [(20, 1), (90, 0)])
def test_a_start_leaves_domo_its_rest(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, rest: int, starts: int
) -> None:
    """What a question was told by Retry-After holds for a start too: it waits, a minute at most."""
    still_sandbox.order(faults.status(429, retry_after=rest), method="GET")
    with pytest.raises(RateLimited):
        still_session.client.execution_history(25775, repeat=False)
    before = clock.now
    error = start(still_session, 25775).error
    assert (posts(still_sandbox), open_intents(still_session)) == (starts, 0)
    assert (error is None) is (starts == 1)
    assert error is None or isinstance(error, RateLimited)
    assert clock.now - before == (rest if starts else 0)


def test_an_open_start_stays_open_while_domo_does_not_say(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """Without a response nothing is closed, however late it is."""
    stream = still_sandbox.world.add_stream(5)
    still_sandbox.order(faults.reset())
    start(still_session, stream)
    clock.now += 10_000
    still_sandbox.order(faults.status(500), method="GET", times=99)
    assert (reconcile.settle(still_session), open_intents(still_session)) == ([], 1)


def test_of_several_candidates_none_is_chosen(still_sandbox: Sandbox, still_session: Session) -> None:
    """Where two runs could be it, both are named and neither is taken."""
    stream = still_sandbox.world.add_stream(5)

    def two() -> None:
        still_sandbox.world.start(stream)
        still_sandbox.world.start(stream)

    meanwhile(still_sandbox, two, faults.reset())
    outcome = start(still_session, stream)
    assert isinstance(outcome.error, TriggerOutcomeUnknown)
    assert f"one of {stream}/2, {stream}/1" in str(outcome.error)
    assert outcome.execution.execution_id is None
    assert open_intents(still_session) == 1
    assert posts(still_sandbox) == 1


def test_a_run_that_another_start_has_claimed_is_no_candidate(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """What another kernel's start has in the history is that start's; the one beside it is ours."""
    stream, history = still_sandbox.world.add_stream(5), still_session.history

    def elsewhere() -> None:
        (other,) = history.intend(still_session.instance, [stream], None)
        history.started(still_session.instance, other, still_session.client.create_execution(stream))

    meanwhile(still_sandbox, elsewhere, faults.reset(after=True))
    outcome = start(still_session, stream)
    assert (outcome.execution.run, outcome.error) == (f"{stream}/2", None)
    assert still_sandbox.world.count(stream) == 2
    still_sandbox.requests.clear()
    meanwhile(still_sandbox, elsewhere, faults.reset())
    assert isinstance(start(still_session, stream).error, TriggerOutcomeUnknown)
    assert still_sandbox.world.count(stream) == 3


def test_two_lost_starts_of_one_stream_get_a_run_each(still_sandbox: Sandbox, still_session: Session) -> None:
    """A second lost start does not take the run that the first has taken up."""
    stream = still_sandbox.world.add_stream(500)
    still_sandbox.order(faults.reset(after=True), times=2)
    assert [start(still_session, stream).execution.run for _ in range(2)] == [f"{stream}/1", f"{stream}/2"]
    assert still_sandbox.world.count(stream) == 2


def test_an_answer_takes_its_run_back(still_sandbox: Sandbox, still_session: Session) -> None:
    """Whoever adopted a run that another start's response names was wrong, and is open again."""
    stream, history, here = still_sandbox.world.add_stream(500), still_session.history, still_session.instance
    first, second = history.intend(here, [stream, stream], None)
    run = still_session.client.create_execution(stream)
    assert history.adopt(here, first, run)
    history.started(here, second, run)
    assert [intent.id for intent in history.open_intents(here)] == [first.id]
    assert history.claimed(here, first) == {1}


def test_a_start_settled_by_another_kernel_meanwhile_has_its_run(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """Where another kernel settled this very start while it was looked into, both agree on the run."""
    stream = still_sandbox.world.add_stream(500)
    (intent,) = still_session.history.intend(still_session.instance, [stream], None)
    still_sandbox.world.start(stream)
    assert [run.run for run in reconcile.settle(still_session)] == [f"{stream}/1"]
    found, several = reconcile.look(still_session, intent, threading.Event())
    assert (found and found.run, several) == (f"{stream}/1", [])


def test_what_the_schedule_started_is_no_candidate(still_sandbox: Sandbox, still_session: Session) -> None:
    """Our starts are MANUAL; a scheduled run at the same moment is another's."""
    stream = still_sandbox.world.add_stream(500)
    meanwhile(
        still_sandbox,
        lambda: still_sandbox.world.start(stream, run_type="AUTOMATED", started_by=None),
        faults.reset(),
    )
    assert isinstance(start(still_session, stream).error, TriggerOutcomeUnknown)


@pytest.mark.parametrize("number", [False, True], ids=["text", "number"])
def test_what_another_person_started_is_no_candidate(
    still_sandbox: Sandbox, still_session: Session, *, number: bool
) -> None:
    """Once a response has told whose token this is, other people's runs are ruled out."""
    if number:
        still_sandbox.order(faults.response(b'{"executionId": 201, "startedBy": 1129696109}', after=True))
    start(still_session, 25775)
    assert still_session.user == "1129696109"
    stream = still_sandbox.world.add_stream(500)
    meanwhile(
        still_sandbox,
        lambda: still_sandbox.world.start(stream, started_by=COLLEAGUE),
        faults.reset(after=True),
    )
    outcome = start(still_session, stream)
    assert (outcome.execution.run, outcome.error) == (f"{stream}/2", None)


def test_runs_that_were_known_before_are_no_candidates(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """A run that the history knew at the intent is not what the intent started."""
    stream = still_sandbox.world.add_stream(500)
    still_session.history.saw(still_session.instance, [still_session.client.create_execution(stream)])
    still_sandbox.order(faults.reset())
    assert isinstance(start(still_session, stream).error, TriggerOutcomeUnknown)


@pytest.mark.parametrize("ago, fits", [(1.0, True), (10.0, False), (HOUR, False)])
def test_runs_that_began_before_the_request_are_no_candidates(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, ago: float, *, fits: bool
) -> None:
    """Two seconds and the cut of a time to its second are allowed for, more is not."""
    stream = still_sandbox.world.add_stream(5 * HOUR)
    still_sandbox.world.start(stream)
    clock.now += ago
    still_sandbox.order(faults.reset())
    outcome = start(still_session, stream)
    assert (outcome.execution.execution_id == 1) is fits


@pytest.mark.parametrize("ahead", [-3 * HOUR, -5.3, -0.6, 0.6, 5.3, 3 * HOUR])
def test_a_clock_that_is_wrong_is_seen_through(clock: JumpClock, ahead: float) -> None:
    """The server's Date tells how far the clocks are apart: the right run is found, an older one not."""
    with Sandbox(clock=lambda: clock.now + ahead) as sandbox:
        login = Login(address(sandbox.url), Token(sandbox.token), "the test")
        session = open_session(login, clock=clock, sandbox=True)
        stream = sandbox.world.add_stream(5 * HOUR)
        sandbox.world.start(stream)
        clock.now += 60.4
        sandbox.order(faults.reset(after=True))
        assert start(session, stream).execution.run == f"{stream}/2"
        assert session.client.skew == pytest.approx(ahead, abs=1.01)
        session.client.close()


@pytest.mark.parametrize(
    "times, fits",
    [
        ({"startedAt": None, "createdAt": 0}, True),
        ({"startedAt": None, "createdAt": -HOUR}, False),
        ({"startedAt": 0, "createdAt": None}, True),
        ({"startedAt": 599}, True),
        ({"startedAt": 700}, False),
        ({}, True),
    ],
)
def test_a_run_without_a_start_is_told_by_what_it_has(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, times: dict[str, float], *, fits: bool
) -> None:
    """An empty startedAt falls back on createdAt, then on an id above the highest known."""
    stream = still_sandbox.world.add_stream(5)
    start(still_session, stream)
    shown = {name: value if value is None else clock.now + value for name, value in times.items()}
    still_sandbox.order(
        executions({"executionId": 2, "currentState": "PENDING", **shown}),
        method="GET",
        path=r"/executions\?",
        times=99,
    )
    still_sandbox.order(faults.reset())
    assert (start(still_session, stream).execution.execution_id == 2) is fits


def test_a_run_without_any_time_is_not_taken_where_nothing_was_known(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """Without times and without a known id there is nothing to tell a run by."""
    stream = still_sandbox.world.add_stream(5)
    still_sandbox.order(executions({"executionId": 2}), method="GET", path=r"/executions\?", times=99)
    still_sandbox.order(faults.reset())
    assert isinstance(start(still_session, stream).error, TriggerOutcomeUnknown)


def test_a_queued_run_is_taken_up(still_sandbox: Sandbox, still_session: Session) -> None:
    """A run that Domo has queued has no start yet, and is ours all the same."""
    still_sandbox.order(faults.reset(after=True))
    outcome = start(still_session, 25780)
    assert (outcome.execution.run, outcome.execution.state) == ("25780/201", "QUEUED")


@pytest.mark.parametrize("step", [1, -1], ids=["oldest first", "newest first"])
def test_a_run_among_many_is_found_whatever_the_order_of_the_list(
    still_sandbox: Sandbox, still_session: Session, step: int
) -> None:
    """Without a newest id, and a hundred at a time at most: every page is read, and the run found."""
    stream = still_sandbox.world.add_stream(500, past=700)

    def pages(request: Request) -> Fault | None:
        if "/executions?" not in request.path:
            return None
        query = dict(part.split("=") for part in request.path.partition("?")[2].split("&"))
        offset, limit = int(query["offset"]), min(int(query["limit"]), 100)
        whole = still_sandbox.world.executions(stream, 10_000)[::step]
        return faults.response(json.dumps(whole[offset : offset + limit]).encode())

    still_sandbox.decide = pages
    still_sandbox.order(faults.status(404), method="GET", path="/state/", times=99)
    still_sandbox.order(faults.reset(after=True))
    assert start(still_session, stream).execution.run == f"{stream}/701"


def test_a_newest_id_that_lags_hides_nothing(still_sandbox: Sandbox, still_session: Session) -> None:
    """A run that the newest id does not count yet is found in the list."""
    stream = still_sandbox.world.add_stream(500, past=300)
    still_sandbox.order(
        faults.response(json.dumps([{"streamId": stream, "executionId": 300}]).encode()),
        method="GET",
        path="/state/",
        times=99,
    )
    still_sandbox.order(faults.reset(after=True))
    assert start(still_session, stream).execution.run == f"{stream}/301"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_looking_ends_where_the_list_is_refused(
    still_sandbox: Sandbox, still_session: Session, status: int
) -> None:
    """A refused list will not get better: it is asked for once."""
    stream = still_sandbox.world.add_stream(5)
    still_sandbox.order(faults.status(status), method="GET", path=r"/executions\?", times=99)
    still_sandbox.order(faults.reset(after=True))
    assert isinstance(start(still_session, stream).error, TriggerOutcomeUnknown)
    assert (lists(still_sandbox), open_intents(still_session)) == (1, 1)


@pytest.mark.parametrize(
    "fault",
    [faults.status(500), faults.status(429), faults.html(), faults.reset(), faults.cut()],
    ids=["500", "429", "html", "reset", "cut"],
)
def test_looking_survives_the_weather(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, fault: Fault
) -> None:
    """What goes wrong while looking is looked past, within the same 20 s."""
    stream = still_sandbox.world.add_stream(500)
    still_sandbox.order(fault, method="GET", times=5)
    still_sandbox.order(faults.reset(after=True))
    before = clock.now
    assert start(still_session, stream).execution.run == f"{stream}/1"
    assert clock.now - before <= 20


def test_looking_rests_when_told_to(still_sandbox: Sandbox, still_session: Session, clock: JumpClock) -> None:
    """A Retry-After is obeyed while looking, and looking ends when it reaches beyond the 20 s."""
    stream = still_sandbox.world.add_stream(5)
    still_sandbox.order(faults.status(429, retry_after=8), method="GET", times=99)
    still_sandbox.order(faults.reset())
    start(still_session, stream)
    assert clock.waits == [8, 8]
    assert len(still_sandbox.requests) == 1 + 3


def test_looking_is_over_in_time_though_domo_hangs(sandbox: Sandbox, session: Session) -> None:
    """A list that never responses is not waited for beyond the time there is for looking."""
    session.timeouts = replace(session.timeouts, look=0.2)
    session.client.transport._timeouts = replace(session.timeouts, response=30.0)
    sandbox.order(faults.delay(20), method="GET", times=99)
    sandbox.order(faults.status(500))
    before = time.monotonic()
    assert isinstance(start(session, 25775).error, TriggerOutcomeUnknown)
    assert time.monotonic() - before < 5


def test_a_start_without_an_id_of_which_nothing_is_found_is_a_warning(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """Domo says that it started, but not what: a row without an id, a warning, and an open intent."""
    stream = still_sandbox.world.add_stream(5)
    still_sandbox.order(faults.response(b"{}"))
    outcome = start(still_session, stream)
    assert (outcome.error, outcome.execution.execution_id) == (None, None)
    assert f"%domo_runs {stream}" in outcome.warning
    assert (posts(still_sandbox), open_intents(still_session)) == (1, 1)


# if_running


def test_adopt_takes_up_the_newest_unfinished_run(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """With adopt, a stream that is running gets no second run."""
    stream = still_sandbox.world.add_stream(500)
    for _ in range(2):
        still_sandbox.world.start(stream)
        clock.now += 10
    outcome = start(still_session, stream, if_running="adopt")
    assert (outcome.execution.run, outcome.adopted, outcome.error) == (f"{stream}/2", True, None)
    assert (posts(still_sandbox), still_sandbox.world.count(stream)) == (0, 2)


@pytest.mark.parametrize("if_running", ["adopt", "error"])
def test_a_stream_at_rest_is_started(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, if_running: IfRunning
) -> None:
    """Where every run has ended, adopt and error start one."""
    stream = still_sandbox.world.add_stream(5)
    still_sandbox.world.start(stream)
    clock.now += 60
    outcome = start(still_session, stream, if_running=if_running)
    assert (outcome.execution.run, outcome.adopted, outcome.error) == (f"{stream}/2", False, None)
    assert posts(still_sandbox) == 1


def test_error_refuses_where_a_run_is_unfinished(still_sandbox: Sandbox, still_session: Session) -> None:
    """With error, a stream that is running is named with what can be done, and nothing is sent."""
    stream = still_sandbox.world.add_stream(500)
    still_sandbox.world.start(stream)
    outcome = start(still_session, stream, if_running="error")
    assert isinstance(outcome.error, AlreadyRunning)
    assert f"%domo_wait {stream}/1" in str(outcome.error)
    assert f"%domo_cancel {stream}/1" in str(outcome.error)
    assert posts(still_sandbox) == 0


@pytest.mark.parametrize(
    "usual, age, stuck",
    [
        (60.0, 0.9 * HOUR, False),
        (60.0, 1.1 * HOUR, True),
        (0.5 * HOUR, 1.4 * HOUR, False),
        (0.5 * HOUR, 1.6 * HOUR, True),
        (10 * HOUR, 23.9 * HOUR, False),
        (10 * HOUR, 24.1 * HOUR, True),
    ],
)
def test_a_run_that_looks_stuck_is_not_adopted(
    clock: JumpClock,
    still_sandbox: Sandbox,
    still_session: Session,
    usual: float,
    age: float,
    *,
    stuck: bool,
) -> None:
    """Over 24 h, or over 1 h and three times the longest of the last 20: named as stuck, not taken up."""
    stream = still_sandbox.world.add_stream(usual, past=40)
    other = still_sandbox.world.add_stream(500 * HOUR)
    longest = executions(
        *(
            {"executionId": n, "currentState": "SUCCESS", "startedAt": 0, "endedAt": usual}
            for n in range(1, 41)
        ),
        {"executionId": 41, "currentState": "ACTIVE", "startedAt": clock.now - age},
    )
    still_sandbox.order(longest, method="GET", path=rf"/{stream}/executions\?", times=9)
    outcome = start(still_session, stream, if_running="adopt")
    assert isinstance(outcome.error, AlreadyRunning) is stuck
    assert outcome.adopted is not stuck
    if stuck:
        assert f"%domo_cancel {stream}/41" in str(outcome.error)
    assert posts(still_sandbox) == 0
    assert start(still_session, other, if_running="adopt").error is None


def test_every_run_that_looks_stuck_is_named(
    clock: JumpClock, still_sandbox: Sandbox, still_session: Session
) -> None:
    """Whoever cancels the newest alone would be refused for the next: all of them are named, and how."""
    stream = still_sandbox.world.add_stream(500 * HOUR)
    for _ in range(2):
        still_sandbox.world.start(stream)
        clock.now += 30 * HOUR
    outcome = start(still_session, stream, if_running="adopt")
    assert f"run {stream}/2 looks stuck: ACTIVE for 1 d 6 h, as well as {stream}/1" in str(outcome.error)
    assert f"to cancel them: %domo_cancel {stream} --all" in str(outcome.error)


@pytest.mark.parametrize("if_running", ["adopt", "error"])
def test_nothing_is_started_where_domo_does_not_say_what_runs(
    still_sandbox: Sandbox, still_session: Session, if_running: IfRunning
) -> None:
    """Without the list there is no telling, so there is no POST."""
    still_sandbox.order(faults.status(500), method="GET", times=99)
    outcome = start(still_session, 25775, if_running=if_running)
    assert isinstance(outcome.error, ApiError)
    assert posts(still_sandbox) == 0


def test_adopt_takes_up_what_a_lost_start_began(still_sandbox: Sandbox, still_session: Session) -> None:
    """A start that was lost by a kernel that died is adopted, with its label kept in the history."""
    stream = still_sandbox.world.add_stream(500)
    still_session.history.intend(still_session.instance, [stream], "nightly")
    still_sandbox.world.start(stream)
    outcome = start(still_session, stream, if_running="adopt")
    assert (outcome.execution.run, posts(still_sandbox)) == (f"{stream}/1", 0)
    assert open_intents(still_session) == 0


# Several


def test_several_streams_come_back_in_order(still_sandbox: Sandbox, still_session: Session) -> None:
    """One POST each, at the same time; outcomes in the order given, failures among them."""
    streams = [still_sandbox.world.add_stream(500) for _ in range(30)]
    streams.insert(7, 999_999)
    still_sandbox.order(faults.reset(after=True), path=f"/{streams[3]}/")
    arrived: list[Outcome] = []
    threads: set[threading.Thread] = set()

    def arrive(outcome: Outcome) -> None:
        arrived.append(outcome)
        threads.add(threading.current_thread())

    outcomes = start_streams(still_session, streams, arrived=arrive, label="all")
    assert [outcome.execution.stream_id for outcome in outcomes] == streams
    assert [outcome.execution.execution_id for outcome in outcomes] == [1] * 7 + [None] + [1] * 23
    assert isinstance(outcomes[7].error, NotFound)
    assert {outcome.execution.label for outcome in outcomes} == {"all"}
    assert sorted(map(id, arrived)) == sorted(map(id, outcomes))
    assert threads == {threading.current_thread()}
    assert posts(still_sandbox) == 31


def test_max_parallel_is_kept_to(still_sandbox: Sandbox, still_session: Session) -> None:
    """With max_parallel=2 no third start is under way, and two are."""
    under_way, most, both = set[str](), list[int](), threading.Barrier(2)

    def decide(request: Request) -> None:
        under_way.add(request.path)
        most.append(len(under_way))
        both.wait(10)
        under_way.discard(request.path)

    still_sandbox.decide = decide
    streams = [still_sandbox.world.add_stream(500) for _ in range(6)]
    start_streams(still_session, streams, max_parallel=2)
    assert max(most) == 2


def test_an_interrupt_keeps_back_what_has_not_left(still_sandbox: Sandbox, still_session: Session) -> None:
    """What was not sent yet when the user interrupts is not sent, and is no mystery later."""
    streams = [still_sandbox.world.add_stream(500) for _ in range(20)]

    def interrupt(_outcome: Outcome) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_streams(still_session, streams, max_parallel=1, arrived=interrupt)
    started = [stream for stream in streams if still_sandbox.world.count(stream)]
    assert 1 <= len(started) <= 2
    assert {intent.stream_id for intent in still_session.history.open_intents("sandbox")} <= set(started)


def test_an_interrupt_ends_what_rests(sandbox: Sandbox, session: Session) -> None:
    """A start that was told to wait is not sent again after the user interrupts, and is closed."""
    resting, other = (sandbox.world.add_stream(500) for _ in range(2))
    session.timeouts = session.client._timeouts = Timeouts()
    left = threading.Event()

    def decide(request: Request) -> Fault | None:
        if f"/{resting}/" not in request.path:
            left.set()
            return None
        left.wait(20)  # else the other one would have to rest, too
        return faults.status(429, retry_after=3)

    sandbox.decide = decide

    def interrupt(_outcome: Outcome) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_streams(session, [resting, other], arrived=interrupt)
    ticking = threading.Event()
    assert any(open_intents(session) == 0 or ticking.wait(0.01) for _ in range(1000))
    assert sandbox.world.count(resting) == 0
    assert posts(sandbox) <= 2


def test_an_intent_is_on_the_disk_before_its_request_leaves(
    still_sandbox: Sandbox, clock: JumpClock, tmp_path: object
) -> None:
    """When the POST arrives, another kernel already reads all the intents; when it is answered, its run."""
    login = Login(address(still_sandbox.url), Token(still_sandbox.token), "the test")
    session = open_session(login, clock=clock)
    streams = [still_sandbox.world.add_stream(500) for _ in range(3)]
    (file,) = [session.history.database._path]
    seen, told = list[object](), list[object]()

    def stored(what: str) -> list[tuple[object, ...]]:
        other = sqlite3.connect(str(file))
        try:
            return other.execute(f"SELECT {what} FROM run ORDER BY stream_id").fetchall()  # noqa: S608
        finally:
            other.close()

    def decide(_request: Request) -> None:
        if not seen:
            seen.extend(stored("stream_id, outcome"))

    still_sandbox.decide = decide
    start_streams(session, streams, arrived=lambda _: told.append(stored("outcome")), max_parallel=1)
    assert seen == [(stream, "open") for stream in streams]
    assert told[0][0] == ("started",)  # type: ignore[index]
    assert stored("execution_id, state") == [(1, "ACTIVE")] * 3
    session.client.close()
    session.history.close()


def test_a_bug_of_ours_reaches_the_person(still_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody expected is no hang and no loss: the start counts as uncertain and stays open."""
    monkeypatch.setattr(still_session.client, "create_execution", lambda *_: 1 / 0)
    outcome = start(still_session, 25775)
    assert isinstance(outcome.error, TriggerOutcomeUnknown)
    assert "ZeroDivisionError" in str(outcome.error)
    assert open_intents(still_session) == 1

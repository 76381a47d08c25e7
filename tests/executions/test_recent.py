"""Runs that Domo's list does not show yet, or no more: none is lost, and none is started a second time."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import faults
import pandas as pd
import pytest
from support import posts

import domo_magic
from domo_magic.errors import AlreadyRunning, TargetError
from domo_magic.executions import start
from domo_magic.executions.start import Unless, start_streams

if TYPE_CHECKING:
    from faults import Fault, Request
    from support import JumpClock

    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox


@pytest.fixture
def lagging(still_sandbox: Sandbox) -> int:
    """Give a stream whose list and newest id stay as they were before the next start."""
    stream = still_sandbox.world.add_stream(500, past=5)
    past = json.dumps(still_sandbox.world.executions(stream, 10)).encode()

    def decide(request: Request) -> Fault | None:
        if request.method == "GET" and f"/{stream}/executions?" in request.path:
            return faults.response(past)
        if request.path.endswith(f"/state/{stream}"):
            return faults.response(b'[{"executionId": 5}]')
        return None

    still_sandbox.decide = decide
    return stream


def test_a_run_that_is_not_listed_yet_is_not_started_again(
    still_sandbox: Sandbox, still_session: Session, lagging: int
) -> None:
    """Adopting takes up the run that was started here, refusing refuses, and both send nothing."""
    assert domo_magic.run(lagging)["executionId"].tolist() == [6]
    assert domo_magic.run(lagging, if_running="adopt")["executionId"].tolist() == [6]
    with pytest.raises(AlreadyRunning, match=f"{lagging}/6"):
        domo_magic.run(lagging, if_running="error")
    assert posts(still_sandbox) == 1


def test_a_run_that_is_not_listed_yet_is_listed_and_cancelled(
    still_session: Session, lagging: int, inline: None
) -> None:
    """It is the stream's newest run for listing and for cancelling."""
    domo_magic.run(lagging, label="mine")
    listed = domo_magic.runs(lagging)
    assert listed["executionId"].tolist() == [6, 5, 4, 3, 2, 1]
    assert listed["label"].tolist()[0] == "mine"
    assert domo_magic.cancel(lagging)["currentState"].tolist() == ["ABORTED"]


def test_a_run_that_ended_before_it_was_listed_is_there(
    still_session: Session, lagging: int, clock: JumpClock, inline: None
) -> None:
    """Its end, once it is known, does not make it vanish from what is listed, compared and waited for."""
    domo_magic.run(lagging, wait=True, label="night")
    assert domo_magic.runs(lagging)["executionId"].tolist()[:2] == [6, 5]
    assert domo_magic.runs(lagging, label="night")["executionId"].tolist() == [6]
    assert domo_magic.wait(lagging)["executionId"].tolist() == [6]
    assert domo_magic.compare(lagging, limit=2)["executionId"].tolist() == [6, 5]
    clock.now += 700
    assert domo_magic.runs(lagging)["executionId"].tolist()[:1] == [5]


def test_a_run_that_a_list_leaves_out_is_not_started_again(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """An unfinished run of ours counts although newer ones are listed, and is listed with them."""
    stream = still_sandbox.world.add_stream(500, past=5)
    domo_magic.run(stream)
    listed = [*still_sandbox.world.executions(stream, 5), {"executionId": 7, "currentState": "SUCCESS"}]
    still_sandbox.order(
        faults.response(json.dumps(listed).encode()), method="GET", path=r"/executions\?", times=99
    )
    still_sandbox.order(faults.response(b'[{"executionId": 7}]'), method="GET", path="/state/", times=99)
    assert set(domo_magic.runs(stream)["executionId"]) == {7, 6, 5, 4, 3, 2, 1}
    assert domo_magic.run(stream, if_running="adopt")["executionId"].tolist() == [6]
    assert posts(still_sandbox) == 1


@pytest.mark.parametrize("ago", [5, 40, 100])
def test_adopting_waits_for_a_start_that_may_still_be_under_way(
    still_sandbox: Sandbox, still_session: Session, monkeypatch: pytest.MonkeyPatch, ago: int
) -> None:
    """A kernel that was killed with its request on the way: the run that comes of it is taken up."""
    stream, history = still_sandbox.world.add_stream(9_000), still_session.history
    history.intend(still_session.instance, [stream], None)
    still_session.clock.now += ago  # type: ignore[attr-defined]
    wait, left = still_session.clock.wait, [lambda: still_sandbox.world.start(stream)]

    def meanwhile(event: threading.Event, seconds: float) -> bool:
        if left:
            left.pop()()
        return wait(event, seconds)

    monkeypatch.setattr(still_session.clock, "wait", meanwhile)
    (outcome,) = start_streams(still_session, [stream], unless=Unless("adopt"))
    assert (outcome.adopted, outcome.execution.run, posts(still_sandbox)) == (True, f"{stream}/1", 0)


@pytest.mark.parametrize("run", [500, 496, 30, 28, 200])
def test_a_run_is_compared_with_what_was_before_it_in_any_order(
    still_sandbox: Sandbox, still_session: Session, run: int
) -> None:
    """A list that begins with the newest gives the same baseline as one that begins with the oldest."""
    stream = still_sandbox.world.add_stream(500, past=1000 if run > 100 else 60)
    past = still_sandbox.world.executions(stream, 10_000)
    past = [one | {"rowsInserted": one["executionId"]} for one in past]

    def decide(request: Request) -> Fault | None:
        if "/executions?" not in request.path:
            return None
        query = dict(part.split("=") for part in request.path.partition("?")[2].split("&"))
        offset, limit = int(query["offset"]), int(query["limit"])
        return faults.response(json.dumps(past[::-1][offset : offset + limit]).encode())

    still_sandbox.decide = decide
    compared = domo_magic.compare(f"{stream}/{run}")
    good = [
        one["executionId"] for one in past if one["currentState"] == "SUCCESS" and one["executionId"] < run
    ]
    middle = sorted(good)[-20:]
    assert compared["rowsInsertedBaseline"].tolist() == [(middle[9] + middle[10]) / 2]


def test_a_stream_means_its_newest_run_listed_or_not(
    still_session: Session, lagging: int, inline: None
) -> None:
    """Waiting for the stream waits for the run that was started here, not for the one before."""
    domo_magic.run(lagging)
    assert domo_magic.wait(lagging)["executionId"].tolist() == [6]


def test_what_a_domo_made_anew_does_not_have_is_not_there(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, lagging: int
) -> None:
    """A run that Domo does not know, and that was not just started, stands in nobody's way."""
    domo_magic.run(lagging)
    still_sandbox.order(faults.status(404), method="GET", path=r"/executions/6$", times=99)
    assert domo_magic.run(lagging, if_running="adopt")["executionId"].tolist() == [6]
    clock.now += 700
    assert domo_magic.run(lagging, if_running="adopt")["executionId"].tolist() == [7]


def test_a_listing_records_the_ends_of_what_was_started_here(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """What a list showed as ended is so without Domo, too, and is not waited for any more."""
    stream = still_sandbox.world.add_stream(20)
    domo_magic.run(stream)
    clock.now += 60
    assert domo_magic.runs(stream)["currentState"].tolist() == ["SUCCESS"]
    assert domo_magic.runs(stream, refresh=False)["currentState"].tolist() == ["SUCCESS"]
    assert domo_magic.wait().empty


def test_waiting_for_what_was_started_here_asks_at_once(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, inline: None
) -> None:
    """A run that ended meanwhile is not waited for by what was known of it then."""
    stream = still_sandbox.world.add_stream(20)
    domo_magic.run(stream)
    clock.now += 60
    before = clock.now
    assert domo_magic.wait()["currentState"].tolist() == ["SUCCESS"]
    assert clock.now - before < 1


@pytest.mark.parametrize("lasts, state", [(0.3, "SUCCESS"), (50.0, None)])
def test_a_timeout_is_no_guess(
    still_sandbox: Sandbox, still_session: Session, inline: None, lasts: float, state: str | None
) -> None:
    """Before a run is said not to have ended in time, Domo is asked once more."""
    stream = still_sandbox.world.add_stream(lasts)
    if state is None:
        with pytest.raises(domo_magic.RunTimeout):
            domo_magic.run(stream, wait=True, timeout=2)
    else:
        assert domo_magic.run(stream, wait=True, timeout=2)["currentState"].tolist() == [state]
    assert any(request.path.endswith("/executions/1") for request in still_sandbox.requests)


def test_an_abort_that_changes_nothing_is_not_followed_for_ever(
    still_sandbox: Sandbox, still_session: Session, inline: None
) -> None:
    """A run that stays ACTIVE although Domo took the order is a timeout, with its row."""
    stream = still_sandbox.world.add_stream(9_000)
    domo_magic.run(stream)
    still_sandbox.order(faults.response(b"{}"), method="PUT")
    with pytest.raises(domo_magic.RunTimeout, match="ACTIVE") as caught:
        domo_magic.cancel(stream)
    assert caught.value.rows["currentState"].tolist() == ["ACTIVE"]


def test_two_kernels_that_waited_beside_a_dead_one_start_once(
    still_sandbox: Sandbox, still_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed kernel's start that was never sent holds nobody up for ever; of two that wait one starts."""
    stream, history = still_sandbox.world.add_stream(9_000), still_session.history
    history.intend(still_session.instance, [stream], None)  # of a kernel that was killed then
    present, looks = start._present, iter(range(9))

    def beside(*asked: Any) -> Any:
        found = present(*asked)
        if next(looks) == 1:
            # Both have waited for the dead one, and see nothing running; the other is the first to go on.
            (other,) = history.intend(still_session.instance, [stream], None)
            threading.Timer(
                0.05,
                lambda: history.started(
                    still_session.instance, other, still_session.client.create_execution(stream)
                ),
            ).start()
        return found

    monkeypatch.setattr(start, "_present", beside)
    monkeypatch.setattr(
        still_session.clock, "wait", lambda event, seconds: _passes(still_session.clock, event, seconds)
    )
    (outcome,) = start_streams(still_session, [stream], unless=Unless("adopt"))
    assert (outcome.adopted, outcome.execution.run) == (True, f"{stream}/1")
    assert posts(still_sandbox) == 1


@pytest.mark.parametrize("unless", [{"fresh": "1h"}, {"if_running": "adopt"}])
def test_a_start_from_the_future_holds_nobody_up(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, unless: dict[str, Any]
) -> None:
    """A killed kernel's start, of a clock that was a day ahead, is waited for as long as a start can take."""
    stream = still_sandbox.world.add_stream(9_000)
    clock.now += 86_400
    still_session.history.intend(still_session.instance, [stream], None)
    clock.now -= 86_400
    assert domo_magic.run(stream, **unless)["executionId"].tolist() == [1]
    assert sum(clock.waits) < 120
    assert posts(still_sandbox) == 1


def _passes(clock: Any, event: threading.Event, seconds: float) -> bool:
    """Let time pass, and a moment of real time."""
    time.sleep(0.01)
    clock.now += seconds
    return event.is_set()


def test_a_frame_acts_on_its_own_instance_only(still_sandbox: Sandbox, still_session: Session) -> None:
    """Rows of one Domo start, wait for and cancel nothing at another."""
    rows = domo_magic.run(25775).assign(instance=pd.array(["other.example"], dtype=pd.StringDtype()))
    still_sandbox.requests.clear()
    for act in (domo_magic.run, domo_magic.wait, domo_magic.cancel):
        with pytest.raises(TargetError, match=r"row of other\.example, but connected is sandbox"):
            act(rows)
    assert still_sandbox.requests == []


def test_a_time_beyond_all_calendars_loses_no_run(still_sandbox: Sandbox, still_session: Session) -> None:
    """A startedAt that no float of microseconds holds is empty, and the run is known."""
    still_sandbox.order(
        faults.response(b'{"executionId": 5, "startedAt": 1e306, "endedAt": "1e308"}', code=201)
    )
    row = domo_magic.run(25775).iloc[0]
    assert row["executionId"] == 5
    assert pd.isna(row["startedAt"])
    assert domo_magic.runs(refresh=False)["executionId"].tolist() == [5]

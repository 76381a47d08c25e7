"""Waiting: which error is raised and what it says, what is waited for, and what an interrupt leaves."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import faults
import numpy as np
import pytest
from support import posts

import domo_magic as domo_magic_package
from domo_magic.errors import (
    AuthenticationError,
    DomoWarning,
    NotFound,
    RateLimited,
    RunFailed,
    RunInterrupted,
    RunTimeout,
    TargetError,
    TriggerOutcomeUnknown,
)
from domo_magic.executions import outcome
from domo_magic.executions.outcome import interruptible
from domo_magic.model.execution import Execution
from domo_magic.sandbox.simulation import Habit

if TYPE_CHECKING:
    from faults import Request
    from support import JumpClock

    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("inline")
domo_api: Any = domo_magic_package
BROKEN = Habit(seconds=20, endings=(("ERROR", 1.0),), failure="login refused")


def test_rows_come_in_the_order_given_and_final(still_sandbox: Sandbox, still_session: Session) -> None:
    """Whichever run ends first, rows stand where their streams stood, each in its final state."""
    streams = [still_sandbox.world.add_stream(seconds) for seconds in (90, 10, 40)]
    rows = domo_api.run(streams, wait=True)
    assert rows.streamId.tolist() == streams
    assert rows.currentState.tolist() == ["SUCCESS"] * 3
    assert rows.duration.dt.total_seconds().tolist() == pytest.approx([90, 10, 40], abs=1)


def test_a_mistyped_run_leaves_no_trace(still_sandbox: Sandbox, still_session: Session) -> None:
    """A run that Domo has never shown is not among those recorded here."""
    with pytest.raises(NotFound):
        domo_api.wait("25775/9999")
    assert still_session.history.runs(still_session.instance) == []


def test_the_first_failure_in_order_names_all_that_failed(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """Every run is followed to its end before one error is raised, which has all the rows."""
    world = still_sandbox.world
    streams = [world.add_stream(30), world.add_stream(habit=BROKEN), 999_999, world.add_stream(habit=BROKEN)]
    with pytest.raises(RunFailed) as caught:
        domo_api.run(streams, wait=True)
    error = caught.value
    assert f"run {streams[1]}/1 (DataSet {streams[1]}) ended in ERROR: login refused" in str(error)
    assert f"3 of 4 failed, also 999999 (NotFound), {streams[3]}/1 (RunFailed)" in str(error)
    assert error.rows.streamId.tolist() == streams
    assert error.rows.currentState.fillna("").tolist() == ["SUCCESS", "ERROR", "", "ERROR"]
    assert error.rows.executionId.isna().tolist() == [False, False, True, False]


def test_a_failed_run_names_its_page_in_domo(still_sandbox: Sandbox, still_session: Session) -> None:
    """The page of the DataSet is in the message, asked for when it is not known."""
    stream = still_sandbox.world.add_stream(habit=BROKEN, dataset_id="0dd2c9a3-6d0e-4a1e-8f5f-4ad1ffbca1c5")
    with pytest.raises(RunFailed, match="0dd2c9a3-6d0e-4a1e-8f5f-4ad1ffbca1c5/details"):
        domo_api.run(stream, wait=True)


def test_failures_can_be_returned_but_a_timeout_raises(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """``on_failure="return"`` is about how a run ended, never about one that did not, or was not started."""
    broken, long = still_sandbox.world.add_stream(habit=BROKEN), still_sandbox.world.add_stream(5000)
    assert domo_api.run(broken, wait=True, on_failure="return").currentState.tolist() == ["ERROR"]
    with pytest.raises(
        RunTimeout, match=rf"timed out after 1 min 30 s waiting for {long}/1 \(ACTIVE\).*\n.*%domo_wait"
    ):
        domo_api.run([broken, long], wait=True, on_failure="return", timeout="90s")
    with pytest.raises(NotFound):
        domo_api.run(999_999, wait=True, on_failure="return")


def test_a_timeout_limits_waiting_not_the_run(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """After a timeout the run goes on, and waiting again brings its end without another start."""
    stream, began = still_sandbox.world.add_stream(600), clock.now
    with pytest.raises(RunTimeout) as caught:
        domo_api.run(stream, wait=True, timeout="5m")
    assert clock.now - began == pytest.approx(300, abs=0.01)
    rows = domo_api.wait(caught.value.rows)
    assert rows.currentState.tolist() == ["SUCCESS"]
    assert posts(still_sandbox) == 1


def test_what_was_not_found_at_once_is_found_by_waiting(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """A start whose response was lost, and that could not be looked into, is what ``wait()`` waits for."""
    stream = still_sandbox.world.add_stream(120)
    still_sandbox.order(faults.reset(after=True))
    still_sandbox.order(faults.status(500), method="GET", times=200)
    with pytest.raises(TriggerOutcomeUnknown):
        domo_api.run(stream, wait=True)
    still_sandbox.orders._orders.clear()
    rows = domo_api.wait()
    assert list(zip(rows.streamId, rows.executionId, rows.currentState, strict=True)) == [
        (stream, 1, "SUCCESS")
    ]
    assert posts(still_sandbox) == 1


def test_waiting_for_nothing_named_leaves_out_what_is_old(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Unfinished runs started here over 24 h ago are named and not waited for; others' runs do not matter."""
    caplog.set_level("INFO", "domo_magic")
    stuck, fresh = still_sandbox.world.add_stream(10**7), still_sandbox.world.add_stream(50)
    domo_api.run(stuck)
    clock.now += 90_000
    still_sandbox.world.start(still_sandbox.world.add_stream(10**7))
    domo_api.run(fresh)
    rows = domo_api.wait()
    assert rows.streamId.tolist() == [fresh]
    assert f"started over 24 h ago and not waited for: %domo_wait {stuck}/1" in caplog.text
    assert domo_api.wait().shape == (0, 35)


def test_a_stream_means_its_newest_run_at_once_if_that_has_ended(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """No time passes for a run that has ended; a stream named with its run is waited for once."""
    stream, began = still_sandbox.world.add_stream(30, past=4), clock.now
    rows = domo_api.wait([stream, f"{stream}/2"])
    assert rows.executionId.tolist() == [4, 2]
    assert clock.now == began


def _interrupt_while_waiting() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(5)


def test_an_interrupt_names_both_commands_and_puts_the_handler_back() -> None:
    """It is a `KeyboardInterrupt` with the unfinished runs' names, whatever handled SIGINT before."""
    runs = [Execution(1, 2), Execution(3, 4, {"currentState": "SUCCESS"}), Execution(5, 6)]
    let_go = []

    def own(*_: object) -> None:
        raise AssertionError("this handler is not asked while waiting")

    before = signal.signal(signal.SIGINT, own)
    try:
        with (
            pytest.raises(RunInterrupted) as caught,
            interruptible(lambda: runs, lambda: let_go.append(1), outcome.left_running),
        ):
            _interrupt_while_waiting()
        assert signal.getsignal(signal.SIGINT) is own
        with pytest.raises(ZeroDivisionError), interruptible():
            raise ZeroDivisionError
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)
    assert "to wait again: %domo_wait 1/2 5/6; to cancel: %domo_cancel 1/2 5/6" in str(caught.value)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert not isinstance(caught.value, Exception)
    assert caught.value.rows.executionId.tolist() == [2, 4, 6]
    assert let_go == [1]


def test_an_interrupt_at_the_last_moment_ends_the_lines_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it comes while the handler is put back, what moves is ended, and the handler is put back."""
    let_go, put_back, handler = [], signal.signal, signal.getsignal(signal.SIGINT)

    def late(number: int, given: Any) -> Any:
        monkeypatch.undo()
        os.kill(os.getpid(), signal.SIGINT)
        return put_back(number, given)  # raises what is pending, and sets nothing

    with (
        pytest.raises(RunInterrupted),
        interruptible(lambda: [Execution(1, 2)], lambda: let_go.append(1), outcome.left_running),
    ):
        monkeypatch.setattr(signal, "signal", late)
    assert (let_go, signal.getsignal(signal.SIGINT)) == ([1], handler)


def test_an_interrupt_says_what_it_left() -> None:
    """What only reads leaves nothing; aborts that have reached Domo go on."""
    with (
        pytest.raises(RunInterrupted, match="interrupted; nothing was started or aborted") as caught,
        interruptible(),
    ):
        raise KeyboardInterrupt
    assert "%domo_wait" not in str(caught.value)
    ended = Execution(3, 4, {"currentState": "ABORTED"})
    left = outcome.left_aborting([Execution(1, 2), ended])
    assert str(left) == (
        "interrupted; aborts that have reached Domo go on\n"
        "to follow: %domo_wait 1/2; to see the runs: %domo_runs 1 3"
    )
    assert outcome.left_aborting([ended]).hint == "to see the runs: %domo_runs 3"
    assert str(outcome.left_aborting([])).startswith("interrupted; nothing was started or aborted")


def test_an_interrupt_names_what_was_started_what_may_have_and_what_was_not() -> None:
    """A stream alone is never named for waiting or cancelling: its newest run may be another's."""
    idle = [Execution(4), Execution(5, requested_at=1)]
    left = outcome.left_running([Execution(1, 2), Execution(3, requested_at=1), *idle], idle)
    assert str(left) == (
        "interrupted; runs already started continue in Domo\n"
        "to wait again: %domo_wait 1/2; to cancel: %domo_cancel 1/2; "
        "may have started, to look: %domo_runs 3; not started: 4 5"
    )
    assert str(outcome.left_running([Execution(4)], [Execution(4)])).startswith(
        "interrupted; nothing was started"
    )


def test_an_interrupted_wait_speaks_of_no_start(sandbox: Sandbox, session: Session) -> None:
    """Of a stream whose newest run could not be had, nothing was started, nor was that wanted."""
    stream = sandbox.world.add_stream(500)
    sandbox.world.start(stream)

    def decide(request: Request) -> None:
        if request.path.endswith(f"{stream}/executions/1"):
            os.kill(os.getpid(), signal.SIGINT)

    sandbox.decide = decide
    with pytest.raises(RunInterrupted) as caught:
        domo_api.wait([f"{stream}/1", 999_999])
    assert caught.value.hint == f"to wait again: %domo_wait {stream}/1; to cancel: %domo_cancel {stream}/1"


def test_a_stream_named_twice_through_its_dataset_starts_nothing(session: Session) -> None:
    """Where runs are meant, nothing is said of starting, however the stream was named."""
    found = domo_api.streams("Sales Orders")
    twice = [found["dataSetId"][0], int(found["streamId"][0])]
    with pytest.raises(TargetError, match="is listed twice; nothing was done"):
        domo_api.wait(twice)
    with pytest.raises(TargetError, match="is listed twice; nothing was started"):
        domo_api.run(twice)


def test_an_interrupted_start_tells_what_was_requested(sandbox: Sandbox, session: Session) -> None:
    """Of the runs of others, and of streams that were not requested yet, nothing is named as started here."""
    streams = [sandbox.world.add_stream(500) for _ in range(4)]
    sandbox.world.start(streams[3])  # by somebody else

    def decide(request: Request) -> None:
        if request.method == "POST" and f"/{streams[1]}/" in request.path:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(0.3)

    sandbox.decide = decide
    with pytest.raises(RunInterrupted) as caught:
        domo_api.run(streams, max_parallel=1)
    assert caught.value.hint == (
        f"to wait again: %domo_wait {streams[0]}/1; to cancel: %domo_cancel {streams[0]}/1; "
        f"may have started, to look: %domo_runs {streams[1]}; not started: {streams[2]} {streams[3]}"
    )
    assert caught.value.rows["streamId"].tolist() == streams
    assert caught.value.rows["requestedAt"].isna().tolist() == [False, False, True, True]


def test_an_interrupt_of_very_many_is_short() -> None:
    """Of a thousand runs twenty are named; ``.rows`` has all."""
    error = outcome.left_running([Execution(stream, 1) for stream in range(1, 1001)])
    assert "(and 980 more: .rows has all)" in str(error)
    assert len(str(error)) < 1000


def test_an_interrupt_before_anything_is_known_says_where_to_look() -> None:
    """Where no run is known yet, no command without a target is named."""
    assert "what was started here: %domo_runs" in str(outcome.left_running([]))


def test_other_threads_leave_signals_alone(still_sandbox: Sandbox, still_session: Session) -> None:
    """Waiting on another thread works, and no handler is changed there."""
    found: list[Any] = []
    stream, before = still_sandbox.world.add_stream(20), signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=lambda: found.append(domo_api.run(stream, wait=True)))
    thread.start()
    thread.join(30)
    assert found[0].currentState.tolist() == ["SUCCESS"]
    assert signal.getsignal(signal.SIGINT) is before


def test_what_a_server_says_moves_no_cursor(still_sandbox: Sandbox, still_session: Session) -> None:
    """Control characters, halves of characters and very long words reach no message."""
    state = "\\u001b]0;PWNED\\u0007\\u001b[2J\\nFAKE\\ud83d" + "x" * 10_000
    run = f'{{"executionId": 1, "currentState": "{state}", "startedAt": 1, "endedAt": 2}}'.encode()
    still_sandbox.order(faults.response(run), method=None, path="/executions", times=9)
    with pytest.raises(RunFailed) as caught:
        domo_api.run(25775, wait=True)
    text = str(caught.value)
    assert len(text) < 500
    assert text.count("\n") == 1
    assert all(letter.isprintable() for letter in text.replace("\n", ""))


def test_half_a_character_in_an_error_leaves_a_frame_that_can_be_sent(
    still_sandbox: Sandbox, still_session: Session
) -> None:
    """An object column spells out what UTF-8 cannot hold."""
    run = rb'{"executionId": 1, "errors": [{"message": "cut \ud83d"}], "endedAt": 5, "odd": "\ud83d"}'
    still_sandbox.order(faults.response(run))
    row = domo_api.run(25775).iloc[0]
    assert row["errors"] == [{"message": "cut \\ud83d"}]
    assert row["odd"] == "\\ud83d"


def test_a_second_run_of_a_running_stream_says_so(
    still_sandbox: Sandbox, still_session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    """The line of the second start names the first one, until that was seen to end."""
    caplog.set_level("INFO", "domo_magic")
    stream = still_sandbox.world.add_stream(100)
    for _ in range(2):
        domo_api.run(stream)
    domo_api.wait()
    domo_api.run(stream)
    started = [
        line
        for line in caplog.messages
        if line.endswith(tuple(f"%domo_wait {stream}/{n}" for n in (1, 2, 3)))
    ]
    beside = f" · beside {stream}/1, which was not seen to end · "
    assert [beside in line for line in started] == [False, True, False]


def test_a_domo_that_wants_a_day_of_rest_ends_the_wait(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """A Retry-After beyond the patience for errors is said at once; the run goes on."""
    stream = still_sandbox.world.add_stream(500)
    domo_api.run(stream)
    still_sandbox.order(faults.status(429, retry_after=86_400), method="GET", path="/executions/1")
    before = clock.now
    with pytest.raises(RateLimited) as caught:
        domo_api.wait(f"{stream}/1")
    assert clock.now - before < 60
    assert caught.value.rows["executionId"].tolist() == [1]


def test_a_run_that_was_never_there_has_no_line(
    still_sandbox: Sandbox, still_session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistyped run is an error, not a line as well."""
    caplog.set_level("INFO", "domo_magic")
    with pytest.raises(NotFound):
        domo_api.wait("25775/9999")
    assert caplog.text == ""


def test_what_is_only_nice_to_know_is_not_waited_for_long(
    still_sandbox: Sandbox, still_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a run has ended, its past and its page are asked for with a short deadline."""
    deadlines: list[float | None] = []
    send = still_session.client._send

    def noted(method: str, path: str, body: object = None, deadline: float | None = None) -> Any:
        if "fields=all" in path:
            deadlines.append(None if deadline is None else deadline - still_session.clock.monotonic())
        return send(method, path, body, deadline)

    monkeypatch.setattr(still_session.client, "_send", noted)
    with pytest.raises(RunFailed):
        domo_api.run(still_sandbox.world.add_stream(habit=BROKEN), wait=True)
    assert deadlines == [pytest.approx(still_session.timeouts.aside)]


def test_adopting_says_that_none_was_started(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The line of a run that is taken up is told from the line of a start."""
    caplog.set_level("INFO", "domo_magic")
    stream = still_sandbox.world.add_stream(500)
    domo_api.run(stream)
    clock.now += 42
    caplog.clear()
    domo_api.run(stream, if_running="adopt")
    assert f"{stream}/1 has been running for 42 s: adopted; no new run was started" in caplog.text


def test_several_unfinished_runs_are_in_the_rows(still_sandbox: Sandbox, still_session: Session) -> None:
    """What a refused cancelling lists in words it has as a frame, too."""
    stream = still_sandbox.world.add_stream(500)
    for _ in range(2):
        domo_api.run(stream)
    with pytest.raises(TargetError) as caught:
        domo_api.cancel(stream)
    assert caught.value.rows["executionId"].tolist() == [2, 1]
    still_sandbox.order(faults.status(403), method="PUT")
    with pytest.raises(AuthenticationError) as refused:
        domo_api.cancel(f"{stream}/1")
    assert refused.value.rows["currentState"].tolist() == ["ACTIVE"]


def test_a_verdict_that_cannot_be_had_is_warned_of(still_sandbox: Sandbox, still_session: Session) -> None:
    """Who wants an error for what is not usual learns that nobody knows; the run has succeeded."""
    still_sandbox.order(faults.status(403), method="GET", path="/history/", times=99)
    stream = still_sandbox.world.add_stream(10, past=30)
    with pytest.warns(DomoWarning, match=f"whether {stream}/31 was usual is not known"):
        rows = domo_api.run(stream, wait=True, on_unusual="raise", max_parallel=np.int64(2))
    assert rows["currentState"].tolist() == ["SUCCESS"]

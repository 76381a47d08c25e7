"""Following in the background: one thread for all, which ends by itself and keeps nothing alive."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from domo_magic import orders
from domo_magic.errors import TargetError
from domo_magic.executions.background import background
from domo_magic.model.execution import Execution
from domo_magic.sandbox import faults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domo_magic.display.output import Line
    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox

LONG = 20.0
"""Seconds after which a test that hangs fails."""


class Screen:
    """Keeps what it is shown."""

    moves = True

    def __init__(self) -> None:
        self.shown: list[list[str]] = []
        self.over = threading.Event()

    def say(self, line: Line) -> None:
        """Keep a line that stays."""
        self.shown.append([line[1]])

    def show(self, lines: Sequence[Line], *, last: bool = False) -> None:
        """Keep what moves."""
        self.shown.append([text for _, text in lines])
        if last:
            self.over.set()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Give the screen on which `run_in_background` shows its lines."""
    one = Screen()
    monkeypatch.setattr(orders, "background_screen", lambda: one)
    return one


def workers() -> list[threading.Thread]:
    """Return the background threads that live."""
    return [thread for thread in threading.enumerate() if thread.name == "domo_magic background"]


def gone() -> bool:
    """Wait until no background thread is left."""
    for thread in workers():
        thread.join(LONG)
    return not workers()


def started(session: Session, sandbox: Sandbox, seconds: float) -> Execution:
    """Start a run elsewhere, as Domo shows it."""
    stream_id = sandbox.world.add_stream(seconds)
    return session.known(Execution.from_json(sandbox.world.start(stream_id), stream_id))


def test_it_returns_at_once_and_the_line_follows_to_the_end(
    sandbox: Sandbox, session: Session, screen: Screen
) -> None:
    """The rows are those of the responses; the last line says how each run ended, also in the history."""
    streams = [sandbox.world.add_stream(seconds) for seconds in (0.5, 1.0)]
    rows = orders.run_in_background(streams, orders.Order(label="nightly"))
    assert rows.currentState.tolist() == ["ACTIVE", "ACTIVE"]
    assert not screen.over.is_set()
    assert screen.over.wait(LONG)
    *lines, total = screen.shown[-1]
    assert sorted(line.split(" · ")[0] for line in lines) == [f"{stream}/1 SUCCESS" for stream in streams]
    assert total == "2 of 2 ended: 2 SUCCESS"
    states = {run.stream_id: (run.state, run.label) for run in session.history.runs(session.instance)}
    assert states == dict.fromkeys(streams, ("SUCCESS", "nightly"))
    assert gone()


def test_everything_shares_one_thread_that_ends_and_begins_again(sandbox: Sandbox, session: Session) -> None:
    """However many onlookers there are, one daemon thread follows; it ends with the last run."""
    seen: list[tuple[int, str | None]] = []
    both = background(session)
    for _ in range(2):
        runs = [started(session, sandbox, 0.3) for _ in range(3)]
        for number, run in enumerate([*runs, *runs]):
            both.watch(run, lambda look, number=number: seen.append((number, look.state)))  # type: ignore[misc]
        (thread,) = workers()
        assert thread.daemon
        assert gone()
        assert {number for number, state in seen if state == "SUCCESS"} == set(range(6))
        seen.clear()
    assert background(session) is both


def test_a_tick_is_called_until_it_is_over(sandbox: Sandbox, session: Session) -> None:
    """An onlooker of time is called while runs are followed, and no more once it says so."""
    ticks: list[int] = []
    behind = background(session)
    run = started(session, sandbox, 0.5)
    behind.watch(run, lambda _: None, tick=lambda: ticks.append(1) or len(ticks) < 2)
    assert gone()
    assert len(ticks) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_onlookers_bug_is_not_the_others_end(
    sandbox: Sandbox, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an onlooker raises is shown as a thread's error, and everyone else sees the end."""
    shown: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_type))
    seen: list[str | None] = []
    behind, run = background(session), started(session, sandbox, 0.1)

    def broken(*_: object) -> bool:
        raise ZeroDivisionError

    behind.watch(run, broken, tick=broken)
    behind.watch(run, lambda look: seen.append(look.state))
    assert gone()
    assert seen[-1] == "SUCCESS"
    assert set(shown) == {ZeroDivisionError}
    behind.watch(started(session, sandbox, 0.1), lambda look: seen.append(look.state))
    assert gone()
    assert seen[-1] == "SUCCESS"


def test_what_somebody_else_saw_is_known_here(sandbox: Sandbox, session: Session) -> None:
    """A run that a wait saw end has ended for its onlookers too; what nobody watches is not told."""
    behind, seen = background(session), list[Execution]()
    run = started(session, sandbox, 600.0)
    behind.watch(run, seen.append)
    end = {**run.fields, "currentState": "SUCCESS", "endedAt": 1_734_458_300}
    behind.tell(run.seen(Execution.from_json(end)))
    assert gone()
    assert seen[-1].state == "SUCCESS"
    behind.tell(run)
    assert not workers()
    assert seen[-1].state == "SUCCESS"


def test_what_nobody_watches_any_more_is_not_followed(sandbox: Sandbox, session: Session) -> None:
    """The last onlooker who leaves ends the thread, not the run; another one's run is followed to its end."""
    behind = background(session)
    slow, quick = (started(session, sandbox, seconds) for seconds in (600.0, 0.3))
    first: list[Execution] = []
    second: list[Execution] = []
    for run in (slow, quick):
        behind.watch(run, first.append)
    behind.watch(quick, second.append)
    behind.leave(first.append)
    assert gone()
    assert {run.run for run in second} == {quick.run}
    assert second[-1].state == "SUCCESS"
    assert sandbox.world.execution(slow.stream_id, 1)["currentState"] == "ACTIVE"
    behind.watch(slow, second.append)
    sandbox.world.abort(slow.stream_id, 1)
    assert gone()
    assert second[-1].run == slow.run
    assert second[-1].finished


def test_one_of_a_streams_runs_can_be_left(sandbox: Sandbox, session: Session) -> None:
    """The other run of the stream is followed on, and nothing more is told of the one that was left."""
    behind = background(session)
    one = started(session, sandbox, 600.0)
    other = session.known(Execution.from_json(sandbox.world.start(one.stream_id), one.stream_id))
    left: list[Execution] = []
    kept: list[Execution] = []
    behind.watch(one, left.append)
    behind.leave(left.append)
    behind.watch(other, kept.append)
    for run in (one, other):
        sandbox.world.abort(run.stream_id, run.execution_id or 0)
    assert gone()
    assert not [run for run in left if run.finished]
    assert {run.run for run in kept} == {other.run}
    assert kept[-1].finished


def test_bad_weather_does_not_end_it(sandbox: Sandbox, session: Session, screen: Screen) -> None:
    """Errors while asking delay the line and do not stop it."""
    sandbox.order(faults.reset(), method="GET", path="/executions/", times=2)
    sandbox.order(faults.html(), method="GET", path="/executions/", times=2)
    orders.run_in_background(sandbox.world.add_stream(0.1), orders.Order())
    assert screen.over.wait(LONG)
    assert "SUCCESS" in screen.shown[-1][0]


def test_a_bad_target_starts_neither_run_nor_thread(
    sandbox: Sandbox, session: Session, screen: Screen
) -> None:
    """One bad target, and nothing is sent."""
    with pytest.raises(TargetError):
        orders.run_in_background([25775, "x y"], orders.Order())
    assert not sandbox.requests
    assert not workers()


def test_it_keeps_no_interpreter_alive(sandbox: Sandbox) -> None:
    """A script that follows a long run in the background ends when it has nothing more to do."""
    sandbox.world.add_stream(3600.0, stream_id=902)
    script = (
        "import sys, domo_magic as domo\n"
        "from domo_magic import orders\n"
        "domo.connect(sys.argv[1], sys.argv[2])\n"
        "orders.run_in_background(902, orders.Order())\n"
        "print('done', flush=True)\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script, sandbox.url, sandbox.token],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    assert time.monotonic() - began < LONG

"""``--bg``: the magic returns at once, and the line keeps itself up to date."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import faults
import pytest

from domo_magic import api
from domo_magic.errors import TargetError
from domo_magic.executions.poller import NAME
from domo_magic.executions.start import Unless

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
    """Give the screen on which the lines are shown."""
    one = Screen()
    monkeypatch.setattr(api, "background_screen", lambda: one)
    return one


def gone() -> bool:
    """Wait until no poller's thread is left."""
    threads = [thread for thread in threading.enumerate() if thread.name == NAME]
    for thread in threads:
        thread.join(LONG)
    return not any(thread.is_alive() for thread in threads)


def test_it_returns_at_once_and_the_line_follows_to_the_end(
    sandbox: Sandbox, session: Session, screen: Screen
) -> None:
    """The rows are those of the responses; the last line says how each run ended, also in the history."""
    streams = [sandbox.world.add_stream(seconds) for seconds in (0.5, 1.0)]
    rows = api.run_unless(streams, Unless(), background=True, label="nightly")
    assert rows.currentState.tolist() == ["ACTIVE", "ACTIVE"]
    assert not screen.over.is_set()
    assert screen.over.wait(LONG)
    *lines, total = screen.shown[-1]
    assert sorted(line.split(" · ")[0] for line in lines) == [f"{stream}/1 SUCCESS" for stream in streams]
    assert total == "2 of 2 ended: 2 SUCCESS"
    states = {run.stream_id: (run.state, run.label) for run in session.history.runs(session.instance)}
    assert states == dict.fromkeys(streams, ("SUCCESS", "nightly"))
    assert gone()


def test_bad_weather_does_not_end_it(sandbox: Sandbox, session: Session, screen: Screen) -> None:
    """Errors while asking delay the line and do not stop it."""
    sandbox.order(faults.reset(), method="GET", path="/executions/", times=2)
    sandbox.order(faults.html(), method="GET", path="/executions/", times=2)
    api.run_unless(sandbox.world.add_stream(0.1), Unless(), background=True)
    assert screen.over.wait(LONG)
    assert "SUCCESS" in screen.shown[-1][0]


def test_a_bad_target_starts_neither_run_nor_thread(
    sandbox: Sandbox, session: Session, screen: Screen
) -> None:
    """One bad target, and nothing is sent."""
    with pytest.raises(TargetError):
        api.run_unless([25775, "x y"], Unless(), background=True)
    assert not sandbox.requests
    assert gone()


def test_it_keeps_no_interpreter_alive(sandbox: Sandbox) -> None:
    """A script that follows a long run in the background ends when it has nothing more to do."""
    sandbox.world.add_stream(3600.0, stream_id=902)
    script = (
        "import sys, domo_magic as domo\n"
        "from domo_magic import api\n"
        "from domo_magic.executions.start import Unless\n"
        "domo.connect(sys.argv[1], sys.argv[2])\n"
        "api.run_unless(902, Unless(), background=True)\n"
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

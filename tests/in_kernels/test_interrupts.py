"""Interrupts: they let go at once, say how to go on, and the run is known and goes on."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from support import LONG, Kernel, Outcome, environment

from domo_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANY = 1000
AT_ONCE = 0.3
HANDLER = "import signal; signal.getsignal(signal.SIGINT)"


@pytest.fixture(scope="module")
def domo_server() -> Iterator[Sandbox]:
    """Give a Domo whose runs take an hour."""
    with Sandbox() as sandbox:
        for stream_id in range(1, MANY + 1):
            sandbox.world.add_stream(3600.0, stream_id=100_000 + stream_id)
        yield sandbox


@pytest.fixture(scope="module")
def kernel(domo_server: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """Give a kernel that is connected to it."""
    with Kernel(environment(tmp_path_factory.mktemp("home"), domo_server)) as one:
        one.run(f"import domo_magic\nmany = list(range(100_001, {100_001 + MANY}))")
        yield one


def interrupted(kernel: Kernel, cell: str, sign: str = "ACTIVE") -> Outcome:
    """Run a cell that waits for ever and interrupt it when its moving lines show `sign`."""
    for _ in range(3):  # until it is quick once: the machine may be busy with something else
        outcome = kernel.run(cell, lambda so_far: any(sign in text for text in so_far.shown[1:]))
        if outcome.answered <= AT_ONCE:
            break
    return outcome


@pytest.mark.parametrize(
    "before", ["", "import asyncio\nawait asyncio.sleep(0)\n"], ids=["plain", "with await"]
)
def test_an_interrupt_lets_go_at_once_and_names_both_commands(
    kernel: Kernel, domo_server: Sandbox, before: str
) -> None:
    """The cell ends as RunInterrupted within 0.3 s, the handler is as before, the history knows the run."""
    handler = kernel.run(HANDLER).result
    outcome = interrupted(kernel, before + "%domo_run 100001 --wait\nprint('went on')")
    number = domo_server.world.count(100_001)
    assert outcome.error is not None
    name, text = outcome.error
    assert name == "RunInterrupted"
    run = f"100001/{number}"
    assert text.splitlines()[1] == f"to wait again: %domo_wait {run}; to cancel: %domo_cancel {run}"
    assert "went on" not in outcome.printed
    assert outcome.answered <= AT_ONCE
    assert kernel.run(HANDLER).result == handler
    known = kernel.run("int(domo_magic.runs(refresh=False).executionId.max())")
    assert known.result == str(number)
    assert domo_server.world.execution(100_001, number)["currentState"] == "ACTIVE"


def test_an_interrupt_while_waiting_again(kernel: Kernel, domo_server: Sandbox) -> None:
    """Waiting for a run that was started before is let go in the same way."""
    domo_server.world.start(100_002)
    outcome = interrupted(kernel, "%domo_wait 100002/1")
    assert outcome.error is not None
    assert "to wait again: %domo_wait 100002/1; to cancel: %domo_cancel 100002/1" in outcome.error[1]
    assert outcome.answered <= AT_ONCE


def test_an_interrupt_while_a_thousand_runs_are_waited_for(kernel: Kernel, domo_server: Sandbox) -> None:
    """However many runs are followed, an interrupt lets go at once, and the history knows them all."""
    outcome = interrupted(
        kernel, "import asyncio\nawait asyncio.sleep(0)\n%domo_run many --wait", "1,000 unfinished"
    )
    assert outcome.error is not None
    assert outcome.error[0] == "RunInterrupted"
    assert "(and 980 more: .rows has all)" in outcome.error[1]
    assert outcome.answered <= AT_ONCE
    known = kernel.run(
        "domo_magic.runs(refresh=False, limit=5000).dropna(subset='executionId').streamId.nunique()"
    )
    assert known.result == str(MANY)


def test_an_interrupt_during_many_starts_stops_what_has_not_left(
    kernel: Kernel, domo_server: Sandbox
) -> None:
    """What had left is known or looked for; what had not is not started any more."""
    before = {stream_id: domo_server.world.count(stream_id) for stream_id in range(100_001, 100_001 + MANY)}
    domo_server.latency = 0.5  # the interrupt comes long before the last start, however busy the machine is
    try:
        outcome = kernel.run("%domo_run many", lambda so_far: "ACTIVE" in so_far.printed)
    finally:
        domo_server.latency = 0.0
    assert outcome.error is not None
    assert outcome.error[0] == "RunInterrupted"
    kernel.run("domo_magic.runs()")
    new = sum(domo_server.world.count(stream_id) - number for stream_id, number in before.items())
    assert 0 < new < MANY
    known = kernel.run(
        "rows = domo_magic.runs(refresh=False, limit=9000); int(rows.executionId.notna().sum())"
    )
    total = sum(domo_server.world.count(stream_id) for stream_id in before)
    assert int(known.result) == total


def interrupted_in_a_terminal(line: str, sign: str, env: dict[str, str]) -> str:
    """Run a line of IPython in a terminal, interrupt it when it shows `sign`, and return what it printed."""
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "IPython", "--no-banner", "--ext", "domo_magic", "-c", line],
        env=env | {"TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    said, killed = b"", False
    while select.select([ours], [], [], LONG)[0]:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
        said += piece
        if not killed and sign.encode() in said:
            killed = True
            process.send_signal(signal.SIGINT)
    os.close(ours)
    assert process.wait(LONG) == 1
    return said.decode(errors="replace")


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_an_interrupt_in_a_terminal(domo_server: Sandbox, tmp_path: Path) -> None:
    """Ctrl-C ends one line of IPython with a status, says how to go on, and shows no frames."""
    env = environment(tmp_path, domo_server)
    text = interrupted_in_a_terminal("%domo_run 100003 --wait", "ACTIVE", env)
    assert "RunInterrupted" in text
    run = f"100003/{domo_server.world.count(100_003)}"
    assert f"to wait again: %domo_wait {run}" in text
    assert "Traceback" not in text
    assert f"{run} ACTIVE" in text.partition("RunInterrupted")[0].splitlines()[-2], "the line stays"


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize("line", ["%domo_overview", "import domo_magic; domo_magic.collect('runs')"])
def test_an_interrupt_while_connectors_are_counted(tmp_path: Path, line: str) -> None:
    """The count is ended: the error begins on a line of its own."""
    with Sandbox() as sandbox:
        let_go, real = threading.Event(), sandbox.world.executions_json

        def waiting(*args: int) -> bytes:
            let_go.wait(LONG)
            return real(*args)

        sandbox.world.executions_json = waiting  # type: ignore[method-assign]
        env = environment(tmp_path, sandbox)
        text = interrupted_in_a_terminal(f"import os; os.chdir({str(tmp_path)!r})\n{line}", "connectors", env)
        let_go.set()
    before, _, after = text.partition("RunInterrupted")
    assert before.splitlines()[-2].endswith("of 40 connectors")
    assert "connectors" not in before.splitlines()[-1]
    assert "interrupted" in after

"""The recipe for scheduled notebooks: killed and run again, it takes up what is running."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from support import LONG, environment

from domo_magic.sandbox import ManualClock, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

RECIPE = "%domo_run {streams} --wait --timeout 2h --if-running adopt"
REFERENCE = Path(__file__).parents[2] / "notebooks/reference.ipynb"
STREAM = 901


def _until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until a condition holds, while a process runs."""
    pause, deadline = threading.Event(), time.monotonic() + LONG
    while not condition():
        if process.poll() is not None:
            raise AssertionError(process.communicate()[0])
        assert time.monotonic() < deadline
        pause.wait(0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_after_a_kill_the_notebook_takes_up_what_is_running(tmp_path: Path) -> None:
    """Papermill and its kernel are killed while waiting; run again, the same run is followed to its end."""
    assert RECIPE in REFERENCE.read_text(encoding="utf-8")
    note = "import os, pathlib\npathlib.Path(pid_file).write_text(str(os.getpid()))\n%load_ext domo_magic"
    cells = [
        f"streams = [{STREAM}, 25775]\npid_file = ''",
        note,
        f"rows = {RECIPE}\nrows.currentState.tolist()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    source, target, pid_file = tmp_path / "in.ipynb", tmp_path / "out.ipynb", tmp_path / "pid"
    nbformat.write(notebook, source)
    clock = ManualClock(time.time())
    with Sandbox(clock=clock) as sandbox:
        sandbox.world.add_stream(3000.0, stream_id=STREAM)
        before = sandbox.world.count(25_775)
        command = [sys.executable, "-m", "papermill", str(source), str(target), "--no-progress-bar"]
        command += ["-p", "streams", str(STREAM), "-p", "pid_file", str(pid_file)]
        first = _popen(command, tmp_path, sandbox)
        _until(lambda: _waits(sandbox) == 1, first)
        first.kill()
        os.kill(int(pid_file.read_text(encoding="ascii")), signal.SIGKILL)
        first.communicate()
        second = _popen(command, tmp_path, sandbox)
        _until(lambda: _waits(sandbox) == 2, second)
        clock.advance(3001)
        said, _ = second.communicate(timeout=LONG)
        assert second.returncode == 0, said
        assert (sandbox.world.count(STREAM), sandbox.world.count(25_775)) == (1, before)
    executed = nbformat.read(target, as_version=4)
    outputs = executed.cells[-1].outputs
    assert [each.data["text/plain"] for each in outputs if each.output_type == "execute_result"] == [
        "['SUCCESS']"
    ]
    lines = [each.data["text/plain"] for each in outputs if each.output_type == "display_data"]
    assert len(lines) == 1
    assert re.match(rf"{STREAM}/1 SUCCESS · DataSet {STREAM} · 50 min 0\d s", lines[0])


def _popen(command: list[str], home: Path, sandbox: Sandbox) -> subprocess.Popen[str]:
    env = environment(home, sandbox)
    return subprocess.Popen(
        command, env=env, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _waits(sandbox: Sandbox) -> int:
    """Return how many have begun to wait for the run: each asks once how long such runs last."""
    return sum(f"/{STREAM}/history/" in request.path for request in sandbox.requests)

"""Failures in real kernels: short, the cell fails, and the run of a notebook stops."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import faults
import nbformat
import pytest
from nbclient import NotebookClient
from support import Kernel, environment

from domo_magic.sandbox import Sandbox
from domo_magic.sandbox.simulation import Habit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATASET = "5f3c2a9e-8d41-4b7e-9c36-1e2f7a4d6b90"
CONNECT = """
import socket
from domo_magic.executions.session import open_session, use_session
from domo_magic.http.address import address
from domo_magic.http.credentials import Login, Token
from domo_magic.model.timeouts import Timeouts

def connect(url):
    login = Login(address(url), Token("{token}"), "the test")
    use_session(open_session(login, timeouts=Timeouts().scaled(1 / 100), sandbox=True))

with socket.create_server(("127.0.0.1", 0)) as server:
    nobody = "http://127.0.0.1:%d" % server.getsockname()[1]  # nobody listens there any more
connect("{url}")
%load_ext domo_magic
"""
INTERRUPTED = """
import os, signal, threading
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
%domo_run 902 --wait
"""
#: Each failing cell with its error, and words of its message.
FAILING = {
    "%domo_run sales": ("TargetError", "to find a stream: %domo_streams sales"),
    "%domo_run 25775 --unknown": ("TargetError", "examples: %domo_run --help"),
    "%domo_connect http://mycompany.domo.com": ("ConfigurationError", "without https"),
    "%domo_run 404404": ("NotFound", "stream 404404 was not found"),
    "%domo_run 901 --wait": ("RunFailed", "ended in ERROR"),
    "%domo_run 902 --wait --timeout 0.2": ("RunTimeout", "to wait again: %domo_wait 902/1"),
    "%domo_run 902 --if-running error": ("AlreadyRunning", "%domo_wait 902/1"),
    "%domo_run 903": ("TriggerOutcomeUnknown", "%domo_runs 903"),
    "%domo_run 904": ("AuthenticationError", "Access Tokens"),
    "%domo_run 905": ("RateLimited", "rate limiting"),
    f"%domo_run {DATASET}": ("InvalidResponse", "an HTML page: Sign in"),
    INTERRUPTED: ("RunInterrupted", "%domo_cancel 902/"),
    "import asyncio\nawait asyncio.sleep(0)\n" + INTERRUPTED: ("RunInterrupted", "%domo_wait 902/"),
    "connect(nobody)\n%domo_run 1": ("ConnectionFailed", "127.0.0.1"),
}


@pytest.fixture(scope="module")
def environment_of_kernels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give an environment in which nothing of the user's Jupyter or Domo is found."""
    home = tmp_path_factory.mktemp("home")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DOMO_", "JUPYTER", "IPYTHON"))
    }
    places = (
        "HOME",
        "IPYTHONDIR",
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "DOMO_MAGIC_HOME",
    )
    return (
        kept | {name: str(home / name.lower()) for name in places} | {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    )


@pytest.fixture(scope="module")
def outputs(environment_of_kernels: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Run every failing cell in one kernel, and give the outputs of each cell."""
    with Sandbox() as sandbox:
        sandbox.world.add_stream(stream_id=901, habit=Habit(seconds=0.05, endings=(("ERROR", 1.0),)))
        sandbox.world.add_stream(600.0, stream_id=902)
        for stream_id in (903, 904, 905):
            sandbox.world.add_stream(stream_id=stream_id)
        sandbox.order(faults.html(), path="/903/")
        sandbox.order(faults.status(401), path="/904/")
        sandbox.order(faults.status(429, retry_after=3600), path="/905/", times=5)
        sandbox.order(faults.html(), method="GET", path=DATASET, times=50)
        cells = [CONNECT.format(url=sandbox.url, token=sandbox.token), *FAILING, "print('alive')"]
        # What the 905 asked for is quiet for the whole instance; the others must not feel it.
        cells.insert(cells.index(f"%domo_run {DATASET}"), f"connect('{sandbox.url}')")
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        client = NotebookClient(notebook, timeout=60, allow_errors=True, kernel_name="python3")
        client.execute(env=environment_of_kernels)
        yield {cell: made["outputs"] for cell, made in zip(cells, notebook["cells"], strict=True)}


@pytest.mark.parametrize("cell", FAILING, ids=lambda cell: " ".join(cell.split())[-40:])
def test_a_failure_in_a_kernel_is_short_and_fails_the_cell(cell: str, outputs: dict[str, Any]) -> None:
    """The saved output has the type, and two lines: what happened and what to do; no frames."""
    name, words = FAILING[cell]
    (error,) = [output for output in outputs[cell] if output["output_type"] == "error"]
    assert error["ename"] == name
    assert words in error["evalue"]
    assert len(error["evalue"].splitlines()) == 2
    assert re.sub(r"\x1b\[\d*m", "", "\n".join(error["traceback"])) == f"{name}: {error['evalue']}"


def test_the_kernel_lives_on(outputs: dict[str, Any]) -> None:
    """After every failure and interrupt the next cell runs."""
    assert outputs["print('alive')"] == [{"output_type": "stream", "name": "stdout", "text": "alive\n"}]


def test_waiting_is_one_output_that_was_updated(outputs: dict[str, Any]) -> None:
    """In a saved notebook the run's line is there once, as it was last."""
    shown = [each for each in outputs["%domo_run 901 --wait"] if each["output_type"] == "display_data"]
    assert len(shown) == 1
    assert re.match(r"901/1 ERROR · ", shown[0]["data"]["text/plain"])


def test_the_run_of_a_notebook_stops_with_a_status(
    environment_of_kernels: dict[str, str], tmp_path: Path
) -> None:
    """Nbconvert and papermill stop at the failing cell, say why, and exit with a status."""
    cells = ["%load_ext domo_magic", "%domo_run 25775/2", "print('went on')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    source = tmp_path / "notebook.ipynb"
    nbformat.write(notebook, source)
    commands = {
        "nbconvert": ["--to", "notebook", "--execute", str(source), "--output", "converted.ipynb"],
        "papermill": [str(source), str(tmp_path / "executed.ipynb"), "--no-progress-bar"],
    }
    running = {
        tool: subprocess.Popen(
            [sys.executable, "-m", tool, *arguments],
            env=environment_of_kernels,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for tool, arguments in commands.items()
    }
    for tool, process in running.items():
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 1, said
        assert "TargetError" in said, tool
        assert "'25775/2' is a run; here a stream is meant\nwrite the stream alone: 25775" in said
        assert "went on" not in said.replace("print('went on')", "")
    executed = nbformat.read(tmp_path / "executed.ipynb", as_version=4)
    errors = [
        output
        for cell in executed.cells
        for output in cell.get("outputs", ())
        if output.output_type == "error"
    ]
    assert [error.ename for error in errors] == ["TargetError"]
    assert not (tmp_path / "converted.ipynb").exists()


def test_the_last_line_is_seen_where_outputs_do_not_change(tmp_path: Path, sandbox: Sandbox) -> None:
    """In a console, and inside an Output, the end of a run is a line of its own, once."""
    sandbox.world.add_stream(0.2, stream_id=901)
    inside = "import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    domo_magic.run(901, wait=True)"
    with Kernel(environment(tmp_path, sandbox)) as kernel:
        console = kernel.run("import domo_magic\n%domo_run 901 --wait", notebook=False)
        captured = kernel.run(inside)
        notebook = kernel.run("%domo_run 901 --wait")
    assert [line.partition(" · ")[0] for line in console.printed.splitlines()] == [
        "901/1 ACTIVE",
        "901/1 SUCCESS",
    ]
    assert [line.partition(" · ")[0] for line in captured.printed.splitlines()] == [
        "901/2 ACTIVE",
        "901/2 SUCCESS",
    ]
    assert notebook.printed == ""
    assert notebook.shown[-1].startswith("901/3 SUCCESS")

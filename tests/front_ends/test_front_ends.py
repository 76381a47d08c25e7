"""Runs, comparisons and the panel where users work: a terminal, consoles, papermill, nbconvert, Voila.

Each front end is the real one, in a process of its own; one that is not installed is skipped (the group
``front-ends`` has them). Browsers are in ``tests/browser``.
"""

from __future__ import annotations

import json
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
import requests
from support import LONG, Kernel, environment

from domo_magic.model.formatting import width

if TYPE_CHECKING:
    from domo_magic.sandbox import Sandbox

STREAM = 901
CELLS = (
    "%load_ext domo_magic",
    f"%domo_run {STREAM} --wait",
    "%domo_compare 25775 --limit 3",
    "%domo_panel 25775",
    f"%domo_run {STREAM}",
)
LAST_LINE = rf"{STREAM}/1 SUCCESS · DataSet {STREAM} · [\d.]+ s · 1,000 rows · no baseline"
ROW = rf"{STREAM}/1 +DataSet {STREAM} +✓ SUCCESS"
COMPARED = r"25775/200 .*✓ usual"
BUTTONS = "the buttons need a notebook"
LIVE = "application/vnd.jupyter.widget-view+json"


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip a test where a front end is not installed."""
    missing = [each for each in modules if find_spec(each) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture
def places(tmp_path: Path, sandbox: Sandbox) -> dict[str, str]:
    """Give an environment whose Domo is a sandbox with a short stream."""
    sandbox.world.add_stream(0.5, stream_id=STREAM)
    return environment(tmp_path, sandbox)


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """Give a notebook with the cells."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, path := tmp_path / "cells.ipynb")
    return path


def ran(*command: str | Path, env: dict[str, str]) -> str:
    """Run a module of this Python to its end; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=env,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=2 * LONG,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def typed(command: list[str], env: dict[str, str], columns: int) -> str:
    """Type the cells at a prompt in a terminal so wide; return what was printed."""
    import pexpect

    child = pexpect.spawn(
        sys.executable, ["-m", *command], env=env, dimensions=(50, columns), encoding="utf-8", timeout=LONG
    )
    printed = ""
    for number, cell in enumerate(CELLS, 1):
        child.expect_exact(f"In [{number}]: ")
        printed += child.before
        child.sendline(cell)
    child.expect_exact(f"In [{len(CELLS) + 1}]: ")
    printed += child.before
    child.close(force=True)
    return re.sub(r"\x1b\[[\d;?]*[a-zA-Z]|\x1b\][^\x07]*\x07", "", printed)


def check_text(printed: str) -> None:
    """Hold what was printed against what a user without buttons gets."""
    assert re.search(LAST_LINE, printed), printed
    assert re.search(ROW, printed), printed
    assert re.search(COMPARED, printed), printed
    assert re.search(rf"{STREAM}/2 ACTIVE · DataSet {STREAM} .* follow: %domo_wait {STREAM}/2", printed)
    assert BUTTONS in printed
    # The panel shows the newest 10, and how many more there are.
    assert "25775/191" in printed
    assert "25775/190" not in printed


@needs("pexpect")
@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_terminal(places: dict[str, str]) -> None:
    """In IPython in a terminal of 80 columns all is there, and nothing is wider."""
    printed = typed(["IPython", "--no-banner", "--simple-prompt", "--colors", "NoColor"], places, 80)
    check_text(printed)
    # Each line as it was last, without the prompt that was echoed.
    lines = [line.rpartition("\r")[2] for line in printed.replace("\r\n", "\n").split("\n")]
    assert [line for line in lines if width(line) > 80 and not line.startswith("In [")] == []


@needs("jupyter_console", "pexpect")
@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_jupyter_console(places: dict[str, str]) -> None:
    """In jupyter console, which changes no output, the last line is printed and the panel is text."""
    check_text(typed(["jupyter_console", "--simple-prompt"], places, 100))


@needs("qtconsole", "qtpy")
def test_qtconsole(places: dict[str, str]) -> None:
    """The same in qtconsole, on no screen."""
    script = Path(__file__).with_name("cells_in_qtconsole.py")
    done = subprocess.run(
        [sys.executable, script, *CELLS],
        env=places,
        check=False,
        capture_output=True,
        timeout=2 * LONG,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    check_text(done.stdout)


def outputs(path: Path) -> list[list[Any]]:
    """Return the outputs of each cell of a notebook."""
    return [cell.outputs for cell in nbformat.read(path, as_version=4).cells]


def check_saved(path: Path) -> None:
    """Hold a notebook that was executed and saved against what its reader gets."""
    _, ran, compared, panel, _ = outputs(path)
    assert re.fullmatch(LAST_LINE, ran[0].data["text/plain"])
    assert re.search(ROW, ran[-1].data["text/plain"])
    assert "<table" in compared[-1].data["text/html"]
    assert any("25775/200" in each.data.get("text/html", "") for each in panel)
    assert any(LIVE in each.data for each in panel)


@needs("papermill")
def test_papermill(places: dict[str, str], notebook: Path) -> None:
    """The notebook that papermill saves has the last line once, the frames, and the panel with its table."""
    ran("papermill", notebook, done := notebook.with_name("done.ipynb"), "--no-progress-bar", env=places)
    check_saved(done)


@needs("nbconvert")
def test_nbconvert_to_a_notebook(places: dict[str, str], notebook: Path) -> None:
    """The same for nbconvert."""
    ran("nbconvert", "--to", "notebook", "--execute", notebook, "--output", "done.ipynb", env=places)
    check_saved(notebook.with_name("done.ipynb"))


@needs("nbconvert")
def test_nbconvert_to_html(places: dict[str, str], notebook: Path) -> None:
    """The page has the last line, and the frames and the panel as tables that need no script."""
    ran("nbconvert", "--to", "html", "--execute", notebook, env=places)
    page = re.sub(
        r"<script.*?</script>", "", notebook.with_suffix(".html").read_text("utf-8"), flags=re.DOTALL
    )
    assert re.search(LAST_LINE, page)
    assert page.count("<table") >= 4
    assert "25775/200" in page


@needs("voila")
def test_voila(places: dict[str, str], notebook: Path) -> None:
    """The page that Voila serves has the last line, the frames, and the panel as a living widget."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]  # it does not tell which one it took
    options = ["--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}", "--Voila.port_retries=0"]
    server = subprocess.Popen(
        [sys.executable, "-m", "voila", notebook, *options],
        env=places,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    watchdog = threading.Timer(2 * LONG, server.kill)
    watchdog.start()
    try:
        assert server.stdout is not None
        assert any("is running at" in line for line in server.stdout)
        page = requests.get(f"http://127.0.0.1:{port}", timeout=2 * LONG).text
    finally:
        watchdog.cancel()
        server.terminate()
        server.communicate()
    kept = re.findall(r"application/vnd.voila.cell-output\+json\">(.*?)</script>", page, re.DOTALL)
    line, row, compared, panel, table, *_ = (json.loads(each)["data"] for each in kept)
    assert re.fullmatch(LAST_LINE, line["text/plain"])
    assert re.search(ROW, row["text/plain"])
    assert "<table" in compared["text/html"]
    assert LIVE in panel
    assert "25775/200" in table["text/html"]


class CellClient(Kernel):
    """A client such as VS Code's: it names the cell, and once that has ended no output of it changes."""

    def outputs(self, code: str) -> list[dict[str, Any]]:
        """Return the outputs of a cell as they stand when it has ended."""
        sent = self.begin(code)
        made: list[dict[str, Any]] = []
        end = time.monotonic() + LONG
        while time.monotonic() < end:
            try:
                reply = self._client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            kind, said = reply["msg_type"], reply["content"]
            if reply["parent_header"].get("msg_id") != sent:
                continue  # of a cell that has ended
            if kind == "status" and said["execution_state"] == "idle":
                return made
            _keep(kind, said, made)
        raise AssertionError(f"the cell did not end: {made}")


def _keep(kind: str, said: dict[str, Any], made: list[dict[str, Any]]) -> None:
    if kind in {"display_data", "execute_result"}:
        made.append({**said["data"], "id": said.get("transient", {}).get("display_id")})
    elif kind == "update_display_data":
        for output in made:
            if output["id"] == said["transient"]["display_id"]:
                output.update(said["data"])
    elif kind in {"error", "stream"}:
        made.append({"text/plain": said.get("text", said.get("evalue"))})


def test_client_without_updates_after_the_cell(places: dict[str, str]) -> None:
    """Where nothing changes after a cell, what it leaves is true then, and the next cell has what came."""
    with CellClient(places) as client:
        _, waited, compared, panel, _ = map(client.outputs, CELLS)
        background = client.outputs(f"%domo_run {STREAM} --bg")
        later = client.outputs(f"%domo_wait {STREAM}/3")
    assert re.fullmatch(LAST_LINE, waited[0]["text/plain"])
    assert re.search(ROW, waited[-1]["text/plain"])
    assert "<table" in compared[-1]["text/html"]
    assert any(LIVE in each for each in panel)
    assert re.match(rf"{STREAM}/3 ACTIVE · ", background[0]["text/plain"])
    assert re.match(rf"{STREAM}/3 SUCCESS · ", later[0]["text/plain"])


def test_panel_inside_an_output(places: dict[str, str]) -> None:
    """Displayed inside an Output, which passes over changes, the panel has its table from the start."""
    cell = "import domo_magic, ipywidgets\nwith ipywidgets.Output():\n    display(domo_magic.panel(25775))"
    with CellClient(places) as client:
        client.outputs(CELLS[0])
        living, table = client.outputs(cell)
    assert LIVE in living
    assert "25775/200" in table["text/html"]

"""The reference's recipes for a scheduled check: red where something is not usual, green where all is."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from support import LONG, environment

from domo_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE = (Path(__file__).parents[2] / "notebooks/reference.ipynb").read_text(encoding="utf-8")
CHECK = "%domo_run {streams} --wait --on-unusual raise"
USUAL, SLOW = 25_775, 25_776


@pytest.fixture
def fast() -> Iterator[Sandbox]:
    """Give a sandbox whose time runs ten times as fast: one of its streams takes 28 s."""
    began = time.time()
    with Sandbox(clock=lambda: began + 10 * (time.time() - began)) as one:
        yield one


@pytest.mark.parametrize("stream, code", [(USUAL, 0), (SLOW, 1)])
def test_papermill_ends_red(tmp_path: Path, fast: Sandbox, stream: int, code: int) -> None:
    """A notebook with one line ends with an error where the run is not usual, and names it."""
    assert CHECK in REFERENCE
    cells = [f"streams = {USUAL}", "%load_ext domo_magic", CHECK]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "check.ipynb")
    command = [sys.executable, "-m", "papermill", "check.ipynb", "done.ipynb", "-p", "streams", str(stream)]
    ended = _ended(command, tmp_path, fast)
    assert ended.returncode == code, ended.stderr
    assert ("RunUnusual" in ended.stderr) == bool(code)


@pytest.mark.parametrize("stream, code", [(USUAL, 0), (SLOW, 1)])
def test_ipython_ends_red(tmp_path: Path, fast: Sandbox, stream: int, code: int) -> None:
    """IPython alone, as cron starts it, ends with 1 where the run is not usual, and with 0 where it is."""
    line = "ipython --ext domo_magic -c '%domo_run 25775 --wait --on-unusual raise'"
    assert line in REFERENCE
    magic = f"%domo_run {stream} --wait --on-unusual raise"
    ended = _ended([sys.executable, "-m", "IPython", "--ext", "domo_magic", "-c", magic], tmp_path, fast)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert ("slow" in ended.stdout + ended.stderr) == bool(code)


@pytest.mark.parametrize("text, code", [("sales orders", 0), ("", 1)])
def test_a_check_of_all_connectors_ends_red(tmp_path: Path, text: str, code: int) -> None:
    """The recipe ends with 1 where a connector is not usual, and names it; with 0 where all are."""
    source = "\n".join(cell.source for cell in nbformat.reads(REFERENCE, 4).cells)
    recipe = source.partition("Of all connectors, whoever starts them:\n\n```\n")[2].partition("```")[0]
    (tmp_path / "check.ipy").write_text(recipe.replace("%domo_overview", f"%domo_overview {text}"))
    with Sandbox() as sandbox:
        command = [sys.executable, "-m", "IPython", "--ext", "domo_magic", "check.ipy"]
        ended = _ended(command, tmp_path, sandbox)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert ("Marketing Spend" in ended.stdout + ended.stderr) == bool(code)


def _ended(command: list[str], where: Path, sandbox: Sandbox) -> subprocess.CompletedProcess[str]:
    env = environment(where, sandbox)
    return subprocess.run(
        command, cwd=where, env=env, capture_output=True, text=True, timeout=LONG, check=False
    )

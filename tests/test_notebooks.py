"""Every notebook runs from top to bottom, and was committed with its outputs."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted(Path(__file__).parent.parent.glob("notebooks/*.ipynb"))


def _codes(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path) -> None:
    """A notebook runs to its end, and each cell gives outputs of the same kinds as the committed ones.

    Lines printed one after the other may come as one output or as several.
    """
    committed = nbformat.read(path, as_version=4)
    executed = nbformat.read(path, as_version=4)
    NotebookClient(executed, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    for was, now in zip(_codes(committed), _codes(executed), strict=True):
        kinds = [
            [kind for kind, _ in groupby(output.output_type for output in cell.outputs)]
            for cell in (was, now)
        ]
        assert kinds[0] == kinds[1], now.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_names_no_machine(path: Path) -> None:
    """A committed notebook has outputs, and no path of the machine it ran on."""
    committed = nbformat.read(path, as_version=4)
    assert any(cell.outputs for cell in _codes(committed))
    text = path.read_text(encoding="utf-8")
    assert not any(place in text for place in ("/home/", "/root/", "/work/", "/tmp/", "C:\\\\Users"))  # noqa: S108

"""Run the notebooks, or those named, and keep their outputs: ``poe notebooks [NAME...]``."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"


def main(names: list[str]) -> None:
    """Run them on an empty history, and write them without what differs from machine to machine."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["DOMO_MAGIC_HOME"] = home
        for path in [FOLDER / f"{name}.ipynb" for name in names] or sorted(FOLDER.glob("*.ipynb")):
            notebook = nbformat.read(path, as_version=4)
            where = {"metadata": {"path": str(FOLDER)}}
            NotebookClient(notebook, timeout=120, record_timing=False, resources=where).execute()
            notebook.metadata.pop("widgets", None)
            notebook.metadata["language_info"].pop("version", None)
            nbformat.write(notebook, path)


if __name__ == "__main__":
    main(sys.argv[1:])

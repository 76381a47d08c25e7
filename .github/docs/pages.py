"""Build the site into ``build/site``: ``poe docs``; what is written after it goes to Sphinx.

Its pages are the README, the notebooks with their committed outputs, the docstrings, and the pages of this
folder's parent. They are laid out in ``build/docs`` first: no site should have a folder that begins with a
dot. A dead link among them is an error; ``poe docs -b linkcheck`` looks for dead ones to elsewhere.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import main

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGES = ROOT / "build" / "docs"
CONTENTS = """
```{toctree}
:hidden:
:caption: %s

%s
```
"""
NOTEBOOKS = ("quickstart", "morning", "compare_runs", "panel", "reference")
PROJECT = ("CHANGELOG", "CONTRIBUTING", "ARCHITECTURE", "SECURITY")


def slug(heading: str) -> str:
    """Name a heading as JupyterLab does, whose links the notebooks have."""
    return heading.replace("`", "").replace("*", "").strip().replace(" ", "-")


def lay_out() -> None:
    """Write the pages, with links as they are among them."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "notebooks", PAGES / "notebooks", ignore=shutil.ignore_patterns(".*"))
    (PAGES / "project").mkdir()
    for name in PROJECT:
        shutil.copy(HERE.parent / f"{name}.md", PAGES / "project")
    shutil.copy(HERE / "python.md", PAGES)
    shutil.copy(ROOT / "README.md", PAGES / "index.md")
    for page in [PAGES / "index.md", *(PAGES / "notebooks").glob("*.ipynb")]:
        text = page.read_text(encoding="utf-8")
        text = text.replace("(.github/", "(project/").replace("(../README.md)", "(../index.md)")
        page.write_text(text, encoding="utf-8")
    with (PAGES / "index.md").open("a", encoding="utf-8") as index:
        index.write(CONTENTS % ("Notebooks", "\n".join(f"notebooks/{name}" for name in NOTEBOOKS)))
        index.write(CONTENTS % ("In Python", "python"))
        index.write(CONTENTS % ("The project", "\n".join(f"project/{name}" for name in PROJECT)))


if __name__ == "__main__":
    lay_out()
    strict = ["--quiet", "--fail-on-warning", "--keep-going", "--conf-dir", str(HERE)]
    sys.exit(main([*strict, *sys.argv[1:], str(PAGES), str(ROOT / "build" / "site")]))

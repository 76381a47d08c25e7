"""How the package is built: who may import whom, what is public, how large, and what loading costs."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import domo_magic
from domo_magic import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(domo_magic.__file__).parent
#: Low to high: a module imports from the rows above its own in this list, never its own, never below.
ROWS = (
    "errors bulk warned",
    "words timing execution addresses polling worker screens windows wire database blanking",
    "answers targets lines sentences arrays records tidy credentials files accessor",
    "frames history patience transport baseline options tables panel_style panel_painter times",
    "client plots magic_lines",
    "connection pages",
    "recent",
    "looking resolving following cancelling completion",
    "starting background listing",
    "progress panel_state",
    "waiting panel_view",
    "comparing orders widget_parts",
    "api reading",
    "asking panel_jobs",
    "panel_comparing panel_saving",
    "widget_drawing",
    "widget",
    "panels",
    "magics",
    "sandbox",
    "__init__",
)
#: Imports against the direction: the rows of an error (and the type of its runs), what can be done
#: with a frame on the frame itself, and the sandbox of `connect`.
UPWARD = {
    *[("errors", "frames"), ("errors", "execution")],
    *[("accessor", "comparing"), ("accessor", "plots"), ("accessor", "files")],
    ("api", "sandbox"),
}
FUNCTIONS = {
    "cancel",
    "compare",
    "connect",
    "panel",
    "plot",
    "read_parquet",
    "run",
    "runs",
    "streams",
    "wait",
}
HEAVY = {"IPython", "ipywidgets", "matplotlib", "numpy", "pandas", "requests"}

ROW_OF = {name: row for row, names in enumerate(ROWS) for name in names.split()}
MODULES = sorted(PACKAGE.glob("*.py"))


def imported(node: ast.AST, *, late: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield the package's modules that are imported anywhere in `node`, and whether in a function."""
    for child in ast.iter_child_nodes(node):
        names: list[str] = []
        if isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            module = child.module or ""
            names = [f"{module}.{each.name}" for each in child.names] if module == "domo_magic" else [module]
        elif isinstance(child, ast.Import):
            names = [each.name for each in child.names]
        for name in names:
            if name.partition(".")[0] == "domo_magic":
                yield (name.split(".")[1] if "." in name else "__init__"), late
        function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from imported(child, late=late or function)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_imports_go_down(path: Path) -> None:
    """A module imports only from lower rows, inside functions and for annotations too."""
    assert path.stem in ROW_OF, f"give {path.stem} a place in ROWS"
    for name, late in imported(ast.parse(path.read_text())):
        if (path.stem, name) in UPWARD:
            assert late or name == "execution", f"{path.stem} may import {name} only inside a function"
        else:
            assert ROW_OF[name] < ROW_OF[path.stem], f"{path.stem} imports {name}"


def test_the_exceptions_are_needed() -> None:
    """No import against the direction is allowed that nobody makes."""
    made = {(path.stem, name) for path in MODULES for name, _ in imported(ast.parse(path.read_text()))}
    assert made >= UPWARD


@pytest.mark.parametrize("path", sorted((PACKAGE / "sandbox").glob("*.py")), ids=lambda path: path.stem)
def test_the_sandbox_stands_alone(path: Path) -> None:
    """What plays Domo knows nothing of the client."""
    assert {name for name, _ in imported(ast.parse(path.read_text()))} <= {"sandbox"}


def test_no_module_is_named_like_a_public_function() -> None:
    """Importing domo_magic.compare as a module would replace the function."""
    assert not {path.stem for path in PACKAGE.iterdir()} & FUNCTIONS


def test_what_is_public_is_exactly_what_was_promised() -> None:
    """`__all__` is the functions, the errors and the sandbox, and each can be had."""
    classes = inspect.getmembers(errors, inspect.isclass)
    promised = FUNCTIONS | {
        name for name, value in classes if value.__module__ == errors.__name__ and name[0] != "_"
    }
    assert set(domo_magic.__all__) == promised | {"Sandbox"}
    assert domo_magic.__all__ == sorted(domo_magic.__all__)
    for name in domo_magic.__all__:
        assert getattr(domo_magic, name).__name__ == name
    assert set(dir(domo_magic)) == {*domo_magic.__all__, "__version__"}
    assert domo_magic.__version__


def test_what_is_not_public_is_an_attribute_error() -> None:
    """A name that does not exist is refused as everywhere in Python."""
    with pytest.raises(AttributeError, match="no attribute 'trigger'"):
        _ = domo_magic.trigger


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_no_module_is_long(path: Path) -> None:
    """A module has 300 lines at most."""
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_public_functions_are_documented(name: str) -> None:
    """Each says what it takes, gives and raises, with an example."""
    text = inspect.getdoc(getattr(domo_magic, name)) or ""
    for section in ("Parameters", "Raises", "Examples"):
        assert f"{section}\n---" in text


def test_every_module_says_what_it_is_for() -> None:
    """A module begins with a docstring, and postpones annotations."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert ast.get_docstring(ast.parse(text)), path
        assert "from __future__ import annotations" in text, path


def modules_after(code: str) -> set[str]:
    """Return what is loaded after `code` in an interpreter of its own."""
    code += "\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_nothing_heavy() -> None:
    """Neither pandas nor requests nor IPython come with `import domo_magic`."""
    assert not modules_after("import domo_magic") & HEAVY


def test_loading_the_extension_loads_nothing_heavy() -> None:
    """Into IPython nothing is brought that was not there."""
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as S\n"
        "S.instance().run_line_magic('load_ext', 'domo_magic')\n"
        "assert S.instance().find_line_magic('domo_run')"
    )
    assert not modules_after(code) & (HEAVY - {"IPython"})

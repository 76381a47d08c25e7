"""How the package is built: who may import whom, what is public, how large, and what loading costs."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import domo_magic
from domo_magic import errors

PACKAGE = Path(domo_magic.__file__).parent
FUNCTIONS = {
    "cancel",
    "collect",
    "compare",
    "connect",
    "overview",
    "panel",
    "plot",
    "read_parquet",
    "run",
    "runs",
    "streams",
    "wait",
}
HEAVY = {
    "IPython",
    "dask",
    "distributed",
    "ipywidgets",
    "matplotlib",
    "numpy",
    "pandas",
    "pyarrow",
    "requests",
}


def test_no_module_is_named_like_a_public_function() -> None:
    """Importing domo_magic.compare as a module would replace the function."""
    assert not {path.stem for path in PACKAGE.iterdir()} & FUNCTIONS


def test_what_is_public_is_exactly_what_was_promised() -> None:
    """`__all__` is the functions, the errors and the sandbox, and each can be had."""
    classes = inspect.getmembers(errors, inspect.isclass)
    promised = FUNCTIONS | {
        name
        for name, value in classes
        if value.__module__ == errors.__name__
        and issubclass(value, BaseException)
        and not issubclass(value, Warning)
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

"""The examples in docstrings are true: each is run on the sandbox."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import domo_magic

if TYPE_CHECKING:
    from domo_magic.executions.session import Session

FOLDER = Path(domo_magic.__file__).parent
MODULES = [
    ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(FOLDER.rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, still_session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an example shows is what it gives; ``runs`` are some runs."""
    monkeypatch.chdir(tmp_path)
    runner, said = doctest.DocTestRunner(optionflags=FLAGS), list[str]()
    for example in doctest.DocTestFinder().find(import_module(name)):
        if name != "domo_magic.api":
            example.globs["runs"] = domo_magic.runs(25775, limit=20)
        runner.run(example, out=said.append)
    assert runner.tries
    assert not runner.failures, "".join(said)


def test_there_are_examples() -> None:
    """Every public function has one, and none of them is skipped."""
    for name in sorted(set(domo_magic.__all__)):
        thing = getattr(domo_magic, name)
        if callable(thing) and not isinstance(thing, type):
            assert ">>>" in (thing.__doc__ or ""), name
            assert "+SKIP" not in (thing.__doc__ or ""), name

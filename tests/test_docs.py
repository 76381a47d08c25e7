"""What the documentation must say: every magic, option, setting, error and column, and commands that work."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

import domo_magic
from domo_magic.model.frame import COLUMNS
from domo_magic.notebook import arguments, magics

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTEBOOKS = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("notebooks/*.ipynb"))


def _options(magic: str) -> list[str]:
    return [option for option in arguments.parser(magic)._option_string_actions if option.startswith("--")]


@pytest.mark.parametrize("magic", arguments.MAGICS)
def test_every_magic_and_option_is_documented(magic: str) -> None:
    """Each magic and each of its options is in the README, and in the magic's own help."""
    help_text = getattr(magics.DomoMagics, magic).__doc__
    assert f"%{magic}" in README
    for option in set(_options(magic)) - {"--help"}:
        assert option in README, option
        assert option in help_text, option


@pytest.mark.parametrize("name", domo_magic.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    """Each function and error is in the README or a notebook, and has a docstring."""
    assert re.search(rf"\b{name}\b", README + NOTEBOOKS)
    assert getattr(domo_magic, name).__doc__


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_is_documented(column: str) -> None:
    """Each column is in the README's table of columns."""
    assert f"`{column}`" in README


@pytest.mark.parametrize("setting", sorted(magics.DomoMagics.class_own_traits(config=True)) or ["wait"])
def test_every_setting_is_documented(setting: str) -> None:
    """Each setting is in the README."""
    assert re.search(rf"\b{setting}\b", README)


@pytest.mark.parametrize("heading", ["## Try it", "## Test it"])
def test_the_readme_has_one_command(heading: str) -> None:
    """Under the two headings stands one command that a shell understands."""
    section = README.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    command = section.partition("```sh\n")[2].partition("```")[0].strip()
    assert "\n" not in command
    assert shlex.split(command)[:3] == ["python3", "-m", "venv"]
    subprocess.run(["sh", "-n", "-c", command], check=True)

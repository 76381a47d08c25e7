"""What the documentation must say, held against what there is: names, options, defaults, dtypes, commands."""

from __future__ import annotations

import inspect
import json
import re
import runpy
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import domo_magic
from domo_magic import api, errors
from domo_magic.analysis import baseline
from domo_magic.analysis.accessor import DomoAccessor
from domo_magic.notebook import arguments, magics

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from domo_magic.executions.session import Session

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
PAGES = [ROOT / "README.md", *sorted(ROOT.glob(".github/*.md")), *NOTEBOOKS]
#: What the words of the documentation are not (on the right what they are).
NOT_OURS = {
    r"persons?|people": "user",
    r"answer(s|ed|ing)?": "response",
    r"ask(s|ed|ing)?": "request, prompt",
    r"mend(s|ed|ing)?": "fix",
}


def _text(page: Path) -> str:
    """Return what was written on a page; of a notebook its text, without code and outputs."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


README = _text(ROOT / "README.md")
REFERENCE = _text(ROOT / "notebooks/reference.ipynb")


def _section(heading: str, text: str = REFERENCE) -> str:
    """Return what stands under a heading, down to the next of its level or above."""
    level = heading.partition(" ")[0]
    found = re.search(
        rf"^{re.escape(heading)}.*?$(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert found, f"no heading {heading!r}"
    return found[1]


def _table(section: str) -> list[list[str]]:
    """Return the rows of the tables in a section, each a list of cells."""
    rows = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)] for row in rows]


def _names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _first_names(section: str) -> set[str]:
    return {name for row in _table(section) for name in _names(row[0])}


@pytest.mark.parametrize("magic", arguments.MAGICS)
def test_every_option_is_documented(magic: str) -> None:
    """A magic's options are exactly those in its row of the README, in the reference, and in its help."""
    options = {each for each in arguments.parser(magic)._option_string_actions if each.startswith("--")}
    options -= {"--help"}
    row = next(line for line in README.splitlines() if line.startswith(f"| `%{magic} "))
    documented = {word for name in _first_names(_section(f"### `%{magic} ")) for word in name.split()}
    assert {each for each in documented if each.startswith("--")} == options
    assert set(re.findall(r"--[a-z-]+", row)) == options - {"--instance"}
    assert options <= set(re.findall(r"--[a-z-]+", getattr(magics.DomoMagics, magic).__doc__))


def test_every_setting_is_documented() -> None:
    """Each setting stands in the reference with its default."""
    traits = magics.DomoMagics.class_own_traits(config=True)
    documented = {row[0].strip("`"): row[1].strip("`") for row in _table(_section("## Settings"))[2:]}
    assert documented == {name: repr(each.default_value).replace("'", '"') for name, each in traits.items()}


@pytest.mark.parametrize("name", domo_magic.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    """Each function and error is in the README or the reference, and has a docstring."""
    assert re.search(rf"\b{name}\b", README + REFERENCE)
    assert getattr(domo_magic, name).__doc__


def test_the_site_has_every_public_name() -> None:
    """The site's page of functions and errors names each once."""
    page = (ROOT / ".github/docs/python.md").read_text(encoding="utf-8")
    listed = re.findall(r"^   (\w+)$|autoexception:: (\w+)$", page, re.MULTILINE)
    assert sorted(function or error for function, error in listed) == domo_magic.__all__


@pytest.mark.parametrize("name", [each for each in domo_magic.__all__ if each[0].islower()])
def test_every_argument_is_documented(name: str) -> None:
    """The reference has each function with its arguments and their defaults."""
    signature = inspect.signature(getattr(domo_magic, name))
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    written = inspect.Signature(bare)
    assert f"domo.{name}{written}" in _section("## In Python").splitlines()


def _columns(heading: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for names, dtypes, *_ in _table(_section(heading))[2:]:
        kinds = _names(dtypes)
        each = _names(names)
        found += zip(each, kinds * len(each) if len(kinds) == 1 else kinds, strict=True)
    return found


@pytest.mark.parametrize(
    "heading, make",
    [
        ("### Runs", lambda: api.runs(refresh=False)),
        ("### Streams", lambda: api.streams("sales")),
        ("### Comparison", lambda: api.compare(25_775, limit=1)),
        ("### Overview", lambda: api.overview("sales")),
        ("### Collected", lambda: api.collect("runs", 25_775)),
    ],
)
def test_every_column_is_documented(
    session: Session,
    heading: str,
    make: Callable[[], pd.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reference has the columns of each frame, with their dtypes."""
    monkeypatch.chdir(tmp_path)
    made = {name: str(dtype) for name, dtype in make().dtypes.items()}
    assert dict(_columns(heading)) == made
    if heading == "### Runs":
        assert [name for name, _ in _columns(heading)] == list(made)


def test_every_error_is_documented() -> None:
    """The reference has each error with the classes it is under."""
    documented = {row[0].strip("`"): _names(row[1]) for row in _table(_section("## Errors"))[2:]}
    every = {
        name: each
        for name, each in vars(errors).items()
        if inspect.isclass(each) and issubclass(each, DomoErrors) and name in domo_magic.__all__
    }
    assert documented == {
        name: [base.__name__ for base in each.__bases__ if not base.__name__.startswith("_")]
        for name, each in every.items()
    }
    assert all(
        name in REFERENCE for name in ("DomoWarning", "summary", "hint", *_attributes(errors.ApiError))
    )


DomoErrors = (errors.DomoError, errors.RunInterrupted)


def _attributes(error: type[errors.ApiError]) -> list[str]:
    return [name for name in vars(error("")) if not name.startswith("_")]


def test_every_verdict_is_documented(session: Session) -> None:
    """The reference has each word of the verdicts that comparing and the overview give of the sandbox."""
    words = {word for pair in baseline.METRICS.values() for word in pair if word}
    compared = api.compare(api.streams(limit=100))["verdict"]
    given = {word for verdict in [*compared, *api.overview()["verdict"]] for word in verdict.split(", ")}
    documented = _first_names(_section("## Verdicts")) | _first_names(_section("## The overview"))
    assert (words | given) - {word for name in documented for word in name.split(", ")} == set()


@pytest.mark.parametrize(
    "name, words",
    [
        ("BASELINE_RUNS", "the last up to {:g} successful runs"),
        ("LEAST", "with fewer than {:g} of them"),
        ("DEVIATIONS", "than {:g} scaled median absolute deviations"),
        ("RATIO", "at least {0:g} times, or at most 1/{0:g} of, the baseline"),
        ("STEADY_RATIO", "{:g} takes the place of"),
        ("MAD_SCALE", "({:g} \N{MULTIPLICATION SIGN} MAD)"),
    ],
)
def test_the_rules_figures_are_documented(name: str, words: str) -> None:
    """The reference has the figures of the rule for verdicts."""
    rule = _section("## Verdicts").partition("tests/benchmarks")[0]
    assert words.format(getattr(baseline, name)) in rule


@pytest.mark.parametrize("name", [each for each in vars(DomoAccessor) if not each.startswith("_")])
def test_the_accessor_is_documented(name: str) -> None:
    """The reference has each method of the accessor."""
    assert any(row[0].startswith(f"`runs.domo.{name}(") for row in _table(_section("## The accessor")))


def test_other_clients_are_documented() -> None:
    """The reference has both tables of the benchmark, each of its rows and clients, and this version."""
    path = ROOT / "tests/benchmarks/peers.py"
    peers = runpy.run_path(str(path), run_name="peers")
    printed = _section("## Beside other clients").split("```")[1]
    firsts = [re.split("  +", line)[0] for line in printed.splitlines()]
    sizes = [f"{size:,}" for size in peers["SIZES"]]
    faults = [peers[name] for name in ("LOST", "HANGING", "REDIRECT", "CERTIFICATE")]
    assert [each for each in firsts if each][1:] == [peers["SPEED"], *sizes, peers["RIGHT"], *faults]
    assert printed.count(f"  domo_magic {domo_magic.__version__} ") == 2
    assert all(printed.count(f"  {client.name} ") == 2 for client in peers["CLIENTS"])


def test_every_variable_is_documented() -> None:
    """The reference has each variable of the environment that the code names."""
    package = Path(domo_magic.__file__).parent
    code = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    used = set(re.findall(r'"((?:DOMO|HTTPS?|ALL|NO|REQUESTS|CURL)_[A-Z_]+)"', code))
    assert used >= {"DOMO_INSTANCE", "DOMO_MAGIC_HOME", "HTTPS_PROXY"}
    assert used - _first_names(_section("## Environment variables")) == set()


def test_every_extra_is_documented() -> None:
    """The README and the reference have each extra."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = f"pip install '.[{','.join(sorted(project['optional-dependencies']))}]'"
    assert named in README
    assert named in REFERENCE


def test_the_readme_is_short() -> None:
    """What does not fit into 150 lines is in the reference."""
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("heading", ["## Try it", "## Test it"])
def test_the_readme_has_one_command(heading: str) -> None:
    """Under the two headings stands one command that a shell understands."""
    command = _section(heading, README).partition("```sh\n")[2].partition("```")[0].strip()
    assert "\n" not in command
    assert shlex.split(command)[:3] == ["python3", "-m", "venv"]
    subprocess.run(["sh", "-n", "-c", command], check=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link to a file or a heading has what it links to."""
    text = re.sub(r"```.*?```", "", _text(page), flags=re.DOTALL)
    headings = {
        re.sub(r"[`*]", "", heading).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_words_are_the_fields_own(page: Path) -> None:
    """The documentation is in plain technical English."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", _text(page), flags=re.DOTALL)
    assert {
        found[0]: word for each, word in NOT_OURS.items() if (found := re.search(rf"\b({each})\b", text))
    } == {}

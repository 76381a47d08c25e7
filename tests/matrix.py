"""Run the tests on every Python, kernel and library that users have, and in every front end: ``poe matrix``.

``python tests/matrix.py [WORD...]`` runs the rows whose names have one of the words. Each row is an
environment of its own, made by uv, with the checkout in it. Pythons that uv or pyenv has are used, those that
uv can get are fetched, others are said to be missing. A table is printed at the end; exit status 1 when a row
failed.

Qtconsole needs Qt's libraries (Debian: libdbus-1-3 libegl1 libfontconfig1 libgl1 libxkbcommon0).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALL = ("tests", "--ignore=tests/browser", "--ignore=tests/front_ends")
FRAMES = (
    "tests/analysis",
    "tests/executions",
    "tests/fleet",
    "tests/model",
    "tests/notebook",
    "tests/widget",
)
KERNEL = ("tests/display", "tests/in_kernels", "tests/widget")
FRONT_ENDS = ("tests/front_ends",)
#: As of August 2026, from the list that Colab publishes. Installing domo_magic there replaces urllib3 alone.
COLAB = (
    "ipykernel==6.17.1",
    "ipython==7.34.0",
    "ipywidgets==7.7.1",
    "jupyter-client==7.4.9",
    "numpy==2.1.3",
    "pandas==2.2.3",
    "platformdirs==4.11.3",
    "pyarrow==18.1.0",
    "requests==2.32.4",
    "tornado==6.5.7",
    "traitlets==5.7.1",
    "urllib3==2.5.0",
)
SHOWN = ("pandas", "pyarrow", "ipython", "ipykernel", "ipywidgets")


@dataclass(frozen=True)
class Row:
    """One environment, and the tests that run in it.

    Attributes
    ----------
    pins : tuple of str
        Versions that replace whatever anything requires.
    without : tuple of str
        Packages taken out again.
    """

    name: str
    python: str
    tests: tuple[str, ...]
    pins: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    groups: tuple[str, ...] = ("test",)
    options: tuple[str, ...] = ()


ROWS = (
    Row("front ends", "3.12", FRONT_ENDS, groups=("test", "front-ends")),
    Row("Colab", "3.13", (*FRAMES, *KERNEL), COLAB),
    Row("pandas 2.2", "3.12", FRAMES, ("pandas==2.2.*",)),
    Row("pandas 2.2, no pyarrow", "3.11", FRAMES, ("pandas==2.2.*",), ("pyarrow",)),
    Row("pandas 3, no pyarrow", "3.13", FRAMES, ("pandas>=3",), ("pyarrow",)),
    *(
        Row(f"ipykernel {each}", "3.12", KERNEL, (f"ipykernel=={each}.*",))
        for each in ("6.31", "7.1", "7.3", "7.4")
    ),
    Row("ipywidgets 8.1.0", "3.11", KERNEL, ("ipywidgets==8.1.0",)),
    *(Row("newest", python, ALL) for python in ("3.11", "3.12", "3.13", "3.14")),
    Row("lowest", "3.11", ALL, options=("--resolution", "lowest-direct")),
)


def uv(*arguments: str | Path) -> None:
    """Run uv, and fail where it fails."""
    pyenv = [
        str(path) for path in Path.home().glob(".pyenv/versions/*/bin")
    ]  # before its shims, which refuse
    path = os.pathsep.join([*pyenv, os.environ["PATH"]])
    command = [sys.executable, "-m", "uv", "--quiet", *arguments]
    subprocess.run(command, check=True, env={**os.environ, "PATH": path})


def made(row: Row, folder: Path) -> Path:
    """Make a row's environment; return its Python."""
    uv("venv", "--python", row.python, folder / "environment")
    python = folder / "environment" / ("Scripts" if os.name == "nt" else "bin") / "python"
    (overrides := folder / "overrides.txt").write_text("\n".join(row.pins), encoding="utf-8")
    groups = [part for group in row.groups for part in ("--group", f"{ROOT / 'pyproject.toml'}:{group}")]
    install = ["pip", "install", "--python", python, "--override", overrides, *row.options]
    uv(*install, "--editable", ROOT, *groups)
    if row.without:
        uv("pip", "uninstall", "--python", python, *row.without)
    return python


def versions(python: Path) -> list[str]:
    """Return the versions of the Python and of what a row shows."""
    code = (
        "import sys, importlib.metadata as m, platform; print(platform.python_version());"
        "have = {d.name.lower(): d.version for d in m.distributions()};"
        "print(*(have.get(each, '-') for each in sys.argv[1:]), sep='\\n')"
    )
    done = subprocess.run([python, "-c", code, *SHOWN], check=True, capture_output=True, text=True)
    return done.stdout.split()


def tested(row: Row, python: Path, folder: Path) -> list[ET.Element]:
    """Run a row's tests; return pytest's cases."""
    report = folder / "report.xml"
    # The oldest matplotlib does not know that the newest pyparsing has renamed things.
    options = ["-q", "-n", "auto", "--maxprocesses", "4", "--dist", "loadgroup", f"--junitxml={report}"]
    options += ["-p", "no:cacheprovider", "-W", "default::DeprecationWarning"]
    done = subprocess.run(
        [python, "-m", "pytest", *options, *row.tests],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr)
    return list(ET.parse(report).iter("testcase"))  # noqa: S314  our own file


def verdict(case: ET.Element) -> str:
    """Return what became of one case."""
    kinds = {child.tag for child in case}
    return "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"


def results(row: Row) -> tuple[list[str], list[ET.Element]]:
    """Return a row of the table, and its cases."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            python = made(row, folder)
        except subprocess.CalledProcessError:
            return [row.name, row.python, *("" for _ in SHOWN), "not to be had here"], []
        cases = tested(row, python, folder)
        said = [verdict(case) for case in cases]
        counts = ", ".join(
            f"{said.count(kind)} {kind}" for kind in ("passed", "failed", "skipped") if kind in said
        )
        return [row.name, *versions(python), counts], cases


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return rows under a head, in columns."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, each, widths)).rstrip() for each in (head, *rows))


def main() -> int:
    """Run the rows, print the table."""
    words = sys.argv[1:] or [""]
    rows, front_ends, failed = [], [], 0
    for row in ROWS:
        if any(word in f"{row.name} {row.python}" for word in words):
            cells, cases = results(row)
            rows.append(cells)
            print("  ".join(cells), flush=True)
            failed += sum(verdict(case) == "failed" for case in cases)
            if row.tests == FRONT_ENDS:
                front_ends += [[case.get("name", "").removeprefix("test_"), verdict(case)] for case in cases]
    print("\n" + table(["environment", "python", *SHOWN, "tests"], rows))
    if front_ends:
        print("\n" + table(["front end", "result"], front_ends))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

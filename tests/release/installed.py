"""Run the tests against the wheel in ``dist/``, not the checkout: ``python3.13 tests/release/installed.py``.

The wheel goes into an empty environment of the Python that runs this, the tests come from the sdist beside
it, without the package. What follows the name goes to pytest. ``python tests/release/build.py`` makes both.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
ORIGIN = "import domo_magic, sys; assert domo_magic.__file__.startswith(sys.prefix), domo_magic.__file__"


def main() -> int:
    """Install, test, and give pytest's status."""
    (wheel,) = (ROOT / "dist").glob("*.whl")
    (sdist,) = (ROOT / "dist").glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        venv.create(folder / "environment", with_pip=True)
        python = folder / "environment" / ("Scripts" if os.name == "nt" else "bin") / "python"
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        (source,) = folder.glob("domo_magic-*")
        shutil.rmtree(source / "domo_magic")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for what in (["--upgrade", "pip"], [wheel, "--group", source / "pyproject.toml:test"]):
            subprocess.run([*pip, *what], check=True)
        subprocess.run([python, "-c", ORIGIN], check=True, cwd=source)
        tests = ["-m", "pytest", "-q", "-n", "auto", "--dist", "loadgroup", "--ignore", "tests/browser"]
        return subprocess.run([python, *tests, *sys.argv[1:]], check=False, cwd=source).returncode


if __name__ == "__main__":
    sys.exit(main())

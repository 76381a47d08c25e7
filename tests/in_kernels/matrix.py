"""Run the panel's tests on every kernel that treats clicks in its own way.

``python tests/in_kernels/matrix.py``.

Each kernel gets an environment of its own in a temporary folder. Versions can be named instead of
those below. Exit status 1 when any of them fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Clicks run on the main thread; at once on another thread; on the main thread again.
KERNELS = ("6.31", "7.3", "7.4")
TESTS = ("tests/in_kernels/test_panel_kernel.py", "tests/widget/test_panel.py")


def tested(kernel: str, folder: Path) -> str:
    """Install one kernel and run the tests with it; give the last line of what they said."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([python, *install, str(ROOT), f"ipykernel~={kernel}.0", "pytest"], check=True)
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print(done.stdout)
    return done.stdout.strip().rpartition("\n")[2]


def main() -> int:
    """Test every kernel and print a summary."""
    said = {}
    for kernel in sys.argv[1:] or KERNELS:
        with tempfile.TemporaryDirectory() as folder:
            said[kernel] = tested(kernel, Path(folder))
    for kernel, line in said.items():
        print(f"ipykernel {kernel:6} {line}")
    return int(any("failed" in line or "error" in line or "passed" not in line for line in said.values()))


if __name__ == "__main__":
    sys.exit(main())

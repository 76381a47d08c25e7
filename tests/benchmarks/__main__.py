"""Run the benchmarks, or those named, one after the other: ``poe bench [NAME...]``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main(names: list[str]) -> int:
    """Return 0 when every target was met."""
    every = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    if unknown := set(names) - set(every):
        sys.exit(f"not a benchmark: {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    missed = []
    for name in names or every:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, FOLDER / f"{name}.py"], check=False).returncode:
            missed.append(name)
    if missed:
        print(f"missed: {', '.join(missed)}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

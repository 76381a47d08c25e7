"""`%load_ext domo_magic` beside `import pandas`, each in a fresh process, alternating.

Both are compiled, as pip leaves what it installs: where ``PYTHONDONTWRITEBYTECODE`` is set, a checkout would
be compiled each time, and pandas not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from statistics import median

ROUNDS, TARGET = 11, 0.05
HEAVY = ("pandas", "requests", "ipywidgets", "matplotlib")
LOAD = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
"""
MEASURED = {
    "load": (LOAD, "shell.run_line_magic('load_ext', 'domo_magic')"),
    "pandas": (LOAD, "import pandas"),
}
TIMED = """
import json, sys, time
before = set(sys.modules)
began = time.perf_counter()
{what}
took = time.perf_counter() - began
print(json.dumps([took, sorted(set(sys.modules) - before)]))
"""


def measured(name: str) -> tuple[float, set[str]]:
    """Return the seconds that it takes in a fresh IPython, and the modules that it brings."""
    prepare, what = MEASURED[name]
    code = prepare + TIMED.format(what=what)
    compiled = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, env=compiled
    )
    took, brought = json.loads(done.stdout)
    return took, set(brought)


def main() -> int:
    """Measure, print, and return 1 when the figure is missed."""
    rounds = [(measured("load"), measured("pandas")) for _ in range(ROUNDS + 1)][1:]  # the first warms up
    load, pandas = (median(took for took, _ in each) for each in zip(*rounds, strict=True))
    heavy = sorted({name for (_, brought), _ in rounds for name in brought.intersection(HEAVY)})
    ratio = load / pandas
    print(
        f"%load_ext domo_magic {1e3 * load:.1f} ms, import pandas {1e3 * pandas:.0f} ms:"
        f" {ratio:.3f} (target: at most {TARGET}); brings in {', '.join(heavy) or 'nothing heavy'}"
    )
    return int(ratio > TARGET or bool(heavy))


if __name__ == "__main__":
    sys.exit(main())

"""`domo.run(25775)` beside a bare `requests.Session().post(...)` and `pandas.DataFrame([json])`.

The server is a sandbox in a process of its own that responses after 50 ms; the history is a file on the disk,
each start in it before its request leaves. Both sides take turns. The second figure is what the history alone
costs for each run: the intent, on the disk, and the response.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pandas as pd
import requests

import domo_magic as domo
from domo_magic.history.store import FILE, History
from domo_magic.model.execution import Execution, parse_json
from domo_magic.model.timeouts import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS, WARM, LATENCY, STREAM = 50, 5, 0.05, 25775
RATIO, HISTORY_MS = 1.10, 5.0
SERVER = """
import sys
from domo_magic.sandbox import Sandbox
with Sandbox(latency=float(sys.argv[1])) as sandbox:
    print(sandbox.url, sandbox.token, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def server() -> Iterator[tuple[str, str]]:
    """Serve from another process; give the address and the token."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(LATENCY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url, token = process.stdout.readline().split()
        yield url, token
        process.stdin.close()


def bare(url: str, token: str) -> Callable[[], pd.DataFrame]:
    """Make the bare call, its session kept from run to run."""
    session = requests.Session()
    path = f"{url}/api/data/v1/streams/{STREAM}/executions"
    headers = {"X-DOMO-Developer-Token": token}

    def run() -> pd.DataFrame:
        response = session.post(path, json={"runType": "MANUAL"}, headers=headers, timeout=30)
        response.raise_for_status()
        return pd.DataFrame([response.json()])

    return run


def ours() -> pd.DataFrame:
    """Start it as a user does."""
    return domo.run(STREAM)


def seconds(work: Callable[[], object]) -> float:
    """Time a call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def history_ms(folder: Path) -> float:
    """Return what the history costs for each run, milliseconds."""
    history = History(folder / FILE, SystemClock())
    sample = Path(__file__).parents[1] / "captures" / "run-25775-created.json"
    fields, text = parse_json(sample.read_text()), sample.read_text()
    assert isinstance(fields, dict)

    def one(number: int) -> None:
        (intent,) = history.intend("mycompany", [STREAM], None)
        history.started("mycompany", intent, Execution(STREAM, number, fields, text=text))

    times = [seconds(lambda number=number: one(number)) for number in range(1, WARM + ROUNDS + 1)]  # type: ignore[misc]
    history.close()
    return median(times[WARM:]) * 1000


def main() -> int:
    """Measure, print, and give the exit status."""
    with tempfile.TemporaryDirectory() as folder, server() as (url, token):
        os.environ["DOMO_MAGIC_HOME"] = folder
        domo.connect(url, token)
        plain = bare(url, token)
        assert len(ours().columns) >= len(plain().columns)
        pairs = [(seconds(plain), seconds(ours)) for _ in range(WARM + ROUNDS)][WARM:]
        theirs, mine = (median(times) * 1000 for times in zip(*pairs, strict=True))
        kept = history_ms(Path(folder) / "alone")
    ratio = mine / theirs
    print(
        f"bare session and frame: {theirs:.1f} ms, domo.run: {mine:.1f} ms (median of {ROUNDS}, alternating)"
    )
    print(f"ratio {ratio:.3f}, target <= {RATIO:.2f}")
    print(f"the history's part of a run: {kept:.2f} ms, target < {HISTORY_MS:g} ms")
    return int(ratio > RATIO or kept >= HISTORY_MS)


if __name__ == "__main__":
    sys.exit(main())

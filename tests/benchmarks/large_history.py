"""A history of 1,000,000 runs beside one of 1,000, and beside `pandas.read_sql` of the same raw rows.

Targets: the newest 100 cost at most twice what they cost in the small one; one stream's 10,000 at most
3 times its raw rows without any conversion; what only the columns that `domo.runs` reads cost is printed.
"""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

import domo_magic as domo
from domo_magic.executions.session import close_sessions

if TYPE_CHECKING:
    from collections.abc import Callable

MANY, FEW, OF_ONE, STREAMS, ROUNDS = 1_000_000, 1_000, 10_000, 99, 9
TWICE, THREE_TIMES = 2.0, 3.0
SAMPLE = Path(__file__).parent.parent / "captures" / "execution-371-success.json"
_OF_STREAM = "FROM run WHERE instance = 'benchmark' AND stream_id = 1 ORDER BY sorted_at DESC"
RAW = f"SELECT * {_OF_STREAM}"
RAW_READ = f"SELECT stream_id, execution_id, answer, state, label, requested_at {_OF_STREAM}"


def fill(home: Path, runs: int) -> None:
    """Make a history of so many runs; stream 1 has 10,000 of them, or all."""
    close_sessions()
    os.environ["DOMO_MAGIC_HOME"] = str(home)
    domo.runs(refresh=False)  # makes the file
    close_sessions()
    response = json.dumps(json.loads(SAMPLE.read_text()), separators=(",", ":"))
    first = 1_700_000_000
    rows = (
        (
            "benchmark",
            1 if at < OF_ONE else 2 + at % STREAMS,
            at + 1,
            (first + at) * 1000,
            (first + at) * 1_000_000,
            response.replace("32360", str(at + 1)).replace("1652481782", str(first + at)),
        )
        for at in range(runs)
    )
    db = sqlite3.connect(home / "history.sqlite")
    db.executemany(
        "INSERT INTO run"
        " (instance, stream_id, execution_id, requested_at, sorted_at, answer, state, finished, outcome)"
        " VALUES (?, ?, ?, ?, ?, ?, 'SUCCESS', 1, 'started')",
        rows,
    )
    db.commit()
    db.close()


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def switch(home: Path) -> None:
    """Use another history, opened already."""
    close_sessions()
    os.environ["DOMO_MAGIC_HOME"] = str(home)
    domo.runs(refresh=False, limit=1)


def main() -> int:
    """Measure both, alternating; return 1 when a figure is missed."""
    os.environ |= {"DOMO_INSTANCE": "benchmark", "DOMO_DEVELOPER_TOKEN": "not-used-at-all"}
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder, "small"), Path(folder, "large")
        fill(small, FEW)
        fill(large, MANY)
        newest: dict[Path, list[float]] = {small: [], large: []}
        ours, raw, read = [], [], []
        db = sqlite3.connect(large / "history.sqlite")
        for _ in range(ROUNDS):
            for home, times in newest.items():
                switch(home)
                times.append(statistics.median(timed(domo.runs) for _ in range(5)))
            ours.append(timed(lambda: domo.runs(1, limit=OF_ONE, refresh=False)))
            raw.append(timed(lambda: pd.read_sql(RAW, db)))
            read.append(timed(lambda: pd.read_sql(RAW_READ, db)))
        db.close()
        if len(domo.runs(1, limit=OF_ONE, refresh=False)) != OF_ONE or len(domo.runs()) != 100:
            sys.exit("not the rows that were asked for")
        close_sessions()
    few, many = (statistics.median(times) * 1000 for times in newest.values())
    fast, plain = statistics.median(ours) * 1000, statistics.median(raw) * 1000
    print(
        f"newest 100: {many:.1f} ms of {MANY:,}, {few:.1f} ms of {FEW:,}:"
        f" ratio {many / few:.2f} (target {TWICE:g})"
    )
    print(
        f"{OF_ONE:,} of a stream: {fast:.0f} ms, raw rows {plain:.0f} ms:"
        f" ratio {fast / plain:.2f} (target {THREE_TIMES:g}); only the columns read"
        f" {fast / (statistics.median(read) * 1000):.2f}"
    )
    return int(many / few > TWICE or fast / plain > THREE_TIMES)


if __name__ == "__main__":
    sys.exit(main())

"""Comparing a folder of many runs beside comparing as many in frames, on threads and on a Dask cluster.

``python tests/benchmarks/compare_path.py [RUNS]``; 1,000,000 by default, the full scale is 10,000,000. The
files are made by this script as `domo.collect` writes them: ten parts of whole streams of 200 runs. Each side
runs in a process of its own, which prints its peak memory.
"""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

PARTS, PAST = 10, 200
TARGET, MEMORY = 1.3, 1024


def part(number: int, streams: int) -> pa.Table:
    """Return the runs of some streams, 200 hourly ones each: 2 % failed, 1 % slow."""
    from domo_magic.analysis.arrow import COLLECTED, schema

    random = np.random.default_rng(number)
    size = streams * PAST
    stream = np.repeat(np.arange(streams) + number * streams + 1, PAST)
    run = np.tile(np.arange(1, PAST + 1), streams)
    began = 1_700_000_000_000_000 + run * 3_600_000_000
    lasted = random.normal(100e6, 5e6, size) * np.where(random.random(size) < 0.01, 4, 1)
    failed = random.random(size) < 0.02
    columns: dict[str, Any] = {
        "streamId": stream,
        "executionId": run,
        "currentState": pa.array(np.where(failed, "ERROR", "SUCCESS")),
        "startedAt": began,
        "endedAt": began + lasted.astype("int64"),
        "duration": lasted / 1e6,
        "rowsInserted": 10_000 + random.integers(0, 50, size),
        "bytesInserted": 500_000 + random.integers(0, 9_000, size),
        "updateMethod": pa.array(np.full(size, "REPLACE")),
        "peakMemoryUsedBytes": 200_000_000 + random.integers(0, 9_000_000, size),
        "errors": pa.array(np.where(failed, '[{"message": "login refused"}]', "[]")),
        "name": pa.array(np.char.add("DataSet ", stream.astype(str))),
        "instance": pa.array(np.full(size, "mycompany")),
    }
    nothing = pa.nulls(size)
    arrays = [pa.array(columns.get(field.name, nothing)).cast(field.type) for field in schema()]
    return pa.table(arrays, schema().with_metadata({COLLECTED: b"{}"}))


def frames(folder: Path) -> int:
    """Compare each part as one frame in memory; reading it is not counted."""
    import domo_magic as domo
    from domo_magic.analysis.baseline import compare

    unusual, took = 0, 0.0
    for file in sorted(folder.iterdir()):
        runs = domo.read_parquet(file)
        began = time.perf_counter()
        compared = compare(runs)
        took += time.perf_counter() - began
        unusual += int((compared["verdict"] != "usual").sum())
    return report(took, unusual)


def report(took: float, unusual: int) -> int:
    """Print what one side took, and its peak memory in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"took": took, "unusual": unusual, "peak": peak}))
    return 0


def loaded() -> None:
    """Load what a first comparison loads: imports are not counted."""
    for name in ("pandas", "pyarrow.compute", "pyarrow.parquet", "domo_magic.fleet.compare"):
        importlib.import_module(name)


def path(folder: Path, workers: int) -> int:
    """Compare the folder, on threads or on a cluster, whose start is not counted."""
    import domo_magic as domo

    if not workers:
        began = time.perf_counter()
        unusual = len(domo.compare(folder))
        return report(time.perf_counter() - began, unusual)
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as c,
    ):
        c.run(loaded)
        began = time.perf_counter()
        unusual = len(domo.compare(folder))
        took = time.perf_counter() - began
    return report(took, unusual)


def measured(folder: Path, *side: str) -> dict[str, float]:
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--side", *side, str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{' '.join(side):>8}: {found['took']:6.2f} s, peak {found['peak']:,.0f} MiB")
    return found


def main() -> int:
    """Measure and print; 1 when a figure is missed."""
    if sys.argv[1:2] == ["--side"]:
        side, *rest = sys.argv[2:]
        return frames(Path(rest[-1])) if side == "frames" else path(Path(rest[-1]), int(rest[0]))
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, "runs")
        folder.mkdir()
        for number in range(PARTS):
            file = folder / f"part-{number + 1:06d}.parquet"
            parquet.write_table(part(number, runs // PARTS // PAST), file, row_group_size=65_536)
        print(f"{runs:,} runs, {sum(file.stat().st_size for file in folder.iterdir()) / 2**20:,.0f} MiB")
        beside = measured(folder, "frames")
        threads = measured(folder, "path", "0")
        one, two = (measured(folder, "path", workers) for workers in ("1", "2"))
    equal = beside["unusual"] == threads["unusual"] == one["unusual"] == two["unusual"]
    ratio = threads["took"] / beside["took"]
    print(f"both sides equal: {equal}; {ratio:.2f} of the frames' time (target at most {TARGET})")
    print(f"peak {threads['peak']:,.0f} MiB (target at most {MEMORY:,})")
    print(f"two workers {two['took'] / one['took']:.2f} of one's time (target under 1)")
    return int(not equal or ratio > TARGET or threads["peak"] > MEMORY or two["took"] >= one["took"])


if __name__ == "__main__":
    sys.exit(main())

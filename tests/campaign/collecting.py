"""Collects that are killed at random, over one folder; in the end it has every run of the server, once.

``python tests/campaign/collecting.py [--collects 200] [--seed N]`` prints what was met and counted, and exits
with 1 unless the folder had no run twice after any of them, and equals the server's runs in the end.

A sandbox meets 1 request in 20 with a fault, and new runs start and end in between. Each collect runs in a
process of its own, most of which are killed with SIGKILL: when a random one of their requests arrives, or a
random time after the last that every collect sends.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import faults
from pyarrow import parquet

from domo_magic.analysis.arrow import schema, to_arrow
from domo_magic.model.execution import parse_json
from domo_magic.sandbox import ManualClock, Sandbox

if TYPE_CHECKING:
    import pyarrow as pa
    from faults import Fault, Request

KEY = ["streamId", "executionId"]
STREAMS, PAST = 120, 150
_FAULTY, _KILLED, _GAVE_UP = 0.05, 0.8, 3
# Seconds between two looks at a collect that is to be killed.
_LOOK = 0.01
_KINDS = {
    "reset": faults.reset(),
    "500": faults.status(500),
    "429": faults.status(429),
    "HTML": faults.html(),
    "cut": faults.cut(),
}
# Columns that are ours, not the server's.
_OURS = ["name", "instance", "label", "requestedAt"]


def collect(url: str, token: str, folder: str, parallel: int) -> None:
    """Collect in a process of its own."""
    from dataclasses import replace

    import domo_magic as domo
    from domo_magic.executions.session import open_session, use_session
    from domo_magic.http.address import address
    from domo_magic.http.credentials import Login, Token
    from domo_magic.model.timeouts import Timeouts

    login = Login(address(url), Token(token), "the campaign")
    timeouts = replace(Timeouts().scaled(1 / 100), connect=5.0, response=5.0, longest_retry_after=300.0)
    use_session(open_session(login, timeouts=timeouts, sandbox=True))
    try:
        domo.collect(folder, max_parallel=parallel)
    except domo.DomoError:  # the list of connectors met one fault too many
        sys.exit(_GAVE_UP)


class Campaign:
    """A server, a folder, and processes that collect into it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.draw = random.Random(seed)
        self.folder = folder
        self.clock = ManualClock(1_734_458_216.0)
        self.sandbox = Sandbox(clock=self.clock, streams=5)
        self.met: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.streams = [self.sandbox.world.add_stream(past=self.draw.randrange(PAST)) for _ in range(STREAMS)]
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["domo_magic.api", "pyarrow.parquet", "pyarrow.compute"])
        self.usual = 2.0
        self.requests = 0

    def fault(self, _request: Request) -> Fault | None:
        """Return what goes wrong with a request."""
        self.requests += 1
        if self.draw.random() >= _FAULTY:
            return None
        kind = self.draw.choice(list(_KINDS))
        self.met[kind] += 1
        return _KINDS[kind]

    def live(self) -> None:
        """Let runs start and end."""
        for stream_id in self.draw.sample(self.streams, self.draw.randrange(12)):
            self.sandbox.world.start(stream_id)
        self.clock.advance(self.draw.choice([1, 10, 3600]))

    def collect(self, *, killed: bool) -> None:
        """Collect once, or a part of it."""
        arguments = (self.sandbox.url, self.sandbox.token, str(self.folder), self.draw.choice([4, 16]))
        process = self.context.Process(target=collect, args=arguments)
        began = time.monotonic()
        before = self.requests
        process.start()
        if killed:
            part = self.draw.uniform(0, 1.3)
            while process.exitcode is None and self.requests - before < min(part, 1) * STREAMS:
                process.join(_LOOK)
            process.join(max(0, part - 1) * self.usual)
        else:
            process.join()
        if process.exitcode is None:
            process.kill()
            process.join()
            self.counts["killed"] += 1
        elif process.exitcode:
            self.counts["gave up" if process.exitcode == _GAVE_UP else "failed"] += 1
        else:
            self.usual = (self.usual + time.monotonic() - began) / 2
            self.counts["ended"] += 1

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """Return what the folder holds."""
        if not any(self.folder.glob("*.parquet")):
            return schema().empty_table()
        table = parquet.read_table(self.folder, columns=columns)
        return table.sort_by([(name, "ascending") for name in KEY])

    def twice(self) -> int:
        """Return how many runs are in the folder more than once."""
        keys = self.table(KEY)
        return len(keys) - len(keys.group_by(KEY).aggregate([]))

    def server(self) -> pa.Table:
        """Return what the server has."""
        records: list[Any] = []
        for stream in self.sandbox.world.streams(10**6, 0):
            if stream["transport"]["type"] == "CONNECTOR" and not stream.get("deleted"):
                records += parse_json(self.sandbox.world.executions_json(stream["id"], 10**6, 0))
        facts = [(each["streamId"], each["executionId"], None, None, None, None) for each in records]
        return to_arrow(records, facts).sort_by([(name, "ascending") for name in KEY])

    def run(self, collects: int) -> bool:
        """Collect that often; return whether all was as it should be."""
        twice = 0
        with self.sandbox:
            self.sandbox.decide = self.fault
            for _ in range(collects):
                self.collect(killed=self.draw.random() < _KILLED)
                twice += self.twice()
                self.live()
            self.sandbox.decide = None
            self.clock.advance(86_400)
            self.collect(killed=False)
            found, expected = self.table().drop_columns(_OURS), self.server().drop_columns(_OURS)
        equal = found.replace_schema_metadata(None).equals(expected)
        counted = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        print(f"{collects + 1} collects: {counted}; {len(list(self.folder.iterdir()))} parts")
        print("faults met: " + ", ".join(f"{kind} {count}" for kind, count in sorted(self.met.items())))
        print(f"runs at the server: {len(expected):,}, in the folder: {len(found):,}")
        print(f"runs that were in the folder twice at any time: {twice}")
        print(f"both sides equal: {equal}")
        return equal and not twice and not self.counts["failed"]


def main() -> int:
    """Run the campaign; 1 when something was lost or twice there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collects", type=int, default=200)
    parser.add_argument("--seed", type=int, default=25775)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        return int(not Campaign(arguments.seed, Path(home, "runs")).run(arguments.collects))


if __name__ == "__main__":
    sys.exit(main())

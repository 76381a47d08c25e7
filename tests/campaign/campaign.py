"""Bad weather: thousands of starts, faults at random, a client that is killed; nothing twice, nothing lost.

``python tests/campaign/campaign.py [--starts 10000] [--kills 300] [--seed N]`` prints what was met and
counted, and exits with 1 unless nothing was lost, nothing was started twice and the history is intact.

A sandbox in a process of its own meets 3 requests in 10 with a fault, its clock is up to 90 s off, and the
schedule starts runs of its own in between. The client starts streams in a process that is killed with SIGKILL
at random moments, and goes on in a new one with the same history. All deadlines are divided by 100, but not
the window in which a run is a start's own: Domo's times are whole seconds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import sqlite3
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import faults

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # what is forked has one thread

import pandas as pd  # noqa: F401  loaded once, not in every client
import requests  # noqa: F401

from domo_magic import api
from domo_magic.errors import DomoError
from domo_magic.executions.session import current_session, open_session, use_session
from domo_magic.history.store import FILE
from domo_magic.http.address import address
from domo_magic.http.credentials import Login, Token
from domo_magic.model.timeouts import Timeouts
from domo_magic.sandbox import Sandbox
from domo_magic.sandbox.simulation import OWNER, Habit

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection as Pipe

    from faults import Fault, Request

TIMING = replace(Timeouts().scaled(1 / 100), start_window=60.0)
_FORK = multiprocessing.get_context("fork")
_FIRST = 100_001
_ASKS_OF_A_STREAM = 5
_FAULTY = 0.3
_SCHEDULED = 0.05
_LATE = 2.5 * TIMING.response

FAULTS: dict[str, Callable[[random.Random], Fault]] = {
    "reset before": lambda _: faults.reset(),
    "reset after": lambda _: faults.reset(after=True),
    "delay past the deadline": lambda draw: faults.delay(draw.uniform(0.8, 1) * _LATE, after=_half(draw)),
    "429": lambda draw: faults.status(429, retry_after=draw.choices([None, 0, 1], [10, 9, 1])[0]),
    "500": lambda draw: faults.status(500, after=_half(draw)),
    "503": lambda draw: faults.status(503, after=_half(draw)),
    "HTML": lambda draw: faults.html(code=draw.choice([200, 502]), after=_half(draw)),
    "cut JSON": lambda draw: faults.cut(broken=_half(draw)),
    "empty 2xx": lambda draw: draw.choice([faults.empty(), faults.response(b"{}", after=True)]),
    "slow drip": lambda draw: faults.drip(TIMING.response / 10, headers=_half(draw)),
}


MIXED_UP = ("response twice", "another stream's response", "replayed id")


def _half(draw: random.Random) -> bool:
    return draw.random() < 0.5


class Weather:
    """Draws a fault for 3 requests in 10, and now and then lets the schedule start a run just before ours."""

    def __init__(self, sandbox: Sandbox, seed: int) -> None:
        self._sandbox = sandbox
        self._draw = random.Random(seed)
        self._lock = threading.Lock()
        self.met: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self._delivered: dict[int, float] = {}

    def __call__(self, request: Request) -> Fault | None:
        """Return what goes wrong with a request."""
        with self._lock:
            self.seen[request.method] += 1
            if request.method == "POST" and self._draw.random() < _SCHEDULED:
                stream_id = int(request.path.split("/")[5])
                self._sandbox.world.start(stream_id, run_type="AUTOMATED", started_by=None)
            if self._draw.random() >= _FAULTY:
                if request.method == "POST":
                    self._delivered[int(request.path.split("/")[5])] = time.monotonic()
                return None
            kind = self._draw.choice([*FAULTS, *MIXED_UP])
            self.met[kind] += 1
            if request.method == "POST" and kind != "replayed id":
                self._delivered.pop(int(request.path.split("/")[5]), None)
            return FAULTS[kind](self._draw) if kind in FAULTS else self._mixed_up(kind, request)

    def _mixed_up(self, kind: str, request: Request) -> Fault:
        """Send what belongs to another request, as a balancer may."""
        stream_id = int(re.findall(r"/streams/(?:state/)?(\d+)", request.path)[0])
        if kind == "another stream's response":
            return self._created({"streamId": stream_id + 1, "executionId": 1})
        if kind == "replayed id":
            # Of a response delivered lately: no balancer keeps one for long, and of one that was
            # lost the run would be taken from a start that can no longer be the later run's.
            lately = time.monotonic() - self._delivered.pop(stream_id, 0.0) < TIMING.start_window / 4
            ours = [run for run in self._sandbox.world.newest(stream_id) if run["startedBy"] == OWNER]
            return self._created(ours[0]) if lately and ours else faults.reset()
        twin = b'{"executionId": 1, "currentState": "ACTIVE"}'
        second = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(twin) + twin
        return faults.response(b"{}" + second, code=201, headers={"Content-Length": "2"}, after=True)

    def _created(self, execution: dict[str, Any]) -> Fault:
        return faults.response(json.dumps(execution).encode(), code=201, after=_half(self._draw))


def serve(pipe: Pipe, streams: int, seed: int) -> None:
    """Serve a sandbox with bad weather until told: ``calm``, then ``report``."""
    offset = random.Random(seed).uniform(-90, 90)
    with Sandbox(clock=lambda: time.time() + offset, seed=seed) as sandbox:
        for stream_id in range(_FIRST, _FIRST + streams):
            sandbox.world.add_stream(stream_id=stream_id, habit=Habit(seconds=0.06, spread=1.0))
        weather = sandbox.decide = Weather(sandbox, seed)
        pipe.send((sandbox.url, sandbox.token, offset))
        pipe.recv()
        sandbox.decide = None
        pipe.send(None)
        pipe.recv()
        runs = {
            (stream_id, int(str(run["executionId"]))): run["startedBy"] == OWNER
            for stream_id in range(_FIRST, _FIRST + streams)
            for run in sandbox.world.executions(stream_id, 10**6)
        }
        pipe.send((runs, weather.met, weather.seen))
        pipe.recv()


class Ledger:
    """What was asked for, in memory that outlives every client."""

    def __init__(self, plan: list[int]) -> None:
        self.plan = plan
        self._numbers = _FORK.RawArray("i", 3)
        self.asked = _FORK.RawArray("i", max(plan) + 1 - _FIRST)

    @property
    def position(self) -> int:
        """How many of the plan's starts were asked for."""
        return int(self._numbers[0])

    @property
    def under_way(self) -> list[int]:
        """The streams of the call that has not returned."""
        return self.plan[self._numbers[1] : self._numbers[2]]

    def begin(self, size: int) -> list[int]:
        """Note the next starts of the plan before they are asked for."""
        first = self._numbers[0]
        self._numbers[0] = last = min(first + size, len(self.plan))
        self._numbers[1], self._numbers[2] = first, last
        return self.again(self.under_way)

    def again(self, streams: list[int]) -> list[int]:
        """Note that streams are asked for once more."""
        for stream_id in streams:
            self.asked[stream_id - _FIRST] += 1
        return streams

    def end(self) -> None:
        """Note that the call has returned."""
        self._numbers[1] = self._numbers[2] = 0


def connect(url: str, token: str) -> None:
    """Connect as a kernel that has just been started."""
    warnings.simplefilter("ignore")
    login = Login(address(url), Token(token), "the campaign")
    use_session(open_session(login, timeouts=TIMING))


def client(ledger: Ledger, url: str, token: str, seed: int) -> None:
    """Go on with the plan, as a user whose kernel has died: first perhaps looking, or running it again."""
    connect(url, token)
    draw = random.Random(seed)
    habit = draw.choice(["go on", "look", "again"])
    with suppress(DomoError):
        if habit == "look":
            api.runs()
        elif habit == "again" and ledger.under_way:
            api.run(ledger.again(ledger.under_way), if_running="adopt")
    while ledger.position < len(ledger.plan):
        streams = ledger.begin(draw.choice([1, 4, 16, 40]))
        waits = draw.random() < 0.3
        with suppress(DomoError):
            api.run(streams, wait=waits, timeout=1 if waits else None, on_failure="return")
        ledger.end()
        # What is asked for while Domo wants its rest does not leave, and would meet no weather.
        threading.Event().wait(current_session().client.retry_after)


def look(url: str, token: str) -> None:
    """Look once in good weather, as ``%domo_runs`` does."""
    connect(url, token)
    api.runs()


def spawn(target: Callable[..., None], *arguments: Any) -> Any:
    """Start a process."""
    process = _FORK.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


@dataclass(frozen=True)
class Result:
    """What a campaign met and counted."""

    seconds: float
    clock_offset: float
    asked: int
    started: int
    kills: int
    kills_under_way: int
    met: Counter[str]
    seen: Counter[str]
    lost: list[str]
    twice: list[str]
    taken: list[str]
    outcomes: Counter[str]
    integrity: str

    @property
    def good(self) -> bool:
        """Whether nothing was lost, nothing twice, nothing of others taken, and the file is intact."""
        return not (self.lost or self.twice or self.taken) and self.integrity == "ok"


def campaign(starts: int, kills: int, seed: int, home: Path) -> Result:
    """Start, kill, start again, and count."""
    os.environ["DOMO_MAGIC_HOME"] = str(home)
    began, draw = time.monotonic(), random.Random(seed)
    streams = max(40, starts // _ASKS_OF_A_STREAM)
    ledger = Ledger([_FIRST + number % streams for number in range(starts)])
    pipe, other = _FORK.Pipe()
    server = spawn(serve, other, streams, seed)
    url, token, offset = pipe.recv()
    under_way = 0
    try:
        for moment in sorted(draw.randrange(starts) for _ in range(kills)):
            process = spawn(client, ledger, url, token, draw.randrange(2**32))
            while ledger.position <= moment and process.is_alive():
                time.sleep(0.002)
            process.join(draw.uniform(0.0, 0.25))
            under_way += bool(ledger.under_way) and process.is_alive()
            process.kill()
            process.join()
        _finish(spawn(client, ledger, url, token, draw.randrange(2**32)))
        pipe.send("calm")
        pipe.recv()
        time.sleep(2 * _LATE)  # what was delayed at the sandbox has arrived there
        _finish(spawn(look, url, token))
        pipe.send("report")
        runs, met, seen = pipe.recv()
    finally:
        server.kill()
        server.join()
    counted = count(home / FILE, runs, ledger)
    return Result(
        seconds=time.monotonic() - began,
        clock_offset=offset,
        asked=sum(ledger.asked),
        started=sum(runs.values()),
        kills=kills,
        kills_under_way=under_way,
        met=met,
        seen=seen,
        **counted,
    )


def _finish(process: Any) -> None:
    process.join()
    if process.exitcode:
        raise RuntimeError(f"a client ended with {process.exitcode}")


def count(file: Path, runs: dict[tuple[int, int], bool], ledger: Ledger) -> dict[str, Any]:
    """Compare what there is at the sandbox (ours: True) with the history.

    A run is lost that the history does not know by its id; a stream was started twice where it has more runs
    of ours than starts that were not refused, or than were asked for.
    """
    with closing(sqlite3.connect(file)) as db:
        rows = db.execute("SELECT stream_id, execution_id, outcome FROM run").fetchall()
        integrity = db.execute("PRAGMA integrity_check").fetchone()[0]
    known = {(stream_id, execution_id) for stream_id, execution_id, _ in rows}
    claimed = {
        (stream_id, execution_id) for stream_id, execution_id, outcome in rows if outcome and execution_id
    }
    meant = Counter(stream_id for stream_id, _, outcome in rows if outcome and outcome != "refused")
    ours = Counter(stream_id for (stream_id, _), our in runs.items() if our)
    return {
        "lost": [
            f"{run[0]}/{run[1]} (starts: {[row[1:] for row in rows if row[0] == run[0]]})"
            for run, our in runs.items()
            if our and run not in known
        ],
        "twice": [
            f"{stream_id}: {number} runs, {meant[stream_id]} starts, {ledger.asked[stream_id - _FIRST]} asked"
            for stream_id, number in ours.items()
            if number > min(meant[stream_id], ledger.asked[stream_id - _FIRST])
        ],
        "taken": [f"{run[0]}/{run[1]}" for run in claimed if not runs.get(run, False)],
        "outcomes": Counter(outcome or "seen only" for _, _, outcome in rows),
        "integrity": integrity,
    }


def told(result: Result) -> str:
    """Return the result in words."""
    met = ", ".join(f"{kind} {result.met[kind]:,}" for kind in [*FAULTS, *MIXED_UP])
    requests_seen = ", ".join(f"{method} {number:,}" for method, number in sorted(result.seen.items()))
    outcomes = ", ".join(f"{outcome} {number:,}" for outcome, number in sorted(result.outcomes.items()))
    return "\n".join(
        [
            f"starts asked for {result.asked:,}, runs of ours at the sandbox {result.started:,}",
            f"client killed {result.kills} times, {result.kills_under_way} of them during a call",
            f"the sandbox's clock was {result.clock_offset:+.1f} s off",
            f"requests {result.seen.total():,} ({requests_seen}), with a fault {result.met.total():,}",
            f"faults met: {met}",
            f"in the history: {outcomes}",
            f"runs that the history does not know: {len(result.lost)} {result.lost[:10] or ''}".rstrip(),
            f"streams started more often than asked: {len(result.twice)} {result.twice[:10] or ''}".rstrip(),
            f"runs of others taken for ours: {len(result.taken)} {result.taken[:10] or ''}".rstrip(),
            f"history file: {result.integrity}",
            f"took {result.seconds:.0f} s",
        ]
    )


def main() -> int:
    """Run the campaign; give the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        result = campaign(options.starts, options.kills, options.seed, Path(folder))
    print(told(result))
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())

"""300 runs of one second, each with six earlier ones, told against the floor; and how late by length.

Domo cuts ``startedAt``, ``endedAt`` and ``Date`` to whole seconds. The server of `thousand_runs` does so
here, 50 ms a response; the floor is ``requests * 0.05 / 16`` seconds, or the run's length with its first and
last request where that is more. Then single runs of 1 s to 1 h are simulated under the polling rule: how
late their ends are known with our own clock, with times cut to seconds, and with a clock 0.9 s off besides.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import tempfile
import time
from math import exp, floor
from statistics import fmean, median, quantiles
from typing import Any

from thousand_runs import CONNECTIONS, LATENCY, Server, serve

import domo_magic as domo
from domo_magic.executions.schedule import next_delay
from domo_magic.executions.session import close_sessions

STREAMS, LENGTH, EARLIER, ROUNDS, TARGET = 300, 1.0, 6, 5, 1.5
LENGTHS, REQUEST, RUNS = (1, 5, 30, 300, 3600), 0.15, 600
CLOCKS = {
    "own clock": (False, 0.0),
    "cut": (True, 0.0),
    "0.9 s fast": (True, 0.9),
    "0.9 s slow": (True, -0.9),
}


class ShortRuns(Server):
    """Every run lasts a second, and every time is cut to whole seconds."""

    def run(self, stream: int, number: int) -> dict[str, Any]:
        """Return a run as Domo shows it."""
        began = self.runs[stream][number - 21]
        over = time.time() >= began + LENGTH
        ended = floor(began + LENGTH) if over else None
        state = "SUCCESS" if over else "ACTIVE"
        return {
            **super().run(stream, number),
            "startedAt": floor(began),
            "endedAt": ended,
            "currentState": state,
        }

    def past(self, stream: int, number: int) -> dict[str, Any]:
        """Return a run of the past; only the last six succeeded."""
        record = super().past(stream, number)
        ended = record["startedAt"] + LENGTH
        state = "SUCCESS" if number > 20 - EARLIER else "ABORTED"
        return {**record, "endedAt": ended, "currentState": state}


def followed(lasts: float, earlier: list[float], shift: float) -> float:
    """Return how late the end of one run is known, where it seems to have begun `shift` seconds earlier."""
    now = 0.0
    while True:
        now += next_delay(max(0.0, now + shift), earlier)
        if now + REQUEST / 2 >= lasts:
            return now + REQUEST - lasts
        now += REQUEST


def lateness(length: float, *, cut: bool, off: float) -> list[float]:
    """Return the lateness of runs whose earlier ones lasted about `length` seconds, cut to whole ones."""
    draw = random.Random(length)
    late = []
    for _ in range(RUNS):
        spread = draw.choice((0.02, 0.1, 0.3))
        lasts, *past = (length * exp(draw.gauss(0, spread)) for _ in range(21))
        earlier = [float(floor(begins + each) - floor(begins)) for each in past if (begins := draw.random())]
        late.append(followed(lasts, earlier, (draw.random() if cut else 0.0) + off))
    return late


def main() -> int:
    """Measure; give the exit status."""
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    server = context.Process(target=serve, args=(there, ShortRuns), daemon=True)
    server.start()
    ratios = []
    with tempfile.TemporaryDirectory() as home:
        os.environ["DOMO_MAGIC_HOME"] = home
        domo.connect(f"http://127.0.0.1:{here.recv()}", "a-token-of-the-benchmark")
        domo.run([90_001], wait=True)  # pandas and all that is loaded once
        for number in range(ROUNDS):
            here.send("count")
            before, _ = here.recv()
            began = time.perf_counter()
            rows = domo.run(list(range(1 + number * STREAMS, 1 + (number + 1) * STREAMS)), wait=True)
            took = time.perf_counter() - began
            here.send("count")
            requests = here.recv()[0] - before
            assert (rows.currentState == "SUCCESS").all(), "not every run was followed to its end"
            least = max(requests * LATENCY / CONNECTIONS, LENGTH + 2 * LATENCY)
            ratios.append(took / least)
            print(f"{took:.2f} s, floor {least:.2f} s: {took / least:.2f}; {requests:,} requests", flush=True)
        close_sessions()
    server.kill()
    print(f"median {median(ratios):.2f} of the floor (at most {TARGET})\n")
    print("seconds late, mean and 95 %" + "".join(f"{length:>14} s" for length in LENGTHS))
    missed = median(ratios) > TARGET
    for name, (cut, off) in CLOCKS.items():
        columns = [lateness(length, cut=cut, off=off) for length in LENGTHS]
        print(
            f"{name:27}" + "".join(f"{fmean(each):8.2f} {quantiles(each, n=20)[-1]:7.1f}" for each in columns)
        )
        missed |= any(
            fmean(each) > max(0.7, 0.1 * length)
            for length, each in zip(LENGTHS, columns, strict=True)
            if length <= 60
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())

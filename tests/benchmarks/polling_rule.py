"""The polling rule on 4,000 simulated runs from seconds to hours, beside fixed intervals and other services'.

Streams have a median duration from 5 s to 2 h (log-uniform), a spread of 0.05 to 0.6 (of the logarithm) and
a past of 20 runs; 1 run in 20 is up to 4 times off. A request takes 0.15 s, the state is read in its middle.
The rule sees no more than the elapsed time and the past. It is tuned to the number of requests that its rival
makes, never more, by its cost alone; then its mean lateness is compared.
"""

from __future__ import annotations

import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from math import exp, log
from statistics import fmean, quantiles
from typing import TYPE_CHECKING, NamedTuple

from domo_magic.executions.schedule import next_delay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = tuple[float, list[float]]
    Schedule = Callable[[float, int, list[float]], float]

SEED, RUNS, PAST, REQUEST, TARGET = 20_240, 4_000, 20, 0.15, 0.45
WIDE = 600.0
"""The rule's upper bound beside fixed 60 s, as 60 s would forbid to ask as seldom; elsewhere the default."""


class Outcome(NamedTuple):
    """What a schedule cost: means and 95 % quantiles over all runs."""

    requests: float
    requests95: float
    late: float
    late95: float


def made() -> Iterator[Run]:
    """Yield runs: how long each lasts, and how long its stream's earlier ones lasted."""
    draw = random.Random(SEED)
    for _ in range(RUNS):
        middle, spread = draw.uniform(log(5), log(7_200)), draw.uniform(0.05, 0.6)
        lasted = [exp(draw.gauss(middle, spread)) for _ in range(PAST + 1)]
        lasted = [x * 4 ** draw.uniform(-1, 1) if draw.random() < 0.05 else x for x in lasted]
        yield lasted[0], lasted[1:]


def fixed(seconds: float, _elapsed: float, _asked: int, _earlier: list[float]) -> float:
    """Ask at equal intervals."""
    return seconds


def databricks(_elapsed: float, asked: int, _earlier: list[float]) -> float:
    """Wait 1, 2, ... 10 s, as the Databricks SDK does, without its jitter."""
    return min(1.0 + asked, 10.0)


def growing(limit: float, _elapsed: float, asked: int, _earlier: list[float]) -> float:
    """Wait 1 s, then 1.5 times as long each time; up to 20 s it is google-api-core's, without jitter."""
    return float(min(1.5 ** min(asked, 20), limit))


def rule(cost: float, longest: float, elapsed: float, _asked: int, earlier: list[float]) -> float:
    """Ask by the rule, with its bounds written out."""
    return next_delay(elapsed, earlier, cost=cost, shortest=1.0, longest=longest)


def followed(schedule: Schedule, run: Run) -> tuple[int, float]:
    """Return how often one run is asked for and how late its end is known."""
    lasts, earlier = run
    now, asked = 0.0, 0
    while True:
        now += schedule(now, asked, earlier)
        asked += 1
        if now + REQUEST / 2 >= lasts:
            return asked, now + REQUEST - lasts
        now += REQUEST


class Simulation:
    """All runs under one schedule after another, on all cores."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self.runs = list(made())
        self.pool = pool

    def outcome(self, schedule: Schedule, stretch: float = 1.0, known: int = PAST) -> Outcome:
        """Return what a schedule costs, from `known` earlier runs, `stretch` times as long."""
        runs = [(lasts, [stretch * x for x in earlier[:known]]) for lasts, earlier in self.runs]
        asked, late = zip(*self.pool.map(partial(followed, schedule), runs, chunksize=100), strict=True)
        return Outcome(fmean(asked), quantiles(asked, n=20)[-1], fmean(late), quantiles(late, n=20)[-1])

    def equal(self, rival: Outcome, cost: float, longest: float) -> tuple[float, Outcome]:
        """Find the cost, from a guess on, at which the rule asks as often as a rival, and its outcome."""
        while True:
            found = self.outcome(partial(rule, cost, longest))
            share = found.requests / rival.requests
            if 0.98 <= share <= 1:
                return cost, found
            cost *= (share / 0.99) ** 2.2


def microseconds() -> float:
    """Return the median time of one call with a full past."""
    earlier = [250.0 + 5 * number for number in range(PAST)]
    times = []
    for _ in range(9):
        start = time.perf_counter()
        for elapsed in range(0, 1_000, 2):
            next_delay(elapsed, earlier)
        times.append((time.perf_counter() - start) / 500 * 1e6)
    return sorted(times)[4]


def line(name: str, outcome: Outcome) -> None:
    """Print one row of the table."""
    print(f"{name:44}" + "".join(f"{figure:9.1f}" for figure in outcome), flush=True)


def main() -> int:
    """Print the table and the comparisons, and return 1 when one of them misses its target."""
    print(f"seed {SEED}, {RUNS} runs, {PAST} earlier ones each, {REQUEST} s a request, rule: shortest 1 s")
    print(f"one call of next_delay: {microseconds():.0f} us (median; well under 100 is enough)\n")
    print(f"{'':44}{'requests':>9}{'95 %':>9}{'late s':>9}{'95 %':>9}")
    rivals: dict[str, Schedule] = {
        f"fixed {seconds} s": partial(fixed, seconds) for seconds in (3, 5, 10, 30, 60)
    }
    rivals |= {
        "Databricks": databricks,
        "Google": partial(growing, 20.0),
        "1 s x 1.5 up to 60 s": partial(growing, 60.0),
    }
    missed = 0
    with ProcessPoolExecutor() as pool:
        simulation = Simulation(pool)
        known = {name: simulation.outcome(schedule) for name, schedule in rivals.items()}
        for name, outcome in known.items():
            line(name, outcome)
        for cost in (0.25, 0.5, 1.0):
            line(f"rule, cost {cost}, longest 60 s", simulation.outcome(partial(rule, cost, 60.0)))
        usual = partial(rule, 0.25, 60.0)
        for runs in (3, 0):
            line(f"  cost 0.25, {runs} earlier runs known", simulation.outcome(usual, known=runs))
        for stretch in (0.25, 4, 16):
            line(f"  cost 0.25, the past {stretch} times as long", simulation.outcome(usual, stretch))
        print("\nat equal requests, the rule's mean lateness as a share of")
        for name, start, longest, target in (
            ("fixed 5 s", 0.004, 60.0, TARGET),
            ("fixed 10 s", 0.017, 60.0, TARGET),
            ("fixed 60 s", 0.65, WIDE, TARGET),
            ("Databricks", 0.016, 60.0, 1.0),
            ("Google", 0.063, 60.0, 1.0),
        ):
            cost, found = simulation.equal(known[name], start, longest)
            ratio = found.late / known[name].late
            missed += ratio > target
            print(
                f"  {name:11} {ratio:.3f} (target {target}): cost {cost:.4f}, longest {longest:.0f} s,"
                f" {found.requests:.1f} for {known[name].requests:.1f} requests,"
                f" {found.late:.2f} for {known[name].late:.2f} s late, 95 % {found.late95:.1f} for"
                f" {known[name].late95:.1f}",
                flush=True,
            )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())

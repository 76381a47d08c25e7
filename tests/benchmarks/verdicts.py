"""What the verdicts are worth: precision and recall on simulated histories with planted changes.

Each history is a year of daily runs of one stream. Against `compare` stand, on the same last 20 runs,
mean plus or minus 3 standard deviations, and a fixed 50 % off the mean; and `compare` with other constants.
A measurement without a figure to meet: it says what the constants are worth, and which might be better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from domo_magic.analysis import baseline

if TYPE_CHECKING:
    from collections.abc import Callable

    Numbers = np.ndarray[tuple[int, int], np.dtype[np.float64]]
    Marks = np.ndarray[tuple[int, int], np.dtype[np.bool_]]

STREAMS, RUNS, SHARE = 120, 365, 0.03
OURS = (baseline.DEVIATIONS, baseline.RATIO)
OTHERS = ((0, 1.5), (3, 1), (5, 1.5), (3, 2), (4, 2), (5, 2))


def noise(random: np.random.Generator, low: float = 0.05, high: float = 0.3) -> Numbers:
    """Return numbers around 1, some streams steadier than others."""
    return np.exp(random.normal(0, random.uniform(low, high, (STREAMS, 1)), (STREAMS, RUNS)))


def planted(random: np.random.Generator) -> Marks:
    """Return which runs are changed: 3 %, not among the first 30."""
    marks = random.random((STREAMS, RUNS)) < SHARE
    marks[:, :30] = False
    return marks


def slower(random: np.random.Generator) -> tuple[Numbers, Marks]:
    """Single runs take 1.5 to 5 times as long."""
    marks = planted(random)
    return noise(random) * np.where(marks, random.uniform(1.5, 5, marks.shape), 1), marks


def fewer_rows(random: np.random.Generator) -> tuple[Numbers, Marks]:
    """Single runs bring 0 to 67 % of the rows."""
    marks = planted(random)
    return noise(random, 0.01, 0.2) * np.where(marks, random.uniform(0, 1 / 1.5, marks.shape), 1), marks


def step(random: np.random.Generator) -> tuple[Numbers, Marks]:
    """From one day on everything takes twice as long; only the first five such runs are news."""
    days = np.arange(RUNS) - random.integers(60, RUNS - 60, (STREAMS, 1))
    return noise(random) * np.where(days >= 0, 2, 1), (days >= 0) & (days < 5)


def drift(random: np.random.Generator) -> tuple[Numbers, Marks]:
    """Within the year runs come to take three times as long, which is usual; single ones 1.5 to 5."""
    values, marks = slower(random)
    return values * np.linspace(1, 3, RUNS), marks


def weekly(random: np.random.Generator) -> tuple[Numbers, Marks]:
    """Mondays take twice as long, which is usual; single runs 1.5 to 5 times the usual of their day."""
    values, marks = slower(random)
    return values * np.where(np.arange(RUNS) % 7 == 0, 2, 1), marks


def heavy_tails(random: np.random.Generator) -> tuple[Numbers, Marks]:
    """Vary as Student's t with 2 degrees of freedom; single ones take 5 to 10 times as long."""
    marks = planted(random)
    values = np.exp(0.2 * random.standard_t(2, marks.shape).clip(-8, 8))
    return values * np.where(marks, random.uniform(5, 10, marks.shape), 1), marks


def bad_weeks(random: np.random.Generator) -> tuple[Numbers, Marks]:
    """Give changes in clusters: for a week every other run takes 3 to 5 times as long."""
    starts = random.random((STREAMS, RUNS)) < 0.01
    starts[:, :30] = False
    marks = starts.copy()
    for days in (2, 4, 6):
        marks[:, days:] |= starts[:, :-days]
    return noise(random) * np.where(marks, random.uniform(3, 5, marks.shape), 1), marks


def steady(random: np.random.Generator) -> tuple[Numbers, Marks]:
    """Nothing happens to streams that hardly vary: whatever is said is a false alarm."""
    return noise(random, 0.002, 0.1), np.zeros((STREAMS, RUNS), dtype=bool)


SCENARIOS = (slower, fewer_rows, step, drift, weekly, heavy_tails, bad_weeks, steady)


def history(values: Numbers, metric: str) -> pd.DataFrame:
    """Return runs with these numbers, a duration of 1 being ten minutes and a number of rows 100,000."""
    start = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(
        np.tile(np.arange(RUNS), STREAMS), unit="D"
    )
    seconds = 600 * values.ravel() if metric == "duration" else np.full(values.size, 600.0)
    rows = (
        np.full(values.size, 100_000) if metric == "duration" else (100_000 * values.ravel()).astype("int64")
    )
    return pd.DataFrame(
        {
            "streamId": np.repeat(np.arange(STREAMS), RUNS),
            "executionId": np.tile(np.arange(RUNS), STREAMS),
            "currentState": "SUCCESS",
            "startedAt": start,
            "endedAt": start + pd.to_timedelta(seconds.round(3), unit="s"),
            "rowsInserted": rows,
        }
    )


def ours(values: Numbers, metric: str, constants: tuple[float, float]) -> Marks:
    """Return what `compare` calls unusual with these constants."""
    baseline.DEVIATIONS, baseline.RATIO = constants
    compared = baseline.compare(history(values, metric)).sort_values(["streamId", "executionId"])
    baseline.DEVIATIONS, baseline.RATIO = OURS
    return (~compared["verdict"].isin(["usual", "no baseline"])).to_numpy(dtype=bool).reshape(values.shape)


def window(values: Numbers) -> pd.api.typing.Rolling:
    """Return the last 20 runs before each, per stream."""
    return pd.DataFrame(values.T).shift(1).rolling(20, min_periods=5)


def three_sigma(values: Numbers, _metric: str) -> Marks:
    """Return what is beyond mean plus or minus 3 standard deviations."""
    before = window(values)
    return (abs(values.T - before.mean()) > 3 * before.std()).to_numpy().T


def fixed_share(values: Numbers, _metric: str) -> Marks:
    """Return what is more than 50 % off the mean."""
    usual = window(values).mean()
    return (abs(values.T - usual) > 0.5 * usual).to_numpy().T


def figures(said: Marks, marks: Marks) -> tuple[int, int, int, int]:
    """Return hits, alarms, changes and ordinary runs."""
    return int((said & marks).sum()), int(said.sum()), int(marks.sum()), int((~marks).sum())


def line(hits: int, alarms: int, changes: int, ordinary: int) -> str:
    """Return precision, recall and false alarms per 1,000 ordinary runs."""
    precision = f"{hits / alarms:9.2f}" if alarms and changes else "        -"
    recall = f"{hits / changes:7.2f}" if changes else "      -"
    return f"{precision}{recall}{1000 * (alarms - hits) / ordinary:8.1f}"


def f1(figure: tuple[int, ...]) -> float:
    """Return the harmonic mean of precision and recall."""
    return 2 * figure[0] / (figure[1] + figure[2])


def main() -> None:
    """Simulate, judge and print."""
    judges: dict[str, Callable[[Numbers, str], Marks]] = {
        "compare": lambda values, metric: ours(values, metric, OURS),
        "mean ± 3 sd": three_sigma,
        "fixed 50 %": fixed_share,
    }
    for pair in OTHERS:
        judges[f"{pair[0]:g} MAD, {pair[1]:g}"] = lambda values, metric, pair=pair: ours(values, metric, pair)
    found: dict[str, list[tuple[int, int, int, int]]] = {name: [] for name in judges}
    print(f"{'':30}precision recall  false alarms per 1,000 ordinary runs")
    for number, scenario in enumerate(SCENARIOS):
        values, marks = scenario(np.random.default_rng(number))
        metric = "rowsInserted" if scenario is fewer_rows else "duration"
        for name, judge in judges.items():
            found[name].append(figures(judge(values, metric), marks))
            print(f"{scenario.__name__ if name == 'compare' else '':14}{name:16}{line(*found[name][-1])}")
    print(f"\n{'':60}F1   mean of the scenarios' F1")
    for name, each in found.items():
        together = tuple(map(sum, zip(*each, strict=True)))
        mean = np.mean([f1(figure) for figure in each if figure[2]])
        start = f"{'over all' if name == 'compare' else '':14}{name:16}"
        print(f"{start}{line(*together)}{f1(together):16.2f}{mean:7.2f}")


if __name__ == "__main__":
    main()

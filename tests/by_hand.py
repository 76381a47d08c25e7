"""The verdicts of streams without a rhythm as a slow loop that follows the words of the rule."""

from __future__ import annotations

from itertools import pairwise
from math import log
from statistics import median
from typing import Any

Run = dict[str, Any]
METRICS = ("duration", "rowsInserted", "bytesInserted", "peakMemoryUsedBytes")
WORDS = (("slow", "fast"), ("many rows", "few rows"), ("many bytes", "few bytes"), ("more memory", None))
DAY = 86_400


def compared(runs: list[Run]) -> dict[Any, tuple[str, list[float | None]]]:
    """Return verdict and baselines of each run, by its ``executionId``, as `compare` should.

    Parameters
    ----------
    runs : list of dict
        ``streamId executionId start end state finished cancelled``, times in epoch seconds or None, the
        metrics (durations in seconds, None where missing), and ``lasted`` of those unfinished.
    """
    found = {}
    for stream in {run["streamId"] for run in runs}:
        own = [run for run in runs if run["streamId"] == stream]
        own.sort(key=lambda run: (run["start"] or 0, run["executionId"]))
        for run in own:
            run["before"] = [one for one in own if _counts_for(run, one)][-20:]
        metrics = [_judged(own, metric) for metric in METRICS]
        for run, judgements in zip(own, zip(*metrics, strict=True), strict=True):
            found[run["executionId"]] = _verdict(run, judgements), [usual for _, usual in judgements]
    return found


def _counts_for(run: Run, one: Run) -> bool:
    known = one["state"] == "SUCCESS" and one["start"] is not None and one["end"] is not None
    return known and max(one["start"], one["end"]) < (run["start"] or 0)


def _judged(runs: list[Run], metric: str) -> list[tuple[float, float | None]]:
    """Return for each run how far off it is (the logarithm; 0: usual), and its baseline."""
    judgements = []
    far: list[tuple[float, float, float]] = []
    for run in runs:
        off, usual, value = _off(run, metric)
        if off and value and usual:
            if level := _level(run["before"], metric, off, usual):
                judgements.append((0, level))
                continue
            day = run["start"] / DAY
            months = [[one for one in far if abs(day - one[0] - month) <= 2][-1:] for month in (29.5, 60.5)]
            far.append((day, off, value))
            if all(month and month[0][1] / off >= 0.6 for month in months):
                off, usual = 0, months[0][0][2]
        judgements.append((off, usual))
    return judgements


def _level(before: list[Run], metric: str, off: float, usual: float) -> float | None:
    """Return the median of those as far off, where that came up time and again."""
    past = [one[metric] for one in before]
    far = [bool(value) and log(value / usual) / off >= 0.6 for value in past]
    times = sum(one and not after for one, after in pairwise(far))
    if times < max(2, len(before) / 5):
        return None
    return median(value for value, is_far in zip(past, far, strict=True) if is_far)


def _off(run: Run, metric: str) -> tuple[float, float | None, float | None]:
    known = [one[metric] for one in run["before"] if one[metric] is not None]
    usual = median(known) if len(known) >= 5 else None
    value = run["lasted"] if metric == "duration" and not run["finished"] else run[metric]
    if value is None or not usual:
        return 0, usual, value
    spread = 1.4826 * median(abs(other - usual) for other in known)
    ratio = 1.2 if metric in {"rowsInserted", "bytesInserted"} and spread < 0.05 * usual else 1.5
    if 1 / ratio < value / usual < ratio or abs(value - usual) <= 5 * spread:
        return 0, usual, value
    if value == 0:
        return -float(sum(one[metric] == 0 for one in run["before"]) < 2), usual, value
    return log(value / usual), usual, value


def _verdict(run: Run, judgements: tuple[tuple[float, float | None], ...]) -> str:
    if run["finished"] and run["state"] != "SUCCESS":
        return "cancelled" if run["cancelled"] else "failed"
    words = [both[0 if off > 0 else 1] for (off, _), both in zip(judgements, WORDS, strict=True) if off]
    if not run["finished"]:
        return "running, slow" if "slow" in words else "running"
    empty = sum(one["rowsInserted"] == 0 for one in run["before"])
    if run["rowsInserted"] == 0 and judgements[1][1] and empty < 2:
        return "no rows"
    known = any(
        usual is not None and run[metric] is not None
        for metric, (_, usual) in zip(METRICS, judgements, strict=True)
    )
    return (", ".join(filter(None, words)) or "usual") if known else "no baseline"

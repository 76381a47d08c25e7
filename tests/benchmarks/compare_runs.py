"""Comparing 1,000,000 runs of 5,000 streams, beside one rolling median of pandas per metric.

The responses are checked first, against a slow loop that follows the definition word by word. `compare`
sorts on two threads, pandas works on one; processor time is printed beside the time that passes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
import by_hand

from domo_magic.analysis import rhythm
from domo_magic.analysis.baseline import compare

RUNS, STREAMS, SAMPLE, ROUNDS, TARGET = 1_000_000, 5_000, 5_000, 7, 1.0
METRICS = by_hand.METRICS
NOW = pd.Timestamp("2026-01-01", tz="UTC")


def made(runs: int, streams: int, *, overlapping: float) -> pd.DataFrame:
    """Return runs newest first: 2 % failed, some still running, some numbers missing, some runs far off."""
    random = np.random.default_rng(20_260_101)
    stream = random.integers(0, streams, runs)
    start = (NOW - pd.Timedelta(days=365)).value // 1000 + np.sort(
        random.integers(0, 365 * 86_400, runs)
    ) * 1_000_000
    lasted = np.exp(random.normal(5, 0.3, runs)) * np.where(random.random(runs) < 0.05, 4, 1)
    lasted *= np.where(random.random(runs) < overlapping, 2_000, 1)
    running = random.random(runs) < 0.002
    state = np.where(random.random(runs) < 0.02, "ERROR", "SUCCESS")
    frame = pd.DataFrame({"streamId": pd.array(stream + 1, dtype="Int64")})
    frame["executionId"] = (frame.groupby("streamId").cumcount() + 1).astype("Int64")
    frame["currentState"] = pd.array(np.where(running, "ACTIVE", state), dtype=pd.StringDtype())
    frame["startedAt"] = pd.to_datetime(start, unit="us", utc=True).as_unit("us")
    ended = frame["startedAt"] + pd.to_timedelta(lasted.round(3), unit="s").as_unit("us")
    frame["endedAt"] = ended.mask(running)
    frame["duration"] = (frame["endedAt"] - frame["startedAt"]).astype("m8[us]")
    for metric, size in zip(METRICS[1:], (9, 13, 18), strict=True):
        values = np.exp(random.normal(size, 0.4, runs)) * np.where(random.random(runs) < 0.05, 0.2, 1)
        frame[metric] = pd.Series(values.round()).mask(random.random(runs) < 0.05).astype("Int64")
    # Half of the streams are steady, some of their runs bring nothing.
    steady = (stream % 2 == 0) & (random.random(runs) < 0.95)
    few = np.where(random.random(runs) < 0.02, 0.0, np.exp(random.normal(9, 0.02, runs)).round())
    frame["rowsInserted"] = frame["rowsInserted"].mask(steady, pd.Series(few).astype("Int64"))
    failed = state == "ERROR"
    frame["cancelledBy"] = np.where(failed & (random.random(runs) < 0.3), "27", None)
    frame["errors"] = np.where(failed, [{"message": "login refused"}], None)
    frame["name"] = pd.array(np.char.add("Stream ", stream.astype(str)), dtype=pd.StringDtype())
    frame["instance"] = pd.array(["mycompany"], dtype=pd.StringDtype()).repeat(runs)
    return frame.iloc[::-1].reset_index(drop=True)


def expected(runs: pd.DataFrame) -> dict[tuple[int, int], tuple[str, list[float | None]]]:
    """Return verdict and baselines of each run, straight from the definition."""
    rows = runs.astype(object).where(runs.notna(), None).to_dict("records")
    for row in rows:
        row["executionId"] = row["streamId"], row["executionId"]
        row["start"] = row["startedAt"].timestamp()
        row["end"] = None if row["endedAt"] is None else row["endedAt"].timestamp()
        row["duration"] = None if row["duration"] is None else row["duration"].total_seconds()
        row["state"], row["finished"] = row["currentState"], row["end"] is not None
        row["cancelled"], row["lasted"] = row["cancelledBy"], NOW.timestamp() - row["start"]
    return by_hand.compared(rows)


def wrong(runs: pd.DataFrame) -> int:
    """Return how many runs `compare` and the loop, which knows no rhythm, say different things about."""
    known = expected(runs)
    shows, rhythm.SHOWS = rhythm.SHOWS, len(runs)
    compared = compare(runs, now=NOW)
    rhythm.SHOWS = shows
    mistakes = abs(len(compared) - len(known))
    for row in compared.to_dict("records"):
        verdict, usuals = known[row["streamId"], row["executionId"]]
        got = [row[f"{metric}Baseline"] for metric in METRICS]
        got[0] = got[0].total_seconds() if pd.notna(got[0]) else None
        same = all(
            pd.isna(ours) if usual is None else abs(ours - usual) <= 1e-6 + 1e-12 * usual
            for ours, usual in zip(got, usuals, strict=True)
        )
        told = (row["error"] == "login refused") if verdict == "failed" else pd.isna(row["error"])
        mistakes += row["verdict"] != verdict or not same or not told
    return mistakes


def timed(work: object) -> tuple[float, float]:
    """Return the seconds that a call takes, and those of all processors."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def main() -> int:
    """Check, measure and print; 1 when a figure is missed."""
    mistakes = sum(wrong(made(SAMPLE, 25, overlapping=share)) for share in (0, 0.05))
    print(f"{mistakes} of 2 x {SAMPLE:,} runs differ from the loop by hand (target 0)")
    runs = made(RUNS, STREAMS, overlapping=0)
    oldest_first = runs.iloc[::-1]
    seconds = oldest_first[["streamId"]].assign(duration=oldest_first["duration"].dt.total_seconds())
    for metric in METRICS[1:]:
        seconds[metric] = oldest_first[metric].to_numpy(dtype="float64", na_value=np.nan)
    groups = seconds.groupby("streamId")
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(timed(lambda: compare(runs, now=NOW)))
        theirs.append(timed(lambda: [groups[metric].rolling(20).median() for metric in METRICS]))
    (fast, work), (slow, rival) = (np.median(rounds, axis=0) for rounds in (ours, theirs))
    ratio = fast / slow
    print(f"compare {fast:.2f} s, rolling medians {slow:.2f} s over {ROUNDS} rounds")
    print(f"ratio {ratio:.2f} (target at most {TARGET:.2f}); of processor time {work / rival:.2f}")
    return int(mistakes > 0 or ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())

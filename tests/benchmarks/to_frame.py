"""10,000 parsed executions to a frame, beside `pandas.json_normalize` and `to_datetime`.

Three shapes: times as numbers, times as text, and single rows that lack a key. The values of both
sides are compared first.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pandas as pd

from domo_magic.model.execution import Execution, parse_json
from domo_magic.model.frame import build, frame, transpose

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE, ROUNDS, TARGET = 10_000, 9, 2.5
TIMES = ("startedAt", "endedAt", "createdAt", "modifiedAt")
#: Known here, or computed from what Domo sent: pandas alone has no such columns.
OURS = ("duration", "rowsPerSecond", "name", "instance", "label", "requestedAt")
CAPTURE = Path(__file__).parent.parent / "captures" / "execution-371-success.json"

Records = list[dict[str, object]]


def made() -> Records:
    """Return executions like the captured one, each with numbers of its own."""
    sample = parse_json(CAPTURE.read_bytes())
    assert isinstance(sample, dict)
    records = []
    for number in range(SIZE):
        began = 1_652_481_782 + 1_800 * number
        own = {
            "executionId": number + 1,
            "startedAt": began,
            "endedAt": began + 20 + number % 17,
            "createdAt": began,
            "modifiedAt": began + 20 + number % 17,
            "rowsInserted": 283_429 + number % 1_000,
            "startedBy": None if number % 3 else "1129696109",
        }
        records.append(sample | own)
    return records


def with_text_times(records: Records) -> Records:
    """Return the same with times as ISO 8601 text."""

    def text(value: object) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(float(str(value))))

    return [record | {key: text(record[key]) for key in TIMES} for record in records]


def with_gaps(records: Records) -> Records:
    """Return the same, one row in 25 without one of its keys."""
    optional = ("modifiedAt", "peakMemoryUsedBytes", "dataTag", "exportable")
    gaps = {row: optional[row // 25 % 4] for row in range(0, SIZE, 25)}
    return [
        {key: value for key, value in record.items() if key != gaps.get(row)}
        for row, record in enumerate(records)
    ]


def ours(records: Records) -> pd.DataFrame:
    """Make the frame as the package does of a listing."""
    return build(transpose(records), len(records))


def by_object(records: Records) -> pd.DataFrame:
    """Make the frame by way of one object per run, as the package does of single runs."""
    return frame([Execution.from_json(record) for record in records])


def plain(records: Records) -> pd.DataFrame:
    """Make the frame as people do."""
    table = pd.json_normalize(records)
    for name in TIMES:
        if pd.api.types.is_numeric_dtype(table[name]):
            table[name] = pd.to_datetime(table[name], unit="s", utc=True)
        else:
            table[name] = pd.to_datetime(table[name], utc=True)
    return table


def check(mine: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Make sure that both say the same, field by field; pandas turns the key into a float."""
    for name in mine.columns.difference(OURS):
        digits = float if name == "indexRequestKey" else lambda value: value
        for left, right in zip(mine[name].tolist(), theirs[name].tolist(), strict=True):
            empty = [value is None or value is pd.NA or value != value for value in (left, right)]  # noqa: PLR0124
            if empty != [True, True] and (any(empty) or digits(left) != right):
                raise AssertionError((name, left, right))


def timed(make: Callable[[Any], object], records: Any) -> float:
    """Return the seconds that it takes."""
    gc.collect()
    began = time.perf_counter()
    make(records)
    return time.perf_counter() - began


def main() -> int:
    """Measure, print, and return 1 when the figure is missed."""
    records = made()
    shapes = {
        "times as numbers": records,
        "times as text": with_text_times(records),
        "gaps": with_gaps(records),
    }
    missed = False
    for name, records in shapes.items():
        executions = [Execution.from_json(record) for record in records]
        expected = plain(records)
        check(ours(records), expected)
        check(frame(executions), expected)
        rounds = [
            (timed(plain, records), timed(ours, records), timed(frame, executions), timed(by_object, records))
            for _ in range(ROUNDS)
        ]
        rival, *mine = (median(each) for each in zip(*rounds, strict=True))
        pages, objects, both = (rival / each for each in mine)
        missed |= min(pages, objects) < TARGET
        print(
            f"{name}: json_normalize and to_datetime {1e3 * rival:.0f} ms; ours {1e3 * mine[0]:.0f} ms:"
            f" {pages:.2f} times as fast; from executions {objects:.2f} times (targets: {TARGET});"
            f" making the executions included {both:.2f} times"
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())

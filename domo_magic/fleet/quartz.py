"""The times of a Quartz cron expression, in UTC; the usual fields only."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_MONTHS = dict(
    zip(
        ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
        range(1, 13),
        strict=True,
    )
)
_DAYS = dict(zip(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), range(1, 8), strict=True))
_PART = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?")
# A schedule on the 29th of February has its next time within eight years.
_DAYS_AHEAD = 8 * 366 + 1


def next_time(expression: str, after: float) -> float | None:
    """Return when a schedule is due next.

    Parameters
    ----------
    expression : str
        Seconds, minutes, hours, day of month, month, day of week (1 is Sunday) and perhaps years: numbers,
        names, lists, ranges and steps.
    after : float
        Epoch seconds.

    Returns
    -------
    float or None
        Epoch seconds; None where the expression has something else (``L``, ``W``, ``#``), or no next time.

    Examples
    --------
    >>> next_time("0 13/30 * * * ?", 0.0)
    780.0
    """
    try:
        seconds, minutes, hours, days, months, weekdays, years = _fields(expression)
        start = datetime.fromtimestamp(after, UTC) + timedelta(seconds=1)
    except (ValueError, OverflowError, OSError):
        return None
    clock = [(hour, minute, second) for hour in hours for minute in minutes for second in seconds]
    begin = (start.hour, start.minute, start.second)
    for ahead in range(_DAYS_AHEAD):
        day = start.date() + timedelta(days=ahead)
        if (
            day.day in days
            and day.month in months
            and day.isoweekday() % 7 + 1 in weekdays
            and (years is None or day.year in years)
        ):
            for moment in clock:
                if ahead or moment >= begin:
                    hour, minute, second = moment
                    return datetime(
                        day.year, day.month, day.day, hour, minute, second, tzinfo=UTC
                    ).timestamp()
    return None


@lru_cache(maxsize=1000)  # many connectors have the same
def _fields(
    expression: str,
) -> tuple[list[int], list[int], list[int], set[int], set[int], set[int], set[int] | None]:
    parts = expression.upper().split()
    if len(parts) not in {6, 7}:
        raise ValueError(expression)
    year = set(_values(parts[6], 1970, 2199)) if len(parts) == 7 and parts[6] != "*" else None
    return (
        _values(parts[0], 0, 59),
        _values(parts[1], 0, 59),
        _values(parts[2], 0, 23),
        set(_values(parts[3], 1, 31)),
        set(_values(parts[4], 1, 12, _MONTHS)),
        set(_values(parts[5], 1, 7, _DAYS)),
        year,
    )


def _values(text: str, low: int, high: int, names: dict[str, int] | None = None) -> list[int]:
    """Return the numbers of one field, sorted.

    Raises
    ------
    ValueError
        It holds something else, or nothing.
    """
    found: set[int] = set()
    for part in text.replace("?", "*").split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(part)
        first, last, step = match.groups()
        begin = low if first == "*" else _number(first, names)
        end = _number(last, names) if last else high if step or first == "*" else begin
        if not low <= begin <= high or not low <= end <= high or step == "0":
            raise ValueError(part)
        span = end - begin if end >= begin else end - begin + high - low + 1  # FRI-MON
        found |= {
            low + (begin + ahead - low) % (high - low + 1) for ahead in range(0, span + 1, int(step or 1))
        }
    return sorted(found)


def _number(text: str, names: dict[str, int] | None) -> int:
    return (names or {}).get(text) or int(text)

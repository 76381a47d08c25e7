"""Schedules are read as Quartz writes them, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from domo_magic.fleet.quartz import next_time


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "expression, after, due",
    [
        ("0 13/30 * * * ?", "2026-01-01 00:13:00", "2026-01-01 00:43:00"),
        ("0 13/30 * * * ?", "2026-01-01 23:43:00", "2026-01-02 00:13:00"),
        ("0 5 6 * * ?", "2026-01-01 06:04:59.5", "2026-01-01 06:05:00"),
        ("0 0 6 ? * MON-FRI", "2026-01-02 06:00:00", "2026-01-05 06:00:00"),
        ("0 0 6 ? * FRI-MON", "2026-01-05 06:00:00", "2026-01-09 06:00:00"),
        ("0 0 6 ? * 1", "2026-01-01 00:00:00", "2026-01-04 06:00:00"),
        ("0 0 0 29 2 ?", "2026-01-01 00:00:00", "2028-02-29 00:00:00"),
        ("0 0 0,12 1 JAN,JUL ? *", "2026-01-01 12:00:00", "2026-07-01 00:00:00"),
        ("0 0 0 1 1 ? 2030", "2026-01-01 12:00:00", "2030-01-01 00:00:00"),
    ],
)
def test_next_time(expression: str, after: str, due: str) -> None:
    """Steps, lists, ranges across the end, names and years give the next time after a moment."""
    assert next_time(expression, _epoch(after)) == _epoch(due)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "* * *",
        "0 0 0 L * ?",
        "0 0 0 ? * 6#3",
        "0 0 25 * * ?",
        "0 0/0 * * * ?",
        "0 0 0 31 2 ?",
        "a b c d e f",
    ],
)
def test_what_cannot_be_read_has_no_next_time(expression: str) -> None:
    """An expression with unusual parts, or that is none, has no next time and raises nothing."""
    assert next_time(expression, 0.0) is None

"""Durations, times, sizes, ratios and verdicts in words."""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import tzinfo

#: What is compared, and what it is called far above and far below the usual; "" is nothing to tell.
METRICS = {
    "duration": ("slow", "fast"),
    "rowsInserted": ("many rows", "few rows"),
    "bytesInserted": ("many bytes", "few bytes"),
    "peakMemoryUsedBytes": ("more memory", ""),
}

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The zone of the times that users read; None is the machine's own.
_zone: tzinfo | None = None


def cut(text: str, most: int) -> str:
    """Return a text on one line without what cannot be printed, at most so many letters long."""
    line = text[: 4 * most]
    if not line.isprintable():
        line = "".join(letter if letter.isprintable() else " " for letter in line)
    line = " ".join(line.split())
    return line if len(line) <= most else line[: most - 1] + "…"


@lru_cache(maxsize=1024)
def width(text: str) -> int:
    """Return how many columns of a terminal a text takes: East Asian letters are two wide.

    Examples
    --------
    >>> width("Sales"), width("売上")
    (5, 4)
    """
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def fitted(text: str, most: int) -> str:
    """Return a text that takes at most so many columns of a terminal, a cut marked.

    Examples
    --------
    >>> fitted("Sales Orders", 8), fitted("売上データ", 6)
    ('Sales O…', '売上…')
    """
    if width(text) <= most:
        return text
    kept, room = 0, most - 1
    while room >= width(text[kept]):
        room -= width(text[kept])
        kept += 1
    return f"{text[:kept]}…"


def encodes(value: object) -> bool:
    """Whether it is text without halves of characters (JSON can hold them, UTF-8 cannot)."""
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False


def spelled(text: str) -> str:
    r"""Return a text that UTF-8 can hold: halves of characters are spelled out.

    Examples
    --------
    >>> print(spelled("cut \ud83d"))
    cut \ud83d
    """
    return text.encode(errors="backslashreplace").decode()


def is_text(value: object) -> bool:
    """Whether it is text with something in it.

    Examples
    --------
    >>> [is_text(value) for value in ("nightly", " ", 7)]
    [True, False, False]
    """
    return isinstance(value, str) and bool(value.strip()) and encodes(value)


def duration_text(seconds: float) -> str:
    """Return a duration in the words of the run's line.

    Parameters
    ----------
    seconds : float
        The duration in seconds; minus for negative ones, ``unknown time`` for NaN and infinities.

    Returns
    -------
    str
        Two units at most, rounded to the smaller one.

    Examples
    --------
    >>> [duration_text(seconds) for seconds in (6.24, 42, 192, 7500, 273_600)]
    ['6.2 s', '42 s', '3 min 12 s', '2 h 05 min', '3 d 4 h']
    """
    if not math.isfinite(seconds):
        return "unknown time"
    if seconds < 0:
        return f"-{duration_text(-seconds)}"
    return _short(seconds) if seconds < _HOUR - 0.5 else _long(seconds)


def _short(seconds: float) -> str:
    if seconds < 9.95:  # what would round to 10.0 is "10 s"
        return f"{seconds:.1f} s"
    # Rounding first and choosing the unit after it: 59.7 s is "1 min 00 s", never "60 s".
    whole = round(seconds)
    return f"{whole} s" if whole < _MINUTE else f"{whole // 60} min {whole % 60:02d} s"


def _long(seconds: float) -> str:
    if (minutes := round(seconds / _MINUTE)) < _DAY // _MINUTE:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / _HOUR)
    return f"{hours // 24:,} d {hours % 24} h"


def count_text(count: float, unit: str = "rows") -> str:
    """Return a count with thousands separated and its unit.

    Examples
    --------
    >>> count_text(283429), count_text(1), count_text(2.5)
    ('283,429 rows', '1 row', '2 rows')
    """
    number = round(count)
    return f"{number:,} {unit.removesuffix('s') if number == 1 else unit}"


def are_shown(count: int) -> str:
    """Return the words for so many of something: a limit cut the rest.

    Examples
    --------
    >>> are_shown(50), are_shown(1)
    ('are shown', 'is shown')
    """
    return "is shown" if count == 1 else "are shown"


def bytes_text(size: float) -> str:
    """Return a size in decimal units (1 kB is 1000 bytes), two digits at least.

    Examples
    --------
    >>> bytes_text(0), bytes_text(43_584_980), bytes_text(1_234_000_000)
    ('0 bytes', '44 MB', '1.2 GB')
    """
    if abs(size) < 999.5:  # what would round to 1000 is "1.0 kB"
        return count_text(size, "bytes")
    units = ["kB", "MB", "GB", "TB"]
    size /= 1000
    while abs(size) >= 999.5 and len(units) > 1:
        size /= 1000
        del units[0]
    return f"{size:.1f} {units[0]}" if abs(size) < 9.95 else f"{size:,.0f} {units[0]}"


def metric_text(metric: str, value: Any) -> str:
    """Return a value of one of the `METRICS` with its unit; a duration is a timedelta, or in seconds.

    Examples
    --------
    >>> metric_text("duration", 42), metric_text("rowsInserted", 7)
    ('42 s', '7 rows')
    """
    if metric == "duration":
        return duration_text(value.total_seconds() if isinstance(value, timedelta) else value)
    return count_text(value) if metric == "rowsInserted" else bytes_text(value)


def ratio_text(ratio: float) -> str:
    """Return how a value stands to the usual one, to be followed by "the usual ...".

    Examples
    --------
    >>> ratio_text(3.104), ratio_text(0.25), ratio_text(0.0042), ratio_text(0)
    ('3.1 times', '25 % of', '0.4 % of', 'instead of')
    """
    if ratio >= 1:
        return f"{ratio:.1f} times" if ratio < 9.95 else f"{ratio:,.0f} times"
    if ratio == 0:
        return "instead of"
    if ratio < 0.001:
        return "under 0.1 % of"
    return f"{100 * ratio:.0f} % of" if ratio >= 0.00995 else f"{100 * ratio:.1f} % of"


def set_timezone(name: str | None) -> None:
    """Choose the zone of all times that users read; frames stay in UTC.

    Parameters
    ----------
    name : str or None
        Such as ``Europe/Berlin`` or ``UTC``; None is the machine's own.

    Raises
    ------
    ValueError
        There is no such zone; nothing was changed.

    Examples
    --------
    >>> set_timezone("Nowhere")
    Traceback (most recent call last):
    ValueError: invalid time zone 'Nowhere'; a valid one is 'Europe/Berlin' or 'UTC'
    """
    from zoneinfo import ZoneInfo  # a tenth of what loading the extension costs

    global _zone  # noqa: PLW0603  a setting of the process
    try:
        _zone = None if name is None else ZoneInfo(name)
    except (LookupError, ValueError, OSError, TypeError, AttributeError) as error:
        shown = cut(repr(name), 80)
        raise ValueError(f"invalid time zone {shown}; a valid one is 'Europe/Berlin' or 'UTC'") from error


def timezone() -> tzinfo | None:
    """Return the zone of the times that users read; None is the machine's own."""
    return _zone


def local_time(us: int, now: float, zone: tzinfo | None = None) -> str:
    """Return a time as a user reads it, with its zone; the day where it is not today.

    Parameters
    ----------
    us : int
        Epoch microseconds.
    now : float
        Epoch seconds.
    zone : tzinfo, optional
        The one of `set_timezone` by default.

    Examples
    --------
    >>> local_time(1_734_458_216_000_000, 1_734_458_300, UTC)
    '17:56:56 UTC'
    """
    moment, today = moment_of(us, zone), moment_of(round(now * 1e6), zone)
    name = zone_name(moment)
    if moment.date() == today.date():
        return f"{moment:%H:%M:%S} {name}"
    day = f"{moment.day} {moment:%b}" if moment.year == today.year else f"{moment:%Y-%m-%d}"
    return f"{day} {moment:%H:%M} {name}"


def utc_time(us: int) -> datetime:
    """Return the time of these epoch microseconds, in UTC."""
    return _EPOCH + timedelta(microseconds=us)


def zone_name(moment: datetime) -> str:
    """Return the short name of a time's zone, or its distance to UTC where the system has whole sentences."""
    named = moment.tzname() or ""
    return named if len(named) <= 5 else f"UTC{moment:%z}"


def moment_of(us: int, zone: tzinfo | None = None) -> datetime:
    """Return the time of these epoch microseconds in a zone, by default the one of `set_timezone`."""
    try:
        return utc_time(us).astimezone(zone or _zone)
    except (OverflowError, OSError, ValueError):  # the first and the last day there is
        return utc_time(us)

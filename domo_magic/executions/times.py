"""What people write for a length of time, or a time. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from domo_magic.errors import TargetError
from domo_magic.executions.targets import shown

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(value: object, option: str = "timeout") -> float:
    """Understand a length of time: ``90``, ``90s``, ``10m``, ``2h``, ``7d``, or a number of seconds.

    Raises
    ------
    TargetError
        It is none of these, or negative.

    Examples
    --------
    >>> seconds("10m")
    600.0
    """
    text = str(value).strip()
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)([smhd]?)", text)
    if isinstance(value, bool) or match is None:
        raise TargetError(f"{option} {shown(text)} is no length of time", "write 90, 90s, 10m, 2h or 7d")
    return float(match[1]) * _UNITS[match[2]]


def since(value: object, now: float) -> float:
    """Understand the beginning of a listing: a length of time before `now`, or a date.

    Parameters
    ----------
    value : object
        As for `seconds`, or an ISO 8601 date or time as text, `datetime.datetime` or `pandas.Timestamp`;
        without a zone it is local time.
    now : float
        Epoch seconds.

    Returns
    -------
    float
        Epoch seconds.

    Raises
    ------
    TargetError
        It is neither.
    """
    text = str(value).strip()
    try:
        return max(0.0, now - seconds(value, "since"))
    except TargetError:
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(text)
            return moment.timestamp()
        except (ValueError, OverflowError, OSError):
            pass
    raise TargetError(f"since {shown(text)} is no time", "write 90m, 24h, 7d or a date as 2026-01-31")

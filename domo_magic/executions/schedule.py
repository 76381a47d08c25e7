"""When to request whether a run has ended, and how long it may still take.

Every request costs, and every second without one costs lateness. If a request is worth `cost` seconds
of lateness, the cheapest next request comes after ``sqrt(2 * cost / hazard)`` seconds, where the hazard is
the chance per second that the run ends now (optimal inspection: R. E. Barlow, L. C. Hunter and F. Proschan,
"Optimum checking procedures", J. SIAM 11, 1963). So: seldom while it cannot be over, often around the
stream's usual duration, ever more slowly in a long tail.

Nothing is fitted. The durations are taken to follow a mixture of log-logistic distributions: a narrow one
around each of the last runs, and a broad one, over all that may happen, that counts as one run more.
`tests/benchmarks/polling_rule.py` compares the rule with fixed intervals and with what other services do.
"""

from __future__ import annotations

from itertools import islice
from math import sqrt
from operator import mul
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_RECENT = 20
_ENOUGH = 3
_SHAPE = 6
# Beyond the usual time the next request comes after this share of the time already over it, at the latest.
_OVER = 0.5
# Runs that usually last less than this many seconds are requested at shorter intervals, in proportion.
_SHORT = 10.0
_ANY = (10.0, 60.0, 300.0, 1_500.0, 7_200.0)
# What lies beyond is no duration; between them no power overflows.
_LEAST, _MOST = 1e-3, 1e9


def next_delay(
    elapsed: float,
    durations: Iterable[float],
    *,
    cost: float = 0.25,
    shortest: float = 1.0,
    longest: float = 60.0,
) -> float:
    """Return the time after which it is worth requesting a run again.

    Parameters
    ----------
    elapsed
        Seconds that the run has lasted.
    durations
        Seconds that earlier successful runs of its stream lasted, newest first. The first 20 count; what
        is not between 1 ms and 1e9 s is passed over. May be empty.
    cost
        Seconds of lateness that one request is worth, more than 0.
    shortest, longest
        Bounds of the result in seconds, more than 0.

    Returns
    -------
    float
        Seconds, from `shortest` (0.3 of it for runs that usually last 3 s or less, in proportion up to
        10 s) to `longest`. Never more than ``longest / 6 + elapsed / 2``, for a run may end long before the
        usual time, most of all when it fails; and before the usual time not far beyond it, after it not
        more than half of the time that the run is already over it.

    Examples
    --------
    >>> earlier = [270.0, 262.0, 281.0]
    >>> [round(next_delay(elapsed, earlier)) for elapsed in (0, 60, 270, 3600)]
    [10, 31, 1, 56]
    """
    start = _within(0.0, elapsed, _MOST)
    recent = _recent(durations)
    narrow = [duration**-_SHAPE for duration in recent]
    usually = median(recent) if len(recent) >= _ENOUGH else _MOST
    shortest *= _within(0.3, usually / _SHORT, 1.0)
    delay = shortest
    # What counts is the hazard amid the interval it decides; half steps, for whole ones jump to and fro.
    for _ in range(4):
        best = sqrt(2 * cost / _hazard(start + delay / 2, narrow))
        delay = (delay + _within(shortest, best, longest)) / 2
    most = longest / 6 + start / 2
    # Soon after the usual time at the latest, and then after a share of the time already over it: the past
    # has little left to say there, and the broad distribution knows no run of a second.
    most = min(most, usually - start + shortest if start < usually else _OVER * (start - usually))
    return _within(shortest, delay, most)


def usual(durations: Iterable[float]) -> float | None:
    """Return the usual duration of a stream's runs.

    Parameters
    ----------
    durations
        Seconds that earlier successful runs lasted, newest first, as for `next_delay`.

    Returns
    -------
    float or None
        The median of the last 20 in seconds; None where there are fewer than 3.

    Examples
    --------
    >>> usual([270.0, 262.0, 281.0])
    270.0
    """
    recent = _recent(durations)
    return median(recent) if len(recent) >= _ENOUGH else None


def time_left(elapsed: float, durations: Iterable[float]) -> float | None:
    """Estimate how long a run will still take, from those that had not ended by then either.

    Parameters
    ----------
    elapsed
        Seconds that the run has lasted.
    durations
        Seconds that earlier successful runs of its stream lasted, newest first, as for `next_delay`.

    Returns
    -------
    float or None
        Seconds, more than 0: the median of those of the last 20 that lasted longer, less `elapsed`; None
        where there are fewer than 3 of them.

    Examples
    --------
    >>> time_left(150.0, [270.0, 262.0, 281.0])
    120.0
    >>> time_left(275.0, [270.0, 262.0, 281.0]) is None
    True
    """
    longer = [duration for duration in _recent(durations) if duration > elapsed]
    return median(longer) - elapsed if len(longer) >= _ENOUGH else None


def _recent(durations: Iterable[float]) -> list[float]:
    return list(islice((duration for duration in durations if _LEAST <= duration <= _MOST), _RECENT))


def _hazard(at: float, narrow: list[float]) -> float:
    """Return the chance per second that a run that has lasted `at` seconds ends now: density over survival.

    Of a log-logistic distribution with a scale and a shape, the share ``s = 1 / (1 + (at / scale) ** shape)``
    lasts longer, and its density is ``shape / at * s * (1 - s)``. `narrow` holds ``scale ** -shape``.
    """
    power: float = at**_SHAPE
    lasting = [1.0 / (1.0 + power * factor) for factor in narrow]
    broad = [1.0 / (1.0 + at / scale) for scale in _ANY]
    survival = sum(lasting) + sum(broad) / len(_ANY)
    narrow_ends: float = sum(lasting) - sum(map(mul, lasting, lasting))
    broad_ends: float = sum(broad) - sum(map(mul, broad, broad))
    return (_SHAPE * narrow_ends + broad_ends / len(_ANY)) / (at * survival)


def _within(least: float, value: float, most: float) -> float:
    """Keep a value within bounds; where they contradict each other, and for a NaN, it is the lower one."""
    return max(least, min(value, most))

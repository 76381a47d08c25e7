"""Streams with a rhythm: what is usual on a weekday, at an hour, of a size, or once a month. Pure arrays.

The rule in a sentence: where the runs on the same weekday, in the same hour, at the same of two or three
turns, or of the same of two sizes explain the last 100 runs better than the median of the last 20 does, a run
is compared with the median of these, and is unusual when it is more than twice as far from it as nine in ten
of those 100 were; and what was as far off time and again, or one month and two months before, is usual.

``tests/benchmarks/verdicts.py`` measures it; the constants were chosen there on families of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domo_magic.analysis.rolling import last_before

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import numpy.typing as npt

    from domo_magic.analysis.rolling import Bools, Floats, Ints, Windows

#: So many of the runs before a run are looked at, and a stream needs so many to show a rhythm.
RHYTHM_RUNS, SHOWS = 100, 20
#: The baseline is the median of the last, at most and at least so many, on the weekday, in the hour, or both
#: (UTC); of turns of those among the last 20.
SLOT_BASELINE, SLOT_LEAST = 8, 3
#: Runs that come in turn come in so many turns.
CYCLES = (2, 3)
#: Such a baseline is taken where its distances to the last runs, at least so many, are together less than
#: this share of the plain one's. Two sizes are always nearer than one, by 0.6 even where there are none.
SLOT_SHARE, SIZES_SHARE, CHOICE_LEAST = 0.9, 0.5, 5
#: Sizes are two where at least so many of the last 20 runs have each, and they are so far apart.
SIZES_OF, SIZE_LEAST, SIZES_RATIO = 20, 3, 1.5
#: And these come in turn, so many times: what grew once and stays has one size, the new one.
TURNS = 3
#: Unusual is beyond this many times the distance within which nine in ten of the last runs were; of few runs
#: this is known less well, which the second number makes up for: 2 (1 + 2 / runs) times.
DISTANCE, FEW, OUTSIDE = 2.0, 2.0, 10
#: Runs with nothing come up where at least so many of the last runs had nothing.
EMPTY_RUNS = 2
#: A run was as far off as another if its distance was at least this share of the other's.
AS_FAR = 0.6
#: As far off time and again is at least so many times apart, and once in so many of the last 20 runs.
AGAIN_LEAST, AGAIN_OF = 2, 5
#: One month and two months before, in days.
MONTHS, MONTH_TOLERANCE = (29.5, 60.5), 2.0
# A stream is looked at where weekdays, hours or two halves explain this share of its variance, or so many are
# empty: of numbers without a rhythm the halves explain 0.64. A half is so many at least; fewer are outliers.
_SLOTS_EXPLAIN, _HALVES_EXPLAIN, _HALF, _EMPTY = 0.15, 0.72, 0.1, 0.1
# A distance (natural logarithm of value by baseline) counts no more than this: one run must not decide.
_FAR = 1.0
# And in looking whether there is a rhythm no more than so many deviations: outliers have none.
_OUTLIER = 3.0
_HOUR = 3_600_000_000
_DAY = 24 * _HOUR
_MONDAY = 3  # the first of January 1970 was a Thursday
# The rhythm of a week shows where runs are so far apart on average, that of a day where they are not farther,
# and hours that differ between weekdays where the last 100 runs are three weeks and more.
_LEAST_GAP, _MOST_GAP, _LEAST_GAP_OF_BOTH = _DAY // 4, _DAY * 2 // 3, _DAY // 5
# Whether a stream has a rhythm is looked at before every so many of its runs.
_SECTION = 20
_BLOCK = 50_000  # runs at a time
# A sum is a difference of sums over all streams: what is left of these by rounding must not decide.
_DIGITS = 6


class Runs(NamedTuple):
    """Runs stream by stream, in each oldest first.

    Attributes
    ----------
    group, start, end : numpy.ndarray of int64
        An ascending number for each stream, and epoch microseconds.
    counts : numpy.ndarray of bool
        Whether others are compared with it.
    weekday, hour : numpy.ndarray of int64
        Of its start in UTC, Monday 0.
    """

    group: Ints
    start: Ints
    end: Ints
    counts: Bools
    weekday: Ints
    hour: Ints

    @classmethod
    def of(cls, group: Ints, start: Ints, end: Ints, counts: Bools) -> Runs:
        """Return these runs with their weekdays and hours, and streams numbered without a gap."""
        import numpy as np

        group = np.cumsum(np.diff(group, prepend=group[:1]) != 0)
        hours = start // _HOUR
        days = hours // 24
        # numpy divides by one number fast, and takes the remainder slowly
        weekday = days + _MONDAY - (days + _MONDAY) // 7 * 7
        return cls(group, start, end, counts, weekday, hours - days * 24)

    def part(self, rows: Ints | slice) -> Runs:
        """Return some of the runs."""
        group, start, end, counts, weekday, hour = self
        return Runs(group[rows], start[rows], end[rows], counts[rows], weekday[rows], hour[rows])


class _Slots(NamedTuple):
    """Weekdays or hours, of the streams whose runs are as far apart as it takes to see this rhythm.

    Attributes
    ----------
    sections, stream : numpy.ndarray of int64
        The sections of these streams, and of each the first of its stream, as a place among them.
    key : numpy.ndarray of int64
        Of each run its section and slot as one number, of shape ``(sections, 20)``.
    counts, used : numpy.ndarray
        How many runs there are until the end of each section in each slot, and in how many of the slots any.
    fit : numpy.ndarray of bool
        Whether the runs until the end of each section are so far apart.
    """

    sections: Ints
    stream: Ints
    key: Ints
    counts: Floats
    used: Ints
    fit: Bools

    def until(self, of_each: Floats) -> Floats:
        """Return the sums until the end of each section in its stream, of shape ``(sections, slots)``."""
        return _until(_by_slot(self.key, of_each[self.sections], self.counts.shape), self.stream)


class Sections:
    """The runs of each stream in sections of 20, but for the last up to 20, and sums over these.

    Whether a stream shows a rhythm is seen at the end of each section, for the up to 20 runs after it.

    Parameters
    ----------
    runs : Runs
        All runs.

    Attributes
    ----------
    rows : numpy.ndarray of int64
        The runs of each section, of shape ``(sections, 20)``.
    slots : list of _Slots
        Weekdays and hours, as far as any runs fit.
    """

    def __init__(self, runs: Runs) -> None:
        import numpy as np

        self.runs = runs
        begin = np.flatnonzero(np.diff(runs.group, prepend=-1))
        length = np.diff(begin, append=len(runs.group))
        sections = (length - 1) // _SECTION
        number = np.arange(sections.sum())
        self._stream = np.repeat(np.cumsum(sections) - sections, sections)
        self._first = number == self._stream
        self.rows = np.repeat(begin, sections) + (number - self._stream) * _SECTION
        self.rows = self.rows[:, None] + np.arange(_SECTION)
        # All but the first 20 runs of a stream are behind a section; behind its last one are 1 to 20.
        self._behind = np.arange(len(runs.group)) - np.repeat(begin, length) >= _SECTION
        self._followers = np.full(len(number), _SECTION)
        some = sections > 0
        self._followers[np.cumsum(sections)[some] - 1] = (length - sections * _SECTION)[some]
        counts = runs.counts[self.rows]
        with np.errstate(invalid="ignore", divide="ignore"):
            passed = runs.start[self.rows[:, -1] + 1] - runs.start[self.rows[self._stream, 0]]
            gap = passed / self.until(counts)
        fits = (runs.weekday, 7, gap >= _LEAST_GAP), (runs.hour, 24, gap <= _MOST_GAP)
        self.slots = [self._slots(slot, slots, fit, counts) for slot, slots, fit in fits if fit.any()]

    def _slots(self, slot: Ints, slots: int, fit: Bools, counts: npt.NDArray[Any]) -> _Slots:
        import numpy as np

        mine = np.zeros(len(fit), dtype=bool)
        mine[self._stream[fit]] = True
        mine = mine[self._stream]
        sections, stream = np.flatnonzero(mine), (np.cumsum(mine) - 1)[self._stream[mine]]
        key = np.arange(len(sections))[:, None] * slots + slot[self.rows[sections]]
        counts = _until(_by_slot(key, counts[sections], (len(sections), slots)), stream)
        return _Slots(sections, stream, key, counts, (counts > 0).sum(axis=1), fit[sections])

    def until(self, of_each: npt.NDArray[Any]) -> Floats:
        """Return the sums of what the runs have, until the end of each section in its stream."""
        import numpy as np

        return _until(np.einsum("ij->i", of_each, dtype="float64"), self._stream)

    def before(self, until: Floats) -> Floats:
        """Return the same sums before each section."""
        import numpy as np

        return np.where(self._first, 0, np.roll(until, 1))

    def behind(self, found: Bools) -> Bools:
        """Return for each run what was found at the end of the section before it."""
        import numpy as np

        of_each = np.zeros(len(self._behind), dtype=bool)
        of_each[self._behind] = np.repeat(found, self._followers)
        return of_each


def _by_slot(key: Ints, of_each: npt.NDArray[Any], shape: tuple[int, ...]) -> Floats:
    """Return the sums of what the runs have, by section and slot."""
    import numpy as np

    sums: Floats = np.bincount(key.ravel(), of_each.ravel(), minlength=shape[0] * shape[1]).astype("float64")
    return sums.reshape(shape)


def _until(sums: Floats, stream: Ints) -> Floats:
    """Return the sums until the end of each section in its stream, of the sums of each."""
    import numpy as np

    until = np.cumsum(sums, axis=0)
    summed: Floats = np.round(until - (until - sums)[stream], _DIGITS)
    return summed


class Usual(NamedTuple):
    """What is usual for those runs that follow a rhythm.

    Attributes
    ----------
    rows : numpy.ndarray of int64
        Their places.
    baseline, limit : numpy.ndarray of float64
        What they are compared with, and the ratio from which on they are unusual.
    """

    rows: Ints
    baseline: Floats
    limit: Floats


def usual(sections: Sections, values: Floats, plain: Floats, spread: Floats, ratio: float) -> Usual:
    """Return what is usual for the runs that follow a rhythm.

    Parameters
    ----------
    sections : Sections
        All runs.
    values, plain, spread : numpy.ndarray
        One number per run, not negative, NaN where it is missing; the medians of the last 20, and their
        scaled median absolute deviations.
    ratio : float
        The least ratio that is unusual.
    """
    import numpy as np

    runs = sections.runs
    shows = _shows_rhythm(sections, values, plain, spread)
    streams = np.zeros(len(runs.group), dtype=bool)
    streams[runs.group[shows]] = True
    rows = np.flatnonzero(streams[runs.group])
    found = [Usual(rows[:0], values[:0], values[:0])]
    for block in _blocks(runs.group[rows]):
        part = rows[block]
        own, baseline, limit = _of_streams(runs.part(part), values[part], shows[part], ratio)
        found.append(Usual(part[own], baseline, limit))
    return Usual(*map(np.concatenate, zip(*found, strict=True)))


def _shows_rhythm(sections: Sections, values: Floats, plain: Floats, spread: Floats) -> Bools:
    """Return for each run whether the runs before it may have a rhythm: then they are worth a closer look."""
    import numpy as np

    rows, until = sections.rows, sections.until
    # single precision is enough for a first look, and takes half the time
    values, plain, spread = (each[rows].astype("float32") for each in (values, plain, spread))
    counts = sections.runs.counts[rows]
    there = counts & (values > 0)
    logs = np.log(np.where(there, values, 1))
    number, empty = until(there), until(counts & (values == 0))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        unsure = 1 / np.sqrt(number)
        far = np.minimum(_OUTLIER * spread / plain, _FAR)
        off = np.clip(logs - np.log(plain), -far, far)
        off[~(there & np.isfinite(off))] = 0
        variance = until(off * off)
        shows = empty >= np.maximum(_EMPTY * (number + empty), EMPTY_RUNS)
        for slots in sections.slots:
            mine, used = slots.sections, slots.used
            between = np.nan_to_num(slots.until(off) ** 2 / slots.counts).sum(axis=1)
            runs = number[mine]
            share = 1 - (1 - between / variance[mine]) * (runs - 1) / np.maximum(runs - used, 1)
            explained = share >= _SLOTS_EXPLAIN + 2 * unsure[mine]
            shows[mine] |= slots.fit & explained & (runs >= 2 * used)
        known = sections.before(number)
        mean = np.nan_to_num(sections.before(until(logs)) / known)
        there &= (known > 0)[:, None]
        off = np.clip(logs - mean[:, None].astype("float32"), -_FAR, _FAR)
        off *= there
        above, all_ = until(np.maximum(off, 0)), until(off)
        high, both = until(off > 0), until(there)
        low = both - high
        halves = (above**2 / high + (all_ - above) ** 2 / low) / until(off * off)
        shows |= (halves >= _HALVES_EXPLAIN + unsure) & (np.minimum(high, low) >= _HALF * both)
    return sections.behind(shows & (number + empty >= SHOWS))


def _blocks(group: Ints) -> Iterator[slice]:
    """Yield slices that together are all, each with all runs of its streams."""
    import numpy as np

    ends = np.append(np.flatnonzero(np.diff(group)) + 1, len(group))
    begin = 0
    while begin < len(group):
        end = int(ends[min(int(np.searchsorted(ends, begin + _BLOCK)), len(ends) - 1)])
        yield slice(begin, end)
        begin = end


def _of_streams(runs: Runs, values: Floats, shows: Bools, ratio: float) -> Usual:
    import numpy as np

    something = np.where(values > 0, values, np.nan)  # a run with nothing tells nothing about the others
    last = last_before(*runs[:4], RHYTHM_RUNS, 1)
    plain, sizes = _medians(something, last)
    logs = _log(values)
    distances = [np.abs(logs - _log(_first_filled(plain, runs.group)))]
    baseline = plain.copy()
    chosen = np.zeros(len(values), dtype="int8")
    best = np.zeros(len(values))
    for other, fits, share in (*_slots(runs, something, last), (sizes, np.isfinite(sizes), SIZES_SHARE)):
        distances.append(np.abs(logs - _log(other)))
        gain = share * np.minimum(distances[0], _FAR) - np.minimum(distances[-1], _FAR)
        known = last.sums(np.isfinite(gain))
        gained = np.round(last.sums(np.nan_to_num(gain)), _DIGITS)
        better = (gained > best) & (known >= CHOICE_LEAST) & fits
        best[better], baseline[better] = gained[better], other[better]
        chosen[better] = len(distances) - 1
    chosen[np.isnan(baseline) | ~shows] = -1
    rows = np.flatnonzero(chosen >= 0)
    limit = np.empty(len(rows))
    for number, distance in enumerate(distances):
        mine = chosen[rows] == number
        limit[mine] = _limits(distance, last, rows[mine])
    return Usual(rows, baseline[rows], np.exp(np.fmax(limit, np.log(ratio))))


def _log(values: Floats) -> Floats:
    import numpy as np

    return np.log(values, out=np.full(len(values), np.nan), where=values > 0)


def _limits(distance: Floats, last: Windows, rows: Ints) -> Floats:
    """Return the distance from which on these runs are unusual, NaN where nothing is known."""
    import numpy as np

    window, known = _sorted(last.values(distance, rows))
    within = window[np.arange(len(rows)), np.maximum(known - known // OUTSIDE - 1, 0)]
    limits: Floats = DISTANCE * (1 + FEW / np.maximum(known, 1)) * within
    return limits


def _medians(values: Floats, last: Windows) -> tuple[Floats, Floats]:
    """Return the median of each run's last 20, and of those of them that have its size, of two."""
    import numpy as np

    in_time = last.last(SIZES_OF).values(values, np.arange(len(values)))
    window, known = _sorted(in_time)
    plain = _median(window, known)
    plain[known < SIZE_LEAST] = np.nan
    widest, split = np.full(len(window), SIZES_RATIO), np.zeros(len(window), dtype=np.int64)
    for place in range(SIZE_LEAST, SIZES_OF - SIZE_LEAST + 1):  # at the widest gap there are two sizes
        with np.errstate(invalid="ignore"):
            gap = window[:, place] / window[:, place - 1]
        wider = (gap >= widest) & (place + SIZE_LEAST <= known)
        widest[wider], split[wider] = gap[wider], place
    low, high = _median(window, split), _median(window, known - split, split)
    border = np.sqrt(low * high)
    is_high = in_time > border[:, None]
    turns = np.count_nonzero(is_high[:, 1:] != is_high[:, :-1], axis=1)
    # a run without a value is unfinished: it will be of the size that it is not yet
    sizes = np.where(values <= border, low, high)
    return plain, np.where((split > 0) & (turns >= TURNS), sizes, np.nan)


def _sorted(windows: Floats) -> tuple[Floats, Ints]:
    """Return the rows sorted, NaN last, and how many values each has."""
    import numpy as np

    return np.sort(windows, axis=1), np.count_nonzero(np.isfinite(windows), axis=1)


def _median(window: Floats, known: Ints, first: Ints | int = 0) -> Floats:
    """Return the medians of sorted rows, of so many values from the first on; NaN of none."""
    import numpy as np

    rows, end = np.arange(len(window)), window.shape[1] - 1
    low = window[rows, np.minimum(first + np.maximum(known - 1, 0) // 2, end)]
    found: Floats = (low + window[rows, np.minimum(first + known // 2, end)]) / 2
    return found


def _slots(runs: Runs, values: Floats, last: Windows) -> Iterator[tuple[Floats, Bools, float]]:
    """Yield the medians of the last runs on the weekday, in the hour, and at the turn, and where they fit."""
    import numpy as np

    oldest = np.append(last.members, 0)[last.ends - last.counts]
    gap = (runs.start - runs.start[oldest]) / np.maximum(last.counts, 1)
    hourly = gap <= _MOST_GAP
    clock = (
        (runs.weekday, SLOT_BASELINE, gap >= _LEAST_GAP),
        (runs.hour, SLOT_BASELINE, hourly),
        (runs.weekday * 24 + runs.hour, SLOT_BASELINE, hourly & (gap >= _LEAST_GAP_OF_BOTH)),
    )
    place: Ints = np.cumsum(runs.counts) - runs.counts  # where a stream's turns begin makes no difference
    always = np.ones(len(gap), dtype=bool)
    # As long ago as the last 20 runs: of what grows the newer are always nearer, which is not a rhythm.
    turns = [(place % cycle, -(-SIZES_OF // cycle), always) for cycle in CYCLES]
    for slot, most, fits in (*clock, *turns):
        if not fits.any():
            continue
        key: Ints = runs.group * 168 + slot
        order = np.argsort(key, kind="stable")
        windows = last_before(key[order], runs.start[order], runs.end[order], runs.counts[order], most, 1)
        window, known = _sorted(windows.values(values[order], np.arange(len(order))))
        medians = np.empty(len(order))
        medians[order] = np.where(known < SLOT_LEAST, np.nan, _median(window, known))
        yield medians, fits & (last.counts >= CHOICE_LEAST) & np.isfinite(medians), SLOT_SHARE


def _first_filled(baselines: Floats, group: Ints) -> Floats:
    """Return the baselines; those of a stream's first runs, which have none, are its first one."""
    import numpy as np

    known, lacking = np.flatnonzero(np.isfinite(baselines)), np.flatnonzero(np.isnan(baselines))
    if not len(known):
        return baselines
    first = known[np.minimum(np.searchsorted(group[known], group[lacking]), len(known) - 1)]
    filled = baselines.copy()
    filled[lacking] = np.where(group[first] == group[lacking], baselines[first], np.nan)
    return filled


def recurring(windows: Windows, values: Floats, rows: Ints, usual: Floats) -> tuple[Bools, Floats]:
    """Return which unusual runs are like others that came up time and again, and the medians of these.

    What came up once and stays is one time: it goes on being unusual until the baseline has followed.

    Parameters
    ----------
    windows : Windows
        The runs that each is compared with.
    values : numpy.ndarray
        One number per run, NaN where it is missing.
    rows : numpy.ndarray
        The unusual runs.
    usual : numpy.ndarray
        The medians that these are compared with.
    """
    import numpy as np

    window = windows.values(values, rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = np.log(window / usual[:, None]) / np.log(values[rows] / usual)[:, None]
    far = (distance >= AS_FAR) & (window > 0)
    times = np.count_nonzero(far[:, :-1] & ~far[:, 1:], axis=1)
    found = times >= np.maximum(AGAIN_LEAST, windows.counts[rows] / AGAIN_OF)
    medians = usual.copy()
    medians[found] = np.nanmedian(np.where(far, window, np.nan)[found], axis=1)
    return found, medians


def monthly(runs: Runs, off: Floats) -> tuple[Bools, Ints]:
    """Return which unusual runs were as unusual one month and two months before, and the former's places.

    Parameters
    ----------
    runs : Runs
        The unusual runs.
    off : numpy.ndarray
        How far off each is, the natural logarithm of its ratio.
    """
    import numpy as np

    found, before = np.ones(len(off), dtype=bool), np.zeros(len(off), dtype=np.int64)
    if not len(off):
        return found, before
    days = runs.start / _DAY
    apart = days.max() - days.min() + MONTHS[-1] + MONTH_TOLERANCE + 1
    place = days + runs.group * apart  # nothing of one stream is near anything of another
    for month in reversed(MONTHS):
        before = np.searchsorted(place, place - month + MONTH_TOLERANCE, side="right") - 1
        there = (before >= 0) & (place - place[before] <= month + MONTH_TOLERANCE)
        found &= there & (off[before] / off >= AS_FAR)
    return found, before

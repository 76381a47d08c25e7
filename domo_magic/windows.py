"""The last successful runs before each run, and medians over them. Pure arrays."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]
    Floats = npt.NDArray[np.float64]

#: Windows sorted at a time: small enough for the processor's caches.
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Windows:
    """For each run the runs it is compared with.

    Attributes
    ----------
    members : numpy.ndarray
        Row numbers, one window after the other; windows overlap.
    ends, counts : numpy.ndarray
        For each run where its window ends in `members`, and how many there are before that end.
    size, least : int
        The longest window, and how many values a median needs.
    """

    members: Ints
    ends: Ints
    counts: Ints
    size: int
    least: int

    def medians(self, values: Floats, rows: Ints | None = None, around: Floats | None = None) -> Floats:
        """Return the median of each run's window, NaN where fewer than `least` values are known.

        Parameters
        ----------
        values : numpy.ndarray
            One number per run, NaN where it is missing.
        rows : numpy.ndarray, optional
            The runs whose medians are wanted; all.
        around : numpy.ndarray, optional
            For each run wanted the number whose absolute deviations are taken instead of the values.
        """
        import numpy as np

        member_values = values[self.members]
        padded = np.concatenate([np.full(self.size, np.nan), member_values])
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.size)
        ends = self.ends if rows is None else self.ends[rows]
        counts = self.counts if rows is None else self.counts[rows]
        known_until = np.append(0, np.cumsum(~np.isnan(member_values)))
        known = known_until[ends] - known_until[ends - counts]
        medians = np.full(len(ends), np.nan)
        places = np.arange(self.size)
        wanted = np.flatnonzero(known >= self.least)
        for start in range(0, len(wanted), _CHUNK):
            part = wanted[start : start + _CHUNK]
            window = windows[ends[part]]
            short = np.flatnonzero(counts[part] < self.size)
            window[short] = np.where(places < self.size - counts[part[short], None], np.nan, window[short])
            if around is not None:
                np.abs(np.subtract(window, around[part, None], out=window), out=window)
            medians[part] = _row_medians(window, known[part])
        return medians


def _row_medians(window: Floats, known: Ints) -> Floats:
    """Return the medians of rows with so many `known` values."""
    import numpy as np

    window.sort(axis=1)  # NaN goes last
    if known.min() == window.shape[1]:
        return (window[:, (window.shape[1] - 1) // 2] + window[:, window.shape[1] // 2]) / 2
    rows = np.arange(len(window))
    return (window[rows, (known - 1) // 2] + window[rows, known // 2]) / 2


def last_before(group: Ints, start: Ints, end: Ints, counts: Bools, size: int, least: int) -> Windows:
    """Return for each run the last `size` counting runs of its group that had ended before it started.

    Parameters
    ----------
    group : numpy.ndarray
        Ascending: runs of different groups are never compared.
    start, end : numpy.ndarray
        Times of the runs, in each group ordered by `start`, oldest first ("last" means by this order).
    counts : numpy.ndarray
        Which runs others may be compared with. None of them ends before it starts.
    size, least : int
        See `Windows`.
    """
    import numpy as np

    members = np.flatnonzero(counts)
    before = np.cumsum(counts) - counts
    first = np.searchsorted(group[members], group, side="left")
    windows = Windows(members, before, np.minimum(before - first, size), size, least)
    # Where the last to start before a run had ended before it, so had all others: the usual case.
    late = np.flatnonzero(before > first)
    late = late[end[members[before[late] - 1]] >= start[late]]
    return _overlapping(windows, np.unique(group[late]), group, start, end) if len(late) else windows


def _overlapping(windows: Windows, mixed: Ints, group: Ints, start: Ints, end: Ints) -> Windows:
    """Mend the windows of groups with several runs at a time, where last started need not be last ended."""
    import numpy as np

    members, ends, counts, size = windows.members, windows.ends, windows.counts, windows.size
    starts_of = np.searchsorted(group, [mixed, mixed + 1])
    places_of = np.searchsorted(group[members], [mixed, mixed + 1])
    own: list[int] = []
    for here, beyond, first, last in zip(*starts_of, *places_of, strict=True):
        rows, runs = slice(here, beyond), members[first:last]
        by_end = np.argsort(end[runs], kind="stable")
        ended = np.searchsorted(end[runs[by_end]], start[rows], side="left")
        counts[rows] = np.minimum(ended, size)
        ends[rows] = first + ended
        if (by_end[1:] < by_end[:-1]).any():
            lasts = _lasts(runs[by_end].tolist(), size)
            ends[rows] = len(members) + len(own) + np.cumsum(counts[rows])
            own += chain.from_iterable([lasts[number] for number in ended.tolist()])
    return replace(windows, members=np.append(members, np.array(own, dtype=np.int64)))


def _lasts(ended: list[int], size: int) -> list[list[int]]:
    """Return the up to `size` highest of each prefix of `ended`, the empty one included."""
    kept: list[int] = []
    lasts: list[list[int]] = [[]]
    for row in ended:
        insort(kept, row)
        del kept[:-size]
        lasts.append(kept.copy())
    return lasts

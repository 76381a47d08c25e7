"""The last successful runs before each run, and medians over them. Pure arrays."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]
    Floats = npt.NDArray[np.float64]

#: Windows sorted at a time: few enough for the processor's caches, so many that threads seldom wait.
_CHUNK = 8192


@dataclass(frozen=True, slots=True)
class Windows:
    """For each run the runs it is compared with.

    Attributes
    ----------
    members : numpy.ndarray
        Places of those that others are compared with, one window after the other; windows overlap.
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

    def last(self, size: int) -> Self:
        """Return the windows of the last up to `size` runs of these."""
        import numpy as np

        return replace(self, counts=np.minimum(self.counts, size), size=size)

    def sums(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the sum of the values in each run's window; one value per run, none missing."""
        import numpy as np

        until = np.zeros(len(self.members) + 1, dtype="int64" if values.dtype.kind == "b" else "float64")
        np.cumsum(values[self.members], out=until[1:])
        sums: npt.NDArray[Any] = until[self.ends] - until[self.ends - self.counts]
        return sums

    def values(self, values: Floats, rows: Ints) -> Floats:
        """Return the values in some windows, oldest first, NaN before the first.

        Parameters
        ----------
        values : numpy.ndarray
            One number per run.
        rows : numpy.ndarray
            Which runs.

        Returns
        -------
        numpy.ndarray
            Of shape ``(rows, size)``.
        """
        import numpy as np

        places, count = np.arange(self.size), self.counts[rows, None]
        if not len(self.members):
            return np.full((len(rows), self.size), np.nan)
        members = self.members[np.maximum(self.ends[rows, None] + places - self.size, 0)]
        return np.where(places < self.size - count, np.nan, values[members])

    def medians(self, values: Floats) -> tuple[Floats, Floats]:
        """Return the median of each run's window and the median absolute deviation from it.

        Parameters
        ----------
        values : numpy.ndarray
            One number per run, NaN where it is missing.

        Returns
        -------
        tuple of numpy.ndarray
            Two numbers per run, NaN where fewer than `least` values are known.
        """
        import numpy as np

        member_values = values[self.members]
        known_until = np.zeros(len(member_values) + 1, dtype=np.int32)
        np.cumsum(~np.isnan(member_values), out=known_until[1:])
        known = (known_until[self.ends] - known_until[self.ends - self.counts]).astype(np.uint8)
        padded = np.concatenate([np.full(self.size, np.nan), member_values])
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.size)
        places = np.arange(self.size)
        found = np.full((2, len(values)), np.nan)
        # Whole windows and short ones, each by how many values are known.
        kinds = np.where(self.counts < self.size, known, known + self.size + 1).astype(np.uint8)
        order = np.argsort(kinds, kind="stable")
        ends = np.cumsum(np.bincount(kinds, minlength=2 * (self.size + 1)))
        for kind, (begin, end) in enumerate(pairwise([0, *ends.tolist()])):
            whole, number = divmod(kind, self.size + 1)
            for start in range(begin, end if number >= self.least else begin, _CHUNK):
                part = order[start : min(start + _CHUNK, end)]
                window = windows[self.ends[part]]
                if not whole:
                    window[places < self.size - self.counts[part, None]] = np.nan
                window.sort(axis=1)  # NaN goes last
                found[0, part], found[1, part] = _of_sorted(window[:, :number])
        medians, deviations = found
        return medians, deviations


def _of_sorted(window: Floats) -> tuple[Floats, Floats]:
    """Return the medians of sorted rows and the median absolute deviations from them.

    The deviations below the median and those above it are two sorted halves. Pairing the smallest of
    one with the largest of the other, the minima are the smaller half of all deviations (the first
    step of Batcher's bitonic merge, 1968), so that nothing has to be sorted again.
    """
    import numpy as np

    number = window.shape[1]
    half = number // 2
    column = np.ascontiguousarray(window.T)  # long rows are what numpy is fast at
    medians = (column[(number - 1) // 2] + column[half]) / 2
    if not half:
        return medians, np.zeros_like(medians)
    below, above = medians - column[:half], column[number - half :]
    above -= medians
    middle = np.minimum(below, above).max(axis=0)
    if number % 2 == 0:
        middle = (middle + np.maximum(below, above, out=above).min(axis=0)) / 2
    return medians, middle


def last_before(group: Ints, start: Ints, end: Ints, counts: Bools, size: int, least: int) -> Windows:
    """Return for each run the last `size` counting runs of its group that had ended before it started.

    Parameters
    ----------
    group, start, end, counts : numpy.ndarray
        Of each run, group by group, in each oldest first by `start` ("last" means by this order): an
        ascending number (different groups are never compared), two times, and whether others are compared
        with it. None of those that count ends before it starts.
    size, least : int
        See `Windows`.
    """
    import numpy as np

    members = np.flatnonzero(counts)
    before: Ints = np.cumsum(counts) - counts
    begins = np.diff(group, prepend=group[:1] - 1) != 0
    first = before[begins][np.cumsum(begins) - 1]
    windows = Windows(members, before, np.minimum(before - first, size), size, least)
    # Where the last to start before a run had ended before it, so had all others: the usual case.
    late = np.flatnonzero(before > first)
    late = late[end[members[before[late] - 1]] >= start[late]]
    return _overlapping(windows, late, group, start, end, counts)


def _overlapping(windows: Windows, late: Ints, group: Ints, start: Ints, end: Ints, counts: Bools) -> Windows:
    """Mend the windows of runs that started while others ran: last started need not be last ended."""
    import numpy as np

    # Python's own numbers
    starts, ends, counting, members = start.data, end.data, counts.data, windows.members.data
    window_end, window_count = windows.ends.data, windows.counts.data
    own: list[int] = []
    mended = 0
    for row, beyond in zip(
        late.tolist(), np.searchsorted(group, group[late], side="right").tolist(), strict=True
    ):
        if row < mended:
            continue
        # When the last one started, nothing ran: its window is right.
        last = members[window_end[row] - 1]
        kept = members[window_end[last] - window_count[last] : window_end[last]].tolist()
        running = [(ends[last], last)]
        for mended in range(row, beyond):
            while running and running[0][0] < starts[mended]:
                insort(kept, heappop(running)[1])
            if not running:
                break
            del kept[: -windows.size]
            own += kept
            window_end[mended], window_count[mended] = len(members) + len(own), len(kept)
            if counting[mended]:
                heappush(running, (ends[mended], mended))
        else:
            mended = beyond
    return replace(windows, members=np.append(windows.members, np.array(own, dtype=np.int64)))

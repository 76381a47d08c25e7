"""The verdicts: runs against what is usual for their stream. Pure calculation on frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from domo_magic.analysis import rhythm
from domo_magic.analysis.normalize import errors_in, microseconds_of, stream_by_stream, tidy
from domo_magic.analysis.rolling import Windows, last_before
from domo_magic.errors import TargetError, warn
from domo_magic.model.concurrency import each
from domo_magic.model.execution import whole
from domo_magic.model.formatting import METRICS, cut

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from domo_magic.analysis.rolling import Bools, Floats, Ints

Baseline: TypeAlias = Literal["median", "previous"] | tuple[int, int]

#: A baseline is the median of the last successful runs, at most and at least this many.
BASELINE_RUNS, LEAST = 20, 5
#: Unusual is beyond this many scaled median absolute deviations and beyond this ratio or its inverse.
DEVIATIONS, RATIO = 5.0, 1.5
#: For rows and bytes whose scaled deviation is under this share of the median, this ratio is enough.
STEADY, STEADY_RATIO = 0.05, 1.2
_STEADY_METRICS = frozenset(("rowsInserted", "bytesInserted"))
#: Makes the median absolute deviation of a normal distribution its standard deviation.
MAD_SCALE = 1.4826

_FIRST = ("streamId", "executionId", "name", "currentState", "startedAt")


def compare(
    runs: pd.DataFrame, *, baseline: Baseline = "median", now: pd.Timestamp | None = None
) -> pd.DataFrame:
    """Compare each run with what is usual for its stream.

    The baseline of a run is the median of the last up to 20 successful runs of the same stream (and
    instance) that had ended before it started; fewer than 5 known values: none. Unusual is what lies
    beyond 5 scaled median absolute deviations, MAD, and has a ratio of at least 1.5 or at most 1/1.5;
    for rows and bytes of a steady stream (scaled MAD under 5 % of the median) 1.2 takes the place of 1.5.

    A stream whose runs follow the weekdays or the hours (UTC), come in two or three turns or in two sizes, or
    often bring nothing is compared with what explains its last 100 runs better: the median of the last 8 on
    that weekday, in that hour, in that hour of that weekday, or at that turn, or of those of that size.
    Unusual is then what is more than twice as far from it as nine in ten of these 100 were, and at least 1.5
    times, for rows and bytes 1.2 times. In other streams what was as far off time and again (at least twice,
    and once in five of the last 20 runs; what stays is one time) is usual, and in all of them what was as far
    off one month and two months before.

    Parameters
    ----------
    runs : pandas.DataFrame
        Runs of any number of streams in any order, as `session.runs` gives them. Needed are ``streamId``,
        ``executionId``, ``currentState``, ``startedAt`` and ``endedAt``; what else is missing is empty.
    baseline : "median", "previous" or (stream id, execution id)
        ``previous`` is the newest successful run that had ended before; a pair is that run, for all.
        Against one run only the ratio decides, 1.5.
    now : pandas.Timestamp, optional
        The time until which unfinished runs have lasted (naive: UTC); the present.

    Returns
    -------
    pandas.DataFrame
        One row per run, newest first by ``startedAt``, in 19 columns: ``streamId executionId name
        currentState startedAt`` as in `runs`; ``verdict`` and ``error`` (``string``); then for each of
        ``duration rowsInserted bytesInserted peakMemoryUsedBytes`` the value, ``<metric>Baseline``
        (``timedelta64[us]`` or ``Float64``) and ``<metric>Ratio`` (``Float64``, value by baseline, empty
        where the baseline is 0). ``verdict`` is the first that applies of ``cancelled`` (``cancelledBy``
        is set), ``failed``, ``no rows`` (SUCCESS with 0 rows, where the baseline has more and fewer than
        2 of its runs had none), ``running`` or ``running, slow``, ``no baseline``, ``usual``, or what is
        unusual, joined by ``, ``. ``error`` is the cause of a failed run as far as ``errors`` tells it.

    Raises
    ------
    TargetError
        Columns are missing or hold what cannot be converted; the baseline is none, or not in `runs`.

    Notes
    -----
    On simulated histories with planted changes (``tests/benchmarks/verdicts.py``; mean F1 and false alarms
    per 1,000 usual runs over 19 kinds of streams on which no constant was tuned) this has 0.83 and 3.7; the
    same without what has shown before 0.51 and 49, mean ± 3 standard deviations 0.52 and 9.5.

    References
    ----------
    Rousseeuw and Croux (1993), Alternatives to the median absolute deviation, JASA 88, 1273-1283:
    1.4826 MAD estimates a normal distribution's standard deviation, whatever half of the data does.

    Examples
    --------
    >>> compare(runs)[["executionId", "verdict", "durationRatio"]].head(3)
       executionId verdict  durationRatio
    0          200   usual       0.903333
    1          199   usual       0.929226
    2          198   usual       0.985025
    """
    import pandas as pd

    table = tidy(runs)
    measured = _measure(table, baseline, now)
    columns: dict[str, Any] = {name: table[name] for name in _FIRST}
    columns["verdict"] = verdicts = _verdicts(table, measured)
    columns["error"] = errors_in(runs, table["row"].to_numpy(), (verdicts == "failed").to_numpy(bool))
    for metric, numbers in measured.metrics.items():
        columns[metric] = table[metric]
        columns[f"{metric}Baseline"] = _like(metric, numbers.usual)
        columns[f"{metric}Ratio"] = _masked(numbers.ratios())
    return pd.DataFrame(columns, copy=False)


def compare_alone(runs: pd.DataFrame, *, baseline: object = "median") -> pd.DataFrame:
    """Compare the runs of a frame with one another, as `compare` does.

    Warns
    -----
    DomoWarning
        Most runs have nothing in the frame to be compared with.
    """
    compared = compare(runs, baseline=parse_baseline(baseline))
    without = int(compared[[f"{metric}Baseline" for metric in METRICS]].isna().all(axis=1).sum())
    if 2 * without > len(compared):
        warn(
            f"{without:,} of {len(compared):,} runs have no baseline in this frame; to fetch the history "
            "behind them: domo_magic.compare(runs), %domo_compare runs"
        )
    return compared


def _meant(metric: object) -> str:
    near = [name for name in METRICS if isinstance(metric, str) and metric.lower() in name.lower()]
    choice = f"choose one of {', '.join(METRICS)}"
    return f"did you mean {near[0]}? {choice}" if len(near) == 1 else choice


def band(runs: pd.DataFrame, metric: str = "duration", *, now: pd.Timestamp | None = None) -> pd.DataFrame:
    """Return one metric of each run with the range that is usual, ready for drawing.

    Parameters
    ----------
    runs, now
        As for `compare`.
    metric : str
        ``duration``, ``rowsInserted``, ``bytesInserted`` or ``peakMemoryUsedBytes``.

    Returns
    -------
    pandas.DataFrame
        Newest first: ``streamId executionId name instance startedAt group finished verdict`` and, as
        float64 in seconds, rows or bytes, ``value`` (so far, for the duration of unfinished runs),
        ``baseline``, ``low`` and ``high``: what lies between these two is usual.

    Raises
    ------
    TargetError
        As `compare`, or the metric is none.
    """
    import numpy as np

    if not isinstance(metric, str) or metric not in METRICS:
        raise TargetError(f"no metric {cut(repr(metric), 80)}", _meant(metric))
    table = tidy(runs)
    measured = _measure(table, "median", now)
    numbers = measured.metrics[metric]
    spread = DEVIATIONS * MAD_SCALE * numbers.deviation.take(measured.back)
    limit = numbers.limit.take(measured.back)
    table = table[["streamId", "executionId", "name", "instance", "startedAt", "group", "finished"]].assign(
        verdict=_verdicts(table, measured),
        value=numbers.values,
        baseline=numbers.usual,
        low=np.maximum(np.minimum(numbers.usual - spread, numbers.usual / limit), 0),
        high=np.maximum(numbers.usual + spread, numbers.usual * limit),
    )
    if metric == "duration":
        table[["value", "baseline", "low", "high"]] /= 1e6
    return table


@dataclass(frozen=True, slots=True)
class _Numbers:
    """One metric of all runs; durations in microseconds, NaN for what is missing.

    Attributes
    ----------
    known, values : numpy.ndarray
        The values, and with the durations of unfinished runs until now.
    usual : numpy.ndarray
        The medians that they are compared with.
    unusual : numpy.ndarray of int8
        1 where a value is unusually high, -1 where it is unusually low, else 0.
    deviation, limit : numpy.ndarray
        The deviations from the medians, and the ratio from which on a value is unusual: stream by stream,
        as they were calculated, for few need them.
    """

    known: Floats
    values: Floats
    usual: Floats
    unusual: npt.NDArray[np.int8]
    deviation: Floats
    limit: Floats

    def ratios(self) -> Floats:
        return _ratios(self.known, self.usual)


@dataclass(frozen=True, slots=True)
class _Measured:
    """All metrics of all runs, and which runs brought no rows although theirs always do.

    `back` brings what is stream by stream into the order of the table.
    """

    metrics: dict[str, _Numbers]
    empty: Bools
    back: Ints


def _measure(table: pd.DataFrame, baseline: Baseline, now: pd.Timestamp | None) -> _Measured:
    import numpy as np

    baseline = parse_baseline(baseline)
    order, runs = _in_order(table)
    sections = None  # against one run there is no rhythm
    if isinstance(baseline, tuple):
        windows = _chosen(table.iloc[order], baseline)
    elif baseline == "previous":
        windows = last_before(*runs[:4], 1, 1)
    else:
        windows = last_before(*runs[:4], BASELINE_RUNS, LEAST)
        sections = rhythm.Sections(runs) if len(order) else None
    back = np.empty_like(order)
    back[order] = np.arange(len(order))

    def of_metric(metric: str) -> _Numbers:
        known = _numbers(table, metric)
        values = _lasted(table, known, now) if metric == "duration" else known
        ordered = known[order]
        lasted = values[order] if metric == "duration" else ordered
        usual, unusual, deviation, limit = _compared(metric, sections, windows, ordered, lasted)
        return _Numbers(known, values, usual.take(back), unusual.take(back), deviation, limit)

    # while numpy sorts, another thread can go on
    metrics = dict(zip(METRICS, each(of_metric, list(METRICS), parallel=2), strict=True))
    rows = metrics["rowsInserted"]
    empty = (rows.known == 0) & (rows.usual > 0)
    places = np.flatnonzero(empty)
    empty[places] = ~_empty_comes_up(windows, rows.known[order], back[places])
    return _Measured(metrics, empty, back)


def _compared(
    metric: str, sections: rhythm.Sections | None, windows: Windows, known: Floats, values: Floats
) -> tuple[Floats, npt.NDArray[np.int8], Floats, Floats]:
    """Return what is usual, what is unusual, the deviation and the limit, as `_Numbers` has them."""
    import numpy as np

    usual, deviation = windows.medians(known)
    if sections is None:
        limit = np.full(len(usual), RATIO)
        return usual, _unusual(values, usual, deviation, limit), deviation, limit
    spread, least, limit = MAD_SCALE * deviation, RATIO, np.full(len(usual), RATIO)
    if metric in _STEADY_METRICS:
        least = STEADY_RATIO
        limit[spread < STEADY * usual] = STEADY_RATIO
    found = rhythm.usual(sections, known, usual, spread, least)
    usual[found.rows], deviation[found.rows], limit[found.rows] = found.baseline, 0, found.limit
    empty = np.flatnonzero(known == 0)
    # where that comes up, a run with nothing is no farther off than is usual
    empty = empty[_empty_comes_up(windows, known, empty)]
    deviation[empty] = usual[empty] / DEVIATIONS
    unusual = _unusual(values, usual, deviation, limit)
    far = np.flatnonzero(unusual)
    far = far[values[far] > 0]
    rows = np.setdiff1d(far, found.rows, assume_unique=True)
    again, medians = rhythm.recurring(windows, values, rows, usual[rows])
    usual[rows[again]], deviation[rows[again]], unusual[rows[again]] = medians[again], 0, 0
    rows = far[unusual[far] != 0]
    again, before = rhythm.monthly(sections.runs.part(rows), np.log(values[rows] / usual[rows]))
    rows, before = rows[again], rows[before[again]]
    usual[rows], deviation[rows], unusual[rows] = values[before], 0, 0
    return usual, unusual, deviation, limit


def _empty_comes_up(windows: Windows, known: Floats, rows: Ints) -> Bools:
    """Return of some runs whether runs with nothing are among those that they are compared with."""
    import numpy as np

    found: Bools = np.count_nonzero(windows.values(known, rows) == 0, axis=1) >= rhythm.EMPTY_RUNS
    return found


def _ratios(values: Floats, usual: Floats) -> Floats:
    import numpy as np

    return values / np.where(usual > 0, usual, np.nan)


def _unusual(values: Floats, usual: Floats, deviation: Floats, limit: Floats) -> npt.NDArray[np.int8]:
    import numpy as np

    ratios = _ratios(values, usual)
    high = ratios >= limit
    rows = np.flatnonzero(high | (ratios <= 1 / limit))
    beyond = np.abs(values[rows] - usual[rows]) > DEVIATIONS * MAD_SCALE * deviation[rows]
    rows = rows[beyond]
    unusual = np.zeros(len(values), dtype="int8")
    unusual[rows] = np.where(high[rows], 1, -1)
    return unusual


def _numbers(table: pd.DataFrame, metric: str) -> Floats:
    import numpy as np

    if metric == "duration":
        numbers = np.where(table[metric].isna(), np.nan, microseconds_of(table[metric]))
    else:
        numbers = table[metric].to_numpy(dtype="float64", na_value=np.nan)
    numbers[numbers < 0] = np.nan  # there is nothing negative to count
    return numbers


def _in_order(table: pd.DataFrame) -> tuple[Ints, rhythm.Runs]:
    """Return the order stream by stream, in each oldest first, and the runs in it."""
    import numpy as np

    order = stream_by_stream(table)
    start, end = microseconds_of(table["startedAt"]), microseconds_of(table["endedAt"])
    counts = (table["succeeded"] & table["startedAt"].notna() & table["endedAt"].notna()).to_numpy()
    # Where a clock ran backwards the start is the latest that is known: nothing is compared with itself.
    end = np.maximum(start, end)
    return order, rhythm.Runs.of(table["group"].to_numpy()[order], start[order], end[order], counts[order])


def parse_baseline(given: object) -> Baseline:
    """Understand what runs are to be compared with.

    Raises
    ------
    TargetError
        It is none of ``median``, ``previous`` and a run (``"25775/1"``, or its two ids).

    Examples
    --------
    >>> parse_baseline("25775/1")
    (25775, 1)
    """
    text = given.strip() if isinstance(given, str) else ""
    if text in {"median", "previous"}:
        return cast("Baseline", text)
    parts = given if isinstance(given, tuple | list) else text.split("/")
    pair = [whole(str(part)) for part in parts]
    if len(pair) == 2 and pair[0] is not None and pair[1] is not None:
        return pair[0], pair[1]
    raise TargetError(
        f"baseline {cut(repr(given), 80)} is not known", "write median, previous or a run (25775/1)"
    )


def _chosen(table: pd.DataFrame, run: tuple[int, int]) -> Windows:
    """Compare everything with one run; where several instances have such a run, each with its own."""
    import numpy as np

    stream, execution = run
    is_it = ((table["streamId"] == stream) & (table["executionId"] == execution)).fillna(value=False)
    members = np.flatnonzero(is_it.to_numpy(dtype=bool))
    if not len(members):
        raise TargetError(
            f"run {stream}/{execution} is not among these runs", "add it to the frame to compare with it"
        )
    instance = table["instance"].cat.codes.to_numpy()
    same = instance[:, None] == instance[members]
    return Windows(members, same.argmax(axis=1) + 1, same.any(axis=1).astype("int64"), 1, 1)


def _lasted(table: pd.DataFrame, durations: Floats, now: pd.Timestamp | None) -> Floats:
    """Return the durations in microseconds, for unfinished runs until now."""
    import numpy as np
    import pandas as pd

    moment = pd.Timestamp.now(tz="UTC") if now is None else now
    moment = moment.tz_localize("UTC") if moment.tz is None else moment
    running = np.flatnonzero(~table["finished"] & table["startedAt"].notna())
    so_far = (moment - table["startedAt"].iloc[running]).dt.total_seconds().to_numpy() * 1e6
    lasted = durations.copy()
    lasted[running] = np.maximum(so_far, 0)
    return lasted


def _verdicts(table: pd.DataFrame, measured: _Measured) -> Any:
    import numpy as np
    import pandas as pd

    said = [""]
    code = np.zeros(len(table), dtype="int64")
    comparable = np.zeros(len(table), dtype=bool)
    for metric, (above, below) in METRICS.items():
        numbers = measured.metrics[metric]
        comparable |= np.isfinite(numbers.values) & np.isfinite(numbers.usual)
        # Codes 0, 1, 2 for usual, above, below: a digit of base 3 for each metric.
        code += len(said) * (numbers.unusual % 3)
        said = [", ".join(filter(None, (old, word))) for word in ("", above, below) for old in said]
    texts = [*(text or "usual" for text in said), "no baseline", "running", "running, slow"]
    texts += ["no rows", "failed", "cancelled"]
    nothing, running, slow, empty, failed, cancelled = range(len(said), len(texts))
    finished, succeeded = table["finished"].to_numpy(), table["succeeded"].to_numpy()
    known = table["known"].to_numpy()
    is_slow = code % 3 == 1
    code[~comparable] = nothing
    code[~finished & known] = running
    code[~finished & known & is_slow] = slow
    code[succeeded & measured.empty] = empty
    code[finished & ~succeeded] = failed
    code[table["cancelled"].to_numpy()] = cancelled
    return pd.array(texts, dtype=pd.StringDtype()).take(code)


def _masked(numbers: Floats) -> Any:
    import numpy as np
    import pandas as pd

    missing = np.isnan(numbers)
    return pd.arrays.FloatingArray(np.where(missing, 1.0, numbers), missing)


def _like(metric: str, usual: Floats) -> Any:
    """Return baselines in the metric's own kind; a median of counts may be fractional."""
    import numpy as np

    if metric != "duration":
        return _masked(usual)
    known = np.isfinite(usual)
    return np.where(known, np.rint(np.where(known, usual, 0)).astype("m8[us]"), np.timedelta64("NaT", "us"))

"""Anybody's frame of runs, made ready for calculation: one row per run, with our dtypes."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from domo_magic.errors import InvalidResponse, TargetError
from domo_magic.model.execution import (
    FINAL_STATES,
    SUCCESS,
    error_text,
    microseconds,
    parse_json,
    whole,
)
from domo_magic.model.formatting import METRICS, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

#: Columns without which runs cannot be told apart or put in order.
NEEDED = ("streamId", "executionId", "currentState", "startedAt", "endedAt")

_WHOLE = ("streamId", "executionId", "rowsInserted", "bytesInserted", "peakMemoryUsedBytes")
_TIMES = ("startedAt", "endedAt", "modifiedAt")


def tidy(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of a frame once each, newest first, with what comparing needs.

    Parameters
    ----------
    runs : pandas.DataFrame
        Any frame with at least `NEEDED`; other dtypes are converted where nothing is lost. Times
        without a zone are UTC, numbers are epoch seconds or milliseconds.

    Returns
    -------
    pandas.DataFrame
        `NEEDED`, ``name``, ``instance`` (a category), ``modifiedAt`` and the metrics, empty where the
        frame lacks them, and ``row`` (int64, the place in `runs`), ``group`` (int64, one number per stream
        of an instance), ``succeeded``, ``finished``, ``cancelled`` (ended without success, and
        ``cancelledBy`` is set) and ``known`` (bool; whether anything says that it ran). The latest
        ``startedAt`` comes first, then the highest ``executionId``; runs without a start are last. Of rows
        about the same run the one that knows most is kept.

    Raises
    ------
    TargetError
        It is no DataFrame; or columns are missing, twice there, or hold what cannot be converted.
    """
    import numpy as np
    import pandas as pd

    refuse_others(runs)
    columns = {
        column: _column(runs, column) for column in (*NEEDED, "name", "instance", "modifiedAt", *METRICS)
    }
    table = pd.DataFrame(columns, index=pd.RangeIndex(len(runs)), copy=False)
    table["row"] = np.arange(len(runs))
    _clear_times(table)
    _add_states(table)
    unsuccessful = np.flatnonzero(table["finished"] & ~table["succeeded"])
    table["cancelled"] = False
    cancelled = [not _missing(value) for value in _values(runs, "cancelledBy", unsuccessful)]
    table.loc[unsuccessful, "cancelled"] = cancelled
    table["instance"] = table["instance"].astype("category")
    instance = table["instance"].cat.codes.to_numpy("int64") + 1  # 0 where it is missing
    stream = pd.factorize(table["streamId"])[0].astype("int64") + 1
    table["group"] = instance * (stream.max(initial=0) + 1) + stream
    return _newest_first(_once(table))


def errors_in(runs: pd.DataFrame, rows: npt.NDArray[np.int64], wanted: npt.NDArray[np.bool_]) -> Any:
    """Return why runs failed, in Domo's own words.

    Parameters
    ----------
    runs : pandas.DataFrame
        As given; ``errors`` holds parsed JSON or its text, or is not there.
    rows : numpy.ndarray
        Places in `runs`.
    wanted : numpy.ndarray of bool
        Of which of `rows` the error is wanted.

    Returns
    -------
    pandas.arrays.StringArray
        One text for each of `rows`, missing where nothing is told.
    """
    import numpy as np
    import pandas as pd

    texts = [_error_text(value) for value in _values(runs, "errors", rows[wanted])]
    places = np.full(len(rows), -1)
    places[wanted] = np.arange(len(texts))
    return pd.array(texts, dtype=pd.StringDtype()).take(places, allow_fill=True)


def _error_text(value: object) -> str | None:
    if isinstance(value, str) and value.lstrip()[:1] in {"[", "{", '"'}:  # as a file has it
        with suppress(InvalidResponse):
            value = parse_json(value)
    if hasattr(value, "tolist"):  # a column of lists, as Parquet has them
        value = value.tolist()
    if not isinstance(value, list | dict) and _missing(value):
        return None
    return error_text(value) or None


def _values(runs: pd.DataFrame, name: str, rows: npt.NDArray[np.int64]) -> Iterable[object]:
    """Return what these rows hold in a column of any kind; nothing where there is no such column."""
    if name not in runs.columns:
        return [None] * len(rows)
    _refuse_twice(runs, name)
    return runs[name].iloc[rows].astype(object)


def _missing(value: Any) -> bool:
    """Return True for None, NaN, NA and what is empty."""
    import pandas as pd

    if pd.api.types.is_scalar(value):
        return bool(pd.isna(value)) or value == ""
    return hasattr(value, "__len__") and not len(value)


def _refuse_twice(runs: pd.DataFrame, name: str) -> None:
    if list(runs.columns).count(name) > 1:
        raise TargetError(f"the frame has more than one column {name}", "drop or rename the others")


def refuse_others(runs: Any) -> None:
    """Refuse what is not a frame of runs.

    Raises
    ------
    TargetError
        Telling what it is, or which columns are missing.
    """
    import pandas as pd

    if not isinstance(runs, pd.DataFrame):
        article, kind = ("the class", runs) if isinstance(runs, type) else ("a", type(runs))
        why = f"{article} {kind.__module__}.{kind.__qualname__} is not a DataFrame of pandas"
    elif runs.columns.nlevels > 1:
        why = f"the columns have {runs.columns.nlevels} levels"
    elif missing := [column for column in NEEDED if column not in runs.columns]:
        why = f"{', '.join(missing)} missing"
    else:
        return
    hint = "give a frame from domo_magic.runs, run or wait"
    if isinstance(runs, pd.DataFrame) and "verdict" in runs.columns:
        hint = (
            "of a comparison or an overview, these fetch what it lacks: domo_magic.compare(frame), "
            "domo_magic.plot(frame); %domo_compare frame"
        )
    raise TargetError(f"not a frame of runs: {why}", hint)


def _column(runs: pd.DataFrame, name: str) -> Any:
    import pandas as pd

    if name not in runs.columns:
        return pd.array([pd.NA], dtype=_dtype(name)).repeat(len(runs))
    _refuse_twice(runs, name)
    column = runs[name]
    if column.dtype == _dtype(name):
        return column.array
    try:
        return _converted(column, name).array
    except (NotImplementedError, TypeError, ValueError) as error:
        if isinstance(error, TargetError):
            raise
        raise TargetError(
            f"column {name} is {column.dtype}, and cannot be converted to {_dtype(name)}: {error}",
            "convert or leave out what it holds",
        ) from error


def _dtype(name: str) -> Any:
    import pandas as pd

    if name in _TIMES:
        return pd.DatetimeTZDtype("us", "UTC")
    if name == "duration":
        import numpy as np

        return np.dtype("m8[us]")
    return pd.Int64Dtype() if name in _WHOLE else pd.StringDtype()


def _converted(column: pd.Series[Any], name: str) -> pd.Series[Any]:
    import pandas as pd

    dtype = _dtype(name)
    if isinstance(dtype, pd.StringDtype):
        return column.astype(dtype)
    # pyarrow's days are dates, and have no zone.
    is_time = pd.api.types.is_datetime64_any_dtype(column.dtype) and column.dtype.type is not date
    if name in _TIMES and is_time:
        aware = column if column.dt.tz is not None else column.dt.tz_localize("UTC")
        return aware.astype(dtype)
    if name == "duration" and pd.api.types.is_timedelta64_dtype(column.dtype):
        return column.astype(dtype)
    convert: Callable[[object], object] = (
        whole if name in _WHOLE else _moment if name in _TIMES else _duration
    )
    values = [
        None if missing else convert(_plain(value))
        for value, missing in zip(column, column.isna(), strict=True)
    ]
    for given, value in zip(column.astype(object), values, strict=True):
        if value is None and not (pd.api.types.is_scalar(given) and pd.isna(given)):
            raise TargetError(
                f"column {name} holds {cut(repr(given), 80)}",
                f"it has to be convertible to {dtype} without loss",
            )
    return pd.Series(values, dtype="m8[us]" if name == "duration" else "Int64").astype(dtype)


def _plain(value: Any) -> object:
    """Return a number of numpy's as Python's."""
    return value.item() if type(value).__module__ == "numpy" and value.ndim == 0 else value


def _moment(value: object) -> int | None:
    """Return epoch microseconds of a time in any shape."""
    return microseconds(value.isoformat() if isinstance(value, date) else value)


def _duration(value: object) -> object:
    """Return a duration; numbers are none, for nobody knows their unit."""
    import pandas as pd

    if not isinstance(value, timedelta) and not (isinstance(value, str) and ":" in value):
        return None
    try:
        return pd.Timedelta(value).as_unit("us")
    except (OverflowError, ValueError):
        return None


def _clear_times(table: pd.DataFrame) -> None:
    """Remove ends and durations that contradict the start; add durations that follow from the times."""
    import pandas as pd

    ended = table["endedAt"]
    # Domo writes 0 for "not yet".
    table["endedAt"] = ended = ended.where(ended > pd.Timestamp(0, tz="UTC"))
    lasted = (ended - table["startedAt"]).astype("m8[us]")
    duration = table["duration"].where(table["duration"].notna(), lasted)
    impossible = (lasted < pd.Timedelta(0)) | (duration < pd.Timedelta(0))
    table["duration"] = duration.mask(impossible)


def _add_states(table: pd.DataFrame) -> None:
    import numpy as np
    import pandas as pd

    codes, states = pd.factorize(table["currentState"])
    words = [str(state).upper() for state in states]
    # A state that is missing has code -1, the last of these.
    table["succeeded"] = np.array([*(word == SUCCESS for word in words), False])[codes]
    table["final"] = np.array([*(word in FINAL_STATES for word in words), False])[codes]
    table["known"] = np.append(states.notna(), [False])[codes] | table["startedAt"].notna()
    table["finished"] = table["final"] | table["endedAt"].notna()


def _once(table: pd.DataFrame) -> pd.DataFrame:
    """Keep of the rows about one run the one that knows most; rows without an execution are all kept."""
    import numpy as np
    import pandas as pd

    execution = pd.factorize(table["executionId"])[0].astype("int64")
    run = table["group"].to_numpy() * (len(table) + 1) + execution
    if (np.diff(np.sort(run)) > 0).all():
        return table
    twice = pd.Series(run).duplicated(keep=False).to_numpy() & (execution >= 0)
    if not twice.any():
        return table
    rows = np.flatnonzero(twice)
    some = table.iloc[rows]
    known = some.notna().sum(axis=1).to_numpy()
    changed = some["modifiedAt"].to_numpy(dtype="M8[us]", na_value=np.datetime64(0, "us"))
    best_last = np.lexsort((rows, known, changed, some["final"], some["finished"], run[rows]))
    last = np.append(np.diff(run[rows][best_last]) != 0, [True])
    keep = ~twice
    keep[rows[best_last][last]] = True
    return table[keep]


def _newest_first(table: pd.DataFrame) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    start = ~microseconds_of(table["startedAt"])  # the other way round, and no start goes last
    order = np.argsort(start, kind="stable")
    same = start[order][1:] == start[order][:-1]
    tied = np.flatnonzero(np.append(same, [False]) | np.append([False], same))
    rows = order[tied]
    stream, execution = (
        table[key].iloc[rows].to_numpy(dtype="int64", na_value=-1) for key in ("streamId", "executionId")
    )
    order[tied] = rows[np.lexsort((stream, -execution, start[rows]))]
    if (order[1:] > order[:-1]).all():
        return table.reset_index(drop=True)
    columns = {name: column.array.take(order) for name, column in table.items()}
    return pd.DataFrame(columns, copy=False)


def stream_by_stream(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the order that puts the runs of each group together, oldest first; of a tidy frame."""
    import numpy as np

    group = table["group"].to_numpy()[::-1]
    small = group.astype(np.min_scalar_type(group.max(initial=0)))  # numpy sorts 16 bits far faster than 64
    return len(table) - 1 - np.argsort(small, kind="stable")


def microseconds_of(column: pd.Series[Any]) -> Any:
    """Return times or durations as int64 microseconds, the lowest number there is where they are missing."""
    return column.to_numpy(dtype="M8[us]" if hasattr(column.dtype, "tz") else "m8[us]").view("int64")

"""Executions to DataFrames with fixed columns and dtypes."""

from __future__ import annotations

from itertools import chain
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from domo_magic.execution import (
    EARLIEST_US,
    LATEST_US,
    MILLISECONDS_FROM,
    ExactFloat,
    microseconds,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    import pandas as pd

    from domo_magic.execution import Execution

    Column = Sequence[object]

#: Kind of each column, in the order of the columns.
KINDS: dict[str, str] = {
    **dict.fromkeys(("streamId", "executionId"), "whole"),
    "currentState": "text",
    **dict.fromkeys(("startedAt", "endedAt"), "time"),
    "duration": "duration",
    **dict.fromkeys(("rowsInserted", "bytesInserted"), "whole"),
    "rowsPerSecond": "rate",
    **dict.fromkeys(("toe", "updateMethod"), "text"),
    "index": "flag",
    "retryCount": "whole",
    "retryExecution": "json",
    "containerManagerId": "text",
    "uploadId": "whole",
    **dict.fromkeys(("indexRequestKey", "runType"), "text"),
    **dict.fromkeys(("createdAt", "modifiedAt"), "time"),
    **dict.fromkeys(("latestPhase", "currentPhase"), "json"),
    "removed": "flag",
    "startedBy": "text",
    **dict.fromkeys(("cancelledBy", "dataTag"), "json"),
    **dict.fromkeys(("peakMemoryUsedBytes", "peakMemoryCommittedBytes"), "whole"),
    **dict.fromkeys(("exportable", "manualIndex"), "flag"),
    "errors": "json",
    **dict.fromkeys(("name", "instance", "label"), "text"),
    "requestedAt": "time",
}
#: The 35 columns that every frame of runs has, in their order.
COLUMNS = tuple(KINDS)
#: What is ours: known here, or computed from what Domo sent; the other columns are Domo's fields.
OURS = ("duration", "rowsPerSecond", "name", "instance", "label", "requestedAt")
_OURS_OF = attrgetter("stream_id", "execution_id", "name", "instance", "label", "requested_at")
# Transposing this many rows at a time stays in the processor's cache.
_CHUNK = 50


def frame(executions: Iterable[Execution]) -> pd.DataFrame:
    """Return a frame of runs, one row each, in the order given.

    Parameters
    ----------
    executions : iterable of Execution
        May be empty.

    Returns
    -------
    pandas.DataFrame
        The 35 columns of `COLUMNS` with their fixed dtypes (``Int64``, ``datetime64[us, UTC]``,
        ``timedelta64[us]``, ``Float64``, ``boolean``, ``string``, ``object``), then a column of
        dtype ``object`` for each undocumented field. What does not convert without loss is empty.

    Examples
    --------
    >>> frame([Execution(25775, 2)])["executionId"].dtype
    Int64Dtype()
    """
    runs = list(executions)
    known = list(zip(*map(_OURS_OF, runs), strict=True)) or [()] * 6
    columns = transpose([run.fields for run in runs])
    columns["streamId"], columns["executionId"], columns["name"], columns["instance"], columns["label"] = (
        known[:5]
    )
    columns["requestedAt"] = [None if ms is None else ms / 1000 for ms in known[5]]
    return build(columns, len(runs))


def transpose(records: Sequence[Mapping[str, object]]) -> dict[str, Column]:
    """Turn parsed JSON objects into one list per key; a key that a record lacks is None there."""
    columns: dict[str, list[object]] = {key: [] for key in records[0]} if records else {}
    for done in range(0, len(records), _CHUNK):
        chunk = records[done : done + _CHUNK]
        for column, values in zip(columns.values(), _values(chunk, columns, done), strict=True):
            column.extend(values)
    return dict(columns)


def _values(
    chunk: Sequence[Mapping[str, object]], columns: dict[str, list[object]], done: int
) -> Iterable[Iterable[object]]:
    """Return the chunk's values per column, after adding a column for each new key."""
    if len(columns) > 1 and all(len(record) == len(columns) for record in chunk):
        try:
            return zip(*map(itemgetter(*columns), chunk), strict=True)
        except KeyError:
            pass
    for key in chain.from_iterable(chunk):
        if key not in columns:
            columns[key] = [None] * done
    return [[record.get(key) for record in chunk] for key in columns]


def build(columns: Mapping[str, Column], size: int) -> pd.DataFrame:
    """Return the frame of `size` rows with these columns of parsed JSON; what is missing is empty.

    Parameters
    ----------
    columns : mapping of str to sequence
        Domo's fields and ours by the name of their column, each `size` long.
        ``duration`` and ``rowsPerSecond`` are computed, never taken.
    size : int
        The number of rows.
    """
    import pandas as pd

    empty = (None,) * size
    arrays: dict[str, Any] = {}
    for name, kind in KINDS.items():
        if kind in _ARRAYS:
            arrays[name] = _ARRAYS[kind](columns.get(name, empty))
        else:
            arrays[name] = None  # holds the column's place until what it is computed from is there
    arrays["duration"] = _durations(arrays["startedAt"], arrays["endedAt"])
    arrays["rowsPerSecond"] = _rates(arrays["rowsInserted"], arrays["duration"])
    for name, values in columns.items():
        if name not in KINDS:
            arrays[name] = _json(values)
    return pd.DataFrame(arrays, index=pd.RangeIndex(size), copy=False)


def empty() -> pd.DataFrame:
    """Return the frame of no runs: the 35 columns with their dtypes.

    Examples
    --------
    >>> empty().shape
    (0, 35)
    """
    return build({}, 0)


def _types(values: Column) -> set[type]:
    return set(map(type, values)) - {type(None)}


def _missing(values: Column) -> np.ndarray[Any, np.dtype[np.bool_]]:
    import numpy as np

    if None not in values:
        return np.zeros(len(values), dtype=bool)
    return np.fromiter((value is None for value in values), dtype=bool, count=len(values))


def _masked(values: Column, dtype: str) -> tuple[Any, Any]:
    """Return the values as a numpy array with 0 for None, and where they are None."""
    import numpy as np

    mask = _missing(values)
    filled = [0 if value is None else value for value in values] if mask.any() else values
    return np.array(filled, dtype=dtype), mask


def _whole(values: Column) -> Any:  # noqa: ANN401  pandas' arrays have no common type
    import pandas as pd

    if not _types(values) <= {int}:
        values = [whole(value) for value in values]
    try:
        return pd.arrays.IntegerArray(*_masked(values, "int64"))
    except OverflowError:
        return pd.arrays.IntegerArray(*_masked([whole(value) for value in values], "int64"))


def _flag(values: Column) -> Any:  # noqa: ANN401
    import pandas as pd

    if not _types(values) <= {bool}:
        values = [value if isinstance(value, bool) else None for value in values]
    return pd.arrays.BooleanArray(*_masked(values, "bool"))


def _text(values: Column) -> Any:  # noqa: ANN401
    import pandas as pd

    types = _types(values)
    if not types and values:
        return pd.array([None], dtype="string").repeat(len(values))
    if types <= {float, ExactFloat}:
        values = [None if value is None else str(value) for value in values]
    elif not types <= {str}:
        values = [_as_text(value) for value in values]
    texts: Any = values
    return pd.array(texts, dtype="string")


def _as_text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return str(value)
    except ValueError:  # more digits than Python prints
        return None


def _time(values: Column) -> Any:  # noqa: ANN401
    import numpy as np
    import pandas as pd

    if _types(values) <= {int, float, ExactFloat}:
        try:
            us = _numbers_to_us(np.array(values, dtype="float64"))
        except OverflowError:
            us = _each_to_us(values)
    else:
        us = _texts_to_us(values)
    return pd.array(us, dtype=pd.DatetimeTZDtype("us", "UTC"))


def _numbers_to_us(numbers: Any) -> Any:  # noqa: ANN401  a numpy array
    import numpy as np

    with np.errstate(invalid="ignore", over="ignore"):
        us = np.rint(numbers * np.where(np.abs(numbers) >= MILLISECONDS_FROM, 1e3, 1e6))
        good = (us >= EARLIEST_US) & (us <= LATEST_US)  # False for nan, too
    times = np.where(good, us, 0).astype("int64").view("M8[us]")
    times[~good] = np.datetime64("NaT")
    return times


def _texts_to_us(values: Column) -> Any:  # noqa: ANN401
    import numpy as np

    if _types(values) == {str} and all(value is None or str(value).endswith("Z") for value in values):
        try:
            times = np.array(
                ["NaT" if value is None else str(value)[:-1] for value in values], dtype="M8[us]"
            )
        except ValueError:
            return _each_to_us(values)
        return times
    return _each_to_us(values)


def _each_to_us(values: Column) -> Any:  # noqa: ANN401
    import numpy as np

    us = [microseconds(value) for value in values]
    return np.array(us, dtype="M8[us]")


def _json(values: Column) -> Any:  # noqa: ANN401
    import numpy as np

    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _durations(started: Any, ended: Any) -> Any:  # noqa: ANN401
    import numpy as np

    lasted = ended - started
    lasted[lasted < np.timedelta64(0, "us")] = None  # a clock ran backwards: no duration
    return lasted


def _rates(rows: Any, durations: Any) -> Any:  # noqa: ANN401
    import numpy as np
    import pandas as pd

    seconds = durations.astype("m8[us]").view("int64") / 1e6
    empty = np.asarray(durations.isna()) | np.asarray(rows.isna()) | (seconds <= 0)
    counts = rows.to_numpy(dtype="float64", na_value=0)
    return pd.arrays.FloatingArray(np.where(empty, 0.0, counts) / np.where(empty, 1.0, seconds), empty)


_ARRAYS: dict[str, Callable[[Column], Any]] = {
    "whole": _whole,
    "text": _text,
    "time": _time,
    "flag": _flag,
    "json": _json,
}

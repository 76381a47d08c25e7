"""Executions to DataFrames with fixed columns and dtypes."""

from __future__ import annotations

from itertools import chain
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from domo_magic.model.arrays import ARRAYS, as_json
from domo_magic.model.formatting import spelled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from domo_magic.model.arrays import Column
    from domo_magic.model.execution import Execution, Key

    Known = tuple[int, int | None, str | None, str | None, str | None, int | None]

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
_OURS = {
    "streamId": attrgetter("stream_id"),
    "executionId": attrgetter("execution_id"),
    "name": attrgetter("name"),
    "instance": attrgetter("instance"),
    "label": attrgetter("label"),
}
# Transposing this many rows at a time stays in the processor's cache.
_CHUNK = 50
# Up to so many rows the columns of one kind are made together.
_FEW = 20
#: So many undocumented fields have columns of their own.
UNDOCUMENTED = 200
_NAMES = {kind: [name for name in KINDS if KINDS[name] == kind] for kind in dict.fromkeys(KINDS.values())}


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
        dtype ``object`` for each undocumented field, beyond 200 of them one column ``undocumented``
        with the others. What does not convert without loss is empty.

    Examples
    --------
    >>> from domo_magic.model.execution import Execution
    >>> frame([Execution(25775, 2)])["executionId"].dtype
    Int64Dtype()
    """
    runs = list(executions)
    columns = transpose([run.fields for run in runs])
    columns |= {name: list(map(attribute, runs)) for name, attribute in _OURS.items()}
    columns["requestedAt"] = [None if run.requested_at is None else run.requested_at / 1000 for run in runs]
    return build(columns, len(runs))


def newest_first(runs: pd.DataFrame, limit: int) -> pd.DataFrame:
    """Return the newest `limit` rows by ``startedAt``, or by our request where that is empty."""
    from domo_magic.model.shown import shown

    began = runs["startedAt"].fillna(runs["requestedAt"])
    if not began.is_monotonic_decreasing:
        order = began.to_frame("began").assign(executionId=runs["executionId"])
        order = order.sort_values(["began", "executionId"], ascending=False, na_position="last")
        runs = runs.loc[order.index]
    return shown(runs.head(limit).reset_index(drop=True), "runs")


def keys_of(table: pd.DataFrame) -> list[Key]:
    """Return stream and execution of each row; None where a row has no execution."""
    columns = (
        table[name].astype(object).where(table[name].notna(), None) for name in ("streamId", "executionId")
    )
    return [
        (int(stream), None if execution is None else int(execution))
        for stream, execution in zip(*columns, strict=True)
    ]


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
    if len(columns) > 1:
        size, blank = len(columns), dict.fromkeys(columns)
        whole = [record if len(record) == size else {**blank, **record} for record in chunk]
        if all(len(record) == size for record in whole):
            try:
                return zip(*map(itemgetter(*columns), whole), strict=True)
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

    from domo_magic.model.shown import shown

    empty, index = (None,) * size, pd.RangeIndex(size)
    arrays: dict[str, Any] = dict.fromkeys(KINDS)
    for kind in ("whole", "text", "time", "flag"):
        names = _NAMES[kind]
        arrays |= _arrays(kind, names, [columns.get(name, empty) for name in names], size)
    arrays["duration"] = _durations(arrays["startedAt"], arrays["endedAt"])
    arrays["rowsPerSecond"] = _rates(arrays["rowsInserted"], arrays["duration"])
    for name in _NAMES["json"]:
        arrays[name] = as_json(columns.get(name, empty), index)
    others = [name for name in columns if name not in KINDS]
    for name in others[:UNDOCUMENTED]:
        arrays[_free(name, arrays)] = as_json(columns[name], index)
    if rest := others[UNDOCUMENTED:]:
        fields = together({name: columns[name] for name in rest}, size)
        arrays[_free("undocumented", arrays)] = as_json(fields, index)
    return shown(pd.DataFrame(arrays, index=index, copy=False), "runs")


def _free(name: str, taken: Mapping[str, object]) -> str:
    """Return a name that UTF-8 can hold (JSON's keys can be halves of characters) and no column has."""
    name = spelled(name)
    while name in taken:
        name += "_"
    return name


def together(columns: Mapping[str, Column], size: int) -> list[object]:
    """Return for each row one object with what it has of these columns, or None."""
    rows: list[dict[str, object]] = [{} for _ in range(size)]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            if value is not None:
                row[name] = value
    return [row or None for row in rows]


def _arrays(kind: str, names: Sequence[str], columns: Sequence[Column], size: int) -> dict[str, Any]:
    """Return the arrays of the columns of one kind."""
    if size > _FEW:
        return {name: ARRAYS[kind](values) for name, values in zip(names, columns, strict=True)}
    # To make an array costs more than to fill it with a few values: one for all, and its slices.
    together = ARRAYS[kind](list(chain.from_iterable(columns)))
    return {name: together[at * size : (at + 1) * size] for at, name in enumerate(names)}


def typed(columns: Mapping[str, Column], kinds: Mapping[str, str], shown_as: str = "streams") -> pd.DataFrame:
    """Return a frame with these columns, each of the dtype of its kind (``whole``, ``text``, ...).

    It is displayed as `model.shown.shown` does with `shown_as`.
    """
    import pandas as pd

    from domo_magic.model.shown import shown

    arrays = {name: ARRAYS[kind](columns[name]) for name, kind in kinds.items()}
    return shown(pd.DataFrame(arrays, copy=False), shown_as)


def _durations(started: Any, ended: Any) -> Any:
    import numpy as np

    lasted = ended - started
    if lasted.isna().all():
        return lasted
    lasted[lasted < np.timedelta64(0, "us")] = None  # a clock ran backwards: no duration
    return lasted


def _rates(rows: Any, durations: Any) -> Any:
    import numpy as np
    import pandas as pd

    if durations.isna().all():
        return pd.arrays.FloatingArray(np.zeros(len(durations)), np.ones(len(durations), bool))
    seconds = durations.astype("m8[us]").view("int64") / 1e6
    empty = np.asarray(durations.isna()) | np.asarray(rows.isna()) | (seconds <= 0)
    counts = rows.to_numpy(dtype="float64", na_value=0)
    return pd.arrays.FloatingArray(np.where(empty, 0.0, counts) / np.where(empty, 1.0, seconds), empty)

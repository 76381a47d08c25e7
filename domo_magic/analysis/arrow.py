"""Runs as Arrow tables of one fixed schema, in types that every reader of Parquet knows, and back."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from domo_magic.errors import need_package
from domo_magic.model.arrays import ARRAYS, as_json, times
from domo_magic.model.execution import ExactFloat, parse_json
from domo_magic.model.frame import KINDS, together, transpose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from domo_magic.model.arrays import Column
    from domo_magic.model.frame import Known

#: The column of fields that nobody documented.
UNDOCUMENTED = "undocumented"
#: The key of the metadata that tables of this schema have in files.
COLLECTED = b"domo_magic.collect"
_TYPES = {
    "whole": "int64",
    "text": "string",
    "json": "string",
    "duration": "float64",
    "rate": "float64",
    "flag": "bool",
}
_NONE = type(None)
# Of these kinds Arrow tells the type by itself, and converts as `ARRAYS` does, far faster.
_EASY = ("whole", "text", "flag")
# Of these the standard library writes the text as it came; an ExactFloat has more digits.
_PLAIN = frozenset((str, int, float, bool, _NONE))
_PLAIN_TEXT = json.JSONEncoder(allow_nan=False).encode
# Stands between values that are written together, a sixth of the time that writing each takes.
_MARK = "\x00"
_BETWEEN = f", {_PLAIN_TEXT(_MARK)}, "


@cache
def arrow() -> tuple[Any, Any]:
    """Return pyarrow and its module for Parquet.

    Raises
    ------
    ConfigurationError
        It is not installed: ``pip install pyarrow``.
    """
    need_package("pyarrow", "Parquet")
    import pyarrow as pa
    from pyarrow import parquet

    return pa, parquet


def schema() -> Any:
    """Return the schema of every collected part: the 35 columns and `UNDOCUMENTED`."""
    pa, _ = arrow()
    times = pa.timestamp("us", "UTC")
    fields = [
        (name, times if kind == "time" else pa.type_for_alias(_TYPES[kind])) for name, kind in KINDS.items()
    ]
    return pa.schema([*fields, (UNDOCUMENTED, pa.string())])


def to_arrow(records: Sequence[Mapping[str, object]], facts: Sequence[Known]) -> Any:
    """Return runs as a table of the schema; what does not convert without loss is empty.

    Parameters
    ----------
    records : sequence of mapping
        Parsed JSON of each run.
    facts : sequence of tuple
        ``(stream_id, execution_id, name, instance, label, requested_at)`` of each, the last in epoch
        milliseconds.
    """
    pa, _ = arrow()
    columns = transpose(records)
    others = {name: columns.pop(name) for name in list(columns) if name not in KINDS}
    ours = list(zip(*facts, strict=True))
    names = ("streamId", "executionId", "name", "instance", "label")
    columns |= dict(zip(names, ours, strict=False))
    columns["requestedAt"] = [None if ms is None else ms / 1000 for ms in ours[5]]
    made = {name: _array(kind, columns.get(name)) for name, kind in KINDS.items()}
    lasted = _seconds(made["startedAt"], made["endedAt"])
    made["duration"], made["rowsPerSecond"] = lasted, _rates(made["rowsInserted"], lasted)
    undocumented = map(json_text, together(others, len(records)))
    made[UNDOCUMENTED] = pa.array(undocumented, pa.string()) if others else None
    wanted = schema()
    arrays = [
        pa.nulls(len(records), field.type) if array is None else _cast(array, field.type)
        for array, field in zip(made.values(), wanted, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=wanted)


def _cast(array: Any, kind: Any) -> Any:
    return array if array.type == kind else array.cast(kind)  # which takes its time even for nothing


def _array(kind: str, values: Column | None) -> Any:
    """Return the Arrow array of a column of parsed JSON; None: nothing but empty."""
    if values is None or kind in {"duration", "rate"}:
        return None
    pa, _ = arrow()
    if kind in _EASY:
        with suppress(OverflowError, UnicodeEncodeError, pa.ArrowException):
            if (found := pa.infer_type(values)) == pa.type_for_alias(_TYPES[kind]):
                return pa.array(values, found)
    if set(map(type, values)) == {_NONE}:
        return None
    if kind == "json":
        return pa.array(_json_texts(values), pa.string())
    if kind == "time":
        return pa.array(times(values), pa.timestamp("us", "UTC"))
    return pa.array(ARRAYS[kind](values), from_pandas=True)


def _seconds(started: Any, ended: Any) -> Any:
    """Return durations; a clock that ran backwards gives none."""
    pa, _ = arrow()
    from pyarrow import compute

    if started is None or ended is None:
        return None
    us = compute.subtract(ended.cast(pa.int64()), started.cast(pa.int64()))
    return compute.divide(_where(compute.greater_equal(us, 0), us).cast(pa.float64()), 1e6)


def _rates(rows: Any, seconds: Any) -> Any:
    from pyarrow import compute

    if rows is None or seconds is None:
        return None
    return compute.divide(rows.cast("float64"), _where(compute.greater(seconds, 0), seconds))


def _where(condition: Any, values: Any) -> Any:
    pa, _ = arrow()
    from pyarrow import compute

    return compute.if_else(condition, values, pa.scalar(None, values.type))


def dtypes() -> dict[Any, Any]:
    """Return the dtypes of frames of runs by the types of `schema`; what is not there pandas knows."""
    import pandas as pd

    pa, _ = arrow()
    return {
        pa.int64(): pd.Int64Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
        pa.string(): pd.StringDtype(),
    }


def to_frame(table: Any) -> pd.DataFrame:
    """Return a table of the schema as a frame of runs, with `UNDOCUMENTED` as its last column.

    Examples
    --------
    >>> to_frame(to_arrow([{"rowsInserted": 7}], [(25775, 2, None, None, None, None)]))["rowsInserted"].dtype
    Int64Dtype()
    """
    import pandas as pd

    pa, _ = arrow()
    from pyarrow import compute

    us = compute.round(compute.multiply(table["duration"], 1e6)).cast("int64").cast(pa.duration("us"))
    table = table.set_column(table.schema.get_field_index("duration"), "duration", us)
    objects = {name: table[name] for name, kind in KINDS.items() if kind == "json"}
    bare = table.drop_columns(list(objects)).replace_schema_metadata(None)
    frame: pd.DataFrame = bare.to_pandas(types_mapper=dtypes().get)
    parsed = {name: as_json(_parsed(texts), frame.index) for name, texts in objects.items()}
    return pd.DataFrame(
        {name: parsed[name] if name in parsed else frame[name] for name in table.column_names}, copy=False
    )


def _parsed(texts: Any) -> list[object]:
    if texts.null_count == len(texts):
        return [None] * len(texts)
    return [None if text is None else [] if text == "[]" else parse_json(text) for text in texts.to_pylist()]


def _json_texts(values: Column) -> list[str | None]:
    """Return what `json_text` does of each, made in one piece where nothing speaks against it."""
    if not any(values):  # nearly always: nothing, and empty lists
        return list(map(json_text, values))
    if all(map(_is_plain, values)):
        with suppress(ValueError):  # not a number
            marked = [_MARK] * (2 * len(values) - 1)
            marked[::2] = values  # type: ignore[assignment]
            texts = _PLAIN_TEXT(marked)[1:-1].split(_BETWEEN)
            if len(texts) == len(values):  # else one of them has the mark in it
                return [None if text == "null" else text for text in texts]
    return list(map(json_text, values))


def _is_plain(value: Any) -> bool:
    """Return True for what the standard library writes as it came, as far as it is not nested."""
    inside = value.values() if type(value) is dict else value if type(value) is list else (value,)
    return _PLAIN.issuperset(map(type, inside))


class _Raw(str):
    """A piece of JSON text."""

    __slots__ = ()


def json_text(value: Any) -> str | None:
    """Return parsed JSON as text, numbers digit for digit, however deep it is nested; None: nothing.

    Examples
    --------
    >>> json_text([{"code": 7}])
    '[{"code": 7}]'
    """
    if value == []:
        return "[]"
    if not isinstance(value, dict | list):
        return _scalar_text(value)
    pieces: list[str] = []
    todo: list[Any] = [value]
    while todo:  # no recursion: JSON can be nested deeper than calls can
        item = todo.pop()
        if isinstance(item, dict | list):
            todo.extend(reversed(_inside(item)))
        else:
            pieces.append(item if isinstance(item, _Raw) else _scalar_text(item) or "null")
    return "".join(pieces)


def _inside(value: dict[str, Any] | list[Any]) -> list[Any]:
    """Return an object or array as pieces of JSON with its values between them."""
    pairs = value.items() if isinstance(value, dict) else (("", item) for item in value)
    first, last = "{}" if isinstance(value, dict) else "[]"
    inside: list[Any] = []
    for key, item in pairs:
        before = ", " if inside else ""
        name = f"{json.dumps(key)}: " if isinstance(value, dict) else ""
        inside += [_Raw(before + name), item]
    return [_Raw(first), *inside, _Raw(last)]


def _scalar_text(value: Any) -> str | None:
    if isinstance(value, ExactFloat):
        return value.text
    known = isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    return json.dumps(value) if known else None  # None, or pandas' own missing value

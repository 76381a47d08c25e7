"""Columns of parsed JSON to pandas' arrays: what converts without loss; anything else is empty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domo_magic.model.execution import (
    EARLIEST_US,
    LATEST_US,
    MILLISECONDS_FROM,
    ExactFloat,
    microseconds,
    whole,
)
from domo_magic.model.formatting import encodes, spelled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    Column = Sequence[object]

_NONE = type(None)
_ISO_MARKS = ((4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":"), (-1, "Z"))


def _types(values: Column) -> set[type]:
    return set(map(type, values))


def _masked(values: Column, types: set[type], dtype: str) -> tuple[Any, Any]:
    """Return the values as a numpy array with 0 for None, and where they are None."""
    import numpy as np

    size = len(values)
    if types <= {_NONE}:
        return np.zeros(size, dtype), np.ones(size, bool)
    if _NONE not in types:
        return np.fromiter(values, dtype, size), np.zeros(size, bool)
    mask = np.fromiter((value is None for value in values), bool, size)
    return np.fromiter((0 if value is None else value for value in values), dtype, size), mask


def _whole(values: Column) -> Any:
    import pandas as pd

    types = _types(values)
    if types <= {int, _NONE}:
        try:
            return pd.arrays.IntegerArray(*_masked(values, types, "int64"))
        except OverflowError:
            pass
    values = [whole(value) for value in values]
    return pd.arrays.IntegerArray(*_masked(values, _types(values), "int64"))


def _flag(values: Column) -> Any:
    import pandas as pd

    types = _types(values)
    if not types <= {bool, _NONE}:
        values, types = [value if isinstance(value, bool) else None for value in values], {bool, _NONE}
    return pd.arrays.BooleanArray(*_masked(values, types, "bool"))


def _text(values: Column) -> Any:
    import pandas as pd

    types = _types(values)
    if types == {_NONE}:
        return pd.array([None], dtype="string").repeat(len(values))
    if types == {ExactFloat}:
        values = [value.text for value in values]  # type: ignore[attr-defined]
    elif types <= {float, ExactFloat, _NONE}:
        values = [None if value is None else repr(value) for value in values]
    elif not types <= {str, _NONE}:
        values = [_as_text(value) for value in values]
    try:
        return _strings(values)
    except UnicodeEncodeError:
        return _strings([value if encodes(value) else None for value in values])


def _strings(values: Column) -> Any:
    import pandas as pd

    dtype = pd.StringDtype()
    texts: Any = values
    if dtype.storage == "pyarrow":
        import pyarrow as pa

        # The same array, eight times faster than by way of Python objects.
        texts = pa.array(texts, type=pa.large_string())
    else:
        "".join(text for text in texts if text).encode()  # raises, as Arrow does
    return pd.array(texts, dtype=dtype)


def _as_text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return str(value)
    except ValueError:  # more digits than Python prints
        return None


def _time(values: Column) -> Any:
    import pandas as pd

    return pd.array(times(values), dtype=pd.DatetimeTZDtype("us", "UTC"))


def times(values: Column) -> Any:
    """Return times in any of Domo's shapes as a numpy array of UTC microseconds."""
    import numpy as np

    types = _types(values)
    if types <= {_NONE}:
        return np.full(len(values), "NaT", "M8[us]")
    if types <= {int, float, ExactFloat, _NONE}:
        try:
            return _numbers_to_us(np.array(values, dtype="float64"))
        except OverflowError:
            return _each_to_us(values)
    iso = _texts_to_us(values) if types == {str} else None
    return _each_to_us(values) if iso is None else iso


def _numbers_to_us(numbers: Any) -> Any:
    import numpy as np

    with np.errstate(invalid="ignore", over="ignore"):
        us = np.rint(numbers * np.where(np.abs(numbers) >= MILLISECONDS_FROM, 1e3, 1e6))
        # As a float the latest microsecond is one too late. False for nan, too.
        good = (us >= EARLIEST_US) & (us < float(LATEST_US))
    times = np.where(good, us, 0).astype("int64").view("M8[us]")
    times[~good] = np.datetime64("NaT", "us")
    return times


def _texts_to_us(values: Column) -> Any:
    """Return the times of texts that are all like 2024-12-17T17:56:56.000Z, else None."""
    import numpy as np

    texts = np.array(values)
    size = texts.dtype.itemsize // 4
    if not len("2024-12-17T17:56:56Z") <= size <= len("2024-12-17T17:56:56.000000Z"):
        return None
    # numpy reads more than ISO 8601 ("now", years of five digits): the marks must be where they belong.
    letters = texts.view("uint32").reshape(len(texts), size)
    if not all((letters[:, at] == ord(mark)).all() for at, mark in _ISO_MARKS):
        return None
    try:
        return np.array([value[:-1] for value in values], "M8[us]")  # type: ignore[index]
    except ValueError:
        return None


def _each_to_us(values: Column) -> Any:
    import numpy as np

    us = [microseconds(value) for value in values]
    return np.array(us, dtype="M8[us]")


def as_json(values: Column, index: pd.Index[Any] | None = None) -> Any:
    """Return the values as they are, in a Series of objects; aligning is dear, so give the frame's index."""
    import numpy as np
    import pandas as pd

    values = _encodable(values)
    # A frame made of a bare array of texts would take them for a column of text.
    return pd.Series(np.fromiter(values, object, len(values)), index=index, dtype=object, copy=False)


def _encodable(values: Column) -> Column:
    """Return the values with halves of characters spelled out: no kernel can send a frame that has one."""
    if not any(values):  # nearly always: nothing, and empty lists
        return values
    try:
        return [_spelled(value) for value in values] if "\\ud" in repr(values) else values
    except RecursionError:
        return values


def _spelled(value: Any) -> Any:
    if isinstance(value, str):
        return spelled(value)
    if isinstance(value, list):
        return [_spelled(item) for item in value]
    if isinstance(value, dict):
        return {_spelled(key): _spelled(item) for key, item in value.items()}
    return value


#: What makes the array of a column, by the column's kind.
ARRAYS: dict[str, Callable[[Column], Any]] = {
    "whole": _whole,
    "text": _text,
    "time": _time,
    "flag": _flag,
    "json": as_json,
}

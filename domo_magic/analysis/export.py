"""Frames to files and back: Parquet unchanged, CSV without formulas."""

from __future__ import annotations

import errno
import json
import os
import re
from typing import TYPE_CHECKING, Any

from domo_magic.errors import ConfigurationError, TargetError
from domo_magic.model.execution import ExactFloat, parse_json
from domo_magic.model.formatting import cut

if TYPE_CHECKING:
    import pandas as pd

_OURS = b"domo_magic"
# Spreadsheets skip what is blank before a formula, and read full-width signs as the usual ones.
_BLANK, _SIGNS = "[\\s\\x00-\\x1f\u200b\ufeff]*", "[-=+@\uff1d\uff0b\uff0d\uff20]"
_FORMULA = re.compile(f"[\t\r\n]|{_BLANK}{_SIGNS}")
# Where ; or a tab separates the columns, as in most of Europe, a formula can begin in the middle of a text.
_LATER_FORMULA = re.compile(f"(;|(?<=\\S)[\t\r\n])(?={_BLANK}{_SIGNS})")


def to_parquet(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a frame so that `read_parquet` gives it back unchanged; objects become JSON text.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of runs, or any other of ours.
    path : str or path
        Where to.

    Raises
    ------
    ConfigurationError
        pyarrow is not installed: ``pip install 'domo-magic[parquet]'``.
    """
    pa, parquet = _pyarrow()
    objects = _texts(frame)  # Parquet has no type for "any JSON", and refuses an empty object
    texts = frame.assign(**objects).astype(dict.fromkeys(objects, "string"))
    table = pa.Table.from_pandas(texts)
    metadata = {**(table.schema.metadata or {}), _OURS: json.dumps(list(objects)).encode()}
    parquet.write_table(table.replace_schema_metadata(metadata), path)


def read_parquet(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read the frame that ``runs.domo.to_parquet(path)`` wrote, unchanged.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    pandas.DataFrame
        With the columns, dtypes and values that were written; the index too.

    Raises
    ------
    ConfigurationError
        pyarrow is not installed: ``pip install 'domo-magic[parquet]'``.
    FileNotFoundError
        There is no such file.
    TargetError
        The file is no Parquet, or damaged.

    Examples
    --------
    >>> read_parquet("runs.parquet")
    """
    pa, parquet = _pyarrow()
    try:
        table = parquet.read_table(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "no such file", os.fspath(path)) from error
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # the system's: no permission, and the like
            raise
        raise TargetError(
            f"{os.fspath(path)} cannot be read as Parquet: {cut(str(error), 300)}",
            "name a file that runs.domo.to_parquet or another program wrote as Parquet",
        ) from error
    frame: pd.DataFrame = table.to_pandas()
    for name in json.loads((table.schema.metadata or {}).get(_OURS, b"[]")):
        values = [parse_json(text) if isinstance(text, str) else None for text in frame[name]]
        frame[name] = _objects(values, frame)
    return frame


def to_csv(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a frame as CSV in which no text is a formula to a spreadsheet; objects become JSON text.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of runs, or any other of ours.
    path : str or path
        Where to. A text that begins like a formula gets an apostrophe before it, a column's name too.
    """
    texts = _texts(frame)
    for name in frame.columns:
        if _holds_text(frame[name].dtype):
            texts[name] = frame[name].astype(object)
    harmless: dict[str, Any] = {name: list(map(_harmless, values)) for name, values in texts.items()}
    frame.assign(**harmless).rename(columns=_harmless).to_csv(path, index=False)


def _holds_text(dtype: Any) -> bool:
    """Whether it is a dtype of text, or a category of whatever."""
    import pandas as pd

    return dtype.type is str or isinstance(dtype, pd.CategoricalDtype)


def _harmless(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = _LATER_FORMULA.sub(r"\1'", value)
    return f"'{value}" if _FORMULA.match(value) else value


def _texts(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the columns of objects as JSON text."""
    objects = [name for name in frame.columns if frame[name].dtype == object]
    return {name: [_to_text(value) for value in frame[name]] for name in objects}


def _objects(values: list[object], frame: pd.DataFrame) -> pd.Series[Any]:
    import pandas as pd

    return pd.Series(values, index=frame.index, dtype=object)


def _to_text(value: Any) -> str | None:
    """Return parsed JSON as text, numbers digit for digit."""
    if value is None:
        return None
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key)}: {_to_text(item) or 'null'}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(_to_text(item) or "null" for item in value) + "]"
    if isinstance(value, ExactFloat):
        return value.text
    if isinstance(value, str | int | float):
        return json.dumps(value)
    return None  # pandas' own missing value


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ConfigurationError(
            "Parquet files need pyarrow, which is an extra", "pip install 'domo-magic[parquet]'"
        ) from None
    return pa, parquet

"""Frames to files and back: Parquet unchanged, CSV and Excel in plain values without formulas."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domo_magic.analysis.arrow import COLLECTED, arrow, json_text, to_frame
from domo_magic.errors import TargetError, need_package
from domo_magic.model.arrays import as_json
from domo_magic.model.execution import parse_json
from domo_magic.model.formatting import cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

_OURS = b"domo_magic"
# Spreadsheets skip what is blank before a formula, and read full-width signs as the usual ones.
_BLANK, _SIGNS = "[\\s\\x00-\\x1f\u200b\ufeff]*", "[-=+@\uff1d\uff0b\uff0d\uff20]"
_FORMULA = re.compile(f"[\t\r\n]|{_BLANK}{_SIGNS}")
# Where ; or a tab separates the columns, as in most of Europe, a formula can begin in the middle of a text.
_LATER_FORMULA = re.compile(f"(;|(?<=\\S)[\t\r\n])(?={_BLANK}{_SIGNS})")
# What XML 1.0 cannot hold, and so no sheet.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


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
        pyarrow is not installed: ``pip install pyarrow``.
    """
    pa, parquet = arrow()
    # Parquet has no type for "any JSON", and refuses an empty object
    names = [name for name in frame.columns if frame[name].dtype == object]
    objects: dict[str, Any] = {name: list(map(json_text, frame[name])) for name in names}
    texts = frame.assign(**objects).astype(dict.fromkeys(objects, "string"))
    table = pa.Table.from_pandas(texts)
    metadata = {**(table.schema.metadata or {}), _OURS: json.dumps(list(objects)).encode()}
    with _whole(path) as beside:
        parquet.write_table(table.replace_schema_metadata(metadata), beside)


def read_parquet(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read the frame that ``runs.domo.to_parquet(path)`` wrote, unchanged; or a folder of collected runs.

    Parameters
    ----------
    path : str or path
        The file, or the folder that `collect` wrote.

    Returns
    -------
    pandas.DataFrame
        With the columns, dtypes and values that were written; the index too. Of a folder the 35 columns
        of every frame of runs, and ``undocumented`` (``string``): JSON of the fields nobody documented.

    Raises
    ------
    ConfigurationError
        pyarrow is not installed: ``pip install pyarrow``.
    FileNotFoundError
        There is no such file or folder.
    TargetError
        The file is no Parquet, or damaged.

    Examples
    --------
    >>> to_parquet(runs, "runs.parquet")
    >>> read_parquet("runs.parquet").equals(runs)
    True
    """
    pa, parquet = arrow()
    from domo_magic.analysis import accessor

    accessor.register()  # nothing else of the package need have been imported
    try:
        table = parquet.read_table(path)
        if COLLECTED in (table.schema.metadata or {}):
            return to_frame(table)
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
        frame[name] = as_json(values, frame.index)
    return frame


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame in values that every other program understands.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of runs, any other of ours, or a part of one.

    Returns
    -------
    pandas.DataFrame
        The same columns: times as ``datetime64`` in UTC without a zone, durations as ``float64``
        seconds, objects as JSON text (``string``), everything else as it is. All can be hashed.

    Examples
    --------
    >>> plain(runs)["duration"].dtype
    dtype('float64')
    >>> len(plain(runs).drop_duplicates())
    20
    """
    import pandas as pd

    made = pd.DataFrame(frame).copy()
    for at, dtype in enumerate(frame.dtypes):  # by place: a selection can have a column twice
        column = frame.iloc[:, at]
        if isinstance(dtype, pd.DatetimeTZDtype):
            made.isetitem(at, column.dt.tz_convert("UTC").dt.tz_localize(None))
        elif dtype.kind == "m":
            made.isetitem(at, column.dt.total_seconds())
        elif dtype == "object":
            # pandas 2 keeps the texts of other programs as objects, too: they are no JSON
            texts = column if pd.api.types.infer_dtype(column) == "string" else map(json_text, column)
            made.isetitem(at, pd.array(list(texts), dtype="string"))
    return made


def to_csv(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write the `plain` frame as CSV in which no text is a formula to a spreadsheet.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of runs, or any other of ours.
    path : str or path
        Where to. A text that begins like a formula gets an apostrophe before it, a column's name too.
    """
    with _whole(path) as beside:
        _without_formulas(plain(frame)).to_csv(beside, index=False)


def to_excel(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write the `plain` frame as an Excel sheet in which no text is a formula.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of runs, or any other of ours.
    path : str or path
        Where to, ending in ``.xlsx``. As in `to_csv`; what Excel cannot hold of a text is a space.

    Raises
    ------
    ConfigurationError
        openpyxl is not installed: ``pip install openpyxl``.
    TargetError
        The name does not end so.
    """
    need_package("openpyxl", "Excel")
    if not os.fspath(path).endswith(".xlsx"):
        raise TargetError(
            f"{os.fspath(path)} is not the name of an Excel file", "write one that ends in .xlsx"
        )
    with _whole(path) as beside:
        _without_formulas(plain(frame), _UNPRINTABLE).to_excel(beside, index=False, engine="openpyxl")


@contextmanager
def _whole(path: Any) -> Iterator[Any]:
    """Give a file beside `path` that takes its place once it is whole; what cannot be replaced, as it is."""
    if not isinstance(path, str | os.PathLike) or "://" in os.fspath(path):
        yield path
        return
    file = Path(path).expanduser().resolve()  # a link stays one
    if (file.exists() and not file.is_file()) or not os.access(file.parent, os.W_OK):  # a device, a pipe
        yield path
        return
    beside = file.with_name(f".{uuid.uuid4().hex}-{file.name}")  # its ending tells how to compress
    try:
        yield beside
        if file.exists():
            shutil.copymode(file, beside)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def _without_formulas(frame: pd.DataFrame, without: re.Pattern[str] | None = None) -> pd.DataFrame:
    """Return the frame with harmless texts, in which a space takes the place of what matches `without`."""

    def safe(value: Any) -> Any:
        return _harmless(without.sub(" ", value) if without and isinstance(value, str) else value)

    for at, dtype in enumerate(frame.dtypes):
        if _holds_text(dtype):
            frame.isetitem(at, list(map(safe, frame.iloc[:, at].astype(object))))
    return frame.rename(columns=safe)


def _holds_text(dtype: Any) -> bool:
    """Whether it is a dtype of text, or a category of whatever."""
    import pandas as pd

    return dtype.type is str or isinstance(dtype, pd.CategoricalDtype)


def _harmless(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = _LATER_FORMULA.sub(r"\1'", value)
    return f"'{value}" if _FORMULA.match(value) else value

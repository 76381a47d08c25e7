"""Comparing a whole dataset stream by stream, in memory that does not grow with it."""

from __future__ import annotations

import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domo_magic.analysis.arrow import arrow, dtypes, schema
from domo_magic.analysis.baseline import compare, parse_baseline
from domo_magic.errors import TargetError
from domo_magic.fleet.executors import finished, submitted
from domo_magic.model.formatting import cut

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor

    import pandas as pd

    from domo_magic.analysis.baseline import Baseline

    Key = tuple[str, int]

#: What comparing needs of a run; the duration follows from the times.
_COLUMNS = (
    *("instance", "streamId", "executionId", "name", "currentState", "startedAt", "endedAt", "modifiedAt"),
    *("rowsInserted", "bytesInserted", "peakMemoryUsedBytes", "cancelledBy", "errors"),
)
# Rows that are compared together, whole streams, and rows that are read at a time.
_TOGETHER, _BATCH = 200_000, 65_536
_THREADS = 2
_FIRST: Key = ("", -(2**63))
_LAST: Key = ("\U0010ffff", 2**63 - 1)


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group of a file, and the streams in it: from `low` to `high`."""

    file: str
    number: int
    rows: int
    low: Key
    high: Key


def compare_dataset(
    path: str | os.PathLike[str], *, baseline: Baseline | str = "median", since_us: int = 0
) -> pd.DataFrame:
    """Compare the runs of a dataset; return those that are not usual, newest first, as `compare` does.

    Parameters
    ----------
    path : str or path
        A folder that `collect` wrote, or any with Parquet files of runs.
    baseline : {"median", "previous"}
        As for `compare`.
    since_us : int
        Epoch microseconds; runs that began before are compared with, and not returned.

    Raises
    ------
    TargetError
        There are no such files, or they cannot be read; the baseline is a run.
    ConfigurationError
        The Dask client was closed meanwhile.
    """
    import pandas as pd

    against = parse_baseline(baseline)
    if isinstance(against, tuple):
        raise TargetError(
            "a run is the baseline of its own stream alone", "with a folder write median or previous"
        )
    now = pd.Timestamp.now(tz="UTC")
    groups = _groups(Path(path))
    found = [compare(_read([], _FIRST, _FIRST), baseline=against)]
    with _workers() as executor:
        tasks = [
            submitted(executor, _unusual, uuid.uuid4().hex, within, low, high, against, now, since_us)
            for low, high in _ranges(groups)
            if (within := _between(groups, low, high))
        ]
        found += [task.result() for task in finished(executor, tasks)]
    order = {"startedAt": False, "executionId": False, "streamId": True}
    return pd.concat(found, ignore_index=True).sort_values(
        list(order), ascending=list(order.values()), na_position="last", ignore_index=True
    )


@contextmanager
def _workers() -> Iterator[Executor]:
    """Give the active Dask client's executor, or threads."""
    if (client := _client()) is not None:
        yield client.get_executor()
        return
    threads = ThreadPoolExecutor(_THREADS)
    try:
        yield threads
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _client() -> Any:
    """Return the active Dask client, or None; where Dask was never imported there is none."""
    if (distributed := sys.modules.get("distributed")) is None:
        return None
    try:
        return distributed.Client.current()
    except ValueError:
        return None


def _groups(path: Path) -> list[_Group]:
    """Return the row groups of all files."""
    pa, parquet = arrow()
    files = [path] if path.is_file() else sorted(path.glob("*.parquet"))
    if not files:
        raise TargetError(f"{path} holds no Parquet files", "name the folder that collect wrote")
    groups: list[_Group] = []
    for file in files:
        try:
            metadata = parquet.read_metadata(file)
            names = {metadata.schema.column(at).path: at for at in range(metadata.num_columns)}
            if missing := [name for name in _COLUMNS if name not in names]:
                raise TargetError(f"{file} has no {', '.join(missing)}", "name the folder that collect wrote")
            groups += [
                _Group(str(file), at, metadata.row_group(at).num_rows, *_range(metadata.row_group(at), names))
                for at in range(metadata.num_row_groups)
            ]
        except (pa.ArrowException, OSError) as error:
            raise TargetError(f"{file} cannot be read as Parquet: {cut(str(error), 300)}") from error
    return groups


def _range(group: Any, names: dict[str, int]) -> tuple[Key, Key]:
    """Return the first and the last stream that can be in a row group."""
    instance, stream = (group.column(names[name]).statistics for name in ("instance", "streamId"))
    if instance is not None and instance.null_count == group.num_rows:
        instances = ("", "")
    elif instance is None or not instance.has_min_max or instance.null_count:
        return _FIRST, _LAST
    else:
        instances = (instance.min, instance.max)
    if instances[0] == instances[1] and stream is not None and stream.has_min_max:
        return (instances[0], stream.min), (instances[1], stream.max)
    return (instances[0], _FIRST[1]), (instances[1], _LAST[1])


def _ranges(groups: Sequence[_Group]) -> Iterator[tuple[Key, Key]]:
    """Yield ranges of streams, from the first to before the last, each with about `_TOGETHER` rows."""
    low, rows = _FIRST, 0
    for group in sorted(groups, key=lambda group: group.low):
        if rows >= _TOGETHER and group.low > low:
            yield from _split(groups, low, group.low)
            low, rows = group.low, 0
        rows += group.rows
    yield from _split(groups, low, _LAST)


def _between(groups: Sequence[_Group], low: Key, high: Key) -> list[_Group]:
    """Return the row groups that may hold streams from `low` to before `high`."""
    return [group for group in groups if group.high >= low and group.low < high]


def _split(groups: Sequence[_Group], low: Key, high: Key) -> Iterator[tuple[Key, Key]]:
    """Yield a range in parts, where row groups hold so many streams that they begin nowhere between."""
    within = _between(groups, low, high)
    if not within:
        return
    first, last = max(low, min(group.low for group in within)), max(group.high for group in within)
    last = min(last, high)
    count = min(sum(group.rows for group in within) // (2 * _TOGETHER), last[1] - first[1])
    if first[0] == last[0] and count > 1:
        for part in range(1, count):
            middle = (first[0], first[1] + (last[1] - first[1]) * part // count)
            yield low, middle
            low = middle
    yield low, high


def _unusual(
    _nonce: str,
    groups: Sequence[_Group],
    low: Key,
    high: Key,
    baseline: Baseline,
    now: pd.Timestamp,
    since_us: int,
) -> pd.DataFrame:
    """Return the runs of a range of streams that are not usual."""
    import pandas as pd

    compared = compare(_read(groups, low, high), baseline=baseline, now=now)
    wanted = compared["verdict"] != "usual"
    if since_us:
        began = compared["startedAt"]
        wanted &= began.isna() | (began >= pd.Timestamp(since_us, unit="us", tz="UTC"))
    return compared[wanted].reset_index(drop=True)


def _read(groups: Sequence[_Group], low: Key, high: Key) -> pd.DataFrame:
    """Return the runs of a range of streams."""
    pa, parquet = arrow()
    wanted = pa.schema([schema().field(name) for name in _COLUMNS])
    tables = [wanted.empty_table()]
    for file in dict.fromkeys(group.file for group in groups):
        numbers = [group.number for group in groups if group.file == file]
        with parquet.ParquetFile(file) as source:
            for batch in source.iter_batches(_BATCH, numbers, list(_COLUMNS)):
                table = pa.Table.from_batches([batch]).select(_COLUMNS)
                tables.append(table.filter(_within(table, low, high)).cast(wanted))
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas(types_mapper=dtypes().get)
    return frame


def _within(table: Any, low: Key, high: Key) -> Any:
    from pyarrow import compute as pc

    instance, stream = pc.fill_null(table["instance"].cast("string"), ""), table["streamId"]
    after = pc.or_(
        pc.greater(instance, low[0]),
        pc.and_(pc.equal(instance, low[0]), pc.greater_equal(stream, low[1])),
    )
    before = pc.or_(
        pc.less(instance, high[0]), pc.and_(pc.equal(instance, high[0]), pc.less(stream, high[1]))
    )
    return pc.and_(after, before)

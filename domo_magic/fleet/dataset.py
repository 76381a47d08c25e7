"""A dataset of runs: a flat folder of Parquet parts, each there as a whole or not at all.

Finished runs stand in numbered parts that are never written again; unfinished ones in one part that is
replaced. The footer of a numbered part has what is known of the streams in it, so that runs and what is known
by them appear in the same moment.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import uuid
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domo_magic.analysis.arrow import COLLECTED, arrow, schema
from domo_magic.errors import ConfigurationError, TargetError, warn
from domo_magic.model.formatting import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

#: One stream of an instance, and one run of it.
Stream = tuple[str, int]
Key = tuple[str, int, int]
Row = dict[str, Any]

#: How the runs of a part are sorted, and rows of a batch of a task's file.
ORDER = [("instance", "ascending"), ("streamId", "ascending"), ("executionId", "ascending")]
BATCH = 2_000
_LOCK, _OPEN = "lock", "part-open.parquet"
_NUMBERED = re.compile(r"part-(\d+)\.parquet")
#: Rows of a row group: few enough that a reader's memory is small.
_GROUP = 65_536


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a stream.

    Attributes
    ----------
    last : int
        So far Domo's list was read; 0 where it is not oldest first.
    newest : int
        The highest execution id that was read; 0: there is none.
    since_us : int
        Epoch microseconds from which on the runs are complete.
    gaps : tuple of int
        Ids shortly before the newest that were not in the list.
    open : tuple of int
        Ids of unfinished runs.
    beyond : tuple of int
        Ids of finished runs above the newest: they had been unfinished, and ended before the list was read.
    """

    last: int = 0
    newest: int = 0
    since_us: int = 0
    gaps: tuple[int, ...] = ()
    open: tuple[int, ...] = ()
    beyond: tuple[int, ...] = ()


class Dataset:
    """A dataset in a folder, for one process that writes.

    Parameters
    ----------
    path : str or path
        The folder; it is made. Beside it stands ``path.state``, with the lock and unfinished files.

    Attributes
    ----------
    aside : Path
        The folder beside it, where tasks write.
    known : dict
        ``{(instance, stream id): Known}``.
    unfinished : dict
        ``{(instance, stream id, execution id): row}`` of the runs that had not ended.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100  a link stays one
        if not self.path.name:
            raise TargetError(f"{self.path} cannot hold a dataset", "name a folder of its own")
        self.aside = self.path.with_name(self.path.name + ".state")
        self.known: dict[Stream, Known] = {}
        self.unfinished: dict[Key, Row] = {}
        self._there: dict[Stream, set[int]] = {}
        # The last part, and the last of those whose footers are not trusted, for one of them was lost.
        self._number = self._base = 0

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the lock, and know what is there.

        Raises
        ------
        TargetError
            The folder holds other files, or another process writes into it.
        ConfigurationError
            The folder cannot be written to.
        """
        arrow()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            parts(self.path)  # before anything is made beside a folder that is refused
            self.aside.mkdir(exist_ok=True)
            self._try()
        except OSError as error:
            raise unwritable(self.path, error) from error
        with self._locked():
            for left in self.aside.iterdir():
                if left.suffix in {".arrow", ".part", ".try"}:
                    left.unlink(missing_ok=True)
            self._load()
            yield

    def _try(self) -> None:
        """Write beside the folder, and rename into it, as every part is."""
        name = f".{uuid.uuid4().hex}.try"
        (self.aside / name).write_bytes(b"\0" * 4096)
        (self.aside / name).replace(self.path / name)
        (self.path / name).unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes out; the operating system frees the lock of one that has ended."""
        with closing(sqlite3.connect(self.aside / _LOCK, timeout=0, isolation_level=None)) as lock:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error as error:
                raise TargetError(
                    f"another collect is writing to {self.path} ({error})",
                    "wait until it has ended, or name another folder",
                ) from None
            yield

    def _load(self) -> None:
        """Take what the footers say, the later one's word."""
        footers: dict[int, dict[str, Any]] = {}
        for file in parts(self.path):
            footer = self._footer(file)
            if footer is not None and file.name == _OPEN:
                self.unfinished = {key_of(row): row for row in _rows(file)}
            elif footer is not None:
                footers[_number_of(file)] = footer
        self._number = max(footers, default=0)
        self._base = footers[self._number]["base"] if footers else 0
        if any(number not in footers for number in range(self._base + 1, self._number)):
            self._base = self._number
        for number in range(self._base + 1, self._number + 1):
            for instance, streams in footers[number]["streams"].items():
                for stream_id, values in streams.items():
                    self._know((instance, int(stream_id)), values)
        if self._base:
            self._look()
        for instance, stream_id, execution_id in self.unfinished:
            found = self.known.get((instance, stream_id), Known())
            opened = tuple(sorted({*found.open, execution_id}))
            self.known[instance, stream_id] = replace(found, open=opened)

    def _know(self, stream: Stream, values: Sequence[Any]) -> None:
        """Take what a footer says of a stream; nothing is known by one of an earlier version."""
        if len(values) == len(fields(Known)):
            known: list[Any] = [tuple(each) if isinstance(each, list) else each for each in values]
            self.known[stream] = Known(*known)
        else:
            self.known.pop(stream, None)
            self._base = self._number

    def _footer(self, file: Path) -> dict[str, Any] | None:
        """Return what a part's footer says; a part that cannot be read is put aside."""
        pa, parquet = arrow()
        try:
            metadata = parquet.read_schema(file).metadata or {}
        except (pa.ArrowException, OSError):
            file.replace(self.aside / f"unreadable-{file.name}")
            warn(f"{file.name} cannot be read, and was moved to {self.aside}; its runs are fetched again")
            return None
        if COLLECTED not in metadata:
            raise _others(self.path, file)
        footer: dict[str, Any] = json.loads(metadata[COLLECTED])
        return footer

    def go_back(self, streams: Iterable[Stream], since_us: int) -> None:
        """Forget what is known of streams that are complete only from later on: their lists are read anew."""
        earlier = [each for each in streams if since_us < self.known.get(each, Known()).since_us]
        for each in earlier:
            self.known[each] = Known(open=self.known[each].open)
        if earlier:
            self._look()

    def _look(self) -> None:
        """See which runs there are, of streams of which nothing is known."""
        _, parquet = arrow()
        for file in parts(self.path):
            if file.name != _OPEN:
                table = parquet.read_table(file, columns=["instance", "streamId", "executionId"])
                ids = table.group_by(["instance", "streamId"]).aggregate([("executionId", "list")])
                for row in ids.to_pylist():
                    stream = row["instance"], row["streamId"]
                    if not self.known.get(stream, Known()).newest:
                        self._there.setdefault(stream, set()).update(row["executionId_list"])

    def there(self, stream: Stream) -> frozenset[int]:
        """Return the runs of a stream that are there although nothing is known of it."""
        return frozenset(self._there.get(stream, ()))

    def commit(
        self,
        files: Sequence[Path],
        states: Mapping[Stream, Known],
        touched: Mapping[Key, Row | None],
    ) -> None:
        """Add what tasks wrote as one part, and bring the unfinished runs up to date.

        Parameters
        ----------
        files : sequence of Path
            Arrow files of finished runs, each in `ORDER`, in batches of `BATCH` rows.
        states : mapping
            What is known of their streams with them.
        touched : mapping
            Rows of unfinished runs, None for those among them that have ended.

        Raises
        ------
        OSError
            Nothing was changed.
        """
        unfinished = {key: row for key, row in {**self.unfinished, **touched}.items() if row}
        # A part is there even without rows, so that the folder can be read.
        part = self._part(files, states) if files or not (unfinished or parts(self.path)) else None
        # A run that has ended leaves the unfinished ones first: were this process to end here, it would be
        # requested again, for the footers so far have it as unfinished.
        self._put_unfinished(unfinished)
        if part is not None:
            part.replace(self.path / f"part-{self._number + 1:06d}.parquet")
            self._number += 1
            self.known.update(states)
        for file in files:
            file.unlink(missing_ok=True)

    def _put_unfinished(self, rows: dict[Key, Row]) -> None:
        pa, _ = arrow()
        if rows == self.unfinished:
            return
        if rows:
            table = pa.Table.from_pylist([rows[key] for key in sorted(rows)], schema())
            self._write([table], {}).replace(self.path / _OPEN)
        else:
            (self.path / _OPEN).unlink(missing_ok=True)
        self.unfinished = rows

    def _part(self, files: Sequence[Path], states: Mapping[Stream, Known]) -> Path:
        streams: dict[str, dict[int, Any]] = {}
        for (instance, stream_id), known in sorted(states.items()):
            streams.setdefault(instance, {})[stream_id] = astuple(known)
        return self._write(_in_order(files), {"base": self._base, "streams": streams})

    def _write(self, tables: Iterable[Any], footer: Mapping[str, Any]) -> Path:
        """Write a part beside the folder, and see that it is on the disk."""
        _, parquet = arrow()
        part = self.aside / f"{uuid.uuid4().hex}.part"
        about = json.dumps(footer, separators=(",", ":")).encode()
        try:
            with part.open("wb") as file:
                with parquet.ParquetWriter(file, schema().with_metadata({COLLECTED: about})) as writer:
                    for table in tables:
                        writer.write_table(table, row_group_size=_GROUP)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return part


def parts(path: Path) -> list[Path]:
    """Return the parts of a dataset, the unfinished runs last.

    Raises
    ------
    TargetError
        The folder holds other files.
    """
    files = sorted(file for file in path.iterdir() if not file.name.startswith((".", "_")))
    for file in files:
        if file.name != _OPEN and not _NUMBERED.fullmatch(file.name):
            raise _others(path, file)
    return files


def _others(path: Path, file: Path) -> TargetError:
    return TargetError(
        f"{path} holds other files than a dataset's: {cut(file.name, 60)}", "name a folder of its own"
    )


def _number_of(file: Path) -> int:
    match = _NUMBERED.fullmatch(file.name)
    return int(match[1]) if match else 0


def key_of(row: Mapping[str, Any]) -> Key:
    """Return instance, stream and execution of a row."""
    return row["instance"], row["streamId"], row["executionId"]


def unwritable(path: Path, error: object) -> ConfigurationError:
    """Return the error for a folder that cannot be written to."""
    return ConfigurationError(
        f"{path} cannot be written to: {getattr(error, 'strerror', None) or error}",
        "name a folder with room that may be written; what was collected before is whole",
    )


def _rows(file: Path) -> list[Row]:
    _, parquet = arrow()
    rows: list[Row] = parquet.read_table(file).to_pylist()
    return rows


def _in_order(files: Sequence[Path]) -> Iterator[Any]:
    """Yield the rows of sorted Arrow files in one order, as tables of a row group; no more are in memory."""
    import numpy as np
    from pyarrow import compute

    pa, _ = arrow()
    if not files:
        return
    read = (_batches(file).select([name for name, _ in ORDER]) for file in files)
    # Copied: a part of what was read keeps all of it in memory.
    keys = [table.take(np.arange(len(table))) for table in read]
    order = compute.sort_indices(pa.concat_tables(keys).combine_chunks(), ORDER).to_numpy()
    file_of = np.repeat(np.arange(len(files), dtype="int32"), list(map(len, keys)))[order]
    begun = [0] * len(files)
    for first in range(0, len(order), _GROUP):
        counts = np.bincount(file_of[first : first + _GROUP], minlength=len(files)).tolist()
        rows = [_rows_of(*each) for each in zip(files, begun, counts, strict=True) if each[2]]
        yield _arranged(pa.concat_tables(rows), order[first : first + _GROUP])
        begun = [start + count for start, count in zip(begun, counts, strict=True)]


def _arranged(table: Any, places: Any) -> Any:
    """Return rows, which stand by rising places, as the places do; to move them takes its time."""
    import numpy as np

    rising = np.sort(places)
    return table if (rising == places).all() else table.take(np.searchsorted(rising, places))


def _rows_of(file: Path, start: int, count: int) -> Any:
    first, end = start // BATCH, -(-(start + count) // BATCH)
    return _batches(file, first, end).slice(start - first * BATCH, count)


def _batches(file: Path, first: int = 0, end: int | None = None) -> Any:
    """Return batches of an Arrow file; it is read, not mapped: a disk that fails would end the process."""
    pa, _ = arrow()
    with pa.OSFile(str(file)) as source, pa.ipc.open_file(source) as reader:
        batches = range(reader.num_record_batches)[first:end]
        return pa.Table.from_batches([reader.get_batch(at) for at in batches])

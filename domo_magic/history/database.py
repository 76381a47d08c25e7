"""One SQLite file that several kernels write, or memory where it cannot be had."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from domo_magic.errors import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    Work = Callable[[sqlite3.Connection], object]

_T = TypeVar("_T")

#: How long another kernel's writing is waited for, in seconds.
BUSY = 10.0
# The same for a file that could not be used before, and how much is kept to be written there later.
_BUSY_AGAIN = 1.0
_MISSED = 10_000

# Each entry takes the schema one version on; entries are added, never changed.
MIGRATIONS = (
    """
    CREATE TABLE run (
        id INTEGER PRIMARY KEY,
        instance TEXT NOT NULL,
        stream_id INTEGER NOT NULL,
        execution_id INTEGER,            -- NULL: an intent whose run is not known
        requested_at INTEGER,            -- epoch ms of our POST; NULL: started elsewhere
        outcome TEXT,                    -- of our POST: open, started, adopted or refused
        known_before INTEGER,            -- the stream's highest execution id known at the intent
        label TEXT,
        sorted_at INTEGER NOT NULL,      -- epoch µs of startedAt, or of the request
        state TEXT,
        started_at INTEGER,              -- epoch µs
        ended_at INTEGER,                -- epoch µs
        finished INTEGER NOT NULL DEFAULT 0,
        answer TEXT,                     -- Domo's last response, byte for byte but for the token
        UNIQUE (instance, stream_id, execution_id)
    );
    CREATE INDEX run_newest ON run (instance, sorted_at DESC, execution_id DESC);
    CREATE INDEX run_of_stream ON run (instance, stream_id, sorted_at DESC, execution_id DESC);
    CREATE INDEX run_unfinished ON run (instance, sorted_at DESC) WHERE NOT finished;
    CREATE TABLE change (
        run INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
        state TEXT,
        seen_at INTEGER NOT NULL         -- epoch ms
    );
    CREATE INDEX change_of_run ON change (run);
    CREATE TABLE stream (
        instance TEXT NOT NULL,
        stream_id INTEGER NOT NULL,
        dataset_id TEXT,
        name TEXT,
        PRIMARY KEY (instance, stream_id)
    ) WITHOUT ROWID;
    """,
    "ALTER TABLE run ADD COLUMN cancelled_at INTEGER",  # epoch ms of our abort
    "ALTER TABLE run ADD COLUMN posted TEXT",  # the response to our POST, as `answer`, which goes on
)


class HistoryWarning(UserWarning):
    """The history cannot be written; what is known of runs is in memory until it can be."""


class Database:
    """The file, or memory.

    Parameters
    ----------
    path : Path or None
        The SQLite file, made with its folder when it is first needed; None: memory only.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        # Set while memory stands in for the file: what the file has not got, in order.
        self._missed: deque[Work] | None = None
        self._told = False
        self._parents: sqlite3.Connection | None = None
        self._process = os.getpid()

    def __del__(self) -> None:
        if self._process == os.getpid():  # in a forked process it is the parent's
            self.close()  # Python 3.13 tells of connections that nobody closed

    def write(self, work: Callable[[sqlite3.Connection], _T], *, durable: bool = False) -> _T:
        """Do `work` in one transaction; `durable`: it is on the disk when this returns.

        Where the file cannot be used, memory stands in for it until the next durable write finds it usable:
        then all that was missed is done again there, so `work` must come to the same twice.
        """
        self._own()
        with self._lock:
            if durable:
                self._return_to_file()
            try:
                return self._done(work, durable=durable)
            except (sqlite3.Error, OSError) as error:
                warning = self._leave_file(error)
                result = self._done(work, durable=False)
        self._tell(warning, sent=not durable)  # durable: before a request leaves
        return result

    def _done(self, work: Callable[[sqlite3.Connection], _T], *, durable: bool) -> _T:
        result = _commit(self.opened(), work, durable=durable)
        if self._missed is not None:
            self._missed.append(work)
        return result

    def read(self, query: str, arguments: Sequence[object]) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        self._own()
        with self._lock:
            try:
                return self.opened().execute(query, arguments).fetchall()
            except (sqlite3.Error, OSError) as error:
                warning = self._leave_file(error)
                rows = self.opened().execute(query, arguments).fetchall()
        self._tell(warning, sent=True)
        return rows

    def _tell(self, warning: str, *, sent: bool) -> None:
        """Warn once: a disk that is nearly full is left and returned to again and again."""
        told, self._told = self._told, True
        if not told:
            warn(warning, HistoryWarning, sent=sent)

    def opened(self) -> sqlite3.Connection:
        """Return the connection, made when it is first needed."""
        if self._db is None:
            self._db = _open_file(self._path, BUSY) if self._path else _open(":memory:")
            self._file = _identity(self._path) if self._path else None
        return self._db

    def _own(self) -> None:
        """In a forked process leave the parent's lock and handle alone; SQLite allows no sharing."""
        if self._process != os.getpid():
            self._process, self._lock = os.getpid(), threading.RLock()
            if self._path and self._missed is None:
                self._parents, self._db = self._db, None

    def _leave_file(self, error: Exception) -> str:
        """Go on in memory with what the file holds; return what to say about it."""
        if self._path is None or self._missed is not None:
            raise error
        self._db, self._missed = _copy(self._db), deque(maxlen=_MISSED)
        return (
            f"the history {self._path} cannot be used ({error}); every start tries it again, and until then"
            " runs are remembered in memory. Move the file away, or set DOMO_MAGIC_HOME to another folder."
        )

    def _return_to_file(self) -> None:
        """Open the file anew where it was left, or was removed or replaced under our feet."""
        if self._missed is None:
            if self._path and self._db and _identity(self._path) != self._file:
                self.close()  # what is written there is lost
            return
        try:
            file = _open_file(self._path, _BUSY_AGAIN)  # type: ignore[arg-type]
        except (sqlite3.Error, OSError):
            return
        try:
            with _transaction(file):
                for work in self._missed:
                    with suppress(sqlite3.IntegrityError):
                        work(file)
            file.execute(f"PRAGMA busy_timeout = {BUSY * 1000:.0f}")
        except (sqlite3.Error, OSError):
            file.close()
            return
        self.close()
        self._db, self._missed, self._file = file, None, _identity(self._path)  # type: ignore[arg-type]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None


def in_memory(db: sqlite3.Connection) -> bool:
    """Return True if a connection is to no file."""
    return not db.execute("PRAGMA database_list").fetchone()[2]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _open_file(path: Path, busy: float) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    with suppress(OSError):  # of a file on another machine, or of Windows', the mode cannot be changed
        path.chmod(0o600)
    return _open(str(path), busy)


def _copy(file: sqlite3.Connection | None) -> sqlite3.Connection:
    """Return what a file holds in memory, as far as it can be read: starts under way keep their ids."""
    memory = _open(":memory:")
    if file is not None:
        try:
            file.backup(memory, progress=_not_locked)
            whole = memory.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        except sqlite3.Error:
            whole = False
        file.close()
        if not whole:
            memory.close()
            memory = _open(":memory:")
    # New rows get ids that no other kernel gives meanwhile in the file, where they are to be written later.
    newest = memory.execute("SELECT coalesce(max(id), 0) FROM run").fetchone()[0]
    apart = newest + random.randrange(2**40, 2**41)  # noqa: S311  no secret
    memory.execute("INSERT INTO run (id, instance, stream_id, sorted_at) VALUES (?, '', 0, 0)", (apart,))
    return memory


def _not_locked(status: int, _remaining: int, _total: int) -> None:
    """End a copy, which would wait for ever, where another process holds the file."""
    if status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        raise sqlite3.OperationalError("database is locked")


def _open(name: str, busy: float = 0.0) -> sqlite3.Connection:
    db = sqlite3.connect(name, timeout=busy, isolation_level=None, check_same_thread=False)
    try:
        _refuse_newer(db)
        try:
            wal = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError:
            wal = ""
        if wal != "wal" and name != ":memory:":
            db.execute("PRAGMA journal_mode = TRUNCATE")  # network homes have no shared memory
        db.execute("PRAGMA foreign_keys = ON")
        _migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection) -> None:
    if _version(db) >= len(MIGRATIONS):
        return
    with _transaction(db):
        for script in MIGRATIONS[_version(db) :]:  # another kernel may have been faster
            for statement in script.split(";\n"):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _refuse_newer(db: sqlite3.Connection) -> None:
    if _version(db) > len(MIGRATIONS):
        raise sqlite3.DatabaseError("it was written by a newer domo_magic")


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")
    except BaseException:
        _roll_back(db)
        raise


def _roll_back(db: sqlite3.Connection) -> None:
    if db.in_transaction:
        db.execute("ROLLBACK")


def _commit(db: sqlite3.Connection, work: Callable[[sqlite3.Connection], _T], *, durable: bool) -> _T:
    _roll_back(db)  # an interrupt in the wrong moment has left one open
    # Only an intent must outlive a power cut: with it on the disk, a later look finds all the rest.
    db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    with _transaction(db):
        return work(db)

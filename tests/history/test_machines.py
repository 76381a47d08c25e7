"""The history on every machine: locked files, modes that cannot be changed, old versions, no home."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import domo_magic
from domo_magic.executions.session import _home
from domo_magic.history import database
from domo_magic.history.database import HistoryWarning
from domo_magic.history.store import FILE, History
from domo_magic.model.execution import Execution, parse_json
from domo_magic.model.timeouts import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domo_magic.sandbox import Sandbox

HERE = "mycompany"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Name the history's file, which is not there yet."""
    return tmp_path / "home" / FILE


@pytest.fixture
def history(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    """Give a history that waits a tenth of a second for a lock."""
    monkeypatch.setattr(database, "BUSY", 0.1)
    monkeypatch.setattr(database, "_BUSY_AGAIN", 0.1)
    one = History(file, SystemClock())
    yield one
    one.close()


def run(stream_id: int, execution_id: int, state: str = "ACTIVE") -> Execution:
    """Make a run with its JSON."""
    text = f'{{"streamId": {stream_id}, "executionId": {execution_id}, "currentState": "{state}"}}'
    return Execution.from_json(parse_json(text), stream_id, text)


def kept(history: History) -> dict[str, str | None]:
    """Return the runs that are recorded, with their labels."""
    return {one.run: one.label for one in history.runs(HERE)}


# Locks


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Let another process hold an exclusive lock."""
    program = """
    import sqlite3, sys
    db = sqlite3.connect(sys.argv[1], isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    db.execute("INSERT INTO run (instance, stream_id, requested_at, sorted_at, outcome, label)"
               " VALUES ('mycompany', 3, 1, 1, 'open', 'theirs')")
    print("locked", flush=True)
    sys.stdin.read()
    db.execute("COMMIT")
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"locked\n"
        yield
        other.stdin.close()
    assert other.returncode == 0


@pytest.fixture(params=["with WAL", "without WAL"])
def shared_memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do with SQLite's shared memory, and without, as on a network home."""
    if request.param == "with WAL":
        return

    class Plain(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if sql == "PRAGMA journal_mode = WAL":
                raise sqlite3.OperationalError("unable to open database file")
            return super().execute(sql, *arguments)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **options, factory=Plain))


@pytest.mark.usefixtures("shared_memory")
def test_a_lock_loses_nothing_and_holds_nobody_up(history: History, file: Path) -> None:
    """What was started meanwhile is remembered, and written when the next start finds the file free."""
    (before,) = history.intend(HERE, [1], "before")
    (open_before,) = history.intend(HERE, [6], "answered meanwhile")
    history.started(HERE, before, run(1, 1))
    with locked(file):
        with pytest.warns(HistoryWarning, match="database is locked") as told:
            first, second = history.intend(HERE, [2, 4], "meanwhile")
        assert history.started(HERE, first, run(2, 7))
        assert history.started(HERE, open_before, run(6, 9))
        history.refused(second)
        (third,) = history.intend(HERE, [5], "still")
        assert {"2/7", "5", "6/9"} <= kept(history).keys()
    history.intend(HERE, [8], "after")
    assert history.started(HERE, third, run(5, 3))
    history.saw(HERE, [run(2, 7, "SUCCESS")])
    expected = {
        "1/1": "before",
        "6/9": "answered meanwhile",
        "2/7": "meanwhile",
        "3": "theirs",
        "5/3": "still",
        "8": "after",
    }
    assert kept(history) == expected
    other = History(file, SystemClock())
    assert kept(other) == expected
    assert [intent.stream_id for intent in other.open_intents(HERE)] == [3, 8]
    other.close()
    assert len(told) == 1


def test_a_lock_that_stays_is_said_once(history: History, file: Path) -> None:
    """Every start tries the file again; the warning is not repeated."""
    history.intend(HERE, [1], None)
    with locked(file):
        with pytest.warns(HistoryWarning):
            history.intend(HERE, [10], None)
        for stream_id in range(11, 20):  # where every warning is an error
            history.intend(HERE, [stream_id], None)


def test_a_file_that_was_put_right_is_used_again(history: History, file: Path) -> None:
    """Broken, then moved away: the next start makes a new one, with what was remembered."""
    file.parent.mkdir()
    file.write_bytes(b"This is no database. " * 500)
    with pytest.warns(HistoryWarning, match="not a database"):
        history.intend(HERE, [1], "remembered")
    file.unlink()
    history.intend(HERE, [2], "written")
    other = History(file, SystemClock())
    assert kept(other) == {"1": "remembered", "2": "written"}
    other.close()


# Files and versions


def test_a_mode_that_cannot_be_changed_is_left(
    history: History, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On CIFS, FUSE and WSL the file is used all the same, without a word."""

    def refuse(*_: object) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    history.intend(HERE, [1], None)
    assert file.exists()


FIRST_SCHEMA = """
    CREATE TABLE run (
        id INTEGER PRIMARY KEY,
        instance TEXT NOT NULL,
        stream_id INTEGER NOT NULL,
        execution_id INTEGER,
        requested_at INTEGER,
        outcome TEXT,
        known_before INTEGER,
        label TEXT,
        sorted_at INTEGER NOT NULL,
        state TEXT,
        started_at INTEGER,
        ended_at INTEGER,
        finished INTEGER NOT NULL DEFAULT 0,
        answer TEXT,
        UNIQUE (instance, stream_id, execution_id)
    );
    CREATE INDEX run_newest ON run (instance, sorted_at DESC, execution_id DESC);
    CREATE INDEX run_of_stream ON run (instance, stream_id, sorted_at DESC, execution_id DESC);
    CREATE INDEX run_unfinished ON run (instance, sorted_at DESC) WHERE NOT finished;
    CREATE TABLE change (
        run INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
        state TEXT,
        seen_at INTEGER NOT NULL
    );
    CREATE INDEX change_of_run ON change (run);
    CREATE TABLE stream (
        instance TEXT NOT NULL,
        stream_id INTEGER NOT NULL,
        dataset_id TEXT,
        name TEXT,
        PRIMARY KEY (instance, stream_id)
    ) WITHOUT ROWID;
    INSERT INTO stream VALUES ('mycompany', 7, 'a-1', 'Orders');
    INSERT INTO run VALUES (1, 'mycompany', 7, 3, 1734458210000, 'started', 2, 'old', 1734458216000000,
        'SUCCESS', 1734458216000000, 1734458226000000, 1,
        '{"streamId": 7, "executionId": 3, "currentState": "SUCCESS", "startedAt": 1734458216}');
    INSERT INTO run VALUES (2, 'mycompany', 7, NULL, 1734458230000, 'open', 3, NULL, 1734458230000000,
        NULL, NULL, NULL, 0, NULL);
    INSERT INTO change VALUES (1, 'SUCCESS', 1734458226000);
    PRAGMA user_version = 1;
"""


def test_a_file_that_the_first_version_wrote_is_read_and_written(history: History, file: Path) -> None:
    """As it was then, letter for letter."""
    file.parent.mkdir()
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.executescript(FIRST_SCHEMA)
    assert kept(history) == {"7/3": "old", "7": None}
    assert history.durations(HERE, 7) == [10.0]
    assert history.stream(HERE, 7) == ("a-1", "Orders")
    (intent,) = history.open_intents(HERE)
    assert history.adopt(HERE, intent, run(7, 4))
    (newer,) = history.intend(HERE, [7], "new")
    assert newer.known_before == 4
    assert history.started(HERE, newer, run(7, 5))
    assert kept(history) == {"7/3": "old", "7/4": None, "7/5": "new"}


def test_no_statement_needs_a_newer_sqlite_than_3_26(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upserts name what conflicts (3.35), nothing returns rows (3.35), and JSON need not be built in."""
    told: list[str] = []
    history.database.opened().set_trace_callback(told.append)
    intents = history.intend(HERE, [1, 2, 3], "label")
    history.leaves(intents[0])
    history.ahead(HERE, intents[1], 0)
    history.started(HERE, intents[0], run(1, 1))
    history.adopt(HERE, intents[1], run(2, 1))
    history.refused(intents[2])
    history.saw(HERE, [run(1, 1, "SUCCESS"), run(4, 1)])
    history.remember(HERE, [(1, "a", "A"), (2, None, None)])
    history.runs(HERE, [1, 2], limit=5, since_us=1, state="SUCCESS", label="label")
    history.find_streams(HERE, "A", 5)
    history.claimed(HERE, intents[0])
    text = "\n".join(told)
    assert len(told) > 30
    assert not re.search(
        r"ON CONFLICT\s+DO UPDATE|\bRETURNING\b|json_|->>|\bSTRICT\b|DROP COLUMN|MATERIALIZED", text
    )


# Homes


def test_nobody_s_home_is_one_warning(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A numeric user without HOME has no data folder: the run starts, and is remembered in memory."""
    monkeypatch.delenv("DOMO_MAGIC_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: _no_user())
    domo_magic.connect(sandbox.url, sandbox.token)
    with pytest.warns(HistoryWarning, match="DOMO_MAGIC_HOME"):
        assert domo_magic.run(25775).executionId.tolist() == [201]
    assert domo_magic.run(25775).executionId.tolist() == [202]
    assert domo_magic.runs(refresh=False).executionId.tolist() == [202, 201]


def _no_user() -> None:
    raise KeyError("uid not found")


def test_a_home_that_is_no_folder_s_name_makes_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The oldest platformdirs gives ``~/...`` back: no folder of that name is made where one works."""
    monkeypatch.delenv("DOMO_MAGIC_HOME")
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_args, **_options: Path("~/.local/share/x"))
    monkeypatch.chdir(tmp_path)
    assert _home().is_absolute()
    assert list(tmp_path.iterdir()) == []


def test_the_package_runs_from_a_path_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    """As from a Databricks repo or a zip: nothing is installed, and the version is the package's own."""
    program = f"""
    import importlib.metadata, sys

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    importlib.metadata.version = importlib.metadata.distribution = missing
    import domo_magic as domo
    domo.connect({sandbox.url!r}, {sandbox.token!r})
    print(domo.run(25775).executionId.item())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(domo_magic.__file__).parents[1])},
    )
    assert done.stdout.splitlines()[-1:] == ["201"], done.stderr
    assert re.fullmatch(r"domo-magic/\d+\.\d+\.\d+", sandbox.requests[0].headers["user-agent"])

"""The history: one file for all kernels, nothing lost in it, and no run that depends on it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import warnings
from typing import TYPE_CHECKING, Any

import faults
import pytest

from domo_magic.executions import reconcile
from domo_magic.executions.session import open_session
from domo_magic.executions.start import start_streams
from domo_magic.history import database
from domo_magic.history.database import Database, HistoryWarning
from domo_magic.history.store import FILE, History
from domo_magic.http.address import address
from domo_magic.http.credentials import Login, Token
from domo_magic.model.execution import Execution, parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from faults import Fault, Request
    from support import JumpClock

    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox

HERE = "mycompany"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Name the history's file, which is not there yet."""
    return tmp_path / "home" / FILE


@pytest.fixture
def history(file: Path, clock: JumpClock) -> Iterator[History]:
    """Give a history in that file."""
    one = History(file, clock)
    yield one
    one.close()


@pytest.fixture
def disk_domo(file: Path, still_session: Session, history: History) -> Session:
    """Give the connection to a sandbox with its history on the disk."""
    still_session.history = history
    return still_session


def rows(file: Path, query: str, *arguments: object) -> list[tuple[Any, ...]]:
    """Read the file as another kernel would."""
    with contextlib.closing(sqlite3.connect(file)) as other:
        return other.execute(query, arguments).fetchall()


def run(execution_id: int = 1, state: str = "ACTIVE", **fields: object) -> Execution:
    """Make a run of stream 7, with its JSON."""
    value = {"streamId": 7, "executionId": execution_id, "currentState": state, **fields}
    text = json.dumps(value)
    return Execution.from_json(parse_json(text), 7, text)


def started(history: History, execution_id: int = 1, **fields: object) -> Execution:
    """Record a start and its response."""
    (intent,) = history.intend(HERE, [7], None)
    response = run(execution_id, **fields)  # type: ignore[arg-type]
    history.started(HERE, intent, response)
    return response


def intact(file: Path) -> bool:
    """Say whether the file is whole."""
    return rows(file, "PRAGMA integrity_check") == [("ok",)] and not rows(file, "PRAGMA foreign_key_check")


# The file


def test_the_file_is_its_owner_s_alone(history: History, file: Path) -> None:
    """Neither the file, nor what SQLite keeps beside it, nor its folder is readable by others."""
    started(history)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    assert modes == {FILE: 0o600, f"{FILE}-wal": 0o600, f"{FILE}-shm": 0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_file_that_others_can_read_is_closed_to_them(history: History, file: Path) -> None:
    """A file that was copied here with other rights gets the right ones."""
    file.parent.mkdir()
    file.touch(0o644)
    started(history)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_nothing_is_made_before_it_is_needed(history: History, file: Path) -> None:
    """Making a history makes no folder."""
    assert not file.parent.exists()
    assert history.open_intents(HERE) == []
    assert file.exists()


def test_kernels_write_ahead(history: History, file: Path) -> None:
    """The file is in WAL mode, so that one kernel reads while another writes."""
    started(history)
    assert rows(file, "PRAGMA journal_mode") == [("wal",)]


def test_a_home_on_the_network_does_without_wal(
    file: Path, clock: JumpClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where files cannot share memory the journal is truncated, and kernels still see each other's runs."""
    connect = sqlite3.connect

    def without_shared_memory(name: str, **options: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = connect(f"file:{name}?vfs=unix-dotfile", uri=True, **options)
        return db

    monkeypatch.setattr(sqlite3, "connect", without_shared_memory)
    one, other = History(file, clock), History(file, clock)
    started(one)
    assert len(other.runs(HERE)) == 1
    assert one.database.opened().execute("PRAGMA journal_mode").fetchone() == ("truncate",)
    one.close()
    other.close()


def test_an_intent_outlives_a_power_cut(history: History) -> None:
    """The commit of an intent is on the disk before anything goes on, in one go for all streams of a call."""
    history.open_intents(HERE)
    told: list[str] = []
    history.database.opened().set_trace_callback(told.append)
    history.intend(HERE, [7, 8, 9], None)
    assert told[0] == "PRAGMA synchronous = FULL"
    assert [line for line in told if line.startswith(("BEGIN", "COMMIT"))] == ["BEGIN IMMEDIATE", "COMMIT"]
    told.clear()
    history.saw(HERE, [run()])
    assert told[0] == "PRAGMA synchronous = NORMAL"


def test_a_file_of_an_older_version_is_brought_up(
    file: Path, clock: JumpClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Migrations run once, each from where the file stands, and what was there stays."""
    known = len(database.MIGRATIONS)
    old = History(file, clock)
    started(old)
    old.close()
    assert rows(file, "PRAGMA user_version") == [(known,)]
    later = (*database.MIGRATIONS, "ALTER TABLE run ADD COLUMN mood TEXT", "UPDATE run SET mood = 'good'")
    monkeypatch.setattr(database, "MIGRATIONS", later)
    new = History(file, clock)
    assert [run.execution_id for run in new.runs(HERE)] == [1]
    new.close()
    assert rows(file, "PRAGMA user_version") == [(known + 2,)]
    assert rows(file, "SELECT mood FROM run") == [("good",)]


def test_a_file_of_the_first_version_is_used(
    file: Path, clock: JumpClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that were recorded before aborts were are there, and can be aborted."""
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", database.MIGRATIONS[:1])
        old = History(file, clock)
        old.saw(HERE, [run()])
        old.close()
    new = History(file, clock)
    assert new.cancelled_here(HERE, 7) == set()
    new.cancelled(HERE, new.runs(HERE))
    assert new.cancelled_here(HERE, 7) == {1}
    new.close()


def test_a_migration_that_fails_changes_nothing(
    file: Path, clock: JumpClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file stays what it was, and usable by the version that wrote it."""
    old = History(file, clock)
    started(old)
    old.close()
    later = (
        *database.MIGRATIONS,
        "ALTER TABLE run ADD COLUMN mood TEXT;\nINSERT INTO run SELECT * FROM run",
    )
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", later)
        new = History(file, clock)
        with pytest.warns(HistoryWarning, match="UNIQUE"):
            assert new.runs(HERE) == []
    assert len(old.runs(HERE)) == 1
    old.close()


# What is kept


def test_an_answer_is_kept_byte_for_byte(history: History) -> None:
    """The last response comes back as it came, with every key and digit."""
    text = '{ "executionId" : 3,"indexRequestKey":20220513224325.628, "new": {"ü": [1e2]}}'
    (intent,) = history.intend(HERE, [7], "nightly")
    history.started(HERE, intent, Execution.from_json(parse_json(text), 7, text))
    (kept,) = history.runs(HERE)
    assert (kept.text, kept.fields) == (text, parse_json(text))
    assert (kept.label, kept.requested_at) == ("nightly", intent.requested_at)


def test_the_answer_to_the_start_stays_beside_the_last_one(history: History, file: Path) -> None:
    """What Domo said to the POST is not lost when the run is seen again, nor what it said without an id."""
    texts = ['{"executionId": 3, "posted": true}', "{}", '{"executionId":3,"currentState":"SUCCESS"}']
    for text in texts[:2]:
        (intent,) = history.intend(HERE, [7], None)
        history.started(HERE, intent, Execution.from_json(parse_json(text), 7, text))
    history.saw(HERE, [Execution.from_json(parse_json(texts[2]), 7, texts[2])])
    history.adopt(HERE, intent, run(4))
    assert rows(file, "SELECT posted FROM run ORDER BY id") == [(texts[0],), (texts[1],)]
    assert rows(file, "SELECT answer FROM run WHERE execution_id = 3") == [(texts[2],)]


def test_the_answer_of_a_run_from_a_list_is_kept_too(still_sandbox: Sandbox, disk_domo: Session) -> None:
    """A run that was adopted from a list has its whole response in the history."""
    still_sandbox.order(faults.reset(after=True))
    (outcome,) = start_streams(disk_domo, [25775])
    (kept,) = disk_domo.history.runs("sandbox")
    assert kept.text is not None
    assert parse_json(kept.text) == dict(outcome.execution.fields)
    assert len(kept.fields) == 29


def test_every_change_of_state_is_kept_with_its_time(history: History, file: Path, clock: JumpClock) -> None:
    """The same state twice is no change."""
    started(history, state="QUEUED")
    for state in ("QUEUED", "ACTIVE", "ACTIVE", "SUCCESS"):
        clock.now += 10
        history.saw(HERE, [run(state=state)])
    seen = rows(file, "SELECT state, seen_at FROM change ORDER BY seen_at")
    begin = round((clock.now - 40) * 1000)
    assert seen == [("QUEUED", begin), ("ACTIVE", begin + 20_000), ("SUCCESS", begin + 40_000)]


def test_an_answer_that_was_overtaken_changes_nothing(history: History) -> None:
    """A run that has ended does not go on because an older response came later."""
    started(history)
    history.saw(HERE, [run(state="SUCCESS", endedAt=1_734_458_300)])
    history.saw(HERE, [run(state="ACTIVE")])
    assert [kept.state for kept in history.runs(HERE)] == ["SUCCESS"]


def test_a_run_that_was_seen_before_its_answer_is_one_run(history: History, file: Path) -> None:
    """Another kernel's look at a run and the response to its start are one row, with all its changes."""
    (intent,) = history.intend(HERE, [7], "mine")
    history.saw(HERE, [run(state="QUEUED")])
    history.started(HERE, intent, run(state="ACTIVE"))
    assert [(kept.run, kept.label) for kept in history.runs(HERE)] == [("7/1", "mine")]
    assert rows(file, "SELECT state FROM change ORDER BY rowid") == [("QUEUED",), ("ACTIVE",)]


def test_an_intent_knows_what_was_known(history: History) -> None:
    """The highest execution known of that stream on that instance, and of no other."""
    started(history, 12)
    history.saw("elsewhere", [run(99)])
    assert [intent.known_before for intent in history.intend(HERE, [7, 8], None)] == [12, None]


def test_a_domo_that_counts_anew_is_recorded_anew(history: History) -> None:
    """A sandbox that was started again at the same address gives the same ids to new runs."""
    started(history, 201, state="SUCCESS", startedAt=100, endedAt=106)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        started(history, 201, state="ACTIVE", startedAt=1000)
    assert [(kept.run, kept.state) for kept in history.runs(HERE)] == [("7/201", "ACTIVE")]
    assert history.open_intents(HERE) == []


def test_instances_are_apart(history: History) -> None:
    """Runs, names and open starts of one instance are not those of another."""
    started(history)
    history.intend(HERE, [7], None)
    history.remember(HERE, [(7, "uuid", "Sales")])
    assert (history.runs("elsewhere"), history.open_intents("elsewhere")) == ([], [])
    assert (history.stream("elsewhere", 7)[1], history.stream(HERE, 7)[1]) == (None, "Sales")


def test_a_name_is_not_forgotten(history: History) -> None:
    """A look-up that brings no name leaves the one that is known."""
    history.remember(HERE, [(7, "uuid", "Sales")])
    history.remember(HERE, [(7, None, None)])
    assert history.stream(HERE, 7) == ("uuid", "Sales")


def test_durations_are_of_the_last_twenty_that_succeeded(history: History) -> None:
    """Newest first, in seconds, whatever else the stream has had, and in whatever case the state is."""
    runs = [
        run(n, "Success" if n % 2 else "SUCCESS", startedAt=1000 * n, endedAt=1000 * n + n)
        for n in range(1, 31)
    ]
    history.saw(HERE, [*runs, run(31, "ERROR", startedAt=40_000, endedAt=40_001), run(32, startedAt=50_000)])
    assert history.durations(HERE, 7) == [float(n) for n in range(30, 10, -1)]


@pytest.mark.parametrize("state", ["\ud800", "a\x00b", "x" * 100_000])
def test_any_text_is_kept(history: History, state: str) -> None:
    """Half a character, a zero or a long text is no error, in a state, a name or a label."""
    (intent,) = history.intend(HERE, [7], state)
    history.started(HERE, intent, run(state=state))
    history.remember(HERE, [(7, None, state)])
    assert [kept.state for kept in history.runs(HERE)] == [state]


def test_no_token_and_no_configuration_is_in_the_file(
    still_sandbox: Sandbox, disk_domo: Session, file: Path
) -> None:
    """Though the server repeats the token, and a stream was asked for with its configuration."""
    echo = json.dumps({"executionId": 300, "dataTag": still_sandbox.token, "toe": "kept"}).encode()
    still_sandbox.order(faults.response(echo))
    start_streams(disk_domo, [25775])
    disk_domo.client.get_stream(25775)
    disk_domo.learn(25775)
    content = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert b"kept" in content
    assert still_sandbox.token.encode() not in content
    assert b"configuration" not in content


# Without the file


def broken(file: Path) -> None:
    """Put something else in the file's place."""
    file.parent.mkdir()
    file.write_bytes(b"This is no database. " * 500)


def newer(file: Path) -> None:
    """Let a newer version have written the file."""
    file.parent.mkdir()
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 99")


def folder(file: Path) -> None:
    """Put a folder in the file's place."""
    file.mkdir(parents=True)


def no_folder(file: Path) -> None:
    """Put a file in the folder's place."""
    file.parent.write_text("")


UNUSABLE = {
    "broken": (broken, "not a database"),
    "newer": (newer, "newer domo_magic"),
    "folder": (folder, "directory"),
    "no folder": (no_folder, "File exists|Not a directory"),
}


@pytest.mark.parametrize("spoil, words", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_run_goes_on_without_its_history(
    still_sandbox: Sandbox,
    disk_domo: Session,
    file: Path,
    spoil: Callable[[Path], None],
    words: str,
) -> None:
    """One warning that says what to do, the run started and remembered, the file left as it was."""
    spoil(file)
    before = file.read_bytes() if file.is_file() else None
    with pytest.warns(HistoryWarning, match=words) as told:
        outcomes = start_streams(disk_domo, [25775, 25776])
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert len(told) == 1
    assert "DOMO_MAGIC_HOME" in str(told[0].message)
    assert len(disk_domo.history.runs("sandbox")) == 2
    assert (file.read_bytes() if file.is_file() else None) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="to the superuser every folder is open")
@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_a_folder_without_rights_is_one_warning(disk_domo: Session, file: Path, mode: int) -> None:
    """A folder that cannot be written does not stop a run."""
    file.parent.mkdir(mode=mode)
    with pytest.warns(HistoryWarning) as told:
        assert start_streams(disk_domo, [25775])[0].error is None
    assert len(told) == 1


def test_a_folder_that_cannot_be_made_is_one_warning(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """Where nobody may write, the superuser included, a run goes on."""
    from pathlib import Path

    still_session.history = History(Path("/proc/domo_magic") / FILE, clock)
    with pytest.warns(HistoryWarning) as told:
        assert start_streams(still_session, [25775])[0].error is None
    assert len(told) == 1


@pytest.mark.parametrize("moment", ["before the intent", "after the intent"])
def test_a_full_disk_is_one_warning(
    still_sandbox: Sandbox, disk_domo: Session, file: Path, moment: str
) -> None:
    """Starts under way keep their runs, each its own; what was recorded stays in sight."""
    history = disk_domo.history
    history.remember("sandbox", [(25775, None, "Sales Orders")])
    start_streams(disk_domo, [25775])

    def fill() -> None:
        db = history.database.opened()
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")

    def decide(_request: Request) -> Fault | None:
        # Too large for what is left, whenever it is written.
        fill()
        still_sandbox.decide = None
        return None

    streams = [still_sandbox.world.add_stream(500) for _ in range(60)]
    if moment == "before the intent":
        fill()
    else:
        still_sandbox.decide = decide
    with pytest.warns(HistoryWarning, match="full") as told:
        outcomes = start_streams(disk_domo, streams, label="all")
    assert len(told) == 1
    assert [outcome.execution.run for outcome in outcomes] == [f"{stream}/1" for stream in streams]
    kept = {kept.run: kept.label for kept in history.runs("sandbox")}
    assert kept == {"25775/201": None} | dict.fromkeys((f"{stream}/1" for stream in streams), "all")
    assert history.open_intents("sandbox") == []
    assert history.stream("sandbox", 25775)[1] == "Sales Orders"
    assert intact(file)


def test_a_file_that_breaks_meanwhile_is_one_warning(
    still_sandbox: Sandbox, disk_domo: Session, file: Path
) -> None:
    """Pages overwritten under our feet do not stop the next run."""
    start_streams(disk_domo, [25775])
    disk_domo.history.close()
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)
    with pytest.warns(HistoryWarning, match="malformed") as told:
        assert start_streams(disk_domo, [25776])[0].error is None
    assert len(told) == 1


def test_a_warning_that_is_an_error_comes_before_the_request(
    still_sandbox: Sandbox, disk_domo: Session, file: Path
) -> None:
    """Whoever makes warnings errors gets one, at once and without a hang, and nothing is started."""
    broken(file)
    with pytest.raises(HistoryWarning):
        start_streams(disk_domo, [25775])
    assert still_sandbox.requests == []


def test_a_warning_that_is_an_error_never_comes_after_the_request(
    still_sandbox: Sandbox, disk_domo: Session, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What breaks the history while a start is under way costs no row; it is logged instead."""

    def spoil(_request: object) -> None:
        for part in file.parent.glob(f"{file.name}*"):
            part.write_bytes(b"This is no database. " * 5_000)

    still_sandbox.decide = spoil
    (outcome,) = start_streams(disk_domo, [25775])
    assert outcome.error is None
    assert outcome.execution.execution_id == 201
    assert "cannot be used" in caplog.text
    (going,) = disk_domo.history.unfinished(disk_domo.instance)
    assert (going.run, going.requested_at is None) == ("25775/201", False)


def test_memory_is_for_one_history_alone(clock: JumpClock) -> None:
    """Without a file there is no warning, and two histories know nothing of each other."""
    one, other = History(None, clock), History(None, clock)
    started(one)
    assert (len(one.runs(HERE)), other.runs(HERE)) == (1, [])
    one.close()
    other.close()


def test_an_error_of_ours_is_no_reason_to_leave_the_file(file: Path) -> None:
    """A transaction that breaks for another reason changes nothing, and the file stays in use."""
    kept = Database(file)
    kept.write(lambda db: db.execute("INSERT INTO stream VALUES ('a', 1, NULL, NULL)"))

    def work(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM stream")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        kept.write(work)
    assert kept.read("SELECT instance FROM stream", ()) == [("a",)]
    kept.close()


# Several at once


def test_threads_share_a_history(history: History, file: Path) -> None:
    """Sixteen threads write side by side, and every run is there."""

    def work(number: int) -> None:
        for n in range(10):
            started(history, 100 * number + n + 1)

    threads = [threading.Thread(target=work, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history.runs(HERE)) == 160
    assert intact(file)


PRELUDE = """
import os, resource, sys, threading
from pathlib import Path
from domo_magic.model.execution import Execution
from domo_magic.history.store import History
from domo_magic.model.timeouts import SystemClock
history = History(Path(sys.argv[1]), SystemClock())

def start(execution_id, text='{}'):
    (intent,) = history.intend("mycompany", [7], None)
    history.started("mycompany", intent, Execution(7, execution_id, text=text))
"""


def kernel(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Start another process with a history, any warning an error; it waits for a line to begin."""
    program = PRELUDE + "print('ready', flush=True); sys.stdin.readline()\n" + textwrap.dedent(program)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def go(kernels: list[subprocess.Popen[str]]) -> list[str]:
    """Let them all begin at the same moment; return what each said when it ended."""
    for one in kernels:
        assert one.stdout is not None
        one.stdout.readline()
    for one in kernels:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    said = [one.communicate(timeout=60) for one in kernels]
    assert [error for _, error in said] == [""] * len(kernels)
    return [told for told, _ in said]


def test_kernels_share_a_history(history: History, file: Path) -> None:
    """Four processes make the file at the same moment and write 30 starts each: all are there, no warning."""
    program = """
    for n in range(30):
        start(1000 * int(sys.argv[2]) + n + 1)
    """
    go([kernel(program, file, number) for number in range(4)])
    assert len(history.runs(HERE)) == 120
    assert history.open_intents(HERE) == []
    assert intact(file)


def test_of_kernels_that_adopt_the_same_run_one_gets_it(history: History, file: Path) -> None:
    """The claim is made in one transaction: of four at the same moment, each gets a run of its own."""
    program = """
    from domo_magic.history.records import Intent
    mine = Intent(int(sys.argv[2]), 7, 0)
    print(sum(history.adopt("mycompany", mine, Execution(7, n)) for n in range(1, 51)))
    """
    intents = history.intend(HERE, [7] * 4, None)
    assert go([kernel(program, file, intent.id) for intent in intents]) == ["1\n"] * 4
    assert len({kept.run for kept in history.runs(HERE)}) == 4


def test_a_disk_that_is_full_to_a_process_is_one_warning(file: Path) -> None:
    """A file that may not grow is met by a warning, in the middle of a start, and the starts go on."""
    program = """
    import warnings
    warnings.simplefilter("always")
    told = []
    warnings.showwarning = lambda message, *_: told.append(str(message))
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    for n in range(1, 101):
        start(n, "x" * 5000)
    print(len(told), "cannot be used" in told[0], len(history.requests("mycompany", 7)))
    """
    assert go([kernel(program, file)]) == ["1 True 100\n"]
    assert intact(file)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 200_000


def test_a_kernel_that_is_killed_leaves_its_intent(
    still_sandbox: Sandbox, disk_domo: Session, history: History, file: Path
) -> None:
    """Killed between the intent and the response: the intent is there, and its run is found by it."""
    program = """
    from domo_magic.executions.session import open_session
    from domo_magic.executions.start import start_streams
    from domo_magic.http.address import address
    from domo_magic.http.credentials import Login, Token
    session = open_session(Login(address(sys.argv[2]), Token(sys.argv[3]), "test"), sandbox=True)
    session.history = history
    start_streams(session, [25775], label="nightly")
    """
    victim = kernel(program, file, still_sandbox.url, still_sandbox.token)

    def kill(_request: Request) -> Fault:
        victim.kill()
        victim.wait(10)
        still_sandbox.decide = None
        return faults.reset(after=True)

    still_sandbox.decide = kill
    assert go([victim]) == [""]
    assert victim.returncode == -signal.SIGKILL
    (intent,) = history.open_intents("sandbox")
    assert (intent.stream_id, intent.label) == (25775, "nightly")
    # The other process has another clock than this test's sandbox.
    at = round(still_sandbox.world.clock() * 1000)
    history.database.write(lambda db: db.execute("UPDATE run SET requested_at = ?", (at,)))
    assert [found.run for found in reconcile.settle(disk_domo)] == ["25775/201"]
    assert [(kept.run, kept.label) for kept in history.runs("sandbox")] == [("25775/201", "nightly")]


@pytest.mark.parametrize("moment", range(3))
def test_a_kernel_that_is_killed_while_it_writes_breaks_nothing(file: Path, moment: int) -> None:
    """At whatever moment, the file is whole, and every start that was told is in it."""
    program = """
    for n in range(1, 100_000):
        start(n)
        print(n, flush=True)
    """
    victim = kernel(program, file)
    assert victim.stdout is not None
    assert victim.stdin is not None
    victim.stdout.readline()
    victim.stdin.write("\n")
    victim.stdin.flush()
    told = [int(victim.stdout.readline()) for _ in range(20 + 13 * moment)][-1]
    victim.kill()
    victim.communicate(timeout=10)
    assert intact(file)
    assert rows(file, "SELECT count(*) FROM run WHERE execution_id <= ?", told) == [(told,)]


def test_two_kernels_one_starts_and_one_settles(still_sandbox: Sandbox, clock: JumpClock, file: Path) -> None:
    """What a kernel lost, another finds through the same file, and both then know the run."""
    login = Login(address(still_sandbox.url), Token(still_sandbox.token), "the test")
    one = open_session(login, clock=clock)
    other = open_session(login, clock=clock)
    assert one.history is other.history
    one.history, other.history = History(file, clock), History(file, clock)
    still_sandbox.order(faults.reset())
    start_streams(one, [25775])
    still_sandbox.world.start(25775)
    assert [found.run for found in reconcile.settle(other)] == ["25775/201"]
    assert [kept.run for kept in one.history.runs(one.instance)] == ["25775/201"]
    for session in (one, other):
        session.client.close()
        session.history.close()


@pytest.mark.parametrize("after", ["BEGIN IMMEDIATE", "UPDATE", "COMMIT", "ROLLBACK"])
def test_an_interrupt_anywhere_leaves_no_transaction_open(history: History, file: Path, after: str) -> None:
    """What is written next is written, by this kernel and by others; the file is whole."""
    (intent,) = history.intend(HERE, [7], None)
    armed = True

    class Interrupted(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> Any:
            nonlocal armed
            if armed and after == "UPDATE" and sql == "COMMIT":
                armed = False
                raise KeyboardInterrupt
            if armed and after == "ROLLBACK" and sql in {"COMMIT", "ROLLBACK"}:
                armed = sql == "COMMIT"
                raise KeyboardInterrupt
            done = super().execute(sql, *arguments)
            if armed and sql == after:
                armed = False
                raise KeyboardInterrupt
            return done

    history.database.opened().close()
    history.database._db = sqlite3.connect(file, factory=Interrupted, isolation_level=None)
    with pytest.raises(KeyboardInterrupt):
        history.refused(intent)
    started(history, 2)
    with contextlib.closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    assert rows(file, "SELECT execution_id FROM run WHERE outcome = 'started'") == [(2,)]
    assert intact(file)

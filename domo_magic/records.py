"""Rows of the history's table of runs: written within a transaction, read as executions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domo_magic.execution import Execution, parse_json

if TYPE_CHECKING:
    import sqlite3


def run_of(instance: str, row: tuple[Any, ...]) -> Execution:
    """Return the run of ``(stream_id, execution_id, answer, state, name, label, requested_at)``."""
    stream_id, execution_id, answer, state, name, label, requested_at = row
    fields = parse_json(answer) if answer else {"currentState": state}
    run = Execution(stream_id, execution_id, fields if isinstance(fields, dict) else {}, text=answer)
    return run.known_as(instance=instance, name=name, label=label, requested_at=requested_at)


def take(
    db: sqlite3.Connection, instance: str, intent_id: int, execution: Execution, outcome: str, now: int
) -> None:
    """Give a run to an intent; a row that only saw the run becomes part of it."""
    key = (instance, execution.stream_id, execution.execution_id)
    seen = db.execute(
        "SELECT id FROM run WHERE instance = ? AND stream_id = ? AND execution_id = ? AND outcome IS NULL",
        key,
    ).fetchone()
    if seen:
        db.execute("UPDATE change SET run = ? WHERE run = ?", (intent_id, seen[0]))
        db.execute("DELETE FROM run WHERE id = ?", seen)
    db.execute(
        "UPDATE run SET execution_id = ?1, outcome = ?2, finished = finished AND execution_id IS ?1"
        " WHERE id = ?3",
        (execution.execution_id, outcome, intent_id),
    )
    record(db, instance, execution, now)


def record(db: sqlite3.Connection, instance: str, execution: Execution, now: int) -> None:
    """Record a run as it was just seen: the answer, and the state where it changed."""
    key = (instance, execution.stream_id, execution.execution_id)
    known = db.execute(
        "SELECT id, state, sorted_at, finished FROM run"
        " WHERE instance = ? AND stream_id = ? AND execution_id = ?",
        key,
    ).fetchone()
    if known is None:
        cursor = db.execute(
            "INSERT INTO run (instance, stream_id, execution_id, sorted_at) VALUES (?, ?, ?, ?)",
            (*key, now * 1000),
        )
        known = (cursor.lastrowid, None, now * 1000, 0)
    state = storable(execution.state)
    if known[3] and not execution.finished:
        return  # an answer that was overtaken by a later one
    db.execute(
        "UPDATE run SET state = ?, started_at = ?, ended_at = ?, finished = ?, sorted_at = ?,"
        " answer = coalesce(?, answer) WHERE id = ?",
        (
            state,
            execution.started_us,
            execution.ended_us,
            execution.finished,
            execution.started_us or known[2],
            execution.text,
            known[0],
        ),
    )
    if state != known[1]:
        db.execute("INSERT INTO change VALUES (?, ?, ?)", (known[0], state, now))


def storable(text: str | None) -> str | None:
    """Return a text that SQLite takes: half a character, which JSON can hold, is shown as a ``?``."""
    return None if text is None else text.encode("utf-8", "replace").decode()

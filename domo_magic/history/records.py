"""Rows of the history's table of runs: written within a transaction, read as executions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domo_magic.errors import InvalidResponse
from domo_magic.model.execution import Execution, parse_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    #: ``(stream_id, execution_id, response, state, name, label, requested_at)``
    Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Intent:
    """A start that the user wants, recorded before its request leaves.

    Attributes
    ----------
    id : int
        In the history.
    stream_id : int
        The stream.
    requested_at : int
        Epoch milliseconds.
    known_before : int or None
        The highest execution id of the stream that was known here at that time.
    label : str or None
        What the user called it.
    """

    id: int
    stream_id: int
    requested_at: int
    known_before: int | None = None
    label: str | None = None


def runs_of(instance: str, rows: Sequence[Row]) -> list[Execution]:
    """Return the runs of these rows."""
    responses = _parsed([row[2] for row in rows])
    return [
        Execution(
            stream_id,
            execution_id,
            response if isinstance(response, dict) else {"currentState": state},
            name,
            instance,
            label,
            requested_at,
            text,
        )
        for (stream_id, execution_id, text, state, name, label, requested_at), response in zip(
            rows, responses, strict=True
        )
    ]


def _parsed(responses: Sequence[str | None]) -> Sequence[object]:
    """Parse responses, in one go where all of them are JSON; None for what is not."""
    try:
        values = parse_json(f"[{','.join(response or 'null' for response in responses)}]")
    except InvalidResponse:
        values = None
    if isinstance(values, list) and len(values) == len(responses):
        return values
    return [parsed(response) for response in responses]


def parsed(response: str | None) -> object:
    """Parse a response; None for what is not JSON."""
    try:
        return parse_json(response or "null")
    except InvalidResponse:
        return None


def take(
    db: sqlite3.Connection, instance: str, intent: Intent, execution: Execution, outcome: str, now: int
) -> None:
    """Give a run to an intent; a row that only saw the run becomes part of it."""
    key = (instance, execution.stream_id, execution.execution_id)
    seen = db.execute(
        "SELECT id FROM run WHERE instance = ? AND stream_id = ? AND execution_id = ? AND outcome IS NULL",
        key,
    ).fetchone()
    if seen:
        db.execute("UPDATE change SET run = ? WHERE run = ?", (intent.id, seen[0]))
        db.execute("DELETE FROM run WHERE id = ?", seen)
    # The intent is not there where the file broke after it, and memory has taken its place.
    db.execute(
        "INSERT INTO run"
        " (id, instance, stream_id, execution_id, requested_at, known_before, label, sorted_at, outcome)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " execution_id = excluded.execution_id, outcome = excluded.outcome,"
        " finished = finished AND execution_id IS excluded.execution_id",
        (
            intent.id,
            *key,
            intent.requested_at,
            intent.known_before,
            intent.label,
            intent.requested_at * 1000,
            outcome,
        ),
    )
    record(db, instance, execution, now)


def record(db: sqlite3.Connection, instance: str, execution: Execution, now: int) -> None:
    """Record a run as it was just seen: the response, and the state where it changed."""
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
        return  # a response that was overtaken by a later one
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

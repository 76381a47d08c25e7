"""What was started, waited for and seen here: one SQLite file, shared by all kernels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from domo_magic.history import records
from domo_magic.history.database import Database, in_memory
from domo_magic.history.records import Intent

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from domo_magic.model.execution import Execution
    from domo_magic.model.timeouts import Clock

FILE = "history.sqlite"


class History:
    """The file, or memory where there is none.

    Parameters
    ----------
    path : Path or None
        The SQLite file, made when it is first needed; None: memory only.
    clock : Clock
        For the times of what is seen.
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self.database = Database(path)
        self._clock = clock

    def intend(self, instance: str, streams: Sequence[int], label: str | None) -> list[Intent]:
        """Record starts that are about to be sent, all in one commit that outlives a power cut.

        Returns
        -------
        list of Intent
            In the order of `streams`.
        """
        now, label = self._now_ms(), records.storable(label)
        given: dict[int, int] = {}  # in memory, and kept where this is done again in the file

        def work(db: sqlite3.Connection) -> list[Intent]:
            found = []
            for stream_id in streams:
                row = db.execute(
                    "SELECT max(execution_id) FROM run WHERE instance = ? AND stream_id = ?",
                    (instance, stream_id),
                ).fetchone()
                cursor = db.execute(
                    "INSERT INTO run"
                    " (id, instance, stream_id, requested_at, known_before, label, sorted_at, outcome)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, 'open')",
                    (given.get(stream_id), instance, stream_id, now, row[0], label, now * 1000),
                )
                db.execute("INSERT OR IGNORE INTO stream VALUES (?, ?, NULL, NULL)", (instance, stream_id))
                found.append(Intent(cursor.lastrowid or 0, stream_id, now, row[0], label))
            if in_memory(db):
                given.update((intent.stream_id, intent.id) for intent in found)
            return found

        return self.database.write(work, durable=True)

    def leaves(self, intent: Intent, requested_at: int | None = None) -> Intent:
        """Record that the request of a start left at another time (epoch ms, by default now)."""
        moved = replace(intent, requested_at=self._now_ms() if requested_at is None else requested_at)
        self.database.write(
            lambda db: db.execute(
                "UPDATE run SET requested_at = ?, sorted_at = ? WHERE id = ?",
                (moved.requested_at, moved.requested_at * 1000, moved.id),
            ),
            durable=True,
        )
        return moved

    def ahead(self, instance: str, intent: Intent, since: int) -> dict[int, int | None]:
        """Return the stream's starts recorded before this one, `since` (epoch ms): when, where still open."""
        rows = self.database.read(
            "SELECT id, CASE outcome WHEN 'open' THEN requested_at END FROM run WHERE instance = ?"
            " AND stream_id = ? AND requested_at >= ? AND id < ? AND outcome IS NOT 'refused'",
            (instance, intent.stream_id, since, intent.id),
        )
        return dict(rows)

    def user(self, instance: str) -> str | None:
        """Return whose token started the newest run that was started here, as far as it is known."""
        rows = self.database.read(
            "SELECT answer FROM run WHERE instance = ? AND outcome = 'started' AND answer IS NOT NULL"
            " ORDER BY sorted_at DESC LIMIT 1",
            (instance,),
        )
        fields = records.parsed(rows[0][0]) if rows else None
        user = fields.get("startedBy") if isinstance(fields, dict) else None
        return None if user is None else str(user)

    def started(self, instance: str, intent: Intent, execution: Execution) -> bool:
        """Record the response to a start; without an execution id the intent stays open.

        Returns
        -------
        bool
            False where another start already has this execution: the response is a
            replay, nothing is recorded, and the intent stays open.
        """

        def work(db: sqlite3.Connection) -> bool:
            if execution.execution_id is None:
                db.execute(
                    "UPDATE run SET answer = :text, posted = :text WHERE id = :id",
                    {"text": execution.text, "id": intent.id},
                )
                return True
            key = (instance, execution.stream_id, execution.execution_id, intent.id)
            # A Domo that counts anew, as a sandbox does that was started again: a run that began after the
            # recorded one had ended is another one. Anything else is a replayed response.
            db.execute(
                "DELETE FROM run WHERE instance = ? AND stream_id = ? AND execution_id = ? AND id != ?"
                " AND outcome = 'started' AND finished AND ended_at < ?",
                (*key, execution.started_us),
            )
            if db.execute(
                "SELECT 1 FROM run WHERE instance = ? AND stream_id = ? AND execution_id = ? AND id != ?"
                " AND outcome = 'started'",
                key,
            ).fetchone():
                return False
            # The response is certain: whoever took this run for another intent's was wrong, and looks again.
            db.execute(
                "UPDATE run SET execution_id = NULL, outcome = 'open', answer = NULL, finished = 0"
                " WHERE instance = ? AND stream_id = ? AND execution_id = ? AND id != ?"
                " AND outcome = 'adopted'",
                key,
            )
            records.take(db, instance, intent, execution, "started", self._now_ms())
            db.execute("UPDATE run SET posted = ? WHERE id = ?", (execution.text, intent.id))
            return True

        return self.database.write(work)

    def adopt(self, instance: str, intent: Intent, execution: Execution) -> bool:
        """Claim a run for an intent; False where another intent has it, or this one has another run."""

        def work(db: sqlite3.Connection) -> bool:
            taken = db.execute(
                "SELECT 1 FROM run WHERE id = :id AND execution_id != :run OR instance = :instance"
                " AND stream_id = :stream AND execution_id = :run AND outcome IS NOT NULL AND id != :id",
                {
                    "id": intent.id,
                    "instance": instance,
                    "stream": execution.stream_id,
                    "run": execution.execution_id,
                },
            ).fetchone()
            if taken:
                return False
            records.take(db, instance, intent, execution, "adopted", self._now_ms())
            return True

        return self.database.write(work)

    def refused(self, *intents: Intent) -> None:
        """Record that nothing was started."""
        self.database.write(
            lambda db: db.executemany(
                "UPDATE run SET outcome = 'refused', finished = 1 WHERE id = ?",
                [(intent.id,) for intent in intents],
            )
        )

    def saw(self, instance: str, executions: Sequence[Execution]) -> None:
        """Record runs as they were just seen: the response, and the state where it changed."""
        now = self._now_ms()

        def work(db: sqlite3.Connection) -> None:
            for execution in executions:
                if execution.execution_id is not None:
                    records.record(db, instance, execution, now)

        self.database.write(work)

    def cancelled(self, instance: str, executions: Sequence[Execution]) -> None:
        """Record that these runs were aborted from here."""
        now = self._now_ms()
        self.database.write(
            lambda db: db.executemany(
                "UPDATE run SET cancelled_at = ? WHERE instance = ? AND stream_id = ? AND execution_id = ?",
                [(now, instance, run.stream_id, run.execution_id) for run in executions],
            )
        )

    def cancelled_here(self, instance: str, stream_id: int) -> set[int]:
        """Return the executions of a stream that were aborted from here."""
        rows = self.database.read(
            "SELECT execution_id FROM run WHERE instance = ? AND stream_id = ? AND cancelled_at IS NOT NULL",
            (instance, stream_id),
        )
        return {row[0] for row in rows}

    def open_intents(self, instance: str, stream_id: int | None = None) -> list[Intent]:
        """Return the starts whose fate is not known, oldest first."""
        rows = self.database.read(
            "SELECT id, stream_id, requested_at, known_before, label FROM run"
            " WHERE instance = ? AND NOT finished AND outcome = 'open' AND stream_id = coalesce(?, stream_id)"
            " ORDER BY id",
            (instance, stream_id),
        )
        return [Intent(*row) for row in rows]

    def claimed(self, instance: str, intent: Intent) -> set[int]:
        """Return the executions of an intent's stream that belong to other intents."""
        rows = self.database.read(
            "SELECT execution_id FROM run WHERE instance = ? AND stream_id = ? AND execution_id IS NOT NULL"
            " AND outcome IS NOT NULL AND id != ?",
            (instance, intent.stream_id, intent.id),
        )
        return {row[0] for row in rows}

    def runs(
        self,
        instance: str,
        streams: Sequence[int] = (),
        *,
        limit: int | None = None,
        since_us: int = 0,
        state: str | None = None,
        label: str | None = None,
        finished: bool | None = None,
    ) -> list[Execution]:
        """Return the runs recorded here, newest first; an open start has no id."""
        one = streams[0] if len(streams) == 1 else None
        conditions = {
            "run.instance = ?": instance,
            "sorted_at >= ?": since_us,
            "run.stream_id = ?": one,  # its rows lie in order in an index
            "upper(state) = upper(?)": state,
            "label = ?": label,
        }
        given = {condition: value for condition, value in conditions.items() if value is not None}
        also = "" if finished is None else f" AND {'' if finished else 'NOT '}finished"  # as its index has it
        if len(streams) > 1:
            also += (
                f" AND run.stream_id IN ({', '.join(map(str, map(int, streams)))})"  # more than parameters
            )
        rows = self.database.read(
            "SELECT run.stream_id, execution_id, answer, state, stream.name, label, requested_at"  # noqa: S608  literals
            f" FROM run LEFT JOIN stream USING (instance, stream_id) WHERE {' AND '.join(given)}{also}"
            " AND outcome IS NOT 'refused' ORDER BY sorted_at DESC, execution_id DESC LIMIT ?",
            [*given.values(), -1 if limit is None else limit],
        )
        return records.runs_of(instance, rows)

    def streams_with_runs(self, instance: str) -> list[int]:
        """Return the streams with a run recorded here, by their ids."""
        rows = self.database.read(
            "SELECT DISTINCT stream_id FROM run WHERE instance = ? AND outcome IS NOT 'refused'"
            " ORDER BY stream_id",
            (instance,),
        )
        return [row[0] for row in rows]

    def request_of(self, instance: str, execution: Execution) -> tuple[str | None, int | None]:
        """Return the label and the time (epoch ms) of our request for a run, where it was ours."""
        rows = self.database.read(
            "SELECT label, requested_at FROM run WHERE instance = ? AND stream_id = ? AND execution_id = ?",
            (instance, execution.stream_id, execution.execution_id),
        )
        return (rows[0][0], rows[0][1]) if rows else (None, None)

    def requests(self, instance: str, stream_id: int) -> dict[int | None, tuple[str | None, int | None]]:
        """Return ``{execution_id: (label, requested_at)}`` of a stream's runs recorded here; None: open."""
        rows = self.database.read(
            "SELECT execution_id, label, requested_at FROM run"
            " WHERE instance = ? AND stream_id = ? AND outcome IS NOT 'refused'",
            (instance, stream_id),
        )
        return {execution_id: (label, requested_at) for execution_id, label, requested_at in rows}

    def unfinished(self, instance: str, limit: int | None = None) -> list[Execution]:
        """Return the runs that were started here and are not known to have ended, newest first."""
        return [
            run
            for run in self.runs(instance, finished=False, limit=limit)
            if run.execution_id is not None and run.requested_at is not None
        ]

    def find_streams(self, instance: str, text: str, limit: int) -> list[tuple[int, str | None]]:
        """Return known streams whose id begins with `text`, or whose name has it; none that was refused."""
        escaped = "".join(f"!{letter}" if letter in "!%_" else letter for letter in text)
        return self.database.read(
            "SELECT stream_id, name FROM stream WHERE instance = ?"
            " AND (stream_id LIKE ? ESCAPE '!' OR name LIKE ? ESCAPE '!')"
            " AND (name IS NOT NULL OR EXISTS (SELECT 1 FROM run WHERE run.instance = stream.instance"
            " AND run.stream_id = stream.stream_id AND outcome IS NOT 'refused')) ORDER BY stream_id LIMIT ?",
            (instance, f"{escaped}%", f"%{escaped}%", limit),
        )

    def durations(self, instance: str, stream_id: int) -> list[float]:
        """Return how long the last 20 successful runs of a stream lasted, in seconds, newest first."""
        rows = self.database.read(
            "SELECT ended_at - started_at FROM run WHERE instance = ? AND stream_id = ?"
            " AND upper(state) = 'SUCCESS' AND ended_at >= started_at ORDER BY sorted_at DESC LIMIT 20",
            (instance, stream_id),
        )
        return [row[0] / 1e6 for row in rows]

    def remember(self, instance: str, streams: Iterable[tuple[int, str | None, str | None]]) -> None:
        """Keep the DataSet and the name of streams: ``(stream_id, dataset_id, name)``."""
        rows = [(instance, stream_id, *map(records.storable, texts)) for stream_id, *texts in streams]
        self.database.write(
            lambda db: db.executemany(
                "INSERT INTO stream VALUES (?, ?, ?, ?) ON CONFLICT (instance, stream_id) DO UPDATE SET"
                " dataset_id = coalesce(excluded.dataset_id, dataset_id),"
                " name = coalesce(excluded.name, name)",
                rows,
            )
        )

    def stream(self, instance: str, stream_id: int) -> tuple[str | None, str | None]:
        """Return the DataSet of a stream and its name, as far as they are known here."""
        rows = self.database.read(
            "SELECT dataset_id, name FROM stream WHERE instance = ? AND stream_id = ?", (instance, stream_id)
        )
        return (rows[0][0], rows[0][1]) if rows else (None, None)

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def _now_ms(self) -> int:
        return int(self._clock.time() * 1000)

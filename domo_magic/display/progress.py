"""The lines of runs that are started and waited for, at most four changes a second."""

from __future__ import annotations

import heapq
import threading
from typing import TYPE_CHECKING, Any

from domo_magic.display import lines
from domo_magic.executions.background import background
from domo_magic.executions.follower import durations
from domo_magic.executions.schedule import time_left, usual
from domo_magic.model.concurrency import THREADS, each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domo_magic.display.output import Line, Screen
    from domo_magic.errors import DomoError
    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Execution

#: The most lines at the same time; the rest is in the total.
MOST_LINES = 20
_PAUSE = 0.25
_MICROSECONDS = 1e6

Key = tuple[int, int | None]


class Board:
    """Shows runs on a screen.

    Parameters
    ----------
    session : Session
        For usual durations and the clock.
    screen : Screen
        Where to.
    moving : bool
        Whether the runs are waited for; else each prints its one line.
    aborting : bool
        Whether they were aborted, and what is usual does not count.
    """

    def __init__(self, session: Session, screen: Screen, *, moving: bool, aborting: bool = False) -> None:
        self._session = session
        self._screen = screen
        self._moving = moving
        self._aborting = aborting
        self._lock = threading.RLock()
        self._runs: dict[Key, Execution] = {}
        self._unfinished: set[Key] = set()
        self._announced: set[Key] = set()
        self._fresh: set[Key] = set()
        self._notes: dict[Key, Line] = {}
        self._verdicts: dict[Key, str] = {}
        self._drawn_at = float("-inf")
        self._changed = False

    def started(self, run: Execution) -> None:
        """Show a run that has just been started, or taken up."""
        with self._lock:
            self._notes.pop((run.stream_id, None), None)
            self._keep(run)
            self._announced.add((run.stream_id, run.execution_id))
            if not self._moving or not self._screen.moves or run.execution_id is None:
                self._screen.say((lines.mark(run), lines.started(run)))
            else:
                self._fresh.add((run.stream_id, run.execution_id))
                self._changed = True
                self.tick()

    def adopted(self, run: Execution) -> None:
        """Say that a run was there already, and show it."""
        with self._lock:
            self._screen.say((lines.mark(run), lines.adopted(run, elapsed_of(self._session, run))))
            self.started(run)

    def waited_for(self, run: Execution) -> None:
        """Show a run that was there before."""
        self.seen(run)
        self.tick()

    def uncertain(self, stream_id: int, why: str) -> None:
        """Say that a start is being looked into."""
        with self._lock:
            line = ("unknown", f"{stream_id} looking whether it started: {why}")
            if self._moving and self._screen.moves:
                self._notes[stream_id, None] = line
                self._changed = True
                self.tick()
            else:
                self._screen.say(line)

    def seen(self, run: Execution) -> None:
        """Show a run as it was just seen; where nothing moves, only once while it is unfinished."""
        with self._lock:
            self._keep(run)
            self._changed = True
            key = (run.stream_id, run.execution_id)
            if not self._screen.moves and run.fields and not run.finished and key not in self._announced:
                self._announced.add(key)
                self._screen.say((lines.mark(run), self._line(run)))

    def _keep(self, run: Execution) -> None:
        key = run.stream_id, run.execution_id
        self._runs[key] = run
        (self._unfinished.discard if run.finished else self._unfinished.add)(key)

    def tick(self) -> bool:
        """Draw when it is time to; return whether any run is unfinished."""
        with self._lock:
            unfinished = bool(self._unfinished)
            now = self._session.clock.monotonic()
            if (
                self._moving
                and self._screen.moves
                and (unfinished or self._changed)
                and now - self._drawn_at >= _PAUSE
            ):
                self._drawn_at, self._changed = now, False
                self._screen.show(self._lines())
                self._fresh.clear()
            return unfinished

    def lost(self, run: Execution, error: DomoError) -> None:
        """Say that a run cannot be followed any more."""
        with self._lock:
            self._runs.pop(key := (run.stream_id, run.execution_id), None)
            self._unfinished.discard(key)
            if run.fields or self._screen.moves:  # else it was never there, and the error says so
                self._notes[key] = ("unknown", f"{run.run} is not followed any more: {error.summary}")
            self._changed = True

    def keep_up(self, runs: Sequence[Execution]) -> None:
        """Follow the runs in the background, and draw the last lines when all of them have ended."""
        followed = background(self._session)
        left = {(run.stream_id, run.execution_id) for run in runs if run.execution_id is not None}

        def seen(run: Execution) -> None:
            key = run.stream_id, run.execution_id
            over = run.over(self._runs.get(key))
            self.seen(run)
            if over:
                done(key)

        def lost(run: Execution, error: DomoError) -> None:
            self.lost(run, error)
            done((run.stream_id, run.execution_id))

        def done(key: Key) -> None:
            left.discard(key)
            if not left:
                self.finish(verdicts(self._session, self.shown()))

        for run in runs:
            if run.execution_id is not None:
                followed.watch(run, seen, lost, self.tick)

    def finish(self, verdicts: dict[Key, str]) -> None:
        """Draw the last lines."""
        with self._lock:
            self._verdicts = verdicts
            if self._moving and (self._runs or self._notes):
                self._screen.show(self._lines(), last=True)

    def shown(self) -> list[Execution]:
        """Return the runs that have a line of their own, most interesting first."""
        with self._lock:
            runs = list(self._runs.values())
        return heapq.nsmallest(MOST_LINES, runs, key=_interest)

    def _lines(self) -> list[Line]:
        shown = [(lines.mark(run), self._line(run)) for run in self.shown()]
        shown = [*self._notes.values(), *shown][:MOST_LINES]
        return [*shown, self._total()] if len(self._runs) > 1 else shown

    def _line(self, run: Execution) -> str:
        if run.finished:
            return lines.ended(run, self._verdicts.get((run.stream_id, run.execution_id), ""))
        if (run.stream_id, run.execution_id) in self._fresh:
            return lines.started(run)  # the line that waiting moves
        elapsed = elapsed_of(self._session, run)
        if self._aborting:
            return lines.aborting(run, elapsed)
        past = durations(self._session, run.stream_id)
        left = None if elapsed is None else time_left(elapsed, past)
        return lines.running(run, elapsed, usual(past), left)

    def _total(self) -> Line:
        counts: dict[str, int] = {}
        for run in self._runs.values():
            state = (run.state or "ended") if run.finished else ""
            counts[state] = counts.get(state, 0) + 1
        bad = any(lines.mark(run) == "bad" for run in self._runs.values())
        kind = "running" if counts.get("") else "bad" if bad else "good"
        return kind, lines.total(counts)


def elapsed_of(session: Session, run: Execution) -> float | None:
    """Return the seconds that a run has lasted by the server's clock, None where its start is unknown."""
    if run.started_us is None:
        return None
    return max(0.0, session.clock.time() + session.client.skew - run.started_us / _MICROSECONDS)


def _interest(run: Execution) -> tuple[int, int, int]:
    """Failed ones first, then those that have run longest, then the rest."""
    order = {"bad": 0, "running": 1, "good": 2}[lines.mark(run)]
    return order, run.started_us or 0, run.stream_id


def verdicts(session: Session, runs: Sequence[Execution]) -> dict[Key, str]:
    """Return how each ended run compares with its stream's past, in words.

    The past is fetched where it is not known yet. Where it is too short: empty.
    """
    from domo_magic.analysis.baseline import compare, sentence
    from domo_magic.model.frame import frame

    runs = [run for run in runs if run.execution_id is not None]
    wanted = {(run.stream_id, run.execution_id) for run in runs if run.finished}
    if not wanted:
        return {}
    streams = sorted({stream for stream, _ in wanted})
    each(lambda stream_id: session.learn(stream_id, hurry=True), streams, parallel=THREADS)
    known: dict[Key, Execution] = {}
    for stream_id in streams:
        past = session.past.get(stream_id, ())
        known |= {(stream_id, run.execution_id): run.known_as(instance=session.instance) for run in past}
    known |= {(run.stream_id, run.execution_id): run for run in runs}
    table: Any = compare(frame(known.values()))
    for run in runs:
        if run.finished:
            session.ended(run)
    said = {"usual": "usual", "no baseline": "", "failed": "", "cancelled": ""}
    return {
        key: said[row.verdict] if row.verdict in said else sentence(row)
        for row in table.itertuples()
        if (key := (int(row.streamId), int(row.executionId))) in wanted
    }

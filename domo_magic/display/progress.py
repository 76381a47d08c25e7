"""The lines of runs that are started and polled, at most four changes a second."""

from __future__ import annotations

import heapq
import threading
from typing import TYPE_CHECKING

from domo_magic.executions.outcome import Judgement, judge
from domo_magic.executions.poller import durations, elapsed_of
from domo_magic.executions.schedule import time_left, usual
from domo_magic.model.execution import errors_of, state_of
from domo_magic.model.formatting import count_text, cut, duration_text, local_time

if TYPE_CHECKING:
    from typing import Self

    from domo_magic.display.output import Line, Screen
    from domo_magic.errors import DomoError
    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Execution, Key
    from domo_magic.model.timeouts import Clock

#: The most lines at the same time; the total has the others.
MOST_LINES = 20
_PAUSE = 0.25
_LONGEST_TEXT = 300
_WORST_FIRST = ("running", "unknown", "bad", "unusual", "stopped", "good")


class Board:
    """Shows runs on a screen; a `Listener` of the poller.

    Parameters
    ----------
    session : Session
        For usual durations and the clock.
    screen : Screen
        Where to.
    moving : bool
        Whether the runs are waited for; else each prints its one line.
    aborting : bool
        Whether they were aborted: that they end without success is what was wanted.
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
        self._delays: dict[Key, str] = {}
        self._judgements: dict[Key, Judgement] = {}
        self._beside: dict[Key, str] = {}
        self._let_go = self._over = False
        self._drawn_at = float("-inf")
        self._changed = False

    def say(self, kind: str, text: str) -> None:
        """Show a line that stays."""
        with self._lock:
            self._screen.say((kind, text))

    def started(self, run: Execution, beside: Execution | None = None) -> None:
        """Show a run that has just been started, or adopted; `beside` one that is not known to have ended."""
        with self._lock:
            if beside is not None:
                self._beside[run.key] = beside.run
            self._notes.pop((run.stream_id, None), None)
            self._keep(run)
            self._announced.add(run.key)
            if not self._moving or not self._screen.moves or run.execution_id is None:
                self._screen.say((run.mark, self._started(run)))
            else:
                self._fresh.add(run.key)
                self._changed = True
                self.tick()

    def adopted(self, run: Execution) -> None:
        """Say that a run was there already, and show it."""
        with self._lock:
            self._screen.say((run.mark, adopted(run, elapsed_of(self._session, run))))
            if run.finished:
                self.waited_for(run)
            else:
                self.started(run)

    def waited_for(self, run: Execution) -> None:
        """Show a run that was there before."""
        self.seen(run)
        self.tick()

    def uncertain(self, stream_id: int, why: str) -> None:
        """Say that a start is being reconciled."""
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
            self._delays.pop(run.key, None)
            if not self._screen.moves and run.fields and not run.finished and run.key not in self._announced:
                self._announced.add(run.key)
                self._screen.say((run.mark, self._text(run)))

    def _keep(self, run: Execution) -> None:
        self._runs[run.key] = run
        (self._unfinished.discard if run.finished else self._unfinished.add)(run.key)

    def delayed(self, run: Execution, error: DomoError, since: float) -> None:
        """Say since when nothing is known of a run; where nothing moves, once."""
        with self._lock:
            known = run.key in self._delays
            at = local_time(round(since * 1e6), self._session.clock.time())
            self._delays[run.key] = f"no response from Domo since {at}: {error.summary}"
            self._changed = True
            if not self._screen.moves and not known:
                self._screen.say(("unknown", f"{run.run} {self._delays[run.key]}"))

    def lost(self, run: Execution, error: DomoError) -> None:
        """Say that a run cannot be polled any more."""
        with self._lock:
            self._runs.pop(run.key, None)
            self._unfinished.discard(run.key)
            if run.fields or self._screen.moves:  # else it was never there, and the error says so
                self._notes[run.key] = ("unknown", f"{run.run} is no longer followed: {error.summary}")
            self._changed = True

    def tick(self) -> None:
        """Draw when it is time to."""
        with self._lock:
            now = self._session.clock.monotonic()
            if (
                self._moving
                and self._screen.moves
                and (self._unfinished or self._changed)
                and now - self._drawn_at >= _PAUSE
            ):
                self._drawn_at, self._changed = now, False
                self._screen.show(self._lines())
                self._fresh.clear()

    def over(self, within: float | None = None) -> None:
        """Draw the last lines, with how each run compares; those that go on say how to follow them."""
        self._finish(judge(self._session, self._shown(), within))

    def let_go(self) -> None:
        """Draw the last lines at once, unless they are drawn already: nothing is waited for any more."""
        if not self._over:
            self._finish({})

    def _finish(self, judgements: dict[Key, Judgement]) -> None:
        with self._lock:
            self._judgements, self._let_go = judgements, True
            if self._moving and (self._runs or self._notes):
                self._screen.show(self._lines(), last=True)
            self._over = True

    def _shown(self) -> list[Execution]:
        """Return the runs that have a line of their own, most interesting first."""
        with self._lock:
            return heapq.nsmallest(MOST_LINES, self._runs.values(), key=self._interest)

    def _lines(self) -> list[Line]:
        shown = [(self._mark(run), self._text(run)) for run in self._shown()]
        shown = [*self._notes.values(), *shown][:MOST_LINES]
        return [*shown, self._total()] if len(self._runs) > 1 else shown

    def _mark(self, run: Execution) -> str:
        if not run.finished:
            return "unknown" if self._let_go or run.key in self._delays else "running"
        judged = self._judgements.get(run.key)
        if run.succeeded and judged is not None and judged.unusual:
            return "unusual"
        return run.mark

    def _text(self, run: Execution) -> str:
        if run.finished:
            judged = self._judgements.get(run.key)
            return ended(run, judged.says if judged else "")
        if run.key in self._fresh and not self._let_go:
            return self._started(run)  # the line that waiting moves
        elapsed = elapsed_of(self._session, run)
        if self._let_go:
            return running(run, elapsed, f"no longer followed: %domo_wait {run.run}")
        if run.key in self._delays:
            return running(run, elapsed, self._delays[run.key])
        if self._aborting:
            return running(run, elapsed, "aborting")
        past = durations(self._session, run.stream_id)
        left = None if elapsed is None else time_left(elapsed, past)
        return running(run, elapsed, expected(elapsed, usual(past), left))

    def _started(self, run: Execution) -> str:
        return started(run, self._beside.get(run.key))

    def _total(self) -> Line:
        counts: dict[str, int] = {}
        for run in self._runs.values():
            state = state_of(run, "ended") if run.finished else ""
            counts[state] = counts.get(state, 0) + 1
        marks = set(map(self._mark, self._runs.values()))
        return next(kind for kind in _WORST_FIRST if kind in marks), total(counts)

    def _interest(self, run: Execution) -> tuple[int, int, int]:
        """Failed ones first, then those that have run longest, then the others."""
        order = ("bad", "running", "stopped", "good").index(run.mark)
        return order, run.started_us or 0, run.stream_id


def started(run: Execution, beside: str | None = None) -> str:
    """Return the line of a run that has just been started, `beside` one that was not seen to end.

    Examples
    --------
    >>> from domo_magic.model.execution import Execution
    >>> started(Execution(25775, 2, {"currentState": "ACTIVE"}, "Sales Orders", "mycompany"))
    '25775/2 ACTIVE · Sales Orders · mycompany · follow: %domo_wait 25775/2'
    >>> started(Execution(25775, 3, {"currentState": "ACTIVE"}), "25775/2")
    '25775/3 ACTIVE · beside 25775/2, which was not seen to end · follow: %domo_wait 25775/3'
    """
    if run.execution_id is None:
        return _joined(f"{run.stream_id} started, execution unknown", run.name, run.instance)
    second = f"beside {beside}, which was not seen to end" if beside else None
    state = f"{run.run} {state_of(run, 'started')}"
    return _joined(state, run.name, run.instance, second, f"follow: %domo_wait {run.run}")


def adopted(run: Execution, elapsed: float | None) -> str:
    """Return what is said of a run that was there already.

    Examples
    --------
    >>> from domo_magic.model.execution import Execution
    >>> adopted(Execution(25775, 2, {"currentState": "ACTIVE"}), 192.0)
    '25775/2 has been running for 3 min 12 s: adopted; no new run was started'
    >>> adopted(Execution(25775, 2, {"currentState": "SUCCESS"}), 192.0)
    '25775/2 began 3 min 12 s ago and has succeeded: no new run was started'
    """
    if run.finished:
        began = "has" if elapsed is None else f"began {duration_text(elapsed)} ago and has"
        return f"{run.run} {began} {'succeeded' if run.succeeded else 'ended'}: no new run was started"
    since = "was there already" if elapsed is None else f"has been running for {duration_text(elapsed)}"
    return f"{run.run} {since}: adopted; no new run was started"


def running(run: Execution, elapsed: float | None, outlook: str | None = None) -> str:
    """Return the line of a run that is waited for.

    Parameters
    ----------
    run : Execution
        As it was last seen.
    elapsed : float or None
        Seconds since it began.
    outlook : str or None
        What is expected of it, or why nothing is known.

    Examples
    --------
    >>> from domo_magic.model.execution import Execution
    >>> running(Execution(25775, 2, {"currentState": "ACTIVE", "currentPhase": "INIT"}), 8.0)
    '25775/2 ACTIVE · phase INIT · 8.0 s'
    """
    phase = phase_of(run)
    return _joined(
        f"{run.run} {state_of(run, 'started' if run.fields else 'not seen yet')}",
        run.name,
        f"phase {phase}" if phase else None,
        None if elapsed is None else duration_text(elapsed),
        count_text(run.rows) if run.rows else None,
        outlook,
    )


def phase_of(run: Execution) -> str:
    """Return the phase that a run is in, as Domo calls it, or nothing.

    Source: ``currentPhase`` is a text, ``latestPhase`` an object with ``phaseType`` (working clients).
    """
    current, latest = run.fields.get("currentPhase"), run.fields.get("latestPhase")
    phase = current if isinstance(current, str) else None
    if phase is None and isinstance(latest, dict):
        phase = latest.get("phaseType")
    return cut(phase, 40) if isinstance(phase, str) else ""


def expected(elapsed: float | None, usual: float | None, left: float | None) -> str | None:
    """Return what is expected of a run that has lasted `elapsed` seconds, where anything is.

    Examples
    --------
    >>> expected(42.0, 192.0, 150.0)
    'usually 3 min 12 s, about 2 min 30 s left'
    """
    if usual is None or elapsed is None:
        return None
    as_rule = (
        f"usually {duration_text(usual)}" if elapsed <= usual else f"over the usual {duration_text(usual)}"
    )
    if left is not None and left >= 1:
        return f"{as_rule}, about {duration_text(left)} left"
    return as_rule


def ended(run: Execution, verdict: str) -> str:
    """Return the line of a run that has ended.

    Parameters
    ----------
    run : Execution
        As it was last seen.
    verdict : str
        How it compares (``usual``, ``slow: 3.1 times the usual 1 min 2 s``, ``failed: login refused``);
        empty where it is not known.

    Examples
    --------
    >>> from domo_magic.model.execution import Execution
    >>> fields = {"currentState": "SUCCESS", "startedAt": 100, "endedAt": 292, "rowsInserted": 283429}
    >>> ended(Execution(25775, 2, fields, "Sales Orders"), "usual")
    '25775/2 SUCCESS · Sales Orders · 3 min 12 s · 283,429 rows · usual'
    """
    return _joined(
        f"{run.run} {state_of(run, 'ended')}",
        run.name,
        None if run.duration is None else duration_text(run.duration),
        None if run.rows is None else count_text(run.rows),
        verdict or ("" if run.succeeded else errors_of(run)),
    )


def total(counts: dict[str, int]) -> str:
    """Return one line for many runs.

    Examples
    --------
    >>> total({"SUCCESS": 11, "ERROR": 1, "": 988})
    '12 of 1,000 ended: 11 SUCCESS, 1 ERROR · 988 unfinished'
    """
    ended_ones = {state: count for state, count in counts.items() if state}
    unfinished = counts.get("", 0)
    done = sum(ended_ones.values())
    most_first = sorted(ended_ones.items(), key=lambda item: (-item[1], item[0]))
    states = ", ".join(f"{count:,} {state}" for state, count in most_first)
    text = f"{done:,} of {done + unfinished:,} ended"
    return _joined(
        f"{text}: {states}" if states else text, f"{unfinished:,} unfinished" if unfinished else None
    )


def _joined(*parts: str | None) -> str:
    return " · ".join(cut(part, _LONGEST_TEXT) for part in parts if part)


class Collecting:
    """One line that counts what was collected, and ends as a headline, or where an error or a Stop ends it.

    Parameters
    ----------
    screen : Screen
        Where to.
    clock : Clock
        Limits the changes to four a second.
    """

    def __init__(self, screen: Screen, clock: Clock) -> None:
        self._screen = screen
        self._clock = clock
        self._shown_at = float("-inf")
        self._line = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._line:
            self._screen.show([("stopped", self._line)], last=True)

    def progress(self, done: int, total: int) -> None:
        """Show how many of the connectors are there."""
        now = self._clock.monotonic()
        if self._screen.moves and now - self._shown_at >= _PAUSE:
            self._shown_at = now
            self._line = f"{done:,} of {total:,} connectors"
            self._screen.show([("running", self._line)])

    def over(self, headline: str, *, good: bool) -> None:
        """Show the headline in place of the count."""
        self._screen.show([("good" if good else "unusual", headline)], last=True)
        self._line = ""

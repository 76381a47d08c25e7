"""Waiting for runs: an end or an error for each, how each compares, and what an interrupt leaves."""

from __future__ import annotations

import copy
import queue
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from domo_magic.analysis.baseline import compare
from domo_magic.analysis.sentences import reason
from domo_magic.errors import (
    DomoError,
    RunFailed,
    RunInterrupted,
    RunTimeout,
    RunUnusual,
    TriggerOutcomeUnknown,
    warn,
)
from domo_magic.executions.poller import Listener
from domo_magic.model.concurrency import THREADS, each
from domo_magic.model.execution import Execution, causes_of, errors_of, state_of
from domo_magic.model.formatting import cut, duration_text
from domo_magic.model.frame import frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

    from domo_magic.analysis.baseline import Baseline
    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Key

OnFailure = Literal["raise", "return"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long runs are waited for, and what does not count as a good end.

    Attributes
    ----------
    timeout : float or None
        The most seconds.
    on_failure, on_unusual : {"raise", "return"}
        What a run does that ended without success, or whose verdict is not ``usual``.
    spent : float
        Seconds of the timeout that are over already.
    """

    timeout: float | None = None
    on_failure: OnFailure = "raise"
    on_unusual: OnFailure = "return"
    spent: float = 0.0


_Error = TypeVar("_Error", bound=DomoError)
#: Runs that a message names.
_NAMED = 20
# How often an interrupt gets through on Windows, where a wait without an end takes none.
_LOOK_UP = 0.2
_ROWS = "its rows: import sys; sys.last_value.rows, or except domo_magic.RunFailed as error: error.rows"


class Progress(Listener, Protocol):
    """Who is told about runs while they are waited for."""

    def over(self, within: float | None = None) -> None:
        """Take note that nothing more will come; what is only nice to know is requested `within` seconds."""

    def let_go(self) -> None:
        """Take note that the user interrupted, or that nothing is waited for."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a run compares with what is usual for its stream.

    Attributes
    ----------
    verdict : str
        As `domo_magic.compare` has it: ``usual``, ``slow``, ...
    says : str
        The same for a line: ``slow: 3.1 times the usual 1 min 2 s``.
    """

    verdict: str
    says: str

    @property
    def unusual(self) -> bool:
        """Whether there is something to look at although the run succeeded."""
        return self.verdict not in {"usual", "no baseline"}


class _Relay:
    """Brings what the poller's thread tells to the thread that waits, and keeps what was seen last."""

    def __init__(self, listener: Listener, runs: Sequence[Execution]) -> None:
        self._listener = listener
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.latest = {run.key: run for run in runs}
        self.problems: dict[Key, DomoError] = {}

    def seen(self, run: Execution) -> None:
        self.latest[run.key] = run
        self._calls.put(partial(self._listener.seen, run))

    def lost(self, run: Execution, error: DomoError) -> None:
        self.problems[run.key] = error
        self._calls.put(partial(self._listener.lost, run, error))

    def delayed(self, run: Execution, error: DomoError, since: float) -> None:
        self._calls.put(partial(self._listener.delayed, run, error, since))

    def say(self, kind: str, text: str) -> None:
        self._calls.put(partial(self._listener.say, kind, text))

    def tick(self) -> None:
        self._calls.put(self._listener.tick)

    def over(self) -> None:
        self._calls.put(None)

    def deliver(self) -> None:
        """Call the listener on this thread until nothing more will come."""
        while True:
            try:
                call = self._calls.get(timeout=_LOOK_UP)
            except queue.Empty:
                continue
            if call is None:
                return
            call()


def follow(
    session: Session,
    runs: Sequence[Execution],
    errors: Sequence[DomoError | None],
    progress: Progress,
    waiting: Waiting,
    *,
    aborted: bool = False,
    stale: bool = False,
) -> pd.DataFrame:
    """Wait for the runs that are unfinished, and return their rows or raise.

    Parameters
    ----------
    session : Session
        The instance.
    runs, errors : sequence
        The runs in the order given, and what is wrong with each already.
    progress : Progress
        Who is told, on the calling thread.
    waiting : Waiting
        How long, and what raises.
    aborted, stale : bool
        As for `Poller.watch`.

    Raises
    ------
    DomoError
        The first in the order given, naming every run that failed.
    RunInterrupted
        The user interrupted; the runs go on.
    """
    relay = _Relay(progress, runs)
    wanted = [
        run for run, error in zip(runs, errors, strict=True) if run.execution_id is not None and error is None
    ]

    def now_known() -> list[Execution]:
        return [relay.latest[run.key] for run in runs]

    left = left_aborting if aborted else partial(left_running, idle=refused(runs, errors))
    with interruptible(now_known, progress.let_go, left):
        seconds = None if waiting.timeout is None else max(0.0, waiting.timeout - waiting.spent)
        watch = session.poller.watch(wanted, relay, timeout=seconds, aborted=aborted, stale=stale)
        try:
            relay.deliver()
        finally:
            session.poller.leave(watch)
        hurry = None if seconds is None else session.timeouts.last_look / 2
        progress.over(hurry)
    found = [
        error or relay.problems.get(run.key) or _shortcoming(run, waiting)
        for run, error in zip(now_known(), errors, strict=True)
    ]
    if waiting.on_unusual == "raise":
        found = _with_unusual(session, now_known(), found)
    first = next((error for error in found if error is not None), None)
    if isinstance(first, RunFailed):  # worth a request for the one shown
        page = session.page(now_known()[found.index(first)].stream_id, within=hurry)
        found[found.index(first)] = _reworded(first, hint=f"look at it in Domo: {page}; {first.hint}")
    return result(now_known(), found)


def _shortcoming(run: Execution, waiting: Waiting) -> DomoError | None:
    if run.execution_id is None:
        return None
    if not run.finished:
        after = "" if waiting.timeout is None else f" after {duration_text(waiting.timeout)}"
        state = f" ({state_of(run)})" if run.state else ""
        return RunTimeout(f"timed out{after} waiting for {run.run}{state}; the run continues in Domo")
    if run.succeeded or waiting.on_failure == "return":
        return None
    cause = causes_of(run) or errors_of(run)
    ended = f"run {_called(run)} ended in {state_of(run, '?')}"
    return RunFailed(f"{ended}{f': {cause}' if cause else ''}{_retried(run)}", _ROWS)


def _called(run: Execution) -> str:
    return f"{run.run} ({cut(run.name, 60)})" if run.name else run.run


def _retried(run: Execution) -> str:
    """Say as which run Domo tries again by itself, which it does for scheduled runs."""
    retry = run.fields.get("retryExecution")
    number = retry.get("executionId") if isinstance(retry, dict) else retry
    known = isinstance(number, int) and not isinstance(number, bool) and number > 0
    return f"; Domo tries again as {run.stream_id}/{number}" if known else ""


def _with_unusual(
    session: Session, runs: Sequence[Execution], errors: Sequence[DomoError | None]
) -> list[DomoError | None]:
    """Return the errors with one more for each run that succeeded and is not usual."""
    ended = [run for run, error in zip(runs, errors, strict=True) if error is None and run.succeeded]
    judged = judge(session, ended)
    if silent := [run.run for run in ended if run.key not in judged or run.stream_id in session.unlearned]:
        warn(f"whether {', '.join(silent[:_NAMED])} was usual is not known", sent=True)
    return [
        _unusual(run, judged.get(run.key)) if error is None else error
        for run, error in zip(runs, errors, strict=True)
    ]


def _unusual(run: Execution, judged: Judgement | None) -> RunUnusual | None:
    if judged is None or not judged.unusual or not run.succeeded:
        return None
    return RunUnusual(f"run {_called(run)} is {judged.says}", f"to compare it: %domo_compare {run.run}")


def judge(session: Session, runs: Sequence[Execution], within: float | None = None) -> dict[Key, Judgement]:
    """Return how each ended run compares with its stream's past, fetched `within` seconds if not known.

    A run is missing where its stream's past cannot be had.
    """
    ended = [run for run in runs if run.finished and run.execution_id is not None]
    wanted = {run.key for run in ended}
    if not wanted:
        return {}
    streams = sorted({stream for stream, _ in wanted})
    within = session.timeouts.aside if within is None else within
    each(lambda stream_id: session.learn(stream_id, within=within), streams, parallel=THREADS)
    table = compared_with_past(session, ended)
    for run in ended:
        session.ended(run)
    return {
        key: Judgement(row.verdict, reason(row))
        for row in table.itertuples()
        if (key := (int(row.streamId), int(row.executionId))) in wanted
    }


def compared_with_past(session: Session, runs: Sequence[Execution], baseline: Baseline = "median") -> Any:
    """Return the comparison of runs and of what is known of their streams' past."""
    known: dict[Key, Execution] = {}
    of_stream: dict[int, list[Execution]] = {}
    for run in runs:
        of_stream.setdefault(run.stream_id, []).append(run)
    for stream_id, own in of_stream.items():
        here = session.history.cancelled_here(session.instance, stream_id)
        for run in (*session.past.get(stream_id, ()), *own):
            ended_here = run.finished and run.execution_id in here
            known[run.key] = (aborted(run) if ended_here else run).replace(instance=session.instance)
    return compare(frame(known.values()), baseline=baseline)


def aborted(run: Execution) -> Execution:
    """Return a run that was aborted from here, whether Domo names who did it or not."""
    return run.replace(fields={**run.fields, "cancelledBy": run.fields.get("cancelledBy") or "here"})


def result(runs: Sequence[Execution], errors: Sequence[DomoError | None]) -> pd.DataFrame:
    """Return the rows, or raise the first error, naming every stream that failed.

    Raises
    ------
    DomoError
        Of the first error's type, with the rows of all runs.
    """
    if (error := combined(runs, errors)) is not None:
        raise error.about(runs)
    return frame(runs)


def combined(runs: Sequence[Execution], errors: Sequence[DomoError | None]) -> DomoError | None:
    """Return the first error, naming every run or stream that failed; None where none did."""
    failed = [(run, error) for run, error in zip(runs, errors, strict=True) if error is not None]
    if not failed:
        return None
    _, first = failed[0]
    summary, hint = first.summary, first.hint
    if len(failed) > 1:
        others = ", ".join(f"{run.run} ({type(error).__name__})" for run, error in failed[1:])
        summary = f"{summary}; {len(failed)} of {len(runs)} failed, also {others}"
    elif len(runs) > 1:
        summary = f"{summary}; 1 of {len(runs)} failed, .rows has them all"
    if isinstance(first, RunTimeout):
        going = _named([run for run, error in failed if isinstance(error, RunTimeout)])
        hint = f"to wait again: %domo_wait {going}; to cancel: %domo_cancel {going}"
    error = _reworded(first, summary, hint)
    error.__cause__ = first.__cause__
    return error


def _reworded(error: _Error, summary: str | None = None, hint: str | None = None) -> _Error:
    """Return the same error in other words: one that was raised is not changed."""
    other = copy.copy(error)
    other.summary = error.summary if summary is None else summary
    other.hint = error.hint if hint is None else hint
    return other


@contextmanager
def interruptible(
    known: Callable[[], Sequence[Execution]] = list,
    let_go: Callable[[], None] = lambda: None,
    error: Callable[[Sequence[Execution]], RunInterrupted] | None = None,
) -> Iterator[None]:
    """Turn an interrupt into `RunInterrupted`, also where a kernel would cancel a task instead.

    Parameters
    ----------
    known : callable, optional
        Returns the runs that have to do with it, as they are known now.
    let_go : callable, optional
        Called first.
    error : callable, optional
        Makes the error for these runs: `left_running`, `left_aborting`; by default nothing was changed.
    """

    def told() -> RunInterrupted:
        runs = known()
        return (error or nothing_changed)(runs).about(runs)

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.default_int_handler) if main else None
    try:
        yield
    except RunInterrupted:
        raise  # said by an inner one, which knows more
    except KeyboardInterrupt:
        let_go()
        raise told() from None
    finally:
        if before is not None:  # None also where a handler was not made in Python
            try:
                signal.signal(signal.SIGINT, before)
            except KeyboardInterrupt:  # one that came at the last moment is raised before anything is set
                signal.signal(signal.SIGINT, before)
                let_go()
                raise told() from None


def nothing_changed(_runs: Sequence[Execution] = ()) -> RunInterrupted:
    """Return the error for an interrupt that leaves nothing."""
    return RunInterrupted("interrupted; nothing was started or aborted", "to begin again: the same line")


def left_aborting(runs: Sequence[Execution]) -> RunInterrupted:
    """Return the error for an interrupt while runs are being aborted."""
    if not runs:
        return nothing_changed()
    going = [run for run in runs if not run.finished]
    wait = f"to follow: %domo_wait {_named(going)}{_more(going)}; " if going else ""
    streams = " ".join(dict.fromkeys(str(run.stream_id) for run in runs[:_NAMED]))
    summary = "interrupted; aborts that have reached Domo go on"
    return RunInterrupted(summary, f"{wait}to see the runs: %domo_runs {streams}")


def refused(runs: Sequence[Execution], errors: Sequence[DomoError | None]) -> list[Execution]:
    """Return those of the runs whose start was requested, and is known to have started nothing."""
    return [
        run
        for run, error in zip(runs, errors, strict=True)
        if run.execution_id is None
        and run.requested_at is not None
        and not isinstance(error, TriggerOutcomeUnknown | None)
    ]


def left_running(runs: Sequence[Execution], idle: Sequence[Execution] = ()) -> RunInterrupted:
    """Return the error for an interrupt while runs are being started or waited for.

    Parameters
    ----------
    runs : sequence of Execution
        The runs; one without an id whose start was requested may have started.
    idle : sequence of Execution
        Those of them that were not started.
    """
    going = [run for run in runs if run.execution_id is not None and not run.finished]
    nameless = [run for run in runs if run.execution_id is None and run.requested_at is not None]
    unknown = [run for run in nameless if run not in idle]
    if idle and not going and not unknown:
        return nothing_changed()
    hints = []
    if going:
        named = _named(going)
        hints.append(f"to wait again: %domo_wait {named}; to cancel: %domo_cancel {named}{_more(going)}")
    if unknown:
        hints.append(f"may have started, to look: %domo_runs {_named(unknown)}{_more(unknown)}")
    if idle:
        hints.append(f"not started: {_named(idle)}{_more(idle)}")
    if not going and not unknown:
        hints.append("what was started here: %domo_runs; to wait for it: %domo_wait")
    return RunInterrupted("interrupted; runs already started continue in Domo", "; ".join(hints))


def _more(runs: Sequence[Execution]) -> str:
    return f" (and {len(runs) - _NAMED:,} more: .rows has all)" if len(runs) > _NAMED else ""


def _named(runs: Sequence[Execution]) -> str:
    return " ".join(run.run for run in runs[:_NAMED])

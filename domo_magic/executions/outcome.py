"""Waiting for runs: lines that move, an end or an error for each, and what an interrupt leaves."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from domo_magic.display.output import screen
from domo_magic.display.progress import verdicts
from domo_magic.errors import DomoError, RunFailed, RunInterrupted, RunTimeout
from domo_magic.executions.background import background
from domo_magic.executions.follower import Follower
from domo_magic.executions.reconcile import settle
from domo_magic.executions.resolve import newest_run, targets_of
from domo_magic.model.concurrency import THREADS, each
from domo_magic.model.execution import Execution, errors_of, state_of
from domo_magic.model.formatting import duration_text
from domo_magic.model.frame import frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

    from domo_magic.display.progress import Board
    from domo_magic.executions.session import Session
    from domo_magic.executions.targets import Target

OnFailure = Literal["raise", "return"]
_DAY = 86_400.0
#: Runs that a message names.
_NAMED = 20


def follow(
    session: Session,
    runs: Sequence[Execution],
    errors: Sequence[DomoError | None],
    board: Board,
    patience: float | None,
    on_failure: OnFailure,
    **hints: bool,
) -> pd.DataFrame:
    """Wait for the runs that are unfinished, and return or raise; hints are for `Follower.add`."""
    latest = {(run.stream_id, run.execution_id): run for run in runs}
    behind = background(session)

    def seen(run: Execution) -> None:
        latest[run.stream_id, run.execution_id] = run
        behind.tell(run)
        board.seen(run)

    def now_known() -> list[Execution]:
        return [latest[run.stream_id, run.execution_id] for run in runs]

    follower = Follower(session, seen, board.tick, lost=board.lost)
    with interruptible(now_known, lambda: board.finish({})):
        for run, error in zip(runs, errors, strict=True):
            if run.execution_id is not None and error is None:
                follower.add(run, **hints)
        follower.follow(threading.Event(), patience)
    board.finish(verdicts(session, [run for run in board.shown() if run.execution_id is not None]))
    found = [
        error
        or follower.problems.get((run.stream_id, run.execution_id))
        or _shortcoming(run, patience, on_failure)
        for run, error in zip(now_known(), errors, strict=True)
    ]
    first = next((error for error in found if error is not None), None)
    if isinstance(first, RunFailed):
        run = now_known()[found.index(first)]
        first.hint = f"look at it in Domo: {session.page(run.stream_id)}"  # worth a request for the one shown
    return result(now_known(), found)


def _shortcoming(run: Execution, patience: float | None, on_failure: OnFailure) -> DomoError | None:
    if run.execution_id is None:
        return None
    if not run.finished:
        after = "" if patience is None else f" after {duration_text(patience)}"
        state = f": {state_of(run)}" if run.state else ""
        return RunTimeout(f"run {run.run} had not ended{after}{state}; it goes on at Domo")
    if run.succeeded or on_failure == "return":
        return None
    said = errors_of(run)
    return RunFailed(f"run {run.run} ended in {state_of(run, '?')}" + (f": {said}" if said else ""))


def result(runs: Sequence[Execution], errors: Sequence[DomoError | None]) -> pd.DataFrame:
    """Return the rows, or raise the first error, naming every stream that failed."""
    failed = [(run, error) for run, error in zip(runs, errors, strict=True) if error is not None]
    if not failed:
        return frame(runs)
    _, first = failed[0]
    if len(failed) > 1:
        others = ", ".join(f"{run.run} ({type(error).__name__})" for run, error in failed[1:])
        first.summary = f"{first.summary}; {len(failed)} of {len(runs)} failed, also {others}"
    elif len(runs) > 1:
        first.summary = f"{first.summary}; 1 of {len(runs)} failed, .rows has them all"
    if isinstance(first, RunTimeout):
        going = _named([run for run, error in failed if isinstance(error, RunTimeout)])
        first.hint = f"%domo_wait {going} waits again, %domo_cancel {going} cancels"
    raise first.about(runs)


@contextmanager
def interruptible(
    known: Callable[[], Sequence[Execution]], let_go: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Turn an interrupt into `RunInterrupted`, also where a kernel would cancel a task instead."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.default_int_handler) if main else None
    try:
        yield
    except RunInterrupted:
        raise  # said by an inner one, which knows more
    except KeyboardInterrupt:
        let_go()
        runs = known()
        raise _interrupted(runs).about(runs) from None
    finally:
        if before is not None:  # None also where a handler was not made in Python
            try:
                signal.signal(signal.SIGINT, before)
            except KeyboardInterrupt:  # one that came at the last moment is raised before anything is set
                signal.signal(signal.SIGINT, before)
                raise


def _interrupted(runs: Sequence[Execution]) -> RunInterrupted:
    going = [run for run in runs if not run.finished]
    if not going:
        return RunInterrupted(
            "interrupted; what was started goes on at Domo",
            "%domo_runs shows what was started here, %domo_wait waits for it",
        )
    named = _named(going)
    more = f" (and {len(going) - _NAMED:,} more: .rows has all)" if len(going) > _NAMED else ""
    return RunInterrupted(
        "waiting was interrupted; what was started goes on at Domo",
        f"%domo_wait {named} waits again, %domo_cancel {named} cancels{more}",
    )


def _named(runs: Sequence[Execution]) -> str:
    return " ".join(run.run for run in runs[:_NAMED])


def runs_started_here(session: Session) -> tuple[list[Execution], list[DomoError | None]]:
    """Return the unfinished runs started here in the last 24 hours, oldest first; older ones are named."""
    settle(session)
    recent: list[Execution] = []
    older: list[Execution] = []
    day_ago = session.clock.time() - _DAY
    for known in session.history.unfinished(session.instance):
        (recent if (known.requested_at or 0) / 1000 >= day_ago else older).append(known)
    if older:
        names = " ".join(known.run for known in older)
        screen().say(("unknown", f"started over 24 h ago and not waited for: %domo_wait {names}"))
    if not recent:
        screen().say(("good", "no unfinished runs that were started here in the last 24 h"))
    return list(reversed(recent)), [None] * len(recent)


def runs_named(session: Session, wanted: Sequence[Target]) -> tuple[list[Execution], list[DomoError | None]]:
    """Ask for every run that is meant; what cannot be had becomes its error."""

    def ask(key: tuple[int, int | None]) -> tuple[Execution, DomoError | None]:
        stream_id, execution_id = key
        try:
            if execution_id is not None:
                # Followed at once, in which an error does not end the wait.
                return session.joined(Execution(stream_id, execution_id)), None
            settle(session, stream_id)
            return newest_run(session, stream_id), None
        except DomoError as error:
            return session.known(Execution(stream_id, execution_id)), error

    responses = each(ask, list(dict.fromkeys(targets_of(session, wanted))), parallel=THREADS)
    once = {(run.stream_id, run.execution_id): (run, error) for run, error in responses}
    session.history.saw(session.instance, [run for run, error in once.values() if run.fields])
    return [run for run, _ in once.values()], [error for _, error in once.values()]

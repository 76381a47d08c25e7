"""What a user orders: options checked, runs started and shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domo_magic.display.output import background_screen
from domo_magic.display.progress import Board
from domo_magic.errors import DomoError, TargetError, warn
from domo_magic.executions import targets, times
from domo_magic.executions.outcome import interruptible, result
from domo_magic.executions.resolve import stream_ids
from domo_magic.executions.session import current_session
from domo_magic.executions.start import start_streams
from domo_magic.model.concurrency import THREADS
from domo_magic.model.execution import Execution
from domo_magic.model.formatting import is_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from domo_magic.executions.session import Session
    from domo_magic.executions.start import IfRunning, Outcome


@dataclass(frozen=True, slots=True)
class Order:
    """How runs are to be started; checked when it is made.

    Attributes
    ----------
    if_running, label, max_parallel
        As for `run`.
    """

    if_running: IfRunning = "start"
    label: str | None = None
    max_parallel: int = 16

    def __post_init__(self) -> None:
        one_of("if_running", self.if_running, ("start", "adopt", "error"))
        if self.label is not None and not is_text(self.label):
            raise TargetError(f"label {targets.shown(str(self.label))} is no text", "write a few words")
        parallel = self.max_parallel
        if isinstance(parallel, bool) or not isinstance(parallel, int) or not 1 <= parallel <= THREADS:
            raise TargetError(
                f"max_parallel {parallel!r} is not from 1 to {THREADS}", f"leave it out for {THREADS}"
            )


def start(
    session: Session, ids: Sequence[int], order: Order, board: Board, known: list[Execution] | None = None
) -> tuple[list[Execution], list[DomoError | None]]:
    """Start the streams and show each; return the runs and what went wrong, in the order of `ids`.

    Each run is put into `known` as it comes, before it is shown.
    """
    outcomes: dict[int, Outcome] = {}

    def arrived(outcome: Outcome) -> None:
        if known is not None:
            known.append(outcome.execution)
        outcomes[outcome.execution.stream_id] = outcome
        if outcome.adopted:
            board.adopted(outcome.execution)
        elif outcome.error is None:
            board.started(outcome.execution)

    def so_far() -> list[Execution]:
        return [_known_so_far(session, stream_id, outcomes) for stream_id in ids]

    with interruptible(so_far, lambda: board.finish({})):
        start_streams(
            session,
            ids,
            label=order.label,
            if_running=order.if_running,
            max_parallel=order.max_parallel,
            arrived=arrived,
            uncertain=board.uncertain,
        )
    for outcome in outcomes.values():
        if outcome.warning:
            warn(outcome.warning, sent=True)
    found = [outcomes[stream_id] for stream_id in ids]
    return [outcome.execution for outcome in found], [outcome.error for outcome in found]


def run_in_background(streams: Any, order: Order, instance: str | None = None) -> pd.DataFrame:
    """Start connectors as `run` does and return at once; their lines keep themselves up to date.

    Raises
    ------
    DomoError
        As for `run` without waiting.
    """
    session = current_session(instance)
    board = Board(session, background_screen(), moving=True)
    known: list[Execution] = []
    with interruptible(lambda: known, lambda: board.finish({})):
        ids = stream_ids(session, targets.understood(streams, "streams"))
        started, errors = start(session, ids, order, board, known)
        board.keep_up([run for run, error in zip(started, errors, strict=True) if error is None])
    return result(started, errors)


def _known_so_far(session: Session, stream_id: int, outcomes: dict[int, Outcome]) -> Execution:
    outcome = outcomes.get(stream_id)
    return outcome.execution if outcome else session.known(Execution(stream_id))


def patience_of(timeout: float | str | None, *, wait: bool) -> float | None:
    """Return the seconds of a timeout; None: no limit.

    Raises
    ------
    TargetError
        It is no length of time, or nothing is waited for.
    """
    if timeout is None:
        return None
    if not wait:
        raise TargetError("a timeout limits waiting, and nothing is waited for", "add --wait (wait=True)")
    return times.seconds(timeout)


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is not allowed.

    Raises
    ------
    TargetError
        Naming the values that are.
    """
    if not isinstance(value, str) or value not in allowed:
        raise TargetError(
            f"{name} {targets.shown(str(value))} is not known", f"write one of: {', '.join(allowed)}"
        )

"""Aborting runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domo_magic.errors import ApiError, DomoError, TargetError
from domo_magic.executions import recent
from domo_magic.model.concurrency import THREADS, each
from domo_magic.model.formatting import cut, duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from domo_magic.executions.session import Connection
    from domo_magic.model.execution import Execution

#: A stream's runs among which unfinished ones are looked for.
RECENT = 100


def unfinished(domo: Connection, stream_id: int, *, every: bool) -> list[Execution]:
    """Return the run of a stream that is to be aborted; its newest, ended one where none is unfinished.

    Parameters
    ----------
    domo : Connection
        The instance.
    stream_id : int
        The stream.
    every : bool
        Whether several are meant.

    Raises
    ------
    TargetError
        Several are unfinished, and not `every` one was meant: lists them; nothing was aborted.
    DomoError
        Domo does not say.
    """
    runs = recent.newest(domo, stream_id, RECENT)
    going = [domo.joined(run) for run in runs if not run.finished]
    if not going:
        return [domo.joined(run) for run in runs[:1]]
    if len(going) == 1 or every:
        return going
    now = domo.clock.time() + domo.client.skew
    listed = "\n".join(
        f"  %domo_cancel {run.run}   {run.state}{_age(run, now)}{_starter(run)}" for run in going
    )
    raise TargetError(
        f"stream {stream_id} has {len(going)} unfinished runs; none was cancelled",
        f"cancel the one that is meant, or all of them: %domo_cancel {stream_id} --all\n{listed}",
    ).about(going)


def _age(run: Execution, now: float) -> str:
    return "" if run.started_us is None else f" for {duration_text(max(0.0, now - run.started_us / 1e6))}"


def _starter(run: Execution) -> str:
    user = run.fields.get("startedBy")
    return f", started by {cut(str(user), 40)}" if user is not None else ", started by its schedule"


def abort(
    domo: Connection, runs: Sequence[Execution], ended: Callable[[Execution], None]
) -> tuple[list[Execution], list[DomoError | None]]:
    """Ask Domo to abort these runs; one that has already ended is told to `ended`, and is no error.

    Returns
    -------
    list of Execution
        Each run as it was last seen.
    list of DomoError or None
        Why it could not be aborted.
    """
    found = each(lambda run: _abort(domo, run), runs, parallel=THREADS)
    seen = [run for run, error in found if error is None]
    domo.history.saw(domo.instance, seen)
    for run in seen:
        if run.finished:
            ended(run)
    return [run for run, _ in found], [error for _, error in found]


def _abort(domo: Connection, run: Execution) -> tuple[Execution, DomoError | None]:
    try:
        run = _look(domo, run)
        if run.finished:
            return run, None
        try:
            domo.client.abort(run.stream_id, run.execution_id or 0)
        except ApiError:
            # It may have ended in the meantime, which Domo refuses to abort.
            run = _look(domo, run)
            if not run.finished:
                raise
    except DomoError as error:
        return run, error
    return run, None


def _look(domo: Connection, run: Execution) -> Execution:
    return run.seen(domo.client.execution(run.stream_id, run.execution_id or 0))

"""Aborting runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domo_magic.errors import ApiError, DomoError, TargetError
from domo_magic.executions import listing
from domo_magic.model.concurrency import THREADS, each
from domo_magic.model.execution import state_of
from domo_magic.model.formatting import cut, duration_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Execution

#: A stream's runs among which unfinished ones are looked for.
RECENT = 100


def unfinished(session: Session, stream_id: int, *, every: bool) -> list[Execution]:
    """Return the run of a stream that is to be aborted; its newest, ended one where none is unfinished.

    Parameters
    ----------
    session : Session
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
    runs = listing.newest(session, stream_id, RECENT)
    going = [session.joined(run) for run in runs if not run.finished]
    if not going:
        return [session.joined(run) for run in runs[:1]]
    if len(going) == 1 or every:
        return going
    now = session.clock.time() + session.client.skew
    listed = "\n".join(
        f"  %domo_cancel {run.run}   {state_of(run)}{_age(run, now)}{_starter(run)}" for run in going
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


def abort(session: Session, runs: Sequence[Execution]) -> tuple[list[Execution], list[DomoError | None]]:
    """Have Domo abort these runs; one that has already ended is left alone, and is no error.

    Returns
    -------
    list of Execution
        Each run as it was last seen.
    list of DomoError or None
        Why it could not be aborted.
    """
    found = each(lambda run: _abort(session, run), runs, parallel=THREADS)
    seen = [run for run, error in found if error is None]
    session.history.saw(session.instance, seen)
    session.history.cancelled(session.instance, [run for run in seen if not run.finished])
    return [run for run, _ in found], [error for _, error in found]


def _abort(session: Session, run: Execution) -> tuple[Execution, DomoError | None]:
    try:
        run = session.refreshed(run)
        if run.finished:
            return run, None
        try:
            session.client.abort_execution(run.stream_id, run.execution_id or 0)
        except ApiError:
            # It may have ended in the meantime, which Domo refuses to abort.
            run = session.refreshed(run)
            if not run.finished:
                raise
    except DomoError as error:
        return run, error
    return run, None

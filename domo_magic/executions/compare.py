"""Which runs are compared with which: fetched with as much history behind them as they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domo_magic.analysis import baseline as pure
from domo_magic.errors import DomoError, TargetError
from domo_magic.executions import listing, recent, targets
from domo_magic.executions.outcome import interruptible, result
from domo_magic.executions.resolve import targets_of
from domo_magic.executions.session import current_session
from domo_magic.http import pagination
from domo_magic.model.concurrency import THREADS, each
from domo_magic.model.execution import Execution
from domo_magic.model.frame import frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from domo_magic.executions.session import Session

# Behind the runs that are compared, at first: 20 successful ones mostly, and some that were none.
_BEHIND = 40
Key = tuple[int, int | None]


def compare_runs(runs: Any, *, limit: int, baseline: Any, instance: str | None) -> pd.DataFrame:
    """Compare as `domo_magic.compare` does.

    Raises
    ------
    TargetError, DomoError
        As there.
    """
    import numpy as np

    if targets.holds_runs(runs):
        return pure.compare_alone(runs, baseline=baseline)
    against = pure.parse_baseline(baseline)
    wanted = None if runs is None else targets.understood(runs, "runs", repeats=True)
    session = current_session(instance)
    with interruptible(list):
        named = _recorded(session) if wanted is None else targets_of(session, wanted, repeats=True)
        keys = list(dict.fromkeys(named))
        if isinstance(against, tuple):
            _refuse_another_stream(keys, against)
        reference = [against] if isinstance(against, tuple) and against not in keys else []
        responses = each(lambda key: _fetch(session, key, limit), [*keys, *reference], parallel=THREADS)
    found: dict[Key, Execution] = {}
    shown: set[Key] = set()
    for (stream_id, execution_id), response in zip([*keys, *reference], responses, strict=True):
        if isinstance(response, DomoError):
            continue
        found |= {(run.stream_id, run.execution_id): run for run in response}
        newest = listing.newest_first(response)[:limit]
        shown |= (
            {(stream_id, execution_id)}
            if execution_id
            else {(run.stream_id, run.execution_id) for run in newest}
        )
    _raise_first(session, [*keys, *reference], responses, [found[key] for key in shown if key in found])
    table = pure.compare(frame(found.values()), baseline=against)
    chosen = [
        key in shown for key in zip(table["streamId"].tolist(), table["executionId"].tolist(), strict=True)
    ]
    return table.loc[np.array(chosen, dtype=bool)].reset_index(drop=True)


def _refuse_another_stream(keys: Sequence[Key], against: Key) -> None:
    for stream_id, _ in keys:
        if stream_id != against[0]:
            raise TargetError(
                f"the baseline {against[0]}/{against[1]} is of another stream than {stream_id}",
                f"write a run of stream {stream_id}, or compare the streams one by one",
            )


def _recorded(session: Session) -> list[Key]:
    """Return every stream with a run recorded here."""
    return [(stream_id, None) for stream_id in session.history.streams_with_runs(session.instance)]


def _fetch(session: Session, key: Key, limit: int) -> list[Execution] | DomoError:
    """Return the runs of a stream, or up to one of its runs, with what lies behind them."""
    stream_id, execution_id = key

    def enough(found: Sequence[Mapping[str, Any]]) -> bool:
        runs = [Execution.from_json(record, stream_id) for record in found]
        known = [run for run in runs if execution_id is None or (run.execution_id or 0) <= execution_id]
        compared = listing.newest_first(known)[: limit if execution_id is None else 1]
        first = min((run.started_us for run in compared if run.started_us is not None), default=None)
        return first is not None and sum(_before(run, first) for run in known) >= pure.LONGEST

    try:
        if execution_id is None:
            records = pagination.back_to(session.client, stream_id, enough, limit + _BEHIND)
        else:
            wanted = session.client.get_execution(stream_id, execution_id)
            records = pagination.back_to(session.client, stream_id, enough, 1 + _BEHIND, up_to=execution_id)
        runs = [Execution.from_json(record, stream_id) for record in records]
        listed = {run.execution_id or 0 for run in runs}
        runs += recent.late(session, stream_id, listed) if execution_id is None else [wanted]
    except DomoError as error:
        return error
    return [session.known(run) for run in runs]


def _before(run: Execution, first: int) -> bool:
    """Whether a run counts for what began at `first` (epoch microseconds)."""
    return run.succeeded and run.ended_us is not None and run.ended_us < first


def _raise_first(
    session: Session,
    keys: Sequence[Key],
    responses: Sequence[list[Execution] | DomoError],
    found: Sequence[Execution],
) -> None:
    """Raise the first error, naming every stream that failed, with the runs of the others."""
    failed = [
        (session.known(Execution(*key)), response)
        for key, response in zip(keys, responses, strict=True)
        if isinstance(response, DomoError)
    ]
    if failed:
        runs = [*listing.newest_first(found), *(run for run, _ in failed)]
        result(runs, [*([None] * len(found)), *(error for _, error in failed)])

"""Which runs are compared with which: fetched with as much history behind them as they need."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from domo_magic.analysis import baseline as pure
from domo_magic.analysis import rhythm
from domo_magic.analysis.normalize import refuse_others
from domo_magic.errors import DomoError, NotFound, TargetError, attempted
from domo_magic.executions import listing, targets
from domo_magic.executions.outcome import aborted, combined, interruptible
from domo_magic.executions.resolve import targets_of
from domo_magic.executions.session import current_session
from domo_magic.http import pagination
from domo_magic.model.concurrency import THREADS, each
from domo_magic.model.execution import Execution, errors_of
from domo_magic.model.frame import frame, keys_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Key


# Read at first beside the runs that are compared and those behind them, for those that did not succeed.
_SPARE = 20
# So many of the runs that failed, the newest, are requested one by one where a list leaves out the error.
_ERRORS = 50
_NEWEST = 2**63


@dataclass(slots=True)
class _Wanted:
    """Which runs of a stream are compared, and how much lies behind them.

    Attributes
    ----------
    stream_id : int
        The stream.
    behind : int
        Successful runs to find that had ended before the first of the compared runs began.
    since_us : int
        Epoch microseconds; runs that began before are left out.
    newest : int
        How many of the newest runs; with `since_us` all since then.
    named : set of int
        Further runs, by their ids.
    optional : bool
        Whether named runs may be missing at Domo: they are known otherwise.
    reference : int or None
        The run that the others are compared with.
    """

    stream_id: int
    behind: int
    since_us: int = 0
    newest: int = 0
    named: set[int] = field(default_factory=set)
    optional: bool = False
    reference: int | None = None

    def chosen(self, runs: Sequence[Execution]) -> list[Execution]:
        """Return the runs that are compared."""
        newest = listing.newest_first(runs)[: None if self.since_us else self.newest] if self.newest else ()
        ids = {run.execution_id for run in newest} | self.named
        return [run for run in runs if run.execution_id in ids and listing.began(run) >= self.since_us]

    def enough(self, found: Sequence[Mapping[str, Any]]) -> bool:
        """Return True if the list was read back far enough."""
        runs = [Execution.from_json(record, self.stream_id) for record in found]
        oldest = min((run.execution_id or 0 for run in runs), default=0)
        if oldest > min(self.named, default=_NEWEST):
            return False
        starts = [run.started_us for run in runs if run.started_us is not None]
        if self.newest and self.since_us and min(starts, default=self.since_us) >= self.since_us:
            return False
        compared = [run.started_us for run in self.chosen(runs) if run.started_us is not None]
        first = min(compared, default=self.since_us)
        return first > 0 and sum(_before(run, first) for run in runs) >= self.behind


def _before(run: Execution, first: int) -> bool:
    """Return True if a run counts for what began at `first` (epoch microseconds)."""
    return run.succeeded and run.ended_us is not None and run.ended_us < first


def compare_runs(
    runs: Any, *, limit: int, since: object, baseline: object, instance: str | None
) -> pd.DataFrame:
    """Compare as `domo_magic.compare` does.

    Raises
    ------
    TargetError, DomoError
        As there.
    """
    against = pure.parse_baseline(baseline)
    given = runs if targets.holds_runs(runs) else None
    wanted: Sequence[targets.Target] | None = None
    if runs is not None:
        wanted = targets.understood(runs, "runs", repeats=True) if given is None else _named_in(given)
    session = current_session(instance)
    since_us = targets.since_us(since, session.clock.time())
    with interruptible():
        keys = (
            [(stream_id, None) for stream_id in session.history.streams_with_runs(session.instance)]
            if wanted is None
            else targets_of(session, wanted, repeats=True)
        )
        plans = _plans(keys, against, limit, since_us, optional=given is not None)
        # The pages of one stream come side by side; of several streams, the streams do.
        fetch = attempted(partial(_fetch, session))
        responses = [fetch(plans[0])] if len(plans) == 1 else each(fetch, plans, parallel=THREADS)
        found = [run for response in responses if not isinstance(response, DomoError) for run in response]
        shown = [
            run
            for plan, response in zip(plans, responses, strict=True)
            if not isinstance(response, DomoError)
            for run in plan.chosen(response)
        ]
        _raise_first(session, plans, responses, shown)
        chosen = {run.key for run in shown}
        if isinstance(against, tuple) and len(set(keys)) == 1 and keys[0][1] is not None:
            chosen.add(against)  # a run and its baseline: these two
        return _compared(session, found, chosen, given, against, since_us)


def _named_in(given: pd.DataFrame) -> list[targets.Target]:
    """Return the runs of a frame; rows without an execution (a start whose fate is open) name none."""
    if not {"streamId", "executionId"} <= set(given.columns):
        refuse_others(given)
    if list(given.columns).count("executionId") == 1:
        given = given[given["executionId"].notna()]
    return list(targets.each(given, "runs"))


def _plans(
    keys: Iterable[Key], against: pure.Baseline, limit: int, since_us: int, *, optional: bool
) -> list[_Wanted]:
    """Return what is wanted of each stream, in the order in which they are named."""
    behind = 0 if isinstance(against, tuple) else 1 if against == "previous" else rhythm.RHYTHM_RUNS
    plans: dict[int, _Wanted] = {}
    for stream_id, execution_id in keys:
        plan = plans.setdefault(stream_id, _Wanted(stream_id, behind, since_us, optional=optional))
        if execution_id is None:
            plan.newest = limit
        else:
            plan.named.add(execution_id)
        if isinstance(against, tuple):
            _refuse_another_stream(stream_id, against)
            plan.reference = against[1]
    return list(plans.values())


def _refuse_another_stream(stream_id: int, against: tuple[int, int]) -> None:
    if stream_id != against[0]:
        raise TargetError(
            f"the baseline {against[0]}/{against[1]} is of another stream than {stream_id}",
            f"write a run of stream {stream_id}, or compare the streams one by one",
        )


def _fetch(session: Session, wanted: _Wanted) -> list[Execution]:
    """Return the runs of a stream that are compared, and those behind them."""
    found: dict[int | None, Execution] = {}
    if not wanted.newest:  # the last of these, which may not be there; else the list begins with it
        found = _requested(session, wanted, [max(wanted.named)])
    up_to = max(wanted.named) if found else None
    if wanted.newest or wanted.behind or len(wanted.named) > 1:
        found = {run.execution_id: run for run in _listed(session, wanted, up_to)} | found
    missing = wanted.named - found.keys()
    if wanted.reference is not None and wanted.reference not in found:
        missing.add(wanted.reference)
    found |= _requested(session, wanted, sorted(missing))
    found |= _with_errors(session, wanted.chosen(list(found.values())))
    here = session.history.cancelled_here(session.instance, wanted.stream_id)
    return [session.known(aborted(run) if run.execution_id in here else run) for run in found.values()]


def _listed(session: Session, wanted: _Wanted, up_to: int | None) -> list[Execution]:
    spread = max(wanted.named) - min(wanted.named) + 1 if wanted.named else 0
    count = max(wanted.newest, spread) + wanted.behind + _SPARE
    records = pagination.back_to(session.client, wanted.stream_id, wanted.enough, count, up_to=up_to)
    runs = [Execution.from_json(record, wanted.stream_id) for record in records]
    if wanted.newest:
        runs += listing.late(session, wanted.stream_id, {run.execution_id or 0 for run in runs})
    return runs


def _requested(session: Session, wanted: _Wanted, ids: Sequence[int]) -> dict[int | None, Execution]:
    """Return these runs, requested one by one, with everything that Domo knows of them."""

    def request(execution_id: int) -> Execution | None:
        try:
            return session.client.get_execution(wanted.stream_id, execution_id)
        except NotFound:
            if wanted.optional and execution_id != wanted.reference:
                return None
            raise

    runs = each(request, ids, parallel=THREADS)
    return {run.execution_id: run for run in runs if run is not None}


def _with_errors(session: Session, runs: Sequence[Execution]) -> dict[int | None, Execution]:
    """Return the runs that failed with their errors, which a list may leave out."""

    def request(run: Execution) -> Execution:
        try:
            return session.refreshed(run, repeat=False)
        except DomoError:
            return run

    failed = [
        run
        for run in listing.newest_first(runs)
        if run.finished and not run.succeeded and not run.fields.get("cancelledBy") and not errors_of(run)
    ]
    return {run.execution_id: run for run in each(request, failed[:_ERRORS], parallel=THREADS)}


def _compared(
    session: Session,
    found: Sequence[Execution],
    chosen: set[Key],
    given: pd.DataFrame | None,
    against: pure.Baseline,
    since_us: int,
) -> pd.DataFrame:
    """Return the comparison of the chosen runs, and of those that only the frame given knows."""
    import numpy as np
    import pandas as pd

    table = frame(found)
    if given is not None:
        known = {run.key for run in found}
        others = np.array([key not in known for key in keys_of(given)], dtype=bool)  # a mask, also if empty
        if others.any() or not known:
            table = pd.concat([table, given[others].assign(instance=session.instance)])
            chosen = chosen | set(keys_of(given[others]))
    compared = pure.compare(table, baseline=against)
    began = compared["startedAt"]
    shown = [key in chosen for key in keys_of(compared)]
    return compared[
        pd.Series(shown, dtype=bool) & (began.isna() | (began >= pd.Timestamp(since_us, unit="us", tz="UTC")))
    ].reset_index(drop=True)


def _raise_first(
    session: Session,
    plans: Sequence[_Wanted],
    responses: Sequence[list[Execution] | DomoError],
    shown: Sequence[Execution],
) -> None:
    """Raise the first error, naming every stream that failed, with the runs of the others."""
    named = [
        session.known(Execution(plan.stream_id, next(iter(plan.named)) if len(plan.named) == 1 else None))
        for plan in plans
    ]
    errors = [response if isinstance(response, DomoError) else None for response in responses]
    if (error := combined(named, errors)) is not None:
        failed = [run for run, of_plan in zip(named, errors, strict=True) if of_plan is not None]
        raise error.about([*listing.newest_first(shown), *failed])

"""What the panel's buttons do, each on a thread of its own: the same use cases that the magics have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domo_magic.analysis.sentences import sentence
from domo_magic.errors import ApiError, DomoError, TargetError
from domo_magic.executions import listing, targets
from domo_magic.executions.cancel import abort
from domo_magic.executions.outcome import Judgement, compared_with_past, result
from domo_magic.executions.resolve import stream_ids
from domo_magic.executions.start import start_streams
from domo_magic.model.concurrency import each
from domo_magic.model.execution import errors_of
from domo_magic.model.shown import stands_out
from domo_magic.widget.state import Confirmation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Execution, Key
    from domo_magic.widget.state import PanelState

#: Runs of each stream, as `%domo_runs` has them.
LISTED = 100
_FOUND = 50
# Loading leaves most of the threads to what a user clicks.
_SIDE_BY_SIDE = 4
_ENOUGH = 20


def is_name(text: str) -> bool:
    """Whether a text is part of a DataSet's name, not ids or an address.

    Examples
    --------
    >>> [is_name(text) for text in ("25775, 25776", "sales", "25775/2")]
    [False, True, False]
    """
    try:
        targets.parse(text)
    except TargetError:
        return "://" not in text and any(word[0].isalpha() for word in text.split())
    return False


def named_runs(state: PanelState, text: str) -> list[Key]:
    """Return the runs that a text names, as ``25775/2 25775/1`` does; none where it names anything else.

    A run that is not in the table is requested and added.

    Raises
    ------
    DomoError
        Domo does not have one of them, or does not say.
    """
    try:
        wanted = targets.parse(text, "runs")
    except TargetError:
        return []
    keys: list[Key] = [(target.stream_id or 0, target.execution_id) for target in wanted]
    if not all(stream and execution for stream, execution in keys):
        return []
    session = state.connected()
    known = {run.key for run in state.named(keys)}
    missing = [key for key in keys if key not in known]
    state.follow([session.joined(session.client.get_execution(stream, run or 0)) for stream, run in missing])
    return keys


def load(state: PanelState) -> None:
    """Fetch the runs of the panel's streams, or those recorded here, and compare them.

    Raises
    ------
    DomoError
        Some of it cannot be had; what can be is shown.
    """
    problem = _loaded(state)
    state.met(problem)
    if state.stale:
        judge(state)
    if problem is not None:
        raise problem


def look_again(state: PanelState) -> None:
    """Fetch the runs once more; where that fails, the line tells why they are as old as they are."""
    try:
        load(state)
    except DomoError:
        if state.as_of is None:  # nothing is there yet, which looks like a Domo without runs
            raise


def _loaded(state: PanelState) -> DomoError | None:
    """Show the runs of the panel's streams, or those recorded here; return what went wrong first."""
    session = state.connected()
    try:
        ids = stream_ids(session, state.targets) if state.targets else []
    except DomoError as error:
        return error
    began = session.clock.time()
    shown: set[Key] = set()

    def fetch(stream_id: int | None) -> DomoError | None:
        problems: list[DomoError] = []
        unnamed = None if stream_id is None else _describe(session, stream_id)
        try:
            take(_listed(session, stream_id, problems))
        except DomoError as error:
            take(error.executions)  # those recorded here
            problems.append(error)
        if not problems:
            state.as_of = began
            return unnamed if isinstance(unnamed, ApiError) else None
        return problems[0]

    def take(runs: Sequence[Execution]) -> None:
        shown.update(run.key for run in runs)
        state.listed(runs)

    problems = each(fetch, ids or [None], parallel=_SIDE_BY_SIDE)
    # What is too old for a list, and not polled because it looks stuck, is requested by itself.
    recorded = session.history.runs(session.instance, ids, finished=False)
    older = {run.key: run for run in state.unfollowed([*recorded, *state.runs()])}
    take(listing.looked_at(session, [run for key, run in older.items() if key not in shown]))
    return next((problem for problem in problems if problem is not None), None)


def _listed(session: Session, stream_id: int | None, problems: list[DomoError]) -> list[Execution]:
    """Return the runs of a stream, or (None) those recorded here; problems take what was missed."""

    def missed(_text: str, error: DomoError) -> None:
        problems.append(error)

    wanted = listing.Wanted(limit=LISTED)
    if stream_id is None:
        runs = listing.recorded(session, wanted, refresh=True, missed=missed)
        if not problems:
            try:
                # Maybe nothing was requested yet: a wrong token is told apart from a Domo without runs.
                session.client.datasets_page("", 1, 0)
            except DomoError as error:
                problems.append(error)
        return runs
    found = listing.of_stream(session, stream_id, wanted, refresh=True, missed=missed)
    runs = listing.newest_first(found)[:LISTED]
    session.learned(stream_id, runs)
    return runs


def _describe(session: Session, stream_id: int) -> DomoError | None:
    """Look a stream's name up, where nothing here knows it; return what went wrong."""
    known = session.name(stream_id) is not None or session.transport(stream_id)
    return None if known else session.describe(stream_id)


def show(state: PanelState, text: str) -> None:
    """Show the runs of the streams that a text names; nothing is started.

    Raises
    ------
    DomoError
        As `session.runs`.
    """
    state.targets = targets.parse(text) if text.strip() else ()
    state.found = None
    if state.targets:
        state.show_only(stream_ids(state.connected(), state.targets))
    load(state)


def count(text: str) -> int:
    """Return how many connectors a text names; 0 where it names anything else."""
    try:
        return len(targets.parse(text))
    except TargetError:
        return 0


def start_or_confirm(state: PanelState, text: str, label: str) -> None:
    """Start the one connector that the field names; several are started when that is confirmed.

    Raises
    ------
    DomoError
        As `start`.
    """
    if (several := count(text)) > 1:
        says = f"Start {several} connectors"
        why = f"press {says} to start all of them"
        state.confirmation = Confirmation("run", says, why, lambda: start(state, text, label))
    else:
        start(state, text, label)


def start(state: PanelState, text: str, label: str) -> None:
    """Start what the field says: one POST per stream, before it nothing for a stream's id.

    Raises
    ------
    DomoError
        As `session.run` without waiting; `state.last` has every row.
    """
    session = state.connected()
    try:
        wanted = targets.parse(text)
    except TargetError as error:
        if is_name(text):
            error.hint = "to search for it by name press Enter in the field; to run it, choose one it finds"
        raise
    ids = stream_ids(session, wanted)
    outcomes = start_streams(
        session,
        ids,
        label=label.strip() or None,
        uncertain=lambda stream, why: state.say(f"{stream}: looking whether it started: {why}"),
    )
    state.last = [outcome.execution for outcome in outcomes]
    state.found = None
    state.note = "; ".join(outcome.warning for outcome in outcomes if outcome.warning)
    state.follow([outcome.execution for outcome in outcomes if outcome.error is None])
    errors = [outcome.error for outcome in outcomes]
    if any(errors):
        result(state.last, errors)


def cancel_or_confirm(state: PanelState) -> None:
    """Abort the chosen run, or, where none is chosen, the one started last; several when confirmed.

    What is neither chosen nor started by this panel is never touched.

    Raises
    ------
    DomoError
        As `cancel`.
    """
    meant = state.selected or [run.key for run in state.last]
    going = [run for run in state.named(meant) if not run.finished and run.execution_id]
    names = ", ".join(run.run for run in going)
    if not going:
        why = "the chosen runs have already ended" if state.selected else "no run was chosen or started here"
        state.note = f"nothing was cancelled: {why}; choose the one that is meant"
    elif len(going) > 1:
        says = f"Cancel {len(going)} runs"
        why = f"press {says} to abort {names}"
        state.confirmation = Confirmation("cancel", says, why, lambda: cancel(state, going))
    else:
        cancel(state, going)


def cancel(state: PanelState, going: Sequence[Execution]) -> None:
    """Abort runs.

    Raises
    ------
    DomoError
        As `session.cancel`.
    """
    session = state.connected()
    seen, errors = abort(session, going)
    over = [
        f"{run.run} had already ended"
        for run, error in zip(seen, errors, strict=True)
        if error is None and run.finished
    ]
    state.follow([run for run, error in zip(seen, errors, strict=True) if error is None], aborted=True)
    state.note = "; ".join(over)
    if problem := next(filter(None, errors), None):
        raise problem.about(seen)


def search(state: PanelState, text: str) -> None:
    """Find streams by name.

    Raises
    ------
    DomoError
        Domo does not say.
    """
    columns, more = listing.streams(state.connected(), text.strip(), _FOUND)
    rows = zip(columns["streamId"], columns["name"], columns["provider"], strict=True)
    state.found = [
        (int(str(stream)), " · ".join(str(word) for word in (stream, *words) if word))
        for stream, *words in rows
    ]
    if len(state.found) == 1:
        state.note = "found one: press Run to start it, Enter to see its runs"
    if more:
        state.note = f"the first {_FOUND}; a longer part of the name finds fewer"
    if not state.found:
        state.note = f"no connector's DataSet has {targets.shown(text.strip())} in its name"


def sandbox(state: PanelState) -> None:
    """Connect to a Domo of its own, as ``%domo_connect --sandbox`` does, and show what is there."""
    from domo_magic import api

    if state.session is None:
        api.connect(sandbox=True)
    load(state)


def judge(state: PanelState) -> None:
    """Compare every run with what is usual, from what was fetched."""
    session = state.session
    state.stale = False  # first: what changes from here on is compared once more
    runs = [run for run in state.runs() if run.execution_id is not None]
    if session is not None and runs:
        state.judge(judgements(session, runs))


def learn(state: PanelState) -> None:
    """Fetch the name and the past of streams of which too little is known here, then compare."""
    session = state.connected()
    runs = state.runs()
    for stream_id in {run.stream_id for run in runs}:
        _describe(session, stream_id)
        if sum(run.succeeded for run in runs if run.stream_id == stream_id) < _ENOUGH:
            session.learn(stream_id)
    judge(state)


def judgements(session: Session, runs: Sequence[Execution]) -> dict[Key, Judgement]:
    """Return the verdict of every run, with a sentence where there is something to tell."""
    by_key = {run.key: run for run in runs}
    found: dict[Key, Judgement] = {}
    for row in compared_with_past(session, runs).itertuples():
        key = (int(row.streamId), int(row.executionId))
        if key in by_key:
            says = sentence(row) if stands_out(row.verdict) else ""
            says = errors_of(by_key[key]) if row.verdict == "failed" else says
            found[key] = Judgement(row.verdict, says)
    return found

"""The public functions, for the magics, the panel and Python: arguments checked, one use case, its frame."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex, get_args

from domo_magic.analysis import accessor
from domo_magic.display.output import background_screen, screen
from domo_magic.display.progress import Board, Collecting
from domo_magic.errors import ConfigurationError, RunInterrupted, TargetError, Warn, warn
from domo_magic.executions import listing, targets
from domo_magic.executions.cancel import abort, unfinished
from domo_magic.executions.compare import compare_runs
from domo_magic.executions.outcome import (
    OnFailure,
    Waiting,
    follow,
    interruptible,
    left_aborting,
    left_running,
    nothing_changed,
    refused,
    result,
)
from domo_magic.executions.resolve import (
    runs_in_time,
    runs_started_here,
    stream_ids,
    targets_of,
    unfinished_here,
)
from domo_magic.executions.session import current_session, open_session, use_session
from domo_magic.executions.start import IfRunning, Unless, start_streams
from domo_magic.fleet import collect as fleet
from domo_magic.fleet import overview as glance
from domo_magic.fleet.compare import compare_dataset
from domo_magic.fleet.dataset import Dataset
from domo_magic.http.address import address
from domo_magic.http.credentials import Login, Token, resolve
from domo_magic.model.concurrency import THREADS
from domo_magic.model.execution import CONNECTOR, Execution, state_of
from domo_magic.model.formatting import are_shown, count_text, is_text
from domo_magic.model.frame import frame, typed
from domo_magic.model.shown import shown
from domo_magic.model.timeouts import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor
    from datetime import datetime

    import pandas as pd

    from domo_magic.analysis.baseline import Baseline
    from domo_magic.errors import DomoError
    from domo_magic.executions.session import Session
    from domo_magic.executions.start import Outcome

_MOST_ROWS = 10**9
# So many runs of each stream are drawn; where the rows of a comparison or an overview are, so many.
_PLOTTED, _PLOTTED_OF_ROWS = 100, 50

# Words that are taken for states, and are verdicts; and which state comes nearest.
_VERDICTS = {
    **dict.fromkeys(("stuck", "slow", "usual", "unusual", "overdue", "recovered"), ""),
    "failed": "the state is ERROR; ",
    "running": "the state is ACTIVE; ",
}
_RECORDED = (
    "listing what was recorded here; to list what Domo has, name streams: %domo_runs 25775 --state ERROR, "
    "or all of them: o = %domo_overview, then %domo_runs o --state ERROR"
)

accessor.register()


def connect(instance: str | None = None, token: str | None = None, *, sandbox: bool = False) -> None:
    """Choose the Domo for what follows.

    Parameters
    ----------
    instance : str, optional
        ``mycompany``, ``mycompany.domo.com`` or a full ``https://`` address; by default what the
        environment says (``DOMO_INSTANCE``, ``DOMO_HOST``).
    token : str, optional
        A developer token; by default from the environment or the system's keyring.
    sandbox : bool
        Start a Domo of its own on this machine, and use that.

    Raises
    ------
    ConfigurationError
        No instance or token is known, or the instance is not safe to send a token to.

    Examples
    --------
    >>> connect(sandbox=True)
    """
    token = Token(token) if isinstance(token, str) else token  # no frame of ours shows it
    _flag("sandbox", sandbox)
    if sandbox:
        if instance is not None or token is not None:
            raise TargetError("the sandbox brings its own address and token", "leave them out")
        use(_sandbox(), sandbox=True)
        return
    use(resolve(instance, token))


def use(login: Login, *, sandbox: bool = False) -> None:
    """Make a login the one that what follows goes to, and say so."""
    use_session(open_session(login, sandbox=sandbox))
    host = login.address.host
    said = f"using {host}, token from {login.source}, not tried yet"
    if sandbox:
        said = f"using a sandbox Domo at {host}; its streams: %domo_streams"
    screen().say(("running", said))


def _sandbox() -> Login:
    """Start a Domo of its own; it ends with the interpreter."""
    from domo_magic.sandbox import Sandbox

    own = Sandbox().start()
    return Login(address(own.url), Token(own.token), "the sandbox")


def run(
    streams: Any,
    *,
    wait: bool = False,
    timeout: float | str | None = None,
    if_running: IfRunning = "start",
    fresh: float | str | None = None,
    label: str | None = None,
    on_failure: OnFailure = "raise",
    on_unusual: OnFailure = "return",
    max_parallel: int = 16,
    instance: str | None = None,
) -> pd.DataFrame:
    """Start connectors: one POST per stream, never sent twice.

    Parameters
    ----------
    streams : int, str, list, Series, DataFrame, ...
        Stream ids, DataSet ids or addresses of DataSets' pages; of a frame its ``streamId``, each once.
    wait : bool
        Stay until every run has ended.
    timeout : float or str, optional
        The longest wait: seconds, or ``"10m"``; only with `wait`.
    if_running : {"start", "adopt", "error"}
        What to do where a stream has an unfinished run: start another one, adopt it, or refuse. With
        ``"start"`` nothing is requested before the POST.
    fresh : float or str, optional
        ``"12h"``: a stream whose newest successful run ended within that time is not started, that run is
        returned; one that is running is adopted, unless `if_running` is ``"error"``.
    label : str, optional
        A name for these runs, kept in the history.
    on_failure : {"raise", "return"}
        Whether a run that ends in anything but SUCCESS raises `RunFailed`.
    on_unusual : {"return", "raise"}
        Whether a run that succeeded, but is not ``usual``, raises `RunUnusual`; only with `wait`.
    max_parallel : int
        Starts under way at the same time, 1 to 16.
    instance : str, optional
        Another instance than the one last connected.

    Returns
    -------
    pandas.DataFrame
        One row per stream, in the order given, in the 35 columns of every frame of runs.

    Raises
    ------
    TargetError
        A target or an option cannot be understood; nothing was started.
    ConfigurationError
        No Domo is known.
    TriggerOutcomeUnknown
        The run may have started.
    AlreadyRunning, ApiError, ConnectionFailed
        It was not started.
    RunFailed, RunUnusual, RunTimeout, InvalidResponse
        While waiting.
    RunInterrupted
        The user interrupted; the runs go on.

    See Also
    --------
    wait : Wait for runs that were started before.
    compare : Compare the run with the others of its stream.

    Notes
    -----
    The start is on the disk before its request leaves. Where the response to it is lost, the stream's runs
    are looked through for up to 20 s, and the run that was started is adopted; nothing is sent again unless
    it is certain that the first request started nothing.

    Examples
    --------
    >>> run(25775, wait=True)
    Run        Name          State      Started       Duration     Rows  Error
    25775/201  Sales Orders  ✓ SUCCESS  ...
    1 run · 35 columns; all of them: run.T
    """
    return run_unless(
        streams,
        unless(if_running, fresh),
        wait=wait,
        timeout=timeout,
        label=label,
        on_failure=on_failure,
        on_unusual=on_unusual,
        max_parallel=max_parallel,
        instance=instance,
    )


def unless(if_running: IfRunning, fresh: object, *, written: bool = False) -> Unless:
    """Return when a run that is there already takes the place of a new one.

    Parameters
    ----------
    if_running, fresh
        As for `run`.
    written : bool
        True: the user wrote `if_running`, so that ``"start"`` starts beside an unfinished run, with
        `fresh`, too.

    Raises
    ------
    TargetError
        One of them is not valid.
    """
    _one_of("if_running", if_running, get_args(IfRunning))
    if fresh is None:
        return Unless(if_running)
    adopts = if_running == "start" and not written
    return Unless("adopt" if adopts else if_running, targets.seconds(fresh, "fresh"))


def run_unless(
    streams: Any,
    unless: Unless,
    *,
    wait: bool = False,
    background: bool = False,
    timeout: float | str | None = None,
    label: str | None = None,
    on_failure: OnFailure = "raise",
    on_unusual: OnFailure = "return",
    max_parallel: int = 16,
    instance: str | None = None,
) -> pd.DataFrame:
    """Start connectors as `run` does.

    Parameters
    ----------
    unless : Unless
        When a run that is there already takes the place of a new one.
    background : bool
        Return at once; the lines keep themselves up to date until the runs have ended.
    streams, wait, timeout, label, on_failure, on_unusual, max_parallel, instance
        As for `run`.
    """
    _flag("wait", wait)
    waiting = _waiting(_timeout(timeout, wait=wait), on_failure, on_unusual)
    if on_unusual == "raise" and not wait:
        raise TargetError("on_unusual has no effect without --wait (wait=True)", "wait for the run")
    label = _text("label", label)
    parallel = _parallel(max_parallel)
    wanted = targets.understood(streams, "streams")
    session = current_session(instance)
    board = Board(session, background_screen() if background else screen(), moving=wait or background)
    known: list[Execution] = []
    _refuse_usual(streams)
    with interruptible(
        lambda: known, board.let_go, lambda runs: left_running(runs) if runs else nothing_changed()
    ):
        if targets.holds_runs(streams) and len(streams) > len(wanted):
            names = f"{len(streams):,} runs of {count_text(len(wanted), 'streams')}"
            board.say("running", f"{names}: each is started once")
        ids = stream_ids(session, wanted)
        _refuse_uploads(session, ids)
        started, errors = _start(session, ids, unless, label, parallel, board, known)
        if wait:
            return follow(session, started, errors, board, waiting)
        if background:
            going = [run for run, error in zip(started, errors, strict=True) if error is None]
            session.poller.watch([run for run in going if run.execution_id is not None], board)
        return result(started, errors)


def _start(
    session: Session,
    ids: Sequence[int],
    unless: Unless,
    label: str | None,
    parallel: int,
    board: Board,
    known: list[Execution],
) -> tuple[list[Execution], list[DomoError | None]]:
    """Start the streams and show each; each run is put into `known` as it comes, before it is shown."""
    outcomes: dict[int, Outcome] = {}
    began_ms = int(session.clock.time() * 1000)
    earlier = {run.stream_id: run for run in reversed(unfinished_here(session))}

    def arrived(outcome: Outcome) -> None:
        known.append(outcome.execution)
        outcomes[outcome.execution.stream_id] = outcome
        if outcome.adopted:
            board.adopted(outcome.execution)
        elif outcome.error is None:
            board.started(outcome.execution, earlier.get(outcome.execution.stream_id))

    def so_far() -> list[Execution]:
        sent = {
            run.stream_id: run
            for run in session.history.runs(session.instance, ids, finished=False)
            if (run.requested_at or 0) >= began_ms
        }
        sent |= {stream_id: outcome.execution for stream_id, outcome in outcomes.items()}
        return [sent.get(stream_id, session.known(Execution(stream_id))) for stream_id in ids]

    def left(runs: Sequence[Execution]) -> RunInterrupted:
        errors = [outcomes[stream_id].error if stream_id in outcomes else None for stream_id in ids]
        not_sent = [run for run in runs if run.execution_id is None and run.requested_at is None]
        return left_running(runs, [*refused(runs, errors), *not_sent])

    with interruptible(so_far, board.let_go, left):
        start_streams(
            session,
            ids,
            label=label,
            unless=unless,
            max_parallel=parallel,
            arrived=arrived,
            uncertain=board.uncertain,
        )
    for outcome in outcomes.values():
        if outcome.warning:
            warn(outcome.warning, sent=True)
    found = [outcomes[stream_id] for stream_id in ids]
    return [outcome.execution for outcome in found], [outcome.error for outcome in found]


def _refuse_usual(rows: Any) -> None:
    """Refuse an overview in which connectors are usual: one letter more would have named a part of it."""
    if not targets.holds_runs(rows) or not {"verdict", "scheduleState"} <= set(rows.columns):
        return
    if usual := int((rows["verdict"] == "usual").sum()):
        raise TargetError(
            f"{usual:,} of these {len(rows):,} connectors are usual; nothing was started",
            'choose what is to run: failed = o[o.verdict == "failed"]; for all: ids = o.streamId',
        )


def _refuse_uploads(session: Session, ids: Sequence[int]) -> None:
    """Refuse streams that are known to be no connectors: their starts would never end.

    Source: for UPLOAD, API and WEBFORM streams POST executions opens an upload session (four clients).
    """
    for stream_id in ids:
        if (transport := session.transport(stream_id)) and transport != CONNECTOR:
            raise TargetError(
                f"stream {stream_id} is fed by {transport}, not by a connector; nothing was started",
                "to find one that a connector feeds: %domo_streams PART_OF_ITS_NAME",
            )


def wait(
    runs: Any = None,
    *,
    timeout: float | str | None = None,
    on_failure: OnFailure = "raise",
    on_unusual: OnFailure = "return",
    instance: str | None = None,
) -> pd.DataFrame:
    """Wait until runs have ended.

    Parameters
    ----------
    runs : str, int, list, DataFrame, ..., optional
        Runs (``"25775/2"``); a stream means its newest run. By default the unfinished runs started here
        in the last 24 hours on this instance; older ones are named and not waited for.
    timeout : float or str, optional
        The longest wait: seconds, or ``"10m"``. By default there is none, and an outage ends nothing.
    on_failure : {"raise", "return"}
        Whether a run that ended in anything but SUCCESS raises `RunFailed`.
    on_unusual : {"return", "raise"}
        Whether a run that succeeded, but is not ``usual``, raises `RunUnusual`.
    instance : str, optional
        Another instance than the one last connected.

    Returns
    -------
    pandas.DataFrame
        One row per run, in the order given, in the 35 columns; no rows where nothing was to be waited for.

    Raises
    ------
    TargetError, ConfigurationError, ConnectionFailed, ApiError, InvalidResponse
        Before waiting; or Domo refuses to tell about a run.
    RunFailed, RunUnusual, RunTimeout
        The first in the order given, naming every run that failed.
    RunInterrupted
        The user interrupted; the runs go on.

    See Also
    --------
    run : Start connectors.
    cancel : Abort runs.

    Examples
    --------
    >>> wait("25775/2", timeout="2h")["currentState"].item()
    'SUCCESS'
    """
    waiting = _waiting(_timeout(timeout, wait=True), on_failure, on_unusual)
    wanted = None if runs is None else targets.understood(runs, "runs")
    session = current_session(instance)
    board = Board(session, screen(), moving=True)
    known: list[Execution] = []
    began = session.clock.monotonic()
    with interruptible(lambda: known, board.let_go, left_running):
        found, errors = (
            runs_started_here(session, board, waiting.timeout)
            if wanted is None
            else runs_in_time(session, wanted, waiting.timeout)
        )
        known += found
        for each_run, error in zip(found, errors, strict=True):
            if error is None:
                board.waited_for(each_run)
        waiting = replace(waiting, spent=session.clock.monotonic() - began)
        return follow(session, found, errors, board, waiting, stale=wanted is None)


def cancel(runs: Any, *, all: bool = False, instance: str | None = None) -> pd.DataFrame:  # noqa: A002
    """Abort runs, and follow them until Domo says that they have ended.

    Parameters
    ----------
    runs : str, int, list, DataFrame, ...
        Runs (``"25775/2"``), or streams with one unfinished run.
    all : bool
        All unfinished runs of the streams, stuck ones too, and of the streams of the runs.
    instance : str, optional
        Another instance than the one last connected.

    Returns
    -------
    pandas.DataFrame
        One row per run. A run that had already ended is said, and no error.

    Raises
    ------
    TargetError
        A stream has several unfinished runs and `all` is not set: lists them; nothing was aborted.
    ApiError, ConnectionFailed, InvalidResponse
        A run could not be aborted.
    RunTimeout
        Domo accepted the abort, but after two minutes the run had not ended.
    RunInterrupted
        The user interrupted.

    See Also
    --------
    wait : Wait for runs.

    Examples
    --------
    >>> cancel("25775/2")["currentState"].item()  # it had ended before
    'SUCCESS'
    """
    _flag("all", all)
    wanted = targets.understood(runs, "runs")
    session = current_session(instance)
    board = Board(session, screen(), moving=True, aborting=True)
    told: list[Execution] = []
    with interruptible(lambda: told, board.let_go, left_aborting):
        meant: dict[tuple[int, int | None], Execution] = {}
        for stream_id, execution_id in targets_of(session, wanted):
            of_target = (
                unfinished(session, stream_id, every=all)
                if execution_id is None or all
                else [session.joined(Execution(stream_id, execution_id))]
            )
            meant |= {(run.stream_id, run.execution_id): run for run in of_target}
            if not of_target:
                board.say("good", f"stream {stream_id} has never run; nothing was cancelled")
        told += meant.values()
        seen, errors = abort(session, told)
        told[:] = seen
        going = [run for run, error in zip(seen, errors, strict=True) if error is None and not run.finished]
        for run, error in zip(seen, errors, strict=True):
            if error is None and run.finished:
                board.say(
                    "good", f"nothing to cancel: {run.run} had already ended ({state_of(run, 'unknown')})"
                )
        for run in going:
            board.waited_for(run)
        if not going:
            return result(seen, errors)
        return follow(session, seen, errors, board, Waiting(session.timeouts.abort, "return"), aborted=True)


def runs(
    streams: Any = None,
    *,
    limit: int = 100,
    since: float | str | datetime | None = None,
    state: str | None = None,
    label: str | None = None,
    refresh: bool = True,
    instance: str | None = None,
) -> pd.DataFrame:
    """List runs, newest first.

    Parameters
    ----------
    streams : int, str, list, ..., optional
        Streams, of which Domo's own history is joined with what is recorded here. By default the runs
        recorded here, the unfinished ones among them refreshed.
    limit : int
        The most rows.
    since : float, str or datetime, optional
        Only runs that began after that: ``"7d"``, ``"12h"``, a date, or a number of seconds ago.
    state, label : str, optional
        Only runs in that state (``"ERROR"``), or with that label.
    refresh : bool
        False: no request is sent, what is recorded here is shown.
    instance : str, optional
        Another instance than the one last connected.

    Returns
    -------
    pandas.DataFrame
        One row per run, newest first. A start whose fate is open has an empty ``executionId``.

    Raises
    ------
    TargetError, ConfigurationError
        Nothing was requested.
    ApiError
        Of several streams; ``.rows`` has the runs of the others.
    ConnectionFailed
        Domo could not be reached, and nothing is recorded here.
    InvalidResponse
        Domo's response makes no sense; ``.rows`` has the runs recorded here.

    Warns
    -----
    DomoWarning
        Domo could not be reached, and what is recorded here is shown; or a state that is none of Domo's
        usual ones, or a label, left no run: names those that there are.

    Examples
    --------
    >>> runs(25775, limit=5, state="SUCCESS").shape
    (5, 35)
    """
    wanted_streams = None if streams is None else targets.understood(streams, "streams", repeats=True)
    session = current_session(instance)
    began = targets.since_us(since, session.clock.time())
    wanted = listing.Wanted(_limit(limit), began, _text("state", state), _text("label", label))
    _flag("refresh", refresh)
    warnings = Warn()
    if streams is None and wanted.state is not None:
        screen().say(("running", _RECORDED))
    with interruptible():
        ids: list[int] | None = None
        if wanted_streams is not None:
            ids = list(dict.fromkeys(stream_ids(session, wanted_streams, repeats=True)))
        found = listing.frame_of(session, ids, wanted, refresh=refresh, warn=warnings)
    if found.empty and wanted.state is not None and wanted.state.lower() in _VERDICTS:
        warnings(
            f"{wanted.state} is a verdict, not a state; {_VERDICTS[wanted.state.lower()]}"
            "to find such runs: %domo_overview, %domo_compare"
        )
    warnings.now()
    return found


def streams(text: str | None = None, *, limit: int = 50, instance: str | None = None) -> pd.DataFrame:
    """Find streams by the name of their DataSet; the names are remembered and shown with runs.

    Parameters
    ----------
    text : str, optional
        Part of the name, in any case; by default all streams.
    limit : int
        The most rows.
    instance : str, optional
        Another instance than the one last connected.

    Returns
    -------
    pandas.DataFrame
        ``streamId`` (``Int64``), ``name``, ``dataSetId``, ``provider``, ``status`` (``string``), ``rows``
        (``Int64``), ``updatedAt`` (``datetime64[us, UTC]``). DataSets that no connector feeds are left out.

    Raises
    ------
    TargetError, ConfigurationError
        Nothing was requested.
    ConnectionFailed, ApiError, InvalidResponse
        Domo does not say.

    Examples
    --------
    >>> streams("sales")[["streamId", "name"]]
       streamId                      name
    0     25775              Sales Orders
    1     25777  Salesforce Opportunities
    """
    part = _part_of_name(text)
    most = _limit(limit)
    session = current_session(instance)
    with interruptible():
        columns, more = listing.streams(session, part, most)
    if more:
        found = f"{count_text(most, 'streams')} {are_shown(most)}"
        warn(f"{found}, and there are more; to see them: --limit N")
    if part and not columns["streamId"]:
        screen().say(("good", _not_found(part)))
    return typed(columns, listing.STREAM_KINDS)


def _part_of_name(text: object) -> str:
    if text is not None and not isinstance(text, str):
        raise TargetError(
            f"the name must be text, got {targets.shown(str(text))}", "write part of the DataSet's name"
        )
    return (text or "").strip()


def _not_found(text: str) -> str:
    here = f"; the runs of stream {text}: %domo_runs {text}" if text.isdigit() else ""
    return f"no connector's DataSet has {targets.shown(text)} in its name{here}"


def compare(
    runs: Any = None,
    *,
    limit: int = 20,
    since: float | str | datetime | None = None,
    baseline: Baseline | str = "median",
    instance: str | None = None,
) -> pd.DataFrame:
    """Compare runs with what is usual for their stream.

    Parameters
    ----------
    runs : int, str, list, DataFrame, pathlib.Path, ..., optional
        Streams, of which the newest `limit` runs are compared; or runs (``"25775/2"``, a frame of runs),
        which are compared themselves. Either way with what is usual for their stream, for which as much
        of its history is fetched as that needs; ``runs.domo.compare()`` fetches nothing. By default
        every stream with a run recorded here. Of a folder that `collect` wrote, as a ``Path``, all runs
        are compared, stream by stream, and those that are not ``usual`` returned; nothing is fetched, and
        the active Dask client does it where there is one.
    limit : int
        Runs of each stream; without effect where there is a `since`, or runs or a folder are given.
    since : float, str or datetime, optional
        The runs that began after that, however many: ``"7d"``, ``"12h"``, a date, or a number of
        seconds ago.
    baseline : "median", "previous" or a run
        The median of the last up to 20 successful runs that had ended before; the newest of these; or
        one run (``"25775/1"``), which is shown beside a single run that is compared with it.
    instance : str, optional
        Another instance than the one last connected.

    Returns
    -------
    pandas.DataFrame
        One row per run, newest first, in 19 columns; see `domo_magic.analysis.baseline.compare`.

    Raises
    ------
    TargetError, ConfigurationError
        Nothing was requested.
    ConnectionFailed, ApiError, InvalidResponse
        Domo does not say; of several streams, ``.rows`` has the runs of the others.

    Examples
    --------
    >>> compare(25775, since="12h")["verdict"].unique().tolist()
    ['usual']
    """
    most = _limit(limit)
    if isinstance(runs, os.PathLike):
        began = targets.since_us(since, SystemClock().time())
        with interruptible():
            compared = compare_dataset(runs, baseline=baseline, since_us=began)
        counts = [f"{count:,} {verdict}" for verdict, count in compared["verdict"].value_counts().items()]
        screen().say(("running", " · ".join(["runs that are not usual", *(counts or ["none"])])))
        return shown(compared, "comparison")
    compared = compare_runs(runs, limit=most, since=since, baseline=baseline, instance=instance)
    if runs is None and compared.empty:
        screen().say(("running", "no run was recorded here; to compare those that Domo has, name a stream"))
    return shown(compared, "comparison")


def overview(
    text: str | None = None,
    *,
    since: float | str | datetime | None = "24h",
    limit: int = 1000,
    instance: str | None = None,
) -> pd.DataFrame:
    """Judge every connector of the instance by its newest run: one row each, worst first.

    Parameters
    ----------
    text : str, optional
        Part of the name of the DataSet, in any case; by default all connectors.
    since : float, str or datetime
        From when on runs and failures are counted: ``"24h"``, ``"7d"``, a date, or a number of seconds ago.
    limit : int
        The most rows; it cuts after judging.
    instance : str, optional
        Another instance than the one last connected.

    Returns
    -------
    pandas.DataFrame
        One row per connector: ``streamId`` (``Int64``), ``name``, ``verdict``, ``error``, ``currentState``
        (``string``), ``executionId`` (``Int64``), ``startedAt`` (``datetime64[us, UTC]``), ``duration``,
        ``durationBaseline`` (``timedelta64[us]``), ``rowsInserted`` (``Int64``), ``rowsInsertedBaseline``
        (``Float64``), ``runs``, ``failures`` (``Int64``), ``lastSuccessAt``, ``expectedAt``
        (``datetime64[us, UTC]``), ``scheduleState``, ``provider``, ``dataSetId``, ``instance``
        (``string``). ``verdict`` is that of the newest run that has ended, as of `compare`, or ``stuck``,
        ``overdue``, ``recovered`` (usual now, with failures since then), ``never ran``, ``paused``, or
        ``unknown``, where ``error`` says why Domo did not tell.

    Raises
    ------
    TargetError, ConfigurationError
        Nothing was requested.
    ConnectionFailed, ApiError, InvalidResponse
        Domo does not list its DataSets.
    RunInterrupted
        The user interrupted.

    See Also
    --------
    compare : Compare runs with what is usual for their stream.

    Examples
    --------
    >>> o = overview(since="7d")
    >>> o.loc[o.verdict == "failed", ["name", "error"]]
                           name                                              error
    0  Salesforce Opportunities  REQUEST_LIMIT_EXCEEDED: TotalRequests Limit ex...
    1           Vendor Invoices  Communications link failure: erp-db-02.example...
    2            Ledger Entries  Communications link failure: erp-db-02.example...
    >>> again = run(o[o.verdict == "failed"])
    """
    part = _part_of_name(text)
    most = _limit(limit)
    session = current_session(instance)
    began = targets.since_us(since, session.clock.time())
    with interruptible(), Collecting(screen(), session.clock) as collecting:
        rows, headline = glance.overview(session, part, began, most, collecting.progress)
        collecting.over(_not_found(part) if part and rows.empty else headline, good=glance.calm(rows))
    return shown(rows, "overview")


def collect(
    path: str | os.PathLike[str],
    streams: Any = None,
    *,
    since: float | str | datetime | None = None,
    executor: Executor | None = None,
    max_parallel: int = 16,
    instance: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Write the runs of very many streams into a folder of Parquet files; run again, only what is new.

    Parameters
    ----------
    path : str or path
        The folder, which every worker sees; it is made. Beside it stands ``path.state``.
    streams : int, str, list, Series, DataFrame, ..., optional
        Streams, of every instance, or where they name it (rows of a frame, addresses) of theirs; by default
        all connectors.
    since : float, str or datetime, optional
        Runs that began before that are left out: ``"90d"``, a date, or a number of seconds ago.
    executor : concurrent.futures.Executor, optional
        Where requests are sent; by default threads. ``dask.distributed.Client().get_executor()`` makes it
        a cluster, whose workers take the token from their own environment or keyring.
    max_parallel : int
        Requests under way at the same time to each instance, 1 to 16.
    instance : str or list of str, optional
        Another instance than the one last connected, or several.

    Returns
    -------
    pandas.DataFrame
        One row per stream: ``instance`` (``string``), ``streamId`` (``Int64``), ``name`` (``string``),
        ``fetched`` (``Int64``, the runs that are new or have ended), ``newest`` (``Int64``, the highest
        ``executionId`` known), ``error`` (``string``, why a stream could not be read). One of several
        instances that does not list its connectors is one row with its error.

    Raises
    ------
    TargetError
        An argument cannot be understood, the folder holds other files, or another process writes into it.
    ConfigurationError
        No Domo is known, pyarrow is not installed, or a worker cannot write into the folder.
    ConnectionFailed, ApiError, InvalidResponse
        The only instance does not list its connectors.
    RunInterrupted
        The user interrupted; what had been read is in the folder.

    See Also
    --------
    read_parquet : Read the folder.
    overview : Every connector at a glance.

    Notes
    -----
    The folder holds nothing but ``part-*.parquet``, sorted by instance, stream and execution within each:
    the 35 columns of every frame of runs in types that every reader knows (objects as JSON text,
    ``duration`` in seconds), and ``undocumented``, JSON text. Finished runs are never rewritten;
    unfinished ones stand in a part that is replaced, and are requested again by the next `collect`.

    Examples
    --------
    >>> collect("runs", 25775)["fetched"].tolist()
    [200]
    >>> collect("runs", 25775)["fetched"].tolist()
    [0]
    """
    if not isinstance(path, str | os.PathLike):
        raise TargetError(
            f"the path of a folder comes first, got {targets.shown(str(path))}", 'write collect("runs")'
        )
    dataset = Dataset(path)
    parallel = _parallel(max_parallel)
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TargetError(
            f"an executor has a method submit, got {type(executor).__name__}",
            "of dask.distributed: client.get_executor()",
        )
    if hasattr(executor, "get_executor"):
        raise TargetError("a Dask client is not an executor", "write executor=client.get_executor()")
    wanted = None if streams is None else targets.understood(streams, "streams", repeats=True)
    names = [instance] if instance is None or isinstance(instance, str) else list(dict.fromkeys(instance))
    sessions = [_session_of(name, alone=len(names) == 1) for name in names]
    began = targets.since_us(since, _time(sessions))
    with interruptible(), _kept(dataset), Collecting(screen(), SystemClock()) as collecting:
        for each_of in sessions:
            if wanted is not None and each_of.session is not None:
                here = [target for target in wanted if len(sessions) == 1 or _is_of(target, each_of.session)]
                ids = stream_ids(each_of.session, here, repeats=True)
                each_of.streams = {stream_id: each_of.session.name(stream_id) for stream_id in ids}
        rows, headline = fleet.collect(
            dataset,
            sessions,
            since_us=began,
            executor=executor,
            parallel=parallel,
            progress=collecting.progress,
        )
        collecting.over(headline, good=bool(rows["error"].isna().all()))
    return shown(rows, "collected")


@contextmanager
def _kept(dataset: Dataset) -> Iterator[None]:
    """Say after an interrupt where it goes on."""
    try:
        yield
    except KeyboardInterrupt:
        raise RunInterrupted(
            f"interrupted; what had been read is in {dataset.path}", "the same line again goes on from there"
        ) from None


def _session_of(name: str | None, *, alone: bool) -> fleet.Instance:
    """Return an instance to collect from; one of several may have no login."""
    try:
        session = current_session(name)
    except ConfigurationError as error:
        if alone:
            raise
        return fleet.Instance(str(name), None, error=error.summary)
    return fleet.Instance(session.instance, session)


def _is_of(target: targets.Target, session: Session) -> bool:
    """Return False for the row or the address of another instance."""
    return target.instance in {None, session.instance} and target.host in {None, session.login.address.host}


def _time(sessions: Sequence[fleet.Instance]) -> float:
    clocks = [each_of.session.clock for each_of in sessions if each_of.session is not None]
    return (clocks or [SystemClock()])[0].time()


def plot(runs: Any, metric: str = "duration", *, ax: Any = None) -> Any:
    """Draw runs over time with what is usual for their stream.

    Parameters
    ----------
    runs : DataFrame, int, str, ...
        A frame of runs; or streams, of each of which the newest 100 runs are fetched; or rows of a
        comparison or of an overview, of each of whose streams the newest 50 are.
    metric : str
        ``duration``, ``rowsInserted``, ``bytesInserted`` or ``peakMemoryUsedBytes``.
    ax : matplotlib.axes.Axes, optional
        Where to draw one stream.

    Returns
    -------
    matplotlib.axes.Axes
        Of several streams an array of them, one each.

    Raises
    ------
    ConfigurationError
        matplotlib is not installed: ``pip install matplotlib``.
    TargetError
        The metric or the targets cannot be understood.

    Examples
    --------
    >>> plot(runs(25775), "rowsInserted").get_ylabel()
    'rows'
    """
    from domo_magic.analysis import plots

    if not targets.holds_runs(runs):
        runs = _newest_of_each(targets.understood(runs, "streams", repeats=True), _PLOTTED)
    elif "endedAt" not in runs.columns:  # a comparison or an overview
        rows = targets.understood(runs, "streams", repeats=True) if len(runs) else ()
        runs = _newest_of_each(rows, _PLOTTED_OF_ROWS)
    return plots.plot(runs, metric, ax=ax)


def _newest_of_each(streams: Sequence[targets.Target], limit: int) -> pd.DataFrame:
    """Return the newest runs of each of these streams, of the instances in which they are."""
    import pandas as pd

    of_instance: dict[str | None, list[targets.Target]] = {}
    for stream in streams:
        of_instance.setdefault(stream.instance, []).append(stream)
    warnings, found = Warn(), []
    with interruptible():
        for instance, own in of_instance.items():
            session = current_session(instance)
            ids = list(dict.fromkeys(stream_ids(session, own, repeats=True)))
            found.append(listing.newest_of_each(session, ids, limit, warn=warnings))
    warnings.now()
    return pd.concat(found, ignore_index=True) if found else frame([])


def _limit(limit: object) -> int:
    text = str(limit)
    if isinstance(limit, bool) or not text.isascii() or not text.isdigit() or int(text[:19]) < 1:
        raise TargetError(f"limit must be a positive integer, got {targets.shown(text)}", "write 100")
    return min(int(text[:19]), _MOST_ROWS)


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise TargetError(
            f"invalid {name} {targets.shown(str(value))}", f"write one of: {', '.join(allowed)}"
        )


def _waiting(timeout: float | None, on_failure: OnFailure, on_unusual: OnFailure) -> Waiting:
    _one_of("on_failure", on_failure, get_args(OnFailure))
    _one_of("on_unusual", on_unusual, get_args(OnFailure))
    return Waiting(timeout, on_failure, on_unusual)


def _timeout(timeout: object, *, wait: bool) -> float | None:
    """Return the seconds of a timeout; None: no limit."""
    if timeout is None:
        return None
    if not wait:
        raise TargetError("timeout has no effect without --wait (wait=True)", "add --wait, or leave it out")
    return targets.seconds(timeout)


def _flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False: a text such as "no" would count as true."""
    if type(value).__name__ not in {"bool", "bool_"}:  # numpy's, too
        raise TargetError(
            f"{name} must be True or False, got {targets.shown(str(value))}",
            f"write {name}=True, or leave it out",
        )


def _text(name: str, value: object) -> str | None:
    if value is not None and not is_text(value):
        raise TargetError(f"{name} must be text, got {targets.shown(str(value))}", "write a few words")
    return None if value is None else str(value).strip()


def _parallel(parallel: object) -> int:
    number = index(parallel) if isinstance(parallel, SupportsIndex) and not isinstance(parallel, bool) else 0
    if not 1 <= number <= THREADS:
        raise TargetError(
            f"max_parallel must be an integer from 1 to {THREADS}, got {targets.shown(str(parallel))}",
            f"leave it out for {THREADS}",
        )
    return number

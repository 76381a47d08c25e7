"""The public functions: what the magics do, for Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domo_magic.display.output import screen
from domo_magic.display.progress import Board
from domo_magic.errors import TargetError
from domo_magic.executions import targets
from domo_magic.executions.cancel import abort, unfinished
from domo_magic.executions.outcome import follow, interruptible, result, runs_named, runs_started_here
from domo_magic.executions.resolve import stream_ids, targets_of
from domo_magic.executions.session import SANDBOX, current_session, open_session, use_session
from domo_magic.model.execution import Execution, state_of
from domo_magic.orders import Order, one_of, patience_of, start

if TYPE_CHECKING:
    import pandas as pd

    from domo_magic.executions.outcome import OnFailure
    from domo_magic.executions.session import Session
    from domo_magic.executions.start import IfRunning
    from domo_magic.http.credentials import Login


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
    if sandbox:
        if instance is not None or token is not None:
            raise TargetError("the sandbox brings its own address and token", "leave them out")
        use(_sandbox(), sandbox=True)
        return
    from domo_magic.http.credentials import resolve

    use(resolve(instance, token))


def use(login: Login, *, sandbox: bool = False) -> None:
    """Make a login the one that what follows goes to, and say so."""
    session = use_session(open_session(login, sandbox=sandbox))
    screen().say(("running", _using(session)))


def _using(session: Session) -> str:
    if session.instance == SANDBOX:
        return f"using a sandbox Domo at {session.login.address.host}; its streams: %domo_streams"
    return f"using {session.login.address.host}, token from {session.login.source}, not tried yet"


def _sandbox() -> Login:
    """Start a Domo of its own; it ends with the interpreter."""
    from domo_magic.http.address import address
    from domo_magic.http.credentials import Login, Token
    from domo_magic.sandbox import Sandbox

    own = Sandbox().start()
    return Login(address(own.url), Token(own.token), "the sandbox")


def run(
    streams: Any,
    *,
    wait: bool = False,
    timeout: float | str | None = None,
    if_running: IfRunning = "start",
    label: str | None = None,
    on_failure: OnFailure = "raise",
    max_parallel: int = 16,
    instance: str | None = None,
) -> pd.DataFrame:
    """Start connectors: one POST per stream, never sent twice.

    Parameters
    ----------
    streams : int, str, list, Series, DataFrame, ...
        Stream ids, DataSet ids or addresses of DataSets' pages; of a frame its ``streamId``.
    wait : bool
        Stay until every run has ended.
    timeout : float or str, optional
        How long to wait at most: seconds, or ``"10m"``; only with `wait`.
    if_running : {"start", "adopt", "error"}
        What to do where a stream has an unfinished run: start another one, take it up, or refuse.
    label : str, optional
        A name for these runs, kept in the history.
    on_failure : {"raise", "return"}
        Whether a run that ends in anything but SUCCESS raises `RunFailed`.
    max_parallel : int
        Starts under way at the same time, 1 to 16.
    instance : str, optional
        Another instance than the one last connected.

    Returns
    -------
    pandas.DataFrame
        One row per stream, in the order given.

    Raises
    ------
    TargetError
        A target or an option cannot be understood; nothing was sent.
    ConfigurationError
        No Domo is known.
    TriggerOutcomeUnknown
        The run may have started.
    AlreadyRunning, ApiError, ConnectionFailed
        It was not started.
    RunFailed, RunTimeout, InvalidResponse
        While waiting.
    RunInterrupted
        The user interrupted; the runs go on.

    Examples
    --------
    >>> run(25775, wait=True)
    """
    wanted = targets.understood(streams, "streams")
    patience = patience_of(timeout, wait=wait)
    one_of("on_failure", on_failure, ("raise", "return"))
    order = Order(if_running, label, max_parallel)
    session = current_session(instance)
    board = Board(session, screen(), moving=wait)
    known: list[Execution] = []
    with interruptible(lambda: known, lambda: board.finish({})):
        started, errors = start(session, stream_ids(session, wanted), order, board, known)
        if not wait:
            board.finish({})
            return result(started, errors)
        return follow(session, started, errors, board, patience, on_failure)


def wait(
    runs: Any = None,
    *,
    timeout: float | str | None = None,
    on_failure: OnFailure = "raise",
    instance: str | None = None,
) -> pd.DataFrame:
    """Stay until runs have ended.

    Parameters
    ----------
    runs : str, int, list, DataFrame, ..., optional
        Runs (``"25775/2"``); a stream means its newest run. By default the unfinished runs started here
        in the last 24 hours on this instance; older ones are named and not waited for.
    timeout : float or str, optional
        How long to wait at most: seconds, or ``"10m"``.
    on_failure : {"raise", "return"}
        Whether a run that ended in anything but SUCCESS raises `RunFailed`.
    instance : str, optional
        Another instance than the one last connected.

    Returns
    -------
    pandas.DataFrame
        One row per run, in the order given; no rows where nothing was to be waited for.

    Raises
    ------
    TargetError, ConfigurationError, ConnectionFailed, ApiError, InvalidResponse
        Before waiting, or where Domo cannot be asked for long.
    RunFailed, RunTimeout
        The first in the order given, naming every run that failed.
    RunInterrupted
        The user interrupted; the runs go on.

    Examples
    --------
    >>> wait("25775/2", timeout="2h")
    """
    patience = patience_of(timeout, wait=True)
    one_of("on_failure", on_failure, ("raise", "return"))
    wanted = None if runs is None else targets.understood(runs, "runs")
    session = current_session(instance)
    board = Board(session, screen(), moving=True)
    known: list[Execution] = []
    with interruptible(lambda: known, lambda: board.finish({})):
        found, errors = runs_started_here(session) if wanted is None else runs_named(session, wanted)
        known += found
        for each_run, error in zip(found, errors, strict=True):
            if error is None:
                board.waited_for(each_run)
        return follow(session, found, errors, board, patience, on_failure, stale=wanted is None)


def cancel(runs: Any, *, all: bool = False, instance: str | None = None) -> pd.DataFrame:  # noqa: A002
    """Abort runs, and follow them until Domo says that they have ended.

    Parameters
    ----------
    runs : str, int, list, DataFrame, ...
        Runs (``"25775/2"``), or streams with one unfinished run.
    all : bool
        Of a stream: all of its unfinished runs, stuck ones too.
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
        Domo took the order, but after two minutes the run had not ended.
    RunInterrupted
        The user interrupted.

    Examples
    --------
    >>> cancel("25775/2")
    """
    wanted = targets.understood(runs, "runs")
    session = current_session(instance)
    shown = screen()
    with interruptible(list):
        meant: dict[tuple[int, int | None], Execution] = {}
        for stream_id, execution_id in targets_of(session, wanted):
            of_target = (
                unfinished(session, stream_id, every=all)
                if execution_id is None
                else [session.joined(Execution(stream_id, execution_id))]
            )
            meant |= {(run.stream_id, run.execution_id): run for run in of_target}
            if not of_target:
                shown.say(("good", f"stream {stream_id} has never run; nothing was cancelled"))
        seen, errors = abort(
            session,
            list(meant.values()),
            lambda run: shown.say(("good", f"{run.run} had already ended: {state_of(run, 'state unknown')}")),
        )
    board = Board(session, shown, moving=True, aborting=True)
    going = [run for run, error in zip(seen, errors, strict=True) if error is None and not run.finished]
    for run in going:
        shown.say(("running", f"{run.run} {state_of(run)} · Domo was asked to abort it"))
    for run in going:
        board.waited_for(run)
    return follow(session, seen, errors, board, session.timeouts.abort, "return", aborted=True)

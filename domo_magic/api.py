"""The public functions: what the magics do, for Python."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from domo_magic import connection, starting, targets
from domo_magic.errors import TargetError
from domo_magic.execution import Execution
from domo_magic.progress import Board
from domo_magic.resolving import stream_ids
from domo_magic.screens import screen
from domo_magic.waiting import follow, interruptible, result

if TYPE_CHECKING:
    import pandas as pd

    from domo_magic.connection import Connection
    from domo_magic.credentials import Login
    from domo_magic.starting import Outcome
    from domo_magic.waiting import OnFailure


class DomoWarning(UserWarning):
    """Something that a person should know although what was asked for was done."""


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
    from domo_magic.credentials import resolve

    use(resolve(instance, token))


def use(login: Login, *, sandbox: bool = False) -> None:
    """Make a login the one that what follows goes to, and say so."""
    domo = connection.use(connection.open_connection(login, sandbox=sandbox))
    screen().say(("running", _using(domo)))


def _using(domo: Connection) -> str:
    if domo.instance == connection.SANDBOX:
        return f"using a sandbox Domo at {domo.login.address.host}; its streams: %domo_streams"
    return f"using {domo.login.address.host}, token from {domo.login.source}, not tried yet"


def _sandbox() -> Login:
    """Start a Domo of its own; it ends with the interpreter."""
    from domo_magic.addresses import address
    from domo_magic.credentials import Login, Token
    from domo_magic.sandbox import Sandbox

    own = Sandbox().start()
    return Login(address(own.url), Token(own.token), "the sandbox")


def run(
    streams: Any,
    *,
    wait: bool = False,
    timeout: float | str | None = None,
    if_running: starting.IfRunning = "start",
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
        The person interrupted; the runs go on.

    Examples
    --------
    >>> run(25775, wait=True)
    """
    wanted = targets.understood(streams, "streams")
    patience = _patience(timeout, wait=wait)
    _one_of("if_running", if_running, ("start", "adopt", "error"))
    _one_of("on_failure", on_failure, ("raise", "return"))
    if label is not None and (not isinstance(label, str) or not label.strip()):
        raise TargetError(f"label {targets.shown(str(label))} is no text", "write a few words")
    if isinstance(max_parallel, bool) or not isinstance(max_parallel, int) or not 1 <= max_parallel <= 16:
        raise TargetError(f"max_parallel {max_parallel!r} is not from 1 to 16", "leave it out for 16")
    domo = connection.current(instance)
    ids = stream_ids(domo, wanted)
    board = Board(domo, screen(), moving=wait)
    outcomes: dict[int, Outcome] = {}

    def arrived(outcome: Outcome) -> None:
        outcomes[outcome.execution.stream_id] = outcome
        if outcome.error is None:
            board.started(outcome.execution)

    with interruptible(lambda: [_known_so_far(domo, stream_id, outcomes) for stream_id in ids]):
        starting.start(
            domo,
            ids,
            label=label,
            if_running=if_running,
            max_parallel=max_parallel,
            arrived=arrived,
            uncertain=board.uncertain,
        )
    for outcome in outcomes.values():
        if outcome.warning:
            warnings.warn(outcome.warning, DomoWarning, stacklevel=2)
    started = [outcomes[stream_id].execution for stream_id in ids]
    errors = {stream_id: outcome.error for stream_id, outcome in outcomes.items() if outcome.error}
    if not wait:
        board.finish({})
        return result(started, [errors.get(stream_id) for stream_id in ids])
    return follow(domo, started, [errors.get(stream_id) for stream_id in ids], board, patience, on_failure)


def _known_so_far(domo: Connection, stream_id: int, outcomes: dict[int, Outcome]) -> Execution:
    outcome = outcomes.get(stream_id)
    return outcome.execution if outcome else domo.known(Execution(stream_id))


def _patience(timeout: float | str | None, *, wait: bool) -> float | None:
    if timeout is None:
        return None
    if not wait:
        raise TargetError("a timeout limits waiting, and nothing is waited for", "add --wait (wait=True)")
    return targets.seconds(timeout)


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise TargetError(
            f"{name} {targets.shown(str(value))} is not known", f"write one of: {', '.join(allowed)}"
        )

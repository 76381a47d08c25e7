"""The instances that are connected, each with its client and its history."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from domo_magic.errors import DomoError
from domo_magic.executions.poller import Poller
from domo_magic.history.store import FILE, History
from domo_magic.http.address import address
from domo_magic.http.client import Client
from domo_magic.http.credentials import resolve
from domo_magic.http.transport import Transport
from domo_magic.model.execution import CONNECTOR
from domo_magic.model.formatting import cut
from domo_magic.model.timeouts import SystemClock, Timeouts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domo_magic.http.credentials import Login
    from domo_magic.model.execution import Execution
    from domo_magic.model.timeouts import Clock

# A rhythm is looked for in 100 successful runs; some more for those that had not ended before the next began.
_PAST = 120
#: The instance's name where `%domo_connect --sandbox` leads.
SANDBOX = "sandbox"


@dataclass(eq=False)
class Session:
    """One Domo at work.

    Attributes
    ----------
    login : Login
        Where, and with which token.
    client : Client
        Sends the requests.
    history : History
        What was started and seen here.
    timeouts, clock : Timeouts, Clock
        Deadlines and pauses.
    instance : str
        As rows show it.
    past : dict
        ``{stream_id: successful runs}``, a few fields each, newest first, of streams that were followed.
    unlearned : set
        Those of them whose past could not be had, and is taken for none.
    poller : Poller
        Polls its runs, for everybody who wants to see them.
    user : str or None
        Who this token belongs to, by the ``startedBy`` of its responses.
    """

    login: Login
    client: Client
    history: History
    timeouts: Timeouts
    clock: Clock
    instance: str
    user: str | None = None
    past: dict[int, list[Execution]] = field(default_factory=dict)
    unlearned: set[int] = field(default_factory=set)
    _names: dict[int, str | None] = field(default_factory=dict)
    _transports: dict[int, str] = field(default_factory=dict)

    poller: Poller = field(init=False)

    def __post_init__(self) -> None:
        self.poller = Poller(self)

    def known(
        self, execution: Execution, label: str | None = None, requested_at: int | None = None
    ) -> Execution:
        """Return the run with what is known about it here."""
        return execution.replace(
            instance=self.instance,
            name=self.name(execution.stream_id),
            label=label or execution.label,
            requested_at=requested_at or execution.requested_at,
        )

    def joined(self, execution: Execution) -> Execution:
        """Return the run with its label and the time of our request, from the history."""
        label, requested_at = self.history.request_of(self.instance, execution)
        return self.known(execution, label, requested_at)

    def refreshed(self, run: Execution, *, repeat: bool = True) -> Execution:
        """Return a run as Domo has it now, with everything that Domo knows of it.

        Raises
        ------
        ConnectionFailed, ApiError, InvalidResponse
            Domo does not say.
        """
        return run.seen(self.client.get_execution(run.stream_id, run.execution_id or 0, repeat=repeat))

    def name(self, stream_id: int) -> str | None:
        """Return the name of a stream's DataSet, as far as it is known here."""
        if self._names.get(stream_id) is None:
            self._names[stream_id] = self.history.stream(self.instance, stream_id)[1]
        return self._names[stream_id]

    def remember(self, streams: Sequence[tuple[int, str | None, str | None]]) -> None:
        """Keep the DataSets and names of streams: ``(stream_id, dataset_id, name)``."""
        self.history.remember(self.instance, streams)
        for stream_id, _, _ in streams:
            self._names.pop(stream_id, None)

    def learn(self, stream_id: int, *, within: float | None = None) -> None:
        """Request, once, the stream's last runs; what cannot be had, `within` seconds, is taken for none."""
        if stream_id not in self.past:
            deadline = None if within is None else self.clock.monotonic() + within
            try:
                self.learned(
                    stream_id, self.client.execution_history(stream_id, repeat=False, deadline=deadline)
                )
            except DomoError:
                self.learned(stream_id, [])
                self.unlearned.add(stream_id)

    def learned(self, stream_id: int, runs: Sequence[Execution]) -> None:
        """Keep what a stream's runs are compared with, of all its runs, newest first."""
        # A start that Domo returned without an id may be listed as recorded here; it cannot be told apart.
        named = [run for run in runs if run.succeeded and run.execution_id is not None]
        self.past[stream_id] = named[:_PAST]
        self.unlearned.discard(stream_id)

    def ended(self, run: Execution) -> None:
        """Remember a run that has ended well as the newest of its stream's past."""
        if run.succeeded and run.stream_id in self.past:
            older = [known for known in self.past[run.stream_id] if known.execution_id != run.execution_id]
            self.past[run.stream_id] = [run, *older][:_PAST]

    def page(self, stream_id: int, *, within: float | None = None) -> str:
        """Return the address of the DataSet's page in Domo, requested where it is not known."""
        if self.history.stream(self.instance, stream_id)[0] is None:
            self.describe(stream_id, within=within)
        dataset, _ = self.history.stream(self.instance, stream_id)
        url = self.login.address.url
        return f"{url}/datasources/{dataset}/details/history" if dataset else url

    def describe(self, stream_id: int, *, within: float | None = None) -> DomoError | None:
        """Request a stream once, and keep its name, its DataSet and its transport; return what went wrong."""
        self._transports.setdefault(stream_id, "")
        try:
            deadline = self.clock.monotonic() + (self.timeouts.aside if within is None else within)
            stream = self.client.get_stream(stream_id, deadline=deadline)
        except DomoError as error:
            return error
        transport, source = stream.get("transport"), stream.get("dataSource")
        kind = transport.get("type") if isinstance(transport, dict) else None
        self.fed_by(stream_id, kind)
        dataset, name = (source.get("id"), source.get("name")) if isinstance(source, dict) else (None, None)
        if isinstance(dataset, str) and re.fullmatch(r"[\w-]{1,64}", dataset):
            self.remember([(stream_id, dataset, name if isinstance(name, str) else None)])
        return None

    def fed_by(self, stream_id: int, kind: object) -> bool:
        """Keep what feeds a stream, as Domo says it; return False if that is not a connector."""
        if isinstance(kind, str) and kind:
            self._transports[stream_id] = cut(kind, 40).upper()
        return self._transports.get(stream_id) in {None, "", CONNECTOR}

    def transport(self, stream_id: int) -> str | None:
        """Return what feeds a stream (``CONNECTOR``, ``UPLOAD``, ...), as far as it is known; else None."""
        return self._transports.get(stream_id)


def open_session(
    login: Login, *, timeouts: Timeouts | None = None, clock: Clock | None = None, sandbox: bool = False
) -> Session:
    """Return a connection; nothing is sent yet.

    Parameters
    ----------
    login : Login
        Where, and with which token.
    timeouts, clock : Timeouts, Clock, optional
        For tests.
    sandbox : bool
        True: its history lives in memory and dies with it, and its instance is ``sandbox``.
    """
    timeouts, clock = timeouts or Timeouts(), clock or SystemClock()
    client = Client(Transport(login, timeouts, clock), login, timeouts, clock)
    history = History(None, clock) if sandbox else _history(_home())
    return Session(login, client, history, timeouts, clock, SANDBOX if sandbox else login.address.instance)


def _home() -> Path:
    """Return the history's folder; where there is none, one that cannot be made, which is warned of."""
    home = os.environ.get("DOMO_MAGIC_HOME") or ""
    try:
        if home:
            return Path(home).expanduser()
        from platformdirs import user_data_path

        found = user_data_path("domo_magic", appauthor=False)
    except RuntimeError:  # of a user that nobody knows
        return Path(os.devnull, home)
    return found if found.is_absolute() else Path(os.devnull)


@cache
def _history(home: Path) -> History:
    return History(home / FILE, SystemClock())


class _Registry:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.known: dict[str, Session] = {}
        self.last: Session | None = None


_registry = _Registry()


def _forked() -> None:
    _registry.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def use_session(connection: Session) -> Session:
    """Make a connection the one that what follows goes to."""
    with _registry.lock:
        _registry.known[connection.instance] = connection
        _registry.last = connection
    return connection


def current_session(instance: str | None = None) -> Session:
    """Return the connection to `instance`, by default the last connected, else what the environment says.

    Raises
    ------
    ConfigurationError
        Nothing is known.
    """
    if (known := _connected(instance)) is not None:
        return known
    login = resolve(instance, None)  # which may take a keyring's time: nobody else waits for it
    with _registry.lock:
        before = _registry.known.get(login.address.instance)
        if before is None or before.login != login:
            before = _registry.known[login.address.instance] = open_session(login)
        return before


def _connected(instance: str | None) -> Session | None:
    """Return the session of an instance; whoever is connected stays so, whatever the environment says."""
    with _registry.lock:
        if instance is None:
            return _registry.last
        if isinstance(instance, str) and instance in _registry.known:
            return _registry.known[instance]
        where = address(instance)
        return next((known for known in _registry.known.values() if known.login.address == where), None)


def latest_session() -> Session | None:
    """Return the connection that was used last, or None; nothing is looked up."""
    with _registry.lock:
        return _registry.last or next(reversed(_registry.known.values()), None)


def close_sessions() -> None:
    """Close every connection and forget it."""
    with _registry.lock:
        for connection in _registry.known.values():
            connection.client.close()
            connection.history.close()
        _history.cache_clear()
        _registry.known.clear()
        _registry.last = None

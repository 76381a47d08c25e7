"""A Domo of its own on 127.0.0.1, over real HTTP: for trying, teaching and testing.

Examples
--------
>>> from domo_magic.sandbox import Sandbox
>>> with Sandbox() as sandbox:
...     sandbox.world.start(25775)["currentState"]
'ACTIVE'
"""

from __future__ import annotations

import atexit
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from domo_magic.sandbox.faults import Fault, Request
    from domo_magic.sandbox.server import Server

__all__ = ["ManualClock", "Sandbox"]


class ManualClock:
    """A clock that moves when it is told to.

    Parameters
    ----------
    start : float
        Epoch seconds.

    Examples
    --------
    >>> clock = ManualClock(1_700_000_000.0)
    >>> clock.advance(5)
    >>> clock()
    1700000005.0
    """

    def __init__(self, start: float) -> None:
        self._now = float(start)
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the time, epoch seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._now += seconds


class Sandbox:
    """A Domo of its own, from ``start`` (or ``with``) to ``close``.

    Stream 25775 takes about 6 s and has a past of 200 executions; ``world`` has more streams, and takes more.
    Among its connectors some have failed, some are slow, stuck, overdue, paused, or have never run.

    Parameters
    ----------
    streams : int
        How many connectors there are; beside them are DataSets that no connector fills.
    port : int
        Port on 127.0.0.1; 0 takes a free one.
    clock : callable
        Gives the time of its executions, epoch seconds.
    latency : float
        Seconds added to every response, in real time.
    seed : int
        The same seed and the same time of the start give the same past.
    token : str, optional
        The token it accepts; random by default.

    Attributes
    ----------
    world : World
        What there is: streams, DataSets and executions.
    token : str
        The token it accepts.
    latency : float
        Seconds added to every response.
    requests : list of Request
        What arrived, in that order; without the token.
    orders : Orders
        The faults ordered and not yet met.
    decide : callable or None
        What draws a fault for each request for which none was ordered; None draws none.

    Examples
    --------
    >>> import urllib.request
    >>> with Sandbox() as sandbox:
    ...     request = urllib.request.Request(
    ...         sandbox.url + "/api/data/v1/streams/25775", headers={"X-DOMO-Developer-Token": sandbox.token}
    ...     )
    ...     urllib.request.urlopen(request).status
    200
    """

    def __init__(
        self,
        *,
        streams: int = 40,
        port: int = 0,
        clock: Callable[[], float] = time.time,
        latency: float = 0.0,
        seed: int = 25775,
        token: str | None = None,
    ) -> None:
        import secrets

        from domo_magic.sandbox.faults import Orders
        from domo_magic.sandbox.world import World

        self.world = World(clock, seed, streams)
        self.token = token or f"sandbox-{secrets.token_hex(16)}"
        self.latency = latency
        self.requests: list[Request] = []
        self.orders = Orders()
        self.decide: Callable[[Request], Fault | None] | None = None
        self._port = port
        self._server: Server | None = None

    def start(self) -> Self:
        """Begin to serve; return itself. A port that is taken raises :class:`OSError`."""
        if self._server is None:
            from domo_magic.sandbox.server import Server

            self._server = Server(self, self._port)
            self._server.open()
            atexit.register(self.close)
        return self

    def close(self) -> None:
        """End every connection and thread; its world stays readable."""
        server, self._server = self._server, None
        if server is not None:
            atexit.unregister(self.close)
            server.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "not started" if self._server is None else self.url
        return f"<Sandbox {where}>"

    @property
    def url(self) -> str:
        """Its address, such as ``http://127.0.0.1:43211``; only while it serves."""
        if self._server is None:
            raise RuntimeError("the sandbox does not serve: use start(), or with")
        return f"http://127.0.0.1:{self._server.server_port}"

    def order(
        self, fault: Fault, *, method: str | None = "POST", path: str | None = None, times: int = 1
    ) -> None:
        """Order a fault (of :mod:`domo_magic.sandbox.faults`) for requests to come.

        Parameters
        ----------
        fault : Fault
            What goes wrong.
        method : str or None
            For requests with this method; None is any.
        path : str, optional
            For requests in whose path and query this pattern is found.
        times : int
            For so many of them.
        """
        self.orders.add(fault, method, path, times)

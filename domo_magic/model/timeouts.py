"""Every deadline and pause of the client, and the clock that they run on. Pure."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from threading import Event


class Clock(Protocol):
    """What the client needs of time; a test brings its own."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    def time(self) -> float:
        """Return epoch seconds."""

    def wait(self, event: Event, seconds: float) -> bool:
        """Wait until `event` is set, `seconds` at most; return whether it is."""


class SystemClock:
    """The machine's clock."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    @staticmethod
    def wait(event: Event, seconds: float) -> bool:
        """Wait until `event` is set, `seconds` at most; return whether it is."""
        return event.wait(max(0.0, seconds))


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the client waits for what, all in seconds.

    Attributes
    ----------
    connect : float
        For a connection.
    response : float
        For a whole response, from the request's last byte to the response's.
    retry_pause, retry_budget : float
        First pause before a request is repeated (doubled each time, with jitter), and how long one
        request may be repeated in all.
    start_budget : float
        How long a start that was told to wait (429) may be repeated in all.
    look : float
        How long an uncertain start is looked into.
    look_pause : float
        Between two looks.
    start_window : float
        How long after its request a run may begin and still be that request's.
    poll_shortest, poll_longest : float
        Between two requests whether a run has ended.
    longest_retry_after : float
        The longest ``Retry-After`` that waiting bears.
    abort : float
        How long the end of a run that was aborted is waited for.
    aside : float
        How long what is only nice to know is waited for, once a run has ended.
    last_look : float
        How long the requests that are under way are waited for, once a timeout is over.
    skew : float
        How far two clocks may be apart after the known difference is taken off.

    Examples
    --------
    >>> Timeouts().scaled(1 / 100).response
    0.3
    """

    connect: float = 10.0
    response: float = 30.0
    retry_pause: float = 0.5
    retry_budget: float = 30.0
    start_budget: float = 60.0
    look: float = 20.0
    look_pause: float = 1.0
    start_window: float = 600.0
    poll_shortest: float = 1.0
    poll_longest: float = 60.0
    longest_retry_after: float = 300.0
    abort: float = 120.0
    aside: float = 5.0
    last_look: float = 2.0
    skew: float = 2.0

    def scaled(self, factor: float) -> Timeouts:
        """Return the same with everything multiplied by `factor`."""
        return Timeouts(**{each.name: getattr(self, each.name) * factor for each in fields(self)})

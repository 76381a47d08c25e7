"""Pauses between requests, and repeating those that may be sent twice.

A start, the POST, is not one of them: it has a loop of its own, `Client.create_execution`.
"""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, TypeVar

from domo_magic.errors import ApiError, ConnectionFailed, InvalidResponse, RateLimited
from domo_magic.http.response import http_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from domo_magic.http.response import Response
    from domo_magic.model.timeouts import Clock, Timeouts

#: How often one request is sent again at most.
REPEATS = 3
_LONGEST_PAUSE = 86_400.0
_NEVER = threading.Event()
_T = TypeVar("_T")


class RetryPolicy:
    """Paces the requests to one instance.

    Parameters
    ----------
    host : str
        For the words of errors.
    timeouts, clock : Timeouts, Clock
        Budgets and pauses.
    """

    def __init__(self, host: str, timeouts: Timeouts, clock: Clock) -> None:
        self._host = host
        self._timeouts = timeouts
        self._clock = clock
        self._quiet_until = 0.0

    @property
    def retry_after(self) -> float:
        """Seconds until the next request, where Domo has sent a ``Retry-After``; else 0."""
        return max(0.0, self._quiet_until - self._clock.monotonic())

    def backoff(self, attempt: int) -> float:
        """Return the pause in seconds after so many failures, with jitter."""
        return self._timeouts.retry_pause * 2.0**attempt * random.uniform(0.5, 1.0)  # noqa: S311  jitter

    def note(self, response: Response) -> float:
        """Return the seconds of ``Retry-After``, and remember them for the whole instance."""
        text = response.header("Retry-After").strip()
        until = http_time(text)
        if text.isascii() and text.isdigit():
            pause = float(text)
        elif until is not None:
            pause = until - (response.server_time or self._clock.time())
        else:
            return 0.0
        pause = max(0.0, min(pause, _LONGEST_PAUSE))
        self._quiet_until = max(self._quiet_until, self._clock.monotonic() + pause)
        return pause

    def rate_limited(self) -> RateLimited:
        """Return the error for a request that was not sent because of a ``Retry-After``."""
        summary = f"{self._host} is rate limiting; retry after {self.retry_after:.0f} s"
        return RateLimited(summary, "try again after that", status=429)

    def repeat(self, once: Callable[[], _T], repeats: int = REPEATS) -> _T:
        """Send a request, and again while what goes wrong may pass.

        Raises
        ------
        ConnectionFailed, ApiError, InvalidResponse
            What went wrong last.
        """
        deadline = self._clock.monotonic() + self._timeouts.retry_budget
        attempt = 0
        while True:
            if self._clock.monotonic() + self.retry_after > deadline:
                raise self.rate_limited()
            self._clock.wait(_NEVER, self.retry_after)
            try:
                return once()
            except (ConnectionFailed, InvalidResponse, ApiError) as error:
                passing = not isinstance(error, ApiError) or error.status == 429 or error.status >= 500
                pause = max(self.backoff(attempt), self.retry_after)
                if not passing or attempt >= repeats or self._clock.monotonic() + pause > deadline:
                    raise
            self._clock.wait(_NEVER, pause)
            attempt += 1

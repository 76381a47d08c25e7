"""Drawing at most four times a second, without losing the last change. No widgets."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two drawings.
PAUSE = 0.25


class Painter:
    """Draws when it is asked to: at once, or as soon as the pause since the last drawing is over.

    Parameters
    ----------
    draw : callable
        Called on any thread, never on two at the same time.
    monotonic : callable, optional
        Gives the time in seconds.
    """

    def __init__(self, draw: Callable[[], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._draw = draw
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._next = float("-inf")
        self._timer: threading.Timer | None = None
        self._drawing = False
        self._again = False
        self._closed = False

    def soon(self) -> None:
        """Draw now, or when the pause is over; never waits for it, nor for another thread that draws."""
        with self._lock:
            if self._closed or self._timer is not None:
                return
            if self._drawing:
                self._again = True
                return
            pause = self._next - self._monotonic()
            if pause > 0:
                self._timer = threading.Timer(pause, self._late)
                self._timer.daemon = True
                self._timer.start()
                return
            self._drawing = True
        self._now()

    def _late(self) -> None:
        with self._lock:
            self._timer = None
            if self._closed:
                return
            self._drawing = True  # nobody else draws while a timer runs
        self._now()

    def _now(self) -> None:
        try:
            self._draw()
        finally:
            with self._lock:
                self._drawing = False
                # From its end: what a slow drawing sent last and the next sends first are apart too.
                self._next = self._monotonic() + PAUSE
                again, self._again = self._again, False
        if again:
            self.soon()

    def close(self) -> None:
        """Draw no more."""
        with self._lock:
            self._closed = True
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

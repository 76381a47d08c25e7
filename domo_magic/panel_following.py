"""Following for a panel: one thread while there is something to follow, none after the panel is closed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from domo_magic.following import Follower

if TYPE_CHECKING:
    from collections.abc import Callable

    from domo_magic.connection import Connection
    from domo_magic.errors import DomoError
    from domo_magic.execution import Execution

NAME = "domo_magic panel"


class Watch:
    """Follows the runs of one panel and can be stopped at any time; the runs go on at Domo.

    Parameters
    ----------
    domo : Connection
        The instance.
    seen : callable
        Called on the thread with every run as it was just seen.
    lost : callable
        Called there with ``(stream_id, execution_id)`` and the error of a run that cannot be followed.
    tick : callable
        Called there every half second at least, and once more when nothing is left.
    """

    def __init__(
        self,
        domo: Connection,
        seen: Callable[[Execution], None],
        lost: Callable[[tuple[int, int | None], DomoError], None],
        tick: Callable[[], object],
    ) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lost = lost
        self._tick = tick
        self._follower = Follower(domo, seen, self._ticked)

    def add(self, run: Execution) -> None:
        """Follow a run too, from any thread."""
        with self._lock:
            if self._stop.is_set():
                return
            self._follower.add(run)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=NAME, daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Let go of everything."""
        self._stop.set()

    def _work(self) -> None:
        while True:
            self._follower.follow(self._stop)
            self._ticked()
            with self._lock:
                if self._stop.is_set() or not self._follower.busy:
                    self._thread = None
                    return

    def _ticked(self) -> None:
        problems = self._follower.problems
        while problems:
            self._lost(*problems.popitem())
        self._tick()

"""Threads of our own: never more than 16 that ask, none that keeps an interpreter alive."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

#: As many as there are connections.
THREADS = 16
_IDLE = 2.0
_LOOK_UP = 0.2


class Pool:
    """Daemon threads that do jobs, made when needed, gone when idle.

    Parameters
    ----------
    size : int
        The most threads.

    Examples
    --------
    >>> Pool(2).submit(lambda: None)
    """

    def __init__(self, size: int = THREADS) -> None:
        self._size = size
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._waiting = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Have `job` done on one of the threads; it must not raise."""
        with self._lock:
            self._jobs.put(job)
            if self._jobs.qsize() > self._waiting and self._threads < self._size:
                self._threads += 1
                threading.Thread(target=self._work, name="domo_magic", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._waiting += 1
            try:
                job = self._jobs.get(timeout=_IDLE)
            except queue.Empty:
                job = None
            with self._lock:
                self._waiting -= 1
                if job is None:
                    if not self._jobs.empty():
                        continue
                    self._threads -= 1
                    return
            job()


#: Shared by everything that asks Domo.
POOL = Pool()


def each(
    work: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    parallel: int,
    arrived: Callable[[int, _Result], None] = lambda _index, _result: None,
) -> list[_Result]:
    """Do `work` on every item, several at the same time; an interrupt gets through at once.

    Parameters
    ----------
    work : callable
        Called on threads; must not raise.
    items : sequence
        What to work on.
    parallel : int
        How many at the same time, 16 at most.
    arrived : callable, optional
        Called on the calling thread with the index and the result of each, as they come.

    Returns
    -------
    list
        The results in the order of `items`.

    Examples
    --------
    >>> each(str.upper, ["a", "b"], parallel=2)
    ['A', 'B']
    """
    done: queue.SimpleQueue[tuple[int, _Result]] = queue.SimpleQueue()
    results: dict[int, _Result] = {}
    rest = iter(range(len(items)))

    def submit_next() -> None:
        index = next(rest, None)
        if index is not None:
            POOL.submit(lambda: done.put((index, work(items[index]))))

    for _ in range(min(parallel, len(items))):
        submit_next()
    while len(results) < len(items):
        try:
            # Not for ever: Windows lets no interrupt through to a wait without an end.
            index, result = done.get(timeout=_LOOK_UP)
        except queue.Empty:
            continue
        submit_next()
        results[index] = result
        arrived(index, result)
    return [results[index] for index in range(len(items))]

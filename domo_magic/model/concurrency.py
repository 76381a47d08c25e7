"""Threads of our own: never more than 16 that send requests, none that keeps an interpreter alive."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_NAME = "domo_magic request"
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

    Attributes
    ----------
    threads, unfinished : int
        Its threads, and the jobs that are not done.

    Examples
    --------
    >>> Pool(2).submit(lambda: None)
    """

    def __init__(self, size: int = THREADS) -> None:
        self._size = size
        self.renew()

    def renew(self) -> None:
        """Begin anew, without the threads and jobs, which a forked process does not have."""
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.threads = 0
        self.unfinished = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Have `job` done on one of the threads; it must not raise."""
        with self._lock:
            self.unfinished += 1
            self._jobs.put(job)
            if self.threads < min(self.unfinished, self._size):
                self.threads += 1
                threading.Thread(target=self._work, name=_NAME, daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE)
            except queue.Empty:
                with self._lock:
                    if self._jobs.empty():
                        self.threads -= 1
                        return
                continue
            guarded(job)
            del job  # an idle thread holds on to nothing
            with self._lock:
                self.unfinished -= 1


def guarded(work: Callable[[], object]) -> None:
    """Do `work`; what it raises is shown as any thread's error, and the thread goes on."""
    try:
        work()
    except BaseException:  # noqa: BLE001  one bug is not the end of what the others wait for
        # Else the interpreter is shutting down: it starts no more threads, and nobody waits for their work.
        if threading.main_thread().is_alive():
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))


#: Shared by everything that sends requests to Domo.
POOL = Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.renew)


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
        Called on threads. What it raises is raised here, at once.
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
    if threading.current_thread().name == _NAME:
        # One of our threads must not wait for the others: all of them could.
        return _one_by_one(work, items, arrived)
    done: queue.SimpleQueue[tuple[int, Future[_Result]]] = queue.SimpleQueue()
    results: dict[int, _Result] = {}
    rest = iter(range(len(items)))

    def submit_next() -> None:
        index = next(rest, None)
        if index is not None:
            POOL.submit(lambda: done.put((index, _outcome(work, items[index]))))

    for _ in range(min(parallel, len(items))):
        submit_next()
    while len(results) < len(items):
        try:
            # Not for ever: Windows lets no interrupt through to a wait without an end.
            index, outcome = done.get(timeout=_LOOK_UP)
        except queue.Empty:
            continue
        results[index] = result = outcome.result()
        submit_next()
        arrived(index, result)
    return [results[index] for index in range(len(items))]


def in_time(work: Callable[[], _Result], seconds: float | None) -> _Result:
    """Return the result of `work`, which goes on by itself where it takes longer.

    Raises
    ------
    TimeoutError
        It was not done after so many seconds; None: there is no limit.
    """
    if seconds is None:
        return work()
    done: queue.SimpleQueue[Future[_Result]] = queue.SimpleQueue()
    threading.Thread(target=lambda: done.put(_outcome(lambda _: work(), None)), daemon=True).start()
    ends = time.monotonic() + seconds
    while True:
        try:
            return done.get(timeout=max(0.0, min(_LOOK_UP, ends - time.monotonic()))).result()
        except queue.Empty:
            if time.monotonic() >= ends:
                raise TimeoutError from None


def _one_by_one(
    work: Callable[[_Item], _Result], items: Sequence[_Item], arrived: Callable[[int, _Result], None]
) -> list[_Result]:
    results = []
    for index, item in enumerate(items):
        results.append(work(item))
        arrived(index, results[-1])
    return results


def _outcome(work: Callable[[_Item], _Result], item: _Item) -> Future[_Result]:
    """Return the result of `work` or its error, which belongs to whoever waits for it."""
    outcome: Future[_Result] = Future()
    try:
        outcome.set_result(work(item))
    except BaseException as error:  # noqa: BLE001  raised where it is waited for
        outcome.set_exception(error)
    return outcome

"""Threads of our own: as many as are needed, in order, and none that hangs or stays."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from domo_magic.model import concurrency
from domo_magic.model.concurrency import Pool, each

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 10.0
"""Seconds after which a test that hangs fails."""


def settled(condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds."""
    ticking = threading.Event()
    return any(condition() or ticking.wait(0.005) for _ in range(int(LONG / 0.005)))


@pytest.mark.parametrize("parallel", [1, 2, 16, 99])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_results_come_in_the_order_of_the_items(parallel: int, count: int) -> None:
    """However many work at the same time, results stand where their items stood."""
    assert each(lambda item: item * 2, range(count), parallel=parallel) == [2 * n for n in range(count)]


def test_no_more_work_at_the_same_time_than_asked_for() -> None:
    """With parallel=3, three work side by side, and never four."""
    lock, under_way, most, three = threading.Lock(), list[int](), list[int](), threading.Barrier(3)

    def work(item: int) -> None:
        with lock:
            under_way.append(item)
            most.append(len(under_way))
        three.wait(LONG)
        with lock:
            under_way.remove(item)

    each(work, range(12), parallel=3)
    assert max(most) == 3


def test_arrivals_are_told_on_the_calling_thread() -> None:
    """Each result is handed over as it comes, on the thread that asked."""
    told = []

    def arrived(index: int, result: str) -> None:
        told.append((index, result, threading.current_thread()))

    each(str.upper, ["a", "b"], parallel=2, arrived=arrived)
    here = threading.current_thread()
    assert sorted(told, key=lambda entry: entry[0]) == [(0, "A", here), (1, "B", here)]


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_what_work_raises_is_raised_here(kind: type[BaseException]) -> None:
    """An error on a thread is no hang: it reaches whoever waits, and the pool goes on working."""

    def work(item: int) -> int:
        if item == 1:
            raise kind
        return item

    with pytest.raises(kind):
        each(work, range(40), parallel=4)
    assert each(lambda item: item, range(40), parallel=16) == list(range(40))


def test_after_an_error_nothing_new_is_begun() -> None:
    """What was not begun when an error is raised is not begun afterwards."""
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        each(work, range(40), parallel=1)
    assert each(len, [[], [1]], parallel=2) == [0, 1]
    assert begun == [0]


def test_an_error_of_whoever_is_told_ends_the_waiting() -> None:
    """An interrupt while an arrival is told gets through at once, though others hang."""
    go_on = threading.Event()

    def work(item: int) -> None:
        if item:
            go_on.wait(LONG)

    def arrived(_index: int, _result: None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        each(work, range(3), parallel=3, arrived=arrived)
    assert not go_on.is_set()
    go_on.set()


def test_a_job_never_waits_behind_another_while_threads_may_be_made() -> None:
    """Two jobs that need each other always run side by side, however they meet an idle thread."""
    pool, met = Pool(2), threading.Semaphore(0)
    for _ in range(500):
        both = threading.Barrier(2)

        def job(both: threading.Barrier = both) -> None:
            both.wait(LONG)
            met.release()

        pool.submit(job)
        pool.submit(job)
        assert met.acquire(timeout=LONG)
        assert met.acquire(timeout=LONG)


def test_a_pool_makes_no_more_threads_than_it_may_and_needs() -> None:
    """A single thread does jobs that come one after the other; a hundred at once get 16."""
    pool, done = Pool(16), threading.Semaphore(0)
    for _ in range(20):
        pool.submit(done.release)
        assert done.acquire(timeout=LONG)
        assert settled(lambda: pool.unfinished == 0)
    assert pool.threads == 1
    go_on, most = threading.Event(), threading.Semaphore(0)

    def job() -> None:
        most.release()
        go_on.wait(LONG)

    for _ in range(100):
        pool.submit(job)
    for _ in range(16):
        assert most.acquire(timeout=LONG)
    assert not most.acquire(timeout=0.02)
    assert pool.threads == 16
    go_on.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_job_that_raises_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in a job is shown as any thread's is, and the jobs behind it are done."""
    pool, shown, done = Pool(1), list[object](), threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda told: shown.append(told.exc_type))
    pool.submit(lambda: 1 / 0)  # type: ignore[arg-type]
    pool.submit(done.set)
    assert done.wait(LONG)
    assert shown == [ZeroDivisionError]


def test_idle_threads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that has nothing to do for a while is gone, and comes back for the next job."""
    monkeypatch.setattr(concurrency, "_IDLE", 0.01)
    pool, done = Pool(4), threading.Semaphore(0)
    for _ in range(2):
        for _ in range(4):
            pool.submit(done.release)
        for _ in range(4):
            assert done.acquire(timeout=LONG)
        assert settled(lambda: pool.threads == 0)


@pytest.mark.parametrize("lives", [True, False])
def test_what_fails_while_the_interpreter_shuts_down_is_not_shown(*, lives: bool) -> None:
    """Then no thread can be started: a poller that tries would end a terminal's line with a traceback."""
    wait = "" if lives else "threading.main_thread().join(); "
    code = (
        "import threading; from domo_magic.model.concurrency import guarded\n"
        f"def late(): {wait}guarded(lambda: 1 / 0)\n"
        "thread = threading.Thread(target=late); thread.start()\n"
        f"thread.join({LONG if lives else 0})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ("ZeroDivisionError" in done.stderr) == lives


def test_an_interpreter_ends_though_threads_work() -> None:
    """A thread that hangs keeps no interpreter alive."""
    program = (
        "import threading\n"
        "from domo_magic.model.concurrency import POOL\n"
        "POOL.submit(threading.Event().wait)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)

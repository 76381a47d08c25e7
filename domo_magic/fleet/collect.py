"""The runs of very many streams into a dataset: who reads what, and when; tasks do it, wherever they run."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections import Counter, deque
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domo_magic.errors import ConfigurationError, DomoError, RateLimited
from domo_magic.fleet import executors, reading
from domo_magic.fleet.dataset import Dataset, Key, Known, Row, Stream, unwritable
from domo_magic.fleet.overview import connectors_named
from domo_magic.model.formatting import count_text
from domo_magic.model.frame import typed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from domo_magic.executions.session import Session
    from domo_magic.fleet.reading import Done, Work

#: The columns of what `collect` returns, with their kinds.
COLUMNS = {
    "instance": "text",
    "streamId": "whole",
    "name": "text",
    "fetched": "whole",
    "newest": "whole",
    "error": "text",
}
# Tasks of an instance at the same time, which share its requests; streams of one at most, and at least as
# long as there are enough; and how often one is given out again whose worker was lost.
_TASKS, _STREAMS, _FEWEST, _TRIES, _ALONE = 2, 256, 16, 3, 2
# Tasks at the same time on threads, of however many instances: one interpreter has enough to do with them.
_THREADS = 8
# What tasks wrote becomes a part from so many bytes on (some 64 MB of Parquet), or after so many seconds.
_PART, _PAUSE = 512 * 1024 * 1024, 60.0
# Seconds in which tasks under way can hand over what they have read, when all ends early.
_LAST = 1.0
# Seconds between two looks at the clock while tasks are under way.
_LOOK = 0.2
_LONGEST_PAUSE = 60.0
_NEVER = threading.Event()


@dataclass(slots=True)
class Instance:
    """One instance whose streams are collected.

    Attributes
    ----------
    name : str
        As rows have it.
    session : Session or None
        The connection, None where there is none.
    streams : dict or None
        ``{stream id: name}``; None: every connector.
    error : str or None
        Why there are no streams.
    """

    name: str
    session: Session | None
    streams: dict[int, str | None] | None = None
    error: str | None = None


@dataclass(slots=True)
class _Queue:
    """What is still to be read of one instance, and the requests that no task has."""

    place: reading.Place
    session: Session
    works: deque[Work]
    leases: list[int]
    tries: Counter[int] = field(default_factory=Counter)
    under_way: int = 0
    quiet_until: float = 0.0
    refused: int = 0
    refused_since: float | None = None

    @property
    def ended(self) -> bool:
        return not (self.works or self.under_way)


def collect(
    dataset: Dataset,
    instances: Sequence[Instance],
    *,
    since_us: int = 0,
    executor: Executor | None = None,
    parallel: int = 16,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[pd.DataFrame, str]:
    """Bring a dataset up to date; return one row per stream, and what was done in words.

    Parameters
    ----------
    dataset : Dataset
        Where to.
    instances : sequence of Instance
        Of what.
    since_us : int
        Epoch microseconds; runs that began before are left out.
    executor : concurrent.futures.Executor, optional
        Where tasks run; by default on threads.
    parallel : int
        Requests to one instance at the same time.
    progress : callable, optional
        Called with the streams done, and how many there are.

    Raises
    ------
    DomoError
        The folder cannot be used, or the only instance does not list its DataSets.
    """
    threads = None if executor is not None else ThreadPoolExecutor(min(_THREADS, _TASKS * len(instances)))
    try:
        with dataset.opened():
            collecting = _Collecting(dataset, instances, since_us, executor or threads, parallel)
            try:
                collecting.run(progress)
            finally:
                collecting.end()
            return collecting.rows(), collecting.headline()
    finally:
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)


class _Collecting:
    """One collect, from the first request to the last rename; all on one thread."""

    def __init__(
        self,
        dataset: Dataset,
        instances: Sequence[Instance],
        since_us: int,
        executor: Any,
        parallel: int,
    ) -> None:
        self._dataset = dataset
        self._instances = instances
        self._since = since_us
        self._executor = executor
        self._parallel = parallel
        self._queues: list[_Queue] = []
        self._ended: queue.SimpleQueue[Future[Done]] = queue.SimpleQueue()
        self._tasks: dict[Future[Done], tuple[_Queue, list[Work], int]] = {}
        self._pending: list[Done] = []
        self._committed_at = self._heard_at = time.monotonic()
        self._fetched: Counter[Stream] = Counter()
        self._newest: dict[Stream, int] = {}
        self._errors: dict[Stream, str] = {}

    def run(self, progress: Callable[[int, int], None]) -> None:
        """Read everything."""
        self._try_worker()
        for instance in self._instances:
            self._prepare(instance)
            for each in self._queues[-1:]:
                self._give_out(each)  # read while the others are listed
        every = sum(len(each.streams or {}) for each in self._instances)
        while not all(each.ended for each in self._queues):
            for each in self._queues:
                self._give_out(each)
            self._wait()
            left = sum(len(each.works) for each in self._queues)
            progress(every - left - sum(len(works) for _, works, _ in self._tasks.values()), every)
            size = sum(done.size for done in self._pending)
            if size >= _PART or time.monotonic() - self._committed_at > _PAUSE:
                self._commit()

    def end(self) -> None:
        """Give up what is under way, and commit what is there."""
        for task in self._tasks:
            task.cancel()
        for each in self._queues:
            reading.withdraw(each.place.home)
        try:
            self._await_last()
        finally:  # also where the user interrupts once more
            if self._pending:
                self._commit()

    def _await_last(self) -> None:
        """Take what tasks of this process write when they are told to end: the user interrupted, mostly."""
        ends = time.monotonic() + _LAST
        with suppress(DomoError, queue.Empty):
            while self._tasks:
                self._take(self._ended.get(timeout=max(0.0, ends - time.monotonic())))

    def _try_worker(self) -> None:
        """See whether a worker writes where this process reads."""
        aside = self._dataset.aside
        task = executors.submitted(self._executor, reading.try_folder, uuid.uuid4().hex, str(aside))
        try:
            name = next(executors.finished(self._executor, [task])).result()
        except OSError as error:
            raise unwritable(aside, error) from error
        self._see(aside / name)
        (aside / name).unlink()

    def _see(self, file: Path) -> None:
        if not file.exists():
            raise ConfigurationError(
                f"a worker does not see {self._dataset.aside}: what it wrote there is not here",
                "name a folder that every worker sees under the same path",
            )

    def _prepare(self, instance: Instance) -> None:
        """Queue the streams of an instance."""
        if (session := instance.session) is None:
            return
        try:
            instance.streams = self._streams(session) if instance.streams is None else instance.streams
        except DomoError as error:
            if len(self._instances) == 1:
                raise
            instance.error = error.summary
            return
        place = reading.Place(
            instance.name,
            session.login.address.url,
            reading.offer(session),
            str(self._dataset.aside),
            self._since,
            session.timeouts,
        )
        self._dataset.go_back(((instance.name, stream_id) for stream_id in instance.streams), self._since)
        started_here = set(session.history.streams_with_runs(instance.name))
        works = deque(
            reading.Work(
                stream_id,
                name,
                self._dataset.known.get((instance.name, stream_id), Known()),
                self._dataset.there((instance.name, stream_id)),
                session.history.requests(instance.name, stream_id) if stream_id in started_here else {},
            )
            for stream_id, name in sorted(instance.streams.items())
        )
        tasks = min(_TASKS, self._parallel)
        leases = [(self._parallel + at) // tasks for at in range(tasks)]
        self._queues.append(_Queue(place, session, works, leases))

    def _streams(self, session: Session) -> dict[int, str | None]:
        """Return every connector; an instance that is rate limiting is given time."""
        waited = 0.0
        while True:
            try:
                return connectors_named(session, self._parallel)
            except RateLimited:
                pause = session.client.retry_after or session.timeouts.retry_pause
                waited += pause
                if waited > session.timeouts.longest_retry_after:
                    raise
                session.clock.wait(_NEVER, pause)

    def _give_out(self, of: _Queue) -> None:
        """Lease an instance's requests to tasks."""
        if of.session.clock.monotonic() < of.quiet_until:
            return
        while of.leases and of.works:
            works, lease = _next(of), of.leases.pop()
            try:
                task = self._executor.submit(reading.read, uuid.uuid4().hex, of.place, works, lease)
            except Exception as error:  # noqa: BLE001  an executor that has broken down takes nothing
                of.works.extendleft(works)
                self._give_up(of, f"the executor takes no more tasks: {executors.said(error)}")
                return
            of.under_way += 1
            self._tasks[task] = of, works, lease
            task.add_done_callback(self._ended.put)

    def _wait(self) -> None:
        """Wait for a task, or for the time when the next may begin."""
        if self._tasks:
            try:
                self._take(self._ended.get(timeout=_LOOK))
                while True:
                    self._take(self._ended.get_nowait())
            except queue.Empty:
                self._look_after()
                return
        quiet = [each for each in self._queues if not each.ended]
        if quiet:
            clock = quiet[0].session.clock
            clock.wait(_NEVER, max(0.0, min(each.quiet_until for each in quiet) - clock.monotonic()))

    def _look_after(self) -> None:
        """Take tasks for lost where nothing is heard of them, and the executor takes no others."""
        if time.monotonic() - self._heard_at < executors.SILENT:
            return
        self._heard_at = time.monotonic()
        if error := executors.refusal(self._executor):
            for task in list(self._tasks):
                of, works, _ = self._freed(task)
                self._lost(of, works, error)

    def _freed(self, task: Future[Done]) -> tuple[_Queue, list[Work], int]:
        of, works, lease = self._tasks.pop(task)
        of.under_way -= 1
        of.leases.append(lease)
        return of, works, lease

    def _take(self, task: Future[Done]) -> None:
        self._heard_at = time.monotonic()
        if task not in self._tasks:  # it was taken for lost
            return
        of, works, _ = self._freed(task)
        try:
            done = task.result()
        except (Exception, CancelledError) as error:  # noqa: BLE001  the worker has died, or worse
            self._lost(of, works, error)
            return
        if done.disk is not None:
            raise unwritable(self._dataset.aside, done.disk)
        if done.file:
            self._see(Path(done.file))
        instance = of.place.instance
        self._pending.append(done)
        self._fetched.update({(instance, stream_id): count for stream_id, count in done.fetched.items()})
        self._newest |= {stream: known.newest for stream, known in done.states.items()}
        self._errors |= {(instance, stream_id): why for stream_id, why in done.failed.items()}
        of.works.extendleft(reversed(done.left))
        if done.wait is not None:
            self._pause(of, done.wait)
        elif done.states:
            of.refused, of.refused_since = 0, None

    def _lost(self, of: _Queue, works: Sequence[Work], error: BaseException) -> None:
        """Give out once more what a lost worker had, or take note of why not."""
        for work in works:
            of.tries[work.stream_id] += 1
            if of.tries[work.stream_id] <= _TRIES:
                of.works.append(work)
            else:
                self._errors[of.place.instance, work.stream_id] = (
                    f"the worker was lost: {executors.said(error)}"
                )

    def _pause(self, of: _Queue, seconds: float) -> None:
        """Send nothing for as long as an instance wants, within reason."""
        now, timeouts = of.session.clock.monotonic(), of.session.timeouts
        of.refused_since = now if of.refused_since is None else of.refused_since
        of.refused += not seconds
        pause = seconds or min(timeouts.retry_pause * 2.0**of.refused, _LONGEST_PAUSE)
        of.quiet_until = max(of.quiet_until, now + pause)
        if of.quiet_until - of.refused_since > timeouts.longest_retry_after:
            self._give_up(of, f"{of.session.login.address.host} is rate limiting; retry after {pause:.0f} s")

    def _give_up(self, of: _Queue, why: str) -> None:
        self._errors |= {(of.place.instance, work.stream_id): why for work in of.works}
        of.works.clear()

    def _commit(self) -> None:
        """Make a part of what tasks wrote."""
        files = [Path(done.file) for done in self._pending if done.file]
        states: dict[Stream, Known] = {}
        touched: dict[Key, Row | None] = {}
        for done in self._pending:
            states |= done.states
            touched |= done.touched
        self._pending = []
        self._committed_at = time.monotonic()
        try:
            self._dataset.commit(files, states, touched)
        except OSError as error:
            raise unwritable(self._dataset.path, error) from error

    def rows(self) -> pd.DataFrame:
        """Return one row per stream, those with an error first."""
        rows: list[tuple[Any, ...]] = []
        for instance in self._instances:
            if instance.streams is None:
                rows.append((instance.name, None, None, None, None, instance.error))
            for stream_id, name in sorted((instance.streams or {}).items()):
                key = instance.name, stream_id
                newest = self._newest.get(key) or self._dataset.known.get(key, Known()).newest or None
                rows.append((*key, name, self._fetched[key], newest, self._errors.get(key)))
        rows.sort(key=lambda row: row[-1] is None)
        columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
        return typed(dict(zip(COLUMNS, columns, strict=True)), COLUMNS)

    def headline(self) -> str:
        """Return what was done in words."""
        streams = sum(len(each.streams or {}) for each in self._instances)
        failed = len(self._errors) + sum(each.streams is None for each in self._instances)
        fetched = count_text(self._fetched.total(), "runs")
        words = f"{count_text(streams, 'streams')} · {fetched} fetched"
        return f"{words} · {failed:,} with an error" if failed else words


def _next(of: _Queue) -> list[Work]:
    """Take the streams of the next task: fewer towards the end, so that all end together.

    One that was lost with its worker twice is alone, for it may be what ends workers.
    """
    left = len(of.works)
    most = min(_STREAMS, max(-(-left // (2 * _TASKS)), min(_FEWEST, -(-left // _TASKS))))
    works = [of.works.popleft()]
    while len(works) < most and max(of.tries[each.stream_id] for each in (works[0], of.works[0])) < _ALONE:
        works.append(of.works.popleft())
    return works

"""What a task of `collect` does, in whatever process: read lists of runs, and write them to a file."""

from __future__ import annotations

import os
import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domo_magic.analysis.arrow import arrow, schema, to_arrow
from domo_magic.errors import ApiError, AuthenticationError, DomoError, NotFound
from domo_magic.fleet.dataset import BATCH, ORDER, Key, Known, Row, Stream
from domo_magic.http.client import PAGE, Client
from domo_magic.http.credentials import resolve
from domo_magic.http.response import oversized
from domo_magic.http.retry import REPEATS
from domo_magic.http.transport import Transport
from domo_magic.model.bulk import no_collecting
from domo_magic.model.execution import FINAL_STATES, Execution, microseconds, whole
from domo_magic.model.timeouts import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from domo_magic.executions.session import Session
    from domo_magic.model.frame import Known as Facts
    from domo_magic.model.timeouts import Clock, Timeouts

    Record = dict[str, Any]
    Runs = dict[int, Record]

#: Seconds after which a task begins no other page.
LEASE = 5.0
# Runs read again at the end of what is known: some may have appeared late.
_OVERLAP = 9
# Rows of a task. Records become columns as soon as they fill a batch: parsed JSON takes five times as much.
_ENOUGH = 50_000
# Domo gives that many at once, if the request names no fewer: a shorter page of what is new is all of it.
_LEAST = 50
# A server that passes over `offset` lists for ever.
_MOST = 200_000
# After so many pages of one length with nothing behind them, this length is not the server's limit.
_CLEAN = 3
_NOT_OURS = None, None
_NEVER = threading.Event()


@dataclass(frozen=True, slots=True)
class Work:
    """A stream whose new runs are wanted.

    Attributes
    ----------
    stream_id : int
        The stream.
    name : str or None
        Its DataSet's.
    known : Known
        What the dataset has of it.
    there : frozenset of int
        Runs that the dataset has although nothing is `known`.
    ours : dict
        ``{execution id: (label, epoch milliseconds of the request)}`` of runs started here.
    begun : bool
        Some of its pages were read just now.
    """

    stream_id: int
    name: str | None = None
    known: Known = field(default_factory=Known)
    there: frozenset[int] = frozenset()
    ours: dict[int | None, tuple[str | None, int | None]] = field(default_factory=dict)
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task reads and writes; it holds no token.

    Attributes
    ----------
    instance, url : str
        Its name in the rows, and its address.
    home : str
        Which process connected to it: there a task uses its session, elsewhere the process's own login.
    aside : str
        The folder to write to.
    since_us : int
        Epoch microseconds; how far back streams are read.
    timeouts : Timeouts
        Of requests.
    """

    instance: str
    url: str
    home: str
    aside: str
    since_us: int
    timeouts: Timeouts


@dataclass(slots=True)
class Done:
    """What a task did.

    Attributes
    ----------
    file : str or None
        An Arrow file with the runs that have ended, by stream and execution.
    size : int
        Its bytes.
    states : dict
        ``{stream: Known}`` of the streams that were read, as far as they were.
    touched : dict
        ``{key: row}`` of unfinished runs; None for a run that had been unfinished, and is in the file.
    fetched : dict
        ``{stream id: count}`` of the runs that are new, or have ended.
    left : list of Work
        What was not begun, or not ended, in time.
    failed : dict
        ``{stream id: why}``.
    wait : float or None
        Seconds until the next request to this instance; 0: it did not say. None: it has not refused.
    disk : str or None
        Why nothing could be written.
    """

    file: str | None = None
    size: int = 0
    states: dict[Stream, Known] = field(default_factory=dict)
    touched: dict[Key, Row | None] = field(default_factory=dict)
    fetched: Counter[int] = field(default_factory=Counter)
    left: list[Work] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    wait: float | None = None
    disk: str | None = None


class _Source:
    """A client of one instance, with what is known of the length of its pages."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self.client = client
        self.clock = clock
        self.closed = False
        self._limit, self._longest = PAGE, 0
        self._clean: Counter[int] = Counter()
        self._looking = threading.Lock()

    def page(self, stream_id: int, offset: int, limit: int = PAGE) -> tuple[Runs, int]:
        """Return the runs from an offset on by their ids, and how many items there were."""
        self.rest()
        records = self.client.list_records(stream_id, limit, offset, repeat=False)
        return {key: record for record in records if (key := _id(record)) > 0}, len(records)

    def rest(self) -> None:
        """Refuse to send anything before a ``Retry-After`` is over."""
        if self.client.retry_after:
            raise self.client.rate_limited()

    def ends_with(self, stream_id: int, length: int, end: int) -> bool:
        """Return True if nothing stands behind a page of such a length.

        Nobody knows how many runs Domo gives at most at once. A page that is shorter than another one is the
        end; what stands behind the longest so far is looked at, until it is known not to be the limit.
        """
        with self._looking:
            if length >= self._limit:
                return False
            if length >= self._longest and length and self._clean[length] < _CLEAN:
                self._longest = length
                if self.page(stream_id, end, 1)[1]:
                    self._limit = length
                    return False
                self._clean[length] += 1
            return True


_here: dict[str, _Source] = {}
_elsewhere: dict[tuple[int, str, Timeouts], _Source] = {}


def offer(session: Session) -> str:
    """Let tasks in this process use a session; return the name under which."""
    home = f"{os.getpid()} {uuid.uuid4().hex}"
    _here[home] = _Source(session.client, session.clock)
    return home


def withdraw(home: str) -> None:
    """End what `offer` began; tasks that still run send no further request."""
    _here.pop(home).closed = True


def _source(place: Place) -> _Source:
    if place.home in _here and place.home.startswith(f"{os.getpid()} "):
        return _here[place.home]
    key = os.getpid(), place.url, place.timeouts
    if key not in _elsewhere:
        login, clock = resolve(place.url, None), SystemClock()
        client = Client(Transport(login, place.timeouts, clock), login, place.timeouts, clock)
        _elsewhere[key] = _Source(client, clock)
    return _elsewhere[key]


def try_folder(_nonce: str, aside: str) -> str:
    """Write a file, and return its name: the coordinator looks whether it is there."""
    name = f"{uuid.uuid4().hex}.try"
    Path(aside, name).write_bytes(b"\0" * 4096)
    return name


def read(_nonce: str, place: Place, works: Sequence[Work], parallel: int) -> Done:
    """Read the new runs of streams, for some 5 s, and write those that have ended to a file.

    Parameters
    ----------
    _nonce : str
        Makes every task another one: an executor may take equal ones for the same.
    place : Place
        Where from and where to.
    works : sequence of Work
        The streams, by rising id.
    parallel : int
        Requests at the same time.
    """
    try:
        source = _source(place)
    except DomoError as error:
        return Done(failed=dict.fromkeys((work.stream_id for work in works), error.summary))
    task = _Task(source, place, works)
    with no_collecting(), ThreadPoolExecutor(parallel) as pool:
        list(pool.map(task.read, [work.stream_id for work in works]))
    task.finish()
    return task.done


class _Task:
    """Collects rows from several threads, and writes them sorted."""

    def __init__(self, source: _Source, place: Place, works: Sequence[Work]) -> None:
        self.done = Done()
        self._source = source
        self._place = place
        self._works = {work.stream_id: work for work in works}
        self._began = source.clock.monotonic()
        self._refused: str | None = None
        self._failing = False
        self._lock = threading.Lock()
        self._waiting: list[tuple[Record, Facts]] = []
        self._unfinished: dict[Key, tuple[Record, Facts]] = {}
        self._tables: list[Any] = []

    def read(self, stream_id: int) -> None:
        """Read a stream as far as there is time; what may pass is tried again, if others do not fail too."""
        client, clock = self._source.client, self._source.clock
        for attempt in range(REPEATS + 1):
            try:
                all_of_it = self._read(stream_id)
            except DomoError as error:
                status = error.status if isinstance(error, ApiError) else 0
                if status == 429 or client.retry_after:
                    self.done.wait = client.retry_after
                    self.done.left.append(self._works[stream_id])
                    return
                passing = not 0 < status < 500
                if not passing or self._failing or attempt == REPEATS:
                    self._failed(stream_id, error, passing=passing)
                    return
            else:
                self._failing = False
                if not all_of_it:
                    self.done.left.append(self._works[stream_id])
                return
            clock.wait(_NEVER, self._place.timeouts.retry_pause * 2.0**attempt)

    def _failed(self, stream_id: int, error: DomoError, *, passing: bool) -> None:
        self.done.failed[stream_id] = error.summary
        self._failing = self._failing or passing
        if isinstance(error, AuthenticationError) and error.status == 401:
            self._refused = error.summary
            _elsewhere.pop((os.getpid(), self._place.url, self._place.timeouts), None)

    def _over(self) -> bool:
        late = self._source.clock.monotonic() - self._began >= LEASE
        refused = self.done.wait is not None or self._source.client.retry_after > 0
        return late or refused or self._source.closed

    def _read(self, stream_id: int) -> bool:
        """Read a stream from where it is known; return False if more is to be read."""
        if self._refused:
            self.done.failed[stream_id] = self._refused
            return True
        if self._over() or len(self._tables) * BATCH >= _ENOUGH:
            return False
        work = self._works[stream_id]
        for runs, known, more in _new(self._source, work, self._place.since_us):
            self._add(stream_id, runs, known)
            if more and self._over():
                return False
        return True

    def _add(self, stream_id: int, runs: Runs, known: Known) -> None:
        """Take runs of a stream, and what is known with them; of a stream one thread at a time reads."""
        work, instance = self._works[stream_id], self._place.instance
        before = frozenset(work.known.open)
        facts: dict[int, Facts] = {
            key: (stream_id, key, work.name, instance, *work.ours.get(key, _NOT_OURS)) for key in runs
        }
        running = {key for key, record in runs.items() if not _ended(record, before=key in before)}
        for key in running:
            self._unfinished[instance, stream_id, key] = runs[key], facts[key]
        over = before & (runs.keys() - running)
        for key in over:
            self._unfinished.pop((instance, stream_id, key), None)
            self.done.touched[instance, stream_id, key] = None
        unfinished = (before - over) | running
        ended = [(record, facts[key]) for key, record in runs.items() if key not in running]
        self.done.fetched[stream_id] += len(runs.keys() - (before & unfinished))
        beyond = {*known.beyond, *runs} - unfinished
        known = replace(
            known,
            open=tuple(sorted(unfinished)),
            beyond=tuple(sorted(each for each in beyond if each > known.newest)),
        )
        self.done.states[instance, stream_id] = known
        self._works[stream_id] = replace(work, known=known, begun=True)
        with self._lock:
            self._waiting += ended
            if len(self._waiting) < BATCH:
                return
            ended, self._waiting = self._waiting, []
        self._tables.append(to_arrow(*zip(*ended, strict=True)))

    def finish(self) -> None:
        """Write what was read."""
        if self._waiting:
            self._tables.append(to_arrow(*zip(*self._waiting, strict=True)))
        if self._unfinished:
            rows = to_arrow(*zip(*self._unfinished.values(), strict=True)).to_pylist()
            self.done.touched |= dict(zip(self._unfinished, rows, strict=True))
        if self._tables:
            try:
                self._write()
            except OSError as error:
                self.done = Done(disk=error.strerror or str(error))

    def _write(self) -> None:
        pa, _ = arrow()
        table = pa.concat_tables(self._tables).sort_by(ORDER).combine_chunks()
        path = Path(self._place.aside, f"{uuid.uuid4().hex}.arrow")
        with path.open("wb") as file, pa.ipc.new_file(file, schema()) as writer:
            writer.write_table(table, max_chunksize=BATCH)
        self.done.file, self.done.size = str(path), path.stat().st_size


def _ended(record: Record, *, before: bool) -> bool:
    """Return True if nothing more will come of a run: of its final state, or an end when known `before`."""
    state = record.get("currentState")
    if isinstance(state, str) and state in FINAL_STATES:  # nearly always
        return True
    run = Execution(0, None, record)
    return run.final or (before and run.ended_us is not None)


def _new(source: _Source, work: Work, since_us: int) -> Iterator[tuple[Runs, Known, bool]]:
    """Yield the new runs of a stream, what is known with them, and whether there may be more.

    Lists come oldest first as far as is known: new runs stand behind those that were read. Where a list is
    otherwise, or not what it was, all of it is read.
    """
    known, stream_id = work.known, work.stream_id
    seen = dict(_unfinished(source, stream_id, known.open))
    if seen and not work.there:
        yield seen, known, True
    there = work.there | seen.keys() | set(known.beyond)
    since_us = min(since_us, known.since_us) if known.newest else since_us
    start = max(0, known.last - _OVERLAP) if known.newest else _start(source, stream_id, since_us)
    page, length = source.page(stream_id, start)
    moved = start > 0 and (not _rising(page) or (known.newest > 0 and known.newest not in page))
    if moved:
        start, (page, length) = 0, source.page(stream_id, 0)
    # What is there is not known in part: a stream of which runs are there is read in one go.
    if moved or work.there or not _rising(page):
        page, end = _whole(source, stream_id, page, start + length, known.newest)
        new = _wanted(page, known, there, since_us) | (seen if work.there else {})
        yield new, _later(known, page, end, since_us), False
        return
    read: set[int] = set()
    while True:
        new = _wanted(page, known, there, since_us)
        nothing = page.keys() <= read or (not work.begun and known.newest in page and length < _LEAST)
        read |= page.keys()
        start += length
        known = _later(known, page, start, since_us)
        more = not (nothing or source.ends_with(stream_id, length, start))
        yield new, known, more
        if not more:
            return
        if len(read) > _MOST:
            raise oversized(f"stream {stream_id}")
        page, length = source.page(stream_id, start)


def _unfinished(source: _Source, stream_id: int, ids: Sequence[int]) -> Iterator[tuple[int, Record]]:
    """Yield the runs that had not ended, as they are now."""
    for execution_id in ids:
        source.rest()
        try:
            run = source.client.get_execution(stream_id, execution_id, repeat=False)
        except NotFound:
            continue
        yield execution_id, dict(run.fields)


def _start(source: _Source, stream_id: int, since_us: int) -> int:
    """Return a place in the list before which everything began too early."""
    if not since_us:
        return 0
    deadline = source.clock.monotonic() + LEASE
    place = max(0, source.client.latest_execution_id(stream_id, deadline=deadline) - PAGE + _OVERLAP)
    while place:
        first, _ = source.page(stream_id, place, 1)
        if first and min(map(_began, first.values())) < since_us:
            break
        place = max(0, place - PAGE + _OVERLAP)
    return place


def _whole(source: _Source, stream_id: int, found: Runs, end: int, newest: int) -> tuple[Runs, int]:
    """Return a list read on from its first page, and where it ends: 0 where it is not oldest first."""
    length = len(found)
    while len(found) < _MOST:
        if not _rising(found) and newest in found and list(found) == sorted(found, reverse=True):
            return found, 0  # newest first, read to what is known
        if source.ends_with(stream_id, length, end):
            break
        page, length = source.page(stream_id, end)
        if page.keys() <= found.keys():
            break
        found, end = found | page, end + length
    else:
        raise oversized(f"stream {stream_id}")
    return found, end if _rising(found) else 0


def _wanted(page: Runs, known: Known, there: frozenset[int], since_us: int) -> Runs:
    """Return those of the runs that the dataset does not have, and that did not begin too early."""
    return {
        key: run
        for key, run in page.items()
        if (key > known.newest or key in known.gaps)
        and key not in there
        and (not since_us or _began(run) >= since_us)
    }


def _later(known: Known, page: Runs, end: int, since_us: int) -> Known:
    """Return what is known of a stream with another page of its list, which ends at a place."""
    newest = max([known.newest, *page])
    lately = range(max(newest - _OVERLAP, min(page)), newest) if newest in page else range(0)
    gaps = {key for key in known.gaps if key > newest - 2 * _OVERLAP}.union(lately) - page.keys()
    return replace(known, last=end, newest=newest, since_us=since_us, gaps=tuple(sorted(gaps)))


def _rising(page: Runs) -> bool:
    return list(page) == sorted(page)


def _id(record: Record) -> int:
    return whole(record.get("executionId")) or 0


def _began(record: Record) -> int:
    began = microseconds(record.get("startedAt"))
    return 2**62 if began is None else began

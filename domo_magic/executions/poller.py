"""Polling runs to their end: one thread per session, which waiting, ``--bg`` and the panel subscribe to."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from domo_magic.errors import ApiError, DomoError, NotFound, RateLimited
from domo_magic.executions.schedule import next_delay
from domo_magic.http import pagination
from domo_magic.model.concurrency import POOL, guarded
from domo_magic.model.execution import CONNECTOR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Execution, Key

#: The name of the thread.
NAME = "domo_magic poller"
#: How often a listener is offered the time that has passed, in seconds.
TICK = 0.5
# A refusal between two good responses may be a captive portal's or a balancer's: it ends nothing alone.
_REFUSALS = 3
# Seconds that two clocks, and a start cut to whole seconds, may make of one moment.
_SAME_MOMENT = 2.0
_MICROSECONDS = 1e6


class Listener(Protocol):
    """Who is told about runs, on the poller's thread."""

    def seen(self, run: Execution) -> None:
        """Take a run as Domo just showed it."""

    def lost(self, run: Execution, error: DomoError) -> None:
        """Take note that a run cannot be polled any more."""

    def delayed(self, run: Execution, error: DomoError, since: float) -> None:
        """Take note that Domo has not told anything about a run `since` then (epoch seconds)."""

    def say(self, kind: str, text: str) -> None:
        """Show a line that stays; `kind` is ``good``, ``bad``, ``running`` or ``unknown``."""

    def tick(self) -> None:
        """Take note that time has passed."""

    def over(self) -> None:
        """Take note that nothing more will come: every run has ended or was lost, or the time is over."""


class Watch:
    """The runs that one listener wants to see to their end."""

    def __init__(self, listener: Listener, keys: Iterable[Key], deadline: float | None) -> None:
        self.listener = listener
        self.left = set(keys)
        self.deadline = deadline
        self.last_look = False


@dataclass(slots=True)
class _Stream:
    """The polled runs of one stream, which share their requests."""

    runs: dict[int, Execution] = field(default_factory=dict)
    durations: list[float] = field(default_factory=list)
    due: float = 0.0
    pending: bool = False
    stale: bool = False
    aborted_at: float | None = None
    failing_since: float | None = None
    failures: int = 0
    missing: dict[int, float] = field(default_factory=dict)


class Poller:
    """Polls the runs of one instance for any number of listeners.

    Everything but `watch` and `leave` happens on the poller's thread, which owns all state, is a daemon
    (it keeps no kernel and no script alive), and ends when nothing is watched.

    Parameters
    ----------
    session : Session
        The instance.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._streams: dict[int, _Stream] = {}
        self._watches: list[Watch] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(
        self,
        runs: Sequence[Execution],
        listener: Listener,
        *,
        timeout: float | None = None,
        aborted: bool = False,
        stale: bool = False,
    ) -> Watch:
        """Tell a listener about runs until each has ended, from any thread.

        Parameters
        ----------
        runs : sequence of Execution
            The runs, as they were last seen.
        listener : Listener
            Who is told; first of all, the runs as they are.
        timeout : float, optional
            Seconds after which the listener is left alone, after one more request for each of its runs.
        aborted : bool
            The runs were aborted and will end soon.
        stale : bool
            They were seen some time ago: they are requested at once.
        """
        deadline = None if timeout is None else self._session.clock.monotonic() + timeout
        watch = Watch(listener, (run.key for run in runs), deadline)
        with self._lock:
            self._inbox.put(partial(self._add, watch, runs, aborted=aborted, stale=stale))
            self._wake.set()
            if self._thread is None or not self._thread.is_alive():  # a forked process has no such thread
                self._thread = threading.Thread(target=partial(guarded, self._work), name=NAME, daemon=True)
                self._thread.start()
        return watch

    def leave(self, watch: Watch) -> None:
        """Tell its listener nothing more; the runs continue in Domo."""
        # The garbage collector may call this on a thread that holds any lock, so that none is taken here.
        self._inbox.put(partial(self._end, watch))

    # The thread

    def _work(self) -> None:
        while True:
            self._receive()
            for watch in list(self._watches):
                guarded(watch.listener.tick)
            now = self._session.clock.monotonic()
            self._end_overdue(now)
            with self._lock:
                if not self._watches and self._inbox.empty():
                    self._thread = None
                    return
            self._request_due(now)
            self._session.clock.wait(self._wake, self._pause(now))
            self._wake.clear()

    def _receive(self) -> None:
        while True:
            try:
                work = self._inbox.get_nowait()
            except queue.Empty:
                return
            guarded(work)

    def _post(self, work: Callable[[], None]) -> None:
        self._inbox.put(work)
        self._wake.set()

    def _pause(self, now: float) -> float:
        due = [stream.due - now for stream in self._streams.values() if not stream.pending]
        ends = [
            watch.deadline - now
            for watch in self._watches
            if watch.deadline is not None and not watch.last_look
        ]
        return min(TICK, *due, *ends) if due or ends else TICK

    # Watches

    def _add(self, watch: Watch, runs: Sequence[Execution], *, aborted: bool, stale: bool) -> None:
        self._watches.append(watch)
        for run in runs:
            stream = self._streams.get(run.stream_id)
            if stream is None:
                stream = self._streams[run.stream_id] = _Stream()
                self._learn(run.stream_id, stream)
            if aborted:
                stream.aborted_at = self._session.clock.time()
            stream.stale |= stale
            self._saw(stream, run)
            self._schedule(run.stream_id, stream)
        if not runs:
            self._end(watch)

    def _end(self, watch: Watch) -> None:
        """Let a listener go, and stop polling what nobody else watches."""
        if watch not in self._watches:
            return
        self._watches.remove(watch)
        for stream_id, execution_id in watch.left:
            if not self._watching((stream_id, execution_id)) and stream_id in self._streams:
                self._streams[stream_id].runs.pop(execution_id or 0, None)
                self._schedule(stream_id, self._streams[stream_id])
        guarded(watch.listener.over)

    def _end_overdue(self, now: float) -> None:
        for watch in [each for each in self._watches if each.deadline is not None and now >= each.deadline]:
            streams = [self._streams[stream_id] for stream_id, _ in watch.left if stream_id in self._streams]
            if not watch.last_look:
                watch.last_look = True
                for stream in streams:
                    stream.due = now
                continue
            late = now >= (watch.deadline or 0.0) + self._session.timeouts.last_look
            if late or not any(stream.pending for stream in streams):
                self._end(watch)

    def _watching(self, key: Key) -> list[Watch]:
        return [watch for watch in self._watches if key in watch.left]

    def _done(self, key: Key) -> None:
        """Take a run that has ended or was lost off every list."""
        for watch in self._watching(key):
            watch.left.discard(key)
            if not watch.left:
                self._end(watch)

    # Requests

    def _request_due(self, now: float) -> None:
        quiet = self._session.client.retry_after
        for stream_id, stream in list(self._streams.items()):
            if stream.pending or stream.due > now:
                continue
            if quiet > self._session.timeouts.longest_retry_after:
                self._give_up(stream_id, stream, self._session.client.rate_limited())
            elif quiet:
                stream.due = now + quiet
            else:
                stream.pending = True
                POOL.submit(partial(self._request, stream_id, list(stream.runs)))

    def _request(self, stream_id: int, wanted: Sequence[int]) -> None:
        """Request the runs of one stream, on a thread of the pool."""
        try:
            found, missing = pagination.these(self._session.client, stream_id, wanted)
        except DomoError as error:
            self._post(partial(self._failed, stream_id, error))
        except Exception as error:  # noqa: BLE001  a bug of ours on a thread must reach the user
            self._post(partial(self._failed, stream_id, DomoError(f"polling {stream_id} broke: {error!r}")))
        else:
            self._post(partial(self._found, stream_id, found, missing))

    def _found(self, stream_id: int, runs: Sequence[Execution], missing: Mapping[int, NotFound]) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return  # it came after the end
        stream.failing_since, stream.failures, stream.pending, stream.stale = None, 0, False, False
        wanted = [run for run in runs if (run.execution_id or 0) in stream.runs]
        looks = [self._saw(stream, run) for run in wanted]
        if looks:
            self._session.history.saw(self._session.instance, looks)
        for execution_id, error in missing.items():
            self._missed(stream, execution_id, error)
        self._schedule(stream_id, stream)

    def _saw(self, stream: _Stream, run: Execution) -> Execution:
        """Tell those who watch a run how it was just seen."""
        number, key = run.execution_id or 0, run.key
        before = stream.runs.get(number)
        run = self._session.known(run) if before is None else before.seen(run) if run.fields else before
        over = run.over(before)
        if over:
            stream.runs.pop(number, None)
        else:
            stream.runs[number] = run
        for watch in self._watching(key):
            guarded(partial(watch.listener.seen, run))
        if over:
            self._done(key)
        return run

    def _missed(self, stream: _Stream, execution_id: int, error: NotFound) -> None:
        """Give up a run that Domo does not have; one that was just started may not be listed yet."""
        now = self._session.clock.monotonic()
        run = stream.runs.get(execution_id)
        since = stream.missing.setdefault(execution_id, now)
        if run is not None and (not run.fields or now - since >= self._session.timeouts.look):
            self._lose(stream, run, error)

    def _lose(self, stream: _Stream, run: Execution, error: DomoError) -> None:
        stream.runs.pop(run.execution_id or 0, None)
        for watch in self._watching(run.key):
            guarded(partial(watch.listener.lost, run, error))
        self._done(run.key)

    def _failed(self, stream_id: int, error: DomoError) -> None:
        """Request again later, with growing pauses, unless that is useless."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        timeouts, now = self._session.timeouts, self._session.clock.monotonic()
        stream.pending = False
        stream.failing_since = now if stream.failing_since is None else stream.failing_since
        stream.failures += 1
        failing = now - stream.failing_since
        too_long = self._session.client.retry_after > timeouts.longest_retry_after
        if too_long or _hopeless(error, stream.failures, failing, timeouts.look):
            self._give_up(stream_id, stream, error)
            return
        pause = min(timeouts.poll_longest, timeouts.poll_shortest * 2.0 ** min(stream.failures, 10))
        stream.due = now + max(pause, self._session.client.retry_after)
        since = self._session.clock.time() - failing
        for run in list(stream.runs.values()):
            for watch in self._watching(run.key):
                guarded(partial(watch.listener.delayed, run, error, since))

    def _give_up(self, stream_id: int, stream: _Stream, error: DomoError) -> None:
        for run in list(stream.runs.values()):
            self._lose(stream, run, error)
        self._schedule(stream_id, stream)

    # When

    def _schedule(self, stream_id: int, stream: _Stream) -> None:
        if not stream.runs:
            self._streams.pop(stream_id, None)
            return
        delays = [self._delay(stream, run) for run in stream.runs.values()]
        stream.due = self._session.clock.monotonic() + min(delays)

    def _delay(self, stream: _Stream, run: Execution) -> float:
        """Return the seconds after which it is worth requesting a run again."""
        timeouts, now = self._session.timeouts, self._session.clock.time()
        shortest, longest = timeouts.poll_shortest, timeouts.poll_longest
        if stream.stale or not run.fields:
            return 0.0  # never seen yet, or some time ago
        if stream.aborted_at is not None:  # what usually takes minutes is aborted in seconds
            return min(longest, max(shortest, (now - stream.aborted_at) / 2))
        elapsed = elapsed_of(self._session, run)
        if run.finished or elapsed is None:
            return shortest
        return next_delay(elapsed, stream.durations, shortest=shortest, longest=longest)

    def _learn(self, stream_id: int, stream: _Stream) -> None:
        """Find out how long the stream's runs usually last, and what it is; polling goes on meanwhile."""
        session = self._session
        stream.durations = durations(session, stream_id)
        if stream_id not in session.past:
            self._aside(stream_id, session.learn, self._learned)
        if session.transport(stream_id) is None:
            self._aside(stream_id, session.describe, self._described)

    def _aside(self, stream_id: int, look_up: Callable[[int], object], then: Callable[[int], None]) -> None:
        """Look something up on a thread of the pool, and go on with it on this one."""

        def work() -> None:
            look_up(stream_id)
            self._post(partial(then, stream_id))

        POOL.submit(work)

    def _learned(self, stream_id: int) -> None:
        if (stream := self._streams.get(stream_id)) is not None:
            stream.durations = durations(self._session, stream_id)
            if not stream.failures:
                self._schedule(stream_id, stream)

    def _described(self, stream_id: int) -> None:
        """Tell the name of a stream, and where no connector feeds it, that its run will not end by itself."""
        if (stream := self._streams.get(stream_id)) is None:
            return
        transport = self._session.transport(stream_id)
        for number, run in list(stream.runs.items()):
            stream.runs[number] = named = run.replace(name=self._session.name(stream_id))
            for watch in self._watching((stream_id, run.execution_id)):
                if named != run:
                    guarded(partial(watch.listener.seen, named))
                if transport and transport != CONNECTOR:
                    guarded(partial(watch.listener.say, "unknown", _upload(named, transport)))


def _hopeless(error: DomoError, failures: int, failing: float, look: float) -> bool:
    """Return True if requesting again would bring nothing; an outage passes, however long it lasts."""
    if isinstance(error, NotFound):
        return failing >= look  # a run that was just started may not be listed yet
    if isinstance(error, ApiError) and not isinstance(error, RateLimited) and error.status < 500:
        return failures >= _REFUSALS
    return type(error) is DomoError  # a bug


def _upload(run: Execution, transport: str) -> str:
    return (
        f"stream {run.stream_id} is fed by {transport}, not by a connector: {run.run} is an upload session,"
        f" which stays open until it is aborted: %domo_cancel {run.run}"
    )


def durations(session: Session, stream_id: int) -> list[float]:
    """Return how long a stream's last successful runs lasted, in seconds, newest first, as far as known."""
    past = [run.duration for run in session.past.get(stream_id, ()) if run.duration is not None]
    return past[:20] or session.history.durations(session.instance, stream_id)


def elapsed_of(session: Session, run: Execution) -> float | None:
    """Return the seconds that a run has lasted, None where its start is unknown.

    By Domo's clock, or, for a run that began when it was requested here, by ours alone: Domo cuts times
    to whole seconds, which is much for a run of one.
    """
    if run.started_us is None:
        return None
    now = session.clock.time()
    elapsed = now + session.client.skew - run.started_us / _MICROSECONDS
    if run.requested_at is not None:
        since_request = now - run.requested_at / 1000
        if abs(since_request - elapsed) < _SAME_MOMENT:
            elapsed = since_request
    return max(0.0, elapsed)

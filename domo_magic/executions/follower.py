"""Following runs to their end: ask when it is worth it, with as few requests as the API allows."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from domo_magic.errors import ApiError, DomoError, NotFound
from domo_magic.executions.schedule import next_delay
from domo_magic.http import pagination
from domo_magic.model.concurrency import POOL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Execution

#: How often the screen is offered the time that has passed, in seconds.
TICK = 0.5
_MICROSECONDS = 1e6


@dataclass(slots=True)
class _Stream:
    """The followed runs of one stream, asked for together."""

    runs: dict[int, Execution] = field(default_factory=dict)
    durations: list[float] = field(default_factory=list)
    due: float = 0.0
    asked: bool = False
    stale: bool = False
    aborted_at: float | None = None
    failing_since: float | None = None
    failures: int = 0
    missing: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _News:
    """What a question brought: runs, an error, or a stream's past durations; or what is to be followed."""

    stream_id: int
    runs: Sequence[Execution] = ()
    missing: Mapping[int, NotFound] = field(default_factory=dict)
    error: DomoError | None = None
    durations: Sequence[float] | None = None
    added: bool = False
    aborted: bool = False
    stale: bool = False
    left: int | None = None


class Follower:
    """Follows runs of one instance until they have ended.

    Parameters
    ----------
    session : Session
        The instance.
    seen : callable
        Called on the thread of `follow` with every run as it was just seen.
    tick : callable
        Called there, every half second at least.
    lost : callable
        Called there with a run that cannot be followed any more, and why.

    Attributes
    ----------
    problems : dict
        ``{(stream_id, execution_id): DomoError}`` of the runs that cannot be followed.
    """

    def __init__(
        self,
        session: Session,
        seen: Callable[[Execution], None],
        tick: Callable[[], object] = lambda: None,
        *,
        lost: Callable[[Execution, DomoError], object] = lambda _run, _error: None,
    ) -> None:
        self._session = session
        self._seen = seen
        self._tick = tick
        self._lost = lost
        self._streams: dict[int, _Stream] = {}
        self._news: queue.SimpleQueue[_News] = queue.SimpleQueue()
        self._something = threading.Event()
        self.problems: dict[tuple[int, int | None], DomoError] = {}

    def add(self, run: Execution, *, aborted: bool = False, stale: bool = False) -> None:
        """Follow a run too, from any thread.

        One that was `aborted` will end soon; one seen some time ago, `stale`, is asked about at once.
        """
        self._tell(_News(run.stream_id, [run], added=True, aborted=aborted, stale=stale))

    def leave(self, stream_id: int, execution_id: int) -> None:
        """Do not follow this run any more, from any thread; it goes on at Domo."""
        self._tell(_News(stream_id, left=execution_id))

    @property
    def busy(self) -> bool:
        """Whether anything is followed, or has just been added."""
        return bool(self._streams) or not self._news.empty()

    def follow(self, stop: threading.Event, patience: float | None = None) -> bool:
        """Go on until every run has ended or cannot be followed.

        Parameters
        ----------
        stop : Event
            Set to let go.
        patience : float, optional
            Seconds after which to let go: every run is asked about once more then.

        Returns
        -------
        bool
            Whether nothing is left to follow.
        """
        clock = self._session.clock
        deadline = None if patience is None else clock.monotonic() + patience
        asked_last = False
        self._collect()
        while self._streams and not stop.is_set():
            now = clock.monotonic()
            if deadline is not None and now >= deadline:
                asking = any(stream.asked for stream in self._streams.values())
                if asked_last and (not asking or now >= deadline + self._session.timeouts.aside):
                    return False
                if not asked_last:
                    asked_last = True
                    for stream in self._streams.values():
                        stream.due = now
            self._ask_due(now)
            due = min(
                (stream.due for stream in self._streams.values() if not stream.asked), default=now + TICK
            )
            left = TICK if deadline is None or asked_last else deadline - now
            clock.wait(self._something, min(due - now, TICK, left))
            self._something.clear()
            self._collect()
            self._tick()
        return not self._streams

    def _ask_due(self, now: float) -> None:
        quiet = self._session.client.retry_after
        for stream_id, stream in list(self._streams.items()):
            if stream.asked:
                continue
            if quiet > self._session.timeouts.asking_budget:
                self._failed(stream_id, stream, self._session.client.rate_limited())
            elif stream.due <= now and quiet:
                stream.due = now + quiet
            elif stream.due <= now:
                stream.asked = True
                POOL.submit(partial(self._ask, stream_id, list(stream.runs)))

    def _ask(self, stream_id: int, wanted: Sequence[int]) -> None:
        try:
            news = _News(stream_id, *pagination.these(self._session.client, stream_id, wanted))
        except DomoError as error:
            news = _News(stream_id, error=error)
        except Exception as error:  # noqa: BLE001  a bug of ours on a thread must reach the user
            news = _News(stream_id, error=DomoError(f"asking about stream {stream_id} broke: {error!r}"))
        self._tell(news)

    def _tell(self, news: _News) -> None:
        self._news.put(news)
        self._something.set()

    def _collect(self) -> None:
        seen: list[Execution] = []
        while True:
            try:
                news = self._news.get_nowait()
            except queue.Empty:
                break
            seen.extend(self._take(news))
        if asked_for := [run for run in seen if run.fields]:  # a run may be a mistake until Domo has shown it
            self._session.history.saw(self._session.instance, asked_for)

    def _take(self, news: _News) -> Sequence[Execution]:
        stream = self._streams.get(news.stream_id)
        if stream is None:
            if not news.added:
                return ()  # it came after the end
            stream = self._streams[news.stream_id] = _Stream()
            self._learn(news.stream_id, stream)
        if news.aborted:
            stream.aborted_at = self._session.clock.time()
        stream.stale |= news.stale
        if news.left is not None:
            stream.runs.pop(news.left, None)
        if news.durations is not None:
            stream.durations = list(news.durations)
            self._schedule(stream)
            return ()
        if news.error is not None:
            self._failed(news.stream_id, stream, news.error)
            return ()
        if not news.added and news.left is None:
            stream.failing_since, stream.failures, stream.asked, stream.stale = None, 0, False, False
        wanted = [run for run in news.runs if news.added or (run.execution_id or 0) in stream.runs]
        seen = [self._saw(stream, run) for run in wanted]
        for execution_id, error in news.missing.items():
            self._missed(stream, execution_id, error)
        if stream.runs:
            self._schedule(stream)
        else:
            del self._streams[news.stream_id]
        return seen

    def _saw(self, stream: _Stream, run: Execution) -> Execution:
        key = run.execution_id or 0
        before = stream.runs.get(key)
        run = self._session.known(run) if before is None else before.seen(run)
        if run.over(before):
            stream.runs.pop(key, None)
        else:
            stream.runs[key] = run
        self._seen(run)
        return run

    def _missed(self, stream: _Stream, execution_id: int, error: NotFound) -> None:
        """Give up a run that Domo does not have; one that was just started may not be listed yet."""
        now = self._session.clock.monotonic()
        run = stream.runs.get(execution_id)
        since = stream.missing.setdefault(execution_id, now)
        if run is not None and (not run.fields or now - since >= self._session.timeouts.look):
            del stream.runs[execution_id]
            self._give_up(run, error)

    def _give_up(self, run: Execution, error: DomoError) -> None:
        self.problems[run.stream_id, run.execution_id] = error
        self._lost(run, error)

    def _schedule(self, stream: _Stream) -> None:
        timeouts, clock = self._session.timeouts, self._session.clock
        delays = []
        for run in stream.runs.values():
            if stream.stale or not run.fields:
                delays.append(0.0)  # never seen yet, or some time ago
                continue
            if run.finished or run.started_us is None:
                delays.append(timeouts.ask_shortest)
                continue
            shortest, longest = timeouts.ask_shortest, timeouts.ask_longest
            if stream.aborted_at is not None:  # what usually takes minutes is aborted in seconds
                delays.append(min(longest, max(shortest, (clock.time() - stream.aborted_at) / 2)))
                continue
            elapsed = clock.time() + self._session.client.skew - run.started_us / _MICROSECONDS
            delays.append(next_delay(elapsed, stream.durations, shortest=shortest, longest=longest))
        stream.due = clock.monotonic() + min(delays, default=0.0)

    def _failed(self, stream_id: int, stream: _Stream, error: DomoError) -> None:
        """Ask again later, with more and more time, unless it is no use."""
        timeouts, now = self._session.timeouts, self._session.clock.monotonic()
        stream.asked = False
        stream.failing_since = stream.failing_since or now
        stream.failures += 1
        patience = timeouts.asking_budget
        if self._session.client.retry_after > patience:
            patience = 0.0  # nobody wants to wait for that without a word
        elif isinstance(error, NotFound):
            patience = timeouts.look  # a run that was just started may not be listed yet
        elif isinstance(error, ApiError) and error.status < 500 and error.status != 429:
            patience = 0.0
        if now - stream.failing_since >= patience:
            del self._streams[stream_id]
            for run in stream.runs.values():
                self._give_up(run, error)
            return
        pause = min(timeouts.ask_longest, timeouts.ask_shortest * 2.0**stream.failures)
        stream.due = now + max(pause, self._session.client.retry_after)

    def _learn(self, stream_id: int, stream: _Stream) -> None:
        """Find out how long the stream's runs usually last; asking goes on meanwhile."""
        session = self._session
        stream.durations = durations(session, stream_id)
        if stream_id not in session.past:
            POOL.submit(lambda: self._tell(_News(stream_id, durations=_fetch_durations(session, stream_id))))


def durations(session: Session, stream_id: int) -> list[float]:
    """Return how long a stream's last successful runs lasted, in seconds, newest first, as far as known."""
    past = [run.duration for run in session.past.get(stream_id, ()) if run.duration is not None]
    return past[:20] or session.history.durations(session.instance, stream_id)


def _fetch_durations(session: Session, stream_id: int) -> list[float]:
    session.learn(stream_id)
    return durations(session, stream_id)

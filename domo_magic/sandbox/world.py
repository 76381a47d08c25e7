"""What there is in the sandbox's Domo: streams, DataSets and executions, safe to use from many threads.

The world knows no HTTP. It holds plans and asks a clock; what is true at a moment follows from both.
"""

from __future__ import annotations

import re
import threading
import uuid
from typing import TYPE_CHECKING

from domo_magic.sandbox import catalogue, habits, life, shapes, streams
from domo_magic.sandbox.life import EndedError, UnknownError
from domo_magic.sandbox.rooms import Room

if TYPE_CHECKING:
    from collections.abc import Callable

    from domo_magic.sandbox.habits import Habit
    from domo_magic.sandbox.life import JSON

_MADE_BEFORE = 400 * 86_400.0
_NAMESPACE = uuid.UUID("6f2d7c1e-1f0b-4a0e-9d3c-5b8a7e4f2d10")


class World:
    """A Domo in memory.

    Parameters
    ----------
    clock : callable
        Gives the time, epoch seconds.
    seed : int
        The same seed and the same time of the start give the same past and the same durations.

    Examples
    --------
    >>> world = World(lambda: 1_700_000_000.0, seed=1)
    >>> world.start(25775)["currentState"]
    'ACTIVE'
    """

    def __init__(self, clock: Callable[[], float], seed: int) -> None:
        self.clock = clock
        self._seed = seed
        self._lock = threading.Lock()
        self._toes = streams.generator(seed)
        self._created = clock() - _MADE_BEFORE
        self._rooms: dict[int, Room] = {}
        self._by_dataset: dict[str, int] = {}
        self._lone = {dataset.dataset_id: dataset for dataset in catalogue.stock_datasets()}
        for stream in catalogue.stock():
            self._add(stream)

    def add_stream(
        self,
        seconds: float = 6.0,
        *,
        stream_id: int | None = None,
        name: str | None = None,
        dataset_id: str | None = None,
        habit: Habit | None = None,
        past: int = 0,
    ) -> int:
        """Add a stream and give its id.

        Parameters
        ----------
        seconds : float
            How long each of its executions takes.
        stream_id : int, optional
            Its id; the next free one by default.
        name, dataset_id : str, optional
            Its DataSet's name and UUID.
        habit : Habit, optional
            How its executions go, in place of `seconds`.
        past : int
            How many executions it has already had; they are drawn when it is first asked for.
        """
        with self._lock:
            number = max(self._rooms, default=0) + 1 if stream_id is None else stream_id
            stream = streams.Stream(
                id=number,
                name=name or f"DataSet {number}",
                dataset_id=dataset_id or str(uuid.uuid5(_NAMESPACE, str(number))),
                habit=habit or habits.Habit(seconds=seconds),
                every=max(3600, 4 * round(habit.seconds if habit else seconds)),
                past=past,
            )
            self._add(stream)
            return number

    def toe(self) -> str:
        """Make a new trace for a response."""
        with self._lock:
            return habits.toe(self._toes)

    # Executions

    def start(
        self, stream_id: int, *, run_type: str = "MANUAL", started_by: str | None = streams.OWNER
    ) -> JSON:
        """Start a stream; give what Domo returns to the POST.

        Parameters
        ----------
        stream_id : int
            The stream.
        run_type : str
            ``AUTOMATED`` is what the schedule starts.
        started_by : str or None
            A user's id; the token's own by default, none for the schedule.
        """
        with self._lock:
            return life.created(self._room(stream_id).start(self.clock(), run_type, started_by))

    def executions(self, stream_id: int, limit: int = 50, offset: int = 0) -> list[JSON]:
        """Give the executions of a stream, oldest first."""
        with self._lock:
            now, page = self.clock(), self._room(stream_id).records[offset : offset + limit]
        return [life.view(record.plan, now) for record in page]

    def executions_json(self, stream_id: int, limit: int = 50, offset: int = 0) -> bytes:
        """Give what :meth:`executions` gives as JSON, without making again what no longer changes."""
        with self._lock:
            now, page = self.clock(), self._room(stream_id).records[offset : offset + limit]
        return b"[" + b",".join(record.json(now) for record in page) + b"]"

    def execution(self, stream_id: int, execution_id: int) -> JSON:
        """Give one execution."""
        with self._lock:
            return life.view(self._room(stream_id).record(execution_id).plan, self.clock())

    def abort(self, stream_id: int, execution_id: int, by: str = streams.OWNER) -> JSON:
        """Abort an execution and give it; one that has ended already raises :class:`EndedError`."""
        with self._lock:
            room, now = self._room(stream_id), self.clock()
            record = room.record(execution_id)
            if life.ended(record.plan, now):
                raise EndedError(f"Execution {execution_id} of stream {stream_id} is not active")
            lag = room.stream.habit_of(execution_id).abort_lag
            record.plan = life.abort(record.plan, now, by, lag)
            return life.view(record.plan, now)

    def history(self, stream_id: int, limit: int = 100) -> list[JSON]:
        """Give a stream's newest executions, newest first, with the few fields of ``history/aggregate``."""
        with self._lock:
            now, newest = self.clock(), self._room(stream_id).records[: -limit - 1 : -1]
        return [shapes.in_history(life.view(record.plan, now)) for record in newest]

    def count(self, stream_id: int) -> int:
        """Say how many executions a stream has had, which is also the id of the newest."""
        with self._lock:
            return len(self._room(stream_id).records)

    # Streams and DataSets

    def stream(self, stream_id: int, *, full: bool = True) -> JSON:
        """Give a stream; in full with its executions and its configuration."""
        with self._lock:
            return self._stream(self._room(stream_id), full=full)

    def bulk(self, stream_ids: list[int]) -> list[JSON]:
        """Give those of the streams that exist."""
        with self._lock:
            rooms = [self._room(number) for number in stream_ids if number in self._rooms]
            return [self._stream(room, full=False) for room in rooms]

    def streams_of(self, dataset_id: str) -> list[JSON]:
        """Give the stream that fills a DataSet, in a list; an empty one where there is none."""
        number = self._by_dataset.get(dataset_id)
        return [] if number is None else [self.stream(number, full=False)]

    def dataset(self, dataset_id: str) -> JSON:
        """Give a DataSet; ``streamId`` is null where no connector fills it."""
        with self._lock:
            if dataset_id in self._lone:
                return shapes.lone_datasource(self._lone[dataset_id], self._created)
            if dataset_id not in self._by_dataset:
                raise UnknownError(f"DataSet {dataset_id} not found")
            return self._datasource(self._room(self._by_dataset[dataset_id]))

    def datasets(self, pattern: str = "*", limit: int = 50, offset: int = 0) -> tuple[list[JSON], int]:
        """Give a page of the DataSets whose name fits a pattern, by name, and how many fit.

        Parameters
        ----------
        pattern : str
            ``*`` stands for any text; upper and lower case are the same.
        limit, offset : int
            The page.
        """
        fits = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.IGNORECASE | re.DOTALL)
        with self._lock:
            named = [(room.stream.name, room.stream.dataset_id) for room in self._rooms.values()]
            named += [(dataset.name, dataset.dataset_id) for dataset in self._lone.values()]
        found = sorted(entry for entry in named if fits.fullmatch(entry[0]))
        return [self.dataset(key) for _, key in found[offset : offset + limit]], len(found)

    # Inside the lock

    def _add(self, stream: streams.Stream) -> None:
        if stream.id in self._rooms:
            raise ValueError(f"there is a stream {stream.id} already")
        self._rooms[stream.id] = Room(stream, self._seed, self.clock())
        self._by_dataset[stream.dataset_id] = stream.id

    def _room(self, stream_id: int) -> Room:
        if stream_id not in self._rooms:
            raise UnknownError(f"Stream {stream_id} not found")
        return self._rooms[stream_id]

    def _datasource(self, room: Room) -> JSON:
        now = self.clock()
        return shapes.datasource(room.stream, room.newest(now), room.newest(now, "SUCCESS"), self._created)

    def _stream(self, room: Room, *, full: bool) -> JSON:
        now = self.clock()
        last, good = room.newest(now), room.newest(now, "SUCCESS")
        source = shapes.datasource(room.stream, last, good, self._created)
        state = "SUCCESS" if last is None else str(last["currentState"])
        head = shapes.stream_head(room.stream, source, self._created, state)
        if not full:
            return head
        return shapes.stream_in_full(head, last, good, room.newest(now, "ACTIVE", "QUEUED"))

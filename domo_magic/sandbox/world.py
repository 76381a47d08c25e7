"""What there is in the sandbox's Domo: streams, DataSets and executions, safe to use from many threads.

The world knows no HTTP. It holds plans and reads a clock; what is true at a moment follows from both.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from domo_magic.sandbox import catalog, simulation
from domo_magic.sandbox.catalog import Stream
from domo_magic.sandbox.simulation import COLLEAGUE, OWNER, Habit, Plan, Start

if TYPE_CHECKING:
    from collections.abc import Callable

    from domo_magic.sandbox.simulation import JSON

_MADE_BEFORE = 400 * 86_400.0
_IN_HISTORY = (
    "streamId",
    "executionId",
    "currentState",
    "rowsInserted",
    "bytesInserted",
    "startedAt",
    "endedAt",
    "updateMethod",
    "peakMemoryUsedBytes",
)
_IN_STATE = ("streamId", "executionId", "currentState")
EDITABLE = ("updateMethod", "scheduleExpression", "advancedScheduleJson", "scheduleState")


class UnknownError(LookupError):
    """The stream, execution or DataSet does not exist; its text is what Domo says."""


class EndedError(ValueError):
    """The execution to abort has ended already; its text is what Domo says."""


class World:
    """A Domo in memory.

    Parameters
    ----------
    clock : callable
        Gives the time, epoch seconds.
    seed : int
        The same seed and the same time of the start give the same past and the same durations.
    streams : int
        How many connectors there are.

    Examples
    --------
    >>> world = World(lambda: 1_700_000_000.0, seed=1)
    >>> world.start(25775)["currentState"]
    'ACTIVE'
    """

    def __init__(self, clock: Callable[[], float], seed: int, streams: int = 40) -> None:
        self.clock = clock
        self._seed = seed
        self._lock = threading.Lock()
        self._toes = simulation.generator(seed)
        self._created = clock() - _MADE_BEFORE
        self._rooms: dict[int, _Room] = {}
        self._by_dataset: dict[str, _Room] = {}
        for stream in (*catalog.other_streams(), *catalog.streams(streams)):
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
        """Add a stream and return its id.

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
            How many executions it has already had; they are drawn when it is first used.
        """
        with self._lock:
            number = max(self._rooms, default=0) + 1 if stream_id is None else stream_id
            habit = habit or Habit(seconds=seconds)
            least = max(3600, 4 * round(habit.seconds))
            stream = Stream(
                id=number,
                name=name or f"DataSet {number}",
                dataset_id=dataset_id or "",
                habit=habit,
                every=next((gap for gap in catalog.GAPS if gap >= least), least),
                past=past,
            )
            self._add(stream)
            return number

    def toe(self) -> str:
        """Make a new trace for a response."""
        with self._lock:
            return simulation.toe(self._toes)

    # Executions

    def start(self, stream_id: int, *, run_type: str = "MANUAL", started_by: str | None = OWNER) -> JSON:
        """Start a stream; return what Domo returns to the POST.

        Parameters
        ----------
        stream_id : int
            The stream. One that is no connector opens a session, active until it is aborted.
        run_type : str
            ``AUTOMATED`` is what the schedule starts.
        started_by : str or None
            A user's id; the token's own by default, none for the schedule.
        """
        with self._lock:
            return simulation.created(self._room(stream_id).start(self.clock(), run_type, started_by))

    def executions(self, stream_id: int, limit: int = 50, offset: int = 0) -> list[JSON]:
        """Return the executions of a stream, oldest first."""
        with self._lock:
            now, page = self.clock(), self._room(stream_id).records[offset : offset + limit]
        return [simulation.view(record.plan, now) for record in page]

    def executions_json(self, stream_id: int, limit: int = 50, offset: int = 0) -> bytes:
        """Return what :meth:`executions` returns as JSON, without making again what no longer changes."""
        with self._lock:
            now, page = self.clock(), self._room(stream_id).records[offset : offset + limit]
        return b"[" + b",".join(record.json(now) for record in page) + b"]"

    def newest(self, stream_id: int, limit: int = 100) -> list[JSON]:
        """Return a stream's newest executions, newest first."""
        with self._lock:
            now, newest = self.clock(), self._room(stream_id).records[: -limit - 1 : -1]
        return [simulation.view(record.plan, now) for record in newest]

    def history(self, stream_id: int, limit: int = 100) -> list[JSON]:
        """Return the newest executions with the few fields of ``history/aggregate``."""
        return [{name: each[name] for name in _IN_HISTORY} for each in self.newest(stream_id, limit)]

    def state(self, stream_id: int) -> list[JSON]:
        """Return the newest execution with its state alone, in a list; an empty one if it never ran."""
        return [{name: each[name] for name in _IN_STATE} for each in self.newest(stream_id, 1)]

    def execution(self, stream_id: int, execution_id: int) -> JSON:
        """Return one execution."""
        with self._lock:
            return simulation.view(self._room(stream_id).record(execution_id).plan, self.clock())

    def abort(self, stream_id: int, execution_id: int, by: str = OWNER) -> JSON:
        """Abort an execution and return it; one that has ended already raises :class:`EndedError`."""
        with self._lock:
            now, record = self.clock(), self._room(stream_id).record(execution_id)
            if record.plan.ended(now):
                raise EndedError(f"Execution {execution_id} of stream {stream_id} is not active")
            record.plan = simulation.abort(record.plan, now, by)
            return simulation.view(record.plan, now)

    def count(self, stream_id: int) -> int:
        """Return how many executions a stream has had, which is also the id of the newest."""
        with self._lock:
            return len(self._room(stream_id).records)

    # Streams and DataSets

    def streams(self, limit: int = 50, offset: int = 0) -> list[JSON]:
        """Return a page of all streams, by id."""
        return self.bulk(sorted(self._rooms)[offset : offset + limit])

    def stream(self, stream_id: int, *, full: bool = True) -> JSON:
        """Return a stream; in full with its executions and its configuration."""
        with self._lock:
            return self._stream(self._room(stream_id), full=full)

    def update(self, stream_id: int, changes: JSON) -> JSON:
        """Change a stream's schedule or update method, leave the rest, and return it in full."""
        with self._lock:
            room = self._room(stream_id)
            room.changes |= {name: str(changes[name]) for name in EDITABLE if changes.get(name)}
            return self._stream(room, full=True)

    def bulk(self, stream_ids: list[int]) -> list[JSON]:
        """Return those of the streams that exist."""
        with self._lock:
            rooms = [self._room(number) for number in stream_ids if number in self._rooms]
            return [self._stream(room, full=False) for room in rooms]

    def streams_of(self, dataset_id: str) -> list[JSON]:
        """Return the stream that fills a DataSet, in a list; an empty one where there is none."""
        room = self._by_dataset.get(dataset_id)
        return [] if room is None else self.bulk([room.stream.id])

    def dataset(self, dataset_id: str) -> JSON:
        """Return a DataSet; ``streamId`` is null where no stream fills it."""
        with self._lock:
            return self._dataset(dataset_id)

    def datasets_of(self, dataset_ids: list[str]) -> list[JSON]:
        """Return those of the DataSets that exist."""
        with self._lock:
            return [self._dataset(key) for key in dataset_ids if key in self._by_dataset]

    def datasets(self, pattern: str = "*", limit: int = 50, offset: int = 0) -> tuple[list[JSON], int]:
        """Return a page of the DataSets whose name fits a pattern, by name, and how many fit.

        Parameters
        ----------
        pattern : str
            ``*`` stands for any text; upper and lower case are the same.
        limit, offset : int
            The page.
        """
        fits = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.IGNORECASE | re.DOTALL)
        with self._lock:
            named = [(room.stream.name, key) for key, room in self._by_dataset.items()]
            found = sorted(entry for entry in named if fits.fullmatch(entry[0]))
            return [self._dataset(key) for _, key in found[offset : offset + limit]], len(found)

    # Inside the lock

    def _add(self, stream: Stream) -> None:
        if stream.id in self._rooms:
            raise ValueError(f"there is a stream {stream.id} already")
        room = _Room(stream, self._seed, self.clock())
        if stream.id:
            self._rooms[stream.id] = room
        if not stream.deleted:
            self._by_dataset[stream.dataset_id] = room

    def _room(self, stream_id: int) -> _Room:
        if stream_id not in self._rooms:
            raise UnknownError(f"Stream {stream_id} not found")
        return self._rooms[stream_id]

    def _dataset(self, dataset_id: str) -> JSON:
        if dataset_id not in self._by_dataset:
            raise UnknownError(f"DataSet {dataset_id} not found")
        source = self._by_dataset[dataset_id].datasource(self.clock(), self._created)
        owner = {"id": COLLEAGUE, "name": "Dana Miller", "type": "USER", "group": False}
        return source | {"dataLastUpdated": source["lastUpdated"], "owner": owner}

    def _stream(self, room: _Room, *, full: bool) -> JSON:
        head = room.head(self.clock(), self._created)
        return room.in_full(head, self.clock()) if full else head


@dataclass(slots=True)
class _Record:
    """An execution, and its JSON once that no longer changes."""

    plan: Plan
    final: bytes | None = None

    def json(self, now: float) -> bytes:
        """Return what Domo returns for the execution at `now`."""
        if self.final is not None:
            return self.final
        plan = self.plan
        text = simulation.encode(simulation.view(plan, now))
        if plan.ended(now):
            self.final = text
        return text


class _Room:
    """A stream with its executions; execution `n` is at place `n - 1`. For one thread at a time.

    Parameters
    ----------
    stream : Stream
        The stream.
    seed : int
        What its executions are drawn from.
    added : float
        Its past lies before this moment, epoch seconds.
    """

    def __init__(self, stream: Stream, seed: int, added: float) -> None:
        self.stream = stream
        self.changes: dict[str, str] = {}
        self._seed = seed
        self._added = added

    @cached_property
    def records(self) -> list[_Record]:
        """The executions, oldest first; the past is drawn when it is first used."""
        return [_Record(plan) for plan in catalog.past(self.stream, self._seed, self._added)]

    def start(self, at: float, run_type: str, started_by: str | None) -> Plan:
        """Start an execution at `at`."""
        start = Start(
            stream_id=self.stream.id,
            execution_id=len(self.records) + 1,
            at=at,
            run_type=run_type,
            started_by=started_by,
        )
        plan = catalog.plan(self.stream, start, self._seed)
        self.records.append(_Record(plan))
        return plan

    def record(self, execution_id: int) -> _Record:
        """Return one execution; :class:`UnknownError` if there is none with this id."""
        if not 1 <= execution_id <= len(self.records):
            raise UnknownError(f"Execution {execution_id} of stream {self.stream.id} not found")
        return self.records[execution_id - 1]

    def newest(self, now: float, *states: str) -> JSON | None:
        """Return the newest execution in one of the states, in any where none is named."""
        for record in reversed(self.records):
            if not states or record.plan.state(now) in states:
                return simulation.view(record.plan, now)
        return None

    def datasource(self, now: float, created: float) -> JSON:
        """Return the DataSet that the stream fills; its times are epoch milliseconds."""
        stream, last, good = self.stream, self.newest(now), self.newest(now, "SUCCESS")
        key, active = stream.provider[1], self._schedule() == "ACTIVE"
        due = stream.slot(self._added) + stream.every
        return {
            "id": stream.dataset_id,
            "displayType": key,
            "dataProviderType": key,
            "type": key,
            "name": stream.name,
            "status": "IDLE" if last is None else last["currentState"],
            "created": _milliseconds(created),
            "lastTouched": _milliseconds(_moment(last, "modifiedAt", created)),
            "lastUpdated": _milliseconds(_moment(good, "endedAt", created)),
            "nextUpdate": _milliseconds(due) if active else None,
            "rowCount": 0 if good is None else good["rowsInserted"],
            "columnCount": stream.columns,
            "state": "SUCCESS",
            "validConfiguration": True,
            "validAccount": True,
            "streamId": stream.id or None,
            "transportType": stream.transport,
            "cloudId": "domo",
            "cloudName": "Domo",
            "hidden": False,
            "scheduleActive": active,
        }

    def head(self, now: float, created: float) -> JSON:
        """Return the stream without its executions and its configuration."""
        stream, last = self.stream, self.newest(now)
        number, key, name = stream.provider
        head: JSON = {
            "id": stream.id,
            "valid": True,
            "invalidExecutionId": None,
            "transport": {
                "type": stream.transport,
                "description": f"com.domo.{stream.transport.lower()}.{key}",
                "version": "0",
            },
            "updateMethod": stream.habit.update_method,
            "dataProvider": {"id": number, "key": key, "name": name, "type": "STANDARD"},
            "account": None,
            "dataSource": self.datasource(now, created),
            "scheduleExpression": stream.cron(self._added),
            "scheduleStartDate": None,
            "advancedScheduleJson": _schedule(stream),
            "scheduleRetryExpression": None,
            "scheduleRetryCount": 0,
            "currentExecutionState": "IDLE" if last is None else last["currentState"],
            "createdAt": int(created),
            "createdBy": int(COLLEAGUE),
            "modifiedAt": int(created),
            "modifiedBy": int(OWNER),
            "scheduleState": stream.schedule,
            "scheduleAssertion": False,
            "inactiveScheduleCode": "USER_PAUSED" if self._schedule() == "INACTIVE" else None,
        }
        return head | self.changes | ({"deleted": True} if stream.deleted else {})

    def in_full(self, head: JSON, now: float) -> JSON:
        """Add to the stream its executions and its configuration, in Domo's order."""
        response: JSON = {}
        for name, value in head.items():
            if name == "currentExecutionState":
                response["lastExecution"] = self.newest(now)
                response["lastSuccessfulExecution"] = self.newest(now, "SUCCESS")
                response["currentExecution"] = self.newest(now, "ACTIVE", "QUEUED")
            response[name] = value
        response["configuration"] = [
            {"streamId": head["id"], "category": "METADATA", "name": name, "type": "string", "value": value}
            for name, value in {"retry.retryNumber": "0", "report": "all"}.items()
        ]
        return response | {"accounts": [], "connectorOutputs": []}

    def _schedule(self) -> str:
        return self.changes.get("scheduleState", self.stream.schedule)


def _moment(execution: JSON | None, field: str, default: float) -> float:
    value = None if execution is None else execution[field]
    return float(value) if isinstance(value, int | float) else default


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _schedule(stream: Stream) -> str:
    """Write Domo's own schedule, JSON within JSON."""
    if stream.schedule == "MANUAL":
        return '{"type":"MANUAL","timezone":"UTC"}'
    return f'{{"type":"MINUTE","timezone":"UTC","between":null,"interval":{stream.every // 60}}}'

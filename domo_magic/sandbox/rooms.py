"""A stream with its executions, the past drawn when it is first asked for; for one thread at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from domo_magic.sandbox import life, streams
from domo_magic.sandbox.life import UnknownError

if TYPE_CHECKING:
    from domo_magic.sandbox.life import JSON, Plan


@dataclass(slots=True)
class Record:
    """An execution, and its JSON once that no longer changes."""

    plan: Plan
    final: bytes | None = None

    def json(self, now: float) -> bytes:
        """Give what Domo returns for the execution at `now`."""
        if self.final is not None:
            return self.final
        plan = self.plan
        text = life.encode(life.view(plan, now))
        if life.ended(plan, now):
            self.final = text
        return text


class Room:
    """A stream with its executions; execution `n` is at place `n - 1`.

    Parameters
    ----------
    stream : Stream
        The stream.
    seed : int
        What its executions are drawn from.
    added : float
        Its past lies before this moment, epoch seconds.
    """

    def __init__(self, stream: streams.Stream, seed: int, added: float) -> None:
        self.stream = stream
        self._seed = seed
        self._added = added

    @cached_property
    def records(self) -> list[Record]:
        """The executions, oldest first."""
        return [Record(plan) for plan in streams.past(self.stream, self._seed, self._added)]

    def start(self, at: float, run_type: str, started_by: str | None) -> Plan:
        """Start an execution at `at`."""
        start = life.Start(
            stream_id=self.stream.id,
            execution_id=len(self.records) + 1,
            at=at,
            run_type=run_type,
            started_by=started_by,
        )
        plan = streams.plan(self.stream, start, self._seed)
        self.records.append(Record(plan))
        return plan

    def record(self, execution_id: int) -> Record:
        """Give one execution; :class:`UnknownError` where there is none with this id."""
        if not 1 <= execution_id <= len(self.records):
            raise UnknownError(f"Execution {execution_id} of stream {self.stream.id} not found")
        return self.records[execution_id - 1]

    def newest(self, now: float, *states: str) -> JSON | None:
        """Give the newest execution in one of the states, in any where none is named."""
        for record in reversed(self.records):
            if not states or life.state_at(record.plan, now) in states:
                return life.view(record.plan, now)
        return None

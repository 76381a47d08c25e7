"""What a stream is: its name, its habits, and the past that a seed makes of them.

Everything here is made from a seed: the same seed and the same start give the same past, whatever the order
of the calls, because every execution draws from a random generator of its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from domo_magic.sandbox.habits import Habit, draw
from domo_magic.sandbox.life import Plan, Start

OWNER = "1129696109"
"""The user whose token the sandbox accepts; the documented sample was started by them."""
COLLEAGUE = "1345408759"
"""Another user, who starts a run by hand now and then."""

_MANUAL_SHARE = 0.08


@dataclass(frozen=True, slots=True)
class Spell:
    """Executions of a stream that go differently, from `first` to `last`, or for good (`last` is None)."""

    first: int
    last: int | None
    habit: Habit


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream: a connector that fills a DataSet.

    Attributes
    ----------
    id : int
        The stream's id.
    name, dataset_id : str
        Its DataSet's name and UUID.
    provider : tuple of (int, str, str)
        Id, key and name of the connector.
    habit : Habit
        How its executions usually go.
    spells : tuple of Spell
        When they do not.
    every : int
        Seconds between two scheduled executions.
    past : int
        How many executions there were before the sandbox began.
    columns : int
        Columns of the DataSet.
    """

    id: int
    name: str
    dataset_id: str
    provider: tuple[int, str, str] = (2837, "mysql", "MySQL")
    habit: Habit = field(default_factory=Habit)
    spells: tuple[Spell, ...] = ()
    every: int = 3600
    past: int = 200
    columns: int = 22

    def habit_of(self, execution_id: int) -> Habit:
        """Give the habit that holds for one execution."""
        for spell in self.spells:
            if spell.first <= execution_id and (spell.last is None or execution_id <= spell.last):
                return spell.habit
        return self.habit


@dataclass(frozen=True, slots=True)
class DataSet:
    """A DataSet that no connector fills."""

    dataset_id: str
    name: str
    rows: int
    columns: int


def plan(stream: Stream, start: Start, seed: int) -> Plan:
    """Draw one execution of a stream; the same seed and start give the same plan."""
    return draw(stream.habit_of(start.execution_id), start, generator(seed, stream.id, start.execution_id))


def past(stream: Stream, seed: int, now: float) -> list[Plan]:
    """Draw the executions that a stream had before `now`, oldest first.

    Scheduled executions are `stream.every` seconds apart; about one in twelve was started by hand in between.
    """
    plans, rng = [], generator(seed, stream.id)
    for number in range(1, stream.past + 1):
        slot = now - (stream.past - number + 0.45) * stream.every
        manual = rng.random() < _MANUAL_SHARE
        asked = Start(
            stream_id=stream.id,
            execution_id=number,
            at=slot + (rng.uniform(0.1, 0.3) * stream.every if manual else rng.uniform(1.0, 3.0)),
            run_type="MANUAL" if manual else "AUTOMATED",
            started_by=rng.choice((OWNER, COLLEAGUE)) if manual else None,
        )
        drawn = plan(stream, asked, seed)
        plans.append(replace(drawn, cancelled_by=COLLEAGUE) if drawn.final_state == "ABORTED" else drawn)
    return plans


def generator(*parts: int) -> random.Random:
    """Make a random generator that depends on `parts` alone."""
    return random.Random("/".join(map(str, parts)))  # noqa: S311 - a made-up past, no secret

"""How the executions of a stream go, and how one is drawn from that, pure."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domo_magic.sandbox.life import Plan, Start

if TYPE_CHECKING:
    import random

_EARLY_ENDS = {"ERROR": 0.9, "ABORTED": 0.8, "INVALID": 0.2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """How the executions of a stream usually go.

    Attributes
    ----------
    seconds : float
        Median duration, without the time in the queue.
    spread : float
        Standard deviation of the logarithm of the duration.
    rows : int
        Median of the rows of an execution that succeeds.
    rows_spread : float
        Standard deviation of the logarithm of the rows.
    bytes_per_row : float
        What one row weighs.
    memory : int
        Bytes of memory at the peak, for the median of the rows.
    queued : float
        Seconds in ``QUEUED`` before the execution begins.
    endings : tuple of (str, float)
        Final states with their weights; ``ACTIVE`` is one that never ends.
    failure : str
        What Domo says of an execution that ends in ``ERROR`` or ``INVALID``.
    abort_lag : float
        Seconds from an abort to its end.
    """

    seconds: float = 6.0
    spread: float = 0.0
    rows: int = 1000
    rows_spread: float = 0.0
    bytes_per_row: float = 146.6
    memory: int = 198_000_000
    queued: float = 0.0
    endings: tuple[tuple[str, float], ...] = (("SUCCESS", 1.0),)
    failure: str = "The connector stopped with an unexpected error."
    abort_lag: float = 0.0


def toe(rng: random.Random) -> str:
    """Make a trace as Domo's, such as ``HAK43KQGQ7-GNKF0-SRC9Y``."""
    letters = base64.b32encode(rng.randbytes(13)).decode()[:20]
    return f"{letters[:10]}-{letters[10:15]}-{letters[15:]}"


def draw(habit: Habit, start: Start, rng: random.Random) -> Plan:
    """Draw an execution from the habit of its stream.

    Examples
    --------
    >>> import random
    >>> plan = draw(Habit(seconds=6.0), Start(stream_id=1, execution_id=1, at=100.0), random.Random(1))
    >>> plan.ends_at
    106.0
    """
    seconds = habit.seconds * math.exp(rng.gauss(0.0, habit.spread))
    share = math.exp(rng.gauss(0.0, habit.rows_spread))
    state = _ending(habit, rng)
    begins = start.at + habit.queued
    rows = round(habit.rows * share)
    return Plan(
        start=start,
        begins_at=begins,
        grown_at=math.inf if state == "INVALID" else begins + seconds,
        ends_at=math.inf if state == "ACTIVE" else begins + seconds * _early(state, rng),
        final_state=state,
        rows=rows,
        bytes=round(rows * habit.bytes_per_row),
        memory=round(habit.memory * share * rng.uniform(0.97, 1.03)),
        toe=toe(rng),
        container_manager_id=_container(rng),
        failure=habit.failure if state in {"ERROR", "INVALID"} else "",
    )


def _ending(habit: Habit, rng: random.Random) -> str:
    """Draw how an execution ends."""
    if len(habit.endings) == 1:
        return habit.endings[0][0]
    states, weights = zip(*habit.endings, strict=True)
    return str(rng.choices(states, weights)[0])


def _container(rng: random.Random) -> str:
    """Make the name of a machine, such as ``cm-90cb7970-86a2-43b3-a051-bdde4105b2d8``."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"cm-{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _early(state: str, rng: random.Random) -> float:
    """Say after which part of its usual duration an execution ends."""
    latest = _EARLY_ENDS.get(state)
    return 1.0 if latest is None else rng.uniform(latest / 2, latest)

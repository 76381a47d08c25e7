"""One execution: how it is drawn, and what Domo says of it at any moment; pure.

Nothing here knows a clock, a thread or a socket. A :class:`Plan` is everything that will ever happen to an
execution; :func:`view` is the JSON object of it at an instant, with the fields and their order in Domo's
documentation of a started run. All times are epoch seconds.
"""

from __future__ import annotations

import json
import math
import random
import re
import string
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = dict[str, object]

OWNER = "1129696109"
"""The user whose token the sandbox accepts; the documented sample was started by them."""
COLLEAGUE = "1345408759"
"""Another user, who starts a run by hand now and then."""

_LETTERS = string.ascii_uppercase + string.digits
_INDEX_KEY = re.compile(rb'"indexRequestKey":"(\d{14}\.\d{3})"')
_EARLY_ENDS = {"ERROR": 0.9, "ABORTED": 0.8, "INVALID": 0.2}
# Domo documents INIT alone; the others are made up. Each begins at a share of the growth.
_PHASES = (("INDEX", 0.94), ("UPLOAD", 0.1), ("INIT", 0.0))


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
    notice : str
        What Domo says of one that ends in ``SUCCESS`` or ``ABORTED``: Domo's data safeguards warn, or abort.
    code : int
        The code of what is said.
    parameters : mapping
        The parameters of what is said, text by text.
    abort_lag : float
        Seconds from an abort to its end.
    update_method : str
        ``REPLACE``, ``APPEND``, ``UPSERT`` or ``PARTITION``.
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
    notice: str = ""
    code: int = 1000
    parameters: Mapping[str, str] = field(default_factory=dict)
    abort_lag: float = 0.0
    update_method: str = "REPLACE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Who started an execution, and when.

    Attributes
    ----------
    stream_id, execution_id : int
        The execution's name at Domo; executions count from 1 within a stream.
    at : float
        Epoch seconds.
    run_type : str
        ``MANUAL`` or ``AUTOMATED``.
    started_by : str or None
        A user's id; none for scheduled executions.
    """

    stream_id: int
    execution_id: int
    at: float
    run_type: str = "MANUAL"
    started_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that will happen to one execution.

    Attributes
    ----------
    start : Start
        Who started it, and when.
    habit : Habit
        What it was drawn from.
    begins_at : float
        When it leaves the queue, epoch seconds.
    grown_at : float
        When all its rows would be there; they grow steadily from `begins_at`.
    ends_at : float
        When it ends, infinite for one that is stuck.
    final_state : str
        What it ends as.
    rows, bytes : int
        What it has brought at `grown_at`.
    memory : int
        Bytes of memory used at the peak.
    toe, container_manager_id : str
        Domo's traces of the request and of the machine.
    message : str
        What is said of it when it has ended.
    cancelled_by : str or None
        The id of the user who aborted it.
    """

    start: Start
    habit: Habit
    begins_at: float
    grown_at: float
    ends_at: float
    final_state: str
    rows: int
    bytes: int
    memory: int
    toe: str
    container_manager_id: str
    message: str = ""
    cancelled_by: str | None = None

    def ended(self, now: float) -> bool:
        """Return True if the execution has ended at `now`."""
        return now >= self.ends_at

    def state(self, now: float) -> str:
        """Return the state at `now`: QUEUED, ACTIVE, or how it ended."""
        if self.ended(now):
            return self.final_state
        return "QUEUED" if now < self.begins_at else "ACTIVE"

    def grown(self, moment: float) -> float:
        """Return the share of the rows that is there at a moment, from 0 to 1."""
        if moment >= self.grown_at:
            return 1.0
        if moment <= self.begins_at:
            return 0.0
        return (moment - self.begins_at) / (self.grown_at - self.begins_at)


def generator(*parts: int) -> random.Random:
    """Make a random generator that depends on `parts` alone."""
    return random.Random("/".join(map(str, parts)))  # noqa: S311 - a made-up past, no secret


def toe(rng: random.Random) -> str:
    """Make a trace as Domo's, such as ``HAK43KQGQ7-GNKF0-SRC9Y``."""
    letters = "".join(rng.choices(_LETTERS, k=20))
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
        habit=habit,
        begins_at=begins,
        grown_at=math.inf if state == "INVALID" else begins + seconds,
        ends_at=math.inf if state == "ACTIVE" else begins + seconds * _early(state, rng),
        final_state=state,
        rows=rows,
        bytes=round(rows * habit.bytes_per_row),
        memory=round(habit.memory * share * rng.uniform(0.97, 1.03)),
        toe=toe(rng),
        container_manager_id=_container(rng),
        message=habit.failure if state in {"ERROR", "INVALID"} else habit.notice,
    )


def abort(plan: Plan, now: float, by: str) -> Plan:
    """Abort an execution; one that has ended stays as it is.

    Parameters
    ----------
    plan : Plan
        The execution.
    now : float
        Epoch seconds.
    by : str
        The id of the user who aborts.
    """
    if plan.ended(now):
        return plan
    ends = min(now + plan.habit.abort_lag, plan.ends_at)
    return replace(plan, ends_at=ends, final_state="ABORTED", cancelled_by=by, message="")


def view(plan: Plan, now: float) -> JSON:
    """Return the JSON object that Domo returns for an execution at `now`.

    ``indexRequestKey`` is text here, since a float cannot hold it; :func:`encode` writes it as a number.
    """
    over, start = plan.ended(now), plan.start
    moment = min(now, plan.ends_at)
    begun, share = moment >= plan.begins_at, plan.grown(moment)
    phase = _phase(plan, share) if begun and moment > start.at and not over else None
    used = over and plan.final_state != "INVALID"
    return {
        "streamId": start.stream_id,
        "executionId": start.execution_id,
        "toe": plan.toe,
        "startedAt": _seconds(plan.begins_at) if begun else None,
        "endedAt": _seconds(plan.ends_at) if over else None,
        "updateMethod": plan.habit.update_method,
        "index": True,
        "retryCount": 0,
        "retryExecution": None,
        "containerManagerId": plan.container_manager_id,
        "uploadId": start.execution_id if begun and moment > start.at else None,
        "indexRequestKey": _index_key(plan) if over and plan.final_state == "SUCCESS" else None,
        "currentState": plan.state(now),
        "runType": start.run_type,
        "createdAt": _seconds(start.at),
        "modifiedAt": _seconds(moment),
        "latestPhase": phase,
        "currentPhase": None if phase is None else phase["phaseType"],
        "removed": False,
        "rowsInserted": int(plan.rows * share),
        "bytesInserted": int(plan.bytes * share),
        "startedBy": start.started_by,
        "cancelledBy": plan.cancelled_by,
        "dataTag": None,
        "peakMemoryUsedBytes": plan.memory if used else None,
        "peakMemoryCommittedBytes": round(plan.memory * 1.066) if used else None,
        "exportable": False,
        "manualIndex": False,
        "errors": [_error(plan)] if over and plan.message else [],
    }


def created(plan: Plan) -> JSON:
    """Return the response to the POST that started an execution, as Domo's documentation shows it."""
    response = view(plan, plan.start.at)
    if response["startedAt"] is not None:
        started = float(_seconds(plan.begins_at))
        response |= {"startedAt": started, "createdAt": None, "modifiedAt": None}
    return response


def encode(value: object) -> bytes:
    """Write a value as JSON, the digits of ``indexRequestKey`` as they stand."""
    text = json.dumps(value, separators=(",", ":")).encode()
    return _INDEX_KEY.sub(rb'"indexRequestKey":\1', text)


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
    """Return the share of its usual duration after which an execution ends."""
    latest = _EARLY_ENDS.get(state)
    return 1.0 if latest is None else rng.uniform(latest / 2, latest)


def _seconds(moment: float) -> float:
    """Write a moment as Domo does: seconds with a fraction where there is one, never in the future."""
    return int(moment) if moment == int(moment) else math.floor(moment * 100) / 100


def _phase(plan: Plan, share: float) -> JSON:
    """Return the phase of a running execution."""
    name, begins = next(phase for phase in _PHASES if share >= phase[1])
    grows = plan.grown_at - plan.begins_at
    return {
        "streamId": plan.start.stream_id,
        "executionId": plan.start.execution_id,
        "phaseType": name,
        "startedAt": _seconds(plan.begins_at + (begins * grows if begins else 0.0)),
        "endedAt": None,
    }


def _error(plan: Plan) -> JSON:
    invalid = plan.final_state != "SUCCESS"
    return {
        "id": 100_000 + plan.start.execution_id,
        "streamId": plan.start.stream_id,
        "executionId": plan.start.execution_id,
        "code": plan.habit.code,
        "category": "CONNECTOR",
        "message": plan.message,
        "parameters": dict(plan.habit.parameters),
        "invalidatesExecution": invalid,
        "keepUpload": not invalid,
    }


def _index_key(plan: Plan) -> str:
    """Write the moment at which the rows were indexed, UTC, as Domo does: YYYYmmddHHMMSS.fff."""
    moment = plan.ends_at - (plan.ends_at - plan.begins_at) * 0.06
    stamp = datetime.fromtimestamp(moment, UTC)
    return f"{stamp:%Y%m%d%H%M%S}.{stamp.microsecond // 1000:03d}"

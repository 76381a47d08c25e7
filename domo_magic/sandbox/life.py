"""The life of one execution, pure: a plan drawn once, and what Domo says of it at any moment.

Nothing here knows a clock, a thread or a socket. A :class:`Plan` is everything that will ever happen to an
execution; :func:`view` is the JSON object of it at an instant, with the fields and their order in Domo's
documentation of a started run. All times are epoch seconds.
"""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

JSON = dict[str, object]

_EARLY_ENDS = {"ERROR": 0.9, "ABORTED": 0.8, "INVALID": 0.2}
_INDEX_KEY = re.compile(rb'"indexRequestKey":"(\d{14}\.\d{3})"')


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who asked for an execution, and when.

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
    request : Request
        Who asked for it, and when.
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
    update_method : str
        ``REPLACE`` or ``APPEND``.
    cancelled_by : str or None
        The id of the user who aborted it.
    failure : str
        What is said of it where it fails.
    """

    request: Request
    begins_at: float
    grown_at: float
    ends_at: float
    final_state: str
    rows: int
    bytes: int
    memory: int
    toe: str
    container_manager_id: str
    update_method: str = "REPLACE"
    cancelled_by: str | None = None
    failure: str = ""


def toe(rng: random.Random) -> str:
    """Make a trace as Domo's, such as ``HAK43KQGQ7-GNKF0-SRC9Y``."""
    letters = base64.b32encode(rng.randbytes(13)).decode()[:20]
    return f"{letters[:10]}-{letters[10:15]}-{letters[15:]}"


def draw(habit: Habit, request: Request, rng: random.Random) -> Plan:
    """Draw an execution from the habit of its stream.

    Examples
    --------
    >>> import random
    >>> plan = draw(Habit(seconds=6.0), Request(stream_id=1, execution_id=1, at=100.0), random.Random(1))
    >>> plan.ends_at
    106.0
    """
    seconds = habit.seconds * math.exp(rng.gauss(0.0, habit.spread))
    share = math.exp(rng.gauss(0.0, habit.rows_spread))
    state = _ending(habit, rng)
    begins = request.at + habit.queued
    rows = round(habit.rows * share)
    return Plan(
        request=request,
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


def abort(plan: Plan, now: float, by: str, lag: float = 0.0) -> Plan:
    """Abort an execution; one that has ended stays as it is.

    Parameters
    ----------
    plan : Plan
        The execution.
    now : float
        Epoch seconds.
    by : str
        The id of the user who aborts.
    lag : float
        Seconds until Domo has stopped it.
    """
    if ended(plan, now):
        return plan
    return replace(
        plan, ends_at=min(now + lag, plan.ends_at), final_state="ABORTED", cancelled_by=by, failure=""
    )


def ended(plan: Plan, now: float) -> bool:
    """Say whether an execution has ended at `now`."""
    return now >= plan.ends_at


def state_at(plan: Plan, now: float) -> str:
    """Give the state of an execution at `now`: QUEUED, ACTIVE, or how it ended."""
    if ended(plan, now):
        return plan.final_state
    return "QUEUED" if now < plan.begins_at else "ACTIVE"


def view(plan: Plan, now: float) -> JSON:
    """Give the JSON object that Domo answers for an execution at `now`.

    ``indexRequestKey`` is text here, since a float cannot hold it; :func:`encode` writes it as a number.
    """
    over, asked = ended(plan, now), plan.request
    moment = min(now, plan.ends_at)
    begun, share = moment >= plan.begins_at, _grown(plan, moment)
    used = over and plan.final_state != "INVALID"
    return {
        "streamId": asked.stream_id,
        "executionId": asked.execution_id,
        "toe": plan.toe,
        "startedAt": int(plan.begins_at) if begun else None,
        "endedAt": int(plan.ends_at) if over else None,
        "updateMethod": plan.update_method,
        "index": True,
        "retryCount": 0,
        "retryExecution": None,
        "containerManagerId": plan.container_manager_id,
        "uploadId": asked.execution_id if begun and moment > asked.at else None,
        "indexRequestKey": _index_key(plan) if over and plan.final_state == "SUCCESS" else None,
        "currentState": state_at(plan, now),
        "runType": asked.run_type,
        "createdAt": int(asked.at),
        "modifiedAt": int(moment),
        "latestPhase": None,
        "currentPhase": None,
        "removed": False,
        "rowsInserted": int(plan.rows * share),
        "bytesInserted": int(plan.bytes * share),
        "startedBy": asked.started_by,
        "cancelledBy": plan.cancelled_by,
        "dataTag": None,
        "peakMemoryUsedBytes": plan.memory if used else None,
        "peakMemoryCommittedBytes": round(plan.memory * 1.066) if used else None,
        "exportable": False,
        "manualIndex": False,
        "errors": [{"category": "CONNECTOR", "message": plan.failure}] if over and plan.failure else [],
    }


def created(plan: Plan) -> JSON:
    """Give the answer to the POST that started an execution, as Domo's documentation shows it."""
    answer = view(plan, plan.request.at)
    if answer["startedAt"] is not None:
        answer |= {"startedAt": float(int(plan.begins_at)), "createdAt": None, "modifiedAt": None}
    return answer


def encode(value: object) -> bytes:
    """Write a value as JSON, the digits of ``indexRequestKey`` as they stand."""
    text = json.dumps(value, separators=(",", ":")).encode()
    return _INDEX_KEY.sub(rb'"indexRequestKey":\1', text)


def _grown(plan: Plan, moment: float) -> float:
    """Give the part of the rows that is there at a moment, from 0 to 1."""
    if moment >= plan.grown_at:
        return 1.0
    return max(0.0, (moment - plan.begins_at) / (plan.grown_at - plan.begins_at))


def _index_key(plan: Plan) -> str:
    """Give the moment at which the rows were indexed, UTC, as Domo writes it: YYYYmmddHHMMSS.fff."""
    moment = plan.ends_at - (plan.ends_at - plan.begins_at) * 0.06
    stamp = datetime.fromtimestamp(moment, UTC)
    return f"{stamp:%Y%m%d%H%M%S}.{stamp.microsecond // 1000:03d}"

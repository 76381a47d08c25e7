"""The life of one execution, pure: a plan drawn once, and what Domo says of it at any moment.

Nothing here knows a clock, a thread or a socket. A :class:`Plan` is everything that will ever happen to an
execution; :func:`view` is the JSON object of it at an instant, with the fields and their order in Domo's
documentation of a started run. All times are epoch seconds.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime

JSON = dict[str, object]

_INDEX_KEY = re.compile(rb'"indexRequestKey":"(\d{14}\.\d{3})"')


class UnknownError(LookupError):
    """There is no such stream, execution or DataSet; its text is what Domo says."""


class EndedError(ValueError):
    """The execution to abort has ended already; its text is what Domo says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
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
    start : Start
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

    start: Start
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
    """Give the JSON object that Domo returns for an execution at `now`.

    ``indexRequestKey`` is text here, since a float cannot hold it; :func:`encode` writes it as a number.
    """
    over, asked = ended(plan, now), plan.start
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
    """Give the response to the POST that started an execution, as Domo's documentation shows it."""
    response = view(plan, plan.start.at)
    if response["startedAt"] is not None:
        response |= {"startedAt": float(int(plan.begins_at)), "createdAt": None, "modifiedAt": None}
    return response


def encode(value: object) -> bytes:
    """Write a value as JSON, the digits of ``indexRequestKey`` as they stand."""
    text = json.dumps(value, separators=(",", ":")).encode()
    return _INDEX_KEY.sub(rb'"indexRequestKey":\1', text)


def _grown(plan: Plan, moment: float) -> float:
    """Give the part of the rows that is there at a moment, from 0 to 1."""
    if moment >= plan.grown_at:
        return 1.0
    if moment <= plan.begins_at:
        return 0.0
    return (moment - plan.begins_at) / (plan.grown_at - plan.begins_at)


def _index_key(plan: Plan) -> str:
    """Give the moment at which the rows were indexed, UTC, as Domo writes it: YYYYmmddHHMMSS.fff."""
    moment = plan.ends_at - (plan.ends_at - plan.begins_at) * 0.06
    stamp = datetime.fromtimestamp(moment, UTC)
    return f"{stamp:%Y%m%d%H%M%S}.{stamp.microsecond // 1000:03d}"

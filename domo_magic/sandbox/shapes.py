"""Streams and DataSets as Domo's JSON: pure, from what the world knows to what the API returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domo_magic.sandbox.streams import COLLEAGUE, OWNER, DataSet, Stream

if TYPE_CHECKING:
    from domo_magic.sandbox.life import JSON

_HISTORY_FIELDS = (
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


def error(status: int, reason: str, message: str, toe: str) -> JSON:
    """Give the only shape of an error that Domo documents."""
    return {"status": status, "statusReason": reason, "message": message, "toe": toe}


def in_history(execution: JSON) -> JSON:
    """Give the few fields of an execution that ``history/aggregate`` has."""
    return {name: execution[name] for name in _HISTORY_FIELDS}


def datasource(stream: Stream, last: JSON | None, good: JSON | None, created: float) -> JSON:
    """Give the DataSet of a stream; its times are epoch milliseconds.

    Parameters
    ----------
    stream : Stream
        The stream.
    last, good : dict or None
        Its newest execution, and the newest that succeeded.
    created : float
        When it was made, epoch seconds.
    """
    key, updated = stream.provider[1], _seconds(good, "endedAt", created)
    return {
        "id": stream.dataset_id,
        "displayType": key,
        "dataProviderType": key,
        "type": key,
        "name": stream.name,
        "status": "SUCCESS" if last is None else last["currentState"],
        "created": _milliseconds(created),
        "lastTouched": _milliseconds(_seconds(last, "modifiedAt", created)),
        "lastUpdated": _milliseconds(updated),
        "nextUpdate": _milliseconds(_seconds(last, "createdAt", created) + stream.every),
        "rowCount": 0 if good is None else good["rowsInserted"],
        "columnCount": stream.columns,
        "state": "SUCCESS",
        "validConfiguration": True,
        "validAccount": True,
        "streamId": stream.id,
        "transportType": "CONNECTOR",
        "cloudId": "domo",
        "cloudName": "Domo",
        "hidden": False,
        "scheduleActive": True,
    }


def lone_datasource(dataset: DataSet, created: float) -> JSON:
    """Give a DataSet that no connector fills: its ``streamId`` is null."""
    return {
        "id": dataset.dataset_id,
        "displayType": "webform",
        "dataProviderType": "webform",
        "type": "webform",
        "name": dataset.name,
        "status": "SUCCESS",
        "created": _milliseconds(created),
        "lastTouched": _milliseconds(created),
        "lastUpdated": _milliseconds(created),
        "rowCount": dataset.rows,
        "columnCount": dataset.columns,
        "state": "SUCCESS",
        "streamId": None,
        "transportType": "API",
        "cloudId": "domo",
        "cloudName": "Domo",
        "hidden": False,
        "scheduleActive": False,
    }


def stream_head(stream: Stream, source: JSON, created: float, state: str) -> JSON:
    """Give a stream without its executions and its configuration."""
    number, key, name = stream.provider
    return {
        "id": stream.id,
        "valid": True,
        "invalidExecutionId": None,
        "transport": {"type": "CONNECTOR", "description": f"com.domo.connector.{key}", "version": "0"},
        "updateMethod": "REPLACE",
        "dataProvider": {"id": number, "key": key, "name": name, "type": "STANDARD"},
        "account": None,
        "dataSource": source,
        "scheduleExpression": _cron(stream.every),
        "scheduleStartDate": None,
        "advancedScheduleJson": _schedule(stream.every),
        "scheduleRetryExpression": None,
        "scheduleRetryCount": 0,
        "currentExecutionState": state,
        "createdAt": int(created),
        "createdBy": int(COLLEAGUE),
        "modifiedAt": int(created),
        "modifiedBy": int(OWNER),
        "scheduleState": "ACTIVE",
        "scheduleAssertion": False,
        "inactiveScheduleCode": None,
    }


def stream_in_full(head: JSON, last: JSON | None, good: JSON | None, current: JSON | None) -> JSON:
    """Add to a stream its executions and its configuration, in Domo's order."""
    response: JSON = {}
    for name, value in head.items():
        if name == "currentExecutionState":
            response |= {"lastExecution": last, "lastSuccessfulExecution": good, "currentExecution": current}
        response[name] = value
    configuration = {"retry.retryNumber": "0", "report": "all"}
    response["configuration"] = [
        {"streamId": head["id"], "category": "METADATA", "name": name, "type": "string", "value": value}
        for name, value in configuration.items()
    ]
    return response


def _seconds(execution: JSON | None, field: str, default: float) -> float:
    value = None if execution is None else execution[field]
    return float(value) if isinstance(value, int | float) else default


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _cron(every: int) -> str:
    """Write a Quartz cron for an interval."""
    minutes, hours = every // 60, every // 3600
    if hours == 0:
        return f"0 0/{max(1, minutes)} * * * ?"
    return f"0 13 0/{hours} * * ?" if hours < 24 else "0 13 2 * * ?"


def _schedule(every: int) -> str:
    """Write Domo's own schedule, JSON within JSON."""
    return f'{{"type":"MINUTE","timezone":"UTC","between":null,"interval":{max(1, every // 60)}}}'

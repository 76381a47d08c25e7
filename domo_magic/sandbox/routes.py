"""Domo's endpoints on a world: a request in, a response out, no socket anywhere."""

from __future__ import annotations

import html
import http
import json
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from domo_magic.sandbox.simulation import JSON, encode
from domo_magic.sandbox.world import EDITABLE, EndedError, UnknownError

if TYPE_CHECKING:
    from domo_magic.sandbox.faults import Request
    from domo_magic.sandbox.world import World

_STREAMS_MOST, _DATASETS_MOST, _PAGE_MOST = 50, 100, 500
_NUMBER = re.compile(r"[0-9]{1,1000}")


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back: status, body, and headers beyond the usual ones."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """A request that Domo refuses, with the status and what it says."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


@dataclass(frozen=True, slots=True)
class _Call:
    """A request taken apart: the values in its path, its query and its body."""

    world: World
    values: tuple[str, ...]
    query: dict[str, str]
    body: bytes

    def id(self, place: int = 0) -> int:
        return int(self.values[place])

    def number(self, name: str, default: int, most: int) -> int:
        text = self.query.get(name, str(default))
        if not _NUMBER.fullmatch(text):
            raise RefusedError(400, f"{name} must be a whole number, 0 or more")
        return min(int(text), most)

    def page(self, default: int = 50) -> tuple[int, int]:
        return self.number("limit", default, _PAGE_MOST), self.number("offset", 0, 10**12)

    def json(self) -> object:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise RefusedError(400, "The body is not JSON") from None

    def fields(self, **fits: Callable[[object], bool]) -> dict[str, Any]:
        """Return the body's fields; those that are named must fit where they are there."""
        value = self.json()
        if not isinstance(value, dict):
            raise RefusedError(400, "The body is not a JSON object")
        for name, fit in fits.items():
            if name in value and not fit(value[name]):
                raise RefusedError(400, f"{name} is not valid")
        return value

    def fields_if_any(self, **fits: Callable[[object], bool]) -> dict[str, Any]:
        return self.fields(**fits) if self.body.strip() else {}


def _is_manual(value: object) -> bool:
    return value == "MANUAL"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and value % 1 == 0


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_filters(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) and _is_filter(each) for each in value)


def _is_filter(value: JSON) -> bool:
    return _are_texts([value[name] for name in ("field", "filterType", "query") if name in value])


def response(world: World, request: Request) -> Response:
    """Do what a request wants, and respond as Domo does."""
    try:
        return _routed(world, request)
    except RefusedError as refused:
        return refusal(world, refused.status, refused.message, refused.headers)
    except UnknownError as unknown:
        return refusal(world, 404, str(unknown))
    except EndedError as ended:
        return refusal(world, 409, str(ended))


def page(world: World, path: str) -> Response | None:
    """Respond with what needs no token: the description of the API, and a DataSet's page for a browser."""
    if path == "/openapi.json":
        return Response(200, pkgutil.get_data("domo_magic.sandbox", "openapi.json") or b"")
    if not path.startswith("/datasources/"):
        return None
    try:
        dataset = world.dataset(path.split("/")[2])
    except UnknownError as unknown:
        return refusal(world, 404, str(unknown))
    name, stream_id = html.escape(str(dataset["name"])), dataset["streamId"]
    text = (
        f"<!doctype html><title>{name}</title><h1>{name}</h1><p>In Domo this is the DataSet's page, with the"
        f" history of its stream, {stream_id}. The sandbox has no pages: <code>%domo_runs {stream_id}</code>"
    )
    return Response(200, text.encode(), {"Content-Type": "text/html; charset=utf-8"})


def refusal(world: World, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Respond with an error in the documented shape."""
    reason = http.HTTPStatus(status).phrase
    shape = {"status": status, "statusReason": reason, "message": message, "toe": world.toe()}
    return Response(status, encode(shape), headers or {})


def _routed(world: World, request: Request) -> Response:
    path, _, text = request.path.partition("?")
    query = {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}
    match, handlers = next(
        ((match, handlers) for pattern, handlers in ROUTES if (match := pattern.fullmatch(path))), (None, {})
    )
    if match is None:
        raise RefusedError(404, "No such resource")
    if request.method not in handlers:
        raise RefusedError(405, f"{request.method} is not supported here", Allow=", ".join(handlers))
    values = tuple(unquote(value) for value in match.groups())
    return handlers[request.method](_Call(world, values, query, request.body))


def _ok(value: object) -> Response:
    return Response(200, encode(value))


def _start(call: _Call) -> Response:
    # Other clients send no body, {} or {"action": "MANUAL"}; Domo starts a run on each.
    call.fields_if_any(runType=_is_manual, action=_is_manual)
    return Response(201, encode(call.world.start(call.id())))


def _executions(call: _Call) -> Response:
    return Response(200, call.world.executions_json(call.id(), *call.page()))


def _execution(call: _Call) -> Response:
    call.fields_if_any()  # one client sends a PUT; what it changes is not known
    return _ok(call.world.execution(call.id(0), call.id(1)))


def _data(call: _Call) -> Response:
    call.world.execution(call.id(0), call.id(1))
    return _ok([])  # nobody has described the rows


def _abort(call: _Call) -> Response:
    call.fields_if_any(category=_is_text, message=_is_text)
    return _ok(call.world.abort(call.id(0), call.id(1)))


def _history(call: _Call) -> Response:
    return _ok(call.world.newest(call.id(), call.page(100)[0]))


def _aggregate(call: _Call) -> Response:
    return _ok(call.world.history(call.id(), call.page(100)[0]))


def _state(call: _Call) -> Response:
    return _ok(call.world.state(call.id()))


def _stream(call: _Call) -> Response:
    return _ok(call.world.stream(call.id(), full=call.query.get("fields") == "all"))


def _update(call: _Call) -> Response:
    changes = call.fields(**dict.fromkeys(EDITABLE, lambda value: value is None or _is_text(value)))
    return _ok(call.world.update(call.id(), changes))


def _streams(call: _Call) -> Response:
    return _ok(call.world.streams(*call.page()))


def _bulk(call: _Call) -> Response:
    ids = call.query.get("streamId", "").split(",")
    if not all(map(_NUMBER.fullmatch, ids)):
        raise RefusedError(400, "streamId must be ids with commas between them")
    if len(ids) > _STREAMS_MOST:
        raise RefusedError(400, f"At most {_STREAMS_MOST} streams at a time")
    return _ok(call.world.bulk([int(text) for text in ids]))


def _search(call: _Call) -> Response:
    name, _, value = call.query.get("q", "").partition(":")
    if name != "dataSource.id":
        raise RefusedError(400, "q must be dataSource.id:{id}")
    return _ok(call.world.streams_of(value))


def _dataset(call: _Call) -> Response:
    return _ok(call.world.dataset(call.values[0]))


def _datasets(call: _Call) -> Response:
    limit, offset = call.page()
    found, total = call.world.datasets("*", limit, offset)
    return _page(found, total, limit, offset)


def _datasets_bulk(call: _Call) -> Response:
    ids = call.json()
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise RefusedError(400, "The body must be a list of DataSet ids")
    if len(ids) > _DATASETS_MOST:
        raise RefusedError(400, f"At most {_DATASETS_MOST} DataSets at a time")
    return _ok({"dataSources": call.world.datasets_of(ids)})


def _find(call: _Call) -> Response:
    """Search by name; without a filter for it all is found (Domo floods too)."""
    body = call.fields(
        entities=_are_texts,
        filters=_are_filters,
        combineResults=_is_flag,
        query=_is_text,
        count=_is_count,
        offset=_is_count,
    )
    patterns = [
        entry["query"]
        for entry in body.get("filters", [])
        if (entry.get("field"), entry.get("filterType")) == ("name_sort", "wildcard") and "query" in entry
    ]
    limit, offset = min(int(body.get("count", 50)), _PAGE_MOST), int(body.get("offset", 0))
    found, total = call.world.datasets(patterns[0] if patterns else "*", limit, offset)
    items = [{name: each[name] for name in each if name != "streamId" or each[name]} for each in found]
    return _page(items, total, limit, offset)


def _page(found: list[JSON], total: int, limit: int, offset: int) -> Response:
    about = {"totalCount": total, "limit": limit, "offset": offset}
    return _ok({"dataSources": found, "_metaData": about})


_Handlers = dict[str, Callable[[_Call], Response]]


def _route(path: str, **handlers: Callable[[_Call], Response]) -> tuple[re.Pattern[str], _Handlers]:
    pattern = path.replace("{id}", r"(\d{1,18})").replace("{uuid}", r"([^/]+)")
    return re.compile(f"/api/data/{pattern}", re.ASCII), handlers


ROUTES = (
    _route("v1/streams/{id}/executions", GET=_executions, POST=_start),
    _route("v1/streams/{id}/executions/{id}", GET=_execution, PUT=_execution),
    _route("v1/streams/{id}/executions/{id}/data", GET=_data),
    _route("v1/streams/{id}/executions/{id}/abort", PUT=_abort),
    _route("v1/streams/{id}/history", GET=_history),
    _route("v1/streams/{id}/history/aggregate", GET=_aggregate),
    _route("v1/streams/state/{id}", GET=_state),
    _route("v1/streams/bulk", GET=_bulk),
    _route("v1/streams/search", GET=_search),
    _route("v1/streams/{id}", GET=_stream, PUT=_update),
    _route("v1/streams/?", GET=_streams),  # domolibrary ends it with a slash
    _route("v3/datasources/bulk", POST=_datasets_bulk),
    _route("v3/datasources/{uuid}", GET=_dataset),
    _route("v3/datasources", GET=_datasets),
    _route("ui/v3/datasources/search", POST=_find),
)

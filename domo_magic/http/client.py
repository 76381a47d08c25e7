"""Domo's endpoints as functions: which path, what a status means, what may be sent twice."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from domo_magic.errors import (
    ApiError,
    ConnectionFailed,
    DomoError,
    InvalidResponse,
    TriggerOutcomeUnknown,
)
from domo_magic.http.response import (
    because,
    kind_of_body,
    misdirected,
    oversized,
    refusal,
    said,
    title,
    unexpected,
)
from domo_magic.http.retry import REPEATS, RetryPolicy
from domo_magic.model.execution import Execution, item_texts, parse_json, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from threading import Event

    from domo_magic.errors import RateLimited
    from domo_magic.http.credentials import Login
    from domo_magic.http.response import Response
    from domo_magic.http.transport import Transport
    from domo_magic.model.timeouts import Clock, Timeouts

#: The largest page of executions that is requested (the public API's limit).
PAGE = 500
# A Domo that passes over `limit` may send more than was requested, but not what fills the memory.
_LONGEST_PAGE = 4 * PAGE
#: Names of fields in one list; Domo documents 29.
MOST_FIELDS = 1000
# Bytes; parsed, a body takes ten times as much, so larger ones are parsed one after the other.
_LARGE = 1 << 20
_STREAMS = "/api/data/v1/streams"
_DATASETS = "/api/data/v3/datasources"
_NEVER = threading.Event()
_T = TypeVar("_T")


class Uncertain(TriggerOutcomeUnknown):
    """A start may have reached Domo; whoever sees this looks before doing anything else."""


class Client:
    """One Domo.

    Parameters
    ----------
    transport : Transport
        Sends the requests.
    login : Login
        For the words of errors.
    timeouts, clock : Timeouts, Clock
        Budgets and pauses.
    """

    def __init__(self, transport: Transport, login: Login, timeouts: Timeouts, clock: Clock) -> None:
        self.transport = transport
        self._login = login
        self._timeouts = timeouts
        self._clock = clock
        self._retry = RetryPolicy(login.address.host, timeouts, clock)
        #: Seconds that Domo's clock is ahead of ours, by its last response.
        self.skew = 0.0
        self._parsing = threading.Lock()

    @property
    def retry_after(self) -> float:
        """Seconds until the next request, where Domo has sent a ``Retry-After``; else 0."""
        return self._retry.retry_after

    def rate_limited(self) -> RateLimited:
        """Return the error for a request that was not sent because of a ``Retry-After``."""
        return self._retry.rate_limited()

    def close(self) -> None:
        """Close the idle connections."""
        self.transport.close()

    def create_execution(self, stream_id: int, stop: Event = _NEVER) -> Execution:
        """Start a run: exactly one POST that may have arrived.

        Sent again only where nothing was started: the connection was refused, or a 429.

        Parameters
        ----------
        stream_id : int
            The stream.
        stop : Event, optional
            Set from another thread to give up a pause.

        Returns
        -------
        Execution
            It may have no id.

        Raises
        ------
        Uncertain
            The run may have started.
        ConnectionFailed, ApiError
            Nothing was started.
        """
        deadline = self._clock.monotonic() + self._timeouts.start_budget
        if self.retry_after and (
            self.retry_after > self._timeouts.start_budget or self._clock.wait(stop, self.retry_after)
        ):
            raise self._retry.rate_limited()
        for attempt in range(REPEATS + 1):
            try:
                response = self._send("POST", f"{_STREAMS}/{stream_id}/executions", {"runType": "MANUAL"})
            except ConnectionFailed as lost:
                if lost.sent:
                    raise _uncertain(stream_id, lost.summary) from lost
                lost.hint = f"nothing was started; {lost.hint}"
                if not lost.refused:  # certificates, proxies and names do not come right by themselves
                    raise
                problem: DomoError = lost
                pause = self._retry.backoff(attempt)
            else:
                if response.status != 429:
                    return self._started(stream_id, response)
                problem = self._refusal(response, f"stream {stream_id}")
                pause = self._retry.note(response) or self._retry.backoff(attempt)
            late = self._clock.monotonic() + pause > deadline
            if late or attempt == REPEATS or self._clock.wait(stop, pause):
                break
        raise problem

    def _started(self, stream_id: int, response: Response) -> Execution:
        if not 200 <= response.status < 300:
            # A 303 says that it was done, and where the result is; a 1xx is not the response to a POST.
            if response.status >= 500 or response.status == 303 or response.status < 200:
                why = f"Domo returned {title(response)}{because(said(response)[0])}"
                raise _uncertain(stream_id, why)
            raise self._refusal(response, f"stream {stream_id}")
        if response.flaw:
            raise _uncertain(stream_id, f"Domo returned {response.status}, but the response {response.flaw}")
        try:
            value = parse_json(response.body) if response.body.strip() else {}
            execution = Execution.from_json(value, stream_id, response.text)
        except InvalidResponse as error:
            why = f"Domo returned {response.status}, but with {kind_of_body(response)} in place of the run"
            raise _uncertain(stream_id, why) from error
        if not _of_stream(value, stream_id):
            why = f"Domo returned {response.status}, but with an execution of another stream"
            raise _uncertain(stream_id, why)
        return execution

    def get_execution(self, stream_id: int, execution_id: int, *, repeat: bool = True) -> Execution:
        """Return one run, with its error details."""
        path = f"{_STREAMS}/{stream_id}/executions/{execution_id}"

        def fits(value: dict[str, Any]) -> bool:
            return _of_stream(value, stream_id) and whole(value.get("executionId")) == execution_id

        subject = f"run {stream_id}/{execution_id}"
        response, value = self._request("GET", path, subject, dict, fits=fits, repeat=repeat)
        return Execution.from_json(value, stream_id, response.text)

    def list_executions(
        self,
        stream_id: int,
        limit: int,
        offset: int,
        *,
        repeat: bool = True,
        deadline: float | None = None,
    ) -> list[Execution]:
        """Return a page of a stream's runs, in whatever order Domo has them, with their JSON text."""
        page = f"executions?limit={limit}&offset={offset}"
        response, value = self._executions(stream_id, page, repeat=repeat, deadline=deadline)
        texts = item_texts(response.text)
        return [Execution.from_json(item, stream_id, text) for item, text in zip(value, texts, strict=True)]

    def list_records(
        self, stream_id: int, limit: int, offset: int, *, repeat: bool = True
    ) -> list[dict[str, Any]]:
        """Return a page of a stream's runs, each as parsed JSON: thousands of them want no more."""
        response, value = self._executions(
            stream_id, f"executions?limit={limit}&offset={offset}", repeat=repeat
        )
        if not all(type(item) is dict for item in value):
            raise unexpected(response, f"stream {stream_id}")
        return value

    def _executions(
        self, stream_id: int, what: str, *, repeat: bool, deadline: float | None = None
    ) -> tuple[Response, list[Any]]:
        path = f"{_STREAMS}/{stream_id}/{what}"

        def fits(value: list[Any]) -> bool:
            if len(value) > _LONGEST_PAGE or count_fields(value) > MOST_FIELDS:
                value.clear()  # else the error's frames would keep it
                raise oversized(f"stream {stream_id}")
            others = [item for item in value if type(item) is not dict or item.get("streamId") != stream_id]
            return all(_of_stream(item, stream_id) for item in others)  # nearly always none

        return self._request(
            "GET", path, f"stream {stream_id}", list, fits=fits, repeat=repeat, deadline=deadline
        )

    def latest_execution_id(self, stream_id: int, *, deadline: float | None = None) -> int:
        """Return the id of a stream's newest run; 0 where there is none, or Domo does not say.

        Nobody documented this call: whatever it gives, the list itself has the last word.
        """
        path = f"{_STREAMS}/state/{stream_id}"

        def once() -> tuple[Response, list[Any]]:
            return self._request("GET", path, f"stream {stream_id}", list, repeat=False, deadline=deadline)

        try:
            _, value = once() if deadline is not None else self._retry.repeat(once, repeats=1)
        except DomoError as error:
            if self.retry_after or (isinstance(error, ConnectionFailed) and not error.sent):
                raise  # the list would fail as well
            return 0
        newest = value[0] if value and isinstance(value[0], dict) else {}
        return (whole(newest.get("executionId")) or 0) if _of_stream(newest, stream_id) else 0

    def execution_history(
        self, stream_id: int, *, repeat: bool = True, deadline: float | None = None
    ) -> list[Execution]:
        """Return a stream's past in one request: few fields, newest first."""
        _, value = self._executions(stream_id, "history/aggregate", repeat=repeat, deadline=deadline)
        runs = [Execution.from_json(item, stream_id) for item in value]
        return [run for run in runs if run.execution_id is not None]

    def get_stream(self, stream_id: int, *, deadline: float | None = None) -> Mapping[str, Any]:
        """Return a stream: its DataSet, provider, schedule, last executions; with a deadline once."""
        path = f"{_STREAMS}/{stream_id}?fields=all"

        def fits(value: dict[str, Any]) -> bool:
            return whole(value.get("id")) in {None, stream_id}

        return self._request("GET", path, f"stream {stream_id}", dict, fits=fits, deadline=deadline)[1]

    def get_streams(self, stream_ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
        """Return up to 50 streams in one request, those that Domo gives, by their ids."""
        path = f"{_STREAMS}/bulk?streamId={','.join(map(str, stream_ids))}"
        _, value = self._request("GET", path, "the streams", list)
        found = {whole(item.get("id")): item for item in value if isinstance(item, dict)}
        return {stream_id: found[stream_id] for stream_id in stream_ids if stream_id in found}

    def get_dataset(self, dataset_id: str) -> Mapping[str, Any]:
        """Return a DataSet; its ``streamId`` is missing or None when no connector feeds it."""
        path = f"{_DATASETS}/{dataset_id}"
        return self._request(
            "GET", path, f"DataSet {dataset_id}", dict, fits=lambda value: _of_dataset(value, dataset_id)
        )[1]

    def find_stream(self, dataset_id: str) -> int | None:
        """Search for the stream that feeds a DataSet; None: no connector feeds it."""
        path = f"{_STREAMS}/search?q=dataSource.id:{dataset_id}"

        def fits(value: list[Any]) -> bool:
            return all(
                isinstance(item, dict) and _of_dataset(item.get("dataSource"), dataset_id)
                for item in value[:1]
            )

        _, value = self._request("GET", path, f"DataSet {dataset_id}", list, fits=fits)
        return whole(value[0].get("id")) if value else None

    def datasets_page(self, text: str, limit: int, offset: int) -> tuple[list[dict[str, Any]], int | None]:
        """Search for DataSets whose name contains `text`, all where it is empty.

        Returns
        -------
        list of dict
            The page.
        int or None
            How many there are in all, as far as Domo says it.
        """
        if not text:
            path = f"{_DATASETS}?limit={limit}&offset={offset}"
            response, value = self._request("GET", path, "the list of DataSets", dict)
            return _data_sources(response, value, limit), _total(value)
        body = {
            "entities": ["DATASET"],
            "filters": [{"field": "name_sort", "filterType": "wildcard", "query": f"*{text}*"}],
            "combineResults": True,
            "query": "*",
            "count": limit,
            "offset": offset,
        }
        path = "/api/data/ui/v3/datasources/search"
        response, value = self._request("POST", path, "the search", dict, body)
        return _data_sources(response, value, limit), _total(value)

    def abort_execution(self, stream_id: int, execution_id: int) -> None:
        """Request the abort of a run; its state tells later whether it was."""
        path = f"{_STREAMS}/{stream_id}/executions/{execution_id}/abort"
        body = {"category": "CONNECTOR", "message": "aborted with domo_magic"}
        subject = f"run {stream_id}/{execution_id}"
        # Aborting twice aborts once, so a lost response may be repeated.
        self._retry.repeat(lambda: self._good(self._send("PUT", path, body), subject))

    def _request(  # noqa: PLR0913  what to send, and what fits as the response
        self,
        method: str,
        path: str,
        subject: str,
        shape: type[_T],
        body: object = None,
        *,
        fits: Callable[[_T], bool] = lambda _value: True,
        repeat: bool = True,
        deadline: float | None = None,
    ) -> tuple[Response, _T]:
        """Send a request until its own response is there: `fits` tells another's apart."""
        minute = self._clock.monotonic() + 2 * self._timeouts.retry_budget
        last = minute if deadline is None else deadline

        def once() -> tuple[Response, _T]:
            response = self._good(self._send(method, path, body, last), subject)
            with self._turn(response):
                value = _parsed(response, subject, shape)
                if not fits(value):
                    raise misdirected(subject)
            return response, value

        return self._retry.repeat(once) if repeat and deadline is None else once()

    @contextmanager
    def _turn(self, response: Response) -> Iterator[None]:
        """Let large bodies be parsed one after the other; in a forked process nobody may give a turn."""
        turn = len(response.body) > _LARGE and self._parsing.acquire(timeout=self._timeouts.aside)
        try:
            yield
        finally:
            if turn:
                self._parsing.release()

    def _send(self, method: str, path: str, body: object = None, deadline: float | None = None) -> Response:
        within = None if deadline is None else deadline - self._clock.monotonic()
        if within is not None and within <= 0:  # else fast responses go on beyond every deadline
            late = ConnectionFailed(f"{self._login.address.host} did not respond in time", "try again later")
            late.sent = False
            raise late
        before = self._clock.time()
        response = self.transport.send(method, path, body, within=within)
        if (server := response.server_time) is not None:
            # Whole seconds, written at some moment between request and response: a slow one tells little.
            earliest = server - self._clock.time()
            if not earliest <= self.skew <= server + 1 - before:
                self.skew = earliest
        return response

    def _good(self, response: Response, subject: str) -> Response:
        if 200 <= response.status < 300:
            return response
        if response.status in {429, 503}:
            self._retry.note(response)
        raise self._refusal(response, subject)

    def _refusal(self, response: Response, subject: str) -> ApiError:
        return refusal(response, subject, self._login.address.host, self._login.source)


def _parsed(response: Response, subject: str, shape: type[_T]) -> _T:
    try:
        value = None if response.flaw else parse_json(response.body)
    except InvalidResponse as error:
        raise unexpected(response, subject) from error
    if not isinstance(value, shape):
        raise unexpected(response, subject)
    return value


def _data_sources(response: Response, value: Mapping[str, Any], limit: int) -> list[dict[str, Any]]:
    found = value.get("dataSources") or []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found[:limit]):
        raise unexpected(response, "the list of DataSets")
    return found[:limit]


def _total(value: Mapping[str, Any]) -> int | None:
    about = value.get("_metaData") or value.get("_metadata")
    return whole(about.get("totalCount")) if isinstance(about, dict) else None


def _of_stream(value: object, stream_id: int) -> bool:
    """Return False if an execution names another stream than the one requested.

    A balancer or a proxy can hand out the response to somebody else's request: nothing in HTTP ties a
    response to its request but the order on the connection.
    """
    named = whole(value.get("streamId")) if isinstance(value, dict) else None
    return named is None or named <= 0 or named == stream_id


def _of_dataset(value: object, dataset_id: str) -> bool:
    """Return False if a DataSet names itself as another than the one requested."""
    named = value.get("id") if isinstance(value, dict) else None
    return not isinstance(named, str) or named.lower() == dataset_id.lower()


def count_fields(records: Sequence[object]) -> int:
    """Return how many different fields records have."""
    return len(set().union(*(record for record in records if isinstance(record, dict))))


def _uncertain(stream_id: int, why: str) -> Uncertain:
    return Uncertain(
        f"stream {stream_id} may have started: {why}",
        f"do not start it again before looking: %domo_runs {stream_id}",
    )

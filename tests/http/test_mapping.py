"""Every error of requests and urllib3 becomes one of ours, and tells whether the request may have left."""

from __future__ import annotations

import inspect
import json
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import requests
import urllib3
from requests.adapters import BaseAdapter

from domo_magic.errors import ConnectionFailed, DomoError
from domo_magic.executions.session import open_session
from domo_magic.http import connection, failure
from domo_magic.http.address import address
from domo_magic.http.client import Uncertain
from domo_magic.http.credentials import Login, Token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support import JumpClock

    from domo_magic.executions.session import Session

TOKEN = "a-token-of-some-length"
POOL = urllib3.HTTPConnectionPool("127.0.0.1")
LEAF = urllib3.connection.HTTPConnection("127.0.0.1")


class Broken(BaseAdapter):
    """An adapter that raises, and counts."""

    def __init__(self, error: BaseException, *, sent: bool | None) -> None:
        super().__init__()
        self.error = error
        self.sent = sent
        self.count = 0

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Raise."""
        self.count += 1
        connection._this_thread.sent = self.sent
        if isinstance(self.error, requests.RequestException):
            self.error.request = request
        raise self.error

    def close(self) -> None:
        """Close nothing."""


@pytest.fixture
def session(clock: JumpClock) -> Iterator[Session]:
    """Give a connection that reaches nothing."""
    login = Login(address("http://127.0.0.1:9"), Token(TOKEN), "the test")
    one = open_session(login, clock=clock, sandbox=True)
    yield one
    one.client.close()


def breaks(session: Session, error: BaseException, *, sent: bool | None = None) -> Broken:
    """Let every request raise `error`, something written or not, or (None) nobody knows."""
    adapter = Broken(error, sent=sent)
    session.client.transport._session.mount("http://", adapter)
    return adapter


def made(kind: type[requests.RequestException]) -> requests.RequestException:
    """Make an error of a kind, with the token where such errors have been seen to have it."""
    if issubclass(kind, json.JSONDecodeError):
        return kind("no JSON", TOKEN, 0)
    return kind(f"header value {TOKEN!r}")


KINDS = [
    kind
    for kind in vars(requests.exceptions).values()
    if inspect.isclass(kind) and issubclass(kind, requests.RequestException)
]
WORDS = {
    "ProxyError": "the proxy refused",
    "SSLError": "the secure connection failed",
    "ConnectTimeout": "no connection within 10 s",
    "ReadTimeout": "no response within 30 s",
    "Timeout": "no response in time",
    "InvalidProxyURL": "the proxy's address",
    "InvalidURL": "the address is not valid",
    "ChunkedEncodingError": "the response was cut off",
    "ContentDecodingError": "the response's compression is broken",
    "ConnectionError": "the connection was closed",
    "RetryError": "the request failed",
    "RequestException": "the request failed",
}
UNSENT = {
    "ConnectTimeout",
    "InvalidURL",
    "InvalidProxyURL",
    "MissingSchema",
    "InvalidSchema",
    "InvalidHeader",
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_of_requests_is_ours(session: Session, kind: type[requests.RequestException]) -> None:
    """Each class is a `ConnectionFailed` with words of ours, its cause kept without the token's request."""
    breaks(session, made(kind))
    with pytest.raises(ConnectionFailed) as caught:
        session.client.transport.send("GET", "/")
    words = WORDS.get(kind.__name__, "the request failed")
    assert str(caught.value).startswith(f"127.0.0.1:9 could not be reached: {words}")
    assert caught.value.hint
    assert caught.value.__cause__ is not None
    assert getattr(caught.value.__cause__, "request", None) is None
    assert caught.value.sent is (kind.__name__ not in UNSENT)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_start_is_sent_once_whatever_breaks(
    session: Session, kind: type[requests.RequestException]
) -> None:
    """What may have arrived is uncertain after one POST; what did not has started nothing, said at once."""
    adapter = breaks(session, made(kind))
    with pytest.raises(DomoError) as caught:
        session.client.create_execution(25775)
    unsent = kind.__name__ in UNSENT
    assert type(caught.value) is (ConnectionFailed if unsent else Uncertain)
    assert isinstance(caught.value, ConnectionFailed) is unsent
    assert adapter.count == 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_was_written_may_have_arrived(session: Session, kind: type[requests.RequestException]) -> None:
    """After the first byte of the request, no class of error proves that nothing was started."""
    adapter = breaks(session, made(kind), sent=True)
    with pytest.raises(Uncertain):
        session.client.create_execution(25775)
    assert adapter.count == 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_was_never_written_has_not_arrived(
    session: Session, kind: type[requests.RequestException]
) -> None:
    """Where our own connection broke before the first byte, whatever broke it, nothing was started."""
    breaks(session, made(kind), sent=False)
    with pytest.raises(ConnectionFailed) as caught:
        session.client.create_execution(25775)
    assert not caught.value.sent


REASONS = {
    "refused": (urllib3.exceptions.NewConnectionError(LEAF, "refused"), False),
    "no name": (urllib3.exceptions.NameResolutionError("x", LEAF, OSError()), False),  # type: ignore[arg-type]
    "connect timeout": (urllib3.exceptions.ConnectTimeoutError(), False),
    "tls": (urllib3.exceptions.SSLError(), False),
    "proxy": (urllib3.exceptions.ProxyError("refused", OSError()), False),
    "closed": (urllib3.exceptions.ProtocolError("closed"), True),
    "status": (urllib3.exceptions.ResponseError("too many 503"), True),
    "read timeout": (urllib3.exceptions.ReadTimeoutError(POOL, "/", "late"), True),
}


@pytest.mark.parametrize("reason, sent", REASONS.values(), ids=REASONS.keys())
def test_the_reason_of_a_failed_connection_counts(session: Session, reason: Exception, *, sent: bool) -> None:
    """What urllib3 says about a connection that was never made proves that nothing was sent."""
    breaks(session, requests.ConnectionError(urllib3.exceptions.MaxRetryError(POOL, "/", reason)))
    with pytest.raises(ConnectionFailed) as caught:
        session.client.transport.send("POST", "/")
    assert caught.value.sent is sent


def test_every_error_of_urllib3_has_words() -> None:
    """Whatever of urllib3 gets past requests has a meaning too."""
    kinds = [kind for kind in vars(urllib3.exceptions).values() if inspect.isclass(kind)]
    errors = [kind for kind in kinds if issubclass(kind, urllib3.exceptions.HTTPError)]
    assert len(errors) > 20
    for kind in (*errors, TimeoutError, ssl.SSLError, ConnectionResetError, UnicodeError):
        assert failure.meaning(kind.__new__(kind), (10, 30), {}, sent=None)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "error",
    [
        urllib3.exceptions.LocationParseError("x"),
        urllib3.exceptions.ProtocolError("x"),
        ConnectionResetError(),
        TimeoutError(),
        ssl.SSLError(),
        UnicodeError("idna"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_gets_past_requests_is_ours_too(session: Session, error: Exception) -> None:
    """Errors that requests lets through are `ConnectionFailed`, and prove nothing about what was sent."""
    breaks(session, error)
    with pytest.raises(ConnectionFailed) as caught:
        session.client.transport.send("GET", "/")
    assert caught.value.sent


def test_no_meaning_hides_behind_a_more_general_one() -> None:
    """The table is most specific first: every entry can be reached."""
    kinds = [kind for kind, _ in failure.MEANINGS]
    hidden = [
        (general.__name__, kind.__name__)
        for place, kind in enumerate(kinds)
        for general in kinds[:place]
        if issubclass(kind, general)
    ]
    assert hidden == []


def _no_connection(cause: OSError) -> Exception:
    error = urllib3.exceptions.NewConnectionError(LEAF, "no")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "reason, said",
    [
        (_no_connection(ConnectionRefusedError()), "the connection was refused"),
        (_no_connection(OSError("no route")), "no connection could be made"),
        (REASONS["no name"][0], "the host was not found"),
        (REASONS["closed"][0], "the connection was closed"),
    ],
)
def test_a_failed_connection_says_how_it_failed(session: Session, reason: Exception, said: str) -> None:
    """Refused, not found and closed are told apart; a start that never left says so."""
    breaks(session, requests.ConnectionError(urllib3.exceptions.MaxRetryError(POOL, "/", reason)), sent=False)
    with pytest.raises(ConnectionFailed, match=said):
        session.client.get_stream(25775)
    with pytest.raises(ConnectionFailed, match=rf"{said}(: .+)?\nnothing was started; check the network"):
        session.client.create_execution(25775)

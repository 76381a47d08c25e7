"""HTTP through one `requests` session: deadlines, size limits, no redirects, no secrets in errors."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from requests import exceptions as broken

from domo_magic.errors import ConnectionFailed
from domo_magic.http import connection
from domo_magic.http.redaction import Redactor
from domo_magic.http.response import Response, plain

if TYPE_CHECKING:
    from domo_magic.http.address import Address
    from domo_magic.http.credentials import Login, Token
    from domo_magic.model.timeouts import Clock, Timeouts

#: The largest response that is read, in bytes after decompression.
LARGEST = 8 * 1024 * 1024
#: Connections kept open at the same time.
CONNECTIONS = 16
_PIECE = 65_536


#: What every error of `requests` and `urllib3` means in our words, most specific first.
_MEANINGS: tuple[tuple[type[BaseException], str], ...] = (
    (broken.ProxyError, "the proxy refused"),
    (broken.SSLError, "the secure connection failed; its certificate or protocol was not accepted"),
    (broken.ConnectTimeout, "no connection within {connect:g} s"),
    (broken.ReadTimeout, "no response within {response:g} s"),
    (broken.Timeout, "no response in time"),
    (broken.InvalidProxyURL, "the proxy's address in the environment is no address"),
    (broken.InvalidURL, "the address is not valid"),
    (broken.ChunkedEncodingError, "the response was cut off"),
    (broken.ContentDecodingError, "the response's compression is broken"),
    (broken.ConnectionError, "the connection was closed"),
    (broken.RequestException, "the request failed"),
    (urllib3.exceptions.ReadTimeoutError, "the response did not arrive whole within {response:g} s"),
    (urllib3.exceptions.DecodeError, "the response's compression is broken"),
    (urllib3.exceptions.HTTPError, "the response was cut off"),
    (TimeoutError, "the response did not arrive whole within {response:g} s"),
    (OSError, "the connection failed"),
    (ValueError, "the response is not HTTP"),
)
#: What proves that no byte of the request was sent.
_BEFORE_SENDING = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.NameResolutionError,
    urllib3.exceptions.SSLError,
    urllib3.exceptions.ProxyError,
)
_UNSENDABLE = (broken.InvalidURL, broken.MissingSchema, broken.InvalidSchema, broken.InvalidHeader)


#: No whole response came; a user sees the promised name.
Lost = ConnectionFailed


class _Auth(requests.auth.AuthBase):
    """Puts the token into the header; its presence keeps ``.netrc`` out."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["X-DOMO-Developer-Token"] = self._token
        return request


class _Session(requests.Session):
    def get_redirect_target(self, _resp: requests.Response) -> None:
        # `requests` prepares the next request, and reads the whole body, even when told not to follow.
        return None


def _session() -> _Session:
    session = _Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, connection.Adapter(pool_connections=4, pool_maxsize=CONNECTIONS))
    return session


class Transport:
    """Sends requests to one Domo.

    Parameters
    ----------
    login : Login
        Where to, and with which token.
    timeouts : Timeouts
        The deadlines ``connect`` and ``response``.
    clock : Clock
        For the deadline of a body.
    version : str
        For the ``User-Agent``.
    """

    def __init__(self, login: Login, timeouts: Timeouts, clock: Clock, version: str) -> None:
        self._address: Address = login.address
        self._timeouts = timeouts
        self._clock = clock
        self._redactor = Redactor(login.token.reveal())
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"domo-magic/{version}",
        }
        self._prepared = requests.Request(
            "GET", self._address.url, headers, auth=_Auth(login.token)
        ).prepare()
        self._session = _session()
        self._parents: _Session | None = None
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._environment: dict[str, Any] | None = None

    def send(self, method: str, path: str, body: object = None, *, within: float | None = None) -> Response:
        """Send one request and read its response.

        Parameters
        ----------
        method, path : str
            ``"GET"``, ``"/api/data/v1/streams/25775"``.
        body : object, optional
            Sent as JSON.
        within : float, optional
            Seconds, where less than the usual deadlines is left.

        Returns
        -------
        Response
            Of any status; its ``flaw`` says when the body is not whole.

        Raises
        ------
        ConnectionFailed
            As `Lost`: no response came; ``sent`` tells whether the request may have arrived.
        """
        if self._process != os.getpid():
            self._forked()
        connection.begin()
        connect, patience = self._timeouts.connect, self._timeouts.response
        if within is not None:
            connect, patience = min(connect, within), min(patience, within)
        options = {**self._options(), "timeout": (connect, patience)}
        try:
            with self._session.send(self._prepare(method, path, body), **options) as raw:
                text, flaw = self._read(raw, patience)
                headers = {name: self._redactor.text(value) for name, value in raw.headers.items()}
                return Response(raw.status_code, headers, self._redactor.body(text), flaw)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            lost = self._lost(error), self._harmless(error)
        # Raised out here, it does not carry along what carries the request, and the token with it.
        raise lost[0] from lost[1]

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()

    def _forked(self) -> None:
        """Leave the parent's connections to it: two processes would read each other's responses."""
        self._lock = threading.Lock()
        self._parents, self._session, self._process = self._session, _session(), os.getpid()

    def _prepare(self, method: str, path: str, body: object) -> requests.PreparedRequest:
        # Made of one that was prepared once, which costs as much as all the rest of a request.
        request = self._prepared.copy()
        request.method = method
        request.url = self._address.url + path
        if body is not None:
            request.headers["Content-Type"] = "application/json"
            request.prepare_body(json.dumps(body).encode(), None)
        return request

    def _options(self) -> dict[str, Any]:
        """Return proxies and certificates from the environment, read once: they cost 0.3 ms."""
        with self._lock:
            if self._environment is None:
                if self._address.url.startswith("http://"):
                    # Only loopback is reached without https, and a proxy would see the token.
                    self._environment = {"proxies": {}, "verify": True, "cert": None}
                else:
                    self._environment = dict(
                        self._session.merge_environment_settings(
                            self._address.url, {}, stream=True, verify=True, cert=None
                        )
                    )
        return {**self._environment, "stream": True, "allow_redirects": False}

    def _read(self, raw: requests.Response, patience: float) -> tuple[bytes, str]:
        read = getattr(raw.raw, "read1", None) or raw.raw.read
        deadline = self._clock.monotonic() + patience
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := read(_PIECE, decode_content=True):
                pieces.append(piece)
                size += len(piece)
                if size > LARGEST:
                    return b"".join(pieces)[:LARGEST], f"is larger than {LARGEST // 1024**2} MiB"
                if self._clock.monotonic() > deadline:
                    return b"".join(pieces), f"did not arrive whole within {patience:g} s"
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return b"".join(pieces), f"is not whole: {self._meaning(error)}"
        return b"".join(pieces), ""

    def _meaning(self, error: BaseException) -> str:
        meaning = _unconnected(error) or next(words for kind, words in _MEANINGS if isinstance(error, kind))
        return meaning.format(connect=self._timeouts.connect, response=self._timeouts.response)

    def _lost(self, error: Exception) -> Lost:
        sent = connection.sent()
        if sent is None and type(error) is OSError:
            # Before any connection that is requests' own: certificates that cannot be read.
            lost = Lost(
                f"{self._address.host} could not be reached: {plain(str(error))}",
                "look at REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE in the environment",
            )
            lost.sent = False
            return lost
        lost = Lost(f"{self._address.host} could not be reached: {self._meaning(error)}", _advice(error))
        lost.sent = not _proves_unsent(error) if sent is None else sent
        return lost

    def _harmless(self, error: BaseException) -> BaseException:
        """Return an error's words and its causes' alone: they carry requests, and may repeat the token."""
        words = []
        below: BaseException | None = error
        while below is not None:
            words.append(f"{type(below).__name__}: {self._redactor.text(str(below))}")
            below = below.__cause__ or below.__context__
        return requests.RequestException(", from ".join(words))


def _proves_unsent(error: BaseException) -> bool:
    if isinstance(error, (requests.ConnectTimeout, *_UNSENDABLE)):
        return True
    return isinstance(_reason(error), _BEFORE_SENDING)


def _reason(error: BaseException) -> object:
    return getattr(error.args[0], "reason", None) if error.args else None


def _unconnected(error: BaseException) -> str:
    """Return why there was not even a connection, or nothing."""
    reason = _reason(error)
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return "no host of that name was found"
    if isinstance(reason, urllib3.exceptions.NewConnectionError):
        refused = isinstance(reason.__cause__, ConnectionRefusedError)
        return "the connection was refused" if refused else "no connection could be made"
    return ""


def _advice(error: Exception) -> str:
    if isinstance(error, broken.SSLError):
        return "behind a company's proxy, point REQUESTS_CA_BUNDLE at the company's certificates"
    if isinstance(error, broken.ProxyError | broken.InvalidProxyURL):
        return "look at HTTPS_PROXY and NO_PROXY in the environment"
    return "check the network and the instance's name, then try again"

"""HTTP through one `requests` session: deadlines, size limits, no redirects, no secrets in errors."""

from __future__ import annotations

import json
import os
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests
import urllib3

from domo_magic.errors import ConnectionFailed
from domo_magic.http import connection, failure
from domo_magic.http.redaction import Redactor
from domo_magic.http.response import MESSAGE_LETTERS, Response
from domo_magic.model.formatting import cut
from domo_magic.version import VERSION

if TYPE_CHECKING:
    from domo_magic.http.address import Address
    from domo_magic.http.credentials import Login, Token
    from domo_magic.model.timeouts import Clock, Timeouts

#: The largest response that is read, in bytes after decompression.
LARGEST = 8 * 1024 * 1024
#: Connections kept open at the same time.
CONNECTIONS = 16
_PIECE = 65_536


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
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # a jar of them would only grow
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
    """

    def __init__(self, login: Login, timeouts: Timeouts, clock: Clock) -> None:
        self._address: Address = login.address
        self._timeouts = timeouts
        self._clock = clock
        self._redactor = Redactor(login.token)
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"domo-magic/{VERSION}",
        }
        self._prepared = requests.Request(
            "GET", self._address.url, headers, auth=_Auth(login.token)
        ).prepare()
        self._session = _session()
        self._process = os.getpid()
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
            No whole response came; ``sent`` tells whether the request may have arrived.
        """
        got = self._attempt(method, path, body, within)
        if isinstance(got, Response):
            return got
        # Raised here, where no frame below holds the request, and the token with it.
        raise got[0] from got[1]

    def _attempt(
        self, method: str, path: str, body: object, within: float | None
    ) -> Response | tuple[ConnectionFailed, Exception]:
        if self._process != os.getpid():  # two processes would read each other's responses
            self._session, self._process = _session(), os.getpid()
        connection.begin()
        connect, total = self._timeouts.connect, self._timeouts.response
        if within is not None:
            connect, total = min(connect, within), min(total, within)
        deadlines = connect, total
        try:
            options = {**self._options(), "timeout": deadlines}
            with self._session.send(self._prepare(method, path, body), **options) as raw:
                text, flaw = self._read(raw, deadlines)
                headers = {name: self._redactor.text(value) for name, value in raw.headers.items()}
                safe = self._redactor.body(text)
                withheld = "repeats the token, and was withheld" if safe is None else ""
                return Response(raw.status_code, headers, safe or b"", flaw or withheld)
        except Exception as error:  # noqa: BLE001  whatever stands in below us raises what it likes
            return self._lost(error, deadlines), self._harmless(error)

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()

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

    def _read(self, raw: requests.Response, deadlines: tuple[float, float]) -> tuple[bytes, str]:
        # A stand-in's response, such as vcrpy's, reads in one way only.
        read = raw.raw.read1 if isinstance(raw.raw, urllib3.HTTPResponse) else raw.raw.read
        _, total = deadlines
        deadline = self._clock.monotonic() + total
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := read(_PIECE, decode_content=True):
                pieces.append(piece)
                size += len(piece)
                if size > LARGEST:
                    return b"".join(pieces)[:LARGEST], f"is larger than {LARGEST // 1024**2} MiB"
                if self._clock.monotonic() > deadline:
                    return b"".join(pieces), f"did not arrive whole within {total:g} s"
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            return b"".join(pieces), f"is not whole: {self._meaning(error, deadlines)}"
        return b"".join(pieces), ""

    def _meaning(
        self, error: BaseException, deadlines: tuple[float, float], *, sent: bool | None = None
    ) -> str:
        proxies = (self._environment or {}).get("proxies", {})
        words = failure.meaning(error, deadlines, proxies, sent=sent)
        return cut(self._redactor.text(words), MESSAGE_LETTERS)

    def _lost(self, error: Exception, deadlines: tuple[float, float]) -> ConnectionFailed:
        sent = connection.sent()
        proxies = (self._environment or {}).get("proxies", {})
        lost = ConnectionFailed(
            f"{self._address.host} could not be reached: {self._meaning(error, deadlines, sent=sent)}",
            failure.hint(error, proxies),
        )
        self._environment = None  # which may be put right before the next request
        lost.sent = not failure.proves_unsent(error) if sent is None else sent
        lost.refused = failure.refused(error)
        return lost

    def _harmless(self, error: BaseException) -> Exception:
        """Return an error's words and its causes' alone: they carry requests, and may repeat the token."""
        words = [
            f"{type(each).__name__}: {failure.without_password(self._redactor.text(str(each)))}"
            for each in failure.causes(error)
        ]
        return requests.RequestException(", from ".join(words))

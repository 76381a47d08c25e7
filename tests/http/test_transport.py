"""The transport on the wire: every hazard of an HTTP client that could start twice, hang or tell a token."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import logging
import pickle
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
import traceback
import tracemalloc
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import faults
import pytest
import requests
import requests_mock
import responses

import domo_magic
from domo_magic.errors import ApiError, ConnectionFailed, DomoError, TriggerOutcomeUnknown
from domo_magic.executions.session import open_session
from domo_magic.http import transport
from domo_magic.http.address import address
from domo_magic.http.credentials import Login, Token
from domo_magic.model.timeouts import Timeouts
from domo_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from domo_magic.executions.session import Session
    from domo_magic.http.response import Response
    from domo_magic.http.transport import Transport

    Talk = Callable[[socket.socket], None]

TOKEN = "tok/en+\"with<odd>&'letters"
START = "/api/data/v1/streams/25775/executions"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
OK = HEAD + b"Content-Length: 2\r\n\r\n{}"
QUICK = 5.0
"""Seconds that hold on a busy machine; what is bounded takes a fraction, what is not takes much longer."""


class Wire:
    """A server on 127.0.0.1 that says what it is told to, byte for byte, one connection after the other."""

    def __init__(self, talk: Talk, context: ssl.SSLContext | None = None) -> None:
        self.heard: list[bytes] = []
        self.connections = 0
        self.talk = talk
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._socket.accept()
                self.connections += 1
                with plain, contextlib.suppress(OSError):
                    plain.settimeout(10)
                    if self._context is None:
                        self.talk(plain)
                    else:
                        with self._context.wrap_socket(plain, server_side=True) as secure:
                            self.talk(secure)

    def hear(self, connection: socket.socket) -> bytes:
        """Read one request, whole."""
        heard = b""
        while b"\r\n\r\n" not in heard:
            heard += connection.recv(65_536) or _hung_up()
        length = re.search(rb"Content-Length: (\d+)", heard)
        while length and len(heard.partition(b"\r\n\r\n")[2]) < int(length[1]):
            heard += connection.recv(65_536) or _hung_up()
        self.heard.append(heard)
        return heard

    def close(self) -> None:
        """Take no more connections."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


def _hung_up() -> bytes:
    raise ConnectionResetError


@pytest.fixture
def serve() -> Iterator[Callable[..., Wire]]:
    """Make servers that read one request on each connection and response what they are given."""
    wires: list[Wire] = []

    def make(
        response: bytes | Callable[[socket.socket], None], context: ssl.SSLContext | None = None
    ) -> Wire:
        def talk(connection: socket.socket) -> None:
            wire.hear(connection)
            if callable(response):
                response(connection)
            else:
                connection.sendall(response)

        wire = Wire(talk, context)
        wires.append(wire)
        return wire

    yield make
    for wire in wires:
        wire.close()


# For tests in which a deadline is meant to pass; elsewhere a busy machine may respond late.
SHORT = pytest.mark.parametrize("timeouts", [Timeouts().scaled(1 / 100)], ids=["short"])


@pytest.fixture
def sender(timeouts: Timeouts) -> Iterator[Callable[..., Transport]]:
    """Make transports to an address."""
    made: list[Transport] = []

    def make(url: str, token: str = TOKEN, timeouts: Timeouts = timeouts) -> Transport:
        session = open_session(Login(address(url), Token(token), "the test"), timeouts=timeouts, sandbox=True)
        made.append(session.client.transport)
        return made[-1]

    yield make
    for one in made:
        one.close()


def to(wire: Wire) -> str:
    """Return a server's address."""
    return f"http://127.0.0.1:{wire.port}"


def post(transport: Transport) -> Response:
    """Send a start."""
    return transport.send("POST", START, {"runType": "MANUAL"})


# What is sent


def test_a_request_says_who_it_is_and_no_more(
    serve: Callable[..., Wire], sender: Callable[..., Transport]
) -> None:
    """The token, the User-Agent with the version, JSON, and nothing that was not asked for."""
    wire = serve(OK)
    post(sender(to(wire)))
    head, _, body = wire.heard[0].decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert first == f"POST {START} HTTP/1.1"
    assert headers.pop("Host") == f"127.0.0.1:{wire.port}"
    assert headers.pop("X-DOMO-Developer-Token") == TOKEN
    assert headers.pop("User-Agent") == f"domo-magic/{domo_magic.__version__}"
    assert headers == {
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "Content-Type": "application/json",
        "Content-Length": "21",
    }
    assert body == '{"runType": "MANUAL"}'


def test_netrc_is_ignored(
    serve: Callable[..., Wire],
    sender: Callable[..., Transport],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Neither a machine's entry nor the default one adds a password to a request."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\ndefault login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    wire = serve(OK)
    assert requests.get(to(wire), timeout=QUICK).request.headers["Authorization"]
    post(sender(to(wire)))
    assert b"authorization" not in wire.heard[1].lower()


def test_cookies_are_not_kept(serve: Callable[..., Wire], sender: Callable[..., Transport]) -> None:
    """What one response sets is not sent with the next request."""
    wire = serve(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\nConnection: close\r\n\r\n"))
    transport = sender(to(wire))
    post(transport)
    post(transport)
    assert b"cookie" not in wire.heard[1].lower()
    assert len(transport._session.cookies) == 0


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_loopback_is_reached_without_a_proxy(
    sandbox: Sandbox,
    serve: Callable[..., Wire],
    sender: Callable[..., Transport],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """A proxy in the environment never sees a token that travels without https."""
    proxy = serve(OK)
    monkeypatch.setenv(name, to(proxy))
    assert post(sender(sandbox.url, sandbox.token)).status == 201
    assert proxy.connections == 0


def test_connections_are_kept(sandbox: Sandbox, sender: Callable[..., Transport]) -> None:
    """Requests that follow each other share a connection."""
    transport = sender(sandbox.url, sandbox.token)
    for _ in range(5):
        post(transport)
    assert sandbox._server is not None
    assert len(sandbox._server._open) == 1


# Redirects


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_redirects_are_not_followed(sandbox: Sandbox, session: Session, code: int, method: str) -> None:
    """A redirect is an error that names the place; nothing is sent there, least of all the token."""
    with Sandbox(token=sandbox.token) as elsewhere:
        sandbox.order(faults.redirect(f"{elsewhere.url}/login?next=1", code=code), method=None)
        if (method, code) == ("POST", 303):  # it was done, and the result is elsewhere
            with pytest.raises(TriggerOutcomeUnknown):
                session.client.create_execution(25775)
        else:
            with pytest.raises(ApiError, match=re.escape(f"{elsewhere.url}/login")) as caught:
                session.client.create_execution(25775) if method == "POST" else session.client.get_stream(
                    25775
                )
            assert caught.value.status == code
        assert elsewhere.requests == []
        assert len(sandbox.requests) == 1


@pytest.mark.parametrize("place", ["", "//", "http://[", "http://\xff", "mailto:x", "x" * 60_000])
def test_redirects_to_nowhere_are_redirects(
    serve: Callable[..., Wire], sender: Callable[..., Transport], place: str
) -> None:
    """Whatever stands in Location, the response is a 302 and no other error."""
    wire = serve(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % place.encode("latin-1"))
    assert post(sender(to(wire))).status == 302


# Once


def hang_up(_connection: socket.socket) -> None:
    """End the connection without a word."""


def reset(connection: socket.socket) -> None:
    """End the connection with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


LOST = {
    "closed": hang_up,
    "reset": reset,
    "silent": lambda connection: connection.recv(1),
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "empty lines": b"\r\n\r\n",
    "half a status line": b"HTTP/1.1 20",
    "half a header": HEAD + b"Content-Le",
    "a status line alone": b"HTTP/1.1 200 OK\r\n",
    "headers without an end": HEAD,
    "a thousand headers": HEAD + b"X: y\r\n" * 1000 + b"\r\n",
    "an endless header": HEAD + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("response", LOST.values(), ids=LOST.keys())
@SHORT
def test_a_lost_answer_is_asked_for_once(
    serve: Callable[..., Wire], sender: Callable[..., Transport], response: bytes | Talk, method: str
) -> None:
    """Nothing below us sends a request again, and what was sent may have arrived."""
    wire = serve(response)
    with pytest.raises(ConnectionFailed) as caught:
        sender(to(wire)).send(method, START, {"runType": "MANUAL"})
    assert caught.value.sent
    assert len(wire.heard) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_no_status_is_repeated_below(sandbox: Sandbox, sender: Callable[..., Transport], status: int) -> None:
    """Neither a 503 nor a Retry-After makes the layers below send again."""
    sandbox.order(faults.status(status, retry_after=0), times=9)
    assert post(sender(sandbox.url, sandbox.token)).status == status
    assert len(sandbox.requests) == 1


def test_a_connection_closed_while_idle_is_made_anew(
    serve: Callable[..., Wire], sender: Callable[..., Transport]
) -> None:
    """A connection that the server ended in the meantime costs nothing."""
    closed = threading.Semaphore(0)
    wire = serve(OK)

    def talk(connection: socket.socket) -> None:
        wire.hear(connection)
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_RDWR)
        closed.release()

    wire.talk = talk
    transport = sender(to(wire))
    for _ in range(3):
        assert post(transport).status == 200
        assert closed.acquire(timeout=QUICK)
    assert len(wire.heard) == 3


def test_a_connection_closed_after_it_took_a_request_is_uncertain(
    serve: Callable[..., Wire], sender: Callable[..., Transport]
) -> None:
    """On a connection that was kept, a request that was read and not answered may have started a run."""
    wire = serve(OK)

    def talk(connection: socket.socket) -> None:
        wire.hear(connection)
        connection.sendall(OK)
        wire.hear(connection)

    wire.talk = talk
    transport = sender(to(wire))
    post(transport)
    with pytest.raises(ConnectionFailed) as caught:
        post(transport)
    assert caught.value.sent
    assert (len(wire.heard), wire.connections) == (2, 1)


# What proves that nothing was sent


def test_a_refused_connection_sent_nothing(sandbox: Sandbox, sender: Callable[..., Transport]) -> None:
    """Nobody listens: nothing arrived."""
    url = sandbox.url
    sandbox.close()
    with pytest.raises(ConnectionFailed, match="the connection was refused") as caught:
        post(sender(url))
    assert not caught.value.sent


@SHORT
def test_a_connection_that_is_not_taken_in_time_sent_nothing(
    sender: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No connection within its deadline: nothing arrived."""

    def connect(*_: object, **__: object) -> socket.socket:
        raise TimeoutError("timed out")

    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
    with pytest.raises(ConnectionFailed, match=r"no connection within 0\.1 s") as caught:
        post(sender("http://127.0.0.1:9"))
    assert not caught.value.sent


def test_a_name_that_nobody_knows_sent_nothing(
    sender: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The instance's name does not resolve: nothing arrived, and the advice is to check the name."""

    def getaddrinfo(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(ConnectionFailed, match="instance's name") as caught:
        post(sender("https://mycompany.domo.com"))
    assert not caught.value.sent


@pytest.mark.parametrize("response", [b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", hang_up])
def test_a_proxy_that_refuses_sent_nothing_and_sees_no_token(
    serve: Callable[..., Wire],
    sender: Callable[..., Transport],
    monkeypatch: pytest.MonkeyPatch,
    response: bytes | Talk,
) -> None:
    """With https a proxy is asked for a tunnel, without the token; refused, nothing arrived."""
    proxy = serve(response)
    monkeypatch.setenv("HTTPS_PROXY", to(proxy))
    with pytest.raises(ConnectionFailed) as caught:
        post(sender("https://mycompany.domo.com"))
    assert not caught.value.sent
    assert proxy.heard[0].startswith(b"CONNECT mycompany.domo.com:443 HTTP/1.")
    assert TOKEN.encode() not in b"".join(proxy.heard)
    assert len(proxy.heard) == 1


@pytest.mark.parametrize("within", [None, 0.1])
def test_a_silent_proxy_is_named_with_the_time_it_had(
    serve: Callable[..., Wire],
    sender: Callable[..., Transport],
    monkeypatch: pytest.MonkeyPatch,
    within: float | None,
) -> None:
    """A tunnel that does not open in the time to connect sent nothing; the message has that time."""
    proxy = serve(lambda connection: (connection.recv(65_536), connection.recv(1)))
    monkeypatch.setenv("HTTPS_PROXY", to(proxy))
    transport = sender("https://mycompany.domo.com", timeouts=Timeouts(connect=0.2))
    with pytest.raises(ConnectionFailed, match=f"no connection within {within or 0.2:g} s") as caught:
        transport.send("GET", START, within=within)
    assert not caught.value.sent


# Certificates


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for 127.0.0.1 that nobody vouches for, its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    named = "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*made.split(), *named.split(), *files], check=True, capture_output=True)
    return folder / "cert.pem"


@pytest.fixture
def secure(serve: Callable[..., Wire], certificate: Path) -> Wire:
    """Give a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return serve(OK, context)


def test_a_certificate_that_nobody_vouches_for_is_refused(
    secure: Wire, sender: Callable[..., Transport]
) -> None:
    """Certificates are checked: no byte of the request goes to a stranger."""
    with pytest.raises(ConnectionFailed, match="certificate") as caught:
        post(sender(f"https://127.0.0.1:{secure.port}", timeouts=Timeouts()))
    assert "REQUESTS_CA_BUNDLE" in caught.value.hint
    assert not caught.value.sent
    assert secure.heard == []


def test_a_certificate_for_another_host_is_refused(
    secure: Wire, sender: Callable[..., Transport], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good certificate of another host is none."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with pytest.raises(ConnectionFailed, match="certificate") as caught:
        post(sender(f"https://localhost:{secure.port}", timeouts=Timeouts()))
    assert not caught.value.sent
    assert secure.heard == []


def test_a_company_s_certificates_are_taken_from_the_environment(
    secure: Wire, sender: Callable[..., Transport], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the bundle named in the environment the same server is trusted."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert post(sender(f"https://127.0.0.1:{secure.port}", timeouts=Timeouts())).status == 200
    assert len(secure.heard) == 1


def test_a_deadline_holds_under_tls(
    secure: Wire, sender: Callable[..., Transport], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte by byte through TLS is bounded too, and counts as sent."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))

    def talk(connection: socket.socket) -> None:
        secure.hear(connection)
        drip(OK)(connection)

    secure.talk = talk
    before = time.monotonic()
    with pytest.raises(ConnectionFailed) as caught:
        post(sender(f"https://127.0.0.1:{secure.port}", timeouts=replace(Timeouts(), response=0.3)))
    assert time.monotonic() - before < QUICK
    assert caught.value.sent


# Deadlines and sizes


def drip(text: bytes) -> Talk:
    """Send a byte every tenth of a second, which a timeout for each read never notices."""

    def talk(connection: socket.socket) -> None:
        for byte in text:
            connection.sendall(bytes([byte]))
            time.sleep(0.1)

    return talk


@SHORT
def test_a_drip_in_the_headers_is_bounded(
    serve: Callable[..., Wire], sender: Callable[..., Transport]
) -> None:
    """Headers that come byte by byte end with the deadline of the response."""
    before = time.monotonic()
    with pytest.raises(ConnectionFailed, match=r"within 0\.3 s"):
        post(sender(to(serve(drip(OK)))))
    assert time.monotonic() - before < QUICK


@SHORT
def test_a_drip_in_the_body_is_bounded(sandbox: Sandbox, sender: Callable[..., Transport]) -> None:
    """A body that comes byte by byte ends with the deadline: a status, and a flaw."""
    sandbox.order(faults.drip(0.1))
    before = time.monotonic()
    response = post(sender(sandbox.url, sandbox.token))
    assert time.monotonic() - before < QUICK
    assert response.status == 201
    assert "within 0.3 s" in response.flaw
    assert response.body.startswith(b"{")


def test_less_time_than_usual_is_kept_to(sandbox: Sandbox, sender: Callable[..., Transport]) -> None:
    """Where less than the usual deadline is left, that is what there is."""
    sandbox.order(faults.delay(20), method="GET")
    before = time.monotonic()
    with pytest.raises(ConnectionFailed):
        sender(sandbox.url, sandbox.token, Timeouts()).send("GET", "/", within=0.1)
    assert time.monotonic() - before < QUICK


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip"])
def test_a_bomb_is_bounded_in_memory(
    sandbox: Sandbox, sender: Callable[..., Transport], encoding: str
) -> None:
    """What unpacks to a thousand times its size is read up to the cap, and no further."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(48)) + packer.flush()
    if "," in encoding:
        bomb = gzip.compress(bomb)
    sandbox.order(faults.response(bomb, headers={"Content-Encoding": encoding}))
    transport_ = sender(sandbox.url, sandbox.token, Timeouts())
    tracemalloc.start()
    try:
        response = post(transport_)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "larger than 8 MiB" in response.flaw
    assert len(response.body) == transport.LARGEST
    assert peak < 36 << 20


def test_a_hundred_megabytes_are_not_read(sandbox: Sandbox, sender: Callable[..., Transport]) -> None:
    """What is larger than the cap is dropped there, with its connection."""
    sent = []

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            sent.append(1 << 20)
            yield b"[" * (1 << 20)

    sandbox.order(faults.response(chunks()))
    response = post(sender(sandbox.url, sandbox.token, Timeouts()))
    assert "larger than 8 MiB" in response.flaw
    assert sum(sent) < 60 << 20


BROKEN = {
    "cut": (HEAD + b"Content-Length: 10\r\n\r\n{}", "cut off"),
    "chunks cut": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n5\r\n{", "cut off"),
    "chunks of no length": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}", "cut off"),
    "no gzip": (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", "compression is broken"),
}


@pytest.mark.parametrize("response, flaw", BROKEN.values(), ids=BROKEN.keys())
def test_a_body_that_is_not_whole_is_flawed(
    serve: Callable[..., Wire], sender: Callable[..., Transport], response: bytes, flaw: str
) -> None:
    """The status came, so it is a response; what is wrong with its body is said."""
    got = post(sender(to(serve(response))))
    assert got.status == 200
    assert flaw in got.flaw


def test_a_compressed_answer_is_unpacked(sandbox: Sandbox, sender: Callable[..., Transport]) -> None:
    """gzip, which is asked for, comes out as what it was."""
    body = b'{"executionId": 7}'
    sandbox.order(faults.response(gzip.compress(body), headers={"Content-Encoding": "gzip"}))
    response = post(sender(sandbox.url, sandbox.token))
    assert (response.body, response.flaw) == (body, "")


def test_sixteen_threads_share_sixteen_connections(
    sandbox: Sandbox, sender: Callable[..., Transport], caplog: pytest.LogCaptureFixture
) -> None:
    """A hundred requests on 16 threads drop no connection and ask for the environment once."""
    caplog.set_level(logging.DEBUG)
    transport_ = sender(sandbox.url, sandbox.token, Timeouts())
    jobs = iter(range(100))

    def work() -> None:
        for _ in jobs:
            assert post(transport_).status == 201

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sandbox.requests) == 100
    assert "Session pool is full" not in caplog.text
    assert caplog.text.count("Starting new HTTP connection") <= 16


# The token


ECHO = json.dumps({"status": 400, "message": f"{TOKEN} is wrong", "toe": TOKEN, "more": [TOKEN]}).encode()
ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in TOKEN).encode()
TELLING = {
    "400": faults.response(ECHO, code=400),
    "401": faults.response(ECHO, code=401),
    "503": faults.response(ECHO, code=503),
    "200": faults.response(b"[" + ECHO + b"]"),
    "html": faults.response(b"<title>" + TOKEN.encode() + b"</title>", headers={"X-Token": TOKEN}),
    "escaped html": faults.response(
        b"<title>tok/en+&quot;with&lt;odd&gt;&amp;&#x27;letters</title>", code=403
    ),
    "redirect": faults.redirect(f"https://login.example/?{TOKEN}"),
    "quoted redirect": faults.redirect("https://login.example/?tok%2Fen%2B%22with%3Codd%3E%26%27letters"),
    "reset": faults.reset(),
    "cut": faults.cut(broken=True),
    "late": faults.delay(20),
    "429": faults.status(429, retry_after=99),
    "json escapes": faults.response(b'{"message": "' + ESCAPED + b'", "toe": "' + ESCAPED + b'"}', code=400),
    "utf-16": faults.response(ECHO.decode().encode("utf-16"), code=400),
    "the token cut": faults.response(b"<title>" + TOKEN[:-3].encode(), code=400),
}


def shown(error: BaseException) -> str:
    """Return all that could be seen of an error: with its causes, their frames and every local value."""
    text = io.StringIO()
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    text.writelines(told.format())
    one: BaseException | None = error
    while one is not None:
        text.write(f"{one!s} {one!r} {one.args!r} {vars(one)!r}")
        one = one.__cause__ or one.__context__
    return text.getvalue()


def in_no_spelling(text: str) -> None:
    """Hold that no spelling of the token is in a text."""
    for spelling in ("with<odd>", "with&lt;odd", "with%3Codd", 'en+\\"with', "letters"):
        assert spelling not in text


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("fault", TELLING.values(), ids=TELLING.keys())
@SHORT
def test_the_token_is_in_no_error(
    sender: Callable[..., Transport],
    timeouts: Timeouts,
    caplog: pytest.LogCaptureFixture,
    fault: faults.Fault,
    method: str,
) -> None:
    """Though the server repeats it: not in the text, the causes, their frames, the log or a pickle."""
    caplog.set_level(logging.DEBUG)
    with Sandbox(token=TOKEN) as sandbox:
        login = Login(address(sandbox.url), Token(TOKEN), "the test")
        session = open_session(login, timeouts=timeouts, sandbox=True)
        sandbox.order(fault, method=method, times=9)
        with pytest.raises(DomoError) as caught:
            session.client.create_execution(25775) if method == "POST" else session.client.get_stream(25775)
        error = caught.value
        # This test's own frame holds the token.
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        in_no_spelling(shown(error))
        in_no_spelling(caplog.text)
        in_no_spelling(repr(pickle.dumps(error)))
        again = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
        in_no_spelling(repr(login) + str(login) + f"{login.token}" + repr(session))
        with pytest.raises(TypeError):
            pickle.dumps(login)
        session.client.close()


@pytest.mark.parametrize(
    "head",
    [
        TOKEN.encode() + b"\r\n\r\n",
        b"HTTP/1.1 " + TOKEN.encode() + b"\r\n\r\n",
        HEAD + b"Content-Length: 3, " + TOKEN.encode() + b"\r\n\r\nabc",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + TOKEN.encode() + b"\r\nabc",
        HEAD + b"Content-Length: 2\r\necho " + TOKEN.encode() + b"\r\nX: y\r\n\r\n[]",
    ],
    ids=["no status line", "a status that is none", "two lengths", "a chunk", "no header"],
)
@SHORT
def test_the_token_is_in_nothing_that_is_no_http(
    serve: Callable[..., Wire],
    sender: Callable[..., Transport],
    caplog: pytest.LogCaptureFixture,
    head: bytes,
) -> None:
    """Where the token stands in place of HTTP, neither the causes of the error nor the log show it."""
    caplog.set_level(logging.DEBUG)

    def talk(connection: socket.socket) -> None:
        wire.hear(connection)
        connection.sendall(head)

    wire = serve(talk)
    try:
        response = post(sender(to(wire)))
    except ConnectionFailed as error:
        error.__traceback__ = None
        in_no_spelling(shown(error))
    else:
        in_no_spelling(repr(response))
    in_no_spelling(caplog.text)


def test_the_token_is_in_no_frame_of_a_request_that_broke(
    sender: Callable[..., Transport], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where writing the request itself fails, the bytes that were to be written are not kept."""

    def send(_connection: object, data: bytes) -> None:
        assert TOKEN.encode() in data
        raise ConnectionResetError

    monkeypatch.setattr("http.client.HTTPConnection.send", send)
    with pytest.raises(ConnectionFailed) as caught:
        post(sender(sandbox.url))
    assert caught.value.sent
    in_no_spelling(shown(caught.value))


def test_the_token_is_blanked_in_an_answer_that_repeats_it() -> None:
    """What is kept of a response has no token, and is JSON still; another spelling is withheld."""
    with Sandbox() as sandbox:
        token = sandbox.token
        session = open_session(Login(address(sandbox.url), Token(token), "the test"), sandbox=True)
        body = json.dumps({"executionId": 7, "dataTag": token, token: 1}).encode()
        sandbox.order(faults.response(body))
        run = session.client.create_execution(25775)
        assert run.fields == {"executionId": 7, "dataTag": "<token>", "<token>": 1}
        assert run.text == '{"executionId": 7, "dataTag": "<token>", "<token>": 1}'
        sandbox.order(faults.response(json.dumps({"executionId": 8, "dataTag": token.upper()}).encode()))
        with pytest.raises(TriggerOutcomeUnknown, match="repeats the token, and was withheld"):
            session.client.create_execution(25775)
        session.client.close()


def test_the_token_is_sent_though_it_cannot_be_printed(sandbox: Sandbox, session: Session) -> None:
    """The type that hides it does not hide it from Domo."""
    assert session.client.create_execution(25775).execution_id == 201
    assert str(Token(sandbox.token)) == "<token>"


# Other people's adapters


@responses.activate
def test_it_works_through_responses() -> None:
    """With nothing but the POST answered, `responses` starts a run."""
    posted = responses.post(f"https://mycompany.domo.com{START}", json={"executionId": 2}, status=201)
    session = open_session(Login(address("mycompany"), Token(TOKEN), "the test"), sandbox=True)
    assert session.client.create_execution(25775).run == "25775/2"
    assert posted.call_count == 1
    assert posted.calls[0].request.headers["X-DOMO-Developer-Token"] == TOKEN


@responses.activate
def test_a_lost_answer_through_responses_is_uncertain() -> None:
    """Where a stand-in loses the response, nothing proves that it was not sent."""
    responses.post(f"https://mycompany.domo.com{START}", body=requests.ConnectionError("gone"))
    session = open_session(Login(address("mycompany"), Token(TOKEN), "the test"), sandbox=True)
    with pytest.raises(TriggerOutcomeUnknown):
        session.client.create_execution(25775)
    assert len(responses.calls) == 1


def test_it_works_through_requests_mock() -> None:
    """`requests_mock` stands in for Domo too."""
    session = open_session(Login(address("mycompany"), Token(TOKEN), "the test"), sandbox=True)
    with requests_mock.Mocker() as mocked:
        mocked.post(f"https://mycompany.domo.com{START}", json={"executionId": 2}, status_code=201)
        assert session.client.create_execution(25775).run == "25775/2"
        assert mocked.call_count == 1


@pytest.mark.parametrize("first", ["100 Continue", "102 Processing", "103 Early Hints"])
def test_what_comes_before_the_answer_is_no_answer(
    serve: Callable[..., Wire], sender: Callable[..., Transport], first: str
) -> None:
    """A status below 200 announces a response, which is read on to."""
    before = f"HTTP/1.1 {first}\r\nLink: </a>\r\n\r\n".encode()
    response = sender(to(serve(before * 2 + OK))).send("POST", START)
    assert (response.status, response.body) == (200, b"{}")


def test_no_error_carries_the_request_along(
    serve: Callable[..., Wire], sender: Callable[..., Transport]
) -> None:
    """Neither cause nor context of an error leads to the request, which has the token in a header."""
    with pytest.raises(ConnectionFailed) as caught:
        sender(to(serve(b""))).send("POST", START)
    error: BaseException | None = caught.value
    while error is not None:
        assert not isinstance(getattr(error, "request", None), requests.PreparedRequest)
        assert error.__context__ is None or error.__context__ is error.__cause__
        error = error.__cause__ or error.__context__


def test_certificates_that_cannot_be_read_start_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that is not there is said at once, with the variable to look at: no byte has left."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/bundle.pem")
    one = open_session(Login(address("https://localhost:9"), Token(TOKEN), "the test"), sandbox=True)
    with pytest.raises(ConnectionFailed, match="REQUESTS_CA_BUNDLE") as caught:
        one.client.create_execution(25775)
    assert "/nonexistent/bundle.pem" in str(caught.value)
    assert not caught.value.sent
    one.client.close()


# A connection on which more arrived than was asked for


def more(wire: Wire, first: bytes) -> Talk:
    """Answer the first request of a connection with `first`, every later one as it should be."""

    def talk(connection: socket.socket) -> None:
        wire.hear(connection)
        connection.sendall(first)
        with contextlib.suppress(ConnectionResetError):
            while True:
                wire.hear(connection)
                connection.sendall(OK)

    return talk


SURPLUS = {
    "in one piece": OK + OK,
    "beyond what is read at once": OK + b" " * 8192 + OK,
    "beyond a megabyte": OK + b" " * (1 << 20) + OK,
    "a byte": OK + b"\n",
}


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("first", SURPLUS.values(), ids=SURPLUS.keys())
def test_what_came_behind_a_response_answers_no_request(
    serve: Callable[..., Wire],
    sender: Callable[..., Transport],
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: bytes,
    *,
    secured: bool,
) -> None:
    """The connection is not used again, the rest being in the socket, a buffer or the TLS layer."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    wire = serve(OK, context if secured else None)
    wire.talk = more(wire, first)
    transport = sender(f"https://127.0.0.1:{wire.port}" if secured else to(wire), timeouts=Timeouts())
    assert post(transport).body == b"{}"
    wire.talk = more(wire, OK)
    assert post(transport).body == b"{}"
    assert (wire.connections, len(wire.heard)) == (2, 2)
    assert post(transport).body == b"{}"
    assert wire.connections == 2


# The deadline to connect


def test_all_addresses_of_a_name_share_one_deadline(
    sender: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six addresses behind a firewall that drops cost as much time as one, and nothing was sent."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as filled:
        place = deaf.getsockname()
        for _ in range(6):  # connections that wait to be taken, so that no other is answered
            waiting = filled.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(place)
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place)] * 6
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)
        transport = sender("https://mycompany.domo.com", timeouts=replace(Timeouts(), connect=0.6))
        before = time.monotonic()
        with pytest.raises(ConnectionFailed, match=r"no connection within 0\.6 s") as caught:
            post(transport)
    assert 0.5 < time.monotonic() - before < 2
    assert not caught.value.sent


def test_the_usual_switch_to_debug_requests_prints_no_token(
    sandbox: Sandbox,
    sender: Callable[..., Transport],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`http.client` prints the headers it sends, when told to; ours it does not."""
    monkeypatch.setattr("http.client.HTTPConnection.debuglevel", 1)
    assert post(sender(sandbox.url, sandbox.token)).status == 201
    assert sandbox.token not in capsys.readouterr().out

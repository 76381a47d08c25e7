"""Nothing was started: whatever keeps a start from leaving says so at once, with its own reason."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_socket
import requests
import truststore
import urllib3.connection
import vcr

from domo_magic.errors import ConnectionFailed, TriggerOutcomeUnknown
from domo_magic.executions.session import open_session
from domo_magic.http.address import address
from domo_magic.http.credentials import Login, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox

TOKEN = "a-token-of-some-length"
CREATED = (
    b'HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{"executionId": 7}'
)


class Wire:
    """A server that starts a run for every POST, perhaps under TLS or behind a SOCKS greeting."""

    def __init__(self, wrap: Callable[[socket.socket], socket.socket] = lambda plain: plain) -> None:
        self.heard: list[bytes] = []
        self._wrap = wrap
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._socket.accept()
                threading.Thread(target=self._talk, args=(plain,), daemon=True).start()

    def _talk(self, plain: socket.socket) -> None:
        with plain, contextlib.suppress(OSError), self._wrap(plain) as connection:
            connection.settimeout(10)
            heard = b""
            while more := connection.recv(65_536):
                heard += more
                if heard.endswith(b"}"):
                    self.heard.append(heard)
                    heard = b""
                    connection.sendall(CREATED)

    def close(self) -> None:
        """Take no more connections."""
        self._socket.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Wire]]:
    """Make servers."""
    made: list[Wire] = []

    def make(*args: Any) -> Wire:
        made.append(Wire(*args))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def connect() -> Iterator[Callable[[str], Session]]:
    """Make connections to an address, their history in memory, with the usual deadlines."""
    made: list[Session] = []

    def make(where: str) -> Session:
        made.append(open_session(Login(address(where), Token(TOKEN), "the test"), sandbox=True))
        return made[-1]

    yield make
    for one in made:
        one.client.close()


def nothing_started(session: Session, said: str, hint: str, within: float = 1.0) -> str:
    """Hold that a start fails at once, before a byte of it left, and so does a question."""
    before = time.monotonic()
    with pytest.raises(ConnectionFailed, match=said) as caught:
        session.client.create_execution(25775)
    assert time.monotonic() - before < within
    assert not caught.value.sent
    assert caught.value.hint.startswith("nothing was started; ")
    assert re.search(hint, caught.value.hint), caught.value.hint
    with pytest.raises(ConnectionFailed, match=said):
        session.client.get_execution(25775, 1, repeat=False)
    return str(caught.value)


# Certificates


def certificate(folder: Path, *options: str) -> Path:
    """Make a certificate that nobody vouches for but itself, its key beside it."""
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    done = subprocess.run([*made.split(), *options, *files], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("this openssl makes no such certificate")
    return folder / "cert.pem"


def under_tls(file: Path) -> Callable[[socket.socket], socket.socket]:
    """Return what wraps a connection with a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, file.with_name("key.pem"))
    return lambda plain: context.wrap_socket(plain, server_side=True)


LOCAL = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
EXPIRED = """\
-----BEGIN CERTIFICATE-----
MIIBYTCCAQegAwIBAgIUcdtV94XNbuIsXwYJV6UTqoABq0kwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MB4XDTIwMDEwMTAwMDAwMFoXDTIwMDEwMjAw
MDAwMFowFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEfdFO79SlMgrB1k4ml5ttjzbO6usuvNmdZGzmmfe2Mk7s8AsMZrXoOLay
HXGAFQdjsNUejmE/LQA9IiN2Odr376M3MDUwFAYDVR0RBA0wC4IJbG9jYWxob3N0
MB0GA1UdDgQWBBRWNke5acAVHgKnD+ADRpOaEPVF9DAKBggqhkjOPQQDAgNIADBF
AiEA3hw41MxqKP25O/hsQc+QZTPv4OK3iEV+LWQ1f+4fzqYCIAoF36rkUiEJXIGz
oCg8NeTkR3ihzbHI6uxW6yJcsk4n
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg4QHa15J0BcmWyJge
TIlGEGEmTJT+jZSUaQ/kyTBb8bahRANCAAR90U7v1KUyCsHWTiaXm22PNs7q6y68
2Z1kbOaZ97YyTuzwCwxmteg4trIdcYAVB2Ow1R6OYT8tAD0iI3Y52vfv
-----END PRIVATE KEY-----
"""
BUNDLES = {
    "missing": (
        lambda folder: folder / "none.pem",
        "invalid path: .*none.pem",
        "look at {} in the environment",
    ),
    "folder": (lambda folder: folder, "self-signed certificate", "{} names a folder"),
    "empty": (lambda folder: written(folder, ""), "NO_CERTIFICATE|unknown error", "{} has to name a file"),
    "no PEM": (
        lambda folder: written(folder, "junk"),
        "NO_CERTIFICATE|unknown error",
        "{} has to name a file",
    ),
}


def written(folder: Path, text: str) -> Path:
    """Write a file."""
    file = folder / "bundle.pem"
    file.write_text(text)
    return file


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("kind", BUNDLES)
def test_certificates_that_cannot_be_used_name_their_variable(
    serve: Callable[..., Wire],
    connect: Callable[[str], Session],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
    variable: str,
) -> None:
    """A bundle that is missing, a folder or no PEM starts nothing; put right, the same session goes on."""
    bundle, said, hint = BUNDLES[kind]
    mine = certificate(tmp_path, *LOCAL)
    (tmp_path / "bundles").mkdir()
    monkeypatch.setenv(variable, str(bundle(tmp_path / "bundles")))
    wire = serve(under_tls(mine))
    session = connect(f"https://localhost:{wire.port}")
    nothing_started(session, said, hint.format(variable))
    assert wire.heard == []
    monkeypatch.setenv(variable, str(mine))
    assert session.client.create_execution(25775).run == "25775/7"


@pytest.mark.parametrize(
    "pem, said, hint",
    [("", "mismatch|not valid for", "for another host"), (EXPIRED, "expired", "date")],
    ids=["another host's", "expired"],
)
def test_a_certificate_that_is_refused_says_why(
    serve: Callable[..., Wire],
    connect: Callable[[str], Session],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    pem: str,
    said: str,
    hint: str,
) -> None:
    """OpenSSL's own reason, and a hint that fits it."""
    mine = certificate(tmp_path, "-subj", "/CN=other", "-addext", "subjectAltName=DNS:other")
    if pem:
        for name in ("cert.pem", "key.pem"):
            (tmp_path / name).write_text(pem)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(mine))
    wire = serve(under_tls(mine))
    nothing_started(connect(f"https://localhost:{wire.port}"), said, hint)
    assert wire.heard == []


def test_a_certificate_that_nobody_vouches_for_points_at_the_bundle(
    serve: Callable[..., Wire], connect: Callable[[str], Session], tmp_path: Path
) -> None:
    """As behind a company's proxy that opens what is sealed."""
    wire = serve(under_tls(certificate(tmp_path, *LOCAL)))
    nothing_started(connect(f"https://localhost:{wire.port}"), "self-signed", "point REQUESTS_CA_BUNDLE at")


def test_a_port_without_tls_says_so(serve: Callable[..., Wire], connect: Callable[[str], Session]) -> None:
    """Plain HTTP on the port is no matter of certificates."""

    def plain(connection: socket.socket) -> socket.socket:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        return connection

    wire = serve(plain)
    nothing_started(
        connect(f"https://localhost:{wire.port}"), "(?i)wrong.version|record.layer", "does not speak TLS"
    )


#: What Python 3.13 refuses and Python 3.12 takes: how a company's certificate and its server's are made.
STRICT = {
    "Missing Authority Key Identifier": (
        ["keyUsage=critical,keyCertSign"],
        ["authorityKeyIdentifier=none"],
    ),
    "CA cert does not include key usage extension": ([], []),
    "Basic Constraints of CA cert not marked critical": (
        ["keyUsage=critical,keyCertSign", "basicConstraints=CA:TRUE"],
        [],
    ),
}


def vouched(folder: Path, company: list[str], server: list[str]) -> tuple[Path, Path]:
    """Make a company's certificate, and one for localhost that it vouches for, with these extensions."""
    (ours := folder / "company").mkdir()
    trusted = certificate(ours, "-subj", "/CN=company", *extensions(*company))
    signed = ["-CA", str(trusted), "-CAkey", str(ours / "key.pem")]
    leaf = extensions("basicConstraints=critical,CA:FALSE", *server)
    return trusted, certificate(folder, *LOCAL, *signed, *leaf)


def extensions(*each: str) -> list[str]:
    """Return extensions as options of openssl."""
    return [word for extension in each for word in ("-addext", extension)]


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check certificates as strictly as Python 3.13 does."""
    made = urllib3.connection.create_urllib3_context

    def context(*args: object, **options: object) -> ssl.SSLContext:
        one = made(*args, **options)
        one.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        return one

    monkeypatch.setattr(urllib3.connection, "create_urllib3_context", context)


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("said", STRICT)
def test_strict_checks_name_themselves(
    serve: Callable[..., Wire],
    connect: Callable[[str], Session],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    said: str,
) -> None:
    """What Python 3.13 refuses and Python 3.12 takes is said to be that, with OpenSSL's own reason."""
    trusted, mine = vouched(tmp_path, *STRICT[said])
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    wire = serve(under_tls(mine))
    nothing_started(
        connect(f"https://localhost:{wire.port}"), said, "Python 3.13 and newer check .* strictly"
    )
    assert wire.heard == []


@pytest.mark.usefixtures("strict")
def test_strict_checks_take_what_was_made_well(
    serve: Callable[..., Wire],
    connect: Callable[[str], Session],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A company's certificate with all its extensions passes the strict checks."""
    trusted, mine = vouched(tmp_path, ["keyUsage=critical,keyCertSign"], [])
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    session = connect(f"https://localhost:{serve(under_tls(mine)).port}")
    assert session.client.create_execution(25775).run == "25775/7"


def test_the_system_s_certificates_can_be_injected(
    serve: Callable[..., Wire],
    connect: Callable[[str], Session],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """With truststore in place of OpenSSL's own, as pip-system-certs does it, a run is started as without."""
    mine = certificate(tmp_path, *LOCAL)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(mine))
    wire = serve(under_tls(mine))
    truststore.inject_into_ssl()
    try:
        assert connect(f"https://localhost:{wire.port}").client.create_execution(25775).run == "25775/7"
    finally:
        truststore.extract_from_ssl()


# Proxies


PROXIES = {
    "no host": ("http://user:hunter2@", "proxy's address"),
    "a port that is none": ("http://user:hunter2@127.0.0.1:9x", "proxy's address"),
    "half an address": ("http://user:hunter2@[::1", "proxy's address"),
    "no scheme": ("://user:hunter2@x", "proxy's address"),
    "another scheme": ("ftp://user:hunter2@127.0.0.1:9", "proxy's address"),
}


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("proxy, said", PROXIES.values(), ids=PROXIES.keys())
def test_a_proxy_that_cannot_be_used_names_its_variable(
    connect: Callable[[str], Session],
    monkeypatch: pytest.MonkeyPatch,
    proxy: str,
    said: str,
    variable: str,
) -> None:
    """Whatever is wrong with its address; its password is not shown."""
    monkeypatch.setenv(variable, proxy)
    text = nothing_started(connect("mycompany"), said, f"look at {variable} and NO_PROXY")
    assert "hunter2" not in text


def socks5(connection: socket.socket) -> socket.socket:
    """Be a SOCKS proxy that lets a TLS server answer whatever is asked for."""
    connection.recv(3)
    connection.sendall(b"\5\0")
    connection.recv(262)
    connection.sendall(b"\5\0\0\1\0\0\0\0\0\0")
    return connection


@pytest.mark.parametrize("scheme", ["socks5h", "socks5"])
def test_a_socks_proxy_works_with_its_package(
    serve: Callable[..., Wire],
    connect: Callable[[str], Session],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    scheme: str,
) -> None:
    """The connection is PySocks', which resolves the name there or here, and a run is started through it."""
    mine = certificate(tmp_path, *LOCAL)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(mine))
    wire = serve(lambda plain: under_tls(mine)(socks5(plain)))
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{wire.port}")
    session = connect("https://localhost:9")
    assert session.client.create_execution(25775).run == "25775/7"
    assert session.client.create_execution(25775).run == "25775/7"


def test_a_socks_proxy_without_its_package_says_which(
    connect: Callable[[str], Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where PySocks is not installed, it is named."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5h://127.0.0.1:9")

    def missing(*_args: object, **_options: object) -> None:
        raise requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")

    monkeypatch.setattr(requests.adapters, "SOCKSProxyManager", missing)
    nothing_started(connect("mycompany"), "SOCKS", r"HTTPS_PROXY names a SOCKS proxy.*requests\[socks\]")


# Tools for tests


def test_vcrpy_that_records_nothing_stops_a_start(
    serve: Callable[..., Wire], connect: Callable[[str], Session], tmp_path: Path
) -> None:
    """With `record_mode="none"` a start does not leave, as no bare request does, on a kept connection too."""
    wire = serve()
    session = connect(f"http://127.0.0.1:{wire.port}")
    kept = connect(f"http://127.0.0.1:{wire.port}")
    kept.client.create_execution(1)
    with vcr.use_cassette(str(tmp_path / "none.yaml"), record_mode="none"):
        with pytest.raises(vcr.errors.CannotOverwriteExistingCassetteException):
            requests.post(f"http://127.0.0.1:{wire.port}/", data="{}", timeout=5)
        for one in (session, kept):
            nothing_started(one, "cassette", "look|check")
    assert len(wire.heard) == 1
    assert kept.client.create_execution(1).run == "1/7"


def test_vcrpy_records_and_plays_a_start(
    serve: Callable[..., Wire], connect: Callable[[str], Session], tmp_path: Path
) -> None:
    """What was recorded is played again, and nothing leaves then."""
    wire, file = serve(), str(tmp_path / "one.yaml")
    session = connect(f"http://127.0.0.1:{wire.port}")
    for _ in range(2):
        with vcr.use_cassette(file, record_mode="once", filter_headers=["X-DOMO-Developer-Token"]):
            assert session.client.create_execution(25775).run == "25775/7"
    assert len([heard for heard in wire.heard if heard.startswith(b"POST")]) == 1


def test_what_vcrpy_lets_through_and_loses_may_have_started(
    serve: Callable[..., Wire], connect: Callable[[str], Session], tmp_path: Path
) -> None:
    """Within vcrpy's connection stands a real one: what was written there may have arrived."""
    wire = serve()
    wire._talk = lambda plain: plain.close() if plain.recv(65_536) else None  # type: ignore[method-assign]
    with (
        vcr.use_cassette(str(tmp_path / "lost.yaml"), record_mode="once"),
        pytest.raises(TriggerOutcomeUnknown),
    ):
        connect(f"http://127.0.0.1:{wire.port}").client.create_execution(25775)


@pytest.fixture
def no_sockets() -> Iterator[None]:
    """Forbid sockets, as pytest-socket does."""
    pytest_socket.disable_socket()
    yield
    pytest_socket.enable_socket()


@pytest.mark.usefixtures("no_sockets")
def test_a_forbidden_socket_starts_nothing(connect: Callable[[str], Session]) -> None:
    """A tool that forbids connections raises what it likes; its words are shown."""
    nothing_started(connect("http://127.0.0.1:9"), "A test tried to use socket", "check the network")


def test_a_forbidden_host_starts_nothing(connect: Callable[[str], Session], sandbox: Sandbox) -> None:
    """The same where hosts are told apart."""
    pytest_socket.socket_allow_hosts(["192.0.2.1"])
    try:
        nothing_started(
            connect(sandbox.url), "A test tried to use socket.socket.connect", "check the network"
        )
    finally:
        pytest_socket._remove_restrictions()
    assert len(sandbox.requests) == 0


def test_a_name_that_cannot_be_resolved_starts_nothing(
    connect: Callable[[str], Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said at once, without a repeat."""
    asked = []

    def getaddrinfo(*args: object) -> None:
        asked.append(args)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    nothing_started(connect("mycompany"), "the host was not found", "instance's name")
    assert len(asked) == 2
    assert os.environ.get("HTTPS_PROXY") is None

"""What every test stands on: an empty environment, a sandbox, and a connection to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from domo_magic import connection
from domo_magic.addresses import address
from domo_magic.credentials import Login, Token
from domo_magic.sandbox import Sandbox
from domo_magic.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from domo_magic.connection import Connection

_FOREIGN = ("DOMO_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA", "CURL_CA", "NETRC")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Keep the person's Domo, proxies, keyring and history out, and nothing from test to test."""
    for name in list(os.environ):
        if name.upper().startswith(_FOREIGN):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("DOMO_MAGIC_HOME", str(tmp_path / "home"))
    connection.forget_all()
    yield
    connection.forget_all()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Give a Domo of its own, on real time."""
    with Sandbox() as one:
        yield one


@pytest.fixture
def timing() -> Timing:
    """Give every deadline of the client, divided by 100."""
    return Timing().scaled(1 / 100)


@pytest.fixture
def login(sandbox: Sandbox) -> Login:
    """Give the sandbox's address and token."""
    return Login(address(sandbox.url), Token(sandbox.token), "the test")


@pytest.fixture
def domo(login: Login, timing: Timing) -> Iterator[Connection]:
    """Give a connection to the sandbox, its history in memory, which `domo.run(...)` uses too."""
    one = connection.use(connection.open_connection(login, timing=timing, sandbox=True))
    yield one
    one.client.close()
    one.history.close()

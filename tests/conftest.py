"""What every test stands on: an empty environment, a sandbox, and a connection to it."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support import Inline, JumpClock

from domo_magic.executions import poller
from domo_magic.executions.session import close_sessions, open_session, use_session
from domo_magic.http.address import address
from domo_magic.http.credentials import Login, Token
from domo_magic.model.timeouts import Timeouts
from domo_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from domo_magic.executions.session import Session

# Where the tests run in the background of a shell, an interrupt is ignored, by what they start too.
signal.signal(signal.SIGINT, signal.default_int_handler)

_FOREIGN = ("DOMO_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA", "CURL_CA", "NETRC")


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests be sent on the thread that polls."""
    monkeypatch.setattr(poller, "POOL", Inline())


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Keep the user's Domo, proxies, keyring and history out, and nothing from test to test."""
    for name in list(os.environ):
        if name.upper().startswith(_FOREIGN):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("DOMO_MAGIC_HOME", str(tmp_path / "home"))
    close_sessions()
    yield
    _close_panels()
    close_sessions()


def _close_panels() -> None:
    """Let no panel look into the sandbox of the next test: one is called like the other."""
    if "ipywidgets" in sys.modules:
        sys.modules["ipywidgets"].Widget.close_all()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Give a Domo of its own, on real time."""
    with Sandbox() as one:
        yield one


@pytest.fixture
def timeouts() -> Timeouts:
    """Give every deadline of the client, divided by 100; but a busy machine may respond late."""
    return replace(Timeouts().scaled(1 / 100), connect=30.0, response=30.0, retry_budget=30.0)


@pytest.fixture
def login(sandbox: Sandbox) -> Login:
    """Give the sandbox's address and token."""
    return Login(address(sandbox.url), Token(sandbox.token), "the test")


@pytest.fixture
def session(login: Login, timeouts: Timeouts) -> Iterator[Session]:
    """Give a connection to the sandbox, its history in memory, which `session.run(...)` uses too."""
    one = use_session(open_session(login, timeouts=timeouts, sandbox=True))
    yield one
    one.client.close()
    one.history.close()


@pytest.fixture
def clock() -> JumpClock:
    """Give a clock for `still_sandbox` and `still_session`."""
    return JumpClock()


@pytest.fixture
def still_sandbox(clock: JumpClock) -> Iterator[Sandbox]:
    """Give a sandbox whose time is the clock's."""
    with Sandbox(clock=clock.time) as one:
        yield one


@pytest.fixture
def still_session(still_sandbox: Sandbox, clock: JumpClock) -> Iterator[Session]:
    """Give a connection to it with the usual deadlines on the same clock, its history in memory."""
    login = Login(address(still_sandbox.url), Token(still_sandbox.token), "the test")
    one = use_session(open_session(login, clock=clock, sandbox=True))
    yield one
    one.client.close()
    one.history.close()

"""Connections that outlive what they stood on: a fork, a removed file, another environment."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import domo_magic
from domo_magic.errors import TargetError
from domo_magic.executions.resolve import stream_ids
from domo_magic.executions.session import current_session, open_session, use_session
from domo_magic.executions.targets import understood
from domo_magic.history.database import HistoryWarning
from domo_magic.http.address import address
from domo_magic.http.credentials import Login, Token
from domo_magic.model.timeouts import SystemClock

if TYPE_CHECKING:
    from pathlib import Path

    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox

FORK = """
import os, signal, sys, warnings
import domo_magic as domo
warnings.simplefilter("ignore")
domo.connect(sys.argv[1], sys.argv[2])
domo.run(25775)
children = []
for stream in (25776, 25777, 25778):
    child = os.fork()
    if not child:
        signal.alarm(20)
        row = domo.run(stream).iloc[0]
        os._exit(0 if row.streamId == stream and row.executionId > 0 else 1)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
print(sorted(domo.runs(refresh=False).streamId.tolist()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_forked_process_stands_on_its_own_feet(sandbox: Sandbox) -> None:
    """Each child starts its stream and gets its own response; the history has all of them."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, sandbox.url, sandbox.token], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[0, 0, 0]", "[25775, 25776, 25777, 25778]"], done.stderr
    assert sum(request.method == "POST" for request in sandbox.requests) == 4


def test_a_history_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    """A start after that is on the disk again, in a file that another kernel sees."""
    from domo_magic.history.store import History

    file = tmp_path / "history.sqlite"
    live = History(file, SystemClock())
    live.intend("mycompany", [1], None)
    for each in tmp_path.iterdir():
        each.unlink()
    live.intend("mycompany", [2], None)
    other = History(file, SystemClock())
    assert [intent.stream_id for intent in other.open_intents("mycompany")] == [2]
    live.close()
    other.close()


def test_a_home_of_nobody_s_is_one_warning(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run starts, and is remembered in memory."""
    monkeypatch.setenv("DOMO_MAGIC_HOME", "~nosuchuser/x")
    domo_magic.connect(sandbox.url, sandbox.token)
    with pytest.warns(HistoryWarning, match="nosuchuser"):
        assert domo_magic.run(25775).executionId.tolist() == [201]


@pytest.mark.parametrize(
    "spelled", ["mycompany", "MyCompany", "mycompany.domo.com", "https://mycompany.domo.com/"]
)
def test_an_instance_by_any_of_its_names_is_the_one_connected(
    monkeypatch: pytest.MonkeyPatch, spelled: str
) -> None:
    """A token from the environment replaces none that was given."""
    monkeypatch.setenv("DOMO_DEVELOPER_TOKEN", "another")
    given = use_session(open_session(Login(address("mycompany"), Token("given"), "the argument")))
    assert current_session(spelled) is given


@pytest.mark.parametrize("host, led", [("other.domo.com", True), ("mycompany.evil.example", False)])
def test_only_domo_s_hosts_are_advised_to_connect_to(session: Session, host: str, *, led: bool) -> None:
    """A pasted address of anybody's host is named, and not recommended."""
    page = f"https://{host}/datasources/01234567-89ab-cdef-0123-456789abcdef"
    with pytest.raises(TargetError, match=host) as caught:
        stream_ids(session, understood(page, "streams"))
    assert ("%domo_connect" in str(caught.value)) is led

"""A timeout of a wait, on the machine's clock and with the deadlines that users have."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import faults
import pytest

import domo_magic
from domo_magic.executions.session import open_session, use_session

if TYPE_CHECKING:
    from domo_magic.http.credentials import Login
    from domo_magic.sandbox import Sandbox


@pytest.mark.parametrize("target", ["25775/200", 25775])
def test_a_timeout_ends_where_nothing_comes_back(sandbox: Sandbox, login: Login, target: object) -> None:
    """A silent Domo holds a wait up for its timeout and less than 5 s, for a stream's newest run too."""
    use_session(open_session(login, sandbox=True))
    sandbox.order(faults.delay(8), method="GET", times=99)
    began = time.monotonic()
    with pytest.raises(domo_magic.RunTimeout, match=r"timed out after 0\.5 s") as caught:
        domo_magic.wait(target, timeout=0.5)
    assert time.monotonic() - began < 0.5 + 5
    assert caught.value.rows["streamId"].tolist() == [25775]


def test_a_timeout_holds_for_starts_whose_fate_is_open(sandbox: Sandbox, login: Login) -> None:
    """Looking into them takes no longer than waiting may; they stay open."""
    session = use_session(open_session(login, sandbox=True))
    session.history.intend(session.instance, [25775], None)
    sandbox.order(faults.delay(8), method="GET", times=99)
    began = time.monotonic()
    assert domo_magic.wait(timeout=0.5).empty
    assert time.monotonic() - began < 0.5 + 5
    assert len(session.history.open_intents(session.instance)) == 1


def test_a_run_that_failed_in_time_does_not_prolong_it(sandbox: Sandbox, login: Login) -> None:
    """What is only nice to know of it, its verdict and its page, is given up soon."""
    use_session(open_session(login, sandbox=True))
    failed = b'{"streamId": 25775, "executionId": 1, "currentState": "ERROR", "startedAt": 1, "endedAt": 2}'
    sandbox.order(faults.response(failed), method="GET", path="/25775/executions/1")
    sandbox.order(faults.delay(8), method="GET", times=99)
    began = time.monotonic()
    with pytest.raises(domo_magic.RunFailed, match="2 of 2 failed"):
        domo_magic.wait(["25775/1", "25776/1"], timeout=0.5)
    assert time.monotonic() - began < 0.5 + 5

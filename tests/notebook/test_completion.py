"""Tab completes options, known streams and unfinished runs, from what is known here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from domo_magic.model.execution import Execution

if TYPE_CHECKING:
    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox

completion = pytest.importorskip(
    "domo_magic.notebook.completion", reason="IPython 7 completes nothing of ours", exc_type=ImportError
)

# The words of a name stay on one line: JupyterLab would print them over each other.
SALES, SESSIONS = "Sales\u00a0Orders", "Web\u00a0%\u00a0Sessions"


def _tab(line: str) -> dict[str, str]:
    found = completion.matcher(SimpleNamespace(text_until_cursor=line))
    return {each.text: each.type for each in found["completions"]}


@pytest.fixture
def known(session: Session) -> Session:
    """Give a connection that knows two streams and one unfinished run."""
    session.remember([(25775, None, "Sales Orders"), (31, None, "Web % Sessions")])
    (intent,) = session.history.intend(session.instance, [25775], None)
    fields = {"currentState": "ACTIVE", "startedAt": 1}
    session.history.started(
        session.instance, intent, Execution(25775, 2, fields, text='{"currentState": "ACTIVE"}')
    )
    return session


def test_options_are_offered() -> None:
    """A dash brings the magic's options, not those that stand there already."""
    assert {"--wait", "--bg", "--if-running"} <= _tab("x = %domo_run 25775 --").keys()
    assert "--wait" not in _tab("%domo_run 25775 --wait --")
    assert _tab("%domo_connect --sa") == {"--sandbox": "option", "--save": "option"}


def test_values_of_an_option_are_offered() -> None:
    """After an option with fixed values these are offered."""
    assert _tab("%domo_run 25775 --if-running a") == {"adopt": "value"}
    assert _tab("%domo_run 25775 --timeout ") == {}
    assert _tab("%domo_compare 25775 --baseline ") == {"median": "value", "previous": "value"}
    assert "ABORTED" in _tab("%domo_runs 25775 --state A")


@pytest.mark.parametrize(
    "line, offered",
    [
        ("%domo_run 257", {"25775": SALES}),
        ("%domo_run sal", {"25775": SALES}),
        ("%domo_run %", {"31": SESSIONS}),
        (
            "r = %domo_wait ",
            {"25775/2": "Sales\u00a0Orders", "31": "Web\u00a0%\u00a0Sessions", "25775": SALES},
        ),
        ("%domo_connect ", {}),
    ],
)
def test_streams_and_runs_are_offered(
    known: Session, sandbox: Sandbox, line: str, offered: dict[str, str]
) -> None:
    """Streams are found by id and name, unfinished runs where runs are meant, and nothing is asked."""
    assert _tab(line) == offered
    assert sandbox.requests == []


def test_what_was_refused_is_not_offered(known: Session) -> None:
    """A stream that Domo does not know is not offered once it was tried."""
    known.history.refused(*known.history.intend(known.instance, [4711], None))
    assert _tab("%domo_run 47") == {}


@pytest.mark.parametrize("line", ["print(domo_run ", "%other 25", "domo_running 1 "])
def test_other_lines_are_left_alone(line: str) -> None:
    """A line of other code is completed by others."""
    found = completion.matcher(SimpleNamespace(text_until_cursor=line))
    assert found == {"completions": [], "suppress": False}

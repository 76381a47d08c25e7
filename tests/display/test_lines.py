"""What a run looks like in one line of text."""

from __future__ import annotations

import pytest

from domo_magic.display import progress as lines
from domo_magic.model.execution import Execution, errors_of

ENDED = {"startedAt": 100, "endedAt": 292, "rowsInserted": 283_429}


def run(**fields: object) -> Execution:
    """Give a run of a stream whose name is known."""
    return Execution(25775, 2, fields, "Sales Orders", "mycompany")


def test_a_started_run_says_how_to_follow_it() -> None:
    """The line has the run, its state, its name, the instance and the command that follows it."""
    expected = "25775/2 ACTIVE · Sales Orders · mycompany · follow: %domo_wait 25775/2"
    assert lines.started(run(currentState="ACTIVE")) == expected


def test_what_is_not_known_is_left_out() -> None:
    """No name and no state leave no holes."""
    assert lines.started(Execution(25775, 2)) == "25775/2 started · follow: %domo_wait 25775/2"


def test_a_run_without_an_id_says_so() -> None:
    """A start whose run is not known offers nothing to follow."""
    assert lines.started(Execution(25775, instance="mycompany")) == (
        "25775 started, execution unknown · mycompany"
    )


@pytest.mark.parametrize(
    "elapsed, usual, left, expected",
    [
        (None, None, None, "25775/2 ACTIVE · Sales Orders"),
        (42.0, None, None, "25775/2 ACTIVE · Sales Orders · 42 s"),
        (
            42.0,
            192.0,
            150.0,
            "25775/2 ACTIVE · Sales Orders · 42 s · usually 3 min 12 s, about 2 min 30 s left",
        ),
        (400.0, 192.0, 0.0, "25775/2 ACTIVE · Sales Orders · 6 min 40 s · over the usual 3 min 12 s"),
        (400.0, 192.0, None, "25775/2 ACTIVE · Sales Orders · 6 min 40 s · over the usual 3 min 12 s"),
        (None, 192.0, None, "25775/2 ACTIVE · Sales Orders"),
    ],
)
def test_a_running_run_says_how_long_it_takes(
    elapsed: float | None, usual: float | None, left: float | None, expected: str
) -> None:
    """Elapsed, usual and remaining time are there as far as they are known."""
    outlook = lines.expected(elapsed, usual, left)
    assert lines.running(run(currentState="ACTIVE"), elapsed, outlook) == expected


def test_a_running_run_says_its_rows() -> None:
    """Rows so far are counted when there are any."""
    assert lines.running(run(currentState="ACTIVE", rowsInserted=1234), 5.0).endswith("1,234 rows")
    assert "rows" not in lines.running(run(currentState="ACTIVE", rowsInserted=0), 5.0)


@pytest.mark.parametrize(
    "verdict, expected",
    [
        ("usual", "25775/2 SUCCESS · Sales Orders · 3 min 12 s · 283,429 rows · usual"),
        ("", "25775/2 SUCCESS · Sales Orders · 3 min 12 s · 283,429 rows"),
        (
            "slow: 3.1 times the usual 1 min",
            "25775/2 SUCCESS · Sales Orders · 3 min 12 s · 283,429 rows · slow: 3.1 times the usual 1 min",
        ),
    ],
)
def test_a_success_says_how_it_compares(verdict: str, expected: str) -> None:
    """An ended run has name, duration and rows, then the verdict."""
    assert lines.ended(run(currentState="SUCCESS", **ENDED), verdict) == expected


def test_a_failure_says_why() -> None:
    """A failed run has Domo's own words, with the verdict or where that is not known."""
    failed = run(currentState="ERROR", errors=[{"message": "login refused"}], **ENDED)
    line = "25775/2 ERROR · Sales Orders · 3 min 12 s · 283,429 rows · "
    assert lines.ended(failed, "failed: login refused") == f"{line}failed: login refused"
    assert lines.ended(failed, "") == f"{line}login refused"


@pytest.mark.parametrize(
    "errors, expected",
    [
        (None, ""),
        ([], ""),
        ("broken", "broken"),
        (["a", None, "b"], "a; b"),
        ([{"errorMessage": "x"}], "x"),
        ([{"code": 7}], '{"code": 7}'),
        ([{"message": None, "description": "y"}], "y"),
        ([7], "7"),
        ([[["deep"]]], '[["deep"]]'),
        ("line\nbreak\ttab", "line break tab"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("\ud800", ""),
    ],
)
def test_errors_of_any_shape_are_one_line(errors: object, expected: str) -> None:
    """Nobody documents the shape of an error: text is taken where it usually is, else the JSON."""
    assert errors_of(run(errors=errors)) == expected


def test_errors_nested_too_deeply_are_said_so() -> None:
    """What Python cannot write out is no reason to lose sight of the run."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert errors_of(run(errors=[deep])) == "an error nested too deeply to show"


def test_long_errors_are_cut() -> None:
    """A stack of a server is cut to 300 characters."""
    text = errors_of(run(errors=["x" * 10_000]))
    assert len(text) == 300
    assert text.endswith("…")


def test_nothing_that_a_terminal_obeys_gets_through() -> None:
    """Control characters in a name or a state are spaces."""
    hostile = Execution(25775, 2, {"currentState": "ACT\x1b[2JIVE"}, "Sales\r\nOrders\x07", "mycompany")
    for line in (lines.started(hostile), lines.running(hostile, 1.0), lines.ended(hostile, "")):
        assert line.isprintable()
        assert line.startswith("25775/2 ACT [2JIVE")


@pytest.mark.parametrize(
    "phases, shown",
    [
        ({"currentPhase": "INIT"}, "phase INIT"),
        ({"latestPhase": {"phaseType": "INDEX"}}, "phase INDEX"),
        ({"currentPhase": 7, "latestPhase": ["x"]}, None),
    ],
)
def test_the_phase_is_shown_where_domo_tells_it(phases: dict[str, object], shown: str | None) -> None:
    """A text, or an object with a phaseType; anything else is nothing."""
    line = lines.running(run(currentState="ACTIVE", **phases), 8.0)
    assert line == " · ".join(filter(None, ["25775/2 ACTIVE", "Sales Orders", shown, "8.0 s"]))


def test_a_run_has_a_mark() -> None:
    """Running, good, stopped or bad; what has ended in a state that nobody knows is bad."""
    assert run(currentState="ACTIVE").mark == "running"
    assert run(currentState="SUCCESS").mark == "good"
    assert run(currentState="ABORTED").mark == "stopped"
    assert run(currentState="PARTYING", endedAt=5).mark == "bad"


@pytest.mark.parametrize(
    "counts, expected",
    [
        ({"SUCCESS": 11, "ERROR": 1, "": 988}, "12 of 1,000 ended: 11 SUCCESS, 1 ERROR · 988 unfinished"),
        ({"": 2}, "0 of 2 ended · 2 unfinished"),
        ({"SUCCESS": 3}, "3 of 3 ended: 3 SUCCESS"),
        ({"B": 1, "A": 1}, "2 of 2 ended: 1 A, 1 B"),
    ],
)
def test_many_runs_are_counted(counts: dict[str, int], expected: str) -> None:
    """The total says how many have ended how, the most frequent first."""
    assert lines.total(counts) == expected

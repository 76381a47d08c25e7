"""The lines of runs that are waited for: what is drawn, and how often."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from domo_magic.display.progress import MOST_LINES, Board, Collecting
from domo_magic.errors import ConnectionFailed
from domo_magic.executions.outcome import Judgement, judge
from domo_magic.executions.poller import elapsed_of
from domo_magic.model.execution import Execution
from domo_magic.model.timeouts import Timeouts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from domo_magic.display.output import Line

NOW = 1_734_458_216.0


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Give the seconds since the beginning."""
        return self.now

    def time(self) -> float:
        """Give epoch seconds."""
        return NOW + self.now

    def wait(self, event: Event, seconds: float) -> bool:
        """Let the time pass."""
        self.now += seconds
        return event.is_set()


class Screen:
    """Remembers what it was told to show."""

    def __init__(self, *, moves: bool = True) -> None:
        self.moves = moves
        self.said: list[Line] = []
        self.drawn: list[list[Line]] = []
        self.last: list[Line] = []

    def say(self, line: Line) -> None:
        """Remember a line that stays."""
        self.said.append(line)

    def show(self, lines: Sequence[Line], *, last: bool = False) -> None:
        """Remember what moves."""
        if last:
            self.last = list(lines)
        else:
            self.drawn.append(list(lines))

    @property
    def now(self) -> list[str]:
        """What is to be seen now."""
        return [text for _, text in self.drawn[-1]]


@dataclass
class Domo:
    """As much of a connection as the lines need."""

    clock: Clock = field(default_factory=Clock)
    past: dict[int, list[Execution]] = field(default_factory=dict)
    durations: dict[int, list[float]] = field(default_factory=dict)

    @property
    def client(self) -> SimpleNamespace:
        """Give a client whose server has the right time."""
        return SimpleNamespace(skew=0.0)

    @property
    def history(self) -> SimpleNamespace:
        """Give a history with the durations, of runs that ended by themselves."""
        return SimpleNamespace(
            durations=lambda _instance, stream_id: self.durations.get(stream_id, []),
            cancelled_here=lambda _instance, _stream_id: set(),
        )

    instance = "mycompany"
    timeouts = Timeouts()

    def learn(self, stream_id: int, *, within: float | None = None) -> None:
        """Know the past already."""

    def ended(self, run: Execution) -> None:
        """Remember nothing."""

    def known(self, run: Execution) -> Execution:
        """Give the run with its instance."""
        return run.replace(instance="mycompany")


@pytest.fixture
def session() -> Any:
    """Give a connection with a clock that stands still."""
    return Domo()


@pytest.fixture
def screen() -> Screen:
    """Give a screen that moves."""
    return Screen()


def active(
    stream: int = 25775, execution: int | None = 2, *, since: float = 0.0, **fields: object
) -> Execution:
    """Give a run that has lasted `since` seconds when the clock starts."""
    sent = {"currentState": "ACTIVE", "startedAt": NOW - since, **fields}
    return Execution(stream, execution, sent, "Sales Orders", "mycompany")


def ended(
    stream: int = 25775, execution: int = 2, *, state: str = "SUCCESS", lasted: float = 5.0
) -> Execution:
    """Give a run that has just ended."""
    fields = {"currentState": state, "startedAt": NOW, "endedAt": NOW + lasted, "rowsInserted": 1000}
    return Execution(stream, execution, fields, "Sales Orders", "mycompany")


def test_a_run_that_is_not_waited_for_is_one_line(session: Any, screen: Screen) -> None:
    """Started is said once, and nothing moves."""
    board = Board(session, screen, moving=False)
    board.started(active())
    board.tick()
    board.over()
    assert screen.said == [
        ("running", "25775/2 ACTIVE · Sales Orders · mycompany · follow: %domo_wait 25775/2")
    ]
    assert (screen.drawn, screen.last) == ([], [])


def test_where_nothing_moves_there_are_first_and_last(session: Any) -> None:
    """Waiting without a screen says that it started and how it ended, and nothing in between."""
    screen = Screen(moves=False)
    board = Board(session, screen, moving=True)
    board.started(active())
    for _ in range(10):
        session.clock.now += 1
        board.seen(active())
        board.tick()
    board.seen(ended())
    session.past[25775] = past_of(10)
    board.over()
    assert len(screen.said) == 1
    assert screen.drawn == []
    ((kind, text),) = screen.last
    assert kind == "unusual"
    assert text.startswith("25775/2 SUCCESS · Sales Orders · 5.0 s · 1,000 rows · fast: ")


def test_a_run_that_is_waited_for_is_drawn_at_once_and_then_moves(session: Any, screen: Screen) -> None:
    """The line that says what was started moves: the time that has passed, and what Domo said last."""
    board = Board(session, screen, moving=True)
    board.started(active())
    assert screen.now == ["25775/2 ACTIVE · Sales Orders · mycompany · follow: %domo_wait 25775/2"]
    session.clock.now = 42
    board.seen(active(rowsInserted=500))
    board.tick()
    assert screen.now == ["25775/2 ACTIVE · Sales Orders · 42 s · 500 rows"]
    assert screen.said == []


def test_the_line_says_what_is_usual_and_what_is_left(session: Any, screen: Screen) -> None:
    """Durations of earlier runs make the usual duration and the time left."""
    session.durations[25775] = [100.0] * 5
    board = Board(session, screen, moving=True)
    board.started(active(since=39))
    session.clock.now = 1
    board.tick()
    (line,) = screen.now
    assert line.startswith("25775/2 ACTIVE · Sales Orders · 40 s · usually 1 min 40 s, about ")
    assert line.endswith("left")


def test_at_most_four_drawings_a_second_however_many_runs(session: Any, screen: Screen) -> None:
    """A thousand runs that change all the time are drawn four times in each second."""
    board = Board(session, screen, moving=True)
    for _ in range(1_000):
        session.clock.now += 0.005
        for stream in (1, 2, 3):
            board.started(active(stream))
            board.seen(active(stream, rowsInserted=7))
        board.tick()
    assert 19 <= len(screen.drawn) <= 21  # in 5 s


def test_time_that_passes_is_drawn_only_while_something_runs(session: Any, screen: Screen) -> None:
    """What has ended is drawn once more, then nothing changes."""
    board = Board(session, screen, moving=True)
    board.started(active())
    board.seen(ended())
    session.clock.now += 1
    board.tick()
    drawn = len(screen.drawn)
    session.clock.now += 1
    board.tick()
    assert (drawn, len(screen.drawn)) == (2, 2)


def test_many_runs_are_twenty_lines_and_a_total(session: Any, screen: Screen) -> None:
    """Failed ones come first, then the longest running, then what went well; the rest is counted."""
    board = Board(session, screen, moving=True)
    for stream in range(1, 31):
        board.seen(active(stream, since=stream))
    board.seen(ended(31))
    board.seen(ended(32, state="ERROR"))
    board.tick()
    lines = screen.now
    assert len(lines) == MOST_LINES + 1 == 21
    assert lines[0].startswith("32/2 ERROR")
    assert [line.partition("/")[0] for line in lines[1:4]] == ["30", "29", "28"]
    assert lines[-1] == "2 of 32 ended: 1 ERROR, 1 SUCCESS · 30 unfinished"
    assert "31/2" not in "".join(lines)


@pytest.mark.parametrize(
    "runs, mark", [([ended(1), ended(2)], "good"), ([ended(1), ended(2, state="ERROR")], "bad")]
)
def test_the_total_has_the_mark_of_the_worst(
    session: Any, screen: Screen, runs: list[Execution], mark: str
) -> None:
    """One run that failed makes the whole bad, once nothing runs any more."""
    board = Board(session, screen, moving=True)
    board.seen(active(1))
    board.seen(active(2))
    board.tick()
    assert screen.drawn[-1][-1][0] == "running"
    for run in runs:
        board.seen(run)
    board.over()
    assert screen.last[-1][0] == mark


def test_looking_for_an_uncertain_start_is_said_and_ends(session: Any, screen: Screen) -> None:
    """While a start is looked into the line says so, until the run is there."""
    board = Board(session, screen, moving=True)
    board.uncertain(25775, "the connection was reset")
    assert screen.drawn[-1] == [("unknown", "25775 looking whether it started: the connection was reset")]
    session.clock.now += 1
    board.started(active())
    assert screen.now == ["25775/2 ACTIVE · Sales Orders · mycompany · follow: %domo_wait 25775/2"]


@pytest.mark.parametrize("moving, moves", [(False, True), (True, False), (False, False)])
def test_looking_is_said_in_words_where_nothing_moves(session: Any, moving: bool, moves: bool) -> None:  # noqa: FBT001
    """Without waiting, or without a screen, it is a line of its own."""
    screen = Screen(moves=moves)
    Board(session, screen, moving=moving).uncertain(25775, "reset")
    assert screen.said == [("unknown", "25775 looking whether it started: reset")]


def test_a_start_whose_run_is_not_known_is_said(session: Any, screen: Screen) -> None:
    """It cannot be followed, so it does not move."""
    Board(session, screen, moving=True).started(active(execution=None))
    assert screen.said == [("running", "25775 started, execution unknown · Sales Orders · mycompany")]


def test_nothing_that_was_shown_leaves_nothing(session: Any, screen: Screen) -> None:
    """A board without runs draws no empty output."""
    board = Board(session, screen, moving=True)
    board.tick()
    board.over()
    assert (screen.drawn, screen.last) == ([], [])


def test_elapsed_is_by_the_servers_clock_and_never_negative(session: Any) -> None:
    """A start in the future is no time ago, one that is unknown has no elapsed time."""
    assert elapsed_of(session, active(since=3)) == 3
    assert elapsed_of(session, active(since=-3)) == 0
    assert elapsed_of(session, Execution(1, 1, {"startedAt": None})) is None


def test_what_is_left_running_says_how_to_follow_it(session: Any, screen: Screen) -> None:
    """After a timeout or an interrupt no line looks alive."""
    for let_go in (Board.over, Board.let_go):
        board = Board(session, screen, moving=True)
        board.seen(active(since=60))
        let_go(board)
        expected = "25775/2 ACTIVE · Sales Orders · 1 min 00 s · no longer followed: %domo_wait 25775/2"
        assert screen.last == [("unknown", expected)]


def test_a_count_ends_where_an_error_ends_it(screen: Screen) -> None:
    """The count stays as it was last, unless a headline took its place or nothing was counted."""
    with suppress(ZeroDivisionError), Collecting(screen, Clock()) as collecting:
        collecting.progress(3, 40)
        raise ZeroDivisionError
    assert screen.last == [("stopped", "3 of 40 connectors")]
    with Collecting(screen, Clock()) as collecting:
        collecting.progress(3, 40)
        collecting.over("40 usual", good=True)
    assert screen.last == [("good", "40 usual")]
    screen.last = []
    with Collecting(screen, Clock()):
        pass
    assert screen.last == []


def test_what_was_drawn_to_its_end_is_not_drawn_again(session: Any, screen: Screen) -> None:
    """An interrupt that comes after the last lines repeats none of them."""
    board = Board(session, screen, moving=True)
    board.seen(active())
    board.over()
    screen.last = []
    board.let_go()
    assert screen.last == []


def test_an_outage_is_said_in_the_line_until_it_is_over(session: Any, screen: Screen) -> None:
    """The line says since when nothing is known, and forgets it with the next look."""
    board = Board(session, screen, moving=True)
    board.seen(active())
    board.delayed(active(), ConnectionFailed("mycompany.domo.com could not be reached"), NOW)
    board.tick()
    ((kind, text),) = screen.drawn[-1]
    assert kind == "unknown"
    assert "no response from Domo since" in text
    assert text.endswith("mycompany.domo.com could not be reached")
    session.clock.now += 1
    board.seen(active())
    board.tick()
    assert "no response" not in screen.now[0]


def test_a_cancelled_run_is_not_red_where_that_was_wanted(session: Any, screen: Screen) -> None:
    """A cancel that did what it was told has a mark of its own."""
    board = Board(session, screen, moving=True, aborting=True)
    board.seen(ended(state="ABORTED"))
    board.over()
    assert [kind for kind, _ in screen.last] == ["stopped"]


def past_of(count: int) -> list[Execution]:
    """Give successful earlier runs that all lasted about 100 s."""
    return [
        Execution(
            25775,
            number,
            {
                "currentState": "SUCCESS",
                "startedAt": began,
                "endedAt": began + 100 + number % 3,
                "rowsInserted": 1000,
            },
        )
        for number, began in ((number, NOW - 100_000 + 1_000 * number) for number in range(1, count + 1))
    ]


def test_an_end_is_compared_with_what_was_fetched(session: Any) -> None:
    """Usual, or a sentence about what is not; nothing where too little is known."""
    key = (25775, 99)
    assert judge(session, [active(execution=99)]) == {}
    assert judge(session, [ended(execution=99, lasted=101)]) == {key: Judgement("no baseline", "no baseline")}
    session.past[25775] = past_of(10)
    assert judge(session, [ended(execution=99, lasted=101)]) == {key: Judgement("usual", "usual")}
    slow = judge(session, [ended(execution=99, lasted=500)])[key]
    assert slow.unusual
    assert "5.0 times the usual 1 min 41 s" in slow.says
    assert judge(session, [ended(execution=99, state="ERROR")])[key].verdict == "failed"

"""Drawing at most four times a second, without losing the last change."""

from __future__ import annotations

import threading

import pytest

from domo_magic.widget.view import PAUSE, Painter


class Clock:
    """A clock that moves when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now


class Timer:
    """A timer that waits for the test."""

    started: "list[Timer]" = []  # noqa: RUF012, UP037  one list for all of them

    def __init__(self, seconds: float, work: object) -> None:
        self.seconds, self.work, self.cancelled, self.daemon = seconds, work, False, False

    def start(self) -> None:
        """Be remembered."""
        Timer.started.append(self)

    def cancel(self) -> None:
        """Remember that."""
        self.cancelled = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give a clock, and timers that the test lets go off."""
    monkeypatch.setattr(threading, "Timer", Timer)
    monkeypatch.setattr(Timer, "started", [])
    return Clock()


def test_the_first_is_drawn_at_once_the_next_after_the_pause(clock: Clock) -> None:
    """However often it is asked for within the pause, it is drawn once more, when the pause is over."""
    drawn: list[float] = []
    painter = Painter(lambda: drawn.append(clock.now), clock)
    for _ in range(5):
        painter.soon()
    assert drawn == [0.0]
    (timer,) = Timer.started
    assert timer.seconds == PAUSE
    clock.now = PAUSE
    timer.work()  # type: ignore[operator]
    assert drawn == [0.0, PAUSE]
    clock.now = 2 * PAUSE
    painter.soon()
    assert drawn == [0.0, PAUSE, 2 * PAUSE]


def test_what_changes_while_it_is_drawn_is_drawn_later(clock: Clock) -> None:
    """A change during a drawing, from any thread, neither waits for it nor gets lost."""
    drawn: list[float] = []

    def draw() -> None:
        drawn.append(clock.now)
        if len(drawn) == 1:
            painter.soon()

    painter = Painter(draw, clock)
    painter.soon()
    assert drawn == [0.0]
    assert [timer.seconds for timer in Timer.started] == [PAUSE]


def test_the_pause_counts_from_the_end_of_a_slow_drawing(clock: Clock) -> None:
    """A drawing that takes a second is followed by the whole pause."""

    def draw() -> None:
        clock.now += 1.0

    painter = Painter(draw, clock)
    painter.soon()
    painter.soon()
    assert [timer.seconds for timer in Timer.started] == [PAUSE]


def test_a_drawing_that_breaks_does_not_stop_the_next(clock: Clock) -> None:
    """After an error it is drawn again."""
    calls: list[int] = []

    def draw() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("broken")

    painter = Painter(draw, clock)
    with pytest.raises(ValueError, match="broken"):
        painter.soon()
    clock.now = 1.0
    painter.soon()
    assert len(calls) == 2


def test_a_closed_painter_draws_no_more(clock: Clock) -> None:
    """Closing takes back what was put off."""
    drawn: list[float] = []
    painter = Painter(lambda: drawn.append(clock.now), clock)
    painter.soon()
    painter.soon()
    painter.close()
    assert Timer.started[0].cancelled
    Timer.started[0].work()  # type: ignore[operator]
    clock.now = 9.0
    painter.soon()
    assert drawn == [0.0]

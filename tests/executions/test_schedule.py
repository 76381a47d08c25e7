"""When to ask about a run, and how long it may still take."""

from __future__ import annotations

from math import inf, nan

import pytest

from domo_magic.executions.schedule import next_delay, time_left, usual

STEADY = [270.0, 262.0, 281.0, 275.0, 266.0]


def asked(until: float, durations: list[float], **how: float) -> list[float]:
    """Return when a run of that length is asked for; the last time is at or after its end."""
    times = [0.0]
    while times[-1] < until:
        times.append(times[-1] + next_delay(times[-1], durations, **how))
    return times[1:]


@pytest.mark.parametrize("durations", [[], STEADY, [0.02], [7_200.0] * 20, [1e308], [5e-324]])
@pytest.mark.parametrize("cost", [1e-12, 0.25, 1e12])
@pytest.mark.parametrize("elapsed", [0.0, 1e-9, 5.0, 270.0, 1e5, 1e300, inf])
def test_delay_stays_within_its_bounds(elapsed: float, cost: float, durations: list[float]) -> None:
    """Whatever the history, the cost and the elapsed time, a question comes after 1 to 60 s."""
    assert 1 <= next_delay(elapsed, durations, cost=cost) <= 60


def test_bounds_are_reached() -> None:
    """A request that costs nothing is made after the shortest time, a dear one after nearly the longest."""
    assert next_delay(500, STEADY, cost=1e-12, shortest=2) == 2
    assert 110 < next_delay(500, STEADY, cost=1e12, longest=120) <= 120


def test_equal_bounds_make_a_fixed_interval() -> None:
    """With both bounds the same the rule asks at fixed intervals, from the first question on."""
    assert {next_delay(elapsed, STEADY, shortest=7, longest=7) for elapsed in range(0, 1_000, 50)} == {7}


def test_often_around_the_usual_duration_and_seldom_elsewhere() -> None:
    """Questions are dense where runs of the stream end, sparse long before and long after."""
    before, around, after = (next_delay(elapsed, STEADY) for elapsed in (80, 270, 2_000))
    assert around < before / 3
    assert around < after / 3


def test_delay_scales_with_the_root_of_the_cost() -> None:
    """Where no bound interferes, a request four times as dear is made about half as often."""
    cheap, dear = (next_delay(900, [1_000.0] * 20, cost=cost, longest=1e4) for cost in (0.01, 0.04))
    assert dear / cheap == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(
    "durations, elapsed", [([], 1_000), ([30.0] * 20, 10), ([100.0] * 20, 20), (STEADY, 250)]
)
def test_delay_meets_its_equation(durations: list[float], elapsed: float) -> None:
    """The delay is the root of twice the cost over the hazard in its own middle, by definition."""
    delay = next_delay(elapsed, durations, cost=0.6, longest=600)
    at = elapsed + delay / 2
    shapes = [(x, 6, 1.0) for x in durations] + [(x, 1, 0.2) for x in (10, 60, 300, 1_500, 7_200)]
    survival = sum(weight / (1 + (at / x) ** k) for x, k, weight in shapes)
    density = sum(weight * k / at * (at / x) ** k / (1 + (at / x) ** k) ** 2 for x, k, weight in shapes)
    assert delay == pytest.approx((2 * 0.6 * survival / density) ** 0.5, rel=0.1)


def test_every_kind_of_run_of_a_stream_counts() -> None:
    """A stream with short and long runs is asked for often around both, and less between them."""
    both = [60.0, 1_800.0] * 10
    short, between, long = (next_delay(elapsed, both) for elapsed in (55, 400, 1_750))
    assert short < between / 2
    assert long < between


def test_history_saves_requests_and_lateness() -> None:
    """Knowing the stream's past, a run as usual takes fewer questions and is noticed no later."""
    informed, blind = asked(270, STEADY, cost=0.1), asked(270, [], cost=0.1)
    assert len(informed) < len(blind)
    assert informed[-1] - 270 < 5


def test_first_question_comes_early_when_the_past_is_far_too_long() -> None:
    """Runs of two hours in the past do not hide for a minute that this one failed after 8 s."""
    assert asked(8, [7_200.0] * 20) == [pytest.approx(10, abs=0.1)]
    assert asked(25, [7_200.0] * 20)[-1] <= 26


def test_past_that_is_far_too_short_is_forgotten() -> None:
    """A run that lasts a hundred times as long as all before is soon asked for seldom again."""
    assert next_delay(3_000, [30.0] * 20) > 30


@pytest.mark.parametrize("rubbish", [nan, inf, -inf, 0.0, -270.0])
def test_what_is_no_duration_is_passed_over(rubbish: float) -> None:
    """Zero, negative, infinite and missing durations change nothing, and take no place among the last 20."""
    spoilt = [rubbish] * 30 + STEADY
    assert next_delay(200, spoilt) == next_delay(200, STEADY)
    assert usual(spoilt) == usual(STEADY)
    assert time_left(200, spoilt) == time_left(200, STEADY)


def test_only_the_last_twenty_runs_count() -> None:
    """Runs beyond the twentieth change nothing, the twentieth does."""
    recent = [100.0] * 20
    assert next_delay(90, [*recent, 5.0]) == next_delay(90, recent)
    assert next_delay(90, [*recent[1:], 5.0]) != next_delay(90, recent)
    assert usual([*recent, *[5.0] * 100]) == 100


@pytest.mark.parametrize("elapsed", [nan, -5.0, -inf])
def test_no_elapsed_time_is_the_start(elapsed: float) -> None:
    """A clock that ran backwards, or none, is taken for a run that has just begun."""
    assert next_delay(elapsed, STEADY) == next_delay(0, STEADY)


def test_usual_is_the_median_from_three_runs_on() -> None:
    """The usual duration is a median, so one run that hung does not move it; two runs are too few."""
    assert usual([270.0, 9_999.0, 262.0]) == 270
    assert usual([270.0, 262.0]) is None
    assert usual([]) is None


def test_time_left_is_what_is_left_of_the_usual_at_first() -> None:
    """Before any earlier run had ended, the time left is the usual duration less the elapsed time."""
    assert time_left(0, STEADY) == 270
    assert time_left(150, STEADY) == 120


def test_time_left_looks_at_the_runs_that_lasted_longer() -> None:
    """A run that has outlasted some earlier ones is expected to end as the others did."""
    assert time_left(264, STEADY) == pytest.approx(272.5 - 264)
    assert time_left(120, [60.0, 60.0, 60.0, 60.0, 600.0, 660.0, 720.0]) == 540


@pytest.mark.parametrize("elapsed", [271.0, 281.0, 1_000.0, inf, nan])
def test_time_left_is_unknown_when_hardly_any_run_lasted_longer(elapsed: float) -> None:
    """With fewer than three earlier runs that lasted longer, nothing is claimed."""
    assert time_left(elapsed, STEADY) is None


def test_durations_may_be_any_iterable() -> None:
    """A generator of durations serves as well as a list."""
    assert next_delay(200, (x for x in STEADY)) == next_delay(200, STEADY)

"""The sandbox's executions: their life by the clock, their shape, and the past that a seed makes."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from domo_magic.sandbox import ManualClock, catalog
from domo_magic.sandbox.simulation import OWNER, Habit, Plan, Start, abort, created, draw, encode, view
from domo_magic.sandbox.world import EndedError, UnknownError, World

if TYPE_CHECKING:
    from domo_magic.sandbox.catalog import Stream

CAPTURES = Path(__file__).parents[1] / "captures"
NOW = 1_734_458_216.0


def capture(name: str) -> dict[str, object]:
    """Return one of Domo's documented samples."""
    return json.loads((CAPTURES / name).read_text())


def plan_of(habit: Habit, *, at: float = NOW, **start: object) -> Plan:
    """Draw an execution that starts now."""
    return draw(habit, Start(stream_id=25775, execution_id=2, at=at, **start), random.Random(1))


def kinds(execution: dict[str, object]) -> dict[str, type]:
    """Return the type of every field."""
    return {name: type(value) for name, value in execution.items()}


def test_a_started_run_is_as_documented() -> None:
    """The response to a start has the fields, order, types and values of Domo's sample."""
    sample = capture("run-25775-created.json")
    response = created(plan_of(Habit(), started_by="1129696109"))
    own = {"toe", "containerManagerId"}
    assert list(response) == list(sample)
    assert kinds(response) == kinds(sample)
    assert {k: v for k, v in response.items() if k not in own} == {
        k: v for k, v in sample.items() if k not in own
    }
    assert [len(part) for part in str(response["toe"]).split("-")] == [10, 5, 5]
    assert [len(part) for part in str(response["containerManagerId"]).split("-")] == [2, 8, 4, 4, 4, 12]


def test_a_finished_run_is_as_documented() -> None:
    """A finished scheduled run has the fields, order and types of Domo's sample."""
    sample = capture("execution-371-success.json")
    plan = plan_of(Habit(seconds=25.0, rows=283_429), run_type="AUTOMATED")
    response = json.loads(encode(view(plan, NOW + 25)))
    assert list(response) == list(sample)
    assert kinds(response) == kinds(sample)
    assert (response["startedAt"], response["endedAt"], response["rowsInserted"]) == (NOW, NOW + 25, 283_429)


def test_the_index_key_is_a_number_of_seventeen_digits() -> None:
    """The index key is written as a bare number: the moment of indexing in UTC, with milliseconds."""
    text = encode(view(plan_of(Habit(seconds=25.0)), NOW + 25))
    key = json.loads(text, parse_float=str)["indexRequestKey"]
    moment = datetime.strptime(key, "%Y%m%d%H%M%S.%f").replace(tzinfo=UTC).timestamp()
    assert len(key) == 18
    assert NOW < moment < NOW + 25


def test_a_run_lives_by_the_clock() -> None:
    """A run queues, is active with growing rows, and ends when its time has come."""
    plan = plan_of(Habit(seconds=10.0, queued=4.0, rows=1000))
    seen = {second: view(plan, NOW + second) for second in (0, 3.9, 4, 9, 13.9, 14, 1000)}
    states = [str(execution["currentState"]) for execution in seen.values()]
    assert states == ["QUEUED", "QUEUED", "ACTIVE", "ACTIVE", "ACTIVE", "SUCCESS", "SUCCESS"]
    assert [execution["rowsInserted"] for execution in seen.values()] == [0, 0, 0, 500, 990, 1000, 1000]
    assert [execution["startedAt"] for execution in seen.values()] == [None, None] + [NOW + 4] * 5
    assert [execution["endedAt"] for execution in seen.values()] == [None] * 5 + [NOW + 14] * 2
    assert seen[14] == seen[1000]


def test_a_queued_run_is_responded_without_a_beginning() -> None:
    """A start that has to queue says when it was created, not that it has begun."""
    response = created(plan_of(Habit(queued=4.0)))
    assert (response["currentState"], response["startedAt"], response["createdAt"]) == ("QUEUED", None, NOW)


@pytest.mark.parametrize("state, rows", [("ERROR", True), ("INVALID", False)])
def test_a_failed_run_says_why(state: str, rows: bool) -> None:  # noqa: FBT001
    """A failed run ends early, with what it got until then and Domo's words; before, it says nothing."""
    plan = plan_of(Habit(endings=((state, 1.0),), failure="no such table"))
    active, over = view(plan, plan.ends_at - 0.1), view(plan, NOW + 6)
    assert (active["currentState"], active["errors"]) == ("ACTIVE", [])
    assert over["currentState"] == state
    assert over["errors"] == [
        {
            "id": 100_002,
            "streamId": 25775,
            "executionId": 2,
            "code": 1000,
            "category": "CONNECTOR",
            "message": "no such table",
            "parameters": {},
            "invalidatesExecution": True,
            "keepUpload": False,
        }
    ]
    assert 0 <= int(str(over["rowsInserted"])) < 1000
    assert (int(str(over["rowsInserted"])) > 0) is rows
    assert over["indexRequestKey"] is None


def test_a_stuck_run_never_ends() -> None:
    """A stuck run is active years later, with all its rows."""
    late = view(plan_of(Habit(endings=(("ACTIVE", 1.0),))), NOW + 1e8)
    assert (late["currentState"], late["endedAt"], late["rowsInserted"]) == ("ACTIVE", None, 1000)


def test_an_instant_run_succeeds() -> None:
    """A run that takes no time has ended when it starts, also behind a queue."""
    plan = plan_of(Habit(seconds=0.0, queued=2.0))
    assert [plan.state(NOW + second) for second in (0, 1, 2)] == ["QUEUED", "QUEUED", "SUCCESS"]
    assert [view(plan, NOW + second)["rowsInserted"] for second in (0, 1, 2)] == [0, 0, 1000]


def test_abort_ends_a_run_where_it_is() -> None:
    """An aborted run keeps the rows that it has, and says who aborted it."""
    plan = plan_of(Habit(seconds=10.0, rows=1000))
    over = view(abort(plan, NOW + 5, "27"), NOW + 60)
    assert (over["currentState"], over["cancelledBy"], over["endedAt"]) == ("ABORTED", "27", NOW + 5)
    assert over["rowsInserted"] == 500
    assert plan.state(NOW + 60) == "SUCCESS"


def test_abort_takes_as_long_as_the_habit_says() -> None:
    """With a lag the run stays active until Domo has stopped it."""
    plan = abort(plan_of(Habit(seconds=10.0, abort_lag=2.0)), NOW + 5, "27")
    assert [plan.state(NOW + second) for second in (5, 6.9, 7)] == ["ACTIVE", "ACTIVE", "ABORTED"]


def test_abort_of_a_queued_run_leaves_it_without_a_beginning() -> None:
    """A run aborted in the queue has ended and never begun."""
    over = view(abort(plan_of(Habit(queued=4.0)), NOW + 1, "27"), NOW + 60)
    assert (over["currentState"], over["startedAt"], over["endedAt"]) == ("ABORTED", None, NOW + 1)


def test_abort_of_an_ended_run_changes_nothing() -> None:
    """A run that has ended stays as it was."""
    plan = plan_of(Habit(seconds=10.0))
    assert abort(plan, NOW + 10, "27") is plan


def test_the_same_seed_gives_the_same_past() -> None:
    """Two worlds of one seed and start agree in every execution; another seed differs."""
    first, again, other = (World(lambda: NOW, seed) for seed in (1, 1, 2))
    for stream in catalog.streams(6):
        past = first.executions(stream.id, 500)
        assert past == again.executions(stream.id, 500)
        assert past != other.executions(stream.id, 500)
        assert first.start(stream.id) == again.start(stream.id)


@pytest.mark.parametrize("stream", catalog.streams(6), ids=lambda stream: stream.name)
def test_a_past_is_believable(stream: Stream) -> None:
    """A past has 200 runs in order, all but the stuck ones ended, most on schedule, some by hand."""
    past = catalog.past(stream, 25775, NOW)
    starts = [plan.start.at for plan in past]
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    manual = [plan for plan in past if plan.start.run_type == "MANUAL"]
    assert [plan.start.execution_id for plan in past] == list(range(1, 201))
    assert all(0.29 * stream.every < gap < 1.01 * stream.every for gap in gaps)
    assert all(plan.ended(NOW) or math.isinf(plan.ends_at) for plan in past)
    assert 5 <= len(manual) <= 40
    assert all((plan.start.started_by is None) is (plan.start.run_type == "AUTOMATED") for plan in past)
    assert all((plan.cancelled_by is not None) is (plan.final_state == "ABORTED") for plan in past)
    assert Counter(plan.final_state for plan in past)["SUCCESS"] >= 120


def test_the_pasts_tell_their_stories() -> None:
    """One stream is lately slow, one fails now and then, one brought few rows, one has old stuck runs."""
    past = {stream.id: catalog.past(stream, 25775, NOW) for stream in catalog.streams(6)}
    seconds = {key: [plan.ends_at - plan.begins_at for plan in plans] for key, plans in past.items()}
    states = {key: Counter(plan.final_state for plan in plans) for key, plans in past.items()}
    stuck = [plan for plan in past[25779] if plan.final_state == "ACTIVE"]
    assert all(
        4.5 < second < 8
        for plan, second in zip(past[25775], seconds[25775], strict=True)
        if not plan.message and not plan.cancelled_by
    )
    assert min(seconds[25776][-5:]) > 1.5 * max(seconds[25776][:-5])
    assert 20 <= states[25777]["ERROR"] <= 80
    assert states[25777]["INVALID"] == 3
    assert past[25777][-1].final_state == "ERROR"
    assert past[25778][-1].rows < 0.2 * past[25778][-2].rows
    assert [NOW - plan.start.at > 86_400 for plan in stuck] == [True, True]
    assert all(plan.begins_at > plan.start.at for plan in past[25780])


def newest(stream: Stream) -> dict[str, object]:
    """Return the newest execution of a stream's past."""
    return view(catalog.past(stream, 25775, NOW)[-1], NOW)


def test_a_company_has_forty_connectors_and_their_troubles() -> None:
    """Two failed for the same cause, others brought nothing, run, recovered, were aborted or never ran."""
    streams = {stream.name: stream for stream in catalog.streams(40)}
    ran = {name: newest(stream) for name, stream in streams.items() if stream.past}
    errors = [str(run["errors"][0]["message"]) for run in ran.values() if run["currentState"] == "ERROR"]
    before = view(catalog.past(streams["Shipment Tracking"], 25775, NOW)[-2], NOW)
    assert set(streams) - set(ran) == {"Supplier Scorecards"}
    assert sorted(Counter(errors).values()) == [1, 2]
    assert Counter(str(run["currentState"]) for run in ran.values()) == {
        "SUCCESS": 34,
        "ERROR": 3,
        "ABORTED": 1,
        "ACTIVE": 1,
    }
    assert ran["Payroll Hours"]["cancelledBy"]
    assert ran["Product Returns"]["rowsInserted"] == 0
    assert (before["currentState"], ran["Shipment Tracking"]["currentState"]) == ("ERROR", "SUCCESS")


def test_what_failed_is_run_again_with_success() -> None:
    """A second start of the connectors whose newest execution failed brings the rows."""
    clock = ManualClock(NOW)
    world = World(clock, seed=25775)
    failed = [stream["id"] for stream in world.streams(100) if stream["currentExecutionState"] == "ERROR"]
    started = {number: int(str(world.start(number)["executionId"])) for number in failed}
    clock.advance(60)
    states = [world.execution(number, execution)["currentState"] for number, execution in started.items()]
    assert states == ["SUCCESS"] * 3


def test_only_one_connector_is_overdue() -> None:
    """Every schedule that is active has run when it was due last, but one; none falls on the moment."""
    due = {
        stream.name: NOW - float(str(newest(stream)["createdAt"])) > stream.every
        for stream in catalog.streams(40)
        if stream.schedule == "ACTIVE"
    }
    assert [name for name, late in due.items() if late] == ["Ad Impressions"]
    assert len({stream.slot(NOW) % 3600 for stream in catalog.streams(40)}) > 20


def test_some_connectors_rest_two_days_a_week() -> None:
    """A weekly rhythm brings few rows on two neighbouring days, never on the newest."""
    stream = next(stream for stream in catalog.streams(40) if stream.name == "Call Center Calls")
    past = [plan for plan in catalog.past(stream, 25775, NOW) if plan.start.run_type == "AUTOMATED"]
    quiet = [plan.rows < 0.6 * stream.habit.rows for plan in past]
    assert quiet[-14:] == [False, False, True, True, False, False, False] * 2


@pytest.mark.parametrize(
    "every, cron",
    [
        (1800, "0 13/30 * * * ?"),
        (3600, "0 30 0/1 * * ?"),
        (21_600, "0 19 3/6 * * ?"),
        (86_400, "0 29 7 * * ?"),
        (604_800, "0 42 16 ? * SAT"),
        (7_200_000, None),
    ],
)
def test_a_schedule_is_written_as_quartz(every: int, cron: str | None) -> None:
    """The expression names the moments at which the past began, UTC."""
    assert catalog.streams(1)[0].cron(NOW) == "0 29 0/1 * * ?"
    stream = replace(catalog.streams(3)[2], every=every)
    assert stream.cron(NOW) == cron
    first = datetime.fromtimestamp(stream.slot(NOW), UTC)
    assert cron is None or int(cron.split()[1].split("/")[0]) == first.minute % min(60, every // 60)


@pytest.mark.parametrize("count", [1, 6, 1000])
def test_there_are_as_many_connectors_as_wanted(count: int) -> None:
    """25775 is the first; beyond the company's own, its usual ones come again under other names."""
    world, names = World(lambda: NOW, 1, count), {stream.name for stream in catalog.streams(count)}
    assert world.stream(25775)["id"] == 25775
    assert world.datasets(limit=0)[1] == len(names) + 4 == count + 4


def test_a_past_is_drawn_when_it_is_first_used() -> None:
    """To start a sandbox draws nothing, so that it costs nothing."""
    world = World(lambda: NOW, seed=1)
    assert not any("records" in room.__dict__ for room in world._rooms.values())


def test_names_and_ids_are_unique() -> None:
    """No two streams or DataSets share an id or a name."""
    named = [(stream.dataset_id, stream.name) for stream in catalog.streams(40)]
    named += [(stream.dataset_id, stream.name) for stream in catalog.other_streams()]
    assert all(len(set(column)) == len(named) for column in zip(*named, strict=True))


def test_the_world_starts_lists_and_ends_by_its_clock() -> None:
    """A start counts on from the past, and ends when the clock says so."""
    clock = ManualClock(NOW)
    world = World(clock, seed=1)
    started = world.start(25775)
    assert (started["executionId"], world.count(25775)) == (201, 201)
    assert world.stream(25775)["currentExecution"] == world.execution(25775, 201)
    clock.advance(60)
    assert world.execution(25775, 201)["currentState"] == "SUCCESS"
    assert world.stream(25775)["currentExecution"] is None
    assert world.stream(25775)["lastSuccessfulExecution"] == world.execution(25775, 201)


def test_what_is_kept_as_json_is_what_the_world_says() -> None:
    """A listing is the same executions, while they run, after they end and after an abort."""
    clock = ManualClock(NOW)
    world = World(clock, seed=1)
    number = world.add_stream(10.0)
    world.start(number)
    world.start(number, run_type="AUTOMATED", started_by=None)
    for step in (5, 5, 5):
        assert world.executions_json(number) == encode(world.executions(number))
        if step and clock() == NOW + 5:
            world.abort(number, 1)
        clock.advance(step)
    assert [row["currentState"] for row in world.executions(number)] == ["ABORTED", "SUCCESS"]
    assert [row["startedBy"] for row in world.executions(number)] == [OWNER, None]


def test_added_streams_have_what_was_asked() -> None:
    """An added stream has its duration, its id, its name and as much of a past as was wanted."""
    clock = ManualClock(NOW)
    world = World(clock, seed=1)
    plain = world.add_stream(3.0)
    named = world.add_stream(stream_id=7, name="Orders EU", dataset_id="x", habit=Habit(seconds=9.0), past=30)
    world.start(plain)
    clock.advance(3)
    assert plain == 25815
    assert world.execution(plain, 1)["currentState"] == "SUCCESS"
    assert world.count(named) == 30
    assert world.dataset("x")["streamId"] == 7
    with pytest.raises(ValueError, match="stream 7 already"):
        world.add_stream(stream_id=7)


def test_the_world_knows_what_is_not_there() -> None:
    """Unknown streams, executions and DataSets, and aborts of ended runs, raise what Domo would say."""
    world = World(lambda: NOW, seed=1)
    for call in (
        lambda: world.start(1),
        lambda: world.execution(25775, 0),
        lambda: world.execution(25775, 201),
    ):
        with pytest.raises(UnknownError, match="not found"):
            call()
    with pytest.raises(UnknownError, match="DataSet x not found"):
        world.dataset("x")
    with pytest.raises(EndedError, match="not active"):
        world.abort(25775, 200)


def test_a_plan_is_a_value() -> None:
    """Plans compare by what is in them, and a change makes a new one."""
    plan = plan_of(Habit())
    assert plan == plan_of(Habit())
    assert replace(plan, rows=1) != plan

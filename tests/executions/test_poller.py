"""Following runs to their end: what is seen, what is asked, and what goes wrong meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from domo_magic.errors import ApiError, AuthenticationError, DomoError, NotFound
from domo_magic.executions.follower import Follower
from domo_magic.model.execution import Execution
from domo_magic.sandbox import faults
from domo_magic.sandbox.simulation import Habit

if TYPE_CHECKING:
    from support import JumpClock

    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox
    from domo_magic.sandbox.faults import Fault, Request

pytestmark = pytest.mark.usefixtures("inline")


@pytest.fixture
def asked(still_sandbox: Sandbox, clock: JumpClock) -> list[tuple[float, str]]:
    """Give the moment and the path of every request that follows."""
    log: list[tuple[float, str]] = []

    def note(request: Request) -> None:
        log.append((clock.now, request.path))

    still_sandbox.decide = note
    return log


def started(session: Session, sandbox: Sandbox, stream_id: int) -> Execution:
    """Start a run elsewhere, as Domo shows it."""
    return session.known(Execution.from_json(sandbox.world.start(stream_id), stream_id))


def followed(
    session: Session, *runs: Execution, patience: float | None = None
) -> tuple[list[Execution], Follower]:
    """Follow the runs; return every look at one, and who followed."""
    seen: list[Execution] = []
    follower = Follower(session, seen.append)
    for run in runs:
        follower.add(run)
    follower.follow(threading.Event(), patience)
    return seen, follower


def looks(asked: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Return the questions about runs, without those about a stream's past."""
    return [entry for entry in asked if "/executions" in entry[1]]


def test_every_state_is_recorded_with_its_time(still_sandbox: Sandbox, still_session: Session) -> None:
    """A run is followed through its states to the end, and the history has each with the time it was seen."""
    stream = still_sandbox.world.add_stream(habit=Habit(seconds=40, queued=20))
    run = started(still_session, still_sandbox, stream)
    seen, follower = followed(still_session, run)
    assert list(dict.fromkeys(each.state for each in seen)) == ["QUEUED", "ACTIVE", "SUCCESS"]
    assert not follower.problems
    changes = still_session.history._database.read("SELECT state, seen_at FROM change ORDER BY rowid", ())
    assert [state for state, _ in changes] == ["QUEUED", "ACTIVE", "SUCCESS"]
    times = [seen_at for _, seen_at in changes]
    assert times == sorted(set(times))
    (recorded,) = still_session.history.runs(still_session.instance)
    assert (recorded.run, recorded.state) == (run.run, "SUCCESS")


def test_a_run_is_asked_for_seldom_and_its_end_noticed_soon(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, asked: list[tuple[float, str]]
) -> None:
    """A run of five minutes with a usual past costs fewer than 35 requests; its end is seen within 10 s."""
    stream = still_sandbox.world.add_stream(habit=Habit(seconds=300, spread=0.05), past=20)
    run = started(still_session, still_sandbox, stream)
    seen, _ = followed(still_session, run)
    assert seen[-1].succeeded
    assert clock.now - (seen[-1].ended_us or 0) / 1e6 < 10
    assert len(looks(asked)) < 35
    assert len(asked) - len(looks(asked)) == 1, "the past is asked for once"


def test_the_past_is_asked_for_once(
    still_sandbox: Sandbox, still_session: Session, asked: list[tuple[float, str]]
) -> None:
    """The past is asked for once, in one request: durations alone would give the run no verdict."""
    stream = still_sandbox.world.add_stream(30, past=5)
    past = [
        Execution.from_json(each, stream)
        for each in still_sandbox.world.executions(stream)
        if each["endedAt"]
    ]
    still_session.history.saw(still_session.instance, past)
    followed(still_session, started(still_session, still_sandbox, stream))
    followed(still_session, started(still_session, still_sandbox, stream))
    assert len(looks(asked)) == len(asked) - 1


def test_runs_of_one_stream_share_their_requests(
    still_sandbox: Sandbox, still_session: Session, asked: list[tuple[float, str]]
) -> None:
    """Five runs of a stream that end together cost as many questions as one."""
    stream, lone = still_sandbox.world.add_stream(60), still_sandbox.world.add_stream(60)
    followed(still_session, started(still_session, still_sandbox, lone))
    alone = len(looks(asked))
    asked.clear()
    runs = [started(still_session, still_sandbox, stream) for _ in range(5)]
    seen, _ = followed(still_session, *runs)
    assert {each.run for each in seen if each.succeeded} == {run.run for run in runs}
    assert len(looks(asked)) <= alone + 1


@pytest.mark.parametrize(
    "fault",
    [
        faults.reset(),
        faults.status(500),
        faults.status(503),
        faults.status(429),
        faults.html(),
        faults.cut(broken=True),
        faults.empty(),
        faults.response(b"[]"),
    ],
    ids=["reset", "500", "503", "429", "html", "cut", "empty", "another shape"],
)
def test_an_error_while_asking_does_not_end_the_wait(
    still_sandbox: Sandbox, still_session: Session, fault: Fault
) -> None:
    """Four bad responses in a row only delay what is known."""
    run = started(still_session, still_sandbox, still_sandbox.world.add_stream(30))
    still_sandbox.order(fault, method="GET", path="/executions/", times=4)
    seen, follower = followed(still_session, run)
    assert seen[-1].succeeded
    assert not follower.problems


def test_asking_in_vain_ends_after_a_budget_of_its_own(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """Where every response is bad for five minutes the run is given up, with the last error."""
    run = started(still_session, still_sandbox, still_sandbox.world.add_stream(10))
    still_sandbox.order(faults.status(500), method="GET", times=10_000)
    began = clock.now
    _, follower = followed(still_session, run)
    assert isinstance(follower.problems[run.stream_id, run.execution_id], ApiError)
    assert 300 <= clock.now - began <= 365
    assert not follower.busy


def test_one_answer_renews_the_budget(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """The budget counts from the last good response: 4 minutes of errors, twice, are no end."""
    run = started(still_session, still_sandbox, still_sandbox.world.add_stream(900))
    began = clock.now

    def weather(request: Request) -> Fault | None:
        minute = (clock.now - began) / 60
        return faults.status(500) if 2 <= minute <= 6 or 8 <= minute <= 12 else None

    still_sandbox.decide = weather
    seen, follower = followed(still_session, run)
    assert seen[-1].succeeded
    assert not follower.problems


def test_a_refusal_ends_the_wait_at_once(
    still_sandbox: Sandbox, still_session: Session, asked: list[tuple[float, str]]
) -> None:
    """An expired token is told after one question, and other streams go on."""
    run = started(still_session, still_sandbox, still_sandbox.world.add_stream(10))
    other = started(still_session, still_sandbox, still_sandbox.world.add_stream(10))
    still_sandbox.order(faults.status(401), method="GET", path=f"/{run.stream_id}/executions/")
    seen, follower = followed(still_session, run, other)
    problem = follower.problems.pop((run.stream_id, run.execution_id))
    assert isinstance(problem, AuthenticationError)
    assert not follower.problems
    assert seen[-1].run == other.run
    assert seen[-1].succeeded
    assert sum(f"/{run.stream_id}/executions/" in path for _, path in looks(asked)) == 0, (
        "the fault came first"
    )


@pytest.mark.parametrize("times, found", [(3, True), (10_000, False)])
def test_a_run_that_is_not_listed_yet_is_waited_for(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, times: int, *, found: bool
) -> None:
    """A run just started may response 404 for 20 s, and only then is lost."""
    run = started(still_session, still_sandbox, still_sandbox.world.add_stream(60))
    still_sandbox.order(faults.status(404), method="GET", path="/executions/", times=times)
    began = clock.now
    _, follower = followed(still_session, run)
    assert bool(follower.problems) is not found
    if not found:
        assert isinstance(follower.problems[run.stream_id, run.execution_id], NotFound)
        assert 20 <= clock.now - began <= 60


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_quiets_the_whole_instance(
    still_sandbox: Sandbox,
    still_session: Session,
    clock: JumpClock,
    asked: list[tuple[float, str]],
    status: int,
) -> None:
    """One stream's Retry-After keeps every stream from being asked about meanwhile."""
    runs = [started(still_session, still_sandbox, still_sandbox.world.add_stream(100)) for _ in range(3)]
    still_sandbox.order(
        faults.status(status, retry_after=40), method="GET", path=f"/{runs[0].stream_id}/executions/"
    )
    began = clock.now
    followed(still_session, *runs)
    moments = [at - began for at, _ in looks(asked)]
    quiet = [moment for moment in moments if 15 < moment < 40]
    assert not quiet
    assert any(moment >= 40 for moment in moments)


def test_a_state_that_nobody_knows_is_followed_on(still_sandbox: Sandbox, still_session: Session) -> None:
    """A state that is not known, without an end, is unfinished and shown as it came."""
    stream = still_sandbox.world.add_stream(20)
    run = started(still_session, still_sandbox, stream)
    body = b'{"streamId": %d, "executionId": 1, "currentState": "DREAMING", "endedAt": null}' % stream
    still_sandbox.order(faults.response(body), method="GET", path="/executions/1", times=2)
    seen, _ = followed(still_session, run)
    states = [each.state for each in seen]
    assert "DREAMING" in states
    assert states[-1] == "SUCCESS"


@pytest.mark.parametrize("final", ["SUCCESS", "ACTIVE"])
def test_an_end_without_a_final_state_is_asked_for_once_more(
    still_sandbox: Sandbox, still_session: Session, final: str
) -> None:
    """``endedAt`` with ACTIVE has ended; one more question may bring the final state."""
    stream = still_sandbox.world.add_stream(500)
    run = started(still_session, still_sandbox, stream)
    shape = '{"streamId": %d, "executionId": 1, "currentState": "%s", "startedAt": 100, "endedAt": 160}'
    for state in ("ACTIVE", final):
        still_sandbox.order(
            faults.response((shape % (stream, state)).encode()), method="GET", path="/executions/1"
        )
    seen, _ = followed(still_session, run)
    assert [each.state for each in seen[-2:]] == ["ACTIVE", final]
    assert seen[-1].finished


@pytest.mark.parametrize("patience", [0.0, 7.5, 90.0])
def test_patience_is_kept_to_the_moment(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, patience: float
) -> None:
    """Following lets go when the patience is over, neither before nor after."""
    run = started(still_session, still_sandbox, still_sandbox.world.add_stream(10_000))
    follower = Follower(still_session, lambda _: None)
    follower.add(run)
    began = clock.now
    assert not follower.follow(threading.Event(), patience)
    assert clock.now - began == pytest.approx(patience, abs=1e-6)


def test_who_is_told_to_stop_stops(still_sandbox: Sandbox, still_session: Session) -> None:
    """A stop lets go at once and leaves what is followed."""
    follower = Follower(still_session, lambda _: None)
    follower.add(started(still_session, still_sandbox, still_sandbox.world.add_stream(10_000)))
    stop = threading.Event()
    stop.set()
    assert not follower.follow(stop)
    assert follower.busy


def test_a_bug_on_a_thread_reaches_the_person(
    still_sandbox: Sandbox, still_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What breaks while asking is told, and nobody waits for ever."""
    run = started(still_session, still_sandbox, still_sandbox.world.add_stream(10))
    monkeypatch.setattr(still_session.client, "get_execution", lambda *_, **__: 1 / 0)
    _, follower = followed(still_session, run)
    problem = follower.problems[run.stream_id, run.execution_id]
    assert type(problem) is DomoError
    assert "division by zero" in str(problem)


def test_a_failed_run_of_several_is_asked_for_itself(
    still_sandbox: Sandbox, still_session: Session, asked: list[tuple[float, str]]
) -> None:
    """A list may leave out what went wrong, so that the run itself is asked for."""
    stream = still_sandbox.world.add_stream(
        habit=Habit(seconds=60, endings=(("ERROR", 1.0),), failure="no rows")
    )
    runs = [started(still_session, still_sandbox, stream) for _ in range(2)]
    seen, _ = followed(still_session, *runs)
    assert {each.run for each in seen if each.state == "ERROR"} == {run.run for run in runs}
    for run in runs:
        assert any(path.endswith(f"/executions/{run.execution_id}") for _, path in asked)


def test_a_vanished_run_does_not_end_the_others(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """A run that Domo does not have is a problem of its own; its siblings are followed to their end."""
    stream = still_sandbox.world.add_stream(30)
    real = Execution.from_json(still_sandbox.world.start(stream), stream)
    seen: list[Execution] = []
    follower = Follower(still_session, seen.append)
    follower.add(real)
    follower.add(Execution(stream, 999))
    assert follower.follow(threading.Event())
    assert list(follower.problems) == [(stream, 999)]
    assert seen[-1].succeeded


def test_an_aborted_run_is_asked_for_soon_however_old_it_is(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """A run of several days that was aborted is looked at again within seconds."""
    stuck = Execution.from_json(still_sandbox.world.execution(25779, 186), 25779)
    follower = Follower(still_session, lambda _run: None)
    follower.add(stuck, aborted=True)
    still_sandbox.world.abort(25779, 186)
    began = clock.monotonic()
    assert follower.follow(threading.Event())
    assert clock.monotonic() - began < 3

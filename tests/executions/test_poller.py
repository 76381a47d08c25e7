"""Polling runs to their end: what is seen, what is requested, and what goes wrong meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import faults
import pytest
from support import LONG, Looks

from domo_magic.errors import ApiError, AuthenticationError, DomoError, NotFound
from domo_magic.executions.poller import NAME
from domo_magic.model.execution import Execution
from domo_magic.sandbox.simulation import Habit

if TYPE_CHECKING:
    from faults import Fault, Request
    from support import JumpClock

    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox

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
    session: Session, *runs: Execution, timeout: float | None = None, aborted: bool = False
) -> Looks:
    """Poll the runs to their end, and return what was told about them."""
    looks = Looks()
    session.poller.watch(runs, looks, timeout=timeout, aborted=aborted)
    assert looks.ended.wait(LONG)
    return looks


def looks(asked: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Return the questions about runs, without those about a stream's past."""
    return [entry for entry in asked if "/executions" in entry[1]]


def test_every_state_is_recorded_with_its_time(still_sandbox: Sandbox, still_session: Session) -> None:
    """A run is followed through its states to the end, and the history has each with the time it was seen."""
    stream = still_sandbox.world.add_stream(habit=Habit(seconds=40, queued=20))
    run = started(still_session, still_sandbox, stream)
    told = followed(still_session, run)
    seen = told.runs
    assert list(dict.fromkeys(each.state for each in seen)) == ["QUEUED", "ACTIVE", "SUCCESS"]
    assert not told.problems
    changes = still_session.history.database.read("SELECT state, seen_at FROM change ORDER BY rowid", ())
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
    seen = followed(still_session, run).runs
    assert seen[-1].succeeded
    assert clock.now - (seen[-1].ended_us or 0) / 1e6 < 10
    assert len(looks(asked)) < 35
    assert len(asked) - len(looks(asked)) == 2, "the past and the stream are requested once"


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
    assert len(looks(asked)) == len(asked) - 2


def test_runs_of_one_stream_share_their_requests(
    still_sandbox: Sandbox, still_session: Session, asked: list[tuple[float, str]]
) -> None:
    """Five runs of a stream that end together cost as many questions as one."""
    stream, lone = still_sandbox.world.add_stream(60), still_sandbox.world.add_stream(60)
    followed(still_session, started(still_session, still_sandbox, lone))
    alone = len(looks(asked))
    asked.clear()
    runs = [started(still_session, still_sandbox, stream) for _ in range(5)]
    seen = followed(still_session, *runs).runs
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
    told = followed(still_session, run)
    seen = told.runs
    assert seen[-1].succeeded
    assert not told.problems


def test_an_outage_ends_no_wait_and_is_told(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """Half an hour of bad responses is waited through; the listener learns since when."""
    run = started(still_session, still_sandbox, still_sandbox.world.add_stream(10))
    began = clock.now

    def outage(request: Request) -> Fault | None:
        return faults.status(500) if 1 <= clock.now - began <= 1800 else None

    still_sandbox.decide = outage
    told = followed(still_session, run)
    assert told.runs[-1].succeeded
    assert not told.problems
    error, since = told.delays[-1]
    assert isinstance(error, ApiError)
    assert since == pytest.approx(began + 1, abs=10)


def test_an_outage_ends_with_the_timeout(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """With a timeout an outage is waited through until then, not less and not more."""
    run = started(still_session, still_sandbox, still_sandbox.world.add_stream(10))
    still_sandbox.order(faults.status(500), method="GET", times=10_000)
    began = clock.now
    told = followed(still_session, run, timeout=7200.0)
    assert gone()
    assert 7200 <= clock.now - began <= 7205
    assert not told.problems


@pytest.mark.parametrize("status", [401, 403])
def test_one_refusal_is_no_end(still_sandbox: Sandbox, still_session: Session, status: int) -> None:
    """A captive portal between two good responses is requested again."""
    run = started(still_session, still_sandbox, still_sandbox.world.add_stream(10))
    still_sandbox.order(faults.status(status), method="GET", path=f"/{run.stream_id}/executions/")
    assert followed(still_session, run).runs[-1].succeeded


def test_a_lasting_refusal_ends_the_wait_soon(still_sandbox: Sandbox, still_session: Session) -> None:
    """An expired token is told after three requests, and other streams go on."""
    run = started(still_session, still_sandbox, still_sandbox.world.add_stream(10))
    other = started(still_session, still_sandbox, still_sandbox.world.add_stream(10))
    still_sandbox.order(faults.status(401), method="GET", path=f"/{run.stream_id}/executions/", times=99)
    told = followed(still_session, run, other)
    problem = told.problems.pop((run.stream_id, run.execution_id))
    assert isinstance(problem, AuthenticationError)
    assert not told.problems
    assert (told.runs[-1].run, told.runs[-1].succeeded) == (other.run, True)
    requests = [
        request for request in still_sandbox.requests if f"/{run.stream_id}/executions/" in request.path
    ]
    assert len(requests) == 3


@pytest.mark.parametrize("times, found", [(3, True), (10_000, False)])
def test_a_run_that_is_not_listed_yet_is_waited_for(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, times: int, *, found: bool
) -> None:
    """A run just started may response 404 for 20 s, and only then is lost."""
    run = started(still_session, still_sandbox, still_sandbox.world.add_stream(60))
    still_sandbox.order(faults.status(404), method="GET", path="/executions/", times=times)
    began = clock.now
    told = followed(still_session, run)
    assert bool(told.problems) is not found
    if not found:
        assert isinstance(told.problems[run.stream_id, run.execution_id], NotFound)
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
    seen = followed(still_session, run).runs
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
    seen = followed(still_session, run).runs
    assert [each.state for each in seen[-2:]] == ["ACTIVE", final]
    assert seen[-1].finished


@pytest.mark.parametrize("timeout", [0.0, 7.5, 90.0])
def test_a_timeout_is_kept_to_the_moment(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock, timeout: float
) -> None:
    """Polling for a listener ends when its time is over, neither before nor after."""
    run = started(still_session, still_sandbox, still_sandbox.world.add_stream(10_000))
    began = clock.now
    told = followed(still_session, run, timeout=timeout)
    assert gone()
    assert clock.now - began == pytest.approx(timeout, abs=1e-6)
    assert not told.runs[-1].finished


def test_a_bug_on_a_thread_reaches_the_person(
    still_sandbox: Sandbox, still_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What breaks while asking is told, and nobody waits for ever."""
    run = started(still_session, still_sandbox, still_sandbox.world.add_stream(10))
    monkeypatch.setattr(still_session.client, "get_execution", lambda *_, **__: 1 / 0)
    told = followed(still_session, run)
    problem = told.problems[run.stream_id, run.execution_id]
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
    seen = followed(still_session, *runs).runs
    assert {each.run for each in seen if each.state == "ERROR"} == {run.run for run in runs}
    for run in runs:
        assert any(path.endswith(f"/executions/{run.execution_id}") for _, path in asked)


def test_a_vanished_run_does_not_end_the_others(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """A run that Domo does not have is a problem of its own; its siblings are followed to their end."""
    stream = still_sandbox.world.add_stream(30)
    real = Execution.from_json(still_sandbox.world.start(stream), stream)
    told = followed(still_session, real, Execution(stream, 999))
    assert list(told.problems) == [(stream, 999)]
    assert told.runs[-1].succeeded


def test_an_aborted_run_is_asked_for_soon_however_old_it_is(
    still_sandbox: Sandbox, still_session: Session, clock: JumpClock
) -> None:
    """A run of several days that was aborted is looked at again within seconds."""
    stuck = Execution.from_json(still_sandbox.world.execution(25779, 186), 25779)
    still_sandbox.world.abort(25779, 186)
    began = clock.monotonic()
    assert followed(still_session, stuck, aborted=True).runs[-1].finished
    assert clock.monotonic() - began < 3


# One thread for all


def workers() -> list[threading.Thread]:
    """Return the pollers' threads that live."""
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def gone() -> bool:
    """Wait until no poller's thread is left."""
    for thread in workers():
        thread.join(LONG)
    return not workers()


def test_everything_shares_one_thread_that_ends_and_begins_again(sandbox: Sandbox, session: Session) -> None:
    """However many listeners there are, one daemon thread polls; it ends with the last run."""
    for _ in range(2):
        listeners = [Looks(), Looks()]
        runs = [started(session, sandbox, sandbox.world.add_stream(0.3)) for _ in range(3)]
        for listener in listeners:
            session.poller.watch(runs, listener)
        (thread,) = workers()
        assert thread.daemon
        assert gone()
        for listener in listeners:
            assert {run.run for run in listener.runs if run.succeeded} == {run.run for run in runs}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_listeners_bug_is_not_the_others_end(
    sandbox: Sandbox, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a listener raises is shown as a thread's error, and everyone else sees the end."""
    shown: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_type))

    class Broken(Looks):
        def seen(self, run: Execution) -> None:
            raise ZeroDivisionError

        def tick(self) -> None:
            raise ZeroDivisionError

    run, looks = started(session, sandbox, sandbox.world.add_stream(0.1)), Looks()
    session.poller.watch([run], Broken())
    session.poller.watch([run], looks)
    assert gone()
    assert looks.runs[-1].state == "SUCCESS"
    assert set(shown) == {ZeroDivisionError}


def test_what_nobody_watches_any_more_is_not_polled(sandbox: Sandbox, session: Session) -> None:
    """The last listener who leaves ends the polling, not the run; another one's run goes to its end."""
    slow, quick = (started(session, sandbox, sandbox.world.add_stream(seconds)) for seconds in (600.0, 0.3))
    first, second, third = Looks(), Looks(), Looks()
    watch = session.poller.watch([slow, quick], first)
    session.poller.watch([quick], second)
    session.poller.leave(watch)
    assert gone()
    assert {run.run for run in second.runs} == {quick.run}
    assert second.runs[-1].state == "SUCCESS"
    assert sandbox.world.execution(slow.stream_id, 1)["currentState"] == "ACTIVE"
    session.poller.watch([slow], third)
    sandbox.world.abort(slow.stream_id, 1)
    assert gone()
    assert third.runs[-1].run == slow.run
    assert third.runs[-1].finished


def test_one_of_a_streams_runs_can_be_left(sandbox: Sandbox, session: Session) -> None:
    """The other run of the stream is polled on, and nothing more is told of the one that was left."""
    one = started(session, sandbox, sandbox.world.add_stream(600.0))
    other = started(session, sandbox, one.stream_id)
    left, kept = Looks(), Looks()
    watch = session.poller.watch([one], left)
    session.poller.leave(watch)
    session.poller.watch([other], kept)
    for run in (one, other):
        sandbox.world.abort(run.stream_id, run.execution_id or 0)
    assert gone()
    assert not [run for run in left.runs if run.finished]
    assert {run.run for run in kept.runs} == {other.run}
    assert kept.runs[-1].finished


def test_a_name_is_learned_while_waiting(still_sandbox: Sandbox, still_session: Session) -> None:
    """Whoever waits learns the name by one request beside the others."""
    stream = still_sandbox.world.add_stream(10, name="Sales Orders")
    run = started(still_session, still_sandbox, stream)
    assert run.name is None
    assert followed(still_session, run).runs[-1].name == "Sales Orders"
    assert sum(f"/streams/{stream}?" in request.path for request in still_sandbox.requests) == 1

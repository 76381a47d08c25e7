"""A response must be the one to the request: other streams' and other executions' are not believed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import faults
import pytest
import requests

import domo_magic
from domo_magic.errors import DomoWarning, InvalidResponse, RunTimeout, TriggerOutcomeUnknown

if TYPE_CHECKING:
    from faults import Fault, Request

    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox


def execution(stream_id: int, execution_id: int | None, state: str = "ACTIVE", **fields: object) -> Fault:
    """Response with an execution, the work not done."""
    found = {"streamId": stream_id, "executionId": execution_id, "currentState": state, **fields}
    return faults.response(json.dumps(found).encode(), code=200)


def recorded(session: Session) -> list[tuple[str, str | None]]:
    """Return the runs and labels in the history."""
    return [(run.run, run.label) for run in session.history.runs(session.instance)]


def test_a_start_answered_with_another_streams_execution_is_uncertain(
    session: Session, sandbox: Sandbox
) -> None:
    """Nothing is recorded under the wrong stream, and nothing is sent a second time."""
    stream = sandbox.world.add_stream(500)
    sandbox.order(execution(25775, 7))
    with pytest.raises(TriggerOutcomeUnknown, match="another stream") as caught:
        domo_magic.run(stream)
    assert caught.value.rows["executionId"].isna().all()
    assert sum(request.method == "POST" for request in sandbox.requests) == 1
    assert recorded(session) == [(str(stream), None)]


def test_a_run_that_started_behind_a_wrong_response_is_found(session: Session, sandbox: Sandbox) -> None:
    """The start went through, only its response was somebody else's: the list tells which run it is."""
    stream = sandbox.world.add_stream(500)
    found = json.dumps({"streamId": 25775, "executionId": 7, "currentState": "ACTIVE"}).encode()
    sandbox.order(faults.response(found, code=201, after=True))
    assert domo_magic.run(stream)["executionId"].tolist() == [1]
    assert recorded(session) == [(f"{stream}/1", None)]


def test_a_list_with_another_streams_runs_is_not_adopted_from(session: Session, sandbox: Sandbox) -> None:
    """An uncertain start never takes a run that the list says is of another stream."""
    stream = sandbox.world.add_stream(500)
    sandbox.order(faults.status(500))
    now = sandbox.world.clock()
    listed = [{"streamId": 25775, "executionId": 9, "startedAt": now, "runType": "MANUAL"}]
    sandbox.order(faults.response(json.dumps(listed).encode()), method="GET", path=r"executions\?", times=999)
    with pytest.raises(TriggerOutcomeUnknown):
        domo_magic.run(stream)


def test_a_replayed_response_takes_no_run_from_an_earlier_start(session: Session, sandbox: Sandbox) -> None:
    """Two starts answered with the same execution: the first keeps it, the second is uncertain."""
    stream = sandbox.world.add_stream(500)
    sandbox.order(execution(stream, 7), times=2)
    domo_magic.run(stream, label="first")
    with pytest.raises(TriggerOutcomeUnknown, match="earlier start"):
        domo_magic.run(stream, label="second")
    assert sorted(recorded(session)) == [(str(stream), "second"), (f"{stream}/7", "first")]


@pytest.mark.parametrize(
    "wrong",
    [(25775, 99), (None, 99), (None, None), (25775, 7)],
    ids=["stream and execution", "execution", "no ids", "stream"],
)
def test_waiting_does_not_believe_another_execution(
    session: Session, sandbox: Sandbox, wrong: tuple[int | None, int | None]
) -> None:
    """It is asked about again, with growing pauses, until the wait is over; nothing is taken for its end."""
    stream = sandbox.world.add_stream(500, past=7)
    sandbox.order(
        execution(*wrong, state="SUCCESS", endedAt=5), method="GET", path=r"executions/\d+$", times=9**9
    )
    with pytest.raises((InvalidResponse, RunTimeout)):
        domo_magic.wait(f"{stream}/7", timeout=0.5)
    asked = [request for request in sandbox.requests if "/executions/7" in request.path]
    assert 0 < len(asked) < 60


def test_cancelling_does_not_believe_another_execution(session: Session, sandbox: Sandbox) -> None:
    """What is to be cancelled must be the run that was named; nothing is aborted else."""
    stream = sandbox.world.add_stream(500, past=7)
    sandbox.order(execution(stream, 99), method="GET", path=r"executions/\d+$", times=999)
    with pytest.raises(InvalidResponse):
        domo_magic.cancel(f"{stream}/7")
    assert not [request for request in sandbox.requests if request.method == "PUT"]


def test_a_303_to_a_start_means_that_it_was_done(session: Session, sandbox: Sandbox) -> None:
    """The run is looked for, not started again."""
    stream = sandbox.world.add_stream(500)
    sandbox.order(faults.redirect("/elsewhere", code=303, after=True))
    assert domo_magic.run(stream)["executionId"].tolist() == [1]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"action": "MANUAL"}', b'{"runType": "MANUAL"}'])
def test_the_sandbox_takes_the_start_of_every_client(sandbox: Sandbox, body: bytes) -> None:
    """Domo starts a run on each of these bodies, and so does the sandbox."""
    response = requests.post(
        f"{sandbox.url}/api/data/v1/streams/25775/executions",
        data=body,
        headers={"X-DOMO-Developer-Token": sandbox.token, "Content-Type": "application/json"},
        timeout=10,
    )
    assert response.status_code == 201


def test_a_run_without_an_id_in_the_past_breaks_no_wait(session: Session, sandbox: Sandbox) -> None:
    """A start that ended well without saying which run it was is no past to compare with, and no error."""
    stream = sandbox.world.add_stream(0.1, past=7)
    sandbox.order(faults.response(b'{"currentState": "SUCCESS", "startedAt": 1, "endedAt": 2}'))
    with pytest.warns(DomoWarning, match="without saying which run"):
        domo_magic.run(stream)
    panel = domo_magic.panel(stream)
    assert panel.join(30)
    run = domo_magic.run(stream, wait=True)
    assert run["currentState"].tolist() == ["SUCCESS"]
    panel.close()


def test_a_list_without_an_end_is_left_at_the_deadline(session: Session, sandbox: Sandbox) -> None:
    """A server with new ids on every page is not asked beyond the time for looking."""
    numbers = iter(range(1, 10**9))

    def endless(request: Request) -> Fault | None:
        if "executions?" not in request.path:
            return None
        page = [{"executionId": next(numbers), "currentState": "SUCCESS"} for _ in range(20)]
        return faults.response(json.dumps(page).encode())

    stream = sandbox.world.add_stream(500)
    sandbox.order(faults.status(500))
    sandbox.decide = endless
    with pytest.raises(TriggerOutcomeUnknown):
        domo_magic.run(stream)
    (post,) = [request for request in sandbox.requests if request.method == "POST"]
    # Every request leaves before the deadline; a busy machine may see it a little later.
    assert sandbox.requests[-1].at - post.at < session.timeouts.look + 1.0

"""The panel without a browser: clicks, what they send, what it shows and gives."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import comm
import faults
import ipywidgets
import pytest
from comm.base_comm import BaseComm
from support import displayed, html_of, part, visible

import domo_magic
from domo_magic.errors import AuthenticationError, ConfigurationError, DomoError, NotFound, TargetError
from domo_magic.executions import poller, targets
from domo_magic.executions.session import current_session, open_session, use_session
from domo_magic.model.formatting import ratio_text, set_timezone, width
from domo_magic.widget import actions
from domo_magic.widget.panel import Panel
from domo_magic.widget.state import NAME, PanelState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from domo_magic.executions.session import Session
    from domo_magic.model.timeouts import Timeouts
    from domo_magic.sandbox import Sandbox

PATIENCE = 20.0
Make = Any
Busy = Any


def until(true: Callable[[], object]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        threading.Event().wait(0.01)


@pytest.fixture
def timeouts(timeouts: Timeouts) -> Timeouts:
    """Give a name more than 0.05 s to come, however busy the machine is."""
    return replace(timeouts, aside=5.0)


@pytest.fixture
def make() -> Iterator[Make]:
    """Make panels that are closed in the end."""
    made = []

    def one(*streams: object, state: PanelState | None = None) -> Any:
        made.append(domo_magic.panel(*streams) if state is None else Panel(state))
        return made[-1]

    yield one
    for panel in made:
        panel.close()


@pytest.fixture
def busy() -> Callable[..., list[str]]:
    """Give a function that tells which threads of the panel and the poller this test has still going."""
    before = set(threading.enumerate())  # those of other tests may end late

    def threads(*names: str) -> list[str]:
        now = [thread.name for thread in threading.enumerate() if thread not in before]
        return [name for name in now if name in (names or (NAME, poller.NAME))]

    return threads


def posts(sandbox: Sandbox) -> list[str]:
    """Return the paths of the starts that arrived."""
    return [
        request.path
        for request in list(sandbox.requests)
        if request.method == "POST" and request.path.endswith("/executions")
    ]


def loaded(panel: Any) -> Any:
    """Return the panel when it has fetched its runs."""
    assert panel.join(PATIENCE)
    return panel


def choices(panel: Any) -> list[tuple[int, int]]:
    """Return the runs that can be chosen."""
    return [key for _, key in panel.chooser.options]


def choose(panel: Any, keys: tuple[tuple[int, int], ...]) -> None:
    """Choose runs, as soon as the list has them: ipywidgets sets the options' texts before their values."""

    def chosen() -> bool:
        try:
            panel.chooser.value = keys
        except TypeError:
            return False
        return True

    until(chosen)


def row(panel: Any, table: str, run: str) -> str:
    """Return the row of a run in the table of the unfinished or the ended ones."""
    return next((row for row in html_of(panel, f"{table} runs").split("<tr>") if run in row), "")


def submit(panel: Any) -> None:
    """Press Enter in the field."""
    panel.field._handle_custom_msg({"event": "submit"}, [])


def test_a_panel_is_a_vbox_with_the_promised_parts(session: Session, make: Make) -> None:
    """It is an ipywidgets.VBox with a field, real buttons, empty frames and no error."""
    panel = make(25775)
    assert isinstance(panel, ipywidgets.VBox)
    assert panel.field.value == "25775"
    assert isinstance(panel.run_button, ipywidgets.Button)
    assert isinstance(panel.cancel_button, ipywidgets.Button)
    assert panel.last.shape == (0, 35)
    assert panel.selected.shape == (0, 35)
    assert panel.error is None


def test_run_starts_one_run_and_gives_its_row(session: Session, sandbox: Sandbox, make: Make) -> None:
    """A click sends one POST; after join the row of its response is there, and it is in the same history."""
    panel = make(25775)
    panel.label_field.value = "by hand"
    panel.run_button.click()
    assert panel.join(PATIENCE)
    (row,) = panel.last.itertuples()
    assert (row.streamId, row.executionId, row.currentState, row.label) == (25775, 201, "ACTIVE", "by hand")
    assert posts(sandbox) == ["/api/data/v1/streams/25775/executions"]
    (recorded,) = session.history.runs(session.instance)
    assert recorded.run == "25775/201"
    assert panel.error is None
    assert not panel.run_button.disabled


def test_the_row_is_there_when_everything_else_fails(session: Session, sandbox: Sandbox, make: Make) -> None:
    """With every request but the POST answered by 503, last is still the POST's response."""
    sandbox.decide = lambda request: None if request.method == "POST" else faults.status(503)
    panel = make(25775)
    panel.run_button.click()
    assert panel.join(PATIENCE)
    assert panel.last["executionId"].tolist() == [201]
    assert posts(sandbox) == ["/api/data/v1/streams/25775/executions"]


@pytest.fixture
def gate(session: Session, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Give what lets a start leave: however slow the machine, it is under way until then."""
    opened, start = threading.Event(), session.client.create_execution

    def gated(*args: Any) -> Any:
        opened.wait(PATIENCE)
        return start(*args)

    monkeypatch.setattr(session.client, "create_execution", gated)
    return opened


def test_a_double_click_starts_one_run(
    session: Session, sandbox: Sandbox, make: Make, gate: threading.Event
) -> None:
    """While the response is awaited Run is off, and a second click does nothing, on any thread."""
    panel = make(25775)
    clicks = [threading.Thread(target=panel.run_button.click) for _ in range(8)]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    assert panel.run_button.disabled
    gate.set()
    assert panel.join(PATIENCE)
    assert len(posts(sandbox)) == 1
    assert not panel.run_button.disabled


def test_a_click_returns_at_once(session: Session, make: Make, gate: threading.Event) -> None:
    """The callback is over long before Domo has answered."""
    panel = make(25775)
    panel.run_button.click()
    assert panel.last.empty
    assert panel.run_button.disabled
    assert not panel.join(0)
    gate.set()
    assert panel.join(PATIENCE)


def test_several_streams_have_one_row_each_in_their_order(
    session: Session, sandbox: Sandbox, make: Make
) -> None:
    """Ids with commas or spaces are several starts; a refused one is an error, the others go on."""
    panel = make()
    panel.field.value = "25776, 99999 25775"
    panel.run_button.click()
    assert panel.join(PATIENCE)
    panel.confirm_button.click()
    assert panel.join(PATIENCE)
    assert panel.last["streamId"].tolist() == [25776, 99999, 25775]
    assert panel.last["executionId"].isna().tolist() == [False, True, False]
    assert "99999" in panel.error.summary
    until(lambda: "99999" in html_of(panel, "domo-error"))
    until(lambda: set(panel.runs["streamId"]) == {25775, 25776})


def test_an_error_is_shown_and_recovered_from(session: Session, sandbox: Sandbox, make: Make) -> None:
    """What cannot be understood is an error with what to do; the next click clears it."""
    panel = make()
    panel.field.value = "25775/2"
    panel.run_button.click()
    assert panel.join(PATIENCE)
    assert isinstance(panel.error, TargetError)
    until(lambda: "TargetError" in html_of(panel, "domo-error"))
    assert posts(sandbox) == []
    panel.field.value = "25775"
    panel.run_button.click()
    assert panel.join(PATIENCE)
    assert panel.error is None
    until(lambda: html_of(panel, "domo-error") == "")


def test_a_run_is_followed_to_its_end_and_judged(session: Session, sandbox: Sandbox, make: Make) -> None:
    """The row moves from the live table to the ended one, with its verdict."""
    quick = sandbox.world.add_stream(0.3, name="Quick", past=30)
    panel = loaded(make(quick))
    panel.run_button.click()
    assert panel.join(PATIENCE)
    until(lambda: f"{quick}/31" in html_of(panel, "Ended runs"))
    assert panel.runs.iloc[0]["currentState"] == "SUCCESS"
    until(lambda: f"{quick}/31" not in html_of(panel, "Unfinished runs"))
    until(lambda: re.search("<td>(<em.*>)?(usual|fast|slow)", row(panel, "Ended", f"{quick}/31")))


def test_a_change_during_a_job_is_dealt_with_after_it(session: Session) -> None:
    """What cannot begin, as one of its name is under way, is done once more, and not after an error."""
    state, done = PanelState(), list[int]()

    def job() -> None:
        done.append(len(done))
        assert not state.begin("learn", job, clicked=False)
        if len(done) == 3:
            raise DomoError("down", "")

    assert state.begin("learn", job, clicked=False, again=lambda: len(done) < 9)
    state.wait_for({"learn"}, PATIENCE)
    assert done == [0, 1, 2]
    assert state.error is not None


def test_cancel_aborts_the_run_that_was_started(session: Session, sandbox: Sandbox, make: Make) -> None:
    """Cancel is off without an unfinished run; it aborts the one started last."""
    panel = make(25775)
    assert panel.cancel_button.disabled
    panel.run_button.click()
    assert panel.join(PATIENCE)
    assert not panel.cancel_button.disabled
    panel.cancel_button.click()
    assert panel.join(PATIENCE)
    until(lambda: panel.runs.iloc[0]["currentState"] == "ABORTED")
    assert "25775/201" in [
        request.path[26:35] for request in sandbox.requests if request.method == "PUT"
    ] or [request.path for request in sandbox.requests if request.method == "PUT"] == [
        "/api/data/v1/streams/25775/executions/201/abort"
    ]


def test_cancel_aborts_what_is_chosen_before_what_was_started(
    session: Session, sandbox: Sandbox, make: Make
) -> None:
    """A chosen unfinished run is the one that is meant."""
    first = sandbox.world.start(25775)["executionId"]
    panel = loaded(make(25775))
    panel.run_button.click()
    assert panel.join(PATIENCE)
    until(lambda: len(panel.chooser.options) > 2)
    choose(panel, ((25775, first),))
    panel.cancel_button.click()
    assert panel.join(PATIENCE)
    aborted = [request.path for request in sandbox.requests if request.method == "PUT"]
    assert aborted == [f"/api/data/v1/streams/25775/executions/{first}/abort"]


def test_enter_shows_an_id_and_searches_a_name(session: Session, sandbox: Sandbox, make: Make) -> None:
    """Enter on a name finds streams to choose from; the choice is in the field, and Enter shows its runs."""
    panel = make()
    panel.field.value = "sales"
    submit(panel)
    assert panel.join(PATIENCE)
    assert posts(sandbox) == []
    until(lambda: part(panel, "Found") is not None)
    until(lambda: len(part(panel, "Found").options) == 2)
    part(panel, "Found").value = (25775,)
    assert panel.field.value == "25775"
    submit(panel)
    assert panel.join(PATIENCE)
    assert set(panel.runs["streamId"]) == {25775}
    panel.field.value = "25776 25777"
    submit(panel)
    assert panel.join(PATIENCE)
    assert set(panel.runs["streamId"]) == {25776, 25777}
    assert posts(sandbox) == []


@pytest.mark.parametrize("streams, more", [(50, False), (51, True)])
def test_a_search_says_that_it_found_more(
    session: Session, sandbox: Sandbox, make: Make, streams: int, *, more: bool
) -> None:
    """Of a part of a name that many have, 50 are shown, and that there are others is said."""
    for shop in range(streams):
        sandbox.world.add_stream(name=f"Orders of shop {shop}")
    panel = make()
    panel.field.value = "orders of shop"
    submit(panel)
    assert panel.join(PATIENCE)
    until(lambda: part(panel, "Found") is not None and len(part(panel, "Found").options) == 50)
    assert ("the first 50; a longer part of the name finds fewer" in repr(panel)) is more


def test_several_are_started_when_that_is_confirmed(session: Session, sandbox: Sandbox, make: Make) -> None:
    """Run says how many it means and sends nothing; the second button starts them, once."""
    panel = loaded(make(25775, 25776))
    assert panel.run_button.description == "Run 2 connectors"
    assert panel.confirm_button.layout.display == "none"
    panel.run_button.click()
    assert panel.join(PATIENCE)
    until(lambda: panel.confirm_button.layout.display == "")
    assert panel.confirm_button.description == "Start 2 connectors"
    assert posts(sandbox) == []
    panel.confirm_button.click()
    panel.confirm_button.click()
    assert panel.join(PATIENCE)
    assert panel.last["streamId"].tolist() == [25775, 25776]
    assert len(posts(sandbox)) == 2
    until(lambda: panel.confirm_button.layout.display == "none")


def test_what_is_typed_takes_a_confirmation_back(session: Session, sandbox: Sandbox, make: Make) -> None:
    """A confirmation is for what stood in the field when Run was pressed."""
    panel = loaded(make(25775, 25776))
    panel.run_button.click()
    assert panel.join(PATIENCE)
    panel.field.value = "25777 25778"
    panel.confirm_button.click()
    assert panel.join(PATIENCE)
    assert panel.confirm_button.layout.display == "none"
    assert posts(sandbox) == []


def test_a_double_click_is_one_click(session: Session, sandbox: Sandbox, make: Make) -> None:
    """However fast Domo responds, two clicks within a second start one run."""
    panel = loaded(make(25775))
    panel.run_button.click()
    assert panel.join(PATIENCE)
    panel.run_button.click()
    assert panel.join(PATIENCE)
    assert len(posts(sandbox)) == 1


def test_cancel_never_touches_what_was_not_chosen(session: Session, sandbox: Sandbox, make: Make) -> None:
    """With an ended run chosen, or nothing chosen or started, a run that is going on goes on."""
    sandbox.world.start(25775, run_type="AUTOMATED", started_by=None)
    panel = loaded(make(25775))
    panel.cancel_button.click()
    assert panel.join(PATIENCE)
    until(lambda: "nothing was cancelled" in html_of(panel, "domo-line"))
    until(lambda: (25775, 200) in choices(panel))
    choose(panel, ((25775, 200),))
    panel.cancel_button.click()
    assert panel.join(PATIENCE)
    until(lambda: "already ended" in html_of(panel, "domo-line"))
    assert not [request for request in sandbox.requests if request.method == "PUT"]


def test_choosing_takes_a_confirmation_back(session: Session, sandbox: Sandbox, make: Make) -> None:
    """A confirmation is for what was chosen then; Cancel of other runs is another click."""
    stream = sandbox.world.add_stream(500)
    keys = tuple((stream, sandbox.world.start(stream)["executionId"]) for _ in range(3))
    panel = loaded(make(stream))
    until(lambda: len(panel.chooser.options) == 3)
    choose(panel, keys)
    panel.cancel_button.click()
    assert panel.join(60)
    assert panel.confirm_button.description == "Cancel 3 runs"
    choose(panel, keys[:2])
    panel.confirm_button.click()
    panel.cancel_button.click()
    assert panel.join(60)
    assert panel.confirm_button.description == "Cancel 2 runs"
    assert not [request for request in sandbox.requests if request.method == "PUT"]


def test_several_are_cancelled_while_a_start_is_under_way(
    session: Session, sandbox: Sandbox, make: Make, gate: threading.Event
) -> None:
    """A start that Domo is slow to answer keeps no confirmed cancel back."""
    stream = sandbox.world.add_stream(500)
    keys = tuple((stream, sandbox.world.start(stream)["executionId"]) for _ in range(2))
    panel = loaded(make(stream))
    until(lambda: len(choices(panel)) == 2)
    panel.run_button.click()
    choose(panel, keys)
    panel.cancel_button.click()
    until(lambda: part(panel, "Cancel 2 runs"))
    panel.confirm_button.click()
    until(lambda: len([request for request in sandbox.requests if request.method == "PUT"]) == 2)
    gate.set()
    assert panel.join(PATIENCE)


def test_cancelling_several_names_them_first(session: Session, sandbox: Sandbox, make: Make) -> None:
    """Several chosen runs are named, and aborted when that is confirmed."""
    streams = [sandbox.world.add_stream(500), sandbox.world.add_stream(500)]
    panel = loaded(make(*streams))
    panel.run_button.click()
    assert panel.join(PATIENCE)
    panel.confirm_button.click()
    assert panel.join(PATIENCE)
    panel.cancel_button.click()
    assert panel.join(PATIENCE)
    until(lambda: all(f"{stream}/1" in html_of(panel, "domo-line") for stream in streams))
    assert not [request for request in sandbox.requests if request.method == "PUT"]
    panel.confirm_button.click()
    assert panel.join(PATIENCE)
    assert len([request for request in sandbox.requests if request.method == "PUT"]) == 2


def test_enter_on_runs_compares_them(session: Session, sandbox: Sandbox, make: Make) -> None:
    """Runs in the field are chosen by Enter, also one too old for the list; one that is none is an error."""
    panel = loaded(make(25775))
    panel.field.value = "25775/200 25775/150"
    submit(panel)
    assert panel.join(60)
    assert panel.selected["executionId"].tolist() == [200, 150]
    assert "25775/150" in html_of(panel, "domo-side")
    panel.field.value = "25775/1"
    submit(panel)
    assert panel.join(60)
    assert panel.selected["executionId"].tolist() == [1]
    panel.field.value = "25775/999"
    submit(panel)
    assert panel.join(PATIENCE)
    assert isinstance(panel.error, NotFound)
    until(lambda: "Refresh" in html_of(panel, "domo-error"))
    assert "%domo" not in html_of(panel, "domo-error")
    assert posts(sandbox) == []


def test_the_only_stream_of_a_name_is_put_into_the_field(
    session: Session, sandbox: Sandbox, make: Make
) -> None:
    """A search that finds one stream writes its id, for the next Enter."""
    panel = make()
    panel.field.value = "inventory"
    submit(panel)
    assert panel.join(PATIENCE)
    assert panel.field.value == "25778"
    assert posts(sandbox) == []


def test_the_same_as_code(session: Session, make: Make) -> None:
    """The magics shown can be pasted: the field's streams and label, the last runs, the chosen ones."""
    panel = loaded(make())
    until(lambda: "run = %domo_run STREAM" in html_of(panel, "domo-code"))
    panel.field.value, panel.label_field.value = "25775, 25776", "by hand"
    assert "run = %domo_run 25775 25776 --label &#x27;by hand&#x27;" in html_of(panel, "domo-code")
    panel.label_field.value = "{x}"
    assert "domo_magic.run(&#x27;25775 25776&#x27;, label=&#x27;{x}&#x27;)" in html_of(panel, "domo-code")
    panel.run_button.click()
    assert panel.join(PATIENCE)
    panel.confirm_button.click()
    assert panel.join(PATIENCE)
    until(lambda: "%domo_wait 25775/201 25776/201" in html_of(panel, "domo-code"))
    panel.field.value, panel.label_field.value = "25775/2", ""
    until(lambda: "run = %domo_run 25775 25776\n" in html_of(panel, "domo-code"))


def test_run_on_a_name_sends_nothing_and_says_how_to_search(
    session: Session, sandbox: Sandbox, make: Make
) -> None:
    """Run never guesses which stream a name means."""
    panel = make()
    panel.field.value = "sales"
    panel.run_button.click()
    assert panel.join(PATIENCE)
    assert "Enter" in panel.error.hint
    assert posts(sandbox) == []


def test_a_click_waits_for_what_is_still_being_typed(session: Session, sandbox: Sandbox, make: Make) -> None:
    """A busy kernel gets a click before the rest of the word: the run is of the whole word's stream."""
    panel = make()
    panel.field.set_state({"value": "2"})
    panel.run_button.click()
    panel.field.set_state({"value": "25775"})
    assert panel.join(PATIENCE)
    assert posts(sandbox) == ["/api/data/v1/streams/25775/executions"]


def test_runs_that_are_chosen_stand_side_by_side(session: Session, sandbox: Sandbox, make: Make) -> None:
    """Two chosen runs are two columns, with a picture; selected is their frame; none: nothing."""
    pytest.importorskip("matplotlib")
    panel = loaded(make(25775))
    until(lambda: len(panel.chooser.options) == 50)
    choose(panel, ((25775, 200), (25775, 199)))
    assert panel.join(60)
    assert panel.selected["executionId"].tolist() == [200, 199]
    assert html_of(panel, "domo-side").count("<th scope=col>25775/") == 2
    assert " % of 25775/199" in html_of(panel, "domo-side")
    assert "data:image/png" in html_of(panel, "domo-plot")
    choose(panel, ())
    assert panel.join(PATIENCE)
    assert html_of(panel, "domo-side") == ""


def test_a_chosen_run_that_ends_is_compared_anew(session: Session, sandbox: Sandbox, make: Make) -> None:
    """The side-by-side view shows what became of a run, without another click."""
    stream = sandbox.world.add_stream(1.0, past=6)
    sandbox.world.start(stream)
    panel = loaded(make(stream))
    until(lambda: len(panel.chooser.options) == 7)
    choose(panel, ((stream, 7),))
    until(lambda: "ACTIVE" in html_of(panel, "domo-side"))
    until(lambda: "SUCCESS" in html_of(panel, "domo-side"))
    until(lambda: "usual" in html_of(panel, "domo-side"))


def test_what_is_chosen_stays_so_when_a_run_is_added(session: Session, sandbox: Sandbox, make: Make) -> None:
    """A new run in the list leaves the choice as it is."""
    panel = loaded(make(25775))
    until(lambda: len(panel.chooser.options) == 50)
    choose(panel, ((25775, 200),))
    panel.run_button.click()
    assert panel.join(60)
    until(lambda: choices(panel)[0] == (25775, 201))
    until(lambda: panel.chooser.value == ((25775, 200),))
    assert panel.selected["executionId"].tolist() == [200]


def test_more_shows_the_rest(session: Session, make: Make) -> None:
    """Fifty rows are shown, and all of them after a click on more."""
    panel = loaded(make(25775))
    until(lambda: html_of(panel, "Ended runs").count("scope=row") == 50)
    part(panel, "50 more").click()
    until(lambda: html_of(panel, "Ended runs").count("scope=row") == 100)
    until(lambda: part(panel, "fewer"))


def test_without_a_connection_it_says_how_to_connect(make: Make) -> None:
    """It shows the line that connects and a button for the sandbox; Run is an error with the ways."""
    panel = make(25775)
    until(lambda: "%domo_connect" in html_of(panel, "No Domo is connected"))
    panel.run_button.click()
    assert panel.join(PATIENCE)
    assert isinstance(panel.error, ConfigurationError)
    part(panel, "Sandbox").click()
    assert panel.join(PATIENCE)
    assert panel.error is None
    assert panel.runs["streamId"].unique().tolist() == [25775]
    assert current_session().instance == "sandbox"
    until(lambda: not part(panel, "Sandbox"))


def test_it_stays_with_its_instance(session: Session, sandbox: Sandbox, make: Make) -> None:
    """What is connected later changes nothing for a panel that was made before."""
    panel = make(25775)
    another = open_session(session.login, sandbox=True)
    another.instance = "another"
    use_session(another)
    panel.run_button.click()
    assert panel.join(PATIENCE)
    assert panel.last["instance"].tolist() == ["sandbox"]


def test_an_end_that_changes_once_more_is_drawn(session: Session) -> None:
    """A run that had ended and is seen in another state has its row drawn anew."""
    state = PanelState(targets.parse("25775"))
    actions.load(state)
    run = state.runs()[0]
    state.saw(run.seen(type(run)(run.stream_id, run.execution_id, {**run.fields, "currentState": "ODD"})))
    drawn = state.drawn
    state.saw(run)
    assert state.drawn == drawn + 1
    state.stale = False
    state.saw(run)
    state.saw(run.replace(text="{}"))  # a list has no text of each run
    assert state.drawn == drawn + 1
    assert not state.stale


def test_a_closed_panel_that_is_collected_asks_for_no_lock(session: Session, make: Make) -> None:
    """The collector may come on the very thread that holds the background's lock."""
    panel = loaded(make(25775))
    panel.close()
    with session.poller._lock:  # not one that the same thread may take twice
        panel.__del__()


def test_join_waits_for_the_table_until_the_first_click(
    session: Session, sandbox: Sandbox, make: Make
) -> None:
    """Before a click the runs are there after it; after a click its response alone counts."""
    gate = threading.Event()
    panel = make(25775)
    assert panel.join(PATIENCE)
    assert len(panel.runs) == 100
    sandbox.decide = lambda request: None if request.method == "POST" else gate.wait(PATIENCE) and None
    second = make(25776)
    assert not second.join(0)
    second.run_button.click()
    assert second.join(PATIENCE)
    assert second.last["executionId"].tolist() == [201]
    gate.set()


def test_a_terminal_is_told_what_went_wrong(session: Session, make: Make) -> None:
    """Where nothing but the table is shown, the error stands over it: what happened, then what to do."""
    panel = make(99999)
    assert panel.join(PATIENCE)
    lines = displayed(panel)["text/plain"].splitlines()
    assert lines[0].endswith("no runs loaded")
    assert lines[1].startswith("NotFound: stream 99999 was not found")
    assert any(line.startswith("look for it: %domo_streams") for line in lines)


def test_a_run_in_two_panels_is_asked_about_once(
    session: Session, sandbox: Sandbox, make: Make, busy: Busy
) -> None:
    """Every panel and `--bg` share one follower; a panel that is closed lets the other one go on."""
    stream = sandbox.world.add_stream(1.5)
    first, second = loaded(make(stream)), loaded(make(stream))
    first.run_button.click()
    assert first.join(PATIENCE)
    second.refresh_button.click()
    assert second.join(PATIENCE)
    assert busy(poller.NAME) == [poller.NAME]
    first.close()
    until(lambda: second.runs["currentState"].tolist() == ["SUCCESS"])
    until(lambda: not busy())


def test_closing_leaves_no_thread_and_the_run_goes_on(
    session: Session, sandbox: Sandbox, make: Make, busy: Busy
) -> None:
    """A closed panel's threads end while the run is unfinished, which is not aborted."""
    slow = sandbox.world.add_stream(600.0)
    panel = make(slow)
    panel.run_button.click()
    assert panel.join(PATIENCE)
    panel.close()
    until(lambda: not busy())
    assert not [request for request in sandbox.requests if request.method == "PUT"]
    assert sandbox.world.execution(slow, 1)["currentState"] == "ACTIVE"


def test_bad_targets_are_refused_when_it_is_made(session: Session) -> None:
    """A panel of what is no stream, or of one twice, is not made."""
    for streams in (["nonsense"], [25775, 25775], [[]]):
        with pytest.raises(TargetError):
            domo_magic.panel(*streams)


def test_what_is_saved_has_the_table(session: Session, make: Make) -> None:
    """The bundle has the living panel, the table as HTML, and the table as text."""
    panel = loaded(make(25775))
    bundle = displayed(panel)
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.model_id
    assert "25775/200" in bundle["text/html"]
    assert "25775/200  Sales Orders" in bundle["text/plain"]
    running = make(25776)
    running.run_button.click()
    assert loaded(running)
    until(lambda: "25776/201" in displayed(running)["text/plain"])
    (row,) = [line for line in displayed(running)["text/plain"].splitlines() if line.startswith("25776/201")]
    assert re.search(r"▸ (ACTIVE|QUEUED)", row)
    assert re.search(r"running +\S+ s", row)  # how long it has lasted


def test_no_token_enters_a_widget(session: Session, sandbox: Sandbox, make: Make) -> None:
    """No state of any widget, open or closed, holds the token, after a refusal that repeats it."""
    sandbox.order(faults.response(f'{{"message": "bad token {sandbox.token}"}}'.encode(), code=401))
    panel = make(25775)
    panel.run_button.click()
    assert panel.join(PATIENCE)
    assert panel.error is not None
    until(lambda: "AuthenticationError" in html_of(panel, "domo-error"))
    states = ipywidgets.Widget.get_manager_state(widgets=None)["state"]
    assert len(states) > 20
    assert sandbox.token not in repr(states)


def test_a_hostile_name_is_text_in_every_widget(session: Session, sandbox: Sandbox, make: Make) -> None:
    """Markup in a stream's name stands escaped wherever HTML is shown."""
    name = "<img src=x onerror=alert(1)>"
    stream = sandbox.world.add_stream(0.2, name=name, past=8)
    panel = loaded(make(stream))
    until(lambda: len(panel.chooser.options) == 8)
    choose(panel, ((stream, 8), (stream, 7)))
    assert panel.join(60)
    assert html_of(panel, "domo-side")
    shown = [str(each.get_state()) for each in visible(panel)]
    assert not any("<img src=x" in html for html in [*shown, *displayed(panel).values()])


NEW_COMMS = pytest.mark.skipif(
    ipywidgets.__version__.startswith("7."), reason="ipywidgets 7 makes comms in its own way"
)


class Recording(BaseComm):
    """A comm that keeps what it sends."""

    sent: ClassVar[list[tuple[float, str, str]]] = []

    def publish_msg(self, msg_type: str, data: Any = None, **_: Any) -> None:
        """Keep it."""
        state = (data or {}).get("state", {})
        Recording.sent.append((time.monotonic(), self.comm_id, json.dumps(state, ensure_ascii=False)))


@NEW_COMMS
def test_two_hundred_live_runs_are_few_small_messages(
    session: Session, sandbox: Sandbox, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 200 unfinished runs the table is told at most four times a second, in messages below 20 kB."""
    monkeypatch.setattr(comm, "create_comm", Recording)
    Recording.sent.clear()
    slow = sandbox.world.add_stream(600.0, name="Two hundred runs of one long name")
    for _ in range(200):
        sandbox.world.start(slow)
    panel = loaded(make(slow))
    live = part(panel, "Unfinished runs").comm.comm_id
    began = time.monotonic()
    until(lambda: len([1 for _, widget, _ in Recording.sent if widget == live]) > 9)
    messages = [
        (at, text) for at, widget, text in Recording.sent if widget == live and text.startswith('{"value"')
    ]
    assert max(len(text.encode()) for _, text in messages) <= 20_000
    times = [at for at, _ in messages]
    assert all(fifth - first >= 0.99 for first, fifth in zip(times, times[4:], strict=False))
    ended = [
        text
        for at, widget, text in Recording.sent
        if widget == part(panel, "Ended runs").comm.comm_id and at > began + 1
    ]
    assert len(ended) <= 2, "the other table rests while nothing ends"


@NEW_COMMS
def test_nothing_is_sent_while_nothing_changes(
    session: Session, make: Make, monkeypatch: pytest.MonkeyPatch, busy: Busy
) -> None:
    """A panel without unfinished runs has no thread and sends nothing, however often it is drawn."""
    monkeypatch.setattr(comm, "create_comm", Recording)
    panel = loaded(make(25775))
    until(lambda: len(panel.chooser.options) == 50 and "usual" in panel.chooser.options[0][0])

    def rests() -> bool:
        Recording.sent.clear()
        panel._draw()
        return not busy() and not Recording.sent

    until(rests)  # what the first drawings had learned is drawn, too
    for _ in range(3):
        panel._draw()
    assert Recording.sent == []
    assert busy() == []


@contextmanager
def hours_ago(sandbox: Sandbox, hours: float) -> Iterator[None]:
    """Let what is started begin so long ago."""
    clock = sandbox.world.clock
    sandbox.world.clock = lambda: clock() - 3600 * hours
    yield
    sandbox.world.clock = clock


def test_a_stuck_run_is_shown_and_can_be_cancelled(
    session: Session, sandbox: Sandbox, make: Make, busy: Busy
) -> None:
    """A run of any age says for how long, is not polled, can be chosen, and is polled once it is aborted."""
    stream = sandbox.world.add_stream(1e9)
    with hours_ago(sandbox, 76.0):
        key = stream, sandbox.world.start(stream)["executionId"]
    panel = loaded(make(stream))
    until(lambda: "stuck for 3 d 4 h" in html_of(panel, "Unfinished runs"))
    until(lambda: any("stuck for 3 d 4 h" in text for text, _ in panel.chooser.options))
    assert not busy(poller.NAME)
    choose(panel, (key,))
    assert panel.join(60)
    panel.cancel_button.click()
    assert panel.join(PATIENCE)
    until(lambda: panel.runs["currentState"].tolist() == ["ABORTED"])


def test_an_old_unfinished_run_is_above_the_ended_ones(
    session: Session, sandbox: Sandbox, make: Make
) -> None:
    """Behind however many newer runs, an unfinished one is the first that can be chosen."""
    with hours_ago(sandbox, 1.0):
        for _ in range(60):
            sandbox.world.start(25779)
    panel = loaded(make(25779))
    until(lambda: len(choices(panel)) == 52)
    until(lambda: choices(panel)[:3] == [(25779, 186), (25779, 171), (25779, 260)])


def test_runs_started_elsewhere_appear(session: Session, sandbox: Sandbox, make: Make, busy: Busy) -> None:
    """An open panel looks again by itself, tells as of when it is, and stops when it is closed."""
    quick = sandbox.world.add_stream(0.1, past=3)
    panel = make(state=PanelState(targets.parse(str(quick)), every=0.05))
    until(lambda: "as of" in html_of(panel, "domo-line"))
    sandbox.world.start(quick)
    until(lambda: panel.runs["executionId"].tolist()[:1] == [4])
    assert panel.runs["currentState"].tolist() == ["SUCCESS"] * 4 or panel.join(PATIENCE)
    panel.close()
    until(lambda: not busy(NAME, f"{NAME} look"))


def test_a_panel_that_is_gone_from_the_page_rests(session: Session, sandbox: Sandbox, make: Make) -> None:
    """When its last view is gone, as after its cell ran again, it looks no more, until it is shown again."""
    panel = loaded(make(state=PanelState(targets.parse("25775"), every=0.05)))
    panel.set_state({"_view_count": 1})  # as a front end does
    panel.set_state({"_view_count": 0})

    def rests() -> bool:  # what had begun when it went is over
        before = len(sandbox.requests)
        threading.Event().wait(0.3)
        return len(sandbox.requests) == before

    until(rests)
    before = len(sandbox.requests)
    panel.set_state({"_view_count": 1})
    until(lambda: len(sandbox.requests) > before + 5)


def test_times_are_in_the_zone_of_the_setting(session: Session, make: Make) -> None:
    """Another zone is in the line, the tables and the list after the next look, and in what is saved."""
    panel = loaded(make(25775))
    set_timezone("Asia/Tokyo")
    try:
        panel.refresh_button.click()
        assert panel.join(PATIENCE)
        for words in ("as of", "Ended runs"):
            until(lambda words=words: " JST" in html_of(panel, words))
        assert " JST" in displayed(panel)["text/plain"]
    finally:
        set_timezone(None)


def test_two_looks_are_never_under_way_together(session: Session, sandbox: Sandbox, make: Make) -> None:
    """While Domo is silent neither time nor a click on Refresh sends the same again."""
    panel = loaded(make(state=PanelState(targets.parse("25775"), every=0.05)))
    gate, lists = threading.Event(), []

    def slow(request: Any) -> None:
        lists.append(request.path)
        gate.wait(PATIENCE)

    sandbox.decide = slow
    until(lambda: lists)
    assert panel.refresh_button.disabled
    panel.refresh_button.click()
    threading.Event().wait(0.3)
    assert len(lists) == 1
    gate.set()
    until(lambda: len(lists) > 1)


def test_a_look_that_fails_is_a_quiet_word(session: Session, sandbox: Sandbox, make: Make) -> None:
    """What was not asked for by a click is no red box; the time of the last good look stays."""
    panel = loaded(make(state=PanelState(targets.parse("25775"), every=0.05)))
    until(lambda: "as of" in html_of(panel, "domo-line"))
    sandbox.decide = lambda request: faults.status(403)
    until(lambda: re.search("as of .*, not refreshed: ", html_of(panel, "domo-line")))
    assert panel.error is None
    sandbox.decide = None
    until(lambda: "not refreshed" not in html_of(panel, "domo-line"))


@pytest.mark.parametrize("streams", [(), (25775,), (25775, 25776)])
def test_a_wrong_token_is_told_from_the_start(sandbox: Sandbox, make: Make, streams: tuple[int, ...]) -> None:
    """Where nothing can be loaded that is an error, not a Domo without runs, and stays so with every look."""
    domo_magic.connect(sandbox.url, "wrong-token")
    panel = make(state=PanelState(targets.parse(streams) if streams else (), every=0.05))
    assert panel.join(PATIENCE)
    assert isinstance(panel.error, AuthenticationError)
    until(lambda: "AuthenticationError" in html_of(panel, "domo-error"))
    first, shown = panel.error, html_of(panel, "domo-error")
    assert "401" in shown
    assert "%domo_connect again" in shown
    until(lambda: "no runs loaded" in html_of(panel, "domo-line"))
    until(lambda: "no runs loaded" in displayed(panel)["text/plain"])
    until(lambda: panel.error is not first)
    assert isinstance(panel.error, AuthenticationError)


def test_a_panel_takes_the_token_that_its_instance_is_given_later(sandbox: Sandbox, make: Make) -> None:
    """After %domo_connect with the right token Refresh fetches what the wrong one could not."""
    domo_magic.connect(sandbox.url, "wrong-token")
    panel = make(25775)
    assert panel.join(PATIENCE)
    assert isinstance(panel.error, AuthenticationError)
    domo_magic.connect(sandbox.url, sandbox.token)
    panel.refresh_button.click()
    assert panel.join(PATIENCE)
    assert panel.error is None
    assert len(panel.runs) == 100


def test_an_error_of_loading_is_over_with_the_next_good_look(
    session: Session, sandbox: Sandbox, make: Make
) -> None:
    """What failed at the start and goes well later leaves no red box."""
    sandbox.decide = lambda request: faults.status(403)
    panel = make(state=PanelState(targets.parse("25775"), every=0.05))
    assert panel.join(PATIENCE)
    assert panel.error is not None
    sandbox.decide = None
    until(lambda: len(panel.runs))
    until(lambda: panel.error is None)
    until(lambda: html_of(panel, "domo-error") == "")


def test_a_name_that_is_refused_is_an_error(session: Session, sandbox: Sandbox, make: Make) -> None:
    """A token that may see a stream's runs and not the stream itself has the runs, and the error says why."""
    stream = sandbox.world.add_stream(past=3)
    sandbox.order(faults.status(403), method="GET", path=rf"streams/{stream}\?", times=9)
    panel = loaded(make(stream))
    assert len(panel.runs) == 3
    assert isinstance(panel.error, AuthenticationError)


def test_looks_add_no_watches(session: Session, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is followed is not followed once more with every look."""
    stream = sandbox.world.add_stream(600.0)
    sandbox.world.start(stream)
    watched, watch = [], session.poller.watch
    monkeypatch.setattr(
        session.poller, "watch", lambda runs, *args, **how: watched.append(runs) or watch(runs, *args, **how)
    )
    state = PanelState(targets.parse(str(stream)))
    for _ in range(3):
        actions.look_again(state)
    state.close()
    assert len(watched) == 1


def test_a_silent_domo_is_said(session: Session, sandbox: Sandbox, make: Make) -> None:
    """A run's row tells since when Domo does not respond, until it does."""
    stream = sandbox.world.add_stream(600.0)
    panel = loaded(make(stream))
    panel.run_button.click()
    assert panel.join(PATIENCE)
    sandbox.decide = lambda request: faults.status(503)
    until(lambda: "no response from Domo since" in html_of(panel, "Unfinished runs"))
    sandbox.decide = None
    until(lambda: "no response from Domo since" not in html_of(panel, "Unfinished runs"))


def test_cancelling_is_said_until_it_is_over(session: Session, sandbox: Sandbox, make: Make) -> None:
    """The line names what is being cancelled, and no longer; what was cancelled on purpose is not red."""
    stream = sandbox.world.add_stream(600.0)
    panel = loaded(make(stream))
    panel.run_button.click()
    assert panel.join(PATIENCE)
    seen, aborted = threading.Event(), threading.Event()

    def late(request: Any) -> None:
        if request.method == "PUT":
            aborted.set()
        elif aborted.is_set():
            seen.wait(PATIENCE)

    sandbox.decide = late
    panel.cancel_button.click()
    assert panel.join(PATIENCE)
    until(lambda: f"cancelling {stream}/1" in html_of(panel, "domo-line"))
    seen.set()
    until(lambda: "ABORTED" in html_of(panel, "Ended runs"))
    until(lambda: "cancelling" not in html_of(panel, "domo-line"))
    assert "class=bad" not in html_of(panel, "Ended runs")
    assert "class=stopped" in html_of(panel, "Ended runs")


def test_the_code_of_two_chosen_runs_does_what_is_shown(
    session: Session, sandbox: Sandbox, make: Make
) -> None:
    """The magic compares the newer with the older; its ratio and verdict stand in the table above."""
    panel = loaded(make(25775))
    until(lambda: len(panel.chooser.options) == 50)
    choose(panel, ((25775, 200), (25775, 190)))
    assert panel.join(60)
    until(lambda: "%domo_compare 25775/200 --baseline 25775/190" in html_of(panel, "domo-code"))
    compared = domo_magic.compare("25775/200", baseline="25775/190")
    (row,) = compared[compared["executionId"] == 200].itertuples()
    assert f"{ratio_text(row.rowsInsertedRatio)} 25775/190" in html_of(panel, "domo-side")
    assert f"<th scope=row>Against 25775/190<td><td>{row.verdict}" in html_of(panel, "domo-side")


def test_halves_of_characters_break_nothing(session: Session, sandbox: Sandbox, make: Make) -> None:
    """JSON can hold what UTF-8 cannot: whatever holds it, every widget can be sent."""
    stream = sandbox.world.add_stream(600.0, name="half \ud83d")
    state = PanelState(targets.parse(str(stream)))
    panel = loaded(make(state=state))
    panel.label_field.value = "x"
    panel.run_button.click()
    assert panel.join(PATIENCE)
    run = state.runs()[0]
    state.saw(run.replace(fields={**run.fields, "currentState": "ACT\ud800IVE"}, label="la\ud800bel"))
    state.error = DomoError("what \ud800", "hint \ud800")
    state.say("note \ud800")
    until(lambda: "note" in html_of(panel, "domo-line"))
    states = ipywidgets.Widget.get_manager_state(widgets=list(visible(panel)))["state"]
    json.dumps(states, ensure_ascii=False).encode()
    "".join(map(str, displayed(panel).values())).encode()


def test_a_terminal_has_the_newest_ten(session: Session, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no kernel shows it, ten runs stand in the terminal's width, with state and verdict."""
    monkeypatch.setenv("COLUMNS", "60")
    lines = displayed(loaded(make(25775)))["text/plain"].splitlines()
    rows = [line for line in lines if line.startswith("25775/")]
    assert len(rows) == 10
    assert all("✓ SUCCESS" in row and "✓ usual" in row for row in rows)
    assert "90 more" in lines
    assert max(map(width, lines)) <= 60


def test_the_end_of_a_script_waits_for_what_a_panel_computes() -> None:
    """A thread that the interpreter's end met inside pandas or pyarrow would abort the process."""
    script = """
import threading, time
import domo_magic as domo
from domo_magic.widget import actions
computing, real = threading.Event(), actions.judgements
def slow(session, runs):
    computing.set()
    time.sleep(0.3)
    print("computed", flush=True)
    return real(session, runs)
actions.judgements = slow
domo.connect(sandbox=True)
panel = domo.panel(25775)
assert computing.wait(20)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "computed\n"), done.stderr


def test_what_is_saved_waits_for_verdicts_that_another_job_computes(
    session: Session, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that were followed meanwhile are compared by whichever job comes first; the table has them."""
    real, learning, go = actions.judgements, threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        learning.set()
        assert go.wait(PATIENCE)
        return real(*arguments)

    panel = loaded(make(25775))
    monkeypatch.setattr(actions, "judgements", slow)
    panel._state.judgements.clear()
    panel._learn()
    assert learning.wait(PATIENCE)
    threading.Timer(0.05, go.set).start()
    assert "usual" in panel._repr_mimebundle_()["text/plain"]


def test_what_drawing_raises_keeps_nobody_waiting() -> None:
    """A job is done, and the next of its name can begin, also where showing it failed."""
    state, done = PanelState(), list[int]()

    def broken() -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a drawing broke")

    state.changed = broken
    shown, threading.excepthook = threading.excepthook, lambda _: None
    try:
        for number in (1, 2):
            assert state.begin("run", lambda: done.append(len(done)))
            assert state.join(PATIENCE)
            assert len(done) == number
    finally:
        threading.excepthook = shown

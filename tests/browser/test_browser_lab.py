"""The panel in JupyterLab, in a real browser: what a user does with mouse and keyboard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page

    from domo_magic.sandbox import Sandbox

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.browser

PATIENCE_MS = 30_000
HOSTILE = "<img src=x onerror=\"document.title='hacked'\">"


@pytest.fixture(scope="module")
def lab(open_notebook: Any) -> Any:
    """Give a notebook in JupyterLab."""
    return open_notebook("lab/tree", "in_lab")


@pytest.fixture(autouse=True)
def patience() -> None:
    """Let the page take its time on a small machine."""
    expect.set_options(timeout=PATIENCE_MS)


def shown(page: Page) -> Locator:
    """Return the panel, once its runs are there."""
    panel = page.locator(".domo-panel").first
    expect(panel.locator(".domo-line")).to_contain_text("ended")
    return panel


def press(panel: Locator, name: str) -> None:
    """Press a button."""
    panel.get_by_role("button", name=name, exact=True).click()


def table(panel: Locator, name: str) -> Locator:
    """Return the table of the unfinished or of the ended runs."""
    return panel.get_by_role("table", name=f"{name} runs, newest first")


def started(session: Sandbox, stream: int) -> int:
    """Return how many starts of a stream arrived."""
    path = f"/api/data/v1/streams/{stream}/executions"
    return sum(request.method == "POST" and request.path == path for request in list(session.requests))


def aborted(session: Sandbox, *streams: int) -> list[int]:
    """Return those of the streams of which a run was aborted."""
    paths = [request.path for request in list(session.requests) if request.method == "PUT"]
    return [stream for stream in streams if any(f"/{stream}/" in path for path in paths)]


def choose(panel: Locator, *runs: str) -> None:
    """Choose runs in the list."""
    listed = panel.get_by_label("Compare or cancel")
    expect(listed).to_contain_text(runs[0])
    texts = listed.get_by_role("option").all_inner_texts()
    listed.select_option(index=[texts.index(next(text for text in texts if run in text)) for run in runs])


def check(page: Page) -> None:
    """Have axe find nothing serious in what is ours."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    found = axe.Axe().run(page, context={"include": [[".domo-panel"]]})
    serious = [
        (each["id"], [node["html"][:200] for node in each["nodes"]][:3])
        for each in found.response["violations"]
        if each["impact"] in {"serious", "critical"}
    ]
    assert serious == []


def test_run_by_button(lab: Any, domo_server: Sandbox, keep: Callable[..., None]) -> None:
    """A click starts one run, whose row lives and then stands among the ended ones with its verdict."""
    stream = domo_server.world.add_stream(3.0, name="Web Sessions", past=30)
    lab.run(f"p = %domo_panel {stream}", "p")
    page = lab.page
    panel = shown(page)
    press(panel, "Run")
    live = table(panel, "Unfinished")
    expect(live).to_contain_text(f"{stream}/31")
    expect(live).to_contain_text("ACTIVE")
    expect(live).to_contain_text("usually 3.0 s")
    check(page)
    keep(panel, "light")
    row = table(panel, "Ended").get_by_role("row").filter(has_text=f"{stream}/31")
    expect(row).to_contain_text("SUCCESS")
    expect(row).to_contain_text("usual")
    expect(live).not_to_contain_text(f"{stream}/31")
    assert started(domo_server, stream) == 1


def test_search_choose_and_enter(lab: Any, domo_server: Sandbox) -> None:
    """Enter on part of a name finds streams; on the chosen one it shows its runs, and starts nothing."""
    streams = [domo_server.world.add_stream(1.0, name=f"Quarterly {name}", past=6) for name in "AB"]
    lab.run("p = %domo_panel 25780", "p")
    panel = shown(lab.page)
    field, keyboard = panel.get_by_label("Connector"), lab.page.keyboard
    field.press("ControlOrMeta+a")
    keyboard.type("quarterly", delay=5)
    keyboard.press("Enter")
    found = panel.get_by_label("Found")
    expect(found.get_by_role("option")).to_have_count(2)
    found.press("End")
    expect(field).to_have_value(str(streams[1]))
    field.press("Enter")
    expect(table(panel, "Ended")).to_contain_text(f"{streams[1]}/6")
    assert [started(domo_server, stream) for stream in streams] == [0, 0]


def test_enter_starts_nothing(lab: Any, domo_server: Sandbox) -> None:
    """Enter on the ids of two connectors shows their runs, and starts neither, however often."""
    streams = [domo_server.world.add_stream(600.0, name=f"Entered {name}", past=6) for name in "AB"]
    lab.run("p = %domo_panel 25780", "p")
    panel = shown(lab.page)
    field = panel.get_by_label("Connector")
    field.fill(f"{streams[0]} {streams[1]}")
    field.press("Enter")
    field.press("Enter")
    for stream in streams:
        expect(table(panel, "Ended")).to_contain_text(f"{stream}/6")
    assert [started(domo_server, stream) for stream in streams] == [0, 0]


def test_six_are_confirmed_first(lab: Any, domo_server: Sandbox, keep: Callable[..., None]) -> None:
    """Run of six connectors starts none of them before the second button is pressed, once each then."""
    streams = [domo_server.world.add_stream(600.0, name=f"Region {name}", past=6) for name in "ABCDEF"]
    lab.run(f"p = %domo_panel {' '.join(map(str, streams))}", "p")
    panel = shown(lab.page)
    panel.get_by_role("button", name="Run 6 connectors").dblclick()
    confirm = panel.get_by_role("button", name="Start 6 connectors")
    expect(confirm).to_be_visible()
    assert [started(domo_server, stream) for stream in streams] == [0] * 6
    keep(panel, "several")
    confirm.dblclick()
    for stream in streams:
        expect(table(panel, "Unfinished")).to_contain_text(f"{stream}/7")
    expect(confirm).to_have_count(0)
    assert [started(domo_server, stream) for stream in streams] == [1] * 6


def test_a_double_click_is_one_click(lab: Any, domo_server: Sandbox) -> None:
    """However soon Domo responds, three clicks in 0.2 s start one run; one that is meant starts the next."""
    stream = domo_server.world.add_stream(600.0, name="Clicked twice", past=6)
    lab.run(f"p = %domo_panel {stream}", "p")
    panel = shown(lab.page)
    run = panel.get_by_role("button", name="Run", exact=True)
    run.evaluate(
        "b => Promise.all([0, 20, 200].map(pause => new Promise(done =>"
        " setTimeout(() => done(b.click()), pause))))"
    )
    expect(table(panel, "Unfinished")).to_contain_text(f"{stream}/7")
    expect(run).to_be_enabled()
    panel.get_by_label("Label").fill("the next")
    panel.get_by_label("Label").press("Tab")
    expect(panel).to_contain_text("the next")  # so that all clicks have arrived
    assert started(domo_server, stream) == 1
    run.click()
    expect(table(panel, "Unfinished")).to_contain_text(f"{stream}/8")
    assert started(domo_server, stream) == 2


def test_cancel_spares_what_was_not_chosen(lab: Any, domo_server: Sandbox, keep: Callable[..., None]) -> None:
    """With an ended run chosen nothing is aborted; of three runs the two that are chosen, when confirmed."""
    streams = [domo_server.world.add_stream(600.0, name=f"Nightly {name}", past=3) for name in "ABC"]
    for stream in streams:
        domo_server.world.start(stream, run_type="AUTOMATED", started_by=None)
    lab.run(f"p = %domo_panel {' '.join(map(str, streams))}", "p")
    panel = shown(lab.page)
    choose(panel, f"{streams[0]}/3")
    press(panel, "Cancel")
    expect(panel.get_by_role("status")).to_contain_text("nothing was cancelled")
    assert aborted(domo_server, *streams) == []
    choose(panel, f"{streams[0]}/4", f"{streams[1]}/4")
    expect(panel.get_by_role("table", name="Chosen runs")).to_contain_text(f"{streams[1]}/4")
    press(panel, "Cancel")
    confirm = panel.get_by_role("button", name="Cancel 2 runs")
    expect(confirm).to_be_visible()
    expect(panel.get_by_role("status")).to_contain_text(f"{streams[0]}/4")
    assert aborted(domo_server, *streams) == []
    keep(panel, "cancel")
    confirm.click()
    for stream in streams[:2]:
        row = table(panel, "Ended").get_by_role("row").filter(has_text=f"{stream}/4")
        expect(row).to_contain_text("cancelled")
    expect(table(panel, "Unfinished")).to_contain_text(f"{streams[2]}/4")
    assert aborted(domo_server, *streams) == streams[:2]


def test_keyboard_alone(lab: Any, domo_server: Sandbox) -> None:
    """From the field Tab leads to Run and Cancel, which a Space presses; Enter on runs compares them."""
    stream = domo_server.world.add_stream(600.0, name="Slow", past=6)
    lab.run(f"p = %domo_panel {stream}", "p")
    page = lab.page
    panel = shown(page)
    panel.get_by_label("Connector").focus()
    page.keyboard.press("Tab")
    page.keyboard.type("by keyboard", delay=5)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    row = table(panel, "Unfinished").get_by_role("row").filter(has_text=f"{stream}/7")
    expect(row).to_contain_text("by keyboard")
    expect(panel.get_by_role("button", name="Cancel")).to_be_enabled()
    panel.get_by_role("button", name="Run", exact=True).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(table(panel, "Ended")).to_contain_text("ABORTED")
    panel.get_by_label("Connector").press("ControlOrMeta+a")
    page.keyboard.type(f"{stream}/7 {stream}/6", delay=5)
    page.keyboard.press("Enter")
    expect(panel.get_by_role("table", name="Chosen runs side by side")).to_contain_text("ABORTED")
    assert started(domo_server, stream) == 1


def test_compare_two(lab: Any, keep: Callable[..., None]) -> None:
    """Two chosen runs stand side by side, with the plot, and are the frame `selected`."""
    lab.run("p = %domo_panel 25778", "p", "p.join(); print(len(p.selected), 'chosen')")
    page = lab.page
    panel = shown(page)
    panel.get_by_label("Compare").select_option(index=[0, 3])
    side = panel.get_by_role("table", name="Chosen runs side by side")
    expect(side.get_by_role("columnheader")).to_have_text([re.compile("25778/197"), re.compile("25778/200")])
    expect(panel.get_by_role("img", name="Durations of stream 25778")).to_be_visible()
    keep(panel, "compared")
    check(page)
    page.evaluate(
        """() => {
          window.jupyterapp.shell.currentWidget.content.activeCellIndex = 4;
          window.jupyterapp.commands.execute('notebook:run-cell');
        }"""
    )
    expect(page.get_by_text("2 chosen")).to_be_visible()


def test_an_error_and_the_way_back(lab: Any, domo_server: Sandbox, keep: Callable[..., None]) -> None:
    """What cannot be run is said with what to do; the next good click takes it away."""
    stream = domo_server.world.add_stream(1.0, name="After an error", past=6)
    lab.run(f"p = %domo_panel {stream}", "p")
    page = lab.page
    panel = shown(page)
    field = panel.get_by_label("Connector")
    field.fill(f"{stream}/2")
    press(panel, "Run")
    expect(panel.get_by_role("alert")).to_contain_text("is a run; here a stream is meant")
    keep(panel, "error")
    check(page)
    field.fill(str(stream))
    press(panel, "Run")
    expect(panel.get_by_role("alert")).to_have_count(0)
    expect(table(panel, "Ended")).to_contain_text(f"{stream}/7")
    assert started(domo_server, stream) == 1


def test_a_reload_in_the_middle(lab: Any, domo_server: Sandbox) -> None:
    """After a reload of the page the panel is alive again, and the run is not started again."""
    stream = domo_server.world.add_stream(600.0, name="Long", past=6)
    lab.run(f"p = %domo_panel {stream}", "p")
    page = lab.page
    panel = shown(page)
    press(panel, "Run")
    expect(table(panel, "Unfinished")).to_contain_text(f"{stream}/7")
    lab.save()
    page.reload()
    lab.ready()
    panel = shown(page)
    expect(table(panel, "Unfinished")).to_contain_text(f"{stream}/7")
    press(panel, "Cancel")
    expect(table(panel, "Ended")).to_contain_text("ABORTED")
    assert started(domo_server, stream) == 1


def test_a_busy_kernel(lab: Any, domo_server: Sandbox) -> None:
    """While another cell runs the rows live on, and a click is done once, then or after the cell."""
    stream = domo_server.world.add_stream(2.0, name="Beside a cell", past=6)
    go = lab.path.parent / "go"
    wait = "import pathlib, threading\nwhile not pathlib.Path('go').exists(): threading.Event().wait(0.05)"
    lab.run(f"p = %domo_panel {stream}", "p.run_button.click(); p", f"print('busy')\n{wait}")
    page = lab.page
    expect(page.get_by_text("busy", exact=True)).to_be_visible()
    panel = page.locator(".domo-panel").first
    expect(table(panel, "Ended")).to_contain_text(f"{stream}/7")
    press(panel, "Run")
    go.touch()
    expect(table(panel, "Ended")).to_contain_text(f"{stream}/8")
    assert started(domo_server, stream) == 2


def test_narrow_and_dark(lab: Any, domo_server: Sandbox, keep: Callable[..., None]) -> None:
    """At 400 pixels and in the dark nothing is cut off, and axe finds nothing serious."""
    lab.run("p = %domo_panel 25777", "p", dark=True, width=400)
    page = lab.page
    panel = shown(page)
    press(panel, "Run")
    expect(table(panel, "Unfinished")).to_contain_text("ACTIVE")
    wider = panel.evaluate(
        "p => [p, ...p.querySelectorAll('*')].filter(e => e.clientWidth > 1 &&"
        " e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX != 'visible')"
        ".map(e => e.className)"
    )
    assert wider == []
    check(page)
    keep(panel, "dark-narrow")
    page.set_viewport_size({"width": 1280, "height": 900})
    keep(panel, "dark")


def test_run_and_cancel_stay_together(lab: Any) -> None:
    """However wide the page is, the two buttons stand side by side."""
    lab.run("p = %domo_panel 25775", "p")
    panel = shown(lab.page)
    for width in (1280, 1000, 900, 700, 400):
        lab.page.set_viewport_size({"width": width, "height": 900})
        tops = panel.evaluate(
            "p => [...p.querySelectorAll('button')].filter(b => ['Run', 'Cancel'].includes(b.innerText))"
            ".map(b => b.getBoundingClientRect().top)"
        )
        assert len(tops) == 2
        assert len(set(tops)) == 1


def test_two_views_agree(lab: Any, domo_server: Sandbox) -> None:
    """The same panel in two cells is one panel: a click in one is seen in the other, and starts once."""
    stream = domo_server.world.add_stream(1.0, name="Twice shown", past=6)
    lab.run(f"p = %domo_panel {stream}", "p", "p")
    page = lab.page
    views = page.locator(".domo-panel")
    expect(views).to_have_count(2)
    shown(page)
    press(views.nth(1), "Run")
    for view in range(2):
        expect(table(views.nth(view), "Ended")).to_contain_text(f"{stream}/7")
    assert started(domo_server, stream) == 1


def test_what_is_saved(lab: Any, domo_server: Sandbox) -> None:
    """A saved notebook, widget state and all, has neither token nor markup of a name, and shows the table."""
    stream = domo_server.world.add_stream(1.0, name=HOSTILE, past=6)
    lab.run(f"p = %domo_panel {stream}", "p")
    page = lab.page
    panel = shown(page)
    press(panel, "Run")
    expect(table(panel, "Ended")).to_contain_text(f"{stream}/7")
    panel.get_by_label("Compare").select_option(index=[0, 1])
    expect(panel.get_by_role("table", name="Chosen runs side by side")).to_be_visible()
    page.wait_for_function(
        "run => JSON.stringify(window.jupyterapp.shell.currentWidget.content.model.toJSON()).includes(run)",
        arg=f"{stream}/7",
    )
    saved = lab.save()
    text = lab.path.read_text()
    assert "widget-state+json" in text, "saving of widget state is on"
    assert domo_server.token not in text
    assert "<img src=x" not in text
    assert "&lt;img" in text
    assert page.title() != "hacked"
    kept = [output for cell in saved["cells"] for output in cell["outputs"] if "data" in output]
    assert any(f"{stream}/7" in "".join(output["data"].get("text/html", "")) for output in kept)


def test_reopened_without_its_kernel(lab: Any) -> None:
    """A notebook that is opened again, its kernel gone, shows the last table, and no error in its place."""
    lab.run("p = %domo_panel 25775", "p")
    shown(lab.page)
    lab.page.wait_for_function(
        "() => JSON.stringify(window.jupyterapp.shell.currentWidget.content.model.toJSON())"
        ".includes('25775/200')"
    )
    lab.save()
    lab.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    lab.page.reload()
    lab.ready()
    expect(lab.page.locator(".jp-OutputArea").get_by_text("25775/200").first).to_be_visible()
    expect(lab.page.get_by_text("Error displaying widget")).to_have_count(0)
    expect(lab.page.get_by_text("Panel(")).to_have_count(0)

"""The panel in Notebook 7, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from domo_magic.sandbox import Sandbox

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def notebook(open_notebook: Any) -> Any:
    """Give a notebook in Notebook 7."""
    expect.set_options(timeout=30_000)
    return open_notebook("notebooks", "in_notebook")


def panel_of(notebook: Any, stream: int) -> Locator:
    """Show a stream's panel and return it, once its runs are there."""
    notebook.run(f"p = %domo_panel {stream}", "p")
    panel = notebook.page.locator(".domo-panel")
    expect(panel.locator(".domo-line")).to_contain_text("ended")
    return panel


def ended(panel: Locator) -> Locator:
    """Return the table of the ended runs."""
    return panel.get_by_role("table", name="Ended runs, newest first")


def test_run(notebook: Any, domo_server: Sandbox) -> None:
    """Enter on another connector shows its runs; a double click on Run starts one, followed to its end."""
    first, stream = (domo_server.world.add_stream(1.0, name="In Notebook 7", past=6) for _ in range(2))
    panel = panel_of(notebook, first)
    panel.get_by_label("Connector").fill(str(stream))
    panel.get_by_label("Connector").press("Enter")
    expect(ended(panel)).to_contain_text(f"{stream}/6")
    assert domo_server.world.count(stream) == 6
    panel.get_by_role("button", name="Run", exact=True).dblclick()
    expect(ended(panel)).to_contain_text(f"{stream}/7")
    assert (domo_server.world.count(first), domo_server.world.count(stream)) == (6, 7)


def test_a_reload_in_the_middle(notebook: Any, domo_server: Sandbox) -> None:
    """After a reload of the page the panel is alive again."""
    stream = domo_server.world.add_stream(600.0, name="Long", past=6)
    panel = panel_of(notebook, stream)
    panel.get_by_role("button", name="Run", exact=True).click()
    expect(panel.get_by_role("table", name="Unfinished")).to_contain_text(f"{stream}/7")
    notebook.save()
    notebook.page.reload()
    notebook.ready()
    expect(panel.get_by_role("table", name="Unfinished")).to_contain_text(f"{stream}/7")
    panel.get_by_role("button", name="Cancel", exact=True).click()
    expect(ended(panel)).to_contain_text("ABORTED")

"""The panel in a real kernel, clicked as a browser does: idle and busy, on the main thread and on another."""

from __future__ import annotations

import json
import queue
import tempfile
import time
from typing import TYPE_CHECKING, Any

import pytest
from support import LONG, environment, kernel_manager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from jupyter_client.manager import KernelManager

    from domo_magic.sandbox import Sandbox

_BUSY = "import pathlib, threading\nwhile not pathlib.Path({!r}).exists(): threading.Event().wait(0.02)"


class FrontEnd:
    """A browser's side of a kernel: cells, clicks, and what the widgets are told.

    Parameters
    ----------
    manager : KernelManager
        Of a running kernel.
    """

    def __init__(self, manager: KernelManager) -> None:
        self._client: Any = manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=LONG)
        self.told: list[str] = []
        self.printed = ""
        self.displayed: list[str] = []
        self.idle: set[str] = set()
        self._subshell: str | None = None

    def close(self) -> None:
        """Hang up."""
        self._client.stop_channels()

    def until(self, true: Callable[[], object]) -> None:
        """Read what the kernel says until something is true."""
        end = time.monotonic() + LONG
        while not true():
            assert time.monotonic() < end, f"not in time; printed: {self.printed}"
            try:
                message = self._client.get_iopub_msg(timeout=0.02)
            except queue.Empty:
                continue
            content = message["content"]
            if message["msg_type"] == "comm_msg":
                self.told.append(json.dumps(content["data"].get("state", {})))
            elif message["msg_type"] == "stream":
                self.printed += content["text"]
            elif message["msg_type"] == "display_data":
                self.displayed.append(content["data"].get("text/html", ""))
            elif message["msg_type"] == "error":
                pytest.fail(f"{content['ename']}: {content['evalue']}")
            elif content.get("execution_state") == "idle":
                self.idle.add(message["parent_header"]["msg_id"])

    def begin(self, code: str) -> str:
        """Let a cell run."""
        return str(self._client.execute(code))

    def run(self, code: str) -> str:
        """Run a cell to its end; give what it printed."""
        self.printed = ""
        sent = self.begin(code)
        self.until(lambda: sent in self.idle)
        # As front ends do: ipykernel 7 may miss what arrives while it replies (its issue 1554).
        while self._client.get_shell_msg(timeout=LONG)["parent_header"].get("msg_id") != sent:
            pass
        return self.printed.strip()

    def use_subshell(self) -> None:
        """Send clicks to a thread of their own, as JupyterLab does where the kernel can."""
        session, channel = self._client.session, self._client.control_channel
        asked = session.msg("kernel_info_request")
        channel.send(asked)
        features = self._client.get_control_msg(timeout=LONG)["content"].get("supported_features", [])
        if "kernel subshells" not in features:
            pytest.skip("this kernel has no subshells")
        channel.send(session.msg("create_subshell_request"))
        self._subshell = self._client.get_control_msg(timeout=LONG)["content"]["subshell_id"]

    def click(self, model: str) -> float:
        """Click a button; give when."""
        content = {"comm_id": model, "data": {"method": "custom", "content": {"event": "click"}}}
        message = self._client.session.msg("comm_msg", content)
        if self._subshell is not None:
            message["header"]["subshell_id"] = self._subshell
        before = time.monotonic()
        self._client.shell_channel.send(message)
        return before

    def says(self, *words: str) -> Callable[[], bool]:
        """Return what tells whether a widget has been told all of these words in one message."""
        return lambda: any(all(word in state for word in words) for state in self.told)


@pytest.fixture(params=["main", "subshell"])
def front(sandbox: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FrontEnd]:
    """Give a kernel whose clicks go to its main thread, or to another."""
    with tempfile.TemporaryDirectory() as folder:
        manager = kernel_manager(folder)
        manager.start_kernel(env=environment(tmp_path, sandbox), cwd=str(tmp_path))
        one = FrontEnd(manager)
        if request.param == "subshell":
            one.use_subshell()
        yield one
        one.close()
        manager.shutdown_kernel(now=True)


def starts(sandbox: Sandbox) -> list[float]:
    """Return when starts arrived, on the monotonic clock."""
    return [request.at for request in list(sandbox.requests) if request.path.endswith("/executions")]


def show(front: FrontEnd, stream: int) -> str:
    """Show a stream's panel; give its Run button."""
    front.run(f"%load_ext domo_magic\np = %domo_panel {stream}")
    button = front.run("display(p); print(p.run_button.model_id)").split()[-1]
    front.until(front.says(f"{stream}/6", "class=good"))
    return button


def test_a_click_on_an_idle_kernel(front: FrontEnd, sandbox: Sandbox) -> None:
    """A click starts one run soon, the row lives and ends, and `last` is there for the next cell."""
    stream = sandbox.world.add_stream(1.0, past=6)
    before = front.click(show(front, stream))
    front.until(front.says(f"{stream}/7", "ACTIVE"))
    front.until(front.says(f"{stream}/7", "SUCCESS"))
    (arrived,) = starts(sandbox)
    assert arrived - before < 1.0
    assert front.run("p.join(); print(p.last['executionId'].tolist(), p.error)") == "[7] None"


def test_rows_live_while_a_cell_runs(front: FrontEnd, sandbox: Sandbox, tmp_path: Path) -> None:
    """What was started before a long cell is followed to its end during it."""
    stream = sandbox.world.add_stream(1.0, past=6)
    button = show(front, stream)
    front.click(button)
    front.until(front.says(f"{stream}/7", "ACTIVE"))
    go = tmp_path / "go"
    cell = front.begin(_BUSY.format(str(go)))
    front.until(front.says(f"{stream}/7", "SUCCESS"))
    assert cell not in front.idle
    go.touch()
    front.until(lambda: cell in front.idle)


def test_clicks_while_a_cell_runs(front: FrontEnd, sandbox: Sandbox, tmp_path: Path) -> None:
    """A click during a long cell is done once, during the cell or after it, and harms neither."""
    stream = sandbox.world.add_stream(1.0, past=6)
    button = show(front, stream)
    go = tmp_path / "go"
    cell = front.begin(f"print('busy')\n{_BUSY.format(str(go))}")
    front.until(lambda: "busy" in front.printed)
    front.click(button)
    go.touch()
    front.until(lambda: cell in front.idle)
    front.until(front.says(f"{stream}/7", "SUCCESS"))
    assert len(starts(sandbox)) == 1


def test_first_table_is_complete(front: FrontEnd) -> None:
    """What is displayed first has the runs, so that a notebook executed without a front end keeps them."""
    front.run("%load_ext domo_magic\ndisplay(get_ipython().run_line_magic('domo_panel', '25775'))")
    first = next(html for html in front.displayed if "domo-snapshot" in html)
    assert "0 unfinished, 100 ended" in first
    assert "loading" not in first

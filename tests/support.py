"""Helpers of several tests: a clock, a pool, and a real kernel."""

from __future__ import annotations

import os
import queue
import re
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.formatters import DisplayFormatter
from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event
    from typing import Self

    from domo_magic.errors import DomoError
    from domo_magic.model.execution import Execution
    from domo_magic.sandbox import Sandbox

NOW = 1_734_458_216.0
LONG = 60.0
"""Seconds after which a test that hangs fails."""
_PLACES = ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")


class JumpClock:
    """A clock that stands still but for its waits, which are over at once and written down."""

    def __init__(self) -> None:
        self.now = NOW
        self.waits: list[float] = []

    def time(self) -> float:
        """Return epoch seconds."""
        return self.now

    monotonic = time

    def wait(self, event: Event, seconds: float) -> bool:
        """Let `seconds` pass, unless `event` is set."""
        if seconds > 0 and not event.is_set():
            self.waits.append(seconds)
            self.now += seconds
        return event.is_set()


class Inline:
    """A pool that does each job at once, so that a still clock knows when it was done."""

    def submit(self, job: Callable[[], None]) -> None:
        """Do the job."""
        job()


class Looks:
    """A listener of the poller that keeps what it is told."""

    def __init__(self) -> None:
        self.runs: list[Execution] = []
        self.problems: dict[tuple[int, int | None], DomoError] = {}
        self.delays: list[tuple[DomoError, float]] = []
        self.said: list[str] = []
        self.ended = threading.Event()

    def seen(self, run: Execution) -> None:
        """Keep a run as it was seen."""
        self.runs.append(run)

    def lost(self, run: Execution, error: DomoError) -> None:
        """Keep why a run was given up."""
        self.problems[run.stream_id, run.execution_id] = error

    def delayed(self, run: Execution, error: DomoError, since: float) -> None:
        """Keep why nothing is known, and since when."""
        self.delays.append((error, since))

    def say(self, kind: str, text: str) -> None:
        """Keep a line."""
        self.said.append(text)

    def tick(self) -> None:
        """Take no note of time."""

    def over(self) -> None:
        """Let those who wait go on."""
        self.ended.set()


def most_at_once(sandbox: Sandbox, least: int) -> Callable[[], int]:
    """Return what tells how many lists of runs were requested at the same time at most.

    The first wait for one another until there are `least`, then each gives others a moment to come.
    """
    lock, under_way, most, enough = threading.Lock(), 0, 0, threading.Event()
    real = sandbox.world.executions_json

    def counting(*args: int) -> bytes:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            if most >= least:
                enough.set()
        enough.wait(LONG)
        threading.Event().wait(0.02)
        with lock:
            under_way -= 1
        return real(*args)

    sandbox.world.executions_json = counting  # type: ignore[method-assign]
    return lambda: most


def visible(widget: Any) -> Iterator[Any]:
    """Give a widget and those in it, from the top of the page on, but for what is hidden."""
    if widget.layout.display != "none":
        yield widget
        for child in getattr(widget, "children", ()):
            yield from visible(child)


def part(widget: Any, words: str) -> Any:
    """Return the visible widget that is called so, or whose HTML has these words; None without one."""
    return next(
        (
            each
            for each in visible(widget)
            if words == getattr(each, "description", "") or words in str(getattr(each, "value", ""))
        ),
        None,
    )


def html_of(widget: Any, words: str) -> str:
    """Return the visible HTML that has these words; nothing without one."""
    found = part(widget, words)
    return "" if found is None else str(found.value)


def displayed(thing: object) -> dict[str, str]:
    """Return what IPython displays, by its kind."""
    formats: dict[str, str] = DisplayFormatter().format(thing)[0]  # type: ignore[no-untyped-call]
    return formats


def environment(home: Path, sandbox: Sandbox) -> dict[str, str]:
    """Return an environment with nothing of the user's, whose Domo is the sandbox."""
    kept = {
        name: text for name, text in os.environ.items() if not name.startswith(("DOMO", "JUPYTER", "IPY"))
    }
    return {
        **kept,
        **{name: str(home / name.lower()) for name in _PLACES},
        "DOMO_MAGIC_HOME": str(home / "domo"),
        "DOMO_INSTANCE": sandbox.url,
        "DOMO_DEVELOPER_TOKEN": sandbox.token,
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


@dataclass
class Outcome:
    """What came out of a cell."""

    printed: str = ""
    result: str = ""
    shown: list[str] = field(default_factory=list)
    error: tuple[str, str] | None = None
    #: Seconds from the interrupt to the kernel being idle again.
    answered: float = 0.0


def kernel_manager(folder: str) -> KernelManager:
    """Return what starts a kernel whose sockets are files in a folder of its own; its path has to be short.

    Ports are chosen before a kernel binds them: two that start at the same time may get one. So may two in
    one folder with sockets of files, whose names come from that of the connection's file.
    """
    transport = "tcp" if os.name == "nt" else "ipc"
    connection = str(Path(folder, "kernel.json"))
    return KernelManager(kernel_name="python3", transport=transport, connection_file=connection)


class Kernel:
    """A kernel with the extension loaded."""

    def __init__(self, env: dict[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._manager = kernel_manager(self._folder.name)
        self._manager.start_kernel(env=env)
        self._client: Any = self._manager.blocking_client()
        self._client.start_channels()

    def __enter__(self) -> Self:
        self._client.wait_for_ready(timeout=LONG)
        assert self.run("%load_ext domo_magic").error is None
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._folder.cleanup()

    def run(
        self,
        code: str,
        interrupt_when: Callable[[Outcome], bool] | None = None,
        *,
        notebook: bool = True,
    ) -> Outcome:
        """Run a cell to its end, interrupting it once when it has come as far as wanted."""
        return self.end(self.begin(code, notebook=notebook), interrupt_when)

    def begin(self, code: str, *, notebook: bool = True) -> str:
        """Let a cell run as a notebook does, or else as a console does; return what `end` takes."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": True,
            "stop_on_error": True,
        }
        metadata = {"cellId": "7"} if notebook else {}
        message = self._client.session.msg("execute_request", content, metadata=metadata)
        self._client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def end(self, sent: str, interrupt_when: Callable[[Outcome], bool] | None = None) -> Outcome:
        """Read what comes out of a cell, to its end."""
        outcome, interrupted = Outcome(), 0.0
        deadline = time.monotonic() + LONG
        while time.monotonic() < deadline:
            if interrupt_when is not None and not interrupted and interrupt_when(outcome):
                self._manager.interrupt_kernel()
                interrupted = time.monotonic()
            try:
                message = self._client.get_iopub_msg(timeout=0.05)
            except queue.Empty:
                continue
            if message["parent_header"].get("msg_id") != sent:
                continue
            if _idle(message):
                outcome.answered = time.monotonic() - interrupted
                return outcome
            _take(message["msg_type"], message["content"], outcome)
        raise AssertionError(f"the cell did not end: {outcome}")


def _idle(message: dict[str, Any]) -> bool:
    return message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"


def _take(kind: str, content: dict[str, Any], outcome: Outcome) -> None:
    if kind == "stream":
        outcome.printed += content["text"]
    elif kind in {"display_data", "update_display_data"}:
        outcome.shown.append(content["data"].get("text/plain", ""))
    elif kind == "execute_result":
        outcome.result = content["data"]["text/plain"]
    elif kind == "error":
        outcome.error = content["ename"], re.sub(r"\x1b\[[\d;]*m", "", content["evalue"])


def posts(sandbox: Sandbox) -> int:
    """Count the starts that arrived."""
    return sum(request.method == "POST" for request in sandbox.requests)

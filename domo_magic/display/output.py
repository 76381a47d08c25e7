"""Where lines go: a notebook's output that changes in place, a terminal, or plain text."""

from __future__ import annotations

import html
import logging
import sys
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol

from domo_magic.model.formatting import fitted, width

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger("domo_magic")

#: One line with its mark: ``("running", "25775/2 ACTIVE · ...")``.
Line = tuple[str, str]

#: The sign and the colour of each mark; each colour has a contrast of at least 3 on white and on near black.
MARKS = {
    "running": ("▸", "#3b82c4"),
    "good": ("✓", "#2e8b57"),
    "bad": ("✗", "#d0503c"),
    "unusual": ("!", "#b8860b"),
    "stopped": ("■", "#7a7a7a"),
    "unknown": ("?", "#b8860b"),
}


_Shown = ParamSpec("_Shown")


def _careful(show: Callable[_Shown, None]) -> Callable[_Shown, None]:
    """Show what can be shown: a stream that is closed or missing takes no run with it."""

    @wraps(show)
    def careful(*args: _Shown.args, **options: _Shown.kwargs) -> None:
        try:
            show(*args, **options)
        except Exception:
            logger.debug("a line could not be shown", exc_info=True)

    return careful


def _print(text: str) -> None:
    try:
        print(text, flush=True)  # noqa: T201
    except UnicodeEncodeError:
        encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        print(text.encode(encoding, "replace").decode(encoding), flush=True)  # noqa: T201


class Screen(Protocol):
    """Somewhere to show lines.

    Attributes
    ----------
    moves : bool
        Whether what it shows can change in place.
    """

    moves: bool

    def say(self, line: Line) -> None:
        """Show a line that stays."""

    def show(self, lines: Sequence[Line], *, last: bool = False) -> None:
        """Show what moves, in place of what it showed before; the `last` stays."""


class Log:
    """A plain script: nothing is printed, what stays is logged."""

    moves = False

    def say(self, line: Line) -> None:
        """Log it."""
        logger.info("%s", line[1])

    def show(self, lines: Sequence[Line], *, last: bool = False) -> None:
        """Say the last."""
        for line in lines if last else ():
            self.say(line)


class Plain(Log):
    """No screen: only what stays is printed."""

    @_careful
    def say(self, line: Line) -> None:
        """Print it."""
        _print(line[1])


class Terminal(Plain):
    r"""A terminal: one line that moves with ``\r``."""

    moves = True

    def __init__(self) -> None:
        self._width = 0

    @_careful
    def say(self, line: Line) -> None:
        """Print it, above what moves."""
        self._clear()
        super().say(line)

    @_careful
    def show(self, lines: Sequence[Line], *, last: bool = False) -> None:
        """Move the last of the lines; print them where they stay."""
        if last:
            self._clear()
            super().show(lines, last=True)
            return
        import shutil

        # The total, and of its runs the most interesting one.
        text = " · ".join(text for _, text in dict.fromkeys((lines[-1], lines[0])))
        text = fitted(text, shutil.get_terminal_size().columns - 1)
        # first, so that what an interrupt leaves half written is cleared
        before, self._width = self._width, width(text)
        sys.stderr.write("\r" + text + " " * (before - self._width))
        sys.stderr.flush()

    def _clear(self) -> None:
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
            self._width = 0


class Quiet(Plain):
    """A terminal in which a user types meanwhile: only what stays is printed, on a line of its own."""

    @_careful
    def say(self, line: Line) -> None:
        """Print it at the beginning of the line, whatever stands there."""
        _print(f"\r\x1b[K{line[1]}")


class Notebook(Plain):
    """A kernel: one output that changes in place, and stays as plain text in the saved notebook."""

    moves = True

    def __init__(self) -> None:
        self._handle: Any = None

    @_careful
    def show(self, lines: Sequence[Line], *, last: bool = False) -> None:  # noqa: ARG002
        """Put the lines into the output."""
        from IPython.display import display

        bundle = {"text/plain": "\n".join(text for _, text in lines), "text/html": _html(lines)}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


def _html(lines: Sequence[Line]) -> str:
    rows = "".join(
        f'<div><span style="color:{MARKS[mark][1]};display:inline-block;width:1.4em">{MARKS[mark][0]}</span>'
        f"{html.escape(text)}</div>"
        for mark, text in lines
    )
    font = "font-family:var(--jp-code-font-family,monospace);font-size:var(--jp-code-font-size,13px)"
    return f'<div style="{font};line-height:1.5;font-variant-numeric:tabular-nums">{rows}</div>'


def screen() -> Screen:
    """Return the screen that fits where the code runs."""
    shell = _shell()
    if shell is None:
        return Log()
    if in_kernel():
        return Notebook() if _updates(shell) else Plain()
    return Terminal() if all(map(_is_terminal, (sys.stderr, sys.stdout))) else Plain()


def _updates(shell: Any) -> bool:
    """Return True if the front end changes an output that was displayed; else its first state would stay.

    No message says so. JupyterLab, Notebook and VS Code name the cell; nbclient (nbconvert, papermill, Voila)
    has nobody who could type; Colab does change outputs. Qtconsole, Spyder and jupyter console do none of
    it, and an ``ipywidgets.Output`` that captures the cell, as ``interact`` has one, passes over changes.
    """
    parent = getattr(shell, "parent_header", None) or {}
    return _of_notebook(parent) and not _captured(parent)


def _of_notebook(parent: dict[str, Any]) -> bool:
    cell = "cellId" in parent.get("metadata", {}) or not parent.get("content", {}).get("allow_stdin", False)
    return cell or "google.colab" in sys.modules


def _captured(parent: dict[str, Any]) -> bool:
    """Return True if an ``ipywidgets.Output`` takes what the cell shows."""
    widgets = sys.modules.get("ipywidgets.widgets.widget")
    outputs = sys.modules.get("ipywidgets.widgets.widget_output")
    message = parent.get("header", {}).get("msg_id")
    if widgets is None or outputs is None or message is None:
        return False
    known = vars(widgets).get("_instances")  # the public name, which ipywidgets 7 has alone, is deprecated
    instances = list((widgets.Widget.widgets if known is None else known).values())
    return any(isinstance(each, outputs.Output) and each.msg_id == message for each in instances)


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # None, something in its place, or closed
        return False


def background_screen() -> Screen:
    """Return the screen for lines that come while other code runs."""
    fitting = screen()
    return Quiet() if isinstance(fitting, Terminal) else fitting


def _shell() -> Any:
    ipython = sys.modules.get("IPython")  # where it was never imported, nobody is in it
    return None if ipython is None else ipython.get_ipython()


def in_kernel() -> bool:
    """Whether what is displayed goes to a front end of its own, not to a terminal."""
    return getattr(_shell(), "kernel", None) is not None


def in_console() -> bool:
    """Whether a cell was typed into a console of a kernel, which shows text and nothing that lives."""
    return in_kernel() and not _of_notebook(getattr(_shell(), "parent_header", None) or {})

"""What of the panel stays in a saved notebook: its table as plain HTML, kept up to date."""

from __future__ import annotations

from typing import Any, Protocol


class Shown(Protocol):
    """What can be displayed and kept."""

    def living(self) -> dict[str, Any]:
        """Return what shows it while the kernel lives."""

    def snapshot(self) -> dict[str, str]:
        """Return what stays."""


class Saved:
    """The panel's table in the notebook's file.

    It is an output of its own, which the living panel hides: replacing the panel's output would draw
    the panel anew, and take away what a user is typing.

    Parameters
    ----------
    panel : Shown
        Whose table it is.
    """

    def __init__(self, panel: Shown) -> None:
        self._panel = panel
        self._handle: Any = None
        self._kept: object = None

    def show(self) -> None:
        """Display the panel and its table."""
        from IPython.display import display

        bundle = self._panel.living()
        display(bundle, raw=True)  # type: ignore[no-untyped-call]
        self._handle = display(self._panel.snapshot(), raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def keep(self, revision: object) -> None:
        """Replace the table in the file by the present one, where something has changed."""
        if self._handle is not None and revision != self._kept:
            self._kept = revision
            self._handle.update(self._panel.snapshot(), raw=True)

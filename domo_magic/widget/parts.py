"""The widgets of the panel: core ipywidgets, placed narrow and wide, in the notebook's own colours."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import ipywidgets

CSS = Path(__file__).with_name("panel.css").read_text(encoding="utf-8")
NOT_CONNECTED = (
    "<p>No Domo is connected yet. Connect in a cell, then press Run:</p>"
    "<pre class=domo-code tabindex=0>%domo_connect mycompany</pre>"
    "<p>or try everything without an account:</p>"
)

# A text is sent when its field is left, before a click on a button; but after the Enter that ends it, and
# late where the kernel was busy: the browser keeps a second text back until the first has been taken, but
# not a click. So a click waits until no text has come for so long.
_TYPING_S = 0.4
_FULL = "100%"
_WIDE = {"width": "auto", "margin": "0 2px", "max_width": _FULL}
_ROW = {"display": "flex", "flex_flow": "row wrap", "width": _FULL, "overflow": "visible"}
_BUTTON = {"width": "auto", "min_width": "84px", "margin": "2px"}


class Field(ipywidgets.Text):  # type: ignore[misc]
    """A text field that is sent whole, and knows when that was."""

    typed_at = float("-inf")

    def __init__(self, **traits: Any) -> None:
        # Letter by letter, the last ones of a word would come long after a click.
        super().__init__(continuous_update=False, **traits)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take what the browser sends."""
        self.expect()
        super().set_state(sync_data)

    def expect(self) -> None:
        """Take note that a text is on its way."""
        self.typed_at = time.monotonic()

    def settle(self) -> None:
        """Wait until no text has come for a while; never on the kernel's own thread."""
        while (pause := self.typed_at + _TYPING_S - time.monotonic()) > 0:
            threading.Event().wait(pause)


class Parts:
    """The widgets of one panel.

    Parameters
    ----------
    streams : str
        What the field begins with.
    """

    def __init__(self, streams: str) -> None:
        self.field = Field(
            value=streams,
            description="Connector",
            placeholder="25775, an address, or a name + Enter",
            layout={"flex": "3 1 300px", "width": "auto", "max_width": _FULL, "margin": "2px"},
            style={"description_width": "76px"},
        )
        self.label = Field(
            description="Label",
            placeholder="optional",
            layout={"flex": "1 1 180px", "width": "auto", "max_width": _FULL, "margin": "2px"},
            style={"description_width": "76px"},
        )
        self.run = ipywidgets.Button(description="Run", button_style="primary", layout=_BUTTON)
        self.cancel = ipywidgets.Button(description="Cancel", disabled=True, layout=_BUTTON)
        # Below the others, which stay where they are: a second click must not hit what has come there.
        self.confirm = ipywidgets.Button(button_style="warning", layout={**_BUTTON, "display": "none"})
        self.refresh = ipywidgets.Button(description="Refresh", layout=_BUTTON)
        self.sandbox = ipywidgets.Button(description="Sandbox", layout=_BUTTON)
        self.more = ipywidgets.Button(
            description="more",
            layout={**_BUTTON, "display": "none", "margin": "6px 2px", "align_self": "flex-start"},
        )
        self.found = ipywidgets.SelectMultiple(
            description="Found",
            rows=6,
            layout={"width": "auto", "flex": "1 1 auto", "max_width": "640px", "margin": "2px"},
            style={"description_width": "76px"},
        )
        self.chooser = ipywidgets.SelectMultiple(
            description="Compare or cancel (Ctrl or Shift: several)",
            rows=18,
            layout={"flex": "1 1 260px", "min_width": "0", "max_width": "460px", "margin": "0 2px"},
        )
        self.chooser.add_class("domo-choose")
        self.line, self.problem, self.side, self.picture, self.code = (
            ipywidgets.HTML(layout=_WIDE) for _ in range(5)
        )
        # The place to which a user scrolled stays, whatever is drawn in it.
        self.live, self.ended = (
            ipywidgets.HTML(layout={**_WIDE, "max_height": "420px", "overflow": "auto"}, tabbable=True)
            for _ in range(2)
        )
        self.line.layout.flex = "1 1 260px"
        self.live.add_class("domo-scroll")
        self.ended.add_class("domo-scroll")
        self._place()

    def _place(self) -> None:
        self.found_box = ipywidgets.Box([self.found], layout={"display": "none"})
        self.setup = ipywidgets.VBox(
            [ipywidgets.HTML(NOT_CONNECTED), self.sandbox],
            layout={"display": "none", "align_items": "flex-start"},
        )
        tables = ipywidgets.VBox(
            [self.live, self.ended, self.more],
            layout={"flex": "1 1 700px", "max_width": _FULL, "min_width": "0"},
        )
        # One box, so that both go to the next line where there is no room for them.
        buttons = ipywidgets.Box(
            [self.run, self.cancel, self.refresh],
            layout={"flex": "0 1 auto", "flex_flow": "row wrap", "overflow": "visible"},
        )
        self.middle = ipywidgets.Box([tables, self.chooser], layout={**_ROW, "align_items": "flex-start"})
        self.children = [
            ipywidgets.HTML(f"<style>{CSS}</style>", layout={"display": "none"}),
            ipywidgets.Box([self.field, self.label, buttons], layout={**_ROW, "align_items": "center"}),
            self.found_box,
            ipywidgets.Box([self.confirm, self.line], layout={**_ROW, "align_items": "center"}),
            self.problem,
            self.setup,
            self.middle,
            self.side,
            self.picture,
            self.code,
        ]


def everything_in(box: Any) -> list[Any]:
    """Return a box's widgets, and those in them."""
    return [inner for part in getattr(box, "children", ()) for inner in (*everything_in(part), part)]

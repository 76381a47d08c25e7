"""How the panel looks: core ipywidgets, placed narrow and wide, in the notebook's own colours."""

from __future__ import annotations

import threading
import time
from typing import Any

import ipywidgets

#: The usual is the middle of a bar, marked by a thin line.
CSS = """
.domo-panel{
--ink:var(--jp-ui-font-color1,currentColor);--quiet:var(--jp-ui-font-color2,currentColor);
--line:var(--jp-border-color2,#8884);--good:var(--jp-success-color1,#2e8b57);
--bad:var(--jp-error-color1,#c8442f);--odd:var(--jp-warn-color1,#d97706);
--busy:var(--jp-brand-color1,#3b82c4);
--track:var(--jp-layout-color3,#8883);padding:2px;color:var(--ink);
font:var(--jp-ui-font-size1,13px)/1.45 var(--jp-ui-font-family,system-ui,sans-serif)}
.domo-panel .widget-html-content{font-size:inherit;line-height:inherit}
.domo-snapshot{display:none}
.domo-panel .unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);
white-space:nowrap}
.domo-runs,.domo-side{container-type:inline-size}
.domo-panel table{width:100%;border-collapse:collapse;table-layout:fixed;font-variant-numeric:tabular-nums;
color:var(--ink);margin:0}
.domo-panel th,.domo-panel td{padding:5px 10px 5px 0;text-align:left;vertical-align:top;font-weight:normal;
border-bottom:1px solid var(--line);overflow-wrap:break-word;line-height:1.4}
.domo-panel thead th{color:var(--quiet);border-bottom-width:2px;padding-top:2px}
.domo-panel tbody th{font-weight:600}
.domo-panel small{display:block;font-size:.92em;font-weight:normal;color:var(--quiet)}
.domo-panel em{font-style:normal;font-weight:600;color:color-mix(in srgb,var(--bad) 75%,var(--ink))}
.domo-panel em.unusual{color:color-mix(in srgb,var(--odd) 60%,var(--ink))}
.domo-runs tr>:nth-child(5){text-align:right;padding-right:16px;white-space:nowrap}
.domo-panel i{font-style:normal;font-weight:700;display:inline-block;width:1.2em}
.domo-panel .stopped{color:var(--quiet)}
.domo-panel .good{color:color-mix(in srgb,var(--good) 75%,var(--ink))}
.domo-panel .bad{color:color-mix(in srgb,var(--bad) 80%,var(--ink))}
.domo-panel .running{color:color-mix(in srgb,var(--busy) 80%,var(--ink))}
.domo-runs b{display:block;height:4px;max-width:88px;margin-top:5px;border-radius:2px;background:
linear-gradient(var(--ink),var(--ink)) 50%/2px 100% no-repeat,
linear-gradient(var(--busy),var(--busy)) 0/var(--w) 100% no-repeat,var(--track)}
.domo-runs tbody tr:last-child>*{border-bottom:0}
.domo-scroll{scrollbar-gutter:stable;scrollbar-width:thin;overflow-x:hidden}
.domo-scroll:has(tbody tr){border-bottom:1px solid var(--line)}
.domo-panel .domo-choose{flex-direction:column;height:auto;align-items:stretch}
.domo-panel .domo-choose .widget-label{width:auto;text-align:left;height:auto;line-height:1.4;
padding:2px 0 5px;margin:0}
.domo-panel .domo-choose select{font:inherit;line-height:1.5;flex:0 0 auto;color:var(--ink);
width:100%;min-width:0;max-height:480px}
.domo-panel .domo-choose option{white-space:normal;overflow-wrap:break-word;padding:1px 2px}
.domo-panel p{margin:4px 0}
.domo-line{color:var(--quiet);min-height:1.45em;margin:4px 0;display:flex;flex-wrap:wrap;gap:2px 18px;
justify-content:space-between}
.domo-line b{display:inline-block;width:2px;height:.8em;background:var(--ink);margin-right:.5em}
.domo-error{border-left:3px solid var(--bad);padding:4px 0 4px 10px;margin:4px 0;white-space:pre-wrap;
overflow-wrap:anywhere}
.domo-panel .domo-code{margin:4px 0;padding:8px 10px;background:var(--jp-cell-editor-background,#8881);
border:1px solid var(--line);overflow-wrap:anywhere;word-break:normal;white-space:pre-wrap;user-select:all;
color:var(--ink);
font:var(--jp-code-font-size,13px)/1.45 var(--jp-code-font-family,monospace)}
.domo-panel h4{margin:8px 0 4px;font-size:1em;font-weight:600;color:var(--ink)}
.domo-plot{container-type:inline-size}
.domo-panel img{width:100%;height:auto;display:block}
.domo-panel .slim{display:none}
.domo-panel .widget-label{color:var(--ink)}
.domo-side col:first-child{width:12.5em}
.domo-side tbody th{font-weight:normal;color:var(--quiet)}
@container (max-width:620px){
.domo-panel .wide{display:none}
.domo-panel .slim{display:block}
.domo-side col:first-child{width:8.5em}
.domo-runs thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.domo-runs table,.domo-runs tbody{display:block}
.domo-runs tbody tr{display:grid;grid-template-columns:1fr 1fr;gap:2px 12px;padding:7px 0;
border-bottom:1px solid var(--line)}
.domo-runs tbody tr>*{border:0;padding:0;text-align:left!important}
.domo-runs tr>:nth-child(1),.domo-runs tr>:nth-child(6){grid-column:1/-1}
.domo-runs tr>:nth-child(7):empty{display:none}
.domo-runs td:nth-child(5)::after{content:" rows"}
.domo-runs th br{display:none}
.domo-runs th small{display:inline;margin-left:.6em}
}
"""

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

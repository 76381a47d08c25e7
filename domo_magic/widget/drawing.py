"""Drawing the panel's state into its widgets: only what has changed becomes a message."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from domo_magic.model.formatting import moment_of
from domo_magic.widget import actions, tables
from domo_magic.widget.comparing import picture, side_by_side
from domo_magic.widget.state import key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domo_magic.model.execution import Execution
    from domo_magic.widget.parts import Parts
    from domo_magic.widget.state import Key, PanelState
    from domo_magic.widget.view import View


class Face:
    """Draws one state into one panel's widgets.

    Parameters
    ----------
    state : PanelState
        What is drawn.
    view : View
        As rows and lines.
    parts : Parts
        Where to.
    """

    def __init__(self, state: PanelState, view: View, parts: Parts) -> None:
        self._state = state
        self._view = view
        self._parts = parts
        self._ended: object = None
        self._compared: object = []
        self._offered: list[tuple[str, Key]] = []
        self._lock = threading.RLock()
        self._ours = False
        self.more = False

    @property
    def now(self) -> float:
        """Epoch seconds."""
        session = self._state.session
        return 0.0 if session is None else session.clock.time()

    def draw_controls(self) -> None:
        """Say what can be pressed."""
        state, parts = self._state, self._parts
        going = any(not run.finished for run in state.runs())
        parts.run.disabled = state.doing("run")
        several = actions.count(parts.field.value)
        parts.run.description = f"Run {several} connectors" if several > 1 else "Run"
        confirmation = state.confirmation
        parts.confirm.description = "" if confirmation is None else confirmation.says
        parts.confirm.layout.display = "none" if confirmation is None else ""
        parts.refresh.disabled = state.doing("load") or state.session is None
        parts.cancel.disabled = state.doing("cancel") or not going
        parts.sandbox.disabled = state.doing("load")
        parts.setup.layout.display = "none" if state.session is not None else "flex"
        parts.middle.layout.display = "none" if state.session is None else "flex"

    def draw(self) -> None:
        """Draw everything."""
        parts, runs = self._parts, self._state.runs()
        parts.line.value, parts.problem.value = self._view.line(), self._view.error()
        going = [run for run in runs if not run.finished]
        live, shown = tables.live_html(self._view.rows(going[: tables.FIRST]), self.now)
        # The ended ones first: a row that moves down is there twice for a moment, never missing.
        self._draw_ended([*going[shown:], *(run for run in runs if run.finished)], shown)
        parts.live.value = live
        self.draw_controls()
        self._offer_runs(runs)
        self._offer_streams()
        self.draw_code()

    def _draw_ended(self, rest: Sequence[Execution], shown: int) -> None:
        """Draw the other runs, which change only when a run ends or is judged."""
        today = moment_of(round(self.now * 1e6))  # whose times have no day
        revision = (self._state.drawn, self.more, shown, today.date(), today.tzname())
        if revision == self._ended:
            return
        self._ended = revision
        first = max(0, tables.FIRST - shown)
        rows = self._view.rows(rest if self.more else rest[:first])
        self._parts.ended.value = tables.ended_html(rows, self.now)
        hidden = len(rest) - first
        self._parts.more.layout.display = "none" if hidden <= 0 else ""
        self._parts.more.description = "fewer" if self.more else f"{hidden:,} more"

    def _offer_runs(self, runs: Sequence[Execution]) -> None:
        """Offer the runs for choosing, unfinished ones first; what is chosen stays so."""
        known = [run for run in runs if run.execution_id is not None]
        going, ended = ([run for run in known if run.finished is over] for over in (False, True))
        several = len({run.stream_id for run in known}) > 1
        options = [
            (self._view.choice(run, named=several), key_of(run))
            for run in [*going[: tables.FIRST], *ended[: tables.FIRST]]
        ]
        if options == self._offered:
            return
        with self._lock:
            self._offered = options
            chooser = self._parts.chooser
            with chooser.hold_sync():
                self._ours = True  # new options take every choice back for a moment
                chooser.options = options
                chooser.rows = max(6, min(18, len(options)))
                self._show_chosen()

    def _show_chosen(self) -> None:
        self._ours = True
        offered = {key for _, key in self._offered}
        self._parts.chooser.value = tuple(key for key in self._state.selected if key in offered)
        self._ours = False

    def _offer_streams(self) -> None:
        found = self._state.found
        options = tuple((tables.plain(words, 100), stream) for stream, words in found or ())
        if options != self._parts.found.options:
            self._parts.found.options = options
        self._parts.found_box.layout.display = "flex" if found else "none"

    def draw_code(self, _change: object = None) -> None:
        """Draw the magics that do the same."""
        self._parts.code.value = self._view.code(self._parts.field.value, self._parts.label.value)

    def point_at(self, keys: Sequence[Key]) -> None:
        """Choose these runs, as if they had been chosen in the list."""
        with self._lock:
            self._state.selected = list(keys)
            self._show_chosen()

    def choose(self, change: dict[str, Any]) -> bool:
        """Take the runs that are chosen; return whether they are others than before."""
        with self._lock:
            keys = list(change["new"])
            if self._ours or keys == self._state.selected:
                return False
            self._state.selected = keys
            return True

    @property
    def behind(self) -> bool:
        """Whether other runs are chosen than were compared last, or one of them has ended or been judged."""
        return self._compared != self._choice()

    def _choice(self) -> object:
        state = self._state
        return [
            (key_of(run), run.finished, state.judgements.get(key_of(run)))
            for run in state.named(state.selected)
        ]

    def compare(self) -> None:
        """Compare what is chosen."""
        self._compared = self._choice()
        session, state = self._state.connected(), self._state
        chosen = state.compared()
        self._parts.side.value = side_by_side(state, session, chosen, len(state.selected))
        self._parts.picture.value = picture(session, chosen, state.runs())
        self.draw_code()

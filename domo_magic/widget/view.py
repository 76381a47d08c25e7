"""Drawing the panel's state: as rows, lines and code, and into its widgets; only what changed is sent."""

from __future__ import annotations

import html
import re
import shlex
import threading
from shutil import get_terminal_size
from textwrap import fill
from typing import TYPE_CHECKING, Any

from domo_magic.display.output import MARKS, in_console, in_kernel
from domo_magic.errors import TargetError
from domo_magic.executions import targets
from domo_magic.executions.outcome import compared_with_past
from domo_magic.executions.poller import durations, elapsed_of
from domo_magic.executions.schedule import usual
from domo_magic.executions.session import SANDBOX
from domo_magic.model.formatting import cut, duration_text, local_time, moment_of, spelled
from domo_magic.model.frame import frame
from domo_magic.model.shown import ROWS, as_html, as_text
from domo_magic.widget import actions, tables
from domo_magic.widget.tables import Row, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Execution, Key
    from domo_magic.widget.parts import Parts
    from domo_magic.widget.state import PanelState

# Runs that a terminal shows.
_IN_TERMINAL = 10
# Between two facts; a list's spaces do not break, so that a long line would break anywhere.
_MAY_BREAK = " · \u200b"
# What can be clicked in place of the magics that messages name.
_CLICKS = (
    (
        r"(it fetches|to look again: )?%domo_runs( [\w./-]+)?( shows (its|the stream's) runs)?",
        "Refresh shows its runs",
    ),
    (
        r"(look for it: )?%domo_streams( PART_OF_ITS_NAME)?( finds it by name)?",
        "type a part of its name and press Enter",
    ),
    (r"(to wait (again|for it): )?%domo_wait [\d/ ]+", "its row shows how it goes"),
    (r"%domo_cancel [\d/ ]+( --all)?", "choose it in the list and press Cancel"),
    (r"%domo_compare [\d/ ]+", "choose it in the list"),
    (r"%domo_run [\d ]+", "press Run"),
    (r"%domo_connect again", "%domo_connect again and press Refresh"),
)


class View:
    """Draws one state: as rows, lines and code, and into one panel's widgets.

    Parameters
    ----------
    state : PanelState
        What is drawn.
    parts : Parts
        Where to.
    """

    def __init__(self, state: PanelState, parts: Parts) -> None:
        self._state = state
        self._parts = parts
        self._ended: object = None
        self._compared: object = []
        self._offered: list[tuple[str, Key]] = []
        self._lock = threading.RLock()
        self._ours = False
        self.more = False

    def rows(self, runs: Sequence[Execution]) -> list[Row]:
        """Return the rows of runs."""
        session = self._state.session
        if session is None:
            return []
        streams = {run.stream_id for run in runs}
        usually = {stream_id: usual(durations(session, stream_id)) for stream_id in streams}
        return [self._row(session, run, usually[run.stream_id]) for run in runs]

    def _row(self, session: Session, run: Execution, usually: float | None) -> Row:
        verdict, says = self._verdict(session, run)
        return Row(
            run=run.run,
            name=run.name or session.name(run.stream_id) or "",
            state=run.state or "unknown",
            mark=self._mark(run),
            started_us=run.started_us,
            lasted=run.duration if run.finished else elapsed_of(session, run),
            usual=usually,
            rows=run.rows,
            verdict=verdict,
            says=says,
            label=run.label or "",
        )

    def _verdict(self, session: Session, run: Execution) -> tuple[str, str]:
        """Return what is to be said of a run, and the sentence about it."""
        if run.execution_id is None:
            return "", "which run it is, is not known"
        judged = self._state.judgements.get(run.key)
        if run.finished:
            known = judged is not None and not judged.verdict.startswith(("running", "stuck"))
            return (judged.verdict, judged.says) if judged is not None and known else ("", "")
        if (since := self._state.silent.get(run.key)) is not None:
            at = local_time(round(since * 1e6), session.clock.time())
            return "running", f"no response from Domo since {at}"
        if (lasted := self._state.stuck_for(session, run)) is not None:
            return f"stuck for {duration_text(lasted)}", ""
        if judged is not None and judged.verdict != "running":
            return judged.verdict, judged.says
        return "running", ""

    def _mark(self, run: Execution) -> str:
        if run.execution_id is None:
            return "unknown"
        return "stopped" if run.mark == "bad" and self._state.on_purpose(run) else run.mark

    def _choice(self, row: Row, *, named: bool) -> str:
        """Return a run as the list to choose from has it: its ids, when and how, with its name or without."""
        started = "" if row.started_us is None else local_time(row.started_us, self.now)
        state = f"{MARKS[row.mark][0]} {plain(row.state, 16)}"
        name = plain(row.name, 40) if named else ""
        facts = (row.run, started.rpartition(" ")[0], state, row.verdict, name)
        return _MAY_BREAK.join(filter(None, facts))

    def where(self) -> str:
        """Return the quiet line: which instance, and how many runs."""
        session = self._state.session
        if session is None:
            return "not connected"
        runs = self._state.runs()
        going = sum(not run.finished for run in runs)
        place = (
            f"sandbox at {session.login.address.host}" if session.instance == SANDBOX else session.instance
        )
        if runs:
            counts = f"{going:,} unfinished, {len(runs) - going:,} ended"
        elif self._state.doing("load") and self._state.trouble is None:
            counts = "loading"
        else:
            counts = "no runs loaded" if self._state.as_of is None else "no runs yet"
        return f"{place} · {counts}"

    def age(self) -> str:
        """Return as of when it is, and why nothing newer is there."""
        state = self._state
        if state.session is None:
            return ""
        at = None if state.as_of is None else local_time(round(state.as_of * 1e6), state.session.clock.time())
        said = [] if at is None else [f"as of {at}"]
        if state.trouble is not None and state.trouble is not state.error:
            said.append(f"not refreshed: {state.trouble.summary}")
        return ", ".join(said)

    def said(self) -> list[str]:
        """Return what stands over the table where nothing else of the panel is shown."""
        said = [" · ".join(filter(None, ("Domo panel", self.where(), self.age())))]
        if (error := self._state.error) is not None:
            said += [f"{type(error).__name__}: {error.summary}", error.hint]
        return [plain(text, 300) for text in said if text]

    def snapshot(self) -> dict[str, str]:
        """Return the newest runs as HTML and as text, for where nothing of the panel lives."""
        terminal = in_console() or not in_kernel()
        most = _IN_TERMINAL if terminal else ROWS
        runs, said = self._state.runs(), self.said()
        table = self._table(runs[:most])
        more = f"{len(runs) - most:,} more" if len(runs) > most else ""
        room = get_terminal_size().columns
        *above, ways = (fill(text, room) for text in (*said, self._ways() if terminal else ""))
        text = as_text(table, "comparison", more).translate(tables.BRACKETS).rstrip()
        return {
            "text/plain": "\n".join(filter(None, [*above, text, ways])),
            "text/html": f"<div class=domo-snapshot><p>{html.escape(' · '.join(said))}</p>"
            f"{as_html(table, 'comparison', more)}</div>",
        }

    def _table(self, runs: Sequence[Execution]) -> pd.DataFrame:
        """Return runs as a frame with the columns that `shown` displays of comparisons."""
        import pandas as pd

        rows = self.rows(runs)
        return frame(runs).assign(
            name=[row.name for row in rows],
            duration=pd.to_timedelta([row.lasted for row in rows], unit="s"),
            verdict=[row.verdict for row in rows],
            error=[row.says for row in rows],
        )

    def _ways(self) -> str:
        """Say what to type where there are no buttons."""
        if self._state.session is None:
            return "to connect: %domo_connect mycompany, or %domo_connect --sandbox to try it"
        return "the buttons need a notebook; here: %domo_run STREAM, %domo_wait, %domo_compare"

    def line(self) -> str:
        """Return the quiet line and what there is to say as HTML."""
        facts = " · ".join(filter(None, (self.where(), plain(self.age(), 300))))
        note = cut(clickable(self._note()), 300)
        said = html.escape(f" · {note}" if note else "")  # read out, which the time is not every minute
        key = "<span><b></b> in a bar: the usual duration</span>" if self._state.session else ""
        return (
            f"<div class=domo-line><div>{html.escape(facts)}<span role=status>{said}</span></div>{key}</div>"
        )

    def _note(self) -> str:
        state = self._state
        if (confirmation := state.confirmation) is not None:
            return confirmation.why
        cancelling = ", ".join(run.run for run in state.cancelling())
        return "; ".join(filter(None, (state.note, cancelling and f"cancelling {cancelling}")))

    def error(self) -> str:
        """Return the last error in full, and what to click, as HTML."""
        error = self._state.error
        if error is None:
            return ""
        what, hint = (html.escape(spelled(text[:4000])) for text in (error.summary, clickable(error.hint)))
        return (
            f"<div class=domo-error role=alert><em>{type(error).__name__}</em> {what}"
            f"{f'<br>{hint}' if hint else ''}</div>"
        )

    def code(self, text: str, label: str) -> str:
        """Return the magics that do the same as HTML."""
        return f"<pre class=domo-code tabindex=0>{html.escape(magics(self._state, text, label))}</pre>"

    # Into the widgets

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
        parts.line.value, parts.problem.value = self.line(), self.error()
        going = [run for run in runs if not run.finished]
        live, shown = tables.live_html(self.rows(going[: tables.FIRST]), self.now)
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
        rows = self.rows(rest if self.more else rest[:first])
        self._parts.ended.value = tables.ended_html(rows, self.now)
        hidden = len(rest) - first
        self._parts.more.layout.display = "none" if hidden <= 0 else ""
        self._parts.more.description = "fewer" if self.more else f"{hidden:,} more"

    def _offer_runs(self, runs: Sequence[Execution]) -> None:
        """Offer the runs for choosing, unfinished ones first; what is chosen stays so."""
        known = [run for run in runs if run.execution_id is not None]
        going, ended = ([run for run in known if run.finished is over] for over in (False, True))
        several = len({run.stream_id for run in known}) > 1
        offered = [*going[: tables.FIRST], *ended[: tables.FIRST]]
        options = [
            (self._choice(row, named=several), run.key)
            for row, run in zip(self.rows(offered), offered, strict=False)
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
        self._parts.code.value = self.code(self._parts.field.value, self._parts.label.value)

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
        return self._compared != self._chosen()

    def _chosen(self) -> object:
        state = self._state
        return [(run.key, run.finished, state.judgements.get(run.key)) for run in state.named(state.selected)]

    def compare(self) -> None:
        """Compare what is chosen."""
        self._compared = self._chosen()
        session, state = self._state.connected(), self._state
        chosen = state.compared()
        runs = list(reversed(chosen))
        first = runs[0] if len(runs) > 1 and len({run.stream_id for run in runs}) == 1 else None
        facts, against = _facts(state, runs, first), None if first is None else first.run
        self._parts.side.value = tables.side_by_side(
            self.rows(runs), facts, against, len(state.selected), self.now
        )
        self._parts.picture.value = tables.picture(session, chosen, state.runs())
        self.draw_code()


def clickable(text: str) -> str:
    """Return a message with what can be clicked in place of the magics that it names.

    Examples
    --------
    >>> clickable("to cancel it: %domo_cancel 25775/2")
    'to cancel it: choose it in the list and press Cancel'
    """
    for magic, click in _CLICKS:
        text = re.sub(magic, click, text)
    return text


def _facts(state: PanelState, runs: Sequence[Execution], first: Execution | None) -> list[dict[str, Any]]:
    """Return the row of each run in the comparison with the first, or with what is usual."""
    if not runs:
        return []
    session = state.connected()
    table = (
        compared_with_past(session, state.runs())
        if first is None
        else compared_with_past(session, runs, (first.stream_id, first.execution_id or 0))
    )
    rows: dict[Key, dict[str, Any]] = {
        (int(row.streamId), int(row.executionId)): row._asdict() for row in table.itertuples()
    }
    return [rows[run.key] for run in runs]


def magics(state: PanelState, text: str, label: str) -> str:
    """Return the magics that do what the panel does, as code to copy."""
    try:
        streams = " ".join(target.text for target in targets.parse(cut(text, 500)))
    except TargetError:  # a name, a run, or not yet written to its end
        streams = " ".join(str(run.stream_id) for run in state.last)
    called = cut(label, 100)
    lines = [f"run = %domo_run {streams or 'STREAM'}{f' --label {shlex.quote(called)}' if called else ''}"]
    if any(sign in called for sign in "{}$"):  # IPython would take these for variables
        lines = [f"run = domo_magic.run({streams!r}, label={called!r})"]
    if names := " ".join(run.run for run in state.last if run.execution_id is not None):
        lines.append(f"%domo_wait {names}")
    if runs := state.compared():
        *others, first = (run.run for run in runs)
        one_stream = others and len({run.stream_id for run in runs}) == 1
        chosen = f"{' '.join(others)} --baseline {first}" if one_stream else " ".join([*others, first])
        lines.append(f"%domo_compare {chosen}")
    elif streams:
        lines.append(f"%domo_compare {streams}")
    return "\n".join(lines)

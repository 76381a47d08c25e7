"""What of the panel's state is drawn: rows of the tables, lines of text, code to copy. No widgets."""

from __future__ import annotations

import html
import re
import shlex
from dataclasses import dataclass
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from domo_magic.display.progress import mark
from domo_magic.errors import TargetError
from domo_magic.executions import targets
from domo_magic.executions.poller import durations, elapsed_of
from domo_magic.executions.schedule import usual
from domo_magic.executions.session import SANDBOX
from domo_magic.model.formatting import cut, duration_text, local_time, spelled
from domo_magic.widget.state import key_of
from domo_magic.widget.tables import MARKS, Row, plain, text_table, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Execution
    from domo_magic.widget.state import PanelState

# Runs that a terminal shows.
_IN_TERMINAL = 10
# Past durations come while a run goes on.
_USUAL_FOR_S = 2.0
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
)


@dataclass(slots=True)
class _Usual:
    seconds: float | None
    until: float


class View:
    """Draws one state.

    Parameters
    ----------
    state : PanelState
        What is drawn.
    """

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self._usual: dict[int, _Usual] = {}

    def rows(self, runs: Sequence[Execution]) -> list[Row]:
        """Return the rows of runs."""
        session = self._state.session
        return [] if session is None else [self._row(session, run) for run in runs]

    def _row(self, session: Session, run: Execution) -> Row:
        usually = self._usually(session, run.stream_id)
        verdict, says = self._verdict(session, run, usually)
        return Row(
            run=run.run,
            name=run.name or self._state.names.get(run.stream_id, ""),
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

    def _verdict(self, session: Session, run: Execution, usually: float | None) -> tuple[str, str]:
        """Return what is to be said of a run, and the sentence about it."""
        if run.execution_id is None:
            return "", "which run it is, is not known"
        judged = self._state.judgements.get(key_of(run))
        if run.finished:
            known = judged is not None and not judged.verdict.startswith(("running", "stuck"))
            return (judged.verdict, judged.says) if judged is not None and known else ("", "")
        if (since := self._state.silent.get(key_of(run))) is not None:
            at = local_time(round(since * 1e6), session.clock.time())
            return "running", f"no response from Domo since {at}"
        if (lasted := self._state.stuck_for(run)) is not None:
            return f"stuck for {duration_text(lasted)}", ""
        if judged is not None and judged.verdict != "running":
            return judged.verdict, judged.says
        return "running", "" if usually is None else f"usually {duration_text(usually)}"

    def _mark(self, run: Execution) -> str:
        if run.execution_id is None:
            return "unknown"
        return "stopped" if mark(run) == "bad" and self._state.on_purpose(run) else mark(run)

    def choice(self, run: Execution, *, named: bool) -> str:
        """Return a run as the list to choose from has it: its ids, when and how, with its name or without."""
        session, row = self._state.connected(), self._row(self._state.connected(), run)
        started = "" if row.started_us is None else local_time(row.started_us, session.clock.time())
        state = f"{MARKS[row.mark]} {plain(row.state, 16)}"
        name = plain(row.name, 40) if named else ""
        facts = (row.run, started.rpartition(" ")[0], state, row.verdict, name)
        return _MAY_BREAK.join(filter(None, facts))

    def _usually(self, session: Session, stream_id: int) -> float | None:
        now = session.clock.monotonic()
        known = self._usual.get(stream_id)
        if known is None or known.until <= now:
            seconds = usual(durations(session, stream_id))
            known = self._usual[stream_id] = _Usual(seconds, now + _USUAL_FOR_S)
        return known.seconds

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
        counts = f"{going:,} unfinished, {len(runs) - going:,} ended" if runs else "no runs yet"
        return f"{place} · {'loading' if not runs and self._state.doing('load') else counts}"

    def age(self) -> str:
        """Return as of when it is, and why nothing newer is there."""
        state = self._state
        if state.session is None:
            return ""
        at = None if state.as_of is None else local_time(round(state.as_of * 1e6), state.session.clock.time())
        said = ("" if at is None else f"as of {at}", state.trouble and f"not refreshed: {state.trouble}")
        return ", ".join(filter(None, said))

    def said(self) -> list[str]:
        """Return what stands over the table where nothing else of the panel is shown."""
        said = [" · ".join(filter(None, ("Domo panel", self.where(), self.age())))]
        if (error := self._state.error) is not None:
            said += [f"{type(error).__name__}: {error.summary}", error.hint]
        return [plain(text, 300) for text in said if text]

    def text(self, now: float) -> str:
        """Return everything as plain text."""
        rows = self.rows(self._state.runs())
        return "\n".join([" · ".join(self.said()), *text_table(rows, now)])

    def in_terminal(self, now: float) -> str:
        """Return the newest runs in the terminal's width, and what to type where there are no buttons."""
        room = get_terminal_size().columns
        table = text_table(self.rows(self._state.runs()), now, most=_IN_TERMINAL, room=room)
        connected = self._state.session is not None
        ways = (
            "the buttons need a notebook; here: %domo_run STREAM, %domo_wait, %domo_compare"
            if connected
            else "to connect: %domo_connect mycompany, or %domo_connect --sandbox to try it"
        )
        return "\n".join([*(wrapped(text, room) for text in self.said()), *table, wrapped(ways, room)])

    def line(self) -> str:
        """Return the quiet line and what there is to say as HTML."""
        text = " · ".join(
            filter(None, (self.where(), plain(self.age(), 300), cut(clickable(self._note()), 300)))
        )
        key = "<span><b></b> in a bar: the usual duration</span>" if self._state.session else ""
        return f"<div class=domo-line><div role=status>{html.escape(text)}</div>{key}</div>"

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


NOT_CONNECTED = (
    "<p>No Domo is connected yet. Connect in a cell, then press Run:</p>"
    "<pre class=domo-code tabindex=0>%domo_connect mycompany</pre>"
    "<p>or try everything without an account:</p>"
)

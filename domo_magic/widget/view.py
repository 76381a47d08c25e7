"""What of the panel's state is drawn: rows of the tables, lines of text, code to copy. No widgets."""

from __future__ import annotations

import html
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domo_magic.display.progress import mark
from domo_magic.errors import TargetError
from domo_magic.executions import targets
from domo_magic.executions.poller import durations, elapsed_of
from domo_magic.executions.schedule import usual
from domo_magic.executions.session import SANDBOX
from domo_magic.model.formatting import cut, duration_text
from domo_magic.widget.state import key_of
from domo_magic.widget.tables import Row, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Execution
    from domo_magic.widget.state import PanelState

# Past durations come while a run goes on.
_USUAL_FOR_S = 2.0


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
        judged = self._state.judgements.get(key_of(run))
        verdict = "" if run.finished or run.execution_id is None else "running"
        if judged is not None and not (run.finished and judged.verdict.startswith("running")):
            verdict = judged.verdict
        usually = self._usually(session, run.stream_id)
        says = judged.says if judged is not None and verdict == judged.verdict else ""
        if verdict == "running" and usually is not None:
            says = f"usually {duration_text(usually)}"
        if run.execution_id is None:
            says = "which run it is, is not known"
        return Row(
            run=run.run,
            name=run.name or self._state.names.get(run.stream_id, ""),
            state=run.state or "unknown",
            mark="unknown" if run.execution_id is None else mark(run),
            started_us=run.started_us,
            lasted=run.duration if run.finished else elapsed_of(session, run),
            usual=usually,
            rows=run.rows,
            verdict=verdict,
            says=says,
            label=run.label or "",
        )

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

    def caption(self) -> str:
        """Return what stands over the table where nothing else of the panel is shown."""
        said = ["Domo panel", self.where()]
        if (error := self._state.error) is not None:
            said.append(f"{type(error).__name__}: {plain(error.summary, 300)}")
            said.append(plain(error.hint, 300))
        return " · ".join(filter(None, said))

    def in_terminal(self, table: str) -> str:
        """Return the table, and what to type where there are no buttons."""
        if self._state.session is None:
            return f"{table}\nto connect: %domo_connect mycompany, or %domo_connect --sandbox to try it"
        return f"{table}\nthe buttons need a notebook; here: %domo_run STREAM, %domo_wait, %domo_compare"

    def line(self) -> str:
        """Return the quiet line and the note as HTML."""
        note = self._state.note
        text = self.where() + (f" · {cut(note, 300)}" if note else "")
        return f"<div class=domo-line role=status>{html.escape(text)}</div>"

    def error(self) -> str:
        """Return the last error in full, and what to do, as HTML."""
        error = self._state.error
        if error is None:
            return ""
        what, hint = (html.escape(text[:4000]) for text in (error.summary, error.hint))
        return (
            f"<div class=domo-error role=alert><em>{type(error).__name__}</em> {what}"
            f"{f'<br>{hint}' if hint else ''}</div>"
        )

    def code(self, text: str, label: str) -> str:
        """Return the magics that do the same as HTML."""
        return f"<pre class=domo-code tabindex=0>{html.escape(magics(self._state, text, label))}</pre>"


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
    if chosen := [f"{stream}/{execution}" for stream, execution in state.selected if execution is not None]:
        lines.append(f"%domo_compare {' '.join(chosen)}")
    elif streams:
        lines.append(f"%domo_compare {streams}")
    return "\n".join(lines)


NOT_CONNECTED = (
    "<p>No Domo is connected yet. Connect in a cell, then press Run:</p>"
    "<pre class=domo-code tabindex=0>%domo_connect mycompany</pre>"
    "<p>or try everything without an account:</p>"
)

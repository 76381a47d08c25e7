"""Chosen runs side by side, and their picture where matplotlib is there. No widgets."""

from __future__ import annotations

import base64
import html
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from domo_magic.model.formatting import METRICS, bytes_text, count_text, duration_text, local_time, ratio_text
from domo_magic.widget.actions import compared
from domo_magic.widget.state import key_of
from domo_magic.widget.tables import MARKS, safe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Execution
    from domo_magic.widget.state import Key

#: As many as fit beside each other.
MOST = 6
_MOST_PICTURES = 4
_TITLES = {
    "duration": "Duration",
    "rowsInserted": "Rows",
    "bytesInserted": "Bytes",
    "peakMemoryUsedBytes": "Peak memory",
}


def side_by_side(session: Session, chosen: Sequence[Execution], known: Sequence[Execution]) -> str:
    """Return a table with one column per run, oldest first, each against the first of them.

    Parameters
    ----------
    session : Session
        For the past of the streams.
    chosen, known : sequence of Execution
        Newest first: what is compared, and everything that is known.
    """
    from domo_magic.analysis.sentences import sentence

    runs = list(reversed(chosen[:MOST]))
    if not runs:
        return ""
    rows: dict[Key, Mapping[str, Any]] = {
        (int(row.streamId), int(row.executionId)): row._asdict() for row in _compared(session, known)
    }
    facts = [rows[key_of(run)] for run in runs]
    now = session.clock.time()
    lines = [
        ("State", [_state(run) for run in runs]),
        ("Started", [_started(run, now) for run in runs]),
        *(
            (_TITLES[metric], [_value(metric, row, facts[0], runs[0].run) for row in facts])
            for metric in METRICS
        ),
        ("Verdict", [_verdict(row, sentence(row)) for row in facts]),
    ]
    heads = "".join(f"<th scope=col>{_head(run)}" for run in runs)
    body = "".join(
        f"<tr><th scope=row>{title}{''.join(f'<td>{cell}' for cell in cells)}</tr>" for title, cells in lines
    )
    left = f"<p>the newest {MOST} of {len(chosen)}</p>" if len(chosen) > MOST else ""
    return (
        f"<div class=domo-side><h4>Side by side</h4>{left}<table>"
        f"<caption class=unseen>Chosen runs side by side</caption><col>{'<col>' * len(runs)}"
        f"<thead><tr><td>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _compared(session: Session, known: Sequence[Execution]) -> Any:
    return compared(session, [run for run in known if run.execution_id is not None]).itertuples()


def _head(run: Execution) -> str:
    return f"{run.run}<small>{safe(run.label or run.name or '', 60)}</small>"


def _state(run: Execution) -> str:
    kind = "running" if not run.finished else "good" if run.succeeded else "bad"
    return f"<i class={kind} aria-hidden=true>{MARKS[kind]}</i>{safe(run.state or 'unknown', 24)}"


def _started(run: Execution, now: float) -> str:
    return "—" if run.started_us is None else local_time(run.started_us, now)


def _verdict(row: Mapping[str, Any], says: str) -> str:
    verdict = html.escape(row["verdict"])
    return verdict if verdict == "usual" else f"{verdict}<small>{safe(says, 200)}</small>"


def _value(metric: str, row: Mapping[str, Any], first: Mapping[str, Any], named: str) -> str:
    """Say a value, and how it stands to the first run's."""
    import pandas as pd

    value, against = row[metric], first[metric]
    if pd.isna(value):
        return "—"
    if row is first or pd.isna(against) or not against:
        return _text(metric, value)
    ratio = float(value / against)
    words = "the same" if abs(ratio - 1) < 0.005 else f"{ratio_text(ratio)} {named}"
    if 0.95 <= ratio <= 1.05 and words != "the same":
        words = f"{100 * ratio:.1f} % of {named}"
    return f"{_text(metric, value)}<small>{words}</small>"


def _text(metric: str, value: Any) -> str:
    if metric == "duration":
        return duration_text(value.total_seconds())
    return count_text(value) if metric == "rowsInserted" else bytes_text(value)


def picture(session: Session, chosen: Sequence[Execution], known: Sequence[Execution]) -> str:
    """Return the plot of the chosen runs' streams; empty without matplotlib, and without runs."""
    streams = list(dict.fromkeys(run.stream_id for run in chosen))[:_MOST_PICTURES]
    if not streams or find_spec("matplotlib") is None:
        return ""
    drawn = "".join(
        _drawn(session, stream, [run for run in known if run.stream_id == stream]) for stream in streams
    )
    return f"<div>{drawn}</div>"


def _drawn(session: Session, stream_id: int, runs: Sequence[Execution]) -> str:
    from io import BytesIO

    # Not pyplot's: that belongs to the user's thread.
    from matplotlib.figure import Figure

    from domo_magic.analysis.plots import plot
    from domo_magic.model.frame import frame

    figure = Figure(figsize=(8, 2.8), layout="constrained")
    figure.patch.set_alpha(0)
    plot(frame([session.known(run) for run in runs if run.execution_id is not None]), ax=figure.subplots())
    file = BytesIO()
    figure.savefig(file, format="png", dpi=160)
    data = base64.b64encode(file.getvalue()).decode()
    words = f"Durations of stream {stream_id}'s runs over time, with what is usual"
    return f"<img alt='{html.escape(words)}' width=800 src='data:image/png;base64,{data}'>"

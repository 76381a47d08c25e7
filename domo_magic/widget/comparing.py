"""Chosen runs side by side, and their picture where matplotlib is there. No widgets."""

from __future__ import annotations

import base64
import html
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from domo_magic.display.progress import mark
from domo_magic.model.formatting import (
    bytes_text,
    count_text,
    duration_text,
    local_time,
    moment_of,
    ratio_text,
)
from domo_magic.widget.actions import compared
from domo_magic.widget.state import key_of
from domo_magic.widget.tables import MARKS, safe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Execution
    from domo_magic.widget.state import Key, PanelState

_MOST_PICTURES = 4
#: The plots for a wide and a narrow panel, in inches: one that is scaled cannot be read.
_WIDTHS = {"wide": 11.0, "slim": 5.0}
_INK = "#7a7a7a"
_TITLES = {
    "duration": "Duration",
    "rowsInserted": "Rows",
    "bytesInserted": "Bytes",
    "peakMemoryUsedBytes": "Peak memory",
}


def side_by_side(state: PanelState, session: Session, chosen: Sequence[Execution], number: int) -> str:
    """Return a table with one column per run, oldest first.

    Runs of one stream are compared with the first of them, as ``%domo_compare A/2 --baseline A/1`` does,
    others with what is usual for their streams.

    Parameters
    ----------
    state, session : PanelState, Session
        For the past of the streams, and how the runs compare with it.
    chosen : sequence of Execution
        What is compared, newest first.
    number : int
        How many were chosen.
    """
    if not chosen:
        return ""
    runs = list(reversed(chosen))
    first = runs[0] if len(runs) > 1 and len({run.stream_id for run in runs}) == 1 else None
    table = (
        compared(session, state.runs())
        if first is None
        else compared(session, runs, (first.stream_id, first.execution_id or 0))
    )
    rows: dict[Key, Mapping[str, Any]] = {
        (int(row.streamId), int(row.executionId)): row._asdict() for row in table.itertuples()
    }
    facts = [rows[key_of(run)] for run in runs]
    against = "the usual" if first is None else first.run
    now = session.clock.time()
    lines = [
        ("State", [_state(state, run) for run in runs]),
        ("Started", [_started(run, now) for run in runs]),
        *(
            (
                title,
                [
                    _value(metric, row, against, itself=run is first)
                    for run, row in zip(runs, facts, strict=True)
                ],
            )
            for metric, title in _TITLES.items()
        ),
    ]
    if first is not None:
        verdicts = [
            "" if run is first else html.escape(row["verdict"]) for run, row in zip(runs, facts, strict=True)
        ]
        lines.append((f"Against {first.run}", verdicts))
    lines.append(("Against the usual", [_judged(state, run) for run in runs]))
    heads = "".join(f"<th scope=col>{_head(run)}" for run in runs)
    body = "".join(
        f"<tr><th scope=row>{title}{''.join(f'<td>{cell}' for cell in cells)}</tr>" for title, cells in lines
    )
    left = f"<p>the newest {len(runs)} of {number}</p>" if number > len(runs) else ""
    return (
        f"<div class=domo-side><h4>Side by side</h4>{left}<table>"
        f"<caption class=unseen>Chosen runs side by side</caption><col>{'<col>' * len(runs)}"
        f"<thead><tr><td>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _head(run: Execution) -> str:
    return f"{run.run}<small>{safe(run.label or run.name or '', 60)}</small>"


def _state(state: PanelState, run: Execution) -> str:
    kind = "stopped" if run.finished and state.on_purpose(run) else mark(run)
    return f"<i class={kind} aria-hidden=true>{MARKS[kind]}</i>{safe(run.state or 'unknown', 24)}"


def _started(run: Execution, now: float) -> str:
    return "—" if run.started_us is None else local_time(run.started_us, now)


def _judged(state: PanelState, run: Execution) -> str:
    judged = state.judgements.get(key_of(run))
    if judged is None:
        return ""
    return safe(judged.verdict, 60) + (f"<small>{safe(judged.says, 200)}</small>" if judged.says else "")


def _value(metric: str, row: Mapping[str, Any], against: str, *, itself: bool) -> str:
    """Say a value, and how it stands to what the run is compared with."""
    import pandas as pd

    value, ratio = row[metric], row[f"{metric}Ratio"]
    if pd.isna(value):
        return "—"
    if itself or pd.isna(ratio):
        return _text(metric, value)
    words = "the same" if abs(ratio - 1) < 0.005 else f"{ratio_text(ratio)} {against}"
    if 0.95 <= ratio <= 1.05 and words != "the same":
        words = f"{100 * ratio:.1f} % of {against}"
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
        _drawn(
            session, stream, *([run for run in runs if run.stream_id == stream] for runs in (known, chosen))
        )
        for stream in streams
    )
    return f"<div class=domo-plot>{drawn}</div>"


def _drawn(session: Session, stream_id: int, runs: Sequence[Execution], chosen: Sequence[Execution]) -> str:
    """Return the plot for a wide and for a narrow panel, of which one is shown."""
    from domo_magic.model.frame import frame

    table = frame([session.known(run) for run in runs if run.execution_id is not None])
    words = f"Durations of stream {stream_id}'s runs over time, with what is usual"
    return "".join(
        f"<img class={name} alt='{html.escape(words)}'"
        f" src='data:image/png;base64,{_png(table, chosen, inches)}'>"
        for name, inches in _WIDTHS.items()
    )


def _png(table: pd.DataFrame, chosen: Sequence[Execution], inches: float) -> str:
    from io import BytesIO

    # Not pyplot's: that belongs to the user's thread.
    from matplotlib.figure import Figure

    from domo_magic.analysis.plots import plot

    figure = Figure(figsize=(inches, 2.8), layout="constrained")
    figure.patch.set_alpha(0)
    axes = plot(table, ax=figure.subplots())
    _point_at(axes, chosen)
    file = BytesIO()
    figure.savefig(file, format="png", dpi=160)
    return base64.b64encode(file.getvalue()).decode()


def _point_at(axes: Axes, chosen: Sequence[Execution]) -> None:
    """Mark the chosen runs by lines with their numbers."""
    for place, run in enumerate(reversed(chosen)):
        if run.started_us is not None:
            at: Any = moment_of(run.started_us).replace(tzinfo=None)  # as the plot has its times
            axes.axvline(at, color=_INK, linewidth=1, linestyle=":")
            # Beside each other they would lie on one another.
            axes.annotate(
                f" {run.execution_id}",
                (at, 1 - 0.1 * (place % 3)),
                xycoords=axes.get_xaxis_transform(),
                va="top",
                color=_INK,
                fontsize="small",
                fontweight="bold",
            )

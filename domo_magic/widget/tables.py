"""The panel's runs as HTML, and side by side: what comes from Domo is escaped and cut."""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from domo_magic.display.output import MARKS
from domo_magic.model.formatting import (
    cut,
    duration_text,
    local_time,
    metric_text,
    moment_of,
    ratio_text,
    utc_time,
)
from domo_magic.model.shown import stands_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Execution

BRACKETS = str.maketrans("<>", "\u2039\u203a")
# Long words of programs have joints: before a letter, so that 3.3 stays in one piece.
_JOINT = re.compile(r"(?<=[_./])(?=[^\W\d_])")
HEADS = ("Run", "State", "Started", "Duration", "Rows", "Verdict", "Label")
#: Both tables have the same columns, whatever stands in them.
_COLS = "".join(f"<col style=width:{share}%>" for share in (19, 12.5, 17, 12, 10.5, 21, 8))
#: Rows that are shown before "more".
FIRST = 50
#: A live table is one message of at most 20 kB; the rest of it is the message's own.
_LIVE_BYTES = 18_500


@dataclass(frozen=True, slots=True)
class Row:
    """One run as the tables show it.

    Attributes
    ----------
    run : str
        ``25775/2``.
    name : str
        Of its DataSet; empty where it is not known.
    state, mark : str
        Domo's word, and ``running``, ``good``, ``bad`` or ``unknown``.
    started_us : int or None
        Epoch microseconds.
    lasted, usual : float or None
        Seconds until its end, or now; and those that are usual for its stream.
    rows : int or None
        Rows inserted.
    verdict, says : str
        ``slow``, and the sentence about it; both may be empty.
    label : str
        What the user called it; may be empty.
    """

    run: str
    name: str = ""
    state: str = ""
    mark: str = "running"
    started_us: int | None = None
    lasted: float | None = None
    usual: float | None = None
    rows: int | None = None
    verdict: str = ""
    says: str = ""
    label: str = ""


def plain(text: str, most: int) -> str:
    """Return a text that stays one even where a reader takes plain text for HTML."""
    return cut(text, most).translate(BRACKETS)


def safe(text: str, most: int) -> str:
    """Return a text as HTML that is nothing but text, and may break after ``_``, ``.`` and ``/``.

    Examples
    --------
    >>> safe("R&D_LIMIT", 60)
    'R&amp;D_<wbr>LIMIT'
    """
    return _JOINT.sub("<wbr>", html.escape(cut(text, most)))


def row_html(row: Row, now: float) -> str:
    """Return one row of a table."""
    head, *cells = _cells(row, now)
    return f"<tr><th scope=row>{head}{''.join(f'<td>{cell}' for cell in cells)}</tr>"


def _cells(row: Row, now: float) -> tuple[str, ...]:
    """Return what stands below each of `HEADS`, to be read without any style too."""
    started = "—"
    if row.started_us is not None:
        utc = f"{utc_time(row.started_us):%Y-%m-%d %H:%M:%S} UTC"
        started = f"<span title='{utc}'>{local_time(row.started_us, now)}</span>"
    return (
        f"{safe(row.name, 60)}<br><small>{row.run}</small>" if row.name else row.run,
        f"<i class={row.mark} aria-hidden=true>{MARKS[row.mark][0]}\u00a0</i>{safe(row.state, 24)}",
        started,
        _lasted(row),
        "—" if row.rows is None else f"{row.rows:,}",
        _verdict(row),
        safe(row.label, 40),
    )


def _lasted(row: Row) -> str:
    """Say how long, with a bar whose middle is the usual."""
    if row.lasted is None:
        return "—"
    text = duration_text(row.lasted)
    if not row.usual:
        return text
    share = min(100, round(50 * row.lasted / row.usual))
    return f"{text}<b style=--w:{share}% title='usually {duration_text(row.usual)}'></b>"


def _verdict(row: Row) -> str:
    usually = f"usually {duration_text(row.usual)}" if row.usual and row.verdict == "running" else ""
    says = safe(row.says, 160) or usually
    return marked(row.verdict) + (f"<br><small>{says}</small>" if says else "")


def marked(verdict: str) -> str:
    """Return a verdict as HTML, emphasised where it stands out.

    Examples
    --------
    >>> marked("usual"), marked("slow")
    ('usual', '<em class=unusual>slow</em>')
    """
    word, tone = safe(verdict, 60), stands_out(verdict)
    return f"<em class={tone}>{word}</em>" if tone else word


def table_html(body: str, caption: str, *, head: bool) -> str:
    """Return a whole table; a `head` that is not shown is still read out."""
    heads = "".join(f"<th scope=col>{name}" for name in HEADS)
    hidden = "" if head else " class=unseen"
    return (
        f"<div class=domo-runs><table><caption class=unseen>{caption}</caption>{_COLS}"
        f"<thead{hidden}><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def live_html(rows: Sequence[Row], now: float) -> tuple[str, int]:
    """Return the table of unfinished runs, and how many of them it has room for.

    Examples
    --------
    >>> live_html([Row("25775/2")] * 200, 0.0)[1]
    50
    """
    size, body = 0, []
    for row in rows[:FIRST]:
        text = row_html(row, now)
        size += len(json.dumps(text, ensure_ascii=False).encode(errors="replace"))
        if size > _LIVE_BYTES:
            break
        body.append(text)
    return table_html("".join(body), "Unfinished runs, newest first", head=True), len(body)


def ended_html(rows: Iterable[Row], now: float) -> str:
    """Return the table of the other runs, which stands right below and shares the head."""
    body = "".join(row_html(row, now) for row in rows)
    return table_html(body, "Ended runs, newest first", head=False)


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


def side_by_side(
    rows: Sequence[Row], facts: Sequence[Mapping[str, Any]], first: str | None, number: int, now: float
) -> str:
    """Return a table with one column per run.

    Parameters
    ----------
    rows : sequence of Row
        The runs, oldest first.
    facts : sequence of mapping
        The row of each in a comparison.
    first : str or None
        The run that they are compared with; None: each with what is usual for its stream.
    number : int
        How many were chosen.
    now : float
        Epoch seconds.
    """
    if not rows:
        return ""
    _, states, starts, _, _, verdicts, _ = zip(*(_cells(row, now) for row in rows), strict=True)
    lines = {"State": states, "Started": starts}
    for metric, title in _TITLES.items():
        lines[title] = tuple(
            _value(metric, fact, first or "the usual", itself=row.run == first)
            for row, fact in zip(rows, facts, strict=True)
        )
    if first is not None:
        against = zip(rows, facts, strict=True)
        lines[f"Against {first}"] = tuple(
            "" if row.run == first else marked(fact["verdict"]) for row, fact in against
        )
    lines["Against the usual"] = verdicts
    heads = "".join(
        f"<th scope=col>{row.run}<small>{safe(row.label or row.name, 60)}</small>" for row in rows
    )
    body = "".join(
        f"<tr><th scope=row>{title}{''.join(f'<td>{cell}' for cell in cells)}</tr>"
        for title, cells in lines.items()
    )
    left = f"<p>the newest {len(rows)} of {number}</p>" if number > len(rows) else ""
    return (
        f"<div class=domo-side><h4>Side by side</h4>{left}<table>"
        f"<caption class=unseen>Chosen runs side by side</caption><col>{'<col>' * len(rows)}"
        f"<thead><tr><td>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _value(metric: str, row: Mapping[str, Any], against: str, *, itself: bool) -> str:
    """Say a value, and how it stands to what the run is compared with."""
    import pandas as pd

    value, ratio = row[metric], row[f"{metric}Ratio"]
    if pd.isna(value):
        return "—"
    if itself or pd.isna(ratio):
        return metric_text(metric, value)
    words = "the same" if abs(ratio - 1) < 0.005 else f"{ratio_text(ratio)} {against}"
    if 0.95 <= ratio <= 1.05 and words != "the same":
        words = f"{100 * ratio:.1f} % of {against}"
    return f"{metric_text(metric, value)}<small>{words}</small>"


def picture(session: Session, chosen: Sequence[Execution], known: Sequence[Execution]) -> str:
    """Return the plot of the chosen runs' streams; empty without matplotlib, and without runs."""
    streams = list(dict.fromkeys(run.stream_id for run in chosen))[:_MOST_PICTURES]
    if not streams or find_spec("matplotlib") is None:
        return ""
    drawn = "".join(_drawn(session, stream_id, known, chosen) for stream_id in streams)
    return f"<div class=domo-plot>{drawn}</div>"


def _drawn(session: Session, stream_id: int, known: Sequence[Execution], chosen: Sequence[Execution]) -> str:
    """Return the plot for a wide and for a narrow panel, of which one is shown."""
    from domo_magic.model.frame import frame

    runs, marked = ([run for run in runs if run.stream_id == stream_id] for runs in (known, chosen))
    table = frame([session.known(run) for run in runs if run.execution_id is not None])
    words = f"Durations of stream {stream_id}'s runs over time, with what is usual"
    return "".join(
        f"<img class={name} alt='{html.escape(words)}'"
        f" src='data:image/png;base64,{_png(table, marked, inches)}'>"
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

"""The DataFrame that the package hands out: pandas' own but for how it is displayed."""

from __future__ import annotations

import html
import shutil
import textwrap
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd  # noqa: TID253  this module is imported with the first frame

from domo_magic.model.execution import error_text, mark_of
from domo_magic.model.formatting import (
    METRICS,
    count_text,
    cut,
    duration_text,
    fitted,
    local_time,
    width,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Cells = Callable[["_Rows"], list[str]]
    Tones = Callable[["_Rows", list[str]], list[str]]

#: Rows that are displayed, of the saved copy of a panel too, and how many characters wide.
ROWS, WIDTH = 20, 100
_MISSING = "—"
_NAME, _WORD, _ERROR = 30, 24, 200
_SHORT_NAME, _LEAST_NAME = 16, 8
_NAT = -(2**63)
_TONES = {
    "good": ("✓", "var(--jp-success-color1,#2e8b57)"),
    "bad": ("✗", "var(--jp-error-color1,#d3452f)"),
    "running": ("▸", "var(--jp-brand-color1,#3b82c4)"),
    "unusual": ("!", "#c2701c"),
    **dict.fromkeys(("quiet", "stopped"), ("○", "inherit")),
    "unknown": ("?", "inherit"),
}
# Any other verdict is something unusual.
_VERDICTS = {
    **dict.fromkeys(("usual", "recovered"), "good"),
    "running": "running",
    **dict.fromkeys(("", "cancelled", "no baseline", "never ran", "paused"), "quiet"),
    _MISSING: "unknown",
}
_BAD = ("failed", "no rows", "stuck", "not followed")


class ShownFrame(pd.DataFrame):
    """A DataFrame that differs in how it is displayed; make one with `shown`.

    It has no ``_constructor``: everything derived from it, a pickle too, is a plain DataFrame.
    ``equals`` holds both ways; ``pandas.testing.assert_frame_equal(plain, run)`` compares the
    classes too and raises, unless it is given ``check_frame_type=False``.
    """

    _kind = ""
    _handed_out: Any = None

    def __repr__(self) -> str:
        return as_text(self, self._kind) if self._as_handed_out() else super().__repr__()

    def _repr_html_(self) -> str | None:
        if self._as_handed_out() and pd.get_option("display.notebook_repr_html"):
            return as_html(self, self._kind)
        table: str | None = super()._repr_html_()  # type: ignore[misc]  # the stubs lack it
        return table

    def _as_handed_out(self) -> bool:
        """Return True while the columns, and the kinds of those displayed, are those handed out."""
        if self._handed_out is None or not self.columns.equals(self._handed_out):
            return False
        pairs = zip(self.columns, self.dtypes, strict=True)
        return all(dtype.kind in _DTYPES[name] for name, dtype in pairs if name in _DTYPES)

    def __reduce__(self) -> tuple[Any, ...]:
        # The plain class by name: what reads the pickle need not have this package.
        return pd.DataFrame.__new__, (pd.DataFrame,), self.__getstate__()

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()


def shown(frame: pd.DataFrame, kind: str) -> ShownFrame:
    """Return the frame as one that is displayed for reading.

    Parameters
    ----------
    frame : pandas.DataFrame
        With the columns of its kind; not to be used afterwards, the memory may be shared.
    kind : str
        ``runs``, ``comparison``, ``streams``, ``overview`` or ``collected``.

    Returns
    -------
    ShownFrame
        The same values, dtypes, index and ``attrs``.

    Examples
    --------
    >>> shown(pd.DataFrame({"streamId": [7], "name": ["Sales"]}), "streams")
    Stream  Name
    7       Sales
    1 stream · 2 columns; all of them: streams.T
    """
    made = ShownFrame(frame, copy=False)
    made.attrs = frame.attrs
    # Past pandas' own __setattr__, which would look for a column of the name.
    object.__setattr__(made, "_kind", kind)
    object.__setattr__(made, "_handed_out", made.columns)
    return made


class _Rows:
    """The rows that are displayed, column by column: a part of all 35 costs more than the rest."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def __contains__(self, name: str) -> bool:
        return name in self._frame.columns

    def __getitem__(self, name: str) -> pd.Series[Any]:
        return self._frame[name].iloc[:ROWS]


class _Column(NamedTuple):
    head: str
    needs: str
    cells: Cells
    right: bool = False
    tones: Tones | None = None


_Cells = tuple[_Column, list[str]]


def _of(name: str, most: int) -> Cells:
    return lambda rows: [
        (cut(value, most) or _MISSING) if isinstance(value, str) else _MISSING for value in rows[name]
    ]


def _run(rows: _Rows) -> list[str]:
    executions = rows["executionId"] if "executionId" in rows else [None] * len(rows["streamId"])
    pairs = zip(rows["streamId"], executions, strict=True)
    return [_pair(stream, execution) for stream, execution in pairs]


def _pair(stream: Any, execution: Any) -> str:
    known = [str(part) for part in (stream, execution) if not (part is None or pd.isna(part))]
    return "/".join(known) or _MISSING


def _error(rows: _Rows) -> list[str]:
    causes = (error_text(value) if value else "" for value in rows["errors"])
    return [cut(cause, _ERROR) or _MISSING for cause in causes]


def _count(name: str) -> Cells:
    return lambda rows: [_MISSING if pd.isna(value) else f"{value:,.0f}" for value in rows[name]]


def _ratio(name: str) -> Cells:
    return lambda rows: [_MISSING if pd.isna(value) else _times(value) for value in rows[name]]


_METRIC_OF = {word: metric for metric, words in METRICS.items() for word in words}


def _verdicts(rows: _Rows) -> list[str]:
    """Return the verdicts, what is unusual with its ratio: ``slow 3.1x``."""
    said = enumerate(_of("verdict", _WORD)(rows))
    return [", ".join(_with_ratio(word, rows, at) for word in verdict.split(", ")) for at, verdict in said]


def _with_ratio(word: str, rows: _Rows, at: int) -> str:
    metric = _METRIC_OF.get(word)
    if metric is None or metric not in rows:
        return word
    value, usual = rows[metric].iloc[at], rows[f"{metric}Baseline"].iloc[at]
    return word if pd.isna(value) or pd.isna(usual) or not usual else f"{word} {_times(value / usual)}"


def _times(ratio: float) -> str:
    if ratio >= 9.95:
        return f"{ratio:,.0f}x"
    return f"{ratio:.1f}x" if ratio >= 0.995 else f"{ratio:.2g}x"


def _microseconds(column: pd.Series[Any], dtype: str) -> list[int]:
    us: list[int] = column.to_numpy(dtype).astype("int64").tolist()
    return us


def _time(name: str) -> Cells:
    def cells(rows: _Rows) -> list[str]:
        now = time.time()
        values = _microseconds(rows[name], "M8[us]")
        return [_MISSING if us == _NAT else local_time(us, now) for us in values]

    return cells


def _lasted(name: str) -> Cells:
    return lambda rows: [
        _MISSING if us == _NAT else duration_text(us / 1e6) for us in _microseconds(rows[name], "m8[us]")
    ]


def _state_tones(rows: _Rows, states: list[str]) -> list[str]:
    pairs = zip(states, _ended(rows) or [False] * len(states), strict=True)
    return ["unknown" if state == _MISSING else mark_of(state, ended=ended) for state, ended in pairs]


def _ended(rows: _Rows) -> list[bool]:
    """Return which rows are of runs that have ended, as far as they tell."""
    if "endedAt" in rows:
        return [us > 0 for us in _microseconds(rows["endedAt"], "M8[us]")]
    return rows["duration"].notna().tolist() if "duration" in rows else []


def _verdict_tones(_rows: _Rows, verdicts: list[str]) -> list[str]:
    return list(map(_verdict_tone, verdicts))


def _verdict_tone(verdict: str) -> str:
    return "bad" if verdict.startswith(_BAD) else _VERDICTS.get(verdict, "unusual")


def stands_out(verdict: str) -> str:
    """Return ``bad`` or ``unusual`` for a verdict that stands out, else nothing.

    Examples
    --------
    >>> [stands_out(verdict) for verdict in ("usual", "stuck for 3 d", "few rows")]
    ['', 'bad', 'unusual']
    """
    tone = _verdict_tone(verdict)
    return tone if tone in {"bad", "unusual"} else ""


_RUN = _Column("Run", "streamId", _run)
_CALLED = _Column("Name", "name", _of("name", _NAME))
_STATE = _Column("State", "currentState", _of("currentState", _WORD), tones=_state_tones)
_VERDICT = _Column("Verdict", "verdict", _of("verdict", _WORD), tones=_verdict_tones)
_STARTED = _Column("Started", "startedAt", _time("startedAt"))
_DURATION = _Column("Duration", "duration", _lasted("duration"), right=True)
_INSERTED = _Column("Rows", "rowsInserted", _count("rowsInserted"), right=True)
_TOLD = _Column("Error", "error", _of("error", _ERROR))
#: What is displayed of each kind, the dispensable on the right, and what one row is called.
_LAYOUTS = {
    "runs": (
        *(_RUN, _CALLED, _STATE, _STARTED, _DURATION, _INSERTED),
        _Column("Error", "errors", _error),
    ),
    "comparison": (
        *(_RUN, _CALLED, _STATE, _VERDICT, _DURATION),
        _Column("of usual", "durationRatio", _ratio("durationRatio"), right=True),
        _INSERTED,
        _Column("of usual", "rowsInsertedRatio", _ratio("rowsInsertedRatio"), right=True),
        *(_STARTED, _TOLD),
    ),
    "streams": (
        _Column("Stream", "streamId", _run),
        _CALLED,
        _Column("Provider", "provider", _of("provider", _WORD)),
        _Column("Status", "status", _of("status", _WORD), tones=_state_tones),
        _Column("Rows", "rows", _count("rows"), right=True),
        _Column("Updated", "updatedAt", _time("updatedAt")),
    ),
    "overview": (
        *(_RUN, _CALLED, _STATE, _Column("Verdict", "verdict", _verdicts, tones=_verdict_tones)),
        *(_TOLD, _DURATION, _INSERTED, _STARTED),
        _Column("Last success", "lastSuccessAt", _time("lastSuccessAt")),
    ),
    "collected": (
        _Column("Stream", "streamId", _run),
        _CALLED,
        _Column("Instance", "instance", _of("instance", _NAME)),
        _Column("Fetched", "fetched", _count("fetched"), right=True),
        _Column("Newest", "newest", _count("newest"), right=True),
        _TOLD,
    ),
}
_WORDS = {
    "runs": ("runs", "run"),
    "comparison": ("runs", "compared"),
    "streams": ("streams", "streams"),
    "overview": ("connectors", "overview"),
    "collected": ("streams", "collected"),
}
# The kinds of dtype that the columns of numbers and times can be displayed of.
_DTYPES = {
    **dict.fromkeys(("startedAt", "updatedAt", "lastSuccessAt"), "M"),
    **dict.fromkeys(("duration", "durationBaseline"), "m"),
    **dict.fromkeys(("rowsInserted", "rowsInsertedBaseline", "rows", "fetched", "newest"), "iuf"),
    **dict.fromkeys(("durationRatio", "rowsInsertedRatio"), "iuf"),
}
_KEPT = frozenset(("Run", "Stream", "State", "Verdict"))


def _layout(frame: pd.DataFrame, kind: str) -> list[tuple[_Column, list[str], list[str]]]:
    """Return the columns that there are, with the cells of each in the first rows, and their tones."""
    rows = _Rows(frame)
    columns = [(column, column.cells(rows)) for column in _LAYOUTS[kind] if column.needs in rows]
    return [(column, texts, column.tones(rows, texts) if column.tones else []) for column, texts in columns]


def _footer(frame: pd.DataFrame, kind: str) -> str:
    unit, variable = _WORDS[kind]
    more = f"{len(frame) - ROWS:,} more, " if len(frame) > ROWS else ""
    columns = count_text(len(frame.columns), "columns")
    return f"{more}{count_text(len(frame), unit)} · {columns}; all of them: {variable}.T"


def as_text(frame: pd.DataFrame, kind: str, footer: str | None = None) -> str:
    """Return the frame as lines of text, as wide as the terminal and at most `WIDTH` wide."""
    footer = _footer(frame, kind) if footer is None else footer
    if not len(frame):
        return footer
    marked = [(column, _marked(texts, tones)) for column, texts, tones in _layout(frame, kind)]
    most = min(WIDTH, shutil.get_terminal_size().columns)
    kept, below = _without_errors(marked, most)
    lines = zip(*(_aligned(*pair) for pair in _fit(kept, most)), strict=True)
    return "\n".join([*("  ".join(line).rstrip() for line in lines), *below, footer])


def _marked(texts: list[str], tones: list[str]) -> list[str]:
    return [f"{_TONES[tone][0]} {text}" for text, tone in zip(texts, tones, strict=True)] if tones else texts


def _without_errors(columns: list[_Cells], most: int) -> tuple[list[_Cells], list[str]]:
    """Return the columns, and where the errors are too long for one of their own, the lines for below."""
    errors = next((texts for column, texts in columns if column.head == "Error"), [])
    if _too_wide(columns, most) <= 0 or not errors:
        return columns, []
    runs_of: dict[str, list[str]] = {}
    for run, error in zip(columns[0][1], errors, strict=True):
        if error != _MISSING:
            runs_of.setdefault(error, []).append(run)
    lines = [
        line for error, runs in runs_of.items() for line in _wrapped(f"{', '.join(runs)}: {error}", most)
    ]
    return [pair for pair in columns if pair[0].head != "Error"], lines


def _wrapped(text: str, most: int) -> list[str]:
    """Return the lines of a text; other letters than Latin ones may take two columns each."""
    return textwrap.wrap(text, most if text.isascii() else most // 2, subsequent_indent="  ")


def _fit(kept: list[_Cells], most: int) -> list[_Cells]:
    """Shorten the names, then drop columns from the right, then shorten the names further."""
    if _too_wide(kept, most) > 0:  # what nothing is known of goes first
        kept = [(column, texts) for column, texts in kept if column.head in _KEPT or set(texts) != {_MISSING}]
    kept = _shorten_names(kept, _SHORT_NAME, most)
    while _too_wide(kept, most) > 0 and (spare := _spare(kept)):
        del kept[spare[-1]]
    kept = _shorten_names(kept, _LEAST_NAME, most)
    if _too_wide(kept, most) > 0:
        kept = [pair for pair in kept if pair[0].head != "Name"]
    return kept


def _spare(kept: list[_Cells]) -> list[int]:
    return [at for at, (column, _) in enumerate(kept) if column.head not in _KEPT | {"Name"}]


def _shorten_names(kept: list[_Cells], least: int, most: int) -> list[_Cells]:
    over = _too_wide(kept, most)
    if over <= 0:
        return kept
    return [
        (column, [fitted(text, max(least, _width(column, texts) - over)) for text in texts])
        if column.head == "Name"
        else (column, texts)
        for column, texts in kept
    ]


def _too_wide(kept: list[_Cells], most: int) -> int:
    return sum(_width(*pair) + 2 for pair in kept) - 2 - most


def _width(column: _Column, texts: list[str]) -> int:
    return max(map(width, [column.head, *texts]))


def _aligned(column: _Column, texts: list[str]) -> list[str]:
    widest = _width(column, texts)
    padded = ((text, " " * (widest - width(text))) for text in [column.head, *texts])
    return [space + text if column.right else text + space for text, space in padded]


def as_html(frame: pd.DataFrame, kind: str, footer: str | None = None) -> str:
    """Return the frame as an HTML table in which what came from Domo is nothing but text."""
    said = _footer(frame, kind) if footer is None else html.escape(footer)
    footer = f"<p style='margin:4px 0;opacity:.75'>{said}</p>"
    if not len(frame):
        return f"<div>{footer}</div>"
    layout = _layout(frame, kind)
    heads = "".join(f"<th style='{_style(column)}'>{column.head}</th>" for column, _, _ in layout)
    drawn = [
        [
            f"<td style='{_style(column)}'>{_cell(text, tone)}</td>"
            for text, tone in zip(texts, tones or [""] * len(texts), strict=True)
        ]
        for column, texts, tones in layout
    ]
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in zip(*drawn, strict=True))
    # The classes keep MathJax from reading a name with two dollars as a formula.
    return (
        "<div class='tex2jax_ignore mathjax_ignore' style='overflow-x:auto'>"
        "<table class=dataframe style=color:inherit>"
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{footer}</div>"
    )


def _style(column: _Column) -> str:
    side = "right" if column.right else "left"
    wrap = "normal;min-width:12em" if column.head == "Error" else "nowrap"
    return f"text-align:{side};white-space:{wrap};font-variant-numeric:tabular-nums"


def _cell(text: str, tone: str) -> str:
    safe = html.escape(text)
    if not tone:
        return safe
    mark, colour = _TONES[tone]
    if tone in {"bad", "unusual"}:
        return f"<b style='color:{colour}'>{mark} {safe}</b>"
    return f"<span style='color:{colour}' aria-hidden=true>{mark}</span> {safe}"

"""The panel's runs as HTML and as text: what comes from Domo is escaped and cut. Pure."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domo_magic.model.formatting import cut, duration_text, fitted, local_time, utc_time, width

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import tzinfo

_BRACKETS = str.maketrans("<>", "\u2039\u203a")
# Long words of programs have joints: before a letter, so that 3.3 stays in one piece.
_JOINT = re.compile(r"(?<=[_./])(?=[^\W\d_])")
HEADS = ("Run", "State", "Started", "Duration", "Rows", "Verdict", "Label")
#: Both tables have the same columns, whatever stands in them.
_COLS = "".join(f"<col style=width:{share}%>" for share in (19, 12.5, 17, 12, 10.5, 21, 8))
MARKS = {"running": "▸", "good": "✓", "bad": "✗", "stopped": "■", "unknown": "?"}
#: Rows that are shown before "more".
FIRST = 50
#: A live table is one message of at most 20 kB; the rest of it is the message's own.
_LIVE_BYTES = 18_500
_PLAIN_WIDTHS = {"Run": 30, "State": 12, "Verdict": 60, "Label": 20}


_QUIET = {"", "usual", "running", "no baseline", "cancelled"}
_BAD = ("failed", "no rows", "stuck", "not followed")


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
    return cut(text, most).translate(_BRACKETS)


def safe(text: str, most: int) -> str:
    """Return a text as HTML that is nothing but text, and may break after ``_``, ``.`` and ``/``.

    Examples
    --------
    >>> safe("R&D_LIMIT", 60)
    'R&amp;D_<wbr>LIMIT'
    """
    return _JOINT.sub("<wbr>", html.escape(cut(text, most)))


def row_html(row: Row, now: float, zone: tzinfo | None = None) -> str:
    """Return one row of a table."""
    head, *cells = _cells(row, now, zone)
    return f"<tr><th scope=row>{head}{''.join(f'<td>{cell}' for cell in cells)}</tr>"


def _cells(row: Row, now: float, zone: tzinfo | None) -> tuple[str, ...]:
    """Return what stands below each of `HEADS`, to be read without any style too."""
    started = "—"
    if row.started_us is not None:
        utc = f"{utc_time(row.started_us):%Y-%m-%d %H:%M:%S} UTC"
        started = f"<span title='{utc}'>{local_time(row.started_us, now, zone)}</span>"
    return (
        f"{safe(row.name, 60)}<br><small>{row.run}</small>" if row.name else row.run,
        f"<i class={row.mark} aria-hidden=true>{MARKS[row.mark]}\u00a0</i>{safe(row.state, 24)}",
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
    word, tone = safe(row.verdict, 60), tone_of(row.verdict)
    says = f"<br><small>{safe(row.says, 160)}</small>" if row.says else ""
    return f"{f'<em class={tone}>{word}</em>' if tone else word}{says}"


def tone_of(verdict: str) -> str:
    """Return ``bad`` or ``unusual`` for a verdict that stands out, else nothing.

    Examples
    --------
    >>> [tone_of(verdict) for verdict in ("usual", "stuck for 3 d", "few rows")]
    ['', 'bad', 'unusual']
    """
    if verdict in _QUIET:
        return ""
    return "bad" if verdict.startswith(_BAD) else "unusual"


def table_html(body: str, caption: str, *, head: bool) -> str:
    """Return a whole table; a `head` that is not shown is still read out."""
    heads = "".join(f"<th scope=col>{name}" for name in HEADS)
    hidden = "" if head else " class=unseen"
    return (
        f"<div class=domo-runs><table><caption class=unseen>{caption}</caption>{_COLS}"
        f"<thead{hidden}><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def live_html(rows: Sequence[Row], now: float, zone: tzinfo | None = None) -> tuple[str, int]:
    """Return the table of unfinished runs, and how many of them it has room for.

    Examples
    --------
    >>> live_html([Row("25775/2")] * 200, 0.0)[1]
    50
    """
    size, body = 0, []
    for row in rows[:FIRST]:
        text = row_html(row, now, zone)
        size += len(json.dumps(text, ensure_ascii=False).encode(errors="replace"))
        if size > _LIVE_BYTES:
            break
        body.append(text)
    return table_html("".join(body), "Unfinished runs, newest first", head=True), len(body)


def ended_html(rows: Iterable[Row], now: float, zone: tzinfo | None = None) -> str:
    """Return the table of the other runs, which stands right below and shares the head."""
    body = "".join(row_html(row, now, zone) for row in rows)
    return table_html(body, "Ended runs, newest first", head=False)


def snapshot_html(rows: Sequence[Row], line: str, now: float, zone: tzinfo | None = None) -> str:
    """Return everything as plain HTML, for notebooks that are read without a kernel and our style."""
    heads = "".join(f"<th scope=col>{_aligned(name, name)}</th>" for name in HEADS)
    body = "".join(_saved_row(row, now, zone) for row in rows[:FIRST])
    rest = f"<p>{len(rows) - FIRST:,} more</p>" if len(rows) > FIRST else ""
    return (
        f"<div class=domo-snapshot><table><caption>{html.escape(line)}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{rest}</div>"
    )


def _saved_row(row: Row, now: float, zone: tzinfo | None) -> str:
    head, *cells = map(_aligned, HEADS, _cells(row, now, zone))
    # Closed, for what cleans a saved notebook would nest them.
    return f"<tr><th scope=row>{head}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _aligned(head: str, cell: str) -> str:
    """Return a cell that says itself where its text stands.

    Notebooks align cells to the right, whatever the cell's own attribute says, and GitHub takes styles away.
    """
    return f"<div align={'right' if head == 'Rows' else 'left'}>{cell}</div>"


def text_table(
    rows: Sequence[Row], now: float, zone: tzinfo | None = None, *, most: int = FIRST, room: int | None = None
) -> list[str]:
    r"""Return the newest rows as lines of plain text.

    Parameters
    ----------
    rows : sequence of Row
        Newest first.
    now, zone : float, tzinfo
        As for `local_time`.
    most : int
        Rows that are shown.
    room : int, optional
        The columns of text that a line may take.

    Examples
    --------
    >>> print(*text_table([Row("25775/2", state="ACTIVE")], 0.0), sep="\n")
    Run      State     Started  Duration  Rows  Verdict  Label
    25775/2  ▸ ACTIVE  —        —            —
    """
    if not rows:
        return []
    cells = zip(*(HEADS, *(_plain(row, now, zone) for row in rows[:most])), strict=True)
    columns = dict(zip(HEADS, map(list, cells), strict=True))
    if room is not None:
        _fit(columns, room)
    widths = {head: max(map(width, texts)) for head, texts in columns.items()}
    lines = [
        "  ".join(_filled(head, text, widths[head]) for head, text in zip(columns, line, strict=True))
        for line in zip(*columns.values(), strict=True)
    ]
    rest = [f"{len(rows) - most:,} more"] if len(rows) > most else []
    return [*(line.rstrip() for line in lines), *rest]


def _filled(head: str, text: str, most: int) -> str:
    """Return a text as wide as its column: numbers stand to the right."""
    room = " " * (most - width(text))
    return room + text if head == "Rows" else text + room


def _fit(columns: dict[str, list[str]], room: int) -> None:
    """Shorten what is long, then drop columns from the right, but never state and verdict."""

    def over() -> int:
        return sum(max(map(width, texts)) + 2 for texts in columns.values()) - 2 - room

    if not any(columns["Label"][1:]):
        del columns["Label"]
    for head, least in (("Verdict", 30), ("Run", 20), ("Verdict", 16)):
        most = max(least, max(map(width, columns[head])) - max(0, over()))
        columns[head] = [fitted(text, most) for text in columns[head]]
    for head in ("Label", "Rows", "Duration", "Started"):
        if over() > 0:
            columns.pop(head, None)
    for head in ("Verdict", "Run", "State"):
        most = max(4, max(map(width, columns[head])) - max(0, over()))
        columns[head] = [fitted(text, most) for text in columns[head]]


def wrapped(text: str, room: int) -> str:
    """Return a text on lines that take at most so many columns of a terminal.

    Examples
    --------
    >>> wrapped("売上 of 2024", 9).splitlines()
    ['売上 of', '2024']
    """
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {fitted(word, room)}".lstrip()
        if width(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(fitted(word, room))
    return "\n".join(lines)


def _plain(row: Row, now: float, zone: tzinfo | None) -> tuple[str, ...]:
    verdict = f"{row.verdict}: {row.says}" if row.says else row.verdict
    return (
        f"{row.run} {plain(row.name, _PLAIN_WIDTHS['Run'])}".rstrip(),
        f"{MARKS[row.mark]} {plain(row.state, _PLAIN_WIDTHS['State'])}",
        "—" if row.started_us is None else local_time(row.started_us, now, zone),
        "—" if row.lasted is None else duration_text(row.lasted),
        "—" if row.rows is None else f"{row.rows:,}",
        plain(verdict, _PLAIN_WIDTHS["Verdict"]),
        plain(row.label, _PLAIN_WIDTHS["Label"]),
    )

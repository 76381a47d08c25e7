"""What a run looks like in one line of text. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domo_magic.model.execution import errors_of
from domo_magic.model.formatting import count_text, cut, duration_text

if TYPE_CHECKING:
    from domo_magic.model.execution import Execution

_LONGEST_TEXT = 300
_LONGEST_STATE = 60


def started(run: Execution) -> str:
    """Return the line of a run that has just been started.

    Examples
    --------
    >>> from domo_magic.model.execution import Execution
    >>> started(Execution(25775, 2, {"currentState": "ACTIVE"}, "Sales Orders", "mycompany"))
    '25775/2 ACTIVE · Sales Orders · mycompany · follow: %domo_wait 25775/2'
    """
    if run.execution_id is None:
        return _joined(f"{run.stream_id} started, which run is not known", run.name, run.instance)
    state = f"{run.run} {run.state or 'started'}"
    return _joined(state, run.name, run.instance, f"follow: %domo_wait {run.run}")


def adopted(run: Execution, elapsed: float | None) -> str:
    """Return what is said of a run that was there already.

    Examples
    --------
    >>> from domo_magic.model.execution import Execution
    >>> adopted(Execution(25775, 2, {"currentState": "ACTIVE"}), 192.0)
    '25775/2 has been running for 3 min 12 s; it is taken up, none was started'
    """
    since = "was there already" if elapsed is None else f"has been running for {duration_text(elapsed)}"
    return f"{run.run} {since}; it is taken up, none was started"


def running(run: Execution, elapsed: float | None, usual: float | None, left: float | None) -> str:
    """Return the line of a run that is waited for.

    Parameters
    ----------
    run : Execution
        As it was last seen.
    elapsed, usual, left : float or None
        Seconds since it began, that such runs usually take, and that this one may still take.
    """
    rows = count_text(run.rows) if run.rows else None
    return _joined(
        f"{run.run} {run.state or ('started' if run.fields else 'not seen yet')}",
        run.name,
        None if elapsed is None else duration_text(elapsed),
        rows,
        _expected(elapsed, usual, left),
    )


def aborting(run: Execution, elapsed: float | None) -> str:
    """Return the line of a run that Domo was asked to abort.

    Examples
    --------
    >>> from domo_magic.model.execution import Execution
    >>> aborting(Execution(25775, 2, {"currentState": "ACTIVE"}), 8.0)
    '25775/2 ACTIVE · 8.0 s · aborting'
    """
    return _joined(
        f"{run.run} {run.state or 'started'}",
        run.name,
        None if elapsed is None else duration_text(elapsed),
        "aborting",
    )


def _expected(elapsed: float | None, usual: float | None, left: float | None) -> str | None:
    if usual is None or elapsed is None:
        return None
    as_rule = (
        f"usually {duration_text(usual)}" if elapsed <= usual else f"over the usual {duration_text(usual)}"
    )
    if left is not None and left >= 1:
        return f"{as_rule}, about {duration_text(left)} left"
    return as_rule


def ended(run: Execution, verdict: str) -> str:
    """Return the line of a run that has ended.

    Parameters
    ----------
    run : Execution
        As it was last seen.
    verdict : str
        ``usual``, empty where nothing is to be said, else a sentence that tells duration and rows.

    Examples
    --------
    >>> from domo_magic.model.execution import Execution
    >>> fields = {"currentState": "SUCCESS", "startedAt": 100, "endedAt": 292, "rowsInserted": 283429}
    >>> ended(Execution(25775, 2, fields), "usual")
    '25775/2 SUCCESS · 3 min 12 s · 283,429 rows · usual'
    """
    state = f"{run.run} {run.state or 'ended'}"
    if run.succeeded and verdict not in {"", "usual"}:
        return _joined(state, verdict)
    lasted = None if run.duration is None else duration_text(run.duration)
    rows = None if run.rows is None else count_text(run.rows)
    return _joined(state, lasted, rows, verdict if run.succeeded else errors_of(run))


def mark(run: Execution) -> str:
    """Return ``good``, ``bad`` or ``running``."""
    if not run.finished:
        return "running"
    return "good" if run.succeeded else "bad"


def total(counts: dict[str, int]) -> str:
    """Return one line for many runs.

    Examples
    --------
    >>> total({"SUCCESS": 11, "ERROR": 1, "": 988})
    '12 of 1,000 ended: 11 SUCCESS, 1 ERROR · 988 unfinished'
    """
    ended_ones = {state: count for state, count in counts.items() if state}
    unfinished = counts.get("", 0)
    done = sum(ended_ones.values())
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(ended_ones.items(), key=_most_first))
    text = f"{done:,} of {done + unfinished:,} ended"
    return _joined(
        f"{text}: {states}" if states else text, f"{unfinished:,} unfinished" if unfinished else None
    )


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _joined(*parts: str | None) -> str:
    return " · ".join(cut(part, _LONGEST_TEXT) for part in parts if part)

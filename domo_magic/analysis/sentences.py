"""A comparison in one plain sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domo_magic.model.formatting import METRICS, bytes_text, count_text, duration_text, ratio_text

if TYPE_CHECKING:
    from collections.abc import Mapping


def sentence(row: Any) -> str:
    """Say in one plain sentence how a run compares.

    Parameters
    ----------
    row : pandas.Series, mapping, named tuple or pandas.DataFrame
        One row of what `compare` gave.

    Returns
    -------
    str
        The run in words, without its id and without a full stop.

    Examples
    --------
    >>> sentence(compare(runs).iloc[0])
    '14 min 02 s, 3.1 times the usual 4 min 31 s; rows as usual'
    """
    facts = _facts(row)
    verdict = facts["verdict"]
    words = verdict.split(", ")
    usual = facts.get("durationBaseline")
    as_rule = "" if usual is None else f", usually {_text('duration', usual)}"
    if verdict == "failed":
        lasted = facts.get("duration")
        after = "" if lasted is None else f" after {_text('duration', lasted)}"
        return f"{facts.get('currentState', 'failed')}{after}{as_rule}"
    if verdict == "running, slow":
        return f"still running, far longer than the usual {_text('duration', usual)}"
    if verdict == "running":
        return f"running{as_rule}"
    said = [_clause(metric, facts, words) for metric in METRICS]
    said.append("nothing usual to compare with yet" if verdict == "no baseline" else "")
    return "; ".join(filter(None, said))


def _clause(metric: str, facts: Mapping[str, Any], words: list[str]) -> str:
    """Say how one metric stands; bytes and memory only where they are unusual."""
    value, usual, ratio = (facts.get(metric + part) for part in ("", "Baseline", "Ratio"))
    if value is None:
        return ""
    if metric == "bytesInserted" and any(word.endswith("rows") for word in words):
        return ""  # fewer rows are fewer bytes: once is enough
    if ratio is not None and any(word in words for word in METRICS[metric] if word):
        memory = "peak memory " if metric == "peakMemoryUsedBytes" else ""
        as_rule = _text(metric, usual).removesuffix(" rows")
        return (
            f"{memory}{_text(metric, value)}{', ' if ratio else ' '}{ratio_text(ratio)} the usual {as_rule}"
        )
    if metric == "duration":
        return _text(metric, value) + (" as usual" if usual is not None else "")
    if metric != "rowsInserted":
        return ""
    return "rows as usual" if usual is not None else _text(metric, value)


def _text(metric: str, value: Any) -> str:
    if metric == "duration":
        return duration_text(value.total_seconds())
    return count_text(value) if metric == "rowsInserted" else bytes_text(value)


def _facts(row: Any) -> dict[str, Any]:
    """Return what is known of a row, whatever holds it."""
    import pandas as pd

    if isinstance(row, pd.DataFrame):
        row = row.iloc[0]
    pairs = row._asdict() if hasattr(row, "_asdict") else row
    facts = {key: value for key, value in pairs.items() if not pd.isna(value)}
    lasted = {key: pd.Timedelta(facts[key]) for key in ("duration", "durationBaseline") if key in facts}
    return facts | lasted

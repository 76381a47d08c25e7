"""A comparison in words: the reason for a verdict, and one plain sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domo_magic.model.formatting import METRICS, metric_text, ratio_text

if TYPE_CHECKING:
    from collections.abc import Mapping


def reason(row: Any) -> str:
    """Return the verdict of a run with the numbers behind it, as the line of an ended run shows it.

    Parameters
    ----------
    row : pandas.Series, mapping, named tuple or pandas.DataFrame
        One row of what `compare` gave.

    Returns
    -------
    str
        What is unusual, each with its ratio and its baseline, joined by ``; ``; of a failed run the
        error. Every other verdict is its own text.

    Examples
    --------
    >>> from domo_magic.analysis.baseline import compare
    >>> reason(compare(runs).iloc[0])
    'usual'
    """
    facts = _facts(row)
    verdict = str(facts["verdict"])
    if verdict == "failed":
        return f"failed: {facts['error']}" if "error" in facts else "failed"
    if verdict == "no rows":
        return f"no rows: usually {_usual('rowsInserted', facts)}"
    words = verdict.split(", ")
    reasons = [
        f"{word}: {_stands(metric, facts)}"
        for metric, both in METRICS.items()
        for word in both
        if word in words and f"{metric}Ratio" in facts
    ]
    return "; ".join(reasons) or verdict


def _stands(metric: str, facts: Mapping[str, Any]) -> str:
    ratio = facts[f"{metric}Ratio"]
    nothing = "" if ratio else f"{metric_text(metric, facts[metric])} "
    return f"{nothing}{ratio_text(ratio)} the usual {_usual(metric, facts)}"


def _usual(metric: str, facts: Mapping[str, Any]) -> str:
    return metric_text(metric, facts[f"{metric}Baseline"]).removesuffix(" rows")


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
    >>> from domo_magic.analysis.baseline import compare
    >>> sentence(compare(runs).iloc[0])
    '5.4 s as usual; rows as usual'
    """
    facts = _facts(row)
    verdict = facts["verdict"]
    words = verdict.split(", ")
    usual = facts.get("durationBaseline")
    as_rule = "" if usual is None else f", usually {metric_text('duration', usual)}"
    if verdict in {"failed", "cancelled"}:
        lasted = facts.get("duration")
        after = "" if lasted is None else f" after {metric_text('duration', lasted)}"
        return f"{facts.get('currentState', 'failed')}{after}{as_rule}"
    if verdict == "running, slow":
        return f"still running, far longer than the usual {metric_text('duration', usual)}"
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
    named = (*METRICS[metric], "no rows") if metric == "rowsInserted" else METRICS[metric]
    if ratio is not None and any(word in words for word in named if word):
        memory = "peak memory " if metric == "peakMemoryUsedBytes" else ""
        stands = f"{', ' if ratio else ' '}{ratio_text(ratio)} the usual {_usual(metric, facts)}"
        return f"{memory}{metric_text(metric, value)}{stands}"
    if metric == "duration":
        return metric_text(metric, value) + (" as usual" if usual is not None else "")
    if metric != "rowsInserted":
        return ""
    return "rows as usual" if usual is not None else metric_text(metric, value)


def _facts(row: Any) -> dict[str, Any]:
    """Return what is known of a row, whatever holds it."""
    import pandas as pd

    if isinstance(row, pd.DataFrame):
        row = row.iloc[0]
    pairs = row._asdict() if hasattr(row, "_asdict") else row
    facts = {key: value for key, value in pairs.items() if not pd.isna(value)}
    lasted = {key: pd.Timedelta(facts[key]) for key in ("duration", "durationBaseline") if key in facts}
    return facts | lasted

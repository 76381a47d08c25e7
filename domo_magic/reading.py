"""The public functions that list and compare: runs, streams, compare, plot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from domo_magic.errors import DomoError, TargetError, Warn, warn
from domo_magic.executions import listing, targets, times
from domo_magic.executions.outcome import interruptible, result
from domo_magic.executions.resolve import stream_ids
from domo_magic.executions.session import current_session
from domo_magic.model.bulk import no_collecting
from domo_magic.model.concurrency import THREADS, each
from domo_magic.model.execution import SUCCESS, Execution
from domo_magic.model.formatting import is_text
from domo_magic.model.frame import frame, newest_first, table, typed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pandas as pd

    from domo_magic.analysis.baseline import Baseline
    from domo_magic.executions.session import Session

# States that a stream may well not have: none of them is a response, not a mistake.
_OFTEN = frozenset({SUCCESS, "ERROR", "ABORTED", "ACTIVE"})
# Of so many runs the states and labels are looked at, and so many of them named.
_LOOKED_AT = 100
_MOST = 10**9
_NAMED = 10


def runs(
    streams: Any = None,
    *,
    limit: int = 100,
    since: float | str | datetime | None = None,
    state: str | None = None,
    label: str | None = None,
    refresh: bool = True,
    instance: str | None = None,
) -> pd.DataFrame:
    """List runs, newest first.

    Parameters
    ----------
    streams : int, str, list, ..., optional
        Streams, of which Domo's own history is joined with what is recorded here. By default the runs
        recorded here, the unfinished ones among them refreshed.
    limit : int
        The most rows.
    since : float, str or datetime, optional
        Only runs that began after that: ``"7d"``, ``"12h"``, a date, or a number of seconds ago.
    state, label : str, optional
        Only runs in that state (``"ERROR"``), or with that label.
    refresh : bool
        False: no request is sent, what is recorded here is shown.
    instance : str, optional
        Another instance than the one last connected.

    Returns
    -------
    pandas.DataFrame
        One row per run, newest first. A start whose fate is open has an empty ``executionId``.

    Raises
    ------
    TargetError, ConfigurationError
        Nothing was asked.
    ApiError
        Of several streams, the others are asked for all the same: ``.rows`` has them.

    Warns
    -----
    DomoWarning
        Domo could not be reached, and what is recorded here is shown; or a state that is none of Domo's
        usual ones, or a label, left no run: names those that there are.

    Examples
    --------
    >>> runs(25775, since="7d", state="ERROR")
    """
    domo_targets = None if streams is None else targets.understood(streams, "streams", repeats=True)
    session = current_session(instance)
    began = 0 if since is None else int(times.since(since, session.clock.time()) * 1e6)
    most = limit_of(limit)
    # One more than is shown tells whether there are more.
    wanted = listing.Wanted(most + 1 if began else most, began, _text("state", state), _text("label", label))
    warn = Warn()
    with interruptible(list):
        ids: list[int] | None = None
        if domo_targets is not None:
            ids = list(dict.fromkeys(stream_ids(session, domo_targets, repeats=True)))
        found = _listed(session, ids, wanted, refresh=refresh, warn=warn)
        if found.empty and not (wanted.label is None and (state or SUCCESS).upper() in _OFTEN):
            there = replace(wanted, limit=_LOOKED_AT, state=None, label=None)
            _tell(wanted, _listed(session, ids, there, refresh=refresh, warn=warn), warn)
    if len(found) > most:
        warn(f"the newest {most:,} runs since then are shown, and there are more; to see them: --limit N")
        found = found.head(most)
    warn.now()
    return found


def _listed(
    session: Session, ids: Sequence[int] | None, wanted: listing.Wanted, *, refresh: bool, warn: Warn
) -> pd.DataFrame:
    if ids is None:
        return frame(listing.recorded(session, wanted, refresh=refresh, warn=warn))
    with no_collecting():  # thousands of records, which are gone when the frame is made
        return _of_streams(session, ids, wanted, refresh=refresh, warn=warn)


def _tell(wanted: listing.Wanted, there: pd.DataFrame, warn: Warn) -> None:
    """Say which states or labels there are where the one that was asked for is not among them."""
    for what, asked, column in (("state", wanted.state, "currentState"), ("label", wanted.label, "label")):
        known = sorted(there[column].dropna().unique())
        if asked is None or there.empty or asked.upper() in _OFTEN or asked in known:
            continue
        names = ", ".join(known[:_NAMED]) + (", ..." if len(known) > _NAMED else "")
        warn(
            f"no run with the {what} {targets.shown(asked)}; the newest {len(there)} have: {names or 'none'}"
        )


def _of_streams(
    session: Session, ids: Sequence[int], wanted: listing.Wanted, *, refresh: bool, warn: Warn
) -> pd.DataFrame:
    def ask(stream_id: int) -> listing.Listed | DomoError:
        try:
            return listing.listed(session, stream_id, wanted, refresh=refresh, warn=warn)
        except DomoError as error:
            return error

    # The pages of one stream come side by side; of several streams, the streams do.
    responses = [ask(ids[0])] if len(ids) == 1 else each(ask, ids, parallel=THREADS)
    lists = [response for response in responses if not isinstance(response, DomoError)]
    fields = [record for records, _ in lists for record in records]
    known = [facts for _, facts_of in lists for facts in facts_of]
    if len(lists) < len(ids):
        runs = listing.runs_of((fields, known), wanted.limit)
        failed = [
            (stream, response)
            for stream, response in zip(ids, responses, strict=True)
            if isinstance(response, DomoError)
        ]
        warn.now()
        result(
            [*runs, *(session.known(Execution(stream)) for stream, _ in failed)],
            [*([None] * len(runs)), *(error for _, error in failed)],
        )
    return newest_first(table(fields, known), wanted.limit)


def limit_of(limit: object) -> int:
    """Understand the most rows that are wanted.

    Raises
    ------
    TargetError
        It is no whole number from 1 on.
    """
    text = str(limit)
    if isinstance(limit, bool) or not text.isascii() or not text.isdigit() or int(text[:19]) < 1:
        raise TargetError(f"limit {targets.shown(text)} is no number from 1 on", "write how many, as 100")
    return min(int(text[:19]), _MOST)


def _text(name: str, value: object) -> str | None:
    if value is not None and not is_text(value):
        raise TargetError(f"{name} {targets.shown(str(value))} is no text", f"write {name} as one word")
    return value if value is None else str(value).strip()


def streams(text: str | None = None, *, limit: int = 50, instance: str | None = None) -> pd.DataFrame:
    """Find streams by the name of their DataSet; the names are remembered and shown with runs.

    Parameters
    ----------
    text : str, optional
        Part of the name, in any case; by default all streams.
    limit : int
        The most rows.
    instance : str, optional
        Another instance than the one last connected.

    Returns
    -------
    pandas.DataFrame
        ``streamId`` (``Int64``), ``name``, ``dataSetId``, ``provider``, ``status`` (``string``), ``rows``
        (``Int64``), ``updatedAt`` (``datetime64[us, UTC]``). DataSets that no connector feeds are left out.

    Raises
    ------
    TargetError, ConfigurationError
        Nothing was asked.
    ConnectionFailed, ApiError, InvalidResponse
        Domo does not say.

    Warns
    -----
    DomoWarning
        No name has the text in it.

    Examples
    --------
    >>> streams("sales")
    """
    if text is not None and not isinstance(text, str):
        raise TargetError(f"{targets.shown(str(text))} is no text", "write part of the DataSet's name")
    most = limit_of(limit)
    session = current_session(instance)
    with interruptible(list):
        columns = listing.streams(session, (text or "").strip(), most)
    if text and not columns["streamId"]:
        here = f"; the runs of stream {text}: %domo_runs {text}" if text.strip().isdigit() else ""
        warn(f"no connector's DataSet has {targets.shown(text.strip())} in its name{here}")
    return typed(columns, listing.STREAM_KINDS)


def compare(
    runs: Any = None,
    *,
    limit: int = 20,
    since: float | str | datetime | None = None,
    baseline: Baseline | str = "median",
    instance: str | None = None,
) -> pd.DataFrame:
    """Compare runs with what is usual for their stream.

    Parameters
    ----------
    runs : int, str, list, DataFrame, ..., optional
        Streams, of which the newest `limit` runs are compared; or runs (``"25775/2"``, a frame of runs),
        which are compared themselves. Either way with what is usual for their stream, for which as much
        of its history is fetched as that needs; ``runs.domo.compare()`` fetches nothing. By default
        every stream with a run recorded here.
    limit : int
        Runs of each stream; without effect where there is a `since`.
    since : float, str or datetime, optional
        The runs that began after that, however many: ``"7d"``, ``"12h"``, a date, or a number of
        seconds ago.
    baseline : "median", "previous" or a run
        The median of the last up to 20 successful runs that had ended before; the newest of these; or
        one run (``"25775/1"``), which is shown beside a single run that is compared with it.
    instance : str, optional
        Another instance than the one last connected.

    Returns
    -------
    pandas.DataFrame
        One row per run, newest first, in 19 columns; see `domo_magic.analysis.baseline.compare`.

    Raises
    ------
    TargetError, ConfigurationError
        Nothing was asked.
    ConnectionFailed, ApiError, InvalidResponse
        Domo does not say; of several streams, ``.rows`` has the runs of the others.

    Examples
    --------
    >>> compare(25775, since="12h")
    """
    from domo_magic.executions.compare import compare_runs

    return compare_runs(runs, limit=limit_of(limit), since=since, baseline=baseline, instance=instance)


def plot(runs: Any, metric: str = "duration", *, ax: Any = None) -> Any:
    """Draw runs over time with what is usual for their stream.

    Parameters
    ----------
    runs : DataFrame, int, str, ...
        A frame of runs; or streams, of which the newest 100 runs are fetched.
    metric : str
        ``duration``, ``rowsInserted``, ``bytesInserted`` or ``peakMemoryUsedBytes``.
    ax : matplotlib.axes.Axes, optional
        Where to draw one stream.

    Returns
    -------
    matplotlib.axes.Axes
        Of several streams an array of them, one each.

    Raises
    ------
    ConfigurationError
        matplotlib is not installed: ``pip install 'domo-magic[plots]'``.
    TargetError
        The metric or the targets cannot be understood.

    Examples
    --------
    >>> plot(runs(25775))
    """
    from domo_magic.analysis import plots

    table = runs if targets.holds_runs(runs) else globals()["runs"](runs)
    return plots.plot(table, metric, ax=ax)

"""Runs and streams as Domo lists them, joined with what is recorded here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from domo_magic.errors import ConnectionFailed, DomoError, InvalidResponse, NotFound, attempted, warn
from domo_magic.executions import targets
from domo_magic.executions.outcome import combined
from domo_magic.executions.reconcile import settle
from domo_magic.http import pagination
from domo_magic.model.bulk import no_collecting
from domo_magic.model.concurrency import THREADS, each
from domo_magic.model.execution import SUCCESS, Execution, whole
from domo_magic.model.formatting import are_shown, count_text, cut
from domo_magic.model.frame import frame
from domo_magic.model.frame import newest_first as newest_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import pandas as pd

    from domo_magic.errors import Warn
    from domo_magic.executions.session import Session

    Record = Mapping[str, Any]
    # Told what is shown in place of what Domo has, and why.
    Missed = Callable[[str, DomoError], None]

Requests = Mapping[int | None, tuple[str | None, int | None]]
_NOT_OURS = (None, None)
_SEARCH_PAGE = 50
# States that a stream may well not have: that there is none is the result, not a mistake.
_OFTEN = frozenset({SUCCESS, "ERROR", "ABORTED", "ACTIVE"})
# Of so many runs the states and labels are looked at, and so many of them named.
_LOOKED_AT = 100
_LONGEST = 60
_NAMED = 10
# Of the runs recorded here the newest, among which those are that a list may lack.
_RECORDED = 50
# So many pages, and one for each stream wanted, are read before a search is given up.
_SEARCH_PAGES = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs are wanted.

    Attributes
    ----------
    limit : int
        The most rows.
    since_us : int
        Epoch microseconds; runs that began before are left out.
    state, label : str or None
        Only runs in this state, or with this label.
    """

    limit: int = 100
    since_us: int = 0
    state: str | None = None
    label: str | None = None

    @property
    def everything(self) -> bool:
        """Whether no run is left out."""
        return not self.since_us and self.state is None and self.label is None

    def fits(self, run: Execution) -> bool:
        """Whether a run is wanted."""
        return (
            began(run) >= self.since_us
            and (self.state is None or (run.state or "").upper() == self.state.upper())
            and (self.label is None or run.label == self.label)
        )


def began(run: Execution) -> int:
    """Return the epoch microseconds by which runs are sorted: the start, or our request for it."""
    started = run.started_us
    return (run.requested_at or 0) * 1000 if started is None else started


def newest_first(runs: Sequence[Execution]) -> list[Execution]:
    """Return the runs, newest first."""
    return sorted(runs, key=lambda run: (began(run), run.execution_id or 0), reverse=True)


def newest(session: Session, stream_id: int, count: int) -> list[Execution]:
    """Return a stream's newest runs, newest first, at least `count` where there are as many.

    Raises
    ------
    ConnectionFailed, ApiError, InvalidResponse
        Domo does not list them.
    """
    runs = pagination.newest(session.client, stream_id, count)
    listed = {run.execution_id or 0 for run in runs}
    return sorted(
        [*late(session, stream_id, listed), *runs], key=lambda run: run.execution_id or 0, reverse=True
    )


def late(session: Session, stream_id: int, listed: Collection[int]) -> list[Execution]:
    """Return the runs recorded here that a list, from its oldest on, should have and has not.

    They are requested, and recorded as they are seen; of those that have ended only the latest.
    """
    recorded = [
        run
        for run in session.history.runs(session.instance, [stream_id], limit=_RECORDED)
        if (run.execution_id or 0) > min(listed, default=0)
        and run.execution_id not in listed
        and (not run.finished or _new(session, run))
    ]
    return looked_at(session, recorded)


def looked_at(session: Session, runs: Sequence[Execution]) -> list[Execution]:
    """Request runs, record what is seen, and return those that are there; as known where Domo is silent."""
    found = each(lambda run: _as_seen(session, run), runs, parallel=THREADS)
    there = [run for run in found if run is not None]
    session.history.saw(session.instance, there)
    return there


def _new(session: Session, run: Execution) -> bool:
    """Whether a run was started here so lately that a list may lack it."""
    return session.clock.time() - (run.requested_at or 0) / 1000 < session.timeouts.start_window


def _as_seen(session: Session, run: Execution) -> Execution | None:
    """Return the run as Domo has it now; None where Domo has it no more."""
    try:
        return session.refreshed(run, repeat=False)
    except NotFound:
        # One just started may not be there yet; a Domo that was made anew, as a sandbox, never has it.
        return run if not run.finished and _new(session, run) else None
    except DomoError:
        return run


def recorded(session: Session, wanted: Wanted, *, refresh: bool, missed: Missed) -> list[Execution]:
    """Return the runs recorded here, the unfinished ones among them as Domo sees them now.

    Parameters
    ----------
    session : Session
        The instance.
    wanted : Wanted
        Which runs.
    refresh : bool
        Whether anything is requested.
    missed : callable
        Told when a request fails, with its error.

    Raises
    ------
    InvalidResponse
        A response makes no sense; ``.executions`` has the runs as they are known.
    """
    if refresh:
        settle(session)
    runs = session.history.runs(session.instance, **asdict(wanted))
    unfinished = [run for run in runs if run.execution_id is not None and not run.finished]
    if not refresh or not unfinished:
        return runs

    responses = each(attempted(session.refreshed), unfinished, parallel=THREADS)
    seen = [response for response in responses if not isinstance(response, DomoError)]
    session.history.saw(session.instance, seen)
    if wanted.state is not None:
        runs = session.history.runs(session.instance, **asdict(wanted))
    now = {run.key: run for run in seen}
    runs = newest_first([now.get(run.key, run) for run in runs])
    problems = [response for response in responses if isinstance(response, DomoError)]
    if invalid := next((problem for problem in problems if isinstance(problem, InvalidResponse)), None):
        raise invalid.about(runs)
    if problems:
        missed(
            "not every unfinished run could be refreshed, the last known state is shown: "
            f"{problems[0].summary}",
            problems[0],
        )
    return runs


def of_stream(
    session: Session, stream_id: int, wanted: Wanted, *, refresh: bool, missed: Missed
) -> list[Execution]:
    """Return a stream's runs, Domo's own list joined with what is recorded here, newest first or nearly so.

    Raises
    ------
    ApiError
        Domo refuses.
    ConnectionFailed
        It cannot be reached, and nothing is recorded here, which else is returned, and told as missed.
    InvalidResponse
        Its response makes no sense; ``.executions`` has the runs recorded here.
    """
    if not refresh:
        return _recorded_of(session, stream_id, wanted)
    settle(session, stream_id)
    ours = session.history.requests(session.instance, stream_id)
    try:
        records = pagination.back_to(session.client, stream_id, _enough(wanted, ours), wanted.limit)
    except InvalidResponse as error:
        raise error.about(_recorded_of(session, stream_id, wanted)) from error.__cause__
    except ConnectionFailed as error:
        if not _recorded_of(session, stream_id, Wanted(limit=1)):
            raise
        missed(f"what is recorded here is shown, not Domo's own list: {error.summary}", error)
        return _recorded_of(session, stream_id, wanted)
    name = session.name(stream_id)
    runs: list[Execution] = []
    for record in records:
        execution_id = whole(record.get("executionId"))
        label, requested_at = ours.get(execution_id, _NOT_OURS)
        runs.append(Execution(stream_id, execution_id, record, name, session.instance, label, requested_at))
    unfinished = session.history.runs(session.instance, [stream_id], finished=False)
    _record_ends(session, unfinished, runs)
    opened = [run for run in unfinished if run.execution_id is None]
    unlisted = late(session, stream_id, {run.execution_id or 0 for run in runs})
    runs = [*opened, *map(session.joined, unlisted), *runs]
    return runs if wanted.everything else [run for run in runs if wanted.fits(run)]


def _recorded_of(session: Session, stream_id: int, wanted: Wanted) -> list[Execution]:
    return session.history.runs(session.instance, [stream_id], **asdict(wanted))


def _record_ends(session: Session, unfinished: Sequence[Execution], runs: Sequence[Execution]) -> None:
    """Record the ends of runs that were recorded here while they were unfinished, and are listed as ended."""
    recorded = {run.execution_id: run for run in unfinished if run.execution_id is not None}
    ended = [recorded[run.execution_id] for run in runs if run.execution_id in recorded and run.finished]
    looked_at(session, ended)  # whose whole response is kept: a list may leave out what went wrong


def _enough(wanted: Wanted, ours: Requests) -> Callable[[Sequence[Record]], bool]:
    """Return what tells whether the list has been read far enough back."""

    def enough(found: Sequence[Record]) -> bool:
        if wanted.everything:
            return len(found) >= wanted.limit
        runs = [Execution(0, whole(record.get("executionId")), record) for record in found]
        fitting = sum(
            wanted.fits(run.replace(label=ours.get(run.execution_id, _NOT_OURS)[0])) for run in runs
        )
        oldest = min((began(run) for run in runs if run.started_us is not None), default=0)
        return fitting >= wanted.limit or oldest < wanted.since_us

    return enough


def frame_of(
    session: Session, ids: Sequence[int] | None, wanted: Wanted, *, refresh: bool, warn: Warn
) -> pd.DataFrame:
    """Return the frame of the runs of streams, or (None) of those recorded here, newest first.

    Where a limit cuts what began `since` or what several streams have, that is said; so are the states or
    labels that there are, where the one that was wanted is not among them.

    Raises
    ------
    DomoError
        Domo refuses; of several streams, ``.rows`` has the runs of the others.
    """
    # One more than is shown tells whether there are more.
    cuts = wanted.since_us or (ids is not None and len(ids) > 1)
    more = replace(wanted, limit=wanted.limit + 1) if cuts else wanted
    found = _listed(session, ids, more, refresh=refresh, warn=warn)
    if found.empty and not (wanted.label is None and (wanted.state or SUCCESS).upper() in _OFTEN):
        there = replace(wanted, limit=_LOOKED_AT, state=None, label=None)
        _tell(wanted, _listed(session, ids, there, refresh=refresh, warn=warn), warn)
    if len(found) > wanted.limit:
        newest = f"the newest {count_text(wanted.limit, 'runs')} {are_shown(wanted.limit)}"
        warn(f"{newest}, and there are more; to see them: --limit N")
        found = newest_rows(found, wanted.limit)
    return found


def newest_of_each(session: Session, ids: Sequence[int], limit: int, *, warn: Warn) -> pd.DataFrame:
    """Return the frame of the newest runs of each stream, stream by stream in the order given.

    Raises
    ------
    DomoError
        Domo refuses; of several streams, ``.rows`` has the runs of the others.
    """
    with no_collecting():
        wanted = Wanted(limit=limit)
        return frame(_of_streams(session, ids, wanted, limit * len(ids), refresh=True, warn=warn))


def _listed(
    session: Session, ids: Sequence[int] | None, wanted: Wanted, *, refresh: bool, warn: Warn
) -> pd.DataFrame:
    if ids is None:
        return frame(recorded(session, wanted, refresh=refresh, missed=lambda text, _error: warn(text)))
    with no_collecting():  # thousands of records, which are gone when the frame is made
        runs = _of_streams(session, ids, wanted, wanted.limit, refresh=refresh, warn=warn)
        return newest_rows(frame(runs), wanted.limit)


def _tell(wanted: Wanted, there: pd.DataFrame, warn: Warn) -> None:
    """Say which states or labels there are where the one that is wanted is not among them."""
    for what, name, column in (("state", wanted.state, "currentState"), ("label", wanted.label, "label")):
        known = sorted(there[column].dropna().unique())
        if name is None or there.empty or name.upper() in _OFTEN or name in known:
            continue
        names = ", ".join(cut(other, _LONGEST) for other in known[:_NAMED])
        names += ", ..." if len(known) > _NAMED else ""
        have = f"the {what}s {names}" if len(known) > 1 else f"the {what} {names}" if known else f"no {what}"
        newest = f"the newest {len(there)} runs have" if len(there) > 1 else "the only run has"
        warn(f"no run with the {what} {targets.shown(name)}; {newest} {have}")


def _of_streams(
    session: Session, ids: Sequence[int], wanted: Wanted, most: int, *, refresh: bool, warn: Warn
) -> list[Execution]:
    """Return the wanted runs of each stream; an error has the newest of all, at most so many."""

    @attempted
    def fetch(stream_id: int) -> list[Execution]:
        return of_stream(session, stream_id, wanted, refresh=refresh, missed=lambda text, _error: warn(text))

    # The pages of one stream come side by side; of several streams, the streams do.
    responses = [fetch(ids[0])] if len(ids) == 1 else each(fetch, ids, parallel=THREADS)
    runs = [run for response in responses if not isinstance(response, DomoError) for run in response]
    named = [session.known(Execution(stream_id)) for stream_id in ids]
    errors = [response if isinstance(response, DomoError) else None for response in responses]
    if (error := combined(named, errors)) is not None:
        warn.now()
        unlisted = [
            run
            for stream, of_stream in zip(named, errors, strict=True)
            if of_stream is not None
            for run in of_stream.executions or [stream]
        ]
        raise error.about([*newest_first(runs)[:most], *unlisted])
    return runs


#: The columns of found streams with their kinds.
STREAM_KINDS = {
    "streamId": "whole",
    "name": "text",
    "dataSetId": "text",
    "provider": "text",
    "status": "text",
    "rows": "whole",
    "updatedAt": "time",
}


def streams(session: Session, text: str, limit: int) -> tuple[dict[str, list[object]], bool]:
    """Find streams by the name of their DataSet; what is found is remembered.

    Returns
    -------
    dict
        The columns of `STREAM_KINDS`.
    bool
        Whether there are more than `limit`.

    Raises
    ------
    ConnectionFailed, ApiError, InvalidResponse
        Domo does not say.
    """
    found: list[tuple[object, ...]] = []
    known: set[str] = set()
    requests = 0
    for offset in range(0, _SEARCH_PAGE * (_SEARCH_PAGES + limit), _SEARCH_PAGE):
        listed = session.client.datasets_page(text, _SEARCH_PAGE, offset)[0]
        items = {str(item.get("id")): item for item in listed if str(item.get("id")) not in known}
        requests += sum("streamId" not in item for item in items.values())
        if requests > _SEARCH_PAGE * _SEARCH_PAGES + limit:  # so many are not requested one by one
            rows = [_stream_row(session, item) for item in items.values() if "streamId" in item]
        else:
            rows = each(lambda item: _stream_row(session, item), list(items.values()), parallel=THREADS)
        found += [row for row in rows if row]
        known |= items.keys()
        # The last page, or the same one again.
        if len(found) > limit or len(listed) < _SEARCH_PAGE or not items:
            break
    else:
        warn(f"the search ended after {len(known):,} DataSets; a longer part of the name finds more")
    more = len(found) > limit
    found = found[:limit]
    session.remember([(int(str(row[0])), _text(row[2]), _text(row[1])) for row in found])
    columns = list(zip(*found, strict=True)) or [()] * len(STREAM_KINDS)
    return {name: list(column) for name, column in zip(STREAM_KINDS, columns, strict=True)}, more


def _stream_row(session: Session, item: Mapping[str, Any]) -> tuple[object, ...] | None:
    """Return the row of a DataSet that a connector feeds, else None."""
    stream_id = whole(item.get("streamId"))
    if "streamId" not in item and isinstance(item.get("id"), str):
        try:
            stream_id = session.client.find_stream(item["id"])
        except DomoError:
            stream_id = None
    if not stream_id or stream_id < 1 or not session.fed_by(stream_id, item.get("transportType")):
        return None
    provider = item.get("dataProviderType") or item.get("displayType")
    return (
        stream_id,
        item.get("name"),
        item.get("id"),
        provider,
        item.get("status") or item.get("state"),
        item.get("rowCount"),
        item.get("lastUpdated"),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None

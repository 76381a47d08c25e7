"""Every connector of an instance in one row: what went wrong lately, worst first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice, pairwise, takewhile
from statistics import median
from typing import TYPE_CHECKING, Any

from domo_magic.analysis import rhythm
from domo_magic.analysis.baseline import BASELINE_RUNS, compare
from domo_magic.errors import ConnectionFailed, DomoError, InvalidResponse, NotFound
from domo_magic.executions import listing
from domo_magic.executions.outcome import aborted
from domo_magic.executions.start import stuck
from domo_magic.fleet.quartz import next_time
from domo_magic.http import pagination
from domo_magic.model.bulk import no_collecting
from domo_magic.model.concurrency import THREADS, each
from domo_magic.model.execution import CONNECTOR, Execution, whole
from domo_magic.model.formatting import METRICS, are_shown, duration_text, local_time
from domo_magic.model.frame import KINDS, keys_of, typed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd

    from domo_magic.executions.session import Session

    Fields = Mapping[str, Any]

#: The columns of an overview with their kinds; durations come from the comparison.
COLUMNS = {
    "streamId": "whole",
    "name": "text",
    "verdict": "text",
    "error": "text",
    "currentState": "text",
    "executionId": "whole",
    "startedAt": "time",
    "duration": "compared",
    "durationBaseline": "compared",
    "rowsInserted": "compared",
    "rowsInsertedBaseline": "compared",
    "runs": "whole",
    "failures": "whole",
    "lastSuccessAt": "time",
    "expectedAt": "time",
    "scheduleState": "text",
    "provider": "text",
    "dataSetId": "text",
    "instance": "text",
}
#: Verdicts, worst first; what is not named here is unusual in some way.
_WORST = ("failed", "stuck", "unknown", "no rows", "overdue")
_UNUSUAL = "unusual"
_BEST = ("cancelled", "recovered", "never ran", "paused", "running", "no baseline", "usual")
_RANKS = {word: rank for rank, word in enumerate((*_WORST, _UNUSUAL, *_BEST))}

_DATASETS_PAGE = _STREAMS_PAGE = 50
# So many DataSets are listed; a server that passes over `offset` lists for ever.
_MOST = 200_000
# Of a list that is not the short history so many are read at first; clients look for stuck runs among 100.
_NEWEST = 100
# Of the runs that were aborted lately so many are requested one by one to see who aborted them.
_LOOKED_AT = 3
# Of the runs recorded here the newest that a list may lack, and how many runs are compared together.
_RECORDED, _TOGETHER = 10_000, 4_000
# A start is late after so many microseconds, and one so long before its time is that start.
_LATE_US, _EARLY_US = 15 * 60_000_000, 60_000_000
_GAPS = 5
# Verdicts that more history may change.
_DOUBTFUL = frozenset(("no rows", *(word for words in METRICS.values() for word in words if word)))
# Stuck runs that are named beside the oldest.
_NAMED = 5
_COMPARED = (
    *("streamId", "executionId", "currentState", "startedAt", "endedAt"),
    *("rowsInserted", "bytesInserted", "peakMemoryUsedBytes", "cancelledBy", "errors"),
)


@dataclass(slots=True)
class _Connector:
    """A connector, as far as it is known.

    Attributes
    ----------
    stream_id : int
        Its stream.
    dataset, stream : mapping
        Domo's JSON of its DataSet and of its stream; the latter empty where it could not be had.
    judged : _Judged or None
        What its runs tell, once they are there.
    error : DomoError or None
        Why its runs are not known.
    """

    stream_id: int
    dataset: Fields
    stream: Fields = field(default_factory=dict)
    judged: _Judged | None = None
    error: DomoError | None = None

    @property
    def fed(self) -> bool:
        """Whether a connector feeds the DataSet, as far as Domo says it."""
        transport = self.stream.get("transport")
        kind = transport.get("type") if isinstance(transport, dict) else self.dataset.get("transportType")
        return not self.stream.get("deleted") and str(kind or CONNECTOR).upper() == CONNECTOR

    @property
    def schedule(self) -> str | None:
        """The state of its schedule: ``ACTIVE``, ``INACTIVE``, ``MANUAL``."""
        state = self.stream.get("scheduleState")
        return state if isinstance(state, str) else None


def overview(
    session: Session,
    text: str,
    since_us: int,
    limit: int,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[pd.DataFrame, str]:
    """Return one row per connector, worst first, and the headline.

    Parameters
    ----------
    session : Session
        The instance.
    text : str
        Part of the name of the DataSet; empty: every connector.
    since_us : int
        Epoch microseconds from which on runs and failures are counted.
    limit : int
        The most rows; all are judged.
    progress : callable, optional
        Called on the calling thread with the connectors done, and how many there are.

    Raises
    ------
    DomoError
        The DataSets are not listed.
    """
    import pandas as pd

    with no_collecting():
        connectors = _connectors(session, text)
        now_us = int((session.clock.time() + session.client.skew) * 1e6)
        compared = _subjects(connectors, _judge_all(session, connectors, since_us, now_us, progress))
        compared = _in_rhythm(session, connectors, compared, now_us)
        columns = _columns(session, connectors, compared)
    rank = [_RANKS.get(verdict, _RANKS[_UNUSUAL]) for verdict in columns["verdict"].to_numpy()]
    began = columns["startedAt"]
    order = pd.DataFrame({"rank": rank, "began": began}).sort_values(
        ["rank", "began"], ascending=[True, False], na_position="last", kind="stable"
    )
    rows = columns.loc[order.index].reset_index(drop=True)
    return rows.head(limit), _headline(rows, limit)


def _headline(rows: pd.DataFrame, limit: int) -> str:
    counts = Counter(rows["verdict"])
    usual = counts.pop("usual", 0)
    words = [f"{usual:,} usual", *(f"{count:,} {word}" for word, count in counts.most_common())]
    cut = f"; the worst {limit:,} {are_shown(limit)}" if len(rows) > limit else ""
    named = "connector" if len(rows) == 1 else "connectors"
    return " · ".join([f"{len(rows):,} {named}", *words]) + cut


def calm(rows: pd.DataFrame) -> bool:
    """Return True if no connector of an overview needs a look."""
    return set(rows["verdict"]) <= set(_BEST)


def connectors_named(session: Session, parallel: int = THREADS) -> dict[int, str | None]:
    """Return the streams of all connectors with the names of their DataSets.

    Raises
    ------
    DomoError
        The DataSets are not listed.
    """
    return {one.stream_id: _text(one.dataset, "name") for one in _connectors(session, "", parallel)}


def _connectors(session: Session, text: str, parallel: int = THREADS) -> list[_Connector]:
    """Return the connectors whose DataSet has `text` in its name, each with its stream."""
    items = _datasets(session, text, parallel)
    found: dict[int, _Connector] = {}
    for item in items:
        stream_id = whole(item.get("streamId"))
        if stream_id and stream_id > 0 and session.fed_by(stream_id, item.get("transportType")):
            found.setdefault(stream_id, _Connector(stream_id, item))
    session.remember(
        [(one.stream_id, _text(one.dataset, "id"), _text(one.dataset, "name")) for one in found.values()]
    )
    ids = list(found)
    batches = [ids[at : at + _STREAMS_PAGE] for at in range(0, len(ids), _STREAMS_PAGE)]
    for streams in each(lambda batch: _streams(session, batch), batches, parallel=parallel):
        for stream_id, stream in streams.items():
            found[stream_id].stream = stream
    return [connector for connector in found.values() if connector.fed]


def _datasets(session: Session, text: str, parallel: int) -> list[dict[str, Any]]:
    """Return all DataSets with `text` in their names, each once, side by side where Domo counts them."""

    def page(offset: int) -> list[dict[str, Any]]:
        return session.client.datasets_page(text, _DATASETS_PAGE, offset)[0]

    items, total = session.client.datasets_page(text, _DATASETS_PAGE, 0)
    if not items:
        return []
    for more in each(page, range(len(items), min(total or 0, _MOST), len(items)), parallel=parallel):
        items = items + more
    known = {str(item.get("id")): item for item in items}
    while len(known) != total and len(items) < _MOST:  # Domo does not count them, or not these
        more = page(len(items))
        fresh = {str(item.get("id")): item for item in more}
        if fresh.keys() <= known.keys():
            break
        items, known = items + more, known | fresh
    return list(known.values())


def _streams(session: Session, ids: Sequence[int]) -> dict[int, Fields]:
    """Return the streams of one batch; one by one where Domo refuses them together, or leaves some out."""
    found: dict[int, Fields] = {}
    try:
        found.update(session.client.get_streams(ids))
    except DomoError:
        if session.client.retry_after:
            return {}
    for stream_id in ids:
        if stream_id not in found:
            try:
                found[stream_id] = session.client.get_stream(stream_id)
            except ConnectionFailed:
                break
            except DomoError:
                continue
    return found


def _judge_all(
    session: Session,
    connectors: Sequence[_Connector],
    since_us: int,
    now_us: int,
    progress: Callable[[int, int], None],
) -> pd.DataFrame:
    """Request the runs of every connector, and compare them while others are still under way."""
    import pandas as pd

    recorded: dict[int, list[Execution]] = {}
    for run in session.history.runs(session.instance, limit=_RECORDED):
        recorded.setdefault(run.stream_id, []).append(run)
    waiting: list[Execution] = []
    compared: list[pd.DataFrame] = []
    done = 0

    def arrived(index: int, found: list[Execution] | DomoError) -> None:
        nonlocal done
        done += 1
        if isinstance(found, DomoError):
            connectors[index].error = found
        else:
            connectors[index].judged = judged = _judged(connectors[index], found, since_us, now_us)
            waiting.extend(judged.compared)
        if done == len(connectors) or len(waiting) >= _TOGETHER:
            compared.append(_compared(waiting, now_us))
            waiting.clear()
        progress(done, len(connectors))

    def fetch(connector: _Connector) -> list[Execution] | DomoError:
        try:
            return _runs(session, connector, since_us, recorded.get(connector.stream_id, []))
        except DomoError as error:
            return error

    # Twice as many as there are threads: one that has a response goes on without waiting for this one.
    each(fetch, connectors, parallel=2 * THREADS, arrived=arrived)
    return pd.concat(compared, ignore_index=True) if compared else _compared([], now_us)


def _runs(
    session: Session, connector: _Connector, since_us: int, recorded: Sequence[Execution]
) -> list[Execution]:
    """Return a connector's newest runs, newest first: as many as its verdict and the counts need."""
    stream_id = connector.stream_id
    try:
        runs = session.client.execution_history(stream_id)
    except (InvalidResponse, NotFound):
        runs = _listed(session, stream_id, since_us, None)
    found = {run.execution_id or 0: run for run in runs}
    for name in ("lastSuccessfulExecution", "lastExecution", "currentExecution"):
        fields = connector.stream.get(name)
        if isinstance(fields, dict) and (run := Execution.from_json(fields, stream_id)).execution_id:
            found[run.execution_id] = run
    if found and not _enough(list(found.values()), since_us):
        found |= {run.execution_id or 0: run for run in _listed(session, stream_id, since_us, max(found))}
    late = [run for run in recorded if run.execution_id and run.execution_id > max(found, default=0)]
    found |= {run.execution_id or 0: run for run in listing.looked_at(session, late)} if late else {}
    here = session.history.cancelled_here(session.instance, stream_id) if recorded else set()
    ordered = listing.newest_first(list(found.values()))
    full = {run.execution_id: run for run in _in_full(session, ordered, since_us, here)}
    return [full.get(run.execution_id, run) for run in ordered]


def _listed(session: Session, stream_id: int, since_us: int, up_to: int | None) -> list[Execution]:
    def enough(records: Sequence[Fields]) -> bool:
        return _enough([Execution.from_json(record, stream_id) for record in records], since_us)

    records = pagination.back_to(session.client, stream_id, enough, _NEWEST, up_to=up_to)
    return [Execution.from_json(record, stream_id) for record in records]


def _enough(runs: Sequence[Execution], since_us: int) -> bool:
    """Return True if runs reach back to `since_us`, and hold the baseline of the newest that has ended."""
    if not runs:
        return False
    if min(run.execution_id or 0 for run in runs) <= 1:
        return True
    ordered = listing.newest_first(runs)
    if listing.began(ordered[-1]) >= since_us:
        return False
    subject = next((run for run in ordered if run.finished), ordered[0])
    return len(_behind(subject, ordered)) >= BASELINE_RUNS


def _behind(
    subject: Execution, newest_first: Iterable[Execution], most: int = BASELINE_RUNS
) -> list[Execution]:
    """Return the newest successful runs that had ended before a run started."""
    began = subject.started_us
    if began is None:
        return []
    before = (
        run
        for run in newest_first
        if run.succeeded and (run.ended_us or began) < began and run is not subject
    )
    return list(islice(before, most))


def _since(newest_first: Iterable[Execution], since_us: int) -> list[Execution]:
    return list(takewhile(lambda run: listing.began(run) >= since_us, newest_first))


def _in_full(
    session: Session, ordered: Sequence[Execution], since_us: int, here: set[int]
) -> list[Execution]:
    """Return what the verdict needs in full: the newest run that has ended, and those aborted lately."""
    newest = islice((run for run in ordered if run.finished), 1)
    stopped = [run for run in _since(ordered, since_us) if run.aborted]
    wanted = {run.execution_id: run for run in [*newest, *stopped[:_LOOKED_AT]] if not run.succeeded}
    full = []
    for run in wanted.values():
        found = run
        if not run.fields.get("errors") and not run.fields.get("cancelledBy"):
            try:
                found = session.client.get_execution(run.stream_id, run.execution_id or 0, repeat=False)
            except DomoError:
                found = run  # its verdict is known, its cause is not
        full.append(aborted(found) if run.execution_id in here else found)
    return full


@dataclass(frozen=True, slots=True)
class _Judged:
    """What is known of a connector before its run is compared.

    Attributes
    ----------
    subject : Execution or None
        The run that the verdict is about.
    verdict : str
        One that comparing does not know, or nothing.
    error : str or None
        What is to be said about that.
    runs, failures : int or None
        How many began, and failed, since then.
    success_us, expected_us : int or None
        Epoch microseconds of the end of the last success, and of the next start.
    compared : tuple of Execution
        The subject, and the runs that it is compared with.
    """

    subject: Execution | None
    verdict: str
    error: str | None = None
    runs: int | None = None
    failures: int | None = None
    success_us: int | None = None
    expected_us: int | None = None
    compared: tuple[Execution, ...] = ()


def _judged(connector: _Connector, runs: Sequence[Execution], since_us: int, now_us: int) -> _Judged:
    if not runs:
        return _Judged(None, "never ran", runs=0, failures=0)
    hanging = [run for run in reversed(runs) if not run.finished and stuck(run, runs, now_us)]
    newest = next((run for run in runs if run.finished), runs[0])
    subject = hanging[0] if hanging else newest
    expected = _expected(connector, runs)
    verdict, error = "", None
    if hanging:
        verdict, error = "stuck", _stuck_for(hanging, now_us)
    elif expected is not None and runs[0].finished and expected[1] < now_us:
        verdict, error = "overdue", f"expected at {local_time(expected[0], now_us / 1e6)}"
    elif (connector.schedule or "").upper() not in {"", "ACTIVE", "MANUAL"}:
        verdict = "paused"
    recent = _since(runs, since_us)
    return _Judged(
        subject,
        verdict,
        error,
        len(recent),
        sum(run.finished and not run.succeeded and not run.fields.get("cancelledBy") for run in recent),
        next((run.ended_us for run in runs if run.succeeded and run.ended_us), None),
        None if expected is None else expected[0],
        (subject, *_behind(subject, runs)),
    )


def _stuck_for(oldest_first: Sequence[Execution], now_us: int) -> str:
    oldest, *others = oldest_first
    text = f"unfinished for {duration_text((now_us - listing.began(oldest)) / 1e6)}"
    if not others:
        return text
    named = ", ".join(run.run for run in others[:_NAMED]) + (", ..." if len(others) > _NAMED else "")
    return f"{text}; also stuck: {named}; to cancel all: %domo_cancel {oldest.stream_id} --all"


def _expected(connector: _Connector, runs: Sequence[Execution]) -> tuple[int, int] | None:
    """Return when a connector's next start is due, and from when on it is overdue (epoch microseconds)."""
    schedule = (connector.schedule or "").upper()
    newest = runs[0].started_us
    if newest is None or schedule not in {"", "ACTIVE"}:
        return None
    expression = connector.stream.get("scheduleExpression")
    if schedule and isinstance(expression, str):
        due = next_time(expression, (newest + _EARLY_US) / 1e6)
        if due is not None:
            return int(due * 1e6), int(due * 1e6) + _LATE_US
    starts = [
        run.started_us
        for run in runs
        if run.started_us is not None and (not run.manual or (schedule and "runType" not in run.fields))
    ]
    if len(starts) < _GAPS:
        return None
    gap = median(later - earlier for later, earlier in pairwise(starts))
    return newest + int(gap), newest + int(1.5 * gap)


def _subjects(connectors: Sequence[_Connector], compared: pd.DataFrame) -> pd.DataFrame:
    """Return how each connector's run compares, in the order given; empty where there is none."""
    places = {key: place for place, key in enumerate(keys_of(compared))}
    subjects = [connector.judged.subject if connector.judged else None for connector in connectors]
    rows = [-1 if run is None else places[run.stream_id, run.execution_id] for run in subjects]
    return compared.reindex(rows).reset_index(drop=True)


def _in_rhythm(
    session: Session, connectors: Sequence[_Connector], compared: pd.DataFrame, now_us: int
) -> pd.DataFrame:
    """Compare what seems unusual with more of its history.

    A rhythm hardly shows in the newest 20 runs: of streams with one they raise up to 300 false alarms per
    1,000 usual runs, where 100 raise 10.
    """
    import pandas as pd

    words = compared["verdict"].fillna("").str.split(", ")
    doubtful = [place for place, said in enumerate(words) if not _DOUBTFUL.isdisjoint(said)]
    subjects = [judged.subject for place in doubtful if (judged := connectors[place].judged)]
    pasts = each(lambda run: _past(session, run), subjects, parallel=THREADS)
    known = [place for place, past in zip(doubtful, pasts, strict=True) if past]
    if not known:
        return compared
    again = _compared([run for past in pasts for run in past], now_us)
    places = {key: row for row, key in enumerate(keys_of(again))}
    rows = [places[key] for key in keys_of(compared.loc[known])]
    return pd.concat([compared.drop(known), again.loc[rows].set_axis(known)]).sort_index()


def _past(session: Session, run: Execution | None) -> list[Execution]:
    """Return a run and what it is compared with where there may be a rhythm; nothing where Domo refuses."""
    if run is None:
        return []
    try:
        records = pagination.back_to(
            session.client, run.stream_id, lambda _: True, _NEWEST, up_to=run.execution_id
        )
    except DomoError:
        return []
    listed = [Execution.from_json(record, run.stream_id) for record in records]
    return [run, *_behind(run, listing.newest_first(listed), rhythm.RHYTHM_RUNS)]


def _columns(session: Session, connectors: Sequence[_Connector], compared: pd.DataFrame) -> pd.DataFrame:
    """Return the frame of all connectors, in the order given, beside which `compared` stands."""
    import pandas as pd

    judged = [connector.judged or _Judged(None, "unknown") for connector in connectors]
    verdicts = [
        _verdict(about, None if pd.isna(word) else word)
        for about, word in zip(judged, compared["verdict"], strict=True)
    ]
    known: dict[str, list[Any]] = {
        "streamId": [about.stream_id for about in connectors],
        "name": [about.dataset.get("name") for about in connectors],
        "verdict": verdicts,
        "error": [
            about.error.summary if about.error else known.error or said
            for about, known, said in zip(connectors, judged, compared["error"].astype(object), strict=True)
        ],
        "currentState": [about.subject and about.subject.state for about in judged],
        "executionId": [about.subject and about.subject.execution_id for about in judged],
        "startedAt": [
            _seconds(None if about.subject is None else about.subject.started_us) for about in judged
        ],
        "runs": [about.runs for about in judged],
        "failures": [about.failures for about in judged],
        "lastSuccessAt": [_seconds(about.success_us) for about in judged],
        "expectedAt": [_seconds(about.expected_us) for about in judged],
        "scheduleState": [about.schedule for about in connectors],
        "provider": [_provider(about) for about in connectors],
        "dataSetId": [about.dataset.get("id") for about in connectors],
        "instance": [session.instance] * len(connectors),
    }
    known["error"] = [None if pd.isna(text) else text for text in known["error"]]
    frame = typed(known, {name: COLUMNS[name] for name in known})
    return pd.DataFrame({name: (frame if name in known else compared)[name] for name in COLUMNS}, copy=False)


def _verdict(judged: _Judged, compared: str | None) -> str:
    """Return the worst of what comparing says and what is known beside it."""
    if compared is None or judged.verdict == "stuck":
        return judged.verdict
    word = "recovered" if compared == "usual" and judged.failures else compared
    words = [about for about in (judged.verdict, word) if about]
    return min(words, key=lambda about: _RANKS.get(about, _RANKS[_UNUSUAL]))


def _compared(runs: Sequence[Execution], now_us: int) -> pd.DataFrame:
    """Compare runs with those of their streams that stand beside them."""
    import pandas as pd

    columns: dict[str, list[Any]] = {name: [run.fields.get(name) for run in runs] for name in _COMPARED}
    columns |= {
        "streamId": [run.stream_id for run in runs],
        "executionId": [run.execution_id for run in runs],
    }
    table = typed(columns, {name: KINDS[name] for name in columns})
    return compare(table, now=pd.Timestamp(now_us, unit="us", tz="UTC"))


def _seconds(us: int | None) -> float | None:
    return None if us is None else us / 1e6


def _provider(connector: _Connector) -> object:
    provider = connector.stream.get("dataProvider")
    named = provider.get("name") or provider.get("key") if isinstance(provider, dict) else None
    return named or connector.dataset.get("dataProviderType") or connector.dataset.get("displayType")


def _text(fields: Fields, name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) else None

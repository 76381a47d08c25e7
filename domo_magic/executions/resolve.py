"""From what a user wrote to streams and runs; DataSets and newest runs are requested."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from domo_magic.errors import ConfigurationError, DomoError, RunTimeout, TargetError, attempted
from domo_magic.executions import listing
from domo_magic.executions.reconcile import settle
from domo_magic.executions.targets import refuse_twice, shown
from domo_magic.http.address import address
from domo_magic.model.concurrency import THREADS, each, in_time
from domo_magic.model.execution import Execution, whole
from domo_magic.model.formatting import cut, duration_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domo_magic.executions.poller import Listener
    from domo_magic.executions.session import Session
    from domo_magic.executions.targets import Meant, Target
    from domo_magic.model.execution import Key

_DAY = 86_400.0


def stream_ids(
    session: Session, targets: Sequence[Target], *, repeats: bool = False, meant: Meant = "streams"
) -> list[int]:
    """Return the stream of every target; those of DataSets are requested.

    Raises
    ------
    TargetError
        A DataSet is fed by no connector, belongs to another instance, or, unless there may be
        `repeats`, is there twice; nothing was started.
    DomoError
        Domo did not say.
    """
    _refuse_elsewhere(session, targets)

    @attempted
    def fetch(target: Target) -> int:
        return target.stream_id or _stream_of(session, target.dataset_id or "")

    if all(target.stream_id is not None for target in targets):
        return [target.stream_id or 0 for target in targets]
    found: list[int] = []
    for response in each(fetch, targets, parallel=THREADS):
        if isinstance(response, DomoError):
            raise response
        found.append(response)
    if not repeats:
        alike = zip(targets, found, strict=True)
        refuse_twice((replace(target, stream_id=stream, dataset_id=None) for target, stream in alike), meant)
    return found


def _refuse_elsewhere(session: Session, targets: Sequence[Target]) -> None:
    """Refuse an address at another host, and a frame's row of another instance."""
    here = session.login.address.host
    for target in targets:
        if target.host is not None and target.host != here:
            raise TargetError(
                f"{shown(target.text)} is at {target.host}, but what is connected is {here}",
                _connecting(target.host),
            )
        if target.instance is not None and target.instance != session.instance:
            raise TargetError(
                f"{shown(target.text)} is a row of {target.instance}, but connected is {session.instance}",
                f"add --instance {target.instance} (instance={target.instance!r})",
            )


def _connecting(host: str) -> str:
    """Return the advice for a page of another host: a pasted address must lead no token astray."""
    try:
        trusted = address(f"https://{host}").trusted
    except ConfigurationError:
        trusted = False
    if trusted:
        return f"connect to it first: %domo_connect https://{host}"
    return "that is not a host of Domo's; look at the address again"


def _stream_of(session: Session, dataset_id: str) -> int:
    dataset = session.client.get_dataset(dataset_id)
    name = dataset.get("name")
    stream_id = whole(dataset.get("streamId")) or session.client.find_stream(dataset_id) or 0
    if stream_id < 1:
        called = f" ({cut(name, 100)})" if isinstance(name, str) else ""
        raise TargetError(
            f"the DataSet {dataset_id}{called} is not fed by a connector, so there is nothing to run",
            "to find one that is: %domo_streams PART_OF_ITS_NAME",
        )
    session.fed_by(stream_id, dataset.get("transportType"))
    session.remember([(stream_id, dataset_id, name if isinstance(name, str) else None)])
    return stream_id


def targets_of(
    session: Session, wanted: Sequence[Target], *, repeats: bool = False
) -> list[tuple[int, int | None]]:
    """Return ``(stream_id, execution_id)`` of every target; a stream alone has no ``execution_id``.

    Raises
    ------
    TargetError
        As for `stream_ids`.
    DomoError
        Domo did not say.
    """
    _refuse_elsewhere(session, wanted)
    streams = [target for target in wanted if target.execution_id is None]
    ids = dict(zip(streams, stream_ids(session, streams, repeats=repeats, meant="runs"), strict=True))
    return [
        (ids[target], None) if target.execution_id is None else (target.stream_id or 0, target.execution_id)
        for target in wanted
    ]


def newest_run(session: Session, stream_id: int) -> Execution:
    """Return the newest run of a stream.

    Raises
    ------
    TargetError
        It has none.
    DomoError
        Domo did not say.
    """
    runs = listing.newest(session, stream_id, 1)
    if not runs:
        raise TargetError(f"stream {stream_id} has never run", f"to start it: %domo_run {stream_id}")
    run = runs[0]
    if run.finished and not run.succeeded:  # a list may leave out what went wrong
        run = session.client.get_execution(stream_id, run.execution_id or 0)
    return session.joined(run)


def unfinished_here(session: Session) -> list[Execution]:
    """Return the runs started here in the last 24 hours that were not seen to end, newest first."""
    return _by_age(session)[0]


def _by_age(session: Session) -> tuple[list[Execution], list[Execution]]:
    """Return the runs started here that were not seen to end: of the last 24 hours, and older ones."""
    day_ago_ms = (session.clock.time() - _DAY) * 1000
    recent: list[Execution] = []
    older: list[Execution] = []
    for run in session.history.unfinished(session.instance):
        (recent if (run.requested_at or 0) >= day_ago_ms else older).append(run)
    return recent, older


def runs_started_here(
    session: Session, listener: Listener, timeout: float | None
) -> tuple[list[Execution], list[DomoError | None]]:
    """Return the unfinished runs started here in the last 24 hours, oldest first; older ones are named."""
    with suppress(TimeoutError):  # a start whose fate is open stays so
        in_time(lambda: settle(session), _limit(session, timeout))
    recent, older = _by_age(session)
    if older:
        names = " ".join(known.run for known in older)
        listener.say("unknown", f"started over 24 h ago and not waited for: %domo_wait {names}")
    if not recent:
        listener.say("good", "no unfinished runs that were started here in the last 24 h")
    return list(reversed(recent)), [None] * len(recent)


def runs_in_time(
    session: Session, wanted: Sequence[Target], timeout: float | None
) -> tuple[list[Execution], list[DomoError | None]]:
    """Return what `runs_named` does, within so many seconds and those of a last look.

    Raises
    ------
    RunTimeout
        Domo has not named the newest run of a stream until then.
    """
    try:
        return in_time(lambda: runs_named(session, wanted), _limit(session, timeout))
    except TimeoutError:
        runs = [
            session.known(Execution(target.stream_id, target.execution_id))
            for target in wanted
            if target.stream_id
        ]
        after = duration_text(timeout or 0.0)
        raise RunTimeout(
            f"timed out after {after}: {session.login.address.host} has not named the newest run",
            "to wait again: the same line; to see the runs: %domo_runs and the stream's id",
        ).about(runs) from None


def _limit(session: Session, timeout: float | None) -> float | None:
    return None if timeout is None else timeout + session.timeouts.last_look


def runs_named(session: Session, wanted: Sequence[Target]) -> tuple[list[Execution], list[DomoError | None]]:
    """Return every run that is meant, requested from Domo; what cannot be had becomes its error."""

    def fetch(key: Key) -> tuple[Execution, DomoError | None]:
        stream_id, execution_id = key
        try:
            if execution_id is not None:
                # Polled at once, in which an error does not end the wait.
                return session.joined(Execution(stream_id, execution_id)), None
            settle(session, stream_id)
            return newest_run(session, stream_id), None
        except DomoError as error:
            return session.known(Execution(stream_id, execution_id)), error

    found = each(fetch, list(dict.fromkeys(targets_of(session, wanted))), parallel=THREADS)
    once = {run.key: (run, error) for run, error in found}
    session.history.saw(session.instance, [run for run, error in once.values() if run.fields])
    return [run for run, _ in once.values()], [error for _, error in once.values()]

"""What a panel knows: its runs, what was started last, what went wrong. Safe on any thread; no widgets."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domo_magic.errors import ConfigurationError, DomoError
from domo_magic.executions.listing import newest_first
from domo_magic.executions.outcome import Judgement
from domo_magic.executions.session import current_session
from domo_magic.executions.start import stuck

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from domo_magic.executions.poller import Poller, Watch
    from domo_magic.executions.session import Session
    from domo_magic.executions.targets import Target
    from domo_magic.model.execution import Execution, Key

#: The name of the threads that do what is clicked.
NAME = "domo_magic panel"
# A panel looks again so often for what was started elsewhere.
_LOOK_S = 60.0
# No run looks stuck before.
_YOUNG_US = 3_600_000_000
#: Runs that are compared side by side: as many as fit beside each other.
SIDE_BY_SIDE = 6


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What waits for a second button: a job's name, what that button says, why, and what it will do."""

    what: str
    says: str
    why: str
    act: Callable[[], None]


class PanelState:
    """What one panel knows.

    Parameters
    ----------
    targets : sequence of Target
        The streams whose runs it shows; none: the runs recorded here.
    instance : str or None
        As the user named it; the panel stays with the one that this was when it was first known.
    every : float
        Seconds between two looks for what was started elsewhere.

    Attributes
    ----------
    changed : callable
        Called on any thread when something is to be drawn anew.
    ticked : callable
        Called on the following thread, every half second.
    error : DomoError or None
        What went wrong last.
    note : str
        What else there is to say.
    last, selected : list
        The responses to the last start; the keys of the chosen runs.
    found : list
        ``(stream_id, words)`` of the last search; None: nothing was searched for.
    confirmation : Confirmation or None
        What is done only when it is confirmed.
    as_of : float or None
        Epoch seconds of the last look that Domo responded to.
    trouble : DomoError or None
        Why the looks since then failed.
    silent : dict
        Since when (epoch seconds) Domo has not told anything about a run.
    stale : bool
        Runs have changed since they were last compared with what is usual.
    drawn : int
        Counts the changes of what is drawn seldom.
    over : threading.Event
        Set when the panel is closed.
    """

    def __init__(
        self, targets: Sequence[Target] = (), instance: str | None = None, *, every: float = _LOOK_S
    ) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.ticked: Callable[[], None] = lambda: None
        self.targets = tuple(targets)
        self.error: DomoError | None = None
        self.note = ""
        self.last: list[Execution] = []
        self.selected: list[Key] = []
        self.found: list[tuple[int, str]] | None = None
        self.confirmation: Confirmation | None = None
        self.as_of: float | None = None
        self.trouble: DomoError | None = None
        self.silent: dict[Key, float] = {}
        self.drawn = 0
        self.stale = True
        self.every = every
        self.over = threading.Event()
        self.judgements: dict[Key, Judgement] = {}
        self._instance = instance
        self._runs: dict[Key, Execution] = {}
        self._lock = threading.RLock()
        self._idle = threading.Condition(self._lock)
        self._doing: set[str] = set()
        self._asked = 0
        self._clicked = False
        self._made_ms = time.time() * 1000
        self._watches: list[tuple[Poller, Watch]] = []
        self._followed: set[Key] = set()
        self._cancelling: set[Key] = set()

    # Where

    @property
    def session(self) -> Session | None:
        """The instance, where one is known."""
        try:
            return self.connected()
        except ConfigurationError:
            return None

    def connected(self) -> Session:
        """Return the connection to the instance that the panel stays with, the latest there is.

        Raises
        ------
        ConfigurationError
            None is known yet.
        """
        session = current_session(self._instance)
        self._instance = session.instance
        return session

    def tick(self) -> None:
        """Draw the time that has passed."""
        if not self.closed:
            self.ticked()

    # Clicks

    def begin(
        self,
        what: str,
        job: Callable[[], None],
        *,
        clicked: bool = True,
        again: Callable[[], object] = bool,
    ) -> bool:
        """Do a job on a thread of its own, unless one of that name is under way; return whether it began.

        It is done once more as long as `again` is true: what changed meanwhile could not begin another.
        """
        with self._lock:
            if self.closed or what in self._doing:
                return False
            self._doing.add(what)
            self._asked += clicked
            self._clicked |= clicked
            if clicked:
                self.error, self.note = None, ""
        threading.Thread(target=self._do, args=(what, job, clicked, again), name=NAME, daemon=True).start()
        self.changed()
        return True

    def _do(
        self,
        what: str,
        job: Callable[[], None],
        clicked: bool,  # noqa: FBT001
        again: Callable[[], object],
    ) -> None:
        more = True
        while more:
            well = self._done(job)
            with self._lock:
                more = well and not self.closed and bool(again())
                if not more:
                    self._doing.discard(what)
        try:
            self.changed()
        finally:  # whatever drawing raises, nobody waits for ever
            with self._idle:
                self._asked -= clicked
                self._idle.notify_all()

    def _done(self, job: Callable[[], None]) -> bool:
        """Do a job; return whether it went well."""
        try:
            job()
        except DomoError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001  a bug of ours on a thread must reach the user
            self.error = DomoError(f"the panel broke: {error!r}", "please report it")
        else:
            return True
        return False

    def doing(self, what: str) -> bool:
        """Whether a job of that name is under way."""
        with self._lock:
            return what in self._doing

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all that was clicked is done; before the first click, until all is loaded.

        Return whether it is, within `timeout` seconds.
        """

        def done() -> bool:
            return not self._asked and (self._clicked or "load" not in self._doing)

        with self._idle:
            return self._idle.wait_for(done, timeout)

    def wait_for(self, jobs: Collection[str] | None, timeout: float) -> None:
        """Wait until no job of these names is under way; None: no job at all."""
        with self._idle:
            self._idle.wait_for(
                lambda: not (self._doing if jobs is None else self._doing.intersection(jobs)), timeout
            )

    def met(self, trouble: DomoError | None) -> None:
        """Keep why the last look failed, if it did; an earlier one's error is over."""
        with self._lock:
            if self.error is self.trouble:
                self.error = None
            self.trouble = trouble

    def say(self, note: str) -> None:
        """Keep what there is to say, and show it."""
        with self._lock:
            self.note = note
        self.changed()

    @property
    def closed(self) -> bool:
        """Whether it has been let go of."""
        return self.over.is_set()

    def close(self) -> None:
        """Let go of everything; the runs go on."""
        self.over.set()
        with self._lock:
            watches, self._watches = self._watches, []
        for poller, watch in watches:
            poller.leave(watch)

    # Runs

    def runs(self) -> list[Execution]:
        """Return all runs, newest first."""
        with self._lock:
            known = list(self._runs.values())
        return newest_first(known)

    def named(self, keys: Sequence[Key]) -> list[Execution]:
        """Return the runs with these ids, as far as they are there."""
        with self._lock:
            return [self._runs[key] for key in keys if key in self._runs]

    def saw(self, run: Execution) -> None:
        """Take a run as it was just seen; a response that was overtaken changes nothing."""
        with self._lock:
            self.silent.pop(run.key, None)
            before = self._runs.get(run.key)
            if before is not None and before.finished and not run.finished:
                return
            self._runs[run.key] = run
            if before is None or before.finished != run.finished or (run.finished and before != run):
                self.drawn += 1
                self.stale = True

    def follow(self, runs: Sequence[Execution], *, aborted: bool = False) -> None:
        """Show runs, and follow those that are unfinished; what looks stuck only to its end by `aborted`."""
        session = self.connected()
        poller = session.poller
        for run in runs:
            self.saw(run)
        with self._lock:
            if aborted:
                unfinished = [run for run in runs if run.execution_id and not run.finished]
                self._cancelling.update(run.key for run in unfinished)
            else:
                unfinished = [run for run in self.unfollowed(runs) if self.stuck_for(session, run) is None]
            if unfinished and not self.closed:
                self._followed.update(run.key for run in unfinished)
                watch = poller.watch(unfinished, _Eyes(self), aborted=aborted)
                self._watches = [*(known for known in self._watches if known[1].left), (poller, watch)]

    def unfollowed(self, runs: Sequence[Execution]) -> list[Execution]:
        """Return those of the runs that are unfinished and that nobody tells about."""
        with self._lock:
            return [
                run for run in runs if run.execution_id and not run.finished and run.key not in self._followed
            ]

    def stuck_for(self, session: Session, run: Execution) -> float | None:
        """Return the seconds that an unfinished run has lasted, where it looks stuck; else None."""
        now_us = round((session.clock.time() + session.client.skew) * 1e6)
        if run.finished or run.started_us is None or now_us - run.started_us < _YOUNG_US:
            return None
        runs = [known for known in self.runs() if known.stream_id == run.stream_id]
        return (now_us - run.started_us) / 1e6 if stuck(run, runs, now_us) else None

    def cancelling(self) -> list[Execution]:
        """Return the runs that were aborted here and have not ended yet."""
        return [run for run in self.named(sorted(self._cancelling)) if not run.finished]

    def on_purpose(self, run: Execution) -> bool:
        """Whether a run that has ended was cancelled by a user, or from here."""
        judged = self.judgements.get(run.key)
        cancelled = judged is not None and judged.verdict == "cancelled"
        return cancelled or bool(run.fields.get("cancelledBy")) or run.key in self._cancelling

    def compared(self) -> list[Execution]:
        """Return the chosen runs that are compared, newest first."""
        return newest_first(self.named(self.selected))[:SIDE_BY_SIDE]

    def take_confirmation(self) -> Confirmation | None:
        """Return what waits to be confirmed, once."""
        with self._lock:
            taken, self.confirmation = self.confirmation, None
        return taken

    def show_only(self, streams: Collection[int]) -> None:
        """Leave out the runs of all other streams."""
        with self._lock:
            self._runs = {key: run for key, run in self._runs.items() if key[0] in streams}
            self.selected = [key for key in self.selected if key in self._runs]
            self.drawn += 1

    def listed(self, runs: Sequence[Execution]) -> None:
        """Show runs that were listed, but for starts of this very moment: their responses will tell."""
        self.follow([run for run in runs if run.execution_id or (run.requested_at or 0) < self._made_ms])

    def lose(self, run: Execution, error: DomoError) -> None:
        """Take a run that cannot be followed any longer."""
        with self._lock:
            self.error = error
            self._cancelling.discard(run.key)
            self.judgements[run.key] = Judgement("not followed", error.summary)
            self.drawn += 1

    def judge(self, judgements: dict[Key, Judgement]) -> None:
        """Take how the runs compare."""
        with self._lock:
            if any(self.judgements.get(key) != words for key, words in judgements.items()):
                self.judgements |= judgements
                self.drawn += 1


class _Eyes:
    """What a panel's state takes from the poller."""

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self.seen, self.lost = state.saw, state.lose
        self.tick = self.over = state.tick

    def delayed(self, run: Execution, _error: DomoError, since: float) -> None:
        """Take note since when Domo has not told anything about a run."""
        self._state.silent[run.key] = since

    def say(self, _kind: str, text: str) -> None:
        """Show what there is to say about a stream."""
        self._state.say(text)

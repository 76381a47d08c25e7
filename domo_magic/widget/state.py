"""What a panel knows: its runs, what was started last, what went wrong. Safe on any thread; no widgets."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domo_magic.errors import ConfigurationError, DomoError
from domo_magic.executions.listing import newest_first
from domo_magic.executions.session import current_session

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from domo_magic.executions.poller import Watch
    from domo_magic.executions.session import Session
    from domo_magic.executions.targets import Target
    from domo_magic.model.execution import Execution

    Key = tuple[int, int | None]

#: The name of the threads that do what is clicked.
NAME = "domo_magic panel"
# What has lasted longer looks stuck, and would be asked about for ever.
_FOLLOWED_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What waits for a second button, and what that button says."""

    says: str
    act: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a run compares: the verdict and the sentence about it."""

    verdict: str
    says: str = ""


def key_of(run: Execution) -> Key:
    """Return the two ids of a run."""
    return run.stream_id, run.execution_id


class PanelState:
    """What one panel knows.

    Parameters
    ----------
    targets : sequence of Target
        The streams whose runs it shows; none: the runs recorded here.
    instance : str or None
        As the user named it; the panel stays with the one that this was when it was first known.

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
    names : dict
        What streams are called.
    confirmation : Confirmation or None
        What was asked for and is done only when it is confirmed.
    drawn : int
        Counts the changes of what is drawn seldom.
    """

    def __init__(self, targets: Sequence[Target] = (), instance: str | None = None) -> None:
        self.changed: Callable[[], None] = lambda: None
        self.ticked: Callable[[], None] = lambda: None
        self.targets = tuple(targets)
        self.error: DomoError | None = None
        self.note = ""
        self.last: list[Execution] = []
        self.selected: list[Key] = []
        self.found: list[tuple[int, str]] | None = None
        self.names: dict[int, str] = {}
        self.confirmation: Confirmation | None = None
        self.drawn = 0
        self.stale = True
        self.judgements: dict[Key, Judgement] = {}
        self._instance = instance
        self._session: Session | None = None
        self._runs: dict[Key, Execution] = {}
        self._lock = threading.RLock()
        self._answered = threading.Condition(self._lock)
        self._doing: set[str] = set()
        self._asked = 0
        self._clicked = False
        self._closed = False
        self._made_ms = time.time() * 1000
        self._watches: list[Watch] = []

    # Where

    @property
    def session(self) -> Session | None:
        """The instance, where one is known."""
        try:
            return self.connected()
        except ConfigurationError:
            return None

    def connected(self) -> Session:
        """Return the instance that the panel stays with.

        Raises
        ------
        ConfigurationError
            None is known yet.
        """
        if self._session is None:
            found = current_session(self._instance)
            with self._lock:
                if self._session is None:
                    self._session = found
        return self._session

    def tick(self) -> None:
        """Draw the time that has passed."""
        if not self._closed:
            self.ticked()

    # Clicks

    def begin(self, what: str, job: Callable[[], None], *, clicked: bool = True) -> bool:
        """Do a job on a thread of its own, unless one of that name is under way; return whether it began."""
        with self._lock:
            if self._closed or what in self._doing:
                return False
            self._doing.add(what)
            self._asked += clicked
            self._clicked |= clicked
            if clicked:
                self.error, self.note = None, ""
        self.changed()
        threading.Thread(target=self._do, args=(what, job, clicked), name=NAME, daemon=True).start()
        return True

    def _do(self, what: str, job: Callable[[], None], clicked: bool) -> None:  # noqa: FBT001
        try:
            job()
        except DomoError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001  a bug of ours on a thread must reach the user
            self.fail(DomoError(f"the panel broke: {error!r}", "please report it"))
        with self._lock:
            self._doing.discard(what)
        self.changed()
        with self._answered:
            self._asked -= clicked
            self._answered.notify_all()

    def doing(self, what: str) -> bool:
        """Whether a job of that name is under way."""
        with self._lock:
            return what in self._doing

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all that was clicked has been answered; before the first click, until all is loaded.

        Return whether it is, within `timeout` seconds.
        """

        def answered() -> bool:
            return not self._asked and (self._clicked or "load" not in self._doing)

        with self._answered:
            return self._answered.wait_for(answered, timeout)

    def wait_for(self, what: str, timeout: float) -> None:
        """Wait until a job of that name is over."""
        with self._answered:
            self._answered.wait_for(lambda: what not in self._doing, timeout)

    def fail(self, error: DomoError) -> None:
        """Keep what went wrong."""
        with self._lock:
            self.error = error

    def say(self, note: str) -> None:
        """Keep what there is to say, and show it."""
        with self._lock:
            self.note = note
        self.changed()

    @property
    def closed(self) -> bool:
        """Whether it has been let go of."""
        return self._closed

    def close(self) -> None:
        """Let go of everything; the runs go on."""
        with self._lock:
            self._closed = True
            watches, self._watches = self._watches, []
        for watch in watches:
            self.connected().poller.leave(watch)

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
            before = self._runs.get(key_of(run))
            if before is not None and before.finished and not run.finished:
                return
            self._runs[key_of(run)] = run
            if before is None or before.finished != run.finished or (run.finished and before != run):
                self.drawn += 1
                self.stale = True

    def follow(self, runs: Sequence[Execution], *, aborted: bool = False) -> None:
        """Show runs, and follow those that are unfinished and do not look stuck."""
        session = self.connected()
        followed = []
        for run in runs:
            self.saw(run)
            age = 0.0 if run.started_us is None else session.clock.time() - run.started_us / 1e6
            if run.execution_id and not run.finished and age < _FOLLOWED_S:
                followed.append(run)
        with self._lock:
            if followed and not self._closed:
                self._watches.append(session.poller.watch(followed, _Eyes(self), aborted=aborted))

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
            self.judgements[key_of(run)] = Judgement("not followed", error.summary)
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
        self.seen, self.lost = state.saw, state.lose
        self.tick = self.over = state.tick

    def delayed(self, run: Execution, error: DomoError, since: float) -> None:
        """Take note of nothing: the next response tells."""

    def say(self, kind: str, text: str) -> None:
        """Take note of nothing."""

"""Following in the background: one thread per instance, which ends when nothing is left to follow."""

from __future__ import annotations

import sys
import threading
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from domo_magic.executions.follower import Follower

if TYPE_CHECKING:
    from collections.abc import Callable

    from domo_magic.errors import DomoError
    from domo_magic.executions.session import Session
    from domo_magic.model.execution import Execution

    Seen = Callable[[Execution], None]
    Lost = Callable[[Execution, DomoError], None]


class Background:
    """Follows runs of one instance for any number of onlookers.

    Parameters
    ----------
    session : Session
        The instance.
    """

    def __init__(self, session: Session) -> None:
        self._lock = threading.Lock()
        self._onlookers: dict[tuple[int, int | None], list[tuple[Seen, Lost]]] = {}
        self._latest: dict[tuple[int, int | None], Execution] = {}
        self._ticks: list[Callable[[], bool]] = []
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._follower = Follower(session, self._seen, self._tick, lost=self._lost)

    def watch(
        self,
        run: Execution,
        seen: Seen,
        lost: Lost = lambda _run, _error: None,
        tick: Callable[[], bool] = lambda: False,
        *,
        aborted: bool = False,
    ) -> None:
        """Call `seen` on the background thread with every look at this run, until it has ended.

        A run that cannot be followed any more is told to `lost`, with the error. One that was
        `aborted` will end soon. `tick` is called there every half second, until it returns False or
        nothing is followed.
        """
        with self._lock:
            onlookers = self._onlookers.setdefault((run.stream_id, run.execution_id), [])
            if (seen, lost) not in onlookers:
                onlookers.append((seen, lost))
            if tick not in self._ticks:
                self._ticks.append(tick)
            self._follower.add(run, aborted=aborted)
            self._start()

    def leave(self, seen: Seen) -> None:
        """Call this `seen` no more; what nobody else watches is not followed any longer."""
        with self._lock:
            for key, onlookers in list(self._onlookers.items()):
                onlookers[:] = [onlooker for onlooker in onlookers if onlooker[0] != seen]
                if not onlookers:
                    del self._onlookers[key]
                    self._latest.pop(key, None)
                    self._follower.leave(key[0], key[1] or 0)

    def tell(self, run: Execution) -> None:
        """Take a look that was had elsewhere at a run that is watched: it need not be asked for so soon."""
        with self._lock:
            if (run.stream_id, run.execution_id) in self._onlookers:
                self._follower.add(run)

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():  # it stays behind where the process forks
            # A daemon: it never keeps a kernel or an interpreter alive.
            self._thread = threading.Thread(target=self._work, name="domo_magic background", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            whole = _guarded(partial(self._follower.follow, self._stop))
            with self._lock:
                if not whole or not self._follower.busy:
                    self._ticks.clear()
                    self._thread = None
                    return

    def _seen(self, run: Execution) -> None:
        key = (run.stream_id, run.execution_id)
        with self._lock:
            onlookers = list(self._onlookers.get(key, ()))
            if run.over(self._latest.pop(key, None)):
                self._onlookers.pop(key, None)
            else:
                self._latest[key] = run
        for seen, _ in onlookers:
            _guarded(partial(seen, run))

    def _lost(self, run: Execution, error: DomoError) -> None:
        key = (run.stream_id, run.execution_id)
        with self._lock:
            onlookers = self._onlookers.pop(key, [])
            self._latest.pop(key, None)
        for _, lost in onlookers:
            _guarded(partial(lost, run, error))

    def _tick(self) -> None:
        with self._lock:
            ticks = list(self._ticks)
        over = [tick for tick in ticks if not _guarded(tick)]
        with self._lock:
            self._ticks = [tick for tick in self._ticks if tick not in over]


def _guarded(work: Callable[[], object]) -> object:
    """Do `work`; what it raises is shown as any thread's error, and the others go on."""
    try:
        return work()
    except Exception:  # noqa: BLE001  one onlooker's bug is not the others' end
        threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
        return None


_backgrounds: WeakKeyDictionary[Session, Background] = WeakKeyDictionary()
_lock = threading.Lock()


def background(session: Session) -> Background:
    """Return the one background of a connection."""
    with _lock:
        if session not in _backgrounds:
            _backgrounds[session] = Background(session)
        return _backgrounds[session]

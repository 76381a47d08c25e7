"""The panel: a face of what the magics use, out of core ipywidgets."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import ipywidgets
from IPython.display import display

from domo_magic.display.output import in_kernel
from domo_magic.executions import targets
from domo_magic.model.concurrency import guarded
from domo_magic.model.frame import frame
from domo_magic.widget import actions
from domo_magic.widget.parts import Parts, everything_in
from domo_magic.widget.state import PanelState
from domo_magic.widget.view import View

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from domo_magic.errors import DomoError
    from domo_magic.model.execution import Execution
    from domo_magic.widget.state import Confirmation

# Seconds between two drawings, and between two comparisons of unfinished runs with what is usual.
_DRAW_S, _JUDGE_S = 0.25, 5.0
_DOUBLE_CLICK_S = 1.0
# What is saved before a front end draws it (nbconvert, papermill, a terminal) has the table, not "loading".
_FIRST_TABLE_S = 2.0
_TABLE = {"load", "learn"}  # whichever comes first compares the runs
# The most that the end of the interpreter waits for what panels compute.
_END_S = 2.0
_PANELS: weakref.WeakSet[Panel] = weakref.WeakSet()


@atexit.register
def _end() -> None:
    """Let threads come out of pandas and pyarrow: one that the interpreter's end meets there aborts it."""
    ends = time.monotonic() + _END_S
    for each in list(_PANELS):
        each.end(ends)


class Panel(ipywidgets.VBox):  # type: ignore[misc]
    """Run, follow and compare with buttons; made by `domo_magic.panel`.

    Parameters
    ----------
    state : PanelState
        What it shows.

    Attributes
    ----------
    field, label_field : ipywidgets.Text
        Streams, and what to call their runs.
    run_button, cancel_button, refresh_button, confirm_button : ipywidgets.Button
        Their callbacks return at once, on any thread. What starts or aborts several waits for the last.
    chooser : ipywidgets.SelectMultiple
        The runs to compare or cancel.
    """

    def __init__(self, state: PanelState) -> None:
        parts = Parts(" ".join(target.text for target in state.targets))
        # From 0 on the front end counts the views.
        super().__init__(parts.children, layout={"width": "100%", "overflow": "hidden"}, _view_count=0)
        self.add_class("domo-panel")
        self.field, self.label_field, self.chooser = parts.field, parts.label, parts.chooser
        self.run_button, self.cancel_button = parts.run, parts.cancel
        self.refresh_button, self.confirm_button = parts.refresh, parts.confirm
        self._state = state
        self._parts = parts
        self._drawing = View(state, parts)
        # The table in the notebook's file, an output of its own that the living panel hides: replacing the
        # panel's own would draw it anew, and take away what a user is typing.
        self._saved: Any = None
        self._kept: object = None
        self._changes = threading.Event()
        self._judged_at = float("-inf")
        self._clicked_at: dict[object, float] = {}
        self._gone = False
        self._listen()
        self._drawing.draw()
        if state.session is not None:
            state.begin("load", partial(actions.load, state), clicked=False)
        work = partial(guarded, self._work)
        self._thread = threading.Thread(target=work, name="domo_magic panel view", daemon=True)
        self._thread.start()
        _PANELS.add(self)

    def _work(self) -> None:
        """Draw what changes, and look for what was started elsewhere, until the panel is closed."""
        state = self._state
        look_at = time.monotonic() + state.every
        while not state.closed:
            if self._changes.wait(max(0.0, look_at - time.monotonic())):
                self._changes.clear()
                guarded(self._draw)
                state.over.wait(_DRAW_S)
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + state.every
                if not self._gone:
                    self._look()

    def _look(self) -> None:
        """Look once, unless a look is under way."""
        state = self._state
        if state.session is not None:
            state.begin("load", partial(actions.look_again, state), clicked=False)

    def _viewed(self, change: dict[str, Any]) -> None:
        """Rest when the last view is gone, as after its cell was run again; look when one is back."""
        was_gone, self._gone = self._gone, bool(change["old"] and not change["new"])
        if was_gone and change["new"]:
            self._look()

    def _listen(self) -> None:
        parts = self._parts
        self.observe(self._viewed, "_view_count")
        parts.field.on_msg(self._submitted)
        parts.run.on_click(self._run)
        parts.cancel.on_click(self._cancel)
        parts.confirm.on_click(self._confirm)
        parts.refresh.on_click(self._refresh)
        parts.sandbox.on_click(self._connect)
        parts.more.on_click(self._show_more)
        parts.found.observe(self._choose_stream, "value")
        parts.chooser.observe(self._choose_runs, "value")
        for field in (parts.field, parts.label):
            field.observe(self._typed, "value")
        self._state.changed, self._state.ticked = self._changed, self._ticked

    # What it gives

    @property
    def runs(self) -> pd.DataFrame:
        """The runs in the table, newest first, one row each, as they were last seen."""
        return self._frame(self._state.runs())

    @property
    def selected(self) -> pd.DataFrame:
        """The runs chosen for comparison."""
        return self._frame(self._state.named(self._state.selected))

    @property
    def last(self) -> pd.DataFrame:
        """The responses to the last start, one row per stream, in the order given."""
        return frame(self._state.last)

    @property
    def error(self) -> DomoError | None:
        """What went wrong last; None after a click that went well."""
        return self._state.error

    def join(self, timeout: float | None = None) -> bool:
        """Wait until what was clicked is done; before the first click, until the table is loaded.

        Parameters
        ----------
        timeout : float, optional
            The most seconds.

        Returns
        -------
        bool
            Whether it was, in that time.
        """
        return self._state.join(timeout)

    def _frame(self, runs: Iterable[Execution]) -> pd.DataFrame:
        session = self._state.session
        return frame(runs if session is None else [session.known(run) for run in runs])

    # What is clicked: handed over at once

    def _again(self, button: object) -> bool:
        """Return True for a second click on a button within a second: a double click is one click."""
        now = time.monotonic()
        before = self._clicked_at.get(button, float("-inf"))
        self._clicked_at[button] = now
        return now - before < _DOUBLE_CLICK_S

    def _run(self, button: object = None) -> None:
        if not self._again(button):
            self._state.confirmation = None
            self._state.begin("run", self._start)

    def _confirm(self, _button: object = None) -> None:
        state = self._state
        confirmation = state.take_confirmation()
        if confirmation and not state.begin(confirmation.what, partial(self._confirmed, confirmation)):
            state.confirmation = confirmation  # another of its kind is under way

    def _confirmed(self, confirmation: Confirmation) -> None:
        confirmation.act()
        self._learn()

    def _typed(self, change: dict[str, Any]) -> None:
        self._forget_clicks()
        self._drawing.draw_code(change)
        self._changed()

    def _forget_clicks(self) -> None:
        """Take back what waits to be confirmed: it was about what stood here before."""
        self._state.confirmation = None
        self._clicked_at.clear()

    def _start(self) -> None:
        self._settle()
        actions.start_or_confirm(self._state, self.field.value, self.label_field.value)
        self._learn()

    def _submitted(self, _field: object, content: dict[str, Any], _buffers: object) -> None:
        if content.get("event") == "submit":
            self.field.expect()
            self._state.begin("enter", self._entered)

    def _entered(self) -> None:
        """Show the runs of ids, search for a name, compare runs; nothing is started."""
        self._settle()
        if keys := actions.named_runs(self._state, self.field.value):
            self._drawing.point_at(keys)
            self._side_by_side()
        elif actions.is_name(self.field.value):
            actions.search(self._state, self.field.value)
            if len(found := self._state.found or []) == 1:
                self.field.value = str(found[0][0])
        else:
            actions.show(self._state, self.field.value)
            self._learn()

    def _settle(self) -> None:
        self.field.settle()
        self.label_field.settle()

    def _cancel(self, button: object = None) -> None:
        if not self._again(button):
            self._state.confirmation = None
            self._state.begin("cancel", partial(actions.cancel_or_confirm, self._state))

    def _refresh(self, _button: object = None) -> None:
        self._state.begin("load", partial(actions.load, self._state))

    def _connect(self, _button: object = None) -> None:
        self._state.begin("load", partial(actions.sandbox, self._state))

    def _show_more(self, _button: object = None) -> None:
        self._drawing.more = not self._drawing.more
        self._changed()

    def _choose_stream(self, change: dict[str, Any]) -> None:
        if change["new"]:
            self.field.value = " ".join(str(stream) for stream in change["new"])

    def _choose_runs(self, change: dict[str, Any]) -> None:
        if self._drawing.choose(change):
            self._forget_clicks()
            self._side_by_side()

    def _side_by_side(self, *, clicked: bool = True) -> None:
        view = self._drawing
        self._state.begin("compare", view.compare, clicked=clicked, again=lambda: view.behind)

    # What is drawn

    def _changed(self) -> None:
        self._drawing.draw_controls()
        self._changes.set()

    def _ticked(self) -> None:
        now = time.monotonic()
        if self._state.stale or now - self._judged_at > _JUDGE_S:
            self._judged_at = now
            self._learn()
        self._changes.set()

    def _learn(self) -> None:
        state = self._state
        state.begin("learn", partial(actions.learn, state), clicked=False, again=lambda: state.stale)

    def _draw(self) -> None:
        self._drawing.draw()
        if self._drawing.behind:
            self._side_by_side(clicked=False)
        revision = (self._state.drawn, self._drawing.where(), self._state.error)
        if self._saved is not None and revision != self._kept:
            self._kept = revision
            self._saved.update(self._drawing.snapshot(), raw=True)

    # What is kept

    def _living(self) -> dict[str, Any]:
        """Return what shows the panel itself, with nothing in its place where it cannot live."""
        # ipywidgets 7 makes no bundle
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {"application/vnd.jupyter.widget-view+json": view, "text/plain": "", "text/html": ""}

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, Any]:
        self._state.wait_for(_TABLE, _FIRST_TABLE_S)
        return {**self._living(), **self._drawing.snapshot()}

    def _ipython_display_(self) -> None:
        if not in_kernel():
            raise NotImplementedError  # a terminal shows the text
        self._state.wait_for(_TABLE, _FIRST_TABLE_S)
        display(self._living(), raw=True)  # type: ignore[no-untyped-call]
        self._saved = display(self._drawing.snapshot(), raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def end(self, deadline: float) -> None:
        """End its threads, waiting for what they do until then by `time.monotonic`; what is shown stays."""
        self._let_go()
        self._state.wait_for(None, deadline - time.monotonic())
        self._thread.join(deadline - time.monotonic())

    def _let_go(self) -> None:
        self._state.close()
        self._changes.set()

    def close(self) -> None:
        """Take the panel away; no thread of it stays, and the runs go on."""
        if self._state.closed:
            return  # also where it is collected, on any thread, whatever locks that holds
        self._let_go()
        for part in everything_in(self):
            part.close()
        super().close()


def panel(*streams: Any, instance: str | None = None) -> Panel:
    """Make the panel: run, follow and compare with buttons.

    Parameters
    ----------
    *streams : int, str, list, Series, DataFrame, ...
        Stream ids, DataSet ids or addresses of DataSets' pages, whose runs it shows; none: the runs
        recorded here.
    instance : str, optional
        Another instance than the one last connected. The panel stays with it.

    Returns
    -------
    Panel
        An ``ipywidgets.VBox``, which a notebook shows. ``runs``, ``selected`` and ``last`` are frames of
        runs, ``error`` is the last `DomoError` or None, ``join()`` waits for what was clicked.

    Raises
    ------
    TargetError
        A target cannot be understood.

    Examples
    --------
    >>> buttons = panel(25775)
    >>> buttons.run_button.click()
    >>> buttons.join()
    True
    >>> buttons.last["currentState"].item()
    'ACTIVE'
    >>> buttons.close()
    """
    wanted: tuple[targets.Target, ...] = ()
    if streams:
        each_of = (targets.understood(stream, "streams") for stream in streams)
        wanted = targets.checked(chain.from_iterable(each_of), "streams")
    return Panel(PanelState(wanted, instance))

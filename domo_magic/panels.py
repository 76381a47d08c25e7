"""The public function that makes the panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domo_magic.executions import targets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domo_magic.widget.panel import Panel


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
    >>> buttons.last
    """
    wanted: tuple[targets.Target, ...] = ()
    if streams:
        wanted = targets.checked(_flat(streams), "streams")
    from domo_magic.widget.panel import Panel
    from domo_magic.widget.state import PanelState

    return Panel(PanelState(wanted, instance))


def _flat(streams: tuple[Any, ...]) -> Iterator[targets.Target]:
    for stream in streams:
        yield from targets.understood(stream, "streams")

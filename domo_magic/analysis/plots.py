"""Runs over time, as a picture."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from domo_magic.analysis.baseline import band
from domo_magic.analysis.normalize import microseconds_of
from domo_magic.errors import TargetError, need_package
from domo_magic.model.formatting import (
    METRICS,
    cut,
    metric_text,
    moment_of,
    timezone,
    zone_name,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: More small pictures than this are no picture.
MOST_STREAMS = 24
_LONGEST_NAME = 60

# Blue and vermilion of Okabe and Ito's colour-blind-safe palette, the blue a little lighter, and a grey:
# each has a contrast of at least 3 on white and on near black. Marks differ in shape as well.
_BLUE, _RED, _GREY = "#2f86bf", "#d55e00", "#7a7a7a"
_TITLES = dict(zip(METRICS, ("duration", "rows", "size", "peak memory"), strict=True))
# A value this many times beyond everything usual is drawn at the edge, with its number beside it.
_FAR = 2.5
# Outside of these a start is none, and would make all others a single spot (or is beyond what can be drawn).
_SENSIBLE = ("1970-01-01T00:00:00Z", "2200-01-01T00:00:00Z")


class _Unit(NamedTuple):
    name: str
    size: float


_TIMES = (_Unit("s", 1), _Unit("min", 60), _Unit("h", 3600), _Unit("days", 86_400))
_SIZES = (_Unit("bytes", 1), _Unit("kB", 1e3), _Unit("MB", 1e6), _Unit("GB", 1e9), _Unit("TB", 1e12))


def plot(runs: pd.DataFrame, metric: str = "duration", *, ax: Axes | None = None) -> Any:
    """Draw runs over time with what was usual, failures marked and the latest run named.

    Parameters
    ----------
    runs : pandas.DataFrame
        Runs as `session.runs` gives them, of up to 24 streams.
    metric : str
        ``duration`` (of unfinished runs: until now), ``rowsInserted``, ``bytesInserted`` or
        ``peakMemoryUsedBytes``.
    ax : matplotlib.axes.Axes, optional
        Where to draw one stream; a new figure of pyplot's.

    Returns
    -------
    matplotlib.axes.Axes or numpy.ndarray
        The Axes; with several streams an array of shape ``(streams,)``, in the
        order in which `runs` names the streams.

    Raises
    ------
    TargetError
        As `compare`; or no such metric, too many streams, or one Axes for several.
    ConfigurationError
        matplotlib is not installed.

    Notes
    -----
    The line is the baseline that each run is compared with, the band what is usual around it, as
    `compare` defines them. Style sheets and ``rcParams`` are respected; with matplotlib's own defaults
    the background is transparent and lettering grey, to be read in light and dark notebooks.

    Examples
    --------
    >>> axes = plot(runs, "rowsInserted")
    >>> axes.get_title("left"), axes.get_ylabel()
    ('stream 25775', 'rows')
    """
    import numpy as np

    shown = band(runs, metric)
    streams = [stream for _, stream in shown.groupby("group")] or [shown]
    if len(streams) > MOST_STREAMS:
        raise TargetError(f"{len(streams)} streams are too many for a picture", f"take up to {MOST_STREAMS}")
    if ax is not None and len(streams) > 1:
        raise TargetError("one Axes cannot show several streams", "leave ax out to have one for each")
    need_package("matplotlib", "a picture")
    places = [ax] if ax is not None else _places(len(streams))
    for place, stream in zip(places, streams, strict=True):
        _draw(place, stream, metric, small=len(streams) > 1)
    _explain(places, own=ax is None)
    return places[0] if len(places) == 1 else np.array(places, dtype=object)


def _plain_style() -> bool:
    """Whether nobody chose colours: then ours have to do on light and dark alike."""
    from matplotlib import rcParams

    return (rcParams["text.color"], rcParams["figure.facecolor"]) == ("black", "white")


def _places(number: int) -> list[Axes]:
    """Return so many empty Axes of a new figure."""
    import matplotlib.pyplot as plt

    columns = 1 if number == 1 else 2 if number <= 4 else 3
    rows = -(-number // columns)
    size = (8, 3.6) if number == 1 else (4 * columns, 2.5 * rows + 0.3)
    figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    if _plain_style():
        figure.patch.set_alpha(0)
    places = list(grid.flat)
    for spare in places[number:]:
        spare.remove()
    return places[:number]


def _ink() -> str:
    from matplotlib import rcParams

    return _GREY if _plain_style() else str(rcParams["text.color"])


def _draw(ax: Axes, stream: pd.DataFrame, metric: str, *, small: bool) -> None:
    """Draw one stream: the band, the baseline, the runs, and words beside those that need them."""
    import numpy as np

    ink = _ink()
    _dress(ax, ink, small=small)
    # A name is a name: two dollar signs in it are no formula.
    size = "medium" if small else "large"
    ax.set_title(_name(stream), loc="left", color=ink, fontsize=size, parse_math=False)
    stream = stream[stream["startedAt"].between(*_SENSIBLE, inclusive="neither")]
    top, unit = _scale(stream, metric)
    ax.set_ylabel(_TITLES[metric] + (f" ({unit.name})" if unit.name else ""), color=ink)
    ax.set_ylim(0, top / unit.size * 1.15)
    ax.margins(x=0.02)
    if not (stream["value"].notna() | stream["verdict"].eq("failed")).any():
        nothing = "no runs" if stream.empty else "no values"
        ax.text(0.5, 0.5, nothing, transform=ax.transAxes, ha="center", va="center", color=ink)
        ax.xaxis.set_visible(False)
        return
    # In the zone that users read, but drawn without one, which rcParams would have a say in.
    began = map(moment_of, microseconds_of(stream["startedAt"]).tolist())
    times = np.array([moment.replace(tzinfo=None) for moment in began], "M8[us]")
    low, high, usual = ((stream[column] / unit.size).to_numpy() for column in ("low", "high", "baseline"))
    ax.fill_between(times, low, high, color=ink, alpha=0.22, linewidth=0, label="usual")
    ax.plot(times, usual, color=ink, linewidth=1.2, label="baseline")
    values = stream["value"].mask(stream["value"].isna() & stream["verdict"].eq("failed"), 0).to_numpy()
    heights = values.clip(max=top) / unit.size
    for chosen, style in _marks(stream, metric):
        if chosen.any():
            ax.plot(times[chosen], heights[chosen], linestyle="none", clip_on=False, **style)
    words = _words(stream["verdict"].tolist(), values, metric, top)
    for row, text in words.items():
        _say(ax, times[row], heights[row], text, latest=row == next(iter(words)))


def _words(verdicts: list[str], values: Any, metric: str, top: float) -> dict[int, str]:
    """Return what to write beside which rows: the latest run, and the one farthest beyond the edge."""
    known = [row for row, value in enumerate(values) if value >= 0]
    farthest = sorted((row for row in known if values[row] > top), key=lambda row: -values[row])
    rows = (*known[:1], *farthest[:1])  # more would collide
    return {row: "failed" if verdicts[row] == "failed" else metric_text(metric, values[row]) for row in rows}


def _say(ax: Axes, time: Any, height: float, text: str, *, latest: bool) -> None:
    """Write beside a mark; if it is the latest, ring it and leave room for the words."""
    ink = _ink()
    if latest:
        ring: dict[str, Any] = {"marker": "o", "markersize": 13, "markerfacecolor": "none"}
        ax.plot(time, height, linestyle="none", clip_on=False, label="latest", markeredgecolor=ink, **ring)
    words = ax.annotate(
        text,
        (time, height),
        xytext=(10 if latest else -9, 7 if height < 0.05 * ax.get_ylim()[1] else 0),  # not across the axis
        textcoords="offset points",
        ha="left" if latest else "right",
        va="center",
        color=ink,
        fontsize="small",
        fontweight="bold" if latest else "normal",
    )
    if latest:
        _make_room(ax, time, words.get_window_extent().width + 16 * ax.figure.dpi / 72)


def _make_room(ax: Axes, latest: Any, width: float) -> None:
    """Let the Axes end soon after the latest run, but not before what stands beside it, in pixels."""
    from matplotlib.dates import date2num

    time: float = date2num(latest)  # type: ignore[no-untyped-call]
    left, right = ax.get_xlim()
    if ax.dataLim.x0 == ax.dataLim.x1:  # one moment alone has its day, not its years
        left, right = time - 0.5, time + 0.01
    if not _lays_itself_out(ax.figure):
        right = max(right, left + (time - left) / (1 - min(width / ax.bbox.width, 0.5)))
    ax.set_xlim(left, right)


def _explain(places: list[Axes], *, own: bool) -> None:
    """Say what the marks mean and whose time it is, once for all Axes."""
    ink = _ink()
    handles = {
        label: handle for ax in places for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    style: dict[str, Any] = {"frameon": False, "labelcolor": ink, "fontsize": "small", "handletextpad": 0.4}
    figure = cast("Figure", places[0].figure)
    zone = timezone() or zone_name(moment_of(round(time.time() * 1e6)))
    (figure.supxlabel if own else places[0].set_xlabel)(f"started ({zone})", color=ink, fontsize="small")
    if own or (len(figure.axes) == 1 and _lays_itself_out(figure)):
        style |= {"loc": "outside upper right", "ncols": max(1, len(handles)), "columnspacing": 1.2}
        figure.legend(handles.values(), handles, **style)
    else:
        places[0].legend(handles.values(), handles, **style)


def _lays_itself_out(figure: Any) -> bool:
    """Whether a figure sees to what stands beside its Axes."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine)


def _scale(stream: pd.DataFrame, metric: str) -> tuple[float, _Unit]:
    """Return the highest number that is drawn where it belongs, and the unit of the axis."""
    highest, usual = (float(stream[column].max()) if len(stream) else 0 for column in ("value", "high"))
    known = [number for number in (highest, usual) if number > 0]
    top = max(known, default=1)
    if len(known) == 2:
        top = min(top, _FAR * usual)
    if metric == "rowsInserted":
        return top, _Unit("", 1)
    units = _TIMES if metric == "duration" else _SIZES
    return top, [units[0], *(unit for unit in units if unit.size <= top / 2)][-1]


def _dress(ax: Axes, ink: str, *, small: bool) -> None:
    """Give the Axes dates, thousands and quiet lines."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    if _plain_style():
        ax.patch.set_alpha(0)
    locator = AutoDateLocator(minticks=3, maxticks=5 if small else 8)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(
        ConciseDateFormatter(  # type: ignore[no-untyped-call]
            locator,
            formats=["%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"],
            zero_formats=["", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M:%S"],
            offset_formats=["", "", "%Y", "%d %b %Y", "%d %b %Y", "%d %b %Y"],
        )
    )
    ax.xaxis.get_offset_text().set(color=ink, fontsize="small")
    ax.yaxis.set_major_locator(MaxNLocator(4 if small else 6))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    ax.tick_params(colors=ink, labelsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(ink)
    ax.grid(visible=False)


def _name(stream: pd.DataFrame) -> str:
    known = stream["name"].dropna()
    number = "" if stream.empty else f"stream {stream['streamId'].iloc[0]}"
    return f"{cut(known.iloc[0], _LONGEST_NAME)} · {number}" if len(known) else number


def _marks(stream: pd.DataFrame, metric: str) -> list[tuple[Any, dict[str, Any]]]:
    """Return which runs get which mark, most common first so that the rare ones lie on top."""
    import numpy as np

    high, low = METRICS[metric]
    words = [verdict.split(", ") for verdict in stream["verdict"]]
    above, below, failed, running, cancelled = (
        np.array([word in said for said in words], dtype=bool)
        for word in (high, low, "failed", "running", "cancelled")
    )
    if metric == "rowsInserted":
        below |= np.array(["no rows" in said for said in words], dtype=bool)
    plain = ~(above | below | failed | running | cancelled)
    hollow: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 1.5}
    return [
        (plain, {"marker": "o", "color": _BLUE, "markersize": 4.5, "label": "run"}),
        (cancelled, {"marker": "s", "color": _GREY, "markersize": 5, "label": "cancelled", **hollow}),
        (running & ~above, {"marker": "o", "color": _BLUE, "markersize": 6, "label": "running", **hollow}),
        (
            running & above,
            {"marker": "^", "color": _RED, "markersize": 8, "label": "running, slow", **hollow},
        ),
        (above & ~running, {"marker": "^", "color": _RED, "markersize": 7.5, "label": high}),
        (below, {"marker": "v", "color": _RED, "markersize": 7.5, "label": low}),
        (failed, {"marker": "x", "color": _RED, "markersize": 7, "markeredgewidth": 2, "label": "failed"}),
    ]

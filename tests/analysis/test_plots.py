"""Runs over time, as a picture."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import colors, dates
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import domo_magic
from domo_magic.analysis import plots
from domo_magic.analysis.baseline import band
from domo_magic.errors import ConfigurationError, NotFound, RunInterrupted, TargetError
from domo_magic.model.execution import Execution
from domo_magic.model.frame import frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox

START = 1_700_000_000
METRICS = ("duration", "rowsInserted", "bytesInserted", "peakMemoryUsedBytes")


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    """Draw without a screen in matplotlib's own style, and leave no figure open."""
    plt.switch_backend("agg")
    with mpl.rc_context():
        mpl.rcdefaults()
        yield
    plt.close("all")


def runs_of(stream: int = 25775, count: int = 30, **last: Any) -> pd.DataFrame:
    """Return healthy runs, one an hour, but for what is said of the last."""
    dice = random.Random(stream)
    fields = []
    for number in range(1, count + 1):
        start = START + number * 3600
        rows = dice.randrange(280_000, 290_000)
        fields.append(
            {
                "streamId": stream,
                "executionId": number,
                "currentState": "SUCCESS",
                "startedAt": start,
                "endedAt": start + dice.randrange(250, 290),
                "rowsInserted": rows,
                "bytesInserted": rows * 150,
                "peakMemoryUsedBytes": 200_000_000 + rows,
            }
        )
    fields[-1].update(last)
    return frame(
        Execution.from_json(one).replace(instance="mycompany", name=f"Sales {stream}") for one in fields
    )


def lines(ax: Axes) -> dict[str, Any]:
    """Return what is drawn, by its label."""
    return {line.get_label(): line for line in ax.get_lines()}


def texts(ax: Axes) -> list[str]:
    """Return the words beside marks."""
    return [text.get_text() for text in ax.texts]


def test_one_stream_is_one_axes_with_baseline_and_band() -> None:
    """The line is the baseline in the axis' unit, and every run is where it was."""
    runs = runs_of()
    ax = plots.plot(runs)
    shown = band(runs)
    assert isinstance(ax, Axes)
    np.testing.assert_allclose(lines(ax)["baseline"].get_ydata(), shown["baseline"] / 60)
    np.testing.assert_allclose(lines(ax)["run"].get_ydata(), shown["value"] / 60)
    times = dates.num2date(lines(ax)["run"].get_xdata(orig=False)[:1])
    assert times == [shown["startedAt"].iloc[0].to_pydatetime()]
    assert "usual" in [collection.get_label() for collection in ax.collections]
    assert ax.get_title(loc="left") == "Sales 25775 · stream 25775"


@pytest.mark.parametrize(
    "last, label, words",
    [
        ({}, "run", "4 min"),
        ({"endedAt": START + 30 * 3600 + 600}, "slow", "10 min 00 s"),
        ({"endedAt": START + 30 * 3600 + 60}, "fast", "1 min 00 s"),
        ({"currentState": "ERROR"}, "failed", "failed"),
        ({"currentState": "ERROR", "startedAt": START + 30 * 3600, "endedAt": None}, "failed", "failed"),
        ({"currentState": "ACTIVE", "endedAt": None}, "running, slow", " d "),
        ({"currentState": "ABORTED", "cancelledBy": 27}, "cancelled", "4 min"),
    ],
)
def test_latest_run_is_ringed_and_marked_by_its_verdict(last: dict[str, Any], label: str, words: str) -> None:
    """The ring and the words sit at the newest run, whose mark says what became of it."""
    ax = plots.plot(runs_of(**last))
    drawn = lines(ax)
    ring = drawn["latest"]
    assert ring.get_xdata()[0] == drawn[label].get_xdata()[0]
    assert ring.get_ydata()[0] == drawn[label].get_ydata()[0]
    assert words in texts(ax)[0]


def test_of_each_stream_its_newest_runs_are_drawn(still_session: Session) -> None:
    """A stream that runs seldom is drawn as it is alone, with its baseline."""
    alone = lines(domo_magic.plot(25778, "rowsInserted"))["baseline"].get_ydata()
    _, beside = domo_magic.plot([25775, 25778], "rowsInserted")
    np.testing.assert_array_equal(lines(beside)["baseline"].get_ydata(), alone)
    assert len(alone) == 100


def test_an_error_has_the_runs_of_the_other_streams(still_session: Session) -> None:
    """What was fetched before it is in its rows."""
    with pytest.raises(NotFound, match="1 of 2 failed") as caught:
        domo_magic.plot([25775, 99999])
    assert caught.value.rows["streamId"].tolist() == [25775] * 100 + [99999]


@pytest.mark.parametrize("rows", [False, True], ids=["streams", "rows"])
def test_an_interrupt_while_runs_are_fetched(
    still_sandbox: Sandbox,
    still_session: Session,
    *,
    rows: bool,
) -> None:
    """It is told as everywhere."""
    wanted = domo_magic.overview().head(2) if rows else [25775, 25778]
    first, real = threading.Lock(), still_sandbox.world.executions_json

    def interrupting(*args: int) -> bytes:
        if first.acquire(blocking=False):
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args)

    still_sandbox.world.executions_json = interrupting  # type: ignore[method-assign]
    with pytest.raises(RunInterrupted, match="nothing was started"):
        domo_magic.plot(wanted)


def test_a_run_without_rows_is_marked() -> None:
    """SUCCESS with nothing is marked in a picture of rows, and not in one of durations."""
    empty = {"rowsInserted": 0}
    assert "few rows" in lines(plots.plot(runs_of(**empty), "rowsInserted"))
    assert "few rows" not in lines(plots.plot(runs_of(**empty)))


def test_marks_differ_in_shape() -> None:
    """Without colour, failed, cancelled, slow, fast and running are told apart."""
    shapes = {
        (style["marker"], style.get("markerfacecolor"), style["label"])
        for _, style in plots._marks(band(runs_of()), "duration")
    }
    assert len({(marker, hollow) for marker, hollow, _ in shapes}) == len(shapes)


def test_colours_are_readable_on_light_and_dark() -> None:
    """Every colour has a contrast of at least 3 (WCAG 2, graphical objects) on white and on near black."""
    for colour in (plots._BLUE, plots._RED, plots._GREY):
        for ground in ("#ffffff", "#111111"):
            light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3


def luminance(colour: str) -> float:
    """Return the relative luminance as WCAG 2 defines it."""
    parts = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in colors.to_rgb(colour)
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize(
    "metric, label, tick",
    [
        ("duration", "duration (min)", "2"),
        ("rowsInserted", "rows", "200,000"),
        ("bytesInserted", "size (MB)", "20"),
        ("peakMemoryUsedBytes", "peak memory (MB)", "200"),
    ],
)
def test_axes_have_units(metric: str, label: str, tick: str) -> None:
    """Durations in a fitting unit of time, rows with thousands, sizes in decimal units."""
    ax = plots.plot(runs_of(), metric)
    assert ax.get_ylabel() == label
    assert ax.yaxis.get_major_formatter()(float(tick.replace(",", ""))) == tick
    assert ax.get_ylim()[0] == 0


@pytest.mark.parametrize("seconds, unit", [(0, "s"), (30, "s"), (3000, "min"), (30_000, "h"), (3e5, "days")])
def test_duration_axis_fits_the_durations(seconds: float, unit: str) -> None:
    """Seconds for short runs, days for very long ones."""
    ax = plots.plot(runs_of(count=1, endedAt=START + 3600 + seconds))
    assert ax.get_ylabel() == f"duration ({unit})"


def test_a_run_far_off_does_not_flatten_the_others() -> None:
    """It is drawn at the edge with its number beside it."""
    runs = pd.concat([runs_of(endedAt=START + 30 * 3600 + 500_000), runs_of(count=40).tail(10)])
    ax = plots.plot(runs)
    assert ax.get_ylim()[1] < 60
    assert lines(ax)["slow"].get_ydata()[0] < ax.get_ylim()[1]
    assert texts(ax)[1:] == ["5 d 19 h"]


@pytest.mark.parametrize("count", [1, 5, 30, 1000])
@pytest.mark.parametrize("layout", ["constrained", None])
def test_the_axis_ends_with_the_latest_run(count: int, layout: Any) -> None:
    """No date stands right of the latest run but where its words need the room; nothing is cut off."""
    figure = mpl.figure.Figure(figsize=(8, 3), layout=layout)
    ax = plots.plot(runs_of(count=count), ax=figure.subplots())
    figure.draw_without_rendering()
    left, right = ax.get_xlim()
    latest = lines(ax)["latest"].get_xdata(orig=False)[0]
    words = ax.texts[0].get_window_extent()
    share = 0.02 if layout else words.width / ax.bbox.width + 0.05
    assert latest < right <= latest + (right - left) * share
    assert words.x1 <= (figure if layout else ax).bbox.x1
    assert right - left <= max(count / 20, 1.2)


def test_a_legend_is_not_across_the_runs() -> None:
    """Where one Axes fills a figure that lays itself out, what the marks mean stands over it."""
    figure = mpl.figure.Figure(layout="constrained")
    ax = plots.plot(runs_of(), ax=figure.subplots())
    assert ax.get_legend() is None
    assert len(figure.legends) == 1


def test_starts_that_are_none_are_left_out(tmp_path: Any) -> None:
    """Years 1 and 9999, and 0 for "not yet", do not flatten the others; alone they are no runs."""
    runs = runs_of()
    starts = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", 0)
    odd = pd.concat(
        runs_of(count=1, executionId=90 + number, startedAt=start, endedAt=None)
        for number, start in enumerate(starts)
    )
    ax = plots.plot(pd.concat([runs, odd]))
    ax.figure.savefig(tmp_path / "odd.png")
    assert len(lines(ax)["run"].get_xdata()) == len(runs)
    for none in (odd, frame([])):
        ax = plots.plot(none)
        ax.figure.savefig(tmp_path / "none.png")
        assert texts(ax) == ["no runs"]
    assert plots.plot(odd).get_title(loc="left") == "Sales 25775 · stream 25775"


def test_a_metric_that_no_run_has_is_said() -> None:
    """Axes without a value show no time that nobody meant."""
    ax = plots.plot(runs_of().assign(peakMemoryUsedBytes=pd.NA), "peakMemoryUsedBytes")
    assert texts(ax) == ["no values"]
    assert not ax.xaxis.get_visible()


def test_several_streams_are_small_multiples() -> None:
    """One Axes for each in the order of the frame, one legend and one figure for all."""
    runs = pd.concat([runs_of(7), runs_of(3, currentState="ERROR"), runs_of(5)])
    several = plots.plot(runs, "rowsInserted")
    assert several.shape == (3,)
    assert [ax.get_title(loc="left")[-8:] for ax in several] == ["stream 7", "stream 3", "stream 5"]
    figure = several[0].figure
    assert len(figure.axes) == 3
    assert {text.get_text() for text in figure.legends[0].get_texts()} >= {
        "usual",
        "baseline",
        "run",
        "failed",
    }


def test_one_new_figure_and_none_for_given_axes() -> None:
    """Pyplot knows the figure once, so a notebook shows it once; on given Axes nothing is opened."""
    ax = plots.plot(runs_of())
    assert plt.get_fignums() == [ax.figure.number]
    assert plots.plot(runs_of(), ax=ax) is ax
    own = mpl.figure.Figure().subplots()
    assert plots.plot(runs_of(), ax=own) is own
    assert len(plt.get_fignums()) == 1
    assert own.get_legend() is not None


def test_plain_style_is_transparent_and_other_styles_are_respected() -> None:
    """By default the notebook's own ground shows through; with a style sheet its colours are used."""
    plain = plots.plot(runs_of())
    assert plain.figure.patch.get_alpha() == 0
    assert plain.yaxis.label.get_color() == plots._GREY
    with plt.style.context("dark_background"):
        dark = plots.plot(runs_of())
    assert dark.figure.patch.get_alpha() is None
    assert dark.yaxis.label.get_color() == "white"


@pytest.mark.parametrize("metric", METRICS)
def test_little_is_drawn_of_little(metric: str, tmp_path: Any) -> None:
    """No runs, one run, runs without numbers and without starts are pictures without warnings."""
    without = (
        runs_of(count=3)
        .assign(rowsInserted=pd.NA, endedAt=pd.NaT, duration=pd.NaT)
        .astype({"rowsInserted": "Int64"})
    )
    unstarted = frame([Execution(25775, None)])
    for number, runs in enumerate((frame([]), runs_of(count=1), without, unstarted)):
        ax = plots.plot(runs, metric)
        ax.figure.savefig(tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").stat().st_size > 1000
        assert not ("run" in lines(ax) and number in {0, 3})


def test_what_cannot_be_drawn_is_one_error() -> None:
    """An unknown metric, too many streams, one Axes for several; no figure is opened."""
    with pytest.raises(TargetError, match="choose one of duration, rowsInserted"):
        plots.plot(runs_of(), "speed")
    with pytest.raises(TargetError, match=r"no metric \['duration'\]\nchoose one of"):
        plots.plot(runs_of(), ["duration"])  # type: ignore[arg-type]
    with pytest.raises(TargetError, match="25 streams are too many"):
        plots.plot(pd.concat([runs_of(stream, 1) for stream in range(25)]))
    with pytest.raises(TargetError, match="leave ax out"):
        plots.plot(pd.concat([runs_of(1), runs_of(2)]), ax=mpl.figure.Figure().subplots())
    with pytest.raises(TargetError, match="endedAt missing"):
        plots.plot(runs_of().drop(columns="endedAt"))
    assert plt.get_fignums() == []


def test_without_matplotlib_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One error with the line for pip."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigurationError, match="pip install matplotlib"):
        plots.plot(runs_of())


@pytest.mark.parametrize("name", ["Cost $ by $", "$x$", r"$\frac{$"])
def test_dollars_in_a_name_are_no_formula(name: str, tmp_path: Path) -> None:
    """A DataSet's name is drawn as it is, also where mathtext would break on it."""
    fields = {"currentState": "SUCCESS", "startedAt": 100, "endedAt": 160, "rowsInserted": 5}
    ax = plots.plot(frame([Execution(7, 1, fields, name)]))
    ax.figure.savefig(tmp_path / "name.png")
    assert ax.get_title(loc="left") == f"{name} · stream 7"

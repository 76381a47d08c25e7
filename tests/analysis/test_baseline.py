"""Runs against what is usual for their stream."""

from __future__ import annotations

import json
import random
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import by_hand
import numpy as np
import pandas as pd
import pytest

from domo_magic.analysis import accessor, rhythm
from domo_magic.analysis.baseline import band, compare, parse_baseline
from domo_magic.analysis.sentences import reason, sentence
from domo_magic.errors import DomoWarning, TargetError
from domo_magic.model.execution import Execution
from domo_magic.model.formatting import bytes_text, count_text, duration_text, ratio_text
from domo_magic.model.frame import COLUMNS, frame

accessor.register()
if TYPE_CHECKING:
    from collections.abc import Callable

START = 1_700_000_000
HOUR = 3600
METRICS = ("duration", "rowsInserted", "bytesInserted", "peakMemoryUsedBytes")
Fields = dict[str, Any]


def now(number: int, seconds: float = 0) -> pd.Timestamp:
    """Return a moment so long after the start of a run."""
    return pd.Timestamp(START + number * HOUR + seconds, unit="s", tz="UTC")


def run(number: int, lasted: float | None = 271, rows: int | None = 283_429, **fields: Any) -> Fields:
    """Return a run as Domo sends it, one every hour."""
    start = START + number * HOUR
    return {
        "streamId": 25775,
        "executionId": number,
        "currentState": "SUCCESS" if lasted is not None else "ACTIVE",
        "startedAt": start,
        "endedAt": None if lasted is None else start + lasted,
        "rowsInserted": rows,
        "bytesInserted": None if rows is None else rows * 40,
        "peakMemoryUsedBytes": 200_000_000,
        **fields,
    }


def history(count: int = 20, **fields: Any) -> list[Fields]:
    """Return healthy runs 1 to `count`, alternately a little slower and a little quicker."""
    return [run(number, 271 + number % 3, 283_429 + number, **fields) for number in range(1, count + 1)]


def runs_of(fields: list[Fields], **known: Any) -> pd.DataFrame:
    """Return the frame of runs in Domo's own shape."""
    return frame(Execution.from_json(one).replace(instance="mycompany", **known) for one in fields)


def verdicts(fields: list[Fields], **options: Any) -> list[str]:
    """Return what is said, newest first."""
    return compare(runs_of(fields), **options)["verdict"].tolist()


def test_columns_and_dtypes_are_the_promised_ones() -> None:
    """19 columns in their order with fitting dtypes, whether there are runs or not."""
    compared = compare(runs_of(history(), name="Sales"))
    expected = ["streamId", "executionId", "name", "currentState", "startedAt", "verdict", "error"]
    for metric in METRICS:
        expected += [metric, f"{metric}Baseline", f"{metric}Ratio"]
    kinds = ["Int64", "Int64", "string", "string", "datetime64[us, UTC]", "string", "string"]
    kinds += ["timedelta64[us]", "timedelta64[us]", "Float64", *["Int64", "Float64", "Float64"] * 3]
    assert list(compared.columns) == expected
    assert [str(dtype) for dtype in compared.dtypes] == kinds
    assert compare(frame([])).dtypes.equals(compared.dtypes)
    assert pd.concat([compared, compare(frame([]))]).dtypes.equals(compared.dtypes)
    assert compared["executionId"].tolist() == list(range(20, 0, -1))


@pytest.mark.parametrize(
    "last, verdict",
    [
        (run(21), "usual"),
        (run(21, 842), "slow"),
        (run(21, 60), "fast"),
        (run(21, rows=1204), "few rows, few bytes"),
        (run(21, rows=900_000), "many rows, many bytes"),
        (run(21, peakMemoryUsedBytes=400_000_000), "more memory"),
        (run(21, peakMemoryUsedBytes=4), "usual"),
        (run(21, 842, 9, peakMemoryUsedBytes=4e8), "slow, few rows, few bytes, more memory"),
        (run(21, 842, 0, peakMemoryUsedBytes=4e8), "no rows"),
        (run(21, 842, 0, currentState="ERROR"), "failed"),
        (run(21, rows=0, currentState="ACTIVE", endedAt=None), "running"),
        (run(21, rows=200_000), "few rows, few bytes"),
        (run(21, rows=240_000), "usual"),
        (run(21, 4000, currentState="ABORTED", cancelledBy="27"), "cancelled"),
        (run(21, None, currentState="CANCELLED", cancelledBy={"id": 27}), "cancelled"),
        (run(21, 4000, currentState="ABORTED", cancelledBy=""), "failed"),
        (run(21, cancelledBy="27"), "usual"),
        (run(21, None, cancelledBy="27"), "running"),
        (run(21, 842, bytesInserted=1), "slow, few bytes"),
        (run(21, 4000, currentState="ERROR"), "failed"),
        (run(21, None, currentState="ABORTED"), "failed"),
        (run(21, 271, currentState="success"), "usual"),
        (run(21, 271, currentState="ACTIVE"), "failed"),
        (run(21, None, currentState="QUEUED", startedAt=None), "running"),
    ],
)
def test_verdict_is_the_first_that_applies(last: Fields, verdict: str) -> None:
    """Cancelled, failed and running come before numbers; numbers are joined in a fixed order."""
    assert verdicts([*history(), last], now=now(21, 60))[0 if last["startedAt"] else -1] == verdict


@pytest.mark.parametrize(
    "lasted, verdict",
    [(150, "usual"), (149, "usual"), (100, "fast"), (224, "usual"), (225, "slow"), (226, "slow")],
)
def test_ratio_decides_when_all_runs_before_lasted_the_same(lasted: float, verdict: str) -> None:
    """With a deviation of 0, unusual begins at exactly 1.5 and 1/1.5."""
    assert verdicts([*[run(number, 150) for number in range(1, 9)], run(9, lasted)])[0] == verdict


def test_wide_histories_need_more_than_the_ratio() -> None:
    """Twice the median is usual where runs vary that much, and the limit itself is usual too."""
    before = [run(number, lasted) for number, lasted in enumerate([100, 200, 300, 400, 500], 1)]
    limit = 300 + 5 * 1.4826 * 100
    assert verdicts([*before, run(6, 600)])[0] == "usual"
    assert verdicts([*before, run(6, round(limit, 2) + 0.01)])[0] == "slow"
    assert verdicts([*before, run(6, 1041.29)])[0] == "usual"


@pytest.mark.parametrize(
    "spread, rows, verdict",
    [
        (0, 119_999, "usual"),
        (0, 120_000, "many rows, many bytes"),
        (3_000, 120_000, "usual"),  # 5 scaled deviations are 22 %
        (3_000, 122_400, "many rows, many bytes"),
        (3_300, 125_000, "many rows, many bytes"),
        (3_400, 149_000, "usual"),  # a scaled deviation of 5.04 %
        (0, 83_333, "few rows, few bytes"),
        (0, 83_334, "usual"),
    ],
)
def test_rows_of_a_steady_stream_need_less(spread: int, rows: int, verdict: str) -> None:
    """Where rows scatter by less than 5 %, a fifth more is unusual; durations still need half as much."""
    before = [run(number, 100, 100_000 + (number % 3 - 1) * spread) for number in range(1, 19)]
    assert verdicts([*before, run(20, 130, rows)])[0] == verdict


DAY = 24


def rhythm_of(days: int, lasted: Callable[[int], float]) -> list[Fields]:
    """Return a run a day, each a little slower or quicker than usual for its day."""
    return [run(day * DAY, lasted(day) * (1 + day % 5 / 50), executionId=day) for day in range(1, days + 1)]


@pytest.mark.parametrize(
    "lasted, days, again, other",
    [
        (lambda day: 600 if day % 7 == 3 else 200, 101, 600, 200),  # weekdays
        (lambda day: 900 if day % 2 else 200, 101, 900, 400),  # two sizes
        (lambda day: 900 if day % 2 else 200, 101, 900, 200),  # two turns
        (lambda day: 900 if day % 3 == 2 else 200, 101, 900, 200),  # three turns
        (lambda day: 900 if day % 30 == 10 else 200, 100, 900, 900),  # once a month
    ],
)
def test_a_rhythm_is_usual(lasted: Callable[[int], float], days: int, again: float, other: float) -> None:
    """What comes again every week, every other day or every month is usual, and what breaks it is not."""
    before = rhythm_of(days - 1, lasted)
    assert lasted(days) == again
    compared = compare(runs_of([*before, run(days * DAY, again, executionId=days)])).iloc[0]
    assert compared["verdict"] == "usual"
    assert compared["durationRatio"] == pytest.approx(1, abs=0.1)
    day = days + 8 if other == again else days
    assert verdicts([*before, run(day * DAY, other, executionId=day)])[0] in {"slow", "fast"}


def test_hours_that_differ_between_weekdays() -> None:
    """What a third of the day brings on a Sunday is usual then, and not on a Monday."""

    def lasted(third: int) -> float:
        return 200 * (3 if third % 3 == 1 else 1) * (0.4 if third // 3 % 7 == 3 else 1)

    before = [run(8 * at, lasted(at) * (1 + at % 5 / 50), executionId=at) for at in range(1, 178)]
    sunday, monday = 21 * 8 + 9, 21 * 8 + 12 + 1
    assert lasted(sunday) == 80
    for at, value, verdict in (
        (sunday, 80, "usual"),
        (monday, lasted(monday), "usual"),
        (monday, 240, "fast"),
    ):
        assert verdicts([*before, run(8 * at, value, executionId=at)])[0] == verdict


@pytest.mark.parametrize(
    "slow, verdict",
    [
        ({3, 7, 11}, "usual"),  # time and again
        ({9, 10, 11}, "slow"),  # once, and it stays
        ({7}, "slow"),
    ],
)
def test_what_came_up_time_and_again_is_usual(slow: set[int], verdict: str) -> None:
    """A value that earlier runs had, at different times, is usual, and is compared with those."""
    before = [run(day * DAY, 300 if day in slow else 100 + day % 3, executionId=day) for day in range(1, 14)]
    compared = compare(runs_of([*before, run(14 * DAY, 300, executionId=14)])).iloc[0]
    assert compared["verdict"] == verdict
    assert compared["durationRatio"] == pytest.approx(1 if verdict == "usual" else 3, abs=0.1)


def test_a_verdict_does_not_depend_on_rounding() -> None:
    """A stream that always brings the same, but for some runs, is judged alike whatever the number is."""
    said = [
        verdicts([run(day * 24, rows=rows * (3 if day in {27, 28, 37, 40, 47} else 1)) for day in range(60)])
        for rows in (100, 74_388, 823_415, 8_239_780, 10**11)
    ]
    assert said[1:] == said[:-1]


def test_a_rhythm_is_seen_only_in_what_lies_behind() -> None:
    """What is said about a run of a stream with a rhythm does not depend on later runs."""
    fields = rhythm_of(150, lambda day: 600 if day % 7 == 3 else 200)
    compared = compare(runs_of(fields))
    for known in (19, 20, 21, 47, 100):
        pd.testing.assert_frame_equal(
            compare(runs_of(fields[:known])),
            compared.tail(known).reset_index(drop=True),
            obj=f"first {known}",
        )


@pytest.mark.parametrize(
    "zeros, rows, verdict",
    [
        (0, 0, "no rows"),
        (1, 0, "no rows"),
        (2, 0, "usual"),
        (11, 0, "usual"),
        (0, None, "usual"),
    ],
)
def test_no_rows_is_news_where_there_are_always_some(zeros: int, rows: int | None, verdict: str) -> None:
    """Two of the last twenty without rows make it one that comes up."""
    before = [run(number, rows=0 if number <= zeros else 1_000) for number in range(1, 21)]
    assert verdicts([*before, run(21, rows=rows)])[0] == verdict


def test_the_error_of_failed_runs_is_text() -> None:
    """Domo's own words, from parsed JSON and from a file's text; empty for every other run."""
    errors = [{"code": 7, "category": "CONNECTOR", "message": "login refused"}]
    fields = [
        *history(3),
        run(4, errors=errors),
        run(5, currentState="ERROR", errors=errors),
        run(6, currentState="ERROR", errors=[]),
        run(7, currentState="ERROR"),
        run(8, currentState="ERROR", errors="no [brackets]"),
        run(9, currentState="ABORTED", cancelledBy="27", errors=errors),
    ]
    runs = runs_of(fields)
    text = runs["errors"].map(lambda value: None if value is None else json.dumps(value))
    for frame_of_runs in (runs, runs.assign(errors=text), runs.iloc[::-1]):
        compared = compare(frame_of_runs).set_index("executionId")["error"]
        assert compared.dropna().to_dict() == {5: "login refused", 8: "no [brackets]"}
    assert compare(runs.drop(columns="errors"))["error"].isna().all()
    arrays = runs.assign(errors=[np.array(value or []) for value in runs["errors"]])
    assert compare(arrays.iloc[:7])["error"].dropna().tolist() == ["login refused"]


def test_fewer_than_five_runs_are_no_baseline() -> None:
    """Four successes are too few, five are enough, and failures do not count."""
    assert verdicts(history(5)) == ["no baseline"] * 5
    assert verdicts(history(6))[0] == "usual"
    failures = [run(number, 10, currentState="ERROR") for number in range(5, 30)]
    assert verdicts([*history(4), *failures, run(30)])[0] == "no baseline"


def test_baseline_is_made_of_the_last_twenty_successes() -> None:
    """The twenty-first success back has no say."""
    old = [run(number, 1000) for number in range(1, 12)]
    compared = compare(runs_of([*old, *[run(number, 100) for number in range(12, 33)]])).set_index(
        "executionId"
    )
    usual = compared["durationBaseline"].dt.total_seconds()
    assert (usual[22], usual[31], usual[32]) == (550, 100, 100)
    assert usual[23] == 100


def test_nothing_looks_ahead() -> None:
    """What is said about a run is the same whether or not later runs are known."""
    dice = random.Random(3)
    fields = [run(number, dice.uniform(60, 9000), dice.randrange(1, 10**6)) for number in range(1, 60)]
    compared = compare(runs_of(fields))
    for known in (7, 25, 40):
        pd.testing.assert_frame_equal(
            compare(runs_of(fields[:known])),
            compared.tail(known).reset_index(drop=True),
            obj=f"first {known}",
        )


def test_only_runs_that_had_ended_count() -> None:
    """A run that ended at or after the start of another says nothing about it."""
    until = [run(number, 5 * HOUR) for number in range(1, 6)]
    assert verdicts([*until, run(10)])[0] == "no baseline"
    assert verdicts([*until, run(11)])[0] == "fast"


def test_streams_and_instances_are_never_mixed() -> None:
    """The same stream id in two instances is two streams."""
    quick, slow = (runs_of([run(number, lasted) for number in range(1, 8)]) for lasted in (10, 1000))
    other = runs_of([run(number, 5, streamId=7) for number in range(1, 8)])
    compared = compare(pd.concat([quick, slow.assign(instance="other"), other]))
    assert set(compared["verdict"]) == {"no baseline", "usual"}
    assert set(compared["durationRatio"].dropna()) == {1.0}
    chosen = compare(pd.concat([quick, slow.assign(instance="other"), other]), baseline=(25775, 1))
    assert chosen.groupby("streamId")["verdict"].unique().map(list).to_dict() == {
        7: ["fast"],
        25775: ["usual"],
    }


@pytest.mark.parametrize("seconds, verdict", [(400, "running"), (409, "running, slow")])
def test_running_is_slow_beyond_the_limit(seconds: float, verdict: str) -> None:
    """An unfinished run has lasted until now; its limit is one and a half times 272 s."""
    assert verdicts([*history(), run(21, None)], now=now(21, seconds))[0] == verdict
    assert verdicts([*history(), run(21, None)], now=now(21, seconds).tz_localize(None))[0] == verdict


def test_running_without_baseline_or_start_is_just_running() -> None:
    """Where nothing is usual nothing is slow; a start in the future has not lasted yet."""
    assert verdicts([run(1, None)], now=now(9)) == ["running"]
    assert verdicts([*history(), run(21, None)], now=now(0))[0] == "running"


def test_a_stream_that_never_started_is_not_running() -> None:
    """A row without run, state and start has nothing to be compared with."""
    compared = compare(frame([Execution(25775, None), Execution(7, None)]))
    assert compared["verdict"].tolist() == ["no baseline", "no baseline"]


def test_previous_and_a_chosen_run_compare_by_ratio_alone() -> None:
    """Against one run half as much again is unusual, whatever others did."""
    fields = [run(1, 1000), run(2, 100), run(3, 151), run(4, 10, currentState="ERROR"), run(5, 120)]
    assert verdicts(fields, baseline="previous") == ["usual", "failed", "slow", "fast", "no baseline"]
    assert verdicts(fields, baseline=(25775, 2)) == ["usual", "failed", "slow", "usual", "slow"]
    ratios = compare(runs_of(fields), baseline=(25775, 1))["durationRatio"]
    assert ratios.tolist() == [0.12, 0.01, 0.151, 0.1, 1.0]


def test_a_frame_alone_says_where_it_knows_too_little() -> None:
    """More than half of the runs without a baseline are said, with what fetches one; half are not."""
    with pytest.warns(DomoWarning, match=r"5 of 9 runs have no baseline in this frame.*compare\(runs\)"):
        compared = runs_of(history(9)).domo.compare()
    pd.testing.assert_frame_equal(compared, compare(runs_of(history(9))))
    half = runs_of(history(10)).domo.compare()["verdict"]
    assert half.value_counts().to_dict() == {"usual": 5, "no baseline": 5}
    assert runs_of(history(3)).domo.compare("25775/1")["verdict"].eq("usual").all()
    assert frame([]).domo.compare().empty


def test_a_single_run_is_no_steady_stream() -> None:
    """Against one run rows need half as much again."""
    assert verdicts([run(1, rows=100), run(2, rows=140)], baseline="previous") == ["usual", "no baseline"]
    assert verdicts([run(1, rows=100), run(2, rows=0)], baseline=(25775, 1))[0] == "no rows"


def test_a_baseline_is_a_word_or_a_run() -> None:
    """A run is written with a slash or given as its two ids, of any kind of number."""
    for given in ("25775/2", " 25775/2 ", (25775, 2), [np.int64(25775), "2"]):
        assert parse_baseline(given) == (25775, 2)
    assert parse_baseline(" previous ") == "previous"


@pytest.mark.parametrize(
    "baseline", [(25775, 99), (1, 1), "mean", (1,), None, ("a", "b"), 3, np.array([1, 2])]
)
def test_impossible_baselines_are_one_error(baseline: Any) -> None:
    """A run that is not there, or something that is no baseline."""
    with pytest.raises(TargetError):
        compare(runs_of(history()), baseline=baseline)


def test_baseline_of_zero_has_no_ratio_and_no_word() -> None:
    """Where runs take no time and bring no rows, any number is usual."""
    before = [run(number, 0, 0) for number in range(1, 8)]
    compared = compare(runs_of([*before, run(8, 50, 50)])).iloc[0]
    assert compared["verdict"] == "usual"
    assert compared["durationBaseline"] == pd.Timedelta(0)
    assert pd.isna(compared["durationRatio"])
    assert pd.isna(compared["rowsInsertedRatio"])


def test_missing_numbers_are_left_out() -> None:
    """A metric is compared where five of the last twenty runs know it, others are empty."""
    before = [run(number, rows=100 if number < 5 else None) for number in range(1, 10)]
    first = compare(runs_of([*before, run(10, rows=5)])).iloc[0]
    assert first["verdict"] == "usual"
    assert pd.isna(first["rowsInsertedBaseline"])
    assert verdicts([*before, run(10, rows=100), run(11, rows=5)])[0] == "few rows, few bytes"


def test_clocks_that_ran_backwards_give_no_duration() -> None:
    """Such a run has no duration, harms no baseline, and is not compared with itself."""
    odd = [run(number, -9000) for number in range(8, 14)]
    compared = compare(runs_of([*history(7), *odd, run(14)]))
    assert compared["duration"].isna().sum() == 6
    assert compared["verdict"].tolist()[:8] == ["usual"] * 8
    assert compare(runs_of([run(number, -9000) for number in range(1, 4)]))["verdict"].eq("no baseline").all()


def test_runs_in_the_future_change_nothing_before_them() -> None:
    """A run with a start in the year 2099 is first, and no baseline of the others."""
    far = run(99, 5000, startedAt=4_080_000_000, endedAt=4_080_005_000)
    assert verdicts([*history(), far, run(21)])[:2] == ["slow", "usual"]


def test_runs_without_a_start_come_last() -> None:
    """They have no baseline and are none; ties go by the number of the run."""
    fields = [run(3, startedAt=None), run(4, startedAt=START), run(5, startedAt=START), *history(2)]
    assert compare(runs_of(fields))["executionId"].tolist() == [2, 1, 5, 4, 3]


@pytest.mark.parametrize("seed", range(3))
def test_same_as_a_slow_loop(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random runs of several streams, overlapping and incomplete, in any order, are judged alike."""
    monkeypatch.setattr(rhythm, "SHOWS", 1_000)  # the loop does not know what is usual in a rhythm
    dice = random.Random(seed)
    fields = [random_run(dice, number) for number in range(1, 301)]
    runs = runs_of(fields)
    compared = compare(runs, now=now(100)).set_index("executionId")
    for execution, (verdict, usuals) in by_hand.compared(list(map(plain, fields))).items():
        row = compared.loc[execution]
        assert row["verdict"] == verdict
        for metric, usual in zip(METRICS, usuals, strict=True):
            got = row[f"{metric}Baseline"]
            got = got.total_seconds() if metric == "duration" else got
            assert pd.isna(got) if usual is None else got == pytest.approx(usual)
    pd.testing.assert_frame_equal(
        compare(runs.sample(frac=1, random_state=seed), now=now(100)), compare(runs, now=now(100))
    )


def random_run(dice: random.Random, number: int) -> Fields:
    """Return a run of one of three streams, one with hardly any overlap and one with a lot."""
    stream = dice.randrange(3)
    lasted = dice.choice([dice.uniform(10, 100), dice.uniform(10, [1000, 20_000, 90_000][stream]), -50])
    return run(
        dice.randrange(100),
        dice.choice([None, *[round(lasted)] * 9]),
        dice.choice([None, 0, round(dice.gauss(3_000, 100)), round(dice.lognormvariate(8, 1))]),
        executionId=number,
        streamId=stream,
        currentState=dice.choice(["ERROR", "ACTIVE", *["SUCCESS"] * 12]),
        peakMemoryUsedBytes=dice.choice([0, 0, dice.randrange(10**6)]),
    ) | ({"startedAt": None} if dice.random() < 0.02 else {})


def lasted(one: Fields) -> float | None:
    """Return the seconds from start to end."""
    if one["startedAt"] is None or one["endedAt"] is None or one["endedAt"] < one["startedAt"]:
        return None
    return float(one["endedAt"] - one["startedAt"])


def plain(one: Fields) -> Fields:
    """Return a run as the slow loop takes it."""
    return one | {
        "start": one["startedAt"],
        "end": one["endedAt"],
        "state": one["currentState"],
        "finished": one["endedAt"] is not None or one["currentState"] != "ACTIVE",
        "cancelled": False,
        "duration": lasted(one),
        "lasted": None if one["startedAt"] is None else max(START + 100 * HOUR - one["startedAt"], 0),
    }


def test_duplicates_count_once_and_the_better_row_wins() -> None:
    """The same run from two listings is one row: the finished one, whichever comes first."""
    earlier = runs_of([run(21, None, None)])
    later = runs_of([*history(), run(21, 842)])
    for both in ([earlier, later, later], [later, earlier], [later, later.iloc[::-1], earlier]):
        compared = compare(pd.concat(both))
        assert len(compared) == 21
        assert compared.iloc[0][["verdict", "currentState"]].tolist() == ["slow", "SUCCESS"]


def test_the_later_change_wins_among_finished_rows() -> None:
    """Of two finished rows the one that Domo changed last is kept."""
    rows = [run(1, 10, 1, modifiedAt=START + 9), run(1, 10, 2, modifiedAt=START + 99), run(1, 10, 3)]
    assert compare(runs_of(rows))["rowsInserted"].tolist() == [2]


def test_foreign_frames_are_converted_without_loss() -> None:
    """CSV text, epoch numbers, naive times, floats and objects say the same as our own dtypes."""
    fields = [*history(), run(21, 842)]
    ours = runs_of(fields, name="Sales")
    expected = compare(ours)
    shapes = {
        "text": ours.astype(object)
        .where(ours.notna(), None)
        .map(lambda value: value if value is None else str(value)),
        "json": pd.json_normalize(fields).assign(name="Sales"),
        "naive": ours.assign(startedAt=ours["startedAt"].dt.tz_localize(None).astype("M8[ns]")),
        "float": ours.astype({"executionId": "float64", "rowsInserted": "float64", "duration": "m8[ns]"}),
        "object": ours.astype(object),
        "zone": ours.assign(startedAt=ours["startedAt"].dt.tz_convert("Asia/Tokyo"), extra=1),
        "indexed": ours.set_index(pd.Index([3] * len(ours))),
    }
    for name, foreign in shapes.items():
        pd.testing.assert_frame_equal(compare(foreign), expected, obj=name)


def test_what_domo_sent_by_another_road_is_compared_too() -> None:
    """The few fields of Domo's own history are enough; what they lack is empty."""
    sample = json.loads((Path(__file__).parents[1] / "captures" / "history-aggregate-371.json").read_text())
    compared = compare(pd.DataFrame(sample), baseline="previous")
    assert compared["verdict"].tolist() == ["usual", "no baseline"]
    assert compared["durationRatio"].iloc[0] == pytest.approx(40 / 28)
    assert compared["name"].isna().all()


def test_columns_that_are_missing_are_named() -> None:
    """One error tells all of them."""
    with pytest.raises(TargetError, match="currentState, endedAt missing"):
        compare(frame([]).drop(columns=["endedAt", "currentState"]))
    with pytest.raises(TargetError, match="more than one column endedAt"):
        compare(pd.concat([frame([]), frame([])[["endedAt"]]], axis=1))
    few = runs_of(history()).drop(columns=[*METRICS, "name", "instance"])
    assert compare(few)["duration"].notna().all()
    assert compare(few)["rowsInserted"].isna().all()


@pytest.mark.parametrize(
    "column, value",
    [
        ("streamId", "sales"),
        ("rowsInserted", 1.5),
        ("rowsInserted", np.inf),
        ("startedAt", "yesterday"),
        ("duration", 271.0),
        ("duration", "a while"),
        ("duration", "1:2:3:4"),
        ("duration", "999999999 days 00:00:00"),
        ("duration", timedelta.max),
        ("streamId", [25775]),
        ("rowsInserted", []),
        ("startedAt", np.array([1, 2])),
        ("endedAt", np.array([])),
    ],
)
def test_values_that_cannot_be_converted_are_named(column: str, value: Any) -> None:
    """Losing digits, or guessing a unit, would be a wrong verdict."""
    runs = runs_of(history())
    with pytest.raises(TargetError, match=f"column {column} holds"):
        compare(runs.assign(**{column: pd.Series([value] * len(runs), dtype=object)}))


@pytest.mark.parametrize(
    "column, values",
    [
        ("startedAt", np.array([2**50], dtype="M8[s]")),
        ("duration", np.array([2**50], dtype="m8[s]")),
    ],
)
def test_columns_that_cannot_be_converted_are_named(column: str, values: Any) -> None:
    """Whatever pandas says of a column is one error with the column's name."""
    runs = runs_of([run(1)])
    with pytest.raises(TargetError, match=f"column {column} "):
        compare(runs.assign(**{column: pd.Series(values)}))


def test_dates_are_midnights() -> None:
    """Days without a time, pyarrow's too, are the first moment of the day in UTC."""
    day, dtype = date(2024, 12, 17), pd.ArrowDtype(pytest.importorskip("pyarrow").date32())
    for days in (pd.Series([day], dtype=object), pd.Series([day], dtype=dtype)):
        compared = compare(runs_of([run(1)]).assign(startedAt=days, endedAt=pd.NaT))
        assert compared["startedAt"].tolist() == [pd.Timestamp("2024-12-17", tz="UTC")]


class Foreign:
    """A frame of another library."""

    columns = COLUMNS


@pytest.mark.parametrize(
    "runs, words",
    [
        (pd.DataFrame, "the class pandas.*DataFrame is not a DataFrame of pandas"),
        (Foreign(), "a .*Foreign is not a DataFrame of pandas"),
        (frame([])["name"], "a pandas.*Series is not a DataFrame of pandas"),
        (pd.concat({"runs": frame([])}, axis=1), "the columns have 2 levels"),
    ],
)
def test_what_is_no_frame_of_runs_is_one_error(runs: Any, words: str) -> None:
    """A class, another library's frame, one column and levels of columns are told by their names."""
    for use in (compare, band):
        with pytest.raises(TargetError, match=f"not a frame of runs: {words}"):
            use(runs)


def test_the_frame_given_is_left_as_it_is() -> None:
    """Comparing changes nothing in its argument."""
    runs = runs_of([*history(), run(21, -5), run(22, None)])
    before = runs.copy(deep=True)
    compare(runs)
    pd.testing.assert_frame_equal(runs, before)
    assert tuple(runs.columns) == COLUMNS


def test_band_holds_what_is_usual() -> None:
    """A finished run is slow or fast exactly when it lies outside its band."""
    dice = random.Random(5)
    fields = [run(number, dice.lognormvariate(5, 0.6)) for number in range(1, 200)]
    shown = band(runs_of(fields)).dropna(subset=["baseline"])
    inside = shown["value"].between(shown["low"], shown["high"])
    assert (shown["verdict"] == "usual").tolist() == inside.tolist()
    assert 0 < inside.mean() < 1
    assert shown["baseline"].iloc[0] == pytest.approx(median(lasted(one) for one in fields[-21:-1]))


def test_band_shows_how_long_unfinished_runs_have_lasted() -> None:
    """Seconds until now, beside a band that is already there."""
    last = band(runs_of([*history(), run(21, None)]), now=now(21, 50)).iloc[0]
    assert last["value"] == 50
    assert last["low"] == pytest.approx(272 / 1.5)
    assert last["high"] == pytest.approx(272 * 1.5)


def test_band_names_the_possible_metrics() -> None:
    """An unknown metric is an error that helps."""
    with pytest.raises(TargetError, match="choose one of duration, rowsInserted"):
        band(frame([]), "speed")


@pytest.mark.parametrize(
    "last, words",
    [
        (run(21, 842, 283_500), "14 min 02 s, 3.1 times the usual 4 min 32 s; rows as usual"),
        (run(21), "4 min 31 s as usual; rows as usual"),
        (run(21, 60, 283_500), "1 min 00 s, 22 % of the usual 4 min 32 s; rows as usual"),
        (run(21, rows=1204), "4 min 31 s as usual; 1,204 rows, 0.4 % of the usual 283,440"),
        (run(21, rows=0), "4 min 31 s as usual; 0 rows instead of the usual 283,440"),
        (
            run(21, bytesInserted=3_000),
            "4 min 31 s as usual; rows as usual; 3.0 kB, under 0.1 % of the usual 11 MB",
        ),
        (
            run(21, peakMemoryUsedBytes=900_000_000),
            "4 min 31 s as usual; rows as usual; peak memory 900 MB, 4.5 times the usual 200 MB",
        ),
        (run(21, 12, currentState="ERROR"), "ERROR after 12 s, usually 4 min 32 s"),
        (run(21, None, currentState="FAILED"), "FAILED, usually 4 min 32 s"),
        (run(21, None), "running, usually 4 min 32 s"),
        (run(21, None, startedAt=START + 20.5 * HOUR), "still running, far longer than the usual 4 min 32 s"),
    ],
)
def test_sentence_says_it_plainly(last: Fields, words: str) -> None:
    """One sentence for people, the same from a Series, a tuple, a dict and a frame."""
    compared = compare(runs_of([*history(), last]), now=now(21, 50))
    first = compared.head(1)
    assert sentence(first.iloc[0]) == words
    assert sentence(first) == words
    assert sentence(next(first.itertuples(index=False))) == words
    assert sentence(first.to_dict("records")[0]) == words


@pytest.mark.parametrize(
    "last, words",
    [
        (run(21), "usual"),
        (run(21, 842, 283_500), "slow: 3.1 times the usual 4 min 32 s"),
        (
            run(21, 842, 70_860, bytesInserted=11_337_600),
            "slow: 3.1 times the usual 4 min 32 s; few rows: 25 % of the usual 283,440",
        ),
        (run(21, rows=0), "no rows: usually 283,440"),
        (run(21, bytesInserted=0), "few bytes: 0 bytes instead of the usual 11 MB"),
        (run(21, peakMemoryUsedBytes=900_000_000), "more memory: 4.5 times the usual 200 MB"),
        (run(21, 12, currentState="ERROR"), "failed"),
        (run(21, 12, currentState="ERROR", errors=[{"message": "login refused"}]), "failed: login refused"),
        (run(21, 12, currentState="ABORTED", cancelledBy="27"), "cancelled"),
        (run(21, None), "running"),
        (run(21, None, startedAt=START + 20.5 * HOUR), "running, slow"),
    ],
)
def test_reason_says_what_is_unusual_and_by_how_much(last: Fields, words: str) -> None:
    """The verdict with the numbers behind it, the same from a Series, a tuple, a dict and a frame."""
    first = compare(runs_of([*history(), last]), now=now(21, 50)).head(1)
    for row in (first, first.iloc[0], next(first.itertuples(index=False)), first.to_dict("records")[0]):
        assert reason(row) == words


def test_reason_without_baseline() -> None:
    """A first run has nothing to be compared with."""
    assert reason(compare(runs_of([run(1)]))) == "no baseline"


def test_sentence_without_baseline() -> None:
    """A first run is told as it is."""
    compared = compare(runs_of([run(1), run(2, -5, None)]))
    assert sentence(compared.iloc[1]) == "4 min 31 s; 283,429 rows; nothing usual to compare with yet"
    assert sentence(compared.iloc[0]) == "nothing usual to compare with yet"


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0, "0.0 s"),
        (6.24, "6.2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (42, "42 s"),
        (59.6, "1 min 00 s"),
        (192, "3 min 12 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (86_399, "1 d 0 h"),
        (273_600, "3 d 4 h"),
        (-42, "-42 s"),
        (float("nan"), "unknown time"),
        (float("inf"), "unknown time"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    """Rounding never shows 60 seconds or 24 hours."""
    assert duration_text(seconds) == words


def test_numbers_in_words() -> None:
    """Counts have thousands, sizes have units, ratios read before "the usual"."""
    assert [count_text(number) for number in (0, 1, 283_429)] == ["0 rows", "1 row", "283,429 rows"]
    assert [bytes_text(size) for size in (1, 999, 999.6, 1_550, 43_584_980, 9.99e8, 9.996e8, 3e16)] == [
        "1 byte",
        "999 bytes",
        "1.0 kB",
        "1.6 kB",
        "44 MB",
        "999 MB",
        "1.0 GB",
        "30,000 TB",
    ]
    assert [ratio_text(ratio) for ratio in (1, 9.96, 1234.5, 0.999, 0.004, 1e-9, 0)] == [
        "1.0 times",
        "10 times",
        "1,234 times",
        "100 % of",
        "0.4 % of",
        "under 0.1 % of",
        "instead of",
    ]


@pytest.mark.parametrize("use", [lambda rows: rows.domo.compare(), lambda rows: rows.domo.plot()])
def test_rows_that_lack_what_is_compared_lead_to_what_fetches_it(use: Any) -> None:
    """Rows of a comparison have no ends: the functions that fetch what they lack are named."""
    rows = compare(runs_of(history(6)))
    with pytest.raises(TargetError, match=r"of a comparison or an overview, these fetch what it lacks"):
        use(rows)

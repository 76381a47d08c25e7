"""What people write for a stream, a run and a time: understood, or refused with a reason."""

from __future__ import annotations

import time
from collections import namedtuple
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

import domo_magic
from domo_magic.errors import TargetError
from domo_magic.executions.targets import Target, parse, refuse_twice, seconds, shown, since_us, understood

DATASET = "5f3c2a9e-8d41-4b7e-9c36-1e2f7a4d6b90"
PAGE = f"https://mycompany.domo.com/datasources/{DATASET}/details/overview"
RUNS = pd.DataFrame(
    {
        "streamId": pd.array([25775, 371], dtype="Int64"),
        "executionId": pd.array([2, 32360], dtype="Int64"),
    }
)


@pytest.mark.parametrize(
    "value",
    [
        25775,
        "25775",
        " 25775 ",
        25775.0,
        np.int64(25775),
        np.uint8(25775 % 256) + np.int64(25775 - 25775 % 256),
        np.float64(25775),
        np.array(25775),
        "[25775]",
        "'25775',",
    ],
)
def test_an_id_may_be_any_whole_number_or_its_text(value: object) -> None:
    """An id is understood as a number of Python or numpy, a whole float, or text."""
    assert [target.stream_id for target in parse(value)] == [25775]


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        (1, 2),
        ["1", 2.0],
        range(1, 3),
        iter([1, 2]),
        np.array([1, 2]),
        np.array(["1", "2"]),
        pd.Series([1, 2]),
        pd.Series([1.0, 2.0]),
        pd.Series(["1", "2"], dtype="string"),
        pd.Series([1, 2], dtype="Int64"),
        pd.Index([1, 2]),
        "1 2",
        "1,2",
        "[1, 2]",
        "{1, 2}",
        pd.DataFrame({"streamId": [1, 2], "executionId": [7, 8]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_collection_of_ids_is_understood_in_its_order(value: object) -> None:
    """Lists, tuples, arrays, Series, an Index, frames and expanded text give the same streams."""
    assert [target.stream_id for target in parse(value)] == [1, 2]


@pytest.mark.parametrize("value", [{2, 1}, frozenset({2, 1})])
def test_sets_are_understood(value: object) -> None:
    """A set gives its streams in whatever order it has."""
    assert {target.stream_id for target in parse(value)} == {1, 2}


def test_a_run_is_a_stream_and_an_execution() -> None:
    """Where runs are meant, 25775/2 names one."""
    (target,) = parse("25775/2", "runs")
    assert (target.stream_id, target.execution_id) == (25775, 2)


def test_a_frame_names_its_runs_where_runs_are_meant() -> None:
    """A frame's executionId goes with its streamId where runs are meant, and is left out elsewhere."""
    assert [(each.stream_id, each.execution_id) for each in parse(RUNS, "runs")] == [(25775, 2), (371, 32360)]
    assert [(each.stream_id, each.execution_id) for each in parse(RUNS)] == [(25775, None), (371, None)]


def test_a_row_of_a_frame_names_its_run() -> None:
    """One row of a frame (a Series) is understood like the frame."""
    (target,) = parse(RUNS.iloc[1], "runs")
    assert (target.stream_id, target.execution_id) == (371, 32360)


def test_a_frame_without_executions_names_streams() -> None:
    """A frame of streams is streams, also where runs are meant."""
    (target,) = parse(pd.DataFrame({"streamId": [7]}), "runs")
    assert (target.stream_id, target.execution_id) == (7, None)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_a_row_without_an_execution_is_no_run(missing: object) -> None:
    """A row whose run is not known is refused, naming its stream."""
    frame = pd.DataFrame({"streamId": [25775], "executionId": pd.array([missing], dtype=object)})
    with pytest.raises(TargetError, match="stream 25775 has no executionId"):
        parse(frame, "runs")


def test_a_length_of_time_of_the_standard_library() -> None:
    """A `timedelta`, pandas' too, is a length of time."""
    assert seconds(timedelta(hours=2)) == seconds(pd.Timedelta("2h")) == 7200.0
    with pytest.raises(TargetError, match="invalid timeout"):
        seconds(timedelta(seconds=-1))


def test_runs_that_are_listed_twice_start_nothing_anyway() -> None:
    """Where runs are meant the refusal does not speak of starting."""
    with pytest.raises(TargetError, match="target 25775/2 is listed twice; nothing was done"):
        parse(["25775/2", "25775/2"], "runs")


def test_a_row_whose_run_is_no_number_is_named() -> None:
    """What is not an execution id is told as one, with its stream."""
    frame = pd.DataFrame({"streamId": [25775], "executionId": ["second"]})
    with pytest.raises(TargetError, match=r"'second' is not an execution id \(a row of stream 25775\)"):
        parse(frame, "runs")


def test_a_dataset_is_named_by_its_id_in_any_case() -> None:
    """A UUID names a DataSet."""
    assert parse(DATASET.upper())[0] == Target(DATASET.upper(), dataset_id=DATASET)


@pytest.mark.parametrize(
    "text, host",
    [
        (PAGE, "mycompany.domo.com"),
        (PAGE.upper().replace("HTTPS", "https").replace("DATASOURCES", "datasources"), "mycompany.domo.com"),
        (PAGE.removeprefix("https://"), "mycompany.domo.com"),
        (f"https://mycompany.domo.com:443/datasources/{DATASET}", "mycompany.domo.com"),
        (f"http://127.0.0.1:8765/datasources/{DATASET}/", "127.0.0.1:8765"),
        (f"https://mycompany.domo.com/datasources/{DATASET}?tab=a#b", "mycompany.domo.com"),
    ],
)
def test_the_address_of_a_page_names_a_dataset_and_its_host(text: str, host: str) -> None:
    """An address gives the DataSet, and the host that must be the instance's."""
    (target,) = parse(text)
    assert (target.dataset_id, target.host) == (DATASET, host)


@pytest.mark.parametrize(
    "value",
    [
        -1,
        0,
        "0",
        "-5",
        "+5",
        2**63,
        "9" * 19,
        "9" * 5000,
        10**400,
        1.5,
        "25775.5",
        float("nan"),
        float("inf"),
        pd.NA,
        None,
        True,
        np.True_,
        b"25775",
        1j,
        object(),
        "25775; rm",
        "../x",
        "25775/2",
        "25775/",
        "/2",
        "sales",
        "",
        "   ",
        "25(775)",
        "25[775]",
        "(25)775",
        "²",
        "٣",
        "25_775",
        "0x10",
        "25775\x00",
        "1\n2\ndtype: int64",
        DATASET[:-1],
        f"{DATASET}0",
        f"https://mycompany.domo.com/page/{DATASET}",
        "https://mycompany.domo.com/datasources/25775",
        f"https://user@mycompany.domo.com/datasources/{DATASET}",
        f"ftp://mycompany.domo.com/datasources/{DATASET}",
        f"https:///datasources/{DATASET}",
        f"https://[/datasources/{DATASET}",
        [],
        (),
        pd.Series([], dtype="Int64"),
        pd.DataFrame({"streamId": []}),
        pd.DataFrame({"id": [25775]}),
        [25775, None],
        [25775, True],
        [[25775]],
        np.array([[25775]]),
        [25775, "25775"],
        [25775, 25775.0],
        "25775 25775",
        pd.Series([1.0, float("nan")]),
        pd.Series([True]),
        np.datetime64("2024-01-01", "ns"),
        np.timedelta64(5, "ns"),
        np.array(["2024-01-01"], "M8[ns]"),
        pd.Series(pd.to_timedelta([5], unit="ns")),
        pd.DataFrame([[1, 2]], columns=["streamId", "streamId"]),
        pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("streamId", "a")])),
        pd.DataFrame([[1]], columns=pd.Index([pd.NA], dtype=object)),
        10**5000,
        "25,775",
        "371 25,775",
        "1,234,567",
        "0    25778\n1    25779\ndtype: int64",
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_stream_is_refused_in_two_lines(value: object) -> None:
    """Everything else is a TargetError: what is wrong, and in its second line what to write."""
    with pytest.raises(TargetError) as caught:
        parse(value)
    assert caught.value.summary
    assert caught.value.hint
    assert len(str(caught.value).splitlines()) == 2
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "value, said",
    [
        ("25,775", "'25,775' may be one number or several\nwrite 25775 or 25 775"),
        (pd.Series([7, pd.NA], dtype="Int64"), "a missing value is not an id\nleave missing values out"),
        ([7.0, float("nan")], "a missing value is not an id\n"),
        ([None], "a missing value is not an id\nwrite a stream's id"),
        ([pd.NaT], "a missing value is not an id\n"),
        ([len], "this builtin_function_or_method is not an id\n"),
        (["a\nb"], "is not the id of a stream"),
        ("0 1\n1 2", "give the list, Series or frame itself"),
        (np.datetime64("2024-01-01", "ns"), "datetime64[ns] is not an id\n"),
        (pd.DataFrame([[1, 2]], columns=["streamId", "streamId"]), "has several columns streamId\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_refusal_names_what_is_wrong(value: object, said: str) -> None:
    """The message has the value where it is short, else its type, and what to write instead."""
    with pytest.raises(TargetError) as caught:
        parse(value)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["[371,372]", "{371,372}", "371, 372", "25775,371", "371,37"])
def test_a_comma_between_ids_is_a_comma(text: str) -> None:
    """Only what looks like the thousands of one number is refused."""
    assert len(parse(text)) == 2


def test_repeated_targets_are_one_where_they_may_be() -> None:
    """For listing and comparing a frame may have a stream many times; the order is of the first."""
    several = pd.DataFrame({"streamId": [371, 25775, 371]})
    assert [target.stream_id for target in parse(several, repeats=True)] == [371, 25775]
    assert [target.stream_id for target in understood(several, "streams", repeats=True)] == [371, 25775]


@pytest.mark.parametrize("text", ["25775/0", "25775/-1", "0/2", "25775/2/3", f"25775/{2**63}", "a/b"])
def test_what_is_no_run_is_refused(text: str) -> None:
    """Both numbers of a run are ids."""
    with pytest.raises(TargetError):
        parse(text, "runs")


def test_the_largest_id_is_an_id() -> None:
    """Ids go up to 2**63 - 1."""
    assert parse(str(2**63 - 1))[0].stream_id == 2**63 - 1


def test_a_run_where_a_stream_is_meant_says_what_to_write() -> None:
    """The message for 25775/2 in the place of a stream names the stream."""
    with pytest.raises(TargetError, match="write the stream alone: 25775"):
        parse("25775/2")


def test_the_same_stream_twice_is_refused_but_two_of_its_runs_are_not() -> None:
    """A target may be there once; two runs of a stream are two targets."""
    with pytest.raises(TargetError, match="stream 25775 is listed twice; nothing was started"):
        parse("25775 371 25775")
    assert len(parse("25775/1 25775/2", "runs")) == 2


def test_a_dataset_twice_is_refused_also_as_id_and_address() -> None:
    """A DataSet's id and the address of its page are the same target."""
    with pytest.raises(TargetError, match="listed twice"):
        parse([DATASET, PAGE])


def test_targets_that_are_understood_stay_as_they_are() -> None:
    """What a magic has understood is not parsed again."""
    targets = parse([1, 2])
    assert understood(targets, "streams") is targets
    assert understood([1, 2], "streams") == targets
    refuse_twice(targets)


@pytest.mark.parametrize(
    "value, expected",
    [
        (90, 90.0),
        (0, 0.0),
        (0.5, 0.5),
        ("90", 90.0),
        ("90s", 90.0),
        ("10m", 600.0),
        ("2h", 7200.0),
        ("7d", 604_800.0),
        ("1.5h", 5400.0),
        (np.int64(90), 90.0),
    ],
)
def test_a_length_of_time_is_a_number_and_a_unit(value: object, expected: float) -> None:
    """Seconds, minutes, hours and days are understood; a number alone is seconds."""
    assert seconds(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        -1,
        "-5m",
        "",
        "m",
        "10 m",
        "10x",
        "1e3",
        "nan",
        "inf",
        float("nan"),
        float("inf"),
        True,
        None,
        [],
        "9" * 13,
    ],
    ids=repr,
)
def test_what_is_no_length_of_time_is_refused(value: object) -> None:
    """A refusal names the option and the units."""
    with pytest.raises(TargetError, match=r"(?s)invalid timeout .*90, 90s, 10m, 2h or 7d"):
        seconds(value)


def test_since_is_a_length_of_time_before_now() -> None:
    """7d is seven days before now."""
    assert since_us("7d", 1_000_000.0) == (1_000_000 - 604_800) * 1_000_000


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T00:00:00Z",
        "2026-01-31T01:00:00+01:00",
        datetime(2026, 1, 31, tzinfo=UTC),
        datetime(2026, 1, 31, 1, tzinfo=timezone(timedelta(hours=1))),
        pd.Timestamp("2026-01-31", tz="UTC"),
    ],
)
def test_since_is_a_moment(value: object) -> None:
    """A moment with a zone is that moment."""
    assert since_us(value, 2e9) == datetime(2026, 1, 31, tzinfo=UTC).timestamp() * 1e6


def test_a_date_without_a_zone_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare date begins at the user's midnight."""
    monkeypatch.setenv("TZ", "America/Denver")
    time.tzset()
    try:
        assert since_us("2026-01-31", 2e9) == datetime(2026, 1, 31, 7, tzinfo=UTC).timestamp() * 1e6
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("value", ["yesterday", "", "2026-13-01", "-7d", "None", "nan"])
def test_what_is_no_moment_is_refused(value: object) -> None:
    """A refusal shows the forms that are understood."""
    with pytest.raises(TargetError, match="invalid since"):
        since_us(value, 0.0)


@pytest.mark.parametrize("ahead, refused", [(3600, False), (90_000, True)])
def test_since_the_future_is_refused(ahead: float, *, refused: bool) -> None:
    """Nothing began after tomorrow; Domo's clock may be somewhat ahead of ours."""
    moment = datetime.fromtimestamp(1e9 + ahead, UTC)
    if refused:
        with pytest.raises(TargetError, match=r"since '2001-09-10 .*' is in the future"):
            since_us(moment, 1e9)
    else:
        assert since_us(moment, 1e9) == (1e9 + ahead) * 1e6


def test_long_text_is_cut_in_errors() -> None:
    """A page of text does not fill the screen."""
    assert len(shown("x" * 10_000)) <= 62
    assert shown("a\nb") == r"'a\nb'"


@pytest.mark.parametrize("values", [{25775: 1, 371: 2}.keys(), {"a": 25775, "b": 371}.values()])
def test_a_dict_has_two_lists(values: object) -> None:
    """Its keys and its values are collections as any other."""
    assert [target.stream_id for target in parse(values)] == [25775, 371]


@pytest.mark.parametrize("value", [pd.DataFrame, pd.Series, np.ndarray, int])
def test_a_class_is_no_target(value: object) -> None:
    """Brackets that were forgotten are said, for streams and for runs to compare."""
    for meant in ("streams", "runs"):
        with pytest.raises(TargetError, match=r"the class \w+ is not a target"):
            parse(value, meant)  # type: ignore[arg-type]
    with pytest.raises(TargetError, match="the class"):
        domo_magic.compare(value)


def test_more_than_anybody_means_is_refused() -> None:
    """A range of a billion is refused before it fills the memory."""
    with pytest.raises(TargetError, match="more than 100,000 targets"):
        parse(range(1, 10**9))


def test_a_frame_of_another_library_has_columns_too() -> None:
    """Whatever has columns that can be gone through is taken as a frame."""

    class Other(dict[str, list[int]]):
        columns = ("streamId",)

    assert [target.stream_id for target in parse(Other(streamId=[25775, 371]))] == [25775, 371]


@pytest.mark.parametrize("conversion", ["to_pandas", "toPandas", "df"])
def test_a_frame_of_another_library_is_converted_by_itself(conversion: str) -> None:
    """Polars and pyarrow, Spark, and DuckDB each have their own word for it."""

    class Other:
        columns = ("streamId", "name")

    setattr(Other, conversion, lambda _self: pd.DataFrame({"streamId": [25775], "name": ["Sales"]}))
    assert [target.stream_id for target in parse(Other())] == [25775]


def test_an_arrow_table_is_a_frame() -> None:
    """Its columns are arrays, not names."""
    table = pytest.importorskip("pyarrow").table({"streamId": [25775, 371], "rows": [5, 6]})
    assert [target.stream_id for target in parse(table)] == [25775, 371]


def test_a_frame_that_cannot_be_read_is_one_error() -> None:
    """A lazy frame says what to do, whatever its own error is."""

    class Lazy:
        columns = ("streamId",)

        def __getitem__(self, name: str) -> object:
            raise TypeError("not subscriptable")

    with pytest.raises(TargetError, match=r"the streamId of a test_targets.Lazy cannot be read\n.*pandas"):
        parse(Lazy())


Row = namedtuple("Row", ["streamId", "rows"])  # noqa: PYI024  what itertuples gives
Nameless = namedtuple("Nameless", ["id", "rows"])  # noqa: PYI024  the same


@pytest.mark.parametrize(
    "record",
    [Row(25775, 283), {"streamId": 25775, "rows": 283}, pd.Series({"streamId": 25775, "rows": 283})],
    ids=["named tuple", "dict", "row"],
)
@pytest.mark.parametrize("many", [False, True], ids=["one", "in a list"])
def test_a_record_is_its_stream_and_its_other_numbers_are_no_ids(record: object, *, many: bool) -> None:
    """Of a row with names the streamId is meant, never the number of rows beside it."""
    found = parse([record] if many else record)
    assert [target.stream_id for target in found] == [25775]


@pytest.mark.parametrize("record", [Nameless(1, 2), {"rows": 283}, pd.Series({"rows": 283}), {}])
def test_a_record_without_a_stream_is_refused(record: object) -> None:
    """Nothing is guessed from a record that names no stream."""
    with pytest.raises(TargetError, match="streamId"):
        parse(record)


def test_a_record_of_a_run_is_that_run() -> None:
    """Where runs are meant the record's executionId goes with its streamId."""
    (target,) = parse({"streamId": 25775, "executionId": 2, "rows": 9}, "runs")
    assert (target.stream_id, target.execution_id) == (25775, 2)

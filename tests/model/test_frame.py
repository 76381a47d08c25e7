"""Executions as rows: 35 columns with fixed dtypes, whatever the server sends."""

from __future__ import annotations

import json
import warnings
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from domo_magic.model.arrays import ARRAYS
from domo_magic.model.execution import ExactFloat, Execution, parse_json
from domo_magic.model.frame import COLUMNS, KINDS, build, frame, transpose

CAPTURES = Path(__file__).parents[1] / "captures"
CREATED = CAPTURES / "run-25775-created.json"
SUCCESS = CAPTURES / "execution-371-success.json"
TEXT = str(pd.StringDtype())
DTYPES = {
    "streamId": "Int64",
    "executionId": "Int64",
    "currentState": TEXT,
    "startedAt": "datetime64[us, UTC]",
    "endedAt": "datetime64[us, UTC]",
    "duration": "timedelta64[us]",
    "rowsInserted": "Int64",
    "bytesInserted": "Int64",
    "rowsPerSecond": "Float64",
    "toe": TEXT,
    "updateMethod": TEXT,
    "index": "boolean",
    "retryCount": "Int64",
    "retryExecution": "object",
    "containerManagerId": TEXT,
    "uploadId": "Int64",
    "indexRequestKey": TEXT,
    "runType": TEXT,
    "createdAt": "datetime64[us, UTC]",
    "modifiedAt": "datetime64[us, UTC]",
    "latestPhase": "object",
    "currentPhase": "object",
    "removed": "boolean",
    "startedBy": TEXT,
    "cancelledBy": "object",
    "dataTag": "object",
    "peakMemoryUsedBytes": "Int64",
    "peakMemoryCommittedBytes": "Int64",
    "exportable": "boolean",
    "manualIndex": "boolean",
    "errors": "object",
    "name": TEXT,
    "instance": TEXT,
    "label": TEXT,
    "requestedAt": "datetime64[us, UTC]",
}
FIELDS = [name for name in DTYPES if name not in {"duration", "rowsPerSecond"}][:-4]
TIMES = ("startedAt", "endedAt", "createdAt", "modifiedAt")
MOMENT = pd.Timestamp("2024-12-17T17:56:56Z")
WRONG = [
    None,
    True,
    0,
    -1,
    12,
    12.0,
    12.5,
    1e300,
    float("nan"),
    2**63,
    10**400,
    "",
    "12",
    "nowZ",
    "2024Z",
    "20241-12-17T17:56:56Z",
    "2024-12-17T17:56:56Z",
    "2024-13-17T17:56:56Z",
    "<b>\x00",
    "\ud800",
    [],
    [1, [2]],
    {},
    {"a": {"b": None}},
    253_402_300_800_000,
]


def run(**fields: object) -> Execution:
    """Give a run with these fields."""
    return Execution(25775, 2, fields)


def captured(path: Path) -> Execution:
    """Give a captured run."""
    return Execution.from_json(parse_json(path.read_bytes()))


def assert_typed(table: pd.DataFrame) -> None:
    """Make sure of the 35 columns, their order and their dtypes."""
    assert list(table.columns[:35]) == list(DTYPES)
    assert {name: str(table[name].dtype) for name in DTYPES} == DTYPES
    assert all(table[name].dtype == object for name in table.columns[35:])


def value_of(column: pd.Series) -> object:
    """Give the one value of a column, None for missing ones."""
    value = column.tolist()[0]
    return None if value is pd.NA or value is pd.NaT else value


def test_no_runs_are_35_typed_columns() -> None:
    """The empty frame has every column with its dtype."""
    assert_typed(frame([]))
    assert frame([]).shape == (0, 35)
    assert tuple(DTYPES) == COLUMNS


@pytest.mark.parametrize("path", [CREATED, SUCCESS], ids=lambda path: path.stem)
def test_the_captures_come_out_equal_field_by_field(path: Path) -> None:
    """Each field of a captured response is in the row as it was sent, times as moments."""
    sent = json.loads(path.read_text(), parse_float=str)
    table = frame([captured(path)])
    assert_typed(table)
    assert table.shape == (1, 35)
    assert set(sent) == set(FIELDS)
    for name, value in sent.items():
        expected = value
        if name in TIMES and value is not None:
            expected = pd.Timestamp(float(value), unit="s", tz="UTC")
        assert value_of(table[name]) == expected, name


def test_the_request_key_is_there_digit_for_digit() -> None:
    """Seventeen digits are not rounded to what a float holds."""
    assert frame([captured(SUCCESS)])["indexRequestKey"].tolist() == ["20220513224325.628"]
    mixed = [ExactFloat("20220513224325.628"), 1.5, None, "2022.10", 7]
    keys = frame([run(indexRequestKey=key) for key in mixed])["indexRequestKey"]
    assert keys.fillna("").tolist() == ["20220513224325.628", "1.5", "", "2022.10", "7"]


def test_duration_and_rate_are_computed() -> None:
    """Duration is from start to end, the rate is rows in a second of it."""
    table = frame([captured(SUCCESS), captured(CREATED)])
    assert table["duration"].tolist() == [pd.Timedelta(seconds=25), pd.NaT]
    assert table["rowsPerSecond"].tolist() == [283_429 / 25, pd.NA]


@pytest.mark.parametrize(
    "fields",
    [
        {"startedAt": 100, "endedAt": 100, "rowsInserted": 5},
        {"startedAt": 100, "endedAt": 90, "rowsInserted": 5},
        {"startedAt": 100, "endedAt": 110},
        {"rowsInserted": 5},
    ],
)
def test_there_is_no_rate_without_time_or_rows(fields: dict[str, object]) -> None:
    """A duration of nothing, a clock that ran backwards or missing rows leave the rate empty."""
    table = frame([run(**fields)])
    assert table["rowsPerSecond"].isna().all()
    assert table["duration"].isna().all() == (fields.get("endedAt") in (90, None))


def test_what_is_sent_as_duration_is_not_believed() -> None:
    """Columns that are computed or ours are never taken from the server."""
    sent = run(duration=5, rowsPerSecond=1, label="theirs", name="theirs", requestedAt=5, instance="theirs")
    table = frame([sent])
    assert (
        table[["duration", "rowsPerSecond", "label", "name", "requestedAt", "instance"]].isna().all(axis=None)
    )
    assert table.shape == (1, 35)


def test_what_is_known_here_is_in_the_row() -> None:
    """Name, instance, label and the moment of the request come with the run."""
    known = run().replace(instance="mycompany", name="Sales", label="night", requested_at=1_734_458_216_250)
    row = frame([known]).iloc[0]
    assert (row["name"], row["instance"], row["label"]) == ("Sales", "mycompany", "night")
    assert row["requestedAt"] == MOMENT + pd.Timedelta(milliseconds=250)


@pytest.mark.parametrize("name", FIELDS)
def test_the_wrong_type_in_a_field_changes_no_dtype_and_no_other_row(name: str) -> None:
    """Anything may come in any field: in one column with anything else, each is what it is alone."""
    together = frame([Execution.from_json({name: value}, 25775) for value in WRONG])
    assert_typed(together)
    alone = [pd.Series(ARRAYS[KINDS[name]]([value])) for value in WRONG]
    if name not in {"streamId", "executionId"}:  # these are what was asked for, and ids
        assert repr(together[name].tolist()) == repr([column.tolist()[0] for column in alone])
    assert {str(column.dtype) for column in alone} == {DTYPES[name]}


def test_the_wrong_type_in_every_field_at_once_is_a_row() -> None:
    """A server that has gone mad gives rows all the same."""
    table = frame([Execution.from_json(dict.fromkeys(FIELDS, value), 25775) for value in WRONG])
    assert_typed(table)
    assert repr(table)


@pytest.mark.parametrize(
    "value, expected",
    [
        (12, 12),
        ("12", 12),
        (12.0, 12),
        ("12.0", 12),
        (2**63 - 1, 2**63 - 1),
        *[(value, None) for value in (12.5, True, "x", "", [12], 2**63)],
    ],
)
def test_whole_numbers_are_converted_without_loss_or_left_out(value: object, expected: int | None) -> None:
    """Text and whole floats become Int64; anything else is empty."""
    assert value_of(frame([run(rowsInserted=value)])["rowsInserted"]) == expected
    assert value_of(frame([run(rowsInserted=value), run(rowsInserted=1)])["rowsInserted"]) == expected


@pytest.mark.parametrize(
    "value, expected",
    [("a", "a"), (12, "12"), (1.5, "1.5"), (True, None), ([], None), ({}, None), ("", ""), ("\ud800", None)],
)
def test_numbers_become_text_and_the_rest_is_left_out(value: object, expected: str | None) -> None:
    """A number in a text column is its digits; half a character cannot be text."""
    assert value_of(frame([run(toe=value)])["toe"]) == expected
    assert value_of(frame([run(toe=value), run(toe="text")])["toe"]) == expected


@pytest.mark.parametrize(
    "value, expected", [(True, True), (False, False), (1, None), ("true", None), (0.0, None)]
)
def test_only_true_and_false_are_flags(value: object, expected: object) -> None:
    """Nothing else is taken for a boolean."""
    assert value_of(frame([run(index=value)])["index"]) == expected


@pytest.mark.parametrize(
    "value",
    [
        1_734_458_216,
        1_734_458_216.0,
        1_734_458_216_000,
        "1734458216",
        "2024-12-17T17:56:56Z",
        "2024-12-17T17:56:56.000Z",
        "2024-12-17T18:56:56+01:00",
        "2024-12-17T17:56:56",
    ],
)
@pytest.mark.parametrize(
    "other", [None, 1_734_458_216, "2024-12-17T17:56:56.000000Z", "nonsense", [], 10**400]
)
def test_times_are_the_same_moment_in_every_unit_and_company(value: object, other: object) -> None:
    """Seconds, milliseconds and ISO text are one moment, whatever else is in the column."""
    for name in TIMES:
        assert frame([run(**{name: value}), run(**{name: other})])[name].tolist()[0] == MOMENT


def test_fractions_of_a_second_are_kept() -> None:
    """Milliseconds and microseconds of a time are in the row."""
    texts = ["2024-12-17T17:56:56.25Z", "2024-12-17T17:56:56.000001Z", "2024-12-17T17:56:56Z"]
    expected = [MOMENT + pd.Timedelta(microseconds=us) for us in (250_000, 1, 0)]
    assert frame([run(startedAt=text) for text in texts])["startedAt"].tolist() == expected
    numbers = [1_734_458_216.25, 1_734_458_216.000001, 1_734_458_216_000]
    assert frame([run(startedAt=number) for number in numbers])["startedAt"].tolist() == expected


def test_undocumented_fields_come_last_as_they_came() -> None:
    """A field that nobody documented is an object column after the 35, empty where it was not sent."""
    table = frame([run(phase={"a": [1, 2.5]}), run(colour="red", phase=None), run()])
    assert list(table.columns[35:]) == ["phase", "colour"]
    assert_typed(table)
    assert table["phase"].tolist() == [{"a": [1, 2.5]}, None, None]
    assert table["colour"].tolist() == [None, "red", None]


def test_unknown_fields_make_the_round_trip() -> None:
    """What was sent in object columns is the same when it is read out again, its digits included."""
    sent = '{"x": {"deep": [1, 2.5, "é", null, true]}, "errors": [{"message": "no"}], "y": "text"}'
    row = frame([Execution.from_json(parse_json(sent), 25775)]).iloc[0]
    assert json.dumps({name: row[name] for name in ("x", "errors", "y")}, ensure_ascii=False) == sent
    exact = frame([Execution.from_json(parse_json('{"z": 20220513224325.628}'), 25775)])
    assert [str(number) for number in exact["z"]] == ["20220513224325.628"]


def test_lists_of_the_same_length_stay_lists() -> None:
    """Numpy makes no second dimension of lists that happen to be equally long."""
    table = frame([run(errors=[1, 2]), run(errors=[3, 4])])
    assert table["errors"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("size", [1, 49, 50, 51, 120])
def test_missing_keys_are_empty_wherever_they_are_missing(size: int) -> None:
    """Rows may lack keys, or bring new ones, in any place of a long list."""
    keys = [f"key{number}" for number in range(5)]
    random = np.random.default_rng(size)
    records = [
        {key: (row, key) for key in random.permutation(keys).tolist() if random.random() < 0.9}
        for row in range(size)
    ]
    columns = transpose(records)
    assert set(columns) <= set(keys)
    for key in columns:
        assert list(columns[key]) == [record.get(key) for record in records]


def test_a_key_in_place_of_another_is_not_mistaken_for_it() -> None:
    """Two rows with as many keys, but different ones, keep each its own."""
    columns = transpose([{"a": 1, "b": 2}, {"a": 3, "c": 4}, {"c": 5, "d": 6}])
    assert {key: list(values) for key, values in columns.items()} == {
        "a": [1, 3, None],
        "b": [2, None, None],
        "c": [None, 4, 5],
        "d": [None, None, 6],
    }


def test_many_rows_are_the_same_as_one_by_one() -> None:
    """Converting in bulk says what converting each row says."""
    runs = [captured(SUCCESS), captured(CREATED), run(), run(startedAt="2024-12-17T17:56:56Z", toe=5)] * 40
    one_by_one = pd.concat([frame([each]) for each in runs], ignore_index=True)
    pd.testing.assert_frame_equal(frame(runs), one_by_one)


def test_frames_of_different_runs_concatenate_without_a_dtype_changing() -> None:
    """Full, sparse, odd and empty frames go together in any order, and nothing warns."""
    history = json.loads((CAPTURES / "history-aggregate-371.json").read_text())
    frames = [
        frame([]),
        frame([captured(SUCCESS)]),
        frame([captured(CREATED)]),
        frame([run()]),
        frame([Execution(25775)]),
        frame([Execution.from_json(item) for item in history]),
        frame([run(**dict.fromkeys(FIELDS, "x"))]),
        frame([run(phase=1)]),
        build({}, 3),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "The 'generic' unit")  # numpy's, about pandas 2.2 itself
        for left, right in product(frames, repeat=2):
            both = pd.concat([left, right], ignore_index=True)
            assert len(both) == len(left) + len(right)
            assert {name: str(both[name].dtype) for name in DTYPES} == DTYPES


def test_a_stream_that_did_not_start_has_an_empty_execution() -> None:
    """A row without a run has its stream, and nothing else."""
    row = frame([Execution(25775)]).iloc[0]
    assert row["streamId"] == 25775
    assert row.drop("streamId").isna().all()


@pytest.mark.parametrize("storage", ["python", *(["pyarrow"] if find_spec("pyarrow") else [])])
def test_rows_do_not_depend_on_how_pandas_stores_text(storage: str) -> None:
    """With either storage a row has the same values, and text columns are as pandas was told."""
    with pd.option_context("mode.string_storage", storage):
        table = frame([captured(SUCCESS), captured(CREATED), run(toe="\ud800")])
    assert {kind.storage for kind in table.dtypes if isinstance(kind, pd.StringDtype)} == {storage}
    assert table["toe"].tolist() == ["HJP31Q11Q3-MO40M-EIVQC", "HAK43KQGQ7-GNKF0-SRC9Y", pd.NA]
    assert table["startedBy"].isna().tolist() == [True, False, True]


def test_names_with_half_a_character_are_columns_of_their_own() -> None:
    """A key that UTF-8 cannot hold is escaped, and never hides a key that looks like it afterwards."""
    table = frame([run(**{"\ud800": 1, "\\ud800": 2})])
    assert list(table.columns[35:]) == ["\\ud800", "\\ud800_"]
    assert table.iloc[0, 35:].tolist() == [1, 2]
    assert "ud800" in table.to_csv()


def test_hundreds_of_undocumented_fields_share_one_column() -> None:
    """The first 200 have columns; the others are one object per row, in `undocumented`."""
    many = {f"k{number}": number for number in range(203)}
    table = frame([run(**many), run(k200="x"), run()])
    assert list(table.columns[35:]) == [*(f"k{number}" for number in range(200)), "undocumented"]
    assert table["undocumented"].tolist() == [{"k200": 200, "k201": 201, "k202": 202}, {"k200": "x"}, None]
    assert_typed(table)
    assert list(frame([run(undocumented=7, **many)]).columns[-2:]) == ["k198", "undocumented_"]

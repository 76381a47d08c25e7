"""One run from any of Domo's JSON shapes."""

from __future__ import annotations

import copy
import json
import pickle
import random
from pathlib import Path

import pytest

from domo_magic.errors import InvalidResponse
from domo_magic.model.execution import ExactFloat, Execution, _number, microseconds, parse_json, whole

CAPTURES = Path(__file__).parents[1] / "captures"
MOMENT_US = 1_734_458_216_000_000


def of(**fields: object) -> Execution:
    """Give a run with these fields."""
    return Execution(25775, 2, fields)


def test_numbers_keep_the_digits_that_a_float_would_change() -> None:
    """A number of 17 digits is a float that remembers its text; others are plain floats."""
    exact, plain = parse_json(b"[20220513224325.628, 1.5]")
    assert isinstance(exact, ExactFloat)
    assert exact.text == str(exact) == repr(exact) == "20220513224325.628"
    assert exact == 20220513224325.628
    assert type(plain) is float


@pytest.mark.parametrize(
    "text", ["1.50", "1e5", "-1.5E-7", "0.00001", "0.10", "-0.0", "1729049821.42", "1E400"]
)
def test_numbers_are_spelled_as_they_came(text: str) -> None:
    """Short or long, plain or with an exponent: what is written back is what was read."""
    assert repr(parse_json(f"[{text}]")) == f"[{text}]"


def test_an_exact_number_survives_copies() -> None:
    """Pickle and copy keep the digits."""
    number = ExactFloat("20220513224325.628")
    for same in (pickle.loads(pickle.dumps(number)), copy.deepcopy(number)):  # noqa: S301
        assert (same, same.text) == (number, number.text)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"a": 1', b"\xff\xfe", b"[" * 100_000, b"9" * 5_000, "\x00"],
    ids=lambda body: repr(body[:9]),
)
def test_what_is_not_json_is_an_invalid_response(body: bytes | str) -> None:
    """HTML, half a body, foreign bytes and endless nesting are all InvalidResponse."""
    with pytest.raises(InvalidResponse, match="not JSON"):
        parse_json(body)


def test_numbers_that_are_none_become_none() -> None:
    """NaN and the infinities, which JSON does not have, are taken for nothing."""
    assert parse_json("[NaN, Infinity, -Infinity]") == [None, None, None]


def as_the_standard_library(body: bytes | str) -> object:
    """Parse as `json` does, by its own parser alone; what it refuses is "refused"."""
    try:
        return json.loads(body, parse_float=_number, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return "refused"


def parsed(body: bytes | str) -> object:
    """Parse as the program does; what it refuses is "refused"."""
    try:
        return parse_json(body)
    except InvalidResponse:
        return "refused"


@pytest.mark.parametrize(
    "body",
    [
        b"[12345678901234567890123, 18446744073709551616, -9223372036854775809, -0]",
        b"[1e400, -1E-400, 1.0, 1.50, 0.1e1, 123456789012345678.0, -0.0, 1E5]",
        b"[NaN]",
        b"[-Infinity, 1]",
        b'{"a": 1, "\\u0061": 2, "a": [3]}',
        b'["\\ud800", "\\ude00\\ud83d", "\\ud83d\\ude00", "\\u0000", "\\/"]',
        '["\ud800"]',
        '["\xe9\u20ac\U0001f600\x7f\x80\u2028"]',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b"\xef\xbb\xbf[1]",
        "\ufeff[1]",
        '[1, "\xe9"]'.encode("utf-16"),
        '[1, "\xe9"]'.encode("utf-32-le"),
        b'["\t"]',
        b'["\x01"]',
        b"[1,]",
        b"[1] [2]",
        b" \r\n\t[1] ",
        b"\x0b[1]",
        b"[01]",
        b"[1.]",
        b"[.5]",
        b"[+1]",
        b"[1e]",
        b"tru",
        b"nullx",
        b'{"a"}',
        b"{1: 2}",
        b"[" * 900 + b"]" * 900,
        b'{"": {"": null}}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_the_fast_parser_changes_nothing(body: bytes | str) -> None:
    """Whatever is parsed, and refused, is what the standard library's parser makes of it."""
    assert repr(parsed(body)) == repr(as_the_standard_library(body))


def test_the_fast_parser_changes_nothing_of_damaged_responses() -> None:
    """Bytes of Domo's own responses that were lost or changed on the way, 3,000 times."""
    rng = random.Random(25775)
    whole_ones = [file.read_bytes() for file in sorted(CAPTURES.glob("*.json"))]
    for _ in range(3_000):
        body = bytearray(rng.choice(whole_ones))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(body))
            body[at : at + rng.randint(0, 2)] = rng.choice(
                [b"", b'"', b"\\", b"e", b"9", b"\xc3", b",", b"}", b"\0"]
            )
        assert repr(parsed(bytes(body))) == repr(as_the_standard_library(bytes(body)))


@pytest.mark.parametrize(
    "value, expected",
    [
        (12, 12),
        (-3, -3),
        (12.0, 12),
        ("12", 12),
        (" 12 ", 12),
        ("+12", 12),
        ("-12", -12),
        ("12.0", 12),
        ("1e3", 1000),
        (2**63 - 1, 2**63 - 1),
        ("9007199254740993.0", 2**53 + 1),
        (ExactFloat("9007199254740993.0"), 2**53 + 1),
    ],
)
def test_whole_numbers_come_from_whatever_is_one_without_loss(value: object, expected: int) -> None:
    """Ints, whole floats and the text of either are whole numbers, digit for digit."""
    assert whole(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        12.5,
        "12.5",
        "",
        "x",
        "1_000",
        "nan",
        "inf",
        float("nan"),
        float("inf"),
        2**63,
        -(2**63) - 1,
        "9" * 5_000,
        "1e999999999",
        [],
        {},
        [12],
        "0x10",
        "12,0",
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_whole_number_is_none(value: object) -> None:
    """Fractions, booleans, other text, lists and numbers beyond 64 bits are no whole numbers."""
    assert whole(value) is None


@pytest.mark.parametrize(
    "value",
    [
        1_734_458_216,
        1_734_458_216.0,
        ExactFloat("1734458216.000000000"),
        1_734_458_216_000,
        "1734458216",
        "1734458216000",
        "2024-12-17T17:56:56Z",
        "2024-12-17T17:56:56.000Z",
        "2024-12-17T17:56:56+00:00",
        "2024-12-17T18:56:56+01:00",
        "2024-12-17T17:56:56",
        " 2024-12-17 17:56:56 ",
        "20241217T175656Z",
    ],
)
def test_times_come_as_seconds_milliseconds_or_text(value: object) -> None:
    """Seconds, milliseconds (1e11 and more) and ISO 8601 mean the same moment; no zone is UTC."""
    assert microseconds(value) == MOMENT_US


@pytest.mark.parametrize("shift, expected", [(0, 100_000_000_000_000), (-1, 99_999_999_999_000_000)])
def test_milliseconds_begin_at_1e11(shift: int, expected: int) -> None:
    """1e11 is in 1973 as milliseconds; one less is in the year 5138 as seconds."""
    assert microseconds(10**11 + shift) == expected


def test_fractions_of_a_second_are_kept_to_the_microsecond() -> None:
    """A fraction is rounded to microseconds."""
    assert microseconds(1.25) == 1_250_000
    assert microseconds("1970-01-01T00:00:01.250001Z") == 1_250_001
    assert microseconds(-0.5) == -500_000


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        "now",
        "Z",
        "yesterday",
        "nan",
        "inf",
        float("nan"),
        float("inf"),
        -float("inf"),
        [],
        {},
        1e300,
        10**400,
        "12345-01-01T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+01:00",
        253_402_300_800_000,
        -62_135_596_801,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_time_is_none(value: object) -> None:
    """Other text, other types, and times outside the years 1 to 9999 are no times."""
    assert microseconds(value) is None


@pytest.mark.parametrize("name", ["run-25775-created.json", "execution-371-success.json"])
def test_the_captures_are_executions_with_every_field(name: str) -> None:
    """A captured response gives its ids, and keeps its fields as they came."""
    sent = json.loads((CAPTURES / name).read_text())
    run = Execution.from_json(parse_json((CAPTURES / name).read_bytes()))
    assert (run.stream_id, run.execution_id) == (sent["streamId"], sent["executionId"])
    assert run.fields == sent


def test_the_stream_asked_for_counts() -> None:
    """What was asked for is not changed by what the response says; without either it is no execution."""
    assert Execution.from_json({}, 25775).run == "25775"
    assert Execution.from_json({"streamId": 1, "executionId": "3"}, 25775).run == "25775/3"
    with pytest.raises(InvalidResponse, match="names no stream"):
        Execution.from_json({"executionId": 2})


@pytest.mark.parametrize("value", [None, [], "text", 1, True])
def test_what_is_no_object_is_no_execution(value: object) -> None:
    """Only a JSON object is an execution."""
    with pytest.raises(InvalidResponse, match="not an execution"):
        Execution.from_json(value, 25775)


@pytest.mark.parametrize("value", [0, -1, None, "x", 1.5, [], {}, True])
def test_an_execution_id_that_is_none_is_unknown(value: object) -> None:
    """Executions count from 1; anything else means that the id is not known."""
    assert Execution.from_json({"executionId": value}, 25775).execution_id is None


def test_a_run_is_finished_when_it_has_an_end_or_a_known_final_state() -> None:
    """A state that nobody knows, without an end, is unfinished."""
    assert of(currentState="ACTIVE", endedAt=1_652_481_807).finished
    assert not of(currentState="PARTYING").finished
    assert not of(currentState="ACTIVE", endedAt=None).finished
    assert not of(currentState="ACTIVE", endedAt=0).finished
    assert not of(currentState=7).finished
    assert not of().finished


@pytest.mark.parametrize(
    "state", ["SUCCESS", "ERROR", "FAILED", "INVALID", "ABORTED", "CANCELLED", "CANCELED"]
)
def test_final_states_are_final_in_any_case(state: str) -> None:
    """Known final states end a run, and only SUCCESS is a success."""
    for text in (state, state.lower()):
        run = of(currentState=text)
        assert run.finished
        assert run.final
        assert run.succeeded == (state == "SUCCESS")


def test_an_end_with_a_state_that_is_not_final_is_not_final() -> None:
    """An end, and state ACTIVE: finished, but the final state is not known yet."""
    run = of(currentState="ACTIVE", endedAt=100)
    assert run.finished
    assert not run.final


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"startedAt": 100, "endedAt": 125.5}, 25.5),
        ({"startedAt": 100, "endedAt": 100}, 0.0),
        ({"startedAt": 100, "endedAt": None}, None),
        ({"startedAt": None, "endedAt": 100}, None),
        ({"startedAt": 100, "endedAt": 99}, None),
        ({"startedAt": "2024-12-17T17:56:56Z", "endedAt": 1_734_458_217_000}, 1.0),
    ],
)
def test_a_duration_is_from_start_to_end(fields: dict[str, object], expected: float | None) -> None:
    """Duration is in seconds whatever the units of the times; a clock that ran backwards gives none."""
    assert of(**fields).duration == expected


def test_only_what_was_started_by_a_person_is_manual() -> None:
    """MANUAL runs are; a run type that is missing does not rule it out."""
    assert of(runType="MANUAL").manual
    assert of(runType="manual").manual
    assert of().manual
    assert not of(runType="AUTOMATED").manual


def test_what_is_newer_replaces_the_fields_but_not_what_is_ours() -> None:
    """Seeing a run again keeps its name, label and request."""
    mine = of(currentState="ACTIVE").replace(
        instance="mycompany", name="Sales", label="night", requested_at=1_734_458_216_000
    )
    seen = mine.seen(Execution(25775, None, {"currentState": "SUCCESS"}, text="{}"))
    assert seen == mine.replace(fields={"currentState": "SUCCESS"})
    assert not seen != mine.replace(fields={"currentState": "SUCCESS"})  # noqa: SIM202  a Struct's own differs
    assert seen != mine
    assert seen.text == "{}"
    assert "text" not in repr(seen)


def test_an_execution_does_not_change_and_survives_pickle() -> None:
    """Executions are frozen, can be hashed, and go through pickle."""
    run = of(errors=[{"a": 1}], indexRequestKey=ExactFloat("20220513224325.628"))
    with pytest.raises(AttributeError):
        run.stream_id = 1  # type: ignore[misc]
    assert hash(run) == hash(of(other=1))
    assert pickle.loads(pickle.dumps(run)) == run  # noqa: S301

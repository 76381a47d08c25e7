"""One run of a connector, from any of Domo's JSON shapes. Pure."""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self

import msgspec

from domo_magic.errors import InvalidResponse
from domo_magic.model.formatting import cut

if TYPE_CHECKING:
    from collections.abc import Mapping

    #: A stream and one of its executions; None: which one is not known.
    Key = tuple[int, int | None]

SUCCESS = "SUCCESS"
#: States known to be final (no official list exists; ``endedAt`` ends a run of any state).
FINAL_STATES = frozenset({SUCCESS, "ERROR", "FAILED", "INVALID", "ABORTED", "CANCELLED", "CANCELED"})
#: Those of a run that somebody stopped.
ABORTED_STATES = frozenset({"ABORTED", "CANCELLED", "CANCELED"})

#: The transport of a stream that a connector feeds; any other has upload sessions in place of runs.
CONNECTOR = "CONNECTOR"

#: From here on a number is epoch milliseconds, below it seconds.
MILLISECONDS_FROM = 1e11
#: Microseconds between 1970 and the years 1 and 9999, outside which a time is no time.
EARLIEST_US, LATEST_US = -62_135_596_800_000_000, 253_402_300_799_999_999

_INT64 = 2**63
_LONGEST_TEXT = 300
_LONGEST_STATE = 60
_MICROSECONDS = 1_000_000
# A number of more may have more digits than a float holds.
_SAFE_LETTERS, _NOT_ZERO = 15, "123456789"
_SCANNER, _BETWEEN = json.JSONDecoder(), re.compile(r"[\s,]*")


class ExactFloat(float):
    """A float that remembers the text it was parsed from, digit for digit.

    Examples
    --------
    >>> parse_json(b"[20220513224325.628]")[0].text
    '20220513224325.628'
    """

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Parse `text`, which must be a number."""
        number = float.__new__(cls, text)
        number.text = text
        return number

    def __repr__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[type[ExactFloat], tuple[str]]:
        return ExactFloat, (self.text,)


def _number(text: str) -> float:
    if len(text) > _SAFE_LETTERS:
        return ExactFloat(text)
    if text[-1] != "0" and text[0] in _NOT_ZERO and "e" not in text and "E" not in text:
        return float(text)  # spelled as `repr` does, which takes five times as long
    number = float(text)
    return number if repr(number) == text else ExactFloat(text)


def parse_json(body: bytes | str) -> object:
    """Parse JSON, keeping the text of numbers that a float would change.

    Raises
    ------
    InvalidResponse
        The text is not JSON, or too deep to be parsed. NaN and infinities become None.

    Examples
    --------
    >>> parse_json(b'{"streamId": 25775}')
    {'streamId': 25775}
    """
    with suppress(msgspec.MsgspecError, ValueError, RecursionError):
        return _FAST.decode(body)
    try:  # NaN, halves of characters and UTF-16 are for the standard library, which also has the last word
        parsed: object = json.loads(body, parse_float=_number, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise InvalidResponse("Domo's response is not JSON") from error
    return parsed


# It takes half the time of the standard library's.
_FAST: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=_number)


def item_texts(array: str) -> list[str]:
    """Return the JSON of each item of a JSON array, character for character.

    Examples
    --------
    >>> item_texts('[{"executionId":  7}, 1.50]')
    ['{"executionId":  7}', '1.50']
    """
    items, place = [], _BETWEEN.match(array, array.index("[") + 1).end()  # type: ignore[union-attr]
    while array[place] != "]":
        end = _SCANNER.raw_decode(array, place)[1]
        items.append(array[place:end])
        place = _BETWEEN.match(array, end).end()  # type: ignore[union-attr]
    return items


def whole(value: object) -> int | None:
    """Return the whole number that `value` is without loss (``12``, ``12.0``, ``"12"``), or None."""
    if type(value) is int:  # nearly always
        return value if -_INT64 <= value < _INT64 else None
    if isinstance(value, bool):
        return None
    if isinstance(value, str | ExactFloat):
        value = _exactly(value.text if isinstance(value, ExactFloat) else value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and -_INT64 <= value < _INT64 else None


def _exactly(text: str) -> int | None:
    """Return the whole number that a text is, also where a float would change it, or None."""
    try:
        number = Decimal(text)
        # Checked first: a whole number of 1e999999999 would fill the memory.
        small = abs(number) <= _INT64
    except ArithmeticError:
        return None
    return int(number) if small and "_" not in text and number == int(number) else None


def microseconds(value: object) -> int | None:
    """Return epoch microseconds (UTC) of a time as Domo sends it, or None.

    Epoch seconds or (1e11 and more) milliseconds, as numbers or text, or ISO 8601 text; text
    without a zone is UTC.

    Examples
    --------
    >>> microseconds(1734458216.0) == microseconds("2024-12-17T17:56:56Z")
    True
    """
    if (type(value) is int or isinstance(value, float)) and 0 <= value < MILLISECONDS_FROM:
        return round(value * _MICROSECONDS)  # what Domo sends, as fast as thousands of them need it
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return _iso_microseconds(str(value))
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value) * (1e3 if abs(value) >= MILLISECONDS_FROM else 1e6)
    except OverflowError:
        return None
    if not math.isfinite(number):
        return None
    us = round(number)
    return us if EARLIEST_US <= us <= LATEST_US else None


def _iso_microseconds(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    us = (since.days * 86_400 + since.seconds) * _MICROSECONDS + since.microseconds
    return us if EARLIEST_US <= us <= LATEST_US else None


# Thousands are made at once: a frozen dataclass takes 16 times as long.
class Execution(msgspec.Struct, frozen=True):
    """One run of a stream, as far as it is known.

    Attributes
    ----------
    stream_id : int
        The stream.
    execution_id : int or None
        Counts from 1 within the stream; None while Domo has not said it, or nothing was started.
    fields : mapping
        Every field as Domo sent it, undocumented ones too.
    name, instance, label : str or None
        The DataSet's name as far as known, the Domo instance, what the user called the run.
    requested_at : int or None
        Epoch milliseconds of our request; None for runs started elsewhere.
    text : str or None
        The JSON it came in, byte for byte (a token in it blanked); not compared, for a list has none of
        each run.

    Examples
    --------
    >>> Execution.from_json({"streamId": 25775, "executionId": 2, "currentState": "ACTIVE"}).run
    '25775/2'
    """

    stream_id: int
    execution_id: int | None = None
    fields: Mapping[str, object] = msgspec.field(default_factory=dict)
    name: str | None = None
    instance: str | None = None
    label: str | None = None
    requested_at: int | None = None
    text: str | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Execution) and _compared(self) == _compared(other)

    def __ne__(self, other: object) -> bool:  # a Struct has its own
        return not self == other

    def __hash__(self) -> int:
        return hash((self.key, self.name, self.instance, self.label, self.requested_at))

    def __repr__(self) -> str:
        shown = zip(_COMPARED, _compared(self), strict=True)
        return f"Execution({', '.join(f'{name}={value!r}' for name, value in shown)})"

    @classmethod
    def from_json(cls, value: object, stream_id: int | None = None, text: str | None = None) -> Execution:
        """Make one from parsed JSON; `stream_id` is the stream of the request, `text` the JSON.

        Raises
        ------
        InvalidResponse
            `value` is not an object, or names no stream where the request named none.
        """
        if not isinstance(value, dict):
            raise InvalidResponse("Domo's response is not an execution")
        found = stream_id if stream_id is not None else whole(value.get("streamId"))
        if found is None:
            raise InvalidResponse("Domo's response names no stream")
        execution_id = whole(value.get("executionId"))
        return cls(found, execution_id if execution_id and execution_id > 0 else None, value, text=text)

    def seen(self, newer: Execution) -> Execution:
        """Return this run as `newer` saw it, keeping what is known only here."""
        execution_id = newer.execution_id or self.execution_id
        return self.replace(execution_id=execution_id, fields=newer.fields, text=newer.text)

    def replace(self, **changes: Any) -> Execution:
        """Return this run with other values of some attributes."""
        return msgspec.structs.replace(self, **changes)

    @property
    def key(self) -> Key:
        """The two ids."""
        return self.stream_id, self.execution_id

    @property
    def run(self) -> str:
        """``25775/2``, or the stream alone where the execution is not known."""
        return str(self.stream_id) if self.execution_id is None else f"{self.stream_id}/{self.execution_id}"

    @property
    def state(self) -> str | None:
        """``currentState`` as it came, None where it is missing or no text."""
        state = self.fields.get("currentState")
        return state if isinstance(state, str) else None

    @property
    def started_us(self) -> int | None:
        """Epoch microseconds of ``startedAt``."""
        return microseconds(self.fields.get("startedAt"))

    @property
    def ended_us(self) -> int | None:
        """Epoch microseconds of ``endedAt``; 0 and less is not an end."""
        ended = microseconds(self.fields.get("endedAt"))
        return ended if ended is not None and ended > 0 else None

    @property
    def rows(self) -> int | None:
        """``rowsInserted``."""
        return whole(self.fields.get("rowsInserted"))

    @property
    def duration(self) -> float | None:
        """Seconds from start to end; None while running or where the times contradict each other."""
        if self.started_us is None or self.ended_us is None or self.ended_us < self.started_us:
            return None
        return (self.ended_us - self.started_us) / _MICROSECONDS

    @property
    def finished(self) -> bool:
        """Whether the run has ended: ``endedAt`` is set, or the state is a known final one."""
        return self.final or self.ended_us is not None

    @property
    def final(self) -> bool:
        """Whether the state itself is a known final one."""
        state = self.state or ""
        return state in FINAL_STATES or state.upper() in FINAL_STATES

    @property
    def mark(self) -> str:
        """How it stands, as `mark_of` says."""
        return mark_of(self.state, ended=self.finished)

    @property
    def aborted(self) -> bool:
        """Whether its state says that somebody stopped it."""
        return (self.state or "").upper() in ABORTED_STATES

    def over(self, before: Execution | None) -> bool:
        """Whether nothing more will come: the state is final, or the run had ended already `before`."""
        return self.final or (self.finished and before is not None and before.finished)

    @property
    def succeeded(self) -> bool:
        """Whether the run ended in SUCCESS."""
        return (self.state or "").upper() == SUCCESS

    @property
    def manual(self) -> bool:
        """Whether a user or a program started it; a missing ``runType`` does not rule it out."""
        run_type = self.fields.get("runType")
        return run_type is None or str(run_type).upper() == "MANUAL"


_COMPARED = tuple(name for name in Execution.__struct_fields__ if name != "text")
_compared = attrgetter(*_COMPARED)


def mark_of(state: object, *, ended: bool) -> str:
    """Return ``running``, ``good``, ``stopped`` or ``bad``; a state that nobody knows is no good end.

    Examples
    --------
    >>> [mark_of(state, ended=True) for state in ("SUCCESS", "Aborted", "PARTYING")]
    ['good', 'stopped', 'bad']
    """
    word = str(state).upper()
    if word in ABORTED_STATES:
        return "stopped"
    if word == SUCCESS:
        return "good"
    return "bad" if ended or word in FINAL_STATES else "running"


def state_of(run: Execution, otherwise: str = "unfinished") -> str:
    """Return a run's state as a message shows it: on one line, and short whatever Domo says."""
    return cut(run.state or otherwise, _LONGEST_STATE)


def errors_of(run: Execution) -> str:
    """Return Domo's own words for why a run failed, on one line; empty where it said nothing.

    Examples
    --------
    >>> from domo_magic.model.execution import Execution
    >>> errors_of(Execution(25777, 3, {"errors": [{"message": "login refused"}]}))
    'login refused'
    """
    return error_text(run.fields.get("errors"))


def error_text(errors: object) -> str:
    """Return the text of a run's ``errors``, parsed JSON of any shape, on one line."""
    items = errors if isinstance(errors, list) else [errors]
    return cut("; ".join(filter(None, map(_words, items))), _LONGEST_TEXT)


def causes_of(run: Execution) -> str:
    """Return why a run failed with the code and the parameters that Domo gives, on one line; else nothing.

    Source: the shape of an item of ``errors`` is known from the clients of others.

    Examples
    --------
    >>> item = {"message": "login refused", "code": 402, "parameters": {"account": "erp"}}
    >>> causes_of(Execution(25777, 3, {"errors": [item]}))
    'login refused (code 402, account: erp)'
    """
    errors = run.fields.get("errors")
    items = errors if isinstance(errors, list) else []
    return cut("; ".join(filter(None, map(_cause, items))), 2 * _LONGEST_TEXT)


def _cause(item: object) -> str:
    text = _words(item)
    if not isinstance(item, dict) or not text:
        return text
    parameters = item.get("parameters")
    facts = [] if item.get("code") is None else [f"code {cut(str(item['code']), 20)}"]
    if isinstance(parameters, dict):
        facts += [f"{cut(str(name), 40)}: {cut(str(value), 80)}" for name, value in parameters.items()]
    return f"{text} ({', '.join(facts[:6])})" if facts else text


def _words(item: object) -> str:
    """Return the text of an error whose shape nobody documents."""
    if item is None or isinstance(item, str):
        return item or ""
    if isinstance(item, dict):
        for key in ("message", "errorMessage", "description", "text", "reason"):
            if isinstance(item.get(key), str):
                return str(item[key])
    try:
        return json.dumps(item, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(item)
    except RecursionError:
        return "an error nested too deeply to show"

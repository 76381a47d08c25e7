"""What users write for a stream, a run or a time: words and Python values to targets and seconds. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import KeysView, ValuesView
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from operator import index
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from domo_magic.errors import TargetError
from domo_magic.model.formatting import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Meant = Literal["streams", "runs"]

_LARGEST = 2**63 - 1
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_HOW = {
    "streams": "write a stream's id, a DataSet's id, or its page's address in Domo; "
    "to find a stream by name: %domo_streams",
    "runs": "write a run as STREAM_ID/EXECUTION_ID (25775/2), or a stream's id for its newest run",
}
#: By one of these a Series is known to be a row, of runs or of streams.
_COLUMNS = frozenset(
    ("streamId", "executionId", "currentState", "startedAt", "rowsInserted", "dataSetId", "provider", "rows")
)
_COLLECTIONS = (list, tuple, set, frozenset, range, KeysView, ValuesView)
_MOST = 100_000  # nobody means more, and a range of billions fills the memory
_ENDLESS = 10**60  # digits that nobody reads; of thousands Python makes no text
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
# Seconds by which Domo's clock, and so the beginning of a run, may be ahead of ours.
_AHEAD = 86_400
_LONGEST = 60
_NAME = r"[^\W\d_]{2}"
_THOUSANDS = r"(?<![0-9,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])"


@dataclass(frozen=True, slots=True)
class Target:
    """What one word names.

    Attributes
    ----------
    text : str
        As it was written.
    stream_id, execution_id : int or None
        ``25775/2``; a stream alone has no ``execution_id``.
    dataset_id : str or None
        The DataSet (a UUID), where that was written and the stream is yet to be asked for.
    host : str or None
        The host (and port) of an address, which must be the instance's.
    instance : str or None
        What a frame's row says that it is of, which must be the instance.
    """

    text: str
    stream_id: int | None = None
    execution_id: int | None = None
    dataset_id: str | None = None
    host: str | None = None
    instance: str | None = None


def parse(value: object, meant: Meant = "streams", *, repeats: bool = False) -> tuple[Target, ...]:
    """Understand a Python value: an id, text, a list, tuple, set, array, Series or frame of them.

    Parameters
    ----------
    value : object
        What the user gave.
    meant : {"streams", "runs"}
        Where runs are meant, ``25775/2`` is one, and a frame's ``streamId`` goes with its
        ``executionId``.
    repeats : bool
        Whether a target may be there several times, and is one: for listing and comparing.

    Raises
    ------
    TargetError
        Something in it cannot be understood, nothing is in it, or a target is there twice.

    Examples
    --------
    >>> [target.stream_id for target in parse([25775, "25776"])]
    [25775, 25776]
    """
    return checked(each(value, meant), meant, repeats=repeats)


def checked(targets: Iterable[Target], meant: Meant, *, repeats: bool = False) -> tuple[Target, ...]:
    """Return the targets, after making sure that there are some and none is there twice, or is one."""
    found = tuple(islice(targets, _MOST + 1))
    if len(found) > _MOST:
        raise TargetError(
            f"more than {_MOST:,} targets", "give fewer; a frame of runs is compared as a whole"
        )
    if repeats:
        found = tuple({_key(target): target for target in found}.values())
    if not found:
        raise TargetError("no target: what was given is empty", _HOW[meant])
    refuse_twice(found, meant)
    return found


def understood(value: object, meant: Meant, *, repeats: bool = False) -> tuple[Target, ...]:
    """Return targets as they are, and `parse` everything else."""
    if isinstance(value, tuple) and value and all(isinstance(item, Target) for item in value):
        return value
    return parse(value, meant, repeats=repeats)


def holds_runs(value: Any) -> bool:
    """Whether it is a frame of runs, which is compared and drawn as it is."""
    return hasattr(value, "columns") and not isinstance(value, type) and "currentState" in value.columns


def _key(target: Target) -> tuple[object, ...]:
    return target.stream_id, target.execution_id, (target.dataset_id or "").lower()


def refuse_twice(targets: Iterable[Target], meant: Meant = "streams") -> None:
    """Refuse targets of which two are the same.

    Raises
    ------
    TargetError
        Naming the first that is there twice.
    """
    seen = set()
    for target in targets:
        key = _key(target)
        if key in seen:
            kind = "stream" if target.execution_id is None and target.stream_id else "target"
            so = "nothing was started" if meant == "streams" else "nothing was done"
            raise TargetError(f"{kind} {target.text} is listed twice; {so}", "name it once")
        seen.add(key)


def bare(text: str) -> Iterator[str]:
    """Yield the words of `text` without the commas, brackets and quotes of an expanded list."""
    for each_word in text.split():
        if "://" in each_word:
            yield each_word.strip("[](){},'\"")
        elif re.search(_THOUSANDS, each_word) and not re.search(r"[\[({]", text):
            raise TargetError(
                f"{shown(each_word)} may be one number or several",
                f"write {each_word.replace(',', '')} or {each_word.replace(',', ' ')}",
            )
        elif re.search(r"\w[\[({]|[\])}]\w", each_word):  # 25(775) is not two ids
            yield each_word
        else:
            yield from re.sub(r"[\[\](){},'\"]", " ", each_word).split()


def each(value: Any, meant: Meant) -> Iterator[Target]:
    """Yield the targets in a Python value, as `parse` does, without looking at all of them together."""
    if isinstance(value, str):
        yield from _of_text(value, meant)
    elif isinstance(value, type):
        raise TargetError(f"the class {value.__name__} is not a target", _HOW[meant])
    elif hasattr(value, "columns") or hasattr(value, "column_names"):
        yield from _of_frame(_in_pandas(value), meant)
    elif (record := _record(value)) is not None:
        yield _of_record(record, meant)
    elif getattr(getattr(value, "dtype", None), "kind", "") in {"m", "M"}:  # numpy counts them in numbers
        raise TargetError(f"{value.dtype} is not an id", _HOW[meant])
    elif hasattr(value, "tolist"):
        items = value.tolist()
        yield from each(items, meant) if isinstance(items, list) else [_item(items, meant)]
    elif isinstance(value, _COLLECTIONS) or hasattr(value, "__next__"):
        for item in value:
            record = _record(item)
            yield _item(item, meant) if record is None else _of_record(record, meant)
    else:
        yield _item(value, meant)


def _in_pandas(table: Any) -> Any:
    """Return a frame of polars, pyarrow, DuckDB or Spark as one of pandas, by their own conversion."""
    try:
        if hasattr(table, "iloc"):
            return table
        for name in ("to_pandas", "toPandas", "df"):
            if callable(convert := getattr(table, name, None)):
                return convert()
        iter(table["streamId"])  # of whatever else: a column that can be read
    except TargetError:
        raise
    except Exception as error:  # each library has errors of its own
        kind = f"{type(table).__module__.partition('.')[0]}.{type(table).__name__}"
        raise TargetError(
            f"the streamId of a {kind} cannot be read", "convert it to a DataFrame of pandas, or give a list"
        ) from error
    return table


def _record(value: Any) -> dict[str, Any] | None:
    """Return what has names for its values as a dict: a dict, a named tuple, a row of a frame."""
    if isinstance(value, dict):
        return value
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return dict(value._asdict())
    # A Series of ids may well have names as its index; a row has the names of our columns.
    if hasattr(value, "to_frame") and hasattr(value, "items") and _COLUMNS.intersection(value.index):
        return dict(value.items())
    return None


def _of_record(record: dict[str, Any], meant: Meant) -> Target:
    """Return the run or stream of a record with names; its other numbers are never ids."""
    if "streamId" not in record:
        names = shown(", ".join(map(str, record)))
        raise TargetError(
            f"a record without a streamId is not a target; it has {names}", "give its streamId alone"
        )
    target = _item(record["streamId"], meant)
    if meant == "runs" and "executionId" in record:
        target = _run_of(target, record["executionId"])
    instance = record.get("instance")
    return replace(target, instance=instance) if isinstance(instance, str) else target


def _of_text(text: str, meant: Meant) -> Iterator[Target]:
    if "\n" in text.strip():
        raise TargetError(
            f"{shown(text)} is the text of a printed object, not its ids",
            "give the list, Series or frame itself, not its text",
        )
    for part in bare(text):
        yield word(part, meant, written=text)


def _of_frame(table: Any, meant: Meant) -> Iterator[Target]:
    names = [name for name in table.columns if isinstance(name, str)]
    for name in ("streamId", "executionId"):
        if names.count(name) != 1 and (name == "streamId" or name in names):
            many = "several columns" if name in names else "no column"
            raise TargetError(
                f"the frame has {many} {name}", "give a frame from domo_magic, or a list of ids"
            )
    # Each stream once, however many of its runs there are.
    if meant == "streams" and holds_runs(table) and hasattr(table, "drop_duplicates"):
        table = table.drop_duplicates([name for name in ("streamId", "instance") if name in names])
    streams = [_item(stream, meant) for stream in table["streamId"]]
    if names.count("instance") == 1:
        instances = [value if isinstance(value, str) else None for value in table["instance"]]
        streams = [
            replace(target, instance=instance) for target, instance in zip(streams, instances, strict=True)
        ]
    if meant == "streams" or "executionId" not in names:
        yield from streams
        return
    for target, execution in zip(streams, table["executionId"], strict=True):
        yield replace(_run_of(target, execution), instance=target.instance)


def _run_of(target: Target, execution: object) -> Target:
    """Return the run of a row: its stream with its execution id."""
    if _missing(execution):
        raise TargetError(
            f"a row of stream {target.text} has no executionId",
            "leave such rows out: .dropna(subset=['executionId']); the stream may never have run: "
            f"%domo_runs {target.text} shows its runs",
        )
    try:
        return word(f"{target.stream_id}/{_item(execution, 'runs').stream_id}", "runs")
    except TargetError:
        raise TargetError(
            f"{shown(str(execution))} is not an execution id (a row of stream {target.text})",
            "give a frame of runs as domo_magic makes it, or write the run as 25775/2",
        ) from None


def _missing(value: object) -> bool:
    """Whether it is None, or what pandas has for a value that is not there: comparing NA itself raises."""
    kind = type(value).__name__
    return value is None or kind in {"NAType", "NaTType"} or (isinstance(value, float) and math.isnan(value))


def _item(value: object, meant: Meant) -> Target:
    if isinstance(value, str):
        return word(value.strip(), meant)
    if _missing(value):
        how = _HOW[meant] if value is None else "leave missing values out, as .dropna() does"
        raise TargetError("a missing value is not an id", how)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        number = index(value)  # type: ignore[arg-type]
    except TypeError:
        number = -1
    if isinstance(value, bool) or not 0 <= number < _ENDLESS:
        plain = value is None or isinstance(value, float) or (isinstance(value, int) and number < _ENDLESS)
        what = shown(str(value)) if plain else f"this {type(value).__name__}"
        raise TargetError(f"{what} is not an id", _HOW[meant])
    return word(str(number), meant)


def word(text: str, meant: Meant, written: str = "") -> Target:
    """Understand one word of what was `written`, which may be a name of several."""
    if re.fullmatch(r"[0-9]+", text):
        return Target(text, _id(text, text))
    if match := re.fullmatch(r"([0-9]+)/([0-9]+)", text):
        if meant == "streams":
            raise TargetError(
                f"{shown(text)} is a run; here a stream is meant",
                f"write the stream alone: {match[1]}; to see the run: %domo_compare {text}",
            )
        return Target(text, _id(match[1], text), _id(match[2], text))
    if re.fullmatch(_UUID, text):
        return Target(text, dataset_id=text.lower())
    if "/datasources/" in text:
        return _address(text)
    kind = "stream" if meant == "streams" else "run or stream"
    named = cut(written.strip() or text, _LONGEST)
    hint = f"to find a stream by its name: %domo_streams {named}" if re.match(_NAME, named) else _HOW[meant]
    raise TargetError(f"{shown(named)} is not the id of a {kind}", hint)


def _id(digits: str, text: str) -> int:
    # Python refuses to parse thousands of digits; no id has more than 19.
    number = int(digits) if len(digits) <= 19 else _LARGEST + 1
    if not 0 < number <= _LARGEST:
        raise TargetError(f"{shown(text)} is not an id: ids go from 1 to {_LARGEST}", _HOW["streams"])
    return number


def _address(text: str) -> Target:
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host = parts.netloc.lower().removesuffix(":443")
    except ValueError:
        parts, host = urlsplit(""), ""
    found = re.match(rf"/datasources/({_UUID})(?:/|$)", parts.path)
    if not found or not host or "@" in host or parts.scheme not in {"https", "http"}:
        raise TargetError(
            f"{shown(text)} is not the address of a DataSet's page",
            "it looks like https://mycompany.domo.com/datasources/DATASET_ID/details/overview",
        )
    return Target(text, dataset_id=found[1].lower(), host=host)


def shown(text: str) -> str:
    """Return `text` as an error shows it: quoted, on one line, cut after 60 characters."""
    return repr(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")


def seconds(value: object, option: str = "timeout") -> float:
    """Understand a length of time: ``90``, ``90s``, ``10m``, ``2h``, ``7d``, seconds, or a `timedelta`.

    Raises
    ------
    TargetError
        It is none of these, or negative.

    Examples
    --------
    >>> seconds("10m")
    600.0
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    text = str(value).strip()
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)([smhd]?)", text)
    if isinstance(value, bool) or match is None:
        raise TargetError(f"invalid {option} {shown(text)}", "write 90, 90s, 10m, 2h or 7d")
    return float(match[1]) * _UNITS[match[2]]


def since_us(value: object, now: float) -> int:
    """Understand the beginning of a listing: a length of time before `now`, or a date.

    Parameters
    ----------
    value : object
        As for `seconds`, or an ISO 8601 date or time as text, `datetime.datetime` or `pandas.Timestamp`;
        without a zone it is local time. None: from the first on.
    now : float
        Epoch seconds.

    Returns
    -------
    int
        Epoch microseconds, 0 for None.

    Raises
    ------
    TargetError
        It is neither, or in the future.
    """
    if value is None:
        return 0
    text = str(value).strip()
    try:
        return int(max(0.0, now - seconds(value, "since")) * 1e6)
    except TargetError:
        moment = _moment(value, text)
    if moment is None:
        raise TargetError(f"invalid since {shown(text)}", "write 90m, 24h, 7d or a date as 2026-01-31")
    if moment > now + _AHEAD:
        raise TargetError(
            f"since {shown(text)} is in the future", "write 90m, 24h, 7d or a date that is past"
        )
    return int(moment * 1e6)


def _moment(value: object, text: str) -> float | None:
    try:
        return (value if isinstance(value, datetime) else datetime.fromisoformat(text)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None

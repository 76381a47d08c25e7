"""Which streams and DataSets there are: a company's connectors, each with its past, made from a seed.

The same seed and the same start give the same past, whatever the order of the calls, because every execution
draws from a random generator of its own.
"""

from __future__ import annotations

import itertools
import math
import time
import uuid
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from domo_magic.sandbox.simulation import COLLEAGUE, OWNER, Habit, Plan, Start, draw, generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOUR, DAY, WEEK = 3600, 86_400, 604_800
GAPS = (900, 1800, HOUR, *(HOUR * hours for hours in (2, 3, 4, 6, 8, 12)), DAY, WEEK)
"""Seconds between two scheduled executions that a schedule can have."""

_NAMESPACE = uuid.UUID("6f2d7c1e-1f0b-4a0e-9d3c-5b8a7e4f2d10")
_MANUAL_SHARE = 0.08
_SESSION = Habit(seconds=math.inf, rows=0, endings=(("ACTIVE", 1.0),))
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


@dataclass(frozen=True, slots=True)
class Spell:
    """Executions of a stream that go differently, from `first` to `last`, or for good (`last` is None)."""

    first: int
    last: int | None
    habit: Habit


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream: what fills a DataSet.

    Attributes
    ----------
    id : int
        The stream's id; 0 where a DataSet has no stream.
    name, dataset_id : str
        Its DataSet's name and UUID.
    provider : tuple of (int, str, str)
        Id, key and name of the connector.
    habit : Habit
        How its executions usually go.
    spells : tuple of Spell
        When they do not.
    quiet : Habit, optional
        How they go on two days of each week, which the day of the newest never is.
    every : int
        Seconds between two scheduled executions.
    past : int
        How many executions there were before the sandbox began.
    missed : int
        How many scheduled executions are missing since the newest.
    columns : int
        Columns of the DataSet.
    schedule : str
        ``ACTIVE``, ``INACTIVE`` where it is paused, or ``MANUAL``.
    transport : str
        ``CONNECTOR``, or what opens a session: ``UPLOAD``, ``API``, ``WEBFORM``.
    deleted : bool
        The DataSet is gone.
    """

    id: int
    name: str
    dataset_id: str = ""
    provider: tuple[int, str, str] = (2837, "mysql", "MySQL")
    habit: Habit = field(default_factory=Habit)
    spells: tuple[Spell, ...] = ()
    quiet: Habit | None = None
    every: int = HOUR
    past: int = 200
    missed: int = 0
    columns: int = 22
    schedule: str = "ACTIVE"
    transport: str = "CONNECTOR"
    deleted: bool = False

    def __post_init__(self) -> None:
        if not self.dataset_id:
            object.__setattr__(self, "dataset_id", str(uuid.uuid5(_NAMESPACE, str(self.id))))

    def habit_of(self, execution_id: int) -> Habit:
        """Return the habit that holds for one execution; a start of what is no connector opens a session."""
        if self.transport != "CONNECTOR" and execution_id > self.past:
            return _SESSION
        for spell in self.spells:
            if spell.first <= execution_id and (spell.last is None or execution_id <= spell.last):
                return spell.habit
        return self.habit

    def slot(self, now: float) -> int:
        """Return when the newest scheduled execution was due, on a whole minute before `now`."""
        ago = 0.25 + self.id * 0.618 % 0.25  # a quarter to half of the way to the next, not all at once
        return int((now - ago * self.every) // 60 * 60) - self.missed * self.every

    def cron(self, now: float) -> str | None:
        """Write the schedule as a Quartz expression, UTC; None where there is none."""
        if self.schedule == "MANUAL" or self.every not in GAPS:
            return None
        due, minutes, hours = time.gmtime(self.slot(now)), self.every // 60, self.every // HOUR
        if hours < 1:
            return f"0 {due.tm_min % minutes}/{minutes} * * * ?"
        if hours < 24:
            return f"0 {due.tm_min} {due.tm_hour % hours}/{hours} * * ?"
        days = "* * ?" if self.every == DAY else f"? * {_WEEKDAYS[due.tm_wday]}"
        return f"0 {due.tm_min} {due.tm_hour} {days}"


def plan(stream: Stream, start: Start, seed: int, habit: Habit | None = None) -> Plan:
    """Draw one execution of a stream; the same seed and start give the same plan."""
    rng = generator(seed, stream.id, start.execution_id)
    return draw(habit or stream.habit_of(start.execution_id), start, rng)


def past(stream: Stream, seed: int, now: float) -> list[Plan]:
    """Draw the executions that a stream had before `now`, oldest first.

    Scheduled executions are `stream.every` seconds apart; about one in twelve was started by hand in between.
    """
    plans: list[Plan] = []
    rng, newest, manual = generator(seed, stream.id), stream.slot(now), True
    slot = newest + stream.every
    for number in range(stream.past, 0, -1):
        between = not manual and rng.random() < _MANUAL_SHARE
        slot = slot if between else slot - stream.every
        manual = between or stream.schedule == "MANUAL"
        start = Start(
            stream_id=stream.id,
            execution_id=number,
            at=slot + (rng.uniform(-0.7, -0.3) * stream.every if between else rng.uniform(1.0, 3.0)),
            run_type="MANUAL" if manual else "AUTOMATED",
            started_by=rng.choice((OWNER, COLLEAGUE)) if manual else None,
        )
        quiet = stream.quiet if (newest - slot) // DAY % 7 in {3, 4} else None
        drawn = plan(stream, start, seed, quiet)
        by_user = drawn.final_state == "ABORTED" and not drawn.message
        plans.append(replace(drawn, cancelled_by=COLLEAGUE) if by_user else drawn)
    return plans[::-1]


def streams(count: int) -> list[Stream]:
    """Return so many connectors, those with a story first; 25775 is healthy and takes about 6 s."""
    return list(itertools.islice(_connectors(), count))


def other_streams() -> list[Stream]:
    """Return what every sandbox has beside: uploads, a stream without its DataSet, and the reverse."""
    habit = Habit(seconds=3.0, spread=0.3, rows=620, rows_spread=0.1)
    kinds = ("UPLOAD", "WEBFORM", "API")
    names = ("Annual Budget", "Territory Mapping", "Loyalty Events")
    others = [
        Stream(
            id=25_701 + place,
            name=name,
            provider=_provider(kind.lower(), kind.capitalize()),
            habit=habit,
            every=30 * DAY,
            past=5,
            columns=8,
            schedule="MANUAL",
            transport=kind,
        )
        for place, (kind, name) in enumerate(zip(kinds, names, strict=True))
    ]
    targets = replace(
        others[1],
        id=0,
        name="Sales Targets",
        dataset_id="b7a1d7c2-5e0f-4a52-9a7f-0c1c9b6f3e61",
        habit=Habit(rows=480),
        columns=6,
    )
    return [*others, Stream(id=25_704, name="Old Price List", past=12, missed=400, deleted=True), targets]


def _connectors() -> Iterator[Stream]:
    """Yield connectors without an end, with 25775 the first."""
    numbers = itertools.count(25_775)
    rows = [_row(number, *row) for number, row in zip(numbers, _ROWS, strict=False)]
    yield from (_STORIES[stream.name](stream) if stream.name in _STORIES else stream for stream in rows)
    for copy in itertools.count(2):
        for stream in rows[6:]:
            number = stream.id + (copy - 1) * len(rows[6:])
            yield replace(stream, id=number, name=f"{stream.name} {copy}", dataset_id="")


def _row(
    number: int, name: str, provider: str, seconds: float, rows: int, every: int, columns: int, *method: str
) -> Stream:
    return Stream(
        id=number,
        name=name,
        provider=_provider(provider.lower().replace(" ", "-"), provider),
        habit=Habit(
            seconds=seconds,
            spread=0.08,
            rows=rows,
            rows_spread=0.03,
            bytes_per_row=11.0 * columns,
            memory=160_000_000 + 90 * rows,
            update_method=method[0] if method else "REPLACE",
        ),
        every=every,
        past=60,
        columns=columns,
    )


def _provider(key: str, name: str) -> tuple[int, str, str]:
    return zlib.crc32(key.encode()) % 3000, key, name


def _ending(habit: Habit, state: str, message: str = "", code: int = 1000, **parameters: str) -> Habit:
    """Make a habit that always ends so, with what Domo says of it."""
    return replace(
        habit, endings=((state, 1.0),), failure=message, notice=message, code=code, parameters=parameters
    )


def _lately(stream: Stream, habit: Habit, ago: int = 0) -> Stream:
    """Let the newest execution, or one some executions before it, go differently."""
    number = stream.past - ago
    return replace(stream, spells=(Spell(number, number, habit),))


def _refused(stream: Stream) -> Stream:
    host = "erp-db-02.example.com"
    text = f"Communications link failure: {host}:3306 refused the connection."
    return _lately(stream, _ending(stream.habit, "ERROR", text, 1017, host=host, port="3306"))


def _timed_out(stream: Stream) -> Stream:
    text = "The remote server did not respond within 120 seconds."
    return _lately(stream, _ending(stream.habit, "ERROR", text, 1052, seconds="120"), ago=1)


def _guarded(stream: Stream) -> Stream:
    """Let Domo's data safeguards abort an execution some time ago, and warn of the newest."""
    text = "The schema of the source has changed: column 'discount' was added."
    said = {"code": 4101, "column": "discount"}
    aborted = _ending(stream.habit, "ABORTED", text, **said)  # type: ignore[arg-type]
    warned = _ending(stream.habit, "SUCCESS", text, **said)  # type: ignore[arg-type]
    spells = (Spell(stream.past - 4, stream.past - 4, aborted), Spell(stream.past, stream.past, warned))
    return replace(stream, spells=spells)


def _quiet(stream: Stream) -> Stream:
    habit = stream.habit
    return replace(stream, quiet=replace(habit, rows=habit.rows * 2 // 5, seconds=habit.seconds * 0.6))


def _orders(stream: Stream) -> Stream:
    habit = replace(stream.habit, spread=0.07, rows_spread=0.02, bytes_per_row=146.6)
    lost = _ending(habit, "ERROR", "Communications link failure: the server closed the connection.", 1017)
    spells = (Spell(41, 41, lost), Spell(137, 137, _ending(habit, "ABORTED")))
    return replace(
        stream, dataset_id="5f3c2a9e-8d41-4b7e-9c36-1e2f7a4d6b90", habit=habit, spells=spells, past=200
    )


def _sessions(stream: Stream) -> Stream:
    habit = replace(stream.habit, rows_spread=0.08, abort_lag=1.5)
    return replace(stream, habit=habit, spells=(Spell(196, None, replace(habit, seconds=28.0)),), past=200)


def _opportunities(stream: Stream) -> Stream:
    habit = replace(
        _ending(stream.habit, "ERROR", "REQUEST_LIMIT_EXCEEDED: TotalRequests Limit exceeded.", 1203),
        spread=0.15,
        parameters={"limit": "TotalRequests"},
        notice="",
    )
    usual = replace(habit, endings=(("SUCCESS", 0.75), ("ERROR", 0.25)))
    expired = "invalid_grant: expired access/refresh token. Reconnect the account."
    spells = (
        Spell(88, 90, _ending(habit, "INVALID", expired, 1100)),
        Spell(200, 200, habit),
        Spell(201, 202, _ending(habit, "SUCCESS")),  # what failed in the night is run again with success
    )
    return replace(stream, habit=usual, spells=spells, past=200)


def _inventory(stream: Stream) -> Stream:
    habit = replace(stream.habit, rows=12_700)
    return replace(stream, spells=(Spell(200, 200, habit),), past=200)


def _spend(stream: Stream) -> Stream:
    stuck, aborted = (_ending(stream.habit, state) for state in ("ACTIVE", "ABORTED"))
    spells = (Spell(64, 64, aborted), Spell(171, 171, stuck), Spell(186, 186, stuck))
    return replace(stream, spells=spells, past=200)


_STORIES: dict[str, Callable[[Stream], Stream]] = {
    "Sales Orders": _orders,
    "Web Sessions": _sessions,
    "Salesforce Opportunities": _opportunities,
    "Inventory Levels": _inventory,
    "Marketing Spend": _spend,
    "Support Tickets": lambda stream: replace(stream, habit=replace(stream.habit, queued=4.0), past=200),
    "Ledger Entries": _refused,
    "Vendor Invoices": _refused,
    "Product Returns": lambda stream: _lately(stream, replace(stream.habit, rows=0)),
    "Ad Impressions": lambda stream: replace(stream, missed=3),
    "Shipment Tracking": _timed_out,
    "Store Footfall": lambda stream: replace(stream, schedule="INACTIVE", missed=12),
    "Supplier Scorecards": lambda stream: replace(stream, schedule="MANUAL", past=0),
    "Payroll Hours": lambda stream: _lately(stream, _ending(stream.habit, "ABORTED")),
    "Price List": _guarded,
    "Call Center Calls": _quiet,
    "Newsletter Opens": _quiet,
    "Shop Baskets": _quiet,
}

# Name, connector, seconds, rows, seconds from start to start, columns, and how rows are written.
_ROWS: tuple[tuple[str, str, float, int, int, int] | tuple[str, str, float, int, int, int, str], ...] = (
    ("Sales Orders", "MySQL", 6, 283_000, HOUR, 22),
    ("Web Sessions", "Google Analytics", 9, 64_000, 2 * HOUR, 14),
    ("Salesforce Opportunities", "Salesforce", 8, 41_500, 3 * HOUR, 57),
    ("Inventory Levels", "PostgreSQL", 7, 118_400, DAY, 9),
    ("Marketing Spend", "Facebook Ads", 8, 9_200, 6 * HOUR, 31),
    ("Support Tickets", "Zendesk", 7, 22_300, 4 * HOUR, 26),
    ("Ledger Entries", "MySQL", 7, 84_000, DAY, 19),
    ("Vendor Invoices", "MySQL", 9, 12_600, DAY, 33),
    ("Product Returns", "Shopify", 5, 2_150, DAY, 17),
    ("Ad Impressions", "Google Ads", 14, 912_000, DAY, 24, "APPEND"),
    ("Shipment Tracking", "SFTP", 6, 31_800, 6 * HOUR, 15, "UPSERT"),
    ("Store Footfall", "HTTPS JSON", 4, 5_300, DAY, 8),
    ("Supplier Scorecards", "SharePoint Online", 8, 400, WEEK, 12),
    ("Payroll Hours", "Workday", 11, 18_900, DAY, 21),
    ("Clickstream", "Snowflake", 2700, 41_200_000, HOUR, 38, "PARTITION"),
    ("Price List", "Amazon S3", 5, 64_200, 12 * HOUR, 16),
    ("Call Center Calls", "Five9", 10, 47_500, DAY, 29, "APPEND"),
    ("Newsletter Opens", "Mailchimp", 6, 208_000, DAY, 11),
    ("Shop Baskets", "Adobe Analytics", 16, 156_000, DAY, 44),
    ("Card Payments", "Stripe", 9, 73_400, 4 * HOUR, 27, "APPEND"),
    ("Hubspot Contacts", "HubSpot", 12, 128_000, 6 * HOUR, 61),
    ("Jira Issues", "Jira", 7, 34_700, 3 * HOUR, 48, "UPSERT"),
    ("Github Commits", "GitHub", 4, 9_850, 6 * HOUR, 13),
    ("Exchange Rates", "HTTPS JSON", 2, 172, HOUR, 4),
    ("Weather Stations", "HTTPS JSON", 3, 1_440, 1800, 9, "APPEND"),
    ("Facebook Posts", "Facebook Pages", 6, 3_120, DAY, 26),
    ("LinkedIn Campaigns", "LinkedIn Ads", 8, 1_870, DAY, 22),
    ("Customer Master", "Oracle", 42, 1_940_000, DAY, 86),
    ("Purchase Requisitions", "SAP HANA", 28, 412_000, 2 * HOUR, 64),
    ("Production Output", "Microsoft SQL Server", 13, 88_600, 8 * HOUR, 31),
    ("Machine Sensors", "Amazon Redshift", 95, 7_600_000, 4 * HOUR, 18, "PARTITION"),
    ("Quality Checks", "Microsoft SQL Server", 6, 15_300, 12 * HOUR, 37),
    ("Employee Directory", "Workday", 5, 2_870, DAY, 42),
    ("Recruiting Funnel", "Greenhouse", 5, 6_400, DAY, 25),
    ("Expense Reports", "Concur", 9, 21_500, DAY, 30),
    ("Survey Answers", "Qualtrics", 7, 11_900, DAY, 58, "APPEND"),
    ("Chat Transcripts", "Intercom", 18, 96_200, 8 * HOUR, 14, "APPEND"),
    ("Subscription Revenue", "NetSuite", 22, 38_100, DAY, 53),
    ("Demand Forecast", "Google Sheets", 3, 860, DAY, 12),
    ("Board Figures", "Excel Online", 4, 240, WEEK, 15),
)

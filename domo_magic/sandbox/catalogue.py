"""The streams that every sandbox has, each with a story to tell."""

from __future__ import annotations

from dataclasses import replace

from domo_magic.sandbox.habits import Habit
from domo_magic.sandbox.streams import DataSet, Spell, Stream


def _ending(habit: Habit, state: str, failure: str = "") -> Habit:
    return replace(habit, endings=((state, 1.0),), failure=failure)


def stock() -> list[Stream]:
    """Give the streams that every sandbox has; 25775 is healthy and takes about 6 s."""
    return [_orders(), _sessions(), _opportunities(), _inventory(), _spend(), _tickets()]


def stock_datasets() -> list[DataSet]:
    """Give the DataSets of every sandbox that no connector fills."""
    return [DataSet("b7a1d7c2-5e0f-4a52-9a7f-0c1c9b6f3e61", "Sales Targets", 480, 6)]


def _orders() -> Stream:
    habit = Habit(seconds=6.0, spread=0.07, rows=283_000, rows_spread=0.02)
    failed = _ending(habit, "ERROR", "Communications link failure: the server closed the connection.")
    return Stream(
        id=25775,
        name="Sales Orders",
        dataset_id="5f3c2a9e-8d41-4b7e-9c36-1e2f7a4d6b90",
        habit=habit,
        spells=(Spell(41, 41, failed), Spell(137, 137, _ending(habit, "ABORTED"))),
    )


def _sessions() -> Stream:
    habit = Habit(seconds=9.0, spread=0.1, rows=64_000, rows_spread=0.08, bytes_per_row=88.0, abort_lag=1.5)
    return Stream(
        id=25776,
        name="Web Sessions",
        dataset_id="0a6b8f54-37c9-4e1d-8b52-6f90d3c7e218",
        provider=(301, "google-analytics", "Google Analytics"),
        habit=habit,
        spells=(Spell(196, None, replace(habit, seconds=28.0)),),
        every=7200,
        columns=14,
    )


def _opportunities() -> Stream:
    habit = Habit(
        seconds=8.0,
        spread=0.15,
        rows=41_500,
        rows_spread=0.03,
        bytes_per_row=412.0,
        endings=(("SUCCESS", 0.75), ("ERROR", 0.25)),
        failure="REQUEST_LIMIT_EXCEEDED: TotalRequests Limit exceeded.",
    )
    invalid = _ending(habit, "INVALID", "invalid_grant: expired access/refresh token. Reconnect the account.")
    return Stream(
        id=25777,
        name="Salesforce Opportunities",
        dataset_id="c1d9e7b3-2f64-49a8-b05d-84e6a1f3c972",
        provider=(7, "salesforce", "Salesforce"),
        habit=habit,
        spells=(Spell(88, 90, invalid), Spell(200, 200, _ending(habit, "ERROR", habit.failure))),
        every=10_800,
        columns=57,
    )


def _inventory() -> Stream:
    habit = Habit(seconds=7.0, spread=0.09, rows=118_400, rows_spread=0.015, bytes_per_row=73.5)
    return Stream(
        id=25778,
        name="Inventory Levels",
        dataset_id="e84f0d16-9b2a-4c73-a6e5-d7b31c58f04a",
        provider=(2841, "postgresql", "PostgreSQL"),
        habit=habit,
        spells=(Spell(200, 200, replace(habit, rows=12_700)),),
        every=86_400,
        columns=9,
    )


def _spend() -> Stream:
    habit = Habit(seconds=8.0, spread=0.12, rows=9_200, rows_spread=0.05, bytes_per_row=131.0)
    stuck = _ending(habit, "ACTIVE")
    return Stream(
        id=25779,
        name="Marketing Spend",
        dataset_id="39b5c8e2-6a17-4d0f-92cb-f5e87d40a163",
        provider=(412, "facebook-ads", "Facebook Ads"),
        habit=habit,
        spells=(Spell(64, 64, _ending(habit, "ABORTED")), Spell(171, 171, stuck), Spell(186, 186, stuck)),
        every=21_600,
        columns=31,
    )


def _tickets() -> Stream:
    habit = Habit(seconds=7.0, spread=0.1, rows=22_300, rows_spread=0.04, bytes_per_row=268.0, queued=4.0)
    return Stream(
        id=25780,
        name="Support Tickets",
        dataset_id="72e0a4f9-d583-4b16-8c2e-3a9d61b7f5c4",
        provider=(118, "zendesk", "Zendesk"),
        habit=habit,
        every=14_400,
        columns=26,
    )

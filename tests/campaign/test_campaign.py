"""The short form of the campaign in bad weather."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CAMPAIGN = Path(__file__).with_name("campaign.py")
COLLECTING = Path(__file__).with_name("collecting.py")
HOSTILE = Path(__file__).with_name("hostile.py")
KINDS = 13


def test_in_bad_weather_nothing_is_lost_and_nothing_started_twice() -> None:
    """500 starts, 3 faults in 10 requests, 15 kills: every run is known afterwards, none is too many."""
    arguments = ["--starts", "500", "--kills", "15", "--seed", "25775"]
    done = subprocess.run(
        [sys.executable, str(CAMPAIGN), *arguments], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "runs that the history does not know: 0\n" in done.stdout
    assert "streams started more often than asked: 0\n" in done.stdout
    met = re.search(r"faults met: (.*)", done.stdout)
    assert met is not None
    counts = [int(number) for number in re.findall(r" (\d+)(?:,|$)", met[1])]
    assert len(counts) == KINDS
    assert min(counts) > 5, "a kind of fault was hardly met"


def test_collects_that_are_killed_lose_nothing() -> None:
    """15 collects over one folder, most of them killed: it has every run of the server, once."""
    command = [sys.executable, str(COLLECTING), "--collects", "15"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"(\d+) killed", done.stdout)[0]) >= 4
    assert "in the folder twice at any time: 0\n" in done.stdout
    assert "both sides equal: True\n" in done.stdout


def test_hostile_responses_break_no_promise() -> None:
    """1,500 responses that nobody should send, to everything that can be called."""
    command = [sys.executable, str(HOSTILE), "--responses", "1500", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "promises broken: 0\n" in done.stdout
    assert "files with the token: 0\n" in done.stdout

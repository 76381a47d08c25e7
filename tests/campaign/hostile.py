"""Hostile responses: whatever a server, a proxy or an attacker sends, to everything that can be called.

``python tests/campaign/hostile.py [--responses 1000000] [--seed N]`` prints what was called and counted, and
exits with 1 unless every promise held: only a `DomoError` comes out, a POST is repeated only after a 429,
frames of runs have their columns and dtypes, the token and live markup appear nowhere, and every call ends
within so many requests and seconds. The responses come over real sockets; time is a clock that jumps.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import pandas as pd
from faults import Fault, send_half
from support import Inline, JumpClock

import domo_magic as domo
from domo_magic.executions import poller
from domo_magic.executions.session import close_sessions, open_session, use_session
from domo_magic.history.store import FILE, History
from domo_magic.http.address import address
from domo_magic.http.credentials import Login, Token
from domo_magic.model.frame import frame
from domo_magic.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults import Request

TOKEN = "DDCI<tok&en>" + "0123456789abcdef" * 3
MARKUP = "<img src=x onerror=alert(1)>"
# No call sends more requests, or takes longer (seconds, on a busy machine).
REQUESTS, SECONDS, MEGABYTES = 3_000, 60.0, 400
_DEEP: Any = "bottom"
for _ in range(300):
    _DEEP = [_DEEP]
SCALARS: list[Any] = [
    *[
        None,
        True,
        False,
        -1,
        0,
        1,
        1.5,
        2**53 + 1,
        2**63,
        -(2**63),
        10**300,
        1e308,
        float("nan"),
        float("inf"),
    ],
    *[
        "",
        " ",
        "ACTIVE",
        "SUCCESS",
        "ERROR",
        "25775",
        "1/2",
        MARKUP,
        TOKEN,
        f"x{TOKEN}y",
        "\x00\x1b[31m",
        "\u202e",
    ],
    *["2024-12-17T17:56:56Z", "99999-01-01", 1_734_458_216_000, -62_135_596_800_000, "売上" * 50, "a" * 5000],
    *[[], {}, [None], [{}], {"message": MARKUP}, [{"message": TOKEN, "code": {}}], _DEEP, "\ud800"],
]
STATUSES = [200] * 12 + [201, 202, 204, 206, 226, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405]
STATUSES += [
    408,
    409,
    410,
    413,
    415,
    418,
    422,
    423,
    429,
    429,
    429,
    431,
    451,
    500,
    501,
    502,
    503,
    504,
    511,
    599,
]
HEADERS: list[dict[str, str]] = [
    *[{}] * 6,
    *[
        {"Retry-After": text}
        for text in ("0", "1", "7", "-5", "9" * 400, "soon", "Wed, 21 Oct 2099 07:28:00 GMT")
    ],
    *[
        {"Content-Type": text}
        for text in ("text/html", "application/json; charset=utf-16", "x" * 2000, "a/b; c=;")
    ],
    *[
        {"Location": text}
        for text in ("http://127.0.0.1:1/", "//evil.example/", "javascript:alert(1)", "/", "")
    ],
    *[{"Date": text} for text in ("Thu, 01 Jan 1970 00:00:00 GMT", "never", "Fri, 31 Dec 9999 23:59:59 GMT")],
    *[{"Content-Encoding": text} for text in ("gzip", "br", "nothing", "deflate, gzip")],
    {"Set-Cookie": f"a={MARKUP}", "X-Domo-Message": TOKEN},
]


class Hostile:
    """Makes responses from a seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def execution(self, stream: int) -> dict[str, Any]:
        """Return a run as Domo has it."""
        return {
            "streamId": stream,
            "executionId": self.dice.choice([1, 2, 7, 200]),
            "currentState": self.dice.choice(["ACTIVE", "SUCCESS", "ERROR", "INVALID"]),
            "startedAt": 1_734_458_216_000,
            "endedAt": self.dice.choice([None, 1_734_458_299_000]),
            "rowsInserted": 283_429,
            "errors": [{"message": "refused", "code": "E1", "parameters": {"account": "erp"}}],
        }

    def shape(self, path: str) -> Any:
        """Return what the path stands for, most of the time."""
        words = path.split("?", maxsplit=1)[0].split("/")
        stream = next((int(word) for word in words if word.isdecimal()), 25775)
        shapes: list[Any] = [
            self.execution(stream),
            [self.execution(stream) for _ in range(self.dice.randrange(4))],
            {"id": stream, "dataSource": {"id": "d1", "name": "Sales"}, "transport": {"type": "CONNECTOR"}},
            {
                "dataSources": [{"id": "d1", "name": "Sales", "streamId": stream}],
                "_metaData": {"totalCount": 1},
            },
            {"status": 400, "message": "no", "toe": "T"},
        ]
        if self.dice.random() < 0.2:
            return self.dice.choice(shapes)
        if "executions" in path:
            return shapes[0] if words[-1].isdecimal() or "abort" in path else shapes[self.dice.randrange(2)]
        return shapes[3] if "datasources" in path else shapes[2]

    def spoiled(self, value: Any) -> Any:  # noqa: PLR0911  one way for each kind
        """Return the value with something wrong in it."""
        if self.dice.random() < 0.25:
            return value
        if isinstance(value, dict) and value:
            name = self.dice.choice(list(value))
            how = self.dice.random()
            if how < 0.2:
                return {key: each for key, each in value.items() if key != name}
            if how < 0.3:
                return value | {str(self.dice.choice(SCALARS))[:200]: self.dice.choice(SCALARS)}
            if how < 0.5:
                return value | {name: self.spoiled(value[name])}
            return value | {name: self.dice.choice(SCALARS)}
        if isinstance(value, list) and value and self.dice.random() < 0.8:
            return [*value[1:], self.spoiled(value[0])] * self.dice.choice([1, 1, 1, 5])
        return self.dice.choice(SCALARS)

    def body(self, path: str) -> bytes:
        """Return a body: JSON, or what is not."""
        text = json.dumps(self.spoiled(self.shape(path)))
        plain = text.encode("utf-8", "surrogatepass")
        how = self.dice.randrange(24)
        others: list[Callable[[], bytes]] = [
            lambda: b"",
            lambda: plain[: self.dice.randrange(len(plain) + 1)],
            lambda: b"\xef\xbb\xbf" + plain,
            lambda: text.encode("utf-16", "surrogatepass"),
            lambda: gzip.compress(plain)[: self.dice.randrange(5, 60)],
            lambda: gzip.compress(plain),
            f"<html><body>{MARKUP}{TOKEN}</body></html>".encode,
            lambda: self.dice.randbytes(200),
        ]
        return others[how]() if how < len(others) else plain

    def fault(self, request: Request) -> Fault:
        """Return the response to a request."""
        return Fault(
            status=self.dice.choice(STATUSES),
            headers=self.dice.choice(HEADERS),
            body=self.body(request.path),
            send=partial(send_half, broken=self.dice.random() < 0.5) if self.dice.random() < 0.02 else None,
            reset=self.dice.random() < 0.01,
        )


CALLS: dict[str, Callable[[], Any]] = {
    "run": lambda: domo.run(25775),
    "run of two": lambda: domo.run([25775, 25776], label=MARKUP),
    "run and wait": lambda: domo.run(25775, wait=True, timeout=30, on_failure="return"),
    "run or adopt": lambda: domo.run(25775, if_running="adopt"),
    "run unless fresh": lambda: domo.run(25775, fresh="1h"),
    "wait": lambda: domo.wait("25775/2", timeout=30),
    "cancel": lambda: domo.cancel("25775/2"),
    "runs": lambda: domo.runs(25775, limit=20),
    "runs since": lambda: domo.runs(25775, since="2d"),
    "recorded": domo.runs,
    "streams": lambda: domo.streams("sales"),
    "compare": lambda: domo.compare(25775),
    "overview": domo.overview,
}
OF_RUNS = {"run", "run of two", "run and wait", "run or adopt", "run unless fresh", "wait", "cancel", "runs"}
DTYPES = frame([]).dtypes


def wrong(call: str, outcome: Any) -> str:
    """Return what is wrong with what came out, or nothing."""
    frame = getattr(outcome, "rows", outcome)
    if isinstance(outcome, BaseException) and not isinstance(outcome, domo.DomoError):
        return f"{outcome!r} came out:\n" + "".join(traceback.format_exception(outcome))
    shown = f"{outcome}\n{outcome!r}\n{frame!r}\n{getattr(outcome, 'hint', '')}"
    html = frame._repr_html_() if isinstance(frame, pd.DataFrame) else ""
    if TOKEN in shown + html or TOKEN in frame.to_csv():
        return "the token is in what is shown"
    if MARKUP in html:
        return "markup is live"
    if call in OF_RUNS and not frame.dtypes.iloc[: len(DTYPES)].equals(DTYPES):
        return f"the columns are {frame.dtypes}"
    return ""


class Game:
    """Calls everything, one call after the other, and sees what comes of it."""

    def __init__(self, seed: int, home: Path) -> None:
        self.hostile = Hostile(seed)
        self.home = home
        self.sandbox = Sandbox(token=TOKEN)
        self.sandbox.decide = self._respond
        self.clock = JumpClock()
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.problems: list[str] = []
        self.responses = 0
        self._posts: dict[str, list[int]] = {}

    def _respond(self, request: Request) -> Fault:
        self.responses += 1
        fault = self.hostile.fault(request)
        if request.method == "POST" and request.path.endswith("/executions"):
            status = 0 if fault.reset else fault.status or 0  # of a broken response the status was seen
            self._posts.setdefault(request.path, []).append(status)
        return fault

    def play(self, responses: int) -> None:
        """Call until there were so many responses."""
        with self.sandbox:
            while self.responses < responses:
                if self.counts.total() % 200 == 0:
                    self._begin()
                self._call(self.hostile.dice.choice(list(CALLS)))
            close_sessions()

    def _begin(self) -> None:
        """Go on with another history and other connections."""
        close_sessions()
        home = self.home / str(self.counts.total())
        home.mkdir()
        os.environ["DOMO_MAGIC_HOME"] = str(home)
        login = Login(address(self.sandbox.url), Token(TOKEN), "the fuzzer")
        session = open_session(login, clock=self.clock)
        session.history = History(home / FILE, self.clock)
        use_session(session)

    def _call(self, call: str) -> None:
        self.counts[call] += 1
        self._posts.clear()
        before, began = self.responses, time.monotonic()
        outcome: Any
        try:
            outcome = CALLS[call]()
        except Exception as error:  # noqa: BLE001  what may come out is what is tried
            outcome = error
            self.errors[type(error).__name__] += 1
        took, sent = time.monotonic() - began, self.responses - before
        found = [wrong(call, outcome)]
        if any(set(statuses[:-1]) - {429} for statuses in self._posts.values()):
            found.append(f"POSTs were answered {self._posts}")
        if sent > REQUESTS or took > SECONDS:
            found.append(f"{sent} requests in {took:.1f} s")
        self.problems += [f"{call}, call {self.counts.total()}: {problem}" for problem in found if problem]
        self.sandbox.requests.clear()
        self.clock.now += 100_000  # whatever Retry-After was heard is over


def main(arguments: list[str] | None = None) -> int:
    """Play, count and print; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    poller.POOL = Inline()  # the clock jumps when what polls has nothing left to do
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as home, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        game = Game(options.seed, Path(home))
        game.play(options.responses)
        files = [path.read_bytes() for path in Path(home).rglob("*") if path.is_file()]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    leaked = sum(TOKEN.encode() in content for content in files)
    print(f"{game.responses:,} hostile responses to {game.counts.total():,} calls: {dict(game.counts)}")
    print(f"errors that came out: {dict(game.errors.most_common())}")
    print(f"memory grew by {grown:.0f} MB (at most {MEGABYTES}); files with the token: {leaked}")
    print(f"promises broken: {len(game.problems)}")
    print(*game.problems[:10], sep="\n")
    return int(bool(game.problems or leaked) or grown > MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())

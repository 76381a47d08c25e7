"""The lines of the magics: words, options and their values."""

from __future__ import annotations

import argparse
import shlex
from functools import cache
from typing import NoReturn

from domo_magic.errors import TargetError

IF_RUNNING = ("start", "adopt", "error")
ON_FAILURE = ("raise", "return")


class _Parser(argparse.ArgumentParser):
    def __init__(self, magic: str) -> None:
        super().__init__(prog=f"%{magic}", add_help=False, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        if self.prog == "%domo_connect":  # what was typed may be a token
            message = "the line is one INSTANCE and options; a token is never written on it"
        raise TargetError(f"{self.prog}: {message}", f"examples: {self.prog} --help")


@cache
def parser(magic: str) -> argparse.ArgumentParser:
    """Return the parser of a magic's line.

    Examples
    --------
    >>> parser("domo_run").parse_intermixed_args(["25775", "--wait"]).wait
    True
    """
    made = _Parser(magic)
    made.add_argument("words", nargs="*")
    made.add_argument("--help", "-h", action="store_true")
    _OPTIONS[magic](made)
    if magic != "domo_connect":
        made.add_argument("--instance")
    return made


def _connect(made: argparse.ArgumentParser) -> None:
    for option in ("--sandbox", "--save", "--forget"):
        made.add_argument(option, action="store_true")


def _run(made: argparse.ArgumentParser) -> None:
    waiting = made.add_mutually_exclusive_group()
    waiting.add_argument("--wait", action="store_true", default=None)
    waiting.add_argument("--no-wait", action="store_false", dest="wait", default=None)
    waiting.add_argument("--bg", action="store_true")
    made.add_argument("--if-running", choices=IF_RUNNING)
    made.add_argument("--label")
    _wait(made)


def _wait(made: argparse.ArgumentParser) -> None:
    made.add_argument("--timeout")
    made.add_argument("--on-failure", choices=ON_FAILURE)


def _cancel(made: argparse.ArgumentParser) -> None:
    made.add_argument("--all", action="store_true")


def _runs(made: argparse.ArgumentParser) -> None:
    for option in ("--limit", "--since", "--state", "--label"):
        made.add_argument(option)


def _compare(made: argparse.ArgumentParser) -> None:
    for option in ("--limit", "--baseline"):
        made.add_argument(option)


def _streams(made: argparse.ArgumentParser) -> None:
    made.add_argument("--limit")


def _panel(_made: argparse.ArgumentParser) -> None:
    pass


_OPTIONS = {
    "domo_connect": _connect,
    "domo_run": _run,
    "domo_wait": _wait,
    "domo_cancel": _cancel,
    "domo_runs": _runs,
    "domo_compare": _compare,
    "domo_streams": _streams,
    "domo_panel": _panel,
}

#: The names of all magics.
MAGICS = tuple(_OPTIONS)


def parse(magic: str, line: str) -> argparse.Namespace:
    """Understand the line of a magic; its targets are in ``words``.

    Raises
    ------
    TargetError
        An option is not known or lacks its value, or a quote is not closed.
    """
    if "\n" in line:
        raise TargetError(
            f"%{magic}: the line has line breaks in it", "write the variable's name, without braces"
        )
    try:
        words = shlex.split(bare(line))
    except ValueError:
        raise TargetError(f"%{magic}: a quote is not closed", f"examples: %{magic} --help") from None
    return parser(magic).parse_intermixed_args(words)


def bare(line: str) -> str:
    """Return the line without a trailing comment and semicolon.

    Examples
    --------
    >>> bare("25775 --label 'a # b' ; # now")
    "25775 --label 'a # b'"
    """
    return _code(line).rstrip().rstrip(";").rstrip()


def silent(line: str) -> bool:
    """Whether the line ends with a semicolon, which hides its result."""
    return _code(line).rstrip().endswith(";")


def _code(line: str) -> str:
    quote = ""
    for at, letter in enumerate(line):
        if letter in "'\"":
            quote = "" if quote == letter else quote or letter
        elif letter == "#" and not quote and (at == 0 or line[at - 1] in " \t;"):
            return line[:at]
    return line

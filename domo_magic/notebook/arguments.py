"""The lines of the magics: words, options and their values."""

from __future__ import annotations

import argparse
import re
import shlex
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from domo_magic.errors import TargetError
from domo_magic.executions import targets

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

# Patterns are text that `re` compiles where they are first used: loading the extension costs nothing.
_NUMPY_NUMBER = r"\bnp\.\w+\(([^()]*)\)"
_UNEXPANDED = r"\{([^{}]*)\}|\$([^\W\d]\w*)"
_NAME = r"[^\W\d]\w*"
_EXPRESSION = r"([^\W\d]\w*)[.\[(][^/]*"
#: Where a target that is there several times is one.
_LISTING = ("domo_runs", "domo_compare")

IF_RUNNING = ("start", "adopt", "error")
RAISE_OR_RETURN = ("raise", "return")
_CHOICES = {
    "--if-running": IF_RUNNING,
    "--on-failure": RAISE_OR_RETURN,
    "--on-unusual": RAISE_OR_RETURN,
}
_WAITING = ("--timeout", "--on-failure", "--on-unusual", "--instance")
# The options of each magic that take a value, and those that do not.
_VALUES = {
    "domo_connect": (),
    "domo_run": ("--if-running", "--fresh", "--label", *_WAITING),
    "domo_wait": _WAITING,
    "domo_cancel": ("--instance",),
    "domo_runs": ("--limit", "--since", "--state", "--label", "--instance"),
    "domo_compare": ("--limit", "--since", "--baseline", "--instance"),
    "domo_overview": ("--since", "--limit", "--instance"),
    "domo_streams": ("--limit", "--instance"),
    "domo_panel": ("--instance",),
}
_FLAGS = {"domo_connect": ("--sandbox", "--save", "--forget"), "domo_cancel": ("--all",)}

#: The names of all magics.
MAGICS = tuple(_VALUES)


class _Parser(argparse.ArgumentParser):
    def __init__(self, magic: str) -> None:
        super().__init__(prog=f"%{magic}", add_help=False, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        from difflib import get_close_matches

        hint = f"examples: {self.prog} --help"
        _, unknown, words = message.partition("unrecognized arguments: ")
        if unknown and (meant := get_close_matches(words.split()[0], self._option_string_actions, 1)):
            hint = f"did you mean {meant[0]}? {hint}"
        if self.prog == "%domo_connect":  # what was typed may be a token
            message = "the line is one INSTANCE and options; a token is never written on it"
        raise TargetError(f"{self.prog}: {message}", hint)


@cache
def parser(magic: str) -> argparse.ArgumentParser:
    """Return the parser of a magic's line.

    Examples
    --------
    >>> parser("domo_run").parse_intermixed_args(["25775", "--wait"]).wait
    True
    """
    made = _Parser(magic)
    made.set_defaults(magic=magic, label=None)
    made.add_argument("words", nargs="*")
    made.add_argument("--help", "-h", action="store_true")
    for option in _FLAGS.get(magic, ()):
        made.add_argument(option, action="store_true")
    if magic == "domo_run":
        waiting = made.add_mutually_exclusive_group()
        waiting.add_argument("--wait", action="store_true", default=None)
        waiting.add_argument("--no-wait", action="store_false", dest="wait", default=None)
        waiting.add_argument("--bg", action="store_true")
    for option in _VALUES[magic]:
        made.add_argument(option, choices=_CHOICES.get(option))
    return made


def parse(magic: str, line: str, known: Container[str] = ()) -> argparse.Namespace:
    """Understand the line of a magic; its targets are in ``words``.

    Parameters
    ----------
    magic, line : str
        ``domo_run`` and what was written after it.
    known : container of str
        The names of the user's variables, for the words of errors.

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
        if magic not in {"domo_streams", "domo_overview"}:
            raise TargetError(f"%{magic}: a quote is not closed", f"examples: %{magic} --help") from None
        words = bare(line).split()  # an apostrophe in a name
    refuse_unexpanded(words, known)
    parsed = parser(magic).parse_intermixed_args(words)
    parsed.line = bare(line)
    return parsed


def refuse_unexpanded(words: Iterable[str], known: Container[str] = ()) -> None:
    """Refuse what IPython hands on raw: the whole line, when anything in it cannot be expanded.

    Raises
    ------
    TargetError
        Naming the first ``{...}`` or ``$name`` that is still there, is no list of ids, and not `known`.
    """
    raw = [
        dollar or inside.strip()
        for inside, dollar in re.findall(_UNEXPANDED, " ".join(words))
        if dollar or not re.fullmatch(r"[\s\d,'\"/.-]*", re.sub(_NUMPY_NUMBER, r"\1", inside))
    ]
    if raw:
        named = {each: found[0] if (found := re.match(_NAME, each)) else each for each in raw}
        name = next((each for each in raw if named[each] not in known), raw[0])
        raise TargetError(f"no variable {targets.shown(name)}", "write the name of a variable that exists")


def parse_words(
    parsed: argparse.Namespace, variables: Mapping[str, Any], meant: targets.Meant
) -> tuple[targets.Target, ...]:
    """Understand the targets of a magic's line; a bare name is a variable.

    Parameters
    ----------
    parsed : argparse.Namespace
        The line as `parse` understood it, `variables` already expanded by IPython where it could.
    variables : mapping
        The user's namespace.
    meant : {"streams", "runs"}
        As for `targets.parse`.

    Returns
    -------
    tuple of Target
        None at all where no word was written; a variable without any target is an error.

    Raises
    ------
    TargetError
        As for `targets.parse`; also for a name that is no variable, for an expression, and for the
        text of a printed object.

    Examples
    --------
    >>> parse_words(parse("domo_run", "found"), {"found": 25775}, "streams")[0].stream_id
    25775
    """
    text = re.sub(_NUMPY_NUMBER, r"\1", " ".join(parsed.words))
    if not text:
        return ()
    if "\n" in text or "..." in text or "…" in text or "dtype:" in text:
        raise TargetError(
            f"{targets.shown(text)} is the text of a printed object, not its ids",
            "write the variable's name, without braces",
        )
    if any(text.count(opening) != text.count(closing) for opening, closing in ("[]", "()", "{}")):
        raise TargetError(
            f"{targets.shown(text)} has a bracket without its other half", "write the ids alone"
        )
    found = _of_words(text, parsed, variables, meant)
    return targets.checked(found, meant, repeats=parsed.magic in _LISTING)


def _of_words(
    text: str, parsed: argparse.Namespace, variables: Mapping[str, Any], meant: targets.Meant
) -> Iterator[targets.Target]:
    for word in targets.bare(text):
        if word in variables and re.fullmatch(_NAME, word):
            yield from targets.each(variables[word], meant)
        elif re.fullmatch(_NAME, word):
            raise _unknown(word, parsed)
        elif (match := re.fullmatch(_EXPRESSION, word)) and match[1] in variables:
            whole = _expression(match[1], parsed.line)
            raise TargetError(
                f"{targets.shown(whole)} is an expression, and only a variable's name is looked up",
                f"assign it first: ids = {whole}, then %{parsed.magic} ids",
            )
        else:
            yield targets.word(word, meant)


def _expression(name: str, line: str) -> str:
    """Return the expression that begins with a variable's name, with the quotes that the words have lost."""
    found = re.search(rf"(?<!\w){name}(?=[.\[(])", line)
    start, depth = found.start() if found else 0, 0
    for at, letter in enumerate(line[start:], start):
        depth += (letter in "[({") - (letter in "])}")
        if depth == 0 and letter == " ":
            return line[start:at]
    return line[start:]


def _unknown(word: str, parsed: argparse.Namespace) -> TargetError:
    """Return the error for a name that is no variable: a DataSet's name, or a label without quotes."""
    every = " ".join(parsed.words)
    names = all(re.fullmatch(_NAME, each) for each in every.split())
    quoted = every if names else next((each for each in parsed.words if word in each.split()), word)
    hint = f"to find a stream: %domo_streams {quoted}"
    if parsed.label is not None and " " not in parsed.label:
        hint = f'a label of several words needs quotes (--label "{parsed.label} ..."); {hint}'
    return TargetError(f"no variable {targets.shown(quoted)}", hint)


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

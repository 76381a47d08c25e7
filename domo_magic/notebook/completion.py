"""Tab on a magic's line: its options, known streams with their names, unfinished runs. No request is sent."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from IPython.core.completer import SimpleCompletion, context_matcher

from domo_magic.model.formatting import cut
from domo_magic.notebook import arguments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from IPython.core.completer import CompletionContext, SimpleMatcherResult

_LINE = r"(?s)(?:^|=)\s*%?(domo_\w+)\s(.*)$"
_RUNS = ("domo_wait", "domo_cancel", "domo_compare")
_NO_STREAMS = ("domo_connect", "domo_streams", "domo_overview")
_LONGEST_NAME = 40
#: The most streams and runs that are offered.
MOST = 50


@context_matcher()  # type: ignore[untyped-decorator]
def matcher(context: CompletionContext) -> SimpleMatcherResult:
    """Complete the line of one of our magics; of any other line, nothing."""
    found = re.search(_LINE, context.text_until_cursor)
    if found is None or found[1] not in arguments.MAGICS:
        return {"completions": [], "suppress": False}
    words = re.split(r"\s+", found[2])
    fragment = words[-1]
    return {
        "completions": list(_offers(found[1], words[:-1], fragment)),
        "matched_fragment": fragment,
        "suppress": True,
        "ordered": True,
    }


def _offers(magic: str, before: list[str], fragment: str) -> Iterator[SimpleCompletion]:
    known = arguments.parser(magic)._option_string_actions  # noqa: SLF001  argparse has no other list
    last = known.get(before[-1]) if before else None
    if last is not None and last.nargs != 0:
        yield from _matching(last.choices or _values(before[-1]), "value", fragment)
    elif fragment.startswith("-"):
        yield from _matching(
            (option for option in known if option not in {*before, "-h"}), "option", fragment
        )
    elif magic not in _NO_STREAMS:
        yield from _targets(magic, fragment)


def _values(option: str) -> Iterable[str]:
    """Return what is usual after an option that takes other words as well."""
    from domo_magic.model.execution import FINAL_STATES

    return {"--baseline": ("median", "previous"), "--state": sorted(FINAL_STATES | {"ACTIVE"})}.get(
        option, ()
    )


def _matching(words: Iterable[str], kind: str, fragment: str) -> Iterator[SimpleCompletion]:
    return (SimpleCompletion(text=word, type=kind) for word in words if word.startswith(fragment))


def _targets(magic: str, fragment: str) -> Iterator[SimpleCompletion]:
    if "domo_magic.executions.session" not in sys.modules:  # it brings requests, and nothing is connected yet
        return
    from domo_magic.executions.session import latest_session

    session = latest_session()
    if session is None:
        return
    if magic in _RUNS:
        for run in session.history.unfinished(session.instance, MOST):
            yield from _matching([run.run], _kind(run.name, "run"), fragment)
    for stream_id, name in session.history.find_streams(session.instance, fragment, MOST):
        yield SimpleCompletion(text=str(stream_id), type=_kind(name, "stream"))


def _kind(name: str | None, otherwise: str) -> str:
    """Return a name as front ends show it beside an offer: JupyterLab wraps two words over each other."""
    return cut(name, _LONGEST_NAME).replace(" ", "\u00a0") if name else otherwise

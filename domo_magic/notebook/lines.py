"""What all magics do with their line: understand it, look up variables and settings, hide a result."""

from __future__ import annotations

from inspect import getdoc
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.magic import Magics, magics_class
from traitlets import Any as AnyTrait

from domo_magic.errors import ConfigurationError, TargetError
from domo_magic.executions import targets, times
from domo_magic.notebook import arguments

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

_T = TypeVar("_T")


@magics_class
class LineMagics(Magics):
    """Magics with our settings: ``%config DomoMagics`` shows them."""

    # Any, and checked where they are used: a bad value of a typed trait is only logged.
    wait = AnyTrait(default_value=False, help="whether %domo_run waits: True or False").tag(config=True)
    timeout = AnyTrait(
        default_value=None, help="how long waiting lasts at most: 90, 10m, 2h; None: no limit"
    ).tag(config=True)
    if_running = AnyTrait(
        default_value="start", help="what %domo_run does with an unfinished run: start, adopt or error"
    ).tag(config=True)
    on_failure = AnyTrait(default_value="raise", help="what a failed run does: raise or return").tag(
        config=True
    )

    def _parsed(self, magic: str, line: str) -> Namespace | None:
        """Understand the line; None when it asked for help, which is printed."""
        asked = arguments.parse(magic, line, self._ipython.user_ns)
        if asked.help:
            print(getdoc(getattr(type(self), magic)))  # noqa: T201
            return None
        return asked

    def _targets(self, asked: Namespace, meant: targets.Meant, local_ns: Mapping[str, Any] | None) -> Any:
        if not asked.words:
            return None
        variables = {**self._ipython.user_ns, **(local_ns or {})}
        return arguments.parse_words(asked, variables, meant)

    def _frame(self, asked: Namespace, local_ns: Mapping[str, Any] | None) -> Any:
        """Return the frame of runs that the line names, or None where it names something else."""
        if len(asked.words) != 1:
            return None
        value = {**self._ipython.user_ns, **(local_ns or {})}.get(asked.words[0])
        return value if targets.holds_runs(value) else None

    def _setting(self, name: str, asked: Any, allowed: tuple[Any, ...]) -> Any:
        """Return what the line says, else the setting, which is checked here."""
        if asked is not None:
            return asked
        value = getattr(self, name)
        if not any(value is good or (isinstance(good, str) and value == good) for good in allowed):
            words = ", ".join(str(good) for good in allowed)
            raise ConfigurationError(
                f"the setting DomoMagics.{name} is {value!r}", f"%config DomoMagics.{name} = one of: {words}"
            )
        return value

    def _timeout(self, asked: Namespace) -> Any:
        if asked.timeout is not None or self.timeout is None:
            return asked.timeout
        try:
            return times.seconds(self.timeout)
        except TargetError:
            raise ConfigurationError(
                f"the setting DomoMagics.timeout is {self.timeout!r}", "%config DomoMagics.timeout = '10m'"
            ) from None

    @property
    def _ipython(self) -> Any:
        return self.shell

    def _shown(self, magic: str, line: str, result: _T) -> _T | None:
        """Return the result, or nothing where a semicolon ends the cell and it is not assigned."""
        if not arguments.silent(line):
            return result
        cell = self._ipython.history_manager.input_hist_raw[-1].strip()
        return None if cell.rpartition("\n")[2].lstrip().startswith((f"%{magic}", magic)) else result

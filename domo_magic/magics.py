"""The magics: they understand a line, call the function of the same name, and return its frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.magic import Magics, line_magic, magics_class, needs_local_scope
from traitlets import Any as AnyTrait

from domo_magic import options, targets
from domo_magic.errors import ConfigurationError, TargetError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    import pandas as pd
    from IPython.core.interactiveshell import InteractiveShell

_T = TypeVar("_T")


@magics_class
class DomoMagics(Magics):
    """Run Domo connectors from a notebook.

    Examples
    --------
    ``%config DomoMagics.wait = True`` makes every ``%domo_run`` wait.
    """

    # Any, and checked where they are used: a bad value of a typed trait is only logged.
    wait = AnyTrait(default_value=False, help="whether %%domo_run waits: True or False").tag(config=True)
    timeout = AnyTrait(
        default_value=None, help="how long waiting lasts at most: 90, 10m, 2h; None: no limit"
    ).tag(config=True)
    if_running = AnyTrait(
        default_value="start", help="what %%domo_run does with an unfinished run: start, adopt or error"
    ).tag(config=True)
    on_failure = AnyTrait(default_value="raise", help="what a failed run does: raise or return").tag(
        config=True
    )

    @needs_local_scope
    @line_magic
    def domo_connect(self, line: str = "", local_ns: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Choose the Domo for what follows.

        ::

            %domo_connect mycompany                # its token from the environment, the keyring, or asked for
            %domo_connect                          # what DOMO_INSTANCE says
            %domo_connect --sandbox                # a Domo of its own, to try without an account
            %domo_connect mycompany --save         # keep the token in the system's keyring
            %domo_connect mycompany --forget       # remove it from there

        INSTANCE is ``mycompany``, ``mycompany.domo.com`` or a full ``https://`` address. A token is
        never written on the line: it is asked for without echo.
        """
        from domo_magic.asking import connect

        asked = self._parsed("domo_connect", line)
        if asked is not None:
            connect(asked.words, sandbox=asked.sandbox, save=asked.save, forget=asked.forget)

    @needs_local_scope
    @line_magic
    def domo_run(self, line: str = "", local_ns: Mapping[str, Any] | None = None) -> pd.DataFrame | None:
        """Start connectors; one DataFrame row for each.

        ::

            %domo_run 25775                        # start it; its row, at once
            run = %domo_run 25775 --wait           # stay until it has ended, with live progress
            %domo_run 25775 25776 --wait           # several at the same time
            %domo_run found --bg                   # the ids in a variable; the line keeps itself up to date
            %domo_run 25775 --wait --timeout 2h --if-running adopt

        A target is a stream's id, a DataSet's id, the address of a DataSet's page, or a variable with
        such things, also a frame with a column streamId.

        --wait, --no-wait    stay until every run has ended, or not
        --bg                 return at once; the line follows the run
        --timeout T          how long to wait at most: 90, 90s, 10m, 2h
        --if-running WHAT    where a run is unfinished: start another one, adopt it, or error
        --label TEXT         a name for these runs, kept in the history
        --on-failure WHAT    whether a failed run raises, or returns its row: raise, return
        --instance NAME      another instance than the one last connected
        """
        asked = self._parsed("domo_run", line)
        if asked is None:
            return None
        from domo_magic import api

        wait = self._setting("wait", asked.wait, (True, False))
        rows = api.run(
            self._targets(asked, "streams", local_ns),
            wait=wait and not asked.bg,
            timeout=self._timeout(asked) if asked.timeout or (wait and not asked.bg) else None,
            if_running=self._setting("if_running", asked.if_running, options.IF_RUNNING),
            label=asked.label,
            on_failure=self._setting("on_failure", asked.on_failure, options.ON_FAILURE),
            instance=asked.instance,
        )
        return self._shown("domo_run", line, rows)

    def _parsed(self, magic: str, line: str) -> Namespace | None:
        """Understand the line; None when it asked for help, which is printed."""
        asked = options.parse(magic, line)
        if asked.help:
            print(getattr(type(self), magic).__doc__)  # noqa: T201
            return None
        return asked

    def _targets(self, asked: Namespace, meant: targets.Meant, local_ns: Mapping[str, Any] | None) -> Any:  # noqa: ANN401
        variables = {**self._ipython.user_ns, **(local_ns or {})}
        return options.parse_words(asked.words, variables, meant)

    def _setting(self, name: str, asked: Any, allowed: tuple[Any, ...]) -> Any:  # noqa: ANN401
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

    def _timeout(self, asked: Namespace) -> Any:  # noqa: ANN401
        if asked.timeout is not None or self.timeout is None:
            return asked.timeout
        try:
            return targets.seconds(self.timeout)
        except TargetError:
            raise ConfigurationError(
                f"the setting DomoMagics.timeout is {self.timeout!r}", "%config DomoMagics.timeout = '10m'"
            ) from None

    @property
    def _ipython(self) -> Any:  # noqa: ANN401
        return self.shell

    def _shown(self, magic: str, line: str, result: _T) -> _T | None:
        """Return the result, or nothing where a semicolon ends the cell and it is not assigned."""
        if not options.silent(line):
            return result
        cell = self._ipython.history_manager.input_hist_raw[-1].strip()
        return None if cell.rpartition("\n")[2].lstrip().startswith((f"%{magic}", magic)) else result


def load(shell: InteractiveShell) -> None:
    """Register the magics."""
    shell.register_magics(DomoMagics)


def unload(shell: InteractiveShell) -> None:
    """Remove the magics."""
    for name in options.MAGICS:
        shell.magics_manager.magics["line"].pop(name, None)
    shell.magics_manager.registry.pop("DomoMagics", None)
    shell.configurables[:] = [each for each in shell.configurables if not isinstance(each, DomoMagics)]

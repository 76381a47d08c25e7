"""The magics: they understand a line, call the function of the same name, and return its frame."""

from __future__ import annotations

from contextlib import suppress
from inspect import getdoc
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_magic, magics_class, needs_local_scope
from traitlets import Any as AnyTrait
from traitlets import observe

from domo_magic.errors import ConfigurationError, TargetError
from domo_magic.executions import targets
from domo_magic.model.formatting import set_timezone
from domo_magic.notebook import arguments

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping

    import pandas as pd
    from IPython.core.interactiveshell import InteractiveShell

    from domo_magic.widget.panel import Panel


def _magic(work: Callable[[DomoMagics, Namespace, Mapping[str, Any]], object]) -> Any:
    """Make a magic of what is done with its parsed line and the user's variables."""

    def magic(self: DomoMagics, line: str = "", local_ns: Mapping[str, Any] | None = None) -> object:
        self._check_timezone()
        variables = {**self._ipython.user_ns, **(local_ns or {})}
        parsed = arguments.parse(work.__name__, line, variables)
        if parsed.help:
            print(getdoc(work))  # noqa: T201
            return None
        result = work(self, parsed, variables)
        return None if self._hidden(work.__name__, line) else result

    # Not `functools.wraps`: IPython 7 would take the signature of what is wrapped for the magic's own.
    magic.__name__, magic.__doc__ = work.__name__, work.__doc__
    return needs_local_scope(line_magic(magic))


def _option(text: str, *, default: object = None) -> Any:
    """Make a setting of anything, checked where it is used: a bad value of a typed trait is only logged."""
    return AnyTrait(default_value=default, help=text).tag(config=True)


@magics_class
class DomoMagics(Magics):
    """Run Domo connectors from a notebook.

    Examples
    --------
    ``%config DomoMagics.wait = True`` makes every ``%domo_run`` wait.
    """

    wait = _option("whether %domo_run waits: True or False", default=False)
    timeout = _option("how long waiting lasts at most: 90, 10m, 2h; None: no limit")
    if_running = _option("what %domo_run does with an unfinished run: start, adopt or error", default="start")
    on_failure = _option("what a failed run does: raise or return", default="raise")
    on_unusual = _option("what a run that is not usual does: return or raise", default="return")
    timezone = _option("zone of the times that are read: 'Europe/Berlin', 'UTC'; None: the machine's")

    @_magic
    def domo_connect(self, parsed: Namespace, _variables: Mapping[str, Any]) -> None:
        """Choose the Domo for what follows.

            %domo_connect mycompany                # its token from the environment, the keyring, or a prompt
            %domo_connect                          # what DOMO_INSTANCE says
            %domo_connect --sandbox                # a Domo of its own, to try without an account
            %domo_connect mycompany --save         # keep the token in the system's keyring
            %domo_connect mycompany --forget       # remove it from there

        INSTANCE is ``mycompany``, ``mycompany.domo.com`` or a full ``https://`` address. A token is
        never written on the line: the prompt has no echo.
        """
        from domo_magic.notebook.login import connect

        connect(parsed.words, sandbox=parsed.sandbox, save=parsed.save, forget=parsed.forget)

    @_magic
    def domo_run(self, parsed: Namespace, variables: Mapping[str, Any]) -> pd.DataFrame:
        """Start connectors; one DataFrame row for each.

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
        --fresh T            a stream that succeeded within T is not started again, its run is returned
        --label TEXT         a name for these runs, kept in the history
        --on-failure WHAT    whether a failed run raises, or returns its row: raise, return
        --on-unusual WHAT    whether a run that is not usual returns its row, or raises: return, raise
        --instance NAME      another instance than the one last connected
        """
        from domo_magic import api

        wait = self._setting("wait", parsed.wait, (True, False)) and not parsed.bg
        streams = _targets(parsed, "streams", variables)
        if streams is None:
            raise TargetError(
                "%domo_run: no stream was named", "write its id (25775); to find it: %domo_streams sales"
            )
        if parsed.bg and parsed.timeout is not None:
            raise TargetError("timeout has no effect with --bg, where nothing waits", "leave one of them out")
        if_running = self._setting("if_running", parsed.if_running, arguments.IF_RUNNING)
        return api.run_unless(
            streams,
            api.unless(if_running, parsed.fresh, written=parsed.if_running is not None),
            wait=wait,
            background=parsed.bg,
            timeout=self._timeout(parsed) if wait else parsed.timeout,
            label=parsed.label,
            on_failure=self._setting("on_failure", parsed.on_failure, arguments.RAISE_OR_RETURN),
            on_unusual=self._setting("on_unusual", parsed.on_unusual, arguments.RAISE_OR_RETURN),
            instance=parsed.instance,
        )

    @_magic
    def domo_wait(self, parsed: Namespace, variables: Mapping[str, Any]) -> pd.DataFrame:
        """Stay until runs have ended.

            %domo_wait 25775/2                     # this run
            %domo_wait 25775                       # the stream's newest run
            %domo_wait run --timeout 2h            # the runs in a frame
            %domo_wait                             # what was started here in the last 24 hours

        --timeout T          how long to wait at most: 90, 90s, 10m, 2h
        --on-failure WHAT    whether a failed run raises, or returns its row: raise, return
        --on-unusual WHAT    whether a run that is not usual returns its row, or raises: return, raise
        --instance NAME      another instance than the one last connected
        """
        from domo_magic import api

        return api.wait(
            _targets(parsed, "runs", variables),
            timeout=self._timeout(parsed),
            on_failure=self._setting("on_failure", parsed.on_failure, arguments.RAISE_OR_RETURN),
            on_unusual=self._setting("on_unusual", parsed.on_unusual, arguments.RAISE_OR_RETURN),
            instance=parsed.instance,
        )

    @_magic
    def domo_cancel(self, parsed: Namespace, variables: Mapping[str, Any]) -> pd.DataFrame:
        """Abort runs, and follow them until Domo says that they have ended.

            %domo_cancel 25775/2                   # this run
            %domo_cancel 25775                     # the stream's unfinished run, if it is the only one
            %domo_cancel 25775 --all               # all of its unfinished runs, stuck ones too

        --all                all unfinished runs of the streams, also where a run or a frame names them
        --instance NAME      another instance than the one last connected
        """
        from domo_magic import api

        meant = _targets(parsed, "runs", variables)
        if meant is None:
            raise TargetError(
                "%domo_cancel: no run or stream was named",
                "write a run (25775/2) or a stream (25775); with --all, all unfinished runs of the stream",
            )
        return api.cancel(meant, all=parsed.all, instance=parsed.instance)

    @_magic
    def domo_runs(self, parsed: Namespace, variables: Mapping[str, Any]) -> pd.DataFrame:
        """List runs, newest first.

            %domo_runs                             # what was started, waited for or cancelled here
            %domo_runs 25775                       # a stream's runs, by Domo's own history
            %domo_runs 25775 --since 7d --state ERROR
            %domo_runs --label nightly --limit 500

        --limit N            the most rows, 100 by default
        --since T            only runs that began after that: 90m, 12h, 7d or a date
        --state S            only runs in this state: SUCCESS, ERROR, ACTIVE, ...
        --label TEXT         only runs with this label
        --instance NAME      another instance than the one last connected
        """
        from domo_magic import api

        return api.runs(
            _targets(parsed, "streams", variables),
            limit=parsed.limit or 100,
            since=parsed.since,
            state=parsed.state,
            label=parsed.label,
            instance=parsed.instance,
        )

    @_magic
    def domo_compare(self, parsed: Namespace, variables: Mapping[str, Any]) -> pd.DataFrame:
        """Compare runs with what is usual for their stream.

            %domo_compare 25775                    # its newest 20 runs
            %domo_compare 25775/2                  # this run
            %domo_compare 25775/2 --baseline 25775/1
            %domo_compare run                      # the runs in a frame
            %domo_compare 25775 --since 12h        # its runs since then, however many
            %domo_compare                          # every stream with a run recorded here

        --limit N            runs of each stream, 20 by default
        --since T            the runs that began after that: 90m, 12h, 7d or a date
        --baseline WHAT      median of the last 20 successful runs, the previous one, or a run
        --instance NAME      another instance than the one last connected
        """
        from domo_magic import api

        return api.compare(
            _targets(parsed, "runs", variables),
            limit=parsed.limit or 20,
            since=parsed.since,
            baseline=parsed.baseline or "median",
            instance=parsed.instance,
        )

    @_magic
    def domo_streams(self, parsed: Namespace, _variables: Mapping[str, Any]) -> pd.DataFrame:
        """Find streams by the name of their DataSet.

            %domo_streams sales                    # those with "sales" in their name
            %domo_streams sales orders             # the text is the rest of the line
            %domo_streams                          # all

        --limit N            the most rows, 50 by default
        --instance NAME      another instance than the one last connected
        """
        from domo_magic import api

        return api.streams(" ".join(parsed.words), limit=parsed.limit or 50, instance=parsed.instance)

    @_magic
    def domo_overview(self, parsed: Namespace, _variables: Mapping[str, Any]) -> pd.DataFrame:
        """Judge every connector by its newest run: one row each, worst first.

            %domo_overview                         # every connector: what went wrong since yesterday
            %domo_overview sales                   # those with "sales" in the name of their DataSet
            o = %domo_overview --since 7d          # then failed = o[o.verdict == "failed"]

        --since T            from when on runs and failures are counted, 24h by default: 12h, 7d or a date
        --limit N            the most rows, 1000 by default
        --instance NAME      another instance than the one last connected
        """
        from domo_magic import api

        return api.overview(
            " ".join(parsed.words),
            since=parsed.since or "24h",
            limit=parsed.limit or 1000,
            instance=parsed.instance,
        )

    @_magic
    def domo_panel(self, parsed: Namespace, variables: Mapping[str, Any]) -> Panel:
        """Run, follow and compare with buttons.

            %domo_panel 25775                      # this stream's runs
            %domo_panel                            # the runs recorded here
            p = %domo_panel 25775                  # p.runs, p.selected and p.last are frames

        --instance NAME      another instance than the one last connected
        """
        from domo_magic.widget.panel import panel

        streams = _targets(parsed, "streams", variables)
        return panel(*([] if streams is None else [streams]), instance=parsed.instance)

    # What all of them do with their line

    @observe("timezone")
    def _use_timezone(self, _change: object) -> None:
        with suppress(ValueError):  # an error where it is used: one in here would only be logged
            set_timezone(self.timezone)

    def _check_timezone(self) -> None:
        try:
            set_timezone(self.timezone)
        except ValueError as error:
            raise ConfigurationError(
                f"the setting DomoMagics.timezone is {self.timezone!r}", "%config DomoMagics.timezone = 'UTC'"
            ) from error

    def _setting(self, name: str, parsed: Any, allowed: tuple[Any, ...]) -> Any:
        """Return what the line says, else the setting, which is checked here."""
        if parsed is not None:
            return parsed
        value = getattr(self, name)
        if not any(value is good or (isinstance(good, str) and value == good) for good in allowed):
            words = ", ".join(str(good) for good in allowed)
            raise ConfigurationError(
                f"the setting DomoMagics.{name} is {value!r}", f"%config DomoMagics.{name} = one of: {words}"
            )
        return value

    def _timeout(self, parsed: Namespace) -> Any:
        if parsed.timeout is not None or self.timeout is None:
            return parsed.timeout
        try:
            return targets.seconds(self.timeout)
        except TargetError:
            raise ConfigurationError(
                f"the setting DomoMagics.timeout is {self.timeout!r}", "%config DomoMagics.timeout = '10m'"
            ) from None

    @property
    def _ipython(self) -> Any:
        return self.shell

    def _hidden(self, magic: str, line: str) -> bool:
        """Return True where a semicolon ends the cell and what the magic returns is not assigned."""
        if not arguments.silent(line):
            return False
        cell = self._ipython.history_manager.input_hist_raw[-1].strip()
        return bool(cell.rpartition("\n")[2].lstrip().startswith((f"%{magic}", magic)))


def _targets(parsed: Namespace, meant: targets.Meant, variables: Mapping[str, Any]) -> Any:
    """Return what the line names: None, a frame of runs as it is, or targets."""
    if not parsed.words:
        return None
    if len(parsed.words) == 1 and targets.holds_runs(frame := variables.get(parsed.words[0])):
        return frame
    return arguments.parse_words(parsed, variables, meant)


def load(shell: InteractiveShell) -> None:
    """Register the magics and their completion."""
    shell.register_magics(DomoMagics)
    if (completer := _completer(shell)) is not None:
        from domo_magic.notebook.completion import matcher

        completer.custom_matchers.append(matcher)


def _completer(shell: InteractiveShell) -> Any:
    """Return what completes, if it takes matchers with a context: IPython 7, which Colab has, does not."""
    from IPython.core import completer

    return getattr(shell, "Completer", None) if hasattr(completer, "context_matcher") else None


def unload(shell: InteractiveShell) -> None:
    """Remove the magics and their completion."""
    if (completer := _completer(shell)) is not None:
        from domo_magic.notebook.completion import matcher

        completer.custom_matchers[:] = [each for each in completer.custom_matchers if each is not matcher]
    for name in arguments.MAGICS:
        shell.magics_manager.magics["line"].pop(name, None)
    shell.magics_manager.registry.pop("DomoMagics", None)
    shell.configurables[:] = [each for each in shell.configurables if not isinstance(each, DomoMagics)]

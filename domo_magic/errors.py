"""Everything that can go wrong, each with what happened and what to do.

::

    Exception
    └── DomoError
        ├── ConfigurationError      instance, token or setting
        ├── TargetError             a target, an option or its value (also a ValueError)
        ├── ConnectionFailed        no response; a start raises it only if nothing was started
        ├── TriggerOutcomeUnknown   a start may have reached Domo
        ├── ApiError                Domo said no: status, message, toe
        │   ├── AuthenticationError     401, 403
        │   ├── NotFound                404
        │   └── RateLimited             429
        ├── InvalidResponse         Domo's response makes no sense
        ├── RunFailed               a run ended in anything but SUCCESS
        ├── RunUnusual              a run succeeded, but is not like the others
        ├── RunTimeout              a run had not ended in time
        └── AlreadyRunning          a run is unfinished, and another was not wanted

    KeyboardInterrupt
    └── RunInterrupted              waiting was interrupted; the run goes on
"""

from __future__ import annotations

import logging
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from domo_magic.model.execution import Execution

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class _Told:
    """What all our errors share: two sentences, the rows, and a short face in IPython."""

    executions: tuple[Execution, ...] = ()

    def __init__(self, summary: str, hint: str = "") -> None:
        super().__init__(summary, hint)  # type: ignore[call-arg]  # of the exception mixed with
        self.summary = summary
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.summary}\n{self.hint}" if self.hint else self.summary
        # Whatever a server said: no terminal is told anything by it, and every kernel can send it.
        return "".join(c if c.isprintable() or c == "\n" else " " for c in text)

    @property
    def rows(self) -> pd.DataFrame:
        """The runs this is about, one row each, in the order given; empty where nothing is known.

        Returns
        -------
        pandas.DataFrame
            The columns of every row. A stream that did not start has an empty ``executionId``.

        Examples
        --------
        >>> DomoError("nothing happened").rows.shape
        (0, 35)
        """
        from domo_magic.model.frame import frame

        return frame(self.executions)

    def about(self, executions: Sequence[Execution]) -> Self:
        """Say which runs this is about, and return the error itself."""
        self.executions = tuple(executions)
        return self

    def _render_traceback_(self) -> list[str]:
        # IPython calls this instead of printing the stack (ipyparallel does the same).
        return [f"\x1b[31m{type(self).__name__}\x1b[0m: {self}"]


class DomoError(_Told, Exception):
    """Anything that domo_magic could not do.

    Parameters
    ----------
    summary : str
        What happened, one sentence.
    hint : str, optional
        What to do about it, the second line of the message.

    Attributes
    ----------
    summary, hint : str
        The two sentences.
    executions : tuple of Execution
        The runs this is about; `rows` shows them as a frame.

    Examples
    --------
    >>> print(DomoError("it broke", "mend it"))
    it broke
    mend it
    """


class ConfigurationError(DomoError):
    """The instance, the token or a setting is missing or unusable."""


class TargetError(DomoError, ValueError):
    """A target, an option or its value cannot be understood; nothing was sent."""


class ConnectionFailed(DomoError):
    """Domo could not be reached, or did not respond; a start raises it only where nothing was started.

    Attributes
    ----------
    sent : bool
        Whether the request may have reached Domo.
    refused : bool
        Whether nobody listened, which passes while a server is started again.
    """

    sent: bool = True
    refused: bool = False


class TriggerOutcomeUnknown(DomoError):
    """A start may have reached Domo, but no response says so."""


class ApiError(DomoError):
    """Domo refused a request.

    Attributes
    ----------
    status : int
        The HTTP status; 0 where there was none.
    message : str
        Domo's own words.
    toe : str
        Domo's trace of the request, for its support.
    """

    def __init__(
        self, summary: str, hint: str = "", *, status: int = 0, message: str = "", toe: str = ""
    ) -> None:
        super().__init__(summary, hint)
        self.status = status
        self.message = message
        self.toe = toe


class AuthenticationError(ApiError):
    """401 or 403: the token is wrong, or may not do this."""


class NotFound(ApiError):
    """404: no such stream, execution or DataSet."""


class RateLimited(ApiError):
    """429: too many requests."""


class InvalidResponse(DomoError):
    """Domo's response is not what it should be: HTML, cut off, too large, of the wrong shape."""


class RunFailed(DomoError):
    """A run ended in anything but SUCCESS."""


class RunUnusual(DomoError):
    """A run succeeded, but its verdict is not ``usual``; raised only where that was wanted."""


class RunTimeout(DomoError):
    """A run had not ended when the timeout was over; it continues in Domo."""


class AlreadyRunning(DomoError):
    """The stream has an unfinished run that should not get company."""


class RunInterrupted(_Told, KeyboardInterrupt):
    """Waiting was interrupted; the run goes on at Domo.

    A `KeyboardInterrupt` and no `DomoError`, so that ``except Exception`` never swallows a Stop.

    Parameters
    ----------
    summary, hint : str
        What happened and what to do.
    """


class DomoWarning(UserWarning):
    """Something that a user should know although nothing failed."""


def warn(text: str, kind: type[UserWarning] = DomoWarning, *, sent: bool = False) -> None:
    """Warn without a line of code beside it: what was written is right.

    Where a user's filter makes an error of it, that is raised only before anything was `sent`.
    """
    try:
        warnings.warn_explicit(text, kind, "domo_magic", 1)
    except kind:
        if not sent:
            raise
        logging.getLogger("domo_magic").warning(text)


def need_package(package: str, what: str) -> None:
    """Refuse what the package of an extra is needed for, where that is not installed.

    Raises
    ------
    ConfigurationError
        Telling how to install it.
    """
    try:
        import_module(package)
    except ImportError:
        raise ConfigurationError(
            f"{what} needs {package}, which is not installed", f"pip install {package}"
        ) from None


def attempted(work: Callable[[_Item], _Result]) -> Callable[[_Item], _Result | DomoError]:
    """Return the same with a `DomoError` as a result, where others are done beside it."""

    def attempt(item: _Item) -> _Result | DomoError:
        try:
            return work(item)
        except DomoError as error:
            return error

    return attempt


class Warn:
    """Collects what is to be said, from any thread, and says it once."""

    def __init__(self) -> None:
        self._said: dict[str, None] = {}

    def __call__(self, text: str) -> None:
        """Take note of it."""
        self._said[text] = None

    def now(self) -> None:
        """Say it."""
        for text in self._said:
            warn(text)

"""Run Domo connectors from a notebook.

In a notebook ``%load_ext domo_magic`` brings the magics ``%domo_run``, ``%domo_wait`` and their kin; in
Python ``import domo_magic as domo`` brings functions of the same names. Loading either costs nothing:
pandas, requests and ipywidgets are imported when they are first needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from domo_magic.analysis.export import read_parquet
    from domo_magic.api import cancel, connect, run, wait
    from domo_magic.errors import (
        AlreadyRunning,
        ApiError,
        AuthenticationError,
        ConfigurationError,
        ConnectionFailed,
        DomoError,
        InvalidResponse,
        NotFound,
        RateLimited,
        RunFailed,
        RunInterrupted,
        RunTimeout,
        TargetError,
        TriggerOutcomeUnknown,
    )
    from domo_magic.panels import panel
    from domo_magic.reading import compare, plot, runs, streams
    from domo_magic.sandbox import Sandbox

__all__ = [
    "AlreadyRunning",
    "ApiError",
    "AuthenticationError",
    "ConfigurationError",
    "ConnectionFailed",
    "DomoError",
    "InvalidResponse",
    "NotFound",
    "RateLimited",
    "RunFailed",
    "RunInterrupted",
    "RunTimeout",
    "Sandbox",
    "TargetError",
    "TriggerOutcomeUnknown",
    "cancel",
    "compare",
    "connect",
    "panel",
    "plot",
    "read_parquet",
    "run",
    "runs",
    "streams",
    "wait",
]

# Where each public name lives, resolved when it is first asked for; the others are errors.
_ROOMS = {
    **dict.fromkeys(("cancel", "connect", "run", "wait"), "api"),
    **dict.fromkeys(("compare", "plot", "runs", "streams"), "reading"),
    "read_parquet": "analysis.export",
    "Sandbox": "sandbox",
    "panel": "panels",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("domo-magic")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Bring the magics: ``%load_ext domo_magic``."""
    from domo_magic.notebook.magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics away, and everything else that was brought: ``%unload_ext domo_magic``."""
    from domo_magic.notebook.magics import unload

    unload(shell)

"""Run Domo connectors from a notebook.

In a notebook ``%load_ext domo_magic`` brings the magics ``%domo_run``, ``%domo_wait`` and others; in
Python ``import domo_magic as domo`` brings functions of the same names. Loading either costs nothing:
pandas, requests and ipywidgets are imported when they are first needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from domo_magic.analysis.export import read_parquet
    from domo_magic.api import cancel, collect, compare, connect, overview, plot, run, runs, streams, wait
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
        RunUnusual,
        TargetError,
        TriggerOutcomeUnknown,
    )
    from domo_magic.sandbox import Sandbox
    from domo_magic.widget.panel import panel

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
    "RunUnusual",
    "Sandbox",
    "TargetError",
    "TriggerOutcomeUnknown",
    "cancel",
    "collect",
    "compare",
    "connect",
    "overview",
    "panel",
    "plot",
    "read_parquet",
    "run",
    "runs",
    "streams",
    "wait",
]

# Where each public name lives, resolved when it is first used; the others are errors.
_ROOMS = {
    **dict.fromkeys(
        ("cancel", "collect", "compare", "connect", "overview", "plot", "run", "runs", "streams", "wait"),
        "api",
    ),
    "read_parquet": "analysis.export",
    "Sandbox": "sandbox",
    "panel": "widget.panel",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from domo_magic.version import VERSION

        return VERSION
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics: ``%load_ext domo_magic``."""
    from domo_magic.notebook.magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Remove the magics, and everything else that was registered: ``%unload_ext domo_magic``."""
    from domo_magic.notebook.magics import unload

    unload(shell)

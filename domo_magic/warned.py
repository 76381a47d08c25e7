"""What a person should know although what was asked for was done."""

from __future__ import annotations

import logging
import warnings


class DomoWarning(UserWarning):
    """Something that a person should know although what was asked for was done."""


def warn(text: str, kind: type[UserWarning] = DomoWarning, *, sent: bool = False) -> None:
    """Warn without a line of code beside it: what was written is right.

    Where a person's filter makes an error of it, that is raised only before anything was `sent`.
    """
    try:
        warnings.warn_explicit(text, kind, "domo_magic", 1)
    except kind:
        if not sent:
            raise
        logging.getLogger("domo_magic").warning(text)


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

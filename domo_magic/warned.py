"""What a person should know although what was asked for was done."""

from __future__ import annotations

import warnings


class DomoWarning(UserWarning):
    """Something that a person should know although what was asked for was done."""


class Warn:
    """Collects what is to be said, from any thread, and says it once."""

    def __init__(self) -> None:
        self._said: dict[str, None] = {}

    def __call__(self, text: str) -> None:
        """Take note of it."""
        self._said[text] = None

    def now(self) -> None:
        """Say it, as if by the caller's caller."""
        for text in self._said:
            warnings.warn(text, DomoWarning, stacklevel=3)

"""The magics, their arguments, completion and login."""

from __future__ import annotations

"""Where lines go, and the progress of runs in them."""

from __future__ import annotations

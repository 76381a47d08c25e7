"""What was started and seen here, in one SQLite file."""

from __future__ import annotations

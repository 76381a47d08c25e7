"""One run of a connector and its frame: no network, no disk, no screen."""

from __future__ import annotations

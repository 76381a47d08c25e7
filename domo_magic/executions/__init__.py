"""The use cases: start, reconcile, follow, list, cancel and compare executions."""

from __future__ import annotations

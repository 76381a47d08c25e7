"""Frames of runs: baselines, verdicts, plots and files; no network."""

from __future__ import annotations

"""The panel, made of ipywidgets."""

from __future__ import annotations

"""Every connector of an instance, and very many streams of several."""

from __future__ import annotations

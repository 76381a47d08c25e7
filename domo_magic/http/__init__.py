"""Domo over HTTP: addresses, tokens, requests and their retries."""

from __future__ import annotations

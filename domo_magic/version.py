"""The version, of the package itself: it may run from a folder that nothing was installed from."""

from __future__ import annotations

VERSION = "0.2.0"

"""Get a browser for the tests: one that is there, Debian's where we may install it, else Playwright's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> int:
    """Return 0 when there is a browser."""
    if any(map(shutil.which, NAMES)):
        return 0
    if shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "-qq"], check=True, **quiet)
        packages = ["chromium", "fonts-dejavu-core"]
        return subprocess.run(["apt-get", "install", "-y", "-qq", *packages], check=False, **quiet).returncode
    return subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

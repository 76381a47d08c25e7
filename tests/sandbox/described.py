"""Hold the sandbox against its description, `/openapi.json`, with schemathesis.

``.venv/bin/python tests/sandbox/described.py`` sends more than 10,000 requests, right and wrong ones, alone
and in sequences, and fails if a response is not as described. The description is written from what is known
of Domo; so a finding is a fault of the sandbox, or a mistake in what is said of Domo.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from tempfile import TemporaryDirectory

from domo_magic.sandbox import Sandbox

LONG = 500
"""Requests drawn for each of the 18 operations, more than 10,000 with those that are not drawn."""
RUN = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"


def described(drawn: int, seed: int = 1) -> subprocess.CompletedProcess[str]:
    """Send requests to a sandbox of its own; return what schemathesis found.

    Parameters
    ----------
    drawn : int
        Requests drawn for each operation; without any, borderline values alone.
    seed : int
        What they are drawn from.
    """
    phases = "examples,coverage,fuzzing,stateful" if drawn else "coverage"
    with Sandbox() as sandbox, TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-c", RUN, "run", f"{sandbox.url}/openapi.json"),
            *("--header", f"X-DOMO-Developer-Token: {sandbox.token}"),
            *("--phases", phases, "--max-examples", str(drawn or 1), "--seed", str(seed)),
            *("--generation-database", "none", "--no-color"),
        ]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def main() -> int:
    """Run the long form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drawn", type=int, default=LONG, help=f"requests for each operation ({LONG})")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    found = described(arguments.drawn, arguments.seed)
    print(found.stdout, found.stderr)
    return found.returncode


if __name__ == "__main__":
    sys.exit(main())

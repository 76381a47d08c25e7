"""``python -m domo_magic.sandbox [--port N]``: a Domo on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading

from domo_magic.sandbox import Sandbox

PORT = 25775
TOKEN = "sandbox-token"  # noqa: S105 - made up, and documented

_LINES = """\
A Domo of its own at {url}, until Ctrl-C. Nothing leaves this machine.

In the shell that starts Jupyter or IPython (the token is made up):

    export DOMO_DEVELOPER_TOKEN={token}

In a notebook:

    %load_ext domo_magic
    %domo_connect {url}
    %domo_run 25775

The documented call, bare:

    curl -X POST -H 'X-DOMO-Developer-Token: {token}' -H 'Content-Type: application/json' \
-d '{{"runType": "MANUAL"}}' {url}/api/data/v1/streams/25775/executions

All that it understands: {url}/openapi.json
"""


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m domo_magic.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help=f"port on 127.0.0.1 ({PORT}); 0: a free one")
    port = parser.parse_args(arguments).port
    try:
        sandbox = Sandbox(port=port, token=TOKEN).start()
    except OSError as error:
        sys.stderr.write(f"port {port} cannot be used: {error.strerror}\ntake a free one: --port 0\n")
        return 1
    with sandbox, contextlib.suppress(KeyboardInterrupt):
        sys.stdout.write(_LINES.format(url=sandbox.url, token=TOKEN))
        sys.stdout.flush()
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())

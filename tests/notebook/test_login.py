"""The prompt for a token: hidden, or not there at all."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

PROGRAM = """
from domo_magic.errors import ConfigurationError
from domo_magic.notebook import login
try:
    login.connect(["mycompany"], sandbox=False, save=False, forget=False)
except ConfigurationError as error:
    print(error)
else:
    print("connected")
"""
SECRET = b"s3cr3t-0123456789abcdef"


def test_where_typing_cannot_be_hidden_the_prompt_refuses() -> None:
    """No terminal whose echo can be turned off: nothing is asked, and what was typed ahead is not read."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=SECRET,
        capture_output=True,
        check=True,
        start_new_session=True,
        timeout=60,
    )
    assert b"what is typed here cannot be hidden" in done.stdout
    assert b"set DOMO_MYCOMPANY_DEVELOPER_TOKEN in the environment" in done.stdout
    assert b"Developer token" not in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_in_a_terminal_what_is_typed_is_hidden() -> None:
    """Asked for in a real terminal, the token is taken and not echoed."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", PROGRAM])  # noqa: S606
    shown = b""
    while b"Developer token for mycompany.domo.com: " not in shown:
        shown += os.read(terminal, 4096)
    os.write(terminal, SECRET + b"\n")
    try:
        while more := os.read(terminal, 4096):
            shown += more
    except OSError:  # the terminal's end
        pass
    os.waitpid(child, 0)
    assert b"connected" in shown
    assert SECRET not in shown

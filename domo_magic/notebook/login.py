"""`%domo_connect`: the only one that prompts for a token."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from domo_magic import api
from domo_magic.display.output import screen
from domo_magic.errors import ConfigurationError, RunInterrupted, TargetError
from domo_magic.executions.session import latest_session
from domo_magic.http import credentials
from domo_magic.http.credentials import (
    Login,
    Token,
    check_token,
    find_token,
    own_variable,
    resolve_address,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domo_magic.http.address import Address


def connect(words: Sequence[str], *, sandbox: bool, save: bool, forget: bool) -> None:
    """Do what the line of ``%domo_connect`` says.

    Raises
    ------
    TargetError
        More than an instance was written.
    ConfigurationError
        No instance is known, it is not safe, or no token is to be had.
    """
    if len(words) > 1:
        raise TargetError(
            "%domo_connect takes one INSTANCE, and a token is never written on the line",
            "write %domo_connect mycompany; it prompts for the token",
        )
    if sandbox:
        if words or save or forget:
            raise TargetError(
                "the sandbox brings its own address and token", "write %domo_connect --sandbox alone"
            )
        api.connect(sandbox=True)
        return
    try:
        where = resolve_address(words[0] if words else None)
    except ConfigurationError:
        if words or save or forget or (connected := latest_session()) is None:
            raise
        screen().say(("running", f"still using {connected.login.address.host}"))
        return
    if forget:
        had = "removed from the keyring" if credentials.forget(where) else "was not in the keyring"
        screen().say(("good", f"token for {where.host} {had}"))
        return
    if save:
        credentials.need_keyring()  # before a prompt for what could not be kept
    login = find_token(where) or _prompt(where)
    if save:
        credentials.save(login)
        screen().say(("good", f"token for {where.host} kept in the keyring"))
    api.use(login)


def _prompt(where: Address) -> Login:
    """Prompt for the token where typing can be hidden, and nowhere else."""
    from getpass import GetPassWarning, getpass

    hint = f"set {own_variable(where)} in the environment"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", GetPassWarning)  # given before anything is typed
            typed = Token(getpass(f"Developer token for {where.host}: "))
    except GetPassWarning:
        raise ConfigurationError(
            f"no token for {where.host}, and what is typed here cannot be hidden", hint
        ) from None
    except (EOFError, RuntimeError) as error:  # RuntimeError: nobody is there (nbconvert, papermill)
        raise ConfigurationError(f"no token for {where.host}, and nobody to type it", hint) from error
    except KeyboardInterrupt:
        raise RunInterrupted(
            "the prompt for a token was interrupted; nothing has changed",
            f"to try again: %domo_connect {where.written}",
        ) from None
    return Login(where, check_token(typed, "the prompt"), "the prompt")

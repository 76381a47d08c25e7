"""Which Domo, and with which token: arguments, environment, keyring."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from domo_magic.errors import ConfigurationError
from domo_magic.http.address import Address, address

if TYPE_CHECKING:
    from collections.abc import Mapping

_SERVICE = "domo_magic"
_ANY_INSTANCE = ("DOMO_DEVELOPER_TOKEN", "DOMO_ACCESS_TOKEN")
_WAYS = (
    "%domo_connect mycompany asks for the token; or set DOMO_INSTANCE and DOMO_DEVELOPER_TOKEN; "
    "or %domo_connect --sandbox to try without an account"
)


class Token(str):
    """A token that cannot be printed: ``repr``, ``str``, ``format`` and pickle say nothing of it.

    Examples
    --------
    >>> print(Token("abc"))
    <token>
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "<token>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("<token>", spec)

    def __copy__(self) -> Token:
        return self

    def __deepcopy__(self, _memo: object) -> Token:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a token is not pickled (vcrpy: filter_headers=['X-DOMO-Developer-Token'])")

    def reveal(self) -> str:
        """Return the token's characters, for the header and for blanking it out."""
        return "".join(self)


@dataclass(frozen=True, slots=True)
class Login:
    """An address with its token, and where the token came from (never a character of it)."""

    address: Address
    token: Token
    source: str


def check_token(text: object, source: str) -> Token:
    """Return a token that is safe in a header.

    Parameters
    ----------
    text : object
        The token, surrounding white space allowed.
    source : str
        Where it came from, for the error.

    Raises
    ------
    ConfigurationError
        It is empty, no text, or has anything but printable ASCII; no character of it is shown.
    """
    token = text.strip() if isinstance(text, str) else None
    if not token:
        raise ConfigurationError(
            f"the token from {source} is empty", "make one in Domo: Admin > Authentication > Access Tokens"
        )
    if not all("!" <= letter <= "~" for letter in token):
        raise ConfigurationError(
            f"the token from {source} has characters that no token has (a space, a line break, or not ASCII)",
            "copy it again from Domo, the token alone",
        )
    return Token(token)


def resolve(instance: str | None, token: str | None, environ: Mapping[str, str] | None = None) -> Login:
    """Find the instance and its token: arguments, then the environment, then the keyring.

    Raises
    ------
    ConfigurationError
        Nothing names an instance, or there is no token that may be sent to it.
    """
    environ = os.environ if environ is None else environ
    where = resolve_address(instance, environ)
    found = find_token(where, token, environ)
    if found is None:
        raise ConfigurationError(f"no token for {where.host}", _missing_token(where, environ))
    return found


def resolve_address(instance: str | None, environ: Mapping[str, str]) -> Address:
    """Find the instance: the argument, ``DOMO_INSTANCE``, ``DOMO_HOST``."""
    if instance is not None:
        return address(instance)
    named = _environment_instance(environ)
    if named is None:
        raise ConfigurationError("no Domo instance is known", _WAYS)
    return address(named)


def find_token(where: Address, token: str | None, environ: Mapping[str, str]) -> Login | None:
    """Find a token that may be sent there, or None."""
    if token is not None:
        return Login(where, check_token(token, "the argument"), "the argument")
    for variable in (own_variable(where), *(_ANY_INSTANCE if _shared_allowed(where, environ) else ())):
        if environ.get(variable):
            return Login(where, check_token(environ[variable], variable), variable)
    kept = _from_keyring(where)
    return Login(where, check_token(kept, "the keyring"), "the keyring") if kept else None


def own_variable(where: Address) -> str:
    """Return the variable that holds the token of this instance alone.

    Examples
    --------
    >>> own_variable(address("my-company"))
    'DOMO_MY_COMPANY_DEVELOPER_TOKEN'
    """
    return f"DOMO_{re.sub('[^A-Z0-9]', '_', where.instance.upper())}_DEVELOPER_TOKEN"


def _missing_token(where: Address, environ: Mapping[str, str]) -> str:
    shared = f" or {_ANY_INSTANCE[0]}" if _shared_allowed(where, environ) else ""
    ways = f"%domo_connect {where.written} asks for it; or set {own_variable(where)}{shared}"
    return f"{ways}; or %domo_connect --sandbox to try without" if where.trusted else ways


def _environment_instance(environ: Mapping[str, str]) -> str | None:
    return environ.get("DOMO_INSTANCE") or environ.get("DOMO_HOST") or None


def _shared_allowed(where: Address, environ: Mapping[str, str]) -> bool:
    named = _environment_instance(environ)
    if named is None:
        return where.trusted
    try:
        return address(named) == where
    except ConfigurationError:
        return False


def _from_keyring(where: Address) -> str | None:
    try:
        import keyring
    except ImportError:
        return None
    try:
        kept: str | None = keyring.get_password(_SERVICE, where.instance)
    except Exception:  # noqa: BLE001  a broken or locked keyring is one that holds nothing
        return None
    return kept


def check_keyring() -> None:
    """See whether tokens can be kept.

    Raises
    ------
    ConfigurationError
        The package for the system's keyring is not installed.
    """
    try:
        import keyring  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            "the package keyring, which keeps tokens, is not installed", "pip install 'domo-magic[keyring]'"
        ) from None


def save(login: Login) -> None:
    """Keep the token in the system's keyring.

    Raises
    ------
    ConfigurationError
        There is no keyring, or it refuses.
    """
    _keyring_do("set_password", login.address.instance, login.token.reveal())


def forget(where: Address) -> bool:
    """Remove the instance's token from the system's keyring; return whether there was one.

    Raises
    ------
    ConfigurationError
        There is no keyring, or it refuses.
    """
    if _from_keyring(where) is None:
        _keyring_do("get_password", where.instance)
        return False
    _keyring_do("delete_password", where.instance)
    return True


def _keyring_do(what: str, *args: str) -> None:
    check_keyring()
    import keyring

    try:
        getattr(keyring, what)(_SERVICE, *args)
    except Exception as error:  # noqa: BLE001  every backend has errors of its own
        # `from None`: a backend's error may hold what it was to keep.
        raise ConfigurationError(
            f"the system's keyring refused ({type(error).__name__})", "set DOMO_DEVELOPER_TOKEN instead"
        ) from None

"""Which Domo, and with which token: arguments, environment, keyring."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from typing import NoReturn, Self

from domo_magic.errors import ConfigurationError, need_package, warn
from domo_magic.http.address import Address, address
from domo_magic.model.concurrency import in_time

_SERVICE = "domo_magic"
_ANY_INSTANCE = ("DOMO_DEVELOPER_TOKEN", "DOMO_ACCESS_TOKEN")
# Seconds for a keyring to respond, and where a user may have to unlock it first.
_KEYRING, _UNLOCKING = 5.0, 60.0
_silent = threading.Event()
# What people paste with a token.
_NOT_ALONE = {
    r"""["'`].*|.*["'`]""": "has quotes around it",
    r"(?i)bearer\b.*": "begins with 'Bearer'",
    r"(?i)x-domo-developer-token.*": "begins with the header's name",
    r"(?i)(export |set )?\s*[a-z_]\w*\s*=\s*[^\s=].*": "is written as NAME=value",
    r"(?s).*[\r\n].*": "has a line break in it",
    r"(?s).*[^!-~].*": "has characters that no token has (a space, or not ASCII)",
}
_WAYS = (
    "%domo_connect mycompany prompts for the token; or set DOMO_INSTANCE and DOMO_DEVELOPER_TOKEN; "
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

    def __new__(cls, text: str) -> Self:
        """Return the token; of a token it is the same, whose text would be ``<token>``."""
        return text if isinstance(text, cls) else super().__new__(cls, text)

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
        It is empty, not text, has quotes, a name or ``Bearer`` around it, or anything but printable
        ASCII; no character of it is shown.
    """
    text = Token(text.strip()) if isinstance(text, str) else None  # no frame shows it
    if not text:
        flaw = "is not text" if text is None else "is empty"
        raise ConfigurationError(
            f"the token from {source} {flaw}", "make one in Domo: Admin > Authentication > Access Tokens"
        )
    for pattern, flaw in _NOT_ALONE.items():
        if re.fullmatch(pattern, text):
            raise ConfigurationError(
                f"the token from {source} {flaw}", "give the token alone, copied again from Domo"
            )
    return text


def resolve(instance: str | None, token: str | None) -> Login:
    """Find the instance and its token: arguments, then the environment, then the keyring.

    Raises
    ------
    ConfigurationError
        Nothing names an instance, or there is no token that may be sent to it.
    """
    token = Token(token) if isinstance(token, str) else token
    where = resolve_address(instance)
    found = find_token(where, token)
    if found is None:
        raise ConfigurationError(f"no token for {where.host}", _missing_token(where))
    return found


def resolve_address(instance: str | None) -> Address:
    """Find the instance: the argument, ``DOMO_INSTANCE``, ``DOMO_HOST``."""
    named = _environment_instance() if instance is None else instance
    if named is None:
        raise ConfigurationError("no Domo instance is known", _WAYS)
    return address(named)


def find_token(where: Address, token: Token | None = None) -> Login | None:
    """Find a token that may be sent there, or None."""
    if token is not None:
        return Login(where, check_token(token, "the argument"), "the argument")
    for variable in (own_variable(where), *(_ANY_INSTANCE if _shared_allowed(where) else ())):
        if os.environ.get(variable):
            return Login(where, check_token(os.environ[variable], variable), variable)
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


def _missing_token(where: Address) -> str:
    shared = f" or {_ANY_INSTANCE[0]}" if _shared_allowed(where) else ""
    ways = f"%domo_connect {where.written} prompts for it; or set {own_variable(where)}{shared}"
    return f"{ways}; or %domo_connect --sandbox to try without" if where.trusted else ways


def _environment_instance() -> str | None:
    return os.environ.get("DOMO_INSTANCE") or os.environ.get("DOMO_HOST") or None


def _shared_allowed(where: Address) -> bool:
    named = _environment_instance()
    if named is None:
        return where.trusted
    try:
        return address(named) == where
    except ConfigurationError:
        return False


def _from_keyring(where: Address) -> Token | None:
    """Return the token that the keyring holds; a broken, locked or silent one holds nothing."""
    if _silent.is_set():
        return None
    try:
        return _keyring("get_password", where.instance, within=_KEYRING)
    except TimeoutError:
        _silent.set()
        warn(f"the system's keyring did not respond within {_KEYRING:g} s, and is passed over")
    except Exception:  # noqa: BLE001, S110  every backend has errors of its own
        pass
    return None


def _keyring(what: str, *args: str, within: float) -> Token | None:
    """Have the keyring do something, on a thread: some wait for ever for a service that is not there."""

    def work() -> Token | None:
        import keyring

        kept = getattr(keyring, what)(_SERVICE, *("".join(each) for each in args))
        return Token(kept) if isinstance(kept, str) else None

    return in_time(work, within)


def need_keyring() -> None:
    """Refuse to keep tokens where nothing can.

    Raises
    ------
    ConfigurationError
        The package for the system's keyring is not installed.
    """
    need_package("keyring", "keeping a token")


def save(login: Login) -> None:
    """Keep the token in the system's keyring.

    Raises
    ------
    ConfigurationError
        There is no keyring, or it refuses.
    """
    _keyring_do("set_password", login.address.instance, login.token)


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
    need_keyring()
    try:
        _keyring(what, *args, within=_UNLOCKING)
    except Exception as error:  # noqa: BLE001  every backend has errors of its own
        # `from None`: a backend's error may hold what it was to keep.
        raise ConfigurationError(
            f"the system's keyring refused ({type(error).__name__})", "set DOMO_DEVELOPER_TOKEN instead"
        ) from None

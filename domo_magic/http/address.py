"""Where a Domo is: the names and addresses that people write, and which are safe. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlsplit

from domo_magic.errors import ConfigurationError

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_COMPANY = re.compile(_LABEL, re.IGNORECASE)
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_DOMO = ".domo.com"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Domo is.

    Attributes
    ----------
    instance : str
        The name before ``.domo.com``, or the whole host and port of any other address.
    url : str
        ``https://mycompany.domo.com``.
    """

    instance: str
    url: str

    @property
    def host(self) -> str:
        """Host and port."""
        return self.url.partition("://")[2]

    @property
    def written(self) -> str:
        """What a user writes for it."""
        return self.instance if self.host == f"{self.instance}{_DOMO}" else self.url

    @property
    def trusted(self) -> bool:
        """True if a token meant for no particular instance may go there: Domo's hosts and loopback."""
        name = urlsplit(self.url).hostname or ""
        return name.endswith(_DOMO) or _loopback(name)


def address(text: object) -> Address:
    """Understand an instance: ``company``, ``company.domo.com`` or an ``https://`` address.

    Raises
    ------
    ConfigurationError
        It is none of these, or not safe to send a token to; says why.

    Examples
    --------
    >>> address("mycompany").url
    'https://mycompany.domo.com'
    >>> address("http://127.0.0.1:8765").instance
    '127.0.0.1:8765'
    """
    if not isinstance(text, str):
        _refuse(repr(type(text).__name__), "it is not text")
    word = text.strip()
    if not word:
        _refuse(word, "it is empty")
    if word[0] in "\"'`" or word[-1] in "\"'`":
        _refuse(word, "it has quotes around it")
    if re.match(r"[A-Za-z_]+=", word):
        _refuse(word, "it is written as NAME=value")
    if not word.isascii() or not word.isprintable() or " " in word or "\\" in word:
        _refuse(word, "it has characters that an address cannot have")
    return _full_address(word) if "://" in word else _short_address(word)


def _short_address(word: str) -> Address:
    where = word.lower().rstrip("/")
    if _loopback(where.partition(":")[0]):
        _refuse(word, "for this machine the full address is needed", f"write http://{where}")
    name = where.removesuffix(_DOMO)
    if not _COMPANY.fullmatch(name):
        _refuse(
            word,
            "it is not a valid instance name, and a host other than NAME.domo.com needs its https:// address",
        )
    return Address(name, f"https://{name}{_DOMO}")


def _full_address(word: str) -> Address:
    try:
        parts = urlsplit(word)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        _refuse(word, "it is not a valid address")
    if "@" in parts.netloc:
        _refuse(parts.hostname or "", "an address with a user or password in it is never used")
    if parts.scheme not in {"https", "http"} or not host or port == 0:
        _refuse(word, "it is not a valid https:// address")
    if parts.scheme == "http" and not _loopback(host):
        _refuse(word, "without https the token could be read on the way")
    bare_ip = _ip(host)
    if not bare_ip and (not _HOST.fullmatch(host) or ("." not in host and host != "localhost")):
        _refuse(word, "its host is not a full name")
    shown_host = f"[{host}]" if ":" in host else host
    default = {"https": 443, "http": 80}[parts.scheme]
    where = shown_host if port in (None, default) else f"{shown_host}:{port}"
    company = where.removesuffix(_DOMO)
    # One label alone: a.b.domo.com and https://a.b must never share a token.
    named = company != where and _COMPANY.fullmatch(company)
    return Address(company if named else where, f"{parts.scheme}://{where}")


def _refuse(
    word: str,
    why: str,
    hint: str = "name the instance as mycompany, mycompany.domo.com or its full https:// address",
) -> NoReturn:
    raise ConfigurationError(f"{word[:80]!r} cannot be connected to: {why}", hint)


def _ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _loopback(host: str) -> bool:
    return host == "localhost" or (_ip(host) and ipaddress.ip_address(host).is_loopback)

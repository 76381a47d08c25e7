"""What went wrong before a response was there: the library's own reason, and where to look."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import urllib3
from requests import exceptions as broken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What every error of `requests` and `urllib3` means in our words, most specific first.
MEANINGS: tuple[tuple[type[BaseException], str], ...] = (
    (broken.ProxyError, "the proxy refused"),
    (broken.SSLError, "the secure connection failed"),
    (broken.ConnectTimeout, "no connection within {connect:g} s"),
    (broken.ReadTimeout, "no response within {response:g} s"),
    (broken.Timeout, "no response in time"),
    (broken.InvalidProxyURL, "the proxy's address in the environment is not valid"),
    (broken.InvalidURL, "the address is not valid"),
    (broken.ChunkedEncodingError, "the response was cut off"),
    (broken.ContentDecodingError, "the response's compression is broken"),
    (broken.ConnectionError, "the connection was closed"),
    (broken.RequestException, "the request failed"),
    (urllib3.exceptions.ReadTimeoutError, "the response did not arrive whole within {response:g} s"),
    (urllib3.exceptions.DecodeError, "the response's compression is broken"),
    (urllib3.exceptions.HTTPError, "the response was cut off"),
    (TimeoutError, "the response did not arrive whole within {response:g} s"),
    (OSError, "the connection failed"),
    (ValueError, "the response is not HTTP"),
    (Exception, "the request failed"),
)
# What proves that no byte was sent, where a stand-in for our connections says so.
_BEFORE_SENDING = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.SSLError,
    urllib3.exceptions.ProxyError,
    broken.ConnectTimeout,
    broken.InvalidURL,
    broken.MissingSchema,
    broken.InvalidSchema,
    broken.InvalidHeader,
)
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_NETWORK = "check the network and the instance's name, then try again"
# OpenSSL's reasons, each with what to do.
_TLS_HINTS = {
    r"mismatch|not valid for|doesn't match": "the certificate is for another host: check the address",
    r"expired|not yet valid": "check this machine's date; if it is right, the certificate has to be renewed",
    r"Missing .* Key Identifier|marked critical|not critical|[Kk]ey usage (extension|key)|[Nn]on-CA": (
        "Python 3.13 and newer check certificates strictly: this one, a company proxy's perhaps, has to be"
        " made anew; Python 3.12 takes it"
    ),
    r"(?i)wrong.version|http.request|record.layer|unknown.protocol|packet.length": (
        "the other side does not speak TLS there: check the address and its port, and HTTPS_PROXY"
    ),
    r"X509|PEM|NO_CERT|NO_START_LINE|unknown error": "{bundle} has to name a file of certificates (PEM)",
    r"": "behind a company's proxy, point {bundle} at a file with the company's certificates (PEM)",
}


def meaning(
    error: BaseException, deadlines: tuple[float, float], proxies: Mapping[str, str], *, sent: bool | None
) -> str:
    """Return what an error means; where nothing was sent, with the library's own reason.

    Parameters
    ----------
    error : Exception
        What a library raised.
    deadlines : tuple of float
        Seconds to connect, and for a response.
    proxies : mapping
        Those in use.
    sent : bool or None
        Whether a byte of the request was sent; None: nobody knows.
    """
    words = next(words for kind, words in MEANINGS if isinstance(error, kind))
    if sent is False and isinstance(error, broken.ReadTimeout):
        words = "no connection within {connect:g} s"  # a proxy, or TLS, is silent
    words = words.format(connect=deadlines[0], response=deadlines[1])
    chain = list(causes(error))
    if any(isinstance(each, urllib3.exceptions.NameResolutionError) for each in chain):
        return "the host was not found"
    if any(isinstance(each, urllib3.exceptions.NewConnectionError) for each in chain):
        words = "the connection was refused" if refused(error) else "no connection could be made"
    if proxies and isinstance(error, TypeError | broken.InvalidURL):
        words = "the proxy's address in the environment is not valid"
    if sent is not False or isinstance(error, broken.ConnectTimeout):
        return words
    reason = _reason(chain)
    return f"{words}: {reason}" if reason else words


def proves_unsent(error: BaseException) -> bool:
    """Return True if an error that a stand-in for our connections raised proves that nothing was sent."""
    return any(isinstance(each, _BEFORE_SENDING) for each in causes(error))


def refused(error: BaseException) -> bool:
    """Return True if nobody listened."""
    return any(isinstance(each, ConnectionRefusedError) for each in causes(error))


def hint(error: BaseException, proxies: Mapping[str, str]) -> str:
    """Return what to do about an error, and which variable of the environment to look at."""
    chain = list(causes(error))
    bundle = next((name for name in _BUNDLES if os.environ.get(name)), _BUNDLES[0])
    if any(isinstance(each, ssl.SSLError | broken.SSLError) for each in chain):
        reason = _reason(chain)
        advice = next(text for pattern, text in _TLS_HINTS.items() if re.search(pattern, reason))
        if Path(os.environ.get(bundle, os.devnull)).is_dir():
            advice = "{bundle} names a folder; it has to name a file of certificates (PEM)"
        return advice.format(bundle=bundle)
    if "bundle" in str(error):
        return f"look at {bundle} in the environment: it has to name a file of certificates in PEM"
    if proxies or isinstance(error, broken.ProxyError | broken.InvalidProxyURL):
        variable = next((name for name in _PROXIES if os.environ.get(name)), _PROXIES[0])
        if "SOCKS" in str(error) and isinstance(error, broken.InvalidSchema):
            return f"{variable} names a SOCKS proxy, which needs a package: pip install 'requests[socks]'"
        return f"look at {variable} and NO_PROXY in the environment; most proxies are http:// addresses"
    return _NETWORK


def _reason(chain: list[BaseException]) -> str:
    """Return the library's own words, on one line, without the password of a proxy."""
    tls = next((each for each in chain if isinstance(each, ssl.SSLError)), None)
    first = chain[-1] if tls is None else tls
    text = getattr(first, "verify_message", "") or getattr(first, "strerror", None) or str(first)
    return without_password(re.sub(r"\s*\(_ssl\.c:\d+\)", "", text.splitlines()[0] if text else ""))


def without_password(text: str) -> str:
    """Return a text without the user and the password of an address in it."""
    return re.sub(r"//[^/\s]*@", "//", text)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and what led to it, the first cause last."""
    for _ in range(20):
        if error is None:
            return
        yield error
        inside = [*error.args, getattr(error, "reason", None), error.__cause__, error.__context__]
        error = next((each for each in inside if isinstance(each, BaseException)), None)

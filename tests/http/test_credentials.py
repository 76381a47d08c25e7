"""Which Domo, and with which token; what may be sent where; and that a token is never seen."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import sys
import threading
import time
import traceback
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn
from unittest.mock import patch

import pytest

from domo_magic import api
from domo_magic.errors import ConfigurationError, DomoWarning
from domo_magic.executions.session import current_session
from domo_magic.http import credentials
from domo_magic.http.address import address
from domo_magic.http.credentials import (
    Login,
    Token,
    check_token,
    forget,
    own_variable,
    save,
)

if TYPE_CHECKING:
    from domo_magic.http.address import Address

SECRET = "s3cr3t-0123456789abcdef"
OTHER = "0ther-s3cr3t"


def resolve(instance: str | None, token: str | None, environ: dict[str, str]) -> Login:
    """Find the instance and its token where this is the environment."""
    with patch.dict(os.environ, environ):
        return credentials.resolve(instance, token)


def find_token(where: Address, token: str | None, environ: dict[str, str]) -> Login | None:
    """Find a token where this is the environment."""
    with patch.dict(os.environ, environ):
        return credentials.find_token(where, None if token is None else Token(token))


class Keyring(ModuleType):
    """A keyring that keeps everything in a dict."""

    def __init__(self) -> None:
        super().__init__("keyring")
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, name: str) -> str | None:
        """Give what is kept, or None."""
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, password: str) -> None:
        """Keep it."""
        self.kept[service, name] = password

    def delete_password(self, service: str, name: str) -> None:
        """Forget it."""
        del self.kept[service, name]


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> Keyring:
    """Give an empty keyring."""
    fake = Keyring()
    monkeypatch.setitem(sys.modules, "keyring", fake)
    credentials._silent.clear()
    return fake


@pytest.mark.parametrize(
    "text, instance, url",
    [
        ("mycompany", "mycompany", "https://mycompany.domo.com"),
        ("MyCompany", "mycompany", "https://mycompany.domo.com"),
        (" mycompany.domo.com ", "mycompany", "https://mycompany.domo.com"),
        ("mycompany.domo.com/", "mycompany", "https://mycompany.domo.com"),
        ("https://mycompany.domo.com", "mycompany", "https://mycompany.domo.com"),
        ("HTTPS://MyCompany.Domo.com:443/datasources?x#y", "mycompany", "https://mycompany.domo.com"),
        ("https://mycompany.domo.com:8443", "mycompany.domo.com:8443", "https://mycompany.domo.com:8443"),
        ("https://mycompany.evil.example", "mycompany.evil.example", "https://mycompany.evil.example"),
        ("https://domo.com.evil.example", "domo.com.evil.example", "https://domo.com.evil.example"),
        ("https://my.company.domo.com", "my.company.domo.com", "https://my.company.domo.com"),
        ("https://my.company", "my.company", "https://my.company"),
        ("http://127.0.0.1:8765", "127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("http://localhost:80", "localhost", "http://localhost"),
        ("http://[::1]:8765", "[::1]:8765", "http://[::1]:8765"),
    ],
)
def test_an_instance_is_a_name_a_host_or_an_address(text: str, instance: str, url: str) -> None:
    """INSTANCE is the name before .domo.com; for any other address the whole host and port."""
    found = address(text)
    assert (found.instance, found.url) == (instance, url)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "my company",
        "my_company",
        "my.company",
        "my.company.domo.com",
        "-mycompany",
        "mycompany.example.com",
        "mycompany/evil",
        "mycompany\n.evil",
        "my\\company",
        "mycompanÿ",
        "mycompany@evil.example",
        "evil.example/.domo.com",
        "evil.example#.domo.com",
        "evil.example?.domo.com",
        "http://mycompany.domo.com",
        "http://192.0.2.1",
        "ftp://mycompany.domo.com",
        "file:///etc/passwd",
        "https://",
        "https:///mycompany",
        "https://mycompany",
        "https://user:password@mycompany.domo.com",
        "https://mycompany.domo.com@evil.example",
        "https://mycompany.domo.com:0",
        "https://mycompany.domo.com:99999",
        "https://mycompany.domo.com:x",
        "https://[::1",
        "https://my company.domo.com",
        "https://evil.example\\.domo.com",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        None,
        7,
    ],
)
def test_what_is_no_safe_address_is_refused_with_a_reason(text: object) -> None:
    """Every refusal says why, and what an instance looks like; a password in it is not shown."""
    with pytest.raises(ConfigurationError, match="cannot be connected to: ") as caught:
        address(text)
    assert "mycompany.domo.com" in caught.value.hint
    assert "password" not in caught.value.summary.replace("user or password", "")


@pytest.mark.parametrize(
    "text, trusted",
    [
        ("mycompany", True),
        ("https://mycompany.domo.com:8443", True),
        ("http://127.0.0.1:1", True),
        ("http://localhost:1", True),
        ("http://[::1]:1", True),
        ("https://mycompany.evil.example", False),
        ("https://domo.com", False),
        ("https://evildomo.com", False),
        ("https://mycompany.domo.com.evil.example", False),
    ],
)
def test_only_domos_hosts_and_loopback_are_trusted(text: str, trusted: bool) -> None:  # noqa: FBT001
    """A token meant for no particular instance may go to *.domo.com and to this machine."""
    assert address(text).trusted == trusted


@pytest.mark.parametrize(
    "text, variable",
    [
        ("mycompany", "DOMO_MYCOMPANY_DEVELOPER_TOKEN"),
        ("my-company2", "DOMO_MY_COMPANY2_DEVELOPER_TOKEN"),
        ("https://mycompany.evil.example", "DOMO_MYCOMPANY_EVIL_EXAMPLE_DEVELOPER_TOKEN"),
        ("http://127.0.0.1:8765", "DOMO_127_0_0_1_8765_DEVELOPER_TOKEN"),
    ],
)
def test_each_instance_has_a_variable_of_its_own(text: str, variable: str) -> None:
    """Upper case, everything but letters and digits as _."""
    assert own_variable(address(text)) == variable


def test_the_order_is_argument_environment_keyring(keyring: Keyring) -> None:
    """The first token that is given counts, and its source is known."""
    keyring.kept["domo_magic", "mycompany"] = SECRET
    environ = {
        "DOMO_INSTANCE": "mycompany",
        "DOMO_MYCOMPANY_DEVELOPER_TOKEN": SECRET,
        "DOMO_DEVELOPER_TOKEN": SECRET,
        "DOMO_ACCESS_TOKEN": SECRET,
    }
    assert resolve("mycompany", SECRET, environ).source == "the argument"
    for variable in list(environ)[1:]:
        assert resolve(None, None, environ).source == variable
        del environ[variable]
    found = resolve(None, None, environ)
    assert (found.source, "".join(found.token)) == ("the keyring", SECRET)
    keyring.kept.clear()
    with pytest.raises(ConfigurationError, match=r"no token for mycompany\.domo\.com"):
        resolve(None, None, environ)


def test_the_instance_is_the_argument_or_the_environments() -> None:
    """An argument before DOMO_INSTANCE before DOMO_HOST; empty variables are none."""
    environ = {"DOMO_INSTANCE": "one", "DOMO_HOST": "two.domo.com"}
    assert resolve("three", SECRET, environ).address.instance == "three"
    assert resolve(None, SECRET, environ).address.instance == "one"
    assert resolve(None, SECRET, environ | {"DOMO_INSTANCE": ""}).address.instance == "two"


@pytest.mark.parametrize("variable", ["DOMO_DEVELOPER_TOKEN", "DOMO_ACCESS_TOKEN"])
@pytest.mark.parametrize(
    "named, where, sent",
    [
        (None, "mycompany", True),
        (None, "http://127.0.0.1:8765", True),
        (None, "https://mycompany.evil.example", False),
        ("mycompany", "mycompany", True),
        ("mycompany", "https://mycompany.domo.com", True),
        ("mycompany.domo.com", "mycompany", True),
        ("mycompany", "other", False),
        ("mycompany", "http://127.0.0.1:8765", False),
        ("mycompany", "https://mycompany.evil.example", False),
        ("mycompany", "https://mycompany.domo.com:8443", False),
        ("https://mycompany.evil.example", "https://mycompany.evil.example", True),
        ("https://mycompany.evil.example", "mycompany", False),
        ("not an instance", "mycompany", False),
    ],
)
def test_a_shared_token_belongs_to_the_instance_in_the_environment(
    variable: str,
    named: str | None,
    where: str,
    sent: bool,  # noqa: FBT001
) -> None:
    """With an instance named there it goes to no other; without, only to Domo's hosts and loopback."""
    environ = {variable: SECRET} | ({} if named is None else {"DOMO_INSTANCE": named})
    found = find_token(address(where), None, environ)
    assert (found is not None) == sent
    if found is not None:
        assert (found.source, "".join(found.token)) == (variable, SECRET)


def test_any_host_takes_a_token_that_is_meant_for_it(keyring: Keyring) -> None:
    """Argument, its own variable and the keyring work for hosts that are not Domo's."""
    where = address("https://mycompany.evil.example")
    own = {"DOMO_MYCOMPANY_EVIL_EXAMPLE_DEVELOPER_TOKEN": SECRET, "DOMO_MYCOMPANY_DEVELOPER_TOKEN": OTHER}
    for found in (find_token(where, SECRET, {}), find_token(where, None, own)):
        assert found is not None
        assert "".join(found.token) == SECRET
    keyring.kept["domo_magic", "mycompany.evil.example"] = SECRET
    found = find_token(where, None, {"DOMO_MYCOMPANY_DEVELOPER_TOKEN": OTHER})
    assert found is not None
    assert found.source == "the keyring"


def test_nothing_known_shows_the_ways_and_the_sandbox() -> None:
    """Without anything the error says how to begin."""
    with pytest.raises(ConfigurationError) as caught:
        resolve(None, None, {})
    assert caught.value.summary == "no Domo instance is known"
    for way in ("%domo_connect mycompany", "DOMO_INSTANCE", "DOMO_DEVELOPER_TOKEN", "--sandbox"):
        assert way in caught.value.hint


def test_a_missing_token_shows_only_what_may_be_used() -> None:
    """For a host that is not Domo's the shared variables are not offered."""
    with pytest.raises(ConfigurationError) as ours:
        resolve("mycompany", None, {})
    with pytest.raises(ConfigurationError) as theirs:
        resolve("https://mycompany.evil.example", None, {})
    assert " DOMO_DEVELOPER_TOKEN" in ours.value.hint
    assert " DOMO_DEVELOPER_TOKEN" not in theirs.value.hint
    assert "DOMO_MYCOMPANY_EVIL_EXAMPLE_DEVELOPER_TOKEN" in theirs.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        None,
        7,
        b"abc",
        f"{SECRET}\nX: y",
        f"{SECRET} {OTHER}",
        f"{SECRET}é",
        f"{SECRET}\x00",
        f"{SECRET}\x7f",
    ],
)
def test_a_token_that_is_not_safe_in_a_header_is_refused_unseen(text: object) -> None:
    """Only printable ASCII without spaces; the refusal has the source and no character of the token."""
    with pytest.raises(ConfigurationError, match="the token from DOMO_DEVELOPER_TOKEN") as caught:
        check_token(text, "DOMO_DEVELOPER_TOKEN")
    assert SECRET not in str(caught.value)
    assert SECRET[:6] not in repr(caught.value.args)


@pytest.mark.parametrize(
    "text, flaw",
    [
        (f'"{SECRET}"', "has quotes around it"),
        (f"'{SECRET}", "has quotes around it"),
        (f"DOMO_DEVELOPER_TOKEN={SECRET}", "is written as NAME=value"),
        (f"export DOMO_TOKEN = {SECRET}", "is written as NAME=value"),
        (f"Bearer {SECRET}", "begins with 'Bearer'"),
        (f"bearer:{SECRET}", "begins with 'Bearer'"),
        (f"X-DOMO-Developer-Token: {SECRET}", "begins with the header's name"),
        (f"{SECRET}\n{OTHER}", "has a line break in it"),
        (f"{SECRET} {OTHER}", "has characters that no token has"),
    ],
)
@pytest.mark.parametrize("way", ["argument", "environment", "keyring"])
def test_a_token_that_is_not_alone_is_refused_with_these_words(
    keyring: Keyring, text: str, flaw: str, way: str
) -> None:
    """Before anything is sent, and in no frame of ours is it to be seen."""
    if way == "keyring":
        keyring.kept["domo_magic", "mycompany"] = text
    environ = {"DOMO_DEVELOPER_TOKEN": text} if way == "environment" else {}
    argument = Token(text) if way == "argument" else None
    with patch.dict(os.environ, environ), pytest.raises(ConfigurationError, match=flaw) as caught:
        api.connect("mycompany", argument)
    assert "give the token alone" in caught.value.hint
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = [
        frame for frame in told.stack if "domo_magic" in frame.filename and "tests" not in frame.filename
    ]
    assert len(frames) >= 3
    assert not [frame for frame in frames if SECRET in str(frame.locals)]


@pytest.mark.parametrize("text", ["abcdef==", "tok/en+x=y", "bearers0123"])
def test_what_merely_looks_like_it_is_a_token(text: str) -> None:
    """Padding at the end, or an equals sign behind what is no name."""
    assert "".join(check_token(text, "the test")) == text


@pytest.mark.parametrize(
    "written, words",
    [
        ('"mycompany"', "has quotes around it"),
        ("DOMO_INSTANCE=mycompany", "is written as NAME=value"),
        ("HOST=https://mycompany.domo.com", "is written as NAME=value"),
    ],
)
def test_an_instance_with_more_than_its_name_is_refused_with_these_words(written: str, words: str) -> None:
    """As the quotes or the name of a shell's or a .env file's line come along."""
    with pytest.raises(ConfigurationError, match=words):
        resolve(None, SECRET, {"DOMO_INSTANCE": written})


def test_a_keyring_that_never_answers_is_passed_over(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time, said once, while another instance is connected without a wait."""
    over = threading.Event()
    asked = threading.Event()

    def wait(*_: str) -> None:
        asked.set()
        over.wait(60)

    monkeypatch.setattr(keyring, "get_password", wait)
    monkeypatch.setattr(credentials, "_KEYRING", 1.0)
    errors: list[BaseException] = []

    def first() -> None:
        try:
            current_session("mycompany")
        except (ConfigurationError, DomoWarning) as error:
            errors.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    try:
        assert asked.wait(30)
        before = time.monotonic()
        with patch.dict(os.environ, {"DOMO_OTHER_DEVELOPER_TOKEN": SECRET}):
            assert current_session("other").instance == "other"
        assert time.monotonic() - before < 0.5
        thread.join(30)
        assert "did not respond within 1 s" in str(errors)  # warnings are errors here
        before = time.monotonic()
        with pytest.raises(ConfigurationError, match="no token for mycompany"):
            current_session("mycompany")
        assert time.monotonic() - before < 0.5
    finally:
        over.set()
        credentials._silent.clear()


def test_white_space_around_a_token_is_taken_off() -> None:
    """A line break from copying does no harm."""
    assert "".join(check_token(f" {SECRET}\r\n", "the prompt")) == SECRET


def test_a_token_never_prints() -> None:
    """Neither as text, nor in a log, a traceback or a dataclass."""
    token = Token(SECRET)
    login = Login(address("mycompany"), token, "the argument")
    seen = [repr(token), str(token), f"{token}", f"{token!r:>60}", "%s" % token, "{}".format(token)]  # noqa: UP031, UP032
    seen += [repr(login), str(login), repr([token]), repr({"token": token})]
    record = logging.LogRecord("a", logging.INFO, __file__, 1, "%s %r", (token, login), None)
    seen.append(record.getMessage())
    assert [text for text in seen if SECRET in text] == []
    assert seen[:3] == ["<token>"] * 3


def test_a_token_never_shows_in_the_variables_of_a_traceback() -> None:
    """A traceback that prints variables prints <token>."""

    def fail(token: Token) -> NoReturn:
        raise ValueError(len(token))

    try:
        fail(check_token(SECRET, "the test"))
    except ValueError as error:
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "token = <token>" in told
    assert SECRET not in told


@pytest.mark.parametrize("value", [Token(SECRET), Login(address("mycompany"), Token(SECRET), "the test")])
def test_a_token_is_not_pickled(value: object) -> None:
    """Nothing carries it out of the process by accident; a copy, as tools for tests make it, hides it too."""
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(value)
    for again in (copy.copy(value), copy.deepcopy(value)):
        assert again == value
        assert SECRET not in repr(again)


def test_saving_and_forgetting_are_for_one_instance(keyring: Keyring) -> None:
    """A saved token is found again, for its instance alone, until it is forgotten."""
    save(Login(address("mycompany"), Token(SECRET), "the prompt"))
    assert keyring.kept == {("domo_magic", "mycompany"): SECRET}
    assert type(keyring.kept["domo_magic", "mycompany"]) is str
    assert find_token(address("other"), None, {}) is None
    assert forget(address("mycompany"))
    assert not forget(address("mycompany"))
    assert keyring.kept == {}


def test_a_broken_keyring_holds_nothing_and_says_so_when_it_is_needed(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking into it fails silently; keeping something there is an error without the token in it."""

    def broken(*args: str) -> NoReturn:
        raise RuntimeError(json.dumps(args))

    for name in ("get_password", "set_password", "delete_password"):
        monkeypatch.setattr(keyring, name, broken)
    assert find_token(address("mycompany"), None, {}) is None
    login = Login(address("mycompany"), Token(SECRET), "the prompt")
    for act in (lambda: save(login), lambda: forget(login.address)):
        with pytest.raises(ConfigurationError, match=r"keyring refused \(RuntimeError\)") as caught:
            act()
        assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_without_the_extra_saving_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keyring is optional: not having it is an error only when it is asked for."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert find_token(address("mycompany"), None, {}) is None
    with pytest.raises(ConfigurationError, match="pip install keyring"):
        save(Login(address("mycompany"), Token(SECRET), "the prompt"))


def test_a_bad_token_in_the_keyring_is_named(keyring: Keyring) -> None:
    """Its source is in the error, so that one can mend it."""
    keyring.kept["domo_magic", "mycompany"] = f"{SECRET} x"
    with pytest.raises(ConfigurationError, match="the token from the keyring has characters"):
        credentials.resolve("mycompany", None)


@pytest.mark.parametrize(
    "instance, environ, advised",
    [
        (
            "https://domo.corp.example",
            {},
            "%domo_connect https://domo.corp.example prompts for it",
        ),
        ("http://127.0.0.1:39121", {}, "%domo_connect http://127.0.0.1:39121 prompts for it"),
        ("acme", {}, "set DOMO_ACME_DEVELOPER_TOKEN or DOMO_DEVELOPER_TOKEN; or %domo_connect --sandbox"),
        ("other", {"DOMO_INSTANCE": "acme"}, "or set DOMO_OTHER_DEVELOPER_TOKEN; or %domo_connect --sandbox"),
    ],
)
def test_what_is_advised_works(instance: str, environ: dict[str, str], advised: str) -> None:
    """A missing token names the instance as it is written, and only variables that would be read for it."""
    with pytest.raises(ConfigurationError) as caught:
        resolve(instance, None, environ)
    assert advised in str(caught.value)

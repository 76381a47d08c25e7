"""Where lines go: a notebook's output, a terminal, plain text, or the log."""

from __future__ import annotations

import io
import logging
import sys
from types import SimpleNamespace
from typing import Any

import IPython
import IPython.display
import pytest

from domo_magic.display import output

RUNNING = [("running", "one"), ("running", "two of two")]
ENDED = [("good", "one"), ("bad", "total")]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class Display:
    """Stands for IPython's display: remembers what was shown and updated."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[dict[str, str]] = []
        self.updated: list[dict[str, str]] = []
        monkeypatch.setattr(IPython.display, "display", self)

    def __call__(self, bundle: dict[str, str], **_options: Any) -> Display:
        """Show something new."""
        self.shown.append(bundle)
        return self

    def update(self, bundle: dict[str, str], **_options: Any) -> None:
        """Change what was shown."""
        self.updated.append(bundle)


class Closed(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, _text: str) -> int:
        """Refuse."""
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [Closed(), None], ids=["closed", "missing"])
@pytest.mark.parametrize("made", [output.Plain, output.Terminal, output.Quiet])
def test_what_cannot_be_shown_is_no_error(
    made: type[output.Plain], stream: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that nobody can read takes no run with it."""
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    one = made()
    one.say(("good", "25775/2 SUCCESS"))
    one.show([("running", "25775/2 ACTIVE")])
    one.show([("good", "25775/2 SUCCESS")], last=True)


def test_letters_that_a_terminal_lacks_are_shown_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line comes all the same."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    output.Plain().say(("good", "25775/2 SUCCESS · 3 s"))
    assert raw.getvalue() == b"25775/2 SUCCESS ? 3 s\n"


def test_plain_text_shows_only_what_stays(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no screen, what moves is not printed."""
    screen = output.Plain()
    screen.say(("running", "started"))
    screen.show(RUNNING)
    screen.show(ENDED, last=True)
    assert capsys.readouterr() == ("started\none\ntotal\n", "")
    assert not screen.moves


def test_a_script_logs_and_prints_nothing(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Outside IPython lines go to the log domo_magic at INFO."""
    caplog.set_level(logging.INFO, "domo_magic")
    screen = output.Log()
    screen.say(("running", "100 % started"))
    screen.show(RUNNING)
    screen.show(ENDED, last=True)
    assert [(each.name, each.levelname, each.message) for each in caplog.records] == [
        ("domo_magic", "INFO", text) for text in ("100 % started", "one", "total")
    ]
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_one_line_that_moves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line (of many: the total and the first) is drawn over and wiped away before what stays."""
    monkeypatch.setenv("COLUMNS", "80")
    screen = output.Terminal()
    screen.show(RUNNING)
    screen.show([("running", "short")])
    screen.say(("running", "stays"))
    screen.show([("running", "again")])
    screen.show(ENDED, last=True)
    out, err = capsys.readouterr()
    assert out == "stays\none\ntotal\n"
    assert err == "\rtwo of two · one\rshort           \r     \r\ragain\r     \r"


def test_a_terminal_wipes_away_what_an_interrupt_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt while the line is drawn leaves a line that is wiped away before what stays."""
    screen = output.Terminal()
    with monkeypatch.context() as patch:

        def interrupted() -> None:
            raise KeyboardInterrupt

        patch.setattr(sys.stderr, "flush", interrupted)
        with pytest.raises(KeyboardInterrupt):
            screen.show([("running", "short")])
    screen.say(("good", "stays"))
    assert capsys.readouterr().err == "\rshort\r     \r"


def test_a_terminals_line_is_never_wider_than_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that wraps could not be drawn over."""
    monkeypatch.setenv("COLUMNS", "20")
    output.Terminal().show([("running", "x" * 100)])
    assert capsys.readouterr().err == "\r" + "x" * 18 + "…"


def test_wide_letters_do_not_make_the_line_wrap(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Japanese letters take two columns each: the line is cut by columns, and wiped away whole."""
    monkeypatch.setenv("COLUMNS", "20")
    screen = output.Terminal()
    screen.show([("running", "売上" * 20)])
    screen.say(("good", "x"))
    err = capsys.readouterr().err
    assert err == "\r" + "売上" * 4 + "売…" + "\r" + " " * 19 + "\r"


def test_a_terminal_shows_what_its_code_page_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a line that a Japanese Windows cannot show whole, only the letters that it lacks are lost."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "cp932"))
    output.Plain().say(("good", "売上 ✓ 3 s"))
    assert raw.getvalue().decode("cp932").strip() == "売上 ? 3 s"


def test_a_notebook_has_one_output_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are shown once and updated from then on, as text and as HTML."""
    display = Display(monkeypatch)
    screen = output.Notebook()
    screen.show(RUNNING)
    screen.show(RUNNING)
    screen.show(ENDED, last=True)
    assert [bundle["text/plain"] for bundle in display.shown] == ["one\ntwo of two"]
    assert [bundle["text/plain"] for bundle in display.updated] == ["one\ntwo of two", "one\ntotal"]
    assert display.updated[-1]["text/html"].count("<div>") == 2


def test_a_notebook_shows_no_markup_of_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a stream is called, it is text."""
    display = Display(monkeypatch)
    output.Notebook().show([("bad", '<img src=x onerror="alert(1)"> & co')])
    html = display.shown[0]["text/html"]
    assert "<img" not in html
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt; &amp; co" in html


def test_every_mark_is_a_sign_and_not_a_colour_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sees no colours sees different signs."""
    display = Display(monkeypatch)
    output.Notebook().show([(mark, "") for mark in output.MARKS])
    signs = [part.partition("<")[0] for part in display.shown[0]["text/html"].split('1.4em">')[1:]]
    assert len(set(signs)) == len(output.MARKS) == 6


def front_end(*, metadata: dict[str, str], allow_stdin: bool) -> SimpleNamespace:
    """Give a shell in a kernel whose cell was sent so."""
    parent = {"header": {"msg_id": "1"}, "metadata": metadata, "content": {"allow_stdin": allow_stdin}}
    return SimpleNamespace(kernel=object(), parent_header=parent)


@pytest.mark.parametrize(
    "shell, stream, expected",
    [
        (None, io.StringIO, output.Log),
        (SimpleNamespace(), io.StringIO, output.Plain),
        (SimpleNamespace(), object, output.Plain),
        (SimpleNamespace(), Terminal, output.Terminal),
        (SimpleNamespace(kernel=object()), io.StringIO, output.Notebook),
        (front_end(metadata={"cellId": "7"}, allow_stdin=True), io.StringIO, output.Notebook),
        (front_end(metadata={}, allow_stdin=False), io.StringIO, output.Notebook),
        (front_end(metadata={}, allow_stdin=True), io.StringIO, output.Plain),
    ],
    ids=["script", "pipe", "no stream", "terminal", "kernel", "notebook", "nbclient", "qtconsole"],
)
def test_the_screen_fits_where_the_code_runs(
    shell: object, stream: type[io.StringIO], expected: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script logs, a pipe gets plain text, a terminal and a kernel something that moves."""
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    monkeypatch.setattr(sys, "stdout", stream())
    monkeypatch.setattr(sys, "stderr", stream())
    assert type(output.screen()) is expected
    assert output.in_kernel() == hasattr(shell, "kernel")


def test_where_ipython_was_never_imported_it_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain script does not load IPython to find out that it is none."""
    monkeypatch.delitem(sys.modules, "IPython")
    assert type(output.screen()) is output.Log
    assert "IPython" not in sys.modules

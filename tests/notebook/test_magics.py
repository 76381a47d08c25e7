"""The magics in an IPython: what lines mean, what is refused, settings, help, and what is left behind."""

from __future__ import annotations

import builtins
import copy
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import requests_mock
import responses
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from domo_magic import errors
from domo_magic.errors import ConfigurationError, DomoError, DomoWarning, TargetError
from domo_magic.executions.session import current_session
from domo_magic.notebook import arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from IPython.core.interactiveshell import ExecutionResult

    from domo_magic.executions.session import Session
    from domo_magic.sandbox import Sandbox

STREAMS = [25775, 25776]
DATASET = "5f3c2a9e-8d41-4b7e-9c36-1e2f7a4d6b90"
KINDS: dict[str, Any] = {
    "number": 25775,
    "text": "25775",
    "whole_float": 25775.0,
    "a_list": [25775],
    "a_tuple": ("25775",),
    "a_set": {25775},
    "array": np.array([25775]),
    "series": pd.Series([25775.0]),
    "frame": pd.DataFrame({"streamId": [25775], "executionId": [3]}),
    "row": pd.DataFrame({"streamId": [25775], "executionId": [3]}).iloc[0],
}


@pytest.fixture(scope="module")
def one_shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InteractiveShell]:
    """Give an IPython to the whole module, and leave none."""
    patch = pytest.MonkeyPatch()
    patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
    main, hook = sys.modules["__main__"], sys.displayhook
    quiet = Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"colors": "nocolor"}})
    yield InteractiveShell.instance(config=quiet)
    InteractiveShell.clear_instance()
    sys.modules["__main__"], sys.displayhook = main, hook
    for name in ("get_ipython", "display"):
        vars(builtins).pop(name, None)
    patch.undo()


@pytest.fixture
def bare(one_shell: InteractiveShell) -> Iterator[InteractiveShell]:
    """Give an IPython without the extension, and without variables of other tests."""
    before = dict(one_shell.user_ns)
    yield one_shell
    one_shell.user_ns.clear()
    one_shell.user_ns.update(before)
    one_shell.config.pop("DomoMagics", None)  # what a user has set outlives %reload_ext


@pytest.fixture
def shell(bare: InteractiveShell) -> Iterator[InteractiveShell]:
    """Give an IPython with the extension."""
    bare.run_line_magic("load_ext", "domo_magic")
    yield bare
    bare.run_line_magic("unload_ext", "domo_magic")


def run(shell: InteractiveShell, cell: str) -> ExecutionResult:
    """Run a cell as a user does."""
    return shell.run_cell(cell, store_history=True)


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """Give what was printed, without colours."""
    return re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out)


def refused(shell: InteractiveShell, cell: str) -> BaseException:
    """Run a cell that must fail, and give its error."""
    done = run(shell, cell)
    assert done.error_before_exec is None
    assert done.error_in_exec is not None, f"{cell} gave {done.result}"
    return done.error_in_exec


BAD_LINES = [
    "%domo_run",
    "%domo_run   # 25775",
    "%domo_run ;",
    "%domo_run -5",
    "%domo_run 0",
    "%domo_run 99999999999999999999",
    "%domo_run 25775; rm",
    "%domo_run ../x",
    "%domo_run 25775/2",
    "%domo_run sales",
    "%domo_run sales orders",
    "%domo_run 25775 sales",
    "%domo_run 25775 25775",
    "%domo_run a_list 25775",
    "%domo_run {undefined}",
    "%domo_run $undefined",
    "%domo_run {a_list} {undefined}",
    "%domo_run 25775 --label {undefined}",
    "%domo_run 25775 --label $undefined",
    "%domo_run 25775 --instance {undefined}",
    "%domo_run {a_list",
    "%domo_run {printed}",
    "%domo_run {long_array}",
    "%domo_run nothing",
    "%domo_run empty",
    "%domo_run a_dict",
    "%domo_run a_function",
    "%domo_run negative",
    "%domo_run {empty}",
    "%domo_run 'unbalanced",
    '%domo_run 25775 --label "unbalanced',
    "%domo_run 25775 --label",
    "%domo_run 25775 --label ''",
    "%domo_run 25775 --unknown",
    "%domo_run 25775 --wai",
    "%domo_run 25775 --wait=yes",
    "%domo_run 25775 --wait --no-wait",
    "%domo_run 25775 --wait --bg",
    "%domo_run 25775 -w",
    "%domo_run 25775 --timeout 10m",
    "%domo_run 25775 --no-wait --timeout 10m",
    "%domo_run 25775 --bg --timeout 10m",
    "%domo_run 25775 --wait --timeout soon",
    "%domo_run 25775 --wait --timeout -1",
    "%domo_run 25775 --if-running maybe",
    "%domo_run 25775 --on-failure ignore",
    "%domo_run 25775 --wait --on-failure ignore",
    f"%domo_run {DATASET} https://mycompany.domo.com/datasources/{DATASET}",
    f"%domo_run https://other.domo.com/datasources/{DATASET}",
    "%domo_run https://mycompany.domo.com/page/1",
    "%domo_run https://user@mycompany.domo.com/datasources/x",
    "%domo_wait sales",
    "%domo_wait 25775/0",
    "%domo_wait empty",
    "%domo_wait {undefined}",
    "%domo_wait 25775 --timeout x",
    "%domo_cancel",
    "%domo_cancel sales",
    "%domo_runs sales",
    "%domo_runs 25775 --limit none",
    "%domo_runs 25775 --limit 0",
    "%domo_runs 25775 --limit -1",
    "%domo_runs 25775 --since whenever",
    "%domo_compare sales",
    "%domo_compare 25775 --baseline worst",
    "%domo_streams --limit x",
    "%domo_connect one two",
    "%domo_connect --sandbox mycompany",
    "%domo_connect http://mycompany.domo.com",
    "%domo_connect --token abc",
    "for at in [1]:\n    %domo_run sales",
    "x = %domo_run sales",
    "x = %domo_run 25775 --unknown",
]


@pytest.mark.parametrize("cell", BAD_LINES)
def test_a_bad_line_is_one_clear_error_and_no_request(
    cell: str, shell: InteractiveShell, sandbox: Sandbox, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong: what and how to do it right, in two lines without our frames; nothing is sent."""
    shell.push(KINDS)
    shell.push({"printed": pd.Series([1, 2]), "long_array": np.arange(2_000), "nothing": None, "empty": []})
    shell.push({"a_dict": {"a": 1}, "a_function": len, "negative": [-1]})
    error = refused(shell, cell)
    shown = printed(capsys)
    assert isinstance(error, TargetError | ConfigurationError)
    assert len(str(error).splitlines()) == 2
    assert shown == f"{type(error).__name__}: {error}\n"
    assert sandbox.requests == []
    assert "x" not in shell.user_ns


@pytest.mark.parametrize(
    "cell, said",
    [
        ("%domo_run sales", "no variable 'sales'\nto find a stream: %domo_streams sales"),
        ("%domo_run {undefined}", "no variable 'undefined'\nwrite the name of a variable that exists"),
        ("%domo_run {a_list} $undefined", "no variable 'undefined'"),
        ("%domo_run {printed}", "write the variable's name"),
        ("%domo_run {long_array}", "write the variable's name"),
        ("%domo_run 25775/2", "write the stream alone: 25775"),
        ("%domo_run 25775 25775", "stream 25775 is listed twice; nothing was started"),
        ("%domo_run 25775 --unknown", "unrecognized arguments: --unknown\nexamples: %domo_run --help"),
        ("%domo_run 25775 --wiat", "did you mean --wait? examples: %domo_run --help"),
        ("%domo_connect --sanbox", "did you mean --sandbox?"),
        ("%domo_run 'x", "a quote is not closed"),
        ("%domo_run 25775 --timeout 10m", "add --wait"),
        ("%domo_run frame.streamId", "assign it first: ids = frame.streamId, then %domo_run ids"),
        ("%domo_runs a_list[:2]", "assign it first: ids = a_list[:2], then %domo_runs ids"),
        ('%domo_run frame["streamId"]', 'assign it first: ids = frame["streamId"], then %domo_run ids'),
        ('%domo_run frame[frame.verdict == "bad"] --wait', 'ids = frame[frame.verdict == "bad"], then'),
        ("%domo_run Sales Orders", "'Sales Orders'\nto find a stream: %domo_streams Sales Orders"),
        ("%domo_cancel --all", "with --all, all unfinished runs of the stream"),
        ("%domo_runs 25775/2", "to see the run: %domo_compare 25775/2"),
        ("%domo_run frame[frame.streamId > 3]", "ids = frame[frame.streamId > 3], then %domo_run ids"),
        ("%domo_run text", "give the list, Series or frame itself, not its text"),
        ("%domo_run 25775 --label my nightly load", 'needs quotes (--label "my ...")'),
        ('%domo_run "Sales Orders"', "'Sales Orders'\nto find a stream: %domo_streams Sales Orders"),
        ("%domo_compare widget", "this object is not an id"),
        ("%domo_run 25,775", "write 25775 or 25 775"),
        ("%domo_connect 127.0.0.1:25775", "write http://127.0.0.1:25775"),
        ("%domo_connect localhost:25775", "write http://localhost:25775"),
        ("%domo_compare 25775 --baseline 25776/1", "the baseline 25776/1 is of another stream than 25775"),
        ("%domo_wait 25775/9999", "look for it: %domo_runs 25775; for its stream: %domo_streams"),
        ("%domo_connect s3cr3t --token s3cr3t", "a token is never written on it"),
        (f"%domo_run https://other.domo.com/datasources/{DATASET}", "https://other.domo.com"),
    ],
)
def test_a_refusal_says_what_to_write(
    cell: str, said: str, shell: InteractiveShell, session: Session
) -> None:
    """The words that help are there."""
    shell.push({"a_list": [1], "printed": pd.Series([1, 2]), "long_array": np.arange(2_000)})
    shell.push({"frame": KINDS["frame"], "text": str(pd.Series([1, 2])), "widget": object()})
    error = str(refused(shell, cell))
    assert said in error
    assert "s3cr3t" not in error


@pytest.mark.parametrize(
    "line",
    [
        "25775",
        " 25775 ",
        "25775 # a comment",
        "25775 #25776",
        "'25775'",
        "{25775}",
        "{a_list}",
        "{[25775]}",
        "{a_set}",
        "{array}",
        "{array[0]!r}",
        "$number",
        "$a_list",
        "--label 'a # b' 25775",
        "25775 --no-wait",
        "--if-running start 25775 --label night",
        *KINDS,
    ],
)
def test_a_good_line_starts_one_run(
    line: str, shell: InteractiveShell, sandbox: Sandbox, session: Session
) -> None:
    """Ids, variables of each kind, expansions and comments mean the same: one POST, one row."""
    shell.push(KINDS)
    done = run(shell, f"%domo_run {line}")
    assert done.result["streamId"].tolist() == [25775]
    assert [(each.method, each.path) for each in sandbox.requests] == [
        ("POST", "/api/data/v1/streams/25775/executions")
    ]


def test_several_streams_come_back_in_the_order_given(
    shell: InteractiveShell, sandbox: Sandbox, session: Session
) -> None:
    """One POST and one row each."""
    shell.push({"streams": STREAMS[::-1]})
    assert run(shell, "%domo_run streams").result["streamId"].tolist() == STREAMS[::-1]
    assert run(shell, "%domo_run 25775, 25776").result["streamId"].tolist() == STREAMS
    assert len(sandbox.requests) == 4


def test_a_row_is_what_the_frame_functions_give(shell: InteractiveShell, session: Session) -> None:
    """The magic returns a DataFrame with the label, the instance and the moment of the request."""
    done = run(shell, "run = %domo_run 25775 --label 'night # 1'")
    assert done.result is None
    frame = shell.user_ns["run"]
    assert isinstance(frame, pd.DataFrame)
    assert frame.shape == (1, 35)
    assert frame[["instance", "label", "currentState"]].iloc[0].tolist() == ["sandbox", "night # 1", "ACTIVE"]
    assert frame["requestedAt"].notna().all()


def test_every_start_prints_its_line_also_when_assigned(
    shell: InteractiveShell, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says what was started and how to follow it."""
    run(shell, "run = %domo_run 25775")
    execution = shell.user_ns["run"]["executionId"].item()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"25775/{execution} ACTIVE · ")
    assert lines[0].endswith(f" · sandbox · follow: %domo_wait 25775/{execution}")


@pytest.mark.parametrize(
    "cell, shown",
    [
        ("%domo_run 25775", True),
        ("%domo_run 25775;", False),
        ("%domo_run 25775 ;  # quiet", False),
        ("y = 1\n%domo_run 25775;", False),
        ("x = %domo_run 25775;", None),
    ],
)
def test_a_semicolon_hides_the_result_but_not_from_a_variable(
    cell: str,
    shown: bool | None,  # noqa: FBT001
    shell: InteractiveShell,
    session: Session,
) -> None:
    """A trailing ; silences the output; what is assigned is assigned."""
    done = run(shell, cell)
    assert done.error_in_exec is None
    assert (done.result is not None) == bool(shown)
    if shown is None:
        assert shell.user_ns["x"].shape == (1, 35)


def test_local_variables_of_a_function_are_variables(shell: InteractiveShell, session: Session) -> None:
    """Inside a function a magic sees what the function sees."""
    done = run(shell, "def start(found):\n    row = %domo_run found\n    return row\nstart([25775])")
    assert done.result["streamId"].tolist() == [25775]


def test_a_run_is_waited_for_by_its_frame(
    shell: InteractiveShell, sandbox: Sandbox, session: Session
) -> None:
    """`%domo_wait run` takes the runs that a start gave, or the run as text."""
    sandbox.world.add_stream(0.05, stream_id=900)
    run(shell, "run = %domo_run 900")
    row = run(shell, "%domo_wait run").result
    assert row["currentState"].tolist() == ["SUCCESS"]
    execution = row["executionId"].item()
    assert run(shell, f"%domo_wait 900/{execution}").result["executionId"].tolist() == [execution]


@pytest.mark.parametrize("magic", arguments.MAGICS)
@pytest.mark.parametrize("option", ["--help", "-h", "25775 --help"])
def test_help_shows_examples_first(
    magic: str, option: str, shell: InteractiveShell, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """--help prints what the magic does, examples, and every option; nothing is sent."""
    if shell.find_line_magic(magic) is None:
        pytest.skip(f"%{magic} is not there yet")
    assert run(shell, f"%{magic} {option}").result is None
    shown = capsys.readouterr().out
    assert shown.count(f"%{magic}") >= 2
    for action in arguments.parser(magic)._actions:
        for name in action.option_strings:
            assert name in ("-h", "--help") or name in shown
    assert sandbox.requests == []


def test_a_question_mark_shows_the_same(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """`%domo_run?` shows the docstring with its examples."""
    run(shell, "%domo_run?")
    assert "run = %domo_run 25775 --wait" in capsys.readouterr().out


def test_settings_are_defaults_of_lines(
    shell: InteractiveShell, sandbox: Sandbox, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    """`%config DomoMagics.wait = True` makes runs wait; a line may say otherwise."""
    sandbox.world.add_stream(0.05, stream_id=900)
    run(shell, "%config DomoMagics.wait = True")
    run(shell, "%config DomoMagics.timeout = '10m'")
    assert run(shell, "%domo_run 900").result["currentState"].tolist() == ["SUCCESS"]
    assert run(shell, "%domo_run 900 --no-wait").result["endedAt"].isna().all()
    capsys.readouterr()
    run(shell, "%config DomoMagics")
    shown = capsys.readouterr().out
    assert "DomoMagics.wait=<Any>" in shown
    assert "token" not in shown.lower()


def test_times_are_read_in_the_zone_of_the_setting(shell: InteractiveShell, session: Session) -> None:
    """A frame that is displayed has its times in that zone at once; its values stay UTC."""
    rows = run(shell, "run = %domo_run 25775\nrun").result
    for zone, hours in (("'Asia/Tokyo'", "JST"), ("'UTC'", "UTC"), ("'Nowhere'", "UTC"), ("None", "")):
        assert run(shell, f"%config DomoMagics.timezone = {zone}").error_in_exec is None
        assert hours in repr(rows)
    assert str(rows["startedAt"].dt.tz) == "UTC"


@pytest.mark.parametrize(
    "name, value, line",
    [
        ("wait", "'yes'", ""),
        ("wait", "1", ""),
        ("wait", "None", ""),
        ("if_running", "'maybe'", ""),
        ("if_running", "['adopt']", ""),
        ("on_failure", "'ignore'", ""),
        ("on_failure", "None", " --wait"),
        ("timeout", "'soon'", " --wait"),
        ("timeout", "-1", " --wait"),
        ("on_unusual", "'maybe'", " --wait"),
        ("timezone", "'Nowhere'", ""),
        ("timezone", "7", ""),
    ],
)
def test_a_bad_setting_is_an_error_when_it_is_used(
    name: str, value: str, line: str, shell: InteractiveShell, sandbox: Sandbox, session: Session
) -> None:
    """It can be set, and is refused by the line that uses it, naming it; nothing is sent."""
    assert run(shell, f"%config DomoMagics.{name} = {value}").error_in_exec is None
    error = refused(shell, f"%domo_run 25775{line}")
    assert isinstance(error, ConfigurationError)
    assert f"the setting DomoMagics.{name} is" in str(error)
    assert f"%config DomoMagics.{name} = " in str(error)
    assert sandbox.requests == []


def state_of(shell: InteractiveShell) -> dict[str, Any]:
    """Give everything that an extension can leave behind."""
    return {
        "line magics": set(shell.magics_manager.magics["line"]),
        "cell magics": set(shell.magics_manager.magics["cell"]),
        "registry": set(shell.magics_manager.registry),
        "configurables": [type(each).__name__ for each in shell.configurables],
        "matchers": list(shell.Completer.custom_matchers),
        "callbacks": copy.deepcopy({name: len(each) for name, each in shell.events.callbacks.items()}),
        "variables": {name for name in shell.user_ns if not name.startswith("_")},
        "transformers": len(shell.input_transformers_post) + len(shell.input_transformers_cleanup),
        "hooks": set(shell.hooks),
        "extensions": set(shell.extension_manager.loaded),
    }


def test_unloading_leaves_nothing_behind(bare: InteractiveShell, session: Session) -> None:
    """After %unload_ext IPython is as it was, and loading again works."""
    bare.find_line_magic("load_ext")  # IPython's own magics are loaded when they are first used
    before = state_of(bare)
    for _ in range(2):
        bare.run_line_magic("load_ext", "domo_magic")
        assert set(arguments.MAGICS) & state_of(bare)["line magics"]
        run(bare, "%domo_run 25775")
        bare.run_line_magic("unload_ext", "domo_magic")
        assert state_of(bare) == before
    assert "UsageError" in str(refused(bare, "%domo_run 25775").__class__)


def test_reloading_keeps_the_magics(shell: InteractiveShell, session: Session) -> None:
    """%reload_ext brings one of each, not two."""
    shell.run_line_magic("reload_ext", "domo_magic")
    assert [type(each).__name__ for each in shell.configurables].count("DomoMagics") == 1
    assert run(shell, "%domo_run 25775").result.shape == (1, 35)


def test_connecting_says_where_and_with_which_token(
    shell: InteractiveShell,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line: the host and the token's source, never the token; nothing is sent."""
    monkeypatch.setenv("DOMO_DEVELOPER_TOKEN", sandbox.token)
    assert run(shell, f"%domo_connect {sandbox.url}").result is None
    host = sandbox.url.removeprefix("http://")
    assert capsys.readouterr().out == f"using {host}, token from DOMO_DEVELOPER_TOKEN, not tried yet\n"
    assert sandbox.requests == []
    assert run(shell, "%domo_run 25775").result["instance"].tolist() == [host]


def test_without_a_token_the_prompt_asks_without_echo(
    shell: InteractiveShell,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """%domo_connect asks when nothing else is known."""
    asked: list[str] = []

    def getpass(prompt: str) -> str:
        asked.append(prompt)
        return sandbox.token + "\n"

    monkeypatch.setattr("getpass.getpass", getpass)
    run(shell, f"%domo_connect {sandbox.url}")
    shown = capsys.readouterr().out
    assert asked == [f"Developer token for {sandbox.url.removeprefix('http://')}: "]
    assert "token from the prompt" in shown
    assert sandbox.token not in shown


@pytest.mark.parametrize("error", [EOFError, NotImplementedError])
def test_where_nobody_can_be_asked_it_says_so(
    error: type[Exception], shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under nbconvert and papermill there is no prompt."""

    def getpass(_prompt: str) -> str:
        raise error

    monkeypatch.setattr("getpass.getpass", getpass)
    assert "nobody to type it" in str(refused(shell, "%domo_connect mycompany"))


def test_without_a_word_it_says_what_is_connected(
    shell: InteractiveShell, sandbox: Sandbox, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing else is known, the connection in use stays, and is named."""
    run(shell, "%domo_connect")
    assert capsys.readouterr().out == f"still using {sandbox.url.removeprefix('http://')}\n"


def test_what_could_not_be_kept_is_not_asked_for(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the keyring's extra `--save` is refused before a user types a token."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: pytest.fail("asked for a token"))
    assert "pip install keyring" in str(refused(shell, "%domo_connect mycompany --save"))


def test_help_stands_at_the_left(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """What `--help` prints is not indented as in the code, and holds no markup."""
    run(shell, "%domo_run --help")
    lines = capsys.readouterr().out.splitlines()
    assert "::" not in lines
    assert any(line.startswith("--wait") for line in lines)


def test_the_sandbox_is_connected_to_by_one_line(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """`%domo_connect --sandbox` and a run, without any account."""
    run(shell, "%domo_connect --sandbox")
    assert capsys.readouterr().out.startswith("using a sandbox Domo at 127.0.0.1:")
    assert run(shell, "%domo_run 25775").result["instance"].tolist() == ["sandbox"]


def test_nothing_connected_shows_the_ways(shell: InteractiveShell) -> None:
    """Without any Domo a run says how to get one."""
    error = refused(shell, "%domo_run 25775")
    assert isinstance(error, ConfigurationError)
    assert "%domo_connect --sandbox" in str(error)


def test_refusals_of_domo_are_short_and_have_rows(
    shell: InteractiveShell, sandbox: Sandbox, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stream that does not exist among one that does: both are tried, one error, rows in order."""
    error = refused(shell, "%domo_run 404404 25775")
    assert isinstance(error, errors.NotFound)
    assert error.rows["streamId"].tolist() == [404404, 25775]
    assert error.rows["executionId"].isna().tolist() == [True, False]
    assert printed(capsys).endswith(f"NotFound: {error}\n")
    assert len(sandbox.requests) == 2
    assert isinstance(error, DomoError)


def test_an_instance_that_is_not_connected_is_resolved_for_this_line_only(
    shell: InteractiveShell, sandbox: Sandbox, session: Session
) -> None:
    """--instance names another; without a token for it nothing is sent."""
    error = refused(shell, "%domo_run 25775 --instance mycompany")
    assert "no token for mycompany.domo.com" in str(error)
    assert current_session() is session
    assert sandbox.requests == []


@pytest.mark.parametrize("stand_in", ["responses", "requests_mock"])
def test_the_documented_answer_is_a_row_also_from_stand_ins(
    stand_in: str, shell: InteractiveShell, sandbox: Sandbox, session: Session
) -> None:
    """With only the POST answered, by other people's adapters, the captured response is the row."""
    url = f"{sandbox.url}/api/data/v1/streams/25775/executions"
    body = (Path(__file__).parents[1] / "captures" / "run-25775-created.json").read_bytes()
    if stand_in == "responses":
        with responses.RequestsMock() as mock:
            mock.add("POST", url, body=body, status=201, content_type="application/json")
            row = run(shell, "%domo_run 25775").result.iloc[0]
    else:
        with requests_mock.Mocker() as mocker:
            mocker.post(url, content=body, status_code=201)
            row = run(shell, "%domo_run 25775").result.iloc[0]
    assert (row["streamId"], row["executionId"], row["currentState"]) == (25775, 2, "ACTIVE")
    assert row["startedAt"] == pd.Timestamp("2024-12-17T17:56:56Z")
    assert (row["toe"], row["startedBy"], row["errors"]) == ("HAK43KQGQ7-GNKF0-SRC9Y", "1129696109", [])


def test_an_answer_without_an_id_is_a_row_and_a_warning(
    shell: InteractiveShell, sandbox: Sandbox, session: Session
) -> None:
    """200 and {} has started a run: a row with an empty executionId, and how to look again."""
    url = f"{sandbox.url}/api/data/v1/streams/25775/executions"
    with responses.RequestsMock() as mock:
        mock.add("POST", url, json={}, status=200)
        with pytest.warns(DomoWarning, match="%domo_runs 25775"):
            row = run(shell, "%domo_run 25775").result.iloc[0]
    assert row["streamId"] == 25775
    assert row["executionId"] is pd.NA


def test_an_apostrophe_is_part_of_a_name(
    shell: InteractiveShell, sandbox: Sandbox, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text to search for is the rest of the line, whatever is in it; finding nothing is a sentence."""
    assert run(shell, "%domo_streams Bob's sales").result.empty
    out, err = capsys.readouterr()
    assert "no connector's DataSet has \"Bob's sales\" in its name" in out
    assert err == ""
    assert any(b"*Bob's sales*" in request.body for request in sandbox.requests)


def test_the_variable_that_is_missing_is_named(shell: InteractiveShell, session: Session) -> None:
    """An expression of one that exists is not to blame."""
    shell.push({"ids": [25775]})
    assert "no variable 'nope'" in str(refused(shell, "%domo_run {ids[0]} {nope}"))


def test_an_interrupt_at_the_prompt_is_short(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever does not want to be asked gets two lines, and stays where he was."""

    def getpass(_prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("getpass.getpass", getpass)
    error = shell.run_cell("%domo_connect mycompany").error_in_exec
    assert isinstance(error, errors.RunInterrupted)
    assert str(error).splitlines()[1] == "to try again: %domo_connect mycompany"


def test_warnings_have_no_code_beside_them(
    shell: InteractiveShell, sandbox: Sandbox, session: Session
) -> None:
    """A user sees the sentence, no place in our code."""
    with pytest.warns(DomoWarning) as told:
        run(shell, "%domo_runs 25775 --label nothinglikethis")
    shown = warnings.formatwarning(told[0].message, told[0].category, told[0].filename, told[0].lineno)
    assert shown == f"domo_magic:1: DomoWarning: {told[0].message}\n"

"""The tree of errors: what happened, what to do, which runs, and a short face."""

from __future__ import annotations

import copy
import inspect
import pickle
import traceback

import pytest

import domo_magic
from domo_magic import errors
from domo_magic.errors import ApiError, DomoError, RunInterrupted, TargetError
from domo_magic.model.execution import ExactFloat, Execution

TREE = {
    "ConfigurationError": {"DomoError"},
    "TargetError": {"DomoError", "ValueError"},
    "ConnectionFailed": {"DomoError"},
    "TriggerOutcomeUnknown": {"DomoError"},
    "ApiError": {"DomoError"},
    "AuthenticationError": {"ApiError"},
    "NotFound": {"ApiError"},
    "RateLimited": {"ApiError"},
    "InvalidResponse": {"DomoError"},
    "RunFailed": {"DomoError"},
    "RunUnusual": {"DomoError"},
    "RunTimeout": {"DomoError"},
    "AlreadyRunning": {"DomoError"},
}
EVERY = [getattr(errors, name) for name in ("DomoError", *TREE, "RunInterrupted")]
RUNS = (Execution(25775, 2, {"indexRequestKey": ExactFloat("20220513224325.628")}), Execution(371))


def test_the_tree_is_as_promised() -> None:
    """Each error is under the ones that it is promised to be under, and there is no other."""
    for name, parents in TREE.items():
        bases = {base.__name__ for base in getattr(errors, name).__mro__}
        assert parents | {"DomoError", "Exception"} <= bases
    public = {
        name
        for name, value in inspect.getmembers(errors, inspect.isclass)
        if value.__module__ == errors.__name__ and issubclass(value, BaseException)
    }
    assert public - {"DomoWarning"} == {"DomoError", "RunInterrupted", *TREE}


def test_an_interrupt_is_no_error() -> None:
    """`except Exception` does not swallow a Stop."""
    assert issubclass(RunInterrupted, KeyboardInterrupt)
    assert not issubclass(RunInterrupted, Exception)


@pytest.mark.parametrize("kind", EVERY)
class TestEvery:
    """What holds for every error."""

    def test_the_message_is_what_happened_and_what_to_do(self, kind: type[DomoError]) -> None:
        """Two lines; one where there is nothing to do."""
        error = kind("it broke", "mend it")
        assert (str(error), error.summary, error.hint) == ("it broke\nmend it", "it broke", "mend it")
        assert str(kind("it broke")) == "it broke"

    def test_ipython_shows_it_short(self, kind: type[DomoError]) -> None:
        """Type and two lines, no frames."""
        (shown,) = kind("it broke", "mend it")._render_traceback_()
        assert shown.replace("\x1b[31m", "").replace("\x1b[0m", "") == f"{kind.__name__}: it broke\nmend it"

    def test_rows_are_always_there(self, kind: type[DomoError]) -> None:
        """A frame of the runs it is about, in their order; none where none is known."""
        assert kind("it broke").rows.shape == (0, 35)
        rows = kind("it broke").about(list(RUNS)).rows
        assert rows["streamId"].tolist() == [25775, 371]
        assert rows["executionId"].isna().tolist() == [False, True]

    def test_about_returns_the_error_itself(self, kind: type[DomoError]) -> None:
        """It can be said while raising."""
        error = kind("it broke")
        assert error.about(RUNS) is error

    def test_it_survives_pickle_and_copy(self, kind: type[DomoError]) -> None:
        """Text and rows arrive in another process."""
        error = kind("it broke", "mend it").about(RUNS)
        error.summary = "it broke twice"
        for same in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301
            assert type(same) is kind
            assert str(same) == "it broke twice\nmend it"
            assert same.executions == RUNS
            assert same.rows["indexRequestKey"].tolist()[0] == "20220513224325.628"

    def test_it_is_public(self, kind: type[DomoError]) -> None:
        """`session.RunFailed` is the class that is raised."""
        assert getattr(domo_magic, kind.__name__) is kind

    def test_it_is_documented(self, kind: type[DomoError]) -> None:
        """Each says in a sentence what it means."""
        assert kind.__doc__
        assert kind.__doc__.splitlines()[0].endswith(".")


def test_a_refusal_has_status_message_and_toe() -> None:
    """What Domo said is there, also after pickle."""
    error = ApiError("refused", "ask", status=400, message="bad", toe="ABC")
    for same in (error, pickle.loads(pickle.dumps(error))):  # noqa: S301
        assert (same.status, same.message, same.toe) == (400, "bad", "ABC")
    assert (ApiError("refused").status, ApiError("refused").message, ApiError("refused").toe) == (0, "", "")


def test_a_target_error_is_a_value_error() -> None:
    """Who catches ValueError catches a bad target."""
    with pytest.raises(ValueError, match="no id"):
        raise TargetError("no id")


def test_a_plain_traceback_has_the_same_words() -> None:
    """Outside IPython the last lines of the traceback say the same."""
    text = "".join(traceback.format_exception_only(TargetError("no id", "write one")))
    assert text == "domo_magic.errors.TargetError: no id\nwrite one\n"


def test_the_picture_of_the_tree_names_every_error() -> None:
    """The module begins with the tree."""
    assert all(name in (errors.__doc__ or "") for name in ("DomoError", "RunInterrupted", *TREE))

"""Making many objects: the collector rests, and always comes back."""

from __future__ import annotations

import gc
import threading
from contextlib import ExitStack

import pytest

from domo_magic.model.bulk import no_collecting


def test_it_comes_back_after_an_error() -> None:
    """Whatever happens inside, the collector is as it was."""
    with pytest.raises(ZeroDivisionError), no_collecting():
        _ = 1 / gc.isenabled()
    assert gc.isenabled()


def test_it_comes_back_with_the_last_of_several() -> None:
    """In whatever order they end."""
    first, second = ExitStack(), ExitStack()
    first.enter_context(no_collecting())
    second.enter_context(no_collecting())
    first.close()
    assert not gc.isenabled()
    second.close()
    assert gc.isenabled()


def test_threads_leave_it_as_it_was() -> None:
    """Eight threads that begin and end at random do not leave the collector off."""

    def work() -> None:
        for _ in range(2_000):
            with no_collecting():
                pass

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gc.isenabled()


def test_a_person_who_turned_it_off_finds_it_off() -> None:
    """What was off stays off."""
    gc.disable()
    try:
        with no_collecting():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()

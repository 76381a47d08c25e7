"""Executors that are closed while they work: a cluster's client then forgets its tasks without a word."""

from __future__ import annotations

import os
from concurrent.futures import FIRST_COMPLETED, wait
from typing import TYPE_CHECKING, TypeVar

from domo_magic.errors import ConfigurationError
from domo_magic.model.formatting import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from concurrent.futures import Executor, Future

_Result = TypeVar("_Result")
#: Seconds without a task that ended, after which an executor is looked at.
SILENT = 30.0


def submitted(executor: Executor, work: Callable[..., _Result], *arguments: object) -> Future[_Result]:
    """Give an executor a task.

    Raises
    ------
    ConfigurationError
        It takes none.
    """
    try:
        return executor.submit(work, *arguments)
    except Exception as error:
        raise _closed(error) from error


def finished(executor: Executor, tasks: Collection[Future[_Result]]) -> Iterator[Future[_Result]]:
    """Yield tasks as they end.

    Raises
    ------
    ConfigurationError
        None ended for `SILENT` seconds, and the executor takes no others.
    """
    left = set(tasks)
    while left:
        done, left = wait(left, timeout=SILENT, return_when=FIRST_COMPLETED)
        if not done and (error := refusal(executor)):
            raise _closed(error) from error
        yield from done


def refusal(executor: Executor) -> Exception | None:
    """Return why an executor takes no tasks; None where it does."""
    try:
        executor.submit(os.getpid)
    except Exception as error:  # noqa: BLE001  it has broken down
        return error
    return None


def _closed(error: BaseException) -> ConfigurationError:
    return ConfigurationError(
        f"the executor takes no tasks: {said(error)}", "make another, or let threads do it"
    )


def said(error: BaseException) -> str:
    """Return an error's kind and words, cut."""
    return cut(f"{type(error).__name__}: {error}", 200)

"""Making many objects at once."""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_lock = threading.Lock()
_making = 0
_collecting = False


@contextmanager
def no_collecting() -> Iterator[None]:
    """Keep the garbage collector of the whole process from looking at objects that are just being made.

    It would look again and again at everything, a quarter of the time that making many of them takes.
    What is no longer needed is freed as ever, but for what refers to itself: that is found afterwards,
    when the last of the threads that do this has ended.

    Examples
    --------
    >>> with no_collecting():
    ...     many = [{} for _ in range(10_000)]
    """
    global _making, _collecting  # noqa: PLW0603  the collector, too, is one for the whole process
    with _lock:
        if not _making:
            _collecting = gc.isenabled()
            gc.disable()
        _making += 1
    try:
        yield
    finally:
        with _lock:
            _making -= 1
            if not _making and _collecting:
                gc.enable()

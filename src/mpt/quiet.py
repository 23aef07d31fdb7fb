"""Warnings kept back, by several threads.

What is ignored, Python ignores in the whole process. Two threads that said so and took it back in turns would
leave it said for ever (``warnings.catch_warnings``): so whoever changes it waits for the others.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_changing = threading.RLock()
_before = ExitStack()
_inside = 0


@contextmanager
def quiet(category: type[Warning] = Warning, module: str = "") -> Iterator[None]:
    """No warnings of a category, from modules whose names begin as ``module`` matches; for a moment, during
    which other threads wait here.
    """
    with _changing, warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=category, module=module)
        yield


@contextmanager
def all_quiet() -> Iterator[None]:
    """No warnings at all, for long: until the last of the threads that are inside has left."""
    global _inside
    with _changing:
        if not _inside:
            _before.enter_context(warnings.catch_warnings(action="ignore"))
        _inside += 1
    try:
        yield
    finally:
        with _changing:
            _inside -= 1
            if not _inside:
                _before.close()

"""Work that goes on side by side: what comes next is read ahead, what was begun is awaited in order."""

import ctypes
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def give_back() -> None:
    """What one stage of the work has freed goes back to the system before the next, where that is glibc's:
    stages differ in what they keep, and holes would add up.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def ahead(items: Iterable[T], most: int = 4) -> Iterator[T]:
    """The same items, of which a thread has up to so many ready. It ends when nobody asks any more."""
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(most)
    stopped = threading.Event()

    def put(what: tuple[str, Any]) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                ready.put(what, timeout=0.1)
                return

    def work() -> None:
        try:
            for item in items:
                put(("item", item))
                if stopped.is_set():
                    return
            put(("end", None))
        except BaseException as error:
            put(("error", error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            kind, what = ready.get()
            if kind == "error":
                raise what
            if kind == "end":
                return
            yield what
    finally:
        stopped.set()
        thread.join()


def mapped(call: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """``call`` of each item, in their order, by so many threads."""
    with ThreadPoolExecutor(workers) as pool:
        begun: deque = deque()
        try:
            for item in items:
                begun.append(pool.submit(call, item))
                if len(begun) > workers:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()

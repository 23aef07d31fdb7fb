"""Work in a process of its own, where it slows nobody else, and takes nothing along if it dies."""

import multiprocessing
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from threading import Lock
from typing import TYPE_CHECKING, Any

from mpt.errors import InputError

if TYPE_CHECKING:
    from mpt.films.filming import Progress

TOLD_S = 0.25  # between two words on how far it is
STARTING = "starting"
CLOSED = "the page is being closed"
DIED = (
    "the program that was working on it ended, for want of memory or over a damaged file: give another or a "
    "smaller copy"
)


class Apart:
    """Calls functions of what ``make`` makes, once, in another process; one call at a time.

    make: so that another process can import it, as are the functions.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._one_call, self._one_start = make, Lock(), Lock()
        self._process: Any = None
        self._line: Connection | None = None
        self._closed = False

    def begin(self) -> None:
        """Start the process, unless it runs. Raises InputError once it is closed."""
        with self._one_start:
            if self._closed:
                raise InputError(CLOSED)
            if self._process is None or not self._process.is_alive():
                spawn = multiprocessing.get_context("spawn")  # forks of what has threads may hang
                self._line, theirs = spawn.Pipe()
                self._process = spawn.Process(target=_work, args=(self._make, theirs), daemon=True)
                self._process.start()
                theirs.close()

    def __call__(
        self, call: Callable[..., Any], *args: Any, progress: "Progress" = lambda *told: None, **options: Any
    ) -> tuple[Any, list[str]]:
        """What ``call(made, *args, **options, progress=...)`` gives, and the notes that it makes.

        Raises InputError as that does, and where the process ends meanwhile.
        """
        with self._one_call:
            progress(STARTING, 0, None)
            self.begin()
            try:
                kind, what, notes = self._answer((call, args, options), progress)
            except (EOFError, OSError):
                self._process.join()
                raise InputError(CLOSED if self._closed else DIED) from None
            except BaseException:  # nobody waits for the answer any more
                self._process.kill()
                raise
        if kind == "refused":
            raise InputError(what)
        return what, notes

    def _answer(self, asked: tuple, progress: "Progress") -> tuple[str, Any, list[str]]:
        assert self._line is not None
        self._line.send(asked)
        while True:
            kind, what, notes = self._line.recv()
            if kind != "told":
                return kind, what, notes
            progress(*what)

    def close(self) -> None:
        """End the process, whatever it does."""
        with self._one_start:
            self._closed = True
            if self._process is not None:
                self._process.kill()
                self._process.join()


def _work(make: Callable[[], Any], line: Connection) -> None:
    """The other process: answers until nobody is there to ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this
    with suppress(EOFError, OSError):
        made = make()
        while True:
            call, args, options = line.recv()
            with warnings.catch_warnings(record=True, category=UserWarning, action="always") as notes:
                kind, what = _tried(call, made, *args, progress=_telling(line), **options)
            line.send((kind, what, [str(note.message) for note in notes or ()]))


def _tried(call: Callable[..., Any], *args: Any, **options: Any) -> tuple[str, Any]:
    try:
        return "done", call(*args, **options)
    except InputError as error:
        return "refused", str(error)
    except Exception as error:
        traceback.print_exc()
        return "refused", f"this went wrong here, and is said in the page's log: {type(error).__name__}"


def _telling(line: Connection) -> "Progress":
    told = 0.0

    def progress(doing: str, done: int, total: int | None) -> None:
        nonlocal told
        if time.monotonic() - told > TOLD_S:
            told = time.monotonic()
            line.send(("told", (doing, done, total), []))

    return progress

"""How far long work is, on stderr: as a bar on a terminal, else as a line now and then."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

FIRST_S, LATER_S = 5.0, 60.0
"""After how long a first line comes, and the longest time between two: each is twice the one before."""
Item = TypeVar("Item")


class Tell(Protocol):
    def __call__(self, done: int, more: str = "") -> None:
        """So much is done; ``more``: what else there is to say of it."""
        ...


class Rhythm:
    """When another line is due: soon at first, and once a minute later."""

    def __init__(self) -> None:
        self._told, self._pause = time.monotonic(), FIRST_S

    def due(self) -> bool:
        if time.monotonic() - self._told < self._pause:
            return False
        self._told, self._pause = time.monotonic(), min(2 * self._pause, LATER_S)
        return True


@contextmanager
def counted(
    doing: str, total: int, *, done: int = 0, console: Console | None = None, stays: bool = False
) -> Iterator[Tell]:
    """Tells how much of ``total`` is done, of which ``done`` was before; ``stays``: the bar."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _lines(doing, total, done, console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[more]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    shown = sys.stdout.isatty()  # what is printed passes above the bar, but only where it goes there as well
    how = {"console": console, "transient": not stays, "redirect_stdout": shown, "refresh_per_second": 2}
    with Progress(*columns, **how) as bars:
        task, said = bars.add_task(doing, total=total, completed=done, more=""), ""

        def tell(done: int, more: str = "") -> None:
            nonlocal said
            said = more or said
            bars.update(task, completed=done, more=said)

        yield tell


def tracked(items: Iterable[Item], doing: str, total: int | None = None, **how) -> Iterator[Item]:
    """The items, whose number is told where they do not know it; how many are done is told as they go by.
    ``how``: as :func:`counted`.
    """
    if total is None:
        assert isinstance(items, Sized)
        total = len(items)
    with counted(doing, total, **how) as tell:
        for done, item in enumerate(items, 1):
            yield item
            tell(done)


def _lines(doing: str, total: int, before: int, console: Console) -> Tell:
    rhythm, since, said = Rhythm(), time.monotonic(), ""

    def tell(done: int, more: str = "") -> None:
        nonlocal said
        said = more or said
        if done < total and rhythm.due():
            rate = (done - before) / (time.monotonic() - since)
            left = duration((total - done) / rate) if rate else "an unknown time"
            parts = [f"{doing} {done:,} of {total:,}", *filter(None, [said]), f"{left} left"]
            with suppress(OSError):  # where nobody reads stderr any more, the work goes on
                print(", ".join(parts), file=console.file, flush=True)

    return tell


def duration(seconds: float) -> str:
    """In words, as 40 s, 12 min or 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"

"""How far a command is, on stderr."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mpt.cli.common import to_stderr

if TYPE_CHECKING:
    from mpt.films.filming import Progress


@contextmanager
def film_progress(name: str, *, alone: bool) -> Iterator["Progress"]:
    """Tells on stderr how far a film is, how many frames go in a second, and how long it still takes: as a
    bar on a terminal where it is ``alone``, else as a line now and then.
    """
    if not (alone and sys.stderr.isatty()):
        yield _Lines(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.fields[of]} frames, {task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    redirected = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=redirected) as bars:
        tasks: dict[str, tuple[Any, float]] = {}

        def tell(doing: str, done: int, total: int | None) -> None:
            if doing not in tasks:
                for before, _ in tasks.values():
                    bars.update(before, visible=False)
                tasks[doing] = bars.add_task(doing, total=total, of="?", rate=""), time.perf_counter()
            task, since = tasks[doing]
            rate = done / max(time.perf_counter() - since, 1e-3)
            of = "?" if total is None else f"{total:,}"
            bars.update(task, completed=done, total=total, of=of, rate=f"{rate:.1f} a second")

        yield tell


class _Lines:
    """Progress as lines, the first after some seconds, later one a minute."""

    def __init__(self, name: str) -> None:
        from mpt.progress import Rhythm

        self._name, self._rhythm = name, Rhythm()
        self._doing, self._since = "", time.perf_counter()

    def __call__(self, doing: str, done: int, total: int | None) -> None:
        from mpt.progress import duration

        now = time.perf_counter()
        if doing != self._doing:
            self._doing, self._since = doing, now
        if not done or not self._rhythm.due():
            return
        rate = done / max(now - self._since, 1e-3)
        of, left = "", ""
        if total is not None:
            of = f" of {total:,}"
            left = f", {duration(max(total - done, 0) / rate)} left"
        to_stderr(f"{self._name}: {doing}, {done:,}{of} frames, {rate:.1f} a second{left}")


def tracked(items: Iterable[Any], count: Callable[[], int]) -> Iterator[Any]:
    """The items, with a progress bar on a terminal's stderr where there are several, which are counted."""
    total = count() if sys.stderr.isatty() else 0
    if total < 2:
        yield from items
        return
    from mpt import progress

    yield from progress.tracked(items, "photos", total)

"""How many threads the steps of a run take: as many as were asked for, or as many as make them faster.

On an idle machine several threads may take a step in less time than one; where other programs use the cores
they take many times as long, for they wait for each other. A run's own first steps tell which it is.
"""

import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mpt.errors import InputError
from mpt.threads import torch_threads

TRIED = 3  # steps by one thread, and by all, in turn, after a first that sets things up
WORTH = 0.9  # of one thread's time, in which all have to be done
EVERY = 20  # steps, of which one is taken by one thread again: other programs may have come
SLOW = 1.25  # times one thread's, which is too long


def check_threads(asked: int | None) -> None:
    """Raises InputError for a number of threads that cannot be."""
    cores = os.cpu_count() or 1
    if asked is not None and not 1 <= asked <= cores:
        raise InputError(f"--threads is {asked}, and this computer has {cores} cores: give 1 to {cores}")


class Pace:
    """Gives each step its threads.

    Attributes:
        settled: how many the steps take; 0 as long as it is tried.
    """

    def __init__(
        self, asked: int | None, most: int, *, begun_with: int = 0, tell: Callable[[str], None] = print
    ) -> None:
        """asked: by the user. most: as many as torch would take. begun_with: what a resumed run had settled
        on; 0 where it had not. tell: says what was found.
        """
        self.most, self.tell = most, tell
        self.settled = asked or min(begun_with or int(most == 1), most)
        self._open = asked is None and most > 1
        self._tried: dict[int, list[float]] = {1: [], most: []}
        self._recent: deque[float] = deque(maxlen=EVERY)
        self._first = True
        if self._open and begun_with:
            tell(f"a step goes on by {self.settled} of {most} threads; --threads says otherwise")

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Around a step, by its number."""
        count = self._for(number)
        start = time.perf_counter()
        with torch_threads(count):
            yield
        self._took(count, time.perf_counter() - start)

    def _for(self, number: int) -> int:
        if not self.settled:
            one, every = (len(times) for times in self._tried.values())
            return self.most if every < one else 1
        return 1 if self._open and number % EVERY == 0 else self.settled

    def _took(self, count: int, seconds: float) -> None:
        if not self._open:
            return
        if self.settled:
            self._watch(count, seconds)
        elif self._first:
            self._first = False
        else:
            self._tried[count].append(seconds)
            if min(len(times) for times in self._tried.values()) == TRIED:
                self._settle()

    def _settle(self) -> None:
        one, every = (statistics.median(times) for times in self._tried.values())
        self._open = every < WORTH * one
        self.settled = self.most if self._open else 1
        self.tell(
            f"a step takes {one:.3g} s by one thread and {every:.3g} s by {self.most}: {self.settled} from "
            "here on; --threads says otherwise"
        )

    def _watch(self, count: int, seconds: float) -> None:
        """Of a run whose steps take several threads: whether one would be faster by now."""
        if count > 1:
            self._recent.append(seconds)
        elif len(self._recent) >= EVERY // 2 and statistics.median(self._recent) > SLOW * seconds:
            self.tell(
                f"a step takes {statistics.median(self._recent):.3g} s by {self.settled} threads and "
                f"{seconds:.3g} s by one, for other programs use the cores: 1 from here on"
            )
            self.settled, self._open = 1, False

"""Webcams: films that come but once, and are recorded to be seen again."""

import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mpt.errors import InputError
from mpt.films.containers import FilmFile
from mpt.films.encoding import written
from mpt.films.frames import FASTEST, SLOWEST, Film, Frame, OfFilm, steadied


@dataclass(frozen=True, eq=False)
class Camera:
    """A webcam, by its number: the newest picture whenever one is asked for, until nobody asks any more."""

    number: int
    size_wh: tuple[int, int]
    fps: float
    device: Any = field(repr=False)
    length: int | None = None
    focal_mm: float | None = None

    @property
    def name(self) -> str:
        return f"camera {self.number}"

    @staticmethod
    def open(number: int) -> "Camera":
        """Raises InputError where no camera of this number gives pictures."""
        with suppress(AttributeError):  # it tells on stderr what an error here says
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        device = cv2.VideoCapture(number)
        found, picture = device.read() if device.isOpened() else (False, None)
        if not found or picture is None:
            device.release()
            raise InputError(
                f"--camera {number}: no camera of this number gives pictures; try another number, or see "
                "whether another program holds it"
            )
        rate = device.get(cv2.CAP_PROP_FPS)
        height, width = picture.shape[:2]
        return Camera(number, (width, height), rate if SLOWEST <= rate <= FASTEST else 30.0, device)

    def __iter__(self) -> Iterator[Frame]:
        yield from steadied(self._newest(), self)

    def _newest(self) -> Iterator[Frame]:
        newest: list[tuple[float, np.ndarray] | None] = []
        fresh, stopped = threading.Condition(), threading.Event()

        def read() -> None:
            found = True
            while found and not stopped.is_set():
                found, picture = self.device.read()
                with fresh:
                    newest[:] = [(time.monotonic(), picture[..., ::-1]) if found else None]
                    fresh.notify()

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        start, number = None, 0
        try:
            while True:
                with fresh:
                    while not newest:
                        fresh.wait(0.1)
                    taken = newest.pop()
                if taken is None:
                    return
                start = taken[0] if start is None else start
                yield Frame(number, taken[0] - start, np.ascontiguousarray(taken[1]))
                number += 1
        finally:
            stopped.set()
            thread.join()
            self.device.release()


@dataclass(eq=False)
class Recorded(OfFilm):
    """A film that comes but once, recorded in a file while it is watched, and read from there afterwards."""

    film: Film
    path: Path
    times_s: array = field(default_factory=lambda: array("d"))

    @property
    def fps(self) -> float:
        """As many as there were, once they have come."""
        spent = self.times_s[-1] - self.times_s[0] if len(self.times_s) > 1 else 0
        return (len(self.times_s) - 1) / spent if spent > 0 else self.film.fps

    def __iter__(self) -> Iterator[Frame]:
        if self.path.exists():
            again = FilmFile.of(self.path, None)
            yield from (frame._replace(time_s=at) for frame, at in zip(again, self.times_s))
            return
        width, height = (side // 2 * 2 for side in self.size_wh)
        with written(self.path, (width, height), self.film.fps, even=False) as write:
            for frame in self.film:
                write(frame.shown[:height, :width], frame.number, frame.time_s)
                self.times_s.append(frame.time_s)
                yield frame


def is_live(film: Film) -> bool:
    """Whether it comes but once: a camera, or the beginning of what one sees."""
    return isinstance(film, Camera) or isinstance(getattr(film, "film", None), Camera)

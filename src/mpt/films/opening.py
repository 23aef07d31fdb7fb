"""What is a film, and the film that a name means."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mpt.errors import InputError
from mpt.films.containers import FilmFile
from mpt.films.frames import FASTEST, SLOWEST, Film, Frame, OfFilm
from mpt.films.numbered import FilmFolder, numbered
from mpt.films.webcam import Camera
from mpt.images import HEAD, film_by_content, picture_by_content

FILMS = {
    *(".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov"),
    *(".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
}
"""Endings of files that are taken for films whatever they hold."""


def is_film(path: Path) -> bool:
    """Whether a name on the command line means a film: a file of one by its first bytes or its ending, or a
    folder of numbered pictures.
    """
    if path.is_dir():
        return bool(numbered(path))
    if not path.is_file():
        return path.suffix.lower() in FILMS
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return path.suffix.lower() in FILMS
    if film_by_content(head):
        return True
    return path.suffix.lower() in FILMS and not picture_by_content(head)


def open_film(path: str | os.PathLike, *, fps: float | None = None, seconds: float | None = None) -> Film:
    """The film in a file, or in a folder of numbered pictures.

    fps: frames a second, of a folder, or instead of what a file says.
    seconds: of which only so many are wanted, from the beginning.

    Raises InputError: nothing there, no film, a broken one, one without pictures.
    """
    if fps is not None and not (SLOWEST <= fps <= FASTEST):
        raise InputError(f"the frame rate is {fps:g}: give frames a second, between 0.01 and 1000")
    if seconds is not None and not seconds > 0:
        raise InputError(f"the first {seconds:g} seconds were asked for: give a number above 0")
    path = Path(path)
    film = FilmFolder.of(path, fps) if path.is_dir() else FilmFile.of(path, fps)
    return film if seconds is None else Beginning(film, seconds)


def open_camera(number: int, *, seconds: float | None = None) -> Film:
    """What a webcam sees, until nobody asks any more, or for so many seconds; it can be watched but once.

    Raises InputError where no camera of this number gives pictures.
    """
    if seconds is not None and not seconds > 0:
        raise InputError(f"--seconds is {seconds:g}: give a number above 0")
    camera = Camera.open(number)
    return camera if seconds is None else Beginning(camera, seconds)


@dataclass(frozen=True)
class Beginning(OfFilm):
    """The first seconds of a film."""

    film: Film
    seconds: float

    @property
    def length(self) -> int | None:
        wanted = max(math.ceil(self.seconds * self.fps), 1)
        return wanted if self.film.length is None else min(self.film.length, wanted)

    def __iter__(self) -> Iterator[Frame]:
        for frame in self.film:
            if frame.time_s >= self.seconds:
                return
            yield frame

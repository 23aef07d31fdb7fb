"""Frames of a film, one after another, wherever they come from.

Pictures come upright and with square pixels, HWC uint8 RGB, all as large as the first. No more than a few of
them are held at a time.
"""

import warnings
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import cv2
import numpy as np

SLOWEST, FASTEST = 0.01, 1000.0  # frames a second that are believed


class Frame(NamedTuple):
    """One picture of a film.

    ``number`` counts from 0; ``time_s`` since the first frame, ascending; ``pixels`` (H, W, 3) uint8 RGB,
    None of one that is broken.
    """

    number: int
    time_s: float
    pixels: np.ndarray | None

    @property
    def shown(self) -> np.ndarray:
        """The pixels of a frame that is not broken."""
        assert self.pixels is not None
        return self.pixels


class Film(Protocol):
    """What frames come from; each iteration begins again at the first frame, but of a camera.

    Attributes:
        name: what it is called in sentences.
        size_wh: of its pictures, upright, in pixels.
        fps: frames a second, on average where the times of frames vary.
        length: how many frames there are, as the file says or by its duration; None where nobody knows.
        focal_mm: the focal length that the file tells, as 35 mm equivalent, or None.
    """

    @property
    def name(self) -> str: ...
    @property
    def size_wh(self) -> tuple[int, int]: ...
    @property
    def fps(self) -> float: ...
    @property
    def length(self) -> int | None: ...
    @property
    def focal_mm(self) -> float | None: ...

    def __iter__(self) -> Iterator[Frame]: ...


class OfFilm:
    """What is told of a film holds of what is made of it, unless that says otherwise."""

    film: Film

    @property
    def name(self) -> str:
        return self.film.name

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.film.size_wh

    @property
    def fps(self) -> float:
        return self.film.fps

    @property
    def length(self) -> int | None:
        return self.film.length

    @property
    def focal_mm(self) -> float | None:
        return self.film.focal_mm


def steadied(frames: Iterator[Frame], film: Film) -> Iterator[Frame]:
    """With ascending times from 0 on, and pictures of one size: others are fitted in, which a note says."""
    last, told = -1.0, False
    for frame in frames:
        at = frame.time_s if frame.time_s > last else last + 0.5 / film.fps if last >= 0 else 0.0
        last, pixels = at, frame.pixels
        if pixels is not None and pixels.shape[:2] != film.size_wh[::-1]:
            if not told:
                (width, height), (wide, high) = film.size_wh, pixels.shape[1::-1]
                warnings.warn(
                    f"{film.name}: frame {frame.number} is {wide} x {high} pixels, the film began with "
                    f"{width} x {height}; such frames are fitted into that",
                    stacklevel=3,
                )
                told = True
            pixels = fitted(pixels, film.size_wh)
        yield Frame(frame.number, at, pixels)


def fitted(pixels: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """A picture made as large as fits into a size, black beside it."""
    height, width = pixels.shape[:2]
    factor = min(size_wh[0] / width, size_wh[1] / height)
    small = max(round(width * factor), 1), max(round(height * factor), 1)
    out = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    left, top = (size_wh[0] - small[0]) // 2, (size_wh[1] - small[1]) // 2
    out[top : top + small[1], left : left + small[0]] = cv2.resize(
        pixels, small, interpolation=cv2.INTER_AREA
    )
    return out

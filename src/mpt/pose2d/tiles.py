"""Squares of a photo in which a detector looks for what the whole photo shows too small."""

from dataclasses import dataclass

import cv2
import numpy as np

from mpt.crops import Crop

SEARCH_SIZE = 700  # a picture is shrunk to no less than this: 224 pixels for each third


@dataclass(frozen=True)
class Searched:
    """A photo, and the ``step`` times smaller one that is searched."""

    image: np.ndarray
    small: np.ndarray
    step: int

    @staticmethod
    def of(image: np.ndarray) -> "Searched":
        step = max(max(image.shape[:2]) // SEARCH_SIZE, 1)
        return Searched(image, shrunk(image, step), step)

    def parts(self, share: float, overlap: float = 0.5) -> list[Crop]:
        """Squares of the small one, their side this share of its longer one."""
        return tiles(self.small, share * max(self.small.shape[:2]), overlap)

    def in_full(self, square: Crop) -> Crop:
        """A square of the small one, where it lies in the photo."""
        return square.resized(self.step)

    def in_small(self, square: Crop) -> Crop:
        return square.resized(1 / self.step)


def shrunk(image: np.ndarray, step: int) -> np.ndarray:
    """The photo with ``step`` times fewer pixels along each side, averaged."""
    if step == 1:
        return image
    height, width = image.shape[:2]
    return cv2.resize(image, (-(-width // step), -(-height // step)), interpolation=cv2.INTER_AREA)


def whole(image: np.ndarray) -> Crop:
    height, width = image.shape[:2]
    return Crop(((width - 1) / 2, (height - 1) / 2), max(height, width))


def tiles(image: np.ndarray, side: float, overlap: float = 0.5) -> list[Crop]:
    """Squares that cover the photo, neighbours overlapping by at least this share of their side."""
    height, width = image.shape[:2]

    def centers(length: int) -> np.ndarray:
        if length <= side:
            return np.array([length / 2])
        return np.linspace(
            side / 2, length - side / 2, int(np.ceil((length - side) / (side * (1 - overlap)))) + 1
        )

    return [Crop((x - 0.5, y - 0.5), side) for y in centers(height) for x in centers(width)]

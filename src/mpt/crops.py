"""Square crops of photos, and the affine maps between crop and photo.

Pixels are (x, y) and (0, 0) is the centre of the first one. A crop's own coordinates ("ndc") run from
-1 to 1 between its edges, so pixel u of a crop of ``size`` pixels lies at ``(u + 0.5) / size * 2 - 1``.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Crop:
    """A square cut out of a photo.

    Attributes:
        center_px: (x, y) of its centre in the photo.
        side_px: its side in pixels of the photo.
        rotation: radians by which the square is turned, clockwise as seen (x towards y). People's crops
            are upright; only the regions that BlazePose looks at are turned.
    """

    center_px: tuple[float, float]
    side_px: float
    rotation: float = 0.0

    @staticmethod
    def around(points_px: np.ndarray, factor: float = 1.25) -> "Crop":
        """The upright square around the box of points (N, 2+), ``factor`` times the box's longer side."""
        low, high = points_px[:, :2].min(0), points_px[:, :2].max(0)
        x, y = (low + high) / 2
        return Crop((float(x), float(y)), max(float((high - low).max()) * factor, 1.0))

    def resized(self, factor: float) -> "Crop":
        """The same crop in a photo made ``factor`` times as large."""
        x, y = ((center + 0.5) * factor - 0.5 for center in self.center_px)
        return Crop((x, y), self.side_px * factor, self.rotation)

    @property
    def image_from_ndc(self) -> np.ndarray:
        """2x3: crop coordinates in [-1, 1] -> pixels of the photo."""
        half = self.side_px / 2
        c, s = half * np.cos(self.rotation), half * np.sin(self.rotation)
        x, y = self.center_px
        return np.array([[c, -s, x], [s, c, y]])

    @property
    def ndc_from_image(self) -> np.ndarray:
        """2x3: pixels of the photo -> crop coordinates in [-1, 1]."""
        return invert(self.image_from_ndc)

    def image_from_crop(self, size: int) -> np.ndarray:
        """2x3: pixels of the crop resized to ``size`` x ``size`` -> pixels of the photo."""
        edge = 1 / size - 1
        return compose(self.image_from_ndc, np.array([[2 / size, 0, edge], [0, 2 / size, edge]]))

    def crop_from_image(self, size: int) -> np.ndarray:
        """2x3: pixels of the photo -> pixels of the crop resized to ``size`` x ``size``."""
        return invert(self.image_from_crop(size))

    def warp(self, image: np.ndarray, size: int) -> np.ndarray:
        """The crop as (size, size, C) pixels, black outside the photo, area-averaged where it shrinks."""
        image_from_crop = self.image_from_crop(size)
        edges = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * 1.0
        corners = apply(self.image_from_ndc, edges)
        limit = np.array([image.shape[1], image.shape[0]])
        x0, y0 = np.clip(np.floor(corners.min(0)) - 2, 0, limit).astype(int)
        x1, y1 = np.clip(np.ceil(corners.max(0)) + 3, 0, limit).astype(int)
        patch = image[y0:y1, x0:x1]
        if patch.size == 0:
            return np.zeros((size, size, *image.shape[2:]), image.dtype)
        shrink = max(int(self.side_px / size), 1)
        small_wh = np.maximum(np.ceil([(x1 - x0) / shrink, (y1 - y0) / shrink]), 1).astype(int)
        if shrink > 1:
            patch = cv2.resize(patch, small_wh.tolist(), interpolation=cv2.INTER_AREA)
        ratio = small_wh / [x1 - x0, y1 - y0]
        offset = (0.5 - np.array([x0, y0])) * ratio - 0.5
        patch_from_image = np.array([[ratio[0], 0, offset[0]], [0, ratio[1], offset[1]]])
        return cv2.warpAffine(
            patch,
            compose(patch_from_image, image_from_crop),
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )


def apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A 2x3 affine map of points (..., 2)."""
    return points @ affine[:, :2].T + affine[:, 2]


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The 2x3 map that does ``inner``, then ``outer``."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def invert(affine: np.ndarray) -> np.ndarray:
    """The inverse of a 2x3 affine map."""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])


# ------------------------------------------------------------------------------------- many at once, in torch


class Squares(NamedTuple):
    """N squares of pictures, each turned clockwise by ``rotation`` radians: Crop, batched."""

    center: Tensor  # (N, 2)
    side: Tensor  # (N,)
    rotation: Tensor  # (N,)

    @property
    def picture_from_ndc(self) -> Tensor:
        """(N, 2, 3) from their [-1, 1] to the picture's coordinates."""
        c, s = self.side / 2 * self.rotation.cos(), self.side / 2 * self.rotation.sin()
        x, y = self.center.unbind(-1)
        return torch.stack([c, -s, x, s, c, y], -1).unflatten(-1, (2, 3))

    def pixels(self, size: int) -> Tensor:
        """(N, 2, 3) from the picture's coordinates to pixels of a square drawn with so many."""
        back = inverse(self.picture_from_ndc) * (size / 2)
        return back + back.new_tensor([[0, 0, (size - 1) / 2], [0, 0, (size - 1) / 2]])


def applied(affine: Tensor, points: Tensor) -> Tensor:
    """Affine maps (N, 2, 3) of points (N, P, 2)."""
    return points @ affine[:, :, :2].mT + affine[:, None, :, 2]


def then(first: Tensor, second: Tensor) -> Tensor:
    """The (N, 2, 3) maps that do ``first``, then ``second``."""
    linear = second[:, :, :2] @ first[:, :, :2]
    return torch.cat([linear, second[:, :, :2] @ first[:, :, 2:] + second[:, :, 2:]], -1)


def inverse(affine: Tensor) -> Tensor:
    """The inverses of (N, 2, 3) affine maps."""
    linear = torch.linalg.inv(affine[:, :, :2])
    return torch.cat([linear, -linear @ affine[:, :, 2:]], -1)


def pixel_grid(size: int, device: torch.device | str = "cpu") -> Tensor:
    """(size^2, 2) x, y of a square's pixels, row by row."""
    along = torch.arange(size, device=device, dtype=torch.float32)
    y, x = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)

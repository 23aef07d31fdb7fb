"""A single-shot detector: at each of its anchors a score, a box and some points; and what these become."""

from collections.abc import Iterator, Sequence

import numpy as np

from mpt.crops import Crop, apply
from mpt.pose2d.litert import Network, sigmoid

NMS_IOU = 0.3


class SingleShot:
    """Looks at squares of a photo with a network that sees ``size`` pixels a side, 0 to 1 or, where it is
    ``signed``, -1 to 1. ``grids`` are its anchors (:func:`anchor_centers`).
    """

    def __init__(
        self, network: Network, size: int, grids: Sequence[tuple[int, int]], *, signed: bool = False
    ) -> None:
        self._network, self._size, self._signed = network, size, signed
        self._anchors = anchor_centers(grids)

    def __call__(self, image: np.ndarray, tile: Crop, *least: float) -> Iterator[tuple[float, np.ndarray]]:
        """What a square part of a photo shows with a score of ``least``, overlapping boxes merged: the best
        score, and (2 + k, 2) corners and points in pixels of the photo. Of several, falling, what lies above
        one is not merged with what lies below it.
        """
        pixels = tile.warp(image, self._size).astype(np.float32)
        raw, logits = self._network(pixels / 127.5 - 1 if self._signed else pixels / 255)
        scores, highest = sigmoid(logits[:, 0]), np.inf
        for low in least:
            some = np.flatnonzero((scores >= low) & (scores < highest))
            points = decode_boxes(raw[some], self._anchors[some], self._size)
            yield from merge_overlapping(scores[some], apply(tile.image_from_ndc, points * 2 - 1))
            highest = low


def anchor_centers(grids: Sequence[tuple[int, int]]) -> np.ndarray:
    """(A, 2) x, y over a unit square: for each grid (cells along a side, anchors in a cell), row by row."""
    return np.concatenate([_grid_centers(cells).repeat(count, 0) for cells, count in grids])


def _grid_centers(cells: int) -> np.ndarray:
    y, x = np.mgrid[:cells, :cells].reshape(2, -1)
    return (np.stack([x, y], 1) + 0.5) / cells


def decode_boxes(raw: np.ndarray, anchors: np.ndarray, size: int) -> np.ndarray:
    """(N, 4 + 2 k) outputs at their anchors (N, 2) -> (N, 2 + k, 2): two corners of a box, then k points.

    The outputs are the box's centre, its size and the points, in pixels of the ``size`` that the detector
    sees and, but for the box's size, relative to the anchor; the result is in units of the picture.
    """
    values, anchors = raw.reshape(-1, raw.shape[1] // 2, 2) / size, anchors[:, None]
    center = values[:, :1] + anchors
    corners = np.concatenate([center - values[:, 1:2] / 2, center + values[:, 1:2] / 2], 1)
    return np.concatenate([corners, values[:, 2:] + anchors], 1)


def merge_overlapping(scores: np.ndarray, points: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
    """Weighted non-maximum suppression: the best, averaged with all that overlap it, then the next best.

    ``points`` (N, 2 + k, 2): two corners of a box first. Yields (best score, (2 + k, 2) mean points).
    """
    order = np.argsort(-scores)
    scores, points = scores[order], points[order]
    while len(scores):
        low = np.maximum(points[0, 0], points[:, 0])
        high = np.minimum(points[0, 1], points[:, 1])
        common = np.clip(high - low, 0, None).prod(1)
        areas = (points[:, 1] - points[:, 0]).prod(1)
        merged = common > NMS_IOU * (areas[0] + areas - common)
        merged[0] = True
        weights = scores[merged] / scores[merged].sum()
        yield float(scores[0]), np.tensordot(weights, points[merged], 1)
        scores, points = scores[~merged], points[~merged]

"""Small networks in .tflite files, run by LiteRT, and what their single-shot detectors have in common."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

NMS_IOU = 0.3


class Network:
    """A .tflite file: one input picture, outputs in the order of their names. Threads may share it.

    An interpreter keeps its input and outputs in one place, so each call has one for itself: one that is
    idle, or else a new one. There are as many as calls have met. Copies, also in other processes, read the
    file again.
    """

    def __init__(self, path: Path, num_threads: int):
        self.path, self.num_threads = path, num_threads
        self._idle = [_Interpreter(path, num_threads)]

    def __reduce__(self) -> tuple[type["Network"], tuple[Path, int]]:
        return Network, (self.path, self.num_threads)

    def __call__(self, pixels: np.ndarray) -> list[np.ndarray]:
        try:
            interpreter = self._idle.pop()
        except IndexError:
            interpreter = _Interpreter(self.path, self.num_threads)
        try:
            return interpreter(pixels)
        finally:
            self._idle.append(interpreter)


class _Interpreter:
    """LiteRT's, for one call at a time."""

    def __init__(self, path: Path, num_threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with _quiet():
            self._interpreter = Interpreter(str(path), num_threads=num_threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = sorted(self._interpreter.get_output_details(), key=lambda output: output["name"])
        self._outputs = [output["index"] for output in outputs]

    def __call__(self, pixels: np.ndarray) -> list[np.ndarray]:
        self._interpreter.set_tensor(self._input, pixels[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


@contextmanager
def _quiet() -> Iterator[None]:
    """LiteRT announces its CPU delegate on stderr, past Python: once for each network of each command."""
    with _quieting:
        stderr, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            os.close(nothing)


_quieting = threading.Lock()
"""Two threads that turned stderr away and back at once would leave it turned away."""


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


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -80, 80)))


def upright(points: np.ndarray, rotation: float) -> np.ndarray:
    """3D points (N, 3) in the axes of a region turned by ``rotation`` radians -> in the photo's."""
    c, s = np.cos(rotation), np.sin(rotation)
    return points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])

"""RTMPose and its whole-body kin, found and run by the rtmlib package on ONNX runtime (Jiang et al. 2023).

rtmlib fetches its networks' weights itself, at first use and under their makers' terms; nothing of them is
contained here or checked. What it gives are keypoints with scores; they are drawn as those of a file are.
"""

import contextlib
import sys
from functools import partial
from typing import Any, Protocol

import cv2
import numpy as np

from mpt.errors import InputError
from mpt.pose2d.base import Person2D
from mpt.pose2d.keypoints import Keypoints
from mpt.pose2d.keypoints.drawing import problem_of, without_far_guesses
from mpt.pose2d.keypoints.orders import ORDERS
from mpt.skeletons import COCO29, find


class Solution(Protocol):
    """What rtmlib calls so: ``Wholebody``, ``BodyWithFeet``, ``Body``, ``Custom``."""

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) uint8 BGR -> keypoints (N, K, 2) in pixels and scores (N, K)."""
        ...


class RtmLib:
    """Finds the people in a photo and draws their joints; ``mpt.pose2d.base.Pose2D``.

    ``solution``: one of rtmlib's, with 17 (COCO), 26 (Halpe) or 133 points (COCO-WholeBody) in mmpose's
    order; by default ``rtmlib.Wholebody()``. Joints go by name; those that it does not see are missing.

    Raises:
        InputError: rtmlib or its runtime is not installed, or its weights cannot be fetched or read; when
            called, a solution of other joints.
    """

    skeleton = COCO29
    assets = ()

    def __init__(self, solution: Solution | None = None, *, heatmap_size: int = 224):
        self._given = solution
        self.solution: Any = _wholebody() if solution is None else solution
        self.heatmap_size = heatmap_size

    def __reduce__(self) -> tuple:
        return partial(RtmLib, heatmap_size=self.heatmap_size), (self._given,)  # its weights are read again

    def __call__(self, image: np.ndarray) -> list[Person2D]:
        """(H, W, 3) uint8 RGB -> people, the surest first."""
        points, scores = self._look_at(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if points.shape[1] not in ORDERS:
            raise InputError(
                f"{type(self.solution).__name__} of rtmlib gave {points.shape[1]} points, expected 17, 26 or "
                "133: take Body, BodyWithFeet or Wholebody, with to_openpose=False"
            )
        height, width = image.shape[:2]
        joints = without_far_guesses(_by_name(points, scores), width, height)
        shown = [each for each in joints if (each[:, 2] > 0).sum() > 1]
        people = [each for each in shown if problem_of(each, width, height) is None]
        return Keypoints(
            np.reshape(people, (-1, len(COCO29), 3)),
            skeleton=COCO29,
            source="rtmlib",
            heatmap_size=self.heatmap_size,
        )(image)

    def _look_at(self, bgr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints (N, K, 2), scores (N, K); rtmlib itself takes a photo without boxes for somebody."""
        if not hasattr(self.solution, "det_model"):
            return self.solution(bgr)
        boxes = self.solution.det_model(bgr)
        if len(boxes) == 0:
            return np.zeros((0, len(COCO29), 2)), np.zeros((0, len(COCO29)))
        return self.solution.pose_model(bgr, bboxes=boxes)


def _by_name(points: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Points (N, K, 2) and scores (N, K) in the order that K tells -> COCO29's joints (N, 29, 3)."""
    names = ORDERS[points.shape[1]].joints
    given = np.concatenate([points, scores[..., None]], -1)
    given[~(np.isfinite(given).all(-1) & (given[..., 2] > 0))] = 0
    rows = np.array([find(joint, names) for joint in COCO29.joints])
    found = given[:, rows]
    found[:, rows < 0] = 0
    return found


def _wholebody() -> Solution:
    try:
        import rtmlib  # pyright: ignore[reportMissingImports]

        with contextlib.redirect_stdout(sys.stderr):  # it tells on stdout what it loads
            return rtmlib.Wholebody()
    except ImportError as error:
        raise InputError(
            f"--pose2d rtmlib needs the rtmlib package ({error}): run "
            "`pip install 'mesh-pretraining[rtmlib]'`"
        ) from error
    except Exception as error:  # those of urllib, zipfile and onnxruntime have no common class of their own
        raise InputError(
            f"rtmlib could neither fetch nor find its weights ({type(error).__name__}: {error}): connect "
            "to the network once, or put them where rtmlib keeps them (~/.cache/rtmlib/hub/checkpoints)"
        ) from error

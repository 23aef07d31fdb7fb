"""How a film's camera turns, told by what stands still behind the people.

A hand that holds a camera, or a pan, turns it far more than it moves it, as far as what is in the picture
goes. So corners of the background are followed, people left out, and the one rotation is sought under which
their rays stay; those that disagree (somebody unseen, a tree) hardly count. Of a camera that stands, nothing
is told but that it does.
"""

import cv2
import numpy as np

from mpt.views import Pinhole

SIDE = 360  # pixels of the longer side of pictures in which corners are followed
CORNERS = 150
FEWEST = 20  # corners that tell a rotation
KEPT = 0.6  # of a keyframe's corners; with fewer of them the next one begins
STILL_PX = 0.35  # of SIDE, within which a camera stands
OFF_PX = 1.0  # beyond which corners count less and less
EXPLAINED = 0.4  # a turn leaves less of the corners' ways than that, or it is none: a bare wall's grain
ROUNDS = 8
MARGIN = 0.1  # of a person's box, which belongs to them


class Steady:
    """Fed with a film's frames, one after another: how each one's camera is turned from the first one's."""

    def __init__(self, camera: Pinhole, size_wh: tuple[int, int]) -> None:
        self._scale = min(SIDE / max(size_wh), 1.0)
        self._focal = np.array(camera.focal_px) * self._scale
        self._principal = (np.array(camera.principal_px) + 0.5) * self._scale - 0.5
        self._turn = np.eye(3)  # of the keyframe, from the first frame
        self._latest = np.eye(3)  # of the frame before, from the keyframe
        self._before: np.ndarray | None = None
        self._from: np.ndarray = np.zeros((0, 2), np.float32)  # corners in the keyframe ...
        self._now: np.ndarray = np.zeros((0, 2), np.float32)  # ... and where they are
        self._count = 0

    def __call__(self, image: np.ndarray, boxes_xywh: np.ndarray) -> np.ndarray:
        """(3, 3): ``x_now = this @ x_first``, in camera axes.

        image: (H, W, 3) uint8. boxes_xywh: (P, 4) where people are, in its pixels.
        """
        size = [max(1, round(side * self._scale)) for side in image.shape[1::-1]]
        grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        if self._before is not None and len(self._now):
            self._follow(grey)
            self._latest = self._rotation()
        if len(self._now) < max(FEWEST, KEPT * self._count):
            self._begin(grey, boxes_xywh)
        self._before = grey
        return self._latest @ self._turn

    def _begin(self, grey: np.ndarray, boxes_xywh: np.ndarray) -> None:
        """This frame is the keyframe."""
        self._turn, self._latest = self._latest @ self._turn, np.eye(3)
        behind = np.full(grey.shape, 255, np.uint8)
        for x, y, width, height in np.asarray(boxes_xywh, float).reshape(-1, 4) * self._scale:
            edge = MARGIN * max(width, height)
            low = np.maximum([x - edge, y - edge], 0).astype(int)
            high = np.maximum([x + width + edge, y + height + edge], 0).astype(int)
            behind[low[1] : high[1] + 1, low[0] : high[0] + 1] = 0
        corners = cv2.goodFeaturesToTrack(grey, CORNERS, 0.01, 7, mask=behind)
        self._from = np.zeros((0, 2), np.float32) if corners is None else corners[:, 0]
        self._now, self._count = self._from.copy(), len(self._from)

    def _follow(self, grey: np.ndarray) -> None:
        """Where the corners have come to; those that do not come back where they were are lost."""
        there, found, _ = cv2.calcOpticalFlowPyrLK(self._before, grey, self._now[:, None], None)
        back, again, _ = cv2.calcOpticalFlowPyrLK(grey, self._before, there, None)
        apart = np.linalg.norm(back[:, 0] - self._now, axis=1)
        good = (found[:, 0] > 0) & (again[:, 0] > 0) & (apart < 0.5)
        self._from, self._now = self._from[good], there[good, 0]

    def _rotation(self) -> np.ndarray:
        """(3, 3) from the keyframe's camera axes to the present ones."""
        if len(self._now) < FEWEST:
            return self._latest
        if np.median(np.linalg.norm(self._now - self._from, axis=1)) < STILL_PX:
            return np.eye(3)
        a, b = (self._rays(points) for points in (self._from, self._now))
        weight, turn = np.ones(len(a)), np.eye(3)
        for _ in range(ROUNDS):
            u, _, vt = np.linalg.svd((b * weight[:, None]).T @ a)
            turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
            off = np.linalg.norm(a @ turn.T - b, axis=1) * self._focal.mean()
            weight = 1 / (1 + (off / OFF_PX) ** 2) ** 2
        before = np.linalg.norm(a - b, axis=1) * self._focal.mean()
        return turn if np.median(off) < EXPLAINED * np.median(before) else self._latest

    def _rays(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) unit vectors through pixels (N, 2) of the small picture."""
        xy = (points - self._principal) / self._focal
        rays = np.concatenate([xy, np.ones((len(xy), 1))], 1)
        return rays / np.linalg.norm(rays, axis=1, keepdims=True)

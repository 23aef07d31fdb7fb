"""Known points of the people, or hands, in a photo, drawn as heatmaps."""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mpt.crops import Crop, apply
from mpt.errors import InputError
from mpt.heatmaps import PAPER_STD_PX, blobs, render
from mpt.pose2d.base import CROP_FACTOR, Person2D
from mpt.pose2d.candidates import LeftOut, note
from mpt.skeletons import COCO17, COCO29, Skeleton, begin_alike, core, of_count

DOUBTFUL = 0.5  # a joint's score, below which it may lie anywhere
MANY = 6  # joints in one line are nobody's
MIN_PX = 4.0  # nobody is recognised in less, and people of 0 to 1 are no pixels
LARGEST_SHARES = 2.0  # an extent that is larger is one of pixels
SKEWED = 1.1  # the same picture's sides are in one proportion, up to this factor


@dataclass(frozen=True)
class Extent:
    """Where a picture's edges are in the coordinates of its keypoints: 0, 0, 1, 1 for shares of its sides."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def size(self) -> tuple[float, float]:
        return self.right - self.left, self.bottom - self.top

    def to_pixels(self, points: np.ndarray, width: int, height: int) -> np.ndarray:
        """Points (..., 3) x, y, score -> x, y in pixels of a picture of this size."""
        wide, high = self.size
        scale = [width / wide, height / high, 1]
        return (points - [self.left, self.top, 0]) * scale


class Keypoints:
    """Known joints of the people, or hands, in one photo; ``mpt.pose2d.base.Pose2D``.

    ``points_px`` (N, J, 3) or (J, 3): x, y in pixels and score in 0-1, in the skeleton's order; score 0 means
    missing. Of people, 17 are COCO's joints and 29 those with feet and hands, whichever are asked for. Who
    has fewer than two joints is left out. ``mirrored``, one for all or (N,): which hands are left ones, whose
    maps show a right one. ``extent``: where the picture is in the points' coordinates, if these are no
    pixels.

    Raises:
        InputError: another number of joints or sides, mirrored people, or points that are not finite; when
            called with an image, points that all do not belong to it. ``source`` names where they came from.
    """

    def __init__(
        self,
        points_px: np.ndarray,
        *,
        skeleton: Skeleton = COCO17,
        mirrored: bool | Sequence[bool] | np.ndarray = False,
        source: str = "the keypoint array",
        heatmap_size: int = 224,
        extent: Extent | None = None,
    ):
        points = np.asarray(points_px, dtype=np.float64)
        points = points[None] if points.ndim == 2 else points
        if points.ndim == 3:
            skeleton = of_count(points.shape[1], skeleton)
        if points.ndim != 3 or points.shape[1:] != (len(skeleton), 3):
            raise InputError(
                f"{source} has the shape {np.shape(points_px)}, expected (people, {len(skeleton)}, 3): "
                f"x, y and score of {_the_joints_of(skeleton)}"
            )
        if not np.isfinite(points).all():
            raise InputError(f"{source} holds NaN or infinite numbers: mark a missing joint as 0, 0, 0")
        if np.shape(mirrored) not in ((), (len(points),)):
            raise InputError(
                f"{source} has {len(points)} hands, but {np.size(mirrored)} are said to be mirrored or not: "
                "give one bool for each"
            )
        if np.any(mirrored) and skeleton.two_sided:
            raise InputError(
                f"mirrored is for hands, but {source} has the joints of {skeleton.name}: give the picture "
                "and its joints as they are"
            )
        self.points_px = points
        self.skeleton = skeleton
        self.mirrored = np.broadcast_to(np.asarray(mirrored, dtype=bool), len(points))
        self.source = source
        self.heatmap_size = heatmap_size
        self.extent = extent

    def __call__(self, image: np.ndarray) -> list[Person2D]:
        """(H, W, 3) image -> people with drawn heatmaps, the surest first.

        Who is not in it, or in a few of its pixels, is left out, which a warning says, if others remain.
        """
        height, width = image.shape[:2]
        points = without_far_guesses(self._in_pixels(width, height), width, height)
        shown = (points[..., 2] > 0).sum(1) > 1
        found = list(zip(points[shown], self.mirrored[shown]))
        problems = [problem_of(points, width, height) for points, _ in found]
        wrong = [problem for problem in problems if problem is not None]
        if wrong and len(wrong) == len(found):
            raise InputError(f"{self.source} has a {self.skeleton.of[0]} {wrong[0]}: {wrong[0].advice}")
        note(self.source, Counter(map(str, wrong)), self.skeleton.of)
        people = [self._person(*who) for who, problem in zip(found, problems) if problem is None]
        return sorted(people, key=lambda person: -person.score)

    def _in_pixels(self, width: int, height: int) -> np.ndarray:
        if self.extent is None:
            return self.points_px
        wide, high = self.extent.size
        if (wide, high) == (height, width) != (width, height):
            warnings.warn(
                f"{self.source} has the width and height of this {width} x {height} picture exchanged: its "
                "keypoints are taken for pixels of the upright picture",
                stacklevel=3,
            )
            return self.points_px
        if wide > LARGEST_SHARES and (wide, high) != (width, height):
            if not 1 / SKEWED < wide / high * height / width < SKEWED:
                raise InputError(
                    f"{self.source} has keypoints of a picture of {wide:g} x {high:g} pixels, and this is "
                    f"one of {width} x {height}: give the very picture"
                )
            warnings.warn(
                f"{self.source} has keypoints of a picture of {wide:g} x {high:g} pixels: they are scaled to "
                f"the {width} x {height} of this one",
                stacklevel=3,
            )
        return self.extent.to_pixels(self.points_px, width, height)

    def _person(self, points: np.ndarray, mirrored: np.bool_) -> Person2D:
        joints = np.column_stack([points[:, :2], np.clip(points[:, 2], 0, 1)])
        body = joints[: len(core(self.skeleton))]
        seen = body[body[:, 2] > 0]
        seen = seen if len(seen) > 1 else joints[joints[:, 2] > 0]
        low, high = seen[:, :2].min(0), seen[:, :2].max(0)
        crop = Crop.around(seen, CROP_FACTOR)
        return Person2D(
            bbox_xywh=(*map(float, low), *map(float, high - low)),
            score=float(seen[:, 2].mean()),
            joints2d_px=joints,
            crop=crop,
            heatmaps=draw(joints, crop, self.heatmap_size, mirrored=bool(mirrored)),
            mirrored=bool(mirrored),
            skeleton=self.skeleton,
        )


def without_far_guesses(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """People (N, J, 3) without those doubtful joints that lie half a picture or more outside of it.

    MediaPipe places the legs of somebody at a desk there, and scores them near 0.
    """
    far = pixels_outside(points[..., :2], width, height) > max(width, height) / 2
    sure = (points[..., 2] >= DOUBTFUL) & ~far
    dropped = far & (points[..., 2] < DOUBTFUL) & (sure.sum(-1, keepdims=True) > 1)
    return np.where(dropped[..., None], 0, points)


def pixels_outside(xy: np.ndarray, width: int, height: int) -> np.ndarray:
    """(..., 2) -> (...) by how many pixels points lie beyond the nearest edges; inside, below 0."""
    return np.maximum(-xy, xy - [width - 1, height - 1]).max(-1)


def problem_of(points: np.ndarray, width: int, height: int) -> LeftOut | None:
    """What keeps joints (J, 3) from being somebody in a picture of this size."""
    xy = points[points[:, 2] > 0, :2]
    side = np.ptp(xy, 0).max()
    if side < MIN_PX:
        return LeftOut(
            f"no larger than {side:.2g} pixels", "give x, y in pixels of the picture, not in shares of it"
        )
    narrow, long = np.sort(np.ptp(xy, 0))
    if len(xy) >= MANY and narrow < 1 and long > 10 * MIN_PX:
        return LeftOut(
            f"{narrow:.2g} pixels wide and {long:.4g} long", "give both x and y in pixels of the picture"
        )
    outside = pixels_outside(xy, width, height)
    if outside.max() > max(width, height) / 2 or outside.min() > 0.5:
        x, y = xy[outside.argmax()]
        return LeftOut(
            f"with a joint at ({x:.5g}, {y:.5g}), outside its {width} x {height} picture",
            "give x, y in pixels of the very picture",
        )
    return None


def _the_joints_of(skeleton: Skeleton) -> str:
    if begin_alike(skeleton, COCO17):
        return f"the 17 COCO joints, or the {len(COCO29)} with feet and hands"
    return f"the {len(skeleton)} joints of {skeleton.name}"


def draw(
    joints_px: np.ndarray,
    crop: Crop,
    size: int,
    *,
    std_px: float | np.ndarray = PAPER_STD_PX,
    mirrored: bool = False,
) -> np.ndarray:
    """(J, 3) joints of a photo -> (J, size, size) blobs in a crop or its mirror image, as high as the scores.

    ``std_px``, for all or (J,): the blobs' standard deviation in a 224 px crop; by default the paper's.
    """
    points = torch.from_numpy(apply(crop.crop_from_image(size), joints_px[:, :2])).float()
    if mirrored:
        points[:, 0] = size - 1 - points[:, 0]
    peaks = torch.from_numpy(joints_px[:, 2]).float()
    std = torch.as_tensor(std_px, dtype=torch.float32) * size / 224
    return render(blobs(points[None], std, peaks[None]), size)[0].numpy()

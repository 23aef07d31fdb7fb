"""People as BlazePose's two networks see them: detections, and figures with landmarks and heatmaps.

Of COCO29's joints it finds 27 (a small toe is none of its landmarks) and gives maps of all but the knuckles.
Who is somebody, how large a person is and where the crop lies, COCO's 17 tell.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from mpt.crops import Crop, apply, compose, invert
from mpt.pose2d.base import CROP_FACTOR, Person2D
from mpt.pose2d.blaze import direction, upright
from mpt.pose2d.litert import Network, sigmoid
from mpt.skeletons import BLAZEPOSE33, COCO17, COCO29, remap

LANDMARK_SIZE = 256
ROI_FACTOR = 1.25
MIN_DETECTION = 0.5  # detector score from which a person is looked at
MIN_SCORE_INSIDE = 0.5  # Figure's, inside another person, where arms and folds look like little people
MIN_PEAK = 0.1  # below this a map shows nothing: the landmark output places the joint

LANDMARKS = remap(BLAZEPOSE33, COCO29)
DRAWN = LANDMARKS >= 0
# Knuckles are found, and their maps kept back: it draws all three in the middle of the hand, and meshes of
# photos are worse for them (docs/results.md).
MAPPED = DRAWN & np.array(["knuckle" not in joint for joint in COCO29.joints])
BODY = slice(len(COCO17))  # the joints by which people are told apart, measured and framed
HIPS = COCO17.indices("left_hip", "right_hip")
# Cell k of the 64 lies at pixel 4 k of the 256, counted from the region's edge: no half cell is added.
NDC_FROM_CELL = np.array([[1 / 32, 0, -1], [0, 1 / 32, -1]])
CELL_FROM_NDC = invert(NDC_FROM_CELL)


@dataclass(frozen=True)
class Detection:
    """A person as the detector sees one: ``roi`` is the region to look at."""

    score: float
    roi: Crop

    @property
    def sure(self) -> bool:
        return self.score >= MIN_DETECTION


@dataclass(frozen=True)
class Figure:
    """A person as the landmark network sees one, in its region of interest.

    ``joints_px`` (29, 3) x, y, score, zeros for what is not drawn; ``maps`` (64, 64, 29) in the region;
    ``world`` (33, 3) metres.
    """

    detection_score: float
    presence: float
    roi: Crop
    next_roi: Crop
    joints_px: np.ndarray
    maps: np.ndarray
    world: np.ndarray

    @property
    def body_px(self) -> np.ndarray:
        """(17, 3) COCO's joints alone."""
        return self.joints_px[BODY]

    @property
    def score(self) -> float:
        """Both networks' scores times the mean of the eight highest peaks: half a person is one, too."""
        return self.detection_score * self.likeness

    @property
    def likeness(self) -> float:
        """The same by the landmark network alone."""
        return self.presence * float(np.sort(self.body_px[:, 2])[-8:].mean())

    @property
    def hips_px(self) -> np.ndarray:
        return self.joints_px[HIPS, :2].mean(0)

    @property
    def size_px(self) -> float:
        return float(np.ptp(self.body_px[:, :2], axis=0).max())

    def explains(self, detection: Detection) -> bool:
        """The detection lies on this person's hips and is of this size; a weak one need not be as near."""
        distance = float(np.linalg.norm(self.hips_px - detection.roi.center_px)) / self.roi.side_px
        size = detection.roi.side_px / self.roi.side_px
        return (distance < 0.15 and 0.5 < size < 2) or (not detection.sure and distance < 0.2 and size < 2.5)

    def same_as(self, other: "Figure") -> bool:
        distances = np.linalg.norm(self.body_px[:, :2] - other.body_px[:, :2], axis=1)
        return bool(np.median(distances) < 0.15 * max(self.size_px, other.size_px))

    def phantom_of(self, other: "Figure") -> bool:
        """A weak small figure, most of it inside the box of a person twice as large: a part of that one."""
        low, high = other.body_px[:, :2].min(0), other.body_px[:, :2].max(0)
        inside = ((self.body_px[:, :2] >= low) & (self.body_px[:, :2] <= high)).all(1).mean()
        return self.score < MIN_SCORE_INSIDE and self.size_px < other.size_px / 2 and inside > 0.5

    def person(self, heatmap_size: int) -> Person2D:
        seen = self.body_px[self.body_px[:, 2] >= MIN_PEAK]
        seen = seen if len(seen) > 1 else self.body_px
        low, high = seen[:, :2].min(0), seen[:, :2].max(0)
        crop = Crop.around(seen, CROP_FACTOR)
        return Person2D(
            bbox_xywh=(*map(float, low), *map(float, high - low)),
            score=self.score,
            joints2d_px=self.joints_px,
            crop=crop,
            heatmaps=self._maps_in(crop, heatmap_size),
            world_landmarks=self.world,
            skeleton=COCO29,
        )

    def _maps_in(self, crop: Crop, size: int) -> np.ndarray:
        cell_from_crop = compose(CELL_FROM_NDC, compose(self.roi.ndc_from_image, crop.image_from_crop(size)))
        warped = np.zeros((len(COCO29), size, size), np.float32)
        for joint in np.flatnonzero(MAPPED):
            cv2.warpAffine(
                np.ascontiguousarray(self.maps[..., joint]), cell_from_crop, (size, size), dst=warped[joint],
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            )  # fmt: skip
        return warped


class Landmarker:
    """Landmarks and their heatmaps inside a region of interest."""

    def __init__(self, network: Network):
        self._network = network

    def __call__(
        self, image: np.ndarray, roi: Crop, detection_score: float, *, mirrored_look: bool = False
    ) -> Figure:
        pixels = roi.warp(image, LANDMARK_SIZE).astype(np.float32) / 255
        seen = self._look(pixels)
        if mirrored_look:
            seen = seen.averaged(self._look(np.ascontiguousarray(pixels[:, ::-1])).mirrored())
        points_px = apply(roi.image_from_ndc, seen.points)
        cells, peaks = peaks_of(seen.maps)
        joints_px = np.where(
            peaks[:, None] >= MIN_PEAK,
            apply(compose(roi.image_from_ndc, NDC_FROM_CELL), cells),
            points_px[LANDMARKS],
        )
        joints_px[~DRAWN] = 0
        return Figure(
            detection_score=detection_score,
            presence=seen.presence,
            roi=roi,
            next_roi=region(points_px[33], points_px[34]),
            joints_px=np.column_stack([joints_px, peaks]),
            maps=seen.maps,
            world=upright(seen.world, roi.rotation),
        )

    def _look(self, pixels: np.ndarray) -> "Look":
        landmarks, presence, _, logits, world = self._network(pixels)
        # 33 landmarks and two points that tell where to look next, as the detector's do; the rest is unused
        points = landmarks.reshape(39, 5)[:35, :2] / (LANDMARK_SIZE / 2) - 1
        maps = np.zeros((*logits.shape[:2], len(COCO29)), np.float32)
        maps[..., DRAWN] = sigmoid(logits[..., LANDMARKS[DRAWN]])
        return Look(points, float(presence[0]), maps, world.reshape(39, 3)[:33])


@dataclass(frozen=True)
class Look:
    """What the landmark network says of a region: ``points`` (35, 2) in its [-1, 1], ``maps`` (64, 64, 29),
    zeros for what is not drawn, ``world`` (33, 3) metres.
    """

    points: np.ndarray
    presence: float
    maps: np.ndarray
    world: np.ndarray

    def mirrored(self) -> "Look":
        """What it would have said of the mirror image: sides exchanged, and everything across the middle.

        Cell k lies 4 k pixels from the left edge, and in the mirror as far from the right one: it is cell
        64 - k, and the first has no other.
        """
        flip = [*BLAZEPOSE33.flip, 33, 34]
        across = np.concatenate([self.maps[:, -1:], self.maps[:, :0:-1]], 1)
        return Look(
            self.points[flip] * [-1, 1],
            self.presence,
            across[..., COCO29.flip],
            self.world[BLAZEPOSE33.flip] * np.array([-1, 1, 1], np.float32),
        )

    def averaged(self, other: "Look") -> "Look":
        return Look(
            (self.points + other.points) / 2,
            (self.presence + other.presence) / 2,
            (self.maps + other.maps) / 2,
            (self.world + other.world) / 2,
        )


def region(center: np.ndarray, rim: np.ndarray) -> Crop:
    """The region of interest around a circle: ``rim`` is its point that lies headwards of ``center``."""
    side = 2 * ROI_FACTOR * float(np.hypot(*(rim - center)))
    return Crop((float(center[0]), float(center[1])), max(side, 1.0), direction(center, rim))


def peaks_of(maps: np.ndarray, reach: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Peaks of maps (H, W, J), refined by what surrounds them: (J, 2) x, y in cells; (J,) heights."""
    width, count = maps.shape[1:]
    joints = np.arange(count)
    y, x = np.divmod(maps.reshape(-1, count).argmax(0), width)
    padded = np.pad(maps, ((reach, reach), (reach, reach), (0, 0)))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    around = padded[y[:, None] + dy + reach, x[:, None] + dx + reach, joints[:, None]] ** 2
    around /= around.sum(1, keepdims=True) + 1e-12
    return np.stack([x + around @ dx, y + around @ dy], 1), maps[y, x, joints]

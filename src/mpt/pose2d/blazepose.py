"""BlazePose: two small networks that find people and their 33 landmarks on a CPU (Bazarevsky et al. 2020).

A detector looks at a square picture and gives, for each person, the middle of the hips and a point that tells
size and direction. A second network looks at the square region of interest so described, turned until the
person is upright in it, and gives a heatmap for each landmark. Those maps are warped back to the upright crop
that the transformer knows.

Of COCO29's joints it draws 27: a small toe is none of its landmarks. Who is somebody, how large a person is
and where the crop lies, COCO's 17 tell.

The networks are Apache-2.0 files of MediaPipe's packages (``mpt.assets``), run by LiteRT.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Literal

import cv2
import numpy as np

from mpt import assets
from mpt.crops import Crop, apply, compose, invert
from mpt.pose2d.base import CROP_FACTOR, Person2D
from mpt.pose2d.litert import Network, anchor_centers, decode_boxes, merge_overlapping, sigmoid, upright
from mpt.pose2d.tiles import shrunk, tiles, whole
from mpt.skeletons import BLAZEPOSE33, COCO17, COCO29, remap

DETECTOR_SIZE = 224
LANDMARK_SIZE = 256
ROI_FACTOR = 1.25
MIN_DETECTION = 0.5  # detector score from which a person is looked at
MIN_PRESENCE = 0.5  # landmark network's score from which it is looked at once more
MIN_SCORE = 0.38  # _Figure.score from which it is one
MIN_SCORE_INSIDE = 0.5  # the same inside another person, where arms and folds look like little people
MIN_PEAK = 0.1  # below this a map shows nothing: the landmark output places the joint
SEARCH_SIZE = 700  # people are searched in a picture shrunk to no less than this: 224 pixels for each third

LANDMARKS = remap(BLAZEPOSE33, COCO29)
DRAWN = LANDMARKS >= 0
BODY = slice(len(COCO17))  # the joints by which people are told apart, measured and framed
HIPS = COCO17.indices("left_hip", "right_hip")
# Cell k of the 64 lies at pixel 4 k of the 256, counted from the region's edge: no half cell is added.
NDC_FROM_CELL = np.array([[1 / 32, 0, -1], [0, 1 / 32, -1]])
CELL_FROM_NDC = invert(NDC_FROM_CELL)


class BlazePose:
    """Finds the people in a photo and their joint heatmaps; ``mpt.pose2d.base.Pose2D``.

    The detector was made for one or two people near the camera, so it is also run on parts of the photo:
    on overlapping squares of half its longer side, and, where that found nobody or several, of a third.

    Attributes:
        search: "all", or "foreground" for those alone whom the whole photo shows (a third of the time).
        heatmap_size: side of the maps, pixels.
        num_threads: threads of each network.
        mirrored_look: look at each person in a mirror as well, and average what the two looks show.

    The networks are loaded, and at the very first time fetched, at the first call.
    """

    skeleton = COCO29
    assets = ("blazepose",)

    def __init__(
        self,
        *,
        search: Literal["all", "foreground"] = "all",
        heatmap_size: int = 224,
        num_threads: int = 1,
        mirrored_look: bool = False,
    ):
        self.search = search
        self.mirrored_look = mirrored_look
        self.heatmap_size = heatmap_size
        self.num_threads = num_threads

    def __call__(self, image: np.ndarray) -> list[Person2D]:
        """(H, W, 3) uint8 RGB -> people, the surest first.

        Raises:
            InputError: the network files are not there and cannot be fetched.
        """
        found: list[_Figure] = []
        step = max(max(image.shape[:2]) // SEARCH_SIZE, 1)
        small = shrunk(image, step)
        side = max(small.shape[:2])
        for squares in ([whole(small)], tiles(small, side / 2), tiles(small, side / 3)):
            for detection in chain.from_iterable(self._detector(small, tile) for tile in squares):
                detection = _Detection(detection.score, detection.roi.resized(step))
                if any(figure.explains(detection) for figure in found):
                    continue
                figure = self._figure(image, detection)
                if figure and not any(figure.same_as(other) for other in found):
                    found.append(figure)
            found = [figure for figure in found if not any(figure.phantom_of(other) for other in found)]
            if self.search == "foreground" or (len(squares) > 1 and len(found) == 1):
                break
        people = [figure.person(self.heatmap_size) for figure in found]
        return sorted(people, key=lambda person: -person.score)

    def _figure(self, image: np.ndarray, detection: "_Detection") -> "_Figure | None":
        """The landmarks of a detection, looked at once more from the region that the first look proposes."""
        first = self._scout(image, detection.roi, detection.score)
        if first.presence < MIN_PRESENCE:
            return None
        second = self._landmarker(image, first.next_roi, detection.score, mirrored_look=self.mirrored_look)
        return second if second.score >= MIN_SCORE else None

    @cached_property
    def _detector(self) -> "_Detector":
        return _Detector(Network(assets.get("blazepose") / "pose_detection.tflite", self.num_threads))

    @cached_property
    def _scout(self) -> "_Landmarker":
        """Looks first."""
        return _Landmarker(Network(assets.get("blazepose") / "pose_landmark_full.tflite", self.num_threads))

    @cached_property
    def _landmarker(self) -> "_Landmarker":
        """Looks where the scout has proposed."""
        return self._scout


class BlazePoseHeavy(BlazePose):
    """BlazePose whose second look is the largest landmark network's that its makers publish.

    It looks in a mirror as well, unless told otherwise: averaged, its looks are nearer to the truth.
    """

    assets = ("blazepose", "blazepose-heavy")

    def __init__(self, *, mirrored_look: bool = True, **options: Any):
        super().__init__(mirrored_look=mirrored_look, **options)

    @cached_property
    def _landmarker(self) -> "_Landmarker":
        path = assets.get("blazepose-heavy") / "pose_landmark_heavy.tflite"
        return _Landmarker(Network(path, self.num_threads))


@dataclass(frozen=True)
class _Detection:
    """A person as the detector sees one: ``roi`` is the region to look at."""

    score: float
    roi: Crop


@dataclass(frozen=True)
class _Figure:
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
        return self.detection_score * self.presence * float(np.sort(self.body_px[:, 2])[-8:].mean())

    @property
    def hips_px(self) -> np.ndarray:
        return self.joints_px[HIPS, :2].mean(0)

    @property
    def size_px(self) -> float:
        return float(np.ptp(self.body_px[:, :2], axis=0).max())

    def explains(self, detection: _Detection) -> bool:
        """The detection lies on this person's hips and is of this person's size."""
        distance = np.linalg.norm(self.hips_px - detection.roi.center_px)
        return distance < 0.15 * self.roi.side_px and 0.5 < detection.roi.side_px / self.roi.side_px < 2

    def same_as(self, other: "_Figure") -> bool:
        distances = np.linalg.norm(self.body_px[:, :2] - other.body_px[:, :2], axis=1)
        return bool(np.median(distances) < 0.15 * max(self.size_px, other.size_px))

    def phantom_of(self, other: "_Figure") -> bool:
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
            skeleton=BlazePose.skeleton,
        )

    def _maps_in(self, crop: Crop, size: int) -> np.ndarray:
        cell_from_crop = compose(CELL_FROM_NDC, compose(self.roi.ndc_from_image, crop.image_from_crop(size)))
        warped = np.zeros((len(COCO29), size, size), np.float32)
        for joint in np.flatnonzero(DRAWN):
            cv2.warpAffine(
                np.ascontiguousarray(self.maps[..., joint]), cell_from_crop, (size, size), dst=warped[joint],
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            )  # fmt: skip
        return warped


class _Detector:
    """A single-shot detector: at each of 2254 anchors a score, a box and four points."""

    def __init__(self, network: Network):
        self._network = network
        grids = [(DETECTOR_SIZE // 8, 2), (DETECTOR_SIZE // 16, 2), (DETECTOR_SIZE // 32, 6)]
        self._anchors = anchor_centers(grids)

    def __call__(self, image: np.ndarray, tile: Crop) -> Iterator[_Detection]:
        """The people whom a square part of the photo shows, overlapping boxes merged."""
        pixels = tile.warp(image, DETECTOR_SIZE).astype(np.float32) / 127.5 - 1
        raw, logits = self._network(pixels)
        scores = sigmoid(logits[:, 0])
        sure = np.flatnonzero(scores >= MIN_DETECTION)
        points = decode_boxes(raw[sure], self._anchors[sure], DETECTOR_SIZE)
        points_px = apply(tile.image_from_ndc, points * 2 - 1)
        for score, merged in merge_overlapping(scores[sure], points_px):
            yield _Detection(score, _region(merged[2], merged[3]))


class _Landmarker:
    """Landmarks and their heatmaps inside a region of interest."""

    def __init__(self, network: Network):
        self._network = network

    def __call__(
        self, image: np.ndarray, roi: Crop, detection_score: float, *, mirrored_look: bool = False
    ) -> _Figure:
        pixels = roi.warp(image, LANDMARK_SIZE).astype(np.float32) / 255
        seen = self._look(pixels)
        if mirrored_look:
            seen = seen.averaged(self._look(np.ascontiguousarray(pixels[:, ::-1])).mirrored())
        points_px = apply(roi.image_from_ndc, seen.points)
        cells, peaks = _peaks(seen.maps)
        joints_px = np.where(
            peaks[:, None] >= MIN_PEAK,
            apply(compose(roi.image_from_ndc, NDC_FROM_CELL), cells),
            points_px[LANDMARKS],
        )
        joints_px[~DRAWN] = 0
        return _Figure(
            detection_score=detection_score,
            presence=seen.presence,
            roi=roi,
            next_roi=_region(points_px[33], points_px[34]),
            joints_px=np.column_stack([joints_px, peaks]),
            maps=seen.maps,
            world=upright(seen.world, roi.rotation),
        )

    def _look(self, pixels: np.ndarray) -> "_Look":
        landmarks, presence, _, logits, world = self._network(pixels)
        # 33 landmarks and two points that tell where to look next, as the detector's do; the rest is unused
        points = landmarks.reshape(39, 5)[:35, :2] / (LANDMARK_SIZE / 2) - 1
        maps = np.zeros((*logits.shape[:2], len(COCO29)), np.float32)
        maps[..., DRAWN] = sigmoid(logits[..., LANDMARKS[DRAWN]])
        return _Look(points, float(presence[0]), maps, world.reshape(39, 3)[:33])


@dataclass(frozen=True)
class _Look:
    """What the landmark network says of a region: ``points`` (35, 2) in its [-1, 1], ``maps`` (64, 64, 29),
    zeros for what is not drawn, ``world`` (33, 3) metres.
    """

    points: np.ndarray
    presence: float
    maps: np.ndarray
    world: np.ndarray

    def mirrored(self) -> "_Look":
        """What it would have said of the mirror image: sides exchanged, and everything across the middle.

        Cell k lies 4 k pixels from the left edge, and in the mirror as far from the right one: it is cell
        64 - k, and the first has no other.
        """
        flip = [*BLAZEPOSE33.flip, 33, 34]
        across = np.concatenate([self.maps[:, -1:], self.maps[:, :0:-1]], 1)
        return _Look(
            self.points[flip] * [-1, 1],
            self.presence,
            across[..., COCO29.flip],
            self.world[BLAZEPOSE33.flip] * np.array([-1, 1, 1], np.float32),
        )

    def averaged(self, other: "_Look") -> "_Look":
        return _Look(
            (self.points + other.points) / 2,
            (self.presence + other.presence) / 2,
            (self.maps + other.maps) / 2,
            (self.world + other.world) / 2,
        )


def _region(center: np.ndarray, rim: np.ndarray) -> Crop:
    """The region of interest around a circle: ``rim`` is its point that lies headwards of ``center``."""
    x, y = rim - center
    side = 2 * ROI_FACTOR * float(np.hypot(x, y))
    return Crop((float(center[0]), float(center[1])), max(side, 1.0), float(np.arctan2(x, -y)))


def _peaks(maps: np.ndarray, reach: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Peaks of maps (H, W, J), refined by what surrounds them: (J, 2) x, y in cells; (J,) heights."""
    width, count = maps.shape[1:]
    joints = np.arange(count)
    y, x = np.divmod(maps.reshape(-1, count).argmax(0), width)
    padded = np.pad(maps, ((reach, reach), (reach, reach), (0, 0)))
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    around = padded[y[:, None] + dy + reach, x[:, None] + dx + reach, joints[:, None]] ** 2
    around /= around.sum(1, keepdims=True) + 1e-12
    return np.stack([x + around @ dx, y + around @ dy], 1), maps[y, x, joints]

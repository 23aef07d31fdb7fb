"""BlazePose: two small networks that find people and their 33 landmarks on a CPU (Bazarevsky et al. 2020).

A detector looks at a square picture and gives, for each person, the middle of the hips and a point that tells
size and direction. A second network looks at the square region of interest so described, turned until the
person is upright in it, and gives a heatmap for each landmark. Those maps are warped back to the upright crop
that the transformer knows.

Of COCO29's joints it finds 27 (a small toe is none of its landmarks) and gives maps of all but the knuckles.
Who is somebody, how large a person is and where the crop lies, COCO's 17 tell.

The networks are Apache-2.0 files of MediaPipe's packages (``mpt.assets``), run by LiteRT.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
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
MIN_WEAK_DETECTION = 0.25  # the same in parts of the photo, where the landmarks alone then say who is one
MIN_HINT = 0.03  # detector score from which somebody may be there whom a smaller part would show
MIN_OPEN = 0.15  # the same where no more than one person was found, who mostly is alone
MIN_PRESENCE = 0.5  # landmark network's score from which it is looked at once more
MIN_FIRST_LIKENESS = 0.55  # Figure.likeness from which it is, where the detection is weak
MIN_SCORE, MIN_LIKENESS = 0.38, 0.6  # Figure's, of which either makes it somebody
MIN_SCORE_INSIDE = 0.5  # the same inside another person, where arms and folds look like little people
MIN_PEAK = 0.1  # below this a map shows nothing: the landmark output places the joint
SEARCH_SIZE = 700  # people are searched in a picture shrunk to no less than this: 224 pixels for each third
LARGE = 0.35  # people's size over the photo's longer side from which the whole photo shows them
LIKE_LARGE = 0.75  # and how much they look like people then
HALF, HALVES_OVERLAP = (
    0.44,
    0.25,
)  # side of a part over the photo's longer side, and of that what neighbours share
THIRD, THIRDS_OVERLAP = 0.34, 0.0

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


class BlazePose:
    """Finds the people in a photo and their joint heatmaps; ``mpt.pose2d.base.Pose2D``.

    The detector was made for one or two people near the camera, so it is also run on parts of the photo:
    on overlapping squares of nearly half its longer side unless the whole photo shows large people and no
    trace of others, and, where that found several or left a trace, on those squares of a third that hold one.
    A trace is a detection too weak to be looked at.

    Attributes:
        search: "all", or "foreground" for those alone whom the whole photo shows.
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
        people = [figure.person(self.heatmap_size) for figure in self.find(image)]
        return sorted(people, key=lambda person: -person.score)

    def find(
        self,
        image: np.ndarray,
        known: "Sequence[Figure]" = (),
        *,
        near: Sequence[Crop] = (),
        thorough: bool = True,
    ) -> "list[Figure]":
        """Whom a picture shows: those who are known in it, but phantoms, and those who are found besides.

        near: squares to look in, too. thorough: whether parts of the picture are looked at.
        """
        photo, crowd = _Photo.of(image), _Crowd(list(known))
        seen = self._look_in(photo, [whole(photo.small)], MIN_DETECTION, crowd)
        self._look_in(photo, [photo.in_small(square) for square in near], MIN_WEAK_DETECTION, crowd)
        if not thorough or self.search == "foreground":
            return crowd.people
        if not (crowd.is_large_in(image) and crowd.knows_all(seen, MIN_HINT)):
            seen += self._look_in(photo, photo.parts(HALF, HALVES_OVERLAP), MIN_WEAK_DETECTION, crowd)
            if len(crowd.people) > 1 or not crowd.knows_all(seen, MIN_OPEN):
                traces = [photo.in_small(d.roi) for d in seen if not crowd.explains(d)]
                thirds = photo.parts(THIRD, THIRDS_OVERLAP)
                unclear = [third for third in thirds if any(_is_near(roi, third) for roi in traces)]
                self._look_in(photo, unclear, MIN_WEAK_DETECTION, crowd)
        return crowd.people

    def follow(self, image: np.ndarray, figure: "Figure", shift_px: np.ndarray) -> "Figure":
        """What is seen where somebody should be who was seen in a film's frame before, or behind. One look:
        over time many are averaged anyway.
        """
        x, y = figure.next_roi.center_px
        moved = replace(figure.next_roi, center_px=(x + float(shift_px[0]), y + float(shift_px[1])))
        return self._landmarker(image, moved, figure.detection_score)

    def _look_in(
        self, photo: "_Photo", squares: list[Crop], least: float, crowd: "_Crowd"
    ) -> "list[_Detection]":
        """Add to a crowd whom the squares show with a score of ``least``; returns every trace in them."""
        seen = [photo.detection(d) for square in squares for d in self._detector(photo.small, square)]
        seen.sort(key=lambda detection: -detection.score)
        for detection in seen:
            if detection.score >= least and not crowd.knows(detection):
                self._look_at(photo.image, detection, crowd)
        crowd.drop_phantoms()
        return seen

    def _look_at(self, image: np.ndarray, detection: "_Detection", crowd: "_Crowd") -> None:
        """Add a detection's person, looked at once more where the first look proposes: so the same person
        lies alike in the region, wherever the detector found them.
        """
        first = self._scout(image, detection.roi, detection.score)
        if not (first.presence >= MIN_PRESENCE if detection.sure else first.likeness >= MIN_FIRST_LIKENESS):
            crowd.nobody.append(detection)
        elif not any(first.same_as(other) for other in crowd.people):
            second = self._look_again(image, first)
            if second.score < MIN_SCORE and second.likeness < MIN_LIKENESS:
                crowd.nobody.append(detection)
            elif not any(second.same_as(other) for other in crowd.people):
                crowd.people.append(second)

    def _look_again(self, image: np.ndarray, first: "Figure") -> "Figure":
        return self._landmarker(
            image, first.next_roi, first.detection_score, mirrored_look=self.mirrored_look
        )

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

    @property
    def sure(self) -> bool:
        return self.score >= MIN_DETECTION


@dataclass(frozen=True)
class _Photo:
    """A photo and what the detector sees of it, ``step`` times smaller."""

    image: np.ndarray
    small: np.ndarray
    step: int

    @staticmethod
    def of(image: np.ndarray) -> "_Photo":
        step = max(max(image.shape[:2]) // SEARCH_SIZE, 1)
        return _Photo(image, shrunk(image, step), step)

    def parts(self, share: float, overlap: float) -> list[Crop]:
        """Squares of the small one, their side this share of its longer one."""
        return tiles(self.small, share * max(self.small.shape[:2]), overlap)

    def detection(self, in_small: _Detection) -> _Detection:
        return _Detection(in_small.score, in_small.roi.resized(self.step))

    def in_small(self, roi: Crop) -> Crop:
        return roi.resized(1 / self.step)


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

    def explains(self, detection: _Detection) -> bool:
        """The detection lies on this person's hips and is of this size; a weak one need not be as near."""
        distance = np.linalg.norm(self.hips_px - detection.roi.center_px) / self.roi.side_px
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
            skeleton=BlazePose.skeleton,
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


@dataclass(frozen=True)
class _Crowd:
    """The people found so far, and the detections that were none."""

    people: list[Figure] = field(default_factory=list)
    nobody: list[_Detection] = field(default_factory=list)

    def explains(self, detection: _Detection) -> bool:
        return any(figure.explains(detection) for figure in self.people)

    def knows(self, detection: _Detection) -> bool:
        """It is somebody's, or nobody's as was seen before."""
        return self.explains(detection) or any(
            _show_the_same(detection.roi, other.roi) for other in self.nobody
        )

    def knows_all(self, detections: list[_Detection], least: float) -> bool:
        """Those with a score of ``least`` are known."""
        return all(self.knows(detection) for detection in detections if detection.score >= least)

    def is_large_in(self, image: np.ndarray) -> bool:
        """It has people, each of whom the whole photo shows well."""
        size = LARGE * max(image.shape[:2])
        return bool(self.people) and all(f.size_px > size and f.likeness > LIKE_LARGE for f in self.people)

    def drop_phantoms(self) -> None:
        self.people[:] = [f for f in self.people if not any(f.phantom_of(other) for other in self.people)]


class _Detector:
    """A single-shot detector: at each of 2254 anchors a score, a box and four points."""

    def __init__(self, network: Network):
        self._network = network
        grids = [(DETECTOR_SIZE // 8, 2), (DETECTOR_SIZE // 16, 2), (DETECTOR_SIZE // 32, 6)]
        self._anchors = anchor_centers(grids)

    def __call__(self, image: np.ndarray, tile: Crop) -> Iterator[_Detection]:
        """Whom a square part of the photo shows, overlapping boxes merged: the sure, then traces."""
        pixels = tile.warp(image, DETECTOR_SIZE).astype(np.float32) / 127.5 - 1
        raw, logits = self._network(pixels)
        scores = sigmoid(logits[:, 0])
        for low, high in ((MIN_DETECTION, np.inf), (MIN_HINT, MIN_DETECTION)):
            some = np.flatnonzero((scores >= low) & (scores < high))
            points = decode_boxes(raw[some], self._anchors[some], DETECTOR_SIZE)
            points_px = apply(tile.image_from_ndc, points * 2 - 1)
            for score, merged in merge_overlapping(scores[some], points_px):
                yield _Detection(score, _region(merged[2], merged[3]))


class _Landmarker:
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
        cells, peaks = _peaks(seen.maps)
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


def _show_the_same(one: Crop, other: Crop) -> bool:
    """Two regions are about the same person, if about anybody."""
    distance = np.linalg.norm(np.subtract(one.center_px, other.center_px))
    return bool(distance < 0.15 * other.side_px and 0.5 < one.side_px / other.side_px < 2)


def _is_near(roi: Crop, tile: Crop) -> bool:
    """The middle of a region lies in an upright square, or hardly outside."""
    return bool(np.abs(np.subtract(roi.center_px, tile.center_px)).max() < 0.6 * tile.side_px)


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

"""BlazePalm: two small networks that find hands and their 21 landmarks on a CPU (Zhang et al. 2020).

A detector looks at a square picture and gives, for each hand, the box of its palm with the wrist and the
middle finger's knuckle. A second network looks at the square region of interest so described, turned until
the hand points up, and gives the landmarks, whether they are a hand's, and whether it is a right one: of a
photo as it is, though its makers' labels are for mirrored pictures.

The second network gives no heatmaps; they are drawn. It looks twice, the second time at the region that its
own landmarks propose, and how far a landmark moves from one look to the next tells how wrong it may be. The
blobs' widths and heights say that much: a detector-like training sample with such a blob is as wrong
(``mpt.heatmaps.perturb``).

The networks are the Apache-2.0 files of the mediapipe wheel (``mpt.assets``), run by LiteRT.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mpt.crops import Crop, apply
from mpt.pose2d.base import CROP_FACTOR, Person2D
from mpt.pose2d.blaze import Blaze, direction, upright
from mpt.pose2d.blazepose import BlazePose
from mpt.pose2d.keypoints import draw
from mpt.pose2d.litert import Network
from mpt.pose2d.single_shot import SingleShot
from mpt.pose2d.tiles import Searched
from mpt.skeletons import COCO17, HAND21

DETECTOR_SIZE = 192
DETECTOR_GRIDS = [(24, 2), (12, 6)]  # 2016 anchors
LANDMARK_SIZE = 224
MIN_DETECTION = 0.5  # detector score from which a palm is looked at
MIN_FIRST_PRESENCE = 0.1  # landmark network's score from which it is looked at once more
MIN_PRESENCE = 0.5  # the second look's score from which it is a hand

MIN_PERSON_PEAK = 0.2  # of a person's wrist or ankle, to be believed
MAX_HAND = 0.3  # of a person's box: larger hands are not that person's
FOREARM = 0.12  # of the side of a person's crop: foreshortened forearms are taken to be no shorter
REACH = 0.7  # forearms between a person's wrist and the wrist of the hand that is found there, at most
BODY_LOGIT = 2.6  # of 15 people, 14 have left and right told rightly by their bodies

PALM = HAND21.indices(
    "wrist", "thumb1", "thumb2", "thumb3", "index1", "index2", "middle1", "middle2",
    "ring1", "ring2", "pinky1", "pinky2",
)  # fmt: skip

PEAKS = np.linspace(0.95, 0.25, 71)
STD_PX = np.sqrt(40 / PEAKS)  # pixels of a 224 px crop
ERROR_PX = (1.11 - 0.9 * PEAKS) * STD_PX  # standard deviation, along an axis, of errors with such a peak


class BlazePalm(Blaze):
    """Finds the hands in a photo and their joint heatmaps; ``mpt.pose2d.base.Pose2D``.

    The detector was made for hands near the camera. Others are looked for where BlazePose finds people's
    wrists, and where no hand was found at all, on overlapping squares of half the photo's longer side, then
    of a third. A person's arms also tell left from right better than hands do, and that bare feet are none.

    The heatmaps of a left hand are mirrored (``Person2D.mirrored``).

    Its settings are those of every :class:`Blaze`; "foreground" takes a twentieth of the time.
    """

    skeleton = HAND21
    assets = ("blazepalm", "blazepose")

    def find(self, image: np.ndarray) -> "list[_Hand]":
        """The hands that a picture shows."""
        photo = Searched.of(image)
        found = self._hands_in(photo, 1)
        if self.search == "all":
            people = [p for p in self._body(image) if not any(hand.is_taken_for(p) for hand in found)]
            arms = [hand for person in people for hand in self._hands_of(image, person, found)]
            found = _distinct(arms + _without_feet(found, people))
            for parts in (2, 3):
                found = found or _without_feet(self._hands_in(photo, parts), people)
        return found

    def _hands_in(self, photo: Searched, parts: int) -> "list[_Hand]":
        """The hands that squares show whose side is this part of the photo's longer one, the surest first."""
        squares = photo.parts(1 / parts)
        palms = [photo.in_full(roi) for square in squares for roi in self._palms(photo.small, square)]
        hands = [hand for palm in palms if (hand := self._hand(photo.image, palm))]
        return _distinct(sorted(hands, key=lambda hand: -hand.look.presence))

    def _hand(self, image: np.ndarray, roi: Crop) -> "_Hand | None":
        """The hand in a region of interest, looked at once more where the first look proposes."""
        first = self._landmarker(image, roi)
        if first.presence < MIN_FIRST_PRESENCE:
            return None
        second = self._landmarker(image, first.next_roi)
        if second.presence < MIN_PRESENCE:
            return None
        moved_px = np.linalg.norm(second.points_px - first.points_px, axis=1)
        return _Hand(second, moved_px, right=second.right_logit > 0)

    def _hands_of(self, image: np.ndarray, person: Person2D, known: "list[_Hand]") -> "list[_Hand]":
        """The hands at the ends of a person's arms, left and right as the arms are.

        The arms are believed unless the hands contradict more loudly: then left and right of all the person
        are exchanged.
        """
        found = []
        for side in ("left", "right"):
            elbow, wrist = person.joints2d_px[COCO17.indices(f"{side}_elbow", f"{side}_wrist")]
            if wrist[2] >= MIN_PERSON_PEAK:
                arm = _Forearm(elbow[:2], wrist[:2], FOREARM * person.crop.side_px)
                if hand := self._hand_of(image, arm, known):
                    found.append((wrist[2], replace(hand, right=side == "right")))
        found.sort(key=lambda pair: -pair[0])  # where both arms claim the same hand, the surer has it
        hands = _distinct([hand for _, hand in found])
        agreement = sum(hand.look.right_logit * (1 if hand.right else -1) for hand in hands)
        exchanged = agreement < -BODY_LOGIT
        return [replace(hand, right=hand.right != exchanged) for hand in hands]

    def _hand_of(self, image: np.ndarray, arm: "_Forearm", known: "list[_Hand]") -> "_Hand | None":
        """The hand at the end of a forearm: a known one or a palm there, or else what the arm points at."""
        palms = [self._hand(image, roi) for roi in self._palms(image, arm.square(3))]
        if there := [hand for hand in known + palms if hand and arm.ends_in(hand)]:
            return min(there, key=lambda hand: hand.moved_px.mean())  # tells more than presence
        look = self._landmarker(image, arm.square(1.4, turned=True))
        hand = self._hand(image, look.next_roi)
        return hand if hand and arm.ends_in(hand) else None

    @cached_property
    def _body(self) -> BlazePose:
        return BlazePose(heatmap_size=8, num_threads=self.num_threads)  # its maps are not used

    def _palms(self, image: np.ndarray, square: Crop) -> Iterator[Crop]:
        """Where to look for hands in a square part of a picture."""
        for _, points_px in self._detector(image, square, MIN_DETECTION):
            low, high, wrist, middle_knuckle = points_px[[0, 1, 2, 4]]
            rotation = direction(wrist, middle_knuckle)
            yield _region((low + high) / 2, high - low, rotation, shift=0.5, factor=2.6)

    @cached_property
    def _detector(self) -> SingleShot:
        """Gives of each hand the palm's box and seven points."""
        return SingleShot(
            self._network("blazepalm", "palm_detection_full.tflite"), DETECTOR_SIZE, DETECTOR_GRIDS
        )

    @cached_property
    def _landmarker(self) -> "_Landmarker":
        return _Landmarker(self._network("blazepalm", "hand_landmark_full.tflite"))


@dataclass(frozen=True)
class _Look:
    """What the landmark network sees in a region. ``points_px`` (21, 2); ``world`` (21, 3) metres."""

    presence: float
    right_logit: float  # above zero for a right hand
    points_px: np.ndarray
    world: np.ndarray

    @property
    def next_roi(self) -> Crop:
        """The region to look at next: a square around wrist, thumb and knuckles, turned as the palm is."""
        index, middle, ring = self.points_px[HAND21.indices("index1", "middle1", "ring1")]
        rotation = direction(self.points_px[0], (index + ring) / 4 + middle / 2)
        c, s = np.cos(rotation), np.sin(rotation)
        image_from_turned = np.array([[c, -s], [s, c]])
        turned = self.points_px[PALM] @ image_from_turned
        low, high = turned.min(0), turned.max(0)
        return _region(image_from_turned @ ((low + high) / 2), high - low, rotation, shift=0.1, factor=2.0)


@dataclass(frozen=True)
class _Hand:
    """A hand looked at twice: the second look, and how far it moved the landmarks (21,)."""

    look: _Look
    moved_px: np.ndarray
    right: bool

    @property
    def joints_px(self) -> np.ndarray:
        return self.look.points_px

    @property
    def size_px(self) -> float:
        return float(np.ptp(self.joints_px, axis=0).max())

    def same_as(self, other: "_Hand") -> bool:
        distances = np.linalg.norm(self.joints_px - other.joints_px, axis=1)
        return bool(distances.mean() < 0.3 * max(self.size_px, other.size_px))

    def part_of(self, other: "_Hand") -> bool:
        """It lies inside a hand more than twice as large."""
        low, high = other.joints_px.min(0), other.joints_px.max(0)
        middle = self.joints_px.mean(0)
        return self.size_px < other.size_px / 2 and bool(((low < middle) & (middle < high)).all())

    def is_taken_for(self, person: Person2D) -> bool:
        """The hand is too large for this person, in whose box it lies: the detector of people fell for it."""
        x, y, width, height = person.bbox_xywh
        inside = np.abs(self.joints_px.mean(0) - [x + width / 2, y + height / 2]) < [width / 2, height / 2]
        return bool(inside.all()) and self.size_px > MAX_HAND * max(width, height)

    def is_foot_of(self, person: Person2D) -> bool:
        """It lies at an ankle, and farther from the wrists."""
        joints = person.joints2d_px[COCO17.indices("left_ankle", "right_ankle", "left_wrist", "right_wrist")]
        distances = np.linalg.norm(joints[:, :2] - self.joints_px.mean(0), axis=1)
        distances[joints[:, 2] < MIN_PERSON_PEAK] = np.inf
        return bool(distances[:2].min() < min(self.size_px, distances[2:].min()))

    def person(self, heatmap_size: int) -> Person2D:
        low, high = self.joints_px.min(0), self.joints_px.max(0)
        crop = Crop.around(self.joints_px, CROP_FACTOR)
        # Measured on 371 rendered hands with exact joints, pixels of a 224 px crop.
        moved = self.moved_px * (224 / crop.side_px)
        error = 1.8 + 0.4 * moved + 0.4 * moved.mean()
        peaks, std = np.interp(error, ERROR_PX, PEAKS), np.interp(error, ERROR_PX, STD_PX)
        joints = np.column_stack([self.joints_px, peaks])
        return Person2D(
            bbox_xywh=(*map(float, low), *map(float, high - low)),
            score=self.look.presence,
            joints2d_px=joints,
            crop=crop,
            heatmaps=draw(joints, crop, heatmap_size, std_px=std, mirrored=not self.right),
            world_landmarks=self.look.world,
            mirrored=not self.right,
            skeleton=BlazePalm.skeleton,
        )


@dataclass(frozen=True)
class _Forearm:
    """A person's forearm in the photo: ``elbow`` and ``wrist`` (2,), no shorter than ``least_px``."""

    elbow: np.ndarray
    wrist: np.ndarray
    least_px: float

    @property
    def length_px(self) -> float:
        return max(float(np.linalg.norm(self.wrist - self.elbow)), self.least_px, 1.0)

    def square(self, factor: float, *, turned: bool = False) -> Crop:
        """Where the hand is sought: so many forearms wide, turned until the forearm points up or not."""
        rotation = direction(self.elbow, self.wrist)
        x, y = self.wrist + 0.3 * self.length_px * np.array([np.sin(rotation), -np.cos(rotation)])
        return Crop((float(x), float(y)), factor * self.length_px, rotation if turned else 0.0)

    def ends_in(self, hand: _Hand) -> bool:
        return bool(np.linalg.norm(hand.joints_px[0] - self.wrist) < REACH * self.length_px)


class _Landmarker:
    """Landmarks inside a region of interest."""

    def __init__(self, network: Network):
        self._network = network

    def __call__(self, image: np.ndarray, roi: Crop) -> _Look:
        pixels = roi.warp(image, LANDMARK_SIZE).astype(np.float32) / 255
        landmarks, presence, right, world = self._network(pixels)
        points = landmarks.reshape(21, 3)[:, :2] / (LANDMARK_SIZE / 2) - 1
        right = np.clip(float(right[0]), 0.02, 0.98)  # surer than that it errs too often
        world = world.reshape(21, 3)
        return _Look(
            presence=float(presence[0]),
            right_logit=float(np.log(right / (1 - right))),
            points_px=apply(roi.image_from_ndc, points),
            world=upright(world - world[0], roi.rotation),
        )


def _region(center: np.ndarray, size: np.ndarray, rotation: float, *, shift: float, factor: float) -> Crop:
    """A turned square about a box (width, height): moved by a share of its height towards the fingers."""
    x, y = center + shift * size[1] * np.array([np.sin(rotation), -np.cos(rotation)])
    return Crop((float(x), float(y)), max(factor * float(size.max()), 1.0), rotation)


def _distinct(hands: list[_Hand]) -> list[_Hand]:
    """Each hand once, the first of those that are the same; and no fingers that look like little hands."""
    kept: list[_Hand] = []
    for hand in hands:
        if not any(hand.same_as(other) for other in kept):
            kept.append(hand)
    return [hand for hand in kept if not any(hand.part_of(other) for other in kept)]


def _without_feet(hands: list[_Hand], people: list[Person2D]) -> list[_Hand]:
    return [hand for hand in hands if not any(hand.is_foot_of(person) for person in people)]

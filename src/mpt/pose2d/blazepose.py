"""BlazePose: two small networks that find people and their 33 landmarks on a CPU (Bazarevsky et al. 2020).

A detector looks at a square picture and gives, for each person, the middle of the hips and a point that tells
size and direction. A second network looks at the square region of interest so described, turned until the
person is upright in it, and gives a heatmap for each landmark. Those maps are warped back to the upright crop
that the transformer knows.

The networks are Apache-2.0 files of MediaPipe's packages (``mpt.assets``), run by LiteRT.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from mpt.crops import Crop
from mpt.pose2d.blaze import Blaze
from mpt.pose2d.figures import MIN_DETECTION, Detection, Figure, Landmarker, region
from mpt.pose2d.single_shot import SingleShot
from mpt.pose2d.tiles import Searched, whole
from mpt.skeletons import COCO29

DETECTOR_SIZE = 224
DETECTOR_GRIDS = [(28, 2), (14, 2), (7, 6)]  # 2254 anchors
MIN_WEAK_DETECTION = 0.25  # MIN_DETECTION in parts of the photo, where the landmarks alone say who is one
MIN_HINT = 0.03  # detector score from which somebody may be there whom a smaller part would show
MIN_OPEN = 0.15  # the same where no more than one person was found, who mostly is alone
MIN_PRESENCE = 0.5  # landmark network's score from which it is looked at once more
MIN_FIRST_LIKENESS = 0.55  # Figure.likeness from which it is, where the detection is weak
MIN_SCORE, MIN_LIKENESS = 0.38, 0.6  # Figure's, of which either makes it somebody
LARGE = 0.35  # people's size over the photo's longer side from which the whole photo shows them
LIKE_LARGE = 0.75  # and how much they look like people then
HALF, HALVES_OVERLAP = 0.44, 0.25  # side of a part over the photo's, and the share that neighbours share
THIRD, THIRDS_OVERLAP = 0.34, 0.0


class BlazePose(Blaze):
    """Finds the people in a photo and their joint heatmaps; ``mpt.pose2d.base.Pose2D``.

    The detector was made for one or two people near the camera, so it is also run on parts of the photo:
    on overlapping squares of nearly half its longer side unless the whole photo shows large people and no
    trace of others, and, where that found several or left a trace, on those squares of a third that hold one.
    A trace is a detection too weak to be looked at.

    Attributes:
        search, heatmap_size, num_threads: as of every :class:`Blaze`.
        mirrored_look: look at each person in a mirror as well, and average what the two looks show; not where
            somebody is followed from frame to frame, for over time many looks are averaged anyway.
    """

    skeleton = COCO29
    assets = ("blazepose",)

    def __init__(self, *, mirrored_look: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.mirrored_look = mirrored_look

    def find(
        self,
        image: np.ndarray,
        known: Sequence[Figure] = (),
        *,
        near: Sequence[Crop] = (),
        thorough: bool = True,
    ) -> list[Figure]:
        """Whom a picture shows: those who are known in it, but phantoms, and those who are found besides.

        near: squares to look in, too. thorough: whether parts of the picture are looked at.
        """
        photo, crowd = Searched.of(image), _Crowd(list(known))
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

    def follow(self, image: np.ndarray, figure: Figure, shift_px: np.ndarray) -> Figure:
        """What one look sees where somebody should be who was seen in a film's frame before, or behind."""
        x, y = figure.next_roi.center_px
        moved = replace(figure.next_roi, center_px=(x + float(shift_px[0]), y + float(shift_px[1])))
        return self._landmarker(image, moved, figure.detection_score)

    def _look_in(
        self, photo: Searched, squares: list[Crop], least: float, crowd: "_Crowd"
    ) -> list[Detection]:
        """Add to a crowd whom the squares show with a score of ``least``; returns every trace in them."""
        seen = [d for square in squares for d in self._detections(photo, square)]
        seen.sort(key=lambda detection: -detection.score)
        for detection in seen:
            if detection.score >= least and not crowd.knows(detection):
                self._look_at(photo.image, detection, crowd)
        crowd.drop_phantoms()
        return seen

    def _look_at(self, image: np.ndarray, detection: Detection, crowd: "_Crowd") -> None:
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

    def _look_again(self, image: np.ndarray, first: Figure) -> Figure:
        return self._landmarker(
            image, first.next_roi, first.detection_score, mirrored_look=self.mirrored_look
        )

    def _detections(self, photo: Searched, square: Crop) -> Iterator[Detection]:
        """What a square of the small photo shows: the sure, then traces."""
        for score, points_px in self._detector(photo.small, square, MIN_DETECTION, MIN_HINT):
            yield Detection(score, photo.in_full(region(points_px[2], points_px[3])))

    @cached_property
    def _detector(self) -> SingleShot:
        """Gives of each person a box, the middle of the hips, and a point as far away as head or feet."""
        network = self._network("blazepose", "pose_detection.tflite")
        return SingleShot(network, DETECTOR_SIZE, DETECTOR_GRIDS, signed=True)

    @cached_property
    def _scout(self) -> Landmarker:
        """Looks first."""
        return Landmarker(self._network("blazepose", "pose_landmark_full.tflite"))

    @cached_property
    def _landmarker(self) -> Landmarker:
        """Looks where the scout has proposed."""
        return self._scout


class BlazePoseHeavy(BlazePose):
    """BlazePose whose second look is the largest landmark network's that its makers publish.

    It looks in a mirror as well, unless told otherwise: averaged, its looks are nearer to the truth.
    """

    assets = ("blazepose", "blazepose-heavy")

    def __init__(self, *, mirrored_look: bool = True, **options: Any) -> None:
        super().__init__(mirrored_look=mirrored_look, **options)

    @cached_property
    def _landmarker(self) -> Landmarker:
        return Landmarker(self._network("blazepose-heavy", "pose_landmark_heavy.tflite"))


@dataclass(frozen=True)
class _Crowd:
    """The people found so far, and the detections that were none."""

    people: list[Figure] = field(default_factory=list)
    nobody: list[Detection] = field(default_factory=list)

    def explains(self, detection: Detection) -> bool:
        return any(figure.explains(detection) for figure in self.people)

    def knows(self, detection: Detection) -> bool:
        """It is somebody's, or nobody's as was seen before."""
        return self.explains(detection) or any(
            _show_the_same(detection.roi, other.roi) for other in self.nobody
        )

    def knows_all(self, detections: list[Detection], least: float) -> bool:
        """Those with a score of ``least`` are known."""
        return all(self.knows(detection) for detection in detections if detection.score >= least)

    def is_large_in(self, image: np.ndarray) -> bool:
        """It has people, each of whom the whole photo shows well."""
        size = LARGE * max(image.shape[:2])
        return bool(self.people) and all(f.size_px > size and f.likeness > LIKE_LARGE for f in self.people)

    def drop_phantoms(self) -> None:
        self.people[:] = [f for f in self.people if not any(f.phantom_of(other) for other in self.people)]


def _show_the_same(one: Crop, other: Crop) -> bool:
    """Two regions are about the same person, if about anybody."""
    distance = np.linalg.norm(np.subtract(one.center_px, other.center_px))
    return bool(distance < 0.15 * other.side_px and 0.5 < one.side_px / other.side_px < 2)


def _is_near(roi: Crop, tile: Crop) -> bool:
    """The middle of a region lies in an upright square, or hardly outside."""
    return bool(np.abs(np.subtract(roi.center_px, tile.center_px)).max() < 0.6 * tile.side_px)

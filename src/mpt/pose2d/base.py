"""What a 2D pose network gives: the people (or hands) in a photo, each with a heatmap for every joint.

The transformer learns from maps of an upright square crop around the joints (``Crop.around``), of people
around COCO's 17 even where feet and hands are drawn as well (``mpt.skeletons.core``), so that is where every
network's maps must arrive. A one-stage detector finds its people itself; a network that wants a person's crop
first (HigherHRNet as the paper uses it) takes boxes from a detector, runs on each crop and returns its maps
resampled to ``heatmap_size``.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from mpt.crops import Crop
from mpt.skeletons import COCO17, Skeleton, arranged
from mpt.values import Values

CROP_FACTOR = 1.25  # crop side over the longer side of the joints' box, at training as at test time


@dataclass(frozen=True, eq=False, repr=False)
class Person2D(Values):
    """One person in a photo.

    Attributes:
        bbox_xywh: (x, y, width, height) of the box around the person's joints, pixels.
        score: how surely this is a person, 0-1.
        joints2d_px: (J, 3) joints of ``skeleton``: x, y in pixels of the photo, score 0-1.
        crop: the upright square that the maps show.
        heatmaps: (J, size, size) float32 in [0, 1], in the same order.
        world_landmarks: (33, 3) metres, x right, y down, z forward, about the mid-hip: the network's own 3D
            guess, where it has one (the benchmarks' rival; unused by the mesh).
        mirrored: the maps are those of the crop's mirror image: a left hand, shown as the right one that hand
            models know. ``joints2d_px`` are true pixels all the same.
        skeleton: which joints the 2D network draws.
    """

    bbox_xywh: tuple[float, float, float, float]
    score: float
    joints2d_px: np.ndarray
    crop: Crop
    heatmaps: np.ndarray
    world_landmarks: np.ndarray | None = None
    mirrored: bool = False
    skeleton: Skeleton = COCO17

    def __repr__(self) -> str:
        seen, size = int((self.joints2d_px[:, 2] > 0).sum()), self.heatmaps.shape[-1]
        joints = f"{seen} of {len(self.skeleton)} joints"
        return f"<a {self.skeleton.of[0]} in 2D: score {self.score:.2f}, {joints}, maps of {size} px>"

    def on(self, skeleton: Skeleton) -> "Person2D":
        """The same person with the joints of a skeleton, by name: what is not drawn has an empty map and the
        score 0.
        """
        return replace(
            self,
            joints2d_px=arranged(self.joints2d_px, self.skeleton, skeleton),
            heatmaps=arranged(self.heatmaps, self.skeleton, skeleton),
            skeleton=skeleton,
        )


class Pose2D(Protocol):
    """image (H, W, 3) uint8 RGB -> the people in it, the surest first; an empty list where nobody is.

    Each person says whose joints the maps show (``Person2D.skeleton``).
    """

    def __call__(self, image: np.ndarray) -> list[Person2D]: ...

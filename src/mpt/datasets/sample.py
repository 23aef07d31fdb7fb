"""One photo with whatever is known of the person in it, and lazy sequences of such samples.

A data set knows some things of each photo and not others: 2D joints, 3D joints, the parameters of a body
model, its vertices. What is not known is ``None``, or marked joint by joint, so that a loss counts only what
is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import roma
import torch

from mpt.crops import Crop
from mpt.skeletons import SMPL24, Skeleton, remap

BOX_FACTOR = 1.2  # crop side over the longer side of the person's box, as in the lineage of METRO


@dataclass(frozen=True)
class Keypoints:
    """2D joints in a photo: ``xy_px`` (J, 2) pixels and ``confidence`` (J,) in [0, 1], 0 where unknown."""

    skeleton: Skeleton
    xy_px: np.ndarray
    confidence: np.ndarray

    def on(self, target: Skeleton) -> "Keypoints":
        """The same joints in the order of another skeleton, by name; unknown where it has others."""
        index = _index(self.skeleton, target)
        return Keypoints(
            target,
            np.where(index[:, None] >= 0, self.xy_px[index], 0.0),
            np.where(index >= 0, self.confidence[index], 0.0),
        )


@dataclass(frozen=True)
class Joints3D:
    """3D joints: ``xyz_m`` (J, 3) metres in camera axes about any origin, ``known`` (J,) bool."""

    skeleton: Skeleton
    xyz_m: np.ndarray
    known: np.ndarray

    def on(self, target: Skeleton) -> "Joints3D":
        """The same joints in the order of another skeleton, by name.

        SMPL's joints are centres of rotation, centimetres from what others call hip, shoulder or head: they
        stay unknown in any skeleton but SMPL's own. Regress them from the mesh instead.
        """
        index = _index(self.skeleton, target)
        if self.skeleton is SMPL24 and target is not SMPL24:
            index = np.full(len(target), -1)
        return Joints3D(
            target,
            np.where(index[:, None] >= 0, self.xyz_m[index], 0.0),
            np.where(index >= 0, self.known[index], False),
        )


@dataclass(frozen=True)
class BodyParameters:
    """Pose and shape of SMPL (24 joints) or of the right hand of MANO (16)."""

    model: Literal["smpl", "mano"]
    pose: np.ndarray
    """(joints, 3) axis-angle, local to the parent; the root's is in camera axes."""
    betas: np.ndarray
    """(10,)"""
    gender: Literal["neutral", "female", "male"] = "neutral"
    about_mean: bool = False
    """MANO: fingers are given from the mean pose in the model's file, not from the flat hand."""


@dataclass(frozen=True)
class Sample:
    """A person (or a hand) in a photo.

    Attributes:
        image: a file, or an array HWC uint8 RGB. Pixels are the stored ones, whatever EXIF says.
        crop: the square that the networks see, before augmentation.
        vertices_m: (V, 3) in camera axes, metres, where the set gives them itself.
        intrinsics: (3, 3) pinhole matrix in pixels, lens distortion left out.
        root_px: (2,) where the root is seen, where the set tells it better than by ``keypoints``: of a
            person the middle of the hips, of a hand the wrist.
        mirrored: all of this describes the photo's mirror image, left to right (sets of left hands).
    """

    dataset: str
    image: Path | np.ndarray
    crop: Crop
    keypoints: Keypoints | None = None
    joints: Joints3D | None = None
    parameters: BodyParameters | None = None
    vertices_m: np.ndarray | None = None
    intrinsics: np.ndarray | None = None
    root_px: np.ndarray | None = None
    subject: str = ""
    sequence: str = ""
    frame: int = -1
    mirrored: bool = False


class Samples(Sequence[Sample]):
    """Samples made when asked for, out of index arrays; no photo is opened."""

    dataset: str

    def image(self, index: int) -> Path:
        """The photo of a sample, without making the sample."""
        raise NotImplementedError

    def __getitem__(self, index: int) -> Sample:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def checked(self, index: int) -> int:
        """The same index counted from the start; IndexError beyond the end, which ends a ``for``."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return index % len(self)


@dataclass(frozen=True)
class Subset(Samples):
    """Some samples of another sequence, in the order of ``rows``."""

    samples: Samples
    rows: np.ndarray

    @property
    def dataset(self) -> str:
        return self.samples.dataset

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, index: int) -> Path:
        return self.samples.image(int(self.rows[index]))

    def __getitem__(self, index: int) -> Sample:
        return self.samples[int(self.rows[self.checked(index)])]


def _index(source: Skeleton, target: Skeleton) -> np.ndarray:
    """Index by name, where what LSP and MPII call neck is what Human3.6M calls thorax."""
    index = remap(source, target)
    for name, other in (("neck", "thorax"), ("thorax", "neck")):
        if name in target.joints and name not in source.joints and other in source.joints:
            index[target.index(name)] = source.index(other)
    return index


def crop_of_box(xywh: np.ndarray, factor: float = BOX_FACTOR) -> Crop:
    """The square about a box (x, y, width, height) whose edges are pixel edges, as COCO writes boxes."""
    x, y, width, height = (float(value) for value in xywh)
    return Crop((x + width / 2 - 0.5, y + height / 2 - 0.5), max(width, height, 1.0) * factor)


def project(points_m: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(N, 3) points in camera axes, in front of the camera -> (N, 2) pixels."""
    homogeneous = points_m @ intrinsics.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def turned(rotation: np.ndarray, rotvec: np.ndarray) -> np.ndarray:
    """Rotations (N, 3), axis-angle, followed by ``rotation`` (N, 3, 3), in float64."""
    turns = roma.rotvec_to_rotmat(torch.from_numpy(rotvec).double())
    return roma.rotmat_to_rotvec(torch.from_numpy(rotation).double() @ turns).numpy()

"""Random changes of a photo and of everything known about it, together: the augmentation of METRO's lineage.

A photo is turned and scaled by its crop, then perhaps mirrored; what stands in camera axes is brought to
those in which the network answers for that crop (``mpt.views``): ``axes`` below, (3, 3), with the mirror of a
flip. Under weak perspective the two agree exactly.
"""

from dataclasses import dataclass

import numpy as np
import roma
import torch

from mpt.crops import Crop
from mpt.datasets.sample import BodyParameters, Joints3D
from mpt.skeletons import SMPL24, Skeleton
from mpt.views import MIRROR


@dataclass(frozen=True)
class AugmentationConfig:
    """What augmentations are drawn from; the defaults are those for bodies."""

    flip: float = 0.5
    """Share of samples that are mirrored."""
    gain: tuple[float, float] = (0.6, 1.4)
    """Bounds of the factor of each colour."""
    upright: float = 0.6
    """Share of samples that are not turned."""
    rotation_deg: float = 30
    """Standard deviation of the others' angle, cut at twice this."""
    scale: float = 0.25
    """Standard deviation of the crop's size about 1, and the largest departure."""


BODY = AugmentationConfig()
HAND = AugmentationConfig(flip=0, rotation_deg=90)


@dataclass(frozen=True)
class Augmentation:
    """One draw. ``rotation`` in radians turns the crop clockwise, so what it shows turns the other way."""

    flip: bool = False
    rotation: float = 0.0
    scale: float = 1.0
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @staticmethod
    def draw(config: AugmentationConfig, rng: np.random.Generator) -> "Augmentation":
        flip = rng.random() < config.flip
        gain = rng.uniform(*config.gain, 3)
        limit = 2 * config.rotation_deg
        turn = np.clip(rng.normal(0, config.rotation_deg), -limit, limit)
        upright = rng.random() < config.upright
        scale = np.clip(rng.normal(1, config.scale), 1 - config.scale, 1 + config.scale)
        return Augmentation(
            bool(flip), 0.0 if upright else float(np.radians(turn)), float(scale), tuple(gain.tolist())
        )

    def crop(self, crop: Crop) -> Crop:
        """The turned and scaled crop. The mirror is not in it: see :meth:`image` and :meth:`ndc`."""
        return Crop(crop.center_px, crop.side_px * self.scale, crop.rotation + self.rotation)

    def image(self, pixels: np.ndarray) -> np.ndarray:
        """The new crop's pixels (S, S, 3) uint8, mirrored and coloured."""
        pixels = pixels[:, ::-1] if self.flip else pixels
        if self.gain == (1, 1, 1):
            return np.ascontiguousarray(pixels)
        return np.clip(np.rint(pixels * np.float32(self.gain)), 0, 255).astype(np.uint8)

    def ndc(self, points: np.ndarray, skeleton: Skeleton) -> np.ndarray:
        """Joints (J, 2+) in the new crop's [-1, 1], mirrored, left and right exchanged."""
        if not self.flip:
            return points
        mirrored = points[skeleton.flip]
        mirrored[:, 0] *= -1
        return mirrored

    def joints(self, joints: Joints3D, axes: np.ndarray) -> Joints3D:
        """3D joints turned, mirrored, left and right exchanged."""
        xyz = joints.xyz_m @ axes.T
        if not self.flip:
            return Joints3D(joints.skeleton, xyz, joints.known)
        order = joints.skeleton.flip
        return Joints3D(joints.skeleton, xyz[order], joints.known[order])

    def vertices(self, vertices_m: np.ndarray, axes: np.ndarray) -> np.ndarray:
        """(V, 3) vertices turned. A mirrored mesh has other vertex numbers, so there is no flip of one."""
        if self.flip:
            raise ValueError("vertices given by a data set cannot be mirrored; augment it with flip=0")
        return vertices_m @ axes.T

    def parameters(self, parameters: BodyParameters, axes: np.ndarray) -> BodyParameters:
        """The pose of the turned and mirrored body; its template counts as symmetric, as SMPL's nearly is."""
        pose = np.array(parameters.pose, dtype=np.float64)
        if self.flip:
            if parameters.model != "smpl":
                raise ValueError("a mirrored right hand is a left one; augment hands with flip=0")
            pose = pose[SMPL24.flip] * [1, -1, -1]
        # With the mirror M, the turn T and the root R: M T R M = (M T M)(M R M), and M R M is the line above.
        pose[0] = _then(axes @ MIRROR if self.flip else axes, pose[0])
        return BodyParameters(
            parameters.model, pose, parameters.betas, parameters.gender, parameters.about_mean
        )


def _then(rotation: np.ndarray, rotvec: np.ndarray) -> np.ndarray:
    """A rotation (3,), axis-angle, followed by ``rotation`` (3, 3)."""
    matrix = torch.from_numpy(rotation) @ roma.rotvec_to_rotmat(torch.from_numpy(rotvec))
    return roma.rotmat_to_rotvec(matrix).numpy()

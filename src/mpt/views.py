"""The axes in which the network answers, and the camera's own: one rotation and its inverse.

What the network sees of somebody is a crop, and where in the photo it was cut the crop does not tell. So the
network answers as if its camera had been aimed at the root of the person, turned as the crop is turned, and,
where the crop is shown in a mirror, mirrored. Truth is brought into these axes wherever it is read, answers
are brought out of them wherever they are scored or drawn, both by :func:`camera_from_network`.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from mpt.cameras import aim
from mpt.crops import Crop, apply

MIRROR = np.diag([-1.0, 1.0, 1.0])


def level(up: np.ndarray) -> np.ndarray:
    """(3, 3) smallest rotation from camera axes to a level camera's, whose y points down: takes a unit vector
    ``up`` (3,) to (0, -1, 0).
    """
    x, y, z = np.asarray(up, float)
    if y > 0.999:  # upside down: half a turn about the optical axis
        return np.diag([-1.0, -1.0, 1.0])
    k = 1 / (1 - y)
    return np.array([[1 - k * x * x, x, -k * x * z], [-x, -y, -z], [-k * x * z, z, 1 - k * z * z]])


@dataclass(frozen=True)
class Pinhole:
    """A photo's camera, lens distortion left out; pixels (x, y) of the photo.

    ``assumed``: the focal length is a guess, the picture's diagonal: 53 degrees from corner to corner.
    """

    focal_px: tuple[float, float]
    principal_px: tuple[float, float]
    assumed: bool = False

    @staticmethod
    def of(intrinsics: np.ndarray) -> "Pinhole":
        """Of a (3, 3) pinhole matrix in pixels."""
        (fx, _, x), (_, fy, y), _ = np.asarray(intrinsics, float).tolist()
        return Pinhole((fx, fy), (x, y))

    @staticmethod
    def of_size(size_wh: tuple[int, int], focal_px: float | None = None) -> "Pinhole":
        """Of a photo of so many pixels, whose optical axis is taken to pass through its middle."""
        focal = math.hypot(*size_wh) if focal_px is None else float(focal_px)
        width, height = size_wh
        return Pinhole((focal, focal), ((width - 1) / 2, (height - 1) / 2), focal_px is None)

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3)"""
        (fx, fy), (x, y) = self.focal_px, self.principal_px
        return np.array([[fx, 0, x], [0, fy, y], [0, 0, 1.0]])

    @property
    def mean_focal_px(self) -> float:
        return sum(self.focal_px) / 2

    def ray(self, pixel: np.ndarray) -> np.ndarray:
        """(..., 2) pixels -> (..., 3) where they are seen in camera axes, a metre along the optical axis."""
        xy = (np.asarray(pixel) - self.principal_px) / self.focal_px
        return np.concatenate([xy, np.ones_like(xy[..., :1])], -1)

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) points in camera axes -> (..., 2) pixels."""
        return points[..., :2] / np.maximum(points[..., 2:], 1e-3) * self.focal_px + self.principal_px


def camera_from_network(
    camera: Pinhole, crop: Crop, root_ndc: np.ndarray, *, mirrored: bool = False
) -> np.ndarray:
    """(3, 3) orthogonal: ``x_camera = this @ x_network``; its inverse is its transpose.

    root_ndc: (2,) where the root is seen, of a person the middle of the hips, of a hand the wrist; in the
        [-1, 1] of the crop as it lies in the photo.
    mirrored: the network is shown the crop's mirror image.
    """
    root_px = apply(crop.image_from_ndc, np.asarray(root_ndc, float))
    c, s = math.cos(crop.rotation), math.sin(crop.rotation)
    about_the_ray = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    turned = aim(torch.from_numpy(camera.ray(root_px)[None]))[0].numpy() @ about_the_ray
    return turned @ MIRROR if mirrored else turned

"""What a 2D network saw of people drawn in motion-captured poses, kept in one file to learn from.

    FILE    safetensors: the tensors of Sightings; metadata: of which body, joints, networks, poses

Their truth is kept as pose, shape and camera, from which a training step poses the vertices that it compares.
Their maps are kept as marginals (``mpt.heatmaps.marginals``), which a model with one token for each joint
reads: a hundredth of the maps' size.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from mpt.bodies import Body
from mpt.datasets import kept

FORMAT, WHAT, HOW = "mpt-sightings-1", "sightings", "mpt prepare sightings"


@dataclass(frozen=True)
class Sightings:
    """N people as a 2D network saw them. Letters as in ``mpt.datasets.synthetic``."""

    seen: Tensor  # (N, K, 2, S) float16 marginals of their maps, in a crop about what was found
    rotvec: Tensor  # (N, B, 3) local rotations of the body's moving bones, radians
    shape: Tensor  # (N, shapes)
    turn: Tensor  # (N, 3, 3) world points @ turn are in the axes in which the network answers
    points: Tensor  # (N, K, 2) true 2D joints in the crop's [-1, 1]
    up: Tensor  # (N, 3) where up is, in those axes

    def __len__(self) -> int:
        return len(self.seen)

    def __getitem__(self, index) -> "Sightings":
        return Sightings(*(value[index] for value in vars(self).values()))

    def to(self, device: torch.device | str) -> "Sightings":
        return Sightings(*(value.to(device) for value in vars(self).values()))

    @staticmethod
    def joined(parts: Iterable["Sightings"]) -> "Sightings":
        return Sightings(*map(torch.cat, zip(*(vars(part).values() for part in parts), strict=True)))


def write(path: str | os.PathLike, sightings: Sightings, body: Body, about: dict[str, str]) -> None:
    """``about``: what else the file should say of itself, in words."""
    kept.write(path, FORMAT, vars(sightings), body, about)


def read(path: str | os.PathLike, body: Body, heatmap_size: int) -> Sightings:
    """The sightings of a file, to be learned from by a model of this body that reads maps of this size.

    Raises InputError for a file that holds none, or others than that.
    """
    names = [field.name for field in fields(Sightings)]
    sightings = Sightings(*kept.read(path, FORMAT, names, WHAT, HOW, body))
    kept.check_maps(path, sightings.seen.shape[-1], heatmap_size, WHAT, HOW)
    return sightings


def check_sightings_output(path: str | os.PathLike, store: str | os.PathLike) -> None:
    """Refuse to write over anything but earlier sightings, or where nothing can be written."""
    kept.check_kept_output(path, FORMAT, WHAT, store)

"""Samples -> the meshes that a model predicts of them, before the photo's camera."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from mpt.cameras import weak_perspective
from mpt.checkpoint import Model
from mpt.crops import Crop, apply
from mpt.datasets.loading import camera_of
from mpt.datasets.sample import Sample
from mpt.errors import InputError
from mpt.modeling.upright import look_upright
from mpt.recipes.eyes import Eye, FeatureEye, FinderEye
from mpt.recipes.loop import batches
from mpt.views import Pinhole, camera_from_network

BATCH = 32  # crops in one pass of the networks
AVERAGED_TURNS_DEG = (*range(-90, 91, 10),)
AVERAGED_SCALES = (0.7, 0.8, 0.9, 1.0, 1.1)


@dataclass(frozen=True)
class Predicted:
    """A mesh in camera axes.

    Attributes:
        vertices_m: (V, 3) metres about the root: the middle of the hips, or a hand's wrist.
        translation_m: (3,) where the root is.
        points_px: (K, 2) all the model's joints as its own camera projects them, pixels of the photo.
        focal_px, principal_px: of the camera that ``translation_m`` belongs to.
    """

    vertices_m: np.ndarray
    translation_m: np.ndarray
    points_px: np.ndarray
    focal_px: float
    principal_px: tuple[float, float]


Predictor = Callable[[Sequence[Sample]], list[Predicted | None]]
"""Samples -> what was predicted of each, None where nobody was found."""


class Network:
    """A model behind an eye; a :data:`Predictor`.

    averaged: the mean of 95 views of each sample, 19 turns by 5 scales of its crop, as the published figures
    of Mesh Graphormer (Lin et al. 2021) on FreiHAND are made. Not with an eye that looks at no turned crop.
    looks: 2 stands people up and averages with the look at the mirrored maps, as a reconstruction does.
    """

    def __init__(self, model: Model, eye: Eye, *, averaged: bool = False, looks: Literal[1, 2] = 1) -> None:
        features = model.transformer.config.inputs == "features"
        if features and not isinstance(eye, FeatureEye):
            raise InputError(
                f"the model {model.name} reads the image features of a 2D network, not heatmaps: name "
                "the run folder that holds both, and no other 2D network"
            )
        if features and looks == 2:
            raise InputError(
                f"the model {model.name} reads image features, which have no second look: take 1"
            )
        if averaged and isinstance(eye, FinderEye):
            raise InputError(
                "averaging over turned crops needs a 2D network that looks at a given crop: leave one out"
            )
        self.model, self.eye, self.averaged, self.looks = model, eye, averaged, looks
        self.root = model.skeleton.root

    def __call__(self, samples: Sequence[Sample]) -> list[Predicted | None]:
        looks = [
            (sample, crop)
            for sample in samples
            for crop in (_views(sample.crop) if self.averaged else [sample.crop])
        ]
        each = len(looks) // len(samples)
        meshes = [mesh for part in batches(len(looks), BATCH) for mesh in self._meshes(looks[part])]
        return [_mean(meshes[i : i + each]) for i in range(0, len(meshes), each)]

    @torch.inference_mode()
    def _meshes(self, looks: Sequence[tuple[Sample, Crop]]) -> list[Predicted | None]:
        found = [(i, seen) for i, seen in enumerate(self.eye(looks)) if seen is not None]
        meshes: list[Predicted | None] = [None] * len(looks)
        if not found:
            return meshes
        transformer = self.model.transformer
        maps = torch.stack([seen.heatmaps for _, seen in found]).to(transformer.template_joints.device)
        if self.looks == 2:  # as a reconstruction does
            prediction = look_upright(transformer, maps, self.model.skeleton)
        else:
            prediction = transformer(transformer.prepare(maps))
        if not prediction.vertices.isfinite().all():
            raise InputError(
                f"the model {self.model.name} gives no numbers but NaN or infinity: its weights are damaged, "
                "get or train it again"
            )
        vertices, joints, cameras = (
            part.double().cpu() for part in (prediction.vertices, prediction.regressed, prediction.camera)
        )
        points = weak_perspective(joints, cameras).numpy()
        for row, (i, seen) in enumerate(found):
            meshes[i] = _in_camera_axes(
                (vertices[row] - joints[row, self.root].mean(0)).numpy(),
                points[row],
                points[row, self.root].mean(0).clip(-2, 2),
                max(float(cameras[row, 0]), 0.05),
                seen.crop,
                camera_of(looks[i][0]),
            )
        return meshes


def _in_camera_axes(
    vertices: np.ndarray, points: np.ndarray, root: np.ndarray, scale: float, crop: Crop, camera: Pinhole
) -> Predicted:
    """A mesh in the network's axes -> as it stands before the camera.

    ``points`` (K, 2) and ``root`` (2,) are in the crop's [-1, 1].
    """
    focal = camera.mean_focal_px
    return Predicted(
        vertices @ camera_from_network(camera, crop, root).T,
        camera.ray(apply(crop.image_from_ndc, root)) * 2 * focal / (scale * crop.side_px),
        apply(crop.image_from_ndc, points),
        focal,
        camera.principal_px,
    )


def _views(crop: Crop) -> list[Crop]:
    return [
        Crop(crop.center_px, crop.side_px * scale, crop.rotation + math.radians(turn))
        for scale in AVERAGED_SCALES
        for turn in AVERAGED_TURNS_DEG
    ]


def _mean(meshes: Sequence[Predicted | None]) -> Predicted | None:
    found = [mesh for mesh in meshes if mesh is not None]
    if not found:
        return None
    return Predicted(
        np.mean([m.vertices_m for m in found], 0),
        np.mean([m.translation_m for m in found], 0),
        np.mean([m.points_px for m in found], 0),
        found[0].focal_px,
        found[0].principal_px,
    )

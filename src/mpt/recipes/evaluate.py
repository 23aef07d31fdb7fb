"""Errors on held-out poses: heatmaps -> mesh, in millimetres (Section 4.1)."""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from mpt.bodies import Body
from mpt.cameras import RandomCameras
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.datasets.widening import NO_WIDENING, widener_of
from mpt.heatmaps import PERFECT, HeatmapNoise
from mpt.metrics import ErrorSums, mpjpe, pa_mpjpe
from mpt.modeling.mesh_transformer import MeshTransformer
from mpt.recipes.loop import batches
from mpt.skeletons import core


def spread(index: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of the indices, evenly over all of them."""
    return index[np.linspace(0, len(index) - 1, min(count, len(index))).round().astype(int)]


@torch.no_grad()
def evaluate_poses(
    model: MeshTransformer,
    body: Body,
    bones: tuple[str, ...],
    rotvec: np.ndarray,
    *,
    noise: HeatmapNoise | None = None,
    cameras: RandomCameras | Literal["h36m_s1"] | None = None,
    batch_size: int = 64,
    seed: int = 12345,
    rank: int = 0,
    ranks: int = 1,
) -> "PoseErrors":
    """Errors on (N, bones, 3) poses, each once, on random people seen by random cameras.

    The camera, body and noise of each pose are the same in every call with the same seed. ``noise=None`` is
    perfect maps; ``cameras=None`` those of such bodies, "h36m_s1" the paper's four. Joints are the regressed
    ones, of people COCO's 17, about the root (the mid-hip, or the wrist); vertices about the root of their
    mesh. Process ``rank`` of several takes every ``ranks``-th batch and finds in it what one process alone
    would find.
    """
    was_training = model.training
    model.eval()
    device = model.template_joints.device
    usual, counted = widener_of(body).cameras, len(core(body.skeleton))
    virtual = cameras == "h36m_s1"
    data = SyntheticConfig(
        cameras="h36m_s1" if virtual else "random",
        random_cameras=usual if virtual or cameras is None else cameras,
        widening=NO_WIDENING,
        noise=noise or PERFECT,
        truncation=0.0,
        crop_factor=(1.25, 1.25),
        crop_shift=0.0,
        fine_vertices=len(body.template),
    )
    synthesize, pass_over = (
        Synthesizer(
            body,
            bones,
            config,
            inputs=model.config.inputs,
            coarse_vertices=model.config.coarse_vertices,
            heatmap_size=model.config.heatmap_size,
            device=device,
        )
        for config in (data, replace(data, fine_vertices=0))  # as many random numbers, and hardly any work
    )
    generator = torch.Generator(device).manual_seed(seed)
    errors = PoseErrors()
    for number, part in enumerate(batches(len(rotvec), batch_size)):
        if number % ranks != rank:
            pass_over(torch.from_numpy(rotvec[part]), generator)
            continue
        batch = synthesize(torch.from_numpy(rotvec[part]), generator)
        prediction = model(batch.seen, rows=batch.rows)
        root = prediction.regressed[:, body.skeleton.root].mean(1, keepdim=True)
        joints, vertices = prediction.regressed - root, prediction.vertices - root
        joints, true_joints = joints[:, :counted], batch.joints[:, :counted]
        errors.add(
            mpjpe=mpjpe(joints, true_joints),
            pa_mpjpe=pa_mpjpe(joints, true_joints),
            mpve=mpjpe(vertices, batch.vertices),
        )
    model.train(was_training)
    return errors


class PoseErrors(ErrorSums):
    """Sums, and each sample's errors as well."""

    def __init__(self) -> None:
        super().__init__()
        self.each: dict[str, list[torch.Tensor]] = {}

    def add(self, **errors: torch.Tensor) -> None:
        super().add(**errors)
        for name, values in errors.items():
            self.each.setdefault(name, []).append(values.cpu())

    def column(self, name: str) -> np.ndarray:
        return torch.cat(self.each[name]).numpy()

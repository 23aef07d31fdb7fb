"""How sure a model is, set right: what it says of its errors, measured on poses that it never saw."""

import copy
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mpt.bodies import Body
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.datasets.widening import NO_WIDENING
from mpt.modeling.mesh_transformer import BALL, DISC, MeshTransformer
from mpt.recipes.loop import batches

HELD = 0.68
BOUNDS = (0.2, 5.0)  # of a correction; hips, from whose middle all is measured, are nearer than they say


def calibrated(
    model: MeshTransformer, body: Body, bones: tuple[str, ...], rotvec: np.ndarray, data: SyntheticConfig
) -> MeshTransformer:
    """A copy whose spreads are scaled so that they hold 68 % of the errors on these poses (N, bones, 3), seen
    and noisy as in training; the model itself where it says no spreads.
    """
    if not (model.config.spread or model.config.gravity):
        return model
    model = copy.deepcopy(model)
    found = sureness(model, body, bones, rotvec, data)
    if model.config.spread:
        held = (found.distance / (BALL * found.joints_std)).quantile(HELD, 0)
        model.spread_scale.mul_(held.clamp(*BOUNDS))
    if model.config.gravity:
        held = (found.angle / (DISC * found.up_std)).quantile(HELD)
        model.up_scale.mul_(held.clamp(*BOUNDS))
    return model


class Sureness(NamedTuple):
    """How far a model is off, and what it says of that; (N, 0) of what it says nothing."""

    distance: Tensor  # (N, K) metres, of joints about the root
    joints_std: Tensor  # (N, K)
    angle: Tensor  # (N,) radians, of up
    up_std: Tensor  # (N,)


@torch.no_grad()
def sureness(
    model: MeshTransformer, body: Body, bones: tuple[str, ...], rotvec: np.ndarray, data: SyntheticConfig
) -> Sureness:
    """On poses (N, bones, 3), each once, on random people seen by cameras and through noise of ``data``."""
    was_training = model.training
    model.eval()
    device = model.template_joints.device
    synthesize = Synthesizer(
        body,
        bones,
        replace(data, widening=NO_WIDENING, fine_vertices=0),
        inputs=model.config.inputs,
        coarse_vertices=model.config.coarse_vertices,
        heatmap_size=model.config.heatmap_size,
        device=device,
    )
    generator = torch.Generator(device).manual_seed(54321)
    parts = []
    for some in batches(len(rotvec), 256):
        batch = synthesize(torch.from_numpy(rotvec[some]), generator)
        said = model(batch.seen, rows=batch.rows)
        nothing = batch.up[:, :0]
        part = Sureness(nothing, nothing, nothing, nothing)
        if said.joints_std is not None:
            root = said.regressed[:, body.skeleton.root].mean(1, keepdim=True)
            distance = (said.regressed - root - batch.joints).norm(dim=-1)
            part = part._replace(distance=distance, joints_std=said.joints_std)
        if said.up is not None and said.up_std is not None:
            angle = (said.up * batch.up).sum(-1).clamp(-1, 1).arccos()
            part = part._replace(angle=angle, up_std=said.up_std)
        parts.append(part)
    model.train(was_training)
    return Sureness(*map(torch.cat, zip(*parts)))

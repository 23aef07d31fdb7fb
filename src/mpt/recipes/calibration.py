"""How sure a model is, set right: what it says of its errors, measured on poses that it never saw."""

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mpt.bodies import Body
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.datasets.widening import NO_WIDENING
from mpt.modeling.mesh_transformer import BALL, DISC, MeshTransformer
from mpt.recipes.loop import batches

HELD = 0.68
BOUNDS = (0.5, 2.0)  # of a correction: beyond them it is no correction any more


def calibrated(
    model: MeshTransformer, body: Body, bones: tuple[str, ...], rotvec: np.ndarray, data: SyntheticConfig
) -> MeshTransformer:
    """A copy whose spreads are scaled so that they hold 68 % of the errors on these poses (N, bones, 3), seen
    and noisy as in training; the model itself where it says no spreads.
    """
    if not (model.config.spread or model.config.gravity):
        return model
    model = copy.deepcopy(model)
    for scale, ratios in zip(("spread_scale", "up_scale"), error_ratios(model, body, bones, rotvec, data)):
        if ratios is not None:
            getattr(model, scale).mul_(ratios.quantile(HELD, 0).clamp(*BOUNDS))
    return model


@torch.no_grad()
def error_ratios(
    model: MeshTransformer, body: Body, bones: tuple[str, ...], rotvec: np.ndarray, data: SyntheticConfig
) -> tuple[Tensor | None, Tensor | None]:
    """Errors over what should hold 68 % of them: of joints about the root (N, K), and of up (N,)."""
    was_training = model.training
    model.eval()
    synthesize = Synthesizer(
        body,
        bones,
        replace(data, widening=NO_WIDENING, fine_vertices=0),
        inputs=model.config.inputs,
        coarse_vertices=model.config.coarse_vertices,
        heatmap_size=model.config.heatmap_size,
        device=model.template_joints.device,
    )
    generator = torch.Generator(model.template_joints.device).manual_seed(54321)
    of_joints, of_up = [], []
    for some in batches(len(rotvec), 256):
        batch = synthesize(torch.from_numpy(rotvec[some]), generator)
        said = model(batch.seen, rows=batch.rows)
        if said.joints_std is not None:
            root = said.regressed[:, body.skeleton.root].mean(1, keepdim=True)
            distance = (said.regressed - root - batch.joints).norm(dim=-1)
            of_joints.append(distance / (BALL * said.joints_std))
        if said.up is not None and said.up_std is not None:
            angle = (said.up * batch.up).sum(-1).clamp(-1, 1).arccos()
            of_up.append(angle / (DISC * said.up_std))
    model.train(was_training)
    return torch.cat(of_joints) if of_joints else None, torch.cat(of_up) if of_up else None

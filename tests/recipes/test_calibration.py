"""Spreads that a model says hold the errors that it makes."""

from dataclasses import replace

import pytest
import torch

from mpt import bodies
from mpt.datasets.synthetic import SyntheticConfig
from mpt.losses import spread_nll
from mpt.modeling.mesh_transformer import BALL, DISC, SMALL, MeshTransformer
from mpt.recipes.calibration import calibrated, error_ratios


@pytest.mark.parametrize(("dimensions", "bound"), [(2, DISC), (3, BALL)])
def test_the_likeliest_spread_is_the_one_that_holds_68_percent(dimensions, bound):
    """Of Gaussian points, and of points whose distance falls off as an exponential."""
    generator = torch.Generator().manual_seed(0)
    gaussian = 0.04 * torch.randn(200_000, dimensions, generator=generator).norm(dim=-1)
    assert (gaussian < 0.04 * bound).double().mean() == pytest.approx(0.68, abs=0.005)
    long_tailed = torch._standard_gamma(torch.full((200_000,), float(dimensions)), generator) * 0.03
    stds = torch.linspace(0.02, 0.08, 601)
    said = stds[torch.stack([spread_nll(long_tailed, std, dimensions).mean() for std in stds]).argmin()]
    assert (long_tailed < said * bound).double().mean() == pytest.approx(0.68, abs=0.01)


def test_calibration_scales_spreads_until_68_percent_are_held_and_leaves_the_model_alone():
    body = bodies.load("anny")
    torch.manual_seed(0)
    sizes = replace(SMALL, hidden=(16,), layers=1, heads=2, heatmap_size=48, gravity=True, spread=True)
    model = MeshTransformer.for_body(body, sizes).train()
    with torch.no_grad():
        model.to_spread.bias.fill_(1.5)
    poses = 0.2 * torch.randn(64, len(body.moving_bones), 3).numpy()
    about = body, body.moving_bones, poses, SyntheticConfig()
    ready = calibrated(model, *about)
    assert model.training and (model.spread_scale == 1).all() and model.up_scale == 1
    of_joints, of_up = error_ratios(ready, *about)
    held = (of_joints <= 1).double().mean(0)
    within = (ready.spread_scale > 0.5) & (ready.spread_scale < 2)  # no correction goes further
    assert within.any() and ((held[within] - 0.68).abs() < 0.02).all()
    assert ready.up_scale in (0.5, 2.0) or (of_up <= 1).double().mean() == pytest.approx(0.68, abs=0.02)
    plain = MeshTransformer.for_body(body, replace(sizes, gravity=False, spread=False))
    assert calibrated(plain, *about) is plain

"""The losses of Eq. 2-7: one value per sample, or the mean over what is known; the recipe weighs and sums."""

from typing import Literal

import torch
from torch import Tensor

from mpt.heatmaps import blobs, render


def l1(predicted: Tensor, truth: Tensor) -> Tensor:
    """(N,) mean over points of the 1-norm of their difference, (N, points, 2 or 3). Eq. 2-5."""
    return (predicted - truth).abs().sum(-1).mean(-1)


def spread_nll(distance: Tensor, std: Tensor, dimensions: Literal[2, 3]) -> Tensor:
    """Negative log likelihood, up to a constant, of distances (...) whose standard deviation along an axis is
    said to be ``std`` (...), alike.

    They are taken to fall off as exp(-distance / scale), as those of pose networks do: under a Gaussian the
    few largest would tell the spread. The scale is such that 68 % lie where a Gaussian's would.
    """
    scale = std / {2: 1.554, 3: 1.871}[dimensions]
    return distance / scale + dimensions * scale.log()


def heatmap_loss(maps: Tensor, points: Tensor, known: Tensor, std_cells: float) -> Tensor:
    """L_S: mean squared error of maps (N, K, S, S) against blobs at ``points`` (N, K, 2) in [-1, 1]."""
    size = maps.shape[-1]
    cells = (torch.where(known[..., None] > 0, points, 0.0) + 1) * (size / 2) - 0.5
    truth = render(blobs(cells, std_cells), size)
    return _over_known((maps - truth).square().mean((-2, -1)), known)


def l1_where_known(predicted: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Mean 1-norm of (N, P, d) differences, Eq. 2-5; ``known``: weights (N, P), or (N, 1) for all points."""
    truth = torch.where(known[..., None] > 0, truth, 0.0)  # a NaN times nothing would be a NaN
    return _over_known((predicted - truth).abs().sum(-1), known)


def _over_known(errors: Tensor, known: Tensor) -> Tensor:
    """Mean of (N, P) errors over each sample's known points, then over the samples that know any."""
    known = known.expand_as(errors)
    total = known.sum(1)
    per_sample = (errors * known).sum(1) / torch.where(total > 0, total, 1.0)
    return masked_mean(per_sample, total > 0)


def masked_mean(per_sample: Tensor, known: Tensor | None = None) -> Tensor:
    """Mean of (N,) losses over the samples whose ground truth is ``known`` (N,) bool; 0 where none is."""
    if known is None:
        return per_sample.mean()
    return (per_sample * known).sum() / known.sum().clamp_min(1)

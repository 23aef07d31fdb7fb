"""Errors in millimetres, per sample, so that any subset can be averaged exactly later."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mpt.alignment import procrustes


def mpjpe(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean error per joint or vertex, (*batch,) mm, of (*batch, N, 3) metres, rooted by the caller."""
    return 1000 * (predicted - truth).norm(dim=-1).mean(-1)


def pa_mpjpe(predicted: Tensor, truth: Tensor, *, reflection: bool = False) -> Tensor:
    """:func:`mpjpe` after the best similarity alignment of each sample, (*batch,) mm."""
    predicted, truth = predicted.double(), truth.double()
    return mpjpe(procrustes(predicted, truth, reflection=reflection), truth)


def f_score(predicted: Tensor, truth: Tensor, threshold_mm: float) -> Tensor:
    """F-score of two point clouds (*batch, N, 3) metres at a distance threshold, (*batch,) in [0, 1].

    Harmonic mean of the shares of predicted points near a true one and of true points near a predicted one
    (Knapitsch et al. 2017; FreiHAND's F@5 mm and F@15 mm).
    """
    # Not by matrix products, whose rounding is a third of a millimetre in single precision.
    distance = 1000 * torch.cdist(predicted, truth, compute_mode="donot_use_mm_for_euclid_dist")
    precision = (distance.amin(-1) < threshold_mm).double().mean(-1)
    recall = (distance.amin(-2) < threshold_mm).double().mean(-1)
    total = precision + recall
    return torch.where(total > 0, 2 * precision * recall / total.clamp_min(1e-12), 0.0)


def auc(predicted: Tensor, truth: Tensor, *, upto_mm: float = 50.0, steps: int = 100) -> Tensor:
    """Area under the curve of correct points over the distance that counts as correct, (*batch,) in [0, 1].

    Points (*batch, N, 3) metres; the distance goes from 0 to ``upto_mm`` in ``steps`` equally spaced values,
    joined by straight lines (Zimmermann and Brox 2017; FreiHAND's AUC).
    """
    limits = torch.linspace(0, upto_mm, steps, dtype=torch.float64, device=predicted.device)
    distance = 1000 * (predicted.double() - truth.double()).norm(dim=-1)
    correct = (distance[..., None] <= limits).double().mean(-2)
    return torch.trapezoid(correct, limits) / upto_mm


def pck(predicted: Tensor, truth: Tensor, limit: Tensor, known: Tensor) -> Tensor:
    """Share of the ``known`` (*batch, N) bool points that are no farther off than ``limit`` (*batch,).

    Points (*batch, N, 2 or 3) in the unit of the limit; (*batch,) in [0, 1], NaN where none is known.
    """
    near = (predicted - truth).norm(dim=-1) <= limit[..., None]
    return (near & known).sum(-1).double() / known.sum(-1)


class ErrorSums:
    """Sums and counts of named per-sample errors: averages of unequal batches and ranks stay exact."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, **errors: Tensor) -> None:
        for name, values in errors.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(values.double().sum())
            self.counts[name] = self.counts.get(name, 0) + values.numel()

    def means(self) -> dict[str, float]:
        return {name: self.sums[name] / self.counts[name] for name in self.sums}

    def over_ranks(self) -> "ErrorSums":
        """Those of all processes together, for each of them; which may know other names, or none."""
        total = ErrorSums()
        for sums, counts in gathered((self.sums, self.counts)):
            for name in sums:
                total.sums[name] = total.sums.get(name, 0.0) + sums[name]
                total.counts[name] = total.counts.get(name, 0) + counts[name]
        return total


def gathered(value: Any) -> list:
    """That value of every process, by rank. All processes call it together; alone, it is [value]."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values

"""The losses of Eq. 2-7, one value per sample; the recipe weighs, masks and sums them."""

from torch import Tensor


def l1(predicted: Tensor, truth: Tensor) -> Tensor:
    """(N,) mean over points of the 1-norm of their difference, (N, points, 2 or 3). Eq. 2-5."""
    return (predicted - truth).abs().sum(-1).mean(-1)


def heatmap_mse(predicted: Tensor, truth: Tensor) -> Tensor:
    """(N,) mean squared difference of heatmaps (N, joints, H, W). L_S of Eq. 7."""
    return (predicted - truth).square().mean((-3, -2, -1))


def masked_mean(per_sample: Tensor, known: Tensor | None = None) -> Tensor:
    """Mean of (N,) losses over the samples whose ground truth is ``known`` (N,) bool; 0 where none is."""
    if known is None:
        return per_sample.mean()
    return (per_sample * known).sum() / known.sum().clamp_min(1)

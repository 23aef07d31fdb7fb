"""Laying one point set on another: the similarity Procrustes of PA-MPJPE."""

import torch
from torch import Tensor


def procrustes(source: Tensor, target: Tensor, *, reflection: bool = False) -> Tensor:
    """``source`` laid on ``target`` by the similarity (rotation, scale, translation) of least squares.

    Umeyama 1991. Both (*batch, N, 3), any unit; the result has the shape and unit of ``target``. Where the
    source is a single point repeated, scale is 0 and the result is the target's mean. ``reflection=True``
    also admits mirror images (FreiHAND's own evaluation does; the body metrics do not).
    """
    mean_source, mean_target = source.mean(-2, keepdim=True), target.mean(-2, keepdim=True)
    a, b = source - mean_source, target - mean_target
    u, s, vt = torch.linalg.svd(a.mT @ b)
    sign = torch.ones_like(s)
    if not reflection:
        sign[..., -1] = torch.det(u @ vt).sign()
    rotation = (u * sign.unsqueeze(-2)) @ vt
    variance = a.square().sum((-2, -1))
    scale = (s * sign).sum(-1) / variance.clamp_min(torch.finfo(variance.dtype).tiny)
    return scale[..., None, None] * (a @ rotation) + mean_target

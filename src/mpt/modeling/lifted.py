"""What the mesh transformer says of a film's frames, each by itself, in the axes of the film's camera.

It is what ``mpt.reconstructor`` does with a photo, batched: answers are turned by the ray through the person
(``mpt.views``) and placed where they best project onto the 2D joints.

Letters: N clips, F frames, M people in single frames, K joints, C coarse vertices. Lengths in the picture are
told on the plane a metre before the camera.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mpt.cameras import aim, fit_translation, weak_perspective
from mpt.modeling.mesh_transformer import MeshTransformer

MIN_SCORE = 0.15  # below it a 2D joint does not help to place the body
MIN_JOINTS = 4  # with fewer of them the network's own weak-perspective camera places it
MIN_DEPTH_M = 0.15  # nobody's root is nearer to the lens
FACTOR = 2.5  # the two ways of placing somebody may differ in depth by no more, or the 2D joints are wrong


class Lifted(NamedTuple):
    """N people over F frames, camera axes (x right, y down, z forward), metres."""

    coarse: Tensor  # (N, F, C, 3) coarse vertices about the mid-hip
    std: Tensor  # (N, F, K) standard deviation of each joint
    translation: Tensor  # (N, F, 3) where the mid-hip is
    up: Tensor  # (N, F, 3)
    up_std: Tensor  # (N, F) radians
    points: Tensor  # (N, F, K, 3) found 2D joints on the plane, and their scores
    times_s: Tensor  # (N, F)
    present: Tensor  # (N, F) bool; where nobody was found the rest means nothing


class Single(NamedTuple):
    """M people in single frames; see Lifted."""

    coarse: Tensor
    std: Tensor
    translation: Tensor
    up: Tensor
    up_std: Tensor


def lift(
    transformer: MeshTransformer,
    seen: Tensor,
    points: Tensor,
    crop: Tensor,
    root: list[int],
    batch: int = 256,
) -> Single:
    """Marginals (M, K, 2, S), joints (M, K, 3) and crops (M, 3: middle, half the side) on the plane -> said.

    root: the joints between which the mid-hip is. The model says where up is and how sure it is.
    """
    parts = zip(seen.split(batch), points.split(batch), crop.split(batch))
    return Single(*map(torch.cat, zip(*(_lift(transformer, *part, root) for part in parts))))


def _lift(
    transformer: MeshTransformer, seen: Tensor, points: Tensor, crop: Tensor, root: list[int]
) -> Single:
    said = transformer(seen.float(), rows=torch.empty(0, dtype=torch.long, device=seen.device))
    if said.joints_std is None or said.up is None or said.up_std is None:
        raise ValueError("the transformer says neither how sure it is nor where up is")
    joints = said.regressed
    middle = joints[:, root].mean(1, keepdim=True)
    at = weak_perspective(middle, said.camera)[:, 0].clamp(-2, 2)
    ray = crop[:, :2] + crop[:, 2:] * at
    ray = torch.cat([ray, torch.ones_like(ray[:, :1])], 1)
    turn = aim(ray).mT  # of rows
    joints, coarse = (joints - middle) @ turn, (said.coarse - middle) @ turn
    depth = 1 / (said.camera[:, :1].clamp_min(0.05) * crop[:, 2:])
    translation = place(joints, points, crop[:, 2], ray * depth)
    return Single(coarse, said.joints_std, translation, (said.up[:, None] @ turn)[:, 0], said.up_std)


def place(joints: Tensor, points: Tensor, half: Tensor, guess: Tensor) -> Tensor:
    """(M, 3) where joints (M, K, 3) about the root best project onto points (M, K, 3), as one photo's are
    placed: those far off are left out once, and an absurd result is no better than the guess (M, 3).
    """
    seen, score = points[..., :2].double(), points[..., 2].double()
    joints, identity = joints.double(), torch.eye(3, dtype=torch.float64, device=points.device)
    used = score >= MIN_SCORE
    enough = used.sum(1) >= MIN_JOINTS
    placed = _fit(joints, seen, score * used, identity, enough)
    shown = joints + placed[:, None]
    off = (shown[..., :2] / shown[..., 2:].clamp_min(1e-3) - seen).norm(dim=-1)
    typical = off.masked_fill(~used, torch.nan).nanmedian(1, keepdim=True).values.nan_to_num(0)
    near = used & (off <= torch.maximum(3 * typical, 0.04 * half.double()[:, None]))
    again = (near.sum(1) >= MIN_JOINTS) & (near.sum(1) < used.sum(1))
    placed = torch.where(again[:, None], _fit(joints, seen, score * near, identity, again), placed)
    ratio = placed[:, 2] / guess[:, 2].double()
    good = enough & (placed[:, 2] >= MIN_DEPTH_M) & (ratio > 1 / FACTOR) & (ratio < FACTOR)
    guess = guess * (guess[:, 2:].clamp_min(MIN_DEPTH_M) / guess[:, 2:])
    return torch.where(good[:, None], placed, guess.double()).float()


def _fit(joints: Tensor, seen: Tensor, weights: Tensor, identity: Tensor, where: Tensor) -> Tensor:
    weights = torch.where(where[:, None], weights, 1.0)  # what is not used must be solvable
    return fit_translation(joints, seen, weights, identity.expand(len(joints), 3, 3))


def bridged(lifted: Lifted, *, causal: bool = False) -> Lifted:
    """Where nobody was found: on the straight way from the last frame before to the next one after;
    ``causal``: as in the last frame before. Before the first and after the last it is as they are.
    """
    times, present = lifted.times_s, lifted.present
    if present.all():
        return lifted
    n, frames = present.shape
    order = torch.arange(frames, device=present.device).expand(n, -1)
    before = torch.where(present, order, -1).cummax(1).values
    after = torch.where(present, order, frames).flip(1).cummin(1).values.flip(1)
    alone = torch.where(before < 0, after, before)
    after = alone if causal else torch.where(after >= frames, alone, after)
    after = after.clamp_max(frames - 1)
    before = alone.clamp(0, frames - 1)
    span = times.gather(1, after) - times.gather(1, before)
    part = torch.where(span > 0, (times - times.gather(1, before)) / span.clamp_min(1e-9), 0.0)

    def between(values: Tensor) -> Tensor:
        wide = [1] * (values.ndim - 2)
        rows = torch.arange(n, device=present.device)[:, None]
        a, b = values[rows, before], values[rows, after]
        return torch.where(present.view(n, frames, *wide), values, a + part.view(n, frames, *wide) * (b - a))

    said = [between(value) for value in lifted[:6]]
    said[5] = said[5] * torch.where(present[..., None, None], 1.0, said[5].new_tensor([1.0, 1.0, 0.0]))
    return Lifted._make([*said, times, present])

"""Meshes -> poses: rotations, shape and place under which a body's vertices are a mesh's, number by number.

A start in closed form, each bone turned as the skin that it moves is turned (Kabsch), then Levenberg and
Marquardt's steps over everything together. With W_vb = sum w_vc over the bones c at and below b, a turn d of
bone b about its head p_b, in world axes, moves vertex v by d x (sum w_vc A_c x_v - W_vb p_b).

Letters as in ``body.py``: N meshes, V vertices, B bones, S shape components.
"""

from typing import NamedTuple

import roma
import torch
from torch import Tensor

from mpt.bodies.body import Body
from mpt.errors import InputError

OWN = 6  # power of the weights: skin that moves with one bone alone tells its turn, other skin misleads
STEPS = 30
DONE = 1e-5  # metres by which a step must lower the distance to be followed by another
SKIN_NOISE = 3e-4  # metres by which meshes are off their body: so much a shape of unit variance weighs
NUMBERS = 2e7  # of a batch's derivatives


class Fit(NamedTuple):
    """Poses as ``Body.forward`` takes them, and how far the vertices are off, root mean square in metres."""

    rotations: Tensor  # (N, B, 3, 3)
    shape: Tensor  # (N, S)
    translation: Tensor  # (N, 3)
    distance: Tensor  # (N,)


def fit(body: Body, vertices: Tensor) -> Fit:
    """The poses of meshes (N, V, 3) with the body's vertices, metres, in the body's axes.

    Every bone may turn: give ``body.with_bones(body.moving_bones)`` where poses tell of those alone. Computed
    in double precision, given in that of ``vertices``.
    """
    if vertices.shape[1:] != body.template.shape:
        raise InputError(
            f"meshes of {vertices.shape[1]} vertices were given, {body.name} has {len(body.template)}; "
            "take the body that they were made of"
        )
    exact = body.to(dtype=torch.float64)
    unknowns = 3 * len(body.bones) + body.shape_count + 3
    batch = max(1, int(NUMBERS / (3 * len(body.template) * unknowns)))
    none = (vertices.new_zeros(0, *size) for size in ((len(body.bones), 3, 3), (body.shape_count,), (3,), ()))
    fits = [Fit(*none)]
    fits += [
        _refine(exact, some, _start(exact, some)) for some in vertices.double().split(batch) if len(some)
    ]
    return Fit(*(torch.cat(parts).to(vertices.dtype) for parts in zip(*fits)))


def _start(body: Body, vertices: Tensor) -> Fit:
    """Each bone by the turn of its skin, parents first, on the mean shape."""
    rest, count = body.template, len(vertices)
    turns: list[Tensor] = []
    for bone, parent in enumerate(body.parents):
        weight = body._dense_skin[:, bone] ** OWN
        if weight.sum() < 0.1:  # hardly any skin is its own
            turns.append(turns[parent] if parent >= 0 else torch.eye(3).to(rest).expand(count, 3, 3))
            continue
        own = (weight > 0).nonzero()[:, 0]
        weights = weight[own].expand(count, -1)
        turns.append(
            roma.rigid_points_registration(rest[own].expand(count, -1, -1), vertices[:, own], weights)[0]
        )
    local = [turns[0]] + [turns[p].mT @ turns[b] for b, p in enumerate(body.parents) if p >= 0]
    rotations = torch.stack(local, 1)
    shape = rest.new_zeros(count, body.shape_count)
    translation = (vertices - body(rotations, shape).vertices).mean(1)
    return Fit(rotations, shape, translation, rest.new_full((count,), torch.inf))


def _refine(body: Body, vertices: Tensor, start: Fit) -> Fit:
    rotations, shape, translation, _ = start
    off = vertices - body(rotations, shape, translation).vertices
    cost = _cost(off, shape)
    damping = cost.new_full((len(cost),), 1e-3)
    for _ in range(STEPS):
        gram, slope = _equations(body, rotations, shape, translation, off)
        diagonal = torch.diag_embed(gram.diagonal(dim1=1, dim2=2) * damping[:, None] + 1e-12)
        step = torch.linalg.solve(gram + diagonal, slope)
        turn, grow, move = step.split([3 * len(body.bones), body.shape_count, 3], 1)
        tried = _turned(body, rotations, turn.unflatten(1, (-1, 3))), shape + grow, translation + move
        tried_off = vertices - body(*tried).vertices
        tried_cost = _cost(tried_off, tried[1])
        better = tried_cost < cost
        gain = torch.where(better, cost.sqrt() - tried_cost.sqrt(), 0)

        def choose(new: Tensor, old: Tensor, better: Tensor = better) -> Tensor:
            return torch.where(better.view(-1, *[1] * (old.ndim - 1)), new, old)

        rotations, shape, translation = map(choose, tried, (rotations, shape, translation))
        off, cost = choose(tried_off, off), choose(tried_cost, cost)
        damping = torch.where(better, damping / 5, damping * 10).clamp(1e-9, 1e6)
        if (gain < DONE).all() and (better | (damping > 1)).all():
            break
    return Fit(rotations, shape, translation, off.square().sum(-1).mean(1).sqrt())


def _cost(off: Tensor, shape: Tensor) -> Tensor:
    """(N,) mean square distance, with what an unlikely shape costs."""
    vertices = off.shape[1]
    return off.square().sum(-1).mean(1) + SKIN_NOISE**2 / vertices * shape.square().sum(1)


def _equations(
    body: Body, rotations: Tensor, shape: Tensor, translation: Tensor, off: Tensor
) -> tuple[Tensor, Tensor]:
    """Normal equations (N, U, U) and (N, U) of turns (B * 3), shape (S) and translation (3)."""
    count = len(shape)
    posed, rest = body(rotations, shape, translation), body.rest(shape)
    turns = _global(body, rotations)
    at = (rest.vertices[:, None] - rest.heads[:, :, None]) @ turns.mT + posed.heads[
        :, :, None
    ]  # (N, B, V, 3)
    skin = body._skin_by_bone  # (B, V)
    below = _below(body).to(skin)  # (B, B): row b has the bones at and below b
    carried = torch.einsum("bc,cv,ncvx->nbvx", below, skin, at)
    arm = carried - (below @ skin)[None, ..., None] * posed.heads[:, :, None]
    by_turn = -_skew(arm)  # (N, B, V, 3, 3)
    by_turn = by_turn.permute(0, 2, 3, 1, 4).flatten(3)  # (N, V, 3, B * 3)

    # For given rotations vertices are affine in the shape, so differences are its derivative.
    one_more = (shape[:, None] + torch.eye(body.shape_count).to(shape)).flatten(0, 1)
    spread = [value.repeat_interleave(body.shape_count, 0) for value in (rotations, translation)]
    shaped = body(spread[0], one_more, spread[1]).vertices.unflatten(0, (count, -1))
    by_shape = (shaped - posed.vertices[:, None]).permute(0, 2, 3, 1)  # (N, V, 3, S)

    by_move = torch.eye(3).to(off).expand(*off.shape[:2], 3, 3)
    derivative = torch.cat([by_turn, by_shape, by_move], -1).flatten(1, 2)  # (N, V * 3, U)
    gram = derivative.mT @ derivative
    slope = (derivative.mT @ off.flatten(1)[..., None])[..., 0]
    shapes = slice(3 * len(body.bones), -3)
    gram[:, shapes, shapes] += SKIN_NOISE**2 * torch.eye(body.shape_count).to(gram)
    slope[:, shapes] -= SKIN_NOISE**2 * shape
    return gram, slope


def _turned(body: Body, rotations: Tensor, turn: Tensor) -> Tensor:
    """Local rotations after turns (N, B, 3) of each bone with all below it, in world axes."""
    turns = _global(body, rotations)
    extra = roma.rotvec_to_rotmat(turn)
    above = torch.stack(
        [turns[:, p] if p >= 0 else torch.eye(3).to(turns).expand(len(turns), 3, 3) for p in body.parents], 1
    )
    return above.mT @ extra @ above @ rotations


def _global(body: Body, rotations: Tensor) -> Tensor:
    turns: list[Tensor] = []
    for bone, parent in enumerate(body.parents):
        turns.append(rotations[:, bone] if parent < 0 else turns[parent] @ rotations[:, bone])
    return torch.stack(turns, 1)


def _below(body: Body) -> Tensor:
    below = torch.eye(len(body.bones))
    for bone in range(len(body.bones) - 1, 0, -1):
        below[body.parents[bone]] += below[bone]
    return below


def _skew(v: Tensor) -> Tensor:
    """(..., 3) -> (..., 3, 3) with skew(v) @ d = v x d."""
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))

"""Meshes -> poses: rotations, shape and place under which a body's vertices come nearest to a mesh's.

A start in closed form, each bone turned as the skin that it moves is turned (Kabsch), then a few of Levenberg
and Marquardt's steps over everything together. With W_vb = sum w_vc over the bones c at and below b, a turn d
of bone b about its head p_b, in world axes, moves vertex v by d x (sum w_vc A_c x_v - W_vb p_b).

What is likeliest is sought, of meshes that are off their body by normal noise, of people as the shapes'
unit variance has them, and of joints as people bend them (``mpt.bodies.joint_limits``). How noisy a mesh
is, is read from how far it stays off: a true one tells everything, a rough one leaves
twists and build at rest.

Letters as in ``body.py``: N meshes, V vertices, B bones, S shape components; U = 3 B + S + 3 unknowns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import roma
import torch
from torch import Tensor

from mpt.bodies.body import Body
from mpt.bodies.joint_limits import MIRROR, JointLimits, limits_of
from mpt.bodies.pose import BodyPose
from mpt.errors import InputError

OWN = 6  # power of the weights: skin that moves with one bone alone tells its turn, other skin misleads
STEPS = 30
HARDLY = 0.01  # such weights in all
DONE = 1.0  # a step that gains no more log-likelihood is the last
FEWER = 500  # vertices of a larger mesh that are compared, spread evenly
INDEPENDENT = 200  # vertices whose errors tell nothing of each other's, among those of a mesh
NOISE = 1e-5  # metres, of a mesh that is its body's own, along each axis
ROUGH = 1e-3  # metres, of a mesh that is no body's own: its shape is then kept within ...
LIKELY, SOFT = 2.9, 0.02  # ... so many standard deviations, as softly, where it left them, ...
ROUNDS = 4  # ... so often, ...
MOST = 3.0  # ... and at last within so many
STIFF = 1e-6  # 1 / rad^2: a bone without skin does not turn
BATCH = 32


class Fit(NamedTuple):
    """Poses as ``Body.forward`` takes them, and how far the vertices are off, root mean square in metres."""

    rotations: Tensor  # (N, B, 3, 3)
    shape: Tensor  # (N, S)
    translation: Tensor  # (N, 3)
    distance: Tensor  # (N,) of the vertices that were compared


@dataclass(frozen=True)
class _State:
    """N bodies beside their meshes."""

    rotations: Tensor  # (N, B, 3, 3)
    shape: Tensor  # (N, S)
    translation: Tensor  # (N, 3)
    centre: Tensor  # (N, S) where shapes are likeliest
    precision: Tensor  # (N, S) how surely, one over the variance
    bones: Tensor  # (N, B, 4, 4) to the world
    off: Tensor  # (N, V, 3) from the body's vertices to the mesh's
    cost: Tensor  # (N,) -2 log-likelihood

    def __getitem__(self, rows: Tensor) -> "_State":
        return _State(*(part[rows] for part in vars(self).values()))

    def put(self, rows: Tensor, new: "_State") -> None:
        """Overwrite these rows."""
        for mine, other in zip(vars(self).values(), vars(new).values()):
            mine[rows] = other


class Fitter:
    """Poses of meshes that have one body's vertices.

    Every bone of the body may turn: give ``body.with_bones(body.moving_bones)`` where poses tell of those
    alone. Without ``limits`` nothing is known of how joints bend.
    """

    def __init__(self, body: Body, limits: JointLimits | None = None) -> None:
        self.name, self.vertex_count = body.name, len(body.template)
        self.seen = torch.linspace(0, self.vertex_count - 1, min(self.vertex_count, FEWER)).round().long()
        self.body, self.limits = body.subset(self.seen), limits
        self.weight = INDEPENDENT / len(self.seen)
        self._basis = self.body.shape_basis.permute(1, 2, 0).contiguous()  # (V, 3, S)
        self._below = _below(body)
        self._own = self.body._skin_by_bone**OWN  # (B, V)

    def __call__(self, vertices: Tensor) -> Fit:
        """The poses of meshes (N, V, 3), metres, in whatever axes: the root's rotation leads there."""
        if vertices.shape[1:] != (self.vertex_count, 3):
            raise InputError(
                f"meshes of {vertices.shape[1]} vertices were given, {self.name} has {self.vertex_count}; "
                "take the body that they were made of"
            )
        if not len(vertices):
            bones, shapes = len(self.body.bones), self.body.shape_count
            return Fit(*(vertices.new_zeros(0, *size) for size in ((bones, 3, 3), (shapes,), (3,), ())))
        fits = [self._fit(some) for some in vertices.index_select(1, self.seen).split(BATCH)]
        return Fit(*(torch.cat(parts) for parts in zip(*fits)))

    def _fit(self, vertices: Tensor) -> Fit:
        """Of the vertices that are compared."""
        state = self._start(vertices)
        self._refine(state, vertices, torch.arange(len(vertices)))
        held = torch.zeros_like(state.shape, dtype=torch.bool)
        for _ in range(ROUNDS):
            held |= state.shape.abs() > LIKELY
            rough = (_mean_square(state.off).sqrt() > ROUGH) & (state.shape.abs() > LIKELY).any(1)
            if not rough.any():
                break
            state.centre[held] = LIKELY * state.shape[held].sign()
            state.precision[held] = SOFT**-2
            self._refine(state, vertices, rough.nonzero()[:, 0])
        distance = _mean_square(state.off).sqrt()
        shape = torch.where((distance > ROUGH)[:, None], state.shape.clamp(-MOST, MOST), state.shape)
        return Fit(state.rotations, shape, state.translation, distance)

    def _refine(self, state: _State, vertices: Tensor, going: Tensor) -> None:
        """Those rows of a state, on and on."""
        state.put(going, self._measured(state[going], vertices[going]))
        damping = vertices.new_full((len(vertices),), 1e-3)
        for _ in range(STEPS):
            here, mesh = state[going], vertices[going]
            tried = self._stepped(here, mesh, damping[going])
            gain = here.cost - tried.cost
            better = gain > 0
            state.put(going[better], tried[better])
            damping[going] = (damping[going] * torch.where(better, 0.2, 10.0)).clamp(1e-9, 1e6)
            going = going[torch.where(better, gain > DONE, damping[going] < 1)]
            if not len(going):
                break

    def _start(self, vertices: Tensor) -> _State:
        """Each bone by the turn of its skin on the mean shape; that of its parent where it has hardly any."""
        weight, rest = self._own, self.body.template
        total = weight.sum(1, keepdim=True).clamp_min(1e-9)  # (B, 1)
        centred = rest - (weight @ rest / total)[:, None]  # (B, V, 3)
        skins = torch.einsum("bv,bvx,nvy->nbyx", weight, centred, vertices)
        own: Tensor = roma.special_procrustes(skins)  # pyright: ignore[reportAssignmentType]
        turns: list[Tensor] = []
        local: list[Tensor] = []
        for bone, parent in enumerate(self.body.parents):
            turns.append(own[:, bone] if parent < 0 or total[bone] > HARDLY else turns[parent])
            local.append(turns[bone] if parent < 0 else turns[parent].mT @ turns[bone])
        rotations, shape = torch.stack(local, 1), rest.new_zeros(len(vertices), self.body.shape_count)
        translation = (vertices - self.body(rotations, shape).vertices).mean(1)
        bones = self.body.bone_transforms(rotations, shape, translation)
        prior = shape.clone(), torch.ones_like(shape)
        state = _State(
            rotations, shape, translation, *prior, bones, vertices, vertices.new_zeros(len(vertices))
        )
        return self._measured(state, vertices)

    def _measured(self, state: _State, vertices: Tensor) -> _State:
        """With its bones, and what it is off and costs."""
        pose = state.rotations, state.shape, state.translation
        off = vertices - self.body(*pose).vertices
        cost = 3 * self.weight * len(self.seen) * _noise_square(off).log()
        cost = cost + (state.precision * (state.shape - state.centre).square()).sum(1)
        if self.limits is not None:
            cost = cost + self.limits.penalty(state.rotations)
        return replace(state, bones=self.body.bone_transforms(*pose), off=off, cost=cost)

    def _stepped(self, here: _State, vertices: Tensor, damping: Tensor) -> _State:
        """One step of all unknowns on, the shorter the more it is damped (N,)."""
        gram, slope = self._equations(here)
        diagonal = torch.diag_embed(gram.diagonal(dim1=1, dim2=2) * damping[:, None] + STIFF)
        step = torch.linalg.solve((gram + diagonal).double(), slope.double()).to(slope)
        turn, grow, move = step.split([3 * len(self.body.bones), self.body.shape_count, 3], 1)
        extra = roma.rotvec_to_rotmat(turn.unflatten(1, (-1, 3)))
        above = self._above(here.bones)
        rotations = above.mT @ extra @ above @ here.rotations
        moved = replace(
            here, rotations=rotations, shape=here.shape + grow, translation=here.translation + move
        )
        return self._measured(moved, vertices)

    def _above(self, bones: Tensor) -> Tensor:
        """(N, B, 3, 3) world rotation of each bone's parent."""
        turns = bones[:, self.body._above, :3, :3]
        return torch.cat([torch.eye(3).to(turns).expand(len(turns), 1, 3, 3), turns[:, 1:]], 1)

    def _equations(self, here: _State) -> tuple[Tensor, Tensor]:
        """Normal equations (N, U, U) and (N, U) of turns (B * 3), shape (S) and translation (3)."""
        derivative = self._derivative(here)
        weight = (self.weight / _noise_square(here.off))[:, None]
        gram = derivative.mT @ derivative * weight[..., None]
        slope = (derivative.mT @ here.off.flatten(1)[..., None])[..., 0] * weight
        of_shape = slice(3 * len(self.body.bones), -3)
        gram[:, of_shape, of_shape] += torch.diag_embed(here.precision)
        slope[:, of_shape] -= here.precision * (here.shape - here.centre)
        if self.limits is not None:
            known, pull = self.limits.equations(here.rotations, self._above(here.bones))
            for bone in range(len(self.body.bones)):
                at = slice(3 * bone, 3 * bone + 3)
                gram[:, at, at] += known[:, bone]
                slope[:, at] += pull[:, bone]
        return gram, slope

    def _derivative(self, here: _State) -> Tensor:
        """(N, V * 3, U) of the vertices by the unknowns; pose blend shapes are taken to stay."""
        body, skin = self.body, self.body._skin_by_bone
        turns, heads = here.bones[..., :3, :3], here.bones[..., :3, 3]
        rest = body.rest(here.shape)
        at = (rest.vertices[:, None] - rest.heads[:, :, None]) @ turns.mT + heads[:, :, None]  # (N, B, V, 3)
        carried = torch.einsum("bc,ncvx->nbvx", self._below, skin[..., None] * at)
        arm = carried - (self._below @ skin)[..., None] * heads[:, :, None]
        by_turn = -_skew(arm).permute(0, 2, 3, 1, 4).flatten(3)  # (N, V, 3, B * 3)

        basis = body.heads_basis.permute(1, 2, 0)  # (B, 3, S)
        stretch = basis - basis[body._above]
        stretch[0] = basis[0]
        moved = torch.einsum("cb,nbxs->ncxs", self._below.T, self._above(here.bones) @ stretch)
        shift = moved - turns @ basis  # (N, B, 3, S)
        blended = torch.einsum("bv,nbxy->nvxy", skin, turns)
        by_shape = blended @ self._basis + torch.einsum("bv,nbxs->nvxs", skin, shift)

        by_move = torch.eye(3).to(arm).expand(*by_turn.shape[:2], 3, 3)
        return torch.cat([by_turn, by_shape, by_move], -1).flatten(1, 2)


class BodyFitter:
    """Meshes of one body's people, or hands -> their poses, as bones that motion capture can drive turn.

    What else the body has, rests.
    """

    def __init__(self, body: Body) -> None:
        moving = body.with_bones(body.moving_bones)
        self.bodies = {False: body}
        self._columns = [body.bones.index(bone) for bone in moving.bones]
        self._fitter = Fitter(moving, limits_of(moving))

    @torch.no_grad()
    def __call__(self, vertices: np.ndarray, mirrored: Sequence[bool] = ()) -> list[BodyPose]:
        """The poses of meshes (N, V, 3) in metres, in whatever axes: the root's rotation leads there.

        mirrored: which of them are mirror images of what the body is: poses of the other hand.
        """
        across = np.array([-1, 1, 1], np.float32)
        signs = np.array([across if flip else [1, 1, 1] for flip in mirrored or [False] * len(vertices)])
        found = self._fitter(torch.from_numpy(np.asarray(vertices * signs[:, None], np.float32)))
        rotvec = np.zeros((len(vertices), len(self.bodies[False].bones), 3), np.float32)
        rotvec[:, self._columns] = roma.rotmat_to_rotvec(found.rotations).numpy()
        poses = []
        for i, sign in enumerate(signs):
            flip = bool(sign[0] < 0)
            if flip not in self.bodies:
                self.bodies[flip] = self.bodies[False].mirrored()
            turns = rotvec[i] * np.array(MIRROR, np.float32) if flip else rotvec[i]
            place = found.translation[i].numpy() * sign.astype(np.float32)
            poses.append(BodyPose(self.bodies[flip], turns, found.shape[i].numpy(), place))
        return poses


def fit(body: Body, vertices: Tensor) -> Fit:
    """The poses of meshes (N, V, 3) with the body's vertices; see :class:`Fitter`."""
    return Fitter(body)(vertices)


def _mean_square(off: Tensor) -> Tensor:
    return off.square().sum(-1).mean(1)


def _noise_square(off: Tensor) -> Tensor:
    """(N,) variance along each axis of what meshes are off."""
    return _mean_square(off) / 3 + NOISE**2


def _below(body: Body) -> Tensor:
    """(B, B): row b has the bones at and below b."""
    below = torch.eye(len(body.bones)).to(body.template)
    for bone in range(len(body.bones) - 1, 0, -1):
        below[body.parents[bone]] += below[bone]
    return below


def _skew(v: Tensor) -> Tensor:
    """(..., 3) -> (..., 3, 3) with skew(v) @ d = v x d."""
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))

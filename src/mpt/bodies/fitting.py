"""Meshes -> poses: rotations, shape and place under which a body's vertices come nearest to a mesh's.

A start in closed form, each bone turned as the skin that it moves is turned (Kabsch), then a few of Levenberg
and Marquardt's steps over everything together. With W_bv = sum w_vc over the bones c at and below b, a turn d
of bone b about its head p_b, in world axes, moves vertex v by d x a_bv with the arm a_bv = sum w_vc A_c x_v -
W_bv p_b.

What is likeliest is sought, of meshes that are off their body by normal noise, of people as the shapes'
unit variance has them, and of joints as people bend them (``mpt.bodies.joint_limits``). How noisy a mesh
is, is read from how far it stays off: a true one tells everything, a rough one leaves
twists and build at rest.

Letters as in ``body.py``: N meshes, V vertices, B bones, S shape components, none where the shape is given;
U = 3 B + S + 3 unknowns. Vertices stand as planes of x, y and z, (N, 3, V): products run along them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import roma
import torch
from torch import Tensor

from mpt.bodies.body import Body
from mpt.bodies.joint_limits import MIRROR, JointLimits, free_limits, limits_of
from mpt.bodies.motion import BodyMotion
from mpt.bodies.pose import BodyPose
from mpt.errors import InputError
from mpt.threads import torch_threads

OWN = 6  # power of the weights: skin that moves with one bone alone tells its turn, other skin misleads
STEPS = 30
HARDLY = 0.01  # such weights in all
DONE = 5.0  # the last step changes the log-likelihood no more
STEADY = 50.0  # a step that changes it no more brings a rough mesh hardly nearer
FEWER = 500  # vertices of a larger mesh that are compared, spread evenly
INDEPENDENT = 200  # vertices whose errors tell nothing of each other's, among those of a mesh
NOISE = 1e-4  # metres, of a mesh that is its body's own, along each axis
ROUGH = 1e-3  # metres, of a mesh that is no body's own: its shape is then kept within ...
LIKELY, SOFT = 2.9, 0.02  # ... so many standard deviations, as softly, ...
MOST = 3.0  # ... and at last within so many
STIFF = 1e-6  # 1 / rad^2: a bone without skin does not turn
BATCH = 16  # meshes of which all that a step needs stays near the core
FRAMES = 32  # of a motion that tell its shape

Pose = tuple[Tensor, Tensor, Tensor]
"""Rotations (N, B, 3, 3), shape (N, S), translation (N, 3), as ``Body.forward`` takes them."""


class Fit(NamedTuple):
    """Poses, and how far the vertices are off, root mean square in metres."""

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
    bounded: Tensor  # (N,) whether the shape is kept likely
    skinning: Tensor  # (N, B, 3, 4) from the rest pose to the world
    heads: Tensor  # (N, B, 3) in the world
    bent: Tensor  # (N, B, 3) as joint limits have it
    off: Tensor  # (N, 3, V) from the body's vertices to the mesh's
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

    Attributes:
        seen: int64, the rows of a mesh that are compared, ``FEWER`` at most.
    """

    def __init__(self, body: Body, limits: JointLimits | None = None) -> None:
        self.name, self.vertex_count = body.name, len(body.template)
        self.seen = torch.linspace(0, self.vertex_count - 1, min(self.vertex_count, FEWER)).round().long()
        self.body, self.limits = body.subset(self.seen), limits or free_limits(body)
        self.weight = INDEPENDENT / len(self.seen)
        self._basis = self.body.shape_basis.permute(2, 0, 1).contiguous()  # (3, S, V)
        self._heads_basis = body.heads_basis.permute(1, 2, 0)  # (B, 3, S)
        self._below = _below(body)
        self._own = self.body._skin_by_bone**OWN  # (B, V)
        self._turned_as = _turned_as(body, self._own.sum(1) > HARDLY)

    def __call__(self, vertices: Tensor, shape: Tensor | None = None, start: Pose | None = None) -> Fit:
        """The poses of meshes in metres, in whatever axes: the root's rotation leads there.

        vertices: (N, V, 3), or of each mesh the rows ``seen`` alone.
        shape: (S,) of all, or (N, S), where it is known.
        start: poses from which to seek.
        """
        count = len(vertices)
        if vertices.shape[1:] not in {(self.vertex_count, 3), (len(self.seen), 3)}:
            raise InputError(
                f"meshes of {vertices.shape[1]} vertices were given, {self.name} has {self.vertex_count}; "
                "take the body that they were made of"
            )
        if not count:
            bones, shapes = len(self.body.bones), self.body.shape_count
            return Fit(*(vertices.new_zeros(0, *size) for size in ((bones, 3, 3), (shapes,), (3,), ())))
        if vertices.shape[1] != len(self.seen):
            vertices = vertices.index_select(1, self.seen)
        fits = []
        for first in range(0, count, BATCH):
            some = slice(first, first + BATCH)
            meshes = vertices[some].transpose(1, 2).contiguous()
            given = None if shape is None else shape.expand(count, -1)[some].contiguous()
            if start is None:
                pose = self._start(meshes, given)
            else:
                pose = start[0][some], start[1][some], start[2][some]
            fits.append(self._fit(meshes, pose, given))
        return Fit(*(torch.cat(parts) for parts in zip(*fits)))

    def _fit(self, meshes: Tensor, start: Pose, given: Tensor | None) -> Fit:
        """Of the vertices that are compared, (N, 3, V)."""
        rotations, shape, translation = start
        freely = torch.zeros(len(meshes), dtype=torch.bool, device=meshes.device)
        state = self._measured(meshes, rotations, shape if given is None else given, translation, freely)
        self._refine(state, meshes, grows=given is None)
        distance = _mean_square(state.off).sqrt()
        shape = state.shape
        if given is None:
            shape = torch.where((distance > ROUGH)[:, None], shape.clamp(-MOST, MOST), shape)
        return Fit(state.rotations, shape, state.translation, distance)

    def _refine(self, state: _State, meshes: Tensor, *, grows: bool) -> None:
        """On and on; ``grows``: the shape as well."""
        going = torch.arange(len(meshes))
        damping = meshes.new_full((len(meshes),), 1e-3)
        for _ in range(STEPS):
            here = state[going]
            tried, hoped = self._stepped(here, meshes[going], damping[going], grows)
            gain = here.cost - tried.cost
            better = gain > 0
            state.put(going[better], tried[better])
            damping[going] = (damping[going] * torch.where(better, 0.2, 10.0)).clamp(1e-9, 1e6)
            again = torch.where(better, gain, hoped) > DONE
            if grows:
                steady = going[gain.abs() < STEADY]
                again |= self._bound(state, steady)[going]
            going = going[again]
            if not len(going):
                break

    def _bound(self, state: _State, rows: Tensor) -> Tensor:
        """Keep those rows' shapes likely from now on where meshes are rough; (N,) of which that costs."""
        free = rows[~state.bounded[rows] & (_mean_square(state.off[rows]) > ROUGH**2)]
        state.bounded[free] = True
        state.cost[free] += (cost := _excess(state.shape[free]).square().sum(1))
        costs = torch.zeros_like(state.bounded)
        costs[free] = cost > 0
        return costs

    def _start(self, meshes: Tensor, given: Tensor | None) -> Pose:
        """Each bone by the turn of its skin on the mean shape; that of its parent where it has hardly any."""
        weight, rest = self._own, self.body.template
        middle = weight @ rest / weight.sum(1, keepdim=True).clamp_min(1e-9)  # (B, 3)
        centred = weight[..., None] * (rest - middle[:, None])  # (B, V, 3)
        skins = (meshes @ centred.transpose(0, 1).flatten(1)).unflatten(2, (-1, 3)).transpose(1, 2)
        own: Tensor = roma.special_procrustes(skins)  # pyright: ignore[reportAssignmentType]
        turns = own[:, self._turned_as]
        rotations = _above(self.body, turns).mT @ turns
        shape = rest.new_zeros(len(meshes), self.body.shape_count) if given is None else given
        skinning, _ = self._skinning(rotations, shape, rest.new_zeros(len(meshes), 3))
        return rotations, shape, (meshes - self._posed(rotations, shape, skinning)).mean(2)

    def _measured(
        self, meshes: Tensor, rotations: Tensor, shape: Tensor, translation: Tensor, bounded: Tensor
    ) -> _State:
        """Bodies in these poses beside their meshes."""
        skinning, heads = self._skinning(rotations, shape, translation)
        bent = self.limits.bent(rotations)
        off = meshes - self._posed(rotations, shape, skinning)
        cost = 3 * self.weight * len(self.seen) * _noise_square(off).log() + shape.square().sum(1)
        cost = cost + bounded * _excess(shape).square().sum(1) + self.limits.penalty(bent)
        return _State(rotations, shape, translation, bounded, skinning, heads, bent, off, cost)

    def _posed(self, rotations: Tensor, shape: Tensor, skinning: Tensor) -> Tensor:  # (N, 3, V)
        return skinning.transpose(1, 2).flatten(2) @ self._skin(rotations, shape)

    def _stepped(self, here: _State, meshes: Tensor, damping: Tensor, grows: bool) -> tuple[_State, Tensor]:
        """One step of all unknowns on, the shorter the more it is damped (N,), and what gain it promises."""
        gram, slope = self._equations(here, grows)
        diagonal = gram.diagonal(dim1=1, dim2=2)
        diagonal += diagonal * damping[:, None] + STIFF
        step = torch.linalg.solve(gram.double(), slope.double()).to(slope)
        hoped = (step * slope).sum(1)
        turn, grow, move = step.tensor_split([3 * len(self.body.bones), step.shape[1] - 3], 1)
        above = _above(self.body, here.skinning[..., :3])
        extra = roma.rotvec_to_rotmat(turn.unflatten(1, (-1, 3)))
        rotations = above.mT @ extra @ above @ here.rotations
        shape = here.shape + grow if grows else here.shape
        return self._measured(meshes, rotations, shape, here.translation + move, here.bounded), hoped

    def _equations(self, here: _State, grows: bool) -> tuple[Tensor, Tensor]:
        """Normal equations (N, U, U) and (N, U) of turns (B * 3), shape (S) and translation (3).

        With arms a, turns of bones b and c share sum (a_b . a_c) 1 - a_c a_b^T, and those of b and another
        unknown that moves vertices by o, sum a_b x o.
        """
        arms, others = self._arms(here), self._others(here, grows)  # (N, 3 B, V), (N, 3, S + 4, V)
        count = arms.shape[1]
        pairs = (arms @ arms.mT).unflatten(2, (-1, 3)).unflatten(1, (-1, 3))  # (N, B, 3, B, 3)
        turned = -pairs.transpose(2, 4)
        turned.diagonal(dim1=2, dim2=4).add_(pairs.diagonal(dim1=2, dim2=4).sum(-1, keepdim=True))
        mixed = (arms @ others.flatten(1, 2).mT).unflatten(2, (3, -1)).unflatten(1, (-1, 3))
        crossed = _axial(mixed).flatten(1, 2)  # (N, 3 B, S + 4)
        straight = (others @ others.mT).sum(1)  # (N, S + 4, S + 4)
        rows = torch.cat([turned.flatten(3).flatten(1, 2), crossed], 2), torch.cat([crossed.mT, straight], 2)
        whole = torch.cat(rows, 1) * (self.weight / _noise_square(here.off))[:, None, None]
        gram, slope = whole[:, :-1, :-1].contiguous(), whole[:, :-1, -1].contiguous()
        if grows:
            excess, of_shape = here.bounded[:, None] * _excess(here.shape), slice(count, -3)
            gram.diagonal(dim1=1, dim2=2)[:, of_shape] += 1 + (excess != 0) / SOFT**2
            slope[:, of_shape] -= here.shape + excess / SOFT
        known, pull = self.limits.equations(here.bent, _above(self.body, here.skinning[..., :3]))
        blocks = gram[:, :count, :count].unflatten(2, (-1, 3)).unflatten(1, (-1, 3))
        blocks.diagonal(dim1=1, dim2=3).add_(known.permute(0, 2, 3, 1))
        slope[:, :count] += pull.flatten(1)
        return gram, slope

    def _skin(self, rotations: Tensor, shape: Tensor) -> Tensor:
        """(N, B * 4, V) of rest vertices and one, as much of them as each bone moves."""
        rest = self.body._rest_planes(self.body._coefficients(rotations, shape))
        rest = torch.cat([rest, torch.ones_like(rest[:, :1])], 1)
        return (self.body._skin_by_bone[:, None] * rest[:, None]).flatten(1, 2)

    def _skinning(self, rotations: Tensor, shape: Tensor, translation: Tensor) -> tuple[Tensor, Tensor]:
        """(N, B, 3, 4) from the rest pose to the world, and heads (N, B, 3) there."""
        resting = self.body._heads(shape)
        bones = self.body._global_transforms(rotations, resting, translation)
        turns, heads = bones[..., :3, :3], bones[..., :3, 3]
        return torch.cat([turns, heads[..., None] - turns @ resting[..., None]], 3), heads

    def _arms(self, here: _State) -> Tensor:
        """(N, B * 3, V) from each bone's head to the vertices, as much of them as it moves."""
        carried = self._below[:, None, :, None] * here.skinning.transpose(1, 2)[:, None]  # (N, B, 3, B, 4)
        carried[..., 3] -= self._below[:, None] * here.heads[..., None]
        return carried.flatten(3).flatten(1, 2) @ self._skin(here.rotations, here.shape)

    def _others(self, here: _State, grows: bool) -> Tensor:
        """(N, 3, S + 4, V) how shape and translation move vertices; pose blend shapes are taken to stay. And
        what these are off.
        """
        count, vertices = len(here.off), here.off.shape[2]
        moved = torch.eye(3).to(here.off)[..., None].expand(count, 3, 3, vertices)
        parts = [moved, here.off[:, :, None]]
        return torch.cat([self._grown(here), *parts] if grows else parts, 2)

    def _grown(self, here: _State) -> Tensor:
        """(N, 3, S, V) of vertices by the shape: where bones begin, and the skin about them."""
        skin, turns = self.body._skin_by_bone, here.skinning[..., :3]
        stretch = self._heads_basis - self._heads_basis[self.body._above]
        stretch[0] = self._heads_basis[0]
        begun = self._below.T @ (_above(self.body, turns) @ stretch).flatten(2)
        shift = begun.unflatten(2, (3, -1)) - turns @ self._heads_basis  # (N, B, 3, S)
        blended = turns.permute(0, 2, 3, 1) @ skin  # (N, 3, 3, V)
        grown = shift.permute(0, 2, 3, 1) @ skin
        for y, basis in enumerate(self._basis):
            grown.addcmul_(blended[:, :, y, None], basis)
        return grown


class BodyFitter:
    """Meshes of one body's people, or hands -> their poses, as bones that motion capture can drive turn.

    What else the body has, rests.
    """

    def __init__(self, body: Body) -> None:
        moving = body.with_bones(body.moving_bones)
        self.bodies = {False: body}
        self._columns = [body.bones.index(bone) for bone in moving.bones]
        self._fitter = Fitter(moving, limits_of(moving))

    @property
    def seen(self) -> np.ndarray:
        """int64, the rows of a mesh that are compared, some hundreds: callers may keep those alone."""
        return self._fitter.seen.numpy()

    @torch_threads(1)
    @torch.no_grad()
    def __call__(
        self,
        vertices: np.ndarray,
        mirrored: Sequence[bool] = (),
        *,
        shape: np.ndarray | None = None,
        start: Sequence[BodyPose] | None = None,
    ) -> list[BodyPose]:
        """The poses of meshes in metres, in whatever axes: the root's rotation leads there.

        vertices: (N, V, 3), or of each mesh the rows ``seen`` alone.
        mirrored: which of them are mirror images of what the body is: poses of the other hand.
        shape: (S,) of all, or (N, S), where it is known: nothing else of it is then sought.
        start: N poses from which to seek, such as those of the frame before.

        Raises InputError for meshes of another body.
        """
        flips = np.array(list(mirrored) or [False] * len(vertices), bool)[:, None]
        across = np.where(flips, [-1, 1, 1], 1).astype(np.float32)  # (N, 3)
        turned = np.where(flips, MIRROR, 1).astype(np.float32)[:, None]
        begin = None if start is None else self._begin(start, across, turned)
        known = None if shape is None else torch.from_numpy(np.asarray(shape, np.float32))
        found = self._fitter(torch.from_numpy(np.float32(vertices * across[:, None])), known, begin)
        rotvec = np.zeros((len(vertices), len(self.bodies[False].bones), 3), np.float32)
        rotvec[:, self._columns] = roma.rotmat_to_rotvec(found.rotations).numpy()
        parts = rotvec * turned, found.shape.numpy(), found.translation.numpy() * across
        return [BodyPose(self._body(bool(flip)), *pose) for flip, *pose in zip(flips, *parts)]

    def shape_of(self, vertices: np.ndarray, *, mirrored: bool = False) -> np.ndarray:
        """(S,) shape of one person, or hand, from some of its meshes (N, V, 3), or their rows ``seen``.

        The median of what ``FRAMES`` of them tell, spread evenly: one that is all wrong does no harm.
        """
        rows = np.unique(np.linspace(0, len(vertices) - 1, min(FRAMES, len(vertices))).round().astype(int))
        poses = self(vertices[rows], [mirrored] * len(rows))
        return np.median([pose.shape for pose in poses], 0).astype(np.float32)

    def motion(
        self,
        vertices: np.ndarray,
        times_s: np.ndarray,
        fps: float,
        *,
        shape: np.ndarray | None = None,
        mirrored: bool = False,
    ) -> BodyMotion:
        """The motion of one person, or hand, whose shape stays: of meshes (F, V, 3), or their rows ``seen``.

        times_s, fps: as ``BodyMotion`` has them.
        shape: (S,), or what ``shape_of`` tells.
        """
        shape = self.shape_of(vertices, mirrored=mirrored) if shape is None else np.asarray(shape, np.float32)
        poses = self(vertices, [mirrored] * len(vertices), shape=shape)
        rotvec, places = (np.stack(part) for part in zip(*((p.rotvec, p.translation_m) for p in poses)))
        return BodyMotion(self._body(mirrored), rotvec, shape, places, np.asarray(times_s, float), fps)

    def _body(self, flip: bool) -> Body:
        if flip not in self.bodies:
            self.bodies[flip] = self.bodies[False].mirrored()
        return self.bodies[flip]

    def _begin(self, start: Sequence[BodyPose], across: np.ndarray, turned: np.ndarray) -> Pose:
        rotvec = np.stack([pose.rotvec for pose in start]) * turned
        places = np.stack([pose.translation_m for pose in start]) * across
        turns, shape, places = (
            torch.from_numpy(np.float32(part))
            for part in (rotvec[:, self._columns], np.stack([pose.shape for pose in start]), places)
        )
        return roma.rotvec_to_rotmat(turns), shape, places


def fit(body: Body, vertices: Tensor) -> Fit:
    """The poses of meshes (N, V, 3) with the body's vertices; see :class:`Fitter`."""
    return Fitter(body)(vertices)


def _mean_square(off: Tensor) -> Tensor:
    return off.square().sum(1).mean(1)


def _noise_square(off: Tensor) -> Tensor:
    """(N,) variance along each axis of what meshes are off."""
    return _mean_square(off) / 3 + NOISE**2


def _excess(shape: Tensor) -> Tensor:
    """By how much components are beyond what is likely, in what may softly be."""
    return (shape - shape.clamp(-LIKELY, LIKELY)) / SOFT


def _above(body: Body, turns: Tensor) -> Tensor:
    """(N, B, 3, 3) world rotation of each bone's parent, of those of the bones."""
    root = torch.eye(3).to(turns).expand(len(turns), 1, 3, 3)
    return torch.cat([root, turns[:, body._above[1:]]], 1)


def _below(body: Body) -> Tensor:
    """(B, B): row b has the bones at and below b."""
    below = torch.eye(len(body.bones)).to(body.template)
    for bone in range(len(body.bones) - 1, 0, -1):
        below[body.parents[bone]] += below[bone]
    return below


def _turned_as(body: Body, told: Tensor) -> Tensor:
    """(B,) each bone whose turn is told; of another its nearest ancestor of which it is, or the root."""
    as_bone: list[int] = []
    for bone, parent in enumerate(body.parents):
        as_bone.append(bone if parent < 0 or told[bone] else as_bone[parent])
    return torch.tensor(as_bone, device=told.device)


def _axial(products: Tensor) -> Tensor:
    """(N, B, 3, 3, K) sums of a_x o_y -> (N, B, 3, K) of a x o."""
    swapped = products - products.transpose(2, 3)
    return torch.stack([swapped[:, :, 1, 2], swapped[:, :, 2, 0], swapped[:, :, 0, 1]], 2)

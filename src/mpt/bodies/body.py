"""One body for all sources: template + linear shape + rest joints linear in shape + linear skinning.

    v_rest = template + shape · shape_basis (+ pose · pose_basis)        SMPL (Loper et al. 2015), section 3
    h_rest = heads + shape · heads_basis
    G_b = G_parent R_b,   p_b = p_parent + G_parent (h_b - h_parent)
    v = sum_b w_vb (G_b (v_rest - h_b) + p_b)

Axes: y up, the rest pose faces +z, the person's left is +x; metres, radians. The local rotation R_b of a bone
is relative to the rest pose, in which all bone frames are parallel to the world's axes.

Letters: N bodies, V vertices, B bones, K joints, S shape components, P = 9 (B - 1) pose components.
"""

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from mpt.bodies.coarsening import Coarse
from mpt.bodies.phenotypes import Phenotypes
from mpt.errors import InputError
from mpt.skeletons import Skeleton, remap


class BodyOutput(NamedTuple):
    """Posed, metres: vertices (N, V, 3), bone heads (N, B, 3), joints of the body's skeleton (N, K, 3)."""

    vertices: Tensor
    heads: Tensor
    joints: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Body:
    """A posable, shapeable human surface. Differentiable, batched, on any device and in any float type."""

    name: str
    hash: str  # SHA-256 of the file that first held this surface and these bones; joints may have come later
    bones: tuple[str, ...]
    parents: tuple[int, ...]  # a parent stands before its children; -1 for the root, which is the first bone
    roles: dict[str, str]  # what a bone is on any body ("left_knee") -> its name on this one
    skeleton: Skeleton
    template: Tensor  # (V, 3)
    faces: Tensor  # (F, 3) int64
    shape_basis: Tensor  # (S, V, 3)
    heads: Tensor  # (B, 3) where each bone begins, at rest
    heads_basis: Tensor  # (S, B, 3)
    skin_index: Tensor  # (V, k) int64
    skin_weight: Tensor  # (V, k), rows sum to one
    joint_moments: Tensor  # (K, B, 4), see _joint_moments
    joint_moments_basis: Tensor  # (S + P, K, B, 3)
    regressor: Tensor | None = None  # sparse (K, V); None on a subset of the vertices
    regressors: dict[str, Tensor] = field(default_factory=dict)  # of further skeletons, by name, alike
    pose_basis: Tensor | None = None  # (P, V, 3)
    phenotypes: Phenotypes | None = None
    people: Tensor | None = None  # (M, S) shapes of known people, which shapes are then drawn from
    coarse: tuple[Coarse, ...] = ()  # from few vertices to many
    parts: dict[str, Tensor] = field(default_factory=dict)  # name -> vertex indices
    metadata: dict = field(default_factory=dict)  # provenance and licence, as they stand in the file

    def __eq__(self, other: object) -> bool:
        """Whether it is the same body, wherever it was read: by its file, and what was taken of that."""
        if not isinstance(other, Body):
            return NotImplemented
        return self is other or (
            self._told == other._told
            and self.template.shape == other.template.shape
            and bool((self.template == other.template.to(self.template)).all())
        )

    def __hash__(self) -> int:
        return hash(self._told)

    @property
    def _told(self) -> tuple:
        return self.name, self.hash, self.bones, self.skeleton, self.template.dtype, self.template.device

    def __repr__(self) -> str:
        sizes = (
            f"{len(self.template):,} vertices, {len(self.bones)} bones, {self.shape_count} shape components"
        )
        return f"<body {self.name}: {sizes}, the joints of {self.skeleton.name}>"

    @property
    def moving_bones(self) -> tuple[str, ...]:
        """Bones that motion capture can drive, root first; the others follow their parents."""
        named = set(self.roles.values())
        return tuple(bone for bone in self.bones if bone in named)

    def coarsened(self, count: int) -> Coarse:
        """The coarse mesh of so many vertices that came with the body."""
        for coarse in self.coarse:
            if len(coarse) == count:
                return coarse
        sizes = " and ".join(str(len(coarse)) for coarse in self.coarse) or "no number of"
        raise InputError(
            f"{count} coarse vertices were asked of {self.name}, which has {sizes}; take one of these"
        )

    @property
    def shape_count(self) -> int:
        return len(self.shape_basis)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Body":
        """The same body on another device or in another float type; indices stay integers."""
        return replace(self, **{f.name: _moved(getattr(self, f.name), device, dtype) for f in fields(self)})

    def __call__(self, rotations: Tensor, shape: Tensor, translation: Tensor | None = None) -> BodyOutput:
        return self.forward(rotations, shape, translation)

    def forward(self, rotations: Tensor, shape: Tensor, translation: Tensor | None = None) -> BodyOutput:
        """Pose bodies.

        rotations: (N, B, 3, 3) local rotation of each bone; the root's turns the body about the root's head.
        shape: (N, S), or (1, S) for one shape in all poses.
        translation: (N, 3) metres, added to everything.
        """
        shape = shape.expand(len(rotations), -1)
        coefficients = self._coefficients(rotations, shape)
        heads = self._heads(shape)
        posed = self._global_transforms(rotations, heads, translation)  # (N, B, 4, 4)
        turn, posed_heads = posed[:, :, :3, :3], posed[:, :, :3, 3]
        shift = posed_heads - (turn @ heads[..., None]).squeeze(-1)
        skinning = torch.cat([turn, shift[..., None]], -1)  # (N, B, 3, 4): rest -> posed, for each bone
        return BodyOutput(
            self._skin(skinning, coefficients), posed_heads, self._joints(skinning, coefficients)
        )

    def bone_transforms(self, rotations: Tensor, shape: Tensor, translation: Tensor | None = None) -> Tensor:
        """(N, B, 4, 4) from the frame of each bone, parallel to the world at rest, to the world.

        Of what ``forward`` is given.
        """
        heads = self._heads(shape.expand(len(rotations), -1))
        return self._global_transforms(rotations, heads, translation)

    def rest(self, shape: Tensor) -> BodyOutput:
        """Bodies (N, S) in the rest pose."""
        identity = torch.eye(3, dtype=shape.dtype, device=shape.device)
        return self.forward(identity.expand(len(shape), len(self.bones), 3, 3), shape)

    def regress(self, vertices: Tensor, skeleton: str | None = None) -> Tensor:
        """Joints (N, K, 3) of any mesh (N, V, 3) with this body's vertices; its own skeleton's, or others."""
        if self.regressor is None:
            raise ValueError(
                "the joint regressor needs every vertex: use the whole body, or the posed body's joints"
            )
        known = self.regressors | {None: self.regressor, self.skeleton.name: self.regressor}
        if skeleton not in known:
            raise InputError(
                f"the joints of {skeleton} were asked of {self.name}, which has a regressor of "
                f"{' and '.join([self.skeleton.name, *self.regressors])}; make the body file again with one"
            )
        flat = vertices.transpose(0, 1).flatten(1)  # (V, N * 3)
        return torch.sparse.mm(known[skeleton], flat).unflatten(1, (-1, 3)).transpose(0, 1)

    def sample_shapes(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, S) shapes of people as they are: by phenotype, or of known people; else standard normal."""
        if self.phenotypes is not None:
            return self.phenotypes.sample(count, generator)
        like = self.template
        if self.people is not None:
            drawn = torch.randint(len(self.people), (count,), generator=generator, device=like.device)
            return self.people[drawn]
        return torch.randn(count, self.shape_count, generator=generator, dtype=like.dtype, device=like.device)

    def subset(self, vertices: Tensor) -> "Body":
        """The body on some of its vertices only (indices), under the same kernel; joints stay exact."""
        return replace(
            self,
            template=self.template[vertices],
            faces=self.faces[:0],
            shape_basis=self.shape_basis.index_select(1, vertices),  # 16 times faster than [:, vertices]
            skin_index=self.skin_index[vertices],
            skin_weight=self.skin_weight[vertices],
            pose_basis=None if self.pose_basis is None else self.pose_basis.index_select(1, vertices),
            regressor=None,
            regressors={},
            coarse=(),
            parts={},
        )

    def with_joints(self, skeleton: Skeleton) -> "Body":
        """The body with those of its joints that a skeleton names, in the skeleton's order.

        Raises InputError for a joint that the body has not.
        """
        if skeleton == self.skeleton:
            return self
        index = remap(self.skeleton, skeleton)
        if (index < 0).any():
            raise InputError(
                f"the joints of {skeleton.name} were asked of {self.name}, which has those of "
                f"{self.skeleton.name} and no {skeleton.joints[index.argmin()]}: take another body"
            )
        rows = torch.from_numpy(index).to(self.template.device)
        return replace(
            self,
            skeleton=skeleton,
            joint_moments=self.joint_moments[rows],
            joint_moments_basis=self.joint_moments_basis[:, rows],
            regressor=None if self.regressor is None else self.regressor.index_select(0, rows).coalesce(),
        )

    def with_bones(self, names: tuple[str, ...]) -> "Body":
        """The body with these bones only: each other one is merged into its nearest named ancestor.

        Exact as long as the merged bones do not move. Bones keep the body's order; the root must be named.
        """
        if unknown := set(names) - set(self.bones):
            raise ValueError(f"{self.name} has no bone {sorted(unknown)[0]!r}")
        if self.bones[0] not in names:
            raise ValueError(f"the root, {self.bones[0]!r}, must be among the bones")
        kept = [b for b, bone in enumerate(self.bones) if bone in set(names)]
        owner: list[int] = []  # of each old bone: the new bone that carries it
        for bone, parent in enumerate(self.parents):
            owner.append(kept.index(bone) if bone in kept else owner[parent])
        to_new = torch.tensor(owner, device=self.template.device)
        dense = self._dense_skin.new_zeros(len(self.template), len(kept)).index_add(
            1, to_new, self._dense_skin
        )
        weight, index = _sparse_rows(dense)
        moments = self.joint_moments.new_zeros(len(self.skeleton), len(kept), 4)
        pose_basis, blends = self.pose_basis, self.joint_moments_basis
        if pose_basis is not None:  # a resting bone blends nothing in
            of_kept = [9 * (bone - 1) + i for bone in kept[1:] for i in range(9)]
            pose_basis = pose_basis[of_kept]
            blends = torch.cat([blends[: self.shape_count], blends[self.shape_count :][of_kept]])
        moments_basis = blends.new_zeros(*blends.shape[:2], len(kept), 3)
        return replace(
            self,
            bones=tuple(self.bones[b] for b in kept),
            parents=tuple(-1 if b == 0 else owner[self.parents[b]] for b in kept),
            roles={role: bone for role, bone in self.roles.items() if bone in names},
            heads=self.heads[kept],
            heads_basis=self.heads_basis[:, kept],
            skin_index=index,
            skin_weight=weight,
            joint_moments=moments.index_add(1, to_new, self.joint_moments),
            joint_moments_basis=moments_basis.index_add(2, to_new, blends),
            pose_basis=pose_basis,
        )

    def mirrored(self) -> "Body":
        """The other hand: the same people seen in a mirror across x, shape by shape and vertex by vertex.

        A pose's axis-angles (x, y, z) become (x, -y, -z). Its joints keep their names.
        """
        across = self.template.new_tensor([-1.0, 1, 1])
        bones = len(self.bones) - 1
        turned = (across[:, None] * across).flatten().repeat(bones)  # of the elements of R - 1
        blends = torch.ones(len(self.joint_moments_basis)).to(across)
        if self.pose_basis is not None:
            blends[self.shape_count :] = turned
        sides = {"right": "left", "left": "right"}
        side = sides.get(self.metadata.get("side", ""))
        return replace(
            self,
            name=f"{self.name} in a mirror",
            faces=self.faces.flip(1),
            template=self.template * across,
            shape_basis=self.shape_basis * across,
            heads=self.heads * across,
            heads_basis=self.heads_basis * across,
            joint_moments=self.joint_moments * torch.cat([across, across.new_ones(1)]),
            joint_moments_basis=self.joint_moments_basis * blends[:, None, None, None] * across,
            pose_basis=None if self.pose_basis is None else self.pose_basis * turned[:, None, None] * across,
            coarse=tuple(replace(coarse, faces=coarse.faces.flip(1)) for coarse in self.coarse),
            metadata=self.metadata | ({"side": side} if side else {}),
        )

    @cached_property
    def _dense_skin(self) -> Tensor:  # (V, B)
        dense = self.skin_weight.new_zeros(len(self.template), len(self.bones))
        return dense.scatter_add(1, self.skin_index, self.skin_weight)

    @cached_property
    def _skin_by_bone(self) -> Tensor:  # (B, V)
        return self._dense_skin.T.contiguous()

    @cached_property
    def _planar_template(self) -> Tensor:  # (3, V)
        return self.template.T.contiguous()

    @cached_property
    def _planar_basis(self) -> Tensor:  # (S + P, 3, V)
        parts = [self.shape_basis] if self.pose_basis is None else [self.shape_basis, self.pose_basis]
        return torch.cat(parts).transpose(1, 2).contiguous()

    @cached_property
    def _above(self) -> Tensor:  # (B,) parents, the root its own
        return torch.tensor([max(parent, 0) for parent in self.parents], device=self.template.device)

    @cached_property
    def _last_row(self) -> Tensor:
        return self.template.new_tensor([0.0, 0.0, 0.0, 1.0])

    @cached_property
    def _levels(self) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Bones by depth in the tree.

        For each depth below the root: its bones, and where their parents stand in the depth above; then the
        place of each bone in the concatenation of all depths.
        """
        depth = [0] * len(self.bones)
        for bone in range(1, len(self.bones)):
            depth[bone] = depth[self.parents[bone]] + 1
        ranks = [[b for b in range(len(self.bones)) if depth[b] == d] for d in range(max(depth) + 1)]
        at = self.template.device
        steps = [
            (
                torch.tensor(rank, device=at),
                torch.tensor([above.index(self.parents[b]) for b in rank], device=at),
            )
            for above, rank in pairwise(ranks)
        ]
        return steps, torch.tensor([bone for rank in ranks for bone in rank], device=at).argsort()

    def _global_transforms(self, rotations: Tensor, heads: Tensor, translation: Tensor | None) -> Tensor:
        """(N, B, 4, 4) bone to world."""
        offsets = heads - heads.index_select(1, self._above)
        root = heads[:, :1] if translation is None else heads[:, :1] + translation[:, None]
        local = torch.cat([rotations, torch.cat([root, offsets[:, 1:]], 1)[..., None]], -1)
        local = torch.cat([local, self._last_row.expand(*local.shape[:2], 1, 4)], -2)
        steps, order = self._levels
        posed = [local[:, :1]]
        for bones, above in steps:
            posed.append(posed[-1].index_select(1, above) @ local.index_select(1, bones))
        return torch.cat(posed, 1).index_select(1, order)

    def _coefficients(self, rotations: Tensor, shape: Tensor) -> Tensor:
        """(N, S + P) of all that is blended in."""
        if self.pose_basis is None:
            return shape
        delta = rotations[:, 1:] - torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        return torch.cat([shape, delta.flatten(1)], 1)

    def _heads(self, shape: Tensor) -> Tensor:  # (N, B, 3) at rest
        return _blend(shape, self.heads, self.heads_basis)

    def _rest_planes(self, coefficients: Tensor) -> Tensor:  # (N, 3, V) vertices before they are skinned
        return _blend(coefficients, self._planar_template, self._planar_basis)

    def _skin(self, skinning: Tensor, coefficients: Tensor) -> Tensor:
        # x, y and z as planes of V numbers: every product runs along contiguous vertices.
        rest = self._rest_planes(coefficients)[:, None]  # (N, 1, 3, V)
        per_vertex = (skinning.permute(0, 2, 3, 1).flatten(0, 2) @ self._skin_by_bone).unflatten(
            0, (len(skinning), 3, 4)
        )
        x, y, z, shift = per_vertex.unbind(2)
        planes = shift.addcmul(x, rest[:, :, 0]).addcmul(y, rest[:, :, 1]).addcmul(z, rest[:, :, 2])
        return planes.transpose(1, 2)

    def _joints(self, skinning: Tensor, coefficients: Tensor) -> Tensor:
        moments = _blend(coefficients, self.joint_moments[..., :3], self.joint_moments_basis)  # (N, K, B, 3)
        shares = self.joint_moments[..., 3:].expand(len(moments), -1, -1, -1)
        moments = torch.cat([moments, shares], -1).flatten(2)  # (N, K, B * 4)
        return moments @ skinning.transpose(2, 3).flatten(1, 2)


def _blend(coefficients: Tensor, mean: Tensor, basis: Tensor) -> Tensor:
    """mean (...) + coefficients (N, S) · basis (S, ...) -> (N, ...)."""
    flat = torch.addmm(mean.reshape(1, -1), coefficients, basis.flatten(1))
    return flat.unflatten(1, mean.shape)


def _joint_moments(regressor: Tensor, skin: Tensor, vertices: Tensor) -> Tensor:
    """Moments (K, B, C) of vertices (V, C): sum_v G_kv w_vb x_v.

    Regressing is linear and so is skinning, so joint k of the posed body is sum_b A_b m_kb with the bone's
    affine A_b and these moments of (x, y, z, 1): exact joints, with no vertex posed.
    """
    joint, vertex = regressor.indices()
    share = regressor.values()[:, None] * skin[vertex]  # (nonzero weights, B)
    moments = [share[joint == k].T @ vertices[vertex[joint == k]] for k in range(len(regressor))]
    return torch.stack(moments)


def _sparse_rows(dense: Tensor) -> tuple[Tensor, Tensor]:
    """(V, B) -> the largest weights of each row (V, k) and their columns (V, k), k as few as lose nothing."""
    width = int((dense > 0).sum(1).max())
    return dense.topk(width, dim=1)


def _moved(value, device, dtype):
    match value:
        case Tensor():
            return value.to(device, dtype if value.is_floating_point() else None)
        case Phenotypes() | Coarse():
            return replace(
                value, **{f.name: _moved(getattr(value, f.name), device, dtype) for f in fields(value)}
            )
        case tuple():
            return tuple(_moved(v, device, dtype) for v in value)
        case dict():
            return {k: _moved(v, device, dtype) for k, v in value.items()}
    return value


def make_body(
    *,
    regressor: Tensor,
    template: Tensor,
    shape_basis: Tensor,
    skin_index: Tensor,
    skin_weight: Tensor,
    heads: Tensor,
    pose_basis: Tensor | None = None,
    **rest,
) -> Body:
    """A Body from its source's arrays; ``regressor`` is a sparse (K, V) matrix of the skeleton's joints."""
    dense = template.new_zeros(len(template), len(heads)).scatter_add(1, skin_index, skin_weight)
    basis = shape_basis if pose_basis is None else torch.cat([shape_basis, pose_basis])
    ones = torch.ones_like(template[:, :1])
    columns = basis.permute(1, 0, 2).flatten(1)  # (V, (S + P) * 3)
    moments_basis = _joint_moments(regressor, dense, columns).unflatten(2, (-1, 3)).permute(2, 0, 1, 3)
    return Body(
        regressor=regressor,
        template=template,
        shape_basis=shape_basis,
        skin_index=skin_index,
        skin_weight=skin_weight,
        heads=heads,
        pose_basis=pose_basis,
        joint_moments=_joint_moments(regressor, dense, torch.cat([template, ones], 1)),
        joint_moments_basis=moments_basis.contiguous(),
        **rest,
    )

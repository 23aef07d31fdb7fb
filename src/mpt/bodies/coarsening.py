"""Coarse meshes whose vertices are some of the fine ones, and the way back up.

Decimation: half-edge collapses (one end stays where it is), cheapest first, by the quadric error of Garland
and Heckbert (1997) plus edge length, which keeps the density near uniform; left and right collapse together.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mpt.errors import InputError

LENGTH_SHARE = 0.5  # of the edge's length in the cost, beside the distance from the old surface
HIDDEN_SHARE = 1e-3  # cost factor of vertices inside the mouth and the eye sockets: they go first
CANDIDATES = 16  # coarse vertices among which each fine one looks for its few
DAMPING = 0.1  # of the weights' size against the examples' fit: noise of the coarse mesh must not grow


@dataclass(frozen=True)
class Coarse:
    """A coarse mesh of n vertices on a fine one of V, and its upsampling."""

    index: Tensor  # (n,) int64 fine vertex of each coarse one
    faces: Tensor  # (F, 3) int64 among the n
    near: Tensor  # (V, k) int64 among the n
    weight: Tensor  # (V, k), rows sum to one; a chosen vertex takes itself alone

    def __len__(self) -> int:
        return len(self.index)

    def upsample(self, vertices: Tensor) -> Tensor:
        """(..., n, 3) -> (..., V, 3)."""
        return (vertices[..., self.near, :] * self.weight[..., None]).sum(-2)


def coarsen(
    template: Tensor,
    faces: Tensor,
    examples: Tensor,
    counts: Sequence[int],
    *,
    neighbours: int = 8,
    hidden: Tensor | None = None,
) -> tuple[Coarse, ...]:
    """Nested coarse meshes: each one's vertices are among the next one's.

    template: (V, 3) at rest, left +x. faces: (F, 3). counts: from few to many, such as (431, 1723).
    examples: (M, V, 3) posed bodies of several shapes, from which the upsampling is learned.
    hidden: indices of vertices inside the body, which are taken last.
    Pieces of the mesh apart from its largest one (eyes, tongue) get no coarse vertex of their own.
    """
    meshes = decimate(template.double().numpy(), faces.numpy(), counts, hidden)
    return tuple(
        Coarse(index, coarse_faces, *fit_upsampling(examples, index, neighbours))
        for index, coarse_faces in meshes
    )


def decimate(
    vertices: np.ndarray, faces: np.ndarray, counts: Sequence[int], hidden: Tensor | None = None
) -> list[tuple[Tensor, Tensor]]:
    """Vertices kept (n,), ascending, and the faces among them (F, 3), for each count."""
    mesh = _Mesh(vertices, _largest_piece(faces), mirror_vertices(vertices), hidden)
    found = []
    for count in sorted(counts, reverse=True):
        mesh.collapse_to(count)
        if len(mesh.around) > count:
            raise InputError(
                f"{count} coarse vertices were asked of a mesh that can go down to {len(mesh.around)}; "
                "ask for more"
            )
        found.append(mesh.kept())
    return found[::-1]


def fit_upsampling(examples: Tensor, index: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
    """(V, k) coarse neighbours of each fine vertex, and the weights that best rebuild the examples (M, V, 3).

    Nearness is the mean over the examples, so vertices that move apart are far: a thigh is no neighbour of
    the other one. The weights sum to one and solve damped least squares twice: over all candidates,
    then over those that matter most. A few are negative, which carries a bulge over the chord below it.
    """
    points = examples.double().permute(1, 0, 2).flatten(1)  # (V, M * 3)
    candidates = torch.cdist(points, points[index]).topk(CANDIDATES, largest=False)[1]
    weight = _affine_weights(points, points[index], candidates)
    order = weight.abs().topk(neighbours)[1]
    near = candidates.gather(1, order)
    weight = _affine_weights(points, points[index], near)
    near[index] = torch.arange(len(index))[:, None]
    weight[index] = torch.eye(1, neighbours, dtype=weight.dtype)
    return near, weight.float()


def _affine_weights(points: Tensor, coarse: Tensor, near: Tensor) -> Tensor:
    """w (V, k) with sum w = 1 that minimises |sum_k w_k c_k - p|^2 + damping * scale * |w|^2."""
    weights = []
    for some, indices in zip(points.split(2000), near.split(2000)):
        apart = coarse[indices] - some[:, None]  # (v, k, M * 3)
        gram = apart @ apart.transpose(1, 2)
        scale = gram.diagonal(dim1=1, dim2=2).mean(1)
        gram = gram + DAMPING**2 * scale[:, None, None] * torch.eye(near.shape[1], dtype=gram.dtype)
        solved = torch.linalg.solve(gram, torch.ones_like(gram[:, :, 0]))
        weights.append(solved / solved.sum(1, keepdim=True))
    return torch.cat(weights)


def mirror_vertices(vertices: np.ndarray, tolerance: float = 5e-3) -> np.ndarray:
    """(V,) the vertex at the mirrored place of each one, itself on the midline; all -1 on a lopsided mesh."""
    points = torch.from_numpy(np.ascontiguousarray(vertices))
    flipped = points * points.new_tensor([-1.0, 1.0, 1.0])
    nearest = [torch.cdist(some, points).min(1) for some in flipped.split(2000)]
    other = torch.cat([found.indices for found in nearest])
    mutual = other[other] == torch.arange(len(points))
    close = torch.cat([found.values for found in nearest]) < tolerance
    paired = mutual & close
    return torch.where(paired & (paired.double().mean() > 0.95), other, -1).numpy()


def _largest_piece(faces: np.ndarray) -> np.ndarray:
    label = np.arange(faces.max() + 1)
    while True:  # each vertex takes the smallest label around it, until none changes
        least = label[faces].min(1)
        spread = label.copy()
        for corner in faces.T:
            np.minimum.at(spread, corner, least)
        spread = spread[spread]
        if (spread == label).all():
            break
        label = spread
    return faces[label[faces[:, 0]] == np.bincount(label[faces[:, 0]]).argmax()]


class _Mesh:
    """A triangle mesh under half-edge collapses."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, mirror: np.ndarray, hidden: Tensor | None):
        self.points = [np.array(p) for p in vertices]
        self.mirror = mirror.tolist()
        self.hidden = set() if hidden is None else set(hidden.tolist())
        self.faces: dict[int, tuple[int, int, int]] = dict(enumerate(map(tuple, faces.tolist())))
        self.around: dict[int, set[int]] = {v: set() for v in np.unique(faces).tolist()}
        for face, corners in self.faces.items():
            for corner in corners:
                self.around[corner].add(face)
        a, b, c = vertices[faces].transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        area = np.linalg.norm(normal, axis=1)
        normal = normal / np.maximum(area, 1e-12)[:, None]
        plane = np.concatenate([normal, -(normal * a).sum(1, keepdims=True)], 1)
        quadric = area[:, None, None] * plane[:, :, None] * plane[:, None]
        self.quadric = np.zeros((len(vertices), 4, 4))
        self.area = np.zeros(len(vertices))
        for corner in faces.T:
            np.add.at(self.quadric, corner, quadric)
            np.add.at(self.area, corner, area)
        self.version = dict.fromkeys(self.around, 0)
        self.heap: list[tuple[float, int, int, int, int]] = []
        for vertex in self.around:
            self._offer(vertex, self._neighbours(vertex))

    def kept(self) -> tuple[Tensor, Tensor]:
        index = torch.tensor(sorted(self.around))
        faces = torch.tensor(sorted(self.faces.values()))
        return index, torch.searchsorted(index, faces)

    def collapse_to(self, count: int) -> None:
        put_back = []
        while len(self.around) > count and self.heap:
            entry = heapq.heappop(self.heap)
            _, gone, stays, version_gone, version_stays = entry
            if self.version.get(gone) != version_gone or self.version.get(stays) != version_stays:
                continue
            moves = [(gone, stays)]
            other = self.mirror[gone], self.mirror[stays]
            if -1 not in other and other != (gone, stays):
                if other[0] in (gone, stays) or other[1] == gone:
                    continue  # an edge across the midline has no mirrored partner
                moves.append(other)
            if len(self.around) - len(moves) < count:
                put_back.append(entry)  # one too many: look for a single one on the midline
                continue
            if all(self._may(*move) for move in moves):
                self._collapse(*moves[0])
                for gone, stays in moves[1:]:
                    # The first collapse may have barred the second: then its vertex goes another way.
                    ways = [stays, *sorted(self._neighbours(gone), key=lambda v: self._cost(gone, v))]
                    if allowed := [way for way in ways if self._may(gone, way)]:
                        self._collapse(gone, allowed[0])
        for entry in put_back:
            heapq.heappush(self.heap, entry)
        while len(self.around) > count and self.heap:  # nothing symmetric is left
            _, gone, stays, *_ = heapq.heappop(self.heap)
            if gone in self.around and stays in self._neighbours(gone) and self._may(gone, stays):
                self._collapse(gone, stays)

    def _neighbours(self, vertex: int) -> set[int]:
        if vertex not in self.around:
            return set()
        return {corner for face in self.around[vertex] for corner in self.faces[face]} - {vertex}

    def _cost(self, gone: int, stays: int) -> float:
        edge = self.points[gone] - self.points[stays]
        x, y, z = self.points[stays]
        place = np.array([x, y, z, 1.0])
        off_surface = place @ self.quadric[gone] @ place / self.area[gone]
        cost = off_surface + LENGTH_SHARE**2 * (edge @ edge)
        return cost * HIDDEN_SHARE if gone in self.hidden else cost

    def _offer(self, vertex: int, others: set[int]) -> None:
        for other in others:
            if not (other in self.hidden and vertex not in self.hidden):
                heapq.heappush(
                    self.heap,
                    (self._cost(vertex, other), vertex, other, self.version[vertex], self.version[other]),
                )

    def _may(self, gone: int, stays: int) -> bool:
        """Whether the surface stays a surface (link condition) and no face turns over."""
        if gone not in self.around or stays not in self.around:
            return False
        shared = self.around[gone] & self.around[stays]
        around_gone = self._neighbours(gone)
        if not shared or len(around_gone & self._neighbours(stays)) != len(shared):
            return False
        if len(around_gone) != len(self.around[gone]) and len(shared) == 2:
            return False  # a vertex of an open border moves along the border only
        if len(self.around) <= 4:
            return False
        for face in self.around[gone] - shared:
            corners = self.faces[face]
            before = _normal(*(self.points[c] for c in corners))
            after = _normal(*(self.points[stays if c == gone else c] for c in corners))
            if before @ after < 0.2 * np.sqrt((before @ before) * (after @ after)) + 1e-18:
                return False
        return True

    def _collapse(self, gone: int, stays: int) -> None:
        for face in self.around.pop(gone):
            corners = self.faces.pop(face)
            for corner in corners:
                if corner != gone:
                    self.around[corner].discard(face)
            if stays not in corners:
                self.faces[face] = tuple(stays if c == gone else c for c in corners)
                for corner in self.faces[face]:
                    self.around[corner].add(face)
        del self.version[gone]
        self.quadric[stays] += self.quadric[gone]
        self.area[stays] += self.area[gone]
        self.version[stays] += 1
        near = self._neighbours(stays)
        self._offer(stays, near)
        for vertex in near:
            self._offer(vertex, {stays})


def _normal(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    (ux, uy, uz), (vx, vy, vz) = b - a, c - a
    return np.array([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx])

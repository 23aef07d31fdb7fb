"""A sleeveless top and shorts, painted on the Anny body: how far inside them each vertex is.

Cut on the person of mean shape at rest; everybody wears them, for a vertex is the same place on all. At the
waist, the legs and the arms hems run midway between two rows of the mesh's vertices, so that even a colour
for each vertex, which is all that many files can hold, has clean edges.

Cloth is as smooth as cloth is: what it hides is seen in no light. The surface itself stays the body's.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from mpt.bodies.body import Body  # with it comes torch, which no picture needs

PALE = np.array([0.86, 0.85, 0.84], np.float32)  # of skin, sRGB in [0, 1]
TINT = 0.35  # how much of the top's colour it has
SHADE = 0.45  # of the shorts, by the top's colour
HEM = 0.8  # width of a hem in colours of vertices, over the edges' length there
NONE_M = -1.0  # inside nothing
ROUNDS = 25  # of smoothing
WHOLE_M = 0.021  # inside the cloth, where smoothing is whole; it begins as a third at the hem
EDGE = 1 / 3
HEAD_M = 0.615  # above it no shoulder is, but ears as far out


@dataclass(frozen=True, eq=False)
class Clothes:
    """What is worn on a mesh of V vertices.

    Attributes:
        inside_m: (V, 2) float32 about how far each is inside the top and the shorts, which lie over it;
            negative outside.
        edge_m: (V,) float32 mean length of the edges that meet there.
        faces: (F, 3) of the mesh.
    """

    inside_m: np.ndarray
    edge_m: np.ndarray
    faces: np.ndarray

    def colours(self, colour: np.ndarray) -> np.ndarray:
        """(V, 3) float32 sRGB in [0, 1] of the vertices, for a top of this colour (3,)."""
        return dyed(self.inside_m / (HEM * self.edge_m[:, None]), skin_beside(colour), colour)

    def smoothed(self, normals: np.ndarray) -> np.ndarray:
        """Unit normals (V, 3) float32 of the vertices as cloth has them; the skin's stay."""
        rows, blend = self._smoothing
        found = np.array(normals, np.float32)
        for _ in range(ROUNDS):
            found[rows] = blend @ found
        found[rows] /= np.maximum(np.linalg.norm(found[rows], axis=1, keepdims=True), 1e-9)
        return found

    @cached_property
    def _smoothing(self) -> tuple[np.ndarray, "csr_array"]:
        """Vertices (R,) under cloth, and what (R, V) draws each to the mean of its neighbours."""
        from scipy.sparse import csr_array

        share = np.clip(EDGE + (1 - EDGE) * self.inside_m.max(1) / WHOLE_M, 0, 1)
        rows = np.flatnonzero(share)
        ahead, behind = _edges(self.faces)
        count = len(self.edge_m)
        near = csr_array((np.ones(len(ahead), np.float32), (ahead, behind)), (count, count))[rows]
        near = near.multiply((share[rows] / np.maximum(near.sum(1), 1))[:, None]).tocsr()
        own = csr_array((1 - share[rows], (np.arange(len(rows)), rows)), near.shape)
        return rows, (near + own).tocsr().astype(np.float32)


def skin_beside(colour: np.ndarray) -> np.ndarray:
    """(..., 3) float32 sRGB of skin beside a top of this colour: pale, with a breath of it."""
    return PALE + np.float32(TINT) * (np.asarray(colour, np.float32) - PALE)


def dyed(inside: np.ndarray, skin: np.ndarray, cloth: np.ndarray) -> np.ndarray:
    """(N, 3) float32 of points that are so far inside top and shorts (N, 2), in widths of their hems.

    skin, cloth: colours, of all (3,) or of each (N, 3).
    """
    skin, cloth = np.asarray(skin, np.float32), np.asarray(cloth, np.float32)
    top, shorts = np.clip(np.float32(0.5) + inside, 0, 1).astype(np.float32).T[:, :, None]
    dressed = skin + top * (cloth - skin)
    return dressed + shorts * (np.float32(SHADE) * cloth - dressed)


@lru_cache(maxsize=8)
def clothes_of(body: "Body") -> Clothes | None:
    """The clothes that a body wears: people of Anny's surface; None of other bodies, and of hands."""
    if body.phenotypes is None or "left_hip" not in body.roles or not len(body.faces):
        return None
    vertices, faces = body.template.double().cpu().numpy(), body.faces.cpu().numpy()
    ahead, behind = _edges(faces)
    lengths = np.linalg.norm(vertices[ahead] - vertices[behind], axis=1)
    met = np.bincount(ahead, minlength=len(vertices))
    edge = np.bincount(ahead, lengths, len(vertices)) / np.maximum(met, 1)
    hip, knee = (_head(body, role) for role in ("left_hip", "left_knee"))
    inside = np.stack([_top(vertices), _shorts(vertices, hip, knee)], 1)
    return Clothes(inside.astype(np.float32), edge.astype(np.float32), faces)


def _edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices at the beginning and the end of each side of each face; those of neighbours go both ways."""
    return faces.ravel(), np.roll(faces, -1, axis=1).ravel()


def _head(body: "Body", role: str) -> np.ndarray:
    return body.heads[body.bones.index(body.roles[role])].double().cpu().numpy()


def _top(points: np.ndarray) -> np.ndarray:
    """(N,) about how far points (N, 3) of the resting body are inside; y up, ahead is +z, metres."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    drop = np.maximum(0.5394 - y, 0)
    armhole = (0.1303 + 2.532 * drop**2 + 0.111 * z - x) / np.hypot(1, 5.064 * drop)
    width, depth = 0.0751, 0.0359 + 0.0476 * _smooth(z, -0.022, 0.083)  # of the neck, deeper in front
    down = np.minimum(y - 0.557, 0)
    around = np.hypot(x / width, down / depth)
    steep = np.hypot(x / width**2, down / depth**2)
    neck = (around - 1) * np.maximum(around, 0.5) / np.maximum(steep, 0.5 / width)
    return np.minimum.reduce([armhole, neck, HEAD_M - y, 0.06 - _below_waist(points), _trunk(x)])


def _shorts(points: np.ndarray, hip: np.ndarray, knee: np.ndarray) -> np.ndarray:
    """The same; the leg's hem leans a little inwards from being square to the thigh."""
    mirrored = np.abs(points * [1, 0, 0]) + points * [0, 1, 1]
    thigh = (knee - hip) / np.linalg.norm(knee - hip) + [0.15, 0, 0]
    leg = 0.208 - (mirrored - hip) @ thigh / np.linalg.norm(thigh)
    return np.minimum.reduce([leg, _below_waist(points), _trunk(mirrored[:, 0])])


def _trunk(x: np.ndarray) -> np.ndarray:
    """Arms and hands hang farther out."""
    return 0.30 - x


def _below_waist(points: np.ndarray) -> np.ndarray:
    x, y, z = points.T
    return 0.17 - 0.0248 * z - 0.3565 * x**2 - 1.1437 * z**2 - y


def _smooth(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below low, 1 above high, a smooth step between."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)

"""What made-up people look like: skin, hair, face and clothes painted on the rest body, point by point.

Everything is a function of where a point lies on the resting body (``Chart``), interpolated over each
triangle and decided at each pixel, so that hems are sharp whatever the mesh's resolution.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch

from mpt.bodies import Body
from mpt.render import vertex_normals


@dataclass(frozen=True)
class Outfit:
    """Colours are sRGB in [0, 1]; lengths run 0 hip or shoulder, 1 knee or elbow, 2 ankle or wrist."""

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    shirt: tuple[float, float, float]
    trousers: tuple[float, float, float]
    shoes: tuple[float, float, float]
    sleeve: float = 0.55
    leg: float = 1.93
    hair_volume_m: float = 0.018
    bun: bool = False
    stripes: tuple[float, float, float] | None = None
    beard: float = 0.0
    lips: float = 0.5


SKINS = [(0.86, 0.67, 0.57), (0.82, 0.62, 0.50), (0.73, 0.52, 0.40), (0.58, 0.40, 0.30), (0.40, 0.27, 0.20)]
HAIRS = [(0.10, 0.08, 0.07), (0.20, 0.13, 0.09), (0.36, 0.24, 0.15), (0.62, 0.47, 0.28), (0.55, 0.54, 0.53)]
CLOTHES = [
    (0.86, 0.87, 0.88), (0.16, 0.19, 0.26), (0.72, 0.24, 0.22), (0.22, 0.42, 0.60), (0.33, 0.46, 0.36),
    (0.88, 0.67, 0.33), (0.55, 0.36, 0.47), (0.30, 0.30, 0.32), (0.52, 0.67, 0.74), (0.84, 0.55, 0.46),
]  # fmt: skip
TROUSERS = [
    (0.19, 0.24, 0.34),
    (0.13, 0.13, 0.15),
    (0.46, 0.41, 0.34),
    (0.33, 0.36, 0.39),
    (0.40, 0.48, 0.60),
]
SHOES = [(0.86, 0.86, 0.85), (0.14, 0.13, 0.13), (0.45, 0.29, 0.19), (0.60, 0.20, 0.19)]


def random_outfit(rng: np.random.Generator) -> Outfit:
    """Somebody's clothes, hair and skin."""
    pick = lambda options: options[rng.integers(len(options))]  # noqa: E731
    return Outfit(
        skin=pick(SKINS),
        hair=pick(HAIRS),
        shirt=pick(CLOTHES),
        trousers=pick(TROUSERS),
        shoes=pick(SHOES),
        sleeve=float(rng.choice([0.35, 0.55, 0.7, 1.4, 1.93])),
        leg=float(rng.choice([0.75, 1.93, 1.93, 1.93])),
        hair_volume_m=float(rng.uniform(0.008, 0.024)),
        bun=bool(rng.random() < 0.3),
        stripes=pick(CLOTHES) if rng.random() < 0.3 else None,
        beard=float(rng.choice([0, 0, 0.5])),
        lips=float(rng.uniform(0.2, 0.8)),
    )


@dataclass(frozen=True)
class Chart:
    """Where each vertex lies on the resting body. Columns of ``fields`` (V, 9) by name."""

    fields: np.ndarray
    hair: np.ndarray  # (V,) metres above the hairline, negative off it
    bun: np.ndarray  # (3,) where a knot of hair sits, from the eyes' middle

    X, Y, Z, ARM, LEG, HEAD, EYE, MOUTH, HAIR = range(9)


@lru_cache(maxsize=4)
def chart(body: Body) -> Chart:
    """The chart of a body's mean shape, the eyes' middle the origin of X, Y, Z, in metres."""
    rest = body.rest(torch.zeros(1, body.shape_count, dtype=body.template.dtype, device=body.template.device))
    vertices, heads = rest.vertices[0].cpu().numpy(), rest.heads[0].cpu().numpy()
    joint = dict(zip(body.skeleton.joints, rest.joints[0].cpu().numpy()))
    role = {name: heads[body.bones.index(bone)] for name, bone in body.roles.items()}
    skin = _role_weights(body)

    arm, leg = np.zeros(len(vertices)), np.zeros(len(vertices))
    for side in ("left", "right"):
        on_arm = sum(skin[f"{side}_{j}"] for j in ("shoulder", "elbow", "wrist"))
        arm += on_arm * _along(vertices, *(role[f"{side}_{j}"] for j in ("shoulder", "elbow", "wrist")))
        on_leg = sum(skin[f"{side}_{j}"] for j in ("hip", "knee", "ankle", "toe"))
        leg += on_leg * _along(vertices, *(role[f"{side}_{j}"] for j in ("hip", "knee", "ankle")))

    eyes, ears = ((joint[f"left_{j}"] + joint[f"right_{j}"]) / 2 for j in ("eye", "ear"))
    place = vertices - eyes
    hair = _hairline(place, ears - eyes, joint["left_ear"] - eyes) * (skin["head"] > 0.3)
    hair = np.where(skin["head"] > 0.3, hair, -0.1)
    part = lambda word: _membership(body, word)  # noqa: E731
    fields = [
        *place.T,
        arm,
        leg,
        skin["head"],
        part("eye_front") + part("eye_back"),
        part("mouth") + part("tongue"),
        hair,
    ]
    return Chart(
        np.stack(fields, -1).astype(np.float32), hair, np.array([0, 0.045, ears[2] - eyes[2] - 0.105])
    )


def _role_weights(body: Body) -> dict[str, np.ndarray]:
    """Skinning weight (V,) of each role's bone, the bones between merged into it."""
    small = body.with_bones(body.moving_bones)
    dense = torch.zeros(len(small.template), len(small.bones), dtype=small.template.dtype)
    dense = dense.scatter_add(1, small.skin_index.cpu(), small.skin_weight.cpu()).numpy()
    return {role: dense[:, small.bones.index(bone)] for role, bone in body.roles.items()}


def _along(points: np.ndarray, start: np.ndarray, middle: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(V,) 0 at the start of a limb, 1 at its middle joint, 2 at its end and more beyond."""
    upper, lower = middle - start, end - middle
    return np.clip((points - start) @ upper / (upper @ upper), 0, 1) + np.maximum(
        (points - middle) @ lower / (lower @ lower), 0
    )


def _hairline(place: np.ndarray, ears: np.ndarray, left_ear: np.ndarray) -> np.ndarray:
    """(V,) height over the hairline, which falls from the forehead past the ears to the nape, metres."""
    before_ears = place[:, 2] - ears[2]
    steps = [-0.100, -0.035, -0.022, 0.000, 0.022, 0.045, 0.060, 0.090]
    line = [-0.075, -0.065, -0.012, 0.012, -0.010, 0.030, 0.048, 0.058]
    height = place[:, 1] - np.interp(before_ears, steps, line)
    mirrored = np.stack([np.abs(place[:, 0]), place[:, 1], place[:, 2]], -1)
    on_ear = (np.linalg.norm(mirrored - left_ear, axis=-1) < 0.036) & (mirrored[:, 0] > left_ear[0] - 0.001)
    return np.where(on_ear, -0.1, height)


def _membership(body: Body, word: str) -> np.ndarray:
    mask = np.zeros(len(body.template))
    for name, vertices in body.parts.items():
        if name.startswith(word):
            mask[vertices.cpu().numpy()] = 1
    return mask


def dress(vertices: np.ndarray, faces: np.ndarray, where: Chart, outfit: Outfit) -> np.ndarray:
    """Posed vertices (V, 3) with hair and cloth over them, which stand off the skin."""
    shirt, trousers, _ = _garments(where.fields, outfit, soft=0.03)
    dressed = _stretched(vertices, faces, np.maximum(shirt, trousers), rounds=60)
    return dressed + thickness(where, outfit)[:, None] * vertex_normals(dressed, faces)


def thickness(where: Chart, outfit: Outfit) -> np.ndarray:
    """(V,) metres by which hair and cloth stand off the skin."""
    shirt, trousers, _ = _garments(where.fields, outfit, soft=0.03)
    loose = 0.006 + 0.007 * smooth(-where.fields[:, Chart.Y], 0.45, 0.75)
    hair = outfit.hair_volume_m * smooth(where.hair, 0, 0.05)
    return hair + np.maximum(shirt * loose, trousers * 0.009)


def _stretched(vertices: np.ndarray, faces: np.ndarray, weight: np.ndarray, rounds: int) -> np.ndarray:
    """Vertices drawn outwards to the mean of their neighbours, as much as ``weight`` (V,) in [0, 1] says.

    Only hollows move, and only along the normal: cloth bridges them, and its stripes stay straight.
    """
    a, b = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).T
    kept = weight[a] > 0
    a, b = a[kept], b[kept]
    count = np.maximum(np.bincount(a, minlength=len(vertices)), 1)[:, None]
    normals = vertex_normals(vertices, faces)
    for _ in range(rounds):
        mean = np.stack([np.bincount(a, vertices[b, k], len(vertices)) for k in range(3)], -1) / count
        rise = weight * np.maximum(((mean - vertices) * normals).sum(-1), 0)
        vertices = vertices + 0.8 * rise[:, None] * normals
    return vertices


def shoe(
    vertices: np.ndarray, where: Chart, side: Literal["left", "right"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A shoe about one posed foot: vertices, faces, chart fields. The foot's soft convex hull."""
    f = where.fields
    left = f[:, Chart.X] > 0
    low = f[:, Chart.Y] < f[:, Chart.Y].min() + 0.062 + 0.12 * np.maximum(-0.07 - f[:, Chart.Z], 0)
    foot = np.flatnonzero(low & (f[:, Chart.LEG] > 1) & (left if side == "left" else ~left))
    directions, faces = _sphere()
    reach = np.float32(vertices[foot] / 0.0025) @ directions.T  # (foot, D), in units of the hull's softness
    share = np.exp(reach - reach.max(0))
    share /= share.sum(0)
    hull = share.T @ vertices[foot] + 0.009 * directions * np.float32([1, 0.4, 1])
    fields = share.T @ f[foot]
    fields[:, Chart.LEG] = 3
    return hull, faces, fields.astype(np.float32)


@lru_cache(maxsize=1)
def _sphere() -> tuple[np.ndarray, np.ndarray]:
    import trimesh

    ball = trimesh.creation.icosphere(3)
    return np.asarray(ball.vertices, np.float32), np.asarray(ball.faces)


def _garments(f: np.ndarray, outfit: Outfit, soft: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shirt, trousers, shoes, (N,) each in [0, 1], at chart fields (N, 9); borders are ``soft`` wide."""
    x, y, z, arm, leg = (f[:, k] for k in (Chart.X, Chart.Y, Chart.Z, Chart.ARM, Chart.LEG))
    inside = lambda margin: smooth(margin, -soft / 2, soft / 2)  # noqa: E731
    collar = -0.183 - 0.50 * (z + 0.06) + 0.10 * np.abs(x)
    hem = -0.755 + 0.03 * np.cos(9 * x)
    shirt = inside(collar - y) * inside(outfit.sleeve - arm) * np.maximum(inside(y - hem), inside(arm - 0.10))
    trousers = inside(-0.60 - y) * inside(outfit.leg - leg) * inside(0.2 - arm)
    shoes = inside(leg - 1.88 + 0.25 * (z + 0.13))
    return shirt, trousers, shoes


@dataclass(frozen=True)
class Surface:
    """What light meets at N points."""

    albedo: np.ndarray  # (N, 3) linear
    shine: np.ndarray  # (N,) 0 matt, 1 wet
    slope: np.ndarray  # (N, 3) of small folds and strands


def paint(f: np.ndarray, outfit: Outfit) -> Surface:
    """The look of points with chart fields f (N, 9)."""
    place = f[:, :3]
    x, y, z = np.abs(place[:, 0]), place[:, 1], place[:, 2]
    shirt, trousers, shoes = _garments(f, outfit, soft=0.008)
    linear = lambda colour: np.float32(colour) ** 2.2  # noqa: E731
    on_face = (f[:, Chart.HEAD] > 0.5) & (z > -0.07)

    colour = np.empty((len(f), 3), np.float32)
    colour[:] = linear(outfit.skin)
    mottle = waves(place, 0.05, 3)[0]
    colour *= (1 + 0.05 * mottle)[:, None]
    shine = np.full(len(f), 0.35, np.float32)

    def lay(mask, paint, amount=1.0, gloss=None):
        mask = (mask * amount).astype(np.float32)
        colour[:] += mask[:, None] * (np.float32(paint) - colour)
        if gloss is not None:
            shine[:] += mask * (gloss - shine)

    rosy = linear(outfit.skin) * np.float32([1.0, 0.62, 0.58])
    lay(on_face * disc(x - 0.042, y + 0.045, 0.024, 0.022, 1.0), rosy, 0.45)
    lay(on_face * disc(x, y + 0.040, 0.018, 0.016, 1.0), rosy, 0.3)
    lay(
        on_face * smooth(-y, 0.045, 0.075) * smooth(x - 0.3 * y, 0.0, 0.05),
        linear(outfit.hair),
        0.35 * outfit.beard,
    )
    lay(
        on_face * disc(x, y + 0.0705, 0.032, 0.024, 0.6) * smooth(-y, 0.05, 0.06),
        linear(outfit.hair),
        0.3 * outfit.beard,
    )
    lips = disc(x, y + 0.0715, 0.0245, np.maximum(0.0098 - 4.0 * x * x, 1e-3), 0.25)
    lay(on_face * lips, linear(outfit.skin) * np.float32([0.86, 0.42, 0.42]), 0.35 + 0.65 * outfit.lips, 0.8)
    lay(on_face * disc(x, y + 0.0707, 0.022, 0.0012, 0.6), rosy * 0.15, 0.8)
    brow = disc(x - 0.034, y - 0.0215 + 5.0 * (x - 0.038) ** 2 + 0.10 * (0.034 - x), 0.018, 0.0042, 0.5)
    lay(on_face * brow, linear(outfit.hair) * 0.7, 0.85)
    lash = disc(x - 0.031, y - 0.0005 + 14 * (x - 0.031) ** 2, 0.0145, 0.0022, 0.6)
    lay(on_face * lash * (f[:, Chart.EYE] < 0.5), linear((0.12, 0.09, 0.08)), 0.7)

    eye = f[:, Chart.EYE] > 0.5
    lay(eye, np.float32([0.70, 0.68, 0.66]), gloss=1.5)
    lay(eye * disc(x - 0.0305, y + 0.0040, 0.0068, 0.0068, 0.15), np.float32([0.07, 0.045, 0.03]))
    lay(eye * disc(x - 0.0305, y + 0.0040, 0.0030, 0.0030, 0.2), np.float32([0.008, 0.008, 0.008]))
    lay(f[:, Chart.MOUTH] > 0.5, np.float32([0.10, 0.02, 0.02]))

    lay(shoes, linear(outfit.shoes), gloss=0.5)
    sole = smooth(-y, 1.528, 1.535)
    lay(shoes * sole, linear((0.80, 0.79, 0.76)), gloss=0.1)
    weave = 1 + 0.06 * waves(place, 0.02, 4)[0]
    lay(trousers, linear(outfit.trousers) * weave[:, None], gloss=0.08)
    cloth = linear(outfit.shirt) * np.ones((len(f), 1), np.float32)
    if outfit.stripes is not None:
        along = np.where(f[:, Chart.ARM] > 0.12, 0.25 * f[:, Chart.ARM], y)
        band = smooth(np.sin(along * 2 * np.pi / 0.062), 0.15, 0.45)[:, None]
        cloth = cloth + band * (linear(outfit.stripes) - cloth)
    lay(shirt, cloth, gloss=0.08)

    hair = smooth(f[:, Chart.HAIR] + 0.008 * waves(place, 0.014, 5)[0], 0.0, 0.010)
    tone, strands = waves(place * np.float32([3.0, 1.0, 1.0]), 0.016, 6)
    lay(hair, linear(outfit.hair) * (1 + 0.30 * tone)[:, None], gloss=0.55)

    # Folds hang from shoulder and hip: long waves along the limb, short ones across it.
    _, folds = waves(place * np.float32([1.0, 0.55, 1.0]), 0.085, 7)
    slope = 0.34 * np.maximum(shirt, trousers)[:, None] * folds + 0.5 * hair[:, None] * strands
    return Surface(colour, shine, slope.astype(np.float32))


def smooth(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below low, 1 above high, a smooth step between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def disc(dx: np.ndarray, dy: np.ndarray, rx, ry, soft: float) -> np.ndarray:
    """1 inside an ellipse, 0 outside, ``soft`` the width of its border as a share of the radii."""
    return 1 - smooth((dx / rx) ** 2 + (dy / ry) ** 2, 1 - soft, 1 + soft)


def waves(points: np.ndarray, length_m: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth noise of points (N, 3) about 0 +- 0.5, and its gradient times the wavelength (N, 3)."""
    rng = np.random.default_rng(seed)
    count = 8
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    k = (directions * (2 * np.pi / length_m) * rng.uniform(0.6, 1.7, (count, 1))).astype(np.float32)
    phase = points.astype(np.float32) @ k.T + np.float32(rng.uniform(0, 2 * np.pi, count))
    return np.sin(phase).mean(-1) * 1.6, np.cos(phase) @ k * (length_m * 1.6 / count / (2 * np.pi))

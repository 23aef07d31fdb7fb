"""Meshes -> pictures by ray casting (embree, no OpenGL): overlays on photos, side views, soft shading.

Camera axes: x right, y down, z forward, metres. Pixels (x, y), (0, 0) the centre of the first pixel.
Pictures are HWC uint8 RGB. Nothing here needs a display or a graphics driver.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from mpt.clothes import NONE_M, Clothes, dyed, skin_beside
from mpt.skeletons import COCO17, Skeleton, of_count

# One soft colour for each person (sRGB in [0, 1]), taken in turn.
PALETTE = np.array(
    [
        [0.47, 0.69, 0.93],
        [0.96, 0.60, 0.49],
        [0.52, 0.80, 0.62],
        [0.72, 0.62, 0.90],
        [0.96, 0.79, 0.46],
        [0.92, 0.60, 0.74],
    ],
    np.float32,
)
NEAR_M = 0.05
LEAST_PERSON_M, LEAST_HAND_M = 1.2, 0.2  # what a view from the side has room for from top to bottom, at least
MAX_RAYS = 1_500_000
# Four samples inside a pixel, no two in one row or column.
SUBPIXELS = np.array([[-0.375, -0.125], [0.125, -0.375], [0.375, 0.125], [-0.125, 0.375]], np.float32)


# ---------------------------------------------------------------------------------------------- cameras


class View(Protocol):
    """Where rays start and point, and where points fall."""

    def rays(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...
    def project(self, points: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Perspective:
    """A pinhole at the origin of camera axes: pixel = focal * (x, y) / z + centre."""

    focal_px: float
    centre_px: tuple[float, float]

    def rays(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rays through pixels (N, 2): origins and directions (N, 3); the directions have z = 1."""
        directions = np.ones((len(pixels), 3), np.float32)
        directions[:, :2] = (pixels - np.float32(self.centre_px)) / np.float32(self.focal_px)
        return np.zeros_like(directions), directions

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) in camera axes -> pixels (..., 2); depth is held at 5 cm or more."""
        depth = np.maximum(points[..., 2:], NEAR_M)
        return points[..., :2] / depth * self.focal_px + np.asarray(self.centre_px)

    def scaled(self, factor: float) -> "Perspective":
        """The camera of the same picture resized by a factor; pixel centres are at integers."""
        x, y = self.centre_px
        return Perspective(self.focal_px * factor, ((x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5))


@dataclass(frozen=True)
class Orthographic:
    """Parallel rays along z: pixel = scale * (x, y) + centre."""

    px_per_m: float
    centre_px: tuple[float, float]

    def rays(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rays through pixels (N, 2): origins and directions (N, 3), starting 100 m in front of z = 0."""
        origins = np.full((len(pixels), 3), -100, np.float32)
        origins[:, :2] = (pixels - np.float32(self.centre_px)) / np.float32(self.px_per_m)
        return origins, np.broadcast_to(np.float32([0, 0, 1]), origins.shape).copy()

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) -> pixels (..., 2)."""
        return points[..., :2] * self.px_per_m + np.asarray(self.centre_px)


# ------------------------------------------------------------------------------------------------- rays


@dataclass(frozen=True)
class Hits:
    """The nearest triangle on each ray that meets one."""

    ray: np.ndarray  # (M,) index of the ray
    distance: np.ndarray  # (M,) in units of the ray's direction: the depth where that has z = 1
    face: np.ndarray  # (M,) row of Meshes.faces
    weights: np.ndarray  # (M, 3) barycentric weights of the face's corners

    def some(self, rows: np.ndarray) -> "Hits":
        """These of them."""
        return Hits(self.ray[rows], self.distance[rows], self.face[rows], self.weights[rows])


class Meshes:
    """Several meshes in one space, ready for ray casting.

    ``parts`` holds (vertices (V, 3), faces (F, 3)) pairs; ``owner`` (F,) tells the part of each face,
    ``counts`` how many vertices each part has.
    """

    def __init__(self, parts: Sequence[tuple[np.ndarray, np.ndarray]]):
        self.counts = [len(vertices) for vertices, _ in parts]
        starts = np.cumsum([0, *self.counts])
        self.vertices = np.concatenate([np.asarray(v, np.float32) for v, _ in parts])
        self.faces = np.concatenate([np.asarray(f, np.int32) + start for (_, f), start in zip(parts, starts)])
        self.owner = np.repeat(np.arange(len(parts)), [len(f) for _, f in parts])
        self.normals = vertex_normals(self.vertices, self.faces)
        self._scene = EmbreeScene()
        TriangleMesh(self._scene, self.vertices, self.faces)

    def cast(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """Nearest hits of rays (N, 3), (N, 3)."""
        found = self._scene.run(origins, directions, output=True)
        ray = np.flatnonzero(found["primID"] >= 0)
        u, v = found["u"][ray], found["v"][ray]
        weights = np.stack([1 - u - v, u, v], -1)
        return Hits(ray, found["tfar"][ray], found["primID"][ray], weights)

    def blocked(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """(N,) True where a ray meets anything."""
        return self._scene.run(origins, directions, query="OCCLUDED") >= 0

    def at(self, hits: Hits, values: np.ndarray) -> np.ndarray:
        """Vertex values (V, C) interpolated at the hits: (M, C)."""
        corners = self.faces[hits.face]
        return sum(values[corners[:, k]] * hits.weights[:, k, None] for k in range(3))

    def openness(self, directions: np.ndarray, lift_m: float = 0.004) -> np.ndarray:
        """(V,) cosine-weighted share of the directions (D, 3) above each vertex that nothing blocks.

        With directions all round it is ambient occlusion; with a cone about a lamp, a soft shadow.
        """
        origins = self.vertices + lift_m * self.normals
        light, sky = np.zeros(len(origins), np.float32), np.full(len(origins), 1e-6, np.float32)
        for direction in np.asarray(directions, np.float32):
            cosine = np.maximum(self.normals @ direction, 0)
            lit = np.flatnonzero(cosine > 0.02)
            rays = np.broadcast_to(direction, (len(lit), 3)).copy()
            light[lit] += cosine[lit] * ~self.blocked(origins[lit], rays)
            sky += cosine
        return np.minimum(light / sky, 1)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit vertex normals (V, 3), face normals weighted by area; counter-clockwise faces look outwards."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area = np.cross(b - a, c - a)
    flat = faces.ravel()
    spread = np.repeat(area, 3, 0)
    summed = np.stack([np.bincount(flat, spread[:, k], len(vertices)) for k in range(3)], -1)
    return (summed / np.maximum(np.linalg.norm(summed, axis=-1, keepdims=True), 1e-12)).astype(np.float32)


def sphere_directions(count: int) -> np.ndarray:
    """(count, 3) unit vectors spread evenly over the sphere (Fibonacci lattice)."""
    k = np.arange(count) + 0.5
    y = 1 - 2 * k / count
    turn = k * np.pi * (1 + 5**0.5)
    ring = np.sqrt(1 - y * y)
    return np.stack([ring * np.cos(turn), y, ring * np.sin(turn)], -1).astype(np.float32)


# ----------------------------------------------------------------------------------------------- raster

Shader = Callable[[Hits, np.ndarray], np.ndarray]  # hits, their ray directions (M, 3) -> colours (M, 3)


@dataclass(frozen=True)
class Layer:
    """A rendered patch of a picture: its top left pixel, colours times coverage, coverage, depth."""

    left: int
    top: int
    colour: np.ndarray  # (h, w, 3) float32, already multiplied by coverage
    coverage: np.ndarray  # (h, w) float32 in [0, 1]
    depth: np.ndarray  # (h, w) float32 along the ray, inf where nothing is

    def over(self, image: np.ndarray, opacity: float = 1.0) -> np.ndarray:
        """A copy of the picture (H, W, 3), uint8 or float, with this layer laid over it."""
        out = image.copy()
        h, w = self.coverage.shape
        patch = out[self.top : self.top + h, self.left : self.left + w]
        scale = 255 if image.dtype == np.uint8 else 1
        mixed = patch * (1 - opacity * self.coverage[..., None]) + self.colour * (opacity * scale)
        patch[:] = np.clip(mixed + 0.5, 0, 255) if scale == 255 else mixed
        return out


def rasterize(meshes: Meshes, view: View, size_wh: tuple[int, int], shade: Shader) -> Layer:
    """Cast a ray through each pixel of the meshes' bounding box; edges get four more for smoothness.

    Above ``MAX_RAYS`` pixels the box is cast more coarsely and enlarged.
    """
    left, top, right, bottom = _box(meshes, view, size_wh)
    width, height = right - left, bottom - top
    if width * height == 0:
        return Layer(left, top, *(np.zeros((height, width, *c), np.float32) for c in ((3,), (), ())))
    coarse = max(1.0, (width * height / MAX_RAYS) ** 0.5)
    w, h = max(1, round(width / coarse)), max(1, round(height / coarse))
    x = left + (np.arange(w, dtype=np.float32) + 0.5) * (width / w) - 0.5
    y = top + (np.arange(h, dtype=np.float32) + 0.5) * (height / h) - 0.5
    pixels = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)

    colour = np.zeros((w * h, 3), np.float32)
    depth = np.full(w * h, np.inf, np.float32)
    owner = np.full(w * h, -1)
    origins, directions = view.rays(pixels)
    hits = meshes.cast(origins, directions)
    colour[hits.ray] = shade(hits, directions[hits.ray])
    depth[hits.ray] = hits.distance
    owner[hits.ray] = meshes.owner[hits.face]
    coverage = (owner >= 0).astype(np.float32)

    edges = np.flatnonzero(_edges(owner.reshape(h, w), depth.reshape(h, w)))
    samples = (pixels[edges, None] + SUBPIXELS * coarse).reshape(-1, 2)
    origins, directions = view.rays(samples)
    hits = meshes.cast(origins, directions)
    fine = np.zeros((len(samples), 4), np.float32)
    fine[hits.ray, :3] = shade(hits, directions[hits.ray])
    fine[hits.ray, 3] = 1
    fine = fine.reshape(-1, len(SUBPIXELS), 4).mean(1)
    colour[edges], coverage[edges] = fine[:, :3], fine[:, 3]

    maps = colour.reshape(h, w, 3), coverage.reshape(h, w), depth.reshape(h, w)
    if (w, h) != (width, height):
        modes = cv2.INTER_LINEAR, cv2.INTER_LINEAR, cv2.INTER_NEAREST
        maps = tuple(cv2.resize(m, (width, height), interpolation=mode) for m, mode in zip(maps, modes))
    return Layer(left, top, *maps)


def _box(meshes: Meshes, view: View, size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """Pixels that the meshes can touch: left, top, right, bottom (the last two exclusive)."""
    size = np.asarray(size_wh)
    if isinstance(view, Perspective) and meshes.vertices[:, 2].min() < NEAR_M:
        return 0, 0, *size_wh  # a point beside the camera projects anywhere
    pixels = view.project(meshes.vertices)
    low = np.clip(np.floor(pixels.min(0)) - 1, 0, size).astype(int)
    high = np.clip(np.ceil(pixels.max(0)) + 2, low, size).astype(int)
    return *map(int, low), *map(int, high)


def _edges(owner: np.ndarray, depth: np.ndarray, step_m: float = 0.04) -> np.ndarray:
    """(H, W) True where a neighbour shows another mesh, nothing, or a jump in depth."""
    edges = np.zeros(owner.shape, bool)
    solid = np.where(np.isfinite(depth), depth, 0)
    for axis in (0, 1):
        jump = (np.diff(owner, axis=axis) != 0) | (np.abs(np.diff(solid, axis=axis)) > step_m)
        for part in (np.s_[1:], np.s_[:-1]):
            index = [np.s_[:], np.s_[:]]
            index[axis] = part
            edges[tuple(index)] |= jump
    return edges


# -------------------------------------------------------------------------------------------- overlays


@dataclass(frozen=True)
class Figure:
    """One person's mesh, placed in camera axes (its translation already added)."""

    vertices: np.ndarray  # (V, 3) metres
    faces: np.ndarray  # (F, 3)
    colour: np.ndarray | None = None  # (3,) sRGB in [0, 1]; None: the next of PALETTE
    clothes: Clothes | None = None  # of that colour, then; None: the whole surface is


HEM_M = 0.004  # width of a hem's edge


def render_mesh(figures: Sequence[Figure], view: View, size_wh: tuple[int, int]) -> Layer:
    """Figures as soft clay under a key, a fill and a rim light, nearest first, smooth between vertices.

    Colours of the layer are sRGB in [0, 1].
    """
    meshes = Meshes([(f.vertices, f.faces) for f in figures])
    colours = np.stack([_colour(f, i) for i, f in enumerate(figures)])
    hems = dress(meshes, [figure.clothes for figure in figures]) / np.float32(HEM_M)
    open_sky = meshes.openness(sphere_directions(20))[:, None]
    values = np.concatenate([meshes.normals, open_sky], -1)
    skins = np.stack([skin_beside(colour) if f.clothes else colour for f, colour in zip(figures, colours)])
    hemmed = has_hem(hems, meshes.faces)
    plain = dyed(hems[meshes.faces[:, 0]], skins[meshes.owner], colours[meshes.owner]) ** np.float32(2.2)

    def shade(hits: Hits, directions: np.ndarray) -> np.ndarray:
        value, albedo = meshes.at(hits, values), plain[hits.face]
        rows = np.flatnonzero(hemmed[hits.face])
        near, owner = hits.some(rows), meshes.owner[hits.face[rows]]
        albedo[rows] = dyed(meshes.at(near, hems), skins[owner], colours[owner]) ** np.float32(2.2)
        return _clay(value[:, :3], _unit(directions), albedo, value[:, 3:])

    return rasterize(meshes, view, size_wh, shade)


def dress(meshes: Meshes, clothes: Sequence[Clothes | None]) -> np.ndarray:
    """(V, 2) how far all vertices are inside tops and shorts, metres; normals become those of cloth.

    clothes: of each of the meshes.
    """
    inside, start = np.full((len(meshes.vertices), 2), NONE_M, np.float32), 0
    for worn, count in zip(clothes, meshes.counts):
        if worn is not None:
            part = slice(start, start + count)
            inside[part], meshes.normals[part] = worn.inside_m, worn.smoothed(meshes.normals[part])
        start += count
    return inside


def has_hem(hems: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) True of faces on which a hem is: vertices are (V, 2) of its widths inside top and shorts."""
    corners = hems[faces]
    return ((corners.min(1) < 0.5) & (corners.max(1) > -0.5)).any(1)


def _colour(figure: Figure, index: int) -> np.ndarray:
    return PALETTE[index % len(PALETTE)] if figure.colour is None else np.asarray(figure.colour, np.float32)


# Lamps of the overlay: towards which (camera axes), linear strength.
_KEY = np.float32([-0.48, -0.64, -0.60]), np.float32([0.86, 0.83, 0.78])
_FILL = np.float32([0.85, -0.10, -0.52]), np.float32([0.14, 0.17, 0.22])
_SKY, _GROUND = np.float32([0.34, 0.36, 0.40]), np.float32([0.15, 0.13, 0.12])


def _clay(normals: np.ndarray, gaze: np.ndarray, albedo: np.ndarray, openness: np.ndarray) -> np.ndarray:
    """sRGB colours (M, 3) of matt surfaces with a little sheen; all vectors unit, gaze away from the eye."""
    normals = _unit(normals)
    facing = np.abs((normals * gaze).sum(-1, keepdims=True))
    wrap = 0.25  # light that creeps round the terminator, as on skin
    key = np.maximum((normals @ _KEY[0] + wrap) / (1 + wrap), 0)[:, None] * _KEY[1]
    fill = np.maximum(normals @ _FILL[0], 0)[:, None] * _FILL[1]
    up = 0.5 - 0.5 * normals[:, 1:2]
    ambient = (_GROUND + up * (_SKY - _GROUND)) * openness**1.5
    half = _unit(_KEY[0] - gaze)
    sheen = 0.07 * np.maximum((normals * half).sum(-1, keepdims=True), 0) ** 24
    rim = 0.22 * (1 - facing) ** 3 * up
    light = albedo * (key * (0.35 + 0.65 * openness) + fill + ambient) + (sheen + rim) * openness
    return np.clip(light, 0, 1) ** np.float32(1 / 2.2)


def soft_clay(normals: np.ndarray, directions: np.ndarray, albedo: np.ndarray) -> np.ndarray:
    """The same (M, 3) under an open sky; ``directions`` from the eye, (M, 3) or (1, 3), of any length."""
    return _clay(normals, _unit(directions), albedo, np.ones((len(normals), 1), np.float32))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def overlay(photo: np.ndarray, figures: Sequence[Figure], view: View, opacity: float = 0.92) -> np.ndarray:
    """The photo (H, W, 3) with the figures drawn over it, at the photo's resolution."""
    if not figures:
        return photo.copy()
    return render_mesh(figures, view, (photo.shape[1], photo.shape[0])).over(photo, opacity)


def side_view(
    figures: Sequence[Figure],
    height_px: int,
    max_width_px: int | None = None,
    level: np.ndarray | None = None,
    standing: bool = True,
) -> np.ndarray:
    """The figures, each turned 90 degrees about its own vertical axis, in a row on a light floor.

    They stand from left to right as in the photo, all at one scale, seen from a little above: what was at
    the camera's right comes to the front. ``level`` (3, 3) turns camera axes to a level camera's before.
    ``standing``: these are people on a floor; else hands in the air, in the middle.
    Returns (height_px, W, 3) uint8.
    """
    least_m = LEAST_PERSON_M if standing else LEAST_HAND_M
    bearing = [np.median(f.vertices[:, 0]) / np.median(f.vertices[:, 2]) for f in figures]
    row, right_edge = [], 0.0
    for i in np.argsort(bearing):
        turned = _turned(figures[i].vertices if level is None else figures[i].vertices @ level.T)
        turned[:, 0] += right_edge - turned[:, 0].min()
        right_edge = turned[:, 0].max() + least_m / 5
        row.append(replace(figures[i], vertices=turned, colour=_colour(figures[i], i)))
    points = np.concatenate([f.vertices for f in row])
    low, high = points.min(0), points.max(0)

    px_per_m = 0.80 * height_px / max(high[1] - low[1], least_m)
    margin_px = 0.10 * height_px
    width_px = round(max((high[0] - low[0]) * px_per_m + 2 * margin_px, 0.45 * height_px))
    if max_width_px is not None and width_px > max_width_px:
        width_px = max_width_px
        px_per_m = min(px_per_m, 0.84 * width_px / (high[0] - low[0]))
    lowest, middle = 0.91 * height_px - px_per_m * high[1], (height_px - px_per_m * (low[1] + high[1])) / 2
    centre = (width_px / 2 - px_per_m * (low[0] + high[0]) / 2, lowest if standing else middle)
    view = Orthographic(px_per_m, centre)

    picture = _studio(row if standing else [], view, (width_px, height_px))
    seen = [replace(figure, vertices=figure.vertices @ _FROM_ABOVE.T) for figure in row]
    return render_mesh(seen, view, (width_px, height_px)).over(picture)


# Camera axes tilted by 8 degrees, so that the floor is seen.
_FROM_ABOVE = np.float32([[1, 0, 0], [0, np.cos(0.14), -np.sin(0.14)], [0, np.sin(0.14), np.cos(0.14)]])


def _turned(vertices: np.ndarray) -> np.ndarray:
    """Vertices about their own middle, feet at y = 0, (x, y, z) -> (z, y, -x)."""
    low, high = vertices.min(0), vertices.max(0)
    x, y, z = (vertices - (low + high) / 2).T
    return np.stack([z, y - y.max(), -x], -1).astype(np.float32)


def _studio(figures: Sequence[Figure], view: Orthographic, size_wh: tuple[int, int]) -> np.ndarray:
    """A light backdrop with a soft shadow under each figure, uint8."""
    width, height = size_wh
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    shade = np.zeros((height, width), np.float32)
    for figure in figures:
        nearness = np.exp(figure.vertices[:, 1] / 0.25)  # parts near the floor darken it most
        floor = (figure.vertices * [1, 0, 1]) @ _FROM_ABOVE.T
        x, y = np.rint(view.project(floor)).astype(int).T
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        np.add.at(shade, (y[inside], x[inside]), nearness[inside])
    small = cv2.resize(shade, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(
        small, (0, 0), max(0.010 * view.px_per_m, 0.5), sigmaY=max(0.004 * view.px_per_m, 0.3)
    )
    shade = cv2.resize(small, size_wh, interpolation=cv2.INTER_LINEAR)
    shade = np.minimum(1.8 * shade / max(shade.max(), 1e-6), 1) ** 0.8
    light = (1 - 0.09 * rows**2) * (1 - 0.38 * shade)
    return np.clip(light[..., None] * np.float32([248, 249, 251]) + 0.5, 0, 255).astype(np.uint8)


def overlay_figure(
    photo: np.ndarray,
    figures: Sequence[Figure],
    view: Perspective,
    joints2d: Sequence[np.ndarray] = (),
    max_side_px: int = 2048,
    level: np.ndarray | None = None,
) -> np.ndarray:
    """Photo with meshes on the left, the same people from the side on the right: HWC uint8.

    ``joints2d`` are pixels (x, y[, score]), (17, 2 or 3) of COCO, or (29, 2 or 3) with feet and hands, drawn
    where given. A photo with a longer side than ``max_side_px`` is shown smaller. ``level`` as in
    :func:`side_view`.
    """
    factor = max_side_px / max(photo.shape[:2])
    if factor < 1:
        photo = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        view = view.scaled(factor)
        joints2d = [np.column_stack([(j[:, :2] + 0.5) * factor - 0.5, j[:, 2:]]) for j in joints2d]
    left = overlay(photo, figures, view)
    for joints in joints2d:
        left = draw_joints(left, joints, of_count(len(joints), COCO17))
    if not figures:
        return left
    height, width = photo.shape[:2]
    return np.concatenate([left, side_view(figures, height, max(width, height // 2), level)], 1)


def draw_joints(
    image: np.ndarray, joints: np.ndarray, skeleton: Skeleton = COCO17, min_score: float = 0.2
) -> np.ndarray:
    """A copy of the picture with a person's 2D joints (J, 2 or 3: x, y[, score]) and bones drawn."""
    out = np.ascontiguousarray(image).copy()
    size = max(2, round(min(image.shape[:2]) / 220))
    shown = np.isfinite(joints).all(-1) & ((joints[:, 2] >= min_score) if joints.shape[1] > 2 else True)
    points = [tuple(round(16 * c) for c in joint[:2]) if ok else None for joint, ok in zip(joints, shown)]
    for a, b in skeleton.bones:
        if points[a] and points[b]:
            cv2.line(out, points[a], points[b], (255, 255, 255), size, cv2.LINE_AA, 4)
    for name, point in zip(skeleton.joints, points):
        if point:
            colour = (
                (255, 140, 66) if "left" in name else (66, 165, 245) if "right" in name else (255, 214, 79)
            )
            cv2.circle(out, point, 16 * (size + 1), (255, 255, 255), -1, cv2.LINE_AA, 4)
            cv2.circle(out, point, 16 * size, colour, -1, cv2.LINE_AA, 4)
    return out

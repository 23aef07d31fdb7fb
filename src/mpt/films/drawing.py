"""Bodies over a film's frames, and from the side: cheap enough to be drawn as fast as films run.

Bodies are drawn by their coarse meshes, which have an eighth of the vertices and look alike from afar.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from mpt.clothes import NONE_M, SHADE, skin_beside
from mpt.render import (
    HEM_M,
    PALETTE,
    Hits,
    Layer,
    Meshes,
    Orthographic,
    Perspective,
    View,
    draw_joints,
    has_hem,
    rasterize,
    soft_clay,
)
from mpt.skeletons import Skeleton

OPACITY = 0.88
TALLEST_M = 2.1  # what the side view holds from the floor up, if people are no higher up
MOST_BESIDE = 4  # people who have a place in the side view
SLOT = 0.42  # width of such a place over the picture's height
GAP = 0.05  # between the floor's line and the picture's lower edge, over its height


@dataclass(frozen=True, eq=False)
class Body:
    """One person in one frame.

    Attributes:
        id: their number, which gives them a colour.
        vertices: (V, 3) where they stand, in the axes of the film's first camera.
        faces: (F, 3).
        turn: (3, 3) how the frame's camera is turned from the first.
        inside_m: (V, 2) how far inside top and shorts vertices are, where any are worn (``mpt.clothes``).
        colours: (V, 3) sRGB in [0, 1], where they tell something; nothing is worn then.
        skeleton, joints2d_px: (J, 3) x, y, score of 2D joints to be drawn, in pixels of the film.
    """

    id: int
    vertices: np.ndarray
    faces: np.ndarray
    turn: np.ndarray = field(default_factory=lambda: np.eye(3, dtype=np.float32))
    inside_m: np.ndarray | None = None
    colours: np.ndarray | None = None
    skeleton: Skeleton | None = None
    joints2d_px: np.ndarray | None = None

    @property
    def seen(self) -> "Body":
        """In the axes of the frame's camera."""
        return replace(self, vertices=self.vertices @ self.turn.T)

    @property
    def albedo(self) -> np.ndarray:
        """(V, 3) in linear light."""
        if self.colours is not None:
            return linear(self.colours)
        own = PALETTE[self.id % len(PALETTE)]
        one = own if self.inside_m is None else skin_beside(own)
        return np.broadcast_to(linear(one), self.vertices.shape)


@dataclass(frozen=True)
class Stage:
    """How a film is drawn.

    Attributes:
        size_wh: of the film's pictures.
        drawn_wh: of the same as they are drawn, even numbers.
        focal_px, principal_px: the camera's, of the film's pictures.
        rotation, shift: (3, 3), (3,) from camera axes to the world, y up, the floor y = 0.
        places: ids of those who have a place in the side view, from left to right.
    """

    size_wh: tuple[int, int]
    drawn_wh: tuple[int, int]
    focal_px: float
    principal_px: tuple[float, float]
    rotation: np.ndarray = field(repr=False)
    shift: np.ndarray = field(repr=False)
    places: tuple[int, ...] = ()
    tallest_m: float = TALLEST_M

    @property
    def side_wh(self) -> tuple[int, int]:
        """Of the side view: nothing where nobody is."""
        height = self.drawn_wh[1]
        return 2 * round(len(self.places) * SLOT * height / 2), height

    @property
    def picture_wh(self) -> tuple[int, int]:
        return self.drawn_wh[0] + self.side_wh[0], self.drawn_wh[1]

    @property
    def view(self) -> Perspective:
        factors = np.divide(self.drawn_wh, self.size_wh)
        x, y = (np.asarray(self.principal_px) + 0.5) * factors - 0.5
        return Perspective(float(self.focal_px * factors.mean()), (float(x), float(y)))

    def draw(self, pixels: np.ndarray, bodies: Sequence[Body]) -> np.ndarray:
        """(H, W, 3) uint8: a frame with the bodies over it, and beside it the same from the side."""
        if (pixels.shape[1], pixels.shape[0]) != self.drawn_wh:
            pixels = cv2.resize(pixels, self.drawn_wh, interpolation=cv2.INTER_AREA)
        if bodies:
            pixels = _layer([body.seen for body in bodies], self.view, self.drawn_wh).over(pixels, OPACITY)
        for body in bodies:
            if body.joints2d_px is not None and body.skeleton is not None:
                points = body.joints2d_px.copy()
                points[:, :2] = (points[:, :2] + 0.5) * np.divide(self.drawn_wh, self.size_wh) - 0.5
                pixels = draw_joints(pixels, points, body.skeleton)
        if not self.places:
            return pixels
        return np.concatenate([pixels, self._from_the_side(bodies)], 1)

    def _from_the_side(self, bodies: Sequence[Body]) -> np.ndarray:
        """Everybody in a place of their own, turned by a quarter about their own upright, on one floor."""
        width, height = self.side_wh
        px_per_m = height * (1 - 2 * GAP) / self.tallest_m
        floor_y = height * (1 - GAP)
        picture = _wall(width, height, round(floor_y))
        beside = []
        for body in bodies:
            if body.id in self.places:
                stands = body.vertices @ self.rotation.T + self.shift
                middle = np.median(stands, axis=0)
                slot = (self.places.index(body.id) + 0.5) * SLOT * height / px_per_m
                x, y, z = stands.T
                turned = np.stack([slot + middle[2] - z, -y, middle[0] - x], -1)  # from the person's right
                beside.append(replace(body, vertices=turned.astype(np.float32)))
        if beside:
            picture = _layer(beside, Orthographic(px_per_m, (0, floor_y)), (width, height)).over(picture)
        return picture


def linear(srgb: np.ndarray) -> np.ndarray:
    """Colours in [0, 1] -> in linear light, nearly."""
    return np.asarray(srgb, np.float32) ** np.float32(2.2)


def _layer(bodies: Sequence[Body], view: View, size_wh: tuple[int, int]) -> Layer:
    """Lit at the vertices, and interpolated between: there are far fewer of them than pixels."""
    meshes = Meshes([(body.vertices, body.faces) for body in bodies])
    albedo = np.concatenate([body.albedo for body in bodies])
    ahead = np.array([[0, 0, 1]], np.float32)
    gaze = meshes.vertices if isinstance(view, Perspective) else ahead
    skin = soft_clay(meshes.normals, gaze, albedo)
    if all(body.inside_m is None for body in bodies):
        return rasterize(meshes, view, size_wh, lambda hits, directions: meshes.at(hits, skin))
    owner = np.repeat(np.arange(len(bodies)), meshes.counts)
    cloth = PALETTE[[body.id % len(PALETTE) for body in bodies]][owner]
    inside = [
        np.full((n, 2), NONE_M) if b.inside_m is None else b.inside_m for b, n in zip(bodies, meshes.counts)
    ]
    hems = np.concatenate(inside).astype(np.float32) / np.float32(HEM_M)
    top, shorts = (soft_clay(meshes.normals, gaze, linear(one)) for one in (cloth, SHADE * cloth))
    plain = np.where(hems[:, 1:] > 0, shorts, np.where(hems[:, :1] > 0, top, skin))
    layers, hemmed = np.concatenate([skin, top, shorts, hems], 1), has_hem(hems, meshes.faces)

    def shade(hits: Hits, directions: np.ndarray) -> np.ndarray:
        found = meshes.at(hits, plain)
        rows = np.flatnonzero(hemmed[hits.face])
        near = meshes.at(hits.some(rows), layers)
        of_top, of_shorts = np.clip(near[:, 9:] + np.float32(0.5), 0, 1).T[:, :, None]
        dressed = near[:, :3] + of_top * (near[:, 3:6] - near[:, :3])
        found[rows] = dressed + of_shorts * (near[:, 6:9] - dressed)
        return found

    return rasterize(meshes, view, size_wh, shade)


def _wall(width: int, height: int, floor_y: int) -> np.ndarray:
    """A light backdrop with a darker floor."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = 244, 245, 248
    picture[floor_y:] = 222, 224, 229
    return picture

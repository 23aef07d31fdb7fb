"""Actors in a place before a camera -> a picture and its truth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import roma
import torch
import trimesh

from mpt.bodies import Body
from mpt.render import Hits, Meshes, Perspective, rasterize, sphere_directions
from mpt.scenes.backdrops import Backdrop, lookup
from mpt.scenes.people import Chart, Outfit, Surface, chart, dress, paint, shoe, smooth
from mpt.skeletons import COCO17


@dataclass(frozen=True)
class Actor:
    """Who stands where on the floor, turned by yaw about the vertical."""

    rotations: torch.Tensor  # (B, 3, 3) local
    shape: torch.Tensor  # (S,)
    outfit: Outfit
    x_m: float = 0.0
    z_m: float = 0.0
    yaw_deg: float = 0.0
    seat: bool = False  # a stool under the hips


@dataclass(frozen=True)
class Subject:
    """The truth about one person, in camera axes and metres, for the naked body under the clothes."""

    vertices: np.ndarray  # (V, 3)
    joints: np.ndarray  # (K, 3) the body's, COCO's 17 first
    joints2d_px: np.ndarray  # (K, 2)
    shape: np.ndarray  # (S,)


@dataclass(frozen=True)
class Scene:
    """A made-up photograph, HWC uint8 RGB, with its camera and everyone in it."""

    name: str
    image: np.ndarray
    K: np.ndarray  # (3, 3)
    people: tuple[Subject, ...]
    up: np.ndarray | None = None  # (3,) unit vector in camera axes; None where nobody stands on the ground


@dataclass(frozen=True)
class Shot:
    """A camera at (x, height, distance) that looks along -z, turned, pitched down and rolled."""

    size_wh: tuple[int, int]
    focal_px: float
    height_m: float
    distance_m: float
    x_m: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    grain: float = 0.008
    yaw_deg: float = 0.0  # to the right

    @property
    def K(self) -> np.ndarray:
        w, h = self.size_wh
        return np.array([[self.focal_px, 0, (w - 1) / 2], [0, self.focal_px, (h - 1) / 2], [0, 0, 1]])

    @property
    def rotation(self) -> np.ndarray:
        """(3, 3) world -> camera axes."""
        pitch, roll, yaw = np.radians([self.pitch_deg, self.roll_deg, self.yaw_deg])
        about_y = roma.rotvec_to_rotmat(torch.tensor([0, yaw, 0])).numpy()
        about_x = roma.rotvec_to_rotmat(torch.tensor([pitch, 0, 0])).numpy()
        about_z = roma.rotvec_to_rotmat(torch.tensor([0, 0, -roll])).numpy()
        return about_z @ np.diag([1.0, -1.0, -1.0]) @ about_x @ about_y

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3) -> camera axes."""
        return (points - [self.x_m, self.height_m, self.distance_m]) @ self.rotation.T

    @property
    def view(self) -> Perspective:
        return Perspective(self.focal_px, (self.K[0, 2], self.K[1, 2]))


def photograph(
    body: Body,
    actors: Sequence[Actor],
    place: Backdrop,
    shot: Shot,
    rng: np.random.Generator,
    name: str = "scene",
) -> Scene:
    """Take the picture. ``rng`` draws the sensor's grain only."""
    posed = [pose_actor(body, actor) for actor in actors]
    seated = [truth for actor, truth in zip(actors, posed) if actor.seat]
    image = picture(body, [actor.outfit for actor in actors], posed, place, shot, rng, seated)
    people = []
    for actor, truth in zip(actors, posed):
        joints_camera = shot.to_camera(truth.joints)
        people.append(
            Subject(
                shot.to_camera(truth.vertices).astype(np.float32),
                joints_camera.astype(np.float32),
                shot.view.project(joints_camera),
                actor.shape.numpy(),
            )
        )
    return Scene(name, image, shot.K, tuple(people), shot.rotation[:, 1])


def empty(place: Backdrop, shot: Shot, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the place without anybody."""
    unshaded = lambda x, z: (np.ones_like(x), np.ones_like(x))  # noqa: E731
    return _develop(_scenery(place, shot, shot.distance_m, unshaded), shot, rng)


@dataclass(frozen=True)
class Posed:
    """An actor's naked body in the world."""

    vertices: np.ndarray  # (V, 3)
    joints: np.ndarray  # (K, 3)


def pose_actor(body: Body, actor: Actor) -> Posed:
    """Put an actor on the floor: the lowest point a sole's height above it, the hips over (x_m, z_m)."""
    yaw = roma.rotvec_to_rotmat(torch.tensor([0, np.radians(actor.yaw_deg), 0])).to(actor.rotations)
    local = torch.cat([yaw @ actor.rotations[:1], actor.rotations[1:]])
    out = body(local[None], actor.shape[None].to(local))
    vertices, joints = out.vertices[0].cpu().numpy(), out.joints[0].cpu().numpy()
    hips = joints[COCO17.indices("left_hip", "right_hip")].mean(0)
    shift = np.array([actor.x_m - hips[0], 0.007 - vertices[:, 1].min(), actor.z_m - hips[2]])
    return Posed(vertices + shift, joints + shift)


# -------------------------------------------------------------------------------------------- the picture


def picture(
    body: Body,
    outfits: Sequence[Outfit],
    posed: Sequence[Posed],
    place: Backdrop,
    shot: Shot,
    rng: np.random.Generator,
    seated: Sequence[Posed] = (),
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: people where they stand, and stools under those who sit."""
    return _develop(_light_of(body, outfits, posed, place, shot, seated), shot, rng)


def _light_of(
    body: Body,
    outfits: Sequence[Outfit],
    posed: Sequence[Posed],
    place: Backdrop,
    shot: Shot,
    seated: Sequence[Posed],
) -> np.ndarray:
    """Linear light (H, W, 3) float32 that reaches the sensor."""
    where = chart(body)
    faces = body.faces.cpu().numpy()
    parts, fields, painters = [], [], []

    def add(vertices, faces, values, painter):
        parts.append((shot.to_camera(vertices), faces))
        fields.append(values)
        painters.append(painter)

    for outfit, vertices in zip(outfits, (body_now.vertices for body_now in posed)):
        add(dress(vertices, faces, where, outfit), faces, where.fields, outfit)
        for side in ("left", "right"):
            add(*shoe(vertices, where, side), outfit)
        if outfit.bun:
            add(*_bun(where, vertices), outfit)
    for sitter in seated:
        add(*_stool(sitter), None)
    meshes = Meshes(parts)

    turn = shot.rotation.astype(np.float32)  # a world direction d is d @ turn.T in camera axes
    key_directions = place.key.directions(14) @ turn.T
    sky_directions = np.stack([d for d in sphere_directions(48) if d[1] > 0]) @ turn.T
    key_seen, sky_seen = meshes.openness(key_directions), meshes.openness(sky_directions)
    values = np.concatenate([meshes.normals, key_seen[:, None], sky_seen[:, None], np.concatenate(fields)], 1)

    def shade(hits: Hits, directions: np.ndarray) -> np.ndarray:
        value = meshes.at(hits, values)
        owner = meshes.owner[hits.face]
        colour = np.empty((len(owner), 3), np.float32)
        gaze = _unit(directions) @ turn
        for part, painter in enumerate(painters):
            mine = owner == part
            v = value[mine]
            surface = _wood(v[:, 5:]) if painter is None else paint(v[:, 5:], painter)
            colour[mine] = _light(place, v[:, :3] @ turn, gaze[mine], v[:, 3:4], v[:, 4:5], surface)
        return colour

    layer = rasterize(meshes, shot.view, shot.size_wh, shade)
    focus = np.mean([shot.to_camera(p.joints[: len(COCO17)]).mean(0)[2] for p in posed])

    def shadow(x, z):
        return _shadow(meshes, posed, shot, key_directions, sky_directions, x, z)

    return layer.over(_scenery(place, shot, focus, shadow))


def _light(place: Backdrop, normals, gaze, key_seen, sky_seen, surface: Surface) -> np.ndarray:
    """Linear colours (N, 3) of a surface, in world axes; ``gaze`` looks away from the camera."""
    slope = surface.slope - normals * (normals * surface.slope).sum(-1, keepdims=True)
    n = _unit(_unit(normals) - slope)
    toward = place.key.towards
    wrap = np.float32([0.22, 0.12, 0.08])  # red light creeps farthest round the terminator of skin
    key = np.maximum(((n @ toward)[:, None] + wrap) / (1 + wrap), 0) * key_seen * place.key.colour
    up = 0.5 + 0.5 * n[:, 1:2]
    ambient = up * sky_seen**1.2 * place.sky + (1 - up) * (0.3 + 0.7 * sky_seen) * place.ground
    half = _unit(toward - gaze)
    shine = surface.shine[:, None]
    sheen = 0.16 * shine * np.maximum((n * half).sum(-1, keepdims=True), 0) ** (12 + 30 * shine)
    edge = (1 - np.abs((n * gaze).sum(-1, keepdims=True))) ** 4
    return (
        surface.albedo * (key + ambient)
        + sheen * key_seen * place.key.colour
        + 0.10 * edge * sky_seen * place.sky
    )


def _bun(where: Chart, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A knot of hair behind the crown: world vertices, faces, chart fields."""
    skull = where.fields[:, Chart.HEAD] > 0.98
    here, there = (torch.from_numpy(points[skull]).float() for points in (where.fields[:, :3], vertices))
    turn, shift, scale = roma.rigid_points_registration(here, there, compute_scaling=True)
    ball = trimesh.creation.icosphere(3)
    sphere = np.asarray(ball.vertices, np.float32)
    knot = sphere * np.float32([0.040, 0.038, 0.036]) + where.bun
    values = np.zeros((len(knot), where.fields.shape[1]), np.float32)
    values[:, :3] = 0.04 * sphere
    values[:, Chart.HEAD], values[:, Chart.HAIR] = 1, 0.1
    return scale.item() * knot @ turn.numpy().T + shift.numpy(), np.asarray(ball.faces), values


def _stool(sitter: Posed) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A round stool under somebody's hips, its seat touching the body."""
    vertices, hips = sitter.vertices, sitter.joints[COCO17.indices("left_hip", "right_hip")].mean(0)
    above = np.hypot(vertices[:, 0] - hips[0], vertices[:, 2] - hips[2]) < 0.17
    height = vertices[above, 1].min() - 0.004
    profile = [
        (0, height),
        (0.185, height),
        (0.195, height - 0.012),
        (0.195, height - 0.05),
        (0.16, height - 0.055),
    ]
    profile += [(0.15, 0.02), (0.16, 0.0), (0, 0.0)]
    solid = trimesh.creation.revolve(np.array(profile), sections=48)
    solid.unmerge_vertices()
    faces = np.asarray(solid.faces)
    place = np.asarray(solid.vertices)[:, [0, 2, 1]]  # revolved about z; up is y here
    values = np.zeros((len(place), 9), np.float32)
    values[:, :3] = place
    return place + np.array([hips[0], 0, hips[2] - 0.02]), faces[:, ::-1], values


def _wood(fields: np.ndarray) -> Surface:
    tone = 1 + 0.10 * np.sin(60 * fields[:, 0] + 8 * np.sin(9 * fields[:, 2]))
    albedo = np.float32([0.42, 0.25, 0.13]) * tone[:, None].astype(np.float32)
    return Surface(albedo, np.full(len(fields), 0.5, np.float32), np.zeros((len(fields), 3), np.float32))


def _scenery(
    place: Backdrop,
    shot: Shot,
    focus_m: float,
    shadow: Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray]],
) -> np.ndarray:
    """Floor and wall (H, W, 3), sharp at a depth and blurred far off.

    ``shadow`` tells of floor points x, z (N,) what shares (N,) of lamp and sky they see. Traced at half size:
    nothing in it is as sharp as a pixel.
    """
    width, height = shot.size_wh
    w, h = (width + 1) // 2, (height + 1) // 2
    pixels = np.stack(np.meshgrid(2 * np.arange(w) + 0.5, 2 * np.arange(h) + 0.5), -1).reshape(-1, 2)
    direction = shot.view.rays(pixels.astype(np.float32))[1] @ shot.rotation.astype(np.float32)
    eye = np.array([shot.x_m, shot.height_m, shot.distance_m], np.float32)
    with np.errstate(divide="ignore"):
        to_floor = np.where(direction[:, 1] < -1e-6, -eye[1] / direction[:, 1], np.inf)
        to_wall = np.where(direction[:, 2] < -1e-6, (place.wall_z - eye[2]) / direction[:, 2], 1e4)
    on_floor = to_floor < to_wall
    depth = np.minimum(to_floor, to_wall).astype(np.float32)
    point = eye + depth[:, None] * direction

    light = np.empty((w * h, 3), np.float32)
    x, z = point[on_floor][:, 0], point[on_floor][:, 2]
    key_seen, sky_seen = shadow(x, z)
    lit = place.key.towards[1] * key_seen[:, None] * place.key.colour + sky_seen[:, None] ** 1.3 * place.sky
    light[on_floor] = place.floor(x, z) * lit
    light[~on_floor] = place.wall(point[~on_floor][:, 0], point[~on_floor][:, 1])

    picture = light.reshape(h, w, 3)
    far = place.blur * max(w, h)
    blurred = cv2.GaussianBlur(picture, (0, 0), far)
    halfway = cv2.GaussianBlur(picture, (0, 0), far / 3)
    beyond = np.clip(
        1 - focus_m / depth.reshape(h, w, 1), 0, 1
    )  # circle of confusion, as a share of infinity's
    beyond = cv2.GaussianBlur(beyond, (0, 0), 2)[..., None]
    picture = picture + smooth(beyond, 0.05, 0.25) * (halfway - picture)
    picture = picture + smooth(beyond, 0.2, 0.5) * (blurred - picture)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)


def _shadow(
    meshes: Meshes,
    posed: Sequence[Posed],
    shot: Shot,
    key_directions,
    sky_directions,
    x,
    z,
    cell_m: float = 0.025,
):
    """Shares (N,) of lamp and sky that floor points see, read off a grid traced about the people."""
    points = np.concatenate([p.vertices for p in posed])
    low, high = points.min(0)[[0, 2]] - 1.2, points.max(0)[[0, 2]] + 1.2
    columns, rows = np.ceil((high - low) / cell_m).astype(int) + 1
    grid = np.stack(np.meshgrid(low[0] + cell_m * np.arange(columns), low[1] + cell_m * np.arange(rows)), -1)
    floor = np.insert(grid.reshape(-1, 2), 1, 0.001, axis=1)
    origins = shot.to_camera(floor).astype(np.float32)
    up = shot.rotation[:, 1]
    fade = np.minimum.reduce([np.arange(columns), np.arange(columns)[::-1]])[None] / 24
    fade = np.minimum(fade, np.minimum.reduce([np.arange(rows), np.arange(rows)[::-1]])[:, None] / 24)
    shares = []
    for directions in (key_directions, sky_directions):
        cosine = np.maximum(directions @ up, 0)
        seen = np.zeros(len(origins), np.float32)
        for direction, weight in zip(directions.astype(np.float32), cosine / cosine.sum()):
            rays = np.broadcast_to(direction, origins.shape).copy()
            seen += np.float32(weight) * ~meshes.blocked(origins, rays)
        seen = cv2.GaussianBlur(seen.reshape(rows, columns), (0, 0), 0.9)
        seen = 1 - np.clip(fade, 0, 1) * (1 - seen)  # a shadow that leaves the grid fades out
        u, v = (x - low[0]) / cell_m, (z - low[1]) / cell_m
        shares.append(lookup(seen.astype(np.float32), u, v, cv2.BORDER_CONSTANT, 1.0))
    return shares


def _develop(light: np.ndarray, shot: Shot, rng: np.random.Generator) -> np.ndarray:
    """Linear light -> HWC uint8: a little lens blur, vignette, grain, and a film's curve."""
    h, w = light.shape[:2]
    y, x = np.ogrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    light = cv2.GaussianBlur(light, (0, 0), 0.5) * (1 - 0.13 * (x * x + y * y)[..., None]).astype(np.float32)
    exposed = 0.88 * np.maximum(light, 0)
    film = exposed * (2.51 * exposed + 0.03) / (exposed * (2.43 * exposed + 0.59) + 0.14)
    grey = film @ np.float32([0.21, 0.72, 0.07])
    film = grey[..., None] + 0.80 * (film - grey[..., None])  # the curve by channel adds colour; take it back
    grain = cv2.GaussianBlur(rng.standard_normal((h, w), dtype=np.float32), (0, 0), 0.6) * shot.grain * 1.8
    return np.clip(
        255 * (np.clip(film, 0, 1) ** np.float32(1 / 2.2) + grain[..., None]) + 0.5, 0, 255
    ).astype(np.uint8)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)

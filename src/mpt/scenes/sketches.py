"""Many small pictures of made-up people at once, drawn by torch: what a 2D network is shown thousands of.

``photograph`` traces every ray and casts shadows, a second or two a picture. These are drawn triangle by
triangle, on a GPU some thousands a second: the same people, clothes and places, lit by one lamp and the sky,
without shadows. They teach a model how a 2D network errs, not what photographs look like.

Letters: N pictures, V vertices, F faces, S side of a picture in pixels.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mpt.bodies import Body
from mpt.crops import applied, inverse, pixel_grid, then
from mpt.scenes.backdrops import PLACES
from mpt.scenes.people import Chart, chart, paint, random_outfit, smooth, thickness
from mpt.scenes.photograph import Shot, empty

PLACE_WH = 512, 384
NOTHING = torch.iinfo(torch.int64).max
DEPTH_STEPS = 20_000  # of a metre, by which the nearer of two triangles is told


class Looks(NamedTuple):
    """Who and where, N of each: drawn once, so that a person looks alike in a second picture."""

    outfit: Tensor  # (N,) index
    place: Tensor  # (N,) index
    zoom: Tensor  # (N, 2, 3) from the picture's coordinates to those of the place's photo, [-1, 1]
    lamp: Tensor  # (N, 3) unit vector towards it, camera axes
    light: Tensor  # (N, 3, 3) linear colours of lamp, sky and ground
    grain: Tensor  # (N,) standard deviation of the sensor's noise, in units of white
    frame: Tensor  # (N, 4) left, top, right, bottom of the photo in the picture's coordinates; black beyond


@dataclass(frozen=True)
class Sketchbook:
    """One body's clothes and the places, ready to draw from, on one device."""

    faces: Tensor  # (F, 3)
    albedo: Tensor  # (O, V, 3) linear, of each outfit
    cover: Tensor  # (O, V) metres by which cloth, hair and shoes stand off the skin
    places: Tensor  # (P, 3, height, width) sRGB in [0, 1]

    @staticmethod
    def of(
        body: Body, *, outfits: int = 192, places: int = 96, seed: int = 0, device: torch.device | str = "cpu"
    ) -> "Sketchbook":
        """Draw so many outfits and places; a fifth of a second for each place."""
        rng, where = np.random.default_rng(seed), chart(body)
        worn = [random_outfit(rng) for _ in range(outfits)]
        albedo = np.stack([paint(where.fields, outfit).albedo for outfit in worn])
        return Sketchbook(
            body.faces.to(device),
            torch.from_numpy(albedo).half().to(device),
            torch.from_numpy(np.stack([thickness(where, outfit) for outfit in worn]) + _sole(where))
            .half()
            .to(device),
            torch.from_numpy(np.stack([_place(rng) for _ in range(places)])).half().to(device),
        )

    def looks(self, boxes: Tensor, generator: torch.Generator | None = None) -> Looks:
        """Random ones for people whose boxes (N, 4: left, top, right, bottom) are known."""
        n, device = len(boxes), boxes.device
        u = torch.rand(n, 16, generator=generator, device=device)
        low, high = boxes.split(2, 1)
        middle, size = (low + high) / 2, (high - low).amax(1, keepdim=True)

        scale = 2 / (size * (0.9 + 1.6 * u[:, :1]))  # the place's photo spans 0.9 to 2.5 people
        mirror = torch.where(u[:, 1:2] < 0.5, 1.0, -1.0)
        zoom = torch.zeros(n, 2, 3, device=device)
        zoom[:, 0, 0], zoom[:, 1, 1] = (scale * mirror)[:, 0], scale[:, 0] * PLACE_WH[0] / PLACE_WH[1]
        zoom[:, :, 2] = (2 * u[:, 2:4] - 1) * 0.5 - (zoom[:, :, :2] @ middle[..., None])[..., 0]

        azimuth, height = (2 * u[:, 4] - 1) * 2.2, 0.3 + 0.9 * u[:, 5]  # 0 behind the camera
        lamp = torch.stack([azimuth.sin() * height.cos(), -height.sin(), -azimuth.cos() * height.cos()], -1)
        warmth = 0.18 * (2 * u[:, 6:7] - 1) * torch.tensor([1.0, 0.0, -1.0], device=device)
        strength = torch.stack([0.4 + 1.3 * u[:, 7], 0.25 + 0.4 * u[:, 8], 0.08 + 0.25 * u[:, 9]], -1)
        light = strength[:, :, None] * (
            1 + warmth[:, None] * torch.tensor([[1.0], [-0.6], [0.4]], device=device)
        )

        margin = size * (0.04 + 0.9 * u[:, 10:14] ** 2)
        frame = torch.cat([low - margin[:, :2], high + margin[:, 2:]], 1)
        return Looks(
            torch.randint(len(self.albedo), (n,), generator=generator, device=device),
            torch.randint(len(self.places), (n,), generator=generator, device=device),
            zoom, lamp, light, 0.03 * u[:, 14], frame,
        )  # fmt: skip

    def draw(
        self, vertices: Tensor, points: Tensor, looks: Looks, pixels: Tensor, size: int,
        generator: torch.Generator | None = None,
    ) -> Tensor:  # fmt: skip
        """(N, 3, S, S) sRGB in [0, 1].

        vertices: (N, V, 3) camera axes, metres. points: (N, V, 2) where they are seen, in the picture's
        coordinates.
        pixels: (N, 2, 3) from those to pixels of what is drawn, (0, 0) the middle of the first.
        """
        normals = _vertex_normals(vertices, self.faces)
        off = self.cover[looks.outfit].float()[..., None] * normals
        per_metre = (points[:, 1:] - points[:, :1]).norm(dim=-1).amax(1) / (
            (vertices[:, 1:] - vertices[:, :1])[..., :2].norm(dim=-1).amax(1)
        )
        points = points + off[..., :2] * per_metre[:, None, None]
        at = applied(pixels, points)
        face = nearest_faces(at, vertices[..., 2], self.faces, size)

        picture = self._behind(looks, pixels, size)
        n, y, x = (face >= 0).nonzero(as_tuple=True)
        corners = self.faces[face[n, y, x]]  # (M, 3)
        weights = _barycentric(at[n[:, None], corners], torch.stack([x, y], -1))
        pick = lambda values: (weights[..., None] * values[n[:, None], corners]).sum(1)  # noqa: E731
        albedo = (weights[..., None] * self.albedo[looks.outfit[n][:, None], corners]).sum(1)
        seen = _developed(albedo * _light(F.normalize(pick(normals), dim=-1), looks.lamp[n], looks.light[n]))
        picture = picture.permute(0, 2, 3, 1).contiguous()
        picture[n, y, x] = seen
        picture = _softened(picture.permute(0, 3, 1, 2))
        noise = torch.randn(picture.shape, generator=generator, device=picture.device)
        picture = (picture + looks.grain[:, None, None, None] * noise).clamp(0, 1)
        return picture * self._inside(looks, pixels, size)[:, None]

    def _behind(self, looks: Looks, pixels: Tensor, size: int) -> Tensor:
        """(N, 3, S, S) the places."""
        grid = _pixels_through(then(inverse(pixels), looks.zoom), size)
        places = self.places[looks.place].float()
        return F.grid_sample(places, grid, padding_mode="reflection", align_corners=False)

    def _inside(self, looks: Looks, pixels: Tensor, size: int) -> Tensor:
        """(N, S, S) 1 inside the photo, 0 beyond."""
        at = _pixels_through(inverse(pixels), size)
        low, high = looks.frame[:, None, None].split(2, -1)
        return ((at >= low) & (at <= high)).all(-1).float()


def _sole(where: Chart) -> np.ndarray:
    """(V,) metres by which a shoe stands off the foot."""
    return 0.008 * smooth(where.fields[:, Chart.LEG], 1.9, 2.0)


def _place(rng: np.random.Generator) -> np.ndarray:
    """(3, height, width) sRGB in [0, 1]: a place without anybody."""
    place = PLACES[rng.choice(list(PLACES))](rng)
    shot = Shot(
        PLACE_WH, float(rng.uniform(0.8, 1.7) * max(PLACE_WH)), float(rng.uniform(0.6, 2.4)),
        float(rng.uniform(3, 6)), 0.0, float(rng.uniform(-6, 28)), float(rng.normal(0, 2)), grain=0.0,
    )  # fmt: skip
    return empty(place, shot, rng).transpose(2, 0, 1) / np.float32(255)


def nearest_faces(points: Tensor, depth: Tensor, faces: Tensor, size: int) -> Tensor:
    """(N, S, S) the face that is seen at each pixel's middle, -1 for none.

    points: (N, V, 2) pixels; depth: (N, V) metres from the camera, positive; faces (F, 3), which look
    outwards counter-clockwise: those that look away from the camera are not drawn.
    """
    n, device = len(points), points.device
    a, b, c = points[:, faces].unbind(2)
    low = torch.minimum(torch.minimum(a, b), c).ceil()
    high = torch.maximum(torch.maximum(a, b), c).floor()
    extent = (high - low).amax(-1) + 1
    shown = (_cross(b - a, c - a) < 0) & (high >= low).all(-1) & (high >= 0).all(-1) & (low < size).all(-1)
    keys = torch.full((n * size * size,), NOTHING, device=device)
    reach, before = 2, 0
    while before < size:  # small triangles by small squares of pixels, large by large ones
        picture, face = (shown & (extent > before) & (extent <= reach)).nonzero(as_tuple=True)
        for some in torch.arange(len(face), device=device).split(2**24 // reach**2):
            _into(keys, points, depth, faces, picture[some], face[some], low, reach, size)
        before, reach = reach, 2 * reach
    keys = keys.view(n, size, size)
    return torch.where(keys == NOTHING, -1, keys & 0xFFFFFF)


def _into(keys, points, depth, faces, picture, face, low, reach, size) -> None:
    """Lay triangles into the keys, each as far as a square of ``reach`` pixels from its corner."""
    corners = faces[face]
    at, z = points[picture[:, None], corners], depth[picture[:, None], corners]
    y, x = torch.meshgrid(*[torch.arange(reach, device=keys.device)] * 2, indexing="ij")
    where = low[picture, face].long()[:, None] + torch.stack([x, y], -1).view(-1, 2)  # (M, reach^2, 2)
    weights = _barycentric(at[:, None], where)
    inside = (weights >= 0).all(-1) & (where >= 0).all(-1) & (where < size).all(-1)
    z = ((weights * z[:, None]).sum(-1) * DEPTH_STEPS).long()
    key = (z << 24) | face[:, None]
    row = (picture[:, None] * size + where[..., 1]) * size + where[..., 0]
    keys.scatter_reduce_(0, row[inside], key[inside], "amin")


def _barycentric(corners: Tensor, at: Tensor) -> Tensor:
    """(..., 3) weights of corners (..., 3, 2) at points (..., 2)."""
    a, b, c = corners.unbind(-2)
    area = _cross(b - a, c - a)
    second, third = _cross(at - a, c - a) / area, _cross(b - a, at - a) / area
    return torch.stack([1 - second - third, second, third], -1)


def _cross(u: Tensor, v: Tensor) -> Tensor:
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def _vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """(N, V, 3) unit normals, faces weighted by area."""
    a, b, c = vertices[:, faces].unbind(2)
    area = torch.linalg.cross(b - a, c - a)
    summed = torch.zeros_like(vertices)
    for corner in faces.T:
        summed.index_add_(1, corner, area)
    return F.normalize(summed, dim=-1)


def _light(normals: Tensor, lamp: Tensor, light: Tensor) -> Tensor:
    """(M, 3) what matt surfaces get of a lamp (some beyond the terminator), of sky and of ground."""
    key = ((normals * lamp).sum(-1, keepdim=True) + 0.15).clamp_min(0) / 1.15
    up = 0.5 - 0.5 * normals[:, 1:2]
    return key * light[:, 0] + up * light[:, 1] + (1 - up) * light[:, 2]


def _developed(light: Tensor) -> Tensor:
    """Linear light -> sRGB in [0, 1], by a film's curve."""
    exposed = 0.88 * light
    film = exposed * (2.51 * exposed + 0.03) / (exposed * (2.43 * exposed + 0.59) + 0.14)
    return film.clamp(0, 1) ** (1 / 2.2)


def _softened(picture: Tensor) -> Tensor:
    """As a lens does: every pixel with a little of its neighbours'."""
    kernel = picture.new_tensor([0.2, 0.6, 0.2])
    kernel = (kernel[:, None] * kernel).expand(3, 1, 3, 3)
    return F.conv2d(F.pad(picture, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)


def _pixels_through(affine: Tensor, size: int) -> Tensor:
    """(N, S, S, 2) where affine maps (N, 2, 3) take the pixels of a square."""
    return applied(affine, pixel_grid(size, affine.device).expand(len(affine), -1, 2)).unflatten(
        1, (size, size)
    )

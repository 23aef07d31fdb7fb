"""Motion capture -> what the transformer sees and what it should say: storeys 1 to 4 on one page.

    poses -> widened -> body -> virtual camera -> 2D joints -> crop -> noisy heatmaps

All of it batched, on the training device, in the step: nothing of it is ever stored (Section 3.1, Figure 2).
Only the vertices that the step compares are posed.

Letters: N samples, B bones, K joints, V vertices, S heatmap size.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import roma
import torch
from torch import Tensor

from mpt.bodies import Body
from mpt.cameras import Cameras, RandomCameras, aim, h36m_s1
from mpt.datasets.sightings import Sightings
from mpt.datasets.widening import Widening, widener_of
from mpt.heatmaps import HeatmapNoise, add_floor, add_floor_to_marginals, perturb, render, render_marginals
from mpt.skeletons import core


@dataclass(frozen=True)
class SyntheticConfig:
    """What pre-training sees. ``views`` counts the Human3.6M cameras; ``random`` is ours."""

    cameras: Literal["h36m_s1", "random"] = "random"
    views: int = 4
    random_cameras: RandomCameras = field(default_factory=RandomCameras)
    widening: Widening = field(default_factory=Widening)
    noise: HeatmapNoise = field(default_factory=HeatmapNoise)
    crop_factor: tuple[float, float] = (1.1, 1.4)
    """Crop side over the larger side of the joints' box; 1.25 at test time."""
    crop_shift: float = 0.05
    """Largest shift of the crop's centre, as a share of its side."""
    truncation: float = 0.2
    """Share of people of whom a part is out of the picture; the crop frames what is left."""
    fine_vertices: int = 256
    """Full-mesh vertices compared in a step, drawn anew each time: an unbiased L_V for little."""


@dataclass(frozen=True)
class SyntheticBatch:
    """N samples; metres about the true mid-hip, in the axes of a camera aimed at it, in which the network
    answers (``mpt.views``); crop coordinates in [-1, 1].
    """

    seen: Tensor  # heatmaps (N, K, S, S), marginals (N, K, 2, S) or coordinates (N, K, 3)
    joints: Tensor  # (N, K, 3)
    coarse: Tensor  # (N, C, 3)
    vertices: Tensor  # (N, len(rows), 3)
    rows: Tensor  # full vertices that are compared
    points: Tensor  # (N, K, 2) true 2D joints in the crop
    up: Tensor  # (N, 3) unit vector: where up is, as a pose stood before it was tilted

    def mixed_with(self, other: "SyntheticBatch", order: Tensor) -> "SyntheticBatch":
        """Both batches' samples, of the same ``rows``, in an order (N + M,)."""
        mixed = {k: torch.cat([v, getattr(other, k)])[order] for k, v in vars(self).items() if k != "rows"}
        return SyntheticBatch(rows=self.rows, **mixed)

    def part(self, number: int, parts: int) -> "SyntheticBatch":
        """One of so many parts of equal size; ``rows`` are all parts'."""
        if parts == 1:
            return self
        cut = {name: value.chunk(parts)[number] for name, value in vars(self).items() if name != "rows"}
        return SyntheticBatch(rows=self.rows, **cut)


class People(NamedTuple):
    """N people about to be seen."""

    rotations: Tensor  # (N, B, 3, 3) local
    shape: Tensor  # (N, S)
    up: Tensor  # (N, 3) where up is for each, world axes


class Synthesizer:
    """Turns stored poses into training samples, for one body and one kind of transformer input."""

    def __init__(
        self,
        body: Body,
        bones: tuple[str, ...],
        config: SyntheticConfig,
        *,
        inputs: str,
        coarse_vertices: int,
        heatmap_size: int = 224,
        device: torch.device | str = "cpu",
    ) -> None:
        """``bones``: what the stored poses' columns are, root first."""
        self.config, self.inputs, self.size, self.device = config, inputs, heatmap_size, device
        self.body = body.with_bones(bones).to(device)
        self.bones = self.body.bones
        self.column = [bones.index(bone) for bone in self.bones]
        self.coarse_index = body.coarsened(coarse_vertices).index.to(device)
        self.skeleton, self.framed = body.skeleton, len(core(body.skeleton))
        self.rig = h36m_s1(config.views).to(device)
        self.widen = widener_of(self.body)(self.body, config.widening)

    def __call__(
        self,
        rotvec: Tensor,
        generator: torch.Generator | None = None,
        *,
        shape: Tensor | None = None,
        view: Tensor | None = None,
    ) -> SyntheticBatch:
        """(N, B, 3) stored local rotations, radians -> N samples.

        shape: (N, S), drawn where it is NaN; view: (N,) camera of the rig that looks, drawn where None.
        """
        people = self.people(rotvec, generator, shape)
        rows = torch.randperm(len(self.body.template), generator=generator, device=self.device)[
            : self.config.fine_vertices
        ]
        vertices, joints = self._compared(people.rotations, people.shape, rows)
        return self.look(vertices, joints, rows, generator, view, up=people.up)

    def people(
        self, rotvec: Tensor, generator: torch.Generator | None = None, shape: Tensor | None = None
    ) -> "People":
        """(N, B, 3) stored local rotations -> widened, tilted, and of somebody's shape."""
        n = len(rotvec)
        rotvec = self.widen(rotvec.to(self.device)[:, self.column], generator)
        rotations = roma.rotvec_to_rotmat(rotvec)
        tilt = self._tilt(n, generator)
        rotations[:, 0] = tilt @ rotations[:, 0]
        drawn = self.body.sample_shapes(n, generator)
        shape = drawn if shape is None else torch.where(shape.isnan(), drawn, shape)
        return People(rotations, shape, tilt[:, :, 1])

    def recalled(self, sightings: Sightings, rows: Tensor) -> SyntheticBatch:
        """What a 2D network saw of people before, and again what they are; ``rows`` as in SyntheticBatch."""
        rotations = roma.rotvec_to_rotmat(sightings.rotvec)
        vertices, joints = self._compared(rotations, sightings.shape, rows)
        root = joints[:, self.skeleton.root].mean(1, keepdim=True)
        joints, vertices = (joints - root) @ sightings.turn, (vertices - root) @ sightings.turn
        coarse, fine = vertices.split([len(self.coarse_index), len(rows)], 1)
        seen = sightings.seen.to(joints)
        return SyntheticBatch(seen, joints, coarse, fine, rows, sightings.points, sightings.up)

    def _compared(self, rotations: Tensor, shape: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Coarse vertices followed by ``rows``, and joints, in world axes."""
        posed = self.body.subset(torch.cat([self.coarse_index, rows]))(rotations, shape)
        return posed.vertices, posed.joints

    def look(
        self,
        vertices: Tensor,
        joints: Tensor,
        rows: Tensor,
        generator: torch.Generator | None,
        view: Tensor | None = None,
        *,
        up: Tensor | None = None,
    ) -> SyntheticBatch:
        """What a virtual camera sees of bodies in world axes: coarse vertices followed by ``rows``.

        up: (N, 3) where up is for each body: who tilts with all the world sees another camera tilted. The
        world's y, where not given.
        """
        n = len(joints)
        cameras = self.cameras(n, generator, view)
        root = joints[:, self.skeleton.root].mean(1, keepdim=True)
        joints, vertices = joints - root, vertices - root
        projected = cameras.project(cameras.world_to_camera(joints))
        network_from_world = cameras.rotation.mT @ aim(cameras.translation)  # of rows; the root is the origin
        joints, vertices = joints @ network_from_world, vertices @ network_from_world
        up = network_from_world[:, 1] if up is None else (up[:, None] @ network_from_world)[:, 0]

        visible = self._visible(n, generator)
        center, half = self.framing(projected, visible, generator)
        points = (projected - center[:, None]) / half[:, None]
        pixels = (points + 1) * (self.size / 2) - 0.5
        inside = visible & (pixels > -0.5).all(-1) & (pixels < self.size - 0.5).all(-1)
        wide = (pixels - pixels.mean(1, keepdim=True)).square().sum((1, 2)).sqrt()
        px_per_m = wide / joints[..., :2].square().sum((1, 2)).sqrt()
        depth = joints[..., 2] * px_per_m[:, None]
        blobs, floor = perturb(
            pixels, inside, self.skeleton, self.config.noise, self.size, generator, depth=depth
        )
        match self.inputs:
            case "joints":
                seen = add_floor_to_marginals(render_marginals(blobs, self.size), floor, generator)
            case "coordinates":
                at = (blobs.points[:, :, 0] + 0.5) * (2 / self.size) - 1
                peak = blobs.peak[:, :, :1]
                seen = torch.cat([torch.where(peak > 0, at, 0.0), peak], -1)
            case _:
                seen = add_floor(render(blobs, self.size), floor, generator)
        coarse, fine = vertices.split([len(self.coarse_index), len(rows)], 1)
        return SyntheticBatch(seen, joints, coarse, fine, rows, points, up)

    def cameras(self, n: int, generator: torch.Generator | None, view: Tensor | None = None) -> Cameras:
        """Who looks, one for each of n people."""
        if view is not None:
            return self.rig[view]
        if self.config.cameras == "random":
            return self.config.random_cameras.draw(n, generator, self.device)
        return self.rig[torch.randint(len(self.rig), (n,), generator=generator, device=self.device)]

    def framing(
        self, projected: Tensor, visible: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Middle (N, 2) and half the side (N, 1) of a square about the visible joints (of people COCO's 17)
        of (N, K, 2), a little off.
        """
        far = torch.finfo(projected.dtype).max
        shown, framed = visible[:, : self.framed, None], projected[:, : self.framed]
        low = torch.where(shown, framed, far).amin(1)
        high = torch.where(shown, framed, -far).amax(1)
        u = torch.rand(len(projected), 3, generator=generator, device=self.device)
        least, most = self.config.crop_factor
        side = (high - low).amax(-1, keepdim=True) * (least + (most - least) * u[:, :1])
        center = (low + high) / 2 + side * self.config.crop_shift * (2 * u[:, 1:] - 1)
        return center, side / 2

    def _visible(self, n: int, generator: torch.Generator | None) -> Tensor:
        """(N, K) joints inside the picture."""
        cut = torch.rand(n, generator=generator, device=self.device) < self.config.truncation
        which = torch.randint(len(self.widen.cuts), (n,), generator=generator, device=self.device)
        return ~(cut[:, None] & self.widen.cuts[which])

    def _tilt(self, n: int, generator: torch.Generator | None) -> Tensor:
        """(N, 3, 3) extra rotations of whole bodies: mostly none, some tilted, some turned anyhow."""
        config = self.config.widening
        u = torch.rand(n, 2, generator=generator, device=self.device)
        about = torch.randn(n, 3, generator=generator, device=self.device)
        about[:, 1] = 0  # a horizontal axis; its length makes the angle's spread
        tilted = about * math.radians(config.tilt_deg) * (u[:, :1] < config.tilt)
        quaternion = torch.randn(n, 4, generator=generator, device=self.device)
        anyhow = roma.unitquat_to_rotmat(quaternion / quaternion.norm(dim=-1, keepdim=True))
        return torch.where((u[:, 1] < config.turn)[:, None, None], anyhow, roma.rotvec_to_rotmat(tilted))

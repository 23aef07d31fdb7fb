"""Motion capture -> what the transformer sees and what it should say: storeys 1 to 4 on one page.

    poses -> widened -> body -> virtual camera -> 2D joints -> crop -> noisy heatmaps

All of it batched, on the training device, in the step: nothing of it is ever stored (Section 3.1, Figure 2).
Only the vertices that the step compares are posed.

Letters: N samples, B bones, K joints, V vertices, S heatmap size.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import roma
import torch
from torch import Tensor

from mpt.bodies import Body
from mpt.cameras import Cameras, RandomCameras, h36m_s1
from mpt.heatmaps import HeatmapNoise, add_floor, add_floor_to_marginals, perturb, render, render_marginals
from mpt.skeletons import mirror_name


@dataclass(frozen=True)
class Widening:
    """Poses beyond those captured, made from them. Shares are probabilities for each sample."""

    mirror: float = 0.5
    exchange: float = 0.2
    """Upper and lower bodies exchanged between clips; half of the time an arm instead."""
    perturb: float = 0.4
    perturb_deg: float = 8.0
    """Standard deviation of each bone's extra rotation; each sample draws its own, up to twice this."""
    legs: float = 0.15
    """Legs drawn inside joint limits: a third anyhow, half sitting on a chair, the rest squatting."""
    arms: float = 0.12
    """Arms drawn inside joint limits, the hands often near the head or the chest."""
    bend: float = 0.08
    """Trunks bent forward by up to 70 degrees more."""
    tilt: float = 0.35
    tilt_deg: float = 30.0
    turn: float = 0.08
    """Bodies turned to any orientation at all: lying, falling, upside down."""


NO_WIDENING = Widening(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


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
    """N samples; camera axes, metres about the true mid-hip; crop coordinates in [-1, 1]."""

    seen: Tensor  # heatmaps (N, K, S, S), marginals (N, K, 2, S) or coordinates (N, K, 3)
    joints: Tensor  # (N, K, 3)
    coarse: Tensor  # (N, C, 3)
    vertices: Tensor  # (N, len(rows), 3)
    rows: Tensor  # full vertices that are compared
    points: Tensor  # (N, K, 2) true 2D joints in the crop


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
        self.skeleton = body.skeleton
        self.rig = h36m_s1(config.views).to(device)
        self._name_bones()

    def __call__(self, rotvec: Tensor, generator: torch.Generator | None = None) -> SyntheticBatch:
        """(N, B, 3) stored local rotations, radians -> N samples."""
        config, n = self.config, len(rotvec)
        rotvec = self.widen(rotvec.to(self.device)[:, self.column], generator)
        rotations = roma.rotvec_to_rotmat(rotvec)
        rotations[:, 0] = self._tilt(n, generator) @ rotations[:, 0]
        shape = self.body.sample_shapes(n, generator)

        rows = torch.randperm(len(self.body.template), generator=generator, device=self.device)[
            : config.fine_vertices
        ]
        posed = self.body.subset(torch.cat([self.coarse_index, rows]))(rotations, shape)
        return self.look(posed.vertices, posed.joints, rows, generator)

    def look(
        self, vertices: Tensor, joints: Tensor, rows: Tensor, generator: torch.Generator | None
    ) -> SyntheticBatch:
        """What a virtual camera sees of bodies in world axes: coarse vertices followed by ``rows``."""
        n = len(joints)
        cameras = self._cameras(n, generator)
        root = joints[:, self.skeleton.root].mean(1, keepdim=True)
        joints, vertices = joints - root, vertices - root
        projected = cameras.project(cameras.world_to_camera(joints))
        joints, vertices = joints @ cameras.rotation.mT, vertices @ cameras.rotation.mT

        visible = self._visible(n, generator)
        points = self._crop(projected, visible, generator)
        pixels = (points + 1) * (self.size / 2) - 0.5
        inside = visible & (pixels > -0.5).all(-1) & (pixels < self.size - 0.5).all(-1)
        blobs, floor = perturb(pixels, inside, self.skeleton, self.config.noise, self.size, generator)
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
        return SyntheticBatch(seen, joints, coarse, fine, rows, points)

    def _cameras(self, n: int, generator: torch.Generator | None) -> Cameras:
        if self.config.cameras == "random":
            return self.config.random_cameras.draw(n, generator, self.device)
        return self.rig[torch.randint(len(self.rig), (n,), generator=generator, device=self.device)]

    def _crop(self, projected: Tensor, visible: Tensor, generator: torch.Generator | None) -> Tensor:
        """Pixels (N, K, 2) -> the [-1, 1] of a square crop about the visible joints, a little off."""
        far = torch.finfo(projected.dtype).max
        low = torch.where(visible[..., None], projected, far).amin(1)
        high = torch.where(visible[..., None], projected, -far).amax(1)
        u = torch.rand(len(projected), 3, generator=generator, device=self.device)
        least, most = self.config.crop_factor
        side = (high - low).amax(-1, keepdim=True) * (least + (most - least) * u[:, :1])
        center = (low + high) / 2 + side * self.config.crop_shift * (2 * u[:, 1:] - 1)
        return (projected - center[:, None]) / (side[:, None] / 2)

    def _visible(self, n: int, generator: torch.Generator | None) -> Tensor:
        """(N, K) joints inside the picture."""
        cut = torch.rand(n, generator=generator, device=self.device) < self.config.truncation
        which = torch.randint(len(self.cuts), (n,), generator=generator, device=self.device)
        return ~(cut[:, None] & self.cuts[which])

    def widen(self, rotvec: Tensor, generator: torch.Generator | None) -> Tensor:
        """(N, B, 3) local rotations -> others made from them, as ``config.widening`` says; without tilts."""
        config, n = self.config.widening, len(rotvec)

        def chosen(share: float) -> Tensor:
            return (torch.rand(n, generator=generator, device=self.device) < share)[:, None]

        if config.exchange:
            other = rotvec[torch.randperm(n, generator=generator, device=self.device)]
            group = torch.randint(len(self.groups), (n,), generator=generator, device=self.device)
            taken = chosen(config.exchange) & self.groups[group]  # (N, B)
            rotvec = torch.where(taken[..., None], other, rotvec)
        for share, bones, drawn in (
            (config.legs, self.legs, self._drawn_legs),
            (config.arms, self.arms, self._drawn_arms),
        ):
            if share:
                rotvec = torch.where((chosen(share) & bones)[..., None], drawn(n, generator), rotvec)
        if config.bend:
            angle = math.radians(70) * torch.rand(n, 1, generator=generator, device=self.device)
            rotvec[..., 0] += angle * (chosen(config.bend) & self.spine) / self.spine.sum()
        if config.perturb:
            scale = (
                torch.rand(n, 1, 1, generator=generator, device=self.device)
                * 2
                * math.radians(config.perturb_deg)
            )
            extra = torch.randn(rotvec.shape, generator=generator, device=self.device) * scale
            rotvec = rotvec + extra * (chosen(config.perturb) & self.limbs)[..., None]
        if config.mirror:
            mirrored = rotvec[:, self.bone_flip] * torch.tensor([1.0, -1.0, -1.0], device=self.device)
            rotvec = torch.where(chosen(config.mirror)[..., None], mirrored, rotvec)
        return rotvec

    def _drawn_legs(self, n: int, generator: torch.Generator | None) -> Tensor:
        """(N, B, 3) poses whose hips and knees are drawn inside human limits; in most both legs are alike."""
        u = torch.rand(n, 2, 4, generator=generator, device=self.device)
        alike = torch.rand(n, generator=generator, device=self.device) < 0.6
        u[:, 1] = torch.where(alike[:, None], (u[:, 0] + 0.15 * (u[:, 1] - 0.5)).clamp(0, 1), u[:, 1])
        kind = torch.rand(n, generator=generator, device=self.device)
        limits = self.leg_limits[(kind > 0.34).long() + (kind > 0.84)]  # (N, 4, 2)
        angles = torch.deg2rad(torch.lerp(limits[:, None, :, 0], limits[:, None, :, 1], u))
        flex, spread, turn, bend = angles.unbind(-1)  # (N, 2) each
        axis = torch.eye(3, device=self.device)
        hip = (
            _rotation(-flex[..., None] * axis[0])
            @ _rotation((self.side * spread)[..., None] * axis[2])
            @ _rotation((self.side * turn)[..., None] * axis[1])
        )
        drawn = torch.zeros(n, len(self.bones), 3, device=self.device)
        drawn[:, self.hip_bones] = roma.rotmat_to_rotvec(hip)
        drawn[:, self.knee_bones] = bend[..., None] * axis[0]
        return drawn

    def _drawn_arms(self, n: int, generator: torch.Generator | None) -> Tensor:
        """(N, B, 3) poses whose upper arms point anywhere in front or aside and whose elbows bend freely."""
        u = torch.rand(n, 2, 5, generator=generator, device=self.device)
        aim = torch.stack([self.side * (1.3 * u[..., 0] - 0.3), 2 * u[..., 1] - 1, 1.3 * u[..., 2] - 0.3], -1)
        aim = aim / aim.norm(dim=-1, keepdim=True).clamp_min(1e-3)
        swing = roma.rotvec_to_rotmat(_between_directions(self.arm_rest.expand_as(aim), aim))
        twist = torch.deg2rad(120 * u[..., 3:4] - 60) * self.arm_rest
        forward = torch.tensor([0.0, 0.0, 1.0], device=self.device).expand_as(self.arm_rest)
        hinge = torch.linalg.cross(self.arm_rest, forward)
        drawn = torch.zeros(n, len(self.bones), 3, device=self.device)
        drawn[:, self.shoulder_bones] = roma.rotmat_to_rotvec(swing @ _rotation(twist))
        drawn[:, self.elbow_bones] = torch.deg2rad(145 * u[..., 4:5].sqrt()) * hinge
        return drawn

    def _tilt(self, n: int, generator: torch.Generator | None) -> Tensor:
        """(N, 3, 3) extra rotations of whole bodies: mostly none, some tilted, some turned anyhow."""
        config = self.config.widening
        u = torch.rand(n, 2, generator=generator, device=self.device)
        about = torch.randn(n, 3, generator=generator, device=self.device)
        about[:, 1] = 0  # a horizontal axis; its length makes the angle's spread
        tilted = about * math.radians(config.tilt_deg) * (u[:, :1] < config.tilt)
        quaternion = torch.randn(n, 4, generator=generator, device=self.device)
        anyhow = roma.unitquat_to_rotmat(quaternion / quaternion.norm(dim=-1, keepdim=True))
        return torch.where((u[:, 1] < config.turn)[:, None, None], anyhow, _rotation(tilted))

    def _name_bones(self) -> None:
        """Masks over bones and joints, all made from names."""
        role_of = {bone: role for role, bone in self.body.roles.items()}
        roles = [role_of[bone] for bone in self.bones]

        def bones_with(*words: str) -> Tensor:
            return torch.tensor([any(word in role for word in words) for role in roles], device=self.device)

        def joints_with(*words: str) -> Tensor:
            return torch.tensor(
                [any(word in joint for word in words) for joint in self.skeleton.joints],
                device=self.device,
            )

        arm, leg = ("collar", "shoulder", "elbow", "wrist"), ("hip", "knee", "ankle", "toe")
        left, right, arms = bones_with("left"), bones_with("right"), bones_with(*arm)
        self.legs = bones_with(*leg)
        trunk = bones_with("spine", "neck", "head")
        self.groups = torch.stack([arms | trunk, arms | trunk, arms, arms & left, arms & right])
        self.limbs = bones_with("hip", "knee", "shoulder", "elbow", "neck", "head", "spine")
        self.bone_flip = torch.tensor([roles.index(mirror_name(role)) for role in roles], device=self.device)
        self.arms, self.spine = arms, bones_with("spine")

        self.side = torch.tensor([1.0, -1.0], device=self.device)  # outward is +x for the left limb
        both = [[roles.index(f"{side}_{joint}") for side in ("left", "right")] for joint in _DRAWN_JOINTS]
        self.hip_bones, self.knee_bones, self.shoulder_bones, self.elbow_bones = both
        self.leg_limits = torch.tensor(_LEG_LIMITS_DEG, device=self.device)
        arm = self.body.heads[self.elbow_bones] - self.body.heads[self.shoulder_bones]
        self.arm_rest = arm / arm.norm(dim=-1, keepdim=True)  # (2, 3) where an upper arm points at rest
        face, lower = joints_with("nose", "eye", "ear"), joints_with("knee", "ankle")
        self.cuts = torch.stack(
            [
                joints_with("ankle"),
                lower,
                lower,
                lower | joints_with("hip"),
                lower | joints_with("hip", "wrist"),
                face,
                joints_with("left_wrist", "left_elbow"),
                joints_with("right_wrist", "right_elbow"),
                joints_with(
                    "left_wrist", "left_elbow", "left_shoulder", "left_hip", "left_knee", "left_ankle"
                ),
                joints_with(
                    "right_wrist", "right_elbow", "right_shoulder", "right_hip", "right_knee", "right_ankle"
                ),
            ]
        )


_DRAWN_JOINTS = ("hip", "knee", "shoulder", "elbow")
_LEG_LIMITS_DEG = (  # hip flexion, spread, outward turn; knee flexion
    ((-20.0, 125.0), (-5.0, 45.0), (-30.0, 40.0), (0.0, 145.0)),  # anyhow
    ((70.0, 105.0), (-6.0, 25.0), (-15.0, 20.0), (55.0, 115.0)),  # on a chair
    ((90.0, 130.0), (5.0, 45.0), (-5.0, 35.0), (105.0, 150.0)),  # squatting
)


def _between_directions(a: Tensor, b: Tensor) -> Tensor:
    """(..., 3) axis-angle of the smallest rotation that takes unit vectors a to b."""
    axis = torch.linalg.cross(a, b)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, (a * b).sum(-1, keepdim=True))
    return axis * (angle / sine.clamp_min(1e-6))


def _rotation(rotvec: Tensor) -> Tensor:
    return roma.rotvec_to_rotmat(rotvec)

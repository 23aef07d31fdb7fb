"""Poses beyond those captured, made from them: what may be exchanged, bent or drawn anew on a body, and which
of its joints a picture's edge takes away.

A body is a person or a hand by the role of its root bone; each knows its own parts, all named by roles.

Letters: N samples, B bones, K joints.
"""

import math
from dataclasses import dataclass, fields

import roma
import torch
from torch import Tensor

from mpt.bodies import Body
from mpt.cameras import HAND_CAMERAS, RandomCameras
from mpt.errors import InputError
from mpt.skeletons import mirror_name


@dataclass(frozen=True)
class Widening:
    """Poses beyond those captured, made from them. Shares are probabilities for each sample; of what a body
    has not (a hand its legs), nothing is drawn.
    """

    mirror: float = 0.5
    exchange: float = 0.2
    """Upper and lower bodies exchanged between clips; half of the time an arm instead. Of a hand, fingers."""
    perturb: float = 0.4
    perturb_deg: float = 8.0
    """Standard deviation of each bone's extra rotation; each sample draws its own, up to twice this."""
    ends: float = 0.5
    """Wrists and ankles turned some more: motion capture hardly moves hands."""
    ends_deg: float = 18.0
    """Standard deviation of that turn about each axis."""
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


NO_WIDENING = Widening(**dict.fromkeys((field.name for field in fields(Widening)), 0))


class Widener:
    """Widens local rotations (N, B, 3), radians, of a body's bones in their order.

    Attributes:
        cuts: (cuts, K) joints that are out of the picture together.
        cameras: from where such a body is looked at when it is evaluated.
    """

    cameras: RandomCameras

    groups: tuple[tuple[str, ...], ...]  # words in the roles of bones that are exchanged together
    limbs: tuple[str, ...]  # ... of bones that are perturbed
    ends: tuple[str, ...] = ()  # ... of bones at whose ends hands and feet are
    out_of_picture: tuple[tuple[str, ...], ...]  # words in the names of joints

    def __init__(self, body: Body, config: Widening) -> None:
        self.config, self.device = config, body.template.device
        role_of = {bone: role for role, bone in body.roles.items()}
        self.roles = [role_of[bone] for bone in body.bones]
        self.group_masks = torch.stack([self.bones_with(*words) for words in self.groups])
        self.limb_mask, self.end_mask = self.bones_with(*self.limbs), self.bones_with(*self.ends)
        joints = body.skeleton.joints
        self.cuts = torch.stack([self._named(joints, words) for words in self.out_of_picture])
        flip = [self.roles.index(mirror_name(role)) for role in self.roles]
        two_sided = flip != list(range(len(flip)))
        self.bone_flip = torch.tensor(flip, device=self.device) if two_sided else None

    def __call__(self, rotvec: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(N, B, 3) local rotations -> others made from them; without tilts."""
        config, n = self.config, len(rotvec)
        if config.exchange:
            other = rotvec[torch.randperm(n, generator=generator, device=self.device)]
            group = torch.randint(len(self.group_masks), (n,), generator=generator, device=self.device)
            taken = self.chosen(n, config.exchange, generator) & self.group_masks[group]  # (N, B)
            rotvec = torch.where(taken[..., None], other, rotvec)
        rotvec = self.drawn_anew(rotvec, generator)
        if config.perturb:
            scale = (
                torch.rand(n, 1, 1, generator=generator, device=self.device)
                * 2
                * math.radians(config.perturb_deg)
            )
            extra = torch.randn(rotvec.shape, generator=generator, device=self.device) * scale
            perturbed = self.chosen(n, config.perturb, generator) & self.limb_mask
            rotvec = rotvec + extra * perturbed[..., None]
        if config.ends and self.end_mask.any():
            extra = torch.randn(rotvec.shape, generator=generator, device=self.device)
            turned = self.chosen(n, config.ends, generator) & self.end_mask
            rotvec = rotvec + math.radians(config.ends_deg) * extra * turned[..., None]
        if config.mirror and self.bone_flip is not None:
            mirrored = rotvec[:, self.bone_flip] * torch.tensor([1.0, -1.0, -1.0], device=self.device)
            rotvec = torch.where(self.chosen(n, config.mirror, generator)[..., None], mirrored, rotvec)
        return rotvec

    def drawn_anew(self, rotvec: Tensor, generator: torch.Generator | None) -> Tensor:
        """Some of the poses with whole limbs drawn, not captured."""
        return rotvec

    def chosen(self, n: int, share: float, generator: torch.Generator | None) -> Tensor:
        """(N, 1) bool: this share of the samples."""
        return (torch.rand(n, generator=generator, device=self.device) < share)[:, None]

    def bones_with(self, *words: str) -> Tensor:
        """(B,) bool: bones in whose role one of the words stands, or all of words joined by "&"."""
        return self._named(self.roles, words)

    def _named(self, names, words: tuple[str, ...]) -> Tensor:
        hits = [any(all(part in name for part in word.split("&")) for word in words) for name in names]
        return torch.tensor(hits, device=self.device)


_ARM, _TRUNK, _FEET = (
    ("collar", "shoulder", "elbow", "wrist"),
    ("spine", "neck", "head"),
    ("ankle", "toe", "heel"),
)
_LOWER, _HANDS = ("knee", *_FEET), ("wrist", "knuckle")
_SIDE_OUT = ("shoulder", "elbow", *_HANDS, "hip", *_LOWER)


class PersonWidener(Widener):
    """People: legs sit and squat, arms go anywhere, trunks bend; both sides are alike."""

    cameras = RandomCameras()

    groups = (
        (*_ARM, *_TRUNK),
        (*_ARM, *_TRUNK),
        _ARM,
        tuple(f"left&{part}" for part in _ARM),
        tuple(f"right&{part}" for part in _ARM),
    )
    limbs = ("hip", "knee", "shoulder", "elbow", "neck", "head", "spine")
    ends = ("wrist", "ankle")
    out_of_picture = (
        _FEET,
        _LOWER,
        _LOWER,
        (*_LOWER, "hip"),
        (*_LOWER, "hip", *_HANDS),
        ("nose", "eye", "ear"),
        tuple(f"left&{joint}" for joint in (*_HANDS, "elbow")),
        tuple(f"right&{joint}" for joint in (*_HANDS, "elbow")),
        tuple(f"left&{joint}" for joint in _SIDE_OUT),
        tuple(f"right&{joint}" for joint in _SIDE_OUT),
    )

    def __init__(self, body: Body, config: Widening) -> None:
        super().__init__(body, config)
        self.legs, self.arms = self.bones_with("hip", "knee", "ankle", "toe"), self.bones_with(*_ARM)
        self.spine = self.bones_with("spine")
        self.side = torch.tensor([1.0, -1.0], device=self.device)  # outward is +x for the left limb
        self.hip_bones, self.knee_bones, self.shoulder_bones, self.elbow_bones = (
            [self.roles.index(f"{side}_{joint}") for side in ("left", "right")]
            for joint in ("hip", "knee", "shoulder", "elbow")
        )
        self.leg_limits = torch.tensor(_LEG_LIMITS_DEG, device=self.device)
        arm = body.heads[self.elbow_bones] - body.heads[self.shoulder_bones]
        self.arm_rest = arm / arm.norm(dim=-1, keepdim=True)  # (2, 3) where an upper arm points at rest

    def drawn_anew(self, rotvec: Tensor, generator: torch.Generator | None) -> Tensor:
        config, n = self.config, len(rotvec)
        for share, bones, drawn in (
            (config.legs, self.legs, self._drawn_legs),
            (config.arms, self.arms, self._drawn_arms),
        ):
            if share:
                taken = self.chosen(n, share, generator) & bones
                rotvec = torch.where(taken[..., None], drawn(n, generator), rotvec)
        if config.bend:
            angle = math.radians(70) * torch.rand(n, 1, generator=generator, device=self.device)
            bent = self.chosen(n, config.bend, generator) & self.spine
            rotvec[..., 0] += angle * bent / self.spine.sum()
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
            roma.rotvec_to_rotmat(-flex[..., None] * axis[0])
            @ roma.rotvec_to_rotmat((self.side * spread)[..., None] * axis[2])
            @ roma.rotvec_to_rotmat((self.side * turn)[..., None] * axis[1])
        )
        drawn = torch.zeros(n, len(self.roles), 3, device=self.device)
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
        drawn = torch.zeros(n, len(self.roles), 3, device=self.device)
        drawn[:, self.shoulder_bones] = roma.rotmat_to_rotvec(swing @ roma.rotvec_to_rotmat(twist))
        drawn[:, self.elbow_bones] = torch.deg2rad(145 * u[..., 4:5].sqrt()) * hinge
        return drawn


class HandWidener(Widener):
    """Hands: each finger moves for itself. A hand is right or left, so there is nothing to mirror."""

    cameras = HAND_CAMERAS

    groups = (("thumb",), ("index",), ("middle",), ("ring", "pinky"))
    limbs = ("thumb", "index", "middle", "ring", "pinky")
    out_of_picture = (
        ("wrist",),
        ("wrist", "thumb1"),
        ("4",),
        ("index4", "middle4"),
        ("ring", "pinky"),
        ("thumb3", "thumb4"),
    )


WIDENERS = {"pelvis": PersonWidener, "wrist": HandWidener}
"""By the role of the root bone."""


def widener_of(body: Body) -> type[Widener]:
    """What widens the poses of such a body. Raises InputError for an unknown anatomy."""
    root = {bone: role for role, bone in body.roles.items()}.get(body.bones[0])
    if root not in WIDENERS:
        raise InputError(
            f"the body {body.name} grows from {root or body.bones[0]!r}; known are bodies whose root "
            f"bone has the role {' or '.join(WIDENERS)}: name it so in the body's roles"
        )
    return WIDENERS[root]


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

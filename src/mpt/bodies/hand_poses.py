"""Hands in poses that hands take, drawn inside the limits of their joints: for where no capture exists.

A hand's axes are found on the body at rest, from its joints and its upper side (+y, the back of the hand), so
that one page serves right and left, MANO and Anny. Angles are anatomical: 0 is a finger in line with its
metacarpal, whatever the body's rest pose is.

Limits in degrees. Fingers: MCP -20 to 90, PIP 0 to 102, DIP -5 to 80, within the averages of the American
Academy of Orthopaedic Surgeons; DIP follows 2/3 of PIP, and spreading ends as the MCP bends (Lin, Wu and
Huang 2000, "Modeling the constraints of human hand motion"). Thumb: MCP 0 to 55, IP -15 to 80; its metacarpal
comes up to 60 out of the palm's plane, from 60 aside to 20 beyond the middle finger (opposition), and then
bends towards the little finger's base.

Letters: N poses, B moving bones, K joints (HAND21).
"""

from dataclasses import dataclass
from itertools import pairwise

import roma
import torch
from torch import Tensor

from mpt.bodies.body import Body
from mpt.errors import InputError

FINGERS = ("index", "middle", "ring", "pinky")
_BENDING = [f"{finger}{k}" for finger in ("thumb", *FINGERS) for k in (1, 2, 3)]
LIMITS_DEG = {"mcp": (-20.0, 90.0), "pip": (0.0, 102.0), "dip": (-5.0, 80.0)}
TOGETHER_DEG = (2.0, 0.0, -2.0, -4.0)  # fingers' directions, towards the thumb, held together ...
SPREAD_DEG = (20.0, 4.0, -12.0, -30.0)  # ... and spread
THUMB_DEG = {"aside": (-20.0, 60.0), "out": (0.0, 60.0), "mcp": (0.0, 55.0), "ip": (-15.0, 80.0)}
SHARES = {"anyhow": 0.3, "together": 0.25, "counting": 0.2, "pinch": 0.15, "relaxed": 0.1}
CLOSE = 0.05  # of the hand's length, 9 mm of an adult's: bones of different fingers that are nearer collide
PINCH = 0.065  # between the tips, which are points of the skin
BATCH = 20000
TRIES = 24  # pinches drawn, of which the best is kept


@dataclass(frozen=True)
class _Angles:
    """Radians. fingers: (N, 4, 4) towards the thumb, MCP, PIP, DIP of FINGERS; thumb: (N, 4) aside, out of
    the palm's plane, MCP, IP.
    """

    fingers: Tensor
    thumb: Tensor

    def __getitem__(self, which) -> "_Angles":
        return _Angles(self.fingers[which], self.thumb[which])


@dataclass(frozen=True)
class _Anatomy:
    """A hand at rest."""

    joints: dict[str, Tensor]  # (3,) each
    axes: Tensor  # (3, 3) rows: to the middle finger, to the thumb's side, out of the back
    hinges: Tensor  # (4, 3) about which each finger bends
    bent: Tensor  # (4, 4) angles of the fingers at rest, as _Angles has them
    length: float  # from the wrist to the tip of the middle finger, stretched

    @staticmethod
    def of(body: Body) -> "_Anatomy":
        if missing := sorted({"wrist", *_BENDING} - set(body.roles)):
            raise InputError(
                f"hand poses were asked of the body {body.name}, which has no moving bone {missing[0]!r}; "
                "take anny-hand, or a body file of MANO"
            )
        rest = body.rest(body.template.new_zeros(1, body.shape_count)).joints[0].double()
        at = dict(zip(body.skeleton.joints, rest))
        wrist = at["wrist"]
        forward = _unit(at["middle1"] - wrist)
        back = torch.linalg.cross(at["index1"] - wrist, at["pinky1"] - wrist)
        back = _unit(back - (back @ forward) * forward) * back[1].sign()
        radial = torch.linalg.cross(back, forward)
        radial = radial * ((at["index1"] - at["pinky1"]) @ radial).sign()

        knuckles = torch.stack([at[f"{finger}1"] for finger in FINGERS])
        along = knuckles[[0, 0, 1, 2]] - knuckles[[1, 2, 3, 3]]  # the row of knuckles is an arch
        backs = torch.linalg.cross(_unit(knuckles - wrist), _unit(along))
        backs = _unit(_unit(backs) * (backs @ back).sign()[:, None] + back)
        points = torch.stack([torch.stack([at[f"{f}{k}"] for f in FINGERS]) for k in (1, 2, 3)], 1)
        hinges = _unit(torch.linalg.cross(backs, points[:, 2] - points[:, 0]))
        parts = torch.cat([(knuckles - wrist)[:, None], points.diff(dim=1)], 1)  # (4, 3, 3)
        bends = _angle_about(hinges[:, None], parts[:, :-1], parts[:, 1:])  # (4, 2) MCP, PIP
        aside = torch.atan2(parts[:, 1] @ radial, parts[:, 1] @ forward)
        # A tip is a vertex of the skin, off its bone's axis: the last bend is told by the one before.
        bent = torch.cat([aside[:, None], bends, bends[:, 1:] * 2 / 3], 1)
        chain = [wrist, *points[1], at["middle4"]]
        length = sum(float((b - a).norm()) for a, b in pairwise(chain))
        return _Anatomy(at, torch.stack([forward, radial, back]), hinges, bent, length)

    @property
    def thumb_ray(self) -> Tensor:  # (3,)
        return _unit(self.joints["thumb3"] - self.joints["thumb1"])

    def thumb_frame(self, ray: Tensor) -> Tensor:
        """(N, 3) directions of the thumb -> (N, 3, 3) its axes, columns: along, to where it bends, hinge."""
        at, (_, _, back) = self.joints, self.axes
        middle = at["thumb1"] + ray * (at["thumb3"] - at["thumb1"]).norm() / 2
        bend = at["pinky1"] - 0.1 * self.length * back - middle
        bend = _unit(bend - (bend * ray).sum(-1, keepdim=True) * ray)
        return torch.stack([ray, bend, torch.linalg.cross(ray, bend)], -1)


def sample_hand_poses(body: Body, count: int, generator: torch.Generator | None = None) -> Tensor:
    """(count, B, 3) local rotations, axis-angle, of the body's moving bones; the wrist rests.

    A mixture (SHARES): fingers anyhow, all bent alike, some stretched and the others bent (counting,
    pointing), the thumb at a fingertip, relaxed. Poses in which fingers run through each other or the palm
    are drawn again; slight contact stays.
    """
    anatomy = _Anatomy.of(body)
    skeletal = body.subset(torch.arange(0, device=body.template.device))  # joints without the skin
    found = [body.template.new_zeros(0, len(body.moving_bones), 3)]
    in_vain = 0
    while (missing := count - sum(map(len, found))) > 0:
        found.append(_draw(anatomy, skeletal, min(2 * missing, BATCH), generator)[:missing])
        in_vain = 0 if len(found[-1]) else in_vain + 1
        if in_vain == 20:
            raise InputError(
                f"hand poses were asked of the body {body.name}, whose joints do not lie as a hand's: its "
                "fingers run through each other in every pose; make the body file again"
            )
    return torch.cat(found)


def to_rotations(body: Body, rotvec: Tensor) -> Tensor:
    """(N, B, 3) axis-angle of the moving bones -> (N, bones, 3, 3) of all, the others at rest."""
    rotations = torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)
    rotations = rotations.repeat(len(rotvec), len(body.bones), 1, 1)
    moving = [body.bones.index(bone) for bone in body.moving_bones]
    rotations[:, moving] = roma.rotvec_to_rotmat(rotvec)
    return rotations


def _draw(anatomy: _Anatomy, body: Body, count: int, generator: torch.Generator | None) -> Tensor:
    """At most count poses, in the order of their drawing: those of them in which nothing collides."""
    random = _Random(generator)
    share = torch.tensor(list(SHARES.values()))
    kinds = torch.multinomial(share, count, replacement=True, generator=generator)
    angles = _Angles(torch.empty(count, 4, 4).double(), torch.empty(count, 4).double())
    for kind, name in enumerate(SHARES):
        which = (kinds == kind).nonzero()[:, 0]
        if not len(which):
            continue
        drawn = _DRAWN[name](random, len(which) * (TRIES if name == "pinch" else 1))
        if name == "pinch":
            drawn = _pinching(anatomy, body, drawn, random)
        angles.fingers[which], angles.thumb[which] = drawn.fingers, drawn.thumb
    poses = _rotvec(anatomy, body, angles)
    return poses[~_collides(anatomy, _joints(body, poses))]


def _joints(body: Body, poses: Tensor) -> Tensor:
    """(N, 21, 3) on the mean shape."""
    shape = body.template.new_zeros(1, body.shape_count)
    return torch.cat([body(to_rotations(body, some), shape).joints for some in poses.split(BATCH)])


def _rotvec(anatomy: _Anatomy, body: Body, angles: _Angles) -> Tensor:
    """Angles -> (N, B, 3) of the body's moving bones."""
    forward, radial, back = anatomy.axes
    aside, *bends = (angles.fingers - anatomy.bent).unbind(-1)  # (N, 4) each
    spread = torch.linalg.cross(forward, radial)  # turns towards the thumb
    bend = [roma.rotvec_to_rotmat(angle[..., None] * anatomy.hinges) for angle in bends]
    turns = {f"{finger}{k + 1}": bend[k][:, i] for i, finger in enumerate(FINGERS) for k in (0, 1, 2)}
    sideways = roma.rotvec_to_rotmat(aside[..., None] * spread)
    turns |= {f"{finger}1": sideways[:, i] @ turns[f"{finger}1"] for i, finger in enumerate(FINGERS)}

    around, out, mcp, ip = angles.thumb.unbind(-1)
    ray = (around.cos()[:, None] * forward + around.sin()[:, None] * radial) * out.cos()[:, None]
    frame = anatomy.thumb_frame(ray - out.sin()[:, None] * back)
    rest = anatomy.thumb_frame(anatomy.thumb_ray[None])[0]
    at = anatomy.joints
    parts = torch.stack([at[f"thumb{k + 1}"] - at[f"thumb{k}"] for k in (1, 2)])
    bent = _angle_about(rest[:, 2], parts[0], parts[1])
    turns["thumb1"] = frame @ rest.T
    turns["thumb2"] = roma.rotvec_to_rotmat((mcp - bent)[:, None] * rest[:, 2])
    turns["thumb3"] = roma.rotvec_to_rotmat(ip[:, None] * rest[:, 2])

    role_of = {bone: role for role, bone in body.roles.items()}
    still = torch.eye(3, dtype=torch.float64).expand(len(mcp), 3, 3)
    turns = [turns.get(role_of[bone], still) for bone in body.moving_bones]
    return roma.rotmat_to_rotvec(torch.stack(turns, 1)).to(body.template.dtype)


def _collides(anatomy: _Anatomy, joints: Tensor) -> Tensor:
    """(N,) fingers' bones nearer than CLOSE to another finger's or to the palm's."""
    names = list(anatomy.joints)
    at = dict(zip(names, joints.unbind(1)))
    steps = torch.linspace(0, 1, 4, dtype=joints.dtype)[1:, None]

    def between(a: str, b: str) -> Tensor:  # (N, 3, 3) points on a bone, its end among them
        return torch.lerp(at[a][:, None], at[b][:, None], steps)

    distal = [torch.cat([between(f"{f}{k}", f"{f}{k + 1}") for k in (2, 3)], 1) for f in ("thumb", *FINGERS)]
    proximal = [between(f"{f}1", f"{f}2") for f in ("thumb", *FINGERS)]
    palm = torch.cat([between("wrist", f"{f}1") for f in FINGERS], 1)
    close = CLOSE * anatomy.length
    bad = torch.zeros(len(joints), dtype=torch.bool)
    for i, one in enumerate(distal):
        others = [distal[j] for j in range(i + 1, 5)] + [proximal[j] for j in range(5) if j != i] + [palm]
        bad |= (torch.cdist(one, torch.cat(others, 1)) < close).flatten(1).any(1)
        bad |= (torch.cdist(one[:, -1:], proximal[i]) < close).flatten(1).any(1)
    return bad


def _pinching(anatomy: _Anatomy, body: Body, drawn: _Angles, random: "_Random") -> _Angles:
    """Of each TRIES poses the one in which the thumb's tip is best at a finger's, mostly the index's."""
    joints = _joints(body, _rotvec(anatomy, body, drawn)).unflatten(0, (-1, TRIES))
    tips = [list(anatomy.joints).index(f"{finger}4") for finger in ("thumb", *FINGERS)]
    thumb, *_ = at = joints[:, :, tips].unbind(2)
    apart = (torch.stack(at[1:], 2) - thumb[:, :, None]).norm(dim=-1)  # (n, TRIES, 4)
    share = torch.tensor([0.5, 0.2, 0.15, 0.15])
    finger = torch.multinomial(share, len(apart), replacement=True, generator=random.generator)
    apart = apart.gather(2, finger[:, None, None].expand(-1, TRIES, 1))[..., 0]
    off = (apart - PINCH * anatomy.length).abs()
    off = off + anatomy.length * _collides(anatomy, joints.flatten(0, 1)).view_as(off)
    best = off.argmin(1) + torch.arange(len(off)) * TRIES
    return drawn[best]


@dataclass(frozen=True)
class _Random:
    generator: torch.Generator | None

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=self.generator, dtype=torch.float64)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)


def _anyhow(random: _Random, n: int) -> _Angles:
    curl = random.uniform(n, 4, 2)
    # A finger takes its neighbours along.
    curl = 0.7 * curl + 0.15 * (curl[:, [0, 0, 1, 2]] + curl[:, [1, 2, 3, 3]])
    curl = (0.5 + 1.3 * (curl - 0.5)).clamp(0, 1)
    return _Angles(_fingers(random, curl[..., 0], curl[..., 1]), _thumb(random, n))


def _together(random: _Random, n: int) -> _Angles:
    curl = (random.uniform(n, 1, low=-0.1, high=1.1) + 0.1 * random.normal(n, 4)).clamp(0, 1)
    knuckle = (curl + 0.2 * random.normal(n, 1)).clamp(0, 1)  # hooks and flat bends too
    return _Angles(_fingers(random, knuckle, curl), _thumb(random, n))


def _counting(random: _Random, n: int) -> _Angles:
    down = random.uniform(n, 4) < 0.5
    up = 0.15 * random.uniform(n, 4, 2)
    bent = 1 - 0.3 * random.uniform(n, 4, 2)
    curl = torch.where(down[..., None], bent, up)
    return _Angles(_fingers(random, curl[..., 0], curl[..., 1]), _thumb(random, n))


def _pinch(random: _Random, n: int) -> _Angles:
    curl = random.uniform(n, 1, low=0.15, high=0.75) + 0.12 * random.normal(n, 4)
    other = (random.uniform(n, 1, low=-0.2, high=0.4) + 0.08 * random.normal(n, 4)).clamp(0, 1)
    curl = torch.where(random.uniform(n, 4) < 0.5, curl, other).clamp(0, 1)
    return _Angles(
        _fingers(random, curl, (0.8 * curl + 0.08 * random.normal(n, 4)).clamp(0, 1)), _thumb(random, n)
    )


def _relaxed(random: _Random, n: int) -> _Angles:
    more = torch.tensor([0.0, 0.05, 0.1, 0.14], dtype=torch.float64)
    curl = (0.32 + more + 0.08 * random.normal(n, 1) + 0.04 * random.normal(n, 4)).clamp(0, 1)
    return _Angles(_fingers(random, curl, curl), _thumb(random, n))


_DRAWN = {
    "anyhow": _anyhow,
    "together": _together,
    "counting": _counting,
    "pinch": _pinch,
    "relaxed": _relaxed,
}


def _fingers(random: _Random, knuckle: Tensor, curl: Tensor) -> Tensor:
    """(N, 4) shares of the bend of MCP and of PIP and DIP -> (N, 4, 4) angles, radians."""
    n = len(curl)
    mcp = torch.lerp(*_ends("mcp", knuckle), knuckle)
    pip = torch.lerp(*_ends("pip", curl), curl)
    low, high = LIMITS_DEG["dip"]
    dip = (2 / 3 * pip + 6 * random.normal(n, 4)).clamp(low, high)
    together, spread = (knuckle.new_tensor(angles) for angles in (TOGETHER_DEG, SPREAD_DEG))
    wide = random.uniform(n, 1) * (1 - mcp.clamp_min(0) / LIMITS_DEG["mcp"][1])
    aside = torch.lerp(together, spread, wide) + 2 * random.normal(n, 4)
    return torch.deg2rad(torch.stack([aside, mcp, pip, dip], -1))


def _ends(joint: str, like: Tensor) -> list[Tensor]:
    return [torch.full_like(like, end) for end in LIMITS_DEG[joint]]


def _thumb(random: _Random, n: int) -> Tensor:
    """(N, 4) angles, radians: beside the palm, out of it, or opposed to the fingers; then it bends more."""
    low, high = torch.tensor(list(THUMB_DEG.values()), dtype=torch.float64).T
    u = random.uniform(n, 4)
    u[:, 1] = u[:, 1].maximum(0.6 * (1 - u[:, 0]))  # in front of the palm, not within it
    u[:, 2:] = u[:, 2:] * (0.5 + 0.5 * random.uniform(n, 1))
    return torch.deg2rad(low + u * (high - low))


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)


def _angle_about(axis: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Radians by which a turns to b about the axis (unit), seen along it."""
    a, b = (v - (v * axis).sum(-1, keepdim=True) * axis for v in (a, b))
    return torch.atan2((torch.linalg.cross(a, b) * axis).sum(-1), (a * b).sum(-1))

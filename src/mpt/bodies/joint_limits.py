"""How people bend their joints: the mean, the spread and the limits of each, as motion capture shows them.

A joint's rotation R is told from its mean M by the axis-angle e = log(R M^T), in the frame of the bone
above, along the principal axes of what was captured: a knee bends widely about one of them, and hardly about
the others. The tables in ``data/joint_limits.json`` are of Anny's people and hands, by role;
``docs/make_limits.py`` makes them.

Letters as in ``body.py``: N bodies, B bones.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

import numpy as np
import roma
import torch
from torch import Tensor

from mpt.bodies.body import Body
from mpt.bodies.retarget import rest_alignments, swing

LEAST = np.radians(2.0)  # no joint is stiffer: a standard deviation, and how softly a limit holds
RARE = 0.001  # share of what was captured that lies below the lower limit, and above the upper one
MIRROR = (1.0, -1.0, -1.0)  # of an axis-angle in a mirror across x


@dataclass(frozen=True, eq=False)
class JointLimits:
    """Of each bone of one body; a bone of which nothing is known bends freely."""

    mean: Tensor  # (B, 3, 3)
    axes: Tensor  # (B, 3, 3) principal axes, as rows
    precision: Tensor  # (B, 3) inverse of the variance along each, 1 / rad^2; 0 where nothing is known
    low: Tensor  # (B, 3) radians
    high: Tensor  # (B, 3)

    def bent(self, rotations: Tensor) -> Tensor:
        """(N, B, 3) axis-angles from the mean to local rotations (N, B, 3, 3)."""
        return _log(rotations @ self.mean.mT)

    def penalty(self, bent: Tensor) -> Tensor:
        """(N,) -2 log-likelihood of what is bent so (N, B, 3), which rises steeply beyond limits."""
        along = self._along(bent)
        return (self.precision * along.square() + (self._beyond(along) / LEAST).square()).sum((1, 2))

    def equations(self, bent: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
        """Normal equations (N, B, 3, 3) and (N, B, 3) of a turn of each bone in world axes.

        bent: (N, B, 3). above: (N, B, 3, 3) world rotation of each bone's parent.
        """
        along, derivative = self._along(bent), self.axes @ _log_derivative(bent) @ above.mT
        beyond = self._beyond(along)
        weight = self.precision + (beyond != 0) / LEAST**2
        pull = self.precision * along + beyond / LEAST**2
        gram = derivative.mT @ (weight[..., None] * derivative)
        return gram, -(derivative.mT @ pull[..., None])[..., 0]

    def _along(self, bent: Tensor) -> Tensor:
        return (self.axes @ bent[..., None])[..., 0]

    def _beyond(self, along: Tensor) -> Tensor:
        return along - torch.minimum(torch.maximum(along, self.low), self.high)


def limits_of(body: Body) -> JointLimits:
    """What is known of a body's joints, by their roles: people's or hands', whatever rest pose it has."""
    tables = _tables()
    hand = "thumb1" in body.roles
    table = tables["hand" if hand else "people"]
    left = body.metadata.get("side") == "left"
    seen = replace(body, heads=body.heads * body.heads.new_tensor([-1, 1, 1])) if left else body
    laid = _laid_fingers(seen, table) if hand else _laid_limbs(seen, table)
    mirror = np.array(MIRROR) if left else np.ones(3)
    count = len(body.bones)
    mean, axes = (np.tile(np.eye(3), (count, 1, 1)) for _ in range(2))
    precision, low, high = np.zeros((count, 3)), np.full((count, 3), -np.inf), np.full((count, 3), np.inf)
    for role, bone in body.roles.items():
        b = body.bones.index(bone)
        if b == 0 or role not in table["joints"]:  # the root turns freely
            continue
        joint = table["joints"][role]
        above, own = laid.get(_role(body, body.parents[b]), np.eye(3)), laid.get(role, np.eye(3))
        mean[b] = _flipped(above.T @ _matrix(joint["mean_deg"]) @ own, mirror)
        axes[b] = _matrix(joint["axes_deg"]) @ above * mirror
        precision[b] = np.radians(joint["std_deg"]) ** -2.0
        low[b], high[b] = (np.radians(joint[end]) for end in ("low_deg", "high_deg"))
    found = (torch.from_numpy(part).to(body.template) for part in (mean, axes, precision, low, high))
    return JointLimits(*found)


def free_limits(body: Body) -> JointLimits:
    """Of a body of whose joints nothing is known."""
    straight = torch.eye(3).to(body.heads).expand(len(body.bones), 3, 3)
    none = torch.zeros_like(body.heads)
    return JointLimits(straight, straight, none, none - torch.inf, none + torch.inf)


def learned(rotvec: Tensor) -> dict[str, list[float]]:
    """A joint's row of the table from its local rotations (N, 3), axis-angle in radians."""
    rotations = roma.rotvec_to_rotmat(rotvec.double())
    mean: Tensor = roma.special_procrustes(rotations.mean(0))  # pyright: ignore[reportAssignmentType]
    bent = roma.rotmat_to_rotvec(rotations @ mean.mT)
    variance, axes = torch.linalg.eigh(bent.mT @ bent / len(bent))
    axes = axes * torch.linalg.det(axes)
    ends = torch.quantile(bent @ axes, bent.new_tensor([RARE, 1 - RARE]), dim=0)
    row = {
        "mean_deg": roma.rotmat_to_rotvec(mean),
        "axes_deg": roma.rotmat_to_rotvec(axes.mT),
        "std_deg": variance.clamp_min(LEAST**2).sqrt(),
        "low_deg": ends[0],
        "high_deg": ends[1],
    }
    return {name: [round(v, 2) for v in values.rad2deg().tolist()] for name, values in row.items()}


@cache
def _tables() -> dict:
    return json.loads((resources.files("mpt") / "data" / "joint_limits.json").read_text("utf-8"))


def _laid_limbs(body: Body, table: Mapping) -> dict[str, np.ndarray]:
    """(3, 3) of each role: what lays the body's limb at rest on that of the table's."""
    known = rest_alignments(body, table["rest_m"])
    return {role: known.get(role, known["trunk"]) for role in body.roles}


def _laid_fingers(body: Body, table: Mapping) -> dict[str, np.ndarray]:
    """... of each finger's bones; its last goes on as the one before."""
    heads = dict(zip(body.bones, body.heads.double().cpu().numpy()))
    theirs = {role: np.array(at) for role, at in table["rest_m"].items()}
    laid: dict[str, np.ndarray] = {}
    for finger in ("thumb", "index", "middle", "ring", "pinky"):
        turn = np.eye(3)
        for start, end in ((f"{finger}1", f"{finger}2"), (f"{finger}2", f"{finger}3")):
            ours = heads[body.roles[end]] - heads[body.roles[start]]
            turn = swing(turn @ ours, theirs[end] - theirs[start]) @ turn
            laid[start] = laid[end] = turn
    return laid


def _role(body: Body, bone: int) -> str:
    """What a bone is; of one that has no role, its nearest ancestor that has."""
    names = {name: role for role, name in body.roles.items()}
    while bone >= 0 and body.bones[bone] not in names:
        bone = body.parents[bone]
    return names[body.bones[bone]] if bone >= 0 else ""


def _matrix(rotvec_deg: list[float]) -> np.ndarray:
    return roma.rotvec_to_rotmat(torch.tensor(rotvec_deg, dtype=torch.float64).deg2rad()).numpy()


def _flipped(rotation: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    return mirror[:, None] * rotation * mirror


def _log(rotations: Tensor) -> Tensor:
    """(..., 3, 3) -> axis-angles (..., 3). In a third of the operations that roma's way through quaternions
    takes; of half turns the axis is as rough as the matrix, but nobody bends a joint so far.
    """
    twice = rotations - rotations.mT
    axis = torch.stack([twice[..., 2, 1], twice[..., 0, 2], twice[..., 1, 0]], -1)
    sine = axis.norm(dim=-1, keepdim=True)  # twice it, and twice the cosine
    cosine = rotations.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True) - 1
    return axis * (torch.atan2(sine, cosine) / sine.clamp_min(1e-6)).where(sine > 1e-6, 0.5)


def _log_derivative(bent: Tensor) -> Tensor:
    """(..., 3) axis-angle e -> (..., 3, 3): how log(exp(d) exp(e)) grows with a small turn d.

    The inverse of SO(3)'s left Jacobian, 1 - [e]/2 + (1 - a/2 cot(a/2)) [e]^2 / a^2 with a = |e|.
    """
    angle = bent.norm(dim=-1).clamp_min(1e-4)[..., None, None]
    x, y, z = bent.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    factor = (1 - angle / 2 / (angle / 2).tan()) / angle.square()
    return torch.eye(3).to(bent) - cross / 2 + factor * (cross @ cross)

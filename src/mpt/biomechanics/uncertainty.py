"""How sure joint angles are, by how sure the joints are between which the segments lie.

To first order, the errors of joints taken as independent of each other: var(angle) is the sum of
|d angle / d joint|^2 times the joint's variance. The derivatives are of the angles between lines through
joints, so that only those angles have a deviation which such lines show: no turn of a segment about itself.
Errors of neighbours go together, and the body laid on the mesh bends as people do, so that angles are mostly
nearer than that: what is found is scaled to the errors measured on held-out poses (benchmarks/angles.py).

Letters: F frames, K joints. Axes as in ``axes.py``.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mpt.skeletons import Skeleton

MEASURED = {
    "pelvis_rotation": 1.3,
    "pelvis_list": 0.85,
    "hip_adduction": 0.8,
    "knee_angle": 0.7,
    "ankle_angle": 0.35,
    "arm_flex": 0.9,
    "arm_add": 0.55,
    "elbow_flex": 0.55,
}
"""How large the errors of the package's model are, of those that independent joints would make."""
PELVIS_DEG = {"pelvis_tilt": 13.0, "hip_flexion": 13.0}
"""What is added where the pelvis is tilted in the trunk, which joints do not show."""

Joints = Callable[[str], Tensor]
"""The (F, 3) of a joint by its name."""


def angles_std_deg(skeleton: Skeleton, joints: np.ndarray, std_m: np.ndarray) -> dict[str, np.ndarray]:
    """Angles that lines through joints show -> their standard deviations (F,) in degrees.

    joints: (F, K, 3) in OpenSim's axes. std_m: (F, K) of each joint along any axis.
    """
    at = torch.from_numpy(joints).requires_grad_()
    shown = _shown(lambda joint: at[:, skeleton.index(joint)], "left_heel" in skeleton.joints)
    found = {}
    for name, angle in shown.items():
        (slope,) = torch.autograd.grad(angle.sum(), at, retain_graph=True)  # of each frame its own
        slope = slope.numpy()
        left, right = skeleton.root  # between which the origin is: one is off as the other is, the other way
        slope[:, [left, right]] = (slope[:, [left]] - slope[:, [right]]) / np.sqrt(2)
        degrees = np.degrees(np.sqrt((np.square(slope).sum(2) * np.square(std_m)).sum(1)))
        kind = name.removesuffix("_r").removesuffix("_l")
        found[name] = np.hypot(MEASURED.get(kind, 1.0) * degrees, PELVIS_DEG.get(kind, 0.0))
    return found


def _shown(at: Joints, feet: bool) -> dict[str, Tensor]:
    """(F,) radians, but for their zero those of ``angles.py``."""
    pelvis, torso = _trunk(at, "hip"), _trunk(at, "shoulder")
    right = pelvis[:, :, 2]
    found = {
        "pelvis_rotation": torch.atan2(right[:, 0], right[:, 2]),
        "pelvis_list": torch.asin(right[:, 1].clamp(-1, 1)),
        "pelvis_tilt": _tilt(pelvis),
    }
    for side in ("right", "left"):
        hip, knee, ankle, shoulder, elbow, wrist = (
            at(f"{side}_{joint}") for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
        )
        limbs = {
            **_hanging("hip_flexion", "hip_adduction", pelvis, knee - hip),
            "knee_angle": _between(knee - hip, ankle - knee),
            **_hanging("arm_flex", "arm_add", torso, elbow - shoulder),
            "elbow_flex": _between(elbow - shoulder, wrist - elbow),
        }
        if feet:
            limbs["ankle_angle"] = _between(knee - ankle, at(f"{side}_big_toe") - at(f"{side}_heel"))
        found |= {f"{name}_{side[0]}": angle for name, angle in limbs.items()}
    return found


def _trunk(at: Joints, joint: str) -> Tensor:
    """(F, 3, 3) frame of pelvis or torso: z to the right joint from the left one, y as the trunk goes."""
    z = _unit(at(f"right_{joint}") - at(f"left_{joint}"))
    trunk = at("left_shoulder") + at("right_shoulder") - at("left_hip") - at("right_hip")
    x = _unit(torch.linalg.cross(trunk, z))
    return torch.stack([x, torch.linalg.cross(z, x), z], -1)


def _tilt(pelvis: Tensor) -> Tensor:
    up, right = pelvis[:, :, 1], pelvis[:, :, 2]
    ahead = torch.stack([right[:, 2], torch.zeros_like(right[:, 0]), -right[:, 0]], -1)
    return torch.atan2(-(up * _unit(ahead)).sum(1), up[:, 1])


def _hanging(flexion: str, adduction: str, above: Tensor, limb: Tensor) -> dict[str, Tensor]:
    """The two angles of a limb (F, 3) against the segment from which it hangs, but for its side's sign."""
    x, y, z = _unit((above.mT @ limb[..., None])[..., 0]).unbind(-1)
    return {flexion: torch.atan2(x, -y), adduction: torch.asin(-z.clamp(-1, 1))}


def _between(one: Tensor, other: Tensor) -> Tensor:
    """(F,) angle between vectors, about the axis about which they are bent; of straight ones about any."""
    straight = 1e-9 * torch.linalg.cross(one, one.roll(1, -1))
    bent = torch.linalg.cross(one, other)
    axis = _unit((bent + straight).detach())
    return torch.atan2((bent * axis).sum(1), (one * other).sum(1))


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)

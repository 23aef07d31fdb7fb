"""Which way is up in the world that a person moves through, where the rest pose does not tell it."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import roma
import torch

from mpt.mocap.limbs import find_limbs
from mpt.mocap.motion import Motion

Up = Literal["y", "z", "y-down"]
AXES: dict[Up, tuple[float, float, float]] = {"y": (0, 1, 0), "z": (0, 0, 1), "y-down": (0, -1, 0)}
OURS = np.array([0.0, 1.0, 0.0])

ALONG = 0.6  # the cosine within which a trunk goes along an axis
FLOOR_M = 0.2  # within which the lowest joint is on a floor
LYING_M = 0.05  # above the floor's zero: a pelvis that lies there
LOOKED_AT = 200  # frames


def upright(
    motion: Motion, axes: np.ndarray, name: str, *, up: Up | None = None, others: Sequence[Up] = ("y", "z")
) -> Motion:
    """The motion with the world's up turned to y; its rest pose stays.

    axes: (3, 3) from the file's axes to those that ``motion`` is in now, whose y is the file's habit or its
    rest pose's up. ``up`` says which file axis it is. Without it, another of the axes ``others`` is taken
    where the trunk goes along it over all frames, unless everybody lies on the floor that the habit has; both
    are told in a warning that begins with ``name``.
    """
    if up is None:
        told, why = _told_by_motion(motion, {other: axes @ AXES[other] for other in others})
        if why:
            warnings.warn(f"{name}: {why}", stacklevel=3)
    else:
        told = axes @ AXES[up]
    return motion if told @ OURS > 0.5 else _turned(motion, told)


def _told_by_motion(motion: Motion, others: dict[Up, np.ndarray]) -> tuple[np.ndarray, str]:
    """Up in the motion's axes, and what to say of it."""
    limbs = find_limbs(motion.joints, motion.parents.tolist(), motion.offsets, motion.joint_map)
    frames = np.linspace(0, len(motion) - 1, min(len(motion), LOOKED_AT)).astype(int)
    if limbs.missing:
        return OURS, ""
    places = replace(motion, rotvec=motion.rotvec[frames], trans=motion.trans[frames]).positions()
    hips = (places[:, limbs.joints["left_hip"]] + places[:, limbs.joints["right_hip"]]) / 2
    trunk = places[:, limbs.joints["neck"]] - hips
    way = (trunk / np.maximum(np.linalg.norm(trunk, axis=1, keepdims=True), 1e-9)).mean(0)

    def lowest(along: np.ndarray) -> float:
        return float(np.median((places @ along).min(1)))

    lies = abs(lowest(OURS)) < FLOOR_M and np.median(hips @ OURS) > LYING_M
    for other, along in others.items():
        if abs(along @ OURS) > 0.5 or way @ along < max(ALONG, way @ OURS):
            continue
        stands = abs(lowest(along)) < FLOOR_M
        habit = "y" if other == "z" else "z"
        # Most files are y up whatever their rest pose: a z must show its floor, a y only that nobody lies.
        if (stands and not lies) if other == "z" else (stands or not lies):
            return along, (
                f"its people stand along the file's {other} axis in all frames, which is taken as up; "
                f"if they lie, say so with up={habit} (--up {habit})"
            )
        return OURS, (
            f"its people lie along the file's {other} axis in all frames; if they stand, say so with "
            f"up={other} (--up {other})"
        )
    return OURS, ""


def _turned(motion: Motion, up: np.ndarray) -> Motion:
    left = np.array([1.0, 0, 0]) if abs(up[0]) < 0.75 else np.array([0, 0, 1.0])
    left = left - (left @ up) * up
    left /= np.linalg.norm(left)
    turn = np.stack([left, up, np.cross(left, up)])
    root = torch.from_numpy(turn) @ roma.rotvec_to_rotmat(torch.from_numpy(motion.rotvec[:, 0]))
    rotvec = np.concatenate([roma.rotmat_to_rotvec(root).numpy()[:, None], motion.rotvec[:, 1:]], axis=1)
    return replace(motion, rotvec=rotvec, trans=motion.trans @ turn.T)

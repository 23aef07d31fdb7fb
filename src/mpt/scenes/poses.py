"""A few poses written by hand: degrees of turning of each role's bone from the rest pose (an A-pose).

Each entry is (x, y, z): first about x (to the person's left), then y (up), then z (forward) of the rest pose.
Elbows are one number: bending beyond the rest pose's own bend.
"""

import numpy as np
import roma
import torch

from mpt.bodies import Body

Turn = tuple[float, float, float] | float

POSES: dict[str, dict[str, Turn]] = {
    "standing": {
        "left_shoulder": (16, -10, -31), "right_shoulder": (4, 6, 33), "left_elbow": -18, "right_elbow": -8,
        "left_hip": (-4, 0, -4), "right_hip": (2, 6, 2), "left_knee": (8, 0, 0), "head": (2, 10, 0),
    },
    "waving": {
        "left_collar": (0, 0, 6), "left_shoulder": (-70, 39, 28), "left_elbow": 30,
        "right_shoulder": (14, 8, 31), "right_elbow": -12,
        "spine2": (0, 0, -3), "spine3": (0, 4, -2), "head": (2, 4, 5),
        "left_hip": (-3, 0, -7), "right_hip": (2, 0, 4), "left_knee": (6, 0, 0),
    },
    "walking": {
        "left_hip": (-27, 0, -6), "left_knee": (9, 0, 0), "left_ankle": (-6, 0, 0),
        "right_hip": (20, 0, 6), "right_knee": (30, 0, 0), "right_ankle": (14, 0, 0),
        "right_toe": (-24, 0, 0),
        "left_shoulder": (28, 10, -28), "left_elbow": -4, "right_shoulder": (-13, 20, 25), "right_elbow": 6,
        "spine1": (3, -5, 0), "spine3": (3, 10, 0), "head": (-4, -5, 0),
    },
    "squatting": {
        "pelvis": (22, 0, 0), "left_hip": (-112, 12, 10), "right_hip": (-112, -12, -10),
        "left_knee": (118, 0, 0), "right_knee": (118, 0, 0), "left_ankle": (-28, 0, 0),
        "right_ankle": (-28, 0, 0),
        "spine1": (8, 0, 0), "spine3": (-6, 0, 0), "head": (-22, 0, 0),
        "left_shoulder": (-74, -35, 65), "left_elbow": -20,
        "right_shoulder": (-74, 35, -65),
        "right_elbow": -20,
    },
    "lunging": {
        "pelvis": (6, 0, 0), "left_hip": (-82, 0, -4), "left_knee": (82, 0, 0), "left_ankle": (-5, 0, 0),
        "right_hip": (28, 0, 4), "right_knee": (46, 0, 0), "right_ankle": (-6, 0, 0),
        "right_toe": (-42, 0, 0),
        "left_shoulder": (0, 4, 44), "right_shoulder": (0, -4, -44), "left_elbow": -30, "right_elbow": -30,
        "spine1": (-4, 0, 0), "head": (-4, 0, 0),
    },
    "sitting": {
        "pelvis": (-4, 0, 0), "left_hip": (-79, 0, 6), "right_hip": (-80, 0, -4),
        "left_knee": (79, 0, 0), "right_knee": (73, 0, 0), "left_ankle": (2, 0, 0), "right_ankle": (7, 0, 0),
        "spine1": (10, 0, 0), "spine3": (6, 0, 0), "head": (-6, 8, 0),
        "left_shoulder": (-20, -33, -16), "left_elbow": -4, "right_shoulder": (-20, 33, 16), "right_elbow": 2,
    },
    "reaching": {
        "left_collar": (0, 0, 10), "left_shoulder": (-69, 37, 80), "left_elbow": -24,
        "right_shoulder": (16, 10, 29), "right_elbow": -10, "spine1": (-4, 0, -3), "spine3": (-6, 0, -6),
        "neck": (-8, 0, 0), "head": (-14, 6, 0), "left_hip": (0, 0, -6), "right_hip": (0, 0, 6),
        "left_ankle": (14, 0, 0), "right_ankle": (14, 0, 0), "left_toe": (-14, 0, 0),
        "right_toe": (-14, 0, 0),
    },
    "hands_on_hips": {
        "left_shoulder": (64, -26, -28), "left_elbow": 62, "right_shoulder": (64, 26, 28), "right_elbow": 62,
        "left_hip": (-2, 0, -2), "right_hip": (-2, 8, 3), "right_knee": (6, 0, 0), "spine3": (2, -4, 0),
        "head": (0, -14, 0),
    },
}  # fmt: skip


def rotations(body: Body, pose: dict[str, Turn]) -> torch.Tensor:
    """(B, 3, 3) local rotations of all of a body's bones."""
    local = torch.eye(3, dtype=body.template.dtype).repeat(len(body.bones), 1, 1)
    for role, turn in pose.items():
        bone = body.bones.index(body.roles[role])
        if isinstance(turn, tuple):
            matrix = roma.euler_to_rotmat("xyz", list(np.radians(turn)), dtype=torch.float64)
        else:
            matrix = roma.rotvec_to_rotmat(np.radians(turn) * _hinge(body, role))
        local[bone] = matrix.to(local)
    return local


def _hinge(body: Body, elbow: str) -> torch.Tensor:
    """(3,) the axis about which an elbow bends, from its bend in the rest pose."""
    side = elbow.partition("_")[0]
    a, b, c = (
        body.heads[body.bones.index(body.roles[f"{side}_{j}"])].double()
        for j in ("shoulder", "elbow", "wrist")
    )
    axis = torch.linalg.cross(b - a, c - b)
    return axis / axis.norm()

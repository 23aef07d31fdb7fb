"""Joint angles of a posed body, under the names of OpenSim's coordinates; docs/biomechanics.md defines them.

A segment's frame is x forward, y along it, z to the right when the body stands in the anatomical position:
the T-pose, but the arms hang and the palms look ahead. There all angles are zero. Left limbs are read in a
mirror, so that a movement has the same sign on both sides.

F: frames.
"""

from typing import NamedTuple

import numpy as np
import roma
import torch

from mpt.biomechanics.axes import FORWARD
from mpt.bodies.body import Body
from mpt.rigs.t_pose import t_pose

SIDES = ("right", "left")
MIRROR = np.diag([1.0, 1, -1])
HANGING = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""From the T-pose a right arm is turned about x by 90 degrees, the palm towards the thigh,"""
PALM_AHEAD = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
"""and then the forearm about itself, by 90 degrees outwards."""


class Joint(NamedTuple):
    """How a segment is turned against the one above it: three angles about the axes of ``order``, each about
    the axes as turned before. Z X Y is the order of Grood and Suntay: the first is about the z of the segment
    above, the last about the y of the segment itself.
    """

    above: str
    segment: str
    angles: tuple[str, str, str]
    order: str = "ZXY"


TRUNK = (
    Joint("ground", "pelvis", ("pelvis_rotation", "pelvis_list", "pelvis_tilt"), "YXZ"),
    Joint("pelvis", "spine3", ("lumbar_extension", "lumbar_bending", "lumbar_rotation")),
    Joint("spine3", "head", ("neck_extension", "neck_bending", "neck_rotation")),
)
LIMBS = (
    Joint("pelvis", "hip", ("hip_flexion", "hip_adduction", "hip_rotation")),
    Joint("hip", "knee", ("knee_extension", "knee_adduction", "knee_rotation")),
    Joint("knee", "ankle", ("ankle_angle", "subtalar_angle", "ankle_rotation")),
    Joint("spine3", "shoulder", ("arm_flex", "arm_add", "arm_rot")),
    Joint("shoulder", "elbow", ("elbow_flex", "elbow_add", "forearm_twist")),
    Joint("elbow", "wrist", ("wrist_twist", "wrist_flex", "wrist_dev"), "YZX"),
)
"""Segments by the roles of their bones; of limbs on either side."""


def joint_angles(body: Body, heads: np.ndarray, turns: np.ndarray) -> dict[str, np.ndarray]:
    """OpenSim's coordinates -> (F,) degrees, from -180 to 180; ``pro_sup`` from -90 to 270.

    heads: (B, 3) where this person's bones begin at rest, in the body's axes.
    turns: (F, M, 3, 3) of the moving bones since the rest pose, in OpenSim's axes (``axes.Track``).
    """
    moving = [body.bones.index(bone) for bone in body.moving_bones]
    laid = FORWARD @ t_pose(body, heads)[moving] @ FORWARD.T
    since_t_pose = turns @ laid.swapaxes(1, 2)

    def frame(role: str, side: str) -> np.ndarray:
        if role == "ground":
            return np.eye(3)
        bone = body.roles.get(role) or body.roles[f"{side}_{role}"]
        own = since_t_pose[:, body.moving_bones.index(bone)]
        own = MIRROR @ own @ MIRROR if side == "left" else own
        return own @ _anatomical(role).T

    found = {}
    for joint in TRUNK:
        found |= _read(joint, frame(joint.above, "right"), frame(joint.segment, "right"))
    for side in SIDES:
        limbs = {}
        for joint in LIMBS:
            limbs |= _read(joint, frame(joint.above, side), frame(joint.segment, side))
        limbs = _as_opensim(limbs)
        found |= {f"{name}_{side[0]}": degrees for name, degrees in limbs.items()}
    return found


def _anatomical(role: str) -> np.ndarray:
    """(3, 3) from the T-pose to the anatomical position, of a right limb."""
    if role == "shoulder":
        return HANGING
    return PALM_AHEAD @ HANGING if role in ("elbow", "wrist") else np.eye(3)


def _read(joint: Joint, above: np.ndarray, segment: np.ndarray) -> dict[str, np.ndarray]:
    between = torch.from_numpy(above.swapaxes(-1, -2) @ segment)
    angles = np.asarray(roma.rotmat_to_euler(joint.order, between, degrees=True))
    return {name: angles[:, axis] for axis, name in enumerate(joint.angles)}


def _as_opensim(limbs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Knees that are bent are positive; what turns a hand about its forearm, wherever, is pronation."""
    found = {}
    for name, degrees in limbs.items():
        if name == "knee_extension":
            found["knee_angle"] = -degrees
        elif name == "forearm_twist":
            found["pro_sup"] = (degrees + limbs["wrist_twist"] + 90) % 360 - 90
        elif name not in ("elbow_add", "wrist_twist"):
            found[name] = degrees
    return found

"""Bodies that move as is known."""

import numpy as np
import roma
import torch

from mpt import bodies
from mpt.bodies.body import Body
from mpt.bodies.motion import BodyMotion
from mpt.bodies.pose import BodyPose
from mpt.rigs.rig import Place
from mpt.rigs.t_pose import t_pose

AS_IT_IS = Place(np.eye(3), np.zeros(3))
CAMERA = Place(np.diag([1.0, -1, -1]), np.array([0.1, 1.2, 3.0]))
MIRROR = np.array([1, -1, -1])  # of an axis-angle across x


def t_posed(body: Body | None = None, shape: np.ndarray | None = None) -> BodyPose:
    """Somebody in the T-pose, facing +z."""
    body = body or bodies.load()
    shape = np.zeros(body.shape_count, np.float32) if shape is None else shape
    heads = body.rest(torch.from_numpy(shape)[None]).heads[0].double().numpy()
    laid = t_pose(body, heads)
    above = np.stack([np.eye(3) if parent < 0 else laid[parent] for parent in body.parents])
    local = roma.rotmat_to_rotvec(torch.from_numpy(above.swapaxes(1, 2) @ laid))
    return BodyPose(body, local.numpy().astype(np.float32), shape, np.zeros(3, np.float32))


def turned(pose: BodyPose, role: str, axis: list[float], degrees: float) -> BodyPose:
    """One bone turned about an axis of the world, and all that hang on it."""
    body = pose.body
    bone = body.bones.index(body.roles[role])
    turns = pose.posed().transforms[:, :3, :3].astype(float)
    above = turns[body.parents[bone]] if bone else np.eye(3)
    by = roma.rotvec_to_rotmat(torch.tensor(axis, dtype=torch.float64) * np.radians(degrees)).numpy()
    rotvec = pose.rotvec.copy()
    rotvec[bone] = roma.rotmat_to_rotvec(torch.from_numpy(above.T @ by @ turns[bone])).numpy()
    return BodyPose(body, rotvec, pose.shape, pose.translation_m)


def film(*poses: BodyPose, times_s: list[float] | None = None, fps: float = 30.0) -> BodyMotion:
    """Poses of one person, one after the other."""
    first = poses[0]
    return BodyMotion(
        first.body,
        np.stack([pose.rotvec for pose in poses]),
        first.shape,
        np.stack([pose.translation_m for pose in poses]),
        np.arange(len(poses)) / fps if times_s is None else np.array(times_s),
        fps,
    )


def mirrored(pose: BodyPose) -> BodyPose:
    """Sides exchanged, as seen in a mirror across x."""
    body, other = pose.body, {}
    for number, bone in enumerate(body.bones):
        name = f"{bone[:-1]}{ {'L': 'R', 'R': 'L'}[bone[-1]] }" if bone.endswith((".L", ".R")) else bone
        other[body.bones.index(name)] = pose.rotvec[number] * MIRROR
    rotvec = np.stack([other[number] for number in range(len(body.bones))])
    return BodyPose(body, rotvec.astype(np.float32), pose.shape, pose.translation_m * [-1, 1, 1])

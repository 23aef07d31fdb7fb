"""The axes of OpenSim, and the frames of a film: what all files of biomechanics share."""

from typing import NamedTuple

import numpy as np
import roma
import torch

from mpt.bodies.motion import BodyMotion
from mpt.rigs.rig import Place

FORWARD = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
"""From a world's axes (y up, z towards the camera), or a body's, to x forward, y up, z to the right."""
AT_ONCE = 500  # frames that are posed together


class Frames(NamedTuple):
    """The frames from a motion's first to its last, also those in which somebody was away.

    first: which frame of the film the first is, from 0.
    row: (F,) where each pose of the motion stands among them.
    times_s: (N,) of all.
    """

    first: int
    row: np.ndarray
    times_s: np.ndarray

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(F, ...) -> (N, ...), NaN where somebody was away."""
        spread = np.full((len(self.times_s), *values.shape[1:]), np.nan)
        spread[self.row] = values
        return spread


class Track(NamedTuple):
    """A posed motion, in OpenSim's axes: joints (F, K, 3) of the body's skeleton and skin (F, V, 3), metres;
    turns (F, B, 3, 3) of the body's moving bones since the rest pose, which faces +x.
    """

    joints: np.ndarray
    skin: np.ndarray
    turns: np.ndarray


def frames_of(motion: BodyMotion) -> Frames:
    """Where a motion's poses stand in the film.

    Each has a frame of its own, also where two are nearer than a frame: films of phones are uneven.
    """
    index = np.arange(len(motion))
    slot = np.round(motion.times_s * motion.fps).astype(int)
    row = np.maximum.accumulate(slot - index) + index
    times = np.interp(np.arange(row[0], row[-1] + 1), row, motion.times_s)
    return Frames(int(row[0]), row - row[0], times)


def track(motion: BodyMotion, place: Place, vertices: np.ndarray) -> Track:
    """Pose all frames: joints, moving bones, and of the skin the vertices of these indices (V,).

    place: from the axes of the motion to a world's (y up, z towards the camera).
    """
    body = motion.body.subset(torch.from_numpy(vertices))
    moving = [body.bones.index(bone) for bone in body.moving_bones]
    shape = torch.from_numpy(np.ascontiguousarray(motion.shape, np.float32))[None]
    to_file = Place(FORWARD @ place.rotation, FORWARD @ place.shift)
    parts = []
    for start in range(0, len(motion), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        rotvec, translation = (
            torch.from_numpy(np.ascontiguousarray(array[some], np.float32))
            for array in (motion.rotvec, motion.translation_m)
        )
        rotations = roma.rotvec_to_rotmat(rotvec)
        with torch.no_grad():
            posed = body(rotations, shape, translation)
            bones = body.bone_transforms(rotations, shape.expand(len(rotvec), -1), translation)
        turns = to_file.rotation @ bones[:, moving, :3, :3].double().numpy() @ FORWARD.T
        parts.append(
            (to_file(posed.joints.double().numpy()), to_file(posed.vertices.double().numpy()), turns)
        )
    return Track(*(np.concatenate(part) for part in zip(*parts)))

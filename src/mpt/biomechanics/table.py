"""Joints and joint angles as a table of comma-separated values."""

import numpy as np
import torch

from mpt.biomechanics.angles import joint_angles
from mpt.biomechanics.axes import frames_of, track
from mpt.biomechanics.markers import is_person
from mpt.biomechanics.uncertainty import angles_std_deg
from mpt.bodies.motion import BodyMotion
from mpt.rigs.rig import Place


def csv(motion: BodyMotion, place: Place, joints_std_m: np.ndarray | None = None) -> bytes:
    """A row for each frame: ``time`` in seconds, ``left_hip_x``, ``_y``, ``_z`` of each joint in metres (x
    forward, y up, z to the right), and of people angles in degrees; cells are empty where somebody was away.

    place: from the axes of the motion to a world's (y up, z towards the camera).
    joints_std_m: (F, K) how sure the joints of the body's skeleton are, along any axis: then columns
        ``left_hip_std`` follow, and ``knee_angle_r_std`` of those angles of which the joints tell it.
    """
    body, skeleton = motion.body, motion.body.skeleton
    found = track(motion, place, np.empty(0, int))
    columns: dict[str, np.ndarray] = {}
    for number, joint in enumerate(skeleton.joints):
        columns |= {f"{joint}_{axis}": found.joints[:, number, i] for i, axis in enumerate("xyz")}
        if joints_std_m is not None:
            columns[f"{joint}_std"] = joints_std_m[:, number]
    if is_person(body):
        shape = torch.from_numpy(np.ascontiguousarray(motion.shape, np.float32))[None]
        heads = body.rest(shape).heads[0].double().numpy()
        sure = {} if joints_std_m is None else angles_std_deg(skeleton, found.joints, joints_std_m)
        for name, degrees in joint_angles(body, heads, found.turns).items():
            columns[name] = degrees
            columns |= {f"{name}_std": sure[name]} if name in sure else {}
    return _written(motion, columns)


def _written(motion: BodyMotion, columns: dict[str, np.ndarray]) -> bytes:
    frames = frames_of(motion)
    values = frames.spread(np.stack(list(columns.values()), 1)).round(5) + 0.0  # + 0.0: no -0.0
    lines = [",".join(["time", *columns])]
    for time, row in zip(frames.times_s, values):
        cells = ["" if np.isnan(value) else f"{value:.5f}" for value in row]
        lines.append(",".join([f"{time:.6f}", *cells]))
    return ("\n".join(lines) + "\n").encode()

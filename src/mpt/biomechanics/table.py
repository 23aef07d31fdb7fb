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
    """``time`` in seconds and the columns of :func:`columns`, a row for each frame of the film from
    somebody's first to their last; cells are empty where they were away.
    """
    frames, named = frames_of(motion), columns(motion, place, joints_std_m)
    values = frames.spread(np.stack(list(named.values()), 1)).round(5) + 0.0  # + 0.0: no -0.0
    lines = [",".join(["time", *named])]
    for time, row in zip(frames.times_s, values):
        cells = ["" if np.isnan(value) else f"{value:.5f}" for value in row]
        lines.append(",".join([f"{time:.6f}", *cells]))
    return ("\n".join(lines) + "\n").encode()


def columns(
    motion: BodyMotion, place: Place, joints_std_m: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """(F,) each: ``left_hip_x``, ``_y``, ``_z`` of all joints in metres (x forward, y up, z to the right),
    and of people joint angles in degrees (``knee_angle_r``).

    place: from the axes of the motion to a world's (y up, z towards the camera).
    joints_std_m: (F, K) how sure the joints of the body's skeleton are, along any axis: then columns
        ``left_hip_std`` follow, and ``knee_angle_r_std`` of those angles of which the joints tell it.
    """
    body, skeleton = motion.body, motion.body.skeleton
    found = track(motion, place, np.empty(0, int))
    named: dict[str, np.ndarray] = {}
    for number, joint in enumerate(skeleton.joints):
        named |= {f"{joint}_{axis}": found.joints[:, number, i] for i, axis in enumerate("xyz")}
        if joints_std_m is not None:
            named[f"{joint}_std"] = joints_std_m[:, number]
    if is_person(body):
        shape = torch.from_numpy(np.ascontiguousarray(motion.shape, np.float32))[None]
        heads = body.rest(shape).heads[0].double().numpy()
        sure = {} if joints_std_m is None else angles_std_deg(skeleton, found.joints, joints_std_m)
        for name, degrees in joint_angles(body, heads, found.turns).items():
            named[name] = degrees
            named |= {f"{name}_std": sure[name]} if name in sure else {}
    return named

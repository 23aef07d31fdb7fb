"""What markers are called, and where they are: a body's joints, and of people points of the skin."""

from typing import NamedTuple

import numpy as np

from mpt.biomechanics.axes import Frames, frames_of, track
from mpt.biomechanics.skin import skin_points
from mpt.bodies.body import Body
from mpt.bodies.motion import BodyMotion
from mpt.rigs.rig import Place


class Markers(NamedTuple):
    """Markers over time: names of M, points_m (N, M, 3) in OpenSim's axes, NaN where somebody was away."""

    frames: Frames
    names: tuple[str, ...]
    points_m: np.ndarray


def markers(motion: BodyMotion, place: Place) -> Markers:
    """The joints of the body's skeleton as Pose2Sim calls them, then skin points as OpenSim does.

    place: from the axes of the motion to a world's (y up, z towards the camera).
    """
    skin = skin_points(motion.body) if is_person(motion.body) else {}
    found = track(motion, place, np.array(list(skin.values()), int))
    frames = frames_of(motion)
    names = (*(joint_marker(motion.body, joint) for joint in motion.body.skeleton.joints), *skin)
    return Markers(frames, names, frames.spread(np.concatenate([found.joints, found.skin], 1)))


def is_person(body: Body) -> bool:
    """Whether this is a person's body, not a hand."""
    return "left_hip" in body.roles


def joint_marker(body: Body, joint: str) -> str:
    """ "left_big_toe" -> "LBigToe", "right_thumb_knuckle" -> "RThumb"; a right hand's "wrist" -> "RWrist"."""
    side = body.metadata.get("side", "")
    words = f"{side}_{joint}".removesuffix("_knuckle").split("_")
    return "".join(word[0].upper() if word in ("left", "right") else word.capitalize() for word in words)

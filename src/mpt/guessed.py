"""Which joints, and parts, of somebody a 2D network did not see: there the model's answer is a guess."""

from collections.abc import Sequence

import numpy as np

from mpt.skeletons import COCO17, Skeleton, core

SEEN = 0.3  # a joint's least score
DOUBTFUL = 0.5  # who scores less may not be where they are taken to be, so that their joints count for less
LEAST = 0.5  # share of joints, of which somebody doubtful is guessed altogether if fewer are seen
PARTS = {
    "head": ("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
    "trunk": ("left_shoulder", "right_shoulder", "left_hip", "right_hip"),
    "left arm": ("left_elbow", "left_wrist"),
    "right arm": ("right_elbow", "right_wrist"),
    "left leg": ("left_knee", "left_ankle"),
    "right leg": ("right_knee", "right_ankle"),
}


def guessed_joints(
    joints2d_px: np.ndarray, score: float, skeleton: Skeleton, size_wh: tuple[int, int]
) -> tuple[str, ...]:
    """Joints (J, 3) of x, y, score beside the photo, or hardly seen: of people COCO's 17, of hands all.

    score: how surely this is somebody.
    """
    known = core(skeleton)
    x, y, sure = np.asarray(joints2d_px, float)[: len(known)].T
    width, height = size_wh
    inside = (np.abs(x - (width - 1) / 2) <= width / 2) & (np.abs(y - (height - 1) / 2) <= height / 2)
    seen = inside & (sure * (score if score < DOUBTFUL else 1) >= SEEN)
    if score < DOUBTFUL and seen.mean() < LEAST:  # what looks like a joint is another one, or none
        seen[:] = False
    return tuple(joint for joint, is_seen in zip(known.joints, seen) if not is_seen)


def guessed_parts(joints: Sequence[str], skeleton: Skeleton) -> list[str]:
    """The parts of a person of which no joint was seen; none of hands."""
    if core(skeleton) != COCO17:
        return []
    return [part for part, its in PARTS.items() if set(its) <= set(joints)]


def in_words(who: str, joints: Sequence[str], skeleton: Skeleton) -> str | None:
    """A sentence on somebody's parts that are guessed; None where something of each was seen."""
    parts = guessed_parts(joints, skeleton)
    if not parts:
        return None
    seen = [part for part in PARTS if part not in parts]
    if not seen:
        return f"{who} is guessed: hardly anything of them is seen"
    if len(seen) < len(parts):
        return f"of {who} only the {_listed(seen)} {_are(seen)} seen: all else is guessed"
    return f"of {who} the {_listed(parts)} {_are(parts)} not seen, but guessed"


def _listed(parts: Sequence[str]) -> str:
    """ "head, arms and left leg": pairs as one."""
    names = list(parts)
    for limb in ("arm", "leg"):
        pair = [f"left {limb}", f"right {limb}"]
        if set(pair) <= set(names):
            names[names.index(pair[0])] = f"{limb}s"
            names.remove(pair[1])
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _are(parts: Sequence[str]) -> str:
    return "is" if len(parts) == 1 else "are"

"""Fingers and the bones that share a twist: what a rig has beside its limbs, and how it follows them."""

import re
from collections.abc import Iterator

import numpy as np
import roma
import torch

from mpt.bodies.retarget import Rig, swing
from mpt.mocap.tree import below, way_to

SIDES = ("left", "right")
WORDS = {
    "thumb": "thumb",
    "index": "index|point",
    "middle": "mid",
    "ring": "ring",
    "pinky": "pink|little|small",
}
PALM = re.compile("carpal|palm|inhand", re.IGNORECASE)  # of a thumb it is the first of its three
NUMBERED = re.compile(r"finger[ _.-]*(\d)", re.IGNORECASE)
FOREARM, SHIN = ("elbow", "wrist"), ("knee", "ankle")
STRAIGHT = 0.1  # of a bone's length off its axis: who is farther away is a muscle, no twist
ENDS = 0.05  # of it, from where on a joint shares the twist

Finger = tuple[str, str, int]
"""Side, name and which of its joints, from 1."""


def fingers_of(rig: Rig) -> dict[Finger, int]:
    """The joints of a rig's fingers that its names tell, the metacarpals left out."""
    found: dict[Finger, int] = {}
    for side in SIDES:
        wrist = rig.roles[f"{side}_wrist"]
        joints = [joint for joint in range(len(rig.joints)) if wrist in way_to(joint, rig.parents)[:-1]]
        words = {joint: _word(rig.joints[joint]) for joint in joints}
        if not any(words.values()):  # numbered, the thumb 0 or 1
            told = {joint: NUMBERED.search(rig.joints[joint]) for joint in joints}
            numbers = {joint: int(one[1]) for joint, one in told.items() if one}
            names, first = list(WORDS), min(numbers.values(), default=0)
            words = {joint: names[k - first] for joint, k in numbers.items() if 0 <= k - first < len(names)}
        for joint in joints:
            finger = words.get(joint)
            if finger and (finger == "thumb" or not PALM.search(rig.joints[joint])):
                way = way_to(joint, rig.parents)
                order = sum(found.get((side, finger, k)) in way for k in (1, 2, 3))
                found.setdefault((side, finger, order + 1), joint)
    return {finger: joint for finger, joint in found.items() if finger[2] <= 3}


def _word(name: str) -> str | None:
    own = re.split("[:|]", name)[-1]
    return next((finger for finger, word in WORDS.items() if re.search(word, own, re.IGNORECASE)), None)


def lay_fingers(
    turned: np.ndarray, source: Rig, target: Rig, world: dict[int, np.ndarray]
) -> dict[int, np.ndarray]:
    """World rotations since rest (T, 3, 3) of the target's fingers that lay them along the source's, where
    any of these ever moves in its hand; else nothing.

    turned: (T, J, 3, 3) of the source's joints. world: of the target's joints that are laid already.
    """
    ours, theirs = fingers_of(target), fingers_of(source)
    laid: dict[int, np.ndarray] = {}
    for side in SIDES:
        hand, wrist = source.roles[f"{side}_wrist"], target.roles[f"{side}_wrist"]
        shared = [finger for finger in ours if finger in theirs and finger[0] == side]
        moves = [np.abs(turned[:, theirs[finger]] - turned[:, hand]).max() > 1e-6 for finger in shared]
        if wrist not in world or not any(moves):
            continue
        at_wrist = turned[0, hand].T @ world[wrist][0]
        aligned: dict[Finger, np.ndarray] = {}
        for finger in shared:
            above = aligned.get((*finger[:2], finger[2] - 1), at_wrist)
            way, wanted = _way(target, ours, finger), _way(source, theirs, finger)
            aligned[finger] = swing(above @ way, wanted) @ above
            laid[ours[finger]] = turned[:, theirs[finger]] @ aligned[finger]
    return laid


def _way(rig: Rig, fingers: dict[Finger, int], finger: Finger) -> np.ndarray:
    """(3,) from a finger's joint to the next, or to where it ends; without length where nothing says."""
    joint = fingers[finger]
    after = fingers.get((*finger[:2], finger[2] + 1))
    ends = below(joint, rig.parents) if after is None else [after]
    return rig.rest[ends[0]] - rig.rest[joint] if len(ends) == 1 else np.zeros(3)


def twists_of(rig: Rig) -> Iterator[tuple[int, int, int, float]]:
    """Joints along forearms and shins, the joints where these begin and end, and how far along they are.

    They take as much of the twist between the two as they are along.
    """
    named = set(rig.roles.values())
    for side in SIDES:
        for start, end in (FOREARM, SHIN):
            first, last = rig.roles[f"{side}_{start}"], rig.roles[f"{side}_{end}"]
            bone = rig.rest[last] - rig.rest[first]
            for joint in range(len(rig.joints)):
                way = way_to(joint, rig.parents)
                if joint in named or first not in way[:-1] or last in way:
                    continue
                part = float((rig.rest[joint] - rig.rest[first]) @ bone / max(bone @ bone, 1e-12))
                off = np.linalg.norm(rig.rest[joint] - rig.rest[first] - part * bone)
                if ENDS < part <= 1 + ENDS and off < STRAIGHT * np.linalg.norm(bone):
                    yield joint, first, last, min(part, 1.0)


def twisted(rig: Rig, start: int, end: int, world: dict[int, np.ndarray], part: float) -> np.ndarray:
    """(T, 3, 3) world rotation of a joint between two of known ones, that takes a part of their twist."""
    bone = rig.rest[end] - rig.rest[start]
    axis = bone / max(float(np.linalg.norm(bone)), 1e-12)
    relative = torch.from_numpy(world[start].swapaxes(-1, -2) @ world[end])
    quaternion = roma.rotmat_to_unitquat(relative).numpy()
    angle = 2 * np.arctan2(quaternion[:, :3] @ axis, quaternion[:, 3])
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    turn = roma.rotvec_to_rotmat(torch.from_numpy(part * angle[:, None] * axis))
    return world[start] @ turn.numpy()

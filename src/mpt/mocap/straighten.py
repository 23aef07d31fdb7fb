"""Legs and arms of the person's own length, on which a straight knee is straight.

Motion capture fits a skeleton to markers; hips and ankles, shoulders and wrists then lie where they should.
Where the leg between them is too long, its knee must bend to fit in: by the law of cosines 15 degrees for
0.9 % (7 mm) where the person's own is straight, 2 more where it is bent by 60. Such a leg is never seen
straight, and the person's own length shows in how far ankles get from hips while somebody stands or walks:

    own / fitted = reach of the most stretched legs / reach of the fitted leg when as STRAIGHT as people's

Bones are shortened by this ratio and bent anew; hips and ankles, the plane of the bend, and feet stay.
"""

from collections.abc import Hashable, Mapping
from dataclasses import replace

import numpy as np
import roma
import torch

from mpt.mocap.limbs import SIDES, find_limbs, hangs_wrong
from mpt.mocap.motion import Motion
from mpt.mocap.tree import rest_positions, way_to

# Degrees between the two bones of a limb that people call straight: of knees in quiet standing and in the
# middle of gait's stance 3 to 5; of elbows of hanging arms 10 to 20, for forearms also point outward.
STRAIGHT = {"leg": 3.0, "arm": 15.0}
STRETCHED = 0.05  # of the time in which a limb could well be straight, it is at least so straight
A_SECOND = 0.001  # of a limb's length: so much of what is too long is believed for each second of that time
LEAST = 0.0005  # of a limb's length: less is nothing
MOST = 0.045  # a limb that seems to be too long by more is really bent
EVER = 0.02  # of all time: what is more stretched than this share of it is taken for noise, and beyond it
BEYOND = 0.005  # a limb never reaches farther than its own length by more
EASED = 1 - np.cos(np.radians(1.0))  # how sharply a limb that reaches beyond its own length becomes straight

UPRIGHT = np.cos(np.radians(25))  # of a trunk
HANGING = np.cos(np.radians(20))  # of a leg or an arm
PLANTED_M_S = 0.25  # an ankle that is slower
SHORTEST_M = 0.01  # of a bone
FLEXIONS = np.radians(np.arange(0, 180.25, 0.25))  # edges of bins

LIMBS = {f"{side}_leg": (f"{side}_hip", f"{side}_knee", f"{side}_ankle") for side in SIDES}
LIMBS |= {f"{side}_arm": (f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist") for side in SIDES}


class LimbLengths:
    """How long the legs and arms of people are, on the skeletons that were fitted to them.

    All clips of a person on a skeleton are seen first: they belong together where ``subject``, joints and
    bones are the same. Then ``scales`` tells what they show.
    """

    def __init__(self) -> None:
        self._seen: dict[Hashable, dict[str, np.ndarray]] = {}

    def see(self, motion: Motion) -> None:
        """Take in one clip."""
        if not (joints := _joints(motion)):
            return
        places = motion.positions()
        seen = self._seen.setdefault(_person(motion), {})
        for limb, useful in could_be_straight(places, joints, motion.fps).items():
            bent = _flexion(*_bones(places, joints, limb))
            seconds = [np.histogram(some, FLEXIONS)[0] / motion.fps for some in (bent, bent[useful])]
            seen[limb] = seen.get(limb, 0) + np.stack(seconds)

    def scales(self, motion: Motion) -> dict[str, float]:
        """Own length / fitted length of those limbs (``left_leg``) of the clip's person that are too long."""
        if not (seen := self._seen.get(_person(motion))):
            return {}
        joints = _joints(motion)
        rest = rest_positions(motion.parents.tolist(), motion.offsets)[None]
        found = {}
        for limb, (ever, useful) in seen.items():
            if not useful.any():
                continue
            upper, lower = (float(np.linalg.norm(bone)) for bone in _bones(rest, joints, limb))
            straight = _reach(upper, lower, np.radians(STRAIGHT[limb.partition("_")[2]]))
            too_long = 1 - _reach(upper, lower, _quantile(useful, STRETCHED)) / straight
            farthest = _reach(upper, lower, _quantile(ever, EVER)) / (upper + lower)
            if LEAST < too_long < MOST:
                found[limb] = 1 - min(too_long, A_SECOND * float(useful.sum()), 1 - farthest + BEYOND)
        return found


def straighten(motion: Motion, scales: Mapping[str, float]) -> Motion:
    """The motion with each of these limbs (``left_leg``) scaled to its own length and bent less.

    Where it ends, and how its hand or foot is turned in the world, stays; what reaches beyond the own length
    comes nearer by as much. Flexion never grows, hardly changes where it is large, and stays smooth.
    """
    if not scales:
        return motion
    joints, parents = _joints(motion), motion.parents.tolist()
    places, turned = motion.positions(), motion.global_rotations()
    offsets, rotvec = motion.offsets.copy(), motion.rotvec.copy()
    for limb, scale in scales.items():
        start, middle, end = (joints[joint] for joint in LIMBS[limb])
        upper, lower = _less_bent(*_bones(places, joints, limb), scale)
        by_start, by_middle, by_end = (turned[:, parents[joint]] for joint in (start, middle, end))
        rotvec[:, start] = _local(by_start, upper @ turned[:, start])
        rotvec[:, middle] = _local(upper @ by_middle, lower @ turned[:, middle])
        rotvec[:, end] = _local(lower @ by_end, turned[:, end])
        way = way_to(end, parents)
        offsets[way[way.index(start) + 1 :]] *= scale
    return replace(motion, offsets=offsets, rotvec=rotvec)


def flexions(motion: Motion) -> dict[str, np.ndarray]:
    """(T,) degrees between the two bones of each limb (``left_leg``), 0 where it is straight."""
    places, joints = motion.positions(), _joints(motion)
    return {limb: np.degrees(_flexion(*_bones(places, joints, limb))) for limb in LIMBS if joints}


def _less_bent(upper: np.ndarray, lower: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """World rotations (T, 3, 3) of a limb's two bones (T, 3) by which they, scaled, end where they did.

    The law of cosines is reach^2 = (a + b)^2 - 2 a b v, with v = 1 - cos(flexion). Of scaled bones and the
    same reach it gives another v; as that falls below zero it is eased into zero.
    """
    a, b = (np.linalg.norm(bone, axis=-1) for bone in (upper, lower))
    flexion = _flexion(upper, lower)
    v = 1 - np.cos(flexion)
    product = np.maximum(2 * a * b, 1e-9)  # no bone where a joint along it is turned back by half a turn
    own = (v - (1 - scale**2) * (a + b) ** 2 / product) / scale**2
    eased = (own + np.sqrt(own**2 + 4 * EASED * v)) / 2
    bent = np.arccos(1 - np.minimum(eased, v))

    inward = np.arctan2(b * np.sin(flexion), a + b * np.cos(flexion))  # from the upper bone to the limb's end
    inward -= np.arctan2(b * np.sin(bent), a + b * np.cos(bent))
    axis = np.cross(upper, lower)
    axis /= np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-12)
    return _rotations(axis, inward), _rotations(axis, inward - (flexion - bent))


def could_be_straight(places: np.ndarray, joints: Mapping[str, int], fps: float) -> dict[str, np.ndarray]:
    """(T,) of each limb: when an upright person stands on the leg, or lets the arm hang."""
    at = {name: places[:, joint] for name, joint in joints.items()}
    upright = _upward(at["neck"] - (at["left_hip"] + at["right_hip"]) / 2) > UPRIGHT
    found = {}
    for limb, (start, _, end) in LIMBS.items():
        found[limb] = upright & (_upward(at[start] - at[end]) > HANGING)
        if limb.endswith("leg") and len(places) > 1:
            speed = np.linalg.norm(np.gradient(at[end], axis=0), axis=-1) * fps
            found[limb] &= speed < PLANTED_M_S
    return found


def _joints(motion: Motion) -> dict[str, int]:
    """The joint that begins each limb, or none where they do not make a person who has bones."""
    parents = motion.parents.tolist()
    found = find_limbs(motion.joints, parents, motion.offsets, motion.joint_map)
    if found.missing or hangs_wrong(found.joints, parents):
        return {}
    rest = rest_positions(parents, motion.offsets)[None]
    bones = [bone for limb in LIMBS for bone in _bones(rest, found.joints, limb)]
    below_root = all(parents[found.joints[start]] >= 0 for start, _, _ in LIMBS.values())
    return found.joints if below_root and np.linalg.norm(bones, axis=-1).min() > SHORTEST_M else {}


def _person(motion: Motion) -> Hashable:
    """Whose motion on which skeleton it is: the subject, the joints, and the bones in millimetres."""
    return motion.subject, motion.joints, (1000 * motion.offsets[1:]).round().astype(int).tobytes()


def _bones(places: np.ndarray, joints: Mapping[str, int], limb: str) -> tuple[np.ndarray, np.ndarray]:
    """(T, 3) of places (T, J, 3): the limb's upper and lower bone."""
    start, middle, end = (places[:, joints[joint]] for joint in LIMBS[limb])
    return middle - start, end - middle


def _flexion(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """(T,) radians between bones (T, 3)."""
    return np.arctan2(np.linalg.norm(np.cross(upper, lower), axis=-1), (upper * lower).sum(-1))


def _reach(upper: float, lower: float, flexion: float) -> float:
    """From a limb's start to its end."""
    return float(np.sqrt(upper**2 + lower**2 + 2 * upper * lower * np.cos(flexion)))


def _quantile(seconds: np.ndarray, part: float) -> float:
    """Radians below which flexion is for this part of the time; (bins,) seconds of each of FLEXIONS."""
    return float(np.interp(part * seconds.sum(), np.append(0, np.cumsum(seconds)), FLEXIONS))


def _upward(way: np.ndarray) -> np.ndarray:
    """(T,) cosine between ways (T, 3) and straight up."""
    return way[:, 1] / np.maximum(np.linalg.norm(way, axis=-1), 1e-12)


def _rotations(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return roma.rotvec_to_rotmat(torch.from_numpy(axis * angle[:, None])).numpy()


def _local(parent: np.ndarray, world: np.ndarray) -> np.ndarray:
    """(T, 3) axis-angle of world rotations (T, 3, 3) seen from those of their parents."""
    return roma.rotmat_to_rotvec(torch.from_numpy(parent.swapaxes(-1, -2) @ world)).numpy()

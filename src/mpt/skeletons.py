"""Named joint sets. Joints are called by name wherever a reader meets them; an order lives here alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Skeleton:
    """An ordered set of named joints. ``parents[j]`` is the index of the joint above j, -1 for a root."""

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        return self.joints.index(joint)

    def indices(self, *joints: str) -> list[int]:
        return [self.joints.index(joint) for joint in joints]

    @cached_property
    def root(self) -> list[int]:
        """The joints whose middle is the origin: both hips, or, without hips, the topmost (a wrist)."""
        if "left_hip" in self.joints:
            return self.indices("left_hip", "right_hip")
        return [self.parents.index(-1)]

    @cached_property
    def flip(self) -> np.ndarray:
        """(J,) permutation that exchanges left and right: ``mirrored = points[flip]``."""
        return np.array([self.joints.index(mirror_name(joint)) for joint in self.joints])

    @property
    def of(self) -> tuple[str, str]:
        """Whose joints these are: one, several."""
        return ("person", "people") if self.two_sided else ("hand", "hands")

    @property
    def two_sided(self) -> bool:
        """A person has a left and a right; a hand is one or the other."""
        return bool((self.flip != np.arange(len(self))).any())

    @cached_property
    def confused(self) -> np.ndarray:
        """(J,) the joint that a detector takes for each: the other side's, or the neighbouring finger's."""
        if self.two_sided:
            return self.flip
        names = [_NEIGHBOURS.get(joint[:-1], joint[:-1]) + joint[-1] for joint in self.joints]
        return np.array([self.joints.index(name) for name in names])

    @cached_property
    def bones(self) -> list[tuple[int, int]]:
        """(parent, child) index pairs."""
        return [(parent, child) for child, parent in enumerate(self.parents) if parent >= 0]


_NEIGHBOURS = {"thumb": "index", "index": "middle", "middle": "ring", "ring": "pinky", "pinky": "ring"}


def mirror_name(name: str) -> str:
    """The joint on the other side of the body; a joint of the midline is its own."""
    if "left" in name:
        return name.replace("left", "right")
    return name.replace("right", "left")


OTHER_NAMES = {
    "big_toe": ("foot_index",),
    "thumb_knuckle": ("thumb", "thumb2"),
    "index_knuckle": ("index", "index1", "forefinger1"),
    "pinky_knuckle": ("pinky", "pinky1", "pinky_finger1"),
}
"""What others call a joint of feet and hands, after left or right: BlazePose, whose thumb is its middle joint
as well, the 21 points of a hand, COCO-WholeBody.
"""


def find(joint: str, names: Sequence[str]) -> int:
    """Where among ``names`` a joint is, by its own name or another that is known for it; -1 for nowhere."""
    side, _, part = joint.partition("_")
    called = (joint, *(f"{side}_{other}" for other in OTHER_NAMES.get(part, ())))
    return next((names.index(name) for name in called if name in names), -1)


def remap(source: Skeleton, target: Skeleton) -> np.ndarray:
    """(len(target),) index into ``source`` of each joint of ``target``, by name; -1 where it has none."""
    return np.array([find(joint, source.joints) for joint in target.joints])


def arranged(values: np.ndarray, source: Skeleton, target: Skeleton, axis: int = 0) -> np.ndarray:
    """What stands for each joint of ``source`` along an axis, for those of ``target``: by name, and zero
    where ``source`` has none.
    """
    if source == target:
        return values
    index = remap(source, target)
    found = np.take(values, np.maximum(index, 0), axis)
    found[(slice(None),) * axis + (index < 0,)] = 0
    return found


def begin_alike(one: Skeleton, other: Skeleton) -> bool:
    """Whether the joints of one are the first of the other: COCO's 17, and those with feet and hands."""
    return all(a == b for a, b in zip(one.joints, other.joints))


def core(skeleton: Skeleton) -> Skeleton:
    """The first of a skeleton's joints, by which crops are framed and metrics count: of people COCO's 17,
    whatever else is known of them; of hands all.
    """
    return COCO17 if begin_alike(skeleton, COCO17) else skeleton


def of_count(count: int, skeleton: Skeleton) -> Skeleton:
    """Whose joints so many are, where those of ``skeleton`` are wanted: 17 or 29 of COCO's, else its own."""
    alike = (known for known in (COCO17, COCO29) if begin_alike(known, skeleton))
    return next((known for known in alike if len(known) == count), skeleton)


def _skeleton(name: str, *links: str) -> Skeleton:
    """Read "joint" or "joint<parent" words, in order."""
    pairs = [link.partition("<")[::2] for link in links]
    joints = tuple(joint for joint, _ in pairs)
    return Skeleton(name, joints, tuple(joints.index(parent) if parent else -1 for _, parent in pairs))


COCO17 = _skeleton(
    "coco17",
    "nose", "left_eye<nose", "right_eye<nose", "left_ear<left_eye", "right_ear<right_eye",
    "left_shoulder<nose", "right_shoulder<nose", "left_elbow<left_shoulder", "right_elbow<right_shoulder",
    "left_wrist<left_elbow", "right_wrist<right_elbow", "left_hip<left_shoulder", "right_hip<right_shoulder",
    "left_knee<left_hip", "right_knee<right_hip", "left_ankle<left_knee", "right_ankle<right_knee",
)  # fmt: skip

EXTREMITIES = ("big_toe", "small_toe", "heel", "thumb_knuckle", "index_knuckle", "pinky_knuckle")
"""Joints of the feet and hands, on either side, beyond COCO's 17."""

COCO29 = Skeleton(
    "coco29",
    COCO17.joints + tuple(f"{side}_{joint}" for joint in EXTREMITIES for side in ("left", "right")),
    COCO17.parents
    + tuple(
        COCO17.indices("left_ankle", "right_ankle") * 3 + COCO17.indices("left_wrist", "right_wrist") * 3
    ),
)
"""COCO's 17 and then the feet and hands: what COCO-WholeBody, Halpe, OpenPose and BlazePose also see of them.
A knuckle is where a finger leaves the hand, a thumb's is its middle joint."""

H36M17 = _skeleton(
    "h36m17",
    "pelvis", "right_hip<pelvis", "right_knee<right_hip", "right_ankle<right_knee",
    "left_hip<pelvis", "left_knee<left_hip", "left_ankle<left_knee",
    "spine<pelvis", "thorax<spine", "nose<thorax", "head_top<nose",
    "left_shoulder<thorax", "left_elbow<left_shoulder", "left_wrist<left_elbow",
    "right_shoulder<thorax", "right_elbow<right_shoulder", "right_wrist<right_elbow",
)  # fmt: skip

LSP14 = _skeleton(
    "lsp14",
    "right_ankle<right_knee", "right_knee<right_hip", "right_hip<neck",
    "left_hip<neck", "left_knee<left_hip", "left_ankle<left_knee",
    "right_wrist<right_elbow", "right_elbow<right_shoulder", "right_shoulder<neck",
    "left_shoulder<neck", "left_elbow<left_shoulder", "left_wrist<left_elbow",
    "neck", "head_top<neck",
)  # fmt: skip

SMPL24 = _skeleton(
    "smpl24",
    "pelvis", "left_hip<pelvis", "right_hip<pelvis", "spine1<pelvis",
    "left_knee<left_hip", "right_knee<right_hip", "spine2<spine1",
    "left_ankle<left_knee", "right_ankle<right_knee", "spine3<spine2",
    "left_foot<left_ankle", "right_foot<right_ankle", "neck<spine3",
    "left_collar<spine3", "right_collar<spine3", "head<neck",
    "left_shoulder<left_collar", "right_shoulder<right_collar",
    "left_elbow<left_shoulder", "right_elbow<right_shoulder",
    "left_wrist<left_elbow", "right_wrist<right_elbow",
    "left_hand<left_wrist", "right_hand<right_wrist",
)  # fmt: skip

HAND21 = _skeleton(
    "hand21",
    "wrist",
    *(
        f"{finger}{k}<{f'{finger}{k - 1}' if k > 1 else 'wrist'}"
        for finger in ("thumb", "index", "middle", "ring", "pinky")
        for k in (1, 2, 3, 4)
    ),
)

BLAZEPOSE33 = _skeleton(
    "blazepose33",
    "nose",
    "left_eye_inner<nose", "left_eye<left_eye_inner", "left_eye_outer<left_eye",
    "right_eye_inner<nose", "right_eye<right_eye_inner", "right_eye_outer<right_eye",
    "left_ear<left_eye_outer", "right_ear<right_eye_outer", "left_mouth<nose", "right_mouth<nose",
    "left_shoulder<nose", "right_shoulder<nose", "left_elbow<left_shoulder", "right_elbow<right_shoulder",
    "left_wrist<left_elbow", "right_wrist<right_elbow", "left_pinky<left_wrist", "right_pinky<right_wrist",
    "left_index<left_wrist", "right_index<right_wrist", "left_thumb<left_wrist", "right_thumb<right_wrist",
    "left_hip<left_shoulder", "right_hip<right_shoulder", "left_knee<left_hip", "right_knee<right_hip",
    "left_ankle<left_knee", "right_ankle<right_knee", "left_heel<left_ankle", "right_heel<right_ankle",
    "left_foot_index<left_heel", "right_foot_index<right_heel",
)  # fmt: skip

SKELETONS = {s.name: s for s in (COCO17, COCO29, H36M17, LSP14, SMPL24, HAND21, BLAZEPOSE33)}

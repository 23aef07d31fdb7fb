"""What a file's rest skeleton tells of its axes and its unit of length, where the format does not say."""

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mpt.errors import InputError
from mpt.mocap.limbs import LIMBS, find_limbs
from mpt.mocap.standing import stand
from mpt.mocap.tree import rest_positions

# The last is the unit of CMU's skeletons and of the BVH files made from them: 1 / 0.45 inches.
METRES_PER_UNIT = (1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45)
PERSON_M = (1.2, 2.2)
ALONG_AXIS = 0.97  # the cosine within which somebody's left is taken as the nearest axis
POINTING = 0.3  # the cosine within which a foot points ahead or back

MIRRORED = (
    ("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"),
    (".L", ".R"), (" L", " R"), ("_L", "_R"), ("_l", "_r"),
)  # fmt: skip


class Turned(NamedTuple):
    """A skeleton's rest pose and motion in Motion's axes, still in the file's unit."""

    axes: np.ndarray  # (3, 3) from the file's axes, a reflection where these were left-handed
    offsets: np.ndarray  # (J, 3)
    rotvec: np.ndarray  # (T, J, 3)
    trans: np.ndarray  # (T, 3)


def turned_by_rest(
    name: str,
    joints: Sequence[str],
    parents: Sequence[int],
    offsets: np.ndarray,
    rotvec: np.ndarray,
    trans: np.ndarray,
    joint_map: Mapping[str, str] | None = None,
) -> Turned:
    """Turn a skeleton into the axes that its rest pose shows (see ``axes_of_rest``).

    Where its zero pose is nobody standing, a frame in which somebody does is the rest pose (see ``stand``).
    That, and that it had to be mirrored, is told in a warning that begins with ``name``.
    """
    inner = [joint for joint in set(parents) if joint > 0]
    if inner and not offsets[inner].any():
        raise InputError("no bone of its skeleton has a length, export it with the offsets of its joints")
    world = np.eye(3)
    try:
        axes = axes_of_rest(joints, parents, offsets, joint_map)
    except InputError:
        standing = stand(joints, parents, offsets, rotvec, trans, joint_map)
        if standing is None:
            raise
        frame, world, offsets, rotvec, trans = standing
        axes = axes_of_rest(joints, parents, offsets, joint_map)
        warnings.warn(
            f"{name}: its zero pose is nobody standing upright, frame {frame + 1} is taken as rest pose; "
            "if the head or the hands come out turned, export it with a T-pose as rest pose",
            stacklevel=3,
        )
    hand = np.linalg.det(axes).round()
    if hand < 0:
        warnings.warn(
            f"{name}: its left, its up and its toes are those of a person in a mirror (left-handed axes, or "
            "sides exchanged), it is read as the mirror image",
            stacklevel=3,
        )
    return Turned(axes @ world, offsets @ axes.T, hand * rotvec @ axes.T, trans @ axes.T)


def axes_of_rest(
    joints: Sequence[str],
    parents: Sequence[int],
    offsets: np.ndarray,
    joint_map: Mapping[str, str] | None = None,
) -> np.ndarray:
    """(3, 3) from the file's axes to Motion's (x left, y up, z forward), by the rest pose's limbs.

    Up is the file axis nearest to the way from the feet to the head, left the one nearest to the way from
    right to left joints, or this way itself where it lies between two axes; joints are known as
    ``find_limbs`` knows them, or by words in their names. Without any, up is y and left is x. The matrix is a
    rotation, or a reflection where both feet point against the direction that left and up have ahead of
    them: a left-handed file. Raises InputError where the zero pose is nobody standing upright along the
    file's axes.
    """
    positions = rest_positions(parents, offsets)
    found = find_limbs(joints, parents, offsets, joint_map)
    limbs = {} if found.missing else found.joints
    up = _feet_to_head(joints, parents, positions, limbs)
    left = sum((positions[a] - positions[b] for a, b in _left_right(joints, limbs)), np.zeros(3))
    up_axis = _nearest_axis(up, default=1)
    left_axis = _nearest_axis(left, default=0)
    level = left - (left @ up_axis) * up_axis
    if 0.5 * np.linalg.norm(left) < left @ left_axis < ALONG_AXIS * np.linalg.norm(level):
        left_axis = level / np.linalg.norm(level)  # the rest pose faces between two axes
    if abs(up_axis @ left_axis) > 0.5:
        raise InputError(
            "its zero pose is nobody standing upright along its axes, export it with a T-pose as rest pose"
        )
    ahead = np.cross(left_axis, up_axis)
    return np.stack(
        [left_axis, up_axis, -ahead if _feet_point_back(found.joints, positions, ahead) else ahead]
    )


def _feet_point_back(limbs: Mapping[str, int], positions: np.ndarray, ahead: np.ndarray) -> bool:
    if not {"left_toe", "right_toe", "left_ankle", "right_ankle"} <= limbs.keys():
        return False
    feet = [positions[limbs[f"{side}_toe"]] - positions[limbs[f"{side}_ankle"]] for side in ("left", "right")]
    return all(foot @ ahead < -POINTING * np.linalg.norm(foot) < 0 for foot in feet)


def metres_per_unit(positions: np.ndarray) -> float:
    """The unit in which a rest skeleton with y up (J, 3) is 1.2 to 2.2 m tall: m, cm, mm, inch or CMU's own.

    The ranges do not overlap, so there is at most one.
    """
    height = np.ptp(positions[:, 1])
    for unit in METRES_PER_UNIT:
        if PERSON_M[0] <= height * unit < PERSON_M[1]:
            return unit
    raise InputError(
        f"its skeleton is {height:.4g} units tall, which is no person in m, cm, mm, inches or CMU's unit, "
        "give the length of its unit in metres as scale"
    )


def _left_right(joints: Sequence[str], limbs: Mapping[str, int]) -> list[tuple[int, int]]:
    """Index pairs of limbs, or of joints whose names differ in their side alone: l_arm, lArm, arm.L ..."""
    if limbs:
        sided = [(limb, limb.replace("left", "right")) for limb in LIMBS if limb.startswith("left")]
        return [(limbs[left], limbs[right]) for left, right in sided if {left, right} <= limbs.keys()]
    index = {joint: j for j, joint in enumerate(joints)}
    pairs = []
    for joint in joints:
        others = [joint.replace(left, right) for left, right in MIRRORED if left in joint]
        others += [right + joint[1:] for left, right in ("lr", "LR") if joint.startswith(left)]
        pairs += [(index[joint], index[other]) for other in others if other in index][:1]
    return pairs


def _feet_to_head(
    joints: Sequence[str], parents: Sequence[int], positions: np.ndarray, limbs: Mapping[str, int]
) -> np.ndarray:
    """The way from the mean foot to the head, or zero where nothing tells of them.

    It must span most of the bones between them: a zero pose that folds the legs over the trunk (as where
    all bones lie along x) says nothing of up and down.
    """
    names = [joint.lower() for joint in joints]
    if limbs:
        head, feet = limbs["head"], [limbs["left_ankle"], limbs["right_ankle"]]
    else:
        head = next((j for word in ("head", "neck") for j, name in enumerate(names) if word in name), None)
        feet = next((f for w in ("ankle", "foot") if (f := [j for j, n in enumerate(names) if w in n])), [])
    if head is None or not feet:
        return np.zeros(3)
    way = positions[head] - positions[feet].mean(axis=0)
    between = [_chain(head, parents) ^ _chain(foot, parents) for foot in feet]
    bones = np.mean(
        [sum(np.linalg.norm(positions[j] - positions[parents[j]]) for j in chain) for chain in between]
    )
    if np.linalg.norm(way) < 0.6 * bones:
        raise InputError("its zero pose is nobody standing upright, export it with a T-pose as rest pose")
    return way


def _chain(joint: int, parents: Sequence[int]) -> set[int]:
    """The joint and all above it but the root: each names the bone that leads to it."""
    chain = set()
    while parents[joint] >= 0:
        chain.add(joint)
        joint = parents[joint]
    return chain


def _nearest_axis(direction: np.ndarray, default: int) -> np.ndarray:
    axis = np.zeros(3)
    largest = int(np.abs(direction).argmax())
    if direction[largest] == 0:
        axis[default] = 1
    else:
        axis[largest] = np.sign(direction[largest])
    return axis

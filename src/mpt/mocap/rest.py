"""What a file's rest skeleton tells of its axes and its unit of length, where the format does not say."""

from collections.abc import Sequence

import numpy as np

from mpt.errors import InputError

# The last is the unit of CMU's skeletons and of the BVH files made from them: 1 / 0.45 inches.
METRES_PER_UNIT = (1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45)
PERSON_M = (1.2, 2.2)

MIRRORED = (
    ("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"),
    (".L", ".R"), (" L", " R"), ("_L", "_R"), ("_l", "_r"),
)  # fmt: skip


def rest_positions(parents: Sequence[int], offsets: np.ndarray) -> np.ndarray:
    """(J, 3) joints of the rest pose, the root at the origin, in the unit of ``offsets``."""
    positions = np.zeros_like(offsets)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            positions[joint] = positions[parent] + offsets[joint]
    return positions


def axes_of_rest(joints: Sequence[str], parents: Sequence[int], offsets: np.ndarray) -> np.ndarray:
    """(3, 3) rotation from the file's axes to Motion's (x left, y up, z forward), by the rest pose's limbs.

    Up is the file axis nearest to the way from the feet to the head, left the one nearest to the way from
    right to left joints; joints are known by their names. Without such names, up is y and left is x.
    Raises InputError where the zero pose is nobody standing upright along the file's axes.
    """
    positions = rest_positions(parents, offsets)
    up = _feet_to_head(joints, parents, positions)
    left = sum((positions[a] - positions[b] for a, b in _left_right(joints)), np.zeros(3))
    up_axis = _nearest_axis(up, default=1)
    left_axis = _nearest_axis(left, default=0)
    if abs(up_axis @ left_axis) > 0.5:
        raise InputError(
            "its zero pose is nobody standing upright along its axes, export it with a T-pose as rest pose"
        )
    return np.stack([left_axis, up_axis, np.cross(left_axis, up_axis)])


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


def _left_right(joints: Sequence[str]) -> list[tuple[int, int]]:
    """Index pairs of joints whose names differ in their side alone: LeftArm, l_arm, lArm, arm.L ..."""
    index = {joint: j for j, joint in enumerate(joints)}
    pairs = []
    for joint in joints:
        others = [joint.replace(left, right) for left, right in MIRRORED if left in joint]
        others += [right + joint[1:] for left, right in ("lr", "LR") if joint.startswith(left)]
        pairs += [(index[joint], index[other]) for other in others if other in index][:1]
    return pairs


def _feet_to_head(joints: Sequence[str], parents: Sequence[int], positions: np.ndarray) -> np.ndarray:
    """The way from the mean foot to the head, or zero where no name tells of them.

    It must span most of the bones between them: a zero pose that folds the legs over the trunk (as where
    all bones lie along x) says nothing of up and down.
    """
    names = [joint.lower() for joint in joints]
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

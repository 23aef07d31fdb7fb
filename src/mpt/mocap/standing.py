"""A rest pose for skeletons whose zero pose is nobody standing: a frame of the motion in which one stands."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import roma
import torch

from mpt.mocap.limbs import find_limbs
from mpt.mocap.tree import way_to

LOOKED_AT = 300  # frames
X, Y, Z = np.eye(3)
RAISED = 0.2  # the cosine beyond which an arm is
UPRIGHT = 0.9  # the least of what makes somebody stand: cosines, and how far a limb is stretched out


class Standing(NamedTuple):
    """A skeleton and its motion about a frame as rest pose, in Motion's axes and the file's unit."""

    frame: int
    axes: np.ndarray  # (3, 3) rotation from the file's world to Motion's
    offsets: np.ndarray  # (J, 3)
    rotvec: np.ndarray  # (T, J, 3)
    trans: np.ndarray  # (T, 3)


def stand(
    joints: Sequence[str],
    parents: Sequence[int],
    offsets: np.ndarray,
    rotvec: np.ndarray,
    trans: np.ndarray,
    joint_map: Mapping[str, str] | None = None,
) -> Standing | None:
    """The motion told from a frame in which the person stands upright along the file's y or z: legs
    stretched, shoulders over the hips, toes ahead, and arms down or out as nearly as in any. None where
    nobody stands, or limbs are not known by name.
    """
    found = find_limbs(joints, parents, offsets, joint_map)
    if found.missing or found.by_tree:
        return None
    turned = _world_rotations(rotvec, parents)
    some = np.linspace(0, len(rotvec) - 1, min(len(rotvec), LOOKED_AT)).astype(int)
    places = np.zeros((len(some), len(joints), 3))
    for joint, parent in enumerate(parents):
        if parent >= 0:
            places[:, joint] = places[:, parent] + turned[some, parent] @ offsets[joint]

    scores = np.stack([_uprightness(places, found.joints, parents, offsets, up) for up in (Y, Z)])
    which, best = np.unravel_index(scores.argmax(), scores.shape)
    if not scores[which, best] > UPRIGHT:
        return None
    up, at = (Y, Z)[which], {limb: places[best, joint] for limb, joint in found.joints.items()}
    left = _level(at["left_hip"] - at["right_hip"] + at["left_shoulder"] - at["right_shoulder"], up)
    person, axes = (np.stack([x, up, np.cross(x, up)]) for x in (left, X))

    rest = person @ turned[some[best]]  # (J, 3, 3) each joint's frame in the new rest pose
    world = axes @ turned @ rest.swapaxes(-1, -2)
    for joint in range(len(joints) - 1, -1, -1):  # children before their parents
        if parents[joint] >= 0:
            world[:, joint] = world[:, parents[joint]].swapaxes(-1, -2) @ world[:, joint]
    above = np.maximum(parents, 0)
    return Standing(
        int(some[best]),
        axes,
        (rest[above] @ offsets[:, :, None])[..., 0],
        roma.rotmat_to_rotvec(torch.from_numpy(world)).numpy(),
        trans @ axes.T,
    )


def _world_rotations(rotvec: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """(T, J, 3, 3) of local rotations (T, J, 3)."""
    turned = roma.rotvec_to_rotmat(torch.from_numpy(rotvec)).numpy()
    for joint, parent in enumerate(parents):
        if parent >= 0:
            turned[:, joint] = turned[:, parent] @ turned[:, joint]
    return turned


def _uprightness(
    places: np.ndarray, limbs: Mapping[str, int], parents: Sequence[int], offsets: np.ndarray, up: np.ndarray
) -> np.ndarray:
    """(T,) the least of what makes somebody stand, 1 at most; where one does, how well the arms are held is
    added.
    """
    at = {limb: places[:, joint] for limb, joint in limbs.items()}

    def stretched(start: str, end: str) -> np.ndarray:
        """(T, 3) way between two joints, of length 1 where the bones between them are stretched out."""
        ways = [way_to(limbs[limb], parents) for limb in (start, end)]
        bones = sum(np.linalg.norm(offsets[joint]) for joint in set(ways[0]) ^ set(ways[1]))
        return (at[end] - at[start]) / max(bones, 1e-12)

    across = [_level(at[f"left_{limb}"] - at[f"right_{limb}"], up) for limb in ("hip", "shoulder")]
    ahead = np.cross(across[0], up)
    scores = [
        (across[0] * across[1]).sum(-1),
        _cosine(at["head"] - (at["left_hip"] + at["right_hip"]) / 2, up),
    ]
    for side in ("left", "right"):
        scores.append(stretched(f"{side}_ankle", f"{side}_hip") @ up)
        if f"{side}_toe" in limbs:
            toes = _level(at[f"{side}_toe"] - at[f"{side}_ankle"], up)
            scores.append(np.abs((toes * ahead).sum(-1)))  # behind them in a left-handed file
    arms = [stretched(f"{side}_shoulder", f"{side}_wrist") for side in ("left", "right")]
    held = [np.hypot(arm @ up, (arm * across[0]).sum(-1)) * (arm @ up < RAISED) for arm in arms]
    upright = np.nan_to_num(np.min(scores, axis=0))
    return upright + np.where(upright > UPRIGHT, np.min(held, axis=0), 0)


def _level(way: np.ndarray, up: np.ndarray) -> np.ndarray:
    """The horizontal direction of a way (..., 3)."""
    level = way - (way @ up)[..., None] * up
    return level / np.maximum(np.linalg.norm(level, axis=-1, keepdims=True), 1e-12)


def _cosine(way: np.ndarray, up: np.ndarray) -> np.ndarray:
    return way @ up / np.maximum(np.linalg.norm(way, axis=-1), 1e-12)

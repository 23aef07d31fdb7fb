"""One person, as any detector writes them -> joints in the order of a skeleton."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from mpt.pose2d.candidates import LeftOut
from mpt.pose2d.keypoints.orders import FEET, ORDERS
from mpt.pose2d.keypoints.rows import rows_of
from mpt.skeletons import BLAZEPOSE33, COCO17, HAND21, Skeleton, find

POINTS = (
    "pose_keypoints_2d", "pose_keypoints", "keypoints", "joints2d_px", "joints",
    "pose_landmarks", "poseLandmarks", "landmarks", "landmark",
)  # fmt: skip
LEFT_HANDS = ("hand_left_keypoints_2d", "hand_left_keypoints", "lefthand_kpts")
RIGHT_HANDS = ("hand_right_keypoints_2d", "hand_right_keypoints", "righthand_kpts")
FOOT = ("foot_kpts",)  # COCO-WholeBody's of both, beside the 17
SCORES_APART = ("keypoint_scores", "keypoints_scores", "keypoints_score", "kp_score", "scores")

ENDS = (
    (FOOT, FEET),
    (LEFT_HANDS, tuple(f"left_{joint}" for joint in HAND21.joints)),
    (RIGHT_HANDS, tuple(f"right_{joint}" for joint in HAND21.joints)),
)
"""Lists of feet and hands beside a body's, and their joints."""

BY_NAME = "call them as COCO does (nose, left_eye, ..., right_ankle)"
GIVE_HANDS = "take hand_left_keypoints_2d (OpenPose), lefthand_kpts (COCO-WholeBody) or 21 keypoints"
ANIMALS = re.compile(r"paw|tail|hoof|withers")
METRES = 3.0  # nobody's joints are farther from the hips

Sided = tuple[np.ndarray, bool]
"""Joints (J, 3) of the file: x, y, score, zero where they are missing; and whether they are a left hand's."""


def people_in(entry: Any, skeleton: Skeleton, names: Sequence[str] | None = None) -> list[Sided]:
    """The body of a file's entry, or its hands, whichever has the skeleton's joints.

    names: what the file calls its points, in their order, where it says so.

    Raises LeftOut for who cannot be read.
    """
    if skeleton == HAND21:
        return _hands(entry)
    points, own_names = rows_of(*body_of(entry), joints=len(names) if names else None)
    if not len(points):
        raise _without_joints(entry)
    for known in (own_names, names):
        if known is not None and len(known) == len(points) and _are_words(known):
            if limb := next(filter(ANIMALS.search, known), None):
                raise LeftOut(f"with a {limb}, an animal", "give the joints of people")
            if not _tells(known, COCO17):
                raise LeftOut(f"whose joints are called {', '.join(known[:4])}, ...", BY_NAME)
            return [(_with_ends(_by_name(points, known, skeleton), entry, skeleton), False)]
    if len(points) == len(BLAZEPOSE33) and _about_the_hips(points):
        raise LeftOut(
            "whose joints are in metres about the hips (world landmarks)", "give those in the picture"
        )
    if len(points) not in ORDERS:
        raise _of_other_joints(len(points))
    found = _by_name(points, ORDERS[len(points)].joints, skeleton)
    return [(_with_ends(found, entry, skeleton), False)]


def is_person(value: Any) -> bool:
    """Whether this looks like somebody: points under a known name, or a bare list of them."""
    if isinstance(value, dict):
        return any(name in value for name in (*POINTS, *LEFT_HANDS, *RIGHT_HANDS))
    if not isinstance(value, list):
        return False
    return _is_flat(value) or any(map(is_joint, value))


def is_joint(value: Any) -> bool:
    """[x, y], [x, y, score] or more of it, or {"x": ..., "y": ...}."""
    if isinstance(value, dict):
        return not isinstance(value.get("x", []), list) or isinstance(value.get("position"), dict)
    return isinstance(value, list) and 2 <= len(value) <= 5 and not any(map(_is_nested, value))


def _is_flat(value: list) -> bool:
    return len(value) > 5 and not any(map(_is_nested, value))


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | dict)


def body_of(entry: Any) -> tuple[Any, Any]:
    """The points of a body and, where they are kept apart, their scores."""
    if not isinstance(entry, dict):
        return entry, None
    points = next((entry[name] for name in POINTS if entry.get(name) is not None), None)
    return points, next((entry[name] for name in SCORES_APART if entry.get(name)), None)


def _hands(entry: Any) -> list[Sided]:
    if isinstance(entry, dict) and any(name in entry for name in (*LEFT_HANDS, *RIGHT_HANDS)):
        # OpenPose leaves the list empty where it did not look for hands
        sided = [(entry.get(name), True) for name in LEFT_HANDS]
        sided += [(entry.get(name), False) for name in RIGHT_HANDS]
        return [(_hand(*rows_of(value, joints=len(HAND21))), left) for value, left in sided if value]
    points, names = rows_of(*body_of(entry), joints=len(HAND21))
    if not len(points):
        raise LeftOut("without joints")
    order = ORDERS.get(len(points))
    if order is not None and order.hands is not None:
        left, right = order.hands
        return [(points[left : left + 21], True), (points[right : right + 21], False)]
    is_left = isinstance(entry, dict) and entry.get("side") == "left"  # in this program's own results
    return [(_hand(points, names), is_left)]


def _with_ends(found: np.ndarray, entry: Any, skeleton: Skeleton) -> np.ndarray:
    """The body's joints (J, 3), those that it lacks taken from lists of feet and hands beside it."""
    if not isinstance(entry, dict):
        return found
    for names, joints in ENDS:
        value = next((entry[name] for name in names if entry.get(name)), None)
        try:
            points, _ = rows_of(value, joints=len(joints))
        except LeftOut:  # the body is told, all the same
            continue
        if len(points) == len(joints):
            found = np.where(found[:, 2:] > 0, found, _by_name(points, joints, skeleton))
    return found


def _hand(points: np.ndarray, names: Sequence[str] | None) -> np.ndarray:
    if names is not None and _tells(names, HAND21):
        return _by_name(points, names, HAND21)
    if len(points) != len(HAND21):
        only = f"of whom only the {len(points)} joints of a body are given"
        other = f"with {len(points)} joints, expected the 21 of a hand"
        raise LeftOut(only if len(points) in ORDERS else other, GIVE_HANDS)
    return points


def _of_other_joints(count: int) -> LeftOut:
    known = ", ".join(f"{order.count} ({order.name})" for order in ORDERS.values())
    return LeftOut(f"with {count} joints, expected {known}", "convert the file to one of them")


def _without_joints(entry: Any) -> LeftOut:
    if not isinstance(entry, dict) or is_person(entry):
        return LeftOut("without joints")
    has = ", ".join(str(name)[:30] for name in list(entry)[:4]) or "nothing"
    return LeftOut(f"without keypoints, who has only {has}", "give keypoints: x, y, score of each joint")


def _about_the_hips(points: np.ndarray) -> bool:
    """Whether BlazePose's points have their origin in the middle of the hips, as its world landmarks do."""
    hips = points[BLAZEPOSE33.indices("left_hip", "right_hip")]
    return bool(
        (hips[:, 2] > 0).all()
        and np.abs(hips[:, :2].mean(0)).max() < 0.02
        and np.abs(points[:, :2]).max() < METRES
    )


def _are_words(names: Sequence[str]) -> bool:
    """Names that differ and are no numbers, "kp1" or the like."""
    return len(set(names)) == len(names) and not all(re.search(r"\d", name) for name in names)


def _tells(names: Sequence[str], skeleton: Skeleton) -> bool:
    """Whether most of the names, or of the skeleton's joints, are known."""
    return 2 * len(set(names) & set(skeleton.joints)) > min(len(skeleton), len(names))


def _by_name(points: np.ndarray, names: Sequence[str], skeleton: Skeleton) -> np.ndarray:
    found = np.zeros((len(skeleton), 3))
    for k, joint in enumerate(skeleton.joints):
        if (row := find(joint, names)) >= 0:
            found[k] = points[row]
    return found

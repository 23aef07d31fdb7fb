"""One person, as any detector writes them -> joints in the order of a skeleton."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from mpt.pose2d.candidates import LeftOut, number
from mpt.pose2d.keypoints.orders import ORDERS
from mpt.skeletons import BLAZEPOSE33, COCO17, HAND21, Skeleton

POINTS = (
    "pose_keypoints_2d", "pose_keypoints", "keypoints", "joints2d_px", "joints",
    "pose_landmarks", "poseLandmarks", "landmarks", "landmark",
)  # fmt: skip
LEFT_HANDS = ("hand_left_keypoints_2d", "hand_left_keypoints", "lefthand_kpts")
RIGHT_HANDS = ("hand_right_keypoints_2d", "hand_right_keypoints", "righthand_kpts")
SCORES_APART = ("keypoint_scores", "keypoints_scores", "keypoints_score", "kp_score")
SCORES = ("score", "confidence", "visibility", "visible", "conf", "presence")
OTHER_WIDTHS = {2 * len(COCO17): 2, 2 * len(HAND21): 2, 4 * len(BLAZEPOSE33): 4}  # of flat lists, if not 3
JOINT_NAMES = ("name", "part", "class")

Sided = tuple[np.ndarray, bool]
"""Joints (J, 3) of the file: x, y, score, zero where they are missing; and whether they are a left hand's."""


def people_in(entry: Any, skeleton: Skeleton, names: Sequence[str] | None = None) -> list[Sided]:
    """The body of a file's entry, or its hands, whichever has the skeleton's joints.

    names: what the file calls its points, in their order, where it says so.

    Raises LeftOut for who cannot be read.
    """
    if skeleton == HAND21:
        return _hands(entry)
    points, own_names = _rows(*_body_of(entry))
    if not len(points):
        raise LeftOut("without joints")
    for known in (own_names, names):
        if known is not None and len(known) == len(points) and _tells(known, COCO17):
            return [(_by_name(points, known, COCO17), False)]
    if len(points) not in ORDERS:
        raise _of_other_joints(len(points))
    return [(_by_name(points, ORDERS[len(points)].joints, COCO17), False)]


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


def _body_of(entry: Any) -> tuple[Any, Any]:
    """The points of a body and, where they are kept apart, their scores."""
    if not isinstance(entry, dict):
        return entry, None
    points = next((entry[name] for name in POINTS if entry.get(name) is not None), None)
    return points, next((entry[name] for name in SCORES_APART if entry.get(name) is not None), None)


def _hands(entry: Any) -> list[Sided]:
    if isinstance(entry, dict) and any(name in entry for name in (*LEFT_HANDS, *RIGHT_HANDS)):
        # OpenPose leaves the list empty where it did not look for hands
        sided = [(entry.get(name), True) for name in LEFT_HANDS]
        sided += [(entry.get(name), False) for name in RIGHT_HANDS]
        return [(_hand(*_rows(value)), left) for value, left in sided if value]
    points, names = _rows(*_body_of(entry))
    if not len(points):
        raise LeftOut("without joints")
    order = ORDERS.get(len(points))
    if order is not None and order.hands is not None:
        left, right = order.hands
        return [(points[left : left + 21], True), (points[right : right + 21], False)]
    is_left = isinstance(entry, dict) and entry.get("side") == "left"  # in this program's own results
    return [(_hand(points, names), is_left)]


def _hand(points: np.ndarray, names: Sequence[str] | None) -> np.ndarray:
    if names is not None and _tells(names, HAND21):
        return _by_name(points, names, HAND21)
    if len(points) in ORDERS:
        raise LeftOut(
            f"of whom only the {len(points)} joints of a body are given",
            "take hand_left_keypoints_2d (OpenPose), lefthand_kpts (COCO-WholeBody) or 21 keypoints",
        )
    if len(points) != len(HAND21):
        raise LeftOut(
            f"with {len(points)} joints, expected the 21 of a hand",
            "take hand_left_keypoints_2d (OpenPose), lefthand_kpts (COCO-WholeBody) or 21 keypoints",
        )
    return points


def _of_other_joints(count: int) -> LeftOut:
    known = ", ".join(f"{order.count} ({order.name})" for order in ORDERS.values())
    return LeftOut(f"with {count} joints, expected {known}", "convert the file to one of them")


def _tells(names: Sequence[str], skeleton: Skeleton) -> bool:
    return len(set(names) & set(skeleton.joints)) > len(skeleton) / 2


def _by_name(points: np.ndarray, names: Sequence[str], skeleton: Skeleton) -> np.ndarray:
    found = np.zeros((len(skeleton), 3))
    for k, joint in enumerate(skeleton.joints):
        if joint in names:
            found[k] = points[names.index(joint)]
    return found


def joint_name(name: Any) -> str:
    """ "leftEye", "Left Eye" -> "left_eye"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[\s-]+", "_", str(name)).lower()


def _rows(value: Any, scores: Any = None) -> tuple[np.ndarray, list[str] | None]:
    """(J, 3) x, y, score of points in any of their shapes, and their names where each has one."""
    value, names = _listed(value)
    array = _array(value)
    scores = None if scores is None else _array(scores).reshape(-1)
    while array.ndim > 2 and array.shape[0] == 1:  # [[[x, y], ...]]
        array = array[0]
    if array.ndim == 1:
        array = array.reshape(-1, _width(len(array), scores))
    if array.ndim != 2 or not 2 <= array.shape[1] <= 5:
        raise LeftOut(
            f"with an array of {' x '.join(map(str, array.shape))}", "list x, y, score of each joint"
        )
    return _clean(array, scores), names


def _listed(value: Any) -> tuple[list, list[str] | None]:
    """The points as lists of numbers, and their names."""
    if isinstance(value, dict) and "landmark" in value:
        value = value["landmark"]
    names = None
    if isinstance(value, dict) and isinstance(value.get("x"), list):  # {"x": [...], "y": [...]}
        columns = [value["x"], value.get("y"), next((value[s] for s in SCORES if s in value), None)]
        lists = [column for column in columns if isinstance(column, list)]
        if len({len(column) for column in lists}) != 1 or len(lists) < 2:
            raise LeftOut("with lists x and y of different lengths", "give one x and y for each joint")
        value = [list(row) for row in zip(*lists)]
    elif isinstance(value, dict):  # {"nose": [x, y, score]}
        names, value = [joint_name(name) for name in value], list(value.values())
    if value is None:
        return [], None
    if not isinstance(value, list):
        number(value)
        raise LeftOut("with one number for keypoints", "list x, y, score of each joint")
    if any(isinstance(joint, dict) for joint in value):
        own = [
            next((j[name] for name in JOINT_NAMES if name in j), None) for j in value if isinstance(j, dict)
        ]
        if names is None and len(own) == len(value) and None not in own:
            names = [joint_name(name) for name in own]
        value = [_of_fields(joint) if isinstance(joint, dict) else joint for joint in value]
    return value, names


def _of_fields(joint: dict) -> list:
    """{"x": ..., "y": ..., "score": ...}, or PoseNet's {"position": {"x": ..., "y": ...}}, as a list."""
    place = joint.get("position", joint)
    if not isinstance(place, dict) or "x" not in place or "y" not in place:
        raise LeftOut("with a joint without x and y", "give x, y, score of each joint")
    return [place["x"], place["y"], next((joint[s] for s in SCORES if joint.get(s) is not None), 1)]


def _array(value: Any) -> np.ndarray:
    try:
        return np.array(value, np.float64)  # null is NaN
    except (TypeError, ValueError, OverflowError):
        return _array_with_gaps(value)


def _array_with_gaps(value: Any) -> np.ndarray:
    """What numpy does not take: a missing joint (null among lists) is filled in, a word is named."""
    if not isinstance(value, list):
        return np.array(number(value))
    rows = [row for row in value if isinstance(row, list)]
    if not rows:
        return np.array([np.nan if item is None else number(item) for item in value])
    width = len(rows[0])
    filled = [[None] * width if row is None else row for row in value]
    if any(not isinstance(row, list) or len(row) != width for row in filled):
        raise LeftOut("with joints of different lengths", "give x, y, score of each joint")
    return np.array([[np.nan if item is None else number(item) for item in row] for row in filled])


def _width(numbers: int, scores: np.ndarray | None) -> int:
    """How many numbers of a flat list are one joint's."""
    of_scores = numbers // len(scores) if scores is not None and len(scores) else None
    width = OTHER_WIDTHS.get(numbers, 3) if of_scores is None else of_scores
    if width == 0 or numbers % width:
        raise LeftOut(f"with a list of {numbers} numbers", "list x, y, score of each joint")
    return width


def _clean(array: np.ndarray, scores: np.ndarray | None) -> np.ndarray:
    """(J, 2 to 5) -> (J, 3) finite, with zeros for missing joints."""
    xy, columns = array[:, :2], array.shape[1]
    if scores is not None:
        if len(scores) != len(array):
            raise LeftOut(f"with {len(array)} joints and {len(scores)} scores", "give one score for each")
    elif columns == 2:
        nowhere = (xy == 0).all(1) | (xy == -1).all(1)
        scores = np.where(nowhere, 0.0, 1.0)
    else:
        scores = array[:, 2 if columns == 3 else 3]  # x, y, z, visibility
    missing = np.isnan(xy).all(1) | (scores <= 0)
    points = np.where(missing[:, None], 0, np.column_stack([xy, scores]))
    if not np.isfinite(points).all():
        raise LeftOut(
            f"with {_first_bad(points)} where a number was expected", "write a missing joint as 0, 0, 0"
        )
    return points


def _first_bad(points: np.ndarray) -> str:
    bad = points[~np.isfinite(points)][0]
    return "null or NaN" if np.isnan(bad) else "infinity"

"""Points as files list them -> rows of x, y and score.

They come as flat or nested lists, with scores among them or apart, as objects with x, y and a score, as lists
of all x and all y, or by the names of the joints.
"""

import re
from typing import Any

import numpy as np

from mpt.pose2d.candidates import LeftOut, number
from mpt.skeletons import BLAZEPOSE33, COCO17

SCORES = ("score", "confidence", "visibility", "visible", "conf", "presence")
OTHER_WIDTHS = {2 * len(COCO17): 2, 4 * len(BLAZEPOSE33): 4}  # of flat lists, if not 3
JOINT_NAMES = ("name", "part", "class", "label", "type", "joint", "keypoint")
SIDES = {"l": "left", "r": "right"}
SHORT_SIDE = re.compile(
    r"^(?P<side>[lr])_?(?P<joint>eye|ear|shoulder|elbow|wrist|hip|knee|ankle|heel|big_?toe|small_?toe)$"
)
GIVE_ROWS = "list x, y, score of each joint"
GIVE_ZEROS = "write a missing joint as 0, 0, 0"


def rows_of(value: Any, scores: Any = None, joints: int | None = None) -> tuple[np.ndarray, list[str] | None]:
    """Points, and their scores where these are apart -> (J, 3) finite x, y, score, zero for what is missing,
    and their names where each has one. ``joints``: how many a flat list probably has.

    Raises LeftOut for what are no points.
    """
    value, names = _listed(value)
    array = _array(value)
    scores = None if scores is None else _array(scores).reshape(-1)
    while array.ndim > 2 and array.shape[0] == 1:  # [[[x, y], ...]]
        array = array[0]
    if array.ndim == 1:
        array = array.reshape(-1, _width(len(array), scores, joints))
    if array.ndim != 2 or not 2 <= array.shape[1] <= 5:
        raise LeftOut(f"with an array of {' x '.join(map(str, array.shape))}", GIVE_ROWS)
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
            raise LeftOut("with lists x and y of different lengths", GIVE_ROWS)
        value = [list(row) for row in zip(*lists)]
    elif isinstance(value, dict):  # {"nose": [x, y, score]}
        names, value = [joint_name(name) for name in value], list(value.values())
    if value is None:
        return [], None
    if isinstance(value, str) and re.search(r"\d[\s,;]+-?\d", value):
        raise LeftOut("with text for keypoints", "write them as a list of numbers, without quotes")
    if not isinstance(value, list):
        number(value)
        raise LeftOut("with one number for keypoints", GIVE_ROWS)
    if any(isinstance(joint, dict) for joint in value):
        own = [
            next((j[name] for name in JOINT_NAMES if name in j), None) for j in value if isinstance(j, dict)
        ]
        if names is None and len(own) == len(value) and None not in own:
            names = [joint_name(name) for name in own]
        value = [_of_fields(joint) if isinstance(joint, dict) else joint for joint in value]
    return value, names


def joint_name(name: Any) -> str:
    """ "leftEye", "Left Eye", "LEye", "l_eye", "leye" -> "left_eye"."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[\s-]+", "_", str(name)).lower()
    return SHORT_SIDE.sub(lambda found: f"{SIDES[found['side']]}_{found['joint']}", words)


def _of_fields(joint: dict) -> list:
    """{"x": ..., "y": ..., "score": ...}, or PoseNet's {"position": {"x": ..., "y": ...}}, as a list."""
    place = joint.get("position", joint)
    if not isinstance(place, dict) or "x" not in place or "y" not in place:
        raise LeftOut("with a joint without x and y", GIVE_ROWS)
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
    for row in filled:
        if isinstance(row, list) and len(row) == width:
            continue
        if isinstance(row, str):
            number(row)
        raise LeftOut("with joints of different lengths", GIVE_ROWS)
    return np.array([[np.nan if item is None else number(item) for item in row] for row in filled])


def _width(numbers: int, scores: np.ndarray | None, joints: int | None) -> int:
    """How many numbers of a flat list are one joint's."""
    if scores is not None and len(scores):
        width = numbers // len(scores)
    elif joints and numbers in (2 * joints, 3 * joints, 4 * joints):
        width = numbers // joints
    else:
        width = OTHER_WIDTHS.get(numbers, 3)
    if width == 0 or numbers % width:
        raise LeftOut(f"with a list of {numbers} numbers", GIVE_ROWS)
    return width


def _clean(array: np.ndarray, scores: np.ndarray | None) -> np.ndarray:
    """(J, 2 to 5) -> (J, 3) finite, with zeros for missing joints."""
    xy, columns = array[:, :2], array.shape[1]
    if scores is not None:
        if len(scores) != len(array):
            raise LeftOut(f"with {len(array)} joints and {len(scores)} scores", "give one score for each")
    elif columns == 2:
        scores = np.ones(len(array))
    else:
        scores = array[:, 2 if columns == 3 else 3]  # x, y, z, visibility
    nowhere = np.isnan(xy).all(1) | (xy == 0).all(1) | (xy == -1).all(1)  # whatever their score
    missing = nowhere | (scores <= 0)
    points = np.where(missing[:, None], 0, np.column_stack([xy, scores]))
    if not np.isfinite(points).all():
        raise LeftOut(f"with {_first_bad(points)} where a number was expected", GIVE_ZEROS)
    return points


def _first_bad(points: np.ndarray) -> str:
    bad = points[~np.isfinite(points)][0]
    return "null or NaN" if np.isnan(bad) else "infinity"

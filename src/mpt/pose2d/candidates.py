"""Who of a detector's candidates is somebody: people of a sure score, each once."""

import math
import reprlib
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

SHOWN = 3  # reasons in a message
MIN_SCORE = 0.5  # detection files list doubtful candidates, too
PERSON = 1  # COCO's category; 0 where categories are counted from 0
PEOPLE = ("person", "people", "human", "pedestrian")
HANDS = ("hand", "left_hand", "right_hand")
CATEGORY_NAMES = ("category", "category_name", "class", "class_name", "label")
CROWDS = ("iscrowd", "is_crowd", "crowd")
SCORES = ("score", "bbox_score", "confidence")

SAME = 0.75  # object keypoint similarity from which two candidates are one person, seen twice
SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000  # COCO's
HAND_SIGMA = 0.035  # about the mean of COCO-WholeBody's hands


class LeftOut(ValueError):
    """Why a candidate is left out, in words that follow "a person": "with a score below 0.5".

    ``advice`` is what to do where nobody else is left; without it, that nobody is left is no error.
    """

    def __init__(self, why: str, advice: str = "") -> None:
        super().__init__(why)
        self.advice = advice


class Categories:
    """Which candidates are people (or hands), by number or name as COCO's files tell it.

    ``entries`` are the candidates of the file, ``listed`` its ``categories``, where it has any.
    """

    def __init__(self, entries: Iterable[Any], listed: Any = None, names: Sequence[str] = PEOPLE) -> None:
        self.names = names
        known = [kind for kind in listed or [] if isinstance(kind, dict)] if isinstance(listed, list) else []
        ids = {key(kind.get("id")) for kind in known if str(kind.get("name")).lower() in names}
        if not known and names == PEOPLE:
            numbers = {key(entry["category_id"]) for entry in entries if _has(entry, "category_id")}
            ids = {"0"} if "0" in numbers else {str(PERSON)}
        self.ids = ids  # empty: the categories have names of their own, and any may be people

    def check(self, entry: dict) -> None:
        """Raises LeftOut for a crowd, another category, and who is doubtful."""
        if any(entry.get(name) in (1, True, "1") for name in CROWDS):
            raise LeftOut("in a crowd")
        if not self._one_of_them(entry):
            raise LeftOut(f"of another category than {self.names[0]}")
        score = score_of(entry)
        if score is not None and not score >= MIN_SCORE:
            raise LeftOut(f"with a score below {MIN_SCORE}")

    def _one_of_them(self, entry: dict) -> bool:
        named = [entry.get(name) for name in (*CATEGORY_NAMES, *(("name",) if "class" in entry else ()))]
        number = entry.get("category_id")
        words = [word.lower() for word in (*named, number) if isinstance(word, str) and not word.isdigit()]
        if words:
            return any(word in self.names for word in words)
        return number is None or not self.ids or key(number) in self.ids


def _has(entry: Any, name: str) -> bool:
    return isinstance(entry, dict) and entry.get(name) is not None


def key(value: Any) -> str:
    """An id as text, so that 1, 1.0 and "1" are one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def score_of(entry: dict) -> float | None:
    """How surely an entry is somebody, where the file says it in a number."""
    for name in SCORES:
        value = entry.get(name)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            try:
                said = float(value)
            except (ValueError, OverflowError):
                continue
            if not math.isnan(said):
                return said
    return None


def each_once(points: np.ndarray, scores: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Which of the people (N, J, 3) stay when nobody is there twice, (N,) bool: the surest of each.

    Somebody is left out for another who has at least half of their joints, with a similarity of 0.75 there:
    a face goes for a whole person, not a whole person for a face. ``mirrored`` (N,): left and right hands
    are never one.
    """
    seen = points[..., 2] > 0
    stay = np.ones(len(points), bool)
    for k in np.lexsort((-seen.sum(1), -scores)):
        if stay[k] and seen[k].any():
            both = seen & seen[k]
            alike = _similarity(points, points[k], both) >= SAME
            enough = 2 * both.sum(1) >= seen.sum(1)
            same = alike & enough & (mirrored == mirrored[k])
            same[k] = False
            stay &= ~same
    return stay


def _similarity(points: np.ndarray, one: np.ndarray, both: np.ndarray) -> np.ndarray:
    """(N,) the object keypoint similarity of people (N, J, 3) to ``one`` (J, 3) by the joints ``both``.

    Somebody's area, which COCO knows from an outline, is taken for a quarter of the square around.
    """
    sigmas = SIGMAS if len(one) == len(SIGMAS) else np.full(len(one), HAND_SIGMA)
    with np.errstate(over="ignore", invalid="ignore"):  # coordinates may be anything yet
        area = np.square(np.ptp(one[one[:, 2] > 0, :2], 0).max()) / 4 + 1e-12
        squared = np.square(points[..., :2] - one[:, :2]).sum(-1)
        likeness = np.exp(-squared / (2 * area * np.square(2 * sigmas)))
    return (likeness * both).sum(1) / np.maximum(both.sum(1), 1)


def note(source: str, reasons: Counter[str], whom: tuple[str, str] = ("person", "people")) -> None:
    """Say how many were left out, and why, in one sentence."""
    reasons = +reasons  # without zeros
    count = sum(reasons.values())
    if not count:
        return
    who, are = (whom[0], "is") if count == 1 else (whom[1], "are")
    if len(reasons) == 1:
        warnings.warn(f"{source}: {count:,} {who} {next(iter(reasons))} {are} left out", stacklevel=3)
        return
    most = reasons.most_common(SHOWN)
    why = ", ".join(f"{times:,} {reason}" for reason, times in most)
    more = ", ..." if len(reasons) > SHOWN else ""
    warnings.warn(f"{source}: {count:,} {who} {are} left out: {why}{more}", stacklevel=3)


def number(value: Any) -> float:
    """A number of the file. Raises LeftOut for a word, null, NaN and infinity."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        raise _no_number(value) from None
    if not math.isfinite(found):
        raise _no_number(value)
    return found


def _no_number(value: Any) -> LeftOut:
    came = "null" if value is None else reprlib.repr(value)
    return LeftOut(f"with {came} where a number was expected", "write a missing joint as 0, 0, 0")

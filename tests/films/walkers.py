"""People whom a 2D network finds without looking: they walk as their film's brightness tells."""

from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
from little_model import standing_joints
from small_films import person

from mpt.pose2d.base import Person2D

SIZE = (160, 120)
FOCAL = 200.0

Place = Callable[[int], tuple[float, float, float] | None]
"""The number of a frame -> where somebody's mid-hip is in camera axes, None where they are away."""


def across(start_m: float, step_m: float, depth_m: float, away: Iterable[int] = ()) -> Place:
    gone = set(away)
    return lambda number: None if number in gone else (start_m + step_m * number, 0.0, depth_m)


@cache
def _standing() -> np.ndarray:
    """(17, 3) in camera axes about the mid-hip."""
    unit = standing_joints((0, 0, 1e6), 1e6, (1, 1))  # from so far that pixels are metres
    joints = np.zeros((len(unit), 3))
    joints[:, :2] = unit[:, :2]
    return joints


class Walkers:
    """A ``Pose2D`` of films whose frames are :func:`small_films.grey` of their number."""

    def __init__(self, *people: Place, interrupt_at: int | None = None) -> None:
        self.people, self.interrupt_at = people, interrupt_at

    def __call__(self, image: np.ndarray) -> list[Person2D]:
        number = round((float(image.mean()) - 20) / 4)
        if number == self.interrupt_at:
            raise KeyboardInterrupt
        places = [place(number) for place in self.people]
        shown = [_standing() + at for at in places if at is not None]
        seen = [joints[:, :2] / joints[:, 2:] * FOCAL + (np.array(SIZE) - 1) / 2 for joints in shown]
        return [person(points) for points in seen][:: 1 if number % 2 else -1]  # in any order


def frames(count: int) -> list[np.ndarray]:
    return [np.full((SIZE[1], SIZE[0], 3), 20 + 4 * number, np.uint8) for number in range(count)]

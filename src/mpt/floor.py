"""Where the floor is under the people of a photo, and the axes of a world in which they stand on it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mpt.rigs.gltf import FACING
from mpt.views import level

DEPTH_ERROR = 0.05  # of a person's distance: how far off it may be, which lifts the feet along their ray
CONTACT_M = 0.03  # how far the lowest skin is off the floor where distances are right
UNSURE_DEG = 25.0  # a model that is less sure of up does not level anything
ASSUMED_UP_DEG = 10.0  # how far photos are off level that are only taken to be
ROUNDS = 5


@dataclass(frozen=True, eq=False)
class World:
    """From camera axes to a world's: y up, z towards the camera, metres; the floor, where there is one, is
    y = 0, and the origin is below the middle of the people.

    Attributes:
        rotation, shift: (3, 3) and (3,): ``x_world = rotation @ x_camera + shift``.
        up_from: whether the model said where up is, or the photo was taken as level.
        above_floor_m: how high above the floor each person's lowest skin is, or below it; None of hands,
            which stand on nothing: then the origin is their middle.
    """

    rotation: np.ndarray
    shift: np.ndarray
    up_from: Literal["model", "assumed"]
    above_floor_m: tuple[float, ...] | None

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) camera axes -> the world's."""
        return points @ self.rotation.T + self.shift

    def between(self, feet: np.ndarray, skin: np.ndarray) -> "World":
        """The same with its origin between somebody's feet, points (N, 3), at the height of their lowest
        skin, (V, 3); both in camera axes.
        """
        x, _, z = self(feet).mean(0)
        return replace(self, shift=self.shift - [x, self(skin)[:, 1].min(), z])


def world_of(
    meshes: Sequence[np.ndarray],
    up: np.ndarray | None,
    up_std_deg: float | None = None,
    *,
    standing: bool = True,
) -> World:
    """The world of people, or hands, in camera axes: meshes (V, 3) metres, where they were photographed.

    up: (3,) unit vector against gravity, and its standard deviation; where it is None the camera is taken to
        have been held level.
    standing: whether these are people on a floor: the plane that they share, which lies square to ``up`` as
        nearly as the lowest skin of several allows. Who stands elsewhere moves it little.
    """
    said = np.array([0.0, -1, 0]) if up is None else np.asarray(up, float)
    std = np.radians(ASSUMED_UP_DEG if up is None or up_std_deg is None else max(up_std_deg, 1.0))
    up_from = "assumed" if up is None else "model"
    middle = np.mean([mesh.mean(0) for mesh in meshes], 0) if len(meshes) else np.zeros(3)
    if not standing or not len(meshes):
        rotation = _upright(said)
        return World(rotation, -rotation @ middle, up_from, None)
    lowest = np.stack([mesh[(mesh @ said).argmin()] for mesh in meshes]).astype(float)
    rotation = _upright(_normal(lowest, said, std) if len(meshes) > 1 else said)
    heights = np.array([(mesh @ rotation[1]).min() for mesh in meshes], float)
    floor = _height(heights, _error(lowest, rotation[1]))
    shift = -rotation @ middle
    shift[1] = -floor
    return World(rotation, shift, up_from, tuple(float(height) for height in heights - floor))


def _upright(up: np.ndarray) -> np.ndarray:
    return FACING[:, None] * level(up)


def _error(lowest: np.ndarray, up: np.ndarray) -> float:
    """Metres by which points (N, 3) that stand on the floor are off it, along up; for all that of the lowest,
    or somebody high up would be believed most.
    """
    return CONTACT_M + DEPTH_ERROR * float(np.abs(lowest @ up).max())


def _normal(lowest: np.ndarray, up: np.ndarray, std: float) -> np.ndarray:
    """(3,) of the plane through points (N, 3), as far as they tell it better than ``up`` with its spread.

    Tilts are small: normal = up + a * east + b * north, so that heights are linear in a, b and the plane's.
    """
    east = np.cross(up, [0.0, 0, 1])
    if np.linalg.norm(east) < 0.1:  # the camera looks straight down
        east = np.cross(up, [0.0, 1, 0])
    east /= np.linalg.norm(east)
    north = np.cross(east, up)
    columns = np.column_stack([lowest @ east, lowest @ north, -np.ones(len(lowest))])
    heights, error = lowest @ up, _error(lowest, up)
    tilt = np.array([0.0, 0.0, _height(heights, error)])
    for _ in range(ROUNDS):
        weight = _trust((columns @ tilt + heights) / error) / error
        rows = np.concatenate([columns * weight[:, None], np.eye(2, 3) / std])
        tilt = np.linalg.lstsq(rows, np.concatenate([-heights * weight, np.zeros(2)]), rcond=None)[0]
    normal = up + tilt[0] * east + tilt[1] * north
    return normal / np.linalg.norm(normal)


def _height(heights: np.ndarray, error: float) -> float:
    """The height that most share: those who are far off, on a chair or in the air, hardly count."""
    found = float(np.sort(heights)[(len(heights) - 1) // 2])
    for _ in range(ROUNDS):
        weight = _trust((heights - found) / error) ** 2
        found = float(weight @ heights / weight.sum())
    return found


def _trust(off: np.ndarray) -> np.ndarray:
    """Weights of residuals, in their own spread: one near zero, less and less beyond (Geman and McClure)."""
    return 1 / (1 + (off / 2) ** 2)

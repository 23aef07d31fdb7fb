"""The axes of joints, such that a program that draws bones along them draws a skeleton."""

from collections.abc import Callable

import numpy as np

MIDDLE = 0.005  # metres off the plane between left and right, of spine and neck
STEEP = 0.8  # of a bone's direction that leads ahead: from there on up takes the place of ahead
UP, AHEAD = np.array([0.0, 1, 0]), np.array([0.0, 0, 1])


def aimed(parents: tuple[int, ...], heads: np.ndarray, end: Callable[[int], np.ndarray]) -> np.ndarray:
    """(J, 3, 3) axes of joints at rest, as columns: y along the bone, z ahead as nearly as that allows.

    heads: (J, 3); end: (3,) where the skin that a joint carries ends. A bone leads to the next joint;
    where there are several to the one that goes on in the middle of the body, or to the middle of all; from
    a last joint, or one before several last ones (a head with its eyes), to the end of its skin.
    """
    axes: list[np.ndarray] = []
    for joint, parent in enumerate(parents):
        below = [child for child, above in enumerate(parents) if above == joint]
        if len(below) > 1 and not any(child in parents for child in below):
            below = []
        inner = [child for child in below if abs(heads[child, 0] - heads[joint, 0]) < MIDDLE]
        to = heads[inner or below].mean(0) if below else end(joint)
        way, length = to - heads[joint], float(np.linalg.norm(to - heads[joint]))
        y = way / length if length > 1e-6 else axes[parent][:, 1] if parent >= 0 else UP
        ahead = UP if abs(y @ AHEAD) > STEEP else AHEAD
        x = np.cross(y, ahead)
        x /= np.linalg.norm(x)
        axes.append(np.column_stack([x, y, np.cross(x, y)]))
    return np.stack(axes)

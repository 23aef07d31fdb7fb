"""From how far away a body's view shows everybody."""

import math
from collections.abc import Sequence

import numpy as np

FOV_RAD = 0.8  # of the view, from its lower edge to its upper one
ASPECT = 4 / 3  # width of the view over its height
MARGIN = 1.2  # for the view looks down a little, and takes its middle elsewhere than ours


def distance_m(points: Sequence[np.ndarray]) -> float | None:
    """From the middle of people's points, each (N, 3) in a world of y up and z towards the viewer; None
    without people.
    """
    if not len(points):
        return None
    everybody = np.concatenate([np.reshape(one, (-1, 3)) for one in points])
    x, y, nearer = (everybody - (everybody.min(0) + everybody.max(0)) / 2).T
    half = math.tan(FOV_RAD / 2)
    wanted = np.maximum(np.abs(x) / ASPECT, np.abs(y)) / half + nearer
    return MARGIN * float(wanted.max())

"""Markers as a C3D file, by the ``ezc3d`` package."""

import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mpt.biomechanics.axes import Frames
from mpt.biomechanics.markers import markers
from mpt.bodies.motion import BodyMotion
from mpt.errors import InputError
from mpt.rigs.rig import Place

MM = 1000.0
MOST_FRAMES = 65535  # that the format can count


def check_ezc3d() -> None:
    """Raises InputError where C3D cannot be written, for want of ``ezc3d``."""
    if find_spec("ezc3d") is None:
        raise InputError(
            "c3d is written by the package ezc3d, which is not installed: run `pip install "
            "'mesh-pretraining[c3d]'`, or write trc, which holds the same markers"
        )


def c3d(motion: BodyMotion, place: Place) -> bytes:
    """Markers in millimetres, x forward, y up, z to the right; NaN, with the residual -1, where somebody was
    away.

    place: from the axes of the motion to a world's (y up, z towards the camera).

    Raises InputError where ``ezc3d`` is missing, or there are more frames than the format can count.
    """
    check_ezc3d()
    import ezc3d

    frames, names, points = markers(motion, place)
    file = ezc3d.c3d()
    file["header"]["points"]["first_frame"] = _first(frames)
    told = file["parameters"]["POINT"]
    told["RATE"]["value"] = [motion.fps]
    told["UNITS"]["value"] = ["mm"]
    told["LABELS"]["value"] = list(names)
    file.add_parameter("POINT", "X_SCREEN", ["+X"])
    file.add_parameter("POINT", "Y_SCREEN", ["+Y"])
    file.add_parameter("MANUFACTURER", "SOFTWARE", ["mpt"])
    xyz = MM * points.transpose(2, 1, 0)  # (3, M, N)
    file["data"]["points"] = np.concatenate([xyz, np.ones_like(xyz[:1])])
    with tempfile.TemporaryDirectory(prefix="mpt-") as folder:
        path = Path(folder) / "markers.c3d"
        file.write(str(path))
        return path.read_bytes()


def _first(frames: Frames) -> int:
    """The number of the first frame, from 0."""
    count = len(frames.times_s)
    if count > MOST_FRAMES:
        raise InputError(f"c3d holds {MOST_FRAMES} frames at most, these are {count}: write trc or csv")
    if frames.first + count > MOST_FRAMES:
        warnings.warn(
            f"c3d counts to {MOST_FRAMES}: its frames are numbered from the first one that somebody is in",
            stacklevel=3,
        )
        return 0
    return frames.first

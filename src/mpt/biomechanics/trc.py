"""Markers as a TRC file, which OpenSim reads."""

import numpy as np

from mpt.biomechanics.markers import markers
from mpt.bodies.motion import BodyMotion
from mpt.rigs.rig import Place


def trc(motion: BodyMotion, place: Place, name: str = "markers.trc") -> bytes:
    """Markers in metres, x forward, y up, z to the right; cells are empty where somebody was away.

    place: from the axes of the motion to a world's (y up, z towards the camera).
    name: what the file says that it is called.
    """
    frames, names, points = markers(motion, place)
    points = points.round(6) + 0.0  # + 0.0: no -0.0
    count, first, rate = len(points), frames.first + 1, f"{motion.fps:.6g}"
    numbers = range(1, len(names) + 1)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate}\t{rate}\t{count}\t{len(names)}\tm\t{rate}\t{first}\t{count}",
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
        "\t\t" + "\t".join(f"X{number}\tY{number}\tZ{number}" for number in numbers),
        "",
    ]
    for number, (time, row) in enumerate(zip(frames.times_s, points.reshape(count, -1)), first):
        cells = [""] * len(row) if np.isnan(row[0]) else [f"{value:.6f}" for value in row]
        lines.append("\t".join([str(number), f"{time:.6f}", *cells]))
    return ("\n".join(lines) + "\n").encode()

"""A rig as a BVH file of one frame."""

from typing import Literal

import numpy as np
import roma
import torch

from mpt.rigs.rig import Rig

Scale = Literal["m", "cm"]
UNITS = {"m": 1.0, "cm": 100.0}
"""Of each scale: how many of its units a metre has."""
FRAME_S = 1 / 30


def bvh(rig: Rig, scale: Scale = "m") -> bytes:
    """The hierarchy at rest, y up and facing +z, and the pose as its only frame.

    The root's OFFSET is zero and its place stands in the frame, so that readers who add the two and readers
    who take the one for the other agree. Rotations are in degrees, about z, then the turned x, then y.
    """
    unit = UNITS[scale]
    children: dict[int, list[int]] = {}
    for joint, parent in enumerate(rig.parents):
        children.setdefault(parent, []).append(joint)
    order: list[int] = []
    lines = ["HIERARCHY"]

    def write(joint: int, depth: int) -> None:
        order.append(joint)
        indent, inner = "\t" * depth, "\t" * (depth + 1)
        root = depth == 0
        offset = np.zeros(3) if root else rig.offsets[joint]
        places = "6 Xposition Yposition Zposition" if root else "3"
        lines.append(f"{indent}{'ROOT' if root else 'JOINT'} {rig.joints[joint]}")
        lines.append(f"{indent}{{")
        lines.append(f"{inner}OFFSET {_words(offset * unit)}")
        lines.append(f"{inner}CHANNELS {places} Zrotation Xrotation Yrotation")
        for child in children.get(joint, []):
            write(child, depth + 1)
        if joint not in children:
            end = _words(_end(rig, joint) * unit)
            lines.extend([f"{inner}End Site", f"{inner}{{", f"{inner}\tOFFSET {end}", f"{inner}}}"])
        lines.append(f"{indent}}}")

    write(0, 0)
    angles = roma.rotmat_to_euler("ZXY", torch.from_numpy(rig.turns[order]), degrees=True)
    frame = np.concatenate([rig.root_m * unit, np.ravel(np.asarray(angles))])
    lines += ["MOTION", "Frames: 1", f"Frame Time: {FRAME_S:.6f}", _words(frame)]
    return ("\n".join(lines) + "\n").encode()


def _end(rig: Rig, joint: int) -> np.ndarray:
    """(3,) from a last joint to the end of the skin that it carries, along the way to that skin's middle."""
    way = rig.vertices[rig.skin_index[:, 0] == joint] - rig.heads[joint]
    if not len(way):
        return np.zeros(3)
    middle = way.mean(0)
    middle /= max(float(np.linalg.norm(middle)), 1e-9)
    return middle * (way @ middle).max()


def _words(numbers: np.ndarray) -> str:
    return " ".join(f"{number + 0.0:.6f}" for number in np.round(numbers, 6))

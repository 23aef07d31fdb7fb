"""A rig as a BVH file."""

from typing import Literal

import numpy as np
import roma
import torch

from mpt.rigs.rig import Rig
from mpt.rigs.timing import at_rate

Scale = Literal["m", "cm"]
UNITS = {"m": 1.0, "cm": 100.0}
"""Of each scale: how many of its units a metre has."""


def bvh(rig: Rig, scale: Scale = "m") -> bytes:
    """The hierarchy at rest, y up and facing +z, and ``rig.fps`` frames a second from the first to the last:
    the rig's own, and where these come at other times what is between them.

    The root's OFFSET is zero and its place stands in the frames, so that readers who add the two and readers
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
            end = _words((rig.end(joint) - rig.heads[joint]) * unit)
            lines.extend([f"{inner}End Site", f"{inner}{{", f"{inner}\tOFFSET {end}", f"{inner}}}"])
        lines.append(f"{indent}}}")

    write(0, 0)
    turns, root_m = _counted(rig)
    angles = roma.rotmat_to_euler("ZXY", torch.from_numpy(turns[:, order]), degrees=True)
    frames = np.column_stack([root_m * unit, _steady(np.asarray(angles)).reshape(len(turns), -1)])
    lines += ["MOTION", f"Frames: {len(frames)}", f"Frame Time: {1 / rig.fps:.8f}", *map(_words, frames)]
    return ("\n".join(lines) + "\n").encode()


def _counted(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """Turns (N, J, 3, 3) and places of the root (N, 3) at every frame of the file."""
    before, after, share = at_rate(rig.times_s, rig.fps)
    turns, root_m = rig.turns[before].astype(float), rig.root_m[before]
    root_m = root_m + share[:, None] * (rig.root_m[after] - root_m)
    on_the_way = share > 0
    step = torch.from_numpy(turns[on_the_way].swapaxes(-1, -2) @ rig.turns[after[on_the_way]])
    part = roma.rotmat_to_rotvec(step) * torch.from_numpy(share[on_the_way])[:, None, None]
    turns[on_the_way] = turns[on_the_way] @ roma.rotvec_to_rotmat(part).numpy()
    return turns, root_m


def _steady(angles: np.ndarray) -> np.ndarray:
    """Angles (N, J, 3) about z, x, y in degrees, such that none jumps where the rotation does not.

    Of (z, x, y), (z + 180, 180 - x, y + 180) and whole turns each is the nearest to the frame before.
    """
    found = angles.copy()
    for frame in range(1, len(angles)):
        z, x, y = angles[frame].T
        spellings = np.stack([angles[frame], np.stack([z + 180, 180 - x, y + 180], 1)])
        spellings += 360 * np.round((found[frame - 1] - spellings) / 360)
        nearest = np.abs(spellings - found[frame - 1]).sum(2).argmin(0)
        found[frame] = spellings[nearest, range(len(nearest))]
    return found


def _words(numbers: np.ndarray) -> str:
    return " ".join(f"{number + 0.0:.6f}" for number in np.round(numbers, 6))

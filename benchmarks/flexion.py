"""How far people who stand and walk bend knees and elbows, as captured and straightened.

python benchmarks/flexion.py mocap/cmu mocap/ual

Degrees between the two bones of a limb, which are the body's own as well: retargeting lays its limbs along
the motion's. Percentiles over both sides and all frames of a folder's motion in which upright people stand
still (hips, ankles), or walk with this foot on the ground; of elbows, stand still with this arm hanging.
"""

import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import tyro
from measuring import table

import mpt.mocap
from mpt.mocap.limbs import find_limbs
from mpt.mocap.straighten import LIMBS, LimbLengths, could_be_straight, flexions, straighten

STILL_M_S = 0.15
WALKING_M_S = (0.6, 2.0)
PERCENTILES = (2, 10, 50)
FEWEST = 60  # frames


def main(folders: tyro.conf.Positional[tuple[Path, ...]], /) -> None:
    """Print a row for each folder."""
    warnings.simplefilter("ignore")
    rows = [_row(folder) for folder in folders]
    columns = ["", "minutes", "standing", "walking, stance", "hanging elbows", "moved, mm: 50 / 98 / 99.9 %"]
    table("Flexion, degrees: 2 / 10 / 50 % as captured -> straightened", columns, rows)


def _row(folder: Path) -> list[str]:
    motions = [mpt.mocap.read(path) for path in mpt.mocap.find([folder])]
    lengths = LimbLengths()
    for motion in motions:
        lengths.see(motion)
    angles: dict[str, list[np.ndarray]] = defaultdict(list)
    moved = []
    for motion in motions:
        straight = straighten(motion, lengths.scales(motion))
        joints = find_limbs(motion.joints, motion.parents.tolist(), motion.offsets, motion.joint_map).joints
        places, after = motion.positions(), straight.positions()
        both = {limb: (found, flexions(straight)[limb]) for limb, found in flexions(motion).items()}
        for doing, frames in _doing(places, joints, motion.fps).items():
            kind, limb = doing
            angles[kind].append(np.stack(both[limb])[:, frames])
        ends = [joints[end] for _, _, end in LIMBS.values()]
        moved.append(1000 * np.linalg.norm(after - places, axis=-1)[:, ends].ravel())
    minutes = sum(motion.seconds for motion in motions) / 60
    told = [_percentiles(np.concatenate(angles[kind], 1)) for kind in ("standing", "walking", "hanging")]
    far = " / ".join(f"{mm:.1f}" for mm in np.percentile(np.concatenate(moved), [50, 98, 99.9]))
    return [folder.name, f"{minutes:.1f}", *told, far]


def _doing(places: np.ndarray, joints: dict[str, int], fps: float) -> dict[tuple[str, str], np.ndarray]:
    """(T,) of what and which limb: the frames that count."""
    hips = (places[:, joints["left_hip"]] + places[:, joints["right_hip"]]) / 2
    ankles = [places[:, joints[f"{side}_ankle"]] for side in ("left", "right")]
    still = np.all([_speed(way, fps) < STILL_M_S for way in (hips, *ankles)], axis=0)
    pace = _speed(hips * [1, 0, 1], fps)
    walking = (pace > WALKING_M_S[0]) & (pace < WALKING_M_S[1])
    found = {}
    for limb, useful in could_be_straight(places, joints, fps).items():
        if limb.endswith("leg"):
            found |= {("standing", limb): useful & still, ("walking", limb): useful & walking}
        else:
            found["hanging", limb] = useful & still
    return found


def _speed(way: np.ndarray, fps: float) -> np.ndarray:
    """(T,) metres a second of places (T, 3)."""
    return np.linalg.norm(np.gradient(way, axis=0), axis=-1) * fps if len(way) > 1 else np.zeros(len(way))


def _percentiles(angles: np.ndarray) -> str:
    """Of (2, N) degrees before and after."""
    if angles.shape[1] < FEWEST:
        return "-"
    return " -> ".join(" / ".join(f"{a:.0f}" for a in np.percentile(some, PERCENTILES)) for some in angles)


if __name__ == "__main__":
    tyro.cli(main)

"""How far joint angles are off that a model gives, on held-out poses, and how sure they are said to be.

    python benchmarks/angles.py --store my.store [--model mpt-small] [--samples 400]

Random people in these poses are seen by random cameras through detector-like maps; the body is laid on the
predicted meshes, and on the true ones, whose angles are the truth. Errors are in degrees, ``bias`` is their
mean, the others are of their sizes. ``within`` is the share of errors below the standard deviation that is
said, of a Gaussian's 68 %, which so many of the deviations would hold.
"""

import numpy as np
from fits import BATCH, asked, meshes, told

from mpt.biomechanics.table import columns
from mpt.bodies.fitting import BodyFitter
from mpt.bodies.motion import still
from mpt.heatmaps import DETECTOR
from mpt.rigs.rig import Place

UPRIGHT = Place(np.diag([1.0, -1, -1]), np.zeros(3))


def main() -> None:
    model, body, bones, rotvec, as_json = asked(__doc__, 400)
    predicted, true, std_m = meshes(model, body, bones, rotvec, DETECTOR)
    fitter = BodyFitter(body)
    found, truth = (angles(fitter, each, std_m) for each in (predicted, true))
    rows = [row(name, found, truth) for name in found if f"{name[:-2]}_l" != name and "_std" not in name]
    told(rows, f"{model.name}: angles of {len(rotvec)} people, degrees", as_json)


def angles(fitter: BodyFitter, vertices: np.ndarray, std_m: np.ndarray) -> dict[str, np.ndarray]:
    """(N,) of each angle and its deviation, of bodies laid on meshes (N, V, 3)."""
    told = []
    for first in range(0, len(vertices), BATCH):
        some = slice(first, first + BATCH)
        for pose, std in zip(fitter(vertices[some]), std_m[some]):
            told.append(columns(still(pose), UPRIGHT, std[None]))
    at = list(told[0]).index("pelvis_rotation")
    return {name: np.concatenate([each[name] for each in told]) for name in list(told[0])[at:]}


def row(name: str, found: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> dict[str, str | float]:
    """An angle's errors; of limbs both sides'."""
    sides = [name[:-1] + side for side in "rl"] if name.endswith("_r") else [name]
    error = np.concatenate([(found[side] - truth[side] + 180) % 360 - 180 for side in sides])
    off = np.abs(error)
    errors = {
        "angle": name,
        "bias": float(error.mean()),
        "mean": float(off.mean()),
        "median": float(np.median(off)),
        "68 %": float(np.quantile(off, 0.68)),
    }
    if f"{name}_std" not in found:
        return errors | {"said": "", "within %": "", "68 % within": ""}
    std = np.concatenate([found[f"{side}_std"] for side in sides])
    return errors | {
        "said": float(np.median(std)),
        "within %": float(100 * (off < std).mean()),
        "68 % within": float(np.quantile(off / std, 0.68)),
    }


if __name__ == "__main__":
    main()

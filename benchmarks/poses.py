"""Errors on held-out motion by kind of pose: heatmaps -> mesh, mm, with and without a detector's noise.

    python benchmarks/poses.py --store my.store [--also other.store] [--model mpt-small] [--samples 1000]

Bins are of the pelvis's height above the lowest joint and of the trunk's tilt; each is filled to at least
200 samples (the same pose may come again, on another person, seen by another camera). Widened poses (limbs
exchanged or drawn inside joint limits, perturbed) are listed apart: nobody performed them.
"""

import argparse
import json
import sys
from dataclasses import replace

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mpt import bodies, checkpoint
from mpt.datasets.store import PoseStore
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.heatmaps import DETECTOR
from mpt.recipes.evaluate import evaluate_poses, spread
from mpt.recipes.poses import pose_kind

LEAST = 200
METRICS = ("mpjpe", "pa_mpjpe", "mpve")


def bins(height: np.ndarray, tilt: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> which poses, by pelvis height (m) and trunk tilt (degrees)."""
    return {
        "pelvis under 0.4 m": height < 0.4,
        "pelvis 0.4 to 0.6 m": (height >= 0.4) & (height < 0.6),
        "pelvis 0.6 to 0.8 m": (height >= 0.6) & (height < 0.8),
        "pelvis over 0.8 m": height >= 0.8,
        "trunk upright, under 30 deg": tilt < 30,
        "trunk 30 to 60 deg": (tilt >= 30) & (tilt < 60),
        "trunk 60 to 120 deg": (tilt >= 60) & (tilt < 120),
        "trunk over 120 deg": tilt >= 120,
    }


def filled(index: np.ndarray, count: int) -> np.ndarray:
    """``count`` of the indices, spread evenly; repeated where there are fewer than LEAST."""
    if len(index) < LEAST:
        return np.resize(index, LEAST)
    return spread(index, count)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", required=True, help="its validation subjects are used")
    parser.add_argument("--also", nargs="*", default=[], help="further stores, all of whose poses are used")
    parser.add_argument("--model", default="mpt-small")
    parser.add_argument("--samples", type=int, default=1000, help="most poses of a row")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = checkpoint.load(options.model)
    body = bodies.load(model.body, model.skeleton.name)
    store = PoseStore(options.store, body=body)

    held = store.validation
    sets = {"validation subjects": store.rotvec(filled(held, options.samples))}
    for name, which in bins(*store.kind(held)).items():
        if which.any():
            sets[f"  {name} ({which.sum():,} poses)"] = store.rotvec(
                filled(held[which], options.samples // 2)
            )
    widened = wider(store, body, held, options.samples)
    sets["widened validation poses"] = widened
    for name, which in bins(*pose_kind(widened, body)).items():
        if which.sum() >= LEAST // 4:
            sets[f"  {name}, widened"] = widened[filled(np.flatnonzero(which), options.samples // 2)]
    for path in options.also:
        other = PoseStore(path, body=body)
        sets[path.rsplit("/", 1)[-1]] = other.rotvec(filled(np.arange(len(other)), options.samples))

    found = []
    for name, rotvec in sets.items():
        row = {"poses": name, "samples": len(rotvec)}
        for noise_name, noise in (("perfect", None), ("detector", DETECTOR)):
            errors = evaluate_poses(model.transformer, body, store.bones, rotvec, noise=noise).means()
            row[noise_name] = {metric: round(errors[metric], 1) for metric in METRICS}
        found.append(row)
    if options.json:
        json.dump(found, sys.stdout, indent=1)
        return
    table = Table(title=f"{model.name}: MPJPE / PA-MPJPE / MPVE, mm")
    for column in ("poses", "samples", "perfect maps", "detector-like maps"):
        table.add_column(column, justify="left" if column == "poses" else "right")
    for row in found:
        shown = (" / ".join(f"{row[key][m]:.0f}" for m in METRICS) for key in ("perfect", "detector"))
        table.add_row(row["poses"], f"{row['samples']:,}", *shown)
    Console().print(table)


def wider(store: PoseStore, body: bodies.Body, index: np.ndarray, count: int) -> np.ndarray:
    """(count, bones, 3) poses made from those at ``index`` as training makes them."""
    config = SyntheticConfig()
    widening = replace(config.widening, exchange=0.6, legs=0.4, arms=0.3)
    synthesize = Synthesizer(
        body, store.bones, replace(config, widening=widening), inputs="joints", coarse_vertices=431
    )
    rotvec = torch.from_numpy(store.rotvec(filled(index, count)))[:, synthesize.column]
    return synthesize.widen(rotvec, torch.Generator().manual_seed(7)).numpy()


if __name__ == "__main__":
    main()

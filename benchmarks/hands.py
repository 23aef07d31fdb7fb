"""Hands with exact truth: photographs of hands that the program makes itself, and then reads.

python benchmarks/hands.py --model mpt-hand --count 200

Random poses inside joint limits, people, sleeves, places and cameras; every other picture is mirrored, which
makes its hand a left one. Picture -> BlazePalm -> mesh; BlazePalm's own 3D landmarks are the rival. 200
pictures take some minutes of one core.
"""

from pathlib import Path

import numpy as np
import torch
import tyro
from measuring import table, write_json
from rich.progress import track

import mpt
from mpt import bodies
from mpt.bodies.hand_poses import sample_hand_poses
from mpt.metrics import mpjpe, pa_mpjpe
from mpt.pose2d.base import Person2D
from mpt.scenes import HandScene, hand_scene

SEED = 20251125


def scenes(count: int):
    """The first ``count`` pictures of a fixed series."""
    whole, hand = bodies.load("anny"), bodies.load("anny-hand")
    poses = sample_hand_poses(hand, 4096, torch.Generator().manual_seed(SEED)).numpy()
    people = whole.sample_shapes(4096, torch.Generator().manual_seed(SEED)).numpy()
    for k in range(count):
        scene = hand_scene(whole, poses[k % 4096], people[k % 4096], np.random.default_rng([SEED, k]))
        yield scene.mirrored() if k % 2 else scene


def nearest(scene: HandScene, found: list[Person2D]) -> int | None:
    """Which of the hands found is the true one."""
    pixels = scene.vertices @ scene.K.T
    low, high = ((pixels[:, :2] / pixels[:, 2:]).min(0), (pixels[:, :2] / pixels[:, 2:]).max(0))
    distances = [np.abs(p.joints2d_px[:, :2].mean(0) - (low + high) / 2).max() for p in found]
    near = [d < (high - low).max() / 2 for d in distances]
    return int(np.argmin(distances)) if any(near) else None


def main(model: str = "mpt-hand", count: int = 200, json: Path | None = None) -> None:
    """Score a hand model on rendered photographs.

    Args:
        model: a name, a model file or a run folder.
        count: how many pictures.
        json: also write the figures to this file.
    """
    reconstructor, hand = mpt.load(model, device="cpu"), bodies.load("anny-hand")
    errors: dict[str, list[float]] = {}
    sided = 0
    for scene in track(scenes(count), "pictures", total=count):
        found = reconstructor.pose2d(scene.image)
        which = nearest(scene, found)
        if which is None:
            continue
        seen = found[which]
        sided += seen.mirrored == scene.left
        truth = scene.subject(hand)
        vertices, joints = torch.from_numpy(truth.vertices), torch.from_numpy(truth.joints)
        vertices, joints = (x - joints[:1] for x in (vertices, joints))
        (mine,) = reconstructor.lift([seen], scene.image.shape[1::-1], focal_px=scene.K[0, 0])
        own = torch.from_numpy(mine.joints3d)
        row = {
            "mpjpe_mm": mpjpe(own, joints),
            "pa_mpjpe_mm": pa_mpjpe(own, joints),
            "pa_mpvpe_mm": pa_mpjpe(torch.from_numpy(mine.vertices), vertices),
            "blazepalm_pa_mpjpe_mm": pa_mpjpe(torch.from_numpy(seen.world_landmarks).float(), joints),
        }
        for name, value in row.items():
            errors.setdefault(name, []).append(float(value))

    names = {
        "mpjpe_mm": "MPJPE",
        "pa_mpjpe_mm": "PA-MPJPE",
        "pa_mpvpe_mm": "PA-MPVPE",
        "blazepalm_pa_mpjpe_mm": "PA-MPJPE of BlazePalm's own 3D",
    }
    rows = [
        [said, float(np.mean(errors[name])), *(float(np.percentile(errors[name], q)) for q in (50, 95))]
        for name, said in names.items()
        if errors
    ]
    n = len(errors.get("mpjpe_mm", ()))
    table(
        f"{model}: {n} of {count} hands found, {sided} on the right side; mm",
        ["", "mean", "median", "95 %"],
        rows,
    )
    means = {name: float(np.mean(values)) for name, values in errors.items()}
    write_json(json, {"model": model, "pictures": count, "found": n, "sided": sided} | means)


if __name__ == "__main__":
    tyro.cli(main)

"""Little clips of people who wave all their bones, and what it takes to prepare them."""

import numpy as np
import pytest
from rich.console import Console

import mpt.bodies


@pytest.fixture(scope="module", name="body")
def given_body():
    return mpt.bodies.load("anny")


@pytest.fixture(name="console")
def given_console(tmp_path):
    with (tmp_path / "console.txt").open("w") as file:
        yield Console(file=file, width=200)


@pytest.fixture(scope="module", name="skeleton")
def given_skeleton(body):
    part = body.with_bones(body.moving_bones)
    heads = part.heads.double().numpy()
    offsets = heads - heads[[max(parent, 0) for parent in part.parents]]
    return {"names": np.array(part.bones), "parents": np.array(part.parents), "offsets": offsets}


def write_clip(path, skeleton, rotvec, fps=30):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **skeleton, rotvec=rotvec, trans=np.zeros((len(rotvec), 3)), fps=fps)


def waving(frames: int, bones: int, seed: int = 0) -> np.ndarray:
    """Rotations that change by 3 to 10 degrees a frame, all within a person's limits."""
    steps = np.random.default_rng(seed).uniform(0.05, 0.15, (frames, bones, 3)) * [1, 0, 0]
    return np.where(np.cumsum(steps, 0) % 2 > 1, 1 - np.cumsum(steps, 0) % 1, np.cumsum(steps, 0) % 1)


@pytest.fixture(name="clips")
def given_clips(tmp_path, skeleton):
    folder = tmp_path / "clips"
    bones = len(skeleton["names"])
    for seed, (subject, name, frames) in enumerate([("a", "walk", 20), ("a", "run", 15), ("b", "sit", 10)]):
        write_clip(folder / subject / f"{name}.npz", skeleton, waving(frames, bones, seed))
    return folder

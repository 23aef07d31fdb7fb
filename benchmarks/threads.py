"""One thread against all, on a machine that is idle, and on one where another program keeps each core busy.

    python benchmarks/threads.py

A photo of one made-up person: the mesh alone, and with the body laid on it. Training: the small model's steps
by one thread, by all, and by as many as a run's first steps tell (`mpt.recipes.pace`), which are not counted.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from measuring import table
from model import training_step

import mpt.threads
from mpt import bodies
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.demo import scenes
from mpt.modeling.mesh_transformer import MeshTransformer
from mpt.recipes.pace import TRIED, Pace
from mpt.reconstructor import Reconstructor

CORES = os.cpu_count() or 1
ROUNDS, SECONDS, BATCH = 25, 5, 16
TRIAL = 1 + 2 * TRIED  # steps


@contextmanager
def others(count: int) -> Iterator[None]:
    """So many programs that never rest."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def photo_ms(reconstructor: Reconstructor, threads: int) -> list[float]:
    """Of a warm photo: the mesh, and the mesh with its pose; the median."""
    image = next(iter(scenes(reconstructor.model.skeleton))).image
    people, size = reconstructor.pose2d(image)[:1], (image.shape[1], image.shape[0])
    found = []
    for pose in (False, True):
        reconstructor.lift(people, size, pose=pose)
        with nullcontext() if threads == 1 else without_scopes():
            seconds = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                reconstructor.lift(people, size, pose=pose)
                seconds.append(time.perf_counter() - start)
        found.append(1000 * float(np.median(seconds)))
    return found


@contextmanager
def without_scopes() -> Iterator[None]:
    """As if nothing was said of threads: torch takes all."""
    switches = mpt.threads._switches
    mpt.threads._switches = lambda: (lambda count: None, lambda count: 0)
    try:
        yield
    finally:
        mpt.threads._switches = switches


def training(reconstructor: Reconstructor) -> Callable[[int | None], float]:
    """Samples a second of steps by so many threads, or by as many as the first of them tell."""
    model = reconstructor.model
    body = bodies.load(model.body, model.skeleton.name)
    config = model.transformer.config
    synthesize = Synthesizer(
        body, body.moving_bones, SyntheticConfig(), inputs=config.inputs,
        coarse_vertices=config.coarse_vertices, heatmap_size=config.heatmap_size,
    )  # fmt: skip
    poses = 0.2 * torch.randn(BATCH, len(body.moving_bones), 3)
    make, learn = training_step(MeshTransformer.for_body(body, config).train(), synthesize, poses)

    def rate(threads: int | None) -> float:
        pace = Pace(threads, CORES, tell=lambda words: print(f"  {words}", file=sys.stderr))
        first = TRIAL if threads is None else 1
        begun: list[float] = []
        while len(begun) <= first + 1 or begun[-1] - begun[first] < SECONDS:
            begun.append(time.perf_counter())
            with pace.step(len(begun) - 1):
                make()
                learn()
        return (len(begun) - 1 - first) * BATCH / (begun[-1] - begun[first])

    return rate


def main() -> None:
    reconstructor = mpt.load("mpt-small", device="cpu")
    steps = training(reconstructor)
    rows = []
    for count in (0, CORES):
        with others(count):
            machine = "idle" if not count else f"{count} other programs"
            for threads in (1, CORES):
                rows.append([machine, str(threads), *photo_ms(reconstructor, threads), steps(threads)])
            rows.append([machine, "as tried", None, None, steps(None)])
    columns = ["machine", "threads", "mesh (ms)", "mesh and pose (ms)", "training (samples/s)"]
    table(f"{CORES} cores, {torch.__version__}", columns, rows)


if __name__ == "__main__":
    main()

"""How long the paper-size transformer takes: CPU seconds, medians of interleaved rounds.

    python benchmarks/encoder.py [--rounds 5] [--threads 1] [--batch 1]
    python benchmarks/encoder.py --train --batch 4

Rows: float32 and bfloat16, all 784 patch tokens and only those that hold something, with how many tokens
that leaves. Looking: for the paper's blobs, and blobs as wide as BlazePose's. --train: a whole step of
pre-training on the paper's maps, noise and all, as `mpt pretrain` takes it (forward, Eq. 6, backward, clipped
fused Adam, torch's own precision of float32 products, which looking lowers to "medium").
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from mpt import bodies
from mpt.bodies import Body
from mpt.datasets.synthetic import Synthesizer, SyntheticBatch, SyntheticConfig
from mpt.datasets.widening import NO_WIDENING
from mpt.experiments.pretraining import PAPER_DATA
from mpt.heatmaps import PERFECT, HeatmapNoise
from mpt.modeling.mesh_transformer import PAPER, MeshTransformer
from mpt.recipes.pretrain import LossWeights, objective
from mpt.skeletons import COCO17

BLAZEPOSE_WIDTH = HeatmapNoise(0.0, 0.0, 0, 0, (5.5, 5.5), (0.7, 0.9), 0, 0, 0, 0, 0)
ALL = replace(PAPER, skip_below=0.0)

Row = tuple[str, str, bool]  # heatmaps, precision, whether empty patches are skipped
Jobs = dict[Row, Callable[[], object]]


def sampled(body: Body, config: SyntheticConfig, count: int) -> SyntheticBatch:
    """People about the rest pose, seen by the configuration's cameras."""
    synthesize = Synthesizer(body, body.moving_bones, config, inputs="patches", coarse_vertices=431)
    seeded = torch.Generator().manual_seed(1)
    pose = 0.2 * torch.randn(count, len(body.moving_bones), 3, generator=seeded)
    return synthesize(pose, torch.Generator().manual_seed(3))


def looking(body: Body, count: int) -> tuple[Jobs, dict[str, torch.Tensor]]:
    """One forward pass of each row."""
    plain = SyntheticConfig(widening=NO_WIDENING, truncation=0, fine_vertices=1)
    noises = {"paper's blobs": PERFECT, "5.5 px blobs": BLAZEPOSE_WIDTH}
    maps = {name: sampled(body, replace(plain, noise=noise), count).seen for name, noise in noises.items()}
    jobs: Jobs = {}
    for skips, config in ((False, ALL), (True, PAPER)):
        model = MeshTransformer.for_body(body, config).eval()
        halves = MeshTransformer.for_body(body, config).eval().bfloat16()
        for name, seen in maps.items():
            jobs[name, "float32", skips] = partial(model, seen)
            jobs[name, "bfloat16", skips] = partial(halves, seen.bfloat16())
    return jobs, maps


def learning(body: Body, count: int) -> tuple[Jobs, dict[str, torch.Tensor]]:
    """One step of each row."""
    batch = sampled(body, PAPER_DATA, count)
    jobs: Jobs = {}
    for precision in ("float32", "bfloat16"):
        for skips, config in ((False, ALL), (True, PAPER)):
            model = MeshTransformer.for_body(body, config).train()
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-5, fused=True)

            def step(model=model, optimizer=optimizer, low=precision == "bfloat16") -> None:
                with torch.autocast("cpu", torch.bfloat16, enabled=low):
                    prediction = model(batch.seen, rows=batch.rows, mask_queries=0.3)
                    losses = objective(prediction, batch, LossWeights())
                torch.stack(list(losses.values())).sum().backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

            jobs["paper's maps", precision, skips] = step
    return jobs, {"paper's maps": batch.seen}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--train", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("highest" if options.train else "medium")
    body = bodies.load(skeleton=COCO17.name)
    jobs, maps = (learning if options.train else looking)(body, options.batch)
    counting = MeshTransformer.for_body(body, PAPER)

    seconds: dict[Row, list[float]] = {row: [] for row in jobs}
    with torch.inference_mode(not options.train):
        for _ in range(options.rounds + 1):
            for row, job in jobs.items():
                start = time.process_time()
                job()
                seconds[row].append(time.process_time() - start)

    what = "a step" if options.train else "a look"
    table = Table(
        title=f"paper-size transformer, {what} at {options.batch}, {options.threads} thread(s), CPU seconds"
    )
    for column in ("heatmaps", "precision", "tokens", "seconds", "share of all tokens' time"):
        table.add_column(column, justify="left" if column in ("heatmaps", "precision") else "right")
    for (name, precision, skips), times in seconds.items():
        kept = counting.kept_tokens(maps[name]) if skips else counting.seen_count
        whole = median(seconds[name, precision, False][1:])
        taken = median(times[1:])
        table.add_row(name, precision, f"{kept + 431 + 17:,}", f"{taken:.3f}", f"{taken / whole:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()

"""How long the paper-size transformer takes on one core: CPU seconds, batch 1, medians of interleaved rounds.

    python benchmarks/encoder.py [--rounds 5] [--threads 1]

Rows: float32 and bfloat16, all 784 patch tokens and only those above a threshold, for the paper's blobs and
for blobs as wide as BlazePose's, with how many tokens were kept.
"""

import argparse
import time
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from mpt import bodies
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.datasets.widening import NO_WIDENING
from mpt.heatmaps import PERFECT, HeatmapNoise
from mpt.modeling.mesh_transformer import PAPER, MeshTransformer

BLAZEPOSE_WIDTH = HeatmapNoise(0.0, 0.0, 0, 0, (5.5, 5.5), (0.7, 0.9), 0, 0, 0, 0, 0)
THRESHOLD = 0.01


def heatmaps(body, noise: HeatmapNoise) -> torch.Tensor:
    """(1, 17, 224, 224) maps of the rest pose, from a random camera."""
    config = SyntheticConfig(widening=NO_WIDENING, noise=noise, truncation=0, fine_vertices=1)
    synthesize = Synthesizer(body, body.moving_bones, config, inputs="patches", coarse_vertices=431)
    pose = 0.2 * torch.randn(1, len(body.moving_bones), 3, generator=torch.Generator().manual_seed(1))
    return synthesize(pose, torch.Generator().manual_seed(3)).seen


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("medium")
    body = bodies.load()
    model = MeshTransformer.for_body(body, PAPER).eval()
    halves = MeshTransformer.for_body(body, PAPER).eval().bfloat16()
    maps = {"paper's blobs": heatmaps(body, PERFECT), "5.5 px blobs": heatmaps(body, BLAZEPOSE_WIDTH)}

    rows = {}
    for name, seen in maps.items():
        for precision, network in (("float32", model), ("bfloat16", halves)):
            for skip in (0.0, THRESHOLD):
                rows[name, precision, skip] = (network, seen.to(next(network.parameters()).dtype), skip)
    seconds = {row: [] for row in rows}
    with torch.inference_mode():
        for _ in range(options.rounds + 1):
            for row, (network, seen, skip) in rows.items():
                start = time.process_time()
                network(seen, skip_below=skip)
                seconds[row].append(time.process_time() - start)

    table = Table(title=f"paper-size transformer, batch 1, {options.threads} thread(s), CPU seconds")
    for column in ("heatmaps", "precision", "tokens", "seconds", "against all tokens"):
        table.add_column(
            column, justify="right" if column in ("tokens", "seconds", "against all tokens") else "left"
        )
    for (name, precision, skip), times in seconds.items():
        kept = model.kept_tokens(maps[name], skip)
        whole = median(seconds[name, precision, 0.0][1:])
        taken = median(times[1:])
        tokens = kept + 431 + 17
        table.add_row(name, precision, f"{tokens:,}", f"{taken:.3f}", f"{whole / taken:.2f} x")
    Console().print(table)


if __name__ == "__main__":
    main()

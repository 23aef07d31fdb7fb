"""Rendering 17 x 224 x 224 heatmaps into a reused buffer: against a naive loop, and against filling it.

python benchmarks/heatmaps.py
"""

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from timing import interleaved

from mpt.heatmaps import blobs, render, render_marginals

COUNT, JOINTS, SIZE = 16, 17, 224


def naive(points: np.ndarray) -> np.ndarray:
    """Eq. 1, a joint at a time."""
    maps = np.zeros((len(points), JOINTS, SIZE, SIZE), np.float32)
    row, column = np.mgrid[:SIZE, :SIZE]
    for person, joints in zip(maps, points):
        for heatmap, (x, y) in zip(person, joints):
            heatmap[:] = np.exp(-((column - x) ** 2 + (row - y) ** 2) / 9)
    return maps


def main() -> None:
    torch.set_num_threads(1)
    points = torch.rand(COUNT, JOINTS, 2) * SIZE
    drawn = blobs(points)
    buffer = torch.empty(COUNT, JOINTS, SIZE, SIZE)
    assert np.allclose(render(drawn).numpy(), naive(points.numpy()), atol=1e-5)
    seconds = interleaved(
        {
            "naive numpy, a joint at a time": lambda: naive(points.numpy()),
            "mpt.heatmaps.render, reused buffer": lambda: render(drawn, SIZE, out=buffer),
            "filling the buffer with a constant": lambda: buffer.fill_(0.5),
            "mpt.heatmaps.render_marginals": lambda: render_marginals(drawn, SIZE),
        }
    )
    ours = seconds["mpt.heatmaps.render, reused buffer"]
    table = Table(title=f"{JOINTS} heatmaps of {SIZE} x {SIZE}, one thread")
    for column in ("", "samples/s", "render's speed against it"):
        table.add_column(column, justify="left" if not column else "right")
    for name, taken in seconds.items():
        table.add_row(name, f"{COUNT / taken:,.0f}", f"{taken / ours:.2f} x")
    Console().print(table)


if __name__ == "__main__":
    main()

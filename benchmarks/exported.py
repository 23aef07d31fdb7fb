"""The exported model in ONNX Runtime against the same model in torch: one thread, heatmaps to full mesh.

    python benchmarks/exported.py [--model mpt-small]

Two looks, and one; medians of interleaved rounds, CPU time.
"""

import argparse
import tempfile
from pathlib import Path

import onnxruntime
import torch
from rich.console import Console
from rich.table import Table
from timing import interleaved

from mpt import checkpoint, portable


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mpt-small")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = checkpoint.load(options.model)
    threads = onnxruntime.SessionOptions()
    threads.intra_op_num_threads = 1
    table = Table(title=f"{model.name}, one thread (ms)")
    for column in ("looks", "batch", "torch", "ONNX Runtime", "differ by at most (mm)"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        for looks in (2, 1):
            path = Path(folder) / f"{looks}.onnx"
            written = portable.write(path, model, looks=looks)
            session = onnxruntime.InferenceSession(str(path), threads, providers=["CPUExecutionProvider"])
            in_torch = portable.Portable(model, looks).eval()
            for count in (1, 16):
                maps = portable.heatmaps_of(model, count)
                feed = {portable.INPUT: maps.numpy()}
                jobs = {
                    "torch": lambda maps=maps, run=in_torch: run(maps),
                    "onnx": lambda feed=feed, run=session.run: run(None, feed),
                }
                with torch.inference_mode():
                    milliseconds = {name: 1000 * s for name, s in interleaved(jobs, 41).items()}
                table.add_row(
                    str(looks),
                    str(count),
                    *(f"{milliseconds[name]:.1f}" for name in jobs),
                    f"{written.difference_mm:.4f}",
                )
    Console().print(table)


if __name__ == "__main__":
    main()

"""The curves of Figure 4a from the metrics of runs of fine-tuning: docs/pictures/finetuning.png.

python docs/plot_finetuning.py --pretrained runs/rendered-pretrained --scratch runs/rendered-scratch

What the runs saw is rendered pictures (see mpt.experiments.finetuning): no number on photographs.
"""

import json
from pathlib import Path

import matplotlib
import tyro

matplotlib.use("agg")
from matplotlib import pyplot as plt


def main(
    pretrained: Path, scratch: Path, out: Path = Path(__file__).parent / "pictures" / "finetuning.png"
) -> None:
    """Draw PA-MPJPE on held-out pictures at each validation of both runs."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6), dpi=150)
    for run, label, colour in (
        (scratch, "transformer from scratch", "#b35c2e"),
        (pretrained, "transformer pre-trained on motion capture", "#2e6fb3"),
    ):
        entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        checks = [(entry["step"], entry["pa_mpjpe"]) for entry in entries if "pa_mpjpe" in entry]
        axes.plot(*zip(*checks), color=colour, label=label, linewidth=2)
    axes.set(
        xlabel="step of fine-tuning",
        ylabel="PA-MPJPE (mm), rendered pictures",
        xlim=(0, None),
        ylim=(0, None),
    )
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(out)
    print(out)


if __name__ == "__main__":
    tyro.cli(main)

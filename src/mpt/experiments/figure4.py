"""Figure 4: how fine-tuning goes on, with and without pre-training.

What the paper tells in words of 4b: with pre-training 56.1 of 0.1 % of Human3.6M, without it 210.4 of 10 %;
all of it is Table 2's.
"""

from mpt.experiments.cells import Cell, Scale, Table, paper
from mpt.experiments.tuning import measured, tuned

STARTS = {"pretrained": "pre-trained", "scratch": "from scratch"}
SHARES = (0.1, 1, 10, 100)
PAPER = {
    (0.1, "pretrained"): 56.1,
    (10, "scratch"): 210.4,
    (100, "pretrained"): 35.5,
    (100, "scratch"): 39.2,
}


def steps(scale: Scale) -> list[Cell]:
    """One epoch of Human3.6M; at the smaller scales Table 2's whole, short run."""
    of_scale = {"variant": "epoch", "epochs": 1, "validate_every": 100} if scale == "full" else {}
    return [
        Cell(
            f"figure4a-{start}",
            label,
            tuned(scale, "h36m" if scale == "full" else "mixed", start, **of_scale),
            measured(scale, curve=True),
        )
        for start, label in STARTS.items()
    ]


def shares(scale: Scale) -> list[Cell]:
    """Percents of Human3.6M; at the smaller scales of all pictures, one of them at least."""
    data = "h36m" if scale == "full" else "mixed"
    return [
        Cell(
            f"figure4b-{percent}-{start}",
            f"{percent} %, {label}",
            tuned(scale, data, start)
            if percent == 100
            else tuned(scale, data, start, f"share-{percent}", share=percent / 100),
            measured(scale),
            paper(pa_mpjpe=PAPER.get((percent, start))),
        )
        for percent in SHARES
        for start, label in STARTS.items()
    ]


TABLES = (
    Table("figure4a", "PA-MPJPE by the step of a short fine-tuning", "Human3.6M, protocol 2", steps),
    Table("figure4b", "fine-tuned on a share of the data", "Human3.6M, protocol 2", shares),
)

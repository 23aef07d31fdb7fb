"""Table 2: what pre-training is worth."""

from mpt.experiments.cells import Cell, Evaluation, Scale, Table, paper
from mpt.experiments.shared import pretrained, zero_shot
from mpt.experiments.tuning import label, measured, pose2d, tuned

STARTS = {"scratch": "from scratch", "pretrained": "pre-trained"}
PAPER = {
    ("h36m", "scratch"): (59.1, 39.2),
    ("mixed", "scratch"): (46.6, 32.4),
    ("h36m", "pretrained"): (53.3, 35.5),
    ("mixed", "pretrained"): (45.3, 31.7),
}


def cells(scale: Scale) -> list[Cell]:
    rows = [
        Cell(
            f"table2-{data}-{start}",
            f"{label(scale, data)}, {STARTS[start]}",
            tuned(scale, data, start),
            measured(scale),
            paper(*numbers),
        )
        for (data, start), numbers in PAPER.items()
    ]
    return [*rows[:2], _zero_shot(scale), *rows[2:]]


def _zero_shot(scale: Scale) -> Cell:
    """By the 2D network that the other rows begin with."""
    stage, evaluation = pretrained(scale), zero_shot(scale)
    if scale != "full":
        stage, evaluation = pose2d(scale), Evaluation("rendered", "tuned")
    return Cell("table2-zero-shot", "zero-shot, pre-trained", stage, evaluation, paper(89.0, 58.4))


TABLES = (Table("table2", "with and without pre-training", "Human3.6M, protocol 2", cells),)

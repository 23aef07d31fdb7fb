"""Table 4: how much motion capture."""

from mpt.experiments.cells import Cell, Scale, Table, paper
from mpt.experiments.shared import pretrained, zero_shot

PAPER = {1: None, 20: 63.4, 40: 62.4, 60: 59.9, 80: 59.4, 100: 58.4}
"""Percent of the poses -> PA-MPJPE; one percent is ours."""


def cells(scale: Scale) -> list[Cell]:
    return [
        Cell(
            f"table4-{percent}",
            f"{percent} % of the poses",
            pretrained(scale, "" if percent == 100 else f"share-{percent}"),
            zero_shot(scale),
            paper(pa_mpjpe=number),
        )
        for percent, number in PAPER.items()
    ]


TABLES = (Table("table4", "share of the pre-training data, zero-shot", "Human3.6M, protocol 2", cells),)

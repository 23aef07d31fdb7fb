"""Table 3a: heatmaps against image features. Features cannot be pre-trained: mocap has no pictures."""

from dataclasses import replace

from mpt.experiments.cells import Cell, Scale, Table, paper
from mpt.experiments.tuning import TUNED, measured, tuned

FEATURES = {"full": (48, 28 * 28), "small": (48, 8 * 8), "tiny": (16, 4 * 4)}
"""Channels of what the 2D network's first head reads, and cells of the grid that the transformer sees of it:
in full as many tokens as heatmaps have.
"""


def cells(scale: Scale) -> list[Cell]:
    channels, tokens = FEATURES[scale]
    model = replace(TUNED[scale].model, inputs="features", feature_channels=channels, feature_tokens=tokens)
    rows = (
        ("features", "image features, from scratch", ("scratch", "features"), {"model": model}, (78.0, 47.0)),
        ("heatmaps", "heatmaps, from scratch", ("scratch",), {}, (58.7, 39.7)),
        ("pretrained", "heatmaps, pre-trained", ("pretrained",), {}, (53.3, 35.5)),
    )
    return [
        Cell(
            f"table3a-{name}", label, tuned(scale, "h36m", *how, **changes), measured(scale), paper(*numbers)
        )
        for name, label, how, changes, numbers in rows
    ]


TABLES = (Table("table3a", "heatmaps vs. image features, fine-tuned", "Human3.6M, protocol 2", cells),)

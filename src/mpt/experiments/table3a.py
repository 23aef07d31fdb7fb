"""Table 3a: heatmaps against image features. Features cannot be pre-trained: mocap has no pictures."""

from dataclasses import replace

from mpt.experiments.cells import Cell, Scale, Table, paper
from mpt.experiments.tuning import TUNED, measured, tuned
from mpt.modeling.mesh_transformer import MeshTransformerConfig

GRAPHORMER = {"full": (15 * 48, 7 * 7), "small": (14 * 24, 4 * 4), "tiny": (14 * 8, 2 * 2)}
"""Channels of all of the 2D network's resolutions together, and cells of the coarsest one: Mesh Graphormer
has HRNet-W64's 2,048 at 7 x 7, made of all its branches by layers that were trained on ImageNet.
"""
FINE = {"full": (48, 28 * 28), "small": (48, 8 * 8), "tiny": (16, 4 * 4)}
"""Channels of what the 2D network's first head reads, and cells of the grid that the transformer sees of it:
in full as many tokens as heatmaps have.
"""


def _reading(scale: Scale, channels: int, tokens: int, *, whole: bool) -> dict[str, MeshTransformerConfig]:
    """The change to a transformer of image features."""
    features = {"feature_channels": channels, "feature_tokens": tokens, "feature_global": whole}
    return {"model": replace(TUNED[scale].model, inputs="features", **features)}


def cells(scale: Scale) -> list[Cell]:
    graphormer = _reading(scale, *GRAPHORMER[scale], whole=True)
    fine = _reading(scale, *FINE[scale], whole=False)
    fine_label = "image features at the heatmaps' resolution, from scratch (ours)"
    rows = (
        (
            "graphormer-features",
            "image features, from scratch",
            ("scratch", "graphormer-features"),
            graphormer,
            (78.0, 47.0),
        ),
        ("features", fine_label, ("scratch", "features"), fine, ()),
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

"""Tables 3b and 3c: what heatmaps and their masking are worth to pre-training."""

from mpt.experiments.cells import Cell, Scale, Table, paper
from mpt.experiments.shared import pretrained, zero_shot


def coordinates(scale: Scale) -> list[Cell]:
    measured = zero_shot(scale)
    return [
        Cell(
            "table3b-coordinates",
            "2D coordinates",
            pretrained(scale, "coordinates"),
            measured,
            paper(139.3, 88.9),
        ),
        Cell("table3b-heatmaps", "Heatmaps", pretrained(scale), measured, paper(88.9, 58.4)),
        Cell(
            "table3b-many-widths",
            "Heatmaps, blobs of many widths and heights (ours)",
            pretrained(scale, "many-widths"),
            measured,
        ),
        *(
            Cell(f"table3b-{variant}", f"{label} (ours)", pretrained(scale, variant), measured)
            for variant, label in (
                ("exact-coordinates", "2D coordinates, learned without noise or masking"),
                ("detector-noise-coordinates", "2D coordinates, noise as a detector's"),
                ("detector-noise", "Heatmaps, noise as a detector's"),
            )
        ),
    ]


def masking(scale: Scale) -> list[Cell]:
    measured = zero_shot(scale)
    return [
        Cell("table3c-no-masking", "w/o MJM", pretrained(scale, "no-masking"), measured, paper(97.7, 64.4)),
        Cell("table3c-masking", "w/ MJM", pretrained(scale), measured, paper(88.9, 58.4)),
    ]


TABLES = (
    Table(
        "table3b",
        "heatmaps vs. 2D coordinates, pre-trained, zero-shot",
        "Human3.6M, protocol 2",
        coordinates,
    ),
    Table("table3c", "masked joint modelling, zero-shot", "Human3.6M, protocol 2", masking),
)

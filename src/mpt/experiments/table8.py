"""Table 8: the resolution of the heatmaps."""

from mpt.experiments.cells import Cell, Scale, Table, paper
from mpt.experiments.shared import pretrained
from mpt.experiments.tuning import measured, tuned

HALF = "half-resolution"


def cells(scale: Scale) -> list[Cell]:
    """The smaller scales' heatmaps are half and a quarter of the paper's to begin with."""
    before = pretrained(scale, HALF)
    half = tuned(scale, "mixed", "pretrained", HALF, of=before, model=before.config.model)
    whole = tuned(scale, "mixed", "pretrained")
    return [
        Cell(
            "table8-112", f"{before.config.model.heatmap_size} px", half, measured(scale), paper(46.5, 32.7)
        ),
        Cell(
            "table8-224",
            f"{2 * before.config.model.heatmap_size} px",
            whole,
            measured(scale),
            paper(45.3, 31.7),
        ),
    ]


TABLES = (Table("table8", "resolution of the heatmaps, fine-tuned", "Human3.6M, protocol 2", cells),)

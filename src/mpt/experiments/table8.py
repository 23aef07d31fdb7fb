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
    size = before.config.model.heatmap_size
    return [
        Cell("table8-112", _sized(size, 112), half, measured(scale), paper(46.5, 32.7)),
        Cell("table8-224", _sized(2 * size, 224), whole, measured(scale), paper(45.3, 31.7)),
    ]


def _sized(ours: int, paper_s: int) -> str:
    """A row's heatmaps, and the paper's where these are of another size."""
    return f"{ours} px" if ours == paper_s else f"{ours} px (the paper's number: {paper_s} px)"


TABLES = (Table("table8", "resolution of the heatmaps, fine-tuned", "Human3.6M, protocol 2", cells),)

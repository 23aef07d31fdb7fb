"""Tables 6 and 7: how many virtual cameras. Table 7 is Table 6 with MPJPE and eight views."""

from mpt.experiments.cells import Cell, Scale, Table, paper, renamed
from mpt.experiments.shared import pretrained, zero_shot

PAPER = {1: (92.5, 61.7), 2: (89.5, 61.4), 4: (89.0, 58.4), 8: (88.3, 58.2)}


def cells(scale: Scale) -> list[Cell]:
    found = [
        Cell(
            f"table7-views-{views}",
            f"{views} view{'s' * (views > 1)}",
            pretrained(scale, "" if views == 4 else f"views-{views}"),
            zero_shot(scale),
            paper(*numbers),
        )
        for views, numbers in PAPER.items()
    ]
    random = pretrained(scale, "random-views")
    return [*found, Cell("table7-views-random", "random views (ours)", random, zero_shot(scale))]


def without_eight(scale: Scale) -> list[Cell]:
    return renamed(cells(scale), **{f"table7-views-{v}": f"table6-views-{v}" for v in (1, 2, 4)})


TABLES = (
    Table("table6", "number of virtual cameras, zero-shot", "Human3.6M, protocol 2", without_eight),
    Table("table7", "more virtual cameras, zero-shot", "Human3.6M, protocol 2", cells),
)

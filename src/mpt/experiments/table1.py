"""Table 1: against the state of the art, on Human3.6M and 3DPW."""

from dataclasses import replace

from mpt.experiments.cells import PREFIX, Cell, Evaluation, Scale, Stage, Table, paper
from mpt.experiments.tuning import TUNED, measured, tuned
from mpt.recipes.loop import OptimConfig

EPOCHS = 5
"""Passes through 3DPW's training set, at half the learning rate; the paper names neither."""


def cells(scale: Scale) -> list[Cell]:
    mixed = tuned(scale, "mixed", "pretrained")
    here = "" if scale == "full" else " (here the same pictures, twice as long)"
    return [
        Cell(
            "table1-3dpw", f"MPT on 3DPW{here}", _3dpw(scale, mixed), _on_3dpw(scale),
            paper(65.9, 42.8, mpve_mm=79.4),
        ),
        Cell("table1-h36m", "MPT on Human3.6M", mixed, measured(scale), paper(45.3, 31.7)),
    ]  # fmt: skip


def _3dpw(scale: Scale, before: Stage) -> Stage:
    """At the smaller scales, where there is no second data set: the same pictures for as long again."""
    config = TUNED[scale]
    rate = config.optim.learning_rate / 2
    config = replace(config, name=f"{PREFIX[scale]}3dpw", optim=OptimConfig(learning_rate=rate))
    if scale == "full":
        config = replace(
            config, data=("3dpw",), validation="3dpw", validation_split="validation", epochs=EPOCHS
        )
    return Stage(config, start_from=before)


def _on_3dpw(scale: Scale) -> Evaluation:
    return Evaluation("3dpw", "tuned", "metro-neutral") if scale == "full" else measured(scale)


TABLES = (Table("table1", "pre-trained and fine-tuned on the mixed data sets", "3DPW; Human3.6M", cells),)

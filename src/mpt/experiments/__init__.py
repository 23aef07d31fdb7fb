"""The paper's tables as experiments, and named configurations; the command line only names them.

A *configuration* is what `mpt pretrain` or `mpt finetune` runs. A *cell* is a number of the paper's: the runs
that lead to it and what is measured at the end, for `mpt experiments run`. Every run of every cell is a
configuration, too.
"""

import difflib
from collections.abc import Iterable
from importlib import import_module

from mpt.errors import InputError
from mpt.experiments.cells import Cell, Scale, Table

CONFIGURATIONS = {
    "mpt-small": "pretraining",
    "mpt-hand": "pretraining",
    "mpt-video": "pretraining",
    "paper": "pretraining",
    "paper-detector-noise": "pretraining",
    "paper-random-views": "pretraining",
    "tiny": "pretraining",
    "rendered-pose2d": "finetuning",
    "rendered-pretrained": "finetuning",
    "rendered-scratch": "finetuning",
}
"""Configuration -> its module, imported when asked for: pre-training must run where no image library is."""

TABLES = {
    "table1": "table1",
    "table2": "table2",
    "table3a": "table3a",
    "table3b": "table3bc",
    "table3c": "table3bc",
    "table4": "table4",
    "table5": "table5",
    "table6": "table7",
    "table7": "table7",
    "table8": "table8",
    "figure4a": "figure4",
    "figure4b": "figure4",
}
"""Table -> its module."""


def table(name: str) -> Table:
    """The table of that name. Raises InputError with the nearest one."""
    if name not in TABLES:
        raise unknown("table", name, TABLES)
    return next(found for found in _module(TABLES[name]).TABLES if found.name == name)


def cells(name: str, scale: Scale) -> list[Cell]:
    """The cells of a table, or the cell of that name. Raises InputError with the nearest name."""
    if name in TABLES:
        return table(name).cells(scale)
    everything = {cell.name: cell for key in TABLES for cell in table(key).cells(scale)}
    if name not in everything:
        if name in CONFIGURATIONS:
            raise InputError(
                f"{name} is a configuration, not a cell of a table: run it with `mpt pretrain {name}` or "
                f"`mpt finetune {name}`"
            )
        raise unknown("experiment", name, [*TABLES, *everything])
    return [everything[name]]


def names() -> dict[str, str]:
    """Name of a configuration -> what it is, in one line."""
    return {name: (_function(name).__doc__ or "").splitlines()[0] for name in CONFIGURATIONS}


def get(name: str):
    """The configuration of that name, of a stage too. Raises InputError with the nearest name."""
    if name in CONFIGURATIONS:
        return _function(name)()
    stages = {}
    for key in TABLES:
        for scale in ("full", "small"):
            stages |= {stage.name: stage for cell in table(key).cells(scale) for stage in cell.stages}
        if name in stages:
            return stages[name].config
    raise unknown("experiment", name, [*CONFIGURATIONS, *stages])


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known[:12])}"
    return InputError(f"no {kind} is called {name!r}; {hint} (`mpt experiments list` shows all)")


def _function(name: str):
    return getattr(_module(CONFIGURATIONS[name]), name.replace("-", "_"))


def _module(name: str):
    return import_module(f"mpt.experiments.{name}")

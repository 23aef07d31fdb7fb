"""What a user gives the experiments to run on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mpt import bodies
from mpt.experiments.cells import Evaluation

BENCHMARKS = {"h36m": "human36m", "3dpw": "3dpw", "freihand": "freihand"}
"""Benchmark -> its data set."""


@dataclass(frozen=True)
class Given:
    """What a user names: files and folders that experiments read."""

    store: Path | None = None
    body: str | None = None
    """Instead of the experiment's: a name, or a file that `mpt prepare body` wrote."""
    data: Mapping[str, Path] = field(default_factory=dict)
    """The folder of each data set."""
    weights: Path | None = None
    """HigherHRNet's official COCO weights."""
    samples: int | None = None
    """Of every stage, instead of the experiment's."""
    workers: int = 2
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None
    """Of torch in training; where it says nothing, the first steps tell."""

    def about(self, evaluation: Evaluation) -> dict[str, str]:
        """What is measured on, by name, and of rendered pictures how many."""
        found = {} if self.store is None else {"poses": self.store.name}
        if evaluation.on == "rendered":
            count = len(list((self.data["rendered"] / "validation").glob("*.npz")))
            found["rendered"] = f"{count} pictures"
        elif evaluation.on in BENCHMARKS:
            found[evaluation.on] = self.data[BENCHMARKS[evaluation.on]].name
        return found

    def changed(self, config: Any) -> Any:
        """A stage's configuration with what the user changes in it."""
        changes: dict[str, Any] = {"body": bodies.located(self.body or config.body)}
        if self.samples is not None:
            changes |= {"samples": self.samples, "epochs": 0.0}
        return replace(config, **changes)

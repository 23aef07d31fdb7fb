"""What an experiment of the paper is: a cell of a table, the runs that lead to it, what is measured at last.

Scales: ``full`` is the paper's own, with the licensed files. ``small`` is the same experiment on what is
free, minutes of one core; its numbers are not the paper's and say so. ``tiny`` is small in eight steps: it
shows that everything runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from mpt.recipes.finetune import FinetuneConfig
    from mpt.recipes.pretrain import PretrainConfig

Scale = Literal["full", "small", "tiny"]
SCALES: tuple[Scale, ...] = get_args(Scale)
PREFIX = {"full": "", "small": "small-", "tiny": "tiny-"}
"""What a stage's name begins with, so that the runs of all scales may lie in one folder."""


@dataclass(frozen=True)
class Stage:
    """A run that cells share, and the stages whose weights it begins with."""

    config: "PretrainConfig | FinetuneConfig"
    start_from: "Stage | None" = None
    """Gives the transformer its first weights; if it is one of fine-tuning, the 2D network too."""
    pose2d: "Stage | None" = None
    """Gives the 2D network its first weights, where they do not come from a file of the user's."""

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def before(self) -> "list[Stage]":
        """All that has to be run first, in order."""
        stages = [part for part in (self.start_from, self.pose2d) if part is not None]
        return list(dict.fromkeys(s for stage in stages for s in (*stage.before, stage)))


@dataclass(frozen=True)
class Evaluation:
    """What the last stage's model is measured on."""

    on: Literal["h36m", "3dpw", "freihand", "rendered", "poses"]
    """A benchmark of the field, held-out pictures that mpt rendered, or held-out poses with drawn maps."""
    pose2d: Literal["tuned", "higher-hrnet", "blazepose", "truth"]
    """What draws the heatmaps: the 2D network that was tuned with the model, or one of others (zero-shot)."""
    convention: str = ""
    """Of the benchmark; see ``mpt.recipes.benchmark``."""
    curve: bool = False
    """PA-MPJPE at every validation of the last stage as well."""


@dataclass(frozen=True)
class Cell:
    """One number of the paper's, or a pair, and how to come by ours."""

    name: str
    label: str
    """Of its row, as the paper writes it."""
    stage: Stage
    """The last one, whose model is measured."""
    evaluation: Evaluation
    paper: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """The paper's numbers by metric; none where the row is ours."""

    @property
    def stages(self) -> list[Stage]:
        """In the order in which they run."""
        return [*self.stage.before, self.stage]


@dataclass(frozen=True)
class Table:
    """Cells that the paper prints together."""

    name: str
    title: str
    measured: str
    """What the paper's numbers are measured on."""
    cells: Callable[[Scale], list[Cell]]


def paper(mpjpe: float | None = None, pa_mpjpe: float | None = None, **more: float) -> Mapping[str, float]:
    """The paper's numbers, millimetres."""
    found = {"mpjpe_mm": mpjpe, "pa_mpjpe_mm": pa_mpjpe} | more
    return MappingProxyType({name: value for name, value in found.items() if value is not None})


def renamed(cells: list[Cell], **names: str) -> list[Cell]:
    """The cells of those names under other ones: two tables may print the same number."""
    return [replace(cell, name=names[cell.name]) for cell in cells if cell.name in names]

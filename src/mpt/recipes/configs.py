"""What the trainings' configurations share, and how one is read again from config.json of a run folder."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

from mpt.checkpoint import typed
from mpt.errors import InputError
from mpt.json_files import read_json
from mpt.modeling.mesh_transformer import MeshTransformerConfig
from mpt.recipes.loop import LoopConfig, OptimConfig
from mpt.recipes.parallel import Parallel

Config = TypeVar("Config")


@dataclass(frozen=True)
class TrainingConfig:
    """What every training is told."""

    name: str = ""
    optim: OptimConfig = field(default_factory=OptimConfig)
    samples: int = 0
    """To learn from in all, over all processes, each look at one counted."""
    batch_size: int = 64
    """Samples of one micro-batch."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 on CUDA, float32 elsewhere."""
    seed: int = 0
    validate_every: int = 1000
    log_every: int = 50

    def steps(self, micro_batches: int = 1) -> int:
        return max(1, self.samples // (self.batch_size * micro_batches))

    def loop(self, steps: int) -> LoopConfig:
        """How the loop takes so many steps."""
        return LoopConfig(steps, self.batch_size, self.optim, self.seed, self.log_every, self.validate_every)


@dataclass(frozen=True)
class MeshTrainingConfig(TrainingConfig):
    """What the training of a mesh transformer is told."""

    body: str = "anny"
    skeleton: str = ""
    """The joints that are read and predicted, by name (``coco17``, the paper's); empty: those of the weights
    that it begins with, or else all that the body has."""
    model: MeshTransformerConfig = field(default_factory=MeshTransformerConfig)
    epochs: float = 0.0
    """Where above 0: passes through the training samples, instead of ``samples``."""
    accumulate: int = 1
    """Micro-batches of one process in one step: n processes of k do what one does with n k of them."""
    parallel: Parallel = "ddp"
    """How several processes share a step; one alone needs none of it."""
    mask_queries: float = 0.3
    """Masked vertex modelling, for models with vertex queries."""
    validation_samples: int = 512

    @property
    def masked(self) -> float:
        """``mask_queries`` of a model that has vertex queries."""
        return self.mask_queries if self.model.vertex_queries else 0.0

    def loop(self, steps: int) -> LoopConfig:
        return replace(super().loop(steps), accumulate=self.accumulate, parallel=self.parallel)


def read_config(run: Path, kind: type[Config]) -> Config:
    """The configuration of a run, an instance of ``kind``.

    Raises:
        InputError: no run folder, a broken config.json, or one of another version or recipe.
    """
    path = Path(run) / "config.json"
    try:
        return typed(read_json(path), kind)
    except OSError as error:
        raise InputError(
            f"{run}: holds no run to resume ({path.name}: {error.strerror}); give the --out of an earlier run"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: is no configuration of this version ({error}); start the run anew, or resume it with "
            "the version of mpt that began it"
        ) from None

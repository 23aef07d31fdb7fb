"""``mpt pretrain`` and ``mpt finetune``."""

import contextlib
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from mpt.cli.common import OK
from mpt.errors import InputError

if TYPE_CHECKING:
    from mpt.recipes.finetune import FinetuneConfig
    from mpt.recipes.pretrain import PretrainConfig
    from mpt.recipes.pretrain_video import VideoConfig

DEFAULT_EXPERIMENT = "mpt-small"
DEFAULT_FINETUNING = "rendered-pretrained"
NUMBERS = ("samples", "batch_size", "accumulate", "learning_rate", "validation_samples", "validate_every")
CHANGEABLE = ("body", *NUMBERS, "seed", "precision")
OF_PRETRAINING = (*CHANGEABLE, "skeleton", "lift", "ahead", "skip_below")


@dataclass(frozen=True)
class Pretrain:
    """Train a mesh transformer from motion capture alone; or, as mpt-video, the model that refines films.

    The run folder holds config.json, metrics.jsonl, the model, and what resuming needs. Ctrl-C saves and says
    how to go on. The experiments are listed by `mpt experiments list`.

    Example: mpt pretrain tiny --store my.store --out runs/first
    """

    experiment: Annotated[Positional[str], arg(metavar="EXPERIMENT")] = ""
    """A named configuration. Default: mpt-small."""
    store: Annotated[Path | None, arg(metavar="STORE")] = None
    """The poses: a store that `mpt prepare mocap` wrote."""
    body: Annotated[str | None, arg(metavar="NAME|FILE")] = None
    """The body of the store's poses: anny, or a file that `mpt prepare body` wrote. Default: the
    experiment's."""
    skeleton: Annotated[str | None, arg(metavar="NAME")] = None
    """The joints that are read and predicted: coco17, or coco29 with feet and hands. Default: the
    experiment's, which is all that the body has, or those of --start-from, where it says nothing."""
    lift: Annotated[str | None, arg(metavar="NAME|FILE|RUN")] = None
    """Of mpt-video: the mesh transformer whose answers it refines. Default: mpt-small."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="RUN")] = None
    """The run folder. Default: runs/EXPERIMENT-TIME."""
    resume: Annotated[Path | None, arg(metavar="RUN")] = None
    """Go on with this run, by its own configuration."""
    start_from: Annotated[str | None, arg(metavar="NAME|FILE")] = None
    """Begin with the weights of a model of the same sizes, instead of random ones."""
    sightings: Annotated[Path | None, arg(metavar="FILE")] = None
    """Learn from these as well: what a 2D network saw of drawn people; `mpt prepare sightings` makes them,
    for mpt-video with --frames."""
    samples: Annotated[int | None, arg(metavar="N")] = None
    """Poses to learn from in all, instead of the experiment's."""
    batch_size: Annotated[int | None, arg(metavar="N")] = None
    """Samples in one micro-batch."""
    accumulate: Annotated[int | None, arg(metavar="N")] = None
    """Micro-batches in one step of one process."""
    parallel: Literal["ddp", "fsdp2", "zero1", "zero2"] | None = None
    """How the processes that torchrun starts share a step; a resumed run may choose another."""
    learning_rate: Annotated[float | None, arg(metavar="RATE")] = None
    """Adam's highest learning rate."""
    validation_samples: Annotated[int | None, arg(metavar="N")] = None
    """Held-out poses that a validation is measured on, instead of the experiment's."""
    validate_every: Annotated[int | None, arg(metavar="STEPS")] = None
    """Steps between two validations."""
    seed: Annotated[int | None, arg(metavar="N")] = None
    """Of the weights and of every draw."""
    precision: Literal["auto", "float32", "bfloat16"] | None = None
    """What the transformer computes in."""
    ahead: Annotated[int | None, arg(metavar="STEPS")] = None
    """Steps whose samples are made at once: 4 on a GPU, where a small batch takes as long as a large one."""
    skip_below: Annotated[float | None, arg(metavar="VALUE")] = None
    """Of models that read patches: heatmaps' values under this read as zero, and empty patches are left out,
    for a third of the time; 0 reads all, to the letter of the paper."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it trains."""
    threads: Annotated[int | None, arg(metavar="N")] = None
    """Of torch, on a CPU. Default: one, or all where the first steps show that these are faster, as they are
    not where other programs use the cores; a resumed run goes on with its own. Another number adds up in
    another order: a run's numbers differ in their last digits."""

    def __call__(self) -> int:
        if self.store is None:
            raise InputError("no poses were named: give --store STORE, which `mpt prepare mocap` makes")
        changes = {name: value for name in OF_PRETRAINING if (value := getattr(self, name)) is not None}
        if self.resume is not None:
            out, config = self.resume, _run_config(self.resume)
            _check_resume(self, out, config, changes)
            if self.sightings and not config.sightings_share:
                raise InputError(f"{self.resume}: this run began without sightings; leave --sightings out")
        else:
            config = _changed(_of_mocap(self.experiment or DEFAULT_EXPERIMENT), changes)
            out = self.out or new_run(config.name)
        if self.parallel is not None:
            config = _changed(config, {"parallel": self.parallel})
        start = {"resume": self.resume is not None, "start_from": self.start_from}
        start["sightings_path"] = self.sightings
        return runpretraining(config, self.store, out, device=self.device, threads=self.threads, **start)


def runpretraining(config: "PretrainConfig | VideoConfig", store: Path, out: Path, **how: Any) -> int:
    from mpt.recipes.pretrain import PretrainConfig, pretrain
    from mpt.recipes.pretrain_video import pretrain_video

    if isinstance(config, PretrainConfig):
        pretrain(config, store, out, **how)
        trial = f"mpt reconstruct photo.jpg --model {out}"
    else:
        pretrain_video(config, store, out, **how)
        trial = f"mpt reconstruct film.mp4 --temporal {out}"
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes one speaks
        print(f"{out}: trained; try it with `{trial}`")
    return OK


def _run_config(run: Path) -> "PretrainConfig | VideoConfig":
    from mpt.json_files import read_json
    from mpt.recipes.configs import read_config
    from mpt.recipes.pretrain import PretrainConfig
    from mpt.recipes.pretrain_video import VideoConfig

    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        if "lift" in read_json(run / "config.json"):
            return read_config(run, VideoConfig)
    return read_config(run, PretrainConfig)


def _of_mocap(name: str) -> "PretrainConfig | VideoConfig":
    """The configuration of a pre-training, of a mesh transformer or a temporal one."""
    from mpt import experiments
    from mpt.recipes.pretrain_video import VideoConfig

    config = experiments.get(name)
    return config if isinstance(config, VideoConfig) else pretraining(name)


def pretraining(name: str) -> "PretrainConfig":
    from mpt import experiments
    from mpt.recipes.pretrain import PretrainConfig
    from mpt.recipes.pretrain_video import VideoConfig

    config = experiments.get(name)
    if isinstance(config, VideoConfig):
        raise InputError(f"{name} trains on clips of films, not on single poses: name another experiment")
    if not isinstance(config, PretrainConfig):
        raise InputError(f"{name} is an experiment of fine-tuning: run it with `mpt finetune {name}`")
    return config


@dataclass(frozen=True)
class Finetune:
    """Train the 2D network and the transformer together, on photos.

    The run folder holds config.json, metrics.jsonl, what resuming needs, the transformer (model.safetensors)
    and its 2D network (pose2d.safetensors); `mpt reconstruct --model RUN` uses both. Ctrl-C saves.

    Example: mpt finetune rendered-pretrained --data rendered --out runs/tuned
    """

    experiment: Annotated[Positional[str], arg(metavar="EXPERIMENT")] = ""
    """A named configuration. Default: rendered-pretrained."""
    data: Annotated[tuple[str, ...], arg(metavar="DIR|NAME=DIR...")] = ()
    """The folder of the experiment's data set; where it has several, of each by name, as coco=data/coco."""
    start_from: Annotated[str | None, arg(metavar="NAME|FILE")] = None
    """Begin with the weights of this model (a run of fine-tuning: of its 2D network, too), instead of the
    experiment's."""
    weights: Annotated[Path | None, arg(metavar="FILE|RUN")] = None
    """What the 2D network begins with: HigherHRNet's official COCO weights, or an earlier run's network."""
    body: Annotated[str | None, arg(metavar="NAME|FILE")] = None
    """The body: anny, or a file that `mpt prepare body` wrote. Default: the experiment's."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="RUN")] = None
    """The run folder. Default: runs/EXPERIMENT-TIME."""
    resume: Annotated[Path | None, arg(metavar="RUN")] = None
    """Go on with this run, by its own configuration."""
    samples: Annotated[int | None, arg(metavar="N")] = None
    """Photos to learn from in all, repeats counted, instead of the experiment's."""
    batch_size: Annotated[int | None, arg(metavar="N")] = None
    """Samples in one micro-batch."""
    accumulate: Annotated[int | None, arg(metavar="N")] = None
    """Micro-batches in one step of one process."""
    parallel: Literal["ddp", "fsdp2", "zero1", "zero2"] | None = None
    """How the processes that torchrun starts share a step; a resumed run may choose another."""
    learning_rate: Annotated[float | None, arg(metavar="RATE")] = None
    """Adam's highest learning rate."""
    validation_samples: Annotated[int | None, arg(metavar="N")] = None
    """Held-out photos that a validation is measured on, instead of the experiment's."""
    validate_every: Annotated[int | None, arg(metavar="STEPS")] = None
    """Steps between two validations."""
    seed: Annotated[int | None, arg(metavar="N")] = None
    """Of the weights and of every draw."""
    precision: Literal["auto", "float32", "bfloat16"] | None = None
    """What the networks compute in."""
    workers: Annotated[int, arg(metavar="N")] = 2
    """Processes that read photos."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it trains."""
    threads: Annotated[int | None, arg(metavar="N")] = None
    """Of torch, on a CPU. Default: one, or all where the first steps show that these are faster, as they are
    not where other programs use the cores; a resumed run goes on with its own. Another number adds up in
    another order: a run's numbers differ in their last digits."""

    def __call__(self) -> int:
        from mpt.recipes.configs import read_config
        from mpt.recipes.finetune import FinetuneConfig

        names = ("start_from", *CHANGEABLE)
        changes = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.workers < 0:
            raise InputError(f"--workers is {self.workers}: give 0 or more")
        if self.resume is not None:
            out, config = self.resume, read_config(self.resume, FinetuneConfig)
            _check_resume(self, out, config, changes)
        else:
            config = _changed(_finetuning(self.experiment or DEFAULT_FINETUNING), changes)
            out = self.out or new_run(config.name)
        if self.parallel is not None:
            config = replace(config, parallel=self.parallel)
        how = {"resume": self.resume is not None, "pose2d_weights": self.weights, "workers": self.workers}
        return run_finetuning(config, self.data, out, device=self.device, threads=self.threads, **how)


def run_finetuning(config: "FinetuneConfig", data: tuple[str, ...], out: Path, **how: Any) -> int:
    from mpt.recipes.finetune import finetune

    finetune(config, _folders(config, data), out, **how)
    if os.environ.get("RANK", "0") == "0":
        print(f"{out}: fine-tuned; try it with `mpt reconstruct photo.jpg --model {out}`")
    return OK


def _finetuning(name: str) -> "FinetuneConfig":
    from mpt import experiments
    from mpt.recipes.finetune import FinetuneConfig

    config = experiments.get(name)
    if not isinstance(config, FinetuneConfig):
        raise InputError(f"{name} is an experiment of pre-training: run it with `mpt pretrain {name}`")
    return config


def _folders(config: "FinetuneConfig", data: tuple[str, ...]) -> dict[str, str]:
    """NAME=DIR, or DIR alone where the experiment reads one data set -> the folder of each data set."""
    needed = list(dict.fromkeys([*config.data, config.validation]))
    folders = {}
    for given in data:
        name, equals, folder = given.partition("=")
        if not equals and len(needed) == 1:
            name, folder = needed[0], given
        if name not in needed or not folder:
            raise InputError(
                f"--data {given}: {config.name} reads {' and '.join(needed)}; name a folder for each, as in "
                f"--data {' '.join(f'{name}=DIR' for name in needed)}"
            )
        folders[name] = folder
    return folders


def _check_resume(command: "Pretrain | Finetune", run: Path, config: Any, changes: dict) -> None:
    """Refuse what a run that goes on could not become; what only says again what it is may stand there."""
    elsewhere = command.out is not None and command.out.resolve() != run.resolve()
    beside = [
        command.experiment != config.name and command.experiment,
        elsewhere and "--out",
        command.start_from and not hasattr(config, "start_from") and "--start-from",
        getattr(command, "weights", None) and "--weights",
    ]
    beside += [
        f"--{name.replace('_', '-')}"
        for name, value in changes.items()
        if _changed(config, {name: value}) != config
    ]
    if given := next(filter(None, beside), None):
        raise InputError(
            f"{given} was given beside --resume {run}, but a resumed run keeps its own "
            "configuration and folder: leave it out, or start a new run"
        )


def _changed(config: Any, changes: dict) -> Any:
    """The configuration with what the user changes in it, and its body by a name that holds in any folder."""
    from mpt import bodies

    for name, value in changes.items():
        if name not in ("learning_rate", "skip_below") and not hasattr(config, name):
            raise InputError(f"--{name.replace('_', '-')}: {config.name} has no such setting; leave it out")
        if name in (*NUMBERS, "ahead") and not 0 < value < math.inf:
            raise InputError(f"--{name.replace('_', '-')} is {value}: give a number above 0")
    if "samples" in changes and hasattr(config, "epochs"):
        changes = changes | {"epochs": 0.0}
    changes = dict(changes)
    if (least := changes.pop("skip_below", None)) is not None:
        inputs = getattr(config.model, "inputs", "meshes over time")
        if inputs != "patches" or not 0 <= least < 1:
            raise InputError(
                f"--skip-below is {least}, and the model reads {inputs}: give 0 to below 1, to "
                "an experiment that reads patches, as paper does"
            )
        changes["model"] = replace(config.model, skip_below=least)
    if "learning_rate" in changes:
        optim = replace(config.optim, learning_rate=changes["learning_rate"])
        changes = {k: v for k, v in changes.items() if k != "learning_rate"} | {"optim": optim}
    if hasattr(config, "body"):
        changes["body"] = bodies.located(changes.get("body", config.body))
    return replace(config, **changes)


def new_run(name: str) -> Path:
    from mpt.recipes.loop import new_folder

    return new_folder(name)

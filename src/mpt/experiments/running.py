"""Cells are run: stages that are missing, or broken off, and then what is measured.

ROOT/stages/small-pretrain-views-2-seed0/    a run folder, shared by all cells that begin with it
ROOT/cells/table7-views-2-small-seed0.json   what was measured, and on what
ROOT/maps/                                   what 2D networks saw of rendered pictures, seen once
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from mpt import bodies, checkpoint
from mpt.bodies import Body
from mpt.errors import InputError
from mpt.experiments.cells import Cell, Scale, Stage
from mpt.recipes.configs import read_config
from mpt.recipes.loop import Run, console
from mpt.recipes.pretrain import PretrainConfig, pretrain
from mpt.writing import write_whole


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

    @property
    def names(self) -> dict[str, str]:
        """What is measured on, by name."""
        named = dict(self.data) | ({} if self.store is None else {"poses": self.store})
        return {name: Path(path).name for name, path in sorted(named.items())}

    def changed(self, config: Any) -> Any:
        """A stage's configuration with what the user changes in it."""
        changes: dict[str, Any] = {} if self.body is None else {"body": self.body}
        if self.samples is not None:
            changes |= {"samples": self.samples, "epochs": 0.0}
        return replace(config, **changes)


def run_cell(cell: Cell, scale: Scale, seed: int, root: Path, given: Given) -> dict:
    """Run what is missing of a cell, and measure it; what its file says."""
    path = root / "cells" / f"{cell.name}-{scale}-seed{seed}.json"
    folders, stages = {}, {}
    for stage in cell.stages:
        folders[stage.name] = run_stage(stage, seed, root, given)
        stages[stage.name] = _about(folders[stage.name])
    about = {"seed": seed, "stages": stages, "evaluation": vars(cell.evaluation), "given": given.names}
    kept = [json.loads(p.read_text()) for p in sorted((root / "cells").glob(f"*-{scale}-seed{seed}.json"))]
    same = next((k for k in kept if about.items() <= k.items()), None)  # another table's cell may be the same
    found = {
        "cell": cell.name,
        "label": cell.label,
        "scale": scale,
        **about,
        "measured": same["measured"] if same else _measured(cell, folders[cell.stages[-1].name], root, given),
    }
    write_whole(path, (json.dumps(found, indent=1) + "\n").encode())
    return found


def run_stage(stage: Stage, seed: int, root: Path, given: Given) -> Path:
    """The run folder of a stage, which is run, gone on with, or left as it is where it is finished.

    Raises InputError where it holds a run of another configuration, or something is missing for it.
    """
    folder = stage_folder(root, stage.name, seed)
    config = replace(given.changed(stage.config), seed=seed)
    begun = (folder / "state.safetensors").exists()
    if begun:
        _check_same(folder, config)
        if _finished(folder, config):
            return folder
        console.print(f"{folder}: going on at step {Run(folder).steps_taken:,}", highlight=False)
    if isinstance(config, PretrainConfig):
        if given.store is None:
            raise InputError(
                f"{stage.name} learns from poses, and none were named: give --store STORE, which "
                "`mpt prepare mocap` makes"
            )
        pretrain(config, given.store, folder, resume=begun, device=given.device)
    return folder


def stage_folder(root: Path, name: str, seed: int) -> Path:
    return root / "stages" / f"{name}-seed{seed}"


def _check_same(folder: Path, config: Any) -> None:
    kept = read_config(folder, type(config))
    free = {"accumulate", "batch_size", "parallel"} | ({"samples"} if config.epochs else set())
    for name, value in vars(config).items():
        if getattr(kept, name) != value and name not in free:
            raise InputError(
                f"{folder}: holds a run with another {name} ({str(getattr(kept, name))[:60]}, now "
                f"{str(value)[:60]}); choose another --out, or remove it"
            )


def _finished(folder: Path, config: Any) -> bool:
    """Whether a run has seen all its samples; how many an epoch has is known to the run."""
    kept = read_config(folder, type(config))
    return Run(folder).steps_taken >= max(1, kept.samples // (kept.batch_size * kept.accumulate))


def _about(folder: Path) -> dict:
    """How much a finished run saw, and how long it took; by its own metrics."""
    config = json.loads((folder / "config.json").read_text())
    seconds, before, step = 0.0, 0, 0
    for entry in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        step = entry["step"]
        if "samples_per_s" in entry:
            seconds += (step - before) * config["batch_size"] * config["accumulate"] / entry["samples_per_s"]
            before = step
    return {"steps": step, "batch_size": config["batch_size"], "seconds": round(seconds)}


def _measured(cell: Cell, run: Path, root: Path, given: Given) -> dict[str, dict[str, float]]:
    from mpt.experiments import measuring  # needs an image library, which pre-training does not

    model = checkpoint.load(run)
    body = _body_of(run, given)
    found = {}
    if cell.evaluation.on == "rendered" and "rendered" in given.data:
        found["rendered"] = measuring.on_pictures(
            model, body, given.data["rendered"], root / "maps", cell.evaluation.pose2d
        )
    if given.store is not None:
        found |= measuring.on_poses(model, body, given.store)
    return found


def _body_of(run: Path, given: Given) -> Body:
    return bodies.load(given.body or json.loads((run / "config.json").read_text())["body"])

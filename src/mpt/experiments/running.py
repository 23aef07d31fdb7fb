"""Cells are run: stages that are missing, or broken off, and then what is measured.

    ROOT/stages/small-pretrain-views-2-seed0/    a run folder, shared by all cells that begin with it
    ROOT/cells/table7-views-2-small-seed0.json   what was measured, and on what
    ROOT/maps/                                   what 2D networks saw of rendered pictures, seen once
    ROOT/benchmarks/                             predictions on the field's benchmarks

A seed is that of all stages of a cell.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpt.errors import InputError
from mpt.experiments.cells import Cell, Scale, Stage
from mpt.experiments.given import BENCHMARKS, Given
from mpt.recipes.configs import read_config
from mpt.recipes.loop import Run, console
from mpt.recipes.pretrain import PretrainConfig, pretrain
from mpt.writing import check_output, write_whole

if TYPE_CHECKING:
    from mpt.recipes.finetune import FinetuneConfig

FIRST = "begun-with.json"


def run_cell(cell: Cell, scale: Scale, seed: int, root: Path, given: Given) -> dict:
    """Run what is missing of a cell, and measure it; what its file says."""
    path = root / "cells" / f"{cell.name}-{scale}-seed{seed}.json"
    check_output(path, "result of a cell", lambda path: "cell" in _read(path))
    folders, stages = {}, {}
    for stage in cell.stages:
        folders[stage.name] = run_stage(stage, seed, root, given)
        stages[stage.name] = _about(folders[stage.name])
    last = cell.stage.name
    about = {
        "seed": seed,
        "run": stages[last] | {"stage": last, "weights": run_digest(folders[last])},
        "evaluation": asdict(cell.evaluation),
        "given": given.about(cell.evaluation),
    }
    kept = [_read(p) for p in sorted((root / "cells").glob(f"*-{scale}-seed{seed}.json"))]
    same = next((k for k in kept if about.items() <= k.items()), None)  # another table's cell may be the same
    found = {"cell": cell.name, "label": cell.label, "scale": scale, **about, "stages": stages}
    if same:
        found |= {key: same[key] for key in ("measured", "curve")}
    else:
        from mpt.experiments.measuring import curve, measure  # an image library, which pre-training needs not

        found["measured"] = measure(cell, folders[last], root, given)
        found["curve"] = curve(folders[last]) if cell.evaluation.curve else []
    content = json.dumps(found, indent=1) + "\n"
    write_whole(path, content.encode())
    return found


def _read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text())
        if isinstance(found, dict):
            return found
    except (OSError, ValueError, RecursionError):
        pass
    raise InputError(
        f"{path}: is no whole JSON object of an experiment; move it away, or choose another --out"
    )


def run_stage(stage: Stage, seed: int, root: Path, given: Given) -> Path:
    """The run folder of a stage, which is run, gone on with, or left as it is where it is finished.

    Raises InputError where it holds a run of another configuration, or something is missing for it.
    """
    folder = stage_folder(root, stage.name, seed)
    config = replace(given.changed(stage.config), seed=seed)
    if stage.start_from:
        config = replace(config, start_from=str(stage_folder(root, stage.start_from.name, seed)))
    begun = (folder / "state.safetensors").exists()
    before = [s.name for s in (stage.start_from, stage.pose2d) if s]
    first = {name: run_digest(stage_folder(root, name, seed)) for name in before}
    if begun:
        _check_same(folder, config)
        _check_first(folder, first)
        if _finished(folder, config):
            return folder
        console.print(f"{folder}: going on at step {Run(folder).steps_taken:,}", highlight=False)
    elif first:
        check_output(folder / FIRST, "record of a run", lambda path: _read(path).keys() == first.keys())
        write_whole(folder / FIRST, json.dumps(first).encode())
    if isinstance(config, PretrainConfig):
        assert given.store is not None  # ``check`` has seen to it
        pretrain(config, given.store, folder, resume=begun, device=given.device, threads=given.threads)
    else:
        _finetune(config, stage, folder, seed, root, given, resume=begun)
    return folder


def _finetune(
    config: "FinetuneConfig", stage: Stage, folder: Path, seed: int, root: Path, given: Given, resume: bool
) -> None:
    from mpt.recipes.finetune import finetune

    weights = stage_folder(root, stage.pose2d.name, seed) if stage.pose2d else None
    if _needs_weights(stage):
        weights = given.weights
    how = {
        "workers": given.workers,
        "device": given.device,
        "threads": given.threads,
        "pose2d_weights": weights,
    }
    finetune(config, given.data, folder, resume=resume, **how)


def _needs_weights(stage: Stage) -> bool:
    """Whether its 2D network begins with a file of the user's, not with what another stage has trained."""
    if isinstance(stage.config, PretrainConfig) or stage.config.network.kind != "higher-hrnet":
        return False
    tuned_before = stage.start_from is not None and not isinstance(stage.start_from.config, PretrainConfig)
    return stage.pose2d is None and not tuned_before


def stage_folder(root: Path, name: str, seed: int) -> Path:
    return root / "stages" / f"{name}-seed{seed}"


def check(cells: Iterable[Cell], given: Given) -> None:
    """Refuse at once, in a sentence, what would fail for want of a file after days."""
    for cell in cells:
        for stage in cell.stages:
            _check_stage(stage, given)
        on = cell.evaluation.on
        needed = "rendered" if on == "rendered" else BENCHMARKS.get(on)
        if needed and needed not in given.data:
            raise InputError(f"{cell.name} is measured on {needed}: {_name_data(needed)}")
        if on == "freihand":
            _check_freihand(cell, given.data[needed])
        if cell.evaluation.pose2d == "higher-hrnet" and given.weights is None:
            raise InputError(f"{cell.name} looks at photos with HigherHRNet: {WEIGHTS}")


def needs(cell: Cell) -> list[str]:
    """What a user has to name for a cell, in few words."""
    found = []
    for stage in cell.stages:
        config = stage.config
        if config.body.endswith(".safetensors"):
            found.append(Path(config.body).stem.upper())
        if isinstance(config, PretrainConfig):
            found.append("poses")
        else:
            found += [*config.data, config.validation]
        if _needs_weights(stage):
            found.append("HigherHRNet")
    found += [BENCHMARKS[cell.evaluation.on]] if cell.evaluation.on in BENCHMARKS else []
    found += ["HigherHRNet"] if cell.evaluation.pose2d == "higher-hrnet" else []
    return list(dict.fromkeys(found))


WEIGHTS = (
    "give its COCO weights (pose_higher_hrnet_w48_640.pth.tar of the authors' release, HRNet on GitHub) with "
    "--weights FILE"
)


def _check_stage(stage: Stage, given: Given) -> None:
    config = given.changed(stage.config)
    if config.body.endswith(".safetensors") and not Path(config.body).is_file():
        kind = Path(config.body).stem
        raise InputError(
            f"{stage.name} is of the body {kind.upper()}, and {config.body} is not there: make it with "
            f"`mpt prepare body {kind} FILE` from the official file ({kind}.is.tue.mpg.de) and name it with "
            "--body FILE"
        )
    if isinstance(config, PretrainConfig):
        if given.store is None:
            raise InputError(
                f"{stage.name} learns from poses, and none were named: give --store STORE, which "
                "`mpt prepare mocap` makes"
            )
        return
    for name in dict.fromkeys([*config.data, config.validation]):
        if name not in given.data:
            raise InputError(f"{stage.name} reads {name}: {_name_data(name)}")
    if _needs_weights(stage) and given.weights is None:
        raise InputError(f"{stage.name} begins with HigherHRNet as trained on COCO: {WEIGHTS}")


def _check_freihand(cell: Cell, folder: Path) -> None:
    from mpt.datasets.freihand import labels_missing

    if missing := labels_missing(folder):
        raise InputError(f"{cell.name} is measured on FreiHAND: {missing}")


def _name_data(name: str) -> str:
    from mpt.datasets.check import DATASETS

    if name == "rendered":
        return "name its folder with --rendered DIR, which `mpt prepare rendered` makes"
    return f"name its folder with --data {name}=DIR ({DATASETS[name].advice})"


def _check_same(folder: Path, config: Any) -> None:
    kept = read_config(folder, type(config))
    free = {"accumulate", "batch_size", "parallel"} | ({"samples"} if config.epochs else set())
    for name, value in vars(config).items():
        before = getattr(kept, name)
        if name in ("body", "start_from"):  # a path, from wherever it was given
            before, value = Path(before).name, Path(value).name
        if before != value and name not in free:
            raise InputError(
                f"{folder}: holds a run with another {name} ({str(before)[:60]}, now {str(value)[:60]}); "
                "choose another --out, or remove it"
            )


def _check_first(folder: Path, first: dict[str, str]) -> None:
    """Refuse a run that was begun with other weights than the stages before it have now."""
    path = folder / FIRST
    if not path.exists():  # begun by hand, with what was named there
        return
    kept = _read(path)
    for name, weights in first.items():
        if kept.get(name) != weights:
            raise InputError(
                f"{folder}: was begun with the weights of another {name}; remove it to run it anew"
            )


def run_digest(run: Path) -> str:
    """What tells the weights of a run from others."""
    digests = (
        hashlib.sha256(path.read_bytes())
        for path in sorted(run.glob("*.safetensors"))
        if path.stem != "state"
    )
    return hashlib.sha256(b"".join(d.digest() for d in digests)).hexdigest()[:16]


def _finished(folder: Path, config: Any) -> bool:
    """Whether a run has seen all its samples; how many an epoch has is known to the run."""
    kept = read_config(folder, type(config))
    return Run(folder).steps_taken >= max(1, kept.samples // (kept.batch_size * kept.accumulate))


def _about(folder: Path) -> dict:
    """How much a finished run saw, and how long it took; by its own metrics."""
    config = _read(folder / "config.json")
    per_step = config["batch_size"] * config["accumulate"]
    seconds, before, step = 0.0, 0, 0
    for entry in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        step = entry["step"]
        if "samples_per_s" in entry:
            seconds += (step - before) * per_step / entry["samples_per_s"]
            before = step
    return {"steps": step, "samples": step * per_step, "seconds": round(seconds)}

"""``mpt evaluate``: how far a model is off, on motion capture and on the field's benchmarks."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from mpt.cli.common import OK, AsJson, Device, ModelName, check_folder
from mpt.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from mpt.bodies import Body
    from mpt.bodies.smpl import Gender
    from mpt.checkpoint import Model
    from mpt.recipes.conventions import Name as Benchmark


@dataclass(frozen=True)
class EvaluateMocap:
    """Measure a model on motion capture: heatmaps drawn from poses -> mesh, in millimetres.

    Reads any folder of motion, or a store (its validation poses, or all where it has none). Each pose is seen
    once, on a random person, by a random camera; the same ones in every call.

    Example: mpt evaluate mocap my_bvh_folder --noise detector
    """

    path: Annotated[Positional[Path], arg(metavar="PATH")]
    """A file or folder of motion capture, or a store."""
    model: ModelName = "mpt-small"
    """A model that comes with mpt, a model file, or a run folder."""
    samples: Annotated[int, arg(metavar="N")] = 2000
    """Poses at most, taken evenly from all."""
    noise: Literal["none", "detector"] = "none"
    """Perfect heatmaps, or ones as a detector gives them."""
    scale: float | None = None
    """Of motion files, as for `mpt prepare mocap`."""
    joint_map: Annotated[Path | None, arg(metavar="FILE")] = None
    """Of motion files, as for `mpt prepare mocap`."""
    up: Literal["y", "z", "y-down"] | None = None
    """Of motion files, as for `mpt prepare mocap`."""
    straighten: bool = True
    """Of motion files, as for `mpt prepare mocap`: --no-straighten measures against the capture as it is."""
    as_json: AsJson = False
    """Print one JSON object on stdout, and nothing else there."""
    device: Device = "auto"
    """Where it runs."""

    def __call__(self) -> int:
        from mpt import heatmaps
        from mpt.mocap import read_joint_map
        from mpt.recipes.evaluate import evaluate_poses
        from mpt.reconstructor import load
        from mpt.threads import torch_threads

        if self.samples < 1:
            raise InputError(f"--samples is {self.samples}: give a number above 0")
        joint_map = read_joint_map(self.joint_map) if self.joint_map else None
        model = load(self.model, device=self.device).model
        body = _body_of(model)
        reading = {"scale": self.scale, "joint_map": joint_map, "up": self.up}
        bones, rotvec = _poses(self.path, body, self.samples, reading, straight=self.straighten)
        noise = heatmaps.DETECTOR if self.noise == "detector" else None
        with torch_threads(1):
            means = evaluate_poses(model.transformer, body, bones, rotvec, noise=noise).means()
        errors = {f"{name}_mm": round(mm, 3) for name, mm in means.items()} | {"samples": len(rotvec)}
        if self.as_json:
            print(json.dumps(errors))
        else:
            maps = "with a detector's noise" if noise else "without noise"
            print(f"{model.name} on {len(rotvec):,} poses of {self.path}, heatmaps {maps}:")
            for name, mm in means.items():
                print(f"  {name.upper().replace('_', '-'):<9}{mm:7.1f} mm")
            print(_to_compare_motion(body))
        return OK


MEASURED = {
    "coco17": ("mpt-small", "subjects of CMU that it never saw", "38 / 23 / 46", "72 / 43 / 88"),
    "hand21": ("mpt-hand", "poses drawn as those it learned from", "10 / 4 / 11", None),
}
"""What a model that comes with mpt was measured on, and its errors on perfect maps and a detector's."""
CELLS = {"h36m": "table1-h36m", "3dpw": "table1-3dpw", "freihand": "table5-hands"}


def _to_compare_motion(body: "Body") -> str:
    """Figures beside which others may be looked at."""
    from mpt.skeletons import core

    name, people, perfect, noisy = MEASURED[core(body.skeleton).name]
    noisy = f", with --noise detector {noisy} mm" if noisy else ""
    return f"To compare with: {name} on {people}, {perfect} mm{noisy} (docs/results.md)."


def _to_compare(name: "Benchmark") -> str:
    from mpt import experiments

    if name not in CELLS:
        published = "figures that others publish under these conventions, or " if name == "emdb" else ""
        return f"To compare with: {published}another --model or --pose2d on the same."
    [cell] = experiments.cells(CELLS[name], "full")
    figures = ", ".join(f"{metric} {value:g}" for metric, value in cell.paper.items())
    return f"To compare with: MPT's paper, whose model is fine-tuned on photos of this set, {figures}."


def _poses(
    path: Path, body: "Body", count: int, reading: dict[str, Any], *, straight: bool
) -> tuple[tuple[str, ...], "np.ndarray"]:
    """At most ``count`` poses (N, bones, 3) of a store, or of motion files by way of one.

    ``reading`` says how motion files are read; a store has been.
    """
    import tempfile

    from mpt.datasets.store import PoseStore
    from mpt.mocap import EXTENSIONS
    from mpt.recipes.evaluate import spread
    from mpt.recipes.prepare import prepare_mocap

    def taken(store: PoseStore) -> tuple[tuple[str, ...], "np.ndarray"]:
        index = store.validation if len(store.validation) else store.indices()
        if not len(index):
            raise InputError(f"{path}: holds no poses; prepare it again from files that hold motion")
        return store.bones, store.rotvec(spread(index, count))

    if path.is_file() and path.suffix.lower() not in (*EXTENSIONS, ".asf"):
        if any(told is not None for told in reading.values()) or not straight:
            raise InputError(
                "--scale, --joint-map, --up and --no-straighten say how motion files are read, and "
                f"{path} is none: leave them out"
            )
        return taken(PoseStore(path, body=body))
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "poses"
        prepare_mocap([path], prepared, body=body, straight=straight, **reading)
        return taken(PoseStore(prepared, body=body))


@dataclass(frozen=True)
class EvaluatePhotos:
    """What measuring on a data set of photos is told."""

    folder: Annotated[Positional[Path], arg(metavar="DIR")]
    """The data set's folder, in its official layout."""
    model: ModelName = "mpt-small"
    """A model that comes with mpt, a model file, or a run folder."""
    pose2d: Literal["auto", "blazepose", "blazepose-heavy", "blazepalm", "higher-hrnet", "onnx", "truth"] = (
        "auto"
    )
    """What gives the heatmaps: blazepose (of hands blazepalm) searches around the set's box, networks look
    at the box itself, truth draws the set's own 2D joints. auto: the network that was fine-tuned with the
    model, where its run folder holds one, else blazepose or blazepalm."""
    weights: Annotated[Path | None, arg(metavar="FILE")] = None
    """The 2D network's: HigherHRNet's official file, or the ONNX file."""
    input_size: Annotated[int, arg(metavar="PX")] = 224
    """Side of the picture that the 2D network sees."""
    body: Annotated[Path | None, arg(metavar="FILE")] = None
    """The body file that the model was trained on, where it does not come with mpt."""
    looks: Literal[1, 2] = 1
    """2 averages with a look at the mirrored maps, as `mpt reconstruct` does; published figures have one."""
    samples: Annotated[int | None, arg(metavar="N")] = None
    """Samples at most, taken evenly from all. Default: all."""
    worst: Annotated[int, arg(metavar="N")] = 8
    """Pictures of the samples with the largest errors."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="DIR")] = None
    """Where predictions, report and pictures go; what is predicted there already is not predicted again.
    Default: runs/BENCHMARK-MODEL."""
    as_json: AsJson = False
    """Print one JSON object on stdout, and nothing else there."""
    device: Device = "auto"
    """Where it runs."""


@dataclass(frozen=True)
class EvaluateH36M(EvaluatePhotos):
    """Measure a model on Human3.6M, protocol 2: S9 and S11, frontal camera.

    Example: mpt evaluate h36m datasets/h36m --model runs/mine --body smpl.safetensors
    """

    def __call__(self) -> int:
        return _evaluate("h36m", self)


@dataclass(frozen=True)
class EvaluateOnSmpl(EvaluatePhotos):
    """What measuring against meshes of SMPL is told."""

    neutral: Annotated[Path | None, arg(metavar="FILE")] = None
    """The neutral SMPL body, where the model's own is another."""
    female: Annotated[Path | None, arg(metavar="FILE")] = None
    """The female SMPL body."""
    male: Annotated[Path | None, arg(metavar="FILE")] = None
    """The male SMPL body."""

    def people(self) -> "dict[Gender, Body]":
        from mpt import bodies

        files: dict[Gender, Path | None] = {"neutral": self.neutral, "female": self.female, "male": self.male}
        return {gender: bodies.load(path) for gender, path in files.items() if path is not None}


@dataclass(frozen=True)
class Evaluate3DPW(EvaluateOnSmpl):
    """Measure a model on 3DPW's test set, by the METRO family's convention and by the SPIN family's.

    Example: mpt evaluate 3dpw datasets/3dpw --model runs/mine --body n.safetensors --female f.safetensors
    --male m.safetensors
    """

    def __call__(self) -> int:
        return _evaluate("3dpw", self, self.people())


@dataclass(frozen=True)
class EvaluateEMDB(EvaluateOnSmpl):
    """Measure a model on EMDB-1, SMPL's 24 joints and its vertices, by WHAM's convention and by GVHMR's.

    The figures that newer systems quote: PA-MPJPE, MPJPE and PVE (here mpve_mm), over all good frames.

    Example: mpt evaluate emdb datasets/emdb --model runs/mine --body n.safetensors --female f.safetensors
    --male m.safetensors
    """

    def __call__(self) -> int:
        return _evaluate("emdb", self, self.people())


@dataclass(frozen=True)
class EvaluateFreihand(EvaluatePhotos):
    """Measure a model of hands on FreiHAND's evaluation set, and write pred.json for its server.

    Example: mpt evaluate freihand datasets/freihand --model runs/hands --body mano.safetensors
    --pose2d onnx --weights hands.onnx --averaged
    """

    averaged: bool = False
    """Also by the average of 95 views of each sample, as published figures often are; 95 times as slow."""

    def __call__(self) -> int:
        return _evaluate("freihand", self, averaged=self.averaged)


@dataclass(frozen=True)
class EvaluateRendered(EvaluatePhotos):
    """Measure a model on the held-out pictures of `mpt prepare rendered`, whose meshes are known exactly.

    Nobody real is in them: these are numbers on rendered pictures, not on photos.

    Example: mpt evaluate rendered pictures --model runs/tuned
    """

    def __call__(self) -> int:
        return _evaluate("rendered", self)


@dataclass(frozen=True)
class EvaluateFolder(EvaluatePhotos):
    """Measure where a model puts the joints of people in photos that COCO keypoints label.

    The folder holds the photos and one COCO keypoint file (.json).

    Example: mpt evaluate folder my_photos
    """

    def __call__(self) -> int:
        return _evaluate("folder", self)


def _evaluate(
    name: "Benchmark",
    command: EvaluatePhotos,
    people: "dict[Gender, Body] | None" = None,
    *,
    averaged: bool = False,
) -> int:
    from rich.console import Console

    from mpt import checkpoint
    from mpt.pose2d.finders import finder_for
    from mpt.recipes import networks
    from mpt.recipes.benchmark import benchmark, check_no_others, read_samples
    from mpt.recipes.conventions import conventions
    from mpt.recipes.eyes import eye_of
    from mpt.recipes.predictions import process
    from mpt.reconstructor import device_named

    for option in ("samples", "input_size"):
        if (value := getattr(command, option)) is not None and value < 1:
            raise InputError(f"--{option.replace('_', '-')} is {value}: give a number above 0")
    if command.worst < 0:
        raise InputError(f"--worst is {command.worst}: give 0 or more")
    rank, ranks, wait = process(command.device)
    device = device_named(command.device)
    model = checkpoint.load(command.model, device)
    out = command.out or Path("runs") / f"{name}-{Path(model.name).stem}"
    check_folder(out)
    check_no_others(out)
    pose2d, weights, network = command.pose2d, command.weights, command.weights
    if pose2d == "auto" and networks.tuned_here(command.model):
        pose2d, weights = "tuned", Path(command.model)
        network = weights / networks.FILE
    elif pose2d == "auto":
        pose2d = finder_for(model.skeleton, model.name)
    about = {
        "weights": checkpoint.digest(checkpoint.find(command.model)),
        "pose2d_weights": network and checkpoint.digest(network),
        "input_size": command.input_size,
    }
    body = _body_of(model, command.body)
    rules, notes = conventions(name, body, people)
    report = benchmark(
        name,
        rules,
        read_samples(name, command.folder, body=body, count=command.samples),
        out,
        model,
        body,
        lambda: eye_of(
            pose2d,
            model.skeleton,
            model.transformer.config.heatmap_size,
            weights=weights,
            input_size=command.input_size,
            device=device,
            features_for=model.transformer if model.transformer.config.inputs == "features" else None,
        ),
        pose2d=pose2d,
        about=about,
        notes=notes,
        averaged=averaged,
        looks=command.looks,
        worst=command.worst,
        rank=rank,
        ranks=ranks,
        wait=wait,
    )
    if report is None:  # another process tells
        return OK
    if command.as_json:
        print(json.dumps(report.as_json()))
    else:
        Console().print(report.table())
        print(_to_compare(name))
        print(f"Predictions, report.json and pictures are in {out}.")
    return OK


def _body_of(model: "Model", path: Path | None = None) -> "Body":
    """The body that a model was trained on, in its file or as it comes with mpt, with the model's joints."""
    from mpt import bodies

    try:
        body = bodies.load(path or model.body)
    except InputError:
        if path is not None:
            raise
        raise InputError(
            f"the model {model.name} was trained on the body {model.body}, which does not come with mpt: "
            "name its file with --body FILE"
        ) from None
    if body.hash != model.body_hash:
        raise InputError(
            f"the model {model.name} was trained on another {model.body} body ({model.body_hash[:12]}) than "
            f"the one here ({body.hash[:12]}): use the version of mpt that trained it, or train it anew"
        )
    return body.with_joints(model.skeleton)

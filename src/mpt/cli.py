"""The command ``mpt``: each command parses, calls, prints.

Whatever is slow to import is imported when a command runs, so that ``--help`` answers at once.
"""

import difflib
import json
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import tyro
from tyro.conf import Positional, arg, subcommand

from mpt.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from mpt.bodies import Body
    from mpt.bodies.smpl import Gender
    from mpt.checkpoint import Model
    from mpt.pose2d.base import Pose2D
    from mpt.pose2d.keypoints import KeypointFile
    from mpt.recipes.benchmark import Name as Benchmark
    from mpt.recipes.finetune import FinetuneConfig
    from mpt.recipes.pretrain import PretrainConfig
    from mpt.reconstruct import Reconstruction, Reconstructor

OK, SOME_REFUSED, REFUSED, INTERRUPTED = 0, 1, 2, 130

Out = Annotated[Path, arg(aliases=["-o"], metavar="DIR")]
OutFile = Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
AsJson = Annotated[bool, arg(name="json")]
Formats = tuple[Literal["glb", "obj", "ply", "npz"], ...]
ModelName = Annotated[str, arg(metavar="NAME|FILE")]
Device = Annotated[str, arg(metavar="auto|cpu|cuda")]


@dataclass(frozen=True)
class Reconstruct:
    """Put a 3D body on everybody in a photo.

    Each photo gets a folder of results: overlay.png (the bodies over the photo, and from the side),
    result.json (joints, cameras, scores) and a mesh file for each person. An earlier result is replaced.

    Example: mpt reconstruct holiday.jpg -o results
    """

    photos: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTO...")]
    """The photos: JPEG, PNG, WebP, GIF, BMP or TIFF."""
    out: Out = Path("mpt-out")
    """Where the results go: DIR/<photo's name>/."""
    format: Formats = ("glb",)
    """Mesh formats: glb (y up, for Blender and browsers), obj, ply, npz (camera axes)."""
    as_json: AsJson = False
    """Print one JSON array of the results on stdout, and nothing else there."""
    model: ModelName = "mpt-small"
    """A model that comes with mpt, a model file, or a run folder of `mpt pretrain` or `mpt finetune`."""
    pose2d: Literal["auto", "blazepose", "higher-hrnet", "keypoints"] = "auto"
    """What draws the people's 2D joints. auto: the network that was fine-tuned with the model, where its run
    folder holds one, else BlazePose, which also finds the people for the others."""
    weights: Annotated[Path | None, arg(metavar="FILE")] = None
    """HigherHRNet's official COCO weights, for --pose2d higher-hrnet."""
    keypoints: Annotated[Path | None, arg(metavar="FILE")] = None
    """2D joints of any detector, COCO or OpenPose JSON, matched to the photos by file name."""
    focal: Annotated[float | None, arg(metavar="PX")] = None
    """The camera's focal length in pixels. Default: the picture's diagonal, a view of 53 degrees."""
    device: Device = "auto"
    """Where the transformer runs; auto takes CUDA where there is one."""

    def __call__(self) -> int:
        if not self.photos:
            raise InputError("no photo was named: give one or more, as in `mpt reconstruct photo.jpg`")
        _check_pose2d(self)
        points = _keypoint_file(self)
        _check_folder(self.out)
        results, refused = _reconstruct_all(self, points)
        if self.as_json:
            print(json.dumps(results))
        if not refused:
            return OK
        return SOME_REFUSED if results else REFUSED


def _reconstruct_all(options: Reconstruct, points: "KeypointFile | None") -> tuple[list[dict], int]:
    """Every photo's result, and how many were refused; a refused one stops nobody else's."""
    from mpt.images import read_image
    from mpt.results import folder_names

    reconstructor: Reconstructor | None = None
    results, refused = [], 0
    for photo, name in _tracked(list(zip(options.photos, folder_names(options.photos)))):
        try:
            image = read_image(photo)
        except InputError as error:
            refused += 1
            _say(error)
            continue
        if (
            reconstructor is None
        ):  # not before a photo could be read, and outside the try: it stops everything
            reconstructor = _load(
                options.model,
                options.device,
                search=points is None,
                pose2d=options.pose2d,
                weights=options.weights,
            )
        try:
            finder = reconstructor.pose2d
            if points is not None:
                finder = points.of(photo, heatmap_size=reconstructor.heatmap_size)
            result, _ = _reconstruct(photo, image, reconstructor, finder, options, options.out / name)
        except InputError as error:
            refused += 1
            _say(error)
            continue
        results.append(result)
        print(_summary(result, options.out / name), file=sys.stderr if options.as_json else sys.stdout)
    return results, refused


def _reconstruct(
    photo: Path,
    image: "np.ndarray",
    reconstructor: "Reconstructor",
    finder: "Pose2D",
    options: Reconstruct,
    folder: Path,
) -> tuple[dict, list["Reconstruction"]]:
    """Reconstruct a photo and write its folder: what result.json holds, and the people."""
    from mpt import results

    start = time.perf_counter()
    found = finder(image)
    found_at = time.perf_counter()
    people = reconstructor.lift(found, (image.shape[1], image.shape[0]), focal_px=options.focal)
    lifted_at = time.perf_counter()
    with results.replacing(folder) as unfinished:
        meshes = results.write_files(unfinished, image, people, options.format)
        seconds = results.Seconds(found_at - start, lifted_at - found_at, time.perf_counter() - start)
        result = results.as_json(photo, reconstructor.model.name, seconds, people, meshes)
        results.write_json(unfinished, result)
    return result, people


def _summary(result: dict, folder: Path) -> str:
    count = len(result["people"])
    who = {0: "nobody was found", 1: "1 person"}.get(count, f"{count} people")
    return f"{result['image']}: {who} -> {folder / 'overlay.png'} ({result['seconds']['total']:.2f} s)"


def _keypoint_file(options: Reconstruct) -> "KeypointFile | None":
    if options.keypoints is None:
        if options.pose2d == "keypoints":
            raise InputError("--pose2d keypoints takes 2D joints from a file: name it with --keypoints FILE")
        return None
    from mpt.pose2d import keypoints

    return keypoints.read(options.keypoints)


def _check_pose2d(options: Reconstruct) -> None:
    hrnet = options.pose2d == "higher-hrnet"
    if hrnet and options.weights is None:
        raise InputError(
            "--pose2d higher-hrnet needs HigherHRNet's official COCO weights: name them with --weights FILE"
        )
    if options.weights is not None and not hrnet:
        raise InputError(
            f"--weights {options.weights} goes with --pose2d higher-hrnet: give both, or neither"
        )
    if options.keypoints is not None and options.pose2d not in ("auto", "keypoints"):
        raise InputError(
            f"--keypoints {options.keypoints} was given beside --pose2d {options.pose2d}: leave one out"
        )


def _load(
    model: str,
    device: str = "auto",
    *,
    search: bool = True,
    pose2d: str = "auto",
    weights: Path | None = None,
) -> "Reconstructor":
    from mpt import assets, reconstruct
    from mpt.recipes import networks

    if search:
        assets.get("blazepose")  # once for all photos, and before the first
    reconstructor = reconstruct.load(model, device=device)
    size, where = reconstructor.heatmap_size, reconstructor.model.transformer.template_joints.device
    if weights is not None:
        from mpt.pose2d.higher_hrnet import HigherHRNetPose

        reconstructor.pose2d = HigherHRNetPose(weights, heatmap_size=size, device=where)
    elif search and pose2d == "auto" and networks.tuned_here(model):
        reconstructor.pose2d = networks.tuned_pose2d(model, size, device=where)
    return reconstructor


# ------------------------------------------------------------------------------------------------ mpt demo


@dataclass(frozen=True)
class Demo:
    """See the whole chain work, on made-up photographs.

    Draws pictures of people whose bodies are known exactly, reconstructs them as it would any photo, and
    prints how far off each body is.

    Example: mpt demo -o mpt-demo
    """

    out: Out = Path("mpt-demo")
    """Where the pictures and the results go."""
    model: ModelName = "mpt-small"
    """A model that comes with mpt, a model file, or a run folder."""

    def __call__(self) -> int:
        from rich.console import Console
        from rich.table import Table

        from mpt.demo import compare
        from mpt.export import write_picture
        from mpt.images import read_image
        from mpt.scenes import demo_scenes

        _check_folder(self.out)
        reconstructor = _load(self.model)
        table = Table("picture", "person", title="Millimetres off the truth, about the mid-hip")
        for heading in ("MPJPE", "PA-MPJPE", "MPVE"):
            table.add_column(heading, justify="right")
        _make_folder(self.out)
        print("drawing made-up photographs and reconstructing the people in them ...", file=sys.stderr)
        for scene in demo_scenes():
            photo = self.out / f"{scene.name}.png"
            write_picture(photo, scene.image)
            options = Reconstruct((photo,), self.out, model=self.model)
            result, people = _reconstruct(
                photo, read_image(photo), reconstructor, reconstructor.pose2d, options, self.out / scene.name
            )
            print(_summary(result, self.out / scene.name))
            for number, errors in enumerate(compare(people, scene.people)):
                cells = ["not found"] if errors is None else [f"{mm:.0f}" for mm in vars(errors).values()]
                table.add_row(scene.name, str(number + 1), *cells)
        Console().print(table)
        print(f"Pictures, meshes and joints are in {self.out}; open a person0.glb in Blender or a browser.")
        return OK


# --------------------------------------------------------------------------------------------- mpt prepare


@dataclass(frozen=True)
class PrepareMocap:
    """Turn motion capture into the store that training reads.

    Walks files and folders of BVH, ASF/AMC, AMASS and npz motion, lays every motion on the body, drops poses
    that hardly differ, and writes one file. What cannot be read is named and skipped.

    Example: mpt prepare mocap my_bvh_folder --out my.store --validation 02 05
    """

    paths: Annotated[Positional[tuple[Path, ...]], arg(metavar="PATH...")]
    """Files or folders of motion capture."""
    out: OutFile
    """The store to write."""
    validation: Annotated[tuple[str, ...], arg(metavar="SUBJECT...")] = ()
    """Subjects kept for validation, whole; all others train."""
    body: Annotated[str, arg(metavar="NAME|FILE")] = "anny"
    """The body that the motion is laid on."""
    fps: float = 30.0
    """Frames looked at per second."""
    strict: bool = False
    """Stop at a file that cannot be read, instead of skipping it."""

    def __call__(self) -> int:
        from rich.console import Console

        from mpt.recipes.prepare import prepare_mocap

        summary = prepare_mocap(
            self.paths, self.out, body=self.body, validation=self.validation, fps=self.fps, strict=self.strict
        )
        Console().print(summary.table())
        return OK


@dataclass(frozen=True)
class PrepareBody:
    """Make a body file: Anny from its package, SMPL or MANO from their official files. Anny comes with mpt.

    Example: mpt prepare body smpl SMPL_NEUTRAL.pkl --out smpl.safetensors
    """

    kind: Positional[Literal["anny", "smpl", "mano"]]
    """Which body: anny, from the `anny` package; smpl or mano, from a .pkl or .npz that you downloaded."""
    out: OutFile
    """The file to write."""
    file: Annotated[Positional[Path | None], arg(metavar="FILE")] = None
    """The official file of SMPL or MANO."""
    gender: Literal["neutral", "female", "male"] | None = None
    """Whose shapes an SMPL file holds. Default: as its name says."""
    h36m_regressor: Annotated[Path | None, arg(metavar="FILE")] = None
    """J_regressor_h36m.npy, of either order of the legs, for reporting on Human3.6M's joints."""
    downsampling: Annotated[Path | None, arg(metavar="FILE")] = None
    """METRO's mesh_downsampling.npz, whose coarse meshes are taken instead of our own."""

    def __call__(self) -> int:
        from mpt.bodies import read_body

        self._check()
        print(f"building the {self.kind} body; this takes some minutes", file=sys.stderr)
        self._build()
        body = read_body(self.out)
        print(f"{self.out}: {len(body.template):,} vertices, {body.shape_count} shape components")
        return OK

    def _check(self) -> None:
        if (self.file is None) != (self.kind == "anny"):
            raise InputError(
                f"{self.file} was given, but anny is made from its package: leave the file out"
                if self.kind == "anny"
                else f"{self.kind} is made from its official file: name it, as in `mpt prepare body "
                f"{self.kind} FILE --out FILE`"
            )
        used = {"anny": (), "smpl": ("gender", "h36m_regressor", "downsampling"), "mano": ("downsampling",)}
        for name in used["smpl"]:
            if getattr(self, name) is not None and name not in used[self.kind]:
                raise InputError(f"--{name.replace('_', '-')} says nothing about {self.kind}: leave it out")

    def _build(self) -> None:
        from mpt.bodies import anny, mano, smpl

        match self.kind:
            case "anny":
                anny.build(self.out)
            case "smpl":
                smpl.build(
                    self.file,
                    self.out,
                    gender=self.gender,
                    h36m_regressor=self.h36m_regressor,
                    downsampling=self.downsampling,
                )
            case "mano":
                mano.build(self.file, self.out, downsampling=self.downsampling)


@dataclass(frozen=True)
class PrepareDataset:
    """Check a folder of a data set: what is there, what of it is known, what is missing and where to get it.

    Example: mpt prepare dataset human36m data/h36m
    """

    name: Annotated[Positional[str], arg(metavar="NAME")]
    """human36m, mpi_inf_3dhp, muco3dhp, up3d, coco, mpii, 3dpw, freihand or complement."""
    folder: Annotated[Positional[Path], arg(metavar="DIR")]
    """Where it is."""
    strict: bool = False
    """Refuse a folder that lacks photos, or holds numbers that are not finite."""

    def __call__(self) -> int:
        from rich.console import Console

        from mpt.datasets import check

        Console().print(check.check(self.name, self.folder, strict=self.strict).table())
        return OK


@dataclass(frozen=True)
class PrepareRendered:
    """Make pictures of people with exact truth, for fine-tuning without any licensed data.

    Random people in the store's poses, dressed, placed and photographed at random: nobody real, and numbers
    from them are numbers on rendered pictures. About a second each; a broken-off call goes on where it was.

    Example: mpt prepare rendered my.store --out rendered --count 1000
    """

    store: Annotated[Positional[Path], arg(metavar="STORE")]
    """The poses: a store that `mpt prepare mocap` wrote."""
    out: Out
    """The folder to write."""
    count: Annotated[int, arg(metavar="N")] = 1000
    """Pictures of training poses."""
    validation: Annotated[int, arg(metavar="N")] = 100
    """Pictures of validation poses, whose people and motions are in none of the others."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Of every draw."""

    def __call__(self) -> int:
        from rich.console import Console
        from rich.progress import track

        from mpt import bodies
        from mpt.datasets import rendered
        from mpt.datasets.store import PoseStore

        for name in ("count", "validation"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} is {getattr(self, name)}: give a number above 0")
        _check_folder(self.out)
        body = bodies.load()
        store = PoseStore(self.store, body=body)
        for split, count in (("train", self.count), ("validation", self.validation)):
            made = rendered.make(self.out, store, body, count, split=split, seed=self.seed)
            for _ in track(made, split, total=count, console=Console(stderr=True), transient=True):
                pass
        print(f"{self.out}: {self.count:,} pictures to train on, {self.validation:,} to validate")
        return OK


# -------------------------------------------------------------------------------------------- mpt pretrain


@dataclass(frozen=True)
class Pretrain:
    """Train a mesh transformer from motion capture alone.

    The run folder holds config.json, metrics.jsonl, the model, and what resuming needs. Ctrl-C saves and says
    how to go on. The experiments are listed by `mpt experiments list`.

    Example: mpt pretrain tiny --store my.store --out runs/first
    """

    experiment: Annotated[Positional[str], arg(metavar="EXPERIMENT")] = ""
    """A named configuration. Default: mpt-small."""
    store: Annotated[Path | None, arg(metavar="STORE")] = None
    """The poses: a store that `mpt prepare mocap` wrote."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="RUN")] = None
    """The run folder. Default: runs/EXPERIMENT-TIME."""
    resume: Annotated[Path | None, arg(metavar="RUN")] = None
    """Go on with this run, by its own configuration."""
    start_from: Annotated[str | None, arg(metavar="NAME|FILE")] = None
    """Begin with the weights of a model of the same sizes, instead of random ones."""
    samples: Annotated[int | None, arg(metavar="N")] = None
    """Poses to learn from in all, instead of the experiment's."""
    batch_size: Annotated[int | None, arg(metavar="N")] = None
    """Samples in one step of one process."""
    learning_rate: Annotated[float | None, arg(metavar="RATE")] = None
    """Adam's highest learning rate."""
    seed: Annotated[int | None, arg(metavar="N")] = None
    """Of the weights and of every draw."""
    precision: Literal["auto", "float32", "bfloat16"] | None = None
    """What the transformer computes in."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it trains."""

    def __call__(self) -> int:
        if self.store is None:
            raise InputError("no poses were named: give --store STORE, which `mpt prepare mocap` makes")
        changes = {
            name: value
            for name in ("samples", "batch_size", "learning_rate", "seed", "precision")
            if (value := getattr(self, name)) is not None
        }
        if self.resume is not None:
            _check_resume(self, changes)
            out, config = self.resume, _run_config(self.resume)
        else:
            config = _changed(_pretraining(self.experiment or DEFAULT_EXPERIMENT), changes)
            out = self.out or _new_run(config.name)
        start = {"resume": self.resume is not None, "start_from": self.start_from}
        return _pretrain(config, self.store, out, device=self.device, **start)


DEFAULT_EXPERIMENT = "mpt-small"


def _pretrain(config: "PretrainConfig", store: Path, out: Path, **how: Any) -> int:
    from mpt.recipes.pretrain import pretrain

    pretrain(config, store, out, **how)
    print(f"{out}: trained; try it with `mpt reconstruct photo.jpg --model {out}`")
    return OK


def _check_resume(command: "Pretrain | Finetune", changes: dict) -> None:
    beside = [command.experiment, command.out and "--out", command.start_from and "--start-from"]
    beside += [f"--{name.replace('_', '-')}" for name in changes]
    if given := next(filter(None, beside), None):
        raise InputError(
            f"{given} was given beside --resume {command.resume}, but a resumed run keeps its own "
            "configuration and folder: leave it out, or start a new run"
        )


def _run_config(run: Path) -> "PretrainConfig":
    from mpt.recipes.configs import read_config
    from mpt.recipes.pretrain import PretrainConfig

    return read_config(run, PretrainConfig)


def _pretraining(name: str) -> "PretrainConfig":
    from mpt import experiments
    from mpt.recipes.pretrain import PretrainConfig

    config = experiments.get(name)
    if not isinstance(config, PretrainConfig):
        raise InputError(f"{name} is an experiment of fine-tuning: run it with `mpt finetune {name}`")
    return config


def _changed(config: Any, changes: dict) -> Any:
    for name, value in changes.items():
        if name in ("samples", "batch_size", "learning_rate") and not value > 0:
            raise InputError(f"--{name.replace('_', '-')} is {value}: give a number above 0")
    if "learning_rate" in changes:
        optim = replace(config.optim, learning_rate=changes["learning_rate"])
        changes = {k: v for k, v in changes.items() if k != "learning_rate"} | {"optim": optim}
    return replace(config, **changes)


def _new_run(name: str) -> Path:
    from mpt.recipes.loop import new_folder

    return new_folder(name)


# -------------------------------------------------------------------------------------------- mpt finetune


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
    """Samples in one step of one process."""
    learning_rate: Annotated[float | None, arg(metavar="RATE")] = None
    """Adam's highest learning rate."""
    seed: Annotated[int | None, arg(metavar="N")] = None
    """Of the weights and of every draw."""
    precision: Literal["auto", "float32", "bfloat16"] | None = None
    """What the networks compute in."""
    workers: Annotated[int, arg(metavar="N")] = 2
    """Processes that read photos."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it trains."""

    def __call__(self) -> int:
        from mpt.recipes.configs import read_config
        from mpt.recipes.finetune import FinetuneConfig

        names = ("start_from", "body", "samples", "batch_size", "learning_rate", "seed", "precision")
        changes = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.workers < 0:
            raise InputError(f"--workers is {self.workers}: give 0 or more")
        if self.resume is not None:
            _check_resume(self, changes | ({} if self.weights is None else {"weights": self.weights}))
            out, config = self.resume, read_config(self.resume, FinetuneConfig)
        else:
            config = _changed(_finetuning(self.experiment or DEFAULT_FINETUNING), changes)
            out = self.out or _new_run(config.name)
        how = {"resume": self.resume is not None, "pose2d_weights": self.weights, "workers": self.workers}
        return _finetune(config, self.data, out, device=self.device, **how)


DEFAULT_FINETUNING = "rendered-pretrained"


def _finetuning(name: str) -> "FinetuneConfig":
    from mpt import experiments
    from mpt.recipes.finetune import FinetuneConfig

    config = experiments.get(name)
    if not isinstance(config, FinetuneConfig):
        raise InputError(f"{name} is an experiment of pre-training: run it with `mpt pretrain {name}`")
    return config


def _finetune(config: "FinetuneConfig", data: tuple[str, ...], out: Path, **how: Any) -> int:
    from mpt.recipes.finetune import finetune

    finetune(config, _folders(config, data), out, **how)
    print(f"{out}: fine-tuned; try it with `mpt reconstruct photo.jpg --model {out}`")
    return OK


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


# ----------------------------------------------------------------------------------------- mpt experiments


@dataclass(frozen=True)
class ExperimentsList:
    """List the named configurations.

    Example: mpt experiments list
    """

    def __call__(self) -> int:
        from rich.console import Console
        from rich.table import Table

        from mpt import experiments

        table = Table("experiment", "what it is", box=None, pad_edge=False)
        for name, about in experiments.names().items():
            table.add_row(name, about)
        Console().print(table)
        return OK


@dataclass(frozen=True)
class ExperimentsRun:
    """Run a named configuration as it stands, or a tiny one like it.

    Example: mpt experiments run paper --scale tiny --store my.store
    """

    experiment: Annotated[Positional[str], arg(metavar="EXPERIMENT")]
    """Which one; see `mpt experiments list`."""
    store: Annotated[Path | None, arg(metavar="STORE")] = None
    """Pre-training's poses: a store that `mpt prepare mocap` wrote."""
    data: Annotated[tuple[str, ...], arg(metavar="DIR|NAME=DIR...")] = ()
    """Fine-tuning's data sets, as for `mpt finetune`."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="RUN")] = None
    """The run folder. Default: runs/EXPERIMENT-TIME."""
    scale: Literal["full", "tiny"] = "full"
    """tiny: narrow layers and twenty steps, to see that it runs."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it trains."""

    def __call__(self) -> int:
        from mpt import experiments
        from mpt.recipes.pretrain import PretrainConfig

        config = experiments.get(self.experiment)
        if self.scale == "tiny":
            config = _tiny(config)
        out = self.out or _new_run(config.name)
        if not isinstance(config, PretrainConfig):
            return _finetune(config, self.data, out, device=self.device)
        if self.store is None:
            raise InputError("no poses were named: give --store STORE, which `mpt prepare mocap` makes")
        return _pretrain(config, self.store, out, device=self.device)


def _tiny(config: Any) -> Any:
    """The same kind of model and data, a hundred times smaller, from random weights."""
    model = replace(
        config.model, hidden=tuple(max(width // 16, 16) for width in config.model.hidden), layers=1
    )
    small = {"name": f"{config.name}-tiny", "model": model, "samples": 20 * 8, "batch_size": 8}
    if hasattr(config, "network"):
        network = replace(config.network, kind="small", width=8, input_size=64)
        small |= {"network": network, "start_from": ""}
    return replace(config, **small, validation_samples=8, log_every=5)


# -------------------------------------------------------------------------------------------- mpt evaluate


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
    as_json: AsJson = False
    """Print one JSON object on stdout, and nothing else there."""
    device: Device = "auto"
    """Where it runs."""

    def __call__(self) -> int:
        from mpt import heatmaps, reconstruct
        from mpt.recipes.evaluate import evaluate_poses

        if self.samples < 1:
            raise InputError(f"--samples is {self.samples}: give a number above 0")
        model = reconstruct.load(self.model, device=self.device).model
        body = _body_of(model)
        bones, rotvec = _poses(self.path, body, self.samples)
        noise = heatmaps.DETECTOR if self.noise == "detector" else None
        means = evaluate_poses(model.transformer, body, bones, rotvec, noise=noise).means()
        errors = {f"{name}_mm": round(mm, 3) for name, mm in means.items()} | {"samples": len(rotvec)}
        if self.as_json:
            print(json.dumps(errors))
        else:
            print(f"{model.name} on {len(rotvec):,} poses of {self.path}, {self.noise} noise:")
            for name, mm in means.items():
                print(f"  {name.upper().replace('_', '-'):<9}{mm:7.1f} mm")
        return OK


@dataclass(frozen=True)
class EvaluatePhotos:
    """What measuring on a data set of photos is told."""

    folder: Annotated[Positional[Path], arg(metavar="DIR")]
    """The data set's folder, in its official layout."""
    model: ModelName = "mpt-small"
    """A model that comes with mpt, a model file, or a run folder."""
    pose2d: Literal["auto", "blazepose", "higher-hrnet", "onnx", "truth"] = "auto"
    """What gives the heatmaps: blazepose searches for the person around the set's box, the networks look at
    the box itself, truth draws the set's own 2D joints. auto: the network that was fine-tuned with the model,
    where its run folder holds one, else blazepose."""
    weights: Annotated[Path | None, arg(metavar="FILE")] = None
    """The 2D network's: HigherHRNet's official file, or the ONNX file."""
    input_size: Annotated[int, arg(metavar="PX")] = 224
    """Side of the picture that the 2D network sees."""
    body: Annotated[Path | None, arg(metavar="FILE")] = None
    """The body file that the model was trained on, where it does not come with mpt."""
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
class Evaluate3DPW(EvaluatePhotos):
    """Measure a model on 3DPW's test set, by the METRO family's convention and by the SPIN family's.

    Example: mpt evaluate 3dpw datasets/3dpw --model runs/mine --body n.safetensors --female f.safetensors
    --male m.safetensors
    """

    neutral: Annotated[Path | None, arg(metavar="FILE")] = None
    """The neutral SMPL body, where the model's own is another."""
    female: Annotated[Path | None, arg(metavar="FILE")] = None
    """The female SMPL body."""
    male: Annotated[Path | None, arg(metavar="FILE")] = None
    """The male SMPL body."""

    def __call__(self) -> int:
        from mpt import bodies

        genders = {"neutral": self.neutral, "female": self.female, "male": self.male}
        people = {gender: bodies.load(path) for gender, path in genders.items() if path is not None}
        return _evaluate("3dpw", self, people)


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

    from mpt import checkpoint, reconstruct
    from mpt.recipes import networks
    from mpt.recipes.benchmark import benchmark, conventions, read_samples
    from mpt.recipes.predictions import digest, eye_of, process

    for option in ("samples", "input_size"):
        if (value := getattr(command, option)) is not None and value < 1:
            raise InputError(f"--{option.replace('_', '-')} is {value}: give a number above 0")
    rank, ranks, wait = process(command.device)
    device = reconstruct.device_named(command.device)
    model = checkpoint.load(command.model, device)
    out = command.out or Path("runs") / f"{name}-{Path(model.name).stem}"
    _check_folder(out)
    pose2d, weights, network = command.pose2d, command.weights, command.weights
    if pose2d == "auto" and networks.tuned_here(command.model):
        pose2d, weights = "tuned", Path(command.model)
        network = weights / networks.FILE
    elif pose2d == "auto":
        pose2d = "blazepose"
    about = {
        "weights": digest(checkpoint.find(command.model)),
        "pose2d_weights": network and digest(network),
        "input_size": command.input_size,
    }
    body = _body_of(model, command.body)
    rules, notes = conventions(name, body, people)
    report = benchmark(
        name,
        rules,
        read_samples(name, command.folder, count=command.samples),
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
        ),
        pose2d=pose2d,
        about=about,
        notes=notes,
        averaged=averaged,
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
        print(f"Predictions, report.json and pictures are in {out}.")
    return OK


def _body_of(model: "Model", path: Path | None = None) -> "Body":
    """The body that a model was trained on: in its file, or as it comes with mpt."""
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
    return body


def _poses(path: Path, body: "Body", count: int) -> tuple[tuple[str, ...], "np.ndarray"]:
    """At most ``count`` poses (N, bones, 3) of a store, or of motion files by way of one."""
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
        return taken(PoseStore(path, body=body))
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "poses"
        prepare_mocap([path], prepared, body=body)
        return taken(PoseStore(prepared, body=body))


# ---------------------------------------------------------------------------------------------- mpt assets


@dataclass(frozen=True)
class AssetsStatus:
    """Show the files that mpt needs and may not carry, and whether they are there.

    Example: mpt assets status
    """

    def __call__(self) -> int:
        from rich.console import Console
        from rich.table import Table

        from mpt import assets

        table = Table("asset", "what for", "licence", "", box=None, pad_edge=False)
        for status in assets.status():
            where = str(status.folder) if status.present else "not there; fetched when it is needed"
            table.add_row(status.asset.name, status.asset.what, status.asset.licence, where)
        Console().print(table)
        return OK


@dataclass(frozen=True)
class AssetsAdd:
    """Take the 2D networks out of a mediapipe wheel that you got by hand.

    Example: mpt assets add mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl
    """

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """The wheel."""

    def __call__(self) -> int:
        from mpt import assets

        print(f"added {', '.join(assets.add(self.file))} to {assets.cache_dir()}")
        return OK


@dataclass(frozen=True)
class AssetsFetch:
    """Fetch the 2D networks now, with pip, instead of at the first photo.

    Example: mpt assets fetch
    """

    def __call__(self) -> int:
        from mpt import assets

        for name in assets.ASSETS:
            print(f"{name}: {assets.get(name)}")
        return OK


# -------------------------------------------------------------------------------------------------- shared


def _check_folder(out: Path) -> None:
    """Refuse at once what could not become a folder of results."""
    for place in (out, *out.parents):
        if place.is_dir():
            return
        if place.exists():
            raise InputError(f"--out {out}: {place} is a file, and a folder was expected; choose another")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: nothing can be written there ({error.strerror}); choose another --out"
        ) from error


def _show_notes() -> None:
    """Our own warnings as a line each; other libraries' not at all."""
    warnings.simplefilter("ignore")
    warnings.filterwarnings("always", category=UserWarning, module=r"mpt\.")
    warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)


def _tracked(items: list) -> Iterator[Any]:
    """The items, with a progress bar on a terminal's stderr where there are several."""
    if len(items) < 2 or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    # What is printed meanwhile passes above the bar, but only where it goes to the terminal as well.
    redirected = sys.stdout.isatty()
    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=redirected) as progress:
        yield from progress.track(items, description="photos")


def _say(error: Exception) -> None:
    print(f"mpt: {error}", file=sys.stderr)


# ------------------------------------------------------------------------------------------------ commands


def _group(about: str, **commands: type) -> tuple[str, Any]:
    return about, _one_of(commands)


def _one_of(commands: dict[str, type | tuple[str, Any]]) -> Any:
    """The type that tyro parses into one of these commands, by name."""
    options = []
    for name, command in commands.items():
        if isinstance(command, tuple):
            about, union = command
            marker = subcommand(name, constructor_factory=lambda union=union: union, description=about)
        else:
            marker = subcommand(name, constructor=command)
        options.append(Annotated[Any, marker])
    if len(options) == 1:  # tyro would take a lone member for the command itself
        options.append(Annotated[None, tyro.conf.Suppress])
    return Union[tuple(options)]  # noqa: UP007 - made of as many as there are


COMMANDS = {
    "reconstruct": Reconstruct,
    "demo": Demo,
    "prepare": _group(
        "Make or check what training reads: pose stores, body files, data sets, rendered pictures.",
        mocap=PrepareMocap,
        body=PrepareBody,
        dataset=PrepareDataset,
        rendered=PrepareRendered,
    ),
    "pretrain": Pretrain,
    "finetune": Finetune,
    "evaluate": _group(
        "Measure a model on motion capture, or on the field's benchmarks.",
        **{
            "mocap": EvaluateMocap,
            "h36m": EvaluateH36M,
            "3dpw": Evaluate3DPW,
            "freihand": EvaluateFreihand,
            "folder": EvaluateFolder,
        },
    ),
    "experiments": _group("Named training configurations.", list=ExperimentsList, run=ExperimentsRun),
    "assets": _group(
        "Files that mpt needs and may not carry.", status=AssetsStatus, add=AssetsAdd, fetch=AssetsFetch
    ),
}


def main(args: list[str] | None = None) -> int:
    """Run the command line; its exit code: 0, 1 where some photos were refused, 2 for wrong use."""
    args = sys.argv[1:] if args is None else args
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # file names may hold anything
    try:
        with warnings.catch_warnings():
            _show_notes()
            return _parsed(args)()
    except InputError as error:
        _say(error)
        return REFUSED
    except FloatingPointError as error:  # a run whose loss is no number any more
        _say(error)
        return SOME_REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED


def _parsed(args: list[str]) -> Any:
    """The command that the arguments ask for. Leaves by SystemExit after --help, --version, wrong options."""
    if args[:1] == ["--version"]:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"mpt {version('mesh-pretraining')}")
        except PackageNotFoundError:
            print("mpt, run from a copied folder")
        raise SystemExit(OK)
    if args and not args[0].startswith("-") and args[0] not in COMMANDS:
        near = difflib.get_close_matches(args[0], COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        raise InputError(f"no command is called {args[0]!r}; {hint} (`mpt --help` shows them)")
    return tyro.cli(
        _one_of(COMMANDS),
        prog="mpt",
        description="A posed 3D human mesh from a photo, learned from motion capture alone.",
        args=args or ["--help"],
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    )

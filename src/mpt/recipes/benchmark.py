"""The benchmarks, predicted and measured: Human3.6M, 3DPW, EMDB, FreiHAND, rendered pictures, and any folder
with COCO keypoints.

Errors are of each sample, their means those of all samples. Nothing is chosen here: a model comes as it is,
picked on validation data.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.table import Table as RichTable

from mpt.bodies import Body
from mpt.checkpoint import Model
from mpt.crops import Crop, apply
from mpt.datasets import coco, emdb, freihand, human36m, rendered, tdpw
from mpt.datasets.loading import read_crop
from mpt.datasets.sample import Sample, Samples, Subset
from mpt.errors import InputError
from mpt.export import write_picture
from mpt.recipes.conventions import TITLES, Name
from mpt.recipes.counting import Convention
from mpt.recipes.evaluate import PoseErrors, spread
from mpt.recipes.eyes import Eye
from mpt.recipes.loop import batches
from mpt.recipes.predicting import BATCH, Network, Predicted, Predictor
from mpt.recipes.predictions import Predictions
from mpt.render import Figure, Perspective, overlay_figure
from mpt.skeletons import COCO17, begin_alike
from mpt.threads import torch_threads
from mpt.writing import write_whole

LOOKS = {1: "heatmaps read once", 2: "heatmaps read twice, as they are and mirrored"}
KINDS = ("predictions", "averaged")
WORST = re.compile(r"\d+-sample\d+-(\d+|inf|nan)\.jpg")
PICTURE_PX = 512
PICTURE = 1.5  # side of what a picture shows, over the side of the sample's crop


@dataclass(frozen=True)
class Table:
    """Means over the samples whose truth is known and who were found."""

    convention: str
    says: str
    views: int
    means: dict[str, float]
    samples: int
    not_found: int
    without_truth: int


@dataclass(frozen=True)
class Report:
    """What ``mpt evaluate`` says of a model on a benchmark."""

    benchmark: Name
    model: str
    pose2d: str
    samples: int
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        tables = [
            {key: value for key, value in vars(table).items() if key != "means"}
            | {name: round(value, 4) for name, value in table.means.items()}
            for table in self.tables
        ]
        return vars(self) | {"tables": tables, "notes": list(self.notes), "files": list(self.files)}

    def table(self) -> RichTable:
        """For people: a line for each convention, and underneath what the conventions are."""
        metrics = list(self.tables[0].means)
        rich = RichTable(title=f"{TITLES[self.benchmark]}: {self.model}, 2D by {self.pose2d}")
        for heading in ("convention", "views", "samples", *metrics):
            rich.add_column(heading, justify="left" if heading == "convention" else "right")
        said = []
        for table in self.tables:
            numbers = [_shown(name, table.means[name]) for name in metrics]
            rich.add_row(table.convention, str(table.views), f"{table.samples:,}", *numbers)
            said.append(f"{table.convention}: {table.says}.")
            if table.not_found or table.without_truth:
                said.append(
                    f"Not in these means, of {self.samples:,}: {table.not_found:,} whom the 2D network did "
                    f"not find, {table.without_truth:,} whose truth the set does not tell."
                )
        rich.caption = "\n".join([*dict.fromkeys(said), *self.notes])
        rich.caption_justify = "left"
        return rich


def _shown(name: str, value: float) -> str:
    return f"{value:.1f}" if name.endswith(("_mm", "_px", "_percent")) else f"{value:.3f}"


def read_samples(
    name: Name, folder: Path, *, body: Body | None = None, count: int | None = None, strict: bool = False
) -> Samples:
    """The samples that a benchmark is measured on; at most ``count``, evenly from all.

    A folder of photos holds one COCO keypoint file (.json); rendered pictures must show ``body``.
    """
    if name == "folder":
        samples = _read_folder(folder, strict)
    elif name == "rendered":
        samples = rendered.read(folder, "validation", strict=strict, body=body)
    else:
        module = {"h36m": human36m, "3dpw": tdpw, "emdb": emdb, "freihand": freihand}[name]
        samples = module.read(folder, "emdb1" if name == "emdb" else "test", strict=strict)
    if not len(samples):
        raise InputError(f"{folder}: holds nobody to measure on; give a folder with labelled people")
    return samples if count is None else Subset(samples, spread(np.arange(len(samples)), count))


def _read_folder(folder: Path, strict: bool) -> Samples:
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if len(files) != 1:
        raise InputError(
            f"{folder}: has {len(files) or 'no'} .json files; give a folder of photos with one COCO keypoint "
            "file among them"
        )
    return coco.read_file(files[0], folder, "folder", COCO17, strict=strict)


@torch_threads(1)
def measure(
    predictions: Predictions, convention: Convention, views: int = 1, looks: int = 1
) -> tuple[Table, list[tuple[int, float]]]:
    """The table of kept predictions, and (row, first error) of every sample in it.

    Raises InputError where nobody was found whose truth is known.
    """
    errors, rows = PoseErrors(), []
    not_found = without_truth = 0
    for shard in predictions.shards():
        batch = []
        for row, predicted in zip(shard, predictions.read(shard)):
            sample = predictions.samples[row]
            if not convention.knows(sample):
                without_truth += 1
            elif predicted is None:
                not_found += 1
            else:
                batch.append((row, sample, predicted))
        for rows_of in batches(len(batch), BATCH):
            part, samples, predicted = zip(*batch[rows_of])
            errors.add(**convention.errors(samples, predicted))
            rows += part
    if not rows:
        raise InputError(
            f"{predictions.folder}: no sample is left to measure: of {len(predictions.samples):,}, "
            f"{not_found:,} were not found and of {without_truth:,} the set does not tell the truth; give a "
            "set with its labels, or another --pose2d"
        )
    means = errors.means()
    says = f"{convention.says}; {LOOKS[looks]}"
    table = Table(convention.name, says, views, means, len(rows), not_found, without_truth)
    return table, list(zip(rows, errors.column(next(iter(means))).tolist()))


def benchmark(
    name: Name,
    rules: Sequence[Convention],
    samples: Samples,
    out: Path,
    model: Model,
    body: Body,
    eye: Callable[[], Eye],
    *,
    pose2d: str,
    about: dict | None = None,
    notes: Sequence[str] = (),
    averaged: bool = False,
    looks: Literal[1, 2] = 1,
    worst: int = 0,
    rank: int = 0,
    ranks: int = 1,
    wait: Callable[[], None] | None = None,
) -> Report | None:
    """Predict what ``out`` does not hold yet, and measure it; None on processes but the first.

    rules, notes: by which conventions, and what to say of them (:func:`conventions`).
    eye: makes the 2D network, where one is needed at all.
    about: what else the predictions depend on; ``out`` is refused to predictions of anything else.
    averaged: also by the mean of 95 views of each sample (:class:`Network`).
    looks: 2 averages with the mirrored look (:class:`Network`).
    worst: draw so many pictures of the samples with the largest errors.
    wait: returns when every process has come to it.
    """
    check_no_others(out)
    kinds = [(KINDS[0], 1, False)] + ([(KINDS[1], 95, True)] if averaged else [])
    kept = []
    for kind, views, many in kinds:
        predictions = Predictions(out, samples, kind)
        if rank == 0:
            predictions.begin(
                {
                    "benchmark": name,
                    "model": Path(model.name).name,
                    "pose2d": pose2d,
                    "views": views,
                    "looks": looks,
                    **(about or {}),
                }
            )
        if wait:
            wait()
        predictions.predict(partial(_network, model, eye, many, looks), rank=rank, ranks=ranks)
        kept.append((predictions, views))
    if wait:
        wait()
    if rank:
        return None
    tables, notes, files, errors = [], [*notes, _axes(samples)], [], []
    for predictions, views in kept:
        for rule in rules:
            table, each = measure(predictions, rule, views, looks)
            tables.append(table)
            errors = errors or each
    if name == "freihand":
        files += _submission(out / "pred.json", kept[-1][0], body, notes)
    files += _draw_worst(out / "worst", kept[0][0], model, sorted(errors, key=lambda e: -e[1])[:worst])
    report = Report(name, model.name, pose2d, len(samples), tuple(tables), tuple(notes), tuple(files))
    write_whole(out / "report.json", (json.dumps(report.as_json(), indent=1) + "\n").encode())
    return report


def check_no_others(out: Path) -> None:
    """Refuse a folder with files of the names that are written here, and nothing that says they are ours."""
    if (out / f"{KINDS[0]}.json").exists():
        return
    for name in (*KINDS, "report.json", "pred.json", "worst"):
        if (out / name).exists():
            raise InputError(
                f"{out / name} is there already and is of no evaluation: move it away, or choose another "
                "--out"
            )


def _axes(samples: Samples) -> str:
    """In which axes the errors are counted, and how meshes come into them."""
    ray = "Meshes are turned to the axes of the photo's camera by the ray through the person's root: "
    if samples[0].intrinsics is not None:
        return ray + "the camera is known."
    return ray + "no camera is known, so the focal length is taken to be the photo's diagonal."


def _network(model: Model, eye: Callable[[], Eye], averaged: bool, looks: Literal[1, 2]) -> Predictor:
    return Network(model, eye(), averaged=averaged, looks=looks)


def _submission(path: Path, predictions: Predictions, body: Body, notes: list[str]) -> list[str]:
    """pred.json for FreiHAND's server: joints and vertices of every hand in camera axes, metres."""
    if len(body.template) != freihand.VERTICES:
        notes.append("pred.json is left out: its meshes are MANO's.")
        return []
    if isinstance(predictions.samples, Subset):
        notes.append("pred.json is left out: it is of the whole set.")
        return []
    joints, meshes = [], []
    for shard in predictions.shards():
        for predicted in predictions.read(shard):
            if predicted is None:
                notes.append("pred.json is left out: not every hand was found.")
                return []
            vertices = torch.from_numpy(predicted.vertices_m + predicted.translation_m)[None].float()
            joints.append(body.regress(vertices)[0].tolist())
            meshes.append(vertices[0].tolist())
    write_whole(path, json.dumps([joints, meshes]).encode())
    return [str(path)]


def _draw_worst(
    folder: Path, predictions: Predictions, model: Model, worst: list[tuple[int, float]]
) -> list[str]:
    """A picture of each sample (row, error): the mesh over the photo, and from the side."""
    for earlier in folder.glob("*.jpg"):
        if WORST.fullmatch(earlier.name):
            earlier.unlink()
    files = []
    for place, (row, error) in enumerate(worst, start=1):
        shard = next(shard for shard in predictions.shards() if row in shard)
        predicted = predictions.read(shard)[row - shard.start]
        assert predicted is not None  # or it had no error
        path = folder / f"{place:02d}-sample{row}-{error:.0f}.jpg"
        folder.mkdir(parents=True, exist_ok=True)
        write_picture(path, picture(predictions.samples[row], predicted, model))
        files.append(str(path))
    return files


def picture(sample: Sample, predicted: Predicted, model: Model) -> np.ndarray:
    """The mesh over what surrounds the sample's person, and from the side; HWC uint8."""
    window = Crop(sample.crop.center_px, PICTURE * sample.crop.side_px)
    photo = read_crop(sample.image, window, PICTURE_PX, mirrored=sample.mirrored)
    to_picture = window.crop_from_image(PICTURE_PX)
    x, y = apply(to_picture, np.array(predicted.principal_px))
    view = Perspective(predicted.focal_px * to_picture[0, 0], (float(x), float(y)))
    figure = Figure(predicted.vertices_m + predicted.translation_m, model.faces.numpy())
    joints = []
    if sample.keypoints is not None and begin_alike(model.skeleton, COCO17):
        keypoints = sample.keypoints.on(model.skeleton)
        joints = [np.column_stack([apply(to_picture, keypoints.xy_px), keypoints.confidence])]
    return overlay_figure(photo, [figure], view, joints)

"""The field's benchmarks by their conventions: Human3.6M, 3DPW, FreiHAND, and any folder with COCO keypoints.

Figures are comparable only under one convention, so every table names its own. Errors are of each sample,
their means those of all samples. Nothing is chosen here: a model comes as it is, picked on validation data.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import roma
import torch
from rich.table import Table as RichTable
from torch import Tensor

from mpt.alignment import procrustes
from mpt.bodies import Body
from mpt.bodies.smpl import Gender, h36m17_to_lsp14
from mpt.checkpoint import Model
from mpt.datasets import coco, freihand, human36m, tdpw
from mpt.datasets.loading import read_crop
from mpt.datasets.sample import BOX_FACTOR, Joints3D, Sample, Samples, Subset
from mpt.errors import InputError
from mpt.export import write_picture
from mpt.images import Crop, apply
from mpt.metrics import auc, f_score, mpjpe, pa_mpjpe, pck
from mpt.recipes.evaluate import PoseErrors, spread
from mpt.recipes.loop import batches
from mpt.recipes.predictions import BATCH, Eye, Network, Predicted, Predictions, Predictor
from mpt.render import Figure, Perspective, overlay_figure
from mpt.skeletons import COCO17, H36M17, HAND21, SMPL24, remap
from mpt.writing import write_whole

Name = Literal["h36m", "3dpw", "freihand", "folder"]
TITLES = {
    "h36m": "Human3.6M, protocol 2: S9 and S11, frontal camera",
    "3dpw": "3DPW, test set",
    "freihand": "FreiHAND, evaluation set",
    "folder": "photos with COCO keypoints",
}
NO_REFLECTION = "PA by a similarity of each sample, no reflection"
PELVIS = H36M17.index("pelvis")
LIMBS = [COCO17.index(joint) for joint in COCO17.joints[5:]]
HIPS_OF_LIMBS = [LIMBS.index(hip) for hip in COCO17.root]
PICTURE_PX = 512
PICTURE = 1.5  # side of what a picture shows, over the side of the sample's crop


class Convention(Protocol):
    """How errors are counted. ``name`` is short and without spaces, ``says`` the convention in words."""

    name: str
    says: str

    def knows(self, sample: Sample) -> bool:
        """Whether the data set tells the truth that is asked."""
        ...

    def errors(self, samples: Sequence[Sample], predicted: Sequence[Predicted]) -> dict[str, Tensor]:
        """(N,) of each error, the most telling first."""
        ...


# --------------------------------------------------------------------------------------------- conventions


@dataclass(frozen=True)
class Human36MJoints:
    """The set's own 3D joints against those that Human3.6M's regressor finds on the mesh."""

    body: Body
    name: str = "h36m-p2"
    says: str = (
        "Human3.6M's regressor on the whole mesh, 14 joints about the pelvis, against the motion capture's; "
        + NO_REFLECTION
    )

    def knows(self, sample: Sample) -> bool:
        if sample.joints is None:
            return False
        known = torch.from_numpy(sample.joints.on(H36M17).known)
        return bool(known[PELVIS]) and bool(h36m17_to_lsp14(known[:, None]).all())

    def errors(self, samples: Sequence[Sample], predicted: Sequence[Predicted]) -> dict[str, Tensor]:
        truth = _stack([sample.joints.on(H36M17).xyz_m for sample in samples])
        return _of_joints(*map(_reported, (self.body.regress(_vertices(predicted), H36M17.name), truth)))


@dataclass(frozen=True)
class SmplMeshes:
    """The mesh of the set's SMPL parameters, and Human3.6M's 14 joints on it.

    ``people`` are the bodies by gender; the true mesh is the gendered one, or the neutral one given the
    gendered betas. ``body`` brings the regressor for both meshes.
    """

    body: Body
    people: dict[Gender, Body]
    neutral: bool

    @property
    def name(self) -> str:
        return "metro-neutral" if self.neutral else "spin-gendered"

    @property
    def says(self) -> str:
        whose = (
            "the neutral SMPL given the gendered betas, as in the METRO family"
            if self.neutral
            else "the gendered SMPL, as in the SPIN family"
        )
        return (
            f"truth is {whose}; Human3.6M's regressor on both meshes, 14 joints about the pelvis, vertices "
            f"about it too; {NO_REFLECTION}"
        )

    def knows(self, sample: Sample) -> bool:
        return sample.parameters is not None and sample.parameters.model == "smpl"

    def errors(self, samples: Sequence[Sample], predicted: Sequence[Predicted]) -> dict[str, Tensor]:
        meshes = _vertices(predicted), self._truth(samples)
        joints = [self.body.regress(mesh, H36M17.name) for mesh in meshes]
        rooted = [mesh - joint[:, PELVIS, None] for mesh, joint in zip(meshes, joints)]
        return _of_joints(*map(_reported, joints)) | {"mpve_mm": mpjpe(*rooted)}

    def _truth(self, samples: Sequence[Sample]) -> Tensor:
        """(N, V, 3) in camera axes."""
        pose = roma.rotvec_to_rotmat(_stack([sample.parameters.pose for sample in samples]))
        betas = _stack([sample.parameters.betas for sample in samples])
        genders = ["neutral" if self.neutral else sample.parameters.gender for sample in samples]
        vertices = pose.new_empty(len(samples), len(self.body.template), 3)
        for gender in sorted(set(genders)):
            if gender not in self.people:
                raise InputError(
                    f"the set holds a {gender} person, but no {gender} SMPL was given: name its body, made "
                    f"by `mpt prepare body smpl`, with --{gender} FILE"
                )
            rows = [i for i, other in enumerate(genders) if other == gender]
            vertices[rows] = self.people[gender].forward(pose[rows], betas[rows]).vertices
        return vertices


@dataclass(frozen=True)
class LimbJoints:
    """Joints of the limbs, which every set and every body has somehow; for bodies that are not SMPL."""

    body: Body
    name: str = "coco-limbs"
    says: str = (
        "the 12 COCO joints of the limbs by the model's own body, about the middle of the hips, against the "
        "set's joints of the same names, which lie up to some centimetres elsewhere: not comparable with "
        "figures of SMPL; " + NO_REFLECTION
    )

    def knows(self, sample: Sample) -> bool:
        return sample.joints is not None and bool(_named(sample.joints)[1].all())

    def errors(self, samples: Sequence[Sample], predicted: Sequence[Predicted]) -> dict[str, Tensor]:
        truth = _stack([_named(sample.joints)[0] for sample in samples])
        mine = self.body.regress(_vertices(predicted))[:, LIMBS]
        return _of_joints(*(x - x[:, HIPS_OF_LIMBS].mean(1, keepdim=True) for x in (mine, truth)))


@dataclass(frozen=True)
class Hands:
    """FreiHAND's evaluation; vertices only of meshes of MANO's."""

    body: Body
    name: str = "freihand"

    @property
    def says(self) -> str:
        lacking = "" if self._mano else "; vertices are not compared, the mesh is not MANO's"
        return (
            "FreiHAND's own alignment, joints by joints and vertices by vertices: a similarity of each "
            f"sample that may reflect; AUC up to 50 mm{lacking}"
        )

    @property
    def _mano(self) -> bool:
        return len(self.body.template) == freihand.VERTICES

    def knows(self, sample: Sample) -> bool:
        joints = sample.joints is not None and bool(sample.joints.known.all())
        return joints and (sample.vertices_m is not None or not self._mano)

    def errors(self, samples: Sequence[Sample], predicted: Sequence[Predicted]) -> dict[str, Tensor]:
        mesh = _vertices(predicted)
        truth = _stack([sample.joints.xyz_m for sample in samples])
        joints = procrustes(self.body.regress(mesh), truth, reflection=True)
        errors = {"pa_mpjpe_mm": mpjpe(joints, truth), "auc_joints": auc(joints, truth)}
        if not self._mano:
            return errors
        surface = _stack([sample.vertices_m for sample in samples])
        mesh = procrustes(mesh, surface, reflection=True)
        return {
            "pa_mpvpe_mm": mpjpe(mesh, surface),
            **errors,
            "f_5": f_score(mesh, surface, 5),
            "f_15": f_score(mesh, surface, 15),
            "auc_vertices": auc(mesh, surface),
        }


@dataclass(frozen=True)
class Reprojection:
    """Where the model's own camera puts its joints, against labelled 2D joints."""

    name: str = "reprojection"
    says: str = (
        "the mesh's COCO joints through the model's own camera against the labelled ones; px, percent of the "
        "person's box (its longer side), and the share of labelled joints within 5 and 10 percent of it, "
        "each the mean over people"
    )

    def knows(self, sample: Sample) -> bool:
        return sample.keypoints is not None and bool((sample.keypoints.on(COCO17).confidence > 0).any())

    def errors(self, samples: Sequence[Sample], predicted: Sequence[Predicted]) -> dict[str, Tensor]:
        keypoints = [sample.keypoints.on(COCO17) for sample in samples]
        truth, mine = _stack([k.xy_px for k in keypoints]), _stack([p.points_px for p in predicted])
        known = _stack([k.confidence for k in keypoints]) > 0
        box = _stack([np.array(sample.crop.side_px / BOX_FACTOR) for sample in samples])
        off = (torch.where(known, (mine - truth).norm(dim=-1), 0)).sum(-1) / known.sum(-1)
        return {
            "error_percent": 100 * off / box,
            "error_px": off,
            "pck_5": pck(mine, truth, 0.05 * box, known),
            "pck_10": pck(mine, truth, 0.10 * box, known),
        }


def _of_joints(predicted: Tensor, truth: Tensor) -> dict[str, Tensor]:
    return {"mpjpe_mm": mpjpe(predicted, truth), "pa_mpjpe_mm": pa_mpjpe(predicted, truth)}


def _reported(joints: Tensor) -> Tensor:
    """(N, 17, 3) of Human3.6M -> the 14 reported ones about the pelvis."""
    return h36m17_to_lsp14(joints) - joints[:, PELVIS, None]


def _named(joints: Joints3D) -> tuple[np.ndarray, np.ndarray]:
    """The limbs' joints (12, 3) and whether they are known; of SMPL's own, the centres of rotation."""
    if joints.skeleton is SMPL24:
        index = remap(SMPL24, COCO17)[LIMBS]
        return joints.xyz_m[index], joints.known[index]
    joints = joints.on(COCO17)
    return joints.xyz_m[LIMBS], joints.known[LIMBS]


def _vertices(predicted: Sequence[Predicted]) -> Tensor:
    return _stack([p.vertices_m for p in predicted])


def _stack(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).double()


def conventions(
    name: Name, body: Body, people: dict[Gender, Body] | None = None
) -> tuple[list[Convention], list[str]]:
    """The conventions by which a model of this body can be measured, and why others cannot, in sentences.

    people: SMPL bodies by gender, for 3DPW; the model's own is added.

    Raises:
        InputError: the benchmark shows hands and the body is whole, or the other way round; an SMPL body
            without Human3.6M's regressor; no body for any of 3DPW's conventions.
    """
    wanted = HAND21 if name == "freihand" else COCO17
    if body.skeleton != wanted:
        raise InputError(
            f"the model was made for the joints of {body.skeleton.name}, but {TITLES[name]} asks for those "
            f"of {wanted.name}: give another model"
        )
    body = body.to(dtype=torch.float64)
    if name == "freihand":
        return [Hands(body)], []
    if name == "folder":
        return [Reprojection()], []
    if body.metadata.get("shape_space") != "smpl":
        return [LimbJoints(body)], [f"{body.name} has no regressor of Human3.6M's joints."]
    if H36M17.name not in body.regressors:
        raise InputError(
            f"{body.name}: has no regressor of Human3.6M's joints; make the body file again with "
            "`mpt prepare body smpl FILE --h36m-regressor J_regressor_h36m.npy`"
        )
    if name == "h36m":
        return [Human36MJoints(body)], []
    people = {body.metadata["gender"]: body} | {
        gender: person.to(dtype=torch.float64) for gender, person in (people or {}).items()
    }
    _check_people(people)
    found: list[Convention] = []
    notes = []
    if "neutral" in people:
        found.append(SmplMeshes(body, people, neutral=True))
    else:
        notes.append("metro-neutral is left out: it needs --neutral FILE.")
    if {"female", "male"} <= people.keys():
        found.append(SmplMeshes(body, people, neutral=False))
    else:
        notes.append("spin-gendered is left out: it needs --female FILE and --male FILE.")
    if not found:
        raise InputError(
            "3DPW's truth is a mesh of SMPL: name --neutral FILE, or --female FILE and --male FILE, bodies "
            "made by `mpt prepare body smpl`"
        )
    return found, notes


def _check_people(people: dict[Gender, Body]) -> None:
    for gender, person in people.items():
        if person.metadata.get("gender") != gender:
            raise InputError(
                f"--{gender} names the body {person.name}: give the {gender} SMPL, made by "
                f"`mpt prepare body smpl FILE --gender {gender}`"
            )


# ----------------------------------------------------------------------------------------------- measuring


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


def read_samples(name: Name, folder: Path, *, count: int | None = None, strict: bool = False) -> Samples:
    """The samples that a benchmark is measured on; at most ``count``, evenly from all.

    A folder of photos holds one COCO keypoint file (.json).
    """
    if name == "folder":
        samples = _read_folder(folder, strict)
    else:
        module = {"h36m": human36m, "3dpw": tdpw, "freihand": freihand}[name]
        samples = module.read(folder, "test", strict=strict)
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


def measure(
    predictions: Predictions, convention: Convention, views: int = 1
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
    table = Table(convention.name, convention.says, views, means, len(rows), not_found, without_truth)
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
    worst: draw so many pictures of the samples with the largest errors.
    wait: returns when every process has come to it.
    """
    kinds = [("predictions", 1, False)] + ([("averaged", 95, True)] if averaged else [])
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
                    **(about or {}),
                }
            )
        if wait:
            wait()
        predictions.predict(partial(_network, model, eye, many), rank=rank, ranks=ranks)
        kept.append((predictions, views))
    if wait:
        wait()
    if rank:
        return None
    tables, notes, files, errors = [], list(notes), [], []
    for predictions, views in kept:
        for rule in rules:
            table, each = measure(predictions, rule, views)
            tables.append(table)
            errors = errors or each
    if name == "freihand":
        files += _submission(out / "pred.json", kept[-1][0], body, notes)
    files += _draw_worst(out / "worst", kept[0][0], model, sorted(errors, key=lambda e: -e[1])[:worst])
    report = Report(name, model.name, pose2d, len(samples), tuple(tables), tuple(notes), tuple(files))
    write_whole(out / "report.json", (json.dumps(report.as_json(), indent=1) + "\n").encode())
    return report


def _network(model: Model, eye: Callable[[], Eye], averaged: bool) -> Predictor:
    return Network(model, eye(), averaged=averaged)


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
        earlier.unlink()
    files = []
    for place, (row, error) in enumerate(worst, start=1):
        shard = next(shard for shard in predictions.shards() if row in shard)
        predicted = predictions.read(shard)[row - shard.start]
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
    if sample.keypoints is not None and model.skeleton == COCO17:
        keypoints = sample.keypoints.on(COCO17)
        joints = [np.column_stack([apply(to_picture, keypoints.xy_px), keypoints.confidence])]
    return overlay_figure(photo, [figure], view, joints)

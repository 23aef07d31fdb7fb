"""What a cell's model is measured on: a benchmark, held-out rendered pictures, held-out poses.

Rendered pictures are no photographs and drawn maps are no detector's: such numbers are printed under those
names, never under a benchmark's.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mpt import bodies, checkpoint
from mpt.bodies import Body
from mpt.checkpoint import Model
from mpt.crops import Crop
from mpt.datasets import rendered
from mpt.datasets.sample import Sample, Samples
from mpt.datasets.store import PoseStore
from mpt.experiments.cells import Cell
from mpt.experiments.given import BENCHMARKS, Given
from mpt.heatmaps import DETECTOR
from mpt.metrics import ErrorSums
from mpt.recipes.benchmark import benchmark, read_samples
from mpt.recipes.conventions import conventions
from mpt.recipes.evaluate import evaluate_poses, spread
from mpt.recipes.eyes import Eye, Seen, eye_of
from mpt.recipes.loop import batches
from mpt.recipes.predicting import BATCH, Network
from mpt.recipes.pretrain import PretrainConfig
from mpt.reconstructor import device_named
from mpt.writing import write_whole

Measured = dict[str, dict[str, float]]
"""What was measured on -> metric -> value."""

POSES = 512


@dataclass(frozen=True)
class KeptMaps:
    """An eye that has looked at every sample once: crops and heatmaps by sample, from one file."""

    seen: dict[str, Seen | None]

    def __call__(self, looks: Sequence[tuple[Sample, Crop]]) -> list[Seen | None]:
        return [self.seen[sample.sequence] for sample, _ in looks]


def kept_maps(folder: Path, samples: Samples, name: str, size: int, eye: Callable[[], Eye]) -> KeptMaps:
    """What ``eye`` of that name sees of rendered samples at ``size`` px, seen once and kept in ``folder``."""
    ids = [sample.sequence for sample in samples]
    about = hashlib.sha256(name.encode())
    for sample_id, sample in zip(ids, samples):
        about.update(f"{sample_id}{Path(sample.image).stat().st_size}".encode())
    path = folder / f"{name}-{size}-{about.hexdigest()[:12]}.npz"
    if not path.exists():
        look, seen = eye(), []
        for part in batches(len(ids), BATCH):
            some = [samples[i] for i in range(part.start, part.stop)]
            seen += look([(sample, sample.crop) for sample in some])
        found = [s for s in seen if s is not None]
        content = io.BytesIO()
        np.savez_compressed(
            content,
            found=np.array([s is not None for s in seen]),
            crop=np.array([[*s.crop.center_px, s.crop.side_px] for s in found]).reshape(-1, 3),
            maps=np.array([s.heatmaps.numpy() for s in found], np.float16),
        )
        write_whole(path, content.getvalue())
    with np.load(path) as file:
        crops, maps = iter(file["crop"].tolist()), iter(torch.from_numpy(file["maps"]).float())
        return KeptMaps(
            {
                sample_id: Seen(Crop((crop[0], crop[1]), crop[2]), next(maps))
                if there and (crop := next(crops))
                else None
                for sample_id, there in zip(ids, file["found"])
            }
        )


def measure(cell: Cell, run: Path, root: Path, given: Given) -> Measured:
    """What the cell asks of the model in a run folder; the name of a benchmark ends in its convention."""
    model = checkpoint.load(run, device_named(given.device))
    body = bodies.load(given.body or json.loads((run / "config.json").read_text())["body"])
    body = body.with_joints(model.skeleton)
    evaluation, pretrained = cell.evaluation, isinstance(cell.stage.config, PretrainConfig)
    found: Measured = {}
    if evaluation.on == "rendered":
        tuned = run if evaluation.pose2d == "tuned" else None
        folder = given.data["rendered"]
        found["rendered"] = on_pictures(model, body, folder, root / "maps", evaluation.pose2d, tuned)
    elif evaluation.on in BENCHMARKS:
        found |= on_benchmark(cell, run, model, body, root, given)
    if pretrained and given.store is not None:
        found |= on_poses(model, body, given.store)
    return found


def curve(run: Path) -> list[dict[str, float]]:
    """PA-MPJPE in mm at every validation of a run of fine-tuning, and the photos seen until then."""
    config = json.loads((run / "config.json").read_text())
    per_step = config["batch_size"] * config["accumulate"]
    entries = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [
        {"step": e["step"], "samples": e["step"] * per_step, "pa_mpjpe_mm": e["pa_mpjpe_mm"]}
        for e in entries
        if "pa_mpjpe_mm" in e
    ]


def on_benchmark(cell: Cell, run: Path, model: Model, body: Body, root: Path, given: Given) -> Measured:
    """Errors on a benchmark of the field; predictions are kept by the run, which several cells may share."""
    evaluation, weights = cell.evaluation, given.weights if cell.evaluation.pose2d != "tuned" else run
    transformer = model.transformer
    rules, notes = conventions(evaluation.on, body)
    report = benchmark(
        evaluation.on,
        rules,
        read_samples(evaluation.on, given.data[BENCHMARKS[evaluation.on]]),
        root / "benchmarks" / f"{run.name}-{evaluation.on}-{evaluation.pose2d}",
        model,
        body,
        lambda: eye_of(
            evaluation.pose2d,
            model.skeleton,
            transformer.config.heatmap_size,
            weights=weights,
            device=transformer.template_joints.device,
            features_for=transformer if transformer.config.inputs == "features" else None,
        ),
        pose2d=evaluation.pose2d,
        about={"weights": checkpoint.digest(checkpoint.find(run))},
        notes=notes,
    )
    tables = {table.convention: table for table in report.tables}
    table = tables.get(evaluation.convention) or report.tables[0]  # another body may know but another one
    counts = {"samples": table.samples, "not_found": table.not_found}
    return {f"{evaluation.on} {table.convention}": table.means | counts}


def on_pictures(
    model: Model,
    body: Body,
    folder: str | os.PathLike,
    cache: Path,
    pose2d: str,
    tuned: Path | None = None,
) -> dict[str, float]:
    """Errors on held-out rendered pictures, whose maps the named 2D network draws, or the ``tuned`` run's."""
    samples = rendered.read(folder, "validation", body=body)
    transformer = model.transformer
    size, device = transformer.config.heatmap_size, transformer.template_joints.device
    features_for = transformer if transformer.config.inputs == "features" else None
    how = {"weights": tuned, "device": device, "features_for": features_for}
    if tuned is None:
        name = f"{pose2d}-{model.skeleton.name}"
        eye = kept_maps(cache, samples, name, size, lambda: eye_of(pose2d, model.skeleton, size, **how))
    else:
        eye = eye_of(pose2d, model.skeleton, size, **how)
    predict, errors, found = Network(model, eye), ErrorSums(), 0
    [rule], _ = conventions("rendered", body)
    for part in batches(len(samples), BATCH):
        some = [samples[i] for i in range(part.start, part.stop)]
        pairs = [(s, p) for s, p in zip(some, predict(some)) if p is not None]
        if pairs:
            found += len(pairs)
            errors.add(**rule.errors(*zip(*pairs)))
    return errors.means() | {"samples": found, "not_found": len(samples) - found}


def on_poses(model: Model, body: Body, path: str | os.PathLike, count: int = POSES) -> Measured:
    """Errors on held-out poses: perfect maps and a detector's, by random cameras and the paper's four."""
    store = PoseStore(path, body=body)
    rotvec = store.rotvec(spread(store.validation if len(store.validation) else store.train, count))
    rigs = {"random": None} | ({"s1": "h36m_s1"} if body.skeleton.two_sided else {})
    return {
        f"poses-{rig}-{maps}": {
            f"{name}_mm": value
            for name, value in evaluate_poses(
                model.transformer, body, store.bones, rotvec, noise=noise, cameras=cameras
            )
            .means()
            .items()
        }
        | {"samples": len(rotvec)}
        for rig, cameras in rigs.items()
        for maps, noise in (("perfect", None), ("detector", DETECTOR))
    }

"""Meshes of the people in a data set's photos, kept in files: tables are made from these without a network.

    FOLDER/predictions.json         what predicted what: model, 2D network, samples
    FOLDER/predictions/00000.npz    the first SHARD samples, and so on

Each file is written whole or not at all and stands for fixed samples, so a broken run goes on where it
stopped, and processes share the work by taking every n-th file.
"""

import hashlib
import io
import json
import math
import os
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from mpt.cameras import weak_perspective
from mpt.checkpoint import Model
from mpt.crops import Crop, apply
from mpt.datasets.loading import camera_of
from mpt.datasets.sample import Sample, Samples
from mpt.errors import InputError
from mpt.modeling.upright import look_upright
from mpt.recipes.eyes import Eye, FeatureEye, FinderEye
from mpt.recipes.loop import batches
from mpt.views import Pinhole, camera_from_network
from mpt.writing import write_whole

FORMAT = "mpt-predictions-1"
SHARD = 256  # samples in a file
BATCH = 32  # crops in one pass of the networks
AVERAGED_TURNS_DEG = (*range(-90, 91, 10),)
AVERAGED_SCALES = (0.7, 0.8, 0.9, 1.0, 1.1)


@dataclass(frozen=True)
class Predicted:
    """A mesh in camera axes.

    Attributes:
        vertices_m: (V, 3) metres about the root: the middle of the hips, or a hand's wrist.
        translation_m: (3,) where the root is.
        points_px: (K, 2) all the model's joints as its own camera projects them, pixels of the photo.
        focal_px, principal_px: of the camera that ``translation_m`` belongs to.
    """

    vertices_m: np.ndarray
    translation_m: np.ndarray
    points_px: np.ndarray
    focal_px: float
    principal_px: tuple[float, float]


Predictor = Callable[[Sequence[Sample]], list[Predicted | None]]
"""Samples -> what was predicted of each, None where nobody was found."""


# ---------------------------------------------------------------------------------------------- predicting


class Network:
    """A model behind an eye; a :data:`Predictor`.

    averaged: the mean of 95 views of each sample, 19 turns by 5 scales of its crop, as the published figures
    of Mesh Graphormer (Lin et al. 2021) on FreiHAND are made. Not with an eye that looks at no turned crop.
    looks: 2 stands people up and averages with the look at the mirrored maps, as a reconstruction does.
    """

    def __init__(self, model: Model, eye: Eye, *, averaged: bool = False, looks: Literal[1, 2] = 1) -> None:
        features = model.transformer.config.inputs == "features"
        if features and not isinstance(eye, FeatureEye):
            raise InputError(
                f"the model {model.name} reads the image features of a 2D network, not heatmaps: name "
                "the run folder that holds both, and no other 2D network"
            )
        if features and looks == 2:
            raise InputError(
                f"the model {model.name} reads image features, which have no second look: take 1"
            )
        if averaged and isinstance(eye, FinderEye):
            raise InputError(
                "averaging over turned crops needs a 2D network that looks at a given crop: leave one out"
            )
        self.model, self.eye, self.averaged, self.looks = model, eye, averaged, looks
        self.root = model.skeleton.root

    def __call__(self, samples: Sequence[Sample]) -> list[Predicted | None]:
        looks = [
            (sample, crop)
            for sample in samples
            for crop in (_views(sample.crop) if self.averaged else [sample.crop])
        ]
        each = len(looks) // len(samples)
        meshes = [mesh for part in batches(len(looks), BATCH) for mesh in self._meshes(looks[part])]
        return [_mean(meshes[i : i + each]) for i in range(0, len(meshes), each)]

    @torch.inference_mode()
    def _meshes(self, looks: Sequence[tuple[Sample, Crop]]) -> list[Predicted | None]:
        found = [(i, seen) for i, seen in enumerate(self.eye(looks)) if seen is not None]
        meshes: list[Predicted | None] = [None] * len(looks)
        if not found:
            return meshes
        transformer = self.model.transformer
        maps = torch.stack([seen.heatmaps for _, seen in found]).to(transformer.template_joints.device)
        if self.looks == 2:  # as a reconstruction does
            prediction = look_upright(transformer, maps, self.model.skeleton)
        else:
            prediction = transformer(transformer.prepare(maps))
        if not prediction.vertices.isfinite().all():
            raise InputError(
                f"the model {self.model.name} gives no numbers but NaN or infinity: its weights are damaged, "
                "get or train it again"
            )
        vertices, joints, cameras = (
            part.double().cpu() for part in (prediction.vertices, prediction.regressed, prediction.camera)
        )
        points = weak_perspective(joints, cameras).numpy()
        for row, (i, seen) in enumerate(found):
            meshes[i] = _in_camera_axes(
                (vertices[row] - joints[row, self.root].mean(0)).numpy(),
                points[row],
                points[row, self.root].mean(0).clip(-2, 2),
                max(float(cameras[row, 0]), 0.05),
                seen.crop,
                camera_of(looks[i][0]),
            )
        return meshes


def _in_camera_axes(
    vertices: np.ndarray, points: np.ndarray, root: np.ndarray, scale: float, crop: Crop, camera: Pinhole
) -> Predicted:
    """A mesh in the network's axes -> as it stands before the camera.

    ``points`` (K, 2) and ``root`` (2,) are in the crop's [-1, 1].
    """
    focal = camera.mean_focal_px
    return Predicted(
        vertices @ camera_from_network(camera, crop, root).T,
        camera.ray(apply(crop.image_from_ndc, root)) * 2 * focal / (scale * crop.side_px),
        apply(crop.image_from_ndc, points),
        focal,
        camera.principal_px,
    )


def _views(crop: Crop) -> list[Crop]:
    return [
        Crop(crop.center_px, crop.side_px * scale, crop.rotation + math.radians(turn))
        for scale in AVERAGED_SCALES
        for turn in AVERAGED_TURNS_DEG
    ]


def _mean(meshes: Sequence[Predicted | None]) -> Predicted | None:
    found = [mesh for mesh in meshes if mesh is not None]
    if not found:
        return None
    return Predicted(
        np.mean([m.vertices_m for m in found], 0),
        np.mean([m.translation_m for m in found], 0),
        np.mean([m.points_px for m in found], 0),
        found[0].focal_px,
        found[0].principal_px,
    )


# ------------------------------------------------------------------------------------------------- keeping


@dataclass(frozen=True)
class Predictions:
    """Predictions of a data set's samples in a folder; ``name`` tells those of several kinds apart."""

    folder: Path
    samples: Samples
    name: str = "predictions"

    def begin(self, about: dict) -> None:
        """Say what predicts; an earlier run of the same goes on.

        Raises InputError where the folder holds predictions of anything else.
        """
        path = self.folder / f"{self.name}.json"
        names = "\n".join(str(Path(self.samples.image(i)).name) for i in range(len(self.samples)))
        about = {
            "format": FORMAT,
            **about,
            "samples": len(self.samples),
            "photos": hashlib.sha256(names.encode()).hexdigest()[:16],
        }
        earlier = self._begun_with(path)
        if earlier is None:
            write_whole(path, (json.dumps(about, indent=1) + "\n").encode())
        elif earlier != about:
            key = next(k for k in [*about, *earlier] if about.get(k) != earlier.get(k))
            raise InputError(
                f"{self.folder}: holds predictions of another {key} ({earlier.get(key)}, now "
                f"{about.get(key)}); choose another --out"
            )

    def _begun_with(self, path: Path) -> dict | None:
        try:
            earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        except (OSError, ValueError, RecursionError):
            raise InputError(f"{path}: is no whole JSON file; remove it, or choose another --out") from None
        if not isinstance(earlier, dict | None):
            raise InputError(
                f"{path}: does not say what has predicted; move it away, or choose another --out"
            )
        return earlier

    def predict(self, predictor: Callable[[], Predictor], *, rank: int = 0, ranks: int = 1) -> None:
        """Predict what is not there yet, every ``ranks``-th file; the predictor is made if it is needed."""
        missing = [shard for shard in self.shards()[rank::ranks] if not self._path(shard).exists()]
        if not missing:
            return
        predict, console = predictor(), Console(stderr=True)
        for shard in track(missing, "predicting", console=console, disable=not sys.stderr.isatty()):
            found = []
            for part in batches(len(shard), BATCH):
                found += predict([self.samples[row] for row in shard[part]])
            write_whole(self._path(shard), _packed(found))

    def shards(self) -> list[range]:
        count = len(self.samples)
        return [range(start, min(start + SHARD, count)) for start in range(0, count, SHARD)]

    def read(self, shard: range) -> list[Predicted | None]:
        """What was predicted of a file's samples."""
        path = self._path(shard)
        try:
            with np.load(path, allow_pickle=False) as file:
                return _unpacked(dict(file), len(shard))
        except FileNotFoundError:
            raise InputError(f"{path}: has not been predicted yet; run the evaluation whole") from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: is no whole file of predictions ({error}); remove it") from None

    def _path(self, shard: range) -> Path:
        return self.folder / self.name / f"{shard.start // SHARD:05d}.npz"


def _packed(predicted: list[Predicted | None]) -> bytes:
    found = [p for p in predicted if p is not None]
    arrays = {"found": np.array([p is not None for p in predicted])}
    if found:
        arrays |= {
            "vertices_m": np.stack([p.vertices_m for p in found]).astype(np.float32),
            "translation_m": np.stack([p.translation_m for p in found]),
            "points_px": np.stack([p.points_px for p in found]),
            "focal_px": np.array([p.focal_px for p in found]),
            "principal_px": np.array([p.principal_px for p in found]),
        }
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def _unpacked(arrays: dict[str, np.ndarray], count: int) -> list[Predicted | None]:
    found = arrays["found"]
    if found.shape != (count,):
        raise ValueError(f"{len(found)} samples where {count} were expected")
    predicted: list[Predicted | None] = [None] * count
    for k, row in enumerate(np.flatnonzero(found)):
        x, y = arrays["principal_px"][k]
        predicted[row] = Predicted(
            arrays["vertices_m"][k],
            arrays["translation_m"][k],
            arrays["points_px"][k],
            float(arrays["focal_px"][k]),
            (float(x), float(y)),
        )
    return predicted


def digest(path: Path) -> str:
    """What tells a file from others of its name. Raises InputError where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None


def process(device: str) -> tuple[int, int, Callable[[], None] | None]:
    """Which of how many processes this is, as torchrun started them, and what waits for the others.

    Call it before anything is put on ``device``: each process then has a GPU of its own.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, 1, None
    from accelerate import PartialState

    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
    return state.process_index, state.num_processes, state.wait_for_everyone

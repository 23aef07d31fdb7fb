"""Meshes of the people in a data set's photos, kept in files: tables are made from these without a network.

    FOLDER/predictions.json         what predicted what: model, 2D network, samples
    FOLDER/predictions/00000.npz    the first SHARD samples, and so on

Each file is written whole or not at all and stands for fixed samples, so a broken run goes on where it
stopped, and processes share the work by taking every n-th file.
"""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mpt.datasets.sample import Samples
from mpt.errors import InputError
from mpt.progress import tracked
from mpt.recipes.loop import batches
from mpt.recipes.predicting import BATCH, Predicted, Predictor
from mpt.writing import write_whole

FORMAT = "mpt-predictions-1"
SHARD = 256  # samples in a file


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
        predict = predictor()
        for shard in tracked(missing, f"predicting, of {len(self.samples):,} samples by {SHARD}"):
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


def process(device: str) -> tuple[int, int, Callable[[], None] | None]:
    """Which of how many processes this is, as torchrun started them, and what waits for the others.

    Call it before anything is put on ``device``: each process then has a GPU of its own.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, 1, None
    from accelerate import PartialState

    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
    return state.process_index, state.num_processes, state.wait_for_everyone

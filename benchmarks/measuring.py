"""What benchmarks share: limb joints, a model's answer to a person's maps, folders of pictures, tables."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mpt import metrics
from mpt.bodies import Body
from mpt.checkpoint import Model
from mpt.errors import InputError
from mpt.modeling.upright import look_upright
from mpt.pose2d.base import Person2D
from mpt.skeletons import BLAZEPOSE33, COCO17, remap
from mpt.writing import write_whole

HIPS = COCO17.indices("left_hip", "right_hip")
_LIMB_JOINTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
LIMBS = COCO17.indices(*(f"{side}_{joint}" for joint in _LIMB_JOINTS for side in ("left", "right")))
LANDMARKS = remap(BLAZEPOSE33, COCO17)


@torch.no_grad()
def predict(model: Model, person: Person2D) -> tuple[np.ndarray, np.ndarray]:
    """COCO's joints (17, 3) of the mesh, its vertices (V, 3), metres about the mid-hip, network's axes.

    The maps are read as `mpt reconstruct` reads them.
    """
    maps = torch.from_numpy(person.on(model.skeleton).heatmaps)[None]
    prediction = look_upright(model.transformer, maps, model.skeleton)
    root = prediction.regressed[:, HIPS].mean(1, keepdim=True)
    return (prediction.regressed - root)[0, : len(COCO17)].numpy(), (prediction.vertices - root)[0].numpy()


def body_px(person: Person2D) -> np.ndarray:
    """(17, 3) x, y, score of COCO's joints, of whatever the 2D network draws."""
    return person.on(COCO17).joints2d_px


def limb_pa_mpjpe(joints: np.ndarray, truth: np.ndarray) -> float:
    """PA-MPJPE in mm over the twelve limb joints, both (17, 3) metres in COCO order."""
    predicted, true = torch.as_tensor(joints[LIMBS]), torch.as_tensor(truth[LIMBS])
    return float(metrics.pa_mpjpe(predicted, true))


def keep_to(folder: Path, body: Body, poses: np.ndarray, seed: int) -> None:
    """Say in a folder what its pictures show. Raises InputError where it holds others already."""
    about = {"body": body.hash, "poses": hashlib.sha256(poses.tobytes()).hexdigest(), "seed": seed}
    said = folder / "about.json"
    if not said.exists():
        write_whole(said, json.dumps(about).encode())
    elif json.loads(said.read_text()) != about:
        raise InputError(f"{folder}: its pictures show other poses or another body; give another --cache")


def as_jpeg(image: np.ndarray) -> np.ndarray:
    """The bytes (n,) uint8 of a picture (H, W, 3)."""
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]


def table(title: str, columns: list[str], rows: list[list]) -> None:
    """Print rows: texts as they are, floats with one decimal, None as a dash."""
    shown = Table(title=title, title_justify="left")
    for k, column in enumerate(columns):
        shown.add_column(column, justify="right" if k else "left")
    for row in rows:
        shown.add_row(*("–" if v is None else f"{v:.1f}" if isinstance(v, float) else str(v) for v in row))
    Console().print(shown)


def write_json(path: Path | None, result: dict) -> None:
    if path is not None:
        path.write_text(json.dumps(result, indent=1) + "\n")

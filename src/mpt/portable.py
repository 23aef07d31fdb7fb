"""A transformer as one file that runs without mpt: ONNX, or torch's exported program (.pt2).

    heatmaps (N, J, S, S) -> joints (N, J, 3), vertices (N, V, 3), camera (N, 3), faces (F, 3), and where the
    model says how sure it is joints_std (N, J), where it says which way is up (N, 3) and up_std (N,)

N is free. What is written is run and compared with the transformer before anything appears on the disk.
"""

import copy
import io
import json
import logging
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from mpt.checkpoint import Model
from mpt.errors import InputError
from mpt.heatmaps import PAPER_STD_PX, blobs, render
from mpt.modeling.upsampling import SparseUpsampler
from mpt.skeletons import core
from mpt.writing import check_output, write_whole

INPUT = "heatmaps"
OUTPUTS = ("joints", "vertices", "camera", "faces")
FURTHER = ("joints_std", "up", "up_std")  # of models that say them
FORMAT = "mpt-portable-1"
PRODUCER = "mpt"
NOTES = "mpt.json"
MAX_MM = 0.1  # what a file may differ from the transformer
MAX_CAMERA = 1e-3
CHECKED = (1, 3)  # batch sizes; the graph is traced with another

Run = Callable[[Tensor], list[Tensor]]
"""Heatmaps -> the graph's outputs, in their order."""


@dataclass(frozen=True)
class Written:
    """How far the file's outputs are from the transformer's, at most, and its size."""

    difference_mm: float
    camera_difference: float
    megabytes: float


class Portable(nn.Module):
    """Heatmaps -> :attr:`outputs`, about the root as ``Reconstruction`` has them, before it turns them."""

    triangles: Tensor

    def __init__(self, model: Model, looks: Literal[1, 2] = 2) -> None:
        super().__init__()
        self.transformer = copy.deepcopy(model.transformer).cpu()
        self.transformer.skipping = False  # how many patches are empty cannot be known when it is traced
        self.looks, self.root = looks, list(model.skeleton.root)
        self.register_buffer("triangles", model.faces.cpu())
        _ = self.transformer._mirrors  # found once, and constant in the graph
        says = dict(zip(FURTHER, (model.transformer.config.spread, *(model.transformer.config.gravity,) * 2)))
        self.further = [name for name, said in says.items() if said]

    @property
    def outputs(self) -> list[str]:
        return [*OUTPUTS, *self.further]

    def forward(self, heatmaps: Tensor) -> tuple[Tensor, ...]:
        transformer = self.transformer
        seen = (
            transformer.look_twice(heatmaps)
            if self.looks == 2
            else transformer(transformer.prepare(heatmaps))
        )
        root = seen.regressed[:, self.root].mean(1, keepdim=True)
        camera = torch.cat([seen.camera[:, :1], seen.camera[:, 1:] + root[:, 0, :2]], 1)
        further = (getattr(seen, name) for name in self.further)
        return seen.regressed - root, seen.vertices - root, camera, self.triangles, *further


class _GatheredRows(nn.Module):
    """What :class:`SparseUpsampler` does, in ONNX's operations: its bag would become a loop there."""

    near: Tensor
    weight: Tensor

    def __init__(self, upsampler: SparseUpsampler) -> None:
        super().__init__()
        self.register_buffer("near", upsampler.near.long())
        self.register_buffer("weight", upsampler.weight.detach())

    def forward(self, vertices: Tensor, rows: None = None) -> Tensor:
        """(N, coarse, 3) -> (N, V, 3)."""
        columns = vertices.transpose(0, 1).flatten(1)  # (coarse, N * 3): whole rows are summed
        parts = [columns[near] * weight[:, None] for near, weight in zip(self.near.T, self.weight.T)]
        return sum(parts[1:], parts[0]).unflatten(1, (-1, 3)).transpose(0, 1)


def about(model: Model, looks: int) -> dict[str, str]:
    """What somebody who has nothing but the file must know."""
    skeleton, size = model.skeleton, model.transformer.config.heatmap_size
    framed = core(skeleton)
    root = "the wrist of a right hand" if not skeleton.two_sided else "the middle of the hips"
    return {
        "format": FORMAT,
        "model": model.name,
        "body": model.body,
        "body_hash": model.body_hash,
        "looks": str(looks if model.transformer._mirrors else 1),
        "skeleton": skeleton.name,
        "joint_names": json.dumps(skeleton.joints),
        "heatmaps": f"(N, {len(skeleton)}, {size}, {size}) float32 in [0, 1], joints in the order of "
        "joint_names: of an upright square crop whose side is 1.25 times the longer side of the box of "
        f"{'the ' if skeleton == framed else f'the first {len(framed)} '}joints; of a joint that "
        "nobody draws a map of zeros",
        "blob_std_cells": f"{PAPER_STD_PX * size / 224:.4f}",  # of maps that are drawn about known points
        "joints": f"(N, {len(skeleton)}, 3) metres about {root}, by the body's regressor from the mesh",
        "vertices": "(N, V, 3) metres about the same point",
        "axes": "x right, y down, z forward, of a camera that looks at the person: turn them by the rotation "
        "that takes the optical axis to the ray of where the root projects",
        "camera": "(N, 3) s, tx, ty: s * (xy + t) is in the crop's [-1, 1], edge to edge",
        "faces": "(F, 3) vertex indices, counter-clockwise seen from outside",
        "joints_std": "(N, J) metres, where the model says it: standard deviation of joints along an axis",
        "up": "(N, 3) unit vector against gravity, where the model says it; up_std (N,): radians",
    }  # fmt: skip


def write(path: str | os.PathLike, model: Model, *, looks: Literal[1, 2] = 2) -> Written:
    """Write the file that its ending names, .onnx or .pt2, after comparing what it computes.

    looks: 2 also reads the mirrored maps and averages, as ``mpt reconstruct`` does. That stands people up
        first (``mpt.modeling.upright``), which the graph does not.

    Raises InputError for another ending, another file in its place, a model of image features, packages that
    are missing, or a graph that differs.
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise InputError(
            f"{path.name}: {path.suffix!r} is no ending of a portable model; use {' or '.join(WRITERS)}"
        )
    if model.transformer.config.inputs == "features":
        raise InputError(
            f"the model {model.name} reads image features, not heatmaps: export one that reads heatmaps"
        )
    check_output(path, "portable model", _is_ours)
    portable = Portable(model, looks).eval().requires_grad_(False)
    with _quiet(), torch.no_grad():
        content, run = writer(portable, heatmaps_of(model, 2), about(model, looks))
        millimetres, of_camera = _differences(portable, run, model)
    if not (millimetres <= MAX_MM and of_camera <= MAX_CAMERA):
        raise InputError(
            f"{path}: not written, for it would differ from {model.name} by {millimetres:.3g} mm and its "
            f"camera by {of_camera:.3g}: other versions of torch, onnx and onnxruntime may do it"
        )
    write_whole(path, content)
    return Written(millimetres, of_camera, len(content) / 1e6)


def heatmaps_of(model: Model, count: int, seed: int = 0) -> Tensor:
    """(count, J, S, S) maps of random joints, widths and heights; one in ten is empty."""
    generator = torch.Generator().manual_seed(seed)
    size, joints = model.transformer.config.heatmap_size, len(model.skeleton)
    points, std, peak = (torch.rand(count, joints, *end, generator=generator) for end in ((2,), (), ()))
    peak = torch.where(peak < 0.1, 0, peak)
    return render(blobs((0.1 + 0.8 * points) * size, (1 + 4 * std) * size / 112, peak), size)


def _differences(portable: Portable, run: Run, model: Model) -> tuple[float, float]:
    """The largest of joints and vertices, in millimetres, and of the camera's three numbers."""
    millimetres = of_camera = 0.0
    for count in CHECKED:
        maps = heatmaps_of(model, count, seed=count)
        expected, found = portable(maps), run(maps)
        if [tuple(x.shape) for x in found] != [tuple(x.shape) for x in expected]:
            return float("inf"), float("inf")
        off = [(a.double() - b.double()).abs().max().item() for a, b in zip(found, expected)]
        millimetres = max(millimetres, 1000 * off[0], 1000 * off[1])
        of_camera = max(of_camera, *off[2:])  # and faces are faces
    return millimetres, of_camera


def _onnx(portable: Portable, maps: Tensor, notes: dict[str, str]) -> tuple[bytes, Run]:
    lacking = [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]
    if lacking:
        raise InputError(
            f"writing ONNX needs {', '.join(lacking)}, not installed here: run "
            "`pip install 'mesh-pretraining[onnx]'`"
        )
    import onnxruntime

    upsample = portable.transformer.upsample
    if isinstance(upsample, SparseUpsampler):
        portable = copy.deepcopy(portable)
        portable.transformer.add_module("upsample", _GatheredRows(upsample))
    program = torch.onnx.export(
        portable,
        (maps,),
        input_names=[INPUT],
        output_names=portable.outputs,
        dynamic_shapes={INPUT: {0: "N"}},
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # without a file named, it is returned
    proto = program.model_proto
    proto.producer_name = PRODUCER
    for key, value in notes.items():
        proto.metadata_props.add(key=key, value=value)
    content = proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(maps: Tensor) -> list[Tensor]:
        return [torch.from_numpy(output) for output in session.run(portable.outputs, {INPUT: maps.numpy()})]

    return content, run


def _torch(portable: Portable, maps: Tensor, notes: dict[str, str]) -> tuple[bytes, Run]:
    program = torch.export.export(portable, (maps,), dynamic_shapes={INPUT: {0: torch.export.Dim("N")}})
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={NOTES: json.dumps(notes)})
    buffer.seek(0)
    return buffer.getvalue(), torch.export.load(buffer).module()


WRITERS: dict[str, Callable[[Portable, Tensor, dict[str, str]], tuple[bytes, Run]]] = {
    ".onnx": _onnx,
    ".pt2": _torch,
}


def _is_ours(path: Path) -> bool:
    """Whether a file was written here: ONNX begins with its maker, a .pt2 is an archive with our notes."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return b"\x12\x03" + PRODUCER.encode() in file.read(16)
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(f"/{NOTES}") for name in archive.namelist())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes that exporters write about operators which are not used here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)

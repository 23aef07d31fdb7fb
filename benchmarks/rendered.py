"""Error with exact truth: photographs that the program makes itself of validation poses, and then reads.

python benchmarks/rendered.py --model mpt-small --store poses.store

Random people and clothes in random places before random cameras; picture -> BlazePose -> mesh. BlazePose's
own 3D landmarks are the rival. The pictures and the maps are made once and kept in a folder, so that another
model is measured in seconds; 500 of them take about half an hour of one core.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from measuring import HIPS, LANDMARKS, as_jpeg, body_px, keep_to, limb_pa_mpjpe, table, write_json
from PIL import Image
from rich.progress import track

from mpt import assets, bodies, checkpoint
from mpt.bodies import Body
from mpt.crops import Crop
from mpt.datasets.store import PoseStore
from mpt.images import read_image
from mpt.metrics import mpjpe, pa_mpjpe
from mpt.pose2d.base import Person2D
from mpt.pose2d.blazepose import BlazePose
from mpt.pose2d.finders import FINDERS
from mpt.reconstructor import Reconstructor
from mpt.scenes import random_scene
from mpt.skeletons import COCO17, of_count
from mpt.writing import write_whole

SEED = 20240611


@dataclass(frozen=True)
class Truth:
    """Who is in a picture: camera axes, metres, the naked body's vertices and joints; and the camera."""

    image: Path
    pose: int  # index into the store
    vertices: np.ndarray  # (V, 3)
    joints: np.ndarray  # (17, 3)
    joints2d_px: np.ndarray  # (17, 2)
    K: np.ndarray  # (3, 3)


def pictures(folder: Path, store: PoseStore, body: Body, count: int) -> Iterator[Truth]:
    """The first ``count`` pictures of a fixed series over the store's validation poses, made where absent.

    Raises InputError for a folder that holds pictures of other poses or another body.
    """
    poses = store.rotvec(store.validation)
    keep_to(folder, body, poses, SEED)

    order = np.random.default_rng(SEED).permutation(len(poses))
    people = body.sample_shapes(4096, torch.Generator().manual_seed(SEED))
    for k in range(count):
        pose, image, truth = order[k % len(order)], folder / f"{k:04d}.jpg", folder / f"{k:04d}.npz"
        if not truth.exists():
            shape = people[k % len(people)].numpy()
            scene = random_scene(body, poses[pose], shape, np.random.default_rng([SEED, k]))
            (subject,) = scene.people
            write_whole(image, as_jpeg(scene.image).tobytes())
            write_whole(truth, _npz(vertices=subject.vertices, K=scene.K))
        with np.load(truth) as arrays:
            vertices, K = arrays["vertices"], arrays["K"]
        joints = body.regress(torch.from_numpy(vertices)[None])[0].numpy()
        pixels = joints @ K.T
        yield Truth(image, int(store.validation[pose]), vertices, joints, pixels[:, :2] / pixels[:, 2:], K)


def detect(truth: Truth, pose2d: BlazePose, name: str = "blazepose") -> Person2D | None:
    """The person whom the 2D network finds where the true one is, or None; kept beside the picture."""
    drawn = f"{name}{pose2d.heatmap_size}-{pose2d.skeleton.name}"
    path = truth.image.with_name(f"{truth.image.stem}-{drawn}.npz")
    if not path.exists():
        size = np.ptp(truth.joints2d_px, axis=0).max()
        found = [
            person
            for person in pose2d(read_image(truth.image))
            if np.median(np.linalg.norm(body_px(person)[:, :2] - truth.joints2d_px, axis=1)) < 0.25 * size
        ]
        write_whole(path, _packed(found[0]) if found else _npz())
    with np.load(path) as arrays:
        return _unpacked(arrays) if arrays.files else None


def _packed(person: Person2D) -> bytes:
    return _npz(
        heatmaps=person.heatmaps.astype(np.float16),
        joints2d_px=person.joints2d_px,
        world_landmarks=person.world_landmarks,
        box=np.array([*person.bbox_xywh, person.score]),
        crop=np.array([*person.crop.center_px, person.crop.side_px]),
    )


def _unpacked(arrays) -> Person2D:
    *box, score = arrays["box"].tolist()
    x, y, side = arrays["crop"].tolist()
    return Person2D(
        tuple(box),
        score,
        arrays["joints2d_px"],
        Crop((x, y), side),
        arrays["heatmaps"].astype(np.float32),
        arrays["world_landmarks"],
        skeleton=of_count(len(arrays["heatmaps"]), COCO17),
    )


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def placed(reconstructor: Reconstructor, person: Person2D, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """Joints (17, 3) and vertices (V, 3) in the photo's camera axes, as a reconstruction that knows it."""
    with Image.open(truth.image) as picture:
        size_wh = picture.size
    x, y = truth.K[:2, 2].tolist()
    [mesh] = reconstructor.lift([person], size_wh, focal_px=float(truth.K[0, 0]), principal_px=(x, y))
    return mesh.joints3d[: len(COCO17)], mesh.vertices


def main(
    store: Path,
    model: str = "mpt-small",
    cache: Path | None = None,
    count: int = 500,
    json: Path | None = None,
    pose2d: Literal["blazepose", "blazepose-heavy"] = "blazepose",
) -> None:
    """Score a model on rendered photographs of validation poses.

    Args:
        store: poses, as `mpt prepare mocap` makes them; their validation split is shown.
        model: a name, a model file or a run folder.
        cache: folder for the pictures and maps; mpt's cache folder if not given.
        count: how many pictures.
        json: also write the figures to this file.
        pose2d: the 2D network that reads the pictures.
    """
    mesh_model, body = checkpoint.load(model), bodies.load(skeleton=COCO17.name)
    poses = PoseStore(store, body=body)
    finder = FINDERS[pose2d](heatmap_size=mesh_model.transformer.config.heatmap_size)
    reconstructor = Reconstructor(mesh_model, finder)
    errors: dict[str, list[float]] = {}
    shown = pictures(cache or assets.cache_dir() / "rendered", poses, body, count)
    for truth in track(shown, "pictures", total=count):
        person = detect(truth, finder, pose2d)
        if person is None:
            continue
        root = truth.joints[HIPS].mean(0)
        joints, vertices = placed(reconstructor, person, truth)
        true_joints, true_vertices = truth.joints - root, truth.vertices - root
        row = {
            "mpjpe_mm": mpjpe(*_tensors(joints, true_joints)),
            "pa_mpjpe_mm": pa_mpjpe(*_tensors(joints, true_joints)),
            "mpve_mm": mpjpe(*_tensors(vertices, true_vertices)),
            "limb_pa_mpjpe_mm": limb_pa_mpjpe(joints, true_joints),
            "blazepose_limb_pa_mpjpe_mm": limb_pa_mpjpe(person.world_landmarks[LANDMARKS], true_joints),
        }
        for name, value in row.items():
            errors.setdefault(name, []).append(float(value))

    found = len(errors.get("mpjpe_mm", ()))
    means = {name: float(np.mean(values)) for name, values in errors.items()}
    names = {
        "mpjpe_mm": "MPJPE",
        "pa_mpjpe_mm": "PA-MPJPE",
        "mpve_mm": "MPVE",
        "limb_pa_mpjpe_mm": "PA-MPJPE of twelve limb joints",
        "blazepose_limb_pa_mpjpe_mm": "the same, BlazePose's own 3D",
    }
    rows = [
        [said, means[name], *(float(np.percentile(errors[name], q)) for q in (50, 95))]
        for name, said in names.items()
        if found
    ]
    table(f"{model}, {pose2d}: {found} of {count} people found; mm", ["", "mean", "median", "95 %"], rows)
    write_json(json, {"model": model, "pose2d": pose2d, "pictures": count, "found": found} | means)


def _tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.as_tensor(array, dtype=torch.float64) for array in arrays]


if __name__ == "__main__":
    tyro.cli(main)

"""Pictures that this program makes itself, with exact truth: fine-tuning without any licensed data set.

    FOLDER/rendered.json          of which body, from which poses and seed
    FOLDER/train/000000.jpg       the picture, 256 px
    FOLDER/train/000000.npz       vertices (V, 3) float16 and joints (29, 3) in camera axes about the mid-hip,
                                  metres; points (29, 2) px; K (3, 3); of earlier pictures COCO's 17
    FOLDER/validation/...

People in motion-captured poses, dressed, placed, lit and photographed at random (``mpt.scenes``). Nobody
real is in them: numbers that come from them are to be called numbers on rendered pictures. Each is what the
scene's camera would have taken had it been aimed at the person's box.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch

from mpt.bodies import Body
from mpt.cameras import aim
from mpt.crops import Crop
from mpt.datasets.files import AbsentError, first_of, one_of, with_images
from mpt.datasets.sample import Joints3D, Keypoints, Sample, Samples
from mpt.datasets.store import PoseStore
from mpt.errors import InputError
from mpt.json_files import read_json
from mpt.scenes import Scene, random_scene
from mpt.skeletons import COCO17, of_count
from mpt.writing import write_whole

NAME = "rendered"
SPLITS = ("train", "validation")
FORMAT = "mpt-rendered-1"
SIZE = 256
ADVICE = "choose another --out"
MARGIN = 1.4
"""Side of the picture over that of the box of COCO's 17 joints: room to turn and scale a crop of 1.25."""
CROP_FACTOR = 1.25


@dataclass(frozen=True)
class RenderedSamples(Samples):
    """Pictures of a split, each with its vertices, joints and camera."""

    folder: Path
    ids: list[str]
    dataset: str = NAME

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> Path:
        return self.folder / f"{self.ids[index]}.jpg"

    def __getitem__(self, index: int) -> Sample:
        index = self.checked(index)
        path = self.image(index).with_suffix(".npz")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                vertices, joints, points, K = (arrays[name] for name in ("vertices", "joints", "points", "K"))
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise InputError(
                f"{path}: is no truth of a rendered picture ({error}); delete it and run "
                "`mpt prepare rendered` again"
            ) from None
        skeleton = of_count(len(joints), COCO17)
        return Sample(
            NAME,
            self.image(index),
            Crop.around(points[: len(COCO17)], CROP_FACTOR),
            keypoints=Keypoints(skeleton, points, np.ones(len(skeleton))),
            joints=Joints3D(skeleton, joints, np.ones(len(skeleton), bool)),
            vertices_m=vertices.astype(np.float32),
            intrinsics=K,
            sequence=self.ids[index],
        )


def read(
    folder: str | Path, split: str = "train", *, strict: bool = False, body: Body | None = None
) -> Samples:
    """Splits: train, validation. ``body``: whose vertices they must be. ``strict``: refuse missing pictures.

    Raises InputError for a folder without such pictures, or pictures of another body.
    """
    folder = Path(folder)
    split = one_of(split, {name: name for name in SPLITS}, "rendered pictures")
    about = _about(folder)
    if body is not None and about["body_hash"] != body.hash:
        raise InputError(
            f"{folder}: its pictures show the body {about['body']} ({about['body_hash'][:12]}), not "
            f"{body.name} ({body.hash[:12]}); make them again with `mpt prepare rendered`"
        )
    ids = sorted(path.stem for path in (folder / split).glob("*.npz"))
    if not ids:
        raise AbsentError(f"{folder / split}: holds no rendered pictures; run `mpt prepare rendered` again")
    return with_images(RenderedSamples(folder / split, ids), folder / split, strict=strict)


def make(
    folder: str | Path,
    store: PoseStore,
    body: Body,
    count: int,
    *,
    split: Literal["train", "validation"] = "train",
    seed: int = 0,
) -> Iterator[Path]:
    """Make the first ``count`` pictures of an endless series over a split's poses; those there stay.

    Yields each picture as it is there. Picture k is the same whatever ``count`` is, and when it is made.

    Raises InputError for a body that cannot be dressed, no poses, or a folder with pictures of others.
    """
    folder = Path(folder)
    if body.phenotypes is None:
        raise InputError(f"{body.name}: only the Anny body can be dressed for pictures; leave --body out")
    index = store.train if split == "train" else store.validation
    if not len(index):
        raise InputError(
            f"{store.path}: has no {split} poses; prepare it with subjects for training and validation"
        )
    poses = hashlib.sha256(store.rotvec(store.indices()).tobytes()).hexdigest()
    about = {"format": FORMAT, "body": body.name, "body_hash": body.hash, "poses": poses, "seed": seed}
    if not (folder / "rendered.json").exists():
        for name in SPLITS:
            if os.path.lexists(folder / name):
                raise InputError(
                    f"{folder / name} is there already and holds no pictures of mpt's: choose another --out"
                )
        write_whole(folder / "rendered.json", json.dumps(about, indent=1).encode(), ADVICE)
    elif _about(folder) != about:
        raise InputError(f"{folder}: its pictures show other poses or another seed; choose another --out")
    for k in range(count):
        path = folder / split / f"{k:06d}.jpg"
        if not path.with_suffix(".npz").exists():
            rng = np.random.default_rng([seed, SPLITS.index(split), k])
            pose = store.rotvec(index[rng.integers(len(index), size=1)])[0]
            people = torch.Generator().manual_seed(int(rng.integers(2**62)))
            scene = random_scene(body, pose, body.sample_shapes(1, people)[0].numpy(), rng)
            _write_picture(path, *_aimed(scene))
        yield path


def _aimed(scene: Scene) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The one person of a scene as seen by its camera turned to them and zoomed in: picture and truth."""
    (person,) = scene.people
    framed = person.joints[: len(COCO17)]
    turn = np.eye(3)  # aimed camera's axes -> scene's camera
    for _ in range(3):  # the middle of the box moves a little with every turn
        rays = framed @ turn
        rays = rays[:, :2] / rays[:, 2:]
        middle = turn @ [*(rays.min(0) + rays.max(0)) / 2, 1]
        turn = aim(torch.from_numpy(middle[None]))[0].numpy()
    joints = person.joints @ turn
    rays = joints[:, :2] / joints[:, 2:]
    focal = SIZE / (MARGIN * np.ptp(rays[: len(COCO17)], axis=0).max())
    K = np.array([[focal, 0, (SIZE - 1) / 2], [0, focal, (SIZE - 1) / 2], [0, 0, 1]])
    twice = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]])  # drawn at twice the size, then averaged
    scene_from_aimed = scene.K @ turn @ np.linalg.inv(twice @ K)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    large = cv2.warpPerspective(scene.image, scene_from_aimed, (2 * SIZE, 2 * SIZE), flags=flags)
    root = joints[COCO17.root].mean(0)
    return cv2.resize(large, (SIZE, SIZE), interpolation=cv2.INTER_AREA), {
        "vertices": (person.vertices @ turn - root).astype(np.float16),  # to a quarter of a millimetre
        "joints": (joints - root).astype(np.float32),
        "points": (rays * focal + (SIZE - 1) / 2).astype(np.float32),
        "K": K,
    }


def _write_picture(path: Path, image: np.ndarray, truth: dict[str, np.ndarray]) -> None:
    """The truth last: a picture counts once its truth is there."""
    jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    write_whole(path, jpeg.tobytes(), ADVICE)
    buffer = io.BytesIO()
    np.savez(buffer, **truth)
    write_whole(path.with_suffix(".npz"), buffer.getvalue(), ADVICE)


def _about(folder: Path) -> dict:
    path = first_of(folder, "rendered.json", what="the pictures of `mpt prepare rendered`")
    try:
        about = read_json(path)
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']!r}, expected {FORMAT!r}")
        return about
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: does not describe rendered pictures ({error}); run `mpt prepare rendered` into a new "
            "folder"
        ) from None

"""FreiHAND (Zimmermann et al., ICCV 2019), the official files.

    FOLDER/training_K.json, training_xyz.json, training_verts.json, training_mano.json   32,560 entries each
    FOLDER/training/rgb/00000000.jpg ...                                                 4 x 32,560 photos
    FOLDER/evaluation_K.json, FOLDER/evaluation/rgb/...                                  3,960 entries
    FOLDER/evaluation_xyz.json, evaluation_verts.json                  in FreiHAND_pub_v2_eval.zip

Photos are 224 px crops with the hand in the middle; all hands are right ones. Photo i shows hand i mod
32,560: the green screen itself and three versions with other backgrounds. Joints and vertices are metres in
camera axes, the joints in the order of ``HAND21``; K maps them to pixels. ``mano`` holds 61 numbers: pose
(48, fingers from the mean pose of MANO's file), shape (10), and the projection of the middle finger's base
(2) with a scale (1), which the vertices make superfluous.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpt.crops import Crop
from mpt.datasets.files import (
    field,
    finite,
    first_of,
    one_of,
    parsed,
    pinholes,
    read_json,
    sound,
    with_images,
)
from mpt.datasets.sample import BodyParameters, Joints3D, Keypoints, Sample, Samples, project
from mpt.errors import InputError
from mpt.skeletons import HAND21

NAME = "freihand"
SIDE = 224
VERTICES = 778
SPLITS = {"train": ("training", 4), "test": ("evaluation", 1)}
LABELS = ("evaluation_xyz.json", "evaluation_verts.json")
LABELS_ARCHIVE = "FreiHAND_pub_v2_eval.zip"


@dataclass(frozen=True)
class FreihandSamples(Samples):
    """``hands`` rows, each shown in ``versions`` photos."""

    folder: Path
    versions: int
    intrinsics: np.ndarray
    xyz_m: np.ndarray | None
    known: np.ndarray | None
    vertices_m: np.ndarray | None
    mano: np.ndarray | None
    dataset: str = NAME

    @property
    def hands(self) -> int:
        return len(self.intrinsics)

    def __len__(self) -> int:
        return self.hands * self.versions

    def image(self, index: int) -> Path:
        return self.folder / f"{index:08d}.jpg"

    def __getitem__(self, index: int) -> Sample:
        index = self.checked(index)
        hand = index % self.hands
        keypoints = joints = None
        if self.xyz_m is not None:
            joints = Joints3D(HAND21, self.xyz_m[hand], self.known[hand])
            pixels = np.where(joints.known[:, None], joints.xyz_m, [0, 0, 1])
            keypoints = Keypoints(HAND21, project(pixels, self.intrinsics[hand]), joints.known * 1.0)
        return Sample(
            self.dataset,
            self.image(index),
            Crop(((SIDE - 1) / 2, (SIDE - 1) / 2), float(SIDE)),
            keypoints=keypoints,
            joints=joints,
            parameters=_parameters(self.mano[hand]) if self.mano is not None else None,
            vertices_m=self.vertices_m[hand] if self.vertices_m is not None else None,
            intrinsics=self.intrinsics[hand],
            frame=index,
        )


def read(folder: str | Path, split: str = "train", *, strict: bool = False) -> Samples:
    """Splits: train (all four versions), test (its truth is known only where its labels lie there).

    strict: refuse missing photos and numbers that are not finite, instead of leaving them out with a warning.
    """
    folder = Path(folder)
    name, versions = one_of(split, SPLITS, "FreiHAND")
    path = first_of(folder, f"{name}_K.json", what=f"FreiHAND's {name} files")
    intrinsics = pinholes(path, "matrices", _array(path, 3, 3))
    hands = len(intrinsics)

    def part(key: str, *shape: int, whole: bool = True) -> np.ndarray | None:
        file = folder / f"{name}_{key}.json"
        if not file.exists():
            if split == "train":
                raise InputError(f"{folder}: has no {file.name}; FreiHAND's training files should lie there")
            return None
        array = _array(file, *shape)
        if len(array) != hands:
            raise InputError(
                f"{file}: has {len(array)} entries where {path.name} has {hands}; download both again"
            )
        return sound(file, "list of numbers", array) if whole else array

    xyz, known = part("xyz", 21, 3, whole=False), None
    if xyz is not None:
        file = folder / f"{name}_xyz.json"
        if (xyz[..., 2] <= 0).any():
            raise InputError(f"{file}: shows hands behind the camera; download it again")
        xyz, known = finite(file, "3D joints", xyz, np.ones(xyz.shape[:2], bool), strict=strict)
    samples = FreihandSamples(
        folder / name / "rgb",
        versions,
        intrinsics,
        xyz,
        known,
        part("verts", VERTICES, 3),
        part("mano", 61),
    )
    return with_images(samples, path, strict=strict)


def labels_missing(folder: str | Path) -> InputError | None:
    """What to say where the truth of the evaluation set is not there, without which no score can be told."""
    absent = [name for name in LABELS if not (Path(folder) / name).exists()]
    if not absent:
        return None
    return InputError(
        f"{folder}: has no {' and no '.join(absent)}, the truth of FreiHAND's evaluation set; "
        f"unzip {LABELS_ARCHIVE} of its official page there"
    )


def _array(path: Path, *shape: int) -> np.ndarray:
    def parse() -> dict[str, np.ndarray]:
        content = read_json(path)
        return {
            "array": field(path, lambda: np.array(content, np.float32).reshape(-1, *shape), "list of numbers")
        }

    return parsed(parse, path)["array"]


def _parameters(mano: np.ndarray) -> BodyParameters:
    return BodyParameters("mano", mano[:48].reshape(16, 3), mano[48:58], about_mean=True)

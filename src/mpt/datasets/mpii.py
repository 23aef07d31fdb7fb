"""MPII Human Pose (Andriluka et al., CVPR 2014) in the JSON form of HRNet's authors.

    FOLDER/annot/train.json, valid.json, trainval.json
    FOLDER/images/015601864.jpg

The official annotation is a Matlab structure; these files were made of it by the authors of SimpleBaseline
and HRNet. A list of ``{image, center, scale, joints (16, 2), joints_vis (16,)}``: pixels counted from 1,
``scale`` x 200 px the person's height, ``joints_vis`` 1 where labelled, hidden or not. As in HRNet the crop
is 1.25 times the height and stands 15 x scale px lower than the given centre.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpt.datasets.files import field, finite, first_of, one_of, read_json, with_images
from mpt.datasets.sample import Keypoints, Sample, Samples
from mpt.images import Crop
from mpt.skeletons import Skeleton

NAME = "mpii"
SPLITS = {"train": "train.json", "validation": "valid.json", "train+validation": "trainval.json"}
FIRST_PIXEL = 1
CROP_FACTOR, CROP_SHIFT_PX = 1.25, 15

# MPII's thorax lies lower than what Human3.6M calls so; its upper neck is the neck of LSP.
MPII16 = Skeleton(
    "mpii16",
    (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "pelvis", "mpii_thorax", "neck", "head_top", "right_wrist", "right_elbow", "right_shoulder",
        "left_shoulder", "left_elbow", "left_wrist",
    ),
    (1, 2, 6, 6, 3, 4, -1, 6, 7, 8, 11, 12, 7, 7, 13, 14),
)  # fmt: skip


@dataclass(frozen=True)
class MpiiSamples(Samples):
    folder: Path
    names: list[str]
    center_px: np.ndarray
    scale: np.ndarray
    xy_px: np.ndarray
    known: np.ndarray
    dataset: str = NAME

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> Path:
        return self.folder / self.names[index]

    def __getitem__(self, index: int) -> Sample:
        index = self.checked(index)
        x, y = self.center_px[index]
        scale = float(self.scale[index])
        return Sample(
            self.dataset,
            self.image(index),
            Crop((float(x), float(y) + CROP_SHIFT_PX * scale), scale * 200 * CROP_FACTOR),
            keypoints=Keypoints(MPII16, self.xy_px[index], self.known[index] * 1.0),
            sequence=Path(self.names[index]).stem,
        )


def read(folder: str | Path, split: str = "train", *, strict: bool = False) -> Samples:
    """Splits: train, validation, train+validation. ``strict`` as for COCO."""
    folder = Path(folder)
    name = one_of(split, SPLITS, "MPII")
    what = "MPII's annotations in HRNet's JSON form"
    return read_file(
        first_of(folder, f"annot/{name}", f"annotations/{name}", name, what=what),
        folder / "images",
        strict=strict,
    )


def read_file(path: Path, images: Path, *, strict: bool = False) -> Samples:
    """People of one such file; those without a labelled joint or a position are left out."""
    content = read_json(path)
    people = field(
        path,
        lambda: [p for p in content if any(p["joints_vis"]) and p["scale"] > 0 and p["center"][0] >= 0],
        "list of people",
    )

    def column(key: str, *shape: int) -> np.ndarray:
        return field(
            path, lambda: np.array([p[key] for p in people], np.float32).reshape(len(people), *shape), key
        )

    xy = column("joints", 16, 2) - FIRST_PIXEL
    xy, known = finite(path, "2D joints", xy, column("joints_vis", 16) > 0, strict=strict)
    names = field(path, lambda: [person["image"] for person in people], "image")
    samples = MpiiSamples(images, names, column("center", 2) - FIRST_PIXEL, column("scale"), xy, known)
    return with_images(samples, path, strict=strict)

"""MPII Human Pose (Andriluka et al., CVPR 2014) in the JSON form of HRNet's authors.

    FOLDER/annot/train.json, valid.json, trainval.json
    FOLDER/images/015601864.jpg
    FOLDER/annotations/MPII_train_SMPL_NeuralAnnot.json   optional: SMPL fitted by NeuralAnnot
    FOLDER/annotations/train.json                         the annotations that its ids count

The official annotation is a Matlab structure; these files were made of it by the authors of SimpleBaseline
and HRNet. A list of ``{image, center, scale, joints (16, 2), joints_vis (16,)}``: pixels counted from 1,
``scale`` x 200 px the person's height, ``joints_vis`` 1 where labelled, hidden or not. As in HRNet the crop
is 1.25 times the height and stands 15 x scale px lower than the given centre.

NeuralAnnot's fits are by the ids of its own annotation file, which is in COCO's form and holds HRNet's train
and valid together, in another order; a person is found there by photo and joints, which both files took from
the official one. As with COCO, a fit's own camera becomes the sample's; it counts pixels as the joints do.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpt.crops import Crop
from mpt.datasets import fits
from mpt.datasets.files import field, finite, first_of, one_of, parsed, read_json, with_images
from mpt.datasets.fits import Fits
from mpt.datasets.sample import Keypoints, Sample, Samples
from mpt.errors import InputError
from mpt.skeletons import Skeleton

NAME = "mpii"
SPLITS = {"train": "train.json", "validation": "valid.json", "train+validation": "trainval.json"}
FIRST_PIXEL = 1
CROP_FACTOR, CROP_SHIFT_PX = 1.25, 15
FITS, COUNTED = "MPII_train_SMPL_NeuralAnnot.json", "train.json"
SAME_PX = 0.5  # by which the joints of one person may differ between two files

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
    fits: Fits | None = None
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
            parameters=self.fits.parameters(index) if self.fits else None,
            intrinsics=self.fits.camera(index) if self.fits else None,
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
        fitted=folder / "annotations" / FITS,
        strict=strict,
    )


def read_file(path: Path, images: Path, *, fitted: Path | None = None, strict: bool = False) -> Samples:
    """People of one such file; those without a labelled joint or a position are left out.

    fitted: NeuralAnnot's file, if it is there, and beside it the annotations that it counts.
    """
    content = read_json(path)
    if isinstance(content, dict):
        raise InputError(
            f"{path}: is in COCO's form, a list of people in HRNet's form was expected; put HRNet's file "
            "into annot"
        )
    people = field(
        path,
        lambda: [p for p in content if any(p["joints_vis"]) and p["scale"] > 0 and p["center"][0] >= 0],
        "list of people",
    )

    def column(key: str, *shape: int) -> np.ndarray:
        return field(
            path, lambda: np.array([p[key] for p in people], np.float32).reshape(len(people), *shape), key
        )

    names = field(path, lambda: [str(Path(person["image"])) for person in people], "image")
    xy, known = column("joints", 16, 2), column("joints_vis", 16) > 0
    of_people = None
    if fitted is not None and fitted.exists():
        counted = fitted.with_name(COUNTED)
        if not counted.exists():
            raise InputError(f"{counted}: is not there, whose people {FITS} counts; put NeuralAnnot's there")
        arrays = parsed(lambda: _fits(counted, fitted, names, xy, known), fitted, counted, path)
        arrays["cameras"][:, :2, 2] -= FIRST_PIXEL
        of_people = fits.of_columns(fitted, arrays, strict=strict)
    xy, known = finite(path, "2D joints", xy - FIRST_PIXEL, known, strict=strict)
    center = column("center", 2) - FIRST_PIXEL
    samples = MpiiSamples(images, names, center, column("scale"), xy, known, of_people)
    placed = np.isfinite(np.column_stack([center, samples.scale])).all(1)
    return with_images(samples, path, strict=strict, placed=placed)


def _fits(
    counted: Path, fitted: Path, names: list[str], xy: np.ndarray, known: np.ndarray
) -> dict[str, np.ndarray]:
    """Fits of people by their photos' names, joints (N, 16, 2) and which of these are known (N, 16)."""
    content = read_json(counted)
    photos = field(
        counted, lambda: {photo["id"]: Path(photo["file_name"]).name for photo in content["images"]}, "images"
    )
    others: dict[str, list[tuple[int, np.ndarray]]] = defaultdict(list)

    def gather() -> None:
        for person in content["annotations"]:
            joints = np.array(person["keypoints"], np.float32).reshape(16, 3)
            others[photos[person["image_id"]]].append((person["id"], joints))

    field(counted, gather, "annotations")
    ids = [_same(others[name], *joints) for name, *joints in zip(names, xy, known)]
    return fits.columns_of_photos(fitted, fits.by_id(fitted, ids))


def _same(others: list[tuple[int, np.ndarray]], xy: np.ndarray, known: np.ndarray) -> int | None:
    """The id of whose joints (16, 3) are at xy (16, 2), among the people of a photo."""
    for number, joints in others:
        both = known & (joints[:, 2] > 0)
        if both.any() and np.abs(joints[both, :2] - xy[both]).max() < SAME_PX:
            return number
    return None

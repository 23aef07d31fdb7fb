"""COCO keypoints (Lin et al., ECCV 2014), the official JSON of 2017 or 2014.

    FOLDER/annotations/person_keypoints_train2017.json
    FOLDER/annotations/coco_smplifyx_train.json             optional: SMPL fitted to the training people
    FOLDER/annotations/MSCOCO_train_SMPL_NeuralAnnot.json   where the former is not there
    FOLDER/train2017/000000000009.jpg, or FOLDER/images/train2017/...

Keypoints are 17 x (x, y, v), pixels counted from 0; v = 0 is not labelled, 1 labelled and hidden, 2 visible.
Both labelled kinds are known here. Boxes are (x, y, width, height) between pixel edges.

The fits, I2L-MeshNet's by SMPLify-X or NeuralAnnot's, are those of a person by the annotation's id:
``{smpl_param: {pose, shape, trans}, cam_param: {focal, princpt}}``, neutral, the root in the axes of that
camera, which the fit supposed. It is the sample's camera, then. Fits whose joints are far from the labelled
ones are left out (``mpt.datasets.fits``).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpt.bodies import Body
from mpt.datasets import fits
from mpt.datasets.files import field, finite, first_of, one_of, parsed, read_json, with_images
from mpt.datasets.fits import Fits
from mpt.datasets.sample import Keypoints, Sample, Samples, crop_of_box
from mpt.skeletons import COCO17, Skeleton

NAME = "coco"
SPLITS = {"train": ("train2017", "train2014"), "validation": ("val2017", "val2014")}
FITS = ("coco_smplifyx_train.json", "MSCOCO_train_SMPL_NeuralAnnot.json")


@dataclass(frozen=True)
class CocoSamples(Samples):
    """Annotated people, in the order of the file."""

    dataset: str
    folder: Path
    skeleton: Skeleton
    names: np.ndarray
    box_xywh: np.ndarray
    xy_px: np.ndarray
    known: np.ndarray
    fits: Fits | None = None

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> Path:
        return self.folder / str(self.names[index])

    def __getitem__(self, index: int) -> Sample:
        index = self.checked(index)
        return Sample(
            self.dataset,
            self.image(index),
            crop_of_box(self.box_xywh[index]),
            keypoints=Keypoints(self.skeleton, self.xy_px[index], self.known[index] * 1.0),
            parameters=self.fits.parameters(index) if self.fits else None,
            intrinsics=self.fits.camera(index) if self.fits else None,
            sequence=Path(str(self.names[index])).stem,
        )


def read(
    folder: str | Path, split: str = "train", *, strict: bool = False, body: Body | None = None
) -> Samples:
    """Splits: train, validation; crowds and people without a labelled joint are left out.

    body: an SMPL, by which fits that miss the labelled joints are told, and left out.
    strict: refuse missing photos and numbers that are not finite, instead of leaving them out with a warning.
    """
    folder = Path(folder)
    years = one_of(split, SPLITS, "COCO")
    names = [f"annotations/person_keypoints_{year}.json" for year in years]
    path = first_of(folder, *names, what="COCO's annotations and photos")
    year = path.stem.removeprefix("person_keypoints_")
    images = folder / year if (folder / year).is_dir() else folder / "images" / year
    given = [path.with_name(name) for name in FITS] if split == "train" else []
    fitted = next((file for file in given if file.exists()), None)
    return read_file(path, images, NAME, COCO17, fitted=fitted, body=body, strict=strict)


def read_file(
    path: Path,
    images: Path,
    dataset: str,
    skeleton: Skeleton,
    *,
    fitted: Path | None = None,
    body: Body | None = None,
    strict: bool = False,
) -> Samples:
    """People of one file in COCO's form, with any number of joints; ``fitted``: a file of fits to them, of
    which ``body`` tells the near ones.
    """
    people = parsed(lambda: _people(path, len(skeleton), fitted), path, *([fitted] if fitted else []))
    keypoints = people["keypoints"]
    xy, known = finite(path, "2D joints", keypoints[..., :2], keypoints[..., 2] > 0, strict=strict)
    of_people = fits.of_columns(fitted, people, strict=strict) if fitted else None
    if of_people is not None:
        of_people = of_people.near_in_photos(Keypoints(skeleton, xy, known), body)
    samples = CocoSamples(
        dataset, images, skeleton, people["file_name"], people["bbox"], xy, known, of_people
    )
    placed = np.isfinite(people["bbox"]).all(1)
    return with_images(samples, path, strict=strict, placed=placed)


def _people(path: Path, joints: int, fitted: Path | None) -> dict[str, np.ndarray]:
    """Photo, box (N, 4), keypoints (N, joints, 3) and fits of the people with a labelled joint."""
    content = read_json(path)
    names = field(path, lambda: {entry["id"]: entry["file_name"] for entry in content["images"]}, "images")
    people = field(
        path,
        lambda: [
            entry
            for entry in content["annotations"]
            if not entry.get("iscrowd") and any(entry.get("keypoints", ())[2::3])
        ],
        "annotations",
    )

    def column(key: str, *shape: int) -> np.ndarray:
        return field(
            path, lambda: np.array([p[key] for p in people], np.float32).reshape(len(people), *shape), key
        )

    arrays = {
        "file_name": field(
            path, lambda: np.array([names[person["image_id"]] for person in people]), "image_id"
        ),
        "bbox": column("bbox", 4),
        "keypoints": column("keypoints", joints, 3),
    }
    if fitted is None:
        return arrays
    ids = field(path, lambda: [person["id"] for person in people], "id")
    return arrays | fits.columns_of_photos(fitted, fits.by_id(fitted, ids))

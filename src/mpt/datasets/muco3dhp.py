"""MuCo-3DHP (Mehta et al., 3DV 2018), composites of MPI-INF-3DHP, as its JSON goes round in the field.

    FOLDER/MuCo-3DHP.json
    FOLDER/smpl_param.json                                optional: SMPL fitted to it
    FOLDER/augmented_set/..., FOLDER/unaugmented_set/...  the file names in the JSON begin with these

The official release is Matlab scripts; composites and JSON were made by the authors of 3DMPPE (RootNet) and
of I2L-MeshNet, in COCO's form with, for each photo, ``f`` and ``c`` (focal length and principal point, px)
and for each person ``keypoints_img`` (21, 2) px, ``keypoints_cam`` (21, 3) **millimetres** in camera axes,
and ``keypoints_vis`` (21,). SMPL is neutral, by the annotation's id; ``pose`` (72) has its root in camera
axes. As in I2L-MeshNet the person nearest to the camera is taken of each photo, since the others may stand
behind. Fits are posed with their own betas and judged by the 14 joints that MuCo and Human3.6M call alike
(``mpt.datasets.fits``).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpt.bodies import Body
from mpt.datasets import fits
from mpt.datasets.files import field, finite, first_of, one_of, parsed, read_json, sound, with_images
from mpt.datasets.fits import MAX_FIT_MM, Fits
from mpt.datasets.sample import Joints3D, Keypoints, Sample, Samples, crop_of_box
from mpt.skeletons import H36M17, Skeleton

NAME = "muco3dhp"
FITS = "smpl_param.json"

MUCO21 = Skeleton(
    "muco21",
    (
        "head_top", "thorax", "right_shoulder", "right_elbow", "right_wrist",
        "left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle",
        "left_hip", "left_knee", "left_ankle", "pelvis", "spine", "nose",
        "right_hand", "left_hand", "right_toe", "left_toe",
    ),
    (16, 15, 1, 2, 3, 1, 5, 6, 14, 8, 9, 14, 11, 12, -1, 14, 1, 4, 7, 10, 13),
)  # fmt: skip


@dataclass(frozen=True)
class MucoSamples(Samples):
    """One person of each photo."""

    folder: Path
    arrays: dict[str, np.ndarray]
    fits: Fits
    dataset: str = NAME

    def __len__(self) -> int:
        return len(self.arrays["file_name"])

    def image(self, index: int) -> Path:
        return self.folder / str(self.arrays["file_name"][index])

    def __getitem__(self, index: int) -> Sample:
        index = self.checked(index)
        row = {key: array[index] for key, array in self.arrays.items()}
        intrinsics = np.diag([*row["f"], 1.0])
        intrinsics[:2, 2] = row["c"]
        return Sample(
            self.dataset,
            self.image(index),
            crop_of_box(row["bbox"]),
            keypoints=Keypoints(MUCO21, row["keypoints_img"], row["keypoints_vis"] * 1.0),
            joints=Joints3D(MUCO21, row["xyz_m"], row["xyz_known"]),
            parameters=self.fits.parameters(index),
            intrinsics=intrinsics,
            sequence=str(Path(str(row["file_name"])).parent),
        )


COMPARED = tuple(joint for joint in H36M17.joints if joint not in ("spine", "thorax", "nose"))
"""Joints of Human3.6M's regressor that mean the same in both sets."""


def read(
    folder: str | Path,
    split: str = "train",
    *,
    strict: bool = False,
    body: Body | None = None,
    max_fit_mm: float = MAX_FIT_MM,
) -> Samples:
    """The one split is train. ``strict`` as for Human3.6M.

    body: an SMPL with Human3.6M's regressor; fits farther than ``max_fit_mm`` from the 3D joints are left
    out. No other body can tell, and keeps them all.

    The JSON of the full set takes minutes and some ten gigabytes to parse, the first time.
    """
    folder = Path(folder)
    one_of(split, {"train": None}, "MuCo-3DHP")
    path = first_of(folder, "MuCo-3DHP.json", "data/MuCo-3DHP.json", what="MuCo-3DHP's composites and JSON")
    fitted = path.parent / FITS
    arrays = parsed(lambda: _people(path, fitted), path, fitted)
    everywhere = np.ones(arrays["keypoints_cam"].shape[:2], bool)
    xyz, known = finite(path, "3D joints", arrays.pop("keypoints_cam") / 1000, everywhere, strict=strict)
    xy, labelled = finite(path, "2D joints", arrays["keypoints_img"], everywhere, strict=strict)
    arrays |= {
        "xyz_m": xyz,
        "xyz_known": known,
        "keypoints_img": xy,
        "keypoints_vis": (arrays["keypoints_vis"] > 0) & labelled,
    }
    known_fits = fits.of_columns(fitted, arrays, strict=strict)
    near = known_fits.near(Joints3D(MUCO21, xyz, known), COMPARED, body, max_fit_mm)
    placed = np.isfinite(arrays["bbox"]).all(1)
    return with_images(MucoSamples(path.parent, arrays, near), path, strict=strict, placed=placed)


def _people(path: Path, fitted: Path) -> dict[str, np.ndarray]:
    """What the JSON tells of the person of each photo whose pelvis is nearest to the camera; millimetres."""
    content = read_json(path)
    photos = field(path, lambda: {entry["id"]: entry for entry in content["images"]}, "images")
    people = field(path, lambda: _nearest(content["annotations"]), "annotations")

    def column(key: str, *shape: int) -> np.ndarray:
        return field(
            path, lambda: np.array([p[key] for p in people], np.float32).reshape(len(people), *shape), key
        )

    def of_photo(key: str, kind: type = float, *shape: int) -> np.ndarray:
        return field(
            path,
            lambda: np.array([photos[p["image_id"]][key] for p in people], kind).reshape(len(people), *shape),
            key,
        )

    ids = field(path, lambda: [person["id"] for person in people], "id")
    return {
        "file_name": of_photo("file_name", str),
        "f": sound(path, "f", of_photo("f", float, 2)),
        "c": sound(path, "c", of_photo("c", float, 2)),
        "bbox": column("bbox", 4),
        "keypoints_img": column("keypoints_img", 21, 2),
        "keypoints_cam": column("keypoints_cam", 21, 3),
        "keypoints_vis": column("keypoints_vis", 21),
        **fits.columns(fitted, fits.by_id(fitted, ids) if fitted.exists() else [None] * len(ids)),
    }


def _nearest(annotations: list[dict]) -> list[dict]:
    pelvis = MUCO21.index("pelvis")
    nearest: dict[int, dict] = {}
    for person in annotations:
        other = nearest.get(person["image_id"])
        if other is None or person["keypoints_cam"][pelvis][2] < other["keypoints_cam"][pelvis][2]:
            nearest[person["image_id"]] = person
    return list(nearest.values())

"""MuCo-3DHP (Mehta et al., 3DV 2018), composites of MPI-INF-3DHP, as its JSON goes round in the field.

    FOLDER/MuCo-3DHP.json
    FOLDER/smpl_param.json                                optional: SMPL fitted to it
    FOLDER/augmented_set/..., FOLDER/unaugmented_set/...  the file names in the JSON begin with these

The official release is Matlab scripts; composites and JSON were made by the authors of 3DMPPE (RootNet) and
of I2L-MeshNet, in COCO's form with, for each photo, ``f`` and ``c`` (focal length and principal point, px)
and for each person ``keypoints_img`` (21, 2) px, ``keypoints_cam`` (21, 3) **millimetres** in camera axes,
and ``keypoints_vis`` (21,). SMPL is neutral; ``pose`` (72) has its root in camera axes. As in I2L-MeshNet the
person nearest to the camera is taken of each photo, since the others may stand behind, and betas beyond 3
mean a failed fit and are set to 0.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpt.datasets.files import field, finite, first_of, one_of, read_json, with_images
from mpt.datasets.sample import BodyParameters, Joints3D, Keypoints, Sample, Samples, crop_of_box
from mpt.skeletons import Skeleton

NAME = "muco3dhp"
MAX_BETA = 3

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
    folder: Path
    names: list[str]
    ids: np.ndarray
    box_xywh: np.ndarray
    focal_px: np.ndarray
    principal_px: np.ndarray
    xy_px: np.ndarray
    visible: np.ndarray
    xyz_m: np.ndarray
    known: np.ndarray
    smpl: dict[int, tuple[np.ndarray, np.ndarray]]
    dataset: str = NAME

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> Path:
        return self.folder / self.names[index]

    def __getitem__(self, index: int) -> Sample:
        index = self.checked(index)
        intrinsics = np.diag([*self.focal_px[index], 1.0])
        intrinsics[:2, 2] = self.principal_px[index]
        fit = self.smpl.get(int(self.ids[index]))
        return Sample(
            self.dataset,
            self.image(index),
            crop_of_box(self.box_xywh[index]),
            keypoints=Keypoints(MUCO21, self.xy_px[index], self.visible[index] * 1.0),
            joints=Joints3D(MUCO21, self.xyz_m[index], self.known[index]),
            parameters=BodyParameters("smpl", *fit) if fit else None,
            intrinsics=intrinsics,
            sequence=str(Path(self.names[index]).parent),
        )


def read(folder: str | Path, split: str = "train", *, strict: bool = False) -> Samples:
    """The one split is train. ``strict`` as for Human3.6M.

    The whole JSON is parsed, which takes minutes and some ten gigabytes for the full set.
    """
    folder = Path(folder)
    one_of(split, {"train": None}, "MuCo-3DHP")
    path = first_of(folder, "MuCo-3DHP.json", "data/MuCo-3DHP.json", what="MuCo-3DHP's composites and JSON")
    parsed = read_json(path)
    photos = field(path, lambda: {entry["id"]: entry for entry in parsed["images"]}, "images")
    people = field(path, lambda: list(_nearest(parsed["annotations"])), "annotations")

    def column(key: str, *shape: int) -> np.ndarray:
        return field(
            path, lambda: np.array([p[key] for p in people], np.float32).reshape(len(people), *shape), key
        )

    def of_photo(key: str) -> np.ndarray:
        return field(path, lambda: np.array([photos[p["image_id"]][key] for p in people], np.float32), key)

    everywhere = np.ones((len(people), len(MUCO21)), bool)
    xyz, known = finite(path, "3D joints", column("keypoints_cam", 21, 3) / 1000, everywhere, strict=strict)
    xy, labelled = finite(path, "2D joints", column("keypoints_img", 21, 2), everywhere, strict=strict)
    visible = column("keypoints_vis", 21) > 0 if people and "keypoints_vis" in people[0] else labelled
    samples = MucoSamples(
        path.parent,
        field(path, lambda: [photos[person["image_id"]]["file_name"] for person in people], "file_name"),
        field(path, lambda: np.array([person["id"] for person in people], np.int64), "id"),
        column("bbox", 4),
        of_photo("f"),
        of_photo("c"),
        xy,
        visible & labelled,
        xyz,
        known,
        _fits(path.parent / "smpl_param.json"),
    )
    return with_images(samples, path, strict=strict)


def _nearest(annotations: list[dict]) -> list[dict]:
    """The person of each photo whose pelvis is nearest to the camera."""
    pelvis = MUCO21.index("pelvis")
    nearest: dict[int, dict] = {}
    for person in annotations:
        other = nearest.get(person["image_id"])
        if other is None or person["keypoints_cam"][pelvis][2] < other["keypoints_cam"][pelvis][2]:
            nearest[person["image_id"]] = person
    return list(nearest.values())


def _fits(path: Path) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Annotation id -> SMPL pose (24, 3) and betas (10,); empty where the file is not there."""
    if not path.exists():
        return {}

    def fit(entry: dict) -> tuple[np.ndarray, np.ndarray]:
        pose = np.array(entry["pose"], np.float32).reshape(24, 3)
        betas = np.array(entry["shape"], np.float32).reshape(10)
        return pose, betas * (np.abs(betas) <= MAX_BETA).all()

    parsed = read_json(path)
    return field(path, lambda: {int(key): fit(entry) for key, entry in parsed.items()}, "SMPL fits")

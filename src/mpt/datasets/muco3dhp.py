"""MuCo-3DHP (Mehta et al., 3DV 2018), composites of MPI-INF-3DHP, as its JSON goes round in the field.

    FOLDER/MuCo-3DHP.json
    FOLDER/smpl_param.json                                optional: SMPL fitted to it
    FOLDER/augmented_set/..., FOLDER/unaugmented_set/...  the file names in the JSON begin with these

The official release is Matlab scripts; composites and JSON were made by the authors of 3DMPPE (RootNet) and
of I2L-MeshNet, in COCO's form with, for each photo, ``f`` and ``c`` (focal length and principal point, px)
and for each person ``keypoints_img`` (21, 2) px, ``keypoints_cam`` (21, 3) **millimetres** in camera axes,
and ``keypoints_vis`` (21,). SMPL is neutral; ``pose`` (72) has its root in camera axes. As in I2L-MeshNet the
person nearest to the camera is taken of each photo, since the others may stand behind, and betas beyond 3
mean a failed fit and are set to 0. Fits that miss the set's own 3D joints by more than 25 mm on average
(MuCo's and Human3.6M's 14 alike, centred on each other) are left out, and the joints stay: such a mesh would
teach something else than the joints beside it.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch

from mpt.bodies import Body
from mpt.datasets.files import field, finite, first_of, one_of, parsed, read_json, with_images
from mpt.datasets.sample import BodyParameters, Joints3D, Keypoints, Sample, Samples, crop_of_box
from mpt.skeletons import H36M17, Skeleton

NAME = "muco3dhp"
MAX_BETA = 3
MAX_FIT_MM = 25.0
BATCH = 1024

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
            parameters=BodyParameters("smpl", row["pose"], row["betas"]) if row["has_smpl"] else None,
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
    fits = path.parent / "smpl_param.json"
    arrays = parsed(lambda: _people(path) | _fits(fits), path, fits)
    order = {key: row for row, key in enumerate(arrays.pop("fit_id").tolist())}
    row = np.array([order.get(key, -1) for key in arrays.pop("id").tolist()], int)
    pose, betas = arrays.pop("fit_pose"), arrays.pop("fit_betas")
    everywhere = np.ones(arrays["keypoints_cam"].shape[:2], bool)
    xyz, known = finite(path, "3D joints", arrays.pop("keypoints_cam") / 1000, everywhere, strict=strict)
    xy, labelled = finite(path, "2D joints", arrays["keypoints_img"], everywhere, strict=strict)
    arrays |= {
        "xyz_m": xyz,
        "xyz_known": known,
        "keypoints_img": xy,
        "keypoints_vis": (arrays["keypoints_vis"] > 0) & labelled,
        "has_smpl": row >= 0,
        "pose": pose[row] if len(pose) else np.zeros((len(row), 24, 3), np.float32),
        "betas": betas[row] if len(pose) else np.zeros((len(row), 10), np.float32),
    }
    if body is not None and body.metadata.get("shape_space") == "smpl":
        arrays["has_smpl"] &= _near(arrays, body, fits, max_fit_mm)
    return with_images(MucoSamples(path.parent, arrays), path, strict=strict)


def _near(arrays: dict[str, np.ndarray], body: Body, fits: Path, max_fit_mm: float) -> np.ndarray:
    """(N,) which people's fit is near their joints; none is judged of a body that lacks the regressor."""
    if H36M17.name not in body.regressors:
        warnings.warn(
            f"{fits}: its fits are taken as they are, bad ones too, for {body.name} has no regressor of "
            "Human3.6M's joints; make it again with `mpt prepare body smpl FILE --h36m-regressor FILE`",
            stacklevel=3,
        )
        return arrays["has_smpl"]
    rows = np.flatnonzero(arrays["has_smpl"])
    near = np.zeros(len(arrays["has_smpl"]), bool)
    of_fits = (arrays[key][rows] for key in ("pose", "betas", "xyz_m", "xyz_known"))
    near[rows] = fit_errors_mm(body, *of_fits) <= max_fit_mm
    if gone := len(rows) - near.sum():
        warnings.warn(
            f"{fits}: {gone:,} of {len(rows):,} fits are over {max_fit_mm:g} mm from the 3D joints; left out",
            stacklevel=3,
        )
    return near


@torch.no_grad()
def fit_errors_mm(
    body: Body, pose: np.ndarray, betas: np.ndarray, xyz_m: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """(N,) mean distances of COMPARED on SMPL (N, 24, 3), (N, 10) from MuCo's joints (N, 21, 3), their means
    put on each other; not a number where no such joint is known.
    """
    body = body.to("cpu", torch.float32)
    regressor = body.regressors[H36M17.name].to_dense()[H36M17.indices(*COMPARED)]
    touched = regressor.any(0).nonzero()[:, 0]  # some hundreds of vertices: no other is posed
    regressor, skin = regressor[:, touched], body.subset(touched)
    places = MUCO21.indices(*COMPARED)
    errors = np.zeros(len(pose))
    for start in range(0, len(pose), BATCH):
        rows = slice(start, start + BATCH)
        turns = roma.rotvec_to_rotmat(torch.from_numpy(pose[rows]).float())
        mine = regressor @ skin.forward(turns, torch.from_numpy(betas[rows]).float()).vertices
        counted = torch.from_numpy(known[rows][:, places]).float()
        apart = mine - torch.from_numpy(xyz_m[rows][:, places]).float()
        mean = (counted[..., None] * apart).sum(1, keepdim=True) / counted.sum(1)[:, None, None]
        errors[rows] = 1000 * (counted * (apart - mean).norm(dim=-1)).sum(1) / counted.sum(1)
    return errors


def _people(path: Path) -> dict[str, np.ndarray]:
    """What the JSON tells of the person of each photo whose pelvis is nearest to the camera; millimetres."""
    content = read_json(path)
    photos = field(path, lambda: {entry["id"]: entry for entry in content["images"]}, "images")
    people = field(path, lambda: _nearest(content["annotations"]), "annotations")

    def column(key: str, *shape: int) -> np.ndarray:
        return field(
            path, lambda: np.array([p[key] for p in people], np.float32).reshape(len(people), *shape), key
        )

    def of_photo(key: str) -> np.ndarray:
        return field(path, lambda: np.array([photos[p["image_id"]][key] for p in people]), key)

    return {
        "file_name": of_photo("file_name"),
        "f": of_photo("f"),
        "c": of_photo("c"),
        "id": field(path, lambda: np.array([person["id"] for person in people], np.int64), "id"),
        "bbox": column("bbox", 4),
        "keypoints_img": column("keypoints_img", 21, 2),
        "keypoints_cam": column("keypoints_cam", 21, 3),
        "keypoints_vis": column("keypoints_vis", 21),
    }


def _nearest(annotations: list[dict]) -> list[dict]:
    pelvis = MUCO21.index("pelvis")
    nearest: dict[int, dict] = {}
    for person in annotations:
        other = nearest.get(person["image_id"])
        if other is None or person["keypoints_cam"][pelvis][2] < other["keypoints_cam"][pelvis][2]:
            nearest[person["image_id"]] = person
    return list(nearest.values())


def _fits(fits: Path) -> dict[str, np.ndarray]:
    """SMPL pose (F, 24, 3) and betas (F, 10) by annotation id (F,); none where the file is not there."""
    entries = read_json(fits) if fits.exists() else {}

    def column(key: str, *shape: int) -> np.ndarray:
        return field(
            fits,
            lambda: np.array([e[key] for e in entries.values()], np.float32).reshape(len(entries), *shape),
            key,
        )

    betas = column("shape", 10)
    return {
        "fit_id": field(fits, lambda: np.array([int(key) for key in entries], np.int64), "ids"),
        "fit_pose": column("pose", 24, 3),
        "fit_betas": np.where((np.abs(betas) <= MAX_BETA).all(1, keepdims=True), betas, 0),
    }

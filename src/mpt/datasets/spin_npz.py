"""The .npz annotation files of SPIN and of those who follow it: the usual form of Human3.6M and MPI-INF-3DHP.

Keys: ``imgname`` (N,) paths; ``center`` (N, 2) px and ``scale`` (N,), the box's side over 200 px; ``part``
(N, J, 3) x, y in px and 1 where known; ``S`` (N, J, 4) x, y, z in metres, camera axes, and 1 where known;
perhaps SMPL ``pose`` (N, 72) axis-angle with its root in camera axes, ``shape`` (N, 10), ``has_smpl`` (N,),
``gender`` (N,) m or f. J is 24 for SPIN's joint set, or 17 in the data set's own order (MMPose).

Source: the preprocessing scripts of nkolot/SPIN and of open-mmlab/mmpose.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpt.crops import Crop
from mpt.datasets.files import finite, first_of, read_npz, with_images, with_shape
from mpt.datasets.sample import BodyParameters, Joints3D, Keypoints, Sample, Samples
from mpt.errors import InputError
from mpt.skeletons import Skeleton

# SPIN's 24 ground-truth joints. Its neck, jaw and head hold Human3.6M's thorax, nose and top of the head,
# and are called so here, as in ``mpt.skeletons.H36M17``.
SPIN24 = Skeleton(
    "spin24",
    (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
        "thorax", "lsp_head_top", "pelvis", "mpii_thorax", "spine", "nose", "head_top",
        "coco_nose", "left_eye", "right_eye", "left_ear", "right_ear",
    ),
    (1, 2, 14, 14, 3, 4, 7, 8, 12, 12, 9, 10, 16, 12, -1, 12, 14, 12, 17, 17, 19, 19, 20, 21),
)  # fmt: skip


@dataclass(frozen=True)
class SpinSamples(Samples):
    """Rows of such a file."""

    dataset: str
    folder: Path
    skeleton: Skeleton
    arrays: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.arrays["imgname"])

    def image(self, index: int) -> Path:
        return self.folder / str(self.arrays["imgname"][index])

    def __getitem__(self, index: int) -> Sample:
        index = self.checked(index)
        row = {key: array[index] for key, array in self.arrays.items()}
        x, y = row["center"]
        subject, sequence, frame = self.origin(index)
        return Sample(
            self.dataset,
            self.image(index),
            Crop((float(x), float(y)), float(row["scale"]) * 200),
            keypoints=Keypoints(self.skeleton, row["part"], row["part_known"] * 1.0)
            if "part" in row
            else None,
            joints=Joints3D(self.skeleton, row["S"], row["S_known"]) if "S" in row else None,
            parameters=self._parameters(row),
            intrinsics=self.intrinsics(index),
            subject=subject,
            sequence=sequence,
            frame=frame,
        )

    def origin(self, index: int) -> tuple[str, str, int]:
        """Subject, sequence and frame, read from the photo's name."""
        raise NotImplementedError

    def intrinsics(self, index: int) -> np.ndarray | None:
        """(3, 3) pixels, where the photo's name tells the camera."""
        return None

    def _parameters(self, row: dict) -> BodyParameters | None:
        if "pose" not in row or not row.get("has_smpl", True):
            return None
        gender = {"m": "male", "f": "female"}.get(str(row.get("gender", "")), "neutral")
        return BodyParameters("smpl", row["pose"].reshape(24, 3), row["shape"], gender)


def read_spin(
    kind: type[SpinSamples],
    dataset: str,
    path: Path,
    image_folders: tuple[Path, ...],
    own_skeleton: Skeleton,
    *,
    strict: bool,
) -> Samples:
    """Samples of one file. Photos lie in the first of ``image_folders`` that holds the first photo.

    Raises InputError for a file that is missing, cut short, of other shapes, or without its photos.
    """
    optional = ("part", "S", "pose", "shape", "has_smpl", "gender")
    arrays = read_npz(path, ("imgname", "center", "scale"), optional)
    if arrays["imgname"].ndim != 1 or not len(arrays["imgname"]):
        raise InputError(f"{path}: holds no samples; download or make it again")
    count = len(arrays["imgname"])
    with_shape(path, "center", arrays["center"], count, 2)
    with_shape(path, "scale", arrays["scale"], count)
    skeleton = own_skeleton
    for key, size in (("part", 3), ("S", 4)):
        if key in arrays:
            with_shape(path, key, arrays[key], count, None, size)
            skeleton = _skeleton(path, key, arrays[key].shape[1], own_skeleton)
            arrays[key], arrays[f"{key}_known"] = _split(path, key, arrays[key], strict)
    if ("pose" in arrays) != ("shape" in arrays):
        raise InputError(f"{path}: has SMPL's pose or shape without the other; make it again with both")
    for key in {"has_smpl", "gender"} & arrays.keys():
        if arrays[key].size != count:
            raise InputError(
                f"{path}: its {key} has {arrays[key].size:,} entries for {count:,} samples; make it again"
            )
        arrays[key] = arrays[key].reshape(count)
    if "pose" in arrays:
        with_shape(path, "pose", arrays["pose"], count, 72)
        with_shape(path, "shape", arrays["shape"], count, 10)
        known = arrays.get("has_smpl", np.ones(count)).astype(bool)
        arrays["pose"], known = finite(path, "SMPL poses", arrays["pose"], known, strict=strict)
        arrays["shape"], arrays["has_smpl"] = finite(
            path, "SMPL shapes", arrays["shape"], known, strict=strict
        )
    first = str(arrays["imgname"][0])
    folder = next((folder for folder in image_folders if (folder / first).exists()), image_folders[0])
    placed = np.isfinite(np.column_stack([arrays["center"], arrays["scale"]])).all(1)
    return with_images(kind(dataset, folder, skeleton, arrays), path, strict=strict, placed=placed)


def find_npz(folder: Path, names: tuple[str, ...], what: str) -> Path:
    """An annotation file in the data set's folder or in the usual ones beside the photos."""
    places = ("", "annotations/", "dataset_extras/", "annotation_body3d/", "annotation_body3d/fps50/")
    return first_of(folder, *(place + name for name in names for place in places), what=what)


def _skeleton(path: Path, key: str, joints: int, own: Skeleton) -> Skeleton:
    if joints == len(SPIN24):
        return SPIN24
    if joints == len(own):
        return own
    raise InputError(
        f"{path}: its {key} has {joints} joints, {len(SPIN24)} (SPIN) or {len(own)} ({own.name}) were "
        "expected; make it again with one of these"
    )


def _split(path: Path, key: str, values: np.ndarray, strict: bool) -> tuple[np.ndarray, np.ndarray]:
    """(N, J, D + 1) -> values (N, J, D) float32, known (N, J)."""
    name = "2D joints" if key == "part" else "3D joints"
    return finite(path, name, values[..., :-1].astype(np.float32), values[..., -1] > 0, strict=strict)

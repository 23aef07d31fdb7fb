"""UP-3D (Lassner et al., Unite the People, CVPR 2017), the official files.

    FOLDER/train.txt, val.txt, trainval.txt, test.txt   lines such as /00000_image.png
    FOLDER/00000_image.png      the whole photo
    FOLDER/00000_joints.npy     (3, 14) LSP's joints: x, y in px of that photo, and 1 where known
    FOLDER/00000_body.pkl       neutral SMPL: pose (72) with its root in camera axes, betas (10)

FOLDER is the unzipped up-3d, or the folder that holds it. The fits' camera (5000 px focal length, the photo
cropped and scaled) is left aside. The crop is that of the 2D joints, as for a detector's; the lineage takes
the box of the rendered fit.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpt.bodies import pickles
from mpt.crops import Crop
from mpt.datasets.files import field, finite, first_of, one_of, read_npy, with_images, with_shape
from mpt.datasets.sample import BodyParameters, Keypoints, Sample, Samples
from mpt.errors import InputError
from mpt.skeletons import LSP14

NAME = "up3d"
SPLITS = {
    "train": "train.txt",
    "validation": "val.txt",
    "train+validation": "trainval.txt",
    "test": "test.txt",
}
SUFFIX = "_image.png"


@dataclass(frozen=True)
class Up3dSamples(Samples):
    """Joints and fits are small files of their own, read when a sample is asked for."""

    folder: Path
    ids: list[str]
    strict: bool
    dataset: str = NAME

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> Path:
        return self.folder / f"{self.ids[index]}{SUFFIX}"

    def __getitem__(self, index: int) -> Sample:
        name = self.ids[self.checked(index)]
        path = self.folder / f"{name}_joints.npy"
        joints = with_shape(path, "joints", read_npy(path), 3, 14)
        xy, known = finite(path, "2D joints", joints[:2].T, joints[2] > 0, strict=self.strict)
        if not known.any():
            raise InputError(f"{path}: knows none of the joints; unzip UP-3D again")
        confidence = np.where(known, joints[2].clip(0, 1), 0)
        return Sample(
            self.dataset,
            self.folder / f"{name}{SUFFIX}",
            Crop.around(xy[known]),
            keypoints=Keypoints(LSP14, xy, confidence),
            parameters=_fit(self.folder / f"{name}_body.pkl", strict=self.strict),
            sequence=name,
        )


def read(folder: str | Path, split: str = "train", *, strict: bool = False) -> Samples:
    """Splits: train, validation, train+validation, test. ``strict`` as for Human3.6M."""
    name = one_of(split, SPLITS, "UP-3D")
    path = first_of(Path(folder), name, f"up-3d/{name}", what="UP-3D's files")
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is no list of photos ({error}); unzip UP-3D again") from None
    ids = [Path(line).name.removesuffix(SUFFIX) for line in lines]
    return with_images(Up3dSamples(path.parent, ids, strict), path, strict=strict)


def _fit(path: Path, *, strict: bool) -> BodyParameters:
    fit = pickles.read(path)
    pose = field(path, lambda: np.asarray(fit["pose"], np.float32).reshape(24, 3), "pose")
    betas = field(path, lambda: np.asarray(fit["betas"], np.float32).reshape(10), "betas")
    finite(
        path, "SMPL parameters", np.concatenate([pose.ravel(), betas])[None], np.ones(1, bool), strict=strict
    )
    return BodyParameters("smpl", pose, betas)

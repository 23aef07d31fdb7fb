"""Human3.6M (Ionescu et al., PAMI 2014) in the .npz form of SPIN or MMPose.

    FOLDER/h36m_train.npz              S1, S5, S6, S7, S8
    FOLDER/h36m_valid_protocol2.npz    S9, S11, frontal camera 60457274; ..._protocol1.npz: all four cameras
    FOLDER/images/S9_Directions_1.60457274_000001.jpg, or in folders as MMPose writes them

The official archive holds videos and CDF files, from which SPIN's or MMPose's scripts make the above. SPIN's
3D joints are about the pelvis, MMPose's are not; 2D joints and photos keep the lens's distortion. MMPose
writes all cameras into one h36m_test.npz, of which ``test`` takes the frontal one.
"""

import re
from pathlib import Path

import numpy as np

from mpt.datasets.files import one_of
from mpt.datasets.sample import Samples, Subset
from mpt.datasets.spin_npz import SpinSamples, find_npz, read_spin
from mpt.errors import InputError
from mpt.skeletons import H36M17

NAME = "human36m"
FRONTAL = "60457274"
SPLITS = {
    "train": ("h36m_train.npz",),
    "test": ("h36m_valid_protocol2.npz", "h36m_test.npz"),
    "test-all-cameras": ("h36m_valid_protocol1.npz", "h36m_test.npz"),
}
PHOTO = re.compile(r"(S\d+)_(.+)_(\d+)\.\w+$")


class Human36M(SpinSamples):
    def origin(self, index: int) -> tuple[str, str, int]:
        """The sequence's name ends in the camera's number: ``Directions_1.60457274``."""
        found = PHOTO.search(self.image(index).name)
        return (found[1], found[2], int(found[3])) if found else ("", "", -1)


def read(folder: str | Path, split: str = "train", *, strict: bool = False) -> Samples:
    """Splits: train, test (protocol 2 of the mesh papers: frontal camera), test-all-cameras.

    strict: refuse missing photos and numbers that are not finite, instead of leaving them out with a warning.
    """
    folder = Path(folder)
    path = find_npz(
        folder, one_of(split, SPLITS, "Human3.6M"), "the Human3.6M annotations made by SPIN's scripts"
    )
    samples = read_spin(Human36M, NAME, path, (folder, folder / "images"), H36M17, strict=strict)
    if split != "test":
        return samples
    frontal = [index for index in range(len(samples)) if f".{FRONTAL}_" in samples.image(index).name]
    if not frontal:
        raise InputError(f"{path}: has no photo of the frontal camera {FRONTAL}; use split test-all-cameras")
    return samples if len(frontal) == len(samples) else Subset(samples, np.array(frontal))

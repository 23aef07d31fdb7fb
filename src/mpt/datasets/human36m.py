"""Human3.6M (Ionescu et al., PAMI 2014), in JSON form with SMPL fits, or in the .npz form of SPIN or MMPose.

    FOLDER/annotations/Human36M_subject1_data.json, ...   see ``mpt.datasets.human36m_json``

    FOLDER/h36m_train.npz              S1, S5, S6, S7, S8
    FOLDER/h36m_valid_protocol2.npz    S9, S11, frontal camera 60457274; ..._protocol1.npz: all four cameras
    FOLDER/images/S9_Directions_1.60457274_000001.jpg, or in folders as MMPose writes them

The official archive holds videos and CDF files, from which the authors of 3DMPPE made the JSON files, and
SPIN's or MMPose's scripts make the others. Where a folder holds both, training takes the JSON form, for it
alone comes with SMPL parameters, without which no loss of meshes is fed; tests take the .npz form, whose
photos are those of the mesh papers (the JSON form's are every 64th of a film).

SPIN's 3D joints are about the pelvis, MMPose's are not; 2D joints and photos keep the lens's distortion. The
camera is known by its number in the photo's name. MMPose writes all cameras into one h36m_test.npz, of which
``test`` takes the frontal one.
"""

import re
from pathlib import Path

import numpy as np

from mpt.bodies import Body
from mpt.cameras import H36M_CAMERAS, h36m_intrinsics
from mpt.datasets import human36m_json
from mpt.datasets.files import AbsentError, one_of
from mpt.datasets.fits import MAX_FIT_MM
from mpt.datasets.sample import Samples, Subset
from mpt.datasets.spin_npz import SpinSamples, find_npz, read_spin
from mpt.errors import InputError
from mpt.skeletons import H36M17

NAME = "human36m"
FRONTAL = H36M_CAMERAS[-1]
SPLITS = {
    "train": ("h36m_train.npz",),
    "test": ("h36m_valid_protocol2.npz", "h36m_test.npz"),
    "test-all-cameras": ("h36m_valid_protocol1.npz", "h36m_test.npz"),
}
SUBJECTS = {
    "train": human36m_json.TRAINING,
    "test": human36m_json.TEST,
    "test-all-cameras": human36m_json.TEST,
}
PHOTO = re.compile(r"(S\d+)_(.+)_(\d+)\.\w+$")


class Human36M(SpinSamples):
    def origin(self, index: int) -> tuple[str, str, int]:
        """The sequence's name ends in the camera's number: ``Directions_1.60457274``."""
        found = PHOTO.search(self.image(index).name)
        return (found[1], found[2], int(found[3])) if found else ("", "", -1)

    def intrinsics(self, index: int) -> np.ndarray | None:
        camera = self.origin(index)[1].rpartition(".")[2]
        return h36m_intrinsics(camera) if camera in H36M_CAMERAS else None


def read(
    folder: str | Path,
    split: str = "train",
    *,
    strict: bool = False,
    body: Body | None = None,
    max_fit_mm: float = MAX_FIT_MM,
) -> Samples:
    """Splits: train, test (protocol 2 of the mesh papers: frontal camera), test-all-cameras.

    strict: refuse missing photos and numbers that are not finite, instead of leaving them out with a warning.
    body: an SMPL with Human3.6M's regressor; fits of the JSON form that are farther than ``max_fit_mm`` from
    the 3D joints are left out. No other body can tell, and keeps them all.

    The JSON form takes minutes and some gigabytes to parse, the first time.
    """
    folder = Path(folder)
    names = one_of(split, SPLITS, "Human3.6M")
    what = "Human3.6M's annotations, Human36M_subject*_*.json or SPIN's .npz,"
    in_json = human36m_json.lies_in(folder, SUBJECTS[split])
    try:
        path = None if in_json and split == "train" else find_npz(folder, names, what)
    except AbsentError:
        if not in_json:
            raise
        path = None
    if path is None:
        return human36m_json.read(
            NAME, folder, SUBJECTS[split], frontal=split == "test", strict=strict, body=body,
            max_fit_mm=max_fit_mm,
        )  # fmt: skip
    samples = read_spin(Human36M, NAME, path, (folder, folder / "images"), H36M17, strict=strict)
    if split != "test":
        return samples
    frontal = [index for index in range(len(samples)) if f".{FRONTAL}_" in samples.image(index).name]
    if not frontal:
        raise InputError(f"{path}: has no photo of the frontal camera {FRONTAL}; use split test-all-cameras")
    return samples if len(frontal) == len(samples) else Subset(samples, np.array(frontal))

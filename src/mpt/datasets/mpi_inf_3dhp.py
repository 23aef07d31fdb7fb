"""MPI-INF-3DHP (Mehta et al., 3DV 2017) in the .npz form of SPIN or MMPose.

    FOLDER/mpi_inf_3dhp_train.npz, FOLDER/mpi_inf_3dhp_valid.npz (or _test.npz)
    FOLDER/S1/Seq1/imageFrames/video_0/frame_000001.jpg                      training
    FOLDER/mpi_inf_3dhp_test_set/TS1/imageSequence/img_000001.jpg            test

Photos are frames that the scripts cut out of the official videos. SPIN's 3D joints are about the pelvis.
MMPose names its files mpi_inf_3dhp_*.npz too, with 17 joints and photos in FOLDER/images.
"""

import re
from pathlib import Path

from mpt.datasets.files import one_of
from mpt.datasets.sample import Samples
from mpt.datasets.spin_npz import SpinSamples, find_npz, read_spin
from mpt.skeletons import Skeleton

NAME = "mpi_inf_3dhp"
SPLITS = {
    "train": ("mpi_inf_3dhp_train.npz",),
    "test": ("mpi_inf_3dhp_valid.npz", "mpi_inf_3dhp_test.npz", "mpi_inf_3dhp_test_valid.npz"),
}
PHOTO = re.compile(r"(T?S\d+).*?_?(\d+)\.\w+$")

# Its neck lies where Human3.6M's thorax does, its head where Human3.6M's nose does.
MPI17 = Skeleton(
    "mpi_inf_3dhp17",
    (
        "head_top", "thorax", "right_shoulder", "right_elbow", "right_wrist",
        "left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle",
        "left_hip", "left_knee", "left_ankle", "pelvis", "spine", "nose",
    ),
    (16, 15, 1, 2, 3, 1, 5, 6, 14, 8, 9, 14, 11, 12, -1, 14, 1),
)  # fmt: skip


class MpiInf3dhp(SpinSamples):
    def origin(self, index: int) -> tuple[str, str, int]:
        name = str(self.arrays["imgname"][index])
        found = PHOTO.search(name)
        return (found[1], str(Path(name).parent), int(found[2])) if found else ("", "", -1)


def read(folder: str | Path, split: str = "train", *, strict: bool = False) -> Samples:
    """Splits: train (S1 to S8), test (TS1 to TS6). ``strict`` as for Human3.6M."""
    folder = Path(folder)
    names = one_of(split, SPLITS, "MPI-INF-3DHP")
    path = find_npz(folder, names, "the MPI-INF-3DHP annotations made by SPIN's scripts")
    return read_spin(MpiInf3dhp, NAME, path, (folder, folder / "images"), MPI17, strict=strict)

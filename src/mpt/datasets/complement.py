"""Complement (Chen et al., MobRecon, CVPR 2022): rendered hands in 1,520 poses, uniform over poses and views.

    FOLDER/**/pic256/VIEW/NAME.NUMBER.png   256 px pictures
    FOLDER/**/model_mano/NUMBER.obj         their meshes, 778 vertices of MANO, in camera axes
    FOLDER/j_reg.npy                        optional: (21 or more, 778), template/j_reg.npy of MobRecon's
                                            repository, its joint regressor

FOLDER holds base_pose and what was published of trans_pose, which lies between these. Pictures show left
hands; everything here is of their mirror image, a right hand, as in MobRecon. One camera serves all. The set
has no description beyond MobRecon's loader, from which this is taken. As published, that leaves no picture
out (before, it left out those with 215 in their name), and there is no file of shapes. Meshes are in metres,
as their author says (issue 52 of SeanChenxy/HandMesh); one of another size than a hand is refused.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpt.crops import Crop
from mpt.datasets.files import AbsentError, one_of, read_npy
from mpt.datasets.sample import Joints3D, Keypoints, Sample, Samples, project
from mpt.errors import InputError
from mpt.skeletons import HAND21, Skeleton, remap

NAME = "complement"
VERTICES = 778
SIZE_M = (0.05, 0.5)  # of a hand's mesh, between any two of its ends
MAX_WEIGHT = 10.0  # of a vertex in a joint: what is beyond it is no regressor
INTRINSICS = np.array([[373.3511425, 0, 128], [0, 373.3511425, 128], [0, 0, 1]])

# The order of MANO's joints, with the five finger tips behind, in which the regressor's rows stand.
MANO21 = Skeleton(
    "mano21",
    (
        "wrist",
        *(f"{finger}{k}" for finger in ("index", "middle", "pinky", "ring", "thumb") for k in (1, 2, 3)),
        "index4", "middle4", "pinky4", "ring4", "thumb4",
    ),
    (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14, 3, 6, 9, 12, 15),
)  # fmt: skip


@dataclass(frozen=True)
class ComplementSamples(Samples):
    pictures: list[Path]
    regressor: np.ndarray | None
    dataset: str = NAME

    def __len__(self) -> int:
        return len(self.pictures)

    def image(self, index: int) -> Path:
        return self.pictures[index]

    def __getitem__(self, index: int) -> Sample:
        picture = self.image(self.checked(index))
        vertices = read_vertices(mesh_of(picture))
        keypoints = joints = None
        if self.regressor is not None:
            xyz = (self.regressor @ vertices)[remap(MANO21, HAND21)]
            joints = Joints3D(HAND21, xyz, np.ones(21, bool))
            keypoints = Keypoints(HAND21, project(xyz, INTRINSICS), np.ones(21))
        return Sample(
            self.dataset,
            picture,
            Crop.around(project(vertices, INTRINSICS)),
            keypoints=keypoints,
            joints=joints,
            vertices_m=vertices,
            intrinsics=INTRINSICS,
            sequence=str(picture.parent),
            mirrored=True,
        )


def read(folder: str | Path, split: str = "train", *, strict: bool = False) -> Samples:
    """The one split is train. A mesh is read when its sample is asked for; a picture without is refused."""
    folder = Path(folder)
    one_of(split, {"train": None}, "Complement")
    pictures = sorted(folder.glob("**/pic256/**/*.png"))
    if not pictures:
        raise AbsentError(f"{folder}: has no pic256 folder with pictures; give Complement's unzipped folder")
    meshes = {picture: mesh_of(picture) for picture in pictures}
    present = {mesh for parent in {m.parent for m in meshes.values()} for mesh in parent.glob("*.obj")}
    if absent := [mesh for mesh in meshes.values() if mesh not in present]:
        raise InputError(
            f"{folder}: {len(absent):,} pictures have no mesh, as {absent[0]}; unzip all of Complement"
        )
    regressor = read_npy(folder / "j_reg.npy") if (folder / "j_reg.npy").exists() else None
    if regressor is not None and (
        regressor.dtype.kind not in "iuf"
        or regressor.ndim != 2
        or len(regressor) < 21
        or regressor.shape[1] != VERTICES
        or not (np.abs(regressor) < MAX_WEIGHT).all()
    ):
        raise InputError(
            f"{folder / 'j_reg.npy'}: is {regressor.dtype} of {regressor.shape}, not 21 or more x {VERTICES} "
            "weights; take MobRecon's"
        )
    return ComplementSamples(pictures, None if regressor is None else regressor[:21])


def mesh_of(picture: Path) -> Path:
    """.../pic256/VIEW/NAME.NUMBER.png -> .../model_mano/NUMBER.obj"""
    parts = picture.name.split(".")
    if len(parts) < 3 or not parts[1].isdigit():
        raise InputError(
            f"{picture}: is not named NAME.NUMBER.png as Complement's pictures are; give its own folder"
        )
    below = Path(*("model_mano" if part == "pic256" else part for part in picture.parent.parent.parts))
    return below / f"{int(parts[1])}.obj"


def read_vertices(path: Path) -> np.ndarray:
    """(778, 3) metres of an OBJ file, mirrored, camera axes."""
    try:
        lines = path.read_text().splitlines()
        vertices = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], np.float32)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as an OBJ mesh ({error}); unzip Complement again") from None
    if vertices.shape != (VERTICES, 3) or not np.isfinite(vertices).all():
        raise InputError(
            f"{path}: has {len(vertices)} vertices, {VERTICES} finite ones were expected; unzip it again"
        )
    size = float(np.ptp(vertices, axis=0).max())
    if not SIZE_M[0] < size < SIZE_M[1]:
        raise InputError(
            f"{path}: the hand is {size:.3g} long, metres were expected; tell the authors of this reader"
        )
    return vertices * np.array([-1, 1, 1], np.float32)

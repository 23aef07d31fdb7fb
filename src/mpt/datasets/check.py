"""The data sets by name: how to read them, where they come from, and whether a folder holds them whole."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from mpt.datasets import (
    coco,
    complement,
    emdb,
    freihand,
    human36m,
    human36m_json,
    mpi_inf_3dhp,
    mpii,
    muco3dhp,
    rendered,
    tdpw,
    up3d,
)
from mpt.datasets.files import AbsentError
from mpt.datasets.sample import Sample, Samples
from mpt.errors import InputError

Read = Callable[..., Samples]


@dataclass(frozen=True)
class Extra:
    """Files without which a data set can be read, but knows less.

    ``files`` are patterns below its folder, any of which will do; ``use`` says what for.
    """

    files: tuple[str, ...]
    use: str
    source: str

    def lies_in(self, folder: Path) -> bool:
        return any(any(folder.glob(pattern)) for pattern in self.files)

    @property
    def advice(self) -> str:
        """What is missing, and where to get it."""
        return f"no {' or '.join(self.files)}; get it from {self.source}"


@dataclass(frozen=True)
class DataSet:
    """A data set that can be read.

    ``read(folder, split, strict=False)`` gives its samples; ``source`` names the official page,
    ``annotations`` who makes the annotation files where the page does not, ``extras`` what is optional.
    """

    title: str
    read: Read
    splits: tuple[str, ...]
    source: str
    annotations: str = ""
    extras: tuple[Extra, ...] = ()

    @property
    def advice(self) -> str:
        """Where to get it, in a sentence."""
        made = f", with annotations {self.annotations}" if self.annotations else ""
        return f"get it from {self.source}{made}"


SPIN = "made by the preprocessing scripts of SPIN (nkolot/SPIN on GitHub) or of MMPose"
OF_MESHES = "SMPL parameters, for the loss of vertices"
I2L = "the page of I2L-MeshNet (mks0601 on GitHub)"
NEURALANNOT = "the page of NeuralAnnot (mks0601 on GitHub)"

DATASETS = {
    human36m.NAME: DataSet(
        "Human3.6M", human36m.read, tuple(human36m.SPLITS), "the Human3.6M site (vision.imar.ro)",
        f"in the JSON form of I2L-MeshNet (mks0601 on GitHub), or {SPIN}",
        (
            Extra(
                tuple(f"annotations/Human36M_subject*_{kind}.json" for kind in human36m_json.FITS),
                OF_MESHES, f"{I2L}, with Human36M_subject*_{{data,camera,joint_3d}}.json, or of NeuralAnnot",
            ),
        ),
    ),
    mpi_inf_3dhp.NAME: DataSet(
        "MPI-INF-3DHP", mpi_inf_3dhp.read, tuple(mpi_inf_3dhp.SPLITS),
        "the MPI-INF-3DHP page of the Max Planck Institute for Informatics (vcai.mpi-inf.mpg.de)", SPIN,
    ),
    muco3dhp.NAME: DataSet(
        "MuCo-3DHP", muco3dhp.read, ("train",),
        "the page of Single-Shot Multi-Person 3D Pose Estimation (vcai.mpi-inf.mpg.de)",
        "and composites as the authors of I2L-MeshNet (mks0601 on GitHub) give them",
        (Extra((muco3dhp.FITS, f"data/{muco3dhp.FITS}"), OF_MESHES, I2L),),
    ),
    up3d.NAME: DataSet(
        "UP-3D", up3d.read, tuple(up3d.SPLITS), "the page of Unite the People (MPI for Intelligent Systems)"
    ),
    coco.NAME: DataSet(
        "COCO keypoints", coco.read, tuple(coco.SPLITS), "the COCO site (cocodataset.org)",
        extras=(
            Extra(tuple(f"annotations/{name}" for name in coco.FITS), OF_MESHES, f"{I2L} or of NeuralAnnot"),
        ),
    ),
    mpii.NAME: DataSet(
        "MPII Human Pose", mpii.read, tuple(mpii.SPLITS),
        "the MPII Human Pose site of the Max Planck Institute for Informatics",
        "in the JSON form of HRNet's authors (leoxiaobin on GitHub)",
        (Extra((f"annotations/{mpii.FITS}",), OF_MESHES, f"{NEURALANNOT}, with its {mpii.COUNTED}"),),
    ),
    tdpw.NAME: DataSet(
        "3DPW", tdpw.read, tuple(tdpw.SPLITS), "the 3DPW site (virtualhumans.mpi-inf.mpg.de/3DPW)"
    ),
    emdb.NAME: DataSet(
        "EMDB", emdb.read, tuple(emdb.SPLITS),
        "EMDB's site of ETH Zurich (eth-ait.github.io/emdb), which asks for registration",
    ),
    freihand.NAME: DataSet(
        "FreiHAND", freihand.read, tuple(freihand.SPLITS),
        "the FreiHAND page of the University of Freiburg (lmb.informatik.uni-freiburg.de)",
        extras=tuple(
            Extra((name,), f"{what} of the split test, for its scores", f"its {freihand.LABELS_ARCHIVE}")
            for name, what in zip(freihand.LABELS, ("joints", "vertices"))
        ),
    ),
    complement.NAME: DataSet(
        "Complement", complement.read, ("train",), "MobRecon's repository (SeanChenxy/HandMesh on GitHub)",
        extras=(
            Extra(
                ("j_reg.npy",), "joints, for the losses of joints",
                "the folder template of MobRecon's repository",
            ),
        ),
    ),
    rendered.NAME: DataSet(
        "Rendered pictures", rendered.read, rendered.SPLITS, "`mpt prepare rendered`, which makes it"
    ),
}  # fmt: skip


@dataclass(frozen=True)
class SplitReport:
    """What a folder holds of a split: samples with their photo, and why there are none or fewer."""

    split: str
    samples: int = 0
    knows: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    absent: bool = False
    """No annotation file of it is there, which is no fault where only other splits are wanted."""


@dataclass(frozen=True)
class Report:
    """What a folder holds of a data set."""

    name: str
    folder: Path
    splits: tuple[SplitReport, ...]
    missing: tuple[Extra, ...] = ()
    """What is optional and not there."""

    @property
    def whole(self) -> bool:
        """Every split is there, and nothing is missing of any."""
        return not any(split.problems for split in self.splits)

    def table(self) -> Table:
        """For people: a line for each split and each optional part, and where to get what is missing."""
        data_set = DATASETS[self.name]
        table = Table(title=f"{data_set.title} in {self.folder}", title_justify="left")
        for column in ("split", "samples", "known of each", "missing"):
            table.add_column(column, justify="right" if column == "samples" else "left", overflow="fold")
        for split in self.splits:
            missing = "\n".join(split.problems) or "nothing"
            table.add_row(split.split, f"{split.samples:,}", ", ".join(split.knows), missing)
        table.add_section()
        for extra in self.missing:
            table.add_row("optional", "", extra.use, extra.advice)
        table.caption = None if self.whole else data_set.advice
        return table


def read(name: str, folder: str | Path, split: str = "train", *, strict: bool = False) -> Samples:
    """Samples of a data set by its name."""
    return named(name).read(folder, split, strict=strict)


def named(name: str) -> DataSet:
    if name not in DATASETS:
        raise InputError(f"there is no data set {name!r}; choose one of {', '.join(DATASETS)}")
    return DATASETS[name]


def check(name: str, folder: str | Path, *, strict: bool = False) -> Report:
    """Read every split of a data set in a folder, and make the first sample of each.

    Raises InputError where no split can be read, with where to get the data set; ``strict``: where a split
    that is there is broken, lacks photos, or has numbers that are not finite.
    """
    data_set, folder = named(name), Path(folder)
    splits = tuple(_split(data_set, folder, split) for split in data_set.splits)
    present = [split for split in splits if not split.absent]
    if not any(split.samples for split in splits):
        problem = (present or splits)[0].problems[0]
        raise InputError(f"{problem} ({data_set.title}: {data_set.advice})")
    if strict and (faults := [problem for split in present for problem in split.problems]):
        raise InputError(faults[0])
    return Report(name, folder, splits, tuple(e for e in data_set.extras if not e.lies_in(folder)))


def _split(data_set: DataSet, folder: Path, split: str) -> SplitReport:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            samples = data_set.read(folder, split)
            first = samples[0]
        except InputError as error:
            return SplitReport(split, problems=(str(error),), absent=isinstance(error, AbsentError))
    return SplitReport(split, len(samples), _knows(first), tuple(str(warning.message) for warning in caught))


def _knows(sample: Sample) -> tuple[str, ...]:
    parts = {
        "2D joints": sample.keypoints,
        "3D joints": sample.joints,
        f"{sample.parameters.model.upper()} parameters" if sample.parameters else "": sample.parameters,
        "vertices": sample.vertices_m,
        "camera": sample.intrinsics,
    }
    return tuple(part for part, value in parts.items() if value is not None)

"""Motion: one person's movement on the skeleton it was captured on, in this package's axes and units."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import roma
import torch

from mpt.errors import InputError

LARGEST = 1e6  # of any number: nobody is so many metres away or turned so often


@dataclass(frozen=True, eq=False)
class Motion:
    """A moving skeleton of J joints over T frames (float64; metres, radians, frames per second).

    World: right-handed, y up; in the rest pose the person faces +z and their left is +x. ``rotvec`` are
    local rotations relative to the rest pose, in which all joint frames are parallel to the world axes
    (as in SMPL): ``G_j = G_parent R_j`` and ``p_j = p_parent + G_parent offset_j``.

    Raises InputError where shapes disagree, a joint stands before its parent, a name occurs twice,
    or a number is not finite or beyond a million.
    """

    name: str
    subject: str  # who moves: training and validation are split by it
    fps: float
    joints: tuple[str, ...]
    parents: np.ndarray  # (J,) int, a parent before its children, -1 for the one root
    offsets: np.ndarray  # (J, 3) rest vector from the parent; the root's is not used
    rotvec: np.ndarray  # (T, J, 3) local rotations, axis-angle
    trans: np.ndarray  # (T, 3) position of the root
    betas: np.ndarray | None = None  # (16,) SMPL-H shape, where the file knows it
    gender: str | None = None  # female, male or neutral, where the file knows it
    joint_map: Mapping[str, str] = field(default_factory=dict)  # joints of limbs, where somebody told them

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "fps", float(self.fps))
        put(self, "joints", tuple(str(joint) for joint in self.joints))
        put(self, "parents", np.asarray(self.parents, dtype=np.int64))
        for name in ("offsets", "rotvec", "trans", "betas"):
            value = getattr(self, name)
            put(self, name, None if value is None else np.asarray(value, dtype=np.float64))
        self._check()

    def __len__(self) -> int:
        return len(self.rotvec)

    @property
    def seconds(self) -> float:
        return len(self) / self.fps

    def global_rotations(self) -> np.ndarray:
        """(T, J, 3, 3) world rotation of each joint since the rest pose."""
        rotations = roma.rotvec_to_rotmat(torch.from_numpy(self.rotvec)).numpy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                rotations[:, joint] = rotations[:, parent] @ rotations[:, joint]
        return rotations

    def positions(self) -> np.ndarray:
        """(T, J, 3) world position of each joint, metres."""
        rotations = self.global_rotations()
        positions = np.empty_like(self.rotvec)
        for joint, parent in enumerate(self.parents):
            positions[:, joint] = (
                self.trans
                if parent < 0
                else positions[:, parent] + rotations[:, parent] @ self.offsets[joint]
            )
        return positions

    def resampled(self, fps: float) -> "Motion":
        """The same motion at another frame rate: local rotations by slerp, the root on straight lines."""
        if not (np.isfinite(fps) and fps > 0):
            raise InputError(f"cannot resample to {fps} frames per second, give a number above 0")
        last = len(self) - 1
        steps = np.floor(last * fps / self.fps + 1e-6)
        when = np.minimum(np.arange(int(steps) + 1) * (self.fps / fps), last)
        before = np.minimum(when.astype(np.int64), max(last - 1, 0))
        after = np.minimum(before + 1, last)
        part = (when - before)[:, None]

        start, end = (torch.from_numpy(self.rotvec[index]) for index in (before, after))
        turn = roma.rotvec_composition((roma.rotvec_inverse(start), end))
        rotvec = roma.rotvec_composition((start, turn * torch.from_numpy(part)[..., None])).numpy()
        trans = self.trans[before] * (1 - part) + self.trans[after] * part
        return replace(self, fps=fps, rotvec=rotvec, trans=trans)

    def _check(self) -> None:
        joints, frames = len(self.joints), len(self.rotvec)
        expected = {"parents": (joints,), "offsets": (joints, 3), "rotvec": (frames, joints, 3)}
        expected |= {"trans": (frames, 3)} | ({} if self.betas is None else {"betas": (16,)})
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                came = getattr(self, name).shape
                raise InputError(f"'{name}' has shape {came} where {shape} was expected, export it again")
            check_numbers(name, getattr(self, name), "frame" if name in ("rotvec", "trans") else "row")
        if not frames or not joints:
            raise InputError("it holds no frames, a motion of at least one was expected, export it again")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"its frame rate is {self.fps}, a number above 0 was expected, export it again")
        if len(set(self.joints)) < joints:
            twice = next(joint for joint in self.joints if self.joints.count(joint) > 1)
            raise InputError(f"two joints are called '{twice}', rename one of them")
        if self.parents[0] != -1 or not all(0 <= p < j for j, p in enumerate(self.parents[1:], 1)):
            raise InputError("one root (-1) and then parents before their children were expected, reorder it")


def check_numbers(name: str, values: np.ndarray, what: str) -> None:
    """Raise InputError for a number that is not finite or too large; ``what`` their first index counts."""
    known = np.abs(values) < LARGEST  # which NaN is not
    if not known.all():
        bad = tuple(np.argwhere(~known)[0])
        raise InputError(
            f"'{name}' holds numbers that are not finite or beyond {LARGEST:,.0f} ({values[bad]:.4g} in "
            f"{what} {bad[0] + 1}), export it again"
        )


def folder_name(path: Path) -> str:
    """The subject where files lie in a folder for each subject, as in CMU's own downloads."""
    return path.resolve().parent.name


def set_and_folder_name(path: Path) -> str:
    """The subject where such folders lie in a folder for each set, as in AMASS, where several have an 01."""
    folder = path.resolve().parent
    return f"{folder.parent.name}/{folder.name}"


def subject_of(path: Path) -> str:
    """Guess who moves: CMU's files say it before the underscore (``02_01`` is 02), others by their folder."""
    number = path.stem.partition("_")[0]
    return number if "_" in path.stem and number.isdecimal() and len(number) <= 3 else folder_name(path)

"""Motion from Acclaim files: the skeleton in an .asf, the movement in an .amc."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import roma
import torch

from mpt.errors import InputError
from mpt.mocap.motion import Motion, subject_of
from mpt.mocap.rest import metres_per_unit, turned_by_rest
from mpt.mocap.text import LARGEST, numbers, read_text
from mpt.mocap.tree import rest_positions
from mpt.mocap.upright import Up, upright

FPS = 120.0  # AMC does not say; CMU, HDM05 and what else is published in it are captured at 120 Hz
RATE_IN_NAME = re.compile(r"HDM_.*_([1-9]\d{1,2})", re.IGNORECASE)  # HDM05: HDM_bd_01-01_01_120.amc
DOF = re.compile("[tr][xyz]|l")


@dataclass
class Bone:
    """A bone of the .asf, as written; ``dof`` are the values that an .amc line holds, in order."""

    name: str
    direction: np.ndarray = field(default_factory=lambda: np.zeros(3))  # in the world's axes
    length: float = 0.0
    axis: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    axis_order: str = "xyz"
    dof: list[str] = field(default_factory=list)
    parent: int = -1


@dataclass
class AcclaimSkeleton:
    """Root first, then bones, parents before children."""

    bones: list[Bone]
    length: float  # the file's lengths are to be divided by it
    degrees: bool


def read_amc(
    path: Path,
    asf: Path | None = None,
    *,
    scale: float | None = None,
    fps: float | None = None,
    joint_map: Mapping[str, str] | None = None,
    up: Up | None = None,
) -> Motion:
    """Read an .amc and its .asf (found beside it: see ``find_asf``).

    A joint named after a bone sits at the bone's start; the end of a bone without children is ``<bone>_end``.
    A bone turns by ``C M C^-1``: C its axis, M its degrees of freedom, each about the world's axes in the
    order written; those that it lacks stay 0. ``scale`` is the length of the .asf's unit in metres; without
    it, the unit is the one that makes a person of the skeleton (see ``metres_per_unit``; CMU's is an inch
    over its ``length 0.45``). The rate is 120 where ``fps`` does not say, or what HDM05 writes at the end of
    a clip's name. ``joint_map`` and ``up`` are as for BVH.
    """
    text = read_text(path)
    asf = asf or find_asf(path)
    try:
        skeleton = _read_asf(asf)
    except InputError as error:
        raise InputError(f"its skeleton {asf.name} is no use, as {error}") from error
    values = _read_amc_values(text, skeleton)

    joints, parents, offsets = _joints(skeleton)
    rotvec, trans = _pose(skeleton, values, len(joints))
    axes, offsets, rotvec, trans = turned_by_rest(
        str(path), joints, parents, offsets, rotvec, trans, joint_map
    )
    length = skeleton.length
    unit = scale or metres_per_unit(rest_positions(parents, offsets / length)) / length
    in_name = RATE_IN_NAME.fullmatch(path.stem)
    fps = fps or (float(in_name[1]) if in_name else FPS)
    person = Motion(
        path.stem, subject_of(path), fps, joints, parents, unit * offsets, rotvec, unit * trans,
        joint_map=joint_map or {},
    )  # fmt: skip
    return upright(person, axes, str(path), up=up)


def find_asf(path: Path) -> Path:
    """The skeleton of an .amc: the one with whose name its own begins (02.asf for 02_01.amc, HDM_bd.asf for
    HDM_bd_01-01_01_120.amc; of several the longest), or the folder's only.
    """
    beside = sorted(file for file in path.parent.iterdir() if file.suffix.lower() == ".asf")
    begins = [re.escape(file.stem) + "(?![a-z0-9])" for file in beside]
    named = [file for file, begin in zip(beside, begins) if re.match(begin, path.stem, re.IGNORECASE)]
    if named or len(beside) == 1:
        return max(named or beside, key=lambda file: len(file.stem))
    expected = " or ".join(dict.fromkeys((f"{path.stem}.asf", f"{path.stem.partition('_')[0]}.asf")))
    raise InputError(
        f"it comes with {len(beside) or 'no'} skeletons of other names, {expected} was expected beside it, "
        "put it there"
    )


def _read_asf(path: Path) -> AcclaimSkeleton:
    sections = _asf_sections(read_text(path))
    units = dict(line.split()[:2] for line in sections.get("units", []) if len(line.split()) > 1)
    (length,) = numbers([units.get("length", "1")], 1, "the unit of length")
    if length <= 0:
        raise InputError(f"its unit of length is {length}, a number above 0 was expected, export it again")
    bones = [_root(sections["root"]), *_bones(sections["bonedata"])]
    return AcclaimSkeleton(
        _in_order(bones, sections["hierarchy"]),
        length,
        not units.get("angle", "deg").lower().startswith("rad"),
    )


def _asf_sections(text: str) -> dict[str, list[str]]:
    """Lines of each ``:section``, without comments; the section's own line's rest is its first line."""
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith(":"):
            name, _, rest = line[1:].partition(" ")
            lines = sections.setdefault(name.lower(), [])
            line = rest.strip()
        if line:
            lines.append(line)
    missing = [f":{name}" for name in ("root", "bonedata", "hierarchy") if not sections.get(name)]
    if missing:
        raise InputError(f"it lacks {', '.join(missing)}, an Acclaim skeleton was expected, export it again")
    return sections


def _root(lines: list[str]) -> Bone:
    root = Bone("root")
    for keyword, *words in map(str.split, lines):
        match keyword.lower():
            case "order":
                root.dof = _dof(words, "root")
            case "axis" if words:
                root.axis_order = _axis_order(words[0], "root")
            case "orientation":
                root.axis = numbers(words, 3, "the orientation of root")
    return root


def _bones(lines: list[str]) -> list[Bone]:
    bones: list[Bone] = []
    for keyword, *words in map(str.split, lines):
        match keyword.lower():
            case "begin":
                bones.append(Bone(""))
            case _ if not bones:
                pass
            case "name" if words:
                bones[-1].name = words[0]
            case "direction":
                bones[-1].direction = np.array(numbers(words, 3, f"the direction of {bones[-1].name}"))
            case "length":
                (bones[-1].length,) = numbers(words, 1, f"the length of {bones[-1].name}")
            case "axis":
                bones[-1].axis = numbers(words[:3], 3, f"the axis of {bones[-1].name}")
                bones[-1].axis_order = _axis_order(" ".join(words[3:]) or "XYZ", bones[-1].name)
            case "dof":
                bones[-1].dof = _dof(words, bones[-1].name)
    return bones


def _axis_order(text: str, bone: str) -> str:
    if sorted(text.lower()) != ["x", "y", "z"]:
        raise InputError(f"the axis order of {bone} is '{text}', one as XYZ was expected, export it again")
    return text.lower()


def _dof(words: list[str], bone: str) -> list[str]:
    dof = [word.lower() for word in words]
    if not all(DOF.fullmatch(word) for word in dof):
        raise InputError(
            f"the degrees of freedom of {bone} are '{' '.join(words)}', names as TX or RX were expected, "
            "export it again"
        )
    return dof


def _in_order(bones: list[Bone], hierarchy: list[str]) -> list[Bone]:
    """The bones with their parents, in the file's order of ``:bonedata`` as far as parents come first."""
    names = [bone.name for bone in bones]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two bones are called '{twice}', rename one of them")
    above: dict[str, str] = {}
    for line in hierarchy:
        parent, *children = line.split()
        above |= {child: parent for child in children if parent not in ("begin", "end")}
    for bone in bones[1:]:
        if above.get(bone.name) not in {other.name for other in bones}:
            raise InputError(f"its bone '{bone.name}' has no parent in :hierarchy, export it again")
    placed = {"root": 0}
    ordered = bones[:1]
    while len(ordered) < len(bones):
        ready = [bone for bone in bones if bone.name not in placed and above[bone.name] in placed]
        if not ready:
            raise InputError("its :hierarchy is a ring, a tree from root was expected, export it again")
        bone = ready[0]
        bone.parent = placed[above[bone.name]]
        placed[bone.name] = len(ordered)
        ordered.append(bone)
    return ordered


def _joints(skeleton: AcclaimSkeleton) -> tuple[list[str], list[int], np.ndarray]:
    """Joints at the starts of all bones, then the ends of bones without children, in the file's unit."""
    bones = skeleton.bones
    leaves = [b for b in range(1, len(bones)) if all(bone.parent != b for bone in bones)]
    names = [bone.name for bone in bones] + [f"{bones[b].name}_end" for b in leaves]
    parents = [bone.parent for bone in bones] + leaves
    ends = np.stack([_unit(bone.direction) * bone.length for bone in bones])
    offsets = np.stack([ends[parent] if parent >= 0 else np.zeros(3) for parent in parents])
    return names, parents, offsets


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length else vector


def _read_amc_values(text: str, skeleton: AcclaimSkeleton) -> np.ndarray:
    """(T, D) values of all degrees of freedom of all bones, angles in the file's unit made radians."""
    columns: dict[str, slice] = {}
    width = 0
    for bone in skeleton.bones:
        columns[bone.name] = slice(width, width + len(bone.dof))
        width += len(bone.dof)

    degrees = skeleton.degrees
    frames: list[list[float]] = []
    bones_in: list[int] = []
    for line in text.splitlines():
        words = f" {line}".partition(" #")[0].split()  # 1.#QNAN is no comment
        if not words:
            continue
        if words[0].startswith(":"):
            keyword = words[0].upper()
            degrees = (degrees or keyword == ":DEGREES") and keyword != ":RADIANS"
        elif len(words) == 1 and words[0].isdecimal():
            frames.append([0.0] * width)
            bones_in.append(0)
        elif words[0] not in columns:
            raise InputError(f"it moves '{words[0]}', which its skeleton lacks, put its own .asf beside it")
        elif not frames:
            raise InputError("it begins in the middle of a frame, export or download it again")
        else:
            column = columns[words[0]]
            count = column.stop - column.start
            frames[-1][column] = numbers(words[1:], count, f"{words[0]} in frame {len(frames)}", LARGEST)
            bones_in[-1] += 1
    if not frames or not max(bones_in):
        raise InputError("it holds no frames, a motion of at least one was expected, export it again")
    if min(bones_in) != max(bones_in):
        frame = bones_in.index(min(bones_in)) + 1
        raise InputError(
            f"frame {frame} of {len(frames)} holds {min(bones_in)} of {max(bones_in)} bones, "
            "export or download it again"
        )
    values = np.array(frames)
    turning = [dof.startswith("r") for bone in skeleton.bones for dof in bone.dof]
    if degrees:
        values[:, turning] = np.radians(values[:, turning])
    return values


def _pose(skeleton: AcclaimSkeleton, values: np.ndarray, joints: int) -> tuple[np.ndarray, np.ndarray]:
    """Local rotations (T, J, 3) between frames parallel to the world in rest, and the root's place (T, 3)."""
    rotvec = np.zeros((len(values), joints, 3))
    trans = np.zeros((len(values), 3))
    column = 0
    for b, bone in enumerate(skeleton.bones):
        turning = [(column + d, dof[1]) for d, dof in enumerate(bone.dof) if dof.startswith("r")]
        if turning:
            columns, order = zip(*turning)
            angles = torch.from_numpy(values[:, list(columns)])
            turn = roma.euler_to_rotvec("".join(order), angles).numpy()
            rotvec[:, b] = turn @ _axis_rotation(bone, skeleton.degrees).T
        if b == 0:
            for d, dof in enumerate(bone.dof):
                if dof.startswith("t"):
                    trans[:, "xyz".index(dof[1])] = values[:, d]
        column += len(bone.dof)
    return rotvec, trans


def _axis_rotation(bone: Bone, degrees: bool) -> np.ndarray:
    return roma.euler_to_rotmat(
        bone.axis_order, torch.tensor(bone.axis, dtype=torch.float64), degrees
    ).numpy()

"""Motion from BVH files of any exporter."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import roma
import torch

from mpt.errors import InputError
from mpt.mocap.motion import Motion, subject_of
from mpt.mocap.rest import metres_per_unit, turned_by_rest
from mpt.mocap.text import LARGEST, frame_rate, numbers, read_text
from mpt.mocap.tree import rest_positions
from mpt.mocap.upright import Up, upright

MOTION_SECTION = re.compile(r"^\s*MOTION\s*$", re.IGNORECASE | re.MULTILINE)
COUNTS = re.compile(r"\s*Frames\s*:\s*(\S+)\s+Frame\s+Time\s*:[ \t]*(\S*(?:[ \t]+[a-z]+\.?)?)", re.IGNORECASE)
GLUED = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?([-+.][-+.e\d]+)", re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"\d,\d")
DECIMAL_POINT = re.compile(r"\d\.\d")
CHANNEL = re.compile("[xyz](position|rotation)")
ADDED_POSE_JUMP = np.radians(15)
STILL, FULL_TURN = 0.5, 6.3  # angles that reach the one and never the other look like radians

# In CMU's MotionBuilder-friendly files these joints wrongly coincide with their parent.
CMU_LOST_BONES = {
    "Spine1": ("Neck", "LeftShoulder", "RightShoulder"),
    "LeftHand": ("LeftFingerBase", "LThumb"),
    "RightHand": ("RightFingerBase", "RThumb"),
}


@dataclass
class Node:
    """A joint or an end site, as written."""

    name: str
    parent: int
    offset: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    channels: list[str] = field(default_factory=list)  # xposition, zrotation ...


def read_bvh(
    path: Path,
    *,
    scale: float | None = None,
    joint_map: Mapping[str, str] | None = None,
    up: Up | None = None,
) -> Motion:
    """Read one BVH file; its zero pose is the rest pose, or a frame where that is nobody (see ``stand``).

    Rotation channels apply in the order written, each about the axes turned by those before it. The root's
    position channels are its place in the world and override its OFFSET; position channels of other joints
    are not read, their OFFSET holds. An end site of joint ``Head`` is called ``Head_end``.

    The axes follow from the rest pose (see ``axes_of_rest``) and, where the root turns it out of them, from
    the motion (see ``upright``); ``up`` tells the file's axis instead, ``joint_map`` joints of some limbs.
    ``scale`` is the length of a unit in metres; without it, the unit is the one that makes a person of the
    skeleton (see ``metres_per_unit``). A name that comes again is numbered, and a file with fewer whole
    frames than it declares is read, each with a warning.

    A first frame that was added as a calibration pose is left out: its root is not turned at all, and to
    the second frame the root turns and some other joint jumps by more than 15 degrees. CMU's
    MotionBuilder-friendly files lack three bones' lengths (torso 12 cm, forearms 9.5 cm too short); they
    are put back, and the joints are then within a centimetre of where the AMC files have them.
    """
    hierarchy, motion = _sections(read_text(path))
    nodes = _hierarchy(hierarchy)
    _number_names(nodes, path)
    _restore_cmu_bones(nodes)
    frame_time, values = _frames(motion, nodes, path)

    joints = [node.name for node in nodes]
    parents = [node.parent for node in nodes]
    offsets = np.array([node.offset for node in nodes])
    _doubt_radians(nodes, values, path)
    rotvec, trans = _pose(nodes, values)
    if _first_pose_is_added(rotvec):
        rotvec, trans = rotvec[1:], trans[1:]

    axes, offsets, rotvec, trans = turned_by_rest(
        str(path), joints, parents, offsets, rotvec, trans, joint_map
    )
    unit = scale or metres_per_unit(rest_positions(parents, offsets))
    fps = frame_rate(frame_time, str(path))
    person = Motion(
        path.stem, subject_of(path), fps, joints, parents, unit * offsets, rotvec, unit * trans,
        joint_map=joint_map or {},
    )  # fmt: skip
    return upright(person, axes, str(path), up=up)


def _sections(text: str) -> tuple[str, str]:
    """The text of the hierarchy and of the motion."""
    if not text.lstrip().upper().startswith("HIERARCHY"):
        raise InputError("it does not begin with HIERARCHY, a BVH file was expected, export it as BVH")
    if DECIMAL_COMMA.search(text) and not DECIMAL_POINT.search(text):
        text = text.replace(",", ".")
    section = MOTION_SECTION.search(text)
    if section is None:
        raise InputError("it ends before its MOTION section, export or download it again")
    return text[: section.start()].lstrip()[len("HIERARCHY") :], text[section.end() :]


def _hierarchy(text: str) -> list[Node]:
    """Joints and end sites in the file's order: a parent before its children."""
    nodes: list[Node] = []
    open_nodes: list[int] = []
    for line in text.replace("{", "\n{\n").replace("}", "\n}\n").splitlines():
        keyword, *rest = line.split(maxsplit=1) or [""]
        value = rest[0].strip() if rest else ""
        parent = open_nodes[-1] if open_nodes else -1
        match keyword.upper():
            case "":
                pass
            case "ROOT" if nodes:
                raise InputError("it holds several skeletons, one was expected, export each to its own file")
            case "ROOT":
                nodes.append(Node(value, -1))
            case "JOINT" if open_nodes:
                nodes.append(Node(value, parent))
            case "END" if open_nodes:
                end = f"{nodes[parent].name}_end"
                ends = sum(node.name.startswith(end) for node in nodes)
                nodes.append(Node(f"{end}{ends + 1}" if ends else end, parent))
            case "{" if nodes:
                open_nodes.append(len(nodes) - 1)
            case "}" if open_nodes:
                open_nodes.pop()
            case "OFFSET" if open_nodes:
                nodes[parent].offset = numbers(
                    value.split(), 3, f"the OFFSET of {nodes[parent].name}", LARGEST
                )
            case "CHANNELS" if open_nodes:
                nodes[parent].channels = _channels(value, nodes[parent].name)
            case _:
                raise InputError(
                    f"its hierarchy holds '{line.strip()[:60]}', which is no BVH, export it again"
                )
    if open_nodes or not nodes:
        raise InputError("its hierarchy is not closed, export or download it again")
    return nodes


def _number_names(nodes: list[Node], path: Path) -> None:
    """Names that come again get a number, as ``LeftToe_2``."""
    used: set[str] = set()
    for node in nodes:
        name, number = node.name, 2
        while node.name in used:
            node.name = f"{name}_{number}"
            number += 1
        if node.name != name:
            warnings.warn(
                f"{path}: two joints are called '{name}', one is read as '{node.name}'", stacklevel=3
            )
        used.add(node.name)


def _restore_cmu_bones(nodes: list[Node]) -> None:
    """Give the thorax the length of the bone below it, straight up, and the wrists half a forearm more."""
    named = {node.name: node for node in nodes}
    for name, lost in CMU_LOST_BONES.items():
        children = [node for node in nodes if node.parent >= 0 and nodes[node.parent] is named.get(name)]
        if tuple(node.name for node in children) != lost or any(any(node.offset) for node in children):
            continue
        own = np.array(named[name].offset)
        restored = [0.0, float(np.linalg.norm(own)), 0.0] if name == "Spine1" else list(own / 2)
        for child in children:
            child.offset = restored


def _channels(text: str, joint: str) -> list[str]:
    count, *channels = text.lower().split() or ["0"]
    if count != str(len(channels)) or any(CHANNEL.fullmatch(channel) is None for channel in channels):
        raise InputError(
            f"the channels of {joint} are '{text}', a count and names as Zrotation were expected, "
            "export it again"
        )
    return channels


def _frames(text: str, nodes: list[Node], path: Path) -> tuple[str, np.ndarray]:
    """The frame time as written, and (T, C) channel values."""
    counts = COUNTS.match(text)
    if counts is None:
        raise InputError("its MOTION section lacks 'Frames:' or 'Frame Time:', export or download it again")
    (declared,) = numbers([counts[1]], 1, "'Frames:'")
    lines = [line.split() for line in text[counts.end() :].splitlines() if line.strip()]
    words = [word for line in lines for word in line]
    names = [f"{channel.capitalize()} of {node.name}" for node in nodes for channel in node.channels]
    width = len(names)
    if not width:
        raise InputError("its joints have no channels, a moving skeleton was expected, export it with motion")
    values = _values(words, lines, names)
    frames, more = divmod(len(words), width)
    in_lines = {len(line) for line in lines}
    if more and len(lines) > 1 and len(in_lines) == 1:
        raise InputError(
            f"each line of its motion holds {in_lines.pop()} numbers where its joints have {width} channels, "
            "export it again"
        )
    if more:
        raise InputError(
            f"it is cut in the middle of frame {frames + 1} of {max(declared, frames + 1):.0f} "
            f"({more} of {width} numbers), export or download it again"
        )
    if not frames:
        raise InputError(f"it declares {declared:.0f} frames and holds none, export or download it again")
    if declared < frames:
        raise InputError(
            f"it declares {declared:.0f} frames and holds {frames}, "
            "correct its 'Frames:' line or export it again"
        )
    if declared > frames:
        warnings.warn(
            f"{path}: it declares {declared:.0f} frames and holds {frames}, which are read", stacklevel=3
        )
    return counts[2], values.reshape(-1, width)


def _values(words: list[str], lines: list[list[str]], names: list[str]) -> np.ndarray:
    """The words as numbers; one that is none is named with its frame, and its channel where it has one."""
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError:
        values = np.array([_number(word) for word in words])
    known = np.abs(values) < LARGEST  # which "nan" is not
    if known.all():
        return values
    bad = int(np.argmin(known))
    frame, channel = divmod(bad, len(names))
    if GLUED.fullmatch(words[bad]):
        line = int(np.searchsorted(np.cumsum([len(line) for line in lines]), bad, side="right"))
        frame = line if len(lines[line]) > len(names) // 2 else frame  # a line is a frame, as most write it
        raise InputError(
            f"'{words[bad][:60]}' in frame {frame + 1} is no number but two without a space between them, "
            "separate them or export it again"
        )
    raise InputError(
        f"{names[channel]} is '{words[bad][:60]}' in frame {frame + 1}, a number below {LARGEST:,.0f} was "
        "expected, clean or export it again"
    )


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return np.nan


def _doubt_radians(nodes: list[Node], values: np.ndarray, path: Path) -> None:
    turning = [channel.endswith("rotation") for node in nodes for channel in node.channels]
    largest = np.abs(values[:, turning]).max(initial=0)
    if STILL < largest < FULL_TURN:
        warnings.warn(
            f"{path}: its largest angle is {largest:.3g}, which is read as degrees; if it is written in "
            "radians, export it in degrees",
            stacklevel=4,
        )


def _pose(nodes: list[Node], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Local rotations (T, J, 3) and the root's place (T, 3), in the file's axes and unit."""
    frames = len(values)
    trans = np.tile(nodes[0].offset, (frames, 1))
    orders: dict[str, list[tuple[int, list[int]]]] = {}
    column = 0
    for joint, node in enumerate(nodes):
        turning = [(column + c, name[0]) for c, name in enumerate(node.channels) if name.endswith("rotation")]
        if turning:
            order = "".join(axis for _, axis in turning)
            orders.setdefault(order, []).append((joint, [c for c, _ in turning]))
        if joint == 0:
            for c, name in enumerate(node.channels):
                if name.endswith("position"):
                    trans[:, "xyz".index(name[0])] = values[:, column + c]
        column += len(node.channels)

    rotvec = np.zeros((frames, len(nodes), 3))
    for order, users in orders.items():
        joints, columns = zip(*users)
        angles = torch.from_numpy(values[:, np.array(columns)])  # (T, joints of this order, angles)
        rotvec[:, list(joints)] = roma.euler_to_rotvec(order.upper(), angles, degrees=True).numpy()
    return rotvec, trans


def _first_pose_is_added(rotvec: np.ndarray) -> bool:
    if len(rotvec) < 2 or rotvec[0, 0].any() or not rotvec[1, 0].any():
        return False
    first, second = torch.from_numpy(rotvec[:2])
    turn = roma.rotvec_composition((roma.rotvec_inverse(first), second))
    return bool((turn[1:].norm(dim=-1) > ADDED_POSE_JUMP).any())

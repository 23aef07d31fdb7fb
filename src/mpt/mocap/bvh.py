"""Motion from BVH files of any exporter."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import roma
import torch

from mpt.errors import InputError
from mpt.mocap.motion import Motion, subject_of
from mpt.mocap.rest import axes_of_rest, metres_per_unit, rest_positions
from mpt.mocap.text import numbers, read_text

MOTION_SECTION = re.compile(r"^\s*MOTION\s*$", re.IGNORECASE | re.MULTILINE)
COUNTS = re.compile(r"\s*Frames\s*:\s*(\S+)\s+Frame\s+Time\s*:\s*(\S+)", re.IGNORECASE)
CHANNEL = re.compile("[xyz](position|rotation)")
ADDED_POSE_JUMP = np.radians(15)

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


def read_bvh(path: Path, *, scale: float | None = None) -> Motion:
    """Read one BVH file; the rest pose is its zero pose.

    Rotation channels apply in the order written, each about the axes turned by those before it. The root's
    position channels are its place in the world and override its OFFSET; position channels of other joints
    are not read, their OFFSET holds. An end site of joint ``Head`` is called ``Head_end``.

    The axes follow from the rest pose (see ``axes_of_rest``). ``scale`` is the length of a unit in metres;
    without it, the unit is the one that makes a person of the skeleton (see ``metres_per_unit``).

    A first frame that was added as a calibration pose is left out: its root is not turned at all, and to
    the second frame the root turns and some joint jumps by more than 15 degrees. CMU's
    MotionBuilder-friendly files lack three bones' lengths (torso 12 cm, forearms 9.5 cm too short); they
    are put back, and the joints are then within a centimetre of where the AMC files have them.
    """
    hierarchy, motion = _sections(read_text(path))
    nodes = _hierarchy(hierarchy)
    _restore_cmu_bones(nodes)
    frame_time, values = _frames(motion, nodes)

    joints = [node.name for node in nodes]
    parents = [node.parent for node in nodes]
    offsets = np.array([node.offset for node in nodes])
    rotvec, trans = _pose(nodes, values)
    if _first_pose_is_added(rotvec):
        rotvec, trans = rotvec[1:], trans[1:]

    axes = axes_of_rest(joints, parents, offsets)
    offsets, rotvec, trans = offsets @ axes.T, rotvec @ axes.T, trans @ axes.T
    unit = scale or metres_per_unit(rest_positions(parents, offsets))
    return Motion(
        path.stem, subject_of(path), _fps(frame_time), joints, parents, unit * offsets, rotvec, unit * trans
    )


def _sections(text: str) -> tuple[str, str]:
    """The text of the hierarchy and of the motion."""
    if not text.lstrip().upper().startswith("HIERARCHY"):
        raise InputError("it does not begin with HIERARCHY, a BVH file was expected, export it as BVH")
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
                nodes[parent].offset = numbers(value.split(), 3, f"the OFFSET of {nodes[parent].name}")
            case "CHANNELS" if open_nodes:
                nodes[parent].channels = _channels(value, nodes[parent].name)
            case _:
                raise InputError(
                    f"its hierarchy holds '{line.strip()[:60]}', which is no BVH, export it again"
                )
    if open_nodes or not nodes:
        raise InputError("its hierarchy is not closed, export or download it again")
    return nodes


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


def _frames(text: str, nodes: list[Node]) -> tuple[str, np.ndarray]:
    """The frame time as written, and (T, C) channel values."""
    counts = COUNTS.match(text)
    if counts is None:
        raise InputError("its MOTION section lacks 'Frames:' or 'Frame Time:', export or download it again")
    (declared,) = numbers([counts[1]], 1, "'Frames:'")
    if declared < 1:
        raise InputError("it holds no frames, a motion of at least one was expected, export it again")
    words = text[counts.end() :].split()
    names = [f"{channel.capitalize()} of {node.name}" for node in nodes for channel in node.channels]
    width = len(names)
    if not width:
        raise InputError("its joints have no channels, a moving skeleton was expected, export it with motion")
    if len(words) % width:
        raise InputError(
            f"it is cut in the middle of frame {len(words) // width + 1} of {declared:.0f} "
            f"({len(words) % width} of {width} numbers), export or download it again"
        )
    if len(words) != declared * width:
        raise InputError(
            f"it declares {declared:.0f} frames and holds {len(words) // width}, "
            "correct its 'Frames:' line or export it again"
        )
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError:
        values = np.array([_number(word) for word in words])
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        frame, channel = divmod(int(bad[0]), width)
        raise InputError(
            f"{names[channel]} is '{words[bad[0]]}' in frame {frame + 1}, a number was expected, "
            "clean or export it again"
        )
    return counts[2], values.reshape(-1, width)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return np.nan


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
    return bool(turn.norm(dim=-1).max() > ADDED_POSE_JUMP)


def _fps(frame_time: str) -> float:
    """Frames per second, whole where the written time is a whole rate's, cut to its digits: .0333 is 30."""
    (seconds,) = numbers([frame_time], 1, "'Frame Time:'")
    if seconds <= 0:
        raise InputError(f"its frame time is {frame_time}, seconds above 0 were expected, export it again")
    whole = round(1 / seconds)
    last_digit = 10.0 ** -len(frame_time.partition(".")[2])
    written_so = whole and abs(1 / whole - seconds) < last_digit and abs(whole * seconds - 1) < 0.005
    return whole if written_so else 1 / seconds

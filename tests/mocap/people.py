"""A small person, and BVH and ASF/AMC files written from known rotations."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mpt.mocap.motion import Motion

# name, parent, offset in metres (x left, y up, z forward); 1.7 m tall, arms out
PERSON = (
    ("Hips", -1, (0, 0, 0)),
    ("LeftUpLeg", 0, (0.1, -0.05, 0)),
    ("LeftLeg", 1, (0, -0.4, 0.01)),
    ("LeftFoot", 2, (0, -0.42, -0.02)),
    ("LeftFoot_end", 3, (0, -0.08, 0.15)),
    ("RightUpLeg", 0, (-0.1, -0.05, 0)),
    ("RightLeg", 5, (0, -0.4, 0.01)),
    ("RightFoot", 6, (0, -0.42, -0.02)),
    ("RightFoot_end", 7, (0, -0.08, 0.15)),
    ("Spine", 0, (0, 0.3, -0.02)),
    ("Head", 9, (0, 0.25, 0.03)),
    ("Head_end", 10, (0, 0.2, 0)),
    ("LeftArm", 9, (0.18, 0.15, 0)),
    ("LeftHand", 12, (0.55, 0.01, 0)),
    ("RightArm", 9, (-0.18, 0.15, 0)),
    ("RightHand", 14, (-0.55, 0.01, 0)),
)
JOINTS = tuple(name for name, _, _ in PERSON)
PARENTS = [parent for _, parent, _ in PERSON]
OFFSETS = np.array([offset for _, _, offset in PERSON], dtype=float)
AXES = "XYZ"


def moving_person(frames: int = 5, seed: int = 0) -> Motion:
    """A person with random rotations; end points do not turn."""
    generator = np.random.default_rng(seed)
    rotvec = generator.normal(size=(frames, len(JOINTS), 3))
    rotvec[:, [name.endswith("_end") for name in JOINTS]] = 0
    trans = generator.normal(size=(frames, 3))
    return Motion("01_01", "01", 120, JOINTS, PARENTS, OFFSETS, rotvec, trans)


def bvh_text(
    joints: Sequence[str],
    parents: Sequence[int],
    offsets: np.ndarray,
    channels: Sequence[Sequence[str]],
    values: np.ndarray,
    frame_time: str = "0.0083333",
) -> str:
    """BVH of a skeleton; joints called ``*_end`` become end sites."""

    def node(joint: int, depth: int) -> list[str]:
        pad = "\t" * depth
        is_end = joints[joint].endswith("_end")
        kind = "ROOT" if parents[joint] < 0 else "JOINT"
        lines = [f"{pad}End Site" if is_end else f"{pad}{kind} {joints[joint]}", f"{pad}{{"]
        lines.append(f"{pad}\tOFFSET " + " ".join(f"{x:.9f}" for x in offsets[joint]))
        if not is_end:
            lines.append(f"{pad}\tCHANNELS {len(channels[joint])} " + " ".join(channels[joint]))
        for child, parent in enumerate(parents):
            if parent == joint:
                lines += node(child, depth + 1)
        return [*lines, f"{pad}}}"]

    frames = [" ".join(f"{x:.9f}" for x in row) for row in values]
    header = ["MOTION", f"Frames: {len(values)}", f"Frame Time: {frame_time}"]
    return "\n".join(["HIERARCHY", *node(0, 0), *header, *frames]) + "\n"


def depth_first(parents: Sequence[int], joint: int = 0) -> list[int]:
    """Joints in the order in which BVH writes them."""
    below = [child for child, parent in enumerate(parents) if parent == joint]
    return [joint, *(j for child in below for j in depth_first(parents, child))]


def write_person_bvh(
    path: Path, motion: Motion, *, unit: float = 1.0, axes: np.ndarray | None = None
) -> Path:
    """The person in a length unit (metres) and in axes given by a rotation from Motion's to the file's."""
    from scipy.spatial.transform import Rotation

    axes = np.eye(3) if axes is None else axes
    channels = [["Zrotation", "Xrotation", "Yrotation"] for _ in motion.joints]
    channels[0] = ["Xposition", "Yposition", "Zposition", *channels[0]]
    columns = [motion.trans @ axes.T / unit]
    for joint in depth_first(motion.parents.tolist()):
        if motion.joints[joint].endswith("_end"):
            continue
        turn = Rotation.from_rotvec(motion.rotvec[:, joint] @ axes.T)
        columns.append(turn.as_euler("ZXY", degrees=True))
    offsets = motion.offsets @ axes.T / unit
    text = bvh_text(motion.joints, motion.parents, offsets, channels, np.concatenate(columns, axis=1))
    path.write_text(text)
    return path

"""Characters as other programs export them: glTF of a skinned box man, made of a skeleton's joints."""

import json
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import roma
import torch

SIDES = ("left", "right")
PLACES = {
    "floor": (0, 0, 0),
    "hips": (0, 1.0, 0),
    "spine": (0, 1.1, -0.01),
    "spine1": (0, 1.22, -0.02),
    "spine2": (0, 1.34, -0.02),
    "neck": (0, 1.5, -0.03),
    "neck2": (0, 1.55, -0.02),
    "head": (0, 1.6, 0),
    "top": (0, 1.8, 0),
    "hip": (0.09, 0.93, 0.01),
    "knee": (0.1, 0.5, 0.02),
    "ankle": (0.11, 0.09, -0.03),
    "toe": (0.13, 0.02, 0.1),
    "toes": (0.13, 0.01, 0.17),
    "collar": (0.05, 1.45, 0),
    "shoulder": (0.18, 1.46, -0.02),
    "elbow": (0.45, 1.46, -0.03),
    "wrist": (0.7, 1.46, 0.0),
    "thumb1": (0.73, 1.45, 0.03),
    "index1": (0.8, 1.46, 0.03),
    "index2": (0.84, 1.46, 0.03),
    "middle1": (0.8, 1.46, 0.005),
    "middle2": (0.845, 1.46, 0.005),
}
"""Where joints are in a T-pose, metres, y up, facing +z; of those with a side the left one's."""
HAND = ("wrist", "thumb1", "index1", "index2", "middle1", "middle2")
ARMS_DOWN = np.radians(45)

MIXAMO = (
    "Hips:hips (Spine:spine (Spine1:spine1 (Spine2:spine2 (Neck:neck (Head:head (HeadTop_End:top)) "
    "{}Shoulder:collar ({}Arm:shoulder ({}ForeArm:elbow ({}Hand:wrist ({}HandThumb1:thumb1 "
    "{}HandIndex1:index1 ({}HandIndex2:index2) {}HandMiddle1:middle1 ({}HandMiddle2:middle2))))))))"
    " {}UpLeg:hip ({}Leg:knee ({}Foot:ankle ({}ToeBase:toe ({}Toe_End:toes)))))"
)
"""A skeleton as text: a joint's name, where it is (``hip+knee`` between two), in brackets what hangs on it.
{} is Left or Right, {l} left, {L} L, {s} l; what has a side comes twice.
"""


@dataclass
class Skeleton:
    """J joints at rest; places (J, 3) and frames (J, 3, 3) of their axes in the file's world."""

    names: list[str]
    parents: list[int]
    roles: list[str]  # "left_hip", "spine"; of a joint between two both
    places: np.ndarray
    frames: np.ndarray

    def of(self, role: str) -> int:
        return self.roles.index(role)


def person(told: str = MIXAMO, *, prefix: str = "", arms_down: float = 0.0, stature: float = 1.0) -> Skeleton:
    """Somebody in a T-pose, or with the arms lowered by an angle; frames parallel to the axes."""
    joints: list[tuple[str, int, str]] = []
    _branches(told, [(-1, "")], joints)
    places = np.stack([_place(role, arms_down) for _, _, role in joints])
    frames = np.tile(np.eye(3), (len(joints), 1, 1))
    names, parents, roles = map(list, zip(*joints))
    return Skeleton([prefix + name for name in names], parents, roles, stature * places, frames)


def _branches(told: str, parents: list[tuple[int, str]], joints: list[tuple[str, int, str]]) -> None:
    """Add the joints of a text below others, of which each has its side."""
    at = 0
    while at < len(told):
        end = min((told.find(sign, at) for sign in " (" if told.find(sign, at) >= 0), default=len(told))
        name, _, place = told[at:end].partition(":")
        inside, after = "", end
        if told[end : end + 2].strip().startswith("("):
            begin = told.index("(", end)
            after = begin + _length(told[begin:])
            inside = told[begin + 1 : after - 1]
        if name.strip():
            added = []
            for parent, side in parents:
                for own in [side] if side or "{" not in name else SIDES:
                    called = name.format(own.title(), l=own, L=own[:1].upper(), s=own[:1])
                    role = "+".join(
                        f"{own}_{part}" if own and part not in MIDLINE else part for part in place.split("+")
                    )
                    joints.append((called, parent, role))
                    added.append((len(joints) - 1, own))
            _branches(inside, added, joints)
        at = max(after, at + 1)


MIDLINE = tuple(PLACES)[:9]


def _length(told: str) -> int:
    """Of a text in brackets."""
    depth = 0
    for at, sign in enumerate(told):
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if not depth:
            return at + 1
    raise ValueError(told)


def _place(role: str, arms_down: float) -> np.ndarray:
    if "+" in role:
        return np.mean([_place(part, arms_down) for part in role.split("+")], 0)
    side, _, part = role.rpartition("_")
    mirror = np.array([-1.0 if side == "right" else 1, 1, 1])
    place = np.array(PLACES[part]) * mirror
    if part in ("elbow", *HAND):
        shoulder = np.array(PLACES["shoulder"]) * mirror
        place = shoulder + turned("z", -mirror[0] * arms_down) @ (place - shoulder)
    return place


def along_y(skeleton: Skeleton) -> Skeleton:
    """The same with frames as Blender's bones have: y along the bone, rolled at random."""
    generator = np.random.default_rng(3)
    for joint in range(len(skeleton.names)):
        below = [child for child, parent in enumerate(skeleton.parents) if parent == joint]
        way = skeleton.places[below[0]] - skeleton.places[joint] if below else np.array([0, 1.0, 0])
        y = way / max(np.linalg.norm(way), 1e-9) if way.any() else np.array([0, 1.0, 0])
        x = np.cross(y, generator.normal(size=3))
        x /= np.linalg.norm(x)
        skeleton.frames[joint] = np.column_stack([x, y, np.cross(x, y)])
    return skeleton


def turned(axis: str, angle: float) -> np.ndarray:
    """(3, 3)"""
    return roma.rotvec_to_rotmat(torch.tensor(np.eye(3)["xyz".index(axis)] * angle)).numpy()


@dataclass
class Gltf:
    """A file in the making."""

    header: dict[str, Any] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)
    more_buffers: list[dict] = field(default_factory=list)

    def add(self, array: np.ndarray, kind: str, **told: Any) -> int:
        """The number of a new accessor."""
        types = {"<f4": 5126, "<u2": 5123, "|u1": 5121}
        self.data += b"\0" * (-len(self.data) % 4)
        views, accessors = self.header.setdefault("bufferViews", []), self.header.setdefault("accessors", [])
        views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes})
        self.data += array.tobytes()
        told |= {"componentType": types[array.dtype.str], "count": len(array), "type": kind}
        accessors.append({"bufferView": len(views) - 1} | told)
        return len(accessors) - 1

    def text(self, **buffer: Any) -> str:
        """The JSON, indented as people write it, with numbers as people write them."""
        self.header["buffers"] = [{"byteLength": len(self.data)} | buffer, *self.more_buffers]
        text = json.dumps(self.header, indent=1, ensure_ascii=False)
        return text.replace('Factor": 0.25', 'Factor": 2.50e-1')

    def glb(self) -> bytes:
        text = self.text().encode()
        return glb(text + b" " * (-len(text) % 4), bytes(self.data) + b"\0" * (-len(self.data) % 4))


def glb(text: bytes, data: bytes | None, more: bytes = b"") -> bytes:
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    if data is not None:
        chunks += struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks) + len(more)) + chunks + more


def character(skeleton: Skeleton, *, armature: np.ndarray | None = None, unit: float = 1.0) -> Gltf:
    """A skin on a skeleton: a small cross at each joint.

    armature: (3, 3) of the node above all joints, and how many metres its unit has: the mesh is in its axes.
    """
    armature = np.eye(3) if armature is None else armature
    bound = np.tile(np.eye(4), (len(skeleton.names), 1, 1))  # joints in the armature's axes
    bound[:, :3, :3] = armature.T @ skeleton.frames
    bound[:, :3, 3] = skeleton.places @ armature / unit
    nodes: list[dict] = [
        {"name": "Armature", "rotation": quaternion(armature), "scale": [unit] * 3, "children": [1]}
    ]
    for joint, parent in enumerate(skeleton.parents):
        local = bound[joint] if parent < 0 else np.linalg.inv(bound[parent]) @ bound[joint]
        below = [1 + child for child, above in enumerate(skeleton.parents) if above == joint]
        node = {"name": skeleton.names[joint], "translation": local[:3, 3].tolist()}
        node |= {"rotation": quaternion(local[:3, :3])} | ({"children": below} if below else {})
        nodes.append(node)
    nodes.append({"name": "Body", "mesh": 0, "skin": 0})

    file = Gltf({"asset": {"version": "2.0", "generator": "somebody's exporter"}, "scene": 0})
    cross = 0.01 * np.concatenate([np.eye(3), -np.eye(3)]) / unit
    vertices = (bound[:, None, :3, 3] + cross).reshape(-1, 3).astype("<f4")
    bones = np.zeros((len(vertices), 4), "<u2")
    bones[:, 0] = np.repeat(np.arange(len(bound)), len(cross))
    faces = np.array([[0, 1, 2], [3, 5, 4]])[None] + len(cross) * np.arange(len(bound))[:, None, None]
    extremes = {"min": vertices.min(0).tolist(), "max": vertices.max(0).tolist()}
    primitive = {
        "attributes": {
            "POSITION": file.add(vertices, "VEC3", **extremes),
            "JOINTS_0": file.add(bones, "VEC4"),
            "WEIGHTS_0": file.add(np.tile(np.array([1, 0, 0, 0], "<f4"), (len(vertices), 1)), "VEC4"),
        },
        "indices": file.add(faces.astype("<u2").ravel(), "SCALAR"),
        "material": 0,
    }
    inverse = np.linalg.inv(bound).swapaxes(1, 2).astype("<f4").reshape(-1, 16)
    skin = {"joints": list(range(1, len(nodes) - 1)), "inverseBindMatrices": file.add(inverse, "MAT4")}
    file.header |= {
        "scenes": [{"nodes": [0, len(nodes) - 1]}],
        "nodes": nodes,
        "materials": [{"name": "Stoff für Ärmel", "pbrMetallicRoughness": {"roughnessFactor": 0.25}}],
        "meshes": [{"primitives": [primitive]}],
        "skins": [skin],
    }
    return file


def quaternion(turn: np.ndarray) -> list[float]:
    return roma.rotmat_to_unitquat(torch.from_numpy(np.ascontiguousarray(turn))).tolist()

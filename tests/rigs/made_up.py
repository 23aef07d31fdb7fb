"""Characters as other programs export them: glTF of a skinned box man, made of a skeleton's joints."""

import json
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import roma
import torch

SIDES = ("left", "right")
MIDDLE = {
    "hips": (None, (0, 1.0, 0)),
    "spine": ("hips", (0, 1.1, -0.01)),
    "spine1": ("spine", (0, 1.22, -0.02)),
    "spine2": ("spine1", (0, 1.34, -0.02)),
    "neck": ("spine2", (0, 1.5, -0.03)),
    "head": ("neck", (0, 1.6, 0)),
    "head_end": ("head", (0, 1.8, 0)),
}
LEFT = {
    "hip": ("hips", (0.09, 0.93, 0.01)),
    "knee": ("hip", (0.1, 0.5, 0.02)),
    "ankle": ("knee", (0.11, 0.09, -0.03)),
    "toe": ("ankle", (0.13, 0.02, 0.1)),
    "toe_end": ("toe", (0.13, 0.01, 0.17)),
    "collar": ("spine2", (0.05, 1.45, 0)),
    "shoulder": ("collar", (0.18, 1.46, -0.02)),
    "elbow": ("shoulder", (0.45, 1.46, -0.03)),
    "wrist": ("elbow", (0.7, 1.46, 0.0)),
    "thumb1": ("wrist", (0.73, 1.45, 0.03)),
    "index1": ("wrist", (0.8, 1.46, 0.03)),
    "index2": ("index1", (0.84, 1.46, 0.03)),
    "middle1": ("wrist", (0.8, 1.46, 0.005)),
    "middle2": ("middle1", (0.845, 1.46, 0.005)),
}
"""Role -> the one above it, and its place in a T-pose, metres, y up, facing +z."""
MIXAMO = dict(
    zip(
        [*MIDDLE, *LEFT],
        [
            "Hips",
            "Spine",
            "Spine1",
            "Spine2",
            "Neck",
            "Head",
            "HeadTop_End",
            "{}UpLeg",
            "{}Leg",
            "{}Foot",
            "{}ToeBase",
            "{}Toe_End",
            "{}Shoulder",
            "{}Arm",
            "{}ForeArm",
            "{}Hand",
            "{}HandThumb1",
            "{}HandIndex1",
            "{}HandIndex2",
            "{}HandMiddle1",
            "{}HandMiddle2",
        ],
    )
)
ARMS_DOWN = np.radians(45)


@dataclass
class Skeleton:
    """J joints at rest by role; places (J, 3) and frames (J, 3, 3) of their axes in the file's world."""

    roles: list[str]
    names: list[str]
    parents: list[int]
    places: np.ndarray
    frames: np.ndarray

    def of(self, role: str) -> int:
        return self.roles.index(role)


def person(
    called: dict[str, str] | None = None,
    prefix: str = "mixamorig:",
    arms_down: float = 0.0,
    stature: float = 1.0,
) -> Skeleton:
    """Somebody in a T-pose, or with the arms lowered by an angle; frames parallel to the axes.

    called: a name for each role, "{}" standing for Left and Right.
    """
    called = called or MIXAMO
    above, places, names = {}, {}, {}
    for role, (parent, place) in MIDDLE.items():
        above[role], places[role], names[role] = parent, np.array(place, float), called[role]
    for side, sign in zip(SIDES, (1, -1)):
        for role, (parent, place) in LEFT.items():
            one = f"{side}_{role}"
            above[one] = parent if parent in MIDDLE else f"{side}_{parent}"
            places[one] = np.array(place) * [sign, 1, 1]
            names[one] = called[role].format(side.title(), side, side[0].upper(), side[0])
        shoulder = places[f"{side}_shoulder"]
        turn = turned("z", -sign * arms_down)
        for role in list(LEFT)[list(LEFT).index("elbow") :]:
            one = f"{side}_{role}"
            places[one] = shoulder + turn @ (places[one] - shoulder)
    roles = list(places)
    parents = [-1 if above[role] is None else roles.index(above[role]) for role in roles]
    frames = np.tile(np.eye(3), (len(roles), 1, 1))
    return Skeleton(
        roles,
        [prefix + names[role] for role in roles],
        parents,
        stature * np.stack(list(places.values())),
        frames,
    )


def along_y(skeleton: Skeleton) -> Skeleton:
    """The same with frames as Blender's bones have: y along the bone, rolled at random."""
    generator = np.random.default_rng(3)
    for joint in range(len(skeleton.roles)):
        below = [child for child, parent in enumerate(skeleton.parents) if parent == joint]
        way = skeleton.places[below[0]] - skeleton.places[joint] if below else np.array([0, 1.0, 0])
        y = way / np.linalg.norm(way)
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

    def add(self, array: np.ndarray, kind: str, **told: Any) -> int:
        """The number of a new accessor."""
        types = {"<f4": 5126, "<u2": 5123, "|u1": 5121}
        self.data += b"\0" * (-len(self.data) % 4)
        views, accessors = self.header.setdefault("bufferViews", []), self.header.setdefault("accessors", [])
        views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes})
        self.data += array.tobytes()
        accessors.append(
            {
                "bufferView": len(views) - 1,
                "componentType": types[array.dtype.str],
                "count": len(array),
                "type": kind,
            }
            | told
        )
        return len(accessors) - 1

    def glb(self) -> bytes:
        """Its bytes, the JSON indented as people write it, with numbers as people write them."""
        header = self.header | {"buffers": [{"byteLength": len(self.data)}]}
        text = (
            json.dumps(header, indent=1, ensure_ascii=False)
            .replace('Factor": 0.25', 'Factor": 2.50e-1')
            .encode()
        )
        text += b" " * (-len(text) % 4)
        data = bytes(self.data) + b"\0" * (-len(self.data) % 4)
        chunks = (
            struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
        )
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def character(skeleton: Skeleton, *, armature: np.ndarray | None = None, unit: float = 1.0) -> Gltf:
    """A skin on a skeleton: a small cross at each joint.

    armature: (3, 3) of the node above all joints, and how many metres its unit has: the mesh is in its axes.
    """
    armature = np.eye(3) if armature is None else armature
    bound = np.tile(np.eye(4), (len(skeleton.roles), 1, 1))  # joints in the armature's axes
    bound[:, :3, :3] = armature.T @ skeleton.frames
    bound[:, :3, 3] = skeleton.places @ armature / unit
    nodes: list[dict] = [
        {"name": "Armature", "rotation": quaternion(armature), "scale": [unit] * 3, "children": [1]}
    ]
    for joint, parent in enumerate(skeleton.parents):
        local = bound[joint] if parent < 0 else np.linalg.inv(bound[parent]) @ bound[joint]
        below = [1 + child for child, above in enumerate(skeleton.parents) if above == joint]
        node = {
            "name": skeleton.names[joint],
            "translation": local[:3, 3].tolist(),
            "rotation": quaternion(local[:3, :3]),
        }
        nodes.append(node | ({"children": below} if below else {}))
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
    file.header |= {
        "scenes": [{"nodes": [0, len(nodes) - 1]}],
        "nodes": nodes,
        "materials": [{"name": "Stoff für Ärmel", "pbrMetallicRoughness": {"roughnessFactor": 0.25}}],
        "meshes": [{"primitives": [primitive]}],
        "skins": [
            {"joints": list(range(1, len(nodes) - 1)), "inverseBindMatrices": file.add(inverse, "MAT4")}
        ],
    }
    return file


def quaternion(turn: np.ndarray) -> list[float]:
    return roma.rotmat_to_unitquat(torch.from_numpy(np.ascontiguousarray(turn))).tolist()

"""Binary glTF 2.0: a baked mesh, or rigs in their poses over time with the camera that saw them.

Written out here: it is a page or two, and importing trimesh takes half a second. Axes: y up, metres.
"""

import json
import math
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mpt.clothes import Clothes
from mpt.render import PALETTE, vertex_normals
from mpt.rigs.aim import aimed
from mpt.rigs.timing import keys

if TYPE_CHECKING:
    from mpt.rigs.rig import Place, Rig  # with it comes torch, which no baked mesh needs

ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
KINDS = {np.dtype(np.float32): 5126, np.dtype(np.uint32): 5125, np.dtype(np.uint16): 5123}
SHAPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
FACING = np.array([1, -1, -1], np.float32)
"""Camera axes (y down, z forward) -> y up, facing the viewer: a half turn about x."""
BLUE = (0.31, 0.5, 0.76, 1.0)
WHITE = (1.0, 1.0, 1.0, 1.0)  # of vertices that have colours, by which it is multiplied


class Lens(NamedTuple):
    """A photo's camera, whose axis goes through the middle: pixels."""

    focal_px: float
    size_wh: tuple[int, int]


class Mesh(NamedTuple):
    """A mesh (V, 3), (F, 3), and what it wears."""

    vertices: np.ndarray
    faces: np.ndarray
    clothes: Clothes | None = None


def baked(meshes: Mapping[str, Mesh]) -> bytes:
    """Meshes by their names, as they stand; without clothes each is of one colour."""
    file = _File(_shades([mesh.clothes for mesh in meshes.values()]))
    for number, (name, (vertices, faces, clothes)) in enumerate(meshes.items()):
        worn = _worn(clothes, number, vertices, faces)
        mesh = file.mesh(vertices, faces, material=number, **worn)
        file.nodes.append({"mesh": mesh, "name": name})
    return file.content(list(range(len(meshes))))


class Painted(NamedTuple):
    """A mesh (V, 3), (F, 3) with colours (V, 3) of its vertices, sRGB in [0, 1]."""

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray


def painted(meshes: Mapping[str, Painted]) -> bytes:
    """Meshes by their names, as they stand, in the colours of their vertices."""
    file = _File([WHITE])
    for name, (vertices, faces, colours) in meshes.items():
        mesh = file.mesh(vertices, faces, COLOR_0=_linear(colours))
        file.nodes.append({"mesh": mesh, "name": name})
    return file.content(list(range(len(meshes))))


def without(glb: bytes, names: Collection[str]) -> bytes:
    """A file of ours whose scene leaves out the nodes of these names; all that it holds stays in it."""
    length = struct.unpack_from("<I", glb, 12)[0]
    header = json.loads(glb[20 : 20 + length])
    scene = header["scenes"][0]
    scene["nodes"] = [node for node in scene["nodes"] if header["nodes"][node]["name"] not in names]
    return _chunks(header, glb[20 + length + 8 :])


def rigged(rigs: "Mapping[str, Rig]", camera: "Place | None" = None, lens: Lens | None = None) -> bytes:
    """Rigs by their names, each an armature and its skin, whose first pose stands in the joints' nodes. Where
    there are more, one animation moves all rigs at their own times.

    An armature's own node stands on y = 0 below its root's first place. ``lens`` adds the photo's camera,
    where ``camera`` puts the origin of camera axes (x right, y down, z forward).
    """
    file, scene = _File(_shades([rig.clothes for rig in rigs.values()])), []
    for number, (name, rig) in enumerate(rigs.items()):
        axes = aimed(rig.parents, rig.heads, rig.end)
        ground = rig.root_m[0] * [1, 0, 1]
        first = len(file.nodes) + 1
        file.nodes.append({"name": name, "translation": _plain(ground), "children": [first]})
        scene.append(first - 1)
        file.nodes += _joint_nodes(rig, axes, first, rig.root_m[0] - ground)
        if len(rig.times_s) > 1:
            file.animate(rig, axes, first, rig.root_m - ground)
        joints = list(range(first, first + len(rig.joints)))
        skin = {"inverseBindMatrices": file.accessor(_inverse_bind(rig, axes)), "joints": joints}
        file.skins.append(skin | {"skeleton": first, "name": name})
        mesh = file.mesh(
            rig.vertices,
            rig.faces,
            material=number,
            **_worn(rig.clothes, number, rig.vertices, rig.faces),
            JOINTS_0=rig.skin_index.astype(np.uint16),
            WEIGHTS_0=rig.skin_weight.astype(np.float32),
        )
        scene.append(len(file.nodes))
        file.nodes.append({"mesh": mesh, "skin": len(file.skins) - 1, "name": f"{name} skin"})
    if lens is not None and camera is not None:
        scene.append(len(file.nodes))
        file.cameras.append(_camera(lens))
        turn = _quaternions((camera.rotation * FACING)[None, None])[0, 0]  # glTF's cameras look along -z
        file.nodes.append(
            {"camera": 0, "name": "camera", "translation": _plain(camera.shift), "rotation": _plain(turn)}
        )
    return file.content(scene)


def _worn(
    clothes: Clothes | None, number: int, vertices: np.ndarray, faces: np.ndarray
) -> dict[str, np.ndarray]:
    """The attributes by which the vertices of person ``number`` are dressed, in the colour of overlays."""
    if clothes is None:
        return {}
    colours = clothes.colours(PALETTE[number % len(PALETTE)])
    return {"NORMAL": clothes.smoothed(vertex_normals(vertices, faces)), "COLOR_0": _linear(colours)}


def _in_axes(rig: "Rig", axes: np.ndarray, frames: slice, joints: Sequence[int]) -> np.ndarray:
    """(F, J, 4) quaternions of some joints, from their own axes to their parents' or the world's."""
    above = np.stack([axes[rig.parents[joint]] if joint else np.eye(3) for joint in joints])
    return _quaternions(above.swapaxes(1, 2) @ rig.turns[frames][:, joints] @ axes[joints])


def _inverse_bind(rig: "Rig", axes: np.ndarray) -> np.ndarray:
    """(J, 4, 4), column by column, as glTF has matrices."""
    matrices = np.tile(np.eye(4, dtype=np.float32), (len(rig.joints), 1, 1))
    matrices[:, :3, :3] = axes
    matrices[:, 3, :3] = -np.einsum("jik,ji->jk", axes, rig.heads)
    return matrices


def _joint_nodes(rig: "Rig", axes: np.ndarray, first: int, root: np.ndarray) -> list[dict]:
    """A node for each joint in the first pose; ``first`` is the first one's number, ``root`` its place."""
    (turns,) = _in_axes(rig, axes, slice(1), range(len(rig.joints)))
    nodes: list[dict] = []
    for name, parent, offset, turn in zip(rig.joints, rig.parents, rig.offsets, turns):
        place = root if parent < 0 else offset @ axes[parent]
        nodes.append({"name": name, "translation": _plain(place), "rotation": _plain(turn)})
        if parent >= 0:
            nodes[parent].setdefault("children", []).append(first + len(nodes) - 1)
    return nodes


def _camera(lens: Lens) -> dict:
    width, height = lens.size_wh
    view = 2 * math.atan(height / 2 / lens.focal_px)
    perspective = {"yfov": view, "aspectRatio": width / height, "znear": 0.01, "zfar": 1000.0}
    return {"type": "perspective", "name": "camera", "perspective": perspective}


@dataclass
class _File:
    """What a GLB file holds, gathered part by part; ``colours`` are those of its materials."""

    colours: Sequence[Sequence[float]] = (BLUE,)
    nodes: list[dict] = field(default_factory=list)
    meshes: list[dict] = field(default_factory=list)
    skins: list[dict] = field(default_factory=list)
    cameras: list[dict] = field(default_factory=list)
    samplers: list[dict] = field(default_factory=list)
    channels: list[dict] = field(default_factory=list)
    accessors: list[dict] = field(default_factory=list)
    views: list[dict] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)

    def accessor(self, array: np.ndarray, target: int | None = None, *, bounds: bool = False) -> int:
        """The number under which an array is kept."""
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes}
        self.views.append(view if target is None else view | {"target": target})
        self.data += array.astype(array.dtype.newbyteorder("<")).tobytes()  # each a whole number of words
        accessor = {
            "bufferView": len(self.views) - 1,
            "componentType": KINDS[array.dtype],
            "count": len(array),
            "type": SHAPES[array.shape[1:]],
        }
        lowest, highest = np.atleast_1d(array.min(0)), np.atleast_1d(array.max(0))
        extremes = {"min": lowest.tolist(), "max": highest.tolist()} if bounds else {}
        self.accessors.append(accessor | extremes)
        return len(self.accessors) - 1

    def mesh(
        self, vertices: np.ndarray, faces: np.ndarray, *, material: int = 0, **attributes: np.ndarray
    ) -> int:
        """The number of a mesh with smooth normals, and these attributes of its vertices besides."""
        vertices = vertices.astype(np.float32)
        own = {"POSITION": self.accessor(vertices, ARRAY_BUFFER, bounds=True)}
        if "NORMAL" not in attributes:
            attributes = {"NORMAL": vertex_normals(vertices, faces), **attributes}
        own |= {name: self.accessor(array, ARRAY_BUFFER) for name, array in attributes.items()}
        indices = self.accessor(faces.astype(np.uint32).ravel(), ELEMENT_ARRAY_BUFFER)
        self.meshes.append({"primitives": [{"attributes": own, "indices": indices, "material": material}]})
        return len(self.meshes) - 1

    def animate(self, rig: "Rig", axes: np.ndarray, first: int, root: np.ndarray) -> None:
        """Turn a rig's joints, whose nodes begin at ``first``, and move its root to places (F, 3)."""
        when, frame = keys(rig.times_s, rig.fps)
        times = self.accessor(when.astype(np.float32), bounds=True)

        def move(node: int, path: str, values: np.ndarray) -> None:
            output = self.accessor(values[frame].astype(np.float32))
            self.samplers.append({"input": times, "output": output, "interpolation": "LINEAR"})
            target = {"node": node, "path": path}
            self.channels.append({"sampler": len(self.samplers) - 1, "target": target})

        move(first, "translation", root)
        turning = np.ptp(rig.turns, 0).any((1, 2))
        joints = [0, *(int(joint) for joint in np.flatnonzero(turning) if joint)]
        turns = _in_axes(rig, axes, slice(None), joints)
        for k, joint in enumerate(joints):
            move(first + joint, "rotation", turns[:, k])

    def content(self, scene: list[int]) -> bytes:
        """The file's bytes; ``scene`` numbers the nodes that no other node holds."""
        materials = [
            {
                "name": "skin",
                "pbrMetallicRoughness": {
                    "baseColorFactor": list(colour),
                    "metallicFactor": 0.0,
                    "roughnessFactor": 0.7,
                },
            }
            for colour in self.colours
        ]
        moves = {"name": "motion", "channels": self.channels, "samplers": self.samplers}
        animations = [moves] if self.channels else []
        header = {
            "asset": {"version": "2.0", "generator": "mpt"},
            "scene": 0,
            "scenes": [{"nodes": scene}],
            "nodes": self.nodes,
            "meshes": self.meshes,
            "materials": materials,
            "skins": self.skins,
            "animations": animations,
            "cameras": self.cameras,
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(self.data)}],
        }
        header = {name: part for name, part in header.items() if part != []}
        return _chunks(header, bytes(self.data))


def _chunks(header: Mapping, data: bytes) -> bytes:
    """A GLB file of its two parts."""
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    size = 12 + 8 + len(text) + 8 + len(data)
    return b"".join(
        [
            struct.pack("<4sII", b"glTF", 2, size),
            struct.pack("<I4s", len(text), b"JSON") + text,
            struct.pack("<I4s", len(data), b"BIN\0") + data,
        ]
    )


def _shades(clothes: Sequence[Clothes | None]) -> list[Sequence[float]]:
    """Linear RGBA of materials, by what each person wears: of who wears something the vertices have it. Of
    the others one alone is blue; of several each has the colour that overlays give them.
    """
    if len(clothes) == 1:
        return [WHITE if clothes[0] else BLUE]
    palette = [[*map(float, _linear(PALETTE[number % len(PALETTE)])), 1.0] for number in range(len(clothes))]
    return [WHITE if worn else colour for worn, colour in zip(clothes, palette)]


def _linear(colours: np.ndarray) -> np.ndarray:
    """sRGB -> linear light, both in [0, 1]: what glTF's vertices have."""
    bright = ((colours + 0.055) / 1.055) ** 2.4
    return np.where(colours <= 0.04045, colours / 12.92, bright).astype(np.float32)


def _quaternions(turns: np.ndarray) -> np.ndarray:
    """(F, J, 3, 3) -> (F, J, 4) unit quaternions x, y, z, w, each near the one before it."""
    import roma
    import torch

    found = roma.rotmat_to_unitquat(torch.from_numpy(turns)).numpy()
    away = (found[1:] * found[:-1]).sum(2) < 0
    found[1:][np.cumsum(away, 0) % 2 == 1] *= -1
    return found


def _plain(numbers: np.ndarray) -> list[float]:
    return [float(number) + 0.0 for number in np.asarray(numbers, np.float32)]

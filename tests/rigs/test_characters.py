"""Other people's characters do what a body does, and nothing else of their files changes."""

import json
import struct
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import roma
import torch
from kinds import CHARACTERS
from made_up import SIDES
from posed import gltf_arrays, posed_person

from mpt.bodies.motion import BodyMotion
from mpt.rigs.characters import read_character
from mpt.rigs.performances import LEVEL, performance_of
from mpt.rigs.performing import animated

DEGREE = np.radians(1)
LIMBS = [
    (f"{side}_{start}", f"{side}_{end}")
    for side in SIDES
    for start, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
]


@pytest.fixture(scope="module")
def moving() -> BodyMotion:
    """Somebody in four poses, in camera axes."""
    poses = [posed_person(seed) for seed in range(4)]
    generator = np.random.default_rng(0)
    return BodyMotion(
        poses[0].body,
        np.stack([pose.rotvec for pose in poses]),
        poses[0].shape,
        generator.normal(size=(4, 3)).astype(np.float32),
        np.array([0.5, 0.54, 0.58, 0.7]),
        25.0,
    )


def limbs_of(moving: BodyMotion) -> dict[tuple[str, str], np.ndarray]:
    """(F, 3) directions of the body's limbs in the world."""
    heads = np.stack(
        [LEVEL(moving[k].posed().transforms[:, :3, 3].astype(float)) for k in range(len(moving))]
    )
    at = {role: heads[:, moving.body.bones.index(bone)] for role, bone in moving.body.roles.items()}
    return {(start, end): direction(at[end] - at[start]) for start, end in LIMBS}


def direction(way: np.ndarray) -> np.ndarray:
    return way / np.linalg.norm(way, axis=-1, keepdims=True)


def played(path: Path, animation: int = -1) -> np.ndarray:
    """(F, nodes, 4, 4) of every node at the keys of an animation, by glTF's own rules."""
    file = pygltflib.GLTF2().load(str(path))
    moves = file.animations[animation]
    parents = {child: number for number, node in enumerate(file.nodes) for child in node.children or []}
    values = {
        (channel.target.node, channel.target.path): gltf_arrays(file, moves.samplers[channel.sampler].output)
        for channel in moves.channels
    }
    count = len(next(iter(values.values())))

    def local(number: int, key: int) -> np.ndarray:
        node, found = file.nodes[number], np.eye(4)
        if node.matrix and not any(number == moved for moved, _ in values):
            return np.reshape(node.matrix, (4, 4)).T
        part = {name: values.get((number, name)) for name in ("translation", "rotation", "scale")}
        told = {
            name: getattr(node, name) or other
            for name, other in (("translation", [0, 0, 0]), ("rotation", [0, 0, 0, 1]), ("scale", [1, 1, 1]))
        }
        now = {name: told[name] if part[name] is None else part[name][key] for name in told}
        found[:3, :3] = (
            roma.unitquat_to_rotmat(torch.tensor(np.array(now["rotation"], float))).numpy() * now["scale"]
        )
        found[:3, 3] = now["translation"]
        return found

    def world(number: int, key: int) -> np.ndarray:
        above = parents.get(number)
        return local(number, key) if above is None else world(above, key) @ local(number, key)

    return np.array([[world(number, key) for number in range(len(file.nodes))] for key in range(count)])


def perform(tmp_path: Path, content: bytes, moving: BodyMotion, ending: str = ".glb") -> Path:
    source, target = tmp_path / f"rig{ending}", tmp_path / f"animated{ending}"
    source.write_bytes(content)
    _, made = animated(read_character(source), performance_of(moving, LEVEL, name="dance"))
    target.write_bytes(made)
    return target


@pytest.mark.parametrize("kind", CHARACTERS)
def test_limbs_point_where_the_bodys_do(tmp_path, moving, kind):
    skeleton, file = CHARACTERS[kind]()
    places = played(perform(tmp_path, file.glb(), moving))[:, 1 : 1 + len(skeleton.names), :3, 3]
    for (start, end), wanted in limbs_of(moving).items():
        found = direction(places[:, skeleton.of(end)] - places[:, skeleton.of(start)])
        off = np.arccos(np.clip((found * wanted).sum(1), -1, 1))
        assert off.max() < 0.1 * DEGREE, (start, end)


def parts(content: bytes) -> tuple[bytes, bytes]:
    """The JSON's text and the binary chunk of a GLB."""
    size = struct.unpack_from("<I", content, 12)[0]
    assert struct.unpack_from("<4sII", content) == (b"glTF", 2, len(content))
    assert struct.unpack_from("<I4s", content, 20 + size) == (len(content) - 28 - size, b"BIN\0")
    return content[20 : 20 + size], content[28 + size :]


CHANGED = ("accessors", "bufferViews", "buffers", "animations")


@pytest.mark.parametrize("kind", CHARACTERS)
def test_everything_else_stays_byte_for_byte(tmp_path, moving, kind):
    before = CHARACTERS[kind]()[1].glb()
    after = perform(tmp_path, before, moving).read_bytes()
    (old, old_data), (new, new_data) = parts(before), parts(after)
    assert new_data.startswith(old_data)
    was, now = json.loads(old), json.loads(new)
    assert [name for name in now if name in was] == list(was)
    assert now.keys() - was.keys() <= {"animations"}
    if kind == "matrices":
        for node, other in zip(was.pop("nodes"), now["nodes"], strict=True):
            assert node.keys() - {"matrix"} == other.keys() - {"matrix", "translation", "rotation", "scale"}
    for name, value in was.items():
        if name not in CHANGED:
            assert now[name] == value
    for name in ("accessors", "bufferViews"):
        assert now[name][: len(was[name])] == was[name]
    assert now["buffers"] == [{"byteLength": len(new_data)}, *was["buffers"][1:]]
    end = old.index(b'"bufferViews"')
    assert new[:end] == old[:end]  # letters, spaces and digits as they were written
    assert "Stoff für Ärmel".encode() in new and b"2.50e-1" in new

"""Other people's characters do what a body does, and nothing else of their files changes."""

import base64
import json
import re
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import roma
import torch
from exporters import EXPORTERS
from kinds import CHARACTERS, turned_about
from made_up import ARMS_DOWN, SIDES, Skeleton, along_y, character, glb, person, turned
from mutants import survive
from posed import gltf_arrays, posed_person

from mpt.bodies.motion import BodyMotion
from mpt.errors import InputError
from mpt.mocap import Motion
from mpt.rigs.characters import read_character
from mpt.rigs.glb_file import Channel
from mpt.rigs.gltf import rigged
from mpt.rigs.names import mixamo
from mpt.rigs.performances import LEVEL, performance_of
from mpt.rigs.performing import Performance, animated
from mpt.rigs.rig import rig_of

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


def heads_of(moving: BodyMotion) -> np.ndarray:
    """(F, B, 3) where the body's bones begin in the world."""
    poses = [moving[k].posed() for k in range(len(moving))]
    return np.stack([LEVEL(pose.transforms[:, :3, 3].astype(float)) for pose in poses])


def limbs_of(moving: BodyMotion) -> dict[tuple[str, str], np.ndarray]:
    """(F, 3) directions of the body's limbs in the world."""
    heads = heads_of(moving)
    at = {role: heads[:, moving.body.bones.index(bone)] for role, bone in moving.body.roles.items()}
    return {(start, end): direction(at[end] - at[start]) for start, end in LIMBS}


def direction(way: np.ndarray) -> np.ndarray:
    return way / np.linalg.norm(way, axis=-1, keepdims=True)


def played(path: Path, animation: int = -1) -> np.ndarray:
    """(F, nodes, 4, 4) of every node at the keys of an animation, by glTF's own rules."""
    file = pygltflib.GLTF2()
    file = (file.load_json if path.suffix == ".gltf" else file.load_binary)(str(path))
    moves = file.animations[animation]
    parents = {child: number for number, node in enumerate(file.nodes) for child in node.children or []}
    values = {
        (channel.target.node, channel.target.path): numbers_of(file, moves.samplers[channel.sampler].output)
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


def numbers_of(file: pygltflib.GLTF2, accessor: int) -> np.ndarray:
    """Of an accessor in the binary chunk, or in a buffer that is text."""
    told = file.accessors[accessor]
    view = file.bufferViews[told.bufferView]
    if (uri := file.buffers[view.buffer].uri) is None:
        return gltf_arrays(file, accessor)
    data = base64.b64decode(uri.partition(",")[2])
    return (
        np.frombuffer(data, np.float32, offset=told.byteOffset)
        .reshape(-1)[: told.count * int(told.type[-1])]
        .reshape(told.count, -1)
    )


def perform(tmp_path: Path, content: bytes, moving: BodyMotion, ending: str = ".glb") -> Path:
    source, target = tmp_path / f"rig{ending}", tmp_path / f"animated{ending}"
    source.write_bytes(content)
    _, made = animated(read_character(source), performance_of(moving, LEVEL, name="dance", in_world=False))
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


# -------------------------------------------------------------------------------------------- more than limbs


def test_a_body_of_ones_own_does_what_the_body_does_to_the_fingertips(tmp_path, moving):
    made = rigged({"person": rig_of(moving[2], LEVEL, names="mixamo")})
    path = perform(tmp_path, made, moving)
    names = [node.name for node in pygltflib.GLTF2().load(str(path)).nodes]
    places, wanted, called = played(path)[:, :, :3, 3], heads_of(moving), mixamo(moving.body)
    hips = [moving.body.roles[f"{side}_hip"] for side in SIDES]
    here = places[:, [names.index(called[bone]) for bone in hips]].mean(1)
    there = wanted[:, [moving.body.bones.index(bone) for bone in hips]].mean(1)
    for bone, name in called.items():
        found = places[:, names.index(name)] - here
        np.testing.assert_allclose(found, wanted[:, moving.body.bones.index(bone)] - there, atol=1e-3)


def walk(count: int = 6) -> BodyMotion:
    """Somebody upright in a level camera's axes goes 2 m to the right, and is 0.5 m up in the last frame."""
    body = posed_person(0).body
    rotvec = np.zeros((count, len(body.bones), 3), np.float32)
    rotvec[:, 0] = [np.pi, 0, 0]
    place = np.zeros((count, 3), np.float32)
    place[:, 0] = np.linspace(0, 2, count)
    place[-1, 1] = -0.5
    shape = np.zeros(body.shape_count, np.float32)
    return BodyMotion(body, rotvec, shape, place, np.arange(count) / 30, 30.0)


@pytest.mark.parametrize("stature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("floor", [-0.7, 0.0])
def test_feet_stay_on_the_characters_floor_and_steps_are_as_long_as_its_legs(tmp_path, stature, floor):
    skeleton = along_y(person(arms_down=ARMS_DOWN, stature=stature))
    skeleton.places += [0.3, floor, -0.2]
    moving = walk()
    path = perform(tmp_path, character(skeleton).glb(), moving)
    places = played(path)[:, 1 : 1 + len(skeleton.names), :3, 3]
    sole = skeleton.places[:, 1].min()
    heights = places[:, :, 1].min(1)
    legs = [leg(skeleton.places, [skeleton.of(f"left_{joint}") for joint in LEG])]
    legs += [leg(heads_of(moving)[0], [moving.body.bones.index(moving.body.roles[f"left_{j}"]) for j in LEG])]
    stride = legs[0] / legs[1]
    np.testing.assert_allclose(heights[:-1], sole, atol=0.004 * stature)
    assert heights[-1] - sole == pytest.approx(0.5 * stride, abs=0.004 * stature)
    hips = places[:, [skeleton.of("left_hip"), skeleton.of("right_hip")]].mean(1)
    np.testing.assert_allclose(hips[0, [0, 2]], [0.3, -0.2 + 0.01 * stature], atol=1e-5)
    assert hips[-1, 0] - hips[0, 0] == pytest.approx(2 * stride, rel=1e-5)


LEG = ("hip", "knee", "ankle")


def leg(places: np.ndarray, joints: list[int]) -> float:
    return float(np.linalg.norm(np.diff(places[joints], axis=0), axis=1).sum())


def test_in_a_shared_world_people_begin_apart(tmp_path):
    moving = replace(walk(2), translation_m=np.tile(np.float32([1.0, 0, 3]), (2, 1)))
    path, skeleton = tmp_path / "rig.glb", person()
    path.write_bytes(character(skeleton).glb())
    begins = []
    for in_world in (True, False):
        _, made = animated(read_character(path), performance_of(moving, LEVEL, in_world=in_world))
        (tmp_path / "animated.glb").write_bytes(made)
        begins.append(played(tmp_path / "animated.glb")[0, 1, :3, 3])
    stride = leg(skeleton.places, [skeleton.of(f"left_{joint}") for joint in LEG]) / leg(
        heads_of(moving)[0], [moving.body.bones.index(moving.body.roles[f"left_{j}"]) for j in LEG]
    )
    hips = heads_of(moving)[0, [moving.body.bones.index(moving.body.roles[f"{s}_hip"]) for s in SIDES]].mean(
        0
    )
    np.testing.assert_allclose((begins[0] - begins[1])[[0, 2]], stride * hips[[0, 2]], atol=1e-5)


def mocap_of(skeleton: Skeleton, frames: int = 3) -> Motion:
    """A skeleton, all of whose joints turn by up to half a radian."""
    parents = np.array(skeleton.parents)
    places = skeleton.places - skeleton.places[0]
    offsets = np.where(parents[:, None] < 0, 0, places - places[parents])
    rotvec = np.random.default_rng(1).uniform(-0.3, 0.3, (frames, len(parents), 3))
    return Motion("clip", "01", 30, skeleton.names, parents, offsets, rotvec, np.zeros((frames, 3)))


def test_fingers_point_where_those_of_motion_capture_do(tmp_path):
    motion = mocap_of(person())
    skeleton, file = CHARACTERS["unreal 5"]()
    (tmp_path / "rig.glb").write_bytes(file.glb())
    _, made = animated(read_character(tmp_path / "rig.glb"), Performance(motion, np.arange(3) / 30))
    (tmp_path / "animated.glb").write_bytes(made)
    places = played(tmp_path / "animated.glb")[:, 1 : 1 + len(skeleton.names), :3, 3]
    source, wanted = person(), motion.positions()
    for finger in ("left_index", "right_middle"):
        one, other = (
            direction(at[:, of(f"{finger}2")] - at[:, of(f"{finger}1")])
            for at, of in ((places, skeleton.of), (wanted, source.of))
        )
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_bone_half_way_down_the_forearm_takes_half_of_its_twist(tmp_path):
    source = person()
    motion = mocap_of(source)
    turned_by = np.zeros_like(motion.rotvec)
    axis = direction(source.places[source.of("left_wrist")] - source.places[source.of("left_elbow")])
    turned_by[:, source.of("left_wrist")] = axis * np.array([0, 1.2, -1.0])[:, None]
    skeleton = along_y(person(EXPORTERS["genesis 8"]))
    (tmp_path / "rig.glb").write_bytes(character(skeleton).glb())
    performance = Performance(replace(motion, rotvec=turned_by), np.arange(3) / 30)
    (tmp_path / "animated.glb").write_bytes(animated(read_character(tmp_path / "rig.glb"), performance)[1])
    world = played(tmp_path / "animated.glb")[:, 1:, :3, :3]
    joints = [skeleton.names.index(name) for name in ("lForearmBend", "lForearmTwist", "lHand")]
    turns = [roma.rotmat_to_rotvec(torch.from_numpy(world[:, j] @ world[0, j].T)).numpy() for j in joints]
    for turn, part in zip(turns, (0, 0.5, 1)):
        np.testing.assert_allclose(turn, part * turned_by[:, source.of("left_wrist")], atol=1e-5)


def test_who_is_away_for_long_stays_and_is_then_back_at_once(tmp_path, moving):
    moving = replace(moving, times_s=np.array([0, 0.04, 2.0, 2.04]))
    path = perform(tmp_path, CHARACTERS["t-pose"]()[1].glb(), moving)
    file = pygltflib.GLTF2().load(str(path))
    times = gltf_arrays(file, file.animations[0].samplers[0].input).ravel()
    np.testing.assert_allclose(times, [0, 0.04, 1.96, 2.0, 2.04], atol=1e-6)
    world = played(path)
    np.testing.assert_array_equal(world[1], world[2])


def test_what_it_could_do_before_it_can_still_do(tmp_path, moving):
    before = CHARACTERS["waving"]()[1].glb()
    path = perform(tmp_path, before, moving)
    (tmp_path / "before.glb").write_bytes(before)
    file = pygltflib.GLTF2().load(str(path))
    assert [animation.name for animation in file.animations] == ["dance", "dance 2"]
    assert played(path, 0) == pytest.approx(played(tmp_path / "before.glb", 0))
    moves = file.animations[1]
    times = gltf_arrays(file, moves.samplers[0].input).ravel()
    np.testing.assert_allclose(times, moving.times_s)
    quaternions = [gltf_arrays(file, sampler.output) for sampler in moves.samplers[1:]]
    for turns in quaternions:
        np.testing.assert_allclose(np.linalg.norm(turns, axis=1), 1, atol=1e-6)
        assert ((turns[1:] * turns[:-1]).sum(1) >= 0).all()


@pytest.mark.parametrize("external", [True, False])
def test_a_gltf_is_animated_too(tmp_path, moving, external):
    skeleton, file = CHARACTERS["sitting"]()
    uri = "mesh%20data.bin" if external else f"data:;base64,{base64.b64encode(file.data).decode()}"
    (tmp_path / "mesh data.bin").write_bytes(file.data)
    path = perform(tmp_path, file.text(uri=uri).encode(), moving, ".gltf")
    now = json.loads(path.read_text())
    assert now["buffers"][0] == {"byteLength": len(file.data), "uri": uri}
    assert path.read_text().startswith(file.text(uri=uri).partition('"bufferViews"')[0])
    places = played(path)[:, 1 : 1 + len(skeleton.names), :3, 3]
    found = direction(places[:, skeleton.of("left_knee")] - places[:, skeleton.of("left_hip")])
    np.testing.assert_allclose(found, limbs_of(moving)["left_hip", "left_knee"], atol=1e-3)
    source = read_character(tmp_path / "rig.gltf").file
    with pytest.raises(InputError, match=r"a copy of .*rig.gltf ends in .gltf: choose another --out"):
        source.check_copy(tmp_path / "animated.glb")
    if external:
        with pytest.raises(InputError, match=r"needs files that lie beside it \(mesh%20data.bin\)"):
            source.check_copy(tmp_path / "elsewhere" / "animated.gltf")


def test_chunks_that_nobody_knows_stay(tmp_path, moving):
    text, data = parts(CHARACTERS["t-pose"]()[1].glb())
    more = struct.pack("<I4s", 8, b"MORE") + b"whatever"
    assert perform(tmp_path, glb(text, data, more), moving).read_bytes().endswith(more)


def test_a_joint_map_tells_what_nothing_else_does(tmp_path, moving):
    skeleton = person()
    called = dict(zip(skeleton.roles, [f"x{joint}" for joint in range(len(skeleton.names))]))
    lopsided = skeleton.places.copy()
    lopsided[skeleton.of("left_elbow")] += [-0.1, 0, 0]  # no tree can tell these arms
    skeleton = replace(skeleton, names=list(called.values()), places=lopsided)
    path = tmp_path / "rig.glb"
    path.write_bytes(character(skeleton).glb())
    with pytest.raises(InputError, match=r"no joint was found for left_hip, .* and 15 more; a person's skel"):
        read_character(path)
    sided = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist", "toe", "collar")
    limbs = ["neck", "head", *(f"{side}_{limb}" for side in SIDES for limb in sided)]
    rig = read_character(path, {limb: called[limb] for limb in limbs}).skeletons[0].rig
    assert rig.joints[rig.roles["left_knee"]] == called["left_knee"]


@pytest.mark.parametrize("kind", ["from fbx", "matrices", "waving"])
def test_the_validator_of_gltf_finds_no_fault(tmp_path, moving, kind):
    node = shutil.which("node")
    script = "const v = require('gltf-validator');"
    if node is None or subprocess.run([node, "-e", script], capture_output=True, check=False).returncode:
        pytest.skip("node and its gltf-validator are not here (npm install gltf-validator, NODE_PATH)")
    path = perform(tmp_path, CHARACTERS[kind]()[1].glb(), moving)
    script += (
        "v.validateBytes(new Uint8Array(require('fs').readFileSync(process.argv[1])))"
        ".then(r => console.log(r.issues.numErrors, r.issues.numWarnings))"
    )
    said = subprocess.run([node, "-e", script, str(path)], capture_output=True, check=True, text=True)
    assert said.stdout.split() == ["0", "0"]


# ------------------------------------------------------------------------------------------------- bad files


def broken() -> dict[str, tuple[bytes, str]]:
    whole = CHARACTERS["from fbx"]()[1].glb()
    text, data = parts(whole)
    header = json.loads(text)

    def told(**changed) -> bytes:
        return glb(json.dumps(header | changed).encode(), data)

    two = [person(), turned_about(person(), turned("y", 1.0))]
    two[1].places += [2, 0, 0]
    many = CHARACTERS["clothed"]()[1]
    many.header["nodes"][len(header["nodes"])]["translation"] = [2, 0, 0]
    return {
        "text": (b"a character", "it is no glTF file, a rigged GLB, VRM or glTF was expected; Blender"),
        "empty": (b"", "it is empty, a rigged GLB, VRM or glTF was expected"),
        "fbx": (b"Kaydara FBX Binary  ", "it is an FBX file, a rigged GLB, VRM or glTF was expected"),
        "cut": (whole[:-100], rf"it is cut short, or its header is wrong: {len(whole)} bytes are told and "),
        "head": (whole[:15], "it is cut short in its header"),
        "long": (whole + b"x", rf"its header is wrong: {len(whole)} bytes are told and {len(whole) + 1}"),
        "chunk": (whole[:12] + b"\xff\xff\0\0" + whole[16:], "its chunk 1 is longer than the file"),
        "version": (whole[:4] + b"\1" + whole[5:], "it is a GLB of version 1, 2 was expected"),
        "gltf 1": (told(asset={"version": "1.0"}), "its JSON tells version 1.0 of glTF, 2.0 was expected"),
        "json": (glb(text[:99], data), "its JSON is damaged or cut short"),
        "infinite": (glb(text.replace(b"2.50e-1", b"Infinity"), data), "its JSON is damaged"),
        "no skin": (told(skins=[]), "it has no skin on bones, a rigged character was expected"),
        "two people": (many.glb(), "it holds 2 characters, one was expected: export each to its own file"),
        "circle": (
            told(nodes=[{"children": [1]}, {"children": [0]}], skins=[{"joints": [0]}]),
            "in a circle",
        ),
        "two parents": (told(nodes=[{"children": [2]}, {"children": [2]}, {}]), "its node 2 hangs on two"),
        "no such joint": (
            told(skins=[{"joints": [999]}]),
            "999 is among the joints of a skin, and it has 37",
        ),
        "short buffer": (told(buffers=[{"byteLength": 10**6}]), "its buffer is told to hold 1000000 bytes"),
        "nobody": (character(person(DOG)).glb(), "no joint was found for left_hip, .* among root, tail"),
    }


DOG = (
    "root:hips (tail:spine (tail2:spine1) spine:spine (head:head) {s}_front:collar ({s}_paw:wrist) "
    "{s}_rear:hip ({s}_rearpaw:ankle))"
)


@pytest.mark.parametrize("kind", broken())
def test_a_broken_file_is_refused_in_a_sentence(tmp_path, moving, kind):
    content, sentence = broken()[kind]
    with pytest.raises(InputError, match=rf"^{re.escape(str(tmp_path / 'rig.glb'))}: .*{sentence}"):
        perform(tmp_path, content, moving)
    assert [path.name for path in tmp_path.iterdir()] == ["rig.glb"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "count"), [("whole", 1000), ("text", 800), ("data", 200)])
def test_damaged_files_are_read_or_refused(tmp_path, kind, count):
    whole = CHARACTERS["vrm 1"]()[1].glb()
    text, data = parts(whole)

    def read(path: Path) -> None:
        made = {"whole": path.read_bytes, "text": lambda: glb(path.read_bytes(), data)}
        content = made.get(kind, lambda: glb(text, path.read_bytes()))()
        (tmp_path / "rig.glb").write_bytes(content)
        character = read_character(tmp_path / "rig.glb")
        channel = Channel(character.skeletons[0].nodes[3], "rotation", np.array([[0.0, 0, 0, 1]]))
        new = character.file.with_animation("still", np.zeros(1), [channel])
        assert json.loads(parts(new)[0])["animations"]

    source = {"whole": whole, "text": text, "data": data}[kind]
    assert survive(read, tmp_path / "mutant", source, count) > 0

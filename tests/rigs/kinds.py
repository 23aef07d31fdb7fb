"""Kinds of characters: how they rest, how their file is made, and who exported them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import roma
import torch
from exporters import EXPORTERS
from made_up import ARMS_DOWN, SIDES, Gltf, Skeleton, along_y, character, person, quaternion, turned

Made = tuple[Skeleton, Gltf]
"""Joints, which are the file's nodes from number 1 on, and the file."""

VRM = {"hips": "hips", "spine": "spine", "neck": "neck", "head": "head"} | {
    "hip": "UpperLeg", "knee": "LowerLeg", "ankle": "Foot", "toe": "Toes", "collar": "Shoulder",
    "shoulder": "UpperArm", "elbow": "LowerArm", "wrist": "Hand", "middle1": "MiddleProximal",
}  # fmt: skip
MIDLINE = ("hips", "spine", "neck", "head")


def of(skeleton: Skeleton) -> Made:
    return skeleton, character(skeleton)


def blender() -> Made:
    """In an A-pose, of Mixamo's names; the mesh z up in centimetres, as it comes from FBX."""
    skeleton = along_y(person(arms_down=ARMS_DOWN))
    return skeleton, character(skeleton, armature=turned("x", -np.pi / 2), unit=0.01)


def turned_about(skeleton: Skeleton, turn: np.ndarray) -> Skeleton:
    return replace(skeleton, places=skeleton.places @ turn.T, frames=turn @ skeleton.frames)


def vrm(version: str, turn: np.ndarray) -> Made:
    """Of names that say nothing: the file's humanoid does."""
    skeleton = turned_about(along_y(person()), turn)
    bones = {}
    for role, bone in VRM.items():
        sided = [(bone, "")] if role in MIDLINE else [(f"{side}{bone}", f"{side}_") for side in SIDES]
        bones |= {name: {"node": 1 + skeleton.of(side + role)} for name, side in sided}
    skeleton.names = [f"骨{joint % 7}" for joint in range(len(skeleton.names))]
    file = character(skeleton)
    if version == "VRM":
        old = [{"bone": name, "useDefaultValues": True} | told for name, told in bones.items()]
        file.header["extensions"] = {"VRM": {"specVersion": "0.0", "humanoid": {"humanBones": old}}}
    else:
        file.header["extensions"] = {"VRMC_vrm": {"specVersion": "1.0", "humanoid": {"humanBones": bones}}}
    file.header["extensionsUsed"] = [version]
    return skeleton, file


def two_skins() -> Made:
    """The first knows fewer joints, in another order, and its mesh has another size."""
    skeleton, file = blender()
    joints = [skeleton.of(f"{side}_{role}") for role in ("toe", "ankle", "knee", "hip") for side in SIDES]
    world = np.tile(np.eye(4), (len(joints), 1, 1))
    world[:, :3, :3], world[:, :3, 3] = skeleton.frames[joints], 7 * skeleton.places[joints]
    inverse = np.linalg.inv(world).swapaxes(1, 2).astype("<f4").reshape(-1, 16)
    numbers = [1 + joint for joint in joints]
    skin = {"joints": numbers, "inverseBindMatrices": file.add(inverse, "MAT4")}
    file.header["skins"].insert(0, skin)
    file.header["nodes"][-1]["skin"] = 1
    file.header["nodes"].append({"name": "Shoes", "mesh": 0, "skin": 0})
    file.header["scenes"][0]["nodes"].append(len(file.header["nodes"]) - 1)
    return skeleton, file


def scenes() -> Made:
    """The character stands in two, and not in the one that is shown."""
    skeleton, file = blender()
    roots = file.header["scenes"][0]["nodes"]
    file.header["nodes"].append({"name": "Lamp", "translation": [0, 3, 0]})
    file.header["scenes"] = [{"nodes": [len(file.header["nodes"]) - 1]}, {"nodes": roots}, {"nodes": roots}]
    return skeleton, file


def waving() -> Made:
    """It can do something already."""
    skeleton, file = blender()
    times = file.add(np.array([0, 1], "<f4"), "SCALAR", min=[0.0], max=[1.0])
    turns = file.add(np.array([[0, 0, 0, 1], [1, 0, 0, 0]], "<f4"), "VEC4")
    channel = {"sampler": 0, "target": {"node": 1 + skeleton.of("left_shoulder"), "path": "rotation"}}
    sampler = {"input": times, "output": turns}
    file.header["animations"] = [{"channels": [channel], "samplers": [sampler], "name": "dance"}]
    return skeleton, file


def draco() -> Made:
    """The mesh is compressed."""
    skeleton, file = blender()
    primitive = file.header["meshes"][0]["primitives"][0]
    view = file.header["accessors"][primitive["attributes"]["POSITION"]]["bufferView"]
    for number in [*primitive["attributes"].values(), primitive["indices"]]:
        del file.header["accessors"][number]["bufferView"]
    about = {"bufferView": view, "attributes": {"POSITION": 0, "JOINTS_0": 1, "WEIGHTS_0": 2}}
    primitive["extensions"] = {"KHR_draco_mesh_compression": about}
    file.header["extensionsUsed"] = file.header["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    return skeleton, file


def meshopt() -> Made:
    """All that the file holds is compressed, the bind pose as well."""
    skeleton, file = blender()
    name = "EXT_meshopt_compression"
    for view in file.header["bufferViews"]:
        about = {"buffer": 0, "byteOffset": view["byteOffset"], "byteLength": 4, "byteStride": 4, "count": 1}
        view |= {"buffer": 1, "extensions": {name: about | {"mode": "ATTRIBUTES"}}}
    file.header["extensionsUsed"] = file.header["extensionsRequired"] = [name]
    file.more_buffers = [{"byteLength": len(file.data), "extensions": {name: {"fallback": True}}}]
    return skeleton, file


def sparse() -> Made:
    """A morph target is told by the few vertices that it moves."""
    skeleton, file = blender()
    file.add(np.array([0], "<u2"), "SCALAR")
    file.add(np.ones((1, 3), "<f4"), "VEC3")
    indices, values = (accessor["bufferView"] for accessor in file.header["accessors"][-2:])
    del file.header["accessors"][-2:]
    told = {"indices": {"bufferView": indices, "componentType": 5123}, "values": {"bufferView": values}}
    whole = {"componentType": 5126, "count": file.header["accessors"][0]["count"], "type": "VEC3"}
    whole |= {"sparse": {"count": 1} | told, "min": [0, 0, 0], "max": [1, 1, 1]}
    file.header["accessors"].append(whole)
    targets = [{"POSITION": len(file.header["accessors"]) - 1}]
    file.header["meshes"][0]["primitives"][0]["targets"] = targets
    return skeleton, file


def sitting() -> Made:
    """The nodes stand otherwise than the mesh was bound to them, turned all over."""
    skeleton, file = blender()
    torch.manual_seed(0)
    for node in file.header["nodes"][1:-1]:
        node["rotation"] = quaternion(roma.random_rotmat().double().numpy())
    return skeleton, file


def matrices() -> Made:
    """Nodes are told as matrices."""
    skeleton, file = blender()
    for node in file.header["nodes"][:-1]:
        matrix = np.eye(4)
        matrix[:3, :3] = matrix_of(node.pop("rotation")) * node.pop("scale", [1, 1, 1])
        matrix[:3, 3] = node.pop("translation", [0, 0, 0])
        node["matrix"] = matrix.T.ravel().tolist()
    return skeleton, file


def mirrored() -> Made:
    """The armature is scaled by -1 along x, and the arm that is called left is in fact the left one."""
    skeleton, file = blender()
    file.header["nodes"][0]["scale"] = [-0.01, 0.01, 0.01]
    other = {"left": "right", "right": "left"}
    for joint, role in enumerate(list(skeleton.roles)):
        side, _, part = role.partition("_")
        if side in other:
            skeleton.roles[joint] = f"{other[side]}_{part}"
            name = skeleton.names[joint]
            swapped = name.replace("Left", "Right") if "Left" in name else name.replace("Right", "Left")
            file.header["nodes"][1 + joint]["name"] = swapped
    return skeleton, file


def sides_exchanged() -> Made:
    """What is called left is on the right."""
    skeleton = person()
    skeleton.names = [
        name.replace("Left", "Right") if "Left" in name else name.replace("Right", "Left")
        for name in skeleton.names
    ]
    return of(along_y(skeleton))


def without_bind_pose() -> Made:
    skeleton, file = blender()
    del file.header["skins"][0]["inverseBindMatrices"]
    return skeleton, file


def nodes_between() -> Made:
    """Each joint hangs on a node that is none, which takes a part of its turn."""
    skeleton, file = blender()
    nodes = file.header["nodes"]
    for node in nodes[1 : 1 + len(skeleton.names)]:
        for k, number in enumerate(node.get("children", [])):
            child = nodes[number]
            between = {"name": f"{child['name']}_$AssimpFbx$_PreRotation", "children": [number]}
            between |= {"translation": child.pop("translation"), "rotation": quaternion(turned("y", 0.4))}
            child["rotation"] = quaternion(turned("y", -0.4) @ matrix_of(child["rotation"]))
            nodes.append(between)
            node["children"][k] = len(nodes) - 1
    return skeleton, file


def clothed() -> Made:
    """A coat has the whole skeleton once more."""
    skeleton, file = blender()
    nodes, count = file.header["nodes"], len(file.header["nodes"])
    for node in nodes[: count - 1]:
        moved = {"children": [child + count for child in node.get("children", [])]}
        nodes.append(node | (moved if "children" in node else {}))
    file.header["scenes"][0]["nodes"].append(count)
    skin = file.header["skins"][0]
    file.header["skins"].append(skin | {"joints": [joint + count for joint in skin["joints"]]})
    return skeleton, file


def matrix_of(quaternion: list[float]) -> np.ndarray:
    return roma.unitquat_to_rotmat(torch.tensor(quaternion).double()).numpy()


CHARACTERS: dict[str, Callable[[], Made]] = {
    "t-pose": lambda: of(person(prefix="mixamorig:")),
    "a-pose": lambda: of(person(prefix="mixamorig:", arms_down=ARMS_DOWN)),
    "bones along y": lambda: of(along_y(person(arms_down=ARMS_DOWN))),
    "from fbx": blender,
    "arms hanging": lambda: of(along_y(person(arms_down=1.4))),
    "a giant": lambda: of(along_y(person(stature=5.0))),
    "centimetres": lambda: of(person(stature=100)),
    "standing askew": lambda: of(turned_about(along_y(person()), turned("y", 0.6))),
    "looking back": lambda: of(turned_about(along_y(person()), turned("y", np.pi))),
    "vrm 0 facing -z": lambda: vrm("VRM", turned("y", np.pi)),
    "vrm 0 facing +z": lambda: vrm("VRM", np.eye(3)),
    "vrm 1": lambda: vrm("VRMC_vrm", np.eye(3)),
    "two skins": two_skins,
    "scenes": scenes,
    "waving": waving,
    "draco": draco,
    "meshopt": meshopt,
    "sparse": sparse,
    "sitting": sitting,
    "matrices": matrices,
    "mirrored": mirrored,
    "sides exchanged": sides_exchanged,
    "without bind pose": without_bind_pose,
    "nodes between": nodes_between,
    "clothed": clothed,
}
CHARACTERS |= {
    exporter: lambda told=told: of(along_y(person(told, arms_down=0.5)))
    for exporter, told in EXPORTERS.items()
}

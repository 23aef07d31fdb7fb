"""Other people's characters: which of a glTF file's nodes are whose limbs, and how they rest."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import roma
import torch

from mpt.bodies.retarget import Rig, read_rig
from mpt.errors import InputError
from mpt.mocap.limbs import find_limbs
from mpt.mocap.rest import axes_of_rest
from mpt.mocap.tree import fork, way_to
from mpt.rigs.glb_file import AGAIN, GltfFile, polar, read_gltf

LEG_M = 0.9  # as long as the legs of every character are made, for what bones are called short
SIDES = ("left", "right")
SAME = 0.005  # of a bone: bind pose and nodes agree on where it leads
TOGETHER = 0.02  # of a leg: joints of clothes that have a skeleton of their own are no farther apart
NEAR = 0.25  # of a leg: a joint so near above the hips moves with them, one at the feet is the ground
LARGEST, SMALLEST = 1e6, 1e-24  # of what is somewhere; of a volume
NAMED = 20  # joints in a sentence
DEFORMING = ("DEF-", "ORG-")  # what Rigify calls the bones that carry the skin, and those that they follow
VRM_LIMBS = {
    "UpperLeg": "hip",
    "LowerLeg": "knee",
    "Foot": "ankle",
    "Toes": "toe",
    "Shoulder": "collar",
    "UpperArm": "shoulder",
    "LowerArm": "elbow",
    "Hand": "wrist",
    "MiddleProximal": "finger",
}


class Nodes(NamedTuple):
    """A file's N nodes as they stand."""

    names: list[str]
    parents: list[int]  # -1 of those that stand by themselves
    world: np.ndarray  # (N, 4, 4) from each node to the file's world
    signs: np.ndarray  # (N, 3) of their scales


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A character's J joints at rest.

    Attributes:
        nodes: which of the file's nodes they are.
        rig: they stand y up, facing +z, and their legs are ``LEG_M`` long.
        turns: (J, 3, 3) orthogonal, of their frames then.
        carrier: the joint that moves the whole of the body.
        between: the joints from the carrier to hands, toes and head.
    """

    nodes: list[int]
    rig: Rig
    turns: np.ndarray
    carrier: int
    between: list[int]


@dataclass(frozen=True, eq=False)
class Character:
    """A character in a glTF file: one skeleton, or several of the same body in clothes.

    Attributes:
        unit: how many of the file's units a unit of the rigs is.
        place: (3,) the file's world: the middle of the hips above the floor that they stand on.
    """

    file: GltfFile
    nodes: Nodes
    skeletons: list[Skeleton]
    unit: float
    place: np.ndarray


def read_character(path: str | Path, joint_map: Mapping[str, str] | None = None) -> Character:
    """Read a skinned .glb, .vrm or .gltf file of one character.

    joint_map: names of the joints of some limbs, where they are not known otherwise: by what a VRM says, by
        their names, by the skeleton's tree.

    Raises InputError, one sentence that begins with the path: no such file, a damaged one, one without a
    skin, without a person, or with several.
    """
    path = Path(path)
    try:
        return _character(read_gltf(path), joint_map or {})
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: it cannot be read ({error.strerror or error}), check the path") from None


def _character(file: GltfFile, joint_map: Mapping[str, str]) -> Character:
    nodes = read_nodes(file)
    skins = _skins(file, len(nodes.names))
    if not skins:
        raise InputError(
            "it has no skin on bones, a rigged character was expected: export it with its armature"
        )
    told = _told_by_vrm(file, len(nodes.names))
    found: list[Skeleton] = []
    refused: list[tuple[int, InputError]] = []
    for joints in _trees(nodes, skins, told.values()):
        try:
            found.append(_skeleton(file, nodes, skins, joints, told, joint_map))
        except InputError as error:
            refused.append((len(joints), error))
    if not found:
        raise max(refused, key=lambda one: one[0])[1]
    at = [_places(nodes, skeleton) for skeleton in found]
    legs = [_leg(places) for places in at]
    apart = [
        np.linalg.norm(other[limb] - at[0][limb]) for other in at for limb in other.keys() & at[0].keys()
    ]
    if max(apart) > TOGETHER * legs[0]:
        raise InputError(f"it holds {len(found)} characters, one was expected: export each to its own file")
    if refused:
        warnings.warn(
            f"{file.path}: it has {len(refused)} more skeletons, of things or parts, which stay as they are",
            stacklevel=3,
        )
    hips = (at[0]["left_hip"] + at[0]["right_hip"]) / 2
    feet = [nodes.world[found[0].nodes[joint], 1, 3] for joint in feet_of(found[0].rig)]
    return Character(file, nodes, found, legs[0] / LEG_M, np.array([hips[0], min(feet), hips[2]]))


def leg_of(rig: Rig) -> float:
    """How long a rig's legs are, from hip to ankle."""
    return _leg({limb: rig.rest[joint] for limb, joint in rig.roles.items()})


def feet_of(rig: Rig) -> list[int]:
    """Ankles, and what hangs on them."""
    ankles = {rig.roles[f"{side}_ankle"] for side in SIDES}
    return [joint for joint in range(len(rig.joints)) if ankles & set(way_to(joint, rig.parents))]


# ------------------------------------------------------------------------------------------------- nodes


def read_nodes(file: GltfFile) -> Nodes:
    """The nodes of a file. Raises InputError where they are no trees, or are where nothing can be."""
    told = file.objects("nodes")
    parents = [-1] * len(told)
    for number, node in enumerate(told):
        for child in _numbers(node.get("children", []), len(told), "children of a node"):
            if parents[child] >= 0 or child == number:
                raise InputError(f"its node {child} hangs on two others; {AGAIN}")
            parents[child] = number
    names = [node.get("name") for node in told]
    names = [name if isinstance(name, str) and name else f"node {k}" for k, name in enumerate(names)]
    local, signs = _locals(told)
    world = local.copy()
    order = _downwards(parents)
    if len(order) < len(told):
        raise InputError(f"its nodes hang on each other in a circle; {AGAIN}")
    for number in order:
        if parents[number] >= 0:
            world[number] = world[parents[number]] @ local[number]
    if not (np.abs(world) < LARGEST).all():  # which NaN is not
        raise InputError(f"its nodes are beyond {LARGEST:,.0f} units or nowhere; {AGAIN}")
    return Nodes(_apart(names), parents, world, signs)


def _downwards(parents: Sequence[int]) -> list[int]:
    """Every node before those that hang on it, branch by branch."""
    below: dict[int, list[int]] = {}
    for node, parent in enumerate(parents):
        below.setdefault(parent, []).append(node)
    order, waiting = [], below.get(-1, [])[::-1]
    while waiting:
        order.append(waiting.pop())
        waiting += below.get(order[-1], [])[::-1]
    return order


def _apart(names: Sequence[str]) -> list[str]:
    """Names that come again get a number."""
    used: set[str] = set()
    found = []
    for name in names:
        other, number = name, 2
        while other in used:
            other, number = f"{name} {number}", number + 1
        used.add(other)
        found.append(other)
    return found


def _locals(nodes: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """(N, 4, 4) transforms of nodes, and the signs (N, 3) of their scales."""
    local, signs = np.tile(np.eye(4), (len(nodes), 1, 1)), np.ones((len(nodes), 3))
    turns = np.array([_floats(node, "rotation", [0, 0, 0, 1], 4) for node in nodes]).reshape(-1, 4)
    lengths = np.linalg.norm(turns, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise InputError(f"one of its nodes has a rotation of zeros, which is none; {AGAIN}")
    turned = roma.unitquat_to_rotmat(torch.from_numpy(turns / lengths)).numpy()
    for number, node in enumerate(nodes):
        if "matrix" in node:
            local[number] = _floats(node, "matrix", [], 16).reshape(4, 4).T
            signs[number, 0] = np.sign(np.linalg.det(local[number, :3, :3])) or 1.0
            continue
        scale = _floats(node, "scale", [1, 1, 1], 3)
        local[number, :3, :3] = turned[number] * scale
        local[number, :3, 3] = _floats(node, "translation", [0, 0, 0], 3)
        signs[number] = np.where(scale < 0, -1.0, 1.0)
    return local, signs


def _floats(node: Mapping[str, Any], name: str, default: list, count: int) -> np.ndarray:
    told = node.get(name, default)
    is_list = isinstance(told, list) and len(told) == count
    if not is_list or not all(type(one) in (int, float) and abs(one) < LARGEST for one in told):
        raise InputError(f"a node has the {name} {told!r:.60} where {count} numbers were expected; {AGAIN}")
    return np.array(told, float)


def _numbers(told: object, count: int, what: str) -> list[int]:
    """Numbers of things of which there are ``count``."""
    numbers: list[int] = []
    for one in told if isinstance(told, list) else [told]:
        if type(one) is not int or not 0 <= one < count:
            raise InputError(f"{one!r:.60} is among the {what}, and it has {count} nodes; {AGAIN}")
        numbers.append(one)
    return numbers


# ------------------------------------------------------------------------------------------------- skins


class _Skin(NamedTuple):
    joints: list[int]
    matrices: object  # the accessor of the inverse bind matrices


def _skins(file: GltfFile, count: int) -> list[_Skin]:
    return [
        _Skin(joints, skin.get("inverseBindMatrices"))
        for skin in file.objects("skins")
        if (joints := _numbers(skin.get("joints"), count, "joints of a skin"))
    ]


def _told_by_vrm(file: GltfFile, count: int) -> dict[str, int]:
    """The node of each limb that a VRM names, 0.x or 1.0."""
    extensions = file.header.get("extensions")
    found: dict[str, Any] = {}
    for name in ("VRM", "VRMC_vrm"):
        about = extensions.get(name) if isinstance(extensions, dict) else None
        humanoid = about.get("humanoid") if isinstance(about, dict) else None
        bones = humanoid.get("humanBones") if isinstance(humanoid, dict) else None
        if isinstance(bones, list):  # 0.x
            bones = {str(bone.get("bone")): bone for bone in bones if isinstance(bone, dict)}
        if isinstance(bones, dict):
            found |= {bone: told.get("node") for bone, told in bones.items() if isinstance(told, dict)}
    limbs = {side + bone: f"{side}_{limb}" for side in SIDES for bone, limb in VRM_LIMBS.items()}
    limbs |= {"neck": "neck", "head": "head"}
    known = {bone: node for bone, node in found.items() if type(node) is int and 0 <= node < count}
    return {limb: known[bone] for bone, limb in limbs.items() if bone in known}


def _trees(nodes: Nodes, skins: Sequence[_Skin], told: Iterable[int]) -> list[list[int]]:
    """The joints of each skeleton, parents first. Skins whose joints hang on each other's share one."""
    joints = {joint for skin in skins for joint in skin.joints} | set(told)
    order = _downwards(nodes.parents)
    top: dict[int, int] = {}  # of each joint the highest one above it
    for node in order:
        above = nodes.parents[node]
        top[node] = top[above] if above >= 0 and top[above] >= 0 else node if node in joints else -1
    together = {one: one for one in top.values()}
    for skin in [*skins, _Skin(list(told), None)]:
        found = {together[top[joint]] for joint in skin.joints}
        together = {one: min(found) if other in found else other for one, other in together.items()}
    groups: dict[int, list[int]] = {}
    for node in order:
        if node in joints:
            groups.setdefault(together[top[node]], []).append(node)
    return [tree for group in groups.values() for tree in _with_one_root(nodes, _deforming(nodes, group))]


def _deforming(nodes: Nodes, joints: list[int]) -> list[int]:
    """Of a rig that was exported with its controls, the bones that carry the skin."""
    for head in DEFORMING:
        if sum(nodes.names[joint].startswith(head) for joint in joints) > len(SIDES):
            return [joint for joint in joints if nodes.names[joint].startswith(head)]
    return joints


def _with_one_root(nodes: Nodes, joints: list[int]) -> list[list[int]]:
    """The joints with the node from which all hang; as several lists where there is none."""
    ways = {joint: way_to(joint, nodes.parents) for joint in joints}
    tops = [joint for joint in joints if not set(ways[joint][:-1]) & ways.keys()]
    shared = set(ways[tops[0]]).intersection(*(ways[top] for top in tops))
    if shared:
        root = max(shared, key=ways[tops[0]].index)
        return [joints if root in ways else [root, *joints]]
    return [[joint for joint in joints if top in ways[joint]] for top in tops]


# ------------------------------------------------------------------------------------------------- rest


def _skeleton(
    file: GltfFile,
    nodes: Nodes,
    skins: Sequence[_Skin],
    joints: list[int],
    told: Mapping[str, int],
    joint_map: Mapping[str, str],
) -> Skeleton:
    """The bind pose is the rest pose, where it is somebody's who stands, else the nodes as they are."""
    names = tuple(nodes.names[joint] for joint in joints)
    index = {joint: k for k, joint in enumerate(joints)}
    parents = []
    for joint in joints:
        above = nodes.parents[joint]
        while above >= 0 and above not in index:
            above = nodes.parents[above]
        parents.append(index.get(above, -1))
    limbs = {limb: nodes.names[node] for limb, node in told.items() if node in index} | dict(joint_map)
    bind = _bind(file, nodes, skins, joints, parents)
    standing = nodes.world[joints]
    if bind is not None and _agree(bind, standing, parents):
        with suppress(InputError):
            return _at_rest(file.path, joints, names, parents, bind, limbs)
    return _at_rest(file.path, joints, names, parents, standing, limbs)


def _at_rest(
    path: Path,
    joints: list[int],
    names: tuple[str, ...],
    parents: list[int],
    rest: np.ndarray,
    limbs: Mapping[str, str],
) -> Skeleton:
    """rest: (J, 4, 4) transforms of the joints, in any axes and unit."""
    places = rest[:, :3, 3]
    offsets = np.where(np.array(parents)[:, None] < 0, 0, places - places[parents])
    found = find_limbs(names, parents, offsets, limbs)
    if found.missing:
        some = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        raise InputError(
            f"no joint was found for {', '.join(found.missing)} among {some}; a person's skeleton was "
            "expected, name its joints in a joint map (--joint-map)"
        )
    leg = _leg({limb: places[joint] for limb, joint in found.joints.items()})
    if not leg > 0:
        raise InputError("its legs have no length, export it with its armature")
    offsets = offsets * (LEG_M / leg)
    axes = axes_of_rest(names, parents, offsets, limbs)
    if np.linalg.det(axes) < 0:
        axes[0] *= -1
        limbs = {_other_side(limb): names[joint] for limb, joint in found.joints.items()}
        warnings.warn(
            f"{path}: by its toes its left joints are on its right, they are taken so",
            stacklevel=2,
        )
    rig = read_rig(names, parents, offsets @ axes.T, limbs, name=str(path))
    carrier = _carrier(rig)
    ways = [way_to(joint, parents) for limb, joint in rig.roles.items() if not limb.endswith("finger")]
    between = {joint for way in ways if carrier in way for joint in way[way.index(carrier) :]}
    return Skeleton(joints, rig, axes @ polar(rest[:, :3, :3]), carrier, sorted(between))


def _carrier(rig: Rig) -> int:
    """The joint that carries legs and spine, or one close above it, with which skin goes."""
    carrier = fork(rig.trunk[0], rig.roles["neck"], rig.parents)
    while (above := rig.parents[carrier]) >= 0:
        if np.linalg.norm(rig.rest[above] - rig.rest[carrier]) > NEAR * LEG_M:
            break
        carrier = above
    return carrier


def _bind(
    file: GltfFile, nodes: Nodes, skins: Sequence[_Skin], joints: list[int], parents: list[int]
) -> np.ndarray | None:
    """(J, 4, 4) joints in the axes of the mesh that was bound to them, by the skin that has most of them."""
    if not _invertible(nodes.world[joints]):
        return None
    index = {joint: k for k, joint in enumerate(joints)}
    for skin in sorted(skins, key=lambda skin: -len(index.keys() & set(skin.joints))):
        inverse = file.matrices(skin.matrices, len(skin.joints))
        own = [k for k, joint in enumerate(skin.joints) if joint in index]
        if inverse is None or not own or not _invertible(inverse[own]):
            continue
        known = {index[skin.joints[k]]: np.linalg.inv(inverse[k]) for k in own}
        one = next(iter(known))
        to_mesh = known[one] @ np.linalg.inv(nodes.world[joints[one]])
        bind = np.zeros((len(joints), 4, 4))
        for k, joint in enumerate(joints):
            if parents[k] >= 0 and k not in known:
                to_mesh = bind[parents[k]] @ np.linalg.inv(nodes.world[joints[parents[k]]])
            bind[k] = known[k] if k in known else to_mesh @ nodes.world[joint]
        return bind
    return None


def _invertible(matrices: np.ndarray) -> bool:
    with np.errstate(all="ignore"):
        volume = np.abs(np.linalg.det(matrices[:, :3, :3]))
        known = np.abs(matrices).max(initial=0) < LARGEST
        affine = np.abs(matrices[:, 3] - [0, 0, 0, 1]).max(initial=0) < 1e-3
        return bool(known and affine and (volume > SMALLEST).all())


def _agree(bind: np.ndarray, standing: np.ndarray, parents: Sequence[int]) -> bool:
    """Whether bones lead the same way from their parents, in the bind pose and as the nodes stand."""
    inner = [joint for joint in range(len(parents)) if joint in parents and parents[joint] >= 0]
    above = [parents[joint] for joint in inner]
    one, other = ((np.linalg.inv(rest[above]) @ rest[inner])[:, :3, 3] for rest in (bind, standing))
    lengths = np.linalg.norm(other, axis=1)
    near = np.linalg.norm(one - other, axis=1) <= SAME * np.maximum(lengths, 0.1 * lengths.max(initial=0))
    mirrors = np.linalg.det(bind[:, :3, :3]) * np.linalg.det(standing[:, :3, :3]) < 0
    return bool(near.all() and not mirrors.any())


def _places(nodes: Nodes, skeleton: Skeleton) -> dict[str, np.ndarray]:
    """(3,) the file's world: where the joint of each limb stands."""
    return {limb: nodes.world[skeleton.nodes[joint], :3, 3] for limb, joint in skeleton.rig.roles.items()}


def _leg(places: Mapping[str, np.ndarray]) -> float:
    """How long legs are, from hip to ankle."""
    bones = [
        places[f"{side}_{end}"] - places[f"{side}_{start}"]
        for side in SIDES
        for start, end in (("hip", "knee"), ("knee", "ankle"))
    ]
    return float(np.linalg.norm(bones, axis=1).sum() / len(SIDES))


def _other_side(limb: str) -> str:
    side, _, part = limb.partition("_")
    return {"left": f"right_{part}", "right": f"left_{part}"}.get(side, limb)

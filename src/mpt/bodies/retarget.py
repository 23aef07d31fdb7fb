"""Motion on any skeleton -> the local bone rotations of a body, by global deltas from the two rest poses.

    G_bone = G_source A_bone

G is a rotation since the rest pose, in world axes. A_bone is the fixed rotation that lays the body's limb at
rest on the source's, so that an A-pose meets a T-pose. Spine and neck have as many bones as a rig likes:
there the source's rotations are interpolated along the way from pelvis to head.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import roma
import torch

from mpt.bodies.body import Body
from mpt.errors import InputError
from mpt.mocap.motion import Motion

# Names of the joint that begins a limb, without side and separators. The first that a rig has is taken, and
# each joint once: "shoulder" is the collar where another joint begins the arm, "foot" the toes of an "ankle".
LIMBS = {
    "hip": "upperleg01 upperleg upleg thighbend thigh femur hip",
    "knee": "lowerleg01 lowerleg shin tibia calf knee leg",
    "ankle": "ankle foot",
    "toe": "toe31 toebase toes toe0 toe toe11 ball foot footend",
    "shoulder": "upperarm01 upperarm uparm humerus shldrbend shldr arm shoulder",
    "elbow": "lowerarm01 lowerarm forearmbend forearm radius elbow",
    "wrist": "fingerbase hand wrist",
    "collar": "clavicle collar shoulder",
    "finger": "finger31 fingers middle1 handmiddle1 middle01 fmiddle01 mid1 index1 handindex1 hand",
}
MIDLINE = {"neck": "neck lowerneck neck01 neck1 necklower", "head": "head face"}
OPTIONAL = ("toe", "collar", "finger")
SIDES = {"left": ("left{}", "l{}", "{}left", "{}l"), "right": ("right{}", "r{}", "{}right", "{}r")}

# CMU's skeleton is not drawn as anybody stands. Neck and skull form one upright line, and most people walk
# with the head bone 7 to 35 degrees forward of that. The legs are splayed by 20 degrees with the feet
# square to the shins: standing feet are rolled by 16. Other rigs rest with level heads and flat feet.
CMU_JOINTS = {"lowerback", "lhipjoint"}
CMU_LEVEL_HEAD = np.radians(15)


def retarget(motion: Motion, body: Body) -> tuple[tuple[str, ...], np.ndarray]:
    """The body's bones that move (the root first) and their local rotations (T, bones, 3), axis-angle.

    Rotations are relative to the body's rest pose with all bone frames parallel to the world axes; the root's
    is the person's orientation in the world. Arms and legs then point where the source's do, whatever the
    proportions. Motion on the body's own bones (AMASS on SMPL) is taken as it is. Raises InputError where the
    motion's skeleton has no joint known by name for a limb.
    """
    if _is_own(motion, body):
        return body.moving_bones, _by_name(motion, body)
    try:
        source = read_rig(motion.joints, motion.parents.tolist(), motion.offsets)
    except InputError as error:
        raise InputError(f"{motion.name}: {error}") from error
    target = _body_rig(body)
    turned = motion.global_rotations()
    aligned = _alignments(source, target)

    bones = body.moving_bones
    moving = [body.bones.index(bone) for bone in bones]
    world = _along_spine(turned, source, target, aligned, moving)
    for role, bone in body.roles.items():
        if role in source.roles and role in aligned:
            world.setdefault(body.bones.index(bone), turned[:, source.roles[role]] @ aligned[role])
    local = []
    for joint in moving:
        above = body.parents[joint]
        while above >= 0 and above not in moving:
            above = body.parents[above]
        if joint not in world:  # the source lacks it: it follows its parent
            world[joint] = world[above]
        local.append(world[joint] if above < 0 else world[above].swapaxes(1, 2) @ world[joint])
    return bones, roma.rotmat_to_rotvec(torch.from_numpy(np.stack(local, 1))).numpy()


def _is_own(motion: Motion, body: Body) -> bool:
    """Whether the motion's joints are the body's first bones, by name and parent."""
    count = len(motion.joints)
    return (motion.joints, tuple(motion.parents.tolist())) == (body.bones[:count], body.parents[:count])


def _by_name(motion: Motion, body: Body) -> np.ndarray:
    """(T, bones, 3) the motion's rotations; bones that it lacks rest."""
    rotvec = np.zeros((len(motion), len(body.moving_bones), 3))
    for i, bone in enumerate(body.moving_bones):
        if bone in motion.joints:
            rotvec[:, i] = motion.rotvec[:, motion.joints.index(bone)]
    return rotvec


@dataclass(frozen=True, eq=False)
class Rig:
    """A skeleton of J joints at rest, and the joint that plays each role ("left_knee") on it."""

    joints: tuple[str, ...]
    parents: Sequence[int]
    rest: np.ndarray  # (J, 3) metres
    roles: dict[str, int]

    @cached_property
    def trunk(self) -> list[int]:
        """Joints from the pelvis, which carries both legs, to the last below the neck."""
        pelvis = max(set(self._path(self.roles["left_hip"])) & set(self._path(self.roles["right_hip"])))
        return [pelvis] + [j for j in self._path(self.roles["neck"])[:-1] if j not in self._path(pelvis)]

    @cached_property
    def neck(self) -> list[int]:
        """Joints from the trunk's last to the head."""
        above = self._path(self.roles["head"])
        return self.trunk[-1:] + above[above.index(self.roles["neck"]) :]

    @cached_property
    def up(self) -> np.ndarray:
        """(3,) from between the hips to between the shoulders."""
        hips, shoulders = (
            sum(self.rest[self.roles[f"{side}_{limb}"]] for side in SIDES) for limb in ("hip", "shoulder")
        )
        return shoulders - hips

    def way(self, start: str, end: str) -> np.ndarray:
        """(3,) from the joint of one role to that of another."""
        return self.rest[self.roles[end]] - self.rest[self.roles[start]]

    def places(self, chain: list[int], base: int) -> np.ndarray:
        """(len(chain),) where along a chain each joint's rotation acts: 0 the first, 1 the last.

        A joint between them acts in the middle of its bone, as far as it is from joint ``base`` to the last.
        """
        if len(chain) == 1:
            return np.zeros(1)
        bones = np.linalg.norm(np.diff(self.rest[chain[base:]], axis=0), axis=1)
        middles = (np.cumsum(bones) - bones / 2) / max(bones.sum(), 1e-12)
        return np.array([0.0, *middles[1 - base :], 1.0])

    def _path(self, joint: int) -> list[int]:
        """From the root down to a joint."""
        return [*(self._path(self.parents[joint]) if self.parents[joint] >= 0 else []), joint]


def read_rig(joints: Sequence[str], parents: Sequence[int], offsets: np.ndarray) -> Rig:
    """Know a rig's joints by their names: CMU, DAZ, Mixamo, MotionBuilder, Unreal, Blender, SMPL and others.

    offsets: (J, 3) metres, from each joint's parent at rest.
    """
    rest = np.zeros((len(joints), 3))
    for joint, parent in enumerate(parents):
        if parent >= 0:
            rest[joint] = rest[parent] + offsets[joint]
    roles = _roles(joints, parents)
    if missing := [role for role in _wanted() if role not in roles]:
        raise InputError(
            f"no joint was found for {', '.join(missing)} among {', '.join(joints)}; "
            "rename the skeleton's joints as Mixamo, CMU or SMPL do"
        )
    rig = Rig(tuple(joints), parents, rest, roles)
    if rig.roles["neck"] not in rig._path(rig.roles["head"]):
        raise InputError(
            f"the head '{joints[roles['head']]}' does not hang on the neck '{joints[roles['neck']]}'; "
            "export the skeleton with its neck between trunk and head"
        )
    return rig


def _body_rig(body: Body) -> Rig:
    heads = body.heads.double().cpu().numpy()
    given = {role: body.bones.index(bone) for role, bone in body.roles.items()}
    return Rig(body.bones, body.parents, heads, given | _roles(body.bones, body.parents))


def _wanted() -> list[str]:
    limbs = [f"{side}_{limb}" for limb in LIMBS if limb not in OPTIONAL for side in SIDES]
    return [*limbs, *MIDLINE]


def _roles(joints: Sequence[str], parents: Sequence[int]) -> dict[str, int]:
    plain = _plain_names(joints)
    roles: dict[str, int] = {}
    for limb, names in LIMBS.items():
        for side, forms in SIDES.items():
            spelled = [form.format(name) for name in names.split() for form in forms]
            free = [plain[name] for name in spelled if name in plain and plain[name] not in roles.values()]
            # A "hand" without fingers ends a hand that begins at the "wrist" (SMPL); elsewhere it begins it.
            inner = [joint for joint in free if joint in parents] if limb == "wrist" else []
            if free:
                roles[f"{side}_{limb}"] = (inner or free)[0]
    for role, names in MIDLINE.items():
        if found := [plain[name] for name in names.split() if name in plain]:
            roles[role] = found[0]
    return roles | _stand_ins(roles, parents)


def _stand_ins(roles: dict[str, int], parents: Sequence[int]) -> dict[str, int]:
    """Joints for what a rig leaves out: a hand that only ends its forearm, a head without a neck or the
    neck's end for a head.
    """
    found: dict[str, int] = {}
    for side in SIDES:
        found |= _end_below(roles, parents, f"{side}_elbow", f"{side}_wrist")
    found |= _end_below(roles, parents, "neck", "head")
    if "neck" not in roles and "head" in roles:
        found["neck"] = roles["head"]
    return found


def _end_below(roles: dict[str, int], parents: Sequence[int], above: str, role: str) -> dict[str, int]:
    """The one joint below that of role ``above``, for a role that no joint is named after."""
    below = [joint for joint, parent in enumerate(parents) if parent == roles.get(above, -1) != -1]
    return {role: below[0]} if role not in roles and len(below) == 1 and below[0] not in parents else {}


def _plain_names(joints: Sequence[str]) -> dict[str, int]:
    """Joint by its name in lower case, without separators, name space and any prefix that all share."""
    names = [re.sub("[^a-z0-9]", "", re.split("[:|]", joint)[-1].lower()) for joint in joints]
    shared = len(os.path.commonprefix(names)) if len(names) > 1 else 0  # noqa: RUF071 - names are no paths
    return {name[shared:]: joint for joint, name in reversed(list(enumerate(names)))}


def _alignments(source: Rig, body: Rig) -> dict[str, np.ndarray]:
    """A of each role: (3, 3) rotation that lays the body's limb at rest on the source's.

    A limb takes the rotation of the limb above it, then the smallest one that brings it to the source's
    direction: so elbows, knees and wrists are not twisted.
    """
    straight = np.eye(3)
    trunk = _swing(body.up, source.up)
    is_cmu = set(_plain_names(source.joints)) >= CMU_JOINTS
    aligned = {
        "trunk": trunk,
        "neck": straight,
        "head": _rotation(np.array([-CMU_LEVEL_HEAD, 0, 0])) if is_cmu else straight,
    }
    for side in SIDES:
        limbs = {limb: f"{side}_{limb}" for limb in LIMBS}

        def laid(start: str, end: str, above: np.ndarray, limbs=limbs) -> np.ndarray:
            ways = [rig.way(limbs[start], limbs[end]) for rig in (body, source)]
            return _swing(above @ ways[0], ways[1]) @ above

        aligned[limbs["hip"]] = hip = laid("hip", "knee", straight)
        aligned[limbs["knee"]] = laid("knee", "ankle", hip)
        aligned[limbs["collar"]] = trunk
        aligned[limbs["shoulder"]] = shoulder = laid("shoulder", "elbow", straight)
        aligned[limbs["elbow"]] = elbow = laid("elbow", "wrist", shoulder)
        fingers = limbs["finger"] in source.roles and limbs["finger"] in body.roles
        aligned[limbs["wrist"]] = laid("wrist", "finger", elbow) if fingers else elbow
        # The sole is flat at rest, at whatever slope a rig draws its foot: only the heading is laid.
        foot = _swing(*_headings(source, body, side))
        if is_cmu:
            shin = source.way(limbs["knee"], limbs["ankle"])
            foot = _swing(np.array([0.0, -1.0, 0.0]), shin * [1, 1, 0]) @ foot
        aligned[limbs["ankle"]] = aligned[limbs["toe"]] = foot
    return aligned


def _headings(source: Rig, body: Rig, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Horizontal directions (3,) of the body's and the source's foot; a foot without toes points ahead."""
    ahead, level = np.array([0.0, 0.0, 1.0]), np.array([1, 0, 1])
    ankle, toe = f"{side}_ankle", f"{side}_toe"
    theirs = source.way(ankle, toe) if toe in source.roles else ahead
    ours = body.way(ankle, toe) if toe in body.roles else ahead
    if toe in source.roles and (same := source.joints[source.roles[toe]]) in body.joints:
        ours = body.rest[body.joints.index(same)] - body.rest[body.roles[ankle]]
    return ours * level, theirs * level


def _along_spine(
    turned: np.ndarray, source: Rig, body: Rig, aligned: dict[str, np.ndarray], moving: list[int]
) -> dict[int, np.ndarray]:
    """World rotations (T, 3, 3) of the moving bones from pelvis to head, by their place along the way."""
    trunk, neck, head = aligned["trunk"], aligned["neck"], aligned["head"]
    world: dict[int, np.ndarray] = {}
    for theirs, ours, at_rest, base in (
        (source.trunk, body.trunk, [trunk] * len(source.trunk), 0),
        (source.neck, body.neck, [trunk, *[neck] * (len(source.neck) - 2), head], 1),
    ):
        knots = torch.from_numpy(turned[:, theirs] @ np.stack(at_rest))  # (T, n, 3, 3)
        places = source.places(theirs, base)
        bones = [bone for bone in ours if bone in moving]
        for bone, place in zip(bones, body.places(bones, base)):
            world.setdefault(bone, _interpolated(knots, places, place))
    return world


def _interpolated(knots: torch.Tensor, places: np.ndarray, place: float) -> np.ndarray:
    """Rotation (T, 3, 3) at a place among knots (T, n, 3, 3), which stand at ascending places (n,)."""
    if len(places) == 1:
        return knots[:, 0].numpy()
    after = int(np.clip(np.searchsorted(places, place), 1, len(places) - 1))
    before = after - 1
    part = (place - places[before]) / max(places[after] - places[before], 1e-12)
    step = roma.rotmat_to_rotvec(knots[:, before].mT @ knots[:, after]) * part
    return (knots[:, before] @ roma.rotvec_to_rotmat(step)).numpy()


def _swing(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(3, 3) smallest rotation that turns one direction into another."""
    a, b = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis)
    if sine < 1e-12:
        return np.eye(3)
    return _rotation(axis / sine * np.arctan2(sine, a @ b))


def _rotation(rotvec: np.ndarray) -> np.ndarray:
    return roma.rotvec_to_rotmat(torch.from_numpy(rotvec)).numpy()

"""Motion on any skeleton -> the local bone rotations of a body, by global deltas from the two rest poses.

    G_bone = G_source A_bone

G is a rotation since the rest pose, in world axes. A_bone is the fixed rotation that lays the body's limb at
rest on the source's, so that an A-pose meets a T-pose. Spine and neck have as many bones as a rig likes:
there the source's rotations are interpolated along the way from pelvis to head.
"""

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import roma
import torch

from mpt.bodies.body import Body
from mpt.bodies.motion import BodyMotion, middle_of_hips
from mpt.errors import InputError
from mpt.mocap.limbs import NAMES, SIDES, find_limbs, hangs_wrong, limbs_by_name
from mpt.mocap.motion import Motion
from mpt.mocap.tree import fork, rest_positions, way_to
from mpt.quiet import quiet

# CMU's skeleton is not drawn as anybody stands. Neck and skull form one upright line, and most people walk
# with the head bone 7 to 35 degrees forward of that. The legs are splayed by 20 degrees with the feet
# square to the shins: standing feet are rolled by 16. Other rigs rest with level heads and flat feet.
CMU_JOINTS = {"lowerback", "lhipjoint"}
CMU_LEVEL_HEAD = np.radians(15)

SHORTEST_M = 0.001  # of a bone that points anywhere
LEVEL = 0.1  # of a foot's length: one that reaches less far ahead points nowhere


def retarget(motion: Motion, body: Body) -> tuple[tuple[str, ...], np.ndarray]:
    """The body's bones that move (the root first) and their local rotations (T, bones, 3), axis-angle.

    Rotations are relative to the body's rest pose with all bone frames parallel to the world axes; the root's
    is the person's orientation in the world. Arms and legs then point where the source's do, whatever the
    proportions; one without length points where the limb above it does. Motion on the body's own bones (AMASS
    on SMPL) is taken as it is. Limbs that only the skeleton's tree told are named in a warning. Raises
    InputError where the skeleton does not show a limb.
    """
    try:
        rotvec = _by_name(motion, body) if is_own(motion, body) else _laid(motion, body)
    except InputError as error:
        raise InputError(f"{motion.name}: {error}") from error
    return body.moving_bones, rotvec


def _laid(motion: Motion, body: Body) -> np.ndarray:
    """(T, bones, 3) rotations of the body's moving bones that lay its limbs along the motion's."""
    source = rig_of_motion(motion)
    target = _body_rig(body)
    bones = body.moving_bones
    moving = [body.bones.index(bone) for bone in bones]
    parts = {role: body.bones.index(bone) for role, bone in body.roles.items()}
    world = lay(motion.global_rotations(), source, target, moving, parts)
    local = []
    for joint in moving:
        above = body.parents[joint]
        while above >= 0 and above not in moving:
            above = body.parents[above]
        if joint not in world:  # the source lacks it: it follows its parent
            world[joint] = world[above]
        local.append(world[joint] if above < 0 else world[above].swapaxes(1, 2) @ world[joint])
    return roma.rotmat_to_rotvec(torch.from_numpy(np.stack(local, 1))).numpy()


def laid_on(motion: Motion, body: Body) -> BodyMotion:
    """Motion capture as the motion of a body of mean shape: metres, y up, where the motion was captured.

    Warns and raises InputError as :func:`retarget` does.
    """
    bones, turns = retarget(motion, body)
    rotvec = np.zeros((len(motion), len(body.bones), 3), np.float32)
    rotvec[:, [body.bones.index(bone) for bone in bones]] = turns
    times_s = np.arange(len(motion)) / motion.fps
    still = np.zeros((len(motion), 3), np.float32)
    moving = BodyMotion(body, rotvec, np.zeros(body.shape_count, np.float32), still, times_s, motion.fps)
    return replace(moving, translation_m=np.float32(hips_path(motion, body) - middle_of_hips(moving)))


def hips_path(motion: Motion, body: Body) -> np.ndarray:
    """(T, 3) where the middle of the hips is when the body, in its mean shape, moves so: metres, y up.

    The motion's own path, made larger or smaller as the body's legs are longer or shorter than the motion's.
    """
    if is_own(motion, body):
        source = replace(_body_rig(body), rest=rest_positions(motion.parents.tolist(), motion.offsets))
    else:
        with quiet():  # retargeting says it
            source = read_rig(motion.joints, motion.parents.tolist(), motion.offsets, motion.joint_map)
    hips = [source.roles[f"{side}_hip"] for side in SIDES]
    return motion.positions()[:, hips].mean(1) * (_body_rig(body).leg_m / max(source.leg_m, SHORTEST_M))


def lay(
    turned: np.ndarray, source: "Rig", target: "Rig", moving: Collection[int], parts: Mapping[str, int]
) -> dict[int, np.ndarray]:
    """World rotations since rest (T, 3, 3) of a target's joints, that lay its limbs along the source's.

    turned: (T, J, 3, 3) world rotations of the source's joints since its rest. Both rest y up, facing +z.
    moving: the target's joints that may turn. parts: the joint that plays each role; what has no counterpart
        in the source is left out, to follow its parent.
    """
    aligned = _alignments(source, target)
    world = _along_spine(turned, source, target, aligned, moving)
    for role, joint in parts.items():
        if role in source.roles and role in aligned:
            world.setdefault(joint, turned[:, source.roles[role]] @ aligned[role])
    return world


def is_own(motion: Motion, body: Body) -> bool:
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
        pelvis = fork(self.roles["left_hip"], self.roles["right_hip"], self.parents)
        below_neck = way_to(self.roles["neck"], self.parents)[:-1]
        return [pelvis, *(joint for joint in below_neck if joint not in way_to(pelvis, self.parents))]

    @cached_property
    def neck(self) -> list[int]:
        """Joints from the trunk's last to the head."""
        above = way_to(self.roles["head"], self.parents)
        return self.trunk[-1:] + above[above.index(self.roles["neck"]) :]

    @cached_property
    def up(self) -> np.ndarray:
        """(3,) from between the hips to between the shoulders."""
        hips, shoulders = (
            np.sum([self.rest[self.roles[f"{side}_{limb}"]] for side in SIDES], 0)
            for limb in ("hip", "shoulder")
        )
        return shoulders - hips

    def way(self, start: str, end: str) -> np.ndarray:
        """(3,) from the joint of one role to that of another."""
        return self.rest[self.roles[end]] - self.rest[self.roles[start]]

    @property
    def leg_m(self) -> float:
        """From hip over knee to ankle, the mean of both sides."""
        bones = [
            self.way(f"{side}_{start}", f"{side}_{end}")
            for side in SIDES
            for start, end in (("hip", "knee"), ("knee", "ankle"))
        ]
        return sum(map(_length, bones)) / 2

    def places(self, chain: list[int], base: int) -> np.ndarray:
        """(len(chain),) where along a chain each joint's rotation acts: 0 the first, 1 the last.

        A joint between them acts in the middle of its bone, as far as it is from joint ``base`` to the last.
        """
        if len(chain) == 1:
            return np.zeros(1)
        bones = np.linalg.norm(np.diff(self.rest[chain[base:]], axis=0), axis=1)
        middles = (np.cumsum(bones) - bones / 2) / max(bones.sum(), 1e-12)
        return np.array([0.0, *middles[1 - base :], 1.0])


def rig_of_motion(motion: Motion) -> Rig:
    """The rig that a motion was captured on (see ``read_rig``)."""
    return read_rig(
        motion.joints, motion.parents.tolist(), motion.offsets, motion.joint_map, name=motion.name
    )


def read_rig(
    joints: Sequence[str],
    parents: Sequence[int],
    offsets: np.ndarray,
    joint_map: Mapping[str, str] | None = None,
    *,
    name: str = "",
) -> Rig:
    """Know a rig's limbs: by a joint map, by the joints' names, by the tree (see ``mpt.mocap.limbs``).

    offsets: (J, 3) metres, from each joint's parent at rest; ``name`` begins the warning that names the limbs
    which only the tree told. Raises InputError where a limb is not found or hangs on a wrong one.
    """
    limbs = find_limbs(joints, parents, offsets, joint_map)
    if limbs.missing:
        raise InputError(
            f"no joint was found for {', '.join(limbs.missing)} among {', '.join(joints)}; "
            "rename its joints as Mixamo, CMU or SMPL do, or name them in a joint map (--joint-map)"
        )
    if wrong := hangs_wrong(limbs.joints, parents):
        limb, above = (f"{limb} '{joints[limbs.joints[limb]]}'" for limb in wrong)
        raise InputError(
            f"the {limb} does not hang on the {above}; export the skeleton as a person is built, or name its "
            "joints in a joint map (--joint-map)"
        )
    if limbs.by_tree:
        found = ", ".join(f"{limb} {joints[limbs.joints[limb]]}" for limb in limbs.by_tree)
        warnings.warn(
            f"{name}: what its joints are called does not tell all limbs, the tree was asked: {found}; where "
            "that is wrong, name them in a joint map (--joint-map)",
            stacklevel=2,
        )
    return Rig(tuple(joints), parents, rest_positions(parents, offsets), limbs.joints)


def _body_rig(body: Body) -> Rig:
    heads = body.heads.double().cpu().numpy()
    given = {role: body.bones.index(bone) for role, bone in body.roles.items()}
    return Rig(body.bones, body.parents, heads, given | limbs_by_name(body.bones, body.parents))


def rest_alignments(body: Body, rest_m: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray]:
    """(3, 3) of each limb's role: what lays a body's limb at rest on that of other people.

    rest_m: their joints (3,) by role, metres. "trunk" is what lays pelvis and spine.
    """
    roles = list(rest_m)
    other = Rig(
        tuple(roles), [-1] * len(roles), np.array(list(rest_m.values())), {r: i for i, r in enumerate(roles)}
    )
    return _alignments(other, _body_rig(body))


def _alignments(source: Rig, body: Rig) -> dict[str, np.ndarray]:
    """A of each role: (3, 3) rotation that lays the body's limb at rest on the source's.

    A limb takes the rotation of the limb above it, then the smallest one that brings it to the source's
    direction: so elbows, knees and wrists are not twisted.
    """
    straight = np.eye(3)
    trunk = swing(body.up, source.up)
    is_cmu = {joint.lower() for joint in source.joints} >= CMU_JOINTS
    aligned = {
        "trunk": trunk,
        "neck": straight,
        "head": _rotation(np.array([-CMU_LEVEL_HEAD, 0, 0])) if is_cmu else straight,
    }
    for side in SIDES:
        limbs = {limb: f"{side}_{limb}" for limb in NAMES}

        def laid(start: str, end: str, above: np.ndarray, limbs=limbs) -> np.ndarray:
            ours, theirs = (rig.way(limbs[start], limbs[end]) for rig in (body, source))
            return swing(above @ ours, theirs) @ above if _length(theirs) > SHORTEST_M else above

        aligned[limbs["hip"]] = hip = laid("hip", "knee", straight)
        aligned[limbs["knee"]] = laid("knee", "ankle", hip)
        aligned[limbs["collar"]] = trunk
        aligned[limbs["shoulder"]] = shoulder = laid("shoulder", "elbow", straight)
        aligned[limbs["elbow"]] = elbow = laid("elbow", "wrist", shoulder)
        fingers = limbs["finger"] in source.roles and limbs["finger"] in body.roles
        aligned[limbs["wrist"]] = laid("wrist", "finger", elbow) if fingers else elbow
        # The sole is flat at rest, at whatever slope a rig draws its foot: only the heading is laid.
        foot = swing(*_headings(source, body, side))
        if is_cmu:
            shin = source.way(limbs["knee"], limbs["ankle"])
            foot = swing(np.array([0.0, -1.0, 0.0]), shin * [1, 1, 0]) @ foot
        aligned[limbs["ankle"]] = aligned[limbs["toe"]] = foot
    return aligned


def _headings(source: Rig, body: Rig, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Horizontal directions (3,) of the body's and the source's foot; a foot without toes, or whose toes are
    straight below the ankle, points ahead.
    """
    ahead, level = np.array([0.0, 0.0, 1.0]), np.array([1, 0, 1])
    ankle, toe = f"{side}_ankle", f"{side}_toe"
    ours, theirs = (rig.way(ankle, toe) if toe in rig.roles else ahead for rig in (body, source))
    if _length(theirs * level) < max(LEVEL * _length(theirs), SHORTEST_M):
        theirs = ahead
    elif toe in source.roles and (same := source.joints[source.roles[toe]]) in body.joints:
        ours = body.rest[body.joints.index(same)] - body.rest[body.roles[ankle]]
    return ours * level, theirs * level


def _along_spine(
    turned: np.ndarray, source: Rig, body: Rig, aligned: dict[str, np.ndarray], moving: Collection[int]
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


def _length(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector))


def swing(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(..., 3, 3) smallest rotations that turn directions (..., 3) into others; none of no length."""
    lengths = [np.linalg.norm(way, axis=-1, keepdims=True) for way in (start, end)]
    a, b = (way / length.clip(SHORTEST_M) for way, length in zip((start, end), lengths))
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (a * b).sum(-1, keepdims=True))
    turns = (np.minimum(*lengths) >= SHORTEST_M) & (sine >= 1e-12)
    return _rotation(np.where(turns, axis / sine.clip(1e-12) * angle, 0.0))


def _rotation(rotvec: np.ndarray) -> np.ndarray:
    return roma.rotvec_to_rotmat(torch.from_numpy(rotvec)).numpy()

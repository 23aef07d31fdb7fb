"""A body's motion as a rig: a tree of joints at rest, a skin on it, and how the joints turn over time."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import roma
import torch

from mpt.bodies.body import Body
from mpt.bodies.motion import BodyMotion, still
from mpt.bodies.pose import BodyPose
from mpt.clothes import Clothes, clothes_of
from mpt.errors import InputError
from mpt.rigs.names import Names, check_names, mixamo
from mpt.rigs.skin import fitted, four_bones, skinned
from mpt.rigs.t_pose import t_pose

LENGTH_M = 1e-4  # shorter bones have none
Rest = Literal["t-pose", "a-pose"]
EXAMPLES = 16  # frames of a motion in which the skin is compared with the body's


class Place(NamedTuple):
    """A rotation (3, 3) and a shift (3,) from the axes of poses to those of a file."""

    rotation: np.ndarray
    shift: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) points."""
        return points @ self.rotation.T + self.shift


@dataclass(frozen=True, eq=False)
class Rig:
    """A skinned skeleton of J joints in F poses. Metres, y up; at rest it faces +z, people stand on y = 0,
    and all frames are parallel to the axes; V vertices. A photo's has one pose.

    Attributes:
        joints: their names.
        parents: a parent stands before its children; -1 of the root, the first joint.
        heads: (J, 3) where the joints rest.
        turns: (F, J, 3, 3) float32 local rotations since the rest pose; the root's is that in the world.
        root_m: (F, 3) where the root is.
        times_s: (F,) when, ascending. fps: frames a second, for files that know no other times.
        vertices: (V, 3) at rest. faces: (T, 3).
        skin_index, skin_weight: (V, 4).
        clothes: what is painted on the skin, if anything is.
    """

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    heads: np.ndarray
    turns: np.ndarray
    root_m: np.ndarray
    times_s: np.ndarray
    fps: float
    vertices: np.ndarray
    faces: np.ndarray
    skin_index: np.ndarray
    skin_weight: np.ndarray
    clothes: Clothes | None = None

    @property
    def offsets(self) -> np.ndarray:
        """(J, 3) from each joint's parent, at rest; of the root its own place."""
        above = self.heads[np.maximum(self.parents, 0)]
        return np.where(np.array(self.parents)[:, None] < 0, self.heads, self.heads - above)

    def end(self, joint: int) -> np.ndarray:
        """(3,) where the skin that a joint carries ends at rest, along the way to the middle of its box."""
        way = self.vertices[self.skin_index[:, 0] == joint] - self.heads[joint]
        if not len(way):
            return self.heads[joint]
        middle = (way.min(0) + way.max(0)) / 2
        middle /= max(float(np.linalg.norm(middle)), 1e-9)
        return self.heads[joint] + middle * (way @ middle).max()


def rig_of(
    moving: BodyPose | BodyMotion,
    place: Place,
    *,
    names: Names = "anny",
    rest: Rest = "a-pose",
    all_bones: bool = True,
    bare: bool = False,
) -> Rig:
    """The rig of a pose, whose skin in that pose is the body's; or of a motion, whose skin is as nearly the
    body's as four bones to a vertex allow.

    names: the body's own; or Mixamo's, and of the bones those that Mixamo has.
    rest: a T-pose, or the body's own.
    all_bones: or only those that poses turn, without fingers, for files without skin, which is then as it
        rests. What this motion turns is always there; what begins where its parent does, and never turns, is
        a part of that.
    bare: without clothes.

    Raises InputError for names or a rest that the body cannot have.
    """
    motion = still(moving) if isinstance(moving, BodyPose) else moving
    body, of_people = motion.body, "left_hip" in motion.body.roles
    check_names(names, two_sided=of_people, model=body.name)
    if rest not in ("t-pose", "a-pose"):
        raise InputError(f"no rest pose is called {rest!r}: take t-pose, or a-pose (the body's own)")
    own = motion[0].rest()
    heads = own.transforms[:, :3, 3].astype(float)
    called = mixamo(body) if names == "mixamo" else {bone: bone for bone in body.bones}
    wanted = called.keys() - _lengthless(body, heads) if all_bones else set(body.moving_bones)
    turned = {bone for bone, turns in zip(body.bones, motion.rotvec.swapaxes(0, 1)) if turns.any()}
    kept = body.with_bones(tuple(bone for bone in body.bones if bone in wanted | turned | {body.bones[0]}))
    rows = [body.bones.index(bone) for bone in kept.bones]

    laid = t_pose(body, heads) if rest == "t-pose" else np.tile(np.eye(3), (len(heads), 1, 1))
    at_rest = _chained(body.parents, heads, laid)[rows]
    laid = laid[rows]
    index, weight = four_bones(kept)
    vertices = skinned(index, weight, _to(laid, at_rest, heads[rows]), own.vertices)
    if of_people:
        floor = np.array([0, vertices[:, 1].min(), 0])
        at_rest, vertices = at_rest - floor, vertices - floor
    if all_bones:
        examples = [motion[frame].posed() for frame in _apart(motion.rotvec)]
        bones = np.stack([example.transforms[rows] for example in examples]).astype(float)
        turned_to = place.rotation @ bones[..., :3, :3] @ laid.swapaxes(1, 2)
        to_poses = _to(turned_to, place(bones[..., :3, 3]), at_rest)
        posed = [place(example.vertices) for example in examples]
        index, weight, vertices = fitted(kept, index, weight, to_poses, np.stack(posed), vertices)

    above = np.stack([place.rotation, *laid[list(kept.parents[1:])]])
    turns = np.tile((above @ laid.swapaxes(1, 2)).astype(np.float32), (len(motion), 1, 1, 1))
    moves = [joint for joint, bone in enumerate(kept.bones) if bone in turned]
    rotvec = motion.rotvec[:, [rows[joint] for joint in moves]].astype(float)
    local = roma.rotvec_to_rotmat(torch.from_numpy(rotvec)).numpy()
    turns[:, moves] = above[moves] @ local @ laid[moves].swapaxes(1, 2)
    return Rig(
        joints=tuple(called.get(bone, bone) for bone in kept.bones),
        parents=kept.parents,
        heads=at_rest,
        turns=turns,
        root_m=place(heads[0] + motion.translation_m),
        times_s=motion.times_s,
        fps=motion.fps,
        vertices=vertices,
        faces=body.faces.cpu().numpy(),
        skin_index=index,
        skin_weight=weight,
        clothes=None if bare else clothes_of(body),
    )


def _lengthless(body: Body, heads: np.ndarray) -> set[str]:
    """Bones that nothing turns and that begin where their parents do."""
    offsets = np.linalg.norm(heads - heads[np.maximum(body.parents, 0)], axis=1)
    still = set(body.bones[1:]) - set(body.moving_bones)
    return {bone for bone, offset in zip(body.bones, offsets) if offset < LENGTH_M} & still


def _apart(rotvec: np.ndarray) -> list[int]:
    """Frames (F, B, 3) of which each is as unlike the ones before it as any."""
    turns = rotvec.reshape(len(rotvec), -1)
    found, near = [0], np.square(turns - turns[0]).sum(1)
    while len(found) < EXAMPLES and near.max() > 0:
        found.append(int(near.argmax()))
        near = np.minimum(near, np.square(turns - turns[found[-1]]).sum(1))
    return found


def _chained(parents: tuple[int, ...], heads: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """(B, 3) where heads (B, 3) come to be when each bone is turned by (B, 3, 3), in world axes."""
    places: list[np.ndarray] = []
    for bone, parent in enumerate(parents):
        places.append(
            heads[bone] if parent < 0 else places[parent] + turns[parent] @ (heads[bone] - heads[parent])
        )
    return np.stack(places)


def _to(turns: np.ndarray, places: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """(..., B, 3, 4) transforms that turn bones about their heads (B, 3) and bring these to places."""
    shift = places - np.einsum("...bij,bj->...bi", turns, heads)
    return np.concatenate([turns, shift[..., None]], -1)

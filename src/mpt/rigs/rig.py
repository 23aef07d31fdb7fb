"""A body's pose as a rig: a tree of joints at rest, a skin on it, and how the joints are turned."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from mpt.bodies.pose import BodyPose
from mpt.errors import InputError
from mpt.rigs.names import Names, check_names, mixamo
from mpt.rigs.skin import four_bones, skinned, unposed
from mpt.rigs.t_pose import t_pose

Rest = Literal["t-pose", "a-pose"]


class Place(NamedTuple):
    """A rotation (3, 3) and a shift (3,) from the axes of poses to those of a file."""

    rotation: np.ndarray
    shift: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) points."""
        return points @ self.rotation.T + self.shift


@dataclass(frozen=True, eq=False)
class Rig:
    """A skinned skeleton of J joints. Metres, y up; at rest it faces +z, and all frames are parallel to the
    axes; V vertices.

    Attributes:
        joints: their names.
        parents: a parent stands before its children; -1 of the root, the first joint.
        heads: (J, 3) where the joints rest.
        turns: (J, 3, 3) local rotations since the rest pose; the root's is that in the world.
        root_m: (3,) where the root is in the pose.
        vertices: (V, 3) at rest. faces: (F, 3).
        skin_index, skin_weight: (V, 4).
    """

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    heads: np.ndarray
    turns: np.ndarray
    root_m: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray
    skin_index: np.ndarray
    skin_weight: np.ndarray

    @property
    def offsets(self) -> np.ndarray:
        """(J, 3) from each joint's parent, at rest; of the root its own place."""
        above = self.heads[np.maximum(self.parents, 0)]
        return np.where(np.array(self.parents)[:, None] < 0, self.heads, self.heads - above)


def rig_of(
    pose: BodyPose,
    place: Place,
    *,
    names: Names = "anny",
    rest: Rest = "a-pose",
    all_bones: bool = True,
) -> Rig:
    """The rig of a pose, whose skin in that pose is the body's.

    names: the body's own; or Mixamo's, and of the bones those that Mixamo has.
    rest: a T-pose, or the body's own.
    all_bones: or only those that poses turn, without fingers. What this pose turns is always there.

    Raises InputError for names or a rest that the body cannot have.
    """
    body, count = pose.body, len(pose.body.bones)
    check_names(names, two_sided="left_hip" in body.roles, model=body.name)
    if rest not in ("t-pose", "a-pose"):
        raise InputError(f"no rest pose is called {rest!r}: take t-pose, or a-pose (the body's own)")
    posed, own = pose.posed(), pose.rest()
    heads = own.transforms[:, :3, 3].astype(float)
    laid = t_pose(body, heads) if rest == "t-pose" else np.broadcast_to(np.eye(3), (count, 3, 3))
    at_rest = _chained(body.parents, heads, laid)
    turns = place.rotation @ posed.transforms[:, :3, :3] @ laid.swapaxes(1, 2)
    places = place(posed.transforms[:, :3, 3].astype(float))

    called = mixamo(body) if names == "mixamo" else {bone: bone for bone in body.bones}
    wanted = called.keys() if all_bones else set(body.moving_bones)
    turned = {bone for bone, turn in zip(body.bones, pose.rotvec) if turn.any()}
    kept = body.with_bones(tuple(bone for bone in body.bones if bone in wanted | turned | {body.bones[0]}))
    rows = [body.bones.index(bone) for bone in kept.bones]
    index, weight = four_bones(kept)
    to_rest = _to(laid[rows], at_rest[rows], heads[rows])
    like = skinned(index, weight, to_rest, own.vertices)
    to_pose = _to(turns[rows], places[rows], at_rest[rows])
    vertices = unposed(index, weight, to_pose, place(posed.vertices), like)
    above = [turns[rows[parent]].T if parent >= 0 else np.eye(3) for parent in kept.parents]
    return Rig(
        joints=tuple(called.get(bone, bone) for bone in kept.bones),
        parents=kept.parents,
        heads=at_rest[rows],
        turns=np.stack(above) @ turns[rows],
        root_m=places[0],
        vertices=vertices,
        faces=body.faces.cpu().numpy(),
        skin_index=index,
        skin_weight=weight,
    )


def _chained(parents: tuple[int, ...], heads: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """(B, 3) where heads (B, 3) come to be when each bone is turned by (B, 3, 3), in world axes."""
    places: list[np.ndarray] = []
    for bone, parent in enumerate(parents):
        places.append(
            heads[bone] if parent < 0 else places[parent] + turns[parent] @ (heads[bone] - heads[parent])
        )
    return np.stack(places)


def _to(turns: np.ndarray, places: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """(B, 3, 4) transforms that turn bones about their heads (B, 3) and bring these to places (B, 3)."""
    shift = places - np.einsum("bij,bj->bi", turns, heads)
    return np.concatenate([turns, shift[:, :, None]], 2)

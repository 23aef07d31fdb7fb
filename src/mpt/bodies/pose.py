"""One body's pose: what a rigged file, or another pose of the same person, starts from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import roma
import torch
from torch import Tensor

from mpt.bodies.body import Body
from mpt.errors import InputError


class Posed(NamedTuple):
    """A posed body in the axes of its pose, metres, float32."""

    vertices: np.ndarray  # (V, 3)
    transforms: np.ndarray  # (B, 4, 4) from each bone, whose frame is parallel to the rest pose's axes
    joints: np.ndarray  # (K, 3) of the body's skeleton


@dataclass(frozen=True, eq=False)
class BodyPose:
    """Pose, shape and place of one body, in the axes and about the origin that its owner names.

    The body rests y up, facing +z. The root's rotation turns it into the owner's axes, about the root's head;
    then the translation is added. Of a ``Reconstruction`` these are camera axes about the mid-hip.

    Attributes:
        body: what is posed.
        rotvec: (B, 3) float32 local rotations of ``body.bones``, axis-angle in radians, relative to the rest
            pose; zeros of bones that do not move.
        shape: (S,) float32 shape components.
        translation_m: (3,) float32, as ``Body.forward`` takes it: the root's head comes to be where it rests
            (``rest().transforms[0, :3, 3]``) plus this.
    """

    body: Body = field(repr=False)
    rotvec: np.ndarray
    shape: np.ndarray
    translation_m: np.ndarray

    def posed(self) -> Posed:
        """Vertices, bones and joints, the translation added."""
        return self._at(self.rotvec, self.translation_m)

    def rest(self) -> Posed:
        """The same person in the body's rest pose, in the body's own axes: y up, facing +z."""
        return self._at(np.zeros_like(self.rotvec), np.zeros_like(self.translation_m))

    def turned(self, rotations: Mapping[str, np.ndarray] | np.ndarray) -> "BodyPose":
        """The same body in another pose.

        rotations: axis-angle in radians, of all bones (B, 3), or of some by name: those of ``body.bones``, or
            what they are on any body ("left_elbow"; the keys of ``body.roles``). The others stay as they are.

        Raises InputError for an unknown bone, or what are no rotations.
        """
        bones = self.body.bones
        rotvec = self.rotvec.copy()
        if not isinstance(rotations, Mapping):
            if np.shape(rotations) != rotvec.shape:
                raise InputError(
                    f"rotations of shape {np.shape(rotations)} were given, {self.body.name} takes "
                    f"{rotvec.shape}, one for each bone: give these, or some by the names of bones"
                )
            rotations = dict(zip(bones, np.asarray(rotations)))
        for name, turn in rotations.items():
            bone = self.body.roles.get(name, name)
            if bone not in bones:
                known = ", ".join([*self.body.roles, *bones])
                raise InputError(f"{self.body.name} has no bone {name!r}: there are {known}")
            turn = np.asarray(turn, np.float32)
            if turn.shape != (3,) or not np.isfinite(turn).all():
                raise InputError(
                    f"{name} was turned by {turn.tolist()}: give a rotation as an axis times an angle in "
                    "radians, three numbers"
                )
            rotvec[bones.index(bone)] = turn
        return replace(self, rotvec=rotvec)

    def _at(self, rotvec: np.ndarray, translation_m: np.ndarray) -> Posed:
        rotations = roma.rotvec_to_rotmat(_batch(rotvec))
        shape, translation = _batch(self.shape), _batch(translation_m)
        with torch.no_grad():
            output = self.body(rotations, shape, translation)
            transforms = self.body.bone_transforms(rotations, shape, translation)
        return Posed(*(part[0].numpy() for part in (output.vertices, transforms, output.joints)))


def _batch(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))[None]

"""One body's pose: what a rigged file, or another pose of the same person, starts from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import roma
import torch
from torch import Tensor

from mpt.bodies.body import Body
from mpt.bodies.phenotypes import ANCHORS, in_words
from mpt.errors import InputError
from mpt.threads import torch_threads
from mpt.values import Values


class Posed(NamedTuple):
    """A posed body in the axes of its pose, metres, float32."""

    vertices: np.ndarray  # (V, 3)
    transforms: np.ndarray  # (B, 4, 4) from each bone, whose frame is parallel to the rest pose's axes
    joints: np.ndarray  # (K, 3) of the body's skeleton


@dataclass(frozen=True, eq=False, repr=False)
class BodyPose(Values):
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
            rotvec[bones.index(bone)] = _rotation(name, turn)
        return replace(self, rotvec=rotvec)

    @torch_threads(1)
    def build(self) -> dict[str, Any]:
        """What the shape tells of the person: ``stature_m`` from sole to crown; ``guessed``, of a body with
        phenotypes, what they mostly are in people of this shape: numbers as Anny has them, and ``words``.
        """
        phenotypes = self.body.phenotypes
        if phenotypes is None:
            height = self.rest().vertices[:, 1]
            return {"stature_m": float(height.max() - height.min())}
        shape = _batch(self.shape)
        values = dict(zip(ANCHORS, phenotypes.guess(shape)[0].tolist()))
        del values["height"]  # stature says it
        stature = float(phenotypes.stature_m(shape))
        return {"stature_m": stature, "guessed": values | {"words": in_words(values)}}

    def arrays(self) -> dict[str, Any]:
        """The pose as arrays for a file: bones, rotvec, shape and translation_m; of SMPL bodies as AMASS has
        one frame, poses (1, 72), betas (S,), trans (1, 3), gender and mocap_framerate.
        """
        if self.body.metadata.get("shape_space") == "smpl":
            return {
                "poses": self.rotvec.reshape(1, -1),
                "betas": self.shape,
                "trans": self.translation_m[None],
                "gender": self.body.metadata["gender"],
                "mocap_framerate": 1.0,
            }
        return {
            "bones": np.array(self.body.bones),
            "rotvec": self.rotvec,
            "shape": self.shape,
            "translation_m": self.translation_m,
        }

    def __repr__(self) -> str:
        return f"<a pose of {self.body.name}: {len(self.rotvec)} bones, {len(self.shape)} shape components>"

    @torch_threads(1)
    def _at(self, rotvec: np.ndarray, translation_m: np.ndarray) -> Posed:
        rotations = roma.rotvec_to_rotmat(_batch(rotvec))
        shape, translation = _batch(self.shape), _batch(translation_m)
        with torch.no_grad():
            output = self.body(rotations, shape, translation)
            transforms = self.body.bone_transforms(rotations, shape, translation)
        return Posed(*(part[0].numpy() for part in (output.vertices, transforms, output.joints)))


def _rotation(name: str, turn: Any) -> np.ndarray:
    try:
        found = np.asarray(turn, np.float32)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (3,) or not np.isfinite(found).all():
        told = found.tolist() if found.size else turn
        raise InputError(
            f"{name} was turned by {told!r:.80}: give a rotation as an axis times an angle in radians, three "
            "numbers"
        )
    return found


def _batch(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))[None]

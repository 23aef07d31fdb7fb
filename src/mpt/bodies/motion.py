"""One body's poses over time: what an animated file starts from."""

from dataclasses import dataclass, field, replace

import numpy as np
import roma
import torch

from mpt.bodies.body import Body
from mpt.bodies.pose import BodyPose
from mpt.values import Values


@dataclass(frozen=True, eq=False, repr=False)
class BodyMotion(Values):
    """F poses of one body whose shape stays, in the axes and about the origin that its owner names.

    Attributes:
        body: what moves.
        rotvec: (F, B, 3) float32 local rotations of ``body.bones``, as ``BodyPose`` has them.
        shape: (S,) float32 shape components.
        translation_m: (F, 3) float32, as ``BodyPose`` has it.
        times_s: (F,) float64 since the film's start, ascending; where somebody was away there is a gap.
        fps: frames a second of the film, for formats that know no other times.
    """

    body: Body = field(repr=False)
    rotvec: np.ndarray
    shape: np.ndarray
    translation_m: np.ndarray
    times_s: np.ndarray
    fps: float

    def __len__(self) -> int:
        return len(self.times_s)

    def __repr__(self) -> str:
        seconds = self.times_s[-1] - self.times_s[0] if len(self) else 0.0
        return f"<a motion of {self.body.name}: {len(self)} frames, {seconds:.2f} s>"

    def __getitem__(self, frame: int) -> BodyPose:
        return BodyPose(self.body, self.rotvec[frame], self.shape, self.translation_m[frame])


def turned(motion: BodyMotion, rotations: np.ndarray) -> BodyMotion:
    """The same motion in axes that are turned about their origin, each frame by its own (F, 3, 3)."""
    body, shape = motion.body, torch.from_numpy(np.float32(motion.shape))
    head = (body.heads[0] + torch.einsum("s,sx->x", shape, body.heads_basis[:, 0])).double().numpy()
    root = roma.rotvec_to_rotmat(torch.from_numpy(motion.rotvec[:, 0].astype(float))).numpy()
    rotvec = np.array(motion.rotvec)
    rotvec[:, 0] = rotvec_of(rotations @ root)
    place = (rotations @ (motion.translation_m + head)[..., None])[..., 0] - head
    return replace(motion, rotvec=rotvec, translation_m=np.float32(place))


def middle_of_hips(motion: BodyMotion) -> np.ndarray:
    """(F, 3) float64 where the middle of the hips is, metres, before the translation is added."""
    hardly_any = motion.body.subset(torch.arange(1)).to(dtype=torch.float64)  # joints need no skin
    turns = roma.rotvec_to_rotmat(torch.from_numpy(np.asarray(motion.rotvec, float)))
    joints = hardly_any(turns, torch.from_numpy(np.asarray(motion.shape, float))[None]).joints
    return joints[:, hardly_any.skeleton.root].mean(1).numpy()


def rotvec_of(rotations: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> (..., 3) axis-angle, radians."""
    return roma.rotmat_to_rotvec(torch.from_numpy(np.asarray(rotations, float))).numpy()


def still(pose: BodyPose, fps: float = 30.0) -> BodyMotion:
    """A pose as a motion of one frame."""
    return BodyMotion(pose.body, pose.rotvec[None], pose.shape, pose.translation_m[None], np.zeros(1), fps)

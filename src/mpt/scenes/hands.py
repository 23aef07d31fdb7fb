"""A right hand photographed from near by, on a dressed body in a place; in a mirror it is a left one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import roma
import torch

from mpt.bodies import Body, anny_hand, load
from mpt.bodies.hand_poses import sample_hand_poses
from mpt.scenes.backdrops import PLACES
from mpt.scenes.people import random_outfit
from mpt.scenes.photograph import Actor, Scene, Shot, Subject, photograph, pose_actor
from mpt.scenes.poses import POSES, rotations

SIDE_PX = 480
SEED = 7
DEMO = {13: 0.25, 10: 0.25, 2: 0.4, 1: 0.25}  # numbers of drawn hands, and how much of their bend they have
_STANCES = ("waving", "reaching", "standing", "walking", "lunging")


@dataclass(frozen=True)
class HandScene:
    """A picture, HWC uint8 RGB, its camera, and the hand in it: (V, 3) vertices in the order of the hand's
    body, camera axes, metres.
    """

    image: np.ndarray
    K: np.ndarray
    vertices: np.ndarray
    left: bool = False

    def subject(self, hand: Body) -> Subject:
        """The truth, by the hand's own body, a right one."""
        back = torch.tensor([-1.0 if self.left else 1.0, 1, 1])
        joints = (hand.regress((torch.from_numpy(self.vertices) * back)[None])[0] * back).numpy()
        pixels = joints @ self.K.T
        return Subject(self.vertices, joints, pixels[:, :2] / pixels[:, 2:], np.zeros(0))

    def mirrored(self) -> "HandScene":
        """The picture in a mirror: the other hand. The optical axis goes through the picture's middle."""
        return replace(
            self,
            image=np.ascontiguousarray(self.image[:, ::-1]),
            vertices=self.vertices * np.float32([-1, 1, 1]),
            left=not self.left,
        )


def demo_hands() -> Iterator[Scene]:
    """Four made-up photographs of hands, right and left in turn, the plainest first, always the same."""
    whole, hand = load("anny"), load("anny-hand")
    count = 1 + max(DEMO)
    poses = sample_hand_poses(hand, count, torch.Generator().manual_seed(SEED)).numpy()
    people = whole.sample_shapes(count, torch.Generator().manual_seed(SEED)).numpy()
    for k, (drawn, bent) in enumerate(DEMO.items()):
        rng = np.random.default_rng([SEED, drawn])
        scene = hand_scene(whole, bent * poses[drawn], people[drawn], rng)
        scene = scene.mirrored() if k % 2 else scene
        side = "left" if scene.left else "right"
        yield Scene(f"{side}-hand-{k // 2 + 1}", scene.image, scene.K, (scene.subject(hand),))


def hand_scene(
    body: Body, fingers: np.ndarray, shape: np.ndarray, rng: np.random.Generator, side_px: int = SIDE_PX
) -> HandScene:
    """Somebody holds the right hand before the camera.

    body: the whole Anny. fingers: (16, 3) local rotations of the Anny hand's moving bones, axis-angle, wrist
    first, which is not used: the arm says where the hand points. shape: (S,) of the whole body.
    """
    local = rotations(body, POSES[rng.choice(_STANCES)]).float()

    def turn(bone: str, rotation: torch.Tensor) -> None:
        local[body.bones.index(bone)] = rotation.float()

    shoulder = np.radians([rng.uniform(-80, 0), -rng.uniform(0, 40), -rng.uniform(-20, 60)])
    turn(body.roles["right_shoulder"], roma.euler_to_rotmat("xyz", shoulder.tolist()))
    turn(body.roles["right_wrist"], roma.rotvec_to_rotmat(torch.tensor(rng.normal(0, 0.35, 3))))
    turn("lowerarm02.R", roma.rotvec_to_rotmat(torch.tensor([rng.uniform(-1, 1), 0, 0])))
    axes = anny_hand.axes_of(body).double()
    finger_turns = roma.rotvec_to_rotmat(torch.as_tensor(np.asarray(fingers), dtype=torch.float64))
    for role, turned in zip(tuple(anny_hand.ROLES)[1:], finger_turns[1:], strict=True):
        turn(f"{anny_hand.ROLES[role]}.R", axes.T @ turned @ axes)

    actor = Actor(
        local,
        torch.as_tensor(np.asarray(shape), dtype=torch.float32),
        random_outfit(rng),
        yaw_deg=float(rng.uniform(-60, 60)),
    )
    hand = body.parts["hand.R"].numpy()
    middle = pose_actor(body, actor).vertices[hand].mean(0)
    distance, pitch = rng.uniform(0.5, 0.9), rng.uniform(-10, 35)
    off = rng.uniform(-0.06, 0.06, 2)
    shot = Shot(
        (side_px, side_px),
        float(rng.uniform(2.2, 3.0) * side_px * distance),
        float(middle[1] + off[1] + distance * np.sin(np.radians(pitch))),
        float(middle[2] + distance * np.cos(np.radians(pitch))),
        float(middle[0] + off[0]),
        float(pitch),
        float(rng.uniform(-30, 30)),
    )
    place = PLACES[rng.choice(list(PLACES))](rng)
    scene = photograph(body, [actor], place, shot, rng)
    return HandScene(scene.image, scene.K, scene.people[0].vertices[hand])

"""What is told to a camera that turns is told to one that stands, and back."""

import numpy as np
import pytest
import roma
import torch

from mpt import bodies
from mpt.bodies import motion as motions
from mpt.bodies.motion import BodyMotion
from mpt.films import track as tracks
from mpt.films.people import FilmPerson, person_record
from mpt.films.track import Track
from mpt.views import Pinhole

CAMERA, FRAMES = Pinhole.of_size((640, 480)), 5


@pytest.fixture(scope="module")
def body():
    return bodies.load("anny", "coco29")


@pytest.fixture(scope="module")
def turns():
    angles = np.random.default_rng(0).normal(0, 0.1, (FRAMES, 3))
    return roma.rotvec_to_rotmat(torch.from_numpy(angles)).numpy()


def moving(body) -> BodyMotion:
    rng = np.random.default_rng(1)
    rotvec = rng.normal(0, 0.3, (FRAMES, len(body.bones), 3)).astype(np.float32)
    place = rng.normal([0, 0, 4], 0.2, (FRAMES, 3)).astype(np.float32)
    shape = rng.normal(0, 0.5, body.shape_count).astype(np.float32)
    return BodyMotion(body, rotvec, shape, place, np.arange(FRAMES) / 30, 30.0)


def test_a_turned_motion_has_turned_skin(body, turns):
    motion = moving(body)
    turned = motions.turned(motion, turns)
    for frame in range(FRAMES):
        there = motion[frame].posed().vertices @ turns[frame].T
        np.testing.assert_allclose(turned[frame].posed().vertices, there, atol=2e-5)
    np.testing.assert_array_equal(turned.rotvec[:, 1:], motion.rotvec[:, 1:])


def test_a_track_that_is_turned_lies_where_its_camera_sees_it_and_comes_back(turns):
    rng = np.random.default_rng(2)
    place = rng.normal([0, 0, 4], 0.2, (FRAMES, 3))
    joints = rng.normal(0, 0.3, (FRAMES, 29, 3)).astype(np.float32)
    seen = np.concatenate([CAMERA.project(joints + place[:, None]), np.ones((FRAMES, 29, 1))], -1)
    known = Track(
        0, np.arange(FRAMES), np.arange(FRAMES) / 30, seen.astype(np.float32), np.zeros((FRAMES, 2)),
        np.ones(FRAMES), joints, None, joints[:, :9], place, np.float32(np.tile([0, -1, 0], (FRAMES, 1))),
        np.ones(FRAMES), np.ones(FRAMES),
    )  # fmt: skip
    turned = tracks.turned(known, turns, CAMERA)
    there = turned.joints3d_m + turned.translation_m[:, None]
    np.testing.assert_allclose(turned.joints2d_px[..., :2], CAMERA.project(there), atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(turned.up, axis=1), 1, atol=1e-6)
    back = tracks.turned(turned, turns.swapaxes(1, 2), CAMERA)
    for name in ("joints2d_px", "joints3d_m", "coarse", "translation_m", "up"):
        np.testing.assert_allclose(
            getattr(back, name), getattr(known, name), atol=0.02 if "px" in name else 1e-5
        )


def test_people_before_a_camera_that_turns_stand_still_in_the_world(body, turns):
    """Somebody who stands, as each frame's camera sees them."""
    one = moving(body)
    first = BodyMotion(
        body, np.tile(one.rotvec[:1], (FRAMES, 1, 1)), one.shape, np.tile(one.translation_m[:1], (FRAMES, 1)),
        one.times_s, 30.0,
    )  # fmt: skip
    seen = motions.turned(first, turns)
    records = np.zeros(FRAMES, person_record(29, len(body.bones), sure=False, gravity=False))
    records["rotvec"], records["pose_translation_m"] = seen.rotvec, seen.translation_m
    records["camera_rotvec"], records["times_s"] = motions.rotvec_of(turns), one.times_s
    found = FilmPerson(0, body.skeleton, records, body, one.shape, 30.0).motion
    skins = np.stack([found[frame].posed().vertices for frame in range(FRAMES)])
    np.testing.assert_allclose(skins, np.broadcast_to(skins[:1], skins.shape), atol=5e-5)

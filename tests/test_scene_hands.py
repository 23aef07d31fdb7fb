"""A photographed hand is the hand's own body in the pose that was asked, where the picture shows it."""

import numpy as np
import pytest
import torch

from mpt import bodies
from mpt.bodies.hand_poses import sample_hand_poses, to_rotations
from mpt.metrics import pa_mpjpe
from mpt.scenes import demo_hands, hand_scene


@pytest.fixture(scope="module")
def hand():
    return bodies.load("anny-hand")


@pytest.fixture(scope="module")
def taken(hand):
    """Three poses, and their pictures on the average person."""
    whole = bodies.load("anny")
    poses = sample_hand_poses(hand, 3, torch.Generator().manual_seed(2))
    shape = np.zeros(whole.shape_count)
    return poses, [
        hand_scene(whole, p.numpy(), shape, np.random.default_rng(k), 160) for k, p in enumerate(poses)
    ]


def test_the_hand_is_its_own_body_in_that_pose_turned_as_a_whole(hand, taken):
    poses, scenes = taken
    posed = hand(to_rotations(hand, poses), torch.zeros(1, hand.shape_count)).vertices
    fingers = hand.skin_index[:, 0] > 0  # the wrist's skin also follows the arm
    for vertices, scene in zip(posed, scenes):
        assert pa_mpjpe(torch.from_numpy(scene.vertices)[fingers], vertices[fingers]) < 3.0  # mm
        other = pa_mpjpe(torch.from_numpy(scene.vertices)[fingers], posed.mean(0)[fingers])
        assert other > 6.0


def test_the_hand_is_inside_the_picture_and_drawn_there(taken):
    for scene in taken[1]:
        pixels = scene.vertices @ scene.K.T
        pixels = pixels[:, :2] / pixels[:, 2:]
        assert (pixels > 0).all() and (pixels < 159).all()
        column, row = np.rint(pixels).astype(int).T
        on_skin = scene.image[row, column].astype(int)
        assert (on_skin[:, 0] > on_skin[:, 2]).mean() > 0.8  # skin is redder than blue


def test_in_a_mirror_it_is_the_other_hand(taken):
    scene = taken[1][0]
    once, twice = scene.mirrored(), scene.mirrored().mirrored()
    assert once.left and not twice.left
    np.testing.assert_array_equal(twice.image, scene.image)
    np.testing.assert_array_equal(twice.vertices, scene.vertices)
    there, back = (s.vertices @ s.K.T for s in (scene, once))
    there, back = there[:, :2] / there[:, 2:], back[:, :2] / back[:, 2:]
    np.testing.assert_allclose(back * [-1, 1] + [159, 0], there, atol=1e-3)


def test_the_demo_shows_hands_of_both_sides_whose_joints_lie_in_them(hand):
    names = []
    for scene in demo_hands():
        (subject,) = scene.people
        names.append(scene.name)
        assert subject.joints.shape == (21, 3) and subject.vertices.shape == (1609, 3)
        low, high = subject.vertices.min(0) - 0.004, subject.vertices.max(0) + 0.004
        assert ((subject.joints > low) & (subject.joints < high)).all()
        pixels = subject.joints @ scene.K.T
        np.testing.assert_allclose(subject.joints2d_px, pixels[:, :2] / pixels[:, 2:], atol=1e-3)
    assert names == ["right-hand-1", "left-hand-1", "right-hand-2", "left-hand-2"]

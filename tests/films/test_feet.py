"""Feet that rest stay, and nothing else is bent for it."""

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from mpt import bodies
from mpt.bodies.motion import BodyMotion
from mpt.films.feet import foot_points, planted, reached

FRAMES, FPS = 40, 30.0


@pytest.fixture(scope="module")
def body():
    return bodies.load("anny", "coco29")


def walking(body, seed: int = 0) -> BodyMotion:
    """Somebody who sways and bends the knees, upright before a camera three metres away."""
    rng = np.random.default_rng(seed)
    rotvec = np.zeros((FRAMES, len(body.bones), 3), np.float32)
    t = np.arange(FRAMES) / FPS
    rotvec[:, 0] = roma.rotmat_to_rotvec(torch.diag(torch.tensor([1.0, -1.0, -1.0]))).numpy()
    for side, phase in (("left", 0.0), ("right", 1.5)):
        bend = 0.5 + 0.06 * np.sin(5 * t + phase)
        rotvec[:, body.bones.index(body.roles[f"{side}_hip"]), 0] = -bend
        rotvec[:, body.bones.index(body.roles[f"{side}_knee"]), 0] = 2 * bend
    place = np.stack([0.03 * np.sin(4 * t), 0.02 * np.sin(7 * t), 3 + 0.05 * np.sin(3 * t)], 1)
    shape = rng.normal(0, 0.5, body.shape_count).astype(np.float32)
    return BodyMotion(body, rotvec, shape, np.float32(place), t, FPS)


def ankles(motion: BodyMotion) -> np.ndarray:
    """(F, 2, 3)"""
    return heads(motion)[
        :, [motion.body.bones.index(motion.body.roles[f"{s}_ankle"]) for s in ("left", "right")]
    ]


def heads(motion: BodyMotion) -> np.ndarray:
    return bones(motion)[..., :3, 3]


def bones(motion: BodyMotion) -> np.ndarray:
    return np.stack([motion[frame].posed().transforms for frame in range(len(motion))]).astype(float)


def test_ankles_reach_where_they_are_asked_to_and_feet_keep_their_direction(body):
    motion = walking(body)
    shift = np.random.default_rng(1).normal(0, 0.02, (FRAMES, 2, 3))
    moved = reached(motion, shift)
    np.testing.assert_allclose(ankles(moved), ankles(motion) + shift, atol=2e-4)
    feet = [
        body.bones.index(body.roles[f"{side}_{end}"])
        for side in ("left", "right")
        for end in ("ankle", "toe")
    ]
    np.testing.assert_allclose(bones(moved)[:, feet, :3, :3], bones(motion)[:, feet, :3, :3], atol=1e-4)
    legs = {
        body.bones.index(body.roles[f"{s}_{j}"]) for s in ("left", "right") for j in ("hip", "knee", "ankle")
    }
    others = sorted(set(range(len(body.bones))) - legs)
    np.testing.assert_array_equal(moved.rotvec[:, others], motion.rotvec[:, others])


def test_a_leg_reaches_no_farther_than_it_is_long(body):
    motion = walking(body)
    away = np.zeros((FRAMES, 2, 3))
    away[..., 1] = 0.6  # down
    moved = reached(motion, away)
    length = np.linalg.norm(np.diff(heads(moved)[:, _leg(body)], axis=1), axis=-1)
    np.testing.assert_allclose(
        length, np.linalg.norm(np.diff(heads(motion)[:, _leg(body)], axis=1), axis=-1), atol=1e-5
    )
    straight = np.linalg.norm(heads(moved)[:, _leg(body)[2]] - heads(moved)[:, _leg(body)[0]], axis=-1)
    assert (straight <= length.sum(1)).all() and (straight > 0.99 * length.sum(1)).all()


def _leg(body):
    return [body.bones.index(body.roles[f"left_{joint}"]) for joint in ("hip", "knee", "ankle")]


def test_resting_feet_rest(body):
    motion = walking(body)
    contact = np.zeros((FRAMES, 4))
    contact[3:20, :2] = contact[22:38, 2:] = 0.9
    before, after = foot_points(motion), foot_points(planted(motion, contact))

    def slide(points, side, rows):
        return np.linalg.norm(np.diff(points[rows, side].mean(1), axis=0), axis=-1).max()

    for side, rows in ((0, slice(4, 19)), (1, slice(23, 37))):
        assert slide(before, side, rows) > 0.004
        assert slide(after, side, rows) < 0.0015
    step = np.abs(np.diff(planted(motion, contact).translation_m, 2, axis=0)).max()
    assert step < 0.02  # the body does not jump


def test_bodies_stay_in_their_pictures(body):
    motion = walking(body)
    contact = np.zeros((FRAMES, 4))
    contact[3:20, :2] = contact[22:38, 2:] = 0.9
    shift = planted(motion, contact).translation_m.astype(float) - motion.translation_m
    ahead = motion.translation_m / np.linalg.norm(motion.translation_m, axis=1, keepdims=True)
    assert np.linalg.norm(shift, axis=1).max() > 0.002  # nearer and farther it moves, ...
    assert np.linalg.norm(np.cross(shift, ahead), axis=1).max() < 1e-6  # and nowhere else


def test_what_rests_before_a_panning_camera_moves_evenly(body):
    motion = walking(body)
    pan = np.zeros((FRAMES, 3), np.float32)
    pan[:, 0] = 0.25 * motion.times_s
    contact = np.full((FRAMES, 4), 0.9)
    still = foot_points(planted(motion, contact))
    moving = foot_points(planted(replace(motion, translation_m=motion.translation_m + pan), contact))
    pace = np.diff(moving.mean(2), axis=0)
    assert np.linalg.norm(pace - pace.mean((0, 1)), axis=-1).max() < 0.002
    assert pace.mean((0, 1))[0] * FPS == pytest.approx(0.25, abs=0.08)
    assert np.linalg.norm(np.diff(still.mean(2), axis=0), axis=-1).max() < 0.002


def test_without_rests_nothing_moves(body):
    motion = walking(body)
    same = planted(motion, np.zeros((FRAMES, 4)))
    np.testing.assert_array_equal(same.rotvec, motion.rotvec)
    np.testing.assert_array_equal(same.translation_m, motion.translation_m)

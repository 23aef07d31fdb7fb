"""Cameras that turn are followed, those that stand are left alone, and people do not turn them."""

import cv2
import numpy as np
import pytest
import roma
import torch

from mpt.films.steady import Steady
from mpt.views import Pinhole

SIZE, FRAMES = (320, 240), 20
CAMERA = Pinhole.of_size(SIZE, 300.0)


def turn(angles: np.ndarray) -> np.ndarray:
    return roma.rotvec_to_rotmat(torch.from_numpy(np.asarray(angles, float))).numpy()


def film(turns: np.ndarray, somebody: bool = False) -> list[np.ndarray]:
    """A wall of random blocks, very far away, before cameras (F, 3, 3); somebody walks through it."""
    rng = np.random.default_rng(0)
    wall = cv2.resize(
        rng.integers(0, 255, (60, 90, 3), np.uint8), (1800, 1200), interpolation=cv2.INTER_CUBIC
    )
    of_wall = np.array([[300.0, 0, 899.5], [0, 300, 599.5], [0, 0, 1]])
    frames = []
    for number, rotation in enumerate(turns):
        way = CAMERA.matrix @ rotation @ np.linalg.inv(of_wall)
        picture = cv2.warpPerspective(wall, way, SIZE, flags=cv2.INTER_LINEAR)
        if somebody:
            x = 20 + 8 * number
            picture[60:200, x : x + 60] = rng.integers(0, 255, (140, 60, 3), np.uint8) // 2
        frames.append(picture)
    return frames


def boxes(number: int) -> np.ndarray:
    return np.array([[20 + 8 * number, 60, 60, 140]])


def test_a_camera_that_stands_is_told_to_stand_exactly():
    steady = Steady(CAMERA, SIZE)
    for number, picture in enumerate(film(np.tile(np.eye(3), (FRAMES, 1, 1)), somebody=True)):
        np.testing.assert_array_equal(steady(picture, boxes(number)), np.eye(3))


@pytest.mark.parametrize("somebody", [False, True])
def test_pans_and_hands_are_followed(somebody):
    t = np.arange(FRAMES)
    pan = turn(np.stack([0.01 * np.sin(0.5 * t), 0.012 * t, 0.01 * np.cos(0.4 * t) - 0.01], 1))
    steady = Steady(CAMERA, SIZE)
    for number, (picture, true) in enumerate(zip(film(pan, somebody), pan)):
        found = steady(picture, boxes(number) if somebody else np.zeros((0, 4)))
        off = np.degrees(np.linalg.norm(roma.rotmat_to_rotvec(torch.from_numpy(found.T @ true)).numpy()))
        assert off < 0.15
    assert np.degrees(np.arccos((np.trace(pan[-1]) - 1) / 2)) > 12


def test_grain_on_a_bare_wall_turns_no_camera():
    rng, steady = np.random.default_rng(0), Steady(CAMERA, SIZE)
    for _ in range(FRAMES):
        grain = np.clip(rng.normal(180, 4, (240, 320, 3)), 0, 255).astype(np.uint8)
        np.testing.assert_array_equal(steady(grain, np.zeros((0, 4))), np.eye(3))


def test_without_anything_to_see_the_camera_is_taken_to_stand():
    steady = Steady(CAMERA, SIZE)
    for level in (0, 200, 30):
        np.testing.assert_array_equal(
            steady(np.full((240, 320, 3), level, np.uint8), np.zeros((0, 4))), np.eye(3)
        )

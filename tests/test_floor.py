"""People stand on the plane that their feet share, square to gravity as far as anybody knows it."""

import numpy as np
import pytest

from mpt.floor import world_of
from mpt.views import level

CAMERA_HEIGHT_M = 1.4


def scene(pitch: float, roll: float, places, off=None):
    """Pillars of people on a floor under a camera that is turned: meshes in camera axes, and true up (3,).

    places: (N, 2) metres to the right and ahead; off: (N,) how high each stands above the floor.
    """
    c, s = np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    turn = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    off = np.zeros(len(places)) if off is None else off
    rng = np.random.default_rng(0)
    meshes = []
    for (x, z), up in zip(places, off):
        body = rng.uniform([-0.3, 0, -0.2], [0.3, 1.7, 0.2], (500, 3))
        body[0, 1] = 0
        level_axes = np.column_stack([x + body[:, 0], CAMERA_HEIGHT_M - up - body[:, 1], z + body[:, 2]])
        meshes.append(level_axes @ turn.T)
    return meshes, turn @ [0, -1, 0]


def test_one_person_stands_on_zero_below_the_middle_of_the_world():
    meshes, up = scene(0.3, -0.1, [(0.7, 4.0)])
    world = world_of(meshes, up, 3.0)
    assert world.up_from == "model" and world.above_floor_m == (0,)
    stands = world(meshes[0])
    assert stands[:, 1].min() == pytest.approx(0, abs=1e-9) and stands[:, 1].max() == pytest.approx(
        1.7, abs=0.02
    )
    np.testing.assert_allclose(stands.mean(0)[[0, 2]], 0, atol=1e-9)
    np.testing.assert_allclose(world.rotation @ up, [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(world.rotation @ world.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(world.rotation) == pytest.approx(1)
    assert world.shift[1] == pytest.approx(CAMERA_HEIGHT_M, abs=1e-9)  # where the camera is
    assert world.shift[2] > 3  # z points from the people to the camera


def test_people_are_apart_as_they_were():
    meshes, up = scene(0.2, 0.0, [(-1.0, 3.0), (1.0, 5.0)])
    first, second = (world_of(meshes, up, 3.0)(mesh) for mesh in meshes)
    np.testing.assert_allclose(
        np.linalg.norm(second[0] - first[0]), np.linalg.norm(meshes[1][0] - meshes[0][0]), atol=1e-9
    )
    np.testing.assert_allclose(second.mean(0) - first.mean(0), [2, 0, -2], atol=0.06)


def test_the_feet_of_many_tell_the_floor_better_than_a_poor_guess_of_up():
    places = [(-2.0, 4.0), (2.0, 4.0), (-2.0, 8.0), (2.5, 8.0), (0.0, 6.0)]
    meshes, up = scene(0.25, 0.08, places)
    guess = up + np.array([0.08, 0.0, 0.1])
    guess /= np.linalg.norm(guess)
    world = world_of(meshes, guess, 12.0)
    assert np.degrees(np.arccos(world.rotation[1] @ up)) < 1
    assert max(abs(above) for above in world.above_floor_m) < 0.02
    sure = world_of(meshes, guess, 1.0)  # who is sure of it is believed more
    assert np.degrees(np.arccos(sure.rotation[1] @ up)) > np.degrees(np.arccos(world.rotation[1] @ up))


def test_who_stands_on_a_chair_lifts_nobody_elses_floor():
    places = [(-2.0, 4.0), (2.0, 4.5), (-1.0, 6.0), (1.0, 5.0)]
    meshes, up = scene(0.2, 0.0, places, off=[0, 0, 0, 1.5])
    world = world_of(meshes, up, 2.0)
    assert max(abs(above) for above in world.above_floor_m[:3]) < 0.1
    assert world.above_floor_m[3] == pytest.approx(1.5, abs=0.15)


def test_without_up_the_camera_was_level_and_this_is_told():
    meshes, _ = scene(0.0, 0.0, [(0.0, 4.0)])
    world = world_of(meshes, None)
    assert world.up_from == "assumed"
    np.testing.assert_allclose(world.rotation, np.diag([1, -1, -1]))


def test_hands_stand_on_nothing_and_are_about_their_middle():
    rng = np.random.default_rng(1)
    hands = [rng.normal(size=(50, 3)) * 0.05 + place for place in ([0.1, 0, 0.5], [-0.1, 0.1, 0.6])]
    world = world_of(hands, None, standing=False)
    assert world.above_floor_m is None
    np.testing.assert_allclose(world(np.concatenate(hands)).mean(0), 0, atol=1e-9)


def test_a_camera_upside_down_or_looking_straight_down_has_a_world_too():
    for up in ([0.0, 1, 0], [0.0, 0, -1], [0.0, 0, 1]):
        meshes = [np.random.default_rng(2).normal(size=(40, 3)) + np.array([x, 0, 4]) for x in (0, 2)]
        world = world_of(meshes, np.array(up), 5.0)
        np.testing.assert_allclose(world.rotation @ world.rotation.T, np.eye(3), atol=1e-9)
        assert np.degrees(np.arccos(world.rotation[1] @ up)) < 25
    np.testing.assert_allclose(level(np.array([0, -1.0, 0])), np.eye(3))

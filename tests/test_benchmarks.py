"""The benchmarks' own arithmetic: triangulation, sides, and the camera aimed at a crop."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mpt.errors import InputError
from mpt.skeletons import COCO17

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import measuring
import photos
import turned


def ring(count=4):
    """Cameras about the origin, 4 m away, upright, with some lens distortion."""
    cameras = []
    for k in range(count):
        azimuth = 2 * np.pi * (k + 0.3) / count
        centre = np.array([4 * np.sin(azimuth), -0.5, -4 * np.cos(azimuth)])
        R = cv2.Rodrigues(np.array([0, azimuth, 0.0]))[0]
        K = np.array([[1600.0, 0, 540], [0, 1610, 950], [0, 0, 1]])
        cameras.append(photos.Camera(K, np.array([-0.05, 0.13, 6e-4, 7e-4, 0.0]), R, -R @ centre))
    return cameras


def person(seed=0):
    return np.random.default_rng(seed).normal(0, 0.4, (17, 3))


def views(cameras, points):
    return np.stack([camera.project(points) for camera in cameras]), np.ones((len(cameras), 17))


def test_rays_undo_the_projection():
    camera, points = ring()[0], person()
    local = points @ camera.R.T + camera.t
    np.testing.assert_allclose(camera.rays(camera.project(points)), local[:, :2] / local[:, 2:], atol=1e-5)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_exact_points_are_found_exactly(count):
    cameras, points = ring(5)[:count], person()
    found, distances = photos.triangulate(cameras, *views(cameras, points))
    np.testing.assert_allclose(found, points, atol=1e-4)
    assert distances.max() < 1e-4


def test_one_wrong_view_of_each_point_is_hardly_heard():
    cameras, points = ring(), person()
    pixels, scores = views(cameras, points)
    rng = np.random.default_rng(1)
    wrong = rng.integers(4, size=17)
    pixels[wrong, np.arange(17)] += 250 * np.stack([np.cos(t := rng.uniform(0, 7, 17)), np.sin(t)], -1)
    pixels += rng.normal(0, 2, pixels.shape)
    found, distances = photos.triangulate(cameras, pixels, scores)
    assert np.linalg.norm(found - points, axis=1).max() < 0.03
    assert (distances.argmax(0) == wrong).all()


def test_a_view_of_score_zero_is_not_heard():
    cameras, points = ring(), person()
    pixels, scores = views(cameras, points)
    pixels[2] += 20
    scores[2] = 0
    np.testing.assert_allclose(photos.triangulate(cameras, pixels, scores)[0], points, atol=1e-4)


def test_a_view_with_left_and_right_exchanged_is_put_right():
    cameras, points = ring(), person()
    pixels, scores = views(cameras, points)
    confused, trust = pixels.copy(), scores * np.linspace(0.5, 1, 17)
    confused[1], expected = confused[1][COCO17.flip], trust.copy()
    trust[1] = trust[1][COCO17.flip]
    for use in (slice(None), slice(0, 3)):
        righted = photos.agree_on_sides(cameras[use], confused[use], trust[use])
        np.testing.assert_array_equal(righted[0], pixels[use])
        np.testing.assert_array_equal(righted[1], expected[use])


def test_limb_error_ignores_place_turn_size_and_face():
    points = person()
    other = 1.7 * points @ cv2.Rodrigues(np.array([0.3, 1.0, -2.0]))[0].T + [1, 2, 3]
    other[:5] += 9
    assert measuring.limb_pa_mpjpe(other, points) < 1e-6


def test_missing_calibration_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cameras.json: no calibration"):
        photos.read_cameras(tmp_path / "cameras.json")


@pytest.mark.parametrize("change", turned.CHANGES, ids=lambda change: change.name)
def test_a_changed_photo_shows_the_changed_people(change):
    """What a photo's camera sees of somebody is, in the changed photo, what it sees of the changed one."""
    size_wh, points = (64, 48), person() * 0.1 + [0, 0, 3]
    photo = np.zeros((48, 64), np.uint8)
    pixels = points[:, :2] / points[:, 2:] * 80 + (np.array(size_wh) - 1) / 2
    changed = change.of_photo(photo)
    moved = points @ change.of_space.T
    scale = max(changed.shape) / max(photo.shape)
    expected = moved[:, :2] / moved[:, 2:] * 80 * scale + (np.array(changed.shape[::-1]) - 1) / 2
    np.testing.assert_allclose(change.of_pixels(pixels, size_wh), expected, atol=1e-9)
    joints = change.of_joints(np.column_stack([pixels, np.ones(17)]), size_wh)
    assert (
        joints[COCO17.flip if change.sides else slice(None), :2] == change.of_pixels(pixels, size_wh)
    ).all()
    spot = np.array([40, 7])
    photo[spot[1], spot[0]] = 255
    row, column = np.unravel_index(change.of_photo(photo).argmax(), changed.shape)
    found = change.of_pixels(spot[None].astype(float), size_wh)[0]
    assert np.abs(found - [column, row]).max() <= 0.5

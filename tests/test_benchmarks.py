"""The benchmarks' own arithmetic: triangulation, sides, and the camera aimed at a crop."""

import io
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import roma
import torch

from mpt import bodies, checkpoint
from mpt.bodies.fitting import BodyFitter
from mpt.datasets.store import Kind, PoseStore, Sequence
from mpt.errors import InputError
from mpt.heatmaps import PERFECT, decode
from mpt.scenes import random_scene
from mpt.skeletons import COCO17

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import finding
import fits
import measuring
import photos
import standing
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


def test_the_folder_of_photos_is_the_one_that_is_named_or_lies_below_it(tmp_path):
    assert photos.folder_of(tmp_path) == tmp_path
    (below := tmp_path / "images" / "pose2sim").mkdir(parents=True)
    assert photos.folder_of(tmp_path) == below and photos.folder_of(below) == below


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


@pytest.fixture(scope="module")
def body():
    return bodies.load("anny")


def test_a_knee_s_flexion_is_told_by_hip_knee_and_ankle():
    joints = np.zeros((17, 3))
    at = COCO17.index
    joints[at("left_hip")], joints[at("left_knee")], joints[at("left_ankle")] = (
        [0, 2, 0],
        [0, 1, 0],
        [0, 0, 0],
    )
    joints[at("right_hip")], joints[at("right_knee")] = [0, 2, 0], [0, 1, 0]
    joints[at("right_ankle")] = [0, 1 - np.cos(np.radians(30)), -np.sin(np.radians(30))]
    turned_person = 3 * joints @ cv2.Rodrigues(np.array([0.3, 1.0, -2.0]))[0].T + [1, 2, 3]
    np.testing.assert_allclose(standing.knees(turned_person, COCO17), [0, 30], atol=1e-5)


def test_written_poses_stand_on_straight_legs(body):
    rotvec = torch.from_numpy(standing.standing(body))
    posable = body.with_bones(body.moving_bones)
    out = posable(roma.rotvec_to_rotmat(rotvec), torch.zeros(1, body.shape_count))
    bent = standing.knees(out.joints.numpy(), body.skeleton)
    assert (bent.min(1) < 8).all() and bent.max() < standing.STRAIGHT_DEG
    vertices = out.vertices.numpy()
    heights = [
        np.where(side, vertices[..., 1], 9).min(1) for side in (vertices[..., 0] > 0, vertices[..., 0] < 0)
    ]
    assert np.abs(heights[0] - heights[1]).max() < 0.03


def test_true_up_is_the_world_s_in_the_axes_of_the_network(body):
    """The camera looks down on people by as much as was asked, and their heads are up in the maps."""
    poses = np.resize(standing.standing(body), (40, len(body.moving_bones), 3))
    looks = list(standing.views(body, poses, PERFECT, 56, 431))
    up = np.concatenate([true.up for _, true in looks])
    pitch = np.degrees(np.arcsin(-up[:, 2]))
    low, high = standing.PITCH_DEG
    assert (
        low - 6 < pitch.min() < low + 10 and high - 10 < pitch.max() < high + 6
    )  # the ray meets the mid-hip
    seen = decode(torch.cat([maps for maps, _ in looks]))[..., :2]
    head, feet = seen[:, COCO17.index("nose")], seen[:, COCO17.indices("left_ankle", "right_ankle")].mean(1)
    in_picture = (head - feet).numpy()
    in_picture /= np.linalg.norm(in_picture, axis=1, keepdims=True)
    assert ((in_picture * up[:, :2]).sum(1) > 0.8 * np.linalg.norm(up[:, :2], axis=1)).all()


def test_a_picture_s_up_is_that_of_the_people_in_it(body):
    rotvec, shape = standing.standing(body)[0], np.zeros(body.shape_count, np.float32)
    for pitch in (-8, 35):
        scene = random_scene(body, rotvec, shape, np.random.default_rng(4), pitch_deg=(pitch, pitch))
        upright = standing.posed(body, torch.from_numpy(rotvec[None]), torch.from_numpy(shape[None]))
        (person,) = scene.people
        up = standing.turned_up(upright, torch.from_numpy(person.joints[None]))[0]
        np.testing.assert_allclose(scene.up, up, atol=1e-3)
        assert np.degrees(np.arcsin(-up[2])) == pytest.approx(pitch, abs=0.5)
        np.testing.assert_array_equal(
            standing._unpacked("0", np.load(io.BytesIO(standing._packed(scene)))).up, scene.up
        )


def test_errors_are_signed_for_knees_and_by_pitch_for_up():
    level, down = np.array([0, -1.0, 0]), np.array([0, -np.cos(np.radians(25)), -np.sin(np.radians(25))])
    true = standing.Look(np.array([[5.0, 5], [5, 9]]), np.stack([level, down]))
    found = standing.Look(np.array([[15.0, 5], [1, 9]]), np.stack([level, level]))
    errors = standing.Errors.of([(true, found)])
    figures = standing.knee_figures(errors)
    assert (figures["true"], figures["found"], figures["mean"], figures["median"]) == (6, 7.5, 1.5, 0)
    told = standing.up_figures(errors)
    assert told["pitch 0 to 10"] == pytest.approx(0) and told["pitch 20 to 30"] == pytest.approx(25)
    assert told["mean"] == pytest.approx(12.5) and "pitch 30 to 40" not in told
    without = standing.Errors.of([(true, standing.Look(found.knees, None))])
    assert without.up is None and standing.knee_figures(without) == figures


def test_who_waits_upright_with_both_feet_on_the_floor_stands_still(body, tmp_path):
    rotvec = np.repeat(standing.standing(body)[:1], 6, 0)
    frame = np.array([0, 1, 2, 12, 13, 14])  # waits after 2
    rotvec[3, body.moving_bones.index(body.roles["left_knee"]), 0] = 1.0  # and lifts a foot
    kind = Kind(np.full(6, 0.9), np.zeros(6))
    with PoseStore.create(tmp_path / "poses.store", body=body) as writer:
        for who, split in (("a", "validation"), ("b", "train")):
            about = Sequence(who, who, who, 30.0, 15, 6, split)
            writer.add(about, rotvec=rotvec, frame=frame, kind=kind)
    found = standing.still(PoseStore(tmp_path / "poses.store", body=body), body)
    assert {who: index.tolist() for who, index in found.items()} == {"a": [2]}


def test_everybody_found_is_one_true_person_and_the_nearest():
    rng = np.random.default_rng(0)
    one, two = rng.uniform(0, 100, (17, 2)), rng.uniform(300, 400, (17, 2))
    true = np.stack([one, two])
    found = np.stack([two + 10, one + 5, one + 1, two + 60])  # near; a double; nearest; too far off
    assert sorted(finding.pairs(found, true)) == [(0, 1), (2, 0)]
    assert finding.pairs(found[:0], true) == [] == finding.pairs(found, true[:0])


def test_only_few_joints_far_off_leave_somebody_found():
    true = np.random.default_rng(0).uniform(0, 100, (1, 17, 2))
    for wrong, pairs in ((8, [(0, 0)]), (9, [])):
        found = true.copy()
        found[0, :wrong] += 1000
        assert finding.pairs(found, true) == pairs


def test_a_crowd_is_in_its_picture_and_has_coco_s_joints():
    body = bodies.load()
    poses = np.zeros((1, len(body.moving_bones), 3), np.float32)
    picture, joints = finding.crowd(body, poses, body.sample_shapes(4), 2, np.random.default_rng(0))
    assert joints.ndim == 3 and 1 <= len(joints) <= 2 and joints.shape[1:] == (len(COCO17), 2)
    assert (joints > 0).all() and (joints < [picture.shape[1], picture.shape[0]]).all()


def test_bodies_lie_on_true_meshes_and_off_rough_ones_by_their_noise():
    body, model = bodies.load(), checkpoint.load("mpt-small")
    body = body.with_joints(model.skeleton)
    bones = body.moving_bones
    rotvec = torch.zeros(3, len(bones), 3)
    rotvec[:, bones.index(body.roles["left_knee"]), 0] = torch.tensor([0.2, 0.6, 1.0])
    predicted, true, std = fits.meshes(model, body, bones, rotvec, PERFECT)
    assert predicted.shape == true.shape == (3, len(body.template), 3)
    assert std.shape == (3, len(body.skeleton)) and (std > 0).all()
    fitter = BodyFitter(body)
    knee = body.bones.index(body.roles["left_knee"])
    np.testing.assert_allclose([pose.rotvec[knee, 0] for pose in fitter(true)], [0.2, 0.6, 1.0], atol=0.05)
    assert fits.fitted(fitter, true)["most mm"] < 1
    rough = true + np.float32(0.003) * np.random.default_rng(0).standard_normal(true.shape, np.float32)
    told = fits.fitted(fitter, rough)
    assert told["mean mm"] == pytest.approx(3 * (8 / np.pi) ** 0.5, abs=0.3)
    assert told["largest shape"] <= 3 and told["people a second"] > 0

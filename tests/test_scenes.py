"""Made-up photographs tell the truth about who is in them."""

from functools import lru_cache

import cv2
import numpy as np
import pytest
import torch

from mpt import bodies
from mpt.render import Meshes, Perspective
from mpt.scenes import Actor, Outfit, Shot, demo_scenes, photograph, random_scene
from mpt.scenes.backdrops import PLACES, lookup
from mpt.scenes.people import chart, dress, shoe
from mpt.scenes.photograph import pose_actor
from mpt.scenes.poses import POSES, rotations

OUTFIT = Outfit((0.8, 0.6, 0.5), (0.2, 0.1, 0.1), (0.7, 0.2, 0.2), (0.2, 0.2, 0.3), (0.8, 0.8, 0.8), bun=True)
SHOT = Shot((240, 200), 220.0, 1.3, 3.4, 0.1, 8.0, 3.0)


@lru_cache(maxsize=1)
def anny():
    return bodies.load()


def actor(pose="standing", **where):
    body = anny()
    return Actor(rotations(body, POSES[pose]), torch.zeros(body.shape_count), OUTFIT, **where)


@lru_cache(maxsize=1)
def two_people():
    rng = np.random.default_rng(0)
    people = [actor("waving", x_m=-0.5), actor("squatting", x_m=0.6, yaw_deg=30)]
    return photograph(anny(), people, PLACES["studio"](rng), SHOT, rng)


def test_joints_in_the_picture_are_the_projected_joints_of_the_mesh():
    scene = two_people()
    for person in scene.people:
        pixels = person.joints @ scene.K.T
        np.testing.assert_allclose(person.joints2d_px, pixels[:, :2] / pixels[:, 2:], atol=1e-3)
        regressed = anny().regress(torch.from_numpy(person.vertices)[None])[0]
        np.testing.assert_allclose(person.joints, regressed, atol=1e-4)


def test_people_are_visible_where_the_truth_says():
    """Each joint's ray meets somebody; a scene with nobody near those pixels looks different there."""
    scene = two_people()
    faces = anny().faces.numpy()
    meshes = Meshes([(p.vertices, faces) for p in scene.people])
    view = Perspective(scene.K[0, 0], (scene.K[0, 2], scene.K[1, 2]))
    torso = np.concatenate([p.joints2d_px[5:13] for p in scene.people]).astype(np.float32)
    assert len(meshes.cast(*view.rays(torso)).ray) >= len(torso) - 2
    empty_rng = np.random.default_rng(0)
    away = [actor(x_m=60.0)]
    empty = photograph(anny(), away, PLACES["studio"](empty_rng), SHOT, empty_rng)
    x, y = np.rint(torso).astype(int).T
    difference = np.abs(scene.image.astype(int) - empty.image)[y, x].max(-1)
    assert np.median(difference) > 30


def test_everybody_stands_on_the_floor_where_told():
    for pose in POSES:
        posed = pose_actor(anny(), actor(pose, x_m=0.4, z_m=-0.3, yaw_deg=50))
        assert 0 < posed.vertices[:, 1].min() < 0.02
        np.testing.assert_allclose(posed.joints[11:13].mean(0)[[0, 2]], [0.4, -0.3], atol=1e-5)


def test_the_camera_looks_down_by_its_pitch_and_sees_up_as_up():
    shot = Shot((100, 100), 100.0, 1.5, 3.0, pitch_deg=30.0)
    assert shot.to_camera(np.array([0, 1.5, 3.0])) == pytest.approx([0, 0, 0])
    on_axis = np.array([0, 1.5 - np.tan(np.radians(30)) * 2, 1.0])
    assert shot.to_camera(on_axis)[:2] == pytest.approx([0, 0], abs=1e-6)
    assert shot.to_camera(on_axis + np.array([0, 0.1, 0]))[1] < 0  # y is down
    assert shot.to_camera(on_axis + np.array([0.1, 0, 0]))[0] > 0
    np.testing.assert_allclose(shot.rotation @ shot.rotation.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(shot.rotation) == pytest.approx(1)


def test_clothes_never_lie_under_the_skin_and_leave_the_face_bare():
    body, where = anny(), chart(anny())
    vertices = pose_actor(body, actor("walking")).vertices
    dressed = dress(vertices, body.faces.numpy(), where, OUTFIT)
    normals = Meshes([(vertices, body.faces.numpy())]).normals
    outwards = ((dressed - vertices) * normals).sum(-1)
    assert outwards.min() > -1e-3
    assert outwards.max() < 0.06
    face = (where.fields[:, where.HEAD] > 0.9) & (where.hair < -0.02)
    np.testing.assert_allclose(dressed[face], vertices[face], atol=1e-6)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_shoe_holds_its_foot(side):
    body, where = anny(), chart(anny())
    vertices = pose_actor(body, actor()).vertices
    hull, faces, _ = shoe(vertices, where, side)
    part = body.parts["foot.L" if side == "left" else "foot.R"].numpy()
    toes = vertices[part][vertices[part][:, 1] < 0.04]
    inside = Meshes([(hull, faces)])
    for direction in np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32):
        rays = np.broadcast_to(direction, toes.shape).copy()
        assert inside.blocked(toes.astype(np.float32), rays).mean() > 0.985


def test_lookup_is_bilinear_and_wraps():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = lookup(image, np.array([0.5, 3.5]), np.array([1.0, 0.0]), cv2.BORDER_WRAP)
    np.testing.assert_allclose(found, [4.5, 1.5])
    assert lookup(image, np.zeros(0), np.zeros(0), cv2.BORDER_WRAP).shape == (0,)


def test_the_same_seed_takes_the_same_picture():
    def take():
        rng = np.random.default_rng(3)
        return photograph(anny(), [actor()], PLACES["room"](rng), Shot((60, 80), 100.0, 1.3, 3.2), rng).image

    first = take()
    assert first.shape == (80, 60, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, take())


def test_random_scenes_hold_the_whole_person():
    body, rng = anny(), np.random.default_rng(1)
    for _ in range(2):
        rotvec = rng.normal(0, 0.25, (len(body.moving_bones), 3))
        scene = random_scene(body, rotvec, rng.normal(0, 1, body.shape_count), rng)
        (person,) = scene.people
        pixels = Perspective(scene.K[0, 0], (scene.K[0, 2], scene.K[1, 2])).project(person.vertices)
        height, width = scene.image.shape[:2]
        assert (pixels > -0.5).all() and (pixels < [width - 0.5, height - 0.5]).all()


def test_the_demo_shows_five_people_wholly_in_three_pictures():
    scenes = list(demo_scenes(anny()))
    assert [len(scene.people) for scene in scenes] == [1, 1, 3]
    for scene in scenes:
        height, width = scene.image.shape[:2]
        for person in scene.people:
            assert (person.joints2d_px > 0).all() and (person.joints2d_px < [width, height]).all()

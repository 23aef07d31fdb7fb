"""Photo -> meshes: axes, placing, batches, and the whole chain on a photo."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from little_model import standing_joints, write_little_model

import mpt
from mpt import assets, checkpoint
from mpt.crops import Crop, apply
from mpt.errors import InputError
from mpt.pose2d.base import Person2D
from mpt.reconstructor import Reconstructor, _place
from mpt.results import Seconds, as_json, level_of, write_files
from mpt.saving import Saving
from mpt.skeletons import COCO17, COCO29, H36M17
from mpt.views import Pinhole, level

SIZE = (640, 480)
FOCAL = 800.0
PHOTO = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
MIDDLE = (np.array(SIZE) - 1) / 2
CAMERA = Pinhole.of_size(SIZE, FOCAL)


@pytest.fixture(scope="module")
def reconstructor(tmp_path_factory) -> Reconstructor:
    return mpt.load(write_little_model(tmp_path_factory.mktemp("model") / "little.safetensors"), device="cpu")


@pytest.fixture(scope="module")
def crowd(reconstructor):
    """Three people in one photo, at different depths, the last far to the right."""
    places = [(0.0, 0.2, 4.0), (-0.8, 0.1, 6.0), (1.4, 0.3, 5.0)]
    joints = np.stack([standing_joints(place, FOCAL, SIZE) for place in places])
    joints[:, :, 2] = np.array([1.0, 0.9, 0.8])[:, None]
    return joints, reconstructor(PHOTO, keypoints=joints, focal_px=FOCAL)


def test_everything_is_about_the_mid_hip(crowd):
    for person in crowd[1]:
        np.testing.assert_allclose(person.joints3d[COCO17.root].mean(0), 0, atol=1e-6)


def test_the_mesh_is_whole_and_its_joints_are_its_own(reconstructor, crowd):
    regressor = reconstructor.model.transformer.regressor.numpy()
    for person in crowd[1]:
        assert person.vertices.dtype == np.float32
        assert person.faces.max() == len(person.vertices) - 1
        np.testing.assert_allclose(regressor @ person.vertices, person.joints3d, atol=1e-4)


def test_the_body_is_laid_on_the_mesh(crowd):
    for person in crowd[1]:
        distance = np.linalg.norm(person.pose.posed().vertices - person.vertices, axis=1)
        assert distance.mean() < 0.05  # an untrained model's meshes are no body's
        shown = person.posed({})
        np.testing.assert_allclose(shown.vertices, person.pose.posed().vertices)
        assert np.linalg.norm(shown.joints3d - person.joints3d, axis=1).mean() < 0.05


def test_a_person_is_posed_otherwise(crowd):
    person = crowd[1][0]
    bent = person.posed({"left_elbow": [0, -1.2, 0]})
    left, right = (person.skeleton.index(f"{side}_wrist") for side in ("left", "right"))
    shown = person.posed({})
    assert np.linalg.norm(bent.joints3d[left] - shown.joints3d[left]) > 0.1
    np.testing.assert_allclose(bent.joints3d[right], shown.joints3d[right], atol=1e-6)
    np.testing.assert_array_equal(bent.translation_m, person.translation_m)
    with pytest.raises(InputError, match="has no bone 'tail'"):
        person.posed({"tail": [0, 0, 0]})


def test_a_person_without_the_models_body_has_no_pose(reconstructor, crowd):
    elsewhere = Reconstructor(replace(reconstructor.model, body="nowhere.safetensors"))
    (person,) = elsewhere(PHOTO, keypoints=crowd[0][:1], focal_px=FOCAL)
    assert person.pose is None
    with pytest.raises(InputError, match="the model's body is not here"):
        person.posed({})
    assert (
        "pose" not in as_json("photo.jpg", "m", Seconds(0, 0, 0), [person], [{}], size_wh=SIZE)["people"][0]
    )
    (person,) = reconstructor(PHOTO, keypoints=crowd[0][:1], focal_px=FOCAL, pose=False)
    assert person.pose is None


def test_the_result_says_how_the_body_stands(crowd):
    people = crowd[1]
    result = as_json("photo.jpg", "m", Seconds(0, 0, 0), people, [{}] * len(people), size_wh=SIZE)
    for person, told in zip(people, result["people"]):
        pose = told["pose"]
        rotations = person.pose.rotvec.copy()
        rotations[:] = 0
        for bone, turn in pose["rotations_rad"].items():
            rotations[person.pose.body.bones.index(bone)] = turn
        shape = np.array(pose["shape"], np.float32)
        again = replace(person.pose, rotvec=rotations, shape=shape).posed().vertices
        np.testing.assert_allclose(again, person.pose.posed().vertices, atol=2e-3)
        assert told["build"]["stature_m"] == pytest.approx(person.pose.build()["stature_m"], abs=1e-3)
        assert "words" in told["build"]["guessed"]


def test_the_mesh_lands_on_the_person(crowd):
    for joints, person in zip(*crowd):
        error = np.linalg.norm(person.project(person.joints3d) - joints[:, :2], axis=1)
        assert np.median(error) < 0.05 * person.crop.side_px


def test_the_weak_perspective_camera_lands_on_the_person_too(crowd):
    for joints, person in zip(*crowd):
        s, tx, ty = person.camera
        seen = apply(person.crop.image_from_ndc, s * (person.joints3d[:, :2] + [tx, ty]))
        assert np.median(np.linalg.norm(seen - joints[:, :2], axis=1)) < 0.06 * person.crop.side_px


def test_people_stand_where_they_stood(crowd):
    for place, person in zip([(0.0, 0.2, 4.0), (-0.8, 0.1, 6.0), (1.4, 0.3, 5.0)], crowd[1]):
        np.testing.assert_allclose(person.translation_m, place, rtol=0.15, atol=0.15)


def test_people_in_one_batch_equal_each_alone(reconstructor, crowd):
    joints, together = crowd
    for points, person in zip(joints, together):
        (alone,) = reconstructor(PHOTO, keypoints=points, focal_px=FOCAL)
        np.testing.assert_allclose(alone.vertices, person.vertices, atol=1e-5)
        np.testing.assert_allclose(alone.translation_m, person.translation_m, atol=1e-4)


def test_a_person_beside_the_optical_axis_is_turned_by_the_angle_of_the_ray(reconstructor):
    """The same crop seen 30 degrees to the right is the same person, turned with the ray."""
    ahead = standing_joints((0, 0, 4), FOCAL, SIZE)
    beside = ahead + np.array([FOCAL * np.tan(np.radians(30)), 0, 0])
    wide = np.zeros((SIZE[1], 1600, 3), np.uint8)
    shift = [(1600 - SIZE[0]) / 2, 0, 0]
    (front,) = reconstructor(wide, keypoints=ahead + shift, focal_px=FOCAL)
    (side,) = reconstructor(wide, keypoints=beside + shift, focal_px=FOCAL)
    overlap = np.linalg.svd(front.joints3d.T @ side.joints3d)
    turn = (overlap[0] @ overlap[2]).T
    angle = np.degrees(np.arccos((np.trace(turn) - 1) / 2))
    assert angle == pytest.approx(30, abs=1.5)
    np.testing.assert_allclose(front.joints3d @ turn.T, side.joints3d, atol=1e-4)


def test_up_and_how_sure_come_in_the_axes_of_the_photo(reconstructor, tmp_path):
    sure = mpt.load(write_little_model(tmp_path / "sure.safetensors", "coco29", sure=True), device="cpu")
    ahead, shift = standing_joints((0, 0, 4), FOCAL, SIZE), [(1600 - SIZE[0]) / 2, 0, 0]
    beside = ahead + np.array([FOCAL * np.tan(np.radians(30)), 0, 0])
    wide = np.zeros((SIZE[1], 1600, 3), np.uint8)
    (front,), (side,) = (sure(wide, keypoints=joints + shift, focal_px=FOCAL) for joints in (ahead, beside))
    overlap = np.linalg.svd(front.joints3d.T @ side.joints3d)
    np.testing.assert_allclose((overlap[0] @ overlap[2]).T @ front.up, side.up, atol=1e-3)
    assert np.linalg.norm(front.up) == pytest.approx(1, abs=1e-5) and front.up[1] < -0.5
    assert front.joints3d_std_m.shape == (29,) and (front.joints3d_std_m > 0).all() and front.up_std_deg > 0
    said = as_json("a.jpg", "sure", Seconds(0, 0, 0), [front], [{}], size_wh=(1600, SIZE[1]))["people"][0]
    assert said["up"] == {
        "direction": pytest.approx(front.up, abs=1e-3),
        "std_deg": pytest.approx(front.up_std_deg, abs=0.01),
    }
    assert said["joints3d_std_m"].keys() == said["joints3d_m"].keys() == set(COCO29.joints)
    (unsure,) = reconstructor(wide, keypoints=ahead + shift, focal_px=FOCAL)
    assert unsure.up is unsure.up_std_deg is unsure.joints3d_std_m is None
    silent = as_json("a.jpg", "little", Seconds(0, 0, 0), [unsure], [{}], size_wh=(1600, SIZE[1]))["people"][
        0
    ]
    assert not {"up", "joints3d_std_m"} & silent.keys()


def test_glb_and_side_view_stand_upright_though_the_camera_looked_down(reconstructor, tmp_path):
    joints = standing_joints((0, 0, 4), FOCAL, SIZE)
    (person,) = reconstructor(PHOTO, keypoints=joints, focal_px=FOCAL)
    tilted = replace(person, up=np.array([0.0, -math.cos(0.5), -math.sin(0.5)]), up_std_deg=4.0)
    other = replace(person, up=np.array([0.0, -math.cos(0.7), math.sin(0.7)]), up_std_deg=400.0)
    turn = level_of([tilted, other])  # of whom one does not know
    np.testing.assert_allclose(turn @ tilted.up, [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert level_of([tilted, replace(tilted, up=-tilted.up)]) is None  # they cannot both be right
    assert level_of([person]) is None and level_of([other]) is None and level_of([]) is None
    write_files(tmp_path, PHOTO, [tilted], ["glb", "npz"], Saving(static=True))
    [mesh] = trimesh.load(tmp_path / "person0.glb").geometry.values()
    np.testing.assert_allclose(mesh.vertices, person.vertices @ turn.T * [1, -1, -1], atol=1e-5)
    np.testing.assert_allclose(np.load(tmp_path / "person0.npz")["vertices"], person.vertices)
    for way in ([0, -1, 0], [0.3, -0.9, 0.2], [0, 1, 0], [0.7, 0.5, -0.4]):
        way = np.array(way) / np.linalg.norm(way)
        np.testing.assert_allclose(level(way) @ way, [0, -1, 0], atol=1e-12)
        assert np.linalg.det(level(way)) == pytest.approx(1)


def test_the_assumed_focal_length_is_the_diagonal_and_is_said(reconstructor):
    joints = standing_joints((0, 0, 4), 800, SIZE)
    (person,) = reconstructor(PHOTO, keypoints=joints)
    assert (person.focal_px, person.focal_assumed) == (800.0, True)
    (given,) = reconstructor(PHOTO, keypoints=joints, focal_px=1600)
    assert (given.focal_px, given.focal_assumed) == (1600.0, False)
    assert given.translation_m[2] == pytest.approx(2 * person.translation_m[2], rel=0.1)


def test_one_wild_joint_does_not_move_the_body(reconstructor):
    joints = standing_joints((0, 0, 4), FOCAL, SIZE)
    model_sees = reconstructor(PHOTO, keypoints=joints, focal_px=FOCAL)[0]
    wild = joints.copy()
    wild[9, :2] += [150, -120]
    person = Person2D((0, 0, 1, 1), 1.0, wild, Crop.around(joints), np.zeros(0))
    place = _place(model_sees.joints3d, -0.3, person, CAMERA, np.array([0, 0, 4.0]))
    np.testing.assert_allclose(place, model_sees.translation_m, atol=0.1)


@pytest.mark.parametrize("case", ["too few joints", "all joints in one point", "a body inside out"])
def test_absurd_2d_joints_fall_back_to_the_weak_perspective_camera(case):
    body = standing_joints((0, 0, 4), FOCAL, SIZE)
    joints3d = np.column_stack([(body[:, :2] - MIDDLE) / FOCAL * 4, np.zeros(17)])
    seen = body.copy()
    if case == "too few joints":
        seen[3:, 2] = 0
    elif case == "all joints in one point":
        seen[:, :2] = MIDDLE
    else:
        seen[:, :2] = 2 * MIDDLE - seen[:, :2]
    guess = np.array([0.1, 0.2, 5.0])
    person = Person2D((0, 0, 1, 1), 1.0, seen, Crop(tuple(MIDDLE), 300), np.zeros(0))
    np.testing.assert_array_equal(_place(joints3d, -0.3, person, CAMERA, guess), guess)


def test_nobody_is_placed_in_the_lens():
    joints = np.zeros((17, 3))
    seen = np.zeros((17, 3))
    person = Person2D((0, 0, 1, 1), 1.0, seen, Crop(tuple(MIDDLE), 300), np.zeros(0))
    place = _place(joints, -0.9, person, CAMERA, np.array([0.01, 0.0, 0.2]))
    np.testing.assert_allclose(place, [0.05, 0.0, 1.0])


def test_nobody_gives_an_empty_list(reconstructor):
    assert reconstructor(PHOTO, keypoints=np.zeros((0, 17, 3))) == []


def test_any_pose_network_may_find_the_people(reconstructor, crowd):
    class Known:
        def __call__(self, image):
            from mpt.pose2d.keypoints import Keypoints

            return Keypoints(crowd[0], heatmap_size=reconstructor.heatmap_size)(image)

    people = Reconstructor(reconstructor.model, Known())(PHOTO, focal_px=FOCAL)
    assert [person.score for person in people] == [1.0, 0.9, 0.8]
    np.testing.assert_array_equal(people[1].vertices, crowd[1][1].vertices)


def test_millimetres_are_the_pixels_that_the_picture_makes_of_them(reconstructor):
    joints = standing_joints((0, 0, 4), FOCAL, SIZE)
    (in_mm,) = reconstructor(PHOTO, keypoints=joints, focal_mm=FOCAL * math.hypot(36, 24) / math.hypot(*SIZE))
    (in_px,) = reconstructor(PHOTO, keypoints=joints, focal_px=FOCAL)
    assert in_mm.focal_px == pytest.approx(FOCAL) and not in_mm.focal_assumed
    np.testing.assert_allclose(in_mm.vertices, in_px.vertices, atol=1e-6)
    np.testing.assert_allclose(in_mm.translation_m, in_px.translation_m, rtol=1e-6)


@pytest.mark.parametrize("focal", [0, -5.0, float("nan"), float("inf")])
def test_a_focal_length_is_above_zero(reconstructor, focal):
    with pytest.raises(InputError, match="focal length"):
        reconstructor(PHOTO, keypoints=standing_joints((0, 0, 4), FOCAL, SIZE), focal_px=focal)


def test_a_model_of_other_joints_is_refused(reconstructor):
    with pytest.raises(InputError, match="h36m17"):
        Reconstructor(replace(reconstructor.model, skeleton=H36M17))


def test_a_model_of_broken_weights_is_refused(tmp_path):
    broken = mpt.load(write_little_model(tmp_path / "little.safetensors"), device="cpu")
    broken.model.transformer.to_joint.weight.fill_(torch.nan)
    broken.model.transformer.read_vertices.bias.fill_(torch.nan)
    with pytest.raises(InputError, match="its weights are damaged"):
        broken(PHOTO, keypoints=standing_joints((0, 0, 4), FOCAL, SIZE))


def test_a_device_that_is_not_there_is_refused(tmp_path):
    for device in ("gpu", "cuda:77"):
        with pytest.raises(InputError, match=r"use auto, cpu or cuda"):
            mpt.load("mpt-small", device=device)


def test_a_photo_is_answered_whole(shared_data, reconstructor):
    if not all(status.present for status in assets.status() if status.asset.name == "blazepose"):
        pytest.skip("BlazePose is not in the cache")
    people = reconstructor(shared_data / "images" / "coco" / "000000000785.jpg")
    assert len(people) == 1
    error = np.linalg.norm(people[0].project(people[0].joints3d) - people[0].joints2d_px[:, :2], axis=1)
    assert np.median(error) < 0.15 * people[0].crop.side_px  # the little model knows the rest pose alone


def test_the_packaged_model_lifts_a_person_in_milliseconds():
    try:
        reconstructor = Reconstructor(checkpoint.load("mpt-small"))
    except InputError:
        pytest.skip("no mpt-small in the package yet")
    from mpt.pose2d.keypoints import Keypoints

    points = standing_joints((0, 0, 4), FOCAL, SIZE)
    people = Keypoints(points, heatmap_size=reconstructor.heatmap_size)(PHOTO)
    took = []
    for _ in range(5):
        start = time.process_time()
        reconstructor.lift(people, SIZE, pose=False)
        took.append(time.process_time() - start)
    assert min(took) < 0.1 * torch.get_num_threads()

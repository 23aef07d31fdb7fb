"""Photo -> hand meshes: a left hand is the mirror image of a right one, and is where the picture shows it."""

import json

import numpy as np
import pytest
import torch

import mpt
from mpt import bodies, checkpoint, results
from mpt.bodies.hand_poses import sample_hand_poses, to_rotations
from mpt.cli import main
from mpt.errors import InputError
from mpt.export import write_picture
from mpt.metrics import pa_mpjpe
from mpt.pose2d.keypoints import Keypoints
from mpt.reconstructor import Reconstructor
from mpt.skeletons import HAND21

SIZE = (400, 300)
FOCAL = 600.0
PHOTO = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
MIDDLE = (np.array(SIZE) - 1) / 2
AHEAD = np.array([0.03, -0.02, 0.6])


@pytest.fixture(scope="module")
def reconstructor():
    return mpt.load("mpt-hand", device="cpu")


@pytest.fixture(scope="module")
def hand():
    return bodies.load("anny-hand")


@pytest.fixture(scope="module")
def truth(hand):
    """An open hand's joints (21, 3) and vertices, camera axes, seen from above."""
    rotvec = 0.4 * sample_hand_poses(hand, 1, torch.Generator().manual_seed(1))
    posed = hand(to_rotations(hand, rotvec), torch.zeros(1, hand.shape_count))
    from_above = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # x right, z down, away from the camera
    return [(x[0] @ from_above.T).numpy() + AHEAD for x in (posed.joints, posed.vertices)]


def seen(joints: np.ndarray) -> np.ndarray:
    return np.column_stack([FOCAL * joints[:, :2] / joints[:, 2:] + MIDDLE, np.ones(len(joints))])


def mirrored(points: np.ndarray) -> np.ndarray:
    return points * [-1, 1, 1]


def test_a_right_hand_is_found_again(reconstructor, truth):
    (found,) = reconstructor(PHOTO, keypoints=seen(truth[0]), focal_px=FOCAL)
    assert found.skeleton == HAND21 and not found.mirrored
    np.testing.assert_allclose(found.joints3d[0], 0, atol=1e-6)  # about the wrist
    error = pa_mpjpe(*(torch.from_numpy(np.float32(x)) for x in (found.vertices, truth[1])))
    assert error < 15
    pixels = found.project(found.joints3d)
    assert np.linalg.norm(pixels - seen(truth[0])[:, :2], axis=1).mean() < 8
    assert abs(found.translation_m[2] - truth[0][0, 2]) < 0.25


def test_a_left_hand_is_the_mirror_image_of_a_right_one(reconstructor, truth):
    (right,) = reconstructor(PHOTO, keypoints=seen(truth[0]), focal_px=FOCAL)
    (left,) = reconstructor(PHOTO, keypoints=seen(mirrored(truth[0])), mirrored=True, focal_px=FOCAL)
    assert left.mirrored
    np.testing.assert_allclose(left.vertices, mirrored(right.vertices), atol=1e-5)
    np.testing.assert_allclose(left.joints3d, mirrored(right.joints3d), atol=1e-5)
    np.testing.assert_allclose(left.translation_m, mirrored(right.translation_m), atol=1e-5)
    np.testing.assert_array_equal(left.faces, right.faces[:, ::-1])  # outside stays outside
    for person in (right, left):  # a closed surface would have this volume; an open wrist changes little
        a, b, c = np.moveaxis(person.vertices[person.faces], 1, 0)
        assert (a * np.cross(b, c)).sum() / 6 > 1e-4


def test_hands_of_both_sides_in_one_picture_are_each_as_if_alone(reconstructor, truth):
    sides = (False, True)
    points = np.stack([seen(truth[0]), seen(mirrored(truth[0]))])
    together = reconstructor(PHOTO, keypoints=points, mirrored=sides, focal_px=FOCAL)
    assert sorted(hand.mirrored for hand in together) == [False, True]
    for hand in together:
        (alone,) = reconstructor(
            PHOTO, keypoints=points[int(hand.mirrored)], mirrored=hand.mirrored, focal_px=FOCAL
        )
        np.testing.assert_allclose(hand.vertices, alone.vertices, atol=1e-5)


def test_a_result_says_which_side_a_hand_is_and_names_its_joints(reconstructor, truth, tmp_path):
    people = reconstructor(PHOTO, keypoints=seen(truth[0]), mirrored=True)
    files = results.write_files(tmp_path, PHOTO, people, ["glb"])
    said = results.as_json("photo.jpg", "mpt-hand", results.Seconds(0, 0, 0), people, files, size_wh=(1, 2))
    (hand,) = json.loads(json.dumps(said))["people"]
    assert hand["side"] == "left" and tuple(hand["joints3d_m"]) == HAND21.joints
    assert hand["vertex_count"] == 1609 and (tmp_path / "person0.glb").stat().st_size > 10_000


def test_people_s_joints_are_refused_for_hands(reconstructor):
    with pytest.raises(InputError, match="21"):
        reconstructor(PHOTO, keypoints=np.ones((1, 17, 3)))


def test_a_hand_is_looked_at_once(reconstructor, truth):
    transformer = checkpoint.load("mpt-hand").transformer
    maps = torch.rand(2, 21, transformer.config.heatmap_size, transformer.config.heatmap_size)
    for once, again in zip(transformer(transformer.prepare(maps)), transformer.look_twice(maps)):
        torch.testing.assert_close(once, again)


def test_a_network_of_other_joints_is_refused(reconstructor, tmp_path, capsys):
    people = Keypoints(np.random.default_rng(0).uniform(50, 100, (1, 17, 3)))
    with pytest.raises(InputError, match="draws 17 joints, and the model mpt-hand reads the 21 of hand21"):
        Reconstructor(reconstructor.model, people)(PHOTO)
    photo = tmp_path / "photo.png"
    write_picture(photo, PHOTO)
    out = ["--out", str(tmp_path / "out"), "--pose2d"]
    for model, pose2d in (
        ("mpt-hand", "blazepose"),
        ("mpt-hand", "blazepose-heavy"),
        ("mpt-small", "blazepalm"),
    ):
        assert main(["reconstruct", str(photo), "--model", model, *out, pose2d]) == 2
        assert f"--pose2d {pose2d} finds those with the joints of" in capsys.readouterr().err

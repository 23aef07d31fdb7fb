"""One person's pose: turned otherwise, told in arrays and in words."""

import numpy as np
import pytest
import torch
from official import smpl as made_up_smpl
from official import write_pickle

from mpt.bodies import load, smpl
from mpt.bodies.anny import person
from mpt.bodies.pose import BodyPose
from mpt.errors import InputError


@pytest.fixture(scope="module")
def anny():
    return load("anny")


def resting(body, shape=None):
    """Somebody at rest, two metres ahead."""
    shape = np.zeros(body.shape_count, np.float32) if shape is None else shape[0].numpy()
    return BodyPose(body, np.zeros((len(body.bones), 3), np.float32), shape, np.float32([0, 0, 2]))


def test_bones_stand_where_the_transforms_and_the_translation_say(anny):
    pose = resting(anny).turned({"left_knee": [0.5, 0, 0]})
    posed, rest = pose.posed(), pose.rest()
    np.testing.assert_allclose(posed.transforms[0, :3, 3] - rest.transforms[0, :3, 3], [0, 0, 2], atol=1e-6)
    knee = anny.bones.index("lowerleg01.L")
    np.testing.assert_allclose(
        posed.transforms[knee, :3, :3] @ [0, 1, 0], [0, np.cos(0.5), np.sin(0.5)], atol=1e-6
    )
    moved = np.linalg.norm(posed.vertices - rest.vertices - [0, 0, 2], axis=1) > 1e-4
    assert rest.vertices[moved, 1].max() < -0.15 and moved.any()


def test_a_bone_is_turned_by_its_name_or_by_what_it_is(anny):
    pose = resting(anny)
    by_role, by_name = pose.turned({"left_elbow": [0, 1, 0]}), pose.turned({"lowerarm01.L": [0, 1, 0]})
    np.testing.assert_array_equal(by_role.rotvec, by_name.rotvec)
    np.testing.assert_array_equal(pose.turned(by_role.rotvec).rotvec, by_role.rotvec)
    assert not pose.rotvec.any()


@pytest.mark.parametrize(
    "rotations, words",
    [
        ({"left_tail": [0, 0, 0]}, "anny has no bone 'left_tail': there are pelvis, spine1"),
        ({"left_knee": [1, 2]}, r"left_knee was turned by \[1.0, 2.0\]: give a rotation"),
        ({"left_knee": [1, 2, float("nan")]}, "left_knee was turned by .*three numbers"),
        ({"left_knee": "bent"}, "left_knee was turned by 'bent': give a rotation"),
        (np.zeros((3, 3)), r"rotations of shape \(3, 3\) were given, anny takes \(104, 3\)"),
    ],
)
def test_what_is_no_rotation_is_refused(anny, rotations, words):
    with pytest.raises(InputError, match=words):
        resting(anny).turned(rotations)


@pytest.mark.parametrize(
    "of, words",
    [
        ({"sex": "male", "height_cm": 185}, "a man, adult, of medium weight"),
        ({"sex": "female", "years": 7}, "a girl, small, of medium weight"),
        ({"sex": "female", "weight_kg": 95}, "a woman, adult, heavy"),
        ({"sex": "male", "muscle": 0.9, "weight_kg": 62}, "a man, adult, slim, muscular"),
    ],
)
def test_people_are_told_as_they_were_made(anny, of, words):
    shape = person(anny, **of)
    told = resting(anny, shape).build()
    assert told["guessed"]["words"] == words
    assert told["stature_m"] == pytest.approx(float(anny.phenotypes.stature_m(shape)), abs=1e-5)


def test_a_smpl_pose_is_one_frame_of_amass(tmp_path):
    body = smpl.read(write_pickle(tmp_path / "SMPL_MALE.pkl", made_up_smpl()))
    pose = resting(body).turned({"left_knee": [0.5, 0, 0]})
    arrays = pose.arrays()
    assert (arrays["poses"].shape, arrays["trans"].shape, arrays["gender"]) == ((1, 72), (1, 3), "male")
    again = body(
        torch.linalg.matrix_exp(_skew(torch.from_numpy(arrays["poses"]).view(1, 24, 3))),
        torch.from_numpy(arrays["betas"])[None],
        torch.from_numpy(arrays["trans"]),
    )
    np.testing.assert_allclose(again.vertices[0].numpy(), pose.posed().vertices, atol=1e-5)
    assert pose.build()["stature_m"] > 1


def _skew(v):
    x, y, z = v.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3))

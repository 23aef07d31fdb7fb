"""Markers lie on the skin where anatomy has them, alike on both sides."""

import numpy as np
import pytest
from moving import AS_IT_IS, CAMERA, film, mirrored, t_posed
from official import smpl as made_up_smpl
from official import write_pickle
from posed import posed_person

from mpt import bodies
from mpt.biomechanics.markers import markers
from mpt.biomechanics.skin import skin_points
from mpt.bodies import smpl
from mpt.bodies.pose import BodyPose


def where(pose: BodyPose, place=AS_IT_IS) -> dict[str, np.ndarray]:
    """(3,) of each marker: forward, up, right."""
    found = markers(film(pose), place)
    assert len(set(found.names)) == len(found.names)
    return dict(zip(found.names, found.points_m[0]))


@pytest.fixture(scope="module")
def standing() -> dict[str, np.ndarray]:
    return where(t_posed())


def test_skin_points_are_vertices_of_the_posed_body_in_opensims_axes():
    pose = posed_person(1)
    posed = pose.posed()
    seen = where(pose, CAMERA)
    world = CAMERA(posed.vertices.astype(float))
    for name, vertex in skin_points(pose.body).items():
        x, y, z = world[vertex]
        np.testing.assert_allclose(seen[name], [z, y, -x], atol=1e-5)
    for joint, name in (("left_hip", "LHip"), ("right_big_toe", "RBigToe"), ("nose", "Nose")):
        x, y, z = CAMERA(posed.joints[pose.body.skeleton.index(joint)].astype(float))
        np.testing.assert_allclose(seen[name], [z, y, -x], atol=1e-5)
    assert {"LThumb", "RIndex", "LPinky", "RSmallToe", "LHeel", "REar"} <= seen.keys()


def test_left_and_right_are_mirror_images(standing):
    body, points = bodies.load(), skin_points(bodies.load())
    template = body.template.numpy()
    for name, vertex in points.items():
        other = {"R.": "L." + name[2:], "L.": "R." + name[2:]}.get(name[:2], name)
        np.testing.assert_allclose(template[vertex] * [-1, 1, 1], template[points[other]], atol=1e-4)
    pose = posed_person(2)
    own, seen = where(pose), where(mirrored(pose))
    for name in points:
        other = {"R.": "L." + name[2:], "L.": "R." + name[2:]}.get(name[:2], name)
        np.testing.assert_allclose(own[name] * [1, 1, -1], seen[other], atol=2e-4)


@pytest.mark.parametrize("side, out", [("R", 1), ("L", -1)])
def test_markers_are_where_a_laboratory_would_stick_them(standing, side, out):
    at = {name[2:]: point for name, point in standing.items() if name.startswith(f"{side}.")}
    joint = {name[1:]: point for name, point in standing.items() if name[0] == side and "." not in name}
    for lateral, medial, middle in (
        ("Knee.Lat", "Knee.Med", "Knee"),
        ("Ankle.Lat", "Ankle.Med", "Ankle"),
        ("Elbow", "Elbow.Med", "Elbow"),
        ("Wrist.Lat", "Wrist.Med", "Wrist"),
    ):
        assert np.linalg.norm((at[lateral] + at[medial]) / 2 - joint[middle]) < 0.03, lateral
        assert 0.03 < np.linalg.norm(at[lateral] - at[medial]) < 0.14, lateral
    for lateral, medial in (("Knee.Lat", "Knee.Med"), ("Ankle.Lat", "Ankle.Med"), ("Toe.Lat", "Toe.Med")):
        assert out * (at[lateral] - at[medial])[2] > 0.04
    assert at["Elbow"][1] > at["Elbow.Med"][1] and at["Wrist.Lat"][0] > at["Wrist.Med"][0]  # palms down
    assert at["Toe.Tip"][0] > at["Toe.Lat"][0] > at["Midfoot.Lat"][0] > at["Ankle.Lat"][0] > at["Heel"][0]
    assert at["Midfoot.Sup"][1] > at["Midfoot.Lat"][1]
    heights = [at[name][1] for name in ("ASIS", "Thigh.Upper", "Thigh.Rear", "Knee.Lat", "Shank.Upper")]
    assert heights == sorted(heights, reverse=True)
    assert at["ASIS"][0] > joint["Hip"][0] > at["PSIS"][0] and 0.04 < at["ASIS"][1] - joint["Hip"][1] < 0.14
    assert out * (at["ASIS"] - at["PSIS"])[2] > 0.03
    assert 0.01 < at["Acromium"][1] - joint["Shoulder"][1] < 0.09
    assert 0.08 < np.linalg.norm(at["Toe.Tip"] - joint["Ankle"]) < 0.28


def test_markers_of_the_middle(standing):
    top = max(standing, key=lambda name: standing[name][1])
    assert top == "Top.Head"
    c7, sternum, sacral = (standing[name] for name in ("C7", "Sternum", "V.Sacral"))
    assert c7[0] < standing["LShoulder"][0] < sternum[0] and sacral[0] < standing["LHip"][0]
    assert c7[1] > standing["LShoulder"][1] > sternum[1] > sacral[1] > standing["LHip"][1]
    np.testing.assert_allclose([c7[2], sternum[2], sacral[2], standing["Top.Head"][2]], 0, atol=2e-3)


def test_another_body_has_all_markers(tmp_path):
    body = smpl.read(write_pickle(tmp_path / "SMPL_MALE.pkl", made_up_smpl()))
    assert skin_points(body).keys() == skin_points(bodies.load()).keys()


def test_a_hand_has_its_joints_alone():
    pose = posed_person(1, "anny-hand")
    right, left = where(pose), where(BodyPose(pose.body.mirrored(), pose.rotvec, pose.shape, np.zeros(3)))
    assert len(right) == 21 and {"RWrist", "RThumb1", "RPinky4"} <= right.keys()
    assert {"LWrist", "LThumb1", "LPinky4"} <= left.keys()

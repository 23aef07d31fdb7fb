"""BlazePose finds people however they are turned, and its maps peak where its joints are."""

import dataclasses
import json

import numpy as np
import pytest

from mpt import assets
from mpt.crops import Crop, apply
from mpt.errors import InputError
from mpt.images import read_image
from mpt.pose2d import blazepose, figures
from mpt.pose2d.blazepose import BlazePose, BlazePoseHeavy
from mpt.pose2d.single_shot import anchor_centers
from mpt.skeletons import BLAZEPOSE33, COCO17, COCO29


@pytest.fixture(scope="module")
def network() -> BlazePose:
    try:
        assets.get("blazepose")
    except InputError as offline:
        pytest.skip(str(offline))
    return BlazePose()


@pytest.fixture(scope="module")
def skier(shared_data) -> np.ndarray:
    return read_image(shared_data / "images" / "coco" / "000000000785.jpg")


@pytest.fixture(scope="module")
def skier_px(shared_data) -> np.ndarray:
    """(17, 2) annotated joints; the picture shows one person."""
    return np.array(_annotations(shared_data)["000000000785.jpg"][0], float).reshape(17, 3)[:, :2]


def _annotations(shared_data) -> dict[str, list]:
    content = json.loads((shared_data / "images" / "coco" / "test_coco.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    people: dict[str, list] = {name: [] for name in names.values()}
    for a in content["annotations"]:
        if a["num_keypoints"]:
            people[names[a["image_id"]]].append(a["keypoints"])
    return people


def test_the_detector_has_an_anchor_for_each_output():
    anchors = anchor_centers(blazepose.DETECTOR_GRIDS)
    assert anchors.shape == (2254, 2)
    np.testing.assert_allclose(anchors.mean(0), 0.5)
    np.testing.assert_allclose(anchors[[0, 2, -1]], [[0.5 / 28] * 2, [1.5 / 28, 0.5 / 28], [6.5 / 7] * 2])


def test_each_joint_is_the_landmark_that_mediapipe_publishes_for_it():
    toe, small_toe, heel, thumb, index, pinky = ((31, 32), (-1, -1), (29, 30), (21, 22), (19, 20), (17, 18))
    assert figures.LANDMARKS[17:].reshape(6, 2).tolist() == [
        *map(list, (toe, small_toe, heel, thumb, index, pinky))
    ]
    assert [BLAZEPOSE33.joints[k] for k in figures.LANDMARKS[:17]] == list(COCO17.joints)


def test_the_region_turns_with_the_person():
    center, head = np.array([50.0, 60.0]), np.array([0.0, -20.0])
    for angle in (0, 0.4, np.pi / 2, 3, -2):
        c, s = np.cos(angle), np.sin(angle)
        region = figures.region(center, center + np.array([[c, -s], [s, c]]) @ head)
        assert region.rotation == pytest.approx(angle)
        assert region.side_px == pytest.approx(50)


def test_peaks_are_found_between_cells():
    true = np.array([[20.3, 11.8], [40.0, 50.5], [0.2, 30.1]])
    y, x = np.mgrid[:64, :64]
    maps = 0.8 * np.exp(-((x[..., None] - true[:, 0]) ** 2 + (y[..., None] - true[:, 1]) ** 2) / (2 * 1.5**2))
    cells, heights = figures.peaks_of(maps)
    np.testing.assert_allclose(cells[:2], true[:2], atol=0.1)
    np.testing.assert_allclose(cells[2], true[2], atol=1)  # cut by the border
    np.testing.assert_allclose(heights, 0.8, atol=0.08)


def test_a_look_mirrored_twice_is_itself():
    rng = np.random.default_rng(0)
    look = figures.Look(rng.normal(size=(35, 2)), 0.9, rng.random((64, 64, 29)), rng.normal(size=(33, 3)))
    again = look.mirrored().mirrored()
    np.testing.assert_array_equal(again.maps[:, 1:], look.maps[:, 1:])  # the first column has no other
    np.testing.assert_array_equal(again.points, look.points)
    np.testing.assert_array_equal(again.world, look.world)


def test_with_a_mirrored_look_a_region_and_its_mirror_image_say_the_same(network, skier):
    roi = network(skier)[0].crop
    (x, y), width = roi.center_px, skier.shape[1]
    mirrored = np.ascontiguousarray(skier[:, ::-1])
    for turn in (0, 0.3):
        here, there = Crop((x, y), roi.side_px, turn), Crop((width - 1 - x, y), roi.side_px, -turn)
        one = network._landmarker(skier, here, 1.0, mirrored_look=True)
        other = network._landmarker(mirrored, there, 1.0, mirrored_look=True)
        back = other.joints_px[COCO29.flip] * [-1, 1, 1] + [width - 1, 0, 0]
        off = np.linalg.norm(back - one.joints_px, axis=1)
        assert off[figures.DRAWN].max() < 0.02 * roi.side_px / 64
        np.testing.assert_allclose(other.maps[:, :0:-1][..., COCO29.flip], one.maps[:, 1:], atol=0.02)
        np.testing.assert_allclose(other.world[BLAZEPOSE33.flip] * [-1, 1, 1], one.world, atol=0.005)


def test_a_mirrored_look_finds_the_joints_where_people_put_them(skier, skier_px, network):
    [person] = BlazePose(mirrored_look=True)(skier)
    error = np.linalg.norm(person.joints2d_px[:17, :2] - skier_px, axis=1)
    assert np.median(error) < 0.03 * person.crop.side_px and error.max() < 0.12 * person.crop.side_px


def test_the_heavy_network_finds_the_joints_as_well(skier, skier_px):
    if not all(status.present for status in assets.status() if status.asset.name == "blazepose-heavy"):
        pytest.skip("blazepose-heavy is not in the cache")
    [person] = BlazePoseHeavy()(skier)
    error = np.linalg.norm(person.joints2d_px[:17, :2] - skier_px, axis=1)
    assert np.median(error) < 0.03 * person.crop.side_px and error.max() < 0.12 * person.crop.side_px
    assert person.heatmaps.shape == (29, 224, 224)


def test_an_empty_picture_has_nobody(network):
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    for image in (np.full_like(noise, 200), noise):
        assert network(image) == []


def test_the_joints_lie_where_people_put_them(network, skier, skier_px):
    [person] = network(skier)
    assert person.score > 0.7
    error = np.linalg.norm(person.joints2d_px[:17, :2] - skier_px, axis=1)
    assert np.median(error) < 0.03 * person.crop.side_px and error.max() < 0.12 * person.crop.side_px
    assert person.world_landmarks.shape == (33, 3)
    assert 1.0 < np.ptp(person.world_landmarks[:, 1]) < 2.2


def test_each_map_peaks_at_its_joint(network, skier):
    [person] = network(skier)
    assert person.heatmaps.shape == (29, 224, 224) and person.heatmaps.dtype == np.float32
    assert person.heatmaps.min() >= 0 and person.heatmaps.max() <= 1
    crop_px = apply(person.crop.crop_from_image(224), person.joints2d_px[:, :2])
    for joint, point in enumerate(crop_px):
        if not figures.MAPPED[joint]:
            continue
        y, x = np.unravel_index(person.heatmaps[joint].argmax(), (224, 224))
        assert np.linalg.norm([x, y] - point) < 5
        assert person.heatmaps[joint].max() == pytest.approx(person.joints2d_px[joint, 2], abs=0.05)


def test_the_crop_is_the_square_around_the_joints(network, skier):
    [person] = network(skier)
    assert person.crop == Crop.around(person.joints2d_px[:17], 1.25)


def test_small_toes_are_not_known_and_knuckles_known_but_not_mapped(network, skier):
    [person] = network(skier)
    toes = COCO29.indices("left_small_toe", "right_small_toe")
    knuckles = [joint for joint, name in enumerate(COCO29.joints) if "knuckle" in name]
    assert np.flatnonzero(person.heatmaps.max((1, 2)) == 0).tolist() == [*toes, *knuckles]
    np.testing.assert_array_equal(person.joints2d_px[toes], 0)
    assert (person.joints2d_px[knuckles, 2] > 0.1).all()


def test_feet_and_hands_lie_at_the_ends_of_the_limbs(network, skier):
    [person] = network(skier)
    joints = dict(zip(COCO29.joints, person.joints2d_px[:, :2] / person.crop.side_px))
    for side in ("left", "right"):
        for tip, above in (("big_toe", "ankle"), ("heel", "ankle"), ("index_knuckle", "wrist")):
            assert np.linalg.norm(joints[f"{side}_{tip}"] - joints[f"{side}_{above}"]) < 0.16


def test_feet_and_hands_change_nothing_else(network, skier):
    figure = network._landmarker(skier, network(skier)[0].crop, 1.0)
    strange = figure.joints_px.copy()
    strange[17:] = np.random.default_rng(0).uniform(0, [*skier.shape[1::-1], 1], (12, 3))
    other = dataclasses.replace(figure, joints_px=strange)
    assert (other.score, other.size_px) == (figure.score, figure.size_px)
    assert other.same_as(figure)
    one, two = figure.person(56), other.person(56)
    assert (one.score, one.bbox_xywh, one.crop) == (two.score, two.bbox_xywh, two.crop)
    np.testing.assert_array_equal(one.heatmaps, two.heatmaps)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_people_who_lie_or_stand_on_their_heads_are_found(network, skier, skier_px, turns):
    people = network(np.ascontiguousarray(np.rot90(skier, turns)))
    width, height = skier.shape[1] - 1, skier.shape[0] - 1
    x, y = skier_px.T
    turned = {1: (y, width - x), 2: (width - x, height - y), 3: (height - y, x)}[turns]
    error = np.linalg.norm(people[0].joints2d_px[:17, :2] - np.stack(turned, 1), axis=1)
    assert np.median(error) < 0.04 * people[0].crop.side_px


def test_a_larger_photo_gives_the_same_people(network, skier):
    [person] = network(skier)
    [large] = network(np.repeat(np.repeat(skier, 4, 0), 4, 1))
    scaled = (person.joints2d_px[:, :2] + 0.5) * 4 - 0.5
    error = np.linalg.norm(large.joints2d_px[:, :2] - scaled, axis=1) / large.crop.side_px
    assert np.median(error) < 0.01


def test_every_annotated_person_is_found_and_nobody_else(network, shared_data):
    for name, annotated in _annotations(shared_data).items():
        people = network(read_image(shared_data / "images" / "coco" / name))
        assert len(people) == len(annotated)
        for keypoints in annotated:
            points = np.array(keypoints, float).reshape(17, 3)
            seen = points[:, 2] > 0
            size = np.ptp(points[seen, :2], axis=0).max()
            errors = [
                np.median(np.linalg.norm((p.joints2d_px[:17] - points)[seen, :2], axis=1)) for p in people
            ]
            assert min(errors) < 0.15 * size


def test_the_foreground_alone_is_a_part_of_all(network, shared_data):
    image = read_image(shared_data / "images" / "coco" / "000000040083.jpg")
    [front] = BlazePose(search="foreground")(image)
    assert any(np.allclose(front.joints2d_px, person.joints2d_px) for person in network(image))


def test_the_network_s_own_3d_turns_with_the_picture(network, skier):
    (upright,) = network(skier)
    (turned,) = network(np.ascontiguousarray(np.rot90(skier, -1)))  # clockwise: x, y -> -y, x
    expected = upright.world_landmarks @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    assert np.linalg.norm(turned.world_landmarks - expected, axis=1).mean() < 0.1
    assert np.linalg.norm(turned.world_landmarks - upright.world_landmarks, axis=1).mean() > 0.3

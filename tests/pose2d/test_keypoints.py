"""Known points become maps that say the same; files of other shapes are refused."""

import json

import numpy as np
import pytest

from mpt.crops import Crop, apply
from mpt.errors import InputError
from mpt.pose2d.keypoints import OPENPOSE18, OPENPOSE25, Keypoints, draw, read
from mpt.skeletons import COCO17, HAND21

IMAGE = np.zeros((200, 300, 3), np.uint8)


@pytest.fixture
def points() -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.column_stack([rng.uniform([50, 20], [250, 180], (17, 2)), rng.uniform(0.4, 1, 17)])


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_each_map_peaks_at_its_joint_with_its_score(points):
    [person] = Keypoints(points)(IMAGE)
    expected = apply(person.crop.crop_from_image(224), points[:, :2])
    assert person.heatmaps.shape == (17, 224, 224) and person.heatmaps.dtype == np.float32
    rows, columns = np.mgrid[:224, :224]
    mass = person.heatmaps.sum((1, 2))
    center = np.stack([(person.heatmaps * g).sum((1, 2)) / mass for g in (columns, rows)], 1)
    np.testing.assert_allclose(center, expected, atol=1e-2)
    np.testing.assert_allclose(mass, np.pi * 9 * points[:, 2], rtol=1e-3)  # of exp(-d^2 / 3^2)
    np.testing.assert_allclose(person.joints2d_px, points)


def test_a_smaller_map_shows_the_same(points):
    [large] = Keypoints(points)(IMAGE)
    [small] = Keypoints(points, heatmap_size=112)(IMAGE)
    pooled = large.heatmaps.reshape(17, 112, 2, 112, 2).mean((2, 4))
    np.testing.assert_allclose(small.heatmaps, pooled, atol=0.12)


def test_a_missing_joint_has_an_empty_map_and_does_not_widen_the_crop(points):
    points[9] = 0
    [person] = Keypoints(points)(IMAGE)
    assert person.heatmaps[9].max() == 0 and (person.heatmaps.max((1, 2)) > 0).sum() == 16
    assert person.bbox_xywh[0] == points[points[:, 2] > 0, 0].min()


def test_scores_above_one_are_one(points):
    points[:, 2] = 7
    [person] = Keypoints(points)(IMAGE)
    assert person.heatmaps.max() <= 1 and person.score == 1


def test_people_come_surest_first_and_those_without_joints_not_at_all(points):
    weak = points * [1, 1, 0.5]
    people = Keypoints(np.stack([weak, points, points * 0]))(IMAGE)
    assert [p.score for p in people] == sorted([points[:, 2].mean(), weak[:, 2].mean()], reverse=True)


def test_coco_annotations_are_found_by_file_name(points, tmp_path):
    visible = points.copy()
    visible[:, 2] = 2
    visible[4] = 0
    content = {
        "images": [{"id": 7, "file_name": "val/photo.jpg"}, {"id": 8, "file_name": "empty.jpg"}],
        "annotations": [
            {"image_id": 7, "keypoints": visible.ravel().tolist(), "iscrowd": 0},
            {"image_id": 7, "keypoints": [0] * 51, "iscrowd": 1},
        ],
    }
    with pytest.warns(UserWarning, match="1 person in a crowd is left out"):
        file = read(write(tmp_path / "coco.json", content))
    [person] = file.of("elsewhere/photo.jpg")(IMAGE)
    np.testing.assert_allclose(person.joints2d_px[:, :2], visible[:, :2])
    np.testing.assert_array_equal(person.joints2d_px[:, 2], np.arange(17) != 4)
    assert file.of("empty.jpg")(IMAGE) == []
    with pytest.raises(InputError, match=r"has no keypoints for other\.jpg"):
        file.of("other.jpg")


def test_coco_results_are_found_by_number_or_name(points, tmp_path):
    results = [
        {"image_id": i, "keypoints": points.ravel().tolist(), "score": 0.9} for i in (785, "a.png", "b")
    ]
    file = read(write(tmp_path / "results.json", results))
    for photo in ("000000000785.jpg", "a.png", "b.jpg"):
        np.testing.assert_allclose(file.of(photo).points_px[0], points)


@pytest.mark.parametrize("names", [OPENPOSE18, OPENPOSE25])
def test_openpose_joints_come_by_name(points, tmp_path, names):
    rows = [points[COCO17.index(n)] if n in COCO17.joints else [1, 1, 1] for n in names]
    content = {"people": [{"pose_keypoints_2d": np.ravel(rows).tolist()}]}
    write(tmp_path / "photo_keypoints.json", content)
    for source in (tmp_path / "photo_keypoints.json", tmp_path):
        np.testing.assert_allclose(read(source).of("photo.png").points_px[0], points)


@pytest.mark.parametrize(
    "content,sentence",
    [
        ([{"image_id": 1, "keypoints": [1.0] * 48}], r"a person with 16 joints, expected 17 \(COCO\), 18"),
        ({"people": [{"pose_keypoints_2d": [1.0] * 48}]}, "a person with 16 joints"),
        ({"shapes": []}, "no keypoints in a known layout"),
        (3, "no keypoints in a known layout"),
    ],
)
def test_other_json_is_refused(tmp_path, content, sentence):
    with pytest.raises(InputError, match=r"k\.json .*" + sentence):
        read(write(tmp_path / "k.json", content))


def test_what_is_no_json_is_refused(tmp_path):
    (tmp_path / "k.json").write_text('{"people": [')
    with pytest.raises(InputError, match="is not JSON, or cut short"):
        read(tmp_path / "k.json")
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "none.json")


def test_nan_and_other_shapes_are_refused(points):
    with pytest.raises(InputError, match=r"has the shape \(16, 3\), expected \(people, 17, 3\)"):
        Keypoints(points[:16])
    points[3, 0] = np.nan
    with pytest.raises(InputError, match="holds NaN"):
        Keypoints(points)


def test_people_of_a_few_pixels_are_refused(points):
    with pytest.raises(
        InputError, match=r"a person no larger than 0\.59 pixels: give x, y in pixels of the pict"
    ):
        Keypoints(points / [300, 300, 1])(IMAGE)


def test_who_is_elsewhere_is_left_out_where_others_are_not(points):
    with pytest.warns(
        UserWarning, match="1 person with a joint at .*, outside its 300 x 200 picture is left out"
    ):
        [person] = Keypoints(np.stack([points + np.array([2000, 0, 0]), points]))(IMAGE)
    np.testing.assert_allclose(person.joints2d_px, points)


@pytest.mark.parametrize("shift", [[2000, 0, 0], [0, -400, 0], [310, 0, 0]])
def test_points_of_another_picture_are_refused(points, shift):
    with pytest.raises(InputError, match="outside its 300 x 200 picture"):
        Keypoints(points + shift)(IMAGE)


def test_a_joint_just_outside_the_picture_is_fine(points):
    points[16, :2] = [150, 260]
    assert len(Keypoints(points)(IMAGE)) == 1


@pytest.fixture
def hands() -> np.ndarray:
    """(2, 21, 3): a left hand and a surer right one."""
    rng = np.random.default_rng(4)
    places = rng.uniform([50, 20], [250, 180], (2, 21, 2))
    return np.concatenate([places, np.tile([[[0.4]], [[0.9]]], (1, 21, 1))], 2)


def test_a_left_hands_maps_are_those_of_the_mirrored_picture(hands):
    right, left = Keypoints(hands, skeleton=HAND21, mirrored=[True, False])(IMAGE)
    assert (left.mirrored, right.mirrored) == (True, False)
    for person, points in zip((left, right), hands):
        np.testing.assert_array_equal(person.joints2d_px, points)
        assert person.crop == Crop.around(points)
    [as_right] = Keypoints(hands[0] * [-1, 1, 1] + [299, 0, 0], skeleton=HAND21)(IMAGE)
    assert not as_right.mirrored
    np.testing.assert_allclose(left.heatmaps, as_right.heatmaps, atol=1e-5)
    [unmirrored] = Keypoints(hands[0], skeleton=HAND21)(IMAGE)
    np.testing.assert_allclose(left.heatmaps, unmirrored.heatmaps[..., ::-1], atol=1e-5)
    [one] = Keypoints(hands[0], skeleton=HAND21, mirrored=True)(IMAGE)
    np.testing.assert_array_equal(one.heatmaps, left.heatmaps)


def test_who_is_left_out_takes_their_side_along(hands):
    hands[0, 1:, 2] = 0
    [person] = Keypoints(hands, skeleton=HAND21, mirrored=[True, False])(IMAGE)
    assert not person.mirrored


def test_sides_that_do_not_fit_are_refused(hands, points):
    with pytest.raises(InputError, match="has 2 hands, but 3 are said to be mirrored or not"):
        Keypoints(hands, skeleton=HAND21, mirrored=[True, False, True])
    with pytest.raises(
        InputError, match="mirrored is for hands, but the keypoint array has the joints of coco17"
    ):
        Keypoints(points, mirrored=True)
    with pytest.raises(
        InputError, match=r"\(17, 3\), expected \(people, 21, 3\): .* the 21 joints of hand21"
    ):
        Keypoints(points, skeleton=HAND21)


def test_each_blob_has_the_width_asked_for(hands):
    crop = Crop((150.0, 100.0), 400.0)
    std = np.linspace(2, 9, 21)
    maps = draw(hands[1], crop, 224, std_px=std)
    np.testing.assert_allclose(maps.sum((1, 2)), 0.9 * 2 * np.pi * std**2, rtol=1e-2)
    half = draw(hands[1], crop, 112, std_px=std)
    np.testing.assert_allclose(half.sum((1, 2)) * 4, maps.sum((1, 2)), rtol=1e-2)


def test_openpose_hands_come_with_their_sides(hands, tmp_path):
    left, right = (hand.ravel().tolist() for hand in hands)
    other = hands[1] + [30, 0, 0]
    body = {"pose_keypoints_2d": [0.0] * 75}
    people = [
        body | {"hand_left_keypoints_2d": left, "hand_right_keypoints_2d": right},
        body | {"hand_left_keypoints_2d": [], "hand_right_keypoints_2d": other.ravel().tolist()},
    ]
    write(tmp_path / "photo_keypoints.json", {"people": people})
    for source in (tmp_path / "photo_keypoints.json", tmp_path):
        found = read(source, HAND21).of("photo.png")
        np.testing.assert_array_equal(found.points_px, [*hands, other])
        np.testing.assert_array_equal(found.mirrored, [True, False, False])


def test_coco_wholebody_hands_come_with_their_sides(hands, points, tmp_path):
    left, right = (hand.ravel().tolist() for hand in hands)
    entry = {
        "image_id": 7,
        "keypoints": points.ravel().tolist(),
        "lefthand_kpts": left,
        "righthand_kpts": right,
    }
    results = read(write(tmp_path / "results.json", [entry]), HAND21).of("7.jpg")
    np.testing.assert_array_equal(results.points_px, hands)
    np.testing.assert_array_equal(results.mirrored, [True, False])
    content = {"images": [{"id": 7, "file_name": "a.jpg"}], "annotations": [entry]}
    truth = read(write(tmp_path / "truth.json", content), HAND21).of("a.jpg")
    np.testing.assert_array_equal(truth.points_px[..., :2], hands[..., :2])
    assert (truth.points_px[..., 2] == 1).all()
    np.testing.assert_array_equal(truth.mirrored, [True, False])
    people = read(tmp_path / "truth.json").of("a.jpg")  # the same file's bodies
    np.testing.assert_array_equal(people.points_px[0, :, :2], points[:, :2])


def test_keypoints_of_21_joints_are_right_hands(hands, tmp_path):
    entry = {"image_id": 7, "keypoints": hands[0].ravel().tolist()}
    found = read(write(tmp_path / "hands.json", [entry]), HAND21).of("7.jpg")
    np.testing.assert_array_equal(found.points_px, hands[:1])
    assert not found.mirrored.any()


def test_files_without_hands_are_refused(points, tmp_path):
    people = write(tmp_path / "k.json", {"people": [{"pose_keypoints_2d": [0.0] * 75}]})
    with pytest.raises(
        InputError,
        match=r"a hand of whom only the 25 joints of a body are given: take hand_left_keypoints_2d",
    ):
        read(people, HAND21)
    bodies = write(tmp_path / "k.json", [{"image_id": 1, "keypoints": points.ravel().tolist()}])
    with pytest.raises(InputError, match="a hand of whom only the 17 joints of a body are given"):
        read(bodies, HAND21)

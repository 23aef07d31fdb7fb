"""Known points become maps that say the same; files of other shapes are refused."""

import json

import numpy as np
import pytest

from mpt.errors import InputError
from mpt.images import apply
from mpt.pose2d.keypoints import OPENPOSE18, OPENPOSE25, Keypoints, read
from mpt.skeletons import COCO17

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
        ([{"image_id": 1, "keypoints": [1.0] * 48}], "a person with 16 joints, expected the 17 of COCO"),
        ({"people": [{"pose_keypoints_2d": [1.0] * 48}]}, "a person with 16 joints"),
        ({"shapes": []}, "neither COCO JSON"),
        ([1, 2], "neither COCO JSON"),
        ({"images": [{"id": 1}], "annotations": []}, "neither COCO JSON"),
        (3, "neither COCO JSON"),
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


@pytest.mark.parametrize("shift", [[2000, 0, 0], [0, -400, 0], [310, 0, 0]])
def test_points_of_another_picture_are_refused(points, shift):
    with pytest.raises(InputError, match="outside its 300 x 200 picture"):
        Keypoints(points + shift)(IMAGE)


def test_a_joint_just_outside_the_picture_is_fine(points):
    points[16, :2] = [150, 260]
    assert len(Keypoints(points)(IMAGE)) == 1

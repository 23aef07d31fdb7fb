"""Boxes become squares to look at; files of other shapes are refused."""

import json

import numpy as np
import pytest
from mutants import survive

from mpt.errors import InputError
from mpt.pose2d.boxes import BOX_FACTOR, Boxes, read

IMAGE = np.zeros((200, 300, 3), np.uint8)


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_the_square_is_about_the_middle_of_the_box():
    [region] = Boxes([[10, 20, 40, 100]])(IMAGE)
    assert region.crop.center_px == (29.5, 69.5)  # the box counts from the corner, pixels from their centres
    assert region.crop.side_px == pytest.approx(100 * BOX_FACTOR)
    assert region.crop.rotation == 0 and region.score == 1


def test_the_surest_comes_first():
    regions = Boxes([[0, 0, 10, 10], [50, 50, 10, 10]], np.array([0.6, 0.9]))(IMAGE)
    assert [region.score for region in regions] == [0.9, 0.6]
    assert regions[0].crop.center_px == (54.5, 54.5)


def test_detections_are_found_by_number_or_name(tmp_path):
    def entry(image, score=0.9, **more):
        return {"image_id": image, "bbox": [1, 2, 30, 40], "score": score, **more}

    detections = [entry(785), entry(785, 0.2), entry(785, category_id=3), entry("a.png", category_id=1)]
    with pytest.warns(UserWarning, match="2 people are left out: 1 with a score below 0.5, 1 of another cat"):
        file = read(write(tmp_path / "detections.json", detections))
    assert len(file.of("000000000785.jpg")(IMAGE)) == 1
    assert len(file.of("folder/a.png")(IMAGE)) == 1
    with pytest.raises(InputError, match=r"has no boxes for b\.png, only for 2 others"):
        file.of("b.png")


def test_annotations_are_found_by_file_name(tmp_path):
    content = {
        "images": [{"id": 7, "file_name": "val/photo.jpg"}, {"id": 8, "file_name": "empty.jpg"}],
        "annotations": [
            {"image_id": 7, "bbox": [1, 2, 30, 40], "category_id": 1, "iscrowd": 0},
            {"image_id": 7, "bbox": [1, 2, 30, 40], "category_id": 1, "iscrowd": 1},
        ],
    }
    with pytest.warns(UserWarning, match="1 person in a crowd is left out"):
        file = read(write(tmp_path / "coco.json", content))
    assert len(file.of("elsewhere/photo.jpg")(IMAGE)) == 1
    assert file.of("empty.jpg")(IMAGE) == []


@pytest.mark.parametrize(
    "content", [3, {"people": []}, [1], [{"image_id": 1}], [{"image_id": 1, "bbox": [1, 2]}]]
)
def test_other_json_is_refused(tmp_path, content):
    with pytest.raises(InputError, match=r"k\.json is no COCO JSON with boxes"):
        read(write(tmp_path / "k.json", content))


def test_what_is_no_json_is_refused(tmp_path):
    (tmp_path / "k.json").write_text("[{")
    with pytest.raises(InputError, match="is not JSON, or cut short"):
        read(tmp_path / "k.json")
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path)


@pytest.mark.parametrize(
    "boxes,sentence",
    [
        ([[1, 2, 3]], r"has the shape \(1, 3\), expected \(people, 4\)"),
        ([1, 2, 3, 4], r"has the shape \(4,\)"),
        ([[1, 2, 0, 4]], "an empty box or NaN"),
        ([[1, np.nan, 3, 4]], "an empty box or NaN"),
    ],
)
def test_what_are_no_boxes_is_refused(boxes, sentence):
    with pytest.raises(InputError, match=sentence):
        Boxes(boxes)


def test_boxes_of_shares_are_refused():
    with pytest.raises(InputError, match="a box smaller than 4 pixels: give boxes in pixels"):
        Boxes([[0.2, 0.1, 0.5, 0.7]])(IMAGE)


def test_a_box_elsewhere_is_left_out_where_others_are_not():
    with pytest.warns(UserWarning, match="1 box outside the picture is left out"):
        [region] = Boxes([[300, 0, 10, 10], [10, 20, 40, 100]])(IMAGE)
    assert region.crop.center_px == (29.5, 69.5)


def test_photos_of_one_name_in_two_folders_have_their_own_boxes(tmp_path):
    detections = [{"image_id": f"cam{k}/0001.png", "bbox": [k, 2, 30, 40], "score": 0.9} for k in (1, 2)]
    file = read(write(tmp_path / "detections.json", detections))
    for k in (1, 2):
        assert file.of(f"cam{k}/0001.png").boxes_xywh[0, 0] == k


@pytest.mark.parametrize(
    "entry,why",
    [
        (None, "of no photo"),
        ({"bbox": [1, 2, 3, 4]}, "of no photo"),
        ({"image_id": 9, "bbox": [1, 2, 3, 4]}, "of no photo that the file lists"),
        ({"image_id": 7}, "without a box of four numbers"),
        ({"image_id": 7, "bbox": [1, 2, 3]}, "without a box of four numbers"),
        ({"image_id": 7, "bbox": [1, 2, 0, 4]}, "with an empty box"),
        ({"image_id": 7, "bbox": [1, 2, "n/a", 4]}, "with 'n/a' where a number was expected"),
        ({"image_id": 7, "bbox": [1, None, 3, 4]}, "with null where a number was expected"),
        ({"image_id": 7, "bbox": [1, float("inf"), 3, 4]}, "with inf where a number was expected"),
    ],
)
def test_an_entry_that_cannot_be_read_costs_nobody_else(entry, why, tmp_path):
    images = [{"id": "7", "file_name": "photo.jpg"}, None]
    content = {"images": images, "annotations": [entry, {"image_id": 7, "bbox": [1, 2, 30, 40]}]}
    with pytest.warns(UserWarning, match=f"1 person {why} is left out"):
        file = read(write(tmp_path / "coco.json", content))
    assert len(file.of("photo.jpg")(IMAGE)) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_json_of_every_encoding_is_read(encoding, tmp_path):
    content = json.dumps([{"image_id": 7, "bbox": [1, 2, 30, 40]}])
    (tmp_path / "k.json").write_bytes(content.encode(encoding))
    assert len(read(tmp_path / "k.json").of("7.jpg")(IMAGE)) == 1


@pytest.mark.filterwarnings("ignore")
def test_accidents_in_a_file_are_refused_in_a_sentence(tmp_path):
    images = [{"id": k, "file_name": f"{k}/photo.jpg"} for k in (1, 2)]
    entries = [{"image_id": k, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.9} for k in (1, 2)]
    for content in (
        entries,
        {"images": images, "annotations": entries, "categories": [{"id": 1, "name": "a"}]},
    ):
        source = json.dumps(content, indent=1).encode()
        refused = survive(lambda path: read(path).of("2/photo.jpg")(IMAGE), tmp_path / "k.json", source, 1000)
        assert refused > 0


@pytest.mark.parametrize("box", [[300, 0, 10, 10], [-20, 0, 10, 10], [0, 500, 10, 10]])
def test_boxes_of_another_picture_are_refused(box):
    with pytest.raises(InputError, match="a box outside its 300 x 200 picture"):
        Boxes([box])(IMAGE)

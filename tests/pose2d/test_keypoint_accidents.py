"""What cannot be used costs itself alone and is said; any JSON is people or a sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import survive
from pose2d.detections import (
    BODY18,
    LAYOUTS,
    PERSON,
    coco,
    flat,
    moved,
    result,
)
from pose2d.reading import IMAGE, given_people_of, write  # noqa: F401

from mpt.errors import InputError
from mpt.pose2d.keypoints import read
from mpt.skeletons import COCO17, HAND21

# --------------------------------------------------------------------------------------- one bad entry


def with_first(value: object) -> list:
    return [value, *flat(PERSON)[1:]]


BAD = {
    "a word": (with_first("n/a"), "with 'n/a' where a number was expected"),
    "null": (with_first(None), "with null or NaN where a number was expected"),
    "NaN": (with_first(float("nan")), "with null or NaN where a number was expected"),
    "infinity": (with_first(float("inf")), "with infinity where a number was expected"),
    "a huge integer": (with_first(10**400), r"with 10+\.\.\.0+ where a number was expected"),
    "an object": (with_first({}), "with a joint without x and y"),
    "four points": ([9, 9, 2] * 4, "with 4 joints, expected 17"),
    "sixteen points": (flat(PERSON[:16]), "with 16 joints, expected 17"),
    "a number too few": (flat(PERSON)[:-1], "with a list of 50 numbers"),
    "ragged": ([[1, 2, 1], [1, 2]] * 9, "with joints of different lengths"),
    "a string": ("1 2 3", "with text for keypoints"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_person_who_cannot_be_read_costs_one_person(bad, people_of):
    value, why = BAD[bad]
    entry = result() | {"keypoints": value}
    with pytest.warns(UserWarning, match=rf"1 person {why}.* is left out"):
        assert len(people_of([entry, result()])) == 1
    with pytest.raises(InputError, match=rf"photo\.json has a person {why}.*: "):
        people_of([entry])


def test_numbers_too_large_cost_one_person(people_of):
    huge = PERSON * [1e300, 1, 1]
    with pytest.warns(UserWarning, match=r"1 person with a joint at .*, outside its 200 x 300 picture"):
        assert len(people_of([result(huge), result()])) == 1


def test_missing_joints_may_be_null_or_nan(people_of):
    for missing in (None, [None, None, None], [float("nan"), float("nan"), 0]):
        [person] = people_of([result() | {"keypoints": [*PERSON[:16].tolist(), missing]}])
        np.testing.assert_array_equal(person.joints2d_px, np.concatenate([PERSON[:16], np.zeros((1, 3))]))


@pytest.mark.parametrize(
    "content,why",
    [
        (
            {"people": [{"pose_keypoints_2d": []}, {"pose_keypoints_2d": flat(BODY18)}]},
            "without joints",
        ),
        ({"people": [None, {"pose_keypoints_2d": flat(BODY18)}]}, "without joints"),
        ([result(), None], "of no photo of the file, or without keypoints"),
        ([result(), {"bbox": [1, 2, 3, 4]}], "of no photo of the file, or without keypoints"),
    ],
)
def test_entries_of_nobody_cost_nobody_else(content, why, people_of):
    with pytest.warns(UserWarning, match=f"1 person {why} is left out"):
        assert len(people_of(content)) == 1


@pytest.mark.parametrize(
    "entry,why",
    [
        ({"image_id": 1, "category_id": 1, "keypoints": [], "num_keypoints": 0}, "without joints"),
        ({"image_id": 1, "category_id": 62, "keypoints": [9, 9, 2] * 4}, "of another category"),
        (result(moved(60), photo=99), "of no photo"),
        (None, "of no photo"),
    ],
)
def test_coco_s_annotations_cost_nobody_else(entry, why, people_of):
    content = {
        "images": [{"id": "1", "file_name": "photo.png"}, None],
        "annotations": [entry, result(photo=1)],
    }
    with pytest.warns(UserWarning, match=f"1 person {why}.* is left out"):
        assert len(people_of(content)) == 1


def test_a_photo_whose_people_all_cannot_be_read_has_a_sentence(tmp_path):
    entries = [
        result(),
        result(photo="bad.png") | {"keypoints": with_first("n/a")},
        result(photo="dim.png", score=0.1),
    ]
    with pytest.warns(UserWarning, match="2 people are left out: "):
        file = read(write(tmp_path / "k.json", entries))
    assert len(file.of("photo.png")(IMAGE)) == 1
    with pytest.raises(InputError, match=r"k\.json has a person with 'n/a' where a number was expected"):
        file.of("bad.png")
    assert file.of("dim.png")(IMAGE) == []


@pytest.mark.parametrize(
    "content,holds",
    [
        ({"shapes": [], "version": "5"}, "an object with shapes, version"),
        ([1, 2], "a list of 2, first 1"),
        ([{"bbox": [1, 2, 3, 4]}], "a list of 1, first an object with bbox"),
        (3, "3"),
        (None, "None"),
        ({}, "an object with nothing"),
    ],
)
def test_another_file_is_told_by_what_it_holds(content, holds, people_of):
    with pytest.raises(
        InputError, match=rf"photo\.json holds {holds}, no keypoints in a known layout: give COCO"
    ):
        people_of(content)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_of_every_encoding_is_read(encoding, tmp_path):
    (tmp_path / "photo.json").write_bytes(json.dumps([result()]).encode(encoding))
    assert len(read(tmp_path / "photo.json").of("photo.png")(IMAGE)) == 1


@pytest.mark.parametrize("more", [{"bbox": [1, 2, 30, 40]}, {"segments_info": []}])
def test_coco_without_any_keypoints_is_refused(more, people_of):
    content = coco() | {"annotations": [{"image_id": 1, "category_id": 1, **more}]}
    with pytest.raises(InputError, match=r"holds an object with images, .* no keypoints in a known layout"):
        people_of(content)


def test_people_without_keypoints_are_told_by_what_they_have(people_of):
    with pytest.raises(InputError, match="without keypoints, who has only body_id, joint_positions"):
        people_of({"bodies": [{"body_id": 1, "joint_positions": [[1, 2, 3]]}]})


@pytest.mark.parametrize("text", [" ".join(map(str, flat(PERSON))), json.dumps(flat(PERSON))])
def test_numbers_in_quotes_are_told(text, people_of):
    with pytest.raises(InputError, match="with text for keypoints: write them as a list of numbers"):
        people_of([result() | {"keypoints": text}])


def test_json_lines_are_read_and_other_files_are_told(tmp_path):
    path = tmp_path / "photo.jsonl"
    path.write_text("".join(json.dumps(result(photo=f"{k}.png")) + "\n" for k in (1, 2)))
    assert len(read(path).of("2.png")(IMAGE)) == 1
    for content, what in (
        (b"", "is empty"),
        (b"\x1f\x8b\x08", "is compressed by gzip, not JSON"),
        (b"[{'image_id': 1}]", "is Python's own notation"),
        (b"{}\n{", "is not JSON, or cut short"),
        (b"{}\n" + b"[" * 100_000, "is not JSON, or cut short"),
        (b"{}\n\xff", "is not JSON, or cut short"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"photo\.jsonl {what}.*: give a JSON file with keypoints"):
            read(path)


# ------------------------------------------------------------------------------------------------ accidents

FUZZED = (
    "COCO results", "OpenPose BODY_25", "ControlNet", "MMPose with names", "tf.js MoveNet", "ultralytics",
    "MediaPipe protobuf", "mpt's result.json",
)  # fmt: skip


def read_and_draw(path: Path) -> None:
    file = read(path)
    file.of("photo.png", heatmap_size=8, alone=True)(IMAGE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed,layout", list(enumerate(FUZZED)))
def test_accidents_in_a_file_are_refused_in_a_sentence(seed, layout, tmp_path):
    source = json.dumps(LAYOUTS[layout], indent=1).encode()
    assert 0 < survive(read_and_draw, tmp_path / "photo.json", source, 250, seed=seed) <= 250


@pytest.mark.filterwarnings("ignore")
def test_accidents_in_coco_annotations_are_refused_in_a_sentence(tmp_path):
    images = [{"id": 1, "file_name": "photo.png"}, {"id": 2, "file_name": "b/c.png"}]
    categories = [{"id": 1, "name": "person", "keypoints": list(COCO17.joints)}]
    annotations = [result(photo=1), result(moved(40), photo=2, iscrowd=0)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    source = json.dumps(content, indent=1).encode()
    assert survive(read_and_draw, tmp_path / "photo.json", source, 250) > 0


KEYS = (
    "image_id", "keypoints", "people", "pose_keypoints_2d", "images", "annotations", "id", "file_name",
    "score", "category_id", "categories", "name", "instances", "instance_info", "predictions",
    "frame_id", "landmarks", "joints2d_px", "nose", "x", "y", "visible", "photo.png", "keypoint_scores",
    "canvas_width", "lefthand_kpts", "position", "meta_info", "keypoint_id2name", "bodies", "joints",
    "landmark", "iscrowd", "class",
)  # fmt: skip
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
    | st.sampled_from([flat(PERSON), PERSON.tolist(), "photo.png", 1, 10**400])
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)


@st.composite
def changed(draw: st.DrawFn, content: object) -> object:
    """A known file in which something somewhere is something else."""
    if not content or not isinstance(content, list | dict) or draw(st.booleans()):
        return draw(TREES)
    place = draw(st.sampled_from(sorted(content) if isinstance(content, dict) else range(len(content))))
    copy = content.copy()
    copy[place] = draw(changed(content[place]))
    return copy


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("skeleton", [COCO17, HAND21], ids=["people", "hands"])
@settings(max_examples=400, deadline=None)
@given(content=TREES | st.sampled_from(list(LAYOUTS.values())).flatmap(changed))
def test_any_json_is_people_or_a_sentence(tmp_path_factory, skeleton, content):
    path = tmp_path_factory.getbasetemp() / "photo.json"
    path.write_text(json.dumps(content))
    try:
        people = read(path, skeleton).of("photo.png", heatmap_size=8, alone=True)(IMAGE)
    except InputError as error:
        assert str(error).startswith(str(path))
    else:
        assert all(np.isfinite(person.heatmaps).all() for person in people)

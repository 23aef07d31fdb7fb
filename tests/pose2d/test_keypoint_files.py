"""Every detector's file gives the same person; what cannot be used costs itself alone, and is said."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import survive
from pose2d.detections import (
    BLAZE,
    BODY18,
    LAYOUTS,
    NAMED,
    PERSON,
    SIZE,
    columns,
    dicts,
    flat,
    moved,
    padded,
    reordered,
    result,
)

from mpt.errors import InputError
from mpt.pose2d.keypoints import OPENPOSE18, ORDERS, read
from mpt.skeletons import COCO17, HAND21

IMAGE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
UNIT = [*SIZE, 1]


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def people_of(tmp_path):
    """What a file, called photo.json, gives for photo.png."""

    def of(content: object, photo: str = "photo.png", **options) -> list:
        return read(write(tmp_path / "photo.json", content)).of(photo, **options)(IMAGE)

    return of


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_person(layout, people_of):
    [person] = people_of(LAYOUTS[layout])
    np.testing.assert_allclose(person.joints2d_px, PERSON)


@pytest.mark.parametrize(
    "content",
    [
        [result() | {"keypoints": flat(PERSON[:, :2])}],
        [result() | {"keypoints": PERSON[:, :2].tolist()}],
        {"keypoints": {"x": PERSON[:, 0].tolist(), "y": PERSON[:, 1].tolist()}},
        PERSON[:, :2].tolist(),
        {name: {"x": x, "y": y} for name, (x, y, _) in NAMED.items()},
    ],
)
def test_joints_without_scores_are_there(content, people_of):
    [person] = people_of(content)
    np.testing.assert_allclose(person.joints2d_px, PERSON * [1, 1, 0] + [0, 0, 1])


def test_the_categories_of_coco_name_its_joints(people_of):
    names = [name.replace("_", " ") for name in reversed(COCO17.joints[5:])]
    content = {
        "images": [{"id": 1, "file_name": "photo.png"}],
        "annotations": [result(PERSON[:4:-1], photo=1)],
        "categories": [{"id": 1, "name": "person", "keypoints": names}],
    }
    [person] = people_of(content)
    np.testing.assert_allclose(person.joints2d_px[5:, :2], PERSON[5:, :2])
    assert (person.joints2d_px[:5] == 0).all()


def test_each_order_has_a_count_of_its_own_and_all_joints():
    for count, order in ORDERS.items():
        assert count == order.count >= len(order.joints)
        assert set(COCO17.joints) <= set(order.joints)


@pytest.mark.parametrize("count,left,right", [(133, 91, 112), (136, 94, 115)])
def test_hands_are_read_out_of_whole_bodies(count, left, right, tmp_path):
    body = padded(PERSON, count)
    rng = np.random.default_rng(0)
    body[left : left + 21, :2] = rng.uniform(20, 60, (21, 2))
    body[right : right + 21, :2] = rng.uniform(120, 160, (21, 2))
    found = read(write(tmp_path / "photo.json", [result(body)]), HAND21).of("photo.png")
    np.testing.assert_allclose(found.points_px, [body[left : left + 21], body[right : right + 21]])
    np.testing.assert_array_equal(found.mirrored, [True, False])


def test_own_results_of_hands_keep_their_side(tmp_path):
    hand = np.column_stack([np.random.default_rng(0).uniform(20, 90, (21, 2)), np.ones(21)])
    people = [{"side": side, "joints2d_px": dict(zip(HAND21.joints, hand.tolist()))} for side in ("left",)]
    content = {"image": "photo.png", "people": people}
    found = read(write(tmp_path / "result.json", content), HAND21).of("photo.png")
    np.testing.assert_array_equal(found.points_px, [hand])
    assert found.mirrored.all()


# ------------------------------------------------------------------------------------------ which photo


def test_photos_of_one_name_in_two_folders_have_their_own_people(tmp_path):
    right = moved(30)
    entries = [result(photo="cam1/0001.png"), result(right, photo="cam2/0001.png")]
    images = [{"id": i, "file_name": f"cam{i}/0001.png"} for i in (1, 2)]
    coco = {"images": images, "annotations": [result(photo=1), result(right, photo=2)]}
    for content in (entries, coco):
        file = read(write(tmp_path / "k.json", content))
        for photo, x in (("cam1/0001.png", 100), ("/data/cam2/0001.png", 130)):
            [person] = file.of(photo)(IMAGE)
            assert person.joints2d_px[0, 0] == x
        with pytest.raises(InputError, match=r"k\.json has keypoints for cam1/0001\.png and cam2/0001\.png"):
            file.of("0001.png")
    only = read(write(tmp_path / "k.json", [entries[1], result(photo="cam3/0002.png")]))
    with pytest.warns(UserWarning, match=r"names cam2/0001\.png, in another folder than cam1/0001\.png"):
        assert len(only.of("cam1/0001.png")(IMAGE)) == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "named,photo",
    [
        ("C:\\data\\cam1\\photo.png", "photo.png"),
        ("frame.jpg", "frame.png"),
        ("frame.JPG", "frame.jpg"),
        ("val/photo.png", "elsewhere/photo.png"),
        ("./photo.png", "photo.png"),
        (241, "COCO_val2014_000000000241.jpg"),
        ("COCO_val2014_000000000241.jpg", "000000000241.jpg"),
        ("val2017/000000000241.jpg", "COCO_val2014_000000000241.jpg"),
        ("241", "000000000241.jpg"),
        (785.0, "000000000785.jpg"),
        ("cafe\u0301.png", "caf\u00e9.png"),
        ("frame.0001", "frame.0001.png"),
    ],
)
def test_names_mean_the_photo(named, photo, people_of):
    assert len(people_of([result(photo=named)], photo)) == 1


@pytest.mark.parametrize(
    "named,photo",
    [
        ("frame.0001", "frame.0002.png"),
        ("frame.0001", "frame.png"),
        ("241", "COCO_1241.jpg"),
        ("001.png", "1.png"),
        ("a", "b.png"),
    ],
)
def test_names_of_other_photos_do_not(named, photo, people_of):
    with pytest.raises(InputError, match=r"has no keypoints for .* matched by file name"):
        people_of([result(photo=named)], photo)


def test_a_number_in_any_name_is_taken_and_said(people_of):
    with pytest.warns(
        UserWarning, match=r"names photos by numbers: its keypoints of 12 are taken for take_012"
    ):
        assert len(people_of([result(photo=12)], "take_012.png")) == 1


def test_frames_of_a_film_are_numbered(tmp_path):
    frames = [{"frame_id": k, "instances": [{"keypoints": moved(k).tolist()}]} for k in (1, 2)]
    file = read(write(tmp_path / "film.json", {"instance_info": frames}))
    assert file.of("000002.png").points_px[0, 0, 0] == 102


def test_stems_that_several_files_share_are_asked_about(people_of):
    with pytest.raises(InputError, match=r"for frame\.bmp and frame\.jpg, and any may be frame\.png"):
        people_of([result(photo="frame.jpg"), result(photo="frame.bmp")], "frame.png")


def test_a_file_that_names_no_photo_is_taken_for_the_only_one(people_of):
    content = {"people": [{"pose_keypoints_2d": flat(BODY18)}]}
    with pytest.warns(UserWarning, match=r"photo\.json does not name its photo: it is taken for other\.png"):
        assert len(people_of(content, "other.png", alone=True)) == 1
    with pytest.raises(InputError, match=r"has no keypoints for other\.png"):
        people_of(content, "other.png")
    for named in ("photo.png", "photo"):
        with pytest.raises(InputError, match=r"has no keypoints for other\.png"):
            people_of([result(photo=named)], "other.png", alone=True)


def test_openpose_s_files_are_never_taken_for_another_photo(tmp_path):
    for name in ("one_keypoints.json", "_keypoints.json"):
        file = read(write(tmp_path / name, {"people": [{"pose_keypoints_2d": flat(BODY18)}]}))
        with pytest.raises(InputError, match=r"has no keypoints for other\.png"):
            file.of("other.png", alone=True)


def test_several_photos_without_names_are_refused(people_of):
    frame = {"people": [{"pose_keypoints_2d": flat(BODY18)}]}
    with pytest.raises(InputError, match="has the keypoints of 2 photos and does not name them"):
        people_of([frame, frame])


def test_a_frame_that_is_nothing_costs_no_other(people_of):
    frame = {"people": [{"pose_keypoints_2d": flat(BODY18)}]}
    for nothing in (None, {}, {"version": 1}):
        with pytest.warns(
            UserWarning, match="1 person of no photo of the file, or without keypoints is left"
        ):
            assert len(people_of([frame, nothing])) == 1


def test_nobody_in_the_file_is_nobody_in_the_photo(people_of):
    for content in ([], {"people": []}, {"pose_landmarks": []}, {"instance_info": []}):
        assert people_of(content) == []


# ---------------------------------------------------------------------------------------------- who it is


@pytest.mark.parametrize(
    "other,why",
    [
        (result(moved(3, 3), score=0.01), "1 person with a score below 0.5 is left out"),
        (result(moved(60), score=0.49), "1 person with a score below 0.5 is left out"),
        (result(moved(60)) | {"category_id": 18}, "1 person of another category than person"),
        (result(moved(60)) | {"category_id": "18"}, "1 person of another category than person"),
        (result(moved(60)) | {"category_name": "dog"}, "1 person of another category than person"),
        (result(moved(60)) | {"iscrowd": 1}, "1 person in a crowd"),
        (result(score=0.8), "1 person found twice is left out"),
        (result(moved(3, 2)), "1 person found twice is left out"),
    ],
)
def test_candidates_that_are_nobody_are_left_out_and_said(other, why, people_of):
    for entries in ([result(), other], [other, result()]):
        with pytest.warns(UserWarning, match=why):
            [_] = people_of(entries)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("more", [{"score": 2.7}, {"score": None}, {"category_id": "1"}, {"iscrowd": 0}])
def test_two_people_are_two(more, people_of):
    del (plain := result(moved(40)))["score"]
    assert len(people_of([result(), result(moved(60)) | more])) == 2
    assert len(people_of([result(), plain])) == 2


@pytest.mark.parametrize("score", [0.8, 0.95])
def test_a_face_is_a_double_of_the_whole_person_and_nobody_is_none(score, people_of):
    face = PERSON.copy()
    face[5:] = 0
    with pytest.warns(UserWarning, match="1 person found twice is left out"):
        [person] = people_of([result(), result(face, score=score), result(PERSON * 0)])
    np.testing.assert_allclose(person.joints2d_px, PERSON)


@pytest.mark.filterwarnings("error")
def test_categories_go_by_the_names_that_the_file_gives_them():
    from mpt.pose2d.candidates import Categories

    listed = [{"id": 1, "name": "dog"}, {"id": 3, "name": "Person"}]
    Categories([], listed).check({"category_id": 3})
    with pytest.raises(ValueError, match="of another category than person"):
        Categories([], listed).check({"category_id": 1})
    Categories([], [{"id": 7, "name": "skier"}]).check({"category_id": 7})
    Categories([{"category_id": 0}, {"category_id": 1}]).check({"category_id": 0})


def test_people_in_one_array_have_their_own_scores_and_labels(people_of):
    points = [PERSON.tolist(), moved(60).tolist(), moved(30).tolist()]
    content = {"keypoints": points, "scores": [0.9, 0.1, 0.9], "labels": [1, 1, 7]}
    with pytest.warns(UserWarning, match="2 people are left out"):
        [person] = people_of(content)
    np.testing.assert_allclose(person.joints2d_px, PERSON)


def test_the_surer_of_two_doubles_stays(people_of):
    with pytest.warns(UserWarning, match="found twice"):
        [person] = people_of([result(moved(2), score=0.7), result(score=0.9)])
    assert person.joints2d_px[0, 0] == 100


# ------------------------------------------------------------------------------------------- coordinates


@pytest.mark.parametrize(
    "points,came",
    [(PERSON / UNIT, "from 0 to 1"), ((PERSON / UNIT) * [2, 2, 1] - [1, 1, 0], "from -1 to 1")],
)
def test_shares_of_the_picture_become_pixels(points, came, people_of):
    with pytest.warns(UserWarning, match=f"has coordinates {came}: they are taken for shares of each"):
        [person] = people_of([result(points)])
    np.testing.assert_allclose(person.joints2d_px, PERSON)


@pytest.mark.filterwarnings("ignore:.*has (coordinates|keypoints of a picture)")
@pytest.mark.parametrize(
    "content",
    [
        {"pose_landmarks": dicts(BLAZE / UNIT, "visibility")},
        [{"people": [{"pose_keypoints_2d": flat(BODY18 / UNIT)}], "canvas_width": 512, "canvas_height": 768}],
        [
            {
                "people": [{"pose_keypoints_2d": flat(BODY18 * [2.56, 2.56, 1])}],
                "canvas_width": 512,
                "canvas_height": 768,
            }
        ],
        [{"name": "person", "class": 0, "confidence": 0.9, "keypoints": columns(PERSON / UNIT)}],
    ],
)
def test_shares_and_canvases_of_every_layout_become_pixels(content, people_of):
    [person] = people_of(content)
    np.testing.assert_allclose(person.joints2d_px, PERSON)


@pytest.mark.filterwarnings("ignore:.*has coordinates")
def test_a_landmark_left_of_the_picture_is_none_of_minus_one_to_one(people_of):
    beside = BLAZE / UNIT
    beside[BLAZE[:, 0] == 68, 0] = -0.2
    [person] = people_of({"pose_landmarks": dicts(beside, "visibility")})
    assert person.joints2d_px[0, 0] == pytest.approx(100)


def test_a_canvas_of_another_shape_is_refused(people_of):
    content = {"people": [{"pose_keypoints_2d": flat(BODY18)}], "canvas_width": 512, "canvas_height": 512}
    with pytest.raises(
        InputError, match="keypoints of a picture of 512 x 512 pixels, and this is one of 200 x 300"
    ):
        people_of(content)


def test_one_person_in_shares_among_pixels_is_left_out(people_of):
    with pytest.warns(UserWarning, match=r"1 person no larger than 0\.73 pixels is left out"):
        assert len(people_of([result(), result(PERSON / UNIT, score=0.8)])) == 1


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


def test_a_folder_outlives_one_broken_file(tmp_path):
    write(tmp_path / "photo_keypoints.json", {"people": [{"pose_keypoints_2d": flat(BODY18)}]})
    (tmp_path / "other_keypoints.json").write_text('{"people": [')
    with pytest.warns(UserWarning, match=r"other_keypoints\.json is not JSON, or cut short"):
        folder = read(tmp_path)
    assert len(folder.of("photo.png")(IMAGE)) == 1
    with pytest.raises(InputError, match=r"other_keypoints\.json is not JSON, or cut short"):
        folder.of("other.png")
    (tmp_path / "photo_keypoints.json").unlink()
    with pytest.raises(InputError, match=r"other_keypoints\.json is not JSON, or cut short"):
        read(tmp_path)


def test_folders_in_a_folder_are_those_of_the_photos(tmp_path):
    for camera, x in (("cam1", 0), ("cam2", 30)):
        (tmp_path / camera).mkdir()
        people = [{"pose_keypoints_2d": flat(reordered(moved(x), OPENPOSE18))}]
        write(tmp_path / camera / "0001_keypoints.json", {"people": people})
    folder = read(tmp_path)
    for camera, x in (("cam1", 100), ("cam2", 130)):
        [person] = folder.of(f"photos/{camera}/0001.png")(IMAGE)
        assert person.joints2d_px[0, 0] == x


def test_own_results_of_several_photos_are_read_back(tmp_path):
    told = [
        {"image": f"in/{name}", "people": [{"score": 0.3, "joints2d_px": NAMED}] * count}
        for name, count in (("photo.png", 1), ("nobody.png", 0))
    ]
    file = read(write(tmp_path / "results.json", told))
    np.testing.assert_allclose(file.of("in/photo.png").points_px, [PERSON])
    assert file.of("nobody.png")(IMAGE) == []


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


# ------------------------------------------------------------- what looks like pixels of people, and is not


def coco(points: np.ndarray = PERSON, names: list | None = None, **size) -> dict:
    kind = {"id": 1, "name": "person"} | ({"keypoints": names} if names else {})
    return {
        "images": [{"id": 1, "file_name": "photo.png", **size}],
        "annotations": [{"image_id": 1, "category_id": 1, "keypoints": flat(points)}],
        "categories": [kind],
    }


@pytest.mark.parametrize("place", [(0, 0), (-1, -1)])
@pytest.mark.parametrize("score", [0.02, 0.9])
def test_joints_at_the_picture_s_corner_are_missing_whatever_their_score(place, score, people_of):
    points = PERSON.copy()
    points[9] = *place, score
    [person] = people_of([result(points)])
    np.testing.assert_allclose(person.joints2d_px, np.where(np.arange(17)[:, None] == 9, 0, PERSON))


@pytest.mark.filterwarnings("ignore:.*has coordinates from 0 to 1")
def test_legs_that_mediapipe_guesses_far_below_the_picture_cost_nobody(people_of):
    guessed = BLAZE / UNIT
    guessed[25:, 1:] = 1.9, 0.01
    [person] = people_of({"pose_landmarks": dicts(guessed, "visibility")})
    np.testing.assert_allclose(person.joints2d_px[:13], PERSON[:13])
    assert (person.joints2d_px[13:] == 0).all()


@pytest.mark.filterwarnings("ignore:.*has coordinates from 0 to 1")
@pytest.mark.parametrize("value", [-0.3, 5.0])
def test_a_landmark_out_of_the_picture_is_no_other_scale(value, people_of):
    beside = BLAZE / UNIT
    beside[BLAZE[:, 0] == 84] = value, 0.9, 0.1
    [person] = people_of([[x, y, 0, s] for x, y, s in beside.tolist()])
    np.testing.assert_allclose(person.joints2d_px[:16], PERSON[:16])


def test_world_landmarks_are_refused(people_of):
    world = (BLAZE - [100, 145, 0]) * [0.008, 0.008, 1]
    with pytest.raises(InputError, match=r"in metres about the hips \(world landmarks\)"):
        people_of(dicts(world, "visibility"))


@pytest.mark.parametrize("scale", [[1 / 200, 1, 1], [1, 1 / 300, 1]])
def test_shares_in_one_direction_alone_are_refused(scale, people_of):
    with pytest.raises(InputError, match=r"pixels wide and \d+ long: give both x and y in pixels"):
        people_of([result(PERSON * scale)])


@pytest.mark.filterwarnings("ignore:.*has coordinates from 0 to 1")
def test_people_upside_down_are_asked_about(people_of):
    with pytest.warns(UserWarning, match="upside down: if it counts y from the bottom"):
        people_of([result(PERSON / UNIT * [1, -1, 1] + [0, 1, 0])])


@pytest.mark.parametrize("factor", [0.5, 2])
def test_coco_tells_the_size_of_its_picture(factor, people_of):
    content = coco(PERSON * [factor, factor, 2], width=200 * factor, height=300 * factor)
    with pytest.warns(UserWarning, match="they are scaled to the 200 x 300 of this one"):
        [person] = people_of(content)
    np.testing.assert_allclose(person.joints2d_px[:, :2], PERSON[:, :2])


def test_sizes_that_are_exchanged_or_unknown_scale_nothing(people_of):
    for size in ({"width": 1, "height": 1}, {"width": 0, "height": 0}):
        [person] = people_of(coco(**size))
        np.testing.assert_allclose(person.joints2d_px[:, :2], PERSON[:, :2])
    with pytest.warns(UserWarning, match="has the width and height of this 200 x 300 picture exchanged"):
        [person] = people_of(coco(width=300, height=200))
    np.testing.assert_allclose(person.joints2d_px[:, :2], PERSON[:, :2])


SHORT = ["Nose", *(f"{n.split('_')[0][0].upper()}{n.split('_')[1].title()}" for n in COCO17.joints[1:])]


@pytest.mark.parametrize("key", ["name", "label", "type", "keypoint"])
@pytest.mark.parametrize("names", [COCO17.joints, SHORT, [f"{n[0].lower()}{n[1:].lower()}" for n in SHORT]])
def test_joints_go_by_their_names_however_these_are_written(key, names, people_of):
    joints = [{"x": x, "y": y, "score": s, key: n} for (x, y, s), n in zip(PERSON.tolist(), names)]
    [person] = people_of([{"keypoints": joints[::-1]}])
    np.testing.assert_allclose(person.joints2d_px, PERSON)


def test_some_named_joints_are_enough(people_of):
    some = dicts(PERSON[5:11], "score", COCO17.joints[5:11])
    [person] = people_of([{"keypoints": some}])
    np.testing.assert_allclose(person.joints2d_px[5:11], PERSON[5:11])
    assert (np.delete(person.joints2d_px, np.s_[5:11], 0) == 0).all()


def test_names_of_other_joints_are_no_order(people_of):
    names = ["l_eye", "r_eye", "nose", "neck", *(f"{a}_{b}_paw" for a in "lr" for b in "fb")]
    with pytest.raises(InputError, match="a person with a l_f_paw, an animal: give the joints of people"):
        people_of(coco(PERSON[:8], names))
    with pytest.raises(InputError, match=r"a person whose joints are called a, b, c, d, \.\.\.: call them"):
        people_of(coco(PERSON, list("abcdefghijklmnopq")))
    names = [*COCO17.joints[5:], "head", "neck"]  # CrowdPose's 14
    [person] = people_of(coco(np.concatenate([PERSON[5:], PERSON[:2]]), names))
    np.testing.assert_allclose(person.joints2d_px[5:, :2], PERSON[5:, :2])


@pytest.mark.parametrize(
    "content",
    [
        {"keypoints": [PERSON[:, :2].tolist()], "scores": [PERSON[:, 2].tolist()]},
        [{"keypoints": PERSON[:, :2].tolist(), "scores": PERSON[:, 2].tolist(), "labels": [*range(17)]}],
    ],
)
def test_scores_of_joints_are_kept(content, people_of):
    [person] = people_of(content)
    np.testing.assert_allclose(person.joints2d_px, PERSON)


@pytest.mark.parametrize("more,why", [({"is_crowd": 1}, "in a crowd"), ({"score": 0.1}, "below 0.5")])
def test_crowds_by_another_name_are_left_out(more, why, people_of):
    with pytest.warns(UserWarning, match=why):
        assert len(people_of([result(), result(moved(60)) | more])) == 1


def test_a_score_that_is_no_number_leaves_nobody_out(people_of):
    assert len(people_of([result(score=float("nan"))])) == 1


@pytest.mark.parametrize("more", [{"bbox": [1, 2, 30, 40]}, {"segments_info": []}])
def test_coco_without_any_keypoints_is_refused(more, people_of):
    content = coco() | {"annotations": [{"image_id": 1, "category_id": 1, **more}]}
    with pytest.raises(InputError, match=r"holds an object with images, .* no keypoints in a known layout"):
        people_of(content)


def test_people_without_keypoints_are_told_by_what_they_have(people_of):
    with pytest.raises(InputError, match="without keypoints, who has only body_id, joint_positions"):
        people_of({"bodies": [{"body_id": 1, "joint_positions": [[1, 2, 3]]}]})


@pytest.mark.parametrize(
    "named,photo",
    [
        ("https://a.org/x/photo.jpg?size=2#top", "photo.jpg"),
        ("s3://bucket/my%20photo.jpg", "my photo.jpg"),
        ("my%20photo.jpg", "my%20photo.jpg"),
        ("D:photo.jpg", "photo.jpg"),
    ],
)
def test_addresses_mean_the_photo(named, photo, people_of):
    assert len(people_of([result(photo=named)], photo)) == 1


def test_a_link_may_go_by_the_name_of_its_photo(tmp_path):
    (tmp_path / "photo.png").touch()
    (tmp_path / "link.png").symlink_to("photo.png")
    file = read(write(tmp_path / "k.json", [result(), result(moved(30), photo="other.png")]))
    assert file.of(tmp_path / "link.png").points_px[0, 0, 0] == 100


def test_a_folder_of_own_results_is_read_back(tmp_path):
    for x, name in ((0, "a.png"), (30, "b.png")):
        (tmp_path / name).mkdir()
        people = [{"score": 0.9, "joints2d_px": dict(zip(COCO17.joints, moved(x).tolist()))}]
        write(tmp_path / name / "result.json", {"image": name, "people": people})
    assert read(tmp_path).of("b.png").points_px[0, 0, 0] == 130


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

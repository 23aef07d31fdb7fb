"""Which photo a file's people are of: by names, numbers, folders."""

import numpy as np
import pytest
from pose2d.detections import (
    BODY18,
    NAMED,
    PERSON,
    flat,
    moved,
    reordered,
    result,
)
from pose2d.reading import IMAGE, given_people_of, write  # noqa: F401

from mpt.errors import InputError
from mpt.pose2d.keypoints import OPENPOSE18, read
from mpt.skeletons import COCO17

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

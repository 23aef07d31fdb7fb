"""What was not seen of somebody is said to be guessed."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpt.cli import main
from mpt.guessed import PARTS, guessed_joints, guessed_parts, in_words
from mpt.scenes import demo_scenes
from mpt.skeletons import COCO17, COCO29, HAND21

SIZE = 640, 480


def points(**scores: float) -> np.ndarray:
    """(17, 3) joints in the middle of a photo, of score 0.9 where none is given."""
    rows = [[320, 240, scores.get(joint, 0.9)] for joint in COCO17.joints]
    return np.array(rows, float)


def beside(rows: np.ndarray, *joints: str, place: tuple[float, float] = (320, 500)) -> np.ndarray:
    rows = rows.copy()
    rows[COCO17.indices(*joints), :2] = place
    return rows


def test_what_is_seen_is_not_guessed():
    assert guessed_joints(points(), 0.9, COCO17, SIZE) == ()
    assert in_words("person 0", (), COCO17) is None


@pytest.mark.parametrize("place", [(-1, 240), (640, 240), (320, -1), (320, 480)])
def test_a_joint_beside_the_photo_is_guessed_however_sure_the_network_is(place):
    rows = beside(points(), "left_knee", place=place)
    assert guessed_joints(rows, 0.9, COCO17, SIZE) == ("left_knee",)
    corners = beside(points(), "left_knee", place=(0, 0)), beside(points(), "left_knee", place=(639, 479))
    assert all(guessed_joints(corner, 0.9, COCO17, SIZE) == () for corner in corners)


def test_joints_that_are_hardly_seen_are_guessed_and_of_who_is_doubtful_more_of_them():
    assert guessed_joints(points(nose=0.2), 0.9, COCO17, SIZE) == ("nose",)
    rows = points(nose=0.5)
    assert guessed_joints(rows, 0.9, COCO17, SIZE) == ()
    assert guessed_joints(rows, 0.4, COCO17, SIZE) == ("nose",)
    assert guessed_joints(rows, 0.3, COCO17, SIZE) == COCO17.joints, "too few are left to believe any"


def test_joints_that_the_network_does_not_draw_are_not_told_of():
    rows = np.concatenate([points(), np.zeros((12, 3))])
    assert guessed_joints(rows, 0.9, COCO29, SIZE) == ()


def test_parts_of_which_one_joint_is_seen_are_not_guessed():
    assert guessed_parts(("left_knee", "left_ankle", "right_knee", "nose"), COCO17) == ["left leg"]
    assert guessed_parts(COCO17.joints, COCO17) == list(PARTS)
    assert guessed_parts(HAND21.joints, HAND21) == []
    assert {joint for joints in PARTS.values() for joint in joints} == set(COCO17.joints)


def test_the_sentences():
    def said(*parts: str) -> str | None:
        return in_words("person 1", [joint for part in parts for joint in PARTS[part]], COCO17)

    assert said(*PARTS) == "person 1 is guessed: hardly anything of them is seen"
    upper = said("head", "trunk", "left arm", "right arm")
    assert upper == "of person 1 only the legs are seen: all else is guessed"
    assert said("left leg", "right leg") == "of person 1 the legs are not seen, but guessed"
    assert said("head", "left arm") == "of person 1 the head and left arm are not seen, but guessed"
    assert said("right arm") == "of person 1 the right arm is not seen, but guessed"


@pytest.fixture(scope="module")
def waving() -> np.ndarray:
    return next(iter(demo_scenes())).image


def test_the_command_says_it_of_photos_of_parts_of_a_person(waving, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    hips = 659  # rows from the photo's upper edge
    Image.fromarray(waving).save("whole.png")
    Image.fromarray(waving[:hips]).save("above.png")
    Image.fromarray(waving[hips - 150 :]).save("legs.png")
    names = ["whole.png", "above.png", "legs.png"]
    assert main(["reconstruct", *names, "--no-overlay"]) == 0
    told = capsys.readouterr().err
    assert "note: above.png: of person 0 the legs are not seen, but guessed\n" in told
    assert "note: legs.png: person 0 is guessed: hardly anything of them is seen\n" in told
    assert "whole.png" not in told
    guessed = [
        json.loads(Path("mpt-out", Path(name).stem, "result.json").read_bytes())["people"][0][
            "guessed_joints"
        ]
        for name in names
    ]
    assert guessed[0] == [] and set(guessed[2]) == set(COCO17.joints)
    assert {"left_ankle", "right_ankle"} <= set(guessed[1]) and "nose" not in guessed[1]


def test_joints_of_a_file_that_are_missing_are_guessed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", SIZE, "grey").save("photo.png")
    rows = np.zeros((17, 3))
    rows[COCO17.indices("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle")] = [
        [340, 40, 2], [300, 40, 2], [345, 220, 2], [295, 220, 2], [350, 420, 2], [290, 420, 2],
    ]  # fmt: skip
    entry = {"image_id": 0, "keypoints": rows.ravel().tolist()}
    told = {"images": [{"id": 0, "file_name": "photo.png"}], "annotations": [entry]}
    Path("joints.json").write_text(json.dumps(told))
    assert main(["reconstruct", "photo.png", "--keypoints", "joints.json", "--no-overlay"]) == 0
    said = "note: photo.png: of person 0 the head and arms are not seen, but guessed\n"
    assert said in capsys.readouterr().err

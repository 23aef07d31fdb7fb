"""Feet and knuckles are read from the layouts that have them, and are missing where a layout has none."""

import json

import numpy as np
import pytest
from mutants import survive
from pose2d.detections import PERSON, SIZE, dicts, flat, result

from mpt.pose2d.keypoints import OPENPOSE18, ORDERS, read
from mpt.pose2d.keypoints.orders import OPENPOSE25
from mpt.skeletons import BLAZEPOSE33, COCO17, COCO29, HAND21

IMAGE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
ENDS = np.column_stack([np.linspace(62, 138, 12), 280 - 11 * np.arange(12) % 97, np.linspace(0.4, 0.95, 12)])
WHOLE = np.concatenate([PERSON, ENDS])  # (29, 3)
AT = dict(zip(COCO29.joints, WHOLE))
FEET = [joint for joint in COCO29.joints if joint.endswith(("toe", "heel"))]
HANDS = [joint for joint in COCO29.joints if joint.endswith("knuckle")]
BLAZE = [joint for joint in (*FEET, *HANDS) if not joint.endswith("small_toe")]
FINGERS = {"thumb2": "thumb_knuckle", "index1": "index_knuckle", "pinky1": "pinky_knuckle"}
ELSEWHERE = np.array([9.5, 9.5, 0.5])


def points(names) -> np.ndarray:
    """The person's joints by name, elsewhere what it has not."""
    return np.array([AT.get(name, ELSEWHERE) for name in names])


def hand(side: str) -> np.ndarray:
    return points(f"{side}_{FINGERS.get(joint, joint)}" for joint in HAND21.joints)


TOES_BY_SIDE = [f"{side}_{joint}" for side in ("left", "right") for joint in ("big_toe", "small_toe", "heel")]
TOES_BY_KIND = [f"{side}_{joint}" for joint in ("big_toe", "small_toe", "heel") for side in ("left", "right")]
FACE = np.tile(ELSEWHERE, (68, 1))
COCO23 = points([*COCO17.joints, *TOES_BY_SIDE])
HALPE26 = points([*COCO17.joints, "head", "neck", "hip", *TOES_BY_KIND])
WHOLE133 = np.concatenate([COCO23, FACE, hand("left"), hand("right")])
HALPE136 = np.concatenate([HALPE26, FACE, hand("left"), hand("right")])
ITS_NAMES = {"foot_index": "big_toe", **{name: f"{name}_knuckle" for name in ("thumb", "index", "pinky")}}


def blaze_name(name: str) -> str:
    side, _, part = name.partition("_")
    return f"{side}_{ITS_NAMES[part]}" if part in ITS_NAMES else name


BLAZE33 = points(map(blaze_name, BLAZEPOSE33.joints))
OPENPOSE_HANDS = {f"hand_{side}_keypoints_2d": flat(hand(side)) for side in ("left", "right")}
WHOLEBODY_NAMES = {
    k: name
    for k, name in enumerate(
        [*COCO17.joints, *TOES_BY_SIDE, "left_thumb2", "left_forefinger1", "left_pinky_finger1"]
    )
}
SHORT = {"LBigToe": "left_big_toe", "r_small_toe": "right_small_toe", "RHeel": "right_heel"}

LAYOUTS = {
    "OpenPose BODY_25": ({"people": [{"pose_keypoints_2d": flat(points(OPENPOSE25))}]}, FEET),
    "... with hands": (
        {"people": [{"pose_keypoints_2d": flat(points(OPENPOSE25))} | OPENPOSE_HANDS]},
        FEET + HANDS,
    ),
    "OpenPose COCO with hands": (
        {"people": [{"pose_keypoints_2d": flat(points(OPENPOSE18))} | OPENPOSE_HANDS]},
        HANDS,
    ),
    "OpenPose with no hand found": (
        {"people": [{"pose_keypoints_2d": flat(points(OPENPOSE25)), "hand_left_keypoints_2d": []}]},
        FEET,
    ),
    "OpenPose with half a hand": (
        {"people": [{"pose_keypoints_2d": flat(points(OPENPOSE25)), "hand_left_keypoints_2d": [1, 2, 0.5]}]},
        FEET,
    ),
    "COCO": ([result()], []),
    "COCO with feet": ([result(COCO23)], FEET),
    "Halpe 26": ([result(HALPE26)], FEET),
    "Halpe 136": ([result(HALPE136)], FEET + HANDS),
    "COCO-WholeBody": ([result(WHOLE133)], FEET + HANDS),
    "COCO-WholeBody's parts": (
        [
            result(
                foot_kpts=flat(points(TOES_BY_SIDE)),
                lefthand_kpts=flat(hand("left")),
                righthand_kpts=flat(hand("right")),
            )
        ],
        FEET + HANDS,
    ),
    "MMPose with names": (
        {
            "meta_info": {"keypoint_id2name": {str(k): name for k, name in WHOLEBODY_NAMES.items()}},
            "instance_info": [
                {"keypoints": named[:, :2].tolist(), "keypoint_scores": named[:, 2].tolist()}
                for named in [np.concatenate([COCO23, hand("left")[[2, 5, 17]]])]
            ],
        },
        FEET + [joint for joint in HANDS if "left" in joint],
    ),
    "MediaPipe": ({"pose_landmarks": dicts(BLAZE33, "visibility")}, BLAZE),
    "tf.js BlazePose": ([{"keypoints": dicts(BLAZE33, "score", BLAZEPOSE33.joints)}], BLAZE),
    "by name": ({**{joint: AT[joint].tolist() for joint in COCO17.joints},
                 **{name: AT[joint].tolist() for name, joint in SHORT.items()}}, list(SHORT.values())),
    "points": (WHOLE.tolist(), FEET + HANDS),
    "mpt's result.json": (
        {"image": "photo.png", "people": [{"joints2d_px": {joint: AT[joint].tolist() for joint in AT}}]},
        FEET + HANDS,
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_feet_and_hands_are_read_of_every_layout_that_has_them(layout, tmp_path):
    content, there = LAYOUTS[layout]
    path = tmp_path / "photo.json"
    path.write_text(json.dumps(content))
    [person] = read(path, COCO29).of("photo.png")(IMAGE)
    known = [joint in there or joint in COCO17.joints for joint in COCO29.joints]
    np.testing.assert_allclose(person.joints2d_px, np.where(np.array(known)[:, None], WHOLE, 0))
    assert person.skeleton == COCO29 and (person.heatmaps.max((1, 2)) > 0).tolist() == known

    [of_17] = read(path).of("photo.png")(IMAGE)  # what a model of COCO's 17 reads of the same file
    np.testing.assert_array_equal(of_17.joints2d_px, person.joints2d_px[:17])
    assert (of_17.crop, of_17.bbox_xywh) == (person.crop, person.bbox_xywh)  # feet and hands frame nobody
    np.testing.assert_array_equal(of_17.heatmaps, person.heatmaps[:17])


def test_a_person_placed_by_hand_has_visibilities_for_scores(tmp_path):
    entry = {"id": 1, "image_id": 7, "category_id": 1, "keypoints": flat(PERSON * [1, 1, 0] + [0, 0, 2])}
    feet = points(TOES_BY_SIDE) * [1, 1, 0] + [0, 0, 1]
    content = {
        "images": [{"id": 7, "file_name": "photo.png"}],
        "annotations": [entry | {"foot_kpts": flat(feet)}],
        "categories": [{"id": 1, "name": "person"}],
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    [person] = read(path, COCO29).of("photo.png")(IMAGE)
    assert person.joints2d_px[:, 2].tolist() == [1] * 23 + [0] * 6


def test_every_order_names_each_of_its_points():
    for count, order in ORDERS.items():
        assert len(order.joints) == count == order.count
        if order.hands:
            for side, start in zip(("left", "right"), order.hands):
                assert order.joints[start : start + 21] == tuple(f"{side}_{joint}" for joint in HAND21.joints)


def test_somebody_is_found_twice_by_the_body_whatever_the_feet(tmp_path):
    other = WHOLE.copy()
    other[17:, :2] += 60
    path = tmp_path / "photo.json"
    path.write_text(json.dumps([result(WHOLE), result(other, score=0.8)]))
    with pytest.warns(UserWarning, match="1 person found twice is left out"):
        assert len(read(path, COCO29).of("photo.png")(IMAGE)) == 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", ["... with hands", "COCO-WholeBody's parts"])
def test_accidents_in_feet_and_hands_are_refused_in_a_sentence(layout, tmp_path):
    def read_and_draw(path):
        read(path, COCO29).of("photo.png", heatmap_size=8, alone=True)(IMAGE)

    source = json.dumps(LAYOUTS[layout][0]).encode()
    assert survive(read_and_draw, tmp_path / "photo.json", source, 400) > 0

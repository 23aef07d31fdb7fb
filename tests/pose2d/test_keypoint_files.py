"""Every detector's file gives the same person, by its layout, joints, scores and scale; nobody twice."""

import numpy as np
import pytest
from pose2d.detections import (
    BLAZE,
    BODY18,
    LAYOUTS,
    NAMED,
    PERSON,
    SIZE,
    coco,
    columns,
    dicts,
    flat,
    moved,
    padded,
    result,
)
from pose2d.reading import given_people_of, write  # noqa: F401

from mpt.errors import InputError
from mpt.pose2d.keypoints import ORDERS, read
from mpt.skeletons import COCO17, HAND21

UNIT = [*SIZE, 1]


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


# ------------------------------------------------------------- what looks like pixels of people, and is not


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

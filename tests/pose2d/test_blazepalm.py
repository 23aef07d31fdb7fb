"""BlazePalm finds hands of either side however they are turned, and its maps say where their joints are."""

import json

import numpy as np
import pytest
import torch

from mpt import assets, bodies
from mpt.crops import Crop, apply
from mpt.errors import InputError
from mpt.heatmaps import decode
from mpt.images import read_image
from mpt.pose2d import blazepalm
from mpt.pose2d.base import Person2D
from mpt.pose2d.blaze import direction
from mpt.pose2d.blazepalm import BlazePalm
from mpt.scenes import Actor, Outfit, Shot, photograph
from mpt.scenes.backdrops import PLACES
from mpt.scenes.photograph import pose_actor
from mpt.scenes.poses import POSES, rotations
from mpt.skeletons import COCO17, HAND21

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
SKIN = Outfit(
    skin=(0.72, 0.52, 0.42), hair=(0.2, 0.1, 0.1), shirt=(0.2, 0.3, 0.6), trousers=(0.2, 0.2, 0.3),
    shoes=(0.3, 0.3, 0.3), sleeve=0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def network() -> BlazePalm:
    try:
        assets.get("blazepose")
        assets.get("blazepalm")
    except InputError as offline:
        pytest.skip(str(offline))
    return BlazePalm()


@pytest.fixture(scope="module")
def near(network) -> BlazePalm:
    return BlazePalm(search="foreground")


@pytest.fixture(scope="module")
def waving() -> tuple[np.ndarray, np.ndarray]:
    """A picture of a raised left hand, made by rendering, and its bones' heads (21, 2), NaN for tips."""
    body = bodies.load()
    local = rotations(body, POSES["waving"])
    actor = Actor(local, torch.zeros(body.shape_count), SKIN)
    posed = pose_actor(body, actor)
    bare = body(local[None], actor.shape[None])
    heads = bare.heads[0].numpy() + posed.vertices[0] - bare.vertices[0, 0].numpy()
    names = ["wrist.L", *(f"finger{f}-{k}.L" for f in range(1, 6) for k in (1, 2, 3, 4))]
    world = np.stack([heads[body.bones.index(n)] if n in body.bones else np.full(3, np.nan) for n in names])
    x, y, z = np.nanmean(world, 0)
    shot = Shot((320, 320), 500, float(y), float(z) + 0.8, float(x) - 0.05)
    rng = np.random.default_rng(0)
    image = photograph(body, [actor], PLACES["studio"](rng), shot, rng).image
    return image, shot.view.project(shot.to_camera(world))


@pytest.fixture(scope="module")
def hand(near, waving) -> Person2D:
    [hand] = near(waving[0])
    return hand


def test_the_detector_has_an_anchor_for_each_output(network):
    raw, logits = network._detector._network(np.zeros((192, 192, 3), np.float32))
    assert len(network._detector._anchors) == len(raw) == len(logits) == 24 * 24 * 2 + 12 * 12 * 6
    np.testing.assert_allclose(
        network._detector._anchors[[0, 2, -1]], [[0.5 / 24] * 2, [1.5 / 24, 0.5 / 24], [11.5 / 12] * 2]
    )


def test_a_region_is_turned_and_moved_as_the_hand_points():
    for angle in (0, 0.4, np.pi / 2, 3, -2):
        up = np.array([np.sin(angle), -np.cos(angle)])
        wrist = np.array([50.0, 60.0])
        assert direction(wrist, wrist + 30 * up) == pytest.approx(angle)
        region = blazepalm._region(wrist, np.array([20.0, 30.0]), angle, shift=0.5, factor=2.6)
        assert region.side_px == pytest.approx(78) and region.rotation == angle
        np.testing.assert_allclose(region.center_px, wrist + 15 * up)


def test_the_next_region_turns_with_the_landmarks(hand):
    points = hand.joints2d_px[:, :2]
    region = blazepalm._Look(1.0, 0.0, points, hand.world_landmarks).next_roi
    for angle in (0.3, -2.0, np.pi / 2):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turned = blazepalm._Look(1.0, 0.0, points @ turn.T, hand.world_landmarks).next_roi
        np.testing.assert_allclose(turned.center_px, turn @ region.center_px)
        assert turned.side_px == pytest.approx(region.side_px)
        assert (turned.rotation - region.rotation - angle + np.pi) % (2 * np.pi) == pytest.approx(np.pi)


def test_an_empty_picture_has_no_hands(network):
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    for image in (np.full_like(noise, 200), noise):
        assert network(image) == []


def test_a_rendered_left_hand_is_found_where_its_bones_are(hand, waving):
    assert hand.mirrored and hand.score > 0.8
    error = np.linalg.norm(hand.joints2d_px[:, :2] - waving[1], axis=1)
    assert np.nanmean(error) < 0.08 * hand.crop.side_px and np.nanmax(error) < 0.2 * hand.crop.side_px


def test_the_mirrored_picture_shows_the_mirrored_hand(near, hand, waving):
    [right] = near(np.ascontiguousarray(waving[0][:, ::-1]))
    assert not right.mirrored
    expected = hand.joints2d_px[:, :2] * [-1, 1] + [319, 0]
    error = np.linalg.norm(right.joints2d_px[:, :2] - expected, axis=1)
    assert error.mean() < 0.04 * hand.crop.side_px
    apart = np.linalg.norm(right.world_landmarks - hand.world_landmarks * [-1, 1, 1], axis=1)
    assert apart.mean() < 0.02
    same = np.abs(right.heatmaps - hand.heatmaps).mean()  # both show a right hand
    assert same < 0.3 * np.abs(right.heatmaps - hand.heatmaps[..., ::-1]).mean()


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_the_turned_picture_shows_the_turned_hand(near, hand, waving, turns):
    [turned] = near(np.ascontiguousarray(np.rot90(waving[0], turns)))
    x, y = hand.joints2d_px[:, :2].T
    expected = {1: (y, 319 - x), 2: (319 - x, 319 - y), 3: (319 - y, x)}[turns]
    error = np.linalg.norm(turned.joints2d_px[:, :2] - np.stack(expected, 1), axis=1)
    assert error.mean() < 0.05 * hand.crop.side_px and turned.mirrored
    x, y, z = hand.world_landmarks.T
    world = np.stack([*{1: (y, -x), 2: (-x, -y), 3: (-y, x)}[turns], z], 1)
    assert np.linalg.norm(turned.world_landmarks - world, axis=1).mean() < 0.02


def test_a_larger_picture_gives_the_same_hand(near, hand, waving):
    [large] = near(np.repeat(np.repeat(waving[0], 4, 0), 4, 1))
    scaled = (hand.joints2d_px[:, :2] + 0.5) * 4 - 0.5
    assert np.linalg.norm(large.joints2d_px[:, :2] - scaled, axis=1).mean() < 0.02 * large.crop.side_px


def test_maps_peak_at_the_joints_in_the_mirrored_crop(near, waving, hand):
    [right] = near(np.ascontiguousarray(waving[0][:, ::-1]))
    for person in (hand, right):
        assert person.heatmaps.shape == (21, 224, 224) and person.heatmaps.dtype == np.float32
        assert person.crop == Crop.around(person.joints2d_px, 1.25)
        expected = apply(person.crop.crop_from_image(224), person.joints2d_px[:, :2])
        if person.mirrored:
            expected[:, 0] = 223 - expected[:, 0]
        found = decode(torch.from_numpy(person.heatmaps)[None])[0].numpy()
        assert np.abs(found[:, :2] - expected).max() < 0.5
        np.testing.assert_allclose(found[:, 2], person.joints2d_px[:, 2], atol=0.02)


def test_a_low_blob_is_a_wide_one_and_the_more_a_joint_moved_the_lower(hand):
    points, world = hand.joints2d_px[:, :2], hand.world_landmarks
    moved = np.arange(21) * 0.003 * hand.crop.side_px
    look = blazepalm._Look(1.0, 5.0, points, world)
    person = blazepalm._Hand(look, moved, right=True).person(224)
    peaks = person.joints2d_px[:, 2]
    assert (np.diff(peaks) <= 0).all() and peaks[0] > 1.5 * peaks[-1]
    inside = np.abs(apply(person.crop.ndc_from_image, points)).max(1) < 0.75
    variance = person.heatmaps.sum((1, 2)) / (2 * np.pi * peaks)
    np.testing.assert_allclose((variance * peaks)[inside], 40, rtol=0.1)
    assert inside.sum() > 5


def test_smaller_maps_show_the_same(hand, waving):
    [small] = BlazePalm(search="foreground", heatmap_size=112)(waving[0])
    pooled = hand.heatmaps.reshape(21, 112, 2, 112, 2).mean((2, 4))
    np.testing.assert_allclose(small.heatmaps, pooled, atol=0.03)


def test_landmarks_in_metres_are_about_the_wrist_and_of_a_hands_size(hand):
    assert hand.world_landmarks.shape == (21, 3)
    np.testing.assert_array_equal(hand.world_landmarks[0], 0)
    length = np.linalg.norm(hand.world_landmarks[HAND21.index("middle4")])
    assert 0.1 < length < 0.25


def test_a_hand_too_small_for_the_whole_picture_is_found_in_a_part_of_it(network, near, hand, waving):
    picture = np.full((2400, 3000, 3), waving[0][:10].mean((0, 1)), np.uint8)
    corner = np.array([1000, 1400])
    picture[1400:1720, 1000:1320] = waving[0]
    assert near(picture) == []
    [found] = network(picture)
    error = np.linalg.norm(found.joints2d_px[:, :2] - corner - hand.joints2d_px[:, :2], axis=1)
    assert error.mean() < 0.05 * hand.crop.side_px and found.mirrored


def _look(right_logit: float, at: float = 0.0) -> blazepalm._Look:
    points = np.random.default_rng(0).uniform(0, 20, (21, 2)) + at
    return blazepalm._Look(0.9, right_logit, points, np.zeros((21, 3)))


def _somebody(**joints: tuple[float, float]) -> Person2D:
    """A person of whom these joints are seen."""
    points = np.zeros((17, 3))
    for name, place in joints.items():
        points[COCO17.index(name)] = (*place, 0.9)
    return Person2D((0, 0, 100, 100), 0.9, points, Crop((50, 50), 125), np.zeros((17, 8, 8), np.float32))


@pytest.mark.parametrize(
    "left,right,exchanged",
    [(-3, 3, False), (1, -1, False), (5, 4, False), (2, -2, True), (-1, -5, True)],
)
def test_hands_are_of_the_arms_side_unless_both_together_contradict(monkeypatch, left, right, exchanged):
    logits = {10.0: left, 300.0: right}  # by where the wrist is

    def hand_of(self, image, arm, known):
        look = _look(logits[arm.wrist[0]], arm.wrist[0])
        return blazepalm._Hand(look, np.zeros(21), look.right_logit > 0)

    monkeypatch.setattr(BlazePalm, "_hand_of", hand_of)
    person = _somebody(left_wrist=(10.0, 10.0), right_wrist=(300.0, 10.0))
    of_left, of_right = sorted(BlazePalm()._hands_of(None, person, []), key=lambda hand: hand.joints_px[0, 0])
    assert (of_left.right, of_right.right) == (exchanged, not exchanged)


def test_two_arms_that_end_in_one_hand_have_one(monkeypatch):
    monkeypatch.setattr(
        BlazePalm, "_hand_of", lambda *_: blazepalm._Hand(_look(0.5), np.zeros(21), right=True)
    )
    person = _somebody(left_wrist=(10.0, 10.0), right_wrist=(12.0, 10.0))
    person.joints2d_px[COCO17.index("right_wrist"), 2] = 0.3
    [hand] = BlazePalm()._hands_of(None, person, [])
    assert not hand.right


def test_what_lies_at_an_ankle_is_a_foot_but_not_where_a_wrist_is_nearer():
    hand = blazepalm._Hand(_look(0.0), np.zeros(21), right=True)
    assert hand.is_foot_of(_somebody(left_ankle=(12.0, 8.0), right_wrist=(40.0, 8.0)))
    assert not hand.is_foot_of(_somebody(left_ankle=(12.0, 3.0), right_wrist=(10.0, 9.0)))
    assert not hand.is_foot_of(_somebody(left_ankle=(120.0, 8.0)))
    assert not hand.is_foot_of(_somebody(left_wrist=(12.0, 8.0)))


def test_photos_of_a_right_hand_are_found_as_such(near, shared_data):
    folder = shared_data / "formats" / "freihand"
    content = json.loads((folder / "test_freihand.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    for annotation in content["annotations"]:
        [hand] = near(read_image(folder / names[annotation["image_id"]]))
        true = np.array(annotation["keypoints"]).reshape(21, 3)[:, :2]
        error = np.linalg.norm(hand.joints2d_px[:, :2] - true, axis=1)
        assert not hand.mirrored and error.mean() < 0.15 * hand.crop.side_px


def test_peoples_hands_are_at_their_wrists_left_and_right(network, shared_data):
    folder = shared_data / "images" / "mpii"
    people = {p["image"]: np.array(p["joints"]) for p in json.loads((folder / "test_mpii.json").read_text())}
    for name, count in {"004645041.jpg": 2, "060754485.jpg": 2, "051423444.jpg": 1}.items():
        right_wrist, left_wrist = people[name][[10, 15]]
        hands = network(read_image(folder / name))
        assert len(hands) == count
        for hand in hands:
            distance = np.linalg.norm(
                hand.joints2d_px[0, :2] - (left_wrist if hand.mirrored else right_wrist)
            )
            assert distance < 25


def test_bare_feet_are_no_hands(network, shared_data):
    for name in ("cam02_f005", "cam02_f045"):
        hands = network(read_image(shared_data / "images" / "pose2sim" / f"{name}.jpg"))
        in_front = [
            hand for hand in hands if hand.joints2d_px[0, 0] < 750
        ]  # farther right somebody else stands
        assert sorted(hand.mirrored for hand in in_front) == [False, True]
        assert all(hand.joints2d_px[0, 1] < 1000 for hand in hands)  # the person stands on a row below

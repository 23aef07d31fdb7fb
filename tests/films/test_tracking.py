"""Who is who through crossings, absences and changes of clothes."""

import warnings

import numpy as np
import pytest
from walkers import FOCAL, SIZE, Walkers, across

from mpt import assets, bodies
from mpt.errors import InputError
from mpt.films.frames import Frame
from mpt.films.tracking import Tracker, clothes
from mpt.pose2d.blazepose import BlazePose
from mpt.render import Figure, Perspective, render_mesh
from mpt.scenes import demo_scenes
from mpt.skeletons import COCO17

FPS = 10.0


def frame(number: int) -> Frame:
    return Frame(number, number / FPS, np.full((SIZE[1], SIZE[0], 3), 20 + 4 * number, np.uint8))


def ways(*people, count: int = 40) -> dict[int, list[tuple[int, float]]]:
    """Of each who was told apart: frames, and where across the picture they were."""
    tracker, found = Tracker(Walkers(*people), FPS, 56), {}
    for number in range(count):
        for seen in tracker(frame(number)):
            found.setdefault(seen.id, []).append((seen.frame, seen.person.joints2d_px[:, 0].mean()))
    return found


def follows(way: list[tuple[int, float]], place) -> bool:
    """Each place is where this walker was."""
    (fx, middle) = FOCAL, (SIZE[0] - 1) / 2
    return all(abs(fx * place(k)[0] / place(k)[2] + middle - x) < 3 for k, x in way)


def test_two_who_cross_behind_each_other_keep_their_ids():
    people = across(-0.9, 0.045, 4.0), across(0.9, -0.045, 4.5)
    found = ways(*people)
    assert sorted(found) == [0, 1]
    assert sorted([follows(found[0], p) for p in people]) == [False, True]
    assert sorted([follows(found[1], p) for p in people]) == [False, True]


def test_somebody_who_is_hidden_for_a_second_is_the_same_afterwards():
    found = ways(across(-0.9, 0.045, 4.0), across(0.9, -0.045, 4.5, away=range(16, 26)))
    assert sorted(found) == [0, 1]
    assert sorted(map(len, found.values())) == [30, 40]


def test_somebody_who_comes_back_after_seconds_is_the_same_and_after_an_hour_somebody_new():
    assert len(ways(across(0.0, 0.0, 4.0, away=range(5, 38)), count=45)) == 1
    tracker = Tracker(Walkers(across(0.0, 0.0, 4.0)), FPS, 56)
    assert [seen.id for seen in tracker(frame(0))] == [0]
    late = frame(1)._replace(time_s=3600.0)
    assert [seen.id for seen in tracker(late)] == [1]


def test_a_broken_frame_shows_nobody_and_costs_nobody_their_id():
    tracker = Tracker(Walkers(across(0.0, 0.01, 4.0)), FPS, 56)
    ids = [[seen.id for seen in tracker(frame(k) if k != 2 else Frame(2, 0.2, None))] for k in range(5)]
    assert ids == [[0], [0], [], [0], [0]]


def test_clothes_are_the_colours_along_the_limbs():
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[20:50], picture[50:70], picture[70:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    points = np.zeros((17, 3))
    for joint, y in (("shoulder", 20), ("hip", 50), ("knee", 70), ("ankle", 95)):
        for side, x in (("left", 60), ("right", 40)):
            points[COCO17.joints.index(f"{side}_{joint}")] = x, y, 1
    trunk, thighs, shins = clothes(picture, points)
    assert trunk[1] > 70 and thighs[1] < -70 and shins[2] < -90  # CIE Lab: red, green, blue
    points[COCO17.indices("left_ankle", "right_ankle"), 2] = 0
    assert np.isnan(clothes(picture, points)[2]).all()


@pytest.fixture(scope="module")
def crossing() -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Two people of made-up photographs, cut out and moved past each other: frames (H, W, 3), and the true
    joints (17, 2) of both in each.
    """
    try:
        assets.get("blazepose")
    except InputError as offline:
        pytest.skip(str(offline))
    scene = list(demo_scenes())[2]
    faces = bodies.load().faces.numpy()
    height, width = scene.image.shape[:2]
    f = scene.K[0, 0]
    view = Perspective(f, (scene.K[0, 2], scene.K[1, 2]))
    cuts = []
    for person in (scene.people[0], scene.people[2]):
        layer = render_mesh([Figure(person.vertices, faces)], view, (width, height))
        mask = np.zeros((height, width), np.float32)
        h, w = layer.coverage.shape
        mask[layer.top : layer.top + h, layer.left : layer.left + w] = layer.coverage
        cuts.append((mask > 0.5, person.joints2d_px[:17]))
    pictures, truth = [], []
    for number in range(24):
        picture = np.full((height, width, 3), 150, np.uint8)
        now = []
        for (mask, joints), shift in zip(cuts, (40 * number, -40 * number)):
            y, x = np.nonzero(mask)
            inside = (x + shift >= 0) & (x + shift < width)
            picture[y[inside], x[inside] + shift] = scene.image[y[inside], x[inside]]
            now.append(joints + np.array([shift, 0]))
        pictures.append(picture[::2, ::2])
        truth.append([(joints + 0.5) / 2 - 0.5 for joints in now])
    return pictures, truth


def test_blazepose_follows_two_through_a_crossing(crossing):
    pictures, truth = crossing
    tracker, who = Tracker(BlazePose(heatmap_size=56), 24.0, 56), {}
    searches = []
    find = tracker.pose2d.find
    tracker.pose2d.find = lambda *a, **k: searches.append(1) or find(*a, **k)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number, picture in enumerate(pictures):
            for seen in tracker(Frame(number, number / 24, np.ascontiguousarray(picture))):
                off = [
                    np.median(np.linalg.norm(seen.person.joints2d_px[:17, :2] - t, axis=1))
                    for t in truth[seen.frame]
                ]
                if min(off) < 40:
                    who.setdefault(int(np.argmin(off)), {})[seen.frame] = seen.id
    assert len(searches) < 16  # and not in each frame
    for ids in who.values():
        assert len(set(ids.values())) == 1
    assert len(who[0]) >= 22 and set(who[0].values()) != set(who[1].values())

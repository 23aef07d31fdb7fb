"""Made-up films: their truth lies on the people in them; and the scores of results that are known."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

pytest.importorskip("av", reason="films are read by PyAV")

from rigs import role_index, t_posed

from mpt import bodies
from mpt.errors import InputError
from mpt.scenes import Shot, random_outfit
from mpt.scenes.backdrops import PLACES
from mpt.scenes.photograph import empty, picture
from mpt.skeletons import COCO17, COCO29

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import films
import make_films

FRAMES = 12
HIPS = COCO17.indices("left_hip", "right_hip")


@pytest.fixture(scope="module")
def body():
    return bodies.load()


@pytest.fixture(scope="module")
def mocap(tmp_path_factory):
    """A folder of one file: somebody stands, and waves an arm."""
    rotvec = np.zeros((FRAMES, len(role_index()), 3))
    rotvec[:, role_index()["left_shoulder"], 2] = np.linspace(-1, 1, FRAMES)
    motion = t_posed(rotvec, trans=np.tile([5.0, 1.0, -3.0], (FRAMES, 1)))
    folder = tmp_path_factory.mktemp("mocap")
    fields = ("joints", "parents", "offsets", "rotvec", "trans")
    given = {"names" if name == "joints" else name: np.array(getattr(motion, name)) for name in fields}
    np.savez(folder / "waving.npz", fps=30.0, **given)
    return folder


def film(move="hand", distance_m=None) -> make_films.Film:
    part = make_films.Part("waving.npz", slice(0, 4))
    return make_films.Film((part,), "room", 600, move=move, distance_m=distance_m)


@pytest.fixture(scope="module")
def made(body, mocap):
    content, truth = make_films.make(film(), mocap, body, np.random.default_rng(0))
    return content, truth


# ------------------------------------------------------------------------------------------- the maker


def test_a_film_has_as_many_frames_as_its_truth_and_is_h264(made):
    import av

    content, truth = made
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", *make_films.SIZE_WH)
        assert stream.average_rate == truth["fps"] == 30
        assert sum(1 for _ in container.decode(video=0)) == truth["joints3d_m"].shape[1] == 4


def test_joints_in_the_picture_are_the_joints_before_the_camera_projected(made):
    truth = made[1]
    pixels = truth["joints3d_m"] @ truth["K"].T
    np.testing.assert_allclose(pixels[..., :2] / pixels[..., 2:], truth["joints2d_px"], atol=1e-2)
    assert truth["seen"].all()


def test_pose_shape_and_place_give_the_joints_before_the_camera(made, body):
    truth = made[1]
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(truth["rotvec"][0]))
    shape, moved = torch.from_numpy(truth["shape"]), torch.from_numpy(truth["translation_m"][0])
    world = body(rotations, shape, moved).joints.numpy()
    camera = np.einsum("fij,fkj->fki", truth["rotation"], world - truth["position_m"][:, None])
    np.testing.assert_allclose(camera, truth["joints3d_m"][0], atol=1e-5)
    assert truth["bones"].tolist() == list(body.bones)
    assert truth["names"].tolist() == list(COCO29.joints)


def test_who_stands_rests_on_both_feet(made):
    truth = made[1]
    assert truth["down"].all()
    ankles = films.ANKLES
    at = np.einsum("fji,fkj->fki", truth["rotation"], truth["joints3d_m"][0][:, ankles].astype(float))
    at += truth["position_m"][:, None]
    assert np.linalg.norm(np.diff(at, axis=0), axis=-1).max() < 0.0005


def test_the_truth_lies_on_whom_the_picture_shows(body, mocap):
    rng = np.random.default_rng(3)
    (motion,) = make_films.stage(film().parts, mocap, body, rng)
    everybody = [make_films.posed(motion)]
    shot = make_films.shots(film("pan", 3.5), everybody, rng)[2]
    place = PLACES["room"](np.random.default_rng(4))
    shown = picture(body, [random_outfit(rng)], [everybody[0][2]], place, replace(shot, grain=0), rng)
    nobody = empty(place, replace(shot, grain=0), rng)
    changed = np.abs(shown.astype(int) - nobody).max(-1) > 12
    pixels = shot.view.project(shot.to_camera(everybody[0][2].joints))[: len(COCO17)]
    x, y = np.rint(pixels).astype(int).T
    assert changed[y, x].mean() > 0.9
    assert not changed[:, : x.min() - 60].any()


def test_a_camera_that_turns_to_the_right_sees_people_farther_left():
    ahead, turned = Shot((640, 480), 600, 1.5, 4), Shot((640, 480), 600, 1.5, 4, yaw_deg=10)
    point = np.array([[0.0, 1.5, 0.0]])
    np.testing.assert_allclose(ahead.view.project(ahead.to_camera(point)), [[319.5, 239.5]], atol=1e-6)
    x = 319.5 - 600 * np.tan(np.radians(10))
    np.testing.assert_allclose(turned.view.project(turned.to_camera(point)), [[x, 239.5]], atol=1e-6)


def test_who_stands_behind_another_is_not_seen(body, mocap):
    rng = np.random.default_rng(0)
    parts = [make_films.Part("waving.npz", slice(0, 2), z_m=z) for z in (0.0, -1.0)]
    front, behind = (make_films.posed(make_films.stage((part,), mocap, body, rng)[0])[0] for part in parts)
    shot = Shot((640, 480), 600, 1.3, 4)
    seen = make_films.seen([front, behind], shot, body.faces.numpy())
    assert seen[0].all()
    trunk = COCO17.indices("left_hip", "right_hip", "left_shoulder", "right_shoulder")
    assert not seen[1, list(trunk)].any()
    assert make_films.seen([behind], shot, body.faces.numpy()).all()


# ------------------------------------------------------------------------------------------ the scores


def walking(frames: int = FRAMES, people: int = 2) -> dict[str, np.ndarray]:
    """The truth of people (COCO's 17 joints) who pass in front of each other; left ankles rest at first."""
    rng = np.random.default_rng(0)
    figure = rng.uniform(-0.4, 0.4, (people, 1, len(COCO17), 3)) * [1, 2, 1] + [0, 0, 5]
    side = np.linspace(-1, 1, frames)[:, None]
    at = np.zeros((people, frames, 1, 3))
    at[0, :, :, 0], at[1:, :, :, 0] = side, -side
    at[1:, ..., 2] = 1
    joints = figure + at
    down = np.zeros((people, frames, 2, 2), bool)
    down[:, : frames // 2, 0] = True
    left = COCO17.indices("left_ankle")[0]
    joints[:, : frames // 2, left] = joints[:, :1, left]
    K = np.array([[600.0, 0, 319.5], [0, 600, 239.5], [0, 0, 1]])
    pixels = joints @ K.T
    return {
        "names": np.array(COCO17.joints),
        "joints3d_m": joints,
        "joints2d_px": pixels[..., :2] / pixels[..., 2:],
        "seen": np.ones(joints.shape[:3], bool),
        "down": down,
        "rotation": np.tile(np.diag([1.0, -1, -1]), (frames, 1, 1)),
        "position_m": np.tile([0.0, 1.5, 4.0], (frames, 1)),
        "fps": np.float64(30),
    }


def results(truth: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """What a perfect reconstruction writes, of each person."""
    found = []
    for joints, pixels in zip(truth["joints3d_m"], truth["joints2d_px"]):
        root = joints[:, HIPS].mean(1)
        scores = np.ones((*pixels.shape[:2], 1))
        found.append(
            {
                "frames": np.arange(len(joints)),
                "joints": np.array(COCO17.joints),
                "joints3d_m": joints - root[:, None],
                "translation_m": root,
                "joints2d_px": np.concatenate([pixels, scores], -1),
            }
        )
    return found


def told(truth: dict, people: list[dict], folder: Path) -> dict:
    np.savez(folder / "truth.npz", **truth)
    (folder / "film").mkdir(exist_ok=True)
    for number, person in enumerate(people):
        np.savez(folder / "film" / f"person{number}.npz", **person)
    return films.score(films.Truth.read(folder / "truth.npz"), films.tracks(folder / "film")).told()


ERRORS = (
    "mpjpe_mm", "pa_mpjpe_mm", "jitter_mm_frame2", "jitter_placed_mm_frame2", "rest_mm_frame", "depth_mm"
)  # fmt: skip


def test_a_perfect_result_has_all_people_and_no_errors(tmp_path):
    truth = walking()
    score = told(truth, results(truth), tmp_path)
    assert (score["people"], score["found_percent"], score["extra"], score["swaps"]) == (
        2 * FRAMES,
        100,
        0,
        0,
    )
    assert max(score[name] for name in ERRORS) < 1e-6


def test_ids_that_are_exchanged_once_are_a_swap_of_each_person(tmp_path):
    truth = walking()
    one, other = results(truth)
    for name in set(one) - {"joints"}:
        if name != "frames":
            one[name][7:], other[name][7:] = other[name][7:].copy(), one[name][7:].copy()
    score = told(truth, [one, other], tmp_path)
    assert (score["swaps"], score["found_percent"]) == (2, 100)
    assert score["mpjpe_mm"] < 1e-6


def test_a_new_id_after_an_absence_is_a_swap_and_the_frames_between_are_missed(tmp_path):
    truth = walking(people=1)
    (one,) = results(truth)
    parts = [
        {k: v if k == "joints" else v[rows] for k, v in one.items()} for rows in (slice(0, 5), slice(8, 12))
    ]
    score = told(truth, parts, tmp_path)
    assert (score["swaps"], score["found_percent"]) == (1, 75)


def test_somebody_who_is_nobody_is_extra_and_no_error(tmp_path):
    truth = walking(people=1)
    (one,) = results(truth)
    ghost = one | {"joints2d_px": one["joints2d_px"] + [900, 0, 0], "joints3d_m": one["joints3d_m"] + 1}
    score = told(truth, [one, ghost], tmp_path)
    assert (score["extra"], score["found_percent"]) == (FRAMES, 100)
    assert score["mpjpe_mm"] < 1e-6


def test_who_is_out_of_the_picture_need_not_be_found(tmp_path):
    truth = walking(people=1)
    truth["seen"][:, 6:, : len(COCO17) - films.FEWEST_SEEN + 1] = False
    (one,) = results(truth)
    part = {name: value if name == "joints" else value[:6] for name, value in one.items()}
    score = told(truth, [part], tmp_path)
    assert (score["people"], score["found_percent"]) == (6, 100)
    assert told(truth, [one], tmp_path)["extra"] == 0


def test_known_offsets_give_known_millimetres(tmp_path):
    truth = walking(people=1)
    (one,) = results(truth)
    one["joints3d_m"][:, COCO17.indices("nose")[0], 1] += 0.017
    one["translation_m"][:, 2] -= 0.25
    score = told(truth, [one], tmp_path)
    assert score["mpjpe_mm"] == pytest.approx(1.0)
    assert 0 < score["pa_mpjpe_mm"] < 3
    assert score["depth_mm"] == pytest.approx(250)
    assert score["jitter_mm_frame2"] < 1e-6 > score["jitter_placed_mm_frame2"]
    assert score["rest_mm_frame"] < 1e-6


def test_a_person_who_is_turned_and_too_large_has_no_error_after_a_similarity(tmp_path):
    truth = walking(people=1)
    (one,) = results(truth)
    turn = roma.rotvec_to_rotmat(torch.tensor([0.1, 0.3, -0.2])).numpy()
    one["joints3d_m"] = 1.2 * one["joints3d_m"] @ turn.T
    score = told(truth, [one], tmp_path)
    assert score["pa_mpjpe_mm"] < 1e-3 < 10 < score["mpjpe_mm"]


def test_a_place_that_shakes_is_jitter_of_the_place_alone_and_moves_resting_ankles(tmp_path):
    truth = walking(people=1)
    (one,) = results(truth)
    one["translation_m"][:, 2] += 0.010 * (np.arange(FRAMES) % 2)  # 10 mm there and back
    score = told(truth, [one], tmp_path)
    assert score["jitter_mm_frame2"] < 1e-6
    assert score["jitter_placed_mm_frame2"] == pytest.approx(20)
    assert score["rest_mm_frame"] == pytest.approx(10)


def test_a_camera_that_moves_does_not_make_feet_slide(tmp_path):
    truth = walking(people=1)
    shift = np.linspace(0, 0.3, FRAMES)
    truth["position_m"][:, 0] -= shift
    truth["joints3d_m"][..., 0] += shift[:, None]
    score = told(truth, results(truth), tmp_path)
    assert score["rest_mm_frame"] < 1e-6


def test_scores_of_films_are_pooled_by_frames():
    one, other = films.Score(people=1), films.Score(people=3, swaps=1)
    one.add("mpjpe_mm", np.array([10.0]))
    other.add("mpjpe_mm", np.array([20.0, 20.0, 20.0]))
    one.join(other)
    assert (one.told()["mpjpe_mm"], one.told()["people"], one.told()["swaps"]) == (17.5, 4, 1)


def test_a_file_that_is_no_film_s_person_is_refused_in_a_sentence(tmp_path):
    np.savez(tmp_path / "person0.npz", vertices=np.zeros(3))
    with pytest.raises(InputError, match="of a film's person were expected"):
        films.tracks(tmp_path)
    with pytest.raises(InputError, match="there is no result of this film"):
        films.tracks(tmp_path / "never")

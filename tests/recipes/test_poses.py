"""Near-duplicates are dropped, and as many poses kept as asked, evenly over time; flipped heads rest."""

import itertools
import os

import numpy as np
import pytest
import roma
import torch
from clips import given_body, given_clips, given_console, given_skeleton, waving, write_clip  # noqa: F401
from rich.console import Console

from mpt.datasets.store import PoseStore
from mpt.errors import InputError
from mpt.recipes.poses import changed_frames, pose_kind, repair
from mpt.recipes.prepare import prepare_mocap


def test_one_of_many_equal_frames_is_kept_and_one_each_second():
    still = np.zeros((100, 4, 3))
    np.testing.assert_array_equal(changed_frames(still, 0.05, 30), [0, 30, 60, 90])


def test_no_kept_neighbours_are_alike_and_no_dropped_frame_is_unlike():
    generator = np.random.default_rng(0)
    rotvec = np.cumsum(generator.normal(scale=0.01, size=(200, 4, 3)), 0)
    kept = changed_frames(rotvec, 0.05, 1000)

    def apart(a, b) -> float:
        """Largest angle between two poses, radians."""
        a, b = (roma.rotvec_to_rotmat(torch.from_numpy(rotvec[i])) for i in (a, b))
        return float(roma.rotmat_geodesic_distance(a, b).max())

    assert 10 < len(kept) < 200
    last = 0
    for frame in range(1, 200):
        assert (apart(last, frame) > 0.05) == (frame in kept)
        last = frame if frame in kept else last


def test_a_single_frame_is_kept():
    np.testing.assert_array_equal(changed_frames(np.zeros((1, 4, 3)), 0.05, 30), [0])


def test_without_a_least_change_or_a_longest_gap_all_frames_or_one_of_equals_are_kept():
    still = np.zeros((100, 4, 3))
    np.testing.assert_array_equal(changed_frames(still, 0.0), np.arange(100))
    np.testing.assert_array_equal(changed_frames(still, 0.05), [0])


def largest_turn(one, other) -> float:
    """Degrees by which the bone that differs most does."""
    one, other = (roma.rotvec_to_rotmat(torch.from_numpy(pose).double()) for pose in (one, other))
    return float(roma.rotmat_geodesic_distance(one, other).max().rad2deg())


@pytest.fixture
def long_clips(tmp_path, skeleton):
    """Two people who train, one of whom waves to and fro and then stands still, and one for validation."""
    folder, bones = tmp_path / "long", len(skeleton["names"])
    write_clip(folder / "a" / "walk.npz", skeleton, waving(400, bones, 0))
    still = np.repeat(waving(2, bones, 1), [100, 1], axis=0)
    to_and_fro = np.abs(np.random.default_rng(1).integers(-5, 6, 500).cumsum() % 12 - 6)
    wave = waving(7, bones, 1)[to_and_fro]
    write_clip(folder / "b" / "wave.npz", skeleton, np.concatenate([wave, still]))
    write_clip(folder / "c" / "run.npz", skeleton, waving(200, bones, 2))
    return folder


@pytest.mark.parametrize(
    ("poses", "min_change"), [(100, 2.0), (300, 2.0), (300, 8.0), (750, 2.0), (400, 0.0)]
)
def test_as_many_poses_as_asked_are_kept_and_no_neighbours_are_alike(
    long_clips, tmp_path, body, console, poses, min_change
):
    out = tmp_path / "out" / "a.store"
    summary = prepare_mocap(
        [long_clips], out, body=body, validation=["c"], poses=poses, min_change=min_change, straight=False,
        console=console,
    )  # fmt: skip
    store = PoseStore(out, body=body)
    assert abs(len(store.train) - poses) <= 0.01 * poses
    for number in range(3):
        kept = store.rotvec(store.sequence() == number)
        changes = [largest_turn(one, other) for one, other in itertools.pairwise(kept)]
        assert min(changes) > min_change - 0.2 or not min_change  # half precision
    assert store.sampling == {
        "fps": 30.0, "min_change_degrees": min_change, "poses": poses, "rate_hertz": summary.rate,
        "straightened": None,
    }  # fmt: skip
    with open(os.devnull, "w") as nowhere:
        printer = Console(record=True, width=160, file=nowhere)
        printer.print(summary.table())
    assert f"poses chosen at {summary.rate:.2f} Hz" in printer.export_text()
    assert os.listdir(out.parent) == ["a.store"]


def test_poses_are_chosen_evenly_over_the_time_of_all_motion(tmp_path, body, console, skeleton):
    bones = len(skeleton["names"])
    for name, frames, fps in (("slow", 300, 10), ("fast", 300, 30)):
        write_clip(tmp_path / "x" / name / "clip.npz", skeleton, waving(frames, bones), fps=fps)
    prepare_mocap([tmp_path / "x"], tmp_path / "a.store", body=body, poses=100, console=console)
    store = PoseStore(tmp_path / "a.store")
    assert [(s.name, s.subject, s.poses) for s in store.sequences] == [
        ("clip", "fast", 25), ("clip", "slow", 75)
    ]  # fmt: skip
    for sequence in range(2):
        gaps = np.diff(store.frame(store.sequence() == sequence))
        assert set(gaps) <= ({12, 13}, {4, 5})[sequence]


def test_of_too_little_motion_all_that_differs_is_kept_and_said(clips, tmp_path, body, console):
    summary = prepare_mocap([clips], tmp_path / "a.store", body=body, poses=1000, console=console)
    console.file.flush()
    said = " ".join((tmp_path / "console.txt").read_text().split())
    assert (summary.poses, summary.rate) == (45, 30)
    assert "1,000 poses were asked of the training motion, which holds 45 that differ by 2 degrees" in said


def test_a_number_of_poses_leaves_no_candidates_behind(clips, tmp_path, body, console):
    with pytest.raises(InputError, match="validation subject 9 is not there"):
        prepare_mocap([clips], tmp_path / "a.store", body=body, poses=10, validation=["9"], console=console)
    assert not [name for name in os.listdir(tmp_path) if "store" in name]


def test_flipped_heads_go_back_to_rest_and_nothing_else_changes(body):
    rotvec = np.full((2, len(body.moving_bones), 3), 0.2)
    head = body.moving_bones.index(body.roles["head"])
    rotvec[1, head] = (0, 0, 3.1)
    found, flipped = repair(rotvec, body)
    np.testing.assert_array_equal(flipped, [False, True])
    np.testing.assert_array_equal(found[1, head], 0)
    rotvec[1, head] = 0
    np.testing.assert_array_equal(found, rotvec)


def test_pelvis_height_and_trunk_tilt_tell_standing_lying_and_handstands(body):
    rotvec = np.zeros((3, len(body.moving_bones), 3))
    rotvec[1, 0] = (-np.pi / 2, 0, 0)
    rotvec[2, 0] = (np.pi, 0, 0)
    kind = pose_kind(rotvec, body)
    heads = body.heads.numpy()
    np.testing.assert_allclose(kind.pelvis_height[0], heads[0, 1] - heads[:, 1].min(), atol=1e-6)
    assert kind.pelvis_height[0] > 0.8 and kind.pelvis_height[1] < 0.3
    tilt = kind.trunk_tilt
    assert tilt[0] < 5 and abs(tilt[1] - 90) < 5
    np.testing.assert_allclose(tilt[2], 180 - tilt[0], atol=1e-6)


def test_pose_kind_agrees_with_the_bodys_own_kernel(body):
    rotvec = np.random.default_rng(0).normal(scale=0.5, size=(4, len(body.moving_bones), 3))
    full = body.to(dtype=torch.float64)
    local = torch.eye(3, dtype=torch.float64).repeat(4, len(full.bones), 1, 1)
    local[:, [full.bones.index(bone) for bone in full.moving_bones]] = roma.rotvec_to_rotmat(
        torch.from_numpy(rotvec)
    )
    heads = full.forward(local, torch.zeros(1, full.shape_count, dtype=torch.float64)).heads.numpy()
    np.testing.assert_allclose(
        pose_kind(rotvec, body).pelvis_height, heads[:, 0, 1] - heads[..., 1].min(1), atol=1e-6
    )

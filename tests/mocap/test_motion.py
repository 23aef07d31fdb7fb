"""Motion: forward kinematics, resampling, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mpt.errors import InputError
from mpt.mocap.motion import Motion, set_and_folder_name, subject_of


@pytest.fixture
def motion() -> Motion:
    generator = np.random.default_rng(0)
    parents = [-1, 0, 1, 1, 0, 4, 5]
    return Motion(
        name="01_01",
        subject="01",
        fps=30,
        joints=tuple("abcdefg"),
        parents=parents,
        offsets=generator.normal(size=(7, 3)),
        rotvec=generator.normal(size=(11, 7, 3)),
        trans=generator.normal(size=(11, 3)),
    )


def naive_positions(motion: Motion) -> np.ndarray:
    """Frame by frame, joint by joint, through scipy."""
    out = np.zeros_like(motion.rotvec)
    for frame in range(len(motion)):
        world = []
        for joint, parent in enumerate(motion.parents):
            local = Rotation.from_rotvec(motion.rotvec[frame, joint])
            if parent < 0:
                world.append(local)
                out[frame, joint] = motion.trans[frame]
            else:
                world.append(world[parent] * local)
                out[frame, joint] = out[frame, parent] + world[parent].apply(motion.offsets[joint])
    return out


def test_positions_equal_scipy_joint_by_joint(motion):
    np.testing.assert_allclose(motion.positions(), naive_positions(motion), atol=1e-12)


def test_the_rest_pose_is_the_sum_of_offsets(motion):
    rest = replace(motion, rotvec=np.zeros((1, 7, 3)), trans=np.zeros((1, 3)))
    np.testing.assert_allclose(rest.positions()[0, 6], motion.offsets[[4, 5, 6]].sum(0), atol=1e-12)


def test_bones_keep_their_length(motion):
    positions = motion.positions()
    lengths = np.linalg.norm(positions[:, 1:] - positions[:, motion.parents[1:]], axis=-1)
    np.testing.assert_allclose(lengths, np.linalg.norm(motion.offsets[1:], axis=-1)[None].repeat(11, 0))


def test_turning_the_root_turns_the_whole_person(motion):
    turn = Rotation.from_euler("y", 0.7)
    root = (turn * Rotation.from_rotvec(motion.rotvec[:, 0])).as_rotvec()
    rotvec = np.concatenate([root[:, None], motion.rotvec[:, 1:]], axis=1)
    turned = replace(motion, rotvec=rotvec, trans=turn.apply(motion.trans))
    expected = turn.apply(motion.positions().reshape(-1, 3)).reshape(motion.rotvec.shape)
    np.testing.assert_allclose(turned.positions(), expected, atol=1e-12)


def test_resampling_to_a_quarter_takes_every_fourth_frame(motion):
    slow = motion.resampled(7.5)
    assert len(slow) == 3
    np.testing.assert_allclose(slow.positions(), motion.positions()[::4], atol=1e-9)


def test_resampling_up_and_down_again_changes_nothing(motion):
    back = motion.resampled(90).resampled(30)
    np.testing.assert_allclose(back.positions(), motion.positions(), atol=1e-9)


def test_resampling_turns_at_constant_speed_on_the_short_way():
    angles = np.radians([0.0, 90.0, 300.0])  # the second step is -150, not +210
    motion = Motion("m", "s", 10, ("hip",), [-1], np.zeros((1, 3)), np.zeros((3, 1, 3)), np.zeros((3, 3)))
    motion = replace(motion, rotvec=np.stack([angles, 0 * angles, 0 * angles], -1)[:, None])
    between = Rotation.from_rotvec(motion.resampled(30).rotvec[:, 0]).as_matrix()
    expected = Rotation.from_euler("x", np.c_[[0, 30, 60, 90, 40, -10, -60]], degrees=True).as_matrix()
    np.testing.assert_allclose(between, expected, atol=1e-9)


def test_one_frame_resamples_to_itself(motion):
    single = replace(motion, rotvec=motion.rotvec[:1], trans=motion.trans[:1])
    np.testing.assert_allclose(single.resampled(12).rotvec, single.rotvec)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"parents": [-1, 0, 3, 1, 0, 4, 5]}, "parents before their children"),
        ({"parents": [-1, 0, -1, 1, 0, 4, 5]}, "one root"),
        ({"parents": [0, 0, 1, 1, 0, 4, 5]}, "one root"),
        ({"parents": [-1, 0]}, "'parents' has shape"),
        ({"trans": np.zeros((3, 3))}, "'trans' has shape"),
        ({"offsets": np.full((7, 3), np.nan)}, "'offsets' holds numbers that are not finite"),
        ({"offsets": np.full((7, 3), 1e30)}, r"'offsets' holds .* beyond 1,000,000 \(1e\+30 in row 1\)"),
        ({"rotvec": np.zeros((0, 7, 3)), "trans": np.zeros((0, 3))}, "no frames"),
        ({"fps": 0}, "frame rate"),
        ({"fps": float("nan")}, "frame rate"),
        ({"joints": tuple("abcdeff")}, "two joints are called 'f'"),
        ({"betas": np.zeros(3)}, "'betas' has shape"),
    ],
)
def test_a_motion_that_contradicts_itself_is_refused(motion, change, text):
    with pytest.raises(InputError, match=text):
        replace(motion, **change)


@pytest.mark.parametrize("fps", [0, -30, float("nan")])
def test_a_frame_rate_must_be_above_zero(motion, fps):
    with pytest.raises(InputError, match="above 0"):
        motion.resampled(fps)


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("a/02_01.bvh", "02"),
        ("a/60_daz10.bvh", "60"),
        ("actor7/walk.bvh", "actor7"),
        ("actor7/2024_walk.bvh", "actor7"),
        ("actor7/jump_2.amc", "actor7"),
    ],
)
def test_the_subject_is_cmus_number_or_the_folder(path, subject):
    assert subject_of(Path(path)) == subject


def test_equal_folders_of_two_sets_are_two_subjects():
    names = {set_and_folder_name(Path("amass", s, "01", "walk_poses.npz")) for s in ("CMU", "KIT")}
    assert names == {"CMU/01", "KIT/01"}

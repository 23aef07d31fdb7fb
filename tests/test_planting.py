"""Captured motion on a body of other proportions: feet that are down rest on the floor."""

import sys
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from rigs import role_index, t_posed

import mpt.bodies
import mpt.mocap
from mpt.bodies.motion import BodyMotion
from mpt.bodies.retarget import retarget

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from planting import SOLE_M, on_its_floor

FRAMES = 60
ROLE = role_index()
LEGS = ("hip", "knee", "ankle", "toe")
CAPTURED_LEG_M = 0.84


@pytest.fixture(scope="module")
def body():
    return mpt.bodies.load()


@pytest.fixture(scope="module")
def tall(body):
    """(S,) somebody of 1.9 m."""
    phenotypes = torch.tensor([[0.1, 0.75, 0.5, 0.5, 0.0, 0.5]])
    return body.phenotypes.shape(body.phenotypes.with_stature(phenotypes, torch.tensor([1.9])))[0].numpy()


def wave(hertz: float = 0.5) -> np.ndarray:
    """(FRAMES,) 0 at first, then up to 1 and back."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * hertz * np.arange(FRAMES) / 30)


def bent(angle: np.ndarray, sides: tuple[str, ...] = ("left", "right")) -> np.ndarray:
    """(FRAMES, J, 3) knees before, soles level, by an angle (FRAMES,) of the thigh."""
    rotvec = np.zeros((FRAMES, len(ROLE), 3))
    for side in sides:
        for joint, times in (("hip", -1), ("knee", 2), ("ankle", -1)):
            rotvec[:, ROLE[f"{side}_{joint}"], 0] = times * angle
    return rotvec


def lowered(angle: np.ndarray) -> np.ndarray:
    """(FRAMES, 3) a root whose feet stay where they are."""
    return np.stack([0 * angle, 1 - CAPTURED_LEG_M * (1 - np.cos(angle)), 0 * angle], -1)


def trembling(rotvec: np.ndarray, trans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rotvec + rng.normal(0, 0.001, rotvec.shape), trans + rng.normal(0, 0.0005, trans.shape)


def joints(motion: BodyMotion) -> dict[str, np.ndarray]:
    """Each of the body's joints (T, 3), by name, in the world."""
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(motion.rotvec))
    moved = torch.from_numpy(motion.translation_m)
    found = motion.body(rotations, torch.from_numpy(motion.shape)[None], moved).joints
    return dict(zip(motion.body.skeleton.joints, found.numpy().swapaxes(0, 1)))


def moves_mm(points: np.ndarray) -> np.ndarray:
    return 1000 * np.linalg.norm(np.diff(points, axis=0), axis=-1)


def soles(side: str) -> list[str]:
    return [f"{side}_{end}" for end in ("heel", "big_toe", "small_toe")]


def test_feet_of_who_squats_rest_on_the_floor_whatever_trembles(body, tall):
    angle = 0.9 * wave()
    motion = on_its_floor(t_posed(*_given(*trembling(bent(angle), lowered(angle)))), body, tall)
    for side in ("left", "right"):
        for name in soles(side):
            assert moves_mm(joints(motion)[name]).max() < 0.5
    lowest = np.array([motion[frame].posed().vertices[:, 1].min() for frame in (0, 15, 30)])
    np.testing.assert_allclose(lowest, SOLE_M, atol=0.004)
    stood, squatted = joints(motion)["left_hip"][[0, 30], 1]
    assert squatted / stood == pytest.approx(1 - CAPTURED_LEG_M * (1 - np.cos(0.9)) / 0.92, abs=0.04)


def test_one_foot_rests_while_the_other_is_in_the_air(body, tall):
    motion = on_its_floor(
        t_posed(*_given(bent(0.8 * wave(), ("left",)), lowered(np.zeros(FRAMES)))), body, tall
    )
    at = joints(motion)
    for name in soles("right"):
        assert moves_mm(at[name]).max() < 0.5
    assert np.ptp(at["left_heel"][:, 1]) > 0.15
    assert moves_mm(at["left_heel"])[28:32].max() > 3  # on its way


def test_who_jumps_leaves_the_floor_as_high_as_the_legs_are_longer(body, tall):
    up = lowered(np.zeros(FRAMES))
    up[:, 1] += 0.3 * wave()
    motion = on_its_floor(t_posed(*_given(bent(np.zeros(FRAMES)), up)), body, tall)
    height = joints(motion)["left_heel"][:, 1]
    rest = body.rest(torch.from_numpy(tall)[None]).heads[0].numpy()
    hip, knee, ankle = (rest[body.bones.index(body.roles[f"left_{j}"])] for j in ("hip", "knee", "ankle"))
    scale = (np.linalg.norm(hip - knee) + np.linalg.norm(knee - ankle)) / CAPTURED_LEG_M
    assert height.max() - height[0] == pytest.approx(0.3 * scale, rel=0.06)


def test_all_but_the_legs_is_as_retargeted(body, tall):
    rotvec = np.random.default_rng(1).normal(0, 0.2, (FRAMES, len(ROLE), 3))
    captured = t_posed(rotvec, trans=lowered(np.zeros(FRAMES)))
    bones, expected = retarget(captured, body)
    found = on_its_floor(captured, body, tall)
    legs = {body.roles[f"{side}_{joint}"] for side in ("left", "right") for joint in LEGS}
    for number, bone in enumerate(bones):
        if bone not in legs:
            got = roma.rotvec_to_rotmat(torch.from_numpy(found.rotvec[:, body.bones.index(bone)]))
            want = roma.rotvec_to_rotmat(torch.from_numpy(expected[:, number]).float())
            np.testing.assert_allclose(got, want, atol=1e-5)


def test_who_is_never_down_is_laid_above_the_floor(body, tall):
    spun = bent(0.5 + 0.4 * np.sin(np.arange(FRAMES)))  # feet that are never slow
    found = on_its_floor(t_posed(spun, trans=lowered(np.zeros(FRAMES))), body, tall)
    lowest = min(joints(found)[name][:, 1].min() for side in ("left", "right") for name in soles(side))
    assert -0.02 < lowest < 0.1


def test_a_walk_steps_and_goes_as_far_as_the_legs_are_longer(body, tall, shared_data):
    captured = mpt.mocap.read(shared_data / "mocap" / "cmu" / "02" / "02_01.npz")
    motion = on_its_floor(captured, body, tall)
    at = joints(motion)
    resting = [np.any([moves_mm(at[name]) < 0.5 for name in soles(side)], 0) for side in ("left", "right")]
    assert all(0.3 < foot.mean() < 0.8 for foot in resting)
    assert np.mean(resting[0] | resting[1]) > 0.65 > 0.4 > np.mean(resting[0] & resting[1])
    far = [np.linalg.norm((path[-1] - path[0])[[0, 2]]) for path in (motion.translation_m, captured.trans)]
    assert 1.0 < far[0] / far[1] < 1.4
    assert np.linalg.norm(np.diff(motion.translation_m, 2, axis=0), axis=1).max() < 0.02


def _given(rotvec: np.ndarray, trans: np.ndarray) -> tuple:
    return rotvec, "mixamo", (), trans

"""Limbs that were fitted too long get the person's own length: straight knees come out straight."""

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from captured import FPS, ROLES, captured, standing

from mpt.mocap import Motion
from mpt.mocap.straighten import LIMBS, LimbLengths, flexions, straighten

LEGS, ARMS = ("left_leg", "right_leg"), ("left_arm", "right_arm")


def straightened(*motions: Motion) -> list[Motion]:
    """As ``mpt prepare mocap`` does it: all are seen first."""
    lengths = LimbLengths()
    for motion in motions:
        lengths.see(motion)
    return [straighten(motion, lengths.scales(motion)) for motion in motions]


def test_the_made_up_capture_is_bent_as_the_module_says():
    """15 degrees for 0.9 % of a straight leg, 2 more at 60."""
    found = flexions(captured(np.array([0.0, 60.0]), legs=1 / (1 - 0.0086)))["left_leg"]
    np.testing.assert_allclose(found, [15.0, 61.7], atol=0.2)


@pytest.mark.parametrize("legs", [1.003, 1.01, 1.015])
def test_legs_that_were_fitted_too_long_come_back_to_true_flexion(legs):
    true = standing(squats=100)
    motion = captured(true, legs=legs)
    (found,) = straightened(motion)
    for limb in LEGS:
        assert np.abs(flexions(motion)[limb] - true).max() > 5
        assert np.abs(flexions(found)[limb] - true).max() < 2
        assert np.abs(flexions(found)[limb] - true).mean() < 1


def test_elbows_alike():
    true = 14 + 70 * np.clip(np.sin(np.arange(30 * FPS) / 40), 0, None) ** 2
    motion = captured(standing(), true, arms=1.02)
    (found,) = straightened(motion)
    for limb in ARMS:
        assert flexions(motion)[limb].min() > 24
        assert np.abs(flexions(found)[limb] - true).max() < 3
    for limb in LEGS:
        assert np.abs(flexions(found)[limb] - standing()).max() < 1


def test_a_right_capture_is_left_alone():
    motion = captured(standing(squats=90))
    (found,) = straightened(motion)
    for limb in LIMBS:
        assert np.abs(flexions(found)[limb] - flexions(motion)[limb]).max() < 1


def test_flexion_never_grows_and_deep_squats_stay():
    motion = captured(standing(squats=130), 20.0, legs=1.015, arms=1.02)
    (found,) = straightened(motion)
    for limb in LIMBS:
        before, after = flexions(motion)[limb], flexions(found)[limb]
        assert (after < before + 1e-6).all() and (after >= 0).all()
    deep = flexions(motion)["left_leg"] > 90
    assert deep.sum() > 50
    assert np.abs(flexions(found)["left_leg"] - flexions(motion)["left_leg"])[deep].max() < 2


def test_hips_ankles_wrists_hands_and_feet_stay():
    motion = captured(standing(squats=100), legs=1.015, arms=1.01)
    (found,) = straightened(motion)
    moved = np.linalg.norm(found.positions() - motion.positions(), axis=-1)
    bent = [ROLES[f"{side}_{joint}"] for side in ("left", "right") for joint in ("knee", "elbow")]
    assert np.delete(moved, bent, axis=1).max() < 0.003
    turned = roma.rotmat_geodesic_distance(
        *(torch.from_numpy(m.global_rotations()) for m in (motion, found))
    ).numpy()
    limbs = [ROLES[f"{side}_{j}"] for side in ("left", "right") for j in ("hip", "knee", "shoulder", "elbow")]
    assert np.delete(turned, limbs, axis=1).max() < 1e-6
    assert turned[:, limbs].max() > 0.1


def test_knees_bend_in_their_own_plane():
    motion = captured(standing(squats=100), legs=1.015)
    (found,) = straightened(motion)
    np.testing.assert_allclose(found.positions()[:, ROLES["left_knee"], 0], 0.09, atol=1e-6)
    ahead = [m.positions()[:, ROLES["left_knee"], 2] for m in (motion, found)]
    assert (ahead[1] < ahead[0]).all() and (ahead[1] >= 0.01).all()


def test_flexion_stays_smooth_where_a_leg_reaches_beyond_its_own_length():
    """A person who goes up and down evenly by some millimetres around full reach."""
    lengths = LimbLengths()
    lengths.see(captured(standing(60), legs=1.012))
    stretching = captured(np.linspace(0, 12, 400), legs=1.012)
    scales = {limb: scale + 0.002 for limb, scale in lengths.scales(stretching).items()}
    for scale in (scales, {limb: s - 0.004 for limb, s in scales.items()}):
        found = flexions(straighten(stretching, scale))["left_leg"]
        steps = np.abs(np.diff(found))
        assert steps.max() < 0.15
        assert np.abs(np.diff(steps)).max() < 0.05


def test_somebody_who_never_stretches_the_leg_is_left_as_is():
    crouched = captured(50 + 10 * np.sin(np.arange(60 * FPS) / 20))
    (found,) = straightened(crouched)
    assert not {*LEGS} & LimbLengths().scales(crouched).keys()
    np.testing.assert_allclose(found.rotvec[:, ROLES["left_knee"]], crouched.rotvec[:, ROLES["left_knee"]])


def test_a_moment_shows_little():
    """Two seconds of bent knees may be just that."""
    bent = captured(np.full(2 * FPS, 22.0))
    (found,) = straightened(bent)
    assert flexions(found)["left_leg"].min() > 20
    assert np.abs(straightened(captured(np.full(1, 22.0)))[0].rotvec - bent.rotvec[:1]).max() < 1e-9


def test_legs_that_are_straight_elsewhere_are_not_too_long():
    """Bent by 25 degrees wherever they stand, straight in one kick of twenty."""
    standing_bent = captured(np.full(40 * FPS, 25.0))
    kicks = captured(np.full(2 * FPS, 1.0))
    lying = replace(kicks, rotvec=kicks.rotvec + np.eye(len(ROLES))[ROLES["pelvis"]][:, None] * [1.5, 0, 0])
    alone, together = LimbLengths(), LimbLengths()
    alone.see(standing_bent)
    for motion in (standing_bent, lying):
        together.see(motion)
    assert alone.scales(standing_bent)["left_leg"] < 0.98
    assert 0.994 < together.scales(standing_bent)["left_leg"] < 0.996


def test_clips_of_a_person_tell_together_and_nothing_of_others():
    sitting, other = captured(np.full(90, 80.0), legs=1.01), captured(np.full(90, 80.0))
    other = replace(other, subject="02")
    alike = replace(sitting, name="second")
    motions = [captured(standing(), legs=1.01), sitting, alike, other]
    stands, sits, again, not_them = straightened(*motions)
    np.testing.assert_array_equal(stands.offsets, sits.offsets)
    np.testing.assert_array_equal(sits.rotvec, again.rotvec)
    np.testing.assert_array_equal(not_them.rotvec, other.rotvec)
    assert np.abs(sits.offsets - sitting.offsets).max() > 0.003


def test_mirrored_capture_gives_the_mirrored_motion():
    motion = captured(standing(squats=80), 15 + standing(seed=1), legs=1.012, arms=1.02)
    tilted = np.random.default_rng(0).normal(scale=0.05, size=motion.rotvec.shape)
    motion = replace(motion, rotvec=motion.rotvec + tilted)
    flip = [ROLES[_other(role)] for role in ROLES]

    def mirrored(motion: Motion) -> Motion:
        return replace(
            motion,
            offsets=motion.offsets[flip] * [-1, 1, 1],
            rotvec=motion.rotvec[:, flip] * [1, -1, -1],
            trans=motion.trans * [-1, 1, 1],
        )

    (a,), (b,) = straightened(mirrored(motion)), straightened(motion)
    np.testing.assert_allclose(a.offsets, mirrored(b).offsets, atol=1e-12)
    np.testing.assert_allclose(a.positions(), mirrored(b).positions(), atol=1e-9)
    assert np.abs(a.rotvec - mirrored(motion).rotvec).max() > 0.05


def test_it_does_not_matter_where_people_stand_and_which_way_they_face():
    motion = captured(standing(), legs=1.01)
    turned = motion.rotvec.copy()
    turned[:, ROLES["pelvis"]] = [0, 2, 0]
    moved = replace(motion, rotvec=turned, trans=motion.trans + np.array([3, 0.5, -2]))
    (here,), (there,) = straightened(motion), straightened(moved)
    for limb in LIMBS:
        np.testing.assert_allclose(flexions(here)[limb], flexions(there)[limb], atol=1e-5)


def test_a_forearm_folded_onto_itself_stays_a_number():
    """By a joint in its middle that the capture has turned over."""
    motion = captured(standing(), 30.0)
    wrist = ROLES["left_wrist"]
    half = motion.offsets[wrist] / 2
    parents = motion.parents + (motion.parents >= wrist)
    rotvec = np.insert(motion.rotvec, wrist, 0, axis=1)
    rotvec[7, wrist] = [0, 0, np.pi]
    folded = replace(
        motion,
        joints=(*motion.joints[:wrist], "twist", *motion.joints[wrist:]),
        parents=np.insert(parents, wrist, motion.parents[wrist]),
        offsets=np.insert(motion.offsets, wrist, half, axis=0),
        rotvec=rotvec,
        trans=motion.trans + 1000,  # so far away that the wrist is exactly where the elbow is
    )
    folded.parents[wrist + 1], folded.offsets[wrist + 1] = wrist, half
    (found,) = straightened(folded)
    assert flexions(found)["left_arm"][8] < flexions(folded)["left_arm"][8] - 5
    assert np.isfinite(found.rotvec).all()


def test_what_is_no_person_is_left_to_whoever_reads_it_next():
    nobody = Motion(
        "x", "01", 30, ("a", "b"), [-1, 0], [(0, 0, 0), (0, 1, 0)], np.ones((9, 2, 3)), np.zeros((9, 3))
    )
    assert straightened(nobody) == [nobody]


def _other(role: str) -> str:
    side, _, rest = role.partition("_")
    return f"{ {'left': 'right', 'right': 'left'}[side] }_{rest}" if rest else role

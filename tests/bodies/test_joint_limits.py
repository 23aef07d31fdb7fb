"""What is known of how people bend."""

import numpy as np
import pytest
import roma
import torch
from official import mano as made_up_mano
from official import smpl as made_up_smpl
from official import write_pickle

from mpt.bodies import load, mano, smpl
from mpt.bodies.joint_limits import JointLimits, learned, limits_of


def limits_for(body):
    return body, limits_of(body)


def bent(body, **turns_deg):
    """(1, B, 3, 3) with some roles turned by axis-angles in degrees."""
    rotvec = torch.zeros(1, len(body.bones), 3)
    for role, turn in turns_deg.items():
        rotvec[0, body.bones.index(body.roles[role])] = torch.tensor(turn).deg2rad()
    return roma.rotvec_to_rotmat(rotvec)


def penalty(limits, rotations):
    return limits.penalty(limits.bent(rotations))


def test_knees_bend_backwards_only_and_elbows_forwards():
    body, limits = limits_for(load("anny"))
    usual = penalty(limits, bent(body, left_knee=[60.0, 0, 0]))
    assert penalty(limits, bent(body, left_knee=[-60.0, 0, 0])) > usual + 100
    assert penalty(limits, bent(body, left_knee=[0.0, 0, 60])) > usual + 100


def test_limits_go_with_limbs_whatever_rest_pose_a_body_has(tmp_path):
    """Arms that hang stand alike on an A-posed and a T-posed body."""
    anny = load("anny")
    t_posed = smpl.read(write_pickle(tmp_path / "SMPL_NEUTRAL.pkl", made_up_smpl()))
    limits, other = limits_of(anny), limits_of(t_posed)
    elbow, mean = "left_elbow", {}
    for body, of in ((anny, limits), (t_posed, other)):
        heads = dict(zip(body.bones, body.heads))
        bone, above = body.roles[elbow], body.roles["left_shoulder"]
        turn = of.mean[body.bones.index(above)]
        forearm = heads[body.roles["left_wrist"]] - heads[bone]
        collar = of.mean[body.bones.index(body.roles["left_collar"])]
        along = collar @ turn @ of.mean[body.bones.index(bone)] @ forearm
        mean[body.name] = along / along.norm()
    one, two = mean.values()
    assert torch.rad2deg(torch.acos(one @ two)) < 12


def test_a_left_hands_limits_are_those_of_a_right_ones_in_a_mirror(tmp_path):
    hands = [
        mano.read(write_pickle(tmp_path / f"MANO_{side}.pkl", made_up_mano(side=side)))
        for side in ("right", "left")
    ]
    right, left = map(limits_of, hands)
    rotvec = 0.4 * torch.randn(5, 16, 3, generator=torch.Generator().manual_seed(0))
    seen = roma.rotvec_to_rotmat(rotvec * torch.tensor([1.0, -1, -1]))
    torch.testing.assert_close(penalty(left, seen), penalty(right, roma.rotvec_to_rotmat(rotvec)))


def test_what_is_bent_is_the_axis_angle_from_the_mean():
    limits = limits_of(load("anny"))
    rotvec = torch.randn(500, 1, 3, generator=torch.Generator().manual_seed(2)).expand(
        500, len(limits.mean), 3
    )
    rotvec = torch.cat([rotvec, rotvec * 1e-5, torch.zeros(1, len(limits.mean), 3)])
    rotvec = rotvec[rotvec.norm(dim=2).amax(1) < 3.1]
    found = limits.bent(roma.rotvec_to_rotmat(rotvec) @ limits.mean)
    torch.testing.assert_close(found, rotvec, rtol=0, atol=2e-4)


def test_the_equations_are_the_penaltys_derivatives():
    generator = torch.Generator().manual_seed(1)
    body = load("anny")
    body = body.with_bones(body.moving_bones)
    known = limits_of(body)
    limits = JointLimits(*(part.double() for part in vars(known).values()))
    rotvec = 0.5 * torch.randn(1, len(body.bones), 3, generator=generator, dtype=torch.float64)
    rotations = roma.rotvec_to_rotmat(rotvec)
    above = roma.rotvec_to_rotmat(torch.randn(rotvec.shape, generator=generator, dtype=torch.float64))

    def turned(turn):
        return penalty(limits, above.mT @ roma.rotvec_to_rotmat(turn) @ above @ rotations).sum()

    zero = torch.zeros_like(rotvec)
    slope = torch.zeros_like(zero)
    for index in np.ndindex(*zero.shape):
        step = zero.clone()
        step[index] = 1e-6
        slope[index] = (turned(step) - turned(-step)) / 2e-6
    _, pull = limits.equations(limits.bent(rotations), above)
    torch.testing.assert_close(pull, -slope / 2, rtol=1e-4, atol=1e-3)


def test_what_is_learned_is_the_mean_the_spread_and_the_ends():
    generator = torch.Generator().manual_seed(0)
    bend = torch.empty(20000, 1).uniform_(-0.2, 1.8, generator=generator)
    row = learned(bend * torch.tensor([1.0, 0, 0]))
    assert row["mean_deg"][0] == pytest.approx(np.degrees(0.8), abs=1)
    assert row["std_deg"][2] == pytest.approx(np.degrees(2 / 12**0.5), abs=1)
    assert row["std_deg"][:2] == [2, 2]
    assert row["high_deg"][2] - row["low_deg"][2] == pytest.approx(np.degrees(2), abs=1)

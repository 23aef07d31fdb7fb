"""Meshes back to the poses that made them."""

import pytest
import roma
import torch
from official import mano as made_up_mano
from official import random_people, write_pickle

from mpt.bodies import fitting, load, mano
from mpt.bodies.hand_poses import sample_hand_poses
from mpt.errors import InputError


def generator(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def hand():
    body = load("anny-hand")
    return body.with_bones(body.moving_bones)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    return mano.read(write_pickle(tmp_path_factory.mktemp("mano") / "MANO.pkl", made_up_mano()))


def hands(body, count, seed):
    """Rotations, shapes and translations of hands in drawn poses, turned anyhow."""
    rotvec = sample_hand_poses(body, count, generator(seed))
    rotvec[:, 0] = 2 * torch.randn(count, 3, generator=generator(seed))
    place = torch.randn(count, 3, generator=generator(seed))
    return roma.rotvec_to_rotmat(rotvec), body.sample_shapes(count, generator(seed)), place


def off_mm(body, found, vertices):
    return 1000 * (body(found.rotations, found.shape, found.translation).vertices - vertices).norm(dim=-1)


def test_a_hands_mesh_gives_back_its_pose(hand):
    rotations, shape, translation = hands(hand, 6, 0)
    vertices = hand(rotations, shape, translation).vertices
    found = fitting.fit(hand, vertices)
    assert off_mm(hand, found, vertices).mean(1).max() < 0.05
    assert torch.rad2deg(roma.rotmat_geodesic_distance(found.rotations, rotations)).max() < 1
    torch.testing.assert_close(found.translation, translation, rtol=0, atol=2e-4)
    torch.testing.assert_close(
        found.distance, (off_mm(hand, found, vertices) / 1000).square().mean(1).sqrt(), rtol=1e-2, atol=1e-6
    )


def test_poses_that_change_the_shape_are_found_too(made_up):
    """MANO's pose blend shapes, which the steps' derivatives leave out."""
    # The last two were lost while skin that several bones move had a say in the start.
    people = random_people(100, 16)
    rotvec, betas, translation = (torch.from_numpy(part[[0, 1, 23, 39]]).float() for part in people)
    rotations = roma.rotvec_to_rotmat(rotvec)
    vertices = made_up(rotations, betas, translation).vertices
    found = fitting.fit(made_up, vertices)
    assert off_mm(made_up, found, vertices).mean(1).max() < 0.05
    torch.testing.assert_close(found.shape, betas, rtol=0, atol=0.1)


def test_a_noisy_mesh_is_fitted_as_well_as_its_truth_would(hand):
    truth = hand(*hands(hand, 3, 1)).vertices
    noisy = truth + 1e-3 * torch.randn(truth.shape, generator=generator(2))
    found = fitting.fit(hand, noisy)
    assert (
        off_mm(hand, found, noisy).square().mean() < (1000 * (truth - noisy)).square().sum(-1).mean()
    ).all()
    assert off_mm(hand, found, truth).mean() < 0.5


def test_a_mesh_is_fitted_alike_alone_and_among_others(hand, monkeypatch):
    vertices = hand(*hands(hand, 3, 3)).vertices
    together = fitting.fit(hand, vertices)
    monkeypatch.setattr(fitting, "NUMBERS", 1)
    alone = fitting.fit(hand, vertices)
    torch.testing.assert_close(alone.rotations, together.rotations, rtol=0, atol=1e-3)
    assert fitting.fit(hand, vertices[:0]).rotations.shape == (0, 16, 3, 3)


def test_the_derivatives_are_those_of_the_body(hand):
    body = hand.to(dtype=torch.float64)
    rotations, shape, translation = (part.double() for part in hands(body.to(dtype=torch.float32), 1, 4))
    zero = torch.zeros(1, 3 * 16 + body.shape_count + 3, dtype=torch.float64)

    def off(step):
        turn, grow, move = step.split([48, body.shape_count, 3], 1)
        turned = fitting._turned(body, rotations, turn.unflatten(1, (-1, 3)))
        return body(turned, shape + grow, translation + move).vertices.flatten()

    unknowns = torch.eye(zero.shape[1], dtype=torch.float64)
    derivative = torch.stack([torch.func.jvp(off, (zero,), (row[None],))[1] for row in unknowns], 1)
    difference = torch.randn(1, *body.template.shape, generator=generator(0), dtype=torch.float64)
    gram, slope = fitting._equations(body, rotations, shape, translation, difference)
    prior = torch.zeros_like(zero[0])
    prior[48:-3] = fitting.SKIN_NOISE**2
    torch.testing.assert_close(gram[0], derivative.T @ derivative + prior.diag(), rtol=1e-3, atol=3e-6)
    torch.testing.assert_close(
        slope[0] + prior * torch.cat([zero[0, :48], shape[0], zero[0, :3]]),
        derivative.T @ difference.flatten(),
        rtol=1e-3,
        atol=1e-4,
    )


def test_a_mesh_of_another_body_is_refused(hand):
    with pytest.raises(InputError, match="meshes of 778 vertices were given, anny-hand has 1609"):
        fitting.fit(hand, torch.zeros(2, 778, 3))

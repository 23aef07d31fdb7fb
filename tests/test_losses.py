"""Losses come out per sample, by their equations."""

import torch
from tolerance import assert_close

from mpt.losses import l1, masked_mean


def normal(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_l1_is_the_mean_over_points_of_the_sum_over_axes():
    predicted, truth = normal(4, 17, 3), normal(4, 17, 3, seed=1)
    for n in range(4):
        expected = sum(sum(abs(p - t) for p, t in zip(*pair)) for pair in zip(predicted[n], truth[n])) / 17
        assert_close(l1(predicted, truth)[n], expected)


def test_l1_does_not_grow_with_the_number_of_points():
    one = torch.ones(2, 1, 3)
    assert_close(l1(one, 0 * one), torch.full((2,), 3.0))
    assert_close(l1(one.expand(2, 431, 3), torch.zeros(2, 431, 3)), torch.full((2,), 3.0))


def test_gradients_are_those_of_finite_differences():
    points = normal(2, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: l1(x, normal(2, 3, 2, seed=1)), points)


def test_a_masked_mean_counts_known_samples_only():
    values = normal(6)
    known = torch.tensor([True, False, True, True, False, False])
    assert_close(masked_mean(values, known), values[known].mean())
    assert_close(masked_mean(values), values.mean())
    assert_close(masked_mean(values, torch.ones(6, dtype=torch.bool)), values.mean())


def test_a_batch_without_ground_truth_costs_nothing_and_teaches_nothing():
    values = normal(4).requires_grad_()
    loss = masked_mean(values, torch.zeros(4, dtype=torch.bool))
    loss.backward()
    assert loss == 0 and (values.grad == 0).all()

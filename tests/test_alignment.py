"""Procrustes against scipy's, its invariances, and the point sets that have no best rotation."""

import pytest
import torch
from clouds import MIRROR, points, procrustes_by_scipy, similar, turned_by
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerance import assert_close

from mpt.alignment import procrustes


@pytest.mark.parametrize("reflection", [False, True])
@pytest.mark.parametrize("kind", ["random", "mirrored", "flat", "three"])
def test_it_is_scipy_s(kind, reflection):
    source, target = points(17), points(17, seed=1)
    if kind == "mirrored":
        target = similar(source * MIRROR) + 0.01 * target
    elif kind == "flat":
        source = source * torch.tensor([1.0, 1.0, 0.0])
    elif kind == "three":
        source, target = source[:3], target[:3]
    expected = procrustes_by_scipy(source.numpy(), target.numpy(), reflection)
    assert_close(procrustes(source, target, reflection=reflection), torch.from_numpy(expected))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 30))
def test_it_undoes_any_similarity(seed, count):
    target = points(count, seed=seed)
    assert_close(procrustes(similar(target, seed), target), target)


def test_the_result_does_not_depend_on_how_the_source_lay():
    source, target = points(20), points(20, seed=1)
    assert_close(procrustes(similar(source), target), procrustes(source, target))


def test_it_moves_with_the_target():
    source, target = points(20), points(20, seed=1)
    assert_close(procrustes(source, similar(target)), similar(procrustes(source, target)))


def test_aligning_twice_changes_nothing():
    once = procrustes(points(20), target := points(20, seed=1))
    assert_close(procrustes(once, target), once)


def test_a_mirror_image_is_reached_only_where_reflections_are_admitted():
    target = points(17)
    source = similar(target * MIRROR)
    assert_close(procrustes(source, target, reflection=True), target)
    assert (procrustes(source, target) - target).norm(dim=-1).mean() > 0.3


def test_no_similarity_lies_closer():
    source, target = points(17), points(17, seed=1)
    best = (procrustes(source, target) - target).square().sum()
    for seed in range(50):
        a, b = source - source.mean(0), target - target.mean(0)
        turned = a @ turned_by(seed)
        scale = ((turned * b).sum() / turned.square().sum()).clamp_min(0)  # below 0 it would mirror
        assert (scale * turned - b).square().sum() >= best


def test_collinear_points_reach_collinear_ones():
    line = torch.linspace(-1, 2, 9, dtype=torch.float64)[:, None]
    source, target = line * points(1, seed=2), 3 * line * points(1, seed=3) + 1
    assert_close(procrustes(source, target), target)


def test_coincident_points_land_on_the_target_s_mean():
    target = points(17)
    for place in (0.0, 1e3):
        landed = procrustes(torch.full_like(target, place), target)
        assert_close(landed, target.mean(0).expand_as(target))
    assert procrustes(target, torch.ones_like(target)).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_is_its_singles(dtype):
    source, target = points(2, 3, 17).to(dtype), points(2, 3, 17, seed=1).to(dtype)
    together = procrustes(source, target)
    assert together.dtype == dtype
    for i in range(2):
        for j in range(3):
            assert_close(together[i, j], procrustes(source[i, j], target[i, j]))


def test_its_gradient_is_that_of_finite_differences():
    source, target = points(2, 6).requires_grad_(), points(2, 6, seed=1)
    assert torch.autograd.gradcheck(lambda x: procrustes(x, target), source)

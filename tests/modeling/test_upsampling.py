"""Upsampling is a matrix over the vertices: whole, by rows, and through the joint regressor alike."""

import pytest
import torch
from tolerance import assert_close

from mpt.bodies.coarsening import Coarse
from mpt.modeling.upsampling import DenseUpsampler, SparseUpsampler, middle_sizes

COARSE, FULL, NEAR = 12, 40, 3


def dense() -> DenseUpsampler:
    torch.manual_seed(0)
    return DenseUpsampler(COARSE, (20,), FULL).double()


def dense_without_middle() -> DenseUpsampler:
    torch.manual_seed(0)
    return DenseUpsampler(COARSE, (), FULL).double()


def dense_by_two_middles() -> DenseUpsampler:
    torch.manual_seed(0)
    return DenseUpsampler(COARSE, (20, 30), FULL).double()


def sparse() -> SparseUpsampler:
    torch.manual_seed(0)
    near = torch.stack([torch.randperm(COARSE)[:NEAR] for _ in range(FULL)])
    return SparseUpsampler(near, torch.rand(FULL, NEAR)).double()


ALL = pytest.mark.parametrize("make", [dense, dense_without_middle, dense_by_two_middles, sparse])


def coarse_vertices() -> torch.Tensor:
    return torch.randn(4, COARSE, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@ALL
def test_asking_for_rows_gives_those_rows_of_the_whole(make):
    upsample, vertices = make(), coarse_vertices()
    rows = torch.tensor([5, 0, 39, 5])
    assert_close(upsample(vertices, rows), upsample(vertices)[:, rows])


@ALL
def test_regressed_joints_are_the_regressor_on_the_whole_mesh(make):
    upsample, vertices = make(), coarse_vertices()
    regressor = torch.rand(5, FULL, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert_close(upsample.regressed(vertices, regressor), regressor @ upsample(vertices))


@ALL
def test_x_y_and_z_share_one_map(make):
    upsample, vertices = make(), coarse_vertices()
    assert_close(upsample(vertices.flip(-1)), upsample(vertices).flip(-1))


@ALL
def test_a_batch_is_its_singles(make):
    upsample, vertices = make(), coarse_vertices()
    assert_close(upsample(vertices), torch.cat([upsample(one) for one in vertices.split(1)]))


@ALL
def test_every_weight_has_the_gradient_of_finite_differences(make):
    upsample, vertices = make(), coarse_vertices()[:2].requires_grad_()
    regressor = torch.rand(5, FULL, dtype=torch.float64)
    parameters = tuple(p.requires_grad_() for p in upsample.parameters())

    def run(vertices, *_):
        return upsample(vertices), upsample(vertices, torch.arange(0, FULL, 7))

    assert torch.autograd.gradcheck(run, (vertices, *parameters), fast_mode=True)
    assert torch.autograd.gradcheck(
        lambda v, *_: upsample.regressed(v, regressor), (vertices, *parameters), fast_mode=True
    )


def test_the_dense_one_is_two_matrices_in_a_row():
    upsample, vertices = dense(), coarse_vertices()
    first, second = upsample.to_middle, upsample.to_full
    middle = first.weight @ vertices + first.bias[:, None]
    assert_close(upsample(vertices), second.weight @ middle + second.bias[:, None])


def test_the_sizes_between_are_told_by_the_weights():
    for make, sizes in ((dense, (20,)), (dense_without_middle, ()), (dense_by_two_middles, (20, 30))):
        assert middle_sizes({f"upsample.{k}": v for k, v in make().state_dict().items()}) == sizes
    assert middle_sizes(sparse().state_dict()) == ()
    assert set(dense().state_dict()) == {
        "to_middle.weight", "to_middle.bias", "to_full.weight", "to_full.bias"
    }  # fmt: skip


def test_the_sparse_one_starts_as_the_body_s_interpolation():
    start, vertices = sparse(), coarse_vertices()
    coarse = Coarse(torch.arange(COARSE), torch.empty(0, 3), start.near.long(), start.weight.detach())
    assert_close(start(vertices), coarse.upsample(vertices))


def test_the_sparse_one_is_a_matrix_with_few_entries():
    upsample, vertices = sparse(), coarse_vertices()
    matrix = torch.zeros(FULL, COARSE, dtype=torch.float64)
    matrix.scatter_(1, upsample.near.long(), upsample.weight.detach())
    assert_close(upsample(vertices), matrix @ vertices)


def test_a_learned_sparse_upsampler_still_moves_with_the_body():
    upsample = SparseUpsampler(torch.tensor([[0, 1], [2, 1]]), torch.tensor([[0.3, 0.7], [1.5, -0.5]]))
    torch.nn.init.normal_(upsample.change, std=20)
    assert (upsample.weight - upsample.start).abs().max() > 0.01
    coarse, shift = torch.randn(4, 3, 3), torch.randn(3)
    assert_close(upsample(coarse + shift), upsample(coarse) + shift)

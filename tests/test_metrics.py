"""Metrics by their definitions, in plain loops, and sums that stay exact."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from clouds import MIRROR, points, procrustes_by_scipy, similar
from hypothesis import given
from hypothesis import strategies as st
from tolerance import assert_close

from mpt.metrics import ErrorSums, auc, f_score, mpjpe, pa_mpjpe, pck


def naive_mpjpe(predicted: np.ndarray, truth: np.ndarray) -> float:
    return 1000 * float(np.mean([np.sqrt(((p - t) ** 2).sum()) for p, t in zip(predicted, truth)]))


def naive_f_score(predicted: np.ndarray, truth: np.ndarray, threshold_mm: float) -> float:
    def share_near(some, others):
        near = [min(1000 * np.sqrt(((p - q) ** 2).sum()) for q in others) < threshold_mm for p in some]
        return sum(near) / len(near)

    precision, recall = share_near(predicted, truth), share_near(truth, predicted)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def test_mpjpe_is_the_mean_distance_in_millimetres():
    truth = points(5, 17)
    assert_close(mpjpe(truth + torch.tensor([0.003, 0.0, 0.004]), truth), torch.full((5,), 5.0))
    predicted = points(5, 17, seed=1)
    expected = [naive_mpjpe(p, t) for p, t in zip(predicted.numpy(), truth.numpy())]
    assert_close(mpjpe(predicted, truth), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["random", "mirrored", "flat"])
def test_pa_mpjpe_is_scipy_s(kind):
    truth, predicted = points(6, 14), points(6, 14, seed=1)
    if kind == "mirrored":
        predicted = truth * MIRROR + 0.02 * predicted
    elif kind == "flat":
        predicted = predicted * torch.tensor([1.0, 0.0, 1.0])
    expected = [
        naive_mpjpe(procrustes_by_scipy(p, t, reflection=False), t)
        for p, t in zip(predicted.numpy(), truth.numpy())
    ]
    assert_close(pa_mpjpe(predicted, truth), torch.tensor(expected, dtype=torch.float64))


def test_pa_mpjpe_of_collinear_and_coincident_points_is_defined():
    line = torch.linspace(0, 1, 14, dtype=torch.float64)[:, None] * points(1)
    assert_close(pa_mpjpe(similar(line), line), 0.0)
    truth = points(14)
    spread = mpjpe(truth.mean(0).expand_as(truth), truth)
    assert_close(pa_mpjpe(torch.zeros_like(truth), truth), spread)


def test_pa_mpjpe_ignores_place_turn_and_size_and_sees_mirror_images():
    truth, predicted = points(3, 17), points(3, 17, seed=1)
    assert_close(pa_mpjpe(similar(predicted), truth), pa_mpjpe(predicted, truth))
    assert (pa_mpjpe(truth * MIRROR, truth) > 100).all()
    assert_close(pa_mpjpe(truth * MIRROR, truth, reflection=True), 0.0)


def test_pa_mpjpe_of_single_precision_points_is_computed_in_double():
    truth = points(8, 17)
    predicted = (truth + 0.01 * points(8, 17, seed=1)).float()
    assert_close(pa_mpjpe(predicted, truth.float()), pa_mpjpe(predicted.double(), truth.float().double()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_f_score_is_its_definition(dtype):
    truth = 0.1 * points(3, 60)
    predicted = truth + 0.008 * points(3, 60, seed=1)
    for threshold in (5, 15, 30):
        expected = [naive_f_score(p, t, threshold) for p, t in zip(predicted.numpy(), truth.numpy())]
        found = f_score(predicted.to(dtype), truth.to(dtype), threshold)
        assert_close(found, torch.tensor(expected, dtype=torch.float64), dtype=torch.float64)


def test_f_score_is_one_on_itself_and_nought_far_away():
    cloud = points(2, 778).float() + 5  # a hand's vertices, some metres from the origin
    assert_close(f_score(cloud, cloud, 0.01), torch.ones(2, dtype=torch.float64))
    assert_close(f_score(cloud, cloud + 9, 15), torch.zeros(2, dtype=torch.float64))


def test_f_score_takes_clouds_of_unequal_size_either_way_round():
    few, many = 0.01 * points(2, 30), 0.01 * points(2, 50, seed=1)
    assert_close(f_score(few, many, 5), f_score(many, few, 5))


def naive_auc(predicted: np.ndarray, truth: np.ndarray) -> float:
    """FreiHAND's: the mean curve over 100 distances from 0 to 50 mm, its area by trapezoids."""
    limits = [0.05 * k / 99 for k in range(100)]
    distances = [np.sqrt(((p - t) ** 2).sum()) for p, t in zip(predicted, truth)]
    correct = [sum(d <= limit for d in distances) / len(distances) for limit in limits]
    area = sum((a + b) / 2 * (limits[k + 1] - limits[k]) for k, (a, b) in enumerate(pairwise(correct)))
    return area / 0.05


def test_auc_is_its_definition():
    truth = 0.1 * points(4, 21)
    predicted = truth + 0.02 * points(4, 21, seed=1)
    expected = [naive_auc(p, t) for p, t in zip(predicted.numpy(), truth.numpy())]
    assert_close(auc(predicted, truth), torch.tensor(expected, dtype=torch.float64))


def test_auc_is_one_on_itself_nought_far_away_and_half_at_half():
    truth = points(2, 21)
    aside = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    assert_close(auc(truth, truth), torch.ones(2, dtype=torch.float64))
    assert_close(auc(truth + aside, truth), torch.zeros(2, dtype=torch.float64))
    assert auc(truth + 0.025 * aside, truth).numpy() == pytest.approx(0.5, abs=1e-9)


def test_pck_is_the_share_of_known_points_within_the_limit():
    truth = points(3, 10)[..., :2]
    off = torch.arange(10, dtype=torch.float64)[:, None] * torch.tensor([0.6, 0.8], dtype=torch.float64)
    known = torch.ones(3, 10, dtype=torch.bool)
    known[1, :5] = known[2] = False
    share = pck(truth + off, truth, torch.tensor([3.5, 7.5, 1.0], dtype=torch.float64), known)
    assert share[:2].tolist() == [0.4, 0.6] and share[2].isnan()


@given(st.lists(st.lists(st.floats(0, 1e3), min_size=1, max_size=7), min_size=1, max_size=6))
def test_unequal_batches_average_to_the_mean_of_all(parts):
    sums = ErrorSums()
    for part in parts:
        sums.add(mpjpe=torch.tensor(part, dtype=torch.float64))
    everything = [value for part in parts for value in part]
    assert sums.means()["mpjpe"] == pytest.approx(np.mean(everything))
    assert sums.counts["mpjpe"] == len(everything)

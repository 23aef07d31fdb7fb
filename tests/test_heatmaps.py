"""Maps are Eq. 1, marginals are their sums, points come back, and noise keeps its promises."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tolerance import assert_close

from mpt.heatmaps import (
    DETECTOR,
    PAPER_NOISE,
    PAPER_STD_PX,
    PERFECT,
    Blobs,
    HeatmapNoise,
    add_floor,
    add_floor_to_marginals,
    blobs,
    decode,
    marginals,
    perturb,
    render,
    render_marginals,
)
from mpt.skeletons import COCO17, COCO29, HAND21

VARIED = HeatmapNoise(missing=0.0, clean_share=0.0, detector_share=0.0)
QUIET = replace(VARIED, jitter_px=0.0, limb_miss=0.0, limb_ghost=0.0, swap_share=0.0, floor=0.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(*size: int, low=0.0, high=1.0, seed: int = 0, dtype=torch.float32) -> torch.Tensor:
    return low + (high - low) * torch.rand(*size, generator=seeded(seed), dtype=dtype)


def many_peaks(size: int, dtype=torch.float64) -> Blobs:
    """Three unequal peaks for each of 3 x 4 joints, some outside, some absent."""
    peak = uniform(3, 4, 3, seed=2, dtype=dtype)
    peak[:, 1, 1:] = 0
    peak[2] = 0
    points = uniform(3, 4, 3, 2, low=-5, high=size + 5, dtype=dtype)
    return Blobs(points, uniform(3, 4, 3, 2, low=1, high=4, seed=1, dtype=dtype), peak)


def naive_maps(points: np.ndarray, size: int, sigma_px: float) -> np.ndarray:
    """Eq. 1, joint by joint and pixel by pixel."""
    maps = np.zeros((*points.shape[:2], size, size))
    for n, person in enumerate(points):
        for j, (x, y) in enumerate(person):
            for row in range(size):
                for column in range(size):
                    squared = (column - x) ** 2 + (row - y) ** 2
                    maps[n, j, row, column] = np.exp(-squared / sigma_px**2)
    return maps


def test_maps_are_the_paper_s_equation():
    points = uniform(2, 3, 2, low=-2, high=34, dtype=torch.float64)
    expected = torch.from_numpy(naive_maps(points.numpy(), 32, 3.0))
    assert_close(render(blobs(points), size=32), expected)
    assert_close(render(blobs(points.float()), size=32), expected)


def test_a_wide_and_flat_peak_is_the_product_of_two_gaussians():
    one = Blobs(torch.tensor([[[[10.3, 20.6]]]]), torch.tensor([[[[2.0, 5.0]]]]), torch.tensor([[[0.4]]]))
    cell = torch.arange(32.0)
    x, y = torch.exp(-((cell - 10.3) ** 2) / 8), torch.exp(-((cell - 20.6) ** 2) / 50)
    assert_close(render(one, 32)[0, 0], 0.4 * y[:, None] * x)


def test_several_peaks_add_up():
    drawn = many_peaks(24)
    apart = [Blobs(*(part[:, :, k : k + 1] for part in vars(drawn).values())) for k in range(3)]
    assert_close(render(drawn, 24), sum(render(one, 24) for one in apart))


@pytest.mark.parametrize("peaks", [1, 3])
def test_a_reused_buffer_gets_the_same_maps(peaks):
    drawn = many_peaks(24, torch.float32)
    drawn = Blobs(*(part[:, :, :peaks] for part in vars(drawn).values()))
    buffer = torch.full((3, 4, 24, 24), 7.0)
    assert render(drawn, 24, out=buffer) is buffer
    assert torch.equal(buffer, render(drawn, 24))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_marginals_without_maps_are_the_maps_marginals(dtype):
    drawn = many_peaks(24, dtype)
    assert_close(render_marginals(drawn, 24), marginals(render(drawn, 24)))


def test_marginals_run_over_x_first_then_over_y():
    maps = torch.zeros(1, 1, 8, 8)
    maps[0, 0, 2, 5] = 1  # row 2, column 5
    over_x, over_y = marginals(maps)[0, 0]
    assert over_x.argmax() == 5 and over_y.argmax() == 2


@pytest.mark.parametrize("draw", [render, render_marginals])
def test_gradients_are_those_of_finite_differences(draw):
    drawn = many_peaks(9)
    parts = drawn.points, drawn.std, drawn.peak.clamp_min(0.1)  # a peak of 0 is none, and has no slope
    inputs = [part[:2].requires_grad_() for part in parts]
    assert torch.autograd.gradcheck(lambda p, s, h: draw(Blobs(p, s, h), 9), inputs)


@pytest.mark.parametrize("std", [1.5, PAPER_STD_PX, 4.0, 8.0])
def test_decoding_gives_back_the_points_of_blobs_of_any_width(std):
    points = uniform(5, 17, 2, low=40, high=180)
    found = decode(render(blobs(points, std, 0.6)))
    torch.testing.assert_close(found[..., :2], points, atol=1e-3, rtol=0)
    assert (found[..., 2] <= 0.6).all() and (found[..., 2] > 0.5).all()


def test_decoding_gives_back_points_near_the_border_and_in_wide_pictures():
    points = torch.tensor([[[0.0, 0.4], [1.3, 222.6], [222.9, 3.2], [223.0, 223.0]]])
    found = decode(render(blobs(points, 3.0)))
    assert ((found[..., :2] - points).abs() < 0.51).all()
    inside = torch.tensor([[[55.7, 20.3]]])
    wide = render(blobs(inside, 3.0), 64)[:, :, :48]
    torch.testing.assert_close(decode(wide)[..., :2], inside, atol=1e-3, rtol=0)


def test_decoding_under_noise_is_off_by_less_than_a_cell():
    points = uniform(10, 17, 2, low=40, high=180)
    maps = add_floor(render(blobs(points, 5.5, 0.5)), torch.full((10, 1), 0.004), seeded())
    assert (decode(maps)[..., :2] - points).abs().max() < 1


def test_an_empty_map_is_the_middle_with_score_0_and_a_flat_one_is_finite():
    assert_close(decode(torch.zeros(1, 2, 20, 30)), torch.tensor([[[14.5, 9.5, 0.0]] * 2]))
    assert decode(torch.ones(1, 2, 20, 30)).isfinite().all()


def test_a_batch_is_its_singles():
    drawn = many_peaks(24)
    maps = render(drawn, 24)
    for n in range(3):
        one = Blobs(*(part[n : n + 1] for part in vars(drawn).values()))
        assert_close(render(one, 24)[0], maps[n])
        assert_close(render_marginals(one, 24)[0], render_marginals(drawn, 24)[n])
        assert_close(decode(maps[n : n + 1])[0], decode(maps)[n])


def drawn_with(noise, count=400, visible=None, seed=0, size=224):
    points = uniform(count, 17, 2, low=30, high=size - 30, seed=9)
    visible = torch.ones(count, 17, dtype=torch.bool) if visible is None else visible
    return points, *perturb(points, visible, COCO17, noise, size, seeded(seed))


def test_perfect_noise_is_the_paper_s_blobs():
    visible = uniform(400, 17, seed=3) > 0.2
    points, drawn, floor = drawn_with(PERFECT, visible=visible)
    assert torch.equal(drawn.points[:, :, 0], points)
    assert_close(drawn.std[:, :, 0], torch.full((400, 17, 2), PAPER_STD_PX))
    assert torch.equal(drawn.peak[:, :, 0], visible.float())
    assert not drawn.peak[:, :, 1:].any() and not floor.any()


def test_perfect_blobs_shrink_with_the_crop():
    _, drawn, _ = drawn_with(PERFECT, size=112)
    assert_close(drawn.std[:, :, 0], torch.full((400, 17, 2), PAPER_STD_PX / 2))


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_never_more_joints_are_masked_than_the_ratio_says(ratio):
    _, drawn, _ = drawn_with(replace(QUIET, mask_ratio=ratio), count=2000)
    masked = (drawn.peak[:, :, 0] == 0).sum(1)
    most = math.ceil(ratio * 17) - 1 if ratio else 0  # int(U(0, 1) * ratio * joints), U below 1
    assert masked.max() == most
    counts = torch.bincount(masked, minlength=most + 1).double() / 2000
    expected = torch.full((most + 1,), 1 / (17 * ratio) if ratio else 1.0).double()
    expected[-1] = 1 - expected[:-1].sum()
    torch.testing.assert_close(counts, expected, atol=0.04, rtol=0)
    of_joint = (drawn.peak[:, :, 0] == 0).double().mean(0)
    assert (of_joint - of_joint.mean()).abs().max() < 0.05  # no joint is spared


def test_varied_widths_and_heights_stay_near_their_ranges():
    _, drawn, _ = drawn_with(QUIET, count=2000)
    std, peak = drawn.std[:, :, 0], drawn.peak[:, :, 0]
    assert std.min() > 0.7 and std.max() < 20
    assert 2.0 < std.median() < 8.0
    assert (peak[peak > 0] >= QUIET.peak[0]).all() and (peak <= QUIET.peak[1]).all()


def test_jitter_has_its_size():
    points, drawn, _ = drawn_with(replace(QUIET, jitter_px=2.0), count=4000)
    off = (drawn.points[:, :, 0] - points).double()
    # a sample's deviation is uniform up to twice the size: mean square 4 / 3 of the size squared
    assert off.square().mean() == pytest.approx(4 / 3 * 2.0**2, rel=0.05)
    assert off.mean().abs() < 0.05


def test_a_swap_exchanges_both_legs_below_the_hips():
    points, drawn, _ = drawn_with(replace(QUIET, swap_share=0.3))
    found, flip = drawn.points[:, :, 0], torch.as_tensor(COCO17.flip)
    swapped = (found != points).any(-1)
    legs = torch.tensor(["knee" in joint or "ankle" in joint for joint in COCO17.joints])
    assert torch.equal(found, torch.where(swapped[..., None], points[:, flip], points))
    assert torch.equal(swapped, swapped[:, -1:] & legs)  # all of the four or none
    assert 0.25 < swapped[:, -1].double().mean() < 0.35


@pytest.mark.parametrize("noise", [DETECTOR, VARIED], ids=["detector", "varied"])
def test_further_peaks_are_lower_and_on_limbs_only(noise):
    _, drawn, _ = drawn_with(noise, count=2000)
    first, second, skirt = drawn.peak.unbind(-1)
    limbs = [any(w in j for w in ("elbow", "wrist", "knee", "ankle")) for j in COCO17.joints]
    assert (second <= 0.6 * first).all() and (second > 0).any(0).tolist() == limbs
    assert (skirt <= 0.04 * first).all()
    assert (skirt > 0).any(0).tolist() == (limbs if noise is DETECTOR else [False] * 17)


def test_an_invisible_joint_has_no_peak_but_where_a_detector_guesses_it():
    visible = torch.ones(1000, 17, dtype=torch.bool)
    visible[:, [0, 9, 16]] = False
    _, varied, _ = drawn_with(VARIED, 1000, visible)
    assert not varied.peak[:, [0, 9, 16]].any()
    _, guessed, _ = drawn_with(DETECTOR, 1000, visible)
    low = guessed.peak[:, [0, 9, 16], 0]
    assert 0.5 < (low > 0).double().mean() < 0.7
    assert low.max() <= 0.5
    assert guessed.points[:, [0, 9, 16], 0][low > 0].min() >= 0
    assert guessed.points[:, [0, 9, 16], 0][low > 0].max() <= 223


def test_low_detector_peaks_are_wide_ones():
    _, drawn, _ = drawn_with(replace(DETECTOR, limb_ghost=0.0), count=2000)
    peak, std = drawn.peak[:, :, 0].flatten(), drawn.std[:, :, 0].mean(-1).flatten()
    assert torch.corrcoef(torch.stack([peak, std]))[0, 1] < -0.4
    assert peak.min() > 0.2 and peak.max() < 1 and std.min() > 3.5


def test_shares_of_kinds_are_those_asked_for():
    noise = HeatmapNoise(clean_share=0.2, detector_share=0.5, missing=0.0)
    points, drawn, floor = drawn_with(noise, count=4000)
    clean = (drawn.points[:, :, 0] == points).all(-1).all(-1)
    assert clean.double().mean() == pytest.approx(0.2, abs=0.02)
    assert torch.equal(clean[:, None].expand(-1, 17), floor == 0)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_whole_groups_of_joints_are_missing_and_leave_nothing_behind(share):
    points = 112 + 20 * torch.randn(4000, 29, 2, generator=seeded())
    visible = torch.ones(4000, 29, dtype=torch.bool)
    noise = HeatmapNoise(missing=share, mask_ratio=0.0)
    drawn, floor = perturb(points, visible, COCO29, noise, 112, seeded(1))
    missing = (drawn.peak == 0).all(-1)
    assert (drawn.peak[missing] == 0).all() and (floor[missing] == 0).all()
    assert missing.any(1).double().mean() == pytest.approx(share, abs=0.02)
    groups = {frozenset(row.nonzero()[:, 0].tolist()) for row in missing.unique(dim=0)} - {frozenset()}
    feet, hands = frozenset(range(17, 23)), frozenset(range(23, 29))
    assert groups == {frozenset((19, 20)), feet, hands, feet | hands, frozenset(range(5))}
    only_coco = missing[:, 17:].all(1) & ~missing[:, :17].any(1)
    assert only_coco.double().mean() == pytest.approx(0.22 * share, abs=0.02)


def test_equal_generators_draw_equal_noise():
    _, first, floor = drawn_with(HeatmapNoise(), seed=4)
    _, second, other = drawn_with(HeatmapNoise(), seed=4)
    assert all(torch.equal(a, b) for a, b in zip(vars(first).values(), vars(second).values()))
    assert torch.equal(floor, other)


def test_a_floor_stays_within_0_and_1_and_a_floor_of_nought_changes_nothing():
    maps = render(many_peaks(24, torch.float32), 24).clamp(0, 1)
    noisy = add_floor(maps, torch.tensor([[0.0], [0.1], [0.5]]), seeded())
    assert torch.equal(noisy[0], maps[0])
    assert noisy.min() >= 0 and noisy.max() <= 1
    assert (noisy[1] - maps[1]).std() < (noisy[2] - maps[2]).std()


def test_the_floor_of_marginals_has_mean_and_variance_of_a_summed_floor():
    level = torch.tensor([[0.004], [0.02], [0.0]])
    empty = torch.zeros(3, 60, 96, 96)
    summed = marginals(add_floor(empty, level, seeded(1)))
    direct = add_floor_to_marginals(marginals(empty), level, seeded(2))
    count = summed[0].numel()
    for n in range(2):
        spread = summed[n].std()
        assert (summed[n].mean() - direct[n].mean()).abs() < 5 * spread * math.sqrt(2 / count)
        assert (direct[n].std() / spread - 1).abs() < 5 / math.sqrt(count)
    assert not direct[2].any()


def test_noise_on_a_hand_moves_fingers_as_on_a_person_limbs():
    points = uniform(3000, 21, 2, low=60, high=160, seed=9)
    visible = torch.ones(3000, 21, dtype=torch.bool)
    drawn, _ = perturb(points, visible, HAND21, replace(DETECTOR, limb_miss=0.0), 224, seeded())
    off = drawn.points[:, :, 0] - points
    assert off.isfinite().all() and off.norm(dim=-1).median() < 8
    second, third, neighbour = (off[:, HAND21.index(joint)] for joint in ("index2", "index3", "middle3"))

    def alike(a, b):
        return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]

    assert alike(second, third) > 0.3 > alike(third, neighbour)  # errors run along a finger
    assert (drawn.peak[:, HAND21.index("index1"), 1] == 0).all()  # a knuckle has no second peak, ...
    assert (drawn.peak[:, HAND21.index("index4"), 1] > 0).any()  # ... a tip may


def test_a_detector_draws_foreshortened_limbs_too_long_and_flat_ones_right():
    at = {"left_shoulder": (100, 60, 0), "left_elbow": (124, 60, 32), "left_wrist": (164, 60, 32)}
    rest = torch.tensor([112.0, 112, 0]).repeat(29, 1)
    for joint, place in at.items():
        rest[COCO29.index(joint)] = torch.tensor(place, dtype=torch.float32)
    points, depth = rest.expand(4000, -1, -1).split([2, 1], -1)
    quiet = replace(DETECTOR, error_of_std=-9.0, limb_miss=0.0, swap_share=0.0, limb_ghost=0.0)
    visible = torch.ones(4000, 29, dtype=torch.bool)
    lengths = {}
    for flattened in (0.35, 0.0):
        noise = replace(quiet, flattened=flattened)
        drawn, _ = perturb(points, visible, COCO29, noise, 224, seeded(), depth=depth[..., 0])
        shoulder, elbow, wrist = (drawn.points[:, COCO29.index(joint), 0].mean(0) for joint in at)
        lengths[flattened] = torch.stack([(elbow - shoulder).norm(), (wrist - elbow).norm()])
    longer = (24**2 + (0.35 * 32) ** 2) ** 0.5 - 24  # 2.5 px of an upper arm of 24 that reaches 32 away
    torch.testing.assert_close(lengths[0.35] - lengths[0.0], torch.tensor([longer, 0.0]), rtol=0, atol=0.15)
    still, _ = perturb(points, visible, COCO29, quiet, 224, seeded())  # nothing is known of depth
    torch.testing.assert_close(
        still.points[:, :, 0].mean((0, 1)), drawn.points[:, :, 0].mean((0, 1)), rtol=0, atol=0.15
    )


def test_hands_go_with_their_wrists_and_ankles_are_surer_than_knees():
    points = uniform(4000, 29, 2, low=60, high=160, seed=9)
    drawn, _ = perturb(points, torch.ones(4000, 29, dtype=torch.bool), COCO29, DETECTOR, 224, seeded())
    off = dict(zip(COCO29.joints, (drawn.points[:, :, 0] - points).unbind(1)))
    peak = dict(zip(COCO29.joints, drawn.peak[:, :, 0].unbind(1)))
    for one, other, least, most in (
        ("left_index_knuckle", "left_wrist", 0.8, 1.0),
        ("left_heel", "left_ankle", 0.4, 0.9),
        ("left_ankle", "left_knee", 0.0, 0.3),
        ("left_index_knuckle", "right_wrist", -0.1, 0.2),
    ):
        inliers = (off[one].norm(dim=-1) < 60) & (off[other].norm(dim=-1) < 60)
        pair = torch.stack([off[one][inliers].flatten(), off[other][inliers].flatten()])
        assert least < torch.corrcoef(pair)[0, 1] < most
    assert torch.corrcoef(torch.stack([peak["left_wrist"], peak["left_pinky_knuckle"]]))[0, 1] > 0.99
    ankle, knee, wrist = (off[f"right_{joint}"].norm(dim=-1).median() for joint in ("ankle", "knee", "wrist"))
    assert 2 < ankle < 0.85 * knee < 0.85 * wrist < 4


def test_the_paper_s_noise_is_eq_1_in_every_sample():
    """1,000 samples: one width and height, some joints masked, of each other one a jitter of its own."""
    points, visible = torch.full((1000, 17, 2), 112.0), torch.ones(1000, 17, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    drawn, floor = perturb(points, visible, COCO17, PAPER_NOISE, 224, generator)
    peak, std = drawn.peak[:, :, 0], drawn.std[:, :, 0]
    assert ((peak == 0) | (peak == 1)).all() and (drawn.peak[:, :, 1:] == 0).all()
    assert (std - 3 / math.sqrt(2)).abs().max() < 1e-6
    masked = (peak == 0).sum(1)
    counts = torch.bincount(masked, minlength=6) / 1000
    assert masked.max() == 5 and abs(counts[5] - 0.1 / 5.1) < 0.02  # int(U(0, 1) * 0.3 * 17)
    assert (counts[:5] - 1 / 5.1).abs().max() < 0.04
    off = (drawn.points[:, :, 0] - points).flatten(1)
    assert off.std() == pytest.approx(4 / math.sqrt(3), rel=0.05)  # deviations from 0 to 4 px, evenly
    own = (off / off.std(1, keepdim=True)).T.corrcoef().fill_diagonal_(0)
    assert own.abs().max() < 0.15  # no joint's error follows another's
    assert floor.min() >= 0 and floor.max() <= 0.004
    maps = render(blobs(drawn.points[:3, :, 0].round(), std[:3, :, 0]), 224)
    cells, at = torch.arange(224.0), drawn.points[:3, :, 0].round()[..., None]
    x, y = (cells - at).square().unbind(2)
    eq_1 = torch.exp(-(x[:, :, None] + y[..., None]) / 9)
    assert (maps - eq_1).abs().max() < 1e-6

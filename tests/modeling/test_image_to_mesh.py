"""The 2D network and the transformer as one: gradients flow through the heatmaps, only where they should."""

from dataclasses import replace

import pytest
import torch
from tolerance import assert_close

from mpt import bodies
from mpt.errors import InputError
from mpt.modeling.image_to_mesh import ImageToMesh, merge
from mpt.modeling.mesh_transformer import PAPER, SMALL, MeshTransformer
from mpt.pose2d.adapters import resize
from mpt.pose2d.higher_hrnet import HigherHRNet
from mpt.pose2d.small import SmallHeatmapNet
from mpt.recipes.finetune import FinetuneWeights, PhotoBatch, objective
from mpt.recipes.truth import Truth

JOINTS = replace(SMALL, hidden=(16,), layers=1, heads=2, heatmap_size=32)
PATCHES = replace(
    PAPER, hidden=(8,), layers=1, heads=2, upsampler="sparse", vertex_queries=False, heatmap_size=32,
    skip_below=0.0,
)  # fmt: skip
SKIPPING = replace(PATCHES, patch_size=2, skip_below=0.5)  # random maps are full of low noise
FEATURES = replace(PATCHES, inputs="features", feature_channels=8, feature_tokens=16)
GRAPHORMER = replace(
    PATCHES,
    inputs="features",
    feature_channels=14 * 4,
    feature_tokens=4,
    feature_global=True,
    vertex_queries=True,
)
COORDINATES = replace(JOINTS, inputs="coordinates")
MESH_TERMS = ("vertices", "joints", "regressed", "projected")


@pytest.fixture(scope="module")
def body():
    return bodies.load(skeleton="coco17")


def made(config, body, network=None) -> ImageToMesh:
    torch.manual_seed(0)
    network = network or SmallHeatmapNet(4)
    torch.nn.init.normal_(network.final_layers[-1].weight, std=0.1)  # as if it saw something
    return ImageToMesh(network, MeshTransformer.for_body(body, config))


def losses(model: ImageToMesh, body, *, side: int = 64) -> dict[str, torch.Tensor]:
    """The terms of Eq. 7 against truth drawn at random."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    n, joints, known = 2, len(body.skeleton), torch.ones(2)
    truth = Truth(
        normal(n, len(body.template), 3), known.bool(), normal(n, joints, 3), torch.ones(n, joints).bool(),
        normal(n, joints, 2).clamp(-1, 1), torch.ones(n, joints),
        torch.zeros(n, 17, 3), torch.zeros(n, 17).bool(),
    )  # fmt: skip
    batch = PhotoBatch(normal(n, 3, side, side), truth, torch.arange(20))
    coarse = body.coarsened(model.transformer.config.coarse_vertices).index
    return objective(model(batch.images, rows=batch.rows), batch, coarse, FinetuneWeights(), 2.0)


def first_gradient(model: ImageToMesh, loss: torch.Tensor) -> torch.Tensor:
    first = next(model.network.parameters())
    (gradient,) = torch.autograd.grad(loss, first, retain_graph=True, allow_unused=True)
    return torch.zeros_like(first) if gradient is None else gradient


@pytest.mark.parametrize("config", [PATCHES, SKIPPING, JOINTS, FEATURES, GRAPHORMER])
def test_each_loss_alone_reaches_the_2d_network_s_first_layer(config, body):
    model = made(config, body)
    for name, loss in losses(model, body).items():
        gradient = first_gradient(model, loss)
        assert gradient.isfinite().all() and gradient.abs().max() > 0, name


def test_each_loss_alone_reaches_higherhrnet_s_first_layer(body):
    model = made(PATCHES, body, HigherHRNet(4))
    for name, loss in losses(model, body).items():
        gradient = first_gradient(model, loss)
        assert gradient.isfinite().all() and gradient.abs().max() > 0, name


def test_nothing_flows_back_through_coordinates_but_the_heatmap_loss(body):
    model = made(COORDINATES, body)
    terms = losses(model, body)
    for name in MESH_TERMS:
        assert not first_gradient(model, terms[name]).any(), name
    assert first_gradient(model, terms["heatmaps"]).any()


def test_nothing_flows_back_through_what_is_below_the_threshold(body):
    model = made(SKIPPING, body)
    seen = []
    model.transformer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    terms = losses(model, body)
    (slope,) = torch.autograd.grad(sum(terms[name] for name in MESH_TERMS), seen[0])
    above = seen[0] >= SKIPPING.skip_below
    assert model.transformer.kept_tokens(seen[0]) < model.transformer.seen_count
    assert above.any() and not slope[~above].any()
    assert slope[above].count_nonzero() > 0.99 * above.sum()


def test_it_is_the_network_then_the_transformer(body):
    model = made(JOINTS, body).eval()
    images = torch.randn(2, 3, 64, 64)
    output = model(images)
    (maps,) = model.network(images)
    assert torch.equal(output.heatmaps[0], maps)
    seen = model.transformer.prepare(resize(maps, 32).clamp(0, 1))
    for one, other in zip(output.prediction.parts, model.transformer(seen).parts):
        assert_close(one, other)


def test_a_batch_is_its_images_one_by_one(body):
    model = made(PATCHES, body).eval()
    images = torch.randn(3, 3, 64, 64)
    together = model(images).prediction
    for i in range(3):
        for one, all_of_them in zip(model(images[i : i + 1]).prediction.parts, together.parts):
            assert_close(one[0], all_of_them[i])


def test_branches_are_merged_as_higherhrnet_s_test_code_does():
    torch.manual_seed(0)
    network = HigherHRNet(4).eval()
    images = torch.randn(1, 3, 64, 64)
    quarter, half = network(images)
    assert_close(merge((quarter[:, :17], half)), network.heatmaps(images, None))


def test_tags_are_left_aside_and_both_branches_are_supervised(body):
    output = made(PATCHES, body, HigherHRNet(4))(torch.randn(1, 3, 64, 64))
    assert [tuple(maps.shape) for maps in output.heatmaps] == [(1, 17, 16, 16), (1, 17, 32, 32)]


def test_image_features_are_pooled_to_the_transformer_s_tokens(body):
    model = made(FEATURES, body).eval()
    seen = {}
    model.transformer.register_forward_pre_hook(lambda _, inputs: seen.update(shape=inputs[0].shape))
    model(torch.randn(2, 3, 64, 64))
    assert seen["shape"] == (2, 8, 4, 4)
    assert not model.network.final_layers[0]._forward_pre_hooks  # the tap is gone


def test_features_of_all_resolutions_are_pooled_to_one_grid_fine_ones_first(body):
    model = made(GRAPHORMER, body).eval()
    images = torch.randn(2, 3, 64, 64)
    seen, maps = model.see(images)
    assert seen.shape == (2, 56, 2, 2) and maps[0].shape == (2, 17, 16, 16)
    x, levels = images, []
    for halve in model.network.down:
        x = halve(x)
        levels.append(x)
    assert [level.shape[1:] for level in levels[1:]] == [(8, 16, 16), (12, 8, 8), (16, 4, 4), (20, 2, 2)]
    for mine, level in zip(seen.split([8, 12, 16, 20], 1), levels[1:]):
        means = level.unflatten(-1, (2, -1)).unflatten(-3, (2, -1)).mean((-3, -1))
        assert_close(mine, means)
    assert not any(part._forward_hooks for part in model.network.modules())  # the taps are gone


def test_higherhrnet_s_four_branches_are_graphormer_s_49_grid_tokens(body):
    network = HigherHRNet(4)
    config = replace(GRAPHORMER, feature_channels=15 * 4, feature_tokens=49)
    model = made(config, body, network)
    seen, _ = model.see(torch.randn(1, 3, 224, 224))
    assert seen.shape == (1, 60, 7, 7)
    assert sum(channels for _, channels in HigherHRNet(48).levels) == 720
    seen.square().sum().backward()
    for branch, _ in network.levels:
        assert all(p.grad is not None and p.grad.any() for p in branch.parameters())


def test_features_of_another_width_or_no_square_are_refused(body):
    for change in ({"feature_channels": 9}, {"feature_tokens": 15}, {"feature_tokens": 0}):
        transformer = MeshTransformer.for_body(body, replace(FEATURES, **change))
        with pytest.raises(InputError, match="has 8 channels: set feature_channels=8"):
            ImageToMesh(SmallHeatmapNet(4), transformer)
    transformer = MeshTransformer.for_body(body, replace(GRAPHORMER, feature_channels=8))
    with pytest.raises(InputError, match="has 56 channels: set feature_channels=56"):
        ImageToMesh(SmallHeatmapNet(4), transformer)


def test_a_frozen_network_keeps_its_batch_statistics(body):
    model = made(JOINTS, body)
    model.network.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    model.train()
    model(torch.randn(2, 3, 64, 64))
    assert model.transformer.training and not model.network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())
    model.network.requires_grad_(True)
    model.train()
    assert model.network.training


def test_a_picture_of_an_odd_size_is_refused():
    with pytest.raises(InputError, match=r"48 x 64 pixels: choose an input size that is a multiple of 32"):
        SmallHeatmapNet(4)(torch.zeros(1, 3, 64, 48))


def test_the_small_network_gives_maps_of_a_quarter_and_uses_all_its_weights():
    network = SmallHeatmapNet(24)
    assert sum(p.numel() for p in network.parameters()) < 1e6
    (maps,) = network(torch.randn(2, 3, 64, 96))
    assert maps.shape == (2, 17, 16, 24)
    maps.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())

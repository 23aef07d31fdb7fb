"""No dead parameters, a batch is its singles, masking by the right number."""

import itertools
from dataclasses import replace

import pytest
import torch
from tolerance import assert_close

from mpt import bodies
from mpt.heatmaps import Blobs, blobs, marginals, render, render_marginals
from mpt.modeling.mesh_transformer import (
    PAPER,
    SMALL,
    MeshTransformer,
    MeshTransformerConfig,
    _describe,
)
from mpt.modeling.upsampling import DenseUpsampler

JOINTS, COARSE, FULL, SIZE = 5, 9, 30, 32
SHRUNK = {"heatmap_size": SIZE, "coarse_vertices": COARSE, "heads": 2}
PAPER_LIKE = replace(PAPER, hidden=(32, 16, 8), layers=2, dropout=0.0, skip_below=0.0, **SHRUNK)
SKIPPING = replace(PAPER_LIKE, skip_below=0.01)
SMALL_LIKE = replace(SMALL, hidden=(16,), layers=2, **SHRUNK)
KINDS = {
    "patches": PAPER_LIKE,
    "patches, without empty ones": SKIPPING,
    "patches, sparse": replace(PAPER_LIKE, upsampler="sparse"),
    "patches, vertices read out": replace(PAPER_LIKE, vertex_queries=False),
    "joints": SMALL_LIKE,
    "joints, vertex queries": replace(SMALL_LIKE, vertex_queries=True, upsampler="dense"),
    "joints, and how sure": replace(SMALL_LIKE, readout=8, gravity=True, spread=True),
    "coordinates": replace(PAPER_LIKE, inputs="coordinates"),
    "coordinates, vertices read out": replace(SMALL_LIKE, inputs="coordinates"),
    "features": replace(PAPER_LIKE, inputs="features", feature_channels=6, feature_tokens=16),
    "features, Graphormer's": replace(
        PAPER_LIKE, inputs="features", feature_channels=6, feature_tokens=16, feature_global=True
    ),
}
ALL = pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)


def build(config: MeshTransformerConfig, seed: int = 0) -> MeshTransformer:
    torch.manual_seed(seed)
    weight = torch.rand(FULL, 3)
    model = MeshTransformer(
        config,
        torch.randn(JOINTS, 3),
        torch.randn(COARSE, 3),
        torch.stack([torch.randperm(COARSE)[:3] for _ in range(FULL)]),
        weight / weight.sum(1, keepdim=True),
        torch.rand(JOINTS, FULL),
        middle_vertices=(14,),
    )
    return model.eval()


def random_blobs(n: int, dtype=torch.float32) -> Blobs:
    generator = torch.Generator().manual_seed(n)
    points = SIZE * torch.rand(n, JOINTS, 2, generator=generator, dtype=dtype)
    return blobs(points, 1.5, 0.2 + 0.8 * torch.rand(n, JOINTS, generator=generator, dtype=dtype))


def random_input(model: MeshTransformer, n: int) -> torch.Tensor:
    if model.config.inputs == "features":
        return torch.randn(n, 6, 4, 4, generator=torch.Generator().manual_seed(n))
    return model.prepare(render(random_blobs(n), SIZE))


@ALL
def test_predictions_have_their_shapes(config):
    model = build(config)
    prediction = model(random_input(model, 3))
    shapes = [tuple(part.shape) for part in prediction.parts]
    joints = (3, JOINTS, 3)
    sure = [(3, JOINTS), (3, 3), (3,)] if config.spread else []
    assert shapes == [joints, (3, COARSE, 3), (3, FULL, 3), joints, (3, 3), (3, 0, 3), *sure]
    assert all(part.dtype == torch.float32 and part.isfinite().all() for part in prediction.parts)


@ALL
def test_every_parameter_gets_a_gradient(config):
    model = build(config).train()
    seen = random_input(model, 6)
    prediction = model(seen, mask_queries=0.9, generator=torch.Generator().manual_seed(0))
    sum((part * torch.randn_like(part)).sum() for part in prediction.parts).backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not dead
    for block in model.blocks:  # no place in a table is never read
        assert block.position.grad.any(1).all()


@ALL
def test_a_batch_is_its_singles(config):
    model = build(config)
    seen = random_input(model, 4)
    together = model(seen)
    for n in range(4):
        for part, alone in zip(together.parts, model(seen[n : n + 1]).parts):
            assert_close(part[n], alone[0])


@ALL
def test_asking_for_rows_gives_those_rows_and_the_same_joints(config):
    model, rows = build(config), torch.tensor([29, 3, 4])
    seen, further = random_input(model, 2), torch.rand(3, model.regressor.shape[1])
    whole, some = model(seen), model(seen, rows=rows, further=further)
    assert_close(some.vertices, whole.vertices[:, rows])
    assert_close(some.further, further @ whole.vertices)
    assert_close(some.regressed, whole.regressed)
    assert_close(some.joints, whole.joints)


@ALL
def test_what_is_seen_matters(config):
    model = build(config)
    seen = random_input(model, 2)
    for part in model(seen, further=torch.rand(3, model.regressor.shape[1])).parts:
        assert not torch.allclose(part[0], part[1], atol=1e-5)


@ALL
def test_a_model_repeats_itself_and_dropout_is_for_training_only(config):
    model = build(replace(config, dropout=0.3))
    seen = random_input(model, 2)
    assert torch.equal(model(seen).vertices, model(seen).vertices)
    assert_close(build(config)(seen).vertices, model(seen).vertices)
    model.train()
    assert not torch.equal(model(seen).vertices, model(seen).vertices)


@pytest.mark.parametrize("config", [PAPER_LIKE, SMALL_LIKE], ids=["patches", "joints"])
def test_metres_are_not_rounded_to_the_precision_of_autocast(config):
    model = build(config)
    seen = random_input(model, 2)
    with torch.autocast("cpu", torch.bfloat16):
        prediction = model(seen, further=torch.rand(3, model.regressor.shape[1]))
    for part in prediction.parts:
        assert part.dtype == torch.float32
        assert not torch.equal(part, part.bfloat16().float())
    assert_close(prediction.vertices, model.upsample(prediction.coarse))
    assert_close(prediction.regressed, model.regressor @ prediction.vertices)


@pytest.mark.parametrize("config", [PAPER_LIKE, SMALL_LIKE], ids=["patches", "joints"])
def test_a_whole_model_runs_in_bfloat16(config):
    model = build(config)
    seen = random_input(model, 2)
    expected = model(seen)
    for part, exact in zip(model.bfloat16()(seen.bfloat16()).parts, expected.parts):
        assert part.dtype == torch.float32
        torch.testing.assert_close(part, exact, atol=0.1, rtol=0.1)


def test_masked_queries_are_as_many_as_drawn_and_replaced_whole():
    model = build(PAPER_LIKE)
    queries = torch.randn(600, COARSE, 32)
    masked = model._mask(queries, 0.8, torch.Generator().manual_seed(0))
    replaced = (masked != queries).any(-1)
    share = torch.rand(600, 1 + COARSE, generator=torch.Generator().manual_seed(0))[:, 0]
    assert torch.equal(replaced.sum(1), (share * 0.8 * COARSE).int())
    assert (masked[replaced] == model.masked_query).all()
    assert torch.equal(masked[~replaced], queries[~replaced])
    assert replaced.float().mean(0).std() < 0.05  # any query may be taken


def test_the_image_s_vector_is_joined_to_every_query_as_graphormer_does():
    """One Linear over a query's xyz and the mean of the grid, of the two layers' weights side by side."""
    model = build(KINDS["features, Graphormer's"])
    seen = random_input(model, 3)
    mean = seen.flatten(2).mean(-1)[:, None]
    queries = []
    for layer, template in (
        (model.joint_query, model.template_joints),
        (model.vertex_query, model.template_coarse),
    ):
        weight = torch.cat([layer.weight, model.image_query.weight], 1)
        joined = torch.cat([template.expand(3, -1, -1), mean.expand(-1, len(template), -1)], -1)
        queries.append(joined @ weight.T + layer.bias)
    tokens = []
    model.blocks[0].register_forward_pre_hook(lambda _, inputs: tokens.append(inputs[0]))
    model(seen)
    assert_close(tokens[0][:, : JOINTS + COARSE], torch.cat(queries, 1))
    assert tokens[0].shape[1] == JOINTS + COARSE + 16


def test_masking_none_changes_nothing_and_masking_some_does():
    model = build(PAPER_LIKE)
    seen = random_input(model, 3)
    assert torch.equal(model(seen, mask_queries=0.0).vertices, model(seen).vertices)
    masked = model(seen, mask_queries=0.9, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(masked.vertices, model(seen).vertices)


@pytest.mark.parametrize("name", ["patches", "joints"])
def test_gradients_flow_from_the_mesh_into_the_maps(name):
    model = build(KINDS[name]).double()
    maps = render(random_blobs(1, torch.float64), SIZE).requires_grad_()

    def error(maps):
        return sum(part.double().square().sum() for part in model(model.prepare(maps)).parts)

    (slope,) = torch.autograd.grad(error(maps), maps)
    assert (slope.flatten(2).abs().amax(-1) > 0).all()
    way = slope / slope.norm()
    with torch.no_grad():
        found = (error(maps + 1e-3 * way) - error(maps - 1e-3 * way)) / 2e-3
    assert found == pytest.approx(float(slope.norm()), rel=1e-2)


def test_each_kind_of_input_is_made_from_the_same_maps():
    drawn = random_blobs(4)
    drawn = replace(drawn, points=drawn.points.clamp(6, SIZE - 7))
    maps = render(drawn, SIZE)
    assert build(PAPER_LIKE).prepare(maps) is maps
    assert torch.equal(build(SMALL_LIKE).prepare(maps), marginals(maps))
    x, y, score = build(KINDS["coordinates"]).prepare(maps).unbind(-1)
    ndc = (drawn.points[:, :, 0] + 0.5) / SIZE * 2 - 1
    torch.testing.assert_close(torch.stack([x, y], -1), ndc, atol=1e-4, rtol=0)
    assert_close(score, maps.amax((-2, -1)))


def test_a_joint_token_knows_its_blob_s_centre_through_a_floor_and_a_weak_second_peak():
    points = torch.tensor([[[[20.2, 9.7], [8.0, 25.0]]]])
    drawn = Blobs(points, torch.full_like(points, 1.5), torch.tensor([[[0.9, 0.0]]]))
    ndc = (points[0, 0, 0] + 0.5) / SIZE * 2 - 1
    seen = render_marginals(drawn, SIZE)
    center = _describe(seen)[0, 0, [2 * SIZE, 2 * SIZE + 2]]
    torch.testing.assert_close(center, ndc, atol=1e-4, rtol=0)
    ghostly = render_marginals(replace(drawn, peak=torch.tensor([[[0.9, 0.1]]])), SIZE) + 0.02
    center = _describe(ghostly)[0, 0, [2 * SIZE, 2 * SIZE + 2]]
    assert ((center - ndc).abs() < 1 / SIZE * 2).all()
    assert _describe(torch.zeros_like(seen)).isfinite().all()


def test_a_body_s_template_stands_upright_before_the_camera_about_its_mid_hip():
    body = bodies.load("anny")
    model = MeshTransformer.for_body(body, replace(SMALL, hidden=(16,), layers=1, heads=1))
    joint = dict(zip(body.skeleton.joints, model.template_joints))
    assert_close(joint["left_hip"] + joint["right_hip"], torch.zeros(3))
    assert joint["left_hip"][0] > 0.05  # seen from the front, the person's left is at the right
    assert joint["nose"][1] < -0.3 and joint["left_ankle"][1] > 0.5  # y down
    assert joint["nose"][2] < joint["left_ear"][2]  # the face is nearer to the camera
    assert (model.template_coarse.amin(0) < model.template_joints.amin(0)).all()
    assert_close(model.regressor.sum(1), torch.ones(29))
    assert len(model.upsample.near) == len(body.template)


def test_vertices_that_are_read_out_start_near_the_template():
    model = build(replace(SMALL_LIKE, dropout=0.0))
    prediction = model(random_input(model, 4))
    assert (prediction.coarse - model.template_coarse).abs().max() < 0.3
    assert (prediction.camera - torch.tensor([1.0, 0.0, 0.0])).abs().max() < 0.3


def test_a_coarse_mesh_that_the_body_lacks_is_refused():
    with pytest.raises(ValueError, match="777 coarse vertices"):
        MeshTransformer.for_body(bodies.load("anny"), replace(SMALL, coarse_vertices=777))


def test_the_paper_s_sizes():
    torch.manual_seed(0)
    full = 6890
    model = MeshTransformer(
        PAPER,
        torch.randn(17, 3),
        torch.randn(431, 3),
        torch.zeros(full, 1),
        torch.zeros(full, 1),
        torch.zeros(17, full),
        middle_vertices=(1723,),
    )
    assert model.seen_count == 784
    assert [len(block.position) for block in model.blocks] == [17 + 431 + 784] * 3
    assert [block.position.shape[1] for block in model.blocks] == [1024, 256, 64]
    assert [len(block.layers) for block in model.blocks] == [4, 4, 4]

    def millions(module):
        return sum(p.numel() for p in module.parameters()) / 1e6

    upsampler = millions(model.upsample)
    assert upsampler == pytest.approx((431 * 1723 + 1723 + 1723 * full + full) / 1e6)
    assert 38 < millions(model) - upsampler < 44


@pytest.mark.parametrize(("name", "sizes"), [("anny", (431, 1723, 13718)), ("anny-hand", (195, None))])
def test_the_dense_upsampler_goes_by_the_meshes_that_its_body_has(name, sizes):
    body = bodies.load(name)
    sizes = [size or len(body.template) for size in sizes]
    config = replace(PAPER_LIKE, inputs="coordinates", coarse_vertices=sizes[0])
    upsample = MeshTransformer.for_body(body, config).upsample
    expected = sum(size * finer + finer for size, finer in itertools.pairwise(sizes))
    assert sum(p.numel() for p in upsample.parameters()) == expected
    seen = torch.randn(2, sizes[0], 3)
    regressor = body.regressor.to_dense()
    torch.testing.assert_close(
        upsample.regressed(seen, regressor), body.regress(upsample(seen)), rtol=1e-4, atol=1e-4
    )
    if name == "anny":
        finest = MeshTransformer.for_body(body, replace(config, coarse_vertices=1723)).upsample
        assert sum(p.numel() for p in finest.parameters()) == 1723 * 13718 + 13718


def test_mano_s_dense_upsampler_has_152_thousand_parameters():
    upsample = DenseUpsampler(195, (), 778)
    assert sum(p.numel() for p in upsample.parameters()) == 195 * 778 + 778 == 152_488


def test_looking_twice_at_a_mirrored_picture_gives_the_mirrored_person():
    torch.manual_seed(0)
    body = bodies.load()
    model = MeshTransformer.for_body(body, replace(SMALL, gravity=True, spread=True)).eval()
    maps = torch.rand(2, len(body.skeleton), SMALL.heatmap_size, SMALL.heatmap_size)
    flip = torch.as_tensor(body.skeleton.flip)
    with torch.no_grad():
        seen, mirrored = model.look_twice(maps), model.look_twice(maps[:, flip].flip(-1))
    back = torch.tensor([-1.0, 1.0, 1.0])
    assert_close(mirrored.joints, seen.joints[:, flip] * back)
    assert (model._mirrors[0] == flip).all()
    twice = model._mirrors[1][model._mirrors[1]]
    assert (twice == torch.arange(SMALL.coarse_vertices)).all()  # an involution
    assert_close(mirrored.coarse, seen.coarse[:, model._mirrors[1]] * back)
    assert_close(mirrored.camera, seen.camera * torch.tensor([1.0, -1.0, 1.0]))
    assert_close(mirrored.up, seen.up * back)
    assert_close(mirrored.up_std, seen.up_std)
    assert_close(mirrored.joints_std, seen.joints_std[:, flip])
    once = model(model.prepare(maps))
    assert not torch.allclose(seen.joints, once.joints, atol=1e-4)  # the network alone is not symmetric


def test_a_model_that_learns_no_more_says_the_same_and_follows_its_weights():
    """Its upsampler is then worked out once, and joints are read off the coarse mesh."""
    model = build(SMALL_LIKE).eval()
    seen = random_input(model, 2)

    def both():
        with torch.no_grad():
            learning = model.requires_grad_(True)(seen)
            return learning, model.requires_grad_(False)(seen)

    for _ in range(2):
        learning, settled = both()
        assert_close(settled.vertices, learning.vertices)
        assert_close(settled.regressed, learning.regressed)
        with torch.no_grad():
            model.upsample.change.normal_(std=20)
    assert_close(settled.regressed, torch.einsum("kv,nvc->nkc", model.regressor, settled.vertices))

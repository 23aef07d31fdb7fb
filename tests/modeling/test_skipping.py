"""Patches without anything above the threshold might as well not be there, in use as in training.

In double precision: the same numbers and the same gradients as where every token stays in its place and
nobody looks at the empty ones.
"""

from dataclasses import replace

import pytest
import torch
from test_mesh_transformer import COARSE, JOINTS, PAPER_LIKE, SIZE, build, random_blobs
from tolerance import assert_close
from torch import Tensor

from mpt.heatmaps import render
from mpt.modeling import mesh_transformer
from mpt.modeling.mesh_transformer import MeshTransformer

LEAST = 0.02
SKIPPING = replace(PAPER_LIKE, patch_size=2, skip_below=LEAST)  # 256 tokens
READ_OUT = replace(SKIPPING, vertex_queries=False, norm="pre", hidden=(16,))
BOTH = pytest.mark.parametrize("config", [SKIPPING, READ_OUT], ids=["paper", "vertices read out"])
WHOLE = (SIZE // 2) ** 2


def crowded_and_empty() -> Tensor:
    """Double-precision maps of six samples with unlike numbers of empty patches; the fifth is all empty."""
    maps = render(random_blobs(6, torch.float64), SIZE)
    maps[1, 2:] = 0
    maps[2] = torch.rand(JOINTS, SIZE, SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    maps[3] += 0.9 * LEAST
    maps[4] = 0.5 * LEAST
    return maps


SPARSE = [0, 1, 4, 5]  # those that leave most patches empty


def patches_by_loops(maps: Tensor, p: int) -> Tensor:
    """(N, J, S, S) -> (N, T, J * p * p), row by row."""
    cells = range(0, maps.shape[-1], p)
    return torch.stack([maps[:, :, y : y + p, x : x + p].flatten(1) for y in cells for x in cells], 1)


def said(model: MeshTransformer, maps: Tensor, **how) -> Tensor:
    """(N, numbers) joints, coarse vertices and camera, before they are rounded to single precision."""
    return torch.cat(
        [part.flatten(1) for part in model._heads(model._encode(maps, **how)) if part is not None], 1
    )


def blindfolded(model: MeshTransformer, maps: Tensor) -> Tensor:
    """The same where all tokens stay in place, and nobody looks at those of empty patches."""
    patches = patches_by_loops(maps, model.config.patch_size)
    full = (patches >= LEAST).any(-1)
    queries = model.joint_query(model.template_joints)
    if model.config.vertex_queries:
        queries = torch.cat([queries, model.vertex_query(model.template_coarse)])
    queries = queries.expand(len(maps), -1, -1)
    tokens = torch.cat([queries, model.see(patches * (patches >= LEAST))], 1)
    keep = torch.cat([torch.ones(queries.shape[:2], dtype=torch.bool), full], 1)
    for block in model.blocks:
        tokens = block(tokens, None, keep)
    return torch.cat(
        [part.flatten(1) for part in model._heads(model.final_norm(tokens)) if part is not None], 1
    )


def gradients(model: MeshTransformer, answer, maps: Tensor) -> dict[str, Tensor]:
    """Of every number said, weighted at random, by every parameter that has to do with it and by the maps."""
    maps = maps.clone().requires_grad_()
    of = {name: p for name, p in model.named_parameters() if not name.startswith(("upsample", "masked"))}
    numbers = answer(model, maps)
    weights = torch.randn(numbers.shape, generator=torch.Generator().manual_seed(0), dtype=numbers.dtype)
    found = torch.autograd.grad((weights * numbers).sum(), [*of.values(), maps])
    return dict(zip((*of, "maps"), found))


@BOTH
def test_skipping_empty_patches_is_not_looking_at_them(config):
    model, maps = build(config).double(), crowded_and_empty()
    assert model.kept_tokens(maps[SPARSE]) < WHOLE
    assert_close(said(model, maps[SPARSE]), blindfolded(model, maps[SPARSE]))
    assert_close(said(model, maps), blindfolded(model, maps))


@BOTH
def test_the_gradients_of_weights_and_of_maps_are_those_of_not_looking(config):
    model, maps = build(config).double(), crowded_and_empty()[SPARSE]
    found, expected = gradients(model, said, maps), gradients(model, blindfolded, maps)
    for name, gradient in expected.items():
        assert_close(found[name], gradient)
        assert gradient.any(), name
    flows = found["maps"].abs() > 0
    assert (flows <= (maps >= LEAST)).all()  # what reads as zero cannot change it
    assert flows[maps >= LEAST].double().mean() > 0.99


@BOTH
def test_a_batch_is_its_singles_which_have_as_many_tokens_as_each_needs(config):
    model, maps = build(config).double(), crowded_and_empty()
    together = said(model, maps)
    counts = {model.kept_tokens(one[None]) for one in maps}
    assert len(counts) > 2 and max(counts) == model.kept_tokens(maps)
    for one, expected in zip(maps, together):
        assert_close(said(model, one[None])[0], expected)


def test_more_padding_changes_nothing(monkeypatch):
    model, maps = build(SKIPPING).double(), crowded_and_empty()[SPARSE]
    expected, counts = said(model, maps), []
    for sizes in (WHOLE, 7, 2, 1):
        monkeypatch.setattr(mesh_transformer, "SIZES", sizes)
        counts.append(model.kept_tokens(maps))
        assert_close(said(model, maps), expected)
    assert len(set(counts)) == 4 and max(counts) == WHOLE


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_what_padding_holds_is_never_looked_at_in_training_either(dropout):
    model = build(replace(SKIPPING, dropout=dropout)).double().train()
    maps = crowded_and_empty()[1:2]
    empty = ~(patches_by_loops(maps, 2) >= LEAST).any(-1)[0]
    assert empty.sum() > WHOLE - model.kept_tokens(maps)  # so some of them are there to pad

    def said_so() -> Tensor:
        torch.manual_seed(0)
        return said(model, maps)

    before = said_so()
    with torch.no_grad():
        for block in model.blocks:
            block.position[JOINTS + COARSE :][empty] = 100.0
    assert torch.equal(said_so(), before)
    with torch.no_grad():
        for block in model.blocks:
            block.position[JOINTS + COARSE :] = 100.0
    assert not torch.equal(said_so(), before)


def test_masked_queries_are_masked_alike():
    model, maps = build(SKIPPING).double().train(), crowded_and_empty()[SPARSE]

    def masked() -> Tensor:
        return said(model, maps, mask_queries=0.9, generator=torch.Generator().manual_seed(0))

    skipped = masked()
    assert not torch.allclose(skipped, said(model, maps))
    model.skipping = False
    assert_close(masked(), skipped)


def test_training_in_bfloat16_skips_too():
    model = build(SKIPPING).train()
    maps = crowded_and_empty()[SPARSE].float()
    exact = said(model, maps)
    with torch.autocast("cpu", torch.bfloat16):
        prediction, rounded = model(maps), said(model, maps)
    torch.testing.assert_close(rounded, exact, atol=0.1, rtol=0.1)
    sum(part.square().sum() for part in prediction.parts).backward()
    for block in model.blocks:
        assert block.position.grad.isfinite().all() and block.position.grad.any()
    halves = build(SKIPPING).bfloat16()
    torch.testing.assert_close(said(halves, maps.bfloat16()).float(), exact, atol=0.1, rtol=0.1)


def test_a_compiled_model_is_compiled_for_few_sizes():
    """The count is taken outside of the graphs, which are made anew once, for any number of tokens."""
    model, maps = build(SKIPPING), crowded_and_empty().float()
    graphs = []

    def counted(graph: torch.fx.GraphModule, _):
        graphs.append(graph)
        return graph

    torch.compiler.reset()
    compiled = torch.compile(model, backend=counted)
    made, tokens = [], []
    for rows in ([0, 5], [5, 0], [0, 4], [1, 4], [4, 4], [1, 1], [5, 5], [0, 1]):
        assert_close(compiled(maps[rows]).vertices, model(maps[rows]).vertices)
        made.append(len(graphs))
        tokens.append(model.kept_tokens(maps[rows]))
    torch.compiler.reset()
    assert made[0] == made[2] and tokens[0] == tokens[2]
    assert len(set(tokens)) > 2 and made[3] == made[-1] < 2 * made[0]


def test_values_under_the_threshold_are_not_seen():
    model, maps = build(SKIPPING), crowded_and_empty().float()
    noise = (LEAST - 1e-4) * torch.rand(maps.shape, generator=torch.Generator().manual_seed(0))
    clean = torch.where(maps < LEAST, 0, maps)
    assert torch.equal(model(clean).vertices, model(torch.where(clean > 0, clean, noise)).vertices)
    assert torch.equal(
        model.look_twice(clean).vertices, model.look_twice(torch.maximum(clean, noise)).vertices
    )


def test_skipping_nothing_is_looking_at_everything():
    model, whole = build(SKIPPING), build(replace(SKIPPING, skip_below=0.0))
    maps = 0.5 + 0.5 * render(random_blobs(3), SIZE)
    assert_close(model(maps).vertices, whole(maps).vertices)


def test_kept_tokens_are_those_of_the_fullest_sample_rounded_up(monkeypatch):
    model, maps = build(SKIPPING), crowded_and_empty()
    counts = (patches_by_loops(maps, 2) >= LEAST).any(-1).sum(1).tolist()
    monkeypatch.setattr(mesh_transformer, "SIZES", WHOLE)
    assert [model.kept_tokens(one[None]) for one in maps] == [max(1, count) for count in counts]
    assert model.kept_tokens(maps[:2]) == max(counts[:2]) < counts[2]
    assert model.kept_tokens(maps) == build(replace(SKIPPING, skip_below=0.0)).kept_tokens(maps) == WHOLE
    monkeypatch.setattr(mesh_transformer, "SIZES", 4)
    step = WHOLE // 4
    assert [model.kept_tokens(one[None]) for one in maps] == [
        max(step, -(-count // step) * step) for count in counts
    ]


def test_somebody_of_whom_nothing_is_seen_trains_on():
    model = build(replace(SKIPPING, dropout=0.2)).train()
    prediction = model(torch.zeros(2, JOINTS, SIZE, SIZE), mask_queries=0.5)
    prediction.vertices.sum().backward()
    assert prediction.vertices.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())

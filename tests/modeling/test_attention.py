"""The written-out attention, torch's fused one and torch's own encoder layer agree."""

import pytest
import torch
import torch.nn.functional as F
from tolerance import assert_close
from torch import nn

from mpt.modeling.attention import EncoderLayer, attention


def normal(*size: int, seed: int = 0, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def some_kept(samples: int, tokens: int) -> torch.Tensor:
    keep = torch.rand(samples, tokens, generator=torch.Generator().manual_seed(3)) < 0.6
    keep[:, 0] = True
    return keep


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("tokens", [1, 128, 129])
def test_the_written_out_products_are_torch_s_fused_kernel(tokens, dtype, masked):
    q, k, v = (normal(2, 4, tokens, 8, seed=seed, dtype=dtype) for seed in range(3))
    keep = some_kept(2, tokens) if masked else None
    mask = None if keep is None else keep[:, None, None]
    expected = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), attn_mask=mask)
    assert_close(attention(q, k, v, keep), expected, dtype=dtype)


@pytest.mark.parametrize("tokens", [60, 140])
def test_tokens_that_may_not_be_looked_at_might_as_well_not_be_there(tokens):
    q, k, v = (normal(1, 2, tokens, 8, seed=seed) for seed in range(3))
    keep = torch.arange(tokens)[None] < tokens - 20
    alone = attention(q, k[:, :, :-20], v[:, :, :-20])
    assert_close(attention(q, k, v, keep), alone)
    v[:, :, -20:] = 1e6
    assert_close(attention(q, k, v, keep), alone)


@pytest.mark.parametrize("tokens", [60, 140])
def test_dropout_of_nought_drops_nothing_and_more_drops_some(tokens):
    q, k, v = (normal(2, 2, tokens, 8, seed=seed) for seed in range(3))
    assert_close(attention(q, k, v, None, 0.0), attention(q, k, v))
    torch.manual_seed(0)
    assert not torch.allclose(attention(q, k, v, None, 0.5), attention(q, k, v))


def torch_s_layer(layer: EncoderLayer, width: int) -> nn.TransformerEncoderLayer:
    """torch's encoder layer with the same weights."""
    ffn = layer.ffn_in.out_features
    other = nn.TransformerEncoderLayer(
        width, layer.heads, ffn, 0.0, F.gelu, batch_first=True, norm_first=layer.norm == "pre"
    ).double()
    other.self_attn.in_proj_weight, other.self_attn.in_proj_bias = layer.qkv.weight, layer.qkv.bias
    other.self_attn.out_proj.load_state_dict(layer.attention_out.state_dict())
    other.linear1.load_state_dict(layer.ffn_in.state_dict())
    other.linear2.load_state_dict(layer.ffn_out.state_dict())
    other.norm1.load_state_dict(layer.attention_norm.state_dict())
    other.norm2.load_state_dict(layer.ffn_norm.state_dict())
    return other


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_layer_is_torch_s_encoder_layer(norm, masked):
    torch.manual_seed(0)
    layer = EncoderLayer(16, 4, 2.0, 0.1, norm).double().eval()
    for parameter in layer.parameters():  # biases and norms as well
        parameter.data += 0.1 * torch.randn_like(parameter)
    x = normal(3, 20, 16, dtype=torch.float64)
    keep = some_kept(3, 20) if masked else None
    with torch.enable_grad():  # without it torch takes a path of its own
        expected = torch_s_layer(layer, 16)(x, src_key_padding_mask=None if keep is None else ~keep)
    assert_close(layer(x, keep), expected)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_dropout_is_for_training_only(norm):
    torch.manual_seed(0)
    layer, x = EncoderLayer(16, 4, 2.0, 0.5, norm), normal(2, 9, 16)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))
    still = EncoderLayer(16, 4, 2.0, 0.0, norm)
    still.load_state_dict(layer.state_dict())
    assert torch.equal(still.train()(x), layer(x))


def test_a_layer_does_not_mind_the_order_of_its_tokens():
    torch.manual_seed(0)
    layer, x = EncoderLayer(16, 2, 2.0, 0.0, "pre").eval(), normal(2, 11, 16)
    order = torch.randperm(11)
    assert_close(layer(x[:, order]), layer(x)[:, order])


def test_a_width_that_the_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="hidden size of 10 cannot be shared by 4 heads"):
        EncoderLayer(10, 4, 2.0, 0.0, "pre")

"""The transformer layer of the encoder: multi-head self-attention and a feed-forward network.

Letters: N samples, T tokens, D width, H heads.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["post", "pre"]


class EncoderLayer(nn.Module):
    """One BERT layer ("post": normalised after each residual) or its pre-normalised variant ("pre")."""

    def __init__(self, width: int, heads: int, ffn_ratio: float, dropout: float, norm: Norm) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"a hidden size of {width} cannot be shared by {heads} heads; use a multiple")
        self.heads, self.dropout, self.norm = heads, dropout, norm
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width)
        self.ffn_in = nn.Linear(width, round(ffn_ratio * width))
        self.ffn_out = nn.Linear(round(ffn_ratio * width), width)
        self.ffn_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """(N, T, D) -> (N, T, D). ``keep`` (N, T) bool: tokens that may be looked at; all where None."""
        if self.norm == "pre":
            x = x + self._attend(self.attention_norm(x), keep)
            return x + self._transform(self.ffn_norm(x))
        x = self.attention_norm(x + self._attend(x, keep))
        return self.ffn_norm(x + self._transform(x))

    def _attend(self, x: Tensor, keep: Tensor | None) -> Tensor:
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, N, H, T, D/H)
        q, k, v = qkv.contiguous()  # as the products want them: one copy instead of three
        dropout = self.dropout if self.training else 0.0
        y = attention(q, k, v, keep, dropout).transpose(1, 2).flatten(2)
        return self._drop(self.attention_out(y))

    def _transform(self, x: Tensor) -> Tensor:
        return self._drop(self.ffn_out(F.gelu(self.ffn_in(x))))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout) if self.training and self.dropout else x


def attention(q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None = None, dropout: float = 0.0) -> Tensor:
    """softmax(q k^T / sqrt(d)) v over (N, H, T, d). ``keep`` (N, T) bool: keys that may be looked at.

    Written out as two products on a CPU where torch's fused kernel loses: in bfloat16, which it runs at a
    third of the products' speed, and for few tokens, where it takes five times as long as all the rest of the
    layer.
    """
    if q.device.type == "cpu" and (q.dtype == torch.bfloat16 or q.shape[-2] <= 128):
        scores = (q * q.shape[-1] ** -0.5) @ k.mT
        if keep is not None:
            scores = scores.masked_fill(~keep[:, None, None], float("-inf"))
        return F.dropout(scores.softmax(-1), dropout, training=dropout > 0) @ v
    mask = None if keep is None else keep[:, None, None]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)

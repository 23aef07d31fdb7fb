"""Coarse mesh -> full mesh: the paper's linear maps over the vertex axis, or a sparse learned map.

Both are linear in the vertices and shared by x, y and z. Either can be asked for some rows only, which is how
training supervises a full mesh at the cost of a few hundred of its vertices.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DenseUpsampler(nn.Module):
    """The paper's: coarse -> middle -> full, full matrices over the vertex axis (431 -> 1723 -> 6890)."""

    def __init__(self, coarse: int, middle: int, full: int) -> None:
        super().__init__()
        self.to_middle = nn.Linear(coarse, middle)
        self.to_full = nn.Linear(middle, full)

    def forward(self, vertices: Tensor, rows: Tensor | None = None) -> Tensor:
        """(N, coarse, 3) -> (N, full, 3), or (N, len(rows), 3)."""
        middle = self.to_middle(vertices.mT)  # (N, 3, middle)
        if rows is None:
            return self.to_full(middle).mT
        return nn.functional.linear(middle, self.to_full.weight[rows], self.to_full.bias[rows]).mT

    def regressed(self, vertices: Tensor, regressor: Tensor) -> Tensor:
        """(N, K, 3): a joint regressor (K, full) applied to the full mesh, which is never made."""
        matrix = regressor @ self.to_full.weight  # (K, middle)
        bias = regressor @ self.to_full.bias + matrix @ self.to_middle.bias
        return (matrix @ self.to_middle.weight) @ vertices + bias[:, None]


class SparseUpsampler(nn.Module):
    """Each full vertex from its few nearest coarse ones: interpolation weights and a small learned change.

    The change is scaled down and sums to zero over a vertex's neighbours: left free, it learns faster than
    the rest, forgets that a body is the same body elsewhere in space, and roughens the skin.
    """

    near: Tensor
    start: Tensor

    def __init__(self, near: Tensor, weight: Tensor) -> None:
        """``near`` (V, k) indices of coarse vertices, ``weight`` (V, k)."""
        super().__init__()
        self.register_buffer("near", near.int())
        self.register_buffer("start", weight.clone().float())
        self.change = nn.Parameter(torch.zeros_like(self.start))

    @property
    def weight(self) -> Tensor:
        """(V, k), rows sum to what the interpolation's do."""
        return self.start + 0.01 * (self.change - self.change.mean(1, keepdim=True))

    def forward(self, vertices: Tensor, rows: Tensor | None = None) -> Tensor:
        """(N, coarse, 3) -> (N, V, 3), or (N, len(rows), 3)."""
        near, weight = (self.near, self.weight) if rows is None else (self.near[rows], self.weight[rows])
        columns = vertices.transpose(0, 1).flatten(1)  # (coarse, N * 3): whole rows are summed
        full = F.embedding_bag(near, columns, per_sample_weights=weight.to(columns.dtype), mode="sum")
        return full.unflatten(1, (-1, 3)).transpose(0, 1)

    def regressed(self, vertices: Tensor, regressor: Tensor) -> Tensor:
        """(N, K, 3): a joint regressor (K, V) applied to the full mesh, which is never made."""
        matrix = regressor.new_zeros(len(regressor), vertices.shape[1])
        for near, weight in zip(self.near.long().T, self.weight.T):
            matrix = matrix.index_add(1, near, regressor * weight)
        return matrix @ vertices

"""Coarse mesh -> full mesh: the paper's linear maps over the vertex axis, or a sparse learned map.

Both are linear in the vertices and shared by x, y and z. Either can be asked for some rows only, which is how
training supervises a full mesh at the cost of a few hundred of its vertices.
"""

import re
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mpt.modeling.once import Once


class DenseUpsampler(nn.Module):
    """The paper's: coarse -> middle -> full, full matrices over the vertex axis, from each of a body's meshes
    to its next finer one: 431 -> 1723 -> 6890; of a hand 195 -> 778, with no middle.
    """

    def __init__(self, coarse: int, middle: Sequence[int], full: int) -> None:
        """``middle``: vertices of the meshes between, from few to many."""
        super().__init__()
        self.before = [f"to_middle{number or ''}" for number in range(len(middle))]
        sizes = (coarse, *middle, full)
        for name, size, finer in zip((*self.before, "to_full"), sizes, sizes[1:]):
            self.add_module(name, nn.Linear(size, finer))

    def forward(self, vertices: Tensor, rows: Tensor | None = None) -> Tensor:
        """(N, coarse, 3) -> (N, full, 3), or (N, len(rows), 3)."""
        planes = vertices.mT  # (N, 3, vertices)
        for name in self.before:
            planes = getattr(self, name)(planes)
        if rows is None:
            return self.to_full(planes).mT
        return nn.functional.linear(planes, self.to_full.weight[rows], self.to_full.bias[rows]).mT

    def regressed(self, vertices: Tensor, regressor: Tensor) -> Tensor:
        """(N, K, 3): a joint regressor (K, full) applied to the full mesh, which is never made."""
        matrix, bias = regressor @ self.to_full.weight, regressor @ self.to_full.bias
        for name in reversed(self.before):  # the matrix is (K, vertices) of ever coarser meshes
            layer = getattr(self, name)
            matrix, bias = matrix @ layer.weight, bias + matrix @ layer.bias
        return matrix @ vertices + bias[:, None]


def middle_sizes(weights: Mapping[str, Tensor]) -> tuple[int, ...]:
    """The ``middle`` of the :class:`DenseUpsampler` that is among these weights."""
    names = sorted(name for name in weights if re.search(r"\bto_middle\d*\.bias$", name))
    return tuple(len(weights[name]) for name in names)


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
        self._weight = Once()

    @property
    def weight(self) -> Tensor:
        """(V, k), rows sum to what the interpolation's do."""
        return self._weight(
            lambda: self.start + 0.01 * (self.change - self.change.mean(1, keepdim=True)),
            (self.start, self.change),
        )

    def forward(self, vertices: Tensor, rows: Tensor | None = None) -> Tensor:
        """(N, coarse, 3) -> (N, V, 3), or (N, len(rows), 3)."""
        near, weight = (self.near, self.weight) if rows is None else (self.near[rows], self.weight[rows])
        columns = vertices.transpose(0, 1).flatten(1)  # (coarse, N * 3): whole rows are summed
        full = F.embedding_bag(near, columns, per_sample_weights=weight.to(columns.dtype), mode="sum")
        return full.unflatten(1, (-1, 3)).transpose(0, 1)

    def regressed(self, vertices: Tensor, regressor: Tensor) -> Tensor:
        """(N, K, 3): a joint regressor (K, V) applied to the full mesh, which is never made."""
        return self.folded(regressor, vertices.shape[1]) @ vertices

    def folded(self, regressor: Tensor, coarse: int) -> Tensor:
        """(K, coarse): a joint regressor (K, V) that reads the coarse mesh and means the full one."""
        matrix = regressor.new_zeros(len(regressor), coarse)
        for near, weight in zip(self.near.long().T, self.weight.T):
            matrix = matrix.index_add(1, near, regressor * weight)
        return matrix

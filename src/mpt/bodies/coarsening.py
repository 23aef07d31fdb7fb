"""Coarse meshes whose vertices are some of the fine ones, and the way back up."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Coarse:
    """A coarse mesh of n vertices on a fine one of V, and its upsampling."""

    index: Tensor  # (n,) int64 fine vertex of each coarse one
    faces: Tensor  # (F, 3) int64 among the n
    near: Tensor  # (V, k) int64 among the n
    weight: Tensor  # (V, k), rows sum to one; a chosen vertex takes itself alone

    def __len__(self) -> int:
        return len(self.index)

    def widened(self) -> "Coarse":
        return Coarse(self.index.long(), self.faces.long(), self.near.long(), self.weight.float())

    def upsample(self, vertices: Tensor) -> Tensor:
        """(..., n, 3) -> (..., V, 3)."""
        return (vertices[..., self.near, :] * self.weight[..., None]).sum(-2)

"""Random point sets, similarities, and scipy's Procrustes."""

import numpy as np
import torch
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.transform import Rotation

MIRROR = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)


def points(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def procrustes_by_scipy(source: np.ndarray, target: np.ndarray, reflection: bool) -> np.ndarray:
    """The same, from scipy's best orthogonal matrix; its last axis is turned back where that reflects."""
    a, b = source - source.mean(0), target - target.mean(0)
    matrix, scale = orthogonal_procrustes(a, b)
    if not reflection and np.linalg.det(matrix) < 0:
        u, s, vt = np.linalg.svd(a.T @ b)
        matrix = u @ np.diag([1, 1, -1]) @ vt
        scale = s[0] + s[1] - s[2]
    size = (a**2).sum()
    return (scale / size if size else 0) * a @ matrix + target.mean(0)


def turned_by(seed: int) -> torch.Tensor:
    """A random rotation (3, 3)."""
    return torch.from_numpy(Rotation.from_quat(np.random.default_rng(seed).normal(size=4)).as_matrix())


def similar(x: torch.Tensor, seed: int = 1) -> torch.Tensor:
    """``x`` turned, scaled and moved."""
    return 2.5 * x @ turned_by(seed).mT + torch.tensor([0.3, -4.0, 1.0], dtype=x.dtype)

"""Random numbers for many samples at once: each its own, or alike where samples are a film's frames."""

import math

import torch
from torch import Tensor


class Draws:
    """Independent ones."""

    def __init__(self, device: torch.device | str, generator: torch.Generator | None = None) -> None:
        self.device, self.generator = device, generator

    def uniform(self, *shape: int) -> Tensor:
        """In [0, 1]."""
        return torch.rand(*shape, generator=self.generator, device=self.device)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal."""
        return torch.randn(*shape, generator=self.generator, device=self.device)


class DrawsInTime(Draws):
    """Of clips' frames, one after another: the same distributions, and what is drawn of a frame lasts.

    Part of it stays for the whole clip, part for a time of the clip's own (smoothly or roughly, as clips
    are), the rest is each frame's. What is drawn once for a sample (N) stays, but for what a whole person
    shares (N, 1), which may change in the course of a second.
    """

    def __init__(self, times_s: Tensor, generator: torch.Generator | None = None) -> None:
        """times_s: (N, F) seconds; N * F samples are drawn."""
        super().__init__(times_s.device, generator)
        n, self.frames = times_s.shape
        u = torch.rand(n, 6, generator=generator, device=self.device)[:, :, None, None]
        apart = (times_s[:, :, None] - times_s[:, None]).abs()
        lasting = 0.08 * (0.8 / 0.08) ** u[:, 0]  # seconds
        smooth, rough = (-(apart / lasting).square()).exp(), (-apart / lasting).exp()
        alike = u[:, 1] * smooth + (1 - u[:, 1]) * rough
        stays, own = 0.1 + 0.4 * u[:, 2], 0.01 + 0.2 * u[:, 3] ** 2
        eye = torch.eye(self.frames, device=self.device)
        self._each = _root(stays + (1 - stays - own) * alike + own * eye)
        self._person = _root(0.6 + 0.39 * (-(apart / (0.3 + u[:, 4])).square()).exp() + 0.01 * eye)
        self._clip = _root(torch.ones_like(apart))

    def uniform(self, *shape: int) -> Tensor:
        """In [0, 1]."""
        return 0.5 * (1 + torch.erf(self.normal(*shape) / math.sqrt(2)))

    def normal(self, *shape: int) -> Tensor:
        """Standard normal."""
        drawn = super().normal(*shape).view(-1, self.frames, math.prod(shape[1:]))
        root = self._clip if len(shape) == 1 else self._person if shape[1] == 1 else self._each
        return (root @ drawn).view(shape)


def _root(covariance: Tensor) -> Tensor:
    """(N, F, F) lower triangular."""
    slack = 1e-4 * torch.eye(covariance.shape[-1], device=covariance.device)
    return torch.linalg.cholesky((covariance + slack).double()).float()

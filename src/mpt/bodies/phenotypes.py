"""People as they are, on Anny's phenotype grid.

Anny's shape is multilinear between anchor values of its phenotypes (gender, age, muscle, weight, height,
proportions), so a shape is the interpolation of the 360 bodies at the grid's corners, exactly.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

ANCHORS = {
    "gender": (0.0, 1.0),  # male, female
    "age": (-1 / 3, 0.0, 1 / 3, 2 / 3, 1.0),  # newborn, baby, child, young, old
    "muscle": (0.0, 0.5, 1.0),
    "weight": (0.0, 0.5, 1.0),
    "height": (0.0, 1.0),
    "proportions": (0.0, 1.0),
}
"""Where Anny 0.6 has bodies, in the order of the grid's axes."""

AGE_YEARS = (0.0, 1.0, 4.0, 11.0, 16.0, 18.0, 64.0, 110.0)
AGE_ANNY = (0.0, 0.05, 0.215, 0.415, 0.67, 0.77, 0.83, 1.0)  # Anny's own calibration of its age in years

# Median stature by age, as in the growth charts of the CDC (2000) below 18, of men and women in Europe above.
STATURE_YEARS = (2.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0, 17.0, 18.0)
STATURE_CM = {
    "male": (87.0, 95.5, 109.0, 122.0, 133.5, 143.5, 156.0, 170.0, 175.5, 176.0),
    "female": (85.5, 94.5, 108.0, 121.5, 133.0, 144.0, 157.0, 162.0, 163.0, 163.0),
}
GUESSED_FROM = 2000  # people
STATURE_SPREAD = 0.04  # standard deviation over mean: 7 cm for men, 6.5 cm for women

UNTOLD = 0.2  # nearer to the middle between male and female, nothing is said
SMALL, ADULT = 0.35, 0.62  # Anny's ages of 9 and 15 years: a guess leans to the young, most people are grown

Sex = Literal["male", "female"]


@dataclass(frozen=True)
class Phenotypes:
    """Shape coefficients by phenotype."""

    grid: Tensor  # (360, S) shapes at the corners, the last phenotype varying fastest
    stature: Tensor  # (1 + S,): stature in metres = stature[0] + shape · stature[1:]

    def shape(self, phenotypes: Tensor) -> Tensor:
        """(N, 6) values in the order of ``ANCHORS`` -> (N, S). Values beyond the anchors extrapolate."""
        weights = torch.ones_like(phenotypes[:, :1])
        for values, anchors in zip(phenotypes.unbind(1), ANCHORS.values()):
            weights = (weights[:, :, None] * _interpolation(values, anchors)[:, None]).flatten(1)
        return weights @ self.grid

    def shape_of(
        self,
        *,
        gender: float = 0.5,
        age: float = 0.7,
        muscle: float = 0.5,
        weight: float = 0.5,
        height: float = 0.5,
        proportions: float = 0.5,
    ) -> Tensor:
        """(1, S) the shape of Anny's phenotype values: 0 to 1 each, age from -1/3 (newborn) to 1 (old)."""
        return self.shape(self.grid.new_tensor([[gender, age, muscle, weight, height, proportions]]))

    def stature_m(self, shape: Tensor) -> Tensor:
        """(N, S) -> (N,) height of the body from sole to crown, metres."""
        return self.stature[0] + shape @ self.stature[1:]

    def with_stature(self, phenotypes: Tensor, metres: Tensor) -> Tensor:
        """(N, 6) phenotypes whose height is set so that the body is so tall (N,)."""
        low, high = phenotypes.clone(), phenotypes.clone()
        low[:, 4], high[:, 4] = 0.0, 1.0
        shortest, tallest = self.stature_m(self.shape(low)), self.stature_m(self.shape(high))
        low[:, 4] = (metres - shortest) / (tallest - shortest)
        return low

    def guess(self, shape: Tensor) -> Tensor:
        """(N, S) -> (N, 6) what phenotypes such shapes mostly have, in the order of ``ANCHORS``, within them.

        By linear regression over a random population: other phenotypes can give the same shape.
        """
        ends = shape.new_tensor([[values[0], values[-1]] for values in ANCHORS.values()])
        one = torch.cat([shape, torch.ones_like(shape[:, :1])], 1)
        return (one @ self._regression).clamp(ends[:, 0], ends[:, 1])

    @cached_property
    def _regression(self) -> Tensor:  # (S + 1, 6)
        known = self.sample_phenotypes(GUESSED_FROM, torch.Generator(self.grid.device).manual_seed(0))
        shapes = self.shape(known)
        one = torch.cat([shapes, torch.ones_like(shapes[:, :1])], 1)
        return torch.linalg.lstsq(one, known, driver=None if one.is_cuda else "gelsd").solution

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, S) shapes of a random population."""
        return self.shape(self.sample_phenotypes(count, generator))

    def sample_phenotypes(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, 6) phenotypes: half women; 12 % children of 3 to 17 years, adults up to 80."""
        like = {"generator": generator, "dtype": self.grid.dtype, "device": self.grid.device}
        uniform = torch.rand(count, 5, **like)
        normal = torch.randn(count, 4, **like)
        female = uniform[:, 0] < 0.5
        child = uniform[:, 1] < 0.12
        years = torch.where(child, 3 + 14.5 * uniform[:, 2], 18 + 62 * uniform[:, 3] ** 1.5)
        median = torch.where(female, median_stature_m(years, "female"), median_stature_m(years, "male"))
        stature = median * (1 + STATURE_SPREAD * normal[:, 0])
        gender = 0.15 * uniform[:, 4]
        # Makes the body mass index come out near 25.5 ± 4 for men, 25 ± 4 for women, 18.5 for children.
        weight = torch.where(child, 0.5, torch.where(female, 0.92, 0.72))
        phenotypes = torch.stack(
            [
                torch.where(female, 1 - gender, gender),
                anny_age(years),
                (torch.where(female, 0.31, 0.34) + 0.14 * normal[:, 1]).clamp(0.02, 1),
                (weight + 0.25 * normal[:, 2]).clamp(0, 1.3),
                torch.zeros_like(years),
                (0.5 + 0.2 * normal[:, 3]).clamp(0, 1),
            ],
            1,
        )
        return self.with_stature(phenotypes, stature)


def in_words(phenotypes: dict[str, float]) -> str:
    """What a person's phenotypes, by the names of ``ANCHORS``, look like: "a woman, adult, heavy"."""
    gender, age, weight, muscle = (phenotypes[name] for name in ("gender", "age", "weight", "muscle"))
    child = age < ADULT
    young, old = ("a boy", "a girl") if child else ("a man", "a woman"), "a child" if child else "somebody"
    who = young[gender > 0.5] if abs(gender - 0.5) > UNTOLD else old
    words = [who, *(["small"] if age < SMALL else [] if child else ["adult"])]
    words += ["heavy" if weight > 0.95 else "slim" if weight < 0.45 else "of medium weight"]
    return ", ".join([*words, *(["muscular"] if muscle > 0.6 else [])])


def _interpolation(values: Tensor, anchors: tuple[float, ...]) -> Tensor:
    """(N,) -> (N, len(anchors)) weights of linear interpolation, continued beyond the ends."""
    points = values.new_tensor(anchors)
    cell = torch.searchsorted(points, values.contiguous(), right=True).clamp(1, len(anchors) - 1) - 1
    along = (values - points[cell]) / (points[cell + 1] - points[cell])
    weights = values.new_zeros(len(values), len(anchors))
    return weights.scatter(1, torch.stack([cell, cell + 1], 1), torch.stack([1 - along, along], 1))


def _piecewise(values: Tensor, x: tuple[float, ...], y: tuple[float, ...]) -> Tensor:
    return _interpolation(values.clamp(x[0], x[-1]), x) @ values.new_tensor(y)


def anny_age(years: Tensor) -> Tensor:
    """Years -> Anny's age phenotype."""
    return _piecewise(years, AGE_YEARS, AGE_ANNY)


def median_stature_m(years: Tensor, sex: Sex) -> Tensor:
    """Median height in metres of people of these ages in years."""
    return _piecewise(years, STATURE_YEARS, STATURE_CM[sex]) / 100

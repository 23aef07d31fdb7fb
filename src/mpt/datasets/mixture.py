"""Several data sets as one, each with its share of the samples of an epoch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mpt.datasets.sample import Sample, Samples
from mpt.errors import InputError


class Mixture(Samples):
    """Data sets one behind the other, and the order in which training draws from them.

    Without ``weights`` an epoch is every sample once, shuffled: the lineage's mixture. With weights it is
    ``size`` samples (the sum of the sets' sizes by default), of which each set gives its share of the weights
    to the nearest sample. A set goes through its own shuffled passes, from where the epoch before left off:
    no sample comes twice before every other of its set came once. All of it follows from the seed, so
    training resumes at any step.
    """

    dataset = "mixture"

    def __init__(
        self,
        sets: Sequence[Samples],
        weights: Sequence[float] | None = None,
        *,
        size: int | None = None,
        seed: int = 0,
    ) -> None:
        """Raises InputError for weights that are not a positive number for each set, or an empty set."""
        lengths = np.array([len(samples) for samples in sets])
        if not len(sets) or not lengths.all():
            names = ", ".join(f"{s.dataset} ({len(s)})" for s in sets)
            raise InputError(f"a mixture of {names or 'nothing'}: name data sets that hold samples")
        self.sets, self.seed = tuple(sets), seed
        self.starts = np.concatenate([[0], np.cumsum(lengths)])
        if weights is None:
            weights, size = lengths.tolist(), size or int(lengths.sum())
        if len(weights) != len(sets) or not all(np.isfinite(w) and w > 0 for w in weights):
            raise InputError(f"weights {list(weights)} for {len(sets)} data sets: give each a number above 0")
        self.counts = _shares(np.array(weights, float), size or int(lengths.sum()))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> Sample:
        which, row = self._find(self.checked(index))
        return self.sets[which][row]

    def image(self, index: int) -> Path:
        which, row = self._find(index)
        return self.sets[which].image(row)

    @property
    def epoch_size(self) -> int:
        return int(self.counts.sum())

    def epoch(self, number: int) -> list[tuple[int, int]]:
        """(sample, draw) pairs of an epoch, a sampler for a DataLoader; ``draw`` never comes again.

        Give process r of n ``epoch(number)[r::n]``.
        """
        parts = [
            start + self._pass(which, number * count, count)
            for which, (start, count) in enumerate(zip(self.starts, self.counts))
        ]
        order = np.random.default_rng([self.seed, 0, number]).permutation(np.concatenate(parts))
        return list(zip(order.tolist(), range(number * len(order), (number + 1) * len(order))))

    def _pass(self, which: int, first: int, count: int) -> np.ndarray:
        """Rows at places ``first`` ... of the endless shuffled passes through a set."""
        length = len(self.sets[which])
        passes = range(first // length, -(-(first + count) // length))
        rows = [np.random.default_rng([self.seed, 1 + which, n]).permutation(length) for n in passes]
        start = first % length
        return np.concatenate([*rows, np.empty(0, int)])[start : start + count]

    def _find(self, index: int) -> tuple[int, int]:
        which = int(np.searchsorted(self.starts, index, side="right")) - 1
        return which, int(index - self.starts[which])


def _shares(weights: np.ndarray, size: int) -> np.ndarray:
    """Whole numbers that add up to ``size``: the shares cut, the largest remainders one more."""
    exact = weights / weights.sum() * size
    counts = np.floor(exact + 1e-9).astype(int)
    rest = np.argsort(counts - exact, kind="stable")[: size - counts.sum()]
    counts[rest] += 1
    return counts

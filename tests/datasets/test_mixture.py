"""A mixture's epochs: shares, order, and what a resumed run draws."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mpt.crops import Crop
from mpt.datasets.mixture import Mixture
from mpt.datasets.sample import Sample, Samples, Subset
from mpt.errors import InputError


class Numbered(Samples):
    """Samples whose frame is their number."""

    def __init__(self, dataset: str, count: int) -> None:
        self.dataset, self.count = dataset, count

    def __len__(self) -> int:
        return self.count

    def image(self, index: int) -> Path:
        return Path(f"{self.dataset}/{index}.jpg")

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.dataset, self.image(index), Crop((0.0, 0.0), 1.0), frame=self.checked(index))


SETS = [Numbered("a", 30), Numbered("b", 10), Numbered("c", 7)]


def drawn(mixture: Mixture, number: int) -> list[Sample]:
    return [mixture[index] for index, _ in mixture.epoch(number)]


def test_without_weights_an_epoch_is_every_sample_once():
    mixture = Mixture(SETS)
    assert len(mixture) == mixture.epoch_size == 47
    for number in (0, 3):
        assert sorted(index for index, _ in mixture.epoch(number)) == list(range(47))
    assert mixture.epoch(0) != mixture.epoch(1)


def test_shares_are_those_of_the_weights():
    mixture = Mixture(SETS, [5, 3, 2], size=100)
    for number in range(3):
        assert Counter(sample.dataset for sample in drawn(mixture, number)) == {"a": 50, "b": 30, "c": 20}
    thirds = Mixture(SETS, [1, 1, 1], size=100)
    assert sorted(thirds.counts) == [33, 33, 34]


def test_no_sample_comes_again_before_every_other_of_its_set():
    mixture = Mixture(SETS, [1, 1, 1], size=12)  # four of each: several epochs for a pass through one set
    seen = [
        sample.frame for number in range(15) for sample in drawn(mixture, number) if sample.dataset == "a"
    ]
    assert len(seen) == 60 and set(Counter(seen).values()) == {2}
    many = Mixture(SETS, [1, 1, 1], size=120)  # several passes in one epoch
    counts = Counter(sample.frame for sample in drawn(many, 2) if sample.dataset == "c")
    assert set(counts.values()) <= {5, 6, 7} and sum(counts.values()) == 40


def test_epochs_follow_from_the_seed_alone():
    assert Mixture(SETS, [1, 2, 3], seed=4).epoch(7) == Mixture(SETS, [1, 2, 3], seed=4).epoch(7)
    assert Mixture(SETS, [1, 2, 3], seed=4).epoch(7) != Mixture(SETS, [1, 2, 3], seed=5).epoch(7)


def test_every_draw_has_a_number_of_its_own():
    mixture = Mixture(SETS, [1, 2, 3], size=20)
    numbers = [draw for epoch in range(3) for _, draw in mixture.epoch(epoch)]
    assert numbers == list(range(60))


def test_samples_stand_one_set_behind_the_other():
    mixture = Mixture(SETS)
    assert [(mixture[i].dataset, mixture[i].frame) for i in (0, 29, 30, 46, -1)] == [
        ("a", 0), ("a", 29), ("b", 0), ("c", 6), ("c", 6),
    ]  # fmt: skip
    assert mixture.image(35) == Path("b/5.jpg")
    with pytest.raises(IndexError):
        mixture[47]


def test_a_subset_keeps_its_rows():
    subset = Subset(SETS[0], np.array([4, 2]))
    assert [sample.frame for sample in subset] == [4, 2] and subset.dataset == "a"
    assert subset.image(1) == Path("a/2.jpg")


def test_bad_mixtures_are_refused():
    for weights in ([1, 2], [1, 2, 0], [1, 2, float("nan")], [1, -2, 3]):
        with pytest.raises(InputError, match="give each a number above 0"):
            Mixture(SETS, weights)
    with pytest.raises(InputError, match="hold samples"):
        Mixture([SETS[0], Numbered("empty", 0)])
    with pytest.raises(InputError, match="hold samples"):
        Mixture([])

"""What is worked out once is worked out again as soon as anything that it comes from is another."""

import copy
import pickle

import pytest
import torch
from tolerance import assert_close
from torch import Tensor, nn

from mpt.modeling.once import Once


class Doubled:
    """Twice a tensor, and how often that was worked out."""

    def __init__(self) -> None:
        self.once, self.made = Once(), 0

    def __call__(self, source: Tensor) -> Tensor:
        def make() -> Tensor:
            self.made += 1
            return 2 * source

        return self.once(make, (source,))


def written(weight: nn.Parameter) -> None:
    with torch.no_grad():
        weight.mul_(3)


def loaded(weight: nn.Parameter) -> None:
    layer = nn.Linear(3, 2)
    layer.weight = weight
    layer.load_state_dict(nn.Linear(3, 2).state_dict())


def moved(weight: nn.Parameter) -> None:
    layer = nn.Linear(3, 2)
    layer.weight = weight
    layer.double()


@pytest.mark.parametrize("change", [written, loaded, moved])
def test_it_is_made_once_and_again_after_a_change(change):
    doubled, weight = Doubled(), nn.Parameter(torch.randn(2, 3), requires_grad=False)
    assert doubled(weight) is doubled(weight)
    assert doubled.made == 1
    change(weight)
    assert torch.equal(doubled(weight), 2 * weight)
    assert doubled(weight).dtype == weight.dtype
    assert doubled.made == 2


def test_another_tensor_is_another_even_where_the_first_one_lay():
    doubled = Doubled()
    for number in range(20):
        source = torch.full((64,), float(number))  # freed at once, but for what holds it
        assert torch.equal(doubled(source), 2 * source)


def test_what_learns_is_made_every_time_and_learns():
    doubled, weight = Doubled(), nn.Parameter(torch.ones(3))
    for _ in range(2):
        doubled(weight).sum().backward()
    assert doubled.made == 2
    assert torch.equal(weight.grad, torch.full((3,), 4.0))
    weight.requires_grad_(False)
    assert not doubled(weight).requires_grad


def test_what_inference_made_serves_where_something_else_learns():
    doubled, weight = Doubled(), torch.ones(3)
    with torch.inference_mode():
        doubled(weight)
    x = torch.ones(3, requires_grad=True)
    (doubled(weight) * x).sum().backward()
    assert torch.equal(x.grad, torch.full((3,), 2.0)) and doubled.made == 1


def test_a_copy_goes_by_its_own_weights():
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3), requires_grad=False)
            self.once = Once()

        def forward(self) -> Tensor:
            return self.once(lambda: 2 * self.weight, (self.weight,))

    layer = Layer()
    layer()
    other = copy.deepcopy(layer)
    written(other.weight)
    assert_close(other(), torch.full((3,), 6.0))
    assert_close(layer(), torch.full((3,), 2.0))


def test_a_copy_makes_its_own():
    source = torch.ones(3)
    doubled = Doubled()
    doubled(source)
    assert len(pickle.dumps(doubled.once)) < 100
    other = copy.deepcopy(doubled)
    assert_close(other(source), 2 * source)
    assert (doubled.made, other.made) == (1, 2)

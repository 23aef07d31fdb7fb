"""What a film's frames share is drawn as often as what single moments have, and lasts."""

import pytest
import torch

from mpt.draws import Draws, DrawsInTime

CLIPS, FRAMES, JOINTS = 400, 24, 6


@pytest.fixture(scope="module")
def draws():
    times = torch.arange(FRAMES).expand(CLIPS, -1) / 30
    return DrawsInTime(times, torch.Generator().manual_seed(0))


def of_clips(drawn):
    return drawn.view(CLIPS, FRAMES, -1)


def test_numbers_are_distributed_as_independent_ones_are(draws):
    normal, uniform = draws.normal(CLIPS * FRAMES, JOINTS, 2), draws.uniform(CLIPS * FRAMES, JOINTS)
    alone = Draws("cpu", torch.Generator().manual_seed(1)).normal(CLIPS * FRAMES, JOINTS, 2)
    assert normal.shape == alone.shape
    assert float(normal.mean()) == pytest.approx(0, abs=0.03)
    assert float(normal.std()) == pytest.approx(float(alone.std()), abs=0.03)
    assert (uniform >= 0).all() and (uniform <= 1).all()
    for share in (0.1, 0.5, 0.9):
        assert float((uniform < share).float().mean()) == pytest.approx(share, abs=0.03)


def test_neighbours_are_alike_the_more_the_nearer_they_are(draws):
    drawn = of_clips(draws.normal(CLIPS * FRAMES, JOINTS))

    def alike(apart):
        return float((drawn[:, apart:] * drawn[:, : FRAMES - apart]).mean())

    assert 0.99 > alike(1) > alike(4) > alike(16) > 0.1  # some of it stays for good


def test_what_is_drawn_once_for_a_sample_stays_and_clips_are_independent(draws):
    drawn = of_clips(draws.uniform(CLIPS * FRAMES))[..., 0]
    assert float(drawn.std(1).max()) < 0.02
    assert float(drawn.mean(1).std()) == pytest.approx(12**-0.5, abs=0.03)
    person = of_clips(draws.normal(CLIPS * FRAMES, 1))[..., 0]
    assert 0.05 < float(person.std(1).mean()) < 0.6
    assert abs(float((drawn[::2, 0] - 0.5).mul(drawn[1::2, 0] - 0.5).mean())) < 0.02


def test_the_same_seed_gives_the_same_numbers():
    times = torch.arange(5).expand(2, -1) / 30
    one, two = (DrawsInTime(times, torch.Generator().manual_seed(3)).normal(10, 3) for _ in range(2))
    assert torch.equal(one, two)

"""An epoch is every pose from every view once, whoever draws and whenever; each pose with its own shape."""

import numpy as np
import pytest
import torch
from test_pretrain import write_store

from mpt import bodies
from mpt.cameras import aim, h36m_s1
from mpt.datasets.store import PoseStore
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.datasets.widening import NO_WIDENING
from mpt.heatmaps import PERFECT
from mpt.recipes.draws import PairDraw, PosesConfig

CPU = torch.device("cpu")
VIEWS = 4
PAIRS = 40 * VIEWS


@pytest.fixture(scope="module")
def body():
    return bodies.load("anny")


@pytest.fixture(scope="module")
def store(body, tmp_path_factory):
    return PoseStore(write_store(tmp_path_factory.mktemp("mocap") / "tiny.store", body))


@pytest.fixture
def pairs(store, body):
    return PairDraw(store, body, PosesConfig(), 0, CPU, views=VIEWS)


def drawn(pairs: PairDraw, count: int, first: int) -> list[tuple[bytes, int]]:
    """The pose and the view of each sample."""
    found = pairs(count, torch.Generator(), first)
    return [(pose.numpy().tobytes(), view) for pose, view in zip(found.rotvec, found.view.tolist())]


@pytest.mark.parametrize("size", [1, 7, 64, PAIRS, 3 * PAIRS])
def test_an_epoch_sees_every_pair_exactly_once(pairs, store, size):
    samples = [pair for at in range(0, 3 * PAIRS, size) for pair in drawn(pairs, size, at)]
    poses = {pose.tobytes() for pose in store.rotvec(store.train)}
    epochs = [samples[at : at + PAIRS] for at in range(0, 3 * PAIRS, PAIRS)]
    assert all(set(epoch) == {(pose, view) for pose in poses for view in range(VIEWS)} for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_place_of_the_run_has_its_pair_whoever_draws_it_and_whenever(store, body, pairs):
    whole = drawn(pairs, 2 * PAIRS, 0)
    resumed = PairDraw(store, body, PosesConfig(), 0, CPU, views=VIEWS)
    assert drawn(resumed, 30, PAIRS - 10) == whole[PAIRS - 10 : PAIRS + 20]
    halves = [drawn(resumed, 8, (3 * 2 + number) * 8) for number in range(2)]  # step 3 of two micro-batches
    assert halves[0] + halves[1] == drawn(pairs, 16, 3 * 16)
    assert drawn(PairDraw(store, body, PosesConfig(), 1, CPU, views=VIEWS), 20, 0) != whole[:20]
    share = PairDraw(store, body, PosesConfig(share=0.25), 0, CPU, views=2)
    assert len(share) == 10 and len(set(drawn(share, 20, 0))) == 20


def test_boosted_poses_are_not_drawn_evenly():
    assert PosesConfig(share=0.5).even and PosesConfig(rare_boost=3.0).even
    assert not PosesConfig(low_boost=2.0).even
    assert not PosesConfig(rare_subjects=("01",), rare_boost=3.0).even


def test_a_pair_s_view_is_the_camera_that_looks(store, body, pairs):
    config = SyntheticConfig(
        cameras="h36m_s1", widening=NO_WIDENING, noise=PERFECT, truncation=0.0, fine_vertices=0
    )
    how = {"inputs": "coordinates", "coarse_vertices": 431, "heatmap_size": 32}
    synthesize = Synthesizer(body, store.bones, config, **how)
    some = pairs(12, torch.Generator(), 0)
    shape = torch.zeros(12, body.shape_count)
    seen = synthesize(some.rotvec, torch.Generator().manual_seed(0), shape=shape, view=some.view)
    one = synthesize(some.rotvec, torch.Generator().manual_seed(0), shape=shape, view=0 * some.view)
    rig = h36m_s1()
    aimed = aim(rig.translation).mT @ rig.rotation  # at the root, which is the origin
    turn = aimed[some.view] @ aimed[0].T
    torch.testing.assert_close(seen.joints, one.joints @ turn.mT, atol=1e-5, rtol=0)
    assert set(some.view.tolist()) == set(range(VIEWS))


def test_a_given_shape_is_taken_and_an_unknown_one_drawn(store, body):
    config = SyntheticConfig(widening=NO_WIDENING, noise=PERFECT, truncation=0.0, fine_vertices=0)
    how = {"inputs": "coordinates", "coarse_vertices": 431, "heatmap_size": 32}
    synthesize = Synthesizer(body, store.bones, config, **how)
    rotvec = torch.from_numpy(store.rotvec(np.arange(6)))

    def joints(shape):
        return synthesize(rotvec, torch.Generator().manual_seed(0), shape=shape).joints

    given = body.sample_shapes(6, torch.Generator().manual_seed(9))
    given[3:] = torch.nan
    free, bound = joints(None), joints(given)
    assert torch.equal(free[3:], bound[3:]) and (free[:3] != bound[:3]).any((1, 2)).all()
    assert torch.equal(joints(torch.full_like(given, torch.nan)), free)

"""An epoch is every pose from every view once, whoever draws and whenever; each pose with its own shape;
rare kinds of pose come more often where that is asked for."""

import numpy as np
import pytest
import roma
import torch
from test_pretrain import write_store

from mpt import bodies
from mpt.cameras import aim, h36m_s1
from mpt.datasets.store import Kind, PoseStore, Sequence
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.datasets.widening import NO_WIDENING
from mpt.heatmaps import PERFECT
from mpt.recipes import rarity
from mpt.recipes.draws import PairDraw, PoseDraw, PosesConfig
from mpt.recipes.rarity import facing_joints, shares_alike

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


def upright_and_lying(body, count: int, lying: int) -> torch.Tensor:
    """(count, B, 3) poses that differ by a quarter of a degree and by where they face; the last ones lie."""
    rotvec = 0.005 * torch.randn(count, len(body.moving_bones), 3, generator=torch.Generator().manual_seed(3))
    facing = torch.zeros(count, 3)
    facing[:, 1] = torch.linspace(-3, 3, count)
    root = roma.rotvec_to_rotmat(facing)
    root[-lying:] = root[-lying:] @ roma.rotvec_to_rotmat(torch.tensor([1.5, 0, 0]))
    rotvec[:, 0] = roma.rotmat_to_rotvec(root)
    return rotvec


def test_the_share_of_poses_alike_is_that_of_their_kind_whoever_faces_where(body):
    shares = shares_alike(body, upright_and_lying(body, 60, lying=6))
    np.testing.assert_allclose(shares[:-6], 0.9, atol=0.03)
    np.testing.assert_allclose(shares[-6:], 0.1, atol=0.01)


def test_what_nothing_is_like_is_as_rare_as_one(body, monkeypatch):
    monkeypatch.setattr(rarity, "REFERENCES", 10)
    shares = shares_alike(body, upright_and_lying(body, 60, lying=7))
    assert min(shares) == pytest.approx(0.1) and len(shares) == 60
    alone = upright_and_lying(body, 60, lying=1).roll(30, 0)  # between the references
    assert shares_alike(body, alone).argmin() == 29 and min(shares_alike(body, alone)) == pytest.approx(0.1)


def test_hands_are_alike_however_their_wrists_turn():
    hand = bodies.load("anny-hand")
    rotvec = torch.zeros(20, len(hand.moving_bones), 3)
    rotvec[:, 0] = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    rotvec[-5:, 1:, 2] = 0.7
    shares = shares_alike(hand, rotvec)
    np.testing.assert_allclose(shares, [0.75] * 15 + [0.25] * 5, atol=0.03)


def test_joints_are_compared_where_people_face(body):
    """Turned about the vertical they are the same, and the left hip is on the left."""
    straight = upright_and_lying(body, 4, lying=1)
    turned = straight.clone()
    turn = roma.rotvec_to_rotmat(torch.tensor([0, 2.0, 0]))
    turned[:, 0] = roma.rotmat_to_rotvec(turn @ roma.rotvec_to_rotmat(straight[:, 0]))
    joints = facing_joints(body, straight)
    torch.testing.assert_close(facing_joints(body, turned), joints, atol=1e-5, rtol=0)
    left, right = (joints[:, body.skeleton.index(f"{side}_hip")] for side in ("left", "right"))
    assert ((left - right)[:, 0] > 0.1).all()
    torch.testing.assert_close(left, -right)


def test_evenness_draws_rare_kinds_by_the_power_of_their_share(body, tmp_path):
    rotvec = upright_and_lying(body, 100, lying=10).numpy()
    with PoseStore.create(tmp_path / "poses.store", body=body) as writer:
        about = Sequence("01_01", "01", "01_01.bvh", 30.0, 100, 0, "train")
        writer.add(about, rotvec=rotvec, frame=np.arange(100), kind=Kind(*np.ones((2, 100))))
    store = PoseStore(tmp_path / "poses.store")

    def lying(evenness: float) -> float:
        draw = PoseDraw(store, body, PosesConfig(evenness=evenness), 0, CPU)
        drawn = facing_joints(body, draw(4000, torch.Generator().manual_seed(1), 0).rotvec)
        return float((drawn[..., 1].amax(1) < 0.4).float().mean())

    assert lying(0.0) == pytest.approx(0.1, abs=0.02)
    assert lying(0.5) == pytest.approx(10 * 0.1**-0.5 / (10 * 0.1**-0.5 + 90 * 0.9**-0.5), abs=0.03)
    assert lying(1.0) == pytest.approx(0.5, abs=0.03)


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

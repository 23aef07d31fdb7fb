"""mpt prepare hands and meshes: poses drawn inside joint limits, or found again in what they made."""

import numpy as np
import pytest
import roma
import torch
from clips import given_console  # noqa: F401
from layouts import complement
from official import mano as made_up_mano
from official import write_pickle

import mpt.bodies
from mpt.bodies import mano
from mpt.datasets.store import PoseStore
from mpt.errors import InputError
from mpt.recipes.prepare import prepare_hands, prepare_meshes


@pytest.fixture(scope="module")
def hand():
    return mpt.bodies.load("anny-hand")


def test_hands_are_drawn_and_stored_a_twentieth_for_validation(tmp_path, hand):
    summary = prepare_hands(tmp_path / "hands.store", samples=60)
    store = PoseStore(summary.path, body=hand)
    assert (len(store.train), len(store.validation), summary.poses) == (57, 3, 60)
    assert [s.name for s in store.sequences] == ["sampled-train", "sampled-validation"]
    assert np.isnan(store.kind().pelvis_height).all() and np.isnan(store.kind().trunk_tilt).all()
    assert (store.rotvec()[:, 0] == 0).all() and np.isfinite(store.rotvec()).all()
    assert len(np.unique(store.rotvec(), axis=0)) == 60  # validation poses are none of the others


def test_a_seed_tells_the_hands_that_are_drawn(tmp_path):
    one, same, other = (
        PoseStore(prepare_hands(tmp_path / f"{k}.store", samples=20, seed=seed).path).rotvec()
        for k, seed in enumerate((3, 3, 4))
    )
    np.testing.assert_array_equal(one, same)
    assert not np.isclose(one, other).all((1, 2)).any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"body": "anny"}, "has no moving bone 'index1'"),
        ({"samples": 0}, "samples is 0, a number above 0"),
        ({"seed": -1}, "seed is -1, a number from 0 up"),
    ],
)
def test_wrong_wishes_of_hands_are_refused_and_leave_nothing(given, message, tmp_path):
    with pytest.raises(InputError, match=message):
        prepare_hands(tmp_path / "hands.store", **given)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def made_up_hand(tmp_path_factory):
    return mano.read(write_pickle(tmp_path_factory.mktemp("mano") / "MANO.pkl", made_up_mano()))


@pytest.fixture
def posed_meshes(tmp_path, made_up_hand):
    """Complement's folder with four left hands before a camera, the second again from another side."""
    rotvec = torch.from_numpy(np.random.default_rng(0).normal(0, 0.4, (4, 16, 3))).float()
    rotvec = torch.cat([rotvec, rotvec[1:2]])
    rotvec[4, 0] += 1.0
    shape = made_up_hand.sample_shapes(4, torch.Generator().manual_seed(0))[[0, 1, 2, 3, 1]]
    vertices = made_up_hand(roma.rotvec_to_rotmat(rotvec), shape).vertices * torch.tensor([-1.0, -1.0, -1.0])
    for number, mesh in enumerate(vertices + torch.tensor([0, 0, 0.6])):
        file = tmp_path / "compdata" / f"view{number // 4}" / "model_mano" / f"{number % 4}.obj"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in mesh.tolist()))
    return tmp_path / "compdata", rotvec[:4].numpy()


def test_meshes_become_the_poses_that_made_them_each_once(posed_meshes, tmp_path, made_up_hand, console):
    folder, rotvec = posed_meshes
    summary = prepare_meshes([folder], tmp_path / "h.store", body=made_up_hand, console=console)
    store = PoseStore(summary.path, body=made_up_hand)
    assert (len(store.train), len(store.validation), len(summary.skipped)) == (3, 1, 0)
    assert [s.name for s in store.sequences] == ["meshes-train", "meshes-validation"]
    np.testing.assert_allclose(store.rotvec(), rotvec, atol=0.01)


def test_meshes_of_something_else_are_named_and_skipped(posed_meshes, tmp_path, made_up_hand, console):
    folder, _ = posed_meshes
    complement(folder / "other")  # 778 points anywhere, in two views
    (folder / "cut.obj").write_text("v 0 0 0\n")
    summary = prepare_meshes([folder], tmp_path / "h.store", body=made_up_hand, console=console)
    assert sorted(skipped.path.name for skipped in summary.skipped) == ["12.obj", "cut.obj"]
    assert summary.poses == 4
    with pytest.raises(InputError, match=r"cut\.obj: it holds 1 x 1 x 3 numbers"):
        prepare_meshes([folder], tmp_path / "s.store", body=made_up_hand, strict=True, console=console)
    with pytest.raises(
        InputError, match=r"none of the 1 meshes could be taken; .*mm from any pose of mano-right"
    ):
        prepare_meshes([folder / "other"], tmp_path / "s.store", body=made_up_hand, console=console)
    assert not (tmp_path / "s.store").exists()

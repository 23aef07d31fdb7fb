"""The pose store: what goes in comes out, whole or not at all, and for the right body only."""

import os
from dataclasses import dataclass

import numpy as np
import pytest

from mpt.datasets.store import LEAD, Kind, PoseStore, Sequence
from mpt.errors import InputError


@dataclass(frozen=True)
class FakeBody:
    name: str = "stick"
    hash: str = "0123456789abcdef"
    moving_bones: tuple[str, ...] = ("root", "spine", "head")


BODY = FakeBody()


def poses(count: int, seed: int = 0) -> dict:
    generator = np.random.default_rng(seed)
    rotvec = generator.uniform(-1.5, 1.5, (count, 3, 3))
    kind = Kind(generator.uniform(0, 1, count), generator.uniform(0, 180, count))
    return {"rotvec": rotvec, "frame": np.arange(count) * 2, "kind": kind}


def about(name: str, subject: str, split: str) -> Sequence:
    return Sequence(name, subject, f"{subject}/{name}.npz", 30.0, 100, 0, split)


@pytest.fixture
def path(tmp_path):
    with PoseStore.create(tmp_path / "a.store", body=BODY, sampling={"fps": 30}) as writer:
        writer.add(about("01_01", "01", "train"), **poses(5, 1))
        writer.add(about("02_01", "02", "validation"), **poses(3, 2), betas=np.arange(16))
        writer.add(about("03_01", "03", "train"), **poses(4, 3))
    return tmp_path / "a.store"


def test_poses_come_back_to_half_precision(path):
    store = PoseStore(path, body=BODY)
    given = np.concatenate([poses(n, s)["rotvec"] for n, s in ((5, 1), (3, 2), (4, 3))])
    assert len(store) == 12
    assert store.rotvec().dtype == np.float32
    np.testing.assert_allclose(store.rotvec(), given, atol=5e-4)
    np.testing.assert_array_equal(store.rotvec([7, 2]), store.rotvec()[[7, 2]])
    np.testing.assert_array_equal(store.rotvec(3), store.rotvec()[3])


def test_everything_about_a_pose_comes_back(path):
    store = PoseStore(path)
    assert store.bones == BODY.moving_bones
    assert (store.body_name, store.body_hash, store.sampling) == (BODY.name, BODY.hash, {"fps": 30})
    assert store.created_by.startswith("mpt ")
    assert [(s.name, s.poses, s.split) for s in store.sequences] == [
        ("01_01", 5, "train"),
        ("02_01", 3, "validation"),
        ("03_01", 4, "train"),
    ]
    np.testing.assert_array_equal(store.sequence(), [0] * 5 + [1] * 3 + [2] * 4)
    np.testing.assert_array_equal(store.frame([5, 6, 7]), [0, 2, 4])
    given = poses(3, 2)["kind"]
    np.testing.assert_allclose(store.kind([5, 6, 7]).pelvis_height, given.pelvis_height, atol=1e-3)
    np.testing.assert_allclose(store.kind([5, 6, 7]).trunk_tilt, given.trunk_tilt, atol=0.1)
    np.testing.assert_array_equal(store.betas[1], np.arange(16))
    assert np.isnan(store.betas[[0, 2]]).all()


def test_splits_part_the_store_and_subjects_narrow_them(path):
    store = PoseStore(path)
    np.testing.assert_array_equal(store.validation, [5, 6, 7])
    np.testing.assert_array_equal(np.sort([*store.train, *store.validation]), np.arange(12))
    np.testing.assert_array_equal(store.indices(subjects=["02", "03"]), np.arange(5, 12))
    np.testing.assert_array_equal(store.indices("train", subjects=["02", "03"]), np.arange(8, 12))


def test_rotations_beyond_half_a_turn_are_kept_as_the_same_rotation(tmp_path):
    given = poses(1)
    given["rotvec"] = np.array([[[0, 5.0, 0], [0, 0, -2 * np.pi], [20.0, 0, 0]]])
    with PoseStore.create(tmp_path / "b.store", body=BODY) as writer:
        writer.add(about("01_01", "01", "train"), **given)
    expected = [[0, 5.0 - 2 * np.pi, 0], [0, 0, 0], [20 - 6 * np.pi, 0, 0]]
    np.testing.assert_allclose(PoseStore(tmp_path / "b.store").rotvec(0), expected, atol=1e-3)


def test_a_store_without_poses_opens(tmp_path):
    with PoseStore.create(tmp_path / "empty.store", body=BODY):
        pass
    store = PoseStore(tmp_path / "empty.store", body=BODY)
    assert len(store) == len(store.train) == len(store.sequences) == 0


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_write_leaves_nothing_and_the_older_store(path, stop):
    before = path.read_bytes()
    with pytest.raises(stop), PoseStore.create(path, body=BODY) as writer:
        writer.add(about("01_01", "01", "train"), **poses(5))
        raise stop
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == before


def test_another_bodys_store_is_refused_with_both_names(path):
    other = FakeBody("doll", "fedcba9876543210")
    with pytest.raises(
        InputError, match=r"'stick' \(0123456789ab\), not for 'doll' \(fedcba987654\); make it"
    ):
        PoseStore(path, body=other)
    with pytest.raises(InputError, match="not for 'stick'"):
        PoseStore(path, body=FakeBody(moving_bones=("root", "head", "spine")))


def test_a_store_cut_anywhere_is_refused(path, tmp_path):
    whole = path.read_bytes()
    for size in (0, 5, LEAD.size - 1, LEAD.size, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.store").write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"cut\.store: (it is no pose store|the store is cut short)"):
            PoseStore(tmp_path / "cut.store")


def test_a_store_with_a_damaged_header_is_refused(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-40] + b"\xff" * 40)
    with pytest.raises(InputError, match="cut short or damaged"):
        PoseStore(path)


@pytest.mark.parametrize(
    "text", ['"rotvec":{"dtype":"<f2","shape":[12,', '"sampling"', '"sequences"', '"dtype":"<i4"']
)
def test_a_header_that_says_nonsense_is_refused(path, text):
    whole = path.read_bytes()
    assert text.encode() in whole
    path.write_bytes(whole.replace(text.encode(), text[:-2].encode() + b"99"[: len(text[-2:])]))
    with pytest.raises(InputError, match="cut short or damaged"):
        PoseStore(path)


def test_a_store_of_another_version_is_refused(path):
    whole = bytearray(path.read_bytes())
    whole[8] = 9
    path.write_bytes(whole)
    with pytest.raises(InputError, match="a store of version 9 where this program reads 1"):
        PoseStore(path)


def test_what_is_no_store_is_refused_by_name(tmp_path):
    (tmp_path / "notes.txt").write_text("dear diary")
    with pytest.raises(InputError, match=r"notes\.txt: it is no pose store"):
        PoseStore(tmp_path / "notes.txt")
    with pytest.raises(InputError, match=r"none\.store: cannot read the store \(No such file"):
        PoseStore(tmp_path / "none.store")
    with pytest.raises(InputError, match="cannot read the store"):
        PoseStore(tmp_path)


def test_a_store_cannot_be_written_over_a_folder_or_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="it is a folder"), PoseStore.create(tmp_path, body=BODY):
        pass
    with (
        pytest.raises(InputError, match="cannot write the store"),
        PoseStore.create(tmp_path / "file" / "a.store", body=BODY),
    ):
        pass

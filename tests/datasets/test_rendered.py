"""Rendered pictures know their people exactly, and are the same whenever they are made."""

import json
import shutil
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from mpt import bodies
from mpt.cameras import fit_translation
from mpt.datasets import check, rendered
from mpt.datasets.loading import PhotoDataset
from mpt.datasets.store import Kind, PoseStore, Sequence
from mpt.errors import InputError
from mpt.recipes.conventions import conventions
from mpt.recipes.predicting import Predicted
from mpt.scenes import Outfit, casting
from mpt.skeletons import COCO17, COCO29


@pytest.fixture(scope="module")
def body():
    return bodies.load()


def write_store(path, body, splits=("train", "validation")):
    rng = np.random.default_rng(0)
    with PoseStore.create(path, body=body) as writer:
        for i, split in enumerate(splits):
            rotvec = rng.normal(0, 0.2, (5, len(body.moving_bones), 3))
            about = Sequence(f"0{i}_01", f"0{i}", f"0{i}_01.bvh", 30.0, 5, 0, split)
            kind = Kind(np.full(5, 0.9), np.zeros(5))
            writer.add(about, rotvec=rotvec, frame=np.arange(5), kind=kind)
    return PoseStore(path, body=body)


@pytest.fixture(scope="module")
def store(body, tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("mocap") / "poses.store", body)


@pytest.fixture(scope="module")
def folder(store, body, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered")
    assert [path.name for path in rendered.make(folder, store, body, 2)] == ["000000.jpg", "000001.jpg"]
    assert len(list(rendered.make(folder, store, body, 1, split="validation"))) == 1
    return folder


def standing(joints: np.ndarray, points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """(3,) where the joints are that are seen at ``points``."""
    one = (torch.from_numpy(np.array(a, np.float64)[None]) for a in (joints, points, np.ones(len(points)), K))
    return fit_translation(*one)[0].numpy()


def test_the_truth_fits_the_picture_s_camera(folder, body):
    for sample in rendered.read(folder, body=body):
        joints, K = sample.joints.xyz_m.astype(np.float64), sample.intrinsics
        where = standing(joints, sample.keypoints.xy_px, K)
        assert 1 < where[2] < 20
        pixels = (joints + where) @ K.T
        np.testing.assert_allclose(pixels[:, :2] / pixels[:, 2:], sample.keypoints.xy_px, atol=1e-3)
        regressed = body.regress(torch.from_numpy(sample.vertices_m)[None])[0].numpy()
        np.testing.assert_allclose(regressed, sample.joints.xyz_m, atol=5e-4)
        np.testing.assert_allclose(joints[COCO17.root].mean(0), 0, atol=1e-6)


def test_pictures_that_know_coco_s_17_alone_are_the_same_samples(folder, body, tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "rendered.json").write_bytes((folder / "rendered.json").read_bytes())
    for path in (folder / "train").iterdir():
        if path.suffix == ".npz":
            arrays = dict(np.load(path))
            cut = {name: arrays[name][:17] for name in ("joints", "points")}
            np.savez(tmp_path / "train" / path.name, **arrays | cut)
        else:
            (tmp_path / "train" / path.name).write_bytes(path.read_bytes())
    [rule], _ = conventions("rendered", body)
    for earlier, sample in zip(rendered.read(tmp_path, body=body), rendered.read(folder, body=body)):
        assert (earlier.keypoints.skeleton, sample.keypoints.skeleton) == (COCO17, COCO29)
        assert earlier.crop == sample.crop and rule.knows(earlier) and rule.knows(sample)
        mesh = [Predicted(1.1 * sample.vertices_m, np.zeros(3), np.zeros((29, 2)), 500.0, (0.0, 0.0))]
        found, expected = rule.errors([earlier], mesh), rule.errors([sample], mesh)
        assert found == expected and found["mpjpe_mm"] > 10


def test_the_camera_is_aimed_at_the_person_and_all_of_them_is_seen(folder):
    for sample in rendered.read(folder):
        points = sample.keypoints.on(COCO17).xy_px
        low, high = points.min(0), points.max(0)
        np.testing.assert_allclose((low + high) / 2, (rendered.SIZE - 1) / 2, atol=0.5)
        np.testing.assert_allclose((high - low).max(), rendered.SIZE / rendered.MARGIN, rtol=1e-3)


def test_the_picture_shows_the_person_where_the_truth_says(store, body):
    """Whoever is painted in plain red is red in the picture where the vertices are, and nowhere far off."""

    red = (0.9, 0.02, 0.02)
    plain = Outfit(skin=red, hair=red, shirt=red, trousers=red, shoes=red, sleeve=1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(casting, "random_outfit", lambda rng: plain)
        rng = np.random.default_rng(3)
        shape = np.zeros(body.shape_count, np.float32)
        scene = casting.random_scene(body, store.rotvec(store.train[:1])[0], shape, rng)
    image, truth = rendered._aimed(scene)
    where = np.argwhere((image[..., 0] > 2 * image[..., 1].astype(int)) & (image[..., 0] > 60))[:, ::-1]
    joints, K = truth["joints"].astype(np.float64), truth["K"]
    shift = standing(joints, truth["points"], K)
    pixels = (truth["vertices"].astype(np.float64) + shift) @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    for found, true in ((where.min(0), pixels.min(0)), (where.max(0), pixels.max(0))):
        np.testing.assert_allclose(found, true, atol=6)  # hair and shoes stand off by a little


def test_everything_is_known_of_an_example(folder, body):
    samples = rendered.read(folder, "validation")
    dataset = PhotoDataset(samples, COCO17, vertices=len(body.template), size=64)
    example, turn = dataset[0], dataset.camera_from_network(samples[0], samples[0].crop)
    assert example.vertices_known and example.joints_known.all() and (example.points_known == 1).all()
    assert example.points.abs().max() < 1 and example.image.shape == (3, 64, 64)
    np.testing.assert_allclose(example.vertices.numpy() @ turn.T, samples[0].vertices_m, atol=1e-5)


def test_a_broken_off_folder_is_finished_as_if_it_had_not_been(folder, store, body, tmp_path):
    copy = tmp_path / "rendered"
    next(rendered.make(copy, store, body, 2))
    (copy / "train" / "000000.npz").unlink()  # the truth is written last
    assert list(rendered.make(copy, store, body, 2))
    for name in ("train/000000.jpg", "train/000001.jpg", "train/000001.npz"):
        assert (copy / name).read_bytes() == (folder / name).read_bytes()


def test_pictures_there_are_not_made_again(folder, store, body, monkeypatch):
    monkeypatch.setattr(rendered, "random_scene", None)
    assert len(list(rendered.make(folder, store, body, 2))) == 2


def refusal(action) -> str:
    with pytest.raises(InputError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_folder_of_them_is_refused(folder, store, body, tmp_path):

    other = replace(body, hash="0" * 64)
    assert "mpt prepare rendered" in refusal(lambda: rendered.read(tmp_path))
    assert "show the body anny" in refusal(lambda: rendered.read(folder, body=other))
    assert "'test'" in refusal(lambda: rendered.read(folder, "test"))
    series = rendered.make(folder, store, body, 2, seed=1)
    assert "another seed" in refusal(lambda: list(islice(series, 1)))
    (tmp_path / "rendered.json").write_text(json.dumps({"format": "other"}))
    assert "its format is 'other'" in refusal(lambda: rendered.read(tmp_path))
    (tmp_path / "rendered.json").write_text((folder / "rendered.json").read_text())
    assert "holds no rendered pictures" in refusal(lambda: rendered.read(tmp_path))
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "000000.npz").write_bytes(b"half")
    (tmp_path / "train" / "000000.jpg").touch()
    assert "000000.npz" in refusal(lambda: rendered.read(tmp_path)[0])


def test_what_cannot_be_rendered_is_refused(store, body, tmp_path):

    bare = replace(body, phenotypes=None)
    assert "only the Anny body" in refusal(lambda: next(rendered.make(tmp_path, store, bare, 1)))
    lonely = write_store(tmp_path / "lonely.store", body, ("train",))
    made = rendered.make(tmp_path / "out", lonely, body, 1, split="validation")
    assert "no validation poses" in refusal(lambda: next(made))
    (tmp_path / "taken").write_text("")
    assert "cannot be written" in refusal(lambda: next(rendered.make(tmp_path / "taken", store, body, 1)))


def test_a_folder_of_pictures_is_checked_by_its_name(folder, tmp_path):
    report = check.check("rendered", folder, strict=True)
    assert report.whole and [split.samples for split in report.splits] == [2, 1]
    assert report.splits[0].knows == ("2D joints", "3D joints", "vertices", "camera")
    copy = shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(copy / "validation")
    (copy / "train" / "000000.jpg").unlink()
    train, validation = check.check("rendered", copy).splits
    assert train.samples == 1 and "000000.jpg" in train.problems[0] and validation.absent
    assert "000000.jpg" in refusal(lambda: check.check("rendered", copy, strict=True))

"""Samples become tensors of one form, whatever each data set knows."""

import layouts
import numpy as np
import pytest
import torch
from layouts import People
from PIL import Image
from torch.utils.data import DataLoader

from mpt.crops import Crop, apply
from mpt.datasets import coco, complement, freihand, human36m, muco3dhp, tdpw
from mpt.datasets.augment import BODY, HAND, Augmentation
from mpt.datasets.loading import MEAN, STD, PhotoDataset, read_crop
from mpt.datasets.mixture import Mixture
from mpt.datasets.sample import Sample
from mpt.errors import InputError
from mpt.skeletons import COCO17, H36M17, HAND21, LSP14, SMPL24

PEOPLE = [People(seed) for seed in range(3)]
HIPS = H36M17.indices("left_hip", "right_hip")


@pytest.fixture
def mixture(tmp_path):
    """A set that knows 2D joints alone, one with 3D joints, one with SMPL."""
    layouts.coco(tmp_path / "coco", PEOPLE)
    layouts.tdpw(tmp_path / "3dpw")
    names = [f"S1_Walking.60457274_{frame:06d}.jpg" for frame in range(3)]
    for seed, name in enumerate(names):
        layouts.photo(tmp_path / "h36m" / name, seed=seed)
    layouts.spin_npz(tmp_path / "h36m" / "h36m_train.npz", names, layouts.SPIN, PEOPLE)
    sets = [
        coco.read(tmp_path / "coco"),
        human36m.read(tmp_path / "h36m"),
        tdpw.read(tmp_path / "3dpw", "test"),
    ]
    return Mixture(sets)


def test_a_batch_counts_each_truth_where_it_is_known(mixture):
    dataset = PhotoDataset(mixture, H36M17, size=56, augment=BODY)
    order = mixture.epoch(0)
    batch = next(iter(DataLoader(dataset, batch_size=len(order), sampler=order)))
    assert batch.image.shape == (12, 3, 56, 56) and batch.image.dtype == torch.float32
    kind = torch.tensor([("coco", "human36m", "3dpw").index(mixture[int(i)].dataset) for i in batch.index])
    assert (batch.joints_known.any(1) == (kind == 1)).all()
    assert (batch.parameters_known == (kind == 2)).all()
    assert (~(batch.points_known > 0).any(1)).sum() == 2  # two frames of 3DPW have no detections
    assert not batch.vertices_known.any() and batch.vertices.shape == (12, 0, 3)
    assert all(torch.isfinite(tensor).all() for tensor in batch if tensor.is_floating_point())
    torch.testing.assert_close(batch.joints[kind == 1][:, HIPS].mean(1), torch.zeros(3, 3), atol=1e-6, rtol=0)
    assert set(batch.gender[kind == 2].tolist()) == {1, 2}


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_give_what_one_process_gives(mixture):
    dataset = PhotoDataset(mixture, COCO17, size=32, augment=BODY, seed=3)
    order = mixture.epoch(1)
    alone = next(iter(DataLoader(dataset, batch_size=12, sampler=order)))
    together = list(DataLoader(dataset, batch_size=6, sampler=order, num_workers=2))
    for one, parts in zip(alone, zip(*together)):
        assert torch.equal(one, torch.cat(parts))


def test_an_augmentation_follows_from_seed_index_and_draw(mixture):
    dataset = PhotoDataset(mixture, COCO17, size=32, augment=BODY)
    assert torch.equal(dataset[4, 9].image, dataset[4, 9].image)
    assert not torch.equal(dataset[4, 9].image, dataset[4, 10].image)
    assert not torch.equal(
        PhotoDataset(mixture, COCO17, size=32, augment=BODY, seed=1)[4, 9].image, dataset[4, 9].image
    )


def test_an_example_without_augmentation_is_the_sample(mixture):
    sample = mixture[4]
    dataset = PhotoDataset(mixture, H36M17)
    example = dataset[4]
    xy = apply(sample.crop.ndc_from_image, sample.keypoints.on(H36M17).xy_px)
    np.testing.assert_allclose(example.points, xy, atol=1e-5)
    joints = sample.joints.on(H36M17).xyz_m
    turn = dataset.camera_from_network(sample, sample.crop)
    np.testing.assert_allclose(example.joints.numpy() @ turn.T, joints - joints[HIPS].mean(0), atol=1e-5)
    shown = (example.image * STD[:, None, None] + MEAN[:, None, None]) * 255
    cropped = read_crop(sample.image, sample.crop, 224)
    np.testing.assert_allclose(shown.permute(1, 2, 0), cropped, atol=1e-3)
    assert example.index == 4


def test_smpl_poses_turn_and_mirror_with_their_joints(tmp_path):
    layouts.tdpw(tmp_path)
    samples = tdpw.read(tmp_path, "test")
    augmentation = Augmentation(flip=True, rotation=0.5)
    dataset = PhotoDataset(samples, SMPL24)
    example = dataset.example(samples[0], augmentation)
    axes = dataset.camera_from_network(samples[0], augmentation.crop(samples[0].crop), mirrored=True).T
    expected = augmentation.joints(samples[0].joints, axes).xyz_m
    hips = SMPL24.indices("left_hip", "right_hip")
    np.testing.assert_allclose(example.joints, expected - expected[hips].mean(0), atol=1e-5)
    pose = augmentation.parameters(samples[0].parameters, axes).pose
    np.testing.assert_allclose(example.pose, pose, atol=1e-6)


def test_neck_and_thorax_are_one_place(tmp_path):
    layouts.muco(tmp_path, PEOPLE)
    joints = muco3dhp.read(tmp_path)[0].joints
    neck = joints.on(LSP14).xyz_m[LSP14.index("neck")]
    assert (neck == joints.on(H36M17).xyz_m[H36M17.index("thorax")]).all() and neck.any()


def test_hands_have_vertices_about_the_wrist(tmp_path):
    truth = layouts.freihand(tmp_path)
    samples = freihand.read(tmp_path)
    dataset = PhotoDataset(samples, HAND21, model="mano", vertices=778, size=32)
    example = dataset[1]
    wrist = truth["xyz"][1, 0]
    turn = dataset.camera_from_network(samples[1], samples[1].crop).T
    np.testing.assert_allclose(example.vertices, (truth["verts"][1] - wrist) @ turn.T, atol=1e-6)
    np.testing.assert_allclose(example.joints, (truth["xyz"][1] - wrist) @ turn.T, atol=1e-6)
    assert example.vertices_known and not example.parameters_known and example.pose.shape == (16, 3)
    mean = np.full((15, 3), 0.1)
    known = PhotoDataset(samples, HAND21, model="mano", hand_mean=mean, size=32)[1]
    assert known.parameters_known
    np.testing.assert_allclose(known.pose[1:], truth["mano"][1, 0, 3:48].reshape(15, 3) + 0.1, atol=1e-6)
    turned = PhotoDataset(samples, HAND21, model="mano", vertices=778, size=32, augment=HAND)
    for draw in range(3):
        other = turned[1, draw]
        torch.testing.assert_close(other.vertices.norm(dim=1), example.vertices.norm(dim=1))


def test_a_regressor_gives_joints_where_only_vertices_are_known(tmp_path):
    _, regressor = layouts.complement(tmp_path)
    (tmp_path / "j_reg.npy").unlink()
    samples = complement.read(tmp_path)
    without = PhotoDataset(samples, HAND21, model="mano", vertices=778, size=32)[0]
    assert not without.vertices_known and not without.joints_known.any()
    example = PhotoDataset(samples, HAND21, model="mano", vertices=778, regressor=regressor, size=32)[0]
    assert example.vertices_known and example.joints_known.all()
    torch.testing.assert_close(example.vertices[:21], example.joints)


def test_photos_that_cannot_be_read_are_named(tmp_path):
    crop = Crop((10.0, 10.0), 20.0)
    with pytest.raises(InputError, match=r"gone\.jpg: this photo is missing"):
        read_crop(tmp_path / "gone.jpg", crop, 32)
    path = layouts.photo(tmp_path / "half.jpg")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"half\.jpg: is no whole picture"):
        read_crop(path, crop, 32)


def test_grey_and_cmyk_photos_are_rgb(tmp_path):
    for mode in ("L", "CMYK"):
        Image.new(mode, (64, 48)).save(tmp_path / "photo.jpg")
        assert read_crop(tmp_path / "photo.jpg", Crop((30.0, 20.0), 40.0), 16).shape == (16, 16, 3)


def test_an_array_is_a_photo():
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    crop = Crop((29.5, 24.5), 50.0)
    sample = Sample("made", image, crop)
    example = PhotoDataset([sample], COCO17, size=50)[0]
    assert not example.points_known.any()
    assert (read_crop(image, crop, 50) == image[:, 5:55]).all()

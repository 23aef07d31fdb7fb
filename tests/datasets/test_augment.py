"""What is seen and what is known change together."""

import numpy as np
import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import photo
from PIL import Image

from mpt.crops import Crop, apply
from mpt.datasets.augment import BODY, HAND, Augmentation, AugmentationConfig
from mpt.datasets.loading import PhotoDataset, read_crop
from mpt.datasets.sample import BodyParameters, Joints3D, Keypoints, Sample
from mpt.skeletons import COCO17, H36M17, SMPL24
from mpt.views import Pinhole, camera_from_network

AUGMENTATIONS = st.builds(
    Augmentation,
    flip=st.booleans(),
    rotation=st.floats(-np.pi, np.pi),
    scale=st.floats(0.75, 1.25),
)
GENERATOR = np.random.default_rng(0)
XYZ = GENERATOR.normal(0, 0.4, (17, 3))
KNOWN = np.arange(17) != 5
CROP = Crop((130.0, 90.0), 150.0, 0.2)
PER_METRE, MIDDLE = (
    70.0,
    np.array([120.0, 95.0]),
)  # a weak-perspective camera: pixels = PER_METRE * xy + MIDDLE


def pixels(xyz: np.ndarray) -> np.ndarray:
    return PER_METRE * xyz[:, :2] + MIDDLE


def axes(augmentation: Augmentation, crop: Crop = CROP) -> np.ndarray:
    """Camera axes -> the network's, for somebody on the optical axis, in the middle of the crop."""
    camera = Pinhole((1000.0, 1000.0), crop.center_px)
    shown = augmentation.crop(crop)
    return camera_from_network(camera, shown, np.zeros(2), mirrored=augmentation.flip).T


UPRIGHT = Crop(CROP.center_px, CROP.side_px)


@settings(max_examples=50, deadline=None)
@given(AUGMENTATIONS)
def test_projecting_augmented_3d_is_augmenting_projected_2d(augmentation):
    crop = augmentation.crop(CROP)
    seen = augmentation.ndc(apply(crop.ndc_from_image, pixels(XYZ)), H36M17)
    joints = augmentation.joints(Joints3D(H36M17, XYZ, KNOWN), axes(augmentation))
    projected = joints.xyz_m[:, :2] * PER_METRE / (crop.side_px / 2)
    shift = seen - projected  # where the camera looks: one for all joints
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-9)
    assert (joints.known == (KNOWN[H36M17.flip] if augmentation.flip else KNOWN)).all()


@settings(max_examples=50, deadline=None)
@given(AUGMENTATIONS)
def test_the_posed_and_augmented_skeleton_is_the_augmented_posed_skeleton(augmentation):
    pose = np.random.default_rng(1).normal(0, 0.6, (24, 3))
    parameters = BodyParameters("smpl", pose, np.zeros(10))
    posed = Joints3D(SMPL24, forward_kinematics(pose), np.ones(24, bool))
    both = forward_kinematics(augmentation.parameters(parameters, axes(augmentation)).pose)
    np.testing.assert_allclose(both, augmentation.joints(posed, axes(augmentation)).xyz_m, atol=1e-6)


def forward_kinematics(pose: np.ndarray) -> np.ndarray:
    """(24, 3) joints of a symmetric skeleton about its root."""
    generator = np.random.default_rng(2)
    rest = generator.normal(0, 0.3, (24, 3))
    rest = (rest + rest[SMPL24.flip] * [-1, 1, 1]) / 2
    rest[0] = 0
    local = roma.rotvec_to_rotmat(torch.from_numpy(pose)).numpy()
    turned, points = [local[0]], [rest[0]]
    for joint in range(1, 24):
        parent = SMPL24.parents[joint]
        turned.append(turned[parent] @ local[joint])
        points.append(points[parent] + turned[parent] @ (rest[joint] - rest[parent]))
    return np.array(points)


def test_a_flip_twice_is_no_flip():
    flip = Augmentation(flip=True)
    turn = axes(flip, UPRIGHT)
    joints = flip.joints(flip.joints(Joints3D(COCO17, XYZ, KNOWN), turn), turn)
    assert (joints.xyz_m == XYZ).all() and (joints.known == KNOWN).all()
    points = GENERATOR.normal(size=(17, 3))
    assert (flip.ndc(flip.ndc(points, COCO17), COCO17) == points).all()
    image = GENERATOR.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert (flip.image(flip.image(image)) == image).all()
    pose = GENERATOR.normal(0, 0.5, (24, 3))
    twice = flip.parameters(flip.parameters(BodyParameters("smpl", pose, np.zeros(10)), turn), turn).pose
    np.testing.assert_allclose(twice, pose, atol=1e-9)


def test_no_augmentation_changes_nothing():
    none = Augmentation()
    assert (none.joints(Joints3D(COCO17, XYZ, KNOWN), axes(none, UPRIGHT)).xyz_m == XYZ).all()
    assert none.crop(CROP) == CROP
    image = GENERATOR.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert (none.image(image) == image).all()


@pytest.mark.parametrize(
    "augmentation", [Augmentation(), Augmentation(True, 0.4, 1.2), Augmentation(False, -1)]
)
def test_a_spot_in_the_photo_is_seen_where_its_point_is_said_to_be(augmentation):
    spot = np.array([150.0, 80.0])
    yy, xx = np.mgrid[:180, :240]
    blob = 255 * np.exp(-((xx - spot[0]) ** 2 + (yy - spot[1]) ** 2) / 50)
    image = np.repeat(blob.astype(np.uint8)[..., None], 3, axis=2)
    xy = np.tile(spot, (17, 1))
    sample = Sample("test", image, CROP, Keypoints(COCO17, xy, np.ones(17)))
    example = PhotoDataset([sample], COCO17, size=64).example(sample, augmentation)
    brightness = example.image[0] - example.image[0].min()
    y, x = (brightness * (brightness > 0.2)).nonzero().double().mean(0)
    found = (torch.stack([x, y]) + 0.5) / 64 * 2 - 1
    torch.testing.assert_close(found.float(), example.points[0], atol=0.03, rtol=0)
    back = example.image_from_ndc[:, :2] @ example.points[0] + example.image_from_ndc[:, 2]
    torch.testing.assert_close(back, torch.tensor(spot).float(), atol=1e-3, rtol=0)


def test_draws_keep_to_the_lineages_bounds():
    rng = np.random.default_rng(0)
    draws = [Augmentation.draw(BODY, rng) for _ in range(4000)]
    rotation = np.degrees([draw.rotation for draw in draws])
    scale = np.array([draw.scale for draw in draws])
    gain = np.array([draw.gain for draw in draws])
    assert np.mean([draw.flip for draw in draws]) == pytest.approx(0.5, abs=0.03)
    assert np.mean(rotation == 0) == pytest.approx(0.6, abs=0.03)
    assert np.abs(rotation).max() == pytest.approx(60) and rotation[rotation != 0].std() == pytest.approx(
        28.5, abs=2
    )
    assert (scale.min(), scale.max()) == (0.75, 1.25) and scale.mean() == pytest.approx(1, abs=0.02)
    assert gain.min() >= 0.6 and gain.max() <= 1.4 and gain.mean() == pytest.approx(1, abs=0.01)
    hands = [Augmentation.draw(HAND, rng) for _ in range(1000)]
    assert not any(draw.flip for draw in hands)
    assert np.pi / 2 < max(abs(draw.rotation) for draw in hands) <= np.pi


def test_hands_and_given_vertices_are_never_mirrored():
    flip = Augmentation(flip=True)
    with pytest.raises(ValueError, match="left one"):
        flip.parameters(BodyParameters("mano", np.zeros((16, 3)), np.zeros(10)), axes(flip))
    with pytest.raises(ValueError, match="cannot be mirrored"):
        flip.vertices(np.zeros((778, 3)), axes(flip))


def test_gain_brightens_a_colour_and_stops_at_white():
    image = np.full((2, 2, 3), 200, np.uint8)
    assert Augmentation(gain=(0.5, 1.0, 1.4)).image(image)[0, 0].tolist() == [100, 200, 255]


def test_off_is_off():
    config = AugmentationConfig(flip=0, gain=(1, 1), upright=1, scale=0)
    assert Augmentation.draw(config, np.random.default_rng(0)) == Augmentation()


@pytest.mark.parametrize("side", [60, 600, 2000])
def test_a_reduced_jpeg_shows_the_same_crop(tmp_path, side):
    path = photo(tmp_path / "big.jpg", (1501, 1003))
    crop = Crop((700.0, 480.0), float(side), 0.3)
    whole = crop.warp(np.array(Image.open(path)), 112).astype(int)
    reduced = read_crop(path, crop, 112).astype(int)
    alike = np.abs(whole - reduced).max(-1) <= 6
    assert alike.mean() > 0.97  # the photo's own edge may blur by a pixel of the reduced one

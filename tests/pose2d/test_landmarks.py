"""BlazePose in torch sees what BlazePose in LiteRT sees, to a thousandth of a pixel, of one or of many."""

import numpy as np
import pytest
import torch

from mpt import assets, bodies
from mpt.crops import Crop, Squares, applied, apply, inverse
from mpt.errors import InputError
from mpt.pose2d import figures, landmarks
from mpt.pose2d.blazepose import BlazePose, BlazePoseHeavy
from mpt.pose2d.landmarks import Landmarker
from mpt.pose2d.litert import Network
from mpt.pose2d.tflite import TorchNetwork
from mpt.scenes import demo_scenes

SIZE = 112


@pytest.fixture(scope="module", params=["blazepose", "blazepose-heavy"])
def name(request) -> str:
    try:
        assets.get(request.param)
    except InputError as offline:
        pytest.skip(str(offline))
    return request.param


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return next(iter(demo_scenes(bodies.load()))).image


def figure_of(name: str, image: np.ndarray) -> figures.Figure:
    """The one person, as the LiteRT networks see them at their second look."""
    finder = {"blazepose": BlazePose, "blazepose-heavy": BlazePoseHeavy}[name](heatmap_size=SIZE)
    [person] = finder(image)
    low, high = np.reshape(person.bbox_xywh, (2, 2))
    roi = figures.region(low + high / 2, low + high * [0.5, -0.05])
    return finder._landmarker(image, roi, 1.0, mirrored_look=finder.mirrored_look)


def squares_of(crop: Crop) -> Squares:
    return Squares(*(torch.tensor([value]) for value in (crop.center_px, crop.side_px, crop.rotation)))


@torch.inference_mode()
def test_a_look_gives_the_joints_crop_and_maps_of_litert(name, image):
    figure = figure_of(name, image)
    person = figure.person(SIZE)
    pixels = torch.from_numpy(figure.roi.warp(image, 256).astype(np.float32) / 255).permute(2, 0, 1)
    landmarker = Landmarker(name, mirrored_look=name == "blazepose-heavy")
    squares = squares_of(figure.roi)
    look = landmarker(pixels[None])
    found = landmarks.found(look, squares)
    maps = landmarks.maps_in(look, squares, found.crop, SIZE)[0]

    drawn = figures.DRAWN
    np.testing.assert_allclose(found.joints[0, drawn], person.joints2d_px[drawn], atol=2e-3)
    np.testing.assert_allclose(found.crop.center[0], person.crop.center_px, atol=2e-3)
    np.testing.assert_allclose(found.crop.side[0], person.crop.side_px, atol=4e-3)
    np.testing.assert_allclose(found.likeness[0], figure.likeness, atol=1e-5)
    np.testing.assert_allclose(maps, person.heatmaps, atol=1e-3)
    after = landmarks.next_squares(look, squares)
    np.testing.assert_allclose(after.center[0], figure.next_roi.center_px, atol=2e-2)
    np.testing.assert_allclose(after.side[0], figure.next_roi.side_px, atol=5e-2)
    np.testing.assert_allclose(after.rotation[0], figure.next_roi.rotation, atol=1e-4)


@torch.inference_mode()
def test_the_network_gives_litert_s_outputs_of_each_picture_of_a_batch(name, image):
    asset, file = landmarks.NETWORKS[name]
    path = assets.get(asset) / file
    crops = [Crop((480.0 + 60 * k, 640.0), 1300.0, 0.2 * k) for k in range(3)]
    pictures = torch.from_numpy(np.stack([crop.warp(image, 256) for crop in crops])).float() / 255
    ours = TorchNetwork(path)(pictures.permute(0, 3, 1, 2))
    litert = Network(path, 1)
    for k, picture in enumerate(pictures):
        for mine, theirs in zip(ours, litert(picture.numpy()), strict=True):
            assert mine[k].shape == theirs.shape
            np.testing.assert_allclose(mine[k], theirs, atol=1e-3 * max(np.abs(theirs).max(), 1))


def test_squares_are_crops():
    crop = Crop((31.5, -7.25), 90.0, 0.7)
    squares = squares_of(crop)
    np.testing.assert_allclose(squares.picture_from_ndc[0], crop.image_from_ndc, rtol=1e-6)
    np.testing.assert_allclose(squares.pixels(64)[0], crop.crop_from_image(64), atol=1e-5)
    points = torch.tensor([[[3.0, 4.0], [-50.0, 12.5]]])
    np.testing.assert_allclose(
        applied(squares.pixels(64), points)[0], apply(crop.crop_from_image(64), points[0].numpy()), atol=1e-4
    )
    there = applied(squares.picture_from_ndc, points)
    np.testing.assert_allclose(applied(inverse(squares.picture_from_ndc), there), points, atol=1e-4)


def test_where_to_look_first_holds_the_person_headwards():
    joints = torch.zeros(1, 17, 2)
    joints[0, 5:7] = torch.tensor([[90.0, 50.0], [110.0, 50.0]])  # shoulders above the hips: upright
    joints[0, 11:13] = torch.tensor([[95.0, 100.0], [105.0, 100.0]])
    joints[0, 13:] = torch.tensor([100.0, 180.0])
    joints[0, :5] = torch.tensor([100.0, 30.0])
    many = landmarks.first_squares(joints.expand(200, -1, -1), torch.Generator().manual_seed(0))
    assert many.rotation.mean().abs() < 0.05 and many.rotation.std() < 0.3
    inside = applied(inverse(many.picture_from_ndc), joints.expand(200, -1, -1)).abs()
    assert (inside < 1).float().mean() > 0.99


def test_a_file_that_is_no_network_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"TFL3 is not here" * 9)
    with pytest.raises(InputError, match=r"broken\.tflite: is no \.tflite network \(.*\); fetch it again"):
        TorchNetwork(path)

"""Whatever network draws the maps, joints come back where they are in the photo."""

import pickle
import sys

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mpt.crops import Crop, apply
from mpt.errors import InputError
from mpt.pose2d.adapters import OnnxNetwork, TopDown, normalise
from mpt.pose2d.boxes import BoxRegion
from mpt.pose2d.keypoints import Keypoints

SIDE = 420
PLAIN = {"mean": (0, 0, 0), "std": (1, 1, 1)}
LEVELS = 60 + 10 * np.arange(17)


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """(17, 2) places on a grid, none near another."""
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid(np.linspace(70, 350, 5), np.linspace(60, 360, 4)), -1).reshape(-1, 2)
    return rng.permutation(grid)[:17] + rng.uniform(-9, 9, (17, 2))


@pytest.fixture(scope="module")
def photo(points) -> np.ndarray:
    """A dark picture with a grey disc at each joint, the joint's own grey."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for (x, y), level in zip(points, LEVELS):
        image[np.hypot(columns - x, rows - y) < 12] = level
    return image


class DiscNetwork(torch.nn.Module):
    """Knows a joint by its grey; a blurred quarter-size map of where it is. Cells tile the input."""

    def forward(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(self.blurred(images), 4)

    def blurred(self, images: Tensor) -> Tensor:
        levels = torch.as_tensor(LEVELS, dtype=torch.float32)[:, None, None] / 255
        maps = ((images[:, :1] - levels).abs() < 0.012).float()
        line = torch.exp(-(torch.arange(-12.0, 13) ** 2) / 18)
        kernel = (line[:, None] * line)[None, None] / line.sum() ** 2
        return F.conv2d(maps.flatten(0, 1)[:, None], kernel, padding=12).unflatten(0, maps.shape[:2])[:, :, 0]


class StrideNetwork(DiscNetwork):
    """The same with cell k at pixel 4 k."""

    def forward(self, images: Tensor) -> Tensor:
        return self.blurred(images)[..., ::4, ::4]


def around(points: np.ndarray, score: float = 1.0) -> BoxRegion:
    return BoxRegion(Crop.around(points), score)


@pytest.mark.parametrize("input_size,heatmap_size", [(224, 224), (224, 112), (320, 224)])
def test_joints_come_back_in_pixels_of_the_photo(photo, points, input_size, heatmap_size):
    pose = TopDown(
        DiscNetwork(), detector=lambda image: [around(points)],
        input_size=input_size, heatmap_size=heatmap_size, **PLAIN,
    )  # fmt: skip
    [person] = pose(photo)
    assert np.linalg.norm(person.joints2d_px[:, :2] - points, axis=1).max() < 1
    assert person.heatmaps.shape == (17, heatmap_size, heatmap_size) and person.heatmaps.dtype == np.float32
    assert person.heatmaps.min() >= 0 and person.heatmaps.max() <= 1
    assert person.crop == Crop.around(points)
    peaks = person.heatmaps.max((1, 2))
    np.testing.assert_allclose(person.joints2d_px[:, 2], peaks, atol=0.1)
    assert person.score == pytest.approx(np.sort(person.joints2d_px[:, 2])[-8:].mean())
    box = np.concatenate([person.joints2d_px[:, :2].min(0), np.ptp(person.joints2d_px[:, :2], axis=0)])
    np.testing.assert_allclose(person.bbox_xywh, box)


@pytest.mark.parametrize("network,offset_px", [(DiscNetwork(), 0.0), (StrideNetwork(), -1.5)])
def test_a_mirrored_region_is_seen_in_a_mirror_and_its_joints_in_the_photo(photo, points, network, offset_px):
    region = BoxRegion(Crop.around(points), 1.0, mirrored=True)
    pose = TopDown(network, detector=lambda image: [region], offset_px=offset_px, **PLAIN)
    [person] = pose(photo)
    assert person.mirrored
    assert np.linalg.norm(person.joints2d_px[:, :2] - points, axis=1).max() < 1
    across = [2 * region.crop.center_px[0], 0] + points * [-1, 1]
    for joint, (x, y) in enumerate(apply(person.crop.crop_from_image(224), across)):
        row, column = np.unravel_index(person.heatmaps[joint].argmax(), (224, 224))
        assert np.hypot(column - x, row - y) < 3


def test_the_maps_peak_where_the_crop_shows_the_joint(photo, points):
    [person] = TopDown(DiscNetwork(), detector=lambda image: [around(points)], **PLAIN)(photo)
    expected = apply(person.crop.crop_from_image(224), points)
    for joint, (x, y) in enumerate(expected):
        row, column = np.unravel_index(person.heatmaps[joint].argmax(), (224, 224))
        assert np.hypot(column - x, row - y) < 3


def test_a_network_whose_cells_are_pixels_4_k_is_told_by_its_offset(photo, points):
    def error(**options) -> np.ndarray:
        pose = TopDown(StrideNetwork(), detector=lambda image: [around(points)], **options, **PLAIN)
        [person] = pose(photo)
        return (person.joints2d_px[:, :2] - points).mean(0)

    assert np.abs(error(offset_px=-1.5)).max() < 0.2
    pixel = Crop.around(points).side_px / 224
    np.testing.assert_allclose(error(), 1.5 * pixel, atol=0.2)


def test_several_people_are_each_as_if_alone_and_the_surest_first(photo, points):
    regions = [BoxRegion(Crop((200.0, 210.0), side), 1.0) for side in range(200, 420, 20)]  # over one batch
    pose = TopDown(DiscNetwork(), input_size=64, heatmap_size=64, **PLAIN)
    people = pose.look(photo, regions)
    assert [p.score for p in people] == sorted((p.score for p in people), reverse=True)
    alone = {r.crop: pose.look(photo, [r])[0] for r in regions}
    assert len(people) == len(alone) == 11
    for person in people:
        np.testing.assert_allclose(person.heatmaps, alone[person.crop].heatmaps, atol=1e-6)
        np.testing.assert_allclose(person.joints2d_px, alone[person.crop].joints2d_px, atol=1e-3)


def test_nobody_found_asks_the_network_nothing(photo):
    def network(images):
        raise AssertionError("asked")

    assert TopDown(network, detector=lambda image: [])(photo) == []


def test_known_keypoints_serve_as_a_detector(photo, points):
    known = Keypoints(np.column_stack([points, np.ones(17)]))
    [person] = TopDown(DiscNetwork(), detector=known, **PLAIN)(photo)
    assert person.crop == known(photo)[0].crop
    assert np.linalg.norm(person.joints2d_px[:, :2] - points, axis=1).max() < 1


def test_a_crop_that_leaves_the_photo_is_black_there(photo, points):
    far = BoxRegion(Crop((0.0, 0.0), 400.0), 1.0)
    [person] = TopDown(DiscNetwork(), **PLAIN).look(photo, [far])
    inside = points.max(1) < 190
    assert inside.any()
    assert np.linalg.norm(person.joints2d_px[inside, :2] - points[inside], axis=1).max() < 1


def test_maps_of_other_joints_are_refused(photo, points):
    for network in (lambda x: x, lambda x: x[:, 0], lambda x: torch.zeros(2, 17, 8, 8)):
        with pytest.raises(
            InputError, match=r"the heatmap network gave .* expected \(1, 17, height, width\)"
        ):
            TopDown(network).look(photo, [around(points)])


def test_normalised_images_have_the_mean_and_spread_of_imagenet_as_unit():
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    image = mean[:, None, None].expand(1, 3, 2, 2)
    assert normalise(image).abs().max() < 1e-6
    torch.testing.assert_close(normalise(image + std[:, None, None]), torch.ones(1, 3, 2, 2))


@pytest.fixture
def onnx_file(tmp_path):
    """A maker of ONNX files: the picture's red, shrunk four times and added to the number of the map."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    def make(shape, kind=TensorProto.FLOAT):
        weight = np.zeros((17, 3, 4, 4), np.float32)
        weight[:, 0] = 1 / 16
        tensors = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.arange(17) / 100, "b")]
        tensors[1] = numpy_helper.from_array((np.arange(17) / 100).astype(np.float32), "b")
        nodes = [
            helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT),
            helper.make_node("Conv", ["y", "w", "b"], ["maps"], strides=[4, 4], kernel_shape=[4, 4]),
        ]
        inputs = [helper.make_tensor_value_info("x", kind, shape)]
        outputs = [helper.make_tensor_value_info("maps", TensorProto.FLOAT, None)]
        graph = helper.make_graph(nodes, "maps", inputs, outputs, tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        path = tmp_path / "network.onnx"
        onnx.save(model, path)
        return path

    return make


@pytest.mark.parametrize("shape", [["n", 3, "h", "w"], ["n", 3, 64, 64], [1, 3, 64, 64]])
def test_an_onnx_file_is_a_network(onnx_file, shape):
    network = OnnxNetwork(onnx_file(shape))
    assert network.input_size == (64 if shape[2] == 64 else None)
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = F.avg_pool2d(images[:, :1], 4) + torch.arange(17.0)[:, None, None] / 100
    torch.testing.assert_close(network(images), expected)


def test_a_copy_of_an_onnx_network_reads_the_file_again(onnx_file):
    network, images = OnnxNetwork(onnx_file(["n", 3, 64, 64])), torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(pickle.loads(pickle.dumps(network))(images), network(images), rtol=0, atol=0)


def test_an_onnx_network_finds_people_as_any_other(onnx_file, photo, points):
    pose = TopDown(OnnxNetwork(onnx_file(["n", 3, 64, 64])), input_size=64, heatmap_size=32, **PLAIN)
    [person] = pose.look(photo, [around(points)])
    seen = person.crop.warp(photo, 64)[..., 0] / 255
    np.testing.assert_allclose(
        np.clip(cv2.resize(seen.reshape(16, 4, 16, 4).mean((1, 3)), (32, 32)), 0, 1),
        person.heatmaps[0], atol=1e-5,
    )  # fmt: skip


def test_an_onnx_network_of_another_size_says_which(onnx_file, photo, points):
    pose = TopDown(OnnxNetwork(onnx_file(["n", 3, 64, 64])))
    with pytest.raises(InputError, match=r"takes pictures of 64 pixels, not of 224: set input_size=64"):
        pose.look(photo, [around(points)])


@pytest.mark.parametrize(
    "shape,kind", [(["n", 3, 256, 192], 1), (["n", 256, 256, 3], 1), ([1, 3, 64, 64], 2)]
)
def test_onnx_files_with_another_input_are_refused(onnx_file, shape, kind):
    with pytest.raises(InputError, match=r"network\.onnx takes tensor\(.*expected one of float32 pictures"):
        OnnxNetwork(onnx_file(shape, kind))


def test_what_is_no_onnx_file_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match=r"none\.onnx does not exist"):
        OnnxNetwork(tmp_path / "none.onnx")
    for content in (b"", b"not a network", bytes(100)):
        (tmp_path / "net.onnx").write_bytes(content)
        with pytest.raises(InputError, match=r"net\.onnx is no ONNX file, or a broken one"):
            OnnxNetwork(tmp_path / "net.onnx")


def test_without_onnxruntime_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"needs onnxruntime, which is not installed: run `pip install"):
        OnnxNetwork(tmp_path / "net.onnx")

"""HigherHRNet is the official one by names, sizes and outputs; its files load, others are refused."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from tolerance import assert_close
from torch import Tensor
from torch.nn import functional as F

from mpt.crops import Crop
from mpt.errors import InputError
from mpt.pose2d.boxes import BoxRegion
from mpt.pose2d.higher_hrnet import HigherHRNet, HigherHRNetPose, load

LITTLE = 4  # width: everything as in w32, only narrow
MODULES = {2: 1, 3: 4, 4: 3}  # stage -> exchange modules; stage s has s branches


def official_shapes(width: int, joints: int = 17) -> dict[str, tuple[int, ...]]:
    """name -> shape of the official release's state dict, written down from its configuration files."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, *shape: int):
        shapes[f"{name}.weight"] = shape

    def norm(name: str, channels: int):
        for field in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{field}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    def basic(name: str, channels: int):
        for k in "12":
            conv(f"{name}.conv{k}", channels, channels, 3, 3)
            norm(f"{name}.bn{k}", channels)

    conv("conv1", 64, 3, 3, 3)
    conv("conv2", 64, 64, 3, 3)
    norm("bn1", 64)
    norm("bn2", 64)
    for k in range(4):
        inputs = 64 if k == 0 else 256
        for i, shape in enumerate([(64, inputs, 1, 1), (64, 64, 3, 3), (256, 64, 1, 1)], 1):
            conv(f"layer1.{k}.conv{i}", *shape)
            norm(f"layer1.{k}.bn{i}", shape[0])
    conv("layer1.0.downsample.0", 256, 64, 1, 1)
    norm("layer1.0.downsample.1", 256)

    channels = [width, 2 * width, 4 * width, 8 * width]
    conv("transition1.0.0", width, 256, 3, 3)
    norm("transition1.0.1", width)
    for stage, modules in MODULES.items():
        added = stage - 1
        before = 256 if stage == 2 else channels[added - 1]
        conv(f"transition{stage - 1}.{added}.0.0", channels[added], before, 3, 3)
        norm(f"transition{stage - 1}.{added}.0.1", channels[added])
        for m in range(modules):
            for b in range(stage):
                for k in range(4):
                    basic(f"stage{stage}.{m}.branches.{b}.{k}", channels[b])
            for i in range(1 if (stage, m) == (4, modules - 1) else stage):
                for j in range(stage):
                    name = f"stage{stage}.{m}.fuse_layers.{i}.{j}"
                    if j > i:
                        conv(f"{name}.0", channels[i], channels[j], 1, 1)
                        norm(f"{name}.1", channels[i])
                    for k in range(i - j):
                        outputs = channels[i] if k == i - j - 1 else channels[j]
                        conv(f"{name}.{k}.0", outputs, channels[j], 3, 3)
                        norm(f"{name}.{k}.1", outputs)
    for k, outputs in enumerate((2 * joints, joints)):
        conv(f"final_layers.{k}", outputs, width, 1, 1)
        shapes[f"final_layers.{k}.bias"] = (outputs,)
    conv("deconv_layers.0.0.0", width + 2 * joints, width, 4, 4)
    norm("deconv_layers.0.0.1", width)
    for k in range(1, 5):
        basic(f"deconv_layers.0.{k}.0", width)
    return shapes


def official_weights(width: int, joints: int = 17) -> dict[str, Tensor]:
    """Random tensors of those names and shapes, of magnitudes that leave the outputs near 1."""
    generator = torch.Generator().manual_seed(width)

    def draw(name: str, shape: tuple[int, ...]) -> Tensor:
        if name.endswith("num_batches_tracked"):
            return torch.tensor(7)
        uniform = torch.rand(shape, generator=generator)
        if len(shape) == 4:
            return (uniform - 0.5) * (4 / np.prod(shape[1:])) ** 0.5
        if name.endswith(("running_var", "weight")):
            return 0.5 + uniform / 2
        return (uniform - 0.5) / 2

    return {name: draw(name, shape) for name, shape in official_shapes(width, joints).items()}


def reference(weights: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The same network without a module: what a name is decides what is done with it."""

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = weights[f"{name}.weight"]
        return F.conv2d(x, weight, weights.get(f"{name}.bias"), stride, weight.shape[-1] // 2)

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, scale, shift = (
            weights[f"{name}.{field}"] for field in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, var, scale, shift)

    def residual(x: Tensor, name: str) -> Tensor:
        y, k = x, 1
        while f"{name}.conv{k}.weight" in weights:
            y = norm(conv(y if k == 1 else y.relu(), f"{name}.conv{k}"), f"{name}.bn{k}")
            k += 1
        if f"{name}.downsample.0.weight" in weights:
            x = norm(conv(x, f"{name}.downsample.0"), f"{name}.downsample.1")
        return (x + y).relu()

    def fuse(x: Tensor, name: str, size: torch.Size) -> Tensor:
        if f"{name}.0.weight" in weights:
            return F.interpolate(norm(conv(x, f"{name}.0"), f"{name}.1"), size)
        k = 0
        while f"{name}.{k}.0.weight" in weights:
            x = norm(conv(x if k == 0 else x.relu(), f"{name}.{k}.0", stride=2), f"{name}.{k}.1")
            k += 1
        return x

    for k in "12":
        x = norm(conv(x, f"conv{k}", stride=2), f"bn{k}").relu()
    for k in range(4):
        x = residual(x, f"layer1.{k}")
    first = norm(conv(x, "transition1.0.0"), "transition1.0.1").relu()
    xs = [first, x]
    for stage, modules in MODULES.items():
        name = f"transition{stage - 1}.{stage - 1}.0"
        new = norm(conv(xs[-1], f"{name}.0", stride=2), f"{name}.1").relu()
        xs = [first, new] if stage == 2 else [*xs, new]
        for m in range(modules):
            for b in range(stage):
                for k in range(4):
                    xs[b] = residual(xs[b], f"stage{stage}.{m}.branches.{b}.{k}")
            outputs = 1 if (stage, m) == (4, modules - 1) else stage
            xs = [
                torch.stack(
                    [
                        fuse(x, f"stage{stage}.{m}.fuse_layers.{i}.{j}", xs[i].shape[-2:])
                        for j, x in enumerate(xs)
                    ]
                ).sum(0)
                for i in range(outputs)
            ]
            xs = [x.relu() for x in xs]
    quarter = conv(xs[0], "final_layers.0")
    x = torch.cat([xs[0], quarter], 1)
    x = F.conv_transpose2d(x, weights["deconv_layers.0.0.0.weight"], stride=2, padding=1)
    x = norm(x, "deconv_layers.0.0.1").relu()
    for k in range(1, 5):
        x = residual(x, f"deconv_layers.0.{k}.0")
    return quarter, conv(x, "final_layers.1")


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return official_weights(LITTLE)


@pytest.fixture(scope="module")
def network(weights) -> HigherHRNet:
    network = HigherHRNet(LITTLE).eval()
    network.load_state_dict(weights)
    return network


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def saved(content, path: Path, **options) -> Path:
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize("width,millions", [(32, 28.6), (48, 63.8)])
def test_names_shapes_and_parameters_are_the_official_ones(width, millions):
    with torch.device("meta"):
        network = HigherHRNet(width)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == official_shapes(width)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("width", [32, 48])
def test_a_saved_file_gives_the_outputs_of_an_independent_implementation(width, tmp_path):
    weights = official_weights(width)
    path = saved(weights, tmp_path / f"pose_higher_hrnet_w{width}.pth")
    network = load(path, width=width).eval()
    path.unlink()
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        outputs, expected = network(images), reference(weights, images)
    assert [tuple(output.shape) for output in outputs] == [(1, 34, 16, 24), (1, 17, 32, 48)]
    for actual, wanted in zip(outputs, expected):
        assert 0.1 < wanted.abs().max() < 100
        assert_close(actual, wanted)


def test_double_precision_agrees_to_rounding(weights, network, images):
    weights = {name: w.double() if w.is_floating_point() else w for name, w in weights.items()}
    double = HigherHRNet(LITTLE).double().eval()
    double.load_state_dict(weights)
    with torch.no_grad():
        for actual, wanted in zip(double(images.double()), reference(weights, images.double())):
            assert_close(actual, wanted)


def test_a_batch_of_two_is_two_singles(network, images):
    with torch.no_grad():
        both = network.heatmaps(images, 64)
        assert_close(both, torch.cat([network.heatmaps(image[None], 64) for image in images]))


@pytest.mark.parametrize("size", [37, 224])
@pytest.mark.parametrize("branches", ["both", "quarter", "half"])
def test_maps_come_in_the_resolution_asked(network, images, size, branches):
    with torch.no_grad():
        assert network.heatmaps(images, size, branches=branches).shape == (2, 17, size, size)


def test_both_branches_are_averaged_at_the_finer_resolution(network, images):
    with torch.no_grad():
        quarter, half = network(images)
        finer = F.interpolate(quarter[:, :17], scale_factor=2, mode="bilinear", align_corners=False)
        assert_close(network.heatmaps(images, 32), (finer + half) / 2)
        assert_close(network.heatmaps(images, 32, branches="half"), half)
        assert_close(network.heatmaps(images, 16, branches="quarter"), quarter[:, :17])
        halves = [network.heatmaps(images, 64, branches=b) for b in ("both", "half")]
        assert not torch.allclose(*halves)


def test_images_are_resized_before_the_network_where_asked(network, images):
    larger = F.interpolate(images, (128, 128), mode="bilinear", align_corners=False)
    with torch.no_grad():
        assert_close(network.heatmaps(images, 64, input_size=128), network.heatmaps(larger, 64))


@pytest.mark.parametrize("branches", ["both", "quarter", "half"])
def test_a_loss_on_the_maps_reaches_the_first_layer(weights, images, branches):
    network = HigherHRNet(LITTLE)
    network.load_state_dict(weights)
    network.heatmaps(images, 56, branches=branches).square().mean().backward()
    gradient = network.conv1.weight.grad
    assert gradient.isfinite().all() and gradient.abs().max() > 0
    if branches == "both":
        idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert idle == []


def test_the_gradient_is_that_of_finite_differences(network, images):
    network = HigherHRNet(LITTLE).double().eval().requires_grad_(False)
    network.load_state_dict(official_weights(LITTLE))
    x = images[:1].double().requires_grad_()
    step = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad(network.heatmaps(x, 56).square().sum(), x)
    with torch.no_grad():
        ahead, behind = (network.heatmaps(x + k * step, 56).square().sum() for k in (1e-7, -1e-7))
    assert (ahead - behind) / 2e-7 == pytest.approx(float((gradient * step).sum()), rel=1e-4)


@pytest.mark.parametrize("side", [100, 225])
def test_a_picture_that_the_branches_cannot_halve_is_refused(network, side):
    with pytest.raises(
        InputError, match=rf"{side} x 64 pixels: choose an input size that is a multiple of 32"
    ):
        network(torch.zeros(1, 3, 64, side))


@pytest.mark.parametrize("prefix", ["1.", "module.", "module.1."])
def test_prefixes_of_parallel_and_half_precision_training_are_dropped(weights, tmp_path, prefix):
    path = saved({prefix + name: tensor for name, tensor in weights.items()}, tmp_path / "w.pth")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in load(path).state_dict().items())


@pytest.mark.parametrize("zipped", [True, False])
def test_a_training_checkpoint_with_its_optimiser_loads(network, weights, tmp_path, zipped):
    adam = torch.optim.Adam(network.parameters())
    checkpoint = {
        "epoch": 300,
        "model": "pose_higher_hrnet",
        "state_dict": {f"module.{name}": tensor for name, tensor in weights.items()},
        "best_state_dict": weights,
        "perf": 299,
        "optimizer": adam.state_dict(),
    }
    path = saved(checkpoint, tmp_path / "checkpoint.pth.tar", _use_new_zipfile_serialization=zipped)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in load(path).state_dict().items())


def test_half_precision_and_missing_counters_are_taken(weights, tmp_path):
    half = {name: w.half() for name, w in weights.items() if not name.endswith("num_batches_tracked")}
    network = load(saved(half, tmp_path / "w.pth"))
    assert network.conv1.weight.dtype == torch.float32
    assert torch.equal(network.conv1.weight, weights["conv1.weight"].half().float())


def test_the_width_is_read_from_the_weights_and_another_is_refused(weights, tmp_path):
    path = saved(weights, tmp_path / "w.pth")
    assert load(path).width == load(path, width=LITTLE).width == LITTLE
    with pytest.raises(
        InputError, match=r"w\.pth holds the weights of HigherHRNet w4, expected those of w48"
    ):
        load(path, width=48)


@pytest.mark.parametrize("lost", ["stage3.2.fuse_layers.1.0.0.0.weight", "final_layers.1.weight"])
def test_weights_with_a_tensor_missing_are_refused(weights, tmp_path, lost):
    path = saved({name: w for name, w in weights.items() if name != lost}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=rf"does not fit HigherHRNet w4 in 1 tensors \({lost}"):
        load(path)


@pytest.mark.parametrize(
    "change,sentence",
    [
        ({"bn1.bias": torch.zeros(3)}, r"in 1 tensors \(bn1\.bias"),
        ({"head.weight": torch.zeros(3)}, r"in 1 tensors \(head\.weight"),
        ({"epoch": 3}, "holds no state dict"),
    ],
)
def test_weights_with_something_else_in_them_are_refused(weights, tmp_path, change, sentence):
    with pytest.raises(InputError, match=sentence):
        load(saved(weights | change, tmp_path / "w.pth"))


def test_weights_for_other_joints_are_refused(tmp_path):
    path = saved(official_weights(LITTLE, joints=14), tmp_path / "crowd_pose.pth")
    with pytest.raises(
        InputError, match=r"crowd_pose\.pth was trained for 14 joints, expected the 17 of COCO"
    ):
        load(path)


def test_coco_weights_start_a_network_of_other_joints_whose_heads_are_new(weights, tmp_path):
    torch.save(weights, tmp_path / "coco.pth")
    hand = load(tmp_path / "coco.pth", joints=21).eval()
    quarter, half = hand(torch.zeros(1, 3, 64, 64))
    assert quarter.shape == (1, 42, 16, 16) and half.shape == (1, 21, 32, 32)
    assert hand.heatmaps(torch.zeros(1, 3, 64, 64), 48).shape == (1, 21, 48, 48)
    other = {name for name, tensor in hand.state_dict().items() if not torch.equal(tensor, weights[name])}
    heads = {f"final_layers.{head}.{part}" for head in (0, 1) for part in ("weight", "bias")}
    assert other == heads | {"deconv_layers.0.0.0.weight"}


def test_weights_of_another_network_are_refused(weights, tmp_path):
    plain = {
        name: w for name, w in weights.items() if not name.startswith("deconv")
    }  # HRNet has all but these
    for other in (plain, {"fc.weight": torch.zeros(2)}, {}):
        with pytest.raises(InputError, match=r"w\.pth holds weights, but not HigherHRNet's"):
            load(saved(other, tmp_path / "w.pth"))


class Intruder:
    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused_and_does_not_run_it(weights, tmp_path, zipped):
    content = {"state_dict": weights, "optimizer": Intruder(tmp_path / "ran")}
    path = saved(content, tmp_path / "w.pth.tar", _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        InputError, match=r"w\.pth\.tar holds Python objects besides tensors \(posix\.mkdir\)"
    ):
        load(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_cut_short_anywhere_is_refused(weights, tmp_path, zipped):
    path = saved(weights, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    for share in (0, 0.001, 0.5, 0.99):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(
            InputError, match=r"w\.pth is no weights file of torch, or cut short: get it again"
        ):
            load(path)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.pth does not exist"):
        load(tmp_path / "none.pth")
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "photo.pth").write_bytes(b"\xff\xd8\xff\xe0 JFIF")
    with pytest.raises(InputError, match=r"photo\.pth is no weights file"):
        load(tmp_path / "photo.pth")


def test_the_pose_network_returns_its_maps_in_the_crop(weights, network, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)
    regions = [BoxRegion(Crop((70.0, 60.0), 90.0), 1.0), BoxRegion(Crop((10.0, 100.0), 60.0), 0.9)]
    path = saved(weights, tmp_path / "w.pth")
    pose = HigherHRNetPose(path, detector=lambda image: regions, input_size=64, heatmap_size=48)
    people = pose(image)
    assert sorted(p.crop.side_px for p in people) == [60, 90]
    for person in people:
        assert person.heatmaps.shape == (17, 48, 48) and person.heatmaps.dtype == np.float32
        seen = person.crop.resized(1)  # half a pixel of 64 left and up of it
        shift = 0.5 * seen.side_px / 64
        seen = Crop((seen.center_px[0] - shift, seen.center_px[1] - shift), seen.side_px)
        pixels = torch.from_numpy(seen.warp(image, 64)).permute(2, 0, 1)[None] / 255
        mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        with torch.no_grad():
            expected = network.heatmaps((pixels - mean) / std, 48)[0].clamp(0, 1)
        assert_close(torch.from_numpy(person.heatmaps), expected)


def test_the_pose_network_refuses_a_size_it_cannot_halve(weights, tmp_path):
    pose = HigherHRNetPose(
        saved(weights, tmp_path / "w.pth"),
        detector=lambda image: [BoxRegion(Crop((70.0, 60.0), 90.0), 1.0)],
        input_size=200,
    )
    with pytest.raises(InputError, match="choose an input size that is a multiple of 32, as 224, 512 or 640"):
        pose(np.zeros((120, 160, 3), np.uint8))

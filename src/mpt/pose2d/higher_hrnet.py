"""HigherHRNet (Cheng et al., CVPR 2020), the paper's 2D network, for the official COCO weights.

A stem shrinks the picture to a quarter; up to four branches, each half as fine and twice as wide as the one
before, run side by side and exchange what they see; the finest one gives maps at a quarter of the picture's
resolution, and after one transposed convolution at a half.

The modules are named as in the official release, so that its files load unchanged.
"""

import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpt.errors import InputError
from mpt.pose2d.adapters import Detector, TopDown, resize
from mpt.skeletons import COCO17

JOINTS = len(COCO17)
STRIDE = 32  # of the coarsest branch: sides of pictures are multiples of it
BLOCKS = 4  # residual blocks in a row, everywhere
EXCHANGES = (1, 4, 3)  # exchange modules in stages 2, 3 and 4
OFFSET_PX = 0.5
"""The official training cut a joint's coordinate down to a whole cell, half a cell on average, before drawing
its blob: cell k of a map s times smaller means pixel s (k + 1/2), half a pixel beyond the cell's middle."""

Branches = Literal["both", "quarter", "half"]


class HigherHRNet(nn.Module):
    """HigherHRNet with associative-embedding tags; w32 and w48 are released, for the 17 COCO joints."""

    def __init__(self, width: int = 48, joints: int = JOINTS):
        super().__init__()
        self.width, self.joints = width, joints
        widths = [width * 2**branch for branch in range(4)]
        self.conv1, self.bn1 = _conv(3, 64, stride=2), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = _conv(64, 64, stride=2), nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(_Bottleneck(64), *(_Bottleneck(256) for _ in range(BLOCKS - 1)))
        self.transition1 = _transition([256], widths[:2])
        self.stage2 = _stage(widths[:2], EXCHANGES[0])
        self.transition2 = _transition(widths[:2], widths[:3])
        self.stage3 = _stage(widths[:3], EXCHANGES[1])
        self.transition3 = _transition(widths[:3], widths)
        self.stage4 = _stage(widths, EXCHANGES[2], outputs=1)
        self.final_layers = nn.ModuleList([nn.Conv2d(width, 2 * joints, 1), nn.Conv2d(width, joints, 1)])
        finer = nn.ConvTranspose2d(width + 2 * joints, width, 4, stride=2, padding=1, bias=False)
        self.deconv_layers = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Sequential(finer, nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
                    *(nn.Sequential(_BasicBlock(width)) for _ in range(BLOCKS)),
                )
            ]
        )

    @property
    def levels(self) -> list[tuple[nn.Module, int]]:
        """The four branches that end with the image's features, at 1/4 to 1/32, and their channels."""
        return [(branch, self.width * 2**i) for i, branch in enumerate(self.stage4[-1].branches)]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) normalised images -> (N, 2 J, H/4, W/4) maps and tags, (N, J, H/2, W/2) maps.

        Raises:
            InputError: a side is no multiple of 32 pixels.
        """
        height, width = images.shape[-2:]
        if height % STRIDE or width % STRIDE:
            raise InputError(
                f"HigherHRNet was given a picture of {width} x {height} pixels: "
                f"choose an input size that is a multiple of {STRIDE}, as 224, 512 or 640"
            )
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        branches = [self.layer1(x)]
        for transition, stage in (
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            coarsest = len(branches) - 1
            branches = stage([path(branches[min(i, coarsest)]) for i, path in enumerate(transition)])
        [finest] = branches
        quarter = self.final_layers[0](finest)
        half = self.final_layers[1](self.deconv_layers[0](torch.cat([finest, quarter], 1)))
        return quarter, half

    def heatmaps(
        self,
        images: Tensor,
        size: int | None = 224,
        *,
        branches: Branches = "both",
        input_size: int | None = None,
    ) -> Tensor:
        """(N, 3, S, S) normalised images -> (N, J, size, size) joint maps, as regressed: not cut to [0, 1].

        size: None leaves the resolution of the branches asked for.
        branches: "both" averages the coarse maps, brought to the finer resolution, with the fine ones, as
            the official test code does.
        input_size: to which the images are resized before the network; None leaves them.
        """
        quarter, half = self(images if input_size is None else resize(images, input_size))
        quarter = quarter[:, : self.joints]
        if branches == "both":
            finer = F.interpolate(quarter, half.shape[-2:], mode="bilinear", align_corners=False)
            maps = (finer + half) / 2
        else:
            maps = quarter if branches == "quarter" else half
        return maps if size is None else resize(maps, size)


class HigherHRNetPose(TopDown):
    """HigherHRNet on the crops of people that a detector finds; ``mpt.pose2d.base.Pose2D``.

    ``weights`` is an official COCO file, w32 or w48; ``input_size`` 224 as in the paper, or 512 or 640, for
    which the weights were trained; ``branches`` as in :meth:`HigherHRNet.heatmaps`.

    Raises:
        InputError: as :func:`load`; an input size that is no multiple of 32, when called.
    """

    def __init__(
        self,
        weights: str | os.PathLike,
        *,
        detector: Detector | None = None,
        input_size: int = 224,
        heatmap_size: int = 224,
        branches: Branches = "both",
        device: torch.device | str = "cpu",
    ):
        network = load(weights).to(device).eval().requires_grad_(False)
        super().__init__(
            partial(network.heatmaps, size=None, branches=branches),
            detector=detector,
            input_size=input_size,
            heatmap_size=heatmap_size,
            offset_px=OFFSET_PX,
            device=device,
        )


def load(path: str | os.PathLike, *, width: int | None = None, joints: int = JOINTS) -> HigherHRNet:
    """The network of an official weights file, of the width that the file has, in training mode.

    For other ``joints`` than COCO's 17 (a hand's 21) the layers that draw or read maps keep random weights.

    Takes a state dict, bare or in a training checkpoint (``.pth.tar``), its names with or without the
    prefixes ``module.`` (data parallel) and ``1.`` (half precision).

    Raises:
        InputError: no such file, a broken one, other weights, or weights of another ``width``.
    """
    path = Path(path)
    tensors = _read(path)
    entry = tensors.get("transition1.0.0.weight")
    if entry is None or entry.ndim != 4 or "deconv_layers.0.0.0.weight" not in tensors:
        raise InputError(
            f"{path} holds weights, but not HigherHRNet's: give its official COCO file, w32 or w48"
        )
    found = len(entry)
    if width not in (None, found):
        raise InputError(
            f"{path} holds the weights of HigherHRNet w{found}, expected those of w{width}: "
            f"give a w{width} file, or choose width {found}"
        )
    final = tensors.get("final_layers.1.weight")
    if final is not None and final.ndim == 4 and len(final) != JOINTS:
        raise InputError(
            f"{path} was trained for {len(final)} joints, expected the {JOINTS} of COCO: give such a file"
        )
    with torch.device("meta"):  # no weights are drawn only to be replaced
        network = HigherHRNet(found)
    expected = network.state_dict()
    wrong = [
        name
        for name in expected.keys() | tensors.keys()
        if not name.endswith("num_batches_tracked")  # counts nothing that is used; old files lack it
        and (name not in expected or name not in tensors or expected[name].shape != tensors[name].shape)
    ]
    if wrong:
        raise InputError(
            f"{path} does not fit HigherHRNet w{found} in {len(wrong)} tensors ({min(wrong)}, ...): "
            "give an official COCO file, whole and unchanged"
        )
    network.load_state_dict({name: tensors.get(name, torch.tensor(0)) for name in expected}, assign=True)
    if joints == JOINTS:
        return network
    other = HigherHRNet(found, joints)
    shapes = {name: tensor.shape for name, tensor in other.state_dict().items()}
    fitting = {name: t for name, t in network.state_dict().items() if t.shape == shapes[name]}
    other.load_state_dict(fitting, strict=False)
    return other


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by their official names, in single precision."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: give HigherHRNet's official COCO weights file") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): give HigherHRNet's weights file"
        ) from None
    except Exception as error:  # in a damaged file the unpickler stumbles over anything
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        if foreign:
            raise InputError(
                f"{path} holds Python objects besides tensors ({foreign[1]}), which could run anything: "
                "give a file of the network's weights alone"
            ) from None
        raise InputError(f"{path} is no weights file of torch, or cut short: get it again") from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise InputError(f"{path} holds no state dict: give HigherHRNet's official COCO weights file")
    return {
        re.sub(r"^(module\.|1\.)+", "", name): value.float() if value.is_floating_point() else value
        for name, value in content.items()
    }


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1, self.bn1 = _conv(width, width), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(x + y, inplace=True)


class _Bottleneck(nn.Module):
    """1x1 to 64 channels, 3x3, 1x1 to 256, and a shortcut."""

    def __init__(self, inputs: int):
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, 64, kernel=1), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = _conv(64, 64), nn.BatchNorm2d(64)
        self.conv3, self.bn3 = _conv(64, 256, kernel=1), nn.BatchNorm2d(256)
        widen = nn.Sequential(_conv(inputs, 256, kernel=1), nn.BatchNorm2d(256))
        self.downsample = widen if inputs != 256 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(self.downsample(x) + y, inplace=True)


class _Exchange(nn.Module):
    """Branches side by side, then each output the sum of all of them, brought to its resolution."""

    def __init__(self, widths: Sequence[int], outputs: int):
        super().__init__()
        sources = range(len(widths))
        self.branches = nn.ModuleList(
            nn.Sequential(*(_BasicBlock(width) for _ in range(BLOCKS))) for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_path(widths, source, target) for source in sources) for target in range(outputs)
        )

    def forward(self, xs: Sequence[Tensor]) -> list[Tensor]:
        xs = [branch(x) for branch, x in zip(self.branches, xs)]
        return [F.relu(sum(path(x) for path, x in zip(paths, xs))) for paths in self.fuse_layers]


def _path(widths: Sequence[int], source: int, target: int) -> nn.Module:
    """From one branch's resolution and width to another's."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(
            _conv(widths[source], widths[target], kernel=1),
            nn.BatchNorm2d(widths[target]),
            nn.Upsample(scale_factor=2 ** (source - target), mode="nearest"),
        )
    steps = [_halve(widths[source], widths[source], relu=True) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, _halve(widths[source], widths[target], relu=False))


def _transition(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    """To the next stage's branches: one more, made from the coarsest."""
    kept = [
        nn.Identity()
        if old == new
        else nn.Sequential(_conv(old, new), nn.BatchNorm2d(new), nn.ReLU(inplace=True))
        for old, new in zip(before, after)
    ]
    return nn.ModuleList([*kept, nn.Sequential(_halve(before[-1], after[-1], relu=True))])


def _stage(widths: Sequence[int], exchanges: int, outputs: int | None = None) -> nn.Sequential:
    """Exchange modules in a row; ``outputs``: how many branches the last one gives, None all."""
    every = len(widths)
    last = _Exchange(widths, outputs or every)
    return nn.Sequential(*(_Exchange(widths, every) for _ in range(exchanges - 1)), last)


def _halve(inputs: int, outputs: int, *, relu: bool) -> nn.Sequential:
    layers = [_conv(inputs, outputs, stride=2), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


def _conv(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)

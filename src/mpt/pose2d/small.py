"""A heatmap network small enough to be trained on two CPU cores: a U of convolutions, 1 M parameters."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from mpt.errors import InputError
from mpt.skeletons import COCO17

STRIDE = 32  # of the coarsest level: sides of pictures are multiples of it
LEVELS = (1, 2, 3, 4, 5)  # widths at 1/2, 1/4, ... 1/32 of the picture, over the first


class SmallHeatmapNet(nn.Module):
    """Maps of joints, by default COCO's 17, at a quarter of the picture's resolution."""

    def __init__(self, width: int = 24, joints: int = len(COCO17)) -> None:
        super().__init__()
        self.widths = widths = [width * level for level in LEVELS]
        self.down = nn.ModuleList(_halve(before, after) for before, after in zip([3, *widths], widths))
        self.across = nn.ModuleList(nn.Conv2d(of_level, 2 * width, 1) for of_level in widths[1:])
        self.join = nn.ModuleList(_conv(2 * width, 2 * width) for _ in widths[1:-1])
        self.final_layers = nn.ModuleList([nn.Conv2d(2 * width, joints, 1)])
        nn.init.normal_(self.final_layers[0].weight, std=0.01)

    @property
    def levels(self) -> list[tuple[nn.Module, int]]:
        """What ends with the image's features, at 1/4 to 1/32, and their channels."""
        return list(zip(self.down[1:], self.widths[1:]))

    def forward(self, images: Tensor) -> Sequence[Tensor]:
        """(N, 3, H, W) normalised images -> one tensor of maps (N, joints, H/4, W/4).

        Raises InputError for a side that is no multiple of 32 pixels.
        """
        height, width = images.shape[-2:]
        if height % STRIDE or width % STRIDE:
            raise InputError(
                f"the small heatmap network was given a picture of {width} x {height} pixels: choose an "
                f"input size that is a multiple of {STRIDE}"
            )
        levels = []
        for halve in self.down:
            images = halve(images)
            levels.append(images)
        *finer, coarsest = (into(level) for into, level in zip(self.across, levels[1:]))
        x = coarsest
        for join, level in zip(self.join, reversed(finer)):
            x = join(level + F.interpolate(x, scale_factor=2, mode="nearest"))
        return (self.final_layers[0](x),)


def _halve(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, outputs, stride=2), _conv(outputs, outputs))


def _conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )

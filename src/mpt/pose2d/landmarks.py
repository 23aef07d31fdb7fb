"""BlazePose's landmark network looking at many people at once, in torch: the maps that ``blazepose`` gives.

There LiteRT looks at one person of a photo; here a GPU looks at a thousand drawn ones, to learn how it errs.
Nobody is searched: where to look first is told, and a second look follows from the first, as it does there.

Letters: N people, K joints of COCO29, S side of their maps.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mpt import assets
from mpt.crops import Squares, applied, inverse, pixel_grid, then
from mpt.pose2d.base import CROP_FACTOR
from mpt.pose2d.figures import (
    BODY,
    DRAWN,
    LANDMARK_SIZE,
    LANDMARKS,
    MAPPED,
    MIN_PEAK,
    NDC_FROM_CELL,
    ROI_FACTOR,
)  # fmt: skip
from mpt.pose2d.tflite import TorchNetwork
from mpt.skeletons import BLAZEPOSE33, COCO17, COCO29

NETWORKS = {
    "blazepose": ("blazepose", "pose_landmark_full.tflite"),
    "blazepose-heavy": ("blazepose-heavy", "pose_landmark_heavy.tflite"),
}


class Look(NamedTuple):
    """What the network says of N squares."""

    points: Tensor  # (N, 35, 2) in their [-1, 1]: 33 landmarks, then two that tell where to look next
    presence: Tensor  # (N,) in [0, 1]
    maps: Tensor  # (N, K, 64, 64), zeros for what is not drawn

    def mirrored(self) -> "Look":
        """What it would have said of the mirror images: cell k goes to 64 - k, and the first has no other."""
        across = torch.cat([self.maps[..., -1:], self.maps[..., 1:].flip(-1)], -1)
        points = self.points[:, [*BLAZEPOSE33.flip, 33, 34]] * self.points.new_tensor([-1, 1])
        return Look(points, self.presence, across[:, COCO29.flip])


class Landmarker(nn.Module):
    """One of BlazePose's landmark networks, by name; ``mirrored_look``: averaged with a look in a mirror."""

    def __init__(self, name: str, *, mirrored_look: bool = False) -> None:
        super().__init__()
        asset, file = NETWORKS[name]
        self.network, self.mirrored_look = TorchNetwork(assets.get(asset) / file), mirrored_look

    @torch.inference_mode()
    def forward(self, pictures: Tensor) -> Look:
        """(N, 3, 256, 256) sRGB in [0, 1]."""
        look = self._look(pictures)
        if not self.mirrored_look:
            return look
        return Look(*((a + b) / 2 for a, b in zip(look, self._look(pictures.flip(-1)).mirrored())))

    def _look(self, pictures: Tensor) -> Look:
        landmarks, presence, _, logits, _ = self.network(pictures)
        points = landmarks.float().view(-1, 39, 5)[:, :35, :2] / (LANDMARK_SIZE / 2) - 1
        maps = points.new_zeros(len(points), len(COCO29), *logits.shape[1:3])
        maps[:, DRAWN] = logits[..., LANDMARKS[DRAWN]].permute(0, 3, 1, 2).float().sigmoid()
        return Look(points, presence[:, 0].float(), maps)


class Seen(NamedTuple):
    """What BlazePose gives of N people."""

    joints: Tensor  # (N, K, 3) in the picture's coordinates, and the peaks' heights
    crop: Squares  # upright
    likeness: Tensor  # (N,) how much each looks like somebody


def next_squares(look: Look, squares: Squares) -> Squares:
    """Where to look next, about the circle whose middle and rim two points of the first look tell."""
    middle, rim = applied(squares.picture_from_ndc, look.points[:, 33:35]).unbind(1)
    return around(middle, rim)


def around(middle: Tensor, rim: Tensor) -> Squares:
    """Squares about circles, upright for who is in them: ``rim`` (N, 2) lies headwards of ``middle``."""
    x, y = (rim - middle).unbind(-1)
    return Squares(middle, 2 * ROI_FACTOR * torch.hypot(x, y), torch.atan2(x, -y))


def found(look: Look, squares: Squares, crop_factor: float | Tensor = CROP_FACTOR) -> Seen:
    """Joints, crop and likeness as ``blazepose`` tells them from a look at these squares."""
    cells, peaks = _peaks(look.maps)
    ndc = applied(look.maps.new_tensor(NDC_FROM_CELL).expand(len(cells), 2, 3), cells)
    points = torch.where(peaks[..., None] >= MIN_PEAK, ndc, look.points[:, LANDMARKS])
    points = applied(squares.picture_from_ndc, points)
    framed, shown = points[:, BODY], peaks[:, BODY] >= MIN_PEAK
    shown = (shown | (shown.sum(1, keepdim=True) < 2))[..., None]
    far = torch.finfo(points.dtype).max
    low, high = torch.where(shown, framed, far).amin(1), torch.where(shown, framed, -far).amax(1)
    side = (high - low).amax(-1) * crop_factor
    likeness = look.presence * peaks[:, BODY].topk(8).values.mean(1)
    return Seen(
        torch.cat([points, peaks[..., None]], -1),
        Squares((low + high) / 2, side, torch.zeros_like(side)),
        likeness,
    )


def maps_in(look: Look, squares: Squares, crop: Squares, size: int) -> Tensor:
    """(N, K, S, S) the look's maps in upright crops; knuckles, which are kept back, are empty."""
    edge = 1 / size - 1
    ndc_from_pixel = crop.side.new_tensor([[2 / size, 0, edge], [0, 2 / size, edge]])
    picture_from_pixel = then(ndc_from_pixel.expand(len(crop.side), 2, 3), crop.picture_from_ndc)
    affine = then(picture_from_pixel, inverse(squares.picture_from_ndc))
    grid = applied(affine, pixel_grid(size, affine.device).expand(len(affine), -1, 2))
    # Cell k lies at -1 + k / 32, and for grid_sample at -1 + (k + 0.5) / 32.
    grid = grid.unflatten(1, (size, size)) + 1 / look.maps.shape[-1]
    maps = F.grid_sample(look.maps, grid, align_corners=False)
    return maps * torch.from_numpy(MAPPED).to(maps)[None, :, None, None]


def first_squares(joints: Tensor, generator: torch.Generator | None = None) -> Squares:
    """About where the detector would say to look: true joints (N, 17 or more, 2) -> squares somewhat off."""
    hips = joints[:, COCO17.indices("left_hip", "right_hip")].mean(1)
    shoulders = joints[:, COCO17.indices("left_shoulder", "right_shoulder")].mean(1)
    radius = (joints[:, BODY] - hips[:, None]).norm(dim=-1).amax(1)
    u = torch.randn(len(joints), 4, generator=generator, device=joints.device)
    x, y = (shoulders - hips).unbind(-1)
    turn = torch.atan2(x, -y) + 0.15 * u[:, 0]
    radius = radius * (1.15 + 0.1 * u[:, 1].clamp(-2, 2))
    middle = hips + 0.05 * radius[:, None] * u[:, 2:].clamp(-2, 2)
    return Squares(middle, 2 * ROI_FACTOR * radius, turn)


def _peaks(maps: Tensor, reach: int = 2) -> tuple[Tensor, Tensor]:
    """(N, K, 2) x, y in cells, refined by what surrounds them; (N, K) heights."""
    height, at = maps.flatten(2).max(-1)
    width = maps.shape[-1]
    padded = F.pad(maps, [reach] * 4).flatten(2)
    wide = width + 2 * reach
    corner = at // width * wide + at % width
    y, x = torch.meshgrid(*[torch.arange(2 * reach + 1, device=maps.device)] * 2, indexing="ij")
    patch = padded.gather(2, corner[..., None] + (y * wide + x).flatten()) ** 2
    patch = patch / (patch.sum(-1, keepdim=True) + 1e-12)
    off = torch.stack([x.flatten(), y.flatten()], -1).float() - reach
    return torch.stack([at % width, at // width], -1) + patch @ off, height

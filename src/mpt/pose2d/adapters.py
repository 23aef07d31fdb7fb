"""Any heatmap network as a ``Pose2D``: a detector finds the people, the network draws each one's maps.

A torch module is handed to :class:`TopDown` as it is, an ONNX file as an :class:`OnnxNetwork`; a network that
speaks otherwise (logits, other joints, BGR) is wrapped in a function that makes it one of images (N, 3, S, S)
to the maps (N, J, h, w) of the joints, by default COCO's 17.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mpt import heatmaps
from mpt.crops import Crop, apply
from mpt.errors import InputError
from mpt.pose2d.base import Person2D
from mpt.pose2d.finders import FINDERS, finder_for
from mpt.skeletons import COCO17, Skeleton, core
from mpt.threads import torch_threads

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MIN_PEAK = 0.1  # below this a map shows nothing: its joint does not widen the person's box
BATCH = 8  # people in one pass of the network


class Region(Protocol):
    """Where a person is: the upright square to look at, and whether it is to be seen in a mirror, as a left
    hand is. A ``Person2D`` is one.
    """

    @property
    def crop(self) -> Crop: ...

    @property
    def mirrored(self) -> bool: ...


Detector = Callable[[np.ndarray], Sequence[Region]]
"""image (H, W, 3) uint8 RGB -> the people in it; every ``Pose2D`` is one, and ``mpt.pose2d.boxes.Boxes``."""


class TopDown:
    """Finds people with a detector and draws their heatmaps with a network; ``mpt.pose2d.base.Pose2D``.

    The network sees the very crop that its maps are returned in, and the maps' cells tile that crop from edge
    to edge. Where two people share a crop, the maps show both.

    Attributes:
        network: images (N, 3, S, S), RGB less ``mean`` over ``std`` -> (N, J, h, w) maps in [0, 1], COCO's
            order; a torch module in eval mode, or any function of tensors.
        detector: finds the people, or hands; BlazePose or BlazePalm where None is given.
        skeleton: whose J joints the network's maps show, in that order. A model of others reads them by name.
        input_size: S, the side to which crops are resized for the network.
        heatmap_size: side of the maps returned.
        offset_px: how far, in pixels of the network's input, true joints lie right of and below what the maps
            say when their cells tile the input. Networks whose cell k was trained to be pixel 4 k of the
            input (SimpleBaselines, HRNet) need -1.5.
        device: where the images go before the network sees them.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        *,
        detector: Detector | None = None,
        skeleton: Skeleton = COCO17,
        input_size: int = 224,
        heatmap_size: int = 224,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        offset_px: float = 0.0,
        device: torch.device | str = "cpu",
    ):
        self.network = network
        self.detector = detector or FINDERS[finder_for(skeleton)]()
        self.skeleton = skeleton
        self.input_size = input_size
        self.heatmap_size = heatmap_size
        self.mean, self.std = mean, std
        self.offset_px = offset_px
        self.device = torch.device(device)

    def __call__(self, image: np.ndarray) -> list[Person2D]:
        """(H, W, 3) uint8 RGB -> people, the surest first.

        Raises:
            InputError: the network does not give a map of each joint for each picture.
        """
        return self.look(image, self.detector(image))

    @torch_threads(1)
    @torch.inference_mode()
    def look(self, image: np.ndarray, regions: Sequence[Region]) -> list[Person2D]:
        """The people of these regions of a photo, the surest first."""
        if not regions:
            return []
        shown = np.stack([self._shown(image, region) for region in regions])
        pixels = torch.from_numpy(shown)
        images = normalise(pixels.to(self.device).permute(0, 3, 1, 2) / 255, self.mean, self.std)
        maps = torch.cat([self._maps(part) for part in images.split(BATCH)])
        # before resizing, which bends the peaks
        joints = heatmaps.decode(maps.clamp(0, 1), step_px=2).double().cpu().numpy()
        joints[..., :2] = (joints[..., :2] + 0.5) / maps.shape[:1:-1] * 2 - 1
        maps = resize(maps, self.heatmap_size).clamp(0, 1)
        people = [_person(*seen, self.skeleton) for seen in zip(regions, joints, maps.cpu().numpy())]
        return sorted(people, key=lambda person: -person.score)

    def _shown(self, image: np.ndarray, region: Region) -> np.ndarray:
        """(S, S, 3) what the network is shown so that its maps are right in the region."""
        crop, back = region.crop, -1 if region.mirrored else 1
        shift = self.offset_px * crop.side_px / self.input_size
        x, y = np.array(crop.center_px) - shift * np.array([back, 1])
        return Crop((float(x), float(y)), crop.side_px, crop.rotation).warp(image, self.input_size)[:, ::back]

    def _maps(self, images: Tensor) -> Tensor:
        maps = self.network(images)
        if maps.ndim != 4 or maps.shape[:2] != (len(images), len(self.skeleton)):
            raise InputError(
                f"the heatmap network gave {tuple(maps.shape)} for {len(images)} pictures, expected "
                f"({len(images)}, {len(self.skeleton)}, height, width): wrap it in a function that does"
            )
        return maps.float()


class OnnxNetwork:
    """The network of an ONNX file as a function of tensors, for :class:`TopDown`. Needs onnxruntime.

    Its one input is (N, 3, S, S) float32; of several outputs the first is taken.

    Attributes:
        input_size: S where the file fixes it, else None.
    """

    def __init__(self, path: str | os.PathLike, *, num_threads: int = 1):
        """
        Raises:
            InputError: onnxruntime is not installed; no such file, a broken one, or another kind of input.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise InputError(
                f"{path} needs onnxruntime, which is not installed: run `pip install onnxruntime`"
            ) from error
        if not Path(path).is_file():
            raise InputError(f"{path} does not exist: give an ONNX file")
        self.path, self.num_threads = path, num_threads
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=onnxruntime.get_available_providers()
            )
        except Exception as error:  # onnxruntime's errors have no common class of their own
            reason = str(error).splitlines()[0][:90]
            raise InputError(f"{path} is no ONNX file, or a broken one ({reason}): get it again") from None
        first, *more = self._session.get_inputs()
        batch, *shape = first.shape or [None]
        sides = {side for side in shape[1:] if isinstance(side, int)}
        if more or first.type != "tensor(float)" or shape[:1] != [3] or len(shape) != 3 or len(sides) > 1:
            raise InputError(
                f"{path} takes {first.type} {first.shape}, expected one of float32 pictures (N, 3, S, S): "
                "export the network so"
            )
        self.input_size = sides.pop() if sides else None
        self._input = first.name
        self._one_by_one = batch == 1

    def __reduce__(self) -> tuple:
        return partial(OnnxNetwork, num_threads=self.num_threads), (self.path,)  # a copy reads the file again

    def __call__(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) -> the network's first output."""
        if self.input_size not in (None, images.shape[-1]):
            raise InputError(
                f"the ONNX network takes pictures of {self.input_size} pixels, not of {images.shape[-1]}: "
                f"set input_size={self.input_size}"
            )
        parts = images.split(1) if self._one_by_one else [images]
        outputs = [self._session.run(None, {self._input: part.cpu().numpy()})[0] for part in parts]
        return torch.from_numpy(np.concatenate(outputs)).to(images.device)


def normalise(
    images: Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> Tensor:
    """RGB images (N, 3, H, W) in [0, 1] -> what networks are trained on: less ``mean``, over ``std``."""
    return (images - images.new_tensor(mean)[:, None, None]) / images.new_tensor(std)[:, None, None]


def resize(maps: Tensor, size: int) -> Tensor:
    """(N, C, h, w) -> (N, C, size, size), bilinear, edges kept on edges. Differentiable."""
    if maps.shape[-2:] == (size, size):
        return maps
    return F.interpolate(maps, (size, size), mode="bilinear", align_corners=False)


def _person(region: Region, joints: np.ndarray, maps: np.ndarray, skeleton: Skeleton) -> Person2D:
    """``joints`` (J, 3): x, y in the [-1, 1] of the region as it was shown, and the peak."""
    back = [-1, 1] if region.mirrored else [1, 1]
    points_px = apply(region.crop.image_from_ndc, joints[:, :2] * back)
    peaks = joints[:, 2]
    body, peaks_of_body = points_px[: len(core(skeleton))], peaks[: len(core(skeleton))]
    seen = body[peaks_of_body >= MIN_PEAK]
    seen = seen if len(seen) > 1 else body
    low, high = seen.min(0), seen.max(0)
    return Person2D(
        bbox_xywh=(*map(float, low), *map(float, high - low)),
        score=float(np.sort(peaks_of_body)[-8:].mean()),  # half a person is one, too
        joints2d_px=np.column_stack([points_px, peaks]),
        crop=region.crop,
        heatmaps=maps,
        mirrored=region.mirrored,
        skeleton=skeleton,
    )

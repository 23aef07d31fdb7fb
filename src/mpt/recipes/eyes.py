"""What a model sees of a sample: a 2D network looks at its crop, or what stands for one does."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mpt.crops import Crop, apply
from mpt.datasets.loading import read_crop
from mpt.datasets.sample import Sample
from mpt.errors import InputError
from mpt.heatmaps import PAPER_STD_PX, blobs, render
from mpt.modeling.image_to_mesh import ImageToMesh
from mpt.modeling.mesh_transformer import MeshTransformer
from mpt.pose2d.adapters import TopDown, normalise, resize
from mpt.pose2d.base import Person2D, Pose2D
from mpt.pose2d.finders import FINDERS
from mpt.recipes.networks import NetworkConfig, as_pose2d, tuned_pose2d
from mpt.recipes.networks import load as load_network
from mpt.skeletons import COCO17, Skeleton, arranged, begin_alike, of_count, remap

READERS = 4  # threads that decode photos
WINDOW = 1.25  # side of what is searched for a sample's person, over the side of the sample's crop
WINDOW_PX = 512
MIN_OVERLAP = 0.3  # intersection over union of the sample's crop and that of the person found


@dataclass(frozen=True)
class Seen:
    """A person's heatmaps (K, S, S), or image features (C, h, w) for a model that reads those, and the crop
    that they show.
    """

    crop: Crop
    heatmaps: Tensor


class Eye(Protocol):
    """Samples, each with the crop to look at -> heatmaps of the model's joints; None where nobody is."""

    def __call__(self, looks: Sequence[tuple[Sample, Crop]]) -> list[Seen | None]: ...


@dataclass(frozen=True)
class DrawnEye:
    """Draws the data set's own 2D joints: what a perfect 2D network would see."""

    skeleton: Skeleton
    size: int

    def __call__(self, looks: Sequence[tuple[Sample, Crop]]) -> list[Seen | None]:
        return [self._draw(sample, crop) for sample, crop in looks]

    def _draw(self, sample: Sample, crop: Crop) -> Seen | None:
        keypoints = sample.keypoints.on(self.skeleton) if sample.keypoints is not None else None
        if keypoints is None or not keypoints.confidence.any():
            return None
        points = torch.from_numpy(apply(crop.crop_from_image(self.size), keypoints.xy_px)).float()
        peaks = torch.from_numpy(np.asarray(keypoints.confidence)).float()
        std = PAPER_STD_PX * self.size / 224
        return Seen(crop, render(blobs(points[None], std, peaks[None]), self.size)[0])


@dataclass(frozen=True)
class CropEye:
    """A heatmap network on the very crop; its detector is not asked. ``skeleton``: the joints that the model
    reads, of which those that the network does not draw stay empty: 17 and 29 maps are COCO's.
    """

    network: TopDown
    skeleton: Skeleton

    @torch.inference_mode()
    def __call__(self, looks: Sequence[tuple[Sample, Crop]]) -> list[Seen | None]:
        net = self.network
        shown = [(sample, self._shown(crop)) for sample, crop in looks]
        images = normalise(_pixels(shown, net.input_size, net.device), net.mean, net.std)
        maps = net.network(images)
        drawn = net.skeleton
        if maps.shape[1:2] != (len(drawn),) or not set(drawn.joints) & set(self.skeleton.joints):
            drawn = of_count(maps.shape[1] if maps.ndim == 4 else 0, self.skeleton)
        if maps.ndim != 4 or maps.shape[:2] != (len(looks), len(drawn)):
            raise InputError(
                f"the heatmap network gave {tuple(maps.shape)} for {len(looks)} pictures, expected "
                f"({len(looks)}, {len(drawn)}, height, width), the joints of {drawn.name}: "
                "give such a network, or a model for its joints"
            )
        maps = resize(maps.float(), net.heatmap_size).clamp(0, 1).cpu()
        ordered = torch.from_numpy(arranged(maps.numpy(), drawn, self.skeleton, axis=1))
        return [Seen(crop, own) for (_, crop), own in zip(looks, ordered)]

    def _shown(self, crop: Crop) -> Crop:
        x, y = np.array(crop.center_px) - self.network.offset_px * crop.side_px / self.network.input_size
        return Crop((float(x), float(y)), crop.side_px, crop.rotation)


@dataclass(frozen=True)
class FeatureEye:
    """The image features of the very crop, by the network that was fine-tuned with the model."""

    model: ImageToMesh
    input_size: int

    @torch.inference_mode()
    def __call__(self, looks: Sequence[tuple[Sample, Crop]]) -> list[Seen | None]:
        device = self.model.transformer.template_joints.device
        seen, _ = self.model.see(normalise(_pixels(looks, self.input_size, device)))
        return [Seen(crop, own) for (_, crop), own in zip(looks, seen.cpu())]


@dataclass(frozen=True)
class FinderEye:
    """A network that finds people itself, searched around the sample's crop; the one that overlaps it most.

    Where the first finder finds nobody who overlaps the crop, the next one looks. The maps are in the found
    person's own crop, of the joints of ``skeleton``. Turned crops are not looked at as such.
    """

    finders: tuple[Pose2D, ...]
    skeleton: Skeleton = COCO17

    def __call__(self, looks: Sequence[tuple[Sample, Crop]]) -> list[Seen | None]:
        windows = [Crop(crop.center_px, WINDOW * crop.side_px) for _, crop in looks]
        pictures = _read([(sample, window, WINDOW_PX) for (sample, _), window in zip(looks, windows)])
        return [
            self._search(picture, window, crop)
            for picture, window, (_, crop) in zip(pictures, windows, looks)
        ]

    def _search(self, picture: np.ndarray, window: Crop, crop: Crop) -> Seen | None:
        found = (_match(finder(picture), window, crop, self.skeleton) for finder in self.finders)
        return next((seen for seen in found if seen is not None), None)


def _match(people: list[Person2D], window: Crop, crop: Crop, skeleton: Skeleton) -> Seen | None:
    # A data set's hands are right ones, or shown as such, whatever a finder takes them for.
    people = [person.on(skeleton) for person in people]
    maps = [p.heatmaps[..., ::-1].copy() if p.mirrored else p.heatmaps for p in people]
    found = [Seen(_out_of(window, p.crop), torch.from_numpy(m)) for p, m in zip(people, maps)]
    best = max(found, key=lambda seen: overlap(seen.crop, crop), default=None)
    return best if best is not None and overlap(best.crop, crop) >= MIN_OVERLAP else None


def overlap(a: Crop, b: Crop) -> float:
    """Intersection over union of two upright squares."""
    low = np.maximum(*(np.array(c.center_px) - c.side_px / 2 for c in (a, b)))
    high = np.minimum(*(np.array(c.center_px) + c.side_px / 2 for c in (a, b)))
    common = float((high - low).clip(0).prod())
    return common / (a.side_px**2 + b.side_px**2 - common)


def _out_of(window: Crop, crop: Crop) -> Crop:
    """A crop in pixels of the window's picture -> the same one in the photo's."""
    x, y = apply(window.image_from_crop(WINDOW_PX), np.array(crop.center_px))
    return Crop((float(x), float(y)), crop.side_px * window.side_px / WINDOW_PX)


def _pixels(looks: Sequence[tuple[Sample, Crop]], size: int, device: torch.device) -> Tensor:
    """(N, 3, size, size) in [0, 1]."""
    pixels = torch.from_numpy(np.stack(_read([(sample, crop, size) for sample, crop in looks])))
    return pixels.to(device).permute(0, 3, 1, 2).float() / 255


def _read(looks: Sequence[tuple[Sample, Crop, int]]) -> list[np.ndarray]:
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(lambda x: read_crop(x[0].image, x[1], x[2], mirrored=x[0].mirrored), looks))


def eye_on(model: ImageToMesh, config: NetworkConfig, skeleton: Skeleton) -> Eye:
    """The eye of a 2D network and a transformer of these joints in one, as they are now."""
    if model.transformer.config.inputs == "features":
        return FeatureEye(model, config.input_size)
    device, size = model.transformer.template_joints.device, model.transformer.config.heatmap_size
    return CropEye(as_pose2d(model.network, config, size, device=device), skeleton)


def eye_of(
    pose2d: str,
    skeleton: Skeleton,
    heatmap_size: int,
    *,
    weights: Path | None = None,
    input_size: int = 224,
    device: torch.device | str = "cpu",
    features_for: MeshTransformer | None = None,
) -> Eye:
    """The eye of that name: blazepose, higher-hrnet, onnx, truth, or tuned, the network of a run folder.

    ``weights``: a file for higher-hrnet and onnx, the run folder for tuned. ``features_for``: the transformer
    that reads the tuned network's image features instead of its heatmaps.

    Raises InputError for weights that are missing or not named, or an eye of other joints.
    """
    if pose2d == "truth":
        return DrawnEye(skeleton, heatmap_size)
    sees = FINDERS[pose2d].skeleton if pose2d in FINDERS else COCO17
    if pose2d not in ("onnx", "tuned") and not begin_alike(skeleton, sees):
        raise InputError(
            f"{pose2d} sees the joints of {sees.name}, but the model was made for {skeleton.name}: "
            "take --pose2d onnx with a network of these, or truth"
        )
    if pose2d in FINDERS:
        looks = (FINDERS[pose2d](search=s, heatmap_size=heatmap_size) for s in ("foreground", "all"))
        return FinderEye(tuple(looks), skeleton)  # the second costs five times as much
    if weights is None:
        raise InputError(f"--pose2d {pose2d} needs its weights: name them with --weights FILE")
    if pose2d == "higher-hrnet":
        from mpt.pose2d.higher_hrnet import HigherHRNetPose

        network = HigherHRNetPose(weights, input_size=input_size, heatmap_size=heatmap_size, device=device)
    elif pose2d == "tuned" and features_for is not None:
        tuned, config = load_network(weights)
        tuned = tuned.to(device).eval().requires_grad_(False)
        drawn = remap(config.skeleton, skeleton)
        return eye_on(ImageToMesh(tuned, features_for, drawn), config, skeleton)
    elif pose2d == "tuned":
        network = tuned_pose2d(weights, heatmap_size, device=device)
    else:
        from mpt.pose2d.adapters import OnnxNetwork

        onnx = OnnxNetwork(weights)
        network = TopDown(
            onnx, skeleton=skeleton, input_size=onnx.input_size or input_size, heatmap_size=heatmap_size
        )
    return CropEye(network, skeleton)

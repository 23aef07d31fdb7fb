"""Samples -> tensors: photos decoded no larger than needed, cropped, augmented, in a DataLoader's workers.

    photos = PhotoDataset(mixture, COCO17, augment=BODY)
    DataLoader(photos, batch_size=32, sampler=mixture.epoch(0), num_workers=4)

Letters: K joints, P bones, V vertices, S image size.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mpt.bit_depth import MAX_AREA, shallow
from mpt.crops import Crop, apply, compose, invert
from mpt.datasets import muco3dhp
from mpt.datasets.augment import Augmentation, AugmentationConfig
from mpt.datasets.sample import Joints3D, Sample
from mpt.errors import InputError
from mpt.skeletons import H36M17, LSP14, Skeleton
from mpt.views import Pinhole, camera_from_network

# ImageNet's mean and standard deviation of RGB in [0, 1], which the 2D networks were trained with.
MEAN = torch.tensor([0.485, 0.456, 0.406])
STD = torch.tensor([0.229, 0.224, 0.225])
GENDERS = ("neutral", "female", "male")
BONES = {"smpl": 24, "mano": 16}
FLIPPED = np.array([[-1.0, 0, 0], [0, 1, 0]])


class Example(NamedTuple):
    """What a network sees of a sample and what it should say; a DataLoader stacks these.

    Every ``..._known`` tells where ground truth exists; what is not known is 0. 3D is in the axes in which
    the network answers (``mpt.views``), metres, about the root: the middle of the hips, or a hand's wrist.
    """

    image: Tensor
    """(3, S, S) normalised by ImageNet's mean and deviation."""
    points: Tensor
    """(K, 2) joints in the crop's [-1, 1]; some may lie outside."""
    points_known: Tensor
    """(K,) confidence in [0, 1], 0 where unknown."""
    joints: Tensor
    """(K, 3)"""
    joints_known: Tensor
    """(K,) bool"""
    pose: Tensor
    """(P, 3) axis-angle of SMPL or MANO, its root in the network's axes."""
    betas: Tensor
    """(10,)"""
    gender: Tensor
    """() index into GENDERS"""
    parameters_known: Tensor
    """() bool"""
    vertices: Tensor
    """(V, 3)"""
    vertices_known: Tensor
    """() bool"""
    h36m_points: Tensor
    """(17, 2) as ``points``: joints where Human3.6M has them, of sets that have them there."""
    h36m_points_known: Tensor
    """(17,)"""
    h36m_joints: Tensor
    """(17, 3) as ``joints``, of such sets."""
    h36m_joints_known: Tensor
    """(17,) bool"""
    image_from_ndc: Tensor
    """(2, 3) crop's [-1, 1] -> pixels of the photo, any mirror included."""
    ndc_from_network: Tensor
    """(3, 3) what is before the camera, in the network's axes -> homogeneous coordinates in the crop's
    [-1, 1]."""
    index: int
    """Which sample."""


H36M_JOINTS = {
    "human36m": tuple({"neck": "thorax"}.get(joint, joint) for joint in LSP14.joints),
    "mpi_inf_3dhp": muco3dhp.COMPARED,
    "muco3dhp": muco3dhp.COMPARED,
}
"""Sets whose joints are where Human3.6M's regressor has them: all 14 that are reported, or those that mean
the same. Its hips are some centimetres farther out than COCO's or SMPL's."""

SAME_PLACE = ("shoulder", "elbow", "wrist", "knee", "ankle")
"""Joints that COCO's annotators see where Human3.6M has them, to a centimetre or two."""


class PhotoDataset(torch.utils.data.Dataset):
    """Examples of samples, for one skeleton and one body model."""

    def __init__(
        self,
        samples: Sequence[Sample],
        skeleton: Skeleton,
        *,
        model: Literal["smpl", "mano"] = "smpl",
        size: int = 224,
        vertices: int = 0,
        regressor: np.ndarray | None = None,
        hand_mean: np.ndarray | None = None,
        by_source: bool = False,
        augment: AugmentationConfig | None = None,
        seed: int = 0,
    ) -> None:
        """
        by_source: joints of sets that have them where Human3.6M has (``H36M_JOINTS``) are kept for its own
            regressor; without, they are taken by name for those of ``skeleton``.
        vertices: V of the data sets' own vertices; 0 leaves them out.
        regressor: (K, V), joints and root of samples that know vertices alone.
        hand_mean: (15, 3) mean pose of MANO's file; without it, poses given about it stay unknown.
        augment: what to draw augmentations from; None shows every sample as it is.
        """
        self.samples, self.skeleton, self.model, self.size = samples, skeleton, model, size
        self.vertices, self.regressor, self.hand_mean = vertices, regressor, hand_mean
        self.by_source = by_source
        self.augment, self.seed = augment, seed
        self.root = skeleton.root

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, item: int | tuple[int, int]) -> Example:
        """An index, or (index, draw), whose augmentation depends on seed, index and draw alone.

        Raises InputError for a photo that cannot be read.
        """
        index, draw = item if isinstance(item, tuple) else (item, 0)
        augmentation = Augmentation()
        if self.augment is not None:
            rng = np.random.default_rng([self.seed, index, draw])
            augmentation = Augmentation.draw(self.augment, rng)
        return self.example(self.samples[index], augmentation, index)

    def example(self, sample: Sample, augmentation: Augmentation, index: int = 0) -> Example:
        """The tensors of a sample under an augmentation."""
        crop = augmentation.crop(sample.crop)
        pixels = read_crop(sample.image, crop, self.size, mirrored=sample.mirrored)
        image = torch.from_numpy(augmentation.image(pixels)).permute(2, 0, 1).float() / 255
        turn = self.camera_from_network(sample, crop, mirrored=augmentation.flip)
        axes = turn.T
        own, of_h36m = self._by_source(sample)
        vertices = sample.vertices_m if self.vertices else None
        joints, root = self._joints(own, augmentation, axes)
        h36m_joints = self._h36m_joints(of_h36m, augmentation, axes)
        pose, betas, gender, parameters_known = self._parameters(sample, augmentation, axes)
        vertices_known = vertices is not None and root is not None
        from_ndc = compose(crop.image_from_ndc, FLIPPED) if augmentation.flip else crop.image_from_ndc
        points = self._points(own, self.skeleton, crop, augmentation)
        h36m_points = self._points(of_h36m, H36M17, crop, augmentation)
        ndc_from_image = np.vstack([invert(from_ndc), [0, 0, 1]])
        return Example(
            (image - MEAN[:, None, None]) / STD[:, None, None],
            _float(points[:, :2]),
            _float(points[:, 2]),
            _float(joints.xyz_m),
            torch.from_numpy(joints.known),
            _float(pose),
            _float(betas),
            torch.tensor(GENDERS.index(gender)),
            torch.tensor(parameters_known),
            _float(
                augmentation.vertices(vertices, axes) - root
                if vertices_known
                else np.zeros((self.vertices, 3))
            ),
            torch.tensor(vertices_known),
            _float(h36m_points[:, :2]),
            _float(h36m_points[:, 2]),
            _float(h36m_joints.xyz_m),
            torch.from_numpy(h36m_joints.known),
            _float(from_ndc),
            _float(ndc_from_image @ camera_of(sample).matrix @ turn),
            index,
        )

    def camera_from_network(self, sample: Sample, crop: Crop, *, mirrored: bool = False) -> np.ndarray:
        """(3, 3): the axes in which the network answers for such a crop -> the camera's own."""
        root = apply(crop.ndc_from_image, self._root_px(sample))
        return camera_from_network(camera_of(sample), crop, root, mirrored=mirrored)

    def _root_px(self, sample: Sample) -> np.ndarray:
        """(2,) where the root is seen; the crop's middle where the sample does not tell."""
        if sample.root_px is not None:
            return sample.root_px
        if sample.keypoints is not None:
            keypoints = sample.keypoints.on(self.skeleton)
            if (keypoints.confidence[self.root] > 0).all():
                return keypoints.xy_px[self.root].mean(0)
        return np.array(sample.crop.center_px)

    def _by_source(self, sample: Sample) -> tuple[Sample, Sample]:
        """The sample with the joints that are those of ``skeleton``, and with those that are Human3.6M's."""
        names = H36M_JOINTS.get(sample.dataset) if self.by_source else None
        if names is None:
            return sample, replace(sample, keypoints=None, joints=None)
        shared = [joint for joint in self.skeleton.joints if joint.partition("_")[2] in SAME_PLACE]
        return _with_joints(sample, self.skeleton, shared), _with_joints(sample, H36M17, names)

    def _points(
        self, sample: Sample, skeleton: Skeleton, crop: Crop, augmentation: Augmentation
    ) -> np.ndarray:
        """(K, 3) joints of ``skeleton`` in the crop's [-1, 1] and their confidence."""
        if sample.keypoints is None:
            return np.zeros((len(skeleton), 3))
        keypoints = sample.keypoints.on(skeleton)
        ndc = apply(crop.ndc_from_image, keypoints.xy_px)
        points = augmentation.ndc(np.column_stack([ndc, keypoints.confidence]), skeleton)
        return np.where(points[:, 2:] > 0, points, 0)

    def _h36m_joints(self, sample: Sample, augmentation: Augmentation, axes: np.ndarray) -> Joints3D:
        """Human3.6M's joints about the middle of its hips; nothing is known where that is not."""
        joints = sample.joints
        if joints is None or not joints.known[H36M17.root].all():
            return Joints3D(H36M17, np.zeros((len(H36M17), 3)), np.zeros(len(H36M17), bool))
        joints = augmentation.joints(joints, axes)
        root = joints.xyz_m[H36M17.root].mean(0)
        return Joints3D(H36M17, np.where(joints.known[:, None], joints.xyz_m - root, 0), joints.known)

    def _joints(
        self, sample: Sample, augmentation: Augmentation, axes: np.ndarray
    ) -> tuple[Joints3D, np.ndarray | None]:
        """Joints about the root, and the root (3,) as it was; nothing is known where the root is not."""
        joints = sample.joints.on(self.skeleton) if sample.joints is not None else None
        if (
            (joints is None or not joints.known.any())
            and self.regressor is not None
            and sample.vertices_m is not None
        ):
            everywhere = np.ones(len(self.skeleton), bool)
            joints = Joints3D(self.skeleton, self.regressor @ sample.vertices_m, everywhere)
        if joints is None or not joints.known[self.root].all():
            shape = len(self.skeleton)
            return Joints3D(self.skeleton, np.zeros((shape, 3)), np.zeros(shape, bool)), None
        joints = augmentation.joints(joints, axes)
        root = joints.xyz_m[self.root].mean(0)
        xyz = np.where(joints.known[:, None], joints.xyz_m - root, 0)
        return Joints3D(self.skeleton, xyz, joints.known), root

    def _parameters(
        self, sample: Sample, augmentation: Augmentation, axes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, str, bool]:
        parameters = sample.parameters
        unusable = parameters is None or parameters.model != self.model
        if unusable or (parameters.about_mean and self.hand_mean is None):
            return np.zeros((BONES[self.model], 3)), np.zeros(10), "neutral", False
        pose = augmentation.parameters(parameters, axes).pose
        if parameters.about_mean:
            pose = np.concatenate([pose[:1], pose[1:] + self.hand_mean])
        return pose, parameters.betas, parameters.gender, True


def _with_joints(sample: Sample, skeleton: Skeleton, names: Sequence[str]) -> Sample:
    """The sample with 2D and 3D joints of ``skeleton``, those of these names; the others are unknown."""
    kept = np.array([joint in names for joint in skeleton.joints])
    keypoints = sample.keypoints.on(skeleton) if sample.keypoints is not None else None
    joints = sample.joints.on(skeleton) if sample.joints is not None else None
    return replace(
        sample,
        keypoints=keypoints and replace(keypoints, confidence=np.where(kept, keypoints.confidence, 0)),
        joints=joints and replace(joints, known=joints.known & kept),
    )


def camera_of(sample: Sample) -> Pinhole:
    """The sample's camera where it is known, else the one that a reconstruction assumes of such a photo."""
    if sample.intrinsics is not None:
        return Pinhole.of(sample.intrinsics)
    if isinstance(sample.image, np.ndarray):
        return Pinhole.of_size(sample.image.shape[1::-1])
    with _opened(sample.image) as photo:
        return Pinhole.of_size(photo.size)


def read_crop(image: Path | np.ndarray, crop: Crop, size: int, *, mirrored: bool = False) -> np.ndarray:
    """The crop of a photo as (size, size, 3) uint8; a large JPEG is decoded at 1/2, 1/4 or 1/8.

    mirrored: the crop is one of the photo's mirror image. Pixels are taken as stored: EXIF is not looked at,
    since annotations are of stored pixels. Raises InputError for a photo that is missing or broken, or a crop
    of no finite numbers.
    """
    if not np.isfinite([*crop.center_px, crop.side_px]).all():
        where = "the array" if isinstance(image, np.ndarray) else image
        raise InputError(f"{where}: no crop of it is known, its annotation holds no finite numbers; mend it")
    if isinstance(image, np.ndarray):
        pixels, shrink = image, 1
    else:
        # A reduced width is rounded, so the mirror image of a reduced photo would be shifted.
        pixels, shrink = _decode(image, 1 if mirrored else crop.side_px / size)
    if mirrored:
        pixels = pixels[:, ::-1]
    return crop.resized(1 / shrink).warp(np.ascontiguousarray(pixels), size)


def _decode(path: Path, most: float) -> tuple[np.ndarray, int]:
    """Pixels (H, W, 3), and the whole factor, at most ``most``, by which they are fewer on each side."""
    with _opened(path) as picture:
        width = picture.width
        shrink = next((k for k in (8, 4, 2) if k <= most and min(picture.size) >= k), 1)
        if picture.format == "JPEG" and shrink > 1:
            picture.draft("RGB", (picture.width // shrink, picture.height // shrink))
        pixels = np.array(shallow(picture, str(path), path.read_bytes).convert("RGB"))
    return pixels, round(width / pixels.shape[1])


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A photo to be decoded or measured; one that is missing or broken is named."""
    try:
        with Image.open(path) as picture:
            yield picture
    except FileNotFoundError:
        raise InputError(f"{path}: this photo is missing; put it there") from None
    except Image.DecompressionBombError:
        raise InputError(
            f"{path}: has more than {MAX_AREA // 10**6} megapixels; put a smaller one there"
        ) from None
    except InputError:
        raise
    except Exception as error:  # a broken file makes Pillow raise anything at all
        raise InputError(f"{path}: is no whole picture ({error}); download it again") from None


def _float(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))

"""Points from any detector's file, drawn as heatmaps: COCO JSON, OpenPose JSON, or x, y, score arrays."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mpt.errors import InputError
from mpt.heatmaps import PAPER_STD_PX, blobs, render
from mpt.images import Crop, apply
from mpt.pose2d.base import CROP_FACTOR, Person2D
from mpt.skeletons import COCO17

_OPENPOSE_UPPER = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist",
    "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
_OPENPOSE_LEGS = ("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle")
_OPENPOSE_FACE = ("right_eye", "left_eye", "right_ear", "left_ear")
OPENPOSE18 = (*_OPENPOSE_UPPER, *_OPENPOSE_LEGS, *_OPENPOSE_FACE)
OPENPOSE25 = (
    *_OPENPOSE_UPPER, "mid_hip", *_OPENPOSE_LEGS, *_OPENPOSE_FACE,
    "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip


class Keypoints:
    """Known joints of the people in one photo; ``mpt.pose2d.base.Pose2D``.

    ``points_px`` (N, 17, 3) or (17, 3): x, y in pixels and score in 0-1, COCO order; score 0 means missing.
    A person with fewer than two joints is left out.

    Raises:
        InputError: another number of joints, or points that are not finite; when called with an image,
            points that do not belong to it. ``source`` names where the points came from.
    """

    def __init__(self, points_px: np.ndarray, *, source: str = "the keypoint array", heatmap_size: int = 224):
        points = np.asarray(points_px, dtype=np.float64)
        points = points[None] if points.ndim == 2 else points
        if points.ndim != 3 or points.shape[1:] != (len(COCO17), 3):
            raise InputError(
                f"{source} has the shape {np.shape(points_px)}, expected (people, 17, 3): "
                "x, y and score of the 17 COCO joints"
            )
        if not np.isfinite(points).all():
            raise InputError(f"{source} holds NaN or infinite numbers: mark a missing joint as 0, 0, 0")
        self.points_px = points
        self.source = source
        self.heatmap_size = heatmap_size

    def __call__(self, image: np.ndarray) -> list[Person2D]:
        """(H, W, 3) image -> people with drawn heatmaps, the surest first."""
        people = [points for points in self.points_px if (points[:, 2] > 0).sum() > 1]
        for points in people:
            self._check_inside(points, image.shape[1], image.shape[0])
        return sorted((self._person(points) for points in people), key=lambda person: -person.score)

    def _check_inside(self, points: np.ndarray, width: int, height: int) -> None:
        xy = points[points[:, 2] > 0, :2]
        outside = np.maximum(-xy, xy - [width - 1, height - 1]).max(1)  # pixels beyond the nearest edges
        if outside.max() > max(width, height) / 2 or outside.min() > 0.5:
            x, y = xy[outside.argmax()]
            raise InputError(
                f"{self.source} has a joint at ({x:.0f}, {y:.0f}), outside its {width} x {height} picture: "
                "give x, y in pixels of the very picture"
            )

    def _person(self, points: np.ndarray) -> Person2D:
        joints = np.column_stack([points[:, :2], np.clip(points[:, 2], 0, 1)])
        seen = joints[joints[:, 2] > 0]
        low, high = seen[:, :2].min(0), seen[:, :2].max(0)
        crop = Crop.around(seen, CROP_FACTOR)
        return Person2D(
            bbox_xywh=(*map(float, low), *map(float, high - low)),
            score=float(seen[:, 2].mean()),
            joints2d_px=joints,
            crop=crop,
            heatmaps=_draw(joints, crop, self.heatmap_size),
        )


@dataclass(frozen=True)
class KeypointFile:
    """The people of each photo that a keypoint file names. ``people``: file name or stem -> (N, 17, 3)."""

    path: Path
    people: dict[str, np.ndarray]

    def of(self, photo: str | os.PathLike, *, heatmap_size: int = 224) -> Keypoints:
        """The people of a photo, found by its file name.

        Raises:
            InputError: the file says nothing about this photo.
        """
        photo = Path(photo)
        number = (
            str(int(photo.stem)) if photo.stem.isdecimal() else photo.stem
        )  # COCO: 000000000785.jpg is 785
        for key in (photo.name, photo.stem, number):
            if key in self.people:
                return Keypoints(self.people[key], source=str(self.path), heatmap_size=heatmap_size)
        known = ", ".join(list(self.people)[:3]) or "none"
        raise InputError(
            f"{self.path} has no keypoints for {photo.name}, only for {len(self.people)} others ({known}): "
            "photos and keypoints are matched by file name"
        )


def read(path: str | os.PathLike) -> KeypointFile:
    """Read COCO JSON (``annotations`` with ``images``, or a list of results) or OpenPose JSON.

    An OpenPose file belongs to the photo whose name it starts with (``photo_keypoints.json``); a folder
    of such files is read whole.

    Raises:
        InputError: no such file, no JSON, another kind of JSON, or another number of joints.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob("*_keypoints.json"))
        if not files:
            raise InputError(
                f"{path} has no OpenPose files (*_keypoints.json): give a folder that has, or a file"
            )
        return KeypointFile(path, {k: v for file in files for k, v in read(file).people.items()})
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: give a COCO or OpenPose JSON file") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): give a COCO or OpenPose JSON file"
        ) from None
    except ValueError:
        raise InputError(f"{path} is not JSON, or cut short: give a COCO or OpenPose JSON file") from None
    try:
        if isinstance(content, dict) and "people" in content:
            return KeypointFile(path, {path.stem.removesuffix("_keypoints"): _from_openpose(content, path)})
        if isinstance(content, dict) and "images" in content:
            return KeypointFile(path, _from_coco_annotations(content, path))
        if isinstance(content, list):
            return KeypointFile(path, _from_coco_results(content, path))
    except (KeyError, TypeError, AttributeError):
        pass
    raise InputError(
        f"{path} is neither COCO JSON (images and annotations, or a list of results with image_id and "
        "keypoints) nor OpenPose JSON (people with pose_keypoints_2d): give one of them"
    )


def _from_coco_annotations(content: dict, path: Path) -> dict[str, np.ndarray]:
    names = {image["id"]: Path(image["file_name"]).name for image in content["images"]}
    people: dict[str, list] = {name: [] for name in names.values()}
    for annotation in content["annotations"]:
        if "keypoints" in annotation and not annotation.get("iscrowd"):
            points = _coco_points(annotation["keypoints"], path)
            points[:, 2] = points[:, 2] > 0  # visibility 1 (hidden) and 2 (visible): a person placed both
            people[names[annotation["image_id"]]].append(points)
    return {name: _stack(points) for name, points in people.items()}


def _from_coco_results(content: list, path: Path) -> dict[str, np.ndarray]:
    people: dict[str, list] = {}
    for result in content:
        key = Path(str(result["image_id"])).name
        people.setdefault(key, []).append(_coco_points(result["keypoints"], path))
    return {key: _stack(points) for key, points in people.items()}


def _coco_points(numbers: list, path: Path) -> np.ndarray:
    _check_count(len(numbers), 17, "COCO", path)
    return np.array(numbers, np.float64).reshape(17, 3)


def _from_openpose(content: dict, path: Path) -> np.ndarray:
    people = []
    for person in content["people"]:
        numbers = person["pose_keypoints_2d"]
        names = OPENPOSE18 if len(numbers) == 3 * len(OPENPOSE18) else OPENPOSE25
        _check_count(len(numbers), len(names), "OpenPose (or 18)", path)
        order = [names.index(joint) for joint in COCO17.joints]
        people.append(np.array(numbers, np.float64).reshape(-1, 3)[order])
    return _stack(people)


def _check_count(numbers: int, joints: int, kind: str, path: Path) -> None:
    if numbers != 3 * joints:
        raise InputError(
            f"{path} has a person with {numbers / 3:g} joints, expected the {joints} of {kind}, "
            "each as x, y, score: convert the file to them"
        )


def _stack(people: list[np.ndarray]) -> np.ndarray:
    return np.stack(people) if people else np.zeros((0, len(COCO17), 3))


def _draw(joints_px: np.ndarray, crop: Crop, size: int) -> np.ndarray:
    """(17, 3) joints -> the paper's blobs (17, size, size) in a crop, each as high as its score."""
    points = torch.from_numpy(apply(crop.crop_from_image(size), joints_px[:, :2])).float()
    peaks = torch.from_numpy(joints_px[:, 2]).float()
    return render(blobs(points[None], PAPER_STD_PX * size / 224, peaks[None]), size)[0].numpy()

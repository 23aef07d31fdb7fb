"""Points from any detector's file, drawn as heatmaps: COCO JSON, OpenPose JSON, or x, y, score arrays.

People's joints are the 17 of COCO. Of hands, each left or right, the 21 of ``HAND21``, an order in which
OpenPose, COCO-WholeBody and FreiHAND agree.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from mpt.errors import InputError
from mpt.heatmaps import PAPER_STD_PX, blobs, render
from mpt.images import Crop, apply
from mpt.pose2d.base import CROP_FACTOR, Person2D
from mpt.skeletons import COCO17, HAND21, Skeleton

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
    """Known joints of the people, or hands, in one photo; ``mpt.pose2d.base.Pose2D``.

    ``points_px`` (N, J, 3) or (J, 3): x, y in pixels and score in 0-1, in the skeleton's order; score 0 means
    missing. Who has fewer than two joints is left out. ``mirrored``, one for all or (N,): which hands are
    left ones, whose maps show a right one.

    Raises:
        InputError: another number of joints or sides, mirrored people, or points that are not finite; when
            called with an image, points that do not belong to it. ``source`` names where they came from.
    """

    def __init__(
        self,
        points_px: np.ndarray,
        *,
        skeleton: Skeleton = COCO17,
        mirrored: bool | Sequence[bool] | np.ndarray = False,
        source: str = "the keypoint array",
        heatmap_size: int = 224,
    ):
        points = np.asarray(points_px, dtype=np.float64)
        points = points[None] if points.ndim == 2 else points
        joints = len(skeleton)
        if points.ndim != 3 or points.shape[1:] != (joints, 3):
            raise InputError(
                f"{source} has the shape {np.shape(points_px)}, expected (people, {joints}, 3): "
                f"x, y and score of {_the_joints_of(skeleton)}"
            )
        if not np.isfinite(points).all():
            raise InputError(f"{source} holds NaN or infinite numbers: mark a missing joint as 0, 0, 0")
        if np.shape(mirrored) not in ((), (len(points),)):
            raise InputError(
                f"{source} has {len(points)} hands, but {np.size(mirrored)} are said to be mirrored or not: "
                "give one bool for each"
            )
        if np.any(mirrored) and skeleton.two_sided:
            raise InputError(
                f"mirrored is for hands, but {source} has the joints of {skeleton.name}: give the picture "
                "and its joints as they are"
            )
        self.points_px = points
        self.mirrored = np.broadcast_to(np.asarray(mirrored, dtype=bool), len(points))
        self.source = source
        self.heatmap_size = heatmap_size

    def __call__(self, image: np.ndarray) -> list[Person2D]:
        """(H, W, 3) image -> people with drawn heatmaps, the surest first."""
        shown = (self.points_px[..., 2] > 0).sum(1) > 1
        people, mirrored = self.points_px[shown], self.mirrored[shown]
        for points in people:
            self._check_inside(points, image.shape[1], image.shape[0])
        return sorted(map(self._person, people, mirrored), key=lambda person: -person.score)

    def _check_inside(self, points: np.ndarray, width: int, height: int) -> None:
        xy = points[points[:, 2] > 0, :2]
        outside = np.maximum(-xy, xy - [width - 1, height - 1]).max(1)  # pixels beyond the nearest edges
        if outside.max() > max(width, height) / 2 or outside.min() > 0.5:
            x, y = xy[outside.argmax()]
            raise InputError(
                f"{self.source} has a joint at ({x:.0f}, {y:.0f}), outside its {width} x {height} picture: "
                "give x, y in pixels of the very picture"
            )

    def _person(self, points: np.ndarray, mirrored: np.bool_) -> Person2D:
        joints = np.column_stack([points[:, :2], np.clip(points[:, 2], 0, 1)])
        seen = joints[joints[:, 2] > 0]
        low, high = seen[:, :2].min(0), seen[:, :2].max(0)
        crop = Crop.around(seen, CROP_FACTOR)
        return Person2D(
            bbox_xywh=(*map(float, low), *map(float, high - low)),
            score=float(seen[:, 2].mean()),
            joints2d_px=joints,
            crop=crop,
            heatmaps=draw(joints, crop, self.heatmap_size, mirrored=bool(mirrored)),
            mirrored=bool(mirrored),
        )


def _the_joints_of(skeleton: Skeleton) -> str:
    return "the 17 COCO joints" if skeleton == COCO17 else f"the {len(skeleton)} joints of {skeleton.name}"


@dataclass(frozen=True)
class KeypointFile:
    """The people of each photo that a keypoint file names. ``people``: file name or stem -> (N, J, 3).

    ``mirrored``: the same names -> (N,) which of them are left hands.
    """

    path: Path
    people: dict[str, np.ndarray]
    skeleton: Skeleton = COCO17
    mirrored: dict[str, np.ndarray] = field(default_factory=dict)

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
                return Keypoints(
                    self.people[key],
                    skeleton=self.skeleton,
                    mirrored=self.mirrored.get(key, False),
                    source=str(self.path),
                    heatmap_size=heatmap_size,
                )
        known = ", ".join(list(self.people)[:3]) or "none"
        raise InputError(
            f"{self.path} has no keypoints for {photo.name}, only for {len(self.people)} others ({known}): "
            "photos and keypoints are matched by file name"
        )


def read(path: str | os.PathLike, skeleton: Skeleton = COCO17) -> KeypointFile:
    """Read COCO JSON (``annotations`` with ``images``, or a list of results) or OpenPose JSON.

    Of ``HAND21`` it reads the people's hands, as OpenPose (``hand_left_keypoints_2d``) and COCO-WholeBody
    (``lefthand_kpts``) write them; or ``keypoints`` of 21 joints, which are taken for right hands.

    An OpenPose file belongs to the photo whose name it starts with (``photo_keypoints.json``); a folder
    of such files is read whole.

    Raises:
        InputError: no such file, no JSON, another kind of JSON, or another number of joints.
    """
    path = Path(path)
    if path.is_dir():
        paths = sorted(path.glob("*_keypoints.json"))
        if not paths:
            raise InputError(
                f"{path} has no OpenPose files (*_keypoints.json): give a folder that has, or a file"
            )
        files = [read(file, skeleton) for file in paths]
        people = {name: points for file in files for name, points in file.people.items()}
        mirrored = {name: left for file in files for name, left in file.mirrored.items()}
        return KeypointFile(path, people, skeleton, mirrored)
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
    hands = skeleton == HAND21
    try:
        found = _found(content, path, _hands if hands else _body)
    except (KeyError, TypeError, AttributeError):
        coco, openpose = "keypoints", "pose_keypoints_2d"
        if hands:
            coco, openpose = "lefthand_kpts or 21 keypoints", "hand_left_keypoints_2d"
        raise InputError(
            f"{path} is neither COCO JSON (images and annotations, or a list of results with image_id and "
            f"{coco}) nor OpenPose JSON (people with {openpose}): give one of them"
        ) from None
    people = {
        name: np.reshape([points for points, _ in who], (-1, len(skeleton), 3)) for name, who in found.items()
    }
    mirrored = {name: np.array([left for _, left in who], bool) for name, who in found.items()}
    return KeypointFile(path, people, skeleton, mirrored)


_Sided = tuple[np.ndarray, bool]  # points (J, 3), and whether they are a left hand's


def _found(
    content: dict | list, path: Path, of: Callable[[dict, Path], list[_Sided]]
) -> dict[str, list[_Sided]]:
    """File name, or stem, or number of each photo -> whom ``of`` finds in its entries."""
    if isinstance(content, list):  # COCO's results
        found: dict[str, list[_Sided]] = {}
        for result in content:
            found.setdefault(Path(str(result["image_id"])).name, []).extend(of(result, path))
        return found
    if "people" in content:
        stem = path.stem.removesuffix("_keypoints")
        return {stem: [who for person in content["people"] for who in of(person, path)]}
    names = {image["id"]: Path(image["file_name"]).name for image in content["images"]}
    found = {name: [] for name in names.values()}
    for annotation in content["annotations"]:
        if "keypoints" in annotation and not annotation.get("iscrowd"):
            for points, left in of(annotation, path):
                points[:, 2] = points[:, 2] > 0  # visibility 1 (hidden) and 2 (visible): a person placed both
                found[names[annotation["image_id"]]].append((points, left))
    return found


def _body(entry: dict, path: Path) -> list[_Sided]:
    if "pose_keypoints_2d" not in entry:
        return [(_points(entry["keypoints"], 17, "COCO", path), False)]
    numbers = entry["pose_keypoints_2d"]
    names = OPENPOSE18 if len(numbers) == 3 * len(OPENPOSE18) else OPENPOSE25
    points = _points(numbers, len(names), "OpenPose (or 18)", path)
    return [(points[[names.index(joint) for joint in COCO17.joints]], False)]


_HANDS = {
    "hand_left_keypoints_2d": True, "hand_right_keypoints_2d": False,
    "lefthand_kpts": True, "righthand_kpts": False,
}  # fmt: skip


def _hands(entry: dict, path: Path) -> list[_Sided]:
    keys = [key for key in _HANDS if key in entry]
    if not keys:
        return [(_points(entry["keypoints"], len(HAND21), "a hand", path), False)]
    # OpenPose leaves the list empty where it did not look for hands
    return [(_points(entry[key], len(HAND21), "a hand", path), _HANDS[key]) for key in keys if entry[key]]


def _points(numbers: list, joints: int, kind: str, path: Path) -> np.ndarray:
    _check_count(len(numbers), joints, kind, path)
    return np.array(numbers, np.float64).reshape(joints, 3)


def _check_count(numbers: int, joints: int, kind: str, path: Path) -> None:
    if numbers != 3 * joints:
        raise InputError(
            f"{path} has a person with {numbers / 3:g} joints, expected the {joints} of {kind}, "
            "each as x, y, score: convert the file to them"
        )


def draw(
    joints_px: np.ndarray,
    crop: Crop,
    size: int,
    *,
    std_px: float | np.ndarray = PAPER_STD_PX,
    mirrored: bool = False,
) -> np.ndarray:
    """(J, 3) joints of a photo -> (J, size, size) blobs in a crop or its mirror image, as high as the scores.

    ``std_px``, for all or (J,): the blobs' standard deviation in a 224 px crop; by default the paper's.
    """
    points = torch.from_numpy(apply(crop.crop_from_image(size), joints_px[:, :2])).float()
    if mirrored:
        points[:, 0] = size - 1 - points[:, 0]
    peaks = torch.from_numpy(joints_px[:, 2]).float()
    std = torch.as_tensor(std_px, dtype=torch.float32) * size / 224
    return render(blobs(points[None], std, peaks[None]), size)[0].numpy()

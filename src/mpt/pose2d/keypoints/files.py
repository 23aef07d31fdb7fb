"""Keypoint files of any detector -> the people of each photo."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mpt.errors import InputError
from mpt.json_files import read_given_json
from mpt.pose2d.candidates import HANDS, PEOPLE, Categories, LeftOut, each_once, note, score_of
from mpt.pose2d.keypoints.drawing import Extent, Keypoints
from mpt.pose2d.keypoints.layouts import KNOWN, Frame, Unplaced, described, frames
from mpt.pose2d.keypoints.points import body_of, people_in
from mpt.pose2d.keypoints.rows import rows_of
from mpt.pose2d.photos import PhotoNames
from mpt.skeletons import BLAZEPOSE33, COCO17, HAND21, Skeleton, begin_alike, core

OPENPOSE = "_keypoints"  # OpenPose's files are named so, after the photo
LARGEST_SHARE = 4.0  # where hardly a coordinate is larger, none is in pixels
MOST = 0.9  # of the coordinates; the others may be guesses, far out of the picture
NEGATIVE_SHARE = -0.1  # below it, the picture reaches from -1 to 1, not from 0 to 1


@dataclass(frozen=True)
class PhotoPeople:
    """Whom a file has in one photo.

    Attributes:
        points: (N, J, 3) x, y, score in the file's own coordinates.
        mirrored: (N,) which of them are left hands.
        scores: (N,) how surely each is somebody.
        canvas: the picture in these coordinates, where the file tells its size.
        shares: they are shares of the picture's sides, if they are not pixels.
        named: the file says which photo it is; else its own name does.
        unread: why none of its people could be read, a sentence; empty where that is not so.
    """

    points: np.ndarray
    mirrored: np.ndarray
    scores: np.ndarray
    canvas: Extent | None = None
    shares: bool = False
    named: bool = True
    unread: str = ""


@dataclass(frozen=True)
class KeypointFile:
    """The people of each photo that a keypoint file, or a folder of them, names.

    ``photos``: path, name, stem or number of a photo -> its people.
    """

    path: Path
    photos: dict[str, PhotoPeople]
    skeleton: Skeleton = COCO17

    def of(self, photo: str | os.PathLike, *, heatmap_size: int = 224, alone: bool = False) -> Keypoints:
        """The people of a photo, found by its path, name, stem or number; nobody twice.

        alone: no other photo is asked for, so that a file which does not name its photo means this one.

        Raises:
            InputError: the file says nothing about this photo, or nothing that can be read.
        """
        people = self.photos[self._meaning(Path(photo), alone)]
        if people.unread:
            raise InputError(people.unread)
        known = people.points[:, : len(core(self.skeleton))]
        once = each_once(known, people.scores, people.mirrored)
        source = f"{self.path} ({Path(photo).name})" if len(self.photos) > 1 else str(self.path)
        note(source, Counter({"found twice": int((~once).sum())}), self.skeleton.of)
        return Keypoints(
            people.points[once],
            skeleton=self.skeleton,
            mirrored=people.mirrored[once],
            source=source,
            heatmap_size=heatmap_size,
            extent=self.shares or people.canvas,
        )

    def _meaning(self, photo: Path, alone: bool) -> str:
        try:
            return self._names.meaning(photo)
        except InputError:
            if not alone or [people.named for people in self.photos.values()] != [False]:
                raise
        warnings.warn(f"{self.path} does not name its photo: it is taken for {photo}'s", stacklevel=3)
        return next(iter(self.photos))

    @cached_property
    def _names(self) -> PhotoNames:
        return PhotoNames(self.photos, str(self.path), "keypoints")

    @cached_property
    def shares(self) -> Extent | None:
        """The picture in the file's coordinates, where they are shares of its sides, which a warning says."""
        seen = [(xy_of_seen(people.points), people.shares) for people in self.photos.values()]
        seen = [(xy, shares) for xy, shares in seen if len(xy)]
        if not seen or np.quantile(np.abs(np.concatenate([xy for xy, _ in seen])), MOST) > LARGEST_SHARE:
            return None
        negative = any(xy.min() < NEGATIVE_SHARE for xy, shares in seen if not shares)
        lowest = -1 if negative else 0
        warnings.warn(
            f"{self.path} has coordinates from {lowest} to 1: they are taken for shares of each picture's "
            "width and height",
            stacklevel=4,
        )
        of_people = begin_alike(self.skeleton, COCO17)
        if of_people and all(_upside_down(people.points) for people in self.photos.values()):
            warnings.warn(
                f"everybody in {self.path} is upside down: if it counts y from the bottom, as Apple's Vision "
                "does, write 1 - y",
                stacklevel=4,
            )
        return Extent(lowest, lowest, 1, 1)


def _upside_down(points: np.ndarray) -> bool:
    """Whether all people (N, J, 3) whose nose and hips are known have the nose below."""
    nose, hips = COCO17.index("nose"), COCO17.indices("left_hip", "right_hip")
    known = points[(points[:, [nose, *hips], 2] > 0).all(1)]
    return bool((known[:, nose, 1] > known[:, hips, 1].max(1)).all()) and len(known) == len(points)


def xy_of_seen(points: np.ndarray) -> np.ndarray:
    """(N, J, 3) -> (M, 2) of the joints that are there."""
    return points[points[..., 2] > 0][:, :2]


def read(path: str | os.PathLike, skeleton: Skeleton = COCO17) -> KeypointFile:
    """Read the keypoints of people, or of hands, from a JSON file of any known layout, or a folder of them.

    Of people it reads those joints of ``skeleton`` that a layout has, the others stay missing: feet and
    knuckles are in COCO-WholeBody, Halpe, OpenPose and BlazePose. Of ``HAND21`` it reads the people's hands,
    as OpenPose (``hand_left_keypoints_2d``), COCO-WholeBody (``lefthand_kpts``, or the 133 points) and Halpe
    write them; or ``keypoints`` of 21 joints, which are taken for right hands.

    A file that does not name its photo belongs to the photo of its own name; OpenPose's are called
    ``photo_keypoints.json``. Doubtful people, crowds, other categories and entries that cannot be read are
    left out, which a warning says.

    Raises:
        InputError: no such file, no JSON, no known layout, or nobody who can be read.
    """
    path = Path(path)
    reasons: Counter[str] = Counter()
    if path.is_dir():
        photos = _photos_of_folder(path, skeleton, reasons)
    else:
        photos = _photos_of(path, skeleton, reasons)
    if photos and all(people.unread for people in photos.values()):
        raise InputError(next(iter(photos.values())).unread)
    note(str(path), reasons, skeleton.of)
    return KeypointFile(path, photos, skeleton)


def _photos_of_folder(folder: Path, skeleton: Skeleton, reasons: Counter[str]) -> dict[str, PhotoPeople]:
    patterns = f"**/*{OPENPOSE}.json", "*.json", "**/result.json"  # the last of this program's own
    paths = next((found for pattern in patterns if (found := sorted(folder.glob(pattern)))), [])
    if not paths:
        raise InputError(
            f"{folder} has no keypoint files (*{OPENPOSE}.json): give a folder that has, or a file"
        )
    photos, broken = {}, []
    for path in paths:
        try:
            photos |= _photos_of(path, skeleton, reasons, folder)
        except InputError as error:
            photos[_named_by(path, folder)] = _nobody(skeleton, str(error))
            broken.append(str(error))
    if broken and len(broken) < len(paths):
        more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
        warnings.warn(f"{broken[0]}{more}; what it says of its photo is left out", stacklevel=3)
    return photos


def _named_by(path: Path, folder: Path) -> str:
    """The photo that a file's own name tells, by its path in a folder of such files."""
    name = path.stem.removesuffix(OPENPOSE) or path.stem
    return path.relative_to(folder).with_name(name).as_posix()


def _photos_of(
    path: Path, skeleton: Skeleton, reasons: Counter[str], folder: Path | None = None
) -> dict[str, PhotoPeople]:
    """Each photo's people; why others are left out is counted in ``reasons``."""
    content = read_given_json(path, "a JSON file with keypoints")
    found = frames(content)
    if found is None:
        raise InputError(f"{path} holds {described(content)}, no keypoints in a known layout: give {KNOWN}")
    reasons["of no photo of the file, or without keypoints"] += sum(
        len(frame.people) for frame in found if isinstance(frame, Unplaced)
    )
    entries = [entry for frame in found for entry in frame.people]
    listed = content.get("categories") if isinstance(content, dict) else None
    categories = Categories(entries, listed, (*HANDS, *PEOPLE) if skeleton == HAND21 else PEOPLE)
    return {
        name: _people_of(of_photo, path, skeleton, categories, reasons)
        for name, of_photo in _by_name(found, path, folder or path.parent).items()
    }


def _by_name(found: list[Frame], path: Path, folder: Path) -> dict[str, list[Frame]]:
    """The frames of each photo, by what the file calls it."""
    placed = [frame for frame in found if not isinstance(frame, Unplaced)]
    photos: dict[str, list[Frame]] = {}
    unnamed = 0
    for frame in placed:
        name = frame.photo or (frame.number if len(placed) > 1 else None)
        unnamed += name is None
        photos.setdefault(name or _named_by(path, folder), []).append(frame)
    if unnamed > 1:
        raise InputError(
            f"{path} has the keypoints of {unnamed} photos and does not name them: name each (image_id), "
            "or give each a file of its photo's name"
        )
    return photos


def _people_of(
    of_photo: list[Frame], path: Path, skeleton: Skeleton, categories: Categories, reasons: Counter[str]
) -> PhotoPeople:
    points, mirrored, scores, unread = [], [], [], ""
    for frame in of_photo:
        for entry in frame.people:
            try:
                for joints, left in _people_in(entry, frame, skeleton, categories):
                    points.append(joints)
                    mirrored.append(left)
                    scores.append(_score(entry, joints))
            except LeftOut as error:
                reasons[str(error)] += 1
                if error.advice and not unread:
                    unread = f"{path} has a {skeleton.of[0]} {error}: {error.advice}"
    canvas = of_photo[0].canvas
    return PhotoPeople(
        np.reshape(points, (-1, len(skeleton), 3)),
        np.array(mirrored, bool),
        np.array(scores, np.float64),
        Extent(0, 0, *canvas) if canvas else None,
        of_photo[0].shares or all(map(_is_blazepose, (who for frame in of_photo for who in frame.people))),
        of_photo[0].photo is not None or path.stem.endswith(OPENPOSE),
        "" if points else unread,
    )


def _is_blazepose(entry: Any) -> bool:
    """Whether somebody has BlazePose's points, whose shares never reach from -1 to 1."""
    try:
        points, _ = rows_of(*body_of(entry))
    except LeftOut:
        return False
    return len(points) == len(BLAZEPOSE33)


def _people_in(
    entry: Any, frame: Frame, skeleton: Skeleton, categories: Categories
) -> Iterator[tuple[np.ndarray, bool]]:
    if isinstance(entry, dict) and "joints2d_px" not in entry:  # those are results, no candidates
        categories.check(entry)
    for points, left in people_in(entry, skeleton, frame.names):
        if frame.truth:
            points[:, 2] = points[:, 2] > 0  # visibility 1 (hidden) and 2 (visible): a person placed both
        yield points, left


def _score(entry: Any, joints: np.ndarray) -> float:
    said = score_of(entry) if isinstance(entry, dict) else None
    seen = joints[joints[:, 2] > 0, 2]
    return said if said is not None else float(seen.mean()) if len(seen) else 0.0


def _nobody(skeleton: Skeleton, unread: str) -> PhotoPeople:
    nothing = np.zeros((0, len(skeleton), 3))
    return PhotoPeople(nothing, np.zeros(0, bool), np.zeros(0), unread=unread)

"""Boxes around people from any detector's file: where a network that wants a person's crop looks."""

import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mpt.crops import Crop
from mpt.errors import InputError
from mpt.json_files import read_given_json
from mpt.pose2d.candidates import Categories, LeftOut, key, note, number, score_of
from mpt.pose2d.photos import PhotoNames

BOX_FACTOR = 1.1  # crop side over the box's: its joints lie within 0.88 of a body, and 1.25 x 0.88 = 1.1
MIN_PX = 4.0  # smaller boxes show nobody, and those of 0 to 1 are no pixels


@dataclass(frozen=True)
class BoxRegion:
    """A box and the square to look at; ``mpt.pose2d.adapters.Region``."""

    crop: Crop
    score: float
    mirrored: bool = False


class Boxes:
    """Known boxes of the people in one photo; ``mpt.pose2d.adapters.Detector``.

    ``boxes_xywh`` (N, 4): left, top, width, height in pixels, counted from the photo's corner as COCO does.

    Raises:
        InputError: another shape, numbers that are not finite, empty boxes; when called with an image, boxes
            that all do not touch it. ``source`` names where they came from.
    """

    def __init__(
        self,
        boxes_xywh: np.ndarray,
        scores: np.ndarray | None = None,
        *,
        source: str = "the array of boxes",
    ):
        boxes = np.asarray(boxes_xywh, dtype=np.float64)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise InputError(
                f"{source} has the shape {boxes.shape}, expected (people, 4): left, top, width and height"
            )
        if not np.isfinite(boxes).all() or (boxes[:, 2:] <= 0).any():
            raise InputError(
                f"{source} holds an empty box or NaN: give left, top, width and height in pixels"
            )
        self.boxes_xywh = boxes
        self.scores = np.ones(len(boxes)) if scores is None else np.asarray(scores, dtype=np.float64)
        self.source = source

    def __call__(self, image: np.ndarray) -> list[BoxRegion]:
        """(H, W, 3) image -> the square around each box, the surest first.

        Boxes beside it, or of a few of its pixels, are left out, which a warning says, if others remain.
        """
        height, width = image.shape[:2]
        low, high = self.boxes_xywh[:, :2], self.boxes_xywh[:, :2] + self.boxes_xywh[:, 2:]
        outside = ((low >= [width, height]) | (high <= 0)).any(1)
        tiny = self.boxes_xywh[:, 2:].max(1) < MIN_PX
        wrong = outside | tiny
        if wrong.any() and wrong.all():
            what = f"outside its {width} x {height} picture" if outside.any() else "smaller than 4 pixels"
            raise InputError(f"{self.source} has a box {what}: give boxes in pixels of the very picture")
        beside = {"outside the picture": outside.sum(), "smaller than 4 pixels": (tiny & ~outside).sum()}
        note(self.source, Counter({why: int(count) for why, count in beside.items()}), ("box", "boxes"))
        order = np.argsort(-self.scores, kind="stable")
        return [self._region(*self.boxes_xywh[k], self.scores[k]) for k in order if not wrong[k]]

    def _region(self, left: float, top: float, width: float, height: float, score: float) -> BoxRegion:
        center = (float(left + width / 2 - 0.5), float(top + height / 2 - 0.5))
        return BoxRegion(Crop(center, float(max(width, height)) * BOX_FACTOR), float(score))


@dataclass(frozen=True)
class BoxFile:
    """The boxes of each photo that a file names. ``people``: its path, name or number -> (N, 5) left, top,
    width, height, score.
    """

    path: Path
    people: dict[str, np.ndarray]

    def of(self, photo: str | os.PathLike) -> Boxes:
        """The boxes of a photo, found by its path, name, stem or number.

        Raises:
            InputError: the file says nothing about this photo.
        """
        boxes = self.people[self._names.meaning(photo)]
        return Boxes(boxes[:, :4], boxes[:, 4], source=str(self.path))

    @cached_property
    def _names(self) -> PhotoNames:
        return PhotoNames(self.people, str(self.path), "boxes")


def read(path: str | os.PathLike) -> BoxFile:
    """Read people's boxes from COCO JSON: ``annotations`` with ``images``, or a list of detections.

    Detections below a score of 0.5, crowds, other categories than the person and entries without a box are
    left out, which a warning says.

    Raises:
        InputError: no such file, no JSON, another kind of JSON, or no entry that can be read.
    """
    path = Path(path)
    content = read_given_json(path, "a COCO JSON file with boxes")
    refusal = (
        f"{path} is no COCO JSON with boxes (images and annotations, or a list of detections with image_id, "
        "bbox and score)"
    )
    entries, photos, listed = _parts_of(content)
    if entries is None:
        raise InputError(f"{refusal}: give one")
    people: dict[str, list] = {name: [] for name in photos.values()}
    categories, reasons, unread = Categories(entries, listed), Counter(), None
    for entry in entries:
        try:
            photo = _photo_of(entry, photos)
            found = people.setdefault(photo, [])
            categories.check(entry)
            found.append(_box_of(entry))
        except LeftOut as error:
            reasons[str(error)] += 1
            unread = unread or (error if error.advice else None)
    if unread and not any(people.values()):
        raise InputError(f"{refusal}, but has an entry {unread}: {unread.advice}")
    note(str(path), reasons)
    return BoxFile(path, {name: np.array(boxes).reshape(-1, 5) for name, boxes in people.items()})


def _parts_of(content: Any) -> tuple[list | None, dict[str, str], Any]:
    """The entries, if any are known, the names of photos by id where the file lists them, its categories."""
    if isinstance(content, list):
        return content, {}, None
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        return None, {}, None
    images = content.get("images")
    known = [image for image in images if isinstance(image, dict)] if isinstance(images, list) else []
    photos = {key(image.get("id")): str(image.get("file_name") or image.get("id")) for image in known}
    return content["annotations"], photos, content.get("categories")


def _photo_of(entry: Any, photos: dict[str, str]) -> str:
    if not isinstance(entry, dict) or "image_id" not in entry:
        raise LeftOut("of no photo", "name it (image_id)")
    photo = key(entry["image_id"])
    if not photos:
        return photo
    if photo not in photos:
        raise LeftOut("of no photo that the file lists")
    return photos[photo]


def _box_of(entry: dict) -> tuple[float, ...]:
    """Left, top, width, height, score."""
    bbox = entry.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise LeftOut("without a box of four numbers", "give left, top, width and height")
    left, top, width, height = map(number, bbox)
    if width <= 0 or height <= 0:
        raise LeftOut("with an empty box", "give left, top, width and height")
    score = score_of(entry)
    return left, top, width, height, 1.0 if score is None else score

"""Boxes around people from any detector's file: where a network that wants a person's crop looks."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpt.errors import InputError
from mpt.images import Crop

BOX_FACTOR = 1.1  # crop side over the box's: its joints lie within 0.88 of a body, and 1.25 x 0.88 = 1.1
MIN_SCORE = 0.5  # detection files list doubtful boxes, too
PERSON = 1  # COCO's category


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
            that do not touch it. ``source`` names where they came from.
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
        """(H, W, 3) image -> the square around each box, the surest first."""
        height, width = image.shape[:2]
        low, high = self.boxes_xywh[:, :2], self.boxes_xywh[:, :2] + self.boxes_xywh[:, 2:]
        if ((low >= [width, height]) | (high <= 0)).any():
            raise InputError(
                f"{self.source} has a box outside its {width} x {height} picture: "
                "give boxes in pixels of the very picture"
            )
        order = np.argsort(-self.scores, kind="stable")
        return [self._region(*self.boxes_xywh[k], self.scores[k]) for k in order]

    def _region(self, left: float, top: float, width: float, height: float, score: float) -> BoxRegion:
        center = (float(left + width / 2 - 0.5), float(top + height / 2 - 0.5))
        return BoxRegion(Crop(center, float(max(width, height)) * BOX_FACTOR), float(score))


@dataclass(frozen=True)
class BoxFile:
    """The boxes of each photo that a file names. ``people``: file name -> (N, 5) x, y, w, h, score."""

    path: Path
    people: dict[str, np.ndarray]

    def of(self, photo: str | os.PathLike) -> Boxes:
        """The boxes of a photo, found by its file name.

        Raises:
            InputError: the file says nothing about this photo.
        """
        photo = Path(photo)
        stem = photo.stem
        number = str(int(stem)) if stem.isdecimal() else stem  # COCO: 000000000785.jpg is 785
        for key in (photo.name, stem, number):
            if key in self.people:
                boxes = self.people[key]
                return Boxes(boxes[:, :4], boxes[:, 4], source=str(self.path))
        known = ", ".join(list(self.people)[:3]) or "none"
        raise InputError(
            f"{self.path} has no boxes for {photo.name}, only for {len(self.people)} others ({known}): "
            "photos and boxes are matched by file name"
        )


def read(path: str | os.PathLike) -> BoxFile:
    """Read people's boxes from COCO JSON: ``annotations`` with ``images``, or a list of detections.

    Detections below a score of 0.5, crowds and other categories than the person are left out.

    Raises:
        InputError: no such file, no JSON, or another kind of JSON.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: give a COCO JSON file with boxes") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): give a COCO JSON file with boxes"
        ) from None
    except ValueError:
        raise InputError(f"{path} is not JSON, or cut short: give a COCO JSON file with boxes") from None
    people: dict[str, list] = {}
    try:
        names: dict = {}
        entries = content
        if isinstance(content, dict):
            names = {image["id"]: image["file_name"] for image in content["images"]}
            people = {Path(name).name: [] for name in names.values()}
            entries = content["annotations"]
        for entry in entries:
            boxes = people.setdefault(Path(str(names.get(entry["image_id"], entry["image_id"]))).name, [])
            score = float(entry.get("score", 1))
            if score >= MIN_SCORE and entry.get("category_id", PERSON) == PERSON and not entry.get("iscrowd"):
                left, top, width, height = map(float, entry["bbox"])
                boxes.append((left, top, width, height, score))
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError(
            f"{path} is no COCO JSON with boxes (images and annotations, or a list of detections with "
            "image_id, bbox and score): give one"
        ) from None
    return BoxFile(path, {name: np.array(boxes).reshape(-1, 5) for name, boxes in people.items()})

"""The layouts of keypoint files: which photos they speak of, and whom they have there.

Each layout is recognised by what it holds, in the order of ``_LAYOUTS``; of others it may be made of.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mpt.pose2d.candidates import key
from mpt.pose2d.keypoints.points import is_joint, is_person
from mpt.pose2d.keypoints.rows import joint_name
from mpt.pose2d.photos import SUFFIX

KNOWN = (
    "COCO (annotations or results), COCO-WholeBody, Halpe, OpenPose, AlphaPose, MMPose, MediaPipe, tf.js, "
    "ultralytics, lists of x, y, score, or mpt's own result.json"
)
PHOTOS = ("image_id", "image", "file_name", "filename", "image_name", "image_path", "img_path", "imgname")
MIN_SIDE = 32  # of a photo; a smaller one stands for a size that nobody knew
LARGEST_SIDE = 1e6  # pixels of a canvas
DEEPEST = 4  # lists of frames in lists of files, and no further
LANDMARKS = ("pose_landmarks", "poseLandmarks", "landmarks")  # MediaPipe's, in shares of the picture


@dataclass(frozen=True)
class Frame:
    """What a file says of one photo.

    Attributes:
        photo: as the file names it: a path, a name or a number; None where it does not.
        number: of the frame, where it was cut from a film.
        people: the entries of its people, as they stand in the file.
        truth: they were placed by a person: third numbers are visibilities, 0, 1 or 2.
        canvas: width and height of the picture in the units of the keypoints, where the file says it.
        shares: coordinates that reach from 0 to 1 do so even if some are below 0, out of the picture.
        names: what the file calls its points, in their order.
    """

    photo: str | None
    people: list
    truth: bool = False
    canvas: tuple[float, float] | None = None
    shares: bool = False
    names: Sequence[str] | None = None
    number: str | None = None


@dataclass(frozen=True)
class Unplaced(Frame):
    """Entries whose photo the file does not list, or that are nobody at all."""


def frames(content: Any, depth: int = 0) -> list[Frame] | None:
    """The photos of a keypoint file; None where it is of no known layout."""
    if depth > DEEPEST:
        return None
    for layout in _LAYOUTS:
        if (found := layout(content)) is not None:
            return found
    for layout in _NESTED_LAYOUTS:
        if (found := layout(content, depth + 1)) is not None:
            return found
    return None


def described(content: Any) -> str:
    """What a file holds, in words."""
    if isinstance(content, list) and content:
        return f"a list of {len(content)}, first {_named(content[0])}"
    return _named(content)


def _named(content: Any) -> str:
    if isinstance(content, dict):
        names = ", ".join(str(name)[:30] for name in list(content)[:5]) or "nothing"
        return f"an object with {names}{', ...' if len(content) > 5 else ''}"
    return f"a list of {len(content)}" if isinstance(content, list) else f"{content!r:.30}"


def _coco_annotations(content: Any) -> list[Frame] | None:
    """{"images": [{"id", "file_name"}], "annotations": [{"image_id", "keypoints"}], "categories": [...]}"""
    if not _lists(content, "images", "annotations"):
        return None
    entries = [entry for entry in content["annotations"] if isinstance(entry, dict)]
    if entries and not any(map(is_person, entries)):
        return None  # boxes, or outlines
    photos, canvases = {}, {}
    for image in content["images"]:
        if isinstance(image, dict) and "id" in image:
            name = photos[key(image["id"])] = str(image.get("file_name") or image["id"])
            canvas = _canvas(image)
            canvases[name] = canvas if canvas and min(canvas) >= MIN_SIDE else None
    people: dict[str, list] = {name: [] for name in photos.values()}
    unplaced = []
    for entry in content["annotations"]:
        if not isinstance(entry, dict):
            unplaced.append(entry)
        elif is_person(entry):
            people.get(photos.get(key(entry.get("image_id")), ""), unplaced).append(entry)
    names = _category_names(content.get("categories"))
    found = [
        Frame(photo, who, truth=True, names=names, canvas=canvases[photo]) for photo, who in people.items()
    ]
    return [*found, Unplaced(None, unplaced)]


def _lists(content: Any, *names: str) -> bool:
    return isinstance(content, dict) and all(isinstance(content.get(name), list) for name in names)


def _photo_of(content: dict) -> str | None:
    """The name or number of a photo that an entry gives."""
    values = (content.get(name) for name in PHOTOS)
    return next((key(value) for value in values if isinstance(value, str | int | float)), None)


def _category_names(categories: Any) -> list[str] | None:
    """COCO's categories name their keypoints."""
    for kind in categories if isinstance(categories, list) else []:
        if isinstance(kind, dict) and isinstance(kind.get("keypoints"), list):
            return [joint_name(name) for name in kind["keypoints"]]
    return None


def _annotations_alone(content: Any) -> list[Frame] | None:
    """{"annotations": [{"image_id", "keypoints"}]}"""
    return _entries(content["annotations"]) if _lists(content, "annotations") else None


def _entries(content: Any) -> list[Frame] | None:
    """COCO's and AlphaPose's results: [{"image_id", "keypoints", "score"}]"""
    if not isinstance(content, list):
        return None
    people: dict[str, list] = {}
    unplaced = []
    for entry in content:
        photo = _photo_of(entry) if isinstance(entry, dict) and is_person(entry) else None
        (unplaced if photo is None else people.setdefault(photo, [])).append(entry)
    found = [Frame(photo, who) for photo, who in people.items()]
    return [*found, Unplaced(None, unplaced)] if people else None


def _one_frame(content: Any) -> list[Frame] | None:
    """OpenPose's {"people": [...]}, ControlNet's with canvas_width and canvas_height, AlphaPose's {"bodies":
    [{"joints"}]}, this program's result.json, MMPose's {"frame_id", "instances": [...]}
    """
    if not isinstance(content, dict):
        return None
    for name in ("people", "bodies", "instances"):
        if isinstance(content.get(name), list):
            number = key(content["frame_id"]) if "frame_id" in content else None
            return [Frame(_photo_of(content), content[name], canvas=_canvas(content), number=number)]
    return None


def _canvas(content: dict) -> tuple[float, float] | None:
    for names in (("canvas_width", "canvas_height"), ("width", "height")):
        width, height = map(content.get, names)
        if all(isinstance(side, int | float) and 1 <= side < LARGEST_SIDE for side in (width, height)):
            return float(width), float(height)  # type: ignore[arg-type]
    return None


def _mmpose(content: Any, depth: int) -> list[Frame] | None:
    """{"meta_info": ..., "instance_info": [...]}, {"predictions": [...]}"""
    if not isinstance(content, dict):
        return None
    inner = content.get("instance_info", content.get("predictions"))
    found = frames(inner, depth) if isinstance(inner, list) else None
    names = _meta_names(content.get("meta_info"))
    return found and [replace(frame, names=names) for frame in found]


def _meta_names(meta: Any) -> list[str] | None:
    names = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(names, dict) or not all(str(number).isdecimal() for number in names):
        return None
    return [joint_name(names[number]) for number in sorted(names, key=int)]


def _landmarks(content: Any) -> list[Frame] | None:
    """MediaPipe's {"pose_landmarks": [...]} of one person or of several."""
    if not isinstance(content, dict):
        return None
    name = next((name for name in LANDMARKS if isinstance(content.get(name), list | dict)), None)
    if name is None:
        return None
    value = content[name]
    people = value if _is_people(value) else [value] if value else []
    return [Frame(_photo_of(content), people, shares=True)]


def _one_person(content: Any) -> list[Frame] | None:
    """{"keypoints": [...]}, {"nose": [x, y, score], ...}, or points alone"""
    if isinstance(content, dict) and (is_person(content) or _is_named(content)):
        person = content if is_person(content) else {"keypoints": content}
        return [Frame(_photo_of(content), [person])]
    if is_person(content):
        return [Frame(None, [content])]
    return None


def _batch(content: Any) -> list[Frame] | None:
    """torchvision's and rtmlib's arrays over people: {"keypoints": (N, J, ...), "scores": (N,) or (N, J)}"""
    if not isinstance(content, dict) or not _is_people(content.get("keypoints")) or not content["keypoints"]:
        return None
    people: list[dict] = [{"keypoints": points} for points in content["keypoints"]]
    nested = any(isinstance(score, list) for score in content.get("scores") or ())  # rtmlib's, of each joint
    for name, of_all in (
        ("keypoint_scores" if nested else "score", "scores"),
        ("category_id", "labels"),
        ("keypoint_scores", "keypoints_scores"),
    ):
        if isinstance(content.get(of_all), list) and len(content[of_all]) == len(people):
            people = [person | {name: value} for person, value in zip(people, content[of_all])]
    return [Frame(_photo_of(content), people)]


def _is_named(content: dict) -> bool:
    return bool({joint_name(name) for name in content} & {"nose", "left_shoulder"})


def _people(content: Any) -> list[Frame] | None:
    """Several people of one photo: [{"keypoints": ...}, ...], [[[x, y, score], ...], ...]"""
    return [Frame(None, content)] if _is_people(content) else None


def _is_people(content: Any) -> bool:
    if not isinstance(content, list) or any(map(is_joint, content)):
        return False
    return not content or any(map(is_person, content))


def _several_frames(content: Any, depth: int) -> list[Frame] | None:
    """A list of any of the others, a photo each."""
    if not isinstance(content, list):
        return None
    found = [frames(item, depth) for item in content]
    unplaced = [item for item, of_item in zip(content, found) if of_item is None]
    together = [frame for of_item in found for frame in of_item or ()]
    return [*together, Unplaced(None, unplaced)] if together else None


def _by_photo(content: Any, depth: int) -> list[Frame] | None:
    """{"photo.jpg": any of the others, ...}, as AlphaPose's form for OpenPose has it"""
    if not isinstance(content, dict) or not any(SUFFIX.search(str(name)) for name in content):
        return None
    found = [replace(frame, photo=name) for name in content for frame in frames(content[name], depth) or ()]
    return found or None


_LAYOUTS: tuple[Callable[[Any], list[Frame] | None], ...] = (
    _coco_annotations,
    _annotations_alone,
    _one_frame,
    _landmarks,
    _entries,
    _batch,
    _one_person,
    _people,
)
_NESTED_LAYOUTS: tuple[Callable[[Any, int], list[Frame] | None], ...] = (_mmpose, _by_photo, _several_frames)

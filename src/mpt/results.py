"""A photo's folder of results: overlay.png, result.json and the mesh files, replaced whole or not at all."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mpt.errors import InputError
from mpt.export import write_mesh, write_picture
from mpt.render import Figure, Perspective, overlay_figure

if TYPE_CHECKING:
    from mpt.reconstruct import Reconstruction  # with it comes torch, which no refused photo should wait for

OVERLAY_PX = 1600  # the longer side of the drawn photo, at most


@dataclass(frozen=True)
class Seconds:
    """What a photo took: finding the people, lifting them, and both with drawing and writing the results."""

    pose2d: float
    mesh: float
    total: float


def folder_names(photos: Sequence[Path]) -> list[str]:
    """Each photo's folder: its stem, or its whole name where two stems are equal; no two the same."""
    stems = [photo.stem.casefold() for photo in photos]
    names, taken = [], set()
    for photo, stem in zip(photos, stems):
        alone = stems.count(stem) == 1 and stem.strip(".")  # the stem of "...jpg" would be the folder above
        wanted = photo.stem if alone else photo.name
        name, number = wanted, 1
        while name.casefold() in taken:  # photos of one name from several folders
            number += 1
            name = f"{wanted}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of ``folder`` when the block ends without an error.

    Raises:
        InputError: nothing can be written there, or what lies there is not an earlier result.
    """
    if folder.exists() and not _is_result(folder):
        raise InputError(
            f"{folder} is there already and is no result of mpt's: move it away, or choose another --out"
        )
    unfinished, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("new", "old"))
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        if folder.exists():
            folder.rename(old)
        unfinished.rename(folder)
    except OSError as error:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise InputError(
            f"{folder}: nothing can be written there ({error.strerror}); choose another --out"
        ) from error
    finally:
        for rest in (unfinished, old):
            shutil.rmtree(rest, ignore_errors=True)


def _is_result(folder: Path) -> bool:
    return folder.is_dir() and ((folder / "result.json").is_file() or not any(folder.iterdir()))


def write_files(
    folder: Path, image: np.ndarray, people: "Sequence[Reconstruction]", formats: Sequence[str]
) -> list[dict[str, str]]:
    """Write overlay.png and each person's meshes; each person's files by format."""
    write_picture(folder / "overlay.png", draw(image, people))
    meshes = []
    for number, person in enumerate(people):
        names = {ending: f"person{number}.{ending}" for ending in formats}
        for name in names.values():
            write_mesh(folder / name, person.vertices, person.faces, joints=person.joints3d)
        meshes.append(names)
    return meshes


def draw(image: np.ndarray, people: "Sequence[Reconstruction]") -> np.ndarray:
    """The meshes over the photo, made smaller where it is large, and a view from the side."""
    if not people:
        return _shrunk(image, OVERLAY_PX)
    small = _shrunk(image, OVERLAY_PX)
    factor = small.shape[1] / image.shape[1]
    centre = tuple((side + 0.5) * factor - 0.5 for side in people[0].principal_px)
    view = Perspective(people[0].focal_px * factor, centre)
    return overlay_figure(small, [Figure(p.vertices + p.translation_m, p.faces) for p in people], view)


def _shrunk(image: np.ndarray, longest: int) -> np.ndarray:
    height, width = image.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return image
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def as_json(
    photo: Path | str,
    model: str,
    seconds: Seconds,
    people: "Sequence[Reconstruction]",
    meshes: Sequence[dict[str, str]],
    *,
    size_wh: tuple[int, int],
) -> dict:
    """What result.json holds. ``size_wh``: of the upright photo, in pixels."""
    return {
        "image": str(photo),
        "width": size_wh[0],
        "height": size_wh[1],
        "model": model,
        "seconds": {name: round(value, 4) for name, value in vars(seconds).items()},
        "people": [_person(person, files) for person, files in zip(people, meshes, strict=True)],
    }


def _person(person: "Reconstruction", files: dict[str, str]) -> dict:
    s, tx, ty = _rounded(person.camera, 6)
    joints = person.skeleton.joints
    side = {} if person.skeleton.two_sided else {"side": "left" if person.mirrored else "right"}
    return side | {
        "bbox_xywh": _rounded(person.bbox_xywh, 2),
        "score": round(float(person.score), 4),
        "joints2d_px": {
            joint: [*_rounded(xy, 2), round(float(score), 4)]
            for joint, (*xy, score) in zip(joints, person.joints2d_px)
        },
        "joints3d_m": {joint: _rounded(xyz, 5) for joint, xyz in zip(joints, person.joints3d)},
        "camera": {
            "weak_perspective": {"s": s, "tx": tx, "ty": ty},
            "crop_to_image": [_rounded(row, 4) for row in person.crop.image_from_ndc],
            "translation_m": _rounded(person.translation_m, 5),
            "focal_px": round(person.focal_px, 3),
            "focal_assumed": person.focal_assumed,
            "principal_px": _rounded(person.principal_px, 3),
        },
        "meshes": files,
        "vertex_count": len(person.vertices),
    }


def _rounded(values, digits: int) -> list[float]:
    return [round(float(value), digits) + 0.0 for value in values]  # + 0.0: no -0.0


def write_json(folder: Path, result: dict) -> None:
    """result.json, with each point on a line of its own."""
    text = json.dumps(result, indent=1, allow_nan=False)
    text = re.sub(r"\[\n([^\[\]{}\"]*)\]", lambda numbers: f"[{' '.join(numbers[1].split())}]", text)
    (folder / "result.json").write_text(text + "\n", encoding="utf-8")

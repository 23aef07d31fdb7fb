"""How much a mesh changes with the photo: turned by 90 degrees, in a mirror, twice as large.

python benchmarks/turned.py --model mpt-small --data pose2sim

The same person's mesh before and after, turned or mirrored back, about the root: the mean distance of its
vertices. The photos are Pose2Sim's of ``benchmarks/photos.py``; a second person in the back is not compared.
People are found by BlazePose, and by BlazePose with its mirrored look; or their 2D joints are known and
change as the photo does, which leaves what the transformer itself changes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import tyro
from measuring import body_px, table, write_json
from photos import folder_of, foremost

from mpt import bodies, checkpoint
from mpt.images import read_image
from mpt.pose2d.base import Person2D
from mpt.pose2d.blazepose import BlazePose
from mpt.pose2d.keypoints import Keypoints
from mpt.reconstructor import Reconstructor
from mpt.skeletons import COCO17

MIRROR = np.diag([-1.0, 1, 1])
SAME = 0.25  # of the person's size: nearer 2D joints are the same person's


@dataclass(frozen=True)
class Change:
    """Something done to a photo, to its pixels (x, y), and to what it shows in camera axes."""

    name: str
    of_photo: Callable[[np.ndarray], np.ndarray]
    of_pixels: Callable[[np.ndarray, tuple[int, int]], np.ndarray]
    of_space: np.ndarray
    sides: bool = False

    def of_joints(self, joints_px: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
        """(17, 3) x, y, score of a photo's joints -> of the changed photo's."""
        moved = np.column_stack([self.of_pixels(joints_px[:, :2], size_wh), joints_px[:, 2]])
        return moved[COCO17.flip] if self.sides else moved


CHANGES = (
    Change(
        "turned by 90 degrees",
        lambda photo: np.rot90(photo),
        lambda xy, size_wh: np.stack([xy[:, 1], size_wh[0] - 1 - xy[:, 0]], 1),
        np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
    ),
    Change(
        "mirrored",
        lambda photo: photo[:, ::-1],
        lambda xy, size_wh: np.stack([size_wh[0] - 1 - xy[:, 0], xy[:, 1]], 1),
        MIRROR,
        sides=True,
    ),
    Change(
        "twice as large",
        lambda photo: cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
        lambda xy, size_wh: xy * 2 + 0.5,
        np.eye(3),
    ),
)


def same_person(people: list[Person2D], joints_px: np.ndarray) -> Person2D | None:
    """Of those found, whose joints are at ``joints_px`` (17, 3), whichever side they are said to be on."""
    size = np.ptp(joints_px[:, :2], axis=0).max()

    def off(person: Person2D) -> float:
        apart = (body_px(person)[order, :2] - joints_px[:, :2] for order in (slice(None), COCO17.flip))
        return min(float(np.median(np.linalg.norm(each, axis=1))) for each in apart)

    nearest = min(people, key=off, default=None)
    return nearest if nearest is not None and off(nearest) < SAME * size else None


def across(template: torch.Tensor) -> np.ndarray:
    """(V,) for each vertex the one on the other side of a body (V, 3) at rest."""
    mirrored = template * template.new_tensor([-1.0, 1, 1])
    return torch.cat([torch.cdist(part, template).argmin(1) for part in mirrored.split(1024)]).numpy()


def main(model: str = "mpt-small", data: Path = Path("pose2sim"), json: Path | None = None) -> None:
    """Compare a model's meshes of changed photos with those of the photos.

    Args:
        model: a name, a model file or a run folder.
        data: folder that holds the photos, as of ``benchmarks/photos.py``.
        json: also write the figures to this file.
    """
    mesh_model = checkpoint.load(model)
    other_side = across(bodies.load(mesh_model.body).template)
    size = mesh_model.transformer.config.heatmap_size
    finders = {
        "BlazePose": BlazePose(heatmap_size=size),
        "BlazePose, mirrored look": BlazePose(heatmap_size=size, mirrored_look=True),
    }
    reconstructor = Reconstructor(mesh_model, finders["BlazePose"])
    off_mm: dict[tuple[str, str], dict[str, float | None]] = {}
    for path in sorted(folder_of(data).glob("*.jpg")):
        photo = read_image(path)
        size_wh = photo.shape[1], photo.shape[0]
        before = {name: foremost(finder(photo)) for name, finder in finders.items()}
        for change in CHANGES:
            changed = np.ascontiguousarray(change.of_photo(photo))
            pairs = {}
            for name, finder in finders.items():
                if (person := before[name]) is not None:
                    joints = change.of_joints(body_px(person), size_wh)
                    pairs[name] = person, same_person(finder(changed), joints)
            if (person := before["BlazePose"]) is not None:
                joints = change.of_joints(body_px(person), size_wh)
                pairs["known joints"] = known(body_px(person), photo, size), known(joints, changed, size)
            for name, (one, other) in pairs.items():
                off = None
                if other is not None:
                    ours, theirs = (
                        vertices(reconstructor, one, photo),
                        vertices(reconstructor, other, changed),
                    )
                    undone = theirs @ change.of_space  # its inverse is its transpose
                    undone = undone[other_side] if change.sides else undone
                    off = 1000 * float(np.linalg.norm(undone - ours, axis=1).mean())
                off_mm.setdefault((change.name, name), {})[path.stem] = off
    rows = [[*names, *summary(off_mm[names])] for names in sorted(off_mm, reverse=True)]
    columns = ["photo", "2D joints", "mean", "median", "least", "most", "found"]
    table(f"{model}: mean distance of vertices from those of the photo as it is, mm", columns, rows)
    write_json(json, {"model": model, "off_mm": {", ".join(names): off for names, off in off_mm.items()}})


def known(joints_px: np.ndarray, photo: np.ndarray, heatmap_size: int) -> Person2D:
    (person,) = Keypoints(joints_px, heatmap_size=heatmap_size)(photo)
    return person


def vertices(reconstructor: Reconstructor, person: Person2D, photo: np.ndarray) -> np.ndarray:
    (found,) = reconstructor.lift([person], (photo.shape[1], photo.shape[0]))
    return found.vertices


def summary(off_mm: dict[str, float | None]) -> list:
    """Mean, median, least and most, and in how many photos the person was found again."""
    found = [mm for mm in off_mm.values() if mm is not None]
    share = f"{len(found)} of {len(off_mm)}"
    if not found:
        return [None] * 4 + [share]
    return [*map(float, (np.mean(found), np.median(found), min(found), max(found))), share]


if __name__ == "__main__":
    tyro.cli(main)

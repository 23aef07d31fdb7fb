"""Made-up photographs for visitors who have none at hand."""

from functools import cache
from pathlib import Path
from threading import Lock

from mpt import demo
from mpt.export import write_picture
from mpt.scenes import Scene
from mpt.skeletons import COCO17, Skeleton

_DRAWING = Lock()


def gallery(folder: Path, skeleton: Skeleton = COCO17) -> list[tuple[Path, str]]:
    """The demo's photographs as files of a folder, with their names; some seconds, the first time."""
    with _DRAWING:
        folder.mkdir(exist_ok=True)
        scenes = _scenes(skeleton)
        pictures = [(folder / f"{scene.name}.png", scene.name.replace("-", " ")) for scene in scenes]
        for (path, _), scene in zip(pictures, scenes):
            if not path.exists():
                write_picture(path, scene.image)
    return pictures


@cache
def _scenes(skeleton: Skeleton) -> tuple[Scene, ...]:
    return tuple(demo.scenes(skeleton))

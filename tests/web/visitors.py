"""A page for tests: whoever stands in the picture is told by its first pixel, so that no network is needed.

As a program it serves that page: visitors.py MODEL PORT LIMITS, which are JSON.
"""

import io
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
from little_model import standing_joints
from PIL import Image

from mpt import checkpoint
from mpt.pose2d.base import Person2D
from mpt.pose2d.keypoints import Keypoints
from mpt.reconstructor import Reconstructor
from mpt.skeletons import HAND21
from mpt.web.examples import Gallery
from mpt.web.uploads import Limits

SIZE = (320, 240)
STEP = 40  # of the first pixel's red, from one person to the next


def picture(count: int, size_wh: tuple[int, int] = SIZE) -> np.ndarray:
    """In which so many people are."""
    pixels = np.full((size_wh[1], size_wh[0], 3), 128, np.uint8)
    pixels[:16, :16] = STEP * count + STEP // 2
    return pixels


class Counted:
    """People in a row, or hands."""

    def __init__(self, hands: bool = False, heatmap_size: int = 56) -> None:
        self.hands, self.heatmap_size = hands, heatmap_size

    def __call__(self, image: np.ndarray) -> list[Person2D]:
        count = int(image[4:8, 4:8].mean()) // STEP
        if self.hands:
            points = np.random.default_rng(0).uniform(60, 180, (count, 21, 2))
            points = np.concatenate([points, np.ones((count, 21, 1))], -1)
            return Keypoints(points, skeleton=HAND21, heatmap_size=self.heatmap_size)(image)
        size = image.shape[1], image.shape[0]
        places = [(1.1 * (k - (count - 1) / 2), 0, 5 + 0.3 * k) for k in range(count)]
        people = [standing_joints(at, 0.95 * size[0], size) for at in places]
        return Keypoints(np.reshape(people, (-1, 17, 3)), heatmap_size=self.heatmap_size)(image)


def reconstructor(model: str | Path) -> Reconstructor:
    loaded = checkpoint.load(model)
    hands = not loaded.skeleton.two_sided
    return Reconstructor(loaded, Counted(hands, loaded.transformer.config.heatmap_size))


class Quick(Gallery):
    """Two examples that take no time to draw, of four people and of five."""

    def _kept(self) -> list[tuple[str, bytes]]:
        return [(f"{count}-row-of-{count}.png", encoded(picture(count))) for count in (4, 5)]


def encoded(pixels: np.ndarray) -> bytes:
    """As a PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


if __name__ == "__main__":
    from mpt.web import examples
    from mpt.web.serving import serve

    examples.Gallery = Quick
    model, port, limits = sys.argv[1], int(sys.argv[2]), Limits(**json.loads(sys.argv[3]))
    serve(
        partial(reconstructor, model),
        "127.0.0.1",
        port,
        limits=limits,
        ready=lambda address: print(f"Open {address}", flush=True),
    )

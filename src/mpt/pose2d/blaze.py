"""What BlazePose and BlazePalm have in common: their settings, and regions that turn with who is in them."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from mpt import assets
from mpt.pose2d.base import Person2D
from mpt.pose2d.litert import Network
from mpt.skeletons import Skeleton


class Blaze:
    """A detector says where to look, and a landmark network looks there, and once more where it proposes.

    Attributes:
        search: "all", or "foreground" for those alone whom the whole photo shows.
        heatmap_size: side of the maps, pixels.
        num_threads: threads of each network.

    The networks are loaded, and at the very first time fetched, at the first call.
    """

    skeleton: ClassVar[Skeleton]
    assets: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        *,
        search: Literal["all", "foreground"] = "all",
        heatmap_size: int = 224,
        num_threads: int = 1,
    ) -> None:
        self.search = search
        self.heatmap_size = heatmap_size
        self.num_threads = num_threads

    def __call__(self, image: np.ndarray) -> list[Person2D]:
        """(H, W, 3) uint8 RGB -> people, or hands, the surest first.

        Raises:
            InputError: the network files are not there and cannot be fetched.
        """
        people = [one.person(self.heatmap_size) for one in self.find(image)]
        return sorted(people, key=lambda person: -person.score)

    def find(self, image: np.ndarray) -> Sequence:
        raise NotImplementedError

    def _network(self, asset: str, file: str) -> Network:
        return Network(assets.get(asset) / file, self.num_threads)


def direction(start: np.ndarray, end: np.ndarray) -> float:
    """The rotation of a region in which ``end`` is right above ``start``."""
    x, y = end - start
    return float(np.arctan2(x, -y))


def upright(points: np.ndarray, rotation: float) -> np.ndarray:
    """3D points (N, 3) in the axes of a region turned by ``rotation`` radians -> in the photo's."""
    c, s = np.cos(rotation), np.sin(rotation)
    return points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])

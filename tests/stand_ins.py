"""What stands in for a user's files, and for 2D networks that would have to be fetched."""

from pathlib import Path

import numpy as np
import pytest
from captured import captured
from people import write_person_bvh

from mpt.pose2d.finders import FINDERS
from mpt.pose2d.keypoints import Keypoints
from mpt.skeletons import Skeleton


def finds(patch: pytest.MonkeyPatch, name: str, joints_of: Skeleton, joints: np.ndarray) -> None:
    """Tell the 2D network of that name whom it finds: (people, J, 3) x, y in pixels and score."""

    class Known:
        skeleton = joints_of

        def __init__(self, *, heatmap_size: int = 224):
            self.known = Keypoints(joints, skeleton=joints_of, heatmap_size=heatmap_size)

        def __call__(self, image):
            return self.known(image)

    patch.setitem(FINDERS, name, Known)


def capture(folder: Path, *people: str) -> None:
    """Two seconds of each person's motion, as BVH below a folder of their own."""
    time = np.arange(60) / 30
    for number, person in enumerate(people):
        (folder / person).mkdir(parents=True)
        motion = captured(35 + 30 * np.sin(3 * time + number), 30 + 20 * np.sin(2 * time))
        write_person_bvh(folder / person / "walk.bvh", motion)

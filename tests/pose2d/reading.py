"""A detector's file, and who it says is in a photo."""

import json
from pathlib import Path

import numpy as np
import pytest
from pose2d.detections import SIZE

from mpt.pose2d.keypoints import read

IMAGE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(name="people_of")
def given_people_of(tmp_path):
    """What a file, called photo.json, gives for photo.png."""

    def of(content: object, photo: str = "photo.png", **options) -> list:
        return read(write(tmp_path / "photo.json", content)).of(photo, **options)(IMAGE)

    return of

"""Clips that a 2D network followed, kept in one file to learn from: a film's sightings.

FILE    safetensors: the tensors of Clips, all of one length; metadata: of which body, joints, network
"""

import os

from mpt.bodies import Body
from mpt.datasets import kept
from mpt.datasets.clips import Clips

FORMAT, WHAT, HOW = "mpt-clips-1", "clips", "mpt prepare sightings --frames 40"
HALVED = ("seen", "coarse", "joints")


def write(path: str | os.PathLike, clips: Clips, body: Body, about: dict[str, str]) -> None:
    """``about``: what else the file should say of itself, in words."""
    tensors = {name: value.half() if name in HALVED else value for name, value in clips._asdict().items()}
    kept.write(path, FORMAT, tensors, body, about)


def read(path: str | os.PathLike, body: Body, heatmap_size: int) -> Clips:
    """The clips of a file, to be learned from above a model of this body that reads maps of this size.

    Raises InputError for a file that holds none, or others than that.
    """
    clips = Clips._make(kept.read(path, FORMAT, Clips._fields, WHAT, HOW, body))
    kept.check_maps(path, clips.seen.shape[-1], heatmap_size, WHAT, HOW)
    return clips


def check_clips_output(path: str | os.PathLike, store: str | os.PathLike) -> None:
    """Refuse to write over anything but earlier clips, or where nothing can be written."""
    kept.check_kept_output(path, FORMAT, WHAT, store)

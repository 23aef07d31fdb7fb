"""Clips that a 2D network followed, kept in one file to learn from: a film's sightings.

FILE    safetensors: the tensors of Clips, all of one length; metadata: of which body, joints, network
"""

import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from mpt.bodies import Body
from mpt.datasets.clips import Clips
from mpt.errors import InputError
from mpt.writing import write_whole

FORMAT = "mpt-clips-1"
HALVED = ("seen", "coarse", "joints")
ADVICE = "choose another --out"


def write(path: str | os.PathLike, clips: Clips, body: Body, about: dict[str, str]) -> None:
    """``about``: what else the file should say of itself, in words."""
    own = {"format": FORMAT, "body": body.name, "body_hash": body.hash, "skeleton": body.skeleton.name}
    tensors = {
        name: (value.half() if name in HALVED else value).cpu().contiguous()
        for name, value in clips._asdict().items()
    }
    write_whole(path, save(tensors, about | own), ADVICE)


def read(path: str | os.PathLike, body: Body, heatmap_size: int) -> Clips:
    """The clips of a file, to be learned from above a model of this body that reads maps of this size.

    Raises InputError for a file that holds none, or others than that.
    """
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            if about.get("format") != FORMAT:
                raise ValueError(f"its format is {about.get('format', 'none')}, expected {FORMAT}")
            clips = Clips(*(file.get_tensor(name) for name in Clips._fields))
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(
            f"{path}: holds no clips that a 2D network followed ({error}); make them with `mpt prepare "
            "sightings --frames 40`"
        ) from None
    wanted = body.hash, body.skeleton.name, heatmap_size
    found = about.get("body_hash"), about.get("skeleton"), clips.seen.shape[-1]
    if found != wanted:
        raise InputError(
            f"{path}: its clips are of the body {about.get('body')} with the joints of {found[1]} and maps "
            f"of {found[2]} pixels, not of {body.name} with those of {wanted[1]} and maps of {wanted[2]}; "
            "make them again with `mpt prepare sightings --frames 40`"
        )
    return clips


def is_ours(path: Path) -> bool:
    """Whether a file holds clips, and may be written over."""
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (OSError, SafetensorError):
        return False

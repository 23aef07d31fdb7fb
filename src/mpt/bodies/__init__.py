"""Bodies: pose and shape -> vertices and joints."""

import os
from importlib import resources
from pathlib import Path

from mpt.bodies.body import Body, BodyOutput, read_body

__all__ = ["Body", "BodyOutput", "load", "located"]


def load(body: str | os.PathLike = "anny") -> Body:
    """The body of that name in the package, or of that file."""
    packaged = _packaged(body)
    return read_body(packaged if packaged.is_file() else body)


def located(body: str) -> str:
    """What to call that body in any folder: its name in the package, or the whole path of its file."""
    file = Path(body)
    return str(file.resolve()) if file.is_file() and not _packaged(body).is_file() else body


def _packaged(body: str | os.PathLike) -> Path:
    return Path(str(resources.files("mpt") / "data" / f"{body}.safetensors"))

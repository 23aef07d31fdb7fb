"""Bodies: pose and shape -> vertices and joints."""

import os
from importlib import resources
from pathlib import Path

from mpt.bodies.body import Body, BodyOutput, read_body

__all__ = ["Body", "BodyOutput", "load"]


def load(body: str | os.PathLike = "anny") -> Body:
    """The body of that name in the package, or of that file."""
    packaged = Path(str(resources.files("mpt") / "data" / f"{body}.safetensors"))
    return read_body(packaged if packaged.is_file() else body)

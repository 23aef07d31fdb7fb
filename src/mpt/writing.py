"""Files appear whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

from mpt.errors import InputError


def write_whole(path: str | os.PathLike, content: bytes, advice: str = "choose another place") -> None:
    """Write beside, then move: a reader sees the old file or the new one, never half of one.

    Missing folders are made. Raises InputError, ending with ``advice``, where nothing can be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        os.replace(beside, path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise InputError(f"{path}: cannot be written ({error.strerror}); {advice}") from error

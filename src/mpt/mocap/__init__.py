"""Motion capture files -> Motion."""

from pathlib import Path

from mpt.errors import InputError
from mpt.mocap.motion import Motion
from mpt.mocap.npz import Arrays, read_npz

__all__ = ["Motion", "find", "read"]


def read(path: str | Path, *, scale: float | None = None) -> Motion:
    """Read one motion file. Errors are one sentence that begins with the path."""
    path = Path(path)
    try:
        with Arrays(path) as arrays:
            return read_npz(path, arrays)
    except (InputError, OSError) as error:
        raise InputError(f"{path}: {error}") from error


def find(paths) -> list[Path]:
    """Motion files among ``paths``: files as given, folders walked, sorted."""
    found = []
    for path in map(Path, paths):
        found += sorted(path.rglob("*.npz")) if path.is_dir() else [path]
    return found

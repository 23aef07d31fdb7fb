"""Files appear whole or not at all, links stay links, and nobody else's file is written over."""

import errno
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from mpt.errors import InputError

HIDDEN = ".mpt-"
"""How the names of what is being written begin."""


def hidden_in(folder: Path) -> Path:
    """A new hidden name: short, for a file's own may be as long as names can be, and never the same twice."""
    return folder / f"{HIDDEN}{secrets.token_hex(4)}"


def write_whole(path: str | os.PathLike, content: bytes, advice: str = "choose another place") -> None:
    """Write beside, then move: a reader sees the old file or the new one, never half of one.

    Missing folders are made; where ``path`` is a link, the file that it leads to is written. Raises
    InputError, ending with ``advice``, where nothing can be written.
    """
    beside = None
    try:
        target = landing(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = hidden_in(target.parent)
        beside.write_bytes(content)
        os.replace(beside, target)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); {advice}") from error
    finally:
        if beside is not None:
            with suppress(OSError):
                beside.unlink()


def check_place(path: str | os.PathLike, advice: str = "choose another place") -> None:
    """Refuse, before long work, a path that :func:`write_whole` could not write; nothing is left behind.

    Tried in the nearest folder that is there, for those missing are made.
    """
    try:
        folder = landing(path).parent
        while not folder.exists():
            folder = folder.parent
        beside = hidden_in(folder)
        beside.touch()
        beside.unlink()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); {advice}") from error


def landing(path: str | os.PathLike) -> Path:
    """Where a file written to ``path`` lies, through all links. Raises OSError where no file can lie."""
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if target.exists() and not target.is_file():  # a device, or a pipe, in whose place no file should come
        raise OSError(errno.EINVAL, "it is no file")
    return target


def check_output(
    path: str | os.PathLike,
    what: str,
    is_ours: Callable[[Path], bool],
    *,
    inputs: Iterable[str | os.PathLike] = (),
) -> None:
    """Refuse to write over what is not an earlier file of the same kind, or is one of the inputs.

    what: the kind, as in "pose store". is_ours: whether an existing file is of it. An empty file may be
    written over, for nothing is lost with it.
    """
    path = Path(path)
    if source := same_as(path, identities(inputs)):
        raise InputError(f"{path} is one of the inputs ({source}), which would be lost: choose another --out")
    if path.is_dir():
        raise InputError(f"{path}: it is a folder, a file to write the {what} to was expected")
    try:
        if not path.exists() or (path.is_file() and (path.stat().st_size == 0 or is_ours(path))):
            return
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); choose another --out"
        ) from error
    raise InputError(
        f"{path} is there already and is no {what} of mpt's: move it away, or choose another --out"
    )


Identities = Mapping[tuple[int, int], Path]
"""What the system knows a file by, under whatever name -> a name of it."""


def identities(paths: Iterable[str | os.PathLike]) -> Identities:
    """Those of the files that are there."""
    found = {}
    for path in map(Path, paths):
        with suppress(OSError, ValueError):
            status = path.stat()
            found.setdefault((status.st_dev, status.st_ino), path)
    return found


def same_as(path: Path, others: Identities) -> Path | None:
    """The one of the others that is the same file."""
    return next((others[one] for one in identities([path]) if one in others), None)


def begins_with(*heads: bytes) -> Callable[[Path], bool]:
    """Whether a file begins with one of these bytes."""

    def begins(path: Path) -> bool:
        with path.open("rb") as file:
            return file.read(max(map(len, heads))).startswith(heads)

    return begins

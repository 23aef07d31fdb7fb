"""Folders of results: their names, which of their files are ours, and how these take earlier ones' places.

An earlier result is replaced file by file; whatever else lies in its folder is the user's, and stays.
"""

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mpt.errors import InputError
from mpt.writing import HIDDEN, Identities, hidden_in, same_as

RESULT = "result.json"
OVERLAY, OVERLAY_FILM = "overlay.png", "overlay.mp4"
EVERYBODY = "everybody.glb"
MESH = re.compile(r"person\d+\.(glb|obj|ply|npz|bvh|fbx|trc|c3d|csv)")
OF_FILM = re.compile(r"person\d+((-\d+)?\.(npz|glb|bvh|fbx|trc|c3d|csv)|-character\.(glb|vrm|gltf))")
NAME_BYTES = 255  # of a file or folder, at most


def folder_names(photos: Sequence[Path], taken: Iterable[str] = ()) -> list[str]:
    """Each photo's folder, no two the same, nor one that is ``taken``: its stem, or its whole name where two
    stems are equal, with its folder's name before it where two names are.
    """
    spellings = [(photo.stem, photo.name, f"{photo.absolute().parent.name}-{photo.name}") for photo in photos]
    counts = [Counter(name.casefold() for name in names) for names in zip(*spellings)]
    others = {name.casefold() for name in taken}

    def fits(name: str) -> bool:
        short = len(os.fsencode(name)) <= NAME_BYTES
        return bool(name.strip(".")) and short and name.casefold() not in others  # "..": of "...jpg"

    names, used = [], set(others)
    for own in spellings:
        alone = (name for name, count in zip(own, counts) if count[name.casefold()] == 1 and fits(name))
        wanted = name = next(alone, own[1])
        number = 1
        while name.casefold() in used:  # a photo that is named twice
            number += 1
            name = _ending_in(wanted, f"-{number}")
        used.add(name.casefold())
        names.append(name)
    return names


def _ending_in(name: str, end: str) -> str:
    """The name with something behind it, and its last letters left out where it would be too long."""
    while len(os.fsencode(name + end)) > NAME_BYTES:
        name = name[:-1]
    return name + end


@contextmanager
def replacing(folder: Path, inputs: Identities | None = None) -> Iterator[Path]:
    """An empty folder to fill, whose files take the place of an earlier result's in ``folder`` when the block
    ends without an error, result.json last; else nothing changes there. What a program that was killed while
    files took their places has left is known by the result.json that it had still to move.

    Only what the earlier result.json names is written over or removed, and none of the ``inputs``. The folder
    itself is never moved, so that it may be a link.

    Raises:
        InputError: nothing can be written there, what lies there is not an earlier result, or a file that is
            no part of it lies where a new one should.
    """
    try:
        place = Path(os.path.realpath(folder))
        missing = [above for above in (place, *place.parents) if not above.exists()]
        earlier, halfway = ([], []) if missing else (_files_of(place), _halfway(place))
        unfinished, moving = hidden_in(place), False
        try:
            unfinished.mkdir(parents=True)
            yield unfinished
            new = os.listdir(unfinished)
            _check_free(folder, new, earlier, inputs or {})
            old = [name for name in set(earlier) - set(new) if not same_as(place / name, inputs or {})]
            moving = True
            try:
                _move(unfinished, place, old)
            except KeyboardInterrupt:
                _move(unfinished, place, old)
                raise
            finally:
                moving = (unfinished / RESULT).exists()
            for left in halfway:
                shutil.rmtree(left, ignore_errors=True)
        finally:
            if not moving:
                shutil.rmtree(unfinished, ignore_errors=True)
            for above in missing:  # that were made here, and have stayed empty
                with suppress(OSError):
                    above.rmdir()
    except _NoResultError:
        raise InputError(
            f"{folder} is there already and is no result of mpt's: move it away, or choose another --out"
        ) from None
    except OSError as error:
        raise InputError(
            f"{folder}: nothing can be written there ({error.strerror or error}); choose another --out"
        ) from error


def _move(unfinished: Path, place: Path, old: Sequence[str]) -> None:
    """What is left to move, then away with the old files, result.json last. Killed at any moment, it leaves
    a result.json that names every file there.
    """
    for name in sorted(os.listdir(unfinished), key=lambda name: name == RESULT):
        if name == RESULT:
            _remove(place, old)
        os.replace(unfinished / name, place / name)
    _remove(place, old)


def _remove(place: Path, old: Sequence[str]) -> None:
    for name in old:
        (place / name).unlink(missing_ok=True)


def is_result(folder: Path) -> bool:
    """Whether a folder holds a result of mpt's, or what a program that was killed has left of one."""
    try:
        return bool(_halfway(folder) or _files_of(folder))
    except (_NoResultError, OSError):
        return False


def whole(folder: Path) -> dict | None:
    """What result.json says where every file that it names is there and none was being replaced, of a film
    to its end; else None.
    """
    try:
        result, names = _read(folder / RESULT)
        complete = result.get("complete", True) and not _halfway(folder)
        return result if complete and all((folder / name).stat().st_size for name in names) else None
    except (_NoResultError, OSError):
        return None


def sweep_unmoved(folder: Path) -> None:
    """Remove what programs that were killed while they wrote have left in a folder of results; what they were
    moving is the next one's to replace.
    """
    with suppress(OSError):
        for name in set(os.listdir(folder)) - {left.name for left in _halfway(folder)}:
            if name.startswith(HIDDEN):
                if _is_plain_file(folder / name):
                    (folder / name).unlink()
                shutil.rmtree(folder / name, ignore_errors=True)


class _NoResultError(Exception):
    pass


def _files_of(folder: Path) -> list[str]:
    """The files that a folder's result.json names, and are there; none in an empty folder.

    Raises _NoResultError where it holds other things, and no result.json of ours.
    """
    if not folder.is_dir():
        raise _NoResultError
    if all(name.startswith(HIDDEN) for name in os.listdir(folder)):
        return []
    halfway = [left / RESULT for left in _halfway(folder)]
    own = [folder / RESULT] if (folder / RESULT).exists() or not halfway else []
    names = dict.fromkeys(name for result in (*own, *halfway) for name in _read(result)[1])
    return [name for name in names if _is_plain_file(folder / name)]


def _halfway(folder: Path) -> list[Path]:
    """What was left by programs that were killed while files took their places."""
    hidden = (folder / name for name in os.listdir(folder) if name.startswith(HIDDEN))
    return [left for left in hidden if _is_ours(left / RESULT)]


def _is_ours(path: Path) -> bool:
    try:
        return bool(_read(path))
    except _NoResultError:  # nothing was moved before it was whole
        return False


def _read(path: Path) -> tuple[dict, list[str]]:
    """A result.json of ours, and the names of all files that belong to it. Raises _NoResultError."""
    try:
        result = json.loads(path.read_bytes())
        if "film" in result:
            return result, _files_of_film(result)
        meshes = [name for person in result["people"] for name in person["meshes"].values()]
        if not {"image", "model", "seconds"} <= result.keys() or not all(map(MESH.fullmatch, meshes)):
            raise _NoResultError
        meshes += [EVERYBODY] * (result.get("everybody") == EVERYBODY)
        drawn = [OVERLAY] if result.get("overlay", OVERLAY) == OVERLAY else []
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise _NoResultError from None
    return result, list(dict.fromkeys([*drawn, RESULT, *meshes]))


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _files_of_film(result: dict) -> list[str]:
    """The same of a film's result.json. Raises as that does where it is none of ours."""
    files = [person["files"] for person in result["people"]]
    names = [name for one in files for kind, name in one.items() if kind != "further"]
    names += [name for one in files for name in one.get("further", ())]
    if not {"model", "fps", "frames"} <= result.keys() or not all(map(OF_FILM.fullmatch, names)):
        raise _NoResultError
    names += [EVERYBODY] * (result.get("everybody") == EVERYBODY)
    drawn = [OVERLAY_FILM] if result.get("overlay") == OVERLAY_FILM else []
    return list(dict.fromkeys([*drawn, RESULT, *names]))


def _check_free(folder: Path, new: Sequence[str], earlier: Sequence[str], inputs: Identities) -> None:
    for path in (folder / name for name in new):
        if source := same_as(path, inputs):
            raise InputError(
                f"{path} is one of the inputs ({source}), which would be lost: choose another --out"
            )
        if os.path.lexists(path) and path.name not in earlier:
            raise InputError(
                f"{path} is there already and is no part of an earlier result: move it away, or choose "
                "another --out"
            )

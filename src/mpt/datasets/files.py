"""Reading annotation files so that a user is told what is wrong with them, and finding the photos."""

import hashlib
import json
import os
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mpt.assets import cache_dir
from mpt.datasets.sample import Samples, Subset
from mpt.errors import InputError
from mpt.json_files import read_json as read_json_file
from mpt.writing import hidden_in

T = TypeVar("T")

NAMED = 3  # missing photos named in a message; the others are counted
SLOW_BYTES = 30_000_000  # of JSON: a second of parsing, and a gigabyte of memory for each ten
LARGEST = np.finfo(np.float32).max
MAX_PX = 1e7  # of a focal length or a principal point
ARRAYS_VERSION = 2  # of what readers make of their JSON


class AbsentError(InputError):
    """A split that is not there at all, as opposed to one that is broken or has gaps."""


def first_of(folder: Path, *names: str, what: str) -> Path:
    """The first of some relative paths that exists in a folder."""
    if not folder.is_dir():
        raise AbsentError(f"{folder}: no such folder; give the folder that holds {what}")
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise AbsentError(f"{folder}: has no {' or '.join(names)}; {what} should lie there")


def one_of(split: str, splits: dict[str, Any], dataset: str) -> Any:
    """What a split stands for in a data set."""
    if split not in splits:
        raise InputError(f"{dataset} has no split {split!r}; choose one of {', '.join(splits)}")
    return splits[split]


def read_json(path: Path) -> Any:
    try:
        return read_json_file(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no whole JSON file ({error}); download it again") from None


def read_npz(path: Path, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Arrays of an .npz file by name; nothing is ever unpickled."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if missing := [key for key in required if key not in file.files]:
                raise InputError(
                    f"{path}: lacks {', '.join(missing)} (it has {', '.join(file.files)}); "
                    "make it with the preprocessing that its data set's reader names"
                )
            return {key: file[key] for key in (*required, *optional) if key in file.files}
    except OSError as error:
        raise _unreadable(path, error) from None
    except InputError:
        raise
    except Exception as error:  # a damaged archive makes numpy raise anything at all
        raise InputError(
            f"{path}: is no whole .npz file of plain arrays ({_reason(error)}); make it again"
        ) from None


def read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except OSError as error:
        raise _unreadable(path, error) from None
    except Exception as error:  # ... and so does a damaged array
        raise InputError(
            f"{path}: is no whole .npy file of numbers ({_reason(error)}); download it again"
        ) from None


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be read ({_reason(error)}); put the annotation file there")


def _reason(error: Exception) -> str:
    """What an error says, in a line: some say nothing, or show the file."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return said.splitlines()[0][:120]


def parsed(parse: Callable[[], dict[str, np.ndarray]], *paths: Path) -> dict[str, np.ndarray]:
    """The arrays that ``parse`` makes of JSON files; those of large files are kept in the user's cache.

    So a file of gigabytes is parsed once, not by every process of every run; a changed one is parsed again.
    Where the cache cannot be written, nothing is kept.
    """
    stats = [path.stat() for path in paths if path.exists()]
    if sum(stat.st_size for stat in stats) < SLOW_BYTES:
        return parse()
    places = [str(path.resolve()) for path in paths]
    about = [ARRAYS_VERSION, places, [(stat.st_size, stat.st_mtime_ns) for stat in stats]]
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
    try:
        kept = cache_dir() / "datasets" / f"{paths[0].stem[:100]}-{key}.npz"
    except InputError:  # there is no place for a cache
        return parse()
    with suppress(OSError, ValueError, zipfile.BadZipFile), np.load(kept, allow_pickle=False) as file:
        return dict(file)
    arrays = parse()
    beside = hidden_in(kept.parent).with_suffix(".npz")
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        try:
            np.savez(beside, **arrays)
            os.replace(beside, kept)
        finally:
            beside.unlink(missing_ok=True)
    return arrays


def field(path: Path, make: Callable[[], T], what: str) -> T:
    """Part of a parsed file; a key or a shape that is not as it should be is the file's fault."""
    try:
        return make()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path}: its {what} is not as expected ({type(error).__name__}: {error}); download it again"
        ) from None


def with_shape(path: Path, name: str, array: np.ndarray, *shape: int | None) -> np.ndarray:
    """The array, if it has this shape (None: any size)."""
    fits = array.ndim == len(shape) and all(want in (None, came) for want, came in zip(shape, array.shape))
    if not fits or array.dtype.kind not in "iufb":
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise InputError(
            f"{path}: its {name} is {array.dtype} of shape {array.shape}, numbers of shape ({expected}) were "
            "expected; download or make it again"
        )
    return array


def finite(
    path: Path, name: str, values: np.ndarray, known: np.ndarray, *, strict: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Values (..., D) and whether they are known (...), with those unknown that are no finite numbers.

    Such values are counted in a warning; ``strict``, or a file that has no others, raises InputError.
    """
    sound = (np.abs(values) <= LARGEST).all(-1)  # NaN is not, nor what is infinite in float32
    bad = known & ~sound
    if bad.any():
        first = np.argwhere(bad)[0][0]
        count = f"{bad.sum():,} of {known.sum():,} {name} are not finite numbers, the first in row {first}"
        if strict or not (known & sound).any():
            raise InputError(f"{path}: {count}; make or download the file again")
        warnings.warn(f"{path}: {count}; they count as unknown", stacklevel=3)
    return np.where(sound[..., None], values, 0), known & sound


def sound(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """The values (N, ...), if all are finite numbers: what a whole file's people depend on."""
    bad = ~(np.abs(values) <= LARGEST).all(tuple(range(1, values.ndim)))
    if bad.any():
        raise InputError(
            f"{path}: its {name} holds numbers that are not finite, the first in row {bad.argmax()}; make or "
            "download the file again"
        )
    return values


def pinholes(path: Path, name: str, matrices: np.ndarray) -> np.ndarray:
    """The matrices (..., 3, 3), if all are those of pinhole cameras, in pixels."""
    sound(path, name, matrices.reshape(-1, 9))
    focal, last = matrices[..., [0, 1], [0, 1]], matrices[..., 2, :]
    if not ((last == [0, 0, 1]).all() and (focal > 0).all() and (np.abs(matrices) < MAX_PX).all()):
        raise InputError(f"{path}: its {name} are no pinhole cameras' in pixels; download it again")
    return matrices


def missing_images(samples: Samples) -> tuple[np.ndarray, list[str]]:
    """Which samples (N,) bool have no photo, and the photos that are missing, each once.

    Folders are listed once instead of asking for each file.
    """
    places = [os.path.split(samples.image(index)) for index in range(len(samples))]
    folders = {folder for folder, _ in places}
    names = {folder: set(os.listdir(folder)) if os.path.isdir(folder) else set() for folder in folders}
    absent = np.array([name not in names[folder] for folder, name in places], dtype=bool)
    return absent, sorted({os.path.join(*places[index]) for index in np.flatnonzero(absent)})


def with_images(samples: Samples, source: Path, *, strict: bool, placed: np.ndarray | None = None) -> Samples:
    """The samples whose photo exists. The others are named and counted; ``strict`` refuses them.

    placed: (N,) which have a place in their photo: finite numbers. The others are treated alike.

    Raises InputError where no sample or no photo at all is there.
    """
    if placed is not None and not placed.all():
        count = f"{(~placed).sum():,} of {len(samples):,} samples have no box of finite numbers, the first "
        count += f"on {samples.image(int(np.argmin(placed)))}"
        if strict or not placed.any():
            raise InputError(f"{source}: {count}; make or download the file again")
        warnings.warn(f"{source}: {count}; left out", stacklevel=3)
        samples = Subset(samples, np.flatnonzero(placed))
    if not len(samples):
        raise InputError(f"{source}: holds no samples; download or make it again")
    absent, missing = missing_images(samples)
    if not missing:
        return samples
    named = ", ".join(missing[:NAMED])
    more = f" and {len(missing) - NAMED:,} more" if len(missing) > NAMED else ""
    count = f"photos missing: {len(missing):,} ({named}{more})"
    if strict or absent.all():
        raise InputError(f"{source}: {count}; put them there")
    warnings.warn(f"{source}: {count}; {absent.sum():,} of {len(samples):,} samples left out", stacklevel=3)
    return Subset(samples, np.flatnonzero(~absent))

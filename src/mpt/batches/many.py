"""Photos -> what is in each, in Python."""

import os
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from mpt.errors import InputError
from mpt.reconstruction import Result
from mpt.reconstructor import Reconstructor

if TYPE_CHECKING:
    from mpt.images import Photo


@overload
def reconstruct(  # pyright: ignore[reportOverlappingOverload] - an array may be one or many
    photos: "Photo",
    *,
    model: str | os.PathLike | Reconstructor = "mpt-small",
    device: str = "auto",
    recursive: bool = False,
    **options: Any,
) -> Result: ...


@overload
def reconstruct(
    photos: "Iterable[Photo]",
    *,
    model: str | os.PathLike | Reconstructor = "mpt-small",
    device: str = "auto",
    recursive: bool = False,
    **options: Any,
) -> list[Result]: ...


def reconstruct(
    photos: Any,
    *,
    model: str | os.PathLike | Reconstructor = "mpt-small",
    device: str = "auto",
    recursive: bool = False,
    **options: Any,
) -> Result | list[Result]:
    """Everybody in a photo, or in each of many.

    >>> people = mpt.reconstruct("photo.jpg")
    >>> people.save("results")
    >>> results = mpt.reconstruct(["one.jpg", "two.jpg"])

    photos: one as :class:`mpt.Reconstructor` takes it (a path, bytes, an open file, a PIL image, an RGB array
        (H, W, 3), a tensor (3, H, W)); or many: a folder, a list of these or whatever else they come out of,
        an array (N, H, W, 3), a tensor (N, 3, H, W).
    model: by name, its file or its run folder; or what ``mpt.load`` gives.
    device: as ``mpt.load`` takes it.
    recursive: a folder with all its subfolders.
    options: ``focal_px``, ``focal_mm``, ``fov_deg``, ``principal_px`` and ``pose`` of ``mpt.Reconstructor``,
        the same for all.

    Returns a :class:`mpt.Result` for one photo, and a list of them for many (a folder, too, though type
    checkers take its path for a photo's): of a photo that is refused one without people, which tells why as
    ``error``, beside a warning.

    Raises InputError where one photo alone, or the folder, cannot be read; a model, a device or an option
    that cannot be used.
    """
    many = _each(photos, recursive)
    reconstructor = model if isinstance(model, Reconstructor) else _loaded(os.fspath(model), device)
    if many is None:
        return reconstructor(photos, **options)
    return [_one(reconstructor, photo, options) for photo in many]


def _one(reconstructor: Reconstructor, photo: "Photo", options: dict[str, Any]) -> Result:
    try:
        return reconstructor(photo, **options)
    except InputError as error:
        warnings.warn(f"{error}", stacklevel=4)
        return Result(photo=photo, model=reconstructor.model.name, error=str(error))


def _each(photos: Any, recursive: bool) -> Iterator[Any] | None:
    """The photos, where they are many; None of one alone. Raises InputError for a folder without photos."""
    if isinstance(photos, str | os.PathLike):
        path = Path(photos)
        return _in_folder(path, recursive) if path.is_dir() else None
    if isinstance(photos, bytes | bytearray | memoryview) or callable(getattr(photos, "read", None)):
        return None
    if hasattr(photos, "ndim"):  # an array or a tensor
        return iter(photos) if photos.ndim == 4 else None
    return iter(photos) if isinstance(photos, Iterable) else None


def _in_folder(path: Path, recursive: bool) -> Iterator[Path]:
    from mpt.batches.folders import PhotoFolder
    from mpt.films.opening import is_film

    folder = PhotoFolder(path, recursive=recursive, folders="photos")
    folder.check()
    return (item.path for item in folder if not is_film(item.path))


def _loaded(model: str, device: str) -> Reconstructor:
    """A model of the package is kept; others' files may change."""
    from mpt.recipes.networks import reconstructor

    return reconstructor(model, device=device) if os.path.exists(model) else _kept(model, device)


@lru_cache(2)
def _kept(model: str, device: str) -> Reconstructor:
    from mpt.recipes.networks import reconstructor

    return reconstructor(model, device=device)

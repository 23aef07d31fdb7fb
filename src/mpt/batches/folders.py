"""A folder -> the photos and films in it, and where the results of each go.

Nothing is held but the names in one folder at a time, for there may be millions below.
"""

import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import ExifTags, Image

from mpt.errors import InputError
from mpt.films.numbered import PICTURES
from mpt.films.opening import FILMS, is_film
from mpt.images import HEAD, RAW, film_by_content, picture_by_content, read_picture
from mpt.result_folders import folder_names, is_result

Folders = Literal["auto", "photos", "film"]

MORE_PICTURES = {".avif", ".dib", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jxl"} | RAW
"""Further endings of pictures; those that cannot be read are refused one by one, and say so."""
SUMMARY = "summary.csv"
NEIGHBOURS = 6  # pairs of pictures that are compared
ALIKE = 0.6  # of how much a picture's brightness varies, at most, does the next one of a film differ


@dataclass(frozen=True)
class Item:
    """A photo, or a film, and the folder of its results below the --out folder."""

    path: Path
    place: Path
    film: bool | None = None
    """None where nobody has looked."""
    refused: InputError | None = None
    """Why it cannot be looked into, of a folder."""


@dataclass(frozen=True)
class PhotoFolder:
    """The photos and films in a folder, by name; iterating begins again each time.

    Results keep the structure of the subfolders. Passed over are hidden files, what is neither picture nor
    film, and folders of mpt's own results. A subfolder of a film's numbered pictures is one film.

    Attributes:
        path: the folder.
        place: what its results lie in, below the --out folder.
        recursive: whether its subfolders are gone through as well, and links to folders.
        folders: what numbered pictures are taken for; see :func:`numbered_as`.
    """

    path: Path
    place: Path = Path()
    recursive: bool = False
    folders: Folders = "auto"
    _told: set[Path] = field(default_factory=set, compare=False, repr=False)

    def __iter__(self) -> Iterator[Item]:
        yield from self._within(self.path, self.place, ())

    def _within(self, folder: Path, place: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Item]:
        try:
            files, below = _contents(folder)
        except InputError as error:
            yield Item(folder, place, refused=error)
            return
        films = [path for path in below if self.recursive and self._is_film(path)]
        taken = {path.name for path in below} - {path.name for path in films} | {SUMMARY}
        for path, name in zip(files, folder_names(files, taken)):
            yield Item(path, place / name)
        for path in films:
            yield Item(path, place / _free_name(path.name, files), film=True)
        if not self.recursive:
            return
        status = folder.stat()
        above = (*above, (status.st_dev, status.st_ino))
        for path in below:
            status = path.stat()
            if path not in films and (status.st_dev, status.st_ino) not in above:  # a link that leads back
                yield from self._within(path, place / path.name, above)

    def _is_film(self, folder: Path) -> bool:
        film, why_not = numbered_as(folder, self.folders)
        if why_not is not None and folder not in self._told:
            self._told.add(folder)
            warnings.warn(
                f"{folder}: its numbered pictures are taken for photos, for {why_not}; --folders film takes "
                "them for a film's frames",
                stacklevel=2,
            )
        return film

    def check(self) -> None:
        """Raises InputError where there is neither photo nor film; notes say what is left out, and what
        numbered pictures are taken for.
        """
        self._is_film(self.path)
        if next(iter(self), None) is None:
            below = not self.recursive and bool(_contents(self.path)[1])
            advice = "--recursive looks into its subfolders" if below else "name one that holds some"
            raise InputError(f"{self.path} is a folder without photos or films: {advice}")
        if not self.recursive and (below := _contents(self.path)[1]):
            count = "1 subfolder is" if len(below) == 1 else f"{len(below):,} subfolders are"
            warnings.warn(
                f"{self.path}: {count} left out ({below[0].name}); --recursive takes them as well",
                stacklevel=2,
            )


def _free_name(name: str, files: list[Path]) -> str:
    """A film's folder is called as it is, which no photo's is beside it."""
    own = {file.stem.casefold() for file in files} | {file.name.casefold() for file in files}
    while name.casefold() in own:
        name += "-film"
    return name


def _contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures and films, and the subfolders that hold no result; by name."""
    files, below = [], []
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise InputError(
            f"{folder} cannot be looked into ({error.strerror or error}): change its permissions"
        ) from None
    for name in names:
        path = folder / name
        if name.startswith("."):
            continue
        if path.is_dir():
            if not is_result(path):
                below.append(path)
        elif _is_picture_or_film(path):
            files.append(path)
    return files, below


def _is_picture_or_film(path: Path) -> bool:
    """By its ending; what has none that says anything, by its first bytes."""
    ending = path.suffix.lower()
    if ending in PICTURES | MORE_PICTURES | FILMS:
        return True
    if re.fullmatch(r"\.[a-z]{2,}\w*", ending) or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return False
    return picture_by_content(head) or film_by_content(head)


# --------------------------------------------------------------------------- numbered: photos, or a film?


def numbered_as(folder: Path, folders: Folders = "auto") -> tuple[bool, str | None]:
    """Whether the pictures of a folder are a film's frames, and why not, where they are called as such.

    They are where they are called alike but for their numbers, these go up by equal steps, all are of one
    size and none of a camera that took photos, and each is like the next, but not the same. ``folders``
    "photos": never; "film": wherever they are called so.
    """
    if folders == "photos" or not is_film(folder):
        return False, None
    reason = None if folders == "film" else _no_film_because(_numbered(folder))
    return reason is None, reason


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    """The pictures of a folder and the last number of their names, in its order."""
    pictures = (path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    visible = (path for path in pictures if not path.name.startswith("."))
    return sorted((int(re.findall(r"\d+", path.stem)[-1]), path) for path in visible)


def _no_film_because(pictures: list[tuple[int, Path]]) -> str | None:
    numbers, paths = zip(*pictures)
    if len(set(np.diff(numbers).tolist())) > 1:
        return "their numbers have gaps"
    first = np.unique(np.linspace(0, len(paths) - 2, NEIGHBOURS).astype(int))
    compared = [(paths[at], paths[at + 1]) for at in first]
    try:
        heads = [_head(path) for path in {path for pair in compared for path in pair}]
        differences = [_difference(*pair) for pair in compared]
    except InputError:  # which is said when it is its turn
        return None
    if any(taken for _, taken in heads):
        return "a camera took them one by one"
    if len({size for size, _ in heads}) > 1:
        return "they are of several sizes"
    if max(differences) == 0:
        return "all show the same"
    if np.median(differences) > ALIKE:
        return "each is unlike the next"
    return None


def _head(path: Path) -> tuple[tuple[int, int], bool]:
    """A picture's size in the file, and whether a camera says when it took it."""
    try:
        with Image.open(path) as picture:
            exif = picture.getexif()
            taken = ExifTags.Base.DateTimeOriginal in exif.get_ifd(ExifTags.IFD.Exif)
            return picture.size, taken or ExifTags.Base.Make in exif
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path} is no picture ({error})") from None


def _difference(path: Path, following: Path) -> float:
    """How unlike two pictures are, seen small: the mean difference, as a share of how much they vary."""
    small = [
        cv2.resize(read_picture(one).pixels, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
        for one in (path, following)
    ]
    return float(np.abs(small[0] - small[1]).mean() / max(np.std(small), 1.0))

"""What visitors give, how much of it is taken, and where answers are kept."""

import glob
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from PIL import Image

from mpt.errors import InputError
from mpt.images import HEAD, film_by_content, picture_by_content
from mpt.writing import write_whole

KEPT = 32  # answers whose files are still there
NAME_LETTERS = 60
VARIANTS = 8  # of one file, that are kept
MEGABYTE = 2**20  # as browsers count


@dataclass(frozen=True)
class Limits:
    """What the page takes.

    Attributes:
        megabytes: of a file, at most.
        seconds: of a film, of which more is left out.
        megapixels: of a photo, or of a film's frame.
        queue: visitors who wait, at most.
    """

    megabytes: float = 200
    seconds: float = 60
    megapixels: float = 50
    queue: int = 20

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise InputError(f"--most-{name} is {value:g}: give a number above 0")


USUAL = Limits()


@dataclass(frozen=True)
class Upload:
    """A visitor's file, and what they call it."""

    path: Path
    name: str

    @property
    def stem(self) -> str:
        """The name that downloads get: letters, digits, dots and dashes."""
        stem = Path(re.split(r"[\\/]", self.name)[-1]).stem
        return re.sub(r"[^\w.-]+", "-", stem).strip(".-")[:NAME_LETTERS] or "upload"

    @property
    def shown(self) -> str:
        """The visitor's name for it, without folders, and as a page can show it."""
        return re.sub(r"[<>&\x00-\x1f]", "", re.split(r"[\\/]", self.name)[-1])[:120] or "the file"

    def in_words(self, sentence: str) -> str:
        """A sentence about the file by the visitor's name for it, and not by its place here."""
        return sentence.replace(str(self.path), self.shown).replace(str(self.path.resolve()), self.shown)


def check_photo(upload: Upload, limits: Limits) -> None:
    """Raises InputError for more bytes, or by its header more pixels, than are taken. What is no picture is
    refused where it is read.
    """
    _check_bytes(upload, limits)
    try:
        with Image.open(upload.path) as picture:
            width, height = picture.size
    except Exception:  # of any kind, where the header is damaged
        return
    check_pixels(upload, (width, height), limits)


def check_film(upload: Upload, limits: Limits) -> None:
    """Raises InputError for more bytes than are taken, and for what is no film by its first bytes: playlists
    and the like name other files.
    """
    _check_bytes(upload, limits)
    with upload.path.open("rb") as file:
        head = file.read(HEAD)
    if picture_by_content(head):
        raise InputError(f"{upload.path} is a picture, and a film was expected: give it under Photo")
    if not film_by_content(head):
        raise InputError(
            f"{upload.path} is no film that can be read: give an MP4, MOV, MKV, WebM or AVI file that plays "
            "elsewhere"
        )


def check_pixels(upload: Upload, size_wh: tuple[int, int], limits: Limits) -> None:
    width, height = size_wh
    if width * height > limits.megapixels * 1e6:
        raise InputError(
            f"{upload.path} has {width} x {height} pixels, {width * height / 1e6:.0f} megapixels, and this "
            f"page takes {limits.megapixels:g} at most: give a smaller copy of it"
        )


def _check_bytes(upload: Upload, limits: Limits) -> None:
    size = upload.path.stat().st_size
    if size > limits.megabytes * MEGABYTE:
        raise InputError(
            f"{upload.path} has {size / MEGABYTE:.0f} MB, and this page takes {limits.megabytes:g} at most: "
            "give a smaller or shorter copy of it"
        )


class Shelf:
    """Answers and their folders, under names that nobody guesses, of which the newest are kept."""

    def __init__(self, folder: Path, kept: int = KEPT) -> None:
        self._folder, self._kept, self._lock = folder, kept, Lock()
        self._held: dict[Path, Any] = {}

    def new(self) -> Path:
        """The place of a folder that is still to be made."""
        place = self._folder / secrets.token_hex(16)
        with self._lock:
            self._held[place] = None
            over = list(self._held)[: -self._kept]
            for old in over:
                del self._held[old]
        for old in over:
            shutil.rmtree(old, ignore_errors=True)
        return place

    def keep(self, place: Path, answer: Any) -> None:
        """An answer beside its folder, for as long as that is kept."""
        with self._lock:
            if place in self._held:
                self._held[place] = answer

    def answer(self, place: Path | None) -> Any:
        """None where there is none any more."""
        return self._held.get(place)  # pyright: ignore[reportArgumentType]


def named_after(folder: Path, stem: str) -> list[Path]:
    """Put a stem before the names of a folder's files, in its result.json as well; the files, by name."""
    names = {path.name: f"{stem}-{path.name}" for path in sorted(folder.iterdir())}

    def renamed(told: Any) -> Any:
        match told:
            case dict():
                return {key: renamed(value) for key, value in told.items()}
            case list():
                return [renamed(value) for value in told]
            case str():
                return names.get(told, told)
        return told

    result = folder / "result.json"
    told = json.loads(result.read_bytes())
    subject = "film" if "film" in told else "image"
    told = renamed(told) | {subject: told[subject]}
    result.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return [(folder / name).rename(folder / new) for name, new in names.items()]


def some_of(whole: Path, numbers: Collection[int], count: int) -> Path | None:
    """A GLB of ``count`` people with only these shown, beside it; the rest of the file is the same. None
    where nobody is.
    """
    shown = sorted(set(numbers) & set(range(count)))
    if len(shown) == count or not shown:
        return whole if shown else None
    path = variant(whole, map(str, shown))
    if not path.exists():
        from mpt.rigs.gltf import without

        hidden = {f"person{number}" for number in range(count)} - {f"person{number}" for number in shown}
        write_whole(path, without(whole.read_bytes(), hidden | {f"{name} skin" for name in hidden}))
    return path


def kept_copy(path: Path, place: Path) -> Path:
    """The same file at another place, whatever becomes of the first."""
    try:
        os.link(path, place)
    except OSError:
        shutil.copyfile(path, place)
    return place


def variant(path: Path, marks: Iterable[str]) -> Path:
    """The place of a file that is another one with changes, beside it; of earlier ones the newest stay."""
    place = path.with_stem(f"{path.stem}-{'-'.join(['of', *marks])}")
    if not place.exists():
        others = path.parent.glob(f"{glob.escape(path.stem)}-of-*{path.suffix}")
        for old in sorted(others, key=lambda other: other.stat().st_mtime)[: 1 - VARIANTS]:
            old.unlink(missing_ok=True)
    return place

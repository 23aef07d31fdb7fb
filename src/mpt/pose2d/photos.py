"""Which photo a detector's file means: by as much of the path as it gives, by name, by stem, by number."""

import os
import re
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

from mpt.errors import InputError

PICTURES = ("jpg", "jpeg", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "ppm")
SUFFIX = re.compile(rf"\.(?:{'|'.join(PICTURES)})$", re.IGNORECASE)
NUMBER = re.compile(r"\d+", re.ASCII)
COCO_STEM = re.compile(r"(?:coco_\w+_)?\d{12}", re.ASCII)  # COCO_val2014_000000000241, of 2017 000000000785
SHOWN = 3  # names in a message


class PhotoNames:
    """The names of photos in a file, ``source``, which has the ``what`` (keypoints, boxes) of each."""

    def __init__(self, names: Iterable[str], source: str, what: str) -> None:
        self.names = list(names)
        self.source, self.what = source, what
        self._by_name, self._by_stem = defaultdict(list), defaultdict(list)
        self._by_number: dict[str, str] = {}  # of what are numbers alone
        self._by_coco_number: dict[str, str] = {}
        for name in self.names:
            last = _parts(name)[-1]
            self._by_name[last].append(name)
            self._by_stem[_stem(last)].append(name)
            if NUMBER.fullmatch(last):
                self._by_number[_number_of(last)] = name
            if COCO_STEM.fullmatch(_stem(last)):
                self._by_coco_number[_number_of(last)] = name
        folders = {tuple(_parts(name)[:-1]) for name in self.names} - {()} or {()}
        self._common = _shared(min(folders), max(folders))  # leading folders that all names have

    def meaning(self, photo: str | os.PathLike) -> str:
        """The name in the file that means this photo. What is not sure is said in a warning.

        Backslashes part folders, too. COCO's results name photos by the numbers in which their names end.

        A link may go by the name of the photo that it leads to.

        Raises:
            InputError: there is none, or there are several.
        """
        here = _parts(os.path.abspath(photo))
        if found := self._by_name.get(here[-1]) or self._by_stem.get(_stem(here[-1])):
            return self._by_folder(found, here, Path(photo))
        number, stem = _number_of(here[-1]), _stem(here[-1])
        coco = self._by_coco_number.get(number) if COCO_STEM.fullmatch(stem) else None
        name = self._by_number.get(number) or coco
        if name is None:
            if os.path.islink(photo):
                return self.meaning(os.path.realpath(photo))
            raise self._nothing_for(Path(photo))
        if not (NUMBER.fullmatch(stem) or COCO_STEM.fullmatch(stem)):
            warnings.warn(
                f"{self.source} names photos by numbers: its {self.what} of {name} are taken for {photo}",
                stacklevel=3,
            )
        return name

    def _by_folder(self, found: list[str], here: list[str], photo: Path) -> str:
        """Of names that end alike, the one whose folders do so for longest."""

        def likeness(name: str) -> tuple[int, bool]:
            folders = _parts(name)[:-1]
            shared = _shared(folders[::-1], here[-2::-1])
            return shared, shared == len(folders)

        most = max(map(likeness, found))
        best = [name for name in found if likeness(name) == most]
        if len(best) > 1:
            raise InputError(
                f"{self.source} has {self.what} for {' and '.join(sorted(best)[:SHOWN])}, and any may "
                f"be {photo}: give the photo in the folder that the file names, or rename one"
            )
        [name] = best
        if most[0] < len(_parts(name)) - 1 - self._common:
            warnings.warn(
                f"{self.source} names {name}, in another folder than {photo}: its {self.what} are taken for "
                "that photo",
                stacklevel=4,
            )
        return name

    def _nothing_for(self, photo: Path) -> InputError:
        count, known = len(self.names), ", ".join(self.names[:SHOWN]) or "none"
        return InputError(
            f"{self.source} has no {self.what} for {photo.name}, only for {count} others ({known}): "
            f"photos and {self.what} are matched by file name"
        )


def _parts(name: str) -> list[str]:
    """Folders and name, without an address's query, %20, a drive alone, or Unicode's other spellings."""
    name = re.sub(r"(?<=.)[?#].*$", "", name) if "://" in name else name
    name = re.sub(r"^[A-Za-z]:(?![/\\])", "", unicodedata.normalize("NFC", unquote(name)))
    parts = name.replace("\\", "/").split("/")
    return [part for part in parts if part not in ("", ".")] or [""]


def _stem(name: str) -> str:
    return SUFFIX.sub("", name).casefold()


def _number_of(name: str) -> str:
    """The number in which a photo's stem ends, without leading zeros; empty where there is none."""
    stem = _stem(name)
    digits = stem[len(stem.rstrip("0123456789")) :]
    return (digits.lstrip("0") or "0") if digits else ""


def _shared(some: Iterable[str], others: Iterable[str]) -> int:
    """How many of the first parts are equal."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(some, others)))

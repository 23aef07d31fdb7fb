"""Folders of numbered pictures that are the frames of a film."""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mpt.errors import InputError
from mpt.films.frames import Frame, steadied
from mpt.images import read_picture

PICTURES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
FOLDER_FPS = 30.0
NUMBERED = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)


@dataclass(frozen=True)
class FilmFolder:
    """Pictures that are numbered, in their order."""

    path: Path
    pictures: tuple[Path, ...]
    size_wh: tuple[int, int]
    fps: float
    focal_mm: float | None

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def length(self) -> int:
        return len(self.pictures)

    @staticmethod
    def of(path: Path, fps: float | None) -> "FilmFolder":
        pictures = numbered(path)
        if not pictures:
            raise InputError(
                f"{path} is a folder without numbered pictures: name a film, or a folder of frames that are "
                "called alike but for their numbers (frame_0001.png, frame_0002.png, ...)"
            )
        first = read_picture(pictures[0])
        height, width = first.pixels.shape[:2]
        if fps is None:
            warnings.warn(
                f"{path}: {len(pictures):,} numbered pictures are taken for a film of {FOLDER_FPS:g} frames "
                "a second; --fps (fps in Python) tells another rate",
                stacklevel=4,
            )
        return FilmFolder(path, tuple(pictures), (width, height), fps or FOLDER_FPS, first.focal_mm)

    def __iter__(self) -> Iterator[Frame]:
        yield from steadied(self._read(), self)

    def _read(self) -> Iterator[Frame]:
        broken = []
        for number, path in enumerate(self.pictures):
            try:
                pixels = read_picture(path).pixels
            except InputError as error:
                pixels = None
                broken.append(str(error))
            yield Frame(number, number / self.fps, pixels)
        if broken:
            count = "1 frame" if len(broken) == 1 else f"{len(broken):,} frames"
            warnings.warn(
                f"{self.name}: {count} cannot be read ({broken[0]}); people are carried across", stacklevel=2
            )


def numbered(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of their numbers, where all are called alike but for these."""
    groups: dict[tuple[str, str], list[tuple[int, Path]]] = {}
    try:
        files = sorted(folder.iterdir())
    except OSError:
        return []
    for path in files:
        if path.suffix.lower() in PICTURES and not path.name.startswith("."):
            found = NUMBERED.fullmatch(path.stem[::-1])  # the last number of the name
            if found is None:
                return []
            after, digits, before = found.groups()
            groups.setdefault((before[::-1], after[::-1]), []).append((int(digits[::-1]), path))
    if len(groups) != 1:
        return []
    [members] = groups.values()
    return [path for _, path in sorted(members)] if len(members) > 1 else []

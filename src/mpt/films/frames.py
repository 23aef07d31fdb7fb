"""Frames of a film, one after another: of any container that PyAV reads, of a numbered folder, of a webcam.

Pictures come upright and with square pixels, HWC uint8 RGB, all as large as the first. No more than a few of
them are held at a time.
"""

import math
import os
import re
import time
import warnings
from bisect import bisect_right, insort
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from mpt.errors import InputError
from mpt.images import HEAD, MIN_SIDE, film_by_content, picture_by_content, read_picture

FILMS = {
    *(".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov"),
    *(".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
}
"""Endings of files that are taken for films whatever they hold."""
PICTURES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
FOLDER_FPS = 30.0
TIMELESS = ("avi", "h264", "hevc", "m4v", "mjpeg")  # formats that do not tell when frames are shown
HELD = 6  # pictures
SLOWEST, FASTEST = 0.01, 1000.0  # frames a second that are believed


class Frame(NamedTuple):
    """One picture of a film.

    ``number`` counts from 0; ``time_s`` since the first frame, ascending; ``pixels`` (H, W, 3) uint8 RGB,
    None of one that is broken.
    """

    number: int
    time_s: float
    pixels: np.ndarray | None

    @property
    def shown(self) -> np.ndarray:
        """The pixels of a frame that is not broken."""
        assert self.pixels is not None
        return self.pixels


class Film(Protocol):
    """What frames come from; each iteration begins again at the first frame.

    Attributes:
        name: what it is called in sentences.
        size_wh: of its pictures, upright, in pixels.
        fps: frames a second, on average where the times of frames vary.
        length: how many frames there are, as the file says or by its duration; None where nobody knows.
        focal_mm: the focal length that the file tells, as 35 mm equivalent, or None.
    """

    @property
    def name(self) -> str: ...
    @property
    def size_wh(self) -> tuple[int, int]: ...
    @property
    def fps(self) -> float: ...
    @property
    def length(self) -> int | None: ...
    @property
    def focal_mm(self) -> float | None: ...

    def __iter__(self) -> Iterator[Frame]: ...


def is_film(path: Path) -> bool:
    """Whether a name on the command line means a film: a file of one by its first bytes or its ending, or a
    folder of numbered pictures.
    """
    if path.is_dir():
        return bool(_numbered(path))
    if not path.is_file():
        return path.suffix.lower() in FILMS
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return path.suffix.lower() in FILMS
    if film_by_content(head):
        return True
    return path.suffix.lower() in FILMS and not picture_by_content(head)


def open_film(path: str | os.PathLike, *, fps: float | None = None, seconds: float | None = None) -> Film:
    """The film in a file, or in a folder of numbered pictures.

    fps: frames a second, of a folder, or instead of what a file says.
    seconds: of which only so many are wanted, from the beginning.

    Raises InputError: nothing there, no film, a broken one, one without pictures.
    """
    if fps is not None and not (SLOWEST <= fps <= FASTEST):
        raise InputError(f"the frame rate is {fps:g}: give frames a second, between 0.01 and 1000")
    if seconds is not None and not seconds > 0:
        raise InputError(f"the first {seconds:g} seconds were asked for: give a number above 0")
    path = Path(path)
    film = _Folder.of(path, fps) if path.is_dir() else _File.of(path, fps)
    return film if seconds is None else _Beginning(film, seconds)


@dataclass(frozen=True)
class _Beginning:
    """The first seconds of a film."""

    film: Film
    seconds: float

    @property
    def name(self) -> str:
        return self.film.name

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.film.size_wh

    @property
    def fps(self) -> float:
        return self.film.fps

    @property
    def focal_mm(self) -> float | None:
        return self.film.focal_mm

    @property
    def length(self) -> int | None:
        wanted = max(math.ceil(self.seconds * self.fps), 1)
        return wanted if self.film.length is None else min(self.film.length, wanted)

    def __iter__(self) -> Iterator[Frame]:
        for frame in self.film:
            if frame.time_s >= self.seconds:
                return
            yield frame


# ------------------------------------------------------------------------------------------------- files


@dataclass(frozen=True)
class _File:
    """A film in a container that PyAV reads."""

    path: Path
    size_wh: tuple[int, int]
    fps: float
    length: int | None
    focal_mm: float | None
    fps_given: bool = False

    @property
    def name(self) -> str:
        return str(self.path)

    @staticmethod
    def of(path: Path, fps: float | None) -> "_File":
        with _opened(path) as container:
            stream = _video_of(container, path)
            first = next((at for at in _pictures(container, stream) if at.pixels is not None), None)
            if first is None or first.pixels is None:
                raise InputError(f"{path} holds no frame that can be read: copy or download it again")
            height, width = first.pixels.shape[:2]
            if min(height, width) < MIN_SIDE:
                raise InputError(
                    f"{path} is {width} x {height} pixels, too small to show a person: give a film of at "
                    f"least {MIN_SIDE} pixels on each side"
                )
            rate = fps or _rate_of(stream)
            return _File(
                path, (width, height), rate, _length_of(container, stream, rate),
                _focal_mm(container, stream), fps is not None,
            )  # fmt: skip

    def __iter__(self) -> Iterator[Frame]:
        """Broken frames come without pixels; a note says how many there were, and where a film was cut."""
        yield from _steadied(self._read(), self)

    def _read(self) -> Iterator[Frame]:
        broken: list[int] = []
        number, start = -1, None
        with _opened(self.path) as container:
            stream = _video_of(container, self.path)
            trusted = not self.fps_given and container.format.name not in TIMELESS
            for number, picture in enumerate(_pictures(container, stream)):
                if picture.pixels is None:
                    broken.append(number)
                at = number / self.fps
                if trusted and picture.time_s is not None:
                    start = picture.time_s - at if start is None else start
                    at = picture.time_s - start
                yield Frame(number, at, picture.pixels)
        if broken:
            count = "1 frame is" if len(broken) == 1 else f"{len(broken):,} frames are"
            warnings.warn(
                f"{self.name}: {count} broken (the first is number {broken[0]}); people are carried across",
                stacklevel=2,
            )
        if self.length and number + 1 < 0.9 * self.length - 2:
            warnings.warn(
                f"{self.name} says that it has about {self.length:,} frames, and ends after {number + 1:,}: "
                "it was cut short; what is there is used",
                stacklevel=2,
            )


class _Picture(NamedTuple):
    pixels: np.ndarray | None
    time_s: float | None


def import_av() -> Any:
    """The package PyAV. Raises InputError where it is not there."""
    try:
        import av
        import av.error
    except ImportError as error:
        raise InputError(
            f"films need the package av, which cannot be imported here ({error}): pip install av"
        ) from None
    return av


def _opened(path: Path) -> Any:
    av = import_av()
    try:
        if not path.is_file():
            raise FileNotFoundError
        if path.stat().st_size == 0:
            raise InputError(f"{path} is an empty file, not a film: copy or download it again")
        return av.open(os.fspath(path), metadata_errors="replace")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: give the path of a film") from None
    except PermissionError:
        raise InputError(f"{path} may not be read by this user: change its permissions") from None
    except av.error.FFmpegError as error:
        with path.open("rb") as file:
            began = film_by_content(file.read(HEAD))
        if began:
            raise InputError(
                f"{path} is a broken film, or one that was cut short ({error.strerror}): copy or download "
                "the whole file again"
            ) from None
        raise InputError(
            f"{path} is no film that can be read ({error.strerror}): give an MP4, MOV, MKV, WebM, AVI or "
            "another file that plays elsewhere"
        ) from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}): give the path of a film"
        ) from None


def _video_of(container: Any, path: Path) -> Any:
    """The stream of pictures, which is no cover of a piece of music."""
    for stream in container.streams.video:
        if not stream.disposition & stream.disposition.attached_pic:
            if stream.codec_context is None:
                raise InputError(
                    f"{path}: its pictures are coded in a way that is not known here: convert it to H.264"
                )
            stream.thread_type = "AUTO"
            return stream
    kinds = sorted({stream.type for stream in container.streams} - {"video"})
    raise InputError(
        f"{path} holds no pictures, only {' and '.join(kinds) or 'nothing'}: give a film with a video stream"
    )


def _pictures(container: Any, stream: Any) -> Iterator[_Picture]:
    """The pictures of a stream in the order in which they are shown; broken ones without pixels.

    After a packet that cannot be decoded, decoders mix up the order of those about it, and say of another one
    that it is broken: some are held back, and the broken one is the moment that no picture has come for.
    """
    aspect, lost, held = _aspect_of(stream), 0, []
    awaited: list[int] = []  # when, in the stream's ticks, pictures are shown that have not come yet

    def release() -> Iterator[_Picture]:
        nonlocal lost
        at, pixels = held.pop(0)
        while lost and awaited and awaited[0] < at:
            lost -= 1
            yield _Picture(None, float(awaited.pop(0) * stream.time_base))
        del awaited[: bisect_right(awaited, at)]
        yield _Picture(pixels, float(at * stream.time_base))

    for packet in _packets(container, stream):
        if packet.pts is not None:
            insort(awaited, packet.pts)
        for frame in _decoded(packet):
            if frame is None:
                lost += 1
                continue
            pixels = None if frame.is_corrupt else _upright(frame, aspect)
            if frame.pts is None:
                yield from (_Picture(None, None) for _ in range(lost))
                lost = 0
                yield _Picture(pixels, None)
                continue
            if frame.pts in awaited:
                awaited.remove(frame.pts)
            insort(held, (frame.pts, pixels), key=lambda one: one[0])
            while held and (not lost or len(held) > HELD):
                yield from release()
    while held:
        yield from release()
    for _ in range(lost):
        yield _Picture(None, float(awaited.pop(0) * stream.time_base) if awaited else None)


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Until the file ends, whatever it had said."""
    packets, broken = container.demux(stream), import_av().error.FFmpegError
    with suppress(broken):
        yield from packets


def _decoded(packet: Any) -> list[Any]:
    """The frames that a packet completes; None for one that is broken."""
    try:
        return packet.decode()
    except import_av().error.FFmpegError:
        return [None]


def _upright(frame: Any, aspect: float) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned as the film says, with square pixels; ``aspect`` is theirs in the file."""
    width, height = frame.width, frame.height
    if aspect > 1:
        width = round(width * aspect)
    elif aspect < 1:
        height = round(height / aspect)
    pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
    turn = _display_matrix(frame)
    return pixels if turn is None else _turned(pixels, turn)


def _aspect_of(stream: Any) -> float:
    """Width over height of a pixel."""
    aspect = stream.sample_aspect_ratio
    return float(aspect) if aspect and 0.1 < aspect < 10 else 1.0


def _display_matrix(frame: Any) -> np.ndarray | None:
    """(2, 2) by which x and y of the picture become those on the screen; quarter turns and mirrors only."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    numbers = np.frombuffer(bytes(data), np.int32)
    if len(numbers) < 9:
        return None
    matrix = np.array([[numbers[0], numbers[3]], [numbers[1], numbers[4]]], float)
    across = np.abs(matrix[0]).argmax()  # which of x and y goes across the screen
    turn = np.zeros((2, 2), int)
    turn[0, across], turn[1, 1 - across] = np.sign(matrix[0, across]), np.sign(matrix[1, 1 - across])
    return turn if np.abs(turn).sum() == 2 else None


def _turned(pixels: np.ndarray, turn: np.ndarray) -> np.ndarray:
    if turn[0, 0] == 0:
        pixels = pixels.transpose(1, 0, 2)
    x, y = turn.sum(1)
    return np.ascontiguousarray(pixels[::y, ::x])


def _rate_of(stream: Any) -> float:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and SLOWEST <= rate <= FASTEST:
            return float(rate)
    return 25.0


def _length_of(container: Any, stream: Any, fps: float) -> int | None:
    if stream.frames > 0:
        return stream.frames
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration:
        seconds = container.duration / 1e6
    else:
        return None
    return max(round(seconds * fps), 1)


FOCAL_KEYS = (
    "com.apple.quicktime.camera.focal_length.35mm-equivalent",
    "com.apple.quicktime.camera.focal_length.35mm_equivalent",
)
XMP_FOCAL = re.compile(r"FocalLengthIn35mmFilm(?:=[\"']|>)\s*([0-9.]+)(?:/([0-9.]+))?")


def _focal_mm(container: Any, stream: Any) -> float | None:
    """The focal length that the film's metadata tell, as 35 mm equivalent."""
    told = {**stream.metadata, **container.metadata}
    for key, text in told.items():
        if key.lower() in FOCAL_KEYS:
            return _millimetres(text)
        if found := XMP_FOCAL.search(text):
            return _millimetres("/".join(filter(None, found.groups())))
    return None


def _millimetres(text: str) -> float | None:
    try:
        focal = float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError):
        return None
    return focal if 5 <= focal <= 800 else None


# ----------------------------------------------------------------------------------------------- folders

NUMBERED = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)


@dataclass(frozen=True)
class _Folder:
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
    def of(path: Path, fps: float | None) -> "_Folder":
        pictures = _numbered(path)
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
        return _Folder(path, tuple(pictures), (width, height), fps or FOLDER_FPS, first.focal_mm)

    def __iter__(self) -> Iterator[Frame]:
        yield from _steadied(self._read(), self)

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


def _numbered(folder: Path) -> list[Path]:
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


# ------------------------------------------------------------------------------------------------ webcams


@dataclass(frozen=True)
class Camera:
    """A webcam, by its number: the newest picture whenever one is asked for."""

    number: int
    size_wh: tuple[int, int]
    fps: float
    device: Any
    length: int | None = None
    focal_mm: float | None = None

    @property
    def name(self) -> str:
        return f"camera {self.number}"

    @staticmethod
    def open(number: int) -> "Camera":
        """Raises InputError where no camera of this number gives pictures."""
        device = cv2.VideoCapture(number)
        found, picture = device.read() if device.isOpened() else (False, None)
        if not found or picture is None:
            device.release()
            raise InputError(
                f"--camera {number}: no camera of this number gives pictures; try another number, or see "
                "whether another program holds it"
            )
        rate = device.get(cv2.CAP_PROP_FPS)
        height, width = picture.shape[:2]
        return Camera(number, (width, height), rate if SLOWEST <= rate <= FASTEST else 30.0, device)

    def __iter__(self) -> Iterator[Frame]:
        start, number = time.monotonic(), 0
        try:
            while True:
                found, picture = self.device.read()
                if not found:
                    return
                yield from _steadied(
                    iter([Frame(number, time.monotonic() - start, picture[..., ::-1])]), self
                )
                number += 1
        finally:
            self.device.release()


# -------------------------------------------------------------------------------------------- all of them


def _steadied(frames: Iterator[Frame], film: Film) -> Iterator[Frame]:
    """With ascending times from 0 on, and pictures of one size: others are fitted in, which a note says."""
    last, told = -1.0, False
    for frame in frames:
        at = frame.time_s if frame.time_s > last else last + 0.5 / film.fps if last >= 0 else 0.0
        last, pixels = at, frame.pixels
        if pixels is not None and pixels.shape[:2] != film.size_wh[::-1]:
            if not told:
                (width, height), (wide, high) = film.size_wh, pixels.shape[1::-1]
                warnings.warn(
                    f"{film.name}: frame {frame.number} is {wide} x {high} pixels, the film began with "
                    f"{width} x {height}; such frames are fitted into that",
                    stacklevel=3,
                )
                told = True
            pixels = _fitted(pixels, film.size_wh)
        yield Frame(frame.number, at, pixels)


def _fitted(pixels: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """A picture made as large as fits into a size, black beside it."""
    height, width = pixels.shape[:2]
    factor = min(size_wh[0] / width, size_wh[1] / height)
    small = max(round(width * factor), 1), max(round(height * factor), 1)
    out = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    left, top = (size_wh[0] - small[0]) // 2, (size_wh[1] - small[1]) // 2
    out[top : top + small[1], left : left + small[0]] = cv2.resize(
        pixels, small, interpolation=cv2.INTER_AREA
    )
    return out

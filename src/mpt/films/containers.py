"""Films in containers that PyAV reads."""

import os
import re
import warnings
from bisect import bisect_right, insort
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mpt.errors import InputError
from mpt.films.frames import FASTEST, SLOWEST, Frame, steadied
from mpt.images import HEAD, MIN_SIDE, film_by_content

TIMELESS = ("avi", "h264", "hevc", "m4v", "mjpeg")  # formats that do not tell when frames are shown
HELD = 6  # pictures


@dataclass(frozen=True)
class FilmFile:
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
    def of(path: Path, fps: float | None) -> "FilmFile":
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
            return FilmFile(
                path, (width, height), rate, _length_of(container, stream, rate),
                _focal_mm(container, stream), fps is not None,
            )  # fmt: skip

    def __iter__(self) -> Iterator[Frame]:
        """Broken frames come without pixels; a note says how many there were, and where a film was cut."""
        yield from steadied(self._read(), self)

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

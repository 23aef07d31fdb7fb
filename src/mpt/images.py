"""Reading a photo, in whatever way it is given, as people see it."""

import glob
import io
import os
import re
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple
from urllib.request import url2pathname

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mpt.bit_depth import MAX_AREA, rare_tiff, shallow, to_eight_bits
from mpt.errors import InputError
from mpt.focal_lengths import focal_mm_of
from mpt.quiet import quiet

if TYPE_CHECKING:
    import torch

    Photo = str | os.PathLike | bytes | BinaryIO | Image.Image | np.ndarray | torch.Tensor

MIN_SIDE = 32  # pixels; nobody can be recognised in less
FORMATS = "JPEG, PNG, WebP, GIF, BMP or TIFF"


class Picture(NamedTuple):
    """A photo's pixels, HWC uint8 RGB; the focal length that its file tells, 35 mm equivalent, or None."""

    pixels: np.ndarray
    focal_mm: float | None = None


def read_image(source: "Photo") -> np.ndarray:
    """A photo's pixels alone; see :func:`read_picture`."""
    return read_picture(source).pixels


def read_picture(source: "Photo") -> Picture:
    """A photo as HWC uint8 RGB, upright (EXIF), transparent parts over white.

    Takes a file by its path; its content as bytes, or an open binary file; a PIL image; an array: (H, W),
    (H, W, 1), (H, W, 3) or (H, W, 4), uint8 or uint16; or a tensor: (H, W, C) or (C, H, W), uint8, or floats
    in 0-1. Arrays and tensors are taken to be in RGB order, for nobody can see it from the numbers: turn what
    OpenCV has read by ``image[..., ::-1]``. More than 8 bits are read over the range that they fill
    (``mpt.bit_depth``). Of an animation the first frame is taken, with a warning.

    Raises:
        InputError: no such file, not a picture, a broken one, or one with a side under 32 pixels.
    """
    name, picture = _named(source)
    height, width = picture.pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise InputError(
            f"{name} is {width} x {height} pixels, too small or too thin to show a person: "
            f"give a picture of at least {MIN_SIDE} pixels on each side"
        )
    return picture


def _named(source: "Photo") -> tuple[str, Picture]:
    """What to call a photo, and what it shows."""
    torch = sys.modules.get("torch")  # who has a tensor has imported it
    match source:
        case np.ndarray():
            return "the array", Picture(_from_array(source))
        case Image.Image():
            with _broken_is_said("the PIL image"):
                return "the PIL image", _to_rgb(source, "the PIL image", lambda: _file_of(source))
        case bytes() | bytearray() | memoryview():
            name = getattr(source, "name", "the picture given as bytes")
            return name, _decoded(io.BytesIO(source), name)
        case str() | os.PathLike():
            path = located(source)
            return str(path), _from_file(path)
        case list() | tuple():
            raise InputError(
                f"a {type(source).__name__} of {len(source)} was given: give one photo at a time, or all of "
                "them to mpt.reconstruct"
            )
    if torch is not None and isinstance(source, torch.Tensor):
        return "the tensor", Picture(_from_array(_array_of(source)))
    if callable(getattr(source, "read", None)):
        return _named(_content_of(source))
    raise InputError(
        f"a {type(source).__name__} is no photo: give a path, bytes, an open file, a PIL image, an array or "
        "a tensor"
    )


def kept(source: "Photo") -> "Photo":
    """A photo that can be read more than once: of an open file its content, of a buffer what it holds now."""
    if isinstance(source, bytearray | memoryview):
        return bytes(source)
    is_file = callable(getattr(source, "read", None)) and not isinstance(source, str | os.PathLike)
    return _content_of(source) if is_file else source


def located(name: str | os.PathLike) -> Path:
    """The file that a name means: ``~`` is the home directory, file:// a path.

    Raises InputError for the address of something that is not on this computer, and for no name at all.
    """
    name = os.fsdecode(name)
    if not name:
        raise InputError("the photo's name is empty: give the path of a picture")
    if os.path.lexists(name):
        return Path(name)
    if address := ADDRESS.fullmatch(name):
        scheme, rest = address["scheme"].lower(), address["rest"]
        if scheme != "file":
            slashes = "" if scheme == "data" else "//"  # of which a Path has swallowed one
            address = f"{scheme}:{slashes}{rest}"[:100]
            raise InputError(f"{address} is an address: download it first, and give the file's path")
        return Path(url2pathname("/" + rest.removeprefix("localhost/")))
    if name.startswith("~"):
        with suppress(RuntimeError):  # nobody's home is known
            return Path(name).expanduser()
    return Path(name)


ADDRESS = re.compile(r"(?P<scheme>(?!data:)[a-z][a-z0-9+.-]+(?=:/)|data):/*(?P<rest>.*)", re.I | re.S)


def matching(name: str) -> list[Path]:
    """The files that a name on a command line means: several where it has stars that no shell has expanded.

    Raises InputError for an address, an empty name, and stars that nothing matches.
    """
    path = located(name)
    if os.path.lexists(path) or not glob.has_magic(str(path)):
        return [path]
    found = [Path(match) for match in sorted(glob.glob(str(path), recursive=True)) if os.path.isfile(match)]
    if not found:
        raise InputError(
            f"{name}: no file is called so, or matches it: give the path of a picture ({FORMATS})"
        )
    return found


def _from_file(path: Path) -> Picture:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path} is a folder, not a picture: name the picture files inside it")
        if stat.S_ISFIFO(mode):  # as the shell makes of <(command)
            return _decoded(io.BytesIO(path.read_bytes()), str(path))
        if not stat.S_ISREG(mode):
            raise InputError(f"{path} is a device, not a picture: give the path of a picture ({FORMATS})")
        with path.open("rb") as file:
            return _decoded(file, str(path))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: give the path of a picture ({FORMATS})") from None
    except PermissionError:
        raise InputError(f"{path} may not be read by this user: change its permissions") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path} cannot be read ({reason}): give the path of a picture ({FORMATS})"
        ) from None


class _Content(bytes):
    """Of an open file."""

    name: str


def _content_of(file: Any) -> _Content:
    name = str(getattr(file, "name", "the open file"))
    try:
        content = file.read()
    except (OSError, ValueError) as error:  # closed, or opened for writing, or no text
        raise InputError(f"{name} cannot be read ({error}): open it by open(path, 'rb')") from None
    if not isinstance(content, bytes):
        raise InputError(f"{name} is open as text: open it by open(path, 'rb')")
    kept = _Content(content)
    kept.name = name
    return kept


def _file_of(picture: Image.Image) -> bytes:
    """The content of the file that a PIL image was opened from; empty where it is not known."""
    try:
        return Path(getattr(picture, "filename", "")).read_bytes()
    except OSError:
        return b""


def _decoded(file: BinaryIO, name: str) -> Picture:
    """The picture in a file that can be read from any place."""

    def content() -> bytes:
        file.seek(0)
        return file.read()

    head = file.read(HEAD)
    if not head:
        raise InputError(f"{name} is an empty file, not a picture: copy or download it again")
    file.seek(0)
    try:
        with _broken_is_said(name), _opened(file) as picture:
            # Of a RAW photo that is TIFF outside, all that can be read is its thumbnail.
            thumbnail = picture.format == "TIFF" and Path(name).suffix.lower() in RAW
            if thumbnail or picture.format in NO_PHOTOS:
                raise UnidentifiedImageError
            if getattr(picture, "is_animated", False) and picture.format != "MPO":
                warnings.warn(f"{name} holds several frames; the first one is used", stacklevel=5)
            return _to_rgb(picture, name, content)
    except UnidentifiedImageError:
        with _broken_is_said(name):
            is_tiff = head[:2] in (b"II", b"MM") and Path(name).suffix.lower() not in RAW
            if is_tiff and (tiff := rare_tiff(content(), name)) is not None:
                return _to_rgb(tiff, name, content)
        what = _kind_of(head, Path(name).suffix.lower()) or "no picture that can be read: give"
        raise InputError(f"{name} is {what} a {FORMATS} file") from None


def _opened(file: BinaryIO) -> Image.Image:
    """The picture in a file, not loaded yet; of a large one Pillow warns as if it were an attack."""
    with quiet(Image.DecompressionBombWarning):
        return Image.open(file)


@contextmanager
def _broken_is_said(name: str) -> Iterator[None]:
    try:
        yield
    except (InputError, UnidentifiedImageError, PermissionError):
        raise
    except MemoryError:
        raise InputError(f"{name} takes more memory than there is: give a smaller copy of it") from None
    except Image.DecompressionBombError:
        limit = MAX_AREA // 10**6
        raise InputError(f"{name} has more than {limit} megapixels: give a smaller copy of it") from None
    except Exception as error:  # of any kind, where a decoder runs into what is damaged
        raise InputError(
            f"{name} is a broken picture ({error}): copy or download the whole file again"
        ) from None


def _kind_of(head: bytes, suffix: str) -> str | None:
    """What a file is that is no picture, and what to do, in words that "a JPEG file" can follow."""
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, len(head), 4))}
        if brands & {b"avif", b"avis"}:
            return "an AVIF picture, which cannot be read here: convert it to"
        if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"}:
            return "a HEIC picture: convert it to"
        if b"crx " not in brands:
            return _VIDEO
    if suffix in RAW or head.startswith(RAW_HEADS):
        return "a RAW photo: develop it, or export it as"
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        return _VIDEO
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((what for first, what in KINDS.items() if start.startswith(first)), None)


def film_by_content(head: bytes) -> bool:
    """Whether a file's first bytes are those of a film."""
    return _kind_of(head, "") is _VIDEO


def picture_by_content(head: bytes) -> bool:
    """Whether a file's first bytes are those of a picture that can be read."""
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return webp or head.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*"))


HEAD = 64
NO_PHOTOS = {"EPS", "WMF", "MPEG"}
"""What Pillow knows and hands to other programs, or cannot draw."""
RAW = {
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos"),
    *(".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
}
"""Endings of cameras' own files, of which many are TIFF outside."""
RAW_HEADS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM", b"II*\0\x10\0\0\0CR")
_VIDEO = "a video: save one of its frames as"
KINDS = {
    b"%pdf": "a PDF: save its page or its picture as",
    b"%!ps": "a PostScript drawing: save it as",
    b"<svg": "an SVG drawing: save it as",
    b"<?xml": "an XML file or a drawing: save it as",
    b"<!doctype html": "a web page, not the picture on it: save the picture itself as",
    b"<html": "a web page, not the picture on it: save the picture itself as",
    b"version https://git-lfs": "a pointer of Git LFS, not the picture (run `git lfs pull`): give",
    b"pk\3\4": "an archive: unpack it, and give",
    b"\xff\x0a": "a JPEG XL picture: convert it to",
    b"\0\0\0\x0cjxl ": "a JPEG XL picture: convert it to",
    b"\x1aE\xdf\xa3".lower(): _VIDEO,
    b"\0\0\1\xba": _VIDEO,
    b"\0\0\1\xb3": _VIDEO,
    b"flv\1": _VIDEO,
    b"oggs": _VIDEO,
    b"0&\xb2u\x8ef\xcf\x11": _VIDEO,
}
"""First bytes, in small letters, of files that are taken for photos -> what they are, and what to do."""


def _to_rgb(picture: Image.Image, name: str, content: Callable[[], bytes]) -> Picture:
    given = picture
    large = 2 * given.width * given.height > MAX_AREA
    with quiet(Image.DecompressionBombWarning) if large else nullcontext():
        picture = shallow(picture, name, content)
    focal_mm = focal_mm_of(given, name)  # only now: of a PNG it decodes the pixels, to 8 bits
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return Picture(np.array(picture.convert("RGB")), focal_mm)


def _array_of(tensor: Any) -> np.ndarray:
    """A tensor (H, W, C) or (C, H, W) as an array (H, W, C), floats in 0-1 as uint8."""
    if tensor.ndim == 3:
        first, last = tensor.shape[0] in CHANNELS, tensor.shape[2] in CHANNELS
        if first and last:
            raise InputError(
                f"a tensor of {tuple(tensor.shape)} may be (C, H, W) or (H, W, C): give an array"
            )
        tensor = tensor.movedim(0, -1) if first else tensor
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()
        if tensor.numel() and not (tensor.min() >= 0 and tensor.max() <= 1):
            raise InputError(
                f"a tensor of {tensor.min():.3g} to {tensor.max():.3g} was given: floats in 0-1 were "
                "expected, or uint8"
            )
        return (255 * tensor).round().numpy().astype(np.uint8)
    return tensor.numpy()


CHANNELS = (1, 3, 4)


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in CHANNELS or array.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"an image array must be (H, W), (H, W, 3) or (H, W, 4) of uint8 in RGB order, "
            f"but this one is {tuple(array.shape)} of {array.dtype}{_advice_on(array)}"
        )
    if array.dtype == np.uint16:
        array = to_eight_bits(array, "the array")
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        alpha = array[..., 3:].astype(np.float32) / 255
        return np.rint(array[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.ascontiguousarray(array)


def _advice_on(array: np.ndarray) -> str:
    """What to do with an array that is no picture yet."""
    if array.ndim == 4:
        return ": give one photo at a time, image[0], or all of them to mpt.reconstruct"
    if array.ndim == 3 and array.shape[0] in CHANNELS and array.shape[2] not in CHANNELS:
        return ": give image.transpose(1, 2, 0)"
    if array.ndim == 3 and array.dtype.kind == "f":
        return ": give (255 * image).astype(np.uint8) if it goes from 0 to 1, else image.astype(np.uint8)"
    return ""

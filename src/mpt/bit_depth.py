"""Pictures of more than 8 bits, or of floating point, as 8 bits: over the range that their numbers fill.

Thermal, depth and machine-vision cameras keep 9 to 14 bits in 16, and their files seldom say how many.
"""

import io
import re
import struct
import warnings
from collections.abc import Callable, Mapping

import cv2
import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from mpt.errors import InputError

FEW_LEVELS = 32  # of 256: between the darkest and the brightest nobody is seen in fewer
DEEP_COLOURS = re.compile(
    r"(LA|RGB|RGBA|RGBa|RGBX);16[BLN]"
)  # of these Pillow gives the upper eight bits alone
WIDTH, HEIGHT, BITS_PER_SAMPLE, PHOTOMETRIC = 256, 257, 258, 262  # tags of TIFF
MAX_SAMPLE_VALUE, PLANAR_CONFIGURATION = 281, 284
WHITE_IS_ZERO, SEPARATE = 0, 2
MAX_AREA = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # pixels: what Pillow refuses as well


def to_eight_bits(pixels: np.ndarray, name: str, bits: int | None = None) -> np.ndarray:
    """Pixels (H, W) or (H, W, 1, 3 or 4) of any numbers -> uint8, from black to white over their range.

    That is 0 to 2^bits - 1; where nobody says how many bits, with the fewest of 8 or more that hold the
    largest number; 0 to 1 for floating point under 2. Numbers of which some are negative, or that fill less
    than an eighth of it, are stretched: the least is black, the largest white. A warning says what was
    assumed. Opacity, the fourth channel, has a range of its own and is never stretched; uint8 stays as it is.

    Raises:
        InputError: no number at all, only NaN or infinity.
    """
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.ndim == 2 or pixels.shape[2] < 4:
        return _ranged(pixels, name, bits)
    opacity = np.nan_to_num(pixels[..., 3])
    return np.dstack([_ranged(pixels[..., :3], name, bits), _scaled(opacity, 0, _white(opacity))])


def _ranged(values: np.ndarray, name: str, bits: int | None) -> np.ndarray:
    gaps = ~np.isfinite(values)
    if gaps.any():
        if gaps.all():
            raise InputError(f"{name} holds no numbers but NaN or infinity: save it anew, with 8 or 16 bits")
        warnings.warn(
            f"{name} holds NaN or infinity in {gaps.mean():.1%} of its pixels: they are shown as the darkest",
            stacklevel=3,
        )
        values = np.where(gaps, values[~gaps].min(), values)
    least, most = float(values.min()), float(values.max())
    stored = 8 * values.itemsize
    usual = (1, 255) if values.dtype.kind == "f" else (2.0**16 - 1, 2.0**stored - 1)
    black, white = 0.0, _white(values) if bits is None else 2.0**bits - 1
    if most > least and (least < 0 or (most - least) * 256 < white * FEW_LEVELS):
        black, white = least, most
        warnings.warn(
            f"{name} holds numbers from {least:g} to {most:g}: they are stretched, {least:g} is black and "
            f"{most:g} white",
            stacklevel=3,
        )
    elif bits is None and white not in usual and most > 0:
        warnings.warn(
            f"{name} holds numbers up to {most:g} in {stored} bits: they are taken for "
            f"{round(white).bit_length()} bits, {white:g} is white (a PNG's sBIT or a TIFF's MaxSampleValue "
            "would tell)",
            stacklevel=3,
        )
    return _scaled(values, black, white)


def _white(values: np.ndarray) -> float:
    """1 for floating point under 2, else the largest number of the fewest bits, 8 or more, that hold all."""
    most = float(values.max())
    if values.dtype.kind == "f":
        if most < 2:
            return 1.0
        most *= 0.99  # resampling overshoots
    return 2.0 ** max(round(most).bit_length(), 8) - 1


def _scaled(values: np.ndarray, black: float, white: float) -> np.ndarray:
    scaled = values.astype(np.float32)
    scaled *= 255 / (white - black)
    scaled -= black * (255 / (white - black))
    return np.clip(np.rint(scaled, out=scaled), 0, 255, out=scaled).astype(np.uint8)


def shallow(picture: Image.Image, name: str, content: Callable[[], bytes]) -> Image.Image:
    """A picture loaded from a file, itself if it has 8 bits or less, otherwise of 8; turned as before.

    ``content`` gives the whole file, which is asked for only where Pillow does not tell enough.
    """
    rawmode = _rawmode(picture)
    if picture.mode in ("RGB", "RGBA", "CMYK"):
        _check_planes(name, getattr(picture, "tag_v2", {}))
    picture.load()
    if picture.mode.startswith("I") or picture.mode == "F":
        grey = np.asarray(picture)
        pixels = to_eight_bits(grey, name, _told_bits(picture, content, grey))
        if _tag(picture, PHOTOMETRIC) == WHITE_IS_ZERO:
            pixels = 255 - pixels
        if (clear := picture.info.get("transparency")) is not None:
            pixels[grey == clear] = 255
    elif DEEP_COLOURS.match(rawmode) and (deep := _by_opencv(content())) is not None:
        deep = deep[..., :3] if rawmode.startswith("RGBX") else deep
        pixels = to_eight_bits(deep, name, _told_bits(picture, content, deep[..., :3]))
    else:
        return picture
    made = Image.fromarray(pixels)
    if rawmode.startswith("RGBa"):  # colours times opacity
        made = Image.frombytes("RGBa", made.size, made.tobytes()).convert("RGBA")
    made.getexif()[ExifTags.Base.Orientation] = picture.getexif().get(ExifTags.Base.Orientation, 1)
    return made


def rare_tiff(content: bytes, name: str) -> Image.Image | None:
    """A TIFF that Pillow does not know, such as one with colours of floating point; None if it is no TIFF.

    Raises InputError for one that OpenCV does not know either.
    """
    try:
        file = io.BytesIO(content)
        directory = ImageFileDirectory_v2(file.read(8))
        file.seek(directory.next)
        directory.load(file)
        too_large = directory[WIDTH] * directory[HEIGHT] > MAX_AREA
        bits = max(directory.get(BITS_PER_SAMPLE, (1,)))
        _check_planes(name, directory)
    except InputError:
        raise
    except Exception:  # a broken directory can raise anything at all
        return None
    if too_large:
        raise InputError(f"{name} has more than {MAX_AREA // 10**6} megapixels: give a smaller copy of it")
    pixels = _by_opencv(content)
    if pixels is None or (bits > 8 and pixels.dtype == np.uint8):  # the upper bits alone
        raise InputError(f"{name} is a TIFF of a kind that cannot be read, of {bits} bits: save it as PNG")
    return Image.fromarray(to_eight_bits(pixels, name))


def _check_planes(name: str, tags: Mapping) -> None:
    """Refuse colours of over 8 bits in planes of their own, which Pillow and OpenCV take for mixed ones."""
    bits = tags.get(BITS_PER_SAMPLE, (8,))
    if tags.get(PLANAR_CONFIGURATION) == SEPARATE and len(bits) > 1 and max(bits) > 8:
        raise InputError(
            f"{name} keeps each colour in a plane of its own, of {max(bits)} bits, which cannot be read: "
            "save it as PNG, or with the colours of each pixel together"
        )


def _by_opencv(content: bytes) -> np.ndarray | None:
    """(H, W) or (H, W, 3 or 4) RGB as stored, with all bits; a TIFF is turned upright; None if it cannot."""
    level = cv2.utils.logging.setLogLevel(0)  # what libtiff thinks of other programs' tags is for nobody
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)
    if pixels is None or pixels.ndim == 2:
        return pixels
    return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


def _rawmode(picture: Image.Image) -> str:
    """How the file keeps its pixels, in Pillow's words, such as "RGB;16B"; known until they are loaded."""
    tiles = getattr(picture, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _told_bits(picture: Image.Image, content: Callable[[], bytes], values: np.ndarray) -> int | None:
    """How many bits the file says that its numbers have, unless the numbers say otherwise."""
    if picture.format == "PNG":
        return _png_bits(content(), values)
    bits = _tag(picture, BITS_PER_SAMPLE)
    if bits is not None and bits < 16:
        return bits
    largest = _tag(picture, MAX_SAMPLE_VALUE) or 0
    return largest.bit_length() if values.max() <= largest < 2**16 - 1 else None


def _png_bits(content: bytes, values: np.ndarray) -> int | None:
    """The bits of a PNG's sBIT where its numbers are no larger; by the standard they should be shifted up."""
    place = 8
    while content[place + 4 : place + 8] not in (b"IDAT", b""):
        (length,) = struct.unpack_from(">I", content, place)
        if content[place + 4 : place + 8] == b"sBIT" and length:
            bits = max(content[place + 8 : place + 8 + min(length, 3)])
            kept_low = values.max() < 2**bits and (values % 2 ** max(16 - bits, 0)).any()
            return bits if kept_low else 16
        place += 12 + length
    return None


def _tag(picture: Image.Image, tag: int) -> int | None:
    """A number of a TIFF's, of several the first."""
    value = getattr(picture, "tag_v2", {}).get(tag)
    return value[0] if isinstance(value, tuple) else value

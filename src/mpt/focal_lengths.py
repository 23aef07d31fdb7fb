"""Focal lengths as people know them, in pixels or in the millimetres of a 35 mm camera -> pixels.

Whichever was given, it is told by the view that it makes, from corner to corner, whether it can be meant.
"""

import math
import warnings
from collections.abc import Mapping
from typing import Any, Literal

from PIL import Image

from mpt.errors import InputError
from mpt.quiet import quiet

FocalFrom = Literal["given", "exif", "assumed"]
"""Who says a focal length: the user, the photo's file, or nobody."""

FULL_FRAME_MM = math.hypot(36, 24)  # the diagonal that "35 mm equivalent" is about, as EXIF has it
WIDEST, NARROWEST = 150.0, 1.0  # degrees: beyond them, pixels are hardly pixels
WIDEST_LENS, NARROWEST_LENS = 130.0, 3.0  # degrees: lenses of 10 and of 826 mm
LEAST_VIEW = 1e-6  # degrees: parallel rays, to all intents
SAME_SHAPE = 0.02  # of a picture's sides: by how much rounding may change their ratio
INCH_MM, CENTIMETRE_MM = 25.4, 10.0

# Tags of EXIF.
PRIVATE, FOCAL, FOCAL_IN_35MM, WIDTH, HEIGHT = 0x8769, 0x920A, 0xA405, 0xA002, 0xA003
PLANE_X, PLANE_Y, PLANE_UNIT = 0xA20E, 0xA20F, 0xA210


def focal_in_px(
    size_wh: tuple[int, int],
    focal_px: float | None = None,
    focal_mm: float | None = None,
    fov_deg: float | None = None,
) -> float | None:
    """The focal length in pixels of a photo of ``size_wh`` pixels, uncropped; None where none is given.

    focal_mm: as 35 mm equivalent (EXIF's FocalLengthIn35mmFilm): the picture's diagonal stands for 43.27 mm.
    fov_deg: as the view that it makes, from corner to corner.

    Raises:
        InputError: several are given; no number above zero; under a pixel, or a view of no width.
    """
    said = {"pixels": focal_px, "mm": focal_mm, "degrees": fov_deg}
    given = [f"{value} {unit}" for unit, value in said.items() if value is not None]
    if len(given) > 1:
        times = "twice" if len(given) == 2 else "three times"
        raise InputError(f"the focal length is given {times}, as {' and as '.join(given)}: leave one out")
    if not given:
        return None
    diagonal = math.hypot(*size_wh)
    if fov_deg is not None:
        return _of_view(fov_deg, diagonal)
    if focal_mm is not None:
        focal = _number(focal_mm, "millimetres, as 35 mm equivalent")
        said, focal = f"{focal:g} mm (35 mm equivalent)", focal / FULL_FRAME_MM * diagonal
    else:
        focal = _number(focal_px, "pixels")
        said = f"{focal:g} pixels"
    view = math.degrees(2 * math.atan(diagonal / 2 / focal))
    if focal < 1 or view < LEAST_VIEW:
        raise InputError(
            f"a focal length of {said} is a view of {view:.3g} degrees from corner to corner, which no "
            "camera has: give it in pixels, in millimetres by --focal-mm (focal_mm in Python), or not at all"
        )
    if question := _doubt(view, focal_px, focal_mm):
        warnings.warn(
            f"a focal length of {said} is a view of {view:.3g} degrees from corner to corner; {question}",
            stacklevel=2,
        )
    return focal


def principal_in_px(size_wh: tuple[int, int], principal_px: tuple[float, float]) -> tuple[float, float]:
    """Where the optical axis meets a photo of ``size_wh`` pixels: (x, y), asked about where it is outside.

    Raises InputError for what are no two finite numbers.
    """
    try:
        x, y = (float(place) for place in principal_px)
    except (TypeError, ValueError):
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise InputError(
            f"the principal point is {principal_px}: give its x and y in pixels, or leave it out"
        )
    width, height = size_wh
    if x <= 1 and y <= 1:
        question = f"is it a share of the picture? Then give ({x * width:g}, {y * height:g})"
    elif not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        question = "is it that of another size of the picture?"
    else:
        return x, y
    warnings.warn(
        f"a principal point of ({x:g}, {y:g}) pixels is at the edge of a picture of {width} x {height}, or "
        f"beyond it; {question}",
        stacklevel=2,
    )
    return x, y


def _of_view(fov_deg: Any, diagonal: float) -> float:
    """The focal length in pixels that makes a view of so many degrees along a diagonal in pixels."""
    try:
        view = float(fov_deg)
    except (TypeError, ValueError):
        view = math.nan
    if not 0.1 <= view <= 175:
        raise InputError(
            f"the view is {fov_deg}: give it in degrees from corner to corner, between 0.1 and 175, or leave "
            "it out"
        )
    if view < NARROWEST_LENS:
        warnings.warn(
            f"a view of {view:g} degrees from corner to corner was given; is it in radians? Then it is "
            f"{math.degrees(view):.0f} degrees",
            stacklevel=3,
        )
    return diagonal / 2 / math.tan(math.radians(view) / 2)


def focal_mm_of(photo: Image.Image, name: str) -> float | None:
    """The focal length that a picture's file tells by its EXIF, as 35 mm equivalent; None where it does not.

    Where only the lens's own is written, the density of the sensor's pixels says how large that was. A
    picture of another shape than the one that was taken is cropped, and its focal length is not known: a
    note says so.
    """
    try:
        with quiet(module=r"PIL\."):  # of damaged tags, which are then left out
            whole = photo.getexif()
            exif = whole.get_ifd(PRIVATE)
        focal = _equivalent(exif)
        taken = sorted(_positive(exif, tag) for tag in (WIDTH, HEIGHT))
    except Exception:  # of any kind, where EXIF is damaged
        return None
    if focal is None or not _is_lens(focal):
        return None
    now = sorted(photo.size)
    if all(taken) and abs(taken[1] / taken[0] / (now[1] / now[0]) - 1) > SAME_SHAPE:
        warnings.warn(
            f"{name}: its EXIF tells a focal length of {focal:g} mm (35 mm equivalent) of a picture of "
            f"{taken[1]:g} x {taken[0]:g} pixels, and it has {now[1]} x {now[0]}: it was cropped, and a view "
            "of 53 degrees is assumed; --focal (focal_px in Python) tells another",
            stacklevel=2,
        )
        return None
    return focal


def _equivalent(exif: Mapping[int, Any]) -> float | None:
    if focal := _positive(exif, FOCAL_IN_35MM):
        return focal
    unit = {2: INCH_MM, 3: CENTIMETRE_MM, 4: 1.0}.get(exif.get(PLANE_UNIT, 2))
    names = (FOCAL, WIDTH, HEIGHT, PLANE_X, PLANE_Y)
    focal, width, height, across, down = (_positive(exif, name) for name in names)
    if unit is None or not (focal and width and height and across):
        return None
    sensor_mm = math.hypot(width / across, height / (down or across)) * unit
    return focal / sensor_mm * FULL_FRAME_MM


def _positive(exif: Mapping[int, Any], tag: int) -> float:
    """A tag's number; 0 where it tells none, as EXIF itself says by 0."""
    number = float(exif.get(tag, 0))
    return number if math.isfinite(number) and number > 0 else 0.0


def _is_lens(focal_mm: float) -> bool:
    view = math.degrees(2 * math.atan(FULL_FRAME_MM / 2 / focal_mm))
    return NARROWEST_LENS <= view <= WIDEST_LENS


def _number(focal: Any, unit: str) -> float:
    try:
        number = float(focal)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise InputError(f"the focal length is {focal}: give it in {unit}, above 0, or leave it out")
    return number


def _doubt(view: float, focal_px: float | None, focal_mm: float | None) -> str | None:
    """What to ask somebody whose focal length makes such a view, if anything."""
    if focal_mm is not None and view > WIDEST_LENS:
        return (
            "is it the lens's own? What is needed is the 35 mm equivalent, of a phone's main camera about 26"
        )
    if focal_mm is not None and view < NARROWEST_LENS:
        return f"is it in pixels? Then give it with --focal {focal_mm:g} (focal_px in Python)"
    if focal_px is not None and view > WIDEST:
        return f"is it in millimetres? Then give it with --focal-mm {focal_px:g} (focal_mm in Python)"
    if focal_px is not None and view < NARROWEST:
        return "is it in pixels? Without --focal (focal_px in Python) 53 degrees are assumed"
    return None

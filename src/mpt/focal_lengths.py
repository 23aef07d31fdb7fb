"""Focal lengths as people know them, in pixels or in the millimetres of a 35 mm camera -> pixels.

Whichever was given, it is told by the view that it makes, from corner to corner, whether it can be meant.
"""

import math
import warnings
from typing import Any

from mpt.errors import InputError

FULL_FRAME_MM = math.hypot(36, 24)  # the diagonal that "35 mm equivalent" is about, as EXIF has it
WIDEST, NARROWEST = 150.0, 1.0  # degrees: beyond them, pixels are hardly pixels
WIDEST_LENS, NARROWEST_LENS = 130.0, 3.0  # degrees: lenses of 10 and of 826 mm
LEAST_VIEW = 1e-6  # degrees: parallel rays, to all intents


def focal_in_px(
    size_wh: tuple[int, int], focal_px: float | None = None, focal_mm: float | None = None
) -> float | None:
    """The focal length in pixels of a photo of ``size_wh`` pixels, uncropped; None where neither is given.

    focal_mm: as 35 mm equivalent (EXIF's FocalLengthIn35mmFilm): the picture's diagonal stands for 43.27 mm.

    Raises:
        InputError: both are given; no number above zero; under a pixel, or a view of no width.
    """
    if focal_px is not None and focal_mm is not None:
        raise InputError(
            f"the focal length is given twice, as {focal_px} pixels and as {focal_mm} mm: leave one out"
        )
    if focal_px is None and focal_mm is None:
        return None
    diagonal = math.hypot(*size_wh)
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

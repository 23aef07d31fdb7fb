"""A focal length is known by the view that it makes, whichever unit it came in."""

import io
import math
import re
import warnings

import numpy as np
import pytest
from PIL import Image

from mpt.errors import InputError
from mpt.focal_lengths import focal_in_px, focal_mm_of, principal_in_px

SIZE = (200, 300)
DIAGONAL = math.hypot(*SIZE)


def test_neither_is_none_and_pixels_are_pixels():
    assert focal_in_px(SIZE) is None
    assert focal_in_px(SIZE, 360.6) == 360.6
    assert focal_in_px(SIZE, np.float32(512)) == 512


def test_millimetres_are_those_of_a_full_frame_by_its_diagonal():
    assert focal_in_px((3600, 2400), focal_mm=36) == pytest.approx(3600)
    assert focal_in_px((2400, 3600), focal_mm=36) == pytest.approx(3600)
    assert focal_in_px((4000, 3000), focal_mm=26) == pytest.approx(26 / 43.2666 * 5000, rel=1e-5)
    assert focal_in_px(SIZE, focal_mm=43.2666153) == pytest.approx(DIAGONAL)  # what is assumed of any photo


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"focal_px": 26},
            "a focal length of 26 pixels is a view of 164 degrees from corner to corner; is it in "
            "millimetres? Then give it with --focal-mm 26 (focal_mm in Python)",
        ),
        (
            {"focal_px": 50_000},
            "a focal length of 50000 pixels is a view of 0.413 degrees from corner to corner; is it in "
            "pixels? Without --focal (focal_px in Python) 53 degrees are assumed",
        ),
        (
            {"focal_mm": 4.25},
            "a focal length of 4.25 mm (35 mm equivalent) is a view of 158 degrees from corner to corner; is "
            "it the lens's own? What is needed is the 35 mm equivalent, of a phone's main camera about 26",
        ),
        (
            {"focal_mm": 1466},
            "a focal length of 1466 mm (35 mm equivalent) is a view of 1.69 degrees from corner to corner; "
            "is it in pixels? Then give it with --focal 1466 (focal_px in Python)",
        ),
    ],
)
def test_what_can_hardly_be_meant_is_asked_about_and_used(given, sentence):
    with pytest.warns(UserWarning, match=f"^{re.escape(sentence)}$"):
        focal = focal_in_px(SIZE, **given)
    assert focal == pytest.approx(given.get("focal_px", given.get("focal_mm", 0) / 43.2666153 * DIAGONAL))


@pytest.mark.parametrize(
    "given", [{"focal_px": 60}, {"focal_px": 15_000}, {"focal_mm": 11}, {"focal_mm": 800}]
)
def test_what_a_camera_has_is_used_without_a_word(given):
    with warnings.catch_warnings(action="error"):
        assert focal_in_px(SIZE, **given)


@pytest.mark.parametrize("focal", [0, -26, math.nan, math.inf, -math.inf, "wide", [26], np.zeros(2)])
def test_no_number_above_zero_is_refused(focal):
    with pytest.raises(InputError, match=r"^the focal length is .*: give it in pixels, above 0, or leave it"):
        focal_in_px(SIZE, focal)
    with pytest.raises(InputError, match=r"^the focal length is .*: give it in millimetres, as 35 mm equi"):
        focal_in_px(SIZE, focal_mm=focal)


@pytest.mark.parametrize(
    "given", [{"focal_px": 0.8}, {"focal_px": 1e300}, {"focal_mm": 1e-9}, {"focal_mm": 1e99}]
)
def test_what_no_camera_has_is_refused(given):
    with pytest.raises(
        InputError, match=r"degrees from corner to corner, which no camera has: give it in pix"
    ):
        focal_in_px(SIZE, **given)


def test_both_are_refused():
    with pytest.raises(InputError, match="given twice, as 400 pixels and as 26 mm: leave one out"):
        focal_in_px(SIZE, 400, 26)


def test_a_principal_point_is_inside_its_picture_or_asked_about():
    with warnings.catch_warnings(action="error"):
        assert principal_in_px(SIZE, (99.5, 149.5)) == (99.5, 149.5)
    with pytest.warns(UserWarning, match=r"\(0.5, 0.5\) pixels is .* is it a share .* give \(100, 150\)"):
        assert principal_in_px(SIZE, (0.5, 0.5)) == (0.5, 0.5)
    with pytest.warns(UserWarning, match=r"\(960, 540\) pixels .* 200 x 300, .* another size of the picture"):
        assert principal_in_px(SIZE, (960, 540)) == (960, 540)
    for none in ((math.nan, 3), (1, 2, 3), "xy", 4):
        with pytest.raises(InputError, match=r"^the principal point is .*: give its x and y in pixels"):
            principal_in_px(SIZE, none)


def photo(focal: dict[int, object] | None = None, size=(400, 300)) -> Image.Image:
    """A JPEG with these tags of EXIF, as Pillow opens it."""
    file, exif = io.BytesIO(), Image.Exif()
    exif.get_ifd(0x8769).update(focal or {})
    Image.new("RGB", size, "grey").save(file, "JPEG", exif=exif)
    return Image.open(file)


TAKEN = {0xA002: 4000, 0xA003: 3000}  # PixelXDimension, PixelYDimension


def test_exif_tells_the_35_mm_equivalent():
    assert focal_mm_of(photo({0xA405: 26}), "photo") == 26
    assert focal_mm_of(photo({0xA405: 26} | TAKEN), "photo") == 26  # made smaller since
    assert focal_mm_of(photo({0xA405: 26} | TAKEN, (300, 400)), "photo") == 26  # and turned
    for nothing in ({}, {0xA405: 0}, {0xA405: 65535}, {0x920A: 4.25}):
        assert focal_mm_of(photo(nothing), "photo") is None


def test_exif_tells_it_by_the_lens_and_the_density_of_the_sensor():
    sensor = {0x920A: 50.0, 0xA20E: 4000 / 36, 0xA20F: 3000 / 24, 0xA210: 4}  # pixels to a millimetre
    assert focal_mm_of(photo(sensor | TAKEN), "photo") == pytest.approx(50, rel=1e-3)
    half = sensor | {0xA20E: 4000 / 18, 0xA20F: 3000 / 12}
    assert focal_mm_of(photo(half | TAKEN), "photo") == pytest.approx(100, rel=1e-3)
    inches = sensor | {0xA20E: 4000 / 36 * 25.4, 0xA20F: 3000 / 24 * 25.4, 0xA210: 2}
    assert focal_mm_of(photo(inches | TAKEN), "photo") == pytest.approx(50, rel=1e-3)


def test_a_cropped_photo_has_another_view_than_its_exif_says():
    with pytest.warns(UserWarning, match=r"^photo: .* 26 mm .* of 4000 x 3000 pixels, and it has 300 x 300"):
        assert focal_mm_of(photo({0xA405: 26} | TAKEN, (300, 300)), "photo") is None


def test_a_view_is_from_corner_to_corner():
    assert focal_in_px((300, 400), fov_deg=90) == pytest.approx(250)
    assert focal_in_px(SIZE, fov_deg=math.degrees(2 * math.atan(0.5))) == pytest.approx(DIAGONAL)
    for none in (0, -3, 180, math.nan, "wide"):
        with pytest.raises(InputError, match=r"^the view is .*: give it in degrees from corner to corner"):
            focal_in_px(SIZE, fov_deg=none)
    with pytest.warns(UserWarning, match=r"a view of 1.05 degrees .* radians\? Then it is 60 degrees"):
        focal_in_px(SIZE, fov_deg=1.05)
    with pytest.raises(InputError, match=r"given three times, as 400 pixels and as 26 mm and as 50 degrees"):
        focal_in_px(SIZE, 400, 26, 50)

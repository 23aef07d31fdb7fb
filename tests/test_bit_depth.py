"""The same picture, in however many bits of however many a file keeps it, is read as the same 8 bits."""

import struct
import warnings

import cv2
import numpy as np
import pytest
from pictures import png16, tiff
from PIL import Image

from mpt.crops import Crop
from mpt.datasets.loading import read_crop
from mpt.errors import InputError
from mpt.images import read_image

SHARES = np.tile(np.linspace(0, 1, 64), (48, 1))
COLOURS = np.stack([SHARES, SHARES[:, ::-1], SHARES / 2], -1)
ORIENTED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 3),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def whole(shares: np.ndarray, bits: int) -> np.ndarray:
    return np.rint(shares * (2**bits - 1)).astype(np.uint16 if bits <= 16 else np.uint32)


def close(image: np.ndarray, shares: np.ndarray, levels: float = 1) -> None:
    shares = np.repeat(shares[..., None], 3, -1) if shares.ndim == 2 else shares
    assert image.dtype == np.uint8
    assert image.shape == shares.shape
    np.testing.assert_allclose(image, 255 * shares, atol=levels)


def noted(content, tmp_path, message: str, name: str = "a.png") -> np.ndarray:
    """The picture, read with exactly one note."""
    (tmp_path / name).write_bytes(content)
    with pytest.warns(UserWarning) as notes:
        image = read_image(tmp_path / name)
    assert [str(note.message) for note in notes] == [f"{tmp_path / name} {message}"]
    return image


def silent(content, tmp_path, name: str = "a.png") -> np.ndarray:
    (tmp_path / name).write_bytes(content)
    with warnings.catch_warnings(action="error"):
        return read_image(tmp_path / name)


def taken(most: int, bits: int) -> str:
    return (
        f"holds numbers up to {most} in 16 bits: they are taken for {bits} bits, {2**bits - 1} is white "
        "(a PNG's sBIT or a TIFF's MaxSampleValue would tell)"
    )


@pytest.mark.parametrize("shares", [SHARES, COLOURS], ids=["grey", "colours"])
@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14])
def test_few_bits_in_sixteen_are_read_as_sixteen_are(bits, shares, tmp_path):
    pixels = whole(shares, bits)
    most = 2**bits - 1
    close(noted(png16(pixels), tmp_path, taken(most, bits)), shares)
    close(noted(tiff(pixels), tmp_path, taken(most, bits), "a.tif"), shares)
    close(noted(tiff(pixels, order=">"), tmp_path, taken(most, bits), "a.tif"), shares)
    with pytest.warns(UserWarning, match=r"the array holds numbers up to .* in 16 bits"):
        close(read_image(pixels), shares)


@pytest.mark.parametrize("shares", [SHARES, COLOURS], ids=["grey", "colours"])
@pytest.mark.parametrize("bits", [12, 16])
def test_sixteen_bits_and_bits_shifted_up_need_no_note(bits, shares, tmp_path):
    pixels = whole(shares, bits) << (16 - bits)
    close(silent(png16(pixels), tmp_path), shares)
    close(silent(tiff(pixels), tmp_path, "a.tif"), shares)
    close(silent(tiff(pixels, order=">"), tmp_path, "a.tif"), shares)


def test_a_picture_that_does_not_reach_white_keeps_its_darkness_within_a_factor_of_two(tmp_path):
    image = noted(png16(whole(0.7 * SHARES, 12)), tmp_path, taken(round(0.7 * 4095), 12))
    close(image, 0.7 * SHARES)


def test_the_file_is_asked_first(tmp_path):
    dark = 0.2 * SHARES
    close(silent(png16(whole(dark, 12), (b"sBIT", b"\x0c")), tmp_path), dark)
    close(silent(png16(whole(0.2 * COLOURS, 10), (b"sBIT", b"\x0a\x0a\x0a")), tmp_path), 0.2 * COLOURS)
    close(silent(tiff(whole(dark, 12), {281: [4095]}), tmp_path, "a.tif"), dark)
    close(silent(tiff(whole(0.2 * COLOURS, 14), {281: [16383] * 3}), tmp_path, "a.tif"), 0.2 * COLOURS)


def test_an_sbit_of_numbers_shifted_up_as_the_standard_has_it_changes_nothing(tmp_path):
    for shares in (SHARES, 0.2 * SHARES):
        close(silent(png16(whole(shares, 12) << 4, (b"sBIT", b"\x0c")), tmp_path), shares)
    close(silent(png16(whole(0.2 * SHARES, 16), (b"sBIT", b"\x10")), tmp_path), 0.2 * SHARES)


def test_a_tiff_of_twelve_packed_bits_says_so(tmp_path):
    pixels = whole(0.2 * SHARES, 12)
    pairs = pixels.reshape(-1, 2).astype(np.uint32)
    words = pairs[:, 0] << 12 | pairs[:, 1]
    packed = np.stack([words >> 16, words >> 8 & 255, words & 255], -1).astype(np.uint8)
    content = tiff(packed.reshape(48, 96), {256: [64], 258: [12]})
    close(silent(content, tmp_path, "a.tif"), 0.2 * SHARES)


def test_white_is_zero_where_the_tiff_says_so(tmp_path):
    close(silent(tiff(whole(1 - SHARES, 16), {262: [0]}), tmp_path, "a.tif"), SHARES)


@pytest.mark.parametrize("shares", [SHARES, COLOURS], ids=["grey", "colours"])
@pytest.mark.parametrize("white", [1, 255])
def test_floating_point_runs_to_one_or_to_255(white, shares, tmp_path):
    close(silent(tiff((white * shares).astype(np.float32)), tmp_path, "a.tif"), shares)
    overshot = white * (1.002 * shares)
    close(silent(tiff(overshot.astype(np.float32)), tmp_path, "a.tif"), shares, 2)


def test_floating_point_of_sixteen_bits_is_said(tmp_path):
    message = (
        "holds numbers up to 65535 in 32 bits: they are taken for 16 bits, 65535 is white (a PNG's sBIT or a "
    )
    message += "TIFF's MaxSampleValue would tell)"
    close(noted(tiff((65535 * SHARES).astype(np.float32)), tmp_path, message, "a.tif"), SHARES)


@pytest.mark.parametrize("pixels", [SHARES * 2 - 1, SHARES * 2000 - 1000, SHARES * 1500 + 29315])
def test_negative_numbers_and_narrow_bands_are_stretched(pixels, tmp_path):
    """Normalised pictures, Hounsfield units, hundredths of a Kelvin."""
    pixels = pixels.astype(np.float32)
    least, most = f"{pixels.min():g}", f"{pixels.max():g}"
    message = f"holds numbers from {least} to {most}: they are stretched, {least} is black and {most} white"
    close(noted(tiff(pixels), tmp_path, message, "a.tif"), SHARES)
    if most not in ("1",):
        kind = np.int16 if pixels.min() < 0 else np.uint16
        close(noted(tiff(np.rint(pixels).astype(kind)), tmp_path, message, "a.tif"), SHARES)


def test_nan_is_dark_and_said(tmp_path):
    pixels = SHARES.astype(np.float32)
    pixels[:12, :] = np.nan
    pixels[12, 0] = np.inf
    message = "holds NaN or infinity in 25.0% of its pixels: they are shown as the darkest"
    image = noted(tiff(pixels), tmp_path, message, "a.tif")
    assert (image[:12] == 0).all()
    close(image[13:], SHARES[13:])
    (tmp_path / "a.tif").write_bytes(tiff(np.full((48, 64), np.nan, np.float32)))
    with pytest.raises(InputError, match=r"a.tif holds no numbers but NaN or infinity"):
        read_image(tmp_path / "a.tif")


def test_flat_pictures_are_no_trouble(tmp_path):
    for value in (0, 300, 65535):
        with warnings.catch_warnings(action="ignore"):
            assert np.ptp(read_image(np.full((48, 64), value, np.uint16))) == 0
    assert (silent(png16(np.zeros((48, 64))), tmp_path) == 0).all()


def test_what_is_transparent_is_white_in_few_bits_as_in_many(tmp_path):
    clear = np.zeros((48, 64, 1))
    clear[:, 32:] = 1
    for bits in (12, 16):
        with warnings.catch_warnings(action="ignore"):
            (tmp_path / "a.png").write_bytes(png16(whole(np.dstack([COLOURS, clear]), bits)))
            image = read_image(tmp_path / "a.png")
            assert (image[:, :32] == 255).all()
            close(image[:, 32:], COLOURS[:, 32:])
            (tmp_path / "a.png").write_bytes(png16(whole(np.dstack([SHARES, clear]), bits)))
            image = read_image(tmp_path / "a.png")
            assert (image[:, :32] == 255).all()
            close(image[:, 32:], SHARES[:, 32:])
            array = read_image(whole(np.dstack([COLOURS, clear]), bits))
            close(array[:, 32:], COLOURS[:, 32:])
            assert (array[:, :32] == 255).all()
    keyed = silent(png16(whole(SHARES, 16), (b"tRNS", b"\0\0")), tmp_path)
    assert (keyed[:, 0] == 255).all()
    close(keyed[:, 1:], SHARES[:, 1:])


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("shares", [SHARES, COLOURS], ids=["grey", "colours"])
def test_orientation_is_undone_of_every_depth(orientation, shares, tmp_path):
    upright = np.ascontiguousarray(ORIENTED[orientation](shares))
    directory = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    close(silent(png16(whole(shares, 16), (b"eXIf", directory)), tmp_path), upright)
    for pixels in (whole(shares, 16), whole(shares, 8).astype(np.uint8), shares.astype(np.float32)):
        close(silent(tiff(pixels, {274: [orientation]}), tmp_path, "a.tif"), upright)


def test_compressed_tiffs_are_read_alike(tmp_path):
    path = tmp_path / "a.tif"
    cv2.imwrite(str(path), whole(COLOURS[..., ::-1], 12))
    with pytest.warns(UserWarning, match="taken for 12 bits"):
        close(read_image(path), COLOURS)


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_colours_of_many_bits_in_planes_of_their_own_are_refused(kind, tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(whole(COLOURS, 12).astype(kind), {284: [2]}))
    with pytest.raises(InputError, match=r"a.tif keeps each colour in a plane of its own, of (16|32) bits"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("alpha", [0, 1, 2], ids=["no opacity", "colours times opacity", "opacity"])
def test_a_fourth_channel_is_what_the_tiff_says(alpha, tmp_path):
    opacity = np.full((48, 64, 1), 0.5)
    stored = COLOURS * opacity if alpha == 1 else COLOURS
    image = silent(tiff(whole(np.dstack([stored, opacity]), 16), {338: [alpha]}), tmp_path, "a.tif")
    close(image, COLOURS * 0.5 + 0.5 if alpha else COLOURS, 2)


def test_other_numbers_of_a_tiff_are_read_to_the_same_picture(tmp_path):
    for pixels in (COLOURS.astype(np.float64), SHARES.astype(np.float64), whole(COLOURS, 32)):
        shares = SHARES if pixels.ndim == 2 else COLOURS
        close(silent(tiff(pixels), tmp_path, "a.tif"), shares)


@pytest.mark.parametrize("pixels", [COLOURS.astype(np.float16), np.dstack([whole(SHARES, 12)] * 2)])
def test_a_tiff_that_nobody_knows_is_called_one(pixels, tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(pixels))
    with pytest.raises(InputError, match=r"a.tif is a TIFF of a kind that cannot be read, of 16 bits: save"):
        read_image(tmp_path / "a.tif")


def test_training_reads_few_bits_in_sixteen_as_well(tmp_path):
    (tmp_path / "a.png").write_bytes(png16(whole(COLOURS, 12)))
    with pytest.warns(UserWarning, match="taken for 12 bits"):
        crop = read_crop(tmp_path / "a.png", Crop((31.5, 23.5), 48), 48)
    close(crop, COLOURS[:, 8:56], 2)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_eight_bits_and_less_stay_as_they_are(mode, tmp_path):
    picture = Image.fromarray(np.uint8([0, 255]).repeat(32)[None].repeat(48, 0)).convert(mode)
    path = tmp_path / ("a.png" if mode in ("1", "L", "P") else "a.jpg")
    picture.save(path)
    close(silent(path.read_bytes(), tmp_path, path.name), np.repeat([0.0, 1.0], 32)[None].repeat(48, 0), 3)

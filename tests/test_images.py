"""Photos come in many kinds and leave in one; what is none is named."""

import io
import os
import re
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from mutants import limits, survive
from pictures import png16, tiff
from PIL import Image

from mpt.crops import Crop
from mpt.datasets.loading import read_crop
from mpt.errors import InputError
from mpt.images import matching, read_image


@pytest.fixture
def photo() -> np.ndarray:
    """(48, 64, 3) smooth colours, so that JPEG keeps them."""
    y, x = np.mgrid[:48, :64]
    return np.stack([x * 4, y * 5, 255 - x * 2 - y], -1).astype(np.uint8)


def test_a_png_comes_back_as_it_was(photo, tmp_path):
    Image.fromarray(photo).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), photo)


@pytest.mark.parametrize("orientation,turned", [(3, 2), (6, 3), (8, 1)])
def test_exif_orientation_is_undone(photo, tmp_path, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(photo, turned))


def test_grey_becomes_three_equal_channels(photo, tmp_path):
    Image.fromarray(photo[..., 0]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.repeat(photo[..., :1], 3, 2))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_are_white(photo, tmp_path, mode):
    alpha = np.full((48, 64, 1), 255, np.uint8)
    alpha[:24] = 0
    picture = Image.fromarray(np.concatenate([photo, alpha], -1))
    picture = picture.quantize(200) if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert (image[:20] == 255).all() and (image[28:] < 255).any(-1).all()


def test_sixteen_bits_keep_their_upper_eight(photo, tmp_path):
    deep = photo[..., 0].astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., 0], photo[..., 0])
    np.testing.assert_array_equal(read_image(photo.astype(np.uint16) * 257), photo)


def test_of_an_animation_the_first_frame_is_taken_and_said(tmp_path):
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=r"a\.gif holds several frames; the first one is used"):
        image = read_image(tmp_path / "a.gif")
    assert (image == [255, 0, 0]).all()


def test_arrays_are_read_as_files_are(photo):
    np.testing.assert_array_equal(read_image(photo), photo)
    assert read_image(photo[..., 0]).shape == (48, 64, 3)
    clear = np.concatenate([photo, np.zeros((48, 64, 1), np.uint8)], -1)
    assert (read_image(clear) == 255).all()


def encoded(format: str, mode: str = "RGB", **options) -> bytes:
    """A picture of 48 x 40 pixels, turned about by its EXIF, in a file of that format."""
    y, x = np.mgrid[:40, :48]
    picture = Image.fromarray(np.stack([x * 5, y * 5, x + y], -1).astype(np.uint8)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    more = {"exif": exif} if format in ("JPEG", "PNG", "WEBP") else {}
    picture.save(file, format, **more, **options)
    return file.getvalue()


DEEP = np.linspace(0, 4095, 48).astype(np.uint16)[None].repeat(40, 0)
FRAMES = {"save_all": True, "append_images": [Image.new("RGB", (48, 40))]}
ENCODED = {
    "png": encoded("PNG"),
    "palette.png": encoded("PNG", "P", transparency=0),
    "animated.png": encoded("PNG", **FRAMES),
    "deep.png": png16(DEEP, (b"sBIT", b"\x0c")),
    "deep_colours.png": png16(np.dstack([DEEP] * 3)),
    "jpg": encoded("JPEG"),
    "cmyk.jpg": encoded("JPEG", "CMYK"),
    "two_eyes.jpg": encoded("MPO", **FRAMES),
    "webp": encoded("WEBP"),
    "gif": encoded("GIF", **FRAMES),
    "bmp": encoded("BMP"),
    "tif": encoded("TIFF", compression="tiff_lzw"),
    "deep.tif": tiff(DEEP),
    "float.tif": tiff(DEEP.astype(np.float32)),
    "float_colours.tif": tiff(np.dstack([DEEP] * 3).astype(np.float32)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ENCODED)
def test_a_damaged_picture_is_read_or_refused(kind, tmp_path):
    (tmp_path / f"whole.{kind}").write_bytes(ENCODED[kind])
    assert read_image(tmp_path / f"whole.{kind}").shape[2] == 3
    alike = sum(other.endswith(kind[-3:]) for other in ENCODED)
    assert survive(read_image, tmp_path / f"a.{kind}", ENCODED[kind], 2000 // alike)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["png", "jpg", "deep.tif"])
def test_a_damaged_picture_of_a_data_set_is_read_or_refused(kind, tmp_path):
    def read(path):
        return read_crop(path, Crop((20, 20), 30), 16)

    assert survive(read, tmp_path / f"a.{kind}", ENCODED[kind], 500)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _huge_png() -> bytes:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(10**7)))


def _patched(format: str, place: int, size: str, side: int = 60_000) -> bytes:
    content = bytearray(encoded(format))
    struct.pack_into(size, content, place, side, side)
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        _huge_png(),
        _patched("BMP", 18, "<ii"),
        _patched("JPEG", encoded("JPEG").index(b"\xff\xc0") + 5, ">HH"),
        tiff(np.zeros((40, 48), np.uint16), {256: [60_000], 257: [60_000]}),
        tiff(np.zeros((40, 48, 3), np.uint16), {256: [60_000], 257: [60_000]}),
        tiff(np.zeros((40, 48, 3), np.float32), {256: [60_000], 257: [60_000]}),
    ],
    ids=["png", "bmp", "jpeg", "tiff", "tiff in colour", "tiff of floating point"],
)
def test_a_picture_that_says_it_is_huge_is_refused_at_once(content, tmp_path):
    (tmp_path / "a").write_bytes(content)
    with limits(), pytest.raises(InputError, match="a has more than 178 megapixels: give a smaller copy"):
        read_image(tmp_path / "a")
    with limits(), pytest.raises(InputError, match=r"a: (has more than 178 megapix|is no whole picture)"):
        read_crop(tmp_path / "a", Crop((20, 20), 30), 16)


def test_text_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path):
    png = encoded("PNG")
    bomb = _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3 * 10**8)))
    (tmp_path / "a.png").write_bytes(png[:33] + bomb + png[33:])
    with (
        limits(),
        pytest.raises(InputError, match=r"a broken picture \(Decompressed data too large"),
    ):
        read_image(tmp_path / "a.png")


def test_animations_and_pictures_of_two_eyes_show_their_first_frame(tmp_path):
    first = np.zeros((40, 48, 3), np.uint8)
    first[:, 24:] = 255
    for format in ("PNG", "GIF", "WEBP"):
        path = tmp_path / f"a.{format}"
        Image.fromarray(first).save(path, **FRAMES, **({"lossless": True} if format == "WEBP" else {}))
        with pytest.warns(UserWarning, match=r"holds several frames; the first one is used"):
            np.testing.assert_array_equal(read_image(path), first)
    Image.fromarray(first).save(tmp_path / "a.mpo", **FRAMES)
    with warnings.catch_warnings(action="error"):
        np.testing.assert_allclose(read_image(tmp_path / "a.mpo"), first, atol=3)


def _empty(path):
    path.write_bytes(b"")


def _text(path):
    path.write_text("not a picture")


def _truncated(path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-2000])


def _single_pixel(path):
    Image.new("RGB", (1, 1)).save(path)


def _thread(path):
    Image.new("RGB", (30_000, 20)).save(path)


def _missing(path):
    pass


@pytest.mark.parametrize(
    "make,sentence",
    [
        (_empty, "is an empty file"),
        (_text, "is no picture that can be read: give a JPEG, PNG"),
        (_truncated, "is a broken picture .* copy or download"),
        (_single_pixel, "is 1 x 1 pixels, too small .* at least 32 pixels"),
        (_thread, "is 30000 x 20 pixels, too small or too thin"),
        (_missing, "does not exist"),
        (os.mkdir, "is a folder"),
    ],
)
def test_what_is_no_photo_is_refused_in_one_sentence(tmp_path, make, sentence):
    path = tmp_path / "photo.jpg"
    make(path)
    with pytest.raises(InputError, match=re.escape(str(path)) + " .*" + sentence) as refusal:
        read_image(path)
    assert "\n" not in str(refusal.value)


def test_an_unreadable_file_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "photo.jpg"
    _text(path)

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", denied)
    with pytest.raises(InputError, match="may not be read by this user"):
        read_image(path)


@pytest.mark.parametrize(
    "array", [np.zeros((48, 64, 3)), np.zeros((48, 64, 2), np.uint8), np.zeros(5, np.uint8)]
)
def test_arrays_of_other_kinds_are_refused(array):
    with pytest.raises(InputError, match=r"must be .* uint8 .* but this one is"):
        read_image(array)


def test_a_photo_is_the_same_however_it_is_given(photo, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(photo).save(path)
    with path.open("rb") as file, Image.open(path) as picture:
        for source in (
            path,
            str(path),
            path.as_uri(),
            Path(path.as_uri()),
            path.read_bytes(),
            bytearray(path.read_bytes()),
            io.BytesIO(path.read_bytes()),
            file,
            picture,
            Image.fromarray(photo),
            torch.from_numpy(photo),
            torch.from_numpy(photo).permute(2, 0, 1),
            torch.from_numpy(photo).permute(2, 0, 1) / 255,
            torch.from_numpy(photo / 255).requires_grad_(),
        ):
            np.testing.assert_array_equal(read_image(source), photo)


def test_a_pil_image_is_turned_upright_and_stays_as_it_was(photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(read_image(picture), np.rot90(photo, 3))
        assert picture.size == (64, 48) and picture.getexif()[0x0112] == 6
    clear = Image.fromarray(photo).convert("RGBA")
    clear.putalpha(0)
    assert (read_image(clear) == 255).all()


def test_a_name_that_begins_with_a_tilde_is_below_the_home_directory(photo, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.fromarray(photo).save(tmp_path / "my photo.png")
    np.testing.assert_array_equal(read_image("~/my photo.png"), photo)
    np.testing.assert_array_equal(read_image((tmp_path / "my photo.png").as_uri()), photo)  # %20
    monkeypatch.chdir(tmp_path)
    Path("~").mkdir()
    Image.fromarray(255 - photo).save("~/my photo.png")  # what is really called so comes first
    np.testing.assert_array_equal(read_image("~/my photo.png"), 255 - photo)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("https://example.org/a.jpg", "https://example.org/a.jpg is an address: download it first"),
        (Path("https://example.org/a.jpg"), "https://example.org/a.jpg is an address: download it first"),
        ("S3://bucket/a.jpg", "s3://bucket/a.jpg is an address"),
        ("data:image/png;base64,iVBOR", "data:image/png;base64,iVBOR is an address"),
        ("file:///nowhere/a.jpg", "/nowhere/a.jpg does not exist"),
        ("", "the photo's name is empty"),
        ("a\0b", "cannot be read .*null"),
        ("x" * 300, "cannot be read .File name too long."),
        ("/dev/null", "/dev/null is a device, not a picture"),
        (["a.jpg", "b.jpg"], "a list of 2 was given: give one photo at a time"),
        ((), "a tuple of 0 was given"),
        (None, "a NoneType is no photo: give a path, bytes"),
        (7, "a int is no photo"),
        (b"", "the picture given as bytes is an empty file"),
        (b"hello", "the picture given as bytes is no picture that can be read"),
        (io.StringIO("hello"), "the open file is open as text: open it by open"),
        (
            torch.zeros(3, 48, 3, dtype=torch.uint8),
            r"a tensor of \(3, 48, 3\) may be \(C, H, W\) or \(H, W, C\)",
        ),
        (torch.zeros(1, 3, 48, 64), r"this one is \(1, 3, 48, 64\)"),
        (torch.full((3, 48, 64), 255.0), "a tensor of 255 to 255 was given: floats in 0-1 were expected"),
        (torch.full((3, 48, 64), torch.nan), "a tensor of nan to nan"),
        (torch.zeros(48, 64, 5, dtype=torch.uint8), r"this one is \(48, 64, 5\)"),
        (torch.zeros(48, 64, 3, dtype=torch.int64), "of int64"),
        (np.zeros((48, 64, 3)), "of float64"),
    ],
)
def test_what_cannot_be_a_photo_is_said(source, sentence):
    with pytest.raises(InputError, match=sentence) as refusal:
        read_image(source)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_closed_or_open_for_writing_is_refused(tmp_path):
    with (
        (tmp_path / "a").open("wb") as file,
        pytest.raises(InputError, match=r"a cannot be read .*open it by"),
    ):
        read_image(file)
    with (tmp_path / "a").open("rb") as file:
        pass
    with pytest.raises(InputError, match=r"a cannot be read .*closed file"):
        read_image(file)


FTYP = b"\0\0\0\x18ftyp"


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.pdf", b"%PDF-1.7\n", "a PDF"),
        ("a.jpg", FTYP + b"heic\0\0\0\0mif1heic", "a HEIC picture: convert it to a JPEG"),
        ("a.heic", FTYP + b"mif1\0\0\0\0heicmif1", "a HEIC picture"),
        ("a.mp4", FTYP + b"isom\0\0\2\0isomiso2", "a video: save one of its frames as a JPEG"),
        ("a.mov", FTYP + b"qt  \0\0\2\0qt  ", "a video"),
        ("a.mkv", b"\x1aE\xdf\xa3\1\0\0", "a video"),
        ("a.avi", b"RIFF\0\0\0\0AVI LIST", "a video"),
        ("a.cr3", FTYP + b"crx \0\0\0\1crx isom", "a RAW photo: develop it"),
        ("a.raf", b"FUJIFILMCCD-RAW 0201", "a RAW photo"),
        ("a.nef", b"MM\0*\0\0\0\x08", "a RAW photo"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        ("a.jpg", b"\n<!DOCTYPE html><html>", "a web page, not the picture on it"),
        ("a.jpg", b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
        ("a.jxl", b"\xff\x0a\xfa\x7f", "a JPEG XL picture"),
        ("a.zip", b"PK\3\4\x14\0", "an archive: unpack it"),
    ],
)
def test_files_that_are_no_pictures_are_named(name, content, what, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is {what}"):
        read_image(tmp_path / name)


def test_the_thumbnail_of_a_raw_photo_is_not_taken_for_it(photo, tmp_path):
    Image.fromarray(photo).save(tmp_path / "a.dng", format="TIFF")
    with pytest.raises(InputError, match=r"a\.dng is a RAW photo: develop it, or export it as a JPEG"):
        read_image(tmp_path / "a.dng")


def test_a_pipe_is_read(photo, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "PNG")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[buffer.getvalue()])
    writer.start()
    np.testing.assert_array_equal(read_image(tmp_path / "pipe"), photo)
    writer.join()


def test_stars_are_files_in_order_and_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "a.jpg", "c.png", "[d].jpg", "below/e.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    Path("folder.jpg").mkdir()
    assert matching("?.jpg") == [Path("a.jpg"), Path("b.jpg")]
    assert matching("*.jpg") == [Path("[d].jpg"), Path("a.jpg"), Path("b.jpg")]
    assert matching("**/*.jpg")[-1] == Path("below/e.jpg")
    assert matching("[d].jpg") == [Path("[d].jpg")]
    assert matching("missing.jpg") == [Path("missing.jpg")]  # whoever reads it will say so
    for nothing in ("*.gif", "[x].jpg"):
        with pytest.raises(InputError, match=re.escape(f"{nothing}: no file is called so, or matches it")):
            matching(nothing)


@pytest.mark.filterwarnings("error")
def test_a_large_photo_is_read_without_alarm(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # Pillow warns beyond
    Image.new("RGB", (50, 60)).save(tmp_path / "large.png")
    assert read_image(tmp_path / "large.png").shape == (60, 50, 3)


@pytest.mark.parametrize(
    "array,advice",
    [
        (np.zeros((40, 50, 3)), r": give \(255 \* image\)\.astype\(np\.uint8\) if it goes from 0 to 1"),
        (np.zeros((3, 40, 50), np.uint8), r": give image\.transpose\(1, 2, 0\)"),
        (np.zeros((1, 40, 50, 3), np.uint8), r": give one photo at a time, image\[0\]"),
    ],
)
def test_arrays_that_are_no_picture_yet_are_told_what_makes_them_one(array, advice):
    with pytest.raises(InputError, match=advice):
        read_image(array)

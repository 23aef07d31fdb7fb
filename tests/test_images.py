"""Photos come in many kinds and leave in one; a crop and its photo map onto each other exactly."""

import os
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mpt.errors import InputError
from mpt.images import Crop, apply, compose, read_image

CROPS = st.builds(
    Crop,
    st.tuples(st.floats(-50, 300), st.floats(-50, 300)),
    st.floats(1, 500),
    st.floats(-np.pi, np.pi),
)


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


@given(CROPS, st.integers(1, 300))
def test_crop_to_photo_and_back_is_identity(crop, size):
    identity = np.eye(2, 3)
    np.testing.assert_allclose(compose(crop.ndc_from_image, crop.image_from_ndc), identity, atol=1e-9)
    round_trip = compose(crop.crop_from_image(size), crop.image_from_crop(size))
    np.testing.assert_allclose(round_trip, identity, atol=1e-6)


@given(CROPS, st.integers(1, 300))
def test_a_crop_spans_minus_one_to_one_edge_to_edge(crop, size):
    edges = np.array([[-0.5, -0.5], [size - 0.5, size - 0.5]])
    ndc = apply(compose(crop.ndc_from_image, crop.image_from_crop(size)), edges)
    np.testing.assert_allclose(ndc, [[-1, -1], [1, 1]], atol=1e-6)


def test_the_crop_around_points_holds_them_with_a_margin():
    points = np.array([[10, 20, 0.5], [30, 100, 0.9]])
    crop = Crop.around(points, 1.25)
    assert crop == Crop((20, 60), 100)
    ndc = apply(crop.ndc_from_image, points[:, :2])
    assert np.abs(ndc).max() == pytest.approx(1 / 1.25)


def test_a_crop_of_whole_pixels_is_cut_out_unchanged(photo):
    crop = Crop((20 + 15.5, 10 + 15.5), 32)
    np.testing.assert_array_equal(crop.warp(photo, 32), photo[10:42, 20:52])


def test_outside_the_photo_a_crop_is_black(photo):
    assert (Crop((-100, -100), 50).warp(photo, 32) == 0).all()
    assert (Crop((-0.5, 23.5), 48).warp(photo, 48)[:, :23] == 0).all()


def test_a_quarter_turn_of_the_crop_is_one_of_the_picture(photo):
    crop = Crop((31.5, 23.5), 32, np.pi / 2)
    upright = Crop((31.5, 23.5), 32).warp(photo, 32)
    np.testing.assert_allclose(crop.warp(photo, 32), np.rot90(upright), atol=1)


@settings(max_examples=20, deadline=None)
@given(st.floats(60, 140), st.floats(60, 140), st.floats(80, 160))
def test_a_shrunk_crop_keeps_every_point_in_its_place(x, y, side):
    """A blob lands where the affine map says, although the photo is averaged down first."""
    row, column = np.mgrid[:200, :200]
    blob = 250 * np.exp(-((column - x) ** 2 + (row - y) ** 2) / 200)
    crop = Crop((100, 100), side)
    small = crop.warp(np.repeat(blob[..., None], 3, 2).astype(np.uint8), 32)[..., 0].astype(float)
    expected = apply(crop.crop_from_image(32), np.array([x, y]))
    if ((expected > 10) & (expected < 21)).all():
        rows, columns = np.mgrid[:32, :32]
        mass = np.array([(small * columns).sum(), (small * rows).sum()]) / small.sum()
        np.testing.assert_allclose(mass, expected, atol=0.3)


@given(CROPS, st.floats(0.1, 10))
def test_a_resized_crop_shows_the_same_part(crop, factor):
    edge = np.array([[0.3, -0.7]])
    pixel = apply(crop.image_from_ndc, edge)
    expected = (pixel + 0.5) * factor - 0.5
    np.testing.assert_allclose(apply(crop.resized(factor).image_from_ndc, edge), expected, atol=1e-6)

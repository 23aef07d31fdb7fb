"""Crops and the photo: coordinates there and back, and what is cut out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpt.crops import Crop, apply, compose

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


# ----------------------------------------------------------------------------------- what is given as a photo

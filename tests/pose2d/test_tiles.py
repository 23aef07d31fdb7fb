"""Tiles leave nothing out."""

import numpy as np
import pytest

from mpt.crops import apply
from mpt.pose2d.tiles import shrunk, tiles, whole


@pytest.mark.parametrize("height,width", [(300, 500), (500, 300), (400, 400), (100, 3000)])
@pytest.mark.parametrize("overlap", [0.5, 0.25, 0.0])
def test_tiles_cover_the_photo_and_stay_on_it(height, width, overlap):
    side = max(height, width) / 3
    squares = tiles(np.zeros((height, width)), side, overlap)
    covered = np.zeros((height, width), bool)
    for tile in squares:
        low, high = apply(tile.image_from_ndc, np.array([[-1.0, -1], [1, 1]])) + 0.5
        x0, y0, x1, y1 = np.rint(np.concatenate([low, high])).astype(int)
        covered[max(y0, 0) : y1, max(x0, 0) : x1] = True
        assert x0 >= 0 and x1 <= width
    assert covered.all()


def test_less_overlap_makes_fewer_tiles():
    counts = [len(tiles(np.zeros((300, 400)), 100, overlap)) for overlap in (0.5, 0.25, 0.0)]
    assert counts == [5 * 7, 4 * 5, 3 * 4]


def test_the_whole_is_the_square_that_holds_the_photo():
    square = whole(np.zeros((40, 60)))
    assert square.side_px == 60
    corners = apply(square.image_from_ndc, np.array([[-1.0, -2 / 3], [1, 2 / 3]]))
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [59.5, 39.5]])


def test_a_shrunk_photo_averages():
    image = np.random.default_rng(0).integers(0, 255, (30, 45, 3)).astype(np.uint8)
    assert shrunk(image, 1) is image
    expected = image.reshape(10, 3, 15, 3, 3).mean((1, 3))
    assert np.abs(shrunk(image, 3) - expected).max() <= 0.5
    assert shrunk(image[:29, :44], 3).shape == (10, 15, 3)

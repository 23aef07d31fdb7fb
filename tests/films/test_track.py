"""Filters without delay, bridges, and films that are written as they came."""

import av
import numpy as np
import pytest
from small_films import grey

from mpt.films.encoding import written
from mpt.films.pipes import ahead, mapped
from mpt.films.track import Track, bridged, filtered, low_pass, stretches

FPS = 30.0
TIMES = np.arange(120) / FPS


def wave(hertz: float, times: np.ndarray = TIMES) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * times)[:, None]


def test_slow_motion_stays_where_it_is_and_trembling_goes():
    slow = low_pass(wave(1), TIMES, FPS)
    np.testing.assert_allclose(slow[10:-10], wave(1)[10:-10], atol=0.01)
    assert np.abs(low_pass(wave(13), TIMES, FPS)[10:-10]).max() < 0.05


def test_a_constant_stays_to_the_last_digit_that_counts():
    np.testing.assert_allclose(low_pass(np.full((50, 2), 3.5), TIMES[:50], FPS), 3.5, atol=1e-9)


def test_uneven_times_are_filtered_as_even_ones():
    times = np.delete(TIMES, [7, 30, 31, 77])
    found = low_pass(wave(1, times), times, FPS)
    assert found.shape == (116, 1)
    np.testing.assert_allclose(found[10:-10], wave(1, times)[10:-10], atol=0.03)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 16])
def test_short_tracks_are_filtered_as_far_as_it_goes(count):
    found = low_pass(wave(1)[:count], TIMES[:count], FPS)
    assert found.shape == (count, 1) and np.isfinite(found).all()
    np.testing.assert_allclose(found, wave(1)[:count], atol=0.12)


def test_films_slower_than_the_filter_are_left_alone():
    values = np.random.default_rng(0).normal(size=(40, 3))
    np.testing.assert_array_equal(low_pass(values, np.arange(40) / 8, 8), values)


def track(frames: list[int]) -> Track:
    count, at = len(frames), np.array(frames, float)
    line = np.repeat(at[:, None], 3, 1)
    return Track(
        0, np.array(frames), at / FPS, np.ones((count, 2, 3)), line[:, :2], at, line[:, None].repeat(2, 1),
        None, line[:, None].repeat(4, 1).astype(np.float32), line, None, None, np.ones(count),
    )  # fmt: skip


def test_short_gaps_are_bridged_evenly_and_long_ones_stay():
    found = bridged(track([0, 1, 5, 6, 60, 61]), np.arange(70) / FPS)
    assert found.frames.tolist() == [0, 1, 2, 3, 4, 5, 6, 60, 61]
    np.testing.assert_allclose(found.translation_m[:, 0], found.frames)
    np.testing.assert_allclose(found.times_s, found.frames / FPS)
    assert found.score.tolist() == [1, 1, 0, 0, 0, 1, 1, 1, 1]
    assert not found.joints2d_px[2:5, :, 2].any()


def test_who_comes_back_after_long_is_filtered_from_then_on():
    gap = track([*range(30), *range(90, 120)])
    gap.translation_m[30:] += 100
    found = filtered(gap, FPS)
    np.testing.assert_allclose(found.translation_m, gap.translation_m, atol=0.05)
    assert stretches(gap.times_s, 1.0) == [slice(0, 30), slice(30, 60)]


def test_a_written_film_plays_at_its_own_times(tmp_path):
    times = [0.0, 0.1, 0.35, 0.4]
    with written(tmp_path / "a.mp4", (64, 48), 10, even=False) as write:
        for number, at in enumerate(times):
            write(grey(number), number, at)
    with av.open(str(tmp_path / "a.mp4")) as film:
        np.testing.assert_allclose([frame.time for frame in film.decode(video=0)], times, atol=1e-3)
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # it plays before it is loaded
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_work_side_by_side_comes_in_order_and_errors_pass():
    assert list(mapped(lambda x: 2 * x, ahead(range(50)), 3)) == list(range(0, 100, 2))

    def failing():
        yield 1
        raise ValueError("in the thread")

    with pytest.raises(ValueError, match="in the thread"):
        list(ahead(failing()))
    assert next(ahead(iter(range(10**9)))) == 0  # and nobody goes on reading

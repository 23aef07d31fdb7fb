"""Frames come upright, in order and in time, whatever holds them."""

import warnings
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from small_films import SIZE, grey, numbers_of, write_film

from mpt.errors import InputError
from mpt.films.opening import is_film, open_film


def pictures(film) -> list[np.ndarray | None]:
    return [frame.pixels for frame in film]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi", "a.ts"])
def test_the_frames_of_any_container_come_in_order_and_in_time(tmp_path, name):
    film = open_film(write_film(tmp_path / name, [grey(k) for k in range(12)]))
    frames = list(film)
    assert numbers_of([frame.pixels for frame in frames]) == list(range(12))
    assert [frame.number for frame in frames] == list(range(12))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(12) / 10, atol=2e-3)
    assert (film.size_wh, film.fps, film.focal_mm) == (SIZE, 10, None)
    assert numbers_of(pictures(film)) == list(range(12))  # and once more


def corners(pixels: np.ndarray) -> list[str]:
    """What the corners of a picture are coloured, row by row."""
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    return [names[tuple((pixels[y, x] > 128).astype(int))] for y in (4, -5) for x in (4, -5)]


def quarters() -> np.ndarray:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32], picture[:24, 32:] = (255, 0, 0), (0, 255, 0)
    picture[24:, :32], picture[24:, 32:] = (0, 0, 255), (255, 255, 255)
    return picture


@pytest.mark.parametrize(
    ("rotation", "seen", "size"),
    [
        (0, ["red", "green", "blue", "white"], (64, 48)),
        (90, ["green", "white", "red", "blue"], (48, 64)),  # counter-clockwise
        (180, ["white", "blue", "green", "red"], (64, 48)),
        (-90, ["blue", "red", "white", "green"], (48, 64)),
    ],
)
def test_a_film_that_was_taken_on_its_side_is_turned(tmp_path, rotation, seen, size):
    film = open_film(write_film(tmp_path / "a.mp4", [quarters()] * 3, rotation=rotation))
    assert film.size_wh == size
    assert all(corners(pixels) == seen for pixels in pictures(film))


def test_times_of_a_variable_frame_rate_are_the_films_own(tmp_path):
    pts = [0, 1, 2, 6, 7, 11]
    film = open_film(write_film(tmp_path / "a.mp4", [grey(k) for k in range(6)], pts=pts))
    assert [round(frame.time_s * 10) for frame in film] == pts


@pytest.mark.parametrize("full_range", [False, True])
def test_white_is_white_in_either_colour_range(tmp_path, full_range):
    picture = np.full((48, 64, 3), 255, np.uint8)
    picture[:, :32] = 0
    film = write_film(tmp_path / "a.mp4", [picture] * 2, pix_fmt="yuvj420p" if full_range else "yuv420p")
    pixels = pictures(open_film(film))[1]
    assert pixels[:, :24].mean() < 2 and pixels[:, 40:].mean() > 253


def test_odd_sizes_are_read(tmp_path):
    film = open_film(write_film(tmp_path / "a.mkv", [quarters()[:47, :63]] * 2, codec="ffv1", pix_fmt="bgr0"))
    assert film.size_wh == (63, 47)


def test_the_focal_length_is_what_the_phone_says(tmp_path):
    told = {"com.apple.quicktime.camera.focal_length.35mm-equivalent": "26"}
    assert open_film(write_film(tmp_path / "a.mov", [grey(1)] * 2, metadata=told)).focal_mm == 26


def test_a_folder_of_numbered_pictures_is_a_film(tmp_path):
    for number in (2, 10, 1):
        Image.fromarray(grey(number)).save(tmp_path / f"shot_{number}.png")
    assert is_film(tmp_path)
    with pytest.warns(UserWarning, match="3 numbered pictures are taken for a film of 30 frames a second"):
        film = open_film(tmp_path)
    assert numbers_of(pictures(film)) == [1, 2, 10]
    assert [frame.time_s for frame in open_film(tmp_path, fps=4)] == [0, 0.25, 0.5]
    assert open_film(tmp_path, fps=4).length == 3


def test_a_folder_of_other_pictures_is_none(tmp_path):
    for name in ("a_1.png", "b_2.png"):
        Image.fromarray(grey(1)).save(tmp_path / name)
    assert not is_film(tmp_path)
    with pytest.raises(InputError, match="is a folder without numbered pictures: name a film, or a folder"):
        open_film(tmp_path)


def test_a_broken_frame_comes_without_pixels_and_is_said(tmp_path):
    for number in range(4):
        Image.fromarray(grey(number)).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="1 frame cannot be read .*2.png is no picture"):
        assert numbers_of(pictures(open_film(tmp_path, fps=4))) == [0, 1, None, 3]


def noise(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (*SIZE[::-1], 3), np.uint8)


def test_a_damaged_packet_costs_its_frame_alone(tmp_path):
    path = write_film(tmp_path / "a.mp4", [noise(k) for k in range(20)])
    with av.open(str(path)) as film:
        start, size = next(
            (packet.pos, packet.size)
            for packet in film.demux(film.streams.video[0])
            if packet.pts is not None and round(packet.pts * packet.time_base * 10) == 12
        )
    content = bytearray(path.read_bytes())
    content[start + 8 : start + size // 2] = bytes(size // 2 - 8)
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"1 frame is broken \(the first is number 12\); people are carried"):
        frames = list(open_film(path))
    assert [frame.number for frame in frames if frame.pixels is None] == [12]
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(20) / 10, atol=1e-3)


def test_a_film_that_was_cut_short_is_read_as_far_as_it_goes(tmp_path):
    path = write_film(tmp_path / "a.mp4", [grey(k) for k in range(20)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(InputError, match="is a broken film, or one that was cut short"):
        open_film(path)
    path = write_film(tmp_path / "a.mkv", [noise(k) for k in range(40)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which container tells its length is not what this is about
        assert 10 < len(pictures(open_film(path))) < 30


def test_frames_of_another_size_are_fitted_into_the_first_ones(tmp_path):
    for number, size in enumerate([(64, 48), (32, 48), (128, 96)]):
        Image.fromarray(grey(5, size)).save(tmp_path / f"{number}.png")
    with pytest.warns(
        UserWarning, match="frame 1 is 32 x 48 pixels, the film began with 64 x 48; such frames"
    ):
        first, narrow, large = pictures(open_film(tmp_path, fps=4))
    assert first.shape == narrow.shape == large.shape == (48, 64, 3)
    assert not narrow[:, :15].any() and (narrow[:, 17:47] == 60).all()
    assert (large == 60).all()


def test_only_the_first_seconds_are_read_on_demand(tmp_path):
    film = open_film(write_film(tmp_path / "a.mp4", [grey(k) for k in range(12)]), seconds=0.45)
    assert numbers_of(pictures(film)) == [0, 1, 2, 3, 4]
    assert film.length == 5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"once upon a time " * 50, "is no film that can be read"),
        (b"", "is an empty file, not a film: copy or download it again"),
        (
            b"\0\0\0\x18ftypisom\0\0\2\0isomiso2mp41" + bytes(500),
            "is a broken film, or one that was cut short",
        ),
    ],
)
def test_what_is_no_film_is_refused_in_a_sentence(tmp_path, content, said):
    (tmp_path / "a.mp4").write_bytes(content)
    assert is_film(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=said):
        open_film(tmp_path / "a.mp4")


def test_a_film_of_sound_alone_is_refused(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    with pytest.raises(InputError, match="holds no pictures, only audio: give a film with a video stream"):
        open_film(path)


@pytest.mark.parametrize("name", ["photo.jpg", "photo.mp4"])
def test_a_photo_is_no_film_whatever_it_is_called(tmp_path, name):
    Image.fromarray(grey(1)).save(tmp_path / name, format="JPEG")
    assert not is_film(tmp_path / name)


def test_a_missing_film_is_said(tmp_path):
    assert is_film(Path("nowhere.mp4"))
    with pytest.raises(InputError, match=r"nowhere.mp4 does not exist: give the path of a film"):
        open_film("nowhere.mp4")

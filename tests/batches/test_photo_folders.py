"""What is in a folder, where its results go, and which numbered pictures are a film."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpt.batches.folders import PhotoFolder, numbered_as
from mpt.errors import InputError


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture(path: str, seed: int = 0, size: tuple[int, int] = (48, 36), **told) -> Path:
    """A smooth random picture."""
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path, **told)
    return Path(path)


def film(folder: str, numbers=range(8)) -> Path:
    """Frames in which a picture moves by a little."""
    wide = np.asarray(Image.open(picture("wide.png", 3, (96, 36))))
    Path("wide.png").unlink()
    Path(folder).mkdir(parents=True)
    for at, number in enumerate(numbers):
        Image.fromarray(wide[:, at : at + 48]).save(f"{folder}/f_{number:04}.png")
    return Path(folder)


def places(folder: str = "in", **how) -> dict[str, str]:
    return {str(item.path): str(item.place) for item in PhotoFolder(Path(folder), **how)}


def test_pictures_and_films_are_taken_and_other_files_passed_over():
    for name in ("in/a.jpg", "in/B.PNG", "in/.hidden.png"):
        picture(name)
    os.rename(picture("in/c.png"), "in/c")  # told by its first bytes
    for name in ("in/notes.txt", "in/Thumbs.db", "in/clip.mp4", "in/phone.heic", "in/list"):
        Path(name).write_bytes(b"something")
    assert [Path(path).name for path in places()] == ["B.PNG", "a.jpg", "c", "clip.mp4", "phone.heic"]


def test_results_keep_the_subfolders_and_nothing_collides():
    for name in ("a.jpg", "a.png", "sub/a.jpg", "sub/deep/a.jpg", "b.jpg", "b/a.jpg", "summary.csv.jpg"):
        picture(f"in/{name}")
    found = places(recursive=True)
    assert found == {
        "in/a.jpg": "a.jpg",
        "in/a.png": "a.png",
        "in/b.jpg": "b.jpg",  # a subfolder is called b
        "in/summary.csv.jpg": "summary.csv.jpg",  # the batch's own file is called so
        "in/b/a.jpg": "b/a",
        "in/sub/a.jpg": "sub/a",
        "in/sub/deep/a.jpg": "sub/deep/a",
    }
    assert places().keys() == {path for path in found if path.count("/") == 1}
    assert places().items() <= found.items()  # whether or not subfolders are gone through


def test_links_to_folders_are_followed_and_circles_are_not():
    picture("far/a.jpg")
    picture("in/b.jpg")
    os.symlink("../far", "in/near")
    os.symlink("..", "in/near/back")
    os.symlink(".", "in/itself")
    assert places(recursive=True) == {"in/b.jpg": "b", "in/near/a.jpg": "near/a"}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may look everywhere")
def test_a_folder_that_may_not_be_looked_into_is_an_entry():
    picture("in/shut/a.jpg")
    picture("in/b.jpg")
    os.chmod("in/shut", 0)
    items = list(PhotoFolder(Path("in"), recursive=True))
    os.chmod("in/shut", 0o700)
    assert [item.refused is None for item in items] == [True, False]


def test_a_folder_of_nothing_is_refused():
    Path("in").mkdir()
    with pytest.raises(InputError, match="in is a folder without photos or films: name one that holds some"):
        PhotoFolder(Path("in")).check()
    picture("in/sub/a.jpg")
    with pytest.raises(InputError, match="--recursive looks into its subfolders"):
        PhotoFolder(Path("in")).check()
    PhotoFolder(Path("in"), recursive=True).check()
    picture("in/b.jpg")
    with pytest.warns(UserWarning, match=r"in: 1 subfolder is left out \(sub\); --recursive takes them"):
        PhotoFolder(Path("in")).check()


# ------------------------------------------------------------------------------------------------ films


def test_frames_that_follow_one_another_are_a_film():
    assert numbered_as(film("in/walk")) == (True, None)
    assert numbered_as(film("every_third", range(1, 25, 3))) == (True, None)
    picture("in/a.jpg")
    assert places(recursive=True) == {"in/a.jpg": "a", "in/walk": "walk"}
    assert [item.film for item in PhotoFolder(Path("in"), recursive=True)] == [None, True]
    assert len(places(recursive=True, folders="photos")) == 9
    assert numbered_as(Path("in/walk"), "photos") == (False, None)


def gap(number: int) -> None:
    os.rename(film("in") / "f_0003.png", "in/f_0030.png")


def sizes(number: int) -> None:
    picture(f"in/f_{number}.png", size=(48 + number, 36))


def camera(number: int) -> None:
    picture(f"in/IMG_{number}.jpg", exif=_exif())


def unlike(number: int) -> None:
    picture(f"in/photo_{number}.png", number)


def same(number: int) -> None:
    picture(f"in/copy_{number}.png")


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[271] = "Maker"
    return exif


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (gap, "their numbers have gaps"),
        (sizes, "they are of several sizes"),
        (camera, "a camera took them one by one"),
        (unlike, "each is unlike the next"),
        (same, "all show the same"),
    ],
)
def test_numbered_photos_are_no_film_and_a_note_says_why(make, reason):
    for number in range(1 if make is gap else 6):
        make(number)
    assert numbered_as(Path("in")) == (False, reason)
    assert numbered_as(Path("in"), "film") == (True, None)
    with pytest.warns(UserWarning, match=f"in: .* taken for photos, for {reason}; --folders film takes") as n:
        folder = PhotoFolder(Path("in"))
        folder.check()
        assert len(list(folder)) == len(os.listdir("in"))
    assert len(n) == 1

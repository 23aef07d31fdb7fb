"""mpt.reconstruct: one photo or many, in whatever way they are given."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from little_model import standing_joints, write_little_model
from PIL import Image

import mpt
from mpt import checkpoint
from mpt.pose2d.keypoints import Keypoints
from mpt.reconstructor import Reconstructor
from mpt.results import OVERLAY_PX

SIZE = (96, 128)


class Finder:
    """Somebody stands in each photo that is not black; remembers what was looked at."""

    def __init__(self, heatmap_size: int) -> None:
        self.heatmap_size, self.seen = heatmap_size, []

    def __call__(self, image):
        self.seen.append(image)
        height, width = image.shape[:2]
        joints = standing_joints((0, 0.1, 3.0), 120.0, (width, height))[None]
        return Keypoints(joints, heatmap_size=self.heatmap_size)(image) if image.any() else []


@pytest.fixture
def model(tmp_path) -> Reconstructor:
    little = checkpoint.load(write_little_model(tmp_path / "little.safetensors"))
    return Reconstructor(little, Finder(little.transformer.config.heatmap_size))


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 255, (SIZE[1], SIZE[0], 3), np.uint8)


@pytest.fixture
def folder(tmp_path, photo) -> Path:
    """Two photos, of which one is broken, and one in a subfolder."""
    place = tmp_path / "photos"
    (place / "below").mkdir(parents=True)
    Image.fromarray(photo).save(place / "a.png")
    Image.fromarray(photo).save(place / "below" / "c.png")
    (place / "b.png").write_bytes(b"no picture")
    return place


def png(photo) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "given",
    [
        lambda photo, folder: folder / "a.png",
        lambda photo, folder: str(folder / "a.png"),
        lambda photo, folder: (folder / "a.png").open("rb"),
        lambda photo, folder: png(photo),
        lambda photo, folder: bytearray(png(photo)),
        lambda photo, folder: io.BytesIO(png(photo)),
        lambda photo, folder: Image.fromarray(photo),
        lambda photo, folder: Image.fromarray(photo).convert("RGBA"),
        lambda photo, folder: photo,
        lambda photo, folder: torch.from_numpy(photo),
        lambda photo, folder: torch.from_numpy(photo).permute(2, 0, 1),
        lambda photo, folder: torch.from_numpy(photo).permute(2, 0, 1) / 255,
    ],
)
def test_a_photo_in_any_form_is_one_result_that_draws_and_saves_itself(model, photo, folder, tmp_path, given):
    result = mpt.reconstruct(given(photo, folder), model=model)
    assert isinstance(result, mpt.Result) and len(result) == 1 and result.size_wh == SIZE
    np.testing.assert_array_equal(model.pose2d.seen[-1], photo)
    drawn = np.asarray(result.overlay(beside=False))
    assert drawn.shape == photo.shape and (drawn != photo).any()
    np.testing.assert_array_equal(drawn, result[0].overlay(photo))
    result.save(tmp_path / "out", format=["obj"], overlay=False)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["person0.obj", "result.json"]


@pytest.mark.parametrize(
    "given",
    [
        lambda photos: list(photos),
        lambda photos: tuple(Image.fromarray(photo) for photo in photos),
        lambda photos: (png(photo) for photo in photos),
        lambda photos: photos,
        lambda photos: torch.from_numpy(photos).permute(0, 3, 1, 2),
    ],
)
def test_many_are_a_list_of_results(model, photo, given):
    photos = np.stack([photo, np.zeros_like(photo), photo[::-1]])
    results = mpt.reconstruct(given(photos), model=model)
    assert [len(result) for result in results] == [1, 0, 1]
    assert results[0] == model(photo)
    for seen, expected in zip(model.pose2d.seen, photos):
        np.testing.assert_array_equal(seen, expected)


def test_of_a_folder_a_photo_that_is_refused_says_why_and_stops_no_other(model, folder):
    with pytest.warns(UserWarning, match=r"b\.png is"):
        results = mpt.reconstruct(folder, model=model)
    assert [Path(result.name).name for result in results] == ["a.png", "b.png"]
    assert [len(result) for result in results] == [1, 0]
    assert results[0].error == "" and "b.png is no picture that can be read" in results[1].error
    assert "refused" in repr(results[1]) and repr(results[0]).endswith("a.png: 1 person>")
    with pytest.raises(mpt.InputError, match="there is nothing to save: "):
        results[1].save(folder / "out")
    with pytest.warns(UserWarning):
        assert len(mpt.reconstruct(folder, model=model, recursive=True)) == 3


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (7, "a int is no photo: give a path"),
        (None, "a NoneType is no photo"),
        (np.full((40, 40, 3), 0.5), r"give \(255 \* image\).astype"),
        (torch.full((3, 40, 40), 128.0), "a tensor of 128 to 128 was given: floats in 0-1"),
        ("not_there.jpg", "not_there.jpg does not exist"),
        (b"no picture", "the picture given as bytes is no picture"),
        (io.StringIO("text"), "is open as text"),
    ],
)
def test_what_is_no_photo_is_refused(model, given, sentence):
    with pytest.raises(mpt.InputError, match=sentence):
        mpt.reconstruct(given, model=model)


def test_a_person_is_not_drawn_on_another_picture(model, photo):
    person = model(photo)[0]
    with pytest.raises(
        mpt.InputError, match="40 x 40 pixels, and this person was found in one whose optical"
    ):
        person.overlay(photo[:40, :40])
    large = np.zeros((2000, 3000, 3), np.uint8)
    large[:] = 9
    assert max(model(large).overlay(beside=False).size) == OVERLAY_PX


def test_the_photo_of_a_result_is_never_written_over(model, photo, tmp_path):
    path = tmp_path / "overlay.png"
    Image.fromarray(photo).save(path)
    before = path.read_bytes()
    result = model(path)
    with pytest.raises(mpt.InputError, match="is there already and is no result"):
        result.save(tmp_path)
    assert path.read_bytes() == before


def test_what_is_printed_is_short(model, photo):
    result = model(photo)
    person = result[0]
    for shown in (model, model.model, result, person, person.pose, person.pose.body, model.pose2d(photo)[0]):
        assert len(repr(shown)) < 150 and "array" not in repr(shown)
    assert "score" in repr(person) and "1 person" in repr(result)

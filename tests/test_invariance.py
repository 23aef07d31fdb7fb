"""The same picture kept otherwise, turned, mirrored, or larger, with its keypoints, shows the same people."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pose2d.detections import PERSON, SIZE, moved, result
from scipy.spatial import cKDTree

import mpt
from mpt import bodies
from mpt.cli import main
from mpt.reconstruction import Reconstruction
from mpt.reconstructor import Reconstructor
from mpt.skeletons import COCO17

MIRROR = np.array([-1, 1, 1])
STORED = {  # EXIF's orientation: how the upright picture is then kept in the file
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
BENT = PERSON.copy()
BENT[:, :2] += np.random.default_rng(0).normal(0, 6, (17, 2))
POSES = pytest.mark.parametrize("points", [PERSON, BENT, moved(60, 20)], ids=["standing", "bent", "aside"])


@pytest.fixture(scope="module")
def reconstructor() -> Reconstructor:
    return mpt.load("mpt-small", device="cpu")


def one(reconstructor: Reconstructor, points: np.ndarray, size: tuple[int, int] = SIZE) -> Reconstruction:
    [person] = reconstructor(np.zeros((size[1], size[0], 3), np.uint8), keypoints=points)
    return person


def mm(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return 1000 * np.linalg.norm(a - b, axis=-1)


@POSES
def test_a_picture_twice_as_large_shows_the_same_people(points, reconstructor):
    person = one(reconstructor, points)
    larger = points * np.array([2, 2, 1]) + np.array([0.5, 0.5, 0])  # pixels are counted from their centres
    large = one(reconstructor, larger, (2 * SIZE[0], 2 * SIZE[1]))
    assert mm(large.vertices, person.vertices).max() < 0.01
    assert mm(large.translation_m, person.translation_m) < 0.01
    assert large.focal_px == pytest.approx(2 * person.focal_px)


@POSES
def test_a_mirrored_picture_shows_mirrored_people(points, reconstructor):
    person = one(reconstructor, points)
    other = one(reconstructor, (points * MIRROR + [SIZE[0] - 1, 0, 0])[COCO17.flip])
    assert mm(other.joints3d[person.skeleton.flip], person.joints3d * MIRROR).max() < 1
    assert mm(other.translation_m, person.translation_m * MIRROR) < 1
    body = bodies.load()
    rest = body.rest(torch.zeros(1, body.shape_count)).vertices[0].numpy()
    across = cKDTree(rest).query(rest * MIRROR)[1]
    assert mm(other.vertices[across], person.vertices * MIRROR).mean() < 1


@POSES
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_picture_turned_by_quarters_shows_turned_people(points, quarters, reconstructor):
    person = one(reconstructor, points)
    turn = np.eye(3)
    size, turned = SIZE, points.copy()
    for _ in range(quarters):  # clockwise: x goes to y
        x, y = turned[:, 0].copy(), turned[:, 1].copy()
        turned[:, 0], turned[:, 1] = size[1] - 1 - y, x
        size, turn = size[::-1], np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]) @ turn
    other = one(reconstructor, turned, size)
    assert mm(other.vertices, person.vertices @ turn.T).max() < 1
    assert mm(other.translation_m, turn @ person.translation_m) < 1


@pytest.mark.parametrize("orientation", STORED)
def test_it_does_not_matter_how_the_file_keeps_an_upright_picture(
    orientation, tmp_path, monkeypatch, capsys, reconstructor
):
    """Phones keep pictures on their side; keypoints, and the result's width and height, are upright."""
    monkeypatch.chdir(tmp_path)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8))
    how = STORED[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    (picture if how is None else picture.transpose(how)).save("photo.png", exif=exif)
    Path("photo.json").write_text(json.dumps([result()]))
    assert main(["reconstruct", "photo.png", "--keypoints", "photo.json", "--json"]) == 0
    [told] = json.loads(capsys.readouterr().out)
    [person] = told["people"]
    assert (told["width"], told["height"]) == SIZE
    assert person["camera"]["principal_px"] == [99.5, 149.5]
    expected = one(reconstructor, PERSON)
    np.testing.assert_allclose(list(person["joints3d_m"].values()), expected.joints3d, atol=1e-5)
    np.testing.assert_allclose(person["camera"]["translation_m"], expected.translation_m, atol=1e-5)


def test_result_json_alone_projects_its_joints(tmp_path, monkeypatch, reconstructor):
    """pixels = focal_px * xy / z + principal_px"""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", SIZE).save("photo.png")
    Path("photo.json").write_text(json.dumps([result(PERSON), result(moved(50, 20))]))
    assert main(["reconstruct", "photo.png", "--keypoints", "photo.json", "--out", "out"]) == 0
    told = json.loads(Path("out/photo/result.json").read_text())
    assert len(told["people"]) == 2
    for person in told["people"]:
        points = np.array(list(person["joints2d_px"].values()))
        seen, given = points[:, :2], points[:, 2] > 0
        camera = person["camera"]
        placed = np.array(list(person["joints3d_m"].values())) + camera["translation_m"]
        pixels = camera["focal_px"] * placed[:, :2] / placed[:, 2:] + camera["principal_px"]
        exact = one(reconstructor, points)
        np.testing.assert_allclose(pixels, exact.project(exact.joints3d), atol=0.05)
        assert np.median(np.linalg.norm(pixels - seen, axis=1)[given]) < 0.05 * person["bbox_xywh"][3]

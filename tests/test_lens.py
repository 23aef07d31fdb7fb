"""Where a photo's focal length comes from: the user, its EXIF, or nobody."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from little_model import standing_joints, write_little_model
from PIL import Image

import mpt
from mpt.cli import main
from mpt.images import read_picture

SIZE = (400, 300)
DIAGONAL = 500.0
FULL_FRAME_MM = 43.2666


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(write_little_model(tmp_path_factory.mktemp("model") / "little.safetensors"))


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with a photo whose EXIF tells a lens of 35 mm, a photo without, and who is in both."""
    monkeypatch.chdir(tmp_path)
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA405: 35})
    Image.new("RGB", SIZE, "grey").save("lens.jpg", exif=exif)
    Image.new("RGB", SIZE, "grey").save("none.jpg")
    joints = standing_joints((0, 0, 4), 400, SIZE)
    annotations = [{"image_id": i, "keypoints": (joints * [1, 1, 2]).ravel().tolist()} for i in (0, 1)]
    images = [{"id": i, "file_name": name} for i, name in enumerate(("lens.jpg", "none.jpg"))]
    Path("joints.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return tmp_path


def camera_of(photo: str, model: str, *args: str) -> dict:
    assert main(["reconstruct", photo, "--keypoints", "joints.json", "--model", model, *args]) == 0
    return json.loads(Path("mpt-out", Path(photo).stem, "result.json").read_text())["people"][0]["camera"]


def test_exif_is_asked_where_nothing_is_given(place, model):
    told, assumed = camera_of("lens.jpg", model), camera_of("none.jpg", model)
    assert told["focal_px"] == pytest.approx(35 / FULL_FRAME_MM * DIAGONAL, rel=1e-4)
    assert (told["focal_from"], told["focal_assumed"]) == ("exif", False)
    assert assumed["focal_px"] == DIAGONAL
    assert (assumed["focal_from"], assumed["focal_assumed"]) == ("assumed", True)


def test_what_is_given_goes_before_exif(place, model):
    for args in (("--fov", "90"), ("--focal", "250"), ("--focal-mm", f"{250 / DIAGONAL * FULL_FRAME_MM}")):
        camera = camera_of("lens.jpg", model, *args)
        assert camera["focal_px"] == pytest.approx(250, rel=1e-4) and camera["focal_from"] == "given"


def test_two_lenses_are_refused(place, model, capsys):
    assert main(["reconstruct", "lens.jpg", "--fov", "60", "--focal", "400"]) == 2
    assert capsys.readouterr().err == "mpt: --focal 400 and --fov 60 were given: leave one out\n"
    assert not Path("mpt-out").exists()


def test_python_asks_exif_in_whatever_way_the_photo_comes(place, model):
    reconstructor, joints = mpt.load(model, device="cpu"), standing_joints((0, 0, 4), 400, SIZE)
    content = Path("lens.jpg").read_bytes()
    wanted = 35 / FULL_FRAME_MM * DIAGONAL
    for photo in ("lens.jpg", content, io.BytesIO(content), Image.open("lens.jpg")):
        (person,) = reconstructor(photo, keypoints=joints)
        assert person.focal_px == pytest.approx(wanted, rel=1e-4) and person.focal_from == "exif"
    (person,) = reconstructor(np.array(Image.open("lens.jpg")), keypoints=joints)
    assert person.focal_from == "assumed"
    assert read_picture("lens.jpg").focal_mm == 35


@pytest.mark.filterwarnings("ignore:Tag data larger")
def test_damaged_exif_costs_the_focal_length_alone(place):
    content = Path("lens.jpg").read_bytes()
    start = content.index(b"Exif")
    length = int.from_bytes(content[start - 2 : start], "big") - 2
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        for at in rng.integers(start + 6, start + length, 3):
            damaged[at] = rng.integers(256)
        picture = read_picture(bytes(damaged))
        assert sorted(picture.pixels.shape[:2]) == [300, 400]
        assert picture.focal_mm is None or picture.focal_mm > 0


def test_formats_and_names_that_cannot_be_are_refused_before_anything_is_written(
    place, model, capsys, monkeypatch
):
    monkeypatch.setattr("mpt.rigs.fbx._blender", lambda: None)
    monkeypatch.setattr("mpt.biomechanics.c3d.find_spec", lambda name: None)
    said = {
        (
            "--format",
            "fbx",
        ): "mpt: fbx is written by Blender's own exporter, whose package bpy",
        (
            "--format",
            "trc",
            "c3d",
        ): "mpt: c3d is written by the package ezc3d, which is not installed: run `pip",
        ("--names", "vrm"): "'vrm'",
        ("--rest", "sitting"): "'sitting'",
    }
    for args, words in said.items():
        try:
            code = main(["reconstruct", "lens.jpg", "--keypoints", "joints.json", "--model", model, *args])
        except SystemExit as leaving:
            code = leaving.code
        assert code == 2 and words in capsys.readouterr().err
    args = [
        "reconstruct",
        "lens.jpg",
        "--model",
        "mpt-hand",
        "--keypoints",
        "joints.json",
        "--names",
        "mixamo",
    ]
    assert main(args) == 2
    assert not Path("mpt-out").exists()

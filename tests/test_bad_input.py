"""Everything that can be wrong with what users hand over: one sentence, exit code 2, nothing left behind."""

import json
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from little_model import standing_joints, write_little_model
from PIL import Image

from mpt import bodies
from mpt.cli import main
from mpt.datasets.store import Kind, PoseStore, Sequence

SIZE = (320, 240)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_little_model(tmp_path_factory.mktemp("model") / "little.safetensors")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(args: list, message: str, capsys) -> None:
    """The command ends with 2 and one sentence, and leaves every file and folder as it was."""
    before = sorted(Path().rglob("*"))
    assert main([str(arg) for arg in args]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.search(message, printed.err), printed.err
    assert "Traceback" not in printed.err
    sentences = [line for line in printed.err.splitlines() if line.startswith("mpt: ")]
    assert len(sentences) == 1, printed.err
    assert len(sentences[0]) > 40  # what came, what was expected, what to do
    assert sorted(Path().rglob("*")) == before


# ------------------------------------------------------------------------------------------------- photos


def empty(path: Path) -> None:
    path.touch()


def renamed_text(path: Path) -> None:
    path.write_text("Dear all,\nthe picture is attached.\n")


def truncated_jpeg(path: Path) -> None:
    Image.effect_noise(SIZE, 60).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[:3000])


def one_pixel(path: Path) -> None:
    Image.new("RGB", (1, 1)).save(path)


def ribbon(path: Path) -> None:
    Image.new("RGB", (30_000, 20)).save(path)


def folder(path: Path) -> None:
    path.mkdir()


def nothing(path: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (empty, "is an empty file"),
        (renamed_text, "is no picture that can be read"),
        (truncated_jpeg, "is a broken picture"),
        (one_pixel, "is 1 x 1 pixels, too small"),
        (ribbon, "is 30000 x 20 pixels, too small or too thin"),
        (folder, "is a folder"),
        (nothing, "does not exist"),
    ],
)
def test_what_is_no_photo(make, message, model, capsys):
    make(Path("photo.jpg"))
    refused(["reconstruct", "photo.jpg", "--model", model], f"photo.jpg {message}", capsys)


def test_a_photo_that_may_not_be_read(model, capsys, monkeypatch):
    Image.new("RGB", SIZE).save("photo.png")
    Path("photo.png").chmod(0)
    if os.access("photo.png", os.R_OK):  # root reads everything

        def denied(*_, **__):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Image, "open", denied)
    refused(["reconstruct", "photo.png", "--model", model], "photo.png may not be read", capsys)


def test_no_photo_at_all(capsys):
    refused(["reconstruct"], "no photo or film was named", capsys)


# ------------------------------------------------------------------------------------------------- output


@pytest.fixture
def photo() -> list[str]:
    """A photo, and keypoints for it, as arguments."""
    Image.new("RGB", SIZE, "grey").save("photo.png")
    write_keypoints(standing_joints((0, 0, 4), 400, SIZE))
    return ["reconstruct", "photo.png", "--keypoints", "joints.json"]


def write_keypoints(points: np.ndarray) -> None:
    people = [{"image_id": "photo.png", "category_id": 1, "keypoints": points.ravel().tolist(), "score": 1}]
    Path("joints.json").write_text(json.dumps(people))


def test_an_output_that_is_a_file(photo, model, capsys):
    Path("taken").write_text("mine")
    refused([*photo, "--model", model, "-o", "taken"], "taken is a file, and a folder was expected", capsys)
    refused([*photo, "--model", model, "-o", "taken/below"], "taken is a file", capsys)


def test_an_output_that_may_not_be_written(photo, model, capsys, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    refused([*photo, "--model", model], "nothing can be written there .*Permission denied", capsys)


def test_a_disk_that_is_full(photo, model, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    Path("mpt-out").mkdir()
    monkeypatch.setattr(Path, "write_bytes", full)
    refused([*photo, "--model", model], "cannot be written .*No space left", capsys)


def test_a_store_that_may_not_be_written(capsys):
    Path("taken").write_text("mine")
    write_bvh()
    refused(["prepare", "mocap", "walk.bvh", "--out", "taken/my.store"], "taken/my.store", capsys)


# ------------------------------------------------------------------------------------------------- mocap

BVH = """HIERARCHY
ROOT Hips
{
    OFFSET 0 0 0
    CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
    JOINT Spine
    {
        OFFSET 0 60 0
        CHANNELS 3 Zrotation Xrotation Yrotation
        End Site
        {
            OFFSET 0 60 0
        }
    }
}
MOTION
Frames: 2
Frame Time: 0.0333333
0 90 0 0 0 0 1 2 3
0 90 0 0 0 0 4 5 6
"""
END_SITE = "        End Site\n        {\n            OFFSET 0 60 0\n        }\n"


def write_bvh(old: str = "", new: str = "") -> None:
    assert old in BVH
    Path("walk.bvh").write_text(BVH.replace(old, new))


@pytest.mark.parametrize("strict", [[], ["--strict"]])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("4 5 6\n", "4 5", "cut in the middle of frame 2 of 2"),
        ("4 5 6", "4 5 nan", "'nan' in frame 2"),
        ("Frames: 2", "Frames: 0", "it declares 0 frames and holds 2"),
        (END_SITE, "", "no joint was found for"),  # read well, but this is no person either way
    ],
)
def test_a_broken_bvh(old, new, message, strict, capsys):
    write_bvh(old, new)
    refused(["prepare", "mocap", "walk.bvh", "--out", "my.store", *strict], message, capsys)


def test_an_amc_without_its_asf(capsys):
    Path("01_01.amc").write_text(":FULLY-SPECIFIED\n:DEGREES\n1\nroot 0 0 0 0 0 0\n")
    refused(["prepare", "mocap", "01_01.amc", "--out", "my.store"], r"01_01.amc.*\.asf", capsys)


def test_an_asf_without_its_amc(capsys):
    Path("01.asf").write_text(":version 1.10\n:name 01\n")
    refused(["prepare", "mocap", "01.asf", "--out", "my.store"], r"01.asf.*\.amc", capsys)


def test_an_npz_with_the_wrong_keys(capsys):
    np.savez("walk.npz", positions=np.zeros((5, 3)))
    refused(["prepare", "mocap", "walk.npz", "--out", "my.store"], "walk.npz", capsys)


def test_an_npz_of_objects_is_never_unpickled(capsys):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (Path("exploded"),)

    objects = np.array([Bomb()], dtype=object)
    np.savez("walk.npz", poses=objects, trans=objects, betas=objects, mocap_framerate=objects)
    refused(["prepare", "mocap", "walk.npz", "--out", "my.store"], "walk.npz", capsys)
    assert not Path("exploded").exists()


def test_a_folder_without_motion(capsys):
    Path("clips").mkdir()
    refused(["prepare", "mocap", "clips", "--out", "my.store"], "no motion in this folder", capsys)
    refused(["evaluate", "mocap", "nowhere", "--model", "none"], "none: no such model", capsys)


# ------------------------------------------------------------------------------------------------- stores


def write_store(name: str = "my.store") -> None:
    body = bodies.load()
    with PoseStore.create(name, body=body) as writer:
        rotvec = np.zeros((4, len(body.moving_bones), 3))
        sequence = Sequence("01_01", "01", "clip.bvh", 30, 4, 4, "train")
        writer.add(sequence, rotvec=rotvec, frame=np.arange(4), kind=Kind(np.ones(4), np.ones(4)))


TRAIN = ["pretrain", "tiny", "--store", "my.store", "--out", "run", "--device", "cpu"]


def test_a_store_cut_short(capsys):
    write_store()
    path = Path("my.store")
    path.write_bytes(path.read_bytes()[:-100])
    refused(TRAIN, "my.store: the store is cut short", capsys)


def test_a_store_made_for_another_body(capsys):
    write_store()
    path = Path("my.store")
    known = bodies.load().hash.encode()
    path.write_bytes(path.read_bytes().replace(known, b"0" * len(known)))
    refused(TRAIN, "its poses are for the body", capsys)


def test_a_store_that_is_none(capsys):
    refused(TRAIN, "my.store: cannot read the store", capsys)
    Path("my.store").write_text("a list of shops")
    refused(TRAIN, "it is no pose store", capsys)
    refused(["pretrain", "tiny"], "no poses were named", capsys)


def test_a_run_that_is_none(capsys):
    write_store()
    resume = ["pretrain", "--resume", "run", "--store", "my.store"]
    refused(resume, "run: holds no run to resume", capsys)
    Path("run").mkdir()
    Path("run/config.json").write_text('{"name": "old", "flavour": "vanilla"}')
    refused(resume, "config.json: is no configuration of this version .*flavour", capsys)
    Path("run/config.json").write_text('{"name": "cut')
    refused(resume, "config.json: is no configuration of this version", capsys)


# ------------------------------------------------------------------------------------------------- models


def with_header(content: bytes, old: str, new: str) -> bytes:
    """A safetensors file with a word of its header changed."""
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].decode()
    assert old in header
    header = header.replace(old, new).encode()
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[: len(content) // 2], "not a whole file of mpt"),
        (lambda content: b"", "not a whole file of mpt"),
        (lambda content: with_header(content, "mpt-model-1", "mpt-model-0"), "its format is 'mpt-model-0'"),
        (lambda content: with_header(content, "coco17", "h36m17"), "made for the joints of h36m17"),
        (lambda content: with_header(content, "coco17", "lego4"), "do not fit its own header .*lego4"),
    ],
)
def test_a_broken_checkpoint(change, message, photo, model, capsys):
    Path("broken.safetensors").write_bytes(change(model.read_bytes()))
    refused([*photo, "--model", "broken.safetensors"], message, capsys)


def test_a_model_that_is_not_there(photo, capsys):
    refused([*photo, "--model", "mpt-smal"], "mpt-smal: no such model", capsys)


def test_a_model_of_another_body_is_not_measured(model, capsys):
    write_store()
    other = with_header(model.read_bytes(), bodies.load().hash, "0" * 64)
    Path("other.safetensors").write_bytes(other)
    refused(
        ["evaluate", "mocap", "my.store", "--model", "other.safetensors"],
        "was trained on another anny body",
        capsys,
    )


# ---------------------------------------------------------------------------------------------- keypoints


def sixteen(points: np.ndarray) -> np.ndarray:
    return points[:16]


def not_a_number(points: np.ndarray) -> np.ndarray:
    points[3, 0] = np.nan
    return points


def outside(points: np.ndarray) -> np.ndarray:
    return points + np.array([5000, 0, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (sixteen, "a person with 16 joints, expected 17 .COCO., 18 "),
        (not_a_number, "a person with null or NaN where a number was expected"),
        (outside, "outside its 320 x 240 picture"),
    ],
)
def test_wrong_keypoints(change, message, photo, model, capsys):
    write_keypoints(change(standing_joints((0, 0, 4), 400, SIZE)))
    refused([*photo, "--model", model], f"joints.json .*{message}", capsys)


def test_keypoints_of_other_photos_or_none(photo, model, capsys):
    Image.new("RGB", SIZE).save("other.png")
    refused(
        ["reconstruct", "other.png", "--keypoints", "joints.json", "--model", model],
        "joints.json has no keypoints for other.png",
        capsys,
    )
    refused(["reconstruct", "photo.png", "--pose2d", "keypoints"], "name it with --keypoints FILE", capsys)
    refused(["reconstruct", "photo.png", "--keypoints", "nowhere.json"], "nowhere.json", capsys)


# ------------------------------------------------------------------------------- commands and their options


def test_an_unknown_command_names_the_nearest(capsys):
    refused(
        ["reconstuct", "photo.jpg"], "no command is called 'reconstuct'; did you mean reconstruct?", capsys
    )
    refused(["xyzzy"], "there are reconstruct, animate, demo, ", capsys)


def test_an_unknown_experiment_names_the_nearest(capsys):
    refused(["pretrain", "tinny", "--store", "my.store"], "did you mean tiny?", capsys)
    refused(["experiments", "run", "table7-view-2"], "did you mean table7-views-2?", capsys)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["reconstruct", "photo.jpg", "--ouput", "there"], ["--ouput", "--out"]),
        (["reconstruct", "photo.jpg", "--format", "stl"], ["'stl'", "'glb'"]),
        (["reconstruct", "photo.jpg", "--focal", "wide"], ["--focal", "'wide'"]),
        (["prepare", "mocap", "clips"], ["--out"]),
        (["prepare", "body", "smplx"], ["smplx", "anny", "mano"]),
        (["prepare", "body", "smpl", "SMPL_NEUTRAL.pkl"], ["--out"]),
        (["evaluate", "mocap", "clips", "--noise", "loud"], ["'loud'", "'detector'"]),
        (["assets", "ad"], ["ad", "add"]),
    ],
)
def test_a_wrong_option_names_what_would_be_right(args, words, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(args)
    printed = capsys.readouterr()
    assert leaving.value.code == 2
    assert printed.out == ""
    for word in words:
        assert word in printed.err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["reconstruct", "photo.png", "--focal", "-5"], "the focal length is -5"),
        (["reconstruct", "photo.png", "--focal-mm", "0"], "the focal length is 0.0: give it in millimetres"),
        (
            ["reconstruct", "photo.png", "--focal", "400", "--focal-mm", "26"],
            "--focal 400 and --focal-mm 26 were given: leave one out",
        ),
        (["reconstruct", "photo.png", "--device", "gpu"], "the device 'gpu' cannot be used"),
        (["pretrain", "tiny", "--store", "s", "--samples", "0"], "--samples is 0"),
        (["pretrain", "tiny", "--store", "s", "--learning-rate", "-1"], "--learning-rate is -1.0"),
        (["evaluate", "mocap", "clips", "--samples", "0"], "--samples is 0"),
        (["assets", "add", "nowhere.whl"], "nowhere.whl does not exist"),
    ],
)
def test_a_number_or_name_that_makes_no_sense(args, message, photo, model, capsys):
    extra = ["--keypoints", "joints.json", "--model", str(model)] if args[0] == "reconstruct" else []
    refused([*args, *extra], message, capsys)

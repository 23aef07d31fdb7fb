"""The command line by its contract: folders, result.json, stdout, exit codes."""

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from little_model import standing_joints, write_little_model
from PIL import Image

from mpt import assets, bodies, demo, result_folders, results, scenes
from mpt.cli import evaluating, main
from mpt.crops import apply
from mpt.datasets.store import Kind, PoseStore, Sequence
from mpt.skeletons import COCO17

SIZE = (320, 240)
TINY_RUN = ["pretrain", "tiny", "--samples", "160", "--batch-size", "8", "--out", "run"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(write_little_model(tmp_path_factory.mktemp("model") / "little.safetensors"))


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in, with two.jpg and nobody.png and their keypoints."""
    monkeypatch.chdir(tmp_path)
    grey = Image.new("RGB", SIZE, "grey")
    grey.save("two.jpg")
    grey.save("nobody.png")
    joints = [standing_joints(at, 400, SIZE) for at in ((-0.5, 0, 4), (0.7, 0, 5))]
    people = {"two": joints, "nobody": []}
    images = [{"id": i, "file_name": name} for i, name in enumerate(("two.jpg", "nobody.png"))]
    annotations = [
        {"image_id": i, "keypoints": (points * [1, 1, 2]).ravel().tolist()}
        for i, found in enumerate(people.values())
        for points in found
    ]
    Path("joints.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return tmp_path


def reconstruct(*args: str, model: str) -> int:
    return main(["reconstruct", *args, "--keypoints", "joints.json", "--model", model, "--device", "cpu"])


def test_a_photo_gets_a_folder_with_all_results(place, model, capsys):
    assert reconstruct("two.jpg", "--focal", "400", model=model) == 0
    assert sorted(p.name for p in Path("mpt-out/two").iterdir()) == [
        "everybody.glb",
        "overlay.png",
        "person0.glb",
        "person1.glb",
        "result.json",
    ]
    result = json.loads(Path("mpt-out/two/result.json").read_text())
    assert list(result) == [
        *("image", "width", "height", "model", "seconds", "people", "everybody", "world", "made_of"),
    ]
    assert result["everybody"] == "everybody.glb"
    assert list(result["seconds"]) == ["pose2d", "mesh", "total"]
    person = result["people"][0]
    assert list(person) == [
        "bbox_xywh",
        "score",
        "joints2d_px",
        "guessed_joints",
        "joints3d_m",
        "camera",
        "pose",
        "build",
        "meshes",
        "vertex_count",
    ]
    assert list(person["joints2d_px"]) == list(person["joints3d_m"]) == list(COCO17.joints)
    assert person["meshes"] == {"glb": "person0.glb"}
    assert person["vertex_count"] == 13718
    assert capsys.readouterr().out.startswith("two.jpg: 2 people -> mpt-out/two/overlay.png (")


def test_a_focal_length_of_millimetres_given_as_pixels_is_asked_about(place, model, capsys):
    assert reconstruct("two.jpg", "--focal", "26", model=model) == 0
    assert "note: a focal length of 26 pixels is a view of 165 degrees from corner to corner; is it in " in (
        capsys.readouterr().err
    )
    assert reconstruct("two.jpg", "--focal-mm", "26", model=model) == 0
    assert "focal length" not in capsys.readouterr().err
    camera = json.loads(Path("mpt-out/two/result.json").read_text())["people"][0]["camera"]
    assert camera["focal_px"] == pytest.approx(26 / 43.2666 * np.hypot(*SIZE), rel=1e-4)


def test_result_json_says_where_everything_is_in_the_photo(place, model):
    """Both cameras of the file put the 3D joints on the 2D joints that the file gives."""
    reconstruct("two.jpg", "--focal", "400", model=model)
    for person in json.loads(Path("mpt-out/two/result.json").read_text())["people"]:
        seen = np.array(list(person["joints2d_px"].values()))[:, :2]
        joints = np.array(list(person["joints3d_m"].values()))
        camera, height = person["camera"], person["bbox_xywh"][3]
        assert (camera["focal_px"], camera["focal_assumed"]) == (400, False)
        placed = joints + camera["translation_m"]
        perspective = placed[:, :2] / placed[:, 2:] * 400 + (np.array(SIZE) - 1) / 2
        weak = camera["weak_perspective"]
        in_crop = weak["s"] * (joints[:, :2] + [weak["tx"], weak["ty"]])
        weakly = apply(np.array(camera["crop_to_image"]), in_crop)
        for projected in (perspective, weakly):
            assert np.median(np.linalg.norm(projected - seen, axis=1)) < 0.08 * height
        hips = [person["joints3d_m"][hip] for hip in ("left_hip", "right_hip")]
        np.testing.assert_allclose(np.mean(hips, 0), 0, atol=2e-5)


def test_every_asked_format_is_written(place, model):
    formats = ("obj", "ply", "npz", "glb", "bvh", "trc", "c3d", "csv")
    reconstruct("two.jpg", "--format", *formats, model=model)
    result = json.loads(Path("mpt-out/two/result.json").read_text())
    for number, person in enumerate(result["people"]):
        assert person["meshes"] == {end: f"person{number}.{end}" for end in formats}
        assert all((Path("mpt-out/two") / name).stat().st_size for name in person["meshes"].values())


def test_json_is_all_that_stdout_gets(place, model, capsys):
    assert reconstruct("two.jpg", "nobody.png", "--json", "-o", "here", model=model) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == [json.loads(Path(f"here/{name}/result.json").read_text()) for name in ("two", "nobody")]


def test_a_photo_of_nobody_is_no_error(place, model, capsys):
    assert reconstruct("nobody.png", model=model) == 0
    assert json.loads(Path("mpt-out/nobody/result.json").read_text())["people"] == []
    assert sorted(p.name for p in Path("mpt-out/nobody").iterdir()) == ["overlay.png", "result.json"]
    assert "nobody was found" in capsys.readouterr().out


def test_an_earlier_result_is_replaced_whole(place, model):
    reconstruct("two.jpg", "--format", "obj", "trc", "c3d", "csv", model=model)
    reconstruct("two.jpg", model=model)
    assert {path.suffix for path in Path("mpt-out/two").iterdir()} == {".glb", ".json", ".png"}
    assert [p.name for p in Path("mpt-out").iterdir()] == ["two"]


def test_a_folder_that_is_no_result_is_left_alone(place, model, capsys):
    Path("mpt-out/two").mkdir(parents=True)
    Path("mpt-out/two/thesis.txt").write_text("years of work")
    assert reconstruct("two.jpg", model=model) == 2
    assert "is no result of mpt's" in capsys.readouterr().err
    assert [p.name for p in Path("mpt-out").rglob("*")] == ["two", "thesis.txt"]


def test_an_interrupted_photo_leaves_the_earlier_result(place, model, monkeypatch):
    reconstruct("two.jpg", model=model)
    before = Path("mpt-out/two/result.json").read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(results, "write_json", interrupted)
    assert reconstruct("two.jpg", model=model) == 130
    assert Path("mpt-out/two/result.json").read_bytes() == before
    assert [p.name for p in Path("mpt-out").iterdir()] == ["two"]


def test_photos_of_equal_names_get_folders_of_their_own():
    photos = [
        Path(p) for p in ("a.jpg", "b/A.png", "b/c.jpg", "d/c.jpg", "e.jpg", "e.jpg", "f.jpg", "...jpg")
    ]
    assert result_folders.folder_names(photos) == [
        *("a.jpg", "A.png"),  # two stems are equal
        *("b-c.jpg", "d-c.jpg"),  # two names are
        *("e.jpg", "e.jpg-2"),
        *("f", "...jpg"),
    ]


def test_an_animation_is_noted_in_one_line(place, model, capsys):
    frames = [Image.new("L", SIZE, shade) for shade in (0, 255)]
    frames[0].save("two.gif", save_all=True, append_images=frames[1:])
    Path("two.jpg").unlink()
    assert reconstruct("two.gif", model=model) == 0  # the keypoints are of two.jpg, of the same stem
    assert "note: two.gif holds several frames; the first one is used\n" in capsys.readouterr().err


def test_a_refused_photo_does_not_stop_the_others(place, model, capsys):
    assert reconstruct("missing.jpg", "two.jpg", model=model) == 1
    assert Path("mpt-out/two/result.json").is_file()
    refused, note = capsys.readouterr().err.splitlines()
    assert refused == (
        "mpt: missing.jpg does not exist: give the path of a picture (JPEG, PNG, WebP, GIF, BMP or TIFF)"
    )
    assert note.startswith("note: the model does not say which way is up")


def test_a_progress_bar_leaves_stdout_to_the_results():
    pty = pytest.importorskip("pty")
    _, terminal = pty.openpty()
    program = "from mpt.cli.progress import tracked\nfor item in tracked([1, 2], lambda: 2): print(item)"
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=terminal, text=True, check=True
    )
    assert done.stdout == "1\n2\n"


@pytest.mark.parametrize(
    "command",
    [
        [], ["reconstruct"], ["demo"], ["prepare"], ["prepare", "mocap"], ["prepare", "body"], ["pretrain"],
        ["prepare", "hands"], ["prepare", "meshes"],
        ["prepare", "dataset"], ["prepare", "rendered"], ["finetune"], ["export"], ["serve"],
        ["evaluate"], ["evaluate", "mocap"], ["experiments"], ["experiments", "list"], ["experiments", "run"],
        ["experiments", "report"],
        ["assets"], ["assets", "status"], ["assets", "add"], ["assets", "fetch"],
    ],
)  # fmt: skip
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as leaving:
        main([*command, "--help"])
    help_text = " ".join(capsys.readouterr().out.split())
    assert leaving.value.code == 0
    if command and command not in (["prepare"], ["experiments"], ["assets"], ["evaluate"]):
        assert f"Example: mpt {' '.join(command)}" in help_text


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["--version"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out.startswith("mpt ")


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "mpt", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "reconstruct" in done.stdout


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    """A hundred small movements of two people."""
    path = tmp_path_factory.mktemp("store") / "poses.store"
    body = bodies.load()
    rng = np.random.default_rng(0)
    with PoseStore.create(path, body=body) as writer:
        for subject, split in (("01", "train"), ("02", "validation")):
            rotvec = rng.normal(scale=0.2, size=(50, len(body.moving_bones), 3))
            writer.add(
                Sequence(f"{subject}_01", subject, "clip.bvh", 30, 50, 50, split),
                rotvec=rotvec,
                frame=np.arange(50),
                kind=Kind(np.full(50, 0.9), np.zeros(50)),
            )
    return str(path)


def test_pretraining_makes_a_model_that_reconstructs(place, store, capsys):
    assert main([*TINY_RUN, "--store", store]) == 0
    assert "mpt reconstruct photo.jpg --model run" in capsys.readouterr().out
    assert reconstruct("two.jpg", model="run") == 0


def test_a_run_is_resumed_by_its_own_configuration(place, store, capsys):
    main([*TINY_RUN, "--store", store])
    resumed = ["--resume", "run", "--store", store, "--device", "cpu"]
    assert main(["pretrain", *resumed]) == 0
    assert main(["pretrain", "tiny", *resumed]) == 0  # the first command with --resume behind it
    assert main([*TINY_RUN, *resumed]) == 0
    steps = [json.loads(line)["step"] for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 20
    capsys.readouterr()
    for beside in (["--batch-size", "4"], ["mpt-small"], ["--out", "other"], ["--start-from", "run"]):
        assert main(["pretrain", *beside, "--resume", "run", "--store", store]) == 2
        assert f"mpt: {beside[0]} was given beside --resume run" in capsys.readouterr().err


def test_a_run_goes_on_from_any_folder_with_the_body_that_it_was_begun_with(
    place, store, monkeypatch, capsys
):
    Path("own.safetensors").write_bytes(
        Path(bodies.__file__).parents[1].joinpath("data/anny.safetensors").read_bytes()
    )
    checked = ["--validation-samples", "3", "--validate-every", "15", "--body", "own.safetensors"]
    assert main([*TINY_RUN, "--store", store, *checked]) == 0
    config = json.loads(Path("run/config.json").read_text())
    assert config["body"] == str(place / "own.safetensors")
    assert (config["validation_samples"], config["validate_every"]) == (3, 15)
    entries = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries if "mpjpe" in entry] == [15, 20]
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    assert main(["pretrain", "--resume", "../run", "--store", store, "--device", "cpu"]) == 0
    assert main([*TINY_RUN, "--store", store, "--body", "anny"]) == 0
    assert json.loads(Path("run/config.json").read_text())["body"] == "anny"
    capsys.readouterr()
    for wrong, said in (
        (["--body", "nobody.safetensors"], "nobody.safetensors: cannot read the body file"),
        (["--validate-every", "0"], "--validate-every is 0: give a number above 0"),
        (["--ahead", "0"], "--ahead is 0: give a number above 0"),
        (["--resume", "run", "--body", "own.safetensors"], "--body was given beside --resume run"),
    ):
        assert main(["pretrain", "--store", store, *wrong]) == 2
        assert f"mpt: {said}" in capsys.readouterr().err


def test_a_run_may_begin_with_another_ones_weights(place, store, model, capsys):
    run = ["pretrain", "tiny", "--store", store, "--out", "run", "--device", "cpu", "--start-from", model]
    assert main(run) == 2
    assert "little.safetensors" in capsys.readouterr().err  # of other sizes than tiny
    assert not Path("run").exists()


def test_an_interrupted_run_says_how_to_go_on(place, store, monkeypatch, capsys):
    from mpt.recipes import pretrain

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrain, "objective", interrupted)
    assert main(["pretrain", "tiny", "--store", store, "--out", "run", "--device", "cpu"]) == 130
    assert "--resume run" in capsys.readouterr().err
    assert Path("run/state.safetensors").is_file()


def test_a_loss_that_is_no_number_ends_the_run_with_a_sentence(place, store, capsys):
    run = [*TINY_RUN, "--store", store]
    with pytest.MonkeyPatch.context() as patch:
        from mpt.recipes import pretrain

        patch.setattr(
            pretrain, "objective", lambda prediction, *_: {"all": prediction.joints.sum() * torch.nan}
        )
        assert main(run) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("mpt: the loss stopped being finite by step 20")


def test_evaluation_prints_its_four_numbers(store, model, capsys):
    args = ["evaluate", "mocap", store, "--model", model, "--samples", "20", "--device", "cpu"]
    assert main([*args, "--json"]) == 0
    errors = json.loads(capsys.readouterr().out)
    assert list(errors) == ["mpjpe_mm", "pa_mpjpe_mm", "mpve_mm", "samples"]
    assert errors["samples"] == 20
    assert 0 < errors["pa_mpjpe_mm"] <= errors["mpjpe_mm"]
    main([*args, "--json"])
    assert json.loads(capsys.readouterr().out) == errors
    assert main(args) == 0
    printed = capsys.readouterr().out
    assert "PA-MPJPE" in printed and f"on 20 poses of {store}, heatmaps without noise:" in printed
    assert "To compare with: mpt-small on subjects of CMU that it never saw, 38 / 23 / 46 mm" in printed


def test_what_a_benchmark_is_compared_with_is_the_papers_own():
    said = {name: evaluating._to_compare(name) for name in ("h36m", "3dpw", "freihand", "folder")}
    for name, figures in (
        ("h36m", "mpjpe_mm 45.3"),
        ("3dpw", "mpve_mm 79.4"),
        ("freihand", "pa_mpjpe_mm 5.6"),
    ):
        assert "MPT's paper" in said[name] and figures in said[name]
    assert said["folder"] == "To compare with: another --model or --pose2d on the same."


def write_clip(path: Path, seed: int) -> None:
    """Motion on the default body's own skeleton."""
    body = bodies.load()
    part = body.with_bones(body.moving_bones)
    heads = part.heads.double().numpy()
    offsets = heads - heads[[max(parent, 0) for parent in part.parents]]
    rotvec = np.random.default_rng(seed).normal(scale=0.2, size=(5, len(part.bones), 3))
    skeleton = {"names": np.array(part.bones), "parents": np.array(part.parents), "offsets": offsets}
    np.savez(path, **skeleton, rotvec=rotvec, trans=np.zeros((5, 3)), fps=30)


def test_motion_files_are_prepared_and_evaluated(place, model, capsys):
    for seed, subject in enumerate(("01", "02")):
        Path("clips", subject).mkdir(parents=True)
        write_clip(Path("clips", subject, "walk.npz"), seed)
    assert main(["prepare", "mocap", "clips", "--out", "my.store", "--validation", "02"]) == 0
    assert len(PoseStore("my.store").validation) == 5
    assert "poses kept" in capsys.readouterr().out
    assert main(["evaluate", "mocap", "clips", "--model", model, "--json", "--device", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 10
    assert main(["evaluate", "mocap", "my.store", "--model", model, "--up", "z", "--device", "cpu"]) == 2
    assert (
        "--no-straighten say how motion files are read, and my.store is none: leave them out"
        in capsys.readouterr().err
    )
    assert (
        main(["evaluate", "mocap", "my.store", "--model", model, "--no-straighten", "--device", "cpu"]) == 2
    )


def test_the_demo_reconstructs_its_own_people_and_knows_how_far_off_they_are(
    place, model, capsys, monkeypatch
):
    if not all(status.present for status in assets.status() if status.asset.name == "blazepose"):
        pytest.skip("BlazePose is not in the cache")
    first = list(islice(scenes.demo_scenes(), 1))  # the others take as long again, each
    monkeypatch.setitem(demo.SCENES, COCO17, lambda: first)
    assert main(["demo", "--model", model, "-o", "shown"]) == 0
    (picture,) = Path("shown").glob("*.png")
    assert (Path("shown") / picture.stem / "person0.glb").is_file()
    printed = capsys.readouterr().out
    assert "PA-MPJPE" in printed and "not found" not in printed


def test_output_that_nobody_reads_to_its_end_is_no_traceback():
    command = subprocess.Popen(
        [sys.executable, "-m", "mpt", "experiments", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    command.stdout.close()
    assert command.stderr.read() == b"" and command.wait(60) in (0, 1)


def test_skip_below_is_for_models_that_read_patches(tmp_path, capsys):
    refused = ["pretrain", "tiny", "--store", str(tmp_path), "--skip-below", "0.02"]
    assert main(refused) == 2
    assert "--skip-below is 0.02, and the model reads joints" in capsys.readouterr().err
    assert main(["pretrain", "paper", "--store", str(tmp_path), "--skip-below", "1.5"]) == 2
    assert "give 0 to below 1" in capsys.readouterr().err

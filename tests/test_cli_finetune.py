"""Fine-tuning by the command line: prepared, run, resumed and used, or refused in a sentence."""

import json
from pathlib import Path

import layouts
import numpy as np
import official
import pytest
import torch
from little_model import write_little_model

import mpt
from mpt import assets, bodies, experiments
from mpt.cli import loading, main
from mpt.datasets import rendered
from mpt.datasets.store import Kind, PoseStore, Sequence
from mpt.pose2d.adapters import TopDown
from mpt.pose2d.blazepose import BlazePose, BlazePoseHeavy
from mpt.pose2d.higher_hrnet import HigherHRNet, HigherHRNetPose
from mpt.recipes import networks
from mpt.recipes.finetune import FinetuneConfig
from mpt.recipes.networks import NetworkConfig


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> str:
    """What `mpt prepare rendered` makes of a small store."""
    folder, body = tmp_path_factory.mktemp("pictures"), bodies.load()
    rng = np.random.default_rng(0)
    with PoseStore.create(folder / "poses.store", body=body) as writer:
        for subject, split in (("01", "train"), ("02", "validation")):
            rotvec = rng.normal(scale=0.2, size=(5, len(body.moving_bones), 3))
            about = Sequence(f"{subject}_01", subject, "clip.bvh", 30, 5, 5, split)
            writer.add(about, rotvec=rotvec, frame=np.arange(5), kind=Kind(np.full(5, 0.9), np.zeros(5)))
    made = ["--out", str(folder / "rendered"), "--count", "2", "--validation", "1"]
    assert main(["prepare", "rendered", str(folder / "poses.store"), *made]) == 0
    return str(folder / "rendered")


def refused(args: list[str], said: str, capsys) -> None:
    capsys.readouterr()
    assert main(args) == 2
    error = capsys.readouterr().err
    assert error.startswith("mpt: ") and said in error and error.count("\n") == 1, error


def test_pictures_are_prepared_tuned_on_and_the_run_resumed(pictures, place, capsys):
    run = ["--out", "run", "--device", "cpu"]
    tiny = ["finetune", "rendered-scratch", "--samples", "40", "--batch-size", "2", "--data", pictures]
    assert main([*tiny, *run]) == 0
    assert "mpt reconstruct photo.jpg --model run" in capsys.readouterr().out
    assert networks.tuned_here("run")
    resumed = ["--resume", "run", "--data", f"rendered={pictures}", "--device", "cpu"]
    assert main(["finetune", *resumed]) == 0
    assert main(["finetune", "rendered-scratch", "--batch-size", "2", *resumed]) == 0
    steps = [json.loads(line)["step"] for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert max(steps) == 20
    for beside in (["--weights", "run"], ["--batch-size", "4"], ["rendered-pretrained"]):
        refused(
            ["finetune", *beside, "--resume", "run", "--data", pictures],
            f"{beside[0]} was given beside --resume run",
            capsys,
        )


def test_fine_tuning_remembers_where_its_body_is(pictures, place, monkeypatch):
    anny = Path(bodies.__file__).parents[1] / "data" / "anny.safetensors"
    Path("own.safetensors").write_bytes(anny.read_bytes())
    tiny = ["finetune", "rendered-scratch", "--samples", "4", "--batch-size", "2", "--data", pictures]
    asked = ["--body", "own.safetensors", "--validation-samples", "1", "--validate-every", "1"]
    assert main([*tiny, *asked, "--out", "run", "--device", "cpu"]) == 0
    config = json.loads(Path("run/config.json").read_text())
    assert config["body"] == str(place / "own.safetensors")
    assert (config["validation_samples"], config["validate_every"]) == (1, 1)
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    assert main(["finetune", "--resume", "../run", "--data", pictures, "--device", "cpu"]) == 0


def test_every_experiment_of_fine_tuning_is_refused_by_pretrain_and_the_other_way_round(capsys):
    for name in experiments.names():
        tuning = isinstance(experiments.get(name), FinetuneConfig)
        wrong = ["pretrain", name, "--store", "s"] if tuning else ["finetune", name, "--data", "d"]
        refused(wrong, f"run it with `mpt {'finetune' if tuning else 'pretrain'} {name}`", capsys)


def test_what_fine_tuning_cannot_use_is_said(pictures, place, capsys):
    for args, said in (
        ([], "add --data rendered=DIR"),
        (["--data", "coco=somewhere"], "reads rendered; name a folder for each, as in --data rendered=DIR"),
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--data", pictures, "--samples", "0"], "--samples is 0"),
        (["--data", pictures, "--workers", "-1"], "--workers is -1"),
        (["--data", pictures, "--start-from", "nothing"], "nothing: no such model"),
        (["--data", pictures, "--weights", "hrnet.pth"], "hrnet.pth: holds no small 2D network"),
    ):
        refused(["finetune", *args, "--out", "run", "--device", "cpu"], said, capsys)
        assert not Path("run").exists()
    refused(["pretrain", "tiny"], "give --store STORE", capsys)
    refused(["prepare", "rendered", "no.store", "--out", "r", "--count", "0"], "--count is 0", capsys)


def test_the_2d_network_of_a_run_is_used_with_its_model_and_another_when_asked(place, monkeypatch):
    asked = []
    monkeypatch.setattr(assets, "get", asked.append)
    write_little_model(place / "run" / "model.safetensors")
    assert isinstance(loading.reconstructor("run").pose2d, BlazePose)
    config = NetworkConfig("small", width=4, input_size=64)
    networks.save("run/pose2d.safetensors", networks.build(config), config)
    for own in (loading.reconstructor("run").pose2d, mpt.load("run", device="cpu").pose2d):
        assert type(own) is TopDown and (own.input_size, own.heatmap_size) == (64, 56)
    other = BlazePose()
    assert mpt.load("run", pose2d=other).pose2d is other
    assert type(loading.reconstructor("run", pose2d="blazepose").pose2d) is BlazePose
    asked.clear()
    heavy = loading.reconstructor("run", pose2d="blazepose-heavy").pose2d
    assert type(heavy) is BlazePoseHeavy and (heavy.mirrored_look, heavy.heatmap_size) == (True, 56)
    assert asked == ["blazepose", "blazepose-heavy"]  # before the first photo
    torch.save(HigherHRNet(4).state_dict(), "hrnet.pth")
    official_weights = loading.reconstructor("run", pose2d="higher-hrnet", weights=Path("hrnet.pth")).pose2d
    assert isinstance(official_weights, HigherHRNetPose) and official_weights.heatmap_size == 56


def test_2d_networks_that_do_not_go_together_are_refused(place, capsys):
    hrnet = ["reconstruct", "photo.jpg", "--pose2d", "higher-hrnet"]
    refused(hrnet, "name them with --weights FILE", capsys)
    refused(["reconstruct", "photo.jpg", "--weights", "w.pth"], "goes with --pose2d higher-hrnet", capsys)
    refused([*hrnet, "--weights", "w.pth", "--keypoints", "k.json"], "leave one out", capsys)


def test_an_smpl_and_a_mano_body_are_made_from_their_official_files(place, capsys):
    for kind, model, vertices in (("smpl", official.smpl(), "6,890"), ("mano", official.mano(), "778")):
        official.write_pickle(Path(f"{kind}.pkl"), official.as_published(model))
        counts = (6890, 1723, 431) if kind == "smpl" else (778, 195)
        sizes = official.write_downsampling(Path(f"{kind}.npz"), counts)
        made = ["prepare", "body", kind, f"{kind}.pkl", "--out", f"{kind}.safetensors"]
        assert main([*made, "--downsampling", str(sizes)]) == 0
        assert f"{kind}.safetensors: {vertices} vertices, 10 shape" in capsys.readouterr().out
    for args, said in (
        (["smpl"], "smpl is made from its official file"),
        (["anny", "smpl.pkl"], "leave the file out"),
        (["mano", "mano.pkl", "--gender", "male"], "--gender says nothing about mano"),
        (["mano", "mano.pkl", "--side", "left"], "--side says nothing about mano"),
        (["anny-hand", "mano.pkl"], "anny-hand is made without one: leave the file out"),
        (["smpl", "mano.pkl"], "mano.pkl"),
    ):
        refused_body = ["prepare", "body", *args, "--out", "x.safetensors"]
        capsys.readouterr()
        assert main(refused_body) == 2
        assert said in capsys.readouterr().err and not Path("x.safetensors").exists()


def test_a_folder_of_a_data_set_is_checked(place, capsys):
    layouts.coco(Path("coco"), [layouts.People(seed) for seed in range(3)])
    assert main(["prepare", "dataset", "coco", "coco"]) == 0
    assert "COCO keypoints in coco" in capsys.readouterr().out
    refused(["prepare", "dataset", "cocoa", "coco"], "there is no data set 'cocoa'; choose one of", capsys)
    refused(["prepare", "dataset", "mpii", "coco"], "get it from", capsys)


def test_rendered_pictures_are_read_by_their_name(pictures):
    assert [len(rendered.read(pictures, split)) for split in rendered.SPLITS] == [2, 1]

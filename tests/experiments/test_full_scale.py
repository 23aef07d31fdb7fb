"""The paper's own scale: every command of docs/experiments.md, with made-up files of the official layouts.

Networks are small ones and runs three steps long; all else is what the documentation says, typed in a folder
that holds nothing.
"""

from dataclasses import replace
from pathlib import Path

import layouts
import numpy as np
import official
import pytest
import torch
from scipy.spatial.transform import Rotation

from mpt import checkpoint, experiments
from mpt.bodies import mano, smpl
from mpt.cli import main
from mpt.experiments import shared, table3a, tuning
from mpt.pose2d.higher_hrnet import HigherHRNet
from mpt.recipes.configs import read_config
from mpt.recipes.pretrain import PretrainConfig
from mpt.skeletons import H36M17

WIDTH, STEPS, BATCH = 4, 3, 2
SIZES = {"hidden": (16, 8), "layers": 1, "heads": 2, "heatmap_size": 64, "upsampler": "sparse"}
COMMANDS = {
    "table1": ("human36m", "muco3dhp", "up3d", "coco", "mpii", "3dpw"),
    "table2": ("human36m", "muco3dhp", "up3d", "coco", "mpii"),
    "table3a": ("human36m",),
    "table3b": ("human36m",),
    "table4-20": ("human36m",),
    "table7-views-1": ("human36m",),
    "table8": ("human36m", "muco3dhp", "up3d", "coco", "mpii"),
    "figure4b-10-pretrained": ("human36m",),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """What a researcher has downloaded."""
    folder = tmp_path_factory.mktemp("downloads")
    model = official.smpl()
    official.write_pickle(folder / "SMPL_NEUTRAL.pkl", official.as_published(model))
    np.save(folder / "J_regressor_h36m.npy", official.h36m_regressor(model, "right", 0.06))
    np.save(folder / "J_regressor_coco.npy", official.coco_regressor(model))
    torch.save(HigherHRNet(WIDTH).state_dict(), folder / "pose_higher_hrnet.pth.tar")
    rng = np.random.default_rng(0)
    for subject in ("CMU/01", "CMU/02", "ACCAD/Female1Walking"):
        path = folder / "AMASS" / subject / "walk_poses.npz"
        path.parent.mkdir(parents=True)
        poses = rng.normal(0, 0.3, (40, 156)) * np.linspace(0, 1, 40)[:, None]
        moving = {"trans": np.zeros((40, 3)), "betas": rng.normal(size=16), "mocap_framerate": 120.0}
        np.savez(path, poses=poses, gender="female", **moving)
    people = [layouts.People(seed) for seed in range(2)]
    human36m(
        folder / "h36m",
        smpl.read(folder / "SMPL_NEUTRAL.pkl", h36m_regressor=folder / "J_regressor_h36m.npy"),
    )
    layouts.muco(folder / "muco3dhp", people)
    (folder / "up3d").mkdir()
    layouts.up3d(folder / "up3d", people)
    layouts.coco(folder / "coco", people)
    layouts.mpii(folder / "mpii", people)
    for split in ("train", "validation", "test"):
        layouts.tdpw(folder / "3dpw", f"courtyard_{split}_00", split)
    (folder / "h36m").rename(folder / "human36m")
    return folder


def human36m(folder: Path, body) -> None:
    """People whose joints are those of their fits, in training subjects' files and a test subject's."""
    pose, betas, _ = official.random_people(2, 24)
    turns = torch.from_numpy(Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(2, 24, 3, 3))
    body = body.to(dtype=torch.float64)
    joints = body.regress(body.forward(turns, torch.from_numpy(betas)).vertices, H36M17.name).numpy()
    crowd, fits = [], []
    for number, xyz in enumerate(joints):
        person = layouts.People()
        person.places = dict(zip(H36M17.joints, xyz - xyz[0] + [0, 0, 3.1]))
        crowd.append(person)
        fits.append({"pose": pose[number].ravel().tolist(), "shape": betas[number].tolist()})
    train = (1, 5, 6, 7, 8)
    layouts.human36m(folder, dict.fromkeys(train, crowd), dict.fromkeys(train, fits))
    layouts.human36m(folder, dict.fromkeys((9, 11), crowd), dict.fromkeys((9, 11), fits), every=64)


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    with pytest.MonkeyPatch.context() as patch:
        base, full = shared.BASE["full"], tuning.TUNED["full"]
        first = replace(base, model=replace(base.model, **SIZES), batch_size=BATCH, validation_samples=2)
        patch.setitem(shared.BASE, "full", first)
        network = replace(full.network, width=WIDTH, input_size=64)
        later = {"model": first.model, "network": network, "batch_size": BATCH, "validation_samples": 2}
        patch.setitem(tuning.TUNED, "full", replace(full, **later))
        patch.setitem(table3a.GRAPHORMER, "full", (15 * WIDTH, 4))
        patch.setitem(table3a.FINE, "full", (WIDTH, 64))
        yield


@pytest.fixture(scope="module")
def prepared(files, tmp_path_factory) -> Path:
    """The documentation's first two commands, typed in an empty folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("empty"))
        body = str(files / "smpl.safetensors")
        regressors = [f"--{set_}-regressor={files / f'J_regressor_{set_}.npy'}" for set_ in ("coco", "h36m")]
        assert (
            main(["prepare", "body", "smpl", str(files / "SMPL_NEUTRAL.pkl"), *regressors, "--out", body])
            == 0
        )
        store = ["--out", str(files / "amass.store"), "--poses", "30", "--validation", "CMU/02"]
        assert main(["prepare", "mocap", str(files / "AMASS"), "--body", body, *store]) == 0
    return files


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_table_of_the_documentation_runs(command, prepared, root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = [f"{name}={prepared / name}" for name in COMMANDS[command]]
    assert main([
        "experiments", "run", command, "--body", str(prepared / "smpl.safetensors"),
        "--store", str(prepared / "amass.store"), "--weights", str(prepared / "pose_higher_hrnet.pth.tar"),
        "--data", *data, "--samples", str(STEPS * BATCH), "--workers", "0", "--device", "cpu",
        "--out", str(root),
    ]) == 0  # fmt: skip
    said = capsys.readouterr().out
    for cell in experiments.cells(command, "full"):
        assert f"{cell.name} (full, seed 0) " in said
    assert not list(tmp_path.iterdir())


def test_the_stage_that_several_processes_may_train(prepared, tmp_path, monkeypatch):
    """By itself, as the documentation has it for torchrun; resumed from another folder."""
    monkeypatch.chdir(tmp_path)
    body, store, out = (
        str(p) for p in (prepared / "smpl.safetensors", prepared / "amass.store", tmp_path / "run")
    )
    asked = ["--samples", str(STEPS * BATCH), "--batch-size", str(BATCH), "--validation-samples", "2"]
    assert main(["pretrain", "pretrain", "--body", body, "--store", store, "--out", out, *asked]) == 0
    config = read_config(Path(out), PretrainConfig)
    assert Path(config.body) == prepared / "smpl.safetensors" and config.model.skip_below == 0.02


def test_hands_are_pre_trained_on_complement_and_tuned_on_freihand(prepared, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for scales in (shared.BASE, tuning.TUNED):
        dense = replace(scales["full"], model=replace(scales["full"].model, upsampler="dense"))
        monkeypatch.setitem(scales, "full", dense)
    official.write_pickle(prepared / "MANO_RIGHT.pkl", official.as_published(official.mano()))
    body, store, hands = (str(prepared / name) for name in ("mano.safetensors", "hands.store", "freihand"))
    assert main(["prepare", "body", "mano", str(prepared / "MANO_RIGHT.pkl"), "--out", body]) == 0
    hand = mano.read(prepared / "MANO_RIGHT.pkl")
    pose, betas, _ = official.random_people(6, 16)
    turns = torch.from_numpy(Rotation.from_rotvec(0.3 * pose.reshape(-1, 3)).as_matrix().reshape(6, 16, 3, 3))
    meshes = hand.forward(turns.float(), 0.3 * torch.from_numpy(betas).float()).vertices.numpy()
    folder = prepared / "complement" / "base_pose" / "0" / "model_mano"
    folder.mkdir(parents=True)
    for number, mesh in enumerate(meshes * [-1, -1, -1]):  # a left hand, in camera axes
        (folder / f"{number}.obj").write_text(
            "".join("v {} {} {}\n".format(*vertex) for vertex in mesh.tolist())
        )
    assert main(["prepare", "meshes", str(prepared / "complement"), "--body", body, "--out", store]) == 0

    truth = layouts.freihand(Path(hands))
    asked = ["--weights", str(prepared / "pose_higher_hrnet.pth.tar"), "--data", f"freihand={hands}"]
    run = ["experiments", "run", "table5", "--body", body, "--store", store, *asked, "--out", str(tmp_path)]
    run += ["--samples", str(STEPS * BATCH), "--workers", "0", "--device", "cpu"]
    assert main(run) == 2  # before anything is trained
    assert "evaluation_xyz.json" in capsys.readouterr().err and not list(tmp_path.iterdir())
    for key in ("xyz", "verts"):
        layouts._json(Path(hands) / f"evaluation_{key}.json", truth[key][:1].tolist())
    assert main(run) == 0
    assert "table5-hands (full, seed 0) freihand freihand: pa_mpvpe_mm" in capsys.readouterr().out
    pretrained = checkpoint.load(tmp_path / "stages" / "hands-pretrain-seed0").transformer
    assert sum(p.numel() for p in pretrained.upsample.parameters()) == (195 + 1) * 778

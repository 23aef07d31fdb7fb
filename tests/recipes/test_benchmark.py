"""A benchmark from a folder of photos to the table, by the library and by the command."""

import json
from dataclasses import replace

import layouts
import numpy as np
import pytest
import torch
from little_model import LITTLE
from oracles import write_ignorant_model
from PIL import Image

from mpt import bodies, checkpoint, cli
from mpt.bodies import smpl
from mpt.bodies.body_files import write_body
from mpt.bodies.hand_poses import sample_hand_poses, to_rotations
from mpt.datasets.loading import read_crop
from mpt.errors import InputError
from mpt.modeling.image_to_mesh import ImageToMesh
from mpt.modeling.mesh_transformer import MeshTransformer
from mpt.pose2d.adapters import normalise
from mpt.recipes import networks, predicting
from mpt.recipes.benchmark import benchmark, read_samples
from mpt.recipes.conventions import conventions
from mpt.recipes.eyes import DrawnEye
from mpt.recipes.predictions import Predictions
from mpt.skeletons import HAND21

pytest_plugins = ["benchmark_sets"]


def test_freihand_with_and_without_averaging_and_for_the_server(freihand_folder, hand, tmp_path, monkeypatch):
    samples = read_samples("freihand", freihand_folder[0])
    model = checkpoint.load(write_ignorant_model(hand, tmp_path / "hand.safetensors"))
    monkeypatch.setattr(predicting, "AVERAGED_TURNS_DEG", (-90, 0, 90))
    out = tmp_path / "out"
    eye = DrawnEye(HAND21, 56)
    [rule], _ = conventions("freihand", hand)
    how = {"pose2d": "truth", "averaged": True}
    report = benchmark("freihand", [rule], samples, out, model, hand, lambda: eye, **how)
    assert [(table.views, table.samples) for table in report.tables] == [(1, 3), (95, 3)]
    assert report.tables[0].means != report.tables[1].means
    xyz, vertices = json.loads((out / "pred.json").read_text())
    assert np.shape(xyz) == (3, 21, 3) and np.shape(vertices) == (3, 778, 3)
    joints = hand.regress(torch.tensor(vertices))
    np.testing.assert_allclose(xyz, joints.numpy(), atol=1e-5)
    [mesh] = Predictions(out, samples, "averaged").read(range(3))[:1]
    np.testing.assert_allclose(vertices[0], mesh.vertices_m + mesh.translation_m, atol=1e-5)
    few = read_samples("freihand", freihand_folder[0], count=2)
    report = benchmark("freihand", [rule], few, tmp_path / "few", model, hand, lambda: eye, pose2d="truth")
    assert report.notes[1:] == ("pred.json is left out: it is of the whole set.",) and not report.files


def test_the_free_hand_is_measured_on_freihand_s_joints(freihand_folder, tmp_path, capsys):
    """Drawn poses before FreiHAND's camera, their own 2D joints drawn: as good as on held-out poses."""
    folder, free = freihand_folder[0], bodies.load("anny-hand")
    rotations = to_rotations(free, sample_hand_poses(free, 3, torch.Generator().manual_seed(4)))
    turn = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # seen from above
    joints = free(rotations, torch.zeros(1, free.shape_count)).joints @ turn.T
    joints = joints - joints.mean(1, keepdim=True) + torch.tensor([0, 0, 0.5])
    layouts._json(folder / "evaluation_xyz.json", joints.tolist())
    command = ["evaluate", "freihand", str(folder), "--model", "mpt-hand", "--out", str(tmp_path / "out")]
    assert cli.main([*command, "--pose2d", "truth", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    [table] = told["tables"]
    assert table["samples"] == 3 and table["pa_mpjpe_mm"] < 10
    assert not any("mpvpe" in name for name in table)


def test_models_of_other_joints_and_empty_sets_are_refused(hand, tmp_path):
    with pytest.raises(InputError, match="made for the joints of hand21, but 3DPW, test set asks"):
        conventions("3dpw", hand)
    with pytest.raises(InputError, match="coco29, but FreiHAND"):
        conventions("freihand", bodies.load())
    with pytest.raises(InputError, match=r"has no \.json files"):
        read_samples("folder", tmp_path)
    layouts.coco(tmp_path, [layouts.People()])
    layouts._json(tmp_path / "truth.json", {"images": [], "annotations": []})
    with pytest.raises(InputError, match="holds no samples"):
        read_samples("folder", tmp_path)


def test_the_command_measures_a_folder_and_draws_the_worst(photos, tmp_path, capsys):
    folder, model = photos
    command = ["evaluate", "folder", str(folder), "--model", str(model), "--pose2d", "truth", "--worst", "1"]
    command += ["--out", str(tmp_path / "out")]
    assert cli.main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    [table] = report["tables"]
    assert table["samples"] == 2 and table["convention"] == "reprojection" and table["error_px"] > 0
    assert 0 <= table["pck_5"] <= table["pck_10"] <= 1
    [picture] = report["files"]
    assert Image.open(picture).height == 512
    assert cli.main(command) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "through the model's own camera" in printed and "; heatmaps read once." in printed
    command += ["--looks", "2"]
    assert cli.main(command) == 2
    assert "holds predictions of another looks (1, now 2)" in capsys.readouterr().err
    assert cli.main([*command, "--json", "--out", str(tmp_path / "two")]) == 0
    [twice] = json.loads(capsys.readouterr().out)["tables"]
    assert twice["says"].endswith("; heatmaps read twice, as they are and mirrored")
    assert twice["error_px"] != table["error_px"]


def test_the_command_prints_both_conventions_of_3dpw(people, smpl_files, tdpw_folder, tmp_path, capsys):
    files = {gender: tmp_path / f"{gender}.safetensors" for gender in people}
    for gender, file in files.items():
        source = smpl_files / f"SMPL_{gender.upper()}.npz"
        write_body(file, *smpl._describe(source, gender, None, smpl_files / "J_regressor_h36m.npy"))
    model = write_ignorant_model(bodies.load(files["neutral"]), tmp_path / "model.safetensors")
    command = ["evaluate", "3dpw", str(tdpw_folder), "--model", str(model), "--pose2d", "truth"]
    command += ["--worst", "0", "--out", str(tmp_path / "out"), "--json"]
    assert cli.main(command) == 2
    assert "the body smpl-neutral, which does not come with mpt: name its file" in capsys.readouterr().err
    command += ["--body", str(files["neutral"])]
    command += ["--female", str(files["female"]), "--male", str(files["male"])]
    assert cli.main(command) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert [table["convention"] for table in tables] == ["metro-neutral", "spin-gendered"]
    assert all(table["samples"] == 4 and table["not_found"] == 2 for table in tables)
    assert all(table["mpve_mm"] > table["pa_mpjpe_mm"] > 0 for table in tables)
    assert tables[0]["mpve_mm"] != tables[1]["mpve_mm"]


def test_the_command_prints_both_conventions_of_emdb(people, smpl_files, emdb_folder, tmp_path, capsys):
    files = {gender: tmp_path / f"{gender}.safetensors" for gender in people}
    for gender, file in files.items():
        write_body(file, *smpl._describe(smpl_files / f"SMPL_{gender.upper()}.npz", gender, None, None))
    model = write_ignorant_model(bodies.load(files["neutral"]), tmp_path / "model.safetensors")
    command = ["evaluate", "emdb", str(emdb_folder[0]), "--model", str(model), "--pose2d", "truth", "--json"]
    command += ["--worst", "0", "--out", str(tmp_path / "out"), "--body", str(files["neutral"])]
    assert cli.main(command) == 2
    assert "name --female FILE and --male FILE" in capsys.readouterr().err
    assert cli.main([*command, "--female", str(files["female"]), "--male", str(files["male"])]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert [table["convention"] for table in tables] == ["wham-own-joints", "gvhmr-neutral-joints"]
    assert all(table["samples"] == 6 and table["mpve_mm"] > table["pa_mpjpe_mm"] > 0 for table in tables)


def test_a_fine_tuned_network_is_the_model_s_own_eye(photos, tmp_path, capsys):
    folder, model = photos
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.safetensors").write_bytes(model.read_bytes())
    config = networks.NetworkConfig("small", width=24, input_size=64)
    networks.save(run / networks.FILE, networks.build(config), config)
    command = ["evaluate", "folder", str(folder), "--model", str(run), "--worst", "0", "--json"]
    assert cli.main([*command, "--out", str(tmp_path / "out")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["pose2d"] == "tuned" and report["tables"][0]["not_found"] == 0


@pytest.mark.parametrize(
    "features",
    [
        {"feature_channels": 8, "feature_tokens": 16},
        {"feature_channels": 14 * 4, "feature_tokens": 4, "feature_global": True},
    ],
    ids=["what the first head reads", "Graphormer's"],
)
def test_a_model_of_image_features_is_measured_with_the_network_beside_it(features, photos, tmp_path, capsys):
    folder, run, body = photos[0], tmp_path / "run", bodies.load(skeleton="coco17")
    config = networks.NetworkConfig("small", width=4, input_size=64)
    network = networks.build(config).eval()
    networks.save(run / networks.FILE, network, config)
    reading = replace(LITTLE, inputs="features", **features)
    transformer = MeshTransformer.for_body(body, reading).eval()
    about = {"faces": body.faces, "skeleton": body.skeleton, "body": body.name, "body_hash": body.hash}
    checkpoint.save(run / "model.safetensors", transformer, **about, dtype=torch.float32)
    command = ["evaluate", "folder", str(folder), "--model", str(run), "--worst", "0"]
    assert cli.main([*command, "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tables"][0]["samples"] == 2

    samples = read_samples("folder", folder)
    kept = Predictions(tmp_path / "out", samples).read(range(2))
    crops = np.stack([read_crop(sample.image, sample.crop, 64) for sample in samples])
    images = normalise(torch.from_numpy(crops).permute(0, 3, 1, 2) / 255)
    meshes = ImageToMesh(network, transformer)(images).prediction.vertices.detach()
    for mesh, predicted in zip(meshes, kept):  # turned towards the camera, and nothing else
        own = predicted.vertices_m - predicted.vertices_m[:1]
        np.testing.assert_allclose(np.linalg.norm(own, axis=1), (mesh - mesh[:1]).norm(dim=1), atol=1e-4)

    for more, said in (
        (["--pose2d", "truth"], "name the run folder that holds both"),
        (["--looks", "2"], "take 1"),
    ):
        assert cli.main([*command, *more, "--out", str(tmp_path / more[1])]) == 2
        assert said in capsys.readouterr().err
    photo = str(samples[0].image)
    points = ["--keypoints", str(folder / "keypoints.json"), "--out", str(tmp_path / "people")]
    for command in (["evaluate", "mocap", str(folder)], ["reconstruct", photo, *points]):
        assert cli.main([*command, "--model", str(run)]) == 2
        assert "reads image features of the 2D network in its run folder" in capsys.readouterr().err


def test_the_command_refuses_in_a_sentence(photos, tdpw_folder, freihand_folder, tmp_path, capsys):
    folder, model = photos
    for arguments, said in (
        (["h36m", str(tmp_path)], "h36m_valid_protocol2.npz"),
        (["3dpw", str(tdpw_folder), "--pose2d", "higher-hrnet"], "needs its weights: name them"),
        (["freihand", str(freihand_folder[0])], "made for the joints of coco17"),
        (["folder", str(folder), "--body", str(model)], "not a whole mpt-body-1 file"),
        (["folder", str(folder), "--samples", "0"], "--samples is 0"),
    ):
        out = ["--out", str(tmp_path / arguments[0])]
        assert cli.main(["evaluate", *arguments, "--model", str(model), *out]) == 2
        assert said in capsys.readouterr().err

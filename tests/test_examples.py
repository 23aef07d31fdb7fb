"""The examples do what they say, on files that stand in for a user's; 2D networks are told whom they find."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import torch
from little_model import standing_joints, write_little_model
from PIL import Image
from posed import skinned_by_hand
from stand_ins import capture, finds

import mpt
from mpt import bodies, checkpoint, heatmaps, portable
from mpt.pose2d import adapters
from mpt.pose2d.keypoints import Keypoints
from mpt.skeletons import COCO17, COCO29, HAND21

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SIZE = (400, 300)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs an example with these arguments in an empty folder with photo.png; what it prints."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", SIZE, "grey").save("photo.png")

    def run(name: str, *args: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *args])
        runpy.run_path(str(EXAMPLES / name))
        return capsys.readouterr().out

    return run


@pytest.fixture
def two_people(monkeypatch) -> np.ndarray:
    """(2, 29, 3) whom BlazePose is told to find."""
    joints = np.stack([standing_joints((x, 0, 4), 400, SIZE, "coco29") for x in (-0.7, 0.7)])
    finds(monkeypatch, "blazepose", COCO29, joints)
    return joints


def test_every_example_is_run_here():
    text = Path(__file__).read_text(encoding="utf-8")
    names = sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert [name[:2] for name in names] == [f"{number:02}" for number in range(1, len(names) + 1)]
    assert [name for name in names if text.count(f'"{name}"') == 0] == []


def test_01_motion_moves_a_mesh(run):
    capture(Path(), "ann")
    assert "60 frames" in run("01_mocap_to_mesh.py", "ann/walk.bvh")
    file = pygltflib.GLTF2().load("ann/walk.glb")
    assert file.accessors[file.animations[0].samplers[0].input].count == 60
    lines = Path("ann/walk.obj").read_text().splitlines()
    vertices = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    assert vertices.shape == (13718, 3)
    assert (
        abs(vertices[:, 1].min()) < 0.15 < 1.5 < vertices[:, 1].max()
    )  # stands, y up, where it was captured


def test_02_a_mesh_is_seen_as_heatmaps(run):
    capture(Path(), "ann")
    assert "heatmaps.png" in run("02_mesh_to_heatmaps.py", "ann/walk.bvh")
    perfect, detected = np.split(np.asarray(Image.open("heatmaps.png"))[..., 0] / 255, 2, axis=1)
    assert perfect.max() > 0.9 and 0.3 < detected.max() <= 1
    assert perfect.mean() < detected.mean()  # which are wider


def test_03_keypoints_become_a_mesh(run):
    points = standing_joints((0, 0, 4), 400, SIZE)
    Path("keypoints.json").write_text(json.dumps(points.tolist()))
    with pytest.warns(UserWarning, match="it is taken for photo.png's"):
        assert "from 17 joints" in run("03_keypoints_to_mesh.py", "photo.png", "keypoints.json")
    assert Path("person0.glb").read_bytes().startswith(b"glTF")


def test_04_a_photo_becomes_meshes(run, two_people):
    said = run("04_photo_to_mesh.py", "photo.png").splitlines()
    for number, line in enumerate(said):
        wrist = [int(word) for word in line.split("(")[1].strip(")").split(", ")]
        true = two_people[:, COCO17.index("left_wrist"), :2]
        assert np.linalg.norm(true - wrist, axis=1).min() < 15
        assert Path(f"person{number}.glb").is_file()
    assert len(said) == 2
    assert Image.open("overlay.png").height >= SIZE[1]


def test_05_another_network_draws_the_maps(run, two_people, monkeypatch):
    def network(images):  # it sees each person's crop, and knows where they stand in one
        crop = Keypoints(two_people[0], skeleton=COCO29)(np.zeros((*SIZE[::-1], 3)))[0].crop
        points = (two_people[0, :17, :2] - crop.center_px) / crop.side_px * 64 + 31.5
        return heatmaps.render(heatmaps.blobs(torch.from_numpy(points).float()[None], 2.0), 64).expand(
            len(images), -1, -1, -1
        )

    network.input_size = 256
    monkeypatch.setattr(adapters, "OnnxNetwork", lambda path: network)
    said = run("05_another_detector.py", "photo.png", "network.onnx")
    assert said.count("left wrist at") == 2


def test_06_motion_trains_a_model_and_07_tunes_one(run):
    capture(Path("motion"), "ann", "bob")
    assert "runs/mine knows 29 joints" in run("06_train_on_your_mocap.py", "motion", "runs/mine", "128")
    assert mpt.load("runs/mine").heatmap_size == 112
    assert "runs/tuned: both networks" in run("07_fine_tune.py", "runs/mine.store", "runs/tuned", "2")
    assert Path("runs/tuned/pose2d.safetensors").is_file()


def test_08_hands_have_sides_and_fingers(run, monkeypatch):
    hand = bodies.load("anny-hand")
    joints = hand.rest(torch.zeros(1, hand.shape_count)).joints[0].numpy()
    points = joints[:, [0, 2]] * 800 + np.array(SIZE) / 2 - joints[0, [0, 2]] * 800
    finds(monkeypatch, "blazepalm", HAND21, np.column_stack([points, np.ones(21)])[None])
    said = run("08_hands.py", "photo.png")
    assert said.startswith("hand0.glb: a right hand; cm from the wrist: thumb ")
    assert Path("hand0.glb").is_file()


def test_09_numpy_and_onnxruntime_give_what_mpt_gives(run, tmp_path):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name, reason="pip install 'mesh-pretraining[onnx]'")
    model = checkpoint.load(write_little_model(tmp_path / "little.safetensors", "coco29"))
    portable.write("model.onnx", model)
    points = standing_joints((0, 0, 4), 400, SIZE, "coco29")
    Path("keypoints.json").write_text(json.dumps(points.tolist()))
    assert "left_big_toe" in run("09_onnx_in_your_program.py", "model.onnx", "keypoints.json")
    lines = Path("mesh.obj").read_text().splitlines()
    vertices = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    (drawn,) = Keypoints(points, skeleton=COCO29, heatmap_size=model.transformer.config.heatmap_size)(
        np.zeros((*SIZE[::-1], 3))
    )
    outputs = portable.Portable(model)(torch.from_numpy(drawn.heatmaps)[None])
    np.testing.assert_allclose(vertices, outputs[1][0], atol=1e-4)


def test_10_everybody_raises_their_left_arm(run, two_people):
    assert len(run("10_another_pose.py", "photo.png").splitlines()) == 2
    body = bodies.load()
    names = body.skeleton.joints
    for number in range(2):
        (vertices,) = skinned_by_hand(Path(f"person{number}.glb"))
        height = dict(zip(names, (body.regressor.to_dense().numpy() @ vertices)[:, 1]))
        assert height["left_wrist"] > height["nose"] + 0.2
        assert height["right_wrist"] < height["right_shoulder"]

"""The examples do what they say."""

import runpy
import sys
from pathlib import Path

import numpy as np
from little_model import standing_joints
from PIL import Image
from posed import skinned_by_hand

import mpt
from mpt import bodies

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def test_everybody_raises_their_left_arm(tmp_path, monkeypatch, capsys):
    size = (400, 300)
    joints = np.stack([standing_joints((x, 0, 4), 400, size) for x in (-0.7, 0.7)])
    reconstruct = mpt.load()
    monkeypatch.setattr(mpt, "load", lambda: lambda photo: reconstruct(photo, keypoints=joints))
    monkeypatch.setattr(sys, "argv", ["06_another_pose.py", "photo.png"])
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", size, "grey").save("photo.png")
    runpy.run_path(str(EXAMPLES / "06_another_pose.py"))
    assert len(capsys.readouterr().out.splitlines()) == 2
    body = bodies.load()
    names = body.skeleton.joints
    for number in range(2):
        (vertices,) = skinned_by_hand(Path(f"person{number}.glb"))
        height = dict(zip(names, (body.regressor.to_dense().numpy() @ vertices)[:, 1]))
        assert height["left_wrist"] > height["nose"] + 0.2
        assert height["right_wrist"] < height["right_shoulder"]

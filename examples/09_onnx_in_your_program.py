"""The model in a program of your own, without mpt and without torch: numpy and onnxruntime alone.

mpt export mpt-small --out mpt-small.onnx        # pip install 'mesh-pretraining[onnx]'
python 09_onnx_in_your_program.py mpt-small.onnx keypoints.json

keypoints.json: [[x, y, score], ...] of one person, in the order of the file's joint_names; those that are not
known, or not there (COCO has 17 of the 29), have the score 0. Writes mesh.obj.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
notes = session.get_modelmeta().custom_metadata_map  # what has to be known of the file
names = json.loads(notes["joint_names"])
size = session.get_inputs()[0].shape[-1]  # heatmaps (N, J, size, size)

known = np.array(json.loads(Path(sys.argv[2]).read_text()), np.float32)
joints = np.zeros((len(names), 3), np.float32)
joints[: len(known)] = known

# The upright square around the joints that are known, 1.25 times the longer side of their box ...
framed = joints[:17][joints[:17, 2] > 0, :2]
low, high = framed.min(0), framed.max(0)
side, centre = 1.25 * (high - low).max(), (low + high) / 2
cells = (joints[:, :2] - centre) / side * size + (size - 1) / 2  # pixel (x, y) -> cell, whose centre is whole

# ... and in it a Gaussian for each joint, as high as its score and as wide as the model has learned.
std = float(notes["blob_std_cells"])
grid = np.arange(size, dtype=np.float32)
along_x, along_y = (np.exp(-((grid - cells[:, i, None]) ** 2) / (2 * std**2)) for i in (0, 1))
heatmaps = joints[:, 2, None, None] * along_y[:, :, None] * along_x[:, None, :]  # (J, size, size)

found = dict(
    zip((output.name for output in session.get_outputs()), session.run(None, {"heatmaps": heatmaps[None]}))
)
vertices, faces = found["vertices"][0], found["faces"]  # metres about the mid-hip; x right, y down, z forward
with open("mesh.obj", "w") as file:
    file.writelines(f"v {x:.5f} {y:.5f} {z:.5f}\n" for x, y, z in vertices)
    file.writelines(f"f {a} {b} {c}\n" for a, b, c in faces + 1)
for name, place in zip(names, found["joints"][0]):
    print(f"{name:<20}{place.round(3)}")

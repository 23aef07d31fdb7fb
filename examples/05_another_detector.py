"""Any network that draws COCO heatmaps can find the joints: here an ONNX file, behind BlazePose's detector.

python 05_another_detector.py photo.jpg network.onnx

A torch module goes in the same way, ``TopDown(module.eval(), input_size=256)``; one whose output is not
(N, 17, h, w) maps in [0, 1] goes in as a function that makes it so:
``TopDown(lambda images: module(images)["logits"].sigmoid(), input_size=256)``. One that draws other joints
says which: ``TopDown(module, skeleton=COCO29)``.
"""

import sys

import mpt
from mpt.pose2d.adapters import OnnxNetwork, TopDown
from mpt.skeletons import COCO17

photo, network_file, *model = sys.argv[1:]
reconstructor = mpt.load(*model)

network = OnnxNetwork(network_file)  # pip install 'mesh-pretraining[onnx]'
reconstructor.pose2d = TopDown(
    network,
    input_size=network.input_size or 256,
    heatmap_size=reconstructor.heatmap_size,
    offset_px=-1.5,  # SimpleBaselines and HRNet are trained so that cell k of a map is pixel 4 k
)

for person in reconstructor(photo):
    left_wrist = COCO17.index("left_wrist")
    print(f"score {person.score:.2f}, left wrist at {person.joints3d[left_wrist]} m from the mid-hip")

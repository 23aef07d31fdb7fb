"""Joints that any 2D detector has found in a photo, lifted to a mesh; no detector of ours is asked.

python 03_keypoints_to_mesh.py photo.jpg keypoints.json

Layouts of COCO, OpenPose, MMPose, AlphaPose, MediaPipe, ultralytics and others are known: see
docs/conventions.md. Joints that you have as an array need no file: ``reconstruct(photo, keypoints=array)``,
(people, 17, 3) x, y in pixels and score, in COCO's order.
"""

import sys

import mpt
from mpt.pose2d import keypoints

photo, file = sys.argv[1:]
reconstruct = mpt.load("mpt-small")
known = keypoints.read(file, reconstruct.model.skeleton)  # of one photo, or of many
reconstruct.pose2d = known.of(photo, heatmap_size=reconstruct.heatmap_size, alone=True)

for number, person in enumerate(reconstruct(photo)):
    person.save(f"person{number}.glb")
    seen = int((person.joints2d_px[:, 2] > 0).sum())
    print(f"person{number}.glb: from {seen} joints, {person.pose.build()['stature_m']:.2f} m tall")

"""Whoever is in a photo, in another pose: here everybody raises their left arm.

python 10_another_pose.py photo.jpg

Writes person0.glb, person1.glb ...: rigged, for Blender or a browser. Turns are axes times angles in radians,
from the rest pose, in which people are y up, face +z and have their left at +x: about z goes from left to up.
"""

import sys

import mpt

RAISED = {"left_collar": (0, 0, 0.3), "left_shoulder": (0, 0, 1.9), "left_elbow": (0, 0, 0)}

for number, person in enumerate(mpt.load()(sys.argv[1])):
    person.posed(RAISED).save(f"person{number}.glb")
    print(f"person{number}.glb: {person.pose.build()['stature_m']:.2f} m tall")

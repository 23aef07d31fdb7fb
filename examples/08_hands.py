"""Hands in a photo: 21 joints and a mesh of each, left and right.

python 08_hands.py photo.jpg

Writes hand0.glb, hand1.glb ..., and how far each fingertip is from the wrist.
"""

import sys

import numpy as np

import mpt
from mpt.skeletons import HAND21

FINGERS = ("thumb", "index", "middle", "ring", "pinky")

for number, hand in enumerate(mpt.load("mpt-hand")(sys.argv[1])):
    hand.save(f"hand{number}.glb")
    tips = hand.joints3d[HAND21.indices(*(f"{finger}4" for finger in FINGERS))]  # metres about the wrist
    reach = ", ".join(f"{finger} {100 * np.linalg.norm(tip):.0f}" for finger, tip in zip(FINGERS, tips))
    print(f"hand{number}.glb: a {'left' if hand.mirrored else 'right'} hand; cm from the wrist: {reach}")

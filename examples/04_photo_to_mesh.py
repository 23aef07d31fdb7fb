"""A photo in, everybody in it as a mesh out: what MPT is for, in a few lines.

python 04_photo_to_mesh.py photo.jpg

Writes overlay.png (the bodies over the photo, and from the side) and person0.glb, person1.glb ... (rigged,
for Blender, game engines or a browser), and says where everybody stands. The 2D network, BlazePose, is
fetched at first use (36 MB, once).
"""

import sys

import mpt
from mpt.skeletons import COCO17

WRIST = COCO17.index("left_wrist")

people = mpt.reconstruct(sys.argv[1])  # a path, bytes, an open file, a PIL image, an RGB array, a tensor
people.overlay().save("overlay.png")
for number, person in enumerate(people):
    person.save(f"person{number}.glb")  # or .bvh, .fbx, .obj, .ply, .npz, .trc, .c3d, .csv
    wrist = person.joints3d[WRIST]  # metres about the middle of the hips; x right, y down, z forward
    x, y = person.project(wrist)  # pixels of the photo
    away = person.translation_m[2]
    print(f"person{number}.glb: {away:.1f} m from the camera, left wrist at ({x:.0f}, {y:.0f})")
if not people:
    print("nobody was found")
